//! The door against a small server on the loopback: what is refused, what goes out, what comes back.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::clients::Clients;
use super::clock::Clock;
use super::resolve::Lookup;
use super::*;
use crate::config::{EgressSettings, Placement, SecretSource};
use crate::shutdown::Shutdown;

mod filled;
mod good_client;
mod hops;
mod trust;

/// A server that answers each connection with the same bytes and keeps what it was asked.
struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn answering(answer: impl Into<Vec<u8>>) -> Server {
        Server::scripted(vec![answer.into()])
    }

    /// Answers the first request with the first of these, and so on; the last for ever. An empty one is no answer.
    fn scripted(answers: Vec<Vec<u8>>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
        let port = listener.local_addr().expect("it is bound").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        // Ends with the test's process; it waits in `accept` until then.
        std::thread::spawn(move || {
            for (number, connection) in listener.incoming().enumerate() {
                let Ok(mut connection) = connection else { return };
                let answer = &answers[number.min(answers.len() - 1)];
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).unwrap_or(0) == 1 {
                    head.push(byte[0]);
                }
                seen.lock().expect("no test panics while holding it").push(String::from_utf8_lossy(&head).into_owned());
                let _ = connection.write_all(answer);
            }
        });
        Server { port, requests }
    }

    /// The same, and says that it closes each connection after its answer, as it does: whoever asks again makes a new one and
    /// never meets one that is just being closed.
    fn closing(answers: &[&str]) -> Server {
        let closing = |answer: &&str| answer.replacen("\r\n", "\r\nConnection: close\r\n", 1).into_bytes();
        Server::scripted(answers.iter().map(closing).collect())
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn seen(&self) -> Vec<String> {
        self.requests.lock().expect("no test panics while holding it").clone()
    }
}

fn rule(host: &str, port: u16) -> NetworkRule {
    NetworkRule { scheme: "http".to_owned(), host: host.to_owned(), port, methods: vec![], path: "/".to_owned() }
}

fn policy(host: &str, port: u16) -> Policy {
    Policy {
        asked: vec![rule(host, port)],
        granted: vec![rule(host, port)],
        private_hosts: vec![host.to_owned()],
        credentials: BTreeMap::new(),
        credentials_asked: vec![],
    }
}

pub(super) fn get(url: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        url: Target::parse(url).expect("a URL"),
        headers: vec![],
        body: None,
        credential: None,
        fill: None,
        timeout: Duration::from_secs(30),
        body_bytes_max: 1 << 20,
        // Each test says itself what is tried again.
        manner: Manner { retries_max: 0, ..Manner::default() },
        caller: Caller::default(),
    }
}

fn send(egress: &Egress, policy: &Policy, request: Request) -> Result<Response, EgressError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(egress.send(policy, request))
}

/// A door that looks names up in this way.
fn with_lookup(lookup: Lookup) -> Egress {
    let clients = Clients::with_lookup(lookup);
    Egress::joined(clients, &EgressSettings::default(), &Shutdown::default(), Clock::Real, None)
}

/// A resolver that gives these addresses in turn, the last one for ever.
fn answers(turns: Vec<&'static str>) -> Lookup {
    let turn = Arc::new(AtomicUsize::new(0));
    let turns = Arc::new(turns);
    Arc::new(move |_| {
        let (turn, turns) = (turn.clone(), turns.clone());
        Box::pin(async move {
            let at = turn.fetch_add(1, Ordering::SeqCst).min(turns.len() - 1);
            Ok(turns[at].split(' ').map(|text| SocketAddr::new(text.parse().expect("an address"), 0)).collect())
        })
    })
}

#[test]
fn what_is_granted_is_answered() {
    let server = Server::answering("HTTP/1.1 404 Not Found\r\nX-One: a\r\nContent-Length: 2\r\n\r\nok");
    let answer =
        send(&Egress::new(), &policy("127.0.0.1", server.port), get(&server.url("/a?b#c"))).expect("it is granted");
    assert_eq!(
        (answer.status, &answer.body[..], answer.url.as_str()),
        (404, b"ok".as_slice(), server.url("/a?b").as_str())
    );
    assert!(answer.headers.contains(&("x-one".to_owned(), "a".to_owned())), "{:?}", answer.headers);
    assert!(server.seen()[0].starts_with("GET /a?b HTTP/1.1\r\n"), "{:?}", server.seen());
    assert!(server.seen()[0].contains("user-agent: agent/"), "{:?}", server.seen());
}

#[test]
fn what_is_not_granted_never_leaves() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let full = policy("127.0.0.1", server.port);
    let ungranted = Policy { granted: vec![], ..full.clone() };
    let unprivate = Policy { private_hosts: vec![], ..full };
    for policy in [&ungranted, &unprivate] {
        assert!(matches!(send(&Egress::new(), policy, get(&server.url("/"))), Err(EgressError::Denied(_))));
    }
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[test]
fn no_spelling_of_a_forbidden_address_connects() {
    // Any look-up or connection would be an error of another kind.
    let nowhere: Lookup = Arc::new(|name| panic!("{name} was looked up"));
    let egress = with_lookup(nowhere);
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "0xa9fea9fe",
        "[::ffff:a9fe:a9fe]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "10.0.0.1",
        "192.168.0.1",
        "１２７.０.０.１",
    ] {
        let text = format!("http://{host}/");
        let url = url::Url::parse(&text).expect("each is a URL");
        let any = Policy { private_hosts: vec![], ..policy(&super::policy::host_of(&url), 80) };
        let result = send(&egress, &any, get(&text));
        assert!(matches!(result, Err(EgressError::Denied(_))), "{host}: {result:?}");
    }
    for text in
        ["http://a@127.0.0.1/", "http://a:b@example.com/", "ftp://example.com/", "http:///", "/", "file:///etc/passwd"]
    {
        // No request can be made of it.
        assert!(matches!(Target::parse(text), Err(EgressError::Invalid(_))), "{text}");
    }
}

#[test]
fn a_name_that_turns_to_the_loopback_is_not_followed_there() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let rebinding = Policy { private_hosts: vec![], ..policy("rebind.test", server.port) };
    let url = format!("http://rebind.test:{}/", server.port);
    for turns in
        [vec!["127.0.0.1"], vec!["::1 127.0.0.1"], vec!["::ffff:127.0.0.1"], vec!["169.254.169.254", "127.0.0.1"]]
    {
        let egress = with_lookup(answers(turns));
        for _ in 0..250 {
            let result = send(&egress, &rebinding, get(&url));
            assert!(
                matches!(&result, Err(EgressError::Denied(text)) if text.contains("grants.private_hosts")),
                "{result:?}"
            );
        }
    }
    assert_eq!(server.seen(), Vec::<String>::new());
    // With the host listed, the loopback is reached, and of a mixed answer only what is allowed.
    let listed = policy("rebind.test", server.port);
    let answer = send(&with_lookup(answers(vec!["169.254.169.254 127.0.0.1"])), &listed, get(&url));
    assert_eq!(answer.expect("the host is listed").status, 200);
}

#[test]
fn a_connection_is_not_used_by_another_policy() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let egress = Egress::new();
    let one = policy("127.0.0.1", server.port);
    let other = Policy { private_hosts: vec!["127.0.0.1".to_owned(), "more.test".to_owned()], ..one.clone() };
    assert!(send(&egress, &one, get(&server.url("/1"))).is_ok());
    assert!(send(&egress, &other, get(&server.url("/2"))).is_ok());
    // The server takes one request from each connection, so two requests seen are two connections.
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn redirects_are_handed_over() {
    let server =
        Server::answering("HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n");
    let answer = send(&Egress::new(), &policy("127.0.0.1", server.port), get(&server.url("/")))
        .expect("a redirect is an answer");
    assert_eq!(answer.status, 302);
    assert!(answer.headers.iter().any(|(name, value)| name == "location" && value == "http://169.254.169.254/"));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_body_has_an_end() {
    let bounded = |server: &Server| Request { body_bytes_max: 4, ..get(&server.url("/")) };
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n12345",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n12345",
    ] {
        let server = Server::answering(answer);
        let result = send(&Egress::new(), &policy("127.0.0.1", server.port), bounded(&server));
        assert!(matches!(result, Err(EgressError::TooLarge(4))), "{answer}: {result:?}");
    }
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n1234");
    let exact =
        send(&Egress::new(), &policy("127.0.0.1", server.port), bounded(&server)).expect("four bytes are allowed");
    assert_eq!(exact.body, "1234");
}

#[test]
fn a_body_that_grows_when_decompressed_has_the_same_end() {
    // gzip of 4,096 spaces.
    let squeezed: &[u8] = &[
        31, 139, 8, 0, 0, 0, 0, 0, 2, 255, 237, 193, 1, 13, 0, 0, 0, 194, 160, 42, 239, 159, 210, 30, 14, 40, 0, 0, 0,
        224, 221, 0, 34, 232, 35, 165, 0, 16, 0, 0,
    ];
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", squeezed.len()).into_bytes();
    answer.extend_from_slice(squeezed);
    let server = Server::answering(answer);
    let policy = policy("127.0.0.1", server.port);
    let result = send(&Egress::new(), &policy, Request { body_bytes_max: 4095, ..get(&server.url("/")) });
    assert_eq!(result.expect_err("it grows beyond that"), EgressError::TooLarge(4095));
    let whole = send(&Egress::new(), &policy, Request { body_bytes_max: 4096, ..get(&server.url("/")) })
        .expect("it grows to that");
    assert_eq!(whole.body, [b' '; 4096][..]);
}

#[test]
fn a_body_that_breaks_off_is_no_answer() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "nonsense\r\n\r\n",
        "",
    ] {
        let server = Server::answering(answer);
        let result = send(&Egress::new(), &policy("127.0.0.1", server.port), get(&server.url("/")));
        assert!(matches!(result, Err(EgressError::Connection(_))), "{answer}: {result:?}");
    }
}

#[test]
fn nobody_listening_and_nobody_known_are_told_apart() {
    let port = {
        let closed = TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
        closed.local_addr().expect("it is bound").port()
    };
    let result = send(&Egress::new(), &policy("127.0.0.1", port), get(&format!("http://127.0.0.1:{port}/")));
    let named = format!("127.0.0.1:{port}: ");
    assert!(matches!(&result, Err(EgressError::Connection(text)) if text.starts_with(&named)), "{result:?}");
    let unknown: Lookup = Arc::new(|_| Box::pin(async { Err(std::io::Error::other("no such name")) }));
    let result = send(&with_lookup(unknown), &policy("a.test", 80), get("http://a.test/"));
    assert_eq!(result.expect_err("there is no such name"), EgressError::Dns("a.test:80: no such name".to_owned()));
    // A server that speaks plain HTTP where TLS is expected.
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        let Ok((mut connection, _)) = listener.accept() else { return };
        let _ = connection.read(&mut [0; 16]);
        let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let mut tls = policy("127.0.0.1", port);
    for rule in tls.asked.iter_mut().chain(&mut tls.granted) {
        rule.scheme = "https".to_owned();
    }
    let result = send(&Egress::new(), &tls, get(&format!("https://127.0.0.1:{port}/")));
    assert!(matches!(result, Err(EgressError::Tls(_))), "{result:?}");
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_beyond_the_time_given() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
    let port = silent.local_addr().expect("it is bound").port();
    let timeout = Duration::from_millis(50);
    let request = Request { timeout, ..get(&format!("http://127.0.0.1:{port}/")) };
    let result = send(&Egress::new(), &policy("127.0.0.1", port), request);
    assert_eq!(result.expect_err("nobody answers"), EgressError::Timeout(timeout));
}

fn with_secret(mut policy: Policy, hosts: &[&str], placement: Placement) -> (Policy, tempfile::NamedTempFile) {
    let mut file = tempfile::NamedTempFile::new().expect("there is room for a small file");
    file.write_all(b"canary-secret-1\n").expect("there is room for a small file");
    let credential = Credential {
        source: SecretSource::File(file.path().to_owned()),
        exchange: None,
        placement,
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        paths: Vec::new(),
    };
    policy.credentials.insert("token".to_owned(), credential);
    (policy, file)
}

#[test]
fn a_credential_goes_to_its_hosts_and_comes_back_struck_out() {
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\nX-Echo: canary-secret-1\r\nContent-Length: 33\r\n\r\nyou sent canary-secret-1, thanks!",
    );
    let request = Request { credential: Some("token".to_owned()), ..get(&server.url("/")) };
    for (placement, line) in [
        (Placement::Bearer, "authorization: Bearer canary-secret-1\r\n"),
        (Placement::Basic { username: "me".to_owned() }, "authorization: Basic bWU6Y2FuYXJ5LXNlY3JldC0x\r\n"),
        (
            Placement::Header { name: "X-Api-Key".to_owned(), prefix: "key=".to_owned() },
            "x-api-key: key=canary-secret-1\r\n",
        ),
        (Placement::Query { name: "key".to_owned() }, "GET /?key=canary-secret-1 HTTP/1.1\r\n"),
    ] {
        let (policy, _file) = with_secret(policy("127.0.0.1", server.port), &["127.0.0.1"], placement);
        let answer = send(&Egress::new(), &policy, request.clone()).expect("it is its host");
        assert!(server.seen().last().is_some_and(|head| head.contains(line)), "{:?}", server.seen());
        assert_eq!(String::from_utf8_lossy(&answer.body), "you sent [redacted], thanks!");
        assert!(!format!("{answer:?}").contains("canary"), "{answer:?}");
        assert!(!format!("{policy:?}").contains("canary"), "{policy:?}");
    }
}

#[test]
fn a_credential_goes_nowhere_else() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let named = Request { credential: Some("token".to_owned()), ..get(&server.url("/")) };
    let base = policy("127.0.0.1", server.port);
    let refused = |policy: &Policy, request: Request| {
        send(&Egress::new(), policy, request).expect_err("the credential may not go there")
    };

    let (elsewhere, _file) = with_secret(base.clone(), &["api.example.com", "*.0.0.1"], Placement::Bearer);
    assert!(
        matches!(refused(&elsewhere, named.clone()), EgressError::Denied(text) if text.contains("`token` does not belong to 127.0.0.1"))
    );

    let (here, file) = with_secret(base.clone(), &["127.0.0.1"], Placement::Bearer);
    let taken = Request { headers: vec![("AUTHORIZATION".to_owned(), "mine".to_owned())], ..named.clone() };
    assert!(matches!(refused(&here, taken), EgressError::Invalid(text) if text.contains("`authorization`")));

    let (query, _query_file) = with_secret(base.clone(), &["127.0.0.1"], Placement::Query { name: "key".to_owned() });
    let taken = Request { url: Target::parse(&server.url("/?key=mine")).unwrap(), ..named.clone() };
    assert!(matches!(refused(&query, taken), EgressError::Invalid(text) if text.contains("`key`")));

    let unknown = Request { credential: Some("other".to_owned()), ..named.clone() };
    assert!(matches!(refused(&here, unknown), EgressError::Denied(text) if text.contains("`other`")));

    // In clear text only to hosts that the operator calls private.
    let public = Policy { private_hosts: vec![], ..policy("pub.test", server.port) };
    let (clear, _file) = with_secret(public, &["pub.test"], Placement::Bearer);
    let request = Request { credential: Some("token".to_owned()), ..get(&format!("http://pub.test:{}/", server.port)) };
    assert!(matches!(refused(&clear, request), EgressError::Denied(text) if text.contains("clear text")));

    drop(file);
    assert!(matches!(refused(&here, named), EgressError::Other(text) if text.contains("`token`")));
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[test]
fn a_credential_for_bodies_goes_into_json_and_nowhere_else() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\ncanary-secret-1");
    let placement = Placement::Body { placeholder: "secret:/key".to_owned(), paths: vec!["/".to_owned()] };
    let (here, _file) = with_secret(policy("127.0.0.1", server.port), &["127.0.0.1"], placement.clone());
    let typed = |kind: &str| vec![("Content-Type".to_owned(), kind.to_owned())];
    let request = Request {
        method: "POST".to_owned(),
        headers: typed("application/json; charset=utf-8"),
        body: Some(br#"{"s":"secret:/key"}"#.as_slice().into()),
        fill: Some("token".to_owned()),
        ..get(&server.url("/"))
    };
    let answer = send(&Egress::new(), &here, request.clone()).expect("it may go there");
    assert_eq!(answer.body, "[redacted]");
    // The placeholder has 11 bytes, the secret 15.
    assert!(server.seen()[0].to_lowercase().contains("content-length: 23\r\n"), "{:?}", server.seen());
    let refused = |policy: &Policy, request: Request| {
        send(&Egress::new(), policy, request).expect_err("the credential may not go there").to_string()
    };
    let form = Request { headers: typed("application/x-www-form-urlencoded"), ..request.clone() };
    assert!(refused(&here, form).contains("only JSON"));
    let without = Request { body: Some(b"{}".as_slice().into()), ..request.clone() };
    assert!(refused(&here, without).contains("does not hold `secret:/key`"));
    assert!(refused(&here, Request { body: None, ..request.clone() }).contains("does not hold"));
    let as_header = Request { credential: request.fill.clone(), fill: None, ..request.clone() };
    assert!(refused(&here, as_header).contains("option `fill`"));
    let (bearer, _file) = with_secret(policy("127.0.0.1", server.port), &["127.0.0.1"], Placement::Bearer);
    assert!(refused(&bearer, request.clone()).contains("option `auth`"));
    let (elsewhere, _file) = with_secret(policy("127.0.0.1", server.port), &["other.test"], placement);
    assert!(refused(&elsewhere, request).contains("does not belong to 127.0.0.1"));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn the_hosts_own_headers_and_broken_ones_are_refused() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    for (name, value) in [
        ("Host", "evil.org"),
        ("connection", "upgrade"),
        ("Transfer-Encoding", "chunked"),
        ("content-length", "3"),
        ("Expect", "100-continue"),
        ("upgrade", "websocket"),
        ("Proxy-Authorization", "x"),
        ("x-a", "b\r\nX-Evil: 1"),
        ("x-a\r\nx-evil", "1"),
        ("x a", "1"),
        ("", "1"),
        ("x-a", "\0"),
    ] {
        let request = Request { headers: vec![(name.to_owned(), value.to_owned())], ..get(&server.url("/")) };
        let result = send(&Egress::new(), &policy("127.0.0.1", server.port), request);
        assert!(matches!(result, Err(EgressError::Invalid(_))), "{name:?} {value:?}: {result:?}");
    }
    for method in ["CONNECT", "TRACE", "get", "G E T", "", "GET\r\nX: 1"] {
        let request = Request { method: method.to_owned(), ..get(&server.url("/")) };
        let result = send(&Egress::new(), &policy("127.0.0.1", server.port), request);
        assert!(matches!(result, Err(EgressError::Invalid(_))), "{method:?}: {result:?}");
    }
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[test]
fn a_stream_is_read_piece_by_piece_up_to_its_end() {
    let limits =
        StreamLimits { first_byte: Duration::from_secs(30), between_bytes: Duration::from_secs(30), bytes_max: 8 };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let read = |answer: &str| {
        let server = Server::answering(answer);
        let mut stream =
            Egress::new().stream(runtime.handle(), &policy("127.0.0.1", server.port), get(&server.url("/")), limits)?;
        let mut body = Vec::new();
        match stream.read_to_end(&mut body) {
            Ok(_) => Ok((stream.status, body)),
            Err(fault) => Err(fault.downcast::<EgressError>().expect("the stream's errors are the door's")),
        }
    };
    assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n12345678"), Ok((200, b"12345678".to_vec())));
    assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789"), Err(EgressError::TooLarge(8)));
    assert!(matches!(read("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n123"), Err(EgressError::Connection(_))));
}

//! What a guest, or a server that it talks to, may try on the network, by its number in the list of threats of the design;
//! each over both interfaces, the contract's own and standard `wasi:http`: they have one door, and this holds them to it.
//! What needs a resolver or a clock of its own is tested beside the door, in `host/agent/src/egress`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tests::{Bench, HEAD};

const INTERFACES: [&str; 2] = ["own", "wasi"];

/// A server that answers one request on each connection, and keeps what it was asked.
struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// `answer` writes to the connection what it likes, given the request's head and body.
    fn new(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (kept, count, answer) = (Arc::clone(&seen), Arc::clone(&connections), Arc::new(answer));
        // Ends with the test's process.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let request = request(&mut stream);
                    kept.lock().unwrap().push(request.clone());
                    answer(&request, &mut stream);
                });
            }
        });
        Server { port, seen, connections }
    }

    fn saying(text: impl Into<Vec<u8>>) -> Server {
        let text = text.into();
        // A client that has heard enough goes away.
        Server::new(move |_, stream| drop(stream.write_all(&text)))
    }

    fn fine() -> Server {
        Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// Reads a request, its body included.
fn request(stream: &mut TcpStream) -> String {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text.into_owned();
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&bytes).into_owned(),
            Ok(size) => bytes.extend_from_slice(&piece[..size]),
        }
    }
}

/// What is granted where nothing else is said: this machine, whole.
fn local(ports: &[u16]) -> String {
    let rules: Vec<String> = ports.iter().map(|port| format!("'http://127.0.0.1:{port}/'")).collect();
    format!("{{network: [{}], private_hosts: [127.0.0.1]}}", rules.join(", "))
}

/// One fetch by each interface, in one run; what came of it. No test waits for tries that it does not ask for.
fn fetched(more: &Value, grants: &str) -> [Value; 2] {
    let bench = bench(more, grants);
    bench.run(&["export"]).code(0);
    let sink = bench.sink();
    INTERFACES.map(|interface| sink.records[&format!("{interface}/fetch.Page")][0].clone())
}

fn bench(more: &Value, grants: &str) -> Bench {
    let integrations = INTERFACES.map(|interface| {
        let mut config = json!({"interface": interface, "options": [["retries", "0"]], "keep": 4096});
        for (name, value) in more.as_object().unwrap() {
            config[name] = value.clone();
        }
        format!(
            "  - {{name: {interface}, component: \"${{GUESTS}}/guest_fetch.wasm\", config: {config}, grants: {grants}}}\n"
        )
    });
    Bench::new().config(&format!("{HEAD}{}", integrations.concat()))
}

/// Insists that both failed, by these words.
#[track_caller]
fn refused(pages: &[Value; 2], own: &str, standard: &str) {
    for (page, words) in pages.iter().zip([own, standard]) {
        let error = page["error"].as_str().unwrap_or_default();
        assert!(error.contains(words), "`{words}` is not in {page}");
    }
}

#[test]
fn what_is_granted_is_fetched_by_both() {
    let server =
        Server::saying("HTTP/1.1 201 Created\r\nX-One: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage");
    let more =
        json!({"url": server.url("/list?page={}"), "method": "POST", "body": 10_000, "headers": [["x-mine", "1"]]});
    for page in fetched(&more, &local(&[server.port])) {
        assert_eq!((&page["status"], &page["kept"]), (&json!(201), &json!("page")), "{page}");
        assert!(page["headers"].as_array().unwrap().contains(&json!(["x-one", "a"])), "{page}");
    }
    assert_eq!(server.seen().len(), 2);
    for request in server.seen() {
        assert!(
            request.starts_with("POST /list?page=0 HTTP/1.1\r\n") && request.contains("x-mine: 1\r\n"),
            "{request}"
        );
        assert!(request.ends_with(&"x".repeat(10_000)) && !request.contains("agent-"), "{request}");
        assert_eq!(request.matches(&format!("host: 127.0.0.1:{}\r\n", server.port)).count(), 1, "{request}");
    }
}

#[test]
fn threat_01_no_way_to_addresses_that_are_not_granted() {
    let server = Server::fine();
    let port = server.port;
    let grants = "{network: ['http://*.example.com/']}";
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "[::ffff:7f00:1]",
        "169.254.169.254",
        "[64:ff9b::a9fe:a9fe]",
        "0",
    ] {
        let pages = fetched(&json!({"url": format!("http://{host}:{port}/")}), grants);
        refused(&pages, "Denied", "HttpRequestDenied");
    }
    // Granted by name and address, and still not private by anybody's word.
    let pages = fetched(&json!({"url": server.url("/")}), &format!("{{network: ['http://127.0.0.1:{port}/']}}"));
    refused(&pages, "grants.private_hosts", "HttpRequestDenied");
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn threat_02_a_name_that_leads_here_is_not_connected_to() {
    let server = Server::fine();
    // The system's own name for this machine; names that change their mind are tested beside the resolver.
    let url = format!("http://localhost:{}/", server.port);
    let pages = fetched(&json!({"url": url}), &format!("{{network: ['http://localhost:{}/']}}", server.port));
    refused(&pages, "Denied", "HttpRequestDenied");
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn threat_03_redirects_lead_nowhere_that_is_not_granted() {
    let target = Server::fine();
    for location in [target.url("/"), "http://169.254.169.254/".to_owned(), "file:///etc/passwd".to_owned()] {
        let text =
            format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let server = Server::saying(text);
        let more = json!({"url": server.url("/"), "headers": [["x-api-key", "mine"]]});
        for page in fetched(&more, &local(&[server.port])) {
            assert_eq!(page["status"], 302, "it is handed over: {page}");
        }
        let mut following = more.clone();
        following["options"] = json!([["retries", "0"], ["redirects", "5"]]);
        let pages = fetched(&following, &local(&[server.port]));
        assert!(pages.iter().all(|page| page["status"].is_null()), "{pages:?}");
    }
    assert_eq!(target.connections.load(Ordering::SeqCst), 0);
    // Granted, it is followed, and what could be a key stays behind.
    let server = Server::saying(format!(
        "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        target.url("/there")
    ));
    let more = json!({
        "url": server.url("/"), "headers": [["x-api-key", "mine"]], "options": [["retries", "0"], ["redirects", "5"]],
    });
    // The manifest asks for the configured server alone, so the other port is refused whatever is granted.
    let pages = fetched(&more, &local(&[server.port, target.port]));
    refused(&pages, "manifest does not ask for it", "HttpRequestDenied");
    assert_eq!(target.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn threat_04_connections_are_not_shared_between_integrations() {
    let server = Server::new(|_, stream| {
        // Stays open for as long as somebody asks.
        for _ in 0..8 {
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err()
                || request(stream).is_empty()
            {
                return;
            }
        }
    });
    let bench = bench(&json!({"url": server.url("/{}"), "pages": 4}), &local(&[server.port]));
    bench.run(&["export"]).code(0);
    // One for all pages of an integration, and none for two integrations, though they may reach the same.
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

#[test]
fn threat_05_no_header_field_reframes_a_request() {
    let server = Server::fine();
    for (name, value) in [
        ("Host", "evil.test"),
        ("Connection", "upgrade"),
        ("Transfer-Encoding", "chunked"),
        ("Expect", "100-continue"),
        ("Upgrade", "websocket"),
        ("Proxy-Authorization", "x"),
        ("TE", "trailers"),
        ("x-split", "a\r\nx-evil: 1"),
        ("x-split\r\nx-evil", "1"),
    ] {
        let pages = fetched(&json!({"url": server.url("/"), "headers": [[name, value]]}), &local(&[server.port]));
        assert!(pages.iter().all(|page| page["error"].is_string()), "{name}: {pages:?}");
    }
    for method in ["CONNECT", "TRACE", "G T", "get"] {
        let pages = fetched(&json!({"url": server.url("/"), "method": method}), &local(&[server.port]));
        assert!(pages.iter().all(|page| page["error"].is_string()), "{method}: {pages:?}");
    }
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[test]
fn threat_06_a_secret_is_put_in_by_the_host_and_never_comes_back() {
    let echo = Server::new(|request, stream| {
        let body = request.to_owned();
        let head = format!(
            "HTTP/1.1 200 OK\r\nX-Echo: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.lines().find(|line| line.starts_with("authorization")).unwrap_or("none"),
            body.len()
        );
        drop(stream.write_all((head + &body).as_bytes()));
    });
    let more = json!({"url": echo.url("/"), "options": [["auth", "token"]]});
    let grants = format!(
        "{{network: ['http://127.0.0.1:{}/'], private_hosts: [127.0.0.1], credentials: {{token: {{file: secret, hosts: [127.0.0.1]}}}}}}",
        echo.port
    );
    let bench = bench(&more, &grants);
    bench.write("secret", "canary-secret-1");
    let output = bench.run(&["export"]).code(0);
    // The guest's manifest asks for no credential: nobody is given one.
    let sink = bench.sink();
    let pages = INTERFACES.map(|interface| sink.records[&format!("{interface}/fetch.Page")][0].clone());
    refused(&pages, "does not ask for the credential `token`", "HttpRequestDenied");
    assert!(!format!("{output:?}{pages:?}").contains("canary") && echo.seen().is_empty());
}

#[test]
fn threat_07_the_environments_proxies_are_not_used() {
    let (server, trap) = (Server::fine(), Server::fine());
    let bench = bench(&json!({"url": server.url("/")}), &local(&[server.port]));
    let proxy = trap.url("");
    let line = format!(
        "HTTP_PROXY={proxy} http_proxy={proxy} HTTPS_PROXY={proxy} ALL_PROXY={proxy} all_proxy={proxy} \"$AGENT\" export 2>&1"
    );
    let output = bench.shell(&line);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!((server.seen().len(), trap.connections.load(Ordering::SeqCst)), (2, 0));
}

#[test]
fn threat_08_what_grows_when_it_is_unpacked_is_cut_off() {
    // A gzip member of 64 MiB of zeros, which the server makes itself: one stored header, then the same block again and again.
    let bomb = zeros_gzip();
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        bomb.len()
    )
    .into_bytes();
    answer.extend_from_slice(&bomb);
    let server = Server::saying(answer);
    let more = json!({"url": server.url("/"), "options": [["retries", "0"], ["max-body", "1000000"]]});
    refused(&fetched(&more, &local(&[server.port])), "TooLarge", "HttpResponseBodySize");
}

/// Zeros in the form of gzip, by the system's own program.
fn zeros_gzip() -> Vec<u8> {
    let made = std::process::Command::new("sh").args(["-c", "head -c 67108864 /dev/zero | gzip -9"]).output().unwrap();
    assert!(made.status.success() && made.stdout.len() < 100_000, "gzip is needed");
    made.stdout
}

#[test]
fn threat_09_bodies_have_an_end_whatever_is_announced() {
    let endless = Server::new(|_, stream| {
        let mut piece = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        while stream.write_all(&piece).is_ok() {
            piece = vec![b'x'; 64 << 10];
        }
    });
    let more = json!({"url": endless.url("/"), "options": [["retries", "0"], ["max-body", "100000"]]});
    refused(&fetched(&more, &local(&[endless.port])), "TooLarge", "HttpResponseBodySize");
    let liar = Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nshort");
    refused(&fetched(&json!({"url": liar.url("/")}), &local(&[liar.port])), "Connection", "ConnectionTerminated");
    let fields = "x: y\r\n".repeat(1_000);
    let many = Server::saying(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n"));
    let pages = fetched(&json!({"url": many.url("/")}), &local(&[many.port]));
    assert!(pages.iter().all(|page| page["error"].is_string()), "{pages:?}");
}

#[test]
fn threat_13_a_server_that_never_answers_is_not_waited_for() {
    let silent = Server::new(|_, stream| drop(stream.read(&mut [0])));
    let more = json!({"url": silent.url("/"), "options": [["retries", "0"], ["timeout-ms", "200"]]});
    refused(&fetched(&more, &local(&[silent.port])), "Timeout", "HttpResponseTimeout");
}

#[test]
fn threat_14_more_requests_than_there_are_places_do_not_wait_for_each_other() {
    let silent = Server::new(|_, stream| drop(stream.read(&mut [0])));
    let more = json!({
        "url": silent.url("/{}"), "pages": 40, "at_once": 40, "options": [["retries", "0"], ["timeout-ms", "2000"]],
    });
    let bench = bench(&more, &local(&[silent.port]));
    bench.run(&["export"]).code(0);
    let sink = bench.sink();
    for (interface, limit) in INTERFACES.into_iter().zip(["Limit", "ConnectionLimitReached"]) {
        let pages = &sink.records[&format!("{interface}/fetch.Page")];
        let beyond = pages.iter().filter(|page| page["error"].as_str().unwrap().contains(limit)).count();
        assert_eq!((pages.len(), beyond), (40, 8), "{interface}");
    }
}

#[test]
fn threat_25_the_limits_on_what_is_sent_are_the_same() {
    let server = Server::fine();
    let too_much = json!({"url": server.url("/"), "method": "POST", "body": (16 << 20) + 1});
    refused(&fetched(&too_much, &local(&[server.port])), "TooLarge", "HttpRequestBodySize");
    let many: Vec<Value> = (0..200).map(|number| json!([format!("x-{number}"), "1"])).collect();
    let pages = fetched(&json!({"url": server.url("/"), "headers": many}), &local(&[server.port]));
    assert!(pages.iter().all(|page| page["error"].is_string()), "{pages:?}");
    let long = json!({"url": format!("{}{}", server.url("/"), "a".repeat(9_000))});
    let pages = fetched(&long, &local(&[server.port]));
    assert!(pages.iter().all(|page| page["error"].is_string()), "{pages:?}");
    assert_eq!(server.seen(), Vec::<String>::new());
}

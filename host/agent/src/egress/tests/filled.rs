//! Bodies that the host puts a secret into (`fill`), against servers that send them elsewhere or give them back.

use std::io::{BufRead, BufReader};

use super::*;

const SECRET: &str = "f\u{ef}ll<canary>&\"1\"/x";
const PLACEHOLDER: &str = "secret:/key";

/// A server that hears whole requests, and keeps method, path and body of each.
struct Hearing {
    port: u16,
    heard: Arc<Mutex<Vec<(String, String)>>>,
}

impl Hearing {
    /// `answer` has the path and the body.
    fn new(answer: impl Fn(&str, &str) -> String + Send + 'static) -> Hearing {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
        let port = listener.local_addr().expect("it is bound").port();
        let heard: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let kept = Arc::clone(&heard);
        // Ends with the test's process; it waits in `accept` until then.
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(connection);
                let (mut line, mut first, mut length) = (String::new(), String::new(), 0);
                while reader.read_line(&mut line).is_ok_and(|size| size > 2) {
                    if first.is_empty() {
                        first = line.rsplit_once(' ').map(|(asked, _)| asked.to_owned()).unwrap_or_default();
                    }
                    let lower = line.to_ascii_lowercase();
                    length = lower
                        .strip_prefix("content-length: ")
                        .map_or(length, |value| value.trim().parse().expect("a number"));
                    line.clear();
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).expect("it is sent");
                let body = String::from_utf8(body).expect("it is text");
                let text = answer(first.split(' ').nth(1).unwrap_or_default(), &body);
                kept.lock().expect("no test panics while holding it").push((first, body));
                let _ = reader.get_mut().write_all(text.as_bytes());
            }
        });
        Hearing { port, heard }
    }

    fn heard(&self) -> Vec<(String, String)> {
        self.heard.lock().expect("no test panics while holding it").clone()
    }
}

fn with(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// What both names may be reached at, on these ports, and the credential at the first.
fn granted(ports: &[u16]) -> (Policy, tempfile::NamedTempFile) {
    let rules: Vec<NetworkRule> =
        ports.iter().flat_map(|port| ["a.test", "b.test"].map(|host| rule(host, *port))).collect();
    let policy = Policy {
        asked: rules.clone(),
        granted: rules,
        private_hosts: vec!["a.test".to_owned(), "b.test".to_owned()],
        ..Policy::default()
    };
    let paths = ["/hooks", "/v2/hooks"].map(str::to_owned).to_vec();
    let placement = Placement::Body { placeholder: PLACEHOLDER.to_owned(), paths };
    let (policy, mut file) = with_secret(policy, &["a.test"], placement);
    file.as_file_mut().set_len(0).expect("it is ours");
    let mut at_begin = file.reopen().expect("it is ours");
    at_begin.write_all(SECRET.as_bytes()).expect("there is room");
    (policy, file)
}

fn post(port: u16, path: &str) -> Request {
    let body = serde_json::json!({"url": "https://here", "secret": PLACEHOLDER}).to_string();
    Request {
        method: "POST".to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Some(body.into()),
        fill: Some("token".to_owned()),
        manner: Manner { redirects_max: 3, retries_max: 0, ..Manner::default() },
        ..get(&format!("http://a.test:{port}{path}"))
    }
}

fn door() -> Egress {
    with_lookup(answers(vec!["127.0.0.1"]))
}

fn filled() -> String {
    serde_json::json!({"url": "https://here", "secret": SECRET}).to_string()
}

/// A redirect that repeats the body takes it to where the credential belongs, and nowhere else: neither with the secret nor with
/// its placeholder, which would be kept for the secret there.
#[test]
fn a_filled_body_is_not_repeated_elsewhere() {
    for status in ["307 Temporary Redirect", "308 Permanent Redirect"] {
        let elsewhere = Hearing::new(|_, _| with("200 OK", "", ""));
        let to = |host: &str| format!("Location: http://{host}:{}/kept\r\n", elsewhere.port);
        // Another host, which is granted and has no credential; and another port of the same.
        for location in [to("b.test"), to("a.test")] {
            let moved = location.clone();
            let first = Hearing::new(move |_, _| with(status, &moved, ""));
            let (policy, _file) = granted(&[first.port, elsewhere.port]);
            let refused = send(&door(), &policy, post(first.port, "/hooks")).expect_err("it may not go there");
            assert!(
                matches!(&refused, EgressError::Denied(why) if why.contains("the credential `token` is in it")),
                "{refused:?}"
            );
            assert_eq!(first.heard(), [("POST /hooks".to_owned(), filled())]);
        }
        assert_eq!(elsewhere.heard(), []);
        // On the same origin it is filled anew.
        let same = Hearing::new(move |path, _| match path {
            "/hooks" => with(status, "Location: /v2/hooks\r\n", ""),
            _ => with("201 Created", "", ""),
        });
        let (policy, _file) = granted(&[same.port]);
        assert_eq!(send(&door(), &policy, post(same.port, "/hooks")).expect("it may go there").status, 201);
        assert_eq!(same.heard(), [("POST /hooks".to_owned(), filled()), ("POST /v2/hooks".to_owned(), filled())]);
        // But not where no rule leads.
        let (mut narrow, _file) = granted(&[same.port]);
        narrow.granted.iter_mut().for_each(|rule| rule.path = "/hooks".to_owned());
        let refused = send(&door(), &narrow, post(same.port, "/hooks")).expect_err("it is not granted");
        assert!(matches!(&refused, EgressError::Denied(why) if why.contains("grants.network")), "{refused:?}");
        assert_eq!(same.heard().len(), 3);
    }
}

/// A redirect after which there is no body takes neither.
#[test]
fn a_redirect_to_a_page_takes_no_secret_along() {
    let page = Hearing::new(|_, _| with("200 OK", "", "ok"));
    for status in ["301 Moved Permanently", "302 Found", "303 See Other"] {
        let location = format!("Location: http://b.test:{}/page\r\n", page.port);
        let first = Hearing::new(move |_, _| with(status, &location, ""));
        let (policy, _file) = granted(&[first.port, page.port]);
        assert_eq!(send(&door(), &policy, post(first.port, "/hooks")).expect("a page may be read").status, 200);
        assert_eq!(page.heard().last(), Some(&("GET /page".to_owned(), String::new())));
    }
}

/// Whatever a server makes of what it was sent: what the guest sees has no secret in it, in header fields and redirects neither.
#[test]
fn a_filled_body_that_is_given_back_is_struck() {
    let all = |body: &str| body.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<String>();
    let shapes: [&(dyn Fn(&str) -> String + Sync); 5] = [
        &|body| body.to_owned(),
        &|body| serde_json::json!({ "you_sent": body }).to_string(),
        &|body| crate::secrets::base64(body.as_bytes()),
        &|body| url::form_urlencoded::byte_serialize(body.as_bytes()).collect(),
        &|body| format!("{{\"you_sent\":\"{}\"}}", all(body)),
    ];
    for (number, shape) in shapes.into_iter().enumerate() {
        let shaped = shape(&filled());
        let (in_path, given) = (
            format!(
                "Location: /again?{}\r\n",
                url::form_urlencoded::byte_serialize(shaped.as_bytes()).collect::<String>()
            ),
            shaped.clone(),
        );
        let server = Hearing::new(move |path, _| match path {
            "/hooks" => with("303 See Other", &in_path, ""),
            _ => with("200 OK", "", &given),
        });
        let (policy, _file) = granted(&[server.port]);
        let answer = send(&door(), &policy, post(server.port, "/hooks")).expect("it may go there");
        assert_eq!(server.heard()[0].1, filled());
        let body = String::from_utf8(answer.body.to_vec()).expect("it is text");
        assert!(body.contains("[redacted]"), "{number}: {body}");
        let decoded = percent(&answer.url);
        for text in [&body, &answer.url, &decoded] {
            assert!(!text.contains("canary") && !text.contains(&all("canary")), "{number}: {text}");
            assert!(!text.contains(&crate::secrets::base64(b"canary>&")[..8]), "{number}: {text}");
        }
    }
}

fn percent(text: &str) -> String {
    url::form_urlencoded::parse(text.as_bytes()).map(|(name, value)| format!("{name}{value}")).collect()
}

/// The policy with other paths: those that the manifest asks for, and those that the operator grants.
fn bound(mut policy: Policy, asked: &[&str], granted: &[&str]) -> Policy {
    let all = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    let credential = policy.credentials.get_mut("token").expect("it is granted");
    credential.placement = Placement::Body { placeholder: PLACEHOLDER.to_owned(), paths: all(asked) };
    credential.paths = all(granted);
    policy
}

/// Where others may read what a server keeps, a secret is not put into a body: neither beside the paths that were asked for, nor
/// beside those that were granted, nor where nobody said any.
#[test]
fn a_filled_body_goes_to_its_paths_only() {
    let server = Hearing::new(|path, _| match path {
        "/hooks/moved" => with("307 Temporary Redirect", "Location: /comments\r\n", ""),
        _ => with("201 Created", "", ""),
    });
    let (policy, _file) = granted(&[server.port]);
    let hooks = "/repos/*/*/hooks";
    for (asked, by_operator, path, refusal) in [
        (&[hooks][..], &[][..], "/repos/o/r/hooks", None),
        (&[hooks], &[], "/repos/o/r/hooks/7", None),
        (&[hooks], &["/repos/o"], "/repos/o/r/hooks", None),
        (&[], &["/hooks"], "/hooks", None),
        (&[hooks, "/hooks"], &[], "/hooks?x=/comments", None),
        (&[hooks], &[], "/repos/o/r/issues/1/comments", Some("for other paths (/repos/*/*/hooks)")),
        (&[hooks], &[], "/repos/o/r/hooks/../issues", Some("for other paths")),
        (&[hooks], &[], "/repos/o/r/hooks/%2e%2e/issues", Some("for other paths")),
        (&[hooks], &[], "/repos/o/r/hooks/..%2fissues", Some("for other paths")),
        (&[hooks], &[], "/repos/o/r%2fissues%3f/hooks", Some("for other paths")),
        (
            &[hooks],
            &["/repos/o"],
            "/repos/p/r/hooks",
            Some("grants.credentials.token.paths` of this integration in agent.yaml: - /repos/p/r/hooks"),
        ),
        (&[], &["/hooks"], "/comments", Some("grants.credentials.token.paths")),
        (&[], &["/hooks"], "/hooks/%2e%2e/comments", Some("grants.credentials.token.paths")),
        (&[], &[], "/hooks/a%2fb", Some("token: {body: true, hosts: [a.test], paths: [/hooks/*]}")),
    ] {
        let before = server.heard().len();
        let came = send(&door(), &bound(policy.clone(), asked, by_operator), post(server.port, path));
        match (refusal, came) {
            (None, Ok(answer)) => assert_eq!((answer.status, server.heard().len()), (201, before + 1), "{path}"),
            (Some(said), Err(EgressError::Denied(why))) => {
                assert!(why.contains(said) && why.contains("`token`") && !why.contains("canary"), "{path}: {why}");
                assert_eq!(server.heard().len(), before, "{path}: it was not sent");
            }
            (_, came) => panic!("{path}: {came:?}"),
        }
    }
    // Nor does a redirect take it from one to another.
    let moved = send(&door(), &bound(policy.clone(), &["/hooks"], &[]), post(server.port, "/hooks/moved"));
    assert!(matches!(&moved, Err(EgressError::Denied(why)) if why.contains("/comments")), "{moved:?}");
    assert_eq!(server.heard().last(), Some(&("POST /hooks/moved".to_owned(), filled())));
}

/// A credential of another kind is bound to paths too, where the operator says so.
#[test]
fn a_credential_in_a_header_goes_to_its_paths_only() {
    let server = Hearing::new(|path, _| match path {
        "/api/moved" => with("302 Found", "Location: /other\r\n", ""),
        _ => with("200 OK", "", ""),
    });
    let (mut policy, _file) = granted(&[server.port]);
    let credential = policy.credentials.get_mut("token").expect("it is granted");
    credential.placement = Placement::Header { name: "x-key".to_owned(), prefix: String::new() };
    let mut plain = tempfile::NamedTempFile::new().expect("there is room for a small file");
    plain.write_all(b"canary-secret-2").expect("there is room for a small file");
    credential.source = SecretSource::File(plain.path().to_owned());
    credential.paths = vec!["/api".to_owned()];
    let ask = |path: &str| {
        let manner = Manner { redirects_max: 3, retries_max: 0, ..Manner::default() };
        let url = format!("http://a.test:{}{path}", server.port);
        send(&door(), &policy, Request { credential: Some("token".to_owned()), manner, ..get(&url) })
    };
    assert_eq!(ask("/api/x").expect("it may go there").status, 200);
    for path in ["/other", "/apis", "/api/%2e%2e/other", "/api/moved"] {
        let refused = ask(path).expect_err("it may not go there");
        assert!(
            matches!(&refused, EgressError::Denied(why) if why.contains("grants.credentials.token.paths")),
            "{refused:?}"
        );
    }
    let heard: Vec<String> = server.heard().into_iter().map(|(first, _)| first).collect();
    assert_eq!(heard, ["GET /api/x", "GET /api/moved"]);
}

//! Where a request may go and what may be in it.

use std::io::Write;

use serde_json::{Value, json};
use tests::{Bench, files_below};

use super::server::{Server, request};
use super::{bench, bench_with, failed, fetched, first_pages, local, local_and, refused};

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
        for framing in [format!("host: 127.0.0.1:{}\r\n", server.port), "content-length: 10000\r\n".to_owned()] {
            assert_eq!(request.matches(&framing).count(), 1, "{request}");
        }
        assert!(!request.contains("transfer-encoding"), "{request}");
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
        "0177.0.0.1",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
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
    // What nobody may reach is not reached by the operator's word either.
    let grants = format!("{{network: ['http://169.254.169.254:{port}/'], private_hosts: [169.254.169.254]}}");
    refused(
        &fetched(&json!({"url": format!("http://169.254.169.254:{port}/")}), &grants),
        "Denied",
        "HttpRequestDenied",
    );
    assert_eq!(server.connections(), 0);
}

#[test]
fn threat_02_a_name_that_leads_here_is_not_connected_to() {
    let server = Server::fine();
    // The system's own name for this machine; names that change their mind are tested beside the resolver.
    let url = format!("http://localhost:{}/", server.port);
    let pages = fetched(&json!({"url": url}), &format!("{{network: ['http://localhost:{}/']}}", server.port));
    refused(&pages, "Denied", "HttpRequestDenied");
    assert_eq!(server.connections(), 0);
}

fn redirecting(to: &str) -> Server {
    Server::saying(format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
}

fn following(url: &str) -> Value {
    json!({
        "url": url, "headers": [["x-api-key", "mine"], ["accept", "a/b"]],
        "options": [["retries", "0"], ["redirects", "5"]],
    })
}

#[test]
fn threat_03_redirects_lead_nowhere_that_is_not_granted() {
    let target = Server::fine();
    for location in [target.url("/"), "http://169.254.169.254/".to_owned(), "file:///etc/passwd".to_owned()] {
        let server = redirecting(&location);
        let more = json!({"url": server.url("/"), "headers": [["x-api-key", "mine"]]});
        for page in fetched(&more, &local(&[server.port])) {
            assert_eq!(page["status"], 302, "it is handed over: {page}");
        }
        failed(&fetched(&following(&server.url("/")), &local(&[server.port])), &location);
    }
    // The manifest asks for the configured server alone, so the other port is refused whatever is granted.
    let server = redirecting(&target.url("/"));
    let pages = fetched(&following(&server.url("/")), &local(&[server.port, target.port]));
    refused(&pages, "manifest does not ask for it", "HttpRequestDenied");
    assert_eq!(target.connections(), 0);
}

#[test]
fn threat_03_what_could_be_a_key_stays_behind_at_another_origin() {
    let target = Server::fine();
    let server = redirecting(&target.url("/there"));
    let mut more = following(&server.url("/"));
    more["also"] = json!([target.url("/")]);
    for page in fetched(&more, &local(&[server.port, target.port])) {
        assert_eq!((&page["status"], &page["kept"]), (&json!(200), &json!("ok")), "{page}");
    }
    assert!(server.seen().iter().all(|request| request.contains("x-api-key: mine")), "{:?}", server.seen());
    assert_eq!(target.seen().len(), 2);
    for request in target.seen() {
        assert!(request.starts_with("GET /there ") && request.contains("accept: a/b"), "{request}");
        assert!(!request.contains("mine"), "{request}");
    }
}

#[test]
fn threat_03_circles_end() {
    let server = redirecting("/again");
    for page in fetched(&following(&server.url("/")), &local(&[server.port])) {
        assert_eq!(page["status"], 302, "{page}");
    }
    assert_eq!(server.seen().len(), 2 * (1 + 5));
}

#[test]
fn threat_04_connections_are_not_shared_between_integrations() {
    let server = Server::new(|_, stream| {
        // Stays open for as long as somebody asks.
        while stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok() {
            if request(stream).is_empty() {
                return;
            }
        }
    });
    let bench = bench(&json!({"url": server.url("/{}"), "pages": 4}), &local(&[server.port]));
    bench.run(&["export"]).code(0);
    // One for all pages of an integration, and none for two integrations, though they may reach the same.
    assert_eq!(server.connections(), 2);
}

#[test]
fn threat_05_no_header_field_reframes_a_request() {
    let server = Server::fine();
    let grants = local(&[server.port]);
    for (name, value) in [
        ("Host", "evil.test"),
        ("Connection", "upgrade"),
        ("Transfer-Encoding", "chunked"),
        ("Expect", "100-continue"),
        ("Upgrade", "websocket"),
        ("Proxy-Authorization", "x"),
        ("TE", "trailers"),
        ("Trailer", "x-late"),
        ("x-split", "a\r\nx-evil: 1"),
        ("x-split\r\nx-evil", "1"),
        ("x-nul", "a\0b"),
    ] {
        let pages = fetched(&json!({"url": server.url("/"), "headers": [[name, value]]}), &grants);
        failed(&pages, name);
    }
    for method in ["CONNECT", "TRACE", "G T", "get", "GET / HTTP/1.1\r\nx-evil: 1\r\n\r\nGET"] {
        failed(&fetched(&json!({"url": server.url("/"), "method": method}), &grants), method);
    }
    // Two lengths, of which a server before the server may believe the other.
    let lengths = json!([["content-length", "0"], ["content-length", "5"]]);
    let more = json!({"url": server.url("/"), "method": "POST", "body": 5, "headers": lengths});
    failed(&fetched(&more, &grants), "content-length");
    // Only the standard has trailers.
    let more = json!({"url": server.url("/"), "method": "POST", "body": 5, "trailers": [["x-evil", "1"]]});
    let [_, standard] = fetched(&more, &grants);
    assert!(standard["error"].as_str().is_some_and(|error| error.contains("trailers")), "{standard}");
    assert!(server.seen().iter().all(|request| !request.contains("evil")), "{:?}", server.seen());
    assert_eq!(server.seen().len(), 1, "the one that has no trailers is well");
}

#[test]
fn threat_05_what_stands_in_a_url_is_one_request_line() {
    let server = Server::fine();
    for path in ["/a b", "/a\r\nx-evil: 1", "/a HTTP/1.1\r\nHost: evil\r\n\r\n", "/é", "/\u{0}"] {
        fetched(&json!({"url": server.url(path)}), &local(&[server.port]));
    }
    // Encoded, or refused: never a second line, and never a space in the first.
    for request in server.seen() {
        assert_eq!(request.lines().next().unwrap().split(' ').count(), 3, "{request}");
        assert!(
            !request.lines().skip(1).any(|line| line.starts_with("x-evil") || line.contains("evil\r")),
            "{request}"
        );
    }
}

const CANARY: &str = "canary/secret+1";

/// The canary as a server may hand it back.
fn shapes() -> [String; 5] {
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let upper = hex.to_uppercase();
    [CANARY.to_owned(), "canary%2Fsecret%2B1".to_owned(), "Y2FuYXJ5L3NlY3JldCsx".to_owned(), hex, upper]
}

/// Nothing of the bench, neither what was printed nor any file but the secret's own, has the canary in any shape.
#[track_caller]
fn no_canary(bench: &Bench, printed: &str) {
    let files = files_below(&bench.path("")).into_iter().filter(|file| file.file_name().unwrap() != "secret");
    let texts = files.map(|file| String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned());
    for text in texts.chain([printed.to_owned(), format!("{:?}", bench.sink())]) {
        for shape in shapes() {
            assert!(!text.contains(&shape), "{shape} in {text}");
        }
    }
}

#[test]
fn threat_06_a_secret_is_put_in_by_the_host_and_never_comes_back() {
    let echo = Server::new(|request, stream| {
        let field = request.lines().find(|line| line.starts_with("authorization")).unwrap_or("none");
        let body = format!("{request} {}", shapes().join(" "));
        let head = format!(
            "HTTP/1.1 200 OK\r\nX-Echo: {field}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        drop(stream.write_all((head + &body).as_bytes()));
    });
    let more = json!({"url": echo.url("/"), "options": [["retries", "0"], ["auth", "token"]]});
    let credential = ", credentials: {token: {file: secret, bearer: true, hosts: [127.0.0.1]}}";
    let bench = bench(&more, &local_and(&[echo.port], credential));
    bench.write("secret", CANARY);
    let output = bench.run(&["export", "--log-level", "trace"]).code(0);
    let seen = echo.seen();
    assert_eq!(seen.len(), 2);
    for request in &seen {
        assert_eq!(request.matches(&format!("authorization: Bearer {CANARY}\r\n")).count(), 1, "{request}");
    }
    for page in first_pages(&bench) {
        assert_eq!(page["status"], 200, "{page}");
        assert!(page["kept"].as_str().unwrap().contains("[redacted]"), "{page}");
    }
    no_canary(&bench, &format!("{}{}", output.stdout, output.stderr));
}

#[test]
fn threat_06_a_secret_goes_to_its_own_hosts_and_to_who_asked_for_it() {
    let (server, other) = (Server::fine(), Server::fine());
    let of = |hosts: &str| format!(", credentials: {{token: {{file: secret, bearer: true, hosts: [{hosts}]}}}}");
    let named = |name: &str, url: &str| json!({"url": url, "options": [["retries", "0"], ["auth", name]]});
    let run = |more: &Value, grants: &str| {
        let bench = bench(more, grants);
        bench.write("secret", CANARY);
        let output = bench.run(&["export"]).code(0);
        no_canary(&bench, &format!("{}{}", output.stdout, output.stderr));
        first_pages(&bench)
    };
    let elsewhere = local_and(&[server.port], &of("api.example.com"));
    refused(&run(&named("token", &server.url("/")), &elsewhere), "does not belong to 127.0.0.1", "HttpRequestDenied");
    let none = local(&[server.port]);
    refused(&run(&named("token", &server.url("/")), &none), "is not granted", "HttpRequestDenied");
    let granted = local_and(&[server.port], &of("127.0.0.1"));
    refused(&run(&named("other", &server.url("/")), &granted), "does not ask for the credential", "HttpRequestDenied");
    // In a field of its own beside the host's: one of the two has to go.
    let mut both = named("token", &server.url("/"));
    both["headers"] = json!([["authorization", "mine"]]);
    failed(&run(&both, &granted), "two values of one field");
    assert_eq!(server.seen(), Vec::<String>::new());
    // Over a redirect, to the very same host on another port.
    let first = redirecting(&other.url("/"));
    let mut over = named("token", &first.url("/"));
    over["options"] = json!([["retries", "0"], ["auth", "token"], ["redirects", "3"]]);
    over["also"] = json!([other.url("/")]);
    let pages = run(&over, &local_and(&[first.port, other.port], &of("127.0.0.1")));
    assert!(pages.iter().all(|page| page["status"] == 200), "{pages:?}");
    assert!(first.seen().iter().all(|request| request.contains(CANARY)) && first.seen().len() == 2);
    assert!(other.seen().iter().all(|request| !request.contains("authorization")) && other.seen().len() == 2);
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
    assert_eq!((server.seen().len(), trap.connections()), (2, 0));
}

#[test]
fn threat_07_the_operators_proxy_is_used_and_rules_hold_behind_it() {
    let (proxy, direct) = (Server::fine(), Server::fine());
    let settings =
        format!("egress: {{proxy: 'http://me:{}@127.0.0.1:{}', no_proxy: [127.0.0.1]}}\n", "proxy-canary", proxy.port);
    let run = |url: &str, grants: &str| {
        let bench = bench_with(&settings, &json!({"url": url}), grants, "{}");
        let output = bench.run(&["export"]).code(0);
        let all = format!("{output:?}{:?}", bench.sink());
        assert!(!all.contains("proxy-canary"), "{all}");
        first_pages(&bench)
    };
    // A name that nobody but the proxy would find.
    let pages = run("http://wiki.example.invalid/a", "{network: ['http://wiki.example.invalid/']}");
    assert!(pages.iter().all(|page| page["kept"] == "ok"), "{pages:?}");
    for request in proxy.seen() {
        assert!(request.starts_with("GET http://wiki.example.invalid/a HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("proxy-authorization: Basic bWU6cHJveHktY2FuYXJ5\r\n"), "{request}");
    }
    // What is excepted goes by itself, and knows nothing of the proxy.
    let pages = run(&direct.url("/"), &local(&[direct.port]));
    assert!(pages.iter().all(|page| page["kept"] == "ok"), "{pages:?}");
    assert!(direct.seen().iter().all(|request| !request.contains("proxy-")), "{:?}", direct.seen());
    // What is not granted does not get to the proxy, nor does this machine by its name or address.
    refused(&run("http://other.example.invalid/", "{}"), "Denied", "HttpRequestDenied");
    for host in ["localhost", "169.254.169.254", "10.0.0.1"] {
        let url = format!("http://{host}:{}/", proxy.port);
        refused(&run(&url, &format!("{{network: ['{url}']}}")), "Denied", "HttpRequestDenied");
    }
    assert_eq!((proxy.seen().len(), direct.seen().len()), (2, 2));
}

#[test]
fn threat_25_the_limits_on_what_is_sent_are_the_same() {
    let server = Server::fine();
    let grants = local(&[server.port]);
    let too_much = json!({"url": server.url("/"), "method": "POST", "body": (16 << 20) + 1});
    refused(&fetched(&too_much, &grants), "TooLarge", "HttpRequestBodySize");
    let many: Vec<Value> = (0..200).map(|number| json!([format!("x-{number}"), "1"])).collect();
    failed(&fetched(&json!({"url": server.url("/"), "headers": many}), &grants), "200 fields");
    let large = json!([["x-large", "x".repeat(70_000)]]);
    failed(&fetched(&json!({"url": server.url("/"), "headers": large}), &grants), "70 kB in a field");
    let long = json!({"url": format!("{}{}", server.url("/"), "a".repeat(9_000))});
    failed(&fetched(&long, &grants), "9 kB of URL");
    let options = json!({"url": server.url("/"), "options": [["retries", "99"]]});
    failed(&fetched(&options, &grants), "an option out of its range");
    assert_eq!(server.seen(), Vec::<String>::new());
}

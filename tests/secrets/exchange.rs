//! Secrets that are exchanged for tokens: OAuth 2 with refresh tokens that the server changes, and a GitHub App's installation.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tests::{Bench, HEAD, Output};

use super::server::{Server, answer, field};

/// A server that gives out tokens at `/token`, each refresh token once, and pages to whoever has the newest access token. A token
/// lasts for `lasts` seconds; the pages of number `refused` are refused whatever comes.
fn oauth_server(lasts: u64, refused: usize) -> Server {
    let (given, pages) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Server::answering(move |_, request| {
        let line = request.lines().next().unwrap_or_default().to_owned();
        if line.starts_with("POST /token ") {
            let number = given.load(Ordering::SeqCst);
            let refresh = if number == 0 { "refresh-canary-0".to_owned() } else { format!("refresh-canary-{number}") };
            let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
            let expected =
                format!("grant_type=refresh_token&refresh_token={refresh}&client_id=me&client_secret=client-canary");
            if body != expected {
                // It repeats what it was given, and so what the agent knows.
                let told = format!("{{\"error\":\"invalid_grant\",\"error_description\":\"no more: {body}\"}}");
                return answer("400 Bad Request", "", told.as_bytes());
            }
            let next = given.fetch_add(1, Ordering::SeqCst) + 1;
            let token = json!({
                "access_token": format!("access-canary-{next}"), "refresh_token": format!("refresh-canary-{next}"),
                "token_type": "Bearer", "expires_in": lasts,
            });
            return answer("200 OK", "Content-Type: application/json\r\n", token.to_string().as_bytes());
        }
        let page = pages.fetch_add(1, Ordering::SeqCst) + 1;
        let newest = format!("Bearer access-canary-{}", given.load(Ordering::SeqCst));
        if field(request, "authorization") != Some(&newest) || page == refused {
            return answer("401 Unauthorized", "", field(request, "authorization").unwrap_or_default().as_bytes());
        }
        answer("200 OK", "", format!("served {newest}").as_bytes())
    })
}

fn bench(server: &Server, pages: u32, more: &Value, credential: &Value) -> Bench {
    let mut config = json!({"url": server.url(""), "pages": pages});
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    let mut credential = credential.clone();
    credential["hosts"] = json!(["127.0.0.1"]);
    let grants = json!({
        "network": [server.url("/page")], "private_hosts": ["127.0.0.1"], "credentials": {"token": credential},
    });
    let bench = Bench::new().config(&format!(
        "{HEAD}  - {{name: leaks, component: \"${{GUESTS}}/guest_leaks.wasm\", config: {config}, grants: {grants}}}\n"
    ));
    bench.write("refresh", "refresh-canary-0");
    bench.write("client", "client-canary");
    bench
}

fn oauth(server: &Server) -> Value {
    json!({
        "file": "refresh",
        "oauth2": {"token_url": server.url("/token"), "client_id": "me", "client_secret": {"file": "client"}},
    })
}

fn exchanges(server: &Server) -> usize {
    server.seen().iter().filter(|request| request.starts_with("POST /token ")).count()
}

/// The statuses of the pages of the last export.
fn statuses(bench: &Bench) -> Vec<Option<u64>> {
    let sink = bench.sink();
    sink.records["leaks/leaks.Loot"].iter().map(|page| page["status"].as_u64()).collect()
}

fn nothing_told(output: &Output, bench: &Bench) {
    let mut all = format!("{output:?}");
    for file in tests::files_below(&bench.path("root")).iter().chain(&tests::files_below(&bench.path("out"))) {
        all.push_str(&String::from_utf8_lossy(&std::fs::read(file).unwrap()));
    }
    let told = all.find("canary").map(|at| &all[at.saturating_sub(60)..all.len().min(at + 60)]);
    assert_eq!(told, None, "{output:?}");
}

#[test]
fn an_access_token_is_had_once_and_kept_for_the_next_run() {
    let server = oauth_server(3600, 0);
    let bench = bench(&server, 3, &json!({}), &oauth(&server));
    let output = bench.export().code(0);
    assert_eq!((exchanges(&server), statuses(&bench)), (1, vec![Some(200); 3]));
    nothing_told(&output, &bench);
    // Another process: the same token serves.
    let calls = bench.run(&["export", "--reprocess-historical"]).code(0);
    assert_eq!(exchanges(&server), 1);
    nothing_told(&calls, &bench);
}

#[test]
fn a_refresh_token_that_the_server_changes_is_kept_each_time() {
    // Tokens that have run out when they come: each page needs a new one, and each exchange the newest refresh token.
    let server = oauth_server(0, 0);
    let bench = bench(&server, 3, &json!({}), &oauth(&server));
    bench.export().code(0);
    assert_eq!((exchanges(&server), statuses(&bench)), (3, vec![Some(200); 3]));
    // What the operator gave has long been used up; the next process goes on with what was kept.
    let output = bench.run(&["export", "--reprocess-historical"]).code(0);
    assert_eq!(exchanges(&server), 6);
    assert!(statuses(&bench).iter().all(|status| *status == Some(200)));
    nothing_told(&output, &bench);
    // Without that, the server says no, and what it says of the token is not told.
    std::fs::remove_dir_all(bench.path("root/secrets")).unwrap();
    let output = bench.run(&["export", "--reprocess-historical"]).code(0);
    let sink = bench.sink();
    let last = sink.records["leaks/leaks.Loot"].last().unwrap();
    assert!(last["text"].as_str().unwrap().contains("refuses to exchange it (400): invalid_grant"), "{last}");
    nothing_told(&output, &bench);
}

#[test]
fn a_token_that_the_source_refuses_is_renewed_and_the_request_made_once_more() {
    let server = oauth_server(3600, 2);
    let bench = bench(&server, 3, &json!({}), &oauth(&server));
    bench.export().code(0);
    assert_eq!((exchanges(&server), statuses(&bench)), (2, vec![Some(200); 3]));
}

#[test]
fn a_guest_may_ask_for_a_new_token_and_does_not_get_one_each_time() {
    let server = oauth_server(3600, 0);
    let bench = bench(&server, 5, &json!({"refresh": true}), &oauth(&server));
    bench.export().code(0);
    assert_eq!((exchanges(&server), statuses(&bench)), (1, vec![Some(200); 5]));
    // A credential that is not exchanged cannot be renewed.
    let plain = self::bench(&server, 1, &json!({"refresh": true}), &json!({"file": "refresh", "bearer": true}));
    plain.export().code(1).says("is not an OAuth 2 credential");
}

#[test]
fn an_app_of_github_gets_a_token_for_its_installation_and_uses_it_until_it_expires() {
    let bench = |server: &Server| {
        let app = json!({"app_id": 12, "installation_id": 34, "api_url": server.url("/api/v3/")});
        bench(
            server,
            3,
            &json!({}),
            &json!({"file": "app.pem", "github_app": app, "basic": {"username": "x-access-token"}}),
        )
    };
    let server = Server::answering(|_, request| {
        if request.starts_with("POST /api/v3/app/installations/34/access_tokens ") {
            let proof = field(request, "authorization").unwrap_or_default();
            // Three parts, the first of them the usual head of a token that RS256 signs.
            let good =
                proof.starts_with("Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.") && proof.matches('.').count() == 2;
            let body = json!({"token": "ghs-canary", "expires_at": "2999-01-01T00:00:00Z"}).to_string();
            return answer(if good { "201 Created" } else { "401 Unauthorized" }, "", body.as_bytes());
        }
        let right = format!("Basic {}", super::base64(b"x-access-token:ghs-canary"));
        answer(if field(request, "authorization") == Some(&right) { "200 OK" } else { "401 Unauthorized" }, "", b"")
    });
    let made = std::process::Command::new("openssl").args(["genrsa", "2048"]).output();
    let Some(made) = made.ok().filter(|made| made.status.success()) else {
        return eprintln!("skipped openssl: it makes the key of this test");
    };
    let bench = bench(&server);
    bench.write("app.pem", &made.stdout);
    let output = bench.export().code(0);
    assert_eq!(statuses(&bench), vec![Some(200); 3]);
    let exchanged = server.seen().iter().filter(|request| request.starts_with("POST /api/v3/app")).count();
    assert_eq!(exchanged, 1);
    nothing_told(&output, &bench);
    bench.write("app.pem", "no key at all");
    bench.run(&["export", "--reprocess-historical"]).code(0);
    let sink = bench.sink();
    let last = sink.records["leaks/leaks.Loot"].last().unwrap();
    assert!(last["text"].as_str().unwrap().contains("is not a private key in PEM"), "{last}");
}

/// Tokens that are made on the way are not on a cassette either: what they were made of, what they are, and what a server says of
/// them.
#[test]
fn nothing_of_an_exchange_is_on_a_cassette() {
    let server = oauth_server(1, 2);
    let bench = bench(&server, 3, &json!({}), &oauth(&server));
    bench.write("settings.json", json!({"url": server.url(""), "pages": 3}).to_string());
    let mut credential = oauth(&server);
    credential["hosts"] = json!(["127.0.0.1"]);
    let grants = json!({
        "network": [server.url("/page")], "private_hosts": ["127.0.0.1"], "credentials": {"token": credential},
    });
    bench.write("grants.yaml", grants.to_string());
    let line =
        "run-wasm \"$GUESTS/guest_leaks.wasm\" export --config-file settings.json --grants grants.yaml --root root";
    let output = bench.shell(&format!("\"$AGENT\" {line} --record a.har --output first.ndjson"));
    assert_eq!(output.code, 0, "{output:?}");
    assert!(exchanges(&server) >= 2, "a token that was refused is made anew: {:?}", server.seen());
    for name in ["a.har", "first.ndjson"] {
        let text = bench.read(name);
        assert!(text.contains("served Bearer [redacted]") && !text.contains("canary"), "{name}: {text}");
    }
    let asked = server.seen().len();
    for name in ["refresh", "client", "grants.yaml"] {
        std::fs::remove_file(bench.path(name)).unwrap();
    }
    let replay = "run-wasm \"$GUESTS/guest_leaks.wasm\" --replay a.har --strict --output second.ndjson";
    let output = bench.shell(&format!("\"$AGENT\" {replay}"));
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(server.seen().len(), asked);
    assert_eq!(bench.read("second.ndjson"), bench.read("first.ndjson"));
}

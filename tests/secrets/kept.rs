//! Secrets that are put into bodies for a server to keep: to the paths that the manifest asks for and the operator grants, and to
//! no others, whatever an integration makes of a path and wherever a server sends it.

use serde_json::{Value, json};
use tests::{Bench, HEAD, Output};

use super::server::{Server, answer};

const HOOK: &str = "hook-canary-5-of-5";

/// Keeps what it is given, and sends some of it elsewhere.
fn keeper() -> Server {
    Server::answering(|_, request| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        match path.strip_suffix("/moved") {
            Some(_) => answer("307 Temporary Redirect", "Location: /git/repos/o/r/issues/1/comments\r\n", b""),
            None => answer("201 Created", "", b"kept"),
        }
    })
}

/// The guest, at a server that is installed below `/git`, with more of grants.
fn bench(server: &Server, credentials: &Value) -> Bench {
    let config = json!({"url": server.url("/git"), "hook": {"env": "HOOK"}});
    let grants =
        json!({"network": [server.url("/")], "private_hosts": ["127.0.0.1"], "credentials": credentials.clone()});
    Bench::new().config(&format!(
        "{HEAD}  - {{name: leaks, component: \"${{GUESTS}}/guest_leaks.wasm\", config: {config}, grants: {grants}}}\n"
    ))
}

fn keep(bench: &Bench, path: &str) -> Output {
    let data = json!({ "path": path }).to_string();
    bench.shell_with(&[("HOOK", HOOK)], &format!("\"$AGENT\" mutate leaks keep --data '{data}' --json"))
}

/// How often a request to this path had the secret.
fn kept(server: &Server, path: &str) -> usize {
    let begins = format!("POST {path} ");
    server.seen().iter().filter(|request| request.starts_with(&begins) && request.contains(HOOK)).count()
}

#[test]
fn a_secret_is_put_into_bodies_at_its_paths_only() {
    let server = keeper();
    let own = json!({"hook": {"body": true, "hosts": ["127.0.0.1"], "paths": ["/git/repos/o"]}});
    let elsewhere = json!({"hook": {"body": true, "hosts": ["a.test"], "paths": ["/git/repos/o"]}});
    let (by_manifest, by_operator) = ("has to add to `place.body.paths`", "add to `grants.credentials.hook.paths`");
    for (granted, path, refusal) in [
        (&json!({}), "/repos/o/r/hooks", None),
        (&json!({}), "/repos/o/a%2Fr/hooks?page=1", None),
        (&own, "/repos/o/r/hooks/7", None),
        // Where others read what is kept.
        (&json!({}), "/repos/o/r/issues/1/comments", Some(by_manifest)),
        (&json!({}), "/repos/o/r/hooks/../issues", Some(by_manifest)),
        (&json!({}), "/repos/o/r/hooks/%2e%2e/issues", Some(by_manifest)),
        (&json!({}), "/repos/o/r/hooks/..%2fissues", Some(by_manifest)),
        (&json!({}), "/repos/o/r/hooks/%252e%252e/issues", Some(by_manifest)),
        (&json!({}), "/repos/o/r%2fissues%3f/hooks", Some(by_manifest)),
        (&json!({}), "/../repos/o/r/hooks", Some(by_manifest)),
        (&own, "/repos/p/r/hooks", Some(by_operator)),
        (&own, "/repos/o/r/issues", Some(by_manifest)),
        (&elsewhere, "/repos/o/r/hooks", Some("add to `grants.credentials.hook.hosts`")),
    ] {
        let before = server.seen().len();
        let output = keep(&bench(&server, granted), path);
        match refusal {
            None => {
                assert_eq!(
                    (output.code, output.json()["webapp_response"]["status"].clone()),
                    (0, json!(201)),
                    "{path}"
                );
                assert_eq!(server.seen().len(), before + 1);
            }
            Some(said) => {
                let told = output.json()["error"].as_str().unwrap_or_default().to_owned();
                assert!(output.code == 1 && told.contains(said) && told.contains("`hook`"), "{path}: {output:?}");
                assert_eq!(server.seen().len(), before, "{path}: it was not sent");
            }
        }
        assert!(!output.stdout.contains(HOOK) && !output.stderr.contains(HOOK), "{path}");
    }
    assert_eq!(kept(&server, "/git/repos/o/r/hooks"), 1);
    assert_eq!(kept(&server, "/git/repos/o/r/hooks/7"), 1);
}

/// A redirect on the same server takes the body, and no secret, to another path.
#[test]
fn a_redirect_takes_no_secret_to_another_path() {
    let server = keeper();
    let output = keep(&bench(&server, &json!({})), "/repos/o/r/hooks/moved");
    assert!(output.code == 1 && output.stdout.contains("place.body.paths"), "{output:?}");
    assert_eq!((kept(&server, "/git/repos/o/r/hooks/moved"), server.seen().len()), (1, 1));
}

/// A line that a refusal names is one that works; and a grant without paths is none.
#[test]
fn what_a_refusal_says_can_be_written() {
    let server = keeper();
    let narrow = json!({"hook": {"body": true, "hosts": ["127.0.0.1"], "paths": ["/git/repos/p"]}});
    let refused = keep(&bench(&server, &narrow), "/repos/o/a%2Fr/hooks");
    let told = refused.json()["error"].as_str().unwrap().to_owned();
    let path = told.rsplit("agent.yaml: - ").next().unwrap().trim();
    assert_eq!(path, "/git/repos/o/*/hooks", "{told}");
    let wider = json!({"hook": {"body": true, "hosts": ["127.0.0.1"], "paths": ["/git/repos/p", path]}});
    assert_eq!(keep(&bench(&server, &wider), "/repos/o/a%2Fr/hooks").code, 0);
    let anywhere = bench(&server, &json!({"hook": {"body": true, "hosts": ["127.0.0.1"]}}));
    let output = keep(&anywhere, "/repos/o/r/hooks");
    assert!(output.code == 78 && output.stderr.contains("hook.paths: it is missing"), "{output:?}");
}

/// Who adds an integration sees where its secrets go.
#[test]
fn an_operator_sees_the_paths_before_agreeing() {
    let server = keeper();
    let bench = bench(&server, &json!({}));
    let added = bench.shell("\"$AGENT\" integrations add \"$GUESTS/guest_leaks.wasm\" --name leaks --yes 2>&1");
    assert_eq!(added.code, 0, "{added:?}");
    added.says("in a body, for the server to keep, below /repos/*/*/hooks (of the URL in its setting /url)");
    let granted = bench.shell("\"$AGENT\" integrations grant leaks --asked 2>&1");
    assert_eq!(granted.code, 0, "{granted:?}");
}

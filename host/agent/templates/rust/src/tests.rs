//! The export against canned answers: what arrives, where the next run goes on, and what happens when the server fails.

use agent_sdk::ErrorKind;
use agent_sdk::testing::{Answer, Host};
use serde_json::{Value, json};

use crate::{{type}};

const LIST: &str = "GET https://api.github.com/repos/o/r/issues";
const MODEL: &str = "{{name}}.Issue";

fn config() -> Value {
    json!({ "repo": "o/r" })
}

fn issue(id: u64, title: &str) -> Value {
    json!({
        "id": id,
        "number": id,
        "title": title,
        "state": "open",
        "user": { "login": "ada" },
        "created_at": "2026-11-01T00:00:00Z",
        "updated_at": "2026-11-02T00:00:00Z",
        "html_url": format!("https://github.com/o/r/issues/{id}")
    })
}

/// Two pages, then nothing new.
fn host() -> Host {
    let host = Host::new();
    let first = Answer::json(&[issue(1, "one"), issue(2, "two")])
        .header("link", r#"</repos/o/r/issues?page=2>; rel="next""#)
        .header("date", "Sat, 21 Nov 2026 09:30:00 GMT");
    host.on(LIST, first);
    host.on(&format!("{LIST}?page=2"), Answer::json(&[issue(3, "three")]));
    host
}

#[test]
fn all_pages_arrive_and_the_next_run_asks_for_what_is_new() {
    let host = host();
    let first = host.export::<{{type}}>(config()).ok();
    assert_eq!(first.ids(MODEL), ["1", "2", "3"]);
    assert_eq!(first.of(MODEL)[0]["author"], "ada");
    assert_eq!(host.cursor(MODEL).as_deref(), Some("2026-11-21T09:30:00Z"));

    host.on(LIST, Answer::json(&[issue(2, "two"), issue(3, "renamed")]));
    let second = host.export::<{{type}}>(config()).ok();
    // Two minutes before the last run began; what is as it was is left out.
    assert_eq!(second.requests[0].parameter("since").as_deref(), Some("2026-11-21T09:28:00Z"));
    assert_eq!(second.ids(MODEL), ["3"]);
    assert_eq!(second.unchanged, 1);
}

#[test]
fn a_run_that_is_stopped_goes_on_at_the_next_page() {
    let host = host();
    host.stop_after(1);
    assert_eq!(host.export::<{{type}}>(config()).ok().ids(MODEL), ["1", "2"]);
    host.stop_after(u32::MAX);
    let second = host.export::<{{type}}>(config()).ok();
    assert_eq!(second.requests[0].parameter("page").as_deref(), Some("2"));
    assert_eq!(second.ids(MODEL), ["3"]);
}

#[test]
fn a_refusal_says_what_to_do_and_keeps_what_came_before() {
    let host = Host::new();
    host.on(LIST, Answer::json(&[issue(1, "one")]).header("link", r#"<?page=2>; rel="next""#));
    host.on(&format!("{LIST}?page=2"), Answer::status(401));
    let run = host.export::<{{type}}>(config());
    assert_eq!(run.error().kind(), ErrorKind::Unauthenticated);
    assert!(run.error().message().contains("grant a credential"), "{}", run.error());
    assert_eq!(run.ids(MODEL), ["1"]);
}

#[test]
fn a_configuration_is_tried_against_the_server() {
    let host = Host::new();
    host.on("GET https://api.github.com/repos/o/r", Answer::json(&json!({ "id": 1 })));
    host.on("GET https://api.github.com/repos/o/gone", Answer::status(404));
    assert!(host.validate_config::<{{type}}>(config()).unwrap().ok);
    let gone = host.validate_config::<{{type}}>(json!({ "repo": "o/gone" })).unwrap();
    assert!(gone.errors[0].contains("answered 404"), "{:?}", gone.errors);
    host.on("GET https://api.github.com/repos/o/secret", Answer::status(401));
    let refused = host.validate_config::<{{type}}>(json!({ "repo": "o/secret" })).unwrap();
    // By this beginning the agent knows that it is the credential.
    assert!(refused.errors[0].starts_with("unauthenticated:"), "{:?}", refused.errors);
}

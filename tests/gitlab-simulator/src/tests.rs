//! The simulator asked as a client asks it, over the wire.

use serde_json::Value;
use simulator::asking::{self, Got};

use super::{Lie, Options, Simulator, Size, Told};

fn get(simulator: &Simulator, target: &str) -> Got {
    asking::ask(&simulator.url(), "GET", target, "", "")
}

fn start() -> Simulator {
    Simulator::start(Options::default()).unwrap()
}

fn texts(items: &Value, name: &str) -> Vec<String> {
    items.as_array().unwrap().iter().map(|item| item[name].as_str().unwrap().to_owned()).collect()
}

#[test]
fn lists_of_a_group_have_what_is_in_all_its_projects() {
    let simulator = start();
    let got = get(&simulator, "/api/v4/groups/acme/issues?scope=all&per_page=100&order_by=updated_at&sort=desc");
    assert_eq!(got.body.as_array().unwrap().len(), 60);
    assert!(got.head.contains("x-total: 60") && !got.head.contains("rel=\"next\""), "{}", got.head);
    let times = texts(&got.body, "updated_at");
    assert!(times.is_sorted_by(|one, other| one >= other), "{times:?}");
    let newest = &times[0];
    let got = get(&simulator, &format!("/api/v4/groups/acme/issues?updated_after={newest}"));
    assert!(texts(&got.body, "updated_at").iter().all(|time| time == newest) && got.body[0].is_object());
    assert_eq!(get(&simulator, "/api/v4/groups/nobody").status, 404);
}

#[test]
fn a_list_by_keyset_has_everything_once_and_does_not_say_how_much() {
    let simulator = start();
    let project = simulator.with(|world| world.projects[0].id);
    let count = simulator.with(|world| world.projects[0].issues.len());
    let mut target =
        format!("/api/v4/projects/{project}/issues?pagination=keyset&per_page=5&order_by=created_at&sort=asc");
    let mut seen = Vec::new();
    loop {
        let got = get(&simulator, &target);
        assert!(!got.head.contains("x-total"));
        seen.extend(got.body.as_array().unwrap().iter().map(|issue| issue["iid"].as_u64().unwrap()));
        let Some(next) = got.head.lines().find_map(|line| line.strip_prefix("link: <")?.split_once('>')) else { break };
        target = next.0.trim_start_matches(&simulator.url()).replace("http://h.invalid", "");
    }
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[test]
fn limits_and_lies_come_as_asked() {
    let options = Options { requests: 2, token: Some("right".to_owned()), ..Options::default() };
    let simulator = Simulator::start(options).unwrap();
    let ask = |more: &str| asking::ask(&simulator.url(), "GET", "/api/v4/version", more, "");
    assert_eq!(ask("").status, 401);
    assert_eq!(ask("private-token: right\r\n").status, 200);
    let got = ask("authorization: Bearer right\r\n");
    assert!(got.head.contains("ratelimit-remaining: 0"), "{}", got.head);
    let got = ask("private-token: right\r\n");
    assert!(got.status == 429 && got.head.contains("retry-after: 60"), "{}", got.head);
    simulator.renew();
    simulator.lie(vec![Told::once(Lie::Html, "version")]);
    assert_eq!((ask("private-token: right\r\n").body, simulator.ledger().refused), (Value::Null, 1));
}

#[test]
fn changes_are_made_and_told_to_hooks_with_their_secret() {
    let simulator =
        Simulator::start(Options { size: Size { projects: 1, ..Size::default() }, ..Options::default() }).unwrap();
    let (project, merged) = simulator.with(|world| {
        let one = world.projects[0].merge_requests.values().find(|one| one.thread.state == "merged").unwrap();
        (world.projects[0].id, one.thread.iid)
    });
    let send = |method: &str, path: &str, body: &str| {
        asking::ask(&simulator.url(), method, &format!("/api/v4/projects/{project}/{path}"), "", body)
    };
    let hook = r#"{"url":"https://hooks.invalid/x","token":"a secret"}"#;
    assert_eq!(send("POST", "hooks", hook).status, 201);
    assert_eq!(send("PUT", "issues/1", r#"{"title":"Anew"}"#).body["title"], "Anew");
    assert_eq!(send("PUT", "issues/1", r#"{"title":""}"#).status, 400);
    // Nothing happens to one that is merged, and nobody says so.
    let path = format!("merge_requests/{merged}");
    assert_eq!(send("PUT", &path, r#"{"state_event":"close"}"#).body["state"], "merged");
    assert_eq!(send("POST", &format!("{path}/notes"), r#"{"body":"Hm"}"#).status, 201);
    let deliveries = simulator.deliveries();
    let last = deliveries.last().unwrap();
    assert!(last.headers.contains(&("x-gitlab-token".to_owned(), "a secret".to_owned())));
    let payload: Value = serde_json::from_slice(&last.body).unwrap();
    assert_eq!((&payload["object_kind"], &payload["merge_request"]["iid"]), (&"note".into(), &merged.into()));
}

#[test]
fn it_changes_while_it_is_read() {
    let simulator = start();
    let before = simulator.truth();
    simulator.change_every(1);
    (0..10).for_each(|_| drop(get(&simulator, "/api/v4/version")));
    assert_ne!(simulator.truth(), before);
    let truth = asking::ask(&simulator.url(), "GET", "/_simulator/truth", "", "").body;
    assert_eq!(truth["work.Issue"].as_object().unwrap().len(), simulator.truth()["work.Issue"].len());
}

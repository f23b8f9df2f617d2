//! The integration against a few words of a server in a function: what needs no whole site. The whole is tested with the agent
//! against the simulator (`tests/jira.rs`).

use std::cell::RefCell;
use std::rc::Rc;

use agent_sdk::ErrorKind;
use agent_sdk::testing::{Answer, Asked, Host, Run};
use integration_model::published;
use serde_json::{Value, json};

use super::Jira;

const URL: &str = "https://jira.example/context";

fn config() -> Value {
    json!({ "url": URL, "users": false, "boards": false })
}

/// A server of one project.
struct Server {
    kind: &'static str,
    /// As the server writes it, in the time zone of whoever asks.
    time: &'static str,
    issues: Vec<Value>,
    /// What answers in place of all this, where it does.
    first: fn(&Server, &Asked) -> Option<Answer>,
    asked: Vec<String>,
}

fn issue(id: u64, updated: &str) -> Value {
    json!({
        "id": id.to_string(), "key": format!("A-{id}"), "fields": {
            "summary": "S", "description": null, "project": { "id": "7" }, "status": { "id": "1", "name": "Open" },
            "created": "2026-01-01T00:00:00.000+0000", "updated": updated, "labels": []
        }
    })
}

fn true_answer(server: &Server, asked: &Asked) -> Option<Answer> {
    let path = asked.path().strip_prefix("/context/rest/")?;
    let cloud = server.kind == "Cloud";
    Some(Answer::json(&match path {
        "api/2/serverInfo" => json!({ "version": "1", "deploymentType": server.kind, "serverTime": server.time }),
        "api/2/myself" | "api/3/myself" => json!({ "accountId": "me", "timeZone": "Pacific/Kiritimati" }),
        "api/2/project" => json!([{ "id": "7", "key": "A", "name": "A" }]),
        "api/3/project/search" => {
            json!({ "startAt": 0, "total": 1, "isLast": true, "values": [{ "id": "7", "key": "A", "name": "A" }] })
        }
        "api/3/search/jql" | "api/2/search" => {
            let jql = asked.parameter("jql").unwrap();
            let ids = jql.split_once("id in (").map(|(_, rest)| rest.split(')').next().unwrap().to_owned());
            let ids: Option<Vec<&str>> = ids.as_ref().map(|ids| ids.split(',').collect());
            let wanted = |issue: &&Value| ids.as_ref().is_none_or(|ids| ids.contains(&issue["id"].as_str().unwrap()));
            let found: Vec<&Value> = server.issues.iter().filter(wanted).collect();
            if cloud && ids.is_some_and(|ids| ids.len() > found.len()) {
                return Some(Answer::new(400, "{}"));
            }
            let start: usize = asked.parameter("startAt").map_or(0, |start| start.parse().unwrap());
            let page: Vec<&Value> = found.iter().skip(start).copied().collect();
            json!({ "startAt": start, "total": found.len(), "isLast": true, "issues": page })
        }
        _ if path.starts_with("api/") => json!([]),
        _ => return None,
    }))
}

fn serve(kind: &'static str, issues: Vec<Value>) -> (Host, Rc<RefCell<Server>>) {
    let time = "2026-11-29T14:00:30.000+1400";
    let server = Rc::new(RefCell::new(Server { kind, time, issues, first: |_, _| None, asked: Vec::new() }));
    let (host, state) = (Host::new(), Rc::clone(&server));
    host.serve(move |asked| {
        let mut server = state.borrow_mut();
        let jql = asked.parameter("jql").map(|jql| format!(" {jql}")).unwrap_or_default();
        server.asked.push(format!("{} {}{jql}", asked.method, asked.path()));
        (server.first)(&server, asked).or_else(|| true_answer(&server, asked))
    });
    (host, server)
}

fn export(host: &Host) -> Run {
    host.export::<Jira>(config())
}

/// The searches that were made since the last time, but for the site's.
fn searches(server: &Rc<RefCell<Server>>) -> Vec<String> {
    let asked = std::mem::take(&mut server.borrow_mut().asked);
    asked
        .iter()
        .filter_map(|asked| asked.split_once("/search/jql ").or(asked.split_once("/search ")))
        .map(|(_, jql)| jql.to_owned())
        .collect()
}

#[test]
fn what_has_moved_is_asked_for_in_no_time_zone() {
    for kind in ["Cloud", "Server"] {
        let (host, server) = serve(kind, vec![issue(1, "2026-11-29T13:00:00.000+1400")]);
        let first = export(&host).ok();
        assert_eq!(first.ids("work.Issue"), ["1"]);
        assert_eq!(first.of("work.Issue")[0]["updated_at"], "2026-11-28T23:00:00Z");
        assert_eq!(searches(&server), ["project = 7 ORDER BY key ASC"]);
        let cursor: Value = serde_json::from_str(&host.cursor("jira").unwrap()).unwrap();
        assert_eq!(cursor["since"], "2026-11-29T00:00:30Z", "the server's clock, and not ours");
        // An hour later, and its profile moves to another time zone.
        server.borrow_mut().time = "2026-11-28T15:00:30.000-1000";
        server.borrow_mut().issues = vec![issue(1, "2026-11-28T14:30:00.000-1000")];
        assert_eq!(export(&host).ok().ids("work.Issue"), ["1"]);
        // 60 minutes, one for the seconds, and ten of overlap.
        assert_eq!(searches(&server), ["updated >= -71m ORDER BY key ASC", "id in (1) ORDER BY key ASC"]);
        // A clock that goes back asks for the overlap at least.
        server.borrow_mut().time = "2026-11-28T12:00:00.000-1000";
        let _ = export(&host).ok();
        assert_eq!(searches(&server)[0], "updated >= -11m ORDER BY key ASC");
    }
}

#[test]
fn an_issue_that_has_gone_in_between_hides_no_other() {
    let all = |ids: &[u64]| ids.iter().map(|id| issue(*id, "2026-11-29T00:00:00.000+0000")).collect::<Vec<_>>();
    let (host, server) = serve("Cloud", all(&[1, 2, 3, 4, 5]));
    let _ = export(&host).ok();
    server.borrow_mut().time = "2026-11-29T01:00:00.000+0000";
    // The index still has number 3, and the search by ids is refused because of it.
    let moved: fn(&Server, &Asked) -> Option<Answer> = |_, asked| {
        let jql = asked.parameter("jql")?;
        if jql.starts_with("updated") {
            let issues: Vec<Value> = (1..=5).map(|id| issue(id, "2026-11-29T00:30:00.000+0000")).collect();
            return Some(Answer::json(&json!({ "issues": issues, "isLast": true })));
        }
        None
    };
    server.borrow_mut().first = moved;
    server.borrow_mut().issues = [1, 2, 4, 5].map(|id| issue(id, "2026-11-29T00:30:00.000+0000")).into();
    assert_eq!(export(&host).ok().ids("work.Issue"), ["1", "2", "4", "5"]);
    // What was not to be had is asked for again, three times.
    server.borrow_mut().first = |_, asked| {
        asked.parameter("jql")?.starts_with("updated").then(|| Answer::json(&json!({ "issues": [], "isLast": true })))
    };
    searches(&server);
    for _ in 0..3 {
        let _ = export(&host).ok();
        assert!(searches(&server).contains(&"id in (3) ORDER BY key ASC".to_owned()));
    }
    let _ = export(&host).ok();
    assert_eq!(searches(&server), ["updated >= -11m ORDER BY key ASC"]);
}

#[test]
fn a_place_that_the_cloud_has_forgotten_is_begun_anew() {
    let (host, server) = serve("Cloud", vec![issue(1, "2026-11-29T00:00:00.000+0000")]);
    server.borrow_mut().first = |_, asked| {
        asked.parameter("jql")?;
        match asked.parameter("nextPageToken") {
            None => Some(Answer::json(&json!({ "issues": [], "isLast": false, "nextPageToken": "t1" }))),
            Some(_) => Some(Answer::status(500)),
        }
    };
    let run = export(&host).ok();
    assert!(run.skipped[0].contains("500"), "{:?}", run.skipped);
    assert!(host.cursor("jira/7/project/7/work.Issue").unwrap().contains("t1"));
    server.borrow_mut().first = |_, asked| asked.parameter("nextPageToken").map(|_| Answer::new(400, "{}"));
    assert_eq!(export(&host).ok().ids("work.Issue"), ["1"]);
}

#[test]
fn pages_that_are_counted_reach_back_over_what_has_gone() {
    let all: Vec<Value> = (1..=250).map(|id| issue(id, "2026-11-29T00:00:00.000+0000")).collect();
    let (host, server) = serve("Server", all);
    // A hundred at a time; after the first page 40 issues have gone from before it.
    server.borrow_mut().first = |server, asked| {
        let (start, most) =
            (asked.parameter("startAt")?.parse::<usize>().ok()?, asked.parameter("maxResults")?.parse().ok()?);
        let gone = if server.asked.iter().filter(|asked| asked.contains("/search ")).count() > 1 { 40 } else { 0 };
        let page: Vec<&Value> = server.issues.iter().skip(gone + start).take(most).collect();
        Some(Answer::json(&json!({ "startAt": start, "total": 250 - gone, "issues": page })))
    };
    let run = export(&host).ok();
    assert_eq!(run.ids("work.Issue").len(), 250);
    assert_eq!(run.result.unwrap().projects[0].error, None);
}

#[test]
fn what_is_missing_at_once_is_not_believed_and_what_is_there_is_not_gone() {
    let all = |ids: std::ops::RangeInclusive<u64>| ids.map(|id| issue(id, "2026-11-29T00:00:00.000+0000")).collect();
    let (host, server) = serve("Server", all(1..=40));
    let _ = export(&host).ok();
    // Two days later the list has ten of them.
    server.borrow_mut().time = "2026-12-01T00:00:00.000+0000";
    server.borrow_mut().issues = all(31..=40);
    let run = export(&host).ok();
    assert_eq!(run.of("work.Issue"), Vec::<&Value>::new());
    let errors: Vec<String> = run.result.unwrap().projects.into_iter().filter_map(|project| project.error).collect();
    assert!(errors[0].contains("30 of 40 work.Issue of "), "{errors:?}");
    // Two days later three are missing: one has gone, one is in another project, one is there after all.
    server.borrow_mut().time = "2026-12-03T00:00:00.000+0000";
    server.borrow_mut().issues = all(4..=40);
    server.borrow_mut().first = |_, asked| {
        let project = match asked.path() {
            "/context/rest/api/2/issue/1" => return Some(Answer::status(404)),
            "/context/rest/api/2/issue/2" => "8",
            "/context/rest/api/2/issue/3" => "7",
            _ => return None,
        };
        Some(Answer::json(&json!({ "fields": { "project": { "id": project } } })))
    };
    let run = export(&host).ok();
    assert_eq!(
        run.of("work.Issue"),
        [&json!({ "ref_id": "1", "ref_type": "jira", "project_id": "7", "active": false })]
    );
}

#[test]
fn who_must_solve_a_riddle_is_told_so() {
    let (host, server) = serve("Server", Vec::new());
    server.borrow_mut().first = |_, asked| {
        let denied = Answer::status(403).header("x-authentication-denied-reason", "CAPTCHA_CHALLENGE; login-url=x");
        asked.path().ends_with("/myself").then_some(denied)
    };
    let result = host.validate_config::<Jira>(config()).unwrap();
    assert!(
        result.errors[0].starts_with("unauthenticated:") && result.errors[0].contains("CAPTCHA"),
        "{:?}",
        result.errors
    );
    assert_eq!(export(&host).error().kind(), ErrorKind::Unauthenticated);
}

#[test]
fn the_models_are_published_as_they_are() {
    use agent_sdk::Integration;
    assert_eq!(published::check(&Jira::describe()).len(), 12);
}

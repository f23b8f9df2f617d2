//! The integration against canned answers and a few words of a server in a function: what needs no whole organisation. The
//! whole is tested with the agent against the simulator (`tests/github.rs`).

use std::cell::RefCell;
use std::rc::Rc;

use agent_sdk::testing::{Answer, Asked, Host, Run};
use agent_sdk::{ErrorKind, Integration};
use integration_model::published;
use serde_json::{Value, json};

use super::{GitHub, REF_TYPE};

const GRAPHQL: &str = "https://api.github.com/graphql";

fn config() -> Value {
    json!({ "organizations": ["acme"], "git": false, "reserve": 0 })
}

fn budget() -> Value {
    json!({ "limit": 5000, "cost": 1, "remaining": 4000, "resetAt": "2030-01-01T00:00:00Z" })
}

fn page(nodes: &Value, next: Option<&str>) -> Value {
    json!({ "totalCount": 1, "pageInfo": { "hasNextPage": next.is_some(), "endCursor": next }, "nodes": nodes })
}

pub fn repository(id: u64, issues: u64, updated: &str) -> Value {
    json!({
        "databaseId": id, "name": format!("r{id}"), "nameWithOwner": format!("acme/r{id}"), "description": null,
        "url": format!("https://github.com/acme/r{id}"), "visibility": "PUBLIC", "isArchived": false, "isFork": false,
        "isDisabled": false, "hasIssuesEnabled": true, "createdAt": "2020-01-01T00:00:00Z", "updatedAt": updated,
        "pushedAt": null, "defaultBranchRef": null, "primaryLanguage": null,
        "issues": { "totalCount": issues, "nodes": [{ "updatedAt": updated }] },
        "pullRequests": { "totalCount": 0, "nodes": [] }
    })
}

fn issue(number: u64, updated: &str) -> Value {
    let empty = json!({ "pageInfo": { "hasNextPage": false, "endCursor": null }, "nodes": [] });
    json!({
        "id": format!("I_{number}"), "number": number, "title": "T", "body": "B", "state": "OPEN", "stateReason": null,
        "url": format!("https://github.com/acme/r1/issues/{number}"), "locked": false,
        "createdAt": "2020-01-01T00:00:00Z", "updatedAt": updated, "closedAt": null, "author": null,
        "labels": empty, "assignees": empty, "comments": empty
    })
}

/// A pull request with commits by these people: name, address, and number of the account.
pub fn pull_request(number: u64, commits: &[(&str, &str, Option<u64>)]) -> Value {
    let empty = json!({ "pageInfo": { "hasNextPage": false, "endCursor": null }, "nodes": [] });
    let commits = commits.iter().enumerate().map(|(place, (name, email, account))| {
        let user = account.map(|id| json!({ "__typename": "User", "login": format!("u{id}"), "databaseId": id }));
        json!({ "commit": {
            "oid": format!("{place:040}"), "message": "M", "url": "", "additions": 1, "deletions": 0,
            "author": { "name": name, "email": email, "user": user }, "committer": null
        } })
    });
    let mut node = issue(number, "2026-01-01T00:00:00Z");
    let more = json!({
        "isDraft": false, "mergedAt": null, "headRefName": "topic", "headRefOid": null, "baseRefName": "main",
        "mergeCommit": null, "mergedBy": null, "reviews": empty, "reviewRequests": empty,
        "commits": { "pageInfo": { "hasNextPage": false, "endCursor": null }, "nodes": commits.collect::<Vec<_>>() }
    });
    node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    node
}

/// What a query is about, by the list that it asks for.
fn about(asked: &Asked) -> (&'static str, Value) {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let query = body["query"].as_str().unwrap_or_default().to_owned();
    let kinds = [
        ("repositoryOwner", "repositories"),
        ("membersWithRole", "members"),
        ("issue(number", "look up"),
        ("node(id", "more"),
        ("pullRequest(number", "pull request"),
        ("nodes { number } }", "numbers"),
        ("issues(", "issues"),
        ("pullRequests(", "pull requests"),
    ];
    let kind = kinds.iter().find(|(text, _)| query.contains(text)).map_or("unknown", |(_, kind)| kind);
    (kind, body["variables"].clone())
}

/// A server over a list of repositories' nodes and a list of issues of the first.
pub struct Server {
    repositories: Vec<Value>,
    issues: Vec<Value>,
    pub pulls: Vec<Value>,
    /// What answers to REST.
    pub rest: fn(&Asked) -> Option<Answer>,
    asked: Vec<String>,
}

/// No comments on code; anything else is to be laid out.
fn no_comments(asked: &Asked) -> Option<Answer> {
    asked.url.contains("/pulls/comments?").then(|| Answer::json(&json!([])))
}

/// Issues by their numbers; what is not there is null, and said.
fn look_up(issues: &[Value], asked: &Asked) -> Answer {
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    let wanted = body["query"].as_str().unwrap().split("issue(number: ").skip(1);
    let numbers = wanted.map(|rest| rest.split(')').next().unwrap().parse::<u64>().unwrap());
    let (mut found, mut faults) = (serde_json::Map::new(), Vec::new());
    for (place, number) in numbers.enumerate() {
        let name = format!("n{place}");
        let issue = issues.iter().find(|issue| issue["number"] == number).cloned();
        if issue.is_none() {
            faults.push(json!({ "type": "NOT_FOUND", "message": "no issue", "path": ["repository", name] }));
        }
        found.insert(name, issue.unwrap_or_default());
    }
    let mut answer = json!({ "data": { "rateLimit": budget(), "repository": found } });
    if !faults.is_empty() {
        answer["errors"] = faults.into();
    }
    Answer::json(&answer)
}

pub fn serve(repositories: Vec<Value>, issues: Vec<Value>) -> (Host, Rc<RefCell<Server>>) {
    let server =
        Rc::new(RefCell::new(Server { repositories, issues, pulls: Vec::new(), rest: no_comments, asked: Vec::new() }));
    let host = Host::new();
    let state = Rc::clone(&server);
    host.serve(move |asked| {
        let mut server = state.borrow_mut();
        let (kind, _) = about(asked);
        server.asked.push(kind.to_owned());
        let data = match kind {
            "repositories" => json!({ "repositoryOwner": { "repositories": page(&json!(server.repositories), None) } }),
            "members" => json!({ "organization": { "membersWithRole": page(&json!([]), None) } }),
            "issues" | "numbers" => {
                let mut list = page(&json!(server.issues), None);
                list["totalCount"] = server.issues.len().into();
                json!({ "repository": { "issues": list } })
            }
            "pull requests" => {
                let mut list = page(&json!(server.pulls), None);
                list["totalCount"] = server.pulls.len().into();
                json!({ "repository": { "pullRequests": list } })
            }
            "pull request" => json!({ "repository": { "pullRequest": server.pulls.first() } }),
            _ if asked.url != GRAPHQL => return (server.rest)(asked),
            "look up" => return Some(look_up(&server.issues, asked)),
            _ => return None,
        };
        let mut data = data;
        data["rateLimit"] = budget();
        Some(Answer::json(&json!({ "data": data })))
    });
    (host, server)
}

fn export(host: &Host) -> Run {
    host.export::<GitHub>(config())
}

#[test]
fn what_has_not_moved_is_not_asked_for() {
    let (host, server) = serve(vec![repository(1, 1, "2026-01-01T00:00:00Z")], vec![issue(7, "2026-01-01T00:00:00Z")]);
    let first = export(&host).ok();
    assert_eq!(first.ids("work.Issue"), ["1/7"]);
    server.borrow_mut().asked.clear();
    let second = export(&host).ok();
    assert_eq!((second.records.len(), server.borrow().asked.clone()), (0, vec!["repositories".to_owned()]));
}

#[test]
fn the_cursor_is_the_newest_of_the_server_and_not_a_clock() {
    let (host, server) = serve(vec![repository(1, 1, "2026-01-01T00:00:00Z")], vec![issue(7, "2026-01-01T00:00:00Z")]);
    let _ = export(&host).ok();
    let path = "github/acme/organization/1/repository/1/work.Issue";
    let cursor: Value = serde_json::from_str(&host.cursor(path).unwrap()).unwrap();
    assert_eq!((&cursor["since"], &cursor["complete"]), (&json!("2026-01-01T00:00:00Z"), &json!(true)));
    // A list that is behind what the repository tells of is come back to.
    server.borrow_mut().repositories = vec![repository(1, 1, "2026-01-02T00:00:00Z")];
    let _ = export(&host).ok();
    server.borrow_mut().issues = vec![issue(7, "2026-01-02T00:00:00Z")];
    assert_eq!(export(&host).ok().ids("work.Issue"), ["1/7"]);
    server.borrow_mut().asked.clear();
    let _ = export(&host).ok();
    assert_eq!(server.borrow().asked, ["repositories"]);
}

#[test]
fn an_issue_that_has_gone_is_said_to_be_when_nobody_knows_it() {
    let issues = |numbers: std::ops::RangeInclusive<u64>| numbers.map(|n| issue(n, "2026-01-01T00:00:00Z")).collect();
    let (host, server) = serve(vec![repository(1, 3, "2026-01-01T00:00:00Z")], issues(1..=3));
    let _ = export(&host).ok();
    server.borrow_mut().repositories = vec![repository(1, 2, "2026-01-01T00:00:00Z")];
    server.borrow_mut().issues = issues(2..=3);
    let run = export(&host).ok();
    assert_eq!(
        run.of("work.Issue"),
        [&json!({ "ref_id": "1/1", "ref_type": REF_TYPE, "project_id": "1", "repo_id": "1", "active": false })]
    );
    // Once is enough.
    assert_eq!(export(&host).ok().records.len(), 0);
}

#[test]
fn many_that_are_missing_at_once_are_not_believed() {
    let issues = |numbers: std::ops::RangeInclusive<u64>| numbers.map(|n| issue(n, "2026-01-01T00:00:00Z")).collect();
    let (host, server) = serve(vec![repository(1, 40, "2026-01-01T00:00:00Z")], issues(1..=40));
    let _ = export(&host).ok();
    server.borrow_mut().repositories = vec![repository(1, 10, "2026-01-01T00:00:00Z")];
    server.borrow_mut().issues = issues(31..=40);
    let run = export(&host).ok();
    assert_eq!(run.of("work.Issue"), Vec::<&Value>::new());
    let errors: Vec<String> = run.result.unwrap().projects.into_iter().filter_map(|project| project.error).collect();
    assert!(errors[0].contains("30 of 40 work.Issue of acme/"), "{errors:?}");
}

#[test]
fn what_nobody_knows_and_what_is_null_is_said_and_left_out() {
    let mut odd = issue(1, "2026-01-01T00:00:00Z");
    odd["state"] = "FROZEN".into();
    let mut bad = issue(2, "2026-01-01T00:00:00Z");
    bad["title"] = Value::Null;
    let mut huge = issue(3, "2026-01-01T00:00:00Z");
    huge["body"] = "x".repeat(3 << 20).into();
    let issues = vec![odd, bad, Value::Null, huge, issue(4, "2026-01-01T00:00:00Z")];
    let (host, _) = serve(vec![repository(1, 5, "2026-01-01T00:00:00Z")], issues);
    let run = export(&host).ok();
    assert_eq!(run.ids("work.Issue"), ["1/1", "1/3", "1/4"]);
    let issues = run.of("work.Issue");
    assert_eq!(issues[0]["status"], "UNKNOWN");
    assert_eq!(issues[1]["description"].as_str().unwrap().len(), 1 << 20);
    let said: Vec<&str> = run.logs.iter().map(|line| line.message.as_str()).collect();
    assert!(
        said.iter().any(|line| line.contains("not known")) && said.iter().any(|line| line.contains("cut")),
        "{said:?}"
    );
    let errors: Vec<String> = run.result.unwrap().projects.into_iter().filter_map(|project| project.error).collect();
    assert!(errors[0].contains("3 left out") && errors[0].contains("Issue 2"), "{errors:?}");
}

#[test]
fn what_was_left_out_is_asked_for_again_for_some_runs() {
    let mut bad = issue(2, "2020-01-01T00:00:00Z");
    bad["title"] = Value::Null;
    let issues = vec![issue(1, "2026-01-01T00:00:00Z"), bad.clone()];
    let (host, server) = serve(vec![repository(1, 2, "2026-01-01T00:00:00Z")], issues.clone());
    assert_eq!(export(&host).ok().ids("work.Issue"), ["1/1"]);
    // It is right now, and nothing says that it has moved.
    server.borrow_mut().issues[1]["title"] = "T".into();
    assert_eq!(export(&host).ok().ids("work.Issue"), ["1/2"]);
    server.borrow_mut().asked.clear();
    assert_eq!(export(&host).ok().records.len(), 0);
    assert_eq!(server.borrow().asked, ["repositories"]);
    // One that stays wrong is not asked for for ever.
    host.forget();
    server.borrow_mut().issues = issues;
    for run in 0..6 {
        server.borrow_mut().asked.clear();
        let _ = export(&host).ok();
        assert_eq!(server.borrow().asked.contains(&"issues".to_owned()), run < 4, "run {run}");
    }
}

#[test]
fn a_spent_budget_ends_the_run_with_a_pause() {
    let host = Host::new();
    let fault = json!({ "errors": [{ "type": "RATE_LIMITED", "message": "no more" }] });
    host.on(&format!("POST {GRAPHQL}"), Answer::json(&fault).header("x-ratelimit-reset", "1893456000"));
    let run = export(&host).ok();
    assert_eq!(run.pauses[0].0, "2030-01-01T00:00:00Z");
    assert!(run.result.unwrap().projects[0].error.as_ref().unwrap().contains("paused until 2030"));
}

#[test]
fn the_reserve_is_left_for_others() {
    let (host, server) = serve(vec![repository(1, 1, "2026-01-01T00:00:00Z")], vec![issue(7, "2026-01-01T00:00:00Z")]);
    let run = host.export::<GitHub>(json!({ "organizations": ["acme"], "git": false, "reserve": 4_500 })).ok();
    // 4,000 of 5,000 are left; a reserve of more than half of all counts as half.
    assert_eq!((run.ids("work.Issue").len(), run.pauses.len()), (1, 0));
    server.borrow_mut().asked.clear();
}

#[test]
fn repositories_are_selected_and_a_failing_one_leaves_the_others() {
    let repositories = vec![
        repository(1, 1, "2026-01-01T00:00:00Z"),
        repository(2, 0, "2026-01-01T00:00:00Z"),
        json!({ "databaseId": 3, "nameWithOwner": null }),
    ];
    let (host, _) = serve(repositories, vec![issue(7, "2026-01-01T00:00:00Z")]);
    let run = host.export::<GitHub>(json!({ "organizations": ["acme"], "exclusions": ["r2"], "git": false })).ok();
    assert_eq!(run.ids("sourcecode.Repo"), ["1"]);
    let projects = run.result.unwrap().projects;
    assert!(projects[0].error.as_ref().unwrap().contains("repository null"), "{projects:?}");
    assert_eq!((projects[1].ref_id.as_str(), projects[1].error.as_ref()), ("1", None));
}

#[test]
fn the_first_name_of_an_address_wins_and_an_account_is_told_when_it_is_known() {
    let mut with_pulls = repository(1, 0, "2026-01-01T00:00:00Z");
    with_pulls["issues"] = json!({ "totalCount": 0, "nodes": [] });
    with_pulls["pullRequests"] = json!({ "totalCount": 1, "nodes": [{ "updatedAt": "2026-01-01T00:00:00Z" }] });
    let (host, server) = serve(vec![with_pulls], Vec::new());
    let commits = [
        ("Ada", "Ada@X.invalid", None),
        ("Ada L.", "ada@x.invalid", None),
        ("Countess", " ada@x.invalid", Some(7)),
        ("Somebody else", "ada@x.invalid", Some(8)),
        ("Nobody", "", None),
    ];
    server.borrow_mut().pulls = vec![pull_request(1, &commits)];
    let run = export(&host).ok();
    let said = |run: &Run| -> Vec<(String, String, String)> {
        let text = |record: &Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
        let records = run.of("sourcecode.CommitUser");
        records
            .iter()
            .map(|record| (text(record, "ref_id"), text(record, "name"), text(record, "user_ref_id")))
            .collect()
    };
    let ada = |account: &str| ("ada@x.invalid".to_owned(), "Ada".to_owned(), account.to_owned());
    assert_eq!(said(&run), [ada(""), ada("7")]);
    assert_eq!(run.of("sourcecode.PullRequestCommit")[2]["author_email"], "ada@x.invalid");
    // Another run has nothing to add, whatever it meets.
    server.borrow_mut().repositories[0]["pullRequests"]["nodes"][0]["updatedAt"] = "2026-01-02T00:00:00Z".into();
    let mut again = pull_request(1, &[("Ada B.", "ada@x.invalid", Some(9)), ("A", "ada@x.invalid", None)]);
    again["updatedAt"] = "2026-01-02T00:00:00Z".into();
    server.borrow_mut().pulls = vec![again];
    let run = export(&host).ok();
    assert_eq!((run.ids("sourcecode.PullRequest").len(), said(&run).len()), (1, 0));
}

#[test]
fn a_webhook_that_was_there_is_looked_for_again_after_a_while() {
    let (host, _) = serve(Vec::new(), Vec::new());
    let hooks = "https://api.github.com/orgs/acme/hooks";
    let url = "https://hooks.invalid/x";
    let config = json!({
        "organizations": ["acme"], "webhooks": "organization", "webhook_url": url, "webhook_secret": "a long secret"
    });
    let asked = |run: &Run| run.requests.iter().filter(|request| request.url.contains("/hooks")).count();
    let record = |run: &Run| run.of("sourcecode.RepoWebhook").first().map(|record| record["enabled"].clone());
    host.on(&format!("GET {hooks}?per_page=100"), Answer::json(&json!([])));
    host.on(&format!("POST {hooks}"), Answer::new(201, "{}"));
    let run = host.export::<GitHub>(config.clone()).ok();
    assert_eq!((asked(&run), record(&run)), (2, Some(json!(true))));
    assert_eq!(asked(&host.export::<GitHub>(config.clone()).ok()), 0);
    let path = host.cursors().into_keys().find(|path| path.ends_with("sourcecode.RepoWebhook")).unwrap();
    host.set_cursor(&path, &json!({ "url": url, "again_at": "2020-01-01T00:00:00Z" }).to_string());
    let off = json!([{ "id": 1, "active": false, "config": { "url": url } }]);
    host.on(&format!("GET {hooks}?per_page=100"), Answer::json(&off));
    let run = host.export::<GitHub>(config).ok();
    assert_eq!((asked(&run), record(&run)), (1, Some(json!(false))));
    let said = run.of("sourcecode.RepoWebhook")[0]["error_message"].as_str().unwrap().to_owned();
    assert!(said.contains("switched off"), "{said}");
}

#[test]
fn mutations_say_what_they_could_not_find() {
    let host = Host::new();
    host.on("PATCH https://api.github.com/repositories/1/pulls/2", Answer::status(404));
    let body = json!({ "message": "Validation Failed", "errors": [{ "code": "invalid", "field": "state" }] });
    host.on("PATCH https://api.github.com/repositories/1/pulls/3", Answer::new(422, body.to_string()));
    let mutate = |name: &str, data: Value| host.mutate::<GitHub>(name, &data, config()).map_err(|error| error.kind());
    let title = |id: &str| json!({ "ref_id": id, "title": "New" });
    assert_eq!(mutate("pull_request.set_title", title("1/2")).unwrap_err(), ErrorKind::NotFound);
    assert_eq!(mutate("pull_request.set_title", title("1/3")).unwrap_err(), ErrorKind::Invalid);
    assert_eq!(mutate("pull_request.set_title", title("one")).unwrap_err(), ErrorKind::Invalid);
    assert_eq!(
        mutate("pull_request.set_title", json!({ "ref_id": "1/2", "title": " " })).unwrap_err(),
        ErrorKind::Invalid
    );
    assert_eq!(
        mutate("pull_request.set_status", json!({ "ref_id": "1/2", "status": "MERGED" })).unwrap_err(),
        ErrorKind::Invalid
    );
    assert_eq!(mutate("pull_request.merge", json!({})).unwrap_err(), ErrorKind::NotSupported);
}

#[test]
fn the_models_are_published_as_they_are() {
    assert_eq!(published::check(&GitHub::describe()).len(), 12);
}

//! The integration against canned answers and a few words of a server in a function: what needs no whole server. The whole is
//! tested with the agent against the simulator (`tests/gitlab.rs`).

use std::cell::RefCell;
use std::rc::Rc;

use agent_sdk::testing::{Answer, Asked, Host, Run};
use agent_sdk::{ErrorKind, Integration};
use integration_model::published;
use serde_json::{Value, json};

use super::{GitLab, REF_TYPE};

pub const API: &str = "https://gitlab.com/api/v4";
/// What time it is for the server.
const DATE: &str = "Thu, 01 Jan 2026 12:00:00 GMT";

pub fn config() -> Value {
    json!({ "groups": ["acme"], "git": false })
}

pub fn project(id: u64) -> Value {
    json!({
        "id": id, "name": format!("p{id}"), "path_with_namespace": format!("acme/p{id}"), "description": null,
        "web_url": format!("https://gitlab.com/acme/p{id}"), "visibility": "public", "created_at": "2020-01-01T00:00:00Z",
        "last_activity_at": "2025-12-01T00:00:00Z", "issues_access_level": "enabled"
    })
}

fn issue(iid: u64, updated: &str) -> Value {
    json!({
        "id": iid + 1_000, "iid": iid, "project_id": 1, "title": "T", "description": "B", "state": "opened",
        "web_url": format!("https://gitlab.com/acme/p1/-/issues/{iid}"), "issue_type": "issue", "user_notes_count": 0,
        "created_at": "2020-01-01T00:00:00Z", "updated_at": updated, "author": null
    })
}

fn merge_request(iid: u64, updated: &str) -> Value {
    let mut node = issue(iid, updated);
    let more = json!({ "source_branch": "topic", "target_branch": "main", "sha": null, "reviewers": [] });
    node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    node
}

/// A server over projects, and over the issues and merge requests of the first of them.
pub struct Server {
    pub projects: Vec<Value>,
    pub issues: Vec<Value>,
    pub merge_requests: Vec<Value>,
    /// What hangs on merge requests: the end of the path, and the answer.
    pub children: Vec<(&'static str, Value)>,
    /// Whether it counts its lists.
    counts: bool,
    /// Whether it refuses keysets, as some old ones do.
    no_keyset: bool,
    asked: Vec<String>,
}

impl Server {
    fn list(&self, asked: &Asked, items: &[Value]) -> Answer {
        let mut found: Vec<Value> = items.to_vec();
        if let Some(since) = asked.parameter("updated_after") {
            found.retain(|item| item["updated_at"].as_str() >= Some(since.as_str()));
        }
        let total = found.len();
        if asked.parameter("per_page").as_deref() == Some("1") {
            found.sort_by_key(|item| item["updated_at"].to_string());
            found = found.pop().into_iter().collect();
        }
        let answer = Answer::json(&json!(found)).header("date", DATE);
        if self.counts { answer.header("x-total", &total.to_string()) } else { answer }
    }

    fn answer(&mut self, asked: &Asked) -> Option<Answer> {
        // The whole is tested with the agent.
        if asked.path() == "/api/graphql" {
            return Some(Answer::status(404));
        }
        let path = asked.path().strip_prefix("/api/v4/")?.to_owned();
        self.asked.push(path.clone());
        if self.no_keyset && asked.parameter("pagination").as_deref() == Some("keyset") {
            return Some(Answer::new(
                405,
                r#"{"error":"Keyset pagination is not yet available for this type of request"}"#,
            ));
        }
        let id = self.projects.first().map_or(0, |project| project["id"].as_u64().unwrap_or_default());
        let of_first = path.strip_prefix(&format!("projects/{id}/"));
        Some(match path.as_str() {
            "groups/acme/projects" => self.list(asked, &self.projects),
            "groups/acme/issues" => self.list(asked, &self.issues),
            "groups/acme/merge_requests" => self.list(asked, &self.merge_requests),
            "groups/acme/members/all" | "groups/acme/milestones" => Answer::json(&json!([])),
            _ if path.ends_with("/issues_statistics") => {
                Answer::json(&json!({ "statistics": { "counts": { "all": self.issues.len() } } }))
            }
            _ => match of_first? {
                "issues" => self.list(asked, &self.issues),
                "merge_requests" => self.list(asked, &self.merge_requests),
                "milestones" => Answer::json(&json!([])),
                below => {
                    let found = self.children.iter().find(|(end, _)| below.ends_with(end));
                    let found = found.map(|(_, answer)| answer.clone());
                    let empty = if below.ends_with("/approvals") { json!({ "approved_by": [] }) } else { json!([]) };
                    match below.split('/').count() {
                        // A server that does not know it.
                        3 if found == Some(Value::Null) => Answer::status(404),
                        3 => Answer::json(&found.unwrap_or(empty)),
                        _ => Answer::status(404),
                    }
                }
            },
        })
    }
}

pub fn serve(projects: Vec<Value>, issues: Vec<Value>, merge_requests: Vec<Value>) -> (Host, Rc<RefCell<Server>>) {
    let server = Server {
        projects,
        issues,
        merge_requests,
        children: Vec::new(),
        counts: true,
        no_keyset: false,
        asked: Vec::new(),
    };
    let server = Rc::new(RefCell::new(server));
    let (host, state) = (Host::new(), Rc::clone(&server));
    host.serve(move |asked| state.borrow_mut().answer(asked));
    (host, server)
}

fn export(host: &Host) -> Run {
    host.export::<GitLab>(config())
}

fn errors(run: Run) -> Vec<String> {
    run.result.unwrap().projects.into_iter().filter_map(|project| project.error).collect()
}

const QUIET: [&str; 3] = ["groups/acme/projects", "groups/acme/issues", "groups/acme/merge_requests"];

#[test]
fn the_models_are_published_as_they_are() {
    assert_eq!(published::check(&GitLab::describe()).len(), 14);
}

#[test]
fn what_has_not_moved_is_not_asked_for() {
    let (host, server) = serve(vec![project(1)], vec![issue(7, "2026-01-01T00:00:00Z")], Vec::new());
    assert_eq!(export(&host).ok().ids("work.Issue"), ["1/7"]);
    server.borrow_mut().asked.clear();
    assert_eq!(export(&host).ok().records.len(), 0);
    assert_eq!(server.borrow().asked, QUIET);
}

#[test]
fn the_cursor_is_the_newest_of_the_server_and_not_a_clock() {
    let (host, server) = serve(vec![project(1)], vec![issue(7, "2025-01-01T00:00:00Z")], Vec::new());
    let _ = export(&host).ok();
    let path = "gitlab/acme/group/1/project/1/work.Issue";
    let cursor: Value = serde_json::from_str(&host.cursor(path).unwrap()).unwrap();
    assert_eq!((&cursor["since"], &cursor["complete"]), (&json!("2025-01-01T00:00:00Z"), &json!(true)));
    // Only what was updated from two minutes before it on is listed.
    server.borrow_mut().issues.push(issue(8, "2025-01-02T00:00:00Z"));
    let run = export(&host).ok();
    assert_eq!(run.ids("work.Issue"), ["1/8"]);
    let lists = run.requests.iter().filter(|request| request.url.contains("/projects/1/issues?per_page=100"));
    let since: Vec<String> = lists.filter_map(|request| request.parameter("updated_after")).collect();
    assert_eq!(since, ["2024-12-31T23:58:00Z"]);
}

#[test]
fn lists_that_are_not_counted_and_lists_without_a_keyset_are_read_all_the_same() {
    let issues = vec![issue(1, "2025-01-01T00:00:00Z"), issue(2, "2025-01-01T00:00:00Z")];
    let (host, server) = serve(vec![project(1)], issues, vec![merge_request(3, "2025-01-01T00:00:00Z")]);
    (server.borrow_mut().counts, server.borrow_mut().no_keyset) = (false, true);
    let run = export(&host).ok();
    assert_eq!(
        (run.ids("work.Issue"), run.ids("sourcecode.PullRequest")),
        (vec!["1/1".into(), "1/2".into()], vec!["1/3".into()])
    );
    // Issues are counted otherwise, so that one which has gone is noticed.
    server.borrow_mut().issues.remove(0);
    let run = export(&host).ok();
    let gone = json!({ "ref_id": "1/1", "ref_type": REF_TYPE, "project_id": "1", "repo_id": "1", "active": false });
    assert_eq!(run.of("work.Issue"), [&gone]);
}

#[test]
fn an_item_that_the_server_cannot_give_is_stepped_over() {
    let issues: Vec<Value> = (1..=130).map(|iid| issue(iid, "2025-01-01T00:00:00Z")).collect();
    let (host, server) = serve(vec![project(1)], issues, Vec::new());
    let state = Rc::clone(&server);
    // Whatever page has the 117th issue in it is too much for the server; it pages by keyset as long as it is asked to.
    host.serve(move |asked| {
        let number = |name: &str| asked.parameter(name).and_then(|text| text.parse::<u64>().ok());
        if asked.path() != "/api/v4/projects/1/issues" || number("per_page") == Some(1) && number("page").is_none() {
            return state.borrow_mut().answer(asked);
        }
        let size = number("per_page").unwrap_or(20);
        let keyset = asked.parameter("pagination").as_deref() == Some("keyset");
        let first = if keyset { number("cursor").unwrap_or(0) } else { (number("page").unwrap_or(1) - 1) * size };
        let page: Vec<Value> = state
            .borrow()
            .issues
            .iter()
            .filter(|issue| {
                let iid = issue["iid"].as_u64().unwrap();
                iid > first && iid <= first + size
            })
            .cloned()
            .collect();
        if page.iter().any(|issue| issue["iid"] == 117) {
            return Some(Answer::status(500));
        }
        let last = first + size >= 130;
        let next = if keyset {
            format!("cursor={}&pagination=keyset", first + size)
        } else {
            format!("page={}", first / size + 2)
        };
        let link = format!("<{API}/projects/1/issues?per_page={size}&{next}>; rel=\"next\"");
        let answer = Answer::json(&json!(page)).header("x-total", "130");
        Some(if last { answer } else { answer.header("link", &link) })
    });
    let run = export(&host).ok();
    assert_eq!(run.ids("work.Issue").len(), 129);
    let error = errors(run).remove(0);
    assert!(error.contains("Issue number 117 of the list: the server cannot give it"), "{error}");
}

#[test]
fn many_that_are_missing_at_once_are_not_believed() {
    let issues = |numbers: std::ops::RangeInclusive<u64>| numbers.map(|n| issue(n, "2025-01-01T00:00:00Z")).collect();
    let (host, server) = serve(vec![project(1)], issues(1..=40), Vec::new());
    let _ = export(&host).ok();
    server.borrow_mut().issues = issues(31..=40);
    let run = export(&host).ok();
    assert_eq!(run.of("work.Issue"), Vec::<&Value>::new());
    assert!(errors(run)[0].contains("30 of 40 work.Issue of acme/p1 are missing"));
}

#[test]
fn what_nobody_knows_and_what_is_null_is_said_and_left_out() {
    let mut odd = issue(1, "2025-01-01T00:00:00Z");
    (odd["state"], odd["issue_type"]) = ("frozen".into(), "wish".into());
    let mut bad = issue(2, "2025-01-01T00:00:00Z");
    bad["title"] = Value::Null;
    let issues = vec![odd, bad, Value::Null, json!("text"), issue(4, "2025-01-01T00:00:00Z")];
    let (host, _) = serve(vec![project(1)], issues, Vec::new());
    let run = export(&host).ok();
    assert_eq!(run.ids("work.Issue"), ["1/1", "1/4"]);
    assert_eq!(
        (&run.of("work.Issue")[0]["status"], &run.of("work.Issue")[0]["type"]),
        (&json!("UNKNOWN"), &json!("UNKNOWN"))
    );
    let error = errors(run).remove(0);
    assert!(error.contains("3 left out") && error.contains("Issue 2: title: invalid type: null"), "{error}");
}

#[test]
fn reviews_are_of_persons_and_an_approval_says_more_than_a_state() {
    let person = |id: u64| json!({ "id": id, "username": format!("u{id}"), "name": format!("U {id}") });
    let mut one = merge_request(5, "2025-01-01T00:00:00Z");
    one["reviewers"] = json!([person(1)]);
    let reviewer = |id: u64, state: &str| json!({ "user": person(id), "state": state });
    let reviewers = ["unreviewed", "requested_changes", "reviewed", "unapproved", "approved", "odd"];
    let reviewers: Vec<Value> = (1..).zip(reviewers).map(|(id, state)| reviewer(id, state)).collect();
    let (host, server) = serve(vec![project(1)], Vec::new(), vec![one]);
    let approvals =
        json!({ "approved_by": [{ "user": person(5), "approved_at": "2025-01-01T00:00:00Z" }, { "user": person(9) }] });
    server.borrow_mut().children = vec![("/reviewers", json!(reviewers)), ("/approvals", approvals)];
    let run = export(&host).ok();
    let reviews: Vec<(String, String)> = run
        .of("sourcecode.PullRequestReview")
        .iter()
        .map(|review| (review["ref_id"].as_str().unwrap().to_owned(), review["state"].as_str().unwrap().to_owned()))
        .collect();
    let of = |id: &str, state: &str| (format!("1/5/{id}"), state.to_owned());
    let expected = [
        of("2", "CHANGES_REQUESTED"),
        of("3", "COMMENTED"),
        of("4", "DISMISSED"),
        of("6", "UNKNOWN"),
        of("5", "APPROVED"),
        of("9", "APPROVED"),
    ];
    assert_eq!(reviews, expected);
    assert_eq!(run.ids("sourcecode.PullRequestReviewRequest"), ["1/5/1"]);
    assert_eq!(run.of("sourcecode.PullRequest")[0]["requested_reviewer_ref_ids"], json!(["1"]));
    assert_eq!(run.ids("sourcecode.User").len(), 7);
}

#[test]
fn whoever_is_asked_is_told_by_servers_that_say_no_more() {
    let mut one = merge_request(5, "2025-01-01T00:00:00Z");
    one["reviewers"] = json!([{ "id": 3, "username": "u3" }]);
    let (host, server) = serve(vec![project(1)], Vec::new(), vec![one]);
    server.borrow_mut().children = vec![("/reviewers", Value::Null)];
    let run = export(&host).ok();
    assert_eq!(run.ids("sourcecode.PullRequestReviewRequest"), ["1/5/3"]);
    assert_eq!(run.ids("sourcecode.PullRequestReview").len(), 0);
}

#[test]
fn what_is_not_allowed_costs_only_itself() {
    let one = merge_request(5, "2025-01-01T00:00:00Z");
    let (host, server) = serve(vec![project(1)], vec![issue(7, "2025-01-01T00:00:00Z")], vec![one]);
    for path in [
        "groups/acme/members/all",
        "groups/acme/issues",
        "projects/1/milestones",
        "projects/1/merge_requests/5/commits",
    ] {
        host.on(&format!("GET {API}/{path}"), Answer::status(403));
    }
    let run = export(&host).ok();
    assert_eq!((run.ids("work.Issue").len(), run.ids("sourcecode.PullRequest").len()), (1, 1));
    let error = errors(run).remove(0);
    assert!(error.contains("milestones: ") && error.contains("MergeRequest 5: its commits: "), "{error}");
    drop(server);
}

#[test]
fn notes_that_the_server_writes_are_none_and_those_on_code_say_where() {
    let mut one = merge_request(5, "2025-01-01T00:00:00Z");
    one["user_notes_count"] = 2.into();
    let note = |id: u64, more: Value| {
        let mut note = json!({
            "id": id, "body": "b", "system": false, "author": null,
            "created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-01T00:00:00Z"
        });
        note.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        note
    };
    let notes = json!([
        note(1, json!({ "system": true })),
        note(2, json!({})),
        note(3, json!({ "body": null })),
        note(4, json!({ "type": "DiffNote", "position": { "new_path": null, "old_path": "a.rs" } }))
    ]);
    let (host, server) = serve(vec![project(1)], Vec::new(), vec![one]);
    server.borrow_mut().children = vec![("/notes", notes)];
    let run = export(&host).ok();
    assert_eq!(run.ids("sourcecode.PullRequestComment"), ["2", "4"]);
    let on_code = run.of("sourcecode.PullRequestComment")[1];
    assert_eq!((&on_code["on_code"], &on_code["path"]), (&json!(true), &json!("a.rs")));
    assert_eq!(on_code["url"], "https://gitlab.com/acme/p1/-/issues/5#note_4");
    assert!(errors(run)[0].contains("comments of 5, 3: body: invalid type: null"));
}

#[test]
fn a_run_that_is_asked_to_stop_goes_on_where_it_was() {
    let (host, server) = serve(
        vec![project(1)],
        vec![issue(1, "2025-01-01T00:00:00Z")],
        (1..=30).map(|iid| merge_request(iid, "2025-01-01T00:00:00Z")).collect(),
    );
    // After two dozen requests of what hangs on merge requests, the budget is spent.
    let left = Rc::new(RefCell::new(24));
    let (state, budget) = (Rc::clone(&server), Rc::clone(&left));
    host.serve(move |asked| {
        if asked.path().contains("/merge_requests/") {
            let mut left = budget.borrow_mut();
            if *left == 0 {
                return Some(Answer::new(429, "Retry later").header("retry-after", "60"));
            }
            *left -= 1;
        }
        state.borrow_mut().answer(asked)
    });
    let (mut runs, mut sent) = (0, Vec::new());
    loop {
        let run = export(&host).ok();
        sent.extend(run.ids("sourcecode.PullRequest"));
        runs += 1;
        if run.pauses.is_empty() {
            break;
        }
        assert!(runs < 9, "it does not get on");
        *left.borrow_mut() = 24;
    }
    sent.sort();
    let mut expected: Vec<String> = (1..=30).map(|iid| format!("1/{iid}")).collect();
    expected.sort();
    // Sixty requests take three runs, of which each has sent what it could complete.
    assert_eq!((sent, runs), (expected, 3));
}

#[test]
fn a_push_that_an_hour_hides_is_come_back_to() {
    let mut recent = project(1);
    recent["last_activity_at"] = "2026-01-01T11:30:00Z".into();
    let (host, server) = serve(vec![recent], Vec::new(), Vec::new());
    let with_git = || host.export::<GitLab>(json!({ "groups": ["acme"] })).ok().repos.len();
    assert_eq!((with_git(), with_git()), (1, 1));
    server.borrow_mut().projects = vec![project(1)];
    assert_eq!((with_git(), with_git()), (1, 0));
}

#[test]
fn projects_are_selected_and_a_failing_one_leaves_the_others() {
    let mut archived = project(3);
    archived["archived"] = true.into();
    let projects = vec![project(1), project(2), archived, json!({ "id": 4, "path_with_namespace": null })];
    let (host, _) = serve(projects, vec![issue(7, "2025-01-01T00:00:00Z")], Vec::new());
    let config = json!({ "groups": ["acme"], "exclusions": ["p2"], "skip_archived": true, "git": false });
    let run = host.export::<GitLab>(config).ok();
    assert_eq!((run.ids("sourcecode.Repo"), run.ids("work.Project")), (vec!["1".to_owned()], vec!["1".to_owned()]));
    let projects = run.result.unwrap().projects;
    assert!(projects[0].error.as_ref().unwrap().contains("project null"), "{projects:?}");
    assert_eq!((projects[1].ref_id.as_str(), projects[1].error.as_ref()), ("1", None));
}

#[test]
fn mutations_say_what_they_could_not_find_or_change() {
    let host = Host::new();
    host.on(&format!("PUT {API}/projects/1/merge_requests/2"), Answer::status(404));
    let refused = json!({ "message": { "title": ["is too long"] } });
    host.on(&format!("PUT {API}/projects/1/issues/3"), Answer::new(400, refused.to_string()));
    let merged = json!({ "iid": 4, "state": "merged" });
    host.on(&format!("PUT {API}/projects/1/merge_requests/4"), Answer::json(&merged));
    let mutate = |name: &str, data: Value| host.mutate::<GitLab>(name, &data, config()).unwrap_err();
    let title = |id: &str| json!({ "ref_id": id, "title": "New" });
    assert_eq!(mutate("pull_request.set_title", title("1/2")).kind(), ErrorKind::NotFound);
    let too_long = mutate("issue.set_title", title("1/3"));
    assert!(too_long.kind() == ErrorKind::Invalid && too_long.message().contains("is too long"), "{too_long}");
    let closed = mutate("pull_request.set_status", json!({ "ref_id": "1/4", "status": "CLOSED" }));
    assert!(closed.kind() == ErrorKind::Invalid && closed.message().contains("is merged"), "{closed}");
    assert_eq!(mutate("issue.set_title", title("one")).kind(), ErrorKind::Invalid);
    assert_eq!(mutate("issue.add_comment", json!({ "ref_id": "1/3", "body": " " })).kind(), ErrorKind::Invalid);
    assert_eq!(mutate("pull_request.merge", json!({})).kind(), ErrorKind::NotSupported);
    assert_eq!(mutate("wish", json!({})).kind(), ErrorKind::NotSupported);
}

#[test]
fn a_webhook_that_tells_of_nothing_that_is_exported_is_no_fault() {
    let take = |body: &str| Host::new().webhook::<GitLab>(&[], body, config());
    let push = take(r#"{"object_kind":"push","project_id":7}"#).unwrap();
    assert_eq!(
        (push.response, push.mutated.len()),
        (Some(json!({ "event": "push", "action": null, "repo_id": "7" })), 0)
    );
    assert!(take("no event").unwrap_err().message().contains("body does not fit"));
}

//! Tests against what others wrote (`scripts/test-gitlab.sh`): answers and webhooks of real servers that go-gitlab is tested with.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

use agent_sdk::ErrorKind;
use agent_sdk::testing::{Answer, Host};
use serde_json::{Value, json};

use super::{GitLab, tests};

fn folder() -> PathBuf {
    std::env::var_os("AGENT_GITLAB_RECORDED").expect("run scripts/test-gitlab.sh, which fetches the recordings").into()
}

fn read(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
#[ignore = "needs what scripts/test-gitlab.sh fetches"]
fn recorded_merge_requests_arrive() {
    let listed = read("get_merge_requests.json");
    let listed = listed.as_array().unwrap();
    assert!(listed.len() >= 20, "only {} were found", listed.len());
    let project = listed[0]["project_id"].as_u64().unwrap();
    let (host, server) = tests::serve(vec![tests::project(project)], Vec::new(), listed.clone());
    server.borrow_mut().children = vec![("/commits", json!([read("get_commit.json")]))];
    let run = host.export::<GitLab>(tests::config()).ok();
    let errors: Vec<_> = run.result.as_ref().unwrap().projects.iter().filter_map(|one| one.error.as_ref()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let records = run.of("sourcecode.PullRequest");
    assert_eq!(records.len(), listed.len());
    for (record, one) in records.iter().zip(listed) {
        let status = match one["state"].as_str().unwrap() {
            "opened" => "OPEN",
            "closed" => "CLOSED",
            "merged" => "MERGED",
            other => panic!("{other}"),
        };
        assert_eq!((&record["number"], record["status"].as_str()), (&one["iid"], Some(status)));
        for (ours, theirs) in [
            ("title", "title"),
            ("url", "web_url"),
            ("head_sha", "sha"),
            ("branch_name", "source_branch"),
            ("labels", "labels"),
        ] {
            assert_eq!(record[ours], one[theirs], "{theirs} of {}", one["iid"]);
        }
        assert_eq!(record["created_by_ref_id"], one["author"]["id"].to_string());
        assert_eq!(record["draft"], one["work_in_progress"]);
        assert_eq!(record["merged_at"], one["merged_at"]);
        assert_eq!(record.get("merged_by_ref_id").is_some(), !one["merged_by"].is_null());
    }
    let authors: BTreeSet<String> = listed.iter().map(|one| one["author"]["id"].to_string()).collect();
    assert!(authors.is_subset(&run.ids("sourcecode.User").into_iter().collect()));
    // The same commit in each: its author is one address.
    assert_eq!(run.ids("sourcecode.PullRequestCommit").len(), listed.len());
    assert!(!run.ids("sourcecode.CommitUser").is_empty());
}

#[test]
#[ignore = "needs what scripts/test-gitlab.sh fetches"]
fn recorded_webhooks_are_taken() {
    let (mut taken, mut asked_for) = (0, BTreeSet::new());
    for kind in ["webhooks", "systemhooks"] {
        for entry in std::fs::read_dir(folder().join(kind)).unwrap() {
            let file = entry.unwrap().path();
            let body = std::fs::read(&file).unwrap();
            let host = Host::new();
            let asked = Rc::new(RefCell::new(Vec::new()));
            let noted = Rc::clone(&asked);
            // What a webhook tells of has gone by now, which is an answer too.
            host.serve(move |request| {
                noted.borrow_mut().push(request.path().to_owned());
                Some(Answer::status(404))
            });
            let result = host.webhook::<GitLab>(&[], body, tests::config());
            if let Err(error) = result {
                assert_eq!(error.kind(), ErrorKind::NotFound, "{}: {error}", file.display());
            }
            taken += 1;
            asked_for.extend(asked.borrow().iter().cloned());
        }
    }
    assert!(taken >= 40, "only {taken} payloads were found");
    let issues = asked_for.iter().filter(|path| path.contains("/issues/")).count();
    let merge_requests = asked_for.iter().filter(|path| path.contains("/merge_requests/")).count();
    assert!(issues >= 2 && merge_requests >= 3, "{asked_for:?}");
}

/// An account as the server shows it to others and to itself.
#[test]
#[ignore = "needs what scripts/test-gitlab.sh fetches"]
fn recorded_users_are_understood() {
    let users = [read("get_user.json"), read("get_user_admin.json")].into_iter();
    let users: Vec<Value> = users.chain(read("search_users.json").as_array().unwrap().iter().cloned()).collect();
    let host = Host::new();
    host.on(&format!("GET {}/groups/acme/members/all", tests::API), Answer::json(&json!(users)));
    let found = host.onboard::<GitLab>("users", tests::config()).unwrap();
    let ids: BTreeSet<String> = users.iter().map(|user| user["id"].to_string()).collect();
    assert_eq!(found.iter().map(|user| user["ref_id"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>(), ids);
    assert!(found.iter().any(|user| user["email"].is_string()), "{found:?}");
}

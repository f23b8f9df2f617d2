//! The integration against Jira's own description of its REST API (`scripts/test-jira.sh`): each request that it makes names a
//! path, a method and parameters that are described, and it takes the answers that are given there as examples. The description
//! is of version 2 of the cloud; version 3 has the same paths. `search/jql` is newer than it, and boards and the webhooks of
//! administrators are described elsewhere.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use agent_sdk::testing::{Answer, Asked, Host, Run};
use serde_json::{Value, json};

use super::{Jira, change};

/// What the description does not have, though servers do.
const ELSEWHERE: [&str; 3] = ["/rest/api/2/search/jql", "/rest/agile/", "/rest/webhooks/"];

const URL: &str = "https://acme.example";

fn description() -> Value {
    let file =
        std::env::var_os("AGENT_JIRA_DESCRIPTION").expect("run scripts/test-jira.sh, which installs the description");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The path of the description that a path is one of, as long as that has no other.
fn described<'a>(description: &'a Value, path: &str) -> Option<(&'a str, &'a Value)> {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |known: &str| {
        let known: Vec<&str> = known.split('/').collect();
        known.len() == parts.len()
            && known.iter().zip(&parts).all(|(known, part)| known.starts_with('{') || known == part)
    };
    // One without a place for something goes before one with it.
    let found = description["paths"].as_object()?.iter().filter(|(known, _)| fits(known));
    found.min_by_key(|(known, _)| known.matches('{').count()).map(|(known, item)| (known.as_str(), item))
}

/// The example of an answer: a text that holds JSON.
fn example(description: &Value, path: &str, method: &str) -> Option<Value> {
    let (_, item) = described(description, path)?;
    let answers = item[method]["responses"].as_object()?;
    let example =
        answers.iter().find(|(status, _)| status.starts_with('2'))?.1.pointer("/content/application~1json/example")?;
    match example {
        Value::String(text) => serde_json::from_str(text).ok(),
        other => Some(other.clone()),
    }
}

/// A site that answers with the examples; its issues are those of the description, with what an issue must have.
fn serve(description: Value) -> (Host, Rc<RefCell<Vec<Asked>>>) {
    let (host, all) = (Host::new(), Rc::new(RefCell::new(Vec::new())));
    let noted = Rc::clone(&all);
    host.serve(move |asked| {
        noted.borrow_mut().push(asked.clone());
        let path = asked.path().replace("/rest/api/3/", "/rest/api/2/");
        let mut issue = example(&description, "/rest/api/2/issue/{issueIdOrKey}", "get").unwrap();
        let more = json!({
            "summary": "Main order flow broken", "status": { "id": "1", "name": "Open" }, "comment": { "comments": [], "total": 3 },
            "created": "2021-04-16T01:49:47.748+0000", "updated": "2021-04-16T01:49:47.748+0000"
        });
        issue["fields"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        issue["changelog"] = json!({ "histories": [], "total": 2 });
        let answer = match path.as_str() {
            "/rest/api/2/search/jql" => json!({ "issues": [issue], "isLast": true }),
            // The second page of five, which is also the last.
            _ if path.ends_with("/changelog") && asked.parameter("startAt").as_deref() == Some("0") => {
                let mut page = example(&description, &path, "get")?;
                page["isLast"] = true.into();
                page
            }
            _ if path.starts_with("/rest/api/2/issue/") && asked.method == "GET" && path.matches('/').count() == 5 => issue,
            _ if path == "/rest/api/2/users/search" && asked.parameter("startAt").as_deref() != Some("0") => json!([]),
            "/rest/api/2/project/search" => {
                let mut page = example(&description, &path, "get")?;
                page["isLast"] = true.into();
                page
            }
            _ if ELSEWHERE.iter().any(|known| path.starts_with(known)) => json!({ "values": [], "isLast": true }),
            _ => match example(&description, &path, &asked.method.to_lowercase()) {
                Some(example) => example,
                None if asked.method != "GET" => return Some(Answer::status(204)),
                None => return None,
            },
        };
        Some(Answer::json(&answer))
    });
    (host, all)
}

fn export(host: &Host) -> Run {
    host.export::<Jira>(json!({ "url": URL, "transitions": true }))
}

/// What is wrong with a request, by the description.
fn fault(description: &Value, asked: &Asked) -> Option<String> {
    let path = asked.path().replace("/rest/api/3/", "/rest/api/2/");
    if ELSEWHERE.iter().any(|known| path.starts_with(known)) {
        return None;
    }
    let name = format!("{} {path}", asked.method);
    let Some((_, item)) = described(description, &path) else { return Some(format!("{name}: no such path")) };
    let operation = &item[asked.method.to_lowercase()];
    if operation.is_null() {
        return Some(format!("{name}: no such method"));
    }
    let list = [&operation["parameters"], &item["parameters"]];
    let known: BTreeSet<&str> = list
        .iter()
        .filter_map(|list| list.as_array())
        .flatten()
        .filter_map(|parameter| parameter["name"].as_str())
        .collect();
    let query = asked.url.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let names = query.split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| pair.split('=').next());
    let unknown: Vec<&str> = names.filter(|name| !known.contains(name)).collect();
    (!unknown.is_empty()).then(|| format!("{name}: no parameters {unknown:?}; there are {known:?}"))
}

#[test]
#[ignore = "needs what scripts/test-jira.sh installs"]
fn every_request_is_described() {
    let description = description();
    let (host, asked) = serve(description.clone());
    let _ = export(&host).ok();
    let data = json!({ "ref_id": "10002" });
    let with = |more: Value| {
        let mut data = data.clone();
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    };
    let mutations = [
        with(json!({ "body": "Text" })),
        with(json!({ "title": "T" })),
        with(json!({ "transition_ref_id": "5", "fields": {} })),
        with(json!({ "priority_ref_id": "3" })),
        with(json!({ "user_ref_id": "5b10" })),
        data.clone(),
    ];
    for (name, data) in change::MUTATIONS.iter().zip(&mutations) {
        let result = host.mutate::<Jira>(name, data, json!({ "url": URL }));
        assert!(result.is_ok(), "{name}: {result:?}");
    }
    let asked = asked.borrow();
    let faults: Vec<String> = asked.iter().filter_map(|asked| fault(&description, asked)).collect();
    assert_eq!(faults, Vec::<String>::new());
    assert!(described(&description, "/rest/api/2/nothing").is_none());
    let paths: BTreeSet<String> = asked
        .iter()
        .filter_map(|asked| {
            let path = asked.path().replace("/rest/api/3/", "/rest/api/2/");
            described(&description, &path).map(|(known, _)| format!("{} {known}", asked.method))
        })
        .collect();
    assert!(paths.len() >= 16, "{paths:#?}");
}

#[test]
#[ignore = "needs what scripts/test-jira.sh installs"]
fn the_answers_that_are_described_are_taken() {
    let (host, _) = serve(description());
    let run = export(&host).ok();
    let errors: Vec<String> =
        run.result.as_ref().unwrap().projects.iter().filter_map(|project| project.error.clone()).collect();
    assert_eq!(
        (run.ids("work.Project"), run.ids("work.User").len() >= 2),
        (vec!["10000".to_owned(), "10001".to_owned()], true)
    );
    assert_eq!(run.ids("work.IssueStatus"), ["10000", "5"]);
    assert_eq!(
        (run.ids("work.IssueType").len(), run.ids("work.IssuePriority")),
        (2, vec!["1".to_owned(), "2".to_owned()])
    );
    let issues = run.of("work.Issue");
    let issue = issues.first().unwrap_or_else(|| panic!("there is no issue: {errors:?}"));
    assert_eq!((&issue["title"], &issue["identifier"]), (&json!("Main order flow broken"), &json!("ED-1")));
    assert!(issue.get("change_log").is_none(), "none of its changes is of a field that is told: {issue:#}");
    assert_eq!(issue["attachments"].as_array().map(Vec::len), Some(1), "{issue:#}");
    assert!(!issue["linked_issues"].as_array().unwrap().is_empty(), "{issue:#}");
    assert_eq!(run.ids("work.IssueComment"), ["10000"]);
    assert_eq!(errors, Vec::<String>::new());
}

//! Tests against what others wrote (`scripts/test-github.sh`): payloads of webhooks and traffic of api.github.com, recorded by
//! GitHub's own SDK; REST requests are held against GitHub's own description of them, and the queries are laid out, to be held
//! against its schema.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use agent_sdk::testing::{Answer, Asked, Host};
use agent_sdk::{ErrorKind, ExportResult, Integration, Manifest, NetworkRule, http::Request, paging};
use serde_json::{Value, json};

use super::{GitHub, queries, tests};

fn folder() -> PathBuf {
    std::env::var_os("AGENT_GITHUB_RECORDED").expect("run scripts/test-github.sh, which installs the recordings").into()
}

fn read(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
#[ignore = "needs what scripts/test-github.sh installs"]
fn queries_are_laid_out() {
    let more: Vec<queries::More> = ["comments", "reviews", "reviewRequests", "commits"]
        .map(|connection| queries::More { id: "PR_1".to_owned(), connection, after: "a \"b\"".to_owned() })
        .into();
    let issue = &more[..1];
    let mut all: BTreeMap<&str, String> =
        queries::ALL.iter().map(|(name, query)| (*name, (*query).to_owned())).collect();
    all.insert("more of pull requests", queries::more("PullRequest", &more, 100));
    all.insert("more of issues", queries::more("Issue", issue, 100));
    all.insert("look up issues", queries::look_up("Issue", &[1, 2, 3]));
    all.insert("look up pull requests", queries::look_up("PullRequest", &[1, 2, 3]));
    all.insert("whether nodes are there", queries::exist(&["IC_1".to_owned(), "IC_2".to_owned()]));
    std::fs::write(folder().join("queries.json"), json!(all).to_string()).unwrap();
}

#[test]
#[ignore = "needs what scripts/test-github.sh installs"]
fn recorded_webhooks_are_taken() {
    let laid_out = read("webhooks.json");
    let config = json!({ "organizations": ["acme"] });
    let host = Host::new();
    // What a webhook tells of has gone by now, which is an answer too.
    let gone = json!({
        "data": { "repository": { "issue": null, "pullRequest": null } },
        "errors": [{ "type": "NOT_FOUND", "message": "gone", "path": ["repository"] }]
    });
    host.on("POST https://api.github.com/graphql", Answer::json(&gone));
    let webhooks = laid_out["webhooks"].as_array().unwrap();
    assert!(webhooks.len() > 50, "only {} payloads were found", webhooks.len());
    let mut said = 0;
    for webhook in webhooks {
        let text = |name: &str| webhook[name].as_str().unwrap();
        let headers = [("X-GitHub-Event", text("event"))];
        match host.webhook::<GitHub>(&headers, text("body"), config.clone()) {
            Ok(result) => said += usize::from(result.mutated.contains_key("work.Issue")),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{}: {error}", text("event")),
        }
    }
    assert!(said > 20, "{said} issues that have gone");
}

/// Reads a list as the integration reads comments on code.
struct Lists;

impl Integration for Lists {
    type Config = agent_sdk::Ignored;

    fn describe() -> Manifest {
        Manifest::new("lists", "0.1.0").network(NetworkRule::https("api.github.com"))
    }

    fn export(_: Self::Config) -> agent_sdk::Result<ExportResult> {
        let url = "https://api.github.com/repos/octokit-fixture-org/paginate-issues/issues?per_page=3";
        let mut result = ExportResult::new();
        for item in paging::link::<Value>(Request::get(url)).items() {
            let item = item?;
            result.exported(item["number"].to_string(), item["title"].as_str().unwrap_or_default());
        }
        Ok(result)
    }
}

fn play(host: &Host, recordings: &Value, scenario: &str) {
    for exchange in recordings[scenario].as_array().unwrap() {
        let method = exchange["method"].as_str().unwrap().to_uppercase();
        let url = format!("https://api.github.com{}", exchange["path"].as_str().unwrap());
        let status = u16::try_from(exchange["status"].as_u64().unwrap()).unwrap();
        let headers = exchange["headers"].as_object().unwrap();
        let answer = headers
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_str()?)))
            .fold(Answer::new(status, exchange["response"].to_string()), |answer, (name, value)| {
                answer.header(name, value)
            });
        host.on(&format!("{method} {url}"), answer);
    }
}

#[test]
#[ignore = "needs what scripts/test-github.sh installs"]
fn recorded_pages_are_read_to_their_end() {
    let host = Host::new();
    play(&host, &read("recordings.json"), "paginate-issues");
    let run = host.export::<Lists>(json!({})).ok();
    let numbers: Vec<String> = run.result.unwrap().projects.into_iter().map(|project| project.ref_id).collect();
    assert_eq!(numbers, (1..=13).rev().map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(run.requests.len(), 5);
}

/// The recorded 422 and 307 stand for those of pull requests: GitHub answers all of its API in one form.
#[test]
#[ignore = "needs what scripts/test-github.sh installs"]
fn recorded_refusals_are_understood() {
    let recordings = read("recordings.json");
    let recorded = |scenario: &str, status: u64| {
        let found = recordings[scenario].as_array().unwrap().iter().find(|exchange| exchange["status"] == status);
        Answer::new(u16::try_from(status).unwrap(), found.unwrap()["response"].to_string())
    };
    let host = Host::new();
    host.on("PATCH https://api.github.com/repositories/1/pulls/1", recorded("errors", 422));
    host.on("PATCH https://api.github.com/repositories/1/pulls/2", recorded("rename-repository", 307));
    let set = |id: &str| {
        let data = json!({ "ref_id": id, "title": "New" });
        host.mutate::<GitHub>("pull_request.set_title", &data, json!({ "organizations": ["acme"] })).unwrap_err()
    };
    let refused = set("1/1");
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.message().contains("Validation Failed") && refused.message().contains("color"), "{refused}");
    assert_eq!(set("1/2").kind(), ErrorKind::NotFound);
}

/// How long Prism may take to listen.
const PRISM_WAIT_MAX: Duration = Duration::from_secs(60);
const PRISM_POLL_EVERY: Duration = Duration::from_millis(20);

/// Prism's connection, as soon as it listens.
#[allow(clippy::disallowed_types, reason = "Prism is asked over the wire, by a test and not by the agent")]
fn connect() -> std::net::TcpStream {
    let address = std::env::var("AGENT_GITHUB_PRISM").expect("run scripts/test-github.sh, which starts Prism");
    let deadline = Instant::now() + PRISM_WAIT_MAX;
    loop {
        match std::net::TcpStream::connect(&address) {
            Ok(stream) => return stream,
            Err(error) => {
                assert!(Instant::now() < deadline, "Prism does not listen: {error}; see prism.log in {:?}", folder());
                std::thread::sleep(PRISM_POLL_EVERY);
            }
        }
    }
}

/// Hands a request to Prism, which holds it against the description, and answers with the description's example.
fn described(asked: &Asked) -> Option<Answer> {
    let path = asked.url.strip_prefix("https://api.github.com").unwrap();
    let length = asked.body.len();
    // The description knows answers by their general type, and not by GitHub's own.
    let mut head =
        format!("{} {path} HTTP/1.1\r\nhost: prism\r\nconnection: close\r\naccept: application/json\r\n", asked.method);
    if length > 0 {
        head += &format!("content-type: {}\r\ncontent-length: {length}\r\n", asked.header("content-type").unwrap());
    }
    let mut stream = connect();
    stream.write_all(&[head.as_bytes(), b"\r\n", &asked.body].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    // Some of the description's own examples do not fit it; that is not the integration's affair.
    assert!(
        status < 400 && !head.contains(r#""location":["request""#),
        "{} {path} does not fit: {answer}",
        asked.method
    );
    // Its example of a Link leads nowhere, and is left out.
    Some(Answer::new(status, body).header("content-type", "application/json"))
}

#[test]
#[ignore = "needs what scripts/test-github.sh installs"]
fn rest_requests_fit_their_description_and_its_examples_are_understood() {
    let mut repository = tests::repository(1, 0, "2026-01-01T00:00:00Z");
    repository["issues"] = json!({ "totalCount": 0, "nodes": [] });
    repository["pullRequests"] = json!({ "totalCount": 1, "nodes": [{ "updatedAt": "2026-01-01T00:00:00Z" }] });
    let (host, server) = tests::serve(vec![repository], Vec::new());
    server.borrow_mut().pulls = vec![tests::pull_request(1, &[])];
    server.borrow_mut().rest = described;
    for webhooks in ["organization", "repository"] {
        let config = json!({
            "organizations": ["acme"], "git": false, "reserve": 0, "webhooks": webhooks,
            "webhook_url": "https://hooks.invalid/x", "webhook_secret": "what the tests sign with"
        });
        host.forget();
        let run = host.export::<GitHub>(config).ok();
        assert_eq!(run.of("sourcecode.RepoWebhook")[0]["enabled"], true, "{:?}", run.of("sourcecode.RepoWebhook"));
        let comments = run.of("sourcecode.PullRequestComment");
        assert_eq!((comments.len(), &comments[0]["on_code"]), (1, &json!(true)));
        let projects = run.result.unwrap().projects;
        assert!(projects.iter().all(|project| project.error.is_none()), "{projects:?}");
    }
    for (name, more) in [
        ("pull_request.set_title", json!({ "title": "New" })),
        ("pull_request.set_description", json!({ "description": "Why" })),
        ("pull_request.set_status", json!({ "status": "CLOSED" })),
        ("pull_request.add_comment", json!({ "body": "Done" })),
    ] {
        let mut data = json!({ "ref_id": "1/1" });
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let result = host.mutate::<GitHub>(name, &data, json!({ "organizations": ["acme"] })).unwrap();
        assert!(result.mutated.contains_key("sourcecode.PullRequest"), "{name}: {:?}", result.mutated);
    }
}

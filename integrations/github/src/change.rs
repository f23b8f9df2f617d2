//! Mutations of pull requests: title, description, status, a comment. Each is one REST request by the numbers that make the
//! `ref_id`, so that a repository may have another name by now, and one query for the record as it is afterwards.

use agent_sdk::http::{Request, Response};
use agent_sdk::{Data, Error, MutateResult, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::Api;
use crate::config::Config;
use crate::repo::Found;
use crate::single;

/// The names that `mutate` knows.
pub const MUTATIONS: [&str; 4] =
    ["pull_request.set_title", "pull_request.set_description", "pull_request.set_status", "pull_request.add_comment"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Titled {
    ref_id: String,
    title: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    ref_id: String,
    description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stated {
    ref_id: String,
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Status {
    Open,
    Closed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Commented {
    ref_id: String,
    body: String,
}

/// Makes one mutation.
pub fn mutate(name: &str, data: &Data, config: &Config) -> Result<MutateResult> {
    let api = Api::new(config);
    match name {
        "pull_request.set_title" => {
            let Titled { ref_id, title } = data.parse()?;
            not_empty("title", &title)?;
            change(&api, &ref_id, &json!({ "title": title }))
        }
        "pull_request.set_description" => {
            let Described { ref_id, description } = data.parse()?;
            change(&api, &ref_id, &json!({ "body": description }))
        }
        "pull_request.set_status" => {
            let Stated { ref_id, status } = data.parse()?;
            let state = if matches!(status, Status::Open) { "open" } else { "closed" };
            change(&api, &ref_id, &json!({ "state": state }))
        }
        "pull_request.add_comment" => {
            let Commented { ref_id, body } = data.parse()?;
            not_empty("body", &body)?;
            comment(&api, &ref_id, &body)
        }
        _ => Err(Error::not_supported(format!("mutation `{name}`: there are {}", MUTATIONS.join(", ")))),
    }
}

fn not_empty(field: &str, text: &str) -> Result<()> {
    if text.trim().is_empty() { Err(Error::invalid(format!("{field} is empty: give one"))) } else { Ok(()) }
}

/// Repository and number of a `ref_id`.
fn parts(ref_id: &str) -> Result<(u64, u64)> {
    let found = ref_id.split_once('/').and_then(|(repo, number)| Some((repo.parse().ok()?, number.parse().ok()?)));
    found.ok_or_else(|| {
        Error::invalid(format!(
            "`{ref_id}` is no pull request's ref_id: it is the repository's number, a slash, and its own"
        ))
    })
}

/// Sends a change; what the server says to it, as an error of the right kind.
fn send(request: Request, ref_id: &str) -> Result<Response> {
    let answer = request.send()?;
    match answer.status {
        404 | 410 => {
            Err(Error::not_found(format!("there is no pull request `{ref_id}`, or the credential may not see it")))
        }
        422 => Err(Error::invalid(format!("the server does not take it for `{ref_id}`: {}", faults(&answer)))),
        // It has moved: a redirect is not followed with a change in hand.
        301 | 307 | 308 => {
            Err(Error::not_found(format!("the repository of `{ref_id}` has moved; export it again first")))
        }
        _ => answer.error_for_status(),
    }
}

/// What GitHub says of a request that it does not take.
fn faults(answer: &Response) -> String {
    let body: Value = answer.json().unwrap_or_default();
    let fields = body["errors"].as_array().cloned().unwrap_or_default();
    let fields: Vec<String> = fields
        .iter()
        .map(|fault| match (&fault["message"], &fault["field"], &fault["code"]) {
            (Value::String(message), _, _) => message.clone(),
            (_, field, code) => {
                format!("{} is {}", field.as_str().unwrap_or("something"), code.as_str().unwrap_or("wrong"))
            }
        })
        .collect();
    format!("{} {}", body["message"].as_str().unwrap_or("no reason given"), fields.join("; "))
}

fn change(api: &Api, ref_id: &str, body: &Value) -> Result<MutateResult> {
    let (repo, number) = parts(ref_id)?;
    let (repo_text, number_text) = (repo.to_string(), number.to_string());
    let request = api.request("PATCH", &["repositories", &repo_text, "pulls", &number_text]).json(body);
    let full_name: String = send(request, ref_id)?.json_at("/base/repo/full_name")?;
    reread(api, repo, &full_name, number)
}

fn comment(api: &Api, ref_id: &str, body: &str) -> Result<MutateResult> {
    let (repo, number) = parts(ref_id)?;
    let (repo_text, number_text) = (repo.to_string(), number.to_string());
    // A comment goes to an issue just as well; only a pull request is what was asked for.
    let request = api.request("GET", &["repositories", &repo_text, "pulls", &number_text]);
    let full_name: String = send(request, ref_id)?.json_at("/base/repo/full_name")?;
    let segments = ["repositories", &repo_text, "issues", &number_text, "comments"];
    send(api.request("POST", &segments).json(&json!({ "body": body })), ref_id)?;
    reread(api, repo, &full_name, number)
}

/// The pull request as it is now.
fn reread(api: &Api, repo: u64, full_name: &str, number: u64) -> Result<MutateResult> {
    let result = single::pull_request(api, &Found::named(repo, full_name), number)?;
    let url =
        result.mutated.get("sourcecode.PullRequest").and_then(|records| records[0]["url"].as_str().map(str::to_owned));
    Ok(result.response(json!({ "ref_id": format!("{repo}/{number}"), "url": url })))
}

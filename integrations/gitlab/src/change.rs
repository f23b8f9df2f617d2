//! Mutations of merge requests and issues: title, description, status, a comment. Each is one request by the numbers that make
//! the `ref_id`, and then what the record takes as it is afterwards.

use agent_sdk::http::{Request, Response};
use agent_sdk::{Data, Error, MutateResult, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::Api;
use crate::config::Config;
use crate::project::Found;
use crate::{issue, merge_request, single};

/// The names that `mutate` knows: what, and what is changed of it.
pub const MUTATIONS: [&str; 8] = [
    "pull_request.set_title",
    "pull_request.set_description",
    "pull_request.set_status",
    "pull_request.add_comment",
    "issue.set_title",
    "issue.set_description",
    "issue.set_status",
    "issue.add_comment",
];

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

#[derive(Clone, Copy, Deserialize)]
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

/// What is changed: a merge request or an issue.
struct Target<'a> {
    api: &'a Api,
    /// The segment of its URL.
    kind: &'static str,
    /// For people.
    name: &'static str,
    ref_id: &'a str,
    project: u64,
    number: u64,
}

/// Makes one mutation.
pub fn mutate(name: &str, data: &Data, config: &Config) -> Result<MutateResult> {
    let api = Api::new(config);
    let unknown = || Error::not_supported(format!("mutation `{name}`: there are {}", MUTATIONS.join(", ")));
    let (what, change) = name.split_once('.').ok_or_else(unknown)?;
    let (kind, called) = match what {
        "pull_request" => (merge_request::LIST.kind, "merge request"),
        "issue" => (issue::LIST.kind, "issue"),
        _ => return Err(unknown()),
    };
    match change {
        "set_title" => {
            let Titled { ref_id, title } = data.parse()?;
            not_empty("title", &title)?;
            Target::new(&api, kind, called, &ref_id)?.change(&json!({ "title": title }))
        }
        "set_description" => {
            let Described { ref_id, description } = data.parse()?;
            Target::new(&api, kind, called, &ref_id)?.change(&json!({ "description": description }))
        }
        "set_status" => {
            let Stated { ref_id, status } = data.parse()?;
            Target::new(&api, kind, called, &ref_id)?.set_status(status)
        }
        "add_comment" => {
            let Commented { ref_id, body } = data.parse()?;
            not_empty("body", &body)?;
            Target::new(&api, kind, called, &ref_id)?.comment(&body)
        }
        _ => Err(unknown()),
    }
}

fn not_empty(field: &str, text: &str) -> Result<()> {
    if text.trim().is_empty() { Err(Error::invalid(format!("{field} is empty: give one"))) } else { Ok(()) }
}

impl<'a> Target<'a> {
    fn new(api: &'a Api, kind: &'static str, name: &'static str, ref_id: &'a str) -> Result<Target<'a>> {
        let parts = ref_id.split_once('/').and_then(|(one, other)| Some((one.parse().ok()?, other.parse().ok()?)));
        let (project, number) = parts.ok_or_else(|| {
            Error::invalid(format!(
                "`{ref_id}` is no {name}'s ref_id: it is the project's number, a slash, and its own"
            ))
        })?;
        Ok(Target { api, kind, name, ref_id, project, number })
    }

    /// A request to it, or to what is below it.
    fn request(&self, method: &str, below: &[&str]) -> Request {
        let (project, number) = (self.project.to_string(), self.number.to_string());
        let segments: Vec<&str> = [&["projects", project.as_str(), self.kind, number.as_str()], below].concat();
        self.api.request(method, &segments)
    }

    /// Sends a change; what the server says to it, as an error of the right kind.
    fn send(&self, request: Request) -> Result<Response> {
        let answer = request.send()?;
        let (name, ref_id) = (self.name, self.ref_id);
        match answer.status {
            404 | 410 => {
                Err(Error::not_found(format!("there is no {name} `{ref_id}`, or the credential may not see it")))
            }
            400 | 409 | 422 => {
                Err(Error::invalid(format!("the server does not take it for `{ref_id}`: {}", faults(&answer))))
            }
            _ => answer.error_for_status(),
        }
    }

    fn change(&self, body: &Value) -> Result<MutateResult> {
        let answer = self.send(self.request("PUT", &[]).json(body))?;
        self.reread(&answer.json()?)
    }

    fn set_status(&self, status: Status) -> Result<MutateResult> {
        let (event, state) = match status {
            Status::Open => ("reopen", "opened"),
            Status::Closed => ("close", "closed"),
        };
        let answer = self.send(self.request("PUT", &[]).json(&json!({ "state_event": event })))?;
        let node: Value = answer.json()?;
        // Of a merge request that is merged, the server takes neither and says nothing.
        if node["state"] != state {
            let is = node["state"].as_str().unwrap_or("something else");
            return Err(Error::invalid(format!("`{}` is {is}, and stays it: it cannot be {state}", self.ref_id)));
        }
        self.reread(&node)
    }

    fn comment(&self, body: &str) -> Result<MutateResult> {
        self.send(self.request("POST", &["notes"]).json(&json!({ "body": body })))?;
        let node: Value = self.send(self.request("GET", &[]))?.json()?;
        self.reread(&node)
    }

    /// What it is now. The project's path is the beginning of what people call it.
    fn reread(&self, node: &Value) -> Result<MutateResult> {
        let full = node["references"]["full"].as_str().unwrap_or_default();
        let project = Found::named(self.project, full.rsplit_once(['!', '#']).map_or("", |(path, _)| path));
        let result = match self.kind {
            "issues" => single::issue(self.api, &project, self.number)?,
            _ => single::merge_request(self.api, &project, self.number)?,
        };
        Ok(result.response(json!({ "ref_id": self.ref_id, "url": node["web_url"] })))
    }
}

/// What GitLab says of a request that it does not take: a text, or lists of texts by field.
fn faults(answer: &Response) -> String {
    let body: Value = answer.json().unwrap_or_default();
    match body.get("message").or_else(|| body.get("error")) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "no reason given".to_owned(),
        Some(other) => other.to_string(),
    }
}

//! What changes: mutations, and the webhooks that tell of the same. There is no server to change, so the changed record is
//! the answer, and the next call finds everything as it was.

use agent_sdk::{Data, Error, Model, MutateResult, Result, Webhook};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::Config;
use crate::issue::{Issue, IssueSource, PRIORITIES, STATUSES};
use crate::user::User;

/// The names that `mutate` knows.
pub const MUTATIONS: [&str; 5] =
    ["issue.set_title", "issue.set_status", "issue.set_priority", "issue.set_assignee", "issue.add_comment"];

/// The events that `webhook` takes, and the header field that names them.
pub const EVENTS: [&str; 3] = ["issue.updated", "issue.commented", "ping"];
pub const EVENT_HEADER: &str = "x-mock-event";

/// When a comment was made: nothing here depends on a clock.
const COMMENTED_AT: &str = "2026-01-01T00:00:00Z";

/// A comment on an issue. Comments are made, never exported.
#[derive(Debug, Serialize)]
pub struct Comment {
    ref_id: String,
    ref_type: &'static str,
    issue_ref_id: String,
    body: String,
    created_at: &'static str,
}

impl Model for Comment {
    const NAME: &'static str = "mock.Comment";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "issue_ref_id", "body", "created_at"],
            "properties": {
                "ref_id": { "type": "string" },
                "ref_type": { "const": "mock" },
                "issue_ref_id": { "type": "string" },
                "body": { "type": "string", "minLength": 1 },
                "created_at": { "type": "string", "format": "date-time" }
            }
        })
    }
}

/// A title for an issue.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Titled {
    ref_id: String,
    title: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stated {
    ref_id: String,
    status: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ranked {
    ref_id: String,
    priority: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Assigned {
    ref_id: String,
    user_ref_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Commented {
    ref_id: String,
    body: String,
}

/// Makes one mutation.
pub fn mutate(name: &str, data: &Data, config: &Config) -> Result<MutateResult> {
    match name {
        "issue.set_title" => set_title(data.parse()?, config),
        "issue.set_status" => {
            let Stated { ref_id, status } = data.parse()?;
            let mut issue = find(config, &ref_id)?;
            issue.status = one_of("status", &status, &STATUSES)?;
            changed(&issue)
        }
        "issue.set_priority" => {
            let Ranked { ref_id, priority } = data.parse()?;
            let mut issue = find(config, &ref_id)?;
            issue.priority = one_of("priority", &priority, &PRIORITIES)?;
            changed(&issue)
        }
        "issue.set_assignee" => {
            let Assigned { ref_id, user_ref_id } = data.parse()?;
            let mut issue = find(config, &ref_id)?;
            if (0..config.users()).all(|index| User::new(config, index).ref_id != user_ref_id) {
                return Err(Error::not_found(format!("there is no user `{user_ref_id}`")));
            }
            issue.assignee_ref_id = user_ref_id;
            changed(&issue)
        }
        "issue.add_comment" => comment(data.parse()?, config),
        _ => Err(Error::not_supported(format!("mutation `{name}`: there are {}", MUTATIONS.join(", ")))),
    }
}

/// Takes one webhook.
pub fn webhook(webhook: &Webhook, config: &Config) -> Result<MutateResult> {
    match webhook.header(EVENT_HEADER) {
        Some("ping") => Ok(MutateResult::new().response(json!({ "pong": webhook.body.len() }))),
        Some("issue.updated") => set_title(webhook.json()?, config),
        Some("issue.commented") => comment(webhook.json()?, config),
        event => Err(Error::invalid(format!("header {EVENT_HEADER} is {event:?}: there are {}", EVENTS.join(", ")))),
    }
}

fn set_title(change: Titled, config: &Config) -> Result<MutateResult> {
    let mut issue = find(config, &change.ref_id)?;
    if change.title.is_empty() {
        return Err(Error::invalid("title is empty: an issue needs one"));
    }
    issue.title = change.title;
    changed(&issue)
}

fn comment(comment: Commented, config: &Config) -> Result<MutateResult> {
    let issue = find(config, &comment.ref_id)?;
    if comment.body.is_empty() {
        return Err(Error::invalid("body is empty: a comment needs one"));
    }
    let comment = Comment {
        ref_id: format!("{}-C1", issue.ref_id),
        ref_type: "mock",
        issue_ref_id: issue.ref_id.clone(),
        body: comment.body,
        created_at: COMMENTED_AT,
    };
    Ok(MutateResult::new().mutated(&comment)?.response(answer(&issue)))
}

fn find(config: &Config, ref_id: &str) -> Result<Issue> {
    let source = IssueSource::new(config);
    let (project, index) =
        source.find(ref_id).ok_or_else(|| Error::not_found(format!("there is no issue `{ref_id}`")))?;
    let mut issue = Issue::default();
    source.fill(&mut issue, project, index);
    Ok(issue)
}

fn one_of(what: &str, word: &str, words: &[&'static str]) -> Result<&'static str> {
    let found = words.iter().find(|known| **known == word).copied();
    found.ok_or_else(|| Error::invalid(format!("there is no {what} `{word}`: give one of {}", words.join(", "))))
}

fn changed(issue: &Issue) -> Result<MutateResult> {
    Ok(MutateResult::new().mutated(issue)?.response(answer(issue)))
}

fn answer(issue: &Issue) -> Value {
    json!({ "ref_id": issue.ref_id, "url": format!("https://mock.invalid/{}", issue.ref_id) })
}

//! Webhooks: one of the site made where it is missing, and taken when they come. What they tell of is read anew, so that a record
//! from a webhook is the one that the next export would send. The host checks signatures, and puts the secret into the request
//! that makes a webhook; here it is never seen.

use agent_sdk::{Error, Model, MutateResult, Result, Session, Signature, Tracking, Webhook, control};
use integration_model::notes::Notes;
use integration_model::work::{Issue, IssueComment, Sprint};
use integration_model::{Comment, Stop, hooks};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::Api;
use crate::config::{Config, Webhooks};
use crate::{REF_TYPE, SITE, board, single};

/// The events that are taken. Jira names them in the body.
pub const EVENTS: [&str; 11] = [
    "jira:issue_created",
    "jira:issue_updated",
    "jira:issue_deleted",
    "comment_created",
    "comment_updated",
    "comment_deleted",
    "sprint_created",
    "sprint_updated",
    "sprint_started",
    "sprint_closed",
    "sprint_deleted",
];
/// The one of them that is about what is not there any more.
const COMMENT_DELETED: &str = "comment_deleted";
/// How webhooks are signed.
pub const SIGNATURE: Signature = Signature::HmacSha256 { header: "x-hub-signature", prefix: "sha256=" };
/// The setting that holds what webhooks are signed with, and the credential that it is.
pub const SECRET: &str = "/webhook_secret";
pub const CREDENTIAL: &str = "webhook_secret";
/// Where webhooks are made, and nothing else: the secret goes there.
pub const PATHS: [&str; 2] = ["{config:/url}/rest/webhooks/1.0/webhook", "{config:/api_url}/rest/webhooks/1.0/webhook"];
/// What the webhook is called in the site's list of them.
const NAME: &str = "agent";

/// Makes the webhook of the site, if that is wanted.
pub fn of_site(api: &Api, config: &Config, root: &Session<Tracking>) -> Result<(), Stop> {
    if config.webhooks != Webhooks::Site {
        return Ok(());
    }
    let url = config.webhook_url.clone().or_else(control::webhook_url);
    let of = hooks::Of { ref_type: REF_TYPE, id: SITE, name: "", repository: false };
    hooks::ensure_of_site(root, &of, url, |url| make(api, config, url))
}

fn make(api: &Api, config: &Config, url: &str) -> Result<(), Stop> {
    let hooks: Vec<Value> = api.webhooks("GET").send()?.check()?.json()?;
    if let Some(hook) = hooks.iter().find(|hook| hook["url"] == url) {
        // Who switched it off had a reason, and is not overruled.
        return match hook["enabled"] == false {
            true => Err(Error::msg("the webhook is there, and switched off; switch it on, or delete it").into()),
            false => Ok(()),
        };
    }
    let body = json!({
        "name": NAME, "url": url, "events": EVENTS, "excludeBody": false, "enabled": true,
        // A placeholder, which the host fills in.
        "secret": config.webhook_secret,
        "filters": { "issue-related-events-section": "" }
    });
    api.webhooks("POST").json(&body).fill(CREDENTIAL).send()?.check()?;
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    webhook_event: String,
    issue: Option<IssueOf>,
    sprint: Option<SprintOf>,
    comment: Option<CommentOf>,
}

#[derive(Deserialize)]
struct CommentOf {
    /// A number, in quotes or without them.
    id: Value,
}

#[derive(Deserialize)]
struct IssueOf {
    /// A number, in quotes or without them.
    id: Value,
    fields: Option<FieldsOf>,
}

#[derive(Deserialize)]
struct FieldsOf {
    project: Option<ProjectOf>,
}

#[derive(Deserialize)]
struct ProjectOf {
    id: String,
}

#[derive(Deserialize)]
struct SprintOf {
    id: u64,
}

/// Takes a webhook: what it tells of, as it is now.
pub fn take(webhook: &Webhook, config: &Config) -> Result<MutateResult> {
    let event: Event = webhook.json()?;
    let response = json!({ "event": event.webhook_event });
    if !EVENTS.contains(&event.webhook_event.as_str()) {
        return Ok(MutateResult::new().response(response));
    }
    let result = match (&event.issue, &event.sprint) {
        (Some(issue), _) => {
            let gone = event.comment.as_ref().filter(|_| event.webhook_event == COMMENT_DELETED);
            said_gone(of_issue(config, issue)?, issue, gone.and_then(|comment| number(&comment.id)))?
        }
        (None, Some(sprint)) => of_sprint(config, sprint.id)?,
        (None, None) => MutateResult::new(),
    };
    Ok(result.response(response))
}

/// A number, in quotes or without them.
fn number(id: &Value) -> Option<u64> {
    id.as_str().and_then(|id| id.parse().ok()).or_else(|| id.as_u64())
}

/// The result with a comment on the issue that has gone: nothing that is read now has it any more.
fn said_gone(result: MutateResult, issue: &IssueOf, comment: Option<u64>) -> Result<MutateResult> {
    let said = issue.fields.as_ref().and_then(|fields| fields.project.as_ref()).map(|project| project.id.clone());
    let read = result.mutated.get(Issue::NAME).and_then(|issues| issues[0]["project_id"].as_str().map(str::to_owned));
    let (Some(comment), Some(issue), Some(project)) = (comment, number(&issue.id), read.or(said)) else {
        return Ok(result);
    };
    let comment = Comment::gone(REF_TYPE, comment.to_string());
    result.mutated(&IssueComment::of_project(comment, &project, &issue.to_string()))
}

fn of_issue(config: &Config, issue: &IssueOf) -> Result<MutateResult> {
    let id = number(&issue.id).ok_or_else(|| Error::invalid(format!("issue.id is {}, and no number", issue.id)))?;
    let api = Api::open(config).map_err(Stop::into_error)?;
    if let Some(result) = single::issue(&api, config, id)? {
        return Ok(result);
    }
    let project = issue.fields.as_ref().and_then(|fields| fields.project.as_ref()).ok_or_else(|| {
        Error::not_found(format!("issue {id}: it has gone, and the webhook does not say of which project it was"))
    })?;
    MutateResult::new().mutated(&Issue::gone_of_project(REF_TYPE, project.id.clone(), id.to_string()))
}

fn of_sprint(config: &Config, id: u64) -> Result<MutateResult> {
    let api = Api::open(config).map_err(Stop::into_error)?;
    let mut notes = Notes::default();
    let found = board::one(&api, id, &mut notes).map_err(Stop::into_error)?;
    notes.tell("webhook");
    MutateResult::new().mutated(&found.unwrap_or_else(|| Sprint::gone(REF_TYPE, id.to_string())))
}

//! Webhooks: made where they are missing, and taken when they come. What they tell of is read anew, so that a record from a
//! webhook is the one that the next export would send. The host checks signatures, and puts the secret into the request that
//! makes a webhook; here it is never seen.

use agent_sdk::{Error, MutateResult, Result, Session, Tracking, Webhook, control};
use integration_model::hooks::{self, Of};
use integration_model::sourcecode::PullRequestComment;
use integration_model::work::IssueComment;
use integration_model::{Comment, Stop};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::REF_TYPE;
use crate::api::Api;
use crate::config::{Config, Webhooks};
use crate::repo::Found;

/// The events that are taken.
pub const EVENTS: [&str; 7] =
    ["ping", "push", "issues", "issue_comment", "pull_request", "pull_request_review", "pull_request_review_comment"];
pub const EVENT_HEADER: &str = "x-github-event";
/// The setting that holds what webhooks are signed with, and the credential that it is.
pub const SECRET: &str = "/webhook_secret";
pub const CREDENTIAL: &str = "webhook_secret";
/// Where webhooks are made, and nothing else: the secret goes there. GitHub's own API has no path; that of another server does.
pub const PATHS: [&str; 4] =
    ["/repos/*/*/hooks", "/orgs/*/hooks", "{config:/url}/api/v3/repos/*/*/hooks", "{config:/url}/api/v3/orgs/*/hooks"];
/// What is answered where a webhook exists already.
const EXISTS: &str = "Hook already exists";

/// Where webhooks are to be sent.
fn url(config: &Config) -> Option<String> {
    config.webhook_url.clone().or_else(control::webhook_url)
}

/// Makes a webhook for an organization, if that is wanted.
pub fn of_organization(api: &Api, config: &Config, tracking: &Session<Tracking>, login: &str) -> Result<(), Stop> {
    if config.webhooks != Webhooks::Organization {
        return Ok(());
    }
    let id = format!("organization/{login}");
    let of = Of { ref_type: REF_TYPE, id: &id, name: login, repository: false };
    hooks::ensure(tracking, &of, url(config), |url| make(api, config, &["orgs", login, "hooks"], url))
}

/// Makes a webhook for a repository, if that is wanted.
pub fn of_repository(api: &Api, config: &Config, tracking: &Session<Tracking>, repo: &Found) -> Result<(), Stop> {
    if config.webhooks != Webhooks::Repository {
        return Ok(());
    }
    let ((owner, name), id) = (repo.parts(), repo.ref_id());
    let of = Of { ref_type: REF_TYPE, id: &id, name: &repo.full_name, repository: true };
    hooks::ensure(tracking, &of, url(config), |url| make(api, config, &["repos", owner, name, "hooks"], url))
}

/// Makes a webhook where there is none with our URL.
fn make(api: &Api, config: &Config, segments: &[&str], url: &str) -> Result<(), Stop> {
    let list = api.request("GET", segments).query("per_page", 100).send()?.error_for_status()?;
    let hooks: Vec<Value> = list.json()?;
    if let Some(hook) = hooks.iter().find(|hook| hook["config"]["url"] == url) {
        // Who switched it off had a reason, and is not overruled.
        return match hook["active"] == false {
            true => Err(Error::msg("the webhook is there, and switched off; switch it on, or delete it").into()),
            false => Ok(()),
        };
    }
    let body = json!({
        "name": "web", "active": true, "events": EVENTS.iter().filter(|event| **event != "ping").collect::<Vec<_>>(),
        // A placeholder, which the host fills in.
        "config": { "url": url, "content_type": "json", "insecure_ssl": "0", "secret": config.webhook_secret }
    });
    let answer = api.request("POST", segments).json(&body).fill(CREDENTIAL).send()?;
    // Somebody else made it a moment ago.
    if answer.status == 422 && answer.text().contains(EXISTS) {
        return Ok(());
    }
    answer.error_for_status()?;
    Ok(())
}

#[derive(Deserialize)]
struct Event {
    action: Option<String>,
    repository: Option<RepositoryOf>,
    issue: Option<IssueOf>,
    pull_request: Option<Numbered>,
    comment: Option<CommentOf>,
}

#[derive(Deserialize)]
struct CommentOf {
    node_id: Option<String>,
}

#[derive(Deserialize)]
struct RepositoryOf {
    id: u64,
    full_name: String,
}

#[derive(Deserialize)]
struct Numbered {
    number: u64,
}

#[derive(Deserialize)]
struct IssueOf {
    number: u64,
    /// There, where the issue is a pull request.
    pull_request: Option<Value>,
}

/// Takes a webhook: what it tells of, as it is now.
pub fn take(webhook: &Webhook, config: &Config) -> Result<MutateResult> {
    let kind = webhook.header(EVENT_HEADER).unwrap_or_default();
    let event: Event = webhook.json()?;
    let response = json!({
        "event": kind, "action": event.action, "repo_id": event.repository.as_ref().map(|repo| repo.id.to_string())
    });
    let Some(repository) = &event.repository else { return Ok(MutateResult::new().response(response)) };
    let api = Api::new(config);
    let found = Found::named(repository.id, &repository.full_name);
    let is_pull = |issue: &IssueOf| issue.pull_request.as_ref().is_some_and(|part| !part.is_null());
    let result = match (&event.issue, &event.pull_request) {
        (Some(issue), _) if is_pull(issue) => crate::single::pull_request(&api, &found, issue.number)?,
        (Some(issue), _) => crate::single::issue(&api, &found, issue.number)?,
        (None, Some(pull)) => crate::single::pull_request(&api, &found, pull.number)?,
        (None, None) => MutateResult::new(),
    };
    // Nothing that is read now has it any more.
    let result = match event.comment.as_ref().and_then(|comment| comment.node_id.clone()) {
        Some(id) if event.action.as_deref() == Some("deleted") => {
            let thread = |number: u64| format!("{}/{number}", found.id);
            match (&event.issue, &event.pull_request) {
                (Some(issue), _) if !is_pull(issue) => {
                    let comment = Comment::gone(REF_TYPE, id);
                    result.mutated(&IssueComment::of_repo(comment, &found.ref_id(), &thread(issue.number)))?
                }
                (Some(IssueOf { number, .. }), _) | (None, Some(Numbered { number })) => {
                    let thread = thread(*number);
                    result.mutated(&PullRequestComment::gone(REF_TYPE, &found.ref_id(), &thread, id))?
                }
                (None, None) => result,
            }
        }
        _ => result,
    };
    Ok(result.response(response))
}

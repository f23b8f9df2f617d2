//! Webhooks: made where they are missing, and taken when they come. What they tell of is read anew, so that a record from a
//! webhook is the one that the next export would send.
//!
//! The host does not check signatures yet (docs/operators.md), and so the secret stands in the configuration, not marked
//! `writeOnly`, and is seen here. Nothing is believed of a webhook before its signature has been checked.

use agent_sdk::updated::{from_now, is_before};
use agent_sdk::{Error, MutateResult, Result, Session, Tracking, Webhook, control, log};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::REF_TYPE;
use crate::api::{Api, Stop};
use crate::config::{Config, Webhooks};
use crate::repo::{Found, RepoWebhook};
use crate::signature;

/// The events that are taken.
pub const EVENTS: [&str; 7] =
    ["ping", "push", "issues", "issue_comment", "pull_request", "pull_request_review", "pull_request_review_comment"];
pub const EVENT_HEADER: &str = "x-github-event";
const SIGNATURE_HEADER: &str = "x-hub-signature-256";
/// What is answered where a webhook exists already.
const EXISTS: &str = "Hook already exists";

/// Where webhooks are to be sent.
fn url(config: &Config) -> Option<String> {
    config.webhook_url.clone().or_else(control::webhook_url)
}

/// Seconds after which a webhook is looked for again: somebody may have deleted it, or switched it off. It is a point each, so
/// seldom for those of repositories, of which there may be a thousand.
const ORGANIZATION_AGAIN_SECS: u64 = 24 * 3_600;
const REPOSITORY_AGAIN_SECS: u64 = 7 * 24 * 3_600;

/// A webhook that was there.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Cursor {
    url: String,
    /// When to look again.
    again_at: String,
}

impl Cursor {
    /// Whether there is nothing to do yet. What cannot be read is looked at again.
    fn holds(session: &Session<RepoWebhook>, url: &str) -> bool {
        let cursor = session.last_processed().and_then(|cursor| serde_json::from_str::<Cursor>(&cursor).ok());
        cursor.is_some_and(|cursor| cursor.url == url && is_before(&from_now(0), &cursor.again_at))
    }
}

/// Makes the webhook of an organization, if that is wanted.
pub fn of_organization(api: &Api, config: &Config, tracking: &Session<Tracking>, login: &str) -> Result<(), Stop> {
    if config.webhooks != Webhooks::Organization {
        return Ok(());
    }
    let id = format!("organization/{login}");
    ensure(api, config, tracking, &["orgs", login, "hooks"], (&id, login), None)
}

/// Makes the webhook of a repository, if that is wanted.
pub fn of_repository(api: &Api, config: &Config, tracking: &Session<Tracking>, repo: &Found) -> Result<(), Stop> {
    if config.webhooks != Webhooks::Repository {
        return Ok(());
    }
    let ((owner, name), id) = (repo.parts(), repo.ref_id());
    ensure(api, config, tracking, &["repos", owner, name, "hooks"], (&id, &repo.full_name), Some(id.clone()))
}

/// Makes a webhook where there is none with our URL. Once it is known to be there nothing is asked for a while, unless the URL
/// changes.
fn ensure(
    api: &Api,
    config: &Config,
    tracking: &Session<Tracking>,
    segments: &[&str],
    (id, name): (&str, &str),
    repo_id: Option<String>,
) -> Result<(), Stop> {
    let Some(url) = url(config) else {
        log::warn("webhooks are to be made, and nobody receives any: give `webhook_url`", &[]);
        return Ok(());
    };
    let mut session = tracking.model::<RepoWebhook>(id, name)?;
    if Cursor::holds(&session, &url) {
        session.done(None)?;
        return Ok(());
    }
    let made = make(api, config, segments, &url);
    let error_message = match made {
        Ok(()) => None,
        Err(stop @ (Stop::Paused(_) | Stop::Asked)) => {
            session.done(None)?;
            return Err(stop);
        }
        // A credential that may read may not always do this; the export goes on without.
        Err(Stop::Failed(error)) => {
            log::warn("the webhook could not be made", &[("of", name), ("error", &error.to_string())]);
            Some(error.to_string())
        }
    };
    let enabled = error_message.is_none();
    let record = RepoWebhook {
        ref_id: id.to_owned(),
        ref_type: REF_TYPE,
        repo_id,
        enabled,
        url: enabled.then(|| url.clone()),
        error_message,
    };
    session.send(&record)?;
    let again_secs = if segments[0] == "orgs" { ORGANIZATION_AGAIN_SECS } else { REPOSITORY_AGAIN_SECS };
    let cursor = json!(Cursor { url, again_at: from_now(again_secs) }).to_string();
    session.done(enabled.then_some(cursor.as_str()))?;
    Ok(())
}

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
        "config": { "url": url, "content_type": "json", "insecure_ssl": "0", "secret": config.webhook_secret }
    });
    let answer = api.request("POST", segments).json(&body).send()?;
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
    let secret = config.webhook_secret.as_deref().ok_or_else(|| {
        Error::invalid(
            "there is no `webhook_secret` in the configuration, and so nothing to hold the signature against",
        )
    })?;
    let given = webhook.header(SIGNATURE_HEADER).unwrap_or_default();
    if !signature::is_of(given, secret.as_bytes(), &webhook.body) {
        return Err(Error::unauthenticated(format!(
            "the webhook's {SIGNATURE_HEADER} is not that of its body with our secret: it is not from the server, or the secrets differ"
        )));
    }
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
    Ok(result.response(response))
}

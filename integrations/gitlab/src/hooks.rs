//! Webhooks: made where they are missing, and taken when they come. What they tell of is read anew, so that a record from a
//! webhook is the one that the next export would send. Whether they are from the server is `token`'s.

use agent_sdk::{Error, MutateResult, Result, Session, Tracking, Webhook, control};
use integration_model::Stop;
use integration_model::hooks::{self, Of};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::REF_TYPE;
use crate::api::Api;
use crate::config::{Config, Webhooks};
use crate::project::Found;
use crate::{single, token, walk};

/// The events that are taken, as `object_kind` has them.
pub const EVENTS: [&str; 4] = ["push", "issue", "note", "merge_request"];

/// Makes a webhook for a group, if that is wanted.
pub fn of_group(api: &Api, config: &Config, tracking: &Session<Tracking>, group: &str) -> Result<(), Stop> {
    if config.webhooks != Webhooks::Group {
        return Ok(());
    }
    let id = format!("group/{group}");
    let of = Of { ref_type: REF_TYPE, id: &id, name: group, repository: false };
    hooks::ensure(tracking, &of, url(config), |url| make(api, config, &["groups", group, "hooks"], url))
}

/// Makes a webhook for a project, if that is wanted.
pub fn of_project(api: &Api, config: &Config, tracking: &Session<Tracking>, project: &Found) -> Result<(), Stop> {
    if config.webhooks != Webhooks::Project {
        return Ok(());
    }
    let id = project.ref_id();
    let of = Of { ref_type: REF_TYPE, id: &id, name: &project.path, repository: true };
    hooks::ensure(tracking, &of, url(config), |url| make(api, config, &["projects", &id, "hooks"], url))
}

/// Where webhooks are to be sent.
fn url(config: &Config) -> Option<String> {
    config.webhook_url.clone().or_else(control::webhook_url)
}

/// Makes a webhook where there is none with our URL.
fn make(api: &Api, config: &Config, segments: &[&str], url: &str) -> Result<(), Stop> {
    let mut found = None;
    let take = |hook: Value| {
        if hook["url"] == url {
            found = Some(hook);
        }
    };
    walk::all(api.list(segments), take, |_| ())?;
    if let Some(hook) = found {
        // The server switches off those that fail for long.
        return match hook["alert_status"] == "disabled" {
            true => Err(Error::msg("the webhook is there, and switched off; test it, or delete it").into()),
            false => Ok(()),
        };
    }
    let body = json!({
        "url": url, "token": config.webhook_secret, "enable_ssl_verification": true, "push_events": true,
        "issues_events": true, "confidential_issues_events": true, "note_events": true,
        "confidential_note_events": true, "merge_requests_events": true
    });
    api.request("POST", segments).json(&body).send()?.check()?;
    Ok(())
}

#[derive(Deserialize)]
struct Event {
    object_kind: Option<String>,
    project: Option<Project>,
    object_attributes: Option<Attributes>,
    issue: Option<Numbered>,
    merge_request: Option<Numbered>,
}

#[derive(Deserialize)]
struct Project {
    id: u64,
    path_with_namespace: String,
}

#[derive(Deserialize)]
struct Attributes {
    iid: Option<u64>,
    action: Option<String>,
}

#[derive(Deserialize)]
struct Numbered {
    iid: u64,
}

/// Takes a webhook: what it tells of, as it is now.
pub fn take(webhook: &Webhook, config: &Config) -> Result<MutateResult> {
    token::check(webhook, config)?;
    let event: Event = webhook.json()?;
    let kind = event.object_kind.as_deref().unwrap_or_default();
    let attributes = event.object_attributes.as_ref();
    let response = json!({
        "event": kind, "action": attributes.and_then(|attributes| attributes.action.as_deref()),
        "repo_id": event.project.as_ref().map(|project| project.id.to_string())
    });
    let Some(project) = &event.project else { return Ok(MutateResult::new().response(response)) };
    let api = Api::new(config);
    let found = Found::named(project.id, &project.path_with_namespace);
    let own = attributes.and_then(|attributes| attributes.iid);
    // A note hangs on an issue, on a merge request, or on something else: its own attributes have no number.
    let (issue, merge_request) = match kind {
        "issue" => (own, None),
        "merge_request" => (None, own),
        "note" => (event.issue.map(|issue| issue.iid), event.merge_request.map(|one| one.iid)),
        _ => (None, None),
    };
    let result = match (issue, merge_request) {
        (Some(number), _) => single::issue(&api, &found, number)?,
        (None, Some(number)) => single::merge_request(&api, &found, number)?,
        (None, None) => MutateResult::new(),
    };
    Ok(result.response(response))
}

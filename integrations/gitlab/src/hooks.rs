//! Webhooks: made where they are missing, and taken when they come. What they tell of is read anew, so that a record from a
//! webhook is the one that the next export would send. The host sees to it that they bring our secret, and puts that into the
//! request that makes a webhook; here it is never seen.

use agent_sdk::{Error, MutateResult, Result, Session, Tracking, Webhook, control};
use integration_model::Stop;
use integration_model::hooks::{self, Of};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::REF_TYPE;
use crate::api::Api;
use crate::config::{Config, Webhooks};
use crate::project::Found;
use crate::{single, walk};

/// The events that are taken, as `object_kind` has them.
pub const EVENTS: [&str; 4] = ["push", "issue", "note", "merge_request"];

/// The setting that holds what webhooks bring along, and the credential that it is.
pub const SECRET: &str = "/webhook_secret";
pub const CREDENTIAL: &str = "webhook_secret";

/// Where webhooks are made, and nothing else: the secret goes there.
pub const PATHS: [&str; 2] = ["{config:/url}/api/v4/groups/*/hooks", "{config:/url}/api/v4/projects/*/hooks"];

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
    // The secret is a placeholder, which the host fills in.
    let body = json!({
        "url": url, "token": config.webhook_secret, "enable_ssl_verification": true, "push_events": true,
        "issues_events": true, "confidential_issues_events": true, "note_events": true,
        "confidential_note_events": true, "merge_requests_events": true
    });
    api.request("POST", segments).json(&body).fill(CREDENTIAL).send()?.check()?;
    Ok(())
}

/// As much of an event as says what it is about. Which of its ids there are depends on kind and version.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Event {
    object_kind: Option<String>,
    project_id: Option<u64>,
    project: Option<Project>,
    object_attributes: Option<Attributes>,
    issue: Option<Numbered>,
    merge_request: Option<Numbered>,
}

#[derive(Deserialize)]
struct Project {
    id: Option<u64>,
    path_with_namespace: Option<String>,
}

#[derive(Deserialize)]
struct Attributes {
    iid: Option<u64>,
    action: Option<String>,
    /// Of a merge request: that of the project that it is in, and not of a fork that it comes from.
    target_project_id: Option<u64>,
}

#[derive(Deserialize)]
struct Numbered {
    iid: Option<u64>,
}

impl Event {
    /// The project that it happened in.
    fn project(&self) -> Option<Found> {
        let target = self.object_attributes.as_ref().and_then(|attributes| attributes.target_project_id);
        let own = self.project.as_ref().and_then(|project| project.id);
        let path = self.project.as_ref().and_then(|project| project.path_with_namespace.as_deref());
        Some(Found::named(target.or(own).or(self.project_id)?, path.unwrap_or_default()))
    }

    /// The numbers of the issue or the merge request that it is about.
    fn numbers(&self) -> (Option<u64>, Option<u64>) {
        let own = self.object_attributes.as_ref().and_then(|attributes| attributes.iid);
        let of = |numbered: &Option<Numbered>| numbered.as_ref().and_then(|numbered| numbered.iid);
        match self.object_kind.as_deref() {
            Some("issue") => (own, None),
            Some("merge_request") => (None, own),
            // It hangs on an issue, on a merge request, or on something else, and has no number of its own.
            Some("note") => (of(&self.issue), of(&self.merge_request)),
            _ => (None, None),
        }
    }
}

/// Takes a webhook: what it tells of, as it is now.
pub fn take(webhook: &Webhook, config: &Config) -> Result<MutateResult> {
    let event: Event = webhook.json()?;
    let project = event.project();
    let response = json!({
        "event": event.object_kind, "action": event.object_attributes.as_ref().and_then(|one| one.action.as_deref()),
        "repo_id": project.as_ref().map(Found::ref_id)
    });
    let api = Api::new(config);
    let result = match (&project, event.numbers()) {
        (Some(project), (Some(number), _)) => single::issue(&api, project, number)?,
        (Some(project), (None, Some(number))) => single::merge_request(&api, project, number)?,
        _ => MutateResult::new(),
    };
    Ok(result.response(response))
}

//! Data for a person to choose from: the members, the repositories, and the projects that have issues.

use agent_sdk::{Error, Result};
use integration_model::Stop;
use integration_model::notes::Notes;
use integration_model::people::Account;
use serde_json::{Value, json};

use crate::api::Api;
use crate::config::Config;
use crate::{project, user};

/// The kinds that there are.
pub const KINDS: [&str; 3] = ["users", "repos", "projects"];

/// The objects of one kind, of all accounts.
pub fn list(kind: &str, config: &Config) -> Result<Vec<Value>> {
    if !KINDS.contains(&kind) {
        return Err(Error::not_supported(format!("onboarding data `{kind}`: there are {}", KINDS.join(", "))));
    }
    let api = Api::new(config);
    let (mut notes, mut found) = (Notes::default(), Vec::new());
    for (path, group) in config.accounts() {
        if kind == "users" {
            if group {
                let members = user::members(&api, path, &mut notes).map_err(Stop::into_error)?;
                found.extend(members.iter().map(|member| json!(member.user(true))));
            }
            continue;
        }
        let projects = project::list(&api, path, group, &mut notes).map_err(Stop::into_error)?.projects;
        for project in projects.iter().filter(|project| project.is_wanted(config)) {
            match kind {
                "repos" => found.push(json!(project.repo(&mut notes))),
                _ if project.has_issues() => found.push(json!(project.project(&mut notes))),
                _ => {}
            }
        }
    }
    notes.tell("onboarding");
    Ok(found)
}

//! Data for a person to choose from: the members, the repositories, and the repositories that have issues as projects.

use agent_sdk::{Error, Result};
use integration_model::Stop;
use integration_model::notes::Notes;
use integration_model::people::Account;
use serde_json::{Value, json};

use crate::api::Api;
use crate::config::Config;
use crate::export;
use crate::repo::{self, Found};
use crate::user;

/// The kinds that there are.
pub const KINDS: [&str; 3] = ["users", "repos", "projects"];

/// The objects of one kind, of all accounts.
pub fn list(kind: &str, config: &Config) -> Result<Vec<Value>> {
    if !KINDS.contains(&kind) {
        return Err(Error::not_supported(format!("onboarding data `{kind}`: there are {}", KINDS.join(", "))));
    }
    let api = Api::new(config);
    let (mut notes, mut found) = (Notes::default(), Vec::new());
    for (login, organization) in config.accounts() {
        if kind == "users" {
            if organization {
                let members = user::members(&api, login, &mut notes).map_err(Stop::into_error)?;
                found.extend(members.iter().map(|member| json!(member.user(true))));
            }
            continue;
        }
        let selection = config.selection();
        let repos = export::repositories(&api, login, &mut notes).map_err(Stop::into_error)?;
        for repo in repos.iter().filter(|repo| selection.takes(&repo.full_name)) {
            match kind {
                "repos" => found.push(json!(repo::record(repo, organization, &mut notes))),
                _ if repo.has_issues => found.push(project(repo)),
                _ => {}
            }
        }
    }
    notes.tell("onboarding");
    Ok(found)
}

/// Issues live in repositories, and so a project is a repository that has issues.
fn project(repo: &Found) -> Value {
    json!({ "ref_id": repo.ref_id(), "ref_type": crate::REF_TYPE, "name": repo.full_name, "identifier": repo.full_name, "url": repo.url })
}

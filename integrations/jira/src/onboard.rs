//! Data for a person to choose from: users, projects, and what the statuses mean.

use agent_sdk::{Error, Result};
use integration_model::Stop;
use integration_model::notes::Notes;
use serde_json::{Value, json};

use crate::api::Api;
use crate::config::Config;
use crate::user::Account;
use crate::{lists, project, user};

/// The kinds that there are.
pub const KINDS: [&str; 3] = ["users", "projects", "workconfig"];

/// The objects of one kind.
pub fn list(kind: &str, config: &Config) -> Result<Vec<Value>> {
    if !KINDS.contains(&kind) {
        return Err(Error::not_supported(format!("onboarding data `{kind}`: there are {}", KINDS.join(", "))));
    }
    let mut notes = Notes::default();
    let found = found(kind, config, &mut notes).map_err(Stop::into_error)?;
    notes.tell("onboarding");
    Ok(found)
}

fn found(kind: &str, config: &Config, notes: &mut Notes) -> Result<Vec<Value>, Stop> {
    let api = Api::open(config)?;
    api.log_in()?;
    Ok(match kind {
        "users" => user::all(&api, notes)?.iter().filter_map(Account::user).map(|user| json!(user)).collect(),
        "projects" => {
            let selection = config.selection();
            let all = project::all(&api, notes)?;
            let wanted = all.iter().filter(|project| selection.takes(&project.key));
            wanted.map(|project| json!(project.record(&api, notes))).collect()
        }
        _ => vec![json!(lists::work_config(&api, notes)?)],
    })
}

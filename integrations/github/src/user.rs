//! What the server says of accounts, and the members of an organization.

use std::collections::HashSet;

use agent_sdk::log;
use integration_model::Stop;
use integration_model::notes::{self, Notes};
use integration_model::people::Account;
use integration_model::sourcecode::User;
use serde::Deserialize;
use serde_json::json;

use crate::REF_TYPE;
use crate::api::Api;
use crate::queries::{MEMBERS, MEMBERS_BARE, MEMBERS_PAGE};
use crate::walk::Walk;

/// An account as the server says it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    #[serde(rename = "__typename")]
    kind: Option<String>,
    database_id: Option<u64>,
    login: String,
    name: Option<String>,
    email: Option<String>,
    avatar_url: Option<String>,
    url: Option<String>,
}

impl Account for Actor {
    /// Accounts without a number, as those of an enterprise, go by their login.
    fn ref_id(&self) -> String {
        self.database_id.map_or_else(|| format!("login:{}", self.login), |id| id.to_string())
    }

    fn number(&self) -> Option<u64> {
        self.database_id
    }

    fn user(&self, member: bool) -> User {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let kind = match self.kind.as_deref() {
            Some("User") => "HUMAN",
            Some("Bot") => "BOT",
            Some("Organization") => "ORGANIZATION",
            Some("Mannequin") => "IMPORTED",
            _ => "UNKNOWN",
        };
        User {
            name: given(&self.name),
            email: given(&self.email),
            avatar_url: given(&self.avatar_url),
            url: given(&self.url),
            ..User::new(REF_TYPE, self.ref_id(), self.login.clone(), kind, member)
        }
    }
}

/// The `ref_id` of somebody, where there is anybody: an account that was deleted is nobody.
pub fn ref_id(actor: Option<&Actor>) -> Option<String> {
    actor.map(Actor::ref_id)
}

/// The members of an organization, as the server says them.
pub fn members(api: &Api, login: &str, notes: &mut Notes) -> Result<Vec<Actor>, Stop> {
    match read_members(api, login, true, notes) {
        // A token without the right to read addresses gets nothing at all where it asks for them.
        Err(Stop::Failed(error)) if error.message().contains("INSUFFICIENT_SCOPES") => {
            log::info("members come without addresses: the token lacks `user:email` or `read:user`", &[]);
            read_members(api, login, false, notes)
        }
        found => found,
    }
}

fn read_members(api: &Api, login: &str, mail: bool, notes: &mut Notes) -> Result<Vec<Actor>, Stop> {
    let variables = json!({ "login": login, "mail": mail });
    let at = "/organization/membersWithRole";
    let mut walk = Walk::new(api, (MEMBERS, MEMBERS_BARE), at, variables, MEMBERS_PAGE);
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    while let Some(page) = walk.next()? {
        page.left_out.iter().for_each(|what| notes.left_out(&format!("member {what}")));
        let before = found.len();
        for node in page.nodes {
            let login = node["login"].clone();
            match notes::read::<Actor>(node) {
                Ok(member) if seen.insert(member.ref_id()) => found.push(member),
                Ok(_) => {}
                Err(why) => notes.left_out(&format!("member {login}: {why}")),
            }
        }
        walk.saw_new(found.len() > before);
    }
    Ok(found)
}

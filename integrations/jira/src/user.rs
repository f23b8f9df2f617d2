//! Users: all of the site, once a day, and those who are met in issues on the way.

use std::collections::HashSet;

use agent_sdk::sweep::Ids;
use agent_sdk::{Result, Session, Tracking, log, state};
use integration_model::notes::{self, Notes};
use integration_model::work::User;
use integration_model::{SET_BYTES_MAX, Stop};
use serde::Deserialize;
use serde_json::Value;

use crate::api::{Api, Kind};
use crate::lists::note_read;
use crate::{REF_TYPE, SITE};

/// Seconds after which all users are read again.
const USERS_EVERY_SECS: u32 = 24 * 3_600;
/// Users of one request: the most of both kinds of server.
const USERS_PAGE: u32 = 1_000;
/// Where the state says that users have been read.
const READ: &str = "users";

/// An account as the server says it. The cloud has numbers for them that mean nothing to people, one's own server keys and
/// names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Account {
    account_id: Option<String>,
    account_type: Option<String>,
    key: Option<String>,
    name: Option<String>,
    display_name: Option<String>,
    email_address: Option<String>,
    avatar_urls: Option<Value>,
    active: Option<bool>,
}

/// Bytes of a name; more is none of a person.
const NAME_BYTES_MAX: usize = 1_000;

fn given(text: Option<&String>) -> Option<&String> {
    text.filter(|text| !text.is_empty())
}

impl Account {
    /// What records refer to; none of an account that says nothing of itself.
    pub fn ref_id(&self) -> Option<&str> {
        let ids = [&self.account_id, &self.key, &self.name];
        ids.into_iter().find_map(|id| given(id.as_ref())).map(String::as_str)
    }

    /// What a server of one's own knows the account by where something is to be changed.
    pub fn name(&self) -> Option<&str> {
        given(self.name.as_ref()).map(String::as_str)
    }

    pub fn user(&self) -> Option<User> {
        let ref_id = self.ref_id()?.to_owned();
        let name = given(self.display_name.as_ref()).or(given(self.name.as_ref())).unwrap_or(&ref_id);
        let name = notes::shortened(name, NAME_BYTES_MAX).to_owned();
        let avatar = self.avatar_urls.as_ref().and_then(|urls| urls["48x48"].as_str());
        Some(User {
            ref_id,
            ref_type: REF_TYPE,
            username: given(self.name.as_ref()).cloned(),
            name,
            email: given(self.email_address.as_ref()).cloned(),
            avatar_url: avatar.map(str::to_owned),
            r#type: match self.account_type.as_deref() {
                Some("app") => "BOT",
                Some("customer") => "CUSTOMER",
                // One's own server has no others.
                Some("atlassian") | None => "HUMAN",
                Some(_) => "UNKNOWN",
            },
            enabled: self.active.unwrap_or(true),
        })
    }
}

/// The `ref_id` of somebody, where there is anybody.
pub fn ref_id(account: Option<&Account>) -> Option<String> {
    account.and_then(Account::ref_id).map(str::to_owned)
}

/// Sends users, each once.
pub struct People {
    /// None in a call that exports nothing.
    session: Option<Session<User>>,
    /// Hashes of those that the list of all users had. They are not sent again as they are in issues, where less is said.
    listed: Ids,
    met: HashSet<String>,
}

impl People {
    pub fn open(root: &Session<Tracking>) -> Result<People> {
        let session = root.model::<User>(SITE, "")?;
        let listed = session.last_processed().as_deref().and_then(Ids::parse).unwrap_or_default();
        Ok(People { session: Some(session), listed, met: HashSet::new() })
    }

    /// For a call that exports nothing: whoever is met is not sent.
    pub fn of_call() -> People {
        People { session: None, listed: Ids::new(), met: HashSet::new() }
    }

    /// Reads all users, once a day.
    pub fn list(&mut self, api: &Api, notes: &mut Notes) -> Result<(), Stop> {
        let known = self.session.as_ref().is_some_and(|session| session.last_processed().is_some());
        if known && state::get(READ)?.is_some() {
            return Ok(());
        }
        let before = notes.count();
        let all = all(api, notes)?;
        self.listed = all.iter().filter_map(Account::ref_id).map(hash).collect();
        for account in &all {
            self.send(account)?;
        }
        note_read(READ, USERS_EVERY_SECS, notes.count() == before)?;
        Ok(self.checkpoint()?)
    }

    fn send(&mut self, account: &Account) -> Result<()> {
        match (&mut self.session, account.user()) {
            (Some(session), Some(user)) if self.met.insert(user.ref_id.clone()) => session.send(&user),
            _ => Ok(()),
        }
    }

    /// Notes somebody who was met.
    pub fn meet(&mut self, account: Option<&Account>) -> Result<()> {
        match account {
            Some(account) if account.ref_id().is_some_and(|id| !self.listed.contains(hash(id))) => self.send(account),
            _ => Ok(()),
        }
    }

    /// Commits what was sent so far.
    pub fn checkpoint(&mut self) -> Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let mut set = self.listed.to_text();
        if set.len() > SET_BYTES_MAX {
            log::warn("there are more users than are remembered; those who are met are sent as issues have them", &[]);
            set = String::new();
        }
        session.checkpoint(&set)
    }

    pub fn done(mut self) -> Result<()> {
        self.checkpoint()?;
        self.session.map_or(Ok(()), |session| session.done(None).map(drop))
    }
}

/// All users of the site.
pub fn all(api: &Api, notes: &mut Notes) -> Result<Vec<Account>, Stop> {
    let request = match api.kind {
        Kind::Cloud => api.get(&["users", "search"]),
        // A dot is in every mail address, and that is how one's own server is asked for everybody.
        Kind::Hosted => api.get(&["user", "search"]).query("username", ".").query("includeInactive", true),
    };
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for item in crate::api::counted(request.query("maxResults", USERS_PAGE), "")? {
        let name = item["displayName"].clone();
        match notes::read::<Account>(item) {
            Ok(account) if account.ref_id().is_none() => notes.left_out(&format!("user {name}: without an id")),
            Ok(account) if seen.insert(account.ref_id().map(str::to_owned)) => found.push(account),
            Ok(_) => {}
            Err(why) => notes.left_out(&format!("user {name}: {why}")),
        }
    }
    Ok(found)
}

/// FNV-1a of 32 bits: the same in every version of this program, because it goes into a cursor. Of ten thousand users one more
/// is taken for one of them with a chance of one in four hundred thousand.
fn hash(text: &str) -> u64 {
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    u64::from(hash)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Account, hash};

    fn user(account: Value) -> Option<Value> {
        serde_json::from_value::<Account>(account).unwrap().user().map(|user| json!(user))
    }

    #[test]
    fn accounts_of_both_kinds_of_server_are_users() {
        let cloud = user(json!({
            "accountId": "5b10", "accountType": "app", "key": "", "name": "", "displayName": "Bot", "active": true,
            "avatarUrls": { "48x48": "https://x.example/48" }, "emailAddress": null
        }));
        let expected = json!({
            "ref_id": "5b10", "ref_type": "jira", "name": "Bot", "avatar_url": "https://x.example/48", "type": "BOT",
            "enabled": true
        });
        assert_eq!(cloud, Some(expected));
        let hosted = user(json!({
            "key": "JIRAUSER1", "name": "ada", "displayName": "Ada", "active": false, "emailAddress": "a@x.invalid"
        }));
        let expected = json!({
            "ref_id": "JIRAUSER1", "ref_type": "jira", "username": "ada", "name": "Ada", "email": "a@x.invalid",
            "type": "HUMAN", "enabled": false
        });
        assert_eq!(hosted, Some(expected));
        assert_eq!(user(json!({ "displayName": "Nobody" })), None);
    }

    #[test]
    fn hashes_stay_the_same() {
        // The documented values of FNV-1a.
        assert_eq!((hash(""), hash("a"), hash("foobar")), (0x811c_9dc5, 0xe40c_292c, 0xbf9c_f968));
    }
}

//! The models `sourcecode.User`, people and bots, and `sourcecode.CommitUser`, which says whose account a mail address is.
//! Users are the members of an organization, and those who are met on the way; of an address, the first name wins.

use std::collections::{HashMap, HashSet};

use agent_sdk::sweep::Ids;
use agent_sdk::{Model, Result, Session, Tracking, log, state};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::REF_TYPE;
use crate::api::{Api, Stop};
use crate::notes::{self, Notes};
use crate::queries::{MEMBERS, MEMBERS_BARE, MEMBERS_PAGE};
use crate::walk::Walk;

/// Seconds after which the members are read again: they cost a point a hundred, and change seldom.
const MEMBERS_EVERY_SECS: u32 = 24 * 3_600;
/// Bytes of a set of ids in a cursor, of which the host takes 64 KiB.
pub const SET_BYTES_MAX: usize = 60_000;
/// Bits of the hash of an address that are remembered: a million addresses collide with a chance of one in two millions each.
const HASH_MASK: u64 = (1 << 40) - 1;

#[derive(Debug, Serialize)]
pub struct User {
    /// What the host's git side knows records of this model by, which has people of its own in it.
    id: String,
    ref_id: String,
    ref_type: &'static str,
    username: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    r#type: &'static str,
    member: bool,
}

impl Model for User {
    const NAME: &'static str = "sourcecode.User";
    const KEY: &'static [&'static str] = &["/id"];

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["id", "ref_id", "ref_type", "username", "type", "member"],
            "properties": {
                "id": { "type": "string", "description": "github/ref_id: the key, for git has people in this model too" },
                "ref_id": { "type": "string", "description": "The account's number; its login may change" },
                "ref_type": { "const": REF_TYPE },
                "username": { "type": "string" },
                "name": { "type": "string" },
                "email": { "type": "string", "description": "Only of members, and where they show it" },
                "avatar_url": { "type": "string" },
                "url": { "type": "string" },
                "type": { "enum": ["HUMAN", "BOT", "ORGANIZATION", "IMPORTED", "UNKNOWN"] },
                "member": { "type": "boolean", "description": "Whether it is a member of the organization" }
            }
        })
    }
}

#[derive(Debug, Serialize)]
pub struct CommitUser {
    ref_id: String,
    ref_type: &'static str,
    email: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_ref_id: Option<String>,
}

impl Model for CommitUser {
    const NAME: &'static str = "sourcecode.CommitUser";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "email", "name"],
            "properties": {
                "ref_id": { "type": "string", "description": "The address in lower case" },
                "ref_type": { "const": REF_TYPE },
                "email": { "type": "string" },
                "name": { "type": "string", "description": "As the first commit that was seen has it" },
                "user_ref_id": { "type": "string", "description": "The account of the address, where the server knows it" }
            }
        })
    }
}

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

impl Actor {
    /// What records refer to. Accounts without a number, as those of an enterprise, go by their login.
    pub fn ref_id(&self) -> String {
        self.database_id.map_or_else(|| format!("login:{}", self.login), |id| id.to_string())
    }

    pub fn user(&self, member: bool) -> User {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        User {
            id: format!("{REF_TYPE}/{}", self.ref_id()),
            ref_id: self.ref_id(),
            ref_type: REF_TYPE,
            username: self.login.clone(),
            name: given(&self.name),
            email: given(&self.email),
            avatar_url: given(&self.avatar_url),
            url: given(&self.url),
            r#type: match self.kind.as_deref() {
                Some("User") => "HUMAN",
                Some("Bot") => "BOT",
                Some("Organization") => "ORGANIZATION",
                Some("Mannequin") => "IMPORTED",
                _ => "UNKNOWN",
            },
            member,
        }
    }
}

/// The `ref_id` of somebody, where there is anybody: an account that was deleted is nobody.
pub fn ref_id(actor: Option<&Actor>) -> Option<String> {
    actor.map(Actor::ref_id)
}

/// Sends users and commit users of one account, each once.
pub struct People {
    /// None in a call that exports nothing.
    sessions: Option<Sessions>,
    /// Of the organization, by their numbers. They are sent with the list of members, which knows more of them.
    members: Ids,
    met: HashSet<String>,
    /// Hashes of addresses that this and earlier runs have sent, and of those that came with an account.
    addresses: Ids,
    /// The first name of each address of this run.
    names: HashMap<String, String>,
    addresses_full: bool,
}

struct Sessions {
    users: Session<User>,
    commit_users: Session<CommitUser>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Cursor {
    #[serde(default)]
    set: String,
}

fn set_of<M>(session: &Session<M>) -> Option<Ids> {
    let cursor: Cursor = serde_json::from_str(&session.last_processed()?).ok()?;
    Ids::parse(&cursor.set)
}

fn cursor_of(set: &Ids) -> String {
    json!(Cursor { set: set.to_text() }).to_string()
}

impl People {
    pub fn open(tracking: &Session<Tracking>, login: &str) -> Result<People> {
        let users = tracking.model::<User>(login, login)?;
        let commit_users = tracking.model::<CommitUser>(login, login)?;
        let (members, addresses) = (set_of(&users), set_of(&commit_users));
        let sessions = Some(Sessions { users, commit_users });
        let (members, addresses) = (members.unwrap_or_default(), addresses.unwrap_or_default());
        Ok(People { sessions, members, addresses, ..People::of_call() })
    }

    /// For a call that exports nothing: whoever is met is not sent.
    pub fn of_call() -> People {
        People {
            sessions: None,
            members: Ids::new(),
            met: HashSet::new(),
            addresses: Ids::new(),
            names: HashMap::new(),
            addresses_full: false,
        }
    }

    /// Reads the members of an organization, once a day.
    pub fn members(&mut self, api: &Api, login: &str, notes: &mut Notes) -> Result<(), Stop> {
        let key = format!("members/{login}");
        let Some(sessions) = &self.sessions else { return Ok(()) };
        if sessions.users.last_processed().is_some() && state::get(&key)?.is_some() {
            return Ok(());
        }
        let found = members(api, login, notes)?;
        self.members = found.iter().filter_map(|member| member.database_id).collect();
        let cursor = self.users_cursor();
        if let Some(sessions) = &mut self.sessions {
            for member in &found {
                sessions.users.send(&member.user(true))?;
            }
            state::set_expiring(&key, "read", MEMBERS_EVERY_SECS)?;
            sessions.users.checkpoint(&cursor)?;
        }
        Ok(())
    }

    fn users_cursor(&self) -> String {
        let cursor = cursor_of(&self.members);
        // Without the set, members count as met on the way, and lose what only the list of members knows.
        if cursor.len() <= SET_BYTES_MAX { cursor } else { cursor_of(&Ids::new()) }
    }

    /// Notes somebody who was met.
    pub fn meet(&mut self, actor: Option<&Actor>) -> Result<()> {
        let (Some(actor), Some(sessions)) = (actor, &mut self.sessions) else { return Ok(()) };
        if actor.database_id.is_some_and(|id| self.members.contains(id)) || !self.met.insert(actor.ref_id()) {
            return Ok(());
        }
        sessions.users.send(&actor.user(false))
    }

    /// Notes whose address one is: the first name wins, and so does the first account. An address that had none is sent once
    /// more when one becomes known.
    pub fn address(&mut self, email: &str, name: &str, account: Option<&Actor>) -> Result<()> {
        let Some(sessions) = &mut self.sessions else { return Ok(()) };
        let email = email.trim().to_lowercase();
        let user_ref_id = ref_id(account);
        if email.is_empty() || self.addresses.contains(hash(&format!("{email}\nowned"))) {
            return Ok(());
        }
        let known = !self.addresses.insert(hash(&email));
        match user_ref_id {
            Some(_) => drop(self.addresses.insert(hash(&format!("{email}\nowned")))),
            None if known => return Ok(()),
            None => {}
        }
        let name = self.names.entry(email.clone()).or_insert_with(|| name.to_owned()).clone();
        sessions.commit_users.send(&CommitUser { ref_id: email.clone(), ref_type: REF_TYPE, email, name, user_ref_id })
    }

    /// Commits what was sent so far.
    pub fn checkpoint(&mut self) -> Result<()> {
        let (users, addresses) = (self.users_cursor(), cursor_of(&self.addresses));
        let Some(sessions) = &mut self.sessions else { return Ok(()) };
        sessions.users.checkpoint(&users)?;
        if addresses.len() <= SET_BYTES_MAX {
            return sessions.commit_users.checkpoint(&addresses);
        }
        if !std::mem::replace(&mut self.addresses_full, true) {
            log::warn("there are more addresses than are remembered; those of this run may be sent again", &[]);
        }
        sessions.commit_users.flush()
    }

    pub fn done(mut self) -> Result<()> {
        self.checkpoint()?;
        if let Some(sessions) = self.sessions {
            sessions.users.done(None)?;
            sessions.commit_users.done(None)?;
        }
        Ok(())
    }
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

/// FNV-1a, cut: the same in every version of this program, because it goes into a cursor.
fn hash(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 40)) & HASH_MASK
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn hashes_stay_the_same_and_apart() {
        assert_eq!(hash("a@b.invalid\n1"), hash("a@b.invalid\n1"));
        let all: std::collections::HashSet<u64> = (0..100_000).map(|n| hash(&format!("{n}@x.invalid\n"))).collect();
        assert_eq!(all.len(), 100_000);
    }
}

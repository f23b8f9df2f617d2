//! Who is sent as `sourcecode.User` and `sourcecode.CommitUser`: the members of an account, and those who are met on the way;
//! each once. Of a mail address the first name wins, and so does the first account.

use std::collections::{HashMap, HashSet};

use agent_sdk::sweep::Ids;
use agent_sdk::{Result, Session, Tracking, log, state};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::sourcecode::{CommitUser, User};
use crate::{SET_BYTES_MAX, Stop};

/// Seconds after which the members are read again: they are many requests, and change seldom.
const MEMBERS_EVERY_SECS: u32 = 24 * 3_600;
/// Bits of the hash of an address that are remembered: a million addresses collide with a chance of one in two millions each.
const HASH_MASK: u64 = (1 << 40) - 1;

/// Somebody as a source says them.
pub trait Account {
    /// What records refer to.
    fn ref_id(&self) -> String;
    /// Its number; not every account has one.
    fn number(&self) -> Option<u64>;
    /// Its record.
    fn user(&self, member: bool) -> User;
}

/// Sends users and commit users of one account, each once.
pub struct People {
    ref_type: &'static str,
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
    /// Those of the account of this name, below its session.
    pub fn open(ref_type: &'static str, tracking: &Session<Tracking>, account: &str) -> Result<People> {
        let users = tracking.model::<User>(account, account)?;
        let commit_users = tracking.model::<CommitUser>(account, account)?;
        let (members, addresses) = (set_of(&users), set_of(&commit_users));
        let sessions = Some(Sessions { users, commit_users });
        let (members, addresses) = (members.unwrap_or_default(), addresses.unwrap_or_default());
        Ok(People { sessions, members, addresses, ..People::of_call(ref_type) })
    }

    /// For a call that exports nothing: whoever is met is not sent.
    pub fn of_call(ref_type: &'static str) -> People {
        People {
            ref_type,
            sessions: None,
            members: Ids::new(),
            met: HashSet::new(),
            addresses: Ids::new(),
            names: HashMap::new(),
            addresses_full: false,
        }
    }

    /// Has the members of an account read, once a day.
    pub fn members<A: Account>(
        &mut self,
        account: &str,
        read: impl FnOnce() -> Result<Vec<A>, Stop>,
    ) -> Result<(), Stop> {
        let key = format!("members/{account}");
        let Some(sessions) = &self.sessions else { return Ok(()) };
        if sessions.users.last_processed().is_some() && state::get(&key)?.is_some() {
            return Ok(());
        }
        let found = read()?;
        self.members = found.iter().filter_map(Account::number).collect();
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
    pub fn meet<A: Account>(&mut self, who: Option<&A>) -> Result<()> {
        let (Some(who), Some(sessions)) = (who, &mut self.sessions) else { return Ok(()) };
        if who.number().is_some_and(|number| self.members.contains(number)) || !self.met.insert(who.ref_id()) {
            return Ok(());
        }
        sessions.users.send(&who.user(false))
    }

    /// Notes whose address one is: the first name wins, and so does the first account. An address that had none is sent once
    /// more when one becomes known.
    pub fn address(&mut self, email: &str, name: &str, user_ref_id: Option<String>) -> Result<()> {
        let ref_type = self.ref_type;
        let Some(sessions) = &mut self.sessions else { return Ok(()) };
        let email = email.trim().to_lowercase();
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
        sessions.commit_users.send(&CommitUser { ref_id: email.clone(), ref_type, email, name, user_ref_id })
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

    /// Commits and closes.
    pub fn done(mut self) -> Result<()> {
        self.checkpoint()?;
        if let Some(sessions) = self.sessions {
            sessions.users.done(None)?;
            sessions.commit_users.done(None)?;
        }
        Ok(())
    }
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

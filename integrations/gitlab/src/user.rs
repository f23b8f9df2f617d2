//! What the server says of accounts, and the members of a group.

use integration_model::Stop;
use integration_model::notes::{self, Notes};
use integration_model::people::{Account, People};
use integration_model::sourcecode::User;
use serde::Deserialize;

use crate::REF_TYPE;
use crate::api::Api;
use crate::walk;

/// An account as the server says it.
#[derive(Debug, Clone, Deserialize)]
pub struct Person {
    id: u64,
    username: String,
    name: Option<String>,
    /// Only where the credential may see it.
    email: Option<String>,
    public_email: Option<String>,
    avatar_url: Option<String>,
    web_url: Option<String>,
    bot: Option<bool>,
}

impl Person {
    fn email(&self) -> Option<String> {
        [&self.email, &self.public_email].into_iter().flatten().find(|email| !email.is_empty()).cloned()
    }

    /// Lists do not always say it, and names of bots have a form that people cannot have.
    fn kind(&self) -> &'static str {
        let of_token = |rest: &str| rest.split_once("_bot").is_some_and(|(number, _)| number.parse::<u64>().is_ok());
        let named = ["project_", "group_"].iter().any(|kind| self.username.strip_prefix(kind).is_some_and(of_token));
        match &self.username {
            _ if self.bot == Some(true) || named => "BOT",
            // Whoever has not been matched yet after an import.
            name if name.contains("_placeholder_user") => "IMPORTED",
            // Stands for all accounts that were deleted.
            name if name == "ghost" => "UNKNOWN",
            _ => "HUMAN",
        }
    }
}

impl Account for Person {
    fn ref_id(&self) -> String {
        self.id.to_string()
    }

    fn number(&self) -> Option<u64> {
        Some(self.id)
    }

    fn user(&self, member: bool) -> User {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        User {
            name: given(&self.name),
            email: self.email(),
            avatar_url: given(&self.avatar_url),
            url: given(&self.web_url),
            ..User::new(REF_TYPE, self.ref_id(), self.username.clone(), self.kind(), member)
        }
    }
}

/// The `ref_id` of somebody, where there is anybody.
pub fn ref_id(person: Option<&Person>) -> Option<String> {
    person.map(Person::ref_id)
}

/// The members of a group, with those of the groups above it.
pub fn members(api: &Api, group: &str, notes: &mut Notes) -> Result<Vec<Person>, Stop> {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    let take = |item: serde_json::Value| {
        let name = item["username"].clone();
        match notes::read::<Person>(item) {
            Ok(person) => found.push(person),
            Err(why) => wrong.push(format!("member {name}: {why}")),
        }
    };
    walk::all(api.list(&["groups", group, "members", "all"]), take, |what| notes.left_out(&format!("member {what}")))?;
    wrong.iter().for_each(|what| notes.left_out(what));
    // A member of several groups may come with each.
    found.sort_by_key(|person| person.id);
    found.dedup_by_key(|person| person.id);
    Ok(found)
}

/// Reads the members, once a day, and says whose addresses are whose, where the server tells them.
pub fn send_members(api: &Api, group: &str, people: &mut People, notes: &mut Notes) -> Result<(), Stop> {
    let mut owned = Vec::new();
    people.members(group, || {
        let found = members(api, group, notes)?;
        owned.extend(found.iter().filter_map(|person| {
            Some((person.email()?, person.name.clone().unwrap_or_else(|| person.username.clone()), person.ref_id()))
        }));
        Ok(found)
    })?;
    for (email, name, account) in owned {
        people.address(&email, &name, Some(account))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Person;

    #[test]
    fn accounts_are_told_apart() {
        let kind = |name: &str, bot: Option<bool>| {
            serde_json::from_value::<Person>(json!({ "id": 1, "username": name, "bot": bot })).unwrap().kind()
        };
        assert_eq!((kind("ada", None), kind("ada", Some(true)), kind("ghost", None)), ("HUMAN", "BOT", "UNKNOWN"));
        assert_eq!((kind("project_17_bot_9f", None), kind("group_3_bot1", None)), ("BOT", "BOT"));
        assert_eq!((kind("project_x_bot", None), kind("robot", None)), ("HUMAN", "HUMAN"));
        assert_eq!(kind("gitlab_com_placeholder_user_12", None), "IMPORTED");
    }
}

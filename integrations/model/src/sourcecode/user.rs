//! The forms `sourcecode.User`, people and bots, and `sourcecode.CommitUser`, which says whose account a mail address is.

use agent_sdk::Model;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{ref_type, text};

#[derive(Debug, Clone, Serialize)]
pub struct User {
    /// What the host's git side knows records of this model by, which has people of its own in it.
    pub id: String,
    pub ref_id: String,
    pub ref_type: &'static str,
    pub username: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    pub r#type: &'static str,
    pub member: bool,
}

impl User {
    /// A user of whom no more is known than this.
    pub fn new(ref_type: &'static str, ref_id: String, username: String, kind: &'static str, member: bool) -> User {
        let id = format!("{ref_type}/{ref_id}");
        User {
            id,
            ref_id,
            ref_type,
            username,
            name: None,
            email: None,
            avatar_url: None,
            url: None,
            r#type: kind,
            member,
        }
    }
}

impl Model for User {
    const NAME: &'static str = "sourcecode.User";
    const KEY: &'static [&'static str] = &["/id"];

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["id", "ref_id", "ref_type", "username", "type", "member"],
            "properties": {
                "id": { "type": "string", "description": "ref_type/ref_id: the key, for git has people in this model too" },
                "ref_id": { "type": "string", "description": "The account's number; its login may change" },
                "ref_type": ref_type(),
                "username": text(),
                "name": text(),
                "email": { "type": "string", "description": "Only of members, and where they show it" },
                "avatar_url": text(),
                "url": text(),
                "type": { "enum": ["HUMAN", "BOT", "ORGANIZATION", "IMPORTED", "UNKNOWN"] },
                "member": { "type": "boolean", "description": "Whether it is a member of the organization or group" }
            }
        })
    }
}

#[derive(Debug, Serialize)]
pub struct CommitUser {
    pub ref_id: String,
    pub ref_type: &'static str,
    pub email: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_ref_id: Option<String>,
}

impl Model for CommitUser {
    const NAME: &'static str = "sourcecode.CommitUser";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "email", "name"],
            "properties": {
                "ref_id": { "type": "string", "description": "The address in lower case" },
                "ref_type": ref_type(),
                "email": text(),
                "name": { "type": "string", "description": "As the first commit that was seen has it" },
                "user_ref_id": { "type": "string", "description": "The account of the address, where the server knows it" }
            }
        })
    }
}

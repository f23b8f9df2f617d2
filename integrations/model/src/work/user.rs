//! The form `work.User`: who writes issues, works on them and comments.

use agent_sdk::Model;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{ref_type, text};

#[derive(Debug, Default, Clone, Serialize)]
pub struct User {
    pub ref_id: String,
    pub ref_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    pub r#type: &'static str,
    /// Whether the account may still be used.
    pub enabled: bool,
}

impl Model for User {
    const NAME: &'static str = "work.User";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "name", "type", "enabled"],
            "properties": {
                "ref_id": { "type": "string", "description": "The account's id; its names may change" },
                "ref_type": ref_type(),
                "username": { "type": "string", "description": "What people log in with, where the source shows it" },
                "name": { "type": "string", "description": "As the source shows it" },
                "email": { "type": "string", "description": "Only where the account shows it" },
                "avatar_url": text(),
                "type": { "enum": ["HUMAN", "BOT", "CUSTOMER", "UNKNOWN"] },
                "enabled": { "type": "boolean", "description": "False once the account was deactivated" }
            }
        })
    }
}

//! The model `mock.User`: whom issues are assigned to.

use agent_sdk::Model;
use serde::Serialize;
use serde_json::{Value, json};

use crate::config::Config;

const FIRST: [&str; 8] = ["Ada", "Grace", "Alan", "Barbara", "Edsger", "Radia", "Ken", "Margaret"];
const LAST: [&str; 7] = ["Moreau", "Okafor", "Lindqvist", "Tanaka", "Silva", "Novak", "Haddad"];

#[derive(Debug, Serialize)]
pub struct User {
    pub ref_id: String,
    ref_type: &'static str,
    name: String,
    email: String,
    active: bool,
}

impl Model for User {
    const NAME: &'static str = "mock.User";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "name", "email", "active"],
            "properties": {
                "ref_id": { "type": "string" },
                "ref_type": { "const": "mock" },
                "name": { "type": "string" },
                "email": { "type": "string", "format": "email" },
                "active": { "type": "boolean" }
            }
        })
    }
}

impl User {
    /// The user at this place, counted from 0.
    pub fn new(config: &Config, index: u32) -> User {
        let number = u64::from(index) + 1;
        let first = FIRST[index as usize % FIRST.len()];
        let last = LAST[index as usize % LAST.len()];
        User {
            ref_id: format!("{}U{number}", config.unique),
            ref_type: "mock",
            name: format!("{first} {last}"),
            email: format!("{}.{}{number}@mock.invalid", first.to_ascii_lowercase(), last.to_ascii_lowercase()),
            active: true,
        }
    }
}

//! The model `mock.Project`: what issues belong to.

use agent_sdk::Model;
use serde::Serialize;
use serde_json::{Value, json};

use crate::config::Config;

const THEMES: [&str; 6] = ["Billing", "Search", "Mobile", "Reporting", "Platform", "Onboarding"];

#[derive(Debug, Serialize)]
pub struct Project {
    pub ref_id: String,
    ref_type: &'static str,
    pub name: String,
    url: String,
    active: bool,
}

impl Model for Project {
    const NAME: &'static str = "mock.Project";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "name", "url", "active"],
            "properties": {
                "ref_id": { "type": "string" },
                "ref_type": { "const": "mock" },
                "name": { "type": "string" },
                "url": { "type": "string", "format": "uri" },
                "active": { "type": "boolean" }
            }
        })
    }
}

impl Project {
    /// The project at this place, counted from 0.
    pub fn new(config: &Config, index: u32) -> Project {
        let number = u64::from(index) + 1;
        let ref_id = format!("{}P{number}", config.unique);
        Project {
            name: format!("{} {number}", THEMES[index as usize % THEMES.len()]),
            url: format!("https://mock.invalid/{ref_id}"),
            ref_id,
            ref_type: "mock",
            active: true,
        }
    }
}

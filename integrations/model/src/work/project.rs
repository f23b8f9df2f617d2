//! The form `work.Project`, which issues belong to.

use agent_sdk::Model;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{ref_type, text};

#[derive(Debug, Serialize)]
pub struct Project {
    pub ref_id: String,
    pub ref_type: &'static str,
    /// Whether it is there. One that has gone has nothing more than this and its id.
    pub active: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub fields: Option<ProjectFields>,
}

/// What is known of a project that is there. What a source does not have is left at its default.
#[derive(Debug, Default, Serialize)]
pub struct ProjectFields {
    pub name: String,
    pub identifier: String,
    pub description: String,
    pub url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visibility: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affiliation: Option<&'static str>,
}

impl Project {
    pub fn new(ref_type: &'static str, ref_id: String, fields: ProjectFields) -> Project {
        Project { ref_id, ref_type, active: true, fields: Some(fields) }
    }

    pub fn gone(ref_type: &'static str, ref_id: String) -> Project {
        Project { ref_id, ref_type, active: false, fields: None }
    }
}

impl Model for Project {
    const NAME: &'static str = "work.Project";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "active"],
            "if": { "properties": { "active": { "const": true } } },
            "then": { "required": ["name", "identifier", "url"] },
            "properties": {
                "ref_id": { "type": "string", "description": "The same as the repository's, where issues live in repositories" },
                "ref_type": ref_type(),
                "active": { "type": "boolean", "description": "False once it has gone" },
                "name": text(),
                "identifier": { "type": "string", "description": "As people write it: group/name, or a key" },
                "description": text(),
                "url": text(),
                "visibility": { "enum": ["PUBLIC", "PRIVATE", "INTERNAL", "UNKNOWN"] },
                "affiliation": { "enum": ["ORGANIZATION", "USER"] }
            }
        })
    }
}

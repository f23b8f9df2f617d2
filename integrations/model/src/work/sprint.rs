//! The form `work.Sprint`: a stretch of time, or a milestone, that issues are planned for.

use agent_sdk::Model;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{ref_type, text};

#[derive(Debug, Serialize)]
pub struct Sprint {
    pub ref_id: String,
    pub ref_type: &'static str,
    /// Whether it is there. One that has gone has nothing more than this and its id.
    pub active: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub fields: Option<SprintFields>,
}

/// What is known of a sprint that is there. What a source does not have is left at its default.
#[derive(Debug, Default, Serialize)]
pub struct SprintFields {
    pub name: String,
    pub goal: String,
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where it belongs to one project alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<String>,
}

impl Sprint {
    pub fn new(ref_type: &'static str, ref_id: String, fields: SprintFields) -> Sprint {
        Sprint { ref_id, ref_type, active: true, fields: Some(fields) }
    }

    pub fn gone(ref_type: &'static str, ref_id: String) -> Sprint {
        Sprint { ref_id, ref_type, active: false, fields: None }
    }
}

impl Model for Sprint {
    const NAME: &'static str = "work.Sprint";

    fn schema() -> Value {
        let moment = |description: &str| json!({ "type": "string", "description": description });
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "active"],
            "if": { "properties": { "active": { "const": true } } },
            "then": { "required": ["name", "status"] },
            "properties": {
                "ref_id": text(),
                "ref_type": ref_type(),
                "active": { "type": "boolean", "description": "False once it has gone" },
                "name": text(),
                "goal": text(),
                "status": { "enum": ["ACTIVE", "FUTURE", "CLOSED", "UNKNOWN"] },
                "url": text(),
                "project_id": { "type": "string", "description": "Where it belongs to one project alone" },
                "started_at": moment("When it begins: a day, or a time"),
                "ended_at": moment("When it is to end: a day, or a time"),
                "completed_at": moment("When it was closed")
            }
        })
    }
}

//! The forms that say how it goes with a project: `work.ProjectError`, how its last export went, and `work.ProjectWebhook`,
//! whether its events are sent to us.

use agent_sdk::Model;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{ref_type, text};

/// How the last export of a project went.
#[derive(Debug, Serialize)]
pub struct ProjectError {
    pub ref_id: String,
    pub ref_type: &'static str,
    pub project_id: String,
    pub errored: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

impl ProjectError {
    pub fn new(ref_type: &'static str, project_id: String, error: Option<String>) -> ProjectError {
        let (ref_id, errored) = (project_id.clone(), error.is_some());
        ProjectError { ref_id, ref_type, project_id, errored, error_message: error }
    }
}

impl Model for ProjectError {
    const NAME: &'static str = "work.ProjectError";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "project_id", "errored"],
            "properties": {
                "ref_id": text(),
                "ref_type": ref_type(),
                "project_id": text(),
                "errored": { "type": "boolean" },
                "error_message": text()
            }
        })
    }
}

/// Whether events of a project, or of a site as a whole, are sent to us.
#[derive(Debug, Serialize)]
pub struct ProjectWebhook {
    pub ref_id: String,
    pub ref_type: &'static str,
    pub enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

impl Model for ProjectWebhook {
    const NAME: &'static str = "work.ProjectWebhook";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "enabled"],
            "properties": {
                "ref_id": { "type": "string", "description": "The project's id, or `site`" },
                "ref_type": ref_type(),
                "enabled": { "type": "boolean" },
                "url": { "type": "string", "description": "Where events are sent" },
                "error_message": text()
            }
        })
    }
}

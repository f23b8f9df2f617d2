//! The forms of a repository itself: `sourcecode.Repo`, how it went with it (`sourcecode.RepoError`), and its webhook
//! (`sourcecode.RepoWebhook`).

use agent_sdk::Model;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{ref_type, text, time};

#[derive(Debug, Serialize)]
pub struct Repo {
    pub ref_id: String,
    pub ref_type: &'static str,
    /// Whether it is there. One that has gone has nothing more than this and its id.
    pub active: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub fields: Option<RepoFields>,
}

/// What is known of a repository that is there.
#[derive(Debug, Default, Serialize)]
pub struct RepoFields {
    pub name: String,
    pub description: String,
    pub url: String,
    pub visibility: &'static str,
    pub affiliation: &'static str,
    pub archived: bool,
    pub fork: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    pub created_at: String,
}

impl Repo {
    pub fn new(ref_type: &'static str, ref_id: String, fields: RepoFields) -> Repo {
        Repo { ref_id, ref_type, active: true, fields: Some(fields) }
    }

    pub fn gone(ref_type: &'static str, ref_id: String) -> Repo {
        Repo { ref_id, ref_type, active: false, fields: None }
    }
}

impl Model for Repo {
    const NAME: &'static str = "sourcecode.Repo";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "active"],
            "if": { "properties": { "active": { "const": true } } },
            "then": { "required": ["name", "url", "visibility"] },
            "properties": {
                "ref_id": { "type": "string", "description": "The repository's number; its name may change" },
                "ref_type": ref_type(),
                "active": { "type": "boolean", "description": "False once it has gone" },
                "name": { "type": "string", "description": "With that of its owner: owner/name" },
                "description": text(),
                "url": text(),
                "visibility": { "enum": ["PUBLIC", "PRIVATE", "INTERNAL", "UNKNOWN"] },
                "affiliation": { "enum": ["ORGANIZATION", "USER"] },
                "archived": { "type": "boolean" },
                "fork": { "type": "boolean" },
                "default_branch": text(),
                "language": text(),
                "created_at": time()
            }
        })
    }
}

/// How the last export of a repository went.
#[derive(Debug, Serialize)]
pub struct RepoError {
    pub ref_id: String,
    pub ref_type: &'static str,
    pub repo_id: String,
    pub errored: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

impl RepoError {
    pub fn new(ref_type: &'static str, repo_id: String, error: Option<String>) -> RepoError {
        RepoError { ref_id: repo_id.clone(), ref_type, repo_id, errored: error.is_some(), error_message: error }
    }
}

impl Model for RepoError {
    const NAME: &'static str = "sourcecode.RepoError";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "repo_id", "errored"],
            "properties": {
                "ref_id": text(),
                "ref_type": ref_type(),
                "repo_id": text(),
                "errored": { "type": "boolean" },
                "error_message": text()
            }
        })
    }
}

/// Whether events of a repository, or of an account as a whole, are sent to us.
#[derive(Debug, Serialize)]
pub struct RepoWebhook {
    pub ref_id: String,
    pub ref_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo_id: Option<String>,
    pub enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

impl Model for RepoWebhook {
    const NAME: &'static str = "sourcecode.RepoWebhook";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "enabled"],
            "properties": {
                "ref_id": {
                    "type": "string", "description": "The repository's number; organization/login or group/path of a whole account"
                },
                "ref_type": ref_type(),
                "repo_id": text(),
                "enabled": { "type": "boolean" },
                "url": { "type": "string", "description": "Where events are sent" },
                "error_message": text()
            }
        })
    }
}

//! The form `work.Issue`, of sources with words of their own for a status and of those without.

use std::borrow::Cow;

use agent_sdk::Model;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{ref_type, text, texts, time};

#[derive(Debug, Serialize)]
pub struct Issue {
    pub ref_id: String,
    pub ref_type: &'static str,
    pub project_id: String,
    /// Where issues live in repositories: the same as `project_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo_id: Option<String>,
    /// Whether it is there. One that has gone has nothing more than this and its ids.
    pub active: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub fields: Option<IssueFields>,
}

/// What is known of an issue that is there. What a source does not have is left at its default.
#[derive(Debug, Default, Serialize)]
pub struct IssueFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    pub identifier: String,
    pub title: String,
    pub description: String,
    pub url: String,
    pub status: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<Cow<'static, str>>,
    pub locked: bool,
    pub labels: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub story_points: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sprint_ref_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by_ref_id: Option<String>,
    pub assignee_ref_ids: Vec<String>,
    pub created_at: String,
    pub updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_on: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<String>,
}

impl Issue {
    /// An issue that lives in a repository.
    pub fn of_repo(ref_type: &'static str, repo_id: &str, ref_id: String, fields: IssueFields) -> Issue {
        Issue { active: true, fields: Some(fields), ..Issue::gone_of_repo(ref_type, repo_id, ref_id) }
    }

    /// One that is not there any more.
    pub fn gone_of_repo(ref_type: &'static str, repo_id: &str, ref_id: String) -> Issue {
        let (project_id, repo_id) = (repo_id.to_owned(), Some(repo_id.to_owned()));
        Issue { ref_id, ref_type, project_id, repo_id, active: false, fields: None }
    }
}

impl Model for Issue {
    const NAME: &'static str = "work.Issue";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "project_id", "active"],
            "if": { "properties": { "active": { "const": true } } },
            "then": { "required": ["identifier", "title", "url", "status", "created_at", "updated_at"] },
            "properties": {
                "ref_id": { "type": "string", "description": "repo_id/number, where issues live in repositories" },
                "ref_type": ref_type(),
                "project_id": text(),
                "repo_id": { "type": "string", "description": "The same, where issues live in repositories" },
                "active": { "type": "boolean", "description": "False once it was deleted or moved away" },
                "number": { "type": "integer" },
                "identifier": { "type": "string", "description": "As people write it: owner/name#number" },
                "title": text(),
                "description": { "type": "string", "description": "Markdown" },
                "url": text(),
                "status": { "type": "string", "description": "OPEN, CLOSED or UNKNOWN, where the source has no words of its own" },
                "resolution": { "type": "string", "description": "COMPLETED, NOT_PLANNED, REOPENED, DUPLICATE or UNKNOWN, as status" },
                "type": { "type": "string", "description": "ISSUE, INCIDENT, TEST_CASE, TASK or UNKNOWN, as status" },
                "locked": { "type": "boolean" },
                "labels": texts(),
                "story_points": { "type": "number" },
                "sprint_ref_ids": texts(),
                "created_by_ref_id": text(),
                "assignee_ref_ids": texts(),
                "created_at": time(),
                "updated_at": time(),
                "due_on": { "type": "string", "format": "date" },
                "closed_at": time()
            }
        })
    }
}

//! The form `sourcecode.PullRequestComment`: comments of the conversation, and comments on the code.

use agent_sdk::Model;
use serde::Serialize;
use serde_json::{Value, json};

use crate::comment::{Comment, properties, schema_with};

#[derive(Debug, Serialize)]
pub struct PullRequestComment {
    #[serde(flatten)]
    pub comment: Comment,
    pub repo_id: String,
    pub pull_request_ref_id: String,
    /// Whether it stands on the code, and where. None of one that has gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_code: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_number: Option<u64>,
}

impl PullRequestComment {
    /// One of the conversation.
    pub fn new(comment: Comment, repo_id: &str, pull_request: &str) -> PullRequestComment {
        PullRequestComment { on_code: Some(false), ..PullRequestComment::of(comment, repo_id, pull_request) }
    }

    /// One that is not there any more, wherever it stood.
    pub fn gone(ref_type: &'static str, repo_id: &str, pull_request: &str, ref_id: String) -> PullRequestComment {
        PullRequestComment::of(Comment::gone(ref_type, ref_id), repo_id, pull_request)
    }

    fn of(comment: Comment, repo_id: &str, pull_request: &str) -> PullRequestComment {
        let (repo_id, pull_request_ref_id) = (repo_id.to_owned(), pull_request.to_owned());
        PullRequestComment { comment, repo_id, pull_request_ref_id, on_code: None, path: None, review_number: None }
    }
}

impl Model for PullRequestComment {
    const NAME: &'static str = "sourcecode.PullRequestComment";

    fn schema() -> Value {
        let more = json!({
            "repo_id": { "type": "string" },
            "pull_request_ref_id": { "type": "string" },
            "on_code": { "type": "boolean", "description": "Whether it stands on the code or in the conversation" },
            "path": { "type": "string", "description": "The file that it stands on" },
            "review_number": { "type": "integer", "description": "The review that it is part of: `number` there" }
        });
        schema_with(&["repo_id", "pull_request_ref_id"], &["on_code"], properties(more))
    }
}

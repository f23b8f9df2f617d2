//! Comments: those of issues (`work.IssueComment`), and those of pull requests, on the conversation and on the code, which
//! are one model (`sourcecode.PullRequestComment`).

use agent_sdk::Model;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::REF_TYPE;
use crate::notes::Notes;
use crate::user::{self, Actor};

/// A comment as GraphQL says it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Said {
    id: String,
    body: String,
    url: String,
    created_at: String,
    updated_at: String,
    pub author: Option<Actor>,
}

/// A comment on code as REST says it.
#[derive(Debug, Deserialize)]
pub struct SaidOfCode {
    node_id: String,
    body: String,
    html_url: String,
    created_at: String,
    pub updated_at: String,
    pull_request_url: String,
    pull_request_review_id: Option<u64>,
    path: Option<String>,
    user: Option<RestUser>,
}

#[derive(Debug, Deserialize)]
struct RestUser {
    id: u64,
}

impl SaidOfCode {
    /// The number of the pull request, which is the end of its URL.
    pub fn number(&self) -> Option<u64> {
        self.pull_request_url.rsplit('/').next()?.parse().ok()
    }
}

/// What all comments have.
#[derive(Debug, Serialize)]
struct Comment {
    ref_id: String,
    ref_type: &'static str,
    repo_id: String,
    active: bool,
    body: String,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_ref_id: Option<String>,
    created_at: String,
    updated_at: String,
}

impl Comment {
    fn new(repo_id: &str, said: Said, notes: &mut Notes) -> Comment {
        Comment {
            ref_id: said.id,
            ref_type: REF_TYPE,
            repo_id: repo_id.to_owned(),
            active: true,
            body: notes.text(said.body),
            url: said.url,
            user_ref_id: user::ref_id(said.author.as_ref()),
            created_at: said.created_at,
            updated_at: said.updated_at,
        }
    }
}

fn schema_with(more: Value) -> Value {
    let mut schema = json!({
        "type": "object",
        "required": ["ref_id", "ref_type", "repo_id", "active", "body", "created_at", "updated_at"],
        "properties": {
            "ref_id": { "type": "string" },
            "ref_type": { "const": REF_TYPE },
            "repo_id": { "type": "string" },
            "active": { "type": "boolean" },
            "body": { "type": "string" },
            "url": { "type": "string" },
            "user_ref_id": { "type": "string", "description": "Left out where the account was deleted" },
            "created_at": { "type": "string", "format": "date-time" },
            "updated_at": { "type": "string", "format": "date-time" }
        }
    });
    if let (Some(properties), Value::Object(more)) = (schema["properties"].as_object_mut(), more) {
        properties.extend(more);
    }
    schema
}

#[derive(Debug, Serialize)]
pub struct IssueComment {
    #[serde(flatten)]
    comment: Comment,
    issue_ref_id: String,
}

impl IssueComment {
    pub fn new(repo_id: &str, issue: &str, said: Said, notes: &mut Notes) -> IssueComment {
        IssueComment { comment: Comment::new(repo_id, said, notes), issue_ref_id: issue.to_owned() }
    }
}

impl Model for IssueComment {
    const NAME: &'static str = "work.IssueComment";

    fn schema() -> Value {
        schema_with(json!({ "issue_ref_id": { "type": "string" } }))
    }
}

#[derive(Debug, Serialize)]
pub struct PullRequestComment {
    #[serde(flatten)]
    comment: Comment,
    pull_request_ref_id: String,
    /// Whether it stands on the code, and where.
    on_code: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    review_number: Option<u64>,
}

impl PullRequestComment {
    pub fn new(repo_id: &str, pull_request: &str, said: Said, notes: &mut Notes) -> PullRequestComment {
        PullRequestComment {
            comment: Comment::new(repo_id, said, notes),
            pull_request_ref_id: pull_request.to_owned(),
            on_code: false,
            path: None,
            review_number: None,
        }
    }

    pub fn on_code(repo_id: &str, pull_request: String, said: SaidOfCode, notes: &mut Notes) -> PullRequestComment {
        let comment = Comment {
            ref_id: said.node_id,
            ref_type: REF_TYPE,
            repo_id: repo_id.to_owned(),
            active: true,
            body: notes.text(said.body),
            url: said.html_url,
            user_ref_id: said.user.map(|user| user.id.to_string()),
            created_at: said.created_at,
            updated_at: said.updated_at,
        };
        PullRequestComment {
            comment,
            pull_request_ref_id: pull_request,
            on_code: true,
            path: said.path,
            review_number: said.pull_request_review_id,
        }
    }
}

impl Model for PullRequestComment {
    const NAME: &'static str = "sourcecode.PullRequestComment";

    fn schema() -> Value {
        schema_with(json!({
            "pull_request_ref_id": { "type": "string" },
            "on_code": { "type": "boolean", "description": "Whether it stands on the code or in the conversation" },
            "path": { "type": "string", "description": "The file that it stands on" },
            "review_number": { "type": "integer", "description": "The review that it is part of: `number` there" }
        }))
    }
}

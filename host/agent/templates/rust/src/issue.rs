//! The model `{{name}}.Issue`, and what the server says of one.

use agent_sdk::Model;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A record, as it is exported. The key is `ref_id`, unless `Model::KEY` says otherwise.
#[derive(Debug, Serialize)]
pub struct Issue {
    ref_id: String,
    repo: String,
    number: u64,
    title: String,
    state: String,
    author: Option<String>,
    is_pull_request: bool,
    created_at: String,
    updated_at: String,
    url: String,
}

impl Model for Issue {
    const NAME: &'static str = "{{name}}.Issue";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "repo", "number", "title", "state", "created_at", "updated_at", "url"],
            "properties": {
                "ref_id": { "type": "string" },
                "repo": { "type": "string" },
                "number": { "type": "integer" },
                "title": { "type": "string" },
                "state": { "enum": ["open", "closed"] },
                "author": { "type": ["string", "null"] },
                "is_pull_request": { "type": "boolean" },
                "created_at": { "type": "string", "format": "date-time" },
                "updated_at": { "type": "string", "format": "date-time" },
                "url": { "type": "string", "format": "uri" }
            }
        })
    }
}

/// What the server says of an issue: the fields that are wanted, the others are passed over.
#[derive(Debug, Deserialize)]
pub struct GitHubIssue {
    id: u64,
    number: u64,
    title: String,
    state: String,
    user: Option<GitHubUser>,
    pull_request: Option<agent_sdk::Ignored>,
    created_at: String,
    updated_at: String,
    html_url: String,
}

/// Whoever opened it; none where the account is gone.
#[derive(Debug, Deserialize)]
pub struct GitHubUser {
    login: String,
}

impl Issue {
    pub fn new(repo: &str, issue: &GitHubIssue) -> Issue {
        Issue {
            ref_id: issue.id.to_string(),
            repo: repo.to_owned(),
            number: issue.number,
            title: issue.title.clone(),
            state: issue.state.clone(),
            author: issue.user.as_ref().map(|user| user.login.clone()),
            is_pull_request: issue.pull_request.is_some(),
            created_at: issue.created_at.clone(),
            updated_at: issue.updated_at.clone(),
            url: issue.html_url.clone(),
        }
    }
}

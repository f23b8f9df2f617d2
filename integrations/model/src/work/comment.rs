//! The form `work.IssueComment`. What every comment has is `crate::comment`'s.

use agent_sdk::Model;
use serde::Serialize;
use serde_json::{Value, json};

use crate::comment::{Comment, properties, schema_with};

#[derive(Debug, Serialize)]
pub struct IssueComment {
    #[serde(flatten)]
    pub comment: Comment,
    pub project_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo_id: Option<String>,
    pub issue_ref_id: String,
}

impl IssueComment {
    /// A comment on an issue of a project that is no repository.
    pub fn of_project(comment: Comment, project_id: &str, issue: &str) -> IssueComment {
        let (project_id, issue_ref_id) = (project_id.to_owned(), issue.to_owned());
        IssueComment { comment, project_id, repo_id: None, issue_ref_id }
    }

    /// A comment on an issue that lives in a repository.
    pub fn of_repo(comment: Comment, repo_id: &str, issue: &str) -> IssueComment {
        IssueComment { repo_id: Some(repo_id.to_owned()), ..IssueComment::of_project(comment, repo_id, issue) }
    }
}

impl Model for IssueComment {
    const NAME: &'static str = "work.IssueComment";

    fn schema() -> Value {
        let more = json!({
            "project_id": { "type": "string" },
            "repo_id": { "type": "string", "description": "Where issues live in repositories" },
            "issue_ref_id": { "type": "string" }
        });
        schema_with(&["project_id", "issue_ref_id"], &[], properties(more))
    }
}

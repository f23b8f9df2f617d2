//! The forms `sourcecode.PullRequest` and `sourcecode.PullRequestCommit`.

use agent_sdk::Model;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{ref_type, text, texts, time};

#[derive(Debug, Serialize)]
pub struct PullRequest {
    pub ref_id: String,
    pub ref_type: &'static str,
    pub repo_id: String,
    /// Whether it is there. One that has gone has nothing more than this and its ids.
    pub active: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub fields: Option<PullRequestFields>,
}

/// What is known of a pull request that is there.
#[derive(Debug, Default, Serialize)]
pub struct PullRequestFields {
    pub number: u64,
    pub identifier: String,
    pub title: String,
    pub description: String,
    pub url: String,
    pub status: &'static str,
    pub draft: bool,
    pub locked: bool,
    pub labels: Vec<String>,
    pub branch_name: String,
    pub base_branch_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_sha: Option<String>,
    pub commit_shas: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge_sha: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by_ref_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged_by_ref_id: Option<String>,
    /// Who is still asked for a review; requests that were answered or taken back are not here.
    pub requested_reviewer_ref_ids: Vec<String>,
    pub created_at: String,
    pub updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged_at: Option<String>,
}

impl PullRequest {
    pub fn new(ref_type: &'static str, repo_id: &str, ref_id: String, fields: PullRequestFields) -> PullRequest {
        PullRequest { active: true, fields: Some(fields), ..PullRequest::gone(ref_type, repo_id, ref_id) }
    }

    /// One that is not there any more.
    pub fn gone(ref_type: &'static str, repo_id: &str, ref_id: String) -> PullRequest {
        PullRequest { ref_id, ref_type, repo_id: repo_id.to_owned(), active: false, fields: None }
    }
}

impl Model for PullRequest {
    const NAME: &'static str = "sourcecode.PullRequest";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "repo_id", "active"],
            "if": { "properties": { "active": { "const": true } } },
            "then": { "required": ["number", "title", "url", "status", "created_at", "updated_at"] },
            "properties": {
                "ref_id": { "type": "string", "description": "repo_id/number" },
                "ref_type": ref_type(),
                "repo_id": text(),
                "active": { "type": "boolean", "description": "False once it was deleted, or is not to be seen any more" },
                "number": { "type": "integer" },
                "identifier": { "type": "string", "description": "As people write it: owner/name#number, group/name!number" },
                "title": text(),
                "description": { "type": "string", "description": "Markdown" },
                "url": text(),
                "status": { "enum": ["OPEN", "CLOSED", "MERGED", "UNKNOWN"] },
                "draft": { "type": "boolean" },
                "locked": { "type": "boolean" },
                "labels": texts(),
                "branch_name": text(),
                "base_branch_name": text(),
                "head_sha": text(),
                "commit_shas": texts(),
                "merge_sha": text(),
                "created_by_ref_id": text(),
                "merged_by_ref_id": text(),
                "requested_reviewer_ref_ids": texts(),
                "created_at": time(),
                "updated_at": time(),
                "closed_at": time(),
                "merged_at": time()
            }
        })
    }
}

#[derive(Debug, Default, Serialize)]
pub struct PullRequestCommit {
    pub ref_id: String,
    pub ref_type: &'static str,
    pub repo_id: String,
    pub pull_request_ref_id: String,
    pub sha: String,
    pub message: String,
    pub url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author_email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author_ref_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub committer_ref_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authored_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
}

impl Model for PullRequestCommit {
    const NAME: &'static str = "sourcecode.PullRequestCommit";

    fn schema() -> Value {
        let lines =
            json!({ "type": "integer", "description": "Left out where the source does not say it in its list" });
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "repo_id", "pull_request_ref_id", "sha", "message"],
            "properties": {
                "ref_id": { "type": "string", "description": "pull_request_ref_id/sha" },
                "ref_type": ref_type(),
                "repo_id": text(),
                "pull_request_ref_id": text(),
                "sha": text(),
                "message": text(),
                "url": text(),
                "additions": lines,
                "deletions": lines,
                "author_email": { "type": "string", "description": "In lower case: the `ref_id` of a CommitUser" },
                "author_ref_id": text(),
                "committer_ref_id": text(),
                "authored_at": text(),
                "created_at": { "type": "string", "description": "When it was committed" }
            }
        })
    }
}

//! The forms `sourcecode.PullRequestReview` and `sourcecode.PullRequestReviewRequest`.

use agent_sdk::Model;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{ref_type, text};

/// How a review may have ended.
pub const REVIEW_STATES: [&str; 5] = ["APPROVED", "COMMENTED", "CHANGES_REQUESTED", "PENDING", "DISMISSED"];

#[derive(Debug, Default, Serialize)]
pub struct Review {
    pub ref_id: String,
    pub ref_type: &'static str,
    pub repo_id: String,
    pub pull_request_ref_id: String,
    /// What comments on the code name it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    pub state: &'static str,
    pub body: String,
    pub url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_ref_id: Option<String>,
    /// Left out of one that is not submitted yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
}

impl Model for Review {
    const NAME: &'static str = "sourcecode.PullRequestReview";

    fn schema() -> Value {
        let states: Vec<&str> = REVIEW_STATES.into_iter().chain(["UNKNOWN"]).collect();
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "repo_id", "pull_request_ref_id", "state"],
            "properties": {
                "ref_id": text(),
                "ref_type": ref_type(),
                "repo_id": text(),
                "pull_request_ref_id": text(),
                "number": { "type": "integer", "description": "What comments on the code name it by" },
                "state": { "enum": states },
                "body": text(),
                "url": text(),
                "user_ref_id": { "type": "string", "description": "Left out where the account was deleted" },
                "created_at": { "type": "string", "description": "When it was submitted" }
            }
        })
    }
}

#[derive(Debug, Serialize)]
pub struct ReviewRequest {
    pub ref_id: String,
    pub ref_type: &'static str,
    pub repo_id: String,
    pub pull_request_ref_id: String,
    pub requested_reviewer_ref_id: String,
    /// Whether a team is asked.
    pub team: bool,
}

impl ReviewRequest {
    pub fn new(
        ref_type: &'static str,
        repo_id: &str,
        pull_request: &str,
        reviewer: String,
        team: bool,
    ) -> ReviewRequest {
        ReviewRequest {
            ref_id: format!("{pull_request}/{reviewer}"),
            ref_type,
            repo_id: repo_id.to_owned(),
            pull_request_ref_id: pull_request.to_owned(),
            requested_reviewer_ref_id: reviewer,
            team,
        }
    }
}

impl Model for ReviewRequest {
    const NAME: &'static str = "sourcecode.PullRequestReviewRequest";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "repo_id", "pull_request_ref_id", "requested_reviewer_ref_id", "team"],
            "properties": {
                "ref_id": { "type": "string", "description": "pull_request_ref_id/requested_reviewer_ref_id" },
                "ref_type": ref_type(),
                "repo_id": text(),
                "pull_request_ref_id": text(),
                "requested_reviewer_ref_id": { "type": "string", "description": "A user, or team:number" },
                "team": { "type": "boolean" }
            }
        })
    }
}

//! The models `sourcecode.PullRequestReview` and `sourcecode.PullRequestReviewRequest`.

use agent_sdk::Model;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::REF_TYPE;
use crate::notes::Notes;
use crate::user::{self, Actor};

const STATES: [&str; 5] = ["APPROVED", "COMMENTED", "CHANGES_REQUESTED", "PENDING", "DISMISSED"];

#[derive(Debug, Serialize)]
pub struct Review {
    ref_id: String,
    ref_type: &'static str,
    repo_id: String,
    pull_request_ref_id: String,
    /// What comments on the code name it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    state: &'static str,
    body: String,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_ref_id: Option<String>,
    /// Left out of one that is not submitted yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
}

impl Model for Review {
    const NAME: &'static str = "sourcecode.PullRequestReview";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "repo_id", "pull_request_ref_id", "state"],
            "properties": {
                "ref_id": { "type": "string" },
                "ref_type": { "const": REF_TYPE },
                "repo_id": { "type": "string" },
                "pull_request_ref_id": { "type": "string" },
                "number": { "type": "integer", "description": "What comments on the code name it by" },
                "state": { "enum": [STATES[0], STATES[1], STATES[2], STATES[3], STATES[4], "UNKNOWN"] },
                "body": { "type": "string" },
                "url": { "type": "string" },
                "user_ref_id": { "type": "string", "description": "Left out where the account was deleted" },
                "created_at": { "type": "string", "description": "When it was submitted" }
            }
        })
    }
}

/// A review as the server says it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reviewed {
    id: String,
    state: String,
    body: Option<String>,
    url: Option<String>,
    submitted_at: Option<String>,
    pub author: Option<Actor>,
}

impl Reviewed {
    pub fn record(self, repo_id: &str, pull_request: &str, notes: &mut Notes) -> Review {
        Review {
            ref_id: self.id,
            ref_type: REF_TYPE,
            repo_id: repo_id.to_owned(),
            pull_request_ref_id: pull_request.to_owned(),
            // The end of `…#pullrequestreview-17`: the field for it overflows on some servers and is missing on others.
            number: self.url.as_deref().and_then(|url| url.rsplit('-').next()).and_then(|number| number.parse().ok()),
            state: notes.word("review.state", &self.state, &STATES),
            body: notes.text(self.body.unwrap_or_default()),
            url: self.url.unwrap_or_default(),
            user_ref_id: user::ref_id(self.author.as_ref()),
            created_at: self.submitted_at,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct ReviewRequest {
    ref_id: String,
    ref_type: &'static str,
    repo_id: String,
    pull_request_ref_id: String,
    requested_reviewer_ref_id: String,
    /// Whether a team is asked.
    team: bool,
}

impl ReviewRequest {
    pub fn reviewer(&self) -> &str {
        &self.requested_reviewer_ref_id
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
                "ref_type": { "const": REF_TYPE },
                "repo_id": { "type": "string" },
                "pull_request_ref_id": { "type": "string" },
                "requested_reviewer_ref_id": { "type": "string", "description": "A user, or team:number" },
                "team": { "type": "boolean" }
            }
        })
    }
}

/// A request as the server says it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requested {
    /// Null where who is asked may not be seen, or has gone.
    requested_reviewer: Option<Value>,
}

impl Requested {
    /// Who is asked, where it is an account and not a team.
    pub fn actor(&self) -> Option<Actor> {
        Actor::deserialize(self.requested_reviewer.as_ref()?).ok()
    }

    pub fn record(self, repo_id: &str, pull_request: &str) -> Option<ReviewRequest> {
        let (reviewer, team) = match self.actor() {
            Some(actor) => (actor.ref_id(), false),
            None => (format!("team:{}", self.requested_reviewer?["databaseId"].as_u64()?), true),
        };
        Some(ReviewRequest {
            ref_id: format!("{pull_request}/{reviewer}"),
            ref_type: REF_TYPE,
            repo_id: repo_id.to_owned(),
            pull_request_ref_id: pull_request.to_owned(),
            requested_reviewer_ref_id: reviewer,
            team,
        })
    }
}

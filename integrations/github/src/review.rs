//! What the server says of reviews and of requests for one, and the records of it.

use integration_model::notes::Notes;
use integration_model::people::Account;
use integration_model::sourcecode::{REVIEW_STATES, Review, ReviewRequest};
use serde::Deserialize;
use serde_json::Value;

use crate::REF_TYPE;
use crate::user::{self, Actor};

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
            state: notes.word("review.state", &self.state, &REVIEW_STATES),
            body: notes.text(self.body.unwrap_or_default()),
            url: self.url.unwrap_or_default(),
            user_ref_id: user::ref_id(self.author.as_ref()),
            created_at: self.submitted_at,
        }
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
        Some(ReviewRequest::new(REF_TYPE, repo_id, pull_request, reviewer, team))
    }
}

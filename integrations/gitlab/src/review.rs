//! What the server says of reviewers and approvals, and the records of them. GitLab keeps one review of each reviewer, which
//! changes; so its id is that of the person, below the merge request's.

use integration_model::notes::Notes;
use integration_model::people::Account;
use integration_model::sourcecode::{Review, ReviewRequest};
use serde::Deserialize;

use crate::REF_TYPE;
use crate::note::seconds;
use crate::user::Person;

/// Who is asked for a review, and what came of it.
#[derive(Debug, Deserialize)]
pub struct Reviewer {
    pub user: Person,
    state: String,
}

impl Reviewer {
    /// Somebody of whom the server says no more than that they are asked.
    pub fn asked(user: Person) -> Reviewer {
        Reviewer { user, state: "unreviewed".to_owned() }
    }
}

/// Somebody who has approved.
#[derive(Debug, Deserialize)]
pub struct Approval {
    pub user: Person,
    approved_at: Option<String>,
}

/// Whose merge request it is.
pub struct Of<'a> {
    pub project: &'a str,
    pub merge_request: &'a str,
    pub url: &'a str,
}

/// The records of all reviews and open requests for one. An approval says more than what the reviewer's state does, and has a
/// time.
pub fn records(
    of: &Of<'_>,
    reviewers: &[Reviewer],
    approvals: &[Approval],
    notes: &mut Notes,
) -> (Vec<Review>, Vec<ReviewRequest>) {
    let (mut reviews, mut requests) = (Vec::new(), Vec::new());
    for reviewer in reviewers {
        if approvals.iter().any(|approval| approval.user.ref_id() == reviewer.user.ref_id()) {
            continue;
        }
        let state = match reviewer.state.as_str() {
            "unreviewed" | "review_started" => {
                let reviewer = reviewer.user.ref_id();
                requests.push(ReviewRequest::new(REF_TYPE, of.project, of.merge_request, reviewer, false));
                continue;
            }
            "reviewed" => "COMMENTED",
            "requested_changes" => "CHANGES_REQUESTED",
            "approved" => "APPROVED",
            // An approval that was taken back.
            "unapproved" => "DISMISSED",
            other => notes.word("reviewer.state", other, &[]),
        };
        reviews.push(review(of, &reviewer.user, state, None));
    }
    reviews.extend(
        approvals
            .iter()
            .map(|approval| review(of, &approval.user, "APPROVED", approval.approved_at.clone().map(seconds))),
    );
    (reviews, requests)
}

fn review(of: &Of<'_>, user: &Person, state: &'static str, created_at: Option<String>) -> Review {
    Review {
        ref_id: format!("{}/{}", of.merge_request, user.ref_id()),
        ref_type: REF_TYPE,
        repo_id: of.project.to_owned(),
        pull_request_ref_id: of.merge_request.to_owned(),
        state,
        url: of.url.to_owned(),
        user_ref_id: Some(user.ref_id()),
        created_at,
        ..Review::default()
    }
}

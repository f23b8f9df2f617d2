//! What the server says of comments, and the records of them: those of issues, and those of pull requests, on the conversation
//! and on the code.

use integration_model::Comment;
use integration_model::notes::Notes;
use integration_model::sourcecode::PullRequestComment;
use integration_model::work::IssueComment;
use serde::Deserialize;

use crate::REF_TYPE;
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

impl Said {
    fn comment(self, notes: &mut Notes) -> Comment {
        Comment {
            ref_id: self.id,
            ref_type: REF_TYPE,
            active: true,
            body: notes.text(self.body),
            url: self.url,
            user_ref_id: user::ref_id(self.author.as_ref()),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    pub fn of_issue(self, repo_id: &str, issue: &str, notes: &mut Notes) -> IssueComment {
        IssueComment {
            comment: self.comment(notes),
            project_id: repo_id.to_owned(),
            repo_id: Some(repo_id.to_owned()),
            issue_ref_id: issue.to_owned(),
        }
    }

    pub fn of_pull_request(self, repo_id: &str, pull_request: &str, notes: &mut Notes) -> PullRequestComment {
        PullRequestComment {
            comment: self.comment(notes),
            repo_id: repo_id.to_owned(),
            pull_request_ref_id: pull_request.to_owned(),
            ..PullRequestComment::default()
        }
    }
}

impl SaidOfCode {
    pub fn record(self, repo_id: &str, pull_request: String, notes: &mut Notes) -> PullRequestComment {
        let comment = Comment {
            ref_id: self.node_id,
            ref_type: REF_TYPE,
            active: true,
            body: notes.text(self.body),
            url: self.html_url,
            user_ref_id: self.user.map(|user| user.id.to_string()),
            created_at: self.created_at,
            updated_at: self.updated_at,
        };
        PullRequestComment {
            comment,
            repo_id: repo_id.to_owned(),
            pull_request_ref_id: pull_request,
            on_code: true,
            path: self.path,
            review_number: self.pull_request_review_id,
        }
    }
}

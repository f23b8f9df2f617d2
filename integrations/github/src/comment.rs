//! What the server says of comments, and the records of them: those of issues, and those of pull requests, on the conversation
//! and on the code.

use integration_model::notes::Notes;
use integration_model::sourcecode::PullRequestComment;
use integration_model::work::IssueComment;
use integration_model::{Comment, CommentFields};
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
        let fields = CommentFields {
            body: notes.text(self.body),
            url: self.url,
            user_ref_id: user::ref_id(self.author.as_ref()),
            created_at: self.created_at,
            updated_at: self.updated_at,
        };
        Comment::new(REF_TYPE, self.id, fields)
    }

    pub fn of_issue(self, repo_id: &str, issue: &str, notes: &mut Notes) -> IssueComment {
        IssueComment::of_repo(self.comment(notes), repo_id, issue)
    }

    pub fn of_pull_request(self, repo_id: &str, pull_request: &str, notes: &mut Notes) -> PullRequestComment {
        PullRequestComment::new(self.comment(notes), repo_id, pull_request)
    }
}

impl SaidOfCode {
    pub fn record(self, repo_id: &str, pull_request: &str, notes: &mut Notes) -> PullRequestComment {
        let fields = CommentFields {
            body: notes.text(self.body),
            url: self.html_url,
            user_ref_id: self.user.map(|user| user.id.to_string()),
            created_at: self.created_at,
            updated_at: self.updated_at,
        };
        let comment = Comment::new(REF_TYPE, self.node_id, fields);
        PullRequestComment {
            on_code: Some(true),
            path: self.path,
            review_number: self.pull_request_review_id,
            ..PullRequestComment::new(comment, repo_id, pull_request)
        }
    }
}

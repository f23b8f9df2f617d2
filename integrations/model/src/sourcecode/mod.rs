//! The forms `sourcecode.*`. A merge request is a pull request here, whatever its source calls it.

mod comment;
mod pull_request;
mod repo;
mod review;
mod user;

pub use comment::PullRequestComment;
pub use pull_request::{PullRequest, PullRequestCommit, PullRequestFields};
pub use repo::{Repo, RepoError, RepoFields, RepoWebhook};
pub use review::{REVIEW_STATES, Review, ReviewRequest};
pub use user::{CommitUser, User};

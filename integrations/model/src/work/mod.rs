//! The forms `work.*`. Where issues live in repositories, the project is the repository, and the two have one id.

mod board;
mod change;
mod comment;
mod health;
mod issue;
mod project;
mod sprint;
mod status;
mod user;

pub use board::{Board, BoardFields, Column};
pub use change::{Attachment, Change, LinkedIssue, Transition};
pub use comment::IssueComment;
pub use health::{ProjectError, ProjectWebhook};
pub use issue::{Issue, IssueFields};
pub use project::{Project, ProjectFields};
pub use sprint::{Sprint, SprintFields};
pub use status::{
    Config, Entry, IssuePriority, IssuePriorityFields, IssueStatus, IssueStatusFields, IssueType, IssueTypeFields,
};
pub use user::User;

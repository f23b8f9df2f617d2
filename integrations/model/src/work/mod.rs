//! The forms `work.*`. Where issues live in repositories, the project is the repository, and the two have one id.

mod comment;
mod issue;
mod project;
mod sprint;

pub use comment::IssueComment;
pub use issue::{Issue, IssueFields};
pub use project::{Project, ProjectFields};
pub use sprint::{Sprint, SprintFields};

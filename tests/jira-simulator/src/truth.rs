//! What an export must have brought: for each model the ids, and for each id what tells a fresh record from a stale one.

use simulator::Truth;
use simulator::clock::rfc3339;

use crate::world::{PRIORITIES, STATUSES, TYPES, World};

impl World {
    /// All that there is, by the ids that records have.
    pub fn truth(&self) -> Truth {
        let mut truth = Truth::new();
        let mut add = |model: &str, id: String, stamp: String| {
            truth.entry(model.to_owned()).or_default().insert(id, stamp);
        };
        let none = String::new;
        self.projects.iter().for_each(|project| add("work.Project", project.id.to_string(), none()));
        self.users.iter().for_each(|user| add("work.User", user.id.clone(), none()));
        self.boards.iter().for_each(|board| add("work.Board", board.id.to_string(), none()));
        self.sprints.iter().for_each(|sprint| add("work.Sprint", sprint.id.to_string(), none()));
        STATUSES.iter().for_each(|(id, _, _)| add("work.IssueStatus", id.to_string(), none()));
        TYPES.iter().for_each(|(id, _, _)| add("work.IssueType", id.to_string(), none()));
        PRIORITIES.iter().for_each(|(id, _, _)| add("work.IssuePriority", id.to_string(), none()));
        add("work.Config", "site".to_owned(), none());
        for issue in self.issues.values() {
            add("work.Issue", issue.id.to_string(), rfc3339(issue.updated));
            for comment in &issue.comments {
                add("work.IssueComment", comment.id.to_string(), rfc3339(comment.updated));
            }
        }
        truth
    }
}

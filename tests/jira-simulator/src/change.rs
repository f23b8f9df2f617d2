//! What happens in the world: edits, comments, new issues, deletions, sprints that end. Each moves the clock and the times of what
//! it touches, as Jira does; a sprint that ends moves no issue.

use crate::world::World;

/// Seconds between two changes.
const STEP_SECS: i64 = 7;

impl World {
    /// One change, whatever the dice say.
    pub fn change(&mut self) {
        if self.projects.is_empty() {
            return;
        }
        let project = self.dice.place(self.projects.len());
        self.now += STEP_SECS;
        let now = self.now;
        match (self.dice.below(4), self.some_issue()) {
            (0, _) | (_, None) => {
                self.add_issue(project, now);
            }
            (1, Some(issue)) => self.edit(issue, now),
            (_, Some(issue)) => {
                self.add_comment(issue, now);
            }
        }
    }

    /// Deletes an issue. Nothing that is left says so.
    pub fn delete_issue(&mut self, id: u64) -> bool {
        self.now += STEP_SECS;
        self.issues.remove(&id).is_some()
    }

    /// Deletes the first comment on an issue: its id. The issue moves.
    pub fn delete_comment(&mut self, id: u64) -> Option<u64> {
        self.now += STEP_SECS;
        let now = self.now;
        let issue = self.issues.get_mut(&id)?;
        if issue.comments.is_empty() {
            return None;
        }
        issue.updated = now;
        Some(issue.comments.remove(0).id)
    }

    /// Moves an issue to another project, where it has another key and the same id.
    pub fn move_issue(&mut self, id: u64, project: usize) {
        self.now += STEP_SECS;
        let number = self.projects[project].next_number;
        self.projects[project].next_number += 1;
        if let Some(issue) = self.issues.get_mut(&id) {
            (issue.project, issue.number, issue.updated) = (self.projects[project].id, number, self.now);
        }
    }

    /// Deletes a project with all that is in it.
    pub fn delete_project(&mut self, project: usize) {
        self.now += STEP_SECS;
        let id = self.projects.remove(project).id;
        self.issues.retain(|_, issue| issue.project != id);
        self.boards.retain(|board| board.project != id);
        let boards: Vec<u64> = self.boards.iter().map(|board| board.id).collect();
        self.sprints.retain(|sprint| boards.contains(&sprint.board));
    }

    /// Ends a sprint.
    pub fn close_sprint(&mut self, id: u64) {
        self.now += STEP_SECS;
        let now = self.now;
        if let Some(sprint) = self.sprints.iter_mut().find(|sprint| sprint.id == id) {
            (sprint.state, sprint.complete) = ("closed", Some(now));
        }
    }
}

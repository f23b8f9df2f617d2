//! What happens in the world: edits, comments, new issues and merge requests, approvals, deletions. Each moves the clock and
//! the times of what it touches, as GitLab does.

use crate::world::World;

/// Seconds between two changes.
const STEP_SECS: i64 = 7;
/// A project's last activity moves at most so often.
const ACTIVITY_SECS: i64 = 3_600;

impl World {
    /// One change, whatever the dice say, in any project that has something to change.
    pub fn change(&mut self) {
        if !self.projects.is_empty() {
            let project = self.dice.place(self.projects.len());
            self.change_in(project);
        }
    }

    /// One change in this project.
    pub fn change_in(&mut self, project: usize) {
        self.now += STEP_SECS;
        let now = self.now;
        match self.dice.below(6) {
            0 => drop(self.add_issue(project, now)),
            1 => drop(self.add_merge_request(project, now, 2)),
            2 => self.approve_something(project, now),
            3 => self.edit_something(project, now),
            _ => self.comment_on_something(project, now),
        }
        self.touch(project);
    }

    /// Moves the time of a project's last activity, as seldom as GitLab does.
    pub fn touch(&mut self, project: usize) {
        let now = self.now;
        let activity = &mut self.projects[project].activity;
        if now - *activity >= ACTIVITY_SECS {
            *activity = now;
        }
    }

    fn some_thread(&mut self, project: usize) -> Option<(bool, u64)> {
        let numbers = self.projects[project].numbers();
        numbers.get(self.dice.place(numbers.len())).copied()
    }

    fn edit_something(&mut self, project: usize, now: i64) {
        let Some((issue, iid)) = self.some_thread(project) else { return };
        if let Some(thread) = self.projects[project].thread_mut(issue, iid) {
            thread.title = format!("{} (edited at {now})", thread.title.split(" (").next().unwrap_or_default());
            thread.updated = now;
        }
    }

    fn comment_on_something(&mut self, project: usize, now: i64) {
        let Some((issue, iid)) = self.some_thread(project) else { return };
        self.comment_on(project, issue, iid, now);
    }

    /// Somebody says something about an issue (true) or a merge request.
    pub fn comment_on(&mut self, project: usize, issue: bool, iid: u64, now: i64) {
        let note = self.note(now);
        if let Some(thread) = self.projects[project].thread_mut(issue, iid) {
            thread.notes.push(note);
            thread.updated = now;
        }
    }

    /// By somebody who was not asked: an answer to a request would take that back.
    fn approve_something(&mut self, project: usize, now: i64) {
        let numbers: Vec<u64> = self.projects[project].merge_requests.keys().copied().collect();
        let Some(iid) = numbers.get(self.dice.place(numbers.len())) else { return };
        let user = self.someone();
        if let Some(one) = self.projects[project].merge_requests.get_mut(iid) {
            let asked = one.reviewers.iter().any(|(reviewer, _)| *reviewer == user);
            if !asked && !one.approvals.contains(&user) {
                one.approvals.push(user);
            }
            one.thread.updated = now;
        }
    }

    /// Deletes an issue. Nothing that is left says so, but the count.
    pub fn delete_issue(&mut self, project: usize, iid: u64) -> bool {
        self.now += STEP_SECS;
        self.projects[project].issues.remove(&iid).is_some()
    }

    /// Deletes a merge request, in the same way.
    pub fn delete_merge_request(&mut self, project: usize, iid: u64) -> bool {
        self.now += STEP_SECS;
        self.projects[project].merge_requests.remove(&iid).is_some()
    }

    /// Deletes the first comment of people on an issue (true) or a merge request, and moves that, which the server itself does not:
    /// its id.
    pub fn delete_note(&mut self, project: usize, issue: bool, iid: u64) -> Option<u64> {
        self.now += STEP_SECS;
        let now = self.now;
        let thread = self.projects[project].thread_mut(issue, iid)?;
        let place = thread.notes.iter().position(|note| !note.system)?;
        thread.updated = now;
        Some(thread.notes.remove(place).id)
    }

    /// Deletes a project.
    pub fn delete_project(&mut self, project: usize) {
        self.now += STEP_SECS;
        self.projects.remove(project);
    }
}

//! What happens in the world: edits, comments, new issues and pull requests, reviews, deletions. Each moves the clock and the
//! times of what it touches, as GitHub does.

use crate::world::World;

/// Seconds between two changes.
const STEP_SECS: i64 = 7;

impl World {
    /// One change, whatever the dice say, in any repository that has something to change.
    pub fn change(&mut self) {
        if self.repos.is_empty() {
            return;
        }
        let count = self.repos.len() as u64;
        let repo = usize::try_from(self.dice.below(count)).unwrap_or(0);
        self.change_in(repo);
    }

    /// One change in this repository.
    pub fn change_in(&mut self, repo: usize) {
        self.now += STEP_SECS;
        let now = self.now;
        match self.dice.below(6) {
            0 => {
                self.add_issue(repo, now);
            }
            1 => {
                self.add_pull(repo, now, 1, 2);
                self.repos[repo].pushed = now;
            }
            2 => self.review_something(repo, now),
            3 => self.edit_something(repo, now),
            _ => self.comment_on_something(repo, now),
        }
    }

    fn some_number(&mut self, repo: usize) -> Option<u64> {
        let repo_ref = &self.repos[repo];
        let numbers: Vec<u64> = repo_ref.issues.keys().chain(repo_ref.pulls.keys()).copied().collect();
        let place = usize::try_from(self.dice.below(numbers.len() as u64)).unwrap_or(0);
        numbers.get(place).copied()
    }

    fn edit_something(&mut self, repo: usize, now: i64) {
        let Some(number) = self.some_number(repo) else { return };
        if let Some(thread) = self.repos[repo].thread_mut(number) {
            thread.title = format!("{} (edited at {now})", thread.title.split(" (").next().unwrap_or_default());
            thread.updated = now;
        }
    }

    fn comment_on_something(&mut self, repo: usize, now: i64) {
        let Some(number) = self.some_number(repo) else { return };
        let comment = self.comment(now);
        if let Some(thread) = self.repos[repo].thread_mut(number) {
            thread.comments.push(comment);
            thread.updated = now;
        }
    }

    fn review_something(&mut self, repo: usize, now: i64) {
        let numbers: Vec<u64> = self.repos[repo].pulls.keys().copied().collect();
        let place = usize::try_from(self.dice.below(numbers.len() as u64)).unwrap_or(0);
        let Some(number) = numbers.get(place).copied() else { return };
        let review = self.review(now);
        if let Some(pull) = self.repos[repo].pulls.get_mut(&number) {
            pull.reviews.push(review);
            pull.thread.updated = now;
        }
        self.add_review_comment(repo, number, now);
    }

    /// Deletes an issue. Nothing that is left says so, but the count.
    pub fn delete_issue(&mut self, repo: usize, number: u64) -> bool {
        self.now += STEP_SECS;
        self.repos[repo].issues.remove(&number).is_some()
    }

    /// Has a pull request be out of sight, as those of an account that is hidden are.
    pub fn hide_pull(&mut self, repo: usize, number: u64) -> bool {
        self.now += STEP_SECS;
        self.repos[repo].pulls.remove(&number).is_some()
    }

    /// Deletes the first comment on an issue or a pull request: its id. The conversation moves.
    pub fn delete_comment(&mut self, repo: usize, number: u64) -> Option<u64> {
        self.now += STEP_SECS;
        let now = self.now;
        let thread = self.repos[repo].thread_mut(number)?;
        if thread.comments.is_empty() {
            return None;
        }
        thread.updated = now;
        Some(thread.comments.remove(0).id)
    }

    /// Deletes a repository.
    pub fn delete_repo(&mut self, repo: usize) {
        self.now += STEP_SECS;
        self.repos.remove(repo);
    }
}

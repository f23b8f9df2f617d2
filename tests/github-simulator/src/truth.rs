//! What an export must have brought: for each model the ids, and for each id what tells a fresh record from a stale one.

use serde_json::{Value, json};
use simulator::Truth;
use simulator::clock::rfc3339;

use crate::world::World;

/// The node id of a thing of this kind.
pub fn node_id(kind: &str, id: u64) -> String {
    format!("{kind}_{id}")
}

impl World {
    /// All that there is, by the ids that records have.
    pub fn truth(&self) -> Truth {
        let mut truth = Truth::new();
        let mut add = |model: &str, id: String, stamp: String| {
            truth.entry(model.to_owned()).or_default().insert(id, stamp);
        };
        for repo in &self.repos {
            add("sourcecode.Repo", repo.id.to_string(), String::new());
            for issue in repo.issues.values() {
                add("work.Issue", format!("{}/{}", repo.id, issue.number), rfc3339(issue.updated));
                for comment in &issue.comments {
                    add("work.IssueComment", node_id("IC", comment.id), rfc3339(comment.updated));
                }
            }
            for pull in repo.pulls.values() {
                let id = format!("{}/{}", repo.id, pull.thread.number);
                add("sourcecode.PullRequest", id.clone(), rfc3339(pull.thread.updated));
                for comment in &pull.thread.comments {
                    add("sourcecode.PullRequestComment", node_id("IC", comment.id), rfc3339(comment.updated));
                }
                for review in &pull.reviews {
                    add("sourcecode.PullRequestReview", node_id("PRR", review.id), review.state.to_owned());
                }
                for commit in &pull.commits {
                    add("sourcecode.PullRequestCommit", format!("{id}/{}", commit.sha), String::new());
                    add("sourcecode.CommitUser", commit.email.to_lowercase(), String::new());
                }
                for user in &pull.requests {
                    add("sourcecode.PullRequestReviewRequest", format!("{id}/{}", self.users[*user].id), String::new());
                }
            }
            for comment in &repo.review_comments {
                let comment = &comment.comment;
                add("sourcecode.PullRequestComment", node_id("PRRC", comment.id), rfc3339(comment.updated));
            }
        }
        for user in self.users_seen() {
            add("sourcecode.User", self.users[user].id.to_string(), String::new());
        }
        truth
    }

    /// Members, and everybody who has done something or is to do it.
    fn users_seen(&self) -> Vec<usize> {
        let mut seen: Vec<usize> = (0..self.users.len()).filter(|user| self.users[*user].member).collect();
        for repo in &self.repos {
            let threads = repo.issues.values().chain(repo.pulls.values().map(|pull| &pull.thread));
            for thread in threads {
                seen.extend(thread.author);
                seen.extend(&thread.assignees);
                seen.extend(thread.comments.iter().filter_map(|comment| comment.author));
            }
            for pull in repo.pulls.values() {
                seen.extend(pull.merged_by);
                seen.extend(&pull.requests);
                seen.extend(pull.reviews.iter().filter_map(|review| review.author));
                seen.extend(pull.commits.iter().filter_map(|commit| commit.user));
            }
        }
        seen.sort_unstable();
        seen.dedup();
        seen
    }
}

/// The truth as a document.
pub fn document(truth: &Truth) -> Value {
    json!(truth)
}

//! What an export must have brought: for each model the ids, and for each id what tells a fresh record from a stale one.

use simulator::Truth;
use simulator::clock::rfc3339;

use crate::show::time;
use crate::world::{MergeRequest, Project, World};

impl World {
    /// All that there is in the group, by the ids that records have.
    pub fn truth(&self) -> Truth {
        let mut truth = Truth::new();
        let mut add = |model: &str, id: String, stamp: String| {
            truth.entry(model.to_owned()).or_default().insert(id, stamp);
        };
        for milestone in &self.milestones {
            add("work.Sprint", milestone.id.to_string(), String::new());
        }
        for user in self.users_seen() {
            add("sourcecode.User", self.users[user].id.to_string(), String::new());
        }
        for user in self.users.iter().filter(|user| user.member) {
            if let Some(email) = &user.public_email {
                add("sourcecode.CommitUser", email.clone(), String::new());
            }
        }
        for project in self.of_group() {
            add("sourcecode.Repo", project.id.to_string(), String::new());
            for one in project.merge_requests.values() {
                self.merge_request_truth(project, one, &mut add);
            }
            if !project.has_issues {
                continue;
            }
            add("work.Project", project.id.to_string(), String::new());
            for milestone in &project.milestones {
                add("work.Sprint", milestone.id.to_string(), String::new());
            }
            for issue in project.issues.values() {
                add("work.Issue", format!("{}/{}", project.id, issue.thread.iid), time(issue.thread.updated));
                for note in issue.thread.said() {
                    add("work.IssueComment", note.id.to_string(), rfc3339(note.updated));
                }
            }
        }
        truth
    }

    fn merge_request_truth(&self, project: &Project, one: &MergeRequest, add: &mut impl FnMut(&str, String, String)) {
        let id = format!("{}/{}", project.id, one.thread.iid);
        add("sourcecode.PullRequest", id.clone(), time(one.thread.updated));
        for note in one.thread.said() {
            add("sourcecode.PullRequestComment", note.id.to_string(), rfc3339(note.updated));
        }
        for commit in &one.commits {
            add("sourcecode.PullRequestCommit", format!("{id}/{}", commit.sha), String::new());
            add("sourcecode.CommitUser", commit.email.to_lowercase(), String::new());
        }
        for (user, state) in &one.reviewers {
            let of_user = format!("{id}/{}", self.users[*user].id);
            let state = match *state {
                "reviewed" => "COMMENTED",
                "requested_changes" => "CHANGES_REQUESTED",
                "unapproved" => "DISMISSED",
                _ => {
                    add("sourcecode.PullRequestReviewRequest", of_user, String::new());
                    continue;
                }
            };
            add("sourcecode.PullRequestReview", of_user, state.to_owned());
        }
        for user in &one.approvals {
            add("sourcecode.PullRequestReview", format!("{id}/{}", self.users[*user].id), "APPROVED".to_owned());
        }
    }

    /// The projects of the group and of the groups below it.
    pub fn of_group(&self) -> impl Iterator<Item = &Project> {
        self.projects.iter().filter(|project| project.owner.is_none())
    }

    /// Members, and everybody who has done something or is to do it.
    fn users_seen(&self) -> Vec<usize> {
        let mut seen: Vec<usize> = (0..self.users.len()).filter(|user| self.users[*user].member).collect();
        for project in self.of_group() {
            let threads = project.issues.values().map(|issue| &issue.thread);
            for thread in threads.chain(project.merge_requests.values().map(|one| &one.thread)) {
                seen.push(thread.author);
                seen.extend(thread.said().map(|note| note.author));
            }
            seen.extend(project.issues.values().flat_map(|issue| &issue.assignees));
            for one in project.merge_requests.values() {
                seen.extend(one.merged_by);
                seen.extend(one.reviewers.iter().map(|(user, _)| user));
                seen.extend(&one.approvals);
            }
        }
        seen.sort_unstable();
        seen.dedup();
        seen
    }
}

//! The world as REST v4 shows it.

use serde_json::{Value, json};
use simulator::clock::rfc3339;

use crate::world::{Commit, GROUP, Hook, Issue, MergeRequest, Milestone, Note, Project, Thread, User, World};

/// GitLab writes milliseconds.
pub fn time(secs: i64) -> String {
    rfc3339(secs).replace('Z', ".000Z")
}

fn day(secs: i64) -> String {
    rfc3339(secs)[..10].to_owned()
}

impl World {
    pub fn user(&self, place: usize) -> Value {
        let User { id, username, name, .. } = &self.users[place];
        json!({
            "id": id, "username": username, "name": name, "state": "active",
            "avatar_url": null, "web_url": format!("https://gitlab.invalid/{username}")
        })
    }

    pub fn member(&self, place: usize) -> Value {
        let mut user = self.user(place);
        user["access_level"] = 30.into();
        user["public_email"] = self.users[place].public_email.clone().into();
        user
    }

    /// What issues and merge requests show alike; `sign` stands before their number.
    fn thread(&self, project: &Project, thread: &Thread, sign: char) -> Value {
        let segment = if sign == '#' { "issues" } else { "merge_requests" };
        let path = &project.path;
        json!({
            "id": thread.id, "iid": thread.iid, "project_id": project.id, "title": thread.title,
            "description": thread.body, "state": thread.state, "labels": thread.labels,
            "author": self.user(thread.author), "created_at": time(thread.created), "updated_at": time(thread.updated),
            "closed_at": thread.closed.map(time), "user_notes_count": thread.said().count(),
            "discussion_locked": null, "web_url": format!("https://gitlab.invalid/{path}/-/{segment}/{}", thread.iid),
            "references": { "short": format!("{sign}{}", thread.iid), "full": format!("{path}{sign}{}", thread.iid) }
        })
    }

    pub fn issue(&self, project: &Project, issue: &Issue) -> Value {
        let mut shown = self.thread(project, &issue.thread, '#');
        let closed_by = (issue.thread.state == "closed").then(|| self.user(issue.thread.author));
        shown["closed_by"] = closed_by.into();
        shown["issue_type"] = issue.kind.into();
        shown["weight"] = issue.weight.into();
        shown["due_date"] = Value::Null;
        shown["assignees"] = issue.assignees.iter().map(|user| self.user(*user)).collect();
        shown["milestone"] = issue.milestone.as_ref().map(|one| milestone(one, None)).into();
        shown
    }

    pub fn merge_request(&self, project: &Project, one: &MergeRequest) -> Value {
        let mut shown = self.thread(project, &one.thread, '!');
        shown["draft"] = one.draft.into();
        shown["merged_at"] = one.merged.map(time).into();
        shown["merge_user"] = one.merged_by.map(|user| self.user(user)).into();
        shown["source_branch"] = one.branch.clone().into();
        shown["target_branch"] = "main".into();
        shown["sha"] = one.commits.last().map(|commit| commit.sha.clone()).into();
        shown["merge_commit_sha"] = one.merged.and(one.commits.first()).map(|commit| commit.sha.clone()).into();
        shown["squash_commit_sha"] = Value::Null;
        shown["reviewers"] = one.reviewers.iter().map(|(user, _)| self.user(*user)).collect();
        shown
    }

    pub fn reviewers(&self, one: &MergeRequest) -> Vec<Value> {
        let shown = |(user, state): &(usize, &str)| json!({ "user": self.user(*user), "state": state, "created_at": time(one.thread.created) });
        one.reviewers.iter().map(shown).collect()
    }

    pub fn approvals(&self, one: &MergeRequest) -> Value {
        let approved: Vec<Value> = one.approvals.iter().map(|user| json!({ "user": self.user(*user) })).collect();
        json!({ "approved": !approved.is_empty(), "approved_by": approved })
    }

    pub fn note_shown(&self, note: &Note) -> Value {
        json!({
            "id": note.id, "body": note.body, "author": self.user(note.author), "system": note.system,
            "created_at": time(note.created), "updated_at": time(note.updated),
            "type": note.path.as_ref().map(|_| "DiffNote"),
            "position": note.path.as_ref().map(|path| json!({ "new_path": path, "old_path": path }))
        })
    }
}

/// Newest first is how a list of them comes.
pub fn commit(commit: &Commit) -> Value {
    json!({
        "id": commit.sha, "short_id": commit.sha[..8], "title": commit.title, "message": format!("{}\n", commit.title),
        "author_name": commit.name, "author_email": commit.email, "authored_date": time(commit.at),
        "committer_name": commit.name, "committer_email": commit.email, "committed_date": time(commit.at),
        "web_url": format!("https://gitlab.invalid/-/commit/{}", commit.sha)
    })
}

pub fn milestone(one: &Milestone, project: Option<u64>) -> Value {
    json!({
        "id": one.id, "iid": one.id, "project_id": project, "title": one.title, "description": "What we want",
        "state": if one.closed { "closed" } else { "active" }, "start_date": day(one.updated - 86_400),
        "due_date": day(one.updated + 86_400), "updated_at": time(one.updated), "created_at": time(one.updated),
        "web_url": format!("https://gitlab.invalid/-/milestones/{}", one.id)
    })
}

pub fn project(one: &Project) -> Value {
    let mut shown = json!({
        "id": one.id, "name": one.name, "path_with_namespace": one.path, "description": null,
        "web_url": format!("https://gitlab.invalid/{}", one.path), "default_branch": "main",
        "visibility": if one.private { "private" } else { "public" }, "archived": one.archived,
        "created_at": time(one.created), "last_activity_at": time(one.activity), "empty_repo": false,
        "issues_access_level": if one.has_issues { "enabled" } else { "disabled" },
        "merge_requests_access_level": "enabled", "repository_access_level": "enabled",
        "namespace": { "kind": if one.owner.is_some() { "user" } else { "group" } }
    });
    if one.fork {
        shown["forked_from_project"] = json!({ "id": 1 });
    }
    shown
}

pub fn group() -> Value {
    json!({ "id": 1, "path": GROUP, "full_path": GROUP, "name": GROUP })
}

pub fn hook(one: &Hook) -> Value {
    json!({
        "id": one.id, "url": one.url, "merge_requests_events": true,
        "alert_status": if one.disabled { "disabled" } else { "executable" }
    })
}

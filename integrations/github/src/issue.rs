//! The model `work.Issue`, and how issues of a repository are sent with their comments.

use agent_sdk::{Model, Result, Session, Tracking};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::REF_TYPE;
use crate::comment::{IssueComment, Said};
use crate::notes;
use crate::queries::{ISSUE_NUMBERS, ISSUES, ISSUES_BARE, ISSUES_LOOK_UP_PAGE, ISSUES_PAGE};
use crate::repo::Found;
use crate::threads::{Kind, Nodes, Refused, Scope, items};
use crate::user::{self, Actor};

#[derive(Debug, Serialize)]
pub struct Issue {
    ref_id: String,
    ref_type: &'static str,
    repo_id: String,
    /// Whether it is there. One that has gone has nothing more than this and its ids.
    active: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    known: Option<Known>,
}

#[derive(Debug, Serialize)]
struct Known {
    number: u64,
    identifier: String,
    title: String,
    description: String,
    url: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: Option<&'static str>,
    locked: bool,
    labels: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by_ref_id: Option<String>,
    assignee_ref_ids: Vec<String>,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_at: Option<String>,
}

impl Issue {
    pub fn gone(repo_id: &str, ref_id: String) -> Issue {
        Issue { ref_id, ref_type: REF_TYPE, repo_id: repo_id.to_owned(), active: false, known: None }
    }
}

impl Model for Issue {
    const NAME: &'static str = "work.Issue";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "repo_id", "active"],
            "if": { "properties": { "active": { "const": true } } },
            "then": { "required": ["number", "title", "url", "status", "created_at", "updated_at"] },
            "properties": {
                "ref_id": { "type": "string", "description": "repo_id/number" },
                "ref_type": { "const": REF_TYPE },
                "repo_id": { "type": "string" },
                "active": { "type": "boolean", "description": "False once it was deleted or moved away" },
                "number": { "type": "integer" },
                "identifier": { "type": "string", "description": "owner/name#number" },
                "title": { "type": "string" },
                "description": { "type": "string", "description": "Markdown" },
                "url": { "type": "string" },
                "status": { "enum": ["OPEN", "CLOSED", "UNKNOWN"] },
                "resolution": { "enum": ["COMPLETED", "NOT_PLANNED", "REOPENED", "DUPLICATE", "UNKNOWN"] },
                "locked": { "type": "boolean" },
                "labels": { "type": "array", "items": { "type": "string" } },
                "created_by_ref_id": { "type": "string" },
                "assignee_ref_ids": { "type": "array", "items": { "type": "string" } },
                "created_at": { "type": "string", "format": "date-time" },
                "updated_at": { "type": "string", "format": "date-time" },
                "closed_at": { "type": "string", "format": "date-time" }
            }
        })
    }
}

/// An issue as the server says it, without its comments.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    number: u64,
    title: String,
    body: Option<String>,
    url: String,
    state: String,
    state_reason: Option<String>,
    #[serde(default)]
    locked: bool,
    created_at: String,
    updated_at: String,
    closed_at: Option<String>,
    author: Option<Actor>,
    labels: Option<Nodes<Label>>,
    assignees: Option<Nodes<Actor>>,
}

#[derive(Debug, Deserialize)]
pub struct Label {
    pub name: String,
}

/// Sends issues.
pub struct Issues {
    comments: Session<IssueComment>,
}

impl Issues {
    pub fn open(tracking: &Session<Tracking>, repo: &Found) -> Result<Issues> {
        Ok(Issues { comments: tracking.model::<IssueComment>(&repo.ref_id(), &repo.full_name)? })
    }

    pub fn done(self) -> Result<()> {
        self.comments.done(None).map(drop)
    }
}

/// An issue and its comments, as records.
pub fn records(scope: &mut Scope<'_>, mut node: Value) -> Result<(Issue, Vec<IssueComment>), Refused> {
    let said: Vec<Said> = items(&mut node, "comments", scope);
    let node: Node = notes::read(node).map_err(Refused::Node)?;
    let (repo_id, ref_id) = (scope.repo.ref_id(), scope.thread_id(node.number));
    let assignees = node.assignees.map(Nodes::into_items).unwrap_or_default();
    for actor in node.author.iter().chain(&assignees).chain(said.iter().filter_map(|said| said.author.as_ref())) {
        scope.people.meet(Some(actor))?;
    }
    let notes = &mut scope.notes;
    let known = Known {
        number: node.number,
        identifier: format!("{}#{}", scope.repo.full_name, node.number),
        title: notes.text(node.title),
        description: notes.text(node.body.unwrap_or_default()),
        url: node.url,
        status: notes.word("issue.state", &node.state, &["OPEN", "CLOSED"]),
        resolution: node.state_reason.map(|reason| {
            notes.word("issue.stateReason", &reason, &["COMPLETED", "NOT_PLANNED", "REOPENED", "DUPLICATE"])
        }),
        locked: node.locked,
        labels: node.labels.map(Nodes::into_items).unwrap_or_default().into_iter().map(|label| label.name).collect(),
        created_by_ref_id: user::ref_id(node.author.as_ref()),
        assignee_ref_ids: assignees.iter().map(Actor::ref_id).collect(),
        created_at: node.created_at,
        updated_at: node.updated_at,
        closed_at: node.closed_at,
    };
    let comments = said.into_iter().map(|said| IssueComment::new(&repo_id, &ref_id, said, notes)).collect();
    Ok((Issue { ref_id, ref_type: REF_TYPE, repo_id, active: true, known: Some(known) }, comments))
}

impl Kind for Issues {
    type Main = Issue;
    const NAME: &'static str = "Issue";
    const QUERIES: (&'static str, &'static str) = (ISSUES, ISSUES_BARE);
    const AT: &'static str = "/repository/issues";
    const PAGE: u32 = ISSUES_PAGE;
    const NUMBERS: &'static str = ISSUE_NUMBERS;
    const LOOK_UP_PAGE: usize = ISSUES_LOOK_UP_PAGE;

    fn take(&mut self, scope: &mut Scope<'_>, main: &mut Session<Issue>, node: Value) -> Result<(), Refused> {
        let (issue, comments) = records(scope, node)?;
        main.send(&issue)?;
        for comment in &comments {
            self.comments.send(comment)?;
        }
        Ok(())
    }

    fn gone(scope: &Scope<'_>, main: &mut Session<Issue>, number: u64) -> Result<()> {
        main.send(&Issue::gone(&scope.repo.ref_id(), scope.thread_id(number)))
    }

    fn checkpoint(&mut self, cursor: &str) -> Result<()> {
        self.comments.checkpoint(cursor)
    }
}

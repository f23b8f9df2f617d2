//! What the server says of an issue, the records of it and its comments, and how those of a repository are sent.

use agent_sdk::{Result, Session, Tracking};
use integration_model::notes;
use integration_model::people::Account;
use integration_model::work::{Issue, IssueComment, IssueFields};
use serde::Deserialize;
use serde_json::Value;

use crate::REF_TYPE;
use crate::comment::Said;
use crate::queries::{ISSUE_NUMBERS, ISSUES, ISSUES_BARE, ISSUES_LOOK_UP_PAGE, ISSUES_PAGE};
use crate::repo::Found;
use crate::threads::{Kind, Nodes, Refused, Scope, items};
use crate::user::{self, Actor};

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
    let fields = IssueFields {
        number: Some(node.number),
        identifier: format!("{}#{}", scope.repo.full_name, node.number),
        title: notes.text(node.title),
        description: notes.text(node.body.unwrap_or_default()),
        url: node.url,
        status: notes.word("issue.state", &node.state, &["OPEN", "CLOSED"]).into(),
        resolution: node.state_reason.map(|reason| {
            notes.word("issue.stateReason", &reason, &["COMPLETED", "NOT_PLANNED", "REOPENED", "DUPLICATE"]).into()
        }),
        locked: node.locked,
        labels: node.labels.map(Nodes::into_items).unwrap_or_default().into_iter().map(|label| label.name).collect(),
        created_by_ref_id: user::ref_id(node.author.as_ref()),
        assignee_ref_ids: assignees.iter().map(Actor::ref_id).collect(),
        created_at: node.created_at,
        updated_at: node.updated_at,
        closed_at: node.closed_at,
        ..IssueFields::default()
    };
    let comments = said.into_iter().map(|said| said.of_issue(&repo_id, &ref_id, notes)).collect();
    Ok((Issue::of_repo(REF_TYPE, &repo_id, ref_id, fields), comments))
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
        main.send(&Issue::gone_of_repo(REF_TYPE, &scope.repo.ref_id(), scope.thread_id(number)))
    }

    fn checkpoint(&mut self, cursor: &str) -> Result<()> {
        self.comments.checkpoint(cursor)
    }
}

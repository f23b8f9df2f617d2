//! What the server says of an issue, the records of it and its comments, and how those of a repository are sent.

use agent_sdk::sweep::Ids;
use agent_sdk::{Result, Session, Tracking};
use integration_model::deletions::Accepted;
use integration_model::notes::{self, Notes};
use integration_model::people::Account;
use integration_model::remembered::Remembered;
use integration_model::threads::{Looked, Page, Part, Refused, Source};
use integration_model::work::{Issue, IssueComment, IssueFields};
use integration_model::{Comment, Stop};
use serde::Deserialize;
use serde_json::Value;

use crate::REF_TYPE;
use crate::comment::Said;
use crate::queries::{ISSUE_NUMBERS, ISSUES, ISSUES_BARE, ISSUES_LOOK_UP_PAGE, ISSUES_PAGE};
use crate::threads::{self, List, Nodes, Scope, comments_there, items};
use crate::user::{self, Actor};
use crate::walk::Walk;

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

const LIST: List = List {
    name: Issues::NAME,
    queries: (ISSUES, ISSUES_BARE),
    at: "/repository/issues",
    page: ISSUES_PAGE,
    numbers: ISSUE_NUMBERS,
};

/// Sends issues.
pub struct Issues<'s, 'a> {
    scope: &'s mut Scope<'a>,
    comments: Session<IssueComment>,
    remembered: Remembered,
}

impl<'s, 'a> Issues<'s, 'a> {
    pub fn open(tracking: &Session<Tracking>, scope: &'s mut Scope<'a>) -> Result<Issues<'s, 'a>> {
        let comments: Session<IssueComment> = tracking.model(&scope.repo.ref_id(), &scope.repo.full_name)?;
        let remembered = Remembered::of_cursor(comments.last_processed().as_deref());
        Ok(Issues { scope, comments, remembered })
    }

    pub fn done(self) -> Result<()> {
        self.comments.done(None).map(drop)
    }
}

impl<'a> Source for Issues<'_, 'a> {
    type Main = Issue;
    type Walk = Walk<'a>;
    const NAME: &'static str = "Issue";
    const LOOK_UP_PAGE: usize = ISSUES_LOOK_UP_PAGE;
    const NEWEST_FIRST: bool = true;

    fn notes(&mut self) -> &mut Notes {
        &mut self.scope.notes
    }

    fn accepted(&self) -> (&Accepted, &str) {
        (self.scope.accepted, &self.scope.repo.full_name)
    }

    fn walk(&mut self, part: Part<'_>) -> Walk<'a> {
        LIST.walk(self.scope, part)
    }

    fn next(&mut self, walk: &mut Walk<'a>) -> Result<Option<Page>, Stop> {
        List::next(walk)
    }

    fn completed_at_once(&self) -> usize {
        LIST.page as usize
    }

    fn complete(&mut self, nodes: &mut [Value]) -> Result<(), Stop> {
        LIST.complete(self.scope, nodes)
    }

    fn take(&mut self, main: &mut Session<Issue>, node: Value) -> Result<(), Refused> {
        let (number, there) = (node["number"].as_u64(), comments_there(&node));
        let (issue, comments) = records(self.scope, node)?;
        main.send(&issue)?;
        comments.iter().try_for_each(|comment| self.comments.send(comment))?;
        let (Some(number), Some(there)) = (number, there) else { return Ok(()) };
        let api = self.scope.api;
        for id in self.remembered.compare(number, there, |missing| threads::gone(api, missing))? {
            let comment = Comment::gone(REF_TYPE, id);
            self.comments.send(&IssueComment::of_repo(comment, &self.scope.repo.ref_id(), &issue.ref_id))?;
        }
        Ok(())
    }

    fn numbers(&mut self) -> Result<Option<Ids>, Stop> {
        LIST.numbers(self.scope)
    }

    fn look_up(&mut self, numbers: &[u64]) -> Result<Vec<Looked>, Stop> {
        LIST.look_up(self.scope, numbers)
    }

    fn gone(&mut self, main: &mut Session<Issue>, number: u64) -> Result<()> {
        self.remembered.forget(number);
        main.send(&Issue::gone_of_repo(REF_TYPE, &self.scope.repo.ref_id(), self.scope.thread_id(number)))
    }

    fn checkpoint(&mut self, _: &str) -> Result<()> {
        self.scope.people.checkpoint()?;
        self.comments.checkpoint(&self.remembered.to_cursor())
    }
}

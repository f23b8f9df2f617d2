//! What the server says of an issue, the records of it and its comments, and how those of a project are sent.

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
use crate::children::{self, COMMENTS, COMPLETED_AT_ONCE};
use crate::note::Note;
use crate::threads::{LOOK_UP_PAGE, List, Reading, Scope, comments_there, gone_comments};
use crate::user::{self, Person};

pub const LIST: List = List { kind: "issues" };

/// The types that are known, in capitals.
const TYPES: [&str; 9] =
    ["ISSUE", "INCIDENT", "TEST_CASE", "TASK", "TICKET", "REQUIREMENT", "OBJECTIVE", "KEY_RESULT", "EPIC"];

/// An issue as the server says it.
#[derive(Debug, Deserialize)]
struct Node {
    iid: u64,
    title: String,
    description: Option<String>,
    web_url: String,
    state: String,
    issue_type: Option<String>,
    discussion_locked: Option<bool>,
    weight: Option<f64>,
    due_date: Option<String>,
    created_at: String,
    updated_at: String,
    closed_at: Option<String>,
    author: Option<Person>,
    closed_by: Option<Person>,
    assignees: Option<Vec<Person>>,
    milestone: Option<Milestone>,
    #[serde(default)]
    labels: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Milestone {
    id: u64,
}

/// An issue and its comments, as records.
pub struct Records {
    pub issue: Issue,
    pub comments: Vec<IssueComment>,
    /// What could not be had.
    pub missing: Option<String>,
}

/// An issue and its comments, as records.
pub fn records(scope: &mut Scope<'_>, mut node: Value) -> Result<Records, Refused> {
    let missing = children::missing(&node);
    let said: Vec<Note> = children::items(&mut node, COMMENTS, scope);
    let said: Vec<Note> = said.into_iter().filter(|note| !note.system).collect();
    let node: Node = notes::read(node).map_err(Refused::Node)?;
    let (project, ref_id) = (scope.project.ref_id(), scope.thread_id(node.iid));
    let assignees = node.assignees.unwrap_or_default();
    let authors = said.iter().filter_map(|note| note.author.as_ref());
    for person in authors.chain(&node.author).chain(&node.closed_by).chain(&assignees) {
        scope.people.meet(Some(person))?;
    }
    let notes = &mut scope.notes;
    let status = match node.state.as_str() {
        "opened" => "OPEN",
        "closed" => "CLOSED",
        other => notes.word("issue.state", other, &[]),
    };
    let url = &node.web_url;
    let comments = said.into_iter().map(|note| note.of_issue(&project, &ref_id, url, notes)).collect();
    let fields = IssueFields {
        number: Some(node.iid),
        identifier: format!("{}#{}", scope.project.path, node.iid),
        title: notes.text(node.title),
        description: notes.text(node.description.unwrap_or_default()),
        status: status.into(),
        r#type: node.issue_type.map(|kind| notes.word("issue.type", &kind.to_uppercase(), &TYPES).into()),
        locked: node.discussion_locked.unwrap_or(false),
        labels: node.labels,
        story_points: node.weight,
        sprint_ref_ids: node.milestone.iter().map(|milestone| milestone.id.to_string()).collect(),
        created_by_ref_id: user::ref_id(node.author.as_ref()),
        assignee_ref_ids: assignees.iter().map(Person::ref_id).collect(),
        created_at: node.created_at,
        updated_at: node.updated_at,
        due_on: node.due_date,
        closed_at: node.closed_at,
        url: node.web_url,
        ..IssueFields::default()
    };
    Ok(Records { issue: Issue::of_repo(REF_TYPE, &project, ref_id, fields), comments, missing })
}

/// Sends issues.
pub struct Issues<'s, 'a> {
    scope: &'s mut Scope<'a>,
    comments: Session<IssueComment>,
    remembered: Remembered,
}

impl<'s, 'a> Issues<'s, 'a> {
    pub fn open(tracking: &Session<Tracking>, scope: &'s mut Scope<'a>) -> Result<Issues<'s, 'a>> {
        let comments: Session<IssueComment> = tracking.model(&scope.project.ref_id(), &scope.project.path)?;
        let remembered = Remembered::of_cursor(comments.last_processed().as_deref());
        Ok(Issues { scope, comments, remembered })
    }

    pub fn done(self) -> Result<()> {
        self.comments.done(None).map(drop)
    }
}

impl Source for Issues<'_, '_> {
    type Main = Issue;
    type Walk = Reading;
    const NAME: &'static str = "Issue";
    const LOOK_UP_PAGE: usize = LOOK_UP_PAGE;
    const NEWEST_FIRST: bool = false;

    fn notes(&mut self) -> &mut Notes {
        &mut self.scope.notes
    }

    fn accepted(&self) -> (&Accepted, &str) {
        (self.scope.accepted, &self.scope.project.path)
    }

    fn walk(&mut self, part: Part<'_>) -> Reading {
        LIST.walk(self.scope, part)
    }

    fn next(&mut self, walk: &mut Reading) -> Result<Option<Page>, Stop> {
        List::next(walk)
    }

    fn completed_at_once(&self) -> usize {
        self.scope.api.graphql.at_once(LIST.kind).unwrap_or(COMPLETED_AT_ONCE)
    }

    fn complete(&mut self, nodes: &mut [Value]) -> Result<(), Stop> {
        LIST.complete(self.scope, nodes)
    }

    fn take(&mut self, main: &mut Session<Issue>, node: Value) -> Result<(), Refused> {
        let (number, there) = (node["iid"].as_u64(), comments_there(&node));
        let records = records(self.scope, node)?;
        main.send(&records.issue)?;
        records.comments.iter().try_for_each(|comment| self.comments.send(comment))?;
        if let (Some(number), Some(there)) = (number, there) {
            let (api, project, iid) = (self.scope.api, self.scope.project.ref_id(), number.to_string());
            let of = ["projects", &project, LIST.kind, &iid];
            for id in self.remembered.compare(number, there, |missing| gone_comments(api, &of, missing))? {
                let comment = Comment::gone(REF_TYPE, id);
                self.comments.send(&IssueComment::of_repo(comment, &project, &records.issue.ref_id))?;
            }
        }
        records.missing.map_or(Ok(()), |missing| Err(Refused::Node(missing)))
    }

    fn numbers(&mut self) -> Result<Option<Ids>, Stop> {
        LIST.numbers(self.scope)
    }

    fn look_up(&mut self, numbers: &[u64]) -> Result<Vec<Looked>, Stop> {
        LIST.look_up(self.scope, numbers)
    }

    fn gone(&mut self, main: &mut Session<Issue>, number: u64) -> Result<()> {
        self.remembered.forget(number);
        main.send(&Issue::gone_of_repo(REF_TYPE, &self.scope.project.ref_id(), self.scope.thread_id(number)))
    }

    fn checkpoint(&mut self, _: &str) -> Result<()> {
        self.scope.people.checkpoint()?;
        self.comments.checkpoint(&self.remembered.to_cursor())
    }
}

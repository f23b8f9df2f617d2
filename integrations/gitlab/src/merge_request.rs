//! What the server says of a merge request, the records of it and of what hangs on it – commits, reviews, requests for a review,
//! comments –, and how those of a project are sent. It is a pull request in all forms.

use agent_sdk::sweep::Ids;
use agent_sdk::{Result, Session, Tracking, git};
use integration_model::deletions::Accepted;
use integration_model::notes::{self, Notes};
use integration_model::remembered::Remembered;
use integration_model::sourcecode::{
    PullRequest, PullRequestComment, PullRequestCommit, PullRequestFields, Review, ReviewRequest,
};
use integration_model::threads::{Looked, Page, Part, Refused, Source};
use integration_model::{Stop, heads};
use serde::Deserialize;
use serde_json::Value;

use crate::REF_TYPE;
use crate::children::{self, APPROVALS, COMMENTS, COMMITS, COMPLETED_AT_ONCE, REVIEWERS};
use crate::note::{Note, seconds};
use crate::review::{self, Approval, Of, Reviewer};
use crate::threads::{LOOK_UP_PAGE, List, Reading, Scope, comments_there, gone_comments};
use crate::user::{self, Person};

pub const LIST: List = List { kind: "merge_requests" };

/// A merge request as the server says it.
#[derive(Debug, Deserialize)]
struct Node {
    iid: u64,
    title: String,
    description: Option<String>,
    web_url: String,
    state: String,
    draft: Option<bool>,
    /// What it is called in older versions.
    work_in_progress: Option<bool>,
    discussion_locked: Option<bool>,
    created_at: String,
    updated_at: String,
    closed_at: Option<String>,
    merged_at: Option<String>,
    source_branch: String,
    target_branch: String,
    /// The newest commit of its branch.
    sha: Option<String>,
    merge_commit_sha: Option<String>,
    squash_commit_sha: Option<String>,
    author: Option<Person>,
    merge_user: Option<Person>,
    /// What it is called in older versions.
    merged_by: Option<Person>,
    #[serde(default)]
    labels: Vec<String>,
    reviewers: Option<Vec<Person>>,
}

#[derive(Debug, Deserialize)]
struct Commit {
    id: String,
    message: Option<String>,
    title: Option<String>,
    web_url: Option<String>,
    author_name: Option<String>,
    author_email: Option<String>,
    authored_date: Option<String>,
    committer_name: Option<String>,
    committer_email: Option<String>,
    committed_date: Option<String>,
}

/// All records of a merge request.
pub struct Records {
    pub pull_request: PullRequest,
    pub commits: Vec<PullRequestCommit>,
    pub reviews: Vec<Review>,
    pub requests: Vec<ReviewRequest>,
    pub comments: Vec<PullRequestComment>,
    head: Option<git::PullRequest>,
    /// What could not be had.
    pub missing: Option<String>,
}

/// A merge request and what hangs on it, as records.
pub fn records(scope: &mut Scope<'_>, mut node: Value) -> Result<Records, Refused> {
    let missing = children::missing(&node);
    let said: Vec<Note> = children::items(&mut node, COMMENTS, scope);
    let said: Vec<Note> = said.into_iter().filter(|note| !note.system).collect();
    let mut committed: Vec<Commit> = children::items(&mut node, COMMITS, scope);
    // The server lists the newest first.
    committed.reverse();
    let mut reviewers: Vec<Reviewer> = children::items(&mut node, REVIEWERS, scope);
    let approvals: Vec<Approval> = children::items(&mut node, APPROVALS, scope);
    let node: Node = notes::read(node).map_err(Refused::Node)?;
    let (repo_id, ref_id) = (scope.project.ref_id(), scope.thread_id(node.iid));
    let merged_by = node.merge_user.or(node.merged_by);
    if reviewers.is_empty() {
        // Older versions say who is asked, and not what came of it.
        reviewers.extend(node.reviewers.unwrap_or_default().into_iter().map(Reviewer::asked));
    }

    let met = said.iter().filter_map(|note| note.author.as_ref()).chain(&node.author).chain(&merged_by);
    let reviewing = reviewers.iter().map(|reviewer| &reviewer.user).chain(approvals.iter().map(|one| &one.user));
    for person in met.chain(reviewing) {
        scope.people.meet(Some(person))?;
    }
    for commit in &committed {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        scope.people.address(&text(&commit.author_email), &text(&commit.author_name), None)?;
        scope.people.address(&text(&commit.committer_email), &text(&commit.committer_name), None)?;
    }

    let notes = &mut scope.notes;
    let of = Of { project: &repo_id, merge_request: &ref_id, url: &node.web_url };
    let (reviews, requests) = review::records(&of, &reviewers, &approvals, notes);
    let commits: Vec<PullRequestCommit> =
        committed.into_iter().map(|commit| commit.record(&repo_id, &ref_id, notes)).collect();
    let url = &node.web_url;
    let comments = said.into_iter().map(|note| note.of_merge_request(&repo_id, &ref_id, url, notes)).collect();
    let status = match node.state.as_str() {
        // Locked for a moment while it is being merged.
        "opened" | "locked" => "OPEN",
        "closed" => "CLOSED",
        "merged" => "MERGED",
        other => notes.word("merge_request.state", other, &[]),
    };
    let head = heads::head(&ref_id, &node.web_url, &node.source_branch, node.sha.as_deref());
    let fields = PullRequestFields {
        number: node.iid,
        identifier: format!("{}!{}", scope.project.path, node.iid),
        title: notes.text(node.title),
        description: notes.text(node.description.unwrap_or_default()),
        status,
        draft: node.draft.or(node.work_in_progress).unwrap_or(false),
        locked: node.discussion_locked.unwrap_or(false),
        labels: node.labels,
        commit_shas: commits.iter().map(|commit| commit.sha.clone()).collect(),
        merge_sha: node.merge_commit_sha.or(node.squash_commit_sha).filter(|_| status == "MERGED"),
        created_by_ref_id: user::ref_id(node.author.as_ref()),
        merged_by_ref_id: user::ref_id(merged_by.as_ref()),
        requested_reviewer_ref_ids: requests.iter().map(|one| one.requested_reviewer_ref_id.clone()).collect(),
        created_at: node.created_at,
        updated_at: node.updated_at,
        closed_at: node.closed_at,
        merged_at: node.merged_at,
        url: node.web_url,
        branch_name: node.source_branch,
        base_branch_name: node.target_branch,
        head_sha: node.sha,
    };
    let pull_request = PullRequest::new(REF_TYPE, &repo_id, ref_id, fields);
    Ok(Records { pull_request, commits, reviews, requests, comments, head, missing })
}

impl Commit {
    /// GitLab does not say whose account an author is, nor how many lines there are: the git side does.
    fn record(self, repo_id: &str, pull_request: &str, notes: &mut Notes) -> PullRequestCommit {
        PullRequestCommit {
            ref_id: format!("{pull_request}/{}", self.id),
            ref_type: REF_TYPE,
            repo_id: repo_id.to_owned(),
            pull_request_ref_id: pull_request.to_owned(),
            sha: self.id,
            message: notes.text(self.message.or(self.title).unwrap_or_default()),
            url: self.web_url.unwrap_or_default(),
            author_email: self.author_email.map(|email| email.trim().to_lowercase()).filter(|email| !email.is_empty()),
            authored_at: self.authored_date.map(seconds),
            created_at: self.committed_date.map(seconds),
            ..PullRequestCommit::default()
        }
    }
}

/// Sends merge requests.
pub struct MergeRequests<'s, 'a> {
    scope: &'s mut Scope<'a>,
    commits: Session<PullRequestCommit>,
    reviews: Session<Review>,
    requests: Session<ReviewRequest>,
    comments: Session<PullRequestComment>,
    remembered: Remembered,
    /// Of those that were sent in this run.
    pub heads: Vec<git::PullRequest>,
}

impl<'s, 'a> MergeRequests<'s, 'a> {
    pub fn open(tracking: &Session<Tracking>, scope: &'s mut Scope<'a>) -> Result<MergeRequests<'s, 'a>> {
        let (id, name) = (&scope.project.ref_id(), &scope.project.path);
        let comments: Session<PullRequestComment> = tracking.model(id, name)?;
        Ok(MergeRequests {
            remembered: Remembered::of_cursor(comments.last_processed().as_deref()),
            comments,
            commits: tracking.model(id, name)?,
            reviews: tracking.model(id, name)?,
            requests: tracking.model(id, name)?,
            heads: Vec::new(),
            scope,
        })
    }

    pub fn done(self) -> Result<()> {
        self.commits.done(None)?;
        self.reviews.done(None)?;
        self.requests.done(None)?;
        self.comments.done(None)?;
        Ok(())
    }
}

impl Source for MergeRequests<'_, '_> {
    type Main = PullRequest;
    type Walk = Reading;
    const NAME: &'static str = "MergeRequest";
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

    fn take(&mut self, main: &mut Session<PullRequest>, node: Value) -> Result<(), Refused> {
        let (number, there) = (node["iid"].as_u64(), comments_there(&node));
        let records = records(self.scope, node)?;
        main.send(&records.pull_request)?;
        records.commits.iter().try_for_each(|commit| self.commits.send(commit))?;
        records.reviews.iter().try_for_each(|review| self.reviews.send(review))?;
        records.requests.iter().try_for_each(|request| self.requests.send(request))?;
        records.comments.iter().try_for_each(|comment| self.comments.send(comment))?;
        self.heads.extend(records.head);
        if let (Some(number), Some(there)) = (number, there) {
            let (api, project, iid) = (self.scope.api, self.scope.project.ref_id(), number.to_string());
            let of = ["projects", &project, LIST.kind, &iid];
            for id in self.remembered.compare(number, there, |missing| gone_comments(api, &of, missing))? {
                let of = &records.pull_request.ref_id;
                self.comments.send(&PullRequestComment::gone(REF_TYPE, &project, of, id))?;
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

    fn gone(&mut self, main: &mut Session<PullRequest>, number: u64) -> Result<()> {
        self.remembered.forget(number);
        main.send(&PullRequest::gone(REF_TYPE, &self.scope.project.ref_id(), self.scope.thread_id(number)))
    }

    fn checkpoint(&mut self, cursor: &str) -> Result<()> {
        self.scope.people.checkpoint()?;
        self.commits.checkpoint(cursor)?;
        self.reviews.checkpoint(cursor)?;
        self.requests.checkpoint(cursor)?;
        self.comments.checkpoint(&self.remembered.to_cursor())
    }
}

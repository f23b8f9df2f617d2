//! What the server says of a pull request, the records of it and of what hangs on it – commits, reviews, requests for a review,
//! comments of the conversation –, and how those of a repository are sent.

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

use crate::comment::Said;
use crate::issue::Label;
use crate::queries::{
    PULL_REQUEST_NUMBERS, PULL_REQUESTS, PULL_REQUESTS_BARE, PULL_REQUESTS_LOOK_UP_PAGE, PULL_REQUESTS_PAGE,
};
use crate::review::{Requested, Reviewed};
use crate::threads::{self, List, Nodes, Scope, comments_there, items};
use crate::user::{self, Actor};
use crate::walk::Walk;
use crate::{REF_TYPE, on_code};

/// A pull request as the server says it, without what hangs on it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    number: u64,
    title: String,
    body: Option<String>,
    url: String,
    state: String,
    #[serde(default)]
    is_draft: bool,
    #[serde(default)]
    locked: bool,
    created_at: String,
    updated_at: String,
    closed_at: Option<String>,
    merged_at: Option<String>,
    head_ref_name: String,
    head_ref_oid: Option<String>,
    base_ref_name: String,
    merge_commit: Option<Oid>,
    author: Option<Actor>,
    merged_by: Option<Actor>,
    labels: Option<Nodes<Label>>,
}

#[derive(Debug, Deserialize)]
struct Oid {
    oid: String,
}

#[derive(Debug, Deserialize)]
struct CommitNode {
    commit: CommitSaid,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommitSaid {
    oid: String,
    message: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    additions: u64,
    #[serde(default)]
    deletions: u64,
    authored_date: Option<String>,
    committed_date: Option<String>,
    author: Option<Signature>,
    committer: Option<Signature>,
}

#[derive(Debug, Deserialize)]
struct Signature {
    name: Option<String>,
    email: Option<String>,
    user: Option<Actor>,
}

impl Signature {
    fn email(&self) -> Option<String> {
        self.email.as_deref().map(|email| email.trim().to_lowercase()).filter(|email| !email.is_empty())
    }
}

/// A pull request and what hangs on it, as records.
pub struct Records {
    pub pull_request: PullRequest,
    pub commits: Vec<PullRequestCommit>,
    pub reviews: Vec<Review>,
    pub requests: Vec<ReviewRequest>,
    pub comments: Vec<PullRequestComment>,
    /// For the repository's own export.
    pub head: Option<git::PullRequest>,
}

/// Makes the records of a node, and notes whom it names.
pub fn records(scope: &mut Scope<'_>, mut node: Value) -> Result<Records, Refused> {
    let said: Vec<Said> = items(&mut node, "comments", scope);
    let reviewed: Vec<Reviewed> = items(&mut node, "reviews", scope);
    let requested: Vec<Requested> = items(&mut node, "reviewRequests", scope);
    let committed: Vec<CommitNode> = items(&mut node, "commits", scope);
    let node: Node = notes::read(node).map_err(Refused::Node)?;
    let (repo_id, ref_id) = (scope.repo.ref_id(), scope.thread_id(node.number));

    let authors = said.iter().map(|said| &said.author).chain(reviewed.iter().map(|review| &review.author));
    for actor in authors.chain([&node.author, &node.merged_by]) {
        scope.people.meet(actor.as_ref())?;
    }
    for request in &requested {
        scope.people.meet(request.actor().as_ref())?;
    }
    for signature in committed.iter().flat_map(|node| node.commit.author.iter().chain(&node.commit.committer)) {
        scope.people.meet(signature.user.as_ref())?;
        let (email, name) = (signature.email.as_deref(), signature.name.as_deref());
        scope.people.address(
            email.unwrap_or_default(),
            name.unwrap_or_default(),
            user::ref_id(signature.user.as_ref()),
        )?;
    }

    let notes = &mut scope.notes;
    let commit_shas = committed.iter().map(|node| node.commit.oid.clone()).collect();
    let requests: Vec<ReviewRequest> =
        requested.into_iter().filter_map(|request| request.record(&repo_id, &ref_id)).collect();
    let commits = committed
        .into_iter()
        .map(|CommitNode { commit }| PullRequestCommit {
            ref_id: format!("{ref_id}/{}", commit.oid),
            ref_type: REF_TYPE,
            repo_id: repo_id.clone(),
            pull_request_ref_id: ref_id.clone(),
            sha: commit.oid,
            message: notes.text(commit.message),
            url: commit.url,
            additions: Some(commit.additions),
            deletions: Some(commit.deletions),
            author_email: commit.author.as_ref().and_then(Signature::email),
            author_ref_id: commit.author.and_then(|author| user::ref_id(author.user.as_ref())),
            committer_ref_id: commit.committer.and_then(|committer| user::ref_id(committer.user.as_ref())),
            authored_at: commit.authored_date,
            created_at: commit.committed_date,
        })
        .collect();
    let head = heads::head(&ref_id, &node.url, &node.head_ref_name, node.head_ref_oid.as_deref());
    let fields = PullRequestFields {
        number: node.number,
        identifier: format!("{}#{}", scope.repo.full_name, node.number),
        title: notes.text(node.title),
        description: notes.text(node.body.unwrap_or_default()),
        url: node.url,
        status: notes.word("pull_request.state", &node.state, &["OPEN", "CLOSED", "MERGED"]),
        draft: node.is_draft,
        locked: node.locked,
        labels: node.labels.map(Nodes::into_items).unwrap_or_default().into_iter().map(|label| label.name).collect(),
        branch_name: node.head_ref_name,
        base_branch_name: node.base_ref_name,
        head_sha: node.head_ref_oid,
        commit_shas,
        merge_sha: node.merge_commit.map(|commit| commit.oid),
        created_by_ref_id: user::ref_id(node.author.as_ref()),
        merged_by_ref_id: user::ref_id(node.merged_by.as_ref()),
        requested_reviewer_ref_ids: requests.iter().map(|request| request.requested_reviewer_ref_id.clone()).collect(),
        created_at: node.created_at,
        updated_at: node.updated_at,
        closed_at: node.closed_at,
        merged_at: node.merged_at,
    };
    let pull_request = PullRequest::new(REF_TYPE, &repo_id, ref_id.clone(), fields);
    let reviews = reviewed.into_iter().map(|review| review.record(&repo_id, &ref_id, notes)).collect();
    let comments = said.into_iter().map(|said| said.of_pull_request(&repo_id, &ref_id, notes)).collect();
    Ok(Records { pull_request, commits, reviews, requests, comments, head })
}

const LIST: List = List {
    name: PullRequests::NAME,
    queries: (PULL_REQUESTS, PULL_REQUESTS_BARE),
    at: "/repository/pullRequests",
    page: PULL_REQUESTS_PAGE,
    numbers: PULL_REQUEST_NUMBERS,
};

/// Sends pull requests.
pub struct PullRequests<'s, 'a> {
    pub scope: &'s mut Scope<'a>,
    commits: Session<PullRequestCommit>,
    reviews: Session<Review>,
    requests: Session<ReviewRequest>,
    pub comments: Session<PullRequestComment>,
    /// Its cursor is that of the comments on code, and stays what it is while those of conversations are sent, but for what is
    /// remembered of these.
    comments_cursor: on_code::Cursor,
    pub remembered: Remembered,
    /// Of those that were sent in this run.
    pub heads: Vec<git::PullRequest>,
}

impl<'s, 'a> PullRequests<'s, 'a> {
    pub fn open(tracking: &Session<Tracking>, scope: &'s mut Scope<'a>) -> Result<PullRequests<'s, 'a>> {
        let (id, name) = (&scope.repo.ref_id(), &scope.repo.full_name);
        let comments: Session<PullRequestComment> = tracking.model(id, name)?;
        let cursor = comments.last_processed();
        Ok(PullRequests {
            comments_cursor: on_code::Cursor::read(cursor.as_deref()),
            remembered: Remembered::of_cursor(cursor.as_deref()),
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

impl<'a> Source for PullRequests<'_, 'a> {
    type Main = PullRequest;
    type Walk = Walk<'a>;
    const NAME: &'static str = "PullRequest";
    const LOOK_UP_PAGE: usize = PULL_REQUESTS_LOOK_UP_PAGE;
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

    fn take(&mut self, main: &mut Session<PullRequest>, node: Value) -> Result<(), Refused> {
        let (number, there) = (node["number"].as_u64(), comments_there(&node));
        let records = records(self.scope, node)?;
        main.send(&records.pull_request)?;
        records.commits.iter().try_for_each(|commit| self.commits.send(commit))?;
        records.reviews.iter().try_for_each(|review| self.reviews.send(review))?;
        records.requests.iter().try_for_each(|request| self.requests.send(request))?;
        records.comments.iter().try_for_each(|comment| self.comments.send(comment))?;
        self.heads.extend(records.head);
        let (Some(number), Some(there)) = (number, there) else { return Ok(()) };
        let (api, pull_request) = (self.scope.api, &records.pull_request);
        for id in self.remembered.compare(number, there, |missing| threads::gone(api, missing))? {
            let (repo, ref_id) = (&pull_request.repo_id, &pull_request.ref_id);
            self.comments.send(&PullRequestComment::gone(REF_TYPE, repo, ref_id, id))?;
        }
        Ok(())
    }

    fn numbers(&mut self) -> Result<Option<Ids>, Stop> {
        LIST.numbers(self.scope)
    }

    fn look_up(&mut self, numbers: &[u64]) -> Result<Vec<Looked>, Stop> {
        LIST.look_up(self.scope, numbers)
    }

    /// Nobody can delete a pull request; those of an account that is hidden are out of sight, and may come back: they are counted
    /// again then, and found.
    fn gone(&mut self, main: &mut Session<PullRequest>, number: u64) -> Result<()> {
        self.remembered.forget(number);
        main.send(&PullRequest::gone(REF_TYPE, &self.scope.repo.ref_id(), self.scope.thread_id(number)))
    }

    fn checkpoint(&mut self, cursor: &str) -> Result<()> {
        self.scope.people.checkpoint()?;
        self.commits.checkpoint(cursor)?;
        self.reviews.checkpoint(cursor)?;
        self.requests.checkpoint(cursor)?;
        self.comments.checkpoint(&self.comments_cursor.text(&self.remembered))
    }
}

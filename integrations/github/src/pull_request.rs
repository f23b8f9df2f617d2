//! What the server says of a pull request, the records of it and of what hangs on it – commits, reviews, requests for a review,
//! comments of the conversation –, and how those of a repository are sent.

use agent_sdk::{Result, Session, Tracking, git, log};
use integration_model::sourcecode::{PullRequest, PullRequestComment, PullRequestCommit, Review, ReviewRequest};
use integration_model::{heads, notes};
use serde::Deserialize;
use serde_json::Value;

use crate::REF_TYPE;
use crate::comment::Said;
use crate::issue::Label;
use crate::queries::{
    PULL_REQUEST_NUMBERS, PULL_REQUESTS, PULL_REQUESTS_BARE, PULL_REQUESTS_LOOK_UP_PAGE, PULL_REQUESTS_PAGE,
};
use crate::repo::Found;
use crate::review::{Requested, Reviewed};
use crate::threads::{Kind, Nodes, Refused, Scope, items};
use crate::user::{self, Actor};

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
    let pull_request = PullRequest {
        ref_type: REF_TYPE,
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
        repo_id: repo_id.clone(),
        ref_id: ref_id.clone(),
    };
    let reviews = reviewed.into_iter().map(|review| review.record(&repo_id, &ref_id, notes)).collect();
    let comments = said.into_iter().map(|said| said.of_pull_request(&repo_id, &ref_id, notes)).collect();
    Ok(Records { pull_request, commits, reviews, requests, comments, head })
}

/// Sends pull requests.
pub struct PullRequests {
    commits: Session<PullRequestCommit>,
    reviews: Session<Review>,
    requests: Session<ReviewRequest>,
    pub comments: Session<PullRequestComment>,
    /// Its cursor is that of the comments on code, and stays what it is while those of conversations are sent.
    comments_cursor: String,
    /// Of those that were sent in this run.
    pub heads: Vec<git::PullRequest>,
}

impl PullRequests {
    pub fn open(tracking: &Session<Tracking>, repo: &Found) -> Result<PullRequests> {
        let (id, name) = (&repo.ref_id(), &repo.full_name);
        let comments: Session<PullRequestComment> = tracking.model(id, name)?;
        Ok(PullRequests {
            comments_cursor: comments.last_processed().unwrap_or_else(|| "{}".to_owned()),
            comments,
            commits: tracking.model(id, name)?,
            reviews: tracking.model(id, name)?,
            requests: tracking.model(id, name)?,
            heads: Vec::new(),
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

impl Kind for PullRequests {
    type Main = PullRequest;
    const NAME: &'static str = "PullRequest";
    const QUERIES: (&'static str, &'static str) = (PULL_REQUESTS, PULL_REQUESTS_BARE);
    const AT: &'static str = "/repository/pullRequests";
    const PAGE: u32 = PULL_REQUESTS_PAGE;
    const NUMBERS: &'static str = PULL_REQUEST_NUMBERS;
    const LOOK_UP_PAGE: usize = PULL_REQUESTS_LOOK_UP_PAGE;

    fn take(&mut self, scope: &mut Scope<'_>, main: &mut Session<PullRequest>, node: Value) -> Result<(), Refused> {
        let records = records(scope, node)?;
        main.send(&records.pull_request)?;
        records.commits.iter().try_for_each(|commit| self.commits.send(commit))?;
        records.reviews.iter().try_for_each(|review| self.reviews.send(review))?;
        records.requests.iter().try_for_each(|request| self.requests.send(request))?;
        records.comments.iter().try_for_each(|comment| self.comments.send(comment))?;
        self.heads.extend(records.head);
        Ok(())
    }

    /// Nobody can delete a pull request; those of an account that is hidden are out of sight, and may come back.
    fn gone(scope: &Scope<'_>, _: &mut Session<PullRequest>, number: u64) -> Result<()> {
        log::warn("a pull request is not to be seen any more", &[("pull request", &scope.thread_id(number))]);
        Ok(())
    }

    fn checkpoint(&mut self, cursor: &str) -> Result<()> {
        self.commits.checkpoint(cursor)?;
        self.reviews.checkpoint(cursor)?;
        self.requests.checkpoint(cursor)?;
        self.comments.checkpoint(&self.comments_cursor)
    }
}

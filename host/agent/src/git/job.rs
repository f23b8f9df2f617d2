//! The road of one queued repository: place, clone, sessions, records, cursor, end of the job. What the cursor says, and why
//! nothing is lost or doubled whatever breaks off when, stands above `cursor`.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use ripsrc::{CheckpointUse, Heads, NextCheckpoint, Oid, Record, RunError, Scope, Summary, TreeError};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::clone::{self, CloneError, Mirror};
use super::cursor::{Cursor, Newest, Parts};
use super::feed::{BATCH_BYTES, Feed, Sessions};
use super::memory::Place;
use super::records::{self, Ids, Owner, PullRequest};
use super::transport::Door;
use super::url::{self, Source};
use super::{GitContext, RepoOutcome};
use crate::egress::{Caller, Class};
use crate::error_chain;
use crate::export::{ExportRun, GitJob, SessionError, SessionId, SessionKind};

/// Files without owners that the log names; the rest is counted.
const UNREADABLE_TOLD_MAX: usize = 3;

/// The document of `git.export-repo`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(super) struct Document {
    ref_id: String,
    name: String,
    url: String,
    #[serde(default)]
    ref_type: Option<String>,
    #[serde(default)]
    credential: Option<String>,
    #[serde(default)]
    commit_url_template: Option<String>,
    #[serde(default)]
    branch_url_template: Option<String>,
    #[serde(default)]
    pull_requests: Vec<PullRequest>,
    /// Whether files' lines are told, and with `count` what they are.
    #[serde(default = "yes")]
    blame: bool,
    #[serde(default = "yes")]
    count: bool,
    #[serde(default)]
    ids: Ids,
}

fn yes() -> bool {
    true
}

/// Why a job did not end.
pub(super) enum Failure {
    /// The run has been asked to end.
    Stopped,
    /// For a person.
    Failed(String),
    /// The repository's own data is at fault.
    Damaged(String),
    /// The checkpoint cannot be read, and nothing has been given out: it goes without.
    Checkpoint(String),
}

impl From<CloneError> for Failure {
    fn from(error: CloneError) -> Self {
        match error {
            CloneError::Stopped => Failure::Stopped,
            CloneError::Failed(text) => Failure::Failed(text),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Stopped => Failure::Stopped,
            RunError::Tree(TreeError::TooManyPaths(_))
            | RunError::TooManyCommits { .. }
            | RunError::TooMuchInCommit(_) => {
                Failure::Failed(format!("{}; raise `limits.git_memory` in agent.yaml", error_chain(&error)))
            }
            RunError::Checkpoint(_) => Failure::Checkpoint(error_chain(&error)),
            RunError::NoHead | RunError::Taken(_) | RunError::Tree(TreeError::TooDeep) => {
                Failure::Failed(error_chain(&error))
            }
            RunError::Walk(_) | RunError::Tree(_) | RunError::Object(_) => Failure::Damaged(error_chain(&error)),
        }
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        Failure::Failed(error.to_string())
    }
}

pub(super) fn work_off(ctx: &GitContext, run: &Arc<ExportRun>, job: &GitJob, tokio: &Handle) -> RepoOutcome {
    let (ref_id, name) = job.named();
    let mut outcome = RepoOutcome { ref_id, name, records: 0, error: None };
    let result = serde_json::from_str::<Document>(&job.repo)
        .map_err(|fault| Failure::Failed(format!("the repository's document cannot be read: {fault}")))
        .and_then(|document| Work { ctx, run, job, tokio, document: &document, sent: &mut outcome.records }.all());
    match result {
        Ok(()) => {}
        Err(Failure::Stopped) => outcome.error = Some("stopped; resumes in the next run".to_owned()),
        Err(Failure::Failed(why) | Failure::Damaged(why) | Failure::Checkpoint(why)) => {
            tracing::error!(integration = %ctx.integration, repository = %outcome.name, error = %why, "the repository is not exported");
            if let Err(fault) = tokio.block_on(run.job_failed(job, &why)) {
                tracing::error!(integration = %ctx.integration, repository = %outcome.name, error = %fault, "the failed try cannot be counted");
            }
            outcome.error = Some(why);
        }
    }
    outcome
}

pub(super) struct Work<'a> {
    pub ctx: &'a GitContext,
    run: &'a Arc<ExportRun>,
    job: &'a GitJob,
    tokio: &'a Handle,
    document: &'a Document,
    sent: &'a mut u64,
}

impl<'a> Work<'a> {
    /// Opens the tracking session and sees to it that nothing stays open after a failure.
    fn all(mut self) -> Result<(), Failure> {
        let source = url::judge(&self.document.url, &self.ctx.grants.git_paths).map_err(Failure::Failed)?;
        let tracking = self.run.open_job(self.job, &self.document.ref_id, &self.document.name)?;
        let result = self.fetch_and_export(tracking, source);
        if result.is_err() {
            self.run.rollback(tracking);
        }
        result
    }

    fn fetch_and_export(&mut self, tracking: SessionId, source: Source) -> Result<(), Failure> {
        match source {
            Source::Path(path) => {
                let repository = clone::in_place(&path, &self.ctx.grants.git_paths).map_err(Failure::Failed)?;
                self.export(tracking, &repository, false)
            }
            Source::Remote(url) => {
                let policy = self.ctx.policy.for_repository(&url).map_err(|fault| {
                    self.ctx.egress.repository_refused(&self.ctx.policy, &url, &fault);
                    Failure::Failed(fault.to_string())
                })?;
                let class = if self.run.is_first() { Class::Backfill } else { Class::Incremental };
                let caller = Caller { integration: self.ctx.integration.as_str().into(), class };
                let (egress, credential) = (self.ctx.egress.clone(), self.document.credential.clone());
                let door = Door::new(egress, policy, self.tokio.clone(), url, credential, caller);
                let requests = &self.document.pull_requests;
                let heads =
                    requests.iter().filter_map(|request| git2::Oid::from_str(&request.last_commit_sha).ok()).collect();
                let watch = ripsrc::Watch::stopped_by(self.run.stop_flag());
                let mirror = clone::mirror(&self.ctx.cache, &door, &heads, &self.ctx.memory, &watch)?;
                // A clone that lacks something is made anew, once; if that does not help, the server lacks it too.
                let complete = self.job.attempts == 0;
                let result = mirror
                    .open()
                    .map_err(Failure::Damaged)
                    .and_then(|repository| self.export(tracking, &repository, complete));
                self.after_damage(result, mirror)
            }
        }
    }

    /// A clone whose history cannot be read is thrown away.
    fn after_damage(&self, result: Result<(), Failure>, mirror: Mirror) -> Result<(), Failure> {
        let Err(Failure::Damaged(why)) = result else { return result };
        let path = mirror.path.clone();
        Err(Failure::Failed(match mirror.discard() {
            Ok(()) => format!("{why}; the cached clone was thrown away, and the next run makes it anew"),
            Err(fault) => format!("{why}; the cached clone cannot be thrown away: {}: {fault}", path.display()),
        }))
    }

    /// `complete` is whether a content that cannot be read is damage, to be mended, and not to be lived with.
    fn export(&mut self, tracking: SessionId, repository: &ripsrc::Repository, complete: bool) -> Result<(), Failure> {
        let stop = || self.run.should_stop();
        let place = self.ctx.memory.place(&stop).ok_or(Failure::Stopped)?;
        let heads = repository.heads()?;
        self.mention_limits(&heads);
        let commits = self.open(tracking, records::COMMIT)?;
        let last = Cursor::read(self.run.last_processed(commits), &self.made_of(&heads));
        let requests = self.pull_request_heads(repository);
        let state = self.state_of(&heads, &requests);
        if last.state.as_deref() == Some(state.as_str()) {
            self.done(commits, None)?;
            return self.done(tracking, None);
        }
        let branches = heads.branches.iter().map(|(_, oid)| *oid);
        let tips: BTreeSet<Oid> = branches.chain(heads.head).chain(requests.values().copied()).collect();
        let mut options = ripsrc::Options {
            scope: Scope::Commits(tips.iter().copied().collect()),
            known: last.heads(),
            checkpoint: self.usable_checkpoint(&last),
            complete,
            ..self.options(&place)
        };
        let (mut newest, next) = self.export_history(tracking, commits, repository, &mut options, &heads, &last)?;
        self.export_branches(tracking, repository, &options, heads.head.is_some())?;
        newest.settle(&tips);
        self.done(commits, Some(&last.text(&newest, Some(state), next.as_ref().map(NextCheckpoint::sum))))?;
        // Only now, when its records are durable; see `cursor`.
        if let Some(fault) = next.and_then(|next| next.save().err()) {
            self.warn_of_checkpoint(&error_chain(&fault));
        }
        self.done(tracking, None)
    }

    /// What does not depend on what the repository holds.
    fn options(&self, place: &Place) -> ripsrc::Options {
        ripsrc::Options {
            blame: self.document.blame,
            count: self.document.count.then(ripsrc::count::Options::default),
            memory_max: place.bytes(),
            threads: place.threads(),
            watch: ripsrc::Watch::stopped_by(self.run.stop_flag()),
            ..ripsrc::Options::default()
        }
    }

    /// The folder of this repository's checkpoint, in which there is none but the one that the cursor names.
    fn usable_checkpoint(&self, last: &Cursor) -> Option<PathBuf> {
        let parts = [&self.ctx.sink, &self.ctx.integration, &self.job.session_path, &self.document.ref_id];
        let name = parts.into_iter().fold(&mut Parts::default(), |hash, part| hash.add(part)).hash();
        let folder = self.ctx.checkpoints.join(name);
        let found = ripsrc::checkpoint_sum(&folder);
        if found == last.checkpoint {
            return Some(folder);
        }
        if last.checkpoint.is_some() {
            self.warn_of_checkpoint("it is not the one that goes with what has been exported");
        }
        match ripsrc::checkpoint_discard(&folder) {
            Ok(()) => Some(folder),
            Err(fault) => {
                self.warn_of_checkpoint(&error_chain(&fault));
                None
            }
        }
    }

    fn warn_of_checkpoint(&self, why: &str) {
        tracing::warn!(integration = %self.ctx.integration, repository = %self.document.name, %why,
            "the checkpoint of the repository is of no use; its history is computed anew, and nothing is sent twice");
    }

    fn mention_limits(&self, heads: &Heads) {
        let (integration, name) = (&self.ctx.integration, &self.document.name);
        if !heads.shallow.is_empty() {
            tracing::warn!(%integration, repository = %name, commits = heads.shallow.len(),
                "the repository is a shallow clone: older history is missing, and the changed files of its oldest commits are not known");
        }
        if heads.branches.is_empty() && heads.head.is_none() {
            tracing::info!(%integration, repository = %name, "the repository is empty");
        }
    }

    /// What a run over the history could not do.
    fn mention_faults(&self, summary: &Summary) {
        let (integration, name) = (&self.ctx.integration, &self.document.name);
        if let CheckpointUse::Unusable(why) = &summary.checkpoint {
            self.warn_of_checkpoint(why);
        }
        if summary.recomputed > 0 {
            tracing::info!(%integration, repository = %name, commits = summary.recomputed,
                "commits that had been exported were computed again, because new ones build on them");
        }
        if !summary.abandoned.is_empty() {
            tracing::info!(%integration, repository = %name, heads = summary.abandoned.len(),
                "branches were deleted or their history was rewritten; what was exported of them stays");
        }
        let unreadable: Vec<String> =
            summary.unreadable.iter().take(UNREADABLE_TOLD_MAX).map(ToString::to_string).collect();
        if !unreadable.is_empty() {
            tracing::warn!(%integration, repository = %name, contents = summary.unreadable.len(), partial_clone = summary.partial_clone,
                "files that cannot be read are exported without owners: {}", unreadable.join("; "));
        }
        if summary.renames_limited > 0 {
            tracing::warn!(%integration, repository = %name, commits = summary.renames_limited,
                "commits moved more or larger files than fit into `limits.git_memory`: those that were edited as well are told as new");
        }
        for fault in &summary.store_faults {
            tracing::warn!(%integration, repository = %name, "a part of the repository is passed over: {fault}");
        }
    }

    fn open(&self, tracking: SessionId, model: &str) -> Result<SessionId, Failure> {
        Ok(self.run.open_child(tracking, SessionKind::Model, model, &self.document.ref_id, &self.document.name)?)
    }

    pub(super) fn done(&self, session: SessionId, cursor: Option<&str>) -> Result<(), Failure> {
        self.tokio.block_on(self.run.done(session, cursor))?;
        Ok(())
    }

    pub(super) fn checkpoint(&self, session: SessionId, cursor: &str) -> Result<(), Failure> {
        self.tokio.block_on(self.run.checkpoint(session, cursor))?;
        Ok(())
    }

    pub(super) fn look(&self, sessions: &[SessionId], current: u64, total: Option<u64>) -> Result<(), Failure> {
        for session in sessions {
            self.run.progress(*session, current, total);
        }
        if self.run.should_stop() { Err(Failure::Stopped) } else { Ok(()) }
    }

    pub(super) fn send(&mut self, session: SessionId, lines: &mut Vec<u8>) -> Result<(), Failure> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.run.should_stop() {
            return Err(Failure::Stopped);
        }
        let ack = self.tokio.block_on(self.run.send(session, lines))?;
        *self.sent += u64::from(ack.accepted);
        lines.clear();
        Ok(())
    }

    pub(super) fn owner(&self) -> Owner<'a> {
        let (ctx, document) = (self.ctx, self.document);
        Owner {
            customer_id: &ctx.customer_id,
            integration: &ctx.integration,
            repo_ref_id: &document.ref_id,
            ref_type: document.ref_type.as_deref(),
            ids: document.ids,
            commit_url: document.commit_url_template.as_deref(),
            branch_url: document.branch_url_template.as_deref(),
        }
    }

    /// The heads of pull requests that are here, by their ids in hexadecimal.
    fn pull_request_heads(&self, repository: &ripsrc::Repository) -> HashMap<String, Oid> {
        let mut found = HashMap::new();
        for request in &self.document.pull_requests {
            match Oid::from_hex(request.last_commit_sha.as_bytes()) {
                Some(oid) if repository.has_commit(&oid) => {
                    found.insert(request.last_commit_sha.clone(), oid);
                }
                _ => {
                    tracing::info!(integration = %self.ctx.integration, repository = %self.document.name, pull_request = %request.ref_id,
                    "the pull request's last commit is not to be had")
                }
            }
        }
        found
    }

    /// What the records of commits and files are made of besides the repository's commits.
    fn made_of(&self, heads: &Heads) -> String {
        let (document, mut hash) = (self.document, Parts::default());
        hash.add(&self.ctx.customer_id);
        hash.add(document.commit_url_template.as_deref().unwrap_or_default());
        hash.add([u8::from(document.blame), u8::from(document.count)]);
        if document.ids == Ids::Legacy {
            hash.add("legacy").add(document.ref_type.as_deref().unwrap_or_default());
        }
        for border in heads.shallow.iter().collect::<BTreeSet<_>>() {
            hash.add(border.as_bytes());
        }
        hash.hash()
    }

    /// What the records of this state are made of, in a few bytes.
    fn state_of(&self, heads: &Heads, requests: &HashMap<String, Oid>) -> String {
        // The document without what only says how to get there.
        let document = serde_json::to_vec(&Document { credential: None, ..self.document.clone() });
        let mut hash = Parts::default();
        hash.add(document.unwrap_or_default()).add_heads(heads);
        for sha in requests.keys().collect::<BTreeSet<_>>() {
            hash.add(sha);
        }
        hash.hash()
    }

    /// Commits, their files and the people in them. The session of commits stays open; the others are done.
    fn export_history(
        &mut self,
        tracking: SessionId,
        commits: SessionId,
        repository: &ripsrc::Repository,
        options: &mut ripsrc::Options,
        heads: &Heads,
        last: &Cursor,
    ) -> Result<(Newest, Option<NextCheckpoint>), Failure> {
        let users = self.open(tracking, records::USER)?;
        let blames = self.document.blame.then(|| self.open(tracking, records::BLAME)).transpose()?;
        let sessions = Sessions { tracking, commits, users, blames };
        let mut feed = Feed::new(self, repository.messages(), sessions, last.clone(), &heads.shallow);
        let mut summary = run_over(repository, options, &mut feed);
        if let Err(Failure::Checkpoint(why)) = &summary {
            feed.work.warn_of_checkpoint(why);
            // It is read before anything is given out, so nothing has been.
            options.checkpoint = None;
            summary = run_over(repository, options, &mut feed);
        }
        let summary = summary?;
        let newest = feed.finish()?;
        self.mention_faults(&summary);
        Ok((newest, summary.next))
    }

    /// Branches, and the branches of pull requests.
    fn export_branches(
        &mut self,
        tracking: SessionId,
        repository: &ripsrc::Repository,
        options: &ripsrc::Options,
        compared: bool,
    ) -> Result<(), Failure> {
        let document = self.document;
        let branches = self.open(tracking, records::BRANCH)?;
        let asked = !document.pull_requests.is_empty();
        let requests = asked.then(|| self.open(tracking, records::PULL_REQUEST_BRANCH)).transpose()?;
        let owner = self.owner();
        let mut by_head: HashMap<String, Vec<&PullRequest>> = HashMap::new();
        for request in &document.pull_requests {
            by_head.entry(request.last_commit_sha.to_ascii_lowercase()).or_default().push(request);
        }
        let heads = by_head.keys().filter_map(|sha| Oid::from_hex(sha.as_bytes())).collect();
        let options = ripsrc::Options { pull_requests: heads, ..options.clone() };
        let (mut lines, mut request_lines, mut count, mut failed) = (Vec::new(), Vec::new(), 0, None);
        let mut take = |record: &Record<'_>| -> Result<(), Failure> {
            let Record::Branch(branch) = record else { return Ok(()) };
            count += 1;
            self.look(&[branches], count, None)?;
            if !branch.is_pull_request {
                lines.extend_from_slice(&owner.branch(branch, compared));
                return if lines.len() < BATCH_BYTES { Ok(()) } else { self.send(branches, &mut lines) };
            }
            for request in by_head.remove(branch.head.to_string().as_str()).unwrap_or_default() {
                request_lines.extend_from_slice(&owner.pull_request(request, Some(branch), compared));
            }
            match requests {
                Some(session) if request_lines.len() >= BATCH_BYTES => self.send(session, &mut request_lines),
                _ => Ok(()),
            }
        };
        let result = repository.branches(&options, &mut |record| {
            take(&record).map_err(|failure| {
                failed = Some(failure);
                "see the job".into()
            })
        });
        if let Some(failure) = failed {
            return Err(failure);
        }
        result?;
        self.send(branches, &mut lines)?;
        self.done(branches, None)?;
        let Some(session) = requests else { return Ok(()) };
        let left = |request: &&PullRequest| by_head.contains_key(&request.last_commit_sha.to_ascii_lowercase());
        for request in document.pull_requests.iter().filter(left) {
            request_lines.extend_from_slice(&owner.pull_request(request, None, compared));
        }
        self.send(session, &mut request_lines)?;
        self.done(session, None)
    }
}

/// Feeds a history. What the feed says of its own fault goes before what ripsrc makes of it.
fn run_over(
    repository: &ripsrc::Repository,
    options: &ripsrc::Options,
    feed: &mut Feed<'_, '_, '_>,
) -> Result<Summary, Failure> {
    let mut failed = None;
    let result = repository.code(options, &mut |record| {
        feed.take(&record).map_err(|failure| {
            failed = Some(failure);
            "see the job".into()
        })
    });
    match failed {
        Some(failure) => Err(failure),
        None => Ok(result?),
    }
}

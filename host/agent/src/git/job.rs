//! The road of one queued repository: place, clone, sessions, records, cursor, end of the job.
//!
//! The commit session's cursor says what has been exported, and is committed last: users, branches and pull requests
//! of a state are durable before the state counts as exported. After a crash in between they are sent again, and are
//! left out as unchanged. Commits come parents first, so what has been exported at a checkpoint is all that can be
//! reached from its newest commits, and the next run goes on from these.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use git2::{Oid, Repository};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use super::clone::{self, CloneError, Mirror};
use super::history::{self, HistoryError, Refs};
use super::records::{self, Owner, PullRequest};
use super::transport::Door;
use super::url::{self, Source};
use super::{GitContext, RepoOutcome};
use crate::export::{ExportRun, GitJob, SessionError, SessionId, SessionKind};

/// Bytes of a batch: large enough that its fixed costs do not count, small enough to be held several times over.
const BATCH_BYTES: usize = 512 << 10;
/// Batches of commits between checkpoints: a run that is killed repeats the work of seconds.
const BATCHES_PER_CHECKPOINT: usize = 64;
/// Commits named in a cursor, which may have 64 KiB. Fewer than there are is harmless: what is walked again is
/// recognized as unchanged.
const CURSOR_HEADS_MAX: usize = 1_400;
/// Branches compared with the default branch; each costs a walk.
const COMPARED_BRANCHES_MAX: usize = 1_000;
/// Commits listed with a pull request.
const PULL_REQUEST_COMMITS_MAX: usize = 1_000;
/// Commits between two looks at whether the run has been asked to end, and between two words on progress.
const COMMITS_PER_LOOK: usize = 64;

/// The version of what is exported. Another one makes the next run export everything again.
const EXPORT_VERSION: u32 = 1;

/// The document of `git.export-repo`.
#[derive(Debug, Clone, Deserialize, Serialize)]
struct Document {
    ref_id: String,
    name: String,
    url: String,
    #[serde(default)]
    credential: Option<String>,
    #[serde(default)]
    commit_url_template: Option<String>,
    #[serde(default)]
    branch_url_template: Option<String>,
    #[serde(default)]
    pull_requests: Vec<PullRequest>,
}

/// What has been exported: everything that can be reached from these commits.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Cursor {
    version: u32,
    heads: Vec<String>,
    /// Of refs and document, where all of a state has been exported: an equal one means that nothing has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
}

/// Why a job did not end.
enum Failure {
    /// The run has been asked to end.
    Stopped,
    /// For a person.
    Failed(String),
    /// The repository's own data is at fault.
    Damaged(String),
}

impl From<CloneError> for Failure {
    fn from(error: CloneError) -> Self {
        match error {
            CloneError::Stopped => Failure::Stopped,
            CloneError::Failed(text) => Failure::Failed(text),
        }
    }
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        Failure::Damaged(error.to_string())
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
        Err(Failure::Failed(why) | Failure::Damaged(why)) => {
            tracing::error!(integration = %ctx.integration, repository = %outcome.name, error = %why, "the repository is not exported");
            if let Err(fault) = tokio.block_on(run.job_failed(job, &why)) {
                tracing::error!(integration = %ctx.integration, repository = %outcome.name, error = %fault, "the failed try cannot be counted");
            }
            outcome.error = Some(why);
        }
    }
    outcome
}

struct Work<'a> {
    ctx: &'a GitContext,
    run: &'a Arc<ExportRun>,
    job: &'a GitJob,
    tokio: &'a Handle,
    document: &'a Document,
    sent: &'a mut u64,
}

impl Work<'_> {
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
                self.export(tracking, &repository)
            }
            Source::Remote(url) => {
                let policy = self.ctx.policy.for_repository(&url).map_err(|fault| {
                    self.ctx.egress.repository_refused(&self.ctx.policy, &url, &fault);
                    Failure::Failed(fault.to_string())
                })?;
                let door = Door::new(
                    self.ctx.egress.clone(),
                    policy,
                    self.tokio.clone(),
                    url,
                    self.document.credential.clone(),
                );
                let heads = self
                    .document
                    .pull_requests
                    .iter()
                    .filter_map(|request| Oid::from_str(&request.last_commit_sha).ok())
                    .collect();
                let mirror = clone::mirror(&self.ctx.cache, &door, &heads, &|| self.run.should_stop())?;
                let result = self.export(tracking, &mirror.repository);
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

    fn export(&mut self, tracking: SessionId, repository: &Repository) -> Result<(), Failure> {
        let refs = history::refs(repository)?;
        self.mention_limits(&refs);
        let commits = self.open(tracking, records::COMMIT)?;
        let last = self
            .run
            .last_processed(commits)
            .and_then(|text| serde_json::from_str::<Cursor>(&text).ok())
            .filter(|cursor| cursor.version == EXPORT_VERSION)
            .unwrap_or_default();
        let requests = self.pull_request_heads(repository);
        let state = self.state_of(&refs, &requests);
        if last.state.as_deref() == Some(state.as_str()) {
            self.done(commits, None)?;
            return self.done(tracking, None);
        }
        let mut tips: Vec<Oid> = refs.tips().chain(requests.values().copied()).collect();
        tips.sort();
        tips.dedup();
        self.export_commits(tracking, commits, repository, &refs, &tips, &last)?;
        self.export_branches(tracking, repository, &refs)?;
        self.export_pull_requests(tracking, repository, &refs, &requests)?;
        self.done(commits, Some(&cursor_text(repository, tips, Some(state))))?;
        self.done(tracking, None)
    }

    fn mention_limits(&self, refs: &Refs) {
        let (integration, name) = (&self.ctx.integration, &self.document.name);
        if !refs.shallow.is_empty() {
            tracing::warn!(%integration, repository = %name, commits = refs.shallow.len(),
                "the repository is a shallow clone: older history is missing, and the changed files of its oldest commits are not known");
        }
        if refs.branches.is_empty() && refs.detached.is_none() {
            tracing::info!(%integration, repository = %name, "the repository is empty");
        }
    }

    fn open(&self, tracking: SessionId, model: &str) -> Result<SessionId, Failure> {
        Ok(self.run.open_child(tracking, SessionKind::Model, model, &self.document.ref_id, &self.document.name)?)
    }

    fn done(&self, session: SessionId, cursor: Option<&str>) -> Result<(), Failure> {
        self.tokio.block_on(self.run.done(session, cursor))?;
        Ok(())
    }

    fn owner(&self) -> Owner<'_> {
        Owner {
            customer_id: &self.ctx.customer_id,
            integration: &self.ctx.integration,
            repo_ref_id: &self.document.ref_id,
            commit_url: self.document.commit_url_template.as_deref(),
            branch_url: self.document.branch_url_template.as_deref(),
        }
    }

    /// The heads of pull requests that are here, by their ids in hexadecimal.
    fn pull_request_heads(&self, repository: &Repository) -> HashMap<String, Oid> {
        let mut found = HashMap::new();
        for request in &self.document.pull_requests {
            match Oid::from_str(&request.last_commit_sha) {
                Ok(oid) if repository.find_commit(oid).is_ok() => {
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

    /// What the records of this state are made of, in a few bytes.
    fn state_of(&self, refs: &Refs, requests: &HashMap<String, Oid>) -> String {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        // The document without what only says how to get there.
        let document = serde_json::to_vec(&Document { credential: None, ..self.document.clone() });
        part(&document.unwrap_or_default());
        part(self.ctx.customer_id.as_bytes());
        for branch in &refs.branches {
            part(branch.name.as_bytes());
            part(branch.head.as_bytes());
            part(&[u8::from(branch.default)]);
        }
        part(refs.detached.as_ref().map(Oid::as_bytes).unwrap_or_default());
        for sha in requests.keys().collect::<BTreeSet<_>>() {
            part(sha.as_bytes());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Commits and the people in them. The session of commits stays open; that of people is done.
    fn export_commits(
        &mut self,
        tracking: SessionId,
        commits: SessionId,
        repository: &Repository,
        refs: &Refs,
        tips: &[Oid],
        last: &Cursor,
    ) -> Result<(), Failure> {
        let users = self.open(tracking, records::USER)?;
        let known: Vec<Oid> = last.heads.iter().filter_map(|sha| Oid::from_str(sha).ok()).collect();
        let steps = history::walk(repository, tips, &known)?;
        let total = steps.len() as u64;
        let mut newest: HashSet<Oid> = known.into_iter().collect();
        let mut people: HashSet<String> = HashSet::new();
        let (mut commit_lines, mut user_lines, mut batches) = (Vec::new(), Vec::new(), 0);
        for (index, oid) in steps.into_iter().enumerate() {
            if index % COMMITS_PER_LOOK == 0 {
                self.look(&[tracking, commits], index as u64, total)?;
            }
            let commit = history::commit(repository, oid)?;
            let changes = if refs.shallow.contains(&oid) { None } else { Some(history::changes(repository, &commit)?) };
            commit_lines.extend_from_slice(&self.owner().commit(&commit, changes.as_deref()));
            for person in [&commit.author, &commit.committer] {
                let (key, line) = self.owner().user(person);
                if people.insert(key) {
                    user_lines.extend_from_slice(&line);
                }
            }
            commit.parents.iter().for_each(|parent| {
                newest.remove(parent);
            });
            newest.insert(oid);
            if user_lines.len() >= BATCH_BYTES {
                self.send(users, &mut user_lines)?;
            }
            if commit_lines.len() >= BATCH_BYTES {
                self.send(commits, &mut commit_lines)?;
                batches += 1;
                if batches % BATCHES_PER_CHECKPOINT == 0 {
                    self.send(users, &mut user_lines)?;
                    self.checkpoint(users, commits, repository, &newest)?;
                }
            }
        }
        self.send(commits, &mut commit_lines)?;
        self.send(users, &mut user_lines)?;
        self.look(&[tracking, commits], total, total)?;
        self.done(users, None)
    }

    /// People first: a commit's author is known before the commit counts as exported.
    fn checkpoint(
        &self,
        users: SessionId,
        commits: SessionId,
        repository: &Repository,
        newest: &HashSet<Oid>,
    ) -> Result<(), Failure> {
        let cursor = cursor_text(repository, newest.iter().copied().collect(), None);
        self.tokio.block_on(self.run.checkpoint(users, &format!("{EXPORT_VERSION}")))?;
        self.tokio.block_on(self.run.checkpoint(commits, &cursor))?;
        Ok(())
    }

    fn look(&self, sessions: &[SessionId], current: u64, total: u64) -> Result<(), Failure> {
        for session in sessions {
            self.run.progress(*session, current, Some(total));
        }
        if self.run.should_stop() { Err(Failure::Stopped) } else { Ok(()) }
    }

    fn send(&mut self, session: SessionId, lines: &mut Vec<u8>) -> Result<(), Failure> {
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

    fn export_branches(&mut self, tracking: SessionId, repository: &Repository, refs: &Refs) -> Result<(), Failure> {
        let session = self.open(tracking, records::BRANCH)?;
        let default = refs.default_branch().map(|branch| branch.head);
        if refs.branches.len() > COMPARED_BRANCHES_MAX {
            tracing::warn!(integration = %self.ctx.integration, repository = %self.document.name, branches = refs.branches.len(),
                "only the first {COMPARED_BRANCHES_MAX} branches are compared with the default branch");
        }
        let total = refs.branches.len() as u64;
        let mut lines = Vec::new();
        for (index, branch) in refs.branches.iter().enumerate() {
            self.look(&[session], index as u64, total)?;
            let compared = match default {
                Some(default) if index < COMPARED_BRANCHES_MAX => {
                    Some(history::ahead_behind(repository, branch.head, default)?)
                }
                _ => None,
            };
            lines.extend_from_slice(&self.owner().branch(branch, compared));
            if lines.len() >= BATCH_BYTES {
                self.send(session, &mut lines)?;
            }
        }
        self.send(session, &mut lines)?;
        self.run.progress(session, total, Some(total));
        self.done(session, None)
    }

    fn export_pull_requests(
        &mut self,
        tracking: SessionId,
        repository: &Repository,
        refs: &Refs,
        heads: &HashMap<String, Oid>,
    ) -> Result<(), Failure> {
        if self.document.pull_requests.is_empty() {
            return Ok(());
        }
        let session = self.open(tracking, records::PULL_REQUEST_BRANCH)?;
        let default: Vec<Oid> = refs.default_branch().map(|branch| branch.head).into_iter().collect();
        let total = self.document.pull_requests.len() as u64;
        let mut lines = Vec::new();
        for (index, request) in self.document.pull_requests.iter().enumerate() {
            self.look(&[session], index as u64, total)?;
            let commits = match heads.get(&request.last_commit_sha) {
                Some(head) => Some(history::walk(repository, &[*head], &default)?),
                None => None,
            };
            lines.extend_from_slice(&self.owner().pull_request(request, commits.as_deref(), PULL_REQUEST_COMMITS_MAX));
            if lines.len() >= BATCH_BYTES {
                self.send(session, &mut lines)?;
            }
        }
        self.send(session, &mut lines)?;
        self.run.progress(session, total, Some(total));
        self.done(session, None)
    }
}

/// A cursor's text, with the newest of the heads where there are more than fit.
fn cursor_text(repository: &Repository, mut heads: Vec<Oid>, state: Option<String>) -> String {
    if heads.len() > CURSOR_HEADS_MAX {
        heads.sort_by_cached_key(|oid| {
            std::cmp::Reverse(repository.find_commit(*oid).map_or(i64::MIN, |commit| commit.time().seconds()))
        });
        heads.truncate(CURSOR_HEADS_MAX);
    }
    heads.sort();
    let cursor = Cursor { version: EXPORT_VERSION, heads: heads.iter().map(ToString::to_string).collect(), state };
    serde_json::to_string(&cursor).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_has_room_for_all_it_names() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let repository = Repository::init_bare(folder.path()).expect("there is room for a repository");
        let heads = (0..5_000_u32).map(|number| {
            Oid::hash_object(git2::ObjectType::Blob, &number.to_be_bytes()).expect("bytes can be hashed")
        });
        let text = cursor_text(&repository, heads.collect(), Some("0".repeat(64)));
        assert!(text.len() <= 64 << 10, "{}", text.len());
        let cursor: Cursor = serde_json::from_str(&text).expect("a cursor is JSON");
        assert_eq!(cursor.heads.len(), CURSOR_HEADS_MAX);
    }
}

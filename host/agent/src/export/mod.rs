//! The road of a record: the session tree of one run, batches, dedup, progress. Knows neither WebAssembly nor HTTP;
//! its callers are the host calls and the git side, and below it is the store.

mod judge;
mod staging;
mod state;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::shutdown::Shutdown;
use crate::store::{Commit, NewJob, Store, StoreError};
use judge::Judges;
use staging::{OpenSegments, RECORD_BYTES_MAX, SEND_BYTES_MAX, Staging};
use state::State;
use tree::{Place, Session, Tree};

pub use judge::{Judge, Misfit, ModelMisfits, Sample};

/// A cursor is a place, not a store: a page token, a time, a list of heads.
const CURSOR_BYTES_MAX: usize = 64 << 10;

/// A reason given by a guest is for one line of a report.
const REASON_BYTES_MAX: usize = 1024;

/// The document of one repository: its pull requests' heads make it grow.
const REPO_BYTES_MAX: usize = 1 << 20;

/// Repositories that one session may queue before it commits.
const JOBS_UNCOMMITTED_MAX: usize = 10_000;

/// Tries of a git job, one a run. A repository that failed in so many runs will not mend itself.
const JOB_ATTEMPTS_MAX: u32 = 10;

/// How long `send` waits for room in the outbox. A sink that took nothing for so long is down, and the guest should hear it.
const OUTBOX_WAIT_MAX: Duration = Duration::from_secs(600);

/// A session of one run. Ids are never used again within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u32);

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// Exports records of the model that it is named after.
    Model,
    /// Structure and progress only.
    Tracking,
}

/// A model that a run may export, from the manifest (or the git side's own).
#[derive(Debug, Clone)]
pub struct Model {
    pub name: String,
    /// JSON Pointers (RFC 6901); together they are the record's key.
    pub key: Vec<String>,
    /// Whether records that have not changed are left out.
    pub dedup: bool,
}

/// Who exports what to where.
#[derive(Debug, Clone)]
pub struct RunSpec {
    /// The integration's instance name.
    pub integration: String,
    /// `Sink::id`.
    pub sink: String,
    /// SHA-256 of the component, hex; kept with its cursors.
    pub component_digest: String,
    pub models: Vec<Model>,
}

/// Why a session call was refused or failed. The contract's `error`, without its names.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum SessionError {
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Limit(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    Other(String),
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ack {
    pub accepted: u32,
    pub unchanged: u32,
}

/// What was sent of one model in a run, whatever became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    pub batches: u64,
    pub records: u64,
}

/// A repository to export natively: the document of `git.export-repo`, committed with a session.
#[derive(Debug, Clone)]
pub struct GitJob {
    /// The job's row.
    pub id: i64,
    /// The path of the session that queued it.
    pub session_path: String,
    /// The document, as the guest gave it and the host checked it: JSON text, which takes a thirtieth of what its values do.
    pub repo: String,
    /// How often it has been tried before.
    pub attempts: u32,
}

impl GitJob {
    /// The repository's `ref_id` and name, as far as they can be read.
    #[must_use]
    pub fn named(&self) -> (String, String) {
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct Named {
            ref_id: String,
            name: String,
        }
        let Named { ref_id, name } = serde_json::from_str(&self.repo).unwrap_or_default();
        (ref_id, name)
    }
}

/// How a session ended, or that it has not.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    Open,
    Done,
    RolledBack,
    Skipped(String),
}

/// What one session did: for progress on a terminal, for the summary, and (as JSON) the answer to `done`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct SessionSummary {
    /// Path below the integration, for example `organization/42/sourcecode.PullRequest`.
    pub path: String,
    /// `None` for a tracking session.
    pub model: Option<String>,
    /// A name for people, where the integration gave one.
    pub object_name: String,
    pub state: SessionState,
    /// Records committed.
    pub records: u64,
    /// Bytes of those records.
    pub bytes: u64,
    /// Records left out as unchanged.
    pub unchanged: u64,
    /// Records staged and not committed.
    pub staged: u64,
    /// Bytes of those.
    pub staged_bytes: u64,
    pub progress_current: u64,
    pub progress_total: Option<u64>,
    pub duration_ms: u64,
    /// The committed cursor.
    pub cursor: Option<String>,
    /// Whether there was a cursor to begin at.
    pub resumed: bool,
    /// Whether a child holds the cursor back.
    pub held_back: bool,
    pub depth: u32,
}

/// One run of one integration's export.
pub struct ExportRun {
    spec: RunSpec,
    store: Arc<Store>,
    shutdown: Shutdown,
    scope: i64,
    models: HashMap<String, Model>,
    judges: Judges,
    tree: Mutex<Tree>,
    state: Mutex<State>,
    segments_open: OpenSegments,
    repositories_skipped: AtomicUsize,
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> SessionError {
        SessionError::Unavailable(crate::error_chain(&error))
    }
}

impl ExportRun {
    /// Begins a run. Fails if the store cannot be read.
    pub fn begin(store: Arc<Store>, spec: RunSpec, shutdown: Shutdown) -> Result<Arc<ExportRun>, SessionError> {
        ExportRun::begin_judged(store, spec, HashMap::new(), Sample::default(), shutdown)
    }

    /// As [`ExportRun::begin`], with a judge for each model whose records are to be looked at.
    pub fn begin_judged(
        store: Arc<Store>,
        spec: RunSpec,
        judges: HashMap<String, Arc<dyn Judge>>,
        sample: Sample,
        shutdown: Shutdown,
    ) -> Result<Arc<ExportRun>, SessionError> {
        let judges = Judges::new(&spec.integration, judges, sample);
        let scope = store.scope(&spec.sink, &spec.integration)?;
        let state = State::new(store.state(&spec.integration)?);
        let models = spec.models.iter().map(|m| (m.name.clone(), m.clone())).collect();
        Ok(Arc::new(ExportRun {
            spec,
            store,
            shutdown,
            scope,
            models,
            judges,
            tree: Mutex::default(),
            state: Mutex::new(state),
            segments_open: OpenSegments::default(),
            repositories_skipped: AtomicUsize::new(0),
        }))
    }

    /// Whether no run before this one has come to a cursor: it exports everything. Where that cannot be read, it is taken to
    /// have come to one.
    pub fn is_first(&self) -> bool {
        !self.store.has_cursors(self.scope).unwrap_or(true)
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session at the top of the tree.
    pub fn open_root(&self, kind: SessionKind, name: &str) -> Result<SessionId, SessionError> {
        self.open(Place::root(name)?, kind, name, None)
    }

    /// Opens a session below `parent`, for an object of the parent's level.
    pub fn open_child(
        &self,
        parent: SessionId,
        kind: SessionKind,
        name: &str,
        object_id: &str,
        object_name: &str,
    ) -> Result<SessionId, SessionError> {
        let place = self.tree().place_below(parent, name, object_id, object_name)?;
        self.open(place, kind, name, None)
    }

    fn open(&self, place: Place, kind: SessionKind, name: &str, job: Option<i64>) -> Result<SessionId, SessionError> {
        let model = match kind {
            SessionKind::Tracking => None,
            SessionKind::Model => Some(self.models.get(name).ok_or_else(|| self.undeclared(name))?),
        };
        let cursor = self.store.cursor(self.scope, &place.path)?;
        let staging = match model {
            None => None,
            Some(model) => {
                let marks = if model.dedup { Some(self.store.mark_set(self.scope, &model.name)?) } else { None };
                let (store, shutdown, codec) = (self.store.clone(), self.shutdown.clone(), self.store.codec());
                let (judge, open) = (self.judges.of(&model.name), Arc::clone(&self.segments_open));
                let staging = Staging::new(store, shutdown, model, codec, marks, judge, open);
                Some(Arc::new(tokio::sync::Mutex::new(staging)))
            }
        };
        self.tree().open(place, Session::new(model.map(|m| m.name.clone()), cursor, staging, job))
    }

    fn undeclared(&self, name: &str) -> SessionError {
        let mut declared: Vec<&str> = self.models.keys().map(String::as_str).collect();
        declared.sort_unstable();
        SessionError::Invalid(format!(
            "model `{name}` is not in the manifest; add it to `models` there. Declared: {}",
            if declared.is_empty() { "none".to_owned() } else { declared.join(", ") }
        ))
    }

    /// The cursor committed last at the session's path.
    pub fn last_processed(&self, session: SessionId) -> Option<String> {
        self.tree().get(session).and_then(|s| s.cursor.clone())
    }

    pub fn progress(&self, session: SessionId, current: u64, total: Option<u64>) {
        if let Some(session) = self.tree().get_mut(session) {
            session.progress = (current, total);
        }
    }

    /// Stages a batch of newline-delimited JSON. All or nothing. Waits while the outbox is full.
    pub async fn send(&self, session: SessionId, ndjson: &[u8]) -> Result<Ack, SessionError> {
        if ndjson.len() > SEND_BYTES_MAX {
            return Err(SessionError::Limit(format!(
                "the batch has {} bytes; the limit is {SEND_BYTES_MAX} (send_bytes_max). Send it in parts; one record may have {RECORD_BYTES_MAX}",
                ndjson.len()
            )));
        }
        let staging = self.tree().staging(session)?;
        self.wait_for_room().await?;
        let mut staging = staging.lock().await;
        // Who sends has no secrets. Should one have been put together from what a server or a repository says, it is not
        // exported all the same.
        let clean = crate::secrets::strike_bytes(ndjson);
        let (ack, bytes) = staging.stage(clean.as_deref().unwrap_or(ndjson))?;
        self.tree().staged(session, ack, bytes);
        staging.keep_pace().await?;
        Ok(ack)
    }

    /// Records accepted so far, committed or not, and their bytes.
    pub fn output(&self) -> (u64, u64) {
        self.tree().output()
    }

    /// Records staged and not committed, over all sessions, and their bytes.
    pub fn staged(&self) -> (u64, u64) {
        self.tree().staged_in_all()
    }

    async fn wait_for_room(&self) -> Result<(), SessionError> {
        let full = || {
            SessionError::Unavailable(format!(
                "the outbox is full ({} bytes wait) and its sink took nothing for {} s; see `agent status`",
                self.store.outbox_bytes(),
                OUTBOX_WAIT_MAX.as_secs()
            ))
        };
        // A run that is to end is let through: it can then reach its next checkpoint instead of waiting here.
        while self.store.outbox_is_full() && !self.should_stop() {
            let shrank = self.store.outbox_shrank();
            if !self.store.outbox_is_full() {
                break;
            }
            tokio::select! {
                waited = tokio::time::timeout(OUTBOX_WAIT_MAX, shrank) => waited.map_err(|_| full())?,
                () = self.shutdown.wait() => {}
            }
        }
        Ok(())
    }

    /// What was sent so far, by model.
    pub fn sent(&self) -> std::collections::BTreeMap<String, Sent> {
        self.tree().sent.clone()
    }

    /// What does not fit the schema of its model, of the records that were looked at.
    pub fn misfits(&self) -> Vec<ModelMisfits> {
        self.judges.misfits()
    }

    /// Whether the run has been asked to end.
    pub fn should_stop(&self) -> bool {
        self.shutdown.requested()
    }

    /// The same as a flag, for work that knows nothing of runs.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        self.shutdown.flag()
    }

    /// Commits what was sent so far, with this cursor. Open children hold the cursor back: until they are done, nobody
    /// knows that they will be.
    pub async fn checkpoint(&self, session: SessionId, cursor: &str) -> Result<(), SessionError> {
        check_cursor(Some(cursor))?;
        self.commit(session, Some(cursor), false).await
    }

    /// Commits and closes. An error while children are open. After another error the session is rolled back.
    pub async fn done(&self, session: SessionId, cursor: Option<&str>) -> Result<SessionSummary, SessionError> {
        let result = match check_cursor(cursor).and_then(|()| self.tree().may_end(session)) {
            Ok(()) => self.commit(session, cursor, true).await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            self.rollback(session);
            return Err(error);
        }
        let mut tree = self.tree();
        tree.close(session, SessionState::Done);
        tree.summary(session).ok_or_else(|| SessionError::Conflict("the session is not open".into()))
    }

    async fn commit(&self, session: SessionId, cursor: Option<&str>, last: bool) -> Result<(), SessionError> {
        let (path, staging) = self.tree().committing(session)?;
        let mut staging = match &staging {
            Some(staging) => Some(staging.lock().await),
            None => None,
        };
        let mut staged = match &mut staging {
            Some(staging) => Some(staging.take().await?),
            None => None,
        };
        let mut commit = self.assemble(session, path, cursor, last);
        if let Some(staged) = &staged {
            commit.batches.clone_from(&staged.batches);
            commit.marks.clone_from(&staged.marks);
        }
        if commit.is_empty() {
            return Ok(());
        }
        // Whoever waits for the commit may be dropped while it is made, by a second interrupt.
        if let Some(staged) = &mut staged {
            staged.hand_over();
        }
        let taken = (commit.jobs.clone(), commit.state.clone(), commit.cursor.clone());
        match self.store.commit(commit).await {
            Ok(()) => {
                self.tree().committed(session, taken.2);
                match (staging.as_mut(), staged) {
                    (Some(staging), Some(staged)) => staging.committed(staged),
                    _ => Ok(()),
                }
            }
            Err(error) => {
                self.tree().restore_jobs(session, taken.0);
                self.state().restore(taken.1);
                if let (Some(staging), Some(staged)) = (staging.as_mut(), staged) {
                    staging.restore(staged);
                    if last {
                        staging.abandon();
                    }
                }
                Err(error.into())
            }
        }
    }

    /// Takes what a commit of this session brings besides records.
    fn assemble(&self, session: SessionId, path: String, cursor: Option<&str>, last: bool) -> Commit {
        let mut tree = self.tree();
        let held_back = tree.held_back(session);
        let known = tree.get(session).and_then(|s| s.cursor.clone());
        Commit {
            scope: self.scope,
            integration: self.spec.integration.clone(),
            path,
            component: self.spec.component_digest.clone(),
            cursor: cursor.filter(|c| !held_back && known.as_deref() != Some(c)).map(str::to_owned),
            batches: Vec::new(),
            marks: None,
            jobs: tree.take_jobs(session),
            job_done: if last { tree.get(session).and_then(|s| s.job) } else { None },
            state: self.state().take(),
        }
    }

    /// Forgets what was sent since the last checkpoint and closes, with its children; holds back the cursors above. Also
    /// what happens when a guest drops a session. Nothing happens if it is closed already.
    pub fn rollback(&self, session: SessionId) {
        let mut tree = self.tree();
        tree.close_subtree(session, &SessionState::RolledBack);
        tree.hold_back_above(session);
    }

    /// Rolls back without holding back the cursors above.
    pub fn skip(&self, session: SessionId, why: &str) {
        let why = crate::cut(why, REASON_BYTES_MAX).to_owned();
        self.tree().close_subtree(session, &SessionState::Skipped(why));
    }

    /// Queues a repository with the session; becomes durable at its next commit.
    pub fn queue_repo(&self, session: SessionId, repo: serde_json::Value) -> Result<(), SessionError> {
        let Some(ref_id) = repo.get("ref_id").and_then(serde_json::Value::as_str).filter(|id| !id.is_empty()) else {
            return Err(SessionError::Invalid(
                "the repository's document has no `ref_id`; it must be a text that is not empty".into(),
            ));
        };
        let job = NewJob { ref_id: ref_id.to_owned(), repo: repo.to_string() };
        if job.repo.len() > REPO_BYTES_MAX {
            let found = job.repo.len();
            return Err(SessionError::Limit(format!(
                "the repository's document has {found} bytes; the limit is {REPO_BYTES_MAX} (repo_bytes_max)"
            )));
        }
        self.tree().queue_job(session, job, JOBS_UNCOMMITTED_MAX)
    }

    /// Counts a repository that the operator leaves out.
    pub fn repository_skipped(&self) {
        self.repositories_skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// How many repositories were left out.
    pub fn repositories_skipped(&self) -> usize {
        self.repositories_skipped.load(Ordering::Relaxed)
    }

    /// Jobs that are committed and not yet ended, those of earlier runs first.
    pub fn git_jobs(&self) -> Result<Vec<GitJob>, SessionError> {
        let rows = self.store.git_jobs(self.scope)?;
        let jobs = rows.into_iter().map(|row| {
            let (id, session_path, repo, attempts) = (row.id, row.path, row.repo, row.attempts);
            GitJob { id, session_path, repo, attempts }
        });
        Ok(jobs.collect())
    }

    /// Opens the tracking session for a job's repository, below the path of the session that queued it (which may be
    /// closed by now). When it is `done`, the same commit deletes the job.
    pub fn open_job(&self, job: &GitJob, object_id: &str, object_name: &str) -> Result<SessionId, SessionError> {
        self.open(
            Place::below_path(&job.session_path, "git", object_id, object_name)?,
            SessionKind::Tracking,
            "git",
            Some(job.id),
        )
    }

    /// Counts a failed try of a job. At the ceiling the job becomes a dead letter: kept, shown, and not tried again.
    pub async fn job_failed(&self, job: &GitJob, why: &str) -> Result<(), SessionError> {
        Ok(self.store.git_job_failed(job.id, why, JOB_ATTEMPTS_MAX).await?)
    }

    /// `state.get`.
    pub fn state_get(&self, key: &str) -> Result<Option<String>, SessionError> {
        self.state().get(key)
    }

    /// `state.set`; expires after so many seconds if given.
    pub fn state_set(&self, key: &str, value: &str, expires_secs: Option<u32>) -> Result<(), SessionError> {
        self.state().set(key, value, expires_secs)
    }

    /// `state.delete`.
    pub fn state_delete(&self, key: &str) -> Result<(), SessionError> {
        self.state().delete(key)
    }

    /// All sessions so far, in order of opening, parents before children. Cheap enough to call ten times a second.
    pub fn snapshot(&self) -> Vec<SessionSummary> {
        self.tree().summaries()
    }

    /// Ends the run: rolls back what is still open, and puts the marks in order where they have become many.
    pub fn finish(&self) -> Vec<SessionSummary> {
        let summaries = {
            let mut tree = self.tree();
            tree.close_all();
            tree.summaries()
        };
        for model in
            self.models.values().filter(|m| m.dedup && summaries.iter().any(|s| s.model.as_deref() == Some(&m.name)))
        {
            if let Err(error) = self.store.merge_marks(self.scope, &model.name) {
                // Unmerged marks are slower and as good.
                tracing::warn!(model = model.name, error = crate::error_chain(&error), "marks were not merged");
            }
        }
        summaries
    }
}

fn check_cursor(cursor: Option<&str>) -> Result<(), SessionError> {
    match cursor {
        Some(cursor) if cursor.len() > CURSOR_BYTES_MAX => Err(SessionError::Limit(format!(
            "the cursor has {} bytes; the limit is {CURSOR_BYTES_MAX} (cursor_bytes_max). A cursor names a place in the source; what is large belongs in `state` or is worked out again",
            cursor.len()
        ))),
        _ => Ok(()),
    }
}

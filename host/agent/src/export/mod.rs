//! The road of a record: the session tree of one run, batches, dedup, progress. Knows neither WebAssembly nor HTTP;
//! its callers are the host calls and the git side, and below it is the store.

use std::sync::Arc;

use crate::shutdown::Shutdown;
use crate::store::Store;

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

/// A repository to export natively: the document of `git.export-repo`, committed with a session.
#[derive(Debug, Clone)]
pub struct GitJob {
    /// The job's row.
    pub id: i64,
    /// The path of the session that queued it.
    pub session_path: String,
    /// The document, as the guest gave it and the host checked it.
    pub repo: serde_json::Value,
    /// How often it has been tried before.
    pub attempts: u32,
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
    pub progress_current: u64,
    pub progress_total: Option<u64>,
    pub duration_ms: u64,
    /// The committed cursor.
    pub cursor: Option<String>,
    /// Whether a child holds the cursor back.
    pub held_back: bool,
    pub depth: u32,
}

/// One run of one integration's export.
pub struct ExportRun {
    _spec: RunSpec,
    _store: Arc<Store>,
}

impl ExportRun {
    /// Begins a run. Fails if the store cannot be read.
    pub fn begin(_store: Arc<Store>, _spec: RunSpec, _shutdown: Shutdown) -> Result<Arc<ExportRun>, SessionError> {
        unimplemented!()
    }

    /// Opens a session at the top of the tree.
    pub fn open_root(&self, _kind: SessionKind, _name: &str) -> Result<SessionId, SessionError> {
        unimplemented!()
    }

    /// Opens a session below `parent`.
    pub fn open_child(&self, _parent: SessionId, _kind: SessionKind, _name: &str, _object_id: &str, _object_name: &str) -> Result<SessionId, SessionError> {
        unimplemented!()
    }

    /// The cursor committed last at the session's path.
    pub fn last_processed(&self, _session: SessionId) -> Option<String> {
        unimplemented!()
    }

    pub fn progress(&self, _session: SessionId, _current: u64, _total: Option<u64>) {
        unimplemented!()
    }

    /// Stages a batch of newline-delimited JSON. All or nothing. Waits while the outbox is full.
    pub async fn send(&self, _session: SessionId, _ndjson: &[u8]) -> Result<Ack, SessionError> {
        unimplemented!()
    }

    /// Whether the run has been asked to end.
    pub fn should_stop(&self) -> bool {
        unimplemented!()
    }

    /// Commits what was sent so far, with this cursor.
    pub async fn checkpoint(&self, _session: SessionId, _cursor: &str) -> Result<(), SessionError> {
        unimplemented!()
    }

    /// Commits and closes.
    pub async fn done(&self, _session: SessionId, _cursor: Option<&str>) -> Result<SessionSummary, SessionError> {
        unimplemented!()
    }

    /// Forgets what was sent since the last checkpoint and closes, with its children; holds back the cursors above. Also
    /// what happens when a guest drops a session. Nothing happens if it is closed already.
    pub fn rollback(&self, _session: SessionId) {
        unimplemented!()
    }

    /// Rolls back without holding back the cursors above.
    pub fn skip(&self, _session: SessionId, _why: &str) {
        unimplemented!()
    }

    /// Queues a repository with the session; becomes durable at its next commit.
    pub fn queue_repo(&self, _session: SessionId, _repo: serde_json::Value) -> Result<(), SessionError> {
        unimplemented!()
    }

    /// Jobs that are committed and not yet ended, those of earlier runs first.
    pub fn git_jobs(&self) -> Result<Vec<GitJob>, SessionError> {
        unimplemented!()
    }

    /// Opens the tracking session for a job's repository, below the path of the session that queued it (which may be
    /// closed by now). When it is `done`, the same commit deletes the job.
    pub fn open_job(&self, _job: &GitJob, _object_id: &str, _object_name: &str) -> Result<SessionId, SessionError> {
        unimplemented!()
    }

    /// Counts a failed try of a job. At the ceiling the job becomes a dead letter: kept, shown, and not tried again.
    pub async fn job_failed(&self, _job: &GitJob, _why: &str) -> Result<(), SessionError> {
        unimplemented!()
    }

    /// `state.get`, `state.set`, `state.delete`.
    pub fn state_get(&self, _key: &str) -> Result<Option<String>, SessionError> {
        unimplemented!()
    }
    pub fn state_set(&self, _key: &str, _value: &str, _expires_secs: Option<u32>) -> Result<(), SessionError> {
        unimplemented!()
    }
    pub fn state_delete(&self, _key: &str) -> Result<(), SessionError> {
        unimplemented!()
    }

    /// All sessions so far, in order of opening, parents before children. Cheap enough to call ten times a second.
    pub fn snapshot(&self) -> Vec<SessionSummary> {
        unimplemented!()
    }

    /// Ends the run: rolls back what is still open. `failed` says that the guest did not return well.
    pub fn finish(&self) -> Vec<SessionSummary> {
        unimplemented!()
    }
}

//! Builds the parts and joins them; the only file that names them all. What the command line asks for is a function
//! here, and what it shows is a report from here: no printing, no exit codes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::config::Config;
use crate::export::SessionSummary;
use crate::logs::Logs;
use crate::shutdown::Shutdown;

/// What an export should do beside what its configuration says.
#[derive(Debug, Clone, Default)]
pub struct ExportOptions {
    /// Forget the marks and cursors of the integrations that run, so that they export everything again.
    pub reprocess_historical: bool,
}

/// The sessions of every integration that has begun, in the order of the configuration, at the moment of the call. May
/// be called ten times a second.
pub type Snapshot = Arc<dyn Fn() -> Vec<(String, Vec<SessionSummary>)> + Send + Sync>;

/// Who watches an export. Its functions are called from any thread and must not block for long.
pub trait ExportUi: Send + Sync {
    /// The integrations begin to run; `snapshot` may be called until `export` has returned.
    fn begun(&self, snapshot: Snapshot);
    /// One integration has ended.
    fn ended(&self, integration: &IntegrationReport);
}

/// Runs the configured integrations and delivers what they export. Takes the root's lock, and once it has it calls
/// [`Logs::open_files`] and, for each integration, [`Logs::begin_integration`]. Returns when all have ended and the sink
/// has taken what it would, also after `shutdown` was requested. An integration that fails is no error of the export.
///
/// # Errors
/// What keeps the export from running at all: see [`AppError`].
pub async fn export(
    _config: Config,
    _options: ExportOptions,
    _logs: Logs,
    _shutdown: Shutdown,
    _ui: &dyn ExportUi,
) -> Result<ExportReport, AppError> {
    unimplemented!()
}

/// Forgets exactly this integration's marks and cursors, for every sink, so that its next export is full.
///
/// # Errors
/// No root, a root in use, an integration that the store has never heard of, or a damaged store.
pub fn force_historical(_root: &Path, _name: &str) -> Result<ForgottenReport, AppError> {
    unimplemented!()
}

/// What the store holds. Reads only, also beside a running agent.
///
/// # Errors
/// No root, or a damaged store.
pub fn status(_root: &Path) -> Result<StatusReport, AppError> {
    unimplemented!()
}

/// Looks for what is wrong with a root and its surroundings. Reads only, also beside a running agent; what it cannot
/// look at is a check that failed and no error.
#[must_use]
pub fn doctor(_root: &Path) -> DoctorReport {
    unimplemented!()
}

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An argument names something that is not there.
    #[error("{0}")]
    Usage(String),
    /// There is no root, or nothing in it.
    #[error("there is no agent's root at {}; run `agent export` first, or name another with --root", .0.display())]
    NoRoot(PathBuf),
    /// Another agent has the root.
    #[error(
        "the root {} is in use by another agent{}; wait until it ends, or use another root", root.display(),
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Locked { root: PathBuf, pid: Option<u32> },
    /// The store cannot be trusted. Nothing has been overwritten.
    #[error(
        "the store {} is damaged: {fault}; nothing has been overwritten, and `agent doctor` says what to do", path.display()
    )]
    StoreDamaged { path: PathBuf, fault: String },
    /// Anything else: a full disk, a folder that cannot be written. The text names the fault, the place and the mend.
    #[error("{0}")]
    Failed(String),
}

/// What an export did.
#[derive(Debug, Clone, Serialize)]
pub struct ExportReport {
    /// In the order of the configuration.
    pub integrations: Vec<IntegrationReport>,
    /// What the sink has taken in this run, also of earlier runs' records.
    pub delivered: Delivered,
    /// What the sink has rejected for good in this run.
    pub dead_letters: Backlog,
    /// What still waits for the sink.
    pub outbox_left: Backlog,
    /// Whether the run was asked to end before it was done.
    pub interrupted: bool,
    pub duration_ms: u64,
}

/// How the run of one integration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// All of it worked.
    Ok,
    /// Some of it worked: sessions were rolled back or repositories failed, the rest is delivered.
    Partial,
    /// The integration returned an error.
    Failed,
    /// The source refused the credentials.
    Unauthenticated,
    /// The integration asked for what it is not granted, and ended for it.
    Denied,
    /// The integration broke a limit.
    Limit,
    /// The integration trapped of its own doing.
    Trapped,
    /// The run was asked to end.
    Cancelled,
}

/// What the run of one integration did.
#[derive(Debug, Clone, Serialize)]
pub struct IntegrationReport {
    pub name: String,
    pub outcome: OutcomeKind,
    /// Why, for a person, where the outcome is not `ok`.
    pub reason: Option<String>,
    /// Whether it had a cursor to begin at.
    pub incremental: bool,
    pub duration_ms: u64,
    /// The guest's own running time.
    pub cpu_ms: u64,
    /// The largest sum of its memories and tables.
    pub memory_bytes_peak: u64,
    pub host_calls: u64,
    /// All sessions, in the order of opening, parents before children.
    pub sessions: Vec<SessionSummary>,
    /// The repositories of its git jobs.
    pub repos: Vec<RepoReport>,
}

/// What became of one repository.
#[derive(Debug, Clone, Serialize)]
pub struct RepoReport {
    pub ref_id: String,
    pub name: String,
    pub records: u64,
    /// Why it failed, for a person.
    pub error: Option<String>,
}

/// What a sink has taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Delivered {
    pub batches: u64,
    pub records: u64,
    pub bytes: u64,
    /// Files written; 0 for a sink without files.
    pub files: u64,
}

/// What waits, or lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Backlog {
    pub batches: u64,
    pub records: u64,
    pub bytes: u64,
}

/// What `force_historical` forgot.
#[derive(Debug, Clone, Serialize)]
pub struct ForgottenReport {
    pub integration: String,
    pub cursors: u64,
    pub marks: u64,
}

/// What a store holds.
#[derive(Debug, Clone, Serialize)]
pub struct StatusReport {
    pub root: PathBuf,
    /// The process that has the root.
    pub running: Option<u32>,
    pub integrations: Vec<IntegrationStatus>,
    pub outbox: Backlog,
    pub dead_letters: Backlog,
    /// Bytes of the store on disk.
    pub store_bytes: u64,
}

/// What a store holds of one integration.
#[derive(Debug, Clone, Serialize)]
pub struct IntegrationStatus {
    pub name: String,
    pub cursors: Vec<CursorStatus>,
    /// Marks of records that the sinks have.
    pub marks: u64,
    /// Git jobs that are committed and not yet ended.
    pub git_jobs: u64,
    pub last_run: Option<LastRun>,
}

/// A committed cursor.
#[derive(Debug, Clone, Serialize)]
pub struct CursorStatus {
    /// As in `Sink::id`.
    pub sink: String,
    /// Session path below the integration.
    pub path: String,
    pub cursor: String,
}

/// How the last run of an integration ended.
#[derive(Debug, Clone, Serialize)]
pub struct LastRun {
    /// RFC 3339.
    pub started_at: String,
    pub duration_ms: u64,
    pub outcome: OutcomeKind,
    pub reason: Option<String>,
    pub records: u64,
}

/// What `doctor` found.
#[derive(Debug, Clone, Serialize)]
pub struct DoctorReport {
    pub root: PathBuf,
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What was looked at, in two or three words: `store`, `root's lock`, `disk space`.
    pub name: String,
    pub state: CheckState,
    /// What was found.
    pub found: String,
    /// What to do about it, where something is to be done.
    pub mend: Option<String>,
}

/// What a check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    Ok,
    /// Works, and should be looked at.
    Warning,
    /// Does not work.
    Failed,
    /// There is no root.
    NoRoot,
    /// The store is damaged.
    Damaged,
}

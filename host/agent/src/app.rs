//! Builds the parts and joins them; the only file that names them all. What the command line asks for is a function
//! here, and what it shows is a report from here: no printing, no exit codes.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use serde::Serialize;

use crate::command::outcome::{ExportOutcome, Outcome};
use crate::command::runner::Runner;
use crate::config::{Compression, Config, Integration, Sink};
use crate::delivery::{Counters, Delivery};
use crate::egress::Egress;
use crate::error_chain;
use crate::export::{ExportRun, SessionState, SessionSummary};
use crate::logs::Logs;
use crate::sandbox::{Sandbox, kill};
use crate::shutdown::Shutdown;
use crate::store::{Codec, OutboxTotals, Reader, RunRow, Store, StoreError, disk_bytes, free_bytes, owner};

/// What an export should do beside what its configuration says.
#[derive(Debug, Clone, Default)]
pub struct ExportOptions {
    /// Forget the marks and cursors of the integrations that run, so that they export everything again.
    pub reprocess_historical: bool,
    /// A test aid: kill this process, hard, when so many host calls of guests have returned.
    pub kill_after: Option<NonZeroU64>,
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
    config: Config,
    options: ExportOptions,
    logs: Logs,
    shutdown: Shutdown,
    ui: &dyn ExportUi,
) -> Result<ExportReport, AppError> {
    let began = Instant::now();
    let store = Arc::new(Store::open(&config.root, codec(&config.sink), config.outbox_bytes_max)?);
    logs.open_files(&config.root.join("logs"));
    let egress = Egress::new();
    let cache = config.root.join("cache");
    let sandbox = Sandbox::new(&cache.join("components")).map_err(|e| AppError::Failed(error_chain(&e)))?;
    if let Some(host_calls) = options.kill_after {
        kill::after(host_calls);
    }
    let delivery = Delivery::start(store.clone(), &config.sink, &shutdown);
    let runner = Arc::new(Runner {
        sandbox,
        egress,
        logs: logs.clone(),
        shutdown: shutdown.clone(),
        store: store.clone(),
        sink: config.sink.id(),
        skip_git: config.skip_git,
        customer_id: config.customer_id.clone(),
        git_cache: cache.join("repos"),
    });
    let integrations = run_all(&config, options, &runner, &logs, &shutdown, ui).await?;
    let left = delivery.flush().await;
    if let Err(error) = &left {
        tracing::error!(error = error_chain(error), "not all records are delivered");
    }
    let report = ExportReport {
        integrations,
        delivered: delivered(delivery.counters()),
        dead_letters: Backlog { batches: delivery.counters().dead.load(Ordering::Relaxed), ..Backlog::default() },
        outbox_left: backlog(store.outbox_waiting()?),
        delivery_error: left.err().map(|e| error_chain(&e)),
        interrupted: shutdown.requested(),
        duration_ms: began.elapsed().as_millis() as u64,
    };
    delivery.stop().await;
    Ok(report)
}

fn codec(sink: &Sink) -> Codec {
    match sink {
        // What a folder keeps plain is staged plain: the folder takes the segment as it is.
        Sink::Folder { compression: Compression::None, .. } => Codec::Plain,
        Sink::Folder { compression: Compression::Zstd, .. } | Sink::Stdout => Codec::Zstd,
    }
}

/// Runs all integrations at the same time; each ends for itself.
async fn run_all(
    config: &Config,
    options: ExportOptions,
    runner: &Arc<Runner>,
    logs: &Logs,
    shutdown: &Shutdown,
    ui: &dyn ExportUi,
) -> Result<Vec<IntegrationReport>, AppError> {
    type Begun = Vec<(String, Arc<OnceLock<Arc<ExportRun>>>)>;
    let begun: Begun = config.integrations.iter().map(|i| (i.name.clone(), Arc::default())).collect();
    let watched = begun.clone();
    ui.begun(Arc::new(move || {
        let run =
            |(name, run): &(String, Arc<OnceLock<Arc<ExportRun>>>)| run.get().map(|run| (name.clone(), run.snapshot()));
        watched.iter().filter_map(run).collect()
    }));
    let mut tasks = Vec::new();
    for (integration, (_, run)) in config.integrations.iter().zip(begun) {
        logs.begin_integration(&integration.name);
        if options.reprocess_historical {
            runner.store.force_historical(&integration.name, Some(&runner.sink))?;
        }
        let (runner, integration) = (runner.clone(), integration.clone());
        tasks.push(shutdown.spawn(async move { run_one(&runner, &integration, &run).await }));
    }
    let mut reports = Vec::new();
    for (task, integration) in tasks.into_iter().zip(&config.integrations) {
        let report = task.await.unwrap_or_else(|error| IntegrationReport {
            reason: Some(format!(
                "the agent failed while running it: {error}; this is a defect of the agent, please report it"
            )),
            ..IntegrationReport::empty(&integration.name, OutcomeKind::Failed)
        });
        ui.ended(&report);
        reports.push(report);
    }
    Ok(reports)
}

async fn run_one(runner: &Runner, integration: &Integration, run: &OnceLock<Arc<ExportRun>>) -> IntegrationReport {
    let began = Instant::now();
    let row = runner.store.run_started(&integration.name).await;
    let mut report = match runner.prepare(integration).await {
        Ok(prepared) => match runner.begin(&prepared) {
            Ok(begun) => {
                drop(run.set(begun.clone()));
                report(&integration.name, runner.run_export(&prepared, &begun).await)
            }
            Err(error) => IntegrationReport {
                reason: Some(error.to_string()),
                ..IntegrationReport::empty(&integration.name, OutcomeKind::Failed)
            },
        },
        Err(error) => report(&integration.name, ExportOutcome::not_run(&integration.name, &error)),
    };
    report.duration_ms = began.elapsed().as_millis() as u64;
    let records = report.sessions.iter().map(|s| s.records).sum();
    let noted = match row {
        Ok(row) => runner.store.run_ended(row, report.outcome.name(), report.reason.as_deref(), records).await,
        Err(error) => Err(error),
    };
    if let Err(error) = noted {
        tracing::warn!(integration = integration.name, error = error_chain(&error), "the run could not be noted");
    }
    report
}

/// The kinds of failure that mean: as it is configured, it cannot be run at all. Its file is no integration, the file's
/// manifest has faults, or its configuration does not fit the manifest.
const NOT_TO_BE_RUN: [&str; 3] = ["component", "manifest", "config"];

fn report(name: &str, ended: ExportOutcome) -> IntegrationReport {
    let partial = ended.partial();
    let rolled_back = ended.sessions.iter().filter(|s| s.state == SessionState::RolledBack).count();
    let (outcome, reason) = match &ended.outcome {
        Outcome::Ok { .. } if partial || rolled_back > 0 => {
            (OutcomeKind::Partial, Some(why_partial(&ended, rolled_back)))
        }
        Outcome::Ok { .. } => (OutcomeKind::Ok, None),
        Outcome::Failed { kind, .. } if NOT_TO_BE_RUN.contains(&kind.as_str()) => {
            (OutcomeKind::BadConfig, ended.outcome.reason())
        }
        Outcome::Failed { .. } => (OutcomeKind::Failed, ended.outcome.reason()),
        Outcome::Trapped { .. } => (OutcomeKind::Trapped, ended.outcome.reason()),
        Outcome::Limit { .. } => (OutcomeKind::Limit, ended.outcome.reason()),
        Outcome::Cancelled => (OutcomeKind::Cancelled, ended.outcome.reason()),
        Outcome::Denied { .. } => (OutcomeKind::Denied, ended.outcome.reason()),
    };
    if let Outcome::Trapped { backtrace, .. } = &ended.outcome {
        tracing::error!(integration = name, backtrace, "the integration broke down");
    }
    IntegrationReport {
        outcome,
        reason,
        incremental: ended.sessions.iter().any(|s| s.resumed),
        cpu_ms: ended.usage.cpu_ms as u64,
        memory_bytes_peak: ended.usage.memory_bytes_peak,
        host_calls: ended.usage.host_calls,
        sessions: ended.sessions,
        repos: ended
            .repositories
            .into_iter()
            .map(|r| RepoReport { ref_id: r.ref_id, name: r.name, records: r.records, error: r.error })
            .collect(),
        ..IntegrationReport::empty(name, outcome)
    }
}

/// Failed parts that a reason names; the rest is counted, and in the integration's log.
const PARTS_TOLD_MAX: usize = 5;

fn why_partial(ended: &ExportOutcome, rolled_back: usize) -> String {
    let mut why = Vec::new();
    if rolled_back > 0 {
        why.push(format!("{rolled_back} sessions were rolled back, and come again"));
    }
    let failed: Vec<&str> = ended.repositories.iter().filter(|r| r.error.is_some()).map(|r| r.name.as_str()).collect();
    if !failed.is_empty() {
        why.push(format!("{} repositories failed: {}", failed.len(), failed.join(", ")));
    }
    let parts = ended.failed_parts();
    if !parts.is_empty() {
        let told: Vec<String> =
            parts.iter().take(PARTS_TOLD_MAX).map(|(name, error)| format!("{name} ({error})")).collect();
        let more = if parts.len() > told.len() { ", …" } else { "" };
        why.push(format!("it says that {} of its parts failed: {}{more}", parts.len(), told.join(", ")));
    }
    if ended.repositories_left > 0 {
        why.push(format!("{} repositories are left for the next run", ended.repositories_left));
    }
    why.join("; ")
}

fn delivered(counters: &Counters) -> Delivered {
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    Delivered {
        batches: read(&counters.batches),
        records: read(&counters.records),
        bytes: read(&counters.bytes),
        files: read(&counters.files),
    }
}

fn backlog(totals: OutboxTotals) -> Backlog {
    Backlog { batches: totals.batches, records: totals.records, bytes: totals.bytes }
}

/// Forgets exactly this integration's marks and cursors, for every sink, so that its next export is full.
///
/// # Errors
/// No root, a root in use, an integration that the store has never heard of, or a damaged store.
pub fn force_historical(root: &Path, name: &str) -> Result<ForgottenReport, AppError> {
    let known = Reader::open(root)?.integrations()?;
    if !known.iter().any(|known| known == name) {
        return Err(AppError::Usage(format!(
            "the store has never heard of an integration `{name}`; it knows {}",
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        )));
    }
    let store = Store::open(root, Codec::Plain, u64::MAX)?;
    let (cursors, marks) = store.force_historical(name, None)?;
    Ok(ForgottenReport { integration: name.to_owned(), cursors: cursors as u64, marks })
}

/// What the store holds. Reads only, also beside a running agent.
///
/// # Errors
/// No root, or a damaged store.
pub fn status(root: &Path) -> Result<StatusReport, AppError> {
    let reader = Reader::open(root)?;
    let (cursors, marks, jobs, runs) =
        (reader.cursors()?, reader.mark_counts()?, reader.git_jobs()?, reader.last_runs()?);
    let integration = |name: String| IntegrationStatus {
        cursors: cursors
            .iter()
            .filter(|row| row.integration == name)
            .map(|row| CursorStatus { sink: row.sink.clone(), path: row.path.clone(), cursor: row.cursor.clone() })
            .collect(),
        marks: marks.iter().filter(|(of, _)| *of == name).map(|(_, count)| count).sum(),
        git_jobs: jobs.iter().filter(|job| job.integration == name && job.dead.is_none()).count() as u64,
        last_run: runs.iter().find(|run| run.integration == name).map(last_run),
        name,
    };
    let dead = reader.dead()?;
    Ok(StatusReport {
        root: root.to_owned(),
        running: owner(root).and_then(|pid| pid.parse().ok()),
        integrations: reader.integrations()?.into_iter().map(integration).collect(),
        outbox: backlog(reader.outbox()?),
        dead_letters: Backlog {
            batches: dead.len() as u64,
            records: dead.iter().map(|b| b.records).sum(),
            bytes: dead.iter().map(|b| b.bytes).sum(),
        },
        store_bytes: disk_bytes(root),
    })
}

fn last_run(row: &RunRow) -> LastRun {
    let started = time::OffsetDateTime::from_unix_timestamp(row.started).ok();
    LastRun {
        started_at: started
            .and_then(|t| t.format(&time::format_description::well_known::Rfc3339).ok())
            .unwrap_or_default(),
        duration_ms: row.ended.map_or(0, |ended| ended.saturating_sub(row.started).max(0) as u64 * 1000),
        // A run without an end was killed with its agent, or goes on.
        outcome: row.outcome.as_deref().and_then(OutcomeKind::from_name).unwrap_or(OutcomeKind::Cancelled),
        reason: row
            .reason
            .clone()
            .or_else(|| row.ended.is_none().then(|| "it has not ended, or its agent was killed".to_owned())),
        records: row.records,
    }
}

/// Looks for what is wrong with a root and its surroundings. Reads only, also beside a running agent; what it cannot
/// look at is a check that failed and no error.
#[must_use]
pub fn doctor(root: &Path) -> DoctorReport {
    let mut checks = vec![check_root(root)];
    if checks[0].state == CheckState::Ok {
        checks.extend([check_lock(root), check_space(root), check_store(root)]);
        checks.extend(check_backlog(root));
        checks.push(check_component_cache(root));
    }
    DoctorReport { root: root.to_owned(), checks }
}

fn check(name: &str, state: CheckState, found: impl Into<String>, mend: Option<&str>) -> Check {
    Check { name: name.to_owned(), state, found: found.into(), mend: mend.map(str::to_owned) }
}

fn check_root(root: &Path) -> Check {
    use std::os::unix::fs::MetadataExt;
    let make = Some("run `agent export`, which makes one, or name another with --root");
    match std::fs::metadata(root.join("store")) {
        Err(error) => check("root", CheckState::NoRoot, format!("{}: {error}", root.display()), make),
        Ok(meta) if meta.mode() & 0o077 != 0 => check(
            "root",
            CheckState::Warning,
            format!(
                "{} can be read or written by others (mode {:o})",
                root.join("store").display(),
                meta.mode() & 0o777
            ),
            Some("chmod 700 it: it holds customers' data"),
        ),
        Ok(_) => check("root", CheckState::Ok, root.display().to_string(), None),
    }
}

fn check_lock(root: &Path) -> Check {
    match owner(root) {
        Some(pid) => check("root's lock", CheckState::Ok, format!("process {pid} is running on it"), None),
        None => check("root's lock", CheckState::Ok, "free", None),
    }
}

/// Free space under which an operator should be told: a busy export stages as much in minutes.
const SPACE_LOW_BYTES: u64 = 1 << 30;

fn check_space(root: &Path) -> Check {
    match free_bytes(root) {
        None => check("disk space", CheckState::Warning, "cannot be asked", None),
        Some(free) if free < SPACE_LOW_BYTES => check(
            "disk space",
            CheckState::Warning,
            format!("{} MiB free", free >> 20),
            Some("free some: exports fail cleanly when the disk is full, and go on afterwards"),
        ),
        Some(free) => check("disk space", CheckState::Ok, format!("{} MiB free", free >> 20), None),
    }
}

fn check_store(root: &Path) -> Check {
    let mend = "stop the agent; keep a copy of the `store` folder; then move the folder away: the next export begins anew, \
                sends everything once more, and what waits in the old outbox is in its `segments`";
    match Reader::open(root).and_then(|reader| reader.check()) {
        Ok(faults) if faults.is_empty() => {
            check("store", CheckState::Ok, format!("sound, {} bytes", disk_bytes(root)), None)
        }
        Ok(faults) => check("store", CheckState::Damaged, faults.join("; "), Some(mend)),
        Err(StoreError::Damaged { what, .. }) => check("store", CheckState::Damaged, what, Some(mend)),
        Err(error) => check("store", CheckState::Failed, error_chain(&error), None),
    }
}

fn check_backlog(root: &Path) -> Vec<Check> {
    let Ok(reader) = Reader::open(root) else { return Vec::new() };
    let mut checks = Vec::new();
    if let Ok(waiting) = reader.outbox().map(backlog) {
        let found = format!("{} batches, {} records wait", waiting.batches, waiting.records);
        checks.push(check("outbox", CheckState::Ok, found, None));
    }
    match reader.dead() {
        Ok(dead) if !dead.is_empty() => {
            let reasons: Vec<String> =
                dead.iter().take(3).map(|b| format!("{} {}: {}", b.integration, b.model, b.reason)).collect();
            let found = format!("{} batches were rejected for good ({})", dead.len(), reasons.join("; "));
            let mend = "mend what the sink says; their records come again with the next export that sends them";
            checks.push(check("dead letters", CheckState::Warning, found, Some(mend)));
        }
        Ok(_) => checks.push(check("dead letters", CheckState::Ok, "none", None)),
        // The store's own check says why.
        Err(_) => {}
    }
    checks
}

fn check_component_cache(root: &Path) -> Check {
    use std::os::unix::fs::MetadataExt;
    let folder = root.join("cache/components");
    match std::fs::metadata(&folder) {
        Ok(meta) if meta.mode() & 0o022 != 0 => check(
            "component cache",
            CheckState::Failed,
            format!("{} can be written by others", folder.display()),
            Some("delete it and look who has access: it holds native code that the agent runs"),
        ),
        _ => check("component cache", CheckState::Ok, folder.display().to_string(), None),
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> AppError {
        match error {
            StoreError::Locked { path, pid } => AppError::Locked { root: path, pid: pid.parse().ok() },
            StoreError::Missing { path } => AppError::NoRoot(path),
            StoreError::Damaged { path, what } => AppError::StoreDamaged { path, fault: what },
            other => AppError::Failed(error_chain(&other)),
        }
    }
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
    /// Why something is left, where the sink would not take it.
    pub delivery_error: Option<String>,
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
    /// It cannot be run as it is configured: its file is no integration, or its configuration does not fit it.
    BadConfig,
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

impl OutcomeKind {
    const ALL: [OutcomeKind; 9] = [
        OutcomeKind::Ok,
        OutcomeKind::Partial,
        OutcomeKind::Failed,
        OutcomeKind::BadConfig,
        OutcomeKind::Unauthenticated,
        OutcomeKind::Denied,
        OutcomeKind::Limit,
        OutcomeKind::Trapped,
        OutcomeKind::Cancelled,
    ];

    /// One word, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            OutcomeKind::Ok => "ok",
            OutcomeKind::Partial => "partial",
            OutcomeKind::Failed => "failed",
            OutcomeKind::BadConfig => "bad_config",
            OutcomeKind::Unauthenticated => "unauthenticated",
            OutcomeKind::Denied => "denied",
            OutcomeKind::Limit => "limit",
            OutcomeKind::Trapped => "trapped",
            OutcomeKind::Cancelled => "cancelled",
        }
    }

    fn from_name(name: &str) -> Option<OutcomeKind> {
        OutcomeKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl IntegrationReport {
    fn empty(name: &str, outcome: OutcomeKind) -> IntegrationReport {
        IntegrationReport {
            name: name.to_owned(),
            outcome,
            reason: None,
            incremental: false,
            duration_ms: 0,
            cpu_ms: 0,
            memory_bytes_peak: 0,
            host_calls: 0,
            sessions: Vec::new(),
            repos: Vec::new(),
        }
    }
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

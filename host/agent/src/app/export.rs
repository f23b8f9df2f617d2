//! Runs the configured integrations once and delivers what they export.

use std::num::NonZeroU64;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use serde::Serialize;

use super::call::{NotRun, prepare};
use super::pauses::Keeper;
use super::{AppError, Backlog, backlog};
use crate::command::consent;
use crate::command::exporter::Exporter;
use crate::command::outcome::{ExportOutcome, Outcome, Repository};
use crate::command::runner::Runner;
use crate::config::{Compression, Config, ConfigFault, Integration, Sink};
use crate::delivery::{Counters, Delivery};
use crate::egress::{Egress, Pause};
use crate::error_chain;
use crate::export::{ExportRun, ModelMisfits, Sample, SessionState, SessionSummary};
use crate::git::GitMemory;
use crate::logs::Logs;
use crate::sandbox::{self, Sandbox, kill};
use crate::secrets::Sources;
use crate::shutdown::Shutdown;
use crate::store::{Codec, Store};

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

/// The pauses for spent budgets of servers that last, at the moment of the call. As cheap as [`Snapshot`].
pub type PausesNow = Arc<dyn Fn() -> Vec<Pause> + Send + Sync>;

/// Who watches an export. Its functions are called from any thread and must not block for long.
pub trait ExportUi: Send + Sync {
    /// The integrations begin to run; `snapshot` and `pauses` may be called until `export` has returned.
    fn begun(&self, snapshot: Snapshot, pauses: PausesNow);
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
    let sources = Sources::new(Some(&config.root), &shutdown);
    let egress = Egress::open(&config.egress, sources, &shutdown).map_err(AppError::Failed)?;
    let cache = config.root.join("cache");
    let sandbox_options =
        sandbox::Options { compile: config.compile.clone(), shutdown: shutdown.clone(), ..sandbox::Options::default() };
    let sandbox =
        Sandbox::new(&cache.join("components"), &sandbox_options).map_err(|e| AppError::Failed(error_chain(&e)))?;
    if let Some(host_calls) = options.kill_after {
        kill::after(host_calls);
    }
    let delivery = Delivery::start(store.clone(), &config.sink, &shutdown);
    let keeper = Keeper::start(&config.root, &egress, &shutdown);
    let exporter = Arc::new(Exporter {
        runner: Runner {
            sandbox,
            egress,
            logs: logs.clone(),
            shutdown: shutdown.clone(),
            consents: Some(consent::folder(&config.root)),
        },
        store: store.clone(),
        sink: config.sink.id(),
        skip_git: config.skip_git,
        customer_id: config.customer_id.clone(),
        git_cache: cache.join("repos"),
        git_checkpoints: cache.join("checkpoints"),
        git_memory: GitMemory::new(config.git_memory_bytes_max, config.integrations.len()),
        sample: Sample::default(),
    });
    let integrations = run_all(&config, options, &exporter, &logs, &shutdown, ui).await?;
    let left = delivery.flush().await;
    if let Err(error) = &left {
        tracing::error!(error = error_chain(error), "not all records are delivered");
    }
    let (pauses, pauses_left_out) = exporter.runner.egress.pauses();
    keeper.end(&pauses).await;
    let report = ExportReport {
        integrations,
        delivered: delivered(delivery.counters()),
        dead_letters: Backlog { batches: delivery.counters().dead.load(Ordering::Relaxed), ..Backlog::default() },
        outbox_left: backlog(store.outbox_waiting()?),
        delivery_error: left.err().map(|e| error_chain(&e)),
        pauses,
        pauses_left_out,
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
    exporter: &Arc<Exporter>,
    logs: &Logs,
    shutdown: &Shutdown,
    ui: &dyn ExportUi,
) -> Result<Vec<IntegrationReport>, AppError> {
    type Begun = Vec<(String, Arc<OnceLock<Arc<ExportRun>>>)>;
    let begun: Begun = config.integrations.iter().map(|i| (i.name.clone(), Arc::default())).collect();
    let watched = begun.clone();
    let snapshot = Arc::new(move || {
        let run =
            |(name, run): &(String, Arc<OnceLock<Arc<ExportRun>>>)| run.get().map(|run| (name.clone(), run.snapshot()));
        watched.iter().filter_map(run).collect()
    });
    let egress = exporter.runner.egress.clone();
    let lasting = move || egress.pauses().0.into_iter().filter(|pause| pause.resumed.is_none()).collect();
    ui.begun(snapshot, Arc::new(lasting));
    let mut tasks = Vec::new();
    let shared = Arc::new(config.clone());
    for (integration, (_, run)) in config.integrations.iter().zip(begun) {
        logs.begin_integration(&integration.name);
        if options.reprocess_historical {
            exporter.store.force_historical(&integration.name, Some(&exporter.sink))?;
        }
        let (exporter, integration) = (exporter.clone(), integration.clone());
        let config = shared.clone();
        tasks.push(shutdown.spawn(async move { run_one(&exporter, &config, &integration, &run).await }));
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

async fn run_one(
    exporter: &Exporter,
    config: &Config,
    integration: &Integration,
    run: &OnceLock<Arc<ExportRun>>,
) -> IntegrationReport {
    let began = Instant::now();
    let row = exporter.store.run_started(&integration.name).await;
    let mut report = match prepare(&exporter.runner, config, integration).await {
        Ok(prepared) => match exporter.begin(&prepared) {
            Ok(begun) => {
                drop(run.set(begun.clone()));
                report(&integration.name, exporter.run_export(&prepared, &begun).await)
            }
            Err(error) => IntegrationReport {
                reason: Some(error.to_string()),
                ..IntegrationReport::empty(&integration.name, OutcomeKind::Failed)
            },
        },
        Err(NotRun { outcome, faults }) => IntegrationReport {
            faults,
            ..report(&integration.name, ExportOutcome::not_run(&integration.name, outcome))
        },
    };
    report.duration_ms = began.elapsed().as_millis() as u64;
    let records = report.sessions.iter().map(|s| s.records).sum();
    let noted = match row {
        Ok(row) => exporter.store.run_ended(row, report.outcome.name(), report.reason.as_deref(), records).await,
        Err(error) => Err(error),
    };
    if let Err(error) = noted {
        tracing::warn!(integration = integration.name, error = error_chain(&error), "the run could not be noted");
    }
    report
}

/// The kinds of failure that mean: as it is configured, it cannot be run at all. Its file is no integration, the file's
/// manifest has faults, or its configuration does not fit the manifest.
const NOT_TO_BE_RUN: [&str; 4] = ["component", "manifest", "consent", "config"];

fn report(name: &str, ended: ExportOutcome) -> IntegrationReport {
    let (outcome, reason) = match why_partial_if(&ended) {
        Some(why) => (OutcomeKind::Partial, Some(why)),
        None => (OutcomeKind::of(&ended.outcome), ended.outcome.reason()),
    };
    if let Outcome::Trapped { backtrace, .. } = &ended.outcome {
        tracing::error!(integration = name, "the integration broke down; where, innermost first:");
        for frame in backtrace.lines() {
            tracing::error!(integration = name, "{}", frame.trim_end());
        }
    }
    IntegrationReport {
        outcome,
        reason,
        incremental: ended.sessions.iter().any(|s| s.resumed),
        cpu_ms: ended.usage.cpu_ms as u64,
        memory_bytes_peak: ended.usage.memory_bytes_peak,
        host_calls: ended.usage.host_calls,
        sessions: ended.sessions,
        misfits: ended.misfits,
        repos: ended.repositories.into_iter().map(RepoReport::from).collect(),
        repos_skipped: ended.repositories_skipped,
        ..IntegrationReport::empty(name, outcome)
    }
}

/// Failed parts that a reason names; the rest is counted, and in the integration's log.
const PARTS_TOLD_MAX: usize = 5;

/// Why an export that ended well is partial, if it is.
pub(super) fn why_partial_if(ended: &ExportOutcome) -> Option<String> {
    let rolled_back: Vec<&str> =
        ended.sessions.iter().filter(|s| s.state == SessionState::RolledBack).map(|s| s.path.as_str()).collect();
    let partial = ended.outcome.is_ok() && (!rolled_back.is_empty() || ended.partial());
    partial.then(|| why_partial(ended, &rolled_back))
}

fn why_partial(ended: &ExportOutcome, rolled_back: &[&str]) -> String {
    let mut why = Vec::new();
    if !rolled_back.is_empty() {
        let told = rolled_back.iter().take(PARTS_TOLD_MAX).copied().collect::<Vec<_>>().join(", ");
        let more = if rolled_back.len() > PARTS_TOLD_MAX { ", …" } else { "" };
        let (sessions, come) =
            if rolled_back.len() == 1 { ("session was", "comes") } else { ("sessions were", "come") };
        why.push(format!(
            "{} {sessions} rolled back, or not ended with `done`, and {come} again: {told}{more}",
            rolled_back.len()
        ));
    }
    let failed: Vec<&str> = ended.repositories.iter().filter(|r| r.error.is_some()).map(|r| r.name.as_str()).collect();
    if !failed.is_empty() {
        why.push(format!("{} failed: {}", plural(failed.len(), "repository", "repositories"), failed.join(", ")));
    }
    let parts = ended.failed_parts();
    if !parts.is_empty() {
        let told: Vec<String> =
            parts.iter().take(PARTS_TOLD_MAX).map(|(name, error)| format!("{name} ({error})")).collect();
        let more = if parts.len() > told.len() { ", …" } else { "" };
        let parts = plural(parts.len(), "part", "parts");
        why.push(format!("it says that {parts} failed: {}{more}", told.join(", ")));
    }
    if ended.repositories_left > 0 {
        let left = plural(ended.repositories_left, "repository is", "repositories are");
        why.push(format!("{left} left for the next run"));
    }
    for found in &ended.misfits {
        let (some, model) = (plural(found.misfits as usize, "record", "records"), &found.model);
        let example = found.examples.first().map(|e| format!(", as `{}` at {}: {}", e.key, place(&e.pointer), e.why));
        why.push(format!(
            "{some} of {model}, of {} looked at, do not fit the manifest's schema{}; they are delivered all the same, and \
             its author has to mend one or the other",
            found.checked,
            example.unwrap_or_default()
        ));
    }
    why.join("; ")
}

fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn place(pointer: &str) -> &str {
    if pointer.is_empty() { "its top" } else { pointer }
}

pub(super) fn delivered(counters: &Counters) -> Delivered {
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    Delivered {
        batches: read(&counters.batches),
        records: read(&counters.records),
        bytes: read(&counters.bytes),
        files: read(&counters.files),
    }
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
    /// The pauses because a server's budget was spent, oldest first.
    pub pauses: Vec<Pause>,
    /// Pauses beyond those that are kept.
    pub pauses_left_out: u64,
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
    pub(crate) const ALL: [OutcomeKind; 9] = [
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

    /// What an outcome comes to.
    pub(super) fn of(outcome: &Outcome) -> OutcomeKind {
        match outcome {
            Outcome::Ok { .. } => OutcomeKind::Ok,
            Outcome::Failed { kind, .. } if NOT_TO_BE_RUN.contains(&kind.as_str()) => OutcomeKind::BadConfig,
            Outcome::Failed { kind, .. } if kind == "unauthenticated" => OutcomeKind::Unauthenticated,
            Outcome::Failed { .. } => OutcomeKind::Failed,
            Outcome::Trapped { .. } => OutcomeKind::Trapped,
            Outcome::Limit { .. } => OutcomeKind::Limit,
            Outcome::Cancelled => OutcomeKind::Cancelled,
            Outcome::Denied { .. } => OutcomeKind::Denied,
        }
    }

    pub(super) fn from_name(name: &str) -> Option<OutcomeKind> {
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
            repos_skipped: 0,
            faults: Vec::new(),
            misfits: Vec::new(),
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
    /// Repositories that were left out because of `skip_git`.
    pub repos_skipped: usize,
    /// What is wrong with its configuration, with places.
    pub faults: Vec<ConfigFault>,
    /// Records that do not fit the schema of their model, among those that were looked at.
    pub misfits: Vec<ModelMisfits>,
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

impl From<Repository> for RepoReport {
    fn from(Repository { ref_id, name, records, error }: Repository) -> RepoReport {
        RepoReport { ref_id, name, records, error }
    }
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

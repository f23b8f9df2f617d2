//! Runs one component alone, for its author: the same cage, store and runner as an export of the agent, with somebody who
//! looks on. What is granted, and where records go, was decided by whoever asks.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value};

use super::call::{not_listed, not_valid};
use super::cassettes::{CassetteReport, FaultReport, Taped, Taping};
use super::export::{Delivered, OutcomeKind, RepoReport, delivered};
use super::{AppError, Backlog, backlog};
use crate::command::exporter::Exporter;
use crate::command::manifest::{ConfigError, Manifest, ManifestError};
use crate::command::outcome::{ExportOutcome, Outcome, Usage};
use crate::command::permissions::Permissions;
use crate::command::runner::{PrepareError, Prepared, Runner};
use crate::command::settings;
use crate::config::{Compression, GIT_MEMORY_BYTES_DEFAULT, Grants, Integration, Limits, Sink};
use crate::delivery::{Delivery, Lines};
use crate::egress::{Account, Egress, Exchange, Ledger};
use crate::error_chain;
use crate::export::{ModelMisfits, Sample, Sent, SessionSummary};
use crate::git::GitMemory;
use crate::logs::Logs;
use crate::sandbox::{self, Call, LoadError, Loaded, Sandbox, Seen, Witness, kill};
use crate::secrets::Sources;
use crate::shutdown::Shutdown;
use crate::store::{Codec, Store};

/// The name of the sink: cursors and marks in a root that is kept are the same however records are shown.
const SINK: &str = "run-wasm";

/// Bytes that may wait to be shown before the guest waits.
const OUTBOX_BYTES_MAX: u64 = 256 << 20;

/// Which call, with what it takes beside the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorCall {
    Describe,
    ValidateConfig,
    Onboard { kind: String },
    Export,
    Mutate { name: String, data: String },
    Webhook { headers: Vec<(String, String)>, body: Vec<u8> },
}

impl AuthorCall {
    /// As it is typed.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            AuthorCall::Describe => "describe",
            AuthorCall::ValidateConfig => "validate-config",
            AuthorCall::Onboard { .. } => "onboard",
            AuthorCall::Export => "export",
            AuthorCall::Mutate { .. } => "mutate",
            AuthorCall::Webhook { .. } => "webhook",
        }
    }

    /// Why the manifest has nothing of this name: the agent would not call it either.
    fn refusal(&self, manifest: &Manifest) -> Option<String> {
        let name = &manifest.name;
        let (why, how) = match self {
            AuthorCall::Onboard { kind } => (not_listed(name, "onboarding data", kind, &manifest.onboard)?, "onboard"),
            AuthorCall::Mutate { name: mutation, .. } => {
                (not_listed(name, "mutation", mutation, &manifest.mutations)?, "mutations")
            }
            AuthorCall::Webhook { .. } if manifest.webhook_events.is_empty() => {
                (format!("`{name}` takes no webhooks"), "webhook_events")
            }
            _ => return None,
        };
        Some(format!("{why}; a new one is listed in `{how}` of the manifest first"))
    }

    fn with_config(self, config: String) -> Call {
        match self {
            AuthorCall::Describe => Call::Describe,
            AuthorCall::ValidateConfig => Call::ValidateConfig { config },
            AuthorCall::Onboard { kind } => Call::OnboardExport { kind, config },
            AuthorCall::Export => Call::Export { config },
            AuthorCall::Mutate { name, data } => Call::Mutate { name, data, config },
            AuthorCall::Webhook { headers, body } => Call::Webhook { headers, body, config },
        }
    }
}

/// Where records go.
pub enum RecordsTo {
    Lines(Lines),
    /// A folder, as of the agent's own sink.
    Folder(PathBuf),
}

/// What to run, and with what.
pub struct RunWasm {
    pub component: PathBuf,
    /// None where nobody named one: that of the cassette that is played, else `export`.
    pub call: Option<AuthorCall>,
    /// The configuration from a file; where there is none, that of the cassette that is played, else an empty object.
    pub config: Option<Value>,
    /// Settings on top of it, as typed: `path=value`.
    pub settings: Vec<String>,
    pub grants: Grants,
    /// Grant all that the manifest asks of the network.
    pub allow_asked: bool,
    pub limits: Limits,
    /// The folder of the store.
    pub root: PathBuf,
    /// Whether the root outlives the run.
    pub keeps_root: bool,
    /// The root whose secrets may be used: the agent's, which is not that of the run.
    pub secrets_root: Option<PathBuf>,
    /// The folder of compiled components.
    pub cache: PathBuf,
    pub to: RecordsTo,
    pub skip_git: bool,
    pub count_instructions: bool,
    /// `sandbox::Options::source_lines`.
    pub source_lines: bool,
    pub taping: Taping,
    /// Ends this process with a kill after so many host calls.
    pub kill_after: Option<NonZeroU64>,
}

/// The component that was run.
#[derive(Debug, Clone, Serialize)]
pub struct ComponentReport {
    #[serde(serialize_with = "super::shown")]
    pub file: PathBuf,
    /// SHA-256, hexadecimal; none where the file cannot be read.
    pub digest: Option<String>,
    pub bytes: Option<u64>,
    /// From its manifest, if it came so far.
    pub name: Option<String>,
    pub version: Option<String>,
}

/// Where the time of the call went, milliseconds; the three parts add up to the whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TimeReport {
    pub call_ms: f64,
    /// The guest's own code.
    pub guest_ms: f64,
    /// Waiting for the network.
    pub network_ms: f64,
    /// All else: the host's work for the guest, its disk, and waiting for a processor.
    pub host_ms: f64,
    /// Before the call: reading the component and compiling it, or finding it compiled.
    pub load_ms: f64,
    /// After the call: repositories that it had queued.
    pub repositories_ms: f64,
}

/// One model's records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelReport {
    pub model: String,
    /// `send`s.
    pub batches: u64,
    /// Records sent, whatever became of them.
    pub sent: u64,
    /// Records committed.
    pub committed: u64,
    /// Of those sent, the ones that were left out as unchanged.
    pub unchanged: u64,
    /// Bytes of those committed.
    pub bytes: u64,
}

/// Where a run was when it was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stopped {
    /// The last host call, and whether it had not returned.
    pub host_call: Option<&'static str>,
    pub inside_host_call: bool,
    /// The guest's own frames first; empty where there is none.
    pub backtrace: String,
    /// What it said last on standard error, or logged as an error.
    pub last_lines: Vec<String>,
}

/// What a run did.
#[derive(Debug, Clone, Serialize)]
pub struct RunWasmReport {
    pub component: ComponentReport,
    pub call: &'static str,
    pub outcome: OutcomeKind,
    /// Why, for a person, where the outcome is not `ok`.
    pub reason: Option<String>,
    /// What the call returned.
    pub result: Option<Value>,
    /// Where it was stopped, if it was.
    pub stopped: Option<Stopped>,
    pub time: TimeReport,
    pub memory_bytes_peak: u64,
    pub memory_bytes_max: u64,
    /// Instructions of WebAssembly; none where they were not counted.
    pub instructions: Option<u64>,
    pub host_calls: u64,
    pub host_calls_by_name: BTreeMap<&'static str, u64>,
    pub models: Vec<ModelReport>,
    /// Records that do not fit the schema that the manifest has for their model.
    pub misfits: Vec<ModelMisfits>,
    pub sessions: Vec<SessionSummary>,
    pub repositories: Vec<RepoReport>,
    /// The documents of repositories that it queued, or would have where they are left out: the first of them.
    pub repositories_asked: Vec<Value>,
    /// Repositories beyond those.
    pub repositories_asked_left_out: u64,
    pub requests: Vec<Exchange>,
    /// Requests beyond those listed.
    pub requests_left_out: u64,
    /// Bytes that left the guest as records, and through the network, and that came in from there.
    pub bytes_records: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub log_lines: u64,
    pub log_lines_suppressed: u64,
    /// What became of the cassette, if there was one.
    pub cassette: Option<CassetteReport>,
    /// Faults that were to be put in, and how often they were.
    pub faults: Vec<FaultReport>,
    pub permissions: Permissions,
    pub delivered: Delivered,
    /// What could not be shown or written.
    pub left: Backlog,
    pub delivery_error: Option<String>,
    pub interrupted: bool,
    pub duration_ms: u64,
}

/// Runs it. Ends at the next good place when `shutdown` is requested. That the component fails is no error.
///
/// # Errors
/// What keeps it from being tried at all: see [`AppError`].
pub async fn run_wasm(mut request: RunWasm, logs: Logs, shutdown: Shutdown) -> Result<RunWasmReport, AppError> {
    let began = Instant::now();
    let taped = begin(std::mem::take(&mut request.taping), &shutdown).await?;
    let call = request.adopt(&taped)?;
    let options = sandbox::Options {
        count_instructions: request.count_instructions,
        source_lines: request.source_lines,
        shutdown: shutdown.clone(),
        ..sandbox::Options::default()
    };
    let sandbox = Sandbox::new(&request.cache, &options).map_err(|e| AppError::Failed(error_chain(&e)))?;
    let sources = Sources::new(request.secrets_root.as_deref(), &shutdown);
    let (egress, ledger) = Egress::with_ledger(sources, &shutdown, taped.faults.clone());
    let alone = Alone {
        runner: Runner { sandbox, egress, logs, shutdown, consents: None },
        ledger,
        witness: Arc::new(Witness::new(request.count_instructions)),
        began,
        report: RunWasmReport::begin(&request, &call),
        taped,
    };
    alone.run(request, call).await
}

/// Makes ready what is to be played and written. A file that does not answer ends with the first interrupt.
async fn begin(taping: Taping, shutdown: &Shutdown) -> Result<Taped, AppError> {
    let beginning = shutdown.spawn_blocking(move || Taped::begin(taping));
    tokio::select! {
        begun = beginning => begun.map_err(|_| lost())?,
        () = shutdown.wait() => Err(AppError::Interrupted),
    }
}

fn lost() -> AppError {
    AppError::Failed(
        "reading or writing a cassette broke off; this is a fault of the agent, and its log says more".to_owned(),
    )
}

/// One run under way.
struct Alone {
    runner: Runner,
    ledger: Arc<Ledger>,
    witness: Arc<Witness>,
    began: Instant,
    report: RunWasmReport,
    taped: Taped,
}

impl Alone {
    async fn run(mut self, mut request: RunWasm, call: AuthorCall) -> Result<RunWasmReport, AppError> {
        let loaded = match self.load(request.component.clone()).await {
            Ok(loaded) => loaded,
            Err(why) => return Ok(self.refuse(OutcomeKind::BadConfig, why)),
        };
        if call == AuthorCall::Describe {
            return Ok(self.describe(&request, &loaded).await);
        }
        let manifest = match self.runner.describe(&stem(&request.component), &loaded).await {
            Ok(manifest) => manifest,
            Err(error) => {
                let kind =
                    if let ManifestError::Call(_) = &error { OutcomeKind::Failed } else { OutcomeKind::BadConfig };
                return Ok(self.refuse(kind, error.to_string()));
            }
        };
        self.report.component.name = Some(manifest.name.clone());
        self.report.component.version = Some(manifest.version.clone());
        if let Some(why) = call.refusal(&manifest) {
            return Ok(self.refuse(OutcomeKind::Failed, why));
        }
        let mut config = request.config.take().unwrap_or_else(|| Value::Object(Map::new()));
        let faults: Vec<String> = request
            .settings
            .iter()
            .filter_map(|setting| settings::put(&mut config, setting, &manifest.config).err())
            .map(|fault| fault.to_string())
            .collect();
        if !faults.is_empty() {
            return Ok(self.refuse(OutcomeKind::BadConfig, faults.join("\n")));
        }
        let integration = Integration {
            name: manifest.name.clone(),
            component: request.component.clone(),
            sha256: None,
            config,
            grants: std::mem::take(&mut request.grants),
            limits: request.limits.clone(),
            skip_git: request.skip_git,
        };
        let mut prepared = match Prepared::new(integration, loaded, manifest) {
            Ok(prepared) => prepared,
            Err(error) => return Ok(self.refuse(OutcomeKind::BadConfig, told(&error))),
        };
        if request.allow_asked {
            prepared.grant_asked();
        }
        prepared.witness = Some(Arc::clone(&self.witness));
        self.taped.join(&mut prepared, &call, request.keeps_root.then_some(request.root.as_path()));
        let skip_git = prepared.integration.skip_git;
        request.skip_git |= skip_git;
        if self.runner.shutdown.requested() {
            return Ok(self.refuse(OutcomeKind::Cancelled, "it was interrupted before it began".to_owned()));
        }
        // Not before: what `describe` asks of the host is none of its run.
        if let Some(host_calls) = request.kill_after {
            kill::after(host_calls);
        }
        match call {
            AuthorCall::Export => self.export(request, &prepared).await?,
            call => {
                let validates = call == AuthorCall::ValidateConfig;
                let call = call.with_config(prepared.integration.config.to_string());
                let ended = self.runner.run_call(&prepared, call).await;
                self.ended(ended.outcome, ended.usage);
                if validates
                    && self.report.outcome == OutcomeKind::Ok
                    && let Some((outcome, reason)) = self.report.result.as_ref().and_then(not_valid)
                {
                    (self.report.outcome, self.report.reason) = (outcome, Some(reason));
                }
            }
        }
        self.fill_in(Some(&prepared));
        // A pipe takes what is written as fast as somebody reads it.
        let taped = self.taped;
        self.runner.shutdown.spawn_blocking(move || taped.end()).await.map_err(|_| lost())??;
        Ok(self.report)
    }

    /// Loads the component, and says what it is where it cannot be run.
    async fn load(&mut self, file: PathBuf) -> Result<Loaded, String> {
        let began = Instant::now();
        let looked = file.clone();
        let look = self.runner.shutdown.spawn_blocking(move || Sandbox::look(&looked)).await;
        let (anatomy, digest, bytes) =
            look.map_err(|_| PrepareError::Lost.to_string())?.map_err(|error| error_chain(&error))?;
        self.report.component.digest = Some(digest);
        self.report.component.bytes = Some(bytes);
        let loaded = self.runner.load(file.clone()).await.map_err(|error| match (&error, anatomy.obstacle()) {
            // What can be seen from outside says it better: a newer contract, another world.
            (PrepareError::Load(LoadError::OtherWorld { .. } | LoadError::UnknownImports { .. }), Some(why)) => {
                format!("{} cannot be run: {why}", file.display())
            }
            _ => error_chain(&error),
        });
        self.report.time.load_ms = began.elapsed().as_secs_f64() * 1e3;
        loaded
    }

    async fn describe(mut self, request: &RunWasm, loaded: &Loaded) -> RunWasmReport {
        let name = stem(&request.component);
        let witness = Arc::clone(&self.witness);
        let ended = self.runner.describe_anew(&name, loaded, &request.limits, witness).await;
        let outcome = match ended.outcome {
            Outcome::Ok { result } => match Manifest::parse(&result.to_string()) {
                Ok(manifest) => {
                    self.report.component.name = Some(manifest.name);
                    self.report.component.version = Some(manifest.version);
                    Outcome::Ok { result }
                }
                Err(error) => {
                    self.report.result = Some(result);
                    Outcome::Failed { kind: "manifest".to_owned(), reason: error.to_string() }
                }
            },
            outcome => outcome,
        };
        self.ended(outcome, ended.usage);
        self.fill_in(None);
        self.report
    }

    async fn export(&mut self, request: RunWasm, prepared: &Prepared) -> Result<(), AppError> {
        let store = Arc::new(Store::open(&request.root, Codec::Plain, OUTBOX_BYTES_MAX)?);
        if request.keeps_root {
            self.runner.logs.open_files(&request.root.join("logs"));
            self.runner.logs.begin_integration(&prepared.integration.name);
        }
        let shutdown = &self.runner.shutdown;
        let delivery = match request.to {
            RecordsTo::Lines(lines) => Delivery::start_lines(store.clone(), SINK.to_owned(), lines, shutdown),
            RecordsTo::Folder(path) => {
                let sink = Sink::Folder { path, compression: Compression::None };
                Delivery::start_as(store.clone(), SINK.to_owned(), &sink, shutdown)
            }
        };
        let exporter = Exporter {
            runner: self.runner.clone(),
            store: store.clone(),
            sink: SINK.to_owned(),
            git_cache: request.root.join("cache/repos"),
            git_checkpoints: request.root.join("cache/checkpoints"),
            git_memory: GitMemory::new(GIT_MEMORY_BYTES_DEFAULT, 1),
            skip_git: request.skip_git,
            customer_id: String::new(),
            sample: Sample::ALL,
        };
        let run = exporter.begin(prepared).map_err(|error| AppError::Failed(error.to_string()))?;
        let began = Instant::now();
        let ended = exporter.run_export(prepared, &run).await;
        let took = began.elapsed().as_secs_f64() * 1e3;
        self.report.time.repositories_ms =
            if ended.repositories.is_empty() { 0.0 } else { (took - ended.usage.wall_ms).max(0.0) };
        self.exported(ended, &run.sent());
        let flushed = delivery.flush().await;
        self.report.delivery_error = flushed.err().map(|error| error_chain(&error));
        self.report.delivered = delivered(delivery.counters());
        self.report.left = backlog(store.outbox_waiting()?);
        self.report.left.batches += delivery.counters().dead.load(Ordering::Relaxed);
        delivery.stop().await;
        Ok(())
    }

    fn exported(&mut self, ended: ExportOutcome, sent: &BTreeMap<String, Sent>) {
        let partial = super::export::why_partial_if(&ended);
        self.report.models = models(&ended.sessions, sent);
        self.report.sessions = ended.sessions;
        self.report.misfits = ended.misfits;
        self.report.repositories = ended.repositories.into_iter().map(RepoReport::from).collect();
        self.ended(ended.outcome, ended.usage);
        if let (OutcomeKind::Ok, Some(why)) = (self.report.outcome, partial) {
            self.report.outcome = OutcomeKind::Partial;
            self.report.reason = Some(why);
        }
    }

    /// Takes what a call's end says.
    fn ended(&mut self, outcome: Outcome, usage: Usage) {
        let seen = self.witness.seen();
        let report = &mut self.report;
        report.outcome = OutcomeKind::of(&outcome);
        report.reason = outcome.reason();
        report.time.take(&usage, seen.network);
        report.memory_bytes_peak = usage.memory_bytes_peak;
        report.instructions = usage.instructions;
        report.host_calls = usage.host_calls;
        let stopped = |backtrace: String| Stopped {
            host_call: seen.last,
            inside_host_call: seen.inside,
            backtrace,
            last_lines: seen.last_lines.clone(),
        };
        match outcome {
            Outcome::Ok { result } => report.result = Some(result),
            Outcome::Trapped { backtrace, .. } => report.stopped = Some(stopped(backtrace)),
            Outcome::Limit { .. } | Outcome::Cancelled => report.stopped = Some(stopped(String::new())),
            Outcome::Failed { .. } | Outcome::Denied { .. } => {}
        }
    }

    /// Takes what those say who looked on.
    fn fill_in(&mut self, prepared: Option<&Prepared>) {
        let (seen, account) = (self.witness.seen(), self.ledger.account());
        if let Some(prepared) = prepared {
            self.report.permissions = prepared.permissions(&account, &seen);
        }
        let report = &mut self.report;
        let Seen { calls, log_lines, log_lines_suppressed, record_bytes, repositories, repositories_left_out, .. } =
            seen;
        let Account { exchanges, exchanges_left_out, bytes_sent, bytes_received, .. } = account;
        report.host_calls_by_name = calls;
        (report.log_lines, report.log_lines_suppressed) = (log_lines, log_lines_suppressed);
        report.bytes_records = record_bytes;
        (report.repositories_asked, report.repositories_asked_left_out) = (repositories, repositories_left_out);
        (report.cassette, report.faults) = (self.taped.report(), self.taped.faults_report());
        if let (OutcomeKind::Ok, Some(why)) =
            (report.outcome, report.cassette.as_ref().and_then(CassetteReport::broken))
        {
            (report.outcome, report.reason) = (OutcomeKind::Failed, Some(why));
        }
        (report.requests, report.requests_left_out) = (exchanges, exchanges_left_out);
        (report.bytes_sent, report.bytes_received) = (bytes_sent, bytes_received);
        report.interrupted = self.runner.shutdown.requested();
        report.duration_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
    }

    /// The report of a run that never began.
    fn refuse(mut self, outcome: OutcomeKind, reason: String) -> RunWasmReport {
        self.report.outcome = outcome;
        self.report.reason = Some(reason);
        self.fill_in(None);
        self.report
    }
}

impl TimeReport {
    /// Splits the time of a call. Clocks are read one after the other, so parts are cut to the whole.
    fn take(&mut self, usage: &Usage, network: Duration) {
        self.call_ms = usage.wall_ms;
        self.guest_ms = usage.cpu_ms.min(self.call_ms);
        self.network_ms = (network.as_secs_f64() * 1e3).min(self.call_ms - self.guest_ms);
        self.host_ms = self.call_ms - self.guest_ms - self.network_ms;
    }
}

impl RunWasm {
    /// Takes what nobody typed from the cassette that is played; the call.
    fn adopt(&mut self, taped: &Taped) -> Result<AuthorCall, AppError> {
        let call = match (self.call.take(), taped.recorded()) {
            (Some(call), _) => call,
            (None, Some((recorded, config))) => {
                self.config.get_or_insert(config);
                recorded?
            }
            (None, None) => AuthorCall::Export,
        };
        if call == AuthorCall::Describe && taped.is_asked() {
            let told = "describe sees nothing of the world, so there is nothing to record or to play; leave --record and --replay out";
            return Err(AppError::Usage(told.to_owned()));
        }
        Ok(call)
    }
}

impl RunWasmReport {
    fn begin(request: &RunWasm, call: &AuthorCall) -> RunWasmReport {
        RunWasmReport {
            component: ComponentReport {
                file: request.component.clone(),
                digest: None,
                bytes: None,
                name: None,
                version: None,
            },
            call: call.word(),
            outcome: OutcomeKind::Failed,
            reason: None,
            result: None,
            stopped: None,
            time: TimeReport::default(),
            memory_bytes_peak: 0,
            memory_bytes_max: request.limits.memory_bytes_max,
            instructions: None,
            host_calls: 0,
            host_calls_by_name: BTreeMap::new(),
            models: Vec::new(),
            misfits: Vec::new(),
            sessions: Vec::new(),
            repositories: Vec::new(),
            repositories_asked: Vec::new(),
            repositories_asked_left_out: 0,
            requests: Vec::new(),
            requests_left_out: 0,
            bytes_records: 0,
            bytes_sent: 0,
            bytes_received: 0,
            log_lines: 0,
            log_lines_suppressed: 0,
            cassette: None,
            faults: Vec::new(),
            permissions: Permissions::default(),
            delivered: Delivered::default(),
            left: Backlog::default(),
            delivery_error: None,
            interrupted: false,
            duration_ms: 0,
        }
    }
}

/// What became of each model's records.
fn models(sessions: &[SessionSummary], sent: &BTreeMap<String, Sent>) -> Vec<ModelReport> {
    let mut models: BTreeMap<&str, ModelReport> = BTreeMap::new();
    for session in sessions {
        let Some(model) = &session.model else { continue };
        let row = models.entry(model).or_insert_with(|| {
            let Sent { batches, records } = sent.get(model).copied().unwrap_or_default();
            ModelReport { model: model.clone(), batches, sent: records, committed: 0, unchanged: 0, bytes: 0 }
        });
        row.committed += session.records;
        row.unchanged += session.unchanged;
        row.bytes += session.bytes;
    }
    models.into_values().collect()
}

/// What is wrong with a configuration, for somebody who typed it.
fn told(error: &ConfigError) -> String {
    match error {
        ConfigError::Faults(faults) => {
            let lines: Vec<String> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
            format!(
                "the configuration does not fit this integration; correct it with --config-file FILE or name=value:{}",
                lines.concat()
            )
        }
        ConfigError::Schema(_) => error.to_string(),
    }
}

/// A name for the log of a component that has not been asked for its own yet.
fn stem(file: &std::path::Path) -> String {
    file.file_stem().map_or_else(|| "component".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_the_time_add_up() {
        for (cpu_ms, network_ms, expected) in
            [(2.0, 3, (2.0, 3.0, 5.0)), (20.0, 3, (10.0, 0.0, 0.0)), (2.0, 30, (2.0, 8.0, 0.0))]
        {
            let usage = Usage { cpu_ms, wall_ms: 10.0, ..Usage::default() };
            let mut time = TimeReport::default();
            time.take(&usage, Duration::from_millis(network_ms));
            assert_eq!((time.guest_ms, time.network_ms, time.host_ms), expected);
        }
    }
}

//! Builds the parts and joins them; the only module that names them all. What the command line asks for is a function
//! here, and what it shows is a report from here: no printing, no exit codes. One file for each kind of command.

mod call;
mod cassettes;
mod check;
mod discover;
mod doctor;
mod export;
mod history;
mod inspect;
mod integrations;
mod new;
mod new_file;
mod pauses;
mod records;
mod resume_check;
mod run_wasm;
mod secrets;
mod status;
mod suite;

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::error_chain;
use crate::store::{OutboxTotals, StoreError};

pub use call::{CallReport, Request, ValidateReport, call, validate};
pub use cassettes::{CassetteReport, FaultReport, Taping};
pub use check::{CheckReport, IntegrationCheck, check};
pub use discover::{Candidate, Described, DiscoverReport, Discovered, DiscoveredModel, discover, merged_schema};
pub use doctor::{Check, CheckState, DoctorReport, doctor};
pub use export::{
    Delivered, ExportOptions, ExportReport, ExportUi, IntegrationReport, OutcomeKind, PausesNow, RepoReport, Snapshot,
    export,
};
pub use history::{
    AgreementReport, CheckpointReport, DifferenceReport, HistoryReport, HistoryRequest, HistoryRun, Listed,
    MEMORY_BYTES_MIN as HISTORY_MEMORY_BYTES_MIN, RECORD_SCHEMA, THREADS_MAX as HISTORY_THREADS_MAX, ValidateRequest,
    history_validate,
};
pub use inspect::{InspectReport, inspect};
pub use integrations::{
    Added, AddedState, Before, ConsentReport, IntegrationsReport, Named, Proposal, agreed_file, integration_grant,
    integration_name, integration_remove, integrations_list, propose,
};
pub use new::{NewOptions, NewReport, TEMPLATES, Template, new_project};
pub use new_file::{Leftover, NewFile};
pub use records::{Difference, Found};
pub use resume_check::{Kills, ResumeCheck, ResumeFailure, ResumeReport, ResumeWatch, Unjudged, resume_check};
pub use ripsrc::{Phase as HistoryPhase, Progress as HistoryProgress, Watch as HistoryWatch};
pub use run_wasm::{
    AuthorCall, ComponentReport, ModelReport, RecordsTo, RunWasm, RunWasmReport, Stopped, TimeReport, run_wasm,
};
pub use secrets::{SecretReport, SecretsReport, secret_remove, secret_set, secrets_list};
pub use status::{CursorStatus, ForgottenReport, IntegrationStatus, LastRun, StatusReport, force_historical, status};
pub use suite::{CHECKS, TestCheck, TestReport, TestRequest, TestState, run_suite};

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
    /// Somebody did not want to wait until it had begun.
    #[error("interrupted before anything had begun")]
    Interrupted,
    /// Anything else: a full disk, a folder that cannot be written. The text names the fault, the place and the mend.
    #[error("{0}")]
    Failed(String),
}

/// A path in a report, as it is shown: JSON has no word for a name that is no text, and the rest of the report is not to be lost
/// with it.
fn shown<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// What waits, or lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Backlog {
    pub batches: u64,
    pub records: u64,
    pub bytes: u64,
}

fn backlog(totals: OutboxTotals) -> Backlog {
    Backlog { batches: totals.batches, records: totals.records, bytes: totals.bytes }
}

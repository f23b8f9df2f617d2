//! How a run ended: for a person, for `--json`, and for exit codes. Data only; who runs is `runner`.

use serde::Serialize;
use serde_json::Value;

use super::consent::ConsentError;
use super::runner::PrepareError;
use crate::export::{ModelMisfits, SessionSummary};
use crate::git::RepoOutcome;
use crate::sandbox::{CallEnd, CallReport, LoadError};
use crate::secrets::strike;

/// How a call of an integration ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It gave its document.
    Ok { result: Value },
    /// It, or what must come before it, failed. `kind` is the contract's (`invalid`, `not-found`, …), or `component`,
    /// `manifest`, `consent`, `config` or `result` where the fault lies there, or `unauthenticated`.
    Failed { kind: String, reason: String },
    /// It trapped of its own doing.
    Trapped { reason: String, backtrace: String },
    /// It broke a limit and was ended.
    Limit { name: &'static str, value: String },
    /// It was told to end and did not in time.
    Cancelled,
    /// It could not go on without something that it was not granted.
    Denied { reason: String },
}

impl Outcome {
    /// One word, as in JSON.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Ok { .. } => "ok",
            Outcome::Failed { .. } => "failed",
            Outcome::Trapped { .. } => "trapped",
            Outcome::Limit { .. } => "limit",
            Outcome::Cancelled => "cancelled",
            Outcome::Denied { .. } => "denied",
        }
    }

    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Outcome::Ok { .. })
    }

    /// Why it did not end well, for a person; nothing if it did.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            Outcome::Ok { .. } => None,
            Outcome::Failed { reason, .. } | Outcome::Denied { reason } => Some(reason.clone()),
            Outcome::Trapped { reason, .. } => Some(trapped(reason)),
            Outcome::Limit { name, value } => Some(limit(name, value)),
            Outcome::Cancelled => Some(CANCELLED.to_owned()),
        }
    }

    /// What a call's end means. The guest's document must be JSON. Secrets are struck out of all that it says.
    pub(super) fn of(mut end: CallEnd) -> Outcome {
        match &mut end {
            CallEnd::Ok(text) | CallEnd::Failed { message: text, .. } => strike(text),
            CallEnd::Trapped { message, backtrace } => {
                strike(message);
                strike(backtrace);
            }
            CallEnd::Limit { .. } | CallEnd::Cancelled => {}
        }
        match end {
            CallEnd::Ok(document) => match serde_json::from_str(&document) {
                Ok(result) => Outcome::Ok { result },
                Err(error) => Outcome::failed("result", format!("what it returned is not JSON: {error}")),
            },
            CallEnd::Failed { message, .. } if message.starts_with(UNAUTHENTICATED) => {
                Outcome::failed("unauthenticated", message)
            }
            CallEnd::Failed { kind: "denied", message } => Outcome::Denied { reason: message },
            CallEnd::Failed { kind, message } => Outcome::failed(kind, message),
            CallEnd::Trapped { message, backtrace } => Outcome::Trapped { reason: message, backtrace },
            CallEnd::Limit { name, value } => Outcome::Limit { name, value },
            CallEnd::Cancelled => Outcome::Cancelled,
        }
    }

    pub(super) fn failed(kind: &str, reason: impl Into<String>) -> Outcome {
        Outcome::Failed { kind: kind.to_owned(), reason: reason.into() }
    }
}

impl From<&PrepareError> for Outcome {
    fn from(error: &PrepareError) -> Outcome {
        let kind = match error {
            PrepareError::Load(LoadError::Interrupted { .. }) => return Outcome::Cancelled,
            // The machine's fault and not the component's.
            PrepareError::Load(LoadError::CompileStart { .. }) => "unavailable",
            PrepareError::Load(_) => "component",
            PrepareError::Lost => "other",
            PrepareError::Manifest(_) => "manifest",
            PrepareError::Config(_) => "config",
            PrepareError::Consent(error @ ConsentError::Changed { .. }) => {
                return Outcome::Denied { reason: error.to_string() };
            }
            PrepareError::Consent(_) => "consent",
            PrepareError::Cancelled => return Outcome::Cancelled,
        };
        let mut reason = error.to_string();
        // The chain, printed: what the system said about a file comes after what it was wanted for.
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            reason.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Outcome::failed(kind, reason)
    }
}

/// How an integration says that the source refused its credentials: an error, or a fault that `validate-config` found, begins
/// like this (docs/contract.md). The contract has no case for it, and one more would break components built before.
pub const UNAUTHENTICATED: &str = "unauthenticated:";

const CANCELLED: &str = "it was told to end and did not return in time";

fn trapped(reason: &str) -> String {
    format!("the integration broke down: {reason}")
}

/// Limits that no configuration changes.
const FIXED: [&str; 7] = [
    "stack_bytes_max",
    "random_bytes_max",
    "result_bytes_max",
    "result_values_max",
    "instances_max",
    "memories_max",
    "tables_max",
];

/// The key by which a configuration sets a limit.
fn key(name: &str) -> Option<&str> {
    match name {
        // A multiple of the guest's own.
        "host_time_max" => Some("cpu_time"),
        name if FIXED.contains(&name) => None,
        name => name.strip_suffix("_bytes_max").or_else(|| name.strip_suffix("_max")),
    }
}

fn limit(name: &str, value: &str) -> String {
    match key(name) {
        Some(key) => format!(
            "the limit {name} ({value}) was reached; raise `{key}` in the integration's `limits` if its work needs more"
        ),
        None => format!("the limit {name} ({value}) was reached; it is fixed, so the integration has to do with less"),
    }
}

/// How a call of `describe` ended, for a person: its limits are not the configuration's.
pub(super) fn told(end: &CallEnd) -> String {
    match end {
        CallEnd::Ok(_) => "it returned".to_owned(),
        CallEnd::Failed { message, .. } => message.clone(),
        CallEnd::Trapped { message, .. } => trapped(message),
        CallEnd::Limit { name, value } => {
            format!("the limit {name} ({value}) was reached; it is fixed here, so the integration has to do with less")
        }
        CallEnd::Cancelled => CANCELLED.to_owned(),
    }
}

/// What a call used.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Usage {
    /// The guest's own running time, milliseconds.
    pub cpu_ms: f64,
    /// From the call to its end, milliseconds.
    pub wall_ms: f64,
    /// The largest sum of its memories and tables, bytes.
    pub memory_bytes_peak: u64,
    pub host_calls: u64,
    /// Instructions of WebAssembly, where they are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<u64>,
}

impl From<&CallReport> for Usage {
    fn from(report: &CallReport) -> Usage {
        Usage {
            cpu_ms: report.cpu.as_secs_f64() * 1e3,
            wall_ms: report.wall.as_secs_f64() * 1e3,
            memory_bytes_peak: report.memory_bytes_peak,
            host_calls: report.host_calls,
            instructions: report.instructions,
        }
    }
}

/// What became of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repository {
    pub ref_id: String,
    pub name: String,
    pub records: u64,
    /// Why it failed; none if it did not.
    pub error: Option<String>,
}

impl From<RepoOutcome> for Repository {
    fn from(outcome: RepoOutcome) -> Repository {
        let RepoOutcome { ref_id, name, records, error } = outcome;
        Repository { ref_id, name, records, error }
    }
}

/// How one call other than an export ended, and what it used.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallOutcome {
    /// The integration's instance name.
    pub integration: String,
    #[serde(flatten)]
    pub outcome: Outcome,
    pub usage: Usage,
}

/// How one export ended, and what it did.
#[derive(Debug, Clone, Serialize)]
pub struct ExportOutcome {
    /// The integration's instance name.
    pub integration: String,
    /// How the integration's own part ended. What it committed stays committed however it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    pub usage: Usage,
    /// Parents before children, in order of opening.
    pub sessions: Vec<SessionSummary>,
    /// Repositories that were worked off, in order.
    pub repositories: Vec<Repository>,
    /// Repositories that are queued and were not come to; the next run does.
    pub repositories_left: usize,
    /// Repositories that were left out because the operator skips git.
    pub repositories_skipped: usize,
    /// Records that do not fit the schema of their model, among those that were looked at.
    pub misfits: Vec<ModelMisfits>,
}

impl ExportOutcome {
    /// The outcome of an integration that never ran.
    #[must_use]
    pub fn not_run(integration: &str, outcome: Outcome) -> ExportOutcome {
        ExportOutcome::without_run(integration, outcome)
    }

    pub(super) fn without_run(integration: &str, outcome: Outcome) -> ExportOutcome {
        ExportOutcome {
            integration: integration.to_owned(),
            outcome,
            usage: Usage::default(),
            sessions: Vec::new(),
            repositories: Vec::new(),
            repositories_left: 0,
            repositories_skipped: 0,
            misfits: Vec::new(),
        }
    }

    /// The parts of its source that the integration itself says have failed (`wit/schemas/export-result.json`): name or id,
    /// and why.
    #[must_use]
    pub fn failed_parts(&self) -> Vec<(&str, &str)> {
        let Outcome::Ok { result } = &self.outcome else { return Vec::new() };
        result.get("projects").and_then(Value::as_array).into_iter().flatten().filter_map(part_failed).collect()
    }

    /// Whether the integration ended well and some of its repositories, of its records or of the parts of its source did not.
    #[must_use]
    pub fn partial(&self) -> bool {
        self.outcome.is_ok()
            && (self.repositories_left > 0
                || self.repositories.iter().any(|repository| repository.error.is_some())
                || !self.misfits.is_empty()
                || !self.failed_parts().is_empty())
    }
}

fn part_failed(part: &Value) -> Option<(&str, &str)> {
    let text = |member: &str| part.get(member).and_then(Value::as_str).filter(|text| !text.is_empty());
    Some((text("name").or(text("ref_id")).unwrap_or("a part without a name"), text("error")?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn outcomes_are_flat_in_json() {
        let outcome = CallOutcome {
            integration: "a".to_owned(),
            outcome: Outcome::of(CallEnd::Limit { name: "cpu_time_max", value: "1 s".to_owned() }),
            usage: Usage::default(),
        };
        let json = serde_json::to_value(&outcome).expect("JSON");
        assert_eq!(json["outcome"], "limit");
        assert_eq!(json["name"], "cpu_time_max");
        assert_eq!(json["usage"]["host_calls"], 0);
    }

    #[test]
    fn ends_are_told_apart() {
        let failed = |kind| CallEnd::Failed { kind, message: "m".to_owned() };
        assert_eq!(Outcome::of(CallEnd::Ok("{\"a\":1}".to_owned())), Outcome::Ok { result: json!({"a": 1}) });
        assert_eq!(Outcome::of(CallEnd::Ok("no".to_owned())).word(), "failed");
        assert_eq!(Outcome::of(failed("denied")).word(), "denied");
        assert_eq!(Outcome::of(failed("not-found")), Outcome::failed("not-found", "m"));
        let refused = CallEnd::Failed { kind: "other", message: "unauthenticated: 401".to_owned() };
        assert_eq!(Outcome::of(refused), Outcome::failed("unauthenticated", "unauthenticated: 401"));
    }

    #[test]
    fn no_end_holds_a_secret() {
        let _held = crate::secrets::Secret::new("outcome-canary-1".to_owned());
        for end in [
            CallEnd::Ok("{\"a\":\"outcome-canary-1\"}".to_owned()),
            CallEnd::Failed { kind: "other", message: "outcome-canary-1".to_owned() },
            CallEnd::Trapped { message: "outcome-canary-1".to_owned(), backtrace: "outcome-canary-1".to_owned() },
        ] {
            let outcome = format!("{:?}", Outcome::of(end));
            assert!(outcome.contains("[redacted]") && !outcome.contains("canary"), "{outcome}");
        }
    }

    #[test]
    fn a_failed_repository_makes_it_partial() {
        let mut outcome = ExportOutcome::without_run("a", Outcome::Ok { result: json!({}) });
        assert!(!outcome.partial());
        outcome.repositories.push(Repository {
            ref_id: "1".into(),
            name: "r".into(),
            records: 0,
            error: Some("gone".into()),
        });
        assert!(outcome.partial());
        outcome.outcome = Outcome::Cancelled;
        assert!(!outcome.partial());
    }

    #[test]
    fn a_part_that_failed_makes_it_partial() {
        for (result, failed) in [
            (json!({}), vec![]),
            (json!({"projects": [{"ref_id": "1"}, {"ref_id": "2", "error": "gone"}]}), vec![("2", "gone")]),
            (json!({"projects": [{"ref_id": "1", "name": "one", "error": "gone"}]}), vec![("one", "gone")]),
            (json!({"projects": 7}), vec![]),
        ] {
            let outcome = ExportOutcome::without_run("a", Outcome::Ok { result });
            assert_eq!(outcome.failed_parts(), failed);
            assert_eq!(outcome.partial(), !failed.is_empty());
        }
    }
}

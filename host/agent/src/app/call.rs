//! The calls that export nothing: an integration tries its configuration, gives onboarding data, changes one thing, or takes
//! a webhook. They need no store, so they take no lock and run beside an agent that exports, on the same caches.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use super::{AppError, OutcomeKind};
use crate::command::consent;
use crate::command::manifest::{ConfigError, Manifest};
use crate::command::outcome::{CallOutcome, Outcome, UNAUTHENTICATED};
use crate::command::runner::{PrepareError, Prepared, Runner};
use crate::config::{CompileLimits, Config, ConfigFault, EgressSettings, Integration, nearest};
use crate::egress::Egress;
use crate::error_chain;
use crate::logs::Logs;
use crate::sandbox::{self, Call, Sandbox};
use crate::secrets::{self, Sources};
use crate::shutdown::Shutdown;

/// What is asked of one integration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Data of this kind, for a person to choose from.
    Onboard { kind: String },
    /// One change; the data is JSON.
    Mutate { name: String, data: String },
    /// One event, its header fields in order and its body as it came. `vouched` if its signature is not to be checked.
    Webhook { headers: Vec<(String, String)>, body: Vec<u8>, vouched: bool },
}

/// What a call did.
#[derive(Debug, Clone, Serialize)]
pub struct CallReport {
    /// The integration.
    pub name: String,
    pub outcome: OutcomeKind,
    /// Why, for a person, where the outcome is not `ok`.
    pub reason: Option<String>,
    /// Why, for a program: the contract's word (`not_found`, `invalid`, …) or the outcome's.
    pub error_code: Option<String>,
    /// What is wrong with its configuration, with places.
    pub faults: Vec<ConfigFault>,
    /// What it returned; null where it returned nothing.
    #[serde(skip)]
    pub result: Value,
    pub duration_ms: u64,
    pub cpu_ms: u64,
    pub memory_bytes_peak: u64,
    pub host_calls: u64,
}

/// What trying all configurations found.
#[derive(Debug, Clone, Serialize)]
pub struct ValidateReport {
    /// In the order of the configuration.
    pub integrations: Vec<CallReport>,
    pub interrupted: bool,
    pub duration_ms: u64,
}

/// What calls need. The caches are made below the root if they are not there.
///
/// # Errors
/// The caches cannot be written, or the engine does not run here.
pub(super) fn runner(
    root: &Path,
    compile: &CompileLimits,
    egress: &EgressSettings,
    logs: &Logs,
    shutdown: &Shutdown,
) -> Result<Runner, AppError> {
    let options =
        sandbox::Options { compile: compile.clone(), shutdown: shutdown.clone(), ..sandbox::Options::default() };
    let egress = Egress::open(egress, Sources::new(Some(root), shutdown), shutdown).map_err(AppError::Failed)?;
    let sandbox = Sandbox::new(&root.join("cache/components"), &options)
        .map_err(|error| AppError::Failed(error_chain(&error)))?;
    logs.open_file_for_all(&root.join("logs"));
    let consents = Some(consent::folder(root));
    Ok(Runner { sandbox, egress, logs: logs.clone(), shutdown: shutdown.clone(), consents })
}

/// Has every configured integration try its configuration against the real system, all at the same time.
///
/// # Errors
/// What keeps the calls from being made at all. An integration that fails is no error.
pub async fn validate(config: Config, logs: Logs, shutdown: Shutdown) -> Result<ValidateReport, AppError> {
    let began = Instant::now();
    let runner = runner(&config.root, &config.compile, &config.egress, &logs, &shutdown)?;
    let config = Arc::new(config);
    let tasks: Vec<_> = config
        .integrations
        .iter()
        .map(|integration| {
            let (runner, integration, config) = (runner.clone(), integration.clone(), config.clone());
            shutdown.spawn(async move {
                let began = Instant::now();
                let report = match prepare(&runner, &config, &integration).await {
                    Ok(prepared) => validate_one(&runner, &prepared).await,
                    Err(not_run) => CallReport::not_run(&integration.name, not_run),
                };
                report.after(began)
            })
        })
        .collect();
    let mut integrations = Vec::new();
    for (task, integration) in tasks.into_iter().zip(&config.integrations) {
        integrations.push(task.await.unwrap_or_else(|error| CallReport::broke_off(&integration.name, &error)));
    }
    let duration_ms = began.elapsed().as_millis() as u64;
    Ok(ValidateReport { integrations, interrupted: shutdown.requested(), duration_ms })
}

/// Has one integration try its configuration; one that does not work is a failure here.
pub(super) async fn validate_one(runner: &Runner, prepared: &Prepared) -> CallReport {
    let config = prepared.integration.config.to_string();
    let mut report = CallReport::of(runner.run_call(prepared, Call::ValidateConfig { config }).await);
    if report.outcome == OutcomeKind::Ok
        && let Some((outcome, reason)) = not_valid(&report.result)
    {
        let code = if outcome == OutcomeKind::Unauthenticated { "unauthenticated" } else { "invalid" };
        report.error_code = Some(code.to_owned());
        (report.outcome, report.reason) = (outcome, Some(reason));
    }
    report
}

/// What a configuration that does not work comes to; none for one that does.
pub(super) fn not_valid(result: &Value) -> Option<(OutcomeKind, String)> {
    if result["ok"] == Value::Bool(true) {
        return None;
    }
    // The result was held against its form: one that is not ok has errors.
    let errors: Vec<&str> = result["errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let refused = errors.iter().any(|error| error.starts_with(UNAUTHENTICATED));
    Some((if refused { OutcomeKind::Unauthenticated } else { OutcomeKind::Failed }, errors.join("; ")))
}

/// Makes one call of one integration. What its manifest does not list is refused before it is called.
///
/// # Errors
/// What keeps the call from being made at all. An integration that fails is no error.
pub async fn call(
    config: Config,
    integration: Integration,
    request: Request,
    logs: Logs,
    shutdown: Shutdown,
) -> Result<CallReport, AppError> {
    let began = Instant::now();
    let runner = runner(&config.root, &config.compile, &config.egress, &logs, &shutdown)?;
    let report = match prepare(&runner, &config, &integration).await {
        Ok(prepared) => match refusal(&request, &integration.name, &prepared.manifest) {
            Some(reason) => CallReport::refused(&integration.name, reason),
            None => match forgery(&runner, &prepared, &request).await {
                Some(reason) => CallReport::forged(&integration.name, reason),
                None => {
                    let call = request.into_call(prepared.integration.config.to_string());
                    CallReport::of(runner.run_call(&prepared, call).await)
                }
            },
        },
        Err(not_run) => CallReport::not_run(&integration.name, not_run),
    };
    Ok(report.after(began))
}

impl Request {
    fn into_call(self, config: String) -> Call {
        match self {
            Request::Onboard { kind } => Call::OnboardExport { kind, config },
            Request::Mutate { name, data } => Call::Mutate { name, data, config },
            Request::Webhook { headers, body, .. } => Call::Webhook { headers, body, config },
        }
    }
}

/// Why the manifest has nothing of this kind.
fn refusal(request: &Request, integration: &str, manifest: &Manifest) -> Option<String> {
    match request {
        Request::Onboard { kind } => not_listed(integration, "onboarding data", kind, &manifest.onboard),
        Request::Mutate { name, .. } => not_listed(integration, "mutation", name, &manifest.mutations),
        Request::Webhook { .. } if manifest.webhook_events.is_empty() => {
            Some(format!("`{integration}` takes no webhooks: its manifest lists no events"))
        }
        Request::Webhook { headers, .. } => {
            // Which event it is can be told only where the manifest says by which field.
            let field = manifest.webhook_event_header.as_ref()?;
            let mut events =
                headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(field)).map(|(_, event)| event);
            match (events.next(), events.next()) {
                (Some(event), None) => not_listed(integration, "webhook event", event, &manifest.webhook_events),
                // One would be judged here, and the integration might take the other.
                (Some(_), Some(_)) => {
                    Some(format!("the webhook has the header `{field}` twice, and is one event: send it once"))
                }
                (None, _) => Some(format!(
                    "the webhook has no header `{field}`, which names its event; give one of {}",
                    manifest.webhook_events.join(", ")
                )),
            }
        }
    }
}

/// Why a webhook is not believed; none for everything else.
async fn forgery(runner: &Runner, prepared: &Prepared, request: &Request) -> Option<String> {
    let Request::Webhook { headers, body, vouched: false } = request else { return None };
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let check = prepared.signature.as_ref()?;
    check.judge(runner.egress.sources(), headers, body, now).await.err().map(|mut reason| {
        secrets::strike(&mut reason);
        reason
    })
}

/// Why a name is none of those that the manifest lists.
pub(super) fn not_listed(integration: &str, what: &str, name: &str, listed: &[String]) -> Option<String> {
    if listed.iter().any(|known| known == name) {
        return None;
    }
    let known: Vec<&str> = listed.iter().map(String::as_str).collect();
    let mend = match (nearest(name, &known), known.as_slice()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, []) => "it has none".to_owned(),
        (None, known) => format!("it has {}", known.join(", ")),
    };
    Some(format!("`{integration}` has no {what} `{name}`: {mend}"))
}

impl CallReport {
    fn empty(name: &str, outcome: OutcomeKind) -> CallReport {
        CallReport {
            name: name.to_owned(),
            outcome,
            reason: None,
            error_code: None,
            faults: Vec::new(),
            result: Value::Null,
            duration_ms: 0,
            cpu_ms: 0,
            memory_bytes_peak: 0,
            host_calls: 0,
        }
    }

    pub(super) fn of(ended: CallOutcome) -> CallReport {
        if let Outcome::Trapped { backtrace, .. } = &ended.outcome {
            tracing::error!(integration = ended.integration, backtrace, "the integration broke down");
        }
        let report = CallReport {
            reason: ended.outcome.reason(),
            error_code: code_of(&ended.outcome),
            cpu_ms: ended.usage.cpu_ms as u64,
            memory_bytes_peak: ended.usage.memory_bytes_peak,
            host_calls: ended.usage.host_calls,
            ..CallReport::empty(&ended.integration, OutcomeKind::of(&ended.outcome))
        };
        match ended.outcome {
            Outcome::Ok { result } => CallReport { result, ..report },
            _ => report,
        }
    }

    fn not_run(name: &str, NotRun { outcome, faults }: NotRun) -> CallReport {
        CallReport {
            reason: outcome.reason(),
            error_code: code_of(&outcome),
            faults,
            ..CallReport::empty(name, OutcomeKind::of(&outcome))
        }
    }

    fn refused(name: &str, reason: String) -> CallReport {
        let error_code = Some("not_supported".to_owned());
        CallReport { reason: Some(reason), error_code, ..CallReport::empty(name, OutcomeKind::Failed) }
    }

    fn forged(name: &str, reason: String) -> CallReport {
        let error_code = Some("unauthenticated".to_owned());
        CallReport { reason: Some(reason), error_code, ..CallReport::empty(name, OutcomeKind::Unauthenticated) }
    }

    pub(super) fn broke_off(name: &str, error: &tokio::task::JoinError) -> CallReport {
        let reason =
            format!("the agent failed while calling it: {error}; this is a defect of the agent, please report it");
        CallReport { reason: Some(reason), ..CallReport::empty(name, OutcomeKind::Failed) }
    }

    fn after(mut self, began: Instant) -> CallReport {
        self.duration_ms = began.elapsed().as_millis() as u64;
        self
    }
}

/// The word for programs.
fn code_of(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Ok { .. } => None,
        Outcome::Failed { kind, .. } => Some(kind.replace('-', "_")),
        other => Some(other.word().to_owned()),
    }
}

/// Why an integration was not run: the outcome, and the faults of its configuration with their places.
pub(super) struct NotRun {
    pub outcome: Outcome,
    pub faults: Vec<ConfigFault>,
}

/// Makes an integration ready to run, or says why it cannot be, with the places of what is wrong.
pub(super) async fn prepare(runner: &Runner, config: &Config, integration: &Integration) -> Result<Prepared, NotRun> {
    let name = &integration.name;
    if let Some(fault) = config.absent.get(name) {
        let outcome = Outcome::Failed { kind: "component".to_owned(), reason: fault.to_string() };
        return Err(NotRun { outcome, faults: vec![fault.clone()] });
    }
    let error = match runner.prepare(integration).await {
        Ok(prepared) => return Ok(prepared),
        Err(error) => error,
    };
    let PrepareError::Config(ConfigError::Faults(found)) = &error else {
        return Err(NotRun { outcome: Outcome::from(&error), faults: Vec::new() });
    };
    let mend = format!("correct it; `agent config schema {name}` says what it may be");
    let mut faults: Vec<ConfigFault> =
        found.iter().map(|fault| config.written.fault(name, &fault.pointer, &fault.why, &mend)).collect();
    faults.sort_by_key(|fault| (fault.line, fault.column));
    let lines: String = faults.iter().map(|fault| format!("\n{fault}")).collect();
    let reason = format!("the configuration does not fit this integration:{lines}");
    Err(NotRun { outcome: Outcome::Failed { kind: "config".to_owned(), reason }, faults })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What names a webhook's event does so once: of two, the integration might take the one that was not judged.
    #[test]
    fn a_webhook_is_one_event() {
        let manifest = json!({
            "schema": 1, "name": "m", "version": "1.2.3", "ref_type": "m", "config": {"type": "object"},
            "webhook_events": ["push", "ping"], "webhook_event_header": "x-event",
        });
        let manifest = Manifest::parse(&manifest.to_string()).expect("a manifest");
        let refused = |headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            refusal(&Request::Webhook { headers, body: Vec::new(), vouched: true }, "m", &manifest)
        };
        assert_eq!(refused(&[("X-Event", "push"), ("x-other", "1"), ("x-other", "2")]), None);
        for (headers, said) in [
            (&[("X-Event", "push"), ("x-event", "ping")][..], "has the header `x-event` twice"),
            (&[("x-event", "push"), ("x-event", "push")], "has the header `x-event` twice"),
            (&[("x-event", "pish")], "did you mean `push`?"),
            (&[], "has no header `x-event`"),
        ] {
            assert!(refused(headers).is_some_and(|why| why.contains(said)), "{said}");
        }
    }
}

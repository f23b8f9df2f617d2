//! Whether integrations could run: component, manifest, configuration, grants and credentials, and then the real system.
//! All of them at the same time; one that cannot leaves the others alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::call::{CallReport, NotRun, prepare, runner, validate_one};
use super::doctor::{Check, CheckState};
use super::{AppError, OutcomeKind};
use crate::command::grants::{Asked, Granted, Review, review, unbound};
use crate::command::outcome::Outcome;
use crate::command::runner::{Prepared, Runner};
use crate::config::{Config, ConfigFault, Exchange, Integration};
use crate::logs::Logs;
use crate::shutdown::Shutdown;

/// What was found of all integrations.
#[derive(Debug, Clone, Serialize)]
pub struct CheckReport {
    /// In the order of the configuration.
    pub integrations: Vec<IntegrationCheck>,
    pub interrupted: bool,
    pub duration_ms: u64,
}

/// What was found of one.
#[derive(Debug, Clone, Serialize)]
pub struct IntegrationCheck {
    pub name: String,
    pub component: PathBuf,
    /// SHA-256 of the component.
    pub digest: Option<String>,
    /// The integration's own version.
    pub version: Option<String>,
    /// How it would end, by the first thing that is wrong.
    pub outcome: OutcomeKind,
    pub checks: Vec<Check>,
    /// What is wrong with its configuration, with places.
    pub faults: Vec<ConfigFault>,
    /// What it asks for, beside what it is granted.
    pub grants: Option<Review>,
}

/// Checks the configured integrations; `live` has them try their configuration too.
///
/// # Errors
/// What keeps anything from being checked at all.
pub async fn check(config: Config, live: bool, logs: Logs, shutdown: Shutdown) -> Result<CheckReport, AppError> {
    let began = Instant::now();
    let runner = runner(&config.root, &config.compile, &config.egress, &logs, &shutdown)?;
    let config = Arc::new(config);
    let tasks: Vec<_> = config
        .integrations
        .iter()
        .map(|integration| {
            let (runner, integration, config) = (runner.clone(), integration.clone(), config.clone());
            shutdown.spawn(async move { check_one(&runner, &config, &integration, live).await })
        })
        .collect();
    let mut integrations = Vec::new();
    for (task, integration) in tasks.into_iter().zip(&config.integrations) {
        integrations.push(task.await.unwrap_or_else(|error| {
            let mut check = IntegrationCheck::begin(integration);
            check.wrong(
                OutcomeKind::Failed,
                "component",
                &CallReport::broke_off(&integration.name, &error).reason,
                None,
            );
            check
        }));
    }
    let duration_ms = began.elapsed().as_millis() as u64;
    Ok(CheckReport { integrations, interrupted: shutdown.requested(), duration_ms })
}

async fn check_one(runner: &Runner, config: &Config, integration: &Integration, live: bool) -> IntegrationCheck {
    let mut check = IntegrationCheck::begin(integration);
    let prepared = match prepare(runner, config, integration).await {
        Ok(prepared) => prepared,
        Err(NotRun { outcome, faults }) => {
            let (what, mend) = match &outcome {
                Outcome::Failed { kind, .. } if kind == "config" => ("configuration", None),
                Outcome::Failed { kind, .. } if kind == "manifest" => {
                    ("manifest", Some("tell the integration's author"))
                }
                Outcome::Denied { .. } => ("consent", None),
                Outcome::Failed { kind, .. } if kind == "consent" => ("consent", None),
                _ => ("component", None),
            };
            check.faults = faults;
            check.wrong(OutcomeKind::of(&outcome), what, &outcome.reason(), mend);
            return check;
        }
    };
    let manifest = &prepared.manifest;
    check.digest = Some(prepared.loaded.digest().to_owned());
    check.version = Some(manifest.version.clone());
    check.ok("component", format!("{} {}, {}", manifest.name, manifest.version, integration.component.display()));
    check.ok("configuration", "fits".to_owned());
    check.grants(&prepared);
    check.credentials(runner, &prepared).await;
    if live {
        check.live(runner, &prepared).await;
    } else {
        check.add("real system", CheckState::Skipped, "not asked: --offline".to_owned(), None);
    }
    check
}

impl IntegrationCheck {
    fn begin(integration: &Integration) -> IntegrationCheck {
        IntegrationCheck {
            name: integration.name.clone(),
            component: integration.component.clone(),
            digest: None,
            version: None,
            outcome: OutcomeKind::Ok,
            checks: Vec::new(),
            faults: Vec::new(),
            grants: None,
        }
    }

    fn add(&mut self, name: &str, state: CheckState, found: String, mend: Option<String>) {
        self.checks.push(Check { name: name.to_owned(), state, found, mend });
    }

    fn ok(&mut self, name: &str, found: String) {
        self.add(name, CheckState::Ok, found, None);
    }

    fn wrong(&mut self, outcome: OutcomeKind, name: &str, found: &Option<String>, mend: Option<&str>) {
        if self.outcome == OutcomeKind::Ok {
            self.outcome = outcome;
        }
        let found = found.clone().unwrap_or_else(|| "no reason given".to_owned());
        self.add(name, CheckState::Failed, found, mend.map(str::to_owned));
    }

    fn grants(&mut self, prepared: &Prepared) {
        let review = review(&prepared.manifest, &prepared.policy, &prepared.integration);
        let asked = || review.network.iter().chain(&review.credentials);
        let names = |of: &[Asked], how: Granted| -> Vec<String> {
            of.iter().filter(|asked| asked.granted == how).map(|asked| asked.what.clone()).collect()
        };
        let (missing, part) = (names(&review.network, Granted::Nothing), names(&review.network, Granted::Part));
        let no_credential = names(&review.credentials, Granted::Nothing);
        let paste = review.paste().unwrap_or_default();
        match (missing.as_slice(), part.as_slice()) {
            ([], []) if asked().next().is_none() => self.ok("grants", "it asks for nothing".to_owned()),
            ([], []) if no_credential.is_empty() => self.ok("grants", "all that it asks for".to_owned()),
            // Whether it needs one depends on its configuration; the test connection shows it.
            ([], []) => {
                let found = format!("without the credential {}, which it asks for", no_credential.join(", "));
                let mend = format!("fine if it works without; or add below `{}` in agent.yaml:\n{paste}", self.name);
                self.add("grants", CheckState::Warning, found, Some(mend));
            }
            ([], part) => {
                let found = format!("only a part of what it asks for: {}", part.join(", "));
                let mend = "fine if it is meant; a request beyond it is refused, with the rule to add".to_owned();
                self.add("grants", CheckState::Warning, found, Some(mend));
            }
            // Where some of the places are granted, it may do without the others: which one it reaches may be configured.
            (missing, _) if missing.len() < review.network.len() => {
                let missing: Vec<String> = missing.iter().chain(&no_credential).cloned().collect();
                let found = format!("not all that it asks for; without: {}", missing.join(", "));
                let mend = format!("fine if it works without; or add below `{}` in agent.yaml:\n{paste}", self.name);
                self.add("grants", CheckState::Warning, found, Some(mend));
            }
            (missing, _) => {
                let missing: Vec<String> = missing.iter().chain(&no_credential).cloned().collect();
                let found = Some(format!("not granted: {}", missing.join(", ")));
                let mend = format!("add below `{}` in agent.yaml, if you want it:\n{paste}", self.name);
                self.wrong(OutcomeKind::Denied, "grants", &found, Some(&mend));
            }
        }
        for (name, line) in unbound(&prepared.policy) {
            let found =
                format!("nothing says at which paths the credential `{name}` may be put into bodies: it is not");
            let mend = format!("add to `grants.credentials` of `{}` in agent.yaml, with the paths:\n{line}", self.name);
            self.add("grants", CheckState::Warning, found, Some(mend));
        }
        if !review.not_asked.is_empty() {
            let found = format!("granted and not asked for: {}", review.not_asked.join(", "));
            let mend = "remove it: it has no effect".to_owned();
            self.add("grants", CheckState::Warning, found, Some(mend));
        }
        self.grants = Some(review);
    }

    /// Whether each credential has a value now. The value goes nowhere.
    async fn credentials(&mut self, runner: &Runner, prepared: &Prepared) {
        let mut credentials = prepared.integration.grants.credentials.clone();
        credentials
            .extend(prepared.policy.credentials.iter().map(|(name, credential)| (name.clone(), credential.clone())));
        let mut faults = Vec::new();
        for (name, credential) in &credentials {
            let secret = match &credential.exchange {
                Some(Exchange::OAuth2(oauth2)) => oauth2.client_secret.as_ref(),
                _ => None,
            };
            for source in [Some(&credential.source), secret].into_iter().flatten() {
                faults.extend(runner.egress.sources().read(source).await.err().map(|why| format!("{name}: {why}")));
            }
        }
        match (credentials.len(), faults.as_slice()) {
            (0, _) => {}
            (count, []) => self.ok("credentials", format!("{count} of {count} have a value")),
            (_, faults) => {
                let mend = "set the variable, write the file, or keep the secret, for the user that runs the agent";
                self.wrong(OutcomeKind::BadConfig, "credentials", &Some(faults.join("; ")), Some(mend));
            }
        }
    }

    async fn live(&mut self, runner: &Runner, prepared: &Prepared) {
        let report = validate_one(runner, prepared).await;
        if report.outcome == OutcomeKind::Ok {
            let version = report.result["server_version"].as_str().map(|version| format!(" ({version})"));
            self.ok("real system", format!("the configuration works{}", version.unwrap_or_default()));
        } else {
            let mend = match report.outcome {
                OutcomeKind::Unauthenticated => Some("renew the credential, or give it the rights that it lacks"),
                _ => None,
            };
            self.wrong(report.outcome, "real system", &report.reason, mend);
        }
    }
}

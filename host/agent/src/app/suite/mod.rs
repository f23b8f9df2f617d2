//! `agent test`: an integration's cassettes, played, and a list of what every integration keeps to. What is in the folder is
//! `layout`'s, one cassette played is `replay`'s, what should come of it is `expected`'s; here the checks are, each with its
//! name, and what is wrong is told with its fault, place and mend. Nothing goes out.

mod conformance;
mod expected;
mod layout;
mod replay;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::app::records::{Keys, keys};
use crate::app::resume_check::{Kills, ResumeCheck, ResumeReport, ResumeWatch, resume_check};
use crate::app::{AppError, OutcomeKind};
use crate::command::manifest::Manifest;
use crate::config::Suite;
use crate::logs::Logs;
use crate::shutdown::Shutdown;
use layout::{CassetteFile, Layout};
use replay::Played;

/// The checks by name, in their order, and what each is.
pub const CHECKS: [(&str, &str); 11] = [
    ("describe", "the component says what it is, twice the same, in the published form"),
    ("config-schema", "the schema of the configuration is one, and settings that are called like secrets are marked"),
    ("cassettes", "there is a cassette, and each expectation has one"),
    ("replay", "the run is the one on the cassette, request by request"),
    ("expected", "records and result are those beside the cassette"),
    ("records", "records fit the schema of their model"),
    ("duplicates", "no record is sent twice in one export"),
    ("deterministic", "two replays give the same, byte by byte"),
    ("resume", "killed after its host calls, the export goes on and loses, repeats and changes nothing"),
    ("validate-config", "validate-config answers for the configuration of the cassettes"),
    ("permissions", "nothing was refused, and all that the manifest asks for is used on some cassette"),
];

/// What to test.
pub struct TestRequest {
    /// The integration's folder.
    pub folder: PathBuf,
    /// The component; where none is named, that of `agent-test.yaml`, or the only one in the folder.
    pub component: Option<PathBuf>,
    pub suite: Suite,
    /// Checks to leave out, beside those of the suite.
    pub skip: Vec<String>,
    /// Only these cassettes; all if empty.
    pub only: Vec<String>,
    /// Write what came beside each cassette, as what should come from now on.
    pub update: bool,
    pub kills: Kills,
    /// The folder of compiled components.
    pub cache: PathBuf,
    /// A folder for the roots and outputs of all runs.
    pub temporary: PathBuf,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TestState {
    Ok,
    /// Nothing is broken, and somebody should look at it.
    Warning,
    Failed,
    /// It was not made, and `note` says why.
    Skipped,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestCheck {
    /// As in [`CHECKS`].
    pub check: &'static str,
    /// The cassette; none where it is about all of them, or about none.
    pub cassette: Option<String>,
    pub state: TestState,
    /// What is wrong.
    pub fault: Option<String>,
    /// Where: a file, a setting, a record.
    pub place: Option<String>,
    pub mend: Option<String>,
    /// What else is to be said: why it was skipped, what was written.
    pub note: Option<String>,
    pub duration_ms: u64,
}

/// What came of all.
#[derive(Debug, Clone, Serialize)]
pub struct TestReport {
    #[serde(serialize_with = "crate::app::shown")]
    pub folder: PathBuf,
    #[serde(serialize_with = "crate::app::shown")]
    pub component: PathBuf,
    /// From its manifest, where it has one.
    pub name: Option<String>,
    pub checks: Vec<TestCheck>,
    pub ok: u64,
    pub warnings: u64,
    pub failed: u64,
    pub skipped: u64,
    pub interrupted: bool,
    pub duration_ms: u64,
}

/// What a check found.
enum Finding {
    Ok,
    Noted(String),
    Warning(Fault),
    Failed(Fault),
    Skipped(String),
}

/// What is wrong, where, and what to do.
struct Fault {
    fault: String,
    place: String,
    mend: String,
}

fn fault(fault: impl Into<String>, place: impl Into<String>, mend: impl Into<String>) -> Fault {
    Fault { fault: fault.into(), place: place.into(), mend: mend.into() }
}

/// Does it; `tell` is given each check as it ends. That checks fail is no error.
///
/// # Errors
/// What keeps it from being tried at all: there is no folder, no component or no such check.
pub async fn run_suite(
    request: TestRequest,
    mut tell: impl FnMut(&TestCheck),
    logs: Logs,
    shutdown: Shutdown,
) -> Result<TestReport, AppError> {
    let began = Instant::now();
    let layout = Layout::read(&request)?;
    let skips = skips(&request)?;
    let mut testing = Testing {
        report: TestReport {
            folder: request.folder.clone(),
            component: layout.component.clone(),
            name: None,
            checks: Vec::new(),
            ok: 0,
            warnings: 0,
            failed: 0,
            skipped: 0,
            interrupted: false,
            duration_ms: 0,
        },
        request,
        layout,
        skips,
        tell: &mut tell,
        logs,
        shutdown,
        since: began,
        played: Vec::new(),
    };
    match testing.run().await {
        // What was found before is told.
        Err(AppError::Interrupted) => testing.report.interrupted = true,
        ended => ended?,
    }
    let mut report = testing.report;
    let of = |state: TestState| report.checks.iter().filter(|check| check.state == state).count() as u64;
    (report.ok, report.warnings) = (of(TestState::Ok), of(TestState::Warning));
    (report.failed, report.skipped) = (of(TestState::Failed), of(TestState::Skipped));
    report.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

/// The checks that are left out, and why.
fn skips(request: &TestRequest) -> Result<BTreeMap<String, String>, AppError> {
    let typed = request.skip.iter().map(|name| (name.clone(), "left out by --skip".to_owned()));
    let written =
        request.suite.skip.iter().map(|(name, why)| (name.clone(), format!("left out by agent-test.yaml: {why}")));
    let skips: BTreeMap<String, String> = written.chain(typed).collect();
    match skips.keys().find(|name| CHECKS.iter().all(|(check, _)| check != name)) {
        Some(unknown) => {
            let names = CHECKS.map(|(name, _)| name).join(", ");
            Err(AppError::Usage(format!("there is no check `{unknown}` to skip; there are {names}")))
        }
        None => Ok(skips),
    }
}

/// A suite under way.
struct Testing<'t> {
    request: TestRequest,
    layout: Layout,
    skips: BTreeMap<String, String>,
    report: TestReport,
    tell: &'t mut dyn FnMut(&TestCheck),
    logs: Logs,
    shutdown: Shutdown,
    /// When the check before this one ended.
    since: Instant,
    /// The cassettes that could be played.
    played: Vec<(CassetteFile, Played)>,
}

impl Testing<'_> {
    async fn run(&mut self) -> Result<(), AppError> {
        let Some(manifest) = self.describe().await? else { return Ok(()) };
        self.report.name = Some(manifest.name.clone());
        let finding = conformance::config_schema(&manifest, &self.request.suite);
        self.found("config-schema", None, finding);
        let finding = self.layout.judge(&self.request.folder);
        self.found("cassettes", None, finding);
        let keys = keys(&manifest);
        for cassette in self.layout.cassettes.clone() {
            if self.stopped() {
                return Ok(());
            }
            self.cassette(cassette, &keys).await?;
        }
        if !self.stopped() {
            self.validate_config().await?;
            let finding = conformance::permissions(&self.played);
            self.found("permissions", None, finding);
        }
        Ok(())
    }

    fn stopped(&mut self) -> bool {
        self.report.interrupted = self.shutdown.requested();
        self.report.interrupted
    }

    /// Notes what a check found, unless it is left out.
    fn found(&mut self, check: &'static str, cassette: Option<&str>, finding: Finding) {
        let finding = match self.skips.get(check) {
            Some(why) => Finding::Skipped(why.clone()),
            None => finding,
        };
        let (state, fault, note) = match finding {
            Finding::Ok => (TestState::Ok, None, None),
            Finding::Noted(note) => (TestState::Ok, None, Some(note)),
            Finding::Warning(fault) => (TestState::Warning, Some(fault), None),
            Finding::Failed(fault) => (TestState::Failed, Some(fault), None),
            Finding::Skipped(why) => (TestState::Skipped, None, Some(why)),
        };
        let (fault, place, mend) =
            fault.map_or((None, None, None), |Fault { fault, place, mend }| (Some(fault), Some(place), Some(mend)));
        let now = Instant::now();
        let duration_ms = u64::try_from((now - self.since).as_millis()).unwrap_or(u64::MAX);
        self.since = now;
        let cassette = cassette.map(str::to_owned);
        let ended = TestCheck { check, cassette, state, fault, place, mend, note, duration_ms };
        (self.tell)(&ended);
        self.report.checks.push(ended);
    }

    fn is_left_out(&self, check: &str) -> bool {
        self.skips.contains_key(check)
    }

    /// What the component says of itself; none where it says nothing that can be used.
    async fn describe(&mut self) -> Result<Option<Manifest>, AppError> {
        let first = self.play_describe().await?;
        let second = self.play_describe().await?;
        let place = self.layout.component.display().to_string();
        let manifest = match (first.outcome, &first.result) {
            (OutcomeKind::Ok, Some(result)) => Manifest::parse(&result.to_string()).ok(),
            _ => None,
        };
        let finding = match &manifest {
            None => {
                let why = first.reason.clone().unwrap_or_else(|| "it gives no manifest".to_owned());
                Finding::Failed(fault(why, place, "mend what `describe` gives; `agent inspect FILE` shows it"))
            }
            Some(_) if first.result != second.result => {
                let why = "it says something else when it is asked again";
                Finding::Failed(fault(why, place, "let `describe` depend on nothing: no time, no chance"))
            }
            Some(_) => Finding::Ok,
        };
        self.found("describe", None, finding);
        Ok(manifest)
    }

    /// All checks of one cassette.
    async fn cassette(&mut self, cassette: CassetteFile, keys: &Keys) -> Result<(), AppError> {
        let name = cassette.name.clone();
        let first = match self.play(&cassette, keys).await {
            Ok(played) => played,
            // What cannot be read is a fault of the cassette's, not of the command line.
            Err(AppError::Usage(why) | AppError::Failed(why)) => {
                let place = cassette.place.clone();
                let finding = Finding::Failed(fault(why, place, "record it again with --record"));
                self.found("replay", Some(&name), finding);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if self.stopped() {
            return Ok(());
        }
        let finding = first.judge_replay(&cassette);
        let is_played = matches!(finding, Finding::Ok);
        self.found("replay", Some(&name), finding);
        if !is_played {
            // What follows would repeat the fault in other words.
            return Ok(());
        }
        let finding = expected::judge(&cassette, &first, keys, self.request.update && !self.is_left_out("expected"));
        self.found("expected", Some(&name), finding);
        if first.is_export() {
            self.found("records", Some(&name), first.judge_records());
            self.found("duplicates", Some(&name), first.judge_duplicates());
        }
        if self.is_left_out("deterministic") {
            self.found("deterministic", Some(&name), Finding::Ok);
        } else {
            let second = self.play(&cassette, keys).await?;
            self.found("deterministic", Some(&name), first.judge_again(&cassette, &second));
        }
        if first.is_export() {
            let finding = self.resume(&cassette, &first).await?;
            self.found("resume", Some(&name), finding);
        }
        self.played.push((cassette, first));
        Ok(())
    }

    async fn resume(&self, cassette: &CassetteFile, played: &Played) -> Result<Finding, AppError> {
        if self.is_left_out("resume") {
            return Ok(Finding::Ok);
        }
        if let Some(why) = played.not_to_resume() {
            return Ok(Finding::Skipped(why));
        }
        let folder = self.request.temporary.join("resume");
        let mut flags = vec!["--replay".into(), cassette.har.clone().into_os_string(), "--exact".into()];
        let config = self.request.temporary.join("resume-config.json");
        if let Some(given) = &cassette.config {
            let failed = |error| AppError::Failed(format!("{}: {error}", config.display()));
            std::fs::write(&config, given.to_string()).map_err(failed)?;
            flags.extend(["--config-file".into(), config.into_os_string()]);
        }
        let check = ResumeCheck {
            component: self.layout.component.clone(),
            cache: self.request.cache.clone(),
            flags,
            // No call is named: call and configuration are the cassette's.
            words: vec![self.layout.component.clone().into_os_string()],
            folder: folder.clone(),
            kills: self.request.kills,
        };
        let watch = Arc::new(ResumeWatch::default());
        let came = resume_check(check, watch, self.logs.clone(), self.shutdown.clone()).await;
        // What cannot be removed goes with the folder of all.
        let _ = std::fs::remove_dir_all(folder);
        let place = cassette.place.clone();
        Ok(match came {
            Ok(report) if report.interrupted => Finding::Skipped("interrupted".to_owned()),
            Ok(report) => conformance::resumed(&report, place),
            Err(error) => Finding::Failed(fault(error.to_string(), place, "run `agent run-wasm` with --resume-check")),
        })
    }

    async fn validate_config(&mut self) -> Result<(), AppError> {
        let answered: Vec<&CassetteFile> = self
            .played
            .iter()
            .filter(|(_, played)| played.is_call("validate-config"))
            .map(|(cassette, _)| cassette)
            .collect();
        if !answered.is_empty() {
            let names: Vec<&str> = answered.iter().map(|cassette| cassette.name.as_str()).collect();
            let note = format!("on {}", names.join(", "));
            // They were replayed, and judged as results are.
            self.found("validate-config", None, Finding::Noted(note));
            return Ok(());
        }
        let exports: Vec<CassetteFile> =
            self.played.iter().filter(|(_, played)| played.is_export()).map(|(cassette, _)| cassette.clone()).collect();
        let mut finding = Finding::Skipped("no cassette has a configuration to try".to_owned());
        for cassette in exports {
            finding =
                if self.is_left_out("validate-config") { Finding::Ok } else { self.try_config(&cassette).await? };
            if !matches!(finding, Finding::Ok) {
                break;
            }
        }
        self.found("validate-config", None, finding);
        Ok(())
    }
}

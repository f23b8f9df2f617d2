//! One cassette played once, in a root of its own, and what can be said of that run without looking at anything else.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::layout::CassetteFile;
use super::{AppError, Fault, Finding, OutcomeKind, Testing, fault};
use crate::app::cassettes::{self, Taping, call_of};
use crate::app::records::{Keys, Records};
use crate::app::run_wasm::{AuthorCall, RecordsTo, RunWasm, RunWasmReport, run_wasm};
use crate::cassette::{Matching, Origin};
use crate::config::{Grants, Limits};
use crate::delivery::{Lines, LinesTo};

/// Bytes of the records of one run that are looked at: all of them are held, and a test of more is none that anybody reads.
pub(super) const RECORD_BYTES_MAX: u64 = 256 << 20;

/// A run.
pub(super) struct Played {
    pub report: RunWasmReport,
    /// The records by model, each model's in the order in which they came.
    pub lines: Vec<Line>,
    records: Records,
    /// Whether the run that was recorded went on from an earlier one.
    goes_on: bool,
}

/// A record as it was sent.
#[derive(Deserialize)]
pub(super) struct Line {
    pub model: String,
    pub record: Box<RawValue>,
}

/// What to run beside a cassette.
struct Play<'p> {
    call: Option<AuthorCall>,
    cassette: Option<&'p CassetteFile>,
    matching: Matching,
    to: RecordsTo,
}

impl Testing<'_> {
    /// Plays a cassette.
    pub(super) async fn play(&self, cassette: &CassetteFile, keys: &Keys) -> Result<Played, AppError> {
        let goes_on = cassettes::read(&cassette.har)?.origin().is_some_and(|origin| origin.goes_on);
        let call = match &cassette.call[..] {
            [] => None,
            words => Some(call_of(&Origin { call: words.to_vec(), ..Origin::default() })?),
        };
        let output = self.request.temporary.join("records.ndjson");
        let failed = |error| AppError::Failed(format!("{}: {error}", output.display()));
        let to = RecordsTo::Lines(Lines::watched(LinesTo::File(File::create(&output).map_err(failed)?), None));
        let report = self.run_one(Play { call, cassette: Some(cassette), matching: Matching::Strict, to }).await?;
        let mut lines = lines(&output)?;
        // Models are handed over side by side; each one's records are in order.
        lines.sort_by(|a, b| a.model.cmp(&b.model));
        let mut records = Records::default();
        lines.iter().for_each(|line| records.add(&line.model, line.record.get().as_bytes(), keys));
        Ok(Played { report, lines, records, goes_on })
    }

    pub(super) async fn play_describe(&self) -> Result<RunWasmReport, AppError> {
        let to = RecordsTo::Lines(Lines::watched(LinesTo::Nowhere, None));
        let call = Some(AuthorCall::Describe);
        self.run_one(Play { call, cassette: None, matching: Matching::Loose, to }).await
    }

    /// Tries the configuration of a cassette, playing that.
    pub(super) async fn try_config(&self, cassette: &CassetteFile) -> Result<Finding, AppError> {
        let to = RecordsTo::Lines(Lines::watched(LinesTo::Nowhere, None));
        let config = match &cassette.config {
            None => cassettes::read(&cassette.har)?.origin().map(|origin| origin.config.clone()),
            config => config.clone(),
        };
        let beside = CassetteFile { config, ..cassette.clone() };
        let call = Some(AuthorCall::ValidateConfig);
        let report = self.run_one(Play { call, cassette: Some(&beside), matching: Matching::Loose, to }).await?;
        let unmatched = report.cassette.as_ref().map(|cassette| cassette.unmatched.clone()).unwrap_or_default();
        // The source's word on the configuration is not asked here, only whether there is an answer.
        let is_answer = report.result.is_some() || report.outcome == OutcomeKind::Unauthenticated;
        let place = format!("validate-config with the configuration of {}", cassette.name);
        Ok(match unmatched.first() {
            Some(request) => Finding::Warning(fault(
                format!("no cassette has what it asks for: {request}"),
                place,
                "record it: agent run-wasm FILE validate-config … --record cassettes/validate-config.har",
            )),
            None if is_answer => Finding::Ok,
            None => Finding::Failed(fault(
                report.reason.unwrap_or_else(|| "it gives no answer".to_owned()),
                place,
                "return a result that says whether the configuration works, and what is wrong with it",
            )),
        })
    }

    async fn run_one(&self, play: Play<'_>) -> Result<RunWasmReport, AppError> {
        let root = self.request.temporary.join("root");
        let taping = play.cassette.map_or_else(Taping::default, |cassette| Taping {
            replay: Some(cassette.har.clone()),
            matching: play.matching,
            ..Taping::default()
        });
        let request = RunWasm {
            component: self.layout.component.clone(),
            call: play.call,
            config: play.cassette.and_then(|cassette| cassette.config.clone()),
            settings: Vec::new(),
            grants: Grants::default(),
            allow_asked: false,
            limits: Limits::default(),
            root: root.clone(),
            keeps_root: false,
            secrets_root: None,
            cache: self.request.cache.clone(),
            to: play.to,
            skip_git: true,
            count_instructions: false,
            source_lines: false,
            taping,
            kill_after: None,
        };
        let report = run_wasm(request, self.logs.clone(), self.shutdown.clone()).await;
        // The next run begins anew; what cannot be removed makes it fail.
        let _ = std::fs::remove_dir_all(root);
        report
    }
}

impl Played {
    pub(super) fn is_call(&self, word: &str) -> bool {
        self.report.call == word
    }

    pub(super) fn is_export(&self) -> bool {
        self.is_call("export")
    }

    /// Whether it is the run on the cassette.
    pub(super) fn judge_replay(&self, cassette: &CassetteFile) -> Finding {
        let place = cassette.place.clone();
        if let Some(why) = self.report.cassette.as_ref().and_then(cassettes::CassetteReport::broken) {
            return Finding::Failed(fault(
                why,
                place,
                "see what changed; if it is meant, record it again with --record",
            ));
        }
        let why = || self.report.reason.clone().unwrap_or_default();
        let mend = match self.report.outcome {
            OutcomeKind::Trapped | OutcomeKind::Limit => "`agent run-wasm FILE --replay` says where it was stopped",
            OutcomeKind::BadConfig => "mend the configuration on the cassette by recording it again",
            OutcomeKind::Denied => "ask for it in the manifest (`asks`)",
            OutcomeKind::Cancelled => "run it again",
            _ => return Finding::Ok,
        };
        Finding::Failed(Fault {
            fault: format!("{}: {}", self.report.outcome.name(), why()),
            place,
            mend: mend.to_owned(),
        })
    }

    pub(super) fn judge_records(&self) -> Finding {
        let Some(found) = self.report.misfits.first() else { return Finding::Ok };
        let example = found.examples.first();
        let why = format!(
            "{} of {} records of {} do not fit the schema in the manifest{}",
            found.misfits,
            found.checked,
            found.model,
            example.map(|misfit| format!(": {}", misfit.why)).unwrap_or_default()
        );
        let place = example.map(|misfit| format!("{} {}, {}", found.model, misfit.key, misfit.pointer));
        let mend = "send records as the schema says, or say in the schema what is sent";
        Finding::Failed(fault(why, place.unwrap_or_else(|| found.model.clone()), mend))
    }

    pub(super) fn judge_duplicates(&self) -> Finding {
        let repeated = self.records.repeated();
        let unchanged = self.report.models.iter().find(|model| model.unchanged > 0);
        let mend = "send each record once: keep what was sent, or ask for pages that do not overlap";
        match (&repeated.examples[..], unchanged) {
            ([], None) => Finding::Ok,
            ([], Some(model)) => {
                let why = format!("{} records were sent again as they were, and left out by the host", model.unchanged);
                Finding::Failed(fault(why, model.model.clone(), mend))
            }
            (examples, _) => {
                let why = format!("{} records were sent more than once", repeated.count);
                Finding::Failed(fault(why, examples.join(", "), mend))
            }
        }
    }

    /// Whether another run of the same was the same.
    pub(super) fn judge_again(&self, cassette: &CassetteFile, second: &Played) -> Finding {
        let place = cassette.place.clone();
        let mend = "let nothing but its input decide what it does: order what comes out of hash maps";
        let same = |(a, b): (&Line, &Line)| a.model == b.model && a.record.get() == b.record.get();
        let lines = self.lines.len() == second.lines.len() && self.lines.iter().zip(&second.lines).all(same);
        let (one, two) = (&self.report, &second.report);
        if lines
            && one.outcome == two.outcome
            && one.result == two.result
            && one.repositories_asked == two.repositories_asked
        {
            return Finding::Ok;
        }
        let difference = self.records.difference(&second.records, |_| false);
        let why = match difference.is_none() {
            true => "a second replay gives another result, or the same records in another order".to_owned(),
            false => format!("a second replay gives other records:{}", difference.told()),
        };
        Finding::Failed(fault(why, place, mend))
    }

    /// Why its resumption says nothing.
    pub(super) fn not_to_resume(&self) -> Option<String> {
        if self.report.outcome != OutcomeKind::Ok {
            return Some(format!("the run on the cassette ends with {}", self.report.outcome.name()));
        }
        self.goes_on
            .then(|| "the run on the cassette goes on from a cursor; one from the beginning is needed".to_owned())
    }
}

fn lines(file: &Path) -> Result<Vec<Line>, AppError> {
    let failed = |error: std::io::Error| AppError::Failed(format!("{}: {error}", file.display()));
    let mut text = String::new();
    File::open(file).and_then(|file| file.take(RECORD_BYTES_MAX + 1).read_to_string(&mut text)).map_err(failed)?;
    if text.len() as u64 > RECORD_BYTES_MAX {
        return Err(AppError::Failed(format!(
            "the run sends more than {RECORD_BYTES_MAX} bytes; record a smaller one"
        )));
    }
    text.lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .map_err(|error| AppError::Failed(format!("{}: {error}", file.display())))
}

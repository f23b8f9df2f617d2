//! What every integration keeps to, whatever its cassettes are: a configuration whose secrets are marked, permissions that are
//! used, resumption that loses nothing.

use std::collections::BTreeSet;

use super::layout::CassetteFile;
use super::replay::Played;
use super::{Finding, ResumeReport, fault};
use crate::command::manifest::Manifest;
use crate::config::{SUITE_FILE, Suite};

/// Examples of one fault that are told.
const EXAMPLES_MAX: usize = 3;

/// Whether settings that are called like secrets are marked. That the schema is one, `describe` has said.
pub(super) fn config_schema(manifest: &Manifest, suite: &Suite) -> Finding {
    let unmarked: Vec<String> = manifest.unmarked_secrets();
    if let Some((gone, _)) = suite.not_secret.iter().find(|(pointer, _)| !unmarked.contains(pointer)) {
        let why = format!("`{gone}` is no setting that is called like a secret and not marked");
        return Finding::Failed(fault(why, SUITE_FILE, "take it out of `not_secret`"));
    }
    let open: Vec<&str> =
        unmarked.iter().filter(|pointer| !suite.not_secret.contains_key(*pointer)).map(String::as_str).collect();
    match (&open[..], suite.not_secret.len()) {
        ([], 0) => Finding::Ok,
        ([], _) => {
            let said = suite.not_secret.iter().map(|(pointer, why)| format!("{pointer} is no secret: {why}"));
            Finding::Noted(said.collect::<Vec<_>>().join("; "))
        }
        (open, _) => Finding::Failed(fault(
            "settings that are called like secrets are not marked, so that the guest and every log see their values",
            format!("the manifest's config: {}", open.join(", ")),
            format!(
                "set `writeOnly: true` there; or say in {SUITE_FILE} that it is none: not_secret: {{{}: why}}",
                open[0]
            ),
        )),
    }
}

/// Whether nothing was refused, and what is asked for was used on some cassette.
pub(super) fn permissions(played: &[(CassetteFile, Played)]) -> Finding {
    for (cassette, played) in played {
        let permissions = &played.report.permissions;
        if permissions.any_denied() {
            let denial = permissions.denied.first().map(|denial| format!("{} {}", denial.method, denial.url));
            let asked = permissions.not_asked.join(", ");
            let mend = if asked.is_empty() {
                "ask for what it needs and no more".to_owned()
            } else {
                format!("its manifest has to ask for it, in `asks`: {asked}")
            };
            let why = format!("it was refused: {}", denial.unwrap_or(asked));
            return Finding::Failed(fault(why, cassette.place.clone(), mend));
        }
    }
    let mut unused: Option<BTreeSet<String>> = None;
    for (_, played) in played {
        let here: BTreeSet<String> = played.report.permissions.not_used.iter().cloned().collect();
        unused = Some(match unused {
            Some(before) => before.intersection(&here).cloned().collect(),
            None => here,
        });
    }
    match unused {
        None => Finding::Skipped("no cassette was played".to_owned()),
        Some(unused) if unused.is_empty() => Finding::Ok,
        Some(unused) => Finding::Warning(fault(
            "its manifest asks for more than any cassette uses",
            format!("asks: {}", unused.into_iter().collect::<Vec<_>>().join("; ")),
            "ask for less, or record what uses it",
        )),
    }
}

/// What kills and resumptions say.
pub(super) fn resumed(report: &ResumeReport, place: String) -> Finding {
    let tried = report.tried.len();
    if report.failed > 0 {
        let why = format!("{} of {tried} resumptions are wrong:\n{}", report.failed, failures(report));
        let mend =
            "a cursor goes with what was sent before it and never ahead; ids come from the source, never from the run";
        return Finding::Failed(fault(why, place, mend));
    }
    if let Some(unjudged) = report.unjudged.first() {
        let request = unjudged.requests.first().map(String::as_str).unwrap_or_default();
        let why = format!(
            "of {} of {tried} resumptions nothing can be said: they ask for what is not on the cassette, as {request}",
            report.not_judged
        );
        let mend = "agent run-wasm FILE … --resume-check, without --replay, asks the source";
        return Finding::Warning(fault(why, place, mend));
    }
    let of = match report.not_tried {
        0 => format!("killed after each of its {tried} host calls"),
        _ => format!("killed after {tried} of its {} host calls", report.host_calls),
    };
    Finding::Noted(format!("{of}, {} records compared", report.records))
}

/// The worst that resumptions found, for people.
fn failures(report: &ResumeReport) -> String {
    let failures = report.failures.iter().map(|failure| {
        let mut told = format!("killed after host call {}, {}:", failure.after, failure.host_call);
        if let Some(reason) = &failure.reason {
            told.push_str(&format!(" {reason};"));
        }
        told.push_str(&failure.difference.told());
        told
    });
    failures.take(EXAMPLES_MAX).collect::<Vec<_>>().join("\n")
}

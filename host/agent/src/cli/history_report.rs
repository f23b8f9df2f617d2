//! What a run over a history did and could not do, in words for people and as JSON for programs. Which exit code that is
//! worth is `exit`'s.

use std::time::Duration;

use serde_json::{Value, json};

use super::exit::Exit;
use super::table::{count, counted};
use crate::app::{AgreementReport, CheckpointReport, HistoryReport, Listed};
use crate::config::{show_duration, show_size};
use crate::logs::escape;

/// Things that are named in a line; --json has more.
const NAMED_MAX: usize = 3;

/// Differences that are shown; --json has more.
const DIFFERENCES_SHOWN_MAX: usize = 20;

/// The report with what every result has.
pub(super) fn json(report: &impl serde::Serialize, exit: Exit) -> Value {
    // Plain data; serializing it into memory cannot fail.
    let mut document = serde_json::to_value(report).unwrap_or_default();
    document["version"] = json!(1);
    document["exit_code"] = json!(exit.code());
    document["success"] = json!(exit == Exit::Ok);
    document
}

/// The first of many, and how many more.
fn named(listed: &Listed) -> String {
    let shown: Vec<String> = listed.first.iter().take(NAMED_MAX).map(|text| escape(text)).collect();
    let more = listed.count.saturating_sub(shown.len() as u64);
    if more == 0 { shown.join(", ") } else { format!("{} and {} more", shown.join(", "), count(more)) }
}

/// The report for people, on standard error: what they must know first, then what was done, unless they want it quiet.
pub(super) fn text(report: &HistoryReport, quiet: bool) -> String {
    let mut out = String::new();
    for warning in warnings(report) {
        out.push_str(&format!("warning: {warning}\n"));
    }
    if report.interrupted {
        let kept = match report.output {
            Some(_) => "an output file and the checkpoint are as they were",
            None => "what was printed is whole records, and not all; a checkpoint is as it was",
        };
        out.push_str(&format!("error: interrupted; {kept}\n"));
        return out;
    }
    if report.reader_gone {
        if report.checkpoint.is_some() {
            out.push_str(
                "error: whoever read standard output has gone away before the end; the checkpoint is as it was, and the next \
                 run gives the same records again\n",
            );
        }
        return out;
    }
    if !quiet {
        notes(report).iter().for_each(|note| out.push_str(&format!("{note}\n")));
    }
    out
}

fn warnings(report: &HistoryReport) -> Vec<String> {
    let mut out = Vec::new();
    if report.store_faults.count > 0 {
        out.push(format!("a part of the object store cannot be used: {}", named(&report.store_faults)));
    }
    if report.shallow.count > 0 {
        let commits = counted(report.shallow.count, "commit");
        out.push(format!(
            "the clone is shallow: its history ends below {commits} ({}), which own all lines that are older; `git fetch \
             --unshallow` completes it",
            named(&report.shallow)
        ));
    }
    if report.unreadable.count > 0 {
        let why = if report.partial_clone {
            "; this is a partial clone, `git fetch --refetch --no-filter` completes it"
        } else {
            ""
        };
        out.push(format!(
            "{} of files cannot be read, and come without owners: {}{why}",
            counted(report.unreadable.count, "version"),
            named(&report.unreadable)
        ));
    }
    if report.renames_limited > 0 {
        out.push(format!(
            "{} moved more or larger files than can be compared within --memory-max; those that were edited as well are \
             told as new",
            counted(report.renames_limited, "commit")
        ));
    }
    if report.unknown_heads.count > 0 {
        let heads = match report.unknown_heads.count {
            1 => "1 head of a pull request is".to_owned(),
            many => format!("{} heads of pull requests are", count(many)),
        };
        out.push(format!(
            "{heads} not in the repository: {}; fetch them first (refs/pull/*/head, refs/merge-requests/*/head)",
            named(&report.unknown_heads)
        ));
    }
    if let Some(checkpoint) = report.checkpoint.as_ref().filter(|checkpoint| checkpoint.found == "unusable") {
        let fault = escape(&checkpoint.fault);
        out.push(format!("{fault}; everything was given again, also what the run before it gave"));
    }
    if report.abandoned.count > 0 {
        out.push(format!(
            "{} of the run before cannot be reached any more: deleted, or rewritten (force-pushed): {}",
            counted(report.abandoned.count, "tip"),
            named(&report.abandoned)
        ));
    }
    out
}

fn notes(report: &HistoryReport) -> Vec<String> {
    let mut out = Vec::new();
    let to = report.output.as_ref().map(|path| format!(" to {}", escape(&path.display().to_string())));
    let what = match report.branches {
        0 => format!("{}, {}", counted(report.commits, "commit"), counted(report.files, "changed file")),
        1 => "1 branch".to_owned(),
        many => format!("{} branches", count(many)),
    };
    let took = show_duration(Duration::from_millis(report.duration_ms));
    out.push(format!("{what}: {}{} in {took}", show_size(report.bytes), to.unwrap_or_default()));
    if !report.not_counted.is_empty() {
        let kinds: Vec<String> = report.not_counted.iter().map(|(kind, n)| format!("{kind} {}", count(*n))).collect();
        let all = report.not_counted.values().sum();
        out.push(format!("not counted: {} of files ({})", counted(all, "version"), kinds.join(", ")));
    }
    if report.parts > 1 {
        out.push(format!("read in {} parts to stay within --memory-max; more memory is faster", count(report.parts)));
    }
    if let Some(checkpoint) = &report.checkpoint {
        out.push(checkpoint_note(checkpoint, report.recomputed));
    } else if report.recomputed > 0 {
        let commits = counted(report.recomputed, "older commit");
        out.push(format!("{commits} computed for the owners of lines, and not given"));
    }
    out
}

fn checkpoint_note(checkpoint: &CheckpointReport, recomputed: u64) -> String {
    let found = match checkpoint.found {
        "absent" => "there was none, so all was given".to_owned(),
        "resumed" => "only what is new was computed".to_owned(),
        "recomputed" => format!(
            "only what is new was given; {} computed again, whose owners are not kept",
            counted(recomputed, "older commit")
        ),
        _ => "all was given".to_owned(),
    };
    let folder = escape(&checkpoint.folder.display().to_string());
    format!("checkpoint: {found}; the next one is in {folder} ({})", show_size(checkpoint.bytes))
}

/// The comparison with git, for people.
pub(super) fn agreement(report: &AgreementReport) -> String {
    if report.interrupted {
        return "interrupted before the comparison was complete\n".to_owned();
    }
    let mut out = String::new();
    for difference in report.differences.iter().take(DIFFERENCES_SHOWN_MAX) {
        let (commit, file) = (escape(&difference.commit), escape(&difference.filename));
        out.push_str(&format!("{commit} {file}: {}\n", escape(&difference.what)));
    }
    let more = report.differing.saturating_sub(DIFFERENCES_SHOWN_MAX as u64);
    if more > 0 {
        out.push_str(&format!("… and {}; --json lists up to a thousand\n", counted(more, "more difference")));
    }
    out.push_str(&format!(
        "lines          {} of {} as git blame says, {:.4} %, in {}\n",
        count(report.lines_equal),
        count(report.lines),
        report.agreement,
        counted(report.files, "file")
    ));
    out.push_str(&format!(
        "changed files  {} of {} as git log --numstat -M says, {:.4} %\n",
        count(report.changed_files_equal),
        count(report.changed_files),
        report.changed_files_agreement
    ));
    if report.not_compared > 0 {
        out.push_str(&format!(
            "not compared   {} of which git blame says nothing\n",
            counted(report.not_compared, "file")
        ));
    }
    let verdict = if report.agrees { "at least" } else { "NOT" };
    out.push_str(&format!("agreement      {verdict} {} %\n", report.agreement_min));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_counted_and_the_first_are_named() {
        let listed = |count, first: &[&str]| Listed { count, first: first.iter().map(ToString::to_string).collect() };
        assert_eq!(named(&listed(2, &["a", "b\x1b"])), "a, b\\u{1b}");
        assert_eq!(named(&listed(1200, &["a", "b", "c", "d"])), "a, b, c and 1,197 more");
    }

    #[test]
    fn a_comparison_that_falls_short_says_so() {
        let good = AgreementReport { agrees: true, agreement_min: 99.9, ..AgreementReport::default() };
        assert!(agreement(&good).ends_with("agreement      at least 99.9 %\n"));
        let bad = AgreementReport { agreement_min: 99.9, differing: 30, ..AgreementReport::default() };
        let text = agreement(&bad);
        assert!(text.starts_with("… and 10 more differences") && text.ends_with("NOT 99.9 %\n"), "{text}");
    }
}

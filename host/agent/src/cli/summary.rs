//! What an export did: as a table for people, and as JSON for programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::exit::Exit;
use super::table::{Align, count, counted, shortened, table};
use crate::app::{ExportReport, IntegrationReport, OutcomeKind};
use crate::config::{show_duration, show_size};
use crate::export::{SessionState, SessionSummary};
use crate::logs::escape;

/// Sessions in the table. A large export has thousands; the result as JSON has them all.
const ROWS_MAX: usize = 50;

/// Characters of a session's path and of a cursor in the table.
const PATH_CHARS_MAX: usize = 60;
const CURSOR_CHARS_MAX: usize = 24;

/// Failed repositories named for each integration.
const REPOS_SHOWN_MAX: usize = 10;

/// Pauses shown, the latest; the result as JSON has them all.
const PAUSES_SHOWN_MAX: usize = 5;

/// An outcome in a word.
pub(super) fn word(outcome: OutcomeKind) -> &'static str {
    match outcome {
        OutcomeKind::Ok => "ok",
        OutcomeKind::Partial => "partial",
        OutcomeKind::Failed => "failed",
        OutcomeKind::BadConfig => "badly configured",
        OutcomeKind::Unauthenticated => "unauthenticated",
        OutcomeKind::Denied => "denied",
        OutcomeKind::Limit => "over a limit",
        OutcomeKind::Trapped => "trapped",
        OutcomeKind::Cancelled => "cancelled",
    }
}

/// The report for people.
pub(super) fn text(report: &ExportReport, notes: &[String]) -> String {
    let mut out = sessions_table(report);
    for integration in &report.integrations {
        out.push_str(&failures(integration, notes));
    }
    out.push_str(&pauses(report));
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(&totals(report));
    out
}

fn sessions_table(report: &ExportReport) -> String {
    let columns = [
        ("integration", Align::Left),
        ("session", Align::Left),
        ("records", Align::Right),
        ("unchanged", Align::Right),
        ("bytes", Align::Right),
        ("duration", Align::Right),
        ("cursor", Align::Left),
    ];
    let rows: Vec<Vec<String>> = report
        .integrations
        .iter()
        .flat_map(|integration| integration.sessions.iter().map(move |session| (integration, session)))
        // A session for structure only says nothing here, unless it has a cursor or went wrong.
        .filter(|(_, session)| {
            session.model.is_some() || session.cursor.is_some() || session.state != SessionState::Done
        })
        .map(|(integration, session)| row(&integration.name, session))
        .collect();
    let mut out = table(&columns, &rows[..rows.len().min(ROWS_MAX)]);
    if rows.len() > ROWS_MAX {
        let more = counted((rows.len() - ROWS_MAX) as u64, "more session");
        out.push_str(&format!("… and {more}; --json or --output-file has all of them\n"));
    }
    out
}

fn row(integration: &str, session: &SessionSummary) -> Vec<String> {
    let cursor = match (&session.state, &session.cursor) {
        (SessionState::RolledBack, _) => "(rolled back)".to_owned(),
        (SessionState::Skipped(why), _) => shortened(&format!("(skipped: {why})"), PATH_CHARS_MAX),
        (SessionState::Open, _) => "(not ended)".to_owned(),
        (SessionState::Done, Some(cursor)) if session.held_back => {
            format!("{} (held back)", shortened(cursor, CURSOR_CHARS_MAX))
        }
        (SessionState::Done, Some(cursor)) => shortened(cursor, CURSOR_CHARS_MAX),
        (SessionState::Done, None) if session.held_back => "(held back)".to_owned(),
        (SessionState::Done, None) => "–".to_owned(),
    };
    vec![
        integration.to_owned(),
        shortened(&session.path, PATH_CHARS_MAX),
        count(session.records),
        count(session.unchanged),
        show_size(session.bytes),
        show_duration(Duration::from_millis(session.duration_ms)),
        cursor,
    ]
}

/// A reason of one or more lines. Those after the first are indented: guests word reasons too, and no line of theirs may
/// pass for one of the agent's.
pub(super) fn indented(reason: &str) -> String {
    reason.lines().map(|line| escape(line.trim_end())).collect::<Vec<_>>().join("\n    ")
}

/// The pauses that were made, and those that last beyond the run.
fn pauses(report: &ExportReport) -> String {
    let mut out = String::new();
    for pause in report.pauses.iter().rev().take(PAUSES_SHOWN_MAX).rev() {
        let for_whom = escape(&pause.integrations.join(", "));
        let text = match &pause.resumed {
            Some(resumed) => format!("waited for the budget of {} until {resumed}", escape(&pause.host)),
            None => super::progress::wait(pause),
        };
        out.push_str(&format!("\n{for_whom}: {text}\n"));
    }
    let shown = report.pauses.len().min(PAUSES_SHOWN_MAX) as u64;
    let more = report.pauses.len() as u64 + report.pauses_left_out - shown;
    if more > 0 {
        out.push_str(&format!("\n… and {}\n", counted(more, "more pause")));
    }
    out
}

/// What went wrong in one integration, and what was left out; empty if nothing did and was.
fn failures(integration: &IntegrationReport, notes: &[String]) -> String {
    let mut out = String::new();
    if integration.outcome != OutcomeKind::Ok {
        let reason = integration.reason.as_deref().unwrap_or("no reason given");
        out.push_str(&format!("\n{}: {}: {}\n", integration.name, word(integration.outcome), indented(reason)));
        if integration.outcome == OutcomeKind::Denied {
            // Why nothing is granted is the likeliest thing to look at.
            notes.iter().for_each(|note| out.push_str(&format!("  note: {note}\n")));
        }
    }
    let failed: Vec<_> = integration.repos.iter().filter_map(|repo| Some((repo, repo.error.as_ref()?))).collect();
    for (repo, error) in failed.iter().take(REPOS_SHOWN_MAX) {
        out.push_str(&format!("  {}: repository {}: {}\n", integration.name, escape(&repo.name), escape(error)));
    }
    if failed.len() > REPOS_SHOWN_MAX {
        let more = counted((failed.len() - REPOS_SHOWN_MAX) as u64, "more repository");
        out.push_str(&format!("  {}: and {more}\n", integration.name));
    }
    if integration.repos_skipped > 0 {
        let left = counted(integration.repos_skipped as u64, "repository");
        out.push_str(&format!("  {}: {left} left out, as `skip_git` says\n", integration.name));
    }
    out
}

fn totals(report: &ExportReport) -> String {
    let sum = |value: fn(&SessionSummary) -> u64| -> u64 {
        report.integrations.iter().flat_map(|integration| &integration.sessions).map(value).sum()
    };
    let (records, unchanged, bytes) = (sum(|s| s.records), sum(|s| s.unchanged), sum(|s| s.bytes));
    let took = show_duration(Duration::from_millis(report.duration_ms));
    let fine = report.integrations.iter().filter(|integration| integration.outcome == OutcomeKind::Ok).count();
    let mut out = String::new();
    if records == 0 && fine == report.integrations.len() {
        out.push_str("Nothing new since the last run");
        if unchanged > 0 {
            out.push_str(&format!(" ({} unchanged)", counted(unchanged, "record")));
        }
        out.push_str(&format!("; took {took}.\n"));
    } else {
        out.push_str(&format!("Exported {} ({})", counted(records, "record"), show_size(bytes)));
        if unchanged > 0 {
            out.push_str(&format!(", {} unchanged", count(unchanged)));
        }
        out.push_str(&format!(
            " in {took}; {fine} of {} ok.\n",
            counted(report.integrations.len() as u64, "integration")
        ));
    }
    if report.delivered.batches > 0 {
        let files = if report.delivered.files > 0 {
            format!(" in {}", counted(report.delivered.files, "file"))
        } else {
            String::new()
        };
        out.push_str(&format!(
            "Delivered {} ({}){files}.\n",
            counted(report.delivered.records, "record"),
            show_size(report.delivered.bytes)
        ));
    }
    if report.outbox_left.batches > 0 {
        let records = counted(report.outbox_left.records, "record");
        out.push_str(&format!("{records} still wait for the sink; the next run delivers them.\n"));
    }
    if report.dead_letters.batches > 0 {
        let records = counted(report.dead_letters.records, "record");
        out.push_str(&format!("The sink rejected {records} for good; they are kept, and `agent status` shows them.\n"));
    }
    if report.interrupted {
        out.push_str("The run was interrupted; what was committed is kept, and the next run goes on from there.\n");
    }
    out
}

/// The report for programs: the report itself, and the names that programs of the systems we succeed look for
/// (`duration` in nanoseconds, `integrations[].id`, `error`, `projects[]`).
pub(super) fn json(report: &ExportReport, notes: &[String]) -> Value {
    let exit = Exit::of_export(report);
    // Plain data; serializing it into memory cannot fail.
    let mut value = serde_json::to_value(report).unwrap_or_default();
    value["version"] = json!(1);
    value["exit_code"] = json!(exit.code());
    value["success"] = json!(exit == Exit::Ok);
    value["notes"] = json!(notes);
    value["duration"] = json!(nanoseconds(report.duration_ms));
    for (value, integration) in value["integrations"].as_array_mut().into_iter().flatten().zip(&report.integrations) {
        value["id"] = json!(integration.name);
        value["error"] = match integration.outcome {
            OutcomeKind::Ok => json!(""),
            outcome => json!(integration.reason.clone().unwrap_or_else(|| word(outcome).to_owned())),
        };
        value["duration"] = json!(nanoseconds(integration.duration_ms));
        let project = |repo: &crate::app::RepoReport| {
            let error = repo.error.clone().unwrap_or_default();
            json!({
                "id": repo.ref_id, "ref_id": repo.ref_id, "name": repo.name,
                "error": "", "has_git_repo": true, "git_error": error,
            })
        };
        value["projects"] = integration.repos.iter().map(project).collect();
    }
    value
}

fn nanoseconds(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Backlog, Delivered, RepoReport};

    fn report(records: u64) -> ExportReport {
        let session = |path: &str, model: Option<&str>, records: u64| SessionSummary {
            path: path.into(),
            model: model.map(Into::into),
            object_name: String::new(),
            state: SessionState::Done,
            records,
            bytes: records * 100,
            unchanged: 7,
            staged: 0,
            staged_bytes: 0,
            progress_current: 0,
            progress_total: None,
            duration_ms: 1200,
            cursor: model.map(|_| "2026-11-21T09:30:00Z-and-more-of-it".into()),
            resumed: false,
            held_back: false,
            depth: 0,
        };
        let integration = |name: &str, outcome, reason: Option<&str>| IntegrationReport {
            name: name.into(),
            outcome,
            reason: reason.map(Into::into),
            incremental: true,
            duration_ms: 1500,
            cpu_ms: 10,
            memory_bytes_peak: 1 << 20,
            host_calls: 5,
            sessions: vec![session("org", None, 0), session("org/1/Commit", Some("Commit"), records)],
            repos: vec![RepoReport { ref_id: "r1".into(), name: "repo".into(), records, error: None }],
            repos_skipped: 0,
            faults: Vec::new(),
            misfits: Vec::new(),
        };
        ExportReport {
            integrations: vec![integration("git", OutcomeKind::Ok, None)],
            delivered: Delivered { batches: 1, records, bytes: 100, files: 1 },
            dead_letters: Backlog::default(),
            outbox_left: Backlog::default(),
            delivery_error: None,
            pauses: Vec::new(),
            pauses_left_out: 0,
            interrupted: false,
            duration_ms: 1500,
        }
    }

    #[test]
    fn a_run_with_records_is_summed_up() {
        let text = text(&report(1234), &[]);
        assert!(
            text.contains(
                "git          org/1/Commit    1,234          7  120.5 KiB     1.2 s  2026-11-21T0…-more-of-it"
            ),
            "{text}"
        );
        assert!(
            text.contains("Exported 1,234 records (120.5 KiB), 14 unchanged in 1.5 s; 1 of 1 integration ok."),
            "{text}"
        );
        assert!(!text.contains("\norg "), "a tracking session without anything to say is shown: {text}");
    }

    #[test]
    fn nothing_new_is_said_plainly() {
        assert!(text(&report(0), &[]).contains("Nothing new since the last run (14 records unchanged)"));
    }

    #[test]
    fn a_failure_is_named_with_its_reason() {
        let mut report = report(0);
        report.integrations[0].outcome = OutcomeKind::Denied;
        report.integrations[0].reason = Some("no rule for https://x\x1b[2J\nmock: ok".into());
        report.integrations[0].repos[0].error = Some("gone".into());
        let text = text(&report, &["nothing is granted".into()]);
        for said in [
            "git: denied: no rule for https://x\\u{1b}[2J\n    mock: ok",
            "note: nothing is granted",
            "repository repo: gone",
            "0 of 1 integration ok",
        ] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }

    #[test]
    fn the_json_has_the_names_that_older_programs_look_for() {
        let value = json(&report(5), &[]);
        assert_eq!((&value["exit_code"], &value["duration"]), (&json!(0), &json!(1_500_000_000)));
        let integration = &value["integrations"][0];
        assert_eq!(
            (&integration["id"], &integration["error"], &integration["incremental"]),
            (&json!("git"), &json!(""), &json!(true))
        );
        assert_eq!(integration["projects"][0]["ref_id"], "r1");
        assert_eq!(integration["sessions"][1]["records"], 5);
    }
}

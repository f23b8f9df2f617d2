//! `agent status`: what the store holds.

use std::time::Duration;

use clap::Args;

use super::table::{Align, count, counted, shortened, table};
use super::{CommandError, Exit, Global, print_report, summary};
use crate::app::{self, Backlog, IntegrationStatus, StatusReport};
use crate::config::{show_duration, show_size};
use crate::logs::escape;

/// Cursors shown; --json has all.
const CURSORS_SHOWN_MAX: usize = 50;

/// Show what the store holds: integrations, cursors, what waits for the sink, dead letters, last runs
///
/// Reads only, and works beside a running agent.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  agent status\n  agent status --root ./.agent --json | jq .outbox")]
pub(super) struct Arguments {}

/// Runs the subcommand.
pub(super) fn run(_: &Arguments, global: &Global) -> Result<Exit, CommandError> {
    let report = app::status(&global.root()?)?;
    print_report(global, &report, Exit::Ok, || text(&report))
}

fn text(report: &StatusReport) -> String {
    let mut out = format!("root          {}\n", escape(&report.root.display().to_string()));
    let running = match report.running {
        Some(pid) => format!("running, process {pid}"),
        None => "not running".to_owned(),
    };
    out.push_str(&format!("agent         {running}\n"));
    out.push_str(&format!("store         {}\n", show_size(report.store_bytes)));
    out.push_str(&format!("outbox        {}\n", backlog(report.outbox)));
    out.push_str(&format!("dead letters  {}\n", backlog(report.dead_letters)));
    for pause in &report.pauses {
        let for_whom = escape(&pause.integrations.join(", "));
        out.push_str(&format!("paused        {for_whom}: {}\n", super::progress::wait(pause)));
    }
    let columns = [
        ("integration", Align::Left),
        ("last run", Align::Left),
        ("outcome", Align::Left),
        ("records", Align::Right),
        ("duration", Align::Right),
        ("cursors", Align::Right),
        ("marks", Align::Right),
        ("git jobs", Align::Right),
    ];
    let rows: Vec<Vec<String>> = report.integrations.iter().map(row).collect();
    if rows.is_empty() {
        out.push_str("\nNo integration has run yet.\n");
        return out;
    }
    out.push_str(&format!("\n{}", table(&columns, &rows)));
    for integration in &report.integrations {
        if let Some(reason) = integration.last_run.as_ref().and_then(|run| run.reason.as_ref()) {
            out.push_str(&format!("\n{}: {}\n", escape(&integration.name), summary::indented(reason)));
        }
    }
    out.push_str(&cursors(report));
    out
}

fn backlog(backlog: Backlog) -> String {
    if backlog == Backlog::default() {
        return "empty".to_owned();
    }
    let (records, batches) = (counted(backlog.records, "record"), counted(backlog.batches, "batch"));
    format!("{records} in {batches}, {}", show_size(backlog.bytes))
}

fn row(integration: &IntegrationStatus) -> Vec<String> {
    let mut row = vec![integration.name.clone()];
    match &integration.last_run {
        Some(run) => row.extend([
            run.started_at.clone(),
            summary::word(run.outcome).to_owned(),
            count(run.records),
            show_duration(Duration::from_millis(run.duration_ms)),
        ]),
        None => row.extend(["never"; 1].iter().chain(&["–"; 3]).map(ToString::to_string)),
    }
    row.extend([integration.cursors.len() as u64, integration.marks, integration.git_jobs].map(count));
    row
}

fn cursors(report: &StatusReport) -> String {
    let columns =
        [("integration", Align::Left), ("session", Align::Left), ("cursor", Align::Left), ("sink", Align::Left)];
    let rows: Vec<Vec<String>> = report
        .integrations
        .iter()
        .flat_map(|integration| integration.cursors.iter().map(move |cursor| (integration, cursor)))
        .map(|(integration, cursor)| {
            let texts = [&integration.name, &cursor.path, &cursor.cursor, &cursor.sink];
            texts.iter().map(|text| shortened(text, 60)).collect()
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{}", table(&columns, &rows[..rows.len().min(CURSORS_SHOWN_MAX)]));
    if rows.len() > CURSORS_SHOWN_MAX {
        out.push_str(&format!(
            "… and {}; --json has all\n",
            counted((rows.len() - CURSORS_SHOWN_MAX) as u64, "more cursor")
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{CursorStatus, LastRun, OutcomeKind};
    use crate::egress::Pause;

    #[test]
    fn a_store_is_shown() {
        let mut report = StatusReport {
            root: "/r".into(),
            running: Some(7),
            integrations: Vec::new(),
            pauses: Vec::new(),
            outbox: Backlog { batches: 2, records: 1500, bytes: 2048 },
            dead_letters: Backlog::default(),
            store_bytes: 1 << 20,
        };
        let empty = text(&report);
        assert!(empty.contains("running, process 7") && empty.contains("1,500 records in 2 batches, 2 KiB"), "{empty}");
        assert!(empty.contains("dead letters  empty") && empty.contains("No integration has run yet"), "{empty}");
        let never = IntegrationStatus { name: "a".into(), cursors: Vec::new(), marks: 0, git_jobs: 0, last_run: None };
        let cursor = CursorStatus { sink: "stdout".into(), path: "x".into(), cursor: "c\n1".into() };
        let run = LastRun {
            started_at: "2026-11-21T09:30:00Z".into(),
            duration_ms: 1500,
            outcome: OutcomeKind::Failed,
            reason: Some("no luck".into()),
            records: 12,
        };
        report.integrations = vec![
            never.clone(),
            IntegrationStatus { name: "b".into(), cursors: vec![cursor], last_run: Some(run), ..never },
        ];
        let pause = Pause {
            host: "https://api.github.com".into(),
            resource: "core".into(),
            until: "2026-11-21T10:00:00Z".into(),
            integrations: vec!["a".into(), "b\n".into()],
            resumed: None,
        };
        let paused = super::text(&StatusReport { pauses: vec![pause], ..report.clone() });
        let line =
            "paused        a, b\\n: waits until 2026-11-21T10:00:00Z for the budget of https://api.github.com (core)\n";
        assert!(paused.contains(line), "{paused}");
        let text = text(&report);
        assert!(!text.contains("paused"), "{text}");
        assert!(text.contains("b: no luck") && text.contains("c\\n1") && text.contains("never"), "{text}");
    }
}

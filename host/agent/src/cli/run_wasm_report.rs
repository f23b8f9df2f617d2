//! What a component's run is told as: a summary for every run, the report for who asks for it, and the whole as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::exit::Exit;
use super::summary::{indented, word};
use super::table::{Align, count, counted, shortened, table};
#[cfg(test)]
use crate::app::OutcomeKind;
use crate::app::RunWasmReport;
use crate::config::{show_duration, show_size};
use crate::export::SessionState;
use crate::logs::escape;

/// Rows of one table; the JSON has all.
const ROWS_MAX: usize = 50;
/// Refusals told one by one; what to grant is told for all.
const DENIALS_TOLD_MAX: usize = 10;
const PATH_CHARS_MAX: usize = 60;
const CURSOR_CHARS_MAX: usize = 32;
const URL_CHARS_MAX: usize = 80;
const LINE_CHARS_MAX: usize = 200;

/// How it ended, in a line or the few that its reason has.
pub(super) fn headline(report: &RunWasmReport) -> String {
    let took = show_duration(Duration::from_millis(report.duration_ms));
    let word = word(report.outcome);
    let mut out = format!("{}: {word}", report.call);
    if let Some(reason) = &report.reason {
        // A refusal of the source begins with the word for it.
        let reason = reason.strip_prefix(word).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(reason);
        out.push_str(&format!(": {}", indented(reason)));
    } else {
        out.push_str(&format!(" in {took}"));
    }
    out.push('\n');
    out
}

/// What everybody is told at the end.
pub(super) fn summary(report: &RunWasmReport) -> String {
    let mut out = records(report);
    out.push_str(&stopped(report));
    out.push_str(&cassette(report));
    out.push_str(&permissions(report));
    out.push_str(&headline(report));
    if report.interrupted {
        out.push_str("It was interrupted; what was committed is shown.\n");
    }
    out
}

fn records(report: &RunWasmReport) -> String {
    if report.call != "export" {
        return String::new();
    }
    let mut out = String::new();
    let rows: Vec<Vec<String>> = report
        .models
        .iter()
        .take(ROWS_MAX)
        .map(|model| {
            vec![
                model.model.clone(),
                count(model.committed),
                count(model.unchanged),
                count(model.sent),
                count(model.batches),
                show_size(model.bytes),
            ]
        })
        .collect();
    let columns = [
        ("model", Align::Left),
        ("committed", Align::Right),
        ("unchanged", Align::Right),
        ("sent", Align::Right),
        ("batches", Align::Right),
        ("bytes", Align::Right),
    ];
    out.push_str(&table(&columns, &rows));
    for found in &report.misfits {
        out.push_str(&format!(
            "{} of {}, of {} looked at, do not fit the schema in the manifest:\n",
            counted(found.misfits, "record"),
            escape(&found.model),
            count(found.checked)
        ));
        for misfit in &found.examples {
            let place = if misfit.pointer.is_empty() { "the record" } else { &misfit.pointer };
            out.push_str(&format!("  {}: {}: {}\n", escape(&misfit.key), escape(place), escape(&misfit.why)));
        }
        out.push_str("  mend: send records as the schema says, or say in the schema what is sent\n");
    }
    for repository in report.repositories.iter().take(ROWS_MAX) {
        let end = match &repository.error {
            Some(error) => indented(error),
            None => counted(repository.records, "record"),
        };
        out.push_str(&format!("repository {}: {end}\n", escape(&repository.name)));
    }
    if let Some(error) = &report.delivery_error {
        out.push_str(&format!("records could not be shown: {}\n", indented(error)));
    }
    out
}

fn stopped(report: &RunWasmReport) -> String {
    let Some(stopped) = &report.stopped else { return String::new() };
    let mut out = String::new();
    if !stopped.last_lines.is_empty() {
        out.push_str("Its last words:\n");
        for line in &stopped.last_lines {
            out.push_str(&format!("  │ {}\n", escape(&shortened(line, LINE_CHARS_MAX))));
        }
    }
    let place = match (stopped.host_call, stopped.inside_host_call) {
        (Some(name), true) => format!("in its host call {name}"),
        (Some(name), false) => format!("after {}, the last of them {name}", counted(report.host_calls, "host call")),
        (None, _) => "before any host call".to_owned(),
    };
    out.push_str(&format!("It was stopped in `{}`, {place}.\n", report.call));
    if !stopped.backtrace.is_empty() {
        let lines: Vec<String> = stopped.backtrace.lines().map(escape).collect();
        out.push_str(&format!("Where, the innermost first:\n{}\n", lines.join("\n")));
        if !stopped.backtrace.contains("\n      at ") {
            out.push_str("      (no lines: the component has no debug information; build it without `strip`)\n");
        }
    }
    out
}

/// What became of the cassette and the faults.
fn cassette(report: &RunWasmReport) -> String {
    let mut out = String::new();
    for fault in &report.faults {
        out.push_str(&format!("fault {}: {}\n", escape(&fault.fault), counted_times(fault.times)));
    }
    let Some(cassette) = &report.cassette else { return out };
    let file = escape(&cassette.file.display().to_string());
    let preposition = if cassette.mode == "recorded" { "in" } else { "from" };
    out.push_str(&format!("{} {} {preposition} {file}", counted(cassette.requests, "request"), cassette.mode));
    for (count_of, what) in [
        (cassette.loose, "matched by their URL alone"),
        (cassette.unmatched_count, "without a match"),
        (cassette.unused_count, "not asked for"),
        (cassette.left_out, "left out, because they did not fit"),
    ] {
        if count_of > 0 {
            out.push_str(&format!(", {} {what}", count(count_of)));
        }
    }
    out.push('\n');
    // A strict replay says so in its reason.
    if cassette.broken().is_none() {
        for request in &cassette.unmatched {
            out.push_str(&format!("  no match: {}\n", escape(&shortened(request, URL_CHARS_MAX))));
        }
    }
    out
}

fn counted_times(times: u64) -> String {
    match times {
        0 => "never happened: there were fewer exchanges, or chance spared them".to_owned(),
        1 => "once".to_owned(),
        times => format!("{} times", count(times)),
    }
}

fn permissions(report: &RunWasmReport) -> String {
    let permissions = &report.permissions;
    let mut out = String::new();
    if permissions.any_denied() {
        out.push_str("Not granted:\n");
        for denial in permissions.denied.iter().take(DENIALS_TOLD_MAX) {
            let times = if denial.count > 1 { format!(" ({} times)", count(denial.count)) } else { String::new() };
            out.push_str(&format!(
                "  {} {}{times}\n",
                escape(&denial.method),
                escape(&shortened(&denial.url, URL_CHARS_MAX))
            ));
        }
        let more = permissions.denied.len().saturating_sub(DENIALS_TOLD_MAX) as u64 + permissions.denied_left_out;
        if more > 0 {
            out.push_str(&format!("  … and {} more\n", count(more)));
        }
    }
    for why in &permissions.impossible {
        out.push_str(&format!("  nothing would help: {}\n", escape(why)));
    }
    if !permissions.not_asked.is_empty() {
        out.push_str("Its manifest has to ask for it first, in `asks`:\n");
        permissions.not_asked.iter().for_each(|asked| out.push_str(&format!("  {}\n", escape(asked))));
    }
    if !permissions.flags.is_empty() {
        out.push_str("To grant it here, add:\n");
        out.push_str(&format!(
            "  {}\n",
            permissions.flags.iter().map(|flag| escape(flag)).collect::<Vec<_>>().join(" ")
        ));
        out.push_str("To grant it in agent.yaml, below the integration (or in a file for --grants):\n");
        permissions.grants_yaml.lines().for_each(|line| out.push_str(&format!("  {}\n", escape(line))));
    }
    out
}

/// The report for people.
pub(super) fn text(report: &RunWasmReport) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: String| out.push_str(&format!("{name:<13} {text}\n"));
    line("component", component(report));
    line("time", time(report));
    line(
        "memory",
        format!("{} at most, of {}", show_size(report.memory_bytes_peak), show_size(report.memory_bytes_max)),
    );
    line("instructions", report.instructions.map_or_else(|| "not counted".to_owned(), count));
    let calls: Vec<String> =
        report.host_calls_by_name.iter().map(|(name, times)| format!("{name} {}", count(*times))).collect();
    line("host calls", format!("{}{}", count(report.host_calls), listed(&calls)));
    line(
        "bytes",
        format!(
            "{} of records, {} sent and {} received over HTTP",
            show_size(report.bytes_records),
            show_size(report.bytes_sent),
            show_size(report.bytes_received)
        ),
    );
    let suppressed = match report.log_lines_suppressed {
        0 => String::new(),
        lines => format!(", {} suppressed", count(lines)),
    };
    line("log", format!("{}{suppressed}", counted(report.log_lines, "line")));
    if !report.permissions.not_used.is_empty() {
        line("not used", format!("asked for by its manifest{}", listed(&report.permissions.not_used)));
    }
    out.push_str(&sessions(report));
    out.push_str(&requests(report));
    out
}

fn listed(items: &[String]) -> String {
    if items.is_empty() { String::new() } else { format!(": {}", escape(&items.join(", "))) }
}

fn component(report: &RunWasmReport) -> String {
    let component = &report.component;
    let mut out = escape(&component.file.display().to_string());
    if let (Some(name), Some(version)) = (&component.name, &component.version) {
        out.push_str(&format!(", {} {}", escape(name), escape(version)));
    }
    if let Some(bytes) = component.bytes {
        out.push_str(&format!(", {}", show_size(bytes)));
    }
    out
}

fn time(report: &RunWasmReport) -> String {
    let time = &report.time;
    let ms = |ms: f64| format!("{ms:.1} ms");
    let mut out = format!(
        "{}: guest {}, host {}, network {}; loading {}",
        ms(time.call_ms),
        ms(time.guest_ms),
        ms(time.host_ms),
        ms(time.network_ms),
        ms(time.load_ms)
    );
    if time.repositories_ms > 0.0 {
        out.push_str(&format!("; repositories {}", ms(time.repositories_ms)));
    }
    out
}

fn sessions(report: &RunWasmReport) -> String {
    let columns = [
        ("session", Align::Left),
        ("records", Align::Right),
        ("unchanged", Align::Right),
        ("began at", Align::Left),
        ("cursor", Align::Left),
        ("end", Align::Left),
    ];
    let rows: Vec<Vec<String>> = report
        .sessions
        .iter()
        .take(ROWS_MAX)
        .map(|session| {
            let end = match &session.state {
                SessionState::Open => "open".to_owned(),
                SessionState::Done if session.held_back => "done, held back".to_owned(),
                SessionState::Done => "done".to_owned(),
                SessionState::RolledBack => "rolled back".to_owned(),
                SessionState::Skipped(why) => shortened(&format!("skipped: {why}"), PATH_CHARS_MAX),
            };
            vec![
                shortened(&session.path, PATH_CHARS_MAX),
                count(session.records),
                count(session.unchanged),
                if session.resumed { "a cursor" } else { "the beginning" }.to_owned(),
                session.cursor.as_deref().map_or_else(|| "–".to_owned(), |cursor| shortened(cursor, CURSOR_CHARS_MAX)),
                end,
            ]
        })
        .collect();
    with_more(table(&columns, &rows), report.sessions.len())
}

fn requests(report: &RunWasmReport) -> String {
    let columns = [
        ("method", Align::Left),
        ("url", Align::Left),
        ("status", Align::Left),
        ("ms", Align::Right),
        ("sent", Align::Right),
        ("received", Align::Right),
    ];
    let rows: Vec<Vec<String>> = report
        .requests
        .iter()
        .take(ROWS_MAX)
        .map(|request| {
            let status = match (request.status, &request.error) {
                (Some(status), _) => status.to_string(),
                (None, Some(error)) => shortened(error, CURSOR_CHARS_MAX),
                (None, None) => "–".to_owned(),
            };
            vec![
                request.method.clone(),
                shortened(&request.url, URL_CHARS_MAX),
                status,
                count(request.ms),
                show_size(request.bytes_sent),
                request.bytes_received.map_or_else(|| "–".to_owned(), show_size),
            ]
        })
        .collect();
    let left_out = usize::try_from(report.requests_left_out).unwrap_or(usize::MAX);
    with_more(table(&columns, &rows), report.requests.len().saturating_add(left_out))
}

fn with_more(mut table: String, rows: usize) -> String {
    if rows > ROWS_MAX {
        table.push_str(&format!("… and {} more; the JSON has them\n", count((rows - ROWS_MAX) as u64)));
    }
    table
}

/// The whole, for programs: `host/agent/schemas/run-wasm-report.json`.
pub(super) fn json(report: &RunWasmReport, exit: Exit) -> Value {
    // Plain data; serializing it into memory cannot fail.
    let mut value = serde_json::to_value(report).unwrap_or_default();
    value["version"] = json!(1);
    value["exit_code"] = json!(exit.code());
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_knows_every_outcome_and_call() {
        let schema: Value =
            serde_json::from_str(include_str!("../../schemas/run-wasm-report.json")).expect("the schema is JSON");
        let listed = schema["properties"]["outcome"]["enum"].as_array().expect("outcomes");
        for outcome in OutcomeKind::ALL {
            assert!(listed.contains(&json!(outcome.name())), "{}", outcome.name());
        }
        assert_eq!(listed.len(), OutcomeKind::ALL.len());
    }
}

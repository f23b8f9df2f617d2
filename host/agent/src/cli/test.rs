//! `agent test`: plays an integration's cassettes, and prints each check as it ends: a line for a person, an object for a
//! program, and JUnit XML for what shows tests elsewhere.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::run_wasm::{Points, cache_folder, remove, temporary_root};
use super::running::Running;
use super::table::{count, counted};
use super::{CommandError, Exit, Global, junit, print, print_json, say};
use crate::app::{self, AppError, CHECKS, Kills, TestCheck, TestReport, TestRequest, TestState};
use crate::config::{self, show_duration};
use crate::logs::escape;

const EXAMPLES: &str = "\
Examples:
  agent test .                                       the component and cassettes of this folder
  agent test . --component target/wasm32-wasip2/release/my.wasm
  agent test . --update                              what comes now is what should come from now on
  agent test . --only first --skip resume            one cassette, and not all checks
  agent test . --junit report.xml                    for CI
  agent test . --lines | jq 'select(.state == \"failed\")'

A folder has the component (*.wasm, or --component, or `component:` in agent-test.yaml), cassettes/NAME.har as
`agent run-wasm … --record` writes them, and beside each what should come of it, cassettes/NAME.ndjson.
More: docs/authors.md";

/// Test an integration: play its cassettes, and see whether it keeps to what every integration keeps to
#[derive(Debug, Args)]
#[command(after_help = after_help(), after_long_help = after_help())]
pub(super) struct Arguments {
    /// The integration's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,

    /// The component, a .wasm file [default: that of agent-test.yaml, or the only one in DIR]
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,

    /// Only this cassette, by its name without .har
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,

    /// Leave this check out; it is told
    #[arg(long, value_name = "CHECK")]
    skip: Vec<String>,

    /// Write what comes of each cassette beside it, as what should come from now on
    #[arg(long)]
    update: bool,

    /// After how many host calls the check `resume` kills, evenly spread, or all [default: as many as fit into two minutes a
    /// cassette, 100 at the most]
    #[arg(long, value_name = "N|all")]
    kills: Option<Points>,

    /// Print one JSON object for each check on standard output, as it ends
    #[arg(long, conflicts_with = "json")]
    lines: bool,

    /// Write the checks to this file as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

fn after_help() -> String {
    let checks = CHECKS.map(|(name, what)| format!("  {name:<16} {what}"));
    format!("{EXAMPLES}\n\nChecks:\n{}\n\n{}", checks.join("\n"), super::exit::help())
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, CommandError> {
    if global.root_given || global.config.is_some() {
        let told = "agent test runs in folders of its own, without an agent.yaml; leave --root and -c out";
        return Err(AppError::Usage(told.to_owned()).into());
    }
    let around = global.surroundings(None)?;
    let folder = config::tidy_path(&around.working_dir.join(&arguments.folder));
    let suite = config::suite_of(&folder, &around)?;
    // What guests log is in the way of what is said; warnings and errors are not.
    let logs = Global { quiet: true, ..global.clone() }.logs("test")?;
    let running = Running::begin()?;
    let temporary = temporary_root()?;
    let request = TestRequest {
        folder,
        component: arguments.component.as_ref().map(|file| config::tidy_path(&around.working_dir.join(file))),
        suite,
        skip: arguments.skip.clone(),
        only: arguments.only.clone(),
        update: arguments.update,
        kills: arguments.kills.map_or(Kills::default(), |Points(kills)| kills),
        cache: cache_folder(&around).unwrap_or_else(|| temporary.path().join("cache/agent/components")),
        temporary: temporary.path().to_owned(),
    };
    let (for_people, lines) = (!global.json && !arguments.lines, arguments.lines);
    let mut lost = Ok(());
    let tell = |check: &TestCheck| {
        let told = match () {
            () if for_people && (!global.quiet || check.state == TestState::Failed) => print(&row(check)),
            // Plain data; serializing it into memory cannot fail.
            () if lines => print_json(&serde_json::to_value(check).unwrap_or_default()),
            () => Ok(()),
        };
        lost = std::mem::replace(&mut lost, Ok(())).and(told);
    };
    let shutdown = running.shutdown.clone();
    let result = running.drive(app::run_suite(request, tell, logs, shutdown), None);
    remove(Some(temporary));
    let report = result?;
    lost?;
    let exit = Exit::of_test(&report);
    if let Some(file) = &arguments.junit {
        let written = std::fs::write(file, crate::secrets::struck(&junit::xml(&report)));
        written.map_err(|error| AppError::Failed(format!("--junit {}: {error}; choose another", file.display())))?;
    }
    if global.json {
        let mut document = serde_json::to_value(&report).unwrap_or_default();
        document["version"] = json!(1);
        document["exit_code"] = json!(exit.code());
        document["success"] = json!(exit == Exit::Ok);
        print_json(&document)?;
    } else if !global.quiet {
        say(&summary(&report));
    }
    Ok(exit)
}

/// A check's line, and what is wrong below it.
fn row(check: &TestCheck) -> String {
    let word = match check.state {
        TestState::Ok => "ok",
        TestState::Warning => "warning",
        TestState::Failed => "FAILED",
        TestState::Skipped => "skipped",
    };
    let about =
        check.cassette.as_deref().map_or_else(|| check.check.to_owned(), |name| format!("{name}: {}", check.check));
    let note = check.note.as_deref().map(|note| format!("  ({note})")).unwrap_or_default();
    let mut out = format!("{word:<8} {}{}\n", escape(&about), escape(&note));
    for (what, text) in [("", &check.fault), ("where: ", &check.place), ("mend: ", &check.mend)] {
        let Some(text) = text else { continue };
        let lines: Vec<String> = text.lines().map(escape).collect();
        out.push_str(&format!("         {what}{}\n", lines.join("\n           ")));
    }
    out
}

fn summary(report: &TestReport) -> String {
    let mut out = counted(report.ok + report.warnings + report.failed, "check");
    out.push_str(&match (report.failed, report.warnings) {
        (0, 0) => ", all ok".to_owned(),
        (0, warnings) => format!(", {}", counted(warnings, "warning")),
        (failed, 0) => format!(", {} failed", count(failed)),
        (failed, warnings) => format!(", {} failed, {}", count(failed), counted(warnings, "warning")),
    });
    if report.skipped > 0 {
        out.push_str(&format!(", {} skipped", count(report.skipped)));
    }
    let took = std::time::Duration::from_millis(report.duration_ms);
    out.push_str(&format!("; took {}.\n", show_duration(took)));
    if report.interrupted {
        out.push_str("It was interrupted; what is said is of the checks before.\n");
    }
    out
}

//! `agent check`: whether the integrations could run, and what to do where they could not.

use clap::Args;
use serde_json::{Value, json};

use super::calls::{CallArguments, Ended, carry_out};
use super::exit::Exit;
use super::source::keep_only;
use super::summary::indented;
use super::table::counted;
use super::{CommandError, Global};
use crate::app::{self, CheckReport, CheckState, OutcomeKind};
use crate::logs::escape;

const EXAMPLES: &str = "\
Examples:
  agent check                     all integrations of ./agent.yaml, and a test connection with each
  agent check github              one of them
  agent check --offline           without asking the real systems
  agent check --json | jq '.integrations[] | select(.outcome != \"ok\")'";

/// Check integrations before they run: component, configuration, grants, credentials, and a test connection
///
/// Says what each lacks: faults of its configuration with file and line, missing grants as lines to paste, credentials
/// without a value. Nothing is exported, and no lock is taken: it works beside a running agent.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Only the integrations with these names
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Make no test connection
    #[arg(long)]
    offline: bool,

    #[command(flatten)]
    call: CallArguments,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, CommandError> {
    carry_out("check", &arguments.call, global, |loaded, logs, shutdown| async move {
        let (mut config, notes) = (loaded.config, loaded.notes);
        keep_only(&mut config, &arguments.names, "")?;
        let report = app::check(config, !arguments.offline, logs, shutdown).await?;
        let exit = Exit::of_check(&report);
        Ok(Ended { json: json(&report, &notes, exit), text: text(&report, &notes), exit })
    })
}

fn json(report: &CheckReport, notes: &[String], exit: Exit) -> Value {
    // Plain data; serializing it into memory cannot fail.
    let mut value = serde_json::to_value(report).unwrap_or_default();
    value["version"] = json!(1);
    value["exit_code"] = json!(exit.code());
    value["success"] = json!(exit == Exit::Ok);
    value["notes"] = json!(notes);
    value
}

fn text(report: &CheckReport, notes: &[String]) -> String {
    let checks = || report.integrations.iter().flat_map(|one| &one.checks);
    let width = checks().map(|check| check.name.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for one in &report.integrations {
        out.push_str(&format!("{}\n", escape(&one.name)));
        for check in &one.checks {
            let word = match check.state {
                CheckState::Ok => "✓ ok     ",
                CheckState::Warning => "! look at",
                CheckState::Skipped => "– skipped",
                CheckState::Failed | CheckState::NoRoot | CheckState::Damaged => "✗ failed ",
            };
            let name = format!("{}{}", escape(&check.name), " ".repeat(width - check.name.chars().count()));
            out.push_str(&format!("  {word}  {name}  {}\n", indented(&check.found)));
            if let Some(mend) = &check.mend {
                out.push_str(&format!("      mend: {}\n", pasted(mend)));
            }
        }
        out.push('\n');
    }
    notes.iter().for_each(|note| out.push_str(&format!("note: {note}\n")));
    let good = report.integrations.iter().filter(|one| one.outcome == OutcomeKind::Ok).count();
    let count = counted(report.integrations.len() as u64, "integration");
    out.push_str(&format!("{good} of {count} could run.\n"));
    out
}

/// A mend whose lines after the first keep their own indentation, so that they can be copied.
fn pasted(mend: &str) -> String {
    let mut lines = mend.lines().map(escape);
    let first = lines.next().unwrap_or_default();
    lines.fold(first, |text, line| format!("{text}\n        {line}"))
}

//! `agent validate-config`: integrations try their configuration against the real system.

use clap::Args;
use serde_json::{Value, json};

use super::calls::{CallArguments, Ended, carry_out, failure};
use super::exit::Exit;
use super::source::keep_only;
use super::{CommandError, Global};
use crate::app::{self, CallReport, OutcomeKind, ValidateReport};
use crate::logs::escape;

const EXAMPLES: &str = "\
Examples:
  agent validate-config                     all integrations of ./agent.yaml
  agent validate-config github --json       one of them, for a program
  agent validate-config --pinpoint-root=. --integrations-json='[{\"name\":\"mock\",\"config\":{}}]'

`agent check` does more: it also says what is not granted, and which credentials have no value.";

/// Try configurations against the real systems
///
/// Makes a test connection with each integration, all at the same time. Nothing is exported, and no lock is taken: it works
/// beside a running agent.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Only the integrations with these names
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    #[command(flatten)]
    call: CallArguments,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, CommandError> {
    carry_out("validate-config", &arguments.call, global, |loaded, logs, shutdown| async move {
        let (mut config, notes) = (loaded.config, loaded.notes);
        keep_only(&mut config, &arguments.names, "")?;
        let report = app::validate(config, logs, shutdown).await?;
        let exit = Exit::of_validate(&report);
        Ok(Ended { json: json(&report, &notes, exit), text: text(&report, &notes), exit })
    })
}

/// The faults that the integration found, or the one that kept it from looking.
fn errors(report: &CallReport) -> Vec<String> {
    let found = report.result["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let found: Vec<String> = found.map(str::to_owned).collect();
    if found.is_empty() && report.outcome != OutcomeKind::Ok {
        return vec![report.reason.clone().unwrap_or_else(|| "no reason given".to_owned())];
    }
    found
}

fn json(report: &ValidateReport, notes: &[String], exit: Exit) -> Value {
    let single = report.integrations.len() == 1;
    let of_one = |one: &CallReport| {
        let mut value = json!(one);
        value["success"] = json!(one.outcome == OutcomeKind::Ok);
        value["errors"] = json!(errors(one));
        value["server_version"] = one.result.get("server_version").cloned().unwrap_or_else(|| json!(""));
        value["repo_url"] = one.result.get("repo_url").cloned().unwrap_or_else(|| json!(""));
        value
    };
    let integrations: Vec<Value> = report.integrations.iter().map(of_one).collect();
    let all: Vec<String> = report
        .integrations
        .iter()
        .flat_map(|one| {
            errors(one).into_iter().map(move |error| if single { error } else { format!("{}: {error}", one.name) })
        })
        .collect();
    // With several integrations each says its own.
    let only = |member: &str| if single { integrations[0][member].clone() } else { json!("") };
    json!({
        "version": 1,
        "exit_code": exit.code(),
        "success": exit == Exit::Ok,
        "errors": all,
        "server_version": only("server_version"),
        "repo_url": only("repo_url"),
        "integrations": integrations,
        "interrupted": report.interrupted,
        "duration_ms": report.duration_ms,
        "notes": notes,
    })
}

fn text(report: &ValidateReport, notes: &[String]) -> String {
    let line = |one: &CallReport| {
        failure(one, notes).unwrap_or_else(|| {
            let version = one.result["server_version"].as_str().map(|version| format!(" ({})", escape(version)));
            format!("✓ {}: the configuration works{}\n", escape(&one.name), version.unwrap_or_default())
        })
    };
    report.integrations.iter().map(line).collect()
}

//! `agent inspect`: what a component is, imports and asks for.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{CommandError, Exit, Global, print, print_json, run_wasm};
use crate::app::{self, AppError, InspectReport};
use crate::config::{show_size, tidy_path};
use crate::logs::escape;
use crate::sandbox::{Kind, Link};
use crate::shutdown::Shutdown;

const EXAMPLES: &str = "\
Examples:
  agent inspect my.wasm                       for people
  agent inspect my.wasm --json | jq .manifest.asks
  agent inspect suspicious.wasm --no-describe runs nothing of it

The exit code is 0 where it can be run by this agent, and 78 where it cannot; what is known is printed in both cases.";

/// Print what a component is: manifest, imports and what they give, exports, digest, and what it asks for
///
/// Runs nothing of it but `describe`, with nothing granted.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The component, a .wasm file
    file: PathBuf,

    /// Do not run `describe` either: only what the file says
    #[arg(long)]
    no_describe: bool,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, CommandError> {
    let around = global.surroundings(None)?;
    let logs = global.logs("inspect")?;
    let runtime = crate::shutdown::runtime().map_err(|error| {
        AppError::Failed(format!("threads cannot be started: {error}; allow the agent more of them"))
    })?;
    let temporary = match run_wasm::cache_folder(&around) {
        Some(_) => None,
        None => Some(
            tempfile::tempdir()
                .map_err(|error| AppError::Failed(format!("no temporary folder can be made: {error}; set TMPDIR")))?,
        ),
    };
    let cache = run_wasm::cache_folder(&around)
        .or_else(|| temporary.as_ref().map(|folder| folder.path().join("components")))
        .unwrap_or_default();
    let file = tidy_path(&around.working_dir.join(&arguments.file));
    let inspect = app::inspect(file, cache, !arguments.no_describe, logs.clone(), Shutdown::default());
    let report = runtime.block_on(inspect)?;
    logs.flush();
    let exit = if report.obstacle.is_some() { Exit::BadConfiguration } else { Exit::Ok };
    if global.json {
        let mut value = serde_json::to_value(&report).unwrap_or_default();
        value["version"] = json!(1);
        value["exit_code"] = json!(exit.code());
        print_json(&value)?;
    } else {
        print(&text(&report))?;
    }
    if let Some(obstacle) = report.obstacle.as_ref().filter(|_| !global.json) {
        eprintln!("error: it cannot be run here: {}", super::summary::indented(obstacle));
    }
    Ok(exit)
}

fn text(report: &InspectReport) -> String {
    let mut out = format!("file          {}\n", escape(&report.file.display().to_string()));
    let mut line = |name: &str, text: String| out.push_str(&format!("{name:<13} {text}\n"));
    let anatomy = &report.anatomy;
    line("size", show_size(report.bytes));
    line("sha256", report.digest.clone());
    line(
        "kind",
        match anatomy.kind {
            Some(Kind::Component) => format!("component of {} core modules", anatomy.modules),
            Some(Kind::CoreModule) => "core module".to_owned(),
            None => "not WebAssembly".to_owned(),
        },
    );
    let offered = report.contract_offered;
    line(
        "contract",
        match &anatomy.contract {
            Some(version) => format!("agent:integration@{}; this agent offers {offered}", escape(version)),
            None => format!("none; this agent offers agent:integration {offered}"),
        },
    );
    for (field, names) in &anatomy.producers {
        line(&escape(field), escape(&names.join(", ")));
    }
    line(
        "debug info",
        if anatomy.debug_info { "yes: backtraces name lines" } else { "no: backtraces name functions" }.to_owned(),
    );
    out.push_str("\nimports\n");
    for import in &anatomy.imports {
        let mark = match import.link {
            Link::Offered => "      ",
            Link::Inert => "inert ",
            Link::Unknown => "MISSING",
        };
        out.push_str(&format!("  {mark:<7} {:<46} {}\n", escape(&import.name), import.meaning));
    }
    out.push_str("\nexports\n");
    anatomy.exports.iter().for_each(|export| out.push_str(&format!("  {}\n", escape(export))));
    if let Some(manifest) = &report.manifest {
        out.push_str(&manifest_text(manifest));
    }
    out
}

fn manifest_text(manifest: &crate::command::manifest::Manifest) -> String {
    let mut out = format!(
        "\nmanifest      {} {} ({})\n",
        escape(&manifest.name),
        escape(&manifest.version),
        escape(&manifest.ref_type)
    );
    let mut line = |name: &str, text: &str| {
        if !text.is_empty() {
            out.push_str(&format!("{name:<13} {}\n", escape(text)));
        }
    };
    line("", &manifest.description);
    for model in &manifest.models {
        let dedup = if model.dedup { "" } else { ", unchanged records are sent again" };
        line("model", &format!("{} (key {}{dedup})", model.name, model.key.join(", ")));
    }
    let settings = manifest.config.get("properties").and_then(serde_json::Value::as_object);
    let required = manifest.config.get("required").and_then(serde_json::Value::as_array);
    for (name, schema) in settings.into_iter().flatten() {
        let text = |member: &str| schema.get(member).and_then(serde_json::Value::as_str).unwrap_or_default();
        let needed = required.is_some_and(|names| names.iter().any(|required| required == name));
        let kind = schema.get("type").map(ToString::to_string).unwrap_or_default().replace('"', "");
        let needed = if needed { ", required" } else { "" };
        line("setting", format!("{name} ({kind}{needed}) {}", text("description")).trim_end());
    }
    line("onboards", &manifest.onboard.join(", "));
    line("mutations", &manifest.mutations.join(", "));
    line("webhooks", &manifest.webhook_events.join(", "));
    let asks = &manifest.asks;
    if asks.network.is_empty() && asks.credentials.is_empty() && !asks.git {
        line("asks for", "nothing");
    }
    for rule in &asks.network {
        line("asks for", &format!("network: {}", rule_text(rule)));
    }
    for credential in &asks.credentials {
        line(
            "asks for",
            format!("credential {}: {}", credential.name, credential.description).trim_end_matches([':', ' ']),
        );
    }
    if asks.git {
        line("asks for", "git: repositories that the host exports");
    }
    out
}

/// A rule as the manifest has it; one that names a setting is filled in from the configuration.
fn rule_text(rule: &crate::command::manifest::AskedRule) -> String {
    let methods = if rule.methods.is_empty() { "every method".to_owned() } else { rule.methods.join(",") };
    let from_config = rule.host.starts_with("{config:");
    let scheme = match &rule.scheme {
        _ if from_config => String::new(),
        Some(scheme) => format!("{scheme}://"),
        None => "https://".to_owned(),
    };
    let port = rule.port.map(|port| format!(":{port}")).unwrap_or_default();
    let path = if rule.path == "/" { "" } else { &rule.path };
    format!("{scheme}{}{port}{path} {methods}", rule.host)
}

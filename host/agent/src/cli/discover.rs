//! `agent discover`: what integrations are, have and ask for.

use clap::Args;
use serde_json::json;

use super::exit::Exit;
use super::running::Running;
use super::source::SourceArguments;
use super::{CommandError, Global, print, print_json};
use crate::app::{self, AppError, Candidate, Described, DiscoverReport, Discovered};
use crate::config::{self, CompileLimits, Loaded, show_size};
use crate::logs::escape;

const EXAMPLES: &str = "\
Examples:
  agent discover                  the integrations of ./agent.yaml; without one, the components that are installed
  agent discover mock             one of them, or a component by its name
  agent discover ./my.wasm        a file
  agent discover --json | jq '.integrations[].models[].name'";

/// Show what integrations export and can do: models, onboarding data, mutations, webhooks, and what they ask for
///
/// Asks each component for its manifest, with nothing granted. Nothing is exported, and no lock is taken.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Integrations of agent.yaml, components by name, or .wasm files
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    #[command(flatten)]
    source: SourceArguments,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, CommandError> {
    let loaded = arguments.source.load_if_any(global)?;
    let candidates = candidates(&arguments.names, loaded.as_ref(), &arguments.source, global)?;
    if candidates.is_empty() {
        let fault = "there is no agent.yaml and no component is installed; name a component, or a folder with --integrations-dir";
        return Err(AppError::Usage(fault.to_owned()).into());
    }
    let (root, compile) = match loaded {
        Some(loaded) => (loaded.config.root, loaded.config.compile),
        None => (global.root()?, CompileLimits::default()),
    };
    let report = discover(global, "discover", &root, &compile, candidates)?;
    let exit = Exit::of_discover(&report);
    if global.json {
        let mut json = json!(report);
        json["version"] = json!(1);
        json["exit_code"] = json!(exit.code());
        json["success"] = json!(exit == Exit::Ok);
        print_json(&json)?;
    } else {
        print(&text(&report))?;
    }
    Ok(exit)
}

/// Asks components what they are.
pub(super) fn discover(
    global: &Global,
    command: &str,
    root: &std::path::Path,
    compile: &CompileLimits,
    candidates: Vec<Candidate>,
) -> Result<DiscoverReport, CommandError> {
    let running = Running::begin()?;
    let logs = global.logs(command)?;
    let work = app::discover(root, compile, candidates, logs.clone(), running.shutdown.clone());
    let report = running.drive(work, None);
    logs.flush();
    report
}

/// The components to look at: those that are named, or those of the configuration, or those that are installed.
pub(super) fn candidates(
    names: &[String],
    loaded: Option<&Loaded>,
    source: &SourceArguments,
    global: &Global,
) -> Result<Vec<Candidate>, CommandError> {
    let around = source.surroundings(global)?;
    let configured = loaded.map(|loaded| loaded.config.integrations.as_slice()).unwrap_or_default();
    let of = |integration: &config::Integration| Candidate {
        name: integration.name.clone(),
        component: integration.component.clone(),
        absent: loaded.and_then(|loaded| loaded.config.absent.get(&integration.name)).map(ToString::to_string),
    };
    if names.is_empty() && loaded.is_some() {
        return Ok(configured.iter().map(of).collect());
    }
    if names.is_empty() {
        let found = config::all_components(&around).into_iter();
        return Ok(found.map(|found| Candidate { name: found.name, component: found.file, absent: None }).collect());
    }
    let named = |name: &String| match configured.iter().find(|integration| integration.name == *name) {
        Some(integration) => Ok(of(integration)),
        None => {
            let component = config::find_component(name, &around)?;
            Ok(Candidate { name: name.clone(), component, absent: None })
        }
    };
    names.iter().map(named).collect()
}

fn text(report: &DiscoverReport) -> String {
    report.integrations.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn one(found: &Discovered) -> String {
    let name = escape(&found.name);
    let file = escape(&found.component.display().to_string());
    let Some(manifest) = &found.manifest else {
        let error = found.error.as_deref().unwrap_or("no reason given");
        return format!("{name}\n  component   {file}\n  ✗ {}\n", super::summary::indented(error));
    };
    let mut out = format!("{name}: {} {}", escape(&manifest.integration), escape(&manifest.version));
    if !manifest.description.is_empty() {
        out.push_str(&format!(" – {}", escape(&manifest.description)));
    }
    let digest: String = found.digest.iter().flat_map(|digest| digest.chars().take(12)).collect();
    out.push_str(&format!("\n  component   {file} ({}, sha256 {digest}…)\n", show_size(found.bytes.unwrap_or(0))));
    section(&mut out, "models", &models(manifest));
    section(&mut out, "onboarding", &listed(&manifest.onboard));
    section(&mut out, "mutations", &listed(&manifest.mutations));
    let mut webhooks = listed(&manifest.webhook_events);
    webhooks.extend(manifest.webhook_event_header.iter().map(|name| format!("(told by the header {})", escape(name))));
    section(&mut out, "webhooks", &webhooks);
    section(&mut out, "asks", &asks(manifest));
    out
}

fn section(out: &mut String, head: &str, lines: &[String]) {
    let gap = " ".repeat(12 - head.len());
    match lines.split_first() {
        None => out.push_str(&format!("  {head}{gap}none\n")),
        Some((first, others)) => {
            out.push_str(&format!("  {head}{gap}{first}\n"));
            others.iter().for_each(|line| out.push_str(&format!("  {}{line}\n", " ".repeat(12))));
        }
    }
}

fn models(manifest: &Described) -> Vec<String> {
    let width = manifest.models.iter().map(|model| model.name.chars().count()).max().unwrap_or(0);
    let line = |model: &app::DiscoveredModel| {
        let gap = " ".repeat(width - model.name.chars().count());
        let dedup = if model.dedup { "unchanged records are left out" } else { "every record is sent" };
        format!("{}{gap}  key {}, {dedup}", escape(&model.name), escape(&model.key.join(" ")))
    };
    manifest.models.iter().map(line).collect()
}

fn listed(names: &[String]) -> Vec<String> {
    if names.is_empty() { Vec::new() } else { vec![escape(&names.join(", "))] }
}

fn asks(manifest: &Described) -> Vec<String> {
    let asks = &manifest.asks;
    let rule = |rule: &crate::command::manifest::AskedRule| {
        let scheme = rule.scheme.as_deref().map(|scheme| format!("{scheme}://")).unwrap_or_default();
        let port = rule.port.map(|port| format!(":{port}")).unwrap_or_default();
        let path = if rule.path == "/" { "" } else { &rule.path };
        let methods = if rule.methods.is_empty() { "all methods".to_owned() } else { rule.methods.join(",") };
        format!("network {}", escape(&format!("{scheme}{}{port}{path} {methods}", rule.host)))
    };
    let mut lines: Vec<String> = asks.network.iter().map(rule).collect();
    lines.extend(asks.credentials.iter().map(|credential| {
        format!("credential {}", escape(&format!("{}: {}", credential.name, credential.description)))
    }));
    if asks.git {
        lines.push("git repositories, exported by the agent".to_owned());
    }
    lines
}

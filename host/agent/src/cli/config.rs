//! `agent config`: about the configuration itself.

use clap::{Args, Subcommand};

use super::source::SourceArguments;
use super::{CommandError, Exit, Global, discover, print};
use crate::app::{self, Candidate};
use crate::config::{self, AGENT_CONFIG_SCHEMA, CompileLimits};
use crate::logs::escape_json;

/// About the configuration itself
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Schema(Schema),
}

const EXAMPLES: &str = "\
Examples:
  agent config schema > agent.schema.json     with the integrations of ./agent.yaml and those that are installed
  agent config schema mock ./my.wasm          with these
  agent config schema --plain                 without any

and as the first line of agent.yaml, for an editor that completes it:
  # yaml-language-server: $schema=agent.schema.json";

/// Print the JSON Schema of agent.yaml, for editors and checks
///
/// Each integration's own schema for its `config` is merged in: where `component` names it, `config` must fit. What is
/// secret is marked `writeOnly`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
struct Schema {
    /// Integrations of agent.yaml, components by name, or .wasm files
    #[arg(value_name = "NAME", conflicts_with = "plain")]
    names: Vec<String>,

    /// Without the integrations' own schemas
    #[arg(long)]
    plain: bool,

    #[command(flatten)]
    source: SourceArguments,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, CommandError> {
    match &arguments.command {
        Command::Schema(schema) => schema.run(global),
    }
}

impl Schema {
    fn run(&self, global: &Global) -> Result<Exit, CommandError> {
        let candidates = if self.plain { Vec::new() } else { self.candidates(global)? };
        if candidates.is_empty() {
            print(AGENT_CONFIG_SCHEMA)?;
            return Ok(Exit::Ok);
        }
        let root = match global.root() {
            Ok(root) => root,
            // A file that is being written has faults; the schema is to help with them.
            Err(error) => self.source.surroundings(global)?.default_root().ok_or(error)?,
        };
        let report = discover::discover(global, "config", &root, &CompileLimits::default(), candidates)?;
        for found in &report.integrations {
            if let Some(error) = &found.error {
                eprintln!("warning: {} is left out: {}", found.name, super::summary::indented(error));
            }
        }
        print(&format!("{}\n", escape_json(&format!("{:#}", app::merged_schema(&report.integrations)))))?;
        // Without one that was asked for, the schema is not what was asked for.
        Ok(if self.names.is_empty() { Exit::Ok } else { Exit::of_discover(&report) })
    }

    /// The components: those that are named, or those of the configuration and those that are installed.
    fn candidates(&self, global: &Global) -> Result<Vec<Candidate>, CommandError> {
        let loaded = match self.source.load_if_any(global) {
            Ok(loaded) => loaded,
            Err(error) => {
                eprintln!("warning: the configuration has faults, so its components are left out: {}", error.text());
                None
            }
        };
        let mut candidates = discover::candidates(&self.names, loaded.as_ref(), &self.source, global)?;
        if self.names.is_empty() {
            let installed = config::all_components(&self.source.surroundings(global)?);
            candidates.extend(installed.into_iter().map(|found| Candidate {
                name: found.name,
                component: found.file,
                absent: None,
            }));
            // One component, however many integrations run it.
            let mut seen = Vec::new();
            candidates.retain(|candidate| {
                let new = !seen.contains(&candidate.component);
                seen.push(candidate.component.clone());
                new
            });
        }
        Ok(candidates)
    }
}

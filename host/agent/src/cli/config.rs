//! `agent config`: about the configuration itself.

use clap::{Args, Subcommand};

use super::{CommandError, Exit, print};
use crate::config::AGENT_CONFIG_SCHEMA;

/// About the configuration itself
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the JSON Schema of agent.yaml, for editors and checks
    #[command(
        after_help = "Example:\n  agent config schema > agent.schema.json\n  and as the first line of agent.yaml:\n  # yaml-language-server: $schema=agent.schema.json"
    )]
    Schema,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, CommandError> {
    match arguments.command {
        Command::Schema => print(AGENT_CONFIG_SCHEMA),
    }
    Ok(Exit::Ok)
}

//! `agent version`: what this is.

use clap::Args;
use serde_json::json;

use super::{CommandError, Exit, Global, print_report};

/// The version of the contract that components are built against.
const CONTRACT: &str = "agent:integration@0.1.0";

/// Print the version
#[derive(Debug, Args)]
pub(super) struct Arguments {}

/// Runs the subcommand.
pub(super) fn run(_: &Arguments, global: &Global) -> Result<Exit, CommandError> {
    let version = env!("CARGO_PKG_VERSION");
    print_report(global, &json!({ "version": version, "contract": CONTRACT }), Exit::Ok, || {
        format!("agent {version} ({CONTRACT})\n")
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_contract_is_the_one_in_the_repository() {
        let package = include_str!("../../../../wit/package.wit");
        assert!(package.contains(&format!("package {};", super::CONTRACT)));
    }
}

//! `agent force-historical`: makes an integration's next export a full one.

use clap::Args;

use super::table::counted;
use super::{CommandError, Exit, Global, print_report};
use crate::app;

/// Forget where one integration had got to, so that its next export is full
///
/// Forgets exactly this integration's cursors and the marks by which unchanged records are recognized; what has been
/// exported already is not touched.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  agent force-historical git\n  agent force-historical git --root ./.agent")]
pub(super) struct Arguments {
    /// The integration's name, as in agent.yaml
    name: String,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, CommandError> {
    let report = app::force_historical(&global.root()?, &arguments.name)?;
    print_report(global, &report, Exit::Ok, || {
        let (cursors, marks) = (counted(report.cursors, "cursor"), counted(report.marks, "mark"));
        format!("{}: forgot {cursors} and {marks}; its next export is full.\n", report.integration)
    })
}

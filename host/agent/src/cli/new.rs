//! `agent new`: a project for a new integration, ready to build, test and run.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::{CommandError, Exit, Global, print_report};
use crate::app::{self, NewOptions, NewReport, TEMPLATES};
use crate::logs::escape;

/// Make a project for a new integration, ready to build, test and run
///
/// It exports the issues of a GitHub repository until you change it. The SDK and the contract are copied into it, so that
/// it needs this agent and the language's tools only. Nothing is overwritten.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  agent new my-tickets\n  agent new my-tickets --lang python\n  agent new my-tickets --dir ~/src/tickets"
)]
pub(super) struct Arguments {
    /// The integration's name: lower case, digits and hyphens, at most 64
    name: String,

    /// The language to write it in
    #[arg(long, value_name = "LANG", default_value = TEMPLATES[0].lang, value_parser = languages())]
    lang: String,

    /// The project's folder [default: ./NAME]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Use the SDK in this folder instead of copying it into the project
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

fn languages() -> PossibleValuesParser {
    PossibleValuesParser::new(TEMPLATES.iter().map(|template| template.lang))
}

/// Runs the subcommand.
pub(super) fn run(arguments: Arguments, global: &Global) -> Result<Exit, CommandError> {
    let Arguments { name, lang, dir, sdk } = arguments;
    let report = app::new_project(&NewOptions { name, lang, dir, sdk })?;
    print_report(global, &report, Exit::Ok, || text(&report))
}

fn text(report: &NewReport) -> String {
    let commands: String = report.next.iter().map(|command| format!("  {}\n", escape(command))).collect();
    let dir = escape(&report.dir.display().to_string());
    format!("Made {dir}: an integration in {}, README.md says what is in it. Next:\n{commands}", report.lang)
}

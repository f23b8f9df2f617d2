//! `agent export`: runs the configured integrations once.

use std::io::IsTerminal;
use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::Args;

use super::output::Output;
use super::progress::{Progress, Style};
use super::running::Running;
use super::source::{SourceArguments, keep_only};
use super::{CommandError, Exit, Global, LogFormat, print, print_json, say, summary};
use crate::app::{self, AppError, ExportOptions, ExportReport};
use crate::config::{Loaded, Sink};

const EXAMPLES: &str = "\
Examples:
  agent export                                  what ./agent.yaml says
  agent export -c prod.yaml                     another configuration
  agent export --only git --only mock           some of its integrations
  agent export --reprocess-historical           everything again, not only what is new
  agent export --json --output-file result.json the result for programs
  agent export --pinpoint-root=. --agent-config-json='{\"customer_id\":\"c1\"}' \\
      --integrations-json='[{\"name\":\"mock\",\"config\":{\"k\":\"v\"}}]'

The first interrupt (Ctrl-C, SIGTERM) ends the run at the next good place, the second at once.
Both keep what was committed, and the next run goes on from there.";

/// Export once: run the configured integrations in parallel, deliver what they export
///
/// Each integration goes on from where its last committed run ended, and records that have not changed are left out.
/// One that fails leaves the others alone; it is named at the end with its reason.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = long_help())]
pub(super) struct Arguments {
    #[command(flatten)]
    source: SourceArguments,

    /// Write the result to this file, as JSON
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,

    /// Forget where the integrations had got to, and export everything again
    #[arg(long)]
    reprocess_historical: bool,

    /// Run only the integrations with these names
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    only: Vec<String>,

    /// A test aid: kills this process with SIGKILL right after the Nth host call of a guest has returned, to test resumption
    #[arg(long, value_name = "N")]
    kill_after: Option<NonZeroU64>,
}

fn long_help() -> String {
    format!("{EXAMPLES}\n\n{}", super::exit::help())
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, CommandError> {
    let output = arguments.output_file.as_deref().map(Output::begin).transpose()?;
    let result = export(arguments, global);
    let (json, exit) = match &result {
        Ok((report, loaded)) => (summary::json(report, &loaded.notes), Exit::of_export(report)),
        Err(error) => (error.json(), error.exit()),
    };
    if let Some(output) = output {
        output.end(&json)?;
    }
    let (report, loaded) = result?;
    if global.json {
        print_json(&json)?;
    } else if !global.quiet {
        let text = summary::text(&report, &loaded.notes);
        match loaded.config.sink {
            // Standard output carries the records.
            Sink::Stdout => say(&text),
            Sink::Folder { .. } => print(&text)?,
        }
    }
    Ok(exit)
}

/// Reads the configuration and judges it together with the flags.
fn prepare(source: &SourceArguments, only: &[String], global: &Global) -> Result<Loaded, CommandError> {
    let mut loaded = source.load(global)?;
    keep_only(&mut loaded.config, only, "--only ")?;
    if global.json && matches!(loaded.config.sink, Sink::Stdout) {
        let fault = "--json and the sink `stdout` both want standard output; use --output-file for the result";
        return Err(AppError::Usage(fault.to_owned()).into());
    }
    Ok(loaded)
}

fn export(arguments: &Arguments, global: &Global) -> Result<(ExportReport, Loaded), CommandError> {
    let mut running = Running::begin()?;
    let (source, only, for_reading) = (arguments.source.clone(), arguments.only.clone(), global.clone());
    let loaded = match running.prepare(move || prepare(&source, &only, &for_reading)) {
        Ok(loaded) => loaded,
        Err(error) => {
            running.give_up();
            return Err(error);
        }
    };
    let logs = global.logs("export")?;
    for note in &loaded.notes {
        tracing::info!("{note}");
    }
    let style = match () {
        () if global.quiet => Style::None,
        () if std::io::stderr().is_terminal() && global.log_format == LogFormat::Text => Style::Drawn,
        () => Style::Logged,
    };
    let progress = Progress::new(style, logs.clone());
    let options =
        ExportOptions { reprocess_historical: arguments.reprocess_historical, kill_after: arguments.kill_after };
    let work = app::export(loaded.config.clone(), options, logs.clone(), running.shutdown.clone(), &progress);
    let result = running.drive(work, Some(&progress));
    progress.end();
    logs.flush();
    if logs.lost() > 0 {
        eprintln!("warning: {} log lines could not be written", logs.lost());
    }
    Ok((result?, loaded))
}

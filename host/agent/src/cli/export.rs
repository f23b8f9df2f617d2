//! `agent export`: runs the configured integrations once.

use std::future::Future;
use std::io::{IsTerminal, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::pin::pin;

use clap::Args;
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::progress::{Progress, Style};
use super::signals::Interrupts;
use super::{CommandError, Exit, Global, LogFormat, print, summary};
use crate::app::{self, AppError, ExportOptions, ExportReport};
use crate::config::{self, Config, Document, Loaded, Sink, Source, Surroundings};
use crate::shutdown::Shutdown;

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
    /// The agent's configuration as JSON: {customer_id, pinpoint_root, skip_git, integrations_dir, …}
    #[arg(long, value_name = "JSON", group = "agent", requires = "integrations")]
    agent_config_json: Option<String>,

    /// As --agent-config-json, from a file
    #[arg(long, value_name = "FILE", group = "agent", requires = "integrations")]
    agent_config_file: Option<PathBuf>,

    /// The integrations as JSON: [{name, id, type, config}]; this form grants them nothing
    #[arg(long, value_name = "JSON", group = "integrations", conflicts_with = "config")]
    integrations_json: Option<String>,

    /// As --integrations-json, from a file
    #[arg(long, value_name = "FILE", group = "integrations", conflicts_with = "config")]
    integrations_file: Option<PathBuf>,

    /// A folder with components; searched before those beside the agent
    #[arg(long, env = "AGENT_INTEGRATIONS_DIR", value_name = "DIR")]
    integrations_dir: Option<PathBuf>,

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
pub(super) fn run(arguments: Arguments, global: &Global) -> Result<Exit, CommandError> {
    let output = arguments.output_file.as_deref().map(Output::begin).transpose()?;
    let result = prepare(&arguments, global).and_then(|loaded| {
        let report = export(&loaded, &arguments, global)?;
        Ok((report, loaded))
    });
    let (json, exit) = match &result {
        Ok((report, loaded)) => (summary::json(report, &loaded.notes), Exit::of_export(report)),
        Err(error) => (error.json(), error.exit()),
    };
    if let Some(output) = output {
        output.end(&json)?;
    }
    let (report, loaded) = result?;
    if global.json {
        print(&format!("{json}\n"));
    } else if !global.quiet {
        let text = summary::text(&report, &loaded.notes);
        match loaded.config.sink {
            // Standard output carries the records.
            Sink::Stdout => eprint!("{text}"),
            Sink::Folder { .. } => print(&text),
        }
    }
    Ok(exit)
}

/// Reads the configuration and judges it together with the flags.
fn prepare(arguments: &Arguments, global: &Global) -> Result<Loaded, CommandError> {
    let around = global.surroundings(arguments.integrations_dir.as_deref())?;
    let mut loaded = config::load(&arguments.source(global, &around)?, &around)?;
    keep_only(&mut loaded.config, &arguments.only)?;
    if global.json && matches!(loaded.config.sink, Sink::Stdout) {
        let fault = "--json and the sink `stdout` both want standard output; use --output-file for the result";
        return Err(AppError::Usage(fault.to_owned()).into());
    }
    Ok(loaded)
}

impl Arguments {
    fn source(&self, global: &Global, around: &Surroundings) -> Result<Source, CommandError> {
        let document = |flag, text: &Option<String>, file: &Option<PathBuf>| match (text, file) {
            (Some(text), _) => Some(Document::Inline { flag, text: text.clone() }),
            (None, Some(file)) => Some(Document::File(file.clone())),
            (None, None) => None,
        };
        let agent = document("--agent-config-json", &self.agent_config_json, &self.agent_config_file);
        if let Some(integrations) = document("--integrations-json", &self.integrations_json, &self.integrations_file) {
            return Ok(Source::Flags { agent, integrations });
        }
        if let Some(file) = global.config_file(around) {
            return Ok(Source::File(file));
        }
        Err(config::ConfigError::none_found(&around.working_dir).into())
    }
}

/// Keeps the integrations with these names; all if there are none.
fn keep_only(config: &mut Config, only: &[String]) -> Result<(), AppError> {
    if only.is_empty() {
        return Ok(());
    }
    let known: Vec<String> = config.integrations.iter().map(|integration| integration.name.clone()).collect();
    if let Some(unknown) = only.iter().find(|name| !known.contains(name)) {
        let fault = format!("--only {unknown}: there is no integration of that name; there are: {}", known.join(", "));
        return Err(AppError::Usage(fault));
    }
    config.integrations.retain(|integration| only.contains(&integration.name));
    Ok(())
}

fn export(loaded: &Loaded, arguments: &Arguments, global: &Global) -> Result<ExportReport, CommandError> {
    let logs = global.logs("export")?;
    for note in &loaded.notes {
        tracing::info!("{note}");
    }
    let style = match () {
        () if global.quiet => Style::None,
        () if std::io::stderr().is_terminal() && global.log_format == LogFormat::Text => Style::Drawn,
        () => Style::Logged,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        AppError::Failed(format!("threads cannot be started: {error}; allow the agent more of them"))
    })?;
    let shutdown = Shutdown::default();
    let progress = Progress::new(style, logs.clone());
    let options =
        ExportOptions { reprocess_historical: arguments.reprocess_historical, kill_after: arguments.kill_after };
    let result = runtime.block_on(async {
        let export = app::export(loaded.config.clone(), options, logs.clone(), shutdown.clone(), &progress);
        drive(export, &progress, &shutdown).await
    });
    progress.end();
    logs.flush();
    if logs.lost() > 0 {
        eprintln!("warning: {} log lines could not be written", logs.lost());
    }
    // Work that does not end by itself (a second interrupt left it behind) must not keep the process.
    runtime.shutdown_background();
    Ok(result.ok_or(CommandError::Interrupted)??)
}

/// Waits for the export, showing progress and listening for interrupts. None after the second of them.
async fn drive<R>(
    export: impl Future<Output = Result<R, AppError>>,
    progress: &Progress,
    shutdown: &Shutdown,
) -> Option<Result<R, AppError>> {
    let mut interrupts = match Interrupts::listen() {
        Ok(interrupts) => interrupts,
        Err(error) => return Some(Err(AppError::Failed(format!("signals cannot be listened for: {error}")))),
    };
    let mut ticks = interval_at(Instant::now() + progress.every(), progress.every());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut export = pin!(export);
    loop {
        tokio::select! {
            result = &mut export => return Some(result),
            _ = ticks.tick() => progress.show(),
            () = interrupts.next() => {
                if shutdown.requested() {
                    return None;
                }
                shutdown.request();
                tracing::warn!("interrupted: ending at the next good place; interrupt again to end at once");
            }
        }
    }
}

/// The result's file. Begun before the run, so that a path that cannot be written is known before and not after hours.
struct Output {
    file: NamedTempFile,
    path: PathBuf,
}

impl Output {
    fn begin(path: &Path) -> Result<Output, AppError> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if path.is_dir() {
            return Err(AppError::Usage(format!("--output-file {}: it is a folder; name a file", path.display())));
        }
        let mut builder = tempfile::Builder::new();
        // A result is no secret: it gets the permissions that any new file of this user gets.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder).map_err(|error| Output::failed(path, &error))?;
        Ok(Output { file, path: path.to_owned() })
    }

    /// Puts the result in its place, whole or not at all.
    fn end(mut self, result: &Value) -> Result<(), AppError> {
        writeln!(self.file, "{result:#}").map_err(|error| Output::failed(&self.path, &error))?;
        self.file.persist(&self.path).map_err(|error| Output::failed(&self.path, &error.error))?;
        Ok(())
    }

    fn failed(path: &Path, error: &std::io::Error) -> AppError {
        AppError::Failed(format!(
            "the result cannot be written to {}: {error}; choose another --output-file",
            path.display()
        ))
    }
}

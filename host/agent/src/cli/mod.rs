//! The command line: one file for each subcommand; prints; decides nothing. What is done is in `app`, what a result is
//! worth as an exit code is in `exit`.

mod calls;
mod check;
mod compile;
mod config;
mod discover;
mod doctor;
mod exit;
mod export;
mod files;
mod force_historical;
mod history;
mod history_report;
mod inspect;
mod integrations;
mod junit;
mod mutate;
mod new;
mod onboard;
mod output;
mod progress;
mod resume_check;
mod run_wasm;
mod run_wasm_report;
mod running;
mod secrets;
mod signals;
mod source;
mod status;
mod summary;
mod table;
mod test;
mod validate_config;
mod version;
mod watching;
mod webhook;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};

pub use exit::Exit;

use crate::app::AppError;
use crate::config::{ConfigError, Surroundings};
use crate::logs::{Logs, escape, escape_json};

const EXAMPLES: &str = "\
Examples:
  agent check                               could the integrations of ./agent.yaml run?
  agent export                              run them
  agent export -c prod.yaml --only github   run one integration of another configuration
  agent export --json | jq .integrations    the result for a program
  agent discover mock                       what an integration exports and can do
  agent onboard mock projects               what there is to choose from
  agent mutate mock issue.set_title --data @change.json
  agent status                              what the store holds
  agent doctor                              what is wrong, and what to do about it
  agent run-wasm my.wasm                    one component alone, for its author
  agent test .                              its cassettes, and what every integration keeps to
  agent inspect my.wasm                     what a component is and asks for
  agent integrations add my.wasm            agree to that, and hold the file to it
  agent secrets set github                  keep a secret, from standard input
  agent ripsrc code . > history.ndjson      a repository's history, line by line
  agent config schema > agent.schema.json   for an editor that completes agent.yaml
  agent new my-tickets                      begin an integration of your own";

/// Runs integrations, sandboxed WebAssembly components, and delivers what they export: durably, and once.
#[derive(Debug, Parser)]
#[command(name = "agent", version, after_help = EXAMPLES, after_long_help = long_help(), max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

fn long_help() -> String {
    format!("{EXAMPLES}\n\n{}\n\nLog lines go to standard error, data and results to standard output.", exit::help())
}

#[derive(Debug, Subcommand)]
enum Command {
    Export(Box<export::Arguments>),
    Check(Box<check::Arguments>),
    Discover(Box<discover::Arguments>),
    ValidateConfig(Box<validate_config::Arguments>),
    Onboard(Box<onboard::Arguments>),
    ExportOnboardData(Box<onboard::OlderArguments>),
    Mutate(Box<mutate::Arguments>),
    Webhook(Box<webhook::Arguments>),
    #[command(alias = "force_historical")]
    ForceHistorical(force_historical::Arguments),
    Status(status::Arguments),
    Doctor(doctor::Arguments),
    RunWasm(Box<run_wasm::Arguments>),
    Test(Box<test::Arguments>),
    Inspect(inspect::Arguments),
    Integrations(integrations::Arguments),
    Secrets(secrets::Arguments),
    Ripsrc(history::Arguments),
    Config(config::Arguments),
    New(new::Arguments),
    Version(version::Arguments),
    #[command(hide = true, name = crate::sandbox::SUBCOMMAND)]
    Compile(compile::Arguments),
}

/// What every subcommand takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// The configuration, YAML or (*.json) JSON [env: AGENT_CONFIG=] [default: ./agent.yaml]
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,

    /// The folder of the agent's store, caches and logs; goes before what the configuration says [default: ~/.agent]
    #[arg(long = "pinpoint-root", visible_alias = "root", env = "AGENT_ROOT", value_name = "DIR", global = true)]
    root: Option<PathBuf>,

    /// Whether the command line itself names the root, and not only the environment.
    #[arg(skip)]
    root_given: bool,

    /// Print the result as JSON, and nothing else, on standard output
    #[arg(long, global = true)]
    json: bool,

    /// Log this and what is more important
    #[arg(long, env = "AGENT_LOG_LEVEL", value_name = "LEVEL", default_value = "info", global = true)]
    log_level: LogLevel,

    /// The form of log lines: for people, or one JSON object a line
    #[arg(long, env = "AGENT_LOG_FORMAT", value_name = "FORMAT", default_value = "text", global = true)]
    log_format: LogFormat,

    /// Only warnings and errors on standard error, no progress, no summary
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl From<LogLevel> for tracing::Level {
    fn from(level: LogLevel) -> tracing::Level {
        match level {
            LogLevel::Error => tracing::Level::ERROR,
            LogLevel::Warn => tracing::Level::WARN,
            LogLevel::Info => tracing::Level::INFO,
            LogLevel::Debug => tracing::Level::DEBUG,
            LogLevel::Trace => tracing::Level::TRACE,
        }
    }
}

/// Runs a command line, the program's name first, to its end.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // For a line that cannot be parsed; behind `--` stand names.
    let json = arguments.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--json");
    crate::sandbox::keep_memory_private();
    let parsed = Cli::command().try_get_matches_from(arguments).and_then(|matches| {
        let mut cli = Cli::from_arg_matches(&matches)?;
        let given = |matches: &ArgMatches| matches.value_source("root") == Some(ValueSource::CommandLine);
        cli.global.root_given = given(&matches) || matches.subcommand().is_some_and(|(_, matches)| given(matches));
        Ok(cli)
    });
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return print_usage(&error, json),
    };
    files::allow_many();
    let global = cli.global;
    let result = match cli.command {
        Command::Export(arguments) => export::run(&arguments, &global),
        Command::Check(arguments) => check::run(&arguments, &global),
        Command::Discover(arguments) => discover::run(&arguments, &global),
        Command::ValidateConfig(arguments) => validate_config::run(&arguments, &global),
        Command::Onboard(arguments) => onboard::run(&arguments, &global),
        Command::ExportOnboardData(arguments) => onboard::run_older(&arguments, &global),
        Command::Mutate(arguments) => mutate::run(&arguments, &global),
        Command::Webhook(arguments) => webhook::run(&arguments, &global),
        Command::ForceHistorical(arguments) => force_historical::run(&arguments, &global),
        Command::Status(arguments) => status::run(&arguments, &global),
        Command::Doctor(arguments) => doctor::run(&arguments, &global),
        Command::RunWasm(arguments) => run_wasm::run(*arguments, &global),
        Command::Test(arguments) => test::run(&arguments, &global),
        Command::Inspect(arguments) => inspect::run(&arguments, &global),
        Command::Integrations(arguments) => integrations::run(&arguments, &global),
        Command::Secrets(arguments) => secrets::run(&arguments, &global),
        Command::Ripsrc(arguments) => history::run(arguments, &global),
        Command::Config(arguments) => config::run(&arguments, &global),
        Command::New(arguments) => new::run(arguments, &global),
        Command::Version(arguments) => version::run(&arguments, &global),
        Command::Compile(arguments) => Ok(compile::run(&arguments)),
    };
    result.unwrap_or_else(|error| {
        if !global.json || print_json(&error.json()).is_err() {
            eprintln!("error: {}", error.text());
        }
        error.exit()
    })
}

/// Prints what the parser of the command line says. Help and version are errors to it, and go to standard output.
fn print_usage(error: &clap::Error, json: bool) -> Exit {
    if json && error.use_stderr() {
        let text = error.render().to_string();
        let error =
            CommandError::App(AppError::Usage(text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned()));
        // The text goes to standard error in any case, and the code says the same.
        let _ = print_json(&error.json());
    }
    let lost = error.print().is_err_and(|error| error.kind() != std::io::ErrorKind::BrokenPipe);
    match error.use_stderr() {
        true => Exit::Usage,
        false if lost => Exit::Failed,
        false => Exit::Ok,
    }
}

/// Why a command ended without a result.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("standard output cannot be written: {0}; what the command did is done")]
    Output(#[source] std::io::Error),
    #[error("interrupted a second time; what was committed is kept")]
    Interrupted,
    #[error("interrupted before anything had begun")]
    InterruptedEarly,
    #[error("interrupted; an output file and the checkpoint are as they were")]
    InterruptedRun,
}

impl CommandError {
    fn exit(&self) -> Exit {
        match self {
            CommandError::App(error) => Exit::of_error(error),
            CommandError::Config(_) => Exit::BadConfiguration,
            CommandError::Output(_) => Exit::Failed,
            CommandError::Interrupted | CommandError::InterruptedEarly | CommandError::InterruptedRun => {
                Exit::Interrupted
            }
        }
    }

    /// For a person; each line is escaped, since some repeat what others said.
    fn text(&self) -> String {
        crate::secrets::struck(&self.to_string()).lines().map(escape).collect::<Vec<_>>().join("\n")
    }

    fn json(&self) -> Value {
        let faults = match self {
            CommandError::Config(error) => json!(error.faults),
            _ => json!([]),
        };
        // `errors` is where a reader of `validate-config` looks.
        let error = self.to_string();
        json!({
            "version": 1, "exit_code": self.exit().code(), "success": false, "error": error, "errors": [error], "faults": faults,
        })
    }
}

impl Global {
    fn surroundings(&self, integrations_dir: Option<&std::path::Path>) -> Result<Surroundings, CommandError> {
        Surroundings::of_process(self.root.as_deref(), integrations_dir).map_err(|error| {
            AppError::Failed(format!("the working folder cannot be found: {error}; change to one that exists")).into()
        })
    }

    /// The configuration that flag, variable or habit name. The variable is read here and not by clap, so that flags of
    /// the other form of configuration go before it.
    fn config_file(&self, around: &Surroundings) -> Option<PathBuf> {
        let variable = || std::env::var_os("AGENT_CONFIG").filter(|name| !name.is_empty()).map(PathBuf::from);
        let habit = || Some(PathBuf::from("agent.yaml")).filter(|file| around.working_dir.join(file).exists());
        self.config.clone().or_else(variable).or_else(habit)
    }

    /// The root for a command that needs nothing else of the configuration: the flag's, the configuration's, `~/.agent`.
    fn root(&self) -> Result<PathBuf, CommandError> {
        let around = self.surroundings(None)?;
        if around.root.is_none()
            && let Some(file) = self.config_file(&around)
        {
            return Ok(crate::config::root_of(&file, &around)?);
        }
        let root = around.default_root();
        root.ok_or_else(|| AppError::Usage("there is no home folder; name the root with --root".to_owned()).into())
    }

    /// Begins to log. Files are begun by whoever takes the root.
    fn logs(&self, command: &str) -> Result<Logs, CommandError> {
        let config = crate::logs::LogConfig {
            dir: None,
            command: command.to_owned(),
            level: self.log_level.into(),
            json: self.log_format == LogFormat::Json,
            quiet: self.quiet,
        };
        Logs::init(config).map_err(|error| AppError::Failed(error.to_string()).into())
    }
}

/// Prints on standard output, without secrets. A reader that has gone away (`| head`) is no error.
fn print(text: &str) -> Result<(), CommandError> {
    let text = crate::secrets::strike_text(text);
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CommandError::Output(error)),
        _ => Ok(()),
    }
}

/// Says something on standard error, without secrets.
fn say(text: &str) {
    eprint!("{}", crate::secrets::strike_text(text));
}

/// Prints a document on one line.
fn print_json(document: &Value) -> Result<(), CommandError> {
    print(&format!("{}\n", escape_json(&document.to_string())))
}

/// Prints a report: as JSON with the exit code, or the text. Gives the exit code back.
fn print_report(
    global: &Global,
    report: &impl serde::Serialize,
    exit: Exit,
    text: impl FnOnce() -> String,
) -> Result<Exit, CommandError> {
    if global.json {
        // Plain data; serializing it into memory cannot fail.
        let mut document = serde_json::to_value(report).unwrap_or_default();
        document["exit_code"] = json!(exit.code());
        print_json(&document)?;
    } else {
        print(&text())?;
    }
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn json_for_a_terminal_is_the_same_document() {
        let document = json!({"a\u{9b}": "\u{1b}[31m\u{202e}\u{e0041}äé€😀\n"});
        let text = escape_json(&document.to_string());
        assert!(
            text.contains("\\u009b") && text.contains("\\u202e") && text.contains("ä") && text.contains("😀"),
            "{text}"
        );
        assert!(text.chars().all(|c| !c.is_control() && c != '\u{202e}' && c != '\u{e0041}'), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
    }

    #[test]
    fn the_older_command_line_is_understood() {
        let arguments = [
            "agent",
            "export",
            "--agent-config-json={\"customer_id\":\"c1\"}",
            "--integrations-json=[{\"name\":\"mock\"}]",
            "--pinpoint-root=.",
            "--reprocess-historical",
            "--output-file=x.json",
            "--log-level=debug",
        ];
        let cli = Cli::try_parse_from(arguments).unwrap();
        assert_eq!(cli.global.root, Some(PathBuf::from(".")));
        assert!(matches!(cli.command, Command::Export(_)));
        assert!(matches!(
            Cli::try_parse_from(["agent", "force_historical", "git"]).unwrap().command,
            Command::ForceHistorical(_)
        ));
        for wrong in [
            &["agent", "export", "--agent-config-json={}"][..],
            &["agent", "export", "-c", "a.yaml", "--integrations-json=[]"],
            &["agent", "export", "--integrations-json=[]", "--integrations-file=x"],
            &["agent", "exprot"],
        ] {
            assert!(Cli::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
    }
}

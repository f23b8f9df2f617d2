//! `agent run-wasm`: runs one component alone, for its author. What is printed at the end is `run_wasm_report`'s.

use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io::IsTerminal;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::signals::Interrupts;
use super::{CommandError, Exit, Global, print, print_json, resume_check, run_wasm_report, say};
use crate::app::{self, AppError, AuthorCall, Kills, RecordsTo, RunWasm, RunWasmReport, Taping};
use crate::cassette::Matching;
use crate::config::{self, GrantFlags, Surroundings};
use crate::delivery::{Lines, LinesTo, Showing};
use crate::logs::{escape, escape_json};
use crate::shutdown::Shutdown;

const EXAMPLES: &str = "\
Examples:
  agent run-wasm my.wasm                                     export; records to the terminal
  agent run-wasm my.wasm describe                            what it says of itself
  agent run-wasm my.wasm export url=https://api.example.com page_size=50 \\
      --allow 'https://api.example.com GET' --credential token=env:API_TOKEN
  agent run-wasm my.wasm validate-config --config-file my.yaml --allow-asked
  agent run-wasm my.wasm onboard repos --config-file my.yaml --grants grants.yaml
  agent run-wasm my.wasm mutate issue.set_title '{\"ref_id\":\"1\",\"title\":\"New\"}'
  agent run-wasm my.wasm webhook --header 'x-event: issue.updated' --body-file event.json
  agent run-wasm my.wasm --root ./try                        again and again: only what is new
  agent run-wasm my.wasm --limits memory=64MiB,cpu_time=5s --report
  agent run-wasm my.wasm | jq .record                        NDJSON where it is no terminal
  agent run-wasm my.wasm --allow-asked --record first.har    write down all that it sees
  agent run-wasm my.wasm --replay first.har --strict         the same again, without a network
  agent run-wasm my.wasm --allow-asked --fault 503@3 --fault reset@5%

Nothing is granted unless a flag says so; what was refused is printed at the end, ready to be pasted.
An interrupt ends the run at the next good place, a second one at once. More: docs/run-wasm.md";

/// Run one component alone, as its author: any call, records to the terminal, nothing granted unless told
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = long_help())]
pub(super) struct Arguments {
    /// The component, a .wasm file
    file: PathBuf,

    /// CALL (describe, validate-config, onboard KIND, export, mutate NAME DATA, webhook; export if left out), and settings
    /// of the configuration: name=value, a.b.0=value, name:=JSON
    #[arg(value_name = "CALL | NAME=VALUE")]
    words: Vec<String>,

    /// The integration's own configuration, YAML or (*.json) JSON; settings on the command line go before it
    #[arg(long, value_name = "FILE")]
    config_file: Option<PathBuf>,

    /// Grant a network rule, as in agent.yaml: 'https://api.example.com/path GET,POST'
    #[arg(long, value_name = "RULE", help_heading = "Grants")]
    allow: Vec<String>,

    /// Grant all that the manifest asks of the network; private hosts still by name
    #[arg(long, help_heading = "Grants")]
    allow_asked: bool,

    /// Let this host have private addresses (localhost, 10.0.0.7)
    #[arg(long, value_name = "HOST", help_heading = "Grants")]
    allow_private: Vec<String>,

    /// Grant a credential: NAME=env:VARIABLE[@HOST,HOST] or NAME=file:PATH[@HOST] for a bearer token, or NAME={…} as in
    /// agent.yaml
    #[arg(long, value_name = "NAME=SOURCE", help_heading = "Grants")]
    credential: Vec<String>,

    /// Grants from a file: the mapping `grants` of agent.yaml
    #[arg(long, value_name = "FILE", help_heading = "Grants")]
    grants: Option<PathBuf>,

    /// Limits with the names of agent.yaml: memory=64MiB,cpu_time=5s,wall_time=1m,hostcall=24MiB,handles=4096
    #[arg(long, value_name = "NAME=VALUE,…")]
    limits: Option<String>,

    /// Leave git repositories out
    #[arg(long)]
    skip_git: bool,

    /// Write records to this file as NDJSON, or to this folder (one that exists, or ends in /) as the agent's sink does
    #[arg(long, value_name = "FILE|DIR", help_heading = "Output")]
    output: Option<PathBuf>,

    /// How records are shown on standard output [default: people on a terminal, else ndjson]
    #[arg(long, value_name = "FORM", conflicts_with = "output", help_heading = "Output")]
    records: Option<Form>,

    /// Say at the end what it used, on standard error; counts instructions
    #[arg(long, value_name = "FORM", num_args = 0..=1, default_missing_value = "text", help_heading = "Output")]
    report: Option<ReportForm>,

    /// Write the report to this file, as JSON (host/agent/schemas/run-wasm-report.json); counts instructions
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    report_file: Option<PathBuf>,

    /// Name files and lines in a trap's backtrace, for a component that you built yourself: debug information that was forged
    /// can take the agent down
    #[arg(long, help_heading = "Output")]
    source_lines: bool,

    /// Do not count instructions for the report: the component need not be compiled for it, and times are the real ones
    #[arg(long, help_heading = "Output")]
    no_instructions: bool,

    /// Write all that the component sees of the world to this file, as HAR 1.2; secrets are replaced by their names
    #[arg(long, value_name = "FILE", conflicts_with = "replay", help_heading = "Cassettes and faults")]
    record: Option<PathBuf>,

    /// Play this HAR file (of --record, a browser or mitmproxy) instead of the network, clock and chance; its call and
    /// configuration, where none is given
    #[arg(long, value_name = "FILE", help_heading = "Cassettes and faults")]
    replay: Option<PathBuf>,

    /// Fail if a request is not on the cassette to the byte, or something on it is not asked for
    #[arg(long, requires = "replay", help_heading = "Cassettes and faults")]
    strict: bool,

    /// Put a fault in, KIND@WHICH: 429, reset, timeout, truncate=BYTES, drip=SECONDS; at the 3rd exchange (429@3), some
    /// (503@2..4, reset@5..) or by chance (timeout@10%)
    #[arg(long, value_name = "FAULT", help_heading = "Cassettes and faults")]
    fault: Vec<String>,

    /// Where the faults' chance comes from: the same number, the same faults
    #[arg(long, value_name = "NUMBER", default_value_t = 0, requires = "fault", help_heading = "Cassettes and faults")]
    fault_seed: u64,

    /// Of a run that takes up another: an entry may be played again, and what is left does not matter
    #[arg(long, hide = true, requires = "replay", conflicts_with = "strict")]
    exact: bool,

    /// Kill this process right after the Nth host call has returned, to try out what is left
    #[arg(long, value_name = "N", help_heading = "Cassettes and faults")]
    kill_after: Option<NonZeroU64>,

    /// Kill the export after host calls (with --kill-after only after the Nth), let it resume, and compare what came with a run
    /// that nobody killed; after so many of them, evenly spread, or after all [default: as many as fit into two minutes, 100 at
    /// the most]
    #[arg(
        long, value_name = "N|all", num_args = 0..=1, require_equals = true, default_missing_value = "fitting",
        conflicts_with_all = ["record", "strict", "output", "records", "source_lines"], help_heading = "Cassettes and faults"
    )]
    resume_check: Option<Points>,

    /// A header field of the webhook: 'name: value' or name=value
    #[arg(long, value_name = "FIELD", help_heading = "For webhook and mutate")]
    header: Vec<String>,

    /// The body of the webhook
    #[arg(long, value_name = "FILE", help_heading = "For webhook and mutate")]
    body_file: Option<PathBuf>,

    /// The data of the mutation, JSON
    #[arg(long, value_name = "FILE", help_heading = "For webhook and mutate")]
    data_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A line for a person: the model and the first values
    People,
    /// {"integration", "model", "record"}, one a line
    Ndjson,
    /// Nothing
    None,
}

/// After how many host calls `--resume-check` kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Points(pub(super) Kills);

impl std::str::FromStr for Points {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Points, &'static str> {
        Ok(Points(match text {
            "fitting" => Kills::Fitting,
            "all" => Kills::All,
            number => Kills::Spread(number.parse().map_err(|_| "write a number from 1, or all")?),
        }))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportForm {
    Text,
    Json,
}

fn long_help() -> String {
    format!("{EXAMPLES}\n\n{}", super::exit::help())
}

/// Bytes of a webhook's body or a mutation's data: what one call may carry, with room for what surrounds it.
const BODY_BYTES_MAX: u64 = 16 << 20;

/// Columns of a terminal that does not say how wide it is.
const COLUMNS_DEFAULT: usize = 120;

/// How long what still runs after a second interrupt may take to let go of its files.
const LET_GO: std::time::Duration = std::time::Duration::from_secs(2);

/// Runs the subcommand.
pub(super) fn run(arguments: Arguments, global: &Global) -> Result<Exit, CommandError> {
    if arguments.resume_check.is_some() {
        return resume_check::run(&arguments, global);
    }
    let around = global.surroundings(None)?;
    let (call, settings) = arguments.call()?;
    let lifted = Lifted::of(&arguments, global, &around)?;
    let logs = global.logs("run-wasm")?;
    let runtime = crate::shutdown::runtime().map_err(|error| {
        AppError::Failed(format!("threads cannot be started: {error}; allow the agent more of them"))
    })?;
    let shutdown = Shutdown::default();
    let mut temporary = None;
    let result = runtime.block_on(async {
        // Before the temporary folder is made: an interrupt must not leave it behind.
        let interrupts = listen()?;
        let root = match &around.root {
            Some(root) if global.root_given => root.clone(),
            _ => temporary.insert(temporary_root()?).path().to_owned(),
        };
        let request = RunWasm {
            component: config::tidy_path(&around.working_dir.join(&arguments.file)),
            call,
            config: lifted.config,
            settings,
            grants: lifted.grants,
            allow_asked: arguments.allow_asked,
            limits: lifted.limits,
            keeps_root: global.root_given,
            secrets_root: around.default_root(),
            cache: cache_folder(&around).unwrap_or_else(|| root.join("cache/components")),
            root,
            to: lifted.to,
            skip_git: arguments.skip_git,
            count_instructions: arguments.counts_instructions(),
            source_lines: arguments.source_lines,
            taping: arguments.taping(&around.working_dir),
            kill_after: arguments.kill_after,
        };
        drive(app::run_wasm(request, logs.clone(), shutdown.clone()), interrupts, &shutdown).await
    });
    logs.flush();
    // What a second interrupt left behind must not write into a folder that is being removed.
    runtime.shutdown_timeout(LET_GO);
    remove(temporary);
    let report = result?;
    let exit = Exit::of_run_wasm(&report);
    arguments.tell(&report, exit, global)?;
    Ok(exit)
}

/// What flags and files come to.
struct Lifted {
    config: Option<Value>,
    grants: config::Grants,
    limits: config::Limits,
    to: RecordsTo,
}

impl Lifted {
    fn of(arguments: &Arguments, global: &Global, around: &Surroundings) -> Result<Lifted, CommandError> {
        if global.config.is_some() {
            let fault = "-c names an agent.yaml, which run-wasm does not read; give the integration's own configuration with \
                         --config-file FILE or name=value, and grants with --grants FILE";
            return Err(AppError::Usage(fault.to_owned()).into());
        }
        let config = match &arguments.config_file {
            Some(file) => Some(config::own_configuration(file, around)?),
            None => None,
        };
        let grants = config::grants_of_flags(
            &GrantFlags {
                file: arguments.grants.as_deref(),
                allow: &arguments.allow,
                private_hosts: &arguments.allow_private,
                credentials: &arguments.credential,
            },
            around,
        )?;
        let limits = config::limits_of_flag(arguments.limits.as_deref())?;
        Ok(Lifted { config, grants, limits, to: arguments.records_to(global)? })
    }
}

impl Arguments {
    /// What is recorded, played and put in.
    fn taping(&self, working_dir: &Path) -> Taping {
        Taping {
            record: self.record.as_ref().map(|file| working_dir.join(file)),
            replay: self.replay.as_ref().map(|file| working_dir.join(file)),
            matching: match () {
                () if self.strict => Matching::Strict,
                () if self.exact => Matching::Exact,
                () => Matching::Loose,
            },
            faults: self.fault.clone(),
            seed: self.fault_seed,
        }
    }

    /// After which host calls the export is killed, and the flags that say which export it is; what stands behind them is the
    /// component and the words.
    pub(super) fn export_again(&self) -> Result<(Kills, Vec<OsString>), AppError> {
        if let (Some(call), _) = self.call()?
            && call != AuthorCall::Export
        {
            return Err(usage(format!("--resume-check is of exports; this is `{}`", call.word())));
        }
        if self.report == Some(ReportForm::Text) {
            let told = "--report is of one run, and --resume-check makes many; --report json has what came of them";
            return Err(usage(told.to_owned()));
        }
        let kills = match (self.kill_after, self.resume_check) {
            (Some(only), Some(Points(Kills::Fitting)) | None) => Kills::Only(only),
            (None, points) => points.map_or(Kills::default(), |Points(kills)| kills),
            (Some(_), Some(_)) => {
                let told =
                    "--kill-after says after which host call, and --resume-check after how many; leave one number out";
                return Err(usage(told.to_owned()));
            }
        };
        let mut flags: Vec<OsString> = Vec::new();
        let mut push = |flag: &str, value: &OsStr| flags.extend([OsString::from(flag), value.to_owned()]);
        for (flag, file) in
            [("--config-file", &self.config_file), ("--grants", &self.grants), ("--replay", &self.replay)]
        {
            file.iter().for_each(|file| push(flag, file.as_os_str()));
        }
        for (flag, values) in [
            ("--allow", &self.allow),
            ("--allow-private", &self.allow_private),
            ("--credential", &self.credential),
            ("--fault", &self.fault),
        ] {
            values.iter().for_each(|value| push(flag, OsStr::new(value)));
        }
        self.limits.iter().for_each(|limits| push("--limits", OsStr::new(limits)));
        if !self.fault.is_empty() {
            push("--fault-seed", OsStr::new(&self.fault_seed.to_string()));
        }
        let switches = [
            ("--allow-asked", self.allow_asked),
            ("--skip-git", self.skip_git),
            // A run that resumes asks again for some of it, and not for the rest.
            ("--exact", self.replay.is_some()),
        ];
        flags.extend(switches.into_iter().filter(|(_, given)| *given).map(|(flag, _)| OsString::from(flag)));
        Ok((kills, flags))
    }

    /// The component and the words behind it.
    pub(super) fn words(&self) -> Vec<OsString> {
        let words = self.words.iter().map(OsString::from);
        std::iter::once(self.file.clone().into_os_string()).chain(words).collect()
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Gives a report to programs, where somebody asked for it.
    pub(super) fn tell_programs(&self, document: &Value, global: &Global) -> Result<(), CommandError> {
        if let Some(file) = &self.report_file {
            std::fs::write(file, crate::secrets::struck(&format!("{document:#}\n"))).map_err(|error| {
                AppError::Failed(format!("--report-file {}: {error}; choose another", file.display()))
            })?;
        }
        if global.json {
            print_json(document)?;
        }
        if self.report == Some(ReportForm::Json) {
            say(&format!("{}\n", escape_json(&format!("{document:#}"))));
        }
        Ok(())
    }

    /// The call, if one is named, and what is left of the words: settings.
    fn call(&self) -> Result<(Option<AuthorCall>, Vec<String>), AppError> {
        let (settings, words): (Vec<String>, Vec<String>) =
            self.words.iter().cloned().partition(|word| is_setting(word));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let only = |call: AuthorCall, rest: &[&str]| match rest {
            [] => Ok(call),
            [word, ..] => Err(usage(format!("`{word}` is too much: {} takes settings, name=value", call.word()))),
        };
        let call = match &words[..] {
            // A header field or a body says that a webhook is meant, and has no call to go with.
            [] if self.header.is_empty() && self.body_file.is_none() && self.data_file.is_none() => {
                return Ok((None, settings));
            }
            [] => AuthorCall::Export,
            ["describe", rest @ ..] => only(AuthorCall::Describe, rest)?,
            ["validate-config", rest @ ..] => only(AuthorCall::ValidateConfig, rest)?,
            ["export", rest @ ..] => only(AuthorCall::Export, rest)?,
            ["onboard" | "onboard-export" | "export-onboard-data", kind, rest @ ..] => {
                only(AuthorCall::Onboard { kind: (*kind).to_owned() }, rest)?
            }
            ["onboard" | "onboard-export" | "export-onboard-data"] => {
                return Err(usage("onboard needs a kind: agent run-wasm FILE onboard users".to_owned()));
            }
            ["mutate", name, rest @ ..] => {
                let (data, rest) = self.data(rest)?;
                only(AuthorCall::Mutate { name: (*name).to_owned(), data }, rest)?
            }
            ["mutate"] => {
                return Err(usage(
                    "mutate needs a name and data: agent run-wasm FILE mutate NAME '{\"id\":\"1\"}'".to_owned(),
                ));
            }
            ["webhook", rest @ ..] => {
                let body = self.body_file.as_deref().map(read).transpose()?.unwrap_or_default();
                let headers = self.header.iter().map(|field| header(field)).collect::<Result<_, _>>()?;
                only(AuthorCall::Webhook { headers, body }, rest)?
            }
            [word, ..] => {
                return Err(usage(format!(
                    "there is no call `{word}`; there are describe, validate-config, onboard KIND, export, mutate NAME DATA and \
                     webhook, and settings are name=value"
                )));
            }
        };
        let is = |word: &str| call.word() == word;
        for (flag, given, of) in [
            ("--header", !self.header.is_empty(), "webhook"),
            ("--body-file", self.body_file.is_some(), "webhook"),
            ("--data-file", self.data_file.is_some(), "mutate"),
        ] {
            if given && !is(of) {
                return Err(usage(format!("{flag} is for {of}, and the call is {}", call.word())));
            }
        }
        Ok((Some(call), settings))
    }

    /// A mutation's data: the word, or the file.
    fn data<'w>(&self, words: &'w [&'w str]) -> Result<(String, &'w [&'w str]), AppError> {
        let (data, from, rest) = match (words, &self.data_file) {
            ([], Some(file)) => {
                let bytes = read(file)?;
                (String::from_utf8_lossy(&bytes).into_owned(), file.display().to_string(), words)
            }
            ([data, rest @ ..], None) => ((*data).to_owned(), "the data".to_owned(), rest),
            ([], None) => {
                return Err(usage("the mutation needs its data, JSON, as a word or with --data-file FILE".to_owned()));
            }
            ([word, ..], Some(_)) => return Err(usage(format!("`{word}` and --data-file both give the data"))),
        };
        match serde_json::from_str::<Value>(&data) {
            Ok(_) => Ok((data, rest)),
            Err(error) => {
                Err(usage(format!("{from} is not JSON: {error}; quote it for the shell: '{{\"id\":\"1\"}}'")))
            }
        }
    }

    fn counts_instructions(&self) -> bool {
        (self.report.is_some() || self.report_file.is_some()) && !self.no_instructions
    }

    /// Where records go. An output that cannot be written is found out before anything runs.
    fn records_to(&self, global: &Global) -> Result<RecordsTo, AppError> {
        if let Some(output) = &self.output {
            let folder = output.is_dir() || output.to_string_lossy().ends_with('/');
            let failed = |error| AppError::Failed(format!("--output {}: {error}; choose another", output.display()));
            if folder {
                std::fs::create_dir_all(output).map_err(failed)?;
                return Ok(RecordsTo::Folder(std::path::absolute(output).map_err(failed)?));
            }
            return Ok(RecordsTo::Lines(Lines::watched(
                LinesTo::File(std::fs::File::create(output).map_err(failed)?),
                None,
            )));
        }
        let terminal = std::io::stdout().is_terminal();
        let form = match self.records {
            // Standard output is the result's.
            _ if global.json => Form::None,
            Some(form) => form,
            None if terminal => Form::People,
            None => Form::Ndjson,
        };
        Ok(RecordsTo::Lines(match form {
            Form::None => Lines::watched(LinesTo::Nowhere, None),
            Form::Ndjson => Lines::watched(LinesTo::Stdout, None),
            Form::People => Lines::watched(LinesTo::Stdout, Some(for_people(terminal.then(columns)))),
        }))
    }

    /// Prints what came of it: the call's document on standard output, all else on standard error.
    fn tell(&self, report: &RunWasmReport, exit: Exit, global: &Global) -> Result<(), CommandError> {
        self.tell_programs(&run_wasm_report::json(report, exit), global)?;
        if let (Some(result), false) = (&report.result, global.json || report.call == "export") {
            print(&format!("{}\n", escape_json(&format!("{result:#}"))))?;
        }
        if self.report == Some(ReportForm::Text) {
            say(&run_wasm_report::text(report));
        }
        if !global.quiet && !global.json {
            say(&run_wasm_report::summary(report));
        } else if exit != Exit::Ok && !global.json {
            say(&run_wasm_report::headline(report));
        }
        Ok(())
    }
}

/// Whether a word is a setting and not a call or an argument of it: a plain path before the `=`.
fn is_setting(word: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "_-.:/$@".contains(c);
    word.split_once('=').is_some_and(|(path, _)| path.chars().all(plain))
}

fn usage(fault: String) -> AppError {
    AppError::Usage(fault)
}

fn header(field: &str) -> Result<(String, String), AppError> {
    // As in HTTP, or as `agent webhook` takes it; neither sign can be part of a name.
    let (name, value) = field
        .split_once([':', '='])
        .filter(|(name, _)| !name.trim().is_empty())
        .ok_or_else(|| usage(format!("--header {field:?}: write 'name: value' or name=value")))?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

fn read(file: &Path) -> Result<Vec<u8>, AppError> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(BODY_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| usage(format!("{}: {error}; name a file that can be read", file.display())))?;
    if bytes.len() as u64 > BODY_BYTES_MAX {
        return Err(usage(format!("{} has more than {BODY_BYTES_MAX} bytes; give less", file.display())));
    }
    Ok(bytes)
}

/// Where compiled components are kept for this user: `$XDG_CACHE_HOME/agent/components`, or below `~/.cache`.
pub(super) fn cache_folder(around: &Surroundings) -> Option<PathBuf> {
    let given = (around.variables)("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = given.or_else(|| around.home.as_ref().map(|home| home.join(".cache")))?;
    Some(cache.join("agent/components"))
}

fn listen() -> Result<Interrupts, CommandError> {
    Ok(Interrupts::listen().map_err(|error| AppError::Failed(format!("signals cannot be listened for: {error}")))?)
}

pub(super) fn temporary_root() -> Result<tempfile::TempDir, CommandError> {
    let mut builder = tempfile::Builder::new();
    // Its owner's alone: it holds records.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    Ok(builder.prefix("agent-run-wasm-").tempdir().map_err(|error| {
        let folder = std::env::temp_dir();
        AppError::Failed(format!(
            "no temporary folder can be made in {}: {error}; set TMPDIR, or give --root DIR",
            folder.display()
        ))
    })?)
}

/// Removes the temporary root. What cannot be removed is said: it may hold records.
pub(super) fn remove(temporary: Option<tempfile::TempDir>) {
    let Some(folder) = temporary else { return };
    let path = folder.path().to_owned();
    if let Err(error) = folder.close() {
        eprintln!("warning: the temporary folder {} could not be removed: {error}; remove it", path.display());
    }
}

/// Waits for the run, listening for interrupts; an error after the second of them.
async fn drive(
    run: impl Future<Output = Result<RunWasmReport, AppError>>,
    mut interrupts: Interrupts,
    shutdown: &Shutdown,
) -> Result<RunWasmReport, CommandError> {
    let mut run = pin!(run);
    loop {
        tokio::select! {
            result = &mut run => return Ok(result?),
            () = interrupts.next() => {
                if shutdown.requested() {
                    return Err(CommandError::Interrupted);
                }
                shutdown.request();
                tracing::warn!("interrupted: ending at the next good place; interrupt again to end at once");
            }
        }
    }
}

/// The width of the terminal.
fn columns() -> usize {
    // Not asked of the system: the shell knows, and a wrong guess costs a wrapped line.
    std::env::var("COLUMNS")
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|columns| *columns >= 40)
        .unwrap_or(COLUMNS_DEFAULT)
}

/// Records for a person: the model, then names and values, cut where the terminal ends.
fn for_people(columns: Option<usize>) -> Showing {
    Arc::new(move |model, record| line(model, record, columns))
}

fn line(model: &str, record: &[u8], columns: Option<usize>) -> String {
    let mut out = format!("{} │", escape(model));
    match serde_json::from_slice::<Value>(record) {
        Ok(Value::Object(members)) => {
            for (name, value) in &members {
                let value = match value {
                    Value::String(text) if !text.is_empty() && !text.contains([' ', '"', '=']) => text.clone(),
                    value => value.to_string(),
                };
                out.push_str(&format!(" {}={}", escape(name), escape(&value)));
            }
        }
        // A number that the general library cannot hold.
        _ => out.push_str(&format!(" {}", escape(&String::from_utf8_lossy(record)))),
    }
    match columns {
        Some(columns) if out.chars().count() > columns => {
            let mut cut: String = out.chars().take(columns - 1).collect();
            cut.push('…');
            cut
        }
        _ => out,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn call(words: &[&str]) -> Result<(Option<AuthorCall>, Vec<String>), String> {
        let line = [&["run-wasm", "f.wasm"], words].concat();
        let line = Line::try_parse_from(line).map_err(|error| error.to_string())?;
        line.arguments.call().map_err(|error| error.to_string())
    }

    #[test]
    fn words_are_a_call_and_settings() {
        let export = |settings: &[&str]| (Some(AuthorCall::Export), settings.iter().map(|s| (*s).to_owned()).collect());
        assert_eq!(call(&[]).unwrap(), (None, Vec::new()));
        assert_eq!(call(&["a=1", "export", "b.c:=[1]"]).unwrap(), export(&["a=1", "b.c:=[1]"]));
        assert_eq!(
            call(&["onboard", "users", "a=b"]).unwrap().0,
            Some(AuthorCall::Onboard { kind: "users".to_owned() })
        );
        let mutate = call(&["mutate", "m", "{\"a\":\"b=c\"}", "k=v"]).unwrap();
        let data = "{\"a\":\"b=c\"}".to_owned();
        assert_eq!(mutate, (Some(AuthorCall::Mutate { name: "m".to_owned(), data }), vec!["k=v".to_owned()]));
        let webhook = call(&["webhook", "--header", "X-Event: a:b"]).unwrap().0;
        let headers = vec![("x-event".to_owned(), "a:b".to_owned())];
        assert_eq!(webhook, Some(AuthorCall::Webhook { headers, body: Vec::new() }));
        let webhook = call(&["webhook", "--header", "x-event=a:b"]).unwrap().0;
        let headers = vec![("x-event".to_owned(), "a:b".to_owned())];
        assert_eq!(webhook, Some(AuthorCall::Webhook { headers, body: Vec::new() }));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (words, said) in [
            (&["exprot"][..], "there is no call `exprot`"),
            (&["export", "more"], "`more` is too much"),
            (&["onboard"], "onboard needs a kind"),
            (&["mutate"], "mutate needs a name"),
            (&["mutate", "m"], "needs its data"),
            (&["mutate", "m", "{"], "not JSON"),
            (&["mutate", "m", "{}", "--data-file", "x"], "both give the data"),
            (&["webhook", "--header", "x"], "write 'name: value'"),
            (&["webhook", "--body-file", "/none"], "name a file that can be read"),
            (&["export", "--body-file", "x"], "--body-file is for webhook"),
            (&["--records", "ndjson", "--output", "x"], "cannot be used with"),
        ] {
            let error = call(words).expect_err(&format!("{words:?}"));
            assert!(error.contains(said), "{words:?}: {error}");
        }
    }

    #[test]
    fn a_record_is_one_line_that_fits() {
        let record = br#"{"ref_id":"1","title":"a b\u001b[2J","n":7,"deep":{"x":[1]}}"#;
        assert_eq!(line("M", record, None), r#"M │ ref_id=1 title="a b\u001b[2J" n=7 deep={"x":[1]}"#);
        assert_eq!(line("M", record, Some(12)), "M │ ref_id=…");
        assert_eq!(line("M", b"1e999999", None), "M │ 1e999999");
    }
}

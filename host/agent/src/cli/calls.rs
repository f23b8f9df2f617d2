//! What the commands that call integrations without exporting have in common: how they are driven, how long an input may
//! be, and the form of their results.

use std::future::Future;
use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::exit::Exit;
use super::output::Output;
use super::running::Running;
use super::source::SourceArguments;
use super::summary::{indented, word};
use super::{CommandError, Global, print, print_json};
use crate::app::{AppError, CallReport};
use crate::config::Loaded;
use crate::logs::{Logs, escape};
use crate::shutdown::Shutdown;

/// Bytes of a mutation's data or a webhook's body: what fits through the contract's door.
const INPUT_BYTES_MAX: u64 = 16 << 20;

/// What these commands take beside their own.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct CallArguments {
    #[command(flatten)]
    pub source: SourceArguments,

    /// Write the result to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub output_file: Option<PathBuf>,
}

/// What a command came to.
pub(super) struct Ended {
    /// For programs.
    pub json: Value,
    /// For people.
    pub text: String,
    pub exit: Exit,
}

/// Carries out a command: reads its configuration, has the work done while interrupts are listened for, and puts the result
/// where it belongs. Where the integrations are given by flags and no file is named for the result, a program is likely to
/// read standard output, and it is JSON.
pub(super) fn carry_out<F>(
    command: &str,
    arguments: &CallArguments,
    global: &Global,
    work: impl FnOnce(Loaded, Logs, Shutdown) -> F,
) -> Result<Exit, CommandError>
where
    F: Future<Output = Result<Ended, CommandError>>,
{
    let output = arguments.output_file.as_deref().map(Output::begin).transpose()?;
    let programs = global.json || (arguments.source.by_flags() && output.is_none());
    let ended = run(command, arguments, global, work);
    let (json, exit) = match &ended {
        Ok(ended) => (ended.json.clone(), ended.exit),
        Err(error) => (error.json(), error.exit()),
    };
    if let Some(output) = output {
        output.end(&json)?;
    }
    if programs {
        if let Err(error) = &ended {
            eprintln!("error: {}", error.text());
        }
        print_json(&json)?;
        return Ok(exit);
    }
    let ended = ended?;
    if !global.quiet {
        print(&ended.text)?;
    }
    Ok(exit)
}

fn run<F>(
    command: &str,
    arguments: &CallArguments,
    global: &Global,
    work: impl FnOnce(Loaded, Logs, Shutdown) -> F,
) -> Result<Ended, CommandError>
where
    F: Future<Output = Result<Ended, CommandError>>,
{
    let mut running = Running::begin()?;
    let (source, for_reading) = (arguments.source.clone(), global.clone());
    let loaded = match running.prepare(move || source.load(&for_reading)) {
        Ok(loaded) => loaded,
        Err(error) => {
            running.give_up();
            return Err(error);
        }
    };
    let logs = global.logs(command)?;
    for note in &loaded.notes {
        tracing::debug!("{note}");
    }
    let work = work(loaded, logs.clone(), running.shutdown.clone());
    let result = running.drive(work, None);
    logs.flush();
    result
}

/// A text from the command line: itself, `@FILE`, or `@-` for standard input. `flag` gave it.
pub(super) fn text_or_file(flag: &str, text: &str) -> Result<Vec<u8>, AppError> {
    match text.strip_prefix('@') {
        Some("-") => limited(flag, std::io::stdin().lock()),
        Some(file) => read_file(flag, file.as_ref()),
        None => Ok(text.as_bytes().to_vec()),
    }
}

/// The bytes of a file that a flag names.
pub(super) fn read_file(flag: &str, file: &std::path::Path) -> Result<Vec<u8>, AppError> {
    let opened = std::fs::File::open(file).map_err(|error| {
        AppError::Usage(format!("{flag} {}: it cannot be read: {error}; name a file that can", file.display()))
    })?;
    limited(&format!("{flag} {}", file.display()), opened)
}

fn limited(what: &str, reader: impl Read) -> Result<Vec<u8>, AppError> {
    let mut bytes = Vec::new();
    let read = reader.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| AppError::Usage(format!("{what}: it cannot be read: {error}; name a file that can")))?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        return Err(AppError::Usage(format!("{what}: it has more than {} MiB; send less", INPUT_BYTES_MAX >> 20)));
    }
    Ok(bytes)
}

/// Reads a document of the command line. The place of a fault is told, and no value: data may be a customer's.
pub(super) fn document<T: serde::de::DeserializeOwned>(what: &str, form: &str, bytes: &[u8]) -> Result<T, AppError> {
    serde_json::from_slice(bytes).map_err(|error| AppError::Usage(format!("{what}: {error}; the form is {form}")))
}

/// The members that the results of all calls have.
pub(super) fn result(report: &CallReport, notes: &[String], exit: Exit) -> Value {
    json!({
        "version": 1,
        "exit_code": exit.code(),
        "success": exit == Exit::Ok,
        "error": report.reason.clone().unwrap_or_default(),
        "error_code": report.error_code.clone().unwrap_or_default(),
        "integration": report,
        "notes": notes,
    })
}

/// Why a call failed, for a person; none if it did not.
pub(super) fn failure(report: &CallReport, notes: &[String]) -> Option<String> {
    let reason = report.reason.as_deref()?;
    let mut text = format!("✗ {}: {}: {}\n", escape(&report.name), word(report.outcome), indented(reason));
    if report.outcome == crate::app::OutcomeKind::Denied {
        // Why nothing is granted is the likeliest thing to look at.
        notes.iter().for_each(|note| text.push_str(&format!("  note: {note}\n")));
    }
    Some(text)
}

/// What changed, and what the caller gets back, for a person.
pub(super) fn changes(report: &CallReport, what: &str) -> String {
    let mut text = format!("✓ {}: {what}\n", escape(&report.name));
    for (model, records) in report.result["mutated"].as_object().into_iter().flatten() {
        let count = records.as_array().map_or(0, Vec::len) as u64;
        text.push_str(&format!("  changed {} of {}\n", super::table::counted(count, "record"), escape(model)));
    }
    if let Some(response) = report.result.get("response") {
        let lines = format!("{response:#}");
        text.push_str(&format!("  response: {}\n", indented(&lines)));
    }
    text
}

/// The records that changed, by model; an empty object for none.
pub(super) fn mutated(report: &CallReport) -> Value {
    report.result.get("mutated").cloned().unwrap_or_else(|| json!({}))
}

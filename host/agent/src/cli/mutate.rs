//! `agent mutate`: has an integration change one thing in the real system.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::calls::{
    CallArguments, Ended, carry_out, changes, document, failure, mutated, read_file, result, text_or_file,
};
use super::exit::Exit;
use super::source::pick;
use super::{CommandError, Global};
use crate::app::{self, AppError, Request};
use crate::logs::escape;

const EXAMPLES: &str = "\
Examples:
  agent mutate mock issue.set_title --data '{\"ref_id\": \"P1-1\", \"title\": \"New\"}'
  agent mutate jira issue.add_comment --data @comment.json
  agent mutate --mutation '{\"fn\":\"issue.set_title\",\"data\":{\"ref_id\":\"P1-1\",\"title\":\"New\"}}' \\
      --pinpoint-root=. --integrations-json='[{\"name\":\"mock\"}]'

`agent discover` lists the mutations that an integration has. One that is not listed is refused before it is called.";

/// Change one thing in the real system
///
/// No lock is taken: it works beside a running agent. An interrupt gives a change under way ten seconds to end.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("what").args(["function", "mutation", "mutation_file"]).required(true)))]
pub(super) struct Arguments {
    /// The integration's name; may be left out with --mutation where there is only one
    name: Option<String>,

    /// The mutation, as its manifest names it
    #[arg(value_name = "FUNCTION")]
    function: Option<String>,

    /// Its data: JSON, @FILE, or @- for standard input
    #[arg(long, value_name = "JSON", requires = "function")]
    data: Option<String>,

    /// Function and data in one document: {fn, data}
    #[arg(long, value_name = "JSON")]
    mutation: Option<String>,

    /// As --mutation, from a file
    #[arg(long, value_name = "FILE")]
    mutation_file: Option<PathBuf>,

    #[command(flatten)]
    call: CallArguments,
}

/// What `--mutation` holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutation {
    #[serde(rename = "fn")]
    function: String,
    /// As it is written, so that no number loses a digit.
    data: Box<RawValue>,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, CommandError> {
    carry_out("mutate", &arguments.call, global, |loaded, logs, shutdown| async move {
        let (function, data) = arguments.mutation()?;
        let integration = pick(&loaded.config, arguments.name.as_deref())?;
        let request = Request::Mutate { name: function.clone(), data };
        let report = app::call(loaded.config, integration, request, logs, shutdown).await?;
        let exit = Exit::of_call(&report);
        let mut json = result(&report, &loaded.notes, exit);
        json["function"] = json!(function);
        json["mutated_objects"] = mutated(&report);
        json["webapp_response"] = report.result.get("response").cloned().unwrap_or_default();
        let text = failure(&report, &loaded.notes);
        Ok(Ended { json, text: text.unwrap_or_else(|| changes(&report, &format!("{} done", escape(&function)))), exit })
    })
}

impl Arguments {
    fn mutation(&self) -> Result<(String, String), AppError> {
        if let Some(function) = &self.function {
            let bytes = text_or_file("--data", self.data.as_deref().unwrap_or("{}"))?;
            let data: Box<RawValue> = document("--data", "one JSON value", &bytes)?;
            return Ok((function.clone(), data.get().to_owned()));
        }
        let (flag, bytes) = match (&self.mutation, &self.mutation_file) {
            (Some(text), _) => ("--mutation", text_or_file("--mutation", text)?),
            (None, Some(file)) => ("--mutation-file", read_file("--mutation-file", file)?),
            // clap requires one of them.
            (None, None) => return Err(AppError::Usage("name a function, or give --mutation".to_owned())),
        };
        let form = "{\"fn\": \"name\", \"data\": …}";
        let Mutation { function, data } = document(flag, form, &bytes)?;
        Ok((function, data.get().to_owned()))
    }
}

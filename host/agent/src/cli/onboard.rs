//! `agent onboard` and `agent export-onboard-data`: data for a person to choose from, before anything is exported.

use clap::Args;
use serde_json::{Value, json};

use super::calls::{CallArguments, Ended, carry_out, failure, result};
use super::exit::Exit;
use super::source::pick;
use super::table::{Align, counted, shortened, table};
use super::{CommandError, Global};
use crate::app::{self, CallReport, Request};
use crate::logs::escape;

/// Objects, and members of each, in the table; the result as JSON has them all.
const ROWS_MAX: usize = 50;
const COLUMNS_MAX: usize = 5;

/// Characters of a cell.
const CELL_CHARS_MAX: usize = 40;

const EXAMPLES: &str = "\
Examples:
  agent onboard github repos                what there is to choose from
  agent onboard jira projects --json | jq '.data[].name'
  agent onboard mock users --output-file users.json

`agent discover` lists the kinds that an integration has.";

const OLDER_EXAMPLES: &str = "\
Examples:
  agent export-onboard-data --object-type=projects --pinpoint-root=. \\
      --integrations-json='[{\"name\":\"mock\",\"config\":{}}]' --output-file projects.json
  agent export-onboard-data github --object-type repos

`agent onboard NAME KIND` is the same, and shorter.";

/// List users, repositories, projects … of a source, for a person to choose from
///
/// Nothing is exported, and no lock is taken: it works beside a running agent.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The integration's name
    name: String,

    /// users, repos, projects, workconfig, calendars, or whatever else it has
    kind: String,

    #[command(flatten)]
    call: CallArguments,
}

/// As `onboard`, with the flags of the systems that this one succeeds
#[derive(Debug, Args)]
#[command(after_help = OLDER_EXAMPLES)]
pub(super) struct OlderArguments {
    /// The integration's name; may be left out where there is only one
    name: Option<String>,

    /// users, repos, projects, workconfig, calendars, or whatever else it has
    #[arg(long, value_name = "KIND")]
    object_type: String,

    #[command(flatten)]
    call: CallArguments,
}

/// Runs `onboard`.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, CommandError> {
    onboard(Some(&arguments.name), &arguments.kind, &arguments.call, global)
}

/// Runs `export-onboard-data`.
pub(super) fn run_older(arguments: &OlderArguments, global: &Global) -> Result<Exit, CommandError> {
    onboard(arguments.name.as_deref(), &arguments.object_type, &arguments.call, global)
}

fn onboard(name: Option<&str>, kind: &str, call: &CallArguments, global: &Global) -> Result<Exit, CommandError> {
    carry_out("export-onboard-data", call, global, |loaded, logs, shutdown| async move {
        let integration = pick(&loaded.config, name)?;
        let request = Request::Onboard { kind: kind.to_owned() };
        let report = app::call(loaded.config, integration, request, logs, shutdown).await?;
        let exit = Exit::of_call(&report);
        let mut json = result(&report, &loaded.notes, exit);
        json["object_type"] = json!(kind);
        // An array, or null where there is none.
        json["data"] = report.result.clone();
        Ok(Ended { json, text: failure(&report, &loaded.notes).unwrap_or_else(|| text(&report, kind)), exit })
    })
}

fn text(report: &CallReport, kind: &str) -> String {
    let objects: Vec<&Value> = report.result.as_array().into_iter().flatten().collect();
    let names = columns(&objects);
    let heads: Vec<(&str, Align)> = names.iter().map(|name| (name.as_str(), Align::Left)).collect();
    let cell = |object: &Value, name: &String| match &object[name] {
        Value::Null => "–".to_owned(),
        Value::String(text) => shortened(text, CELL_CHARS_MAX),
        other => shortened(&other.to_string(), CELL_CHARS_MAX),
    };
    let rows: Vec<Vec<String>> =
        objects.iter().take(ROWS_MAX).map(|object| names.iter().map(|name| cell(object, name)).collect()).collect();
    let mut text = table(&heads, &rows);
    if objects.len() > ROWS_MAX {
        text.push_str(&format!("… and {} more; --json has all of them\n", objects.len() - ROWS_MAX));
    }
    let count = counted(objects.len() as u64, "object");
    text.push_str(&format!("{} has {count} of the kind {}.\n", escape(&report.name), escape(kind)));
    text
}

/// The members to show: those that tell objects apart, then the first others with plain values.
fn columns(objects: &[&Value]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let first = ["ref_id", "id", "name"];
    let present = |name: &str| objects.iter().any(|object| object.get(name).is_some());
    names.extend(first.into_iter().filter(|name| present(name)).map(str::to_owned));
    for object in objects.iter().take(ROWS_MAX) {
        for (name, value) in object.as_object().into_iter().flatten() {
            if !value.is_array() && !value.is_object() && !names.contains(name) && names.len() < COLUMNS_MAX {
                names.push(name.clone());
            }
        }
    }
    if names.is_empty() {
        // Nothing plain: the beginning of what there is.
        names.extend(objects.iter().filter_map(|object| object.as_object()?.keys().next().cloned()).take(1));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_objects_apart_comes_first() {
        let objects =
            [json!({"z": 1, "name": "n", "list": [1]}), json!({"ref_id": "1", "a": 1, "b": 1, "c": 1, "d": 1})];
        assert_eq!(columns(&objects.iter().collect::<Vec<_>>()), ["ref_id", "name", "z", "a", "b"]);
        assert_eq!(columns(&[&json!({"only": [1]})]), ["only"]);
        assert_eq!(columns(&[]), Vec::<String>::new());
    }
}

//! What should come of a cassette, beside it as newline JSON that can be read and compared: a line for the call, its outcome and
//! result, a line for each repository that it queued, and one for each record, by model in the order in which they came. The
//! members of an object are in the order of their names, so that it does not matter who wrote it, in which language.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::layout::CassetteFile;
use super::replay::{Line, Played, RECORD_BYTES_MAX};
use super::{Finding, OutcomeKind, fault};
use crate::app::NewFile;
use crate::app::records::{Keys, Records, key_of};
use crate::files;

/// Characters of a value that is told.
const VALUE_CHARS_MAX: usize = 80;

/// The text of what came.
pub(super) fn text(played: &Played) -> String {
    let report = &played.report;
    let mut head = json!({"call": report.call, "outcome": report.outcome.name(), "result": report.result});
    if report.outcome != OutcomeKind::Ok {
        head["reason"] = json!(report.reason);
    }
    let mut out = line(head);
    for repository in &report.repositories_asked {
        out.push_str(&line(json!({ "repository": repository })));
    }
    for Line { model, record } in &played.lines {
        out.push_str(&match serde_json::from_str(record.get()) {
            Ok::<Value, _>(record) => line(json!({ "model": model, "record": record })),
            // A number that the general library cannot hold.
            Err(_) => format!("{{\"model\":{},\"record\":{}}}\n", json!(model), record.get()),
        });
    }
    out
}

fn line(mut document: Value) -> String {
    if let Some(members) = document.as_object_mut() {
        members.values_mut().for_each(|value| *value = sorted(value.take()));
    }
    format!("{document}\n")
}

/// The document with the members of each object in the order of their names.
fn sorted(document: Value) -> Value {
    match document {
        Value::Object(members) => {
            let members: BTreeMap<String, Value> =
                members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        document => document,
    }
}

/// Holds what came against what should; or writes it, where `update` says so.
pub(super) fn judge(cassette: &CassetteFile, played: &Played, keys: &Keys, update: bool) -> Finding {
    let place = cassette.expected_place.clone();
    let came = text(played);
    let expected = read(cassette);
    match expected {
        Ok(Some(expected)) if expected == came => Finding::Ok,
        Ok(_) | Err(_) if update => match write(&cassette.expected, &came) {
            Ok(()) => Finding::Noted(format!("written: {place}")),
            Err(error) => Finding::Failed(fault(error.to_string(), place, "make it a file that can be written")),
        },
        Ok(None) => {
            let why = "nothing says what should come of it";
            Finding::Failed(fault(why, place, "agent test --update writes what comes now; look at it"))
        }
        Err(why) => Finding::Failed(fault(why, place, "agent test --update writes it anew")),
        Ok(Some(expected)) => {
            let why = differs(&expected, &came, keys);
            Finding::Failed(fault(why, place, "mend the integration; or, if it is meant, agent test --update"))
        }
    }
}

fn read(cassette: &CassetteFile) -> Result<Option<String>, String> {
    match files::read(&cassette.expected, RECORD_BYTES_MAX) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| "it is not UTF-8 text".to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Writes it whole or not at all; and nothing but a file of this folder. The folder may be anybody's, and a link in it may lead to
/// any file of who tests it.
fn write(file: &Path, text: &str) -> io::Result<()> {
    match std::fs::symlink_metadata(file) {
        Ok(there) if !there.is_file() => {
            let what = if there.is_symlink() { "a link" } else { "no file" };
            return Err(io::Error::other(format!("it is {what}, which is not written to")));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut written = NewFile::begin(file)?;
    written.write_all(text.as_bytes())?;
    written.end()
}

/// What differs, for a person: whose lines, and at the first of them where.
fn differs(expected: &str, came: &str, keys: &Keys) -> String {
    let records = |text: &str| {
        let mut records = Records::default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        lines.for_each(|line| records.add(&line.model, line.record.get().as_bytes(), keys));
        records
    };
    let difference = records(expected).difference(&records(came), |_| false);
    let mut told = match difference.is_none() {
        true => "it is something else:".to_owned(),
        false => format!("the records are others:{}", difference.told()),
    };
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (expected, came) = (lines(expected), lines(came));
    let number = expected.iter().zip(&came).take_while(|(a, b)| a == b).count();
    let parse = |line: Option<&String>| line.and_then(|line| serde_json::from_str::<Value>(line).ok());
    told.push_str(&format!("\n  line {}: ", number + 1));
    told.push_str(&match (parse(expected.get(number)), parse(came.get(number))) {
        (Some(expected), Some(came)) => {
            let at = place(&expected, &came);
            let of = |line: &Value| short(line.pointer(&at));
            format!("{}{at} should be {} and is {}", whose(&expected, keys), of(&expected), of(&came))
        }
        (Some(expected), None) => format!("nothing comes where {} should", short(Some(&expected))),
        (None, Some(came)) => format!("{} comes where nothing should", short(Some(&came))),
        (None, None) => "it is no JSON".to_owned(),
    });
    told
}

/// The record of a line, by its key.
fn whose(line: &Value, keys: &Keys) -> String {
    let (Some(model), Some(record)) = (line["model"].as_str(), line.get("record")) else { return String::new() };
    let pointers = keys.get(model).map(Vec::as_slice).unwrap_or_default();
    format!("{model} {}: ", key_of(record, pointers))
}

/// Where two documents differ first, as a JSON Pointer.
fn place(a: &Value, b: &Value) -> String {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
            let differs = names.into_iter().find(|name| a.get(*name) != b.get(*name));
            differs.map_or_else(String::new, |name| {
                let below = a.get(name).zip(b.get(name)).map_or_else(String::new, |(a, b)| place(a, b));
                format!("/{}{below}", name.replace('~', "~0").replace('/', "~1"))
            })
        }
        (Value::Array(a), Value::Array(b)) => {
            let at = a.iter().zip(b).take_while(|(a, b)| a == b).count();
            let below = a.get(at).zip(b.get(at)).map_or_else(String::new, |(a, b)| place(a, b));
            format!("/{at}{below}")
        }
        _ => String::new(),
    }
}

fn short(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    match text.chars().count() > VALUE_CHARS_MAX {
        true => format!("{}…", text.chars().take(VALUE_CHARS_MAX).collect::<String>()),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told_with_record_and_place() {
        let keys = Keys::from([("t.T".to_owned(), vec!["/id".to_owned()])]);
        let line =
            |id: &str, title: &str| json!({"model": "t.T", "record": {"id": id, "a": [1, {"t": title}]}}).to_string();
        let text = |lines: &[String]| format!("{{\"call\":\"export\"}}\n{}\n", lines.join("\n"));
        let before = text(&[line("1", "x"), line("2", "x")]);
        let told = differs(&before, &text(&[line("1", "x"), line("2", "y")]), &keys);
        assert!(told.contains("1 different: t.T 2"), "{told}");
        assert!(told.contains(r#"line 3: t.T 2: /record/a/1/t should be "x" and is "y""#), "{told}");
        let told = differs(&before, &text(&[line("1", "x")]), &keys);
        assert!(told.contains("1 missing: t.T 2") && told.contains("nothing comes where"), "{told}");
        let told = differs(&before, &text(&[line("2", "x"), line("1", "x")]), &keys);
        assert!(told.starts_with("it is something else:\n  line 2: t.T 1: /record/id should be"), "{told}");
    }
}

//! JSON of servers, read so that what is wrong can be found: a part of a document by its pointer, and errors that show the
//! place.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// Bytes shown on either side of the place of a fault.
const AROUND_BYTES: usize = 60;

/// Reads what a JSON Pointer finds; the rest of the document is only skimmed. The error is for a person.
pub(crate) fn read_at<T: DeserializeOwned>(document: &[u8], pointer: &str) -> Result<T, String> {
    if pointer.is_empty() {
        return serde_json::from_slice(document).map_err(|error| fault(document, &error));
    }
    let Some(found) = raw_at(document, pointer)? else {
        return Err(format!("there is nothing at {pointer}: {}", excerpt(document, 0)));
    };
    serde_json::from_str(found).map_err(|error| format!("at {pointer}: {}", fault(found.as_bytes(), &error)))
}

/// The elements of the array at a pointer, each read by itself, so that an error can name the one that is wrong.
pub(crate) fn read_items<T: DeserializeOwned>(document: &[u8], pointer: &str) -> Result<Vec<T>, String> {
    let error = match read_at::<Vec<T>>(document, pointer) {
        Ok(items) => return Ok(items),
        Err(error) => error,
    };
    // Once more, slowly, to say which.
    let Ok(items) = read_at::<Vec<Box<RawValue>>>(document, pointer) else { return Err(error) };
    let wrong = items.iter().enumerate().find_map(|(place, item)| {
        let error = serde_json::from_str::<T>(item.get()).err()?;
        Some(format!("item {place} (counted from 0): {}", fault(item.get().as_bytes(), &error)))
    });
    Err(wrong.unwrap_or(error))
}

/// The text of what a JSON Pointer finds; nothing where there is nothing.
pub(crate) fn raw_at<'a>(document: &'a [u8], pointer: &str) -> Result<Option<&'a str>, String> {
    let whole: &RawValue = serde_json::from_slice(document).map_err(|error| fault(document, &error))?;
    let mut found = whole.get();
    for segment in pointer.split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        let below = match found.as_bytes().first() {
            Some(b'{') => members(found).remove(segment.as_str()),
            Some(b'[') => segment.parse().ok().and_then(|place: usize| elements(found).get(place).copied()),
            _ => None,
        };
        match below {
            Some(raw) => found = raw.get(),
            None => return Ok(None),
        }
    }
    Ok(Some(found))
}

/// What was skimmed once is well-formed, and so reading it again cannot fail.
fn members(object: &str) -> BTreeMap<Cow<'_, str>, &RawValue> {
    serde_json::from_str(object).unwrap_or_default()
}

fn elements(array: &str) -> Vec<&RawValue> {
    serde_json::from_str(array).unwrap_or_default()
}

/// What is wrong and where, with what stands there.
fn fault(document: &[u8], error: &serde_json::Error) -> String {
    let line_start = document
        .split_inclusive(|byte| *byte == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum::<usize>();
    let at = (line_start + error.column().saturating_sub(1)).min(document.len());
    format!("{error}, at {}", excerpt(document, at))
}

/// What stands around a place.
fn excerpt(document: &[u8], at: usize) -> String {
    if document.is_empty() {
        return "an empty body".to_owned();
    }
    let (from, to) = (at.saturating_sub(AROUND_BYTES), (at + AROUND_BYTES).min(document.len()));
    let dots = |cut: bool| if cut { "…" } else { "" };
    format!(
        "`{}{}{}`",
        dots(from > 0),
        String::from_utf8_lossy(&document[from..to]).escape_debug(),
        dots(to < document.len())
    )
}

#[cfg(test)]
mod tests {
    use super::{raw_at, read_at, read_items};

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Item {
        id: u32,
    }

    const PAGE: &[u8] = br#"{"data": {"it/ems": [{"id": 1}, {"id": "two"}], "none": null}, "n": [1, [2, 3]]}"#;

    #[test]
    fn a_pointer_finds_a_part() {
        for (pointer, expected) in [
            ("", Some(std::str::from_utf8(PAGE).unwrap())),
            ("/data/none", Some("null")),
            ("/data/it~1ems/0", Some(r#"{"id": 1}"#)),
            ("/n/1/0", Some("2")),
            ("/n/7", None),
            ("/n/x", None),
            ("/data/none/x", None),
            ("/nothing", None),
        ] {
            assert_eq!(raw_at(PAGE, pointer).unwrap(), expected, "{pointer}");
        }
        assert_eq!(read_at::<Item>(PAGE, "/data/it~1ems/0"), Ok(Item { id: 1 }));
    }

    #[test]
    fn faults_name_item_place_and_what_stands_there() {
        let check = |result: Result<Vec<Item>, String>, parts: &[&str]| {
            let error = result.unwrap_err();
            for part in parts {
                assert!(error.contains(part), "`{part}` is not in: {error}");
            }
        };
        check(read_items(PAGE, "/data/it~1ems"), &["item 1", "invalid type: string", r#"{\"id\": \"two\"}"#]);
        check(read_items(PAGE, "/items"), &["nothing at /items", "data"]);
        check(read_items(PAGE, ""), &["expected a sequence"]);
        check(read_items(b"<html>", ""), &["expected value at line 1 column 1", "`<html>`"]);
        check(read_items(b"", "/a"), &["an empty body"]);
        let long = format!("[{}{{}}]", r#"{"id": 1},"#.repeat(100));
        check(read_items(long.as_bytes(), ""), &["item 100", "missing field `id`"]);
        assert!(read_at::<Vec<Item>>(long.as_bytes(), "").unwrap_err().contains('…'));
    }
}

//! What was changed in an issue: the fields that the model knows, in the order in which it happened. Changes of other fields are
//! no part of it.

use agent_sdk::updated::earlier;
use integration_model::notes::{self, Notes};
use integration_model::work::Change;
use serde::Deserialize;
use serde_json::Value;

use crate::user::{self, Account};

/// Changes of one issue that are kept, the newest of them: a record may have 8 MiB.
const CHANGES_MAX: usize = 3_000;
/// Bytes of a value of before or after.
const VALUE_BYTES_MAX: usize = 500;

/// One entry: somebody has changed some fields.
#[derive(Debug, Deserialize)]
pub struct History {
    pub id: String,
    pub author: Option<Account>,
    created: String,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    field: String,
    field_id: Option<String>,
    from: Option<Value>,
    from_string: Option<String>,
    to: Option<Value>,
    to_string: Option<String>,
}

/// What a field is called here. The cloud says what it is as well as what it is called; one's own server only the latter.
fn kind(item: &Item) -> Option<&'static str> {
    let known = |name: &str| match name {
        "assignee" => Some("ASSIGNEE_REF_ID"),
        "duedate" => Some("DUE_DATE"),
        "epic link" => Some("EPIC_ID"),
        "key" => Some("IDENTIFIER"),
        "parent" | "issueparentassociation" | "parent issue" => Some("PARENT_ID"),
        "priority" => Some("PRIORITY"),
        "project" => Some("PROJECT_ID"),
        "reporter" => Some("REPORTER_REF_ID"),
        "resolution" => Some("RESOLUTION"),
        "sprint" => Some("SPRINT_IDS"),
        "status" => Some("STATUS"),
        "labels" => Some("TAGS"),
        "summary" => Some("TITLE"),
        "issuetype" => Some("TYPE"),
        _ => None,
    };
    let id = item.field_id.as_deref().unwrap_or_default().to_lowercase();
    known(&id).or_else(|| known(&item.field.to_lowercase()))
}

fn text(value: Option<Value>) -> Option<String> {
    let text = match value? {
        Value::Null => return None,
        Value::String(text) => text,
        other => other.to_string(),
    };
    Some(text)
}

fn kept(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(|text| notes::shortened(&text, VALUE_BYTES_MAX).to_owned())
}

/// The entries that are what they should be, oldest first, each once; the others are noted.
pub fn read(entries: Vec<Value>, issue: &str, notes: &mut Notes) -> Vec<History> {
    let mut histories: Vec<History> = Vec::with_capacity(entries.len());
    for entry in entries {
        let id = entry["id"].clone();
        match notes::read::<History>(entry) {
            Ok(history) => histories.push(history),
            Err(why) => notes.left_out(&format!("change {id} of issue {issue}: {why}")),
        }
    }
    let place = |history: &History| (earlier(&history.created, 0), history.id.parse::<u64>().unwrap_or(0));
    histories.sort_by_key(place);
    histories.dedup_by(|a, b| a.id == b.id);
    histories
}

/// The changes of the fields that are told.
pub fn changes(histories: Vec<History>, issue: &str, notes: &mut Notes) -> Vec<Change> {
    let mut changes = Vec::new();
    for history in histories {
        let user_ref_id = user::ref_id(history.author.as_ref());
        let Some(created_at) = earlier(&history.created, 0) else {
            notes.left_out(&format!("change {} of issue {issue}: `{}` is no time", history.id, history.created));
            continue;
        };
        for item in history.items {
            let Some(field) = kind(&item) else { continue };
            changes.push(Change {
                ordinal: 0,
                ref_id: history.id.clone(),
                field,
                from: kept(item.from_string),
                to: kept(item.to_string),
                from_ref_id: kept(text(item.from)),
                to_ref_id: kept(text(item.to)),
                user_ref_id: user_ref_id.clone(),
                created_at: created_at.clone(),
            });
        }
    }
    (0..).zip(&mut changes).for_each(|(place, change)| change.ordinal = place);
    if changes.len() > CHANGES_MAX {
        let more = changes.len() - CHANGES_MAX;
        notes.left_out(&format!("the {more} oldest changes of issue {issue}: no room"));
        changes.drain(..more);
    }
    changes
}

#[cfg(test)]
mod tests {
    use integration_model::notes::Notes;
    use serde_json::{Value, json};

    use super::{CHANGES_MAX, changes, read};

    fn told(entries: Vec<Value>) -> (Vec<Value>, Option<String>) {
        let mut notes = Notes::default();
        let histories = read(entries, "A-1", &mut notes);
        let all = changes(histories, "A-1", &mut notes).iter().map(|change| json!(change)).collect();
        (all, notes.tell("A"))
    }

    fn entry(id: u64, created: &str, items: Value) -> Value {
        json!({ "id": id.to_string(), "author": { "accountId": "u1" }, "created": created, "items": items })
    }

    #[test]
    fn changes_come_in_the_order_in_which_they_happened() {
        let status = json!([
            { "field": "status", "fieldtype": "jira", "from": "1", "fromString": "Open", "to": "3", "toString": "Done" },
            { "field": "Flagged", "fieldtype": "custom", "from": null, "fromString": null, "to": "1", "toString": "x" }
        ]);
        let sprint = json!([{ "field": "Der Sprint", "fieldId": "sprint", "from": "", "fromString": "", "to": "1, 2", "toString": "S 1, S 2" }]);
        let (all, left_out) = told(vec![
            entry(20, "2026-01-02T00:00:00.000+0000", sprint.clone()),
            entry(10, "2026-01-01T11:00:00.000+1100", status),
            entry(20, "2026-01-02T00:00:00.000+0000", sprint),
        ]);
        let expected = [
            json!({
                "ordinal": 0, "ref_id": "10", "field": "STATUS", "from": "Open", "to": "Done", "from_ref_id": "1",
                "to_ref_id": "3", "user_ref_id": "u1", "created_at": "2026-01-01T00:00:00Z"
            }),
            json!({
                "ordinal": 1, "ref_id": "20", "field": "SPRINT_IDS", "to": "S 1, S 2", "to_ref_id": "1, 2",
                "user_ref_id": "u1", "created_at": "2026-01-02T00:00:00Z"
            }),
        ];
        assert_eq!((all.as_slice(), left_out), (&expected[..], None));
    }

    #[test]
    fn what_is_no_change_is_named_and_too_many_are_cut() {
        let summary = |text: &str| json!([{ "field": "summary", "from": null, "fromString": text, "to": null, "toString": text }]);
        let (all, left_out) = told(vec![json!(null), entry(1, "soon", summary("a")), json!({ "id": 3 })]);
        assert_eq!(all.len(), 0);
        assert!(left_out.unwrap().starts_with("3 left out"));
        let long = "x".repeat(5_000);
        let many = (0..6_000).map(|id| entry(id, "2026-01-01T00:00:00.000+0000", summary(&long))).collect();
        let (all, left_out) = told(many);
        assert_eq!(
            (all.len(), &all[0]["ordinal"], all[0]["from"].as_str().unwrap().len()),
            (CHANGES_MAX, &json!(3_000), 500)
        );
        assert!(left_out.unwrap().contains("3000 oldest changes of issue A-1"));
    }
}

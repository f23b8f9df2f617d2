//! The forms of what issues are sorted by: `work.IssueStatus`, `work.IssueType`, `work.IssuePriority`, and `work.Config`, which
//! says which statuses are open, in progress and closed.

use agent_sdk::Model;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{ref_type, text, texts};

/// What a status may mean.
pub const CATEGORIES: [&str; 3] = ["OPEN", "IN_PROGRESS", "CLOSED"];
/// What an issue of a type may be.
pub const TYPES: [&str; 7] = ["FEATURE", "BUG", "ENHANCEMENT", "EPIC", "STORY", "TASK", "SUBTASK"];

/// One entry of such a list; one that has gone has nothing more than `active` and its id.
#[derive(Debug, Serialize)]
pub struct Entry<F> {
    pub ref_id: String,
    pub ref_type: &'static str,
    pub active: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub fields: Option<F>,
}

impl<F> Entry<F> {
    pub fn new(ref_type: &'static str, ref_id: String, fields: F) -> Entry<F> {
        Entry { ref_id, ref_type, active: true, fields: Some(fields) }
    }

    pub fn gone(ref_type: &'static str, ref_id: String) -> Entry<F> {
        Entry { ref_id, ref_type, active: false, fields: None }
    }
}

/// The form of an entry with these fields besides what all have.
pub(crate) fn entry_schema(required: &[&str], fields: Value) -> Value {
    let mut schema = json!({
        "type": "object",
        "required": ["ref_id", "ref_type", "active"],
        "if": { "properties": { "active": { "const": true } } },
        "then": { "required": required },
        "properties": {
            "ref_id": text(),
            "ref_type": ref_type(),
            "active": { "type": "boolean", "description": "False once it has gone" }
        }
    });
    if let (Some(properties), Value::Object(fields)) = (schema["properties"].as_object_mut(), fields) {
        properties.extend(fields);
    }
    schema
}

pub type IssueStatus = Entry<IssueStatusFields>;

#[derive(Debug, Default, Serialize)]
pub struct IssueStatusFields {
    pub name: String,
    pub description: String,
    pub category: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
}

impl Model for IssueStatus {
    const NAME: &'static str = "work.IssueStatus";

    fn schema() -> Value {
        let categories: Vec<&str> = CATEGORIES.into_iter().chain(["UNKNOWN"]).collect();
        let fields = json!({
            "name": text(),
            "description": text(),
            "category": { "enum": categories, "description": "What it means, whatever it is called" },
            "icon_url": text(),
            "project_id": { "type": "string", "description": "Where it belongs to one project alone" }
        });
        entry_schema(&["name", "category"], fields)
    }
}

pub type IssueType = Entry<IssueTypeFields>;

#[derive(Debug, Default, Serialize)]
pub struct IssueTypeFields {
    pub name: String,
    pub description: String,
    pub mapped_type: &'static str,
    pub subtask: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
}

impl Model for IssueType {
    const NAME: &'static str = "work.IssueType";

    fn schema() -> Value {
        let types: Vec<&str> = TYPES.into_iter().chain(["UNKNOWN"]).collect();
        let fields = json!({
            "name": text(),
            "description": text(),
            "mapped_type": { "enum": types, "description": "What it is, whatever it is called" },
            "subtask": { "type": "boolean" },
            "icon_url": text(),
            "project_id": { "type": "string", "description": "Where it belongs to one project alone" }
        });
        entry_schema(&["name", "mapped_type"], fields)
    }
}

pub type IssuePriority = Entry<IssuePriorityFields>;

#[derive(Debug, Default, Serialize)]
pub struct IssuePriorityFields {
    pub name: String,
    pub description: String,
    pub order: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
}

impl Model for IssuePriority {
    const NAME: &'static str = "work.IssuePriority";

    fn schema() -> Value {
        let fields = json!({
            "name": text(),
            "description": text(),
            "order": { "type": "integer", "description": "The most urgent is 1" },
            "color": text(),
            "icon_url": text()
        });
        entry_schema(&["name", "order"], fields)
    }
}

/// How a source is set up. There is one record of a source.
#[derive(Debug, Default, Serialize)]
pub struct Config {
    pub ref_id: String,
    pub ref_type: &'static str,
    pub open: Vec<String>,
    pub in_progress: Vec<String>,
    pub closed: Vec<String>,
    pub resolutions: Vec<String>,
}

impl Model for Config {
    const NAME: &'static str = "work.Config";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "open", "in_progress", "closed", "resolutions"],
            "properties": {
                "ref_id": text(),
                "ref_type": ref_type(),
                "open": { "type": "array", "items": text(), "description": "Names of statuses in which nobody works on an issue yet" },
                "in_progress": texts(),
                "closed": texts(),
                "resolutions": { "type": "array", "items": text(), "description": "Names of the ways in which issues are closed" }
            }
        })
    }
}

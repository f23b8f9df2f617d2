//! What issues of trackers have besides: changes, links, attachments, and what can be done next. Parts of `work.Issue`.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{text, time};

/// The fields whose changes are told.
pub const CHANGES: [&str; 14] = [
    "ASSIGNEE_REF_ID",
    "DUE_DATE",
    "EPIC_ID",
    "IDENTIFIER",
    "PARENT_ID",
    "PRIORITY",
    "PROJECT_ID",
    "REPORTER_REF_ID",
    "RESOLUTION",
    "SPRINT_IDS",
    "STATUS",
    "TAGS",
    "TITLE",
    "TYPE",
];

/// How issues may be linked.
pub const LINKS: [&str; 6] = ["BLOCKS", "CLONES", "DUPLICATES", "CAUSES", "RELATES", "OTHER"];

/// One change of one field.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Change {
    /// Its place among the changes of the issue that are told, from 0.
    pub ordinal: u64,
    /// Of the change as a whole, which may have been one of several fields.
    pub ref_id: String,
    pub field: &'static str,
    /// As people see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The ids of that, where it has ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_ref_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_ref_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_ref_id: Option<String>,
    pub created_at: String,
}

/// A link to another issue.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LinkedIssue {
    pub ref_id: String,
    pub link_type: &'static str,
    /// As the source calls it in this direction: `is blocked by`.
    pub name: String,
    /// Whether it is the other issue that does it.
    pub reverse: bool,
    pub issue_ref_id: String,
    pub identifier: String,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Attachment {
    pub ref_id: String,
    pub name: String,
    pub mime_type: String,
    pub bytes: u64,
    pub url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_ref_id: Option<String>,
    pub created_at: String,
}

/// What can be done to an issue next.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Transition {
    pub ref_id: String,
    pub name: String,
    pub to_status_ref_id: String,
    /// Fields that must be given with it.
    pub requires: Vec<String>,
    /// Whether the issue is closed by it.
    pub terminal: bool,
}

pub(crate) fn changes_schema() -> Value {
    list(
        &["ordinal", "ref_id", "field", "created_at"],
        &json!({
            "ordinal": { "type": "integer" },
            "ref_id": { "type": "string", "description": "One change of the source may be of several fields" },
            "field": { "enum": CHANGES },
            "from": { "type": "string", "description": "As people see it" },
            "to": text(),
            "from_ref_id": { "type": "string", "description": "The same as an id, or ids with commas between, where there are any" },
            "to_ref_id": text(),
            "user_ref_id": text(),
            "created_at": time()
        }),
    )
}

pub(crate) fn links_schema() -> Value {
    list(
        &["ref_id", "link_type", "name", "reverse", "issue_ref_id", "identifier"],
        &json!({
            "ref_id": text(),
            "link_type": { "enum": LINKS },
            "name": { "type": "string", "description": "As the source calls it in this direction" },
            "reverse": { "type": "boolean", "description": "Whether it is the other issue that does it" },
            "issue_ref_id": text(),
            "identifier": text()
        }),
    )
}

pub(crate) fn attachments_schema() -> Value {
    list(
        &["ref_id", "name", "url", "created_at"],
        &json!({
            "ref_id": text(),
            "name": text(),
            "mime_type": text(),
            "bytes": { "type": "integer" },
            "url": text(),
            "user_ref_id": text(),
            "created_at": time()
        }),
    )
}

pub(crate) fn transitions_schema() -> Value {
    list(
        &["ref_id", "name", "to_status_ref_id", "requires", "terminal"],
        &json!({
            "ref_id": text(),
            "name": text(),
            "to_status_ref_id": text(),
            "requires": { "type": "array", "items": text(), "description": "Fields that must be given with it" },
            "terminal": { "type": "boolean", "description": "Whether the issue is closed by it" }
        }),
    )
}

fn list(required: &[&str], properties: &Value) -> Value {
    json!({ "type": "array", "items": { "type": "object", "required": required, "properties": properties } })
}

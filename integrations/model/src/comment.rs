//! What every comment has, on issues (`work.IssueComment`) and on pull requests (`sourcecode.PullRequestComment`).

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{ref_type, text, time};

#[derive(Debug, Default, Serialize)]
pub struct Comment {
    pub ref_id: String,
    pub ref_type: &'static str,
    pub active: bool,
    /// Markdown, where the source has that.
    pub body: String,
    pub url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_ref_id: Option<String>,
    pub created_at: String,
    pub updated_at: String,
}

/// The form of a comment with these required fields and these properties besides its own.
pub(crate) fn schema_with(required: &[&str], more: Map<String, Value>) -> Value {
    let mut names = vec!["ref_id", "ref_type", "active", "body", "created_at", "updated_at"];
    names.extend(required);
    let mut schema = json!({
        "type": "object",
        "required": names,
        "properties": {
            "ref_id": text(),
            "ref_type": ref_type(),
            "active": { "type": "boolean" },
            "body": text(),
            "url": text(),
            "user_ref_id": { "type": "string", "description": "Left out where the account was deleted" },
            "created_at": time(),
            "updated_at": time()
        }
    });
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.extend(more);
    }
    schema
}

/// The properties of a JSON object that is laid out in the code.
pub(crate) fn properties(more: Value) -> Map<String, Value> {
    match more {
        Value::Object(more) => more,
        _ => Map::new(),
    }
}

//! What every comment has, on issues (`work.IssueComment`) and on pull requests (`sourcecode.PullRequestComment`).

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{ref_type, text, time};

#[derive(Debug, Serialize)]
pub struct Comment {
    pub ref_id: String,
    pub ref_type: &'static str,
    /// Whether it is there. One that has gone has nothing more than this and its ids.
    pub active: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub fields: Option<CommentFields>,
}

/// What is known of a comment that is there.
#[derive(Debug, Default, Serialize)]
pub struct CommentFields {
    /// Markdown, where the source has that.
    pub body: String,
    pub url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_ref_id: Option<String>,
    pub created_at: String,
    pub updated_at: String,
}

impl Comment {
    pub fn new(ref_type: &'static str, ref_id: String, fields: CommentFields) -> Comment {
        Comment { ref_id, ref_type, active: true, fields: Some(fields) }
    }

    /// One that is not there any more.
    pub fn gone(ref_type: &'static str, ref_id: String) -> Comment {
        Comment { ref_id, ref_type, active: false, fields: None }
    }
}

/// The form of a comment with these required fields, those that it has as long as it is there, and these properties besides its
/// own.
pub(crate) fn schema_with(required: &[&str], while_there: &[&str], more: Map<String, Value>) -> Value {
    let names = [&["ref_id", "ref_type", "active"], required].concat();
    let then = [&["body", "created_at", "updated_at"], while_there].concat();
    let mut schema = json!({
        "type": "object",
        "required": names,
        "if": { "properties": { "active": { "const": true } } },
        "then": { "required": then },
        "properties": {
            "ref_id": text(),
            "ref_type": ref_type(),
            "active": { "type": "boolean", "description": "False once it was deleted" },
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

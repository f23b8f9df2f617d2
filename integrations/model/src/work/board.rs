//! The form `work.Board`: a board of cards, with or without sprints.

use agent_sdk::Model;
use serde::Serialize;
use serde_json::{Value, json};

use crate::work::status::{Entry, entry_schema};
use crate::{text, texts};

pub type Board = Entry<BoardFields>;

#[derive(Debug, Default, Serialize)]
pub struct BoardFields {
    pub name: String,
    pub r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    pub columns: Vec<Column>,
}

/// A column of a board, and which statuses are in it.
#[derive(Debug, Default, Serialize)]
pub struct Column {
    pub name: String,
    pub status_ref_ids: Vec<String>,
}

impl Model for Board {
    const NAME: &'static str = "work.Board";

    fn schema() -> Value {
        let column = json!({
            "type": "object",
            "required": ["name", "status_ref_ids"],
            "properties": { "name": text(), "status_ref_ids": texts() }
        });
        let fields = json!({
            "name": text(),
            "type": { "enum": ["SCRUM", "KANBAN", "OTHER", "UNKNOWN"], "description": "Only SCRUM is sure to have sprints" },
            "url": text(),
            "project_id": { "type": "string", "description": "Where it belongs to one project" },
            "columns": { "type": "array", "items": column }
        });
        entry_schema(&["name", "type", "columns"], fields)
    }
}

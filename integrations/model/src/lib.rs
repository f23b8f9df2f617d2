//! What integrations of source code and of work have in common, so that records of every source have the very same form:
//! `sourcecode` and `work` are the forms, a file for each noun. The rest is what an export does in the same manner whatever the
//! source: `run` and `stop` say how it goes on and ends, `people`, `listed`, `hooks` and `heads` send what every source has,
//! `threads` reads lists of issues and pull requests, `deletions`, `known` and `remembered` find what has gone, and `notes` is what was not
//! as it should be. How a source is asked, and
//! what its answers look like, is the integration's own.
//!
//! Which source a record is from stands in it as a value, `ref_type`; so one form is published for all (`docs/models`).

mod comment;
pub mod deletions;
pub mod heads;
pub mod hooks;
pub mod known;
pub mod listed;
pub mod notes;
pub mod people;
#[cfg(not(target_arch = "wasm32"))]
pub mod published;
pub mod remembered;
pub mod run;
pub mod sourcecode;
mod stop;
pub mod threads;
pub mod work;

use serde_json::{Value, json};

pub use comment::{Comment, CommentFields};
pub use stop::Stop;

/// Bytes of a set of ids in a cursor, of which the host takes 64 KiB.
pub const SET_BYTES_MAX: usize = 60_000;

/// How forms describe the field that names the source.
fn ref_type() -> Value {
    json!({ "type": "string", "description": "The kind of the source: github, gitlab, …" })
}

/// A time as records have it.
fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn texts() -> Value {
    json!({ "type": "array", "items": { "type": "string" } })
}

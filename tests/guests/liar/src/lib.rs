//! A guest that says what it is told to, whether it is true or not, without the SDK between. Its configuration has what its
//! calls answer; its manifest is a text of a fixed length in the component's data, so that a test can write another over it.

// What this guest is for: saying what it should not.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "agent-integration" });
    #[cfg(target_arch = "wasm32")]
    export!(Liar with_types_in self);
    pub struct Liar;
}

use bindings::agent::integration::session;
use bindings::agent::integration::types::Error;
use bindings::exports::agent::integration::integration::{Guest, MutateError, OnboardError};
use serde::Deserialize;
use serde_json::Value;

/// Bytes of the manifest, filled up with spaces. Tests look for its beginning.
const MANIFEST_BYTES: usize = 8192;

static MANIFEST: [u8; MANIFEST_BYTES] = manifest(
    br#"{"schema": 1, "name": "liar", "version": "0.1.0", "ref_type": "liar", "description": "Says what it is told to", "config": {"type": "object"}, "models": [{"name": "lie.Thing", "key": ["/id"], "schema": {"type": "object", "required": ["id", "n"], "properties": {"id": {"type": "string"}, "n": {"type": "integer", "minimum": 0}}}}], "onboard": ["users", "projects"], "mutations": ["lie"], "webhook_events": ["lie"]}"#,
);

const fn manifest(text: &[u8]) -> [u8; MANIFEST_BYTES] {
    let mut bytes = [b' '; MANIFEST_BYTES];
    let mut at = 0;
    while at < text.len() {
        bytes[at] = text[at];
        at += 1;
    }
    bytes
}

#[derive(Deserialize)]
struct Config {
    /// What every call returns; something that is right, if absent.
    answer: Option<String>,
    /// What every call fails with, instead.
    error: Option<String>,
    /// What `export` sends first.
    #[serde(default)]
    records: Vec<Value>,
}

fn read(config: &str) -> Result<Config, String> {
    serde_json::from_str(config).map_err(|error| error.to_string())
}

fn answer(config: &str, right: &str) -> Result<String, String> {
    let Config { answer, error, .. } = read(config)?;
    match error {
        Some(error) => Err(error),
        None => Ok(answer.unwrap_or_else(|| right.to_owned())),
    }
}

impl Guest for bindings::Liar {
    fn describe() -> String {
        // Looked at as it lies in memory, and not as it was when this was compiled.
        let text = String::from_utf8_lossy(std::hint::black_box(&MANIFEST)).into_owned();
        text.trim_end().to_owned()
    }

    fn export(config: String) -> Result<String, Error> {
        let Config { records, .. } = read(&config).map_err(Error::Invalid)?;
        if !records.is_empty() {
            let things = session::root_model("lie.Thing")?;
            let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
            things.send_text(&lines)?;
            session::Session::done(things, None)?;
        }
        answer(&config, "{}").map_err(Error::Other)
    }

    fn validate_config(config: String) -> Result<String, Error> {
        answer(&config, r#"{"ok": true}"#).map_err(Error::Other)
    }

    fn onboard_export(_: String, config: String) -> Result<String, OnboardError> {
        answer(&config, r#"[{"ref_id": "1", "name": "One"}]"#).map_err(OnboardError::Other)
    }

    fn mutate(_: String, _: String, config: String) -> Result<String, MutateError> {
        answer(&config, "{}").map_err(MutateError::Other)
    }

    fn webhook(_: Vec<(String, String)>, _: Vec<u8>, config: String) -> Result<String, Error> {
        answer(&config, "{}").map_err(Error::Other)
    }
}

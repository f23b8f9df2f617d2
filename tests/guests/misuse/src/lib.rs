//! A guest that misuses the contract in one way at a time, without the SDK between: `{"do": "bad-json"}`. What the host
//! refuses comes back from `export` as the very error that the host gave; where it refuses nothing, the result is `{}`.
//! A case that finds a hole returns `other` with a text that begins with `HOLE`.

// What this guest is for: doing what it should not.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod cursors;
mod doors;
mod logs;
mod quotas;
mod records;
mod sessions;
mod traps;

#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "agent-integration" });
    #[cfg(target_arch = "wasm32")]
    export!(Misuse with_types_in self);
    pub struct Misuse;
}

use bindings::agent::integration::types::Error;
use bindings::exports::agent::integration::integration::{Guest, MutateError, OnboardError};
use serde::Deserialize;
use serde_json::json;

/// How a case ends.
type End = Result<(), Error>;

/// A name for `do`, and what it does.
type Case = (&'static str, fn() -> End);

/// The model that the manifest declares.
const MODEL: &str = "misuse.Thing";

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "do")]
    case: String,
}

fn cases() -> impl Iterator<Item = &'static Case> {
    [records::CASES, sessions::CASES, cursors::CASES, quotas::CASES, logs::CASES, doors::CASES, traps::CASES]
        .into_iter()
        .flatten()
}

fn hole(text: impl std::fmt::Display) -> Error {
    Error::Other(format!("HOLE: {text}"))
}

fn not_here() -> Error {
    Error::Other("this guest only exports".to_owned())
}

impl Guest for bindings::Misuse {
    fn describe() -> String {
        let names: Vec<&str> = cases().map(|(name, _)| *name).collect();
        let manifest = json!({
            "schema": 1,
            "name": "misuse",
            "version": env!("CARGO_PKG_VERSION"),
            "ref_type": "misuse",
            "description": "Misuses the contract in one way at a time",
            "config": { "type": "object", "required": ["do"], "properties": { "do": { "enum": names } } },
            "models": [{ "name": MODEL, "key": ["/ref_id"], "dedup": true, "schema": { "type": "object" } }],
        });
        manifest.to_string()
    }

    fn export(config: String) -> Result<String, Error> {
        let config: Config = serde_json::from_str(&config).map_err(|error| Error::Invalid(error.to_string()))?;
        let Some((_, case)) = cases().find(|(name, _)| *name == config.case) else {
            return Err(Error::Invalid(format!("there is no case `{}`", config.case)));
        };
        case()?;
        Ok(match config.case.as_str() {
            "bad-result" => "this is not JSON".to_owned(),
            "huge-result" => format!("\"{}\"", "x".repeat(quotas::RESULT_BYTES_TOO_MANY)),
            _ => "{}".to_owned(),
        })
    }

    fn validate_config(_: String) -> Result<String, Error> {
        Err(not_here())
    }

    fn onboard_export(_: String, _: String) -> Result<String, OnboardError> {
        Err(OnboardError::NotSupported)
    }

    fn mutate(_: String, _: String, _: String) -> Result<String, MutateError> {
        Err(MutateError::NotSupported)
    }

    fn webhook(_: Vec<(String, String)>, _: Vec<u8>, _: String) -> Result<String, Error> {
        Err(not_here())
    }
}

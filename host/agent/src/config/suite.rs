//! `agent-test.yaml`: what the cassettes of an integration are to be tested with, where it goes without saying not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::fault::{Faults, Place};
use super::{ConfigError, Surroundings, own_configuration};

/// The file's name.
pub const SUITE_FILE: &str = "agent-test.yaml";

/// What it may say.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Suite {
    /// The component, from the file's folder on.
    pub component: Option<PathBuf>,
    /// Checks to leave out, and why.
    pub skip: BTreeMap<String, String>,
    /// JSON Pointers of settings that are called like secrets and are none, and why.
    pub not_secret: BTreeMap<String, String>,
    /// What cassettes do not say themselves, by their names: those that a browser or a proxy has made.
    pub cassettes: BTreeMap<String, SuiteCassette>,
}

/// What one cassette does not say itself.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SuiteCassette {
    /// The call, word by word; `export` if absent.
    pub call: Vec<String>,
    pub config: Option<Value>,
}

/// Reads the file of this folder; what it would say if it were empty, where there is none.
///
/// # Errors
/// It cannot be read, or says something else.
pub fn suite_of(folder: &Path, around: &Surroundings) -> Result<Suite, ConfigError> {
    let file = folder.join(SUITE_FILE);
    if !file.exists() {
        return Ok(Suite::default());
    }
    let written = own_configuration(&file, around)?;
    serde_json::from_value(written).map_err(|error| {
        let mut faults = Faults::default();
        faults.enter(&file.display().to_string());
        let mend = "it may have component, skip, not_secret and cassettes (docs/authors.md, Cassettes and tests)";
        faults.add(Place::default(), "", error.to_string(), mend);
        match faults.into_result(None::<Suite>) {
            Err(error) => error,
            Ok(_) => ConfigError::none_found(folder),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_and_judged() {
        let around = Surroundings {
            working_dir: "/".into(),
            home: None,
            root: None,
            integrations_dirs: Vec::new(),
            variables: |_| None,
        };
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(suite_of(folder.path(), &around).unwrap(), Suite::default());
        let write = |text: &str| std::fs::write(folder.path().join(SUITE_FILE), text).unwrap();
        write("component: my.wasm\nskip: {resume: has no order}\ncassettes: {one: {call: [onboard, repos]}}\n");
        let suite = suite_of(folder.path(), &around).unwrap();
        assert_eq!((suite.component, suite.skip["resume"].as_str()), (Some("my.wasm".into()), "has no order"));
        assert_eq!(suite.cassettes["one"].call, ["onboard", "repos"]);
        write("componnet: my.wasm\n");
        let error = suite_of(folder.path(), &around).unwrap_err().to_string();
        assert!(error.contains("agent-test.yaml") && error.contains("componnet") && error.contains("mend"), "{error}");
    }
}

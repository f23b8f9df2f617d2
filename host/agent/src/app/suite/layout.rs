//! What lies in an integration's folder: the component, `cassettes/NAME.har`, and beside each what should come of it,
//! `cassettes/NAME.ndjson`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{AppError, Finding, TestRequest, fault};
use crate::config::SUITE_FILE;

/// The folder of the cassettes.
const CASSETTES: &str = "cassettes";
/// What a cassette's name ends with, and what should come of it.
const HAR: &str = "har";
const EXPECTED: &str = "ndjson";

/// A cassette, and what is known of it beside what it says.
#[derive(Debug, Clone)]
pub(super) struct CassetteFile {
    pub name: String,
    pub har: PathBuf,
    pub expected: PathBuf,
    /// Both as they are called in the integration's folder.
    pub place: String,
    pub expected_place: String,
    /// Of `agent-test.yaml`, for one that does not say itself: the call's words, none if there are none, and the configuration.
    pub call: Vec<String>,
    pub config: Option<Value>,
}

pub(super) struct Layout {
    pub component: PathBuf,
    /// In the order of their names.
    pub cassettes: Vec<CassetteFile>,
    /// What should come of cassettes that are not there.
    strays: Vec<PathBuf>,
}

impl Layout {
    pub(super) fn read(request: &TestRequest) -> Result<Layout, AppError> {
        let folder = &request.folder;
        if !folder.is_dir() {
            return Err(AppError::Usage(format!(
                "{}: there is no such folder; name the integration's",
                folder.display()
            )));
        }
        let files = entries(&folder.join(CASSETTES))?;
        let with = |extension: &str| -> Vec<&PathBuf> {
            files.iter().filter(|file| file.extension().is_some_and(|of| of == extension)).collect()
        };
        let mut cassettes: Vec<CassetteFile> = with(HAR)
            .into_iter()
            .map(|har| {
                let name = stem(har);
                let given = request.suite.cassettes.get(&name).cloned().unwrap_or_default();
                let expected = har.with_extension(EXPECTED);
                let (place, expected_place) = (shown(har, folder), shown(&expected, folder));
                let (har, call, config) = (har.clone(), given.call, given.config);
                CassetteFile { name, har, expected, place, expected_place, call, config }
            })
            .collect();
        let strays = with(EXPECTED)
            .into_iter()
            .filter(|file| cassettes.iter().all(|cassette| cassette.expected != **file))
            .cloned()
            .collect();
        let named = request.suite.cassettes.keys().chain(&request.only);
        if let Some(unknown) = named.into_iter().find(|name| cassettes.iter().all(|cassette| cassette.name != **name)) {
            let told =
                format!("there is no cassette `{unknown}`: {CASSETTES}/{unknown}.{HAR} is not in {}", folder.display());
            return Err(AppError::Usage(told));
        }
        cassettes.retain(|cassette| request.only.is_empty() || request.only.contains(&cassette.name));
        Ok(Layout { component: component(request)?, cassettes, strays })
    }

    /// Whether there is something to play, and all of it is used.
    pub(super) fn judge(&self, folder: &Path) -> Finding {
        if self.cassettes.is_empty() {
            let mend = format!(
                "record one: agent run-wasm {} export --config-file my.yaml --allow-asked --record {CASSETTES}/first.{HAR}",
                self.component.display()
            );
            return Finding::Failed(fault("there is no cassette", shown(&folder.join(CASSETTES), folder), mend));
        }
        match &self.strays[..] {
            [] => Finding::Noted(match self.cassettes.len() {
                1 => "1 cassette".to_owned(),
                count => format!("{count} cassettes"),
            }),
            [stray, ..] => {
                let why = format!("{} should come of cassettes that are not there", self.strays.len());
                let mend = format!("record its cassette again, as NAME.{HAR}, or remove it");
                Finding::Failed(fault(why, shown(stray, folder), mend))
            }
        }
    }
}

/// The component that is tested.
fn component(request: &TestRequest) -> Result<PathBuf, AppError> {
    let folder = &request.folder;
    let named = request.component.clone().or_else(|| request.suite.component.as_ref().map(|file| folder.join(file)));
    if let Some(file) = named {
        return Ok(file);
    }
    let is_component = |file: &PathBuf| file.extension().is_some_and(|of| of == "wasm") && file.is_file();
    let components: Vec<PathBuf> = entries(folder)?.into_iter().filter(is_component).collect();
    match &components[..] {
        [only] => Ok(only.clone()),
        found => {
            let has = if found.is_empty() { "no component" } else { "more than one component" };
            Err(AppError::Usage(format!(
                "{} has {has} (*.wasm); name it with --component FILE, or as `component: FILE` in {SUITE_FILE}",
                folder.display()
            )))
        }
    }
}

/// What lies in a folder, sorted; nothing where there is none. What is no file is there too: who plays it says so, and nobody takes
/// a cassette for one that was played.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, AppError> {
    let failed = |error| AppError::Failed(format!("{}: {error}; name a folder that can be read", folder.display()));
    let listed = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(failed)?,
    };
    let mut entries = listed.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    entries.sort();
    Ok(entries)
}

fn stem(file: &Path) -> String {
    file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What a place in a folder is called for a person.
fn shown(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

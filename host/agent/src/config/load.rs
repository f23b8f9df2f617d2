//! From a source (a file, or the flags of the systems we succeed) to a configuration: reads, puts variables in, lifts,
//! and gathers the faults of all of it.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::fault::{Faults, Place};
use super::interpolate::interpolate;
use super::lift::{self, tidy};
use super::read::{self, FILE_BYTES_MAX, Form, Node, Value};
use super::{Config, ConfigError, legacy};

/// Where a configuration comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// An agent.yaml, or the same as JSON where the name ends in `.json`.
    File(PathBuf),
    /// The documents that the flags of the systems we succeed give.
    Flags {
        /// `--agent-config-json` or `--agent-config-file`.
        agent: Option<Document>,
        /// `--integrations-json` or `--integrations-file`.
        integrations: Document,
    },
}

/// A JSON document from a flag.
#[derive(Debug, Clone)]
pub enum Document {
    /// The text itself, and the flag that gave it.
    Inline { flag: &'static str, text: String },
    /// A file.
    File(PathBuf),
}

/// Why a folder is searched for components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderOrigin {
    /// By a flag, a variable or a document.
    Given,
    /// Beside the agent.
    Installed,
    /// Where cargo puts what it builds.
    Development,
}

/// What a configuration is read in: paths, variables, and what the command line says above it.
pub struct Surroundings {
    /// What paths given by flags are relative to. Absolute.
    pub working_dir: PathBuf,
    /// The user's home folder, if there is one.
    pub home: Option<PathBuf>,
    /// The root that a flag gives; goes before what a document says. Absolute.
    pub root: Option<PathBuf>,
    /// Folders to search for components, first to last.
    pub integrations_dirs: Vec<(PathBuf, FolderOrigin)>,
    /// Reads a variable of the environment.
    pub variables: fn(&str) -> Option<OsString>,
}

impl Surroundings {
    /// Those of this process. Relative paths in the arguments are made absolute. Fails if there is no working folder.
    pub fn of_process(root: Option<&Path>, integrations_dir: Option<&Path>) -> std::io::Result<Surroundings> {
        let working_dir = std::env::current_dir()?;
        let mut integrations_dirs = Vec::new();
        if let Some(folder) = integrations_dir {
            integrations_dirs.push((tidy(&working_dir.join(folder)), FolderOrigin::Given));
        }
        if let Some(beside) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
            integrations_dirs.push((beside.join("integrations"), FolderOrigin::Installed));
            // `target/debug/agent` and `target/wasm32-wasip2/guest` have the same `target`.
            integrations_dirs.push((tidy(&beside.join("../wasm32-wasip2/guest")), FolderOrigin::Development));
        }
        let built_here = working_dir.join("target/wasm32-wasip2/guest");
        if !integrations_dirs.iter().any(|(folder, _)| *folder == built_here) {
            integrations_dirs.push((built_here, FolderOrigin::Development));
        }
        // Folders of development are no news to somebody who has none.
        integrations_dirs.retain(|(folder, origin)| *origin != FolderOrigin::Development || folder.is_dir());
        Ok(Surroundings {
            home: std::env::home_dir().filter(|home| home.is_absolute()),
            root: root.map(|root| tidy(&working_dir.join(root))),
            integrations_dirs,
            variables: |name| std::env::var_os(name),
            working_dir,
        })
    }

    /// The root of an agent without a configuration: the flag's, else `~/.agent`.
    #[must_use]
    pub fn default_root(&self) -> Option<PathBuf> {
        self.root.clone().or_else(|| self.home.as_ref().map(|home| home.join(".agent")))
    }

    pub(super) fn clone_places(&self) -> Surroundings {
        Surroundings {
            working_dir: self.working_dir.clone(),
            home: self.home.clone(),
            root: self.root.clone(),
            integrations_dirs: self.integrations_dirs.clone(),
            variables: self.variables,
        }
    }
}

/// A configuration that was read.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What a person should know about it: one sentence each.
    pub notes: Vec<String>,
}

/// Reads a configuration and judges all of it.
///
/// # Errors
/// All faults, in the order of the documents.
pub fn load(source: &Source, around: &Surroundings) -> Result<Loaded, ConfigError> {
    let mut faults = Faults::default();
    let mut notes = Vec::new();
    let config = match source {
        Source::File(path) => from_file(path, around, &mut faults),
        Source::Flags { agent, integrations } => {
            notes.push(
                "the integrations given by flags are granted nothing (no network, no credentials, no folders): that form has \
                 no word for grants; write an agent.yaml to grant what they need"
                    .to_owned(),
            );
            from_flags(agent.as_ref(), integrations, around, &mut faults)
        }
    };
    faults.into_result(config).map(|config| Loaded { config, notes })
}

/// The root that a file names, or `~/.agent`, for commands that need nothing else of it: what else is wrong with the
/// file is not judged.
///
/// # Errors
/// The file cannot be read, or its `root` is wrong.
pub fn root_of(path: &Path, around: &Surroundings) -> Result<PathBuf, ConfigError> {
    let mut faults = Faults::default();
    let root = tree_of(path, around, &mut faults).and_then(|mut node| {
        if let Value::Map(entries) = &mut node.value {
            entries.retain(|entry| entry.key == "root");
        }
        interpolate(&mut node, &around.variables, &mut faults);
        lift::root(&node, &base_of(path, around), around, &mut faults)
    });
    faults.into_result(root)
}

pub(super) fn tree_of(path: &Path, around: &Surroundings, faults: &mut Faults) -> Option<Node> {
    faults.enter(&path.display().to_string());
    let form = match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("json") => Form::Json,
        _ => Form::Yaml,
    };
    read::read(&file_bytes(path, around, faults)?, form, faults)
}

fn from_file(path: &Path, around: &Surroundings, faults: &mut Faults) -> Option<Config> {
    let mut node = tree_of(path, around, faults)?;
    interpolate(&mut node, &around.variables, faults);
    lift::lift(&node, &base_of(path, around), around, faults)
}

fn from_flags(
    agent: Option<&Document>,
    integrations: &Document,
    around: &Surroundings,
    faults: &mut Faults,
) -> Option<Config> {
    let agent = match agent {
        Some(document) => {
            document.read(around, faults).and_then(|(node, base)| legacy::agent(&node, &base, around, faults))
        }
        None => Some(legacy::Agent::default()),
    };
    // The second document is judged even if the first cannot be read: all faults at once.
    let (node, _) = integrations.read(around, faults)?;
    let config = legacy::integrations(&node, agent.unwrap_or_default(), around, faults)?;
    faults.none().then_some(config)
}

impl Document {
    /// The tree, and the folder that paths in it are relative to.
    fn read(&self, around: &Surroundings, faults: &mut Faults) -> Option<(Node, PathBuf)> {
        match self {
            Document::Inline { flag, text } => {
                faults.enter(flag);
                Some((read::read(text.as_bytes(), Form::Json, faults)?, around.working_dir.clone()))
            }
            Document::File(path) => {
                faults.enter(&path.display().to_string());
                Some((read::read(&file_bytes(path, around, faults)?, Form::Json, faults)?, base_of(path, around)))
            }
        }
    }
}

/// The folder that paths in a file are relative to.
pub(super) fn base_of(file: &Path, around: &Surroundings) -> PathBuf {
    let mut base = tidy(&around.working_dir.join(file));
    base.pop();
    base
}

/// The bytes of a file, at most one more than may be in it, so that it is seen to be too large.
fn file_bytes(path: &Path, around: &Surroundings, faults: &mut Faults) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(around.working_dir.join(path))
        .and_then(|file| file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => Some(bytes),
        Err(error) => {
            let mend = match error.kind() {
                std::io::ErrorKind::NotFound => "give the path of your configuration with -c FILE, or write this file",
                std::io::ErrorKind::PermissionDenied => "let the agent's user read it",
                _ => "give the path of a file that can be read",
            };
            faults.add(Place::default(), "", format!("it cannot be read: {error}"), mend);
            None
        }
    }
}

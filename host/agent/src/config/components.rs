//! Finds the file of a component: `component:` is a path, or a name that is looked up in folders. Whether the file is a
//! component is for the sandbox to say.

use std::path::{Path, PathBuf};

use super::fault::{Faults, Place, nearest, quoted, quoted_path};
use super::lift::{Paths, tidy};
use super::{ConfigError, FolderOrigin, Surroundings};

/// The component's file, absolute.
pub(super) fn find(
    at: Place,
    path: &str,
    component: &str,
    place: &Paths<'_>,
    around: &Surroundings,
    faults: &mut Faults,
) -> Option<PathBuf> {
    if component.contains(['/', '\\']) || component.ends_with(".wasm") {
        let file = place.resolve(at, path, component, faults)?;
        let (fault, mend) = match std::fs::metadata(&file) {
            Ok(meta) if meta.is_file() => return Some(file),
            Ok(_) => (format!("{} is no file", quoted_path(&file)), "name the component's .wasm file itself"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (
                format!("there is no file {}", quoted_path(&file)),
                "build the component, or correct the path (it is relative to this file)",
            ),
            // A link to itself, a folder that may not be entered.
            Err(error) => (format!("{} cannot be read: {error}", quoted_path(&file)), "name a file that can be read"),
        };
        faults.add(at, path, fault, mend);
        return None;
    }
    by_name(at, path, component, around, faults)
}

/// The file of the component with a name, from the folders where components are.
pub(super) fn by_name(
    at: Place,
    path: &str,
    name: &str,
    around: &Surroundings,
    faults: &mut Faults,
) -> Option<PathBuf> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(good) || name.starts_with('.') {
        let mend = "write the name of a component in the integrations folder, or the path of a .wasm file";
        faults.add(at, path, format!("{} does not name a component", quoted(name)), mend);
        return None;
    }
    // Cargo writes `-` as `_`.
    let built = format!("integration_{}.wasm", name.replace('-', "_"));
    let candidates = [format!("{name}.wasm"), built];
    for (folder, _) in &around.integrations_dirs {
        if let Some(file) = candidates.iter().map(|candidate| folder.join(candidate)).find(|file| file.is_file()) {
            return Some(tidy(&file));
        }
    }
    let looked: Vec<String> = around.integrations_dirs.iter().map(|(folder, _)| folder.display().to_string()).collect();
    let there = names_in(&around.integrations_dirs);
    let there: Vec<&str> = there.iter().map(String::as_str).collect();
    let mend = match nearest(name, &there) {
        Some(near) => format!("did you mean `{near}`?"),
        None if there.is_empty() => {
            format!("put {name}.wasm into one of them, or name a folder with --integrations-dir")
        }
        None => format!("there are: {}; or name another folder with --integrations-dir", there.join(", ")),
    };
    let fault = if looked.is_empty() {
        format!("there is no component {} and no folder to look in", quoted(name))
    } else {
        format!("there is no component {} in {}", quoted(name), looked.join(", "))
    };
    faults.add(at, path, fault, mend);
    None
}

/// A component that lies in one of the folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The name by which a configuration may call it.
    pub name: String,
    pub file: PathBuf,
}

/// The file of one component, named as in a configuration, for commands that need no more of it. A path is relative to the
/// working folder.
///
/// # Errors
/// There is none.
pub fn find_one(component: &str, around: &Surroundings) -> Result<PathBuf, ConfigError> {
    let mut faults = Faults::default();
    faults.enter(component);
    let place = Paths { base: &around.working_dir, home: around.home.as_deref() };
    let found = find(Place::default(), "", component, &place, around, &mut faults);
    faults.into_result(found)
}

/// The components in the folders where they are installed, first folder first; those of a build are left out.
#[must_use]
pub fn all(around: &Surroundings) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for (folder, _) in around.integrations_dirs.iter().filter(|(_, origin)| *origin != FolderOrigin::Development) {
        let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        let mut here: Vec<Found> =
            entries.filter_map(|entry| Some(Found { name: name_of(&entry.path())?, file: entry.path() })).collect();
        here.sort_by(|a, b| a.name.cmp(&b.name));
        // The first folder that has a name is the one that counts.
        here.retain(|component| found.iter().all(|other| other.name != component.name));
        found.extend(here);
    }
    found.truncate(COMPONENTS_MAX);
    found
}

/// Components that are looked at where nobody named any: who has more of them names those that matter.
const COMPONENTS_MAX: usize = 100;

/// Names of components shown in a fault at most.
const NAMES_MAX: usize = 20;

/// The components in these folders, by name. Unreadable folders have none.
fn names_in(folders: &[(PathBuf, FolderOrigin)]) -> Vec<String> {
    let mut names: Vec<String> = folders
        .iter()
        .filter_map(|(folder, _)| std::fs::read_dir(folder).ok())
        .flat_map(|entries| entries.filter_map(Result::ok))
        .filter_map(|entry| name_of(&entry.path()))
        .collect();
    names.sort();
    names.dedup();
    names.truncate(NAMES_MAX);
    names
}

fn name_of(file: &Path) -> Option<String> {
    let stem = file.file_name()?.to_str()?.strip_suffix(".wasm")?;
    Some(match stem.strip_prefix("integration_") {
        Some(name) => name.replace('_', "-"),
        None => stem.to_owned(),
    })
}

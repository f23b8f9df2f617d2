//! Compiled components that all benches share. Compiling one takes seconds in a debug build, so each of the built ones is
//! compiled once for as long as neither it nor the engine changes, and given to a root before the agent looks for it there.
//! Which benches are to see the agent compile for itself, their tests say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use agent::sandbox::{Compiler, Options, Sandbox};

use crate::{binary, files_below, guests, target};

/// What stands for `$XDG_CACHE_HOME` where benches run the agent.
pub(crate) fn home() -> PathBuf {
    target().join("tests-cache")
}

/// Where they are, those of `agent run-wasm` among them.
#[must_use]
pub fn folder() -> PathBuf {
    home().join("agent/components")
}

/// All components that are built, by the names of their files.
#[must_use]
pub fn all() -> Vec<String> {
    let files = fs::read_dir(guests()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    files.filter(|file| file.ends_with(".wasm")).collect()
}

/// Compiles one of them, unless that was done; its digest. Whoever asks for the same one meanwhile waits. None where it cannot be
/// loaded: whoever runs it is told why.
///
/// # Panics
/// Where there is no place for it.
#[allow(clippy::must_use_candidate, reason = "often it need only be done")]
pub fn compile(component: &str) -> Option<String> {
    type Digest = Arc<OnceLock<Option<String>>>;
    static DIGESTS: Mutex<BTreeMap<String, Digest>> = Mutex::new(BTreeMap::new());
    let digest = {
        let mut digests = DIGESTS.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(digests.entry(component.to_owned()).or_default())
    };
    let load = || {
        // As the agent does it for an export: in a child, in the form that counts no instructions.
        let options = Options { compiler: Compiler::Child(binary().to_owned()), ..Options::default() };
        let sandbox = Sandbox::new(&folder(), &options).unwrap();
        sandbox.load(&guests().join(component)).ok().map(|loaded| loaded.digest().to_owned())
    };
    digest.get_or_init(load).clone()
}

/// Has a folder of compiled components hold these of them, with what is noted about them.
///
/// # Panics
/// Where it cannot be made.
pub fn give(components: impl IntoIterator<Item = impl AsRef<str>>, to: &Path) {
    let digests: Vec<String> = components.into_iter().filter_map(|one| compile(one.as_ref())).collect();
    if digests.is_empty() {
        return;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(to).unwrap();
    for file in files_below(&folder()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let place = to.join(name);
        if !place.exists() && digests.iter().any(|digest| name.starts_with(digest)) {
            // Linked, because the agent never changes such a file in place; copied to another file system. One that somebody has
            // swept away meanwhile is compiled again.
            drop(fs::hard_link(&file, &place).or_else(|_| fs::copy(&file, &place).map(drop)));
        }
    }
}

/// Gives the root of a configuration, which is relative to a folder, what it names.
pub(crate) fn give_named(configuration: &str, folder: &Path) {
    let Some(root) = configuration.lines().find_map(|line| line.strip_prefix("root: ")) else { return };
    give(named(configuration), &folder.join(root).join("cache/components"));
}

/// The built components that a configuration names.
fn named(configuration: &str) -> BTreeSet<String> {
    let values = configuration.split("component").skip(1).filter_map(|rest| {
        let value = rest.trim_start_matches(['"', ':', ' ']);
        value.split(['"', '\'', ',', '}', '\n']).next()
    });
    values.filter_map(built).collect()
}

/// The file that the agent finds under a component's name, or that its path leads to.
fn built(component: &str) -> Option<String> {
    let folder = guests();
    let file = match component.rsplit_once('/') {
        None => format!("integration_{component}.wasm"),
        Some((at, file)) if at == "${GUESTS}" || Path::new(at) == folder => file.to_owned(),
        Some(_) => return None,
    };
    folder.join(&file).is_file().then_some(file)
}

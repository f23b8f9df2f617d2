//! Power failures. While the agent runs, lostwrites.c remembers what of its folder is durable; here the folder is rebuilt
//! as it might be found after the power failed: with nothing that was never synced, or with some of it.
//!
//! A file that was never synced is empty, a folder that was never synced has no entries, and a name is where the last
//! sync of its folder saw it. The top itself counts as durable. Where chance decides, each folder and each file is taken
//! either as last synced or as it was when the power failed: what was not synced may be lost and need not be.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use super::random::Random;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/durability/lostwrites.c");

/// The store's reserve is never synced and large: it is taken for lost every time, because to copy it would be most of the
/// work.
const RESERVE: &str = "reserve";

/// The compiled lostwrites.c.
pub struct Shim {
    library: PathBuf,
    _folder: tempfile::TempDir,
}

impl Shim {
    /// Compiles it, or says what is missing.
    pub fn build() -> Result<Shim, String> {
        if !cfg!(target_os = "linux") {
            return Err("LD_PRELOAD and statx, which Linux has".to_owned());
        }
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("lostwrites.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-pthread", "-o"]).arg(&library).arg(SOURCE);
        match compiler.output() {
            Ok(output) if output.status.success() => Ok(Shim { library, _folder: folder }),
            Ok(output) => panic!("{SOURCE} cannot be compiled: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => Err(format!("cc ({error})")),
        }
    }
}

/// What survives of what was not synced.
#[derive(Debug, Clone, Copy)]
pub enum Survives {
    Nothing,
    Some,
}

/// When to kill: a sync, counted from 1.
#[derive(Debug, Clone, Copy)]
pub enum Kill {
    Before(u64),
    After(u64),
}

/// A folder whose power may fail.
pub struct Disk<'a> {
    shim: &'a Shim,
    top: PathBuf,
    shadow: PathBuf,
}

/// Folder entries as a sync saw them: whether it is a folder, its key, its name.
type Listing = Vec<(bool, String, String)>;

impl Disk<'_> {
    /// Takes a folder as it is, and counts all of it as durable. `shadow` is where to remember.
    pub fn new<'a>(shim: &'a Shim, top: PathBuf, shadow: PathBuf) -> Disk<'a> {
        let disk = Disk { shim, top, shadow };
        disk.remember_all();
        disk
    }

    /// Loads the shim into a command, which is killed at one of its first syncs if it makes that many.
    pub fn watch(&self, command: &mut Command, kill: Option<Kill>) {
        command.env("LD_PRELOAD", &self.shim.library);
        command.env("LOSTWRITES_ROOT", &self.top).env("LOSTWRITES_SHADOW", &self.shadow);
        match kill {
            Some(Kill::Before(sync)) => drop(command.env("LOSTWRITES_KILL_BEFORE", sync.to_string())),
            Some(Kill::After(sync)) => drop(command.env("LOSTWRITES_KILL_AFTER", sync.to_string())),
            None => {}
        }
    }

    /// The power fails: the folder becomes what is left of it.
    pub fn fail(&self, survives: Survives, random: &mut Random) {
        let mut found = HashMap::from([(key(&self.top), self.top.clone())]);
        find_all(&self.top, &mut found);
        let after = self.top.with_extension("after");
        let mut rebuilding = Rebuilding { disk: self, survives, random, found, made: HashMap::new() };
        rebuilding.folder(&key(&self.top), &after);
        fs::remove_dir_all(&self.top).unwrap();
        fs::rename(&after, &self.top).unwrap();
        self.remember_all();
    }

    fn listing(&self, key: &str) -> Listing {
        let text = fs::read_to_string(self.shadow.join("folders").join(key)).unwrap_or_default();
        let entry = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().unwrap().to_owned();
            (word() == "d", word(), word())
        };
        text.lines().map(entry).collect()
    }

    /// What is on the disk when the power comes back is durable.
    fn remember_all(&self) {
        let _ = fs::remove_dir_all(&self.shadow);
        for folder in ["folders", "inodes"] {
            fs::create_dir_all(self.shadow.join(folder)).unwrap();
        }
        self.remember(&self.top);
    }

    fn remember(&self, folder: &Path) {
        let mut text = String::new();
        for (is_folder, key, name) in list(folder) {
            let path = folder.join(&name);
            match is_folder {
                true => self.remember(&path),
                false => drop(fs::copy(&path, self.shadow.join("inodes").join(&key)).unwrap()),
            }
            text.push_str(&format!("{} {key} {name}\n", if is_folder { 'd' } else { 'f' }));
        }
        fs::write(self.shadow.join("folders").join(key(folder)), text).unwrap();
    }
}

struct Rebuilding<'a> {
    disk: &'a Disk<'a>,
    survives: Survives,
    random: &'a mut Random,
    /// Where everything was when the power failed, by key.
    found: HashMap<String, PathBuf>,
    /// Files made so far: one with two names is made once.
    made: HashMap<String, PathBuf>,
}

impl Rebuilding<'_> {
    /// Where this was when the power failed, if it survives in that state.
    fn survivor(&mut self, key: &str) -> Option<PathBuf> {
        match self.survives {
            Survives::Nothing => None,
            Survives::Some => self.found.get(key).filter(|_| self.random.one_in(2)).cloned(),
        }
    }

    fn folder(&mut self, key: &str, to: &Path) {
        fs::create_dir(to).unwrap();
        let listing = match self.survivor(key) {
            Some(path) => list(&path),
            None => self.disk.listing(key),
        };
        for (is_folder, key, name) in listing {
            match is_folder {
                true => self.folder(&key, &to.join(name)),
                false => self.file(&key, &to.join(name)),
            }
        }
    }

    fn file(&mut self, key: &str, to: &Path) {
        if let Some(made) = self.made.get(key) {
            fs::hard_link(made, to).unwrap();
            return;
        }
        let from = self.survivor(key).unwrap_or_else(|| self.disk.shadow.join("inodes").join(key));
        match from.exists() {
            true => drop(fs::copy(from, to).unwrap()),
            false => fs::write(to, "").unwrap(),
        }
        self.made.insert(key.to_owned(), to.to_owned());
    }
}

/// An inode's name for all its time, as in lostwrites.c.
fn key(path: &Path) -> String {
    let metadata = fs::symlink_metadata(path).unwrap();
    let born = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    format!("{}-{}.{:09}", metadata.ino(), born.as_secs(), born.subsec_nanos())
}

fn list(folder: &Path) -> Listing {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).filter(|e| e.file_name() != RESERVE);
    entries.map(|e| (e.path().is_dir(), key(&e.path()), e.file_name().into_string().unwrap())).collect()
}

fn find_all(folder: &Path, found: &mut HashMap<String, PathBuf>) {
    for (is_folder, key, name) in list(folder) {
        found.insert(key, folder.join(&name));
        if is_folder {
            find_all(&folder.join(name), found);
        }
    }
}

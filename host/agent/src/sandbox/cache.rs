//! Compiled components on disk, so that a process compiles each component once in its life and not once a start.
//!
//! A compiled component is native code that runs without further checks, so the folder is trusted or not used: it is
//! ours, nobody else can write into it, and so are its files. A file's name is the component's SHA-256 and a hash of
//! everything that the compiled form depends on (engine version, processor, settings). A file is written beside its place
//! and renamed into it, and ends with a checksum of what comes before: one that is torn or rotten is compiled again.

use std::fs::{self, DirBuilder, File, Metadata};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use siphasher::sip128::{Hasher128, SipHasher13};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::files;

/// Compiled components kept; the oldest go first. Each update of a component leaves its old form behind.
const ENTRIES_MAX: usize = 64;

/// Age at which a temporary file is surely not being written any more.
const TEMPORARY_AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// How stale the time of last use may be, so that most uses write nothing.
const USE_RESOLUTION: Duration = Duration::from_secs(24 * 60 * 60);

/// Bytes of a text about a component.
const NOTE_BYTES_MAX: u64 = 2 << 20;

const TEMPORARY_PREFIX: &str = "tmp-";
const SUFFIX: &str = ".cwasm";
/// Texts about components.
const NOTE_SUFFIX: &str = ".note";

/// Bytes of the checksum at a file's end.
const CHECKSUM_BYTES: usize = 16;

/// The bits of a mode that let the group or everyone write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder cannot be made or read.
    #[error("the folder of compiled components {} cannot be used", .path.display())]
    Io { path: PathBuf, source: io::Error },
    /// Somebody else could put code there.
    #[error("the folder of compiled components {} is not safe: {why}; make it this user's alone (chown, chmod 700) or remove it", .path.display())]
    Unsafe { path: PathBuf, why: &'static str },
}

/// The folder of compiled components.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    /// Of the engine: in hexadecimal, as it stands in file names.
    compatibility: String,
}

impl Cache {
    /// Opens the folder, and makes it if it is not there.
    pub(super) fn open(dir: &Path, engine: &Engine) -> Result<Cache, CacheError> {
        let fault = |source| CacheError::Io { path: dir.to_owned(), source };
        if let Some(parent) = dir.parent() {
            fs::create_dir_all(parent).map_err(fault)?;
        }
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(fault(error)),
            _ => {}
        }
        // Not followed: a link could be turned elsewhere by whoever made it.
        let metadata = fs::symlink_metadata(dir).map_err(fault)?;
        if !metadata.is_dir() {
            return Err(CacheError::Unsafe { path: dir.to_owned(), why: "it is not a folder" });
        }
        if let Some(why) = distrust(&metadata) {
            return Err(CacheError::Unsafe { path: dir.to_owned(), why });
        }
        let mut hasher = SipHasher13::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Cache { dir: dir.to_owned(), compatibility: format!("{:016x}", hasher.finish()) })
    }

    /// The compiled form of a component of this digest, if it is here and whole.
    pub(super) fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        let file = files::open(&path).ok()?;
        match deserialize(engine, &path, &file) {
            Ok(component) => {
                touch(&file);
                Some(component)
            }
            Err(why) => {
                tracing::warn!(path = %path.display(), why, "a compiled component is not usable; compiling it again");
                // If it cannot be removed, writing the new one replaces it.
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Keeps a compiled component. A failure costs the next start a compilation and no more, so it is only logged.
    pub(super) fn store(&self, digest: &str, component: &Component) {
        if let Err(error) = self.write(digest, component) {
            tracing::warn!(folder = %self.dir.display(), %error, "a compiled component could not be kept; the next start compiles it again");
        }
        self.sweep();
    }

    /// The folder, for files without a name.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file for a compiled component, to be adopted; it goes away if it is not.
    pub(super) fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        // Made for its owner alone.
        tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(&self.dir)
    }

    /// Takes a file as the compiled form of a component.
    pub(super) fn adopt(&self, digest: &str, mut file: tempfile::NamedTempFile) -> io::Result<()> {
        // Whoever wrote it is gone by now, and only this user could have.
        // SAFETY: a mapping is sound while nobody changes the file.
        let code = unsafe { memmap2::Mmap::map(file.as_file()) }?;
        let sum = checksum(&code);
        drop(code);
        file.seek(SeekFrom::End(0))?;
        file.write_all(&sum)?;
        file.persist(self.path(digest)).map_err(|error| error.error)?;
        self.sweep();
        Ok(())
    }

    fn write(&self, digest: &str, component: &Component) -> io::Result<()> {
        let code = component.serialize().map_err(io::Error::other)?;
        self.replace(&self.path(digest), &code)
    }

    /// A text about a component, if it is here and whole.
    pub(super) fn recall(&self, digest: &str, name: &str) -> Option<String> {
        let file = files::open(&self.note_path(digest, name)).ok()?;
        if file.metadata().ok().is_none_or(|metadata| distrust(&metadata).is_some()) {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(NOTE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        let (text, sum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM_BYTES)?)?;
        if checksum(text) != sum {
            return None;
        }
        String::from_utf8(text.to_owned()).ok()
    }

    /// Keeps a text about a component. A failure costs the next start the work of making it again.
    pub(super) fn remember(&self, digest: &str, name: &str, text: &str) {
        if let Err(error) = self.replace(&self.note_path(digest, name), text.as_bytes()) {
            tracing::warn!(folder = %self.dir.display(), %error, "a note about a component could not be kept");
        }
        self.sweep();
    }

    fn note_path(&self, digest: &str, name: &str) -> PathBuf {
        self.dir.join(format!("{digest}-{name}{NOTE_SUFFIX}"))
    }

    /// Puts a file with its checksum in place, whole or not at all.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        // It is not synced: after a power failure the checksum finds it out.
        let mut file = self.temporary()?;
        file.write_all(content)?;
        file.write_all(&checksum(content))?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.dir.join(format!("{digest}-{}{SUFFIX}", self.compatibility))
    }

    /// Removes what is left over: temporary files of processes that died, and entries beyond the ceiling.
    fn sweep(&self) {
        let Ok(files) = fs::read_dir(&self.dir) else { return };
        let (mut compiled, mut notes) = (Vec::new(), Vec::new());
        for file in files.flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let Ok(used) = file.metadata().and_then(|metadata| metadata.modified()) else { continue };
            if name.starts_with(TEMPORARY_PREFIX) && older(used, TEMPORARY_AGE_MAX) {
                let _ = fs::remove_file(file.path());
            } else if name.ends_with(SUFFIX) {
                compiled.push((used, file.path()));
            } else if name.ends_with(NOTE_SUFFIX) {
                notes.push((used, file.path()));
            }
        }
        for mut entries in [compiled, notes] {
            entries.sort();
            let surplus = entries.len().saturating_sub(ENTRIES_MAX);
            for (_, path) in entries.into_iter().take(surplus) {
                // Another agent may have been faster.
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Why something in the folder is not to be trusted, if it is not.
fn distrust(metadata: &Metadata) -> Option<&'static str> {
    // SAFETY: asks the system for a number; it has no arguments and cannot fail.
    let user = unsafe { libc::geteuid() };
    if metadata.uid() != user {
        return Some("it belongs to another user");
    }
    (metadata.mode() & WRITABLE_BY_OTHERS != 0).then_some("others may write to it")
}

/// Loads one file, after seeing that it is ours and whole.
// The component cache is what clippy.toml's ban excepts.
#[allow(clippy::disallowed_methods)]
fn deserialize(engine: &Engine, path: &Path, file: &File) -> Result<Component, &'static str> {
    let metadata = file.metadata().map_err(|_| "it cannot be read")?;
    if let Some(why) = distrust(&metadata) {
        return Err(why);
    }
    if metadata.len() <= CHECKSUM_BYTES as u64 {
        return Err("it is too short");
    }
    // SAFETY: a mapping is sound while nobody changes the file. Only this user could, and this program never changes
    // a file in place: it replaces it by renaming another.
    let bytes = unsafe { memmap2::Mmap::map(file) }.map_err(|_| "it cannot be mapped")?;
    let (code, sum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
    if checksum(code) != sum {
        return Err("its checksum is wrong");
    }
    drop(bytes);
    // SAFETY: the file is what this program compiled. It stands in a folder that only this user can write (checked
    // when the folder was opened), is this user's and closed to others (checked above), is whole (its checksum is right),
    // and the engine's version and settings are in its name and are checked once more by the engine. The checksum
    // behind the code is outside of every section that its header names.
    unsafe { Component::deserialize_file(engine, same(file, path)) }.map_err(|_| "the engine does not take it")
}

/// A path to a file that is open: what it leads to is what was looked at, whatever its name leads to by now.
#[cfg(target_os = "linux")]
fn same(file: &File, _path: &Path) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(not(target_os = "linux"))]
fn same(_file: &File, path: &Path) -> PathBuf {
    path.to_owned()
}

fn checksum(code: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = SipHasher13::new();
    hasher.write(code);
    hasher.finish128().as_bytes()
}

fn older(time: SystemTime, age: Duration) -> bool {
    // A time in the future is not old.
    time.elapsed().is_ok_and(|elapsed| elapsed > age)
}

/// Notes that an entry is in use, at most once a day.
fn touch(file: &File) {
    let stale = file.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|used| older(used, USE_RESOLUTION));
    if stale {
        // Opened for reading, which is enough for the owner. If it fails the entry only looks older than it is.
        let _ = file.set_modified(SystemTime::now());
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// The smallest component: a header and nothing else.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn bench() -> (tempfile::TempDir, Engine, Cache) {
        let dir = tempfile::tempdir().expect("a folder");
        let engine =
            Engine::new(&super::super::engine::config(super::super::engine::Form::default())).expect("an engine");
        let cache = Cache::open(&dir.path().join("deep/compiled"), &engine).expect("a cache");
        (dir, engine, cache)
    }

    #[test]
    fn what_is_stored_is_loaded() {
        let (_dir, engine, cache) = bench();
        assert!(cache.load(&engine, "d").is_none());
        cache.store("d", &Component::new(&engine, EMPTY).expect("a component"));
        assert!(cache.load(&engine, "d").is_some());
        let mode = fs::metadata(cache.path("d")).expect("the file").mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::metadata(&cache.dir).expect("the folder").mode() & 0o777, 0o700);
    }

    #[test]
    fn a_changed_file_is_removed_and_not_run() {
        let (_dir, engine, cache) = bench();
        let component = Component::new(&engine, EMPTY).expect("a component");
        let faults: [fn(&mut Vec<u8>); 4] = [
            |bytes| bytes.truncate(bytes.len() / 2),
            |bytes| bytes.clear(),
            |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            },
            |bytes| *bytes.last_mut().expect("a last byte") ^= 1,
        ];
        for fault in faults {
            cache.store("d", &component);
            let mut bytes = fs::read(cache.path("d")).expect("the file");
            fault(&mut bytes);
            fs::write(cache.path("d"), bytes).expect("written");
            assert!(cache.load(&engine, "d").is_none());
            assert!(!cache.path("d").exists());
        }
    }

    #[test]
    fn a_file_that_others_may_write_is_not_run() {
        let (_dir, engine, cache) = bench();
        cache.store("d", &Component::new(&engine, EMPTY).expect("a component"));
        fs::set_permissions(cache.path("d"), fs::Permissions::from_mode(0o620)).expect("changed");
        assert!(cache.load(&engine, "d").is_none());
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused() {
        let (dir, engine, _cache) = bench();
        let open = dir.path().join("open");
        fs::create_dir(&open).expect("made");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o770)).expect("changed");
        assert!(matches!(Cache::open(&open, &engine), Err(CacheError::Unsafe { why: "others may write to it", .. })));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("deep/compiled"), &link).expect("made");
        assert!(matches!(Cache::open(&link, &engine), Err(CacheError::Unsafe { why: "it is not a folder", .. })));
    }

    #[test]
    fn notes_are_recalled_whole_or_not_at_all() {
        let (_dir, _engine, cache) = bench();
        assert_eq!(cache.recall("d", "n"), None);
        cache.remember("d", "n", "text");
        assert_eq!(cache.recall("d", "n").as_deref(), Some("text"));
        assert_eq!((cache.recall("e", "n"), cache.recall("d", "m")), (None, None));
        fs::write(cache.note_path("d", "n"), "tex").expect("written");
        assert_eq!(cache.recall("d", "n"), None);
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let (_dir, engine, cache) = bench();
        let old = SystemTime::now() - Duration::from_secs(48 * 60 * 60);
        for i in 0..=ENTRIES_MAX {
            let file = File::create(cache.path(&i.to_string())).expect("made");
            let age = if i == 7 { Duration::from_secs(60) } else { Duration::ZERO };
            file.set_modified(old - age).expect("aged");
        }
        let temporary = cache.dir.join("tmp-left");
        File::create(&temporary).expect("made").set_modified(old).expect("aged");
        cache.store("new", &Component::new(&engine, EMPTY).expect("a component"));
        assert!(!cache.path("7").exists());
        assert!(!temporary.exists());
        assert!(cache.load(&engine, "new").is_some());
        let entries = fs::read_dir(&cache.dir).expect("read").count();
        assert_eq!(entries, ENTRIES_MAX);
    }
}

//! The folder sink: newline JSON, `<folder>/<integration>/<model>/<store>-<first>-<last>.ndjson[.zst]`.
//!
//! Guarantees: a file that has this name is complete, synced and never changes; files sort in the order of their commits; a
//! batch is in one file. The numbers are those of the first and last batch in the file, and the first word tells this store
//! from another that writes to the same folder. A group that is handed over again after a crash begins with the same
//! batch: if a file for it is there, what that file holds is not written again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use std::collections::HashMap;

use super::{Group, Verdict};
use crate::config::Compression;
use crate::store::{Batch, BatchData, Codec, sync_folder};

pub(super) struct Folder {
    path: PathBuf,
    codec: Codec,
    store_id: String,
    files: AtomicU64,
    /// The file written last in each model's folder, as its first and last batch. A folder that is not here yet is
    /// looked through for a file from before a crash.
    last_written: Mutex<HashMap<PathBuf, (i64, i64)>>,
}

impl Folder {
    pub(super) fn new(path: PathBuf, compression: Compression, store_id: &str) -> Folder {
        let codec = match compression {
            Compression::None => Codec::Plain,
            Compression::Zstd => Codec::Zstd,
        };
        Folder { path, codec, store_id: store_id.to_owned(), files: AtomicU64::new(0), last_written: Mutex::default() }
    }

    /// Files written so far.
    pub(super) fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    pub(super) fn take(&self, group: &Group) -> Verdict {
        let [first, ..] = &group[..] else { return Verdict::Accepted };
        let folder = self.path.join(file_name(&first.integration)).join(file_name(&first.model));
        match self.write(&folder, group) {
            Ok(()) => Verdict::Accepted,
            Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {
                Verdict::Rejected(format!("{}: {error}", folder.display()))
            }
            Err(error) => Verdict::Retry(format!("{}: {error}", folder.display())),
        }
    }

    fn write(&self, folder: &Path, group: &[Batch]) -> io::Result<()> {
        let known = self.last_written.lock().unwrap_or_else(PoisonError::into_inner).get(folder).copied();
        let written = match known {
            Some((first, last)) => (first == group[0].id).then_some(last),
            None => {
                create_synced(folder)?;
                self.written_before(folder, group[0].id)?
            }
        };
        let group = &group[written.map_or(0, |last| group.partition_point(|b| b.id <= last))..];
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(()) };
        let suffix = match self.codec {
            Codec::Plain => "ndjson",
            Codec::Zstd => "ndjson.zst",
        };
        let target = folder.join(format!("{}-{:012}-{:012}.{suffix}", self.store_id, first.id, last.id));
        match group {
            [Batch { data: BatchData::File(segment), codec, .. }] if *codec == self.codec => {
                self.link_or_copy(segment, &target, group)?
            }
            _ => self.copy(&target, group)?,
        }
        sync_folder(folder)?;
        self.last_written.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned(), (first.id, last.id));
        self.files.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The last batch of a file that begins with batch `first`, if there is one.
    fn written_before(&self, folder: &Path, first: i64) -> io::Result<Option<i64>> {
        let prefix = format!("{}-{first:012}-", self.store_id);
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let Some(rest) = name.to_str().and_then(|n| n.strip_prefix(&prefix)) else { continue };
            if let Some(last) = rest.split('.').next().and_then(|n| n.parse().ok()) {
                return Ok(Some(last));
            }
        }
        Ok(None)
    }

    /// A segment is synced and never changes: the sink takes it under a second name, without copying.
    fn link_or_copy(&self, segment: &Path, target: &Path, group: &[Batch]) -> io::Result<()> {
        match fs::hard_link(segment, target) {
            Ok(()) => Ok(()),
            // Taken before, under the same identity.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !segment.exists() => Err(io::Error::other(
                format!("the segment {} is missing; `agent doctor` says what can be done", segment.display()),
            )),
            // Another file system, or one without links.
            Err(_) => self.copy(target, group),
        }
    }

    fn copy(&self, target: &Path, group: &[Batch]) -> io::Result<()> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = target.with_file_name(format!(".{name}.tmp"));
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(&temporary)?;
        let written = self.copy_into(file, group).and_then(|()| fs::rename(&temporary, target));
        if written.is_err() {
            drop(fs::remove_file(&temporary));
        }
        written
    }

    fn copy_into(&self, mut file: File, group: &[Batch]) -> io::Result<()> {
        for batch in group {
            match &batch.data {
                // zstd frames after one another are one valid file, as plain lines are.
                BatchData::Inline(bytes) if batch.codec == self.codec => file.write_all(bytes)?,
                _ => self.transcode(&mut file, batch)?,
            }
        }
        file.sync_all()
    }

    fn transcode(&self, file: &mut File, batch: &Batch) -> io::Result<()> {
        match self.codec {
            Codec::Plain => io::copy(&mut batch.read()?, file).map(drop),
            Codec::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(file, 1)?;
                io::copy(&mut batch.read()?, &mut encoder)?;
                encoder.finish().map(drop)
            }
        }
    }
}

/// Creates a folder with those above it, and makes their names durable.
fn create_synced(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut missing = Vec::new();
    let mut at = Some(folder);
    while let Some(path) = at.filter(|p| !p.as_os_str().is_empty() && !p.exists()) {
        missing.push(path);
        at = path.parent();
    }
    DirBuilder::new().recursive(true).create(folder)?;
    missing.iter().filter_map(|path| path.parent()).filter(|p| !p.as_os_str().is_empty()).try_for_each(sync_folder)
}

/// A name that is safe as a file's: what is not a letter, digit, `-`, `_` or `.` is percent-encoded, and a leading dot too.
fn file_name(name: &str) -> String {
    let mut safe = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && at > 0) {
            safe.push(char::from(byte));
        } else {
            safe.push_str(&format!("%{byte:02X}"));
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn names_cannot_leave_the_folder() {
        for (name, safe) in [
            ("sourcecode.Commit", "sourcecode.Commit"),
            ("..", "%2E."),
            ("../../etc", "%2E.%2F..%2Fetc"),
            ("a/b", "a%2Fb"),
            ("a b\0", "a%20b%00"),
            ("é", "%C3%A9"),
        ] {
            assert_eq!(file_name(name), safe);
        }
    }
}

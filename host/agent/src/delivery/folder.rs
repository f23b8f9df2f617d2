//! The folder sink: newline JSON, `<folder>/<integration>/<model>/<store>-<first>-<last>.ndjson[.zst]`.
//!
//! Guarantees: a file that has this name is complete, synced and never changes; files sort in the order of their commits; a
//! batch is in one file. The numbers are those of the first and last batch in the file, and the first word tells this store
//! from another that writes to the same folder. A group that is handed over again after a crash begins with the same
//! batch, and may have grown: what files hold of it, from that batch on, is not written again.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Group, Verdict};
use crate::config::Compression;
use crate::store::{Batch, BatchData, Codec, create_folder, sync_folder};

pub(super) struct Folder {
    path: PathBuf,
    codec: Codec,
    store_id: String,
    files: AtomicU64,
    /// The files in each model's folder whose batches may be handed over again: the last batch of each by its first. A
    /// folder that is not here yet is looked through for files from before a crash.
    written: Mutex<HashMap<PathBuf, BTreeMap<i64, i64>>>,
}

/// Folders at the sink are as open as the process's mask lets them be: others are to read what is delivered.
const FOLDER_MODE: u32 = 0o777;

const TEMPORARY_SUFFIX: &str = ".tmp";

impl Folder {
    pub(super) fn new(path: PathBuf, compression: Compression, store_id: &str) -> Folder {
        let codec = match compression {
            Compression::None => Codec::Plain,
            Compression::Zstd => Codec::Zstd,
        };
        Folder { path, codec, store_id: store_id.to_owned(), files: AtomicU64::new(0), written: Mutex::default() }
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
        let mut folders = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let written = match folders.entry(folder.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                create_folder(folder, FOLDER_MODE)?;
                let found = self.look_through(folder)?;
                // Whoever wrote these may have been killed before their names were durable.
                sync_folder(folder)?;
                new.insert(found)
            }
        };
        // What came before this group is acknowledged, and will not be handed over again.
        *written = written.split_off(&group[0].id);
        let group = rest(written, group);
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
        written.insert(first.id, last.id);
        self.files.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The first and last batches of this store's files in a folder. Deletes what a crash has left unfinished there.
    fn look_through(&self, folder: &Path) -> io::Result<BTreeMap<i64, i64>> {
        let (complete, unfinished) = (format!("{}-", self.store_id), format!(".{}-", self.store_id));
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(&unfinished) && name.ends_with(TEMPORARY_SUFFIX) {
                fs::remove_file(entry.path())?;
            } else if let Some((first, last)) = name.strip_prefix(&complete).and_then(numbers) {
                found.insert(first, last);
            }
        }
        Ok(found)
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
        let temporary = target.with_file_name(format!(".{name}{TEMPORARY_SUFFIX}"));
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

/// What of a group is in no file yet. A group that grew between one handing over and the next may be in several.
fn rest<'a>(written: &BTreeMap<i64, i64>, mut group: &'a [Batch]) -> &'a [Batch] {
    while let Some(last) = group.first().and_then(|first| written.get(&first.id)) {
        group = &group[group.partition_point(|batch| batch.id <= *last)..];
    }
    group
}

/// The numbers in what follows the store's in a file's name.
fn numbers(name: &str) -> Option<(i64, i64)> {
    let (first, last) = name.split('.').next()?.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

/// A name as the folder of it is called: what is not a letter, digit, `-`, `_` or `.` is percent-encoded, and a leading dot too.
pub fn file_name(name: &str) -> String {
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
    use super::*;
    use crate::store::{Commit, NewBatch, NewData, Store};

    /// A store whose outbox has so many batches of one line each.
    async fn outbox(root: &Path, batches: usize) -> (Store, Vec<Batch>) {
        let store = Store::open(root, Codec::Plain, 1 << 30).unwrap();
        let batch = |number: usize| NewBatch {
            model: "t.Issue".into(),
            key: "[]".into(),
            records: 1,
            bytes: 2,
            codec: Codec::Plain,
            data: NewData::Inline(format!("{number}\n").into_bytes()),
        };
        let commit = Commit {
            scope: store.scope("sink", "t").unwrap(),
            integration: "t".into(),
            path: "t.Issue".into(),
            component: "d".into(),
            cursor: None,
            batches: (0..batches).map(batch).collect(),
            marks: None,
            jobs: Vec::new(),
            job_done: None,
            state: Vec::new(),
        };
        store.commit(commit).await.unwrap();
        let batches = store.outbox_next("sink", 0, batches).unwrap();
        (store, batches)
    }

    #[tokio::test]
    async fn a_group_that_grows_and_is_never_acknowledged_is_written_once() {
        for killed_in_between in [true, false] {
            let place = tempfile::tempdir().unwrap();
            let (store, batches) = outbox(&place.path().join("root"), 4).await;
            let out = place.path().join("out");
            let begin = || Folder::new(out.clone(), Compression::None, store.store_id());
            let mut folder = begin();
            let files = out.join("t/t.Issue");
            for handed_over in [1, 1, 2, 2, 4, 4] {
                if killed_in_between {
                    folder = begin();
                    // What a crash in the middle of a file leaves.
                    fs::create_dir_all(&files).unwrap();
                    fs::write(files.join(format!(".{}-000000000009-000000000009.ndjson.tmp", store.store_id())), "x")
                        .unwrap();
                }
                assert!(matches!(folder.take(&batches[..handed_over].to_vec()), Verdict::Accepted));
            }
            let mut names: Vec<_> = fs::read_dir(&files).unwrap().map(|entry| entry.unwrap().path()).collect();
            names.sort();
            let contents: Vec<String> = names.iter().map(|name| fs::read_to_string(name).unwrap()).collect();
            assert_eq!(contents, ["0\n", "1\n", "2\n3\n"], "killed in between: {killed_in_between}; {names:?}");
        }
    }

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

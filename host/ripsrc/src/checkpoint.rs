//! What one run leaves to the next: which commits were given out, and the owners of all files at the tips. With it, a
//! run costs what is new.
//!
//! # Format
//!
//! One file, `ripsrc.checkpoint`: the line `ripsrc checkpoint 2`, then numbers in base 128 (lowest first) and bytes with
//! their length before them, then the SHA-256 of all that. The order: length of names; the settings that records depend
//! on, in words; commits given out; paths; lists of runs (0 for unknown owners, else their number plus one, then count and commit of
//! each); tips, each with its files as pairs of path and list. All but the first tip tell only what differs from the
//! first. It is written beside the old one, synced and renamed, under a lock (`ripsrc.checkpoint.lock`), so that of two
//! runs on one folder the later one's stays, whole. Both will have given out what was new, and what only the earlier one
//! knew comes again with the next run: records may come twice, but none is left out.
//!
//! # When it is not used
//!
//! A file with another first line or sum, or one that ends early or late, or that was made with other settings or for
//! another repository, is told and not used. It is taken for another repository's if the repository has none of its
//! tips and the run meets none of its commits; one of a fork that shares commits cannot be told from one's own.

use crate::blame::State;
use crate::fence::Fence;
use crate::objects::Oid;
use crate::record::Run;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{Read as _, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8] = b"ripsrc checkpoint 2\n";
const NAME: &str = "ripsrc.checkpoint";
/// Bytes of a checkpoint that is read: a hundred times what one of a history such as redis' has.
const BYTES_MAX: u64 = 1 << 30;
const SUM_LEN: usize = 32;

/// Why a checkpoint is not used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("checkpoint {path} cannot be read or written: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("checkpoint {path} is of another version or no checkpoint")]
    Version { path: PathBuf },
    #[error("checkpoint {path} is damaged: {what}")]
    Damaged { path: PathBuf, what: &'static str },
}

/// Paths and their lists of runs, by their numbers.
pub(crate) type Files = Vec<(u32, Option<u32>)>;

/// A checkpoint as it was read.
#[derive(Default)]
pub(crate) struct Checkpoint {
    pub hash_len: usize,
    pub settings: String,
    pub commits: Vec<Oid>,
    pub paths: Vec<Vec<u8>>,
    pub owners: Vec<Option<Arc<[Run]>>>,
    /// Each tip's files: path and list of runs by their numbers above, None for a file that it lacks. The first tip has
    /// all of its files, the others what differs from the first.
    pub tips: Vec<(Oid, Files)>,
}

/// Bytes that are being read; an end before its time is damage.
struct Bytes<'a>(&'a [u8]);

type Read<T> = Result<T, &'static str>;

impl<'a> Bytes<'a> {
    fn number(&mut self) -> Read<u64> {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let (byte, rest) = self.0.split_first().ok_or("it ends too early")?;
            self.0 = rest;
            if shift > 56 {
                return Err("a number is too large");
            }
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
    }

    fn small(&mut self) -> Read<u32> {
        u32::try_from(self.number()?).map_err(|_| "a number is too large")
    }

    /// A number of things that follow, each of at least a byte.
    fn count(&mut self) -> Read<usize> {
        let count = usize::try_from(self.number()?).map_err(|_| "a number is too large")?;
        if count > self.0.len() { Err("it ends too early") } else { Ok(count) }
    }

    fn bytes(&mut self, len: usize) -> Read<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or("it ends too early")?;
        self.0 = rest;
        Ok(bytes)
    }
}

impl Checkpoint {
    /// Reads the checkpoint of a folder. None if there is none.
    pub fn load(folder: &Path) -> Result<Option<Self>, CheckpointError> {
        let path = folder.join(NAME);
        let bytes = match Fence::default().read(&path, BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CheckpointError::Io { path, source }),
        };
        let Some(body) = bytes.strip_prefix(MAGIC) else { return Err(CheckpointError::Version { path }) };
        let Some((body, sum)) = body.len().checked_sub(SUM_LEN).map(|at| body.split_at(at)) else {
            return Err(CheckpointError::Damaged { path, what: "it ends too early" });
        };
        if Sha256::digest(&bytes[..bytes.len() - SUM_LEN]).as_slice() != sum {
            return Err(CheckpointError::Damaged { path, what: "its sum is wrong" });
        }
        Self::parse(&mut Bytes(body)).map(Some).map_err(|what| CheckpointError::Damaged { path, what })
    }

    fn parse(bytes: &mut Bytes<'_>) -> Read<Self> {
        let hash_len = bytes.small()? as usize;
        if hash_len != 20 && hash_len != 32 {
            return Err("its names are of an unknown length");
        }
        let len = bytes.count()?;
        let settings = std::str::from_utf8(bytes.bytes(len)?).map_err(|_| "its settings are no text")?.to_owned();
        let mut checkpoint = Self { hash_len, settings, ..Self::default() };
        for _ in 0..bytes.count()? {
            checkpoint.commits.push(Oid::from_bytes(bytes.bytes(hash_len)?));
        }
        for _ in 0..bytes.count()? {
            let len = bytes.count()?;
            checkpoint.paths.push(bytes.bytes(len)?.to_vec());
        }
        for _ in 0..bytes.count()? {
            let Some(count) = bytes.count()?.checked_sub(1) else {
                checkpoint.owners.push(None);
                continue;
            };
            let mut runs = Vec::with_capacity(count);
            let mut lines = 0u32;
            for _ in 0..count {
                let run = Run { count: bytes.small()?, owner: bytes.small()? };
                if run.owner as usize >= checkpoint.commits.len() {
                    return Err("a line belongs to nobody");
                }
                lines = lines.checked_add(run.count).ok_or("a file has too many lines")?;
                runs.push(run);
            }
            checkpoint.owners.push(Some(runs.into()));
        }
        for _ in 0..bytes.count()? {
            let oid = Oid::from_bytes(bytes.bytes(hash_len)?);
            let mut files = vec![];
            for _ in 0..bytes.count()? {
                let path = bytes.small()?;
                let known = bytes.small()?;
                if path as usize >= checkpoint.paths.len() || known as usize > checkpoint.owners.len() {
                    return Err("a file points nowhere");
                }
                files.push((path, known.checked_sub(1)));
            }
            checkpoint.tips.push((oid, files));
        }
        if bytes.0.is_empty() { Ok(checkpoint) } else { Err("it is longer than it says") }
    }
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a list of runs. Every owner is among the commits: a run owns lines only of what it was given out or knew
/// before.
fn write_list(out: &mut Vec<u8>, runs: Option<&[Run]>, owner: &[Option<u32>]) {
    let runs: Option<Vec<(u32, u32)>> =
        runs.and_then(|runs| runs.iter().map(|run| Some((run.count, owner[run.owner as usize]?))).collect());
    number(out, runs.as_ref().map_or(0, |runs| runs.len() as u64 + 1));
    for (count, owner) in runs.unwrap_or_default() {
        number(out, u64::from(count));
        number(out, u64::from(owner));
    }
}

/// A run's end, ready to be saved once its records are safe.
#[derive(Clone)]
pub struct NextCheckpoint {
    folder: PathBuf,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for NextCheckpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NextCheckpoint({} bytes)", self.bytes.len())
    }
}

/// What a checkpoint is made of.
pub(crate) struct Parts<'a> {
    pub hash_len: usize,
    /// What records depend on besides the repository, in words.
    pub settings: &'a str,
    pub commits: &'a [Oid],
    /// Commits by the numbers that runs name them by.
    pub owners: &'a [Oid],
    pub tips: Vec<(Oid, &'a State)>,
    pub path: &'a dyn Fn(u32) -> Vec<u8>,
}

/// The sum that a folder's checkpoint says it has, in hexadecimal, for telling one from another; None if there is no
/// checkpoint, or something that is none. Whether the sum is right is found out when the checkpoint is used.
pub fn checkpoint_sum(folder: &Path) -> Option<String> {
    let mut file = std::fs::File::open(folder.join(NAME)).ok()?;
    let mut sum = [0; SUM_LEN];
    file.seek(SeekFrom::End(-(SUM_LEN as i64))).ok()?;
    file.read_exact(&mut sum).ok()?;
    Some(hex(&sum))
}

/// Removes a folder's checkpoint, if there is one.
pub fn checkpoint_discard(folder: &Path) -> Result<(), CheckpointError> {
    let path = folder.join(NAME);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(CheckpointError::Io { path, source }),
        _ => Ok(()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl NextCheckpoint {
    /// What [`checkpoint_sum`] says once this is saved.
    pub fn sum(&self) -> String {
        hex(&self.bytes[self.bytes.len() - SUM_LEN..])
    }

    /// Bytes on disk.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn new(folder: &Path, parts: &Parts<'_>) -> Self {
        let mut out = MAGIC.to_vec();
        number(&mut out, parts.hash_len as u64);
        number(&mut out, parts.settings.len() as u64);
        out.extend_from_slice(parts.settings.as_bytes());
        number(&mut out, parts.commits.len() as u64);
        parts.commits.iter().for_each(|oid| out.extend_from_slice(oid.as_bytes()));
        let by_oid: HashMap<Oid, u32> = parts.commits.iter().enumerate().map(|(at, oid)| (*oid, at as u32)).collect();
        let owner: Vec<Option<u32>> = parts.owners.iter().map(|oid| by_oid.get(oid).copied()).collect();
        let (mut paths, mut path_bytes) = (HashMap::new(), vec![]);
        let (mut lists, mut list_bytes): (HashMap<usize, u32>, _) = (HashMap::new(), vec![]);
        let mut tip_bytes = vec![];
        let tips = &parts.tips;
        for (at, (oid, state)) in tips.iter().enumerate() {
            let files: Vec<_> = match at {
                0 => state.iter().into_iter().map(|(path, owners)| (path, Some(owners))).collect(),
                _ => state.differences(tips[0].1),
            };
            tip_bytes.extend_from_slice(oid.as_bytes());
            number(&mut tip_bytes, files.len() as u64);
            for (path, owners) in files {
                let next = paths.len() as u32;
                let path = *paths.entry(path).or_insert_with(|| {
                    let bytes = (parts.path)(path);
                    number(&mut path_bytes, bytes.len() as u64);
                    path_bytes.extend_from_slice(&bytes);
                    next
                });
                // Lists that are shared in memory are written once; zero stands for the one of unknown owners.
                let list = owners.map(|owners| {
                    let key = owners.as_ref().map_or(0, |runs| Arc::as_ptr(runs).cast::<u8>() as usize);
                    let next = lists.len() as u32;
                    *lists.entry(key).or_insert_with(|| {
                        write_list(&mut list_bytes, owners.as_deref(), &owner);
                        next
                    })
                });
                number(&mut tip_bytes, u64::from(path));
                number(&mut tip_bytes, list.map_or(0, |list| u64::from(list) + 1));
            }
        }
        number(&mut out, paths.len() as u64);
        out.extend_from_slice(&path_bytes);
        number(&mut out, lists.len() as u64);
        out.extend_from_slice(&list_bytes);
        number(&mut out, tips.len() as u64);
        out.extend_from_slice(&tip_bytes);
        let sum = Sha256::digest(&out);
        out.extend_from_slice(&sum);
        Self { folder: folder.to_owned(), bytes: out }
    }

    /// Saves it in the place of the one before. Whatever interrupts this leaves one of the two.
    pub fn save(&self) -> Result<(), CheckpointError> {
        let path = self.folder.join(NAME);
        let beside = self.folder.join(format!("{NAME}.new"));
        let write = || {
            std::fs::create_dir_all(&self.folder)?;
            // Held until the file is closed: what lies beside belongs to whoever has the lock.
            let lock = std::fs::File::create(self.folder.join(format!("{NAME}.lock")))?;
            lock.lock()?;
            let mut file = std::fs::File::create(&beside)?;
            file.write_all(&self.bytes)?;
            file.sync_all()?;
            std::fs::rename(&beside, &path)?;
            // The folder holds the name; where folders cannot be synced, the rename must do.
            std::fs::File::open(&self.folder).and_then(|folder| folder.sync_all()).or(Ok(()))
        };
        write().map_err(|source| CheckpointError::Io { path: path.clone(), source })
    }
}

//! What one run leaves to the next: which commits were given out, and the owners of all files at the tips. With it, a
//! run costs what is new.
//!
//! # Format
//!
//! One file, `ripsrc.checkpoint`: the line `ripsrc checkpoint 1`, then numbers in base 128 (lowest first) and bytes with
//! their length before them, then the SHA-256 of all that. The order: length of names; whether owners are there;
//! commits given out; paths; lists of runs (0 for unknown owners, else their number plus one, then count and commit of
//! each); tips, each with its files as pairs of path and list. All but the first tip tell only what differs from the
//! first. It is written beside the old one, synced and renamed. A file with another first line or sum is not used.

use crate::blame::State;
use crate::objects::Oid;
use crate::record::Run;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{Read as _, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8] = b"ripsrc checkpoint 1\n";
const NAME: &str = "ripsrc.checkpoint";
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

/// A checkpoint as it was read.
#[derive(Default)]
pub(crate) struct Checkpoint {
    pub hash_len: usize,
    pub blame: bool,
    pub commits: Vec<Oid>,
    pub paths: Vec<Vec<u8>>,
    pub owners: Vec<Option<Arc<[Run]>>>,
    /// Each tip's files: path and list of runs by their numbers above.
    pub tips: Vec<(Oid, Vec<(u32, u32)>)>,
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
        let bytes = match std::fs::read(&path) {
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
        let mut checkpoint = Self { hash_len, blame: bytes.number()? != 0, ..Self::default() };
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
            for _ in 0..count {
                let run = Run { count: bytes.small()?, owner: bytes.small()? };
                if run.owner as usize >= checkpoint.commits.len() {
                    return Err("a line belongs to nobody");
                }
                runs.push(run);
            }
            checkpoint.owners.push(Some(runs.into()));
        }
        for at in 0..bytes.count()? {
            let oid = Oid::from_bytes(bytes.bytes(hash_len)?);
            let mut files: HashMap<u32, u32> =
                if at == 0 { HashMap::new() } else { checkpoint.tips[0].1.iter().copied().collect() };
            for _ in 0..bytes.count()? {
                let path = bytes.small()?;
                let known = bytes.small()?;
                if path as usize >= checkpoint.paths.len() || known as usize > checkpoint.owners.len() {
                    return Err("a file points nowhere");
                }
                match known.checked_sub(1) {
                    Some(owners) => drop(files.insert(path, owners)),
                    None => drop(files.remove(&path)),
                }
            }
            checkpoint.tips.push((oid, files.into_iter().collect()));
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
    pub blame: bool,
    pub commits: &'a [Oid],
    /// Commits by the numbers that runs name them by.
    pub owners: &'a [Oid],
    pub tips: Vec<(Oid, Option<&'a State>)>,
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
        number(&mut out, u64::from(parts.blame));
        number(&mut out, parts.commits.len() as u64);
        parts.commits.iter().for_each(|oid| out.extend_from_slice(oid.as_bytes()));
        let by_oid: HashMap<Oid, u32> = parts.commits.iter().enumerate().map(|(at, oid)| (*oid, at as u32)).collect();
        let owner: Vec<Option<u32>> = parts.owners.iter().map(|oid| by_oid.get(oid).copied()).collect();
        let (mut paths, mut path_bytes) = (HashMap::new(), vec![]);
        let (mut lists, mut list_bytes): (HashMap<usize, u32>, _) = (HashMap::new(), vec![]);
        let mut tip_bytes = vec![];
        let mut first: HashMap<u32, u32> = HashMap::new();
        let mut tips = 0;
        for (oid, state) in parts.tips.iter().filter_map(|(oid, state)| Some((oid, (*state)?))) {
            let mut files: HashMap<u32, u32> = HashMap::new();
            for (path, owners) in state.iter() {
                let next = paths.len() as u32;
                let path = *paths.entry(path).or_insert_with(|| {
                    let bytes = (parts.path)(path);
                    number(&mut path_bytes, bytes.len() as u64);
                    path_bytes.extend_from_slice(&bytes);
                    next
                });
                // Lists that are shared in memory are written once; zero stands for the one of unknown owners.
                let key = owners.as_ref().map_or(0, |runs| Arc::as_ptr(runs).cast::<u8>() as usize);
                let next = lists.len() as u32;
                let list = *lists.entry(key).or_insert_with(|| {
                    // Every owner is among the commits: a run owns lines only of what it was given out or knew before.
                    let runs = owners.as_ref().and_then(|runs| {
                        runs.iter().map(|run| Some((run.count, owner[run.owner as usize]?))).collect::<Option<Vec<_>>>()
                    });
                    number(&mut list_bytes, runs.as_ref().map_or(0, |runs| runs.len() as u64 + 1));
                    for (count, owner) in runs.unwrap_or_default() {
                        number(&mut list_bytes, u64::from(count));
                        number(&mut list_bytes, u64::from(owner));
                    }
                    next
                });
                files.insert(path, list);
            }
            let mut told: Vec<(u32, u32)> =
                files.iter().filter(|(path, list)| first.get(path) != Some(list)).map(|(p, l)| (*p, l + 1)).collect();
            told.extend(first.keys().filter(|path| !files.contains_key(path)).map(|path| (*path, 0)));
            told.sort_unstable();
            tip_bytes.extend_from_slice(oid.as_bytes());
            number(&mut tip_bytes, told.len() as u64);
            for (path, list) in told {
                number(&mut tip_bytes, u64::from(path));
                number(&mut tip_bytes, u64::from(list));
            }
            if tips == 0 {
                first = files;
            }
            tips += 1;
        }
        number(&mut out, paths.len() as u64);
        out.extend_from_slice(&path_bytes);
        number(&mut out, lists.len() as u64);
        out.extend_from_slice(&list_bytes);
        number(&mut out, tips);
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

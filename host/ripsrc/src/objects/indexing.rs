//! Makes the index of a pack that has come over a network: `.idx`, version 2, byte by byte the one that git makes. The pack's
//! entries are found one behind the other, then all objects are built and named by several threads (`forest`).
//!
//! What is odd is refused rather than understood: a pack that names a base instead of telling where it lies, objects that are
//! larger than the memory granted allows, two of one name. Whoever has such a pack asks a slower indexer, after `pack_weight`
//! has said what that would have to hold: a pack of some kilobytes can stand for gigabytes.
//!
//! Format: `Documentation/gitformat-pack.txt` of git.

use super::delta;
use super::forest::{Forest, Object, Worker};
use super::pack::{Base, Entry, Pack};
use super::{Inflater, Kind, ObjId, ObjectError, Odb};
use crate::fence::Fence;
use crate::memory::Memory;
use crate::watch::Watch;
use sha1_checked::{CollisionResult, Digest, Sha1};
use sirocco::Format;
use sirocco::inflate::Scanner;
use std::path::{Path, PathBuf};

/// Of SHA-1, the only kind of repository that is fetched.
const NAME_LEN: usize = 20;
/// The smallest entry: a header of one byte and an empty stream of eight.
const ENTRY_LEN_MIN: u64 = 9;
/// What an object costs in memory while a pack is indexed, in bytes, all tables together.
const OBJECT_COST: u64 = 180;
/// Of the memory granted, the share that what is known of objects may take; the rest is for objects themselves.
const OBJECTS_SHARE: (u64, u64) = (3, 4);
/// What an object costs an indexer that keeps it in lists and tables of pointers, in bytes.
const SLOW_OBJECT_COST: u64 = 320;
/// Bytes of a delta that hold the two sizes with which it begins, and some more.
const DELTA_BEGIN_LEN: usize = 512;
/// Larger offsets stand in a table of their own.
const OFFSET_MAX: u64 = 1 << 31;
/// Bytes that are hashed of the pack at a time, before pages are let go.
const HASHED_AT_ONCE: usize = 8 << 20;
/// Objects after which it is asked whether to end.
const ASKED_EVERY: usize = 4096;

/// Why there is no index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error("it was stopped")]
    Stopped,
    #[error("the pack is damaged: {0}")]
    Damaged(String),
    #[error("it takes another indexer: {0}")]
    Odd(&'static str),
    #[error("{path}: {what}")]
    Io { path: PathBuf, what: String },
}

impl From<ObjectError> for IndexError {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::TooLarge { .. } => Self::Odd("an object is too large for the memory granted"),
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// Writes the index of the pack at `pack` to `index`. Gives the pack's checksum, by which git names the two files.
///
/// # Errors
/// See [`IndexError`]. What was written until then is of no use, and to be removed by the caller.
pub fn index_pack(
    pack: &Path,
    index: &Path,
    threads: usize,
    memory_max: u64,
    watch: &Watch,
) -> Result<String, IndexError> {
    let data = Pack::unindexed(pack, NAME_LEN, &Fence::default())?;
    let tables = count_of(&data)? * OBJECT_COST;
    if tables > memory_max / OBJECTS_SHARE.1 * OBJECTS_SHARE.0 {
        return Err(IndexError::Odd("it has too many objects for the memory granted"));
    }
    let memory_max = memory_max - tables;
    let checksum = verified(&data, watch)?;
    let entries = listed(&data, watch)?;
    let offsets: Vec<u64> = entries.iter().map(|(offset, _)| *offset).collect();
    let provisional = {
        let nameless = vec![([0; NAME_LEN], 0); entries.len()];
        layout(&nameless, &offsets, &checksum)?
    };
    let odb = Odb::of_pack(data.with_index(provisional)?);
    let names = names(&odb, entries.len(), threads, memory_max, watch)?;
    drop(odb);
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_unstable_by_key(|at| names[*at]);
    if order.windows(2).any(|pair| names[pair[0]] == names[pair[1]]) {
        return Err(IndexError::Odd("two objects have one name"));
    }
    let listed: Vec<([u8; NAME_LEN], u32)> = order.iter().map(|at| (names[*at], entries[*at].1)).collect();
    let offsets: Vec<u64> = order.iter().map(|at| offsets[*at]).collect();
    let mut bytes = layout(&listed, &offsets, &checksum)?;
    let sum = hash(&[&bytes])?;
    bytes.extend(sum);
    std::fs::write(index, bytes).map_err(|fault| IndexError::Io { path: index.into(), what: fault.to_string() })?;
    Ok(checksum.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The pack's checksum, which is that of its bytes.
fn verified(pack: &Pack, watch: &Watch) -> Result<[u8; NAME_LEN], IndexError> {
    let (bytes, told) = pack.bytes_and_checksum();
    let mut hasher = Sha1::new();
    for piece in bytes.chunks(HASHED_AT_ONCE) {
        if watch.stopped() {
            return Err(IndexError::Stopped);
        }
        hasher.update(piece);
        pack.release();
    }
    let sum = finish(hasher)?;
    if sum != told { Err(IndexError::Damaged("its checksum is wrong".to_owned())) } else { Ok(sum) }
}

/// Bytes of memory that indexing a pack takes where a base, a delta and what they make are held at a time, and whole objects
/// that nothing is built on are not held at all. For who has another indexer at hand, such as libgit2's. Where it is more than
/// `memory_max`, it may be more than is said.
///
/// # Errors
/// See [`IndexError`]; a pack is never odd here.
pub fn pack_weight(pack: &Path, memory_max: u64, watch: &Watch) -> Result<u64, IndexError> {
    let data = Pack::unindexed(pack, NAME_LEN, &Fence::default())?;
    let tables = count_of(&data)? * SLOW_OBJECT_COST;
    if tables > memory_max {
        return Ok(tables);
    }
    let mut inflater = Inflater::new();
    let (mut whole, mut delta_max, mut made, mut named) = (vec![], 0, 0, false);
    let mut bases = vec![];
    walk(&data, watch, |at, _, entry| {
        match entry.base {
            Base::Whole(_) => {
                whole.push((at, entry.size));
                return Ok(());
            }
            Base::Offset(base) => bases.push(base),
            Base::Name(_) => named = true,
        }
        delta_max = entry.size.max(delta_max);
        let begin = inflater.begin(data.from(entry.data_at), DELTA_BEGIN_LEN);
        made = begin.and_then(|begin| delta::result_size(&begin)).map_err(damaged)?.max(made);
        Ok(())
    })?;
    bases.sort_unstable();
    // What is named may be any.
    let is_base = |at: &u64| named || bases.binary_search(at).is_ok();
    let base_max = whole.iter().filter(|(at, _)| is_base(at)).map(|(_, size)| *size).max().unwrap_or_default();
    let held = base_max.max(made).saturating_add(delta_max).saturating_add(made);
    Ok(held.saturating_add(tables))
}

/// The number of objects that it tells, if it can have so many.
fn count_of(pack: &Pack) -> Result<u64, IndexError> {
    let count = u64::from(pack.told_count());
    match count.saturating_mul(ENTRY_LEN_MIN) > pack.size() {
        true => Err(damaged("it is too short for its number of objects")),
        false => Ok(count),
    }
}

fn damaged(what: &str) -> IndexError {
    IndexError::Damaged(what.to_owned())
}

/// Where each entry begins, and the CRC-32 of its bytes.
fn listed(pack: &Pack, watch: &Watch) -> Result<Vec<(u64, u32)>, IndexError> {
    let (bytes, _) = pack.bytes_and_checksum();
    // It was held against the memory granted.
    let mut entries = Vec::with_capacity(pack.told_count() as usize);
    walk(pack, watch, |at, end, entry| {
        if matches!(entry.base, Base::Name(_)) {
            return Err(IndexError::Odd("an object names its base"));
        }
        entries.push((at, crc32fast::hash(&bytes[at as usize..end as usize])));
        Ok(())
    })?;
    Ok(entries)
}

/// Gives out each entry with where it begins and ends, in their order.
fn walk(
    pack: &Pack,
    watch: &Watch,
    mut take: impl FnMut(u64, u64, &Entry) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let (bytes, _) = pack.bytes_and_checksum();
    let mut scanner = Scanner::new(Format::Zlib);
    let (mut at, mut released) = (Pack::FIRST_ENTRY, 0);
    for number in 0..pack.told_count() as usize {
        if number % ASKED_EVERY == 0 && watch.stopped() {
            return Err(IndexError::Stopped);
        }
        let entry = pack.entry(at)?;
        scanner.reset();
        let length = scanner
            .scan(pack.from(entry.data_at), true)
            .map_err(|fault| IndexError::Damaged(format!("the object at {at} cannot be inflated: {fault}")))?
            .ok_or_else(|| damaged("it ends within an object"))?;
        if scanner.total_out() != entry.size {
            return Err(damaged("an object's size is not what its header says"));
        }
        let end = entry.data_at + length as u64;
        take(at, end, &entry)?;
        at = end;
        if at - released > HASHED_AT_ONCE as u64 {
            pack.release();
            released = at;
        }
    }
    if at != bytes.len() as u64 {
        return Err(damaged("there is something behind its last object"));
    }
    Ok(())
}

/// The names of all objects, in the order of their entries.
fn names(
    odb: &Odb,
    count: usize,
    threads: usize,
    memory_max: u64,
    watch: &Watch,
) -> Result<Vec<[u8; NAME_LEN]>, IndexError> {
    let mut forest = Forest::watched(watch, Memory::new(memory_max));
    let wanted: Vec<ObjId> = (0..count as ObjId).collect();
    let mut workers: Vec<Namer> = (0..threads.max(1)).map(|_| Namer::default()).collect();
    forest.walk(odb, &wanted, &[], &mut workers);
    if watch.stopped() {
        return Err(IndexError::Stopped);
    }
    let mut names = vec![None; count];
    for worker in workers {
        if let Some(fault) = worker.fault {
            return Err(fault);
        }
        for (id, name) in worker.made {
            names[id as usize] = Some(name);
        }
    }
    let whole: Option<Vec<[u8; NAME_LEN]>> = names.into_iter().collect();
    whole.ok_or_else(|| IndexError::Damaged("an object cannot be built".to_owned()))
}

/// Hashes objects.
#[derive(Default)]
struct Namer {
    made: Vec<(ObjId, [u8; NAME_LEN])>,
    fault: Option<IndexError>,
}

impl Worker for Namer {
    type Made = ();
    fn cost((): &()) -> usize {
        0
    }
    fn object(&mut self, object: Object<'_, ()>) {
        let kind = match object.kind {
            Kind::Commit => "commit",
            Kind::Tree => "tree",
            Kind::Blob => "blob",
            Kind::Tag => "tag",
        };
        match hash(&[format!("{kind} {}\0", object.bytes.len()).as_bytes(), object.bytes]) {
            Ok(name) => self.made.push((object.id, name)),
            Err(fault) => drop(self.fault.get_or_insert(fault)),
        }
    }
    fn fault(&mut self, _: ObjId, error: ObjectError) {
        self.fault.get_or_insert(error.into());
    }
}

fn hash(pieces: &[&[u8]]) -> Result<[u8; NAME_LEN], IndexError> {
    let mut hasher = Sha1::new();
    pieces.iter().for_each(|piece| hasher.update(piece));
    finish(hasher)
}

/// As git does, what was made to collide with something else is no object.
fn finish(hasher: Sha1) -> Result<[u8; NAME_LEN], IndexError> {
    match hasher.try_finalize() {
        CollisionResult::Ok(name) => Ok(name.into()),
        CollisionResult::Mitigated(_) | CollisionResult::Collision(_) => {
            Err(IndexError::Damaged("somebody made an object of it collide with another (SHA-1)".to_owned()))
        }
    }
}

/// An index without its own checksum. `listed` are names, in order, and CRCs.
fn layout(listed: &[([u8; NAME_LEN], u32)], offsets: &[u64], checksum: &[u8; NAME_LEN]) -> Result<Vec<u8>, IndexError> {
    let mut bytes = Vec::with_capacity(1100 + listed.len() * (NAME_LEN + 8));
    bytes.extend([0xff, b't', b'O', b'c', 0, 0, 0, 2]);
    for first in 0..=255 {
        let before = listed.partition_point(|(name, _)| name[0] <= first) as u32;
        bytes.extend(before.to_be_bytes());
    }
    listed.iter().for_each(|(name, _)| bytes.extend(name));
    listed.iter().for_each(|(_, crc)| bytes.extend(crc.to_be_bytes()));
    let mut large = vec![];
    for &offset in offsets {
        let short = match u32::try_from(offset) {
            Ok(short) if offset < OFFSET_MAX => short,
            _ => {
                large.push(offset);
                let at = u32::try_from(large.len() - 1).ok().filter(|at| u64::from(*at) < OFFSET_MAX);
                at.ok_or(IndexError::Odd("it has too many objects"))? | OFFSET_MAX as u32
            }
        };
        bytes.extend(short.to_be_bytes());
    }
    large.iter().for_each(|offset| bytes.extend(offset.to_be_bytes()));
    bytes.extend(checksum);
    Ok(bytes)
}

//! Objects by name or number, whether they lie in a pack, loose, or in another repository that this one borrows from.
//! Reading one object at a time; reading many along their delta trees is `forest`'s.
//!
//! That an object's content fits its name is not checked, as git doesn't when it reads packs: compressed bytes carry a
//! sum of their own, and whoever writes a repository can write what he likes into it anyway.
//!
//! Every object has a number: packed ones their place in the indexes, one pack after the other; all others, missing
//! ones too, get theirs when they are first named. Numbers hold as long as the store is open.

pub(crate) mod delta;
pub(crate) mod forest;
pub(crate) mod indexing;
pub(crate) mod pack;

use crate::fence::Fence;
use crate::memory::OBJECT_BYTES_MAX;
use crate::refs::path_from;
use pack::{Base, Pack};
use sirocco::Format;
use sirocco::inflate::Decoder;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A loose object begins with its kind and size: 32 bytes at most.
const LOOSE_HEAD_MAX: u64 = 64;
/// No deflate stream expands more than this many times; what claims to is refused before memory is set aside.
const INFLATE_RATIO_MAX: u64 = 1032;
/// Repositories may borrow from repositories that borrow: git follows five, and so do we.
const ALTERNATES_DEPTH_MAX: usize = 5;
/// Bytes of a list of repositories to borrow from.
const ALTERNATES_BYTES_MAX: u64 = 1 << 20;
/// Deltas of deltas when one object is read alone: git writes up to 50, and at most 4,095.
const DELTA_DEPTH_MAX: usize = 20_000;
/// Objects replaced by objects that are replaced: git follows five.
const REPLACE_DEPTH_MAX: usize = 5;
/// Bytes of objects that a run may build out of any repository, however small. A few kilobytes of deltas can stand for
/// terabytes, which would take days to build: this is a minute's work.
const BUILT_BYTES_MIN: u64 = 64 << 30;
/// Besides, for each byte of packs. Of real histories one byte stands for ten to a hundred.
const BUILT_RATIO_MAX: u64 = 2000;

/// The name of an object: SHA-1 or SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oid {
    bytes: [u8; 32],
    len: u8,
}

impl Oid {
    /// From 20 or 32 raw bytes; more are cut, fewer filled with zeros.
    pub(crate) fn from_bytes(raw: &[u8]) -> Self {
        let len = raw.len().min(32);
        let mut bytes = [0; 32];
        bytes[..len].copy_from_slice(&raw[..len]);
        Self { bytes, len: len as u8 }
    }

    /// From 40 or 64 hexadecimal digits, small or capital.
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        if hex.len() != 40 && hex.len() != 64 {
            return None;
        }
        let digit = |byte: u8| (byte as char).to_digit(16);
        let mut bytes = [0; 32];
        for (at, pair) in hex.chunks_exact(2).enumerate() {
            bytes[at] = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
        }
        Some(Self { bytes, len: (hex.len() / 2) as u8 })
    }

    /// The raw bytes, 20 or 32.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 64];
        let digits = b"0123456789abcdef";
        for (at, byte) in self.as_bytes().iter().enumerate() {
            text[2 * at] = digits[(byte >> 4) as usize];
            text[2 * at + 1] = digits[(byte & 15) as usize];
        }
        f.write_str(std::str::from_utf8(&text[..2 * self.len as usize]).unwrap_or_default())
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Commit,
    Tree,
    Blob,
    Tag,
}

/// Why an object could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("object {oid} is missing")]
    Missing { oid: Oid },
    #[error("object {oid} is damaged: {what}")]
    Damaged { oid: Oid, what: String },
    #[error("object {oid} has {size} bytes, more than the limit of {most}, which depends on the memory granted")]
    TooLarge { oid: Oid, size: u64, most: u64 },
    #[error("object {oid} has {lines} lines, more than the limit of {most}, which depends on the memory granted")]
    TooManyLines { oid: Oid, lines: u64, most: u64 },
    #[error("pack {path} {what}")]
    Pack { path: PathBuf, what: String },
    #[error("object {oid} is not built: the repository's few bytes stand for more than {most} bytes of objects")]
    TooMuch { oid: Oid, most: u64 },
    #[error("{path} cannot be read: {what}")]
    Io { path: PathBuf, what: String },
}

/// Number of an object.
pub(crate) type ObjId = u32;

/// What reading needs again and again; one for each thread.
pub(crate) struct Inflater {
    decoder: Decoder,
}

impl Inflater {
    pub fn new() -> Self {
        Self { decoder: Decoder::new(Format::Zlib) }
    }

    /// Inflates exactly `size` bytes from the stream that `input` begins with.
    pub fn inflate(&mut self, input: &[u8], size: u64, out: &mut Vec<u8>) -> Result<(), &'static str> {
        if size > OBJECT_BYTES_MAX + LOOSE_HEAD_MAX {
            return Err("it is larger than the limit");
        }
        if size > (input.len() as u64).saturating_mul(INFLATE_RATIO_MAX).saturating_add(64) {
            return Err("it is cut short");
        }
        self.decoder.reset();
        // One byte more than told: a stream that goes on is noticed, and one that ends ends without asking for room.
        // What a used buffer holds is overwritten, so only what it grows by is cleared.
        let room = size as usize + 1;
        if out.len() < room {
            out.resize(room, 0);
        }
        let progress =
            self.decoder.decompress(input, &mut out[..room], true).map_err(|_| "its compressed bytes are wrong")?;
        if !progress.done || progress.output.len() as u64 != size {
            return Err("its size is not what its header says");
        }
        out.truncate(size as usize);
        Ok(())
    }
}

impl Inflater {
    /// Inflates the first bytes of the stream that `input` begins with: so many, or fewer if it ends before.
    pub fn begin(&mut self, input: &[u8], size: usize) -> Result<Vec<u8>, &'static str> {
        self.decoder.reset();
        let mut out = vec![0; size];
        let progress = self.decoder.decompress(input, &mut out, true).map_err(|_| "its compressed bytes are wrong")?;
        let made = progress.output.len();
        out.truncate(made);
        Ok(out)
    }
}

/// Objects outside of packs, numbered as they turn up.
#[derive(Default)]
struct Extra {
    by_oid: HashMap<Oid, ObjId>,
    oids: Vec<Oid>,
}

pub(crate) struct Odb {
    packs: Vec<Pack>,
    /// Number of the first object of each pack.
    firsts: Vec<u32>,
    packed: u32,
    folders: Vec<PathBuf>,
    extra: Mutex<Extra>,
    fence: Fence,
    /// Packs that could not be opened, to be told.
    pub faults: Vec<ObjectError>,
    /// Objects that are read in the place of others.
    replaced: HashMap<Oid, Oid>,
    /// Bytes of objects that this run may still build, and could at its begin.
    budget: AtomicU64,
    budget_full: u64,
}

impl Odb {
    /// Opens the object store in `objects`, and those it borrows from. The error is a folder outside of the fence.
    pub fn open(objects: &Path, hash_len: usize, fence: &Fence) -> Result<Self, PathBuf> {
        let mut folders = vec![];
        let mut faults = vec![];
        collect_folders(&fence.folder(objects)?, 0, fence, &mut folders, &mut faults)?;
        let mut packs = vec![];
        for folder in &folders {
            let entries = fence.list(&fence.folder(&folder.join("pack"))?);
            let mut indexes: Vec<PathBuf> = entries
                .iter()
                .map(std::fs::DirEntry::path)
                .filter(|path| path.extension() == Some("idx".as_ref()))
                .collect();
            indexes.sort();
            for path in indexes {
                match Pack::open(&path, hash_len, fence) {
                    Ok(pack) => packs.push(pack),
                    Err(error) => faults.push(error),
                }
            }
        }
        // The largest pack first: most look-ups end there.
        packs.sort_by_key(|pack| std::cmp::Reverse(pack.count()));
        let mut firsts = vec![];
        let mut packed = 0u32;
        packs.retain(|pack| {
            let fits =
                u32::try_from(pack.count()).ok().and_then(|n| packed.checked_add(n)).filter(|n| *n < u32::MAX / 2);
            if let Some(next) = fits {
                firsts.push(packed);
                packed = next;
            } else {
                faults.push(pack.fault("holds more objects than can be numbered"));
            }
            fits.is_some()
        });
        let bytes: u64 = packs.iter().map(Pack::size).sum();
        let budget_full = bytes.saturating_mul(BUILT_RATIO_MAX).saturating_add(BUILT_BYTES_MIN);
        Ok(Self {
            packs,
            firsts,
            packed,
            folders,
            extra: Mutex::default(),
            fence: fence.clone(),
            faults,
            replaced: HashMap::new(),
            budget: AtomicU64::new(budget_full),
            budget_full,
        })
    }

    /// One pack and nothing else.
    pub fn of_pack(pack: Pack) -> Self {
        let budget_full = pack.size().saturating_mul(BUILT_RATIO_MAX).saturating_add(BUILT_BYTES_MIN);
        Self {
            packed: pack.count() as u32,
            packs: vec![pack],
            firsts: vec![0],
            folders: vec![],
            extra: Mutex::default(),
            fence: Fence::default(),
            faults: vec![],
            replaced: HashMap::new(),
            budget: AtomicU64::new(budget_full),
            budget_full,
        }
    }

    /// Has objects read in the place of others from now on. Replacements that never end are not followed, and told.
    pub fn replace(&mut self, replaced: &HashMap<Oid, Oid>) {
        for (oid, by) in replaced {
            let mut by = by;
            let mut depth = 0;
            while let Some(next) = replaced.get(by).filter(|_| depth <= REPLACE_DEPTH_MAX) {
                by = next;
                depth += 1;
            }
            if depth <= REPLACE_DEPTH_MAX {
                self.replaced.insert(*oid, *by);
            } else {
                let what = "it is replaced by objects that are replaced, without an end".to_owned();
                self.faults.push(ObjectError::Damaged { oid: *oid, what });
            }
        }
    }

    /// A run begins: it may build as much as any.
    pub fn renew_budget(&self) {
        self.budget.store(self.budget_full, Ordering::Relaxed);
    }

    /// Takes the bytes of an object that is to be built from what the run may build.
    pub fn spend(&self, id: ObjId, bytes: u64) -> Result<(), ObjectError> {
        let spent = self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        spent.map(drop).map_err(|_| ObjectError::TooMuch { oid: self.oid(id), most: self.budget_full })
    }

    pub fn packs(&self) -> &[Pack] {
        &self.packs
    }

    /// Objects in packs; their numbers are smaller than all others.
    pub fn packed_count(&self) -> u32 {
        self.packed
    }

    /// Number of the first object of a pack.
    pub fn first_of(&self, pack: usize) -> u32 {
        self.firsts[pack]
    }

    /// Pack and position of a packed object.
    pub fn place(&self, id: ObjId) -> Option<(usize, usize)> {
        if id >= self.packed {
            return None;
        }
        let pack = self.firsts.partition_point(|first| *first <= id) - 1;
        Some((pack, (id - self.firsts[pack]) as usize))
    }

    /// The number of an object, or of the one that replaces it.
    pub fn id(&self, oid: &Oid) -> ObjId {
        self.own_id(self.replaced.get(oid).unwrap_or(oid))
    }

    fn own_id(&self, oid: &Oid) -> ObjId {
        for (pack, first) in self.packs.iter().zip(&self.firsts) {
            if let Some(position) = pack.find(oid) {
                return first + position as u32;
            }
        }
        let mut extra = self.extra.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = extra.by_oid.get(oid) {
            return *id;
        }
        let id = self.packed + extra.oids.len() as u32;
        extra.oids.push(*oid);
        extra.by_oid.insert(*oid, id);
        id
    }

    /// The name of an object.
    pub fn oid(&self, id: ObjId) -> Oid {
        match self.place(id) {
            Some((pack, position)) => self.packs[pack].oid(position),
            None => self.extra.lock().unwrap_or_else(PoisonError::into_inner).oids[(id - self.packed) as usize],
        }
    }

    /// Whether an object is there, without reading it.
    pub fn has(&self, oid: &Oid) -> bool {
        self.packs.iter().any(|pack| pack.find(oid).is_some()) || self.loose_path(oid).is_some()
    }

    /// All objects whose names begin with these hexadecimal digits, at least two, small letters.
    pub fn begin_with(&self, digits: &str) -> Vec<Oid> {
        let mut found: Vec<Oid> = self.packs.iter().flat_map(|pack| pack.begin_with(digits)).collect();
        for folder in &self.folders {
            for entry in std::fs::read_dir(folder.join(&digits[..2])).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let hex = name.to_str().filter(|rest| rest.starts_with(&digits[2..]));
                found.extend(hex.and_then(|rest| Oid::from_hex(format!("{}{rest}", &digits[..2]).as_bytes())));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn loose_path(&self, oid: &Oid) -> Option<PathBuf> {
        let hex = oid.to_string();
        self.folders.iter().map(|folder| folder.join(&hex[..2]).join(&hex[2..])).find(|path| path.is_file())
    }

    /// Reads an object whole.
    pub fn read(&self, id: ObjId, inflater: &mut Inflater) -> Result<(Kind, Vec<u8>), ObjectError> {
        self.read_up_to(id, inflater, OBJECT_BYTES_MAX)
    }

    /// Reads an object whole, if neither it nor anything that it is built on has more bytes than `most`.
    pub fn read_up_to(&self, id: ObjId, inflater: &mut Inflater, most: u64) -> Result<(Kind, Vec<u8>), ObjectError> {
        let oid = self.oid(id);
        match self.place(id) {
            Some((pack, position)) => {
                let offset = self.packs[pack].offset(position)?;
                self.read_packed(pack, offset, inflater, (id, most), 0).map_err(|error| match error {
                    ReadFault::Told(error) => error,
                    ReadFault::Bytes(what) => ObjectError::Damaged { oid, what: what.to_owned() },
                    ReadFault::Large(size) => ObjectError::TooLarge { oid, size, most },
                })
            }
            None => self.read_loose(&oid, inflater, most),
        }
    }

    fn read_packed(
        &self,
        pack: usize,
        offset: u64,
        inflater: &mut Inflater,
        (wanted, most): (ObjId, u64),
        depth: usize,
    ) -> Result<(Kind, Vec<u8>), ReadFault> {
        let data = &self.packs[pack];
        // Down to the whole object first, then up again, one delta after the other.
        let mut deltas = vec![];
        let mut entry = data.entry(offset)?;
        let (kind, mut bytes) = loop {
            if deltas.len() + depth > DELTA_DEPTH_MAX {
                return Err(ReadFault::Bytes("its deltas never end"));
            }
            if entry.size > most {
                return Err(ReadFault::Large(entry.size));
            }
            match entry.base {
                Base::Whole(kind) => {
                    self.spend(wanted, entry.size)?;
                    let mut bytes = vec![];
                    inflater.inflate(data.from(entry.data_at), entry.size, &mut bytes).map_err(ReadFault::Bytes)?;
                    break (kind, bytes);
                }
                Base::Offset(base) => {
                    deltas.push(entry);
                    entry = data.entry(base)?;
                }
                Base::Name(name) => {
                    deltas.push(entry);
                    match data.find(&name) {
                        Some(position) => entry = data.entry(data.offset(position)?)?,
                        None => {
                            let id = self.own_id(&name);
                            match self.place(id) {
                                Some((other, position)) => {
                                    let offset = self.packs[other].offset(position)?;
                                    let depth = depth + deltas.len() + 1;
                                    break self.read_packed(other, offset, inflater, (wanted, most), depth)?;
                                }
                                None => break self.read_loose(&name, inflater, most)?,
                            }
                        }
                    }
                }
            }
        };
        let (mut delta, mut out, mut copied) = (vec![], vec![], vec![]);
        for entry in deltas.iter().rev() {
            inflater.inflate(data.from(entry.data_at), entry.size, &mut delta).map_err(ReadFault::Bytes)?;
            let size = delta::result_size(&delta).map_err(ReadFault::Bytes)?;
            if size > most {
                return Err(ReadFault::Large(size));
            }
            self.spend(wanted, size)?;
            delta::apply(&bytes, &delta, size, &mut out, &mut copied).map_err(ReadFault::Bytes)?;
            std::mem::swap(&mut bytes, &mut out);
        }
        Ok((kind, bytes))
    }

    fn read_loose(&self, oid: &Oid, inflater: &mut Inflater, most: u64) -> Result<(Kind, Vec<u8>), ObjectError> {
        let path = self.loose_path(oid).ok_or(ObjectError::Missing { oid: *oid })?;
        let damaged = |what: &str| ObjectError::Damaged { oid: *oid, what: what.to_owned() };
        let io = |error: std::io::Error| ObjectError::Io { path: path.clone(), what: error.to_string() };
        let raw = self.fence.read(&path, OBJECT_BYTES_MAX).map_err(io)?;
        // `kind size\0`: at most 32 bytes; the rest is the object.
        let mut head = [0u8; LOOSE_HEAD_MAX as usize];
        inflater.decoder.reset();
        let got = match inflater.decoder.decompress(&raw, &mut head, true) {
            Ok(progress) => progress.output.len(),
            Err(_) => return Err(damaged("its compressed bytes are wrong")),
        };
        let end = memchr::memchr(0, &head[..got]).ok_or_else(|| damaged("its header has no end"))?;
        let text = std::str::from_utf8(&head[..end]).map_err(|_| damaged("its header is no text"))?;
        let (kind, size) = text.split_once(' ').ok_or_else(|| damaged("its header names no size"))?;
        let kind = match kind {
            "commit" => Kind::Commit,
            "tree" => Kind::Tree,
            "blob" => Kind::Blob,
            "tag" => Kind::Tag,
            _ => return Err(damaged("it is of an unknown kind")),
        };
        let size: u64 = size.parse().map_err(|_| damaged("its header names no size"))?;
        if size > most {
            return Err(ObjectError::TooLarge { oid: *oid, size, most });
        }
        let mut bytes = vec![];
        inflater.inflate(&raw, size + end as u64 + 1, &mut bytes).map_err(damaged)?;
        bytes.drain(..=end);
        Ok((kind, bytes))
    }
}

enum ReadFault {
    Told(ObjectError),
    Bytes(&'static str),
    Large(u64),
}

impl From<ObjectError> for ReadFault {
    fn from(error: ObjectError) -> Self {
        Self::Told(error)
    }
}

/// Lists `objects` and the stores it borrows from. The error is one outside of the fence.
fn collect_folders(
    objects: &Path,
    depth: usize,
    fence: &Fence,
    folders: &mut Vec<PathBuf>,
    faults: &mut Vec<ObjectError>,
) -> Result<(), PathBuf> {
    if folders.iter().any(|known| known == objects) {
        return Ok(());
    }
    folders.push(objects.to_owned());
    let list = objects.join("info/alternates");
    let bytes = match fence.read(&list, ALTERNATES_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            faults.push(ObjectError::Io { path: list, what: error.to_string() });
            return Ok(());
        }
    };
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && line[0] != b'#') {
        let path = fence.folder(&objects.join(path_from(&unquoted(line))))?;
        if depth == ALTERNATES_DEPTH_MAX {
            let what = "repositories borrow from each other too deep, so it is not looked at".to_owned();
            faults.push(ObjectError::Io { path, what });
        } else if path.is_dir() {
            collect_folders(&path, depth + 1, fence, folders, faults)?;
        } else {
            faults.push(ObjectError::Io { path, what: "this repository borrows objects from there".to_owned() });
        }
    }
    Ok(())
}

/// A path as it stands in a list of alternates: git puts those with odd bytes into quotes, as in C.
fn unquoted(line: &[u8]) -> Vec<u8> {
    let Some(quoted) = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")) else { return line.to_vec() };
    let mut out = vec![];
    let mut rest = quoted.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match rest.next() {
            Some(b'a') => 7,
            Some(b'b') => 8,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'v') => 11,
            Some(b'f') => 12,
            Some(b'r') => b'\r',
            Some(first @ b'0'..=b'3') => {
                let mut digit = || rest.next().unwrap_or(b'0').wrapping_sub(b'0') & 7;
                ((first - b'0') << 6) | (digit() << 3) | digit()
            }
            Some(other) => other,
            None => break,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten objects of a hundred bytes each, of which a run may build five.
    #[test]
    fn a_run_builds_no_more_than_it_may() {
        let folder = tempfile::tempdir().unwrap();
        let mut odb = Odb::open(folder.path(), 20, &Fence::default()).unwrap();
        odb.budget_full = 500;
        odb.renew_budget();
        let id = odb.id(&Oid::from_bytes(&[7; 20]));
        let built = (0..10).filter(|_| odb.spend(id, 100).is_ok()).count();
        assert_eq!(built, 5);
        assert!(matches!(odb.spend(id, 1), Err(ObjectError::TooMuch { most: 500, .. })));
        odb.renew_budget();
        assert!(odb.spend(id, 500).is_ok());
    }

    #[test]
    fn quoted_paths() {
        for (line, expected) in [
            ("a b", "a b"),
            (r#""a b""#, "a b"),
            (r#""a\"b\\""#, r#"a"b\"#),
            (r#""\t\n\101\1""#, "\t\nA\u{40}"),
            (r#"""#, r#"""#),
        ] {
            let told = unquoted(line.as_bytes());
            assert_eq!(String::from_utf8_lossy(&told), expected, "{line}");
        }
    }
}

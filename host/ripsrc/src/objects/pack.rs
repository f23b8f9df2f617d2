//! One pack and its index, mapped into memory: where objects lie and what their headers say. Resolving deltas is left
//! to `super` (one object) and `forest` (all of them).
//!
//! Nothing in either file is believed before it has been checked against the file's length: whoever made the
//! repository may have written them.

use super::{Kind, ObjectError, Oid};
use crate::fence::Fence;
use memmap2::Mmap;
use std::path::{Path, PathBuf};

/// Version 2 of an index begins with this; version 1 begins with its fan-out table, which can't hold it.
const INDEX_MAGIC: [u8; 4] = [0xff, b't', b'O', b'c'];
const FANOUT_LEN: usize = 256 * 4;
/// A pack's header: `PACK`, version, number of objects.
const PACK_HEADER_LEN: usize = 12;

pub(crate) struct Pack {
    pub path: PathBuf,
    data: Mmap,
    index: Mmap,
    hash_len: usize,
    count: usize,
    version: u32,
}

/// What an object's header in a pack says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub base: Base,
    /// Bytes once inflated; of a delta, the delta's.
    pub size: u64,
    /// Where the compressed bytes begin.
    pub data_at: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Base {
    Whole(Kind),
    /// A delta against the object at this offset of the same pack.
    Offset(u64),
    /// A delta against an object by its name.
    Name(Oid),
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(four)
}

/// Maps a file. The mapping is read-only; a file that somebody cuts while we read it is the one thing that can hurt.
fn map(path: &Path, fence: &Fence) -> std::io::Result<Mmap> {
    let file = fence.open(path)?;
    // SAFETY: git never changes a pack or an index in place, it writes new files and renames them.
    unsafe { Mmap::map(&file) }
}

impl Pack {
    /// Opens the pack whose index is `index_path`.
    pub fn open(index_path: &Path, hash_len: usize, fence: &Fence) -> Result<Self, ObjectError> {
        let fault = |what: &str| ObjectError::Pack { path: index_path.to_owned(), what: what.to_owned() };
        let io = |error: std::io::Error| fault(&format!("cannot be opened: {error}"));
        let index = map(index_path, fence).map_err(io)?;
        let path = index_path.with_extension("pack");
        let data = map(&path, fence).map_err(io)?;
        let version = if index.len() >= 8 && index[..4] == INDEX_MAGIC { be32(&index, 4) } else { 1 };
        let fanout_at = if version == 1 { 0 } else { 8 };
        if version > 2 {
            return Err(fault("has an index of an unknown version"));
        }
        if index.len() < fanout_at + FANOUT_LEN + 2 * hash_len {
            return Err(fault("has an index that is cut short"));
        }
        let count = be32(&index, fanout_at + 255 * 4) as usize;
        let each = if version == 1 { hash_len + 4 } else { hash_len + 8 };
        let needed = count.checked_mul(each).and_then(|n| n.checked_add(fanout_at + FANOUT_LEN + 2 * hash_len));
        if needed.is_none_or(|needed| index.len() < needed) {
            return Err(fault("has an index that is cut short"));
        }
        let mut before = 0;
        for bucket in 0..256 {
            let here = be32(&index, fanout_at + bucket * 4);
            if here < before {
                return Err(fault("has an index whose fan-out table runs backwards"));
            }
            before = here;
        }
        if data.len() < PACK_HEADER_LEN + hash_len || data[..4] != *b"PACK" || !matches!(be32(&data, 4), 2 | 3) {
            return Err(fault("is not a pack of version 2"));
        }
        Ok(Self { path, data, index, hash_len, count, version })
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.data.len() as u64
    }

    /// Number of objects.
    pub fn count(&self) -> usize {
        self.count
    }

    fn fanout_at(&self) -> usize {
        if self.version == 1 { 0 } else { 8 }
    }

    fn name_bytes(&self, position: usize) -> &[u8] {
        let table = self.fanout_at() + FANOUT_LEN;
        let at = match self.version {
            1 => table + position * (self.hash_len + 4) + 4,
            _ => table + position * self.hash_len,
        };
        &self.index[at..at + self.hash_len]
    }

    /// The name of the object at a position of the index.
    pub fn oid(&self, position: usize) -> Oid {
        Oid::from_bytes(self.name_bytes(position))
    }

    /// All objects whose names begin with these hexadecimal digits. Names stand in order.
    pub fn begin_with(&self, digits: &str) -> Vec<Oid> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.oid(middle).to_string().as_str() < digits { low = middle + 1 } else { high = middle }
        }
        (low..self.count).map(|at| self.oid(at)).take_while(|oid| oid.to_string().starts_with(digits)).collect()
    }

    /// The position of an object in the index.
    pub fn find(&self, oid: &Oid) -> Option<usize> {
        let first = oid.as_bytes()[0] as usize;
        let at = self.fanout_at();
        let mut low = if first == 0 { 0 } else { be32(&self.index, at + (first - 1) * 4) as usize };
        let mut high = (be32(&self.index, at + first * 4) as usize).min(self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.name_bytes(middle).cmp(oid.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    /// Where the object at a position of the index begins in the pack.
    pub fn offset(&self, position: usize) -> Result<u64, ObjectError> {
        let table = self.fanout_at() + FANOUT_LEN;
        if self.version == 1 {
            return Ok(u64::from(be32(&self.index, table + position * (self.hash_len + 4))));
        }
        let small = be32(&self.index, table + self.count * (self.hash_len + 4) + position * 4);
        if small & 0x8000_0000 == 0 {
            return Ok(u64::from(small));
        }
        let large = table + self.count * (self.hash_len + 8) + (small & 0x7fff_ffff) as usize * 8;
        if self.index.len() < large + 8 {
            return Err(self.fault("has an index that points behind its own end"));
        }
        Ok(u64::from(be32(&self.index, large)) << 32 | u64::from(be32(&self.index, large + 4)))
    }

    /// Lets the pages go that were read; the system keeps them in its cache as it sees fit. What is mapped counts as
    /// this process' memory, and packs are larger than everything else here.
    pub fn release(&self) {
        #[cfg(unix)]
        // SAFETY: the mapping is of a file and read-only; pages that are touched again are read again.
        let _ = unsafe { self.data.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
    }

    pub fn fault(&self, what: &str) -> ObjectError {
        ObjectError::Pack { path: self.path.clone(), what: what.to_owned() }
    }

    /// Reads the header of the object at an offset.
    pub fn entry(&self, offset: u64) -> Result<Entry, ObjectError> {
        let end = self.data.len() - self.hash_len;
        let short = || self.fault("is cut short");
        let start = usize::try_from(offset).map_err(|_| short())?;
        if start < PACK_HEADER_LEN || start >= end {
            return Err(short());
        }
        let mut at = start;
        let mut next = || -> Result<u8, ObjectError> {
            if at >= end {
                return Err(short());
            }
            at += 1;
            Ok(self.data[at - 1])
        };
        let first = next()?;
        let kind = (first >> 4) & 7;
        let mut size = u64::from(first & 15);
        let mut shift = 4;
        let mut more = first & 0x80 != 0;
        while more {
            let byte = next()?;
            if shift > 57 {
                return Err(self.fault("has an object of impossible size"));
            }
            size |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            more = byte & 0x80 != 0;
        }
        let base = match kind {
            1 => Base::Whole(Kind::Commit),
            2 => Base::Whole(Kind::Tree),
            3 => Base::Whole(Kind::Blob),
            4 => Base::Whole(Kind::Tag),
            6 => {
                let mut byte = next()?;
                let mut back = u64::from(byte & 0x7f);
                while byte & 0x80 != 0 {
                    byte = next()?;
                    if back > 1 << 55 {
                        return Err(self.fault("has a delta whose base lies before the pack"));
                    }
                    back = ((back + 1) << 7) | u64::from(byte & 0x7f);
                }
                if back == 0 || back > offset {
                    return Err(self.fault("has a delta whose base lies before the pack"));
                }
                Base::Offset(offset - back)
            }
            7 => {
                let from = at;
                if from + self.hash_len > end {
                    return Err(short());
                }
                at += self.hash_len;
                Base::Name(Oid::from_bytes(&self.data[from..at]))
            }
            _ => return Err(self.fault("has an object of unknown kind")),
        };
        Ok(Entry { base, size, data_at: at as u64 })
    }

    /// The pack's bytes from a place to its end, without its own checksum.
    pub fn from(&self, at: u64) -> &[u8] {
        let end = self.data.len() - self.hash_len;
        &self.data[usize::try_from(at).unwrap_or(end).min(end)..end]
    }
}

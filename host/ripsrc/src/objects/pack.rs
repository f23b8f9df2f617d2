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
/// Among fewer names the place of one is not guessed.
const GUESSED_FROM: usize = 16;
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

/// The order of two names. Their first bytes tell nearly always, and are compared without a call.
fn order(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    match (a.first_chunk::<8>(), b.first_chunk::<8>()) {
        (Some(left), Some(right)) if left != right => u64::from_be_bytes(*left).cmp(&u64::from_be_bytes(*right)),
        _ => a.cmp(b),
    }
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
        let low = if first == 0 { 0 } else { be32(&self.index, at + (first - 1) * 4) as usize };
        let high = (be32(&self.index, at + first * 4) as usize).min(self.count);
        let (mut low, mut high) = self.around(oid.as_bytes(), low, high);
        while low < high {
            let middle = low + (high - low) / 2;
            match order(self.name_bytes(middle), oid.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    /// Narrows the range of positions in which a name must be. Names are hashes and so spread evenly: the place is guessed
    /// by the bytes behind the first, and looked for around it.
    fn around(&self, name: &[u8], mut low: usize, mut high: usize) -> (usize, usize) {
        if high.saturating_sub(low) <= GUESSED_FROM {
            return (low, high);
        }
        let part = u64::from(be32(name, 1));
        let guess = low + ((high - low) as u64 * part >> 32) as usize;
        let mut step = GUESSED_FROM / 2;
        if order(self.name_bytes(guess), name).is_lt() {
            low = guess + 1;
            while low + step < high {
                if order(self.name_bytes(low + step), name).is_ge() {
                    high = low + step + 1;
                    break;
                }
                low += step + 1;
                step *= 2;
            }
        } else {
            high = guess + 1;
            while low + step < high {
                if order(self.name_bytes(high - 1 - step), name).is_le() {
                    low = high - 1 - step;
                    break;
                }
                high -= 1 + step;
                step *= 2;
            }
        }
        (low, high)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An index of version 2 with these names in this order, and a pack with nothing in it.
    fn indexed(folder: &Path, names: &[[u8; 20]]) -> Pack {
        let mut index: Vec<u8> = [&INDEX_MAGIC[..], &[0, 0, 0, 2]].concat();
        for first in 0..=255u8 {
            let before = names.iter().filter(|name| name[0] <= first).count() as u32;
            index.extend(before.to_be_bytes());
        }
        names.iter().for_each(|name| index.extend(name));
        index.extend(vec![0; names.len() * 8 + 40]);
        let path = folder.join("pack-1.idx");
        std::fs::write(&path, index).unwrap();
        std::fs::write(path.with_extension("pack"), [&b"PACK\0\0\0\x02"[..], &[0; 24]].concat()).unwrap();
        Pack::open(&path, 20, &Fence::default()).unwrap()
    }

    #[test]
    fn every_name_is_found_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = 7u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        // Spread evenly as hashes are; and as none are: all in one corner, at both ends, one byte apart.
        let even: Vec<[u8; 20]> = (0..20_000).map(|_| std::array::from_fn(|_| random())).collect();
        let corner = (0..3000u16).map(|n| std::array::from_fn(|at| if at < 18 { 9 } else { n.to_be_bytes()[at - 18] }));
        let ends = (0..3000u16).map(|n| {
            let fill = if n % 3 == 0 { 0 } else { 255 };
            std::array::from_fn(|at| {
                if at == 0 {
                    5
                } else if at < 18 {
                    fill
                } else {
                    n.to_be_bytes()[at - 18]
                }
            })
        });
        for mut names in [even, corner.collect(), ends.collect(), vec![[3; 20]], vec![]] {
            names.sort_unstable();
            names.dedup();
            let pack = indexed(folder.path(), &names);
            for (at, name) in names.iter().enumerate() {
                assert_eq!(pack.find(&Oid::from_bytes(name)), Some(at));
                let other: [u8; 20] = std::array::from_fn(|at| if at == 19 { name[19] ^ 1 } else { name[at] });
                if names.binary_search(&other).is_err() {
                    assert_eq!(pack.find(&Oid::from_bytes(&other)), None);
                }
            }
        }
    }

    /// Whoever wrote it, an index out of order ends no search in a panic.
    #[test]
    fn names_out_of_order_do_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<[u8; 20]> =
            (0..500u16).map(|n| std::array::from_fn(|at| if at == 0 { 1 } else { (n * 37) as u8 })).collect();
        let pack = indexed(folder.path(), &names);
        for name in &names {
            if let Some(at) = pack.find(&Oid::from_bytes(name)) {
                assert_eq!(names[at], *name);
            }
        }
    }
}

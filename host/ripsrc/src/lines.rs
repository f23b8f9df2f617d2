//! Lines as numbers. Each distinct line of a repository has one, so that files are compared by comparing numbers; a
//! file's lines that were copied from its delta base take their numbers from there, so that cutting a file into lines
//! costs what differs from its base.
//!
//! Two lines are held equal if their lengths and 64 bits of a hash are. The hash is seeded anew for each run, so nobody
//! can prepare lines that collide, and of a hundred million lines two do by chance once in a thousand runs.
//!
//! A line includes its newline: the last line of a file is another one without it, as git sees it.

use crate::count::Kept;
use crate::memory::Share;
use crate::objects::delta::Copied;
use crate::trees::whole_units;
use foldhash::fast::RandomState;
use std::hash::BuildHasher;
use std::sync::{PoisonError, RwLock};

/// A power of two. Each has its own lock, and is locked for longer when it grows: with as many as this, that is seldom met.
const SHARDS: usize = 256;
/// Of longer lines only the last bytes are kept, for `common_tail`.
const WHOLE_LINE_MAX: usize = 256;
const TAIL_LEN: usize = 64;
/// Deeper indentation counts as this: what git measures.
const INDENT_MAX: i16 = 200;
/// Indentation of a line that is blank.
pub(crate) const BLANK: i16 = -1;

/// A file cut into lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Text {
    pub tokens: Vec<u32>,
    /// Where each line ends, in bytes.
    pub ends: Vec<u32>,
    /// Whether the last line has its newline; true if there is no line.
    pub terminated: bool,
}

impl Text {
    /// Bytes of memory.
    pub fn cost(&self) -> usize {
        (self.tokens.capacity() + self.ends.capacity()) * 4 + 64
    }
}

/// A line as it is found: by all that tells it from others.
#[derive(Clone, Copy)]
struct Slot {
    hash: u64,
    len: u32,
    /// Place in `lines`, plus one; zero is free.
    place: u32,
}

/// What differences ask of a line.
#[derive(Clone, Copy)]
struct Line {
    at: u32,
    kept: u16,
    indent: i16,
}

#[derive(Default)]
struct Shard {
    /// Always a power of two, at most half full.
    slots: Vec<Slot>,
    lines: Vec<Line>,
    bytes: Vec<u8>,
}

impl Shard {
    fn find(&self, hash: u64, len: usize) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            let place = slot.place.checked_sub(1)?;
            if slot.hash == hash && slot.len as usize == len {
                return Some(place);
            }
            at = (at + 1) & mask;
        }
    }

    fn insert(&mut self, hash: u64, line: &[u8]) -> u32 {
        if self.slots.len() < (self.lines.len() + 1) * 2 {
            let size = (self.slots.len() * 2).max(64);
            let old = std::mem::replace(&mut self.slots, vec![Slot { hash: 0, len: 0, place: 0 }; size]);
            old.into_iter().filter(|slot| slot.place != 0).for_each(|slot| self.put(slot));
        }
        let kept = if line.len() <= WHOLE_LINE_MAX { line } else { &line[line.len() - TAIL_LEN..] };
        // A shard's bytes are counted in 32 bits; beyond, no bytes are kept.
        let kept = if self.bytes.len() + kept.len() > u32::MAX as usize { &[] } else { kept };
        let place = self.lines.len() as u32;
        self.lines.push(Line { at: self.bytes.len() as u32, kept: kept.len() as u16, indent: indent(line) });
        self.bytes.extend_from_slice(kept);
        self.put(Slot { hash, len: line.len() as u32, place: place + 1 });
        place
    }

    fn put(&mut self, slot: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = slot.hash as usize & mask;
        while self.slots[at].place != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }
}

/// Columns before the first character that is no white space, tabs reaching to the next multiple of eight.
fn indent(line: &[u8]) -> i16 {
    let mut column = 0;
    for byte in line {
        match byte {
            b' ' => column += 1,
            b'\t' => column += 8 - column % 8,
            b'\n' | b'\r' | 0x0b | 0x0c => {}
            _ => return column,
        }
        if column >= INDENT_MAX {
            return INDENT_MAX;
        }
    }
    BLANK
}

/// What a distinct line costs in memory besides the bytes of it that are kept: of slots there are up to four for each
/// line while a table grows.
const LINE_COST: usize = 64;

/// All distinct lines, numbered; shared by threads.
pub(crate) struct Lines {
    hasher: RandomState,
    shards: Vec<RwLock<Shard>>,
    share: Share,
}

impl Lines {
    /// No lines yet. Whoever cuts sees to it that no more are cut when the share is full.
    pub fn new(share: Share) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        Self { hasher: RandomState::default(), shards, share }
    }

    /// What its lines take of memory.
    pub fn share(&self) -> &Share {
        &self.share
    }

    fn token(&self, line: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(line);
        let at = (hash >> (64 - SHARDS.ilog2())) as usize;
        let shard = self.shards[at].read().unwrap_or_else(PoisonError::into_inner);
        let found = shard.find(hash, line.len());
        drop(shard);
        let place = found.unwrap_or_else(|| {
            let mut shard = self.shards[at].write().unwrap_or_else(PoisonError::into_inner);
            shard.find(hash, line.len()).unwrap_or_else(|| {
                self.share.take(LINE_COST + line.len().min(WHOLE_LINE_MAX));
                shard.insert(hash, line)
            })
        });
        place * SHARDS as u32 + at as u32
    }

    fn with<R>(&self, token: u32, read: impl FnOnce(&Line, &[u8]) -> R) -> R {
        let shard = self.shards[token as usize % SHARDS].read().unwrap_or_else(PoisonError::into_inner);
        let line = &shard.lines[token as usize / SHARDS];
        read(line, &shard.bytes[line.at as usize..][..line.kept as usize])
    }

    /// Columns of white space that a line begins with, or `BLANK`.
    pub fn indent(&self, token: u32) -> i16 {
        self.with(token, |line, _| line.indent)
    }

    /// How many bytes at the end two lines have in common. Of lines longer than 256 bytes only the last 64 are known.
    pub fn common_tail(&self, a: u32, b: u32) -> usize {
        let left = self.with(a, |_, bytes| bytes.to_vec());
        self.with(b, |_, bytes| left.iter().rev().zip(bytes.iter().rev()).take_while(|(a, b)| a == b).count())
    }

    /// Cuts bytes into lines. `kept` is emptied, and then told which lines are the base's.
    pub fn cut(&self, bytes: &[u8], base: Option<(&Text, &[Copied])>, kept: &mut Vec<Kept>) -> Text {
        kept.clear();
        let mut tokens = vec![];
        let mut ends: Vec<u32> = vec![];
        let mut at = 0;
        if let Some((base, copied)) = base {
            tokens.reserve(base.tokens.len() + 16);
            ends.reserve(base.tokens.len() + 16);
            // A last line without a newline would be another line if something followed it.
            let whole = &base.ends[..base.ends.len() - usize::from(!base.terminated)];
            for piece in copied {
                self.cut_up_to(bytes, &mut at, piece.to, &mut tokens, &mut ends);
                while at < piece.to + piece.len {
                    let range = whole_units(whole, piece, at);
                    if range.is_empty() {
                        self.cut_one(bytes, &mut at, &mut tokens, &mut ends);
                        continue;
                    }
                    let start = if range.start == 0 { 0 } else { whole[range.start - 1] };
                    let shift = (at as u32).wrapping_sub(start);
                    kept.push(Kept { new: tokens.len() as u32, old: range.start as u32, count: range.len() as u32 });
                    tokens.extend_from_slice(&base.tokens[range.clone()]);
                    ends.extend(whole[range].iter().map(|end| end.wrapping_add(shift)));
                    at = ends.last().map_or(at, |end| *end as usize);
                }
            }
        }
        self.cut_up_to(bytes, &mut at, bytes.len(), &mut tokens, &mut ends);
        Text { tokens, ends, terminated: bytes.last().is_none_or(|last| *last == b'\n') }
    }

    fn cut_up_to(&self, bytes: &[u8], at: &mut usize, to: usize, tokens: &mut Vec<u32>, ends: &mut Vec<u32>) {
        while *at < to {
            self.cut_one(bytes, at, tokens, ends);
        }
    }

    fn cut_one(&self, bytes: &[u8], at: &mut usize, tokens: &mut Vec<u32>, ends: &mut Vec<u32>) {
        let rest = &bytes[*at..];
        let len = memchr::memchr(b'\n', rest).map_or(rest.len(), |newline| newline + 1);
        tokens.push(self.token(&rest[..len]));
        *at += len;
        ends.push(*at as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::delta;

    #[test]
    fn lines_copied_from_a_base_are_the_same_lines() {
        let lines = Lines::new(Share::endless());
        let base = b"one\ntwo\nthree\nfour";
        let text = lines.cut(base, None, &mut vec![]);
        // Copies that begin and end in the middle of lines, and the end without a newline moved to the middle.
        let deltas: [&[u8]; 4] = [
            &[18, 22, 0x90, 7, 3, b'X', b'\n', b'Y', 0x91, 6, 12],
            &[18, 22, 0x91, 14, 4, 0x90, 18],
            &[18, 18, 0x90, 18],
            &[18, 10, 0x91, 5, 10],
        ];
        for delta in deltas {
            let (mut out, mut copied) = (vec![], vec![]);
            delta::apply(base, delta, 100, &mut out, &mut copied).unwrap();
            let mut kept = vec![];
            let made = lines.cut(&out, Some((&text, &copied)), &mut kept);
            assert_eq!(made, lines.cut(&out, None, &mut vec![]), "{}", out.escape_ascii());
            for Kept { new, old, count } in kept {
                let of = |text: &Text, from: u32| text.tokens[from as usize..(from + count) as usize].to_vec();
                assert_eq!(of(&made, new), of(&text, old), "{}", out.escape_ascii());
            }
        }
        assert!(!text.terminated && lines.cut(b"", None, &mut vec![]).terminated);
    }

    #[test]
    fn indentation_is_measured_as_git_does() {
        for (line, expected) in [("a", 0), ("  a", 2), (" \ta", 8), ("\t\n", BLANK), ("", BLANK), ("\r a\n", 1)] {
            assert_eq!(indent(line.as_bytes()), expected, "{line:?}");
        }
        assert_eq!(indent("\t".repeat(100).as_bytes()), INDENT_MAX);
    }
}

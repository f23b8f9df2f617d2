//! What the last version of each path came to, line by line. Most lines of a version stood in the one before, next to the
//! same neighbours: walking beside it is a read of memory in order, where asking the table of all lines (`memo.rs`) waits
//! for memory at each line. Which lines are walked past and which are asked for changes no result.

use super::language::Language;
use std::collections::HashMap;

/// A version of a file, by line.
#[derive(Default)]
pub(super) struct Version {
    pub language: Option<Language>,
    pub hashes: Vec<u64>,
    /// As `memo::pack` makes them; of the first lines only, if the rest was not read.
    pub outcomes: Vec<u64>,
    /// Which patterns that tell languages apart matched; of the first lines only, or of none.
    pub telling: Vec<u32>,
}

impl Version {
    fn bytes(&self, path: &[u8]) -> usize {
        // What a map's entry, four vectors' heads and their allocations take.
        const FIXED: usize = 256;
        FIXED + path.len() + self.hashes.capacity() * 8 + self.outcomes.capacity() * 8 + self.telling.capacity() * 4
    }
}

type Generation = HashMap<Box<[u8]>, Version>;

/// Versions in two generations: what was not seen while the younger filled is forgotten with the older.
pub(super) struct Versions {
    young: Generation,
    old: Generation,
    young_bytes: usize,
    bytes_max: usize,
}

impl Versions {
    pub(super) fn new(bytes_max: usize) -> Versions {
        Versions { young: Generation::new(), old: Generation::new(), young_bytes: 0, bytes_max }
    }

    /// The last version of this path, which is handed out; the next takes its place.
    pub(super) fn take(&mut self, path: &[u8]) -> Version {
        if let Some(version) = self.young.remove(path) {
            self.young_bytes -= version.bytes(path);
            return version;
        }
        self.old.remove(path).unwrap_or_default()
    }

    pub(super) fn put(&mut self, path: &[u8], version: Version) {
        self.young_bytes += version.bytes(path);
        self.young.insert(path.into(), version);
        if self.young_bytes > self.bytes_max / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}

/// For a line that the other version does not have nearby.
pub(super) const NONE: u32 = u32::MAX;

/// For each line of the new version the line of the old that it goes with: a guess that is right where it says something,
/// since the hashes are equal, and that follows insertions, and deletions of some lines.
pub(super) fn align(old: &[u64], new: &[u64]) -> Vec<u32> {
    /// How far it is looked ahead for a deletion's end.
    const AHEAD: usize = 32;
    // Two lines in a row must agree before lines are passed over: a brace alone is found everywhere.
    let agree = |old_at: usize, new_at: usize| {
        old.get(old_at) == Some(&new[new_at]) && old.get(old_at + 1) == new.get(new_at + 1)
    };
    let mut at = 0;
    let goes_with = (0..new.len()).map(|new_at| {
        let found = if old.get(at) == Some(&new[new_at]) {
            Some(at)
        } else {
            // After the last change both versions are equally far from their ends.
            let from_end = (new_at + old.len()).checked_sub(new.len()).filter(|from_end| agree(*from_end, new_at));
            from_end.or_else(|| (at + 1..at + AHEAD).find(|ahead| agree(*ahead, new_at)))
        };
        at = found.map_or(at, |found| found + 1);
        found.and_then(|found| u32::try_from(found).ok()).unwrap_or(NONE)
    });
    goes_with.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: &str, new: &str, expected: &str) {
        let lines = |text: &str| text.bytes().map(u64::from).collect::<Vec<_>>();
        let got = align(&lines(old), &lines(new));
        let letter = |at: &u32| if *at == NONE { '.' } else { char::from(old.as_bytes()[*at as usize]) };
        assert_eq!(got.iter().map(letter).collect::<String>(), expected, "{old} {new}");
    }

    #[test]
    fn lines_go_with_lines() {
        check("abcdef", "abcdef", "abcdef");
        check("", "abc", "...");
        check("abc", "", "");
        check("abcdef", "abXYcdef", "ab..cdef");
        check("abcdef", "aef", "aef");
        check("abcdef", "Xabcdef", ".abcdef");
        check("abcdef", "abXdeYf", "ab.de.f");
        check("a}b}c}d}", "a}X}b}c}d}", "a}.}b}c}d}");
    }

    #[test]
    fn memory_is_bounded() {
        let mut versions = Versions::new(100_000);
        for path in 0..1000 {
            let path = format!("{path}");
            versions.put(path.as_bytes(), Version { hashes: vec![0; 100], ..Version::default() });
        }
        let held =
            |generation: &Generation| generation.iter().map(|(path, version)| version.bytes(path)).sum::<usize>();
        assert!(held(&versions.young) + held(&versions.old) <= 102_000);
        assert_eq!(versions.take(b"999").hashes.len(), 100, "the last is there");
        assert!(versions.take(b"0").hashes.is_empty(), "the first is forgotten");
    }
}

//! What has gone from a source that does not say so: a list of ids alone, held against those that were exported, with a guard
//! against sources that answer with too little.
//!
//! [`Ids`] is the set of what was exported, small enough for a cursor: numbers that lie close together take a fraction of a
//! byte each. [`gone`] compares, and refuses where so much is missing that the list is more likely wrong than the source
//! empty. Confirm what it names, one by one, before a record says that it is gone; and judge only by a list that was read
//! to its end, never by one of what changed. Much may go in truth, too: [`gone_accepting`] takes how much somebody has said
//! that it is.

use std::collections::BTreeSet;
use std::ops::RangeBounds;

/// Share of the known that may go at once. Beyond it the list is more likely cut short, or the credential less able.
const SHARE_MAX: f64 = 0.1;

/// So many may always go: a share of a handful would be nothing.
const ALWAYS: usize = 5;

/// Bits in a character of a bitmap.
const BITS: u64 = 6;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A set of numbers with a short text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids {
    ids: BTreeSet<u64>,
}

impl Ids {
    /// An empty set.
    #[must_use]
    pub fn new() -> Ids {
        Ids::default()
    }

    /// Adds an id; whether it is new.
    pub fn insert(&mut self, id: u64) -> bool {
        self.ids.insert(id)
    }

    /// Takes an id away; whether it was there.
    pub fn remove(&mut self, id: u64) -> bool {
        self.ids.remove(&id)
    }

    /// Whether the id is there.
    #[must_use]
    pub fn contains(&self, id: u64) -> bool {
        self.ids.contains(&id)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The ids, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.ids.iter().copied()
    }

    /// The ids within these bounds, ascending.
    pub fn range(&self, bounds: impl RangeBounds<u64>) -> impl Iterator<Item = u64> + '_ {
        self.ids.range(bounds).copied()
    }

    /// The set as text: runs (`gap`, `gap+more`, in base 36, separated by commas), or a bitmap where that is shorter.
    #[must_use]
    pub fn to_text(&self) -> String {
        let runs = self.runs();
        match self.bitmap(runs.len()) {
            Some(bitmap) => bitmap,
            None => runs,
        }
    }

    /// Reads what [`Ids::to_text`] wrote; nothing where it is something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Ids> {
        match text.strip_prefix('.') {
            Some(bitmap) => Ids::parse_bitmap(bitmap),
            None => Ids::parse_runs(text),
        }
    }

    fn runs(&self) -> String {
        let (mut text, mut next) = (String::new(), 0);
        let mut ids = self.ids.iter().copied().peekable();
        while let Some(first) = ids.next() {
            let mut last = first;
            while let Some(next) = last.checked_add(1)
                && ids.peek() == Some(&next)
            {
                last = next;
                ids.next();
            }
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(&base36(first - next));
            if last > first {
                text.push('+');
                text.push_str(&base36(last - first));
            }
            next = last;
        }
        text
    }

    fn parse_runs(text: &str) -> Option<Ids> {
        let (mut ids, mut next) = (Ids::new(), 0_u64);
        for run in text.split(',').filter(|run| !run.is_empty()) {
            let (gap, more) = run.split_once('+').unwrap_or((run, "0"));
            let first = next.checked_add(u64::from_str_radix(gap, 36).ok()?)?;
            let last = first.checked_add(u64::from_str_radix(more, 36).ok()?)?;
            // What was written is a cursor of 64 KiB, in which a run of any length has its place; memory has not.
            if last - first > RUN_MAX {
                return None;
            }
            ids.ids.extend(first..=last);
            next = last;
        }
        Some(ids)
    }

    /// `.first.bits`, where it is shorter than this.
    fn bitmap(&self, shorter_than: usize) -> Option<String> {
        let (first, last) = (*self.ids.first()?, *self.ids.last()?);
        let length = (last - first) / BITS + 1;
        let head = format!(".{}.", base36(first));
        if length >= shorter_than.saturating_sub(head.len()) as u64 {
            return None;
        }
        let mut bits = vec![0_u8; usize::try_from(length).ok()?];
        for id in &self.ids {
            let place = id - first;
            bits[usize::try_from(place / BITS).ok()?] |= 1 << (place % BITS);
        }
        Some(head + &bits.iter().map(|bits| char::from(ALPHABET[usize::from(*bits)])).collect::<String>())
    }

    fn parse_bitmap(text: &str) -> Option<Ids> {
        let (first, bits) = text.split_once('.')?;
        let first = u64::from_str_radix(first, 36).ok()?;
        let mut ids = Ids::new();
        for (place, character) in (0_u64..).step_by(6).zip(bits.bytes()) {
            let bits = ALPHABET.iter().position(|known| *known == character)?;
            for bit in (0..BITS).filter(|bit| bits >> bit & 1 == 1) {
                ids.ids.insert(first.checked_add(place + bit)?);
            }
        }
        Some(ids)
    }
}

/// Numbers in one run: more than any source has under way, and no more memory than a guest has.
const RUN_MAX: u64 = 4_000_000;

impl FromIterator<u64> for Ids {
    fn from_iter<I: IntoIterator<Item = u64>>(ids: I) -> Ids {
        Ids { ids: ids.into_iter().collect() }
    }
}

impl Extend<u64> for Ids {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, ids: I) {
        self.ids.extend(ids);
    }
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        // A digit is below 36, so the cast loses nothing.
        digits.push(char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize]));
        number /= 36;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

/// Too much is missing for it to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{missing} of {known} are missing from the list, more than is believed at once; nothing is taken for deleted")]
#[non_exhaustive]
pub struct TooMany {
    /// How many are not in the list.
    pub missing: usize,
    /// How many are known.
    pub known: usize,
}

/// What is known and not in the list, ascending: at most a tenth of the known, or five.
///
/// # Errors
/// Where more is missing.
pub fn gone(known: &Ids, listed: &Ids) -> Result<Vec<u64>, TooMany> {
    gone_accepting(known, listed, 0)
}

/// The same where somebody has said that so many have gone: as many may be missing, whatever share of the known they are.
///
/// # Errors
/// Where more is missing.
pub fn gone_accepting(known: &Ids, listed: &Ids, accepted: usize) -> Result<Vec<u64>, TooMany> {
    let missing: Vec<u64> = known.ids.difference(&listed.ids).copied().collect();
    // Both are counts of things in memory, far below what a float holds exactly.
    let allowed = ALWAYS.max((known.len() as f64 * SHARE_MAX) as usize).max(accepted);
    if missing.len() > allowed {
        return Err(TooMany { missing: missing.len(), known: known.len() });
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::{Ids, gone, gone_accepting};

    fn check(ids: impl IntoIterator<Item = u64>, bytes_max: usize) {
        let ids: Ids = ids.into_iter().collect();
        let text = ids.to_text();
        assert!(text.len() <= bytes_max, "{} ids take {} bytes: {text:.60}", ids.len(), text.len());
        assert_eq!(Ids::parse(&text), Some(ids), "{text:.60}");
    }

    #[test]
    fn a_set_is_short_and_comes_back() {
        check([], 0);
        check([0], 1);
        check([u64::MAX], 13);
        check([1, 2, 3, 1_000_000_000], 20);
        check(1..=1_000_000, 8);
        // Two of three numbers, as issues are among pull requests.
        check((1..=15_000).filter(|n| n * 7 % 3 != 0), 2_600);
        check((1..=390_000).filter(|n| n % 3 != 0), 65_536);
        // Ids of repositories.
        check((0..1_000).map(|n| 100_000_000 + n * 7_919), 4_100);
    }

    #[test]
    fn what_is_no_set_is_none() {
        for text in ["x y", "1,,-1", ".1", ".1.*", "1+zzzzzzzzz", "zzzzzzzzzzzzz,1"] {
            assert_eq!(Ids::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_little_may_go_and_much_may_not() {
        let known: Ids = (1..=100).collect();
        let without = |count: u64| gone(&known, &(count + 1..=100).collect());
        assert_eq!(without(10).unwrap(), (1..=10).collect::<Vec<_>>());
        assert_eq!(without(11).unwrap_err().missing, 11);
        assert!(without(100).unwrap_err().to_string().contains("100 of 100"));
        assert_eq!(gone(&(1..=5).collect(), &Ids::new()).unwrap().len(), 5);
        assert!(gone(&(1..=6).collect(), &Ids::new()).is_err());
        let accepting = |accepted| gone_accepting(&known, &(31..=100).collect(), accepted);
        assert_eq!((accepting(30).unwrap().len(), accepting(29).unwrap_err().missing), (30, 30));
        assert_eq!(gone(&known, &(1..=200).collect()).unwrap(), Vec::<u64>::new());
    }
}

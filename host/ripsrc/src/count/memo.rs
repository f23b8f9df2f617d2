//! What lines came to before: a bounded table from (language, state, line) to what the line comes to, so that a line
//! that a history holds ten thousand times is read once. A line goes by a 64-bit hash that the caller has anyway; two
//! lines with the same hash are taken for the same, which among a million different lines happens once in 10^7 histories.

use super::classes::{Class, Outcome, State};

/// Places of the table that belong to no language: what else is remembered of lines. Languages are numbered from below.
pub(super) const GENERATED: u16 = u16::MAX;
/// The first of those for patterns that tell languages apart.
pub(super) const TELLING: u16 = 1 << 15;

/// Entries side by side in 64 bytes, which the processor fetches at once.
const WAYS: usize = 4;
/// The table begins this small, since most counters see a few files only: 64 KB.
const BUCKETS_MIN: usize = 1 << 10;
/// The entry that is pushed out of a full bucket is the one after the last that was, so old and new lines both stay.
const EMPTY: Entry = Entry { key: 0, value: 0 };

#[derive(Clone, Copy)]
struct Entry {
    key: u64,
    /// Zero: nothing here. Otherwise class + 1 (2 bits), complexity (30 bits), state (32 bits).
    value: u64,
}

#[repr(align(64))]
#[derive(Clone, Copy)]
struct Bucket([Entry; WAYS]);

/// More decisions than this on a line are not remembered; such lines are read each time.
pub(super) const COMPLEXITY_MAX: u32 = (1 << 30) - 1;

pub(super) struct Memo {
    buckets: Vec<Bucket>,
    buckets_max: usize,
    used: usize,
    /// Which entry of a full bucket goes next.
    turn: usize,
}

impl Memo {
    /// A table that never takes more than so many bytes (but for the smallest table, 64 KB).
    pub(super) fn new(bytes_max: usize) -> Memo {
        let fits = bytes_max / size_of::<Bucket>();
        let buckets_max = if fits.is_power_of_two() { fits } else { fits.next_power_of_two() / 2 };
        Memo { buckets: vec![Bucket([EMPTY; WAYS]); BUCKETS_MIN], buckets_max, used: 0, turn: 0 }
    }

    /// The key of a line in a language and state. Mixed well, since its low bits choose the bucket.
    pub(super) fn key(line_hash: u64, language: u16, state: State) -> u64 {
        let place = mix(u64::from(language) << 32 | u64::from(state.bits()));
        mix(line_hash ^ place.rotate_left(32))
    }

    pub(super) fn get(&self, key: u64) -> Option<Outcome> {
        let bucket = &self.buckets[self.place(key)];
        let entry = bucket.0.iter().find(|entry| entry.key == key && entry.value != 0)?;
        Some(unpack(entry.value))
    }

    pub(super) fn put(&mut self, key: u64, outcome: Outcome) {
        if outcome.complexity > COMPLEXITY_MAX {
            return;
        }
        // Half full is when buckets begin to overflow.
        if self.used > self.buckets.len() * WAYS / 2 && self.buckets.len() < self.buckets_max {
            self.grow();
        }
        self.insert(Entry { key, value: pack(outcome) });
    }

    fn insert(&mut self, entry: Entry) {
        let place = self.place(entry.key);
        let bucket = &mut self.buckets[place].0;
        if let Some(free) = bucket.iter_mut().find(|old| old.value == 0) {
            *free = entry;
            self.used += 1;
        } else {
            bucket[self.turn % WAYS] = entry;
            self.turn += 1;
        }
    }

    fn grow(&mut self) {
        let twice = self.buckets.len() * 2;
        let old = std::mem::replace(&mut self.buckets, vec![Bucket([EMPTY; WAYS]); twice]);
        self.used = 0;
        for entry in old.iter().flat_map(|bucket| bucket.0).filter(|entry| entry.value != 0) {
            self.insert(entry);
        }
    }

    fn place(&self, key: u64) -> usize {
        // The number of buckets is a power of two.
        key as usize & (self.buckets.len() - 1)
    }
}

pub(super) fn pack(outcome: Outcome) -> u64 {
    let class = match outcome.class {
        Class::Code => 1,
        Class::Comment => 2,
        Class::Blank => 3,
    };
    class | u64::from(outcome.complexity) << 2 | u64::from(outcome.next.bits()) << 32
}

pub(super) fn unpack(value: u64) -> Outcome {
    let class = match value & 3 {
        1 => Class::Code,
        2 => Class::Comment,
        _ => Class::Blank,
    };
    let complexity = (value >> 2) as u32 & COMPLEXITY_MAX;
    Outcome { class, next: State::from_bits((value >> 32) as u32), complexity }
}

/// Spreads every bit over all (the finalizer of MurmurHash3).
fn mix(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    bits ^ bits >> 33
}

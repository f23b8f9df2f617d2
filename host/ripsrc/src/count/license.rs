//! Which licence a text is: compared with the texts of all SPDX licences, and with the short notices that some of them
//! ask to be put into files.
//!
//! Two texts are as alike as the pairs of neighbouring words that they share: twice the number of shared pairs, divided
//! by the number of all pairs of both. The `spdx` crate compares the same way, by loading all texts (0.2 s, 50 MB) and
//! going through them (10 ms for each file). Here the question is turned round: an index, made when this crate is built
//! (see `build/licenses.rs`) and read where it lies in the program, tells for a pair which texts have it. The score is
//! exact: nothing is sampled or estimated. What makes it cheap is what the bound on the score says beforehand:
//! - only texts about as long as this one come into question, and
//! - a text with too many pairs that are in no licence is none, whatever the others are. So a README costs little more
//!   than being read once.
//!
//! A file that joins several licences is the longest of them if that makes up most of it, and otherwise none, as is one
//! with much else in it.

use super::words;

/// A licence, and how sure that is.
#[derive(Clone, Debug, PartialEq)]
pub struct License {
    /// Its SPDX identifier: `Apache-2.0`.
    pub name: String,
    /// From 0 to 1; never under [`CONFIDENCE_MIN`].
    pub confidence: f32,
}

/// Less than this is a guess. The predecessor's bound.
pub const CONFIDENCE_MIN: f32 = 0.85;

/// The longest that SPDX knows has 46 KB, the shortest 90 bytes. What is shorter or longer is none.
const TEXT_LEN: std::ops::RangeInclusive<usize> = 80..=64 * 1024;

/// The least part of either text's pairs that the other must have for the score to reach [`CONFIDENCE_MIN`]: if all
/// pairs of one are in the other, the score is `2 * one / (one + other)`.
const SHARED_MIN: f64 = CONFIDENCE_MIN as f64 / (2.0 - CONFIDENCE_MIN as f64);

/// A text of the index.
struct Text {
    name: &'static str,
    /// Whether it is not the licence but what refers to it: `Licensed under the Apache License …`.
    is_notice: bool,
    /// How many pairs it has.
    pairs: u16,
}

// The texts, in the order of their lengths, and how many bits the numbers below have for what.
include!(concat!(env!("OUT_DIR"), "/licenses.rs"));

// The format is told where it is written, in `build/licenses.rs`.
static PAIRS: &[[u8; 4]] = include_bytes!(concat!(env!("OUT_DIR"), "/license_pairs.bin")).as_chunks().0;
static SHELVES: &[[u8; 4]] = include_bytes!(concat!(env!("OUT_DIR"), "/license_shelves.bin")).as_chunks().0;
static STARTS: &[[u8; 4]] = include_bytes!(concat!(env!("OUT_DIR"), "/license_starts.bin")).as_chunks().0;
static PLACES: &[[u8; 2]] = include_bytes!(concat!(env!("OUT_DIR"), "/license_places.bin")).as_chunks().0;

/// The licence whose text this is. `doubtful` are files whose name says something else first, such as a README; these
/// must be a licence, not a notice that refers to one.
pub(super) fn detect(content: &[u8], doubtful: bool) -> Option<License> {
    search(content, doubtful, &mut 0)
}

/// Counts in `steps` what it did beyond reading the text: pairs looked up and places visited.
fn search(content: &[u8], doubtful: bool, steps: &mut usize) -> Option<License> {
    if !TEXT_LEN.contains(&content.len()) {
        return None;
    }
    let pairs = words::pairs(content);
    let (first, texts) = of_about(pairs.len());
    if texts.is_empty() {
        return None;
    }
    let known = known(&pairs, steps)?;
    let shared = shared(&known, first, texts.len(), steps);
    let scored = texts.iter().zip(shared).map(|(text, shared)| (text, score(shared, pairs.len(), text)));
    let (best, confidence) = scored
        .filter(|(text, score)| *score >= CONFIDENCE_MIN && !(doubtful && text.is_notice))
        .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
    Some(License { name: best.name.to_owned(), confidence })
}

fn score(shared: u32, pairs: usize, text: &Text) -> f32 {
    2.0 * shared as f32 / (pairs + usize::from(text.pairs)) as f32
}

/// The texts near enough in length to a text of so many pairs, and the number of the first of them.
fn of_about(pairs: usize) -> (usize, &'static [Text]) {
    let (least, most) = (pairs as f64 * SHARED_MIN, pairs as f64 / SHARED_MIN);
    let first = TEXTS.partition_point(|text| f64::from(text.pairs) < least.floor());
    let end = TEXTS.partition_point(|text| f64::from(text.pairs) <= most.ceil());
    (first, &TEXTS[first..end.max(first)])
}

/// The numbers of the pairs that any licence has, ascending. `None` as soon as there are too few.
fn known(pairs: &[u32], steps: &mut usize) -> Option<Vec<u32>> {
    let unknown_max = pairs.len() - (pairs.len() as f64 * SHARED_MIN).floor() as usize;
    let mut unknown = 0;
    let mut known = Vec::with_capacity(pairs.len());
    for pair in pairs {
        *steps += 1;
        match number(*pair) {
            Some(number) => known.push(number),
            None if unknown == unknown_max => return None,
            None => unknown += 1,
        }
    }
    known.sort_unstable();
    Some(known)
}

/// Which of all pairs it is.
fn number(pair: u32) -> Option<u32> {
    let shelf = (pair >> (u32::BITS - SHELF_BITS)) as usize;
    let (start, end) = (u32::from_le_bytes(SHELVES[shelf]), u32::from_le_bytes(SHELVES[shelf + 1]));
    (start..end).find(|at| u32::from_le_bytes(PAIRS[*at as usize]) == pair)
}

/// How many pairs each of so many texts shares with this one.
fn shared(known: &[u32], first: usize, texts: usize, steps: &mut usize) -> Vec<u32> {
    let mut shared = vec![0; texts];
    for same in known.chunk_by(|one, other| one == other) {
        let number = same[0] as usize;
        let places = u32::from_le_bytes(STARTS[number]) as usize..u32::from_le_bytes(STARTS[number + 1]) as usize;
        let places = &PLACES[places];
        let text = |place: &[u8; 2]| usize::from(u16::from_le_bytes(*place) >> COUNT_BITS);
        let start = places.partition_point(|place| text(place) < first);
        let (mut last, mut left) = (usize::MAX, 0);
        for place in &places[start..] {
            let at = text(place) - first;
            if at >= texts {
                break;
            }
            *steps += 1;
            if at != last {
                (last, left) = (at, same.len() as u32);
            }
            let count = u32::from(u16::from_le_bytes(*place) & ((1 << COUNT_BITS) - 1)).min(left);
            shared[at] += count;
            left -= count;
        }
    }
    shared
}

#[cfg(test)]
mod tests;

//! Turns the texts of all SPDX licences, which the `spdx` crate keeps, into an index that is read without being loaded:
//! which pairs of words are in which texts, and how often. How it is used is told in the module `count::license`.
//!
//! Four files of numbers, little-endian, beside a list of the texts in the order of their lengths:
//! - `license_pairs.bin`: the hashes of all pairs, ascending, 32 bits each.
//! - `license_shelves.bin`: for each value of a hash's upper 14 bits, and for the end, which pair is the first, 32 bits
//!   each.
//! - `license_starts.bin`: for each pair, and for the end, where its places start, 32 bits each.
//! - `license_places.bin`: for each pair the texts that have it, ascending: 10 bits for the text, and in the lower 6
//!   bits how often; a text that has it more often than 6 bits can tell comes again with the rest.

use crate::words;
use spdx::detection::{Store, TextData};
use spdx::text::LICENSE_TEXTS;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

const COUNT_BITS: u32 = 6;
const COUNT_MAX: usize = (1 << COUNT_BITS) - 1;
/// Four or five pairs stand on a shelf: looking one up is as quick as in a hash table, which would have gaps.
const SHELF_BITS: u32 = 14;
const TEXTS_MAX: usize = 1 << (16 - COUNT_BITS);

struct Text {
    name: String,
    is_notice: bool,
    /// Hashes of its pairs, ascending; as often as the text has them.
    pairs: Vec<u32>,
}

impl Text {
    fn new(name: &str, is_notice: bool, text: &str) -> Text {
        let mut pairs = words::pairs(text.as_bytes());
        pairs.sort_unstable();
        Text { name: name.to_owned(), is_notice, pairs }
    }
}

pub fn write(folder: &Path) {
    let texts = texts();
    assert!(texts.len() <= TEXTS_MAX, "{} texts: give them more than 10 of the 16 bits", texts.len());
    let mut list = format!("const COUNT_BITS: u32 = {COUNT_BITS};\nconst SHELF_BITS: u32 = {SHELF_BITS};\n");
    list.push_str("static TEXTS: &[Text] = &[\n");
    let mut places: BTreeMap<u32, Vec<u16>> = BTreeMap::new();
    for (at, text) in texts.iter().enumerate() {
        let Text { name, is_notice, pairs } = text;
        let _ = writeln!(list, "    Text {{ name: {name:?}, is_notice: {is_notice}, pairs: {} }},", pairs.len());
        for same in pairs.chunk_by(|one, other| one == other) {
            let of_pair = places.entry(same[0]).or_default();
            of_pair.extend(same.chunks(COUNT_MAX).map(|some| (at << COUNT_BITS | some.len()) as u16));
        }
    }
    list.push_str("];\n");
    let starts = ends(places.values().map(Vec::len));
    let mut on_shelf = vec![0; 1 << SHELF_BITS];
    places.keys().for_each(|pair| on_shelf[(pair >> (u32::BITS - SHELF_BITS)) as usize] += 1);
    let put = |name: &str, bytes: &[u8]| crate::put(&folder.join(name), bytes);
    put("licenses.rs", list.as_bytes());
    put("license_pairs.bin", &bytes(places.keys().copied()));
    put("license_shelves.bin", &bytes(ends(on_shelf.into_iter())));
    put("license_starts.bin", &bytes(starts));
    put("license_places.bin", &places.values().flatten().flat_map(|place| place.to_le_bytes()).collect::<Vec<u8>>());
}

/// Where each of several ranges that lie end to end begins, and where the last one ends.
fn ends(lengths: impl Iterator<Item = usize>) -> impl Iterator<Item = u32> {
    std::iter::once(0).chain(lengths.scan(0, |end, length| {
        *end += length as u32;
        Some(*end)
    }))
}

fn bytes(numbers: impl Iterator<Item = u32>) -> Vec<u8> {
    numbers.flat_map(u32::to_le_bytes).collect()
}

/// All texts that have words, from the shortest to the longest. The crate's own order is another in every process.
fn texts() -> Vec<Text> {
    let store = Store::load_inline().expect("the crate can read its own texts");
    let mut texts = Vec::new();
    for (name, entry) in store.iter() {
        let mut add = |data: &TextData, is_notice| {
            let text = data.lines().join("\n");
            texts.push(Text::new(name, is_notice, &text));
        };
        add(&entry.original, false);
        entry.alternates.iter().for_each(|data| add(data, false));
        entry.headers.iter().for_each(|data| add(data, true));
        add_namesakes(name, &entry.aliases, &mut texts);
    }
    texts.retain(|text| !text.pairs.is_empty());
    texts.sort_by_cached_key(|text| (text.pairs.len(), text.is_notice, text.name.clone()));
    texts
}

/// The texts of licences that the crate takes for the same, because its reading leaves nothing of either.
fn add_namesakes(name: &str, aliases: &[String], texts: &mut Vec<Text>) {
    let text_of = |name: &str| {
        let found = LICENSE_TEXTS.iter().find(|(of, _)| *of == name)?;
        Some(Text::new(found.0, false, found.1))
    };
    let Some(first) = text_of(name) else { return };
    let differs = |text: &Text| text.pairs != first.pairs;
    texts.extend(aliases.iter().filter_map(|alias| text_of(alias)).filter(differs));
}

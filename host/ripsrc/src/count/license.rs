//! Which licence a text is: compared with the texts of all SPDX licences. The texts are loaded when the first file asks
//! for them, once for the whole process.

use spdx::detection::{Store, TextData};
use std::sync::LazyLock;

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

/// A licence has a few hundred bytes at least, and the longest that SPDX knows (with all its appendices) under 100 KB.
/// What is shorter or longer is none; a README of a megabyte is not compared with 700 licences.
const TEXT_LEN: std::ops::RangeInclusive<usize> = 100..=128 * 1024;

/// `None` if the texts, which are part of the program, cannot be read: a fault that a test would see.
static TEXTS: LazyLock<Option<Store>> = LazyLock::new(|| Store::load_inline().ok());

/// The licence whose text this is.
pub(super) fn detect(content: &[u8]) -> Option<License> {
    if !TEXT_LEN.contains(&content.len()) || !speaks_of_rights(content) {
        return None;
    }
    let text = String::from_utf8_lossy(content);
    let best = TEXTS.as_ref()?.analyze(&TextData::new(&text));
    let sure = best.score >= CONFIDENCE_MIN;
    sure.then(|| License { name: best.name.to_owned(), confidence: best.score })
}

/// Whether the text has a word that nearly every licence has; comparing takes milliseconds, this microseconds.
fn speaks_of_rights(content: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[b"licen", b"copyright", b"warrant", b"permission", b"public domain", b"permitted"];
    let starts = |at: usize| {
        WORDS.iter().any(|word| content.get(at..at + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word)))
    };
    (0..content.len()).any(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_can_be_read() {
        assert!(TEXTS.as_ref().is_some_and(|store| store.len() > 400));
    }
}

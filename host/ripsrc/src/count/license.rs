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

/// The longest that SPDX knows has 46 KB, the shortest 90 bytes. What is shorter or longer is none.
const TEXT_LEN: std::ops::RangeInclusive<usize> = 80..=64 * 1024;

/// `None` if the texts, which are part of the program, cannot be read: a fault that a test would see.
static TEXTS: LazyLock<Option<Store>> = LazyLock::new(|| Store::load_inline().ok());

/// The licence whose text this is. `doubtful` are files whose name says something else first, such as a README.
pub(super) fn detect(content: &[u8], doubtful: bool) -> Option<License> {
    if !TEXT_LEN.contains(&content.len()) || doubtful && !is_dense(content) {
        return None;
    }
    let text = String::from_utf8_lossy(content);
    let best = TEXTS.as_ref()?.analyze(&TextData::new(&text));
    let sure = best.score >= CONFIDENCE_MIN;
    sure.then(|| License { name: best.name.to_owned(), confidence: best.score })
}

/// Whether the words of licences stand as close together as in one. Comparing takes milliseconds, and a history may hold
/// hundreds of versions of a README; this takes microseconds.
fn is_dense(content: &[u8]) -> bool {
    // The licences in use have one in five to one in twelve words; manuals have fewer than one in 25.
    const WORDS_BETWEEN_MAX: usize = 15;
    const ROOTS: &[&str] = &[
        "licen",
        "copyright",
        "warrant",
        "permi",
        "public",
        "liab",
        "distribut",
        "provided",
        "right",
        "notice",
        "modif",
        "use",
        "free",
        "grant",
        "software",
        "work",
    ];
    let (mut words, mut found) = (0, 0);
    for word in content.split(|byte| !byte.is_ascii_alphabetic()).filter(|word| !word.is_empty()) {
        words += 1;
        let is_root =
            |root: &&str| word.get(..root.len()).is_some_and(|start| start.eq_ignore_ascii_case(root.as_bytes()));
        found += usize::from(ROOTS.iter().any(is_root));
    }
    found * WORDS_BETWEEN_MAX >= words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_can_be_read() {
        assert!(TEXTS.as_ref().is_some_and(|store| store.len() > 400));
    }
}

//! What was not as it should be, in one repository or project: items that were left out, by name; deletions that are too large to be
//! believed; values that nobody knew; texts that were cut. Nothing of it ends the export, and all of it is said at the end.

use std::collections::BTreeMap;

use agent_sdk::log;
use serde::{Deserialize, Deserializer};

/// Items that are named; the others are counted.
const NAMED_MAX: usize = 10;
/// Bytes of a reason that are kept.
const WHY_BYTES_MAX: usize = 300;
/// Bytes of a text in a record. The host takes records of 8 MiB, and JSON may need six bytes for one.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// What is collected on the way.
#[derive(Debug, Default)]
pub struct Notes {
    left_out: u64,
    named: Vec<String>,
    refused: Vec<String>,
    odd: BTreeMap<(&'static str, String), u64>,
    cut: u64,
}

impl Notes {
    /// Notes an item that is left out.
    pub fn left_out(&mut self, what: &str) {
        self.left_out += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(shortened(what, WHY_BYTES_MAX).to_owned());
        }
    }

    /// Notes a deletion that is not believed, and what would accept it.
    pub fn refused(&mut self, why: String) {
        self.refused.push(why);
    }

    /// How many items were left out so far.
    pub fn count(&self) -> u64 {
        self.left_out + self.refused.len() as u64
    }

    /// One of the words that a field is known to have; `UNKNOWN`, and noted, where it is none of them.
    pub fn word(&mut self, field: &'static str, word: &str, known: &[&'static str]) -> &'static str {
        if let Some(found) = known.iter().find(|known| **known == word) {
            return found;
        }
        *self.odd.entry((field, shortened(word, 64).to_owned())).or_default() += 1;
        "UNKNOWN"
    }

    /// A text as a record has it: cut, and noted, where it is huge.
    pub fn text(&mut self, text: String) -> String {
        if text.len() <= TEXT_BYTES_MAX {
            return text;
        }
        self.cut += 1;
        shortened(&text, TEXT_BYTES_MAX).to_owned()
    }

    /// Says it all in the log; what was left out, for the result.
    pub fn tell(self, place: &str) -> Option<String> {
        for ((field, word), count) in &self.odd {
            let fields = [("in", place), ("field", *field), ("value", word), ("times", &count.to_string())];
            log::warn("a value is not known; the record says UNKNOWN", &fields);
        }
        if self.cut > 0 {
            let fields = [("in", place), ("texts", &self.cut.to_string())];
            log::warn("texts of more than 1 MiB were cut", &fields);
        }
        for why in &self.refused {
            log::warn("a deletion is not believed", &[("in", place), ("why", why)]);
        }
        if self.left_out == 0 {
            return (!self.refused.is_empty()).then(|| self.refused.join("; "));
        }
        let more = self.left_out - self.named.len() as u64;
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let all = format!("{} left out: {}{more}", self.left_out, self.named.join("; "));
        log::warn("items were left out", &[("in", place), ("items", &all)]);
        // What somebody can do something about comes first.
        Some([self.refused, vec![all]].concat().join("; "))
    }
}

/// Reads an item of the server; where it is not what it should be, which field of it, and why.
pub fn read<'de, T: Deserialize<'de>>(item: impl Deserializer<'de>) -> Result<T, String> {
    serde_path_to_error::deserialize(item).map_err(|error| error.to_string())
}

/// The beginning of a text, in so many bytes at most.
pub fn shortened(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::{Notes, TEXT_BYTES_MAX, shortened};

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!((shortened("äöü", 3), shortened("äöü", 99), shortened("", 1)), ("ä", "äöü", ""));
        let mut notes = Notes::default();
        assert_eq!(notes.text("x".repeat(TEXT_BYTES_MAX + 1)).len(), TEXT_BYTES_MAX);
        assert_eq!((notes.text("x".to_owned()), notes.cut), ("x".to_owned(), 1));
    }

    #[test]
    fn words_that_nobody_knows_are_noted() {
        let mut notes = Notes::default();
        assert_eq!(notes.word("state", "OPEN", &["OPEN"]), "OPEN");
        assert_eq!(notes.word("state", "FROZEN", &["OPEN"]), "UNKNOWN");
        assert_eq!(notes.odd[&("state", "FROZEN".to_owned())], 1);
    }
}

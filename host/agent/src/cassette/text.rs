//! Texts of a file that may be anybody's: those that are no text, because somebody wrote bytes as one, and those that are too long
//! to be repeated in an error.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// Bytes of the beginning and the end of a text that is told.
const BEGIN_BYTES: usize = 200;
const END_BYTES: usize = 60;

/// A text as JSON has it, where a text may have single halves of surrogate pairs: JavaScript writes those that it has, and Python
/// writes bytes that are no UTF-8 so (`surrogateescape`), as mitmproxy does with bodies and header fields. Those are bytes again
/// here; what is nothing at all is U+FFFD.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Text(Vec<u8>);

impl Text {
    /// The text; what is no UTF-8 in it is replaced.
    pub(super) fn into_string(self) -> String {
        String::from_utf8(self.0).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// From UTF-8 in which half pairs are encoded as if they were characters.
    fn of(bytes: Vec<u8>) -> Text {
        if std::str::from_utf8(&bytes).is_ok() {
            return Text(bytes);
        }
        let (mut plain, mut rest) = (Vec::with_capacity(bytes.len()), &bytes[..]);
        while let Some((byte, behind)) = rest.split_first() {
            match rest {
                [0xed, high @ 0xa0..=0xbf, low, behind @ ..] => {
                    let half = 0xd000 | u32::from(high & 0x3f) << 6 | u32::from(low & 0x3f);
                    match (half, half.to_le_bytes()) {
                        (0xdc80..=0xdcff, [byte, ..]) => plain.push(byte),
                        _ => plain.extend_from_slice("\u{fffd}".as_bytes()),
                    }
                    rest = behind;
                }
                _ => {
                    plain.push(*byte);
                    rest = behind;
                }
            }
        }
        Text(plain)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As bytes: a text with half a pair is refused where a text is asked for.
        deserializer.deserialize_byte_buf(Whole)
    }
}

struct Whole;

impl Visitor<'_> for Whole {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Text, E> {
        Ok(Text::of(bytes.to_vec()))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Text, E> {
        Ok(Text::of(bytes))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.as_bytes().to_vec()))
    }
}

/// A text for an error: what it begins with, and its end, where errors say their place.
pub(super) fn short(text: &str) -> String {
    if text.len() <= BEGIN_BYTES + END_BYTES {
        return text.to_owned();
    }
    let end = text.ceil_char_boundary(text.len() - END_BYTES);
    format!("{}…{}", crate::cut(text, BEGIN_BYTES), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_pairs_are_the_bytes_that_they_stand_for() {
        for (json, expected) in [
            (r#""plain \u00fc \ud83d\ude00""#, "plain ü 😀".as_bytes()),
            (r#""\udcff\udc80a""#, b"\xff\x80a"),
            // An ü in two bytes, written one by one.
            (r#""\udcc3\udcbc""#, "ü".as_bytes()),
            (r#""\ud83d|\udbff""#, "\u{fffd}|\u{fffd}".as_bytes()),
            (r#""\udc7f""#, "\u{fffd}".as_bytes()),
            (r#""""#, b""),
        ] {
            assert_eq!(serde_json::from_str::<Text>(json).unwrap().into_bytes(), expected, "{json}");
        }
        let text: Text = serde_json::from_str(r#""a\udcffb""#).unwrap();
        assert_eq!(text.into_string(), "a\u{fffd}b");
        for wrong in ["7", "null", "[1, 2]", "{}", r#""\u12"#] {
            assert!(serde_json::from_str::<Text>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_long_keeps_its_ends() {
        assert_eq!(short("short"), "short");
        let told = short(&format!("what is wrong{} at line 1 column 2", "ü".repeat(1 << 20)));
        assert!(told.starts_with("what is wrong") && told.ends_with(" at line 1 column 2"), "{told}");
        assert!(told.len() < 300 && told.contains('…'), "{told}");
    }
}

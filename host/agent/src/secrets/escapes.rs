//! Texts as they read without the escapes of JSON or of URLs, and where in them something stands. Pure; what is looked for is
//! `known`'s.
//!
//! A text need not be either: what is no escape stays what it is.

use std::ops::Range;

/// Whose escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Url,
}

/// All of them.
pub(super) const KINDS: [Kind; 2] = [Kind::Json, Kind::Url];

/// What an escape of UTF-16 begins with, and what a document in a document has many of; a text without any is not looked at.
const BEGIN: &[u8] = b"\\u";
const NESTED: &[u8] = b"\\\\";

impl Kind {
    fn mark(self) -> u8 {
        match self {
            Kind::Json => b'\\',
            Kind::Url => b'%',
        }
    }

    /// The escape that a text begins with, and its length.
    fn escape(self, text: &[u8]) -> Option<(Plain, usize)> {
        match self {
            Kind::Json => escape(text).map(|(character, length)| (character.into(), length)),
            Kind::Url => {
                let [b'%', high, low, ..] = text else { return None };
                let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                Some((Plain { bytes: [digit(high)? << 4 | digit(low)?, 0, 0, 0], len: 1 }, 3))
            }
        }
    }
}

/// The text without escapes; none where it has none that other forms do not have.
pub(super) fn unescaped(text: &[u8], kind: Kind) -> Option<Vec<u8>> {
    match kind {
        Kind::Json => memchr::memmem::find(text, BEGIN).or_else(|| memchr::memmem::find(text, NESTED))?,
        Kind::Url => memchr::memchr(kind.mark(), text)?,
    };
    let mut plain = Vec::with_capacity(text.len());
    for piece in pieces(text, kind) {
        plain.extend_from_slice(piece.plain(text));
    }
    Some(plain)
}

/// Where in a text something stands that stands at these places of it without escapes. Both are in order.
pub(super) fn places(text: &[u8], kind: Kind, found: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut places: Vec<Range<usize>> = Vec::with_capacity(found.len());
    let (mut wanted, mut begun) = (found.iter().peekable(), None);
    let mut at = 0;
    for piece in pieces(text, kind) {
        let (plain, stands_for_itself) = (piece.plain(text).len(), piece.escape.is_none());
        let here = at..at + plain;
        while let Some(range) = wanted.peek() {
            // Within what is escaped there are no places: it is all or nothing.
            if begun.is_none() && range.start < here.end {
                let within = if stands_for_itself { range.start - here.start } else { 0 };
                begun = Some(piece.from + within);
            }
            match begun {
                Some(start) if range.end <= here.end => {
                    let end = if stands_for_itself { piece.from + range.end - here.start } else { piece.to };
                    places.push(start..end);
                    begun = None;
                    wanted.next();
                }
                _ => break,
            }
        }
        at = here.end;
    }
    places
}

/// A piece of a text: one that stands for itself, or an escape.
struct Piece {
    from: usize,
    to: usize,
    escape: Option<Plain>,
}

/// What an escape stands for: a character's bytes.
struct Plain {
    bytes: [u8; 4],
    len: usize,
}

impl Piece {
    fn plain<'a>(&'a self, text: &'a [u8]) -> &'a [u8] {
        match &self.escape {
            Some(plain) => &plain.bytes[..plain.len],
            None => &text[self.from..self.to],
        }
    }
}

impl From<char> for Plain {
    fn from(character: char) -> Plain {
        let mut bytes = [0; 4];
        let len = character.encode_utf8(&mut bytes).len();
        Plain { bytes, len }
    }
}

fn pieces(text: &[u8], kind: Kind) -> impl Iterator<Item = Piece> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at == text.len() {
            return None;
        }
        let from = at;
        if let Some((plain, length)) = kind.escape(&text[from..]) {
            at = from + length;
            return Some(Piece { from, to: at, escape: Some(plain) });
        }
        // From behind this byte on, which is no escape.
        let next = memchr::memchr(kind.mark(), &text[from + 1..]).map_or(text.len(), |next| from + 1 + next);
        at = next;
        Some(Piece { from, to: at, escape: None })
    })
}

/// The escape of JSON that a text begins with, and its length.
fn escape(text: &[u8]) -> Option<(char, usize)> {
    let [b'\\', kind, ..] = text else { return None };
    let character = match kind {
        b'u' => return utf16(text),
        b'"' | b'\\' | b'/' => char::from(*kind),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        _ => return None,
    };
    Some((character, 2))
}

/// One unit, or two that are one character.
fn utf16(text: &[u8]) -> Option<(char, usize)> {
    let unit = |text: &[u8]| {
        let digits = text.strip_prefix(BEGIN)?.get(..4)?.iter();
        digits.map(|digit| char::from(*digit).to_digit(16)).try_fold(0, |sum, digit| Some(sum << 4 | digit?))
    };
    let first = unit(text)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, 6));
    }
    let second = unit(&text[6..])?;
    let units = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    let character = char::decode_utf16(units).next()?.ok()?;
    Some((character, 12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_json_reads_it() {
        for (text, expected) in [
            (r"a\u0062c", "abc"),
            (r"\u00e4\u00E4\ud83d\udd11", "ää\u{1f511}"),
            (r#"\u0061\"\\\/\n\t\b\f\r"#, "a\"\\/\n\t\u{8}\u{c}\r"),
            // What is no escape stays.
            (r"\u0061\ud83d\x\u12", r"a\ud83d\x\u12"),
            (r"\u0061\ud83d\u0062\", r"a\ud83db\"),
        ] {
            let plain = unescaped(text.as_bytes(), Kind::Json).expect("it has some");
            assert_eq!(String::from_utf8_lossy(&plain), expected, "{text}");
        }
        assert_eq!(unescaped(br#"a\"b\n"#, Kind::Json), None);
    }

    #[test]
    fn a_text_is_read_as_urls_are() {
        for (text, expected) in [("a%62c%C3%a4+%2B", "abcä++"), ("100%", "100%"), ("%zz%4%41", "%zz%4A")] {
            let plain = unescaped(text.as_bytes(), Kind::Url).expect("it has some");
            assert_eq!(String::from_utf8_lossy(&plain), expected, "{text}");
        }
        assert_eq!(super::places(b"x%41%42%43y", Kind::Url, &[1..2, 2..4]), [1..4, 4..10]);
    }

    #[test]
    fn what_is_found_is_found_where_it_is_escaped() {
        let text = r"xx\u0061bc\u00e4dyyabc\u00e4d";
        let plain = unescaped(text.as_bytes(), Kind::Json).expect("it has some");
        let plain = String::from_utf8(plain).expect("it is text");
        let found: Vec<Range<usize>> = plain.match_indices("abcäd").map(|(at, hit)| at..at + hit.len()).collect();
        let places: Vec<&str> =
            places(text.as_bytes(), Kind::Json, &found).into_iter().map(|place| &text[place]).collect();
        assert_eq!(places, [r"\u0061bc\u00e4d", r"abc\u00e4d"]);
        // A place that begins and ends within a character has all of it.
        let whole = r"\ud83d\udd11";
        assert_eq!(super::places(whole.as_bytes(), Kind::Json, &[1..2, 2..3]), [0..12, 0..12]);
        assert_eq!(super::places(b"\\u0061bcd", Kind::Json, &[0..1, 1..2, 2..4]), [0..6, 6..7, 7..9]);
    }
}

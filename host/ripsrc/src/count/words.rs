//! A text as pairs of neighbouring words, the way licences are compared: without case, punctuation, titles and the
//! lines that name a copyright's holders. The build script reads the texts of all licences by it, and the detector the
//! text in question, so the two always agree. What a pair is worth is told elsewhere.
//!
//! The `spdx` crate, whose lines are the source, does the same by two dozen regular expressions, in milliseconds. What
//! is done otherwise on purpose: a line only counts as a title, or as naming holders, if it is short, so that a
//! paragraph on one line is not dropped; marks before such a line (`# MIT License`, `* Copyright`) do not hide it; text
//! is not brought into a Unicode normal form; and a word that most lines begin with is left where it is.

/// A line of more words is a paragraph, whatever it begins with. Licences name their own holders in lines of up to 20
/// words; wrapped text has 16 in a line at most.
const LINE_WORDS_MAX: usize = 20;

/// The pairs of neighbouring words, hashed, in the order of the text. One pass over the bytes and one over the words,
/// whatever they are.
pub(crate) fn pairs(text: &[u8]) -> Vec<u32> {
    let mut reader = Reader::default();
    reader.read(text);
    let kept: Vec<u64> = reader.kept();
    kept.windows(2).map(|pair| hash_pair(pair[0], pair[1])).collect()
}

/// What is known of a line that has words.
#[derive(Clone, Copy, Default)]
struct Line {
    /// Where its words begin.
    start: usize,
    /// Whether an empty line, or the text's beginning, is before it.
    after_gap: bool,
    /// Whether its first word is about copyright.
    copyright_first: bool,
    /// Whether a year or `(c)` follows that word.
    copyright_of: bool,
    /// Whether any of its words is about copyright.
    copyright: bool,
    title: Title,
}

/// How far a line goes as a title: `… License`, and then perhaps `Version 2.0` and `Copyright …`.
#[derive(Clone, Copy, Default, PartialEq)]
enum Title {
    #[default]
    No,
    Name,
    Version,
    Numbered,
    Copyright,
}

impl Title {
    fn next(self, word: &[u8]) -> Title {
        match self {
            Title::Copyright => Title::Copyright,
            _ if word.ends_with(b"license") => Title::Name,
            Title::Name if word == b"version" => Title::Version,
            Title::Name | Title::Numbered if word.starts_with(b"copyright") => Title::Copyright,
            Title::Version => Title::Numbered,
            _ => Title::No,
        }
    }

    fn is_whole(self) -> bool {
        matches!(self, Title::Name | Title::Numbered | Title::Copyright)
    }
}

#[derive(Default)]
struct Reader {
    word: Vec<u8>,
    words: Vec<u64>,
    lines: Vec<Line>,
    line: Line,
    gap: bool,
}

/// What a byte of ASCII is.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Part of a word.
    Word,
    /// A blank to fill in, `____`, however wide.
    Fill,
    Space,
    LineEnd,
    /// Punctuation and signs, which leave no trace: `don't` and `dont` are the same.
    Dropped,
}

static KINDS: [Kind; 128] = {
    let mut kinds = [Kind::Dropped; 128];
    let mut byte = 0;
    while byte < 128 {
        kinds[byte] = match byte as u8 {
            // The digit four is a blank: in the lines that the `spdx` crate gives out it has become one, so it must be
            // one here as well, or `section 4` would be strange to every licence.
            b' ' | b'\t' | b'/' | b'\\' | b'4' => Kind::Space,
            b'\n' | b'\r' | 0x0B | 0x0C => Kind::LineEnd,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => Kind::Word,
            b'_' => Kind::Fill,
            _ => Kind::Dropped,
        };
        byte += 1;
    }
    kinds
};

impl Reader {
    fn read(&mut self, text: &[u8]) {
        self.gap = true;
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            if !byte.is_ascii() {
                at += self.beyond_ascii(&text[at..]);
                continue;
            }
            at += 1;
            match KINDS[usize::from(byte)] {
                Kind::Fill if self.word.last() == Some(&byte) => {}
                Kind::Word | Kind::Fill => self.word.push(byte.to_ascii_lowercase()),
                Kind::Space => self.end_word(),
                Kind::LineEnd => {
                    self.end_line();
                    at += usize::from(byte == b'\r' && text.get(at) == Some(&b'\n'));
                }
                Kind::Dropped if byte == b':' => at += self.address(&text[at..]),
                Kind::Dropped => self.mark(),
            }
        }
        self.end_line();
    }

    /// A mark that stands by itself: with one behind it, a line is a sentence and no title.
    fn mark(&mut self) {
        if self.word.is_empty() && self.line.title != Title::Copyright {
            self.line.title = Title::No;
        }
    }

    /// Reads one character, and says how many bytes it has. What is not UTF-8 leaves no trace.
    fn beyond_ascii(&mut self, text: &[u8]) -> usize {
        const BYTES_MAX: usize = 4;
        let some = &text[..text.len().min(BYTES_MAX)];
        let Some(chunk) = some.utf8_chunks().next() else { return 1 };
        let Some(character) = chunk.valid().chars().next() else { return chunk.invalid().len().max(1) };
        match character {
            'Ⓒ' | 'ⓒ' => self.word.push(b'c'),
            _ if character.is_alphabetic() => {
                for lower in character.to_lowercase() {
                    self.word.extend_from_slice(lower.encode_utf8(&mut [0; BYTES_MAX]).as_bytes());
                }
            }
            _ if character.is_whitespace() => self.end_word(),
            _ => {}
        }
        character.len_utf8()
    }

    /// After a colon: if that was one of an address on the web, the address becomes the same three words as every
    /// other. Says how many bytes it has beyond the colon.
    fn address(&mut self, text: &[u8]) -> usize {
        let of_web = self.word.ends_with(b"http") || self.word.ends_with(b"https");
        if !of_web || !text.starts_with(b"//") || text.get(2).is_none_or(u8::is_ascii_whitespace) {
            return 0;
        }
        if self.word.last() == Some(&b's') {
            self.word.pop();
        }
        for word in ["blackboxed", "url"] {
            self.end_word();
            self.word.extend_from_slice(word.as_bytes());
        }
        text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len())
    }

    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let (word, line) = (&self.word, &mut self.line);
        let about = word.starts_with(b"copyright");
        match self.words.len() - line.start {
            0 => line.copyright_first = about,
            1 if word == b"c" || word[0].is_ascii_digit() => {
                line.copyright_of = self.words.last() == Some(&hash_word(b"copyright"));
            }
            _ => {}
        }
        line.copyright |= about;
        line.title = line.title.next(word);
        self.words.push(hash_word(word));
        self.word.clear();
    }

    fn end_line(&mut self) {
        self.end_word();
        let start = self.words.len();
        if start == self.line.start {
            self.gap = true;
            return;
        }
        let after_gap = std::mem::take(&mut self.gap);
        let line = std::mem::replace(&mut self.line, Line { start, ..Line::default() });
        self.lines.push(Line { after_gap, ..line });
    }

    /// The words of all lines but titles and those that name holders.
    fn kept(self) -> Vec<u64> {
        let mut kept = Vec::with_capacity(self.words.len());
        let mut at_beginning = true;
        for (at, line) in self.lines.iter().enumerate() {
            let next = self.lines.get(at + 1);
            let end = next.map_or(self.words.len(), |next| next.start);
            let before_gap = next.is_none_or(|next| next.after_gap);
            let is_title = at == 0 && before_gap && line.title.is_whole();
            let alone = line.after_gap && before_gap;
            let names_holders = line.copyright_first && (line.copyright_of || alone) || at_beginning && line.copyright;
            let dropped = end - line.start <= LINE_WORDS_MAX && (is_title || names_holders);
            if !dropped {
                kept.extend_from_slice(&self.words[line.start..end]);
            }
            at_beginning &= is_title;
        }
        kept
    }
}

const ODD: u64 = 0x9E37_79B9_7F4A_7C15;

fn fold(hash: u64, part: u64) -> u64 {
    let product = u128::from(hash ^ part) * u128::from(ODD);
    (product as u64) ^ (product >> 64) as u64
}

fn hash_word(word: &[u8]) -> u64 {
    let (parts, rest) = word.as_chunks::<8>();
    let hash = parts.iter().fold(word.len() as u64 ^ ODD, |hash, part| fold(hash, u64::from_le_bytes(*part)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(hash, u64::from_le_bytes(last))
}

/// Half of the bits are kept: that one of a text's thousand pairs looks like one of all licences' hundred thousand, and
/// is none, happens once in fifty texts, and then changes the score by a thousandth.
fn hash_pair(first: u64, second: u64) -> u32 {
    (fold(first.rotate_left(23) ^ second, ODD) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts, and how else they may be written.
    const SAME: &[(&str, &str)] = &[
        ("Don't use it (ever), please!", "dont USE\tit\n\never\r\nplease"),
        ("either and/or both", "either and or both"),
        ("a “quoted” word — and © marks", "a quoted word and marks"),
        ("ÉTÉ über Straße", "été Über straße"),
        ("non-breaking\u{A0}space", "nonbreaking space"),
        ("see https://example.com/a?b=c for more", "see <http://other.example/> for more"),
        ("see http:// for more", "see http for more"),
        ("section 14 of", "section 1 of"),
        ("by ______ of", "by _ of"),
        ("not \u{FFFD}UTF-8", "not utf8"),
        ("one\rtwo\x0Cthree", "one two three"),
        // Titles.
        ("MIT License\n\nDo what you want", "do what you want"),
        ("\n\n# The X License Version 2.0\n\nDo what you want", "do what you want"),
        ("X License Copyright Jane Doe\n\nDo what you want", "do what you want"),
        ("Version 2 of the License, see\n\nDo what", "version 2 of the license see do what"),
        ("Choose a License :)\n\nDo what you want", "choose a license\ndo what you want"),
        ("The License\nof old\n\nDo what", "the license of old do what"),
        // Holders.
        ("Copyright (c) 2012 Jane Doe\nCopyright © 2013-2015 Doe\n\nDo what you want", "do what you want"),
        ("MIT License\n\nPortions are Copyright of Jane Doe\n\nDo what", "do what"),
        ("Do what\n\nCopyright Jane Doe and others\n\nyou want", "do what you want"),
        ("// Do what\n//\n// Copyright 2020 Jane Doe\n// you want", "do what you want"),
        ("Do it\nCopyright(c) 2001 Jane Doe", "do it\ncopyrightc\n2001 jane doe"),
        ("Do what the\ncopyright holder wants", "do\nwhat the copyright holder wants"),
        ("Do what\nall copyright 2020 wants", "do\nwhat all copyright 2020 wants"),
        ("Do what\ncopyright conditions say", "do\nwhat copyright conditions say"),
    ];

    #[test]
    fn what_reads_the_same_is_the_same() {
        for (one, other) in SAME {
            assert_eq!(pairs(one.as_bytes()), pairs(other.as_bytes()), "{one}");
            assert!(!pairs(one.as_bytes()).is_empty(), "{one}");
        }
    }

    #[test]
    fn a_paragraph_on_one_line_is_kept_whatever_it_begins_with() {
        let of = |words: usize| format!("Do what\n\nCopyright (c) {}\n\nyou want", "word ".repeat(words));
        assert_eq!(pairs(of(LINE_WORDS_MAX - 2).as_bytes()).len(), 3);
        assert_eq!(pairs(of(LINE_WORDS_MAX - 1).as_bytes()).len(), 3 + LINE_WORDS_MAX + 1);
    }

    #[test]
    fn what_differs_in_a_word_or_its_place_differs() {
        let all = ["a b c", "b a c", "a b", "a c b", "ab c", "a bc", "a b d"];
        for (at, one) in all.iter().enumerate() {
            let same = all.iter().filter(|other| pairs(other.as_bytes()) == pairs(one.as_bytes())).count();
            assert_eq!(same, 1, "{at}: {one}");
        }
        assert_eq!(pairs(b"a b a b"), [pairs(b"a b"), pairs(b"b a"), pairs(b"a b")].concat());
    }

    #[test]
    fn bytes_that_are_no_text_leave_no_trace() {
        assert_eq!(pairs(b"do \xFF\xE2\x82what\xF0\x9F\x92 you\xC3"), pairs(b"do what you"));
        assert_eq!(pairs("cut off €".as_bytes().split_last().map_or(&b""[..], |all| all.1)), pairs(b"cut off"));
        assert_eq!([&b""[..], b"one", b"\xFF\xFF", b"\n\n"].map(|text| pairs(text).len()), [0; 4]);
    }
}

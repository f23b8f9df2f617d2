//! What a record is to the store: one JSON object on a line, its key, and the hash by which a change is noticed.
//!
//! The hash is over a canonical form, so that the order of members and white space do not matter: members sorted by
//! name, no white space, strings with the fewest escapes, numbers by their text. (`1.0` and `1` count as a change; to send
//! a record once more does no harm, to miss a change would.) The reference for what is JSON is `serde_json`; the tests
//! hold this reader against it. It is our own because it runs once for every record: it reads, checks and orders in one
//! pass, without making values.

use std::hash::Hasher;
use std::ops::Range;

use siphasher::sip::SipHasher13;

use super::marks::{Mark, VOID};

/// Levels of arrays and objects; the limit of `serde_json`.
const DEPTH_MAX: usize = 128;

/// Why a line is not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordFault {
    #[error("it is not valid JSON: {what} at column {column}")]
    NotJson { column: usize, what: &'static str },
    #[error("it is {0}, and a record is a JSON object")]
    NotObject(&'static str),
    #[error("it has no key: `{pointer}` is {found}, and must be a string that is not empty, or a number")]
    NoKey { pointer: String, found: &'static str },
}

/// Reads records of one model. Keeps its buffers from one record to the next.
pub(crate) struct RecordReader {
    hash_key: [u8; 16],
    pointers: Vec<String>,
    canon: Canon,
    key: Vec<u8>,
}

impl RecordReader {
    pub(crate) fn new(hash_key: &[u8; 16], pointers: &[String]) -> RecordReader {
        RecordReader { hash_key: *hash_key, pointers: pointers.to_vec(), canon: Canon::default(), key: Vec::new() }
    }

    /// Checks a line (without its end; valid UTF-8) and gives its mark.
    pub(crate) fn read(&mut self, line: &[u8]) -> Result<Mark, RecordFault> {
        self.canon.record(line)?;
        self.key.clear();
        for pointer in &self.pointers {
            let value = self.canon.find(pointer);
            match value.as_deref().map(kind) {
                Some("a string" | "a number") if value.as_deref() != Some(b"\"\"") => {}
                found => {
                    let found = if value.as_deref() == Some(b"\"\"") { "empty" } else { found.unwrap_or("missing") };
                    return Err(RecordFault::NoKey { pointer: pointer.clone(), found });
                }
            }
            // Canonical text holds no NUL, so parts cannot run into each other.
            self.key.extend_from_slice(value.as_deref().unwrap_or_default());
            self.key.push(0);
        }
        let record = self.hash(&self.canon.out);
        Ok((self.hash(&self.key), if record == VOID { VOID + 1 } else { record }))
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.hash_key);
        hasher.write(bytes);
        hasher.finish()
    }

    #[cfg(test)]
    fn canonical(&mut self, line: &str) -> Result<String, RecordFault> {
        self.canon.record(line.as_bytes())?;
        Ok(String::from_utf8(self.canon.out.clone()).unwrap())
    }
}

fn kind(value: &[u8]) -> &'static str {
    match value.first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(_) => "a number",
        None => "nothing",
    }
}

/// Writes a document in canonical form.
#[derive(Default)]
struct Canon {
    out: Vec<u8>,
    /// Members of the objects that are being read, the innermost last.
    members: Vec<Member>,
    /// The members of the record itself, in order of name.
    top: Vec<Member>,
    sorted: Vec<u8>,
    /// The order in which the last record's members had to go: those of one model mostly come alike.
    hint: Vec<usize>,
}

/// Where a member lies in `out`: its name with quotes, then its value.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    name_end: usize,
    end: usize,
}

impl Member {
    fn name<'a>(&self, out: &'a [u8]) -> &'a [u8] {
        // Without the quotes, so that a name sorts before those that it begins.
        &out[self.start + 1..self.name_end - 1]
    }

    fn value(&self) -> Range<usize> {
        self.name_end + 1..self.end
    }
}

type Parsed = Result<usize, RecordFault>;

fn fault<T>(at: usize, what: &'static str) -> Result<T, RecordFault> {
    Err(RecordFault::NotJson { column: at + 1, what })
}

impl Canon {
    fn record(&mut self, line: &[u8]) -> Result<(), RecordFault> {
        self.out.clear();
        self.members.clear();
        self.top.clear();
        let start = space(line, 0);
        let end = self.value(line, start, 0)?;
        if space(line, end) != line.len() {
            return fault(end, "something follows the value");
        }
        match self.out.first() {
            Some(b'{') => Ok(()),
            _ => Err(RecordFault::NotObject(kind(&self.out))),
        }
    }

    /// The canonical text of what a JSON Pointer (RFC 6901) leads to.
    fn find(&self, pointer: &str) -> Option<std::borrow::Cow<'_, [u8]>> {
        let name = pointer.strip_prefix('/')?;
        if !name.contains(['/', '~']) {
            let member = self.top.iter().rev().find(|m| m.name(&self.out) == name.as_bytes());
            if let Some(member) = member {
                return Some(self.out[member.value()].into());
            }
        }
        // Rare: a key that lies deeper, or whose name has escapes.
        let document: serde_json::Value = serde_json::from_slice(&self.out).ok()?;
        Some(serde_json::to_vec(document.pointer(pointer)?).ok()?.into())
    }

    fn value(&mut self, s: &[u8], i: usize, depth: usize) -> Parsed {
        match s.get(i) {
            Some(b'"') => self.string(s, i),
            Some(b'{') => self.object(s, i, depth + 1),
            Some(b'[') => self.array(s, i, depth + 1),
            Some(b't') => self.word(s, i, b"true"),
            Some(b'f') => self.word(s, i, b"false"),
            Some(b'n') => self.word(s, i, b"null"),
            Some(b'-' | b'0'..=b'9') => {
                let end = number(s, i)?;
                self.out.extend_from_slice(&s[i..end]);
                Ok(end)
            }
            Some(_) => fault(i, "a value was expected"),
            None => fault(i, "the line ends within the value"),
        }
    }

    fn word(&mut self, s: &[u8], i: usize, word: &'static [u8]) -> Parsed {
        if !s[i..].starts_with(word) {
            return fault(i, "a value was expected");
        }
        self.out.extend_from_slice(word);
        Ok(i + word.len())
    }

    fn array(&mut self, s: &[u8], i: usize, depth: usize) -> Parsed {
        if depth > DEPTH_MAX {
            return fault(i, "more than 128 levels");
        }
        self.out.push(b'[');
        let mut i = space(s, i + 1);
        if s.get(i) == Some(&b']') {
            self.out.push(b']');
            return Ok(i + 1);
        }
        loop {
            i = space(s, self.value(s, i, depth)?);
            match s.get(i) {
                Some(b',') => self.out.push(b','),
                Some(b']') => {
                    self.out.push(b']');
                    return Ok(i + 1);
                }
                _ => return fault(i, "`,` or `]` was expected"),
            }
            i = space(s, i + 1);
        }
    }

    fn object(&mut self, s: &[u8], i: usize, depth: usize) -> Parsed {
        if depth > DEPTH_MAX {
            return fault(i, "more than 128 levels");
        }
        let begin = self.out.len();
        let outer = self.members.len();
        self.out.push(b'{');
        let mut i = space(s, i + 1);
        let mut more = s.get(i) != Some(&b'}');
        while more {
            let start = self.out.len();
            if s.get(i) != Some(&b'"') {
                return fault(i, "a name in quotes was expected");
            }
            i = space(s, self.string(s, i)?);
            let name_end = self.out.len();
            if s.get(i) != Some(&b':') {
                return fault(i, "`:` was expected");
            }
            self.out.push(b':');
            i = space(s, self.value(s, space(s, i + 1), depth)?);
            self.members.push(Member { start, name_end, end: self.out.len() });
            self.out.push(b',');
            more = match s.get(i) {
                Some(b',') => true,
                Some(b'}') => false,
                _ => return fault(i, "`,` or `}` was expected"),
            };
            if more {
                i = space(s, i + 1);
            }
        }
        self.order(begin, outer);
        self.close(outer, depth);
        Ok(i + 1)
    }

    /// Brings the members of the innermost object into the order of their names.
    fn order(&mut self, begin: usize, outer: usize) {
        let out = &self.out;
        let members = &mut self.members[outer..];
        if members.is_sorted_by(|a, b| a.name(out) <= b.name(out)) {
            return;
        }
        arrange(out, members, &mut self.hint);
        self.sorted.clear();
        for member in members {
            let start = begin + 1 + self.sorted.len();
            self.sorted.extend_from_slice(&out[member.start..member.end]);
            self.sorted.push(b',');
            let shift = |at: usize| at - member.start + start;
            *member = Member { start, name_end: shift(member.name_end), end: shift(member.end) };
        }
        self.out[begin + 1..].copy_from_slice(&self.sorted);
    }

    fn close(&mut self, outer: usize, depth: usize) {
        if self.members.len() > outer {
            self.out.pop();
        }
        self.out.push(b'}');
        if depth == 1 {
            self.top.extend_from_slice(&self.members[outer..]);
        }
        self.members.truncate(outer);
    }

    fn string(&mut self, s: &[u8], i: usize) -> Parsed {
        let end = plain_until(s, i + 1);
        match s.get(end) {
            Some(b'"') => {
                self.out.extend_from_slice(&s[i..=end]);
                Ok(end + 1)
            }
            Some(b'\\') => self.escaped_string(s, i, end),
            Some(_) => fault(end, "a control character in a string (it must be escaped)"),
            None => fault(end, "the line ends within a string"),
        }
    }

    fn escaped_string(&mut self, s: &[u8], i: usize, first: usize) -> Parsed {
        self.out.extend_from_slice(&s[i..first]);
        let mut i = first;
        loop {
            match s.get(i) {
                Some(b'"') => {
                    self.out.push(b'"');
                    return Ok(i + 1);
                }
                Some(b'\\') => i = self.escape(s, i)?,
                Some(0..=0x1f) => return fault(i, "a control character in a string (it must be escaped)"),
                Some(_) => {
                    let end = plain_until(s, i);
                    self.out.extend_from_slice(&s[i..end]);
                    i = end;
                }
                None => return fault(i, "the line ends within a string"),
            }
        }
    }

    fn escape(&mut self, s: &[u8], i: usize) -> Parsed {
        let character = match s.get(i + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(s, i),
            _ => return fault(i, "an unknown escape"),
        };
        self.character(character);
        Ok(i + 2)
    }

    fn unicode_escape(&mut self, s: &[u8], i: usize) -> Parsed {
        let Some(unit) = hex4(s, i) else { return fault(i, "`\\u` wants four hexadecimal digits") };
        if let Some(character) = char::from_u32(unit) {
            self.character(character);
            return Ok(i + 6);
        }
        let low = if unit < 0xdc00 { hex4(s, i + 6).filter(|low| (0xdc00..0xe000).contains(low)) } else { None };
        match low.and_then(|low| char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))) {
            Some(character) => {
                self.character(character);
                Ok(i + 12)
            }
            // `serde_json` and most consumers refuse half a pair; taken here it would be lost there.
            None => fault(i, "half of a surrogate pair"),
        }
    }

    fn character(&mut self, character: char) {
        match character {
            '"' => self.out.extend_from_slice(b"\\\""),
            '\\' => self.out.extend_from_slice(b"\\\\"),
            '\0'..='\u{1f}' => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let byte = character as usize;
                self.out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[byte >> 4], HEX[byte & 15]]);
            }
            _ => self.out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Sorts members by name, by the order of the last object if that fits.
fn arrange(out: &[u8], members: &mut [Member], hint: &mut Vec<usize>) {
    if hint.len() == members.len() {
        // Strictly: members of one name must keep their order, and only sorting does that.
        let ordered = |at: &[usize]| members[at[0]].name(out) < members[at[1]].name(out);
        if hint.windows(2).all(ordered) {
            let unsorted = members.to_vec();
            hint.iter().zip(members).for_each(|(&from, to)| *to = unsorted[from]);
            return;
        }
    }
    hint.clear();
    hint.extend(0..members.len());
    // Stable, so that of two members with one name the last stays last.
    hint.sort_by(|&a, &b| members[a].name(out).cmp(members[b].name(out)));
    let unsorted = members.to_vec();
    hint.iter().zip(members).for_each(|(&from, to)| *to = unsorted[from]);
}

fn hex4(s: &[u8], i: usize) -> Option<u32> {
    if s.get(i..i + 2)? != b"\\u" {
        return None;
    }
    s.get(i + 2..i + 6)?.iter().try_fold(0, |unit, &digit| Some(unit * 16 + char::from(digit).to_digit(16)?))
}

fn space(s: &[u8], mut i: usize) -> usize {
    while matches!(s.get(i), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        i += 1;
    }
    i
}

/// The first index from `i` on whose byte is a quote, a backslash or a control character; the length if there is none.
/// Eight bytes at a time: the lowest flagged byte of each test is exact.
fn plain_until(s: &[u8], mut i: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_byte = |x: u64| x.wrapping_sub(ONES) & !x & HIGH;
    while let Some(chunk) = s.get(i..i + 8) {
        let mut word = [0u8; 8];
        word.copy_from_slice(chunk);
        let word = u64::from_le_bytes(word);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let found = control | zero_byte(word ^ (ONES * u64::from(b'"'))) | zero_byte(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return i + (found.trailing_zeros() / 8) as usize;
        }
        i += 8;
    }
    while s.get(i).is_some_and(|&b| b != b'"' && b != b'\\' && b >= 0x20) {
        i += 1;
    }
    i
}

fn number(s: &[u8], mut i: usize) -> Parsed {
    let digits = |mut i: usize| {
        let start = i;
        while matches!(s.get(i), Some(b'0'..=b'9')) {
            i += 1;
        }
        if i == start { fault(i, "a digit was expected") } else { Ok(i) }
    };
    if s.get(i) == Some(&b'-') {
        i += 1;
    }
    i = if s.get(i) == Some(&b'0') { i + 1 } else { digits(i)? };
    if s.get(i) == Some(&b'.') {
        i = digits(i + 1)?;
    }
    if matches!(s.get(i), Some(b'e' | b'E')) {
        i += 1;
        if matches!(s.get(i), Some(b'+' | b'-')) {
            i += 1;
        }
        i = digits(i)?;
    }
    Ok(i)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(pointers: &[&str]) -> RecordReader {
        let pointers: Vec<String> = pointers.iter().map(|p| (*p).to_owned()).collect();
        RecordReader::new(&[7; 16], &pointers)
    }

    /// Sorts members as the canonical form does; `serde_json` is the judge of everything else.
    fn sorted(value: serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Object(map) => {
                let mut members: Vec<_> = map.into_iter().map(|(k, v)| (k, sorted(v))).collect();
                members.sort_by(|a, b| a.0.cmp(&b.0));
                members.into_iter().collect()
            }
            serde_json::Value::Array(items) => items.into_iter().map(sorted).collect(),
            other => other,
        }
    }

    #[test]
    fn canonical_form_is_what_serde_json_reads() {
        for line in [
            r#"{}"#,
            r#" { "b" : 1 , "a" : [ true , false , null , { } , [ ] ] } "#,
            r#"{"z":{"y":2,"x":{"w":1,"v":[1,{"b":1,"a":2}]}},"a":"b"}"#,
            r#"{"ab":1,"a":2,"a!":3,"":4}"#,
            r#"{"s":"a\"b\\c\/d\b\f\n\r\t\u0001\u00e9\ud83d\ude00 é😀 plain and long enough for eight"}"#,
            r#"{"n":[0,-0,1,-1,10,1.5,-0.25,123456789012345678]}"#,
            "\t{\"\u{7f}\":\"\u{80}\"}",
        ] {
            let ours = reader(&[]).canonical(line).unwrap();
            let judge = sorted(serde_json::from_str(line).unwrap());
            assert_eq!(serde_json::from_str::<serde_json::Value>(&ours).unwrap(), judge, "{line}");
            if !line.contains("-0") && !line.contains("\\b") && !line.contains(r"\u0001") {
                assert_eq!(ours, serde_json::to_string(&judge).unwrap(), "{line}");
            }
        }
    }

    /// Every document near a valid one: each byte replaced, removed, doubled. Both must agree on what is JSON.
    #[test]
    fn agrees_with_serde_json_on_what_is_json() {
        let seeds = [
            r#"{"a":[1,-0.5e+7,"x\n\u00e9\ud83d\ude00",{"b":null,"c":true}],"d":false}"#,
            r#" {"key" : "value with \\ and \" in it" , "n" : 10E-2 } "#,
        ];
        let mut tried = 0;
        for seed in seeds {
            for at in 0..seed.len() {
                for with in [
                    &b""[..],
                    b"\"",
                    b"\\",
                    b"{",
                    b"}",
                    b"[",
                    b"]",
                    b",",
                    b":",
                    b"0",
                    b"-",
                    b".",
                    b"e",
                    b"u",
                    b" ",
                    b"\x01",
                    b"x",
                    b"\"\"",
                ] {
                    let mut bytes = seed.as_bytes().to_vec();
                    bytes.splice(at..=at, with.iter().copied());
                    let Ok(text) = std::str::from_utf8(&bytes) else { continue };
                    let judge = serde_json::from_str::<serde_json::Value>(text);
                    // A number too large for a float is JSON by the grammar; `serde_json` has no value for it.
                    if judge.as_ref().is_err_and(|e| e.to_string().contains("out of range")) {
                        continue;
                    }
                    let ours = reader(&[]).canonical(text);
                    let agreed = match (&ours, &judge) {
                        (Ok(_), Ok(value)) => value.is_object(),
                        (Err(RecordFault::NotObject(_)), Ok(value)) => !value.is_object(),
                        (Err(RecordFault::NotJson { .. }), Err(_)) => true,
                        _ => false,
                    };
                    assert!(agreed, "{text:?}: {ours:?} against {judge:?}");
                    tried += 1;
                }
            }
        }
        assert!(tried > 1000);
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert!(reader(&[]).canonical(&deep(127)).is_ok());
        assert!(reader(&[]).canonical(&deep(128)).is_err());
        assert!(reader(&[]).canonical(&"[".repeat(1_000_000)).is_err());
    }

    #[test]
    fn an_order_that_is_remembered_never_misleads() {
        let mut reader = reader(&[]);
        for line in [
            r#"{"c":1,"b":2,"a":3}"#,
            r#"{"c":4,"b":5,"a":6}"#,
            r#"{"b":1,"c":2,"a":3}"#,
            r#"{"a":1,"a":2,"0":3}"#,
            r#"{"z":{"y":1,"x":2},"a":{"d":1,"c":2}}"#,
        ] {
            let judge = sorted(serde_json::from_str(line).unwrap());
            let ours: serde_json::Value = serde_json::from_str(&reader.canonical(line).unwrap()).unwrap();
            assert_eq!(ours.to_string(), judge.to_string(), "{line}");
        }
    }

    #[test]
    fn order_and_space_do_not_matter_and_values_do() {
        let mark = |line: &str| reader(&["/id"]).read(line.as_bytes()).unwrap();
        let one = mark(r#"{"id":"x","a":1,"b":{"c":2,"d":3}}"#);
        assert_eq!(one, mark(r#"{ "b": {"d":3, "c":2}, "a":1, "id":"\u0078" }"#));
        let other = mark(r#"{"id":"x","a":2,"b":{"c":2,"d":3}}"#);
        assert_eq!(one.0, other.0);
        assert_ne!(one.1, other.1);
        assert_ne!(one.0, mark(r#"{"id":"y","a":1,"b":{"c":2,"d":3}}"#).0);
    }

    #[test]
    fn keys() {
        let fault = |pointers: &[&str], line: &str| match reader(pointers).read(line.as_bytes()) {
            Err(RecordFault::NoKey { pointer, found }) => format!("{pointer} {found}"),
            other => panic!("{other:?}"),
        };
        assert_eq!(fault(&["/id"], r#"{"a":1}"#), "/id missing");
        assert_eq!(fault(&["/id"], r#"{"id":null}"#), "/id null");
        assert_eq!(fault(&["/id"], r#"{"id":""}"#), "/id empty");
        assert_eq!(fault(&["/id"], r#"{"id":{}}"#), "/id an object");
        assert_eq!(fault(&["/a/b"], r#"{"a":{"c":1}}"#), "/a/b missing");
        let mark = |pointers: &[&str], line: &str| reader(pointers).read(line.as_bytes()).unwrap().0;
        assert_eq!(mark(&["/a/b"], r#"{"a":{"b":7}}"#), mark(&["/id"], r#"{"id":7}"#));
        assert_ne!(mark(&["/id"], r#"{"id":7}"#), mark(&["/id"], r#"{"id":"7"}"#), "a number is not a text");
        assert_ne!(mark(&["/a", "/b"], r#"{"a":"1","b":"23"}"#), mark(&["/a", "/b"], r#"{"a":"12","b":"3"}"#));
    }
}

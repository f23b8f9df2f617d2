//! What a commit object says, however badly it is written: malformed names, dates and zones are read as git reads
//! them or left empty, and never end the run.

use crate::objects::Oid;

/// Somebody's name and address, as they were configured when the commit was made. Bytes that are no text are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Person {
    pub name: String,
    pub email: String,
}

/// A moment with the zone of whoever told it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Minutes east of Greenwich, less than a day.
    pub zone_minutes: i32,
}

impl Moment {
    /// RFC 3339 has four digits for a year, in the zone of whoever tells it; a moment outside of them is told as the epoch.
    const SECONDS: std::ops::Range<i64> = -62_167_219_200..253_402_300_800;

    /// As RFC 3339, with its zone.
    pub fn rfc3339(self) -> String {
        let zone = self.zone_minutes.clamp(-1439, 1439);
        let shift = i64::from(zone) * 60;
        let local = self.seconds.checked_add(shift).filter(|local| Self::SECONDS.contains(local)).unwrap_or(shift);
        let (days, rest) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        // Years are counted from March, so that the leap day is the last of its year.
        let day = days + 719_468;
        let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year + era * 400 + i64::from(month <= 2);
        let (hours, minutes) = (zone.abs() / 60, zone.abs() % 60);
        let sign = if zone < 0 { '-' } else { '+' };
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}{sign}{hours:02}:{minutes:02}",
            rest / 3600,
            rest / 60 % 60,
            rest % 60
        )
    }
}

/// A commit, as far as this crate reads it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parsed {
    pub tree: Option<Oid>,
    pub parents: Vec<Oid>,
    /// A line names a parent, but not by an object's name.
    pub bad_parents: bool,
    pub author: Person,
    pub authored: Moment,
    pub committer: Person,
    pub committed: Moment,
    pub subject: String,
}

/// Reads a commit object.
pub(crate) fn parse(bytes: &[u8], hash_len: usize) -> Parsed {
    let mut commit = Parsed::default();
    let head_end = head_end(bytes);
    let (head, message) = (&bytes[..head_end], bytes.get(head_end + 2..).unwrap_or_default());
    let oid = |hex: &[u8]| Oid::from_hex(hex).filter(|oid| oid.as_bytes().len() == hash_len);
    let mut latin = false;
    let mut people: [Option<&[u8]>; 2] = [None; 2];
    // Parents stand right behind the tree; what is called a parent further down is none, as git reads it.
    let mut place = 0;
    for line in head.split(|byte| *byte == b'\n') {
        place += 1;
        let Some(space) = memchr::memchr(b' ', line) else { continue };
        let (key, value) = (&line[..space], &line[space + 1..]);
        match key {
            b"tree" if place == 1 => commit.tree = oid(value),
            b"parent" if place == commit.parents.len() + 2 => match oid(value) {
                Some(parent) => commit.parents.push(parent),
                None => commit.bad_parents = true,
            },
            b"author" => people[0] = people[0].or(Some(value)),
            b"committer" => people[1] = people[1].or(Some(value)),
            b"encoding" => latin = is_latin(value),
            _ => {}
        }
    }
    (commit.author, commit.authored) = person(people[0].unwrap_or_default(), latin);
    (commit.committer, commit.committed) = person(people[1].unwrap_or_default(), latin);
    commit.subject = subject(message, latin);
    commit
}

/// Where the newline before the first empty line is. A search for two newlines takes longer to set up than this.
fn head_end(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', bytes).find(|at| bytes.get(at + 1) == Some(&b'\n')).unwrap_or(bytes.len())
}

/// All of a commit object's message.
pub(crate) fn message(bytes: &[u8]) -> String {
    let head_end = head_end(bytes);
    let mut encodings =
        bytes[..head_end].split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"encoding "));
    let latin = encodings.next_back().is_some_and(is_latin);
    text(bytes.get(head_end + 2..).unwrap_or_default(), latin)
}

fn is_latin(encoding: &[u8]) -> bool {
    let name = encoding.to_ascii_lowercase();
    matches!(name.as_slice(), b"iso-8859-1" | b"iso8859-1" | b"latin1" | b"latin-1")
}

fn text(bytes: &[u8], latin: bool) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) if latin => bytes.iter().map(|byte| *byte as char).collect(),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// What git takes for white space: no vertical tab or form feed.
fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn end_trimmed(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|byte| !is_space(byte)).map_or(0, |at| at + 1)]
}

/// `Name <email> seconds zone`. As git does it, white space is cut off only behind the name.
fn person(line: &[u8], latin: bool) -> (Person, Moment) {
    let Some(open) = memchr::memchr(b'<', line) else {
        return (Person { name: text(line.trim_ascii(), latin), email: String::new() }, Moment::default());
    };
    let close = memchr::memchr(b'>', &line[open..]).map_or(line.len(), |at| open + at);
    let person = Person { name: text(end_trimmed(&line[..open]), latin), email: text(&line[open + 1..close], latin) };
    // Some addresses hold another `>`; the date stands behind the last one.
    let date = memchr::memrchr(b'>', line).map_or(&[][..], |at| &line[at + 1..]);
    let mut words = date.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let seconds = words.next().map_or(0, number);
    let zone = words.next().unwrap_or_default();
    let (sign, digits) = match zone.split_first() {
        Some((b'-', digits)) => (-1, digits),
        Some((b'+', digits)) => (1, digits),
        _ => (1, zone),
    };
    // Hours and minutes are the digits up to whatever else stands there, as in `+518:00`.
    let value = number(digits);
    let minutes = value / 100 * 60 + value % 100;
    let zone_minutes = if value % 100 < 60 && minutes < 24 * 60 { sign * minutes as i32 } else { 0 };
    (person, Moment { seconds, zone_minutes })
}

/// The number that the bytes begin with; zero if there is none or it is too large.
fn number(bytes: &[u8]) -> i64 {
    let (negative, digits) = match bytes.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, bytes),
    };
    let mut value = 0i64;
    for byte in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
        match value.checked_mul(10).and_then(|value| value.checked_add(i64::from(byte - b'0'))) {
            Some(next) => value = next,
            None => return 0,
        }
    }
    if negative { -value } else { value }
}

/// The first paragraph of a message on one line. As in git, a zero ends the message.
fn subject(message: &[u8], latin: bool) -> String {
    let message = &message[..memchr::memchr(0, message).unwrap_or(message.len())];
    let lines = message.split(|byte| *byte == b'\n').map(end_trimmed);
    let first: Vec<&[u8]> = lines.skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty()).collect();
    text(&first.join(&b' '), latin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(line: &str) -> String {
        person(line.as_bytes(), false).1.rfc3339()
    }

    #[test]
    fn dates_are_read_as_git_reads_them() {
        let cases = [
            ("A <a@b> 0 +0000", "1970-01-01T00:00:00+00:00"),
            ("A <a@b> 1582979696 -0130", "2020-02-29T11:04:56-01:30"),
            ("A <a@b> 951782399 +0100", "2000-02-29T00:59:59+01:00"),
            ("A <a@b> -1 +0000", "1969-12-31T23:59:59+00:00"),
            ("A <a@b> 1313584730 +518:00", "2011-08-17T17:56:50+05:18"),
            ("A <a@b> 100 +9999", "1970-01-01T00:01:40+00:00"),
            ("A <a>b> 100 +0000", "1970-01-01T00:01:40+00:00"),
            ("A <a@b> 99999999999999999999 +0000", "1970-01-01T00:00:00+00:00"),
            ("A <a@b> 9999999999999 +0000", "1970-01-01T00:00:00+00:00"),
            ("A <a@b>", "1970-01-01T00:00:00+00:00"),
            ("", "1970-01-01T00:00:00+00:00"),
        ];
        for (line, expected) in cases {
            assert_eq!(date(line), expected, "{line}");
        }
    }

    #[test]
    fn messages_are_read_in_their_encoding() {
        let read = |head: &[u8], body: &[u8]| message(&[b"tree x\nauthor A <a> 1 +0000\n", head, b"\n", body].concat());
        assert_eq!(read(b"", b"h\xc3\xa9\n\nmore\n"), "hé\n\nmore\n");
        assert_eq!(read(b"encoding ISO-8859-1\n", b"h\xe9"), "hé");
        assert_eq!(read(b"", b"h\xe9"), "h\u{fffd}");
        assert_eq!(message(b"tree x\nauthor A <a> 1 +0000"), "");
    }

    #[test]
    fn a_subject_is_the_first_paragraph() {
        assert_eq!(subject(b"\n\n one\ntwo \n\nthree", false), " one two");
        assert_eq!(subject(b"one\0two", false), "one");
        assert_eq!(subject(b"", false), "");
        assert_eq!(subject(b"caf\xe9", true), "caf\u{e9}");
    }
}

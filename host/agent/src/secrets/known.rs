//! What this process knows of secrets, and strikes out of texts. There is one for the whole process, and not one for each run or
//! request: a server that was given a secret may repeat it in the answer to another request, to another integration, tomorrow,
//! and whoever shows, stores or logs it then has never heard of it.
//!
//! Looked for are the first bytes of each form (`forms`), all at once; behind them the rest is compared. So what it takes to learn
//! a secret does not grow with its length. What JSON escapes as `\uXXXX`, or a URL as `%XX`, may be escaped or not, letter by
//! letter: a text that has such escapes is looked through once more as it reads without them (`escapes`).

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use zeroize::Zeroizing;

use super::{escapes, forms};

/// What stands where a secret stood.
pub(crate) const STRUCK: &str = "[redacted]";

/// Values that are known at a time; beyond, the one that came longest ago is forgotten. An agent has tens of secrets, and an
/// access token that was renewed a thousand times ago has long expired.
const KNOWN_MAX: usize = 1024;
/// Bytes of a form that are looked for; the rest is compared.
const LOOKED_FOR_BYTES: usize = 32;
/// How often a text may have been escaped: a document in a document, or in a URL.
const ESCAPED_MAX: usize = 2;

static ANY: AtomicBool = AtomicBool::new(false);
static VALUES: Mutex<VecDeque<Zeroizing<String>>> = Mutex::new(VecDeque::new());
static MATCHER: RwLock<Option<Arc<Matcher>>> = RwLock::new(None);

/// Takes in a value.
pub(super) fn learn(value: &str) {
    let mut values = VALUES.lock().unwrap_or_else(PoisonError::into_inner);
    if value.is_empty() || values.iter().any(|known| known.as_str() == value) {
        return;
    }
    values.push_back(Zeroizing::new(value.to_owned()));
    while values.len() > KNOWN_MAX {
        values.pop_front();
    }
    match Matcher::of(values.iter().flat_map(|value| forms::of(value))) {
        Ok(matcher) => {
            *MATCHER.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(matcher));
            ANY.store(true, Ordering::Release);
        }
        // It fails only beyond two thousand million states; a secret has a few hundred, and there are at most so many.
        Err(error) => tracing::error!("secrets cannot be struck out of texts any more: {error}; restart the agent"),
    }
}

/// Finds forms.
struct Matcher {
    begins: AhoCorasick,
    /// By the number of a beginning: what follows it in the forms that begin so.
    rests: Vec<Vec<Vec<u8>>>,
}

impl Matcher {
    fn of(forms: impl Iterator<Item = Vec<u8>>) -> Result<Matcher, aho_corasick::BuildError> {
        let mut by_begin: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
        for mut form in forms.filter(|form| !form.is_empty()) {
            form.make_ascii_lowercase();
            let rest = form.split_off(form.len().min(LOOKED_FOR_BYTES));
            let rests = by_begin.entry(form).or_default();
            if !rests.contains(&rest) {
                rests.push(rest);
            }
        }
        // Capitals do not matter: servers change them, as in the names of header fields.
        let begins = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(by_begin.keys())?;
        Ok(Matcher { begins, rests: by_begin.into_values().collect() })
    }

    /// Where forms stand, in order; what overlaps is one.
    fn found(&self, bytes: &[u8], escaped: usize) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for hit in self.begins.find_overlapping_iter(bytes) {
            let behind = &bytes[hit.end()..];
            let follows =
                |rest: &&Vec<u8>| behind.get(..rest.len()).is_some_and(|text| text.eq_ignore_ascii_case(rest));
            let longest = self.rests[hit.pattern().as_usize()].iter().filter(follows).map(Vec::len).max();
            found.extend(longest.map(|rest| hit.start()..hit.end() + rest));
        }
        for kind in escapes::KINDS.into_iter().filter(|_| escaped > 0) {
            if let Some(plain) = escapes::unescaped(bytes, kind) {
                found.extend(escapes::places(bytes, kind, &self.found(&plain, escaped - 1)));
            }
        }
        joined(found)
    }
}

/// The ranges in order; those that overlap are one.
fn joined(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

fn matcher() -> Option<Arc<Matcher>> {
    if !ANY.load(Ordering::Acquire) {
        return None;
    }
    MATCHER.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Bytes with every known secret struck out; none where there is none in them.
pub(crate) fn strike_bytes(bytes: &[u8]) -> Option<Vec<u8>> {
    let found = matcher()?.found(bytes, ESCAPED_MAX);
    if found.is_empty() {
        return None;
    }
    let mut clean = Vec::with_capacity(bytes.len());
    let mut from = 0;
    for hit in found {
        clean.extend_from_slice(&bytes[from..hit.start]);
        clean.extend_from_slice(STRUCK.as_bytes());
        from = hit.end;
    }
    clean.extend_from_slice(&bytes[from..]);
    Some(clean)
}

/// Strikes every known secret out of a text, in the forms in which it may have come back.
pub fn strike(text: &mut String) {
    if let Some(clean) = strike_bytes(text.as_bytes()) {
        // A form that ends within a character leaves the rest of it.
        *text = String::from_utf8_lossy(&clean).into_owned();
    }
}

/// The text without secrets.
#[must_use]
pub fn struck(text: &str) -> String {
    let mut text = text.to_owned();
    strike(&mut text);
    text
}

/// The same where it mostly is the text itself.
#[must_use]
pub fn strike_text(text: &str) -> std::borrow::Cow<'_, str> {
    match strike_bytes(text.as_bytes()) {
        Some(clean) => String::from_utf8_lossy(&clean).into_owned().into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Secret, base64};
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_secret_is_struck_out_in_every_form() {
        let secret = "kn0wn/s3cret+val ue\"1";
        let _held = Secret::new(secret.to_owned());
        let mut shapes = vec![
            secret.to_owned(),
            secret.to_uppercase(),
            "kn0wn%2Fs3cret%2Bval%20ue%221".to_owned(),
            "kn0wn%2fs3cret%2bval%20ue%221".to_owned(),
            "kn0wn%2Fs3cret%2Bval+ue%221".to_owned(),
            "kn0wn/s3cret+val%20ue%221".to_owned(),
            "kn0wn%252Fs3cret%252Bval%2520ue%25221".to_owned(),
            secret.bytes().map(|byte| format!("%{byte:02X}")).collect(),
            "kn0wn/s3cret+val ue\\\"1".to_owned(),
            "kn0wn\\/s3cret+val ue\\\"1".to_owned(),
            "kn0wn/s3cret+val ue&quot;1".to_owned(),
            hex(secret.as_bytes()),
            hex(secret.as_bytes()).to_uppercase(),
        ];
        for before in ["", "a", "ab", "user:", "x-access-token:"] {
            let whole = base64(format!("{before}{secret}").as_bytes());
            shapes.push(whole.replace('+', "-").replace('/', "_"));
            shapes.push(whole);
        }
        for shape in shapes {
            let clean = struck(&format!("<{shape}>"));
            assert!(clean.contains(STRUCK), "{shape} gave {clean}");
            // What may be left of base64 are the characters that belong to what stands beside the secret.
            assert!(!clean.to_lowercase().contains("kn0wn") && !clean.contains("s3cret"), "{shape} gave {clean}");
        }
    }

    #[test]
    fn pages_spell_quotes_in_several_ways() {
        let _held = Secret::new("page<s3cret'of\"it&all".to_owned());
        for page in [
            "page&lt;s3cret'of&quot;it&amp;all",
            "page&lt;s3cret&#39;of&#34;it&amp;all",
            "page&lt;s3cret&#x27;of\"it&amp;all",
            "page&lt;s3cret&apos;of&quot;it&amp;all",
        ] {
            assert_eq!(struck(page), STRUCK, "{page}");
        }
    }

    #[test]
    fn what_is_no_secret_stays_and_is_not_copied() {
        let _held = Secret::new("another-s3cret-value".to_owned());
        assert_eq!(strike_bytes(b"another-s3cret-valu and more"), None);
        assert!(matches!(strike_text("nothing in it"), std::borrow::Cow::Borrowed(_)));
        assert_eq!(struck("a another-s3cret-value b"), "a [redacted] b");
    }

    /// As libraries write JSON: all of it escaped, what is not ASCII, what pages take for their own, or as they like.
    #[test]
    fn a_secret_is_struck_out_however_json_escapes_it() {
        let secret = "esc<\u{e4}p>&'d\u{1f511}/\"k\\ey+";
        let _held = Secret::new(secret.to_owned());
        let all: String = secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let shapes = [
            all.replace('a', "A").replace('e', "E"),
            all.clone(),
            // Python; PHP; Go; .NET; Gson.
            r#"esc<\u00e4p>&'d\ud83d\udd11/\"k\\ey+"#.to_owned(),
            r#"esc<\u00e4p>&'d\ud83d\udd11\/\"k\\ey+"#.to_owned(),
            r#"esc\u003cäp\u003e\u0026'd🔑/\"k\\ey+"#.to_owned(),
            r#"esc\u003C\u00E4p\u003E\u0026\u0027d\uD83D\uDD11/\u0022k\\ey\u002B"#.to_owned(),
            r#"esc\u003c\u00e4p\u003e\u0026\u0027d🔑/\"k\\ey+"#.to_owned(),
            r#"\u0065sc<äp>&\u0027d🔑/\"k\u005cey+"#.to_owned(),
        ];
        for shape in shapes {
            let written = format!("{{\"a\":\"<{shape}>\"}}");
            let read: serde_json::Value = serde_json::from_str(&written).unwrap_or_else(|why| panic!("{shape}: {why}"));
            assert_eq!(read["a"], format!("<{secret}>"), "{shape} is what JSON reads so");
            assert_eq!(struck(&written), format!("{{\"a\":\"<{STRUCK}>\"}}"), "{shape}");
            // A document in a document.
            let twice = serde_json::Value::from(written).to_string();
            assert_eq!(struck(&twice), format!(r#""{{\"a\":\"<{STRUCK}>\"}}""#), "{shape}");
        }
        // In a URL, whole or in parts; and a document in one.
        for shape in ["esc%3cäp>%26'd%f0%9f%94%91/\"k%5cey+", "%65%73%63<%c3%a4p>&'d🔑/%22k\\ey%2B"] {
            assert_eq!(struck(&format!("?a={shape}&b")), format!("?a={STRUCK}&b"), "{shape}");
        }
        assert_eq!(struck(r#"?a=esc%5Cu003c%C3%A4p%3E%26'd%F0%9F%94%91%2F%5C%22k%5C%5Cey%2B"#), format!("?a={STRUCK}"));
        assert_eq!(struck("100% of %zz, %4 and %"), "100% of %zz, %4 and %");
        assert_eq!(struck(r"esc\u003c and \u00e4p, \ud83d, \u12, \"), r"esc\u003c and \u00e4p, \ud83d, \u12, \");
    }

    /// What has the first bytes in common is told apart by the rest, and what overlaps is struck out whole.
    #[test]
    fn long_secrets_are_compared_to_their_end() {
        let begin = "long-secrets-that-begin-in-the-same-way-";
        let long = format!("{begin}{}", "x".repeat(16_000));
        let (_one, _two) = (Secret::new(long.clone()), Secret::new(format!("{begin}two")));
        assert_eq!(struck(&format!("<{long}>")), "<[redacted]>");
        assert_eq!(struck(&format!("<{}>", long.to_uppercase())), "<[redacted]>");
        assert_eq!(struck(&format!("<{begin}two>")), "<[redacted]>");
        let short = &long[..long.len() - 1];
        assert_eq!(struck(&format!("<{short}>")), format!("<{short}>"));
        let (_three, _four) = (Secret::new("overlap-one-two".to_owned()), Secret::new("two-overlap-three".to_owned()));
        assert_eq!(struck("<overlap-one-two-overlap-three>"), "<[redacted]>");
    }

    /// What it takes to learn one does not grow with it: it did with the square, so that the largest took half a minute.
    #[test]
    fn a_long_secret_takes_no_more_than_a_short_one() {
        let secret = |bytes: usize| -> String { (0..bytes).map(|at| char::from(b'a' + (at * 7 % 26) as u8)).collect() };
        let matcher = |bytes: usize| Matcher::of(forms::of(&secret(bytes)).into_iter()).expect("it can be made");
        let (short, long) = (matcher(64), matcher(16 << 10));
        assert_eq!(long.begins.max_pattern_len(), LOOKED_FOR_BYTES);
        assert!(long.begins.memory_usage() <= 2 * short.begins.memory_usage());
    }

    #[test]
    fn several_secrets_are_struck_out_of_one_text() {
        let _one = Secret::new("first-of-two-secrets".to_owned());
        let _two = Secret::new("second-of-two-secrets".to_owned());
        assert_eq!(struck("first-of-two-secretssecond-of-two-secrets"), "[redacted][redacted]");
    }
}

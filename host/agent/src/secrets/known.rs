//! What this process knows of secrets, and strikes out of texts. There is one for the whole process, and not one for each run or
//! request: a server that was given a secret may repeat it in the answer to another request, to another integration, tomorrow,
//! and whoever shows, stores or logs it then has never heard of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use zeroize::Zeroizing;

use super::forms;

/// What stands where a secret stood.
pub(crate) const STRUCK: &str = "[redacted]";

/// Values that are known at a time; beyond, the one that came longest ago is forgotten. An agent has tens of secrets, and an
/// access token that was renewed a thousand times ago has long expired.
const KNOWN_MAX: usize = 1024;

static ANY: AtomicBool = AtomicBool::new(false);
static VALUES: Mutex<VecDeque<Zeroizing<String>>> = Mutex::new(VecDeque::new());
static MATCHER: RwLock<Option<Arc<AhoCorasick>>> = RwLock::new(None);

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
    let forms: Vec<Vec<u8>> = values.iter().flat_map(|value| forms::of(value)).collect();
    // Capitals do not matter: servers change them, as in the names of header fields.
    let built = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .build(forms.iter().filter(|form| !form.is_empty()));
    match built {
        Ok(matcher) => {
            *MATCHER.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(matcher));
            ANY.store(true, Ordering::Release);
        }
        // It fails only beyond two thousand million states; a secret has a few hundred, and there are at most so many.
        Err(error) => tracing::error!("secrets cannot be struck out of texts any more: {error}; restart the agent"),
    }
}

fn matcher() -> Option<Arc<AhoCorasick>> {
    if !ANY.load(Ordering::Acquire) {
        return None;
    }
    MATCHER.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Bytes with every known secret struck out; none where there is none in them.
pub(crate) fn strike_bytes(bytes: &[u8]) -> Option<Vec<u8>> {
    let matcher = matcher()?;
    let mut found = matcher.find_iter(bytes).peekable();
    found.peek()?;
    let mut clean = Vec::with_capacity(bytes.len());
    let mut from = 0;
    for hit in found {
        clean.extend_from_slice(&bytes[from..hit.start()]);
        clean.extend_from_slice(STRUCK.as_bytes());
        from = hit.end();
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

    #[test]
    fn several_secrets_are_struck_out_of_one_text() {
        let _one = Secret::new("first-of-two-secrets".to_owned());
        let _two = Secret::new("second-of-two-secrets".to_owned());
        assert_eq!(struck("first-of-two-secretssecond-of-two-secrets"), "[redacted][redacted]");
    }
}

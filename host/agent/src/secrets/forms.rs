//! The forms in which a secret could come back: what servers and programs make of a text when they repeat it. Pure; who looks
//! for them is `known`. Capitals do not matter there, and neither do single letters that are escaped, so that each form is here once.

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};

/// A form shorter than this is not looked for: it would strike out ordinary words.
pub const STRUCK_BYTES_MIN: usize = 6;

/// All forms of a value that are long enough to be looked for.
pub(super) fn of(value: &str) -> Vec<Vec<u8>> {
    let bytes = value.as_bytes();
    let percent = percent_encoded(bytes, is_unreserved);
    let mut forms = vec![
        bytes.to_vec(),
        // Twice: a URL in a URL.
        percent_encoded(&percent, is_unreserved),
        percent,
        percent_encoded(bytes, |_| false),
        // As forms are sent, and as URLs are written that keep what they may.
        value
            .split(' ')
            .map(|word| text(percent_encoded(word.as_bytes(), is_unreserved)))
            .collect::<Vec<_>>()
            .join("+")
            .into_bytes(),
        percent_encoded(bytes, |byte| byte.is_ascii_graphic() && !b"%\"<>\\^`{|}#?".contains(&byte)),
    ];
    let json = json_escaped(value);
    forms.push(json.replace('/', "\\/").into_bytes());
    forms.push(json.clone().into_bytes());
    forms.extend(html_escaped(value));
    // In a document that is then made one of these: the same for most.
    let written: Vec<&[u8]> = if json == value { vec![bytes] } else { vec![bytes, json.as_bytes()] };
    forms.extend(written.iter().map(|bytes| hex(bytes)));
    for (bytes, offset) in written.iter().flat_map(|bytes| (0..3).map(move |offset| (bytes, offset))) {
        let core = base64_core(bytes, offset);
        forms.push(
            core.iter()
                .map(|byte| {
                    if *byte == b'+' {
                        b'-'
                    } else if *byte == b'/' {
                        b'_'
                    } else {
                        *byte
                    }
                })
                .collect(),
        );
        forms.push(core);
    }
    // A file's lines, each for itself: of a private key one line is as good as any.
    if value.contains('\n') {
        forms.extend(
            value.lines().map(|line| line.trim().as_bytes().to_vec()).filter(|line| !line.starts_with(b"-----")),
        );
    }
    forms.retain(|form| form.len() >= STRUCK_BYTES_MIN);
    forms.sort();
    forms.dedup();
    forms
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// RFC 4648 base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// The same for URLs, without padding.
pub(crate) fn base64_url(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// What any base64 text holds that encodes `bytes` after `offset` (0 to 2) other bytes, modulo 3: the characters that
/// depend on `bytes` alone.
fn base64_core(bytes: &[u8], offset: usize) -> Vec<u8> {
    let mut padded = vec![0; offset];
    padded.extend_from_slice(bytes);
    let text = base64(&padded).into_bytes();
    let first = (offset * 8).div_ceil(6);
    let last = padded.len() * 8 / 6;
    text[first.min(last)..last].to_vec()
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]).collect()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)
}

fn percent_encoded(bytes: &[u8], keeps: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if keeps(*byte) {
            text.push(*byte);
        } else {
            text.push(b'%');
            text.extend_from_slice(&hex(&[*byte]));
        }
    }
    text
}

/// As it stands between the quotes of a JSON string.
fn json_escaped(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// As pages show it, in the spellings of quotes that are usual; programs differ in which of them they write so at all.
fn html_escaped(value: &str) -> Vec<Vec<u8>> {
    let shared = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let double = ["\"", "&quot;", "&#34;"];
    let single = ["'", "&#39;", "&#x27;", "&apos;"];
    let mut forms = Vec::new();
    for double in double.into_iter().take(if shared.contains('"') { double.len() } else { 1 }) {
        for single in single.into_iter().take(if shared.contains('\'') { single.len() } else { 1 }) {
            forms.push(shared.replace('\'', single).replace('"', double).into_bytes());
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_rfc_4648() {
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), expected);
        }
        assert_eq!(base64_url(b"\xfb\xff\xfe\xff"), "-__-_w");
    }

    #[test]
    fn what_is_short_has_no_forms_and_what_is_long_has_each_once() {
        assert!(of("abc").iter().all(|form| form.len() >= STRUCK_BYTES_MIN));
        assert!(!of("abcde").contains(&b"abcde".to_vec()));
        let forms = of("plain-token");
        assert!(forms.contains(&b"plain-token".to_vec()) && forms.is_sorted() && forms.len() >= 6, "{}", forms.len());
    }

    #[test]
    fn a_files_lines_are_forms_and_its_frame_is_none() {
        let forms = of("-----BEGIN KEY-----\nfirst-line-of-it\nsecond-line-of-it\n-----END KEY-----");
        assert!(forms.contains(&b"second-line-of-it".to_vec()));
        assert!(!forms.contains(&b"-----END KEY-----".to_vec()));
    }
}

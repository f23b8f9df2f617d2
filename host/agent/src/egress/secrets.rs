//! Secrets: read when they are needed, put into one request to a host they belong to, and struck out of what comes
//! back. A value lives as long as the exchange it is for and has no `Debug`, no `Display` and no place in an error.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use memchr::memmem;
use url::Url;

use super::policy::{host_matches, host_of};
use super::{EgressError, Policy, Response};
use crate::config::{Credential, Placement, SecretSource};

/// Bytes of one secret. Tokens have some hundred; a larger file is not a secret but a mistake.
const SECRET_BYTES_MAX: u64 = 16 << 10;

/// A value shorter than this is not struck out of answers: it would strike out ordinary words.
const REDACTED_BYTES_MIN: usize = 6;

const REDACTED: &[u8] = b"[redacted]";

/// A secret in use, in all the forms in which it could come back.
pub(super) struct InUse {
    forms: Vec<Vec<u8>>,
}

impl InUse {
    fn new(value: &[u8], sent: &[u8]) -> InUse {
        let mut forms = forms(value);
        forms.extend(self::forms(sent));
        // Longest first, so that a form that holds another is struck out whole.
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        forms.dedup();
        InUse { forms }
    }

    /// Strikes the secret out of an answer. A body without it is not copied.
    pub(super) fn redact(&self, response: &mut Response) {
        self.redact_bytes(&mut response.body);
        for (_, value) in &mut response.headers {
            self.redact_text(value);
        }
    }

    /// Strikes the secret out of a text.
    pub(super) fn redact_text(&self, text: &mut String) {
        if self.forms.iter().any(|form| memmem::find(text.as_bytes(), form).is_some()) {
            let mut bytes = std::mem::take(text).into_bytes();
            self.redact_bytes(&mut bytes);
            *text = String::from_utf8_lossy(&bytes).into_owned();
        }
    }

    fn redact_bytes(&self, bytes: &mut Vec<u8>) {
        for form in &self.forms {
            let finder = memmem::Finder::new(form);
            if finder.find(bytes).is_none() {
                continue;
            }
            let mut clean = Vec::with_capacity(bytes.len());
            let mut from = 0;
            for at in finder.find_iter(bytes) {
                clean.extend_from_slice(&bytes[from..at]);
                clean.extend_from_slice(REDACTED);
                from = at + form.len();
            }
            clean.extend_from_slice(&bytes[from..]);
            *bytes = clean;
        }
    }
}

/// The forms in which a value could come back; none of one that is too short to be looked for.
pub(crate) fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    if value.len() < REDACTED_BYTES_MIN {
        return Vec::new();
    }
    let mut forms = vec![
        value.to_vec(),
        percent_encoded(value, true),
        percent_encoded(value, false),
        hex(value, b"0123456789abcdef"),
        hex(value, b"0123456789ABCDEF"),
    ];
    forms.extend((0..3).map(|offset| base64_core(value, offset)));
    forms.retain(|form| form.len() >= REDACTED_BYTES_MIN);
    forms
}

/// A credential's value, in all the forms in which it could come back, for who strikes it out of what is kept.
pub(super) async fn forms_of(credential: &Credential) -> Result<Vec<Vec<u8>>, String> {
    let value = read(&credential.source).await?;
    let mut forms = forms(value.as_bytes());
    if let Placement::Basic { username } = &credential.placement {
        forms.extend(self::forms(base64(format!("{username}:{value}").as_bytes()).as_bytes()));
    }
    Ok(forms)
}

/// Puts a credential into the headers of a request whose other parts are fixed.
pub(super) async fn place(
    policy: &Policy,
    name: &str,
    url: &Url,
    headers: &mut HeaderMap,
) -> Result<InUse, EgressError> {
    let credential = policy.credentials.get(name).ok_or_else(|| {
        EgressError::Denied(format!(
            "no credential `{name}` is granted: add it to `grants.credentials` of this integration in agent.yaml"
        ))
    })?;
    let field = field_of(credential, name)?;
    if headers.contains_key(&field) {
        return Err(EgressError::Invalid(format!(
            "the header `{field}` is set by the integration and by the credential `{name}`: leave one out"
        )));
    }
    may_go_to(policy, credential, name, url)?;
    let value =
        read(&credential.source).await.map_err(|fault| EgressError::Other(format!("credential `{name}`: {fault}")))?;
    let (text, sent) = match &credential.placement {
        Placement::Bearer => (format!("Bearer {value}"), value.clone().into_bytes()),
        Placement::Basic { username } => {
            let token = base64(format!("{username}:{value}").as_bytes());
            (format!("Basic {token}"), token.into_bytes())
        }
        Placement::Header { prefix, .. } => (format!("{prefix}{value}"), value.clone().into_bytes()),
    };
    let mut field_value = HeaderValue::from_str(&text).map_err(|_| {
        EgressError::Other(format!("credential `{name}`: its value has characters that a header cannot carry"))
    })?;
    // Marked, so that no `Debug` of a request shows it and HTTP/2 does not keep it in a compression table.
    field_value.set_sensitive(true);
    headers.insert(field, field_value);
    Ok(InUse::new(value.as_bytes(), &sent))
}

fn field_of(credential: &Credential, name: &str) -> Result<HeaderName, EgressError> {
    match &credential.placement {
        Placement::Bearer | Placement::Basic { .. } => Ok(AUTHORIZATION),
        Placement::Header { name: field, .. } => HeaderName::from_bytes(field.as_bytes()).map_err(|_| {
            EgressError::Other(format!("credential `{name}`: `{field}` is not the name of a header field"))
        }),
    }
}

fn may_go_to(policy: &Policy, credential: &Credential, name: &str, url: &Url) -> Result<(), EgressError> {
    let host = host_of(url);
    if !credential.hosts.iter().any(|pattern| host_matches(pattern, &host)) {
        return Err(EgressError::Denied(format!(
            "the credential `{name}` does not belong to {host}: add to `grants.credentials.{name}.hosts` of this integration in agent.yaml: - {host}"
        )));
    }
    if url.scheme() != "https" && !policy.is_private_host(&host) {
        return Err(EgressError::Denied(format!(
            "the credential `{name}` is not sent to {host} in clear text: use https, or list the host in `grants.private_hosts`"
        )));
    }
    Ok(())
}

/// Reads a secret. Errors say where it was looked for and never what was found.
async fn read(source: &SecretSource) -> Result<String, String> {
    let (value, place) = match source {
        SecretSource::Env(variable) => {
            let value = std::env::var(variable)
                .map_err(|_| format!("the environment variable {variable} is not set to text"))?;
            (value, format!("the environment variable {variable}"))
        }
        SecretSource::File(path) => {
            let place = path.display().to_string();
            let size = tokio::fs::metadata(path).await.map_err(|fault| format!("{place}: {fault}"))?.len();
            if size > SECRET_BYTES_MAX {
                return Err(format!("{place} has {size} bytes, more than the {SECRET_BYTES_MAX} a secret may have"));
            }
            let bytes = tokio::fs::read(path).await.map_err(|fault| format!("{place}: {fault}"))?;
            let mut value = String::from_utf8(bytes).map_err(|_| format!("{place} is not UTF-8 text"))?;
            if value.ends_with('\n') {
                value.pop();
                if value.ends_with('\r') {
                    value.pop();
                }
            }
            (value, place)
        }
    };
    if value.is_empty() {
        return Err(format!("{place} is empty"));
    }
    Ok(value)
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648 base64 with padding. Written out: it is ten lines, and one dependency less beside the secrets.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = (u32::from(chunk[0]) << 16)
            | (u32::from(chunk.get(1).copied().unwrap_or(0)) << 8)
            | u32::from(chunk.get(2).copied().unwrap_or(0));
        for place in 0..4 {
            if place <= chunk.len() {
                text.push(char::from(BASE64[(group >> (18 - 6 * place)) as usize & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
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

fn hex(bytes: &[u8], digits: &[u8; 16]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]).collect()
}

fn percent_encoded(bytes: &[u8], upper: bool) -> Vec<u8> {
    let digits: &[u8; 16] = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    let mut text = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(byte) {
            text.push(*byte);
        } else {
            text.extend_from_slice(&[b'%', digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
        }
    }
    text
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
    }

    #[test]
    fn a_secret_is_struck_out_in_every_form() {
        let secret = b"s3cret/val+ue";
        let in_use = InUse::new(secret, secret);
        let mut shapes = vec![
            "s3cret/val+ue".to_owned(),
            "s3cret%2Fval%2Bue".to_owned(),
            "s3cret%2fval%2bue".to_owned(),
            String::from_utf8(hex(secret, b"0123456789abcdef")).expect("hex is text"),
        ];
        for before in ["", "a", "ab", "user:", "x-access-token:"] {
            let mut whole = before.as_bytes().to_vec();
            whole.extend_from_slice(secret);
            shapes.push(base64(&whole));
        }
        for shape in shapes {
            let mut response = Response {
                status: 200,
                url: String::new(),
                headers: vec![("x".into(), shape.clone())],
                body: format!("<{shape}>").into_bytes(),
            };
            in_use.redact(&mut response);
            let body = String::from_utf8(response.body).expect("text stays text");
            assert!(body.contains("[redacted]"), "{shape} gave {body}");
            assert!(response.headers[0].1.contains("[redacted]"), "{shape}");
        }
    }

    #[test]
    fn what_is_not_the_secret_stays() {
        let in_use = InUse::new(b"s3cret-value", b"s3cret-value");
        let mut response =
            Response { status: 200, url: String::new(), headers: vec![], body: b"s3cret-valu and more".to_vec() };
        in_use.redact(&mut response);
        assert_eq!(response.body, b"s3cret-valu and more");
    }
}

//! Secrets on their way to a cassette: what is known to be one is replaced by its name, `{{secret:NAME}}`, in whatever form
//! the caller knows it; fields of HTTP that carry credentials are replaced whoever made them. Which values are secrets is
//! known above.

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use memchr::memmem;
use serde_json::Value;

use super::{Asked, Came};

/// Header fields whose values are credentials, whatever they hold; the last two are of webhooks and of pipelines, GitLab's.
const SECRET_FIELDS: [&str; 8] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "private-token",
    "x-api-key",
    "x-auth-token",
    "x-gitlab-token",
    "job-token",
];
/// Members of JSON answers that are fresh credentials: of OAuth 2, and of what is made after it.
const TOKEN_MEMBERS: [&str; 4] = ["access_token", "refresh_token", "id_token", "client_secret"];
/// A fresh credential that is shorter is not looked for elsewhere: it would strike out ordinary words.
const TOKEN_BYTES_MIN: usize = 8;
/// Fresh credentials that are remembered.
const LEARNT_MAX: usize = 1_000;
/// Bytes of a JSON answer that is searched for fresh credentials: an answer that has one is small.
const SEARCHED_BYTES_MAX: usize = 64 << 10;

/// What is struck out. Has no `Debug`: it holds secrets.
#[derive(Clone, Default)]
pub struct Mask {
    /// Forms with the name that stands for them, the longest first.
    forms: Vec<(Vec<u8>, String)>,
    learnt: usize,
}

/// A text as forms have it, with the digits of its escapes as some write them.
fn with_small_digits(form: &str) -> Vec<u8> {
    let mut parts = form.split('%');
    let mut small = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(2.min(part.len()));
        small.push('%');
        small.push_str(&digits.to_ascii_lowercase());
        small.push_str(rest);
    }
    small.into_bytes()
}

/// What stands for a secret.
pub(super) fn placeholder(name: &str) -> String {
    format!("{{{{secret:{name}}}}}")
}

impl Mask {
    /// Strikes out one more secret, in all these forms.
    pub fn add(&mut self, name: &str, forms: impl IntoIterator<Item = Vec<u8>>) {
        let placeholder = placeholder(name);
        for form in forms {
            // What stands for it is not struck out again, or it would grow.
            if !form.is_empty() && memmem::find(placeholder.as_bytes(), &form).is_none() {
                self.forms.push((form, placeholder.clone()));
            }
        }
        // Longest first, so that a form that holds another is struck out whole.
        self.forms.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        self.forms.dedup_by(|a, b| a.0 == b.0);
    }

    /// Strikes out of a text.
    pub fn text(&self, text: &mut String) {
        if let Some(clean) = self.struck(text.as_bytes()) {
            // A form is text, or encodes it, and is replaced by text; where it cut a character, that is lost.
            *text = String::from_utf8_lossy(&clean).into_owned();
        }
    }

    /// Strikes out of a document: values, and names of members too.
    pub(super) fn document(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.document(item)),
            Value::Object(members) => {
                members.values_mut().for_each(|value| self.document(value));
                if members.keys().any(|name| self.struck(name.as_bytes()).is_some()) {
                    *members = std::mem::take(members)
                        .into_iter()
                        .map(|(mut name, value)| {
                            self.text(&mut name);
                            (name, value)
                        })
                        .collect();
                }
            }
            _ => {}
        }
    }

    pub(super) fn asked(&self, asked: &mut Asked) {
        self.text(&mut asked.url);
        self.fields(&mut asked.headers);
        if let Some(clean) = asked.body.as_ref().and_then(|body| self.struck(body)) {
            asked.body = Some(Bytes::from(clean));
        }
    }

    pub(super) fn came(&mut self, came: &mut Came) {
        match came {
            Came::Answer { url, headers, body, .. } => {
                self.learn(body);
                self.text(url);
                self.fields(headers);
                if let Some(clean) = self.struck(body) {
                    *body = clean;
                }
            }
            Came::Fault { text, .. } => self.text(text),
            Came::Nothing => {}
        }
    }

    /// Strikes out of header fields.
    pub fn fields(&self, fields: &mut [(String, String)]) {
        for (name, value) in fields {
            let name = name.to_ascii_lowercase();
            if SECRET_FIELDS.contains(&name.as_str()) {
                *value = placeholder(&name);
            } else if name == "set-cookie" {
                // Its name and attributes are no secrets, and a guest may read them.
                let (cookie, attributes) = value.split_once(';').unwrap_or((value, ""));
                let cookie = cookie.split_once('=').map_or("", |(name, _)| name).trim();
                let separator = if attributes.is_empty() { "" } else { ";" };
                *value = format!("{cookie}={}{separator}{attributes}", placeholder("cookie"));
            } else {
                self.text(value);
            }
        }
    }

    /// Remembers credentials that a server has just made: they are struck out here and in all that follows.
    fn learn(&mut self, body: &[u8]) {
        if body.len() > SEARCHED_BYTES_MAX
            || !TOKEN_MEMBERS.iter().any(|name| memmem::find(body, name.as_bytes()).is_some())
        {
            return;
        }
        if let Ok(document) = serde_json::from_slice(body) {
            self.learn_from(&document);
        }
    }

    fn learn_from(&mut self, document: &Value) {
        match document {
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                match (TOKEN_MEMBERS.contains(&name.as_str()), value.as_str()) {
                    (true, Some(token)) => self.learn_token(name, token),
                    _ => self.learn_from(value),
                }
            }),
            Value::Array(items) => items.iter().for_each(|item| self.learn_from(item)),
            _ => {}
        }
    }

    /// A token as the answer has it, and as it is sent back: in a URL or a form, in JSON, and in base64 of its own.
    fn learn_token(&mut self, name: &str, token: &str) {
        if token.len() < TOKEN_BYTES_MIN || self.learnt >= LEARNT_MAX {
            return;
        }
        self.learnt += 1;
        let quoted = Value::from(token).to_string();
        let form: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
        let forms = [
            token.as_bytes().to_vec(),
            quoted.as_bytes()[1..quoted.len() - 1].to_vec(),
            // As servers write it who take care with `</script>`.
            quoted[1..quoted.len() - 1].replace('/', "\\/").into_bytes(),
            with_small_digits(&form),
            form.into_bytes(),
            BASE64_STANDARD.encode(token).into_bytes(),
        ];
        self.add(name, forms);
    }

    /// The bytes without what is struck out; none where there is nothing.
    fn struck(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut clean: Option<Vec<u8>> = None;
        for (form, placeholder) in &self.forms {
            let from = clean.as_deref().unwrap_or(bytes);
            let finder = memmem::Finder::new(form);
            if finder.find(from).is_none() {
                continue;
            }
            let (mut next, mut at) = (Vec::with_capacity(from.len()), 0);
            for found in finder.find_iter(from) {
                next.extend_from_slice(&from[at..found]);
                next.extend_from_slice(placeholder.as_bytes());
                at = found + form.len();
            }
            next.extend_from_slice(&from[at..]);
            clean = Some(next);
        }
        clean
    }
}

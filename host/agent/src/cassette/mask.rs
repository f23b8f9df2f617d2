//! Secrets on their way to a cassette: what is known to be one is replaced by its name, `{{secret:NAME}}`, in whatever form
//! the caller knows it; fields of HTTP that carry credentials are replaced whoever made them. Which values are secrets is
//! known above.

use bytes::Bytes;
use memchr::memmem;
use serde_json::Value;

use super::{Asked, Came};

/// Header fields whose values are credentials, whatever they hold.
const SECRET_FIELDS: [&str; 6] =
    ["authorization", "proxy-authorization", "cookie", "private-token", "x-api-key", "x-auth-token"];
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

    fn fields(&self, fields: &mut [(String, String)]) {
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
        let Ok(Value::Object(members)) = serde_json::from_slice(body) else { return };
        for name in TOKEN_MEMBERS {
            let Some(token) = members.get(name).and_then(Value::as_str) else { continue };
            if token.len() >= TOKEN_BYTES_MIN && self.learnt < LEARNT_MAX {
                self.learnt += 1;
                self.add(name, [token.as_bytes().to_vec()]);
            }
        }
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

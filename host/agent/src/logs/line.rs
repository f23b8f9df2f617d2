//! One line, for people or as JSON. All text is escaped here, whoever it comes from: the agent's own lines repeat what
//! guests and servers say.

use std::fmt::Write;

use time::OffsetDateTime;
use time::macros::format_description;

use super::Level;

/// Who speaks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    /// The agent; `target` is the module.
    Agent { target: &'a str },
    /// A guest.
    Guest { integration: &'a str },
}

/// A line before it has a form.
pub(super) struct Line<'a> {
    pub source: Source<'a>,
    pub level: Level,
    pub message: &'a str,
    pub fields: &'a [(String, String)],
}

impl Line<'_> {
    /// For a terminal: `13:50:37 INFO  mock │ message key=value`. The time is UTC.
    pub fn text(&self, now: OffsetDateTime, colour: bool) -> String {
        let clock = now.format(format_description!("[hour]:[minute]:[second]")).unwrap_or_default();
        let word = self.level.word().to_uppercase();
        let level = match (colour, self.level) {
            (true, Level::Error) => format!("\x1b[31m{word:<5}\x1b[0m"),
            (true, Level::Warn) => format!("\x1b[33m{word:<5}\x1b[0m"),
            (true, Level::Debug | Level::Trace) => format!("\x1b[2m{word:<5}\x1b[0m"),
            _ => format!("{word:<5}"),
        };
        format!("{clock} {level} {}", self.tail())
    }

    /// For a file: as [`Line::text`], with the date.
    pub fn file_text(&self, now: OffsetDateTime) -> String {
        format!("{} {:<5} {}", stamp(now), self.level.word().to_uppercase(), self.tail())
    }

    fn tail(&self) -> String {
        let mut out = String::new();
        // An agent's line has no mark, so none of a guest's, which always has one, can pass for it.
        if let Source::Guest { integration } = self.source {
            escape_into(&mut out, integration);
            out.push_str(" │ ");
        }
        escape_into(&mut out, self.message);
        for (name, value) in self.fields {
            out.push(' ');
            push_word(&mut out, name);
            out.push('=');
            push_word(&mut out, value);
        }
        out
    }

    /// As JSON: `{"time", "level", "source": "agent" | "guest", "target" | "integration", "message", "fields"}`.
    pub fn json(&self, now: OffsetDateTime) -> String {
        let mut object = serde_json::Map::new();
        object.insert("time".into(), stamp(now).into());
        object.insert("level".into(), self.level.word().into());
        match self.source {
            Source::Agent { target } => {
                object.insert("source".into(), "agent".into());
                object.insert("target".into(), target.into());
            }
            Source::Guest { integration } => {
                object.insert("source".into(), "guest".into());
                object.insert("integration".into(), integration.into());
            }
        }
        object.insert("message".into(), self.message.into());
        let mut fields = serde_json::Map::new();
        for (name, value) in self.fields {
            // A name that is there twice keeps both values.
            let mut key = name.clone();
            let mut copy = 2;
            while fields.contains_key(&key) {
                key = format!("{name}#{copy}");
                copy += 1;
            }
            fields.insert(key, value.clone().into());
        }
        if !fields.is_empty() {
            object.insert("fields".into(), fields.into());
        }
        escape_json(&serde_json::Value::from(object).to_string())
    }
}

/// JSON in which no character acts on a terminal. The serializer escapes what JSON demands, and a terminal acts on more; such
/// characters stand only in strings. Ends of lines stay.
#[must_use]
pub fn escape_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if acts(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

fn stamp(now: OffsetDateTime) -> String {
    // RFC 3339, always with three digits: finer ones are noise in a log, and lines of one width are easier to read.
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    now.format(form).unwrap_or_default()
}

/// A text in which no character acts on a terminal or passes for the end of a line: controls (and so ANSI sequences),
/// line separators, and marks that reorder or hide text, are written as `\n`, `\u{1b}`, ….
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape_into(&mut out, text);
    out
}

fn escape_into(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if acts(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// Whether a character does something other than be seen. The joiners U+200C and U+200D stay: scripts and emoji need
/// them, and they neither reorder nor end anything.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A name or value of a field: as it is if that is clear, else in quotes.
fn push_word(out: &mut String, text: &str) {
    let plain = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "\"=│".contains(c));
    if plain {
        escape_into(out, text);
    } else {
        out.push('"');
        escape_into(out, &text.replace('\\', "\\\\").replace('"', "\\\""));
        out.push('"');
    }
}

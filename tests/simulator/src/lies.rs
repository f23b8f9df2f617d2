//! Answers that are wrong on purpose: each lie says in which way, and which requests it meets.

use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Answer, Sending};

/// In which way an answer is wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Lie {
    /// This status, with a page of HTML.
    Status(u16),
    /// 200, with a page of HTML.
    Html,
    /// The right JSON under the content type of HTML.
    WrongType,
    /// JSON that breaks off.
    Truncated,
    /// Fewer bytes than the answer promises.
    Short,
    /// JSON that never ends.
    Endless,
    /// The answer comes after so many milliseconds.
    Slow(u64),
    /// `null` in this field of the first item.
    Null(&'static str),
    /// A value that no schema knows in this field of the first item.
    Unknown(&'static str),
    /// 10 MB of text in this field of the first item.
    Huge(&'static str),
    /// The first item in place of all others too, with their cursors: a page that has only what is known.
    Repeat,
    /// The items the other way round.
    Reorder,
    /// The next page is the first one, for ever.
    Cycle,
    /// There is a next page, and nobody says where.
    Nowhere,
    /// The last item is missing, and an error says that it was too much.
    Partial,
    /// The query takes too long where it asks for more than this.
    TooMuch(u64),
    /// No more points in this hour.
    Spent,
    /// A secondary limit, with the seconds to wait.
    Secondary(u64),
    /// The clock is so many seconds ahead.
    Skew(i64),
    /// A list without most of its items, as somebody sees who may no longer see them.
    Few,
}

/// A lie, and when it is told.
#[derive(Debug, Clone)]
pub struct Told {
    pub lie: Lie,
    /// Texts that all stand in the request: its method, URL and body.
    pub to: Vec<String>,
    /// So many of these requests are answered truly first.
    pub after: u32,
    /// How often it is told.
    pub times: u32,
}

impl Told {
    /// A lie that is told once, to the first request that has this text.
    pub fn once(lie: Lie, to: &str) -> Told {
        Told { lie, to: vec![to.to_owned()], after: 0, times: 1 }
    }

    /// Told always.
    pub fn always(lie: Lie, to: &str) -> Told {
        Told { times: u32::MAX, ..Told::once(lie, to) }
    }

    /// Also only to requests that have this text.
    #[must_use]
    pub fn and(mut self, to: &str) -> Told {
        self.to.push(to.to_owned());
        self
    }

    /// After so many true answers.
    #[must_use]
    pub fn after(mut self, after: u32) -> Told {
        self.after = after;
        self
    }

    /// Whether it is told to this request.
    pub fn meets(&mut self, request: &str) -> bool {
        if self.times == 0 || !self.to.iter().all(|text| request.contains(text.as_str())) {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}

/// Bytes of a huge field.
const HUGE_BYTES: usize = 10 << 20;

/// The list that a document is about: the innermost that is paged, or the document itself.
fn list(body: &mut Value) -> Option<&mut Value> {
    if body.is_array() {
        return Some(body);
    }
    let mut at = body.get_mut("data")?;
    loop {
        if at.get("nodes").is_some_and(Value::is_array) {
            return at.get_mut("nodes");
        }
        // Down into the object that has the list; beside it there are only small ones.
        let name = at.as_object()?.iter().find(|(_, member)| has_nodes(member)).map(|(name, _)| name.clone())?;
        at = at.get_mut(&name)?;
    }
}

fn has_nodes(value: &Value) -> bool {
    value.as_object().is_some_and(|members| members.contains_key("nodes") || members.values().any(has_nodes))
}

fn page_info(body: &mut Value) -> Option<&mut Value> {
    let mut at = body.get_mut("data")?;
    loop {
        if at.get("pageInfo").is_some() {
            return at.get_mut("pageInfo");
        }
        let name = at.as_object()?.iter().find(|(_, member)| has_nodes(member)).map(|(name, _)| name.clone())?;
        at = at.get_mut(&name)?;
    }
}

fn set(item: Option<&mut Value>, field: &str, value: Value) {
    if let Some(member) = item.and_then(|item| item.get_mut(field)) {
        *member = value;
    }
}

/// What a proxy or a server in trouble says in place of an answer.
pub const HTML: &[u8] = b"<!DOCTYPE html><html><head><title>Unicorn!</title></head><body>This page is taking too long to load.</body></html>";

/// A page of HTML with this status.
pub fn html(status: u16) -> Answer {
    Answer::new(status, "text/html; charset=utf-8", HTML)
}

impl Lie {
    /// The answer of a lie that needs no true one.
    pub fn instead(&self) -> Option<Answer> {
        match self {
            Lie::Status(status) => Some(html(*status)),
            Lie::Html => Some(html(200)),
            Lie::Endless => {
                let mut endless = Answer::new(200, "application/json", vec![b'['; 64 << 10]);
                endless.sending = Sending::Endless;
                Some(endless)
            }
            _ => None,
        }
    }

    /// Changes a document; those that are about the transport leave it as it is.
    pub fn tell(&self, body: &mut Value) {
        match self {
            Lie::Null(field) => set(list(body).and_then(|list| list.get_mut(0)), field, Value::Null),
            Lie::Unknown(field) => set(list(body).and_then(|list| list.get_mut(0)), field, "FROZEN".into()),
            Lie::Huge(field) => {
                set(list(body).and_then(|list| list.get_mut(0)), field, "x".repeat(HUGE_BYTES).into());
            }
            Lie::Repeat => {
                if let Some(items) = list(body).and_then(Value::as_array_mut)
                    && let Some(first) = items.first().cloned()
                {
                    items.fill(first);
                }
            }
            Lie::Reorder => {
                if let Some(items) = list(body).and_then(Value::as_array_mut) {
                    items.reverse();
                }
            }
            Lie::Few => {
                if let Some(items) = list(body).and_then(Value::as_array_mut) {
                    items.truncate(1);
                }
                set(page_info(body), "hasNextPage", false.into());
            }
            Lie::Cycle => {
                set(page_info(body), "hasNextPage", true.into());
                set(page_info(body), "endCursor", "000000000000:000000000000".into());
            }
            Lie::Nowhere => {
                set(page_info(body), "hasNextPage", true.into());
                set(page_info(body), "endCursor", Value::Null);
            }
            Lie::Partial => {
                if let Some(last) = list(body).and_then(Value::as_array_mut).and_then(|items| items.last_mut()) {
                    *last = Value::Null;
                }
                body["errors"] = json!([{
                    "message": "Something went wrong while executing your query. This may be the result of a timeout."
                }]);
            }
            _ => {}
        }
    }
}

/// Lies about the transport.
pub fn spoiled(mut answer: Answer, lies: &[Lie]) -> Answer {
    for lie in lies {
        match lie {
            Lie::WrongType => answer.headers.retain(|(name, _)| name != "content-type"),
            Lie::Truncated => answer.body.truncate(answer.body.len() / 2),
            Lie::Short => answer.sending = Sending::Short,
            Lie::Slow(millis) => answer.delay = Duration::from_millis(*millis),
            _ => {}
        }
    }
    if lies.contains(&Lie::WrongType) { answer.header("content-type", "text/html") } else { answer }
}

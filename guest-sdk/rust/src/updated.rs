//! Only what has changed since the last run, from a source that can be asked for what was updated since a time.
//!
//! [`Since`] keeps the cursor. It remembers when the last complete run *began*, by the server's clock, and asks for what
//! was updated since a little before: what changed while that run was under way comes with the next one, whatever the
//! order of the pages, and what comes twice is left out by the agent as unchanged. A run that ends in the middle is gone
//! on with at the page that it had come to.
//!
//! Have the source sort by something that does not change (`sort=created`): sorted by the time of update, an item that
//! changes while pages are read moves to the end, and those behind it move up by one, across the edge of a page.
//!
//! ```no_run
//! # use agent_sdk::{http::Request, paging, session, updated::Since, ExportResult, Model, Result};
//! # #[derive(serde::Serialize, serde::Deserialize)] struct Ticket { ref_id: String }
//! # impl Model for Ticket {
//! #     const NAME: &'static str = "demo.Ticket";
//! #     fn schema() -> serde_json::Value { serde_json::json!({ "type": "object" }) }
//! # }
//! # fn main() -> Result<()> {
//! let mut tickets = session::root_model::<Ticket>()?;
//! let mut since = Since::of(&tickets)?;
//! let request = Request::get("https://api.example.com/tickets").query_opt("updated_since", since.time());
//! for page in paging::link::<Ticket>(request).resume(since.position()) {
//!     let page = page?;
//!     for ticket in &page.items {
//!         tickets.send(ticket)?;
//!     }
//!     tickets.checkpoint(&since.after(&page))?;
//! }
//! tickets.done(Some(&since.complete()))?;
//! # Ok(()) }
//! ```

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::http::Response;
use crate::paging::Page;
use crate::session::Session;
use crate::time;

/// Seconds by which a run reaches back before the last one, unless the integration says otherwise. Sources answer from
/// copies that are behind by seconds, and their clocks differ by as much.
const OVERLAP_SECS: u32 = 120;

/// The cursor of an export that asks for what was updated since a time.
#[derive(Debug, Clone)]
pub struct Since {
    /// When the last complete run began.
    complete: Option<i64>,
    /// When this one began: this run, or the one that it goes on with.
    began: Option<i64>,
    position: Option<String>,
    overlap_secs: u32,
}

/// The cursor of a run that is not complete. A complete one is just the time.
#[derive(Serialize, Deserialize)]
struct Midway {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    began: String,
    at: String,
}

impl Since {
    /// Goes on where the session's cursor says, or begins.
    ///
    /// # Errors
    /// Where the cursor was written by something else.
    pub fn of<M>(session: &Session<M>) -> Result<Since> {
        Since::read(session.last_processed().as_deref())
    }

    /// The same with a cursor that is kept elsewhere, for example in [`crate::state`].
    ///
    /// # Errors
    /// Where the cursor was written by something else.
    pub fn read(cursor: Option<&str>) -> Result<Since> {
        let mut since = Since { complete: None, began: None, position: None, overlap_secs: OVERLAP_SECS };
        let Some(cursor) = cursor else { return Ok(since) };
        let unknown = || {
            Error::invalid(format!(
                "the cursor `{cursor}` is none of `Since`; `agent force-historical` begins anew, and so does \
                 `Since::read(None)`"
            ))
        };
        if !cursor.starts_with('{') {
            since.complete = Some(time::parse(cursor).ok_or_else(unknown)?);
            return Ok(since);
        }
        let midway: Midway = serde_json::from_str(cursor).map_err(|_| unknown())?;
        if let Some(complete) = &midway.since {
            since.complete = Some(time::parse(complete).ok_or_else(unknown)?);
        }
        since.began = Some(time::parse(&midway.began).ok_or_else(unknown)?);
        since.position = Some(midway.at);
        Ok(since)
    }

    /// Reaches back by so many seconds instead of 120.
    #[must_use]
    pub fn overlap_secs(mut self, overlap_secs: u32) -> Since {
        self.overlap_secs = overlap_secs;
        self
    }

    /// The time to ask from (RFC 3339, UTC); none on the first run: ask for everything.
    #[must_use]
    pub fn time(&self) -> Option<String> {
        self.complete.map(|complete| time::format(complete - i64::from(self.overlap_secs)))
    }

    /// The page at which to go on, where the last run did not come to the end; for
    /// [`Pages::resume`](crate::paging::Pages::resume).
    #[must_use]
    pub fn position(&self) -> Option<&str> {
        self.position.as_deref()
    }

    /// The cursor with which to checkpoint after this page.
    pub fn after<T>(&mut self, page: &Page<T>) -> String {
        // The server's clock is the one by which it says what was updated.
        let date = page.response.header("date").and_then(time::parse_http);
        let began = *self.began.get_or_insert_with(|| date.unwrap_or_else(time::now));
        match &page.next {
            Some(next) => {
                let midway =
                    Midway { since: self.complete.map(time::format), began: time::format(began), at: next.clone() };
                // Three texts; writing them cannot fail, and the time alone is a cursor too, that repeats more.
                serde_json::to_string(&midway).unwrap_or_else(|_| self.complete.map(time::format).unwrap_or_default())
            }
            None => self.complete(),
        }
    }

    /// The cursor of a run that has come to the end.
    #[must_use]
    pub fn complete(&self) -> String {
        time::format(self.began.unwrap_or_else(time::now))
    }
}

/// A time (RFC 3339) so many seconds earlier, in UTC; nothing where it is no time.
#[must_use]
pub fn earlier(time: &str, secs: u32) -> Option<String> {
    Some(time::format(time::parse(time)?.saturating_sub(i64::from(secs))))
}

/// Seconds from one time (RFC 3339) to another, below zero where the other is earlier; nothing where one of them is no time.
#[must_use]
pub fn secs_between(from: &str, to: &str) -> Option<i64> {
    Some(time::parse(to)? - time::parse(from)?)
}

/// The time (RFC 3339, UTC) so many seconds after 1970 began.
#[must_use]
pub fn of_secs(secs: i64) -> String {
    time::format(secs)
}

/// The time (RFC 3339) so many seconds from now, by the clock of the agent's machine.
#[must_use]
pub fn from_now(secs: u64) -> String {
    time::format(time::now().saturating_add(i64::try_from(secs).unwrap_or(i64::MAX)))
}

/// What time it was for the server (RFC 3339), where its answer says so in `Date`.
#[must_use]
pub fn date_of(response: &Response) -> Option<String> {
    response.header("date").and_then(time::parse_http).map(time::format)
}

/// Whether one time (RFC 3339) is before another. What is no time is before nothing, so that it is rather read again than
/// left out.
#[must_use]
pub fn is_before(time: &str, other: &str) -> bool {
    matches!((time::parse(time), time::parse(other)), (Some(time), Some(other)) if time < other)
}

#[cfg(test)]
mod tests {
    use super::{Since, earlier, is_before, of_secs, secs_between};
    use crate::http::Response;
    use crate::paging::Page;

    fn page(number: u64, date: &str, next: Option<&str>) -> Page<u8> {
        let response =
            Response { status: 200, url: String::new(), headers: vec![("date".into(), date.into())], body: Vec::new() };
        Page { items: Vec::new(), response, number, next: next.map(str::to_owned) }
    }

    #[test]
    fn a_run_asks_from_a_little_before_the_last_one_began() {
        let mut first = Since::read(None).unwrap();
        assert_eq!((first.time(), first.position()), (None, None));
        first.after(&page(1, "Sat, 21 Nov 2026 09:30:00 GMT", Some("2")));
        // The clock of the first page counts, however long the run takes.
        let cursor = first.after(&page(2, "Sat, 21 Nov 2026 10:30:00 GMT", None));
        assert_eq!((cursor.as_str(), first.complete().as_str()), ("2026-11-21T09:30:00Z", "2026-11-21T09:30:00Z"));
        let second = Since::read(Some(&cursor)).unwrap();
        assert_eq!(second.time().as_deref(), Some("2026-11-21T09:28:00Z"));
        assert_eq!(second.overlap_secs(0).time().as_deref(), Some("2026-11-21T09:30:00Z"));
    }

    #[test]
    fn a_run_that_ended_midway_is_gone_on_with() {
        let mut run = Since::read(Some("2026-11-20T00:00:00Z")).unwrap();
        let cursor = run.after(&page(1, "Sat, 21 Nov 2026 09:30:00 GMT", Some("https://x.invalid/?page=2")));
        let mut resumed = Since::read(Some(&cursor)).unwrap();
        assert_eq!(resumed.position(), Some("https://x.invalid/?page=2"));
        assert_eq!(resumed.time().as_deref(), Some("2026-11-19T23:58:00Z"));
        // It began when the run began that it goes on with.
        assert_eq!(resumed.after(&page(1, "Sun, 22 Nov 2026 09:30:00 GMT", None)), "2026-11-21T09:30:00Z");
    }

    #[test]
    fn times_are_compared_as_times() {
        assert_eq!(earlier("2026-11-21T02:00:00+02:00", 60).as_deref(), Some("2026-11-20T23:59:00Z"));
        assert_eq!(earlier("soon", 60), None);
        assert!(is_before("2026-11-21T09:30:00+02:00", "2026-11-21T09:00:00Z"));
        assert!(!is_before("2026-11-21T09:00:00Z", "2026-11-21T09:00:00Z"));
        assert!(!is_before("soon", "2026-11-21T09:00:00Z"));
        assert_eq!(secs_between("2026-11-21T09:00:00Z", "2026-11-21T09:30:00.500+0200"), Some(-5_400));
        assert_eq!(of_secs(1_582_152_559), "2020-02-19T22:49:19Z");
        assert_eq!(secs_between("soon", "2026-11-21T09:00:00Z"), None);
    }

    #[test]
    fn a_foreign_cursor_is_named() {
        for cursor in ["17", "", "{}", r#"{"began":"soon","at":"2"}"#] {
            let error = Since::read(Some(cursor)).unwrap_err().to_string();
            assert!(error.contains(&format!("`{cursor}`")) && error.contains("force-historical"), "{error}");
        }
    }
}

//! Export sessions: typed, nested, and batched. Records are written straight into one buffer that is sent when it is
//! large enough, so that a guest encodes at full speed and the host sees batches of the size it likes best.
//!
//! A session is rolled back when it is dropped: only [`Session::done`] and [`Session::checkpoint`] commit.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Context, Result};
use crate::host::session as wire;

/// Bytes at which a batch is sent: in the middle of the 256 KiB to 1 MiB that suit the host best.
const BATCH_BYTES: usize = 512 << 10;

/// Room for the record that takes a batch over the mark, so that the buffer is allocated once.
const BATCH_SLACK_BYTES: usize = 16 << 10;

/// Buffers kept for sessions to come: one for each level that commonly sends at the same time.
const SPARES_MAX: usize = 4;

/// A buffer that a huge record has grown beyond this is not kept.
const SPARE_BYTES_MAX: usize = 2 << 20;

thread_local! {
    static SPARES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A kind of record that this integration exports: the record's type says what it is called and how it is recognized.
pub trait Model {
    /// The model's name, for example `mock.Issue`: 1 to 128 of `A-Z a-z 0-9 _ . -`.
    const NAME: &'static str;
    /// JSON Pointers to the fields that together identify a record.
    const KEY: &'static [&'static str] = &["/ref_id"];
    /// Whether the host leaves out records that the backend already has in the same form.
    const DEDUP: bool = true;

    /// The JSON Schema (draft 2020-12) of a record.
    fn schema() -> Value;
}

/// The kind of a session that only gives structure and progress.
#[derive(Debug)]
pub enum Tracking {}

/// What a session has sent so far. What still waits in the buffer is not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Records staged.
    pub accepted: u64,
    /// Records that the backend already has in this form, and that are not sent again.
    pub unchanged: u64,
}

/// What a session did, as the host counted it (`schemas/session-summary.json`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Summary {
    /// The session's path below the integration.
    pub path: String,
    /// Records committed.
    pub records: u64,
    /// Bytes of those records.
    pub bytes: u64,
    /// Records left out as unchanged.
    pub unchanged: u64,
    /// Milliseconds from opening to end.
    pub duration_ms: u64,
    /// The committed cursor.
    pub cursor: Option<String>,
    /// Whether a child holds the cursor back.
    pub held_back: bool,
}

/// An open session of model `M`, or for structure only ([`Tracking`]). Dropping it rolls it back.
pub struct Session<M = Tracking> {
    raw: wire::Session,
    batch: Batch,
    sent: Sent,
    model: PhantomData<fn(&M)>,
}

/// Opens a tracking session at the top of the tree.
///
/// # Errors
/// `Invalid` for a bad name, `Conflict` if it is open already.
pub fn root_tracking(name: &str) -> Result<Session> {
    Ok(Session::new(wire::root_tracking(name).context(name)?))
}

/// Opens a model session at the top of the tree.
///
/// # Errors
/// `Invalid` if the manifest does not have the model, `Conflict` if it is open already.
pub fn root_model<M: Model>() -> Result<Session<M>> {
    Ok(Session::new(wire::root_model(M::NAME).context(M::NAME)?))
}

impl<M> fmt::Debug for Session<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl<M> Session<M> {
    fn new(raw: wire::Session) -> Session<M> {
        Session { raw, batch: Batch::default(), sent: Sent::default(), model: PhantomData }
    }

    /// Opens a tracking session below this one, for the object that this level is about: 1 to 512 bytes of name and id;
    /// the object's name, for people, may be empty.
    ///
    /// # Errors
    /// `Invalid` for a bad name, `Conflict` if it is open already, `Limit` for too many or too deep.
    pub fn tracking(&self, name: &str, object_id: &str, object_name: &str) -> Result<Session> {
        Ok(Session::new(self.raw.tracking(name, object_id, object_name).context(name)?))
    }

    /// Opens a session of model `N` below this one, for the object that this level is about.
    ///
    /// # Errors
    /// As [`Session::tracking`], and `Invalid` if the manifest does not have the model.
    pub fn model<N: Model>(&self, object_id: &str, object_name: &str) -> Result<Session<N>> {
        Ok(Session::new(self.raw.model(N::NAME, object_id, object_name).context(N::NAME)?))
    }

    /// The cursor that was committed last at this session's path. None on the first run: export everything.
    #[must_use]
    pub fn last_processed(&self) -> Option<String> {
        self.raw.last_processed()
    }

    /// True when the run has been asked to end: go to the next good place, checkpoint and return.
    #[must_use]
    pub fn should_stop(&self) -> bool {
        self.raw.should_stop()
    }

    /// Says how far this session is, in whatever unit the integration counts.
    pub fn progress(&self, current: u32, total: Option<u32>) {
        self.raw.progress(current, total);
    }

    /// Commits what was sent so far, with this cursor (any text, at most 64 KiB), and goes on.
    ///
    /// # Errors
    /// Those of [`Session::flush`], `Limit` for a cursor that is too long, `Unavailable` where the host cannot commit
    /// now.
    pub fn checkpoint(&mut self, last_processed: &str) -> Result<()> {
        self.flush()?;
        Ok(self.raw.checkpoint(last_processed)?)
    }

    /// Commits and closes. Without a cursor the old one stays.
    ///
    /// # Errors
    /// Those of [`Session::flush`], and `Conflict` while children are open. The session is rolled back then.
    pub fn done(mut self, last_processed: Option<&str>) -> Result<Summary> {
        self.flush()?;
        let summary = wire::Session::done(self.raw, last_processed)?;
        Ok(serde_json::from_str(&summary)?)
    }

    /// Forgets what was sent since the last checkpoint and closes, with open children. The cursors above are held back
    /// for the rest of the run: they must come past this place again.
    pub fn rollback(self) {
        wire::Session::rollback(self.raw);
    }

    /// Like [`Session::rollback`], but does not hold back the cursors above: this place may be left out for good. The
    /// reason (at most 1,024 bytes) is counted and shown.
    pub fn skip(self, why: &str) {
        wire::Session::skip(self.raw, why);
    }

    /// Sends what waits in the buffer. [`Session::checkpoint`] and [`Session::done`] do it of their own accord.
    ///
    /// # Errors
    /// `Invalid` where a record is not acceptable, with its line in the batch; `Limit` where it is too large;
    /// `Unavailable` where the host cannot take it now. The batch stays in the buffer, so that the call can be repeated
    /// and nothing is lost silently: while it is refused, the session cannot be done.
    pub fn flush(&mut self) -> Result<()> {
        if self.batch.bytes.is_empty() {
            return Ok(());
        }
        let ack = self.raw.send(&self.batch.bytes)?;
        self.sent.accepted += u64::from(ack.accepted);
        self.sent.unchanged += u64::from(ack.unchanged);
        self.batch.bytes.clear();
        Ok(())
    }

    pub(crate) fn raw(&self) -> &wire::Session {
        &self.raw
    }
}

impl<M: Model> Session<M> {
    /// Sends a record. It waits in the buffer until there are 512 KiB of them, [`Session::flush`], or a commit.
    ///
    /// # Errors
    /// If the record cannot be written as JSON; it is left out of the batch then. Otherwise those of
    /// [`Session::flush`], whenever this record or one before it brings about a batch.
    pub fn send(&mut self, record: &M) -> Result<()>
    where
        M: Serialize,
    {
        self.send_as(record)
    }

    /// Sends a record in another form than the model's own type: one that borrows its fields, or a [`Value`].
    ///
    /// # Errors
    /// As [`Session::send`].
    pub fn send_as<R: Serialize + ?Sized>(&mut self, record: &R) -> Result<()> {
        self.batch.push(record).context(M::NAME)?;
        if self.batch.bytes.len() >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// What this session has sent so far, by the host's answers.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.sent
    }
}

/// Records that wait to be sent, a line each. Its memory comes from sessions before and goes to sessions after.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
}

impl Batch {
    fn push<R: Serialize + ?Sized>(&mut self, record: &R) -> Result<()> {
        if self.bytes.capacity() == 0 {
            self.bytes =
                SPARES.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(BATCH_BYTES + BATCH_SLACK_BYTES));
        }
        let before = self.bytes.len();
        if let Err(error) = serde_json::to_writer(&mut self.bytes, record) {
            self.bytes.truncate(before);
            return Err(error.into());
        }
        self.bytes.push(b'\n');
        Ok(())
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() == 0 || bytes.capacity() > SPARE_BYTES_MAX {
            return;
        }
        bytes.clear();
        SPARES.with_borrow_mut(|spares| {
            if spares.len() < SPARES_MAX {
                spares.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::Batch;

    /// Serializes its first half, then fails.
    struct Broken;

    impl serde::Serialize for Broken {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::{Error, SerializeMap};
            let mut map = serializer.serialize_map(None)?;
            map.serialize_entry("half", &1)?;
            Err(S::Error::custom("broken"))
        }
    }

    #[test]
    fn a_record_that_fails_leaves_nothing_in_the_batch() {
        let mut batch = Batch::default();
        batch.push(&serde_json::json!({ "a": 1 })).unwrap();
        assert!(batch.push(&Broken).is_err());
        batch.push(&serde_json::json!({ "b": "line\nend" })).unwrap();
        assert_eq!(batch.bytes, b"{\"a\":1}\n{\"b\":\"line\\nend\"}\n");
    }

    #[test]
    fn buffers_are_used_again_and_come_empty() {
        let mut first = Batch::default();
        first.push(&1).unwrap();
        let place = first.bytes.as_ptr();
        drop(first);
        let mut second = Batch::default();
        second.push(&2).unwrap();
        assert_eq!((second.bytes.as_ptr(), second.bytes.as_slice()), (place, b"2\n".as_slice()));
    }
}

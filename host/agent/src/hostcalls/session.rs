//! `agent:integration/session`: the handles of the session tree. The tree itself, and with it every rule about open
//! children, paths, records and cursors, is in `export`. A handle that goes away without an ending rolls back.

use std::sync::Arc;

use wasmtime::component::Resource;

use super::taped::acted;
use super::{Guest, length};
use crate::bindings::agent::integration::{session, types};
use crate::config::Limits;
use crate::cut;
use crate::export::{ExportRun, SessionId, SessionKind};
use crate::secrets::strike_text;

/// Bytes of a batch.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Bytes of a cursor.
const CURSOR_BYTES_MAX: usize = 64 << 10;
/// Bytes of a name or id.
const NAME_BYTES_MAX: usize = 512;
/// Bytes of the reason to skip.
const WHY_BYTES_MAX: usize = 1024;

/// What a guest holds of a session.
pub(super) type Handle = Resource<SessionId>;

impl Guest {
    /// The run and the session that a handle stands for. There is no handle without a run.
    pub(super) fn session(&self, handle: &Handle) -> wasmtime::Result<(Arc<ExportRun>, SessionId)> {
        let id = *self.table.get(handle)?;
        let run = self.run().map_err(|_| wasmtime::Error::msg("a session without a run"))?;
        Ok((Arc::clone(run), id))
    }

    /// Takes a handle away from the guest.
    fn take_session(&mut self, handle: Handle) -> wasmtime::Result<(Arc<ExportRun>, SessionId)> {
        let found = self.session(&handle)?;
        self.table.delete(handle)?;
        Ok(found)
    }

    /// Gives the guest a handle of a session that was just opened.
    fn give_session(&mut self, run: &ExportRun, id: SessionId) -> Result<Handle, types::Error> {
        self.table.push(id).map_err(|_| {
            // The guest never sees this session, so it would stay open.
            run.rollback(id);
            types::Error::Limit("handles_max: too many resources are alive; drop some".to_owned())
        })
    }

    /// Notes a batch, where somebody looks on.
    fn sends(&self, bytes: usize) {
        if let Some(witness) = &self.door.witness {
            witness.lock().record_bytes += bytes as u64;
        }
    }

    async fn send_taped(
        &mut self,
        handle: &Handle,
        ndjson: &[u8],
    ) -> wasmtime::Result<Result<session::Ack, types::Error>> {
        let work = stage(self.quota, self.session(handle)?, ndjson);
        let acknowledged = acted(self.door.tape.clone(), "session.send", work).await?;
        Ok(acknowledged.map(|(accepted, unchanged)| session::Ack { accepted, unchanged }))
    }

    fn open_root(&mut self, kind: SessionKind, name: &str) -> Result<Handle, types::Error> {
        let run = Arc::clone(self.run()?);
        length("the name", name, 1..=NAME_BYTES_MAX)?;
        let id = run.open_root(kind, name)?;
        self.give_session(&run, id)
    }

    fn open_child(
        &mut self,
        (run, parent): (Arc<ExportRun>, SessionId),
        kind: SessionKind,
        name: &str,
        object: (&str, &str),
    ) -> Result<Handle, types::Error> {
        let (name, object) = (&*strike_text(name), (&*strike_text(object.0), &*strike_text(object.1)));
        length("the name", name, 1..=NAME_BYTES_MAX)?;
        length("the object's id", object.0, 1..=NAME_BYTES_MAX)?;
        length("the object's name", object.1, 0..=NAME_BYTES_MAX)?;
        let id = run.open_child(parent, kind, name, object.0, object.1)?;
        self.give_session(&run, id)
    }
}

/// Records that may be staged and not yet committed, over all sessions of a run: of each, some bytes stay in memory.
const STAGED_RECORDS_MAX: u64 = 16 << 20;

/// What one run may put out, as `config::Limits` has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quota {
    staged_bytes_max: u64,
    output_bytes_max: u64,
    records_max: u64,
}

impl From<&Limits> for Quota {
    fn from(limits: &Limits) -> Quota {
        Quota {
            staged_bytes_max: limits.staged_bytes_max,
            output_bytes_max: limits.output_bytes_max,
            records_max: limits.records_max.unwrap_or(u64::MAX),
        }
    }
}

/// The run has put out more than it may: the trap that ends it. What it has not committed is gone with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the run has put out more than it may")]
pub(crate) struct OutputSpent {
    /// The limit, as in `config::Limits`.
    pub name: &'static str,
}

impl Quota {
    /// Whether a batch of so many bytes may be staged. What is refused here can be sent after a checkpoint.
    fn may_stage(&self, run: &ExportRun, bytes: usize) -> Result<(), types::Error> {
        let (records, staged) = run.staged();
        let refuse = |what: String| Err(types::Error::Limit(format!("{what}: checkpoint, and send it then")));
        if staged.saturating_add(bytes as u64) > self.staged_bytes_max {
            let max = self.staged_bytes_max;
            return refuse(format!(
                "{staged} bytes are staged and not committed; at most {max} may be (staged_bytes_max)"
            ));
        }
        if records >= STAGED_RECORDS_MAX {
            return refuse(format!("{records} records are staged and not committed (staged_records_max)"));
        }
        Ok(())
    }

    /// Whether the run is still within what it may put out. Its last batch may have gone past it: that is staged, and no
    /// commit follows.
    fn check(&self, run: &ExportRun) -> Result<(), OutputSpent> {
        match run.output() {
            (records, _) if records > self.records_max => Err(OutputSpent { name: "records_max" }),
            (_, bytes) if bytes > self.output_bytes_max => Err(OutputSpent { name: "output_bytes_max" }),
            _ => Ok(()),
        }
    }
}

/// Stages a batch, which is the guest's own copy: nothing is copied again. Gives how many records were accepted, and how many
/// of these are unchanged.
async fn stage(
    quota: Quota,
    (run, id): (Arc<ExportRun>, SessionId),
    ndjson: &[u8],
) -> wasmtime::Result<Result<(u32, u32), types::Error>> {
    if ndjson.len() > BATCH_BYTES_MAX {
        let size = ndjson.len();
        let why = format!("the batch has {size} bytes; at most {BATCH_BYTES_MAX} are allowed: send it in parts");
        return Ok(Err(types::Error::Limit(why)));
    }
    if let Err(error) = quota.may_stage(&run, ndjson.len()) {
        return Ok(Err(error));
    }
    match run.send(id, ndjson).await {
        Ok(ack) => {
            quota.check(&run)?;
            Ok(Ok((ack.accepted, ack.unchanged)))
        }
        Err(error) => Ok(Err(error.into())),
    }
}

impl session::Host for Guest {
    async fn root_model(&mut self, model: String) -> wasmtime::Result<Result<Handle, types::Error>> {
        self.enters("session.root-model");
        Ok(self.open_root(SessionKind::Model, &model))
    }

    async fn root_tracking(&mut self, name: String) -> wasmtime::Result<Result<Handle, types::Error>> {
        self.enters("session.root-tracking");
        Ok(self.open_root(SessionKind::Tracking, &name))
    }
}

impl session::HostSession for Guest {
    fn last_processed(&mut self, handle: Handle) -> wasmtime::Result<Option<String>> {
        self.enters("session.last-processed");
        let (run, id) = self.session(&handle)?;
        Ok(self.observe("session.last-processed", || run.last_processed(id)))
    }

    async fn model(
        &mut self,
        handle: Handle,
        model: String,
        object_id: String,
        object_name: String,
    ) -> wasmtime::Result<Result<Handle, types::Error>> {
        self.enters("session.model");
        let parent = self.session(&handle)?;
        Ok(self.open_child(parent, SessionKind::Model, &model, (&object_id, &object_name)))
    }

    async fn tracking(
        &mut self,
        handle: Handle,
        name: String,
        object_id: String,
        object_name: String,
    ) -> wasmtime::Result<Result<Handle, types::Error>> {
        self.enters("session.tracking");
        let parent = self.session(&handle)?;
        Ok(self.open_child(parent, SessionKind::Tracking, &name, (&object_id, &object_name)))
    }

    fn progress(&mut self, handle: Handle, current: u32, total: Option<u32>) -> wasmtime::Result<()> {
        self.enters("session.progress");
        let (run, id) = self.session(&handle)?;
        run.progress(id, u64::from(current), total.map(u64::from));
        Ok(())
    }

    async fn send(&mut self, handle: Handle, ndjson: Vec<u8>) -> wasmtime::Result<Result<session::Ack, types::Error>> {
        self.enters("session.send");
        self.sends(ndjson.len());
        self.send_taped(&handle, &ndjson).await
    }

    async fn send_text(
        &mut self,
        handle: Handle,
        ndjson: String,
    ) -> wasmtime::Result<Result<session::Ack, types::Error>> {
        self.enters("session.send-text");
        self.sends(ndjson.len());
        self.send_taped(&handle, ndjson.as_bytes()).await
    }

    fn should_stop(&mut self, handle: Handle) -> wasmtime::Result<bool> {
        self.enters("session.should-stop");
        let (run, _) = self.session(&handle)?;
        Ok(self.observe("session.should-stop", || run.should_stop()))
    }

    async fn checkpoint(
        &mut self,
        handle: Handle,
        last_processed: String,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        self.enters("session.checkpoint");
        let (run, id) = self.session(&handle)?;
        let last_processed = strike_text(&last_processed);
        if let Err(error) = length("the cursor", &last_processed, 0..=CURSOR_BYTES_MAX) {
            return Ok(Err(error));
        }
        let work = async { Ok(run.checkpoint(id, &last_processed).await.map_err(Into::into)) };
        acted(self.door.tape.clone(), "session.checkpoint", work).await
    }

    async fn done(
        &mut self,
        handle: Handle,
        last_processed: Option<String>,
    ) -> wasmtime::Result<Result<String, types::Error>> {
        self.enters("session.done");
        let (run, id) = self.take_session(handle)?;
        let last_processed = last_processed.as_deref().map(strike_text);
        let repeatable = self.door.witness.as_ref().is_some_and(|witness| witness.is_repeatable());
        let work = async {
            if let Err(error) =
                length("the cursor", last_processed.as_deref().unwrap_or_default(), 0..=CURSOR_BYTES_MAX)
            {
                return Ok(Err(error));
            }
            let ended = run.done(id, last_processed.as_deref()).await.map_err(types::Error::from);
            Ok(ended.and_then(|mut summary| {
                if repeatable {
                    summary.duration_ms = 0;
                }
                serde_json::to_string(&summary).map_err(|error| types::Error::Other(error.to_string()))
            }))
        };
        let ended = acted(self.door.tape.clone(), "session.done", work).await?;
        if ended.is_err() {
            // The guest has given its handle away; nothing can end this session but we. Closed sessions stay as they are.
            run.rollback(id);
        }
        Ok(ended)
    }

    async fn rollback(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.enters("session.rollback");
        let (run, id) = self.take_session(handle)?;
        run.rollback(id);
        Ok(())
    }

    async fn skip(&mut self, handle: Handle, why: String) -> wasmtime::Result<()> {
        self.enters("session.skip");
        let (run, id) = self.take_session(handle)?;
        run.skip(id, cut(&strike_text(&why), WHY_BYTES_MAX));
        Ok(())
    }

    async fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.enters("session.drop");
        let (run, id) = self.take_session(handle)?;
        run.rollback(id);
        Ok(())
    }
}

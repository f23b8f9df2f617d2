//! `wasi:io/poll` of a guest that is recorded or played. Which of several things has come first is all that a guest of the
//! standard's learns of the order of the world: it is noted, and in a replay it is found again in that order. Without a tape it
//! is the engine's own, and answers to `get` follow from it: what no poll has found is not there yet.

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi_io::bindings::wasi::io::poll::{Host, HostPollable, add_to_linker};

use super::instance::Cell;
use crate::cassette::Tape;

/// The calls, as their answers are noted.
const POLL: &str = "wasi:io.poll";
const READY: &str = "wasi:io.pollable.ready";

/// Puts these in the place of the engine's own.
pub(super) fn link(linker: &mut Linker<Cell>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    add_to_linker::<Cell, HasPolls>(linker, |cell| {
        let tape = cell.tape().cloned();
        Polls { table: cell.ctx().table, tape }
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

struct HasPolls;

impl HasData for HasPolls {
    type Data<'a> = Polls<'a>;
}

struct Polls<'a> {
    table: &'a mut ResourceTable,
    tape: Option<Tape>,
}

type Handle = Resource<DynPollable>;

impl Host for Polls<'_> {
    async fn poll(&mut self, pollables: Vec<Handle>) -> wasmtime::Result<Vec<u32>> {
        let Some(tape) = self.tape.clone() else { return self.table.poll(pollables).await };
        let mut found = tape.played_first(POLL, pollables.len());
        if found.as_ref().is_some_and(Vec::is_empty) {
            // A poll ends with something: one with nothing was none.
            tape.differs(format!("{POLL}, with nothing"));
            found = None;
        }
        let Some(found) = found else {
            let mut found = self.table.poll(pollables).await?;
            if tape.replays() {
                // Nothing says how many there were; answers come in the order of their requests, one at a time.
                found.sort_unstable();
                found.truncate(1);
            }
            tape.note(POLL, &found);
            return Ok(found);
        };
        for pollable in found.iter().filter_map(|index| pollables.get(*index as usize)) {
            self.table.block(Resource::new_borrow(pollable.rep())).await?;
        }
        Ok(found)
    }
}

impl HostPollable for Polls<'_> {
    async fn block(&mut self, pollable: Handle) -> wasmtime::Result<()> {
        self.table.block(pollable).await
    }

    async fn ready(&mut self, pollable: Handle) -> wasmtime::Result<bool> {
        let Some(tape) = self.tape.clone() else { return self.table.ready(pollable).await };
        match tape.played::<bool>(READY) {
            Some(true) => self.table.block(pollable).await.map(|()| true),
            Some(false) => Ok(false),
            None => {
                let ready = self.table.ready(pollable).await?;
                tape.note(READY, &ready);
                Ok(ready)
            }
        }
    }

    fn drop(&mut self, pollable: Handle) -> wasmtime::Result<()> {
        HostPollable::drop(self.table, pollable)
    }
}

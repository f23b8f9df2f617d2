//! The door: what a guest may ask of the host, one file for each interface of the contract. Each call goes the same
//! way: capability, limit, work, translation. A refusal is a typed error of the contract; an error of the engine's (a trap)
//! comes only from a handle that the engine itself should not have let through.
//!
//! What is granted is decided before the instance exists, in a `Door`; here it is only looked at. The work is done by
//! the engines below (`export`, `egress`, `git`), which know nothing of WebAssembly.

mod control;
mod flights;
mod git;
mod http;
mod log;
mod oauth;
mod session;
mod state;
mod taped;
mod wasi_http;
mod witness;

use std::sync::Arc;

use wasmtime::component::{HasData, ResourceTable};

use crate::bindings::agent::integration::types;
use crate::cassette::Tape;
use crate::config::Limits;
use crate::egress::{Class, Egress, Policy};
use crate::export::{ExportRun, SessionError};
use crate::logs::Logs;
use crate::shutdown::Shutdown;

pub use http::PendingEntry;
pub(crate) use http::link as link_answers;
#[cfg(test)]
pub(crate) use http::{HANDING_OVER, INTERFACE};
pub(crate) use log::{GuestLog, LastWords, Stream};
pub(crate) use session::OutputSpent;
pub(crate) use wasi_http::Outgoing;
pub use witness::{Seen, Witness};

/// Whether a guest may have git repositories exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitGrant {
    /// Its manifest does not ask for it.
    NotAsked,
    /// It may ask, and the operator leaves repositories out: they are checked, counted and passed over.
    Skipped,
    /// It may.
    Granted,
}

/// What the host calls of one instance may reach.
pub struct Door {
    integration: Arc<str>,
    class: Class,
    log: Arc<GuestLog>,
    shutdown: Shutdown,
    run: Option<Arc<ExportRun>>,
    network: Option<(Egress, Arc<Policy>)>,
    git: GitGrant,
    webhook_url: Option<String>,
    witness: Option<Arc<Witness>>,
    tape: Option<Tape>,
}

impl Door {
    /// A door that leads nowhere: the log, and refusals. What `describe` gets.
    #[must_use]
    pub fn nothing(integration: &str, logs: &Logs, shutdown: &Shutdown) -> Door {
        Door {
            integration: Arc::from(integration),
            class: Class::Incremental,
            log: Arc::new(GuestLog::new(integration, logs.clone())),
            shutdown: shutdown.clone(),
            run: None,
            network: None,
            git: GitGrant::NotAsked,
            webhook_url: None,
            witness: None,
            tape: None,
        }
    }

    /// Lets requests out, within this policy.
    #[must_use]
    pub fn with_network(mut self, egress: Egress, policy: Arc<Policy>) -> Door {
        self.network = Some((egress, policy));
        self
    }

    /// How urgent its requests are.
    #[must_use]
    pub fn with_class(mut self, class: Class) -> Door {
        self.class = class;
        self
    }

    /// Lets the guest export into this run.
    #[must_use]
    pub fn with_run(mut self, run: Arc<ExportRun>, git: GitGrant) -> Door {
        self.run = Some(run);
        self.git = git;
        self
    }

    /// The URL at which this integration receives webhooks.
    #[must_use]
    pub fn with_webhook_url(mut self, url: Option<String>) -> Door {
        self.webhook_url = url;
        self
    }

    /// Lets somebody look on.
    #[must_use]
    pub fn with_witness(mut self, witness: Option<Arc<Witness>>) -> Door {
        self.witness = witness;
        self
    }

    /// Has what the guest sees written down, or played to it.
    #[must_use]
    pub fn with_tape(mut self, tape: Option<Tape>) -> Door {
        self.tape = tape;
        self
    }

    /// What the guest's clocks and random bytes come from, if not from this machine.
    pub(crate) fn tape(&self) -> Option<&Tape> {
        self.tape.as_ref()
    }

    /// Who looks on.
    pub(crate) fn witness(&self) -> Option<&Arc<Witness>> {
        self.witness.as_ref()
    }

    /// The guest's log, which outlives the instance by a closing line.
    pub(crate) fn log(&self) -> &Arc<GuestLog> {
        &self.log
    }
}

/// The host's side of one instance: its door, and the table of what it holds handles to.
pub(crate) struct Guest {
    door: Door,
    pub(crate) table: ResourceTable,
    knock: Arc<http::Knock>,
    flights: flights::Flights,
    quota: session::Quota,
}

impl Guest {
    /// Of the limits, those that host calls hold: resources alive at a time, of ours and of WASI's together, and what
    /// may be put out.
    pub(crate) fn new(door: Door, limits: &Limits) -> Guest {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles_max);
        let (knock, flights) = (Arc::new(http::Knock::new(&door)), flights::Flights::default());
        Guest { door, table, knock, flights, quota: session::Quota::from(limits) }
    }

    /// The way out by standard `wasi:http`: the same one.
    pub(crate) fn outgoing(&self) -> Outgoing {
        Outgoing { knock: Arc::clone(&self.knock), log: Arc::clone(&self.door.log), line: wasi_http::Line::default() }
    }

    /// The run, or the refusal that a session call gets where nothing is exported.
    fn run(&self) -> Result<&Arc<ExportRun>, types::Error> {
        self.door.run.as_ref().ok_or_else(|| {
            types::Error::Denied("sessions and state are there only in `export`; this call exports nothing".to_owned())
        })
    }
}

/// Tells the generated code that the host's side is borrowed from the store.
pub(crate) struct HasGuest;

impl HasData for HasGuest {
    type Data<'a> = &'a mut Guest;
}

impl types::Host for Guest {}

impl From<SessionError> for types::Error {
    fn from(error: SessionError) -> types::Error {
        match error {
            SessionError::Invalid(why) => types::Error::Invalid(why),
            SessionError::Limit(why) => types::Error::Limit(why),
            SessionError::Conflict(why) => types::Error::Conflict(why),
            SessionError::Unavailable(why) => types::Error::Unavailable(why),
            SessionError::Other(why) => types::Error::Other(why),
        }
    }
}

/// Refuses text that is too short or too long.
fn length(what: &str, text: &str, bytes: std::ops::RangeInclusive<usize>) -> Result<(), types::Error> {
    if text.len() > *bytes.end() {
        return Err(types::Error::Limit(format!(
            "{what} has {} bytes; at most {} are allowed",
            text.len(),
            bytes.end()
        )));
    }
    if text.len() < *bytes.start() {
        return Err(types::Error::Invalid(format!("{what} is empty; it needs at least {} byte", bytes.start())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_refused_by_name() {
        assert!(length("the key", "a", 1..=1).is_ok());
        assert_eq!(
            length("the key", "", 1..=2),
            Err(types::Error::Invalid("the key is empty; it needs at least 1 byte".into()))
        );
        assert_eq!(
            length("the key", "abc", 1..=2),
            Err(types::Error::Limit("the key has 3 bytes; at most 2 are allowed".into()))
        );
    }
}

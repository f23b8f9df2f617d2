//! What one run of a guest asked of the host, by name, for the author who runs it alone. Kept only where somebody asks for
//! it; it decides nothing, and the door is the same without it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::log::GuestLog;

/// Repositories whose documents are kept: what a person looks through, and a test compares.
const REPOSITORIES_MAX: usize = 1_000;

/// What a witness has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Host calls by name, as the contract names them: `session.send`, `http.pending.take`.
    pub calls: BTreeMap<&'static str, u64>,
    /// The last of them.
    pub last: Option<&'static str>,
    /// Whether the last had not returned yet.
    pub inside: bool,
    /// How long the guest waited for the network.
    pub network: Duration,
    /// Repositories that were refused because the manifest does not ask for git.
    pub git_refused: u64,
    /// Whether a repository was queued, or would have been.
    pub git_used: bool,
    /// The documents of repositories that were queued, or would have been: the first of them.
    pub repositories: Vec<serde_json::Value>,
    /// Repositories beyond those.
    pub repositories_left_out: u64,
    /// Lines in the log, those from standard output and error included.
    pub log_lines: u64,
    /// Lines that were not kept, because the run had logged all it may.
    pub log_lines_suppressed: u64,
    /// What it said last, on standard error or logged as an error.
    pub last_lines: Vec<String>,
    /// Bytes of records that the guest sent, taken or not.
    pub record_bytes: u64,
}

/// Looks on.
#[derive(Debug, Default)]
pub struct Witness {
    seen: Mutex<Seen>,
    /// The guest's instructions are counted: answers are to be the same in every run.
    repeatable: bool,
}

impl Witness {
    /// One for a guest whose instructions are, or are not, counted. Where they are, answers carry no measured times: a
    /// number with a digit more takes longer to read.
    #[must_use]
    pub fn new(repeatable: bool) -> Witness {
        Witness { seen: Mutex::default(), repeatable }
    }

    pub(super) fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// What has been seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// The last host call.
    pub(crate) fn last(&self) -> Option<&'static str> {
        self.lock().last
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A host call begins.
    pub(super) fn enters(&self, name: &'static str) {
        let mut seen = self.lock();
        *seen.calls.entry(name).or_default() += 1;
        seen.last = Some(name);
        seen.inside = true;
    }

    /// A repository was queued, or would have been.
    pub(super) fn queued(&self, repo: &serde_json::Value) {
        let mut seen = self.lock();
        if seen.repositories.len() < REPOSITORIES_MAX {
            seen.repositories.push(repo.clone());
        } else {
            seen.repositories_left_out += 1;
        }
    }

    /// The run is over, and this is its log.
    pub(crate) fn logged(&self, log: &GuestLog) {
        let mut seen = self.lock();
        (seen.log_lines, seen.log_lines_suppressed) = log.lines();
        seen.last_lines = log.last_lines();
    }

    /// The host returns to the guest.
    pub(crate) fn leaves(&self) {
        self.lock().inside = false;
    }
}

impl super::Guest {
    /// Notes a host call, where somebody looks on. Each begins with this.
    pub(super) fn enters(&self, name: &'static str) {
        if let Some(witness) = &self.door.witness {
            witness.enters(name);
        }
    }

    /// Runs what waits for the network, and notes how long.
    pub(super) async fn waiting<T>(witness: Option<std::sync::Arc<Witness>>, network: impl Future<Output = T>) -> T {
        let Some(witness) = witness else { return network.await };
        let began = std::time::Instant::now();
        let answer = network.await;
        witness.lock().network += began.elapsed();
        answer
    }
}

//! What the simulators of the tests are made of, servers that stand for GitHub, GitLab and others: an HTTP server that can do
//! what a good one would not (`http`), lies (`lies`), deliveries of webhooks (`delivery`), numbers from a seed (`dice`), times
//! (`clock`), the language of queries (`graphql`), the shell of one that runs as a program (`alone`), and a client for their own
//! tests (`asking`). What a server knows and how it says that is each simulator's own.
//! Everything is on 127.0.0.1 only.

// Simulators are no part of the agent, and stand for what lies beyond the agent's one way out.
#![allow(clippy::disallowed_types, reason = "a server opens connections of its own")]

pub mod alone;
pub mod asking;
pub mod clock;
pub mod delivery;
pub mod dice;
pub mod graphql;
pub mod http;
pub mod lies;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What an export must have brought, by model and id; the text tells a fresh record from a stale one: the time of its last
/// update, or a state.
pub type Truth = BTreeMap<String, BTreeMap<String, String>>;

/// What a simulator knows, to look at or to change.
pub fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that failed while it held the lock has said so itself.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The agent as a library: everything behind the command line. See ARCHITECTURE.md for the map and the invariants.
//! `main.rs` turns arguments into a call of this; the test package and the benchmarks use it too.

pub mod app;
mod bindings;
pub mod cassette;
pub mod cli;
pub mod command;
pub mod config;
pub mod delivery;
pub mod egress;
pub mod export;
mod files;
pub mod git;
mod hostcalls;
pub mod logs;
pub mod sandbox;
pub mod secrets;
pub mod shutdown;
pub mod store;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// An error with all its causes on one line, for people: `what: why: why`.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The longest beginning of `text` that has at most `bytes` bytes and ends between characters.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// A lock whose holder may have panicked: for what is whole at any moment, since it is not changed in two steps.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn text_is_cut_between_characters() {
        for (bytes, expected) in [(2, "a"), (3, "aä"), (9, "aäb")] {
            assert_eq!(cut("aäb", bytes), expected);
        }
    }
}

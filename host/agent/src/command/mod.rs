//! The road of a command: from a request to run an integration to its outcome.

pub mod runner;

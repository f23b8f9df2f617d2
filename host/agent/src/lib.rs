//! The agent as a library: everything behind the command line. See ARCHITECTURE.md for the map and the invariants.
//! `main.rs` turns arguments into a call of this; the test package and the benchmarks use it too.

pub mod app;
mod bindings;
pub mod cli;
pub mod command;
pub mod config;
pub mod delivery;
pub mod egress;
pub mod export;
pub mod git;
mod hostcalls;
pub mod logs;
pub mod sandbox;
pub mod shutdown;
pub mod store;

//! The road of a command: from a request to run an integration to its outcome. What an integration says of itself is read in
//! `manifest`, what it may reach is worked out in `policy`, `runner` runs a call of it and `exporter` an export, and `outcome`
//! says how that ended.

pub mod exporter;
pub mod manifest;
pub mod outcome;
pub mod permissions;
mod policy;
pub mod runner;
mod schema;
pub mod settings;

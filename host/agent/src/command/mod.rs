//! The road of a command: from a request to run an integration to its outcome. What an integration says of itself is read in
//! `manifest`, which of its settings are secrets in `marked`, what it may reach is worked out in `policy` and what it lacks in
//! `grants`, what an operator agreed to is in `consent`, `runner` runs a call of it and
//! `exporter` an export, `results` and `records` hold what it returns and sends against what it promised, and `outcome` says
//! how that ended.

pub mod consent;
pub mod exporter;
pub mod grants;
pub mod manifest;
mod marked;
pub mod outcome;
pub mod permissions;
mod policy;
mod price;
mod records;
mod results;
pub mod runner;
mod schema;
pub mod settings;

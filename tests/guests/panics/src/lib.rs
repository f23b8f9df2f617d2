//! A guest that panics: the message and its place reach the log, and the run ends as trapped.

use agent_sdk::{ExportResult, Integration, Manifest, Result};

struct Panics;

impl Integration for Panics {
    /// Whatever it is, it is not looked at.
    type Config = agent_sdk::Ignored;

    fn describe() -> Manifest {
        Manifest::new("panics", env!("CARGO_PKG_VERSION"))
    }

    fn export(_: Self::Config) -> Result<ExportResult> {
        panic!("this guest panics on purpose");
    }
}

agent_sdk::register!(Panics);

//! A guest whose manifest breaks the schema: it is refused before it is given anything.

use agent_sdk::{ExportResult, Integration, Manifest, Result};

struct BadManifest;

impl Integration for BadManifest {
    /// Whatever it is, it is not looked at.
    type Config = agent_sdk::Ignored;

    fn describe() -> Manifest {
        // A name with a space and capitals, and a version that is none.
        Manifest::new("Bad Manifest", "newest")
    }

    fn export(_: Self::Config) -> Result<ExportResult> {
        Ok(ExportResult::new())
    }
}

agent_sdk::register!(BadManifest);

//! A guest that takes memory until there is none: the limit on memory ends it.

use agent_sdk::{ExportResult, Integration, Manifest, Result};

/// Bytes taken at a time: small, so that the limit is met closely.
const MEAL_BYTES: usize = 1 << 20;

struct EatsMemory;

impl Integration for EatsMemory {
    /// Whatever it is, it is not looked at.
    type Config = agent_sdk::Ignored;

    fn describe() -> Manifest {
        Manifest::new("eats-memory", env!("CARGO_PKG_VERSION"))
    }

    fn export(_: Self::Config) -> Result<ExportResult> {
        let mut taken: Vec<Vec<u8>> = Vec::new();
        loop {
            // Written to, so that the pages are real and not merely promised.
            taken.push(std::hint::black_box(vec![1; MEAL_BYTES]));
        }
    }
}

agent_sdk::register!(EatsMemory);

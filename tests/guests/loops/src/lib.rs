//! A guest that computes for ever: the limit on its running time ends it.

use agent_sdk::{ExportResult, Integration, Manifest, Result};

struct Loops;

impl Integration for Loops {
    /// Whatever it is, it is not looked at.
    type Config = agent_sdk::Ignored;

    fn describe() -> Manifest {
        Manifest::new("loops", env!("CARGO_PKG_VERSION"))
    }

    fn export(_: Self::Config) -> Result<ExportResult> {
        let mut number = 0_u64;
        loop {
            // The black box keeps the compiler from seeing that nothing comes of it.
            number = std::hint::black_box(number.wrapping_add(1));
        }
    }
}

agent_sdk::register!(Loops);

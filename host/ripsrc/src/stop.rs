//! A flag by which somebody outside asks a run to end. It is looked at between commits and between objects, so a run ends
//! within the time that one large file takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Who may ask; None for nobody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(pub Option<Arc<AtomicBool>>);

impl Stop {
    pub fn asked(&self) -> bool {
        self.0.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }
}

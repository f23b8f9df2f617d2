//! The cage: engine, compiled-component cache, pre-linked instances, limits, and how a call ended.

use std::time::Duration;

/// One of the six calls into a guest. Documents are JSON text.
#[derive(Debug, Clone)]
pub enum Call {
    Describe,
    ValidateConfig { config: String },
    OnboardExport { kind: String, config: String },
    Export { config: String },
    Mutate { name: String, data: String, config: String },
    Webhook { headers: Vec<(String, String)>, body: Vec<u8>, config: String },
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEnd {
    /// The guest's document.
    Ok(String),
    /// The guest returned an error. `kind` is the case of the contract's variant (`invalid`, `not-found`, …).
    Failed { kind: &'static str, message: String },
    /// The guest trapped of its own doing: a panic, an unreachable, an out-of-bounds access.
    Trapped { message: String, backtrace: String },
    /// A limit was broken: its name as in `config::Limits`, its value with unit.
    Limit { name: &'static str, value: String },
    /// The run was told to end and did not in time.
    Cancelled,
}

/// A call's end and what it used.
#[derive(Debug, Clone)]
pub struct CallReport {
    pub end: CallEnd,
    /// The guest's own running time.
    pub cpu: Duration,
    pub wall: Duration,
    /// The largest sum of its memories and tables, bytes.
    pub memory_bytes_peak: u64,
    pub host_calls: u64,
}

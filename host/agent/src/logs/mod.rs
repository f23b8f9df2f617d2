//! Log lines: the agent's own (through `tracing`) and guests' (through `Logs::guest`), on standard error in a form for
//! people or as JSON, and in files under `logs/` of the root: one for each command and one for each integration, of the
//! last run. A guest's line is marked as such and cannot forge another.

use std::path::PathBuf;
use std::sync::Arc;

/// How to log.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// The folder for the files; none for no files.
    pub dir: Option<PathBuf>,
    /// The command, which names its file.
    pub command: String,
    pub level: tracing::Level,
    pub json: bool,
}

/// The level of a guest's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// The place where lines go. Clones share it.
#[derive(Clone)]
pub struct Logs {
    _shared: Arc<()>,
}

impl Logs {
    /// Writes a guest's line, in its integration's file and on standard error. Limits on length and rate are the
    /// caller's; escaping is done here.
    pub fn guest(&self, _integration: &str, _level: Level, _message: &str, _fields: &[(String, String)]) {
        unimplemented!()
    }
}

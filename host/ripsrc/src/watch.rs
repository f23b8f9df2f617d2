//! How far a run is, and the wish that it end: the run tells, others look, and nobody waits for the other. What is made of
//! it – a bar, a line in a log – is for whoever looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// What a run is doing, in this order. Where the whole history doesn't fit into the memory granted, all but the first are
/// done for one window of it after the other. `Comparing` is only done by `validate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Reading commits; how many there are shows at the end.
    #[default]
    Commits,
    /// Reading trees; how many there are shows at the end.
    Trees,
    /// Comparing trees and looking for renames, by commits.
    Changes,
    /// Reading files' contents, what they are built on included, and comparing them. With little memory some are read
    /// again, and the total grows by those.
    Contents,
    /// Composing owners and giving out records, by commits.
    Records,
    /// Asking git, by files.
    Comparing,
}

const PHASES: [Phase; 6] =
    [Phase::Commits, Phase::Trees, Phase::Changes, Phase::Contents, Phase::Records, Phase::Comparing];

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    pub done: u64,
    /// Zero where nobody knows yet.
    pub total: u64,
}

/// A look at a run from outside; clones look at the same run.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    phase: AtomicU8,
    done: AtomicU64,
    total: AtomicU64,
    stop: Arc<AtomicBool>,
}

impl Watch {
    /// One that also stops when somebody raises this flag.
    pub fn stopped_by(stop: Arc<AtomicBool>) -> Self {
        Self(Arc::new(Shared { stop, ..Shared::default() }))
    }

    /// How far the run is. The three numbers are read one after the other, which does no harm to a picture.
    pub fn progress(&self) -> Progress {
        Progress {
            phase: self.phase(),
            done: self.0.done.load(Ordering::Relaxed),
            total: self.0.total.load(Ordering::Relaxed),
        }
    }

    /// Asks the run to end: it does so with an error (`RunError::Stopped`), within the time that one file takes.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the run was asked to end.
    pub fn stopped(&self) -> bool {
        self.0.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self, phase: Phase, total: usize) {
        self.begin_at(phase, 0, total);
    }

    pub(crate) fn begin_at(&self, phase: Phase, done: usize, total: usize) {
        self.0.done.store(done as u64, Ordering::Relaxed);
        self.0.total.store(total as u64, Ordering::Relaxed);
        self.0.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn phase(&self) -> Phase {
        PHASES[usize::from(self.0.phase.load(Ordering::Relaxed)) % PHASES.len()]
    }

    /// So many objects are about to be read, one level of trees or one round of contents.
    pub(crate) fn expect_objects(&self, count: usize) {
        if self.phase() == Phase::Contents {
            self.0.total.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    /// Objects were read. Those that are read while renames are looked for are not counted: commits are.
    pub(crate) fn objects(&self, count: usize) {
        if matches!(self.phase(), Phase::Trees | Phase::Contents) {
            self.add(count);
        }
    }

    pub(crate) fn add(&self, done: usize) {
        self.0.done.fetch_add(done as u64, Ordering::Relaxed);
    }
}

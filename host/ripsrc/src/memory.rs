//! What a run may take of memory, shared out among its parts. No part asks the system what is left: each counts what it
//! keeps, by what the things are known to cost, and ends or lets go of something when its share is full.
//!
//! A run reads the history in windows of commits. What is kept from one window to the next is little: commits, paths, and
//! who owns the lines of the files there are. A window whose share is full is begun again with half of its commits.

use std::sync::atomic::{AtomicU64, Ordering};

/// Objects larger than this are not read, however much memory there is: 128 MiB. Line histories of such files tell
/// nobody anything.
pub(crate) const OBJECT_BYTES_MAX: u64 = 128 << 20;
/// With hardly any memory, objects up to this size are read all the same: 4 MiB.
const OBJECT_BYTES_MIN: u64 = 4 << 20;
/// With hardly any memory, this many paths are told apart all the same.
const PATHS_MIN: u64 = 4_000;
/// What a path costs in memory, in bytes, all tables together, with the runs of a usual file's owners.
const PATH_COST: u64 = 256;
/// What a commit costs in memory, in bytes, in all windows together.
const COMMIT_COST: u64 = 500;
/// With hardly any memory, a run has this many commits all the same.
const COMMITS_MIN: u64 = 10_000;
/// With hardly any memory, a commit that needs no more bytes than this is read all the same.
const COMMIT_BYTES_MIN: u64 = 64 << 20;
/// With hardly any memory, a content of so many lines is read all the same.
const CONTENT_LINES_MIN: u64 = 1 << 16;

/// The memory of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    max: u64,
}

impl Memory {
    /// So many bytes for all.
    pub fn new(max: u64) -> Self {
        Self { max }
    }

    /// Bytes of the largest object that is built. Each thread may have three such at hand: a base, a delta and what
    /// they make.
    pub fn object_bytes(self) -> u64 {
        (self.max / 16).clamp(OBJECT_BYTES_MIN, OBJECT_BYTES_MAX)
    }

    /// Lines of a content that is compared. A line costs some sixty bytes while its file is.
    pub fn content_lines(self) -> u64 {
        (self.max / 1024).clamp(CONTENT_LINES_MIN, u64::from(u32::MAX) / 2)
    }

    /// Of objects larger than this, one is worked on at a time, whatever the number of threads.
    pub fn large_bytes(self) -> u64 {
        self.max / 256
    }

    /// Distinct lines.
    pub fn lines(self) -> u64 {
        self.max / 8
    }

    /// Contents that wait for those that they are to be compared with.
    pub fn waiting(self) -> u64 {
        self.max / 8
    }

    /// Objects that others are to be built on.
    pub fn bases(self) -> u64 {
        self.max / 8
    }

    /// What is known of a window's commits: first their trees, then what they change and what became of it.
    pub fn window(self) -> u64 {
        self.max / 4
    }

    /// The same of a window that cannot be cut because it is a single commit.
    pub fn commit(self) -> u64 {
        (self.max / 2).max(COMMIT_BYTES_MIN)
    }

    /// Files that may have been renamed; while they are looked at, there are no lines, and nothing waits.
    pub fn sketches(self) -> u64 {
        self.max / 8 * 3
    }

    /// Compressed bytes of packs after which a thread lets the pages go that it has touched.
    pub fn release_bytes(self) -> u64 {
        self.max / 32
    }

    /// Paths of usual length.
    pub fn paths(self) -> usize {
        usize::try_from((self.max / 4 / PATH_COST).max(PATHS_MIN)).unwrap_or(usize::MAX)
    }

    /// Commits of a run.
    pub fn commits(self) -> usize {
        usize::try_from((self.max / 4 / COMMIT_COST).max(COMMITS_MIN)).unwrap_or(usize::MAX)
    }
}

/// A part's share: what it has taken, counted by all its threads.
#[derive(Debug)]
pub(crate) struct Share {
    used: AtomicU64,
    max: u64,
}

impl Share {
    pub fn new(max: u64) -> Self {
        Self { used: AtomicU64::new(0), max }
    }

    /// For what must be kept in any case, and is only counted.
    pub fn endless() -> Self {
        Self::new(u64::MAX)
    }

    pub fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn give_back(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.used.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    pub fn is_full(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.max
    }

    /// Takes bytes if they are there.
    pub fn try_take(&self, bytes: usize) -> bool {
        let more = |used: u64| used.checked_add(bytes as u64).filter(|sum| *sum <= self.max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

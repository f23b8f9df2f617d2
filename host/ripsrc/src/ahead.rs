//! What a second thread does while the commits of a whole history are read, which name each other and so come one by one:
//! it finds what the objects of the packs are built on, which the run needs next, and then reads commits from the other
//! end. Git writes commits into a pack from the newest to the oldest, as the walk meets them, so the two meet in the middle.

use crate::commit::{self, Parsed};
use crate::objects::forest::Forest;
use crate::objects::{Inflater, Kind, ObjId, Odb};
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Larger commits are left to the walk, so that what waits for it stays small.
const COMMIT_BYTES_MAX: u64 = 16 << 10;

pub(crate) struct Ahead<'a> {
    odb: &'a Odb,
    hash_len: usize,
    /// Commits that may wait for the walk.
    most: usize,
    /// By packed object: whether one of the two has begun with it.
    begun: Vec<AtomicBool>,
    read: Mutex<HashMap<ObjId, Parsed, RandomState>>,
    ended: AtomicBool,
}

impl<'a> Ahead<'a> {
    pub fn new(odb: &'a Odb, hash_len: usize, most: usize) -> Self {
        let begun = (0..odb.packed_count()).map(|_| AtomicBool::new(false)).collect();
        Self { odb, hash_len, most, begun, read: Mutex::default(), ended: AtomicBool::new(false) }
    }

    /// A commit that the walk wants now. None if it is to read it itself.
    pub fn take(&self, id: ObjId) -> Option<Parsed> {
        if !self.begin(id) { self.read.lock().unwrap_or_else(PoisonError::into_inner).remove(&id) } else { None }
    }

    /// The walk is over, and nothing more is wanted.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// True for the first that asks.
    fn begin(&self, id: ObjId) -> bool {
        self.begun.get(id as usize).is_none_or(|begun| !begun.swap(true, Ordering::Relaxed))
    }

    /// What the second thread does, until everything is done or the walk is over.
    pub fn run(&self, forest: &mut Forest) {
        let ended = || self.ended.load(Ordering::Relaxed);
        let mut inflater = Inflater::new();
        let mut read = 0;
        for pack in 0..self.odb.packs().len() {
            let Some(commits) = forest.scan(self.odb, pack, &ended) else { return };
            for position in commits.into_iter().rev() {
                let id = self.odb.first_of(pack) + position;
                if ended() || read >= self.most {
                    break;
                }
                if !self.begin(id) {
                    continue;
                }
                // What cannot be read is told by the walk, if it gets there.
                if let Ok((Kind::Commit, bytes)) = self.odb.read_up_to(id, &mut inflater, COMMIT_BYTES_MAX) {
                    let parsed = commit::parse(&bytes, self.hash_len);
                    self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(id, parsed);
                    read += 1;
                }
            }
        }
    }
}

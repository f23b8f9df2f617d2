//! The memory that reading repositories may take, in all: a number of places, each with an equal share. A repository that
//! finds none free waits, since two that read at a time are no faster than one after the other where both use all
//! processors. Who reads what is `job`'s.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::shutdown::processors;

/// Places at most: with more, each would have too little for a large repository. A small one beside large ones waits for
/// one of them at the worst.
const PLACES_MAX: usize = 4;
/// How often who waits looks whether the run has been asked to end.
const STOP_CHECKED_EVERY: Duration = Duration::from_millis(200);

/// Shared by all integrations that run at the same time.
pub struct GitMemory {
    places: usize,
    bytes_each: u64,
    threads_each: usize,
    free: Mutex<usize>,
    freed: Condvar,
}

/// One repository's share, for as long as it is held.
pub(super) struct Place {
    of: Arc<GitMemory>,
}

impl GitMemory {
    /// So many bytes, for so many integrations: one alone has all of it.
    #[must_use]
    pub fn new(bytes_max: u64, integrations: usize) -> Arc<GitMemory> {
        let places = integrations.clamp(1, PLACES_MAX);
        Arc::new(GitMemory {
            places,
            bytes_each: bytes_max / places as u64,
            threads_each: (processors() / places).max(1),
            free: Mutex::new(places),
            freed: Condvar::new(),
        })
    }

    /// Waits for a place. None if the run has been asked to end before there was one.
    pub(super) fn place(self: &Arc<Self>, stop: &dyn Fn() -> bool) -> Option<Place> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if stop() {
                return None;
            }
            if let Some(left) = free.checked_sub(1) {
                *free = left;
                return Some(Place { of: Arc::clone(self) });
            }
            free = self.freed.wait_timeout(free, STOP_CHECKED_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Place {
    pub(super) fn bytes(&self) -> u64 {
        self.of.bytes_each
    }

    /// What all places together must have for one to have so much.
    pub(super) fn all_for(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(self.of.places as u64)
    }

    pub(super) fn threads(&self) -> usize {
        self.of.threads_each
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.of.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.of.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_equally_and_places_come_back() {
        let alone = GitMemory::new(1000, 1);
        let held = alone.place(&|| false).expect("it is free");
        assert_eq!(held.bytes(), 1000);
        assert!(alone.place(&|| true).is_none());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| alone.place(&|| false).is_some());
            drop(held);
            assert!(waits.join().expect("it does not panic"));
        });
        let many = GitMemory::new(1000, 50);
        let places: Vec<Place> = (0..PLACES_MAX).filter_map(|_| many.place(&|| false)).collect();
        assert_eq!(places.iter().map(Place::bytes).sum::<u64>(), 1000);
        assert_eq!(places[0].all_for(places[0].bytes()), 1000);
    }
}

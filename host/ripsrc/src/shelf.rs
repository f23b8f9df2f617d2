//! Contents that wait for those that they are to be compared with. All threads of a round meet here, and seldom wait for
//! each other: a pair is compared by whichever of them has both of its contents first.

use crate::changes::{BlobId, PairId};
use crate::lines::Text;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Each has its own lock.
const SHARDS: usize = 32;

type Texts = HashMap<BlobId, Arc<Text>, foldhash::fast::RandomState>;

#[derive(Default)]
pub(crate) struct Shelf {
    texts: Vec<Mutex<Texts>>,
    bytes: AtomicU64,
    bytes_max: u64,
    /// Comparisons each content still waits for, in this round.
    left: Vec<AtomicU32>,
    /// Pairs of this round that nobody has begun to compare.
    open: Vec<AtomicBool>,
}

impl Shelf {
    /// An empty shelf for so many bytes, and this round's pairs: how many each content is part of, and which.
    pub fn new(left: Vec<u32>, open: Vec<bool>, bytes_max: u64) -> Self {
        Self {
            texts: (0..SHARDS).map(|_| Mutex::default()).collect(),
            bytes: AtomicU64::new(0),
            bytes_max,
            left: left.into_iter().map(AtomicU32::new).collect(),
            open: open.into_iter().map(AtomicBool::new).collect(),
        }
    }

    /// Brings a content, and tells which of its pairs are to be compared now, with the counterparts; it stays here for the
    /// others, if there is room. `pairs` are all that it is part of, with what else they are made of.
    pub fn bring(
        &self,
        blob: BlobId,
        text: &Arc<Text>,
        pairs: impl Iterator<Item = (PairId, BlobId)>,
    ) -> Vec<(PairId, Arc<Text>)> {
        let mut ready = vec![];
        let mut wait = |(pair, other): &(PairId, BlobId)| match self.begin(*pair, *other) {
            Some(text) => {
                ready.push((*pair, text));
                false
            }
            None => true,
        };
        let is_open = |(pair, _): &(PairId, BlobId)| self.open[*pair as usize].load(Ordering::Acquire);
        let mut missing: Vec<(PairId, BlobId)> = pairs.filter(is_open).filter(&mut wait).collect();
        if !missing.is_empty() && self.put(blob, text) {
            // A counterpart that came in between has not seen this one.
            missing.retain(wait);
        }
        ready
    }

    /// The counterpart, if it is here, for the one that may compare the pair.
    fn begin(&self, pair: PairId, other: BlobId) -> Option<Arc<Text>> {
        let text = self.shard(other).get(&other).cloned()?;
        self.open[pair as usize].swap(false, Ordering::AcqRel).then_some(text)
    }

    fn put(&self, blob: BlobId, text: &Arc<Text>) -> bool {
        let more = |bytes: u64| bytes.checked_add(text.cost() as u64).filter(|sum| *sum <= self.bytes_max);
        let fits = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if fits {
            self.shard(blob).insert(blob, Arc::clone(text));
        }
        fits
    }

    /// A pair that this content is part of has been compared. After its last one it is let go.
    pub fn done(&self, blob: BlobId) {
        if self.left[blob as usize].fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(text) = self.shard(blob).remove(&blob)
        {
            self.bytes.fetch_sub(text.cost() as u64, Ordering::Relaxed);
        }
    }

    fn shard(&self, blob: BlobId) -> MutexGuard<'_, Texts> {
        self.texts[blob as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// A ring of contents, each to be compared with its two neighbours, brought by four threads at once.
    #[test]
    fn each_pair_is_compared_once_whoever_comes_first() {
        const COUNT: u32 = 400;
        for round in 0..20 {
            let shelf = Shelf::new(vec![2; COUNT as usize], vec![true; COUNT as usize], u64::MAX);
            let compared: Vec<AtomicUsize> = (0..COUNT).map(|_| AtomicUsize::new(0)).collect();
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let (shelf, compared) = (&shelf, &compared);
                    scope.spawn(move || {
                        for at in (0..COUNT).filter(|at| at % 4 == thread) {
                            // Neighbours are mostly another thread's, and their order changes with the round.
                            let blob = (at * (2 * round + 1) * 7) % COUNT;
                            let blob = if (2 * round + 1) % 5 == 0 { at } else { blob };
                            let before = (blob + COUNT - 1) % COUNT;
                            let pairs = [(before, before), (blob, (blob + 1) % COUNT)];
                            let text = Arc::new(Text { tokens: vec![blob], ..Text::default() });
                            for (pair, other) in shelf.bring(blob, &text, pairs.into_iter()) {
                                let expected = if pair == blob { (blob + 1) % COUNT } else { before };
                                assert_eq!(other.tokens, [expected]);
                                compared[pair as usize].fetch_add(1, Ordering::Relaxed);
                                shelf.done(blob);
                                shelf.done(expected);
                            }
                        }
                    });
                }
            });
            assert!(compared.iter().all(|count| count.load(Ordering::Relaxed) == 1), "round {round}");
            assert_eq!(shelf.bytes.load(Ordering::Relaxed), 0, "all are let go in the end");
        }
    }

    #[test]
    fn what_finds_no_room_is_left_for_another_round() {
        let text = |token| Arc::new(Text { tokens: vec![token], ..Text::default() });
        let room = text(0).cost() as u64;
        let shelf = Shelf::new(vec![1, 1, 1, 1], vec![true, true], room);
        assert!(shelf.bring(0, &text(0), [(0, 1)].into_iter()).is_empty());
        assert!(shelf.bring(2, &text(2), [(1, 3)].into_iter()).is_empty(), "there was room for one");
        assert_eq!(shelf.bring(1, &text(1), [(0, 0)].into_iter()).len(), 1);
        assert!(shelf.bring(3, &text(3), [(1, 2)].into_iter()).is_empty(), "its counterpart was not kept");
        assert!(shelf.open[1].load(Ordering::Relaxed));
    }
}

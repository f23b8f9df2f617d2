//! Marks: by what the sink already has, unchanged records are recognized. A mark is 16 bytes, the hash of a record's key
//! and the hash of the record. They lie in *runs*, sorted by the key's hash: small runs in the database, large ones in files
//! under `marks/`, several runs to a file. A newer run wins over an older one; runs are merged when there are many.
//!
//! Why files and not rows: a commit names one file, however many marks it brings, where it would insert a row for each; and a
//! look-up reads one block, where it would search an index.
//!
//! Both hashes are SipHash-1-3 under a key of this root: whoever writes data at the source cannot craft a change that
//! hashes like what went before. At 64 bits a change is missed once in 2^64 changes.

use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// (hash of the key, hash of the record). `VOID` for the second says that the sink does not have it.
pub(crate) type Mark = (u64, u64);

/// A record's hash that stands for none: what a mark becomes when its batch is rejected.
pub(crate) const VOID: u64 = 0;

const MARK_BYTES: usize = 16;

/// Marks that an open session keeps in memory before it writes them as a run: a quarter of a MiB. The last run is sorted by
/// the commit, and so must be small.
pub(crate) const RUN_MARKS_MAX: usize = 16 << 10;

/// Runs with fewer marks than this stay in the database: below it a file costs more than it holds.
pub(crate) const INLINE_MARKS_MAX: usize = 2 << 10;

/// More runs than this are merged when a run of the integration ends; each costs every look-up a probe.
pub(crate) const RUNS_MAX: usize = 4;

/// Bytes of a run read at a time where it is read whole.
const READ_BYTES: usize = 16 << 10;

/// Every so many marks of a run in a file, one key is held in memory: a look-up then reads one block of 1 KiB. An eighth of a
/// byte for each mark; a mapped file would be faster to write down, and would be held in memory whole.
const FENCE_EVERY: usize = 64;

/// The committed marks of one model in one scope. Clones of the `Arc` share it.
#[derive(Default)]
pub(crate) struct MarkSet {
    /// Oldest first.
    runs: RwLock<Vec<Run>>,
}

/// A sorted run.
#[derive(Clone)]
pub(crate) enum Run {
    Memory(Arc<Vec<Mark>>),
    File(Arc<FileRun>),
}

/// A run in a file of several.
pub(crate) struct FileRun {
    file: Arc<File>,
    /// Its first byte.
    start: u64,
    /// Its marks.
    count: usize,
    /// Every 64th key.
    fences: Vec<u64>,
}

impl Run {
    /// The hash of the record under a key.
    fn find(&self, key: u64) -> io::Result<Option<u64>> {
        match self {
            Run::Memory(marks) => Ok(marks.binary_search_by_key(&key, |m| m.0).ok().map(|at| marks[at].1)),
            Run::File(run) => run.find(key),
        }
    }

    /// Its marks from the first on.
    fn marks(&self) -> Box<dyn Iterator<Item = io::Result<Mark>> + '_> {
        match self {
            Run::Memory(marks) => Box::new(marks.iter().map(|mark| Ok(*mark))),
            Run::File(run) => Box::new(run.marks()),
        }
    }
}

impl FileRun {
    fn find(&self, key: u64) -> io::Result<Option<u64>> {
        let after = after_in_fences(&self.fences, key);
        let Some(block) = after.checked_sub(1) else { return Ok(None) };
        let mut bytes = [0u8; FENCE_EVERY * MARK_BYTES];
        let bytes = &mut bytes[..(self.count - block * FENCE_EVERY).min(FENCE_EVERY) * MARK_BYTES];
        self.file.read_exact_at(bytes, self.start + (block * FENCE_EVERY * MARK_BYTES) as u64)?;
        let mark = |at: usize| decode(&bytes[at * MARK_BYTES..(at + 1) * MARK_BYTES]);
        let (mut low, mut high) = (0, bytes.len() / MARK_BYTES);
        while low < high {
            let middle = low + (high - low) / 2;
            if mark(middle).0 < key { low = middle + 1 } else { high = middle }
        }
        let found = (low < bytes.len() / MARK_BYTES).then(|| mark(low)).filter(|mark| mark.0 == key);
        Ok(found.map(|mark| mark.1))
    }

    fn marks(&self) -> impl Iterator<Item = io::Result<Mark>> + '_ {
        let mut bytes = vec![0u8; READ_BYTES];
        let (mut at, mut filled, mut left) = (0, 0, self.count * MARK_BYTES);
        std::iter::from_fn(move || {
            if at == filled {
                if left == 0 {
                    return None;
                }
                filled = left.min(READ_BYTES);
                let from = self.start + (self.count * MARK_BYTES - left) as u64;
                if let Err(error) = self.file.read_exact_at(&mut bytes[..filled], from) {
                    (at, filled, left) = (0, 0, 0);
                    return Some(Err(error));
                }
                left -= filled;
                at = 0;
            }
            at += MARK_BYTES;
            Some(Ok(decode(&bytes[at - MARK_BYTES..at])))
        })
    }
}

/// How many fences are not above `key`. Hashes are spread evenly, so their place is guessed and then walked to.
fn after_in_fences(fences: &[u64], key: u64) -> usize {
    let mut at = ((u128::from(key) * fences.len() as u128) >> 64) as usize;
    let mut step = 1;
    let (mut low, mut high) = (0, fences.len());
    // Widen from the guess until the place is enclosed, then halve: right for keys that are not spread evenly, too.
    while at > low && fences[at - 1] > key {
        high = at - 1;
        at = at.saturating_sub(step);
        step *= 2;
    }
    low = at.min(high);
    step = 1;
    let mut probe = low;
    while probe < high && fences[probe] <= key {
        low = probe + 1;
        probe += step;
        step *= 2;
    }
    high = high.min(probe);
    low + fences[low..high].partition_point(|fence| *fence <= key)
}

fn decode(bytes: &[u8]) -> Mark {
    let word = |at: usize| {
        let mut word = [0u8; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(word)
    };
    (word(0), word(8))
}

pub(crate) fn encode(marks: &[Mark]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(marks.len() * MARK_BYTES);
    for (key, record) in marks {
        bytes.extend_from_slice(&key.to_le_bytes());
        bytes.extend_from_slice(&record.to_le_bytes());
    }
    bytes
}

pub(crate) fn decode_all(bytes: &[u8]) -> Vec<Mark> {
    bytes.chunks_exact(MARK_BYTES).map(decode).collect()
}

/// Sorts by key; of several marks with one key the last given stays.
pub(crate) fn sort_run(marks: &mut Vec<Mark>) {
    marks.sort_by_key(|m| m.0);
    let mut kept = 0;
    for i in 0..marks.len() {
        if i + 1 < marks.len() && marks[i + 1].0 == marks[i].0 {
            continue;
        }
        marks[kept] = marks[i];
        kept += 1;
    }
    marks.truncate(kept);
}

/// Opens the runs of a file, given their lengths in marks.
pub(crate) fn open_runs(path: &Path, lengths: &[usize]) -> io::Result<Vec<Run>> {
    let file = Arc::new(File::open(path)?);
    let total: usize = lengths.iter().sum();
    if file.metadata()?.len() != (total * MARK_BYTES) as u64 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file of marks is not as long as its row says"));
    }
    let mut start = 0;
    let mut runs = Vec::with_capacity(lengths.len());
    for &count in lengths {
        let mut run = FileRun { file: file.clone(), start, count, fences: Vec::new() };
        let fences: io::Result<Vec<u64>> = run.marks().step_by(FENCE_EVERY).map(|mark| mark.map(|m| m.0)).collect();
        run.fences = fences?;
        runs.push(Run::File(Arc::new(run)));
        start += (count * MARK_BYTES) as u64;
    }
    Ok(runs)
}

impl MarkSet {
    pub(crate) fn new(runs: Vec<Run>) -> MarkSet {
        MarkSet { runs: RwLock::new(runs) }
    }

    /// The hash of the record that the sink has under this key.
    pub(crate) fn find(&self, key: u64) -> io::Result<Option<u64>> {
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        for run in runs.iter().rev() {
            if let Some(record) = run.find(key)? {
                return Ok(Some(record).filter(|record| *record != VOID));
            }
        }
        Ok(None)
    }

    pub(crate) fn add(&self, newer: Vec<Run>) {
        self.runs.write().unwrap_or_else(PoisonError::into_inner).extend(newer);
    }

    pub(crate) fn replace(&self, runs: Vec<Run>) {
        *self.runs.write().unwrap_or_else(PoisonError::into_inner) = runs;
    }

    pub(crate) fn len(&self) -> usize {
        self.runs.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// The marks of one open session that are too many for memory: a file of runs.
pub(crate) struct MarkWriter {
    path: PathBuf,
    name: String,
    file: Option<File>,
    lengths: Vec<usize>,
    kept: bool,
}

impl MarkWriter {
    pub(crate) fn create(folder: &Path, name: String) -> io::Result<MarkWriter> {
        let path = folder.join(&name);
        let file = OpenOptions::new().create_new(true).write(true).open(&path)?;
        Ok(MarkWriter { path, name, file: Some(file), lengths: Vec::new(), kept: false })
    }

    /// Writes a run that `sort_run` has sorted.
    pub(crate) fn write_run(&mut self, marks: &[Mark]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Err(io::Error::other("the file of marks is closed")) };
        file.write_all(&encode(marks))?;
        self.lengths.push(marks.len());
        Ok(())
    }

    /// A second handle on its file, to write back or sync what it has so far.
    pub(crate) fn file(&self) -> io::Result<File> {
        self.file.as_ref().ok_or_else(|| io::Error::other("the file of marks is closed"))?.try_clone()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Says that a row may name it: it stays.
    pub(crate) fn stay(&mut self) {
        self.kept = true;
    }

    /// Says that a row names it: it stays. Returns its runs.
    pub(crate) fn keep(mut self) -> io::Result<Vec<Run>> {
        self.kept = true;
        self.file = None;
        open_runs(&self.path, &self.lengths)
    }
}

impl Drop for MarkWriter {
    fn drop(&mut self) {
        if !self.kept {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Merges runs, oldest first, into one in a new file: of several marks with one key the newest stays, and void ones are left
/// out. Returns the number of marks.
pub(crate) fn merge(runs: &[Run], to: &Path) -> io::Result<usize> {
    let mut file = io::BufWriter::with_capacity(256 << 10, OpenOptions::new().create_new(true).write(true).open(to)?);
    // The heap gives the smallest key first and, among equal keys, the newest run first.
    let mut sources: Vec<_> = runs.iter().map(Run::marks).collect();
    let mut heap = BinaryHeap::with_capacity(runs.len());
    for (age, source) in sources.iter_mut().enumerate() {
        if let Some(mark) = source.next().transpose()? {
            heap.push((std::cmp::Reverse(mark.0), age, mark.1));
        }
    }
    let mut last = None;
    let mut count = 0;
    while let Some(mut top) = heap.peek_mut() {
        let (std::cmp::Reverse(key), age, record) = *top;
        match sources[age].next().transpose()? {
            Some(next) => *top = (std::cmp::Reverse(next.0), age, next.1),
            None => drop(PeekMut::pop(top)),
        }
        if last != Some(key) {
            last = Some(key);
            if record != VOID {
                file.write_all(&key.to_le_bytes())?;
                file.write_all(&record.to_le_bytes())?;
                count += 1;
            }
        }
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A spread of keys that needs no random number generator.
    fn key(i: u64) -> u64 {
        i.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn finds_what_is_there_and_nothing_else() {
        for count in [0u64, 1, 2, 17, 1000, 40_000] {
            let mut marks: Vec<Mark> = (0..count).map(|i| (key(i), i + 1)).collect();
            sort_run(&mut marks);
            let folder = tempfile::tempdir().unwrap();
            let mut writer = MarkWriter::create(folder.path(), "m".into()).unwrap();
            writer.write_run(&marks).unwrap();
            let runs = writer.keep().unwrap();
            for run in runs.iter().chain([&Run::Memory(Arc::new(marks.clone()))]) {
                for i in 0..count {
                    assert_eq!(run.find(key(i)).unwrap(), Some(i + 1), "{i} of {count}");
                    assert_eq!(run.find(key(i) ^ 1).unwrap(), None);
                }
                assert_eq!(run.find(0).unwrap(), (count > 0).then_some(1), "key(0) is 0");
                assert_eq!(run.find(u64::MAX).unwrap(), None);
            }
        }
    }

    #[test]
    fn skewed_keys_are_found_too() {
        let marks: Vec<Mark> = (0..5000).map(|i| (i, i + 1)).chain([(u64::MAX, 9)]).collect();
        let folder = tempfile::tempdir().unwrap();
        let mut writer = MarkWriter::create(folder.path(), "m".into()).unwrap();
        writer.write_run(&marks).unwrap();
        let run = writer.keep().unwrap().remove(0);
        for (key, found) in
            [(0, Some(1)), (63, Some(64)), (64, Some(65)), (4999, Some(5000)), (5000, None), (u64::MAX, Some(9))]
        {
            assert_eq!(run.find(key).unwrap(), found, "{key}");
        }
    }

    #[test]
    fn newer_wins_void_hides_and_merging_changes_nothing() {
        let old: Vec<Mark> = (0..3000).map(key).map(|k| (k, 1)).collect();
        let new: Vec<Mark> = (1000..2000).map(key).map(|k| (k, 2)).collect();
        let void: Vec<Mark> = (1500..1600).map(key).map(|k| (k, VOID)).collect();
        let runs: Vec<Run> = [old, new, void]
            .into_iter()
            .map(|mut marks| {
                sort_run(&mut marks);
                Run::Memory(Arc::new(marks))
            })
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("merged");
        let count = merge(&runs, &path).unwrap();
        assert_eq!(count, 2900);
        let before = MarkSet::new(runs);
        let after = MarkSet::new(open_runs(&path, &[count]).unwrap());
        for i in 0..3001 {
            let expected = match i {
                1500..1600 | 3000 => None,
                1000..2000 => Some(2),
                _ => Some(1),
            };
            assert_eq!((before.find(key(i)).unwrap(), after.find(key(i)).unwrap()), (expected, expected), "{i}");
        }
    }

    #[test]
    fn of_one_key_the_last_stays() {
        let mut marks = vec![(5, 1), (3, 1), (5, 2), (3, 9), (4, 4)];
        sort_run(&mut marks);
        assert_eq!(marks, [(3, 9), (4, 4), (5, 2)]);
    }

    #[test]
    fn a_file_of_another_length_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        std::fs::write(&path, [0u8; 31]).unwrap();
        assert!(open_runs(&path, &[2]).is_err());
    }
}

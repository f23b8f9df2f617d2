//! Marks: by what the sink already has, unchanged records are recognized. A mark is 16 bytes, the hash of a record's key
//! and the hash of the record. They lie in *runs*, sorted by the key's hash: small runs in the database, large ones in files
//! under `marks/`, several runs to a file. A newer run wins over an older one; runs are merged when there are many.
//!
//! Why files and not rows: a row for each mark cost 2–4 µs of CPU to write and as much to find, a run a tenth of
//! that, and a commit then costs the same however many marks it brings.
//!
//! Both hashes are SipHash-1-3 under a key of this root: whoever writes data at the source cannot craft a change that
//! hashes like what went before. At 64 bits a change is missed once in 2^64 changes.

use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use memmap2::Mmap;

/// (hash of the key, hash of the record). `VOID` for the second says that the sink does not have it.
pub(crate) type Mark = (u64, u64);

/// A record's hash that stands for none: what a mark becomes when its batch is rejected.
pub(crate) const VOID: u64 = 0;

const MARK_BYTES: usize = 16;

/// Marks that an open session keeps in memory before it writes them as a run: half a MiB.
pub(crate) const RUN_MARKS_MAX: usize = 32 << 10;

/// Runs with fewer marks than this stay in the database: below it a file costs more than it holds.
pub(crate) const INLINE_MARKS_MAX: usize = 2 << 10;

/// More runs than this are merged when a run of the integration ends; each costs every look-up a probe.
pub(crate) const RUNS_MAX: usize = 4;

/// Mapped pages of runs are given back after so many look-ups, so that a large set is not held in memory whole.
const LOOKUPS_BEFORE_RELEASE: u64 = 64 << 10;

/// The committed marks of one model in one scope. Clones of the `Arc` share it.
#[derive(Default)]
pub(crate) struct MarkSet {
    /// Oldest first.
    runs: RwLock<Vec<Run>>,
    lookups: AtomicU64,
}

/// A sorted run.
#[derive(Clone)]
pub(crate) enum Run {
    Memory(Arc<Vec<Mark>>),
    Mapped { map: Arc<Mmap>, first: usize, count: usize },
}

impl Run {
    fn len(&self) -> usize {
        match self {
            Run::Memory(marks) => marks.len(),
            Run::Mapped { count, .. } => *count,
        }
    }

    fn at(&self, index: usize) -> Mark {
        match self {
            Run::Memory(marks) => marks[index],
            Run::Mapped { map, first, .. } => {
                let at = (first + index) * MARK_BYTES;
                decode(&map[at..at + MARK_BYTES])
            }
        }
    }

    /// Hashes are spread evenly, so a mark's place can be guessed: look there and widen until it is enclosed.
    fn find(&self, key: u64) -> Option<u64> {
        let count = self.len();
        if count == 0 {
            return None;
        }
        let guess = ((u128::from(key) * count as u128) >> 64) as usize;
        let (mut low, mut high) = enclose(guess, count, key, |i| self.at(i).0);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.at(middle).0 < key { low = middle + 1 } else { high = middle }
        }
        (low < count && self.at(low).0 == key).then(|| self.at(low).1)
    }
}

/// Bounds `low..high` within which the first index whose key is not below `key` lies.
fn enclose(guess: usize, count: usize, key: u64, at: impl Fn(usize) -> u64) -> (usize, usize) {
    let mut step = 16;
    if at(guess) < key {
        let mut low = guess + 1;
        loop {
            let probe = guess.saturating_add(step).min(count);
            if probe == count || at(probe) >= key {
                return (low, probe);
            }
            low = probe + 1;
            step *= 4;
        }
    }
    let mut high = guess;
    loop {
        let Some(probe) = guess.checked_sub(step) else { return (0, high) };
        if at(probe) < key {
            return (probe + 1, high);
        }
        high = probe;
        step *= 4;
    }
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

/// Maps the runs of a file, given their lengths in marks.
pub(crate) fn map_runs(path: &Path, lengths: &[usize]) -> io::Result<Vec<Run>> {
    let file = File::open(path)?;
    let total: usize = lengths.iter().sum();
    if file.metadata()?.len() != (total * MARK_BYTES) as u64 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file of marks is not as long as its row says"));
    }
    if total == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: files of marks never change once a row names them, and lie in a folder that only the agent's user can write.
    let map = Arc::new(unsafe { Mmap::map(&file)? });
    let mut first = 0;
    let mut runs = Vec::with_capacity(lengths.len());
    for &count in lengths {
        runs.push(Run::Mapped { map: map.clone(), first, count });
        first += count;
    }
    Ok(runs)
}

impl MarkSet {
    pub(crate) fn new(runs: Vec<Run>) -> MarkSet {
        MarkSet { runs: RwLock::new(runs), lookups: AtomicU64::new(0) }
    }

    /// The hash of the record that the sink has under this key.
    pub(crate) fn find(&self, key: u64) -> Option<u64> {
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        let found = runs.iter().rev().find_map(|run| run.find(key));
        found.filter(|record| *record != VOID)
    }

    /// Counts look-ups, and gives mapped pages back now and then: they stay in the page cache, at hand.
    pub(crate) fn looked_up(&self, count: u64) {
        if self.lookups.fetch_add(count, Ordering::Relaxed) + count < LOOKUPS_BEFORE_RELEASE {
            return;
        }
        self.lookups.store(0, Ordering::Relaxed);
        for run in self.runs.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Run::Mapped { map, .. } = run {
                // SAFETY: a private read-only file mapping; dropped pages come back from the file unchanged.
                unsafe { drop(map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed)) };
            }
        }
    }

    pub(crate) fn add(&self, newer: Vec<Run>) {
        self.runs.write().unwrap_or_else(PoisonError::into_inner).extend(newer);
    }

    pub(crate) fn replace(&self, runs: Vec<Run>) {
        *self.runs.write().unwrap_or_else(PoisonError::into_inner) = runs;
    }

    pub(crate) fn runs(&self) -> Vec<Run> {
        self.runs.read().unwrap_or_else(PoisonError::into_inner).clone()
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

    /// Writes a run that `sort_run` has sorted, and starts its way to the disk.
    pub(crate) fn write_run(&mut self, marks: &[Mark]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Err(io::Error::other("the file of marks is closed")) };
        file.write_all(&encode(marks))?;
        super::start_writeback(file);
        self.lengths.push(marks.len());
        Ok(())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_all)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Says that a row names it: it stays. Returns its runs, mapped.
    pub(crate) fn keep(mut self) -> io::Result<Vec<Run>> {
        self.kept = true;
        self.file = None;
        map_runs(&self.path, &self.lengths)
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
    let mut heap = BinaryHeap::with_capacity(runs.len());
    for (age, run) in runs.iter().enumerate() {
        if run.len() > 0 {
            heap.push((std::cmp::Reverse(run.at(0).0), age, 0usize));
        }
    }
    let mut last = None;
    let mut count = 0;
    while let Some((std::cmp::Reverse(key), age, index)) = heap.pop() {
        let run = &runs[age];
        if last != Some(key) {
            last = Some(key);
            let record = run.at(index).1;
            if record != VOID {
                file.write_all(&encode(&[(key, record)]))?;
                count += 1;
            }
        }
        if index + 1 < run.len() {
            heap.push((std::cmp::Reverse(run.at(index + 1).0), age, index + 1));
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
                    assert_eq!(run.find(key(i)), Some(i + 1), "{i} of {count}");
                    assert_eq!(run.find(key(i) ^ 1), None);
                }
                assert_eq!(run.find(0), (count > 0).then_some(1), "key(0) is 0");
                assert_eq!(run.find(u64::MAX), None);
            }
        }
    }

    #[test]
    fn skewed_keys_are_found_too() {
        let marks: Vec<Mark> = (0..5000).map(|i| (i, i + 1)).chain([(u64::MAX, 9)]).collect();
        let run = Run::Memory(Arc::new(marks));
        assert_eq!((run.find(4999), run.find(5000), run.find(u64::MAX)), (Some(5000), None, Some(9)));
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
        let after = MarkSet::new(map_runs(&path, &[count]).unwrap());
        for i in 0..3001 {
            let expected = match i {
                1500..1600 | 3000 => None,
                1000..2000 => Some(2),
                _ => Some(1),
            };
            assert_eq!((before.find(key(i)), after.find(key(i))), (expected, expected), "{i}");
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
        assert!(map_runs(&path, &[2]).is_err());
    }
}

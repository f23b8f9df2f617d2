//! What one open model session has staged: records on their way into segments, and their marks. Nothing here is visible
//! before a commit names it; dropped, it leaves nothing but files that go with it.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinHandle;

use super::judge::ModelJudge;
use super::{Ack, Model, SessionError};
use crate::shutdown::Shutdown;
use crate::store::record::RecordReader;
use crate::store::{
    Codec, INLINE_MARKS_MAX, Mark, MarkSet, MarkWriter, NewBatch, NewData, NewMarks, RUN_MARKS_MAX, Run, SealedSegment,
    SegmentWriter, Store, encode_marks, sort_run, sync_folder, write_back,
};

/// Bytes of one record: a diff or a long description fits; a file does not, and should not.
pub(crate) const RECORD_BYTES_MAX: usize = 8 << 20;

/// Bytes of one batch from a guest.
pub(crate) const SEND_BYTES_MAX: usize = 16 << 20;

/// Batches up to this size live in the database, where a commit costs one sync and no file.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// A segment is closed at this size and its sync begun, so that the commit finds little left to do.
const SEGMENT_BYTES: u64 = 16 << 20;

/// Bytes after which what is written is sent on to the disk, in the background.
const WRITEBACK_BYTES: u64 = 1 << 20;

/// Such parts under way; more make the sender wait, so that a commit waits for these at most and not for a whole session.
const WRITEBACKS_MAX: usize = 2;

/// Segments that the sessions of one run keep open to be gone on with; each is a file, and with compression a megabyte.
/// Beyond this, a session closes its segment after each batch instead of keeping it.
const SEGMENTS_OPEN_MAX: usize = 64;

/// Counts the open segments of one run.
pub(super) type OpenSegments = Arc<AtomicUsize>;

/// A place among them.
struct Counted(OpenSegments);

impl Counted {
    fn new(open: &OpenSegments) -> Counted {
        open.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(open))
    }

    fn too_many(&self) -> bool {
        self.0.load(Ordering::Relaxed) > SEGMENTS_OPEN_MAX
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) struct Staging {
    segments_open: OpenSegments,
    store: Arc<Store>,
    shutdown: Shutdown,
    model: Model,
    codec: Codec,
    marks_committed: Option<Arc<MarkSet>>,
    reader: RecordReader,
    /// Records of a session that is still small.
    small: Vec<u8>,
    small_records: u64,
    open: Option<(SegmentWriter, Counted)>,
    unwritten: u64,
    sealed: Vec<SealedSegment>,
    syncs: Vec<JoinHandle<io::Result<()>>>,
    writebacks: VecDeque<JoinHandle<io::Result<()>>>,
    marks: Vec<Mark>,
    mark_file: Option<MarkWriter>,
    /// Keys that the sink has in another form than the one staged here: they are sent again whatever comes.
    changed: HashSet<u64>,
    /// Where the last batch's lines are that are kept, and their marks. Kept for their space.
    keep: Vec<std::ops::Range<usize>>,
    fresh: Vec<Mark>,
    judge: Option<Arc<ModelJudge>>,
    /// Where the last batch's lines are that the judge is to look at. Kept for its space.
    to_judge: Vec<std::ops::Range<usize>>,
    failed: bool,
}

/// What a commit takes from a session. `restore` puts it back where the commit failed.
pub(super) struct Staged {
    pub(super) batches: Vec<NewBatch>,
    pub(super) marks: Option<NewMarks>,
    sealed: Vec<SealedSegment>,
    small: Vec<u8>,
    small_records: u64,
    run: Vec<Mark>,
    mark_file: Option<MarkWriter>,
}

impl Staging {
    pub(super) fn new(
        store: Arc<Store>,
        shutdown: Shutdown,
        model: &Model,
        codec: Codec,
        committed: Option<Arc<MarkSet>>,
        judge: Option<Arc<ModelJudge>>,
        segments_open: OpenSegments,
    ) -> Staging {
        Staging {
            segments_open,
            reader: RecordReader::new(store.hash_key(), &model.key),
            store,
            shutdown,
            model: model.clone(),
            codec,
            marks_committed: committed,
            small: Vec::new(),
            small_records: 0,
            open: None,
            unwritten: 0,
            sealed: Vec::new(),
            syncs: Vec::new(),
            writebacks: VecDeque::new(),
            marks: Vec::new(),
            mark_file: None,
            changed: HashSet::new(),
            keep: Vec::new(),
            fresh: Vec::new(),
            judge,
            to_judge: Vec::new(),
            failed: false,
        }
    }

    /// Stages a batch, all or nothing. Returns what became of it and the bytes staged.
    pub(super) fn stage(&mut self, ndjson: &[u8]) -> Result<(Ack, u64), SessionError> {
        if self.failed {
            return Err(SessionError::Conflict(
                "writing this session's records failed before; roll it back and begin anew".into(),
            ));
        }
        let ack = self.judge(ndjson)?;
        if let Some(judge) = &self.judge {
            self.to_judge.drain(..).for_each(|range| judge.look(&ndjson[range]));
        }
        let bytes = self.write_kept(ndjson, u64::from(ack.accepted)).and_then(|bytes| {
            self.add_marks()?;
            Ok(bytes)
        });
        let folder = &self.store.paths().segments;
        bytes.map(|bytes| (ack, bytes)).map_err(|error| {
            // Part of the batch may be written: the session can no longer say what it holds.
            self.failed = true;
            SessionError::Unavailable(format!(
                "the records cannot be staged in {}: {error}; free space there, let the agent write there, and run again",
                folder.display()
            ))
        })
    }

    /// Waits until the disk keeps up with what is staged.
    pub(super) async fn keep_pace(&mut self) -> Result<(), SessionError> {
        while self.writebacks.len() > WRITEBACKS_MAX {
            let Some(oldest) = self.writebacks.pop_front() else { break };
            if let Err(error) = oldest.await.map_err(io::Error::other).flatten() {
                self.failed = true;
                return Err(SessionError::Unavailable(format!(
                    "the records cannot be written in {}: {error}; free space there and run again",
                    self.store.paths().segments.display()
                )));
            }
        }
        Ok(())
    }

    /// Reads every record before any is taken, and finds the lines to keep.
    fn judge(&mut self, ndjson: &[u8]) -> Result<Ack, SessionError> {
        self.keep.clear();
        self.fresh.clear();
        self.to_judge.clear();
        if let Err(error) = std::str::from_utf8(ndjson) {
            let line = 1 + memchr::memchr_iter(b'\n', &ndjson[..error.valid_up_to()]).count();
            return Err(self.bad(line, "it is not valid UTF-8"));
        }
        let mut ack = Ack::default();
        let mut start = 0;
        let mut number = 0;
        for end in memchr::memchr_iter(b'\n', ndjson).chain((ndjson.last() != Some(&b'\n')).then_some(ndjson.len())) {
            let range = start..end;
            start = end + 1;
            number += 1;
            if ndjson[range.clone()].trim_ascii().is_empty() {
                continue;
            }
            if self.judge_line(&ndjson[range.clone()], number)? {
                ack.accepted += 1;
                if self.judge.as_ref().is_some_and(|judge| judge.is_due(range.len())) {
                    self.to_judge.push(range.clone());
                }
                match self.keep.last_mut() {
                    // Lines that follow each other go out in one write, line ends included.
                    Some(last) if last.end + 1 == range.start => last.end = range.end,
                    _ => self.keep.push(range),
                }
            } else {
                ack.unchanged += 1;
            }
        }
        Ok(ack)
    }

    fn judge_line(&mut self, line: &[u8], number: usize) -> Result<bool, SessionError> {
        if line.len() > RECORD_BYTES_MAX {
            return Err(SessionError::Limit(format!(
                "record {number} of this batch of {} has {} bytes; the limit is {RECORD_BYTES_MAX} (record_bytes_max). Leave out or cut its largest fields",
                self.model.name,
                line.len()
            )));
        }
        let (key, record) = self.reader.read(line).map_err(|fault| self.bad(number, &fault.to_string()))?;
        let Some(set) = &self.marks_committed else { return Ok(true) };
        let known = set
            .find(key)
            .map_err(|e| SessionError::Unavailable(format!("the marks of {} cannot be read: {e}", self.model.name)))?;
        match known {
            Some(known) if known == record && !self.changed.contains(&key) => return Ok(false),
            Some(_) => drop(self.changed.insert(key)),
            None => {}
        }
        self.fresh.push((key, record));
        Ok(true)
    }

    fn bad(&self, number: usize, what: &str) -> SessionError {
        SessionError::Invalid(format!(
            "record {number} of this batch of {}: {what}. Nothing of the batch was taken",
            self.model.name
        ))
    }

    fn write_kept(&mut self, ndjson: &[u8], records: u64) -> io::Result<u64> {
        let bytes: usize = self.keep.iter().map(|r| r.len() + 1).sum();
        if self.open.is_none() && self.small.len() + bytes <= INLINE_BYTES_MAX {
            for range in &self.keep {
                self.small.extend_from_slice(&ndjson[range.clone()]);
                self.small.push(b'\n');
            }
            self.small_records += records;
            return Ok(bytes as u64);
        }
        if self.open.is_none() {
            let mut segment =
                SegmentWriter::create(&self.store.paths().segments, self.store.new_file_name(), self.codec)?;
            segment.write(&self.small)?;
            segment.records = self.small_records;
            self.small.clear();
            self.small_records = 0;
            self.open = Some((segment, Counted::new(&self.segments_open)));
        }
        let Some((segment, place)) = &mut self.open else { return Ok(0) };
        for range in &self.keep {
            // The line end after the range is written along where the batch has one.
            let end = range.end + 1;
            if end <= ndjson.len() {
                segment.write(&ndjson[range.start..end])?;
            } else {
                segment.write(&ndjson[range.clone()])?;
                segment.write(b"\n")?;
            }
        }
        segment.records += records;
        self.unwritten += bytes as u64;
        if self.unwritten >= WRITEBACK_BYTES {
            let file = segment.file()?;
            self.writebacks.push_back(self.shutdown.spawn_blocking(move || write_back(&file)));
            self.unwritten = 0;
        }
        if segment.bytes >= SEGMENT_BYTES || place.too_many() {
            self.seal()?;
        }
        Ok(bytes as u64)
    }

    /// Closes the open segment and begins its sync.
    fn seal(&mut self) -> io::Result<()> {
        if let Some((segment, _place)) = self.open.take() {
            let mut sealed = segment.seal()?;
            if let Some(file) = sealed.file.take() {
                self.syncs.push(self.shutdown.spawn_blocking(move || file.sync_all()));
            }
            self.sealed.push(sealed);
        }
        Ok(())
    }

    fn add_marks(&mut self) -> io::Result<()> {
        for at in 0..self.fresh.len() {
            self.marks.push(self.fresh[at]);
            if self.marks.len() == RUN_MARKS_MAX {
                self.write_run()?;
            }
        }
        Ok(())
    }

    fn write_run(&mut self) -> io::Result<()> {
        sort_run(&mut self.marks);
        let file = match &mut self.mark_file {
            Some(file) => file,
            None => self.mark_file.insert(MarkWriter::create(&self.store.paths().marks, self.store.new_file_name())?),
        };
        file.write_run(&self.marks)?;
        let file = file.file()?;
        self.writebacks.push_back(self.shutdown.spawn_blocking(move || write_back(&file)));
        self.marks.clear();
        Ok(())
    }

    /// Completes and syncs what is staged, for a commit to name it.
    pub(super) async fn take(&mut self) -> Result<Staged, SessionError> {
        if self.failed {
            return Err(SessionError::Conflict(
                "writing this session's records failed before; roll it back and begin anew".into(),
            ));
        }
        match self.complete().await {
            Ok(staged) => Ok(staged),
            Err(error) => {
                self.failed = true;
                Err(SessionError::Unavailable(format!("the records cannot be made durable: {error}")))
            }
        }
    }

    async fn complete(&mut self) -> io::Result<Staged> {
        self.seal()?;
        let marks = self.complete_marks()?;
        let mut folders = Vec::new();
        if !self.sealed.is_empty() {
            folders.push(self.store.paths().segments.clone());
        }
        if let Some(marks) = &self.mark_file {
            let file = marks.file()?;
            self.syncs.push(self.shutdown.spawn_blocking(move || file.sync_all()));
            folders.push(self.store.paths().marks.clone());
        }
        // All at the same time: the file system makes one journal entry of them.
        for sync in self.writebacks.drain(..).chain(self.syncs.drain(..)) {
            sync.await.map_err(io::Error::other)??;
        }
        if !folders.is_empty() {
            let sync = move || folders.iter().try_for_each(|folder| sync_folder(folder));
            self.shutdown.spawn_blocking(sync).await.map_err(io::Error::other)??;
        }
        let key = serde_json::to_string(&self.model.key).map_err(io::Error::other)?;
        let batch = |records, bytes, data| NewBatch {
            model: self.model.name.clone(),
            key: key.clone(),
            records,
            bytes,
            codec: self.codec,
            data,
        };
        let mut batches: Vec<NewBatch> =
            self.sealed.iter().map(|s| batch(s.records, s.bytes, NewData::File(s.name.clone()))).collect();
        if !self.small.is_empty() {
            batches.push(batch(
                self.small_records,
                self.small.len() as u64,
                NewData::Inline(self.codec.encode(&self.small)?),
            ));
        }
        Ok(Staged {
            batches,
            marks,
            sealed: std::mem::take(&mut self.sealed),
            small: std::mem::take(&mut self.small),
            small_records: std::mem::take(&mut self.small_records),
            run: std::mem::take(&mut self.marks),
            mark_file: self.mark_file.take(),
        })
    }

    /// The last marks go into the file of the others, or, where they are few and alone, into the database.
    fn complete_marks(&mut self) -> io::Result<Option<NewMarks>> {
        if self.mark_file.is_some() || self.marks.len() > INLINE_MARKS_MAX {
            if !self.marks.is_empty() {
                self.write_run()?;
            }
        } else {
            sort_run(&mut self.marks);
        }
        let (runs, data) = match &self.mark_file {
            Some(file) => (file.lengths().to_vec(), NewData::File(file.name().to_owned())),
            None if self.marks.is_empty() => return Ok(None),
            None => (vec![self.marks.len()], NewData::Inline(encode_marks(&self.marks))),
        };
        Ok(Some(NewMarks { model: self.model.name.clone(), runs, data }))
    }

    /// The commit is durable: the files stay, and the marks count from now on.
    pub(super) fn committed(&mut self, staged: Staged) -> Result<(), SessionError> {
        self.changed.clear();
        let Some(set) = &self.marks_committed else {
            staged.keep_segments();
            return Ok(());
        };
        let (run, file) = staged.keep_segments();
        if !run.is_empty() {
            set.add(vec![Run::Memory(Arc::new(run))]);
        }
        if let Some(file) = file {
            set.add(file.keep().map_err(|e| SessionError::Other(format!("the marks cannot be read back: {e}")))?);
        }
        Ok(())
    }

    /// The commit failed: all is as before it, and may be committed again. Files stay until the root is opened next,
    /// because a sync that failed may still have reached the disk.
    pub(super) fn restore(&mut self, staged: Staged) {
        self.sealed = staged.sealed;
        self.small = staged.small;
        self.small_records = staged.small_records;
        self.marks = staged.run;
        self.mark_file = staged.mark_file;
    }

    /// Leaves the files where they are, after a commit of which nobody knows whether it is durable.
    pub(super) fn abandon(&mut self) {
        self.sealed.iter_mut().for_each(SealedSegment::keep);
        if let Some(file) = self.mark_file.take() {
            drop(file.keep());
        }
        self.failed = true;
    }
}

impl Staged {
    /// From now on a row may name the files, whatever becomes of who waits for it: they stay, and those that no row names
    /// are collected when the root is opened next.
    pub(super) fn hand_over(&mut self) {
        self.sealed.iter_mut().for_each(SealedSegment::keep);
        if let Some(file) = &mut self.mark_file {
            file.stay();
        }
    }

    fn keep_segments(mut self) -> (Vec<Mark>, Option<MarkWriter>) {
        self.sealed.iter_mut().for_each(SealedSegment::keep);
        (std::mem::take(&mut self.run), self.mark_file.take())
    }
}

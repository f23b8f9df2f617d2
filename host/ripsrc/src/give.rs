//! Giving out: what is known of commits is put together into records, and those are handed to whoever takes them, one by
//! one, or rendered as lines of JSON by several threads. What is given out, and when, is `code`'s.

use crate::blobs::Blobs;
use crate::changes::{BlobId, Changes, Stat, Step};
use crate::objects::Oid;
use crate::options::{RunError, Take};
use crate::record::{BlameRecord, Classes, CommitRecord, FileRecord, Owners, Record, Run, Status};
use crate::trees::PathId;
use crate::walk::{Commit, CommitId, Commits};
use std::collections::VecDeque;
use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// A commit's records before they are put together.
pub(crate) struct Bundle {
    pub commit: CommitId,
    pub ordinal: u64,
    pub files: Vec<FileRecord>,
    /// Owners of each file, if they are known.
    pub runs: Vec<Option<Arc<[Run]>>>,
}

/// What is put together before it is given out: bytes of JSON, roughly. Enough that a thread for it pays.
pub(crate) const BATCH_COST: usize = 1 << 20;

impl Bundle {
    pub fn cost(&self) -> usize {
        let runs: usize = self.runs.iter().flatten().map(|runs| runs.len()).sum();
        400 + self.files.len() * 400 + runs * 80
    }
}

/// What records are made of besides bundles.
pub(crate) struct View<'a> {
    pub commits: &'a Commits,
    pub changes: &'a Changes,
    pub blobs: &'a Blobs,
    pub owners: &'a [Oid],
    pub blame: bool,
}

impl View<'_> {
    fn records(&self, bundle: &Bundle, take: &mut Take<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let commit = &self.commits.list[bundle.commit as usize];
        take(Record::Commit(commit_record(commit, bundle.ordinal, &bundle.files)))?;
        if !self.blame {
            return Ok(());
        }
        let steps = self.changes.steps(bundle.commit).iter();
        for ((step, file), runs) in steps.zip(&bundle.files).zip(&bundle.runs) {
            take(Record::Blame(blame_record(commit.oid, step, file, self.blobs, runs.as_deref(), self.owners)))?;
        }
        Ok(())
    }
}

/// Gives the next bundles in order; None at the end.
pub(crate) type Next<'a> = dyn FnMut() -> Result<Option<Vec<Bundle>>, RunError> + 'a;

/// Takes bundles in order.
pub(crate) trait Taker {
    fn take(&mut self, view: &View<'_>, next: &mut Next<'_>) -> Result<(), RunError>;
}

pub(crate) struct OneByOne<'a, 'b> {
    pub take: &'a mut Take<'b>,
}

impl Taker for OneByOne<'_, '_> {
    fn take(&mut self, view: &View<'_>, next: &mut Next<'_>) -> Result<(), RunError> {
        while let Some(batch) = next()? {
            batch.iter().try_for_each(|bundle| view.records(bundle, self.take)).map_err(RunError::Taken)?;
        }
        Ok(())
    }
}

/// Lines that were rendered, or why they could not be.
type Rendered = Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>;

/// Bundles to be rendered by another thread, the buffer to do it in, and where to tell. The bundles are given back: what
/// one thread has allocated is best let go by the same.
struct Job {
    batch: Vec<Bundle>,
    buffer: Vec<u8>,
    done: SyncSender<(Rendered, Vec<Bundle>)>,
}

pub(crate) struct AsJson<'a> {
    pub to: &'a mut dyn Write,
    pub threads: usize,
    /// Used again.
    pub buffers: Vec<Vec<u8>>,
}

impl AsJson<'_> {
    fn write(&mut self, rendered: Rendered) -> Result<(), RunError> {
        let mut lines = rendered.map_err(RunError::Taken)?;
        self.to.write_all(&lines).map_err(|error| RunError::Taken(error.into()))?;
        lines.clear();
        self.buffers.push(lines);
        Ok(())
    }

    /// Waits for the oldest of the jobs. That its thread ended without an answer is a panic, which the caller's scope
    /// passes on.
    fn write_next(&mut self, jobs: &mut VecDeque<Receiver<(Rendered, Vec<Bundle>)>>) -> Result<(), RunError> {
        match jobs.pop_front().map(|job| job.recv()) {
            Some(Ok((rendered, _))) => self.write(rendered),
            Some(Err(_)) | None => Err(RunError::Stopped),
        }
    }
}

fn render(view: &View<'_>, batch: &[Bundle], mut out: Vec<u8>) -> Rendered {
    batch
        .iter()
        .try_for_each(|bundle| view.records(bundle, &mut |record| Ok(crate::output::line(&record, &mut out)?)))?;
    Ok(out)
}

impl Taker for AsJson<'_> {
    /// Composes here while other threads render, as many as there may be.
    fn take(&mut self, view: &View<'_>, next: &mut Next<'_>) -> Result<(), RunError> {
        if self.threads <= 1 {
            while let Some(batch) = next()? {
                let buffer = self.buffers.pop().unwrap_or_default();
                self.write(render(view, &batch, buffer))?;
            }
            return Ok(());
        }
        let (give, given) = channel::<Job>();
        let given = Mutex::new(given);
        let worker = || loop {
            let job = given.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(Job { batch, buffer, done }) = job else { return };
            let rendered = render(view, &batch, buffer);
            // Nobody waits any more only where the run ends early.
            let _ = done.send((rendered, batch));
        };
        std::thread::scope(|scope| {
            // Dropped when this ends, in whichever way, and then the threads end.
            let give = give;
            let mut workers = 0;
            let mut jobs = VecDeque::new();
            while let Some(batch) = next()? {
                if workers < self.threads {
                    scope.spawn(worker);
                    workers += 1;
                }
                let (done, wait) = sync_channel(1);
                // The receiver lives as long as this function.
                let _ = give.send(Job { batch, buffer: self.buffers.pop().unwrap_or_default(), done });
                jobs.push_back(wait);
                if jobs.len() > self.threads {
                    self.write_next(&mut jobs)?;
                }
            }
            while !jobs.is_empty() {
                self.write_next(&mut jobs)?;
            }
            Ok(())
        })
    }
}

fn commit_record<'a>(commit: &'a Commit, ordinal: u64, files: &'a [FileRecord]) -> CommitRecord<'a> {
    CommitRecord {
        sha: commit.oid,
        parents: &commit.parent_oids,
        ordinal,
        subject: &commit.subject,
        author: &commit.author,
        authored: commit.authored,
        committer: &commit.committer,
        committed: commit.committed,
        files,
    }
}

pub(crate) fn file(
    step: &Step,
    changes: &Changes,
    blobs: &Blobs,
    path_of: &mut dyn FnMut(PathId) -> Arc<[u8]>,
) -> FileRecord {
    let status = match (step.old, step.new) {
        (_, None) => Status::Removed,
        (None, _) => Status::Added,
        _ => Status::Modified,
    };
    let lines = |blob: BlobId| blobs.list[blob as usize].lines;
    let (additions, deletions) = match step.stat {
        Stat::None => (0, 0),
        Stat::Fixed { added, removed } => (added, removed),
        Stat::Added(blob) => (lines(blob), 0),
        Stat::Removed(blob) => (0, lines(blob)),
        Stat::FromSubmodule(blob) => (lines(blob), 1),
        Stat::ToSubmodule(blob) => (1, lines(blob)),
        Stat::Pair(pair) => blobs.diffs[pair as usize].as_ref().map_or((0, 0), |diff| (diff.added, diff.removed)),
    };
    // As git sees it, a change from or to something that is no text is not one of lines.
    let is_binary = |blob: BlobId| blobs.list[blob as usize].binary;
    let binary = match step.stat {
        Stat::Pair(pair) => {
            let (old, new) = changes.pairs[pair as usize];
            is_binary(old) || is_binary(new)
        }
        Stat::Added(blob) | Stat::Removed(blob) | Stat::FromSubmodule(blob) | Stat::ToSubmodule(blob) => {
            is_binary(blob)
        }
        Stat::None | Stat::Fixed { .. } => step.blob.is_some_and(is_binary),
    };
    let (additions, deletions) = if binary { (0, 0) } else { (additions, deletions) };
    FileRecord {
        path: path_of(step.path),
        status,
        renamed_from: step.from.map(&mut *path_of),
        renamed_to: step.to.map(&mut *path_of),
        additions,
        deletions,
        binary,
    }
}

/// Reasons why a file has no owners.
const REMOVED: &str = "File was removed";
const SUBMODULE: &str = "File is a submodule";
const UNREADABLE: &str = "File cannot be read";
const INCOMPLETE: &str = "An earlier version of the file cannot be read";

fn blame_record<'a>(
    commit: Oid,
    step: &Step,
    file: &FileRecord,
    blobs: &'a Blobs,
    runs: Option<&'a [Run]>,
    owners: &'a [Oid],
) -> BlameRecord<'a> {
    let blob = step.blob.map(|blob| &blobs.list[blob as usize]);
    let facts = step.blob.and_then(|blob| blobs.facts.get(&(blob, step.path)));
    let skipped = match blob {
        None if step.new.is_none() => REMOVED.to_owned(),
        None => SUBMODULE.to_owned(),
        Some(blob) if blob.fault.is_some() => UNREADABLE.to_owned(),
        Some(blob) if !blob.binary && runs.is_none() => INCOMPLETE.to_owned(),
        Some(_) => facts.and_then(|facts| facts.facts.skipped.as_ref()).map(ToString::to_string).unwrap_or_default(),
    };
    let binary = blob.is_some_and(|blob| blob.binary);
    BlameRecord {
        commit,
        path: Arc::clone(&file.path),
        status: file.status,
        size: blob.map_or(0, |blob| blob.size),
        lines: blob.map_or(0, |blob| if blob.binary { 0 } else { blob.lines }),
        skipped,
        binary,
        owners: Owners { runs: if binary { &[] } else { runs.unwrap_or_default() }, commits: owners },
        classes: facts
            .map_or_else(Classes::default, |facts| Classes { packed: &facts.classes, count: facts.facts.loc as usize }),
        facts: facts.map(|facts| &facts.facts),
    }
}

//! The files' contents: each is read once, cut into lines and compared with those that it must be compared with, as
//! soon as both are there. A difference depends on nothing but the two contents, so threads need not wait for each
//! other; what becomes of the differences is `blame`'s.
//!
//! Memory: a content's lines are kept until it has been compared with all others. What doesn't fit into the granted
//! memory is let go and read once more in a later round, together with its counterparts only. When the distinct lines of
//! all contents take more than their share, the round ends, and what is left is done with new numbers.

use crate::changes::{BlobId, PairId};
use crate::count::{self, Beside, Counter, Cut, FileFacts, Kept, Numbers, Version};
use crate::diff::{self, Diff, Scratch};
use crate::lines::{Lines, Text};
use crate::memory::Share;
use crate::objects::forest::{Forest, Object, Worker};
use crate::objects::{Kind, ObjId, ObjectError, Odb};
use crate::rename::is_binary;
use crate::shelf::Shelf;
use crate::trees::PathId;
use std::collections::HashMap;
use std::sync::Arc;

/// What is known of a content.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blob {
    pub size: u64,
    /// Lines, a last one without a newline included.
    pub lines: u32,
    pub binary: bool,
    pub fault: Option<Box<ObjectError>>,
}

/// What a content says under one path: languages are told by names too.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Without the classes.
    pub facts: FileFacts,
    /// The class of each line, four to a byte, in the order of `CLASSES`.
    pub classes: Box<[u8]>,
}

/// Letters of lines' classes by their packed numbers.
pub(crate) const CLASSES: [u8; 4] = *b"cmb?";

/// What reading all contents gives.
pub(crate) struct Blobs {
    /// By content and path.
    pub facts: HashMap<(BlobId, PathId), Facts, foldhash::fast::RandomState>,
    pub list: Vec<Blob>,
    /// None if one of the two cannot be read.
    pub diffs: Vec<Option<Diff>>,
}

impl Blobs {
    /// Lines of a content, None if it cannot be read.
    pub fn lines(&self, blob: BlobId) -> Option<u32> {
        let blob = &self.list[blob as usize];
        blob.fault.is_none().then_some(blob.lines)
    }
}

/// What is known of a content under one path costs this in memory, in bytes, besides its classes.
const FACTS_COST: usize = 240;
/// What a difference costs besides its hunks, in bytes.
const DIFF_COST: usize = 40;
/// What a line of a content costs at most, with its number, in bytes, besides its own.
const LINE_COST_MAX: usize = 80;

struct Job<'a> {
    odb: &'a Odb,
    blob_of: HashMap<ObjId, BlobId, foldhash::fast::RandomState>,
    pairs: &'a [(BlobId, BlobId)],
    /// Pairs of each content: `pair_list[first[blob]..first[blob + 1]]`.
    first: Vec<u32>,
    pair_list: Vec<PairId>,
    /// More lines than this are not cut.
    lines_max: u64,
    shelf: Shelf,
    /// What is found is taken from this.
    share: &'a Share,
    /// Under which paths each content is to be counted, by content.
    counted: &'a [(BlobId, PathId, Arc<[u8]>)],
    /// Contents that were read in an earlier round are not counted again.
    again: bool,
}

struct BlobWorker<'a> {
    job: &'a Job<'a>,
    lines: &'a Lines,
    scratch: Scratch,
    counter: Option<Counter>,
    /// Lines of the content at hand that its base has.
    kept: Vec<Kept>,
    found: Vec<(BlobId, Blob)>,
    facts: Vec<((BlobId, PathId), Facts)>,
    diffs: Vec<(PairId, Diff)>,
}

impl BlobWorker<'_> {
    /// Counts a content under each of its paths, and gives what its lines came to under the first.
    fn count(&mut self, blob: BlobId, bytes: &[u8], text: &Text, base: Option<&Version>) -> Version {
        let (job, Some(counter)) = (self.job, &mut self.counter) else { return Version::default() };
        let first = job.counted.partition_point(|(other, _, _)| *other < blob);
        let cut = Cut { content: bytes, ends: &text.ends, numbers: Numbers::Short(&text.tokens) };
        let beside = base.map(|version| Beside { version, kept: &self.kept });
        let mut kept: Option<Version> = None;
        for (_, number, path) in job.counted[first..].iter().take_while(|(other, _, _)| *other == blob) {
            let (facts, version) = counter.count_cut(path, &cut, beside);
            let classes = if facts.loc > 0 { version.classes_packed() } else { Box::default() };
            job.share.take(FACTS_COST + classes.len());
            self.facts.push(((blob, *number), Facts { facts, classes }));
            kept.get_or_insert(version);
        }
        kept.unwrap_or_default()
    }

    fn compare(&mut self, blob: BlobId, text: &Arc<Text>) {
        let job = self.job;
        let pairs = &job.pair_list[job.first[blob as usize] as usize..job.first[blob as usize + 1] as usize];
        let counterparts = pairs.iter().filter_map(|pair| match job.pairs[*pair as usize] {
            (old, new) if old == new => None,
            (old, new) => Some((*pair, if old == blob { new } else { old })),
        });
        for (pair, other) in job.shelf.bring(blob, text, counterparts) {
            let (old, new) = job.pairs[pair as usize];
            let (a, b) = if old == blob { (text, &other) } else { (&other, text) };
            let diff = diff::diff(a, b, self.lines, &mut self.scratch);
            job.share.take(DIFF_COST + size_of_val(&*diff.hunks));
            self.diffs.push((pair, diff));
            job.shelf.done(old);
            job.shelf.done(new);
        }
    }
}

/// A content while others are built on it; nothing where it was not cut.
type Made = Option<(Arc<Text>, Version)>;

impl Worker for BlobWorker<'_> {
    type Made = Made;

    fn cost(made: &Made) -> usize {
        made.as_ref().map_or(0, |(text, version)| text.cost() + version.cost())
    }

    fn object(&mut self, object: Object<'_, Made>) -> Made {
        // What is only a base of others is not cut: it may hold more lines than all that is wanted.
        let blob = *self.job.blob_of.get(&object.id).filter(|_| object.wanted)?;
        if object.kind != Kind::Blob {
            let what = "it is no file's content, though a folder says so".to_owned();
            self.fault(object.id, ObjectError::Damaged { oid: self.job.odb.oid(object.id), what });
            return None;
        }
        // A line is a byte at least, so most contents need not be looked through.
        let most = self.job.lines_max;
        if object.bytes.len() as u64 > most {
            let lines = memchr::memchr_iter(b'\n', object.bytes).count() as u64;
            if lines > most {
                let oid = self.job.odb.oid(object.id);
                self.fault(object.id, ObjectError::TooManyLines { oid, lines, most });
                return None;
            }
        }
        let base = object.base.and_then(|(made, copied)| Some((made.as_ref()?, copied)));
        let text = self.lines.cut(object.bytes, base.map(|((text, _), copied)| (&**text, copied)), &mut self.kept);
        let text = Arc::new(text);
        let found = Blob {
            size: object.bytes.len() as u64,
            lines: text.tokens.len() as u32,
            binary: is_binary(object.bytes),
            fault: None,
        };
        self.found.push((blob, found));
        let version = self.count(blob, object.bytes, &text, base.map(|((_, version), _)| version));
        self.compare(blob, &text);
        Some((text, version))
    }

    fn fault(&mut self, id: ObjId, error: ObjectError) {
        if let Some(&blob) = self.job.blob_of.get(&id) {
            self.found.push((blob, Blob { fault: Some(Box::new(error)), ..Blob::default() }));
        }
    }
}

/// What is to be read and compared.
pub(crate) struct Wanted<'a> {
    pub blobs: &'a [ObjId],
    /// Contents in the order in which they are best read.
    pub order: Vec<BlobId>,
    pub pairs: &'a [(BlobId, BlobId)],
    /// What the window may take of memory.
    pub share: &'a Share,
    pub threads: usize,
    /// Contents to be counted, with number and name of the path, by content; each once.
    pub counted: &'a [(BlobId, PathId, Arc<[u8]>)],
    pub count: Option<&'a count::Options>,
}

/// Reads and compares. What a run that was asked to stop gives is not whole, nor what is given when the window's share of
/// memory is full afterwards.
pub(crate) fn read(odb: &Odb, forest: &mut Forest, wanted: &Wanted<'_>) -> Blobs {
    let (first, pair_list) = pairs_by_blob(wanted);
    let memory = forest.memory();
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut job = Job {
        odb,
        blob_of: wanted.blobs.iter().enumerate().map(|(blob, id)| (*id, blob as BlobId)).collect(),
        pairs: wanted.pairs,
        first,
        pair_list,
        lines_max: memory.content_lines(),
        shelf: Shelf::default(),
        share: wanted.share,
        counted: wanted.counted,
        again: false,
    };
    let mut blobs = Blobs {
        facts: HashMap::default(),
        list: vec![Blob::default(); wanted.blobs.len()],
        diffs: vec![None; wanted.pairs.len()],
    };
    let mut read = vec![false; wanted.blobs.len()];
    // Everything is read once, in as many rounds as distinct lines need.
    let mut unread = wanted.order.clone();
    while !unread.is_empty() {
        job.shelf = job.shelf_for(&unread, &blobs, memory.waiting());
        let ended = round(&job, forest, &unread, wanted, Share::new(memory.lines()), &mut blobs, &mut read);
        if ended {
            return blobs;
        }
        unread.retain(|blob| !read[*blob as usize]);
    }
    // Then those that had to be let go before they were compared.
    job.again = true;
    let mut frugal = false;
    loop {
        let room = if frugal { memory.lines() } else { memory.waiting() };
        let Some(list) = next_round(&mut job, &blobs, wanted, bytes(room), frugal) else { return blobs };
        let before = blobs.open();
        // What was chosen with care fits, or is one pair that must be compared all the same.
        let share = if frugal { Share::endless() } else { Share::new(memory.lines()) };
        if round(&job, forest, &list, wanted, share, &mut blobs, &mut read) {
            return blobs;
        }
        let stuck = blobs.open() == before;
        // Each round with care compares at least one pair; were it not so, it would not end.
        if stuck && frugal {
            return blobs;
        }
        frugal = stuck;
    }
}

/// Which pairs each content is part of, as `Job` has them.
fn pairs_by_blob(wanted: &Wanted<'_>) -> (Vec<u32>, Vec<PairId>) {
    let count = wanted.blobs.len();
    let mut first = vec![0u32; count + 1];
    for (old, new) in wanted.pairs {
        first[*old as usize + 1] += 1;
        first[*new as usize + 1] += 1;
    }
    for at in 1..=count {
        first[at] += first[at - 1];
    }
    let mut next = first.clone();
    let mut pair_list = vec![0; wanted.pairs.len() * 2];
    for (pair, (old, new)) in wanted.pairs.iter().enumerate() {
        for blob in [old, new] {
            pair_list[next[*blob as usize] as usize] = pair as PairId;
            next[*blob as usize] += 1;
        }
    }
    (first, pair_list)
}

/// Reads these contents and compares what it can. True if all must end.
fn round(
    job: &Job<'_>,
    forest: &mut Forest,
    list: &[BlobId],
    wanted: &Wanted<'_>,
    share: Share,
    blobs: &mut Blobs,
    read: &mut [bool],
) -> bool {
    let ids: Vec<ObjId> = list.iter().map(|blob| wanted.blobs[*blob as usize]).collect();
    let lines = Lines::new(share);
    // A counter remembers lines by their numbers, and so lasts no longer than these.
    let new = || BlobWorker {
        job,
        lines: &lines,
        scratch: Scratch::default(),
        counter: wanted.count.filter(|_| !job.again).map(|options| Counter::new(options.clone())),
        kept: vec![],
        found: vec![],
        facts: vec![],
        diffs: vec![],
    };
    let mut workers: Vec<BlobWorker<'_>> = (0..wanted.threads.max(1)).map(|_| new()).collect();
    forest.walk(job.odb, &ids, &[lines.share(), job.share], &mut workers);
    blobs.facts.reserve(workers.iter().map(|worker| worker.facts.len()).sum());
    for worker in workers {
        for (blob, found) in worker.found {
            read[blob as usize] = true;
            blobs.list[blob as usize] = found;
        }
        blobs.facts.extend(worker.facts);
        for (pair, diff) in worker.diffs {
            blobs.diffs[pair as usize] = Some(diff);
        }
    }
    // Who asked for the end sees to it that nothing is made of half of the contents.
    forest.stopped() || job.share.is_full()
}

impl Blobs {
    /// Pairs that were not compared.
    fn open(&self) -> usize {
        self.diffs.iter().filter(|diff| diff.is_none()).count()
    }
}

impl Job<'_> {
    /// A shelf for a round over these contents: pairs of which it reads only one wait for a later round.
    fn shelf_for(&self, list: &[BlobId], blobs: &Blobs, bytes_max: u64) -> Shelf {
        let mut listed = vec![false; self.first.len()];
        list.iter().for_each(|blob| listed[*blob as usize] = true);
        let mut left = vec![0; self.first.len()];
        let open = |(pair, (old, new)): (usize, &(BlobId, BlobId))| {
            let open = blobs.diffs[pair].is_none() && listed[*old as usize] && listed[*new as usize];
            if open {
                left[*old as usize] += 1;
                left[*new as usize] += 1;
            }
            open
        };
        let open = self.pairs.iter().enumerate().map(open).collect();
        Shelf::new(left, open, bytes_max)
    }
}

/// Chooses pairs that have not been compared because one of them had to be let go, as many as fit into `room` bytes
/// together; at least one. None if there are none. With care, each line is taken for a new one.
fn next_round(
    job: &mut Job<'_>,
    blobs: &Blobs,
    wanted: &Wanted<'_>,
    room: usize,
    careful: bool,
) -> Option<Vec<BlobId>> {
    let cost = |blob: BlobId| {
        let blob = &blobs.list[blob as usize];
        let lines = blob.lines as usize;
        if careful { lines * LINE_COST_MAX + blob.size as usize } else { lines * 8 + 64 }
    };
    let readable = |blob: BlobId| blobs.list[blob as usize].fault.is_none();
    let (mut left, mut open) = (vec![0; wanted.blobs.len()], vec![false; wanted.pairs.len()]);
    let mut bytes = 0;
    let mut round = vec![];
    for blob in &wanted.order {
        let pairs = &job.pair_list[job.first[*blob as usize] as usize..job.first[*blob as usize + 1] as usize];
        for &pair in pairs {
            let (old, new) = wanted.pairs[pair as usize];
            if blobs.diffs[pair as usize].is_some() || open[pair as usize] || !readable(old) || !readable(new) {
                continue;
            }
            let more: usize = [old, new].into_iter().filter(|blob| left[*blob as usize] == 0).map(cost).sum();
            if bytes + more > room && bytes > 0 {
                continue;
            }
            bytes += more;
            open[pair as usize] = true;
            for blob in [old, new] {
                if left[blob as usize] == 0 {
                    round.push(blob);
                }
                left[blob as usize] += 1;
            }
        }
    }
    // What was chosen may wait as long as it must.
    job.shelf = Shelf::new(left, open, u64::MAX);
    (!round.is_empty()).then_some(round)
}

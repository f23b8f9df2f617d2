//! One run over a history: who is asked what, in which order, and what is given out. The work is done by the modules
//! below it.

use crate::Repository;
use crate::blame::{Composer, Known, State};
use crate::blobs::{self, Blobs};
use crate::changes::{self, BlobId, Changes, Stat, Step};
use crate::checkpoint::{Checkpoint, CheckpointError, Files, NextCheckpoint, Parts};
use crate::count;
use crate::memory::{Memory, Share};
use crate::objects::forest::Forest;
use crate::objects::{Inflater, ObjId, ObjectError, Oid};
use crate::record::{BlameRecord, Classes, CommitRecord, FileRecord, Owners, Record, Run, Status};
use crate::refs::Head;
use crate::trees::{PathId, TreeError, Trees};
use crate::walk::{self, Commit, CommitId, Commits, Reader, WalkError};
use crate::watch::{Phase, Watch};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Memory that a run may use unless told otherwise: 1 GB.
pub const MEMORY_MAX_DEFAULT: u64 = 1_000_000_000;
/// Renames are looked for among up to this many new and as many vanished files of a commit.
pub const RENAME_LIMIT_DEFAULT: usize = 10_000;

/// Which commits a run is about.
#[derive(Clone, Debug, Default)]
pub enum Scope {
    /// Those reachable from HEAD.
    #[default]
    Head,
    /// Those reachable from HEAD or any local branch.
    AllBranches,
    /// Those reachable from these.
    Commits(Vec<Oid>),
}

/// How a run is done.
#[derive(Clone, Debug)]
pub struct Options {
    pub scope: Scope,
    /// Heads of pull requests, added to the scope. Those that the repository doesn't have are told in the summary.
    pub pull_requests: Vec<Oid>,
    /// Give out files' owners; without, only commits and their changed files.
    pub blame: bool,
    /// How languages are told and lines counted; None for not at all. Only done together with owners.
    pub count: Option<count::Options>,
    /// Bytes that the run doesn't exceed, mapped files aside; with less than 100 MB, it may. What doesn't fit makes it
    /// read the history in several parts, which takes longer; contents that are too large for it come without owners, and
    /// a history with too many commits or paths ends it.
    pub memory_max: u64,
    /// Threads; zero for as many as there are processors.
    pub threads: usize,
    pub rename_limit: usize,
    /// Give out only what is not reachable from this commit. Owners need the whole history all the same.
    pub since: Option<Oid>,
    /// Give out only what is not reachable from these commits, which an earlier run gave out. Those that the repository no
    /// longer has are passed over.
    pub known: Vec<Oid>,
    /// End at a content that is missing or damaged, before anything is given out of the part of the history that is in
    /// memory at a time, mostly all of it. Without, its files come without owners, and the summary tells; as it does in any
    /// case for one that is too large.
    pub complete: bool,
    /// A folder with the checkpoint of the run before; only what it doesn't know is given out. The summary has the next.
    pub checkpoint: Option<PathBuf>,
    /// Shows from outside how far the run is, and stops it.
    pub watch: Watch,
}

/// What a run did with the checkpoint that it was told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CheckpointUse {
    /// It was told of none.
    #[default]
    None,
    /// There was none, so everything was given out.
    Absent,
    /// Only what was new was computed.
    Resumed,
    /// Only what was new was given out, but it builds on commits whose owners were not kept: all was computed.
    Recomputed,
    /// It could not be used, for this reason, so everything was given out.
    Unusable(String),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            scope: Scope::Head,
            pull_requests: vec![],
            blame: true,
            count: Some(count::Options::default()),
            memory_max: MEMORY_MAX_DEFAULT,
            threads: 0,
            rename_limit: RENAME_LIMIT_DEFAULT,
            since: None,
            known: vec![],
            complete: false,
            checkpoint: None,
            watch: Watch::default(),
        }
    }
}

impl Options {
    /// What records depend on besides the repository, in words.
    fn settings(&self) -> String {
        let count = match self.count.as_ref().filter(|_| self.blame) {
            None => "nothing counted".to_owned(),
            Some(count) => format!(
                "counted up to {} bytes, {} lines, {} bytes a line, {} licenses",
                count.size_max,
                count.lines_max,
                count.width_max,
                if count.licenses { "with" } else { "without" }
            ),
        };
        let owners = if self.blame { "with" } else { "without" };
        format!("{owners} owners, rename limit {}, {count}", self.rename_limit)
    }

    fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}

/// What a run did, and what it could not do.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub commits: u64,
    /// Changed files that were given out.
    pub files: u64,
    /// Contents that were not counted, under each path once in a part of the history, by the kind of reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Contents that cannot be read, with the reason; their files come without owners.
    pub unreadable: Vec<ObjectError>,
    /// Pull requests' heads that the repository doesn't have.
    pub unknown_heads: Vec<Oid>,
    /// The history is cut off below these commits.
    pub shallow: Vec<Oid>,
    /// Packs and folders that could not be opened.
    pub store_faults: Vec<ObjectError>,
    /// The clone left objects with its source; what is missing is among `unreadable`, or ended the run.
    pub partial_clone: bool,
    /// Parts in which the history was read because all of it didn't fit into memory; one if it did.
    pub windows: u64,
    /// Commits that had more or larger files than fit into memory to look for renames among: only files that were not
    /// edited as well were found again.
    pub renames_limited: u64,
    /// Commits that were computed although they had been given out before.
    pub recomputed: u64,
    pub checkpoint: CheckpointUse,
    /// Tips of the run before that no tip of this one reaches: branches that were deleted, or whose history was rewritten.
    pub abandoned: Vec<Oid>,
    /// To be saved once the records are safe; there if a checkpoint's folder was told.
    pub next: Option<NextCheckpoint>,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("HEAD names neither a branch nor a commit")]
    NoHead,
    #[error("the history cannot be walked")]
    Walk(#[source] WalkError),
    #[error("files cannot be listed")]
    Tree(#[source] TreeError),
    #[error("a tip cannot be read")]
    Object(#[from] ObjectError),
    #[error("the checkpoint cannot be read")]
    Checkpoint(#[from] CheckpointError),
    #[error("there are more than {most} commits, which is all that fits into the memory granted; grant more")]
    TooManyCommits { most: usize },
    #[error("what commit {0} changes does not fit into the memory granted; grant more")]
    TooMuchInCommit(Oid),
    #[error("it was stopped")]
    Stopped,
    #[error("the records could not be taken")]
    Taken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<WalkError> for RunError {
    fn from(error: WalkError) -> Self {
        if matches!(error, WalkError::Stopped) { Self::Stopped } else { Self::Walk(error) }
    }
}

impl From<TreeError> for RunError {
    fn from(error: TreeError) -> Self {
        if matches!(error, TreeError::Stopped) { Self::Stopped } else { Self::Tree(error) }
    }
}

/// Takes records; an error of it ends the run.
pub type Take<'a> = dyn FnMut(Record<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + 'a;

impl Repository {
    /// Gives out every commit in scope, parents before children, each followed by the files that it changed.
    pub fn code(&self, options: &Options, take: &mut Take<'_>) -> Result<Summary, RunError> {
        self.run(options, &mut OneByOne { take })
    }

    /// The same as lines of JSON (see `output`), which several threads write.
    pub fn code_json(&self, options: &Options, to: &mut dyn Write) -> Result<Summary, RunError> {
        self.run(options, &mut AsJson { to, threads: options.threads(), buffers: vec![] })
    }

    fn run(&self, options: &Options, taker: &mut dyn Taker) -> Result<Summary, RunError> {
        // A run that was stopped gives up in many ways; whichever it was, this is the reason.
        self.run_on(options, taker).map_err(|error| if options.watch.stopped() { RunError::Stopped } else { error })
    }

    fn run_on(&self, options: &Options, taker: &mut dyn Taker) -> Result<Summary, RunError> {
        let mut summary = Summary {
            shallow: self.layout.shallow.clone(),
            store_faults: self.odb.faults.clone(),
            partial_clone: self.layout.partial,
            ..Summary::default()
        };
        let tips = self.tips(options, &mut summary)?;
        let mut reader = Reader::new(&self.odb, &self.layout).watched(&options.watch);
        let mut before = self.before(options, &mut reader, &mut summary)?;
        let mut known: HashSet<Oid> = before.commits.iter().copied().collect();
        let mut commits = reader.walk(&tips, &|oid| known.contains(oid), !known.is_empty())?;
        let kept: HashSet<Oid> = before.tips.iter().map(|(oid, _)| *oid).collect();
        if self.is_foreign(&before, &commits) {
            (before, known) = (Checkpoint::default(), HashSet::new());
            summary.checkpoint = CheckpointUse::Unusable("it is another repository's".to_owned());
        }
        if options.blame && builds_on_more(&commits, &|oid| kept.contains(oid)) {
            commits = reader.walk(&tips, &|oid| known.contains(oid), false)?;
            summary.recomputed = commits.list.iter().filter(|commit| commit.known).count() as u64;
            if summary.checkpoint == CheckpointUse::Resumed {
                summary.checkpoint = CheckpointUse::Recomputed;
            }
        }
        summary.abandoned = abandoned(&mut reader, &commits, &known, &kept)?;
        let mut run = CodeRun::new(self, options, commits)?;
        run.give(&mut summary, before, &tips, taker)?;
        Ok(summary)
    }

    /// Whether a checkpoint must be another repository's: the run meets nothing of it, and none of its tips is here.
    fn is_foreign(&self, before: &Checkpoint, commits: &Commits) -> bool {
        !before.tips.is_empty()
            && !commits.list.is_empty()
            && !commits.list.iter().any(|commit| commit.known)
            && !before.tips.iter().any(|(oid, _)| self.odb.has(oid))
    }

    /// What is not to be given out: what a checkpoint knows, and what is reachable from a commit.
    fn before(
        &self,
        options: &Options,
        reader: &mut Reader<'_>,
        summary: &mut Summary,
    ) -> Result<Checkpoint, RunError> {
        let mut before = Checkpoint::default();
        if let Some(folder) = &options.checkpoint {
            (before, summary.checkpoint) = match Checkpoint::load(folder) {
                Ok(Some(found)) if found.hash_len != self.layout.hash_len => {
                    (before, CheckpointUse::Unusable("it names commits in another format".to_owned()))
                }
                Ok(Some(found)) if found.settings != options.settings() => {
                    let what =
                        format!("it was made with other settings: {}; now: {}", found.settings, options.settings());
                    (before, CheckpointUse::Unusable(what))
                }
                Ok(Some(found)) => (found, CheckpointUse::Resumed),
                Ok(None) => (before, CheckpointUse::Absent),
                Err(error @ CheckpointError::Io { .. }) => return Err(error.into()),
                Err(error) => (before, CheckpointUse::Unusable(error.to_string())),
            };
        }
        if let Some(since) = options.since {
            let mut seen: HashSet<Oid> = before.commits.iter().copied().collect();
            let past = reader.walk(&[since], &|_| false, false)?;
            before.commits.extend(past.list.iter().map(|commit| commit.oid).filter(|oid| seen.insert(*oid)));
        }
        if !options.known.is_empty() {
            let mut seen = before.commits.iter().copied().collect();
            before.commits.extend(reader.reach(&options.known, &mut seen));
        }
        Ok(before)
    }

    /// Gives out every file, with its owners, of the trees of these commits: what `git blame` tells one file at a time.
    /// They must be in the scope. Submodules, and files whose owners cannot be known, are left out.
    pub fn files_at(
        &self,
        options: &Options,
        at: &[Oid],
        take: &mut dyn FnMut(Oid, &[u8], Owners<'_>),
    ) -> Result<Summary, RunError> {
        let mut summary = Summary::default();
        let tips = self.tips(options, &mut summary)?;
        let mut reader = Reader::new(&self.odb, &self.layout).watched(&options.watch);
        let commits = reader.walk(&tips, &|_| false, false)?;
        let options = Options { blame: true, count: None, ..options.clone() };
        let mut run = CodeRun::new(self, &options, commits)?;
        let keep: Vec<CommitId> = at.iter().filter_map(|oid| run.commits.by_oid.get(oid).copied()).collect();
        let mut composer = Composer::new(&run.commits, &keep);
        while let Some(window) = run.window()? {
            let lines = |blob: BlobId| window.blobs.lines(blob);
            let known =
                Known { commits: &run.commits, changes: &window.changes, diffs: &window.blobs.diffs, lines: &lines };
            for number in window.range.clone() {
                if options.watch.stopped() {
                    return Err(RunError::Stopped);
                }
                composer.compose(number, known);
            }
        }
        for number in keep {
            let commit = run.commits.list[number as usize].oid;
            for (path, owners) in composer.state(number).map(|state| state.iter()).unwrap_or_default() {
                if let Some(runs) = owners {
                    take(commit, &run.trees.path(path), Owners { runs, commits: &run.owners });
                }
            }
        }
        Ok(summary)
    }

    /// The commits that a run begins with.
    pub(crate) fn tips(&self, options: &Options, summary: &mut Summary) -> Result<Vec<Oid>, RunError> {
        let refs = self.layout.refs();
        let head = match self.layout.head(&refs) {
            Head::Branch(_, oid) => oid,
            Head::Detached(oid) => Some(oid),
            Head::Unknown => return Err(RunError::NoHead),
        };
        let mut wanted: Vec<Oid> = match &options.scope {
            Scope::Head => head.into_iter().collect(),
            Scope::AllBranches => {
                let branches = refs.iter().filter(|(name, _)| name.starts_with(b"refs/heads/"));
                head.into_iter().chain(branches.map(|(_, oid)| *oid)).collect()
            }
            Scope::Commits(list) => list.clone(),
        };
        for oid in &options.pull_requests {
            if self.odb.has(oid) { wanted.push(*oid) } else { summary.unknown_heads.push(*oid) }
        }
        let mut inflater = Inflater::new();
        let mut seen = BTreeSet::new();
        let mut tips = vec![];
        for oid in wanted {
            if let Some(tip) = walk::peel(&self.odb, oid, &mut inflater)?
                && seen.insert(tip)
            {
                tips.push(tip);
            }
        }
        Ok(tips)
    }
}

/// A run over the history, window by window. What is here is kept from one window to the next.
struct CodeRun<'a> {
    repository: &'a Repository,
    options: &'a Options,
    commits: Commits,
    owners: Vec<Oid>,
    trees: Trees,
    forest: Forest,
    memory: Memory,
    paths: Vec<Option<Arc<[u8]>>>,
    /// The first commit that has not been read.
    next: CommitId,
    /// Commits of a window.
    width: CommitId,
}

/// What is known of a window's commits before their records are given out.
struct Window {
    range: Range<CommitId>,
    changes: Changes,
    blobs: Blobs,
}

impl<'a> CodeRun<'a> {
    fn new(repository: &'a Repository, options: &'a Options, commits: Commits) -> Result<Self, RunError> {
        let memory = Memory::new(options.memory_max);
        if commits.list.len() > memory.commits() {
            return Err(RunError::TooManyCommits { most: memory.commits() });
        }
        let owners = commits.list.iter().map(|commit| commit.oid).collect();
        let width = commits.list.len() as CommitId;
        Ok(Self {
            repository,
            options,
            commits,
            owners,
            trees: Trees::new(memory.paths()),
            forest: Forest::watched(&options.watch, memory),
            memory,
            paths: vec![],
            next: 0,
            width,
        })
    }

    /// Reads the next window, with as many commits as fit into memory together. None at the end.
    fn window(&mut self) -> Result<Option<Window>, RunError> {
        let end = self.commits.list.len() as CommitId;
        while self.next < end {
            let range = self.next..self.next.saturating_add(self.width).min(end);
            let single = range.len() == 1;
            let share = Share::new(if single { self.memory.commit() } else { self.memory.window() });
            if let Some(window) = self.read(range.clone(), &share)? {
                self.next = range.end;
                return Ok(Some(window));
            }
            if single {
                return Err(RunError::TooMuchInCommit(self.commits.list[range.start as usize].oid));
            }
            self.width = (range.len() / 2) as CommitId;
        }
        Ok(None)
    }

    /// Reads a window. None if it doesn't fit into its share of memory.
    fn read(&mut self, range: Range<CommitId>, share: &Share) -> Result<Option<Window>, RunError> {
        let (options, odb) = (self.options, &self.repository.odb);
        let hash_len = self.repository.layout.hash_len;
        let threads = options.threads();
        options.watch.begin(Phase::Trees, 0);
        let list = &self.commits.list;
        let inside = &list[range.start as usize..range.end as usize];
        let computed = inside.iter().filter(|commit| !commit.edge);
        let parents = computed.flat_map(|commit| &commit.parents).filter(|parent| !range.contains(parent));
        let roots: Vec<ObjId> =
            inside.iter().chain(parents.map(|parent| &list[*parent as usize])).map(|commit| commit.tree).collect();
        self.trees.load(odb, &mut self.forest, &roots, (hash_len, threads), share)?;
        if share.is_full() {
            return Ok(None);
        }
        let mut input = changes::Input {
            odb,
            forest: &mut self.forest,
            commits: &self.commits,
            trees: &mut self.trees,
            range: range.clone(),
            share,
            threads,
            rename_limit: options.rename_limit,
            blame: options.blame,
            watch: &options.watch,
        };
        let changes = changes::plan(&mut input)?;
        if share.is_full() {
            return Ok(None);
        }
        self.trees.clear();
        let counted = self.counted(&changes);
        let mut order: Vec<BlobId> = (0..changes.blobs.len() as BlobId).collect();
        order.sort_by_key(|blob| changes.blob_paths[*blob as usize]);
        let wanted = blobs::Wanted {
            blobs: &changes.blobs,
            order,
            pairs: &changes.pairs,
            share,
            threads,
            counted: &counted,
            count: options.count.as_ref().filter(|_| options.blame),
        };
        options.watch.begin(Phase::Contents, 0);
        let blobs = blobs::read(odb, &mut self.forest, &wanted);
        if options.watch.stopped() {
            return Err(RunError::Stopped);
        }
        Ok((!share.is_full()).then_some(Window { range, changes, blobs }))
    }

    /// Under which paths each content is to be counted.
    fn counted(&mut self, changes: &Changes) -> Vec<(BlobId, PathId, Arc<[u8]>)> {
        if self.options.count.is_none() || !self.options.blame {
            return vec![];
        }
        self.paths.resize(self.trees.path_count(), None);
        let mut counted = vec![];
        let listed = changes.all().filter(|(number, _)| !self.commits.list[*number as usize].known);
        for step in listed.flat_map(|(_, steps)| steps) {
            if let Some(blob) = step.blob {
                let path = self.paths[step.path as usize].get_or_insert_with(|| self.trees.path(step.path).into());
                counted.push((blob, step.path, Arc::clone(path)));
            }
        }
        counted.sort_unstable_by_key(|(blob, path, _)| (*blob, *path));
        counted.dedup_by_key(|(blob, path, _)| (*blob, *path));
        counted
    }

    /// Puts the files of a checkpoint's tips where the run can use them. Commits of the checkpoint get numbers behind
    /// the run's own.
    fn states(&mut self, before: &Checkpoint) -> Result<Vec<(CommitId, State)>, TreeError> {
        let edges: Vec<(CommitId, &Files)> = before
            .tips
            .iter()
            .filter_map(|(oid, files)| Some((*self.commits.by_oid.get(oid)?, files)))
            .filter(|(number, _)| self.commits.list[*number as usize].edge)
            .collect();
        if edges.is_empty() {
            return Ok(vec![]);
        }
        let shift = self.owners.len() as u32;
        self.owners.extend_from_slice(&before.commits);
        let paths: Vec<PathId> =
            before.paths.iter().map(|path| self.trees.path_number(path)).collect::<Result<_, _>>()?;
        let lists: Vec<Option<Arc<[Run]>>> = before
            .owners
            .iter()
            .map(|runs| Some(runs.as_ref()?.iter().map(|run| Run { owner: run.owner + shift, ..*run }).collect()))
            .collect();
        // Each tip is the first one with differences, and shares with it whatever is the same.
        let change = |state: &mut State, files: &Files| {
            for (path, list) in files {
                state.set(paths[*path as usize], list.map(|list| lists[list as usize].clone()));
            }
        };
        let first = &before.tips[0].1;
        let mut common = State::default();
        change(&mut common, first);
        let state = |files: &Files| {
            let mut state = common.clone();
            if !std::ptr::eq(files, first) {
                change(&mut state, files);
            }
            state
        };
        Ok(edges.into_iter().map(|(number, files)| (number, state(files))).collect())
    }

    fn give(
        &mut self,
        summary: &mut Summary,
        before: Checkpoint,
        tips: &[Oid],
        taker: &mut dyn Taker,
    ) -> Result<(), RunError> {
        let options = self.options;
        let tip_numbers: Vec<CommitId> = tips.iter().filter_map(|oid| self.commits.by_oid.get(oid).copied()).collect();
        let keep: &[CommitId] = if options.checkpoint.is_some() { &tip_numbers } else { &[] };
        let mut composer = Composer::new(&self.commits, keep);
        let states = self.states(&before)?;
        states.into_iter().for_each(|(number, state)| composer.begin(number, state));
        let mut faulty = HashSet::new();
        while let Some(window) = self.window()? {
            summary.tell(&window, options, &mut faulty)?;
            options.watch.begin_at(Phase::Records, window.range.start as usize, self.commits.list.len());
            let view = View {
                commits: &self.commits,
                changes: &window.changes,
                blobs: &window.blobs,
                owners: &self.owners,
                blame: options.blame,
            };
            self.paths.resize(self.trees.path_count(), None);
            let (trees, paths) = (&self.trees, &mut self.paths);
            let mut path_of = |path: PathId| -> Arc<[u8]> {
                Arc::clone(paths[path as usize].get_or_insert_with(|| trees.path(path).into()))
            };
            let mut range = window.range.clone();
            let mut next = || -> Result<Option<Vec<Bundle>>, RunError> {
                let (mut batch, mut cost) = (vec![], 0);
                for number in range.by_ref() {
                    if options.watch.stopped() {
                        return Err(RunError::Stopped);
                    }
                    options.watch.add(1);
                    if let Some(bundle) = bundle(number, &view, &mut composer, summary, &mut path_of) {
                        cost += bundle.cost();
                        batch.push(bundle);
                    }
                    if cost > BATCH_COST {
                        break;
                    }
                }
                Ok((!batch.is_empty()).then_some(batch))
            };
            taker.take(&view, &mut next)?;
        }
        if let Some(folder) = &options.checkpoint {
            summary.next = Some(self.next_checkpoint(folder, before, &tip_numbers, &composer));
        }
        Ok(())
    }

    fn next_checkpoint(
        &self,
        folder: &Path,
        before: Checkpoint,
        tips: &[CommitId],
        composer: &Composer,
    ) -> NextCheckpoint {
        let list = &self.commits.list;
        let mut seen: HashSet<Oid> = before.commits.iter().copied().collect();
        let mut given = before.commits;
        given.extend(list.iter().map(|commit| commit.oid).filter(|oid| seen.insert(*oid)));
        // Without owners, only the tips' names are kept.
        let state = |number: CommitId| {
            if self.options.blame { composer.state(number).cloned() } else { Some(State::default()) }
        };
        let (numbers, states): (Vec<CommitId>, Vec<State>) =
            tips.iter().filter_map(|number| Some((*number, state(*number)?))).unzip();
        let states = State::leveled(states);
        let parts = Parts {
            hash_len: self.repository.layout.hash_len,
            settings: &self.options.settings(),
            commits: &given,
            owners: &self.owners,
            tips: numbers.iter().map(|number| list[*number as usize].oid).zip(&states).collect(),
            path: &|path| self.trees.path(path),
        };
        NextCheckpoint::new(folder, &parts)
    }
}

impl Summary {
    /// Adds what a window's contents are like. An error if the run is to end because of that. `faulty` are contents of
    /// which it was told before.
    fn tell(&mut self, window: &Window, options: &Options, faulty: &mut HashSet<ObjId>) -> Result<(), RunError> {
        self.windows += 1;
        self.renames_limited += window.changes.unsketched;
        for skip in window.blobs.facts.values().filter_map(|facts| facts.facts.skipped.as_ref()) {
            *self.skipped.entry(skip.kind()).or_default() += 1;
        }
        let faults = window.blobs.list.iter().filter_map(|blob| blob.fault.as_deref());
        let lost =
            |fault: &&ObjectError| !matches!(fault, ObjectError::TooLarge { .. } | ObjectError::TooManyLines { .. });
        if let Some(fault) = { faults }.find(lost).filter(|_| options.complete) {
            return Err(fault.clone().into());
        }
        let faults = window
            .changes
            .blobs
            .iter()
            .zip(&window.blobs.list)
            .filter_map(|(id, blob)| Some((*id, blob.fault.as_deref()?)));
        self.unreadable.extend(faults.filter(|(id, _)| faulty.insert(*id)).map(|(_, fault)| fault.clone()));
        Ok(())
    }
}

/// What a commit's records are put together of. None if it is not to be given out.
fn bundle(
    number: CommitId,
    view: &View<'_>,
    composer: &mut Composer,
    summary: &mut Summary,
    path_of: &mut dyn FnMut(PathId) -> Arc<[u8]>,
) -> Option<Bundle> {
    let commit = &view.commits.list[number as usize];
    if commit.edge {
        return None;
    }
    let lines = |blob: BlobId| view.blobs.lines(blob);
    let known = Known { commits: view.commits, changes: view.changes, diffs: &view.blobs.diffs, lines: &lines };
    let found = if view.blame { composer.compose(number, known) } else { vec![] };
    if commit.known {
        return None;
    }
    let steps = view.changes.steps(number);
    summary.commits += 1;
    if view.blame {
        summary.files += steps.len() as u64;
    }
    Some(Bundle {
        commit: number,
        ordinal: summary.commits,
        files: steps.iter().map(|step| file(step, view.changes, view.blobs, path_of)).collect(),
        runs: (0..steps.len()).map(|at| found.get(at).cloned().flatten().flatten()).collect(),
    })
}

/// Whether a commit to be computed has a parent at the edge whose owners nobody has kept.
fn builds_on_more(commits: &Commits, kept: &dyn Fn(&Oid) -> bool) -> bool {
    let parents = commits.list.iter().filter(|commit| !commit.edge).flat_map(|commit| &commit.parents);
    parents.map(|parent| &commits.list[*parent as usize]).any(|parent| parent.edge && !kept(&parent.oid))
}

/// Tips of the run before that are not reachable any more. The history behind the edge is read only if some tip was not
/// met at the edge, as where a branch was merged and deleted.
fn abandoned(
    reader: &mut Reader<'_>,
    commits: &Commits,
    known: &HashSet<Oid>,
    tips: &HashSet<Oid>,
) -> Result<Vec<Oid>, WalkError> {
    let mut missing: BTreeSet<Oid> = tips.iter().copied().filter(|oid| !commits.by_oid.contains_key(oid)).collect();
    let mut open: Vec<Oid> = commits.list.iter().filter(|commit| commit.edge).map(|commit| commit.oid).collect();
    let mut seen: HashMap<Oid, ()> = HashMap::new();
    while let (Some(oid), false) = (open.pop(), missing.is_empty()) {
        missing.remove(&oid);
        if seen.insert(oid, ()).is_none() && known.contains(&oid) {
            open.extend(reader.read(oid, None)?.parent_oids);
        }
    }
    Ok(missing.into_iter().collect())
}

/// A commit's records before they are put together.
struct Bundle {
    commit: CommitId,
    ordinal: u64,
    files: Vec<FileRecord>,
    /// Owners of each file, if they are known.
    runs: Vec<Option<Arc<[Run]>>>,
}

/// What is put together before it is given out: bytes of JSON, roughly. Enough that a thread for it pays.
const BATCH_COST: usize = 1 << 20;

impl Bundle {
    fn cost(&self) -> usize {
        let runs: usize = self.runs.iter().flatten().map(|runs| runs.len()).sum();
        400 + self.files.len() * 400 + runs * 80
    }
}

/// What records are made of besides bundles.
struct View<'a> {
    commits: &'a Commits,
    changes: &'a Changes,
    blobs: &'a Blobs,
    owners: &'a [Oid],
    blame: bool,
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
type Next<'a> = dyn FnMut() -> Result<Option<Vec<Bundle>>, RunError> + 'a;

/// Takes bundles in order.
trait Taker {
    fn take(&mut self, view: &View<'_>, next: &mut Next<'_>) -> Result<(), RunError>;
}

struct OneByOne<'a, 'b> {
    take: &'a mut Take<'b>,
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

struct AsJson<'a> {
    to: &'a mut dyn Write,
    threads: usize,
    /// Used again.
    buffers: Vec<Vec<u8>>,
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

fn file(step: &Step, changes: &Changes, blobs: &Blobs, path_of: &mut dyn FnMut(PathId) -> Arc<[u8]>) -> FileRecord {
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

//! One run over a history: who is asked what, in which order, and what is given out. The work is done by the modules
//! below it.

use crate::Repository;
use crate::blame::{Composer, State};
use crate::blobs::{self, Blobs};
use crate::changes::{self, BlobId, Changes, Stat, Step};
use crate::checkpoint::{Checkpoint, CheckpointError, Files, NextCheckpoint, Parts};
use crate::count;
use crate::lines::Lines;
use crate::objects::forest::Forest;
use crate::objects::{Inflater, ObjId, ObjectError, Oid};
use crate::record::{BlameRecord, Classes, CommitRecord, FileRecord, Owners, Record, Run, Status};
use crate::refs::Head;
use crate::trees::{PathId, TreeError, Trees};
use crate::walk::{self, Commit, CommitId, Commits, Reader, WalkError};
use crate::watch::{Phase, Watch};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// Memory that a run may use unless told otherwise: 1 GB.
pub const MEMORY_MAX_DEFAULT: u64 = 1_000_000_000;
/// Renames are looked for among up to this many new and as many vanished files of a commit.
pub const RENAME_LIMIT_DEFAULT: usize = 10_000;
/// What a path costs in memory, in bytes, all tables together.
const PATH_COST: u64 = 160;

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
    /// Bytes that the run tries not to exceed.
    pub memory_max: u64,
    /// Threads; zero for as many as there are processors.
    pub threads: usize,
    pub rename_limit: usize,
    /// Give out only what is not reachable from this commit. Owners need the whole history all the same.
    pub since: Option<Oid>,
    /// Give out only what is not reachable from these commits, which an earlier run gave out. Those that the repository no
    /// longer has are passed over.
    pub known: Vec<Oid>,
    /// End at a content that is missing or damaged, before anything is given out. Without, its files come without owners,
    /// and the summary tells; as it does in any case for one that is too large.
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
    /// Contents that were not counted, under each path once, by the kind of reason.
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
        let mut run = CodeRun::prepare(self, options, commits)?;
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
        let run = CodeRun::prepare(self, &options, commits)?;
        let keep: Vec<CommitId> = at.iter().filter_map(|oid| run.commits.by_oid.get(oid).copied()).collect();
        let lines = run.line_counts();
        let mut composer =
            Composer::new(&run.commits, &run.changes, &run.blobs.diffs, &lines, run.trees.path_count(), &keep);
        for number in 0..run.commits.list.len() as CommitId {
            if options.watch.stopped() {
                return Err(RunError::Stopped);
            }
            composer.compose(number);
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

/// Everything that is known before the first record is given out.
struct CodeRun<'a> {
    options: &'a Options,
    commits: Commits,
    owners: Vec<Oid>,
    trees: Trees,
    changes: Changes,
    blobs: Blobs,
    paths: Vec<Option<Arc<[u8]>>>,
    /// Bytes of a commit's name.
    hash_len: usize,
}

impl<'a> CodeRun<'a> {
    fn prepare(repository: &Repository, options: &'a Options, commits: Commits) -> Result<Self, RunError> {
        let odb = &repository.odb;
        let threads = options.threads();
        let mut forest = Forest::watched(&options.watch);
        options.watch.begin(Phase::Trees, 0);
        let roots: Vec<ObjId> = commits.list.iter().map(|commit| commit.tree).collect();
        let paths_max = usize::try_from(options.memory_max / PATH_COST).unwrap_or(usize::MAX);
        let mut trees = Trees::read(odb, &mut forest, &roots, repository.layout.hash_len, threads, paths_max)?;
        let mut input = changes::Input {
            odb,
            forest: &mut forest,
            commits: &commits,
            trees: &mut trees,
            threads,
            rename_limit: options.rename_limit,
            blame: options.blame,
            watch: &options.watch,
        };
        let changes = changes::plan(&mut input)?;
        let mut order: Vec<BlobId> = (0..changes.blobs.len() as BlobId).collect();
        order.sort_by_key(|blob| changes.blob_paths[*blob as usize]);
        let wanted = blobs::Wanted {
            blobs: &changes.blobs,
            order,
            pairs: &changes.pairs,
            bytes_max: usize::try_from(options.memory_max / 8).unwrap_or(usize::MAX),
            threads,
            counted: &[],
            count: options.count.as_ref().filter(|_| options.blame),
        };
        let mut paths: Vec<Option<Arc<[u8]>>> = vec![None; trees.path_count()];
        let mut counted = vec![];
        if options.count.is_some() && options.blame {
            let listed = changes.steps.iter().zip(&commits.list).filter(|(_, commit)| !commit.known);
            for step in listed.flat_map(|(steps, _)| steps.iter()) {
                if let Some(blob) = step.blob {
                    let path = paths[step.path as usize].get_or_insert_with(|| trees.path(step.path).into());
                    counted.push((blob, step.path, Arc::clone(path)));
                }
            }
            counted.sort_unstable_by_key(|(blob, path, _)| (*blob, *path));
            counted.dedup_by_key(|(blob, path, _)| (*blob, *path));
        }
        let wanted = blobs::Wanted { counted: &counted, ..wanted };
        let lines = Lines::new();
        options.watch.begin(Phase::Contents, 0);
        let blobs = blobs::read(odb, &mut forest, &lines, &wanted);
        if options.watch.stopped() {
            return Err(RunError::Stopped);
        }
        let owners = commits.list.iter().map(|commit| commit.oid).collect();
        Ok(Self { options, commits, owners, trees, changes, blobs, paths, hash_len: repository.layout.hash_len })
    }

    fn line_counts(&self) -> impl Fn(BlobId) -> Option<u32> {
        |blob| self.blobs.lines(blob)
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
        self.paths.resize(self.trees.path_count(), None);
        // Each tip is the first one with differences, and shares with it whatever is the same.
        let change = |state: &mut State, files: &Files| {
            for (path, list) in files {
                state.set(paths[*path as usize], list.map(|list| lists[list as usize].clone()));
            }
        };
        let first = &before.tips[0].1;
        let mut common = State::new(self.trees.path_count());
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
        let states = self.states(&before)?;
        let Self { options, commits, owners, trees, changes, blobs, paths, hash_len } = self;
        let mut path_of = |path: PathId| -> Arc<[u8]> {
            Arc::clone(paths[path as usize].get_or_insert_with(|| trees.path(path).into()))
        };
        summary.unreadable = blobs.list.iter().filter_map(|blob| blob.fault.as_deref().cloned()).collect();
        for skip in blobs.facts.values().filter_map(|facts| facts.facts.skipped.as_ref()) {
            *summary.skipped.entry(skip.kind()).or_default() += 1;
        }
        let lost = |fault: &&ObjectError| !matches!(fault, ObjectError::TooLarge { .. });
        if let Some(fault) = summary.unreadable.iter().find(lost).filter(|_| options.complete) {
            return Err(fault.clone().into());
        }
        let lines = |blob: BlobId| blobs.lines(blob);
        let tip_numbers: Vec<CommitId> = tips.iter().filter_map(|oid| commits.by_oid.get(oid).copied()).collect();
        let keep: &[CommitId] = if options.checkpoint.is_some() { &tip_numbers } else { &[] };
        let mut composer = Composer::new(commits, changes, &blobs.diffs, &lines, trees.path_count(), keep);
        states.into_iter().for_each(|(number, state)| composer.begin(number, state));
        let view = View { commits, changes, blobs, owners, blame: options.blame };
        let (mut batch, mut cost) = (vec![], 0);
        options.watch.begin(Phase::Records, commits.list.len());
        for number in 0..commits.list.len() as CommitId {
            if options.watch.stopped() {
                return Err(RunError::Stopped);
            }
            options.watch.add(1);
            let commit = &commits.list[number as usize];
            if commit.edge {
                continue;
            }
            let found = if options.blame { composer.compose(number) } else { vec![] };
            if commit.known {
                continue;
            }
            let steps = &changes.steps[number as usize];
            let listed = || steps.iter().enumerate();
            summary.commits += 1;
            let bundle = Bundle {
                commit: number,
                ordinal: summary.commits,
                files: listed().map(|(_, step)| file(step, changes, blobs, &mut path_of)).collect(),
                runs: listed().map(|(at, _)| found.get(at).cloned().flatten().flatten()).collect(),
            };
            if options.blame {
                summary.files += bundle.files.len() as u64;
            }
            cost += bundle.cost();
            batch.push(bundle);
            if cost > BATCH_COST {
                taker.take(&view, &batch).map_err(RunError::Taken)?;
                batch.clear();
                cost = 0;
            }
        }
        taker.take(&view, &batch).map_err(RunError::Taken)?;
        if let Some(folder) = &options.checkpoint {
            let mut seen: HashSet<Oid> = before.commits.iter().copied().collect();
            let mut given = before.commits;
            given.extend(commits.list.iter().map(|commit| commit.oid).filter(|oid| seen.insert(*oid)));
            // Without owners, only the tips' names are kept.
            let none = State::new(0);
            let state = |number: CommitId| if options.blame { composer.state(number) } else { Some(&none) };
            let parts = Parts {
                hash_len: *hash_len,
                settings: &options.settings(),
                commits: &given,
                owners,
                tips: tip_numbers.iter().map(|number| (commits.list[*number as usize].oid, state(*number))).collect(),
                path: &|path| trees.path(path),
            };
            summary.next = Some(NextCheckpoint::new(folder, &parts));
        }
        Ok(())
    }
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

/// What is put together before it is given out: bytes of JSON, roughly. Enough that threads pay.
const BATCH_COST: usize = 8 << 20;

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
        let steps = self.changes.steps[bundle.commit as usize].iter();
        for ((step, file), runs) in steps.zip(&bundle.files).zip(&bundle.runs) {
            take(Record::Blame(blame_record(commit.oid, step, file, self.blobs, runs.as_deref(), self.owners)))?;
        }
        Ok(())
    }
}

/// Takes bundles in order.
trait Taker {
    fn take(&mut self, view: &View<'_>, batch: &[Bundle]) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

struct OneByOne<'a, 'b> {
    take: &'a mut Take<'b>,
}

impl Taker for OneByOne<'_, '_> {
    fn take(&mut self, view: &View<'_>, batch: &[Bundle]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        batch.iter().try_for_each(|bundle| view.records(bundle, self.take))
    }
}

struct AsJson<'a> {
    to: &'a mut dyn Write,
    threads: usize,
    buffers: Vec<Vec<u8>>,
}

impl Taker for AsJson<'_> {
    fn take(&mut self, view: &View<'_>, batch: &[Bundle]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let total: usize = batch.iter().map(Bundle::cost).sum();
        // Parts of about equal cost, one for each thread, in order.
        let mut parts: Vec<&[Bundle]> = vec![];
        let (mut rest, mut cost) = (0, 0);
        for (at, bundle) in batch.iter().enumerate() {
            cost += bundle.cost();
            if cost * self.threads >= total * (parts.len() + 1) || at + 1 == batch.len() {
                parts.push(&batch[rest..=at]);
                rest = at + 1;
            }
        }
        self.buffers.resize_with(parts.len().max(self.buffers.len()), Vec::new);
        let render = |part: &[Bundle], out: &mut Vec<u8>| {
            out.clear();
            part.iter()
                .try_for_each(|bundle| view.records(bundle, &mut |record| Ok(crate::output::line(&record, out)?)))
        };
        std::thread::scope(|scope| {
            let mut jobs = vec![];
            let mut pairs = parts.iter().zip(&mut self.buffers);
            let first = pairs.next();
            for (part, buffer) in pairs {
                jobs.push(scope.spawn(move || render(part, buffer)));
            }
            let mut result = first.map_or(Ok(()), |(part, buffer)| render(part, buffer));
            for job in jobs {
                // A thread that panicked has said so; its panic goes on here.
                result = result.and(job.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            result
        })?;
        for buffer in &self.buffers[..parts.len()] {
            self.to.write_all(buffer)?;
        }
        Ok(())
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

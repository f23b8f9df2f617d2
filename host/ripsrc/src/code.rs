//! One run over a history: who is asked what, in which order. The history is read in windows, as large as fit into memory;
//! what is kept between them is here. The work is done by the modules below it, and giving out is `give`'s.

use crate::Repository;
use crate::ahead::Ahead;
use crate::blame::{Composer, Known, State};
use crate::blobs::{self, Blobs};
use crate::changes::{self, BlobId, Changes};
use crate::checkpoint::{Checkpoint, CheckpointError, Files, NextCheckpoint, Parts};
use crate::give::{AsJson, BATCH_COST, Bundle, OneByOne, Taker, View, file};
use crate::memory::{Memory, Share};
use crate::objects::forest::Forest;
use crate::objects::{Inflater, ObjId, ObjectError, Oid};
use crate::options::{CheckpointUse, Options, RunError, Scope, Summary, Take};
use crate::record::{Owners, Run};
use crate::refs::Head;
use crate::trees::{PathId, TreeError, Trees};
use crate::walk::{self, CommitId, Commits, Reader, WalkError};
use crate::watch::Phase;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

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
        let mut forest = Forest::watched(&options.watch, Memory::new(options.memory_max));
        let mut commits = match known.is_empty() && options.threads() > 1 {
            true => self.walk_helped(options, &tips, &mut forest)?,
            false => reader.walk(&tips, &|oid| known.contains(oid), !known.is_empty())?,
        };
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
        let mut run = CodeRun::new(self, options, commits, forest)?;
        run.give(&mut summary, before, &tips, taker)?;
        Ok(summary)
    }

    /// Reads the commits of a whole history while a second thread reads ahead.
    fn walk_helped(&self, options: &Options, tips: &[Oid], forest: &mut Forest) -> Result<Commits, WalkError> {
        let ahead = Ahead::new(&self.odb, self.layout.hash_len, forest.memory().commits());
        let mut reader = Reader::new(&self.odb, &self.layout).watched(&options.watch).with(&ahead);
        std::thread::scope(|scope| {
            scope.spawn(|| ahead.run(forest));
            let commits = reader.walk(tips, &|_| false, false);
            ahead.end();
            commits
        })
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
        let forest = Forest::watched(&options.watch, Memory::new(options.memory_max));
        let mut run = CodeRun::new(self, &options, commits, forest)?;
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
    fn new(
        repository: &'a Repository,
        options: &'a Options,
        commits: Commits,
        forest: Forest,
    ) -> Result<Self, RunError> {
        let memory = forest.memory();
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
            forest,
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

//! What each commit changes, and from where each changed file takes its lines: the plan of a window, made of commits and
//! trees before any file is read, except for those that may have been renamed. Reading files is `blobs`', composing
//! owners `blame`'s.

use crate::memory::Share;
use crate::objects::forest::Forest;
use crate::objects::{ObjId, Odb};
use crate::rename::{Sides, SketchWorker, Sketches};
use crate::trees::{Change, File, PathId, TreeError, Trees};
use crate::walk::{CommitId, Commits};
use crate::watch::{Phase, Watch};
use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Number of a file's content.
pub(crate) type BlobId = u32;
/// Number of a pair of contents to compare.
pub(crate) type PairId = u32;

/// Sketches of so many files at once; a batch of commits ends when it needs more.
const SKETCHES_MAX: usize = 40_000;
/// Changed paths of a batch of commits: some ten megabytes.
const BATCH_CHANGES_MAX: usize = 200_000;
/// What a step costs in memory, in bytes: itself, its contents and its pair, tables included.
const STEP_COST: usize = 240;
/// What a path costs that a merge takes over, in bytes.
const TAKEN_COST: usize = 24;

/// Where a file's lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// From nowhere: all lines are the commit's own.
    New,
    /// The file is as a parent has it, perhaps under another path.
    Same { parent: CommitId, path: PathId },
    /// Each line is of the first of these that has it, or else the commit's own.
    Parts(Box<[Part]>),
    /// There is no file any more, or it is a submodule, which has no lines.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub parent: CommitId,
    pub path: PathId,
    pub pair: PairId,
}

/// How a file's numbers of added and removed lines are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stat {
    None,
    Pair(PairId),
    Added(BlobId),
    Removed(BlobId),
    /// A file took a submodule's place, or the other way round.
    FromSubmodule(BlobId),
    ToSubmodule(BlobId),
    /// A submodule counts as one line, which names its commit.
    Fixed {
        added: u32,
        removed: u32,
    },
}

/// What a commit does to one path.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub path: PathId,
    pub old: Option<File>,
    pub new: Option<File>,
    pub blob: Option<BlobId>,
    pub from: Option<PathId>,
    pub to: Option<PathId>,
    pub source: Source,
    pub stat: Stat,
}

/// A path that a merge has as one of its parents has it, but not its first: of these there are many, and nothing is
/// given out of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub path: PathId,
    /// The parent and its path; None if the file is gone.
    pub from: Option<(CommitId, PathId)>,
}

/// The plan.
#[derive(Default)]
pub(crate) struct Changes {
    /// The window's first commit.
    first: CommitId,
    /// What each of its commits does.
    steps: Vec<Box<[Step]>>,
    /// What merges take over, by the commit's number.
    pub taken: HashMap<CommitId, Box<[Taken]>, RandomState>,
    pub blobs: Vec<ObjId>,
    /// A path that has each content, for whoever reads them path by path.
    pub blob_paths: Vec<PathId>,
    pub pairs: Vec<(BlobId, BlobId)>,
    /// Commits whose files were too many or too large for the memory granted to look for renames among those that were
    /// edited as well.
    pub unsketched: u64,
    blob_ids: HashMap<ObjId, BlobId, RandomState>,
    pair_ids: HashMap<(BlobId, BlobId), PairId, RandomState>,
}

/// What a plan is made of.
pub(crate) struct Input<'a> {
    pub odb: &'a Odb,
    pub forest: &'a mut Forest,
    pub commits: &'a Commits,
    pub trees: &'a mut Trees,
    /// The window.
    pub range: Range<CommitId>,
    /// What the window may take of memory.
    pub share: &'a Share,
    pub threads: usize,
    pub rename_limit: usize,
    /// Without, files' lines are only counted.
    pub blame: bool,
    pub watch: &'a Watch,
}

/// What a commit changes, before renames are known.
struct Raw {
    commit: CommitId,
    changes: Vec<Change>,
    /// Of a merge: the file that each further parent has, for each change.
    others: Vec<Vec<Option<File>>>,
    /// What came and went since each parent, where it matters.
    sides: Vec<Sides>,
    /// Files whose sketches are needed to tell renames.
    needed: Vec<ObjId>,
}

/// Makes the plan. If the window's share of memory doesn't suffice, it is full afterwards, and the plan is not whole.
pub(crate) fn plan(input: &mut Input<'_>) -> Result<Changes, TreeError> {
    let range = input.range.clone();
    let mut plan = Changes { first: range.start, ..Changes::default() };
    let mut batch = vec![];
    let mut needed: HashSet<ObjId> = HashSet::new();
    let mut changed = 0;
    input.watch.begin_at(Phase::Changes, range.start as usize, input.commits.list.len());
    for number in range.clone() {
        if input.watch.stopped() {
            return Err(TreeError::Stopped);
        }
        input.watch.add(1);
        if !input.commits.list[number as usize].edge {
            let mut raw = raw(input.trees, input.commits, number)?;
            raw.needed = raw.sides.iter().flat_map(Sides::needed).collect();
            needed.extend(raw.needed.iter().copied());
            changed += raw.changes.len();
            batch.push(raw);
        }
        if needed.len() > SKETCHES_MAX || changed > BATCH_CHANGES_MAX {
            changed = 0;
            plan.finish(input, &mut batch, &mut needed);
            if input.share.is_full() {
                return Ok(plan);
            }
        }
    }
    plan.finish(input, &mut batch, &mut needed);
    if input.watch.stopped() {
        return Err(TreeError::Stopped);
    }
    plan.steps.resize(range.len(), Box::default());
    Ok(plan)
}

/// Compares a commit's tree with its parents'.
fn raw(trees: &mut Trees, commits: &Commits, number: CommitId) -> Result<Raw, TreeError> {
    let commit = &commits.list[number as usize];
    let tree_of = |parent: CommitId| commits.list[parent as usize].tree;
    let mut changes = vec![];
    trees.diff(commit.parents.first().map(|parent| tree_of(*parent)), Some(commit.tree), &mut changes)?;
    let mut raw = Raw { commit: number, changes, others: vec![], sides: vec![], needed: vec![] };
    if commit.parents.is_empty() {
        return Ok(raw);
    }
    let sides_of =
        |trees: &Trees, changes: &[Change]| Sides::new(changes, |path| trees.name(path), |path| trees.path(path));
    if commit.parents.len() == 1 {
        raw.sides.push(sides_of(trees, &raw.changes));
        return Ok(raw);
    }
    let others = &commit.parents[1..];
    let find = |change: &Change| others.iter().map(|parent| trees.find(tree_of(*parent), change.path)).collect();
    raw.others = raw.changes.iter().map(find).collect();
    // Renames matter only where no parent has the file as it is, and some parent doesn't have it at all.
    let open = |raw: &Raw, parent: usize| {
        raw.changes.iter().zip(&raw.others).any(|(change, others)| {
            let mut all = std::iter::once(&change.old).chain(others);
            let lacks = if parent == 0 { change.old.is_none() } else { others[parent - 1].is_none() };
            change.new.is_some_and(|new| !new.is_submodule() && all.all(|old| old.is_none_or(|old| old.id != new.id)))
                && lacks
        })
    };
    for (at, parent) in commit.parents.iter().enumerate() {
        let mut sides = Sides::default();
        if open(&raw, at) {
            if at == 0 {
                sides = sides_of(trees, &raw.changes);
            } else {
                let mut changes = vec![];
                trees.diff(Some(tree_of(*parent)), Some(commit.tree), &mut changes)?;
                sides = sides_of(trees, &changes);
            }
        }
        raw.sides.push(sides);
    }
    Ok(raw)
}

/// Sketches of the files of some commits that may have been renamed. None if they don't fit into memory together.
fn sketches(input: &mut Input<'_>, batch: &[Raw]) -> Option<Sketches> {
    let needed: HashSet<ObjId> = batch.iter().flat_map(|raw| raw.needed.iter().copied()).collect();
    let mut wanted: Vec<ObjId> = needed.into_iter().collect();
    wanted.sort_unstable();
    let mut sketches = Sketches::default();
    if !wanted.is_empty() {
        let share = Share::new(input.forest.memory().sketches());
        let new = |_| SketchWorker { made: vec![], share: &share };
        let mut workers: Vec<SketchWorker<'_>> = (0..input.threads.max(1)).map(new).collect();
        input.forest.walk(input.odb, &wanted, &[&share], &mut workers);
        if share.is_full() {
            return None;
        }
        sketches.extend(workers.into_iter().flat_map(|worker| worker.made));
    }
    Some(sketches)
}

impl Changes {
    /// Finds the renames of a batch of commits, and with them what the commits do.
    fn finish(&mut self, input: &mut Input<'_>, batch: &mut Vec<Raw>, needed: &mut HashSet<ObjId>) {
        needed.clear();
        let mut open = vec![std::mem::take(batch)];
        while let Some(mut some) = open.pop() {
            let sketches = match sketches(input, &some) {
                Some(sketches) => sketches,
                None if some.len() > 1 => {
                    let rest = some.split_off(some.len() / 2);
                    open.extend([rest, some]);
                    continue;
                }
                None => {
                    self.unsketched += 1;
                    Sketches::default()
                }
            };
            for raw in some {
                self.steps.resize((raw.commit - self.first) as usize, Box::default());
                let steps = self.steps_of(input, &raw, &sketches);
                let taken = self.taken.get(&raw.commit).map_or(0, |taken| taken.len());
                input.share.take(steps.len() * STEP_COST + taken * TAKEN_COST);
                self.steps.push(steps);
            }
        }
    }

    /// What a commit does. Nothing is known of commits outside of the window.
    pub fn steps(&self, number: CommitId) -> &[Step] {
        &self.steps[(number - self.first) as usize]
    }

    /// The window's commits and what they do.
    pub fn all(&self) -> impl Iterator<Item = (CommitId, &[Step])> {
        self.steps.iter().enumerate().map(|(at, steps)| (self.first + at as CommitId, &**steps))
    }

    fn steps_of(&mut self, input: &Input<'_>, raw: &Raw, sketches: &Sketches) -> Box<[Step]> {
        let parents = &input.commits.list[raw.commit as usize].parents;
        let merge = parents.len() > 1;
        let (mut from, mut to) = (HashMap::new(), HashMap::new());
        if let Some(sides) = raw.sides.first().filter(|sides| !merge && !sides.is_empty()) {
            for (came, went) in sides.all(sketches, input.rename_limit).into_iter().enumerate() {
                if let Some(went) = went {
                    from.insert(sides.came[came].path, sides.went[went]);
                    to.insert(sides.went[went].path, sides.came[came].path);
                }
            }
        }
        let (mut steps, mut taken) = (vec![], vec![]);
        for (at, change) in raw.changes.iter().enumerate() {
            let others = raw.others.get(at).map_or(&[][..], Vec::as_slice);
            let listed = others.iter().all(|other| *other != change.new);
            let source = match change.new {
                Some(new) if !new.is_submodule() && input.blame => {
                    self.source(raw, parents, change, new, others, sketches)
                }
                _ => Source::Gone,
            };
            if !listed {
                let from = match source {
                    Source::Same { parent, path } => Some((parent, path)),
                    _ => None,
                };
                taken.push(Taken { path: change.path, from });
                continue;
            }
            let mut before = change.old;
            let mut renamed = from.get(&change.path).map(|side| side.path);
            if let Some(side) = from.get(&change.path) {
                before = Some(side.file);
            } else if merge && change.new.is_some() && change.old.is_none() {
                let side = raw.sides.first().and_then(|sides| Some(sides.went[sides.one(change.path, sketches)?]));
                renamed = side.map(|side| side.path);
                before = side.map(|side| side.file);
            }
            let moved = to.get(&change.path).copied();
            let stat = if moved.is_some() { Stat::None } else { self.stat(before, change.new) };
            let blob = change.new.filter(|new| !new.is_submodule()).map(|new| self.blob(new.id, change.path));
            steps.push(Step {
                path: change.path,
                old: change.old,
                new: change.new,
                blob,
                from: renamed,
                to: moved,
                source,
                stat,
            });
        }
        if !taken.is_empty() && input.blame {
            self.taken.insert(raw.commit, taken.into());
        }
        steps.into()
    }

    /// Where a file's lines come from: as `git blame` asks, first whether some parent has the file as it is, then
    /// whether some parent has it under another path, then line by line.
    fn source(
        &mut self,
        raw: &Raw,
        parents: &[CommitId],
        change: &Change,
        new: File,
        others: &[Option<File>],
        sketches: &Sketches,
    ) -> Source {
        let all: Vec<Option<File>> = std::iter::once(change.old).chain(others.iter().copied()).collect();
        let mut origins: Vec<Option<(PathId, File)>> = vec![None; parents.len()];
        for (at, parent) in parents.iter().enumerate() {
            if let Some(old) = all[at].filter(|old| old.kind() == new.kind()) {
                if old.id == new.id {
                    return Source::Same { parent: *parent, path: change.path };
                }
                origins[at] = Some((change.path, old));
            }
        }
        for (at, parent) in parents.iter().enumerate().filter(|(at, _)| all[*at].is_none()) {
            let Some(sides) = raw.sides.get(at) else { continue };
            if let Some(went) = sides.one(change.path, sketches) {
                let went = sides.went[went];
                if went.file.id == new.id {
                    return Source::Same { parent: *parent, path: went.path };
                }
                origins[at] = Some((went.path, went.file));
            }
        }
        let parts: Vec<Part> = origins
            .into_iter()
            .zip(parents)
            .filter_map(|(origin, parent)| {
                let (path, old) = origin?;
                Some(Part { parent: *parent, path, pair: self.pair(old.id, new.id, change.path) })
            })
            .collect();
        if parts.is_empty() { Source::New } else { Source::Parts(parts.into()) }
    }

    fn stat(&mut self, old: Option<File>, new: Option<File>) -> Stat {
        if let (Some(old), Some(new)) = (old, new)
            && old.id == new.id
        {
            return Stat::None;
        }
        let line = |file: Option<File>| u32::from(file.is_some_and(File::is_submodule));
        let blob = |file: Option<File>| file.filter(|file| !file.is_submodule());
        match (blob(old), blob(new)) {
            (Some(old), Some(new)) => Stat::Pair(self.pair(old.id, new.id, 0)),
            (None, Some(new)) if old.is_some() => Stat::FromSubmodule(self.blob(new.id, 0)),
            (None, Some(new)) => Stat::Added(self.blob(new.id, 0)),
            (Some(old), None) if new.is_some() => Stat::ToSubmodule(self.blob(old.id, 0)),
            (Some(old), None) => Stat::Removed(self.blob(old.id, 0)),
            (None, None) => Stat::Fixed { added: line(new), removed: line(old) },
        }
    }

    /// The number of a content.
    pub fn blob(&mut self, id: ObjId, path: PathId) -> BlobId {
        let next = self.blobs.len() as BlobId;
        let blob = *self.blob_ids.entry(id).or_insert(next);
        if blob == next {
            self.blobs.push(id);
            self.blob_paths.push(path);
        } else if self.blob_paths[blob as usize] == 0 {
            self.blob_paths[blob as usize] = path;
        }
        blob
    }

    fn pair(&mut self, old: ObjId, new: ObjId, path: PathId) -> PairId {
        let pair = (self.blob(old, path), self.blob(new, path));
        let next = self.pairs.len() as PairId;
        let number = *self.pair_ids.entry(pair).or_insert(next);
        if number == next {
            self.pairs.push(pair);
        }
        number
    }
}

//! Composing owners: what each commit does to the runs of owners that its parents have, in one pass over the commits,
//! parents first. All differences are known by then (`blobs`), so this is the cheap part.
//!
//! The state of a commit maps paths to owners; it shares with its parents' what it doesn't change, and is let go when
//! all its children have theirs.

use crate::changes::{BlobId, Changes, Part, Source, Step};
use crate::diff::{Diff, Hunk};
use crate::record::Run;
use crate::trees::PathId;
use crate::walk::{CommitId, Commits};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

const WIDTH: usize = 32;
const WIDTH_BITS: u32 = 5;

/// Who owns a file's lines. None where that cannot be known, because a version of the file cannot be read.
pub(crate) type Owners = Option<Arc<[Run]>>;

/// A map from paths to owners that is cheap to copy and to change: a tree of small arrays by the path's number.
#[derive(Clone, Default)]
pub(crate) struct State {
    root: Option<Rc<Node>>,
    levels: u32,
}

// Nodes stand alone behind pointers, and of the small kind there is one for each thirty-two of the large.
#[allow(clippy::large_enum_variant)]
#[derive(Clone)]
enum Node {
    Inner([Option<Rc<Node>>; WIDTH]),
    Leaf([Option<Owners>; WIDTH]),
}

impl State {
    /// Whether a path's number is too large for a map of this height.
    fn is_beyond(&self, path: PathId) -> bool {
        u64::from(path) >> (WIDTH_BITS * (self.levels + 1)) > 0
    }

    /// The same maps, all as high as the highest of them.
    pub fn leveled(states: Vec<Self>) -> Vec<Self> {
        let levels = states.iter().map(|state| state.levels).max().unwrap_or(0);
        let raise = |mut state: Self| {
            while state.levels < levels {
                state.grow();
            }
            state
        };
        states.into_iter().map(raise).collect()
    }

    /// Adds a level above.
    fn grow(&mut self) {
        if let Some(root) = self.root.take() {
            let mut below = std::array::from_fn(|_| None);
            below[0] = Some(root);
            self.root = Some(Rc::new(Node::Inner(below)));
        }
        self.levels += 1;
    }

    pub fn get(&self, path: PathId) -> Option<&Owners> {
        let mut node = self.root.as_deref().filter(|_| !self.is_beyond(path))?;
        let mut level = self.levels;
        loop {
            let at = (path >> (WIDTH_BITS * level)) as usize % WIDTH;
            match node {
                Node::Inner(below) => node = below[at].as_deref()?,
                Node::Leaf(owners) => return owners[at].as_ref(),
            }
            level = level.wrapping_sub(1);
        }
    }

    pub fn set(&mut self, path: PathId, owners: Option<Owners>) {
        let new = |level: u32| {
            Rc::new(if level == 0 {
                Node::Leaf(std::array::from_fn(|_| None))
            } else {
                Node::Inner(std::array::from_fn(|_| None))
            })
        };
        while self.is_beyond(path) {
            self.grow();
        }
        let mut level = self.levels;
        let mut node = self.root.get_or_insert_with(|| new(level));
        loop {
            let at = (path >> (WIDTH_BITS * level)) as usize % WIDTH;
            match Rc::make_mut(node) {
                Node::Inner(below) => {
                    level -= 1;
                    node = below[at].get_or_insert_with(|| new(level));
                }
                Node::Leaf(slots) => {
                    slots[at] = owners;
                    return;
                }
            }
        }
    }

    /// Paths that another map has differently, by path, with what this one has. What the two share isn't looked at.
    /// They must be of one height (`leveled`).
    pub fn differences<'a>(&'a self, other: &'a Self) -> Vec<(PathId, Option<&'a Owners>)> {
        fn same(a: Option<&Rc<Node>>, b: Option<&Rc<Node>>) -> bool {
            match (a, b) {
                (Some(a), Some(b)) => Rc::ptr_eq(a, b),
                (a, b) => a.is_none() && b.is_none(),
            }
        }
        fn same_owners(a: Option<&Owners>, b: Option<&Owners>) -> bool {
            match (a, b) {
                (Some(Some(a)), Some(Some(b))) => Arc::ptr_eq(a, b),
                (Some(None), Some(None)) | (None, None) => true,
                _ => false,
            }
        }
        type Pair<'a> = (Option<&'a Rc<Node>>, Option<&'a Rc<Node>>);
        fn collect<'a>((this, other): Pair<'a>, prefix: u32, out: &mut Vec<(PathId, Option<&'a Owners>)>) {
            if same(this, other) {
                return;
            }
            for at in 0..WIDTH {
                let place = (prefix << WIDTH_BITS) | at as u32;
                let below = |node: Option<&'a Rc<Node>>| match node.map(|node| &**node) {
                    Some(Node::Inner(below)) => below[at].as_ref(),
                    _ => None,
                };
                let owners = |node: Option<&'a Rc<Node>>| match node.map(|node| &**node) {
                    Some(Node::Leaf(slots)) => slots[at].as_ref(),
                    _ => None,
                };
                collect((below(this), below(other)), place, out);
                if !same_owners(owners(this), owners(other)) {
                    out.push((place, owners(this)));
                }
            }
        }
        let mut out = vec![];
        collect((self.root.as_ref(), other.root.as_ref()), 0, &mut out);
        out
    }

    /// All paths and their owners, by path.
    pub fn iter(&self) -> Vec<(PathId, &Owners)> {
        fn collect<'a>(node: &'a Node, prefix: u32, out: &mut Vec<(PathId, &'a Owners)>) {
            match node {
                Node::Inner(below) => {
                    for (at, node) in below.iter().enumerate() {
                        if let Some(node) = node {
                            collect(node, (prefix << WIDTH_BITS) | at as u32, out);
                        }
                    }
                }
                Node::Leaf(slots) => {
                    for (at, owners) in slots.iter().enumerate() {
                        if let Some(owners) = owners {
                            out.push(((prefix << WIDTH_BITS) | at as u32, owners));
                        }
                    }
                }
            }
        }
        let mut out = vec![];
        if let Some(root) = &self.root {
            collect(root, 0, &mut out);
        }
        out
    }
}

/// What is known of a window's commits.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub commits: &'a Commits,
    pub changes: &'a Changes,
    pub diffs: &'a [Option<Diff>],
    /// Lines of each content, None if it cannot be read.
    pub lines: &'a dyn Fn(BlobId) -> Option<u32>,
}

/// The pass over the commits, window by window.
pub(crate) struct Composer {
    states: HashMap<CommitId, State>,
    /// Children of each commit that have not been composed.
    children: Vec<u32>,
    /// Commits whose states are kept to the end.
    keep: Vec<bool>,
}

impl Composer {
    pub fn new(commits: &Commits, keep: &[CommitId]) -> Self {
        let mut children = vec![0; commits.list.len()];
        for parent in commits.list.iter().flat_map(|commit| &commit.parents) {
            children[*parent as usize] += 1;
        }
        let mut kept = vec![false; commits.list.len()];
        keep.iter().for_each(|commit| kept[*commit as usize] = true);
        Self { states: HashMap::new(), children, keep: kept }
    }

    /// Gives a commit that was composed before its state.
    pub fn begin(&mut self, commit: CommitId, state: State) {
        self.states.insert(commit, state);
    }

    pub fn state(&self, commit: CommitId) -> Option<&State> {
        self.states.get(&commit)
    }

    /// Composes a commit and gives the owners of each file that it changed, in the order of its steps.
    pub fn compose(&mut self, number: CommitId, known: Known<'_>) -> Vec<Option<Owners>> {
        let commit = &known.commits.list[number as usize];
        let steps = known.changes.steps(number);
        let owners: Vec<Option<Owners>> = steps.iter().map(|step| self.owners(number, step, known)).collect();
        let taken = known.changes.taken.get(&number).map_or(&[][..], |taken| taken);
        let of =
            |(parent, path): (CommitId, PathId)| self.states.get(&parent).and_then(|state| state.get(path).cloned());
        let taken: Vec<(PathId, Option<Owners>)> =
            taken.iter().map(|taken| (taken.path, taken.from.map(|from| of(from).flatten()))).collect();
        let first = commit.parents.first().copied();
        let mut state = match first {
            // The last child takes its parent's state over, and changes it in place.
            Some(parent) if self.children[parent as usize] == 1 && !self.keep[parent as usize] => {
                self.states.remove(&parent)
            }
            Some(parent) => self.states.get(&parent).cloned(),
            None => None,
        }
        .unwrap_or_default();
        for (step, owners) in steps.iter().zip(&owners) {
            state.set(step.path, owners.clone());
        }
        for (path, owners) in taken {
            state.set(path, owners);
        }
        for parent in &commit.parents {
            let left = &mut self.children[*parent as usize];
            *left -= 1;
            if *left == 0 && !self.keep[*parent as usize] {
                self.states.remove(parent);
            }
        }
        if self.children[number as usize] > 0 || self.keep[number as usize] {
            self.states.insert(number, state);
        }
        owners
    }

    fn owners(&self, number: CommitId, step: &Step, known: Known<'_>) -> Option<Owners> {
        let of = |parent: &CommitId, path: PathId| self.states.get(parent).and_then(|state| state.get(path).cloned());
        match &step.source {
            Source::Gone => None,
            Source::Same { parent, path } => Some(of(parent, *path).flatten()),
            Source::New => {
                let lines = step.blob.and_then(|blob| (known.lines)(blob));
                Some(lines.map(|count| own(number, count)))
            }
            Source::Parts(parts) => {
                let (_, new) = known.changes.pairs[parts[0].pair as usize];
                let Some(lines) = (known.lines)(new) else { return Some(None) };
                let all: Option<Vec<Parent<'_>>> = parts
                    .iter()
                    .map(|Part { parent, path, pair }| {
                        Some((of(parent, *path).flatten()?, known.diffs[*pair as usize].as_ref()?))
                    })
                    .collect();
                Some(all.map(|all| match all.as_slice() {
                    [(old, diff)] => splice(old, &diff.hunks, number, lines),
                    _ => merge(&all, number, lines),
                }))
            }
        }
    }
}

fn own(owner: u32, count: u32) -> Arc<[Run]> {
    if count == 0 { Arc::new([]) } else { Arc::new([Run { count, owner }]) }
}

/// Adds a run, as part of the one before if that has the same owner.
fn push(runs: &mut Vec<Run>, count: u32, owner: u32) {
    match runs.last_mut() {
        _ if count == 0 => {}
        Some(last) if last.owner == owner => last.count += count,
        _ => runs.push(Run { count, owner }),
    }
}

/// Takes runs of owners from the front.
struct Taker<'a> {
    runs: std::slice::Iter<'a, Run>,
    rest: Run,
}

impl<'a> Taker<'a> {
    fn new(runs: &'a [Run]) -> Self {
        Self { runs: runs.iter(), rest: Run { count: 0, owner: 0 } }
    }

    fn take(&mut self, mut count: u32, mut each: impl FnMut(u32, u32)) {
        while count > 0 {
            if self.rest.count == 0 {
                match self.runs.next() {
                    Some(run) => self.rest = *run,
                    None => return,
                }
            }
            let now = self.rest.count.min(count);
            each(now, self.rest.owner);
            self.rest.count -= now;
            count -= now;
        }
    }
}

/// Owners after one difference: lines of hunks belong to the commit, all others to whom they belonged.
fn splice(old: &[Run], hunks: &[Hunk], owner: u32, lines: u32) -> Arc<[Run]> {
    let mut runs = Vec::with_capacity(old.len() + 2 * hunks.len());
    let mut taker = Taker::new(old);
    let (mut at_old, mut at_new) = (0, 0);
    for hunk in hunks {
        taker.take(hunk.old - at_old, |count, owner| push(&mut runs, count, owner));
        taker.take(hunk.removed, |_, _| {});
        push(&mut runs, hunk.added, owner);
        at_old = hunk.old + hunk.removed;
        at_new = hunk.new + hunk.added;
    }
    taker.take(lines.saturating_sub(at_new), |count, owner| push(&mut runs, count, owner));
    runs.into()
}

/// A parent's owners of a file, and how the file differs from there.
type Parent<'a> = (Arc<[Run]>, &'a Diff);

/// Nobody yet.
const NOBODY: u32 = u32::MAX;

/// Owners in a merge: each line belongs to whom it belongs in the first parent that has it, else to the merge.
fn merge(parents: &[Parent<'_>], owner: u32, lines: u32) -> Arc<[Run]> {
    let mut owners = vec![NOBODY; lines as usize];
    for (old, diff) in parents {
        let mut taker = Taker::new(old);
        let (mut at_old, mut at_new) = (0, 0usize);
        let mut keep = |taker: &mut Taker<'_>, at: &mut usize, count: u32| {
            taker.take(count, |count, owner| {
                let end = (*at + count as usize).min(owners.len());
                for slot in owners[*at..end].iter_mut().filter(|slot| **slot == NOBODY) {
                    *slot = owner;
                }
                *at = end;
            });
        };
        for hunk in &diff.hunks {
            keep(&mut taker, &mut at_new, hunk.old - at_old);
            taker.take(hunk.removed, |_, _| {});
            at_old = hunk.old + hunk.removed;
            at_new = ((hunk.new + hunk.added) as usize).min(lines as usize);
        }
        let rest = lines - at_new as u32;
        keep(&mut taker, &mut at_new, rest);
    }
    let mut runs = vec![];
    owners.into_iter().for_each(|found| push(&mut runs, 1, if found == NOBODY { owner } else { found }));
    runs.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(list: &[(u32, u32)]) -> Vec<Run> {
        list.iter().map(|(count, owner)| Run { count: *count, owner: *owner }).collect()
    }

    #[test]
    fn a_hunk_takes_its_lines() {
        let old = runs(&[(3, 1), (4, 2)]);
        let hunks = [Hunk { old: 2, removed: 2, new: 2, added: 1 }, Hunk { old: 7, removed: 0, new: 6, added: 2 }];
        assert_eq!(*splice(&old, &hunks, 9, 8), *runs(&[(2, 1), (1, 9), (3, 2), (2, 9)]));
        assert_eq!(*splice(&old, &[], 9, 7), *old);
    }

    #[test]
    fn a_merge_asks_its_parents_in_order() {
        let hunk =
            |old, removed, new, added| Diff { hunks: Box::new([Hunk { old, removed, new, added }]), ..Diff::default() };
        let first = (Arc::from(runs(&[(4, 1)])), &hunk(1, 1, 1, 2));
        let second = (Arc::from(runs(&[(5, 2)])), &hunk(2, 1, 2, 1));
        assert_eq!(*merge(&[first, second], 9, 5), *runs(&[(1, 1), (1, 2), (1, 9), (2, 1)]));
    }

    #[test]
    fn a_state_keeps_what_it_is_told() {
        let mut state = State::default();
        for path in [0, 31, 32, 1023, 1024, 4999] {
            state.set(path, Some(Some(own(path, 1))));
        }
        let before = state.clone();
        state.set(32, None);
        assert!(state.get(32).is_none() && before.get(32).is_some() && state.get(33).is_none());
        let differences = |a: &State, b: &State| -> Vec<PathId> {
            a.differences(b).into_iter().map(|(path, owners)| path + 10_000 * u32::from(owners.is_none())).collect()
        };
        assert_eq!((differences(&state, &before), differences(&before, &state)), (vec![10_032], vec![32]));
        state.set(1023, Some(None));
        state.set(31, before.get(31).cloned());
        assert_eq!(differences(&state, &before), [10_032, 1023]);
        let empty = State { levels: before.levels, ..State::default() };
        assert_eq!(differences(&before, &empty), [0, 31, 32, 1023, 1024, 4999]);
        let mut taller = before.clone();
        taller.set(40_000, Some(None));
        let both = State::leveled(vec![before.clone(), taller]);
        assert_eq!(differences(&both[1], &both[0]), [40_000]);
        assert!(before.get(40_000).is_none() && both[0].get(4999).is_some());
        let paths: Vec<_> = before.iter().into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, [0, 31, 32, 1023, 1024, 4999]);
    }
}

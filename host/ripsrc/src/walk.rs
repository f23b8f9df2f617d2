//! The commits of a run: found from where it begins, put in order. What they change is `changes`'.

use crate::ahead::Ahead;
use crate::commit::{self, Moment, Parsed, Person};
use crate::objects::pack::Pack;
use crate::objects::{Inflater, Kind, ObjId, ObjectError, Odb, Oid};
use crate::refs::Layout;
use crate::watch::{Phase, Watch};
use foldhash::fast::RandomState;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

/// Number of a commit within a run, in the order in which commits are given out.
pub(crate) type CommitId = u32;
/// Tags may name tags; more than this many is somebody's joke.
const TAG_DEPTH_MAX: usize = 64;
/// After so many commits the packs' pages are let go: each may have touched 64 KiB.
const RELEASE_EVERY: usize = 500;

#[derive(Debug)]
pub(crate) struct Commit {
    pub oid: Oid,
    pub tree: ObjId,
    /// Parents within the run or known from before, in their order.
    pub parents: Vec<CommitId>,
    pub parent_oids: Vec<Oid>,
    pub author: Arc<Person>,
    pub authored: Moment,
    pub committer: Arc<Person>,
    pub committed: Moment,
    pub subject: Box<str>,
    /// Not to be given out: it was given out before.
    pub known: bool,
    /// The walk ended here: it is in the run only because another has it as its parent, and nothing is computed of it.
    pub edge: bool,
}

/// Numbers of commits by their names.
type Places = HashMap<Oid, CommitId, RandomState>;

/// All commits of a run; parents always come before their children.
#[derive(Default)]
pub(crate) struct Commits {
    pub list: Vec<Commit>,
    pub by_oid: Places,
}

/// A commit that cannot be read, and who names it.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    #[error("commit {oid} cannot be read{}", child.map(|child| format!(" (a parent of {child})")).unwrap_or_default())]
    Unreadable { oid: Oid, child: Option<Oid>, source: Box<ObjectError> },
    #[error("{oid} is no commit")]
    NotACommit { oid: Oid },
    #[error("commit {oid} names no tree")]
    NoTree { oid: Oid },
    #[error("commit {oid} names a parent in a way that cannot be read")]
    BadParents { oid: Oid },
    #[error("it was stopped")]
    Stopped,
}

/// Follows tags to a commit. None if it ends at something else.
pub(crate) fn peel(odb: &Odb, oid: Oid, inflater: &mut Inflater) -> Result<Option<Oid>, ObjectError> {
    let mut at = oid;
    for _ in 0..TAG_DEPTH_MAX {
        let (kind, bytes) = odb.read(odb.id(&at), inflater)?;
        match kind {
            Kind::Commit => return Ok(Some(at)),
            Kind::Tag => {
                let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
                match line.strip_prefix(b"object ").and_then(Oid::from_hex) {
                    Some(next) => at = next,
                    None => return Ok(None),
                }
            }
            Kind::Tree | Kind::Blob => return Ok(None),
        }
    }
    Ok(None)
}

/// Reads commits and remembers who is who.
pub(crate) struct Reader<'a> {
    odb: &'a Odb,
    layout: &'a Layout,
    shallow: HashSet<Oid>,
    people: HashSet<Arc<Person>>,
    inflater: Inflater,
    watch: Watch,
    ahead: Option<&'a Ahead<'a>>,
}

impl<'a> Reader<'a> {
    /// A run's reader of commits; with it, a run begins.
    pub fn new(odb: &'a Odb, layout: &'a Layout) -> Self {
        odb.renew_budget();
        let shallow = layout.shallow.iter().copied().collect();
        Self {
            odb,
            layout,
            shallow,
            people: HashSet::new(),
            inflater: Inflater::new(),
            watch: Watch::default(),
            ahead: None,
        }
    }

    /// Tells how far it is, and ends when it is asked to.
    pub fn watched(mut self, watch: &Watch) -> Self {
        self.watch = watch.clone();
        self
    }

    /// Takes what another thread has read.
    pub fn with(mut self, ahead: &'a Ahead<'a>) -> Self {
        self.ahead = Some(ahead);
        self
    }

    /// Everything reachable from `heads` that is not in `seen` already. What is missing is passed over: it can't be met
    /// by a run either.
    pub fn reach(&mut self, heads: &[Oid], seen: &mut HashSet<Oid>) -> Vec<Oid> {
        let (mut open, mut found) = (heads.to_vec(), vec![]);
        while let Some(oid) = open.pop() {
            if self.watch.stopped() {
                break;
            }
            if !seen.contains(&oid)
                && let Ok(commit) = self.read(oid, None)
            {
                seen.insert(oid);
                found.push(oid);
                open.extend(commit.parent_oids);
            }
        }
        found
    }

    /// Reads one commit. The parents of a commit where the history was cut off are left out, and grafts are taken for
    /// parents, as git does.
    pub fn read(&mut self, oid: Oid, child: Option<Oid>) -> Result<Commit, WalkError> {
        let id = self.odb.id(&oid);
        let mut parsed = match self.ahead.and_then(|ahead| ahead.take(id)) {
            Some(parsed) => parsed,
            None => self.parsed(id, oid, child)?,
        };
        if self.shallow.contains(&oid) {
            parsed.parents.clear();
        } else if let Some(parents) = self.layout.grafts.get(&oid) {
            parsed.parents.clone_from(parents);
        } else if parsed.bad_parents {
            return Err(WalkError::BadParents { oid });
        }
        let tree = self.odb.id(&parsed.tree.ok_or(WalkError::NoTree { oid })?);
        Ok(Commit {
            oid,
            tree,
            parents: vec![],
            parent_oids: parsed.parents,
            author: self.person(parsed.author),
            authored: parsed.authored,
            committer: self.person(parsed.committer),
            committed: parsed.committed,
            subject: parsed.subject.into_boxed_str(),
            known: false,
            edge: false,
        })
    }

    fn parsed(&mut self, id: ObjId, oid: Oid, child: Option<Oid>) -> Result<Parsed, WalkError> {
        let read = self.odb.read(id, &mut self.inflater);
        let (kind, bytes) = read.map_err(|source| WalkError::Unreadable { oid, child, source: Box::new(source) })?;
        if kind != Kind::Commit {
            return Err(WalkError::NotACommit { oid });
        }
        Ok(commit::parse(&bytes, self.layout.hash_len))
    }

    fn person(&mut self, person: Person) -> Arc<Person> {
        if let Some(known) = self.people.get(&person) {
            return Arc::clone(known);
        }
        let person = Arc::new(person);
        self.people.insert(Arc::clone(&person));
        person
    }

    /// Reads everything reachable from `tips`, and marks what `known` knows. With `stop`, it doesn't go beyond those:
    /// they are the run's edge.
    pub fn walk(&mut self, tips: &[Oid], known: &dyn Fn(&Oid) -> bool, stop: bool) -> Result<Commits, WalkError> {
        self.watch.begin(Phase::Commits, 0);
        let mut found: Vec<Commit> = vec![];
        let mut place = Places::default();
        let mut open: Vec<(Oid, Option<Oid>)> = tips.iter().rev().map(|tip| (*tip, None)).collect();
        while let Some((oid, child)) = open.pop() {
            if place.contains_key(&oid) {
                continue;
            }
            if self.watch.stopped() {
                return Err(WalkError::Stopped);
            }
            self.watch.add(1);
            if found.len() % RELEASE_EVERY == RELEASE_EVERY - 1 {
                self.odb.packs().iter().for_each(Pack::release);
            }
            let mut commit = self.read(oid, child)?;
            commit.known = known(&oid);
            commit.edge = commit.known && stop;
            place.insert(oid, found.len() as u32);
            if !commit.edge {
                open.extend(commit.parent_oids.iter().rev().map(|parent| (*parent, Some(oid))));
            }
            found.push(commit);
        }
        for commit in found.iter_mut().filter(|commit| !commit.edge) {
            commit.parents = commit.parent_oids.iter().filter_map(|oid| place.get(oid).copied()).collect();
        }
        Ok(in_order(found, tips, &place))
    }
}

/// Puts children behind their parents, otherwise by the committer's date: what `git log --date-order --reverse` does.
/// A chain of parents cannot be a circle, because each commit's name is the hash of what it says; were it forged, the
/// commits of the circle would be left out.
fn in_order(found: Vec<Commit>, tips: &[Oid], place: &Places) -> Commits {
    let mut children = vec![0u32; found.len()];
    for parent in found.iter().flat_map(|commit| &commit.parents) {
        children[*parent as usize] += 1;
    }
    // The youngest first; among equals the one that was added first.
    let mut ready: BinaryHeap<(i64, std::cmp::Reverse<u32>, u32)> = BinaryHeap::new();
    let mut added = 0;
    let mut add = |ready: &mut BinaryHeap<_>, at: u32, commit: &Commit| {
        ready.push((commit.committed.seconds, std::cmp::Reverse(added), at));
        added += 1;
    };
    let mut listed = vec![false; found.len()];
    for at in tips.iter().filter_map(|tip| place.get(tip).copied()) {
        if children[at as usize] == 0 && !std::mem::replace(&mut listed[at as usize], true) {
            add(&mut ready, at, &found[at as usize]);
        }
    }
    let mut order = vec![];
    while let Some((_, _, at)) = ready.pop() {
        order.push(at);
        for &parent in &found[at as usize].parents {
            children[parent as usize] -= 1;
            if children[parent as usize] == 0 {
                add(&mut ready, parent, &found[parent as usize]);
            }
        }
    }
    order.reverse();
    let mut number = vec![0; found.len()];
    for (new, old) in order.iter().enumerate() {
        number[*old as usize] = new as u32;
    }
    let mut slots: Vec<Option<Commit>> = found.into_iter().map(Some).collect();
    let mut commits = Commits::default();
    for old in order {
        if let Some(mut commit) = slots[old as usize].take() {
            commit.parents.iter_mut().for_each(|parent| *parent = number[*parent as usize]);
            commits.by_oid.insert(commit.oid, commits.list.len() as u32);
            commits.list.push(commit);
        }
    }
    commits
}

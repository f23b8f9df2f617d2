//! Branches and pull requests, against the default branch: which commits are their own, where they left it, whether
//! and by which commit they came back. Only commits are read.
//!
//! What the words mean:
//! - The default branch is what HEAD points to; with a detached HEAD, it is that commit under the name `HEAD`. Where
//!   HEAD names a branch without commits there is none: then all commits of a branch are its own.
//! - A branch's own commits are those that the default branch doesn't reach. Of a merged branch they are those that
//!   the default branch would not reach if the branch's head were not there.
//! - It was branched from the commits of the default branch that its own have as parents; where one of those is an
//!   ancestor of another, only the older counts.
//!
//! There may be thousands of branches in a history of a hundred thousand commits, so nothing walks over the whole
//! history for each of them: commits are numbered, parents before children, and what the default branch reaches besides
//! a merged head is known from a cut through the history just above that head.

use crate::Repository;
use crate::objects::{Inflater, Oid};
use crate::options::{Options, RunError, Scope, Summary, Take};
use crate::record::{Branch, Record};
use crate::refs::Head;
use crate::walk::{self, CommitId, Commits, Reader};
use crate::watch::Phase;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};

/// A set of commits.
struct Set(Vec<u64>);

impl Set {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }
    fn has(&self, commit: CommitId) -> bool {
        self.0[commit as usize / 64] & (1 << (commit % 64)) != 0
    }
    fn add(&mut self, commit: CommitId) -> bool {
        let new = !self.has(commit);
        self.0[commit as usize / 64] |= 1 << (commit % 64);
        new
    }
    fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

struct Graph {
    commits: Commits,
    children: Vec<Vec<CommitId>>,
}

impl Graph {
    fn parents(&self, commit: CommitId) -> &[CommitId] {
        &self.commits.list[commit as usize].parents
    }

    fn oid(&self, commit: CommitId) -> Oid {
        self.commits.list[commit as usize].oid
    }

    /// Everything reachable from these commits.
    fn reach(&self, from: &[CommitId]) -> Set {
        let mut set = Set::new(from.iter().max().map_or(0, |most| *most as usize + 1));
        let mut open = from.to_vec();
        while let Some(commit) = open.pop() {
            if set.add(commit) {
                open.extend_from_slice(self.parents(commit));
            }
        }
        set
    }

    /// For each of these commits, which `reached` has: the commits with smaller numbers that are parents of those with
    /// larger ones, itself left out. Whatever is reached without going through it, and is older, is reached from these.
    fn cuts(&self, heads: impl Iterator<Item = CommitId>, reached: &Set) -> HashMap<CommitId, Box<[CommitId]>> {
        let mut heads: Vec<CommitId> = heads.collect();
        heads.sort_unstable();
        let (mut cuts, mut cut) = (HashMap::new(), BTreeSet::new());
        let mut at = self.commits.list.len() as CommitId;
        while let Some(head) = heads.pop() {
            while at > head + 1 {
                at -= 1;
                cut.remove(&at);
                if reached.has(at) {
                    cut.extend(self.parents(at));
                }
            }
            cuts.insert(head, cut.iter().copied().filter(|commit| *commit != head).collect());
        }
        cuts
    }

    /// What is reachable from a head and not from its cut, oldest first; and the parents of those that are not theirs.
    fn own_of_merged(&self, head: CommitId, cut: &[CommitId]) -> (Vec<CommitId>, Vec<CommitId>) {
        let mut outside: HashMap<CommitId, bool> = cut.iter().map(|commit| (*commit, true)).collect();
        let mut open: BinaryHeap<CommitId> = cut.iter().copied().collect();
        let (mut own, mut borders, mut inside) = (vec![], vec![], 1);
        outside.insert(head, false);
        open.push(head);
        // Children have been seen when their parents' turn comes, so what a commit is doesn't change any more.
        while inside > 0 {
            let Some(commit) = open.pop() else { break };
            let is_outside = outside.remove(&commit).unwrap_or(true);
            if !is_outside {
                inside -= 1;
                own.push(commit);
                borders.extend_from_slice(self.parents(commit));
            }
            for parent in self.parents(commit) {
                match outside.get_mut(parent) {
                    None => {
                        outside.insert(*parent, is_outside);
                        inside += usize::from(!is_outside);
                        open.push(*parent);
                    }
                    Some(known) if is_outside && !*known => {
                        *known = true;
                        inside -= 1;
                    }
                    Some(_) => {}
                }
            }
        }
        own.reverse();
        borders.retain(|commit| own.binary_search(commit).is_err());
        (own, borders)
    }

    /// What is reachable from a commit and not in `outside`, oldest first; and those in `outside` that are parents of
    /// those.
    fn own(&self, from: CommitId, outside: &Set) -> (Vec<CommitId>, Vec<CommitId>) {
        let mut seen = HashSet::new();
        let mut open = vec![from];
        while let Some(commit) = open.pop() {
            if !outside.has(commit) && seen.insert(commit) {
                open.extend_from_slice(self.parents(commit));
            }
        }
        let mut own: Vec<CommitId> = seen.into_iter().collect();
        // Numbers follow the order in which commits are given out: parents first, then by date.
        own.sort_unstable();
        let borders =
            own.iter().flat_map(|commit| self.parents(*commit)).copied().filter(|parent| outside.has(*parent));
        let borders = borders.collect();
        (own, borders)
    }
}

impl Repository {
    /// Gives out the default branch, the other branches by name, then the pull requests in their order. The scope of
    /// the options is not looked at.
    pub fn branches(&self, options: &Options, take: &mut Take<'_>) -> Result<Summary, RunError> {
        let mut summary = Summary {
            shallow: self.layout.shallow.clone(),
            store_faults: self.odb.faults.clone(),
            ..Summary::default()
        };
        let refs = self.layout.refs();
        let mut inflater = Inflater::new();
        let (name, head) = match self.layout.head(&refs) {
            Head::Branch(name, oid) => (name.strip_prefix(b"refs/heads/").unwrap_or(&name).to_vec(), oid),
            Head::Detached(oid) => (b"HEAD".to_vec(), Some(oid)),
            Head::Unknown => return Err(RunError::NoHead),
        };
        let mut heads: Vec<(Option<Vec<u8>>, Oid)> = vec![];
        for (full, oid) in &refs {
            let Some(short) = full.strip_prefix(b"refs/heads/").filter(|short| **short != *name) else { continue };
            if let Some(oid) = walk::peel(&self.odb, *oid, &mut inflater)? {
                heads.push((Some(short.to_vec()), oid));
            }
        }
        let mut seen = HashSet::new();
        for oid in options.pull_requests.iter().filter(|oid| seen.insert(**oid)) {
            match self.odb.has(oid).then(|| walk::peel(&self.odb, *oid, &mut inflater)).transpose()?.flatten() {
                Some(oid) => heads.push((None, oid)),
                None => summary.unknown_heads.push(*oid),
            }
        }
        let tips: Vec<Oid> = head.into_iter().chain(heads.iter().map(|(_, oid)| *oid)).collect();
        let scoped = Options { scope: Scope::Commits(tips), pull_requests: vec![], ..options.clone() };
        let tips = self.tips(&scoped, &mut summary)?;
        let commits = Reader::new(&self.odb, &self.layout).watched(&options.watch).walk(&tips, &|_| false, false)?;
        let mut children = vec![vec![]; commits.list.len()];
        for (number, commit) in commits.list.iter().enumerate() {
            commit.parents.iter().for_each(|parent| children[*parent as usize].push(number as CommitId));
        }
        let graph = Graph { commits, children };
        let default = head.and_then(|head| graph.commits.by_oid.get(&head).copied());
        let mut reached = graph.reach(default.as_slice());
        // Heads may have larger numbers than the default branch's.
        reached.0.resize(graph.commits.list.len().div_ceil(64), 0);
        if let Some(default) = default {
            take(Record::Branch(&default_branch(&graph, name, default, &reached))).map_err(RunError::Taken)?;
        }
        let heads: Vec<(Option<Vec<u8>>, CommitId)> =
            heads.into_iter().filter_map(|(name, oid)| Some((name, *graph.commits.by_oid.get(&oid)?))).collect();
        let merged = heads.iter().map(|(_, head)| *head).filter(|head| reached.has(*head) && Some(*head) != default);
        let cuts = graph.cuts(merged, &reached);
        let mut against =
            Against { graph: &graph, default, count: reached.count(), reached, cuts, common: HashMap::new() };
        options.watch.begin(Phase::Records, heads.len());
        for (name, head) in heads {
            if options.watch.stopped() {
                return Err(RunError::Stopped);
            }
            options.watch.add(1);
            take(Record::Branch(&against.branch(name, head))).map_err(RunError::Taken)?;
        }
        Ok(summary)
    }
}

fn id(name: &[u8], from: Option<&Oid>) -> String {
    let mut hash = Sha256::new();
    hash.update(name);
    if let Some(from) = from {
        hash.update(from.to_string());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn default_branch(graph: &Graph, name: Vec<u8>, head: CommitId, reached: &Set) -> Branch {
    let commits: Vec<Oid> = (0..graph.commits.list.len() as CommitId)
        .filter(|commit| reached.has(*commit))
        .map(|commit| graph.oid(commit))
        .collect();
    Branch {
        id: id(&name, None),
        name,
        is_default: true,
        is_pull_request: false,
        is_merged: false,
        head: graph.oid(head),
        merge_commit: None,
        branched_from: vec![],
        first_commit: commits.first().copied(),
        commits,
        behind: 0,
        ahead: 0,
    }
}

/// What branches are held against.
struct Against<'a> {
    graph: &'a Graph,
    default: Option<CommitId>,
    /// What the default branch reaches, and how many those are.
    reached: Set,
    count: u64,
    cuts: HashMap<CommitId, Box<[CommitId]>>,
    /// How many commits are reachable from some that branches left the default branch at: often many left at the same.
    common: HashMap<Vec<CommitId>, u64>,
}

impl Against<'_> {
    /// `name` is None for a pull request.
    fn branch(&mut self, name: Option<Vec<u8>>, head: CommitId) -> Branch {
        let graph = self.graph;
        let is_merged = self.reached.has(head);
        let (own, mut borders) = match self.cuts.get(&head) {
            Some(cut) if Some(head) != self.default => graph.own_of_merged(head, cut),
            _ => graph.own(head, &self.reached),
        };
        borders.sort_unstable();
        borders.dedup();
        let behind = if is_merged || borders.is_empty() {
            0
        } else {
            // Whatever both reach is reached from where the branch left.
            let common = self.common.entry(borders.clone()).or_insert_with(|| graph.reach(&borders).count());
            self.count - *common
        };
        let branched_from = branched_from(graph, borders);
        let merge_commit = is_merged.then(|| merge_commit(graph, head, &self.reached)).flatten();
        let is_pull_request = name.is_none();
        let name = name.unwrap_or_default();
        let oldest = branched_from.iter().min().copied();
        let mut branched_from: Vec<Oid> = branched_from.into_iter().map(|commit| graph.oid(commit)).collect();
        branched_from.sort_unstable();
        Branch {
            id: id(&name, oldest.map(|commit| graph.oid(commit)).as_ref()),
            name,
            is_default: false,
            is_pull_request,
            is_merged,
            head: graph.oid(head),
            merge_commit,
            branched_from,
            first_commit: own.first().map(|commit| graph.oid(*commit)),
            ahead: own.len() as u64,
            commits: own.into_iter().map(|commit| graph.oid(commit)).collect(),
            behind,
        }
    }
}

/// Of the commits that a branch left the default branch at, those on one line the oldest. They come by number.
fn branched_from(graph: &Graph, candidates: Vec<CommitId>) -> Vec<CommitId> {
    let [least, _, ..] = candidates.as_slice() else { return candidates };
    // One pass over what lies between them, parents first: whatever descends from one that is kept is not kept.
    let mut between: HashSet<CommitId> = candidates.iter().copied().collect();
    let mut open = candidates.clone();
    while let Some(commit) = open.pop() {
        let parents = graph.parents(commit).iter().copied();
        open.extend(parents.filter(|parent| parent >= least && between.insert(*parent)));
    }
    let mut between: Vec<CommitId> = between.into_iter().collect();
    between.sort_unstable();
    let (mut kept, mut above) = (vec![], HashSet::new());
    for commit in between {
        if graph.parents(commit).iter().any(|parent| above.contains(parent)) {
            above.insert(commit);
        } else if candidates.binary_search(&commit).is_ok() {
            kept.push(commit);
            above.insert(commit);
        }
    }
    kept
}

/// The first child of the head, by name, that the default branch reaches.
fn merge_commit(graph: &Graph, head: CommitId, reached: &Set) -> Option<Oid> {
    graph.children[head as usize].iter().filter(|child| reached.has(**child)).map(|child| graph.oid(*child)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_old() {
        assert!(id(b"master", None).starts_with("fc613b4d"));
        let from = Oid::from_hex(b"33e223d1fd8393dc98596727d370e51e7b3b7fba").unwrap();
        assert!(id(b"a", Some(&from)).starts_with("f45c6fa7"));
    }
}

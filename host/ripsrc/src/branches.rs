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

use crate::Repository;
use crate::code::{Options, RunError, Scope, Summary, Take};
use crate::objects::{Inflater, Oid};
use crate::record::{Branch, Record};
use crate::refs::Head;
use crate::walk::{self, CommitId, Commits, Reader, WalkError};
use sha2::{Digest, Sha256};
use std::collections::HashSet;

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

    /// Everything reachable from a commit, not going through `without`.
    fn reach(&self, from: CommitId, without: Option<CommitId>) -> Set {
        let mut set = Set::new(self.commits.list.len());
        let mut open = vec![from];
        while let Some(commit) = open.pop() {
            if Some(commit) != without && set.add(commit) {
                open.extend_from_slice(self.parents(commit));
            }
        }
        set
    }

    /// What is reachable from a commit and not in `outside`, oldest first.
    fn own(&self, from: CommitId, outside: &Set) -> Vec<CommitId> {
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
        own
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
        let mut reader = Reader::new(&self.odb, self.layout.hash_len, &self.layout.shallow).stopped_by(options.stop());
        let commits = match reader.walk(&tips, &|_| false, false) {
            Err(WalkError::Stopped) => return Err(RunError::Stopped),
            walked => walked?,
        };
        let mut children = vec![vec![]; commits.list.len()];
        for (number, commit) in commits.list.iter().enumerate() {
            commit.parents.iter().for_each(|parent| children[*parent as usize].push(number as CommitId));
        }
        let graph = Graph { commits, children };
        let default = head.and_then(|head| graph.commits.by_oid.get(&head).copied());
        let reached = default.map_or_else(|| Set::new(graph.commits.list.len()), |head| graph.reach(head, None));
        if let Some(default) = default {
            take(Record::Branch(&default_branch(&graph, name, default, &reached))).map_err(RunError::Taken)?;
        }
        for (name, head) in heads {
            if options.stop().asked() {
                return Err(RunError::Stopped);
            }
            if let Some(&head) = graph.commits.by_oid.get(&head) {
                take(Record::Branch(&branch(&graph, name, head, default, &reached))).map_err(RunError::Taken)?;
            }
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

/// `name` is None for a pull request.
fn branch(graph: &Graph, name: Option<Vec<u8>>, head: CommitId, default: Option<CommitId>, reached: &Set) -> Branch {
    let is_merged = reached.has(head);
    let without;
    let outside = match default.filter(|default| is_merged && head != *default) {
        Some(default) => {
            without = graph.reach(default, Some(head));
            &without
        }
        None => reached,
    };
    let own = graph.own(head, outside);
    let branched_from = branched_from(graph, &own, outside);
    let merge_commit = is_merged.then(|| merge_commit(graph, head, reached)).flatten();
    let is_pull_request = name.is_none();
    let name = name.unwrap_or_default();
    let oldest = branched_from.iter().min().copied();
    let mut branched_from: Vec<Oid> = branched_from.into_iter().map(|commit| graph.oid(commit)).collect();
    branched_from.sort_unstable();
    let behind = if is_merged || branched_from.is_empty() {
        0
    } else {
        let mine = graph.reach(head, None);
        let common: u64 = mine.0.iter().zip(&reached.0).map(|(a, b)| u64::from((a & b).count_ones())).sum();
        reached.count() - common
    };
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

/// The parents of a branch's own commits that are not its own; of those on one line the oldest.
fn branched_from(graph: &Graph, own: &[CommitId], outside: &Set) -> Vec<CommitId> {
    let mut candidates: Vec<CommitId> =
        own.iter().flat_map(|commit| graph.parents(*commit)).copied().filter(|parent| outside.has(*parent)).collect();
    candidates.sort_unstable();
    candidates.dedup();
    if candidates.len() < 2 {
        return candidates;
    }
    let mut kept: Vec<CommitId> = vec![];
    let mut known = HashSet::new();
    // Parents have smaller numbers, so an ancestor is met before what descends from it.
    for candidate in candidates {
        let least = kept.first().copied().unwrap_or(candidate);
        let descends = !kept.is_empty() && reaches_any(graph, candidate, &known, least);
        if !descends {
            kept.push(candidate);
            known.insert(candidate);
        }
    }
    kept
}

/// Whether a commit has one of `targets` among its ancestors; none of them has a number below `least`.
fn reaches_any(graph: &Graph, from: CommitId, targets: &HashSet<CommitId>, least: CommitId) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![from];
    while let Some(commit) = open.pop() {
        if targets.contains(&commit) {
            return true;
        }
        let parents = graph.parents(commit).iter().copied();
        open.extend(parents.filter(|parent| *parent >= least && seen.insert(*parent)));
    }
    false
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

//! What the crate gives out: commits, the owners of files' lines, branches. Turning them into JSON is `output`'s.
//!
//! Paths are bytes, as git keeps them; whoever needs text decides how to replace what is no text.

use crate::blobs::CLASSES;
use crate::commit::{Moment, Person};
use crate::count::FileFacts;
use crate::objects::Oid;
use std::sync::Arc;

/// One thing found. Records of one commit come together: the commit, then its files.
#[derive(Debug)]
pub enum Record<'a> {
    Commit(CommitRecord<'a>),
    Blame(BlameRecord<'a>),
    Branch(&'a Branch),
}

/// A commit and the files that it changed.
#[derive(Debug)]
pub struct CommitRecord<'a> {
    pub sha: Oid,
    pub parents: &'a [Oid],
    /// Place in this run's order, from one.
    pub ordinal: u64,
    /// The first paragraph of the message.
    pub subject: &'a str,
    pub author: &'a Person,
    pub authored: Moment,
    pub committer: &'a Person,
    pub committed: Moment,
    pub files: &'a [FileRecord],
}

/// How a file changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Added,
    Modified,
    Removed,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Modified => "modified",
            Self::Removed => "removed",
        }
    }
}

/// A file that a commit changed. A renamed file is two: the old path was removed, the new one added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRecord {
    pub path: Arc<[u8]>,
    pub status: Status,
    pub renamed_from: Option<Arc<[u8]>>,
    pub renamed_to: Option<Arc<[u8]>>,
    /// Lines, as `git log --numstat -M` counts them; of a merge, since its first parent.
    pub additions: u32,
    pub deletions: u32,
    pub binary: bool,
}

/// A run of lines with one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub count: u32,
    /// Number of the owning commit; see `Owners`.
    pub owner: u32,
}

/// Who owns a file's lines, in order.
#[derive(Clone, Copy, Debug)]
pub struct Owners<'a> {
    pub(crate) runs: &'a [Run],
    pub(crate) commits: &'a [Oid],
}

/// A run of lines as it is given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    pub sha: Oid,
    /// The first line, from one.
    pub start: u32,
    pub count: u32,
}

impl<'a> Owners<'a> {
    /// The runs, which cover all lines in order.
    pub fn iter(&self) -> impl Iterator<Item = Owned> + use<'a> {
        let commits = self.commits;
        let mut start = 1;
        self.runs.iter().map(move |run| {
            let owned = Owned { sha: commits[run.owner as usize], start, count: run.count };
            start += run.count;
            owned
        })
    }
}

/// A file as a commit left it.
#[derive(Debug)]
pub struct BlameRecord<'a> {
    pub commit: Oid,
    pub path: Arc<[u8]>,
    pub status: Status,
    /// Bytes.
    pub size: u64,
    pub lines: u32,
    pub binary: bool,
    /// Why the file was not counted, or why its owners cannot be known; empty otherwise.
    pub skipped: String,
    /// What its content says; None if that cannot be read, or was not asked for. Its own `classes` are empty.
    pub facts: Option<&'a FileFacts>,
    pub owners: Owners<'a>,
    pub classes: Classes<'a>,
}

/// The class of each line of a file: `c` code, `m` comment, `b` blank. None for a file that was not counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Classes<'a> {
    pub(crate) packed: &'a [u8],
    pub(crate) count: usize,
}

impl Classes<'_> {
    /// Appends a letter for each line.
    pub fn write(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.count;
        for byte in self.packed {
            out.extend_from_slice(&[0, 2, 4, 6].map(|bit| CLASSES[(byte >> bit) as usize & 3]));
        }
        out.truncate(end);
    }
}

/// A branch, or a pull request's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Hexadecimal SHA-256 of the name and of the oldest commit that it was branched from.
    pub id: String,
    /// Without `refs/heads/`; empty for a pull request.
    pub name: Vec<u8>,
    pub is_default: bool,
    pub is_pull_request: bool,
    /// The head is reachable from the default branch.
    pub is_merged: bool,
    pub head: Oid,
    /// The first commit of the default branch's history that has the head as a parent.
    pub merge_commit: Option<Oid>,
    /// Commits of the default branch on which this one builds, by name.
    pub branched_from: Vec<Oid>,
    /// Its own commits, oldest first.
    pub commits: Vec<Oid>,
    pub first_commit: Option<Oid>,
    /// Commits of the default branch that this one doesn't have.
    pub behind: u64,
    pub ahead: u64,
}

//! A repository's whole history, line by line: for every commit each changed file with the owner of each of its lines,
//! and the branches. Everything is read from the repository's own files; nothing is fetched, written or run.
//!
//! There is one entry point, [`Repository`]: open it, then ask for [`Repository::code`] or [`Repository::branches`].
//! What is found comes as [`Record`]s, in order. It is synchronous; threads are used inside and end with the call.
//! The judge of owners is `git blame`, of changed files `git log --numstat -M`.
//!
//! # Words
//!
//! - *owner* of a line: the commit that brought it in, as `git blame` tells.
//! - *step*: what a commit does to one path.
//! - *content* or *blob*: a file's bytes at one time; many commits and paths may have the same.
//! - *pair*: two contents that are compared, once, whoever needs it.
//! - *hunk*: lines of the one that became other lines of the other.
//! - *token*: the number of a distinct line.
//! - *delta tree*: how a pack keeps similar objects, each as a difference from another.
//! - *known* commit: one that an earlier run gave out.
//! - *window*: the part of the history that is in memory at a time; all of it, if that fits (`memory`).
//!
//! # The walk of a run
//!
//! `refs` and `objects` open the repository → `walk` reads and orders commits, `ahead` helps → for each window (`code`): `trees` reads
//! its trees, as lists of numbers → `changes` compares them and finds renames (`rename`), which gives the pairs → `blobs`
//! reads each content once along the delta trees (`objects::forest`), cuts it into lines (`lines`) and compares pairs
//! (`diff`), where they meet (`shelf`) → `blame` composes owners, commit by commit → `give` makes records of them.

mod ahead;
mod ask;
mod blame;
mod blobs;
mod branches;
mod changes;
mod checkpoint;
mod code;
mod commit;
pub mod count;
mod diff;
mod fence;
mod give;
mod lines;
mod memory;
mod objects;
mod options;
pub mod output;
mod record;
mod refs;
mod rename;
mod resolve;
mod shelf;
mod trees;
mod validate;
mod walk;
mod watch;

pub use ask::{Heads, Messages};
pub use checkpoint::{CheckpointError, NextCheckpoint, checkpoint_discard, checkpoint_sum};
pub use commit::{Moment, Person};
pub use objects::indexing::{IndexError, index_pack, pack_weight};
pub use objects::{ObjectError, Oid};
pub use options::{CheckpointUse, Options, RunError, Scope, Summary};
pub use record::{BlameRecord, Branch, Classes, CommitRecord, FileRecord, Owned, Owners, Record, Run, Status};
pub use refs::OpenError;
pub use resolve::ResolveError;
pub use trees::TreeError;
pub use validate::{Difference, Report, ValidateError};
pub use walk::WalkError;
pub use watch::{Phase, Progress, Watch};

use fence::Fence;
use objects::Odb;
use refs::Layout;
use std::path::{Path, PathBuf};

/// An opened repository.
pub struct Repository {
    path: PathBuf,
    layout: Layout,
    odb: Odb,
}

impl Repository {
    /// Opens a work tree or a bare repository.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_fenced(path, &Fence::default())
    }

    /// Opens a repository that somebody else may have made. Of it nothing is read that doesn't lie below one of these
    /// folders, wherever its links, its list of repositories to borrow from and its work tree's files point.
    pub fn open_within(path: &Path, folders: &[PathBuf]) -> Result<Self, OpenError> {
        Self::open_fenced(path, &Fence::around(folders))
    }

    fn open_fenced(path: &Path, fence: &Fence) -> Result<Self, OpenError> {
        let layout = Layout::find(path, fence)?;
        let mut odb = Odb::open(&layout.common.join("objects"), layout.hash_len, fence)
            .map_err(|outside| OpenError::Outside { path: path.to_owned(), outside })?;
        odb.replace(&layout.replaced);
        Ok(Self { path: path.to_owned(), layout, odb })
    }

    /// Compares what a run says with what the system's git says, at the tips and at `commits` further commits drawn with
    /// `seed`.
    pub fn validate(&self, options: &Options, commits: usize, seed: u64) -> Result<Report, ValidateError> {
        validate::validate(&self.path, self, options, commits, seed)
    }
}

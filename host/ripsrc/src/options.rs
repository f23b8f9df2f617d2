//! What a run is asked, and what it answers: options, summary, errors.

use crate::checkpoint::{CheckpointError, NextCheckpoint};
use crate::count;
use crate::objects::{ObjectError, Oid};
use crate::record::Record;
use crate::trees::TreeError;
use crate::walk::WalkError;
use crate::watch::Watch;
use std::collections::BTreeMap;
use std::path::PathBuf;

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
    pub(crate) fn settings(&self) -> String {
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

    pub(crate) fn threads(&self) -> usize {
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

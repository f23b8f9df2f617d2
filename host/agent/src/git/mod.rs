//! Git repositories: where they may come from (`url`), how they get here (`transport`, `clone`, `fetch`, `refs`), and
//! the road of one queued repository from first to last (`job`): what is in it tells `ripsrc`, `records` makes records of that, `feed` sends them,
//! `cursor` says how far it got, and `memory` how many are read at a time.
//! Nothing of a repository is ever run: no hooks, no filters, no submodules, no checkout.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::clone::CloneError;
use self::transport::Door;
use self::url::Source;
use crate::config::Grants;
use crate::egress::{Caller, Egress, Policy};
use crate::export::{ExportRun, GitJob, Model};

mod clone;
mod cursor;
mod feed;
mod fetch;
mod job;
mod memory;
mod records;
mod refs;
#[cfg(test)]
mod tests;
mod transport;
mod url;

pub use memory::GitMemory;

/// Bytes of records between a repository's checkpoints: a run that is killed sends again what takes a second or two.
pub const CHECKPOINT_BYTES: usize = 32 << 20;

/// What the git side needs to work off the jobs of one run. It logs as the agent does, through `tracing`.
pub struct GitContext {
    /// The folder of mirror clones.
    pub cache: PathBuf,
    /// The folder of checkpoints, which save work and nothing else.
    pub checkpoints: PathBuf,
    /// [`CHECKPOINT_BYTES`]; tests have less.
    pub checkpoint_bytes: usize,
    /// What all of them may take to read repositories.
    pub memory: Arc<GitMemory>,
    /// `config::Sink::id`: what has been exported belongs to it.
    pub sink: String,
    pub egress: Egress,
    pub policy: Policy,
    pub grants: Grants,
    pub integration: String,
    /// Who the data belongs to (`Config::customer_id`); part of every id.
    pub customer_id: String,
}

/// What became of one repository.
#[derive(Debug, Clone)]
pub struct RepoOutcome {
    pub ref_id: String,
    pub name: String,
    /// Records sent, all models.
    pub records: u64,
    /// Why it failed, for a person; none if it did not.
    pub error: Option<String>,
}

/// The models that the git side exports, for `RunSpec::models` of every run that may queue repositories.
#[must_use]
pub fn models() -> Vec<Model> {
    [records::COMMIT, records::BLAME, records::BRANCH, records::USER, records::PULL_REQUEST_BRANCH]
        .into_iter()
        .map(|name| Model { name: name.to_owned(), key: vec!["/id".to_owned()], dedup: true })
        .collect()
}

/// Works off one job: fetches the repository and exports it in sessions below the session that queued it. Blocking; runs
/// on the pool for that. The job's row is deleted by the commit that ends it. A run that is asked to end leaves the job
/// where its last checkpoint is, without counting a failed try.
pub fn run_job(ctx: &GitContext, run: &Arc<ExportRun>, job: &GitJob, tokio: &tokio::runtime::Handle) -> RepoOutcome {
    job::work_off(ctx, run, job, tokio)
}

/// Brings the mirror clone of a repository up to date and does nothing more: what each job does first, for who measures it.
///
/// # Errors
/// The URL is none of a remote repository, it is not granted, or the repository cannot be fetched; a sentence for a person.
pub fn fetch_mirror(
    cache: &Path,
    egress: &Egress,
    policy: &Policy,
    tokio: &tokio::runtime::Handle,
    url: &str,
) -> Result<PathBuf, String> {
    let Source::Remote(url) = url::judge(url, &[])? else { return Err("it is a folder of this machine".to_owned()) };
    let policy = policy.for_repository(&url).map_err(|fault| fault.to_string())?;
    let door = Door::new(egress.clone(), policy, tokio.clone(), url, None, Caller::default());
    let memory = GitMemory::new(crate::config::GIT_MEMORY_BYTES_DEFAULT, 1);
    match clone::mirror(cache, &door, &HashSet::new(), &memory, &ripsrc::Watch::default()) {
        Ok(mirror) => Ok(mirror.path),
        Err(CloneError::Failed(why)) => Err(why),
        Err(CloneError::Stopped) => Err("the run has been asked to end".to_owned()),
    }
}

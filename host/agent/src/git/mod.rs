//! Git repositories: where they may come from (`url`), how they get here (`transport`, `clone`), what is in them
//! (`history`), what becomes of that (`records`), and the road of one queued repository from first to last (`job`).
//! Nothing of a repository is ever run: no hooks, no filters, no submodules, no checkout.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Grants;
use crate::egress::{Egress, Policy};
use crate::export::{ExportRun, GitJob, Model};

mod clone;
mod history;
mod job;
mod records;
#[cfg(test)]
mod tests;
mod transport;
mod url;

/// What the git side needs to work off the jobs of one run. It logs as the agent does, through `tracing`.
pub struct GitContext {
    /// The folder of mirror clones.
    pub cache: PathBuf,
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
    [records::COMMIT, records::BRANCH, records::USER, records::PULL_REQUEST_BRANCH]
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

//! Git repositories: clone cache, transport over egress, and from commits to records.

use std::path::PathBuf;

use crate::config::Grants;
use crate::egress::{Egress, Policy};
use crate::export::{ExportRun, GitJob};
use crate::logs::Logs;
use std::sync::Arc;

/// What the git side needs to work off the jobs of one run.
pub struct GitContext {
    /// The folder of mirror clones.
    pub cache: PathBuf,
    pub egress: Egress,
    pub policy: Policy,
    pub grants: Grants,
    pub logs: Logs,
    pub integration: String,
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

/// Works off one job: fetches the repository and exports it in sessions below the session that queued it. Blocking; runs
/// on the pool for that. The job's row is deleted by the commit that ends it.
pub fn run_job(_ctx: &GitContext, _run: &Arc<ExportRun>, _job: &GitJob, _tokio: &tokio::runtime::Handle) -> RepoOutcome {
    unimplemented!()
}

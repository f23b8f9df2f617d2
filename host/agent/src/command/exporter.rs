//! Runs one export of one integration: the integration's own part, then the repositories that it queued. Which integrations
//! run when, and the delivery of what they export, are others'.

use std::path::PathBuf;
use std::sync::Arc;

use super::outcome::{ExportOutcome, Outcome, Repository};
use super::policy::git_policy;
use super::runner::{Prepared, Runner};
use crate::egress::Class;
use crate::export::{ExportRun, GitJob, RunSpec, Sample, SessionError};
use crate::git::{self, GitContext, GitMemory, RepoOutcome};
use crate::sandbox::{Call, GitGrant};
use crate::store::Store;

/// What exports need, joined once.
pub struct Exporter {
    pub runner: Runner,
    pub store: Arc<Store>,
    /// `config::Sink::id`.
    pub sink: String,
    /// The folder of mirror clones.
    pub git_cache: PathBuf,
    /// The folder of repositories' checkpoints.
    pub git_checkpoints: PathBuf,
    /// What reading repositories may take.
    pub git_memory: Arc<GitMemory>,
    /// Leave all integrations' git repositories out.
    pub skip_git: bool,
    /// `config::Config::customer_id`.
    pub customer_id: String,
    /// Which records are held against the schemas of their models.
    pub sample: Sample,
}

impl Exporter {
    /// Begins an export. Its progress can be looked at through the answer while `run_export` runs.
    pub fn begin(&self, prepared: &Prepared) -> Result<Arc<ExportRun>, SessionError> {
        let spec = RunSpec {
            integration: prepared.integration.name.clone(),
            sink: self.sink.clone(),
            component_digest: prepared.loaded.digest().to_owned(),
            models: prepared.manifest.run_models(),
        };
        let judges = super::records::judges(&prepared.manifest);
        let store = Arc::clone(&self.store);
        ExportRun::begin_judged(store, spec, judges, self.sample, self.runner.shutdown.clone())
    }

    /// Runs an export to its end: the integration, then the repositories that it, or an earlier run, has queued. What an
    /// integration committed before it failed is kept, its repositories included.
    pub async fn run_export(&self, prepared: &Prepared, run: &Arc<ExportRun>) -> ExportOutcome {
        let git = match (prepared.manifest.asks.git, self.skip_git || prepared.integration.skip_git) {
            (false, _) => GitGrant::NotAsked,
            (true, true) => GitGrant::Skipped,
            (true, false) => GitGrant::Granted,
        };
        let class = if run.is_first() { Class::Backfill } else { Class::Incremental };
        let door = self.runner.door(prepared).with_run(Arc::clone(run), git).with_class(class);
        let call = Call::Export { config: prepared.integration.config.to_string() };
        let (outcome, usage) = self.runner.call(prepared, door, call).await;
        let mut ended = ExportOutcome::without_run(&prepared.integration.name, outcome);
        ended.usage = usage;
        match git {
            GitGrant::NotAsked => {}
            GitGrant::Skipped => ended.repositories_skipped = skipped(prepared, run),
            GitGrant::Granted => self.run_git_jobs(prepared, run, &mut ended).await,
        }
        ended.misfits = run.misfits();
        // Ending a run puts marks in order on disk.
        let finishing = Arc::clone(run);
        match self.runner.shutdown.spawn_blocking(move || finishing.finish()).await {
            Ok(sessions) => ended.sessions = sessions,
            Err(_) => {
                ended.sessions = run.snapshot();
                ended.outcome = Outcome::failed("other", "the end of the run broke off; this is a fault of the agent");
            }
        }
        ended
    }

    /// Works off the repositories, one at a time: a run has one share of the disk and of the server.
    async fn run_git_jobs(&self, prepared: &Prepared, run: &Arc<ExportRun>, ended: &mut ExportOutcome) {
        let jobs = match run.git_jobs() {
            Ok(jobs) => jobs,
            Err(error) => {
                let reason = format!("the repositories that are queued cannot be read: {error}");
                // What the integration itself said, where that is a failure, matters more.
                if ended.outcome.is_ok() {
                    ended.outcome = Outcome::failed("unavailable", reason);
                } else {
                    tracing::error!(integration = prepared.integration.name, "{reason}");
                }
                return;
            }
        };
        let context = Arc::new(GitContext {
            cache: self.git_cache.clone(),
            checkpoints: self.git_checkpoints.clone(),
            checkpoint_bytes: git::CHECKPOINT_BYTES,
            memory: Arc::clone(&self.git_memory),
            sink: self.sink.clone(),
            egress: self.runner.egress.clone(),
            policy: git_policy(&prepared.policy, &prepared.integration),
            grants: prepared.integration.grants.clone(),
            customer_id: self.customer_id.clone(),
            integration: prepared.integration.name.clone(),
        });
        let count = jobs.len();
        for (index, job) in jobs.into_iter().enumerate() {
            if run.should_stop() {
                ended.repositories_left = count - index;
                return;
            }
            ended.repositories.push(Repository::from(self.run_git_job(&context, run, job).await));
        }
    }

    async fn run_git_job(&self, context: &Arc<GitContext>, run: &Arc<ExportRun>, job: GitJob) -> RepoOutcome {
        let (context, working, tokio) = (Arc::clone(context), Arc::clone(run), tokio::runtime::Handle::current());
        let ((ref_id, name), at_work) = (job.named(), job.clone());
        let work = self.runner.shutdown.spawn_blocking(move || git::run_job(&context, &working, &at_work, &tokio));
        match work.await {
            Ok(outcome) => outcome,
            Err(_) => {
                let mut why = "working on it broke off; this is a fault of the agent, and its log says more".to_owned();
                // Counted like any failure, so that it does not come back for ever.
                if let Err(error) = run.job_failed(&job, &why).await {
                    why.push_str(&format!("; nor could that be noted: {error}"));
                }
                RepoOutcome { ref_id, name, records: 0, error: Some(why) }
            }
        }
    }
}

/// Repositories that were left out because the operator skips git: of this run, and of earlier ones that still wait.
fn skipped(prepared: &Prepared, run: &ExportRun) -> usize {
    let waiting = run.git_jobs().map_or(0, |jobs| jobs.len());
    let skipped = run.repositories_skipped() + waiting;
    if skipped > 0 {
        tracing::info!(
            integration = prepared.integration.name,
            repositories = skipped,
            "git repositories are left out, as `skip_git` says"
        );
    }
    skipped
}

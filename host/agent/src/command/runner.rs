//! Runs one call of one integration: a new instance, its limits, and how it ended; for an export also the native jobs that
//! it queued. Which integrations run when, and the delivery of what they export, are others'.

use std::path::PathBuf;
use std::sync::Arc;

use super::manifest::{ConfigError, Manifest, ManifestError};
use super::outcome::{CallOutcome, ExportOutcome, Outcome, Repository, Usage};
use super::policy::{git_policy, policy};
use crate::config::{Integration, Limits};
use crate::egress::{Egress, Policy};
use crate::export::{ExportRun, GitJob, RunSpec, SessionError};
use crate::git::{self, GitContext, RepoOutcome};
use crate::logs::Logs;
use crate::sandbox::{Call, CallEnd, Door, GitGrant, LoadError, Loaded, Sandbox};
use crate::shutdown::Shutdown;
use crate::store::Store;

/// What `describe` may take: it has a document to return and nothing to wait for.
const DESCRIBE_SECS_MAX: u64 = 10;

/// What runs need, joined once.
pub struct Runner {
    pub sandbox: Sandbox,
    pub egress: Egress,
    pub logs: Logs,
    pub shutdown: Shutdown,
    pub store: Arc<Store>,
    /// `config::Sink::id`.
    pub sink: String,
    /// The folder of mirror clones.
    pub git_cache: PathBuf,
    /// Leave git repositories out.
    pub skip_git: bool,
    /// `config::Config::customer_id`.
    pub customer_id: String,
}

/// An integration that can be run: loaded, described, and its configuration judged.
#[derive(Clone)]
pub struct Prepared {
    pub integration: Integration,
    pub loaded: Loaded,
    pub manifest: Arc<Manifest>,
    pub policy: Arc<Policy>,
}

/// Why an integration cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("loading the component broke off; this is a fault of the agent, and its log says more")]
    Lost,
}

impl Runner {
    /// Loads a component on the pool for blocking work.
    pub async fn load(&self, component: PathBuf) -> Result<Loaded, PrepareError> {
        let sandbox = self.sandbox.clone();
        let loading = self.shutdown.spawn_blocking(move || sandbox.load(&component));
        Ok(loading.await.map_err(|_| PrepareError::Lost)??)
    }

    /// A component's manifest: asked for in an instance with nothing granted, and kept, once judged, with the component's
    /// digest for the next start. `name` stands in its log.
    pub async fn describe(&self, name: &str, loaded: &Loaded) -> Result<Manifest, ManifestError> {
        let note = Manifest::note_name();
        if let Some(manifest) = self.sandbox.recall(loaded, &note).and_then(|text| Manifest::parse_judged(&text).ok()) {
            return Ok(manifest);
        }
        let time = std::time::Duration::from_secs(DESCRIBE_SECS_MAX);
        let limits = Limits { cpu_time_max: time, wall_time_max: time, ..Limits::default() };
        let door = Door::nothing(name, &self.logs, &self.shutdown);
        let report = self.sandbox.call(loaded, door, &limits, Call::Describe, &self.shutdown).await;
        match report.end {
            CallEnd::Ok(document) => {
                let manifest = Manifest::parse(&document)?;
                self.sandbox.remember(loaded, &note, &document);
                Ok(manifest)
            }
            end => Err(ManifestError::Call(end)),
        }
    }

    /// Makes a configured integration ready to run: loads it, reads its manifest, and judges its configuration.
    pub async fn prepare(&self, integration: &Integration) -> Result<Prepared, PrepareError> {
        let loaded = self.load(integration.component.clone()).await?;
        let manifest = self.describe(&integration.name, &loaded).await?;
        manifest.judge_config(&integration.config)?;
        let policy = Arc::new(policy(&manifest, integration));
        Ok(Prepared { integration: integration.clone(), loaded, manifest: Arc::new(manifest), policy })
    }

    /// Begins an export. Its progress can be looked at through the answer while `run_export` runs.
    pub fn begin(&self, prepared: &Prepared) -> Result<Arc<ExportRun>, SessionError> {
        let spec = RunSpec {
            integration: prepared.integration.name.clone(),
            sink: self.sink.clone(),
            component_digest: prepared.loaded.digest().to_owned(),
            models: prepared.manifest.run_models(),
        };
        ExportRun::begin(Arc::clone(&self.store), spec, self.shutdown.clone())
    }

    /// Runs an export to its end: the integration, then the repositories that it, or an earlier run, has queued. What an
    /// integration committed before it failed is kept, its repositories included.
    pub async fn run_export(&self, prepared: &Prepared, run: &Arc<ExportRun>) -> ExportOutcome {
        let git = match (prepared.manifest.asks.git, self.skip_git) {
            (false, _) => GitGrant::NotAsked,
            (true, true) => GitGrant::Skipped,
            (true, false) => GitGrant::Granted,
        };
        let door = self.door(prepared).with_run(Arc::clone(run), git);
        let call = Call::Export { config: prepared.integration.config.to_string() };
        let (outcome, usage) = self.call(prepared, door, call).await;
        let mut ended = ExportOutcome::without_run(&prepared.integration.name, outcome);
        ended.usage = usage;
        if git == GitGrant::Granted {
            self.run_git_jobs(prepared, run, &mut ended).await;
        }
        // Ending a run puts marks in order on disk.
        let finishing = Arc::clone(run);
        match self.shutdown.spawn_blocking(move || finishing.finish()).await {
            Ok(sessions) => ended.sessions = sessions,
            Err(_) => {
                ended.sessions = run.snapshot();
                ended.outcome = Outcome::failed("other", "the end of the run broke off; this is a fault of the agent");
            }
        }
        ended
    }

    /// Runs one call that exports nothing: validate, onboard, mutate, webhook.
    pub async fn run_call(&self, prepared: &Prepared, call: Call) -> CallOutcome {
        let door = self.door(prepared);
        let (outcome, usage) = self.call(prepared, door, call).await;
        CallOutcome { integration: prepared.integration.name.clone(), outcome, usage }
    }

    fn door(&self, prepared: &Prepared) -> Door {
        Door::nothing(&prepared.integration.name, &self.logs, &self.shutdown)
            .with_network(self.egress.clone(), Arc::clone(&prepared.policy))
    }

    async fn call(&self, prepared: &Prepared, door: Door, call: Call) -> (Outcome, Usage) {
        let limits = &prepared.integration.limits;
        let report = self.sandbox.call(&prepared.loaded, door, limits, call, &self.shutdown).await;
        let usage = Usage::from(&report);
        (Outcome::of(report.end), usage)
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
            egress: self.egress.clone(),
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
        let (name, at_work) = (text(&job, "name"), job.clone());
        let work = self.shutdown.spawn_blocking(move || git::run_job(&context, &working, &at_work, &tokio));
        match work.await {
            Ok(outcome) => outcome,
            Err(_) => {
                let mut why = "working on it broke off; this is a fault of the agent, and its log says more".to_owned();
                // Counted like any failure, so that it does not come back for ever.
                if let Err(error) = run.job_failed(&job, &why).await {
                    why.push_str(&format!("; nor could that be noted: {error}"));
                }
                RepoOutcome { ref_id: text(&job, "ref_id"), name, records: 0, error: Some(why) }
            }
        }
    }
}

/// A text of a job's document.
fn text(job: &GitJob, member: &str) -> String {
    job.repo.get(member).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

//! Makes an integration ready to run, and runs one call of it: a new instance, its limits, and how it ended. What only an
//! export needs beside is in `exporter`.

use std::path::PathBuf;
use std::sync::Arc;

use super::consent::{self, Consent, ConsentError};
use super::manifest::{ConfigError, Manifest, ManifestError};
use super::marked;
use super::outcome::{CallOutcome, Outcome, Usage};
use super::permissions::Permissions;
use super::policy::policy;
use super::results;
use crate::cassette::Tape;
use crate::config::{Credential, Integration, Limits, NetworkRule, Placement, SecretSource};
use crate::egress::{Account, Class, Egress, Policy};
use crate::logs::Logs;
use crate::sandbox::{Call, CallEnd, Door, LoadError, Loaded, Sandbox, Seen, Witness};
use crate::secrets::Check;
use crate::shutdown::Shutdown;

/// What `describe` may take: it has a document to return and nothing to wait for but a processor.
const DESCRIBE_CPU_SECS_MAX: u64 = 5;
const DESCRIBE_WALL_SECS_MAX: u64 = 120;

/// What calls need, joined once. Clones share it.
#[derive(Clone)]
pub struct Runner {
    pub sandbox: Sandbox,
    pub egress: Egress,
    pub logs: Logs,
    pub shutdown: Shutdown,
    /// The folder of what operators agreed to (`consent::folder`); none where one component is run for its author.
    pub consents: Option<PathBuf>,
}

/// An integration that can be run: loaded, described, and its configuration judged.
#[derive(Clone)]
pub struct Prepared {
    pub integration: Integration,
    pub loaded: Loaded,
    pub manifest: Arc<Manifest>,
    pub policy: Arc<Policy>,
    /// How its webhooks are checked; none where the manifest does not say.
    pub signature: Option<Check>,
    /// Who looks on as it runs, if anybody does.
    pub witness: Option<Arc<Witness>>,
    /// What its run is written to, or played from, if anything.
    pub tape: Option<Tape>,
}

impl Prepared {
    /// From a component that is loaded and described: takes the secrets out of its configuration, judges what is left, and works
    /// out what it may reach.
    pub fn new(mut integration: Integration, loaded: Loaded, manifest: Manifest) -> Result<Prepared, ConfigError> {
        let marked = marked::take(&manifest.config, &integration.name, &mut integration.config);
        let marked = marked.map_err(ConfigError::Faults)?;
        let is_marked = |pointer: &str| marked.iter().any(|marked| marked.pointer == pointer);
        manifest.judge_config_but(&integration.config, is_marked)?;
        let policy = Arc::new(policy(&manifest, &integration, &marked));
        let signature = manifest.webhook_signature.clone().map(|asked| {
            let source =
                marked.iter().find(|marked| marked.pointer == asked.setting).map(|marked| marked.source.clone());
            Check { asked, source }
        });
        Ok(Prepared { integration, loaded, manifest: Arc::new(manifest), policy, signature, witness: None, tape: None })
    }

    /// Grants all that the manifest asks of the network with this configuration. Private hosts and credentials stay as they
    /// are: those are granted by name.
    pub fn grant_asked(&mut self) {
        self.grant(self.policy.asked.clone());
    }

    /// Grants what an operator agreed to.
    fn agree(&mut self, consent: &Consent) {
        self.grant(consent.rules(&self.policy.asked));
    }

    fn grant(&mut self, rules: Vec<NetworkRule>) {
        let mut granted = self.policy.granted.clone();
        granted.extend(rules);
        self.integration.grants.network.clone_from(&granted);
        self.policy = Arc::new(Policy { granted, ..(*self.policy).clone() });
    }

    /// For a run in which nothing goes out: grants all that the manifest asks for, credentials too. They have no values.
    pub fn grant_to_replay(&mut self) {
        self.grant_asked();
        let nothing = || Credential {
            source: SecretSource::Env(String::new()),
            exchange: None,
            placement: Placement::Bearer,
            hosts: Vec::new(),
            paths: Vec::new(),
        };
        let mut policy = (*self.policy).clone();
        for name in &policy.credentials_asked {
            policy.credentials.entry(name.clone()).or_insert_with(nothing);
        }
        self.policy = Arc::new(policy);
    }

    /// What its run says about its permissions.
    #[must_use]
    pub fn permissions(&self, account: &Account, seen: &Seen) -> Permissions {
        Permissions::of(account, seen, &self.policy, &self.manifest)
    }
}

/// Why an integration cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Consent(#[from] ConsentError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the run was asked to end before it began")]
    Cancelled,
    #[error("loading the component broke off; this is a fault of the agent, and its log says more")]
    Lost,
}

impl Runner {
    /// Loads a component on the pool for blocking work.
    pub async fn load(&self, component: PathBuf) -> Result<Loaded, PrepareError> {
        self.load_pinned(component, None).await
    }

    async fn load_pinned(&self, component: PathBuf, pinned: Option<String>) -> Result<Loaded, PrepareError> {
        let sandbox = self.sandbox.clone();
        let loading = self.shutdown.spawn_blocking(move || sandbox.load_pinned(&component, pinned.as_deref()));
        Ok(loading.await.map_err(|_| PrepareError::Lost)??)
    }

    /// A component's manifest: asked for in an instance with nothing granted, and kept, once judged, with the component's
    /// digest for the next start. `name` stands in its log.
    pub async fn describe(&self, name: &str, loaded: &Loaded) -> Result<Manifest, ManifestError> {
        let note = Manifest::note_name();
        if let Some(manifest) = self.sandbox.recall(loaded, &note).and_then(|text| Manifest::parse_judged(&text).ok()) {
            return Ok(manifest);
        }
        let secs = std::time::Duration::from_secs;
        let limits = Limits {
            cpu_time_max: secs(DESCRIBE_CPU_SECS_MAX),
            wall_time_max: secs(DESCRIBE_WALL_SECS_MAX),
            ..Limits::default()
        };
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

    /// What `describe` answers, asked anew within these limits; judged by nobody yet.
    pub async fn describe_anew(
        &self,
        name: &str,
        loaded: &Loaded,
        limits: &Limits,
        witness: Arc<Witness>,
    ) -> CallOutcome {
        let door = Door::nothing(name, &self.logs, &self.shutdown).with_witness(Some(witness));
        let report = self.sandbox.call(loaded, door, limits, Call::Describe, &self.shutdown).await;
        let usage = Usage::from(&report);
        CallOutcome { integration: name.to_owned(), outcome: Outcome::of(report.end), usage }
    }

    /// Makes a configured integration ready to run: loads it, reads its manifest, and judges its configuration.
    /// Gives up at once when the end is asked for: nothing has begun.
    pub async fn prepare(&self, integration: &Integration) -> Result<Prepared, PrepareError> {
        tokio::select! {
            biased;
            () = self.shutdown.wait() => Err(PrepareError::Cancelled),
            prepared = self.prepare_in_peace(integration) => prepared,
        }
    }

    async fn prepare_in_peace(&self, integration: &Integration) -> Result<Prepared, PrepareError> {
        let loaded = self.load_pinned(integration.component.clone(), integration.sha256.clone()).await?;
        // Before anything of it runs: `describe` too is somebody else's code.
        let consent = match &self.consents {
            Some(folder) => consent::check(folder, &integration.name, &integration.component, loaded.digest())?,
            None => None,
        };
        let manifest = self.describe(&integration.name, &loaded).await?;
        let mut prepared = Prepared::new(integration.clone(), loaded, manifest)?;
        if let Some(consent) = consent {
            prepared.agree(&consent);
        }
        Ok(prepared)
    }

    /// Runs one call that exports nothing: validate, onboard, mutate, webhook.
    pub async fn run_call(&self, prepared: &Prepared, call: Call) -> CallOutcome {
        // A person waits for most of these.
        let class = if matches!(call, Call::Webhook { .. }) { Class::Webhook } else { Class::Mutation };
        let door = self.door(prepared).with_class(class);
        let (outcome, usage) = self.call(prepared, door, call).await;
        CallOutcome { integration: prepared.integration.name.clone(), outcome, usage }
    }

    pub(super) fn door(&self, prepared: &Prepared) -> Door {
        Door::nothing(&prepared.integration.name, &self.logs, &self.shutdown)
            .with_network(self.egress.clone(), Arc::clone(&prepared.policy))
            .with_witness(prepared.witness.clone())
            .with_tape(prepared.tape.clone())
    }

    pub(super) async fn call(&self, prepared: &Prepared, door: Door, call: Call) -> (Outcome, Usage) {
        let limits = &prepared.integration.limits;
        let form = results::Form::of(&call);
        let report = self.sandbox.call(&prepared.loaded, door, limits, call, &self.shutdown).await;
        let usage = Usage::from(&report);
        (results::judged(Outcome::of(report.end), form, &prepared.manifest), usage)
    }
}

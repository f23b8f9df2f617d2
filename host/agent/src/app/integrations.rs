//! Adding integrations: what a component asks for, shown before anything of it runs but `describe`, and what the operator agrees
//! to, kept in the root. Compares an upgrade with that. What is printed, and how an operator is asked, is the command line's.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{AppError, InspectReport, inspect};
use crate::command::consent::{self, Consent, ConsentError, Difference, Network, Wants};
use crate::config::{Integration, NAME_MEND, NetworkRule, is_integration_name};
use crate::logs::Logs;
use crate::sandbox::Sandbox;
use crate::shutdown::Shutdown;

/// A component beside what was agreed to under a name.
#[derive(Debug, Clone, Serialize)]
pub struct Proposal {
    /// The name in agent.yaml.
    pub name: String,
    pub component: PathBuf,
    /// SHA-256 of the file, hexadecimal.
    pub digest: String,
    /// The integration's own name and version.
    pub integration: String,
    pub integration_version: String,
    /// What it asks for, in words.
    pub wants: Vec<String>,
    /// What was agreed to before, if anything was and can be read.
    pub before: Option<Before>,
    /// Why it cannot be read. Then it counts as if nothing had been agreed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// What is new and what is gone; where nothing was agreed to, all is new.
    #[serde(flatten)]
    pub difference: Difference,
    /// Whether it is the file that was agreed to.
    pub unchanged: bool,
    #[serde(skip)]
    consent: Consent,
    /// What this was held against.
    #[serde(skip)]
    was: Result<Option<Consent>, ConsentError>,
}

/// What was agreed to before.
#[derive(Debug, Clone, Serialize)]
pub struct Before {
    pub digest: String,
    pub integration_version: String,
    pub agreed_at: String,
}

/// One integration that was agreed to, or is configured.
#[derive(Debug, Clone, Serialize)]
pub struct Added {
    pub name: String,
    /// How its file stands to what was agreed to.
    pub state: AddedState,
    pub component: Option<PathBuf>,
    /// What was agreed to; none where nothing was.
    pub digest: Option<String>,
    pub integration_version: Option<String>,
    pub agreed_at: Option<String>,
    /// What of the network is granted by that, in words.
    pub network: Vec<String>,
    /// Why what was agreed to cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// How a file stands to what was agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AddedState {
    /// It is the file that was agreed to.
    Agreed,
    /// It is another: it is not run.
    Changed,
    /// There is no such file.
    Missing,
    /// Nothing was agreed to: whatever file is configured is run, with what agent.yaml grants.
    Open,
    /// Something was agreed to, and nobody knows what: it is not run.
    Damaged,
}

impl Added {
    fn damaged(name: &str, component: Option<&PathBuf>, fault: &ConsentError) -> Added {
        Added {
            name: name.to_owned(),
            state: AddedState::Damaged,
            component: component.cloned(),
            digest: None,
            integration_version: None,
            agreed_at: None,
            network: Vec::new(),
            fault: Some(fault.to_string()),
        }
    }
}

/// The integrations of a root.
#[derive(Debug, Clone, Serialize)]
pub struct IntegrationsReport {
    pub root: PathBuf,
    pub integrations: Vec<Added>,
}

/// What was changed about one.
#[derive(Debug, Clone, Serialize)]
pub struct ConsentReport {
    pub name: String,
    /// `agreed`, `granted` or `removed`.
    pub done: &'static str,
    /// What of the network is granted by it, in words.
    pub network: Vec<String>,
}

impl From<ConsentError> for AppError {
    fn from(error: ConsentError) -> AppError {
        match error {
            ConsentError::Name(_) => AppError::Usage(format!("{error}; {NAME_MEND}")),
            error => AppError::Failed(error.to_string()),
        }
    }
}

/// The name, if integrations may have it.
///
/// # Errors
/// They may not.
pub fn integration_name(name: &str) -> Result<&str, AppError> {
    if is_integration_name(name) { Ok(name) } else { Err(ConsentError::Name(name.to_owned()).into()) }
}

/// Where a component's name comes from when it is added.
#[derive(Debug, Clone)]
pub enum Named {
    /// A new one, or one that is there already.
    As(String),
    /// The manifest's own.
    ByItself,
}

/// Looks at a component, and puts it beside what was agreed to. Changes nothing. The inner error is why it cannot be run here.
///
/// # Errors
/// The file cannot be read.
pub async fn propose(
    file: PathBuf,
    named: Named,
    root: &Path,
    logs: Logs,
    shutdown: Shutdown,
) -> Result<Result<Proposal, String>, AppError> {
    let found = inspect(file, root.join("cache/components"), true, logs, shutdown).await?;
    let InspectReport { file, digest, anatomy, obstacle, manifest, .. } = found;
    let Some(manifest) = manifest.filter(|_| obstacle.is_none()) else {
        return Ok(Err(obstacle.unwrap_or_else(|| "it has no manifest".to_owned())));
    };
    let name = match named {
        Named::As(name) => name,
        Named::ByItself => manifest.name.clone(),
    };
    let folder = consent::folder(root);
    integration_name(&name)?;
    let was = Consent::read(&folder, &name);
    let (before, fault) = match &was {
        Ok(before) => (before.clone(), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let wants = Wants::of(&anatomy, &manifest);
    let agreed = before.as_ref().map(|before| before.wants.clone()).unwrap_or_default();
    // What was narrowed stays narrow.
    let network = before.as_ref().map_or(Network::Asked, |before| before.network.clone());
    Ok(Ok(Proposal {
        difference: wants.beside(&agreed),
        unchanged: before.as_ref().is_some_and(|before| before.digest == digest),
        wants: wants.words(),
        integration: manifest.name.clone(),
        integration_version: manifest.version.clone(),
        consent: Consent::new(&name, &file, &digest, &manifest, wants, network),
        before: before.map(|before| Before {
            digest: before.digest,
            integration_version: before.integration_version,
            agreed_at: before.agreed_at,
        }),
        fault,
        was,
        name,
        component: file,
        digest,
    }))
}

impl Proposal {
    /// Whether it may not be run before somebody agrees: it is new, or asks for more than was agreed to.
    #[must_use]
    pub fn needs_consent(&self) -> bool {
        self.before.is_none() || !self.difference.more.is_empty()
    }

    /// Keeps that the operator agrees: to this file, and to what it asks for. `only` narrows what it is granted of the network.
    ///
    /// # Errors
    /// It cannot be kept, or something else was agreed to while the operator thought: that is to be looked at first.
    pub fn agree(self, root: &Path, only: Option<Vec<NetworkRule>>) -> Result<ConsentReport, AppError> {
        let Proposal { name, consent, was, .. } = self;
        let consent = Consent::change(&consent::folder(root), &name, |now| {
            if now != was {
                let told =
                    format!("what was agreed to as `{name}` was changed meanwhile: look at it again, and agree then");
                return Err(AppError::Failed(told));
            }
            let network = only.map_or(consent.network.clone(), |rules| only_rules(&rules));
            Ok(Consent { network, ..consent })
        })?;
        Ok(ConsentReport { name, done: "agreed", network: network_words(&consent) })
    }
}

fn only_rules(rules: &[NetworkRule]) -> Network {
    Network::Only(rules.iter().map(ToString::to_string).collect())
}

fn network_words(consent: &Consent) -> Vec<String> {
    match &consent.network {
        Network::Asked if consent.wants.asks.network.is_empty() => vec!["nothing: it asks for nothing".to_owned()],
        Network::Asked => vec!["all that it asks for".to_owned()],
        Network::Only(rules) if rules.is_empty() => vec!["nothing".to_owned()],
        Network::Only(rules) => rules.clone(),
    }
}

/// The file that was agreed to under a name.
///
/// # Errors
/// Nothing was, or it cannot be read.
pub fn agreed_file(root: &Path, name: &str) -> Result<PathBuf, AppError> {
    Ok(agreed(root, name)?.component)
}

fn agreed(root: &Path, name: &str) -> Result<Consent, AppError> {
    Consent::read(&consent::folder(root), name)?.ok_or_else(|| not_added(root, name))
}

fn not_added(root: &Path, name: &str) -> AppError {
    let folder = consent::folder(root);
    let names: Vec<String> = Consent::all(&folder).unwrap_or_default().into_iter().map(|(name, _)| name).collect();
    let there = if names.is_empty() { "none was added".to_owned() } else { format!("there are: {}", names.join(", ")) };
    AppError::Usage(format!(
        "no integration `{}` was added in {}; {there} (agent integrations add FILE)",
        crate::cut(name, 64).escape_debug(),
        root.display()
    ))
}

/// Grants what was agreed to, all of it or only some rules.
///
/// # Errors
/// Nothing was agreed to under that name, or it cannot be kept.
pub fn integration_grant(root: &Path, name: &str, only: Option<Vec<NetworkRule>>) -> Result<ConsentReport, AppError> {
    agreed(root, name)?;
    let network = only.map_or(Network::Asked, |rules| only_rules(&rules));
    let consent = Consent::change(&consent::folder(root), name, |now| -> Result<Consent, AppError> {
        Ok(Consent { network, ..now?.ok_or_else(|| not_added(root, name))? })
    })?;
    Ok(ConsentReport { name: name.to_owned(), done: "granted", network: network_words(&consent) })
}

/// Takes back what was agreed to. The integration is then as open as if it never had been added, and has only what agent.yaml grants.
///
/// # Errors
/// Nothing was agreed to under that name, or it cannot be removed.
pub fn integration_remove(root: &Path, name: &str) -> Result<ConsentReport, AppError> {
    if !Consent::remove(&consent::folder(root), name)? {
        return Err(not_added(root, name));
    }
    Ok(ConsentReport { name: name.to_owned(), done: "removed", network: Vec::new() })
}

/// The integrations that were agreed to, and those that are configured beside them.
///
/// # Errors
/// What was agreed to cannot be read.
pub fn integrations_list(root: &Path, configured: &[Integration]) -> Result<IntegrationsReport, AppError> {
    let consents = Consent::all(&consent::folder(root))?;
    let open = configured.iter().filter(|one| consents.iter().all(|(name, _)| *name != one.name));
    let open = open.map(|one| Added {
        name: one.name.clone(),
        state: if one.component.is_file() { AddedState::Open } else { AddedState::Missing },
        component: Some(one.component.clone()),
        digest: None,
        integration_version: None,
        agreed_at: None,
        network: one.grants.network.iter().map(ToString::to_string).collect(),
        fault: None,
    });
    let added = consents.iter().map(|(name, consent)| {
        // What would be run is the configured file.
        let component = configured.iter().find(|one| one.name == *name).map(|one| &one.component);
        let consent = match consent {
            Ok(consent) => consent,
            Err(fault) => return Added::damaged(name, component, fault),
        };
        let file = component.unwrap_or(&consent.component);
        Added {
            name: consent.name.clone(),
            state: match Sandbox::look(file) {
                Ok((_, digest, _)) if digest == consent.digest => AddedState::Agreed,
                Ok(_) => AddedState::Changed,
                Err(_) => AddedState::Missing,
            },
            component: Some(file.clone()),
            digest: Some(consent.digest.clone()),
            integration_version: Some(consent.integration_version.clone()),
            agreed_at: Some(consent.agreed_at.clone()),
            network: network_words(consent),
            fault: None,
        }
    });
    let mut integrations: Vec<Added> = added.chain(open).collect();
    integrations.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(IntegrationsReport { root: root.to_owned(), integrations })
}

//! Looks at one component: what its file says without being run, and what its `describe` says. Runs nothing else.

use std::path::PathBuf;

use serde::Serialize;

use super::AppError;
use crate::command::manifest::Manifest;
use crate::command::runner::Runner;
use crate::egress::Egress;
use crate::error_chain;
use crate::logs::Logs;
use crate::sandbox::{self, Anatomy, CONTRACT_OFFERED, Sandbox};
use crate::shutdown::Shutdown;

/// What is known of a component.
#[derive(Debug, Clone, Serialize)]
pub struct InspectReport {
    pub file: PathBuf,
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub digest: String,
    #[serde(flatten)]
    pub anatomy: Anatomy,
    /// The version of the contract that this agent offers.
    pub contract_offered: &'static str,
    /// Why it cannot be run here; none if nothing is known to stand in the way.
    pub obstacle: Option<String>,
    /// What `describe` gave, where it was called and gave a manifest.
    pub manifest: Option<Manifest>,
}

/// Looks at a component; calls `describe` if `describe` says so. That it cannot be run is no error.
///
/// # Errors
/// The file cannot be read, or there can be no sandbox.
pub async fn inspect(
    file: PathBuf,
    cache: PathBuf,
    describe: bool,
    logs: Logs,
    shutdown: Shutdown,
) -> Result<InspectReport, AppError> {
    let looked = file.clone();
    let look = shutdown.spawn_blocking(move || Sandbox::look(&looked)).await;
    let (anatomy, digest, bytes) = look
        .map_err(|_| AppError::Failed("looking at the component broke off; this is a fault of the agent".to_owned()))?
        .map_err(|error| AppError::Failed(error_chain(&error)))?;
    let obstacle = anatomy.obstacle();
    let mut report =
        InspectReport { file, bytes, digest, anatomy, contract_offered: CONTRACT_OFFERED, obstacle, manifest: None };
    if !describe || report.obstacle.is_some() {
        return Ok(report);
    }
    let options = sandbox::Options { shutdown: shutdown.clone(), ..sandbox::Options::default() };
    let sandbox = Sandbox::new(&cache, &options).map_err(|error| AppError::Failed(error_chain(&error)))?;
    let runner = Runner { sandbox, egress: Egress::new(), logs, shutdown, consents: None };
    let name = report.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    match runner.load(report.file.clone()).await {
        Ok(loaded) => match runner.describe(&name, &loaded).await {
            Ok(manifest) => report.manifest = Some(manifest),
            Err(error) => report.obstacle = Some(error.to_string()),
        },
        Err(error) => report.obstacle = Some(error_chain(&error)),
    }
    Ok(report)
}

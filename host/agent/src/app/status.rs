//! What a root's store holds, and how one integration's part of it is forgotten.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{AppError, Backlog, OutcomeKind, backlog, pauses};
use crate::egress::Pause;
use crate::store::{Codec, Reader, RunRow, Store, disk_bytes, owner};

/// Forgets exactly this integration's marks and cursors, for every sink, so that its next export is full.
///
/// # Errors
/// No root, a root in use, an integration that the store has never heard of, or a damaged store.
pub fn force_historical(root: &Path, name: &str) -> Result<ForgottenReport, AppError> {
    let known = Reader::open(root)?.integrations()?;
    if !known.iter().any(|known| known == name) {
        return Err(AppError::Usage(format!(
            "the store has never heard of an integration `{name}`; it knows {}",
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        )));
    }
    let store = Store::open(root, Codec::Plain, u64::MAX)?;
    let (cursors, marks) = store.force_historical(name, None)?;
    Ok(ForgottenReport { integration: name.to_owned(), cursors: cursors as u64, marks })
}

/// What the store holds. Reads only, also beside a running agent.
///
/// # Errors
/// No root, or a damaged store.
pub fn status(root: &Path) -> Result<StatusReport, AppError> {
    let reader = Reader::open(root)?;
    let (cursors, marks, jobs, runs) =
        (reader.cursors()?, reader.mark_counts()?, reader.git_jobs()?, reader.last_runs()?);
    let integration = |name: String| IntegrationStatus {
        cursors: cursors
            .iter()
            .filter(|row| row.integration == name)
            .map(|row| CursorStatus { sink: row.sink.clone(), path: row.path.clone(), cursor: row.cursor.clone() })
            .collect(),
        marks: marks.iter().filter(|(of, _)| *of == name).map(|(_, count)| count).sum(),
        git_jobs: jobs.iter().filter(|job| job.integration == name && job.dead.is_none()).count() as u64,
        last_run: runs.iter().find(|run| run.integration == name).map(last_run),
        name,
    };
    let dead = reader.dead()?;
    Ok(StatusReport {
        root: root.to_owned(),
        running: owner(root).and_then(|pid| pid.parse().ok()),
        integrations: reader.integrations()?.into_iter().map(integration).collect(),
        pauses: pauses::lasting(root)?,
        outbox: backlog(reader.outbox()?),
        dead_letters: Backlog {
            batches: dead.len() as u64,
            records: dead.iter().map(|b| b.records).sum(),
            bytes: dead.iter().map(|b| b.bytes).sum(),
        },
        store_bytes: disk_bytes(root),
    })
}

fn last_run(row: &RunRow) -> LastRun {
    let started = time::OffsetDateTime::from_unix_timestamp(row.started_ms / 1000).ok();
    LastRun {
        started_at: started
            .and_then(|t| t.format(&time::format_description::well_known::Rfc3339).ok())
            .unwrap_or_default(),
        duration_ms: row.ended_ms.map_or(0, |ended| ended.saturating_sub(row.started_ms).max(0) as u64),
        // A run without an end was killed with its agent, or goes on.
        outcome: row.outcome.as_deref().and_then(OutcomeKind::from_name).unwrap_or(OutcomeKind::Cancelled),
        reason: row
            .reason
            .clone()
            .or_else(|| row.ended_ms.is_none().then(|| "it has not ended, or its agent was killed".to_owned())),
        records: row.records,
    }
}

/// What `force_historical` forgot.
#[derive(Debug, Clone, Serialize)]
pub struct ForgottenReport {
    pub integration: String,
    pub cursors: u64,
    pub marks: u64,
}

/// What a store holds.
#[derive(Debug, Clone, Serialize)]
pub struct StatusReport {
    pub root: PathBuf,
    /// The process that has the root.
    pub running: Option<u32>,
    pub integrations: Vec<IntegrationStatus>,
    /// Servers whose budget is spent, and until when.
    pub pauses: Vec<Pause>,
    pub outbox: Backlog,
    pub dead_letters: Backlog,
    /// Bytes of the store on disk.
    pub store_bytes: u64,
}

/// What a store holds of one integration.
#[derive(Debug, Clone, Serialize)]
pub struct IntegrationStatus {
    pub name: String,
    pub cursors: Vec<CursorStatus>,
    /// Marks of records that the sinks have.
    pub marks: u64,
    /// Git jobs that are committed and not yet ended.
    pub git_jobs: u64,
    pub last_run: Option<LastRun>,
}

/// A committed cursor.
#[derive(Debug, Clone, Serialize)]
pub struct CursorStatus {
    /// As in `Sink::id`.
    pub sink: String,
    /// Session path below the integration.
    pub path: String,
    pub cursor: String,
}

/// How the last run of an integration ended.
#[derive(Debug, Clone, Serialize)]
pub struct LastRun {
    /// RFC 3339.
    pub started_at: String,
    pub duration_ms: u64,
    pub outcome: OutcomeKind,
    pub reason: Option<String>,
    pub records: u64,
}

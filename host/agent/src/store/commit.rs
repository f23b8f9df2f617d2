//! A commit: everything that becomes durable and visible together when a session is done or reaches a checkpoint.

use std::sync::atomic::Ordering;

use rusqlite::{Transaction, params};

use super::segment::Codec;
use super::{Store, StoreError};

/// What one session brings. Files that it names are complete and synced.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) scope: i64,
    pub(crate) integration: String,
    /// The session's path.
    pub(crate) path: String,
    /// Digest of the component that wrote the cursor.
    pub(crate) component: String,
    /// `None` leaves the old one.
    pub(crate) cursor: Option<String>,
    pub(crate) batches: Vec<NewBatch>,
    pub(crate) marks: Option<NewMarks>,
    pub(crate) jobs: Vec<NewJob>,
    /// The job that this commit ends.
    pub(crate) job_done: Option<i64>,
    pub(crate) state: Vec<StateChange>,
}

/// A repository to queue. One that waits already at the same path is replaced; one that is a dead letter lives again, as
/// the integration still wants it.
#[derive(Debug, Clone)]
pub(crate) struct NewJob {
    pub(crate) ref_id: String,
    pub(crate) repo: String,
}

#[derive(Debug, Clone)]
pub(crate) struct NewBatch {
    pub(crate) model: String,
    /// The model's key pointers as JSON: a rejected batch must find its marks.
    pub(crate) key: String,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) codec: Codec,
    pub(crate) data: NewData,
}

#[derive(Debug, Clone)]
pub(crate) enum NewData {
    Inline(Vec<u8>),
    File(String),
}

#[derive(Debug, Clone)]
pub(crate) struct NewMarks {
    pub(crate) model: String,
    /// Marks in each run.
    pub(crate) runs: Vec<usize>,
    pub(crate) data: NewData,
}

#[derive(Debug, Clone)]
pub(crate) struct StateChange {
    pub(crate) key: String,
    /// A value and when it expires (Unix seconds); `None` deletes.
    pub(crate) value: Option<(String, Option<i64>)>,
}

impl Commit {
    /// Whether there is nothing to make durable.
    pub(crate) fn is_empty(&self) -> bool {
        self.cursor.is_none()
            && self.batches.is_empty()
            && self.marks.is_none()
            && self.jobs.is_empty()
            && self.job_done.is_none()
            && self.state.is_empty()
    }
}

impl Store {
    /// Makes it all durable at once. After an error none of it is visible; its files must be left where they are, because
    /// a sync that failed may still have reached the disk (they are collected when the root is opened next).
    pub(crate) async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        let bytes: u64 = commit.batches.iter().map(|b| b.bytes).sum();
        let path = self.paths.database.clone();
        self.writer.write(false, move |tx| apply(tx, &commit).map_err(|e| super::schema::sql(&path, e))).await?;
        self.outbox_bytes.fetch_add(bytes, Ordering::Relaxed);
        if bytes > 0 {
            self.outbox_grew.notify_one();
        }
        Ok(())
    }
}

fn apply(tx: &Transaction<'_>, commit: &Commit) -> rusqlite::Result<()> {
    let now = super::now_secs();
    let seq: i64 = tx
        .prepare_cached("SELECT next_seq FROM session WHERE scope = ?1 AND path = ?2")?
        .query_row(params![commit.scope, commit.path], |r| r.get(0))
        .or_else(|e| if e == rusqlite::Error::QueryReturnedNoRows { Ok(1) } else { Err(e) })?;
    tx.prepare_cached(
        "INSERT INTO session VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE
         SET next_seq = ?3, cursor = coalesce(?4, cursor), component = ?5, at = ?6",
    )?
    .execute(params![
        commit.scope,
        commit.path,
        seq + commit.batches.len() as i64,
        commit.cursor,
        commit.component,
        now
    ])?;
    for (seq, batch) in (seq..).zip(&commit.batches) {
        let (file, data) = columns(&batch.data);
        tx.prepare_cached(
            "INSERT INTO batch (scope, path, seq, model, key, records, bytes, codec, file, data, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            commit.scope,
            commit.path,
            seq,
            batch.model,
            batch.key,
            batch.records as i64,
            batch.bytes as i64,
            batch.codec as i64,
            file,
            data,
            now
        ])?;
    }
    if let Some(marks) = &commit.marks {
        insert_marks(tx, commit.scope, marks)?;
    }
    for job in &commit.jobs {
        tx.prepare_cached(
            "INSERT INTO git_job (scope, path, ref_id, repo, at) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE
             SET repo = ?4, attempts = CASE WHEN dead IS NULL THEN attempts ELSE 0 END, dead = NULL",
        )?
        .execute(params![commit.scope, commit.path, job.ref_id, job.repo, now])?;
    }
    if let Some(job) = commit.job_done {
        tx.prepare_cached("DELETE FROM git_job WHERE id = ?1")?.execute([job])?;
    }
    commit.state.iter().try_for_each(|change| change_state(tx, &commit.integration, change))
}

pub(super) fn insert_marks(tx: &Transaction<'_>, scope: i64, marks: &NewMarks) -> rusqlite::Result<()> {
    let (file, data) = columns(&marks.data);
    tx.prepare_cached("INSERT INTO mark (scope, model, runs, file, data) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![scope, marks.model, runs_text(&marks.runs), file, data])?;
    Ok(())
}

pub(super) fn runs_text(runs: &[usize]) -> String {
    runs.iter().map(usize::to_string).collect::<Vec<_>>().join(" ")
}

fn columns(data: &NewData) -> (Option<&str>, Option<&[u8]>) {
    match data {
        NewData::Inline(bytes) => (None, Some(bytes)),
        NewData::File(name) => (Some(name), None),
    }
}

fn change_state(tx: &Transaction<'_>, integration: &str, change: &StateChange) -> rusqlite::Result<()> {
    match &change.value {
        Some((value, expires)) => tx
            .prepare_cached("INSERT OR REPLACE INTO state VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![integration, change.key, value, expires])?,
        None => tx
            .prepare_cached("DELETE FROM state WHERE integration = ?1 AND key = ?2")?
            .execute(params![integration, change.key])?,
    };
    Ok(())
}

//! Short reads and the rows that belong to no road of their own: identity, scopes, cursors, marks, git jobs, state, runs.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use super::commit::runs_text;
use super::marks::{self, MarkSet, RUNS_MAX, Run};
use super::outbox::{DeadBatch, OutboxTotals, waiting};
use super::{Paths, Store, StoreError, schema, sync_folder};

/// Runs of integrations that are remembered.
const RUNS_KEPT: i64 = 1000;

/// A cursor, for people.
#[derive(Debug, Clone, serde::Serialize)]
pub struct CursorRow {
    pub sink: String,
    pub integration: String,
    pub path: String,
    pub cursor: String,
    /// Unix seconds.
    pub at: i64,
}

/// Rows of the first agents have seconds; milliseconds of any time since 1973 are more than this.
const SECONDS_MAX: i64 = 100_000_000_000;

fn in_ms(time: i64) -> i64 {
    if time < SECONDS_MAX { time.saturating_mul(1000) } else { time }
}

/// A run of an integration, for people.
#[derive(Debug, Clone, serde::Serialize)]
pub struct RunRow {
    pub integration: String,
    /// Unix milliseconds.
    pub started_ms: i64,
    pub ended_ms: Option<i64>,
    pub outcome: Option<String>,
    pub reason: Option<String>,
    /// Committed, all sessions.
    pub records: u64,
}

/// A git job that waits or is dead, for people.
#[derive(Debug, Clone)]
pub struct QueuedRepo {
    pub integration: String,
    /// Why it is not tried any more.
    pub dead: Option<String>,
}

/// A git job as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct GitJobRow {
    pub(crate) id: i64,
    pub(crate) path: String,
    pub(crate) repo: String,
    pub(crate) attempts: u32,
}

/// One row of `state`.
pub(crate) type StateRow = (String, String, Option<i64>);

pub(super) fn identity(db: &Connection, path: &Path) -> Result<([u8; 16], String), StoreError> {
    let value = |key: &str| {
        db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |r| r.get::<_, Vec<u8>>(0))
            .map_err(|e| schema::sql(path, e))
    };
    let damaged = |what: &str| StoreError::Damaged { path: path.to_owned(), what: what.to_owned() };
    let hash_key = value("hash_key")?.try_into().map_err(|_| damaged("its hash key has not 16 bytes"))?;
    let store_id = String::from_utf8(value("store_id")?).map_err(|_| damaged("its id is not text"))?;
    Ok((hash_key, store_id))
}

pub(super) fn file_names(db: &Connection, table: &str) -> rusqlite::Result<HashSet<String>> {
    db.prepare(&format!("SELECT file FROM {table} WHERE file IS NOT NULL"))?.query_map([], |r| r.get(0))?.collect()
}

impl Store {
    /// The scope of (sink, integration), made if it is new.
    pub(crate) fn scope(&self, sink: &str, integration: &str) -> Result<i64, StoreError> {
        let find = "SELECT id FROM scope WHERE sink = ?1 AND integration = ?2";
        let found =
            self.read(|db| db.prepare_cached(find)?.query_row(params![sink, integration], |r| r.get(0)).optional())?;
        if let Some(id) = found {
            return Ok(id);
        }
        let (sink, integration) = (sink.to_owned(), integration.to_owned());
        self.write_sql(move |tx| {
            tx.execute("INSERT OR IGNORE INTO scope (sink, integration) VALUES (?1, ?2)", params![sink, integration])?;
            tx.query_row(find, params![sink, integration], |r| r.get(0))
        })
    }

    fn write_sql<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let path = self.paths.database.clone();
        self.writer.write_blocking(false, move |tx| work(tx).map_err(|e| schema::sql(&path, e)))
    }

    /// The cursor committed last at a path.
    pub(crate) fn cursor(&self, scope: i64, path: &str) -> Result<Option<String>, StoreError> {
        self.read(|db| {
            db.prepare_cached("SELECT cursor FROM session WHERE scope = ?1 AND path = ?2")?
                .query_row(params![scope, path], |r| r.get(0))
                .optional()
                .map(Option::flatten)
        })
    }

    /// Whether any session has ever committed a cursor.
    pub(crate) fn has_cursors(&self, scope: i64) -> Result<bool, StoreError> {
        self.read(|db| {
            db.prepare_cached("SELECT EXISTS (SELECT 1 FROM session WHERE scope = ?1 AND cursor IS NOT NULL)")?
                .query_row(params![scope], |r| r.get(0))
        })
    }

    /// The committed marks of a model; read once, then shared.
    pub(crate) fn mark_set(&self, scope: i64, model: &str) -> Result<Arc<MarkSet>, StoreError> {
        let mut sets = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = sets.get(&(scope, model.to_owned())) {
            return Ok(set.clone());
        }
        let rows = self.mark_rows(scope, model)?;
        let set = Arc::new(MarkSet::new(rows.into_iter().flat_map(|(_, runs)| runs).collect()));
        sets.insert((scope, model.to_owned()), set.clone());
        Ok(set)
    }

    /// The rows of a model's marks with their runs, oldest first.
    fn mark_rows(&self, scope: i64, model: &str) -> Result<Vec<(i64, Vec<Run>)>, StoreError> {
        type Row = (i64, String, Option<String>, Option<Vec<u8>>);
        let rows: Vec<Row> = self.read(|db| {
            db.prepare_cached("SELECT id, runs, file, data FROM mark WHERE scope = ?1 AND model = ?2 ORDER BY id")?
                .query_map(params![scope, model], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))?
                .collect()
        })?;
        rows.into_iter()
            .map(|(id, lengths, file, data)| {
                let runs = match file {
                    Some(name) => {
                        let path = self.paths.marks.join(name);
                        let lengths: Vec<usize> = lengths.split(' ').filter_map(|n| n.parse().ok()).collect();
                        marks::open_runs(&path, &lengths)
                            .map_err(|e| StoreError::Damaged { path, what: format!("a file of marks: {e}") })?
                    }
                    None => vec![Run::Memory(Arc::new(marks::decode_all(&data.unwrap_or_default())))],
                };
                Ok((id, runs))
            })
            .collect()
    }

    /// Merges a model's marks where they lie in many runs. To be called when no session of the model is open.
    pub(crate) fn merge_marks(&self, scope: i64, model: &str) -> Result<(), StoreError> {
        let set = self.mark_set(scope, model)?;
        if set.len() <= RUNS_MAX {
            return Ok(());
        }
        let rows = self.mark_rows(scope, model)?;
        let Some(newest) = rows.last().map(|row| row.0) else { return Ok(()) };
        let old_files: Vec<String> = self.read(|db| {
            db.prepare_cached(
                "SELECT file FROM mark WHERE scope = ?1 AND model = ?2 AND id <= ?3 AND file IS NOT NULL",
            )?
            .query_map(params![scope, model, newest], |r| r.get(0))?
            .collect()
        })?;
        let runs: Vec<Run> = rows.into_iter().flat_map(|(_, runs)| runs).collect();
        let name = self.new_file_name();
        let path = self.paths.marks.join(&name);
        let io = |e| StoreError::io("merge marks into", &path, e);
        let count = marks::merge(&runs, &path).map_err(io)?;
        sync_folder(&self.paths.marks).map_err(io)?;
        let model_name = model.to_owned();
        let merged = name.clone();
        self.write_sql(move |tx| {
            tx.execute(
                "DELETE FROM mark WHERE scope = ?1 AND model = ?2 AND id <= ?3",
                params![scope, model_name, newest],
            )?;
            // Under the id of the newest that it replaces: what came since stays newer.
            tx.execute(
                "INSERT INTO mark (id, scope, model, runs, file) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![newest, scope, model_name, runs_text(&[count]), merged],
            )
        })?;
        set.replace(self.mark_rows(scope, model)?.into_iter().flat_map(|(_, runs)| runs).collect());
        for name in old_files {
            // No row names them any more; the next opening collects what is left.
            drop(std::fs::remove_file(self.paths.marks.join(name)));
        }
        Ok(())
    }

    /// Forgets the marks and cursors of exactly one integration: in one scope, or in those of all sinks. Returns how many
    /// cursors and how many marks there were.
    pub fn force_historical(&self, integration: &str, sink: Option<&str>) -> Result<(usize, u64), StoreError> {
        let (name, sink) = (integration.to_owned(), sink.map(str::to_owned));
        let (cursors, marks, files) = self.write_sql(move |tx| {
            let scopes = "(SELECT id FROM scope WHERE integration = ?1 AND (?2 IS NULL OR sink = ?2))";
            let files: Vec<String> = tx
                .prepare(&format!("SELECT file FROM mark WHERE file IS NOT NULL AND scope IN {scopes}"))?
                .query_map(params![name, sink], |r| r.get(0))?
                .collect::<Result<_, _>>()?;
            let runs: Vec<String> = tx
                .prepare(&format!("SELECT runs FROM mark WHERE scope IN {scopes}"))?
                .query_map(params![name, sink], |r| r.get(0))?
                .collect::<Result<_, _>>()?;
            let marks = runs.iter().flat_map(|runs| runs.split(' ')).filter_map(|n| n.parse::<u64>().ok()).sum();
            tx.execute(&format!("DELETE FROM mark WHERE scope IN {scopes}"), params![name, sink])?;
            let update = format!("UPDATE session SET cursor = NULL WHERE cursor IS NOT NULL AND scope IN {scopes}");
            Ok((tx.execute(&update, params![name, sink])?, marks, files))
        })?;
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).clear();
        for file in files {
            drop(std::fs::remove_file(self.paths.marks.join(file)));
        }
        Ok((cursors, marks))
    }

    /// Jobs of a scope that are committed and neither ended nor dead, oldest first.
    pub(crate) fn git_jobs(&self, scope: i64) -> Result<Vec<GitJobRow>, StoreError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT id, path, repo, attempts FROM git_job WHERE scope = ?1 AND dead IS NULL ORDER BY id",
            )?
            .query_map([scope], |r| {
                Ok(GitJobRow { id: r.get(0)?, path: r.get(1)?, repo: r.get(2)?, attempts: r.get(3)? })
            })?
            .collect()
        })
    }

    /// Counts a failed try; at `attempts_max` the job becomes a dead letter.
    pub(crate) async fn git_job_failed(&self, id: i64, why: &str, attempts_max: u32) -> Result<(), StoreError> {
        let (why, path) = (why.to_owned(), self.paths.database.clone());
        self.writer
            .write(false, move |tx| {
                tx.execute(
                    "UPDATE git_job SET attempts = attempts + 1, dead = CASE WHEN attempts + 1 >= ?2 THEN ?3 END WHERE id = ?1",
                    params![id, attempts_max, why],
                )
                .map_err(|e| schema::sql(&path, e))
            })
            .await
            .map(drop)
    }

    /// What `state` holds for an integration.
    pub(crate) fn state(&self, integration: &str) -> Result<Vec<StateRow>, StoreError> {
        self.read(|db| {
            db.prepare_cached("SELECT key, value, expires FROM state WHERE integration = ?1")?
                .query_map([integration], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?
                .collect()
        })
    }

    /// Notes that a run has begun; returns its row.
    pub(crate) async fn run_started(&self, integration: &str) -> Result<i64, StoreError> {
        let (integration, path) = (integration.to_owned(), self.paths.database.clone());
        self.writer
            .write(false, move |tx| {
                (|| {
                    tx.execute(
                        "INSERT INTO run (integration, started) VALUES (?1, ?2)",
                        params![integration, super::now_ms()],
                    )?;
                    let id = tx.last_insert_rowid();
                    tx.execute("DELETE FROM run WHERE id <= ?1", [id - RUNS_KEPT])?;
                    Ok(id)
                })()
                .map_err(|e| schema::sql(&path, e))
            })
            .await
    }

    /// Notes how a run ended.
    pub(crate) async fn run_ended(
        &self,
        id: i64,
        outcome: &str,
        reason: Option<&str>,
        records: u64,
    ) -> Result<(), StoreError> {
        let (outcome, reason, path) = (outcome.to_owned(), reason.map(str::to_owned), self.paths.database.clone());
        self.writer
            .write(false, move |tx| {
                tx.execute(
                    "UPDATE run SET ended = ?2, outcome = ?3, reason = ?4, records = ?5 WHERE id = ?1",
                    params![id, super::now_ms(), outcome, reason, records as i64],
                )
                .map_err(|e| schema::sql(&path, e))
            })
            .await
            .map(drop)
    }

    /// How much waits for sinks.
    pub fn outbox_waiting(&self) -> Result<OutboxTotals, StoreError> {
        self.read(waiting)
    }

    /// Batches that sinks rejected for good.
    pub fn dead_count(&self) -> Result<u64, StoreError> {
        self.read(|db| {
            db.query_row("SELECT count(*) FROM batch WHERE dead IS NOT NULL", [], |r| r.get::<_, i64>(0))
                .map(|n| n as u64)
        })
    }
}

/// What people may look at beside a running agent. Opens the store without owning it.
pub struct Reader {
    db: Connection,
    paths: Paths,
}

impl Reader {
    pub fn open(root: &Path) -> Result<Reader, StoreError> {
        let paths = Paths::below(root);
        paths.judge_database_is_there()?;
        if !paths.database.exists() {
            return Err(StoreError::Missing { path: root.to_owned() });
        }
        Ok(Reader { db: schema::open_reader(&paths.database)?, paths })
    }

    fn rows<T>(
        &self,
        sql: &str,
        row: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let read = || -> rusqlite::Result<Vec<T>> { self.db.prepare(sql)?.query_map([], row)?.collect() };
        read().map_err(|e| schema::sql(&self.paths.database, e))
    }

    pub fn cursors(&self) -> Result<Vec<CursorRow>, StoreError> {
        self.rows(
            "SELECT s.sink, s.integration, c.path, c.cursor, c.at FROM session c JOIN scope s ON s.id = c.scope
             WHERE c.cursor IS NOT NULL ORDER BY s.integration, s.sink, c.path",
            |r| {
                Ok(CursorRow {
                    sink: r.get(0)?,
                    integration: r.get(1)?,
                    path: r.get(2)?,
                    cursor: r.get(3)?,
                    at: r.get(4)?,
                })
            },
        )
    }

    /// The last run of each integration.
    pub fn last_runs(&self) -> Result<Vec<RunRow>, StoreError> {
        self.rows(
            "SELECT integration, started, ended, outcome, reason, records FROM run
             WHERE id IN (SELECT max(id) FROM run GROUP BY integration) ORDER BY integration",
            |r| {
                let (integration, started, ended) = (r.get(0)?, r.get(1)?, r.get::<_, Option<i64>>(2)?);
                Ok(RunRow {
                    integration,
                    started_ms: in_ms(started),
                    ended_ms: ended.map(in_ms),
                    outcome: r.get(3)?,
                    reason: r.get(4)?,
                    records: r.get::<_, i64>(5)? as u64,
                })
            },
        )
    }

    /// Integrations that the store has heard of.
    pub fn integrations(&self) -> Result<Vec<String>, StoreError> {
        self.rows("SELECT integration FROM scope UNION SELECT integration FROM run ORDER BY 1", |r| r.get(0))
    }

    /// How many marks there are, by integration: an upper bound, as older ones may be replaced and not yet merged away.
    pub fn mark_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.rows("SELECT s.integration, m.runs FROM mark m JOIN scope s ON s.id = m.scope", |r| {
            let runs: String = r.get(1)?;
            Ok((r.get(0)?, runs.split(' ').filter_map(|n| n.parse::<u64>().ok()).sum()))
        })
    }

    pub fn outbox(&self) -> Result<OutboxTotals, StoreError> {
        waiting(&self.db).map_err(|e| schema::sql(&self.paths.database, e))
    }

    pub fn dead(&self) -> Result<Vec<DeadBatch>, StoreError> {
        self.rows(
            "SELECT b.id, s.integration, b.path, b.seq, b.model, b.records, b.bytes, b.dead, b.file
             FROM batch b JOIN scope s ON s.id = b.scope WHERE b.dead IS NOT NULL ORDER BY b.id",
            |r| {
                Ok(DeadBatch {
                    id: r.get(0)?,
                    integration: r.get(1)?,
                    path: r.get(2)?,
                    seq: r.get::<_, i64>(3)? as u64,
                    model: r.get(4)?,
                    records: r.get::<_, i64>(5)? as u64,
                    bytes: r.get::<_, i64>(6)? as u64,
                    reason: r.get(7)?,
                    file: r.get(8)?,
                })
            },
        )
    }

    /// Git jobs that wait or are dead.
    pub fn git_jobs(&self) -> Result<Vec<QueuedRepo>, StoreError> {
        self.rows("SELECT s.integration, j.dead FROM git_job j JOIN scope s ON s.id = j.scope ORDER BY j.id", |r| {
            Ok(QueuedRepo { integration: r.get(0)?, dead: r.get(1)? })
        })
    }

    /// Looks at the whole database, and at whether the files that it names are there. Empty if all is well.
    pub fn check(&self) -> Result<Vec<String>, StoreError> {
        let mut faults: Vec<String> = self.rows("PRAGMA integrity_check(20)", |r| r.get(0))?;
        faults.retain(|line| line != "ok");
        for (folder, table) in [(&self.paths.segments, "batch"), (&self.paths.marks, "mark")] {
            let names = file_names(&self.db, table).map_err(|e| schema::sql(&self.paths.database, e))?;
            let missing = names.iter().map(|name| folder.join(name)).filter(|path| !path.exists());
            faults.extend(missing.map(|path| format!("{} is named by the database and missing", path.display())));
        }
        Ok(faults)
    }
}

/// Who owns a root now, if anybody.
pub fn owner(root: &Path) -> Option<String> {
    let path = Paths::below(root).lock;
    let file = std::fs::File::open(&path).ok()?;
    match file.try_lock_shared() {
        Ok(()) => None,
        Err(_) => Some(std::fs::read_to_string(&path).unwrap_or_default().trim().to_owned()),
    }
}

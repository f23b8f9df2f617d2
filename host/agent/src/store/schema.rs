//! The tables of the store, their version, and what to make of SQLite's errors. The only file that creates tables.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::StoreError;
use super::reserve::free_bytes;

/// `application_id` in the database's header: "AGNT". A database without it is not ours.
const APPLICATION_ID: i32 = 0x4147_4e54;

/// `user_version`: raised when the tables change. Migrations go from each older version to the next.
const VERSION: i32 = 1;

/// A scope is (sink, integration): marks and cursors belong to one. A batch row or a mark row is what makes a file
/// under `segments/` or `marks/` exist; a file that no row names is garbage.
const TABLES: &str = "
CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE scope (
  id INTEGER PRIMARY KEY,
  sink TEXT NOT NULL,
  integration TEXT NOT NULL,
  UNIQUE (sink, integration)
) STRICT;
CREATE TABLE session (
  scope INTEGER NOT NULL REFERENCES scope,
  path TEXT NOT NULL,
  next_seq INTEGER NOT NULL,
  cursor TEXT,
  component TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (scope, path)
) STRICT, WITHOUT ROWID;
CREATE TABLE batch (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  scope INTEGER NOT NULL REFERENCES scope,
  path TEXT NOT NULL,
  seq INTEGER NOT NULL,
  model TEXT NOT NULL,
  key TEXT NOT NULL,
  records INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  codec INTEGER NOT NULL,
  file TEXT,
  data BLOB,
  dead TEXT,
  at INTEGER NOT NULL
) STRICT;
CREATE INDEX batch_waiting ON batch (id) WHERE dead IS NULL;
CREATE TABLE mark (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  scope INTEGER NOT NULL REFERENCES scope,
  model TEXT NOT NULL,
  runs TEXT NOT NULL,
  file TEXT,
  data BLOB
) STRICT;
CREATE INDEX mark_of ON mark (scope, model, id);
CREATE TABLE git_job (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  scope INTEGER NOT NULL REFERENCES scope,
  path TEXT NOT NULL,
  ref_id TEXT NOT NULL,
  repo TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  dead TEXT,
  at INTEGER NOT NULL,
  UNIQUE (scope, path, ref_id)
) STRICT;
CREATE TABLE state (
  integration TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  expires INTEGER,
  PRIMARY KEY (integration, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE run (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  integration TEXT NOT NULL,
  started INTEGER NOT NULL,
  ended INTEGER,
  outcome TEXT,
  reason TEXT,
  records INTEGER NOT NULL DEFAULT 0
) STRICT;
";

/// Opens the database for the owner of the root; creates the tables in a new one.
pub(super) fn open_owner(path: &Path) -> Result<Connection, StoreError> {
    let mut db = Connection::open(path).map_err(|e| sql(path, e))?;
    (|| {
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        // Every commit is synced: it survives the power failing the moment after.
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", "ON")?;
        // A root with little in it should stay small; 4 MiB of log is a few hundred commits.
        db.pragma_update(None, "wal_autocheckpoint", 1000)?;
        db.set_prepared_statement_cache_capacity(64);
        Ok(())
    })()
    .map_err(|e| sql(path, e))?;
    let fresh =
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get::<_, i64>(0)).map_err(|e| sql(path, e))? == 0;
    if fresh {
        create(&mut db).map_err(|e| sql(path, e))?;
    }
    judge(&db, path)?;
    Ok(db)
}

/// Opens the database for reading beside its owner.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    // Not SQLITE_OPEN_READ_ONLY: a reader of a database in WAL mode must be able to map the shared index.
    // `query_only` keeps it from writing.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(|e| sql(path, e))?;
    (|| {
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        db.pragma_update(None, "query_only", "ON")?;
        db.set_prepared_statement_cache_capacity(32);
        Ok(())
    })()
    .map_err(|e| sql(path, e))?;
    judge(&db, path)?;
    Ok(db)
}

fn create(db: &mut Connection) -> rusqlite::Result<()> {
    let mut key = [0u8; 16];
    let mut id = [0u8; 4];
    db.query_row("SELECT randomblob(16), randomblob(4)", [], |r| {
        key.copy_from_slice(r.get_ref(0)?.as_blob()?);
        id.copy_from_slice(r.get_ref(1)?.as_blob()?);
        Ok(())
    })?;
    let id: String = id.iter().map(|b| format!("{b:02x}")).collect();
    let tx = db.transaction()?;
    tx.execute_batch(TABLES)?;
    tx.execute("INSERT INTO meta VALUES ('hash_key', ?1), ('store_id', ?2)", (&key[..], id.as_bytes()))?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()
}

fn judge(db: &Connection, path: &Path) -> Result<(), StoreError> {
    let pragma = |name: &str| db.pragma_query_value(None, name, |r| r.get::<_, i32>(0)).map_err(|e| sql(path, e));
    if pragma("application_id")? != APPLICATION_ID {
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            what: "it is a database, but not one of the agent's".into(),
        });
    }
    match pragma("user_version")? {
        VERSION => Ok(()),
        found => Err(StoreError::Version { path: path.to_owned(), found, known: VERSION }),
    }
}

/// What the index beside the database's log takes at once.
const INDEX_BYTES: u64 = 64 << 10;

/// Translates SQLite's error into what an operator must know.
pub(super) fn sql(path: &Path, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Damaged { path: path.to_owned(), what: error.to_string() }
        }
        Some(ErrorCode::DiskFull) => StoreError::DiskFull { path: path.to_owned() },
        // The index beside the log that does not find its 32 KiB has no code of its own for why.
        Some(ErrorCode::SystemIoFailure) if free_bytes(path).is_some_and(|free| free < INDEX_BYTES) => {
            StoreError::DiskFull { path: path.to_owned() }
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            StoreError::NotWritable { path: path.to_owned(), why: error.to_string() }
        }
        _ => StoreError::Sql { path: path.to_owned(), source: std::sync::Arc::new(error) },
    }
}

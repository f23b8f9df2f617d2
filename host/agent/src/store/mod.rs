//! The commit point. One SQLite database (write-ahead log, every commit synced) holds outbox, cursors, marks, git jobs, state
//! and runs; bulk lies beside it in immutable files that are synced first and are garbage unless a row names them. So a
//! commit costs the same for a thousand records and for a million.
//!
//! One agent owns a root: it holds the lock. Readers (`status`, `doctor`) open the database beside it and change nothing.

mod commit;
mod marks;
mod outbox;
mod read;
pub(crate) mod record;
mod reserve;
mod schema;
mod segment;
mod writer;

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Notify;

pub(crate) use commit::{Commit, NewBatch, NewData, NewJob, NewMarks, StateChange};
pub(crate) use marks::{
    INLINE_MARKS_MAX, Mark, MarkSet, MarkWriter, RUN_MARKS_MAX, Run, encode as encode_marks, sort_run,
};
pub use outbox::{Batch, BatchData, DeadBatch, OutboxTotals};
pub use read::{CursorRow, QueuedRepo, Reader, RunRow, owner};
pub(crate) use reserve::free_bytes;
pub use segment::Codec;
pub(crate) use segment::{SealedSegment, SegmentWriter, sync_folder};

const DATABASE: &str = "agent.db";
const LOCK: &str = "lock";
const SEGMENTS: &str = "segments";
const MARKS: &str = "marks";

/// Why the store cannot do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("another agent (process {pid}) owns {}; stop it, or give this one a root of its own", path.display())]
    Locked { path: PathBuf, pid: String },
    #[error("there is no store at {}; `agent export` makes one", path.display())]
    Missing { path: PathBuf },
    #[error("the store at {} is damaged ({what}); nothing was changed. `agent doctor` says what can be done", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the store at {} has format {found}, this agent knows {known}; use the agent that wrote it or a newer one", path.display())]
    Version { path: PathBuf, found: i32, known: i32 },
    #[error("the disk that holds {} is full; free some space and run again, nothing committed is lost", path.display())]
    DiskFull { path: PathBuf },
    #[error("{} cannot be written: {why}", path.display())]
    NotWritable { path: PathBuf, why: String },
    #[error("cannot {what} {}", path.display())]
    Io {
        what: String,
        path: PathBuf,
        #[source]
        source: Arc<io::Error>,
    },
    #[error("the database {} failed", path.display())]
    Sql {
        path: PathBuf,
        #[source]
        source: Arc<rusqlite::Error>,
    },
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn io(what: &str, path: &Path, error: io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull { path: path.to_owned() },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotADirectory => {
                StoreError::NotWritable { path: path.to_owned(), why: error.to_string() }
            }
            _ => StoreError::Io { what: what.to_owned(), path: path.to_owned(), source: Arc::new(error) },
        }
    }
}

/// The store of one root, opened by its owner.
pub struct Store {
    paths: Paths,
    writer: writer::Writer,
    /// For short reads: cursors, jobs, what waits.
    reader: Mutex<Connection>,
    hash_key: [u8; 16],
    store_id: String,
    marks: Mutex<HashMap<(i64, String), Arc<MarkSet>>>,
    next_file: AtomicU64,
    codec: Codec,
    outbox_bytes_max: u64,
    /// Bytes committed and not yet delivered.
    outbox_bytes: AtomicU64,
    outbox_shrank: Notify,
    outbox_grew: Notify,
    /// Held for as long as the store is open. Last, so that it is released last.
    _lock: File,
}

/// Where things lie below a root.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    pub(crate) database: PathBuf,
    pub(crate) segments: PathBuf,
    pub(crate) marks: PathBuf,
    pub(crate) reserve: PathBuf,
    pub(crate) lock: PathBuf,
}

impl Paths {
    pub(crate) fn below(root: &Path) -> Paths {
        let store = root.join("store");
        Paths {
            database: store.join(DATABASE),
            segments: store.join(SEGMENTS),
            marks: store.join(MARKS),
            reserve: store.join("reserve"),
            lock: root.join(LOCK),
        }
    }

    /// Refuses a store that has lost its database: what it committed is there, and nothing says what it was. Beginning
    /// anew would delete it as garbage. The reserve is made after the tables, so a crash between the two looks new.
    fn judge_database_is_there(&self) -> Result<(), StoreError> {
        let state = match std::fs::metadata(&self.database) {
            Ok(meta) if meta.len() > 0 => return Ok(()),
            Ok(_) => "is empty",
            Err(error) if error.kind() == io::ErrorKind::NotFound => "is missing",
            Err(error) => return Err(StoreError::io("read", &self.database, error)),
        };
        let holds = |folder: &Path| std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
        if self.reserve.exists() || holds(&self.segments) || holds(&self.marks) {
            let what = format!("its database {DATABASE} {state}, and other files of it are there");
            return Err(StoreError::Damaged { path: self.database.clone(), what });
        }
        Ok(())
    }
}

impl Store {
    /// Opens the store of a root, as its owner; makes a new one where there is none.
    /// `codec` is how new batches are written, and `outbox_bytes_max` how much may wait for the sink.
    pub fn open(root: &Path, codec: Codec, outbox_bytes_max: u64) -> Result<Store, StoreError> {
        let paths = Paths::below(root);
        for folder in [root, &paths.segments, &paths.marks] {
            create_folder(folder, PRIVATE).map_err(|e| StoreError::io("create", folder, e))?;
        }
        let lock = take_lock(&paths.lock)?;
        paths.judge_database_is_there()?;
        // Opening the database takes some space, and a full disk is when the reserve is for.
        reserve::release_if_full(&paths.reserve);
        let db = schema::open_owner(&paths.database)?;
        // Also where it was there before: whoever made it may have been killed before its name was durable.
        let folder = paths.database.parent().unwrap_or(root);
        sync_folder(folder).map_err(|e| StoreError::io("sync", folder, e))?;
        let (hash_key, store_id) = read::identity(&db, &paths.database)?;
        let next_file = collect_garbage(&db, &paths)?;
        let outbox_bytes = outbox::waiting(&db).map_err(|e| schema::sql(&paths.database, e))?.bytes;
        let reader = schema::open_reader(&paths.database)?;
        let writer = writer::Writer::start(db, paths.database.clone(), reserve::Reserve::new(paths.reserve.clone()))?;
        Ok(Store {
            paths,
            writer,
            reader: Mutex::new(reader),
            hash_key,
            store_id,
            marks: Mutex::default(),
            next_file: AtomicU64::new(next_file),
            codec,
            outbox_bytes_max,
            outbox_bytes: AtomicU64::new(outbox_bytes),
            outbox_shrank: Notify::new(),
            outbox_grew: Notify::new(),
            _lock: lock,
        })
    }

    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The key of this root for hashes of keys and records.
    pub(crate) fn hash_key(&self) -> &[u8; 16] {
        &self.hash_key
    }

    /// Tells this store's files from another's in one sink; 8 hex digits.
    pub(crate) fn store_id(&self) -> &str {
        &self.store_id
    }

    /// A name for a new file; never given twice.
    pub(crate) fn new_file_name(&self) -> String {
        format!("{:010}", self.next_file.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn sql(&self, error: rusqlite::Error) -> StoreError {
        schema::sql(&self.paths.database, error)
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let db = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        work(&db).map_err(|e| self.sql(e))
    }

    /// Bytes committed and not yet delivered.
    pub fn outbox_bytes(&self) -> u64 {
        self.outbox_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    /// Whether as much waits for the sink as may.
    pub(crate) fn outbox_is_full(&self) -> bool {
        self.outbox_bytes() >= self.outbox_bytes_max
    }

    /// Waits until something was delivered. Ask `outbox_bytes` again after it: it also returns at random.
    pub(crate) fn outbox_shrank(&self) -> tokio::sync::futures::Notified<'_> {
        self.outbox_shrank.notified()
    }

    /// Waits until something was committed.
    pub(crate) fn outbox_grew(&self) -> tokio::sync::futures::Notified<'_> {
        self.outbox_grew.notified()
    }
}

/// The mode of folders that nobody else may look into.
const PRIVATE: u32 = 0o700;

/// Makes a folder, and those above it that are missing, and makes their names durable: each before the next is made below
/// it. So of those that are there already only the lowest can be one whose maker was killed before its name was durable,
/// and that one is synced again.
pub(crate) fn create_folder(folder: &Path, mode: u32) -> io::Result<()> {
    let above = match folder.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Ok(()),
    };
    if folder.is_dir() {
        return sync_folder(above).or_else(|error| match error.kind() {
            // No place where this agent can make folders, so it has not made this one.
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::InvalidInput => Ok(()),
            _ => Err(error),
        });
    }
    create_folder(above, mode)?;
    match DirBuilder::new().mode(mode).create(folder) {
        // Somebody else was faster.
        Err(_) if folder.is_dir() => {}
        made => made?,
    }
    sync_folder(above)
}

/// The lock is asked for so often, so long apart: `status` and `doctor` look at it for a moment, and a child that its owner
/// has started holds it until it has become another program.
const LOCK_TRIES: u32 = 10;
const LOCK_WAIT: std::time::Duration = std::time::Duration::from_millis(50);

/// Takes the lock of a root, or says who has it. The kernel releases it when the process ends, however it ends.
fn take_lock(path: &Path) -> Result<File, StoreError> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(|e| StoreError::io("open", path, e))?;
    for wait in (0..LOCK_TRIES).rev() {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if wait > 0 => std::thread::sleep(LOCK_WAIT),
            Err(TryLockError::WouldBlock) => {
                let pid = std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
                return Err(StoreError::Locked { path: path.parent().unwrap_or(path).to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path, error)),
        }
    }
    // Who holds it is for people to read; the lock itself does not depend on it, so a full disk does not matter.
    drop(file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())));
    Ok(file)
}

/// Bytes of a root's store on disk.
pub fn disk_bytes(root: &Path) -> u64 {
    fn below(folder: &Path) -> u64 {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|e| e.metadata().map_or(0, |m| if m.is_dir() { below(&e.path()) } else { m.len() })).sum()
    }
    below(&root.join("store"))
}

/// Deletes files that no row names, left over from a crash; a row whose file is gone is damage. Returns a number above all names in use.
fn collect_garbage(db: &Connection, paths: &Paths) -> Result<u64, StoreError> {
    let mut next = 1;
    for (folder, table) in [(&paths.segments, "batch"), (&paths.marks, "mark")] {
        let named = read::file_names(db, table).map_err(|e| schema::sql(&paths.database, e))?;
        for entry in std::fs::read_dir(folder).map_err(|e| StoreError::io("read", folder, e))? {
            let entry = entry.map_err(|e| StoreError::io("read", folder, e))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            next = next.max(name.parse::<u64>().map_or(0, |n| n + 1));
            if !named.contains(&name) {
                std::fs::remove_file(entry.path()).map_err(|e| StoreError::io("delete", &entry.path(), e))?;
            }
        }
        for name in &named {
            next = next.max(name.parse::<u64>().map_or(0, |n| n + 1));
            let path = folder.join(name);
            if !path.exists() {
                let what = format!("a commit names this file of a {table}, and it is not there");
                return Err(StoreError::Damaged { path, what });
            }
        }
    }
    Ok(next)
}

/// Writes a file's pages to the disk and waits for them, but not for what describes them: that is the commit's, which then
/// finds little left to do.
pub(crate) fn write_back(file: &File) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        const HOW: libc::c_uint =
            libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
        // SAFETY: the descriptor is open for the length of the call, which touches no memory of ours.
        match unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, HOW) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
    #[cfg(not(target_os = "linux"))]
    file.sync_data()
}

/// Unix milliseconds now.
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Unix seconds now.
pub(crate) fn now_secs() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

//! The one thread that writes to the database. Requests that wait together are committed together: each in a savepoint
//! of its own, so that one that fails takes nobody along, and all under one sync.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, Transaction};
use tokio::sync::oneshot;

use super::{StoreError, reserve::Reserve, schema};

/// Requests that may wait for the writer; more make their senders wait. A request is a commit of a session, of which
/// few hundred are open at a time.
const QUEUE_MAX: usize = 256;

/// Requests under one sync. More would gain little and make the first wait long.
const GROUP_MAX: usize = 64;

type Work = Box<dyn FnOnce(&Transaction<'_>) -> Result<Reply, StoreError> + Send>;
/// Tells the waiting caller, once the group is durable or has failed.
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

struct Request {
    work: Work,
    /// Called instead of a reply when `work` itself failed.
    failed: Box<dyn FnOnce(StoreError) + Send>,
    /// Frees space, and so may use what is kept back for that.
    frees_space: bool,
}

/// The handle on the writer's thread. Dropping it ends the thread after what is queued.
pub(super) struct Writer {
    queue: Option<SyncSender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(db: Connection, path: PathBuf, reserve: Reserve) -> Result<Writer, StoreError> {
        let (queue, requests) = sync_channel(QUEUE_MAX);
        let thread_path = path.clone();
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || write_all(db, &thread_path, &reserve, &requests))
            .map_err(|e| StoreError::io("start the writer for", &path, e))?;
        Ok(Writer { queue: Some(queue), thread: Some(thread) })
    }

    /// Runs `work` in a transaction and returns its result once that is durable.
    pub(super) async fn write<T, F>(&self, frees_space: bool, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.enqueue(frees_space, work, move |result| drop(answer.send(result)));
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The same for callers outside the async runtime.
    pub(super) fn write_blocking<T, F>(&self, frees_space: bool, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = sync_channel(1);
        self.enqueue(frees_space, work, move |result| drop(answer.send(result)));
        answered.recv().unwrap_or(Err(StoreError::Closed))
    }

    fn enqueue<T, F, A>(&self, frees_space: bool, work: F, answer: A)
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
        A: FnOnce(Result<T, StoreError>) + Send + 'static,
    {
        let answer = std::sync::Arc::new(std::sync::Mutex::new(Some(answer)));
        let on_failure = answer.clone();
        let take = |slot: &std::sync::Mutex<Option<A>>| slot.lock().unwrap_or_else(|e| e.into_inner()).take();
        let work: Work = Box::new(move |tx| {
            let value = work(tx)?;
            Ok(Box::new(move |durable: Result<(), StoreError>| {
                if let Some(answer) = take(&answer) {
                    answer(durable.map(|()| value));
                }
            }) as Reply)
        });
        let failed = Box::new(move |error| {
            if let Some(answer) = take(&on_failure) {
                answer(Err(error));
            }
        });
        if let Some(queue) = &self.queue {
            // If the thread is gone the request is dropped, and with it the answer: the caller sees `Closed`.
            drop(queue.send(Request { work, failed, frees_space }));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the writer has been reported by the panic hook; there is nothing to add here.
            drop(thread.join());
        }
    }
}

fn write_all(mut db: Connection, path: &std::path::Path, reserve: &Reserve, requests: &Receiver<Request>) {
    while let Ok(first) = requests.recv() {
        let mut group = vec![first];
        while group.len() < GROUP_MAX {
            match requests.try_recv() {
                Ok(next) => group.push(next),
                Err(_) => break,
            }
        }
        if group.iter().any(|r| r.frees_space) {
            reserve.release_if_full();
        }
        write_group(&mut db, path, group);
        reserve.restore();
    }
}

fn write_group(db: &mut Connection, path: &std::path::Path, group: Vec<Request>) {
    let mut tx = match db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate) {
        Ok(tx) => tx,
        Err(error) => {
            let error = schema::sql(path, error);
            group.into_iter().for_each(|r| (r.failed)(error.clone()));
            return;
        }
    };
    let mut replies = Vec::with_capacity(group.len());
    for request in group {
        match in_savepoint(&mut tx, path, request.work) {
            Ok(reply) => replies.push(reply),
            Err(error) => (request.failed)(error),
        }
    }
    let durable = tx.commit().map_err(|e| schema::sql(path, e));
    replies.into_iter().for_each(|reply| reply(durable.clone()));
}

fn in_savepoint(tx: &mut Transaction<'_>, path: &std::path::Path, work: Work) -> Result<Reply, StoreError> {
    // rusqlite's savepoint derefs to a connection, not to a transaction; by hand it stays one type.
    tx.execute_batch("SAVEPOINT request").map_err(|e| schema::sql(path, e))?;
    match work(tx) {
        Ok(reply) => {
            tx.execute_batch("RELEASE request").map_err(|e| schema::sql(path, e))?;
            Ok(reply)
        }
        Err(error) => {
            // When the disk is full SQLite may have rolled back the whole transaction; then the commit fails for
            // everybody and says so.
            drop(tx.execute_batch("ROLLBACK TO request; RELEASE request"));
            Err(error)
        }
    }
}

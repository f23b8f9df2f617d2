//! Outbox → sink. One task takes batches in the order of their commits and hands them over; the sink's verdict decides:
//! accepted batches are gone, rejected ones become dead letters, others are tried again. Every sink may be given a batch
//! twice (after a crash between taking and acknowledging) and keeps it once, by its identity.

mod folder;
mod lines;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::config::Sink as SinkConfig;
use crate::shutdown::Shutdown;
use crate::store::{Batch, BatchData, Store, StoreError};

pub use folder::file_name as folder_name;
pub use lines::{Lines, LinesTo, Showing};

/// Batches read from the outbox at a time; small ones carry their bytes, 64 KiB each at most.
const TAKE_MAX: usize = 128;

/// How long batches wait for others, so that a folder gets few files, and how many bytes are waited for.
const LINGER: Duration = Duration::from_secs(1);
const GATHER_BYTES: u64 = 1 << 20;

/// Waits between tries of a sink that cannot take anything now.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Tries at the end of a run before the rest is left for the next one: a sink that is down for two seconds is waited for.
const FLUSH_TRIES: u32 = 5;

/// What a sink says of a group of batches.
#[derive(Debug)]
pub(crate) enum Verdict {
    Accepted,
    /// It cannot take it now.
    Retry(String),
    /// It will never take it.
    Rejected(String),
}

/// What was delivered, for the report.
#[derive(Debug, Default)]
pub struct Counters {
    pub batches: AtomicU64,
    pub records: AtomicU64,
    pub bytes: AtomicU64,
    pub files: AtomicU64,
    pub dead: AtomicU64,
}

enum Sink {
    Folder(folder::Folder),
    Lines(Lines),
}

/// The task that delivers. `flush` waits until nothing is left, or says what stands in the way.
pub struct Delivery {
    ask: mpsc::Sender<oneshot::Sender<Result<(), DeliveryError>>>,
    counters: Arc<Counters>,
    task: tokio::task::JoinHandle<()>,
}

/// Why batches stay in the outbox. They are delivered by the next run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeliveryError {
    #[error("the sink takes nothing now: {why}; what is left in the outbox is delivered by the next run")]
    Sink { why: String },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("delivery has ended")]
    Ended,
}

impl Delivery {
    /// Starts delivering what is and will be in the outbox for this sink.
    pub fn start(store: Arc<Store>, config: &SinkConfig, shutdown: &Shutdown) -> Delivery {
        Delivery::start_as(store, config.id(), config, shutdown)
    }

    /// As [`Delivery::start`], for a sink whose cursors and marks are kept under another name.
    pub fn start_as(store: Arc<Store>, sink_id: String, config: &SinkConfig, shutdown: &Shutdown) -> Delivery {
        let sink = match config {
            SinkConfig::Folder { path, compression } => {
                Sink::Folder(folder::Folder::new(path.clone(), *compression, store.store_id()))
            }
            SinkConfig::Stdout => Sink::Lines(Lines::stdout()),
        };
        Delivery::begin(store, sink_id, sink, shutdown)
    }

    /// Starts delivering to lines that somebody watches.
    pub fn start_lines(store: Arc<Store>, sink_id: String, lines: Lines, shutdown: &Shutdown) -> Delivery {
        Delivery::begin(store, sink_id, Sink::Lines(lines), shutdown)
    }

    fn begin(store: Arc<Store>, sink_id: String, sink: Sink, shutdown: &Shutdown) -> Delivery {
        let counters = Arc::new(Counters::default());
        // Few ask for a flush, each once.
        let (ask, asked) = mpsc::channel(16);
        let courier =
            Courier { store, sink: Arc::new(sink), sink_id, counters: counters.clone(), shutdown: shutdown.clone() };
        let task = shutdown.spawn(courier.run(asked));
        Delivery { ask, counters, task }
    }

    /// Delivers all that is committed, and returns when it is acknowledged.
    pub async fn flush(&self) -> Result<(), DeliveryError> {
        let (answer, answered) = oneshot::channel();
        self.ask.send(answer).await.map_err(|_| DeliveryError::Ended)?;
        answered.await.map_err(|_| DeliveryError::Ended)?
    }

    /// Ends the task, and lets go of the store. What has not been delivered stays in the outbox.
    pub async fn stop(self) {
        drop(self.ask);
        // A panic of the task has been reported by the panic hook.
        drop(self.task.await);
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

struct Courier {
    store: Arc<Store>,
    sink: Arc<Sink>,
    sink_id: String,
    counters: Arc<Counters>,
    shutdown: Shutdown,
}

/// Batches that go to the sink together: of one integration and model, in order.
pub(crate) type Group = Vec<Batch>;

impl Courier {
    async fn run(self, mut asked: mpsc::Receiver<oneshot::Sender<Result<(), DeliveryError>>>) {
        let mut tick = tokio::time::interval(LINGER);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut wait = RETRY_FIRST;
        let mut not_before = Instant::now();
        loop {
            let due = tokio::select! {
                ask = asked.recv() => match ask {
                    // Nobody may wait for the answer any more.
                    Some(answer) => { drop(answer.send(self.flush().await)); false }
                    None => return,
                },
                () = self.store.outbox_grew() => self.store.outbox_bytes() >= GATHER_BYTES,
                _ = tick.tick() => true,
            };
            if !due || Instant::now() < not_before {
                continue;
            }
            match self.round().await {
                Ok(()) => wait = RETRY_FIRST,
                Err(error) => {
                    tracing::warn!(
                        error = crate::error_chain(&error),
                        retry_ms = wait.as_millis() as u64,
                        "delivery waits"
                    );
                    not_before = Instant::now() + wait;
                    wait = (wait * 2).min(RETRY_MAX);
                }
            }
        }
    }

    async fn flush(&self) -> Result<(), DeliveryError> {
        let mut wait = RETRY_FIRST;
        for attempt in 1.. {
            match self.round().await {
                Err(DeliveryError::Sink { .. }) if attempt < FLUSH_TRIES => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                result => return result,
            }
        }
        Ok(())
    }

    /// Goes through the outbox once.
    async fn round(&self) -> Result<(), DeliveryError> {
        let mut after = 0;
        loop {
            let batches = self.store.outbox_next(&self.sink_id, after, TAKE_MAX)?;
            let Some(last) = batches.last() else { return Ok(()) };
            after = last.id;
            self.deliver(batches).await?;
        }
    }

    /// Hands over some batches. Those of one integration and model go in order, and each group is acknowledged before the
    /// next of its kind is handed over: so a group that is handed over twice begins with the same batch.
    async fn deliver(&self, batches: Vec<Batch>) -> Result<(), DeliveryError> {
        for wave in waves(batches) {
            let mut accepted = Vec::new();
            let mut failure = None;
            for group in wave {
                let (group, verdict) = self.hand_over(group).await?;
                match verdict {
                    Verdict::Accepted => accepted.extend(group),
                    Verdict::Rejected(why) => self.reject(group, &why).await?,
                    Verdict::Retry(why) => failure = Some(DeliveryError::Sink { why }),
                }
            }
            self.acknowledge(accepted).await?;
            if let Some(failure) = failure {
                return Err(failure);
            }
        }
        Ok(())
    }

    async fn hand_over(&self, group: Group) -> Result<(Group, Verdict), DeliveryError> {
        let sink = self.sink.clone();
        let work = move || {
            let verdict = match &*sink {
                Sink::Folder(folder) => folder.take(&group),
                Sink::Lines(lines) => lines.take(&group),
            };
            (group, verdict)
        };
        let (group, verdict) = self.shutdown.spawn_blocking(work).await.map_err(|_| DeliveryError::Ended)?;
        Ok((group, verdict))
    }

    /// One rejected batch must not take its neighbours along: a group is tried again batch by batch.
    async fn reject(&self, group: Group, why: &str) -> Result<(), DeliveryError> {
        if let [batch] = &group[..] {
            tracing::error!(
                integration = batch.integration,
                path = batch.path,
                seq = batch.seq,
                why,
                "the sink rejected a batch for good; it is kept as a dead letter"
            );
            self.counters.dead.fetch_add(1, Ordering::Relaxed);
            return Ok(self.store.outbox_reject(batch, why).await?);
        }
        for batch in group {
            let (group, verdict) = self.hand_over(vec![batch]).await?;
            match verdict {
                Verdict::Accepted => self.acknowledge(group).await?,
                Verdict::Rejected(why) => Box::pin(self.reject(group, &why)).await?,
                Verdict::Retry(why) => return Err(DeliveryError::Sink { why }),
            }
        }
        Ok(())
    }

    async fn acknowledge(&self, batches: Vec<Batch>) -> Result<(), DeliveryError> {
        if batches.is_empty() {
            return Ok(());
        }
        let count = |counter: &AtomicU64, of: u64| {
            counter.fetch_add(of, Ordering::Relaxed);
        };
        count(&self.counters.batches, batches.len() as u64);
        count(&self.counters.records, batches.iter().map(|b| b.records).sum());
        count(&self.counters.bytes, batches.iter().map(|b| b.bytes).sum());
        if let Sink::Folder(folder) = &*self.sink {
            self.counters.files.store(folder.files(), Ordering::Relaxed);
        }
        Ok(self.store.outbox_accept(batches).await?)
    }
}

impl Batch {
    fn is_small(&self) -> bool {
        matches!(self.data, BatchData::Inline(_))
    }
}

/// Groups batches, and puts groups of one (integration, model) into waves that follow each other. A batch that is a file of
/// its own is a group of its own.
fn waves(batches: Vec<Batch>) -> Vec<Vec<Group>> {
    let mut waves: Vec<Vec<Group>> = Vec::new();
    let mut rest = batches;
    while !rest.is_empty() {
        let mut wave: Vec<Group> = Vec::new();
        let mut closed: HashSet<(String, String)> = HashSet::new();
        let mut later = Vec::new();
        for batch in rest {
            let kind = (batch.integration.clone(), batch.model.clone());
            if closed.contains(&kind) {
                later.push(batch);
                continue;
            }
            let group = wave.iter_mut().find(|g| g[0].integration == batch.integration && g[0].model == batch.model);
            match group {
                Some(group) if batch.is_small() => group.push(batch),
                Some(_) => {
                    closed.insert(kind);
                    later.push(batch);
                }
                None => {
                    if !batch.is_small() {
                        closed.insert(kind);
                    }
                    wave.push(vec![batch]);
                }
            }
        }
        waves.push(wave);
        rest = later;
    }
    waves
}

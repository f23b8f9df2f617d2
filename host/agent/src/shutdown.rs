//! Asking everything to end, and the only place where tasks are spawned: what it has started it can stop. The first
//! interrupt asks (runs end at their next checkpoint), the second does not wait.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::{Handle, Runtime, RuntimeFlavor};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Processors that this process may use.
#[must_use]
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Starts the threads on which everything runs: as many as there are processors, or two. One more than can run is woken for nothing
/// at each step of the network. What is known to take long gives its thread's other tasks away first ([`keep_busy`]), so that what
/// is short, the network, timers, calls that come, waits for it once and not again and again.
pub fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(processors().max(2)).enable_all().build()
}

/// Does work that is likely to keep its thread busy for a millisecond or more, as part of a task. All other tasks of the thread go
/// to another one first, which takes some microseconds.
pub fn keep_busy<T>(work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    match flavor {
        // The other place that clippy.toml's bans except; it fails on any other runtime, and there is no other thread there.
        #[allow(clippy::disallowed_methods)]
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// A request to end that everything can see and wait for. Clones share it.
#[derive(Clone, Default)]
pub struct Shutdown {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    requested: Arc<AtomicBool>,
    changed: Notify,
}

impl Shutdown {
    /// Asks all runs to end at their next good place.
    pub fn request(&self) {
        self.state.requested.store(true, Ordering::SeqCst);
        self.state.changed.notify_waiters();
    }

    /// Whether the end has been asked for.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.state.requested.load(Ordering::SeqCst)
    }

    /// The same as a flag, for work that knows nothing of the agent.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.state.requested)
    }

    /// Waits until the end has been asked for.
    pub async fn wait(&self) {
        loop {
            let changed = self.state.changed.notified();
            if self.requested() {
                return;
            }
            changed.await;
        }
    }

    /// Starts a task. It ends with its own work; who keeps the handle may abort it.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // The one place that clippy.toml's ban on `tokio::spawn` excepts.
        #[allow(clippy::disallowed_methods)]
        tokio::spawn(task)
    }

    /// Runs blocking work on the pool for it.
    pub fn spawn_blocking<F, R>(&self, work: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        #[allow(clippy::disallowed_methods)]
        tokio::task::spawn_blocking(work)
    }
}

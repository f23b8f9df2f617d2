//! The time in which a command runs: its threads, and the interrupts that come meanwhile. The first asks everything to end
//! at the next good place, the second does not wait; before anything has begun the first one is enough.

use std::future::Future;
use std::pin::pin;

use tokio::runtime::Runtime;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::CommandError;
use super::progress::Progress;
use super::signals::Interrupts;
use crate::app::AppError;
use crate::shutdown::Shutdown;

/// A command that runs. From its beginning on, interrupts no longer end the process by themselves.
pub(super) struct Running {
    runtime: Runtime,
    interrupts: Interrupts,
    pub shutdown: Shutdown,
}

impl Running {
    pub fn begin() -> Result<Running, CommandError> {
        let runtime = crate::shutdown::runtime().map_err(|error| {
            AppError::Failed(format!("threads cannot be started: {error}; allow the agent more of them"))
        })?;
        let entered = runtime.enter();
        let interrupts = Interrupts::listen()
            .map_err(|error| AppError::Failed(format!("signals cannot be listened for: {error}")))?;
        drop(entered);
        Ok(Running { runtime, interrupts, shutdown: Shutdown::default() })
    }

    /// Reads and judges what the command was given. An interrupt ends it at once: a file that does not answer, a pipe for
    /// example, would keep the process for ever.
    pub fn prepare<R: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> Result<R, CommandError> + Send + 'static,
    ) -> Result<R, CommandError> {
        let (shutdown, interrupts) = (&self.shutdown, &mut self.interrupts);
        self.runtime.block_on(async {
            let working = shutdown.spawn_blocking(work);
            tokio::select! {
                ended = working => ended.unwrap_or_else(|error| {
                    Err(AppError::Failed(format!("reading the configuration broke off: {error}")).into())
                }),
                () = interrupts.next() => Err(CommandError::InterruptedEarly),
            }
        })
    }

    /// Runs the work to its end, showing progress and listening for interrupts.
    pub fn drive<R, E: Into<CommandError>>(
        mut self,
        work: impl Future<Output = Result<R, E>>,
        progress: Option<&Progress>,
    ) -> Result<R, CommandError> {
        let result = self.runtime.block_on(drive(work, progress, &mut self.interrupts, &self.shutdown));
        // Work that does not end by itself (a second interrupt left it behind) must not keep the process.
        self.runtime.shutdown_background();
        result
    }

    /// Ends without having run.
    pub fn give_up(self) {
        self.runtime.shutdown_background();
    }
}

async fn drive<R, E: Into<CommandError>>(
    work: impl Future<Output = Result<R, E>>,
    progress: Option<&Progress>,
    interrupts: &mut Interrupts,
    shutdown: &Shutdown,
) -> Result<R, CommandError> {
    let mut work = pin!(work);
    let mut ticks = progress.map(|progress| {
        let mut ticks = interval_at(Instant::now() + progress.every(), progress.every());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        (progress, ticks)
    });
    loop {
        let tick = async {
            match &mut ticks {
                Some((progress, ticks)) => {
                    ticks.tick().await;
                    progress.show();
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            result = &mut work => return result.map_err(Into::into),
            () = tick => {}
            () = interrupts.next() => {
                if shutdown.requested() {
                    return Err(CommandError::Interrupted);
                }
                shutdown.request();
                tracing::warn!("interrupted: ending at the next good place; interrupt again to end at once");
            }
        }
    }
}

//! A history's run in a thread of its own, watched: how far it is goes to standard error, and an interrupt stops it. Without
//! tokio, which would take longer to start than ten new commits take to read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::CommandError;
use super::progress::Style;
use super::table::count;
use crate::app::{AppError, HistoryPhase, HistoryProgress, HistoryWatch};
use crate::config::show_duration;

/// How often interrupts are looked for, and the terminal is drawn: more is not seen.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often a line is printed where there is no terminal: seldom enough for the logs of a scheduler.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How long a run has to end by itself once it was interrupted. It needs the time that one file takes; only one that waits
/// for a reader needs longer.
const GRACE: Duration = Duration::from_secs(3);

/// The run's own stack, as large as a program's first thread has it: folders may lie in folders, thousands deep.
const STACK_BYTES: usize = 8 << 20;

/// Interrupts of this process since `listen`.
static INTERRUPTS: AtomicUsize = AtomicUsize::new(0);

#[cfg(unix)]
extern "C" fn on_interrupt(_: libc::c_int) {
    INTERRUPTS.fetch_add(1, Ordering::Relaxed);
}

/// From now on interrupts do not end the process. Done again, it does nothing more.
#[cfg(unix)]
pub(super) fn listen() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: all zeros is a valid `sigaction`; the handler does nothing but add to an atomic number, which a signal may
        // do at any moment. System calls that it interrupts go on.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_interrupt as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}

#[cfg(not(unix))]
pub(super) fn listen() {}

/// Runs the work, shows how far it is, and stops it at the first interrupt. Who does not end then is left behind.
pub(super) fn watched<R: Send + 'static>(
    watch: &HistoryWatch,
    style: Style,
    work: impl FnOnce() -> Result<R, AppError> + Send + 'static,
) -> Result<R, CommandError> {
    listen();
    let (done, ended) = sync_channel(1);
    let thread = std::thread::Builder::new().name("history".to_owned()).stack_size(STACK_BYTES);
    // Nobody listens any more only where it was left behind.
    let work = move || drop(done.send(work()));
    thread.spawn(work).map_err(|error| {
        AppError::Failed(format!("a thread cannot be started: {error}; allow the agent more of them"))
    })?;
    let mut picture = Picture::new(style);
    let mut interrupted: Option<Instant> = None;
    loop {
        match ended.recv_timeout(LOOK_EVERY) {
            Ok(result) => {
                picture.end();
                return Ok(result?);
            }
            Err(RecvTimeoutError::Timeout) => picture.show(watch.progress()),
            Err(RecvTimeoutError::Disconnected) => {
                picture.end();
                let fault =
                    "reading the history broke off, which is a fault of this program; the checkpoint is as it was";
                return Err(AppError::Failed(fault.to_owned()).into());
            }
        }
        let interrupts = INTERRUPTS.load(Ordering::Relaxed);
        let since = interrupted.filter(|_| interrupts > 0).map(|at| at.elapsed());
        match since {
            Some(since) if interrupts > 1 || since > GRACE => {
                picture.end();
                return Err(CommandError::InterruptedRun);
            }
            Some(_) => {}
            None if interrupts > 0 => {
                interrupted = Some(Instant::now());
                watch.stop();
                picture.say("interrupted: ending at the next record; interrupt again to end at once");
            }
            None => {}
        }
    }
}

/// What a person sees of a run.
struct Picture {
    style: Style,
    begun: Instant,
    told: Instant,
    bar: ProgressBar,
}

impl Picture {
    fn new(style: Style) -> Picture {
        let target = if style == Style::Drawn { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        // The template is a constant and valid; the default style would show a bar.
        let template = ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(None, target).with_style(template);
        Picture { style, begun: Instant::now(), told: Instant::now(), bar }
    }

    fn show(&mut self, progress: HistoryProgress) {
        match self.style {
            Style::Drawn => self.bar.set_message(line(progress, self.begun.elapsed())),
            Style::Logged if self.told.elapsed() >= TELL_EVERY => {
                self.told = Instant::now();
                eprintln!("{}", line(progress, self.begun.elapsed()));
            }
            Style::Logged | Style::None => {}
        }
    }

    /// Puts a line above what is drawn.
    fn say(&self, line: &str) {
        match self.style {
            Style::Drawn => self.bar.suspend(|| eprintln!("{line}")),
            Style::Logged => eprintln!("{line}"),
            Style::None => {}
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn line(progress: HistoryProgress, elapsed: Duration) -> String {
    let (doing, what) = match progress.phase {
        HistoryPhase::Commits => ("reading commits", ""),
        HistoryPhase::Trees => ("reading trees", ""),
        HistoryPhase::Changes => ("comparing trees", " commits"),
        HistoryPhase::Contents => ("reading files", " versions"),
        HistoryPhase::Records => ("writing records", " commits"),
        HistoryPhase::Comparing => ("asking git", " files"),
    };
    let done = count(progress.done);
    let far = match progress.total {
        0 => done,
        total => {
            let per_cent = (progress.done.min(total) * 100) / total;
            format!("{done} of {}{what}, {per_cent} %", count(total))
        }
    };
    format!("{doing}: {far}  {}", show_duration(Duration::from_secs(elapsed.as_secs().max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_run_is_in_words() {
        let told = |phase, done, total| line(HistoryProgress { phase, done, total }, Duration::from_millis(61_900));
        assert_eq!(told(HistoryPhase::Commits, 12_345, 0), "reading commits: 12,345  1 m 1 s");
        assert_eq!(told(HistoryPhase::Contents, 500, 2000), "reading files: 500 of 2,000 versions, 25 %  1 m 1 s");
        assert_eq!(told(HistoryPhase::Records, 7, 6), "writing records: 7 of 6 commits, 100 %  1 m 1 s");
    }
}

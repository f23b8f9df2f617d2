//! A test aid: ends this process with SIGKILL at a chosen host call, so that it can be seen that what was committed
//! survives at every one of them. The count is the process's, over all its guests. Who asks for it is up to `cli`.

use std::io::Write;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// Host calls that may still return; 0 where nobody asked.
static LEFT: AtomicU64 = AtomicU64::new(0);

/// How the line begins that tells of the kill, on standard error; the host call's name ends it.
pub(crate) const TOLD: &str = "killed, as was asked, right after the host call ";

/// Ends the process right after so many host calls have returned, counted from now.
pub(crate) fn after(host_calls: NonZeroU64) {
    LEFT.store(host_calls.get(), Ordering::Relaxed);
}

/// Whether somebody asked. One load of what nobody writes: it costs a host call nothing that can be measured.
pub(super) fn is_asked() -> bool {
    LEFT.load(Ordering::Relaxed) != 0
}

/// Counts a host call that has returned. To be called only if `is_asked`; the call that it was asked for never gets past, and
/// `name` says which it was, if somebody knows.
pub(super) fn host_call_returned(name: impl FnOnce() -> Option<&'static str>) {
    if LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
        // Whoever reads it may have gone.
        let _ = writeln!(std::io::stderr(), "{TOLD}{}", name().unwrap_or("that was asked for"));
        // SAFETY: sends a signal to this very process; no memory is touched. The signal cannot be caught or refused, so
        // that nothing is completed on the way out.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        // The signal may be delivered to another thread first; this one must do nothing more.
        loop {
            std::thread::park();
        }
    }
}

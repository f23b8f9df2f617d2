//! How many files the process may have open. Systems give a small number to begin with and allow more to who asks.

/// Files that are asked for. Segments of sessions, connections, components and logs of some tens of integrations at once
/// are a few thousand; more than this would be a leak.
const FILES_MAX: libc::rlim_t = 65_536;

/// Asks for as many open files as are allowed, up to `FILES_MAX`. Where that is refused, what there was is left.
pub(super) fn allow_many() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a local that outlives the call, which does nothing but fill it in.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return;
    }
    let wanted = limit.rlim_max.min(FILES_MAX);
    if limit.rlim_cur >= wanted {
        return;
    }
    limit.rlim_cur = wanted;
    // SAFETY: the pointer is to a local that outlives the call, which only reads it.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
}

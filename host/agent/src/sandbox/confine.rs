//! What a process takes from itself before it compiles what a stranger made: memory, time, files, the network, other
//! processes. Only ever called in a child that does nothing else; who starts it, and what it compiles, is `compile.rs`.

use std::io;

/// What is left to the process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Memory that it may write to, bytes.
    pub memory_bytes_max: u64,
    /// CPU time over all of its threads, seconds.
    pub cpu_secs_max: u64,
    /// The largest file that it may write, bytes.
    pub output_bytes_max: u64,
}

/// Address space beside the memory that is written to: the program itself, and what its allocator only reserves.
const ADDRESS_SLACK_BYTES: u64 = 1 << 30;

/// Standard input, output and error, and a little.
const FILES_MAX: u64 = 16;

/// How much the process steps back behind the agent and everybody else, of 19.
const NICENESS: libc::c_int = 10;

/// Takes all of it away, for good. `parent` is the process that wants the work: without it, nobody does.
pub(super) fn confine(bounds: Bounds, parent: u32) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    linux::end_with(parent)?;
    #[cfg(not(target_os = "linux"))]
    let _ = parent;
    let memory = bounds.memory_bytes_max;
    for (resource, soft, hard) in [
        (libc::RLIMIT_CORE, 0, 0),
        (libc::RLIMIT_NOFILE, FILES_MAX, FILES_MAX),
        (libc::RLIMIT_FSIZE, bounds.output_bytes_max, bounds.output_bytes_max),
        // At the first the process is told, which is a signal of its own; at the second it is killed.
        (libc::RLIMIT_CPU, bounds.cpu_secs_max, bounds.cpu_secs_max.saturating_add(1)),
        (libc::RLIMIT_DATA, memory, memory),
        (libc::RLIMIT_AS, memory.saturating_add(ADDRESS_SLACK_BYTES), memory.saturating_add(ADDRESS_SLACK_BYTES)),
    ] {
        let limit = libc::rlimit { rlim_cur: soft as libc::rlim_t, rlim_max: hard as libc::rlim_t };
        // SAFETY: the pointer is to a local that outlives the call, which only reads it.
        if unsafe { libc::setrlimit(resource, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: changes a number of this process; no memory is touched. If it fails the process is only less polite.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
    #[cfg(target_os = "linux")]
    linux::close_doors()?;
    Ok(())
}

/// Keeps this process's memory, which holds secrets, out of core dumps and from other processes of its user. Where that
/// cannot be done nothing else is worse for it.
pub fn keep_memory_private() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a local that outlives the call, which only reads it.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    // A system that pipes dumps to a program does not ask for the limit.
    #[cfg(target_os = "linux")]
    // SAFETY: changes a number of this process; no memory is touched.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0)
    };
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;

    use libc::{c_long, sock_filter};

    /// The system calls that a compiler makes: memory, threads of its own, clocks, and reading and writing what is open.
    /// All others are refused, so that one that is new to the kernel is too.
    const OPEN: &[c_long] = &[
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_pread64,
        libc::SYS_lseek,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_ppoll,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mprotect,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_membarrier,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_clock_gettime,
        libc::SYS_clock_getres,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_gettimeofday,
        libc::SYS_getrandom,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_getrusage,
        libc::SYS_sysinfo,
        libc::SYS_uname,
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];

    /// The name of this processor in a filter; a call in another processor's numbering would be read wrongly.
    #[cfg(target_arch = "x86_64")]
    const ARCHITECTURE: Option<u32> = Some(0xC000_003E);
    #[cfg(target_arch = "aarch64")]
    const ARCHITECTURE: Option<u32> = Some(0xC000_00B7);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    const ARCHITECTURE: Option<u32> = None;

    /// On x86-64, calls from here on are the same calls by other numbers.
    const SECOND_NUMBERING: u32 = 0x4000_0000;

    /// The places of `nr`, `arch` and the lower halves of the first and third argument in what a filter is given.
    const NUMBER_AT: u32 = 0;
    const ARCHITECTURE_AT: u32 = 4;
    const FIRST_AT: u32 = 16;
    const THIRD_AT: u32 = 32;

    /// Ends this process when the thread that started it ends, however that comes.
    pub(super) fn end_with(parent: u32) -> io::Result<()> {
        prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong)?;
        // It may have ended before it could be asked for.
        // SAFETY: asks the system for a number; it has no arguments and cannot fail.
        let found = unsafe { libc::getppid() };
        if u32::try_from(found) != Ok(parent) {
            return Err(io::Error::other(format!("started by process {found} and not by {parent}")));
        }
        Ok(())
    }

    /// Closes what was inherited open, and then the ways to open anything.
    pub(super) fn close_doors() -> io::Result<()> {
        // If memory runs out, the kernel takes this process first. Lowering it again is not allowed.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        // SAFETY: closes descriptors that nothing in this process has opened. Older kernels do not know the call.
        unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
        prctl(libc::PR_SET_NO_NEW_PRIVS, 1)?;
        let Some(filter) = filter() else { return Ok(()) };
        let program = libc::sock_fprog {
            len: u16::try_from(filter.len()).map_err(io::Error::other)?,
            filter: filter.as_ptr().cast_mut(),
        };
        // SAFETY: the pointers are to locals that outlive the call, which copies what they point to.
        let failed = unsafe {
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER as libc::c_ulong, &raw const program, 0, 0)
        };
        match io::Error::last_os_error() {
            _ if failed == 0 => Ok(()),
            // A kernel built without filters: the limits must do.
            error if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            error => Err(error),
        }
    }

    /// Refuses all calls but those of `OPEN`, with "not permitted", and all calls in another numbering. Of some that are needed,
    /// one use is: threads and not processes, signals to and limits of this process and no other.
    fn filter() -> Option<Vec<sock_filter>> {
        let architecture = ARCHITECTURE?;
        let load = |at| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at, 0, 0);
        let give = |action| step(libc::BPF_RET | libc::BPF_K, action, 0, 0);
        let refuse = || give(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
        let allow = || give(libc::SECCOMP_RET_ALLOW);
        let is = |value, then, or| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, then, or);
        let number = |call: c_long| u32::try_from(call).ok();
        let mut steps = vec![load(ARCHITECTURE_AT), is(architecture, 1, 0), refuse(), load(NUMBER_AT)];
        // At this number or above: the next step; below: past it.
        steps.push(step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, SECOND_NUMBERING, 0, 1));
        steps.push(refuse());
        for call in OPEN {
            steps.extend([is(number(*call)?, 0, 1), allow()]);
        }
        // Its arguments lie in memory, which a filter cannot read: without it, libraries take the one that it can.
        steps.extend([is(number(libc::SYS_clone3)?, 0, 1), give(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32)]);
        let thread = step(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, libc::CLONE_THREAD as u32, 0, 1);
        steps.extend([is(number(libc::SYS_clone)?, 0, 4), load(FIRST_AT), thread, allow(), refuse()]);
        // A process that aborts sends the signal to itself.
        let own = std::process::id();
        steps.extend([is(number(libc::SYS_tgkill)?, 0, 4), load(FIRST_AT), is(own, 0, 1), allow(), refuse()]);
        // A thread asks how large its stack may be.
        let asks = [is(number(libc::SYS_prlimit64)?, 0, 6), load(FIRST_AT), is(0, 0, 3), load(THIRD_AT), is(0, 0, 1)];
        steps.extend(asks);
        steps.extend([allow(), refuse()]);
        // Threads get their names.
        let name = libc::PR_SET_NAME as u32;
        steps.extend([is(number(libc::SYS_prctl)?, 0, 4), load(FIRST_AT), is(name, 0, 1), allow(), refuse()]);
        #[cfg(target_arch = "x86_64")]
        steps.extend([is(number(libc::SYS_poll)?, 0, 1), allow()]);
        steps.push(refuse());
        Some(steps)
    }

    fn step(code: u32, k: u32, then: u8, or: u8) -> sock_filter {
        // Codes are combined of small numbers, all below 256.
        sock_filter { code: code as u16, jt: then, jf: or, k }
    }

    fn prctl(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
        // SAFETY: the options used here take numbers; no memory is touched.
        match unsafe { libc::prctl(option, value, 0, 0, 0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

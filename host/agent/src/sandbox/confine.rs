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

#[cfg(target_os = "linux")]
mod linux {
    use std::io;

    use libc::{c_long, sock_filter};

    /// The system calls by which a process reaches files, the network, other processes, or the kernel's larger
    /// subsystems. Opened files stay open, and that is what this process is given. Memory, threads and clocks are left.
    const CLOSED: &[c_long] = &[
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_creat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_fork,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_vfork,
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_open_by_handle_at,
        libc::SYS_unlinkat,
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_send_signal,
        libc::SYS_pidfd_getfd,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_mount,
        libc::SYS_chroot,
        libc::SYS_memfd_create,
        libc::SYS_io_uring_setup,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_keyctl,
        libc::SYS_add_key,
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

    /// The places of `nr` and `arch` in what a filter is given.
    const NUMBER_AT: u32 = 0;
    const ARCHITECTURE_AT: u32 = 4;

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

    /// Refuses the calls of `CLOSED` with "not permitted", and all calls in another numbering.
    fn filter() -> Option<Vec<sock_filter>> {
        let architecture = ARCHITECTURE?;
        let load = |at| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at, 0, 0);
        let give = |action| step(libc::BPF_RET | libc::BPF_K, action, 0, 0);
        let refuse = give(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
        let is = |value, then, or| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, then, or);
        let mut steps = vec![load(ARCHITECTURE_AT), is(architecture, 1, 0), refuse, load(NUMBER_AT)];
        // At this number or above: the next step; below: past it.
        steps.push(step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, SECOND_NUMBERING, 0, 1));
        steps.push(refuse);
        for call in CLOSED {
            steps.extend([is(u32::try_from(*call).ok()?, 0, 1), refuse]);
        }
        steps.push(give(libc::SECCOMP_RET_ALLOW));
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

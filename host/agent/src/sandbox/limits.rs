//! What one call may use up: memory over all of its memories and tables together, and the guest's own running time.
//! Both only measure and refuse; what a refusal means for the call is told by `instance.rs`.
//!
//! **Running time.** The clock runs while the guest's code runs, while the host copies its arguments (their size is
//! the guest's choice) or an answer into what the guest allocated for it, and while it is in WASI or in one of the
//! engine's own helpers (filling memory, say). It stands while one of our host calls works, and while the guest is
//! suspended: waiting, or having yielded. Each turn on a thread counts at most as much as that thread's CPU clock went
//! on in it, so a busy machine does not charge its guests (by more than `FRESH` a turn).
//!
//! **The host's time.** What our host calls work, on the guest's own thread, is measured beside it in the same way, and has a
//! ceiling far above what any work needs: without one, a guest could keep the host busy for hours and itself hardly be.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use wasmtime::ResourceLimiter;

/// Core instances that one component may be made of. Python's toolchain makes one for each native module.
pub(super) const INSTANCES_MAX: usize = 256;
/// Memories: toolchains use one or two.
pub(super) const MEMORIES_MAX: usize = 32;
/// Tables: one for each core module and one for each shim between them.
pub(super) const TABLES_MAX: usize = 256;
/// What an element of a table takes: a pointer.
const TABLE_ELEMENT_BYTES: u64 = 8;

/// Sums the memories and tables of one store, and remembers that it refused.
#[derive(Debug)]
pub(super) struct Memory {
    bytes_max: u64,
    bytes: u64,
    peak: u64,
    /// The last growth allowed, to be taken back if the system cannot give it.
    last: u64,
    /// The last growth asked for was refused. A guest that traps now has met its limit.
    refused: bool,
}

impl Memory {
    /// Of what there may be, so much is taken from the beginning.
    pub(super) fn new(bytes_max: u64, taken: u64) -> Memory {
        Memory { bytes_max, bytes: taken, peak: taken, last: 0, refused: false }
    }

    /// The largest sum so far, bytes.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// Whether the last growth asked for was refused.
    pub(super) fn refused(&self) -> bool {
        self.refused
    }

    fn grow(&mut self, by: u64) -> bool {
        let Some(sum) = self.bytes.checked_add(by).filter(|sum| *sum <= self.bytes_max) else {
            self.refused = true;
            return false;
        };
        self.last = by;
        self.bytes = sum;
        self.peak = self.peak.max(sum);
        self.refused = false;
        true
    }

    /// Takes the last growth back: the engine could not make it.
    fn shrink(&mut self) {
        self.bytes = self.bytes.saturating_sub(std::mem::take(&mut self.last));
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            // It fails whatever we say, by the component's own declaration.
            return Ok(false);
        }
        Ok(self.grow(desired.saturating_sub(current) as u64))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.shrink();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let elements = desired.saturating_sub(current) as u64;
        Ok(self.grow(elements.saturating_mul(TABLE_ELEMENT_BYTES)))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.shrink();
        Ok(())
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }
}

/// The instances of a component take more memory by themselves than it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its instances take more memory than it may have")]
pub(super) struct TooHeavy;

/// A budget of time is spent; the trap that ends the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Spent {
    /// `cpu_time_max`
    #[error("the guest's running time is spent")]
    Guest,
    /// `host_time_max`
    #[error("the host has worked for the guest for as long as it may")]
    Host,
}

/// How much longer the host may work in host calls than the guest itself may run. Reading, hashing and compressing records
/// takes the host two to five times as long as handing them over takes a guest.
const HOST_TIMES: u32 = 10;

/// What the host may work for a guest with this much running time.
pub(super) fn host_time_max(cpu_time_max: Duration) -> Duration {
    cpu_time_max.saturating_mul(HOST_TIMES)
}

/// Where a meter reads the time.
#[derive(Debug)]
pub(super) enum Clock {
    /// The machine's.
    Real,
    /// A test's.
    Manual(ManualTime),
}

/// A time that stands until it is told to go on, for tests: what they say about time then depends on no clock.
#[derive(Debug, Clone, Default)]
pub struct ManualTime {
    shared: Arc<ManualShared>,
}

#[derive(Debug, Default)]
struct ManualShared {
    /// Nanoseconds that have passed.
    passed: AtomicU64,
    /// Nanoseconds in which the thread that asks has worked.
    worked: AtomicU64,
    moved: Notify,
}

impl ManualTime {
    /// Lets time pass, in which every thread works.
    pub fn advance(&self, by: Duration) {
        self.shared.worked.fetch_add(nanos(by), Ordering::SeqCst);
        self.pass(by);
    }

    fn pass(&self, by: Duration) {
        self.shared.passed.fetch_add(nanos(by), Ordering::SeqCst);
        self.shared.moved.notify_waiters();
    }

    fn now(&self) -> u64 {
        self.shared.passed.load(Ordering::SeqCst)
    }

    /// Ends when so much has passed from now on.
    pub(super) async fn sleep(&self, duration: Duration) {
        let until = self.now().saturating_add(nanos(duration));
        loop {
            let moved = self.shared.moved.notified();
            if self.now() >= until {
                return;
            }
            moved.await;
        }
    }
}

impl Clock {
    /// Nanoseconds from whenever.
    fn now(&self) -> u64 {
        match self {
            Clock::Real => read(libc::CLOCK_MONOTONIC),
            Clock::Manual(time) => time.now(),
        }
    }

    /// The CPU time of this thread at the beginning of a turn, or a little less.
    fn thread_at_least(&self, now: u64) -> u64 {
        match (self, READ_LAST.get()) {
            (Clock::Real, Some((at, time))) if now.saturating_sub(at) < nanos(FRESH) => time,
            _ => self.thread(now),
        }
    }

    /// The CPU time of this thread.
    fn thread(&self, now: u64) -> u64 {
        match self {
            Clock::Real => {
                let time = read(libc::CLOCK_THREAD_CPUTIME_ID);
                READ_LAST.set(Some((now, time)));
                time
            }
            Clock::Manual(time) => time.shared.worked.load(Ordering::SeqCst),
        }
    }

    /// What this thread has worked in a turn that began at this time, when it had this CPU time or a little more.
    fn worked(&self, since: u64, thread: u64, now: u64) -> u64 {
        let took = now.saturating_sub(since);
        match self {
            Clock::Real if took < nanos(SHORT) => took,
            Clock::Real => self.thread(now).saturating_sub(thread).min(took),
            Clock::Manual(_) => self.thread(now).saturating_sub(thread),
        }
    }
}

/// Reading a thread's CPU time is a system call, which is a large part of the turn of a guest that has a page handed over. So a
/// turn that is shorter than this counts as the wall clock says.
const SHORT: Duration = Duration::from_micros(100);
/// And a reading no older than this stands for the present one where a turn begins. What the thread did since then counts as the
/// turn's, and never more than the turn took: who had the processor taken away is charged so much more at most.
const FRESH: Duration = Duration::from_millis(1);

thread_local! {
    /// When this thread's CPU time was last read, and what it was.
    static READ_LAST: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A clock of the system, nanoseconds. The standard library reads the same one, and does more with what it reads: this is asked
/// some ten times for each page that a guest has handed over.
fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local that outlives the call, which does nothing but fill it in.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(failed, 0, "the system has these clocks");
    // Clocks that have been running since the machine or the thread began are never negative.
    time.tv_sec.unsigned_abs().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec.unsigned_abs())
}

/// Marks that no segment is being measured.
const STANDING: u64 = u64::MAX;

/// Measures one guest's running time against its budget.
///
/// The store's hooks and the future around the call both hold it. One thread uses it at a time, the one that polls the
/// call, so its fields need no order among themselves.
#[derive(Debug)]
pub(super) struct Meter {
    clock: Clock,
    guest: Account,
    host: Account,
    /// When this turn began.
    turn_since: AtomicU64,
    /// The thread's CPU time then, or a little less.
    turn_thread: AtomicU64,
    /// Whose turn it is, innermost in the lowest bit: set for the guest. A host call may call the guest (to have it
    /// allocate), whose allocator may not call the host again, so that three bits would do. 0 outside of the guest.
    depth: AtomicU64,
}

/// The time of one side.
#[derive(Debug)]
struct Account {
    budget: u64,
    /// Settled: turns that are over.
    used: AtomicU64,
    /// Segments of this turn that are over.
    turn: AtomicU64,
    /// When the running segment began, or `STANDING`.
    since: AtomicU64,
}

impl Account {
    fn new(budget: Duration) -> Account {
        Account {
            budget: nanos(budget),
            used: AtomicU64::new(0),
            turn: AtomicU64::new(0),
            since: AtomicU64::new(STANDING),
        }
    }

    fn start(&self, now: u64) {
        self.since.store(now, Ordering::Relaxed);
    }

    fn runs(&self) -> bool {
        self.since.load(Ordering::Relaxed) != STANDING
    }

    fn stop(&self, now: u64) {
        self.turn.store(self.turn_so_far(now), Ordering::Relaxed);
        self.since.store(STANDING, Ordering::Relaxed);
    }

    /// This turn's time, as the wall clock counts it.
    fn turn_so_far(&self, now: u64) -> u64 {
        let segment = match self.since.load(Ordering::Relaxed) {
            STANDING => 0,
            since => now.saturating_sub(since),
        };
        self.turn.load(Ordering::Relaxed) + segment
    }

    /// Settles a turn of which so much counts.
    fn settle(&self, counts: u64) {
        let used = self.used.load(Ordering::Relaxed).saturating_add(counts);
        self.used.store(used, Ordering::Relaxed);
        self.turn.store(0, Ordering::Relaxed);
    }

    /// Whether the budget is spent with so much of this turn.
    fn spent_with(&self, turn: u64) -> bool {
        self.used.load(Ordering::Relaxed).saturating_add(turn) > self.budget
    }
}

impl Meter {
    pub(super) fn new(clock: Clock, budget: Duration) -> Meter {
        Meter {
            clock,
            guest: Account::new(budget),
            host: Account::new(host_time_max(budget)),
            turn_since: AtomicU64::new(0),
            turn_thread: AtomicU64::new(0),
            depth: AtomicU64::new(0),
        }
    }

    /// The guest's time used by turns that are over.
    pub(super) fn used(&self) -> Duration {
        Duration::from_nanos(self.guest.used.load(Ordering::Relaxed))
    }

    /// A thread takes the call up.
    pub(super) fn turn_begins(&self) {
        let now = self.clock.now();
        self.turn_since.store(now, Ordering::Relaxed);
        self.turn_thread.store(self.clock.thread_at_least(now), Ordering::Relaxed);
        self.start(now);
    }

    /// The thread lays it down: the guest is suspended or has ended. Gives what the thread worked in this turn, nanoseconds.
    pub(super) fn turn_ends(&self) -> u64 {
        let now = self.clock.now();
        self.guest.stop(now);
        self.host.stop(now);
        let worked = self.turn_worked(now);
        let (guest, host) = self.turn_counts(now, worked);
        self.guest.settle(guest);
        self.host.settle(host);
        worked
    }

    /// The guest is called.
    pub(super) fn guest_begins(&self) {
        let goes_on = self.guest.runs();
        self.push(true);
        if !goes_on {
            let now = self.clock.now();
            self.host.stop(now);
            self.start(now);
        }
    }

    /// The guest returns to whom called it.
    pub(super) fn guest_ends(&self) {
        self.pop();
        // A host call had it allocate, to hand something over: what is left of that is copying, which counts as the guest's too.
        if self.depth.load(Ordering::Relaxed) == 0 {
            self.guest.stop(self.clock.now());
        }
    }

    /// One of our host calls begins its work.
    pub(super) fn host_begins(&self) {
        let now = self.clock.now();
        self.guest.stop(now);
        self.push(false);
        self.start(now);
    }

    /// The host returns to the guest, from one of our host calls or from something else of which we know nothing.
    /// Fails if a budget is spent.
    pub(super) fn host_ends(&self) -> Result<(), Spent> {
        let now = self.clock.now();
        if self.depth.load(Ordering::Relaxed) & 1 == 0 {
            self.host.stop(now);
            self.guest.stop(now);
            self.pop();
            self.start(now);
        }
        self.check_at(now)
    }

    /// Fails if a budget is spent.
    pub(super) fn check(&self) -> Result<(), Spent> {
        self.check_at(self.clock.now())
    }

    fn check_at(&self, now: u64) -> Result<(), Spent> {
        let (guest, host) = (self.guest.turn_so_far(now), self.host.turn_so_far(now));
        // The thread's own clock is a system call: asked only where it decides.
        if !self.guest.spent_with(guest) && !self.host.spent_with(host) {
            return Ok(());
        }
        let (guest, host) = self.turn_counts(now, self.turn_worked(now));
        match () {
            () if self.guest.spent_with(guest) => Err(Spent::Guest),
            () if self.host.spent_with(host) => Err(Spent::Host),
            () => Ok(()),
        }
    }

    /// What the thread has worked in this turn.
    fn turn_worked(&self, now: u64) -> u64 {
        self.clock.worked(self.turn_since.load(Ordering::Relaxed), self.turn_thread.load(Ordering::Relaxed), now)
    }

    /// What counts of this turn, of the guest and of the host: together no more than the thread worked.
    fn turn_counts(&self, now: u64, worked: u64) -> (u64, u64) {
        let guest = self.guest.turn_so_far(now).min(worked);
        let host = self.host.turn_so_far(now).min(worked - guest);
        (guest, host)
    }

    /// Starts the clock of whose turn it is.
    fn start(&self, now: u64) {
        match self.depth.load(Ordering::Relaxed) {
            0 => {}
            depth if depth & 1 == 1 => self.guest.start(now),
            _ => self.host.start(now),
        }
    }

    fn push(&self, guest: bool) {
        let depth = self.depth.load(Ordering::Relaxed);
        self.depth.store(depth << 1 | u64::from(guest), Ordering::Relaxed);
    }

    fn pop(&self) {
        self.depth.store(self.depth.load(Ordering::Relaxed) >> 1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 << 10;

    #[test]
    fn memories_and_tables_are_summed() {
        let mut memory = Memory::new(4 * PAGE as u64, 0);
        assert!(memory.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(memory.memory_growing(0, PAGE, None).unwrap());
        assert!(memory.table_growing(0, PAGE / 8, None).unwrap());
        assert!(!memory.refused());
        assert!(!memory.table_growing(0, 1, None).unwrap());
        assert!(memory.refused());
        assert_eq!(memory.peak(), 4 * PAGE as u64);
    }

    #[test]
    fn growth_that_the_system_refuses_is_taken_back_once() {
        let mut memory = Memory::new(2 * PAGE as u64, 0);
        assert!(memory.memory_growing(0, 2 * PAGE, None).unwrap());
        memory.memory_grow_failed(wasmtime::Error::msg("no memory")).unwrap();
        memory.memory_grow_failed(wasmtime::Error::msg("no memory")).unwrap();
        assert!(memory.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(!memory.memory_growing(2 * PAGE, 3 * PAGE, None).unwrap());
    }

    #[test]
    fn growth_beyond_the_components_own_maximum_is_not_our_refusal() {
        let mut memory = Memory::new(u64::MAX, 0);
        assert!(!memory.memory_growing(0, 2 * PAGE, Some(PAGE)).unwrap());
        assert!(!memory.refused());
    }

    #[test]
    fn a_refusal_that_the_guest_lived_through_is_forgotten() {
        let mut memory = Memory::new(2 * PAGE as u64, 0);
        assert!(!memory.memory_growing(0, 3 * PAGE, None).unwrap());
        assert!(memory.memory_growing(0, PAGE, None).unwrap());
        assert!(!memory.refused());
    }

    struct Bench {
        time: ManualTime,
        meter: Meter,
    }

    impl Bench {
        fn new(budget: u64) -> Bench {
            let time = ManualTime::default();
            let meter = Meter::new(Clock::Manual(time.clone()), Duration::from_nanos(budget));
            Bench { time, meter }
        }

        /// Lets time pass in which the thread works.
        fn works(&self, nanos: u64) {
            self.time.advance(Duration::from_nanos(nanos));
        }

        /// Lets time pass in which another thread has the processor.
        fn preempted(&self, nanos: u64) {
            self.time.pass(Duration::from_nanos(nanos));
        }

        fn used(&self) -> u64 {
            nanos(self.meter.used())
        }
    }

    #[test]
    fn host_calls_and_waiting_are_not_charged() {
        let b = Bench::new(1000);
        b.meter.turn_begins();
        b.works(1);
        b.meter.guest_begins();
        b.works(10);
        b.meter.host_begins();
        b.works(100);
        // The host call waits; another thread takes it up.
        b.meter.turn_ends();
        b.works(5000);
        b.meter.turn_begins();
        b.works(100);
        assert_eq!(b.meter.host_ends(), Ok(()));
        b.works(20);
        b.meter.guest_ends();
        b.works(1);
        b.meter.turn_ends();
        assert_eq!(b.used(), 30);
    }

    /// And what is copied into what it allocated.
    #[test]
    fn the_guests_allocator_is_charged_inside_a_host_call() {
        let b = Bench::new(1000);
        b.meter.turn_begins();
        b.meter.guest_begins();
        b.meter.host_begins();
        b.works(100);
        for _ in 0..2 {
            b.meter.guest_begins();
            b.works(5);
            b.meter.guest_ends();
            b.works(7);
        }
        assert_eq!(b.meter.host_ends(), Ok(()));
        b.works(2);
        b.meter.host_begins();
        b.works(100);
        b.meter.guest_begins();
        b.works(5);
        // It yields, and its host call goes on in the next turn.
        b.meter.turn_ends();
        b.works(5000);
        b.meter.turn_begins();
        b.works(5);
        b.meter.guest_ends();
        assert_eq!(b.meter.host_ends(), Ok(()));
        b.meter.guest_ends();
        b.works(100);
        b.meter.turn_ends();
        assert_eq!(b.used(), 2 * (5 + 7) + 2 + 2 * 5);
    }

    #[test]
    fn the_engines_own_helpers_are_charged() {
        let b = Bench::new(1000);
        b.meter.turn_begins();
        b.meter.guest_begins();
        // A helper enters and leaves the host without a host call beginning.
        b.works(50);
        assert_eq!(b.meter.host_ends(), Ok(()));
        b.works(1);
        b.meter.guest_ends();
        b.meter.turn_ends();
        assert_eq!(b.used(), 51);
    }

    #[test]
    fn a_yield_keeps_the_guest_running_in_the_next_turn() {
        let b = Bench::new(1000);
        b.meter.turn_begins();
        b.meter.guest_begins();
        b.works(10);
        b.meter.turn_ends();
        b.works(500);
        b.meter.turn_begins();
        b.works(10);
        b.meter.guest_ends();
        b.meter.turn_ends();
        assert_eq!(b.used(), 20);
    }

    #[test]
    fn time_that_the_thread_did_not_work_is_not_charged() {
        let b = Bench::new(100);
        b.meter.turn_begins();
        b.meter.guest_begins();
        b.works(60);
        b.preempted(1000);
        assert_eq!(b.meter.check(), Ok(()));
        b.meter.turn_ends();
        assert_eq!(b.used(), 60);
    }

    #[test]
    fn frequent_host_calls_do_not_dodge_the_budget() {
        let b = Bench::new(100);
        b.meter.turn_begins();
        b.meter.guest_begins();
        for _ in 0..50 {
            b.works(2);
            b.meter.host_begins();
            b.works(10);
            assert_eq!(b.meter.host_ends(), Ok(()));
        }
        b.works(1);
        b.meter.host_begins();
        assert_eq!(b.meter.host_ends(), Err(Spent::Guest));
    }

    #[test]
    fn the_hosts_work_has_a_ceiling_of_its_own() {
        let b = Bench::new(100);
        b.meter.turn_begins();
        b.meter.guest_begins();
        for _ in 0..100 {
            b.meter.host_begins();
            b.works(10);
            assert_eq!(b.meter.host_ends(), Ok(()));
        }
        b.meter.host_begins();
        // While it waits, nothing is charged.
        b.meter.turn_ends();
        b.works(5000);
        b.meter.turn_begins();
        assert_eq!(b.meter.check(), Ok(()));
        b.works(1);
        assert_eq!(b.meter.host_ends(), Err(Spent::Host));
        assert_eq!(b.used(), 0);
    }

    #[test]
    fn the_real_clock_of_a_thread_goes_on_with_its_work() {
        let clock = Clock::Real;
        let (now, thread) = (clock.now(), clock.thread(0));
        // Ends only if the thread's clock moves.
        while clock.thread(0) == thread {
            std::hint::spin_loop();
        }
        assert!(clock.now() > now);
    }

    /// A reading that is fresh stands for the present one; an old one does not.
    #[test]
    fn a_turn_is_charged_what_its_thread_worked_and_never_less() {
        let clock = Clock::Real;
        let (short, fresh) = (nanos(SHORT), nanos(FRESH));
        // Short turns: as the wall clock says, whatever the thread did.
        assert_eq!(clock.worked(1_000, 0, 1_000 + short - 1), short - 1);
        // Longer ones: as the thread's clock says, and never longer than they were.
        let now = clock.now();
        let thread = clock.thread(now);
        assert_eq!(clock.thread_at_least(now + fresh - 1), thread, "it is fresh");
        while clock.thread(now) == thread {
            std::hint::spin_loop();
        }
        assert!(clock.thread_at_least(now + fresh) > thread, "it is old");
        let worked = clock.worked(now, thread, now + 2 * short);
        assert!(worked > 0 && worked <= 2 * short, "{worked}");
        assert_eq!(clock.worked(now, u64::MAX, now + 2 * short), 0);
    }
}

//! Whose turn it is: no more guests run at a time than there are processors, and of those that could run, the one goes next
//! that has had the least running time. How long a turn is, is the engine's (`engine.rs`), and what it took, `limits.rs`'s.
//!
//! **Fair.** A guest is charged for what its turns took of a processor, its host calls' work included, so busy guests get
//! equal shares whatever they do, on whichever thread. A guest that waits for something holds no turn and stands in no
//! queue. One that comes, or comes back, is placed no further ahead than `CREDIT` before the one whose turn was last given: it
//! goes next, and cannot save up.
//!
//! **Others wait once.** A guest runs on the thread that was told of its turn, among the tasks of the network, which is quickest for
//! one that waits again soon. Where a turn of the same component was not short lately, its guests give these tasks to another
//! thread first (`Habit`).
//!
//! **Nothing is lost.** What a call waits for wakes its place here, and not its task; the task is woken when it has a turn.
//! A wake that comes while the call is being polled is remembered. A place gives its turn back when the call waits, and for
//! good when the call is dropped, however it ended. A call that stands in the queue can be dropped like any other.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::limits::Meter;
use crate::lock;
use crate::shutdown::keep_busy;

/// What a guest that has waited may have ahead of the others: four turns. Less, and a guest that waits for a disk now and
/// then does not get its share; more, and one that comes back keeps others waiting.
const CREDIT: Duration = Duration::from_millis(40);
const CREDIT_NANOS: u64 = CREDIT.as_nanos() as u64;
/// Running time of a turn that is not short: a hundred times what it costs to give tasks to another thread, and a tenth of the
/// longest turn.
const LONG_NANOS: u64 = 1_000_000;
/// Turns for which a long one is remembered: a guest that has a page parsed between short waits is busy, too.
const LONG_REMEMBERED: u32 = 32;

/// Whether guests of one component keep their thread busy: how many turns ago it was that one did.
#[derive(Debug, Default)]
pub(super) struct Habit {
    /// Turns for which it is to be remembered. Two guests at once may count one turn for two.
    left: AtomicU32,
}

impl Habit {
    fn is_busy(&self) -> bool {
        self.left.load(Ordering::Relaxed) > 0
    }

    fn learn(&self, worked: u64) {
        let left = match self.left.load(Ordering::Relaxed) {
            _ if worked >= LONG_NANOS => LONG_REMEMBERED,
            // Nothing to write in most turns.
            0 => return,
            left => left - 1,
        };
        self.left.store(left, Ordering::Relaxed);
    }
}

/// The turns of one process.
#[derive(Debug)]
pub(super) struct Turns {
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    /// Turns that nobody has.
    free: usize,
    /// The most running time at which somebody was given a turn, nanoseconds.
    floor: u64,
    /// Numbers given out: a place's name, and its order among equals.
    numbers: u64,
    places: HashMap<u64, Place, foldhash::fast::RandomState>,
    /// Those that want a turn, by running time and arrival. As many as there are calls under way.
    waiting: BTreeMap<(u64, u64), u64>,
}

/// Where one call stands.
#[derive(Debug)]
struct Place {
    /// Running time, nanoseconds; moved up to what `CREDIT` leaves.
    used: u64,
    state: State,
    /// Who polls the call; woken when it has a turn.
    task: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waits for something else than a turn.
    Idle,
    Queued,
    /// Has a turn, and its task has been told.
    Given,
    /// Is being polled. Whether it was woken meanwhile: then it could go on.
    Running {
        woken: bool,
    },
}

impl Turns {
    /// `at_once`: how many guests run at a time, at least one.
    pub(super) fn new(at_once: usize) -> Arc<Turns> {
        let queue = Queue {
            free: at_once.max(1),
            // So that the first to come are all alike, and those after them have a credit.
            floor: CREDIT_NANOS,
            numbers: 0,
            places: HashMap::default(),
            waiting: BTreeMap::new(),
        };
        Arc::new(Turns { queue: Mutex::new(queue) })
    }

    /// Runs a call in turns, under its meter, whose clock stands meanwhile. `habit` is that of its component.
    pub(super) async fn run<F: Future>(self: &Arc<Turns>, meter: &Meter, habit: &Habit, call: F) -> F::Output {
        let call = pin!(call);
        let seat = Seat { turns: Arc::clone(self), name: lock(&self.queue).join() };
        let waker = Waker::from(Arc::new(seat.clone()));
        InTurns { meter, habit, call, seat, waker }.await
    }
}

impl Queue {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// A new place, which wants a turn when it is first asked.
    fn join(&mut self) -> u64 {
        let name = self.number();
        self.places.insert(name, Place { used: 0, state: State::Idle, task: None });
        self.enqueue(name);
        name
    }

    fn enqueue(&mut self, name: u64) {
        let arrival = self.number();
        let Some(place) = self.places.get_mut(&name) else { return };
        place.used = place.used.max(self.floor.saturating_sub(CREDIT_NANOS));
        place.state = State::Queued;
        self.waiting.insert((place.used, arrival), name);
    }

    /// Gives free turns to those who have had least, and says whom to tell.
    #[must_use]
    fn give(&mut self) -> Vec<Waker> {
        let mut told = Vec::new();
        while self.free > 0 {
            let Some(((used, _), name)) = self.waiting.pop_first() else { break };
            let Some(place) = self.places.get_mut(&name) else { continue };
            place.state = State::Given;
            self.free -= 1;
            self.floor = self.floor.max(used);
            told.extend(place.task.take());
        }
        told
    }

    /// Whether the call may be polled now; if not, `task` is told when it may.
    fn begin(&mut self, name: u64, task: &mut Option<Waker>) -> (bool, Vec<Waker>) {
        // A place whose task is not known is told of its turn here.
        let told = self.give();
        let Some(place) = self.places.get_mut(&name) else { return (false, told) };
        let begins = place.state == State::Given;
        if begins {
            place.state = State::Running { woken: false };
        }
        // The old one leaves the lock with the caller: its end may be the end of a task, and so of a place.
        std::mem::swap(&mut place.task, task);
        (begins, told)
    }

    /// The call waits, after so much running time, unless it was woken meanwhile.
    fn end(&mut self, name: u64, worked: u64) -> Vec<Waker> {
        let Some(place) = self.places.get_mut(&name) else { return Vec::new() };
        let woken = place.state == State::Running { woken: true };
        place.used = place.used.saturating_add(worked);
        place.state = State::Idle;
        self.free += 1;
        if woken {
            self.enqueue(name);
        }
        self.give()
    }

    fn wake(&mut self, name: u64) -> Vec<Waker> {
        match self.places.get_mut(&name) {
            Some(Place { state: State::Running { woken }, .. }) => *woken = true,
            Some(Place { state: State::Idle, .. }) => {
                self.enqueue(name);
                return self.give();
            }
            // It has a turn, or will get one; or it is gone.
            _ => {}
        }
        Vec::new()
    }

    fn leave(&mut self, name: u64) -> (Option<Place>, Vec<Waker>) {
        let Some(place) = self.places.remove(&name) else { return (None, Vec::new()) };
        match place.state {
            State::Idle => {}
            State::Queued => self.waiting.retain(|_, waiting| *waiting != name),
            State::Given | State::Running { .. } => self.free += 1,
        }
        (Some(place), self.give())
    }
}

/// One call's place, by name. No task is woken, and no waker dropped, under the lock.
#[derive(Debug, Clone)]
struct Seat {
    turns: Arc<Turns>,
    name: u64,
}

fn tell(tasks: Vec<Waker>) {
    tasks.into_iter().for_each(Waker::wake);
}

impl Wake for Seat {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let told = lock(&self.turns.queue).wake(self.name);
        tell(told);
    }
}

/// A call that runs in turns.
struct InTurns<'a, F> {
    meter: &'a Meter,
    habit: &'a Habit,
    call: Pin<&'a mut F>,
    seat: Seat,
    /// Of the place: what the call waits for wakes this.
    waker: Waker,
}

impl<F: Future> Future for InTurns<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let mut task = Some(context.waker().clone());
        let (begins, told) = lock(&this.seat.turns.queue).begin(this.seat.name, &mut task);
        tell(told);
        if !begins {
            return Poll::Pending;
        }
        let mut turn = || {
            this.meter.turn_begins();
            let polled = this.call.as_mut().poll(&mut Context::from_waker(&this.waker));
            (polled, this.meter.turn_ends())
        };
        let (polled, worked) = if this.habit.is_busy() { keep_busy(turn) } else { turn() };
        this.habit.learn(worked);
        if polled.is_pending() {
            let told = lock(&this.seat.turns.queue).end(this.seat.name, worked);
            tell(told);
        }
        polled
    }
}

impl<F> Drop for InTurns<'_, F> {
    fn drop(&mut self) {
        let (_place, told) = lock(&self.seat.turns.queue).leave(self.seat.name);
        tell(told);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::Notify;

    use super::super::limits::{Clock, ManualTime};
    use super::*;

    type Task = Pin<Box<dyn Future<Output = ()>>>;

    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    /// Tasks that are polled when they have been woken, in their order; and who had a turn, in turn.
    struct Bench {
        turns: Arc<Turns>,
        time: ManualTime,
        turned: Arc<Mutex<Vec<&'static str>>>,
        tasks: Vec<Option<(Task, Arc<Flag>)>>,
    }

    /// One guest's side of the bench.
    #[derive(Clone)]
    struct Guest {
        name: &'static str,
        time: ManualTime,
        turned: Arc<Mutex<Vec<&'static str>>>,
    }

    impl Guest {
        /// A turn of so many milliseconds, at whose end the guest could go on.
        async fn turn(&self, millis: u64) {
            self.works(millis);
            let mut yielded = false;
            std::future::poll_fn(|context| {
                if std::mem::replace(&mut yielded, true) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }

        /// The same where the guest does not yield.
        fn works(&self, millis: u64) {
            lock(&self.turned).push(self.name);
            self.time.advance(Duration::from_millis(millis));
        }

        async fn turns_for_ever(self, millis: u64) {
            loop {
                self.turn(millis).await;
            }
        }
    }

    impl Bench {
        fn new(at_once: usize) -> Bench {
            Bench { turns: Turns::new(at_once), time: ManualTime::default(), turned: Arc::default(), tasks: Vec::new() }
        }

        fn guest(&self, name: &'static str) -> Guest {
            Guest { name, time: self.time.clone(), turned: Arc::clone(&self.turned) }
        }

        /// Adds a task, and polls it for the first time; gives its place among the tasks.
        fn task(&mut self, task: impl Future<Output = ()> + 'static) -> usize {
            let flag = Arc::new(Flag(AtomicBool::new(true)));
            self.tasks.push(Some((Box::pin(task), flag)));
            self.poll(self.tasks.len() - 1);
            self.tasks.len() - 1
        }

        /// Adds a call that runs in turns.
        fn call(&mut self, call: impl Future<Output = ()> + 'static) -> usize {
            let (turns, time) = (Arc::clone(&self.turns), self.time.clone());
            self.task(async move {
                let meter = Meter::new(Clock::Manual(time), Duration::MAX);
                turns.run(&meter, &Habit::default(), call).await;
            })
        }

        fn looping(&mut self, name: &'static str, millis: u64) -> usize {
            let guest = self.guest(name);
            self.call(guest.turns_for_ever(millis))
        }

        /// Polls a task, if it has been woken.
        fn poll(&mut self, at: usize) {
            let Some((task, flag)) = &mut self.tasks[at] else { return };
            if !flag.0.swap(false, Ordering::SeqCst) {
                return;
            }
            let waker = Waker::from(Arc::clone(flag));
            let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut Context::from_waker(&waker))));
            // One that ended or panicked is dropped.
            if !matches!(polled, Ok(Poll::Pending)) {
                self.tasks[at] = None;
            }
        }

        /// Polls each task that has been woken, once.
        fn round(&mut self) {
            (0..self.tasks.len()).for_each(|at| self.poll(at));
        }

        fn rounds(&mut self, count: usize) {
            (0..count).for_each(|_| self.round());
        }

        fn is_over(&self, task: usize) -> bool {
            self.tasks[task].is_none()
        }

        /// Who has had turns since this was last asked.
        fn turned(&self) -> Vec<&'static str> {
            std::mem::take(&mut *lock(&self.turned))
        }

        fn turns_of(turned: &[&str], name: &str) -> usize {
            turned.iter().filter(|of| **of == name).count()
        }

        /// Drops all tasks; afterwards nobody has a turn or waits for one.
        #[track_caller]
        fn ends_whole(mut self, at_once: usize) {
            self.tasks.clear();
            let queue = lock(&self.turns.queue);
            assert_eq!((queue.free, queue.places.len(), queue.waiting.len()), (at_once, 0, 0));
        }
    }

    #[test]
    fn equal_loops_take_turns() {
        let mut bench = Bench::new(1);
        for name in ["a", "b", "c"] {
            bench.looping(name, 10);
        }
        bench.rounds(30);
        let turned = bench.turned();
        // The first had been given its second turn before the others came.
        assert_eq!(turned[..6], ["a", "a", "b", "c", "b", "c"]);
        assert!(turned[6..].chunks_exact(3).all(|of| of == ["a", "b", "c"]), "{turned:?}");
        bench.ends_whole(1);
    }

    /// Long host calls cannot be broken off: who makes them has fewer turns.
    #[test]
    fn shares_are_of_running_time_and_not_of_turns() {
        let mut bench = Bench::new(2);
        for (name, millis) in [("a", 10), ("b", 30), ("c", 10), ("d", 60)] {
            bench.looping(name, millis);
        }
        bench.rounds(2000);
        let turned = bench.turned();
        let [a, b, c, d] =
            [("a", 10), ("b", 30), ("c", 10), ("d", 60)].map(|(name, millis)| Bench::turns_of(&turned, name) * millis);
        let (least, most) = ([a, b, c, d].into_iter().min().unwrap(), [a, b, c, d].into_iter().max().unwrap());
        assert!(most - least <= 120 && least > 1000, "{a} {b} {c} {d}");
        bench.ends_whole(2);
    }

    #[test]
    fn no_more_run_at_a_time_than_there_are_turns() {
        for at_once in 1..4 {
            let mut bench = Bench::new(at_once);
            for name in ["a", "b", "c", "d", "e"] {
                bench.looping(name, 10);
            }
            for _ in 0..100 {
                bench.round();
                let queue = lock(&bench.turns.queue);
                let held = queue.places.values().filter(|place| place.state == State::Given).count();
                assert_eq!((queue.free, held), (0, at_once));
                drop(queue);
            }
            bench.ends_whole(at_once);
        }
    }

    #[test]
    fn a_newcomer_goes_next_and_a_short_call_is_over_before_the_others_have_had_a_round() {
        let mut bench = Bench::new(1);
        for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
            bench.looping(name, 10);
        }
        bench.rounds(1000);
        bench.turned();
        let guest = bench.guest("short");
        let short = bench.call(async move {
            guest.turn(10).await;
            guest.turn(10).await;
            guest.works(5);
        });
        while !bench.is_over(short) {
            bench.round();
        }
        let turned = bench.turned();
        let before = turned.iter().filter(|name| **name != "short").count();
        // The turn that had been given before it came.
        assert_eq!((before, turned.len()), (1, 4), "{turned:?}");
        bench.ends_whole(1);
    }

    /// One that has waited for an hour is not owed an hour.
    #[test]
    fn waiting_saves_up_no_more_than_the_credit() {
        let mut bench = Bench::new(1);
        let (gate, guest) = (Arc::new(Notify::new()), bench.guest("waits"));
        let opened = Arc::clone(&gate);
        bench.call(async move {
            guest.turn(10).await;
            opened.notified().await;
            guest.turns_for_ever(10).await;
        });
        bench.looping("loops", 10);
        bench.rounds(1000);
        bench.turned();
        gate.notify_one();
        bench.rounds(1000);
        let turned = bench.turned();
        let ahead = turned.iter().skip_while(|name| **name == "loops").take_while(|name| **name == "waits").count();
        assert!((4..=6).contains(&ahead), "{ahead}");
        let (waits, loops) = (Bench::turns_of(&turned, "waits"), Bench::turns_of(&turned, "loops"));
        assert!(waits.abs_diff(loops) <= 7, "{waits} {loops}");
        bench.ends_whole(1);
    }

    /// The share of one that waits now and then is whole, as long as its waits are short.
    #[test]
    fn short_waits_do_not_cost_the_share() {
        let mut bench = Bench::new(1);
        let (gate, guest) = (Arc::new(Notify::new()), bench.guest("waits"));
        let opened = Arc::clone(&gate);
        bench.call(async move {
            loop {
                guest.turn(10).await;
                opened.notified().await;
            }
        });
        for name in ["a", "b", "c"] {
            bench.looping(name, 10);
        }
        for _ in 0..500 {
            bench.rounds(2);
            gate.notify_one();
        }
        let turned = bench.turned();
        let share = turned.len() / 4;
        assert!(Bench::turns_of(&turned, "waits") + 5 >= share, "{} of {share}", Bench::turns_of(&turned, "waits"));
        bench.ends_whole(1);
    }

    #[test]
    fn one_that_waits_costs_no_turn() {
        let mut bench = Bench::new(1);
        let guest = bench.guest("waits");
        bench.call(async move {
            guest.works(10);
            std::future::pending::<()>().await;
        });
        bench.looping("loops", 10);
        bench.rounds(11);
        let turned = bench.turned();
        assert_eq!((Bench::turns_of(&turned, "waits"), Bench::turns_of(&turned, "loops")), (1, turned.len() - 1));
        assert!(turned.len() >= 10, "{turned:?}");
        bench.ends_whole(1);
    }

    #[test]
    fn a_wake_is_not_lost_whenever_it_comes() {
        let mut bench = Bench::new(1);
        let (gate, guest) = (Arc::new(Notify::new()), bench.guest("waits"));
        let opened = Arc::clone(&gate);
        let waits = bench.call(async move {
            // While it is polled.
            opened.notify_one();
            opened.notified().await;
            guest.works(1);
            // While it is idle, while it is queued behind another, and twice.
            opened.notified().await;
            guest.works(1);
        });
        bench.rounds(3);
        assert_eq!(bench.turned(), ["waits"]);
        bench.looping("loops", 10);
        bench.rounds(3);
        gate.notify_one();
        gate.notify_one();
        bench.rounds(3);
        assert!(bench.is_over(waits));
        bench.ends_whole(1);
    }

    #[test]
    fn a_turn_comes_back_from_all_that_end() {
        let mut bench = Bench::new(1);
        let (ends, panics) = (bench.guest("ends"), bench.guest("panics"));
        bench.call(async move { ends.works(10) });
        bench.call(async move {
            panics.works(10);
            panic!("in a host call");
        });
        bench.looping("dropped in its turn", 10);
        bench.looping("dropped in the queue", 10);
        let guest = bench.guest("dropped as it waits");
        bench.call(async move {
            guest.works(10);
            std::future::pending::<()>().await;
        });
        bench.looping("stays", 10);
        bench.rounds(8);
        assert!(bench.is_over(0) && bench.is_over(1));
        // Of the two loops one has the turn and the other stands in the queue, or both stand in it: drop them in each state.
        for dropped in [2, 3, 4] {
            bench.tasks[dropped] = None;
            bench.turned();
            bench.rounds(4);
            assert!(bench.turned().contains(&"stays"));
        }
        bench.turned();
        bench.rounds(3);
        assert_eq!(bench.turned(), ["stays"; 3]);
        bench.ends_whole(1);
    }

    /// The one who holds the only turn never gives it back; whoever waits for it still ends when its time is over.
    #[test]
    fn a_deadline_ends_one_that_stands_in_the_queue() {
        let mut bench = Bench::new(1);
        let holder = bench.looping("holds", 10);
        bench.round();
        let (turns, time, guest) = (Arc::clone(&bench.turns), bench.time.clone(), bench.guest("never"));
        let queued = bench.task(async move {
            let meter = Meter::new(Clock::Manual(time.clone()), Duration::MAX);
            let habit = Habit::default();
            tokio::select! {
                biased;
                () = turns.run(&meter, &habit, guest.turns_for_ever(1)) => unreachable!(),
                () = time.sleep(Duration::from_secs(1)) => {}
            }
        });
        // The holder has been given its turn and is not polled any more.
        bench.tasks[holder].as_ref().unwrap().1.0.store(false, Ordering::SeqCst);
        bench.rounds(5);
        assert!(!bench.is_over(queued));
        bench.time.advance(Duration::from_secs(1));
        bench.rounds(2);
        assert!(bench.is_over(queued));
        assert!(!bench.turned().contains(&"never"));
        bench.ends_whole(1);
    }

    /// Guests on all threads, in a turn that does not end: other tasks run. Short turns between make no difference.
    #[test]
    fn one_whose_turn_was_long_lately_gives_the_threads_tasks_away() {
        const LONG: Duration = Duration::from_secs(60);
        let threads = crate::shutdown::processors().max(2);
        let (turns, shutdown) = (Turns::new(threads), crate::shutdown::Shutdown::default());
        let (here, all_here) = std::sync::mpsc::channel();
        crate::shutdown::runtime().expect("a runtime").block_on(async {
            let (mut guests, mut ends) = (Vec::new(), Vec::new());
            for _ in 0..threads {
                let (end, ended) = std::sync::mpsc::channel();
                ends.push(end);
                let (turns, here, time) = (Arc::clone(&turns), here.clone(), ManualTime::default());
                guests.push(shutdown.spawn(async move {
                    let (meter, habit) = (Meter::new(Clock::Manual(time.clone()), Duration::MAX), Habit::default());
                    let call = async move {
                        time.advance(Duration::from_nanos(LONG_NANOS));
                        for _ in 0..LONG_REMEMBERED {
                            tokio::task::yield_now().await;
                        }
                        here.send(()).expect("somebody counts");
                        ended.recv_timeout(LONG)
                    };
                    turns.run(&meter, &habit, call).await
                }));
            }
            // This thread is none of those that run tasks.
            for _ in 0..threads {
                all_here.recv_timeout(LONG).expect("they come, though those before them do not go");
            }
            shutdown.spawn(async move { ends.into_iter().for_each(|end| end.send(()).expect("it waits")) });
            for guest in guests {
                assert_eq!(guest.await.expect("it ends"), Ok(()));
            }
        });
    }

    #[test]
    fn a_long_turn_is_forgotten_after_many_short_ones() {
        let habit = Habit::default();
        assert!(!habit.is_busy());
        habit.learn(LONG_NANOS);
        for _ in 0..LONG_REMEMBERED {
            assert!(habit.is_busy());
            habit.learn(LONG_NANOS - 1);
        }
        assert!(!habit.is_busy());
    }
}

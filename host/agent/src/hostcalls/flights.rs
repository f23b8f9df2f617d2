//! The requests of one instance that are under way, and the task that drives them.
//!
//! One task drives all of them, and not one task each: where many are under way, it makes the steps of several when it is woken
//! once, and what costs most in a request, waking tasks and the threads on which they run, is shared by them. A step is a bit
//! in `ready`, set before the task is told; an answer is a bit in `landed`, set before the guest is told. Who waits says so
//! before he looks. The task has the same thread to itself for a while at most, and begins where it left off.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::http::Answer;
use crate::egress::{EgressError, Held};
use crate::lock;
use crate::shutdown::Shutdown;

/// Requests under way, or answered and not yet taken: each may hold a body. As many as there are bits.
pub(super) const FLIGHTS_MAX: usize = 32;

/// A request on its way. With the answer comes what it holds of the room, which is given back when the guest has taken it.
pub(super) type Flight = Pin<Box<dyn Future<Output = (Answer, Held)> + Send>>;

/// How long the task goes on without looking whether others have something to do.
const PASS: Duration = Duration::from_millis(1);

/// The requests of one instance.
#[derive(Default)]
pub(super) struct Flights {
    /// There since the first one.
    all: OnceLock<(Arc<Shared>, JoinHandle<()>)>,
}

#[derive(Default)]
struct Shared {
    /// Of the flights, the ones that could go on.
    ready: AtomicU32,
    /// Those whose answer is there.
    landed: AtomicU32,
    /// Those that somebody has.
    taken: AtomicU32,
    slots: [Slot; FLIGHTS_MAX],
    /// Whom to tell of a step, and whom of an answer.
    driver: Mutex<Option<Waker>>,
    guest: Mutex<Option<Waiting>>,
    /// The first to be driven.
    next: AtomicU32,
}

/// A guest that waits for so many of these.
struct Waiting {
    awaited: u32,
    enough: u32,
    waker: Waker,
}

#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    /// Made once; a flight that is over and still rings is looked at in vain.
    bell: OnceLock<Waker>,
}

#[derive(Default)]
enum State {
    #[default]
    Free,
    Under(Flight),
    Landed {
        answer: Answer,
        /// Given back when the answer is taken.
        _held: Option<Held>,
    },
}

/// Rings for one slot.
struct Bell {
    flights: Weak<Shared>,
    at: usize,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(flights) = self.flights.upgrade() {
            flights.ring(self.at);
        }
    }
}

fn bit(at: usize) -> u32 {
    1 << at
}

/// The places of bits.
fn places(mut bits: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
        bits &= bits - 1;
        Some(at)
    })
}

impl Shared {
    /// This flight could go on.
    fn ring(&self, at: usize) {
        // Where it was set already, whoever set it tells.
        if self.ready.fetch_or(bit(at), Ordering::SeqCst) & bit(at) == 0 {
            self.tell_driver();
        }
    }

    fn tell_driver(&self) {
        let driver = lock(&self.driver).take();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Makes the steps that can be made now, each once, and tells the guest where what it waits for has landed.
    fn drive(self: &Arc<Self>) {
        let began = Instant::now();
        let (first, mut left) = (self.next.load(Ordering::Relaxed), self.ready.swap(0, Ordering::SeqCst));
        let mut landed = 0;
        for at in places(left.rotate_right(first)).map(|at| (at + first as usize) % FLIGHTS_MAX) {
            landed |= self.step(at);
            left &= !bit(at);
            if left != 0 && began.elapsed() > PASS {
                self.next.store((at as u32 + 1) % u32::BITS, Ordering::Relaxed);
                self.ready.fetch_or(left, Ordering::SeqCst);
                self.tell_driver();
                break;
            }
        }
        if landed != 0 {
            self.tell_guest();
        }
    }

    fn tell_guest(&self) {
        let landed = self.landed.load(Ordering::SeqCst);
        let has_enough = |waiting: &mut Waiting| (landed & waiting.awaited).count_ones() >= waiting.enough;
        let told = lock(&self.guest).take_if(has_enough);
        if let Some(told) = told {
            told.waker.wake();
        }
    }

    /// One step of one flight; its bit if it has landed. The slot is locked meanwhile: who gives a flight up waits until its step is
    /// made.
    fn step(self: &Arc<Self>, at: usize) -> u32 {
        let slot = &self.slots[at];
        let mut state = lock(&slot.state);
        let State::Under(flight) = &mut *state else { return 0 };
        let bell = slot.bell.get_or_init(|| Waker::from(Arc::new(Bell { flights: Arc::downgrade(self), at })));
        // A panic is this flight's end, and not that of all.
        let polled = catch_unwind(AssertUnwindSafe(|| flight.as_mut().poll(&mut Context::from_waker(bell))));
        let landed = match polled {
            Ok(Poll::Pending) => return 0,
            Ok(Poll::Ready((answer, held))) => State::Landed { answer, _held: Some(held) },
            Err(_) => State::Landed { answer: Err(lost()), _held: None },
        };
        let flown = std::mem::replace(&mut *state, landed);
        // Nor is one at its end.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(flown)));
        self.landed.fetch_or(bit(at), Ordering::SeqCst);
        bit(at)
    }
}

/// Drives until the instance is gone.
async fn drive(flights: Weak<Shared>) {
    poll_fn(|context| {
        let Some(flights) = flights.upgrade() else { return Poll::Ready(()) };
        let before = lock(&flights.driver).replace(context.waker().clone());
        drop(before);
        flights.drive();
        Poll::Pending
    })
    .await;
}

impl Flights {
    /// Sends a request on its way. None where as many are on theirs as may be.
    pub(super) fn launch(&self, shutdown: &Shutdown, flight: Flight) -> Option<Seat> {
        let (shared, _) = self.all.get_or_init(|| {
            let shared = Arc::new(Shared::default());
            let task = shutdown.spawn(drive(Arc::downgrade(&shared)));
            (shared, task)
        });
        let lowest = |taken: u32| taken.checked_add(1).map(|next| taken | next);
        let taken = shared.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, lowest).ok()?;
        let at = taken.trailing_ones() as usize;
        *lock(&shared.slots[at].state) = State::Under(flight);
        shared.ring(at);
        Some(Seat { flights: Arc::clone(shared), at })
    }

    /// Waits until so many of these have landed. For one who waits at a time, the guest.
    pub(super) async fn landed(&self, awaited: u32, enough: u32) {
        let Some((shared, _)) = self.all.get() else { return };
        let there = || (shared.landed.load(Ordering::SeqCst) & awaited).count_ones() >= enough;
        poll_fn(|context| {
            if there() {
                return Poll::Ready(());
            }
            let waiting = Waiting { awaited, enough, waker: context.waker().clone() };
            let before = lock(&shared.guest).replace(waiting);
            drop(before);
            // One may have landed before it was said who waits.
            if there() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Drop for Flights {
    fn drop(&mut self) {
        if let Some((_, task)) = self.all.get() {
            task.abort();
        }
    }
}

/// One flight's place. Its end cancels the flight.
pub(super) struct Seat {
    flights: Arc<Shared>,
    at: usize,
}

impl Seat {
    /// The flight's bit.
    pub(super) fn bit(&self) -> u32 {
        bit(self.at)
    }

    /// Whether the answer is there.
    pub(super) fn landed(&self) -> bool {
        self.flights.landed.load(Ordering::SeqCst) & self.bit() != 0
    }

    /// The answer, which has landed.
    pub(super) fn take(self) -> Answer {
        match self.clear() {
            State::Landed { answer, .. } => answer,
            State::Free | State::Under(_) => Err(lost()),
        }
    }

    fn clear(&self) -> State {
        let mut state = lock(&self.flights.slots[self.at].state);
        self.flights.landed.fetch_and(!self.bit(), Ordering::SeqCst);
        std::mem::take(&mut *state)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Its end may ring for others, and is outside of the lock.
        drop(self.clear());
        self.flights.taken.fetch_and(!self.bit(), Ordering::SeqCst);
    }
}

/// The request's flight ended without an answer.
pub(super) fn lost() -> EgressError {
    EgressError::Other("the request ended without an answer; this is a fault of the agent".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::oneshot;

    use super::*;
    use crate::egress::{Response, Room};

    #[derive(Default)]
    struct Rung(AtomicUsize);

    impl Wake for Rung {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// One instance's flights, and its guest, which does nothing by itself.
    #[derive(Default)]
    struct Bench {
        flights: Flights,
        shutdown: Shutdown,
        guest: Arc<Rung>,
    }

    impl Bench {
        /// A flight that lands when this is sent, with this status.
        fn launch(&self) -> (Option<Seat>, oneshot::Sender<u16>) {
            let (land, landing) = oneshot::channel();
            let flight = async move {
                let status = landing.await.unwrap_or(0);
                assert!(status != 500, "a fault of ours");
                let answer = Response { status, url: String::new(), headers: Vec::new(), body: bytes::Bytes::new() };
                (Ok(answer), Room::new(0).part())
            };
            (self.flights.launch(&self.shutdown, Box::pin(flight)), land)
        }

        /// The guest begins to wait for these, or looks again; whether they have landed.
        fn waits(&self, awaited: u32, enough: u32) -> bool {
            let waker = Waker::from(Arc::clone(&self.guest));
            let landed = std::pin::pin!(self.flights.landed(awaited, enough));
            landed.poll(&mut Context::from_waker(&waker)).is_ready()
        }

        /// How often the guest was told, since this was last asked.
        fn told(&self) -> usize {
            self.guest.0.swap(0, Ordering::SeqCst)
        }
    }

    fn status(answer: Answer) -> Result<u16, String> {
        answer.map(|answer| answer.status).map_err(|error| error.to_string())
    }

    /// What is spawned runs when the test lets it.
    fn alone(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(test);
    }

    #[test]
    fn the_guest_is_told_of_what_it_waits_for_and_of_nothing_else() {
        alone(async {
            let bench = Bench::default();
            let launched: Vec<_> = (0..3).map(|_| bench.launch()).collect();
            let (seats, mut lands): (Vec<_>, Vec<_>) =
                launched.into_iter().map(|(seat, land)| (seat.expect("a place"), land)).unzip();
            let first_two = seats[0].bit() | seats[1].bit();
            assert!(!bench.waits(first_two, 1));
            let mut land = async || {
                lands.pop().expect("three").send(200).expect("it flies");
                tokio::task::yield_now().await;
            };
            land().await;
            assert_eq!((bench.told(), seats[2].landed()), (0, true), "nobody waits for the third");
            land().await;
            assert_eq!(bench.told(), 1);
            assert!(bench.waits(first_two, 1) && !bench.waits(first_two | seats[2].bit(), 3));
            assert_eq!(bench.told(), 0);
            land().await;
            assert_eq!(bench.told(), 1);
            assert!(bench.waits(first_two, 2));
            assert!(seats.into_iter().all(|seat| status(seat.take()) == Ok(200)));
        });
    }

    #[test]
    fn places_are_given_back_and_flights_end_with_them() {
        alone(async {
            let bench = Bench::default();
            let mut all: Vec<_> = (0..FLIGHTS_MAX).map(|_| bench.launch()).collect();
            assert!(all.iter().all(|(seat, _)| seat.is_some()));
            let (none, land) = bench.launch();
            assert!(none.is_none() && land.is_closed());
            tokio::task::yield_now().await;
            let (seat, land) = all.swap_remove(7);
            drop(seat);
            assert!(land.is_closed(), "its flight has ended");
            let (again, land) = bench.launch();
            let again = again.expect("a place");
            assert!(!again.landed());
            land.send(204).expect("it flies");
            tokio::task::yield_now().await;
            assert_eq!(status(again.take()), Ok(204));
            let lands: Vec<_> = all.into_iter().map(|(_, land)| land).collect();
            assert!(lands.iter().all(oneshot::Sender::is_closed));
            assert_eq!(bench.flights.all.get().expect("there were some").0.taken.load(Ordering::SeqCst), 0);
        });
    }

    #[test]
    fn a_panic_ends_its_flight_alone() {
        alone(async {
            let bench = Bench::default();
            let ((Some(bad), land_bad), (Some(good), land_good)) = (bench.launch(), bench.launch()) else {
                panic!("there are places")
            };
            land_bad.send(500).expect("it flies");
            land_good.send(200).expect("it flies");
            tokio::task::yield_now().await;
            assert!(status(bad.take()).is_err_and(|why| why.contains("a fault of the agent")));
            assert_eq!(status(good.take()), Ok(200));
        });
    }

    #[test]
    fn the_task_ends_with_its_instance() {
        alone(async {
            let bench = Bench::default();
            let (seat, _land) = bench.launch();
            let task = bench.flights.all.get().expect("it was spawned").1.abort_handle();
            tokio::task::yield_now().await;
            assert!(!task.is_finished());
            drop((bench, seat));
            tokio::task::yield_now().await;
            assert!(task.is_finished());
        });
    }

    /// A flight that is always ready does not keep the others from theirs, nor other tasks from running.
    #[test]
    fn a_flight_that_takes_long_leaves_room_for_others() {
        alone(async {
            let bench = Bench::default();
            let busy = poll_fn(|context| {
                let until = Instant::now() + 2 * PASS;
                while Instant::now() < until {}
                context.waker().wake_by_ref();
                Poll::Pending
            });
            let busy = bench.flights.launch(&bench.shutdown, Box::pin(busy)).expect("a place");
            let (seat, land) = bench.launch();
            let seat = seat.expect("a place");
            land.send(200).expect("it flies");
            let landing = bench.flights.landed(seat.bit(), 1);
            tokio::time::timeout(Duration::from_secs(60), landing).await.expect("it lands");
            assert!(!busy.landed());
        });
    }

    /// Steps that ring at once or from other threads, and a guest that waits for one or for all.
    #[test]
    fn whatever_the_order_everything_lands() {
        const ROUNDS: u32 = 500;
        crate::shutdown::runtime().expect("a runtime").block_on(async {
            let (flights, shutdown) = (Flights::default(), Shutdown::default());
            let launch = |steps: u32| {
                let other = shutdown.clone();
                let flight = async move {
                    for step in 0..steps {
                        match step % 2 {
                            0 => tokio::task::yield_now().await,
                            _ => other.spawn(async {}).await.expect("it ends"),
                        }
                    }
                    (Err(EgressError::Other(steps.to_string())), Room::new(0).part())
                };
                flights.launch(&shutdown, Box::pin(flight)).expect("a place")
            };
            for round in 0..ROUNDS {
                let mut under_way: Vec<(u32, Seat)> = Vec::new();
                for at in 0..8 {
                    let steps = (round + at * 3) % 7;
                    under_way.push((steps, launch(steps)));
                }
                let enough = |left: usize| if round % 2 == 0 { 1 } else { u32::try_from(left).expect("eight") };
                while !under_way.is_empty() {
                    let awaited = under_way.iter().fold(0, |bits, (_, seat)| bits | seat.bit());
                    let landing = flights.landed(awaited, enough(under_way.len()));
                    tokio::time::timeout(Duration::from_secs(60), landing).await.expect("they land");
                    let (landed, left): (Vec<_>, Vec<_>) = under_way.into_iter().partition(|(_, seat)| seat.landed());
                    assert!(!landed.is_empty());
                    for (steps, seat) in landed {
                        assert_eq!(seat.take().err(), Some(EgressError::Other(steps.to_string())));
                    }
                    under_way = left;
                }
            }
        });
    }
}

//! The time by which the door waits, and the chance by which it spreads its tries: the machine's, or a test's, so that no
//! test sleeps and none depends on luck.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

/// Where time comes from.
#[derive(Clone)]
pub(super) enum Clock {
    Real,
    #[cfg(test)]
    Test(std::sync::Arc<tests::TestClock>),
}

impl Clock {
    pub(super) fn now(&self) -> Instant {
        match self {
            Clock::Real => Instant::now(),
            #[cfg(test)]
            Clock::Test(clock) => clock.now(),
        }
    }

    /// The time of day: what servers write in their headers is compared with it where they do not tell their own.
    pub(super) fn wall(&self) -> OffsetDateTime {
        match self {
            Clock::Real => OffsetDateTime::now_utc(),
            #[cfg(test)]
            Clock::Test(clock) => clock.wall(),
        }
    }

    /// The time of day at a moment to come.
    pub(super) fn wall_at(&self, moment: Instant) -> OffsetDateTime {
        self.wall() + moment.saturating_duration_since(self.now())
    }

    pub(super) async fn sleep_until(&self, moment: Instant) {
        match self {
            Clock::Real => tokio::time::sleep_until(moment.into()).await,
            #[cfg(test)]
            Clock::Test(clock) => clock.sleep_until(moment).await,
        }
    }

    /// A duration below this one, by chance. Nothing secret depends on it.
    pub(super) fn below(&self, most: Duration) -> Duration {
        match self {
            // The keys of a hasher are random, and new for each.
            Clock::Real => most.mul_f64(RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64),
            #[cfg(test)]
            Clock::Test(_) => most / 2,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::Notify;

    use super::*;

    /// A time that goes on only when somebody sleeps, at once, to where the sleeper wants it; or, where `step` is asked for,
    /// only by `step`.
    pub(in crate::egress) struct TestClock {
        began: Instant,
        by_step: bool,
        state: Mutex<State>,
        changed: Notify,
    }

    #[derive(Default)]
    struct State {
        passed: Duration,
        slept: Vec<Duration>,
        sleepers: Vec<Duration>,
    }

    /// 2026-11-21T09:30:00Z.
    pub(in crate::egress) const BEGAN: i64 = 1_795_253_400;

    impl TestClock {
        pub(in crate::egress) fn new() -> Arc<TestClock> {
            TestClock::made(false)
        }

        pub(in crate::egress) fn by_step() -> Arc<TestClock> {
            TestClock::made(true)
        }

        fn made(by_step: bool) -> Arc<TestClock> {
            Arc::new(TestClock { began: Instant::now(), by_step, state: Mutex::default(), changed: Notify::new() })
        }

        pub(super) fn now(&self) -> Instant {
            self.began + self.state.lock().unwrap().passed
        }

        pub(super) fn wall(&self) -> OffsetDateTime {
            OffsetDateTime::from_unix_timestamp(BEGAN).unwrap() + self.state.lock().unwrap().passed
        }

        /// What was slept, in order.
        pub(in crate::egress) fn slept(&self) -> Vec<Duration> {
            self.state.lock().unwrap().slept.clone()
        }

        pub(in crate::egress) fn advance(&self, by: Duration) {
            self.state.lock().unwrap().passed += by;
            self.changed.notify_waiters();
        }

        /// Waits until so many sleep, and goes on to where the first of them wakes.
        pub(in crate::egress) async fn step(&self, sleepers: usize) {
            loop {
                let changed = self.changed.notified();
                {
                    let mut state = self.state.lock().unwrap();
                    if state.sleepers.len() >= sleepers {
                        let first = state.sleepers.iter().copied().min().unwrap();
                        state.passed = state.passed.max(first);
                        break;
                    }
                }
                changed.await;
            }
            self.changed.notify_waiters();
        }

        pub(super) async fn sleep_until(&self, moment: Instant) {
            let until = moment.saturating_duration_since(self.began);
            {
                let mut state = self.state.lock().unwrap();
                let slept = until.saturating_sub(state.passed);
                state.slept.push(slept);
                if !self.by_step {
                    state.passed = state.passed.max(until);
                    return;
                }
                state.sleepers.push(until);
            }
            let _awake = Awake(self, until);
            self.changed.notify_waiters();
            loop {
                let changed = self.changed.notified();
                if self.state.lock().unwrap().passed >= until {
                    return;
                }
                changed.await;
            }
        }
    }

    /// Takes a sleeper off the list, also one that is dropped.
    struct Awake<'a>(&'a TestClock, Duration);

    impl Drop for Awake<'_> {
        fn drop(&mut self) {
            let mut state = self.0.state.lock().unwrap();
            if let Some(at) = state.sleepers.iter().position(|until| *until == self.1) {
                state.sleepers.swap_remove(at);
            }
        }
    }
}

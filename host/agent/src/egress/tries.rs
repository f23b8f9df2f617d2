//! Whether a request is tried again, and after how long. Pure but for the dice: `client` sends and `gate` waits.

use std::time::Duration;

use http::{HeaderMap, HeaderName, Method};

use super::clock::Clock;
use super::{EgressError, Manner};

/// Tries after the first, unless the request says otherwise. With `BASE` they spread over some seconds: what lasts longer
/// is an outage, and the next run's.
pub(crate) const RETRIES_DEFAULT: u32 = 3;
/// Most that a request may ask for.
pub(crate) const RETRIES_MAX: u32 = 8;
/// The most that is waited before the second try; doubled for each further one.
const BASE: Duration = Duration::from_millis(500);
/// And never more than this, unless the server asks for it.
const CEILING: Duration = Duration::from_secs(30);

/// Methods that may be repeated (RFC 9110, 9.2.2).
const IDEMPOTENT: [Method; 5] = [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE];

/// A request with this field is one, however often it comes.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The tries of one request.
pub(super) struct Tries {
    idempotent: bool,
    left: u32,
    made: u32,
}

/// What to do after a try.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is what it is.
    Give,
    /// Wait so long, and try again.
    Again(Duration),
    /// The server asks to wait so long.
    Asked(Duration),
    /// A limit was met; nothing goes to the server before it ends, and the gate waits.
    Gate,
}

impl Tries {
    pub(super) fn new(method: &Method, headers: &HeaderMap, manner: &Manner) -> Tries {
        let keyed = headers.contains_key(&IDEMPOTENCY_KEY);
        let idempotent = manner.idempotent || keyed || IDEMPOTENT.contains(method);
        Tries { idempotent, left: manner.retries_max.min(RETRIES_MAX), made: 0 }
    }

    /// After an answer with this status: `limited` if it means "later", `asked` if it says how much later.
    pub(super) fn after_answer(&mut self, status: u16, limited: bool, asked: Option<Duration>, clock: &Clock) -> Next {
        // Who was refused for a limit was not served: that may be repeated whatever it is.
        if limited {
            return if self.take() { Next::Gate } else { Next::Give };
        }
        if !matches!(status, 502..=504) || !self.idempotent || !self.take() {
            return Next::Give;
        }
        asked.map_or_else(|| Next::Again(self.backoff(clock)), Next::Asked)
    }

    /// After no answer.
    pub(super) fn after_fault(&mut self, fault: &EgressError, clock: &Clock) -> Next {
        let passing = matches!(fault, EgressError::Connection(_) | EgressError::Dns(_));
        if !passing || !self.idempotent || !self.take() {
            return Next::Give;
        }
        Next::Again(self.backoff(clock))
    }

    fn take(&mut self) -> bool {
        let any = self.left > 0;
        if any {
            self.left -= 1;
            self.made += 1;
        }
        any
    }

    /// Full jitter: anything between nothing and the bound, so that those who failed together do not come back together.
    fn backoff(&self, clock: &Clock) -> Duration {
        clock.below(BASE.saturating_mul(1 << (self.made - 1).min(16)).min(CEILING))
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::tests::TestClock;
    use super::*;

    fn tries(method: &Method, manner: &Manner) -> Tries {
        Tries::new(method, &HeaderMap::new(), manner)
    }

    #[test]
    fn only_what_may_be_sent_twice_is() {
        let clock = Clock::Test(TestClock::new());
        let plain = Manner::default();
        let marked = Manner { idempotent: true, ..Manner::default() };
        let broken = EgressError::Connection("reset".to_owned());
        for (method, manner, again) in [
            (Method::GET, &plain, true),
            (Method::PUT, &plain, true),
            (Method::DELETE, &plain, true),
            (Method::POST, &plain, false),
            (Method::PATCH, &plain, false),
            (Method::POST, &marked, true),
        ] {
            assert_eq!(tries(&method, manner).after_fault(&broken, &clock) != Next::Give, again, "{method}");
            let answered = tries(&method, manner).after_answer(503, false, None, &clock);
            assert_eq!(answered != Next::Give, again, "{method}");
            // A refusal for a limit did nothing.
            assert_eq!(tries(&method, manner).after_answer(429, true, None, &clock), Next::Gate, "{method}");
        }
        let keyed = HeaderMap::from_iter([("idempotency-key".parse().unwrap(), "1".parse().unwrap())]);
        assert_ne!(Tries::new(&Method::POST, &keyed, &plain).after_fault(&broken, &clock), Next::Give);
        for fault in [EgressError::Timeout(BASE), EgressError::Tls("x".into()), EgressError::Denied("x".into())] {
            assert_eq!(tries(&Method::GET, &plain).after_fault(&fault, &clock), Next::Give, "{fault}");
        }
        for status in [200, 304, 400, 401, 403, 404, 409, 422, 500, 501] {
            assert_eq!(tries(&Method::GET, &plain).after_answer(status, false, None, &clock), Next::Give, "{status}");
        }
    }

    #[test]
    fn waits_double_up_to_a_ceiling_and_tries_end() {
        let clock = Clock::Test(TestClock::new());
        let mut tries = tries(&Method::GET, &Manner { retries_max: 8, ..Manner::default() });
        let mut waits = Vec::new();
        while let Next::Again(wait) = tries.after_answer(503, false, None, &clock) {
            waits.push(wait.as_millis());
        }
        // The test's dice fall in the middle.
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
        // What the server asks for goes before that.
        let asked = Some(Duration::from_secs(99));
        let mut tries = self::tries(&Method::GET, &Manner::default());
        assert_eq!(tries.after_answer(503, false, asked, &clock), Next::Asked(Duration::from_secs(99)));
    }

    #[test]
    fn the_machines_dice_stay_below() {
        for _ in 0..1000 {
            assert!(Clock::Real.below(BASE) <= BASE);
        }
    }
}

//! The rate limits: points of an hour, and the secondary limits of a minute and of requests under way. The formulas are
//! GitHub's documented ones; what a GraphQL query costs is `graphql::cost`'s.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Points of an hour of a user's token.
pub const POINTS_HOUR: u64 = 5_000;
/// Points of a minute, REST and GraphQL each.
const REST_MINUTE: u64 = 900;
const GRAPHQL_MINUTE: u64 = 2_000;
/// Requests under way at a time.
pub const CONCURRENT_MAX: usize = 100;
/// A request that changes something counts for so many points of a minute.
const CHANGE_POINTS: u64 = 5;
const MINUTE: Duration = Duration::from_secs(60);

/// Which of the two budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Rest,
    Graphql,
}

/// What has been used.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Requests that were answered by the API, whatever they cost.
    pub requests: u64,
    pub rest_points: u64,
    pub graphql_points: u64,
    pub graphql_requests: u64,
    /// Answers that nothing had changed, which cost nothing.
    pub not_modified: u64,
    /// Requests refused for a limit.
    pub refused: u64,
}

impl Ledger {
    pub fn points(&self) -> u64 {
        self.rest_points + self.graphql_points
    }
}

#[derive(Debug)]
pub struct Limits {
    hourly: u64,
    pub ledger: Ledger,
    used: u64,
    minute: [VecDeque<(Instant, u64)>; 2],
}

impl Limits {
    pub fn new(hourly: u64) -> Limits {
        Limits { hourly, ledger: Ledger::default(), used: 0, minute: Default::default() }
    }

    pub fn limit(&self) -> u64 {
        self.hourly
    }

    pub fn remaining(&self) -> u64 {
        self.hourly.saturating_sub(self.used)
    }

    /// When the hour ends, by the world's clock.
    #[allow(clippy::unused_self, reason = "an hour that begins with the first request would need it")]
    pub fn reset(&self, now: i64) -> i64 {
        now - now.rem_euclid(3_600) + 3_600
    }

    /// A new hour, and so a new minute.
    pub fn renew(&mut self) {
        self.used = 0;
        self.minute = Default::default();
    }

    /// Whether the hour's points are spent.
    pub fn is_spent(&self) -> bool {
        self.used >= self.hourly
    }

    /// Whether a request passes the secondary limits of the minute; it is counted then.
    pub fn minute_allows(&mut self, kind: Kind, changes: bool, now: Instant) -> bool {
        let (place, max) = match kind {
            Kind::Rest => (0, REST_MINUTE),
            Kind::Graphql => (1, GRAPHQL_MINUTE),
        };
        let minute = &mut self.minute[place];
        while minute.front().is_some_and(|(at, _)| now.duration_since(*at) >= MINUTE) {
            minute.pop_front();
        }
        let points = if changes { CHANGE_POINTS } else { 1 };
        let used: u64 = minute.iter().map(|(_, points)| points).sum();
        if used + points > max {
            return false;
        }
        minute.push_back((now, points));
        true
    }

    /// Counts what a request cost.
    pub fn spend(&mut self, kind: Kind, points: u64) {
        self.used += points;
        self.ledger.requests += 1;
        match kind {
            Kind::Rest => self.ledger.rest_points += points,
            Kind::Graphql => {
                self.ledger.graphql_points += points;
                self.ledger.graphql_requests += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_holds_so_many_points() {
        let mut limits = Limits::new(POINTS_HOUR);
        let begin = Instant::now();
        let allowed = |limits: &mut Limits, kind, changes, at| limits.minute_allows(kind, changes, at);
        assert!((0..900).all(|_| allowed(&mut limits, Kind::Rest, false, begin)));
        assert!(!allowed(&mut limits, Kind::Rest, false, begin));
        assert!(allowed(&mut limits, Kind::Graphql, false, begin), "the two are counted apart");
        assert!(allowed(&mut limits, Kind::Rest, false, begin + MINUTE));
        let mut limits = Limits::new(POINTS_HOUR);
        assert!((0..180).all(|_| allowed(&mut limits, Kind::Rest, true, begin)));
        assert!(!allowed(&mut limits, Kind::Rest, true, begin));
    }

    #[test]
    fn points_are_spent_until_there_are_none() {
        let mut limits = Limits::new(3);
        limits.spend(Kind::Graphql, 2);
        assert_eq!((limits.remaining(), limits.is_spent()), (1, false));
        limits.spend(Kind::Rest, 1);
        assert_eq!((limits.remaining(), limits.is_spent(), limits.ledger.points()), (0, true, 3));
        limits.renew();
        assert!(!limits.is_spent());
        assert_eq!(limits.reset(7_199), 7_200);
    }
}

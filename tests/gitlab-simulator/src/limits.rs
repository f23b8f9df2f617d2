//! The rate limit: so many requests of a minute, told in the header fields of each answer, and 429 above.

/// Requests of a minute that a user has on gitlab.com.
pub const REQUESTS_MINUTE: u64 = 2_000;

/// What has been used.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Requests that were answered by the API.
    pub requests: u64,
    /// Those of them that were queries of GraphQL, and the most complex of these.
    pub queries: u64,
    pub complexity_max: u64,
    /// Requests refused for the limit.
    pub refused: u64,
}

/// The window that is under way. It ends when somebody says so, and not by the clock: a test would have to wait.
#[derive(Debug)]
pub struct Limits {
    limit: u64,
    used: u64,
    pub ledger: Ledger,
}

impl Limits {
    pub fn new(limit: u64) -> Limits {
        Limits { limit, used: 0, ledger: Ledger::default() }
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    pub fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// Begins a new minute.
    pub fn renew(&mut self) {
        self.used = 0;
    }

    /// Counts a request; whether it is still within the limit.
    pub fn allows(&mut self) -> bool {
        if self.used >= self.limit {
            self.ledger.refused += 1;
            return false;
        }
        self.used += 1;
        self.ledger.requests += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;

    #[test]
    fn requests_are_spent_until_a_new_minute() {
        let mut limits = Limits::new(2);
        assert!(limits.allows() && limits.allows() && !limits.allows());
        assert_eq!((limits.ledger.requests, limits.ledger.refused, limits.remaining()), (2, 1, 0));
        limits.renew();
        assert!(limits.allows());
    }
}

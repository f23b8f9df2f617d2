//! Several requests under way at a time, and never more than asked for: answers in the order of the requests, or as they
//! come.

use std::collections::VecDeque;

use super::{HttpError, Pending, Request, Response, wait_any};

/// The contract's limit of requests under way in an instance.
const AT_ONCE_MAX: usize = 32;

/// The longest that the contract lets one wait.
const WAIT_MS_MAX: u32 = 600_000;

/// Sends these requests, at most `at_once` (1 to 32) of them at a time, and yields the answers in the order of the
/// requests: whatever comes out has everything before it, so that a cursor may follow. An error ends that request and
/// no other. Requests are taken from the iterator as there is room, so that millions cost no memory.
///
/// ```no_run
/// # use agent_sdk::http::{self, Request};
/// # fn main() -> agent_sdk::Result<()> {
/// let ids = 1..=500;
/// let requests = ids.map(|id| Request::get(format!("https://api.example.com/items/{id}")).auth("token"));
/// for answer in http::parallel(requests, 8) {
///     let item: serde_json::Value = answer?.error_for_status()?.json()?;
/// }
/// # Ok(()) }
/// ```
pub fn parallel<I: IntoIterator<Item = Request>>(requests: I, at_once: usize) -> Parallel<I::IntoIter> {
    let at_once = at_once.clamp(1, AT_ONCE_MAX);
    Parallel { requests: requests.into_iter(), under_way: VecDeque::with_capacity(at_once), at_once, begun: 0 }
}

/// Answers in the order of their requests. Made with [`parallel`]. Dropping it cancels what is under way.
#[derive(Debug)]
pub struct Parallel<I> {
    requests: I,
    /// The place of each request, and itself: under way, or refused before it went out.
    under_way: VecDeque<(usize, Result<Pending, HttpError>)>,
    at_once: usize,
    begun: usize,
}

impl<I: Iterator<Item = Request>> Parallel<I> {
    /// Yields the answers as they come, each with the place of its request, counted from 0: nobody waits for a slow
    /// one. What is before a place may still be missing, so a cursor must not follow.
    pub fn as_they_come(self) -> AsTheyCome<I> {
        AsTheyCome { inner: self }
    }

    fn fill(&mut self) {
        while self.under_way.len() < self.at_once {
            let Some(request) = self.requests.next() else { return };
            self.under_way.push_back((self.begun, request.submit()));
            self.begun += 1;
        }
    }
}

impl<I: Iterator<Item = Request>> Iterator for Parallel<I> {
    type Item = Result<Response, HttpError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.fill();
        let (_, first) = self.under_way.pop_front()?;
        Some(first.and_then(Pending::take))
    }
}

/// Answers as they come. Made with [`Parallel::as_they_come`]. Dropping it cancels what is under way.
#[derive(Debug)]
pub struct AsTheyCome<I> {
    inner: Parallel<I>,
}

impl<I: Iterator<Item = Request>> Iterator for AsTheyCome<I> {
    type Item = (usize, Result<Response, HttpError>);

    fn next(&mut self) -> Option<Self::Item> {
        self.inner.fill();
        let under_way = &mut self.inner.under_way;
        let refused = under_way.iter().position(|(_, pending)| pending.is_err());
        let ready = refused.or_else(|| {
            let pendings: Vec<&Pending> = under_way.iter().filter_map(|(_, pending)| pending.as_ref().ok()).collect();
            // After the longest wait, the first is waited for by taking it: each request has a time limit of its own.
            (!pendings.is_empty()).then(|| wait_any(&pendings, WAIT_MS_MAX).first().copied().unwrap_or(0))
        })?;
        let (place, pending) = under_way.remove(ready)?;
        Some((place, pending.and_then(Pending::take)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parallel;
    use crate::http::Request;
    use crate::testing::{Answer, Host};
    use crate::{ExportResult, Integration, Manifest, NetworkRule, Result};

    struct Fetches;

    impl Integration for Fetches {
        type Config = crate::Ignored;

        fn describe() -> Manifest {
            Manifest::new("fetches", "0.1.0").network(NetworkRule::https("x.invalid"))
        }

        fn export(_: Self::Config) -> Result<ExportResult> {
            let requests = || (0..7).map(|id| Request::get(format!("https://x.invalid/{id}")));
            let ordered: Vec<u16> = parallel(requests(), 3).map(|answer| answer.map_or(0, |a| a.status)).collect();
            assert_eq!(ordered, [200, 201, 202, 0, 204, 205, 206]);
            let mut places: Vec<(usize, u16)> = parallel(requests(), 3)
                .as_they_come()
                .map(|(place, answer)| (place, answer.map_or(0, |a| a.status)))
                .collect();
            assert_ne!(places[0].0, 0, "the test's host gives the last first");
            places.sort_unstable();
            assert_eq!(places, [(0, 200), (1, 201), (2, 202), (3, 0), (4, 204), (5, 205), (6, 206)]);
            assert_eq!(parallel(Vec::new(), 0).count(), 0);
            Ok(ExportResult::new())
        }
    }

    #[test]
    fn answers_come_in_order_or_as_they_come_and_an_error_ends_one_only() {
        let host = Host::new();
        host.serve(|asked| {
            let id: u16 = asked.path()[1..].parse().unwrap();
            (id != 3).then(|| Answer::status(200 + id))
        });
        assert_eq!(host.export::<Fetches>(json!({})).ok().requests.len(), 14);
    }
}

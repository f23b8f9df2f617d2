//! Faults put between a guest and the world, to see how it bears them: which there are, how they are written
//! (`429@3`, `reset@10%`), and which request meets which. Chance comes from a seed, so that a run can be repeated.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Stream;

/// Of a `drip` that does not say how long it takes.
const DRIP_DEFAULT: Duration = Duration::from_secs(5);
/// Of a `drip`: longer than any request may take is a timeout.
const DRIP_MAX: Duration = Duration::from_secs(600);
/// Bytes after which an answer breaks off, of a `truncate` that does not say so: within the first object of most.
const TRUNCATE_DEFAULT: usize = 64;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The server answers with this status at once; with 429 and 503 it says `Retry-After: 1`.
    Status(u16),
    /// The connection breaks before the answer.
    Reset,
    /// There is no answer in time.
    Timeout,
    /// The answer ends after so many bytes, as if it were whole.
    Truncate(usize),
    /// The answer takes this much longer.
    Drip(Duration),
}

/// Which requests meet a fault, of all tries that go out, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Point {
    These(u64, u64),
    /// Each with this chance, in percent.
    Chance(f64),
}

/// A fault that is written wrongly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "--fault {0:?} is none: write KIND@WHICH; kinds are a status from 400 to 599, reset, timeout, truncate or truncate=BYTES, \
     drip or drip=SECONDS; which is a number (429@3), a range (503@2..4, reset@5..) or a chance (timeout@10%)"
)]
pub struct FaultError(String);

/// How often a fault happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injected {
    /// As it is written.
    pub fault: String,
    pub times: u64,
}

/// The faults of one run.
pub struct Faults {
    rules: Vec<Rule>,
    tries: AtomicU64,
    chance: Mutex<Stream>,
}

struct Rule {
    written: String,
    fault: Fault,
    point: Point,
    times: AtomicU64,
}

impl Faults {
    /// Reads faults as they are typed. Of those that meet one request, the first written is taken.
    ///
    /// # Errors
    /// One is none.
    pub fn parse(written: &[String], seed: u64) -> Result<Faults, FaultError> {
        let rules = written
            .iter()
            .map(|text| {
                let (fault, point) = parse(text).ok_or_else(|| FaultError(text.clone()))?;
                Ok(Rule { written: text.clone(), fault, point, times: AtomicU64::new(0) })
            })
            .collect::<Result<_, _>>()?;
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Ok(Faults { rules, tries: AtomicU64::new(0), chance: Mutex::new(Stream::new(&bytes, "faults")) })
    }

    /// What happens to the next try.
    pub fn next(&self) -> Option<Fault> {
        let number = 1 + self.tries.fetch_add(1, Ordering::Relaxed);
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        // Each rule throws at each try, so that one more rule does not change what the others do.
        let met: Vec<bool> = self.rules.iter().map(|rule| rule.point.meets(number, &mut chance)).collect();
        let rule = self.rules.iter().zip(met).find_map(|(rule, met)| met.then_some(rule))?;
        rule.times.fetch_add(1, Ordering::Relaxed);
        Some(rule.fault)
    }

    /// How often each happened.
    #[must_use]
    pub fn injected(&self) -> Vec<Injected> {
        let one = |rule: &Rule| Injected { fault: rule.written.clone(), times: rule.times.load(Ordering::Relaxed) };
        self.rules.iter().map(one).collect()
    }
}

impl Point {
    fn meets(self, number: u64, chance: &mut Stream) -> bool {
        match self {
            Point::These(first, last) => (first..=last).contains(&number),
            Point::Chance(percent) => {
                // 53 bits are what a number of this kind holds.
                #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
                let thrown = (chance.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
                thrown * 100.0 < percent
            }
        }
    }
}

fn parse(text: &str) -> Option<(Fault, Point)> {
    let (kind, which) = text.split_once('@')?;
    let (kind, size) = kind.split_once('=').map_or((kind, None), |(kind, size)| (kind, Some(size)));
    let fault = match (kind, size) {
        ("reset", None) => Fault::Reset,
        ("timeout", None) => Fault::Timeout,
        ("truncate", None) => Fault::Truncate(TRUNCATE_DEFAULT),
        ("truncate", Some(bytes)) => Fault::Truncate(bytes.parse().ok()?),
        ("drip", None) => Fault::Drip(DRIP_DEFAULT),
        ("drip", Some(secs)) => {
            let time = Duration::try_from_secs_f64(secs.parse().ok()?).ok()?;
            (time <= DRIP_MAX).then_some(Fault::Drip(time))?
        }
        (status, None) => Fault::Status(status.parse().ok().filter(|status| (400..600).contains(status))?),
        _ => return None,
    };
    let point = if let Some(percent) = which.strip_suffix('%') {
        Point::Chance(percent.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))?)
    } else if let Some((first, last)) = which.split_once("..") {
        let last = if last.is_empty() { u64::MAX } else { last.parse().ok()? };
        Point::These(first.parse().ok()?, last)
    } else {
        let number = which.parse().ok()?;
        Point::These(number, number)
    };
    match point {
        Point::These(first, last) if first == 0 || last < first => None,
        point => Some((fault, point)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(written: &[&str], seed: u64) -> Faults {
        let written: Vec<String> = written.iter().map(|text| (*text).to_owned()).collect();
        Faults::parse(&written, seed).unwrap()
    }

    #[test]
    fn faults_meet_the_tries_that_are_written() {
        let faults = of(&["429@2", "reset@2..3", "truncate=5@5.."], 0);
        let met: Vec<Option<Fault>> = (0..6).map(|_| faults.next()).collect();
        let cut = Some(Fault::Truncate(5));
        assert_eq!(met, [None, Some(Fault::Status(429)), Some(Fault::Reset), None, cut, cut]);
        let times: Vec<u64> = faults.injected().iter().map(|injected| injected.times).collect();
        assert_eq!(times, [1, 1, 2]);
    }

    #[test]
    fn chance_comes_from_the_seed() {
        let met = |seed: u64| {
            let faults = of(&["timeout@25%"], seed);
            (0..1_000).map(|_| faults.next().is_some()).collect::<Vec<_>>()
        };
        assert_eq!(met(1), met(1));
        assert_ne!(met(1), met(2));
        let count = met(1).iter().filter(|met| **met).count();
        assert!((150..350).contains(&count), "{count} of 1,000 with a chance of 25 %");
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        for text in
            ["", "429", "200@1", "429@0", "429@3..2", "429@x", "reset=1@1", "drip=601@1", "drip=-1@1", "timeout@101%"]
        {
            assert!(parse(text).is_none(), "{text}");
            assert!(FaultError(text.to_owned()).to_string().contains("write KIND@WHICH"));
        }
        assert_eq!(parse("drip=0.5@1"), Some((Fault::Drip(Duration::from_millis(500)), Point::These(1, 1))));
    }
}

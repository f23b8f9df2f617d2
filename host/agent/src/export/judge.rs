//! Whether records are what the manifest says of their model. All of them cannot be looked at for nothing, so a sample is:
//! the first of each model, and one in many after those. What does not fit is counted, told and delivered all the same:
//! a schema that is wrong must not lose data. What fits is for a [`Judge`] to say.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Records that do not fit, shown of each model; the others are counted.
const EXAMPLES_MAX: usize = 5;

/// Bytes of a record that is looked at. A larger one is passed over: a schema may take long over it.
const BYTES_MAX: usize = 64 << 10;

/// Time spent on one run's records: enough for thousands, and a schema made to take long gets no more.
const TIME_MAX: Duration = Duration::from_secs(1);

/// Says whether a record is what its model's schema says.
pub trait Judge: Send + Sync {
    /// None where it fits. The record is valid JSON.
    fn judge(&self, record: &[u8]) -> Option<Misfit>;
}

/// One record that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Misfit {
    /// The record's key.
    pub key: String,
    /// A JSON Pointer into the record; empty for the whole record.
    pub pointer: String,
    /// What is wrong there. Repeats no value.
    pub why: String,
}

/// What was found in one model's records.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ModelMisfits {
    pub model: String,
    /// Records that were looked at.
    pub checked: u64,
    /// How many of those do not fit.
    pub misfits: u64,
    /// The first of them.
    pub examples: Vec<Misfit>,
}

/// Which records are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The first so many of each model.
    pub first: u64,
    /// And each so-manieth after those; 1 for all.
    pub every: u64,
}

impl Default for Sample {
    fn default() -> Sample {
        Sample { first: 100, every: 1000 }
    }
}

impl Sample {
    /// Every record, and for as long as it takes: for the author of an integration.
    pub const ALL: Sample = Sample { first: 0, every: 1 };
}

/// The judges of one run.
#[derive(Default)]
pub(super) struct Judges {
    by_model: HashMap<String, Arc<ModelJudge>>,
}

/// The judge of one model, over all of its sessions.
pub(super) struct ModelJudge {
    integration: String,
    model: String,
    judge: Arc<dyn Judge>,
    sample: Sample,
    /// Shared by the models of a run, nanoseconds.
    spent: Arc<AtomicU64>,
    seen: AtomicU64,
    found: Mutex<(u64, u64, Vec<Misfit>)>,
}

impl Judges {
    pub(super) fn new(integration: &str, judges: HashMap<String, Arc<dyn Judge>>, sample: Sample) -> Judges {
        let spent = Arc::new(AtomicU64::new(0));
        let of_model = |(model, judge): (String, Arc<dyn Judge>)| {
            let of = ModelJudge {
                integration: integration.to_owned(),
                model: model.clone(),
                judge,
                sample,
                spent: spent.clone(),
                seen: AtomicU64::new(0),
                found: Mutex::default(),
            };
            (model, Arc::new(of))
        };
        Judges { by_model: judges.into_iter().map(of_model).collect() }
    }

    pub(super) fn of(&self, model: &str) -> Option<Arc<ModelJudge>> {
        self.by_model.get(model).cloned()
    }

    /// The models with records that do not fit, in the order of their names.
    pub(super) fn misfits(&self) -> Vec<ModelMisfits> {
        let found: BTreeMap<&String, ModelMisfits> =
            self.by_model.iter().map(|(m, judge)| (m, judge.found())).collect();
        found.into_values().filter(|found| found.misfits > 0).collect()
    }
}

impl ModelJudge {
    /// Whether the next record is one to be looked at.
    pub(super) fn is_due(&self, bytes: usize) -> bool {
        let before = self.seen.fetch_add(1, Ordering::Relaxed);
        let in_sample = before < self.sample.first || before.is_multiple_of(self.sample.every.max(1));
        let has_time =
            || self.sample == Sample::ALL || Duration::from_nanos(self.spent.load(Ordering::Relaxed)) < TIME_MAX;
        in_sample && (bytes <= BYTES_MAX || self.sample == Sample::ALL) && has_time()
    }

    /// Looks at a record.
    pub(super) fn look(&self, record: &[u8]) {
        let began = Instant::now();
        let misfit = self.judge.judge(record);
        let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.spent.fetch_add(took, Ordering::Relaxed);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.0 += 1;
        let Some(misfit) = misfit else { return };
        found.1 += 1;
        if found.2.len() < EXAMPLES_MAX {
            tracing::warn!(
                integration = self.integration,
                model = self.model,
                key = misfit.key,
                pointer = misfit.pointer,
                why = misfit.why,
                "a record does not fit the schema that the manifest has for its model"
            );
            found.2.push(misfit);
        }
    }

    fn found(&self) -> ModelMisfits {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let (checked, misfits, examples) = found.clone();
        ModelMisfits { model: self.model.clone(), checked, misfits, examples }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Odd;

    impl Judge for Odd {
        fn judge(&self, record: &[u8]) -> Option<Misfit> {
            let odd = record.len() % 2 == 1;
            odd.then(|| Misfit { key: "k".to_owned(), pointer: String::new(), why: "odd".to_owned() })
        }
    }

    fn judges(sample: Sample) -> Judges {
        Judges::new("i", HashMap::from([("m".to_owned(), Arc::new(Odd) as Arc<dyn Judge>)]), sample)
    }

    #[test]
    fn the_first_and_some_of_the_others_are_looked_at() {
        let judge = judges(Sample { first: 3, every: 10 }).of("m").expect("a judge");
        let due: Vec<usize> = (0..31).filter(|_| judge.is_due(1)).collect();
        assert_eq!(due, [0, 1, 2, 10, 20, 30]);
        let all = judges(Sample::ALL).of("m").expect("a judge");
        assert_eq!((0..100).filter(|_| all.is_due(1)).count(), 100);
        assert!(all.is_due(BYTES_MAX + 1));
        let some = judges(Sample::default()).of("m").expect("a judge");
        assert!(!some.is_due(BYTES_MAX + 1) && some.is_due(BYTES_MAX));
    }

    #[test]
    fn what_does_not_fit_is_counted_and_some_of_it_shown() {
        let judges = judges(Sample::default());
        assert!(judges.of("other").is_none());
        let judge = judges.of("m").expect("a judge");
        judge.look(b"ab");
        assert_eq!(judges.misfits(), []);
        for _ in 0..7 {
            judge.look(b"a");
        }
        let found = judges.misfits();
        assert_eq!((found[0].checked, found[0].misfits, found[0].examples.len()), (8, 7, EXAMPLES_MAX));
    }
}

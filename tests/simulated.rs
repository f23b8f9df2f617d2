//! An export of a simulator held against what the simulator knows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use simulator::Truth;

use crate::Sink;

/// What the sink has of an integration in the end: the last record of each id, as the truth says it.
#[must_use]
pub fn arrived(sink: &Sink, integration: &str) -> Truth {
    let mut truth = Truth::new();
    for (key, records) in &sink.records {
        let Some(model) = key.strip_prefix(integration).and_then(|rest| rest.strip_prefix('/')) else { continue };
        if matches!(model, "sourcecode.RepoError" | "sourcecode.RepoWebhook") {
            continue;
        }
        let known = truth.entry(model.to_owned()).or_default();
        for record in records {
            let id = record["ref_id"].as_str().unwrap().to_owned();
            if record["active"] == false {
                known.remove(&id);
                continue;
            }
            let stamp = if model == "sourcecode.PullRequestReview" { &record["state"] } else { &record["updated_at"] };
            known.insert(id, stamp.as_str().unwrap_or_default().to_owned());
        }
    }
    truth.retain(|_, known| !known.is_empty());
    truth
}

/// Insists that what the sink has is the truth, and says what differs.
///
/// # Panics
/// Where it is not.
#[track_caller]
pub fn same(truth: &Truth, sink: &Sink, integration: &str) {
    let arrived = arrived(sink, integration);
    for (model, expected) in truth {
        let found = arrived.get(model).cloned().unwrap_or_default();
        let differs: Vec<_> = expected.iter().filter(|(id, stamp)| found.get(*id) != Some(stamp)).take(5).collect();
        let more: Vec<_> = found.keys().filter(|id| !expected.contains_key(*id)).take(5).collect();
        assert!(differs.is_empty() && more.is_empty(), "{model}: missing or stale {differs:?}, too many {more:?}");
    }
    assert_eq!(arrived.keys().collect::<Vec<_>>(), truth.keys().collect::<Vec<_>>());
}

/// Insists that no record came twice.
///
/// # Panics
/// Where one did.
#[track_caller]
pub fn nothing_twice(sink: &Sink) {
    for (model, records) in &sink.records {
        let ids: BTreeSet<&str> = records.iter().map(|record| record["ref_id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), records.len(), "{model} has something twice");
    }
}

/// What the last record of each repository's health says, where something was wrong.
#[must_use]
pub fn errors(sink: &Sink, integration: &str) -> BTreeMap<String, String> {
    let health =
        |record: &Value| Some((record["ref_id"].as_str()?.to_owned(), record["error_message"].as_str()?.to_owned()));
    sink.records[&format!("{integration}/sourcecode.RepoError")].iter().filter_map(health).collect()
}

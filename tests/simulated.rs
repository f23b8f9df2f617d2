//! An export of a simulator held against what the simulator knows.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::{Value, json};
use simulator::Truth;

use crate::{Bench, Sink};

/// A repository below `repos` of the bench, which `${BENCH}` in its agent.yaml stands for: one commit on `main`, and one more on
/// `topic`, whose hash this is.
#[must_use]
pub fn topic(bench: &Bench, name: &str) -> String {
    let yaml = bench.read("agent.yaml").replace("${BENCH}", bench.path("").to_str().unwrap().trim_end_matches('/'));
    bench.write("agent.yaml", yaml);
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Ada", "-c", "user.email=ada@x.invalid"]).args(arguments);
        let output = command.current_dir(bench.path("repos")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "-q", "-b", "main", name]);
    git(&["-C", name, "commit", "-q", "--allow-empty", "-m", "first"]);
    git(&["-C", name, "checkout", "-q", "-b", "topic"]);
    git(&["-C", name, "commit", "-q", "--allow-empty", "-m", "second"]);
    git(&["-C", name, "checkout", "-q", "main"]);
    git(&["-C", name, "rev-parse", "topic"])
}

/// That one of so many branches of pull requests was found, with this commit alone.
pub fn topic_arrived(sink: &Sink, integration: &str, number: u64, of: u64, sha: &str) {
    assert_eq!(sink.records[&format!("{integration}/sourcecode.Commit")].len(), 2);
    let branches = &sink.records[&format!("{integration}/sourcecode.PullRequestBranch")];
    assert_eq!(branches.len() as u64, of);
    let end = format!("/{number}");
    let found = branches.iter().find(|branch| branch["pull_request_ref_id"].as_str().unwrap().ends_with(&end)).unwrap();
    assert_eq!((&found["found"], &found["commit_shas"]), (&json!(true), &json!([sha])));
}

/// What the sink has of an integration in the end: the last record of each id, as the truth says it.
#[must_use]
pub fn arrived(sink: &Sink, integration: &str) -> Truth {
    let mut truth = Truth::new();
    for (key, records) in &sink.records {
        let Some(model) = key.strip_prefix(integration).and_then(|rest| rest.strip_prefix('/')) else { continue };
        if model.ends_with("Error") || model.ends_with("Webhook") {
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

/// What the last record of the health of each repository, or project, says, where something was wrong.
#[must_use]
pub fn errors(sink: &Sink, integration: &str) -> BTreeMap<String, String> {
    let health =
        |record: &Value| Some((record["ref_id"].as_str()?.to_owned(), record["error_message"].as_str()?.to_owned()));
    let of = |model: &str| sink.records.get(&format!("{integration}/{model}")).into_iter().flatten();
    of("sourcecode.RepoError").chain(of("work.ProjectError")).filter_map(health).collect()
}

/// The ids of a model of which the last record says that they have gone.
#[must_use]
pub fn gone(sink: &Sink, integration: &str, model: &str) -> BTreeSet<String> {
    let records = sink.records.get(&format!("{integration}/{model}")).map(Vec::as_slice).unwrap_or_default();
    let mut gone = BTreeSet::new();
    for record in records {
        let id = record["ref_id"].as_str().unwrap().to_owned();
        let _ = if record["active"] == false { gone.insert(id) } else { gone.remove(&id) };
    }
    gone
}

/// Has the integration of a bench accept these deletions, and no others.
pub fn accept(bench: &Bench, entries: &[String]) {
    let (setting, yaml) = ("accept_deletions: ", bench.read("agent.yaml"));
    let (head, rest) = yaml.split_once("config: {").unwrap();
    // One that is there already ends with its list.
    let rest = rest.strip_prefix(setting).map_or(rest, |rest| rest.split_once("], ").unwrap().1);
    let list = serde_json::to_string(entries).unwrap();
    bench.write("agent.yaml", format!("{head}config: {{{setting}{list}, {rest}"));
}

/// That a deletion which is too large is refused, said by each run, accepted by what the refusal names, and for once. `refused` is
/// what the setting is to say; `delete` deletes so many again.
pub fn accepted_once(bench: &Bench, integration: &str, refused: &str, mut delete: impl FnMut(u64) -> BTreeSet<String>) {
    let (count, about) = refused.split_once(' ').unwrap();
    let (count, model): (u64, &str) = (count.parse().unwrap(), about.split_once(" of ").unwrap().0);
    let gone = |bench: &Bench| gone(&bench.sink(), integration, model);
    let before = gone(bench);
    let deleted = delete(count);
    let says = format!("accept_deletions: [\"{refused}\"]");
    for _ in 0..2 {
        let report = bench.report(3, &[]).to_string().replace("\\\"", "\"");
        assert!(report.contains(&says), "{report}");
        assert_eq!(gone(bench), before, "nothing is taken for deleted");
    }
    // Less than that is not enough, and said with its number again.
    accept(bench, &[format!("{} {about}", count - 1)]);
    assert!(bench.report(3, &[]).to_string().contains("are missing"));
    accept(bench, &[refused.to_owned()]);
    bench.export().code(0);
    assert_eq!(gone(bench), before.union(&deleted).cloned().collect());
    let log = || bench.read(&format!("root/logs/integrations/{integration}.log"));
    assert!(log().contains("a large deletion is accepted"), "{}", log());
    // It stays in the configuration, does nothing there, and that is said.
    bench.export().code(0).says("Nothing new");
    assert!(log().contains("is not taken again: take it out"), "{}", log());
    let more = delete(count);
    bench.export().code(3);
    assert!(gone(bench).is_disjoint(&more));
    // Taken out and put in again, it is new.
    accept(bench, &[]);
    bench.export().code(3);
    accept(bench, &[refused.to_owned()]);
    bench.export().code(0);
    assert!(gone(bench).is_superset(&more));
    accept(bench, &[]);
    bench.export().code(0).says("Nothing new");
}

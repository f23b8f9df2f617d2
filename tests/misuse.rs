//! The guest `misuse`, one line for each of its cases: how the host must end it, what the reason must say, and what may lie
//! in the sink afterwards. Once one case at a time, each in a process of its own, and once all of them together beside an
//! integration that does nothing wrong.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::{Bench, HEAD, integration, mock};

use crate::published::describe;

/// How a run ends: the outcome, and the exit code where it is the only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Well,
    Partly,
    Refused,
    Denied,
    Limit,
    Trap,
}

use End::{Denied, Limit, Partly, Refused, Trap, Well};

impl End {
    fn outcome_and_code(self) -> (&'static str, i32) {
        match self {
            Well => ("ok", 0),
            Partly => ("partial", 3),
            Refused => ("failed", 1),
            Denied => ("denied", 14),
            Limit => ("limit", 13),
            Trap => ("trapped", 13),
        }
    }
}

/// Case, end, a part of the reason, and the ids in the sink (`misuse.Thing`).
const CASES: &[(&str, End, &str, &[&str])] = &[
    ("undeclared-model", Refused, "model `misuse.Undeclared` is not in the manifest", &[]),
    ("bad-json", Refused, "record 2 of this batch of misuse.Thing: it is not valid JSON", &[]),
    ("not-object", Refused, "record 2 of this batch of misuse.Thing: it is an array", &[]),
    ("no-key", Refused, "record 2 of this batch of misuse.Thing: it has no key: `/ref_id` is missing", &[]),
    ("null-key", Refused, "`/ref_id` is null", &[]),
    ("object-key", Refused, "`/ref_id` is an object", &[]),
    ("trailing-text", Refused, "something follows the value at column 16", &[]),
    ("invalid-utf8", Refused, "not valid UTF-8", &[]),
    ("lone-surrogate", Refused, "half of a surrogate pair", &[]),
    ("deep-json", Refused, "more than 128 levels", &[]),
    ("too-large-record", Refused, "the limit is 8388608 (record_bytes_max)", &[]),
    ("too-large-batch", Refused, "at most 16777216 are allowed", &[]),
    ("repeated-member", Well, "", &["1"]),
    ("huge-number", Well, "", &["1"]),
    ("blank-lines", Well, "", &["1"]),
    ("no-final-newline", Well, "", &["1"]),
    ("empty-batch", Well, "", &[]),
    ("send-on-tracking", Refused, "`misuse` is a tracking session and takes no records", &[]),
    ("good-after-bad", Well, "", &["after"]),
    ("text-is-bytes", Well, "", &["ä"]),
    ("done-with-open-children", Refused, "`misuse` has 1 open children; end them first", &[]),
    ("drop-session", Partly, "2 sessions were rolled back", &["1", "2", "3"]),
    ("rollback", Refused, "the session is not open any more", &[]),
    ("same-path-twice", Refused, "a session is already open at `misuse.Thing`", &[]),
    ("too-deep", Refused, "at most 16 levels deep", &[]),
    ("too-many-sessions", Refused, "1024 sessions are open", &[]),
    ("empty-name", Refused, "the name is empty", &[]),
    ("long-name", Refused, "the name has 513 bytes; at most 512", &[]),
    ("empty-object-id", Refused, "the object's id is empty", &[]),
    ("long-object-id", Refused, "the object's id has 513 bytes; at most 512", &[]),
    ("control-name", Partly, "1 session was rolled back", &[]),
    ("path-traversal", Well, "", &["1", "2", "3"]),
    ("child-of-closed-parent", Refused, "the session is not open any more", &[]),
    ("progress-backwards", Well, "", &[]),
    ("huge-cursor", Refused, "the cursor has 65537 bytes; at most 65536", &[]),
    ("huge-done-cursor", Refused, "the cursor has 65537 bytes; at most 65536", &[]),
    ("odd-cursor", Partly, "sessions were rolled back", &[]),
    ("cursor-of-another", Partly, "sessions were rolled back", &[]),
    ("output", Limit, "output_bytes_max (20971520 bytes)", &["committed"]),
    ("staged", Refused, "at most 16777216 may be (staged_bytes_max): checkpoint", &[]),
    ("many-strings", Limit, "hostcall_bytes_max (25165824 bytes)", &[]),
    ("some-strings", Well, "", &[]),
    ("state-churn", Refused, "4096 keys have changed (state_changes_max); checkpoint", &[]),
    ("long-paths", Refused, "67108864 bytes of names and cursors (sessions_bytes_max)", &[]),
    ("huge-result", Limit, "result_bytes_max (16777216 bytes)", &[]),
    ("huge-error", Refused, "… (cut: 5242880 bytes)", &[]),
    ("log-flood", Well, "", &[]),
    ("forged-log", Well, "", &[]),
    ("long-log", Well, "", &[]),
    ("stdout", Well, "", &[]),
    ("stdout-flood", Well, "", &[]),
    ("bad-result", Refused, "what it returned is not JSON", &[]),
    ("http-denied", Denied, "https://denied.invalid/ GET", &[]),
    ("http-loopback", Denied, "http://127.0.0.1:1/ GET", &[]),
    ("http-submit-denied", Denied, "https://denied.invalid/ GET", &[]),
    ("http-bad-url", Refused, "the URL is not absolute", &[]),
    ("http-bad-scheme", Refused, "the URL's scheme is `file`", &[]),
    ("http-user-information", Refused, "the URL contains user information", &[]),
    ("http-bad-header", Refused, "the header field `x-split` contains a control character", &[]),
    ("http-host-header", Refused, "the header field `host` is the host's own", &[]),
    ("http-bad-option", Refused, "there is no option \"timeout\"", &[]),
    ("http-bad-timeout", Refused, "the option `timeout-ms` is \"0\"", &[]),
    ("http-unknown-credential", Denied, "does not ask for the credential `somebody-elses`", &[]),
    ("wait-for-none", Well, "", &[]),
    ("git-denied", Denied, "set `asks.git` to true", &[]),
    ("git-path-denied", Denied, "set `asks.git` to true", &[]),
    ("git-bad-document", Denied, "set `asks.git` to true", &[]),
    ("git-missing-url", Denied, "set `asks.git` to true", &[]),
    ("git-ssh-url", Denied, "set `asks.git` to true", &[]),
    ("oauth-unknown", Denied, "the credential `somebody-elses` is not granted", &[]),
    ("pause-bad-time", Refused, "`until` is not a time", &[]),
    ("pause-long-reason", Refused, "the reason has 4000 bytes; at most 1024", &[]),
    ("state-empty-key", Refused, "the key is empty", &[]),
    ("state-long-key", Refused, "the key has 257 bytes; at most 256", &[]),
    ("state-long-value", Refused, "the value has 65537 bytes; at most 65536", &[]),
    ("state-bad-expiry", Refused, "expires-secs is 0", &[]),
    ("state-too-many-keys", Refused, "there are 1024 keys (state_keys_max)", &[]),
    ("state-too-large", Refused, "the limit is 1048576 (state_bytes_max)", &[]),
    ("state-uncommitted", Well, "", &[]),
    ("state-is-kept", Well, "", &[]),
    ("files", Well, "", &[]),
    ("sockets", Well, "", &[]),
    ("environment", Well, "", &[]),
    ("traps-after-send", Trap, "wasm `unreachable` instruction executed", &["committed"]),
    ("panic", Trap, "this case panics", &[]),
    ("unreachable", Trap, "wasm `unreachable` instruction executed", &[]),
    ("exit-well", Trap, "it ended itself with exit status 0", &[]),
    ("exit-badly", Trap, "it ended itself with exit status", &[]),
    ("overflow-stack", Limit, "stack_bytes_max", &[]),
    ("loop", Limit, "cpu_time_max (0.5 s)", &[]),
    ("loop-with-host-calls", Limit, "cpu_time_max (0.5 s)", &[]),
    ("loop-and-log", Limit, "cpu_time_max (0.5 s)", &[]),
    ("loop-and-send", Limit, "host_time_max (5 s)", &[]),
    ("sleep", Limit, "wall_time_max (1 s)", &[]),
    ("eat-memory", Limit, "memory_bytes_max (67108864 bytes)", &[]),
    ("send-after-done", Trap, "unknown handle index", &[]),
    ("forged-session", Trap, "unknown handle index 7777", &[]),
    ("forged-pending", Trap, "unknown handle index 7777", &[]),
];

/// An integration for each case, under its name.
fn bench() -> Bench {
    let each = CASES.iter().map(|(case, ..)| {
        // Only where the wall clock is the limit is it short: others wait for a processor when all run together.
        let wall = if *case == "sleep" { "1s" } else { "10m" };
        // And the running time where it is: others have work to do until they meet another limit.
        let cpu = if case.starts_with("loop") { "500ms" } else { "1m" };
        let output = if *case == "staged" { "staged: 16MiB" } else { "output: 20MiB" };
        let memory = if *case == "huge-result" { "256MiB" } else { "64MiB" };
        let limits = format!("{{memory: {memory}, cpu_time: {cpu}, wall_time: {wall}, {output}}}");
        integration(case, "${GUESTS}/guest_misuse.wasm", &format!("{{do: {case}}}"), &limits)
    });
    let mock = mock("mock", "{}");
    Bench::new().config(&format!("{HEAD}{}{mock}", each.collect::<String>()))
}

/// What is wrong with how a case ended; none if it is right.
fn fault(bench: &Bench, report: &Value, (case, end, said, ids): (&str, End, &str, &[&str])) -> Option<String> {
    let found = report["integrations"].as_array().unwrap().iter().find(|of| of["name"] == case).expect(case);
    let (outcome, reason) = (found["outcome"].as_str().unwrap(), found["reason"].as_str().unwrap_or_default());
    let found_ids = bench.sink().ids(&format!("{case}/misuse.Thing"));
    let right = outcome == end.outcome_and_code().0
        && reason.contains(said)
        && reason.is_empty() == (end == Well)
        && found_ids == ids;
    (!right).then(|| format!("{case}: {outcome}: {reason}: {found_ids:?}"))
}

#[test]
fn there_is_a_line_for_every_case() {
    let manifest = describe("guest_misuse.wasm");
    let offered: Vec<&str> = manifest["config"]["properties"]["do"]["enum"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    let listed: Vec<&str> = CASES.iter().map(|(name, ..)| *name).collect();
    assert_eq!(listed, offered);
}

#[test]
fn every_case_ends_as_it_must() {
    let bench = bench();
    let mut faults = Vec::new();
    for case in CASES {
        let output = bench.run(&["export", "--json", "--only", case.0]);
        if output.code != case.1.outcome_and_code().1 {
            faults.push(format!("{}: exit code {}", case.0, output.code));
        }
        if output.stdout.contains("HOLE") || output.stderr.contains("HOLE") {
            faults.push(format!("{}: a hole: {}", case.0, output.stdout));
        }
        faults.extend(fault(&bench, &output.json(), *case));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn all_together_they_end_the_same_and_leave_the_others_alone() {
    let bench = bench();
    let report = bench.report(3, &[]);
    let faults: Vec<String> = CASES.iter().filter_map(|case| fault(&bench, &report, *case)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(bench.sink().count("mock"), 309);
    let records = CASES.iter().map(|case| case.3.len()).sum::<usize>() + 309;
    assert_eq!((bench.sink().count(""), &report["delivered"]["records"]), (records, &records.into()));
}

#[test]
fn names_that_would_leave_the_sink_stay_in_it() {
    let bench = Bench::new().integrations(&[integration(
        "misuse",
        "${GUESTS}/guest_misuse.wasm",
        "{do: path-traversal}",
        "{}",
    )]);
    assert_eq!(bench.export().code, 0);
    let files = tests::files_below(&bench.path(""));
    let outside =
        files.iter().filter(|file| !["root", "out", "agent.yaml"].iter().any(|own| file.starts_with(bench.path(own))));
    assert_eq!(outside.collect::<Vec<_>>(), Vec::<&std::path::PathBuf>::new());
}

/// State of one run is there in the next if it was committed, and is not if it was not.
#[test]
fn state_that_was_not_committed_is_gone_with_its_run() {
    let bench = bench();
    for _ in 0..2 {
        bench.run(&["export", "--only", "state-uncommitted,state-is-kept"]).code(0).says("Nothing new");
    }
    let kept: BTreeMap<String, String> = {
        let store = rusqlite::Connection::open(bench.path("root/store/agent.db")).unwrap();
        let mut rows = store.prepare("SELECT integration || '/' || key, value FROM state").unwrap();
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(kept, BTreeMap::from([("state-is-kept/kept".to_owned(), "2".to_owned())]));
}

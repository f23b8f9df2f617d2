//! Integrations that fail: what is said of them, and that those beside them do not notice.

use serde_json::Value;
use tests::{Bench, Output, guest, mock};

/// A guest of `tests/guests`, its outcome, and what its reason says: the limit with the value that the configuration
/// gives it, and the key to raise.
const FAILING: &[(&str, &str, &[&str])] = &[
    ("loops", "limit", &["cpu_time_max (0.5 s)", "raise `cpu_time`"]),
    ("eats-memory", "limit", &["memory_bytes_max (33554432 bytes)", "raise `memory`"]),
    ("panics", "trapped", &["panicked at tests/guests/panics/src/lib.rs", "this guest panics on purpose"]),
];

fn of<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["integrations"].as_array().unwrap().iter().find(|i| i["name"] == name).expect(name)
}

#[test]
fn one_that_fails_leaves_the_other_alone() {
    for (name, outcome, said) in FAILING {
        let bench = Bench::new().integrations(&[guest(name, "{}"), mock("mock", "{}")]);
        let report = bench.report(3, &[]);
        assert_eq!(of(&report, name)["outcome"], *outcome, "{name}");
        let reason = of(&report, name)["reason"].as_str().unwrap();
        assert!(said.iter().all(|text| reason.contains(text)), "{name}: {reason}");
        assert_eq!((&of(&report, "mock")["outcome"], &of(&report, "mock")["error"]), (&"ok".into(), &"".into()));
        assert_eq!((bench.sink().count("mock"), bench.sink().count(name)), (309, 0), "{name}");
    }
}

#[test]
fn alone_it_has_the_code_of_its_failure_and_is_named() {
    for (name, _, said) in FAILING {
        let bench = Bench::new().integrations(&[guest(name, "{}")]);
        let output = bench.export().code(13);
        output.says(&format!("{name}: ")).says("0 of 1 integration ok");
        for text in *said {
            output.says(text);
        }
        let status = bench.run(&["status"]).code(0);
        for text in *said {
            status.says(text);
        }
    }
}

#[test]
fn a_panic_is_told_on_standard_error_and_in_the_logs() {
    let bench = Bench::new().integrations(&[guest("panics", "{}"), mock("mock", "{records: 1}")]);
    let stderr = bench.export().code(3).stderr;
    let own = bench.read("root/logs/integrations/panics.log");
    let command = bench.read("root/logs/export.log");
    for text in
        ["this guest panics on purpose", "tests/guests/panics/src/lib.rs", "agent:integration/integration@0.1.0#export"]
    {
        assert!(stderr.contains(text) && own.contains(text), "{text}: {stderr}{own}");
    }
    assert!(own.contains("panics │ panicked at tests/guests"), "as the guest's own words: {own}");
    assert!(command.contains("ended trapped") && command.contains("integration=panics"), "{command}");
    let other = bench.read("root/logs/integrations/mock.log");
    assert!(other.contains("mock │ export begins run=1") && !other.contains("panic"), "{other}");
}

#[test]
fn the_logs_of_the_run_before_are_kept() {
    let bench = Bench::new().integrations(&[mock("mock", "{records: 1}")]);
    assert_eq!((bench.export().code, bench.export().code), (0, 0));
    assert!(bench.read("root/logs/integrations/mock.log").contains("run=2"));
    assert!(bench.read("root/logs/integrations/mock.log.1").contains("run=1"));
    assert!(bench.path("root/logs/export.log.1").exists());
}

/// How the mock fails when it is asked to: its outcome, the exit code, and how many of its 2 × 10 issues are committed.
/// It fails in the middle of the second project.
const MOCK_FAILS: &[(&str, &str, i32, usize)] =
    &[("error", "failed", 1, 10), ("panic", "trapped", 13, 10), ("rollback", "partial", 3, 10), ("skip", "ok", 0, 10)];

#[test]
fn what_was_committed_before_a_failure_stays_and_the_rest_comes_with_the_next_run() {
    for (fail, outcome, code, issues) in MOCK_FAILS {
        let config = |fail: &str| mock("mock", &format!("{{records: 10, projects: 2, fail: {fail}}}"));
        let bench = Bench::new().integrations(&[config(fail)]);
        assert_eq!(of(&bench.report(*code, &[]), "mock")["outcome"], *outcome, "{fail}");
        assert_eq!(bench.sink().ids("mock/mock.Issue").len(), *issues, "{fail}");
        let bench = bench.integrations(&[config("null")]);
        bench.export().code(0).says("Exported 10 records");
        let mut ids = bench.sink().ids("mock/mock.Issue");
        ids.dedup();
        assert_eq!((ids.len(), bench.sink().count("mock")), (20, 26), "{fail}: each once");
    }
}

#[test]
fn failures_of_different_kinds_are_one_failure() {
    let bench = Bench::new().integrations(&[guest("panics", "{}"), mock("mock", "{fail: error, records: 2}")]);
    let output: Output = bench.export().code(1);
    output.says("the configuration asks for this failure").says("this guest panics on purpose");
}

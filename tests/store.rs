//! The root as users meet it: two agents on one, a damaged store, a sink that takes nothing, an interrupt.

use std::path::PathBuf;

use serde_json::json;
use tests::{Bench, HEAD, files_below, guest, integration, mock, wait_until};

/// Runs until it is interrupted.
fn for_ever() -> String {
    integration("loops", "${GUESTS}/guest_loops.wasm", "{}", "{cpu_time: 1h}")
}

#[test]
fn a_second_agent_is_refused_and_readers_are_not() {
    let bench = Bench::new().integrations(&[mock("mock", "{records: 1}")]);
    assert_eq!(bench.export().code, 0);
    let bench = bench.integrations(&[for_ever(), mock("mock", "{records: 2}")]);
    let running = bench.start(&["export"]);
    let process = format!("process {}", running.id());
    wait_until("the agent runs the guest", || {
        // The database may be busy with its being opened; what counts is that the answer comes.
        let status = bench.run(&["status", "--json"]);
        let loops = |of: &serde_json::Value| of["name"] == "loops" && of["last_run"] != json!(null);
        status.code == 0 && status.json()["integrations"].as_array().unwrap().iter().any(loops)
    });
    assert_eq!(bench.run(&["status", "--json"]).code(0).json()["running"], running.id());
    bench.run(&["status"]).code(0).says(&format!("running, {process}"));
    bench.run(&["doctor"]).code(0).says(&format!("{process} is running on it")).says("Nothing is wrong");
    bench.run(&["export"]).code(11).says(&format!("({process})")).says("wait until it ends, or use another root");
    let refused = bench.run(&["export", "--json"]).code(11).json();
    assert_eq!(refused["exit_code"], 11);
    bench.run(&["force-historical", "mock"]).code(11).says(&process);
    // Another root is nobody else's.
    bench.run(&["export", "--root", "other", "--only", "mock"]).code(0).says("Exported 15 records");
    running.interrupt();
    assert_eq!(running.code(), 130);
    bench.run(&["status"]).code(0).says("agent         not running").says("cancelled");
    bench.run(&["export", "--only", "mock"]).code(0);
}

#[test]
fn a_lock_of_a_process_that_was_killed_is_free() {
    let bench = Bench::new().integrations(&[for_ever(), mock("mock", "{records: 1}")]);
    let running = bench.start(&["export"]);
    wait_until("the mock is done", || bench.run(&["status"]).stdout.contains("mock/P3"));
    drop(running);
    bench.run(&["export", "--only", "mock"]).code(0);
    assert_eq!(bench.sink().count("mock"), 12);
    bench.run(&["doctor"]).code(0).says("Nothing is wrong");
}

/// Ways to damage a database of this many bytes, as what becomes of its bytes.
type Damage = (&'static str, fn(&mut Vec<u8>));
const DAMAGES: &[Damage] = &[
    ("its head is overwritten", |bytes| bytes[..16].fill(0x5a)),
    ("its first page is overwritten", |bytes| bytes[..4_096].fill(0x5a)),
    ("all but its first page is overwritten", |bytes| bytes[4_096..].fill(0x5a)),
    ("its end is missing", |bytes| bytes.truncate(20_000)),
    ("it is empty", Vec::clear),
    ("it is something else", |bytes| *bytes = b"this is not a database\n".repeat(1_000)),
];

#[test]
fn a_damaged_store_is_left_as_it_is() {
    let bench = Bench::new().integrations(&[mock("mock", "{}")]);
    assert_eq!(bench.export().code, 0);
    let sink = bench.sink();
    let database = "root/store/agent.db";
    let good = std::fs::read(bench.path(database)).unwrap();
    for (how, damage) in DAMAGES {
        let mut bytes = good.clone();
        damage(&mut bytes);
        bench.write(database, &bytes);
        bench.run(&["export"]).code(20).says("nothing has been overwritten, and `agent doctor` says what to do");
        assert_eq!(bench.run(&["export", "--json"]).code(20).json()["exit_code"], 20, "{how}");
        bench.run(&["status"]).code(20).says("is damaged");
        bench.run(&["doctor"]).code(20).says("FAILED   store").says("mend: stop the agent; keep a copy");
        bench.run(&["force-historical", "mock"]).code(20).says("is damaged");
        assert!(std::fs::read(bench.path(database)).unwrap() == bytes, "{how}: the database was changed");
    }
    std::fs::remove_file(bench.path(database)).unwrap();
    bench.run(&["export"]).code(20).says("its database agent.db is missing");
    assert!(!bench.path(database).exists());
    assert_eq!(bench.sink(), sink);
    // What doctor says to do: a copy, and a new beginning.
    std::fs::rename(bench.path("root/store"), bench.path("copy")).unwrap();
    bench.run(&["export"]).code(0).says("Exported 309 records");
    assert_eq!(bench.sink().count("mock"), 2 * 309);
}

#[test]
fn records_wait_for_a_sink_that_takes_nothing() {
    let bench = Bench::new().integrations(&[mock("one", "{}"), mock("two", "{records: 10}")]);
    bench.write("out", "a file in the place of the folder");
    let report = bench.report(3, &[]);
    assert_eq!((&report["outbox_left"]["records"], &report["delivered"]["records"]), (&json!(348), &json!(0)));
    assert!(report["delivery_error"].as_str().unwrap().contains(bench.path("out").to_str().unwrap()), "{report:#}");
    bench.run(&["status"]).code(0).says("348 records in");
    bench.run(&["doctor"]).code(0).says("348 records wait");
    bench.export().code(3).says("348 records still wait for the sink; the next run delivers them");
    std::fs::remove_file(bench.path("out")).unwrap();
    bench.export().code(0).says("Delivered 348 records");
    assert_eq!((bench.sink().count("one"), bench.sink().count("two")), (309, 39));
    assert!(files_below(&bench.path("root/store/segments")).is_empty());
    bench.run(&["status"]).code(0).says("outbox        empty");
}

/// Enough for the mock to meet its outbox's limit before it looks whether to stop, at every 4,096th issue.
const MANY: u32 = 6_000;

/// While the sink takes nothing and the outbox is full the guest must wait, so the interrupt comes in the middle whatever
/// the machine's speed.
#[test]
fn an_interrupted_run_is_gone_on_with() {
    let config = format!("{{records: {MANY}, projects: 1, record_bytes: 10000, checkpoint_every: 256}}");
    let bench = Bench::new().config(&format!("limits: {{outbox: 32MiB}}\n{HEAD}{}", mock("mock", &config)));
    bench.write("out", "a file in the place of the folder");
    let running = bench.start(&["export"]);
    wait_until("much is committed", || {
        let status = bench.run(&["status", "--json"]);
        status.code == 0 && status.json()["outbox"]["bytes"].as_u64().unwrap() > 16 << 20
    });
    running.interrupt();
    wait_until("the interrupt is heard", || bench.read("root/logs/export.log").contains("interrupted: ending"));
    std::fs::remove_file(bench.path("out")).unwrap();
    assert_eq!(running.code(), 130);
    assert!(bench.read("running.stdout").contains("the next run goes on from there"));
    assert!(bench.sink().ids("mock/mock.Issue").len() < MANY as usize, "it was not the middle");
    bench.export().code(0).says("1 of 1 integration ok");
    let mut ids = bench.sink().ids("mock/mock.Issue");
    assert_eq!(ids.len(), MANY as usize);
    ids.dedup();
    assert_eq!(ids.len(), MANY as usize, "each once");
    bench.export().code(0).says("Nothing new since the last run");
}

#[test]
fn a_second_interrupt_does_not_wait() {
    let bench = Bench::new().integrations(&[for_ever(), mock("mock", "{records: 1}")]);
    let running = bench.start(&["export"]);
    wait_until("the mock is done", || bench.run(&["status"]).stdout.contains("mock/P3"));
    running.interrupt();
    wait_until("the interrupt is heard", || bench.read("root/logs/export.log").contains("interrupted: ending"));
    running.interrupt();
    assert_eq!(running.code(), 130);
    assert!(bench.read("running.stderr").contains("interrupted a second time; what was committed is kept"));
    bench.run(&["export", "--only", "mock"]).code(0);
    assert_eq!(bench.sink().count("mock"), 12);
}

#[test]
fn what_is_in_the_root_is_the_owners_alone() {
    use std::os::unix::fs::MetadataExt;
    let bench = Bench::cold().integrations(&[mock("mock", "{records: 1}"), guest("panics", "{}")]);
    assert_eq!(bench.export().code, 3);
    for folder in ["root", "root/store", "root/store/segments", "root/store/marks", "root/cache/components"] {
        assert_eq!(std::fs::metadata(bench.path(folder)).unwrap().mode() & 0o077, 0, "{folder}");
    }
    let open = |file: &PathBuf| std::fs::metadata(file).unwrap().mode() & 0o022 != 0;
    assert!(!files_below(&bench.path("root")).iter().any(open));
}

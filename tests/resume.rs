//! `agent run-wasm --resume-check` as an author uses it: faults that authors make with cursors are found and told with the host
//! call at which the run was killed, what is right passes, live and on a cassette, and what cannot be said is told.

use serde_json::{Value, json};
use tests::{Bench, wait_until};

use crate::run_wasm::{component, left, report, run, server};

/// Of `guest_careless`: three pages of three records.
const RECORDS: usize = 9;

fn check(bench: &Bench, code: i32, more: &[&str]) -> Value {
    let report = report(bench, "guest_careless", code, &[more, &["--resume-check"]].concat());
    assert_eq!(left(bench), Vec::<std::path::PathBuf>::new());
    report["resume"].clone()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn what_goes_on_well_passes_at_every_host_call() {
    let bench = Bench::new();
    let found = check(&bench, 0, &[]);
    let calls = number(&found["host_calls"]);
    let tried: Vec<u64> = found["tried"].as_array().unwrap().iter().map(number).collect();
    assert_eq!(tried, (1..=calls).collect::<Vec<_>>());
    assert_eq!((&found["records"], &found["failed"], &found["not_tried"]), (&json!(RECORDS), &json!(0), &json!(0)));
    // The mock, whose sessions lie in one another.
    let mock = ["projects=2", "records=5", "checkpoint_every=2", "--resume-check=all"];
    run(&bench, "integration_mock", &mock).code(0).says("after each of its host calls").says("nothing was lost");
}

/// Each fault, how the first kill that finds it is told, and what is found then.
#[test]
fn faults_of_cursors_are_found() {
    let bench = Bench::new();
    for (fault, host_call, kind, example) in [
        ("drops", "session.checkpoint", "missing", "careless.Ticket T0"),
        ("renumbers", "session.checkpoint", "missing", "careless.Ticket T6"),
        ("doubles", "session.checkpoint", "twice", "careless.Ticket T3"),
        ("stumbles", "session.checkpoint", "missing", "careless.Ticket T3"),
    ] {
        let found = check(&bench, 1, &[&format!("fault={fault}")]);
        let first = &found["failures"][0];
        assert_eq!(first["host_call"], host_call, "{fault}: {first}");
        assert_eq!(first[kind]["examples"][0], example, "{fault}: {first}");
        assert_eq!(number(&first[kind]["count"]), if fault == "stumbles" { 6 } else { 3 }, "{fault}: {first}");
        assert!(number(&found["failed"]) >= 4, "{fault}: {found}");
    }
    run(&bench, "guest_careless", &["fault=stumbles", "--resume-check"])
        .code(1)
        .says("killed after host call")
        .says("the run that resumed ended with the exit code 1: it does not know where it was")
        .says("missing: careless.Ticket T3")
        .says("mend: a cursor goes with what was sent before it");
}

#[test]
fn kills_are_chosen_and_told() {
    let bench = Bench::new();
    let only = check(&bench, 1, &["fault=drops", "--kill-after", "3"]);
    assert_eq!((&only["tried"], &only["failed"]), (&json!([3]), &json!(1)));
    assert_eq!(number(&only["not_tried"]), number(&only["host_calls"]) - 1);
    let spread = report(&bench, "guest_careless", 0, &["pages=20", "--resume-check=4"]);
    assert_eq!(spread["resume"]["tried"].as_array().unwrap().len(), 4);
    run(&bench, "guest_careless", &["--resume-check=2"]).code(0).says("after 2 of its");
    for (more, code, said) in [
        (&["--kill-after", "1000", "--resume-check"][..], 2, "host calls; give a smaller number"),
        (&["--resume-check=no"], 2, "write a number from 1, or all"),
        (&["--kill-after", "3", "--resume-check=all"], 2, "leave one number out"),
        (&["--report", "--resume-check"], 2, "--report json has"),
        (&["describe", "--resume-check"], 2, "--resume-check is of exports"),
        (&["--resume-check", "--root", "r"], 2, "leave --root"),
        (&["--resume-check", "--record", "r.har"], 2, "cannot be used with"),
        (&["pages=x", "--resume-check"], 1, "before anybody kills it"),
        (&["fault=times", "--resume-check"], 1, "nothing to compare"),
    ] {
        run(&bench, "guest_careless", more).code(code).says(said);
    }
    // Alone it is a kill, and says after which call.
    let killed = run(&bench, "guest_careless", &["--kill-after", "3", "--root", "try"]);
    assert_eq!(killed.code, -1);
    killed.says("killed, as was asked, right after the host call session.");
    assert!(bench.path("try/store/agent.db").exists());
    run(&bench, "guest_careless", &["--root", "try", "--output", "then.ndjson"]).code(0);
    assert_eq!(bench.read("then.ndjson").lines().count(), RECORDS, "nothing had been committed");
}

/// The same against a server and on a cassette of it; and on that, what a resumed run asks for that is not there.
#[test]
fn a_server_and_a_cassette_of_it_say_the_same() {
    let (url, _) = server("-");
    let bench = Bench::new();
    let url = format!("url={url}");
    let live = ["export", &url, "--allow-asked", "--allow-private", "127.0.0.1"];
    assert_eq!(check(&bench, 0, &live)["records"], RECORDS);
    run(&bench, "guest_careless", &[&live[..], &["--record", "a.har", "--records", "none"]].concat()).code(0);
    let replayed = check(&bench, 0, &["--replay", "a.har"]);
    assert_eq!((&replayed["records"], &replayed["not_judged"]), (&json!(RECORDS), &json!(0)));
    let drops = check(&bench, 1, &["--replay", "a.har", "export", &url, "fault=drops"]);
    assert_eq!(drops["failures"][0]["missing"]["examples"][0], "careless.Ticket T0");

    // Live there is an answer to what only a resumed run asks for.
    assert_eq!(check(&bench, 0, &[&live[..], &["fault=asks"]].concat())["failed"], 0);
    let asks = check(&bench, 3, &["--replay", "a.har", "export", &url, "fault=asks"]);
    assert_eq!((&asks["failed"], number(&asks["not_judged"]) > 0), (&json!(0), true), "{asks}");
    assert!(asks["unjudged"][0]["requests"][0].as_str().unwrap().ends_with("/since"), "{asks}");
    run(&bench, "guest_careless", &["--replay", "a.har", "export", &url, "fault=asks", "--resume-check"])
        .code(3)
        .says("asked for what is not on the cassette: GET")
        .says("could nothing be said");
}

#[test]
fn an_interrupt_ends_the_check_and_leaves_nothing() {
    let bench = Bench::new();
    let file = component("integration_mock");
    let endless = bench.start(&["run-wasm", &file, "records=5000000", "projects=1", "--resume-check", "--json"]);
    wait_until("a run is under way", || {
        left(&bench).iter().any(|folder| tests::files_below(folder).iter().any(|file| file.ends_with("agent.db")))
    });
    endless.interrupt();
    assert_eq!(endless.code(), 130);
    assert_eq!(left(&bench), Vec::<std::path::PathBuf>::new());
    let report: Value = serde_json::from_str(&bench.read("running.stdout")).unwrap();
    assert_eq!((&report["exit_code"], &report["resume"]["interrupted"]), (&json!(130), &json!(true)));
}

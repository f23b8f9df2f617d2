//! `agent export` where everything works: what arrives, what is sent again and what is not, in which forms the result comes
//! and in which the configuration may be given.

use serde_json::{Value, json};
use tests::{Bench, HEAD, Sink, mock};

/// Records of a mock integration with the configuration `{}`: 3 projects with 100 issues, 2 users for each.
const ALL: usize = 309;

/// Records of [`SMALL`]: 2 projects, 2 × 5 issues, 4 users.
const SMALL_ALL: usize = 16;
const SMALL: &str = "{records: 5, projects: 2}";

fn two() -> Bench {
    Bench::new().integrations(&[mock("one", "{}"), mock("two", "{records: 10, unique: two-}")])
}

#[test]
fn two_integrations_arrive_and_the_second_run_sends_nothing() {
    let bench = two();
    let first = bench.export().code(0);
    first.says("Exported 348 records").says("2 of 2 integrations ok").says("Delivered 348 records");
    first.says("one          mock/P1/project/P1/mock.Issue");
    let sink = bench.sink();
    assert_eq!((sink.count("one"), sink.count("two")), (ALL, 39));
    let models: Vec<&str> = sink.records.keys().map(String::as_str).collect();
    assert_eq!(
        models,
        ["one/mock.Issue", "one/mock.Project", "one/mock.User", "two/mock.Issue", "two/mock.Project", "two/mock.User"]
    );
    let mut ids = sink.ids("one/mock.Issue");
    ids.dedup();
    assert_eq!(ids.len(), 300, "each record once");
    assert!(sink.ids("two/mock.Issue").iter().all(|id| id.starts_with("two-P")));
    bench.export().code(0).says("Nothing new since the last run");
    assert_eq!(bench.sink(), sink);
}

#[test]
fn only_what_changed_is_sent_again() {
    // `full` makes the mock send everything, so that the store has to tell what is new.
    let yaml = |changed: u32| format!("{HEAD}{}", mock("one", &format!("{{full: true, changed: {changed}}}")));
    let bench = Bench::new().config(&yaml(0));
    assert_eq!(bench.report(0, &[])["delivered"]["records"], ALL);
    bench.export().code(0).says("Nothing new since the last run (309 records unchanged)");
    bench.write("agent.yaml", yaml(2));
    assert_eq!(bench.report(0, &[])["delivered"]["records"], 6, "two issues of each of three projects");
    assert_eq!(bench.sink().count("one"), ALL + 6);
}

/// What programs may rely on, as JSON Pointers with the type that each has.
const MEMBERS: &[(&str, &str)] = &[
    ("/version", "number"),
    ("/exit_code", "number"),
    ("/notes", "array"),
    ("/duration", "number"),
    ("/duration_ms", "number"),
    ("/interrupted", "boolean"),
    ("/delivery_error", "null"),
    ("/delivered/batches", "number"),
    ("/delivered/records", "number"),
    ("/delivered/bytes", "number"),
    ("/delivered/files", "number"),
    ("/dead_letters/batches", "number"),
    ("/outbox_left/records", "number"),
    ("/integrations/0/id", "string"),
    ("/integrations/0/name", "string"),
    ("/integrations/0/outcome", "string"),
    ("/integrations/0/reason", "null"),
    ("/integrations/0/error", "string"),
    ("/integrations/0/incremental", "boolean"),
    ("/integrations/0/duration", "number"),
    ("/integrations/0/cpu_ms", "number"),
    ("/integrations/0/memory_bytes_peak", "number"),
    ("/integrations/0/host_calls", "number"),
    ("/integrations/0/repos", "array"),
    ("/integrations/0/projects", "array"),
    ("/integrations/0/sessions/0/path", "string"),
    ("/integrations/0/sessions/0/records", "number"),
];

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[test]
fn the_result_for_programs_has_its_members_on_standard_output_and_in_a_file() {
    let bench = Bench::new().integrations(&[mock("one", SMALL)]);
    let report = bench.report(0, &["--output-file", "result.json"]);
    for (pointer, expected) in MEMBERS {
        let value = report.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is missing: {report:#}"));
        assert_eq!(type_of(value), *expected, "{pointer}");
    }
    let file: Value = serde_json::from_str(&bench.read("result.json")).unwrap();
    assert_eq!(file, report);
    assert_eq!(report["integrations"][0]["incremental"], false);
    assert_eq!(bench.report(0, &[])["integrations"][0]["incremental"], true);
}

#[test]
fn a_result_file_is_whole_or_as_it_was() {
    let bench = Bench::cold().integrations(&[mock("one", SMALL)]);
    bench.write("result.json", "of an earlier run");
    let missing = bench.run(&["export", "--output-file", "missing/result.json"]).code(1);
    missing.says("missing/result.json").says("choose another --output-file");
    assert!(!bench.path("root").exists(), "nothing has run that could not be reported");
    let failed = bench.run(&["export", "-c", "missing.yaml", "--output-file", "result.json"]).code(78);
    failed.says("missing.yaml");
    let result: Value = serde_json::from_str(&bench.read("result.json")).unwrap();
    assert_eq!((&result["exit_code"], result["faults"].is_array()), (&json!(78), true));
}

#[test]
fn only_the_named_integrations_run() {
    let bench = two();
    bench.run(&["export", "--only", "three"]).code(2).says("there is no integration of that name; there are: one, two");
    let report = bench.report(0, &["--only", "two"]);
    assert_eq!(report["integrations"].as_array().unwrap().len(), 1);
    assert_eq!((bench.sink().count("one"), bench.sink().count("two")), (0, 39));
    bench.run(&["export", "--only", "one,two"]).code(0).says("Exported 309 records");
}

#[test]
fn records_go_to_standard_output_and_everything_else_does_not() {
    let bench = Bench::new().config(&format!("root: root\nsink: stdout\nintegrations:\n{}", mock("one", SMALL)));
    bench.run(&["export", "--json"]).code(2).says("use --output-file");
    let output = bench.run(&["export", "--output-file", "result.json"]).code(0);
    let records: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), SMALL_ALL);
    assert!(output.stderr.contains("Exported 16 records"), "{}", output.stderr);
    assert_eq!(bench.run(&["export"]).code(0).stdout, "");
}

#[test]
fn a_compressed_folder_holds_the_same_records() {
    let integrations = mock("one", "{}");
    let plain = Bench::new().integrations(std::slice::from_ref(&integrations));
    let packed = Bench::new()
        .config(&format!("root: root\nsink: {{folder: out, compression: zstd}}\nintegrations:\n{integrations}"));
    for bench in [&plain, &packed] {
        assert_eq!(bench.export().code(0).code, 0);
    }
    let (plain, packed) = (plain.sink(), packed.sink());
    assert_eq!(plain.records, packed.records);
    assert!(packed.files.iter().all(|file| file.to_str().unwrap().ends_with(".ndjson.zst")), "{:?}", packed.files);
    assert!(plain.files.iter().all(|file| file.to_str().unwrap().ends_with(".ndjson")), "{:?}", plain.files);
}

#[test]
fn reprocessing_sends_everything_again() {
    let bench = two();
    assert_eq!(bench.report(0, &[])["delivered"]["records"], ALL + 39);
    let again = bench.report(0, &["--reprocess-historical", "--only", "two"]);
    assert_eq!((&again["delivered"]["records"], &again["integrations"][0]["incremental"]), (&json!(39), &json!(false)));
    assert_eq!(bench.report(0, &[])["delivered"]["records"], 0, "the other one's places are kept");
    assert_eq!((bench.sink().count("one"), bench.sink().count("two")), (ALL, 2 * 39));
}

#[test]
fn history_is_forced_of_exactly_one_integration() {
    let bench = two();
    bench.run(&["force-historical", "one", "--root", "root"]).code(10).says("run `agent export` first");
    bench.export().code(0).says("Exported 348 records");
    bench.run(&["force-historical", "three"]).code(2).says("it knows one, two");
    bench.run(&["force-historical", "one"]).code(0).says("one: forgot").says("309 marks");
    let report = bench.report(0, &[]);
    let delivered = |index: usize| -> u64 {
        let sessions = report["integrations"][index]["sessions"].as_array().unwrap();
        sessions.iter().map(|session| session["records"].as_u64().unwrap()).sum()
    };
    assert_eq!((delivered(0), delivered(1)), (ALL as u64, 0));
    assert_eq!((bench.sink().count("one"), bench.sink().count("two")), (2 * ALL, 39));
}

/// The older form of configuration, as text and as files; each with the folder in which its root is.
const OLDER_FORMS: &[(&str, &[&str])] = &[
    (
        "flag",
        &[
            r#"--agent-config-json={"customer_id": "c1", "pinpoint_root": "ignored"}"#,
            r#"--integrations-json=[{"name": "mock", "config": {"records": 5, "projects": 2}}]"#,
            "--pinpoint-root=flag",
        ],
    ),
    ("document", &["--agent-config-json={\"pinpoint_root\": \"document\"}", "--integrations-file=integrations.json"]),
    ("file", &["--agent-config-file=agent-config.json", "--integrations-file=integrations.json"]),
];

#[test]
fn the_older_flags_do_as_they_did() {
    let bench = Bench::new();
    bench.write("integrations.json", r#"[{"name": "mock", "config": {"records": 5, "projects": 2}}]"#);
    bench.write("agent-config.json", r#"{"pinpoint_root": "file", "skip_git": true, "backend": {"enable": false}}"#);
    for (root, flags) in OLDER_FORMS {
        let output = bench.run(&[&["export"], *flags].concat()).code(0);
        output.says("Exported 16 records");
        assert_eq!(Sink::read(&bench.path(root).join("out")).count("mock"), SMALL_ALL, "{root}");
        let again = bench.run(&[&["export"], *flags, &["--json", "--reprocess-historical"]].concat()).code(0).json();
        assert_eq!(again["delivered"]["records"], SMALL_ALL, "{root}");
        assert!(again["notes"][0].as_str().unwrap().contains("are granted nothing"), "{again:#}");
    }
    assert!(!bench.path("ignored").exists(), "the flag goes before the document");
}

/// Systems give a process few open files and allow it more. With so few nothing could be exported.
#[test]
fn a_low_limit_of_open_files_is_raised() {
    let bench = Bench::new().integrations(&[mock("mock", "{}")]);
    let line = |ulimit: &str| format!("ulimit {ulimit} 12 && \"$AGENT\" export -q");
    assert_ne!(bench.shell(&line("-n")).code, 0);
    assert_eq!(bench.shell(&line("-S -n")).code, 0);
    assert_eq!(bench.sink().count("mock"), 309);
}

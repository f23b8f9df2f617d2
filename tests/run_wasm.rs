//! `agent run-wasm` and `agent inspect` as an author uses them: every call and flag, refusals that are pasted and then work,
//! reports whose numbers add up, and nothing left behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tests::{Bench, Output, Sink, guests, wait_until};

/// 1 project, 2 users, 3 issues.
const SMALL: &[&str] = &["projects=1", "records=3"];
const SMALL_ALL: usize = 6;

pub fn component(name: &str) -> String {
    guests().join(format!("{name}.wasm")).to_str().unwrap().to_owned()
}

/// `agent run-wasm` of a component.
pub fn run(bench: &Bench, name: &str, more: &[&str]) -> Output {
    bench.run(&[&["run-wasm", &component(name)], more].concat())
}

fn mock(bench: &Bench, more: &[&str]) -> Output {
    run(bench, "integration_mock", more)
}

/// The report of a run that must end with this code; held against the published schema.
#[track_caller]
pub fn report(bench: &Bench, name: &str, code: i32, more: &[&str]) -> Value {
    let report = run(bench, name, &[more, &["--json"]].concat()).code(code).json();
    let schema: Value =
        serde_json::from_str(include_str!("../host/agent/schemas/run-wasm-report.json")).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is one");
    let faults: Vec<String> =
        validator.iter_errors(&report).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(report["exit_code"], code);
    report
}

/// What is left in the folder for temporary files.
pub fn left(bench: &Bench) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(bench.path("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn lines(output: &Output) -> Vec<Value> {
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// A server that answers each request with an empty object, and counts those that carry this token.
pub fn server(token: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut authorized = false;
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let line = line.unwrap_or_default();
                authorized |= line.to_lowercase() == format!("authorization: bearer {token}");
                if line.is_empty() {
                    break;
                }
            }
            counted.fetch_add(usize::from(authorized), Ordering::SeqCst);
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\nserver: test 1\r\n\r\n{}";
            // Whoever asked may have gone.
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    (url, count)
}

#[test]
fn an_export_prints_its_records_and_leaves_nothing() {
    let bench = Bench::new();
    let output = mock(&bench, SMALL).code(0);
    let records = lines(&output);
    assert_eq!(records.len(), SMALL_ALL);
    assert_eq!((&records[0]["integration"], &records[0]["model"]), (&json!("mock"), &json!("mock.Project")));
    assert_eq!(records[0]["record"]["ref_id"], "P1");
    output.says("mock │ export begins").says("export: ok").says("mock.Issue            3          0     3        1");
    assert_eq!(left(&bench), Vec::<std::path::PathBuf>::new());
    let people = mock(&bench, &[SMALL, &["--records", "people"]].concat()).code(0);
    assert!(people.stdout.contains("mock.Issue │ ref_id=P1-1 "), "{}", people.stdout);
    assert_eq!(mock(&bench, &[SMALL, &["--records", "none", "--quiet"]].concat()).code(0).stdout, "");
}

#[test]
fn records_go_to_a_file_or_a_folder() {
    let bench = Bench::new();
    let output = mock(&bench, &[SMALL, &["--output", "records.ndjson"]].concat()).code(0);
    assert_eq!(output.stdout, "");
    assert_eq!(bench.read("records.ndjson").lines().count(), SMALL_ALL);
    mock(&bench, &[SMALL, &["--output", "out/"]].concat()).code(0);
    assert_eq!(Sink::read(&bench.path("out")).count("mock"), SMALL_ALL);
    mock(&bench, &["--output", "none/records.ndjson"]).code(1).says("none/records.ndjson").says("choose another");
}

#[test]
fn every_call_can_be_made() {
    let bench = Bench::new();
    let result = |more: &[&str]| mock(&bench, more).code(0).json();
    assert_eq!(result(&["describe"])["name"], "mock");
    assert_eq!(result(&["validate-config"])["ok"], true);
    let users = result(&["onboard", "users", "projects=1"]);
    assert!(users.as_array().is_some_and(|users| users.iter().any(|user| user["ref_id"] == "U1")), "{users}");
    let data = r#"{"ref_id":"P1-1","title":"New = better"}"#;
    assert_eq!(result(&["mutate", "issue.set_title", data])["mutated"]["mock.Issue"][0]["title"], "New = better");
    bench.write("body.json", data);
    assert!(result(&["mutate", "issue.set_title", "--data-file", "body.json"])["mutated"].is_object());
    let header = ["--header", "X-Mock-Event: issue.updated", "--body-file", "body.json"];
    assert!(result(&[&["webhook"], &header[..]].concat())["mutated"].is_object());
    mock(&bench, &["onboard", "moons"]).code(1).says("onboard: failed").says("listed in `onboard` of the manifest");
    mock(&bench, &["mutate", "no.such", "{}"]).code(1).says("mutate: failed").says("it has issue.set_title");
}

#[test]
fn the_configuration_comes_from_a_file_and_from_settings() {
    let bench = Bench::new();
    bench.write("own.yaml", "projects: 1\nrecords: 7\nunique: ${UNSET:-x-}\n");
    let output = mock(&bench, &["--config-file", "own.yaml", "records=2"]).code(0);
    let ids: Vec<Value> = lines(&output).iter().map(|line| line["record"]["ref_id"].clone()).collect();
    assert_eq!(ids, ["x-P1", "x-U1", "x-U2", "x-P1-1", "x-P1-2"]);
    for (arguments, code, said) in [
        (&["records=ten"][..], 78, "records: \"ten\" is not of the type integer; write a number"),
        (&["recods=1"], 78, "there is no setting `recods`"),
        (&["records=-1"], 78, "/records"),
        (&["--config-file", "none.yaml"], 78, "none.yaml"),
        (&["-c", "own.yaml"], 2, "--config-file FILE"),
        (&["exprot"], 2, "there is no call `exprot`"),
        (&["--limits", "memry=1MiB"], 78, "did you mean `memory`?"),
        (&["--allow", "api.example.com"], 78, "write scheme://host"),
        (&["--credential", "hunter2"], 78, "NAME=env:VARIABLE"),
    ] {
        let output = mock(&bench, arguments).code(code);
        assert!(!output.stderr.contains("hunter2"));
        output.says(said);
    }
}

/// What is refused is printed as flags and as a snippet; each is pasted as it stands, by a shell and into a file.
#[test]
fn what_is_refused_can_be_pasted_and_then_works() {
    let (url, authorized) = server("let-me-in");
    let bench = Bench::new();
    bench.write("token", "let-me-in\n");
    let url = format!("http_url={url}/a/b?token=hidden");
    let call = ["validate-config", &url, "http_credential=mock-token"];
    let refused = mock(&bench, &call);
    assert!(!refused.stderr.contains("hidden"), "the values of a query are not shown: {}", refused.stderr);
    let line =
        |begin: &str| refused.stderr.lines().map(str::trim).find(|line| line.starts_with(begin)).unwrap().to_owned();
    let flags = line("--allow ");
    assert!(
        flags.contains("--allow-private '127.0.0.1'") && flags.contains("--credential 'mock-token=env:MOCK_TOKEN@")
    );
    // The value stands in a file here, which is the one thing that a person would change.
    let token = bench.path("token");
    let flags = flags.replace("env:MOCK_TOKEN", &format!("file:{}", token.display()));
    bench
        .pasted(&["run-wasm", &component("integration_mock"), call[0], call[1], call[2]], &flags)
        .code(0)
        .says("\"ok\": true");
    assert_eq!(authorized.load(Ordering::SeqCst), 1);

    let begin = refused.stderr.lines().position(|line| line.trim() == "grants:").unwrap();
    let snippet: Vec<&str> = refused.stderr.lines().skip(begin).take_while(|line| line.starts_with("  ")).collect();
    let snippet = snippet.join("\n").replace("env: MOCK_TOKEN", &format!("file: {}", token.display()));
    bench.write("grants.yaml", &snippet);
    mock(&bench, &[&call[..], &["--grants", "grants.yaml"]].concat()).code(0);
    assert_eq!(authorized.load(Ordering::SeqCst), 2);

    // In agent.yaml, below the integration.
    let yaml = format!(
        "root: root\nsink: {{folder: out}}\nintegrations:\n  - name: one\n    component: mock\n    config: {{projects: 0, records: 0, \
         http_url: \"{}\", http_credential: mock-token}}\n{}\n",
        url.strip_prefix("http_url=").unwrap(),
        snippet.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
    );
    let bench = bench.config(&yaml);
    bench.export().code(0);
    assert!(authorized.load(Ordering::SeqCst) > 2);
}

#[test]
fn all_that_is_asked_is_granted_but_for_private_hosts_and_credentials() {
    let (url, _) = server("-");
    let bench = Bench::new();
    let url = format!("http_url={url}/");
    let asked = ["validate-config", &url, "--allow-asked"];
    // A configuration that does not work is no success, as of `agent validate-config`.
    let refused = report(&bench, "integration_mock", 1, &asked);
    assert_eq!((&refused["outcome"], &refused["result"]["ok"]), (&json!("failed"), &json!(false)));
    assert_eq!(refused["permissions"]["network"], json!([]), "the rule is granted");
    assert_eq!(refused["permissions"]["private_hosts"], json!(["127.0.0.1"]));
    let granted = report(&bench, "integration_mock", 0, &[&asked[..], &["--allow-private", "127.0.0.1"]].concat());
    assert_eq!(granted["result"]["ok"], true);
    let request = &granted["requests"][0];
    assert_eq!(
        (&request["method"], &request["status"], &request["bytes_received"]),
        (&json!("GET"), &json!(200), &json!(2))
    );
    assert_eq!(granted["permissions"]["denied"], json!([]));
    let unused = granted["permissions"]["not_used"].to_string();
    assert!(unused.contains("credentials: mock-token") && unused.contains("git: true") && !unused.contains("network"));
}

#[test]
fn a_reports_numbers_add_up_and_instructions_repeat() {
    let bench = Bench::new();
    let arguments = [SMALL, &["--report-file", "report.json"]].concat();
    let first = report(&bench, "integration_mock", 0, &arguments);
    assert_eq!(serde_json::from_str::<Value>(&bench.read("report.json")).unwrap(), first);
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{value}"));
    let calls: f64 = first["host_calls_by_name"].as_object().unwrap().values().map(number).sum();
    assert_eq!(calls, number(&first["host_calls"]));
    let time = &first["time"];
    let parts = number(&time["guest_ms"]) + number(&time["host_ms"]) + number(&time["network_ms"]);
    assert!((parts - number(&time["call_ms"])).abs() < 1e-6, "{time}");
    let models = first["models"].as_array().unwrap();
    let sum = |member: &str| models.iter().map(|model| number(&model[member])).sum::<f64>();
    assert_eq!(sum("committed"), SMALL_ALL as f64);
    assert_eq!(sum("sent"), SMALL_ALL as f64);
    assert_eq!(sum("batches"), number(&first["host_calls_by_name"]["session.send"]));
    // Each record's line end crosses, and is not part of the record.
    assert_eq!(sum("bytes"), number(&first["bytes_records"]));
    assert!(number(&first["memory_bytes_peak"]) > 0.0);
    let second = report(&bench, "integration_mock", 0, &arguments);
    assert_eq!(first["instructions"], second["instructions"]);
    assert!(number(&first["instructions"]) > 1000.0);
    let without = report(&bench, "integration_mock", 0, &[&arguments[..], &["--no-instructions"]].concat());
    assert_eq!(without["instructions"], Value::Null);
    let text = mock(&bench, &[SMALL, &["--report"]].concat()).code(0);
    text.says("instructions  ").says("host calls    ").says("mock/P1/project/P1/mock.Issue");
    mock(&bench, &[SMALL, &["--report", "json"]].concat()).code(0).says("\"host_calls_by_name\"");
}

#[test]
fn a_root_that_is_kept_makes_the_next_run_incremental() {
    let bench = Bench::new();
    let kept = [SMALL, &["--root", "try"]].concat();
    assert_eq!(lines(&mock(&bench, &kept).code(0)).len(), SMALL_ALL);
    let again = report(&bench, "integration_mock", 0, &kept);
    assert_eq!(again["delivered"]["records"], 0);
    assert!(again["sessions"].as_array().unwrap().iter().all(|session| session["resumed"] == true), "{again:#}");
    let full = report(&bench, "integration_mock", 0, &[&kept[..], &["full=true"]].concat());
    let unchanged: u64 = full["models"].as_array().unwrap().iter().map(|m| m["unchanged"].as_u64().unwrap()).sum();
    assert_eq!((unchanged as usize, &full["delivered"]["records"]), (SMALL_ALL, &json!(0)));
    // Another sink is shown the same: cursors belong to the root.
    mock(&bench, &[&kept[..], &["--output", "more.ndjson"]].concat()).code(0);
    assert_eq!(bench.read("more.ndjson"), "");
    assert!(Path::new(&bench.path("try/store/agent.db")).exists());
}

#[test]
fn a_trap_is_told_with_place_last_words_and_backtrace() {
    let bench = Bench::new();
    let output = mock(&bench, &["fail=panic", "--records", "none"]).code(13);
    output.says("Its last words:").says("│ panicked at").says("the configuration asks for a panic");
    output
        .says("It was stopped in `export`, after")
        .says("the last of them log.log")
        .says("the component has no debug information");
    // Its own functions first, by names that a person knows.
    output
        .says("Where, the innermost first:\n   0  integration_mock::")
        .says("frames of runtime and libraries left out (abort");
    let stopped = &report(&bench, "guest_panics", 13, &[])["stopped"];
    assert_eq!((&stopped["host_call"], &stopped["inside_host_call"]), (&json!("log.log"), &json!(false)));
}

/// Records and results that are not what manifest and contract say are named, and the run is no success.
#[test]
fn a_lying_manifest_is_found_out() {
    let bench = Bench::new();
    let records = r#"records:=[{"id":"a","n":1},{"id":"b","n":"x"},{"id":"c"}]"#;
    let lying = run(&bench, "guest_liar", &[records, "answer:=\"{}\""]).code(3);
    lying
        .says("2 records of lie.Thing, of 3 looked at, do not fit")
        .says("  b: /n: ")
        .says("mend: send records as the schema says");
    assert_eq!(lying.stdout.lines().count(), 3, "what does not fit is delivered all the same");
    let misfits = &report(&bench, "guest_liar", 3, &[records, "answer:=\"{}\""])["misfits"][0];
    assert_eq!(
        (&misfits["checked"], &misfits["misfits"], &misfits["examples"][1]["key"]),
        (&json!(3), &json!(2), &json!("c"))
    );
    run(&bench, "guest_liar", &["validate-config", "answer:=\"{}\""])
        .code(1)
        .says("validate-result.json")
        .says("\"ok\"");
    run(&bench, "guest_liar", &["answer:=\"no\""]).code(1).says("not JSON");
}

#[test]
fn limits_are_the_agents_own() {
    let bench = Bench::new();
    run(&bench, "guest_eats_memory", &["--limits", "memory=8MiB"]).code(13).says("memory_bytes_max (8388608 bytes)");
    let looped = report(&bench, "guest_loops", 13, &["--limits", "cpu_time=200ms"]);
    assert_eq!((&looped["outcome"], looped["memory_bytes_max"].as_u64()), (&json!("limit"), Some(512 << 20)));
    assert!(looped["reason"].as_str().unwrap().contains("cpu_time_max"), "{looped}");
}

#[test]
fn what_is_no_integration_is_said() {
    let bench = Bench::new();
    bench.write("text.wasm", "<html>");
    bench.write("module.wasm", b"\0asm\x01\0\0\0");
    bench.write("empty.wasm", b"\0asm\x0d\0\x01\0");
    for (file, said) in [
        ("text.wasm", "is not WebAssembly"),
        ("module.wasm", "core module"),
        ("empty.wasm", "exports nothing"),
        ("none.wasm", "there is no component"),
    ] {
        bench.run(&["run-wasm", file]).code(78).says(said);
        let code = if file == "none.wasm" { 1 } else { 78 };
        bench.run(&["inspect", file]).code(code).says(if file == "text.wasm" { "cannot be read" } else { said });
    }
    run(&bench, "guest_bad_manifest", &[]).code(78).says("manifest");
}

/// A component whose contract is newer: the mock's, its version written over. What it exports says so before it is compiled.
#[test]
fn a_newer_contract_is_named() {
    let bench = Bench::new();
    let bytes = std::fs::read(component("integration_mock")).unwrap();
    let (old, new) = (b"agent:integration/", b"@0.1.0");
    let mut changed = bytes.clone();
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(old.len()).position(|window| window == old) {
        at += found + old.len();
        let name = bytes[at..].iter().position(|byte| !(byte.is_ascii_lowercase() || *byte == b'-')).unwrap();
        if bytes[at + name..].starts_with(new) {
            changed[at + name + 3] = b'3';
        }
    }
    bench.write("newer.wasm", &changed);
    let said = "needs agent:integration 0.3, this agent offers 0.1";
    bench.run(&["inspect", "newer.wasm"]).code(78).says(said).says("MISSING agent:integration/log@0.3.0");
    bench.run(&["run-wasm", "newer.wasm"]).code(78).says(said);
}

#[test]
fn inspect_shows_what_a_component_is_and_runs_nothing_more() {
    let bench = Bench::new();
    let file = component("integration_mock");
    let output = bench.run(&["inspect", &file]).code(0);
    output
        .says("contract      agent:integration@0.1.0")
        .says("inert   wasi:cli/environment@")
        .says("language      Rust");
    output
        .says("asks for      network: {config:/http_url} GET")
        .says("asks for      credential mock-token")
        .says("mock.Issue (key /ref_id)");
    let json = bench.run(&["inspect", &file, "--json"]).code(0).json();
    assert_eq!(json["manifest"]["name"], "mock");
    assert_eq!(
        (&json["kind"], &json["contract"], &json["obstacle"]),
        (&json!("component"), &json!("0.1.0"), &Value::Null)
    );
    assert_eq!(json["digest"].as_str().unwrap().len(), 64);
    assert_eq!(json["bytes"], std::fs::metadata(&file).unwrap().len());
    // Nothing is run: a component whose `describe` is bad is shown like any other.
    let bad = component("guest_bad_manifest");
    bench.run(&["inspect", &bad]).code(78).says("manifest");
    assert_eq!(bench.run(&["inspect", &bad, "--no-describe", "--json"]).code(0).json()["manifest"], Value::Null);
}

#[test]
fn an_interrupt_ends_at_a_good_place_and_leaves_nothing() {
    let bench = Bench::new();
    let file = component("integration_mock");
    let endless = ["run-wasm", &file, "records=5000000", "projects=1", "checkpoint_every=1000"];
    let run = bench.start(&endless);
    wait_until("records are shown", || {
        std::fs::metadata(bench.path("running.stdout")).is_ok_and(|meta| meta.len() > 0)
    });
    run.interrupt();
    assert_eq!(run.code(), 130);
    let shown = bench.read("running.stdout");
    assert!(shown.lines().count() >= 3 && shown.ends_with('\n'), "whole lines");
    assert!(bench.read("running.stderr").contains("interrupted: ending at the next good place"));
    assert_eq!(left(&bench), Vec::<std::path::PathBuf>::new());
    // One that does not look whether it should stop is ended by the second.
    let looping = bench.start(&["run-wasm", &component("guest_loops")]);
    wait_until("it runs", || !left(&bench).is_empty());
    looping.interrupt();
    wait_until("it is told", || bench.read("running.stderr").contains("interrupt again"));
    looping.interrupt();
    assert_eq!(looping.code(), 130);
    assert_eq!(left(&bench), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_reader_that_has_had_enough_is_no_fault() {
    let bench = Bench::new();
    let mut child = bench.spawn_piped(&["run-wasm", &component("integration_mock"), "records=20000", "projects=1"]);
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    // The pipe is closed now.
    assert_eq!(&first, b"{\"integrat");
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_environments_root_is_not_used() {
    let bench = Bench::new();
    let root = bench.path("production");
    let output = bench.pasted(&["run-wasm", &component("integration_mock"), "projects=0", "records=0"], "");
    output.code(0);
    assert!(!root.exists());
}

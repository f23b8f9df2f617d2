//! The commands as programs and people type them: the command lines of the systems we succeed, what each answers, the
//! published form of every result, every exit code, and that integrations which fail leave the others alone.

use serde_json::{Value, json};
use tests::{Bench, HEAD, Output, compiled, guest, guests, integration, mock, repository};

/// The command lines for trying integrations without a backend, as the systems we succeed have them in their papers.
const EXPORT_LINE: &str = r#".\agent-next.exe export 2>&1 > logs.txt --% --agent-config-json="{\"customer_id\":\"c1\"}" --integrations-json="[{\"name\":\"mock\", \"config\":{\"k\":\"v\"}}]" --pinpoint-root=."#;
const ONBOARD_LINE: &str = r#".\agent-next.exe export-onboard-data 2>&1 > logs.txt --% --agent-config-json="{\"customer_id\":\"c1\",\"skip_git\":true}" --integrations-json="[{\"name\":\"jira-hosted\", \"config\":{\"username\":\"XXX\", \"password\":\"XXX\", \"url\":\"https://xxxxxxxxxxxxxx\"}}]" --pinpoint-root=. --object-type=projects"#;

/// The guest that says what it is told to.
const LIAR: &str = "${GUESTS}/guest_liar.wasm";

/// The guest, with another manifest written over its own.
pub fn liar_with(manifest: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(guests().join("guest_liar.wasm")).unwrap();
    let own = br#"{"schema": 1, "name": "liar""#;
    let at = bytes.windows(own.len()).position(|window| window == own).expect("the manifest is in the component");
    let length = bytes[at..].iter().position(|byte| *byte == 0).unwrap_or(8192).min(8192);
    assert!(manifest.len() <= length, "the manifest is too long for its place");
    bytes[at..at + length].fill(b' ');
    bytes[at..at + manifest.len()].copy_from_slice(manifest.as_bytes());
    bytes
}

fn liar(name: &str, config: &Value) -> String {
    integration(name, LIAR, &config.to_string(), "{}")
}

/// Splits a command line as a Windows program does: a backslash escapes a quote, quotes group.
fn windows_arguments(line: &str) -> Vec<String> {
    let (mut arguments, mut current, mut quoted, mut chars) =
        (Vec::new(), String::new(), false, line.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'"') => current.extend(chars.next()),
            '"' => quoted = !quoted,
            ' ' if !quoted => arguments.push(std::mem::take(&mut current)),
            c => current.push(c),
        }
    }
    arguments.push(current);
    arguments.retain(|argument| !argument.is_empty());
    arguments
}

#[test]
fn the_older_export_line_works_as_it_stands() {
    // What PowerShell hands on after its `--%`, as the program's own start-up reads it …
    let (_, rest) = EXPORT_LINE.split_once("--% ").unwrap();
    let arguments = windows_arguments(rest);
    let bench = Bench::new();
    compiled::give(["integration_mock.wasm"], &bench.path("cache/components"));
    let line: Vec<&str> = ["export"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    bench.run(&line).code(0).says("Exported 309 records");
    assert_eq!(bench.sink().count("mock"), 309);
    // … and in a shell, whose quoting comes to the same.
    let bench = Bench::new();
    bench.shell(&EXPORT_LINE.replace(r".\agent-next.exe", "\"$AGENT\"").replace("--% ", "")).code(0);
    assert!(bench.read("logs.txt").contains("Exported 309 records"));
    assert_eq!(bench.sink().count("mock"), 309);
    assert!(bench.path("logs/export.log").exists() && bench.path("logs/integrations/mock.log").exists());
}

#[test]
fn the_older_onboarding_line_works_as_it_stands() {
    let bench = Bench::new();
    std::fs::copy(guests().join("guest_liar.wasm"), bench.path("jira-hosted.wasm")).unwrap();
    let line = ONBOARD_LINE.replace(r".\agent-next.exe", "AGENT_INTEGRATIONS_DIR=. \"$AGENT\"").replace("--% ", "");
    bench.shell(&line).code(0);
    // What it prints is what its caller reads.
    let result: Value = serde_json::from_str(bench.read("logs.txt").lines().last().unwrap()).unwrap();
    assert_eq!((&result["success"], &result["error"]), (&json!(true), &json!("")));
    assert_eq!(result["data"], json!([{"ref_id": "1", "name": "One"}]));
    assert!(bench.path("logs/export-onboard-data.log").exists());
}

#[test]
fn the_other_calls_take_the_same_flags() {
    let bench = Bench::new();
    compiled::give(["integration_mock.wasm"], &bench.path("cache/components"));
    let flags = [
        "--agent-config-json={\"customer_id\":\"c1\"}",
        "--integrations-json=[{\"name\":\"mock@work\",\"id\":\"m1\",\"type\":\"WORK\",\"config\":{}}]",
        "--pinpoint-root=.",
    ];
    let run = |command: &[&str]| bench.run(&[command, &flags[..]].concat());
    let validated = run(&["validate-config"]).code(0).json();
    assert_eq!(validated["errors"], json!([]));
    assert_eq!((&validated["success"], &validated["server_version"]), (&json!(true), &json!("mock 1.0")));
    for kind in ["users", "repos", "projects", "workconfig", "calendars"] {
        let data = run(&["export-onboard-data", &format!("--object-type={kind}")]).code(0).json();
        assert!(data["data"].is_array(), "{kind}: {data:#}");
        assert_eq!(data["integration"]["name"], "m1");
    }
    let change = r#"{"fn":"issue.set_title","data":{"ref_id":"P1-1","title":"New"}}"#;
    let mutated = run(&["mutate", "--mutation", change]).code(0).json();
    assert_eq!(mutated["mutated_objects"]["mock.Issue"][0]["title"], "New");
    assert_eq!(mutated["webapp_response"]["url"], "https://mock.invalid/P1-1");
    bench.write("mutation.json", change.replace("P1-1", "P9-9"));
    let missed = run(&["mutate", "--mutation-file=mutation.json", "--output-file=result.json"]).code(1);
    assert_eq!(missed.stdout.trim_end(), "✗ m1: failed: there is no issue `P9-9`");
    let missed: Value = serde_json::from_str(&bench.read("result.json")).unwrap();
    assert_eq!((&missed["success"], &missed["error_code"]), (&json!(false), &json!("not_found")));
    let event = r#"{"headers":{"X-Mock-Event":"issue.commented"},"body":{"ref_id":"P1-1","body":"hello"}}"#;
    let taken = run(&["webhook", "--data", event]).code(0).json();
    assert_eq!(taken["mutated_objects"]["mock.Comment"][0]["issue_ref_id"], "P1-1");
    bench.write("event.json", event);
    assert_eq!(run(&["webhook", "--data-file=event.json"]).code(0).json()["success"], true);
}

#[test]
fn a_file_may_hold_what_a_flag_does() {
    let bench = Bench::new();
    bench.write("agent-config.json", r#"{"customer_id": "c1", "pinpoint_root": "there", "skip_git": true, "integrations_dir": "components", "backend": {"enable": false}}"#);
    bench.write("integrations.json", r#"[{"name": "renamed", "config": {"records": 1, "projects": 1}}]"#);
    std::fs::create_dir(bench.path("components")).unwrap();
    std::fs::copy(guests().join("integration_mock.wasm"), bench.path("components/renamed.wasm")).unwrap();
    let files = ["--agent-config-file=agent-config.json", "--integrations-file=integrations.json"];
    bench.run(&[&["export"], &files[..]].concat()).code(0).says("Exported 4 records");
    assert!(bench.path("there/out/renamed").exists());
    bench.run(&[&["validate-config"], &files[..]].concat()).code(0);
    bench.write("agent-config.json", r#"{"customer": "c1"}"#);
    bench.run(&[&["export"], &files[..]].concat()).code(78).says("did you mean `customer_id`?");
}

// --- forms for people

#[test]
fn people_have_shorter_forms() {
    let bench = Bench::new().integrations(&[mock("mock", "{}"), mock("other", "{unique: o-}")]);
    bench.run(&["onboard", "other", "projects"]).code(0).says("o-P1").says("other has 3 objects of the kind projects");
    let data = r#"{"ref_id": "P1-1", "status": "closed"}"#;
    bench.run(&["mutate", "mock", "issue.set_status", "--data", data]).code(0).says("changed 1 record of mock.Issue");
    bench.write("data.json", data);
    bench.run(&["mutate", "mock", "issue.set_status", "--data", "@data.json"]).code(0).says("P1-1");
    let header = ["--header", "x-first=1", "--header", "x-mock-event=ping"];
    bench.write("body", b"\0\xff\r\n");
    bench.run(&[&["webhook", "mock"], &header[..], &["--body", "@body"]].concat()).code(0).says("\"pong\": 4");
    bench.run(&["validate-config"]).code(0).says("✓ mock: the configuration works (mock 1.0)").says("✓ other");
    bench
        .run(&["mutate", "--mutation", "{\"fn\":\"a\",\"data\":1}"])
        .code(2)
        .says("which integration? Name one of mock, other");
    bench.run(&["onboard", "mok", "users"]).code(2).says("there are: mock, other");
}

/// What a manifest does not list is refused before the guest is called: command line, and what is said.
const NOT_LISTED: &[(&[&str], &str)] = &[
    (&["mutate", "mock", "issue.set_titel", "--data={}"], "did you mean `issue.set_title`?"),
    (&["mutate", "mock", "sprint.create"], "it has issue.set_title, issue.set_status"),
    (&["onboard", "mock", "boards"], "it has users, repos, projects"),
    (&["webhook", "mock", "--body=x", "--header=x-mock-event=issue.closed"], "no webhook event `issue.closed`"),
    (&["webhook", "mock", "--body=x"], "has no header `x-mock-event`"),
    (&["webhook", "hello", "--body=x"], "`hello` takes no webhooks"),
    (&["mutate", "hello", "x"], "it has none"),
];

#[test]
fn what_is_not_listed_is_refused() {
    let hello = integration("hello", "${GUESTS}/guest_hello.wasm", "{url: 'https://x.invalid'}", "{}");
    let bench = Bench::new().integrations(&[mock("mock", "{}"), hello]);
    for (arguments, said) in NOT_LISTED {
        bench.run(arguments).code(2).says(said);
        let json = bench.run(&[*arguments, &["--json"]].concat()).code(2).json();
        assert_eq!((&json["success"], &json["error_code"]), (&json!(false), &json!("not_supported")), "{arguments:?}");
    }
}

/// Inputs of calls that are not what they should be.
const BAD_INPUTS: &[(&[&str], &str)] = &[
    (&["mutate", "mock", "issue.set_title", "--data={"], "--data: EOF"),
    (&["mutate", "mock", "issue.set_title", "--data=@missing.json"], "--data missing.json: it cannot be read"),
    (&["mutate", "--mutation={\"fn\":\"x\"}"], "missing field `data`"),
    (&["mutate", "--mutation={\"fn\":\"x\",\"data\":1,\"more\":1}"], "unknown field `more`"),
    (&["mutate", "mock"], "--mutation"),
    (&["mutate", "mock", "x", "--mutation={}"], "cannot be used with"),
    (&["mutate", "--data={}"], "required"),
    (&["webhook", "mock"], "--body"),
    (&["webhook", "mock", "--body=x", "--data={}"], "cannot be used with"),
    (&["webhook", "mock", "--data={}", "--header=a=b"], "cannot be used with"),
    (&["webhook", "mock", "--body=x", "--header=novalue"], "it is no header field"),
    (&["webhook", "mock", "--data={\"headers\":7}"], "header fields: an object of texts"),
    (&["webhook", "mock", "--data={\"headers\":{\"a b\":\"c\"}}"], "`a b` is not the name of a header"),
    (&["export-onboard-data", "mock"], "--object-type"),
    (&["validate-config", "nobody"], "there is no integration of that name"),
    (&["check", "nobody"], "there is no integration of that name"),
    (&["export", "--only", "nobody"], "there is no integration of that name"),
    (&["config", "schema", "--plain", "mock"], "cannot be used with"),
];

#[test]
fn bad_input_is_told() {
    let bench = Bench::new().integrations(&[mock("mock", "{}")]);
    for (arguments, said) in BAD_INPUTS {
        bench.run(arguments).code(2).says(said);
    }
}

// --- results

/// The published form, tightened: a member that it does not describe is a fault.
pub fn published(name: &str) -> jsonschema::Validator {
    fn tighten(value: &mut Value) {
        if let Value::Object(members) = value {
            if members.contains_key("properties") && !members.contains_key("additionalProperties") {
                members.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            members.values_mut().for_each(tighten);
        } else if let Value::Array(items) = value {
            items.iter_mut().for_each(tighten);
        }
    }
    let text = std::fs::read_to_string(repository().join(format!("docs/schemas/{name}.json"))).unwrap();
    let mut schema: Value = serde_json::from_str(&text).unwrap();
    assert!(jsonschema::meta::is_valid(&schema), "{name}");
    tighten(&mut schema);
    jsonschema::validator_for(&schema).unwrap()
}

#[track_caller]
pub fn fits(name: &str, document: &Value) {
    let faults: Vec<String> =
        published(name).iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(faults.is_empty(), "docs/schemas/{name}.json: {faults:#?}\n{document:#}");
}

/// A command line, its code, and the form of its result.
const RESULTS: &[(&[&str], i32, &str)] = &[
    (&["export"], 3, "export"),
    (&["export", "--only=mock"], 0, "export"),
    (&["status"], 0, "status"),
    (&["doctor"], 0, "doctor"),
    (&["validate-config"], 3, "validate-config"),
    (&["validate-config", "mock"], 0, "validate-config"),
    (&["validate-config", "bad"], 78, "validate-config"),
    (&["check"], 3, "check"),
    (&["check", "--offline", "web"], 14, "check"),
    (&["discover"], 0, "discover"),
    (&["onboard", "mock", "users"], 0, "export-onboard-data"),
    (&["onboard", "mock", "none"], 2, "export-onboard-data"),
    (&["onboard", "bad", "users"], 78, "export-onboard-data"),
    (&["mutate", "mock", "issue.set_title", "--data={\"ref_id\":\"P1-1\",\"title\":\"x\"}"], 0, "mutate"),
    (&["mutate", "mock", "issue.set_title", "--data={\"ref_id\":\"P9-1\",\"title\":\"x\"}"], 1, "mutate"),
    (&["mutate", "mock", "issue.set_title", "--data=[]"], 1, "mutate"),
    (&["webhook", "mock", "--header=x-mock-event=ping", "--body=x"], 0, "webhook"),
    (&["webhook", "liar", "--body=x"], 0, "webhook"),
    (&["webhook", "bad", "--body=x"], 78, "webhook"),
    (&["force-historical", "mock"], 0, "force-historical"),
    (&["secrets", "list"], 0, "secrets"),
    (&["integrations", "list"], 0, "integrations-list"),
    (&["version"], 0, "version"),
    (&["export", "-c", "missing.yaml"], 78, "error"),
    (&["check", "nobody"], 2, "error"),
    (&["mutate"], 2, "error"),
    (&["status", "--nothing"], 2, "error"),
    (&["status", "--root=missing"], 10, "error"),
];

#[test]
fn every_result_has_its_published_form() {
    let bench = Bench::new().integrations(&[
        mock("mock", "{records: 2}"),
        mock("misfit", "{records: 2, fail: misfit}"),
        mock("web", "{http_url: 'https://example.invalid/'}"),
        mock("bad", "{recods: 2}"),
        guest("panics", "{}"),
        integration("liar", LIAR, "{}", "{}"),
    ]);
    // `discover` looks at all that there are.
    compiled::give(compiled::all(), &bench.path("root/cache/components"));
    for (arguments, code, form) in RESULTS {
        let result = bench.run(&[*arguments, &["--json"]].concat()).code(*code).json();
        fits(form, &result);
        assert_eq!(result["exit_code"], *code, "{arguments:?}");
    }
    // A file has the same as standard output.
    bench.run(&["check", "mock", "--output-file=check.json"]).code(0);
    fits("check", &serde_json::from_str(&bench.read("check.json")).unwrap());
}

/// Forms that `suite`, `ripsrc` and `integrations` hold.
const ELSEWHERE: &[&str] = &[
    "test",
    "ripsrc-record",
    "ripsrc-run",
    "ripsrc-validate",
    "integrations-add",
    "integrations-diff",
    "integrations-grant",
];

#[test]
fn every_published_form_is_used() {
    for file in tests::files_below(&repository().join("docs/schemas")) {
        // Records of repositories are held against theirs beside the code that makes them.
        if file.parent().unwrap().ends_with("records") {
            continue;
        }
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let used = RESULTS.iter().any(|(_, _, form)| **form == name) || ELSEWHERE.contains(&name.as_str());
        assert!(used, "docs/schemas/{name}.json is tested by nothing");
    }
}

/// Lies: the call, what it returns, and what is said.
const LIES: &[(&[&str], &str, &str)] = &[
    (&["validate-config"], "{}", "\"ok\" is a required property"),
    (&["validate-config"], "{\"ok\": false}", "\"errors\" is a required property"),
    (&["validate-config"], "{\"ok\": true, \"errors\": [\"x\"]}", "/errors"),
    (&["validate-config"], "fine", "what it returned is not JSON"),
    (&["onboard", "liar", "users"], "{\"users\": []}", "schemas/onboard-result.json"),
    (&["onboard", "liar", "users"], "[1]", "/0: the value is not of type \"object\""),
    (&["mutate", "liar", "lie"], "{\"mutated\": []}", "/mutated"),
    (&["mutate", "liar", "lie"], "{\"mutated\": {\"Other\": []}}", "/mutated/Other: there is no model"),
    (
        &["mutate", "liar", "lie"],
        "{\"mutated\": {\"lie.Thing\": [{\"id\": \"1\", \"n\": -1}]}}",
        "/mutated/lie.Thing/0/n",
    ),
    (&["webhook", "liar", "--body=x"], "[]", "schemas/mutate-result.json"),
    (&["export"], "{\"projects\": [{\"name\": \"x\"}]}", "/projects/0: \"ref_id\" is a required property"),
];

#[test]
fn a_result_that_is_not_what_it_should_be_is_a_failure() {
    for (arguments, answer, said) in LIES {
        let bench = Bench::new().integrations(&[liar("liar", &json!({ "answer": answer }))]);
        bench.run(arguments).code(1).says(said);
        if arguments[0] != "export" {
            let json = bench.run(&[*arguments, &["--json"]].concat()).json();
            let code = json.get("error_code").unwrap_or_else(|| &json["integrations"][0]["error_code"]);
            assert_eq!(code, "result", "{arguments:?} {answer}");
        }
    }
}

// --- exit codes

#[test]
fn every_exit_code_is_given() {
    let codes = |bench: &Bench, arguments: &[&str], code: i32| drop(bench.run(arguments).code(code));
    let of = |integrations: &[String]| Bench::new().integrations(integrations);
    let good = of(&[mock("mock", "{records: 1}")]);
    codes(&good, &["export"], 0);
    codes(&of(&[mock("mock", "{fail: error}")]), &["export"], 1);
    codes(&good, &["export", "--no-such-flag"], 2);
    codes(&of(&[mock("a", "{records: 1}"), mock("b", "{fail: error}")]), &["export"], 3);
    codes(&good, &["status", "--root=nowhere"], 10);
    let lock = std::fs::File::options().read(true).write(true).open(good.path("root/lock")).unwrap();
    lock.lock().unwrap();
    codes(&good, &["export"], 11);
    codes(&of(&[mock("mock", "{fail: unauthenticated}")]), &["export"], 12);
    codes(&of(&[guest("loops", "{}")]), &["export"], 13);
    codes(&of(&[mock("mock", "{http_url: 'https://example.invalid/'}")]), &["export"], 14);
    drop(lock);
    std::fs::write(good.path("root/store/agent.db"), vec![7; 8192]).unwrap();
    codes(&good, &["export"], 20);
    codes(&of(&[mock("mock", "{recods: 1}")]), &["export"], 78);
    // 130 is in `interrupt`.
}

#[test]
fn a_store_without_a_file_of_its_marks_is_damaged() {
    let bench = Bench::new().integrations(&[mock("mock", "{records: 70000, projects: 1}")]);
    bench.export().code(0);
    let marks = tests::files_below(&bench.path("root/store/marks"));
    assert!(!marks.is_empty(), "so many marks lie in a file");
    std::fs::remove_file(&marks[0]).unwrap();
    bench.export().code(20).says("it is not there").says("agent doctor");
}

#[test]
fn credentials_that_are_refused_are_told_by_every_call() {
    let bench = Bench::new().integrations(&[mock("mock", "{fail: unauthenticated}")]);
    let change = "--data={\"ref_id\":\"P1-1\",\"title\":\"x\"}";
    for arguments in [
        &["export"][..],
        &["validate-config"],
        &["check"],
        &["onboard", "mock", "users"],
        &["mutate", "mock", "issue.set_title", change],
        &["webhook", "mock", "--header=x-mock-event=ping", "--body=x"],
    ] {
        bench.run(arguments).code(12).says("unauthenticated");
    }
    // Also where the fault is one of those that trying the configuration found.
    let answer = r#"{"ok": false, "errors": ["the URL is slow", "unauthenticated: 401"]}"#;
    let bench = Bench::new().integrations(&[liar("liar", &json!({ "answer": answer }))]);
    bench.run(&["validate-config"]).code(12).says("the URL is slow");
    let bench =
        Bench::new().integrations(&[liar("liar", &json!({ "error": "unauthenticated: the token has expired" }))]);
    bench.run(&["export"]).code(12).says("the token has expired");
}

// --- one beside the others

#[test]
fn one_that_fails_leaves_the_others_alone_whatever_it_does() {
    let bench = Bench::new().integrations(&[
        mock("good", "{records: 3}"),
        guest("panics", "{}"),
        guest("loops", "{}"),
        mock("denied", "{http_url: 'https://example.invalid/'}"),
        mock("misconfigured", "{recods: 1}"),
        integration("absent", "./absent.wasm", "{}", "{}"),
        mock("refused", "{fail: unauthenticated}"),
        mock("also-good", "{records: 3, unique: b-}"),
    ]);
    let report = bench.report(3, &[]);
    let outcomes: Vec<(&str, &str)> = report["integrations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(
        outcomes,
        [
            ("good", "ok"),
            ("panics", "trapped"),
            ("loops", "limit"),
            ("denied", "denied"),
            ("misconfigured", "bad_config"),
            ("absent", "bad_config"),
            ("refused", "unauthenticated"),
            ("also-good", "ok")
        ]
    );
    assert_eq!((bench.sink().count("good"), bench.sink().count("also-good")), (18, 18));
    let output = bench.export().code(3);
    output
        .says("absent: badly configured: agent.yaml:9:")
        .says("there is no file")
        .says("agent.yaml:8:")
        .says("recods");
    bench.run(&["check", "--offline"]).code(3).says("there is no file");
    // Nothing is left that could run: then it is a fault of the configuration, told before anything is made.
    let bench = Bench::new().integrations(&[integration("absent", "./absent.wasm", "{}", "{}")]);
    bench.export().code(78).says("the configuration has 1 fault");
    assert!(!bench.path("root").exists());
}

#[test]
fn calls_run_beside_an_agent_and_leave_its_logs_alone() {
    let bench = Bench::new().integrations(&[mock("mock", "{records: 1}")]);
    bench.export().code(0);
    let logs = |bench: &Bench| (bench.read("root/logs/export.log"), bench.read("root/logs/integrations/mock.log"));
    let before = logs(&bench);
    let lock = std::fs::File::options().read(true).write(true).open(bench.path("root/lock")).unwrap();
    lock.lock().unwrap();
    bench.export().code(11);
    for arguments in [
        &["validate-config"][..],
        &["check"],
        &["discover"],
        &["onboard", "mock", "users"],
        &["mutate", "mock", "issue.set_priority", "--data={\"ref_id\":\"P1-1\",\"priority\":\"high\"}"],
        &["webhook", "mock", "--header=x-mock-event=ping", "--body=x"],
        &["config", "schema"],
    ] {
        bench.run(arguments).code(0);
    }
    assert!(logs(&bench) == before, "the export's files are as they were");
    assert!(!bench.path("root/logs/integrations/mock.log.1").exists());
    for command in ["validate-config", "check", "export-onboard-data", "mutate", "webhook"] {
        assert!(bench.path(&format!("root/logs/{command}.log")).exists(), "{command}");
    }
    drop(lock);
    bench.export().code(0);
}

#[test]
fn what_a_guest_logs_in_a_call_is_in_the_commands_file() {
    let bench = Bench::new().integrations(&[integration("panics", "${GUESTS}/guest_panics.wasm", "{}", "{}")]);
    // It panics in `export` only; a trap in any call goes the same way, and so does its manifest's.
    bench.run(&["validate-config", "--log-level=debug"]).code(0);
    assert!(bench.path("root/logs/validate-config.log").exists());
    assert!(!bench.path("root/logs/integrations").exists());
}

// --- check, discover, the schema

#[test]
fn check_says_what_is_missing_as_lines_to_paste() {
    let web = "  - name: web\n    component: mock\n    config: {http_url: 'https://api.example.com/x', http_credential: mock-token}\n";
    let bench = Bench::new().integrations(&[web.to_owned()]);
    let output = bench.run(&["check", "--offline"]).code(14);
    output.says("not granted: https://api.example.com GET, mock-token");
    // What it says can be pasted, and then nothing is missing but the credential's value.
    let at = output.stdout.find("grants:\n").expect("lines to paste");
    let pasted: String = output.stdout[at..]
        .lines()
        .take_while(|line| !line.contains('✓') && !line.contains('–') && !line.is_empty())
        .map(|line| {
            let line = line.strip_prefix("        ").unwrap_or(line);
            format!("    {line}\n")
        })
        .collect();
    let bench = bench.integrations(&[format!("{web}{pasted}")]);
    let output = bench.run(&["check", "--offline"]).code(78);
    output.says("✓ ok       grants").says("mock-token: the variable MOCK_TOKEN is not set");
    bench.write("token", "secret");
    let with_file = pasted.replace("env: MOCK_TOKEN", "file: ./token").replace("GET", "GET,POST");
    let bench = bench.integrations(&[format!("{web}{with_file}")]);
    let output = bench.run(&["check", "--offline"]).code(0);
    output.says("1 of 1 have a value").says("1 of 1 integration could run");
    assert!(!output.stdout.contains("secret"));
    let narrow = with_file.replace("https://api.example.com GET,POST", "https://api.example.com/x GET");
    let bench = bench.integrations(&[format!("{web}{narrow}")]);
    bench.run(&["check", "--offline"]).code(0).says("only a part of what it asks for");
}

#[test]
fn faults_of_an_integrations_configuration_have_their_line() {
    let bench = Bench::new().config(&format!(
        "{HEAD}  - name: mock\n    component: mock\n    config:\n      records: 7\n      recods: 7\n      repos:\n        - {{name: x, url: y, ref_id: z}}\n        - {{name: x}}\n"
    ));
    let output = bench.export().code(78);
    output.says(
        "agent.yaml:8:7: integrations[0].config.recods: there is no setting of this name; did you mean `records`?",
    );
    output.says("agent.yaml:11:11: integrations[0].config.repos[1]: ");
    let report = bench.report(78, &[]);
    assert_eq!(report["integrations"][0]["faults"][0]["line"], 8, "{report:#}");
    // By flags, the flag is the place.
    let flags =
        ["export", "--pinpoint-root=.", "--integrations-json=[{\"name\":\"mock\",\"config\":{\"records\":\"x\"}}]"];
    Bench::new().run(&flags).code(78).says("--integrations-json:1:").says("[0].config.records");
}

#[test]
fn discover_shows_what_a_component_is_without_a_configuration() {
    let bench = Bench::new();
    compiled::give(compiled::all(), &bench.path(".agent/cache/components"));
    // All that lies in the folder, the guest with the bad manifest included.
    bench.run(&["discover"]).code(3).says("mock: mock").says("guest_bad_manifest");
    let output = bench.run(&["discover", "mock"]).code(0);
    for text in [
        "mock.Issue",
        "key /ref_id",
        "workconfig",
        "issue.add_comment",
        "x-mock-event",
        "mock-token",
        "git repositories",
    ] {
        output.says(text);
    }
    bench.run(&["discover", "moc"]).code(78).says("did you mean `mock`?");
    bench.write("text.wasm", "no component");
    bench.run(&["discover", "./text.wasm", "mock"]).code(3).says("is not WebAssembly");
}

#[test]
fn the_merged_schema_holds_each_integrations_configuration() {
    let bench = Bench::new().integrations(&[
        mock("mock", "{}"),
        integration("hello", "${GUESTS}/guest_hello.wasm", "{url: 'https://x.invalid'}", "{}"),
    ]);
    let schema = bench.run(&["config", "schema"]).code(0).json();
    assert!(jsonschema::meta::is_valid(&schema));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let document = |component: &str, config: Option<Value>| {
        let mut one = json!({"name": "x", "component": component});
        one.as_object_mut().unwrap().extend(config.map(|config| ("config".to_owned(), config)));
        json!({"integrations": [one]})
    };
    for (component, config, good) in [
        ("mock", None, true),
        ("mock", Some(json!({"records": 1})), true),
        ("mock", Some(json!({"recods": 1})), false),
        ("mock", Some(json!({"records": "1"})), false),
        ("./integration_mock.wasm", Some(json!({"recods": 1})), false),
        ("./other.wasm", Some(json!({"recods": 1})), true),
        ("./guest_hello.wasm", Some(json!({"url": "https://x"})), true),
        ("${GUESTS}/guest_hello.wasm", Some(json!({"url": 7})), false),
        ("guest_hello", None, false),
        ("unknown", Some(json!({"a": 1})), true),
    ] {
        let document = document(component, config);
        assert_eq!(validator.is_valid(&document), good, "{document}");
    }
    // A file that is being written has faults, and the schema is to help with them.
    let broken = bench.config("integrations: [\n");
    broken.run(&["config", "schema"]).code(0).says("the configuration has faults");
    let named = broken.run(&["config", "schema", "mock", "--quiet"]).code(0);
    assert!(serde_json::from_str::<Value>(&named.stdout).unwrap()["$defs"]["config-mock"].is_object());
    let plain: Value = serde_json::from_str(&broken.run(&["config", "schema", "--plain"]).code(0).stdout).unwrap();
    assert!(plain["$defs"]["integration"].get("allOf").is_none());
}

#[test]
fn a_secret_setting_stays_marked_in_the_merged_schema() {
    let bench = Bench::new();
    let manifest = json!({
        "schema": 1, "name": "secretive", "version": "1.0.0", "ref_type": "s",
        "config": {"type": "object", "properties": {"token": {"$ref": "#/$defs/token"}}, "$defs": {"token": {"type": "string", "writeOnly": true}}},
    });
    bench.write("secretive.wasm", liar_with(&manifest.to_string()));
    let schema = bench.run(&["config", "schema", "./secretive.wasm"]).code(0).json();
    let own = &schema["$defs"]["config-._secretive.wasm"];
    assert_eq!(own["$defs"]["token"]["writeOnly"], true, "{:#}", schema["$defs"]);
    assert_eq!(own["properties"]["token"]["$ref"], "#/$defs/config-._secretive.wasm/$defs/token");
    assert!(!jsonschema::validator_for(&schema).unwrap().is_valid(&json!({
        "integrations": [{"name": "s", "component": "x/secretive.wasm", "config": {"token": 7}}]
    })));
}

// --- manifests and records that lie

/// Members of a manifest that lies, and what is said.
fn lying_manifests() -> Vec<(Value, &'static str)> {
    let things = |n: usize| -> Value { (0..n).map(|_| json!({"name": "a.B", "key": ["/id"], "schema": {}})).collect() };
    vec![
        (json!({"models": [{"name": "a.B", "key": ["/id"], "schema": {"type": "objct"}}]}), "/models/0/schema"),
        (json!({"models": [{"name": "a.B", "key": ["/id"], "schema": {"$ref": "#"}}]}), "it is no JSON Schema"),
        (json!({"models": [{"name": "a.B", "key": ["/id"], "schema": {"pattern": "("}}]}), "it is no JSON Schema"),
        (json!({"config": {"type": "object", "properties": {"a": {"type": 7}}}}), "/config"),
        (json!({"models": things(2)}), "`a.b` is there twice"),
        (json!({"mutations": ["a", "a"]}), "/mutations"),
        (json!({"schema": 2}), "/schema"),
        (json!({"asks": {"network": [{"host": "*"}]}}), "/asks/network/0"),
        (json!({"asks": {"network": [{"host": "a.com", "unless": "b.com"}]}}), "unless"),
    ]
}

#[test]
fn a_manifest_that_lies_is_told_with_the_place() {
    for (members, said) in lying_manifests() {
        let mut manifest =
            json!({"schema": 1, "name": "l", "version": "1.0.0", "ref_type": "l", "config": {"type": "object"}});
        manifest.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let bench =
            Bench::new().integrations(&[integration("l", "./l.wasm", "{}", "{}"), mock("mock", "{records: 1}")]);
        bench.write("l.wasm", liar_with(&manifest.to_string()));
        bench.export().code(3).says(said).says("l: badly configured: the component's manifest has faults");
        assert_eq!(bench.sink().count("mock"), 12, "{members}");
    }
}

#[test]
fn a_manifest_that_asks_for_everything_is_given_nothing() {
    let network: Vec<Value> = (0..256).map(|i| json!({"host": format!("*.h{i}.example")})).collect();
    let manifest = json!({
        "schema": 1, "name": "greedy", "version": "1.0.0", "ref_type": "g", "config": {"type": "object"},
        "asks": {"network": &network[..150], "credentials": [{"name": "all"}], "git": true},
    });
    let bench = Bench::new().integrations(&[integration("greedy", "./greedy.wasm", "{}", "{}")]);
    bench.write("greedy.wasm", liar_with(&manifest.to_string()));
    bench.export().code(0);
    bench.run(&["check", "--offline"]).code(14).says("not granted: https://*.h0.example").says("*.h149.example");
}

#[test]
fn records_that_do_not_fit_their_schema_are_told_and_delivered() {
    let records: Vec<Value> = (0..9)
        .map(|i| if i < 2 { json!({"id": i.to_string(), "n": i}) } else { json!({"id": i.to_string(), "n": "x"}) })
        .collect();
    let bench = Bench::new().integrations(&[liar("liar", &json!({ "records": records }))]);
    let output = bench.export().code(3);
    output
        .says("liar: partial: 7 records of lie.Thing, of 9 looked at, do not fit the manifest's schema, as `2` at /n");
    assert_eq!(bench.sink().count("liar"), 9);
    let log = bench.read("root/logs/integrations/liar.log");
    assert_eq!(log.matches("a record does not fit the schema").count(), 5, "{log}");
    assert!(log.contains("pointer=/n") && log.contains("key=2"), "{log}");
    let bench = Bench::new().integrations(&[mock("mock", "{records: 10, fail: misfit}")]);
    let misfits = &bench.report(3, &[])["integrations"][0]["misfits"];
    assert_eq!((&misfits[0]["model"], &misfits[0]["misfits"]), (&json!("mock.Issue"), &json!(1)));
    assert_eq!(misfits[0]["examples"][0]["pointer"], "/status");
}

// --- configurations that lead back to themselves

#[test]
fn cycles_are_told() {
    let bench = Bench::new();
    for (text, said) in [
        ("integrations: &a [*a]\n", "agent.yaml:1"),
        ("integrations: &a {b: *a}\n", "agent.yaml:1"),
        ("root: ${A:-${A}}\nintegrations: [{name: a, component: mock}]\n", "a variable within a variable"),
        ("integrations: [{name: a, component: ./loop.wasm}]\n", "loop.wasm"),
        ("integrations: [{name: a, component: mock}, {name: A, component: mock}]\n", "differs only in case"),
    ] {
        bench.write("agent.yaml", text);
        if !bench.path("loop.wasm").is_symlink() {
            std::os::unix::fs::symlink("loop.wasm", bench.path("loop.wasm")).unwrap();
        }
        bench.export().code(78).says(said);
    }
}

#[test]
fn every_command_teaches() {
    for command in [
        "export",
        "check",
        "discover",
        "validate-config",
        "onboard",
        "export-onboard-data",
        "mutate",
        "webhook",
        "status",
        "doctor",
        "force-historical",
    ] {
        let help: Output = Bench::new().run(&[command, "--help"]).code(0);
        assert!(help.stdout.contains("Example"), "{command}: {}", help.stdout);
        assert!(help.stdout.contains(&format!("agent {command}")), "{command}");
    }
}

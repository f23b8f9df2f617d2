//! `agent test` as an author uses it: cassettes are recorded, what comes of them is written and held from then on, each check
//! finds what it is for and says where and what to do, and CI gets what it reads.

use std::path::Path;

use serde_json::{Value, json};
use tests::{Bench, Output};

use crate::commands::{fits, liar_with};
use crate::run_wasm::{component, left, run, server};

/// A bench with a folder `it` for an integration.
fn bench() -> Bench {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("it/cassettes")).unwrap();
    bench
}

/// `agent test it` with this component.
fn test(bench: &Bench, name: &str, more: &[&str]) -> Output {
    bench.run(&[&["test", "it", "--component", &component(name)], more].concat())
}

/// The result for programs, in its published form.
#[track_caller]
fn result(bench: &Bench, name: &str, code: i32, more: &[&str]) -> Value {
    let result = test(bench, name, &[more, &["--json"]].concat()).code(code).json();
    fits("test", &result);
    assert_eq!(left(bench), Vec::<std::path::PathBuf>::new());
    result
}

/// The one check of this name, of this cassette.
#[track_caller]
fn check<'r>(result: &'r Value, cassette: Option<&str>, name: &str) -> &'r Value {
    let checks = result["checks"].as_array().unwrap();
    let mut found = checks.iter().filter(|check| check["check"] == name && check["cassette"] == json!(cassette));
    let one = found.next().unwrap_or_else(|| panic!("no check {name}: {result:#}"));
    assert!(found.next().is_none(), "{name} twice: {result:#}");
    one
}

#[track_caller]
fn state(result: &Value, cassette: Option<&str>, name: &str) -> String {
    check(result, cassette, name)["state"].as_str().unwrap().to_owned()
}

fn record(bench: &Bench, guest: &str, cassette: &str, more: &[&str]) {
    let file = format!("it/cassettes/{cassette}.har");
    run(bench, guest, &[more, &["--record", &file, "--records", "none"]].concat()).code(0);
}

const MOCK: &str = "integration_mock";

#[test]
fn an_integration_is_recorded_and_held_to_it() {
    let bench = bench();
    record(&bench, MOCK, "first", &["export", "projects=1", "records=4", "checkpoint_every=2"]);
    record(&bench, MOCK, "projects", &["onboard", "projects", "projects=2"]);
    record(&bench, MOCK, "title", &["mutate", "issue.set_title", r#"{"ref_id":"P1-1","title":"New"}"#]);
    record(&bench, MOCK, "event", &["webhook", "--header", "x-mock-event: ping"]);
    record(&bench, MOCK, "tried", &["validate-config", "records=1"]);
    let before = result(&bench, MOCK, 1, &[]);
    assert_eq!((&before["failed"], state(&before, Some("first"), "expected")), (&json!(5), "failed".to_owned()));
    assert!(check(&before, Some("first"), "expected")["mend"].as_str().unwrap().contains("--update"));
    assert_eq!(result(&bench, MOCK, 0, &["--update"])["failed"], 0);

    let held = result(&bench, MOCK, 0, &[]);
    for name in ["replay", "expected", "records", "duplicates", "deterministic", "resume"] {
        assert_eq!(state(&held, Some("first"), name), "ok");
    }
    assert!(check(&held, Some("first"), "resume")["note"].as_str().unwrap().ends_with("7 records compared"));
    assert_eq!(check(&held, None, "validate-config")["note"], "on tried");
    // What no cassette uses is told, and nothing is broken by it.
    let unused = check(&held, None, "permissions");
    assert_eq!((&unused["state"], &held["warnings"]), (&json!("warning"), &json!(1)));
    assert!(unused["place"].as_str().unwrap().contains("git: true"), "{unused}");
    let lines = bench.read("it/cassettes/first.ndjson");
    let head: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((&head["call"], &head["outcome"]), (&json!("export"), &json!("ok")));
    assert_eq!(lines.lines().count(), 1 + 7);

    // Somebody changes the integration, as it looks from here.
    bench.write("it/cassettes/first.ndjson", lines.replacen("Document the login", "Forget the login", 1));
    test(&bench, MOCK, &[])
        .code(1)
        .says("FAILED   first: expected")
        .says("1 different: mock.Issue P1-1")
        .says(r#"mock.Issue P1-1: /record/title should be "Forget the login" and is "Document the login""#)
        .says("where: cassettes/first.ndjson")
        .says("1 failed, 1 warning");
    test(&bench, MOCK, &["--only", "title"]).code(0).says("title: expected");
    bench.write("it/agent-test.yaml", "skip: {expected: they are written anew}\n");
    let skipped = result(&bench, MOCK, 0, &["--skip", "resume", "--only", "first"]);
    assert!(check(&skipped, Some("first"), "expected")["note"].as_str().unwrap().contains("they are written anew"));
    assert_eq!(state(&skipped, Some("first"), "resume"), "skipped");
}

#[test]
fn programs_and_ci_get_what_they_read() {
    let bench = bench();
    record(&bench, MOCK, "a<b", &["export", "projects=0", "records=0"]);
    let arguments = ["--skip", "resume", "--lines", "--junit", "report.xml"];
    let output = test(&bench, MOCK, &arguments).code(1);
    let checks: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(checks[0]["check"], "describe");
    let all = result(&bench, MOCK, 1, &["--skip", "resume"]);
    let names = |checks: &[Value]| checks.iter().map(|check| check["check"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&checks), names(all["checks"].as_array().unwrap()));
    let xml = bench.read("report.xml");
    for said in [
        r#"<testsuite name="mock.a&lt;b" "#,
        r#"<testcase classname="mock.a&lt;b" name="expected""#,
        r#"<failure message="nothing says what should come of it" type="expected">"#,
        r#"<skipped message="left out by --skip"/>"#,
    ] {
        assert!(xml.contains(said), "{said}: {xml}");
    }
    assert_eq!(xml.matches("<testcase ").count(), checks.len());
}

#[test]
fn faults_are_found_by_the_check_that_is_for_them() {
    let bench = bench();
    // Records: one that does not fit, and one that is there twice.
    record(&bench, "guest_liar", "twice", &[r#"records:=[{"id":"a","n":1},{"id":"a","n":2}]"#]);
    let misfit = r#"records:=[{"id":"a","n":"x"}]"#;
    run(&bench, "guest_liar", &[misfit, "--record", "it/cassettes/misfit.har"]).code(3);
    let found = result(&bench, "guest_liar", 1, &["--update"]);
    assert_eq!(check(&found, Some("twice"), "duplicates")["place"], "lie.Thing a");
    let misfit = check(&found, Some("misfit"), "records");
    assert_eq!((&misfit["state"], &misfit["place"]), (&json!("failed"), &json!("lie.Thing a, /n")));
    assert_eq!(state(&found, Some("misfit"), "resume"), "skipped", "its run is not ok");
    // Resumption; and what is sent again as it was.
    for (fault, name, said) in [
        ("drops", "resume", "killed after host call 3, session.checkpoint:"),
        ("repeats", "duplicates", "as they were"),
    ] {
        let bench = self::bench();
        record(&bench, "guest_careless", "first", &["export", &format!("fault={fault}")]);
        let found = result(&bench, "guest_careless", 1, &["--update"]);
        let check = check(&found, Some("first"), name);
        assert!(check["state"] == "failed" && check["fault"].as_str().unwrap().contains(said), "{check}");
    }
    // A credential that the manifest does not ask for.
    let (url, _) = server("-");
    let bench = self::bench();
    let refused = ["export", &format!("url={url}/{{}}"), "options:=[[\"auth\",\"other\"]]", "--allow-asked"];
    run(&bench, "guest_fetch", &[&refused[..], &["--record", "it/cassettes/refused.har"]].concat());
    let found = result(&bench, "guest_fetch", 1, &["--update"]);
    let denied = check(&found, None, "permissions");
    assert!(denied["state"] == "failed" && denied["mend"].as_str().unwrap().contains("other"), "{denied}");
}

#[test]
fn a_manifest_is_judged_before_anything_is_played() {
    let bench = bench();
    let manifest = |config: Value| {
        json!({"schema": 1, "name": "liar", "version": "0.1.0", "ref_type": "liar", "config": config,
            "models": [{"name": "lie.Thing", "key": ["/id"], "schema": {"type": "object"}}]})
    };
    let with = |config: Value| bench.write("it/one.wasm", liar_with(&manifest(config).to_string()));
    let token = json!({"type": "object", "properties": {"api_token": {"type": "string"}}});
    with(token);
    record_with(&bench, "it/one.wasm");
    let found = bench.run(&["test", "it", "--update", "--json"]).code(1).json();
    let unmarked = check(&found, None, "config-schema");
    assert!(unmarked["place"].as_str().unwrap().ends_with("/api_token"), "{unmarked}");
    bench.write("it/agent-test.yaml", "not_secret: {/api_token: it is a name}\n");
    bench.run(&["test", "it"]).code(0).says("/api_token is no secret: it is a name");
    with(json!({"type": "object", "properties": {"api_token": {"type": "string", "writeOnly": true}}}));
    bench.run(&["test", "it"]).code(1).says("take it out of `not_secret`");
    // A schema that is none is told by `describe`, and nothing is played.
    with(json!({"type": 7}));
    let found = bench.run(&["test", "it", "--json"]).code(1).json();
    let described = check(&found, None, "describe");
    assert!(described["fault"].as_str().unwrap().contains("/config"), "{described}");
    assert_eq!(found["checks"].as_array().unwrap().len(), 1);
}

fn record_with(bench: &Bench, file: &str) {
    bench.run(&["run-wasm", file, "export", "--record", "it/cassettes/first.har"]).code(0).says("recorded");
}

#[test]
fn a_folder_that_is_none_is_said() {
    let bench = bench();
    let mock = component(MOCK);
    let empty = result(&bench, MOCK, 1, &[]);
    let cassettes = check(&empty, None, "cassettes");
    assert!(cassettes["mend"].as_str().unwrap().contains("--record cassettes/first.har"), "{cassettes}");
    assert_eq!(result(&bench, MOCK, 0, &["--skip", "cassettes"])["failed"], 0);
    bench.run(&["test", "it"]).code(2).says("no component (*.wasm)");
    bench.run(&["test", "nowhere"]).code(2).says("there is no such folder");
    test(&bench, MOCK, &["--skip", "nothing"]).code(2).says("there is no check `nothing`").says("deterministic");
    test(&bench, MOCK, &["--only", "none"]).code(2).says("cassettes/none.har");
    test(&bench, MOCK, &["--root", "x"]).code(2).says("leave --root");
    bench.write("it/agent-test.yaml", "componnet: x\n");
    test(&bench, MOCK, &[]).code(78).says("agent-test.yaml").says("componnet");
    bench.write("it/agent-test.yaml", format!("component: {}\n", Path::new(&mock).display()));
    bench.write("it/cassettes/gone.ndjson", "");
    bench.write("it/cassettes/damaged.har", "{\"log\": ");
    let output = bench.run(&["test", "it"]).code(1);
    output.says("cassettes/gone.ndjson").says("FAILED   damaged: replay").says("it is no HAR");
}

/// What this repository has recorded of its own integrations (`scripts/record-cassettes.sh`): they keep to it.
#[test]
fn our_integrations_keep_to_their_cassettes() {
    let bench = Bench::new();
    let agent_test = |name: &str, more: &[&str]| {
        let folder = tests::repository().join("integrations").join(name);
        let component = component(&format!("integration_{name}"));
        let arguments = [&["test", folder.to_str().unwrap(), "--component", &component, "--json"], more].concat();
        let result = bench.run(&arguments).code(0).json();
        fits("test", &result);
        result
    };
    let mock = agent_test("mock", &["--kills", "10"]);
    assert_eq!((&mock["failed"], &mock["warnings"], &mock["skipped"]), (&json!(0), &json!(0), &json!(0)), "{mock:#}");
    // Every call of the contract is on some cassette.
    for call in ["asked", "event", "first", "projects", "repositories", "title", "tried"] {
        assert_eq!(state(&mock, Some(call), "expected"), "ok");
    }
    let github = agent_test("github", &["--kills", "10"]);
    // A run that resumes asks since when; only the source knows (`github::`).
    assert_eq!(state(&github, Some("first"), "expected"), "ok");
    assert_eq!(github["failed"], 0, "{github:#}");
}

//! The contract as it is published: the WIT files against the last released ones, manifests and summaries against their
//! schemas.

use agent::config::Limits;
use agent::logs::{LogConfig, Logs};
use agent::sandbox::{Call, CallEnd, Door, Sandbox};
use agent::shutdown::Shutdown;
use serde_json::Value;
use tests::{Bench, files_below, guests, mock, repository};
use tracing::Level;
use wit_parser::{Resolve, WorldId};

/// The folder of the last released contract.
const RELEASED: &str = "tests/contract/0.1.0";

/// The manifest of a guest, as the agent asks for it: in a cage with nothing granted. Not judged.
pub fn describe(guest: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::new(&folder.path().join("cache")).unwrap();
    let loaded = sandbox.load(&guests().join(guest)).unwrap();
    let (level, command) = (Level::ERROR, "describe".to_owned());
    let logs = Logs::without_subscriber(LogConfig { dir: None, command, level, json: false, quiet: true });
    let shutdown = Shutdown::default();
    let door = Door::nothing(guest, &logs, &shutdown);
    let limits = Limits::default();
    let call = sandbox.call(&loaded, door, &limits, Call::Describe, &shutdown);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(call).end {
        CallEnd::Ok(manifest) => serde_json::from_str(&manifest).unwrap(),
        end => panic!("{guest}: {end:?}"),
    }
}

/// Adds a package under another version than its own, so that two of one version can stand beside each other. The check
/// does not look at versions.
fn world(resolve: &mut Resolve, package: &str, version: &str) -> WorldId {
    let own = package.lines().find(|line| line.starts_with("package ")).unwrap();
    let text = package.replace(own, &format!("package agent:integration@{version};"));
    let package = resolve.push_str("package.wit", &text).unwrap();
    resolve.select_world(&[package], Some("agent-integration")).unwrap()
}

/// A component built for a released contract must find in the current one all that it was built for.
fn compatible(released: &str, current: &str) -> Result<(), String> {
    let mut resolve = Resolve::default();
    let before = world(&mut resolve, released, "98.0.0");
    let after = world(&mut resolve, current, "99.0.0");
    wit_component::semver_check(resolve, before, after).map_err(|error| format!("{error:#}"))
}

fn wit(folder: &str) -> String {
    let files = files_below(&repository().join(folder));
    let files: Vec<_> = files.iter().filter(|file| file.extension().is_some_and(|end| end == "wit")).collect();
    assert_eq!(files.len(), 1, "the contract is one file: {files:?}");
    std::fs::read_to_string(files[0]).unwrap()
}

#[test]
fn the_contract_is_compatible_with_the_last_released_one() {
    compatible(&wit(RELEASED), &wit("wit")).unwrap();
}

/// Changes to the contract, and whether they break components that are built.
const CHANGES: &[(&str, &str, bool)] = &[
    (
        "log: func(level: string, message: string, fields: list<pair>);",
        "log: func(level: string, message: string);",
        false,
    ),
    ("    denied(string),\n", "", false),
    ("    status: u16,", "    status: u32,", false),
    ("  log: func(level", "  flush: func();\n\n  @since(version = 0.1.0)\n  log: func(level", true),
];

#[test]
fn the_check_finds_what_would_break_components() {
    let released = wit(RELEASED);
    for (text, instead, good) in CHANGES {
        assert!(released.contains(text), "{text}");
        let changed = compatible(&released, &released.replace(text, instead));
        assert_eq!(changed.is_ok(), *good, "{text} → {instead}: {changed:?}");
    }
}

fn schema(name: &str) -> jsonschema::Validator {
    let text = std::fs::read_to_string(repository().join("wit/schemas").join(name)).unwrap();
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

fn faults(schema: &jsonschema::Validator, document: &Value) -> Vec<String> {
    schema.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn every_manifest_has_the_published_form() {
    let published = schema("manifest.json");
    let mut components = 0;
    for file in files_below(&guests()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        if file.parent() != Some(&*guests()) || !name.ends_with(".wasm") {
            continue;
        }
        let faults = faults(&published, &describe(name));
        assert_eq!(faults.is_empty(), name != "guest_bad_manifest.wasm", "{name}: {faults:?}");
        components += 1;
    }
    assert!(components >= 8, "only {components} components are built: run `make guests`");
}

#[test]
fn every_session_of_a_run_has_the_published_form() {
    let published = schema("session-summary.json");
    for fail in ["null", "error", "rollback", "skip"] {
        let bench = Bench::new().integrations(&[mock("mock", &format!("{{records: 4, projects: 2, fail: {fail}}}"))]);
        let report = bench.run(&["export", "--json"]).json();
        let sessions = report["integrations"][0]["sessions"].as_array().unwrap();
        assert!(sessions.len() > 3, "{report:#}");
        for session in sessions {
            assert_eq!(faults(&published, session), Vec::<String>::new(), "{session:#}");
        }
    }
}

//! Documents as they are published: manifests of real components and summaries of real runs against their schemas. The WIT
//! files are held in `contract`.

use agent::config::Limits;
use agent::logs::{LogConfig, Logs};
use agent::sandbox::{self, Call, CallEnd, Compiler, Door, Sandbox};
use agent::shutdown::Shutdown;
use serde_json::Value;
use tests::{Bench, compiled, guests, mock, repository};
use tracing::Level;

/// The manifest of a guest, as the agent asks for it: in a cage with nothing granted. Not judged.
pub fn describe(guest: &str) -> Value {
    let _ = compiled::compile(guest);
    let options = sandbox::Options { compiler: Compiler::InProcess, ..sandbox::Options::default() };
    let sandbox = Sandbox::new(&compiled::folder(), &options).unwrap();
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

/// A schema of `wit/schemas`.
pub fn schema(name: &str) -> jsonschema::Validator {
    let text = std::fs::read_to_string(repository().join("wit/schemas").join(name)).unwrap();
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

/// What is wrong with a document.
pub fn faults(schema: &jsonschema::Validator, document: &Value) -> Vec<String> {
    schema.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn every_manifest_has_the_published_form() {
    let published = schema("manifest.json");
    let mut components = 0;
    // Those of other languages are in `languages`.
    let ours = |name: &String| name.starts_with("guest_") || name.starts_with("integration_");
    for name in compiled::all().into_iter().filter(ours) {
        let faults = faults(&published, &describe(&name));
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

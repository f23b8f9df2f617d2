//! Threat 24: a component's file that is not the one that the operator has looked at.

use std::fs;

use serde_json::Value;
use tests::{Bench, HEAD, guests, mock};

/// The SHA-256 of a file, as the operator is shown it.
fn sha256(bench: &Bench, file: &str) -> String {
    let report: Value = bench.run(&["inspect", file, "--json"]).code(0).json();
    report["digest"].as_str().unwrap_or_else(|| panic!("{report}")).to_owned()
}

fn config(pin: &str) -> String {
    format!("{HEAD}  - {{name: one, component: ./one.wasm{pin}}}\n{}", mock("other", "{}"))
}

#[test]
fn threat_24_another_file_under_a_pinned_name_is_not_run() {
    let bench = Bench::new();
    let original = fs::read(guests().join("integration_mock.wasm")).unwrap();
    bench.write("one.wasm", &original);
    let pinned = sha256(&bench, "one.wasm");
    let bench = bench.config(&config(&format!(", sha256: {}", pinned.to_uppercase())));
    bench.run(&["export"]).code(0);
    // The same component for an engine, with four bytes more: a section that says nothing.
    bench.write("one.wasm", [&original[..], &[0, 2, 1, b'x']].concat());
    let found = sha256(&bench, "one.wasm");
    assert_ne!(found, pinned);
    // What was loaded and compiled before does not help it, and neither does a component that is as good as any.
    for _ in 0..2 {
        let report = bench.report(3, &[]);
        let integrations = report["integrations"].as_array().unwrap();
        let reason = integrations[0]["reason"].as_str().unwrap();
        assert_eq!(integrations[0]["outcome"], "bad_config", "{reason}");
        for part in ["is not the file that was pinned", &pinned, &found, "agent inspect"] {
            assert!(reason.contains(part), "{part} is not in: {reason}");
        }
        assert_eq!(
            (&integrations[0]["host_calls"], &integrations[1]["outcome"]),
            (&Value::from(0), &Value::from("ok"))
        );
        fs::copy(guests().join("guest_loops.wasm"), bench.path("one.wasm")).unwrap();
        let report = bench.report(3, &[]);
        assert_eq!(report["integrations"][0]["outcome"], "bad_config");
        bench.write("one.wasm", [&original[..], &[0, 2, 1, b'x']].concat());
    }
    // Once it is agreed to, it runs; and where nothing is pinned, any does.
    for pin in [format!(", sha256: {found}"), String::new()] {
        bench.write("agent.yaml", config(&pin));
        bench.run(&["export"]).code(0);
    }
}

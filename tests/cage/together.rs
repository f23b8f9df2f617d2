//! Every guest that no toolchain makes, and the worst of those that one does, each with its limit, in one agent beside an
//! integration that does nothing wrong: each ends its own run, and the agent's memory stays bounded.

use serde_json::Value;
use tests::{Bench, HEAD, integration, mock};

use super::guests;

/// A guest, what it is made by, and how its run must end. What goes wrong before `export` is called, goes wrong in `describe`.
type Case = (&'static str, fn() -> Vec<u8>, &'static str, &'static str);

const CASES: &[Case] = &[
    ("good", guests::good, "ok", ""),
    ("loops-in-start", guests::loops_in_start, "bad_config", "cpu_time_max (5 s) was reached; it is fixed here"),
    ("loops-in-realloc", guests::loops_in_realloc, "limit", "cpu_time_max (0.5 s)"),
    ("loops-in-realloc-of-a-host-call", guests::loops_in_realloc_of_a_host_call, "limit", "cpu_time_max (0.5 s)"),
    ("loops-in-destructor", guests::loops_in_destructor, "limit", "cpu_time_max (0.5 s)"),
    ("many-memories-grow", guests::many_memories_grow, "limit", "memory_bytes_max (33554432 bytes)"),
    ("too-many-memories", guests::too_many_memories, "bad_config", "memories_max (32 memories)"),
    ("too-many-tables", guests::too_many_tables, "bad_config", "tables count exceeds limit"),
    ("large-table", guests::large_table, "limit", "memory_bytes_max (33554432 bytes)"),
    ("recurses", guests::recurses, "limit", "stack_bytes_max (524288 bytes)"),
    ("much-random", guests::much_random, "limit", "random_bytes_max (65536 bytes)"),
    ("leaks-timers", guests::leaks_timers, "limit", "handles_max (4096 handles)"),
    ("traps-by-name", guests::traps_by_name, "trapped", "unreachable"),
    ("mangled-name", guests::mangled_name, "trapped", "unreachable"),
    ("forged-debug-info", guests::forged_debug_info, "trapped", "unreachable"),
    ("heavy-instances", guests::heavy_instances, "bad_config", "memory_bytes_max"),
];

/// Cases of the guest `misuse` that take most of the host.
const WORST: &[(&str, &str)] = &[
    ("log-flood", "ok"),
    ("stdout-flood", "ok"),
    ("many-strings", "limit"),
    ("some-strings", "ok"),
    ("too-large-batch", "failed"),
    ("too-many-sessions", "failed"),
    ("long-paths", "failed"),
    ("state-churn", "failed"),
    ("huge-error", "failed"),
    ("output", "limit"),
];

/// The most that the agent may hold with all of them at once: each of the guests may have 32 MiB, and some of them make
/// the host hold as much again for a moment. Without limits one of them alone takes gigabytes.
const PEAK_BYTES_MAX: u64 = 1 << 30;

fn bench() -> Bench {
    let limits = "{memory: 32MiB, cpu_time: 500ms, wall_time: 10m}";
    let worse = "{memory: 64MiB, cpu_time: 1m, wall_time: 10m, output: 20MiB}";
    let each = CASES.iter().map(|(name, ..)| integration(name, &format!("./{name}.wasm"), "{}", limits));
    let worst = WORST
        .iter()
        .map(|(name, _)| integration(name, "${GUESTS}/guest_misuse.wasm", &format!("{{do: {name}}}"), worse));
    let all: String = each.chain(worst).chain([mock("mock", "{}")]).collect();
    let bench = Bench::new().config(&format!("{HEAD}{all}"));
    for (name, make, ..) in CASES {
        bench.write(&format!("{name}.wasm"), make());
    }
    bench
}

#[test]
fn each_ends_its_own_run_and_the_agent_stays_small() {
    let bench = bench();
    let (code, peak) = bench.start(&["export", "--json", "--output-file", "result.json"]).code_and_peak();
    let report: Value = serde_json::from_str(&bench.read("result.json")).unwrap();
    let find = |name: &str| {
        report["integrations"].as_array().unwrap().iter().find(|of| of["name"] == name).expect(name).clone()
    };
    let mut faults = Vec::new();
    for (name, _, outcome, said) in CASES {
        let found = find(name);
        let reason = found["reason"].as_str().unwrap_or_default();
        if found["outcome"] != *outcome || !reason.contains(said) {
            faults.push(format!("{name}: {}: {reason}", found["outcome"]));
        }
    }
    for (name, outcome) in WORST {
        let found = find(name);
        if found["outcome"] != *outcome {
            faults.push(format!("{name}: {}: {}", found["outcome"], found["reason"]));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!((code, &find("mock")["outcome"], bench.sink().count("mock")), (3, &"ok".into(), 309));
    assert!(peak < PEAK_BYTES_MAX, "the agent held {} MiB", peak >> 20);
    println!("peak of the agent: {} MiB", peak >> 20);
    // Of the guest with a quota, only what it had committed.
    assert_eq!(bench.sink().ids("output/misuse.Thing"), ["committed"]);
    // A trap is told with the way to it, a line for each frame.
    let log = bench.read("root/logs/integrations/traps-by-name.log");
    let place =
        |name: &str| log.lines().position(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {log}"));
    assert!(place("innermost_of_all") < place("in_between"), "{log}");
}

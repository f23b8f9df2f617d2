//! What a guest, or a server that it talks to, may try on the network, by its number in the list of threats of the design;
//! each over both interfaces, the contract's own and standard `wasi:http`: they have one door, and this holds them to it.
//! What needs a resolver or a clock of its own is tested beside the door, in `host/agent/src/egress`.
//!
//! | Threats | Where |
//! |---|---|
//! | 1–7 where a request goes and what is in it, 25 by whichever interface | `threats/requests.rs` |
//! | 8, 9 what comes back, 13, 14 waiting, and servers that lie | `threats/answers.rs` |
//! | 15 output, 16 logs | `misuse.rs`, cases `output`, `staged`, `log-flood`, `forged-log`, `stdout-flood`; `cage/together.rs` |
//! | 20 git | `threats/git.rs`; `host/agent/src/git` where a clone or a folder is made by hand |
//! | 24 components that are not what was agreed to | `threats/pinned.rs` |

use serde_json::{Value, json};
use tests::{Bench, HEAD};

mod answers;
mod git;
mod pinned;
mod requests;
// The other side of connections; the ban is on opening them.
#[allow(clippy::disallowed_types)]
pub mod server;

const INTERFACES: [&str; 2] = ["own", "wasi"];

/// What is granted where nothing else is said: these ports of this machine, whole.
fn local(ports: &[u16]) -> String {
    local_and(ports, "")
}

/// The same, and more.
fn local_and(ports: &[u16], more: &str) -> String {
    let rules: Vec<String> = ports.iter().map(|port| format!("'http://127.0.0.1:{port}/'")).collect();
    format!("{{network: [{}], private_hosts: [127.0.0.1]{more}}}", rules.join(", "))
}

/// Fetches by each interface, in one run; what came of the first page. No test waits for tries that it does not ask for.
#[track_caller]
fn fetched(more: &Value, grants: &str) -> [Value; 2] {
    let bench = bench(more, grants);
    bench.run(&["export"]).code(0);
    first_pages(&bench)
}

#[track_caller]
fn first_pages(bench: &Bench) -> [Value; 2] {
    let sink = bench.sink();
    INTERFACES.map(|interface| sink.records[&format!("{interface}/fetch.Page")][0].clone())
}

fn bench(more: &Value, grants: &str) -> Bench {
    bench_with("", more, grants, "{}")
}

/// An integration for each interface, with these settings of the agent, this of its own configuration, and these limits.
fn bench_with(settings: &str, more: &Value, grants: &str, limits: &str) -> Bench {
    let integrations = INTERFACES.map(|interface| fetcher(interface, interface, more, grants, limits));
    Bench::new().config(&format!("{settings}{HEAD}{}", integrations.concat()))
}

/// One integration that fetches.
fn fetcher(name: &str, interface: &str, more: &Value, grants: &str, limits: &str) -> String {
    let mut config = json!({"interface": interface, "options": [["retries", "0"]], "keep": 4096});
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    let component = "\"${GUESTS}/guest_fetch.wasm\"";
    format!("  - {{name: {name}, component: {component}, config: {config}, grants: {grants}, limits: {limits}}}\n")
}

/// Insists that both failed, by these words.
#[track_caller]
fn refused(pages: &[Value; 2], own: &str, standard: &str) {
    for (page, words) in pages.iter().zip([own, standard]) {
        let error = page["error"].as_str().unwrap_or_default();
        assert!(error.contains(words), "`{words}` is not in {page}");
    }
}

/// Insists that both failed, each in its own words.
#[track_caller]
fn failed(pages: &[Value; 2], why: &str) {
    assert!(pages.iter().all(|page| page["error"].is_string()), "{why}: {pages:?}");
}

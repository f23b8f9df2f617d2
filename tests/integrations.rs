//! Adding integrations as an operator does it: what one asks for is shown and agreed to, its file is pinned, a changed one is
//! refused, and an upgrade that asks for more waits for consent.

use std::fs;

use serde_json::json;
use tests::{Bench, HEAD, compiled, guests};

use crate::commands::fits;
use crate::secrets::server::{Server, answer};

/// Puts a built guest in the bench, as the component `it.wasm`.
fn install(bench: &Bench, guest: &str) {
    compiled::give([guest], &bench.path("root/cache/components"));
    fs::copy(guests().join(guest), bench.path("it.wasm")).unwrap();
}

/// A bench that runs `it.wasm` under the name `it`, with this configuration and these grants.
fn bench(guest: &str, config: &str, grants: &str) -> Bench {
    let bench = Bench::new()
        .config(&format!("{HEAD}  - {{name: it, component: ./it.wasm, config: {config}, grants: {grants}}}\n"));
    install(&bench, guest);
    bench
}

#[test]
fn what_it_asks_for_is_shown_and_nothing_changes_before_somebody_agrees() {
    let bench = bench("guest_leaks.wasm", "{url: 'http://127.0.0.1:1'}", "{}");
    let shown = bench.run(&["integrations", "add", "it.wasm", "--name", "it"]).code(14);
    for said in [
        "requests of every kind at the servers that its setting /url names",
        "the credential `token`, put in by the host: Whatever can be had",
        "the credential `key`, from its setting /key, in the header x-key",
        "the credential `login`, from its setting /password, as a password",
        "send requests, within the rules above and no others (agent:integration/http)",
        "export records (agent:integration/session)",
        "nothing is changed",
    ] {
        shown.says(said);
    }
    assert!(!bench.path("root/integrations").exists());
    bench.run(&["integrations", "list"]).code(0).says("not added: any file is run");
    let told = bench.run(&["integrations", "add", "it.wasm", "--name", "it", "--json"]).code(14).json();
    fits("integrations-add", &told);
    assert_eq!((&told["agreed"], &told["before"]), (&json!(false), &json!(null)));
    let agreed = bench.run(&["integrations", "add", "it.wasm", "--name", "it", "--json", "--yes"]).code(0).json();
    fits("integrations-add", &agreed);
    assert_eq!(agreed["network"], json!(["all that it asks for"]));
    let listed = bench.run(&["integrations", "list", "--json"]).code(0).json();
    fits("integrations-list", &listed);
    assert_eq!(listed["integrations"][0]["state"], "agreed");
    assert_eq!(listed["integrations"][0]["digest"], agreed["digest"]);
}

/// A bench for guests that read lists from a server, which has none.
fn lists(guest: &str) -> (Bench, Server) {
    let server = Server::answering(|_, _| answer("200 OK", "", b"[]"));
    let config = json!({"url": server.url(""), "pages": 1}).to_string();
    (bench(guest, &config, "{private_hosts: [127.0.0.1]}"), server)
}

#[test]
fn another_file_under_the_name_is_refused_until_it_was_looked_at() {
    let (bench, _server) = lists("guest_hello.wasm");
    bench.run(&["integrations", "add", "it.wasm", "--name", "it", "--yes"]).code(0);
    bench.export().code(0);
    // The same name, another file: nothing of it runs, not even `describe`.
    install(&bench, "guest_leaks.wasm");
    let refused = bench.export().code(14);
    refused.says("is not the file that was agreed to as `it`").says("agent integrations diff it");
    bench.run(&["check", "--offline"]).code(14).says("consent");
    bench.run(&["validate-config"]).code(14);
    bench.run(&["mutate", "it", "leak", "--data={}"]).code(14);
    bench.run(&["integrations", "list"]).code(0).says("CHANGED, not run");
    // The difference, in words; and it still is not agreed to.
    let diff = bench.run(&["integrations", "diff", "it"]).code(14);
    diff.says("It is another file, and asks for more:").says("  + ").says("credential `token`");
    let told = bench.run(&["integrations", "diff", "it", "--json"]).code(14).json();
    fits("integrations-diff", &told);
    assert!(!told["more"].as_array().unwrap().is_empty() && told["unchanged"] == json!(false), "{told}");
    bench.run(&["integrations", "add", "it.wasm", "--name", "it"]).code(14).says("nothing is changed");
    bench.export().code(14);
    bench.run(&["integrations", "add", "it.wasm", "--name", "it", "--yes"]).code(0);
    bench.export().code(0);
    // One that asks for less, and takes any configuration: what was a secret would be handed to it, and that is more.
    install(&bench, "guest_hello.wasm");
    bench.export().code(14);
    bench.run(&["integrations", "diff", "it"]).code(14).says("be handed its setting /password in clear").says("  - ");
    bench.run(&["integrations", "add", "it.wasm", "--name", "it"]).code(14);
    bench.run(&["integrations", "add", "it.wasm", "--name", "it", "--yes"]).code(0);
    bench.export().code(0);
}

#[test]
fn a_byte_that_is_changed_makes_another_file() {
    let (bench, _server) = lists("guest_hello.wasm");
    bench.run(&["integrations", "add", "it.wasm", "--name", "it", "--yes"]).code(0);
    bench.export().code(0);
    let mut bytes = fs::read(bench.path("it.wasm")).unwrap();
    // A custom section of nothing: a component as good as before, and not the one that was agreed to.
    bytes.extend([0, 2, 1, b'x']);
    fs::write(bench.path("it.wasm"), bytes).unwrap();
    bench.export().code(14).says("is not the file that was agreed to");
    bench.run(&["integrations", "diff", "it"]).code(0).says("asks for the same");
    // Forgotten, it is run like any other; what was granted is gone too.
    bench.run(&["integrations", "remove", "it"]).code(0);
    bench.export().code(14).says("grants.network");
    bench.run(&["integrations", "remove", "it"]).code(2).says("no integration `it` was added");
}

#[test]
fn what_is_agreed_to_is_granted_and_may_be_narrowed() {
    let server = Server::answering(|_, _| answer("200 OK", "", b"ok"));
    let url = server.url("/{}");
    let bench = bench(
        "guest_fetch.wasm",
        &json!({"url": url, "options": [["retries", "0"]]}).to_string(),
        "{private_hosts: [127.0.0.1]}",
    );
    let status = || {
        bench.run(&["export", "--reprocess-historical"]).code(0);
        bench.sink().records["it/fetch.Page"].last().unwrap()["status"].clone()
    };
    assert!(status().is_null(), "nothing is granted yet");
    bench.run(&["integrations", "add", "it.wasm", "--name", "it", "--yes"]).code(0);
    assert_eq!(status(), 200);
    bench.run(&["integrations", "grant", "it", "--nothing"]).code(0).says("nothing");
    assert!(status().is_null());
    let rule = format!("{} POST", server.url("/"));
    bench.run(&["integrations", "grant", "it", "--only", &rule]).code(0);
    assert!(status().is_null(), "it reads, and may only post");
    let rule = format!("{} GET", server.url("/"));
    let granted = bench.run(&["integrations", "grant", "it", "--only", &rule, "--json"]).code(0).json();
    fits("integrations-grant", &granted);
    assert_eq!(status(), 200);
    // What was narrowed stays narrow over an upgrade.
    bench.run(&["integrations", "grant", "it", "--nothing"]).code(0);
    bench.run(&["integrations", "add", "it.wasm", "--name", "it", "--yes"]).code(0).says("nothing");
    assert!(status().is_null());
    bench.run(&["integrations", "grant", "it", "--asked"]).code(0);
    assert_eq!(status(), 200);
    let removed = bench.run(&["integrations", "remove", "it", "--json"]).code(0).json();
    fits("integrations-grant", &removed);
    assert!(status().is_null());
}

#[test]
fn what_cannot_be_added_is_told() {
    let bench = bench("guest_hello.wasm", "{}", "{}");
    fs::write(bench.path("text.wasm"), "no component").unwrap();
    for (arguments, code, said) in [
        (&["add", "text.wasm"][..], 78, "cannot be run here"),
        (&["add", "missing.wasm"], 1, "missing.wasm"),
        (&["add", "it.wasm", "--name", "../it"], 2, "is not a name for an integration"),
        (&["add", "it.wasm", "--name", ".."], 2, "is not a name for an integration"),
        (&["add", "it.wasm", "--name=-x"], 2, "is not a name for an integration"),
        (&["add", "it.wasm", "--name", ""], 2, "is not a name for an integration"),
        (&["diff", "../it"], 2, "is not a name for an integration"),
        (&["remove", "../it"], 2, "is not a name for an integration"),
        (&["add", "it.wasm", "--only", "nowhere"], 2, "is not a rule"),
        (&["diff", "it"], 2, "no integration `it` was added"),
        (&["grant", "it", "--asked"], 2, "no integration `it` was added"),
        (&["grant", "it"], 2, "--asked"),
    ] {
        bench.run(&[&["integrations"][..], arguments].concat()).code(code).says(said);
    }
    fits("error", &bench.run(&["integrations", "add", "text.wasm", "--json"]).code(78).json());
    // What was agreed to and cannot be read is not taken for nothing.
    bench.run(&["integrations", "add", "it.wasm", "--name", "it", "--yes"]).code(0);
    bench.write("root/integrations/it.json", "{");
    bench.export().code(78).says("what was agreed to as `it` cannot be read").says("integrations add FILE --name it");
}

/// One consent that is damaged hides no other, and is mended by agreeing again, or forgotten.
#[test]
fn a_damaged_consent_is_named_and_mended() {
    let bench = bench("guest_hello.wasm", "{}", "{}");
    for name in ["it", "other"] {
        bench.run(&["integrations", "add", "it.wasm", "--name", name, "--yes"]).code(0);
    }
    bench.write("root/integrations/it.json", "{");
    let listed = bench.run(&["integrations", "list"]).code(0);
    listed.says("DAMAGED, not run").says("agreed").says("it.json: EOF while parsing").says("2 integrations");
    let listed = bench.run(&["integrations", "list", "--json"]).code(0).json();
    fits("integrations-list", &listed);
    let states: Vec<&str> =
        listed["integrations"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["damaged", "agreed"]);
    bench.run(&["integrations", "grant", "it", "--asked"]).code(1).says("integrations add FILE --name it");
    // As if nothing had been agreed to: somebody has to look.
    let told = bench.run(&["integrations", "add", "it.wasm", "--name", "it", "--json"]).code(14).json();
    fits("integrations-add", &told);
    assert!(told["fault"].as_str().unwrap().contains("it.json") && told["before"].is_null(), "{told}");
    bench.run(&["integrations", "add", "it.wasm", "--name", "it", "--yes"]).code(0).says("is as good as nothing");
    bench.run(&["integrations", "list"]).code(0).says("2 integrations");
    bench.write("root/integrations/it.json", "{");
    bench.run(&["integrations", "remove", "it"]).code(0);
    bench.run(&["integrations", "list"]).code(0).says("not added: any file is run");
}

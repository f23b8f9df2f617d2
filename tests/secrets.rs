//! Secrets as users see them: where they may come from, that the host puts them into requests and a guest never sees one, that
//! none is in anything the agent writes or says, whatever a guest or a server tries, and that what a secret is exchanged for is
//! renewed and kept. The safe's own format is tested beside it, in `host/agent/src/secrets`.

mod exchange;
mod kept;
pub mod server;

use std::path::Path;

use serde_json::{Value, json};
use server::{Server, base64};
use tests::{Bench, HEAD, Output, compiled, files_below};

use crate::commands::fits;

/// What must be nowhere: one for each credential. None looks like an ordinary word in any of its forms.
const TOKEN: &str = "Canary/Token+1 of?4";
const KEY: &str = "canary-key-2-of-4";
const PASSWORD: &str = "Canary:Password=3%of&4";
const QUERY: &str = "canary\"query'4<of>4";
const ALL: [&str; 4] = [TOKEN, KEY, PASSWORD, QUERY];

/// The guest's own settings, marked as secrets by its manifest, and what is granted by name.
fn leaks(server: &Server, more: &Value) -> String {
    let mut config = json!({
        "url": server.url(""), "elsewhere": "http://localhost:1",
        "key": {"env": "LEAKS_KEY"}, "password": {"command": ["/bin/cat", "password"]},
    });
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    let grants = json!({
        "network": [server.url("/")], "private_hosts": ["127.0.0.1"],
        "credentials": {
            "token": {"secret": "token", "bearer": true, "hosts": ["127.0.0.1"]},
            "query": {"file": "query", "query": {"name": "key"}, "hosts": ["127.0.0.1"]},
        },
    });
    format!(
        "{HEAD}  - {{name: leaks, component: \"${{GUESTS}}/guest_leaks.wasm\", config: {config}, grants: {grants}}}\n"
    )
}

/// A bench with all four secrets in their places, and the guest that wants them.
fn bench(server: &Server, more: &Value) -> Bench {
    let bench = Bench::new().config(&leaks(server, more));
    // Of `run-wasm` too, whose user's own folders are in the bench here.
    compiled::give(["guest_leaks.wasm"], &bench.path(".cache/agent/components"));
    bench.write("query", QUERY);
    bench.write("password", format!("{PASSWORD}\n"));
    let kept = bench
        .shell_with(&[("TOKEN_VALUE", TOKEN)], "printf %s \"$TOKEN_VALUE\" | \"$AGENT\" secrets set token --root root");
    assert_eq!(kept.code, 0, "{kept:?}");
    bench
}

fn run(bench: &Bench, line: &str) -> Output {
    bench.shell_with(&[("LEAKS_KEY", KEY)], &format!("\"$AGENT\" {line}"))
}

/// Every form in which somebody would recognize a secret.
fn forms(secret: &str) -> Vec<String> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent = |keeps: &dyn Fn(u8) -> bool| -> String {
        secret
            .bytes()
            .map(|byte| if keeps(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") })
            .collect()
    };
    let quoted = Value::from(secret).to_string();
    let mut forms = vec![
        secret.to_owned(),
        hex,
        percent(&|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)),
        percent(&|_| false),
        quoted[1..quoted.len() - 1].to_owned(),
        secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;"),
    ];
    for before in ["", "a", "ab"] {
        let whole = base64(format!("{before}{secret}").as_bytes());
        // What depends on the secret alone: all but the first and the last characters.
        let core = whole.trim_end_matches('=');
        let core = core[(before.len() * 8).div_ceil(6)..core.len() - 1].to_owned();
        forms.push(core.replace('+', "-").replace('/', "_"));
        forms.push(core);
    }
    forms.iter().map(|form| form.to_lowercase()).collect()
}

/// Insists that a text holds no secret in any form.
#[track_caller]
fn clean(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    for secret in ALL {
        for form in forms(secret) {
            assert!(!text.contains(&form), "`{form}` is in {what}");
        }
    }
}

/// Insists that nothing that a run said and wrote holds a secret, but for the places where they are kept.
#[track_caller]
fn nothing_leaked(bench: &Bench, output: &Output) {
    clean("standard output", output.stdout.as_bytes());
    clean("standard error", output.stderr.as_bytes());
    let mut files = 0;
    for file in files_below(&bench.path("")) {
        let own = |name: &str| file == bench.path(name);
        if own("query") || own("password") {
            continue;
        }
        files += 1;
        let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        clean(&file.display().to_string(), &bytes);
    }
    // The configuration, the safe and its key, and what the command itself has written.
    assert!(files > 3, "only {files} files were looked at");
}

#[test]
fn no_secret_is_in_anything_whatever_a_guest_and_a_server_try() {
    let server = Server::new();
    for (end, code) in [("ok", 0), ("error", 1), ("panic", 13)] {
        let bench = bench(&server, &json!({"end": end}));
        let output = run(&bench, "export --json --output-file result.json --log-level trace");
        assert_eq!(output.code, code, "{output:?}");
        nothing_leaked(&bench, &output);
        // And it did try: the server was given each of them, and its answers came back without.
        let tried = &bench.sink().records["leaks/leaks.Loot"];
        let struck = tried.iter().filter(|loot| loot["text"].as_str().unwrap().contains("[redacted]")).count();
        assert!(tried.len() > 50 && struck > 40, "{} records, {struck} struck", tried.len());
        assert!(run(&bench, "status --json").code == 0);
        nothing_leaked(&bench, &run(&bench, "status"));
        nothing_leaked(&bench, &run(&bench, "doctor"));
    }
    for secret in ALL {
        assert!(server.was_given(secret), "{secret} never went out: the test tries nothing");
    }
}

#[test]
fn no_secret_is_in_what_calls_say() {
    let server = Server::new();
    for (line, code) in [
        ("validate-config --output-file result.json", 1),
        ("check --output-file result.json", 1),
        ("mutate leaks leak --data '{}' --json", 0),
        ("discover --json", 0),
        ("config schema leaks", 0),
        ("integrations list --json", 0),
    ] {
        let bench = bench(&server, &json!({}));
        let output = run(&bench, &format!("{line} --log-level trace"));
        assert_eq!(output.code, code, "{line}: {output:?}");
        nothing_leaked(&bench, &output);
    }
    let bench = bench(&server, &json!({"end": "error"}));
    let output = run(&bench, "mutate leaks leak --data '{}'").code(1);
    output.says("[redacted]");
    nothing_leaked(&bench, &output);
}

#[test]
fn a_component_that_is_run_for_its_author_gets_none_either() {
    let server = Server::new();
    let bench = bench(&server, &json!({}));
    bench.write("settings.json", json!({"url": server.url(""), "key": {"env": "LEAKS_KEY"}}).to_string());
    let line = "run-wasm \"$GUESTS/guest_leaks.wasm\" export --config-file settings.json --allow-asked --allow-private 127.0.0.1 \
         --credential token=secret:token@127.0.0.1 --root root --report json --report-file report.json --log-level trace";
    let output = run(&bench, line);
    assert_eq!(output.code, 0, "{output:?}");
    nothing_leaked(&bench, &output);
    assert!(output.stdout.contains("[redacted]"), "{}", output.stdout);
}

/// Nor is any on a cassette, however it went into a request, whatever the guest and the server made of it; and what is on it can be
/// played where there are no secrets at all.
#[test]
fn no_secret_is_on_a_cassette() {
    let server = Server::new();
    let bench = bench(&server, &json!({}));
    let settings = json!({
        "url": server.url(""), "elsewhere": "http://localhost:1", "key": {"env": "LEAKS_KEY"},
        "password": {"command": ["/bin/cat", "password"]},
    });
    bench.write("settings.json", settings.to_string());
    let line = "run-wasm \"$GUESTS/guest_leaks.wasm\" export --config-file settings.json --allow-asked --allow-private 127.0.0.1 \
         --credential token=secret:token@127.0.0.1 --credential 'query={file: query, query: {name: key}, hosts: [127.0.0.1]}' \
         --root root --record all.har --output first.ndjson --log-level trace";
    let output = run(&bench, line);
    assert_eq!(output.code, 0, "{output:?}");
    for secret in ALL {
        assert!(server.was_given(secret), "{secret} never went out: the test tries nothing");
    }
    nothing_leaked(&bench, &output);
    let har: Value = serde_json::from_str(&bench.read("all.har")).unwrap();
    let names = |entry: &Value| entry["_agent"]["credential"].as_str().map(str::to_owned);
    let named: std::collections::BTreeSet<String> =
        har["log"]["entries"].as_array().unwrap().iter().filter_map(names).collect();
    for credential in ["token", "key", "login", "query"] {
        assert!(named.contains(credential), "{credential} is nowhere by its name: {named:?}");
    }
    for file in ["query", "password", "settings.json"] {
        std::fs::remove_file(bench.path(file)).unwrap();
    }
    let seen = server.seen().len();
    for name in ["second.ndjson", "third.ndjson"] {
        let line = format!("run-wasm \"$GUESTS/guest_leaks.wasm\" --replay all.har --strict --output {name}");
        let output = bench.shell(&format!("\"$AGENT\" {line}"));
        assert_eq!(output.code, 0, "{output:?}");
    }
    assert_eq!(server.seen().len(), seen, "nobody was asked");
    assert_eq!(bench.read("third.ndjson"), bench.read("second.ndjson"));
    assert_eq!(bench.read("second.ndjson").lines().count(), bench.read("first.ndjson").lines().count());
}

#[test]
fn a_guest_sees_placeholders_and_not_what_was_written() {
    let server = Server::new();
    // Written in the configuration itself: not wise, and not handed over all the same.
    let bench = bench(&server, &json!({"key": KEY, "password": PASSWORD}));
    run(&bench, "export").code(0);
    let records = &bench.sink().records["leaks/leaks.Loot"];
    let config = records.iter().find(|loot| loot["ref_id"] == "config").unwrap()["text"].as_str().unwrap().to_owned();
    assert!(
        config.contains(r#""key":"secret:/key""#) && config.contains(r#""password":"secret:/password""#),
        "{config}"
    );
    let given = server.seen();
    assert!(given.iter().any(|request| request.contains(&format!("x-key: key={KEY}\r\n"))), "{given:?}");
    let login = base64(format!("me:{PASSWORD}").as_bytes());
    assert!(given.iter().any(|request| request.contains(&format!("authorization: Basic {login}\r\n"))), "{given:?}");
    std::fs::remove_file(bench.path("agent.yaml")).unwrap();
    nothing_leaked(&bench, &run(&bench, "status --root root"));
}

#[test]
fn a_redirect_to_another_origin_takes_nothing_along() {
    let (server, elsewhere) = (Server::new(), Server::new());
    let bench = Bench::new().config(&leaks(&server, &json!({"elsewhere": elsewhere.url("")})).replace(
        &format!("\"{}\"]", server.url("/")),
        &format!("\"{}\",\"{}\"]", server.url("/"), elsewhere.url("/")),
    ));
    bench.write("query", QUERY);
    bench.write("password", PASSWORD);
    bench.shell("printf %s x-token-x | \"$AGENT\" secrets set token --root root").code(0);
    run(&bench, "export").code(0);
    let there = elsewhere.seen();
    assert!(!there.is_empty(), "nothing was redirected: the test tries nothing");
    for request in there {
        clean("a request to another origin", request.as_bytes());
        let head = request.to_lowercase();
        assert!(
            !head.contains("authorization:") && !head.contains("x-key:") && !head.contains("x-token-x"),
            "{request}"
        );
    }
}

#[test]
fn what_cannot_be_read_is_said_and_what_it_holds_is_not() {
    let server = Server::new();
    let bench = bench(
        &server,
        &json!({"password": {"command": ["/bin/sh", "-c", "echo Canary:Password=3%of&4; exit 1"]}, "key": 12345}),
    );
    let output = run(&bench, "check --offline");
    assert_eq!(output.code, 78, "{output:?}");
    output.says("config.key").says("{secret: NAME}");
    assert!(!output.stdout.contains("12345"), "{output:?}");
    let bench = self::bench(&server, &json!({"password": {"command": ["/bin/sh", "-c", "echo half-of-it; exit 1"]}}));
    let output = run(&bench, "check --offline").code(78);
    output.says("login: the program /bin/sh fails");
    assert!(!output.stdout.contains("half-of-it"), "{output:?}");
    bench.run(&["secrets", "remove", "token", "--root", "root"]).code(0);
    run(&bench, "check --offline").code(78).says("agent secrets set token");
}

// --- the command

#[test]
fn secrets_are_kept_listed_and_removed() {
    let bench = Bench::new();
    bench.run(&["secrets", "list", "--root", "root"]).code(0).says("There are no secrets");
    bench.shell("printf %s canary-one | \"$AGENT\" secrets set one --root root").code(0).says("one is set.");
    bench.shell("echo canary-two | \"$AGENT\" secrets set one --root root").code(0).says("one is replaced.");
    let listed = bench.run(&["secrets", "list", "--root", "root", "--json"]).code(0).json();
    fits("secrets", &listed);
    assert_eq!(listed["secrets"][0]["name"], "one");
    fits("secrets", &bench.shell("echo x-canary | \"$AGENT\" secrets set two --root root --json").code(0).json());
    fits("secrets", &bench.run(&["secrets", "remove", "two", "--root", "root", "--json"]).code(0).json());
    bench.run(&["secrets", "remove", "two", "--root", "root"]).code(2).says("there is no secret `two`");
    // Never from the command line, and no value that was meant for it is repeated.
    let given = bench.run(&["secrets", "set", "one", "canary-three", "--root", "root"]).code(2);
    assert!(!given.stdout.contains("canary-two"), "{given:?}");
    bench.shell("printf '' | \"$AGENT\" secrets set one --root root").code(2).says("0 bytes");
    bench.shell("printf x | \"$AGENT\" secrets set 'a/b' --root root").code(2).says("not a name for a secret");
    for file in files_below(&bench.path("root")) {
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        assert!(!text.contains("canary"), "{}", file.display());
        assert!(mode(&file) & 0o077 == 0, "{} may be read by others", file.display());
    }
}

fn mode(file: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(file).unwrap().mode()
}

#[test]
fn the_key_may_lie_elsewhere_and_without_it_nothing_opens() {
    let bench = Bench::new();
    let key = "0123456789abcdef".repeat(4);
    let with = |line: &str| bench.shell_with(&[("AGENT_SECRETS_KEY", &key)], line);
    with("echo canary | \"$AGENT\" secrets set one --root root").code(0);
    assert!(!bench.path("root/secrets/key").exists());
    bench.run(&["secrets", "list", "--root", "root"]).code(1).says("their key is gone");
    with("\"$AGENT\" secrets list --root root").code(0).says("one");
    bench.write("key", &key);
    let file = |mode: &str| {
        bench.shell(&format!("chmod {mode} key; AGENT_SECRETS_KEY_FILE=key \"$AGENT\" secrets list --root root"))
    };
    file("644").code(1).says("chmod 600");
    file("600").code(0).says("one");
    bench.write("key", "f".repeat(64));
    file("600").code(1).says("another key");
}

#[test]
fn a_running_agent_leaves_no_core_and_shows_nobody_its_memory() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let config = json!({"url": url, "pages": 1});
    let grants = json!({
        "network": [url], "private_hosts": ["127.0.0.1"],
        "credentials": {"token": {"file": "token", "bearer": true, "hosts": ["127.0.0.1"]}},
    });
    let bench = Bench::new().config(&format!(
        "{HEAD}  - {{name: leaks, component: \"${{GUESTS}}/guest_leaks.wasm\", config: {config}, grants: {grants}}}\n"
    ));
    bench.write("token", "canary-in-memory");
    let running = bench.start(&["export"]);
    // It has its secret by then.
    let accepted = silent.accept().unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    // What cannot be dumped belongs to root, and to nobody else.
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::metadata(format!("/proc/{}/mem", running.id())).unwrap().uid();
    assert_eq!(owner, 0);
    drop((running, accepted));
}

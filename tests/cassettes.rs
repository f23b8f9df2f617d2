//! Cassettes as an author uses them: what a run saw is written down and played again, to the byte and without a network; no
//! secret stands in the file; what does not match is told; a browser's file plays too; and faults that are put in arrive.

mod hostile;
mod odd_files;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tests::{Bench, Output};

use crate::run_wasm::{report, run};

const TOKEN: &str = "hunter2-hunter2";

fn fetch(bench: &Bench, more: &[&str]) -> Output {
    run(bench, "guest_fetch", more)
}

/// A server whose every answer is another, and has in it what it was sent as `authorization`; with a cookie. Its URL, and how
/// often it was asked.
fn server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut sent = String::new();
            for line in BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok) {
                if line.to_lowercase().starts_with("authorization:") {
                    sent = line[14..].trim().to_owned();
                }
                if line.is_empty() {
                    break;
                }
            }
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let body = json!({"number": number, "echo": sent, "access_token": "made-just-now"}).to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\ncontent-type: application/json\r\nset-cookie: sid=of-this-run\r\n\
                 connection: close\r\n\r\n",
                body.len()
            );
            // Whoever asked may have gone.
            drop(stream.write_all(format!("{head}{body}").as_bytes()));
        }
    });
    (url, count)
}

/// What a run is granted that may ask the server.
const GRANTS: [&str; 3] = ["--allow-asked", "--allow-private", "127.0.0.1"];

/// A run is recorded with many requests at a time and a credential; the replay asks nobody and sends the same, byte by byte.
#[test]
fn a_replay_is_the_run_to_the_byte_and_asks_nobody() {
    let (url, asked) = server();
    let bench = Bench::new();
    bench.write("token", TOKEN);
    let url = format!("url={url}/{{}}");
    let call = ["export", &url, "pages:=12", "at_once:=4", "keep:=200", "options:=[[\"auth\",\"token\"]]"];
    let credential = ["--credential", "token=file:token@127.0.0.1"];
    let recorded = report(
        &bench,
        "guest_fetch",
        0,
        &[&call[..], &GRANTS, &credential, &["--record", "a.har", "--output", "first.ndjson"]].concat(),
    );
    assert_eq!((&recorded["cassette"]["mode"], &recorded["cassette"]["requests"]), (&json!("recorded"), &json!(12)));
    assert_eq!(asked.load(Ordering::SeqCst), 12);
    let first = bench.read("first.ndjson");
    assert_eq!(first.lines().count(), 12);
    assert!(first.contains(r#"\"number\":11"#), "{first}");

    let file = bench.read("a.har");
    for secret in [TOKEN, "of-this-run", "made-just-now"] {
        assert!(!file.contains(secret), "{secret} stands in the cassette");
    }
    let har: Value = serde_json::from_str(&file).unwrap();
    assert_eq!(har["log"]["version"], "1.2");
    let entry = &har["log"]["entries"][0];
    assert_eq!(entry["_agent"]["credential"], "token", "the secret's name stands there");
    for (member, expected) in [("method", json!("GET")), ("headers", json!([])), ("queryString", json!([]))] {
        assert_eq!(entry["request"][member], expected);
    }
    assert!(entry["response"]["headers"].to_string().contains("sid={{secret:cookie}}"), "{entry:#}");

    // Neither call nor configuration nor grants are given: they are the cassette's.
    let replayed = ["--replay", "a.har", "--strict", "--output", "second.ndjson"];
    let told = report(&bench, "guest_fetch", 0, &replayed);
    let cassette = &told["cassette"];
    for (member, expected) in [("mode", json!("replayed")), ("strict", json!(true)), ("requests", json!(12))] {
        assert_eq!(cassette[member], expected);
    }
    for member in ["loose", "unmatched_count", "unused_count", "left_out"] {
        assert_eq!(cassette[member], 0, "{member}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 12, "nobody was asked");
    // What the run kept of cookies and fresh tokens is their names in the replay; all else is the same.
    let named = first.replace("of-this-run", "{{secret:cookie}}").replace("made-just-now", "{{secret:access_token}}");
    let second = bench.read("second.ndjson");
    let without_sizes = |text: &str| -> Vec<Value> {
        text.lines()
            .map(|line| {
                let mut line: Value = serde_json::from_str(line).unwrap();
                line["record"]["bytes"] = Value::Null;
                line
            })
            .collect()
    };
    assert_eq!(without_sizes(&second), without_sizes(&named));
    report(&bench, "guest_fetch", 0, &["--replay", "a.har", "--strict", "--output", "third.ndjson"]);
    assert_eq!(bench.read("third.ndjson"), second, "and again, to the byte");
}

/// By the standard's interface too: how many answers each poll found is on the cassette.
#[test]
fn a_replay_of_standard_requests_is_the_run_too() {
    let (url, asked) = server();
    let bench = Bench::new();
    let url = format!("url={url}/{{}}");
    let call = ["export", &url, "interface=wasi", "pages:=12", "at_once:=4", "keep:=14"];
    let recorded = [&call[..], &GRANTS, &["--record", "a.har", "--output", "first.ndjson"]].concat();
    fetch(&bench, &recorded).code(0).says("12 requests recorded in");
    fetch(&bench, &["--replay", "a.har", "--strict", "--output", "second.ndjson"]).code(0);
    assert_eq!(asked.load(Ordering::SeqCst), 12);
    let kept = |name: &str| -> Vec<String> {
        let record = |line: &str| serde_json::from_str::<Value>(line).unwrap()["record"].clone();
        bench.read(name).lines().map(record).map(|record| format!("{} {}", record["ref_id"], record["kept"])).collect()
    };
    assert_eq!(kept("first.ndjson").len(), 12);
    assert_eq!(kept("second.ndjson"), kept("first.ndjson"), "in the order in which they came");
    let har: Value = serde_json::from_str(&bench.read("a.har")).unwrap();
    let polls = har["log"]["_agent"]["answers"]["wasi:io.poll"].as_array().unwrap();
    assert!(!polls.is_empty(), "{har:#}");
    // Another order is played as it is written: all of one poll's answers at once, and from the last.
    fetch(&bench, &["--replay", "a.har", "--strict", "--output", "third.ndjson"]).code(0);
    assert_eq!(bench.read("third.ndjson"), bench.read("second.ndjson"), "and again, to the byte");
}

/// Cursors and state are on the cassette: a run that was incremental is played without the root it had.
#[test]
fn an_incremental_run_is_played_without_its_root() {
    let bench = Bench::new();
    let mock = |more: &[&str]| run(&bench, "integration_mock", more).code(0);
    mock(&["export", "projects=1", "records=3", "--root", "try", "--output", "before.ndjson"]);
    let kept = ["export", "projects=1", "records=5", "--root", "try", "--record", "b.har", "--output", "then.ndjson"];
    mock(&kept).says("0 requests recorded in");
    let then = bench.read("then.ndjson");
    assert!((1..5).contains(&then.lines().count()), "only what is new: {then}");
    mock(&["--replay", "b.har", "--strict", "--output", "now.ndjson"]).says("requests replayed from");
    assert_eq!(bench.read("now.ndjson"), then);
}

/// What is not on the cassette is told: strict fails the run, whatever the guest makes of it.
#[test]
fn what_does_not_match_is_told_and_fails_a_strict_replay() {
    let (url, _) = server();
    let bench = Bench::new();
    let url = format!("url={url}/{{}}");
    fetch(&bench, &[&["export", &url, "pages:=2", "--record", "a.har", "--records", "none"], &GRANTS[..]].concat())
        .code(0);
    let strict = ["--replay", "a.har", "export", &url, "pages:=3", "--strict"];
    fetch(&bench, &strict).code(1).says("1 without a match:").says("/2").says("--record");
    fetch(&bench, &["--replay", "a.har", "export", &url, "pages:=1", "--strict"])
        .code(1)
        .says("1 that nobody asked for:");
    // Else it is told, and is the guest's to bear.
    let loose = fetch(&bench, &["--replay", "a.har", "export", &url, "pages:=3"]).code(0);
    loose.says("1 without a match").says("the cassette has no such request");
    for (more, code, said) in [
        (&["--replay", "none.har"][..], 2, "name a HAR file"),
        (&["--replay", "a.har", "describe"], 2, "describe sees nothing of the world"),
        (&["--replay", "a.har", "--record", "b.har"], 2, "cannot be used with"),
        (&["--record", "none/a.har", &url], 1, "choose another"),
        (&["--strict"], 2, "--replay"),
    ] {
        fetch(&bench, more).code(code).says(said);
    }
}

/// A file that no agent has made: what a browser saves, without clocks, call and configuration.
#[test]
fn a_browsers_file_is_played() {
    let bench = Bench::new();
    let entry = |page: u32, text: &str| {
        json!({
            "startedDateTime": "2026-11-21T09:30:00.000Z", "time": 1, "cache": {}, "timings": {"send": 0, "wait": 1, "receive": 0},
            "request": {
                "method": "GET", "url": format!("https://api.example.com/{page}#top"), "httpVersion": "h2", "cookies": [],
                "headers": [{"name": ":path", "value": "/"}], "queryString": [], "headersSize": -1, "bodySize": 0,
            },
            "response": {
                "status": 200, "statusText": "", "httpVersion": "h2", "cookies": [], "redirectURL": "", "headersSize": -1,
                "headers": [{"name": "Content-Encoding", "value": "br"}], "bodySize": 9,
                "content": {"size": 2, "mimeType": "text/plain", "text": text, "encoding": "base64"},
            },
        })
    };
    let har = json!({"log": {"version": "1.2", "creator": {"name": "a browser", "version": "1"}, "pages": [],
        "entries": [entry(0, "YQ=="), entry(1, "Yg==")]}});
    bench.write("browser.har", har.to_string());
    let call =
        ["export", "url=https://api.example.com/{}", "pages:=2", "keep:=9", "--replay", "browser.har", "--strict"];
    let output = fetch(&bench, &call).code(0);
    let kept: Vec<Value> =
        output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["record"].clone()).collect();
    assert_eq!((&kept[0]["kept"], &kept[1]["kept"]), (&json!("a"), &json!("b")));
    assert_eq!(kept[0]["headers"], json!([]));
    bench.write("none.har", "{}");
    fetch(&bench, &["--replay", "none.har"]).code(2).says("it is no HAR").says("save it as HAR 1.2");
}

/// A cassette may be anybody's: what is not on it for this run is refused, and a redirect is not taken on its word.
#[test]
fn a_cassette_that_was_tampered_with_gets_nothing() {
    let (url, _) = server();
    let bench = Bench::new();
    let url = format!("url={url}/{{}}");
    let call = ["export", &url, "pages:=2", "keep:=200", "--record", "a.har", "--records", "none"];
    fetch(&bench, &[&call[..], &GRANTS].concat()).code(0);
    let har: Value = serde_json::from_str(&bench.read("a.har")).unwrap();
    let replayed = |change: &dyn Fn(&mut Value)| {
        let mut har = har.clone();
        change(&mut har["log"]);
        bench.write("b.har", har.to_string());
        fetch(&bench, &["--replay", "b.har", "--strict"])
    };
    replayed(&|_| {}).code(0);
    let elsewhere = replayed(&|log| log["entries"][0]["_agent"]["url"] = json!("https://elsewhere.example/"));
    let first: Value = serde_json::from_str(elsewhere.stdout.lines().next().unwrap()).unwrap();
    assert!(first["record"].to_string().contains("elsewhere.example"), "{first}");
    elsewhere.says("Its manifest has to ask for it first").says("network: https://elsewhere.example GET");
    for (said, change) in [
        (
            "session.send",
            &(|log: &mut Value| log["_agent"]["answers"]["session.send"][0]["answer"] = json!(5))
                as &dyn Fn(&mut Value),
        ),
        ("without a match", &|log| log["entries"][1]["request"]["method"] = json!("PUT")),
        ("session.done", &|log| log["_agent"]["answers"]["session.done"] = json!([])),
    ] {
        replayed(change).code(1).says(said);
    }
    for (said, change) in [
        (
            "log.entries[1]: content.text is not base64",
            &(|log: &mut Value| log["entries"][1]["response"]["content"] = json!({"text": "?", "encoding": "base64"}))
                as &dyn Fn(&mut Value),
        ),
        ("content.encoding is \"gzip\"", &|log| log["entries"][0]["response"]["content"]["encoding"] = json!("gzip")),
        ("missing field `method`", &|log| drop(log["entries"][0]["request"].as_object_mut().unwrap().remove("method"))),
        ("use the agent that recorded it", &|log| log["_agent"]["form"] = json!(2)),
        ("log._agent.origin", &|log| log["_agent"]["origin"]["call"] = json!(7)),
    ] {
        replayed(change).code(2).says(said).says("b.har");
    }
    replayed(&|log| log["_agent"]["origin"]["call"] = json!(["exprot"])).code(2).says("which is none; name the call");
    // A configuration that does not fit is one, whoever wrote it.
    replayed(&|log| log["_agent"]["origin"]["config"] = json!({"url": 7})).code(78).says("/url");
}

/// Repositories: what the component asked for and was told is on the cassette, and no repository is needed.
#[test]
fn repositories_are_played_as_the_component_saw_them() {
    let bench = Bench::new();
    let repo = |name: &str| json!([{"ref_id": "R1", "name": name, "url": "https://git.example.invalid/r"}]);
    let repos = format!("repos:={}", repo("one"));
    let call = ["export", "projects=0", "records=0", &repos];
    // It is recorded without the history, which is not there; what it was told is the same.
    let recorded = report(&bench, "integration_mock", 0, &[&call[..], &["--skip-git", "--record", "a.har"]].concat());
    assert_eq!(recorded["repositories_asked"][0]["name"], "one");
    let har: Value = serde_json::from_str(&bench.read("a.har")).unwrap();
    assert_eq!(har["log"]["_agent"]["answers"]["git.export-repo R1"][0]["answer"]["repo"]["name"], "one");
    let mock = |more: &[&str]| run(&bench, "integration_mock", &[&["--replay", "a.har"], more].concat());
    mock(&["--strict"]).code(0);
    let other = format!("repos:={}", repo("two"));
    mock(&["export", "projects=0", "records=0", &other, "--strict"])
        .code(1)
        .says("git.export-repo R1, with another document");
    mock(&["export", "projects=0", "records=0", "--strict"])
        .code(1)
        .says("1 that nobody asked for:")
        .says("git.export-repo R1");
    // A refusal is played as one.
    let refused = bench.read("a.har").replace("\"repo\": {", "\"refused\": {\"limit\": \"no more\"},\n\"repo\": {");
    bench.write("a.har", refused);
    mock(&["--strict"]).code(3).says("no more");
}

/// Faults come as from the network: the host tries again, and what lasts is the guest's to bear. On a cassette they need no
/// network at all.
#[test]
fn faults_arrive_and_are_counted() {
    let (url, asked) = server();
    let bench = Bench::new();
    let url = format!("url={url}/{{}}");
    let call = [&["export", &url, "pages:=3", "keep:=9"], &GRANTS[..]].concat();
    let told = report(&bench, "guest_fetch", 0, &[&call[..], &["--fault", "reset@2"]].concat());
    assert_eq!(told["faults"], json!([{"fault": "reset@2", "times": 1}]));
    let statuses: Vec<&Value> = told["requests"].as_array().unwrap().iter().map(|request| &request["status"]).collect();
    assert_eq!(statuses, [&json!(200), &Value::Null, &json!(200), &json!(200)], "it was tried again");
    assert_eq!(asked.load(Ordering::SeqCst), 3);

    fetch(&bench, &[&call[..], &["--record", "a.har", "--records", "none"]].concat()).code(0);
    let replay = ["--replay", "a.har", "--fault", "429@1", "--fault", "truncate=3@2", "--fault", "timeout@3"];
    let output = fetch(&bench, &replay).code(0);
    let records: Vec<Value> =
        output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["record"].clone()).collect();
    assert_eq!(records[0]["status"], 429);
    assert_eq!(records[1]["kept"], "{\"n");
    assert!(records[2]["error"].as_str().is_some_and(|error| error.contains("Timeout")), "{records:#?}");
    output.says("fault 429@1: once");
    fetch(&bench, &["--replay", "a.har", "--fault", "often"]).code(2).says("write KIND@WHICH");
}

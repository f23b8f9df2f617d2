//! Cassettes that somebody wrote who means harm, or another program than ours: each is refused with its place and what to do, or is
//! played as far as it goes. Nothing takes the process down, makes it wait or takes memory without end, and nothing acts on a
//! terminal.

use serde_json::{Value, json};
use tests::{Bench, Output};

use super::{GRANTS, fetch, server};
use crate::run_wasm::run;

/// Bytes that a run may say, whatever is in the file.
const SAID_BYTES_MAX: usize = 64 << 10;

/// Insists that nothing acts on a terminal, nothing is without end, and the process has not broken down.
#[track_caller]
pub fn tame(what: &str, output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        let acts = text.chars().find(|letter| letter.is_control() && *letter != '\n');
        assert!(acts.is_none(), "{what}: {acts:?} is said");
        assert!(text.len() < SAID_BYTES_MAX, "{what}: {} bytes are said", text.len());
    }
    assert!(!output.stderr.contains("panicked") && output.code >= 0, "{what}: {}", output.stderr);
}

/// A file with these entries, of no agent's.
fn browser(entries: &Value) -> Value {
    json!({"log": {"version": "1.2", "creator": {"name": "a browser", "version": "1"}, "entries": entries}})
}

/// An entry for the guest's first page.
fn entry(response: &Value) -> Value {
    json!({"startedDateTime": "2026-11-21T09:30:00Z", "request": {"method": "GET", "url": "https://api.example.com/0"}, "response": response})
}

/// A file of ours that has nothing to play.
fn ours(change: impl Fn(&mut Value)) -> Value {
    let mut file = json!({"log": {"version": "1.2", "entries": [], "_agent": {
        "form": 1, "seed": "0".repeat(64),
        "origin": {"call": ["export"], "config": {"url": "https://api.example.com/{}", "keep": 50}},
    }}});
    change(&mut file["log"]["_agent"]);
    file
}

fn play(bench: &Bench, bytes: &[u8], more: &[&str]) -> Output {
    bench.write("x.har", bytes);
    fetch(bench, &[&["--replay", "x.har"], more].concat())
}

/// Plays a file of a browser's: what became of the first page.
#[track_caller]
fn first_page(bench: &Bench, what: &str, file: &str, more: &[&str]) -> Value {
    let call = ["export", "url=https://api.example.com/{}", "keep:=50"];
    let output = play(bench, file.as_bytes(), &[&call[..], more].concat()).code(0);
    tame(what, &output);
    let line = output.stdout.lines().next().unwrap_or_else(|| panic!("{what}: {output:#?}"));
    serde_json::from_str::<Value>(line).unwrap()["record"].clone()
}

#[test]
fn what_is_no_cassette_is_told_with_its_place() {
    let bench = Bench::new();
    let text = |file: Value| file.to_string().into_bytes();
    let answered = |response: Value| text(browser(&json!([entry(&json!({"status": 200})), entry(&response)])));
    let header =
        |name: &str, value: &str| answered(json!({"status": 200, "headers": [{"name": name, "value": value}]}));
    let agent = |member: &str, value: Value| text(ours(|agent| agent[member] = value.clone()));
    let red = "\u{1b}[31m".repeat(30_000);
    for (what, file, said) in [
        ("nothing", b"".to_vec(), &["it is no HAR: EOF"][..]),
        (
            "cut off",
            br#"{"log": {"entries": [{"request": {"method": "GE"#.to_vec(),
            &["log.entries[0]: EOF", "line 1 column"],
        ),
        ("no UTF-8", b"{\"log\": {\"entries\": []}, \"x\": \"\xff\"}".to_vec(), &["byte 32 of it is not UTF-8"]),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec(), &["UTF-16"]),
        ("a number", b"7".to_vec(), &["it is no HAR: invalid type"]),
        ("deep", format!(r#"{{"log": {{"entries": {}"#, "[".repeat(1 << 20)).into_bytes(), &["it is no HAR"]),
        ("deep, unknown", format!(r#"{{"log": {{"x": {}"#, "{\"a\":".repeat(1 << 20)).into_bytes(), &["it is no HAR"]),
        ("two logs", br#"{"log": {}, "log": {}}"#.to_vec(), &["duplicate field `log`"]),
        (
            "two requests",
            br#"{"log": {"entries": [{"request": {"method": "GET", "url": ""}, "request": {}}]}}"#.to_vec(),
            &["log.entries[0]: duplicate field `request`"],
        ),
        ("no entries", text(json!({"log": {"entries": "none"}})), &["it is no HAR", "entries"]),
        (
            "no request",
            text(browser(&json!([{"response": {"status": 200}}]))),
            &["log.entries[0]: missing field `request`"],
        ),
        (
            "no response",
            text(browser(&json!([{"request": {"method": "GET", "url": "u"}}]))),
            &["log.entries[0]: missing field `response`"],
        ),
        ("a status of text", answered(json!({"status": red})), &["log.entries[1]: invalid type", "at line 1 column"]),
        (
            "a long encoding",
            answered(json!({"status": 200, "content": {"text": "", "encoding": red}})),
            &["log.entries[1]: content.encoding is"],
        ),
        (
            "a status too high",
            answered(json!({"status": 99_999})),
            &["log.entries[1]: response.status is 99999; it is from 100 to 999"],
        ),
        ("a status too low", answered(json!({"status": 99})), &["response.status is 99"]),
        ("half a status", answered(json!({"status": 200.5})), &["response.status is 200.5"]),
        (
            "an endless status",
            br#"{"log": {"entries": [{"request": {"method": "GET", "url": "u"}, "response": {"status": 1e309}}]}}"#
                .to_vec(),
            &["log.entries[0]: number out of range"],
        ),
        (
            "no base64",
            answered(json!({"status": 200, "content": {"text": "ab?=", "encoding": "base64"}})),
            &["log.entries[1]: content.text is not base64"],
        ),
        (
            "a name with lines",
            header("a\r\nset-cookie: b", "1"),
            &["log.entries[1]: response.headers has", "not the name of a header field"],
        ),
        ("a long name", header(&red, "1"), &["not the name of a header field"]),
        ("no name", header("", "1"), &["not the name of a header field"]),
        ("a name beyond ASCII", header("näme", "1"), &["not the name of a header field"]),
        (
            "a value with a return",
            header("x-a", "1\rx-b: 2"),
            &["log.entries[1]: response.headers: the value of `x-a` has a control"],
        ),
        ("a value with NUL", header("x-a", "1\u{0}"), &["the value of `x-a` has a control"]),
        ("a value with an escape", header("x-a", "\u{1b}[2J"), &["the value of `x-a` has a control"]),
        (
            "headers that are no list",
            answered(json!({"status": 200, "headers": {"a": "b"}})),
            &["log.entries[1]: invalid type"],
        ),
        (
            "too many headers",
            answered(json!({"status": 200, "headers": vec![json!({"name": "a"}); 10_001]})),
            &["log.entries[1]: a list has more than 10000 items"],
        ),
        (
            "too many headers together",
            text(browser(&json!(vec![
                entry(&json!({"status": 200, "headers": vec![json!({"name": "a"}); 9_000]}));
                500
            ]))),
            &["log.entries[466]: the entries up to here have more than 4194304"],
        ),
        ("another form", agent("form", json!(2)), &["use the agent that recorded it"]),
        ("a form of text", agent("form", json!("1")), &["it is no HAR: invalid type"]),
        ("a short seed", agent("seed", json!("00")), &["log._agent.seed is not 64"]),
        ("no seed", agent("seed", json!(null)), &["invalid type: null"]),
        ("a seed beyond ASCII", agent("seed", json!("ü".repeat(32))), &["log._agent.seed is not 64"]),
        ("a clock of text", agent("wall", json!("now")), &["it is no HAR: invalid type"]),
        ("a reading too large", agent("wall", json!([u64::MAX])), &["it is no HAR"]),
        (
            "a clock that goes back",
            agent("monotonic", json!([1_000_000_000_000_u64, 5, -7])),
            &["log._agent.monotonic[2] is -7: that clock only goes on"],
        ),
        ("answers that are a list", agent("answers", json!([])), &["answers of host calls by their names"]),
        ("answers that are none", agent("answers", json!({"session.send": 5})), &["it is no HAR: invalid type"]),
        (
            "an answer without itself",
            agent("answers", json!({"session.send": [{"times": 5}]})),
            &["missing field `answer`"],
        ),
        (
            "answers less than none",
            agent("answers", json!({"session.send": [{"answer": 1, "times": -1}]})),
            &["it is no HAR"],
        ),
        (
            "answers twice",
            br#"{"log": {"_agent": {"form": 1, "seed": "", "answers": {"a\u001b": [], "a\u001b": []}}}}"#.to_vec(),
            &["the answers of a", "are there twice"],
        ),
        ("less than nothing left out", agent("left_out", json!(-1)), &["it is no HAR"]),
        ("an origin of text", agent("origin", json!("export")), &["log._agent.origin"]),
        ("a call of a number", agent("origin", json!({"call": 7})), &["log._agent.origin: invalid type"]),
        ("a call that is none", agent("origin", json!({"call": [red, "x"]})), &["which is none; name the call"]),
        ("a call of nothing", agent("origin", json!({"call": []})), &["which is none; name the call"]),
    ] {
        let output = play(&bench, &file, &[]);
        tame(what, &output);
        assert_eq!(output.code, 2, "{what}: {output:#?}");
        said.iter().for_each(|said| assert!(output.stderr.contains(said), "{what}: {said}: {}", output.stderr));
        // Of what is in the file, or what its call is: it is the file that is named.
        assert!(output.stderr.contains("x.har") || output.stderr.contains("the cassette"), "{what}: {}", output.stderr);
    }
    // A program is told the same.
    let told = play(&bench, &answered(json!({"status": red})), &["--json"]).code(2).json();
    assert!(told["exit_code"] == 2 && told["error"].as_str().unwrap().contains("log.entries[1]"), "{told}");
}

#[test]
fn what_is_odd_and_legal_is_played() {
    let bench = Bench::new();
    let one = |response: Value| browser(&json!([entry(&response)])).to_string();
    let text = |text: &str| json!({"status": 200, "content": {"text": text}});
    let page = |what: &str, file: &str| first_page(&bench, what, file, &["--strict"]);
    assert_eq!(page("a mark of the byte order", &format!("\u{feff}{}", one(text("a"))))["kept"], "a");
    // As mitmproxy writes bytes that are no text, and JavaScript half a character.
    let halves = one(text("HALVES")).replace("HALVES", r"\udce4\udcff|\ud83d");
    let halves = page("half pairs", &halves);
    assert_eq!((&halves["bytes"], &halves["kept"]), (&json!(6), &json!("\u{fffd}\u{fffd}|\u{fffd}")));
    let field = r#"{"status": 200, "headers": [{"name": "x-a", "value": "caf\udce9"}], "content": {}}"#;
    let named = one(json!("RESPONSE")).replace("\"RESPONSE\"", field);
    assert_eq!(page("half pairs in a field", &named)["headers"], json!([["x-a", "caf\u{fffd}"]]));
    // As browsers write several fields of one name; and what HTTP/2 and the host have of their own.
    let headers = json!([
        {"name": "Set-Cookie", "value": "a=1\nb=2; Path=/"}, {"name": ":status", "value": "200"},
        {"name": "Transfer-Encoding", "value": "chunked"}, {"name": "Content-Length", "value": "-7"}, {"name": "x-b"},
    ]);
    let found = page("fields in lines", &one(json!({"status": 200, "headers": headers, "content": {"text": ""}})));
    assert_eq!(found["headers"], json!([["set-cookie", "a=1"], ["set-cookie", "b=2; Path=/"], ["x-b", ""]]));
    for (what, response, status, error) in [
        ("a status of some sites", json!({"status": 999}), json!(999), ""),
        ("a status with a point", json!({"status": 200.0}), json!(200), ""),
        ("no status", json!({"status": null}), json!(null), "Connection"),
        ("a status of none", json!({"status": -1}), json!(null), "Connection"),
        (
            "no body",
            json!({"status": 200, "content": {"size": 5}}),
            json!(null),
            "without its body; save the HAR with contents",
        ),
        ("a body of nothing", json!({"status": 200, "content": {"size": 0}}), json!(200), ""),
        (
            "sizes that are not true",
            json!({"status": 200, "bodySize": "x", "headersSize": [], "content": {"size": -1e300, "text": "a"}}),
            json!(200),
            "",
        ),
        (
            "too large a body",
            json!({"status": 200, "content": {"text": "x".repeat((16 << 20) + 1)}}),
            json!(null),
            "TooLarge",
        ),
        (
            "thousands of fields",
            json!({"status": 200, "headers": vec![json!({"name": "x-a", "value": "b"}); 5_000]}),
            json!(200),
            "",
        ),
    ] {
        let found = page(what, &one(response));
        assert_eq!(found["status"], status, "{what}: {found}");
        assert!(found["error"].as_str().unwrap_or_default().contains(error), "{what}: {found}");
    }
    for time in ["9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "-9999-01-01T00:00:00Z", "yesterday", "\u{1b}[31m"] {
        let mut file = browser(&json!([entry(&text("a"))]));
        file["log"]["entries"][0]["startedDateTime"] = json!(time);
        file["log"]["entries"][0]["time"] = json!(-1e300);
        assert_eq!(page(time, &file.to_string())["kept"], "a");
    }
    // What no request can have is for nobody: it is told as left, and names nothing that acts.
    let request = |url: &str| json!({"request": {"method": "G\u{1b}ET\n", "url": url, "headers": [{"name": "a\r\n", "value": "\u{0}"}]}, "response": {"status": 200}});
    let urls = [
        "https://user:password@api.example.com/0",
        "data:text/plain,x",
        "chrome-extension://a/b",
        "file:///etc/passwd",
        "https://api.example.com/../../etc/passwd",
        "https://api.example.com/\u{0}",
        "",
        "\u{1b}]0;title\u{7}",
        "https://[",
    ];
    let mut entries: Vec<Value> = urls.iter().map(|url| request(url)).collect();
    entries.push(entry(&text("a")));
    let file = browser(&json!(entries)).to_string();
    assert_eq!(first_page(&bench, "other requests", &file, &[])["kept"], "a");
    let call = ["export", "url=https://api.example.com/{}", "--strict"];
    let output = play(&bench, file.as_bytes(), &call).code(1);
    tame("other requests, told", &output);
    output.says("9 that nobody asked for:");
}

/// What host calls answered, changed by somebody: the guest is told what can be, and what cannot be is told.
#[test]
fn answers_that_cannot_be_are_told_and_not_given() {
    let (url, _) = server();
    let bench = Bench::new();
    let url = format!("url={url}/{{}}");
    for (interface, name, cases) in [
        ("own", "http.wait-any", &["[7]", "[0, 0]", "[4294967295, 0]", "[0, \"1\"]", "{}", "-1"][..]),
        ("wasi", "wasi:io.poll", &["[]", "[9]", "[0, 0]", "[9, 0]", "null", "[1e309]"]),
    ] {
        let interface = format!("interface={interface}");
        let call = ["export", &url, &interface, "pages:=6", "at_once:=3", "--record", "a.har", "--records", "none"];
        fetch(&bench, &[&call[..], &GRANTS].concat()).code(0);
        let har: Value = serde_json::from_str(&bench.read("a.har")).unwrap();
        assert!(har["log"]["_agent"]["answers"][name].is_array(), "{har:#}");
        for case in cases {
            for times in ["1", "18446744073709551615"] {
                let mut har = har.clone();
                let notes = har["log"]["_agent"]["answers"][name].as_array_mut().unwrap();
                notes[0] = json!({"answer": "ANSWER", "times": "TIMES"});
                let file = har.to_string().replace("\"ANSWER\"", case).replace("\"TIMES\"", times);
                // Those with nothing for every poll would keep it for ever, if it were given them.
                let loose = play(&bench, file.as_bytes(), &["--limits", "cpu_time=20s"]);
                tame(case, &loose);
                if times == "1" {
                    assert_eq!(loose.code, 0, "{name} {case}: {loose:#?}");
                    assert_eq!(loose.stdout.lines().count(), 6, "{name} {case}");
                    let strict = play(&bench, file.as_bytes(), &["--strict"]);
                    tame(case, &strict);
                    assert_ne!(strict.code, 0, "{name} {case}: {strict:#?}");
                }
            }
        }
        play(&bench, har.to_string().as_bytes(), &["--strict"]).code(0);
    }
}

/// Clocks of another world.
#[test]
fn clocks_of_any_kind_are_played() {
    let bench = Bench::new();
    for (wall, monotonic) in [
        (json!([i64::MAX, i64::MAX, i64::MAX]), json!([i64::MAX, i64::MAX, i64::MAX])),
        (json!([i64::MIN, -1]), json!([0, 0, 0])),
        (json!([]), json!([])),
    ] {
        let mut file = ours(|agent| {
            agent["wall"] = wall.clone();
            agent["monotonic"] = monotonic.clone();
            agent["left_out"] = json!(u64::MAX);
        });
        file["log"]["entries"] = json!([entry(&json!({"status": 200, "content": {"text": "a"}}))]);
        let output = play(&bench, file.to_string().as_bytes(), &[]).code(0);
        tame("clocks", &output);
        assert!(output.stdout.contains(r#""kept":"a""#), "{output:#?}");
    }
    // A guest that looks at clocks, with what a hostile one says.
    let mock = |more: &[&str]| run(&bench, "integration_mock", more);
    mock(&["export", "projects=1", "records=3", "--record", "m.har", "--records", "none"]).code(0);
    let mut har: Value = serde_json::from_str(&bench.read("m.har")).unwrap();
    har["log"]["_agent"]["wall"] = json!([i64::MAX, i64::MAX]);
    har["log"]["_agent"]["monotonic"] = json!([i64::MAX, i64::MAX, i64::MAX]);
    bench.write("m.har", har.to_string());
    tame("the mock's clocks", &mock(&["--replay", "m.har"]));
}

/// What a server has just made is nowhere in the file, in the forms in which it is sent back; nor is what a webhook brought.
#[test]
fn fresh_secrets_are_nowhere_on_a_cassette() {
    let bench = Bench::new();
    let fresh = "1//0fresh+token/of=this&run";
    let encoded = "1%2F%2F0fresh%2Btoken%2Fof%3Dthis%26run";
    let body = json!({"data": [{"oauth": {"refresh_token": fresh}}], "next": format!("https://a.example/?t={encoded}"), "basic": "MS8vMGZyZXNoK3Rva2VuL29mPXRoaXMmcnVu"});
    let server = crate::secrets::server::Server::answering(move |_, _| {
        crate::secrets::server::answer("200 OK", "Content-Type: application/json\r\n", body.to_string().as_bytes())
    });
    let url = format!("url={}", server.url(&format!("/{{}}?refresh_token={encoded}")));
    let call = ["export", &url, "pages:=2", "--record", "a.har", "--records", "none"];
    fetch(&bench, &[&call[..], &GRANTS].concat()).code(0);
    let file = bench.read("a.har");
    for secret in [fresh, encoded, "1%2f%2f0fresh%2btoken%2fof%3dthis%26run", "MS8vMGZyZXNoK3Rva2VuL29mPXRoaXMmcnVu"] {
        // The first request went out before anybody had heard of it.
        let found = file.matches(secret).count();
        assert_eq!(found, 0, "{secret} is {found} times in {file}");
    }
    let webhook = [
        "webhook",
        "--header",
        "x-mock-event: ping",
        "--header",
        "X-Gitlab-Token: brought-along-1",
        "--header",
        "authorization: Basic brought-along-2",
    ];
    run(&bench, "integration_mock", &[&webhook[..], &["--record", "w.har"]].concat()).code(0);
    let file = bench.read("w.har");
    assert!(!file.contains("brought-along") && file.contains("{{secret:x-gitlab-token}}"), "{file}");
    assert!(file.contains("ping"), "{file}");
    run(&bench, "integration_mock", &["--replay", "w.har", "--strict"]).code(0);
}

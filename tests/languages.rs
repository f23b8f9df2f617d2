//! Components made by other toolchains: the same integration in Python and in JavaScript (`tests/guests-python`,
//! `tests/guests-js`), judged by one set of expectations, through the binary and against a small HTTP server. The host knows
//! nothing of either language. `make guests` builds them; where it could not, they are skipped by name.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Bench, HEAD, guests, repository};

use crate::published::{faults, schema};

/// The name before the guest's in the component's file.
const LANGUAGES: [&str; 2] = ["python", "js"];

/// What the server wants with each request, and what must not be seen anywhere.
const TOKEN: &str = "a-token-of-the-tracker";

/// How long a request waits for the other one of its pair. Only a guest that sends one at a time meets it.
const PAIR_WAIT_MAX: Duration = Duration::from_secs(60);

/// The languages whose guests could be built.
fn built() -> Vec<&'static str> {
    let (built, missing): (Vec<_>, Vec<_>) = LANGUAGES.into_iter().partition(|language| component(language).exists());
    for language in missing {
        let skipped = format!("skipped {language}: its guest could not be built; `make guests` says why");
        assert!(!std::env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "false")), "{skipped}");
        eprintln!("{skipped}");
    }
    built
}

fn component(language: &str) -> PathBuf {
    guests().join(format!("{language}_tracker.wasm"))
}

/// A bench with the tracker's token where the configurations look for it.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("token", TOKEN);
    bench
}

/// One integration of a configuration, named after its language.
fn tracker(language: &str, url: &str, more: &str) -> String {
    limited(language, language, url, more, "{}")
}

fn limited(name: &str, language: &str, url: &str, more: &str, limits: &str) -> String {
    format!(
        "  - name: {name}\n    component: \"{}\"\n    config: {{url: \"{url}\"{more}}}\n    limits: {limits}\n    \
         grants:\n      network: [\"{url}\"]\n      private_hosts: [127.0.0.1]\n      \
         credentials: {{token: {{file: token, bearer: true, hosts: [127.0.0.1]}}}}\n",
        component(language).display()
    )
}

/// The server: two projects, issues that are listed oldest change first, two a page.
#[derive(Default)]
struct State {
    /// Id, project, title, time of the last change.
    issues: Vec<(u32, u32, String, String)>,
    /// Method and target of each request.
    requests: Vec<String>,
    /// Requests for labels that wait for the other one of their page.
    waiting: usize,
    /// Whether they do: then a guest that sends one at a time gets no answer.
    paired: bool,
}

struct Server {
    url: String,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Server {
    fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issue = |id: u32| (id, 1 + (id - 1) / 4, format!("Ärger {id} 😀"), format!("2026-01-0{id}T00:00:00Z"));
        let state = State { issues: (1..=8).map(issue).collect(), ..State::default() };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let (there, base) = (Arc::clone(&shared), url.clone());
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (there, base) = (Arc::clone(&there), base.clone());
                std::thread::spawn(move || answer(&stream, &base, &there));
            }
        });
        Server { url, shared }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.0.lock().unwrap()
    }

    /// The requests since this was asked last, without their queries.
    fn paths(&self) -> Vec<String> {
        let requests = std::mem::take(&mut self.state().requests);
        requests.iter().map(|request| request.split('?').next().unwrap().to_owned()).collect()
    }
}

/// Reads one request, writes one answer. A connection that breaks off is the guest's affair.
fn answer<S>(stream: &S, base: &str, shared: &(Mutex<State>, Condvar)) -> Option<()>
where
    for<'a> &'a S: Read + Write,
{
    let mut reader = BufReader::new(stream);
    let (mut line, mut length, mut authorized) = (String::new(), 0, false);
    reader.read_line(&mut line).ok()?;
    let (method, target) = line.trim_end().strip_suffix(" HTTP/1.1")?.split_once(' ')?;
    let (method, target) = (method.to_owned(), target.to_owned());
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        let Some((name, value)) = field.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => authorized = value == format!("Bearer {TOKEN}"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (status, link, body) = if authorized {
        respond(&method, &target, &body, base, shared)
    } else {
        ("401 Unauthorized", None, json!({"message": "who are you?"}))
    };
    let body = body.to_string();
    let link = link.map(|link| format!("link: <{base}/first>; rel=\"first\", <{link}>; rel=\"next\"\r\n"));
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{}connection: close\r\n\r\n",
        body.len(),
        link.unwrap_or_default()
    );
    let mut stream = stream;
    stream.write_all((head + &body).as_bytes()).ok()
}

fn respond(
    method: &str,
    target: &str,
    body: &[u8],
    base: &str,
    (state, woken): &(Mutex<State>, Condvar),
) -> (&'static str, Option<String>, Value) {
    let mut state = state.lock().unwrap();
    state.requests.push(format!("{method} {target}"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let of = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let issue = |(id, _, title, at): &(u32, u32, String, String)| json!({"id": id, "title": title, "updated_at": at});
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let document = match (method, parts.as_slice()) {
        ("GET", ["version"]) => json!({"version": "7.1"}),
        ("GET", ["projects"]) => match of("page") {
            // Relative on one page and absolute on the next, as servers do.
            None => return ("200 OK", Some("/projects?page=2".to_owned()), json!([{"id": 1, "name": "One"}])),
            Some("2") => return ("200 OK", Some(format!("{base}/projects?page=3")), json!([])),
            Some(_) => json!([{"id": 2, "name": "Two & Co"}]),
        },
        ("GET", ["projects", project, "issues"]) => {
            let after = of("after").unwrap_or_default().replace("%3A", ":");
            let mut found: Vec<_> =
                state.issues.iter().filter(|(_, of, _, at)| of.to_string() == *project && *at > after).collect();
            found.sort_by(|a, b| a.3.cmp(&b.3));
            found.into_iter().take(2).map(issue).collect()
        }
        ("GET", ["issues", id, "labels"]) => {
            if state.paired {
                state.waiting += 1;
                woken.notify_all();
                let number = state.waiting.div_ceil(2) * 2;
                let waited = woken.wait_timeout_while(state, PAIR_WAIT_MAX, |state| state.waiting < number).unwrap();
                if waited.1.timed_out() {
                    return ("503 Service Unavailable", None, json!({"message": "one at a time"}));
                }
            }
            json!([format!("label-{id}")])
        }
        ("PATCH", ["issues", id]) => {
            let wanted: Value = serde_json::from_slice(body).unwrap();
            match state.issues.iter_mut().find(|(one, ..)| one.to_string() == *id) {
                Some(one) => {
                    wanted["title"].as_str().unwrap().clone_into(&mut one.2);
                    issue(one)
                }
                None => return ("404 Not Found", None, json!({"message": "no such issue"})),
            }
        }
        ("GET", ["away"]) => return ("200 OK", Some("http://127.0.0.2:1/elsewhere".to_owned()), json!([])),
        _ => return ("404 Not Found", None, json!({"message": "nothing here"})),
    };
    ("200 OK", None, document)
}

#[test]
fn languages_export_page_by_page_and_go_on_where_they_were() {
    for language in built() {
        let (bench, server) = (bench(), Server::start());
        bench.configure(&format!("{HEAD}{}", tracker(language, &server.url, "")));
        server.state().paired = true;
        let report = bench.report(0, &[]);
        assert_eq!(report["delivered"]["records"], 10, "{language}");
        assert_eq!(report["integrations"][0]["projects"], json!([]), "{language}: no part failed");
        let sink = bench.sink();
        let issues = &sink.records[&format!("{language}/tracker.Issue")];
        let first = json!({
            "ref_id": "1", "title": "Ärger 1 😀", "updated_at": "2026-01-01T00:00:00Z", "labels": ["label-1"]
        });
        assert_eq!((issues.len(), &issues[0]), (8, &first), "{language}");
        assert_eq!(sink.ids(&format!("{language}/tracker.Project")), ["1", "2"], "{language}");
        let requests = server.paths();
        assert_eq!(requests.iter().filter(|request| *request == "GET /projects/1/issues").count(), 3, "{language}");

        // One changed, one new.
        {
            let mut state = server.state();
            state.paired = false;
            state.issues[0].3 = "2026-02-01T00:00:00Z".to_owned();
            state.issues.push((9, 2, "new".to_owned(), "2026-02-02T00:00:00Z".to_owned()));
        }
        let report = bench.report(0, &[]);
        assert_eq!(
            (&report["delivered"]["records"], &report["integrations"][0]["incremental"]),
            (&json!(2), &json!(true))
        );
        let expected = [
            "GET /issues/1/labels",
            "GET /issues/9/labels",
            "GET /projects",
            "GET /projects",
            "GET /projects",
            "GET /projects/1/issues",
            "GET /projects/1/issues",
            "GET /projects/2/issues",
            "GET /projects/2/issues",
        ];
        let mut requests = server.paths();
        requests.sort();
        assert_eq!(requests, expected, "{language} asks for what is new, and for no more");
        bench.export().code(0).says("Nothing new since the last run");
        let log = bench.read(&format!("root/logs/integrations/{language}.log"));
        assert!(log.contains("page of Two & Co with 0 issues"), "{language}: {log}");
    }
}

/// How a run ends: its outcome, and what its reason and its log say.
type End = (&'static str, &'static str, &'static str);

/// What may go wrong, under the name that both guests have for it, and how it ends in each language.
const FAULTS: &[(&str, [End; 2])] = &[
    (
        "two-pages",
        [
            (
                "failed",
                "TypeError: 'NoneType' object is not subscriptable (faults.py, line ",
                "│ Traceback (most recent call last):",
            ),
            (
                "failed",
                "TypeError: cannot read property 'title' of null (at rename (/tracker/faults.js:",
                "│     at two-pages (",
            ),
        ],
    ),
    (
        "leaves-a-session",
        [
            ("failed", "left without an end, so that the session was rolled back; call done(cursor)", ""),
            ("failed", "returned without an end, so that the session was rolled back; call done(cursor)", ""),
        ],
    ),
    (
        "half-a-surrogate",
        [
            ("failed", "record 2 of this batch of tracker.Issue has half of a surrogate pair", ""),
            ("failed", "record 2 of this batch of tracker.Issue: it is not valid JSON: half of a surrogate pair", ""),
        ],
    ),
    ("no-key", [("failed", "record 2 of this batch of tracker.Issue: it has no key", ""); 2]),
    ("not-json", [("failed", "a record of tracker.Issue cannot be written as JSON: ", ""); 2]),
    ("undeclared-model", [("failed", "model `tracker.Undeclared` is not in the manifest", ""); 2]),
    ("denied", [("denied", "https://denied.invalid/ GET", "│ this is seen as what it is"); 2]),
    (
        "unauthorized",
        [("unauthenticated", "/projects answered 401: it does not know who asks; grant a credential", ""); 2],
    ),
    ("missing", [("failed", "/missing answered 404: there is no such thing", ""); 2]),
    (
        "another-server",
        [("failed", "is on another server, http://127.0.0.2:1/elsewhere; to ask for it, without the credential", "");
            2],
    ),
    ("memory", [("limit", "memory_bytes_max (67108864 bytes)", ""); 2]),
    (
        "recursion",
        // QuickJS would allow itself more of the stack than the host allows it.
        [("failed", "RecursionError: maximum recursion depth exceeded", ""), ("limit", "stack_bytes_max", "")],
    ),
    ("loop", [("limit", "cpu_time_max (2 s)", ""); 2]),
    (
        "leaves",
        [
            ("failed", "SystemExit: 3 (faults.py, line ", ""),
            ("failed", "the call returned a promise; every call of the host is synchronous: leave out async", ""),
        ],
    ),
];

#[test]
fn languages_fail_in_ways_that_can_be_read() {
    for language in built() {
        let (bench, server) = (bench(), Server::start());
        let each = FAULTS.iter().map(|(fault, _)| {
            limited(fault, language, &server.url, &format!(", fault: {fault}"), "{memory: 64MiB, cpu_time: 2s}")
        });
        bench.configure(&format!("{HEAD}{}", each.collect::<String>()));
        let report = bench.run(&["export", "--json"]).json();
        let mut wrong = Vec::new();
        for ((fault, ends), found) in FAULTS.iter().zip(report["integrations"].as_array().unwrap()) {
            let (outcome, reason, log) = ends[LANGUAGES.iter().position(|one| *one == language).unwrap()];
            let logged = bench.read(&format!("root/logs/integrations/{fault}.log"));
            let said = found["reason"].as_str().unwrap_or_default();
            if found["outcome"] != outcome || !said.contains(reason) || !logged.contains(log) {
                wrong.push(format!("{fault}: {}: {said}\n{logged}", found["outcome"]));
            }
            assert!(!logged.contains(TOKEN) && !said.contains(TOKEN), "{language}: {fault}: the token is shown");
        }
        assert!(wrong.is_empty(), "{language}:\n{}", wrong.join("\n\n"));
        assert_eq!(bench.sink().ids("two-pages/tracker.Issue"), ["kept"], "{language}");
        assert_eq!(bench.sink().count(""), 1, "{language}: only what was committed");
    }
}

/// A component is a snapshot, taken when it is built: what must differ from instance to instance does.
#[test]
fn languages_have_time_and_chance_of_their_own_in_each_instance() {
    for language in built() {
        let bench = bench();
        let names = ["one", "two"];
        let each = names.map(|name| limited(name, language, "http://127.0.0.1:1", ", fault: clocks", "{}"));
        bench.configure(&format!("{HEAD}{}", each.concat()));
        let report = bench.report(0, &[]);
        bench.export().code(0);
        let sink = bench.sink();
        let mut drawn: Vec<String> = names.iter().flat_map(|name| sink.ids(&format!("{name}/tracker.Issue"))).collect();
        drawn.sort();
        drawn.dedup();
        assert_eq!(drawn.len(), 4, "{language}: {drawn:?}");
        let cursor: u64 = report["integrations"][0]["sessions"][0]["cursor"].as_str().unwrap().parse().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert!(now - cursor < 24 * 60 * 60, "{language}: it is {now}, and not {cursor}");
        let log = bench.read("root/logs/integrations/one.log");
        assert!(log.contains("half a line"), "{language}: what is printed is in the log: {log}");
    }
}

#[test]
fn languages_answer_every_call() {
    for language in built() {
        let (bench, server) = (bench(), Server::start());
        bench.configure(&format!("{HEAD}{}", tracker(language, &server.url, "")));
        let run = |code: i32, form: &str, arguments: &[&str]| {
            let answer = bench.run(&[arguments, &["--json"]].concat()).code(code).json();
            let form = fs::read_to_string(repository().join("docs/schemas").join(form)).unwrap();
            let form: Value = serde_json::from_str(&form).unwrap();
            let form = jsonschema::validator_for(&form).unwrap();
            assert_eq!(faults(&form, &answer), Vec::<String>::new(), "{language}: {answer:#}");
            answer
        };
        let says = |answer: &Value, code: &str, reason: &str| {
            assert_eq!(answer["error_code"], code, "{language}: {answer:#}");
            assert!(answer["error"].as_str().unwrap().contains(reason), "{language}: {answer:#}");
        };

        let validate = |code| run(code, "validate-config.json", &["validate-config"]);
        assert_eq!(validate(0)["server_version"], "7.1", "{language}");
        bench.write("token", "another-token");
        let refused = validate(12)["errors"][0].clone();
        let expected = "/version answered 401: it does not know who asks";
        assert!(refused.as_str().unwrap().starts_with("unauthenticated: "), "{language}: {refused}");
        assert!(refused.as_str().unwrap().contains(expected), "{language}: {refused}");
        bench.run(&["export"]).code(12).says("answered 401");
        bench.write("token", TOKEN);

        let onboard = |code, kind| run(code, "export-onboard-data.json", &["onboard", language, kind]);
        let projects = json!([{"ref_id": "1", "name": "One"}, {"ref_id": "2", "name": "Two & Co"}]);
        assert_eq!(onboard(0, "projects")["data"], projects, "{language}");
        // What is in the manifest and not in the code.
        assert_eq!(onboard(2, "users")["error_code"], "not_supported", "{language}");

        let mutate = |code, name: &str, data: Value| {
            run(code, "mutate.json", &["mutate", language, name, "--data", &data.to_string()])
        };
        let renamed = mutate(0, "issue.rename", json!({"id": 3, "title": "näher"}));
        assert_eq!(renamed["mutated_objects"]["tracker.Issue"][0]["title"], "näher", "{language}");
        assert_eq!(renamed["webapp_response"], json!({"renamed": 3}), "{language}");
        assert_eq!(server.state().issues[2].2, "näher", "{language}");
        let missing = mutate(1, "issue.rename", json!({"id": 77, "title": "x"}));
        says(&missing, "not_found", "/issues/77 answered 404");
        assert_eq!(mutate(2, "issue.close", json!({}))["error_code"], "not_supported", "{language}");

        let webhook = |code, event: &str, body: &str| {
            run(code, "webhook.json", &["webhook", language, "--header", &format!("X-EVENT={event}"), "--body", body])
        };
        let body = r#"{"issue": {"id": 5, "title": "Ä", "updated_at": "2026-03-01T00:00:00Z"}}"#;
        let told = webhook(0, "issue", body);
        assert_eq!(told["mutated_objects"]["tracker.Issue"][0]["ref_id"], "5", "{language}");
        assert_eq!(webhook(0, "ping", "")["mutated_objects"], json!({}), "{language}");
        says(&webhook(1, "issue", "{"), "invalid", "the webhook's body is not JSON");
        // The manifest says by which header field the host tells events apart.
        says(&webhook(2, "push", "{}"), "not_supported", "no webhook event `push`: it has issue, ping");
    }
}

#[test]
fn languages_have_manifests_of_the_published_form() {
    let published = schema("manifest.json");
    let mut before = None;
    for language in built() {
        let manifest = crate::published::describe(&format!("{language}_tracker.wasm"));
        assert_eq!(faults(&published, &manifest), Vec::<String>::new(), "{language}: {manifest:#}");
        // They are the same integration; only the names of the faults are written in another order.
        let models = &manifest["models"];
        assert_eq!(before.get_or_insert_with(|| models.clone()), models, "{language}");
    }
}

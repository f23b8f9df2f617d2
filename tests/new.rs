//! `agent new`, and the tutorial of docs/authors.md as a stranger would follow it in each language: a project is made, tested,
//! built and run, then changed as the paper says, against a server on this machine that answers as the paper's API does. All commands
//! and changes are read from the paper, so that it cannot say what does not work.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tests::{Bench, Sink, files_below, guests, repository};

const API: &str = "https://api.github.com";
const PAPER: &str = "docs/authors.md";

/// What the server has, and what it was asked.
#[derive(Default)]
struct GitHub {
    issues: Vec<Value>,
    comments: Vec<Value>,
    asked: Vec<String>,
    tokens: Vec<String>,
}

impl GitHub {
    fn add(&mut self, issues: std::ops::Range<u64>, comments: std::ops::Range<u64>, updated_at: &str) {
        for id in issues {
            self.issues.push(json!({
                "id": 1000 + id, "number": id, "title": format!("Issue {id}"), "state": "open",
                "user": { "login": "ada" }, "created_at": "2026-01-01T00:00:00Z", "updated_at": updated_at,
                "html_url": format!("https://github.com/rust-lang/log/issues/{id}"), "body": "passed over"
            }));
        }
        for id in comments {
            self.comments.push(json!({
                "id": id, "body": "So it is.", "user": null, "created_at": "2026-01-01T00:00:00Z",
                "updated_at": updated_at, "html_url": format!("https://github.com/c/{id}"),
                "issue_url": "https://api.github.com/repos/rust-lang/log/issues/1"
            }));
        }
    }

    /// Changes an issue as it is asked to.
    fn change(&mut self, path: &str, change: &Value) -> (u16, String, Value) {
        let number = path.strip_prefix("/repos/rust-lang/log/issues/").and_then(|number| number.parse::<u64>().ok());
        let Some(issue) = self.issues.iter_mut().find(|issue| issue["number"].as_u64() == number) else {
            return (404, String::new(), json!({ "message": "Not Found" }));
        };
        issue["title"] = change["title"].clone();
        (200, String::new(), issue.clone())
    }

    /// The status, the header fields and the body for a path with its query.
    fn answer(&mut self, target: &str) -> (u16, String, Value) {
        self.asked.push(target.to_owned());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        let list = match path {
            "/repos/rust-lang/log/issues" => &self.issues,
            "/repos/rust-lang/log/issues/comments" => &self.comments,
            "/repos/rust-lang/log" => return (200, String::new(), json!({ "id": 1 })),
            "/repos/rust-lang/log/assignees" => return (200, String::new(), json!([{ "id": 1, "login": "ada" }])),
            _ => return (404, String::new(), json!({ "message": "Not Found" })),
        };
        // Times of one form and zone compare as texts.
        let since = parameter("since").map(|since| since.replace("%3A", ":")).unwrap_or_default();
        let found: Vec<&Value> = list.iter().filter(|item| item["updated_at"].as_str() >= Some(&since)).collect();
        let page: usize = parameter("page").map_or(1, |page| page.parse().unwrap());
        let per_page: usize = parameter("per_page").unwrap().parse().unwrap();
        let items = found.chunks(per_page).nth(page - 1).unwrap_or_default();
        let mut headers = "date: Sat, 21 Nov 2026 09:30:00 GMT\r\n".to_owned();
        if found.len() > page * per_page {
            let rest: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("page=")).collect();
            let _ = write!(headers, "link: <{path}?{}&page={}>; rel=\"next\"\r\n", rest.join("&"), page + 1);
        }
        (200, headers, json!(items))
    }
}

/// The body of a request, of the length that its fields say.
fn body(reader: &mut impl Read, fields: &[String]) -> Value {
    let length = fields.iter().find_map(|field| {
        let (name, value) = field.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// Serves until the process ends. One connection after the other is enough.
fn serve(github: Arc<Mutex<GitHub>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { continue };
            let mut reader = BufReader::new(connection.try_clone().unwrap());
            let mut lines = reader.by_ref().lines().map_while(Result::ok);
            let Some(first) = lines.next() else { continue };
            let fields: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            // The body of a change is one line of JSON, and its sender waits for the answer.
            let change = first.starts_with("PATCH ").then(|| body(&mut reader, &fields));
            let mut github = github.lock().unwrap();
            github.tokens.extend(fields.iter().filter_map(|field| {
                let (name, value) = field.split_once(": ")?;
                name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
            }));
            let (status, headers, body) = match change {
                Some(change) => github.change(first.split(' ').nth(1).unwrap(), &change),
                None => github.answer(first.split(' ').nth(1).unwrap()),
            };
            let body = body.to_string();
            // A guest that was interrupted has gone away; that is its affair.
            let _ = write!(
                connection,
                "HTTP/1.1 {status} X\r\n{headers}content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    port
}

/// A block of code of the paper: the words after its three backticks, and its text.
struct Block {
    info: String,
    text: String,
}

/// The blocks of the paper's tutorial in a language that say what to do, in order. A third word names another language than
/// Rust, or `others`.
fn blocks(language: &str) -> Vec<Block> {
    let paper = fs::read_to_string(repository().join(PAPER)).unwrap();
    let (mut blocks, mut open): (Vec<Block>, bool) = (Vec::new(), false);
    for line in paper.lines() {
        match line.strip_prefix("```") {
            Some(info) if !open => {
                blocks.push(Block { info: info.to_owned(), text: String::new() });
                open = true;
            }
            Some(_) => open = false,
            None if open => blocks.last_mut().unwrap().text.push_str(&format!("{line}\n")),
            None => {}
        }
    }
    blocks.retain(|block| block.info.contains(' '));
    blocks.retain(|block| match block.info.split(' ').nth(2) {
        None => language == "rust",
        Some("others") => language != "rust",
        Some(named) => named == language,
    });
    blocks
}

/// A project, and the server that stands for the paper's API.
struct Stranger {
    bench: Bench,
    folder: PathBuf,
    port: u16,
    /// What stands in the environment besides, so that nothing is fetched.
    environment: Vec<(&'static str, String)>,
}

impl Stranger {
    /// What the paper says, with this machine's server in place of the API.
    fn local(&self, text: &str) -> String {
        let host = format!("127.0.0.1:{}", self.port);
        text.replace(API, &format!("http://{host}"))
            .replace(
                "NetworkRule.https(\"api.github.com\", methods",
                &format!("NetworkRule.http(\"127.0.0.1\", {}, methods", self.port),
            )
            .replace(
                "NetworkRule.https(\"api.github.com\", {",
                &format!("NetworkRule.http(\"127.0.0.1\", {{ port: {},", self.port),
            )
            .replace(
                "NetworkRule::https(\"api.github.com\")",
                &format!("NetworkRule::http(\"127.0.0.1\").port({})", self.port),
            )
            .replace("@api.github.com", "@127.0.0.1")
            .replace("hosts: [api.github.com]", "hosts: [127.0.0.1]")
    }

    /// Rewrites a file of the project so that it reaches this machine's server.
    fn redirect(&self, path: &str) {
        let file = self.folder.join(path);
        let text = self.local(&fs::read_to_string(&file).unwrap());
        let text = text.replace("    grants:\n", "    grants:\n      private_hosts: [127.0.0.1]\n");
        fs::write(file, text).unwrap();
    }

    /// A line of the paper, run in the project's folder; what it printed, and whether it succeeded.
    fn run(&self, line: &str) -> (bool, String) {
        let line = self.local(line).replace("agent run-wasm", "agent run-wasm --allow-private 127.0.0.1");
        let path = format!("{}:{}", tests::binary().parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-c", &line]).current_dir(&self.folder).env("PATH", path).env("CARGO_NET_OFFLINE", "true");
        command
            .env("GITHUB_TOKEN", "ghp_of_a_stranger")
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("RUSTC_WORKSPACE_WRAPPER");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
        (output.status.success(), text)
    }

    #[track_caller]
    fn runs(&self, line: &str) -> String {
        let (good, text) = self.run(line);
        assert!(good, "{line}\n{text}");
        text
    }

    /// A test of the project in which no check fails and none warns.
    #[track_caller]
    fn says_all_ok(&self, line: &str) {
        let text = self.runs(line);
        assert!(text.contains("checks, all ok"), "{line}\n{text}");
    }

    /// Applies the changes of a block of the paper, with `@@` between them, to a file of the project.
    fn change(&self, path: &str, diff: &str) {
        diff.split("@@\n").for_each(|one| self.change_one(path, one));
    }

    fn change_one(&self, path: &str, diff: &str) {
        let file = self.folder.join(path);
        let text = fs::read_to_string(&file).unwrap();
        let lines = |sign: char| -> String {
            let of = diff.lines().filter(|line| line.starts_with([sign, ' ']) || line.is_empty());
            of.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect()
        };
        let (old, new) = (self.local(&lines('-')), self.local(&lines('+')));
        assert_eq!(text.matches(&old).count(), 1, "{PAPER} changes what {path} does not have once:\n{old}\n{text}");
        fs::write(file, text.replace(&old, &new)).unwrap();
    }

    fn sink(&self) -> Sink {
        Sink::read(&self.folder.join("out"))
    }
}

/// A place that stays the same, so that what cargo built is used again: `target/new/my-issues`.
fn place() -> PathBuf {
    guests().ancestors().nth(2).unwrap().join("new/my-issues")
}

/// Makes the project where the last run had it, and gives it what was built then.
fn made() -> (Bench, PathBuf) {
    let (bench, folder) = (Bench::new(), place());
    let kept = folder.with_extension("kept");
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    if folder.join("target").exists() {
        let _ = fs::remove_dir_all(&kept);
        fs::rename(folder.join("target"), &kept).unwrap();
    }
    let _ = fs::remove_dir_all(&folder);
    let made = bench.run(&["new", "my-issues", "--dir", folder.to_str().unwrap()]).code(0);
    made.says("cargo test").says("cargo wasm").says("agent run-wasm");
    if kept.exists() {
        fs::rename(&kept, folder.join("target")).unwrap();
    }
    // The versions that this repository is built with: they are on this machine.
    fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    (bench, folder)
}

#[test]
fn new_makes_a_project_and_the_tutorial_is_true() {
    let github = Arc::new(Mutex::new(GitHub::default()));
    github.lock().unwrap().add(1..131, 1..4, "2026-01-02T00:00:00Z");
    let port = serve(Arc::clone(&github));
    let (bench, folder) = made();
    let stranger = Stranger { bench, folder, port, environment: Vec::new() };
    stranger.runs("cargo fmt --check");
    stranger.runs("cargo test --quiet");
    for path in ["src/lib.rs", "src/tests.rs", "agent.yaml", "cassettes/first.har", "cassettes/tried.har"] {
        stranger.redirect(path);
    }
    // As it is, before the paper changes it.
    stranger.runs("cargo wasm");
    stranger.says_all_ok("agent test .");
    follow(&stranger, &github, &blocks("rust"));
    let sink = stranger.sink();
    assert_eq!((sink.ids("my-issues/my-issues.Issue").len(), sink.count("my-issues")), (131, 131 + 4));
    let github = github.lock().unwrap();
    assert!(github.tokens.iter().all(|token| token == "Bearer ghp_of_a_stranger"), "{:?}", github.tokens);
    assert!(!github.tokens.is_empty(), "the credential was put in");
    stranger.bench.run(&["new", "my-issues", "--dir", place().to_str().unwrap()]).code(2).says("is not empty");
}

#[test]
fn new_brings_the_whole_sdk() {
    let bench = Bench::new();
    let _ = bench.run(&["new", "whole", "--dir", bench.path("whole").to_str().unwrap()]).code(0);
    let below = |folder: PathBuf| -> Vec<PathBuf> {
        let files = files_below(&folder);
        files.iter().map(|file| file.strip_prefix(&folder).unwrap().to_owned()).collect()
    };
    let brought = below(bench.path("whole/vendor/agent/guest-sdk/rust/src"));
    assert_eq!(
        brought,
        below(repository().join("guest-sdk/rust/src")),
        "host/agent/src/app/new.rs lists what it brings"
    );
}

/// Does what these blocks of the paper say.
fn follow(stranger: &Stranger, github: &Mutex<GitHub>, blocks: &[Block]) {
    let mut said = String::new();
    for block in blocks {
        let mut words = block.info.split(' ');
        match (words.next().unwrap(), words.next().unwrap()) {
            ("sh", "made") => {}
            ("sh", expected) => {
                for line in block.text.lines() {
                    said = tutorial_step(stranger, github, line, expected);
                }
            }
            ("text", "said") => {
                for line in stranger.local(&block.text).lines() {
                    assert!(said.contains(line.trim()), "{PAPER} has `{line}`, and what is said is:\n{said}");
                }
            }
            ("diff", path) => stranger.change(path, &block.text),
            (_, path) => fs::write(stranger.folder.join(path), stranger.local(&block.text)).unwrap(),
        }
    }
}

/// The tools of a language as `make guests` installed them, and the environment in which they are used without fetching
/// anything; nothing where they are not there.
fn installed(language: &str) -> Option<Vec<(&'static str, String)>> {
    let tools = guests().ancestors().nth(2).unwrap().join("tools").join(language);
    if language == "js" {
        // What was installed before is in npm's own cache.
        let there = tools.join("node_modules/componentize-qjs").exists();
        return there.then(|| vec![("npm_config_offline", "true".to_owned())]);
    }
    // To pip, the toolchain is installed already. The agent comes first, as everywhere here.
    let packages = fs::read_dir(tools.join("lib")).ok()?.next()?.ok()?.path().join("site-packages");
    let tool = tools.join("bin").display().to_string();
    let agent = tests::binary().parent()?.display().to_string();
    let path = [agent, std::env::var("PATH").ok()?, tool];
    tools.join("bin/componentize-py").exists().then(|| {
        vec![
            ("PIP_NO_INDEX", "1".to_owned()),
            ("PYTHONPATH", packages.display().to_string()),
            ("PATH", path.join(":")),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ]
    })
}

#[test]
fn new_makes_projects_in_other_languages_and_the_tutorial_is_true_of_them() {
    for language in ["python", "js"] {
        let Some(environment) = installed(language) else {
            let skipped =
                format!("skipped a new project in {language}: its tools are not there; `make guests` says why");
            assert!(!std::env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "false")), "{skipped}");
            eprintln!("{skipped}");
            continue;
        };
        let github = Arc::new(Mutex::new(GitHub::default()));
        github.lock().unwrap().add(1..131, 1..1, "2026-01-02T00:00:00Z");
        let port = serve(Arc::clone(&github));
        let bench = Bench::new();
        let folder = bench.path("my-issues");
        bench.run(&["new", "my-issues", "--lang", language]).code(0).says("agent run-wasm my-issues.wasm");
        let (app, test) =
            if language == "js" { ("src/app.js", "tests/app.test.js") } else { ("app.py", "test_app.py") };
        let stranger = Stranger { bench, folder, port, environment };
        for path in [app, test, "agent.yaml", "cassettes/first.har", "cassettes/tried.har"] {
            stranger.redirect(path);
        }
        // As it is, before the paper changes it.
        stranger.runs(if language == "js" { "npm install && npm run build" } else { "python3 build.py" });
        stranger.says_all_ok("agent test .");
        let wit = files_below(&stranger.folder.join("vendor")).into_iter().find(|file| file.ends_with("package.wit"));
        let published = fs::read_to_string(repository().join("wit/package.wit")).unwrap();
        assert_eq!(fs::read_to_string(wit.unwrap()).unwrap(), published, "{language}: the contract is a real file");
        follow(&stranger, &github, &blocks(language));
        let sink = stranger.sink();
        assert_eq!(sink.ids("my-issues/my-issues.Issue").len(), 131, "{language}");
        let github = github.lock().unwrap();
        assert!(!github.tokens.is_empty(), "{language}: the credential was put in");
        assert!(github.tokens.iter().all(|token| token == "Bearer ghp_of_a_stranger"), "{:?}", github.tokens);
    }
}

/// Runs a line of the paper; `expected` is the word behind `sh`: `works`, `fails`, `again`, where nothing is new, or `later`,
/// before which something happens on the server.
fn tutorial_step(stranger: &Stranger, github: &Mutex<GitHub>, line: &str, expected: &str) -> String {
    assert!(["works", "fails", "again", "later"].contains(&expected), "{PAPER}: `sh {expected}`");
    if expected == "later" {
        let id = github.lock().unwrap().issues.len() as u64 + 1;
        github.lock().unwrap().add(id..id + 1, 9..10, "2026-11-21T09:29:00Z");
    }
    let (good, text) = stranger.run(line);
    assert_eq!(good, expected != "fails", "{line}\n{text}");
    let records = text.lines().filter(|line| line.contains("\"record\":")).count();
    match expected {
        "again" => assert_eq!(records, 0, "{line}\n{text}"),
        "later" => assert!(records == 1 && text.contains("Issue 131"), "{line}\n{text}"),
        _ => {}
    }
    text
}

#[test]
fn new_says_what_is_wrong() {
    let bench = Bench::new();
    for (arguments, expected) in [
        (&["new", "My Issues"][..], "`my-issues` would do"),
        (&["new", "git"], "means something else already"),
        (&["new", "x", "--lang", "cobol"], "possible values: rust, python, js"),
        (&["new", "x", "--lang", "js", "--sdk", "."], "there is no index.js in it"),
        (&["new", "x", "--sdk", "nowhere"], "--sdk nowhere"),
    ] {
        bench.run(arguments).code(2).says(expected);
        assert!(!bench.path("x").exists() && !Path::new("git").exists());
    }
    let report = bench.run(&["new", "x", "--json"]).code(0).json();
    assert_eq!(report["next"][0], "cd x");
    for file in report["files"].as_array().unwrap() {
        assert!(bench.path("x").join(file.as_str().unwrap()).is_file(), "{file}");
    }
}

//! Repositories as the operator sees them exported: what is in the sink after one night and after the next, after a kill in
//! the middle of a large history, with repositories that fail and with such that are left out. What a history holds is
//! tested beside the library that reads it, and how its records are made beside the git side.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tests::{Bench, HEAD, compiled, files_below, wait_until};

/// Runs a script of a shell where the bench is.
#[track_caller]
fn shell(bench: &Bench, script: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-ec", script]).current_dir(bench.path("")).env("GIT_CONFIG_GLOBAL", "/dev/null");
    for role in ["AUTHOR", "COMMITTER"] {
        shell.env(format!("GIT_{role}_NAME"), "Ann").env(format!("GIT_{role}_EMAIL"), "ann@example.org");
    }
    assert!(shell.status().unwrap().success());
}

/// A bench whose git integration exports these repositories, with these further settings in its `config`.
fn bench(repos: &[&str], settings: &str) -> Bench {
    let bench = Bench::new();
    let config = configuration(&bench, repos, settings, "");
    bench.config(&config)
}

fn configuration(bench: &Bench, repos: &[&str], settings: &str, more: &str) -> String {
    let urls: Vec<String> =
        repos.iter().map(|repo| format!("{{url: {}, ref_id: {repo}}}", bench.path(repo).display())).collect();
    format!(
        "{HEAD}  - name: git\n    component: git\n    config: {{repos: [{}]{settings}}}\n    grants: {{git: {{paths: [.]}}}}\n{more}",
        urls.join(", ")
    )
}

/// What the sink has, by model and id, in the end. Nothing comes again as it was.
#[track_caller]
fn records(bench: &Bench) -> BTreeMap<(String, String), Value> {
    let mut found = BTreeMap::new();
    for (model, records) in bench.sink().records {
        for record in records.into_iter().filter(|record| record.get("id").is_some()) {
            let key = (model.clone(), record["id"].as_str().unwrap().to_owned());
            assert_ne!(found.get(&key), Some(&record), "{key:?} came twice as it is");
            found.insert(key, record);
        }
    }
    found
}

/// What is true now is in the sink as an export into a new root and a new sink has it.
#[track_caller]
fn as_new(bench: &Bench) {
    let found = records(bench);
    shell(bench, "mv root root.old && mv out out.old");
    compiled::give(["integration_git.wasm"], &bench.path("root/cache/components"));
    bench.export().code(0);
    let whole = records(bench);
    assert!(!whole.is_empty());
    for (key, record) in &whole {
        assert_eq!(found.get(key), Some(record), "{key:?}");
    }
    shell(bench, "rm -r root out && mv root.old root && mv out.old out");
}

fn of<'a>(records: &'a BTreeMap<(String, String), Value>, model: &str) -> Vec<&'a Value> {
    records.iter().filter(|(key, _)| key.0 == format!("git/sourcecode.{model}")).map(|(_, record)| record).collect()
}

#[test]
fn the_next_night_brings_what_is_new_whatever_happened_to_the_history() {
    let bench = bench(&["repo"], "");
    shell(
        &bench,
        "git init -q -b main repo; cd repo; printf 'fn main() {\\n}\\n' > a.rs; git add .; git commit -qm one
         printf '// says\\nfn main() {\\n\\n}\\n' > a.rs; git commit -qam two; git switch -qc side; git mv a.rs b.rs; git commit -qm three",
    );
    bench.export().code(0);
    let first = records(&bench);
    assert_eq!([of(&first, "Commit").len(), of(&first, "Blame").len(), of(&first, "Branch").len()], [3, 4, 2]);
    let moved = of(&first, "Blame").into_iter().find(|record| record["filename"] == "b.rs").unwrap();
    let commit = |message: &str| {
        let commits = of(&first, "Commit");
        commits.iter().find(|record| record["message"] == format!("{message}\n")).unwrap()["sha"].clone()
    };
    assert_eq!((&moved["language"], &moved["classes"]), (&json!("Rust"), &json!("m1c1b1c1")));
    assert_eq!(
        (&moved["owners"], &moved["runs"]),
        (&json!([commit("two"), commit("one")]), &json!([[0, 1], [1, 1], [0, 1], [1, 1]]))
    );
    as_new(&bench);
    // Nothing moved; then something did; then the history was written anew, and a branch is gone.
    let nothing = bench.report(0, &[]);
    assert_eq!(nothing["delivered"]["records"], 0);
    shell(&bench, "cd repo; git switch -q main; echo '// more' >> a.rs; git commit -qam four");
    let night = bench.report(0, &[]);
    assert_eq!(
        (night["integrations"][0]["repos"][0]["records"].as_u64(), &night["integrations"][0]["incremental"]),
        (Some(4), &json!(true))
    );
    as_new(&bench);
    shell(
        &bench,
        "cd repo; git reset -q --hard HEAD~1; echo '// other' >> a.rs; git commit -qam five; git branch -qD side",
    );
    let night = bench.report(0, &[]);
    assert_eq!(night["integrations"][0]["repos"][0]["records"], 3);
    as_new(&bench);
    // Ids of old are other ids of the same.
    bench.write("agent.yaml", configuration(&bench, &["repo"], ", ids: legacy, blame: false", ""));
    bench.export().code(0);
    let short = |record: &&Value| record["id"].as_str().unwrap().len() == 16;
    assert_eq!(of(&records(&bench), "Commit").into_iter().filter(short).count(), 3);
    assert_eq!(of(&records(&bench), "Blame").into_iter().filter(short).count(), 0);
}

/// A history whose records take some 50 MB: a file of many owners that changes again and again.
fn large(bench: &Bench) {
    const LINES: usize = 4_000;
    let mut script = String::new();
    let mut lines: Vec<String> = (0..LINES).map(|line| format!("line {line}\n")).collect();
    for commit in 0..1_300 {
        // Spread, so that neighbours have other owners.
        for change in 0..4 {
            lines[(commit * 4 + change) * 1_009 % LINES] = format!("line of {commit}\n");
        }
        let text = lines.concat();
        write!(
            script,
            "commit refs/heads/main\ncommitter Ann <ann@example.org> {} +0000\ndata 1\nx\nM 644 inline a.c\ndata {}\n{text}\n",
            1_700_000_000 + commit,
            text.len()
        )
        .unwrap();
    }
    shell(bench, "git init -q -b main --bare repo");
    let mut import = Command::new("git");
    import.args(["fast-import", "--quiet"]).current_dir(bench.path("repo")).stdin(Stdio::piped());
    let mut import = import.spawn().unwrap();
    std::io::Write::write_all(&mut import.stdin.take().unwrap(), script.as_bytes()).unwrap();
    assert!(import.wait().unwrap().success());
}

#[test]
fn a_kill_in_the_middle_of_a_large_history_loses_nothing_and_doubles_nothing() {
    let bench = bench(&["repo"], "");
    large(&bench);
    // A file that is still being written has a name with a dot.
    let whole = |file: &PathBuf| !file.file_name().unwrap().to_str().unwrap().starts_with('.');
    let commits = bench.path("out/git/sourcecode.Commit");
    let running = bench.start(&["export"]);
    wait_until("some commits are in the sink", || files_below(&commits).iter().any(whole) || !running.is_there());
    assert!(running.signal("KILL"), "it was done before it could be killed");
    running.code();
    let before = of(&records(&bench), "Commit").len();
    assert!(before > 0 && before < 1_300, "{before}");
    let report = bench.report(0, &[]);
    // It went on: what had been committed was not even sent.
    let sessions = report["integrations"][0]["sessions"].as_array().unwrap();
    let session = sessions.iter().find(|session| session["model"] == "sourcecode.Commit").unwrap();
    assert_eq!((&session["resumed"], &session["unchanged"]), (&json!(true), &json!(0)));
    assert_eq!(of(&records(&bench), "Commit").len(), 1_300);
    as_new(&bench);
}

#[test]
fn a_repository_that_fails_leaves_the_others() {
    let bench = bench(&["broken", "good"], "");
    shell(
        &bench,
        "for name in broken good; do git init -q -b main $name; (cd $name; echo 1 > a; git add .; git commit -qm one); done
         cd broken; rm -r .git/objects/$(git rev-parse HEAD | cut -c1-2)",
    );
    let report = bench.report(3, &[]);
    let repos = report["integrations"][0]["repos"].as_array().unwrap();
    assert!(repos[0]["error"].as_str().unwrap().contains("is missing"), "{repos:?}");
    assert_eq!((&repos[1]["name"], &repos[1]["error"]), (&json!("good"), &Value::Null));
    assert_eq!(of(&records(&bench), "Commit").len(), 1);
}

#[test]
fn repositories_are_left_out_where_the_operator_says_so_and_it_is_told() {
    let bench = bench(&["one", "two"], "");
    shell(
        &bench,
        "for name in one two; do git init -q -b main $name; (cd $name; git commit -q --allow-empty -m one); done",
    );
    let all = configuration(&bench, &["one", "two"], "", "");
    let cases = [
        // For the whole agent, and for one of two integrations.
        (format!("skip_git: true\n{all}"), 2, 0),
        (
            format!(
                "{all}    skip_git: true\n{}",
                configuration(&bench, &["one"], "", "").replace(HEAD, "").replace("name: git", "name: other")
            ),
            2,
            1,
        ),
        (all.clone(), 0, 2),
    ];
    for (config, skipped, exported) in cases {
        bench.write("agent.yaml", &config);
        let report = bench.report(0, &[]);
        assert_eq!(report["integrations"][0]["repos_skipped"], skipped, "{config}");
        let repos: usize =
            report["integrations"].as_array().unwrap().iter().map(|one| one["repos"].as_array().unwrap().len()).sum();
        assert_eq!(repos, exported, "{config}");
        let told = bench.run(&["export", "--reprocess-historical"]).code(0);
        assert_eq!(
            told.stdout.contains("git: 2 repositories left out, as `skip_git` says"),
            skipped > 0,
            "{}",
            told.stdout
        );
    }
}

//! `agent ripsrc` as people and programs use it: what it prints of repositories that git made, where that goes when something
//! is in the way, and that the checkpoint moves only when everything has arrived. What a history means is the tests' of
//! `host/ripsrc`; here git is asked through `validate`.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tests::{Bench, Output, repository, wait_until};

use crate::commands::{fits, published};

/// A history with something of everything: merges, renames, a copy, an empty and a binary file, CRLF, a last line without an
/// end, a name and a text that are no UTF-8, an executable, a link, a submodule, a tag, and branches.
const SCRIPT: &str = r#"
set -eu
git init -q -b main repo && cd repo
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@x
export GIT_AUTHOR_NAME=Ä GIT_AUTHOR_EMAIL=a@x
clock=1500000000
commit() {
    clock=$((clock + 3600))
    git add -A && GIT_AUTHOR_DATE="$clock +0130" GIT_COMMITTER_DATE="$clock +0000" git commit -q --allow-empty -m "$1"
}
mkdir src
printf '// one\nfn main() {\n    if true {}\n\n}\n' > src/main.rs
printf 'a\r\nb\r\n' > crlf.txt; : > empty; printf 'x\0y' > binary; printf 'no end' > end.txt
commit "first

with a body"
git tag v1
printf 'new\n' >> end.txt; printf '// two\n' >> src/main.rs; printf 'name\n' > "$(printf 'n\303\244\377')"
commit second
git mv src/main.rs src/lib.rs; cp crlf.txt copy.txt; ln -s empty link; chmod +x empty
commit moved
git checkout -q -b topic
printf 'topic\n' > topic.txt; printf 'top\n' | cat - end.txt > t && mv t end.txt
commit "on topic"
git checkout -q main
printf 'c\r\n' >> crlf.txt
commit "on main"
clock=$((clock + 3600))
GIT_AUTHOR_DATE="$clock +0000" GIT_COMMITTER_DATE="$clock +0000" git merge -q --no-ff -m "merge topic" topic
git rm -q binary
commit "without binary"
git update-index --add --cacheinfo 160000,1111111111111111111111111111111111111111,module
clock=$((clock + 3600))
GIT_AUTHOR_DATE="$clock +0000" GIT_COMMITTER_DATE="$clock +0000" git commit -q -m "a submodule"
git checkout -q -b open
printf 'open\n' > open.txt
git add open.txt
GIT_AUTHOR_DATE="$clock +0000" GIT_COMMITTER_DATE="$clock +0000" git commit -q -m "not merged"
git checkout -q main
git repack -adq
"#;

fn sh(bench: &Bench, script: &str) {
    let output = Command::new("sh").args(["-c", script]).current_dir(bench.path("")).output().unwrap();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
}

fn git(bench: &Bench, arguments: &str) -> String {
    let line = format!("git -C repo {arguments}");
    let output = Command::new("sh").args(["-c", &line]).current_dir(bench.path("")).output().unwrap();
    assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn bench() -> Bench {
    let bench = Bench::new();
    sh(&bench, SCRIPT);
    bench
}

/// The records of a text.
fn records(text: &str) -> Vec<Value> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is whole");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_model<'a>(records: &'a [Value], model: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["model"] == model).collect()
}

/// What there is in the bench's folder.
fn listed(bench: &Bench) -> Vec<String> {
    let entries = std::fs::read_dir(bench.path("")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A file with a thousand owners in each of two hundred commits: tens of megabytes of records, from a repository of few.
fn large(bench: &Bench) {
    let mut script = String::new();
    let mut lines: Vec<String> = (0..4000).map(|line| format!("line {line}")).collect();
    for commit in 0..200 {
        for at in (commit % 20..4000).step_by(20) {
            lines[at] = format!("line {at} of {commit}");
        }
        let text = lines.join("\n") + "\n";
        script.push_str(&format!(
            "commit refs/heads/main\ncommitter A <a@b> {} +0000\ndata 1\nmM 100644 inline f\ndata {}\n{text}\n",
            1_500_000_000 + commit,
            text.len()
        ));
    }
    sh(bench, "git init -q --bare -b main repo");
    let mut import = Command::new("git")
        .args(["-C", "repo", "fast-import", "--quiet"])
        .current_dir(bench.path(""))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    import.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(import.wait().unwrap().success());
}

// --- records

#[test]
fn every_line_is_as_the_schema_says() {
    let bench = bench();
    let schema = published("ripsrc-record");
    let head = git(&bench, "rev-parse open");
    let code = bench.run(&["ripsrc", "code", "repo", "--all-branches"]).code(0);
    let branches = bench.run(&["ripsrc", "branches", "repo", "--pr-sha", &head]).code(0);
    let all = [records(&code.stdout), records(&branches.stdout)].concat();
    for record in &all {
        let faults: Vec<String> = schema.iter_errors(record).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{faults:?}\n{record:#}");
    }
    let commits = of_model(&all, "commit");
    let mut shas: Vec<&str> = commits.iter().map(|commit| commit["sha"].as_str().unwrap()).collect();
    let told = git(&bench, "rev-list --all");
    let mut expected: Vec<&str> = told.lines().collect();
    shas.sort_unstable();
    expected.sort_unstable();
    assert_eq!(shas, expected);
    assert_eq!(commits[0]["message"], "first");
    assert_eq!(commits[0]["author"], json!({"name": "Ä", "email": "a@x"}));
    assert_eq!(commits[0]["date"], "2017-07-14T05:10:00+01:30");
    let blames = of_model(&all, "blame");
    assert!(blames.iter().any(|blame| blame["filename"] == "nä\u{fffd}" && blame["lines"] == 1));
    assert!(blames.iter().any(|blame| blame["language"] == "Rust" && blame["classes"] == "mccbc"));
    assert_eq!(of_model(&all, "branch").len(), 4, "main, open, topic, and the head that was named");
    // Anything that is not described would be a fault.
    let mut more = all[0].clone();
    more["more"] = json!(1);
    assert!(!schema.is_valid(&more));
}

#[test]
fn the_schema_is_one() {
    let own = std::fs::read_to_string(repository().join("host/ripsrc/schemas/record.json")).unwrap();
    let copy = std::fs::read_to_string(repository().join("docs/schemas/ripsrc-record.json")).unwrap();
    assert!(own == copy, "docs/schemas/ripsrc-record.json is to be a copy of host/ripsrc/schemas/record.json");
    assert_eq!(Bench::new().run(&["ripsrc", "schema"]).code(0).stdout, own);
}

#[test]
fn however_it_is_run_the_records_are_the_same() {
    let bench = bench();
    let all = bench.run(&["ripsrc", "code", "repo"]).code(0);
    assert!(all.stdout.lines().count() > 20 && all.stderr.contains("8 commits"), "{}", all.stderr);
    for more in [&["--threads=1"][..], &["--threads", "3", "--memory-max", "32MiB"], &["--output=-", "--quiet"]] {
        let same = bench.run(&[&["ripsrc", "code", "repo"], more].concat()).code(0);
        assert!(same.stdout == all.stdout, "{more:?}");
        assert_eq!(same.stderr.is_empty(), more.contains(&"--quiet"));
    }
    // A bare repository, a linked work tree, and a file.
    sh(&bench, "git clone -q --bare repo bare.git && git -C repo worktree add -q ../linked main --force");
    assert!(bench.run(&["ripsrc", "code", "bare.git"]).code(0).stdout == all.stdout);
    assert!(bench.run(&["ripsrc", "code", "linked"]).code(0).stdout == all.stdout);
    bench.write("records.ndjson", "old");
    bench.run(&["ripsrc", "code", "repo", "--output", "records.ndjson"]).code(0).says("to records.ndjson");
    assert!(bench.read("records.ndjson") == all.stdout);
    // A detached HEAD is a place to begin like any other.
    let head = git(&bench, "rev-parse HEAD");
    git(&bench, "update-ref --no-deref HEAD HEAD~1");
    assert!(bench.run(&["ripsrc", "code", "repo", "--at", &head]).code(0).stdout == all.stdout);
    assert!(bench.run(&["ripsrc", "code", "repo"]).code(0).stdout.len() < all.stdout.len());
}

#[test]
fn parts_can_be_left_out() {
    let bench = bench();
    let commits = records(&bench.run(&["ripsrc", "code", "repo", "--no-blame"]).code(0).stdout);
    assert_eq!((commits.len(), of_model(&commits, "commit").len()), (8, 8));
    assert!(commits.iter().any(|commit| commit["files"].as_array().unwrap().iter().any(|file| {
        file["filename"] == "src/lib.rs" && file["renamed_from"] == "src/main.rs" && file["status"] == "added"
    })));
    let uncounted = records(&bench.run(&["ripsrc", "code", "repo", "--no-count"]).code(0).stdout);
    assert!(of_model(&uncounted, "blame").iter().all(|blame| blame["classes"] == "" && blame["language"] == ""));
    assert!(of_model(&uncounted, "blame").iter().any(|blame| blame["owners"].as_array().unwrap().len() > 1));
}

#[test]
fn what_is_known_is_named_as_people_name_it() {
    let bench = bench();
    let all = records(&bench.run(&["ripsrc", "code", "repo"]).code(0).stdout);
    let expected = git(&bench, "rev-list --count v1..HEAD").parse::<usize>().unwrap();
    let first = git(&bench, "rev-parse v1");
    for name in ["v1", "refs/tags/v1", &first, &first[..12], &first[..7].to_uppercase()] {
        let new = records(&bench.run(&["ripsrc", "code", "repo", "--since", name]).code(0).stdout);
        assert_eq!(of_model(&new, "commit").len(), expected, "{name}");
        let blames: Vec<&Value> = of_model(&all, "blame").into_iter().filter(|b| b["commit"] != first).collect();
        assert_eq!(of_model(&new, "blame"), blames, "the owners are those of the whole history");
    }
    for name in ["topic", "heads/topic"] {
        let new = records(&bench.run(&["ripsrc", "code", "repo", "--since", name, "--no-blame"]).code(0).stdout);
        assert_eq!(new.len().to_string(), git(&bench, "rev-list --count topic..HEAD"));
    }
    for (flag, name) in [("--since", "v2"), ("--since", "00000000"), ("--at", "HEAD~1"), ("--pr-sha", "what")] {
        let fault = format!("{flag} {name}: there is no commit `{name}`; give a branch");
        bench.run(&["ripsrc", "code", "repo", flag, name]).code(2).says(&fault);
    }
    let blob = git(&bench, "rev-parse HEAD:end.txt");
    bench.run(&["ripsrc", "code", "repo", "--since", &blob]).code(2).says("names something that is no commit");
}

#[test]
fn pull_requests_are_given_and_those_that_are_not_there_are_told() {
    let bench = bench();
    let (open, nowhere) = (git(&bench, "rev-parse open"), "2".repeat(40));
    let output = bench.run(&["ripsrc", "code", "repo", "--no-blame", "--pr-sha", &open, &nowhere]).code(0);
    assert!(records(&output.stdout).iter().any(|commit| commit["sha"] == open));
    output.says("1 head of a pull request is not in the repository").says(&nowhere);
    let branches = records(&bench.run(&["ripsrc", "branches", "repo", "--pr-sha", &open]).code(0).stdout);
    let head = branches.iter().find(|branch| branch["is_pull_request"] == true).unwrap();
    assert_eq!((&head["head"], &head["name"], &head["ahead"]), (&json!(open), &json!(""), &json!(1)));
    assert_eq!((&branches[0]["name"], &branches[0]["is_default"]), (&json!("main"), &json!(true)));
    let topic = branches.iter().find(|branch| branch["name"] == "topic").unwrap();
    assert_eq!((&topic["is_merged"], &topic["ahead"]), (&json!(true), &json!(1)));
}

// --- what could not be read

#[test]
fn what_is_missing_is_told() {
    let bench = bench();
    git(&bench, "config uploadpack.allowFilter true");
    sh(&bench, "git clone -q --bare --depth 2 \"file://$PWD/repo\" shallow");
    let shallow = bench.run(&["ripsrc", "code", "shallow"]).code(0);
    shallow.says("the clone is shallow: its history ends below").says("git fetch --unshallow");
    sh(&bench, "git clone -q --bare --filter=blob:none \"file://$PWD/repo\" partial");
    let partial = bench.run(&["ripsrc", "code", "partial"]).code(3);
    partial.says("of files cannot be read, and come without owners: object").says("this is a partial clone");
    let missing = records(&partial.stdout);
    assert!(of_model(&missing, "blame").iter().any(|blame| blame["skipped"] == "File cannot be read"));
    let summary = bench.run(&["ripsrc", "code", "partial", "--json", "--output=out.ndjson"]).code(3).json();
    fits("ripsrc-run", &summary);
    assert!(summary["unreadable"]["count"].as_u64().unwrap() > 5 && summary["partial_clone"] == true);
    let tree = git(&bench, "rev-parse HEAD^{tree}");
    sh(
        &bench,
        &format!(
            "cp -r repo damaged && cd damaged && mv .git/objects/pack/*.pack ../p && rm -f .git/objects/pack/* && \
             git unpack-objects -q < ../p && rm -f .git/objects/{}/{}",
            &tree[..2],
            &tree[2..]
        ),
    );
    bench.run(&["ripsrc", "code", "damaged"]).code(1).says(&tree).says("git fsck");
}

#[test]
fn a_folder_that_is_no_repository_says_which_is_meant() {
    let bench = bench();
    let absolute = bench.path("repo").canonicalize().unwrap();
    bench.run(&["ripsrc", "code", "."]).code(2).says("but a folder of 1; run once for each").says("./repo");
    let inside = bench.run(&["ripsrc", "branches", "repo/src"]).code(2);
    inside.says(&format!("inside of a repository; name that: {}", absolute.display()));
    bench.run(&["ripsrc", "validate", "tmp"]).code(2).says("tmp: it is no git repository");
    bench.run(&["ripsrc", "code", "nowhere"]).code(2).says("there is no such folder");
}

/// Command lines that are wrong, and what is said.
const WRONG: &[(&[&str], &str)] = &[
    (&["code"], "REPO"),
    (&["code", "repo", "--threads=0"], "no number from 1 to"),
    (&["code", "repo", "--memory-max=500"], "write a number with its unit"),
    (&["code", "repo", "--memory-max=1MiB"], "no history can be read with less than 32 MiB"),
    (&["code", "repo", "--at=main", "--all-branches"], "cannot be used with"),
    (&["validate", "repo", "--agreement-min=101"], "no number from 0 to 100"),
    (&["code", "repo", "--output=repo"], "it is a folder; name a file"),
];

#[test]
fn wrong_command_lines_are_told() {
    let bench = Bench::new();
    sh(&bench, "git init -q repo");
    for (arguments, said) in WRONG {
        bench.run(&[&["ripsrc"], *arguments].concat()).code(2).says(said);
    }
    // A repository without a commit has no history, and that is no fault.
    for command in ["code", "branches", "validate"] {
        let empty = bench.run(&["ripsrc", command, "repo"]).code(0);
        assert!(command == "validate" || empty.stdout.is_empty(), "{empty:?}");
    }
}

// --- output and checkpoint

/// Runs with the checkpoint `state`, to standard output.
fn nightly(bench: &Bench, code: i32) -> Output {
    bench.run(&["ripsrc", "code", "repo", "--all-branches", "--checkpoint", "state"]).code(code)
}

#[test]
fn base_and_increments_are_the_whole() {
    let bench = bench();
    let without_ordinals = |text: &str| {
        let mut all = records(text);
        for record in &mut all {
            record.as_object_mut().unwrap().remove("ordinal");
        }
        let mut lines: Vec<String> = all.iter().map(Value::to_string).collect();
        lines.sort();
        lines
    };
    let whole = without_ordinals(&bench.run(&["ripsrc", "code", "repo", "--all-branches"]).code(0).stdout);
    let (main, open) = (git(&bench, "rev-parse main"), git(&bench, "rev-parse open"));
    git(&bench, "branch -f open v1 && git -C repo reset -q --hard v1 && git -C repo branch -D topic");
    let base = nightly(&bench, 0);
    base.says("checkpoint: there was none, so all was given");
    git(&bench, &format!("reset -q --hard {main} && git -C repo branch -f open {open}"));
    let new = nightly(&bench, 0);
    new.says("checkpoint: only what is new was computed");
    assert_eq!(without_ordinals(&(base.stdout + &new.stdout)), whole);
    assert!(nightly(&bench, 0).stdout.is_empty());
    // Somebody pushes another history over the old one.
    git(&bench, "checkout -q open && git -C repo -c user.name=a -c user.email=a@x commit -q --amend -m again");
    let rewritten = nightly(&bench, 0);
    assert_eq!(of_model(&records(&rewritten.stdout), "commit").len(), 1);
    rewritten.says("1 tip of the run before cannot be reached any more").says(&open);
    // A damaged checkpoint is told, never trusted, and replaced.
    let path = bench.path("state/ripsrc.checkpoint");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let again = nightly(&bench, 0);
    again.says("is damaged").says("everything was given again");
    assert!(of_model(&records(&again.stdout), "commit").len() == 9);
    assert!(nightly(&bench, 0).stdout.is_empty());
}

#[test]
fn the_checkpoint_moves_only_when_all_is_written() {
    let bench = bench();
    let saved = || bench.path("state/ripsrc.checkpoint").exists();
    let to = |output: &str, code: i32| {
        bench.run(&["ripsrc", "code", "repo", "--checkpoint=state", "--output", output]).code(code)
    };
    to("/dev/full", 1).says("cannot be written to /dev/full").says("make room");
    to("no/such/folder/file", 1).says("cannot be written to no/such/folder/file").says("choose another --output");
    assert!(!saved());
    // Nobody reads: that is well for a person who has seen enough, and is not where a checkpoint waits.
    sh(&bench, "mkfifo pipe");
    // Its only reader is gone before the run begins.
    let gone = "exec 3<>pipe 4>pipe 3<&-; \"$AGENT\" ripsrc code repo MORE >&4 2>err";
    for (more, code, said) in [("", 0, ""), ("--checkpoint state", 1, "gone away before the end; the checkpoint is")] {
        drop(bench.shell(&gone.replace("MORE", more)).code(code));
        let err = bench.read("err");
        assert!(if said.is_empty() { err.is_empty() } else { err.contains(said) }, "{more}: {err}");
        assert!(!saved());
    }
    bench.write("taken", "");
    bench.run(&["ripsrc", "code", "repo", "--checkpoint=taken"]).code(1).says("--checkpoint taken:");
    to("out.ndjson", 0).says("the next one is in state");
    assert!(saved());
    // Whoever uses it keeps others out.
    let lock = std::fs::File::open(bench.path("state/ripsrc.lock")).unwrap();
    lock.lock().unwrap();
    to("out.ndjson", 1).says("another run is using it");
}

#[test]
fn a_pipe_is_written_to_and_stays_one() {
    let bench = bench();
    let all = bench.run(&["ripsrc", "code", "repo"]).code(0).stdout;
    let line = "mkfifo pipe && (cat pipe > got & \"$AGENT\" ripsrc code repo --output pipe; code=$?; wait; test -p pipe && exit $code)";
    bench.shell(line).code(0).says("to pipe");
    assert!(bench.read("got") == all);
    // The name of standard output is standard output.
    let named = bench.shell("\"$AGENT\" ripsrc code repo --output /dev/stdout > got").code(0);
    assert!(bench.read("got") == all && named.stdout.is_empty());
}

#[test]
fn nothing_else_is_touched() {
    let bench = bench();
    let repo = |bench: &Bench| sh_text(bench, "cd repo && find . -type f -exec cksum {} + | sort");
    let (before, state) = (listed(&bench), repo(&bench));
    for command in ["code", "branches", "validate"] {
        bench.run(&["ripsrc", command, "repo"]).code(0);
    }
    assert_eq!((listed(&bench), repo(&bench)), (before, state), "no root, no configuration, no file");
}

fn sh_text(bench: &Bench, script: &str) -> String {
    let output = Command::new("sh").args(["-c", script]).current_dir(bench.path("")).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

// --- results for programs

#[test]
fn results_have_their_published_forms() {
    let bench = bench();
    // Records on standard output: the result goes to standard error, and nothing else does.
    let output = bench.run(&["ripsrc", "code", "repo", "--json"]).code(0);
    let summary: Value = serde_json::from_str(&output.stderr).unwrap();
    fits("ripsrc-run", &summary);
    assert_eq!((&summary["commits"], &summary["bytes"]), (&json!(8), &json!(output.stdout.len())));
    assert_eq!((&summary["output"], &summary["checkpoint"]), (&Value::Null, &Value::Null));
    // Records in a file: the result is what standard output has, as elsewhere.
    let flags = ["--json", "--output=out.ndjson", "--checkpoint=state"];
    let output = bench.run(&[&["ripsrc", "code", "repo"], &flags[..]].concat()).code(0);
    assert!(output.stderr.is_empty(), "{output:?}");
    fits("ripsrc-run", &output.json());
    assert_eq!(output.json()["checkpoint"]["found"], "absent");
    assert_eq!(output.json()["checkpoint"]["saved"], true);
    let output = bench.run(&["ripsrc", "branches", "repo", "--json", "--output=branches.ndjson"]).code(0);
    fits("ripsrc-run", &output.json());
    assert_eq!(output.json()["branches"], 3);
    // An error among records would pass for one.
    let output = bench.run(&["ripsrc", "code", "nowhere", "--json"]).code(2);
    fits("error", &serde_json::from_str(&output.stderr).unwrap());
    assert!(output.stdout.is_empty());
    fits("error", &bench.run(&["ripsrc", "validate", "nowhere", "--json"]).code(2).json());
}

// --- agreement with git

#[test]
fn git_agrees() {
    let bench = bench();
    let told = bench.run(&["ripsrc", "validate", "repo", "--all-branches", "--commits=50"]).code(0);
    told.says("100.0000 %").says("agreement      at least 99.9 %");
    let report = bench.run(&["ripsrc", "validate", "repo", "--commits=50", "--json"]).code(0).json();
    fits("ripsrc-validate", &report);
    assert_eq!((&report["differing"], &report["agrees"]), (&json!(0), &json!(true)));
    assert!(report["files"].as_u64().unwrap() > 20 && report["lines"] == report["lines_equal"]);
}

#[test]
fn where_git_differs_it_is_listed() {
    let bench = bench();
    // A git that says of some lines that they are somebody else's.
    let fake = "#!/bin/sh\ncase \" $* \" in\n*' blame '*) /usr/bin/git \"$@\" | sed '1s/^[0-9a-f]*/1234567890123456789012345678901234567890/' ;;\n*) exec /usr/bin/git \"$@\" ;;\nesac\n";
    sh(&bench, "mkdir bin");
    bench.write("bin/git", fake);
    sh(&bench, "chmod +x bin/git");
    let line = "PATH=\"$PWD/bin:$PATH\" \"$AGENT\" ripsrc validate repo --commits=50";
    let told = bench.shell(line).code(1);
    told.says("git Some(1234567890123456789012345678901234567890), here Some(").says("NOT 99.9 %");
    let json = bench.shell(&format!("{line} --json --agreement-min=0")).code(0).json();
    fits("ripsrc-validate", &json);
    let listed = json["differences"].as_array().unwrap().len();
    assert!(listed > 20 && json["differing"] == listed, "{json:#}");
    told.says(&format!("… and {} more differences", listed - 20));
    bench.shell("PATH= \"$AGENT\" ripsrc validate repo").code(1).says("git must be installed");
}

// --- interrupts

#[test]
fn an_interrupt_ends_a_run_between_two_records() {
    let bench = Bench::new();
    large(&bench);
    let whole = bench.run(&["ripsrc", "code", "repo"]).code(0).stdout;
    assert!(whole.len() > 20 << 20, "{}", whole.len());
    sh(&bench, "mkfifo pipe");
    let running = bench.start(&["ripsrc", "code", "repo", "--checkpoint=state", "--output=pipe"]);
    let mut pipe = std::fs::File::open(bench.path("pipe")).unwrap();
    let mut first = [0];
    pipe.read_exact(&mut first).unwrap();
    // The pipe is full by now, and nobody reads until the run has heard of it.
    running.interrupt();
    wait_until("the interrupt is heard", || bench.read("running.stderr").contains("interrupted"));
    let mut got = String::from_utf8(first.to_vec()).unwrap();
    pipe.read_to_string(&mut got).unwrap();
    assert_eq!(running.code(), 130);
    assert!(got.len() < whole.len() && whole.starts_with(&got) && got.ends_with('\n'), "{} bytes", got.len());
    assert!(!bench.path("state/ripsrc.checkpoint").exists());
}

#[test]
fn an_interrupt_ends_a_run_that_nobody_reads() {
    let bench = Bench::new();
    large(&bench);
    let mut child = bench.spawn_piped(&["ripsrc", "code", "repo", "--checkpoint=state"]);
    let mut first = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    wait_until("the run ends", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!bench.path("state/ripsrc.checkpoint").exists());
}

#[test]
fn an_interrupted_file_is_as_it_was() {
    let bench = Bench::new();
    large(&bench);
    std::fs::create_dir(bench.path("out")).unwrap();
    bench.write("out/file", "old");
    // Whenever it comes: before, while or after the file is written.
    for wait_bytes in [0, 1, 1 << 20] {
        let running = bench.start(&["ripsrc", "code", "repo", "--output=out/file"]);
        wait_until("it is being written", || {
            let is_begun = |file: &std::path::PathBuf| {
                *file != bench.path("out/file") && std::fs::metadata(file).is_ok_and(|there| there.len() >= wait_bytes)
            };
            wait_bytes == 0 || !running.is_there() || files(&bench.path("out")).iter().any(is_begun)
        });
        running.signal("INT");
        let code = running.code();
        // Before the program listens, the signal ends it as it ends any.
        let expected: &[i32] = if wait_bytes == 0 { &[0, 130, -1] } else { &[0, 130] };
        assert!(expected.contains(&code), "{code}: {}", bench.read("running.stderr"));
        let found = files(&bench.path("out"));
        assert_eq!(found.len(), 1, "{found:?}");
        let text = bench.read("out/file");
        assert!(if code == 0 { text.len() > 20 << 20 } else { text == "old" }, "{code}: {} bytes", text.len());
        bench.write("out/file", "old");
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

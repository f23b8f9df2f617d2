//! Interrupts at any moment: while the agent starts, compiles, describes, runs a guest, works off a repository and delivers.
//! Whatever moment it is, what was committed is kept, the next run goes on from there, and in the end everything is there
//! once. Nothing is asserted about how long anything takes: delays only spread the moments.

use std::process::Command;
use std::time::Duration;

use tests::{Bench, HEAD, mock, wait_until};

/// Milliseconds after the start at which a run is interrupted: dense where much happens, and some after the end.
const MOMENTS_MS: &[u64] =
    &[0, 2, 5, 10, 20, 40, 60, 80, 100, 130, 160, 200, 260, 330, 420, 550, 700, 1000, 1500, 2500];

/// What a process ends with that is interrupted: it was done before, it ended cleanly, or it had not yet begun to listen.
const CODES: &[i32] = &[0, 3, 130, -1];

/// A repository to export, with a few commits.
fn repo(bench: &Bench) {
    let script = "git init -q -b main repo && cd repo && for i in 1 2 3 4 5 6 7 8; do echo $i > f$i && git add . && \
                  git -c user.name=a -c user.email=a@b commit -qm \"commit $i\"; done";
    let status = Command::new("sh").args(["-c", script]).current_dir(bench.path("")).status().unwrap();
    assert!(status.success());
}

/// Two integrations and a repository, in a few thousand commits.
fn bench() -> Bench {
    let bench = Bench::new();
    repo(&bench);
    let config = format!(
        "{HEAD}{}  - name: git\n    component: git\n    config: {{repos: [{{url: {}}}]}}\n    grants: {{git: {{paths: [.]}}}}\n",
        mock("mock", "{records: 20000, projects: 4, checkpoint_every: 500}"),
        bench.path("repo").display()
    );
    bench.config(&config)
}

/// All records, and that none is there twice.
fn records(bench: &Bench) -> Vec<String> {
    let sink = bench.sink();
    let mut lines: Vec<String> = Vec::new();
    for (key, records) in &sink.records {
        lines.extend(records.iter().map(|record| format!("{key} {record}")));
    }
    let count = lines.len();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), count, "something is there twice");
    lines
}

fn spread(signal: &str, twice: bool) {
    let whole = bench();
    whole.export().code(0);
    let expected = records(&whole).len();
    assert!(expected > 80_000, "{expected}");
    let bench = bench();
    for (index, moment) in MOMENTS_MS.iter().enumerate() {
        // Some with a cold cache: then it is the compiler, or `describe`, that is interrupted.
        if index % 3 == 0 {
            drop(std::fs::remove_dir_all(bench.path("root/cache")));
        }
        let running = bench.start(&["export"]);
        std::thread::sleep(Duration::from_millis(*moment));
        let there = running.signal(signal);
        if twice && there {
            running.signal(signal);
        }
        let code = running.code();
        assert!(CODES.contains(&code), "after {moment} ms: {code}: {}", bench.read("running.stderr"));
        records(&bench);
    }
    bench.export().code(0);
    assert_eq!(records(&bench).len(), expected, "everything is there once");
}

#[test]
fn an_interrupt_at_any_moment_loses_nothing() {
    spread("INT", false);
}

#[test]
fn a_termination_at_any_moment_loses_nothing() {
    spread("TERM", false);
}

#[test]
fn two_interrupts_at_any_moment_lose_nothing() {
    spread("INT", true);
}

/// Runs until the guest has committed something, then interrupts.
#[test]
fn the_first_interrupt_ends_at_a_checkpoint_and_has_its_code() {
    let bench = Bench::new().integrations(&[mock("mock", "{records: 4000000, projects: 1, checkpoint_every: 500}")]);
    let running = bench.start(&["export", "--json", "--output-file=result.json"]);
    wait_until("something is committed and delivered", || bench.sink_files() > 0);
    running.interrupt();
    assert_eq!(running.code(), 130);
    let report: serde_json::Value = serde_json::from_str(&bench.read("result.json")).unwrap();
    assert_eq!((&report["exit_code"], &report["interrupted"]), (&130.into(), &true.into()));
    let sent = records(&bench).len() as u64;
    assert!(sent > 500);
    let sessions = report["integrations"][0]["sessions"].as_array().unwrap();
    let committed: u64 = sessions.iter().map(|session| session["records"].as_u64().unwrap()).sum();
    assert_eq!(sent, committed, "what is committed is delivered, and nothing else");
}

/// A guest that does not look at `should-stop`: the second interrupt does not wait for its grace.
#[test]
fn the_second_interrupt_ends_at_once() {
    let loops = "  - {name: loops, component: \"${GUESTS}/guest_loops.wasm\", limits: {cpu_time: 1h}}\n";
    let bench = Bench::new().integrations(&[loops.to_owned()]);
    let running = bench.start(&["export"]);
    wait_until("it runs", || bench.path("root/logs/integrations/loops.log").exists());
    running.interrupt();
    wait_until("the first is heard", || bench.read("running.stderr").contains("interrupt again to end at once"));
    running.signal("INT");
    assert_eq!(running.code(), 130);
    assert!(bench.read("running.stderr").contains("interrupted"));
}

#[test]
fn a_configuration_that_never_comes_can_be_interrupted() {
    let bench = Bench::new();
    let pipe = bench.path("agent.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let running = bench.start(&["export", "--output-file=result.json"]);
    // The result's file is begun before the configuration is read, and interrupts are listened for soon after.
    wait_until("it has begun", || {
        !tests::files_below(&bench.path(""))
            .iter()
            .all(|file| file.ends_with("running.stdout") || file.ends_with("running.stderr") || *file == pipe)
    });
    wait_until("it is interrupted", || {
        running.signal("INT");
        !running.is_there()
    });
    assert!([130, -1].contains(&running.code()));
}

#[test]
fn a_call_can_be_interrupted() {
    let loops = "  - {name: loops, component: \"${GUESTS}/guest_loops.wasm\"}\n";
    let bench = Bench::new().integrations(&[loops.to_owned(), mock("mock", "{}")]);
    for (index, moment) in MOMENTS_MS.iter().take(12).enumerate() {
        // As above.
        if index % 3 == 0 {
            drop(std::fs::remove_dir_all(bench.path("root/cache")));
        }
        let running = bench.start(&["check"]);
        std::thread::sleep(Duration::from_millis(*moment));
        running.signal("INT");
        let code = running.code();
        assert!([0, 3, 130, -1].contains(&code), "after {moment} ms: {code}");
    }
}

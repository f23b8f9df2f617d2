//! What an operator has the agent keep – secrets, and what was agreed to – whatever breaks off when: a kill before any sync, the
//! power failing, a disk that is full, and others that write at the same time.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tests::{Bench, binary, guests};

use crate::disk::Disk as Small;
use crate::durability::power::{Disk, Kill, Survives};
use crate::durability::random::Random;
use crate::kill::shim;

/// A command line on a root, with a text on its standard input.
fn command(root: &Path, words: &[&str], input: Option<&Path>) -> Command {
    let mut command = Command::new(binary());
    command.args(words).arg("--root").arg(root).env_clear().env("HOME", root.parent().unwrap());
    let input = input.map_or(Stdio::null(), |input| std::fs::File::open(input).unwrap().into());
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What it does: what is typed, and what then says whether it is done.
struct Change {
    words: &'static [&'static str],
    asks: &'static [&'static str],
    pointer: &'static str,
    before: Value,
    after: Value,
}

/// One after the other, on the same root.
fn changes() -> Vec<Change> {
    let (list, integrations) = (&["secrets", "list", "--json"], &["integrations", "list", "--json"]);
    let name = "/secrets/0/name";
    let network = "/integrations/0/network/0";
    let change = |words, asks, pointer, before: Value, after: Value| Change { words, asks, pointer, before, after };
    vec![
        change(&["secrets", "set", "a"], list, name, Value::Null, "a".into()),
        change(&["secrets", "set", "b"], list, "/secrets/1/name", Value::Null, "b".into()),
        change(&["secrets", "remove", "a"], list, name, "a".into(), "b".into()),
        change(
            &["integrations", "add", "IT", "--name", "it", "--yes"],
            integrations,
            network,
            Value::Null,
            "all that it asks for".into(),
        ),
        change(
            &["integrations", "grant", "it", "--nothing"],
            integrations,
            network,
            "all that it asks for".into(),
            "nothing".into(),
        ),
        change(&["integrations", "remove", "it"], integrations, network, "nothing".into(), Value::Null),
    ]
}

/// A change that is killed at a sync, and after that the power fails: it is done or it is not, nothing is damaged, and it can be
/// done again. One that was done is done for good.
#[test]
fn what_is_kept_is_kept_or_not_at_each_sync() {
    let Some(shim) = shim("what is kept") else { return };
    let mut random = Random::seeded(7);
    for survives in [Survives::Nothing, Survives::Some] {
        let folder = tempfile::tempdir().unwrap();
        let (top, value) = (folder.path().canonicalize().unwrap().join("disk"), folder.path().join("value"));
        std::fs::create_dir(&top).unwrap();
        std::fs::write(&value, "kept-value-of-some-bytes").unwrap();
        let root = top.join("root");
        let it = guests().join("guest_hello.wasm").display().to_string();
        let told = |change: &Change| -> Value {
            let output = command(&root, change.asks, None).output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{:?}: {words}", change.words);
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            report.pointer(change.pointer).cloned().unwrap_or_default()
        };
        let disk = Disk::new(&shim, top.clone(), folder.path().join("shadow"));
        for change in changes() {
            let mut kills = 0;
            for sync in 1.. {
                // What it is done on is what there was before.
                let run = |kill| {
                    let words: Vec<&str> =
                        change.words.iter().map(|word| if *word == "IT" { &it[..] } else { word }).collect();
                    let mut command = command(&root, &words, Some(&value));
                    disk.watch(&mut command, kill);
                    command.output().unwrap()
                };
                let kill = if random.one_in(2) { Kill::Before(sync) } else { Kill::After(sync) };
                let output = run(Some(kill));
                disk.fail(survives, &mut random);
                let now = told(&change);
                if output.status.code().is_some() {
                    let words = String::from_utf8_lossy(&output.stderr).into_owned();
                    assert!(output.status.success(), "{:?}: {words}", change.words);
                    assert_eq!(now, change.after, "{:?} is done, and done for good", change.words);
                    break;
                }
                kills += 1;
                assert!([&change.before, &change.after].contains(&&now), "{:?} {kill:?}: {now}", change.words);
                if now == change.after && now != change.before {
                    break;
                }
            }
            println!("{:?}: {kills} kills", change.words);
        }
    }
}

/// Processes that change the same at a time: each is done, and none undoes another.
#[test]
fn processes_that_write_at_once_lose_nothing() {
    let bench = Bench::new();
    let root = bench.path("root");
    bench.write("value", "one-of-several-values");
    bench
        .run(&[
            "integrations",
            "add",
            guests().join("guest_hello.wasm").to_str().unwrap(),
            "--name",
            "it",
            "--yes",
            "--root",
            "root",
        ])
        .code(0);
    let names: Vec<String> = (0..6).map(|number| format!("s{number}")).collect();
    let rule = |number: usize| format!("https://{number}.example.com GET");
    let mut writers = Vec::new();
    for (number, name) in names.iter().enumerate() {
        writers.push(command(&root, &["secrets", "set", name], Some(&bench.path("value"))).spawn().unwrap());
        writers.push(command(&root, &["integrations", "grant", "it", "--only", &rule(number)], None).spawn().unwrap());
    }
    for writer in writers {
        let output = writer.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let listed = bench.run(&["secrets", "list", "--json", "--root", "root"]).code(0).json();
    let kept: Vec<&str> =
        listed["secrets"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(kept, names);
    let listed = bench.run(&["integrations", "list", "--json", "--root", "root"]).code(0).json();
    let network = listed["integrations"][0]["network"][0].as_str().unwrap().to_owned();
    assert!((0..6).any(|number| network == rule(number)), "{network}");
}

/// A disk that is full: it is said, what was kept is kept, and nothing is left that takes more room.
#[test]
fn a_full_disk_takes_nothing_of_what_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Small::mount(folder.path().join("disk")) else { return };
    let (root, value) = (disk.path.join("root"), folder.path().join("value"));
    std::fs::write(&value, "v".repeat(16 << 10)).unwrap();
    let it = guests().join("guest_hello.wasm").display().to_string();
    let run = |words: &[&str]| {
        let output = command(&root, words, Some(&value)).output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout),
        )
    };
    let add = ["integrations", "add", &it, "--name", "it", "--yes"];
    // Nothing is there yet: half a key would be in the way of a whole one.
    std::fs::create_dir(&root).unwrap();
    disk.fill(0);
    let (code, said) = run(&["secrets", "set", "a"]);
    assert!(code == 1 && said.contains("No space left") && said.contains("free some space"), "{code}: {said}");
    disk.free();
    for words in [&["secrets", "set", "a"][..], &add] {
        let (code, said) = run(words);
        assert_eq!(code, 0, "{said}");
    }
    let before = tests::files_below(&root);
    disk.fill(8 << 10);
    for words in [&["secrets", "set", "b"][..], &["secrets", "set", "a"]] {
        let (code, said) = run(words);
        assert!(code == 1 && said.contains("No space left") && said.contains("free some space"), "{code}: {said}");
    }
    disk.free();
    disk.fill(0);
    let (code, said) = run(&["integrations", "grant", "it", "--nothing"]);
    assert!(code == 1 && said.contains("No space left") && said.contains("free some space"), "{code}: {said}");
    assert_eq!(tests::files_below(&root), before);
    disk.free();
    let (code, said) = run(&["integrations", "list"]);
    assert!(code == 0 && said.contains("all that it asks for"), "{said}");
    let (code, said) = run(&["secrets", "list"]);
    assert!(code == 0 && said.contains("1 secret in"), "{said}");
    let (code, said) = run(&["secrets", "set", "b"]);
    assert_eq!(code, 0, "{said}");
}

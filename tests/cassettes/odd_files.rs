//! Cassettes that are no files, that have names which nobody expects, and that cannot be written: what is there is told and not
//! waited for, and what was there before a recording that fails is there after it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::{Bench, wait_until};

use super::fetch;
use super::hostile::tame;
use crate::commands::fits;
use crate::disk::Disk;
use crate::run_wasm::{component, left, run};

const MOCK: &str = "integration_mock";
/// Bytes that a process may have in use that is given a file of ten gigabytes.
const PEAK_BYTES_MAX: u64 = 256 << 20;

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Puts what is no file, each under its name.
fn put_odd_ones(folder: &Path) {
    pipe(&folder.join("pipe.har"));
    fs::create_dir(folder.join("folder.har")).unwrap();
    symlink("/dev/zero", folder.join("device.har")).unwrap();
    symlink("loop.har", folder.join("loop.har")).unwrap();
    symlink("nowhere.har", folder.join("dangling.har")).unwrap();
    fs::File::create(folder.join("sparse.har")).unwrap().set_len(10 << 30).unwrap();
}

/// Which there are, and what is said of each.
const ODD: [(&str, &str); 6] = [
    ("pipe", "it is a pipe, and is to be a file"),
    ("folder", "it is a folder, and is to be a file"),
    ("device", "it is a device, and is to be a file"),
    ("loop", "symbolic links"),
    ("dangling", "No such file"),
    ("sparse", "it has more than 536870912 bytes"),
];

#[test]
fn what_is_no_file_is_told_and_not_waited_for() {
    let bench = Bench::new();
    put_odd_ones(&bench.path(""));
    for (name, said) in ODD {
        let file = format!("{name}.har");
        let output = fetch(&bench, &["--replay", &file]).code(2);
        tame(name, &output);
        output.says(said).says(&file);
        let guest = component("guest_fetch");
        let (code, peak) = bench.start(&["run-wasm", &guest, "--replay", &file]).code_and_peak();
        assert!(code == 2 && peak < PEAK_BYTES_MAX, "{name}: {code}, {peak} bytes");
    }
}

/// A folder of anybody's: each thing that is called like a cassette is played or told, and no name does anything.
#[test]
fn a_folder_with_any_names_is_tested() {
    let bench = Bench::new();
    let cassettes = bench.path("it/cassettes");
    fs::create_dir_all(&cassettes).unwrap();
    let call = ["export", "projects=0", "records=0", "--records", "none", "--record", "good.har"];
    run(&bench, MOCK, &call).code(0);
    let good = fs::read(bench.path("good.har")).unwrap();
    let names = [
        "-v",
        "--help",
        "a b",
        "a\nok       b: replay",
        "\u{1b}[31mred",
        "\u{202e}txt",
        "ü",
        "$(touch x)",
        "a\\b",
        "'\"",
    ];
    for name in names {
        fs::write(cassettes.join(format!("{name}.har")), &good).unwrap();
    }
    fs::write(cassettes.join(OsStr::from_bytes(b"\xff\xfe.har")), &good).unwrap();
    put_odd_ones(&cassettes);
    let test = |more: &[&str]| {
        let output = bench.run(&[&["test", "it", "--component", &component(MOCK), "--skip", "resume"], more].concat());
        tame("test", &output);
        assert_eq!(left(&bench), Vec::<std::path::PathBuf>::new());
        output
    };
    let updated = test(&["--update", "--junit", "report.xml"]).code(1);
    for (name, said) in ODD {
        updated.says(&format!("FAILED   {name}: replay")).says(said);
    }
    updated.says("6 failed");
    let xml = bench.read("report.xml");
    assert!(!xml.contains('\u{1b}') && xml.contains(r#"name="replay""#), "{xml}");
    for name in names {
        assert!(cassettes.join(format!("{name}.ndjson")).is_file(), "{name}");
    }
    let found = test(&["--json"]).code(1).json();
    fits("test", &found);
    assert_eq!(found["failed"], 6, "{found:#}");
    let of = |name: &str| {
        let checks = found["checks"].as_array().unwrap();
        checks.iter().any(|check| check["cassette"] == name && check["check"] == "expected" && check["state"] == "ok")
    };
    assert!(names.iter().all(|name| of(name)), "{found:#}");
    test(&["--only=-v"]).code(0);
    assert!(!bench.path("x").exists() && !bench.path("it/x").exists());
}

/// What should come of a cassette is written to a file of the folder, and to nothing that a link or a pipe in it leads to.
#[test]
fn nothing_is_written_through_what_is_no_file() {
    let bench = Bench::new();
    let cassettes = bench.path("it/cassettes");
    fs::create_dir_all(&cassettes).unwrap();
    bench.write("precious", "mine");
    for (name, put) in [
        ("link", &(|at: &Path| symlink("../../precious", at).unwrap()) as &dyn Fn(&Path)),
        ("dangling", &|at| symlink("../../made", at).unwrap()),
        ("pipe", &|at| pipe(at)),
        ("folder", &|at| fs::create_dir(at).unwrap()),
    ] {
        let file = format!("it/cassettes/{name}.har");
        let call = ["export", "projects=0", "records=0", "--records", "none", "--record", &file];
        run(&bench, MOCK, &call).code(0);
        put(&cassettes.join(format!("{name}.ndjson")));
    }
    let arguments = ["test", "it", "--component", &component(MOCK), "--skip", "resume", "--update"];
    let output = bench.run(&arguments).code(1);
    tame("update", &output);
    output.says("4 failed").says("it is a link, which is not written to").says("make it a file that can be written");
    assert_eq!((bench.read("precious").as_str(), bench.path("made").exists()), ("mine", false));
}

/// Folders that are none, or are called in no language.
#[test]
fn a_folder_that_cannot_be_read_is_told() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path("it")).unwrap();
    symlink("cassettes", bench.path("it/cassettes")).unwrap();
    let test = |folder: &str| bench.run(&["test", folder, "--component", &component(MOCK), "--skip", "resume"]);
    test("it").code(1).says("it/cassettes").says("name a folder that can be read");
    fs::remove_file(bench.path("it/cassettes")).unwrap();
    bench.write("it/cassettes", "a file");
    test("it").code(1).says("name a folder that can be read");
    // A program gets its report whatever the folder is called.
    let odd = bench.path("").join(OsStr::from_bytes(b"\xff\x1b[31m"));
    fs::create_dir_all(odd.join("cassettes")).unwrap();
    let line = format!("\"$AGENT\" test \"$(printf '\\377\\033[31m')\" --component '{}' --json", component(MOCK));
    let output = bench.shell(&line);
    tame("an odd folder", &output);
    let found = output.json();
    fits("test", &found);
    assert!(output.code == 1 && found["folder"].as_str().unwrap().contains("[31m"), "{found:#}");
    let line = format!(
        "\"$AGENT\" run-wasm '{}' export projects=0 records=0 --json --record \"$(printf 'a\\377\\033.har')\"",
        component(MOCK)
    );
    let report = bench.shell(&line).json();
    assert!(report["cassette"]["file"].as_str().unwrap().ends_with(".har"), "{report:#}");
}

/// Whatever breaks off a recording: what was there is there, whole; and what comes in its place is for whom it was for.
#[test]
fn a_recording_that_fails_leaves_what_was_there() {
    let bench = Bench::new();
    let call = ["export", "projects=1", "records=3", "--records", "none"];
    let record = |file: &str, more: &[&str]| run(&bench, MOCK, &[&call[..], &["--record", file], more].concat());
    record("a.har", &[]).code(0);
    fs::set_permissions(bench.path("a.har"), fs::Permissions::from_mode(0o600)).unwrap();
    let before = bench.read("a.har");
    let whole = || {
        assert_eq!(bench.read("a.har"), before);
        run(&bench, MOCK, &["--replay", "a.har", "--strict", "--records", "none"]).code(0);
    };
    for calls in ["1", "3", "5"] {
        assert_eq!(record("a.har", &["--kill-after", calls]).code, -1);
        whole();
    }
    // It names whose it was, and nobody takes it for a cassette.
    let rest: Vec<String> = fs::read_dir(bench.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.') && name.contains("har"))
        .collect();
    assert!(rest.iter().all(|name| name.starts_with(".a.har.") && name.ends_with(".part")), "{rest:?}");
    fs::create_dir(bench.path("folder.har")).unwrap();
    record("folder.har", &[]).code(1).says("folder.har").says("choose another");
    record("none/a.har", &[]).code(1).says("choose another");
    // What is recorded through a link goes to where that leads.
    symlink("a.har", bench.path("link.har")).unwrap();
    record("link.har", &[]).code(0);
    assert!(bench.path("link.har").is_symlink());
    assert_ne!(bench.read("a.har"), before);
    assert_eq!(fs::metadata(bench.path("a.har")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_full_disk_leaves_the_cassette_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(folder.path().join("disk")) else { return };
    let bench = Bench::new();
    let file = disk.path.join("a.har");
    let call = |records: &str| {
        let call = ["export", "projects=1", records, "--records", "none", "--record", file.to_str().unwrap()];
        run(&bench, MOCK, &call)
    };
    call("records=3").code(0);
    let before = fs::read(&file).unwrap();
    disk.fill(0);
    let output = call("records=3").code(1);
    tame("a full disk", &output);
    output.says("--record").says("No space left").says("choose another");
    assert_eq!(fs::read(&file).unwrap(), before);
    let names = |folder: &Path| fs::read_dir(folder).unwrap().count();
    assert_eq!(names(&disk.path), 2, "the cassette and what fills the disk");
    disk.free();
    call("records=3").code(0);
}

/// A pipe that nobody reads does not keep the process from being ended, and one that is read gets the cassette.
#[test]
fn a_pipe_is_recorded_into_and_can_be_interrupted() {
    let bench = Bench::new();
    pipe(&bench.path("p.har"));
    let guest = component(MOCK);
    let running = bench.start(&["run-wasm", &guest, "export", "--record", "p.har"]);
    // It listens for interrupts once it has a folder of its own, and opens the pipe after that.
    wait_until("it has begun", || !left(&bench).is_empty());
    running.interrupt();
    assert_eq!(running.code(), 130);
    assert_eq!(left(&bench), Vec::<std::path::PathBuf>::new());
    let read = bench.shell(&format!(
        "cat p.har > read.har & \"$AGENT\" run-wasm '{guest}' export projects=0 records=0 --records none --record p.har; wait"
    ));
    assert_eq!(read.code, 0, "{read:?}");
    let har: Value = serde_json::from_str(&bench.read("read.har")).unwrap();
    assert_eq!(har["log"]["version"], json!("1.2"));
}

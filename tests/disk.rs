//! A disk that is full: under the root, and under the sink. What happens is said, and once there is space again the next run
//! completes the work with nothing lost and nothing twice. Needs a file system of its own, and so the right to mount one.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tests::{Bench, files_below, mock};

/// Large enough for the root's reserve and a compiled component, small enough to fill.
const DISK: &str = "64m";

/// A small file system in memory, unmounted with its owner.
pub struct Disk {
    pub path: PathBuf,
}

impl Disk {
    /// Mounts one; none where that is not allowed, which is said, and with CI set is a failure.
    pub fn mount(path: PathBuf) -> Option<Disk> {
        std::fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", &format!("size={DISK},mode=700"), "tmpfs"]).arg(&path);
        let why = match mount.output() {
            Ok(output) if output.status.success() => return Some(Disk { path }),
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        let skipped = format!("skipped {}: no file system can be mounted: {why}", std::thread::current().name()?);
        assert!(std::env::var_os("CI").is_none(), "{skipped}");
        eprintln!("{skipped}");
        None
    }

    /// Fills it up to so many bytes.
    pub fn fill(&self, left: u64) {
        let mut ballast = File::create(self.ballast()).unwrap();
        let piece = vec![1; 64 << 10];
        while ballast.write_all(&piece).is_ok() {}
        let length = ballast.metadata().unwrap().len();
        ballast.set_len(length.saturating_sub(left)).unwrap();
    }

    pub fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that was killed may still hold a file.
        drop(Command::new("umount").arg("-l").arg(&self.path).status());
    }
}

/// 40,000 issues of 250 bytes in one session, a project and two users: 10 MB at one commit.
const LARGE: &str = "{records: 40000, projects: 1}";
const LARGE_ALL: usize = 40_003;

fn bench(root: &Path, out: &Path) -> Bench {
    let yaml = format!("root: {}\nsink: {{folder: {}}}\nintegrations:\n", root.display(), out.display());
    Bench::new().config(&format!("{yaml}{}{}", mock("small", "{records: 1}"), mock("large", LARGE)))
}

/// Each of the large integration's records is there once.
#[track_caller]
fn each_once(bench: &Bench, out: &Path) {
    let sink = tests::Sink::read(out);
    let mut ids = sink.ids("large/mock.Issue");
    ids.dedup();
    assert_eq!((ids.len(), sink.count("large"), sink.count("small")), (40_000, LARGE_ALL, 12));
    bench.run(&["doctor"]).code(0);
}

/// Bytes left under the root, whether its reserve is there, what an export of the large integration then says, and the code
/// of a reader.
const ROOT_FULL: &[(u64, bool, &str, i32)] = &[
    (6 << 20, true, "free space there, let the agent write there, and run again", 0),
    (0, true, "free space there, let the agent write there, and run again", 0),
    (0, false, "is full; free some space", 1),
];

#[test]
fn a_full_disk_under_the_root_loses_nothing() {
    for (left, reserve, said, reader) in ROOT_FULL {
        let folder = tempfile::tempdir().unwrap();
        let Some(disk) = Disk::mount(folder.path().join("disk")) else { return };
        let (root, out) = (disk.path.join("root"), folder.path().join("out"));
        let bench = bench(&root, &out);
        bench.run(&["export", "--only", "small"]).code(0);
        if !reserve {
            std::fs::remove_file(root.join("store/reserve")).unwrap();
        }
        disk.fill(*left);
        bench.run(&["export", "--only", "large"]).code(1).says(said);
        bench.run(&["status"]).code(*reader);
        bench.run(&["doctor"]).code(*reader).says("free some");
        disk.free();
        bench.run(&["export"]).code(0).says("2 of 2 integrations ok");
        each_once(&bench, &out);
    }
}

#[test]
fn a_full_disk_under_the_sink_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(folder.path().join("disk")) else { return };
    let (root, out) = (folder.path().join("root"), disk.path.join("out"));
    let bench = bench(&root, &out);
    bench.run(&["export", "--only", "small"]).code(0);
    disk.fill(1 << 20);
    let report = bench.report(3, &[]);
    assert_eq!(report["integrations"][1]["outcome"], "ok", "{report:#}");
    assert_eq!(report["outbox_left"]["records"], json!(40_000));
    assert!(report["delivery_error"].as_str().unwrap().contains("No space left"), "{report:#}");
    let whole = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "ndjson");
    assert!(files_below(&out).iter().all(whole), "a file that was begun is left");
    disk.free();
    bench.run(&["export"]).code(0).says("Delivered 40,000 records");
    each_once(&bench, &out);
}

/// The reserve is for this: what waits can be delivered, and so space be freed, while there is none.
#[test]
fn what_waits_on_a_full_disk_is_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(folder.path().join("disk")) else { return };
    let (root, out) = (disk.path.join("root"), folder.path().join("out"));
    let bench = bench(&root, &out);
    std::fs::write(&out, "a file in the place of the folder").unwrap();
    bench.run(&["export"]).code(3).says("40,015 records still wait for the sink");
    disk.fill(0);
    std::fs::remove_file(&out).unwrap();
    bench.run(&["export"]).code(0).says("Delivered 40,015 records");
    disk.free();
    each_once(&bench, &out);
}

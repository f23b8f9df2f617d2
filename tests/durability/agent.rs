//! The agent's binary on a root and a sink of its own: configured, started, killed. Left to others: when, and what to make
//! of it.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A run that takes longer hangs; the longest takes a few seconds.
const RUN_MAX: Duration = Duration::from_secs(300);

/// How often to look whether a run has ended.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How a run ended; any other end is a failure of the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Completed,
    Killed,
}

/// A folder with `disk/root`, `disk/out` and a configuration. What is below `disk` is what a power failure may take.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Place {
        let folder = tempfile::Builder::new().prefix("agent-durability-").tempdir().unwrap();
        fs::create_dir(folder.path().join("disk")).unwrap();
        Place { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn disk(&self) -> PathBuf {
        // As the kernel names it: a temporary folder may lie behind a link.
        self.folder.path().canonicalize().unwrap().join("disk")
    }

    pub fn root(&self) -> PathBuf {
        self.disk().join("root")
    }

    /// Two levels that the agent has to make itself.
    pub fn out(&self) -> PathBuf {
        self.disk().join("deliveries/out")
    }

    pub fn configure(&self, integrations: &Value, zstd: bool) {
        let config = json!({
            "root": self.root(),
            "sink": { "folder": self.out(), "compression": if zstd { "zstd" } else { "none" } },
            "integrations": integrations,
        });
        fs::write(self.folder.path().join("agent.json"), config.to_string()).unwrap();
    }

    /// Has the mock compiled already. For places that no power failure befalls: these files are not the place's own.
    pub fn compiled(&self) {
        tests::compiled::give(["integration_mock.wasm"], &self.root().join("cache/components"));
    }

    /// Takes over the compiled components of another root, so that the agent starts in milliseconds.
    pub fn warm(&self, from: &Place) {
        copy_folder(&from.root().join("cache"), &self.root().join("cache"));
    }

    pub fn export(&self) -> Command {
        let mut command = self.agent("export");
        command.arg("--quiet");
        command
    }

    fn agent(&self, subcommand: &str) -> Command {
        let stderr = fs::File::create(self.stderr()).unwrap();
        let mut command = Command::new(binary());
        command.arg(subcommand).arg("-c").arg(self.folder.path().join("agent.json"));
        command.env("AGENT_INTEGRATIONS_DIR", components());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        command
    }

    fn stderr(&self) -> PathBuf {
        self.folder.path().join("stderr")
    }

    /// Runs an export, and kills it after this time if it has not ended by then.
    pub fn run(&self, mut command: Command, kill_after: Option<Duration>) -> End {
        let began = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{} cannot be started: {error}; build it with `cargo build`", binary().display())
        });
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            let run = began.elapsed();
            if kill_after.is_some_and(|after| run >= after) || run > RUN_MAX {
                child.kill().unwrap();
                let status = child.wait().unwrap();
                assert!(run <= RUN_MAX, "the agent hangs{}", self.last_words());
                break status;
            }
            std::thread::sleep(LOOK_EVERY);
        };
        match (status.code(), status.signal()) {
            (Some(0), _) => End::Completed,
            (None, Some(9)) => End::Killed,
            _ => panic!("the agent ended with {status}{}", self.last_words()),
        }
    }

    fn last_words(&self) -> String {
        format!(
            "; its root is kept in {}\n{}",
            self.keep().display(),
            fs::read_to_string(self.stderr()).unwrap_or_default()
        )
    }

    /// Copies the place to where it stays, for a person to look at.
    pub fn keep(&self) -> PathBuf {
        let kept = tempfile::Builder::new().prefix("agent-durability-kept-").tempdir().unwrap().keep();
        copy_folder(self.folder.path(), &kept);
        kept
    }

    /// Lets `agent doctor` look at the root.
    pub fn examine(&self) {
        assert_eq!(self.run(self.agent("doctor"), None), End::Completed);
    }

    /// Where in its life an agent was that has just been killed, as far as its files tell.
    pub fn moment(&self) -> &'static str {
        let entries = |folder: PathBuf| fs::read_dir(folder).map_or(0, Iterator::count);
        let store = self.root().join("store");
        match () {
            () if !store.join("agent.db").exists() => "before there was a store",
            () if super::sink::unfinished(&self.out()) > 0 => "while writing a file to the sink",
            () if entries(store.join("segments")) > 0 => "with segments staged or waiting",
            () if !self.out().exists() => "before the first delivery",
            () => "at another time",
        }
    }
}

/// The folder that cargo builds into: this test is at `<target>/<profile>/deps/all-…`.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().to_owned()
}

fn binary() -> PathBuf {
    profile_folder().join("agent")
}

fn components() -> PathBuf {
    let folder = profile_folder().parent().unwrap().join("wasm32-wasip2/guest");
    let mock = folder.join("integration_mock.wasm");
    assert!(mock.exists(), "{} is missing; build it with `make guests`", mock.display());
    folder
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let Ok(entries) = fs::read_dir(from) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
    // As private as what it was copied from: the agent trusts no cache that others can write.
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
}

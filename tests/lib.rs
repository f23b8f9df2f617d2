//! The bench on which the binary is driven as users drive it: a temporary folder with a configuration, command lines, what
//! they print, and what lies in the sink afterwards. What is expected stands in the tests.

pub mod compiled;
pub mod simulated;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use serde_json::value::RawValue;

/// How long a condition is waited for. Long, because machines are slow and tests many; nothing is waited for that long
/// unless it is broken.
const WAIT_MAX: Duration = Duration::from_secs(120);
const POLL_EVERY: Duration = Duration::from_millis(10);

/// The beginning of most configurations. Paths are relative to the bench.
pub const HEAD: &str = "root: root\nsink: {folder: out}\nintegrations:\n";

/// One integration of a configuration: `config` and `limits` as YAML flow mappings.
#[must_use]
pub fn integration(name: &str, component: &str, config: &str, limits: &str) -> String {
    format!("  - {{name: {name}, component: \"{component}\", config: {config}, limits: {limits}}}\n")
}

/// The mock integration, under this name, with this configuration.
#[must_use]
pub fn mock(name: &str, config: &str) -> String {
    integration(name, "mock", config, "{}")
}

/// A guest that misbehaves, with limits that it meets soon.
#[must_use]
pub fn guest(name: &str, config: &str) -> String {
    let component = format!("${{GUESTS}}/guest_{}.wasm", name.replace('-', "_"));
    integration(name, &component, config, "{memory: 32MiB, cpu_time: 500ms}")
}

/// The folder of the built guests.
#[must_use]
pub fn guests() -> PathBuf {
    let folder = target().join("wasm32-wasip2/guest");
    assert!(folder.join("integration_mock.wasm").exists(), "there are no guests: run `make guests` first");
    folder
}

/// This repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The target folder, found from where this very test runs: `target/debug/deps/all-…`.
fn target() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

/// The binary. One that is older than its sources would be tested in vain, so it is refused.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let binary = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("agent");
        let built = fs::metadata(&binary).and_then(|meta| meta.modified());
        let built = built
            .unwrap_or_else(|error| panic!("{}: {error}; run `cargo build --all-targets` first", binary.display()));
        let mut sources = files_below(&repository().join("host/agent/src"));
        sources.extend(files_below(&repository().join("host/ripsrc/src")));
        let changed = sources.iter().map(|file| fs::metadata(file).unwrap().modified().unwrap()).max();
        assert!(
            changed < Some(built),
            "{} is older than its sources; run `cargo build --all-targets` first",
            binary.display()
        );
        binary
    })
}

/// A temporary folder in which the agent runs.
pub struct Bench {
    folder: tempfile::TempDir,
    /// Whether the agent finds nothing compiled.
    is_cold: bool,
}

/// What a command line did.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    fn of(output: std::process::Output) -> Output {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what the agent prints is UTF-8");
        // A process that a signal ended has no code.
        let code = output.status.code().unwrap_or(-1);
        Output { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Standard output as the one JSON document that it must be.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Insists on an exit code.
    #[track_caller]
    #[allow(clippy::must_use_candidate, reason = "often the code is all that is asked")]
    pub fn code(self, code: i32) -> Output {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Insists on a text on standard output or error.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Output {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "`{text}` is not said: {self:#?}");
        self
    }
}

impl Default for Bench {
    fn default() -> Bench {
        Bench::new()
    }
}

impl Bench {
    #[must_use]
    pub fn new() -> Bench {
        let bench =
            Bench { folder: tempfile::Builder::new().prefix("agent-bench-").tempdir().unwrap(), is_cold: false };
        fs::create_dir(bench.path("tmp")).unwrap();
        bench
    }

    /// On which the agent compiles what it runs, as it does on its first day.
    #[must_use]
    pub fn cold() -> Bench {
        Bench { is_cold: true, ..Bench::new() }
    }

    /// With this agent.yaml; `${GUESTS}` is the folder of the built guests.
    #[must_use]
    pub fn config(self, yaml: &str) -> Bench {
        self.configure(yaml);
        self
    }

    /// Writes agent.yaml. What it names of the built components is compiled already, unless the bench is cold.
    pub fn configure(&self, yaml: &str) {
        self.write("agent.yaml", yaml);
        if !self.is_cold {
            compiled::give_named(yaml, self.folder.path());
        }
    }

    /// With these integrations below [`HEAD`].
    #[must_use]
    pub fn integrations(self, integrations: &[String]) -> Bench {
        self.config(&format!("{HEAD}{}", integrations.concat()))
    }

    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    #[must_use]
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A command line, not yet run. It sees nothing of this process's environment but what is named here.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.folder.path()).env("GUESTS", guests()).env("AGENT_INTEGRATIONS_DIR", guests());
        // Temporary files of its own, so that what is left over is seen; compiled components are shared by all benches.
        command.env("TMPDIR", self.path("tmp")).env("XDG_CACHE_HOME", compiled::home());
        command
    }

    /// Runs a command line to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        Output::of(self.command(arguments).output().unwrap())
    }

    /// Has a shell run a line in which `$AGENT` is the program, as a person or a script writes it.
    #[must_use]
    pub fn shell(&self, line: &str) -> Output {
        self.shell_with(&[], line)
    }

    /// The same, with these variables.
    #[must_use]
    pub fn shell_with(&self, variables: &[(&str, &str)], line: &str) -> Output {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.folder.path()).env("GUESTS", guests()).env("AGENT_INTEGRATIONS_DIR", guests());
        command.env("AGENT", binary()).env("PATH", "/usr/bin:/bin").envs(variables.iter().copied());
        Output::of(command.output().unwrap())
    }

    /// Runs a command line with more behind it, as a shell reads that; with a root in its environment.
    #[must_use]
    pub fn pasted(&self, arguments: &[&str], more: &str) -> Output {
        let direct = self.command(arguments);
        let words = std::iter::once(direct.get_program()).chain(direct.get_args());
        let quoted = words.map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', r"'\''")));
        let line = format!("{} {more}", quoted.collect::<Vec<_>>().join(" "));
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        for (name, value) in direct.get_envs() {
            shell.env(name, value.unwrap());
        }
        shell.env("AGENT_ROOT", self.path("production"));
        Output::of(shell.output().unwrap())
    }

    /// Starts a command line whose standard output is read by the test.
    #[must_use]
    pub fn spawn_piped(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// `agent export` with the configuration of the bench.
    #[must_use]
    pub fn export(&self) -> Output {
        self.run(&["export"])
    }

    /// `agent export --json` that must end with this code; the report.
    #[must_use]
    #[track_caller]
    pub fn report(&self, code: i32, more: &[&str]) -> Value {
        self.run(&[&["export", "--json"], more].concat()).code(code).json()
    }

    /// Starts a command line; what it prints goes to files of the bench.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> Running {
        let file = |name: &str| File::create(self.path(name)).unwrap();
        let mut command = self.command(arguments);
        command.stdout(file("running.stdout")).stderr(file("running.stderr"));
        Running { child: command.spawn().unwrap() }
    }

    /// How many files lie in the sink `out`.
    #[must_use]
    pub fn sink_files(&self) -> usize {
        let complete = |file: &PathBuf| !file.file_name().unwrap().to_str().unwrap().starts_with('.');
        files_below(&self.path("out")).iter().filter(|file| complete(file)).count()
    }

    /// What lies in the sink `out`.
    #[must_use]
    pub fn sink(&self) -> Sink {
        Sink::read(&self.path("out"))
    }
}

/// A process that is ended with its owner.
pub struct Running {
    child: Child,
}

impl Running {
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends the signal that Ctrl-C sends.
    pub fn interrupt(&self) {
        assert!(self.signal("INT"), "the process has ended before");
    }

    /// Sends a signal; whether there was still somebody to send it to.
    #[allow(clippy::must_use_candidate, reason = "often it does not matter")]
    pub fn signal(&self, name: &str) -> bool {
        let kill = format!("kill -{name} {} 2>/dev/null", self.child.id());
        Command::new("sh").args(["-c", &kill]).status().unwrap().success()
    }

    /// Whether the process has not ended.
    #[must_use]
    pub fn is_there(&self) -> bool {
        // One that has ended and was not waited for is still there to signals.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z') && !rest.is_empty())
    }

    /// Waits for the end; its exit code, and the most memory that it had in use, bytes. What it takes in its last
    /// milliseconds is missed.
    pub fn code_and_peak(mut self) -> (i32, u64) {
        let status = PathBuf::from(format!("/proc/{}/status", self.child.id()));
        let mut peak = 0;
        wait_until("the process ends", || {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let kib =
                text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
            peak = peak.max(kib.unwrap_or(0_u64) << 10);
            self.child.try_wait().unwrap().is_some()
        });
        (self.child.wait().unwrap().code().unwrap_or(-1), peak)
    }

    /// Waits for the end; its exit code.
    pub fn code(mut self) -> i32 {
        wait_until("the process ends", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits on a level, never on an edge: asks until it is so.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT_MAX;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(POLL_EVERY);
    }
}

/// What lies in a folder sink.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sink {
    /// Records by `integration/model`, in the order of files and lines.
    pub records: BTreeMap<String, Vec<Value>>,
    /// All files, relative to the sink, in order.
    pub files: Vec<PathBuf>,
}

impl Sink {
    /// Reads a folder; one that is not there is empty.
    #[must_use]
    pub fn read(folder: &Path) -> Sink {
        let mut sink = Sink::default();
        // What is being written begins with a dot, and is passed over by readers.
        let complete = |file: &PathBuf| !file.file_name().unwrap().to_str().unwrap().starts_with('.');
        for file in files_below(folder).into_iter().filter(complete) {
            let name = file.strip_prefix(folder).unwrap().to_owned();
            let key = name.parent().unwrap().to_str().unwrap().to_owned();
            let mut text = String::new();
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("zst") => {
                    zstd::Decoder::new(File::open(&file).unwrap()).unwrap().read_to_string(&mut text).map(drop)
                }
                _ => File::open(&file).unwrap().read_to_string(&mut text).map(drop),
            }
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            sink.records.entry(key).or_default().extend(text.lines().map(record));
            sink.files.push(name);
        }
        sink
    }

    /// How many records lie there of one integration, or of all (an empty name).
    #[must_use]
    pub fn count(&self, integration: &str) -> usize {
        let of = |key: &str| integration.is_empty() || key.split('/').next() == Some(integration);
        self.records.iter().filter(|(key, _)| of(key)).map(|(_, records)| records.len()).sum()
    }

    /// The `ref_id`s of one `integration/model`, sorted, repeated where a record is there twice.
    #[must_use]
    pub fn ids(&self, key: &str) -> Vec<String> {
        let records = self.records.get(key).map(Vec::as_slice).unwrap_or_default();
        let mut ids: Vec<String> = records.iter().map(|record| record["ref_id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    }
}

/// A line of the sink. A member that is JSON and no `Value`, as the number 1e999999, is kept as its text.
fn record(line: &str) -> Value {
    let members: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let value = |raw: &RawValue| serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().into());
    Value::Object(members.iter().map(|(name, raw)| (name.clone(), value(raw))).collect())
}

/// All files below a folder, sorted; none if it is not there.
#[must_use]
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

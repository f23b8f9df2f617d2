//! Components that are hard on a compiler, compilers that break down, and what is left behind: nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use agent::config::CompileLimits;
use agent::sandbox::{Compiler, LoadError, Loaded, Options, SUBCOMMAND, Sandbox};
use agent::shutdown::Shutdown;
use tests::{Bench, binary, integration, mock, wait_until};

use super::guests;

/// A folder with a component and a cache, and what the sandbox is to be.
struct Case {
    folder: tempfile::TempDir,
    options: Options,
}

impl Case {
    fn new(component: &[u8]) -> Case {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("component.wasm"), component).unwrap();
        let options = Options { compiler: Compiler::Child(binary().to_owned()), ..Options::default() };
        Case { folder, options }
    }

    fn limits(mut self, memory_mib: u64, secs: u64) -> Case {
        self.options.compile =
            CompileLimits { memory_bytes_max: memory_mib << 20, cpu_time_max: Duration::from_secs(secs) };
        self
    }

    /// With a shell script as the compiler.
    fn script(mut self, script: &str) -> Case {
        let path = self.folder.path().join("compiler");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        self.options.compiler = Compiler::Child(path);
        self
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn load(&self) -> Result<Loaded, LoadError> {
        let sandbox = Sandbox::new(&self.cache(), &self.options).unwrap();
        sandbox.load(&self.folder.path().join("component.wasm"))
    }

    /// What the cache holds.
    fn kept(&self) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        fs::read_dir(self.cache()).unwrap().map(name).collect()
    }

    #[track_caller]
    fn fails(&self, said: &str) -> LoadError {
        let error = self.load().expect_err("it was loaded");
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(self.kept(), Vec::<String>::new(), "nothing is left in the cache");
        none_left(self.folder.path());
        error
    }
}

/// Children of this process that have to do with a folder, dead or alive.
fn none_left(folder: &Path) {
    let own = std::process::id().to_string();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let mut fields = rest.split_whitespace();
        let (state, parent) = (fields.next(), fields.next());
        let command = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        let ours = parent == Some(own.as_str()) && (state == Some("Z") || command.contains(folder.to_str().unwrap()));
        // Others of this process's tests may be about to wait for theirs: a zombie is one that stays.
        if ours {
            let stays = || fs::read_to_string(entry.path().join("stat")).is_ok_and(|now| now.contains(") Z "));
            wait_until("no child is left", || !stays());
        }
    }
}

#[test]
fn what_takes_too_long_is_ended_by_its_running_time() {
    let case = Case::new(&guests::long_to_compile(40, 400, 30)).limits(8192, 1);
    let error = case.fails("takes longer than it may (1 s, compile_cpu_time_max)");
    assert!(matches!(error, LoadError::CompileTime { .. }) && error.to_string().contains("raise `compile_time`"));
}

#[test]
fn what_takes_too_much_memory_is_ended_by_that() {
    let case = Case::new(&guests::long_to_compile(4, 6000, 10)).limits(48, 3600);
    let error = case.fails("takes more memory than it may (50331648 bytes, compile_memory_bytes_max)");
    assert!(matches!(error, LoadError::CompileMemory { .. }) && error.to_string().contains("raise `compile_memory`"));
}

/// Large and legal, or beyond what a validator lets be: each is loaded or refused as what it is, and the limits that
/// are the default are enough.
#[test]
fn large_components_are_loaded_or_refused() {
    Case::new(&guests::many_functions(50_000)).load().expect("50,000 functions");
    Case::new(&guests::deep_and_wide(10_000, 60_000)).load().expect("10,000 blocks and a table of 60,000");
    let locals = format!("(func (local{}))", " i64".repeat(49_000));
    Case::new(&guests::Parts { more: &locals, ..Default::default() }.component()).load().expect("49,000 locals");
}

#[test]
fn a_compiler_that_breaks_down_is_told_and_leaves_nothing() {
    let good = guests::good();
    let case = |script: &str| Case::new(&good).script(script);
    let crashed = case("echo what it said >&2; kill -SEGV $$").fails("SIGSEGV");
    assert!(matches!(crashed, LoadError::CompileCrashed { .. }) && crashed.to_string().contains("what it said"));
    case("kill -KILL $$").fails("SIGKILL");
    case("kill -XCPU $$").fails("compile_cpu_time_max");
    case("echo memory allocation of 12 bytes failed >&2; kill -ABRT $$").fails("compile_memory_bytes_max");
    case("echo 'it is crooked' >&2; exit 78").fails("is not a valid component: it is crooked");
    case("exit 7").fails("exit status: 7");
    // Says that it worked, and gave nothing, or something else.
    case("exit 0").fails("what the compiler gave is not usable");
    case("cat").fails("what the compiler gave is not usable");
    case("head -c 100000 /dev/zero").fails("what the compiler gave is not usable");
    // Says more than anybody wants to hear.
    case("head -c 10000000 /dev/zero | tr '\\0' x >&2; exit 1").fails("cannot be compiled: xxx");
    let mut missing = case("");
    missing.options.compiler = Compiler::Child(missing.folder.path().join("not-there"));
    assert!(matches!(missing.fails("cannot be compiled"), LoadError::CompileStart { .. }));
}

#[test]
fn a_compiler_that_hangs_is_ended_at_its_deadline() {
    let mut case = Case::new(&guests::good()).script("exec sleep 1000");
    case.options.compile.cpu_time_max = Duration::from_millis(100);
    case.fails("takes longer than it may (1 s, compile_wall_time_max)");
}

#[test]
fn a_compilation_ends_when_the_agent_is_to_end() {
    let shutdown = Shutdown::default();
    let mut case = Case::new(&guests::good()).script("exec sleep 1000");
    case.options.shutdown = shutdown.clone();
    // Before, and meanwhile.
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| case.fails("the agent was told to end while"));
        let own = std::process::id().to_string();
        let sleeps = || children_of(&own).iter().any(|command| command.starts_with("sleep\x001000"));
        wait_until("the compiler runs", sleeps);
        shutdown.request();
        assert!(matches!(loading.join().unwrap(), LoadError::Interrupted { .. }));
    });
    case.fails("the agent was told to end while");
}

fn children_of(parent: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let of = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split_whitespace().nth(1).map(str::to_owned));
        if of.as_deref() == Some(parent) {
            found.push(fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default());
        }
    }
    found
}

#[test]
fn a_warm_cache_needs_no_compiler() {
    let mut case = Case::new(&guests::good());
    let digest = case.load().unwrap().digest().to_owned();
    let kept = case.kept();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(kept[0].starts_with(&digest) && kept[0].ends_with(".cwasm"), "{kept:?}");
    case.options.compiler = Compiler::Child("/not/there".into());
    case.load().unwrap();
    // An engine that counts has another form of it, and so another entry.
    case.options =
        Options { count_instructions: true, compiler: Compiler::Child(binary().into()), ..Default::default() };
    case.load().unwrap();
    assert_eq!(case.kept().len(), 2);
}

#[test]
fn several_agents_compile_the_same_at_once() {
    let case = Case::new(&guests::many_functions(1_000));
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..6).map(|_| scope.spawn(|| case.load().unwrap().digest().to_owned())).collect();
        let digests: Vec<String> = all.into_iter().map(|one| one.join().unwrap()).collect();
        assert!(digests.iter().all(|digest| *digest == digests[0]));
    });
    assert_eq!(case.kept().len(), 1);
    none_left(case.folder.path());
}

/// Bytes cut or changed anywhere: an error of the component, and never more than that.
#[test]
fn broken_components_are_refused_as_what_they_are() {
    let good = guests::good();
    let mut seed = 7_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    // In this very process: what does not get past the reader needs no child.
    let folder = tempfile::tempdir().unwrap();
    let (path, cache) = (folder.path().join("component.wasm"), folder.path().join("cache"));
    let in_process = Options { compiler: Compiler::InProcess, ..Options::default() };
    let sandbox = Sandbox::new(&cache, &in_process).unwrap();
    for round in 0..300 {
        let mut bytes = good.clone();
        match round % 3 {
            0 => bytes.truncate(random(good.len())),
            1 => bytes[random(good.len())] ^= 1 << random(8),
            _ => drop(bytes.splice(random(good.len())..good.len(), good[random(good.len())..].to_vec())),
        }
        fs::write(&path, &bytes).unwrap();
        match sandbox.load(&path) {
            Ok(_) | Err(LoadError::Malformed { .. } | LoadError::Truncated { .. } | LoadError::OtherWorld { .. }) => {}
            Err(LoadError::Empty { .. } | LoadError::NotWasm { .. } | LoadError::CoreModule { .. }) => {}
            Err(LoadError::Version { .. } | LoadError::UnknownImports { .. }) => {}
            Err(error) => panic!("round {round}: {error:?}"),
        }
    }
    // And a few in a child: the same is said.
    for length in [8, 100, good.len() / 2, good.len() - 1] {
        let mut case = Case::new(&good[..length]);
        let said = case.load().unwrap_err().to_string();
        case.options.compiler = Compiler::InProcess;
        assert_eq!(case.load().unwrap_err().to_string(), said);
    }
}

/// What a child has taken from itself before it reads the first byte.
#[test]
fn the_child_is_confined_before_it_reads() {
    let numbers = [std::process::id().to_string(), (1_u64 << 28).to_string(), "60".into(), (1_u64 << 20).to_string()];
    let mut child = Command::new(binary())
        .arg(SUBCOMMAND)
        .args(&numbers)
        .args(["false", "false"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let proc = PathBuf::from(format!("/proc/{}", child.id()));
    let read = |name: &str| fs::read_to_string(proc.join(name)).unwrap_or_default();
    wait_until("it is confined", || read("status").contains("Seccomp:\t2"));
    assert!(read("status").contains("NoNewPrivs:\t1"), "{}", read("status"));
    assert_eq!(read("environ"), "");
    let limits = read("limits");
    for (name, value) in [
        ("Max cpu time", "60"),
        ("Max file size", "1048576"),
        ("Max core file size", "0"),
        ("Max open files", "16"),
        ("Max data size", "268435456"),
        ("Max address space", "1342177280"),
    ] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {limits}"));
        assert_eq!(line[name.len()..].split_whitespace().next(), Some(value), "{line}");
    }
    // It ends when its input does.
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(78));
}

/// A child that was started by somebody else, or whose agent is gone, does nothing.
#[test]
fn a_child_without_its_agent_ends() {
    let mut numbers = vec![SUBCOMMAND, "1", "268435456", "60", "1048576", "false", "false"];
    if std::process::id() == 1 {
        numbers[1] = "2";
    }
    let output = Command::new(binary()).args(&numbers).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("started by process"), "{output:?}");
}

/// On the command line: named with its place and mend, exit code 78, and the others are left alone.
#[test]
fn on_the_command_line_it_is_a_bad_component() {
    let bench = Bench::new().config(&format!(
        "root: root\nsink: {{folder: out}}\nlimits: {{compile_time: 1s}}\nintegrations:\n{}",
        integration("long", "./long.wasm", "{}", "{}")
    ));
    bench.write("long.wasm", guests::long_to_compile(40, 400, 30));
    let output = bench.export().code(78);
    output.says("long.wasm takes longer than it may (").says("raise `compile_time`");
    // The mock is compiled already, so that it needs none of the time.
    let bench = bench.config(&format!(
        "root: root\nsink: {{folder: out}}\nlimits: {{compile_time: 1s}}\nintegrations:\n{}{}",
        integration("long", "./long.wasm", "{}", "{}"),
        mock("mock", "{records: 1}")
    ));
    let report = bench.report(3, &[]);
    assert_eq!(report["integrations"][0]["outcome"], "bad_config");
    assert_eq!(report["integrations"][1]["outcome"], "ok", "{report:#}");
}

/// Nothing else knows of the subcommand.
#[test]
fn the_subcommand_is_hidden() {
    let bench = Bench::new();
    for help in ["-h", "--help"] {
        assert!(!bench.run(&[help]).code(0).stdout.contains(SUBCOMMAND));
    }
}

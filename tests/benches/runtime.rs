//! `make bench AREA=runtime`: what a call, a commit, a million records and ten loaded integrations cost, beside peers that are
//! measured in the same run. Prints a table and writes `target/bench/runtime.json`. It judges no test: figures are for people.

#[path = "fairness.rs"]
mod fairness;
#[path = "report.rs"]
#[allow(dead_code, reason = "each benchmark prints the kinds of rows that it has")]
mod report;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agent::config::Limits;
use agent::export::{ExportRun, Model, RunSpec, SessionKind};
use agent::logs::Logs;
use agent::sandbox::{self, Call, CallEnd, Compiler, Door, Sandbox};
use agent::shutdown::Shutdown;
use agent::store::{Codec, Store};
use report::{Process, Report, Row, median, quantile};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceTable, ResourceType};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

const ROUNDS: usize = 3;
const RECORDS: u64 = 1_000_000;
/// Of guests in other languages.
const LANGUAGE_RECORDS: u64 = 200_000;
/// Of the Singer pipe, which takes minutes for a million.
const PEER_RECORDS: usize = 20_000;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("--hold-ten") => return hold_ten(Path::new(&arguments.next().ok_or("no folder")?)),
        Some("--measure") => return report::measure_here(arguments),
        // One part alone, while working on it.
        Some("commits") => {
            let mut report = Report::default();
            return commits(&mut report).and_then(|()| report.finish("commits"));
        }
        Some("languages") => {
            let mut report = Report::default();
            return languages(&mut report).and_then(|()| report.finish("languages"));
        }
        Some("run-wasm") => {
            let mut report = Report::default();
            return run_wasm(&mut report).and_then(|()| report.finish("run-wasm"));
        }
        Some("warm") => {
            let mut report = Report::default();
            return warm_call(&mut report).and_then(|()| report.finish("warm"));
        }
        Some("fairness") => {
            let mut report = Report::default();
            return fairness::fairness(&mut report).and_then(|()| report.finish("fairness"));
        }
        _ => {}
    }
    let mut report = Report::default();
    warm_call(&mut report)?;
    cold_export(&mut report)?;
    run_wasm(&mut report)?;
    let sample = records(&mut report)?;
    singer(&mut report, &sample)?;
    commits(&mut report)?;
    ten_integrations(&mut report)?;
    languages(&mut report)?;
    fairness::fairness(&mut report)?;
    report.finish("runtime")
}

/// Compiled in this process: the benchmark is no agent, and cannot be its own child.
fn options() -> sandbox::Options {
    sandbox::Options { compiler: Compiler::InProcess, ..sandbox::Options::default() }
}

fn component(name: &str) -> PathBuf {
    Path::new("target/wasm32-wasip2/guest").join(format!("{name}.wasm"))
}

struct Bare {
    table: ResourceTable,
    wasi: WasiCtx,
}

impl WasiView for Bare {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Defines the contract's imports as functions that fail: `describe` calls none.
fn refuse_host_calls(engine: &wasmtime::Engine, component: &Component, linker: &mut Linker<Bare>) -> Result<()> {
    for (name, item) in component.component_type().imports(engine).filter(|(name, _)| name.starts_with("agent:")) {
        let ComponentItem::ComponentInstance(interface) = item.ty else { continue };
        let mut instance = linker.instance(name)?;
        for (name, item) in interface.exports(engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    instance.func_new(name, |_, _, _, _| Err(wasmtime::Error::msg("refused")))?
                }
                ComponentItem::Resource(_) => instance.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// Instantiate, call, drop: in the cage, and by bare wasmtime with the same WASI linked.
fn warm_call(report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sandbox = Sandbox::new(folder.path(), &options())?;
    let loaded = sandbox.load(&component("guest_hello"))?;
    let (logs, shutdown, limits) = (Logs::none(), Shutdown::default(), Limits::default());
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let caged = || -> Result<Duration> {
        let began = Instant::now();
        let door = Door::nothing("bench", &logs, &shutdown);
        let ended = tokio.block_on(sandbox.call(&loaded, door, &limits, Call::Describe, &shutdown));
        let took = began.elapsed();
        if matches!(ended.end, CallEnd::Ok(_)) { Ok(took) } else { Err(format!("{:?}", ended.end).into()) }
    };
    let engine = wasmtime::Engine::default();
    let bare_component = Component::from_file(&engine, component("guest_hello"))?;
    let mut linker: Linker<Bare> = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    refuse_host_calls(&engine, &bare_component, &mut linker)?;
    let pre = linker.instantiate_pre(&bare_component)?;
    let interface =
        bare_component.get_export_index(None, "agent:integration/integration@0.1.0").ok_or("no interface")?;
    let describe = bare_component.get_export_index(Some(&interface), "describe").ok_or("no describe")?;
    let bare = || -> Result<Duration> {
        let began = Instant::now();
        let state = Bare { table: ResourceTable::new(), wasi: WasiCtx::builder().build() };
        let mut store = wasmtime::Store::new(&engine, state);
        let instance = pre.instantiate(&mut store)?;
        let call = instance.get_typed_func::<(), (String,)>(&mut store, describe)?;
        call.call(&mut store, ())?;
        drop(store);
        Ok(began.elapsed())
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // In turn, so that a drift of the machine's speed meets both.
    for round in 0..40 {
        for (call, times) in [(&caged as &dyn Fn() -> Result<Duration>, &mut ours), (&bare, &mut theirs)] {
            for _ in 0..100 {
                let took = call()?.as_secs_f64() * 1e6;
                if round > 0 {
                    times.push(took);
                }
            }
        }
    }
    let (p50, p99, peer) = (quantile(&mut ours, 0.5), quantile(&mut ours, 0.99), quantile(&mut theirs, 0.5));
    report.add(Row::ratio("warm call, p50 against bare wasmtime", p50 / peer, 2.0).aim("1.3"));
    report.add(Row::new("warm call, p50", p50, "µs").peer("bare wasmtime", peer).aim("100"));
    report.add(Row::new("warm call, p99", p99, "µs").peer("bare wasmtime", quantile(&mut theirs, 0.99)).aim("1000"));
    Ok(())
}

/// A root with a configuration in it, the component's compilation warm.
struct Root {
    folder: tempfile::TempDir,
    component: PathBuf,
}

impl Root {
    fn new() -> Result<Root> {
        Root::of("integration_mock", "{records: 0, projects: 0}")
    }

    fn of(name: &str, config: &str) -> Result<Root> {
        let root = Root { folder: tempfile::tempdir_in("target")?, component: std::fs::canonicalize(component(name))? };
        root.export(config)?;
        Ok(root)
    }

    fn export(&self, config: &str) -> Result<Process> {
        self.export_with(config, &[])
    }

    fn export_with(&self, config: &str, flags: &[&str]) -> Result<Process> {
        let at = self.folder.path().display();
        let at = std::path::absolute(at.to_string())?;
        let yaml = format!(
            "root: {0}/root\nsink: {{folder: {0}/out}}\nintegrations:\n  - name: mock\n    component: {1}\n    config: {config}\n",
            at.display(),
            self.component.display()
        );
        let file = at.join("agent.yaml");
        std::fs::write(&file, yaml)?;
        let mut command = Command::new("target/release/agent");
        command.arg("export").arg("-q").arg("-c").arg(&file).args(flags);
        report::measure(&command)
    }
}

fn cold_export(report: &mut Report) -> Result<()> {
    let root = Root::new()?;
    let (mut cpu, mut wall) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let process = root.export("{records: 0, projects: 0}")?;
        cpu.push(process.cpu_secs * 1e3);
        wall.push(process.wall_secs * 1e3);
    }
    report.add(
        Row::lower("export of an empty mock, cold process, warm cache: CPU", median(&mut cpu), "ms", 60.0).aim("30"),
    );
    report.add(Row::new("export of an empty mock: wall", median(&mut wall), "ms"));
    Ok(())
}

/// A small export of one component: by its author with `run-wasm`, and by the agent. Both with a warm cache and from the
/// beginning, in turn.
fn run_wasm(report: &mut Report) -> Result<()> {
    let settings = ["records=100", "projects=3"];
    let cache = tempfile::tempdir_in("target")?;
    let alone = || -> Result<Process> {
        let mut command = Command::new("target/release/agent");
        command.arg("run-wasm").arg(component("integration_mock")).args(settings).args(["-q", "--records", "none"]);
        command.env("XDG_CACHE_HOME", std::path::absolute(cache.path())?);
        report::measure(&command)
    };
    alone()?;
    let root = Root::new()?;
    let (mut author, mut agent) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        author.push(alone()?.cpu_secs * 1e3);
        let store = root.folder.path().join("root/store");
        if store.exists() {
            std::fs::remove_dir_all(store)?;
        }
        agent.push(root.export("{records: 100, projects: 3}")?.cpu_secs * 1e3);
    }
    let (author, agent) = (median(&mut author), median(&mut agent));
    report.add(
        Row::ratio("run-wasm of a small export, warm cache: CPU against agent export", author / agent, 1.2).aim("1.0"),
    );
    report.add(Row::new("run-wasm of a small export: CPU", author, "ms").peer("agent export", agent));
    Ok(())
}

/// A million records, twice. Returns some of them for the peer.
fn records(report: &mut Report) -> Result<Vec<String>> {
    let config = |count: u64| format!("{{full: true, sub_sessions: false, records: {count}}}");
    let (mut first, mut second, mut memory, mut memory_tenth, mut memory_second) =
        (vec![], vec![], vec![], vec![], vec![]);
    let mut sample = Vec::new();
    for _ in 0..ROUNDS {
        let root = Root::new()?;
        let process = root.export(&config(RECORDS))?;
        first.push(process.cpu_secs);
        memory.push(process.rss_mib);
        let process = root.export(&config(RECORDS))?;
        second.push(process.cpu_secs);
        memory_second.push(process.rss_mib);
        sample = head(&root.folder.path().join("out/mock/mock.Issue"))?;
        drop(root);
        memory_tenth.push(Root::new()?.export(&config(RECORDS / 10))?.rss_mib);
    }
    let bytes: usize = sample.iter().map(|line| line.len() + 1).sum();
    println!("records: {} bytes each on average", bytes / sample.len().max(1));
    report.add(Row::lower("1,000,000 records to the folder, first run: CPU", median(&mut first), "s", 7.0).aim("2"));
    report.add(Row::lower("1,000,000 unchanged records, second run: CPU", median(&mut second), "s", 5.0).aim("1.5"));
    let tenth = median(&mut memory_tenth);
    report.add(Row::ratio("peak memory, 1,000,000 records against 100,000", median(&mut memory) / tenth, 1.1).aim("1"));
    report.add(Row::new("peak memory, 1,000,000 records", median(&mut memory), "MiB").peer("100,000 records", tenth));
    report.add(Row::new("peak memory, second run", median(&mut memory_second), "MiB"));
    Ok(sample)
}

/// What a guest's language costs: encoding records and sending them, the host's work included, without the process's start.
fn languages(report: &mut Report) -> Result<()> {
    let rust = |count| format!("{{full: true, sub_sessions: false, projects: 1, records: {count}}}");
    let script = |count| format!("{{url: \"http://127.0.0.1\", records: {count}}}");
    let mut peer = None;
    for (language, guest) in [("Rust", "integration_mock"), ("Python", "python_tracker"), ("JavaScript", "js_tracker")]
    {
        if !component(guest).exists() {
            println!("skipped {language}: there is no {guest}; `make guests` says why");
            continue;
        }
        let config = |count: u64| if language == "Rust" { rust(count) } else { script(count) };
        let root = Root::of(guest, &config(0))?;
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            let cpu = |count| Ok(root.export_with(&config(count), &["--reprocess-historical"])?.cpu_secs);
            let (none, many): (Result<f64>, Result<f64>) = (cpu(0), cpu(LANGUAGE_RECORDS));
            rates.push(LANGUAGE_RECORDS as f64 / (many? - none?));
        }
        let rate = median(&mut rates);
        let row = Row::new(&format!("{language} guest: records through send"), rate, "per CPU second");
        report.add(match peer {
            None => row,
            Some(peer) => row.peer("Rust guest", peer),
        });
        peer.get_or_insert(rate);
    }
    Ok(())
}

fn head(folder: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        for line in BufReader::new(std::fs::File::open(entry?.path())?).lines() {
            lines.push(line?);
            if lines.len() == PEER_RECORDS {
                return Ok(lines);
            }
        }
    }
    Ok(lines)
}

/// A Singer tap that prints records which it has at hand, without reading or making them.
const TAP: &str = r#"
import json, sys
records = [json.loads(line) for line in open(sys.argv[1])]
write = sys.stdout.write
write(json.dumps({"type": "SCHEMA", "stream": "issue", "key_properties": ["ref_id"], "schema": {"type": "object"}}) + "\n")
for record in records:
    write(json.dumps({"type": "RECORD", "stream": "issue", "record": record}) + "\n")
write(json.dumps({"type": "STATE", "value": {"done": True}}) + "\n")
"#;

/// The same records through a Singer tap piped into `target-jsonl`.
fn singer(report: &mut Report, sample: &[String]) -> Result<()> {
    let target = Path::new("target/bench/singer/bin/target-jsonl");
    if !target.exists() {
        println!("skipped singer: target-jsonl could not be installed");
        return Ok(());
    }
    let folder = tempfile::tempdir_in("target")?;
    let (tap, data, config) =
        (folder.path().join("tap.py"), folder.path().join("data"), folder.path().join("config.json"));
    std::fs::write(&tap, TAP)?;
    std::fs::write(&data, sample.join("\n"))?;
    std::fs::write(&config, format!("{{\"destination_path\": \"{}\"}}", folder.path().display()))?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let python = "target/bench/singer/bin/python";
        let mut pipe = Command::new("sh");
        // exec keeps the shell out of the figures as far as it goes; its own start is a millisecond.
        pipe.args(["-c", "\"$0\" \"$1\" \"$2\" | \"$3\" --config \"$4\""])
            .arg(python)
            .args([&tap, &data])
            .arg(target)
            .arg(&config);
        times.push(report::measure(&pipe)?.cpu_secs * RECORDS as f64 / sample.len() as f64);
    }
    let peer = median(&mut times);
    report.compare(
        "1,000,000 records to the folder, first run: CPU",
        "Singer tap | target-jsonl, scaled from 20,000",
        peer,
    );
    Ok(())
}

fn begin(store: &Arc<Store>, name: &str) -> Result<Arc<ExportRun>> {
    let model = Model { name: "m".into(), key: vec!["/id".into()], dedup: true };
    let spec = RunSpec {
        integration: name.into(),
        sink: "bench".into(),
        component_digest: String::new(),
        models: vec![model],
    };
    Ok(ExportRun::begin(store.clone(), spec, Shutdown::default())?)
}

fn batch(from: u64, to: u64) -> Vec<u8> {
    let line = |id: u64| format!("{{\"id\":{id},\"body\":\"{}\"}}\n", "x".repeat(225));
    (from..to).map(line).collect::<String>().into_bytes()
}

/// `done` of a large session against that of a small one, and what others' sends take meanwhile.
fn commits(report: &mut Report) -> Result<()> {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (mut small, mut large, mut quiet, mut meanwhile) = (vec![], vec![], vec![], vec![]);
    for _ in 0..5 {
        let folder = tempfile::tempdir_in("target")?;
        let store = Arc::new(Store::open(folder.path(), Codec::Plain, u64::MAX)?);
        tokio.block_on(async {
            small.push(commit(&store, 1000, &mut quiet).await?);
            large.push(commit(&store, RECORDS, &mut meanwhile).await?);
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    let (few, many) = (median(&mut small), median(&mut large));
    report.add(Row::ratio("commit of 1,000,000 records against 1,000", many / few, 3.0).aim("1"));
    report.add(Row::new("commit of 1,000,000 records, alone", many, "ms").peer("1,000 records", few));
    let (calm, busy) = (median(&mut quiet), median(&mut meanwhile));
    report.add(Row::ratio("others' sends during the commit of 1,000,000 against 1,000", busy / calm, 3.0).aim("1"));
    report.add(
        Row::new("others' sends during the commit of 1,000,000, p50", busy, "µs").peer("during that of 1,000", calm),
    );
    Ok(())
}

async fn commit(store: &Arc<Store>, count: u64, sends: &mut Vec<f64>) -> Result<f64> {
    let run = begin(store, &format!("n{count}"))?;
    let session = run.open_root(SessionKind::Model, "m")?;
    for from in (0..count).step_by(2000) {
        run.send(session, &batch(from, (from + 2000).min(count))).await?;
    }
    let (other, over) = (begin(store, &format!("other{count}"))?, Arc::new(AtomicBool::new(false)));
    let stop = over.clone();
    let sender = Shutdown::default().spawn(async move {
        let session = other.open_root(SessionKind::Model, "m").map_err(|e| e.to_string())?;
        let (mut times, lines) = (Vec::new(), batch(0, 20));
        while !stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            other.send(session, &lines).await.map_err(|e| e.to_string())?;
            times.push(began.elapsed().as_secs_f64() * 1e6);
            tokio::task::yield_now().await;
        }
        Ok::<Vec<f64>, String>(times)
    });
    tokio::task::yield_now().await;
    let began = Instant::now();
    run.done(session, Some("c")).await?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    over.store(true, Ordering::Relaxed);
    sends.extend(sender.await??);
    Ok(took)
}

/// What a process holds that has ten integrations loaded from a warm cache.
fn ten_integrations(report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir_in("target")?;
    let names = ["integration_mock", "integration_git", "guest_hello", "guest_misuse", "guest_panics"];
    for (at, name) in names.iter().cycle().take(10).enumerate() {
        let mut bytes = std::fs::read(component(name))?;
        // A custom section makes each a component of its own, with its own digest and compilation.
        bytes.extend_from_slice(&[0, 3, 1, b'n', at as u8]);
        std::fs::write(folder.path().join(format!("{at}.wasm")), bytes)?;
    }
    let hold = || -> Result<f64> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--hold-ten")
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut ready = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut ready)?;
        let pss = report::pss_mib(child.id())?;
        drop(child.stdin.take());
        if ready.trim() != "ready" || !child.wait()?.success() {
            return Err("the process that holds ten integrations failed".into());
        }
        Ok(pss)
    };
    hold()?;
    let mut pss: Vec<f64> = (0..ROUNDS).map(|_| hold()).collect::<Result<_>>()?;
    report.add(Row::lower("ten Rust integrations loaded, idle: PSS", median(&mut pss), "MiB", 60.0).aim("30"));
    Ok(())
}

fn hold_ten(folder: &Path) -> Result<()> {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let _store = Store::open(&folder.join("root"), Codec::Plain, u64::MAX)?;
    let sandbox = Sandbox::new(&folder.join("cache"), &options())?;
    let loaded = (0..10)
        .map(|at| sandbox.load(&folder.join(format!("{at}.wasm"))))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let shutdown = Shutdown::default();
    for component in &loaded {
        let door = Door::nothing("bench", &Logs::none(), &shutdown);
        tokio.block_on(sandbox.call(component, door, &Limits::default(), Call::Describe, &shutdown));
    }
    println!("ready");
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

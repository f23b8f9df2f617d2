//! Ten guests that misbehave beside an export that does not: what share of the processor the export gets, and what its
//! work costs. By CPU time, so that other programs on the machine do not count.
//!
//! With n guests that never let go and one export, each has a fair share of 1/(n+1) of what the process gets. The export
//! cannot use more than it asks for, so the share is held against what its work costs alone: records done, times the CPU
//! time of one record alone, over the fair share of the CPU time that the whole process used.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::command::exporter::Exporter;
use agent::command::runner::Runner;
use agent::config::{Grants, Integration, Limits};
use agent::egress::Egress;
use agent::export::ExportRun;
use agent::export::Sample;
use agent::git::GitMemory;
use agent::logs::Logs;
use agent::sandbox::{self, Compiler, Sandbox};
use agent::shutdown::Shutdown;
use agent::store::{Codec, Store};
use serde_json::{Value, json};

use crate::report::{Report, Row, median};
use crate::{Result, component};

/// What the ten do. Endless but for the floods, which go on with something else after theirs.
const MISBEHAVING: [&str; 10] = [
    "loop",
    "loop",
    "loop",
    "loop",
    "loop",
    "loop-with-host-calls",
    "loop-with-host-calls",
    "loop-and-log",
    "loop-and-log",
    "loop-and-send",
];

/// Records of the export: some seconds of work.
const RECORDS: u64 = 400_000;

/// The records of which the share is reckoned when the ten are there: the export is ended at about so many.
const ROUNDS: usize = 3;

struct Bench {
    _folder: tempfile::TempDir,
    exporter: Arc<Exporter>,
    tokio: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Result<Bench> {
        let folder = tempfile::tempdir_in("target")?;
        let (shutdown, logs) = (Shutdown::default(), Logs::none());
        let options = sandbox::Options { compiler: Compiler::InProcess, ..sandbox::Options::default() };
        let sandbox = Sandbox::new(&folder.path().join("cache"), &options)?;
        let exporter = Exporter {
            runner: Runner { sandbox, egress: Egress::new(), logs, shutdown, consents: None },
            store: Arc::new(Store::open(&folder.path().join("root"), Codec::Plain, u64::MAX)?),
            sink: "bench".to_owned(),
            skip_git: true,
            sample: Sample::default(),
            customer_id: String::new(),
            git_cache: folder.path().join("repos"),
            git_checkpoints: folder.path().join("checkpoints"),
            git_memory: GitMemory::new(1 << 30, 1),
        };
        // As the command line makes it.
        let tokio = agent::shutdown::runtime()?;
        Ok(Bench { _folder: folder, exporter: Arc::new(exporter), tokio })
    }

    fn integration(name: &str, file: &str, config: Value) -> Integration {
        let limits = Limits { cpu_time_max: Duration::from_secs(86_400), ..Limits::default() };
        let (name, grants) = (name.to_owned(), Grants::default());
        Integration { name, component: component(file), sha256: None, config, grants, limits, skip_git: false }
    }

    /// Runs an export of this many records, and says what the process used meanwhile: CPU and wall time, seconds.
    fn export(&self, round: &str) -> Result<(u64, f64, f64)> {
        let config = json!({"full": true, "sub_sessions": false, "records": RECORDS, "projects": 1});
        let good = Bench::integration(&format!("good{round}"), "integration_mock", config);
        self.tokio.block_on(async {
            let prepared = self.exporter.runner.prepare(&good).await?;
            let run = self.exporter.begin(&prepared)?;
            let (cpu, wall) = (cpu_secs(), Instant::now());
            let (exporter, of) = (Arc::clone(&self.exporter), Arc::clone(&run));
            // A task like every other, and not the thread that waits for it.
            let ended = Shutdown::default().spawn(async move { exporter.run_export(&prepared, &of).await }).await?;
            let used = (cpu_secs() - cpu, wall.elapsed().as_secs_f64());
            if !ended.outcome.is_ok() {
                return Err(format!("the export ended: {:?}", ended.outcome).into());
            }
            Ok((records(&run), used.0, used.1))
        })
    }

    /// Lets the ten run for as long as the answer is held.
    fn misbehave(&self) -> Result<Vec<tokio::task::JoinHandle<()>>> {
        let mut tasks = Vec::new();
        for (index, case) in MISBEHAVING.iter().enumerate() {
            let bad = Bench::integration(&format!("bad{index}"), "guest_misuse", json!({"do": case}));
            let prepared = self.tokio.block_on(self.exporter.runner.prepare(&bad))?;
            let run = self.exporter.begin(&prepared)?;
            let exporter = Arc::clone(&self.exporter);
            let _inside = self.tokio.enter();
            tasks.push(Shutdown::default().spawn(async move {
                let ended = exporter.run_export(&prepared, &run).await;
                println!("{} ended: {:?}", prepared.integration.name, ended.outcome);
            }));
        }
        Ok(tasks)
    }
}

fn records(run: &ExportRun) -> u64 {
    run.snapshot().iter().map(|session| session.records).sum()
}

/// The CPU time of this process, all threads.
fn cpu_secs() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local that outlives the call, which does nothing but fill it in.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Runs it and reports.
pub fn fairness(report: &mut Report) -> Result<()> {
    let bench = Bench::new()?;
    let (mut alone, mut rate_alone, mut shares, mut walls) = (vec![], vec![], vec![], vec![]);
    bench.export("-warm")?;
    for round in 0..ROUNDS {
        let (records, cpu, wall) = bench.export(&format!("-alone{round}"))?;
        alone.push(cpu / records as f64);
        rate_alone.push(records as f64 / wall);
    }
    let cost = median(&mut alone);
    let tasks = bench.misbehave()?;
    for round in 0..ROUNDS {
        let (records, cpu, wall) = bench.export(&format!("-beside{round}"))?;
        let fair = cpu / (MISBEHAVING.len() + 1) as f64;
        let got = records as f64 * cost;
        println!(
            "{records} records: worth {got:.2} s alone; the process used {cpu:.2} s of CPU in {wall:.2} s: a fair share is {fair:.2} s"
        );
        shares.push(got / fair);
        walls.push(records as f64 / wall);
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    report.add(
        Row::higher("export beside ten that misbehave, of its fair share of CPU", median(&mut shares), "×", 0.8)
            .aim("0.95"),
    );
    report.add(
        Row::new("export beside ten that misbehave: records a second", median(&mut walls), "")
            .peer("alone", median(&mut rate_alone)),
    );
    report.add(Row::new("export alone: CPU of a record", cost * 1e6, "µs"));
    Ok(())
}

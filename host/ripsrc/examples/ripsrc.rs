//! Tries the library: `ripsrc code|branches|validate REPO`. The agent's command is another.
//!
//! Options: `--no-blame`, `--all-branches`, `--threads N`, `--memory BYTES`, `--no-count`, `--checkpoint DIR`, `--quiet`
//! (count the records instead of printing them), `--phases` (seconds of each phase, and the process' own memory); of `validate`, `--commits N` and `--seed N`.

use ripsrc::{Options, Record, Repository, Scope};
use std::path::Path;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let has = |name: &str| args.iter().any(|arg| arg == name);
    let [command, path, ..] = args.as_slice() else { return Err("usage: ripsrc code|branches|validate REPO".into()) };
    let repository = Repository::open(Path::new(path))?;
    let options = Options {
        scope: if has("--all-branches") { Scope::AllBranches } else { Scope::Head },
        blame: !has("--no-blame"),
        count: (!has("--no-count")).then(ripsrc::count::Options::default),
        checkpoint: value("--checkpoint").map(Into::into),
        threads: value("--threads").map_or(Ok(0), |text| text.parse())?,
        memory_max: value("--memory").map_or(Ok(1_000_000_000), |text| text.parse())?,
        ..Options::default()
    };
    if has("--phases") {
        let watch = options.watch.clone();
        std::thread::spawn(move || phases(&watch));
    }
    match command.as_str() {
        "code" => code(&repository, &options, has("--quiet")),
        "branches" => {
            let mut writer = ripsrc::output::Writer::new(std::io::stdout().lock());
            repository.branches(&options, &mut |record| Ok(writer.write(&record)?))?;
            drop(writer.finish()?);
            Ok(())
        }
        "validate" => {
            let commits = value("--commits").map_or(Ok(3), |text| text.parse())?;
            let seed = value("--seed").map_or(Ok(1), |text| text.parse())?;
            let report = repository.validate(&options, commits, seed)?;
            for difference in &report.differences {
                let path = difference.path.escape_ascii();
                println!("{} {path}: {}", difference.commit, difference.what);
            }
            println!(
                "{} files, {} of {} lines equal ({:.4} %); {} of {} changed files equal; {} not compared",
                report.files,
                report.lines_equal,
                report.lines,
                report.agreement() * 100.0,
                report.stats_equal,
                report.stats,
                report.not_compared
            );
            Ok(())
        }
        other => Err(format!("unknown command {other}").into()),
    }
}

fn code(repository: &Repository, options: &Options, quiet: bool) -> Result<(), Box<dyn std::error::Error>> {
    let (mut lines, mut runs) = (0u64, 0u64);
    let summary = if quiet {
        repository.code(options, &mut |record| {
            if let Record::Blame(blame) = record {
                runs += blame.owners.iter().count() as u64;
                lines += blame.owners.iter().map(|owned| u64::from(owned.count)).sum::<u64>();
            }
            Ok(())
        })?
    } else {
        repository.code_json(options, &mut std::io::stdout().lock())?
    };
    if let Some(next) = &summary.next {
        next.save()?;
    }
    let (commits, files) = (summary.commits, summary.files);
    eprintln!(
        "{commits} commits, {files} files, {lines} lines in {runs} runs, {} unreadable",
        summary.unreadable.len()
    );
    eprintln!("checkpoint: {:?}, {} recomputed, next {:?}", summary.checkpoint, summary.recomputed, summary.next);
    Ok(())
}

/// Tells when a phase ends, and what memory of its own the process was seen to use by then. What is mapped of files comes
/// on top, which the system takes back when it needs it.
fn phases(watch: &ripsrc::Watch) {
    let (mut phase, mut since, mut most) = (watch.progress().phase, Instant::now(), 0u64);
    loop {
        std::thread::sleep(Duration::from_millis(2));
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kilobytes = own.and_then(|own| own.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default();
        most = most.max(kilobytes);
        let now = watch.progress().phase;
        if now != phase {
            eprintln!("{phase:?} {:.3} s, own memory up to {most} kB", since.elapsed().as_secs_f64());
            (phase, since) = (now, Instant::now());
        }
    }
}

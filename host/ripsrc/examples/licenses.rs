//! Measures what telling licences costs: `licenses [--judge] FILE…`. Microseconds for each file, the best of several
//! rounds, and what it came to; before that, what the first of them cost the process. With `--judge` the `spdx` crate's
//! own detector does the work, which compares with all texts one by one, and names its answers.

use ripsrc::count::{Counter, License, Options};
use spdx::detection::{Store, TextData};
use std::error::Error;
use std::time::Instant;

const ROUNDS: usize = 5;

type Detector = Box<dyn FnMut(&[u8], &[u8]) -> Option<License>>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut files: Vec<String> = std::env::args().skip(1).collect();
    let with_judge = files.first().is_some_and(|first| first == "--judge");
    files.drain(..usize::from(with_judge));
    let start = Instant::now();
    let mut detect: Detector = if with_judge { judge()? } else { ours() };
    let mut all = Vec::new();
    for path in &files {
        let content = std::fs::read(path)?;
        let name = path.rsplit('/').next().unwrap_or(path);
        if all.is_empty() {
            detect(name.as_bytes(), &content);
            eprintln!("first: {:.2} ms, {:.1} MB resident", start.elapsed().as_secs_f64() * 1e3, resident()?);
        }
        let mut best = f64::MAX;
        let mut answer = None;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            answer = detect(name.as_bytes(), &content);
            best = best.min(start.elapsed().as_secs_f64() * 1e6);
        }
        all.push(best);
        let answer = answer.map_or("-".to_owned(), |license| format!("{}\t{:.3}", license.name, license.confidence));
        println!("{path}\t{}\t{best:.0}\t{answer}", content.len());
    }
    all.sort_by(f64::total_cmp);
    if let (Some(most), count) = (all.last(), all.len()) {
        let mean = all.iter().sum::<f64>() / count as f64;
        eprintln!("{count} files: mean {mean:.0}, median {:.0}, most {most:.0} microseconds", all[count / 2]);
    }
    eprintln!("in the end: {:.1} MB resident", resident()?);
    Ok(())
}

/// As a walk asks. What is no licence is skipped by its name, and costs no more.
fn ours() -> Detector {
    let mut counter = Counter::new(Options::default());
    Box::new(move |name, content| counter.count(name, content).license)
}

fn judge() -> Result<Detector, Box<dyn Error>> {
    let store = Store::load_inline().map_err(|error| error.to_string())?;
    Ok(Box::new(move |_, content| {
        let best = store.analyze(&TextData::new(&String::from_utf8_lossy(content)));
        (best.score >= 0.85).then(|| License { name: best.name.to_owned(), confidence: best.score })
    }))
}

/// Megabytes.
fn resident() -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

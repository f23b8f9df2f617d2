//! Tries the library: `ripsrc code REPO [--no-blame] [--threads N]`. The command of the agent is another.
use ripsrc::{Options, Record, Repository};
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let repository = Repository::open(std::path::Path::new(&args[1]))?;
    let options = Options {
        blame: !args.iter().any(|arg| arg == "--no-blame"),
        threads: value("--threads").map_or(Ok(0), |text| text.parse())?,
        ..Options::default()
    };
    let mut lines = 0u64;
    let mut runs = 0u64;
    let summary = repository.code(&options, &mut |record| {
        if let Record::Blame(blame) = record {
            runs += blame.owners.iter().count() as u64;
            lines += blame.owners.iter().map(|owned| u64::from(owned.count)).sum::<u64>();
        }
        Ok(())
    })?;
    println!("{} commits, {} files, {lines} lines, {runs} runs, {} unreadable", summary.commits, summary.files, summary.unreadable.len());
    Ok(())
}

//! `make bench AREA=ripsrc`: what reading whole histories costs, beside what git takes to print them, on the same repositories
//! in the same run. Prints a table and writes `target/bench/ripsrc.json`. Repositories are made by script: a small history, a
//! long one, one of large files; `REPOS=` names more, separated by blanks, and `SIZE=` scales the made ones, per cent. It
//! judges no test: figures are for people.

#[path = "history.rs"]
mod history;
#[path = "report.rs"]
#[allow(dead_code, reason = "benchmarks share it, and each uses a part of it")]
mod report;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use history::{git, make, run};
use report::{Process, Report, Row, median};

/// Runs of each command, taken in turn so that all meet the same disturbances; the median counts.
const ROUNDS: usize = 3;
/// New commits of a night.
const NEW: usize = 10;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("--measure") {
        return report::measure_here(arguments);
    }
    let size: usize = std::env::var("SIZE").map_or(Ok(100), |text| text.parse())?;
    let mut report = Report::default();
    start(&mut report)?;
    let made = tempfile::tempdir()?;
    for (name, commits, files, lines) in
        [("small", 2000, 150, 200), ("long", 10_000, 400, 400), ("large files", 2000, 60, 3000)]
    {
        let path = made.path().join(name);
        make(&path, (commits * size / 100).max(2 * NEW), files, lines)?;
        whole(&mut report, name, &path)?;
        night(&mut report, name, &path)?;
    }
    for path in std::env::var("REPOS").unwrap_or_default().split_whitespace().map(PathBuf::from) {
        let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into());
        whole(&mut report, &name, &path)?;
        night(&mut report, &name, &path)?;
    }
    report.finish("ripsrc")
}

fn agent(arguments: &[&str]) -> Command {
    let mut command = Command::new("target/release/agent");
    command.arg("ripsrc").args(arguments);
    command
}

/// `git blame` of all files of HEAD, by two processes at a time.
fn blame_head(path: &Path) -> Command {
    let mut command = Command::new("sh");
    let script = "git -C \"$0\" -c 'safe.directory=*' ls-tree -r -z --name-only HEAD | \
                  xargs -0 -P2 -n1 sh -c 'git -C \"$0\" -c \"safe.directory=*\" blame --porcelain HEAD -- \"$1\" >/dev/null 2>&1 || :' \"$0\"";
    command.arg("-c").arg(script).arg(path);
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command
}

/// The same history by two processes of one thread, side by side.
fn twice(repo: &str) -> Command {
    let mut command = Command::new("sh");
    let script = "for _ in 1 2; do target/release/agent ripsrc code \"$0\" --quiet --threads 1 >/dev/null & done; wait";
    command.arg("-c").arg(script).arg(repo);
    command
}

fn text(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Medians over the rounds, of each command: seconds, and the largest process, MiB.
fn medians(commands: &mut [&mut dyn FnMut() -> Result<Process>]) -> Result<Vec<(f64, f64)>> {
    let mut runs: Vec<Vec<Process>> = commands.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (command, runs) in commands.iter_mut().zip(&mut runs) {
            runs.push(command()?);
        }
    }
    let both = |runs: Vec<Process>| {
        let of = |value: fn(&Process) -> f64| median(&mut runs.iter().map(value).collect::<Vec<_>>());
        (of(|run| run.wall_secs), of(|run| run.rss_mib))
    };
    Ok(runs.into_iter().map(both).collect())
}

/// What there is to pay before anything is read.
fn start(report: &mut Report) -> Result<()> {
    let found = medians(&mut [&mut || report::measure(&agent(&["--help"]))])?;
    report.add(Row::new("start: agent ripsrc --help", found[0].0 * 1e3, "ms"));
    Ok(())
}

/// A whole history, against what git prints of it.
fn whole(report: &mut Report, name: &str, path: &Path) -> Result<()> {
    let repo = path.to_str().ok_or("a path is no text")?;
    let commits = text(&mut git(path, &["rev-list", "--count", "HEAD"]))?;
    println!("\n{name}: {commits} commits");
    let code = |more: &[&str]| report::measure(&agent(&[&["code", repo, "--quiet"], more].concat()));
    let found = medians(&mut [
        &mut || code(&[]),
        &mut || code(&["--threads", "1"]),
        &mut || code(&["--threads", "2"]),
        &mut || code(&["--no-count"]),
        &mut || code(&["--no-blame"]),
        &mut || report::measure(&git(path, &["log", "-p", "-M"])),
        &mut || report::measure(&git(path, &["log", "--numstat", "-M"])),
        &mut || report::measure(&blame_head(path)),
        &mut || report::measure(&twice(repo)),
    ])?;
    let secs: Vec<f64> = found.iter().map(|(secs, _)| *secs).collect();
    let row = |what: &str, ours: f64, peer: &str, theirs: f64, bar: f64, aim| {
        Row::against(&format!("{name}: {what}"), ours, "s", peer, theirs, bar).aim(aim)
    };
    report.add(row("code", secs[0], "git log -p -M", secs[5], 0.5, "0.25"));
    report.add(Row::new(&format!("{name}: code --no-count"), secs[3], "s").peer("git log -p -M", secs[5]));
    report.add(row("code --no-blame", secs[4], "git log --numstat -M", secs[6], 0.4, "0.2"));
    report.add(row("code, all versions", secs[0], "git blame of HEAD, 2 processes", secs[7], 0.4, "0.15"));
    let scaling = secs[1] / secs[2];
    report.add(Row::higher(&format!("{name}: two threads, times as fast as one"), scaling, "×", 1.5).aim("1.8"));
    // What the machine has to give: processors that share a core, or a host that has others, give two less than twice.
    let most = 2.0 * secs[1] / secs[8];
    report.add(Row::new(&format!("{name}: two processes of one thread, times as much as one"), most, "×"));
    report.add(Row::lower(&format!("{name}: peak memory"), found[0].1, "MiB", 600.0).aim("300"));
    Ok(())
}

/// Ten new commits on a tip that the run before knew: the whole process.
fn night(report: &mut Report, name: &str, path: &Path) -> Result<()> {
    let old = text(&mut git(path, &["rev-parse", &format!("HEAD~{NEW}")]))?;
    let new = text(&mut git(path, &["rev-parse", "HEAD"]))?;
    if old.len() < 40 || new.len() < 40 {
        return Ok(());
    }
    // The repository itself is left as it is: another one borrows its objects.
    let beside = tempfile::tempdir()?;
    let bare = beside.path().join("repo");
    run(Command::new("git").args(["clone", "-q", "--bare", "--shared"]).arg(path).arg(&bare))?;
    let folder = beside.path().join("checkpoint");
    let saved = folder.join("ripsrc.checkpoint");
    let (repo, checkpoint) = (bare.to_str().ok_or("a path is no text")?, folder.to_str().ok_or("a path is no text")?);
    let code = || report::measure(&agent(&["code", repo, "--quiet", "--checkpoint", checkpoint]));
    run(&mut git(&bare, &["update-ref", "--no-deref", "HEAD", &old]))?;
    code()?;
    let base = std::fs::read(&saved)?;
    run(&mut git(&bare, &["update-ref", "--no-deref", "HEAD", &new]))?;
    let range = format!("{old}..{new}");
    let found = medians(&mut [
        &mut || {
            std::fs::write(&saved, &base)?;
            code()
        },
        &mut || report::measure(&git(&bare, &["log", "-p", "-M", &range])),
    ])?;
    let row = Row::lower(&format!("{name}: ten new commits, the whole process"), found[0].0 * 1e3, "ms", 150.0);
    report.add(row.aim("50").peer("git log -p -M of the same", found[1].0 * 1e3));
    report.add(Row::new(&format!("{name}: checkpoint"), base.len() as f64 / 1e6, "MB"));
    Ok(())
}

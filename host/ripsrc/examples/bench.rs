//! Measures the `ripsrc` example against git on the same repositories, in the same run: wall time, the median of three,
//! and ratios; processor time and peak memory beside them. Repositories are made here by script; `REPOS=` names more,
//! separated by spaces. `SIZE=` scales the made ones, in per cent. It is run with both examples built for release.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const RUNS: usize = 3;

/// What a process cost.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    processor: f64,
    /// Megabytes.
    memory: f64,
}

/// Runs a command to its end, output thrown away.
fn cost(command: &mut Command) -> Cost {
    let begin = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let (mut status, mut usage) = (0, unsafe { std::mem::zeroed::<libc::rusage>() });
    // SAFETY: the process is our child, and both places are ours. Nobody else waits for it.
    unsafe { libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut usage) };
    let wall = begin.elapsed().as_secs_f64();
    assert!(status == 0, "{command:?} ended with {status}");
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let _ = child.try_wait();
    Cost { wall, processor: seconds(usage.ru_utime) + seconds(usage.ru_stime), memory: usage.ru_maxrss as f64 / 1024.0 }
}

/// The run of median wall time, of several taken in turns so that all meet the same disturbances.
fn medians(commands: &mut [&mut dyn FnMut() -> Cost]) -> Vec<Cost> {
    let mut costs: Vec<Vec<Cost>> = commands.iter().map(|_| vec![]).collect();
    for _ in 0..RUNS {
        for (command, costs) in commands.iter_mut().zip(&mut costs) {
            costs.push(command());
        }
    }
    costs
        .into_iter()
        .map(|mut costs| {
            costs.sort_by(|a, b| a.wall.total_cmp(&b.wall));
            costs[costs.len() / 2]
        })
        .collect()
}

fn git(path: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(path).args(["-c", "safe.directory=*"]).args(args);
    command
}

fn text(command: &mut Command) -> String {
    String::from_utf8_lossy(&command.stderr(Stdio::null()).output().expect("git starts").stdout).trim().to_owned()
}

/// `git blame` of all files of HEAD, by two processes at a time.
fn blame_head(path: &Path) -> Cost {
    let mut command = Command::new("sh");
    let script = "git -C \"$0\" ls-tree -r -z --name-only HEAD | xargs -0 -P2 -n1 sh -c 'git -C \"$0\" blame --porcelain HEAD -- \"$1\" >/dev/null 2>&1 || :' \"$0\"";
    cost(command.arg("-c").arg(script).arg(path))
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }
}

/// Makes a history: files of some hundred lines, each commit edits a few, as people do: near where they edited before.
fn make(path: &Path, commits: usize, files: usize, lines: usize) {
    assert!(cost(Command::new("git").args(["init", "-q", "--bare", "-b", "main"]).arg(path)).wall > 0.0);
    let mut child = git(path, &["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().expect("git starts");
    let mut out = std::io::BufWriter::new(child.stdin.take().expect("it is piped"));
    let mut random = Random(commits as u64 * 77 + 1);
    let line = |random: &mut Random| match random.below(5) {
        0 => String::new(),
        1 => "    }".to_owned(),
        _ => format!("    let value_{} = call_{}(argument_{});", random.below(900), random.below(90), random.below(9)),
    };
    let mut all: Vec<Vec<String>> = vec![];
    let mut write = |commit: usize, changed: &[usize], all: &[Vec<String>]| -> std::io::Result<()> {
        writeln!(
            out,
            "commit refs/heads/main\nmark :{commit}\ncommitter A <a@b> {} +0000\ndata 1\nm",
            1_500_000_000 + commit * 600
        )?;
        for &file in changed {
            let text = all[file].join("\n") + "\n";
            write!(out, "M 100644 inline src/part{}/file{file}.c\ndata {}\n{text}\n", file % 17, text.len())?;
        }
        if commit == commits {
            out.flush()?;
        }
        Ok(())
    };
    for commit in 1..=commits {
        let mut changed = vec![];
        for _ in 0..=random.below(3) {
            if all.len() < files && (all.len() * commits < commit * files || all.is_empty()) {
                all.push((0..1 + random.below(lines * 2)).map(|_| line(&mut random)).collect());
                changed.push(all.len() - 1);
                continue;
            }
            let file = random.below(all.len()).min(random.below(all.len()));
            let text = &mut all[file];
            for _ in 0..=random.below(3) {
                let at = random.below(text.len() + 1);
                let count = random.below(8).min(text.len() - at);
                let new: Vec<String> = (0..random.below(9)).map(|_| line(&mut random)).collect();
                text.splice(at..at + count, new).for_each(drop);
            }
            if !changed.contains(&file) {
                changed.push(file);
            }
        }
        write(commit, &changed, &all).expect("git takes the script");
    }
    drop(out);
    assert!(child.wait().expect("it was started").success());
    cost(&mut git(path, &["repack", "-adfq"]));
}

fn row(name: &str, cost: Cost, against: Option<Cost>) {
    let ratio = against.map(|other| format!("{:.3}", cost.wall / other.wall)).unwrap_or_default();
    println!("  {name:<44} {:>8.3} s {:>8.3} s {:>7.0} MB {ratio:>8}", cost.wall, cost.processor, cost.memory);
}

fn measure(ripsrc: &Path, path: &Path) {
    let commits = text(&mut git(path, &["rev-list", "--count", "HEAD"]));
    println!("{}: {commits} commits", path.display());
    println!("  {:<44} {:>10} {:>10} {:>10} {:>8}", "", "wall", "processor", "peak", "ratio");
    let code = |args: &[&str]| cost(Command::new(ripsrc).arg("code").arg(path).args(args));
    let found = medians(&mut [
        &mut || code(&[]),
        &mut || code(&["--threads", "1"]),
        &mut || code(&["--no-count"]),
        &mut || code(&["--no-blame"]),
        &mut || cost(&mut git(path, &["log", "-p", "-M"])),
        &mut || cost(&mut git(path, &["log", "--numstat", "-M"])),
        &mut || blame_head(path),
    ]);
    row("git log -p -M", found[4], None);
    row("git log --numstat -M", found[5], None);
    row("git blame, all files of HEAD, two processes", found[6], None);
    row("code, against log -p", found[0], Some(found[4]));
    row("code, against git blame", found[0], Some(found[6]));
    row("code without counting, against log -p", found[2], Some(found[4]));
    row("code --no-blame, against log --numstat", found[3], Some(found[5]));
    println!("  two threads are {:.2} times as fast as one", found[1].wall / found[0].wall);
    increments(ripsrc, path);
}

/// Ten new commits on a known tip.
fn increments(ripsrc: &Path, path: &Path) {
    let old = text(&mut git(path, &["rev-parse", "HEAD~10"]));
    let new = text(&mut git(path, &["rev-parse", "HEAD"]));
    if old.len() < 40 || new.len() < 40 {
        return;
    }
    // The repository itself is left as it is: another one borrows its objects.
    let beside = tempfile::tempdir().expect("there is room");
    let bare = beside.path().join("repo");
    cost(Command::new("git").args(["clone", "-q", "--bare", "--shared"]).arg(path).arg(&bare));
    let folder = beside.path().join("checkpoint");
    let point = |oid: &str| cost(&mut git(&bare, &["update-ref", "--no-deref", "HEAD", oid]));
    let arguments = [bare.as_os_str(), "--checkpoint".as_ref(), folder.as_os_str()];
    let run = || cost(Command::new(ripsrc).arg("code").args(arguments));
    point(&old);
    run();
    let saved = std::fs::read(folder.join("ripsrc.checkpoint")).expect("the run saved it");
    point(&new);
    let range = format!("{old}..{new}");
    let found = medians(&mut [
        &mut || {
            std::fs::write(folder.join("ripsrc.checkpoint"), &saved).expect("there is room");
            run()
        },
        &mut || cost(&mut git(&bare, &["log", "-p", "-M", &range])),
    ]);
    row("the last ten commits: git log -p -M", found[1], None);
    row("the last ten commits, from a checkpoint", found[0], Some(found[1]));
    println!("  the checkpoint has {:.2} MB", saved.len() as f64 / 1e6);
}

fn main() {
    let ripsrc: PathBuf = std::env::current_exe().expect("it runs").with_file_name("ripsrc");
    assert!(ripsrc.exists(), "build the example ripsrc beside this one: {}", ripsrc.display());
    let size: usize = std::env::var("SIZE").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let made = tempfile::tempdir().expect("there is room");
    for (name, commits, files, lines) in
        [("small", 2000, 150, 200), ("long", 10_000, 400, 400), ("large", 2000, 60, 3000)]
    {
        let path = made.path().join(name);
        make(&path, (commits * size / 100).max(20), files, lines);
        measure(&ripsrc, &path);
    }
    for path in std::env::var("REPOS").unwrap_or_default().split_whitespace() {
        measure(&ripsrc, Path::new(path));
    }
}

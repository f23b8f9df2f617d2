//! Histories that benchmarks make by script, the same each time: nobody's repository has to be there.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// git in a repository, with nobody's settings.
pub fn git(path: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(path).args(["-c", "safe.directory=*"]).args(arguments);
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }

    /// A line as a program has it.
    fn line(&mut self) -> String {
        match self.below(5) {
            0 => String::new(),
            1 => "    }".to_owned(),
            _ => format!("    let value_{} = call_{}(argument_{});", self.below(900), self.below(90), self.below(9)),
        }
    }
}

/// Makes a history: files of some hundred lines, each commit edits a few, as people do: near where they edited before.
pub fn make(path: &Path, commits: usize, files: usize, lines: usize) -> Result<()> {
    run(Command::new("git").args(["init", "-q", "--bare", "-b", "main"]).arg(path))?;
    let mut child = git(path, &["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn()?;
    let mut out = std::io::BufWriter::new(child.stdin.take().ok_or("git takes no script")?);
    let mut random = Random(commits as u64 * 77 + 1);
    let mut all: Vec<Vec<String>> = Vec::new();
    for commit in 1..=commits {
        let mut changed = Vec::new();
        for _ in 0..=random.below(3) {
            if all.len() < files && (all.len() * commits < commit * files || all.is_empty()) {
                let count = 1 + random.below(lines * 2);
                all.push((0..count).map(|_| random.line()).collect());
                changed.push(all.len() - 1);
                continue;
            }
            let file = random.below(all.len()).min(random.below(all.len()));
            edit(&mut all[file], &mut random);
            if !changed.contains(&file) {
                changed.push(file);
            }
        }
        let date = 1_500_000_000 + commit * 600;
        let mut script = format!("commit refs/heads/main\ncommitter A <a@b> {date} +0000\ndata 1\nm");
        for file in changed {
            let text = all[file].join("\n") + "\n";
            write!(script, "M 100644 inline src/part{}/file{file}.c\ndata {}\n{text}\n", file % 17, text.len())?;
        }
        out.write_all(script.as_bytes())?;
    }
    out.flush()?;
    drop(out);
    if !child.wait()?.success() {
        return Err("git does not take the script".into());
    }
    run(&mut git(path, &["repack", "-adfq"]))
}

fn edit(text: &mut Vec<String>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(text.len() + 1);
        let count = random.below(8).min(text.len() - at);
        let new: Vec<String> = (0..random.below(9)).map(|_| random.line()).collect();
        text.splice(at..at + count, new).for_each(drop);
    }
}

//! Makes repositories with the system's git, quickly: commits are written through `git fast-import`, so a script of a
//! thousand commits takes a fraction of a second. And compares what is said of them.

use ripsrc::{Oid, Options, Record, Repository, Scope};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A repository that is being written.
pub struct Repo {
    pub dir: TempDir,
    script: Vec<u8>,
    marks: u32,
    clock: i64,
    hash: &'static str,
}

/// A commit of a repository that is being written.
pub type Mark = u32;

/// One change of a commit.
pub enum Do<'a> {
    Write(&'a [u8], Vec<u8>),
    /// With a mode such as `100755`, `120000`.
    Mode(&'a [u8], &'static str, Vec<u8>),
    Submodule(&'a [u8], &'static str),
    Remove(&'a [u8]),
    Rename(&'a [u8], &'a [u8]),
    Copy(&'a [u8], &'a [u8]),
    Clear,
}

pub fn write<'a>(path: &'a str, text: impl Into<Vec<u8>>) -> Do<'a> {
    Do::Write(path.as_bytes(), text.into())
}

/// Lines `name 0` to `name n-1`.
pub fn lines(name: &str, count: usize) -> String {
    (0..count).map(|at| format!("{name} {at}\n")).collect()
}

fn quoted(path: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for byte in path {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b' '..=b'~' => out.push(*byte),
            _ => out.extend(format!("\\{byte:03o}").bytes()),
        }
    }
    out.push(b'"');
    out
}

impl Repo {
    pub fn new() -> Self {
        Self::with_hash("sha1")
    }

    pub fn with_hash(hash: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let repo = Self { dir, script: vec![], marks: 0, clock: 1_600_000_000, hash };
        repo.git(&["init", "-q", "--bare", "-b", "main", &format!("--object-format={}", repo.hash), "."]);
        repo
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new("git");
        command.current_dir(self.path());
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        command
    }

    /// Runs git and gives its output.
    pub fn git(&self, args: &[&str]) -> String {
        let output = self.command().args(args).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {error}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// The last commit that was added.
    pub fn mark(&self) -> Mark {
        self.marks
    }

    /// Adds a commit to a branch. Of several parents, the first one's files are what the changes begin from.
    pub fn commit(&mut self, branch: &str, parents: &[Mark], changes: &[Do<'_>]) -> Mark {
        self.clock += 60;
        self.commit_at(branch, parents, self.clock, changes)
    }

    pub fn commit_at(&mut self, branch: &str, parents: &[Mark], time: i64, changes: &[Do<'_>]) -> Mark {
        self.marks += 1;
        let mark = self.marks;
        if parents.is_empty() {
            writeln!(self.script, "reset refs/heads/{branch}").unwrap();
        }
        writeln!(self.script, "commit refs/heads/{branch}\nmark :{mark}").unwrap();
        let who = ["Ann", "Bob", "Cid"][mark as usize % 3];
        writeln!(self.script, "author {who} <{who}@example.org> {time} +0130").unwrap();
        writeln!(self.script, "committer {who} <{who}@example.org> {time} +0130").unwrap();
        let message = format!("commit {mark}");
        writeln!(self.script, "data {}\n{message}", message.len()).unwrap();
        for (at, parent) in parents.iter().enumerate() {
            writeln!(self.script, "{} :{parent}", if at == 0 { "from" } else { "merge" }).unwrap();
        }
        for change in changes {
            self.change(change);
        }
        self.script.push(b'\n');
        mark
    }

    /// Lets a branch stand at a commit.
    pub fn reset(&mut self, branch: &str, mark: Mark) {
        writeln!(self.script, "reset refs/heads/{branch}\nfrom :{mark}\n").unwrap();
    }

    fn change(&mut self, change: &Do<'_>) {
        let out = &mut self.script;
        let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
        match change {
            Do::Write(path, text) => {
                put(&[b"M 100644 inline ", &quoted(path), format!("\ndata {}\n", text.len()).as_bytes(), text, b"\n"]);
            }
            Do::Mode(path, mode, text) => put(&[
                format!("M {mode} inline ").as_bytes(),
                &quoted(path),
                format!("\ndata {}\n", text.len()).as_bytes(),
                text,
                b"\n",
            ]),
            Do::Submodule(path, oid) => put(&[format!("M 160000 {oid} ").as_bytes(), &quoted(path), b"\n"]),
            Do::Remove(path) => put(&[b"D ", &quoted(path), b"\n"]),
            Do::Rename(from, to) => put(&[b"R ", &quoted(from), b" ", &quoted(to), b"\n"]),
            Do::Copy(from, to) => put(&[b"C ", &quoted(from), b" ", &quoted(to), b"\n"]),
            Do::Clear => put(&[b"deleteall\n"]),
        }
    }

    /// Hands everything that was added to git.
    pub fn import(&mut self) {
        let mut child = self
            .command()
            .args(["fast-import", "--quiet", "--force", "--export-marks=marks", "--import-marks-if-exists=marks"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&std::mem::take(&mut self.script)).unwrap();
        assert!(child.wait().unwrap().success(), "git fast-import refuses the script");
    }

    pub fn oid(&self, mark: Mark) -> Oid {
        let marks = std::fs::read_to_string(self.path().join("marks")).unwrap();
        let line = marks.lines().find(|line| line.starts_with(&format!(":{mark} "))).unwrap();
        Oid::from_hex(line.split(' ').nth(1).unwrap().as_bytes()).unwrap()
    }

    pub fn open(&self) -> Repository {
        Repository::open(self.path()).unwrap()
    }

    /// Everything reachable from any branch.
    pub fn options() -> Options {
        Options { scope: Scope::AllBranches, ..Options::default() }
    }

    /// Compares every file at every commit with git, packed and as it lies, with one thread and with two, and with so
    /// little memory that files must be read again.
    pub fn agree(&mut self) {
        self.import();
        let commits = self.git(&["rev-list", "--all"]).lines().count();
        self.agree_on(commits * 3, 1.0);
        self.git(&["repack", "-adfq", "--depth=50", "--window=50"]);
        let everything = self.records(&Self::options());
        for options in
            [Options { threads: 1, ..Self::options() }, Options { memory_max: 300_000, threads: 2, ..Self::options() }]
        {
            assert_eq!(self.records(&options), everything, "another way to the same");
        }
        self.agree_on(3, 1.0);
    }

    /// Compares at the tips and at some commits drawn at random.
    pub fn agree_on(&self, commits: usize, least: f64) {
        let report = self.open().validate(&Self::options(), commits, 7).unwrap();
        let told: Vec<String> = report
            .differences
            .iter()
            .map(|difference| format!("{} {}: {}", difference.commit, difference.path.escape_ascii(), difference.what))
            .collect();
        assert!(report.files > 0, "nothing was compared");
        assert!(report.agreement() >= least, "{:.5} of the lines:\n{}", report.agreement(), told.join("\n"));
        if least == 1.0 {
            assert!(told.is_empty(), "{}", told.join("\n"));
        }
    }

    /// All records as lines of JSON.
    pub fn records(&self, options: &Options) -> Vec<String> {
        let mut records = vec![];
        self.open()
            .code(options, &mut |record| {
                records.push(json(&record));
                Ok(())
            })
            .unwrap();
        records
    }
}

pub fn json(record: &Record<'_>) -> String {
    let mut line = vec![];
    ripsrc::output::line(record, &mut line).unwrap();
    String::from_utf8(line).unwrap()
}

//! The judge: compares owners with what the system's `git blame` says at commits drawn at random, and the changed files of
//! all commits with `git log --raw --numstat -M`; of merges, which files those are, with `git diff-tree -c`. It is the
//! only part that runs another program, and nothing else depends on it.
//!
//! # Kinds of differences
//!
//! None is known in histories that git itself reads without a complaint. What would differ, and why it isn't compared or
//! cannot be the same:
//!
//! | What | Why |
//! |---|---|
//! | files that `git blame` refuses | such as those with a name that the system's command line cannot take; told as not compared |
//! | files over 128 MiB | are not read here, git takes them for no text above 512 MiB |
//! | settings and attributes that change what git says (`diff.algorithm`, `textconv`, `blame.ignoreRevsFile`, …) | are switched off for the comparison: a history's owners must not depend on who asks |
//! | commits with a date before 1970 or a zone without a sign | git shows no date; here it is told |
//! | two lines whose 64-bit hashes are equal | are held equal; by chance one run in a thousand of a hundred million lines |

use crate::{FileRecord, Oid, Options, Phase, Record, Repository, RunError, Scope, Status, Watch};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// Differences that are listed; more are only counted.
const LISTED_MAX: usize = 1000;

/// What the comparison gave.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Files whose owners were compared, each at one commit.
    pub files: u64,
    pub lines: u64,
    pub lines_equal: u64,
    /// Changed files that were compared: status, former path, numbers of lines, whether they are text.
    pub stats: u64,
    pub stats_equal: u64,
    /// How many there are.
    pub differing: u64,
    /// The first thousand of them.
    pub differences: Vec<Difference>,
    /// Files that git could not tell about, such as those that it reads as no text.
    pub not_compared: u64,
}

impl Report {
    /// Share of lines with the same owner, from 0 to 1.
    pub fn agreement(&self) -> f64 {
        if self.lines == 0 { 1.0 } else { self.lines_equal as f64 / self.lines as f64 }
    }
}

/// A file that is told differently.
#[derive(Clone, Debug)]
pub struct Difference {
    pub commit: Oid,
    pub path: Vec<u8>,
    pub what: String,
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    #[error("the run to compare failed")]
    Run(#[from] RunError),
    #[error("git cannot be run: {0}")]
    Git(#[from] std::io::Error),
}

/// What a commit did to a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    /// As git says it: A, M, D, R; a change of a file's kind is an M.
    status: char,
    from: Option<Vec<u8>>,
    added: u32,
    removed: u32,
    binary: bool,
}

/// By commit and path; of a merge only which files there are.
type Stats = BTreeMap<(Oid, Vec<u8>), Told>;

/// Owners of one file: the owner of each line.
type Lines = Vec<Oid>;

/// Files whose owners are to be compared: all that exist at some commits.
struct Wanted {
    commit: Oid,
    path: Vec<u8>,
    lines: Lines,
}

/// Compares every file at the tips of a run and at `commits` further commits drawn with `seed`; and the changed files
/// of every commit.
pub fn validate(
    path: &Path,
    repository: &Repository,
    options: &Options,
    commits: usize,
    seed: u64,
) -> Result<Report, ValidateError> {
    let mut report = Report::default();
    let git = Git { path: path.to_owned() };
    let mut order: Vec<(Oid, Vec<Oid>)> = vec![];
    let mut stats = Stats::new();
    repository.code(&Options { blame: false, ..options.clone() }, &mut |record| {
        if let Record::Commit(commit) = record {
            order.push((commit.sha, commit.parents.to_vec()));
            for file in commit.files.iter().filter(|file| file.renamed_to.is_none()) {
                let told = if commit.parents.len() < 2 { told(file) } else { Told::default() };
                stats.insert((commit.sha, file.path.to_vec()), told);
            }
        }
        Ok(())
    })?;
    let parents: HashSet<Oid> = order.iter().flat_map(|(_, parents)| parents.iter().copied()).collect();
    let mut chosen: Vec<Oid> = order.iter().map(|(oid, _)| *oid).filter(|oid| !parents.contains(oid)).collect();
    let mut random = seed.wrapping_mul(2).wrapping_add(1);
    for _ in 0..commits.min(order.len()) {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        chosen.push(order[(random >> 33) as usize % order.len()].0);
    }
    chosen.sort_unstable();
    chosen.dedup();
    let mut wanted = vec![];
    let scoped = Options { scope: Scope::Commits(chosen.clone()), ..options.clone() };
    repository.files_at(&scoped, &chosen, &mut |commit, path, owners| {
        let lines = owners.iter().flat_map(|run| std::iter::repeat_n(run.sha, run.count as usize)).collect();
        wanted.push(Wanted { commit, path: path.to_vec(), lines });
    })?;
    options.watch.begin(Phase::Comparing, wanted.len());
    compare_owners(&git, &wanted, &options.watch, &mut report)?;
    compare_stats(&git, &order, &stats, &mut report)?;
    Ok(report)
}

fn told(file: &FileRecord) -> Told {
    let status = match (&file.renamed_from, file.status) {
        (Some(_), _) => 'R',
        (_, Status::Added) => 'A',
        (_, Status::Modified) => 'M',
        (_, Status::Removed) => 'D',
    };
    let from = file.renamed_from.as_ref().map(|path| path.to_vec());
    Told { status, from, added: file.additions, removed: file.deletions, binary: file.binary }
}

impl Report {
    fn differ(&mut self, commit: Oid, path: &[u8], what: String) {
        self.differing += 1;
        if self.differences.len() < LISTED_MAX {
            self.differences.push(Difference { commit, path: path.to_vec(), what });
        }
    }
}

fn compare_owners(git: &Git, wanted: &[Wanted], watch: &Watch, report: &mut Report) -> Result<(), ValidateError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = Mutex::new(wanted.iter());
    let answers = Mutex::new(vec![]);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !watch.stopped() {
                    let Some(file) = next.lock().ok().and_then(|mut next| next.next()) else { return };
                    watch.add(1);
                    let answer = git.blame(file.commit, &file.path);
                    if let Ok(mut answers) = answers.lock() {
                        answers.push((file, answer));
                    }
                }
            });
        }
    });
    if watch.stopped() {
        return Err(RunError::Stopped.into());
    }
    let mut answers = answers.into_inner().unwrap_or_default();
    answers.sort_by(|(a, _), (b, _)| (a.commit, &a.path).cmp(&(b.commit, &b.path)));
    for (file, answer) in answers {
        let Some(told) = answer? else {
            report.not_compared += 1;
            continue;
        };
        report.files += 1;
        report.lines += told.len() as u64;
        let equal = told.iter().zip(&file.lines).filter(|(a, b)| a == b).count();
        report.lines_equal += equal as u64;
        if equal != told.len() || told.len() != file.lines.len() {
            let first =
                told.iter().zip(&file.lines).position(|(a, b)| a != b).unwrap_or(told.len().min(file.lines.len()));
            let what = format!(
                "{} of {} lines (here {}) differ, the first is {}: git {:?}, here {:?}",
                told.len() - equal,
                told.len(),
                file.lines.len(),
                first + 1,
                told.get(first),
                file.lines.get(first)
            );
            report.differ(file.commit, &file.path, what);
        }
    }
    Ok(())
}

fn compare_stats(
    git: &Git,
    order: &[(Oid, Vec<Oid>)],
    stats: &Stats,
    report: &mut Report,
) -> Result<(), ValidateError> {
    let (merges, others): (Vec<_>, Vec<_>) = order.iter().partition(|(_, parents)| parents.len() > 1);
    let mut told = git.changed(others.iter().map(|(oid, _)| *oid))?;
    told.extend(git.merged(merges.iter().map(|(oid, _)| *oid))?);
    for (key, git_says) in &told {
        report.stats += 1;
        match stats.get(key) {
            Some(here) if here == git_says => report.stats_equal += 1,
            here => report.differ(key.0, &key.1, format!("git {git_says:?}, here {here:?}")),
        }
    }
    for key in stats.keys().filter(|key| !told.contains_key(*key)) {
        report.stats += 1;
        report.differ(key.0, &key.1, "git doesn't list this file as changed".to_owned());
    }
    Ok(())
}

/// The system's git, on one repository.
struct Git {
    path: PathBuf,
}

impl Git {
    fn command(&self) -> Command {
        let mut command = Command::new("git");
        // Nothing of the user's settings or of a repository's attributes may change what is compared.
        command.arg("-C").arg(&self.path).args([
            "-c",
            "core.quotepath=false",
            "-c",
            "core.attributesFile=/dev/null",
            "-c",
            "diff.renames=true",
            "-c",
            "diff.renameLimit=10000",
            "-c",
            "safe.directory=*",
            "-c",
            "blame.ignoreRevsFile=",
        ]);
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// The owner of each line. None if git cannot tell.
    fn blame(&self, commit: Oid, path: &[u8]) -> Result<Option<Lines>, std::io::Error> {
        let path = std::ffi::OsStr::from_encoded(path);
        let output = self
            .command()
            .args(["blame", "--porcelain", "--root"])
            .arg(commit.to_string())
            .arg("--")
            .arg(path)
            .output()?;
        if !output.status.success() {
            return Ok(None);
        }
        let mut lines = vec![];
        let mut owner = None;
        for line in output.stdout.split(|byte| *byte == b'\n') {
            if line.first() == Some(&b'\t') {
                lines.extend(owner);
            } else if let Some(oid) = line.split(|byte| *byte == b' ').next().and_then(Oid::from_hex) {
                owner = Some(oid);
            }
        }
        Ok(Some(lines))
    }

    /// Runs git with a list of commits as its input.
    fn ask(&self, args: &[&str], commits: impl Iterator<Item = Oid>) -> Result<Vec<u8>, std::io::Error> {
        use std::io::Write;
        let mut child = self.command().args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let list: String = commits.map(|oid| format!("{oid}\n")).collect();
        let mut input = child.stdin.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        let writer = std::thread::spawn(move || input.write_all(list.as_bytes()));
        let output = child.wait_with_output()?;
        let _ = writer.join();
        Ok(output.stdout)
    }

    /// What each commit did to each file that it changed.
    fn changed(&self, commits: impl Iterator<Item = Oid>) -> Result<Stats, std::io::Error> {
        let args =
            ["log", "--raw", "--numstat", "-M", "-z", "--format=%x01%H", "--root", "--no-walk=unsorted", "--stdin"];
        let output = self.ask(&args, commits)?;
        let mut told = Stats::new();
        let mut commit = None;
        let mut fields = output.split(|byte| *byte == 0);
        while let Some(field) = fields.next() {
            let field = field.strip_prefix(b"\n").unwrap_or(field);
            if let Some(oid) = field.strip_prefix(b"\x01").and_then(Oid::from_hex) {
                commit = Some(oid);
                continue;
            }
            let Some(commit) = commit else { continue };
            if field.first() == Some(&b':') {
                // `:mode mode oid oid S`, then the path; of a renamed file, the old path first.
                let letter = field.rsplit(|byte| *byte == b' ').next().and_then(|word| word.first()).copied();
                let status = match letter {
                    Some(b'T') | None => 'M',
                    Some(letter) => letter as char,
                };
                let from = (status == 'R').then(|| fields.next().unwrap_or_default().to_vec());
                let path = fields.next().unwrap_or_default().to_vec();
                told.insert((commit, path), Told { status, from, ..Told::default() });
                continue;
            }
            let mut parts = field.splitn(3, |byte| *byte == b'\t');
            let (Some(added), Some(removed), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
            let number = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            // Of a renamed file both paths follow, each on its own.
            let path = if path.is_empty() {
                fields.next();
                fields.next().unwrap_or_default()
            } else {
                path
            };
            let entry = told.entry((commit, path.to_vec())).or_default();
            entry.added = number(added).unwrap_or(0);
            entry.removed = number(removed).unwrap_or(0);
            entry.binary = added == b"-";
        }
        Ok(told)
    }

    /// The files of merges that are as no parent has them.
    fn merged(&self, commits: impl Iterator<Item = Oid>) -> Result<Stats, std::io::Error> {
        let output =
            self.ask(&["diff-tree", "--stdin", "-c", "-r", "-z", "--name-only", "--no-renames", "--root"], commits)?;
        let mut told = Stats::new();
        let mut commit = None;
        for field in output.split(|byte| *byte == 0).filter(|field| !field.is_empty()) {
            match (Oid::from_hex(field), commit) {
                (Some(oid), _) => commit = Some(oid),
                (None, Some(commit)) => drop(told.insert((commit, field.to_vec()), Told::default())),
                (None, None) => {}
            }
        }
        Ok(told)
    }
}

/// Paths from bytes, as far as the system allows.
trait FromEncoded {
    fn from_encoded(bytes: &[u8]) -> &Self;
}

impl FromEncoded for std::ffi::OsStr {
    #[cfg(unix)]
    fn from_encoded(bytes: &[u8]) -> &Self {
        std::os::unix::ffi::OsStrExt::from_bytes(bytes)
    }
    #[cfg(not(unix))]
    fn from_encoded(bytes: &[u8]) -> &Self {
        Self::new(std::str::from_utf8(bytes).unwrap_or_default())
    }
}

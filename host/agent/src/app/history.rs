//! `agent ripsrc`: a repository's history as lines of JSON, written whole before the checkpoint moves. Reading histories is
//! the library `ripsrc`'s; here its records meet a file, and what it says of a run becomes a report.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use ripsrc::{CheckpointUse, NextCheckpoint, Oid, OpenError, Options, Repository, RunError, Scope, Summary, Watch};
use serde::Serialize;

use super::{AppError, Leftover, NewFile};
use crate::error_chain;

/// What reads a whole history may not have less: tables of a middling repository alone take this.
pub const MEMORY_BYTES_MIN: u64 = 32 << 20;

/// Threads beyond this only wait for each other.
pub const THREADS_MAX: usize = 256;

/// Neighbours that are looked at to tell somebody which folder was meant.
const NEIGHBOURS_MAX: usize = 1000;

/// Repositories that are named then.
const NAMED_MAX: usize = 5;

/// The file in a checkpoint's folder that says that a run is using it.
const LOCK: &str = "ripsrc.lock";

/// A line of the output, as a JSON Schema.
pub const RECORD_SCHEMA: &str = ripsrc::output::SCHEMA;

/// Which part of a history, how it is read, and where the records go.
#[derive(Debug, Clone)]
pub struct HistoryRequest {
    pub repository: PathBuf,
    pub all_branches: bool,
    /// Where to begin instead of at HEAD, by name or hash.
    pub at: Vec<String>,
    /// Heads of pull requests, by hash.
    pub pull_requests: Vec<String>,
    pub since: Option<String>,
    pub checkpoint: Option<PathBuf>,
    pub blame: bool,
    pub count: bool,
    /// Zero for one for each processor.
    pub threads: usize,
    /// None for the library's own: 1 GB.
    pub memory_bytes_max: Option<u64>,
    /// New and vanished files of a commit among which renames are looked for; none for the library's own: 10,000.
    pub rename_limit: Option<usize>,
    /// None for standard output.
    pub output: Option<PathBuf>,
}

/// A run that can begin: everything that it needs is open.
pub struct HistoryRun {
    request: HistoryRequest,
    repository: Repository,
    options: Options,
    records: Records,
    unknown_heads: Vec<String>,
    /// Held until the run ends.
    lock: Option<File>,
}

/// What became of the checkpoint.
#[derive(Debug, Clone, Serialize)]
pub struct CheckpointReport {
    pub folder: PathBuf,
    /// `absent`, `resumed`, `recomputed`, `unusable`; `unknown` where the run ended before it could be told.
    pub found: &'static str,
    /// Why it could not be used; empty otherwise.
    pub fault: String,
    /// Whether the next one has been saved.
    pub saved: bool,
    pub bytes: u64,
}

/// Things of which there may be many: how many, and the first.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Listed {
    pub count: u64,
    pub first: Vec<String>,
}

/// So many of a list are in a report.
const LISTED_MAX: usize = 100;

impl Listed {
    fn new<T: ToString>(all: &[T]) -> Listed {
        Listed { count: all.len() as u64, first: all.iter().take(LISTED_MAX).map(T::to_string).collect() }
    }
}

/// What a run over a history did.
#[derive(Debug, Clone, Serialize)]
pub struct HistoryReport {
    pub repository: PathBuf,
    /// None for standard output.
    pub output: Option<PathBuf>,
    pub commits: u64,
    pub files: u64,
    pub branches: u64,
    pub bytes: u64,
    pub duration_ms: u64,
    /// Versions of files that were not counted, by the kind of reason.
    pub not_counted: BTreeMap<&'static str, u64>,
    pub unreadable: Listed,
    pub unknown_heads: Listed,
    pub shallow: Listed,
    pub partial_clone: bool,
    pub store_faults: Listed,
    /// Known commits that were computed again for the sake of the new ones.
    pub recomputed: u64,
    /// Parts in which the history was read; more than one where it did not fit into memory.
    pub parts: u64,
    /// Commits whose moved files were too many or too large to be compared in that memory.
    pub renames_limited: u64,
    pub abandoned: Listed,
    pub checkpoint: Option<CheckpointReport>,
    pub interrupted: bool,
    /// Whoever read standard output has gone away before the end.
    pub reader_gone: bool,
}

impl HistoryRequest {
    /// Whether a file is begun beside its place, which must be removed should the run end early.
    #[must_use]
    pub fn leaves_a_file(&self) -> bool {
        self.output.as_deref().is_some_and(|path| std::fs::metadata(path).map_or(true, |there| there.is_file()))
    }

    /// Opens everything, so that what cannot work is told before the work.
    ///
    /// # Errors
    /// If the repository, a commit that is named, the output or the checkpoint's folder cannot be used.
    pub fn begin(self) -> Result<HistoryRun, AppError> {
        let repository = open(&self.repository)?;
        let resolve = |flag: &str, name: &String| {
            repository.resolve(name).map_err(|error| AppError::Usage(format!("{flag} {name}: {}", error_chain(&error))))
        };
        let since = self.since.as_ref().map(|name| resolve("--since", name)).transpose()?;
        let at = self.at.iter().map(|name| resolve("--at", name)).collect::<Result<Vec<Oid>, _>>()?;
        let (mut pull_requests, mut unknown_heads) = (vec![], vec![]);
        for name in &self.pull_requests {
            match (repository.resolve(name), Oid::from_hex(name.as_bytes())) {
                (Ok(oid), _) => pull_requests.push(oid),
                (Err(ripsrc::ResolveError::Unknown(_)), Some(_)) => unknown_heads.push(name.clone()),
                (Err(error), _) => return Err(AppError::Usage(format!("--pr-sha {name}: {}", error_chain(&error)))),
            }
        }
        let lock = self.checkpoint.as_deref().map(take_checkpoint).transpose()?;
        let defaults = Options::default();
        let options = Options {
            scope: match () {
                () if !at.is_empty() => Scope::Commits(at),
                () if self.all_branches => Scope::AllBranches,
                () => Scope::Head,
            },
            pull_requests,
            blame: self.blame,
            count: self.count.then(ripsrc::count::Options::default),
            memory_max: self.memory_bytes_max.unwrap_or(defaults.memory_max),
            threads: self.threads,
            rename_limit: self.rename_limit.unwrap_or(defaults.rename_limit),
            since,
            checkpoint: self.checkpoint.clone(),
            ..defaults
        };
        let records = Records::begin(self.output.as_deref())?;
        Ok(HistoryRun { request: self, repository, options, records, unknown_heads, lock })
    }
}

impl HistoryRun {
    /// How far it is, and how to stop it.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.options.watch.clone()
    }

    /// What to remove if the run is left behind.
    #[must_use]
    pub fn leftover(&self) -> Option<Leftover> {
        self.records.leftover()
    }

    /// Writes commits and files; when they are safe, the next checkpoint.
    ///
    /// # Errors
    /// If the history cannot be read or the records cannot be written. The checkpoint is as it was then.
    pub fn code(self) -> Result<HistoryReport, AppError> {
        self.work(|repository, options, records| repository.code_json(options, records))
    }

    /// Writes branches.
    ///
    /// # Errors
    /// As for `code`.
    pub fn branches(self) -> Result<HistoryReport, AppError> {
        self.work(|repository, options, records| {
            let mut writer = ripsrc::output::Writer::new(&mut *records);
            let mut branches = 0;
            let summary = repository.branches(options, &mut |record| {
                branches += 1;
                Ok(writer.write(&record)?)
            })?;
            writer.finish().map_err(|error| RunError::Taken(error.into()))?;
            records.branches = branches;
            Ok(summary)
        })
    }

    fn work(
        self,
        work: impl FnOnce(&Repository, &Options, &mut Records) -> Result<Summary, RunError>,
    ) -> Result<HistoryReport, AppError> {
        let HistoryRun { request, repository, options, mut records, unknown_heads, lock } = self;
        let begun = Instant::now();
        let result = work(&repository, &options, &mut records);
        let mut report = HistoryReport::new(&request, &records);
        match result {
            Ok(summary) => {
                let next = report.take(summary, unknown_heads);
                match records.end() {
                    Err(error) if is_gone(&error, request.output.as_deref()) => report.reader_gone = true,
                    ended => {
                        ended.map_err(|error| not_written(request.output.as_deref(), &error))?;
                        report.save(next)?;
                    }
                }
            }
            Err(RunError::Stopped) => report.interrupted = true,
            Err(RunError::Taken(error)) => match error.downcast_ref::<io::Error>() {
                Some(error) if is_gone(error, request.output.as_deref()) => report.reader_gone = true,
                Some(error) => return Err(not_written(request.output.as_deref(), error)),
                None => return Err(AppError::Failed(format!("the records cannot be written: {error}"))),
            },
            Err(error) => return Err(failed(&request.repository, &error)),
        }
        report.duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Until here nobody else may have moved the checkpoint.
        drop(lock);
        Ok(report)
    }
}

impl HistoryReport {
    fn new(request: &HistoryRequest, records: &Records) -> HistoryReport {
        HistoryReport {
            repository: request.repository.clone(),
            output: request.output.clone(),
            commits: 0,
            files: 0,
            branches: records.branches,
            bytes: records.bytes,
            duration_ms: 0,
            not_counted: BTreeMap::new(),
            unreadable: Listed::default(),
            unknown_heads: Listed::default(),
            shallow: Listed::default(),
            partial_clone: false,
            store_faults: Listed::default(),
            recomputed: 0,
            parts: 0,
            renames_limited: 0,
            abandoned: Listed::default(),
            checkpoint: request.checkpoint.as_ref().map(|folder| CheckpointReport {
                folder: folder.clone(),
                found: "unknown",
                fault: String::new(),
                saved: false,
                bytes: 0,
            }),
            interrupted: false,
            reader_gone: false,
        }
    }

    /// Takes what the library says of a run; gives the checkpoint that is to be saved.
    fn take(&mut self, summary: Summary, unknown_heads: Vec<String>) -> Option<NextCheckpoint> {
        self.commits = summary.commits;
        self.files = summary.files;
        self.not_counted = summary.skipped;
        self.unreadable = Listed::new(&summary.unreadable);
        let heads = summary.unknown_heads.iter().map(Oid::to_string).chain(unknown_heads);
        self.unknown_heads = Listed::new(&heads.collect::<Vec<_>>());
        self.shallow = Listed::new(&summary.shallow);
        self.partial_clone = summary.partial_clone;
        self.store_faults = Listed::new(&summary.store_faults);
        self.recomputed = summary.recomputed;
        self.parts = summary.windows;
        self.renames_limited = summary.renames_limited;
        self.abandoned = Listed::new(&summary.abandoned);
        let (found, fault) = match summary.checkpoint {
            CheckpointUse::None | CheckpointUse::Absent => ("absent", String::new()),
            CheckpointUse::Resumed => ("resumed", String::new()),
            CheckpointUse::Recomputed => ("recomputed", String::new()),
            CheckpointUse::Unusable(why) => ("unusable", why),
        };
        if let Some(checkpoint) = &mut self.checkpoint {
            (checkpoint.found, checkpoint.fault) = (found, fault);
            checkpoint.bytes = summary.next.as_ref().map_or(0, |next| next.size() as u64);
        }
        summary.next
    }

    fn save(&mut self, next: Option<NextCheckpoint>) -> Result<(), AppError> {
        let (Some(next), Some(checkpoint)) = (next, &mut self.checkpoint) else { return Ok(()) };
        next.save().map_err(|error| {
            AppError::Failed(format!(
                "the records are written, and the checkpoint is not: {}; the next run gives the same records again",
                error
            ))
        })?;
        checkpoint.saved = true;
        Ok(())
    }
}

/// Where records go.
struct Records {
    to: To,
    bytes: u64,
    branches: u64,
}

enum To {
    Stdout(File),
    File(NewFile),
}

impl Records {
    fn begin(output: Option<&Path>) -> Result<Records, AppError> {
        let to = match output {
            None => To::Stdout(stdout().map_err(|error| not_written(None, &error))?),
            Some(path) if path.is_dir() => {
                let fault = format!("--output {}: it is a folder; name a file", path.display());
                return Err(AppError::Usage(fault));
            }
            Some(path) => To::File(NewFile::begin(path).map_err(|error| not_written(Some(path), &error))?),
        };
        Ok(Records { to, bytes: 0, branches: 0 })
    }

    fn leftover(&self) -> Option<Leftover> {
        match &self.to {
            To::File(file) => file.leftover(),
            To::Stdout(_) => None,
        }
    }

    /// Makes sure that everything has arrived.
    fn end(self) -> io::Result<()> {
        match self.to {
            To::File(file) => file.end(),
            // What a shell redirects to is a file too. Pipes and terminals have nothing to sync, and say so.
            To::Stdout(file) => match file.metadata() {
                Ok(there) if there.is_file() => file.sync_all(),
                _ => Ok(()),
            },
        }
    }
}

/// Standard output without a buffer: records come in large pieces.
#[cfg(unix)]
fn stdout() -> io::Result<File> {
    use std::os::fd::AsFd;
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

#[cfg(windows)]
fn stdout() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    Ok(File::from(io::stdout().as_handle().try_clone_to_owned()?))
}

impl Write for Records {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.to {
            To::Stdout(file) => file.write(bytes),
            To::File(file) => file.write(bytes),
        }?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::Stdout(file) => file.flush(),
            To::File(file) => file.flush(),
        }
    }
}

/// Whether a reader of standard output has seen enough. One of a pipe that was named was to get everything.
fn is_gone(error: &io::Error, output: Option<&Path>) -> bool {
    output.is_none() && error.kind() == io::ErrorKind::BrokenPipe
}

fn not_written(output: Option<&Path>, error: &io::Error) -> AppError {
    let place = output.map_or("standard output".to_owned(), |path| path.display().to_string());
    let mend = match (error.kind(), output) {
        (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _) => "make room, or choose another --output",
        (io::ErrorKind::BrokenPipe, _) => "whoever read it has gone away; a checkpoint is as it was",
        (_, None) => "choose an --output",
        (_, Some(_)) => "choose another --output",
    };
    AppError::Failed(format!("the records cannot be written to {place}: {error}; {mend}"))
}

/// Makes the folder of a checkpoint and keeps others out of it.
fn take_checkpoint(folder: &Path) -> Result<File, AppError> {
    let unusable = |what: &dyn std::fmt::Display| {
        AppError::Failed(format!("--checkpoint {}: {what}; choose a folder that can be written", folder.display()))
    };
    std::fs::create_dir_all(folder).map_err(|error| unusable(&error))?;
    let lock = File::options().create(true).append(true).open(folder.join(LOCK)).map_err(|error| unusable(&error))?;
    match lock.try_lock() {
        Err(std::fs::TryLockError::WouldBlock) => Err(AppError::Failed(format!(
            "--checkpoint {}: another run is using it; wait until that ends, or use a folder for each",
            folder.display()
        ))),
        // Some file systems know no locks; two runs at once are seldom enough to go on without.
        Ok(()) | Err(std::fs::TryLockError::Error(_)) => Ok(lock),
    }
}

/// Opens a repository; where there is none, says which one may be meant.
fn open(path: &Path) -> Result<Repository, AppError> {
    Repository::open(path).map_err(|error| {
        if !path.exists() {
            return AppError::Usage(format!(
                "{}: there is no such folder; name a work tree or a bare repository",
                path.display()
            ));
        }
        match error {
            OpenError::NotARepository(_) => AppError::Usage(format!("{}: {}", path.display(), meant(path))),
            // Its text has the cause already.
            other => AppError::Failed(other.to_string()),
        }
    })
}

fn meant(path: &Path) -> String {
    let is_one = |path: &PathBuf| Repository::open(path).is_ok();
    let absolute = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if let Some(above) = absolute.ancestors().skip(1).map(Path::to_owned).find(is_one) {
        return format!("it is a folder inside of a repository; name that: {}", above.display());
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten().take(NEIGHBOURS_MAX);
    let mut below: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_one).collect();
    below.sort();
    if below.is_empty() {
        return "it is no git repository: there is neither a .git nor HEAD, objects and refs in it; name a work tree or a \
                bare repository"
            .to_owned();
    }
    let named: Vec<String> = below.iter().take(NAMED_MAX).map(|path| path.display().to_string()).collect();
    let more = if below.len() > NAMED_MAX { ", …" } else { "" };
    format!(
        "it is no repository but a folder of {}; run once for each, since records do not name theirs: {}{more}",
        below.len(),
        named.join(", ")
    )
}

/// Why a history could not be read, with what to do about it.
fn failed(repository: &Path, error: &RunError) -> AppError {
    let mend = match error {
        RunError::NoHead => "; `git symbolic-ref HEAD refs/heads/NAME` mends that, or name commits with --at",
        RunError::Tree(ripsrc::TreeError::TooManyPaths(_))
        | RunError::TooManyCommits { .. }
        | RunError::TooMuchInCommit(_) => "; raise --memory-max",
        RunError::Walk(_) | RunError::Tree(_) | RunError::Object(_) => {
            "; the repository is damaged or a part of it was never fetched: `git fsck` says more"
        }
        RunError::Checkpoint(_) => "; choose another --checkpoint",
        RunError::Taken(_) | RunError::Stopped => "",
    };
    let told = match error {
        RunError::Checkpoint(error) => error.to_string(),
        other => error_chain(other),
    };
    AppError::Failed(format!("{}: {told}{mend}", repository.display()))
}

/// What is to be compared with git.
#[derive(Debug, Clone)]
pub struct ValidateRequest {
    pub repository: PathBuf,
    pub all_branches: bool,
    /// Further commits, drawn at random.
    pub commits: usize,
    pub seed: u64,
    pub threads: usize,
    pub memory_bytes_max: Option<u64>,
    /// Of lines and of changed files, per cent.
    pub agreement_min: f64,
    pub watch: Watch,
}

/// A file that git tells differently.
#[derive(Debug, Clone, Serialize)]
pub struct DifferenceReport {
    pub commit: String,
    pub filename: String,
    pub what: String,
}

/// How far this and git agree.
#[derive(Debug, Clone, Default, Serialize)]
pub struct AgreementReport {
    pub repository: PathBuf,
    pub files: u64,
    pub lines: u64,
    pub lines_equal: u64,
    /// Per cent of lines.
    pub agreement: f64,
    pub changed_files: u64,
    pub changed_files_equal: u64,
    /// Per cent of changed files.
    pub changed_files_agreement: f64,
    /// Both must have at least so much, per cent.
    pub agreement_min: f64,
    pub agrees: bool,
    pub not_compared: u64,
    pub differing: u64,
    /// The first of those that differ.
    pub differences: Vec<DifferenceReport>,
    pub duration_ms: u64,
    pub interrupted: bool,
}

/// Compares with git.
///
/// # Errors
/// If the history cannot be read or git cannot be run.
pub fn history_validate(request: &ValidateRequest) -> Result<AgreementReport, AppError> {
    let begun = Instant::now();
    let repository = open(&request.repository)?;
    let defaults = Options::default();
    let options = Options {
        scope: if request.all_branches { Scope::AllBranches } else { Scope::Head },
        threads: request.threads,
        memory_max: request.memory_bytes_max.unwrap_or(defaults.memory_max),
        watch: request.watch.clone(),
        ..defaults
    };
    let empty = AgreementReport {
        repository: request.repository.clone(),
        agreement_min: request.agreement_min,
        ..AgreementReport::default()
    };
    let found = match repository.validate(&options, request.commits, request.seed) {
        Ok(found) => found,
        Err(ripsrc::ValidateError::Run(RunError::Stopped)) => {
            return Ok(AgreementReport { interrupted: true, ..empty });
        }
        Err(ripsrc::ValidateError::Run(error)) => return Err(failed(&request.repository, &error)),
        Err(error @ ripsrc::ValidateError::Git(_)) => {
            return Err(AppError::Failed(format!(
                "{error}; git must be installed and on the PATH to be compared with"
            )));
        }
    };
    let per_cent = |part: u64, of: u64| if of == 0 { 100.0 } else { part as f64 * 100.0 / of as f64 };
    let agreement = per_cent(found.lines_equal, found.lines);
    let changed_files_agreement = per_cent(found.stats_equal, found.stats);
    // Files of which git said nothing prove nothing.
    let proven = found.files > 0 || found.not_compared == 0;
    let told = |difference: &ripsrc::Difference| DifferenceReport {
        commit: difference.commit.to_string(),
        filename: String::from_utf8_lossy(&difference.path).into_owned(),
        what: difference.what.clone(),
    };
    Ok(AgreementReport {
        files: found.files,
        lines: found.lines,
        lines_equal: found.lines_equal,
        agreement,
        changed_files: found.stats,
        changed_files_equal: found.stats_equal,
        changed_files_agreement,
        agrees: proven && agreement.min(changed_files_agreement) >= request.agreement_min,
        not_compared: found.not_compared,
        differing: found.differing,
        differences: found.differences.iter().map(told).collect(),
        duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        ..empty
    })
}

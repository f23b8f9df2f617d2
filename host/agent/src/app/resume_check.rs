//! Kills a run after its host calls, lets it resume in the same root, and holds what came of both against a run that nobody
//! killed. Each run is a process of its own, this program once more, so that a kill is one; what the runs are is said by
//! whoever asks. Records are compared by model and key as they lie in the sink, which has them once.
//!
//! Two runs that nobody kills come first. What differs between them (a time of day, what changed at the source meanwhile)
//! says nothing about a kill, and is counted and left out. On a cassette nothing differs.

use std::ffi::OsString;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::records::{self, Difference, Found, Keys, Records};
use super::{AppError, inspect};
use crate::logs::Logs;
use crate::sandbox::kill;
use crate::shutdown::Shutdown;

/// Kills of one check where nobody says how many: a person waits for it.
const KILLS_MAX: u64 = 100;
/// Of a run that takes long, there are fewer kills: as many as fit into this time, by the run that nobody killed.
const TIME_MAX: Duration = Duration::from_secs(120);
/// But so many at the least, or it would be no check.
const KILLS_MIN: u64 = 5;
/// Kills that are told one by one, of those after which something is wrong.
const FAILURES_MAX: usize = 20;
/// How often a run is looked at whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Bytes of what a run said last on standard error that are told.
const LAST_WORDS_BYTES_MAX: usize = 2 << 10;

/// After which host calls a run is killed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kills {
    /// As many as are reasonable, evenly spread.
    #[default]
    Fitting,
    /// So many, evenly spread.
    Spread(NonZeroU64),
    /// After each.
    All,
    /// Only after this one.
    Only(NonZeroU64),
}

/// Which run to kill.
pub struct ResumeCheck {
    pub component: PathBuf,
    /// The folder of compiled components.
    pub cache: PathBuf,
    /// All that says which run it is, as it is typed behind `agent`, flags only.
    pub flags: Vec<OsString>,
    /// And the words behind the flags: the component first.
    pub words: Vec<OsString>,
    /// A folder for the roots and outputs of all runs.
    pub folder: PathBuf,
    pub kills: Kills,
}

/// How far a check is.
#[derive(Debug, Default)]
pub struct ResumeWatch {
    /// Kills, done and in all; none while the runs go on that nobody kills.
    pub done: AtomicU64,
    pub of: AtomicU64,
    pub failed: AtomicU64,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ResumeReport {
    /// Of the run that nobody killed.
    pub host_calls: u64,
    pub records: u64,
    /// Records that are not the same in two runs that nobody killed, and so were not compared.
    pub unsteady: Found,
    /// After which host calls it was killed.
    pub tried: Vec<u64>,
    /// Host calls after which it was not.
    pub not_tried: u64,
    /// Of those tried, the ones that a run had ended before.
    pub not_reached: u64,
    /// Kills after which something is wrong, and the first of them.
    pub failed: u64,
    pub failures: Vec<ResumeFailure>,
    /// Kills after which nothing can be said, since the run that resumed asked for what is not on the cassette; the first.
    pub not_judged: u64,
    pub unjudged: Vec<Unjudged>,
    pub interrupted: bool,
    /// The report of the run that nobody killed.
    #[serde(skip)]
    pub undisturbed: Value,
}

/// A kill after which something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResumeFailure {
    /// It was killed after so many host calls.
    pub after: u64,
    /// The last of them.
    pub host_call: String,
    /// How the run that resumed ended, where that is not as it should.
    pub reason: Option<String>,
    #[serde(flatten)]
    pub difference: Difference,
}

/// A kill after which nothing can be said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unjudged {
    pub after: u64,
    pub host_call: String,
    /// What the run that resumed asked for, that is not on the cassette.
    pub requests: Vec<String>,
}

/// Does it.
///
/// # Errors
/// The run fails before anybody kills it, cannot be started, or has fewer host calls.
pub async fn resume_check(
    check: ResumeCheck,
    watch: Arc<ResumeWatch>,
    logs: Logs,
    shutdown: Shutdown,
) -> Result<ResumeReport, AppError> {
    let program = std::env::current_exe().map_err(|error| AppError::Failed(format!("this program: {error}")))?;
    let found = inspect(check.component.clone(), check.cache.clone(), true, logs, shutdown.clone()).await?;
    let Some(manifest) = found.manifest else {
        return Err(AppError::Failed(found.obstacle.unwrap_or_else(|| "the component has no manifest".to_owned())));
    };
    let checking = Checking { check, program, keys: records::keys(&manifest), watch, stopping: shutdown.clone() };
    let checking = shutdown.spawn_blocking(move || checking.check());
    let lost = |_| AppError::Failed("the check broke off; this is a fault of the agent".to_owned());
    checking.await.map_err(lost)?
}

/// A check under way.
struct Checking {
    check: ResumeCheck,
    /// This program.
    program: PathBuf,
    keys: Keys,
    watch: Arc<ResumeWatch>,
    stopping: Shutdown,
}

/// How one run ended.
enum End {
    /// With this exit code and report.
    Code(i32, Value),
    /// It was killed, as was asked, right after this host call.
    Killed(String),
    /// The check was asked to end.
    Stopped,
}

/// The root and the sink of one run, killed and resumed.
struct Place {
    folder: PathBuf,
}

impl Checking {
    fn check(&self) -> Result<ResumeReport, AppError> {
        let began = Instant::now();
        let Some((mut expected, undisturbed)) = self.undisturbed("first")? else { return Ok(interrupted()) };
        let took = began.elapsed();
        let Some((again, _)) = self.undisturbed("second")? else { return Ok(interrupted()) };
        let all = [expected.clone(), again.clone()];
        let unsteady = expected.keep_common(&again);
        let is_unsteady = |name: &(String, String)| all.iter().any(|records| records.contains(name));
        if expected.len() == 0 && unsteady.count > 0 {
            let told = "no record is the same in two runs that nobody killed, so there is nothing to compare; record a \
                        cassette with --record and check with --replay";
            return Err(AppError::Failed(told.to_owned()));
        }
        let host_calls = undisturbed["host_calls"].as_u64().unwrap_or_default();
        let points = self.points(host_calls, took)?;
        let mut report = ResumeReport {
            host_calls,
            records: expected.len(),
            unsteady,
            not_tried: host_calls.saturating_sub(points.len() as u64),
            undisturbed,
            ..ResumeReport::default()
        };
        self.watch.of.store(points.len() as u64, Ordering::Relaxed);
        for after in points {
            if !self.kill_and_resume(after, &expected, &is_unsteady, &mut report)? {
                return Ok(ResumeReport { interrupted: true, ..report });
            }
            report.tried.push(after.get());
            self.watch.failed.store(report.failed, Ordering::Relaxed);
            self.watch.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(report)
    }

    /// A run that nobody kills; none if the check was asked to end.
    fn undisturbed(&self, name: &str) -> Result<Option<(Records, Value)>, AppError> {
        let place = Place::new(&self.check, name)?;
        match self.run(&place, None)? {
            End::Stopped => Ok(None),
            End::Code(0, report) => {
                let records = place.records(&self.keys)?;
                place.remove();
                if report["call"] != "export" {
                    let told =
                        format!("--resume-check is of exports; this is `{}`", report["call"].as_str().unwrap_or("–"));
                    return Err(AppError::Usage(told));
                }
                Ok(Some((records, report)))
            }
            End::Code(code, report) => {
                let why = report["reason"].as_str().map_or_else(|| place.last_words(), str::to_owned);
                let told = format!(
                    "the run ends with the exit code {code} before anybody kills it; make it end with 0 first, without \
                     --resume-check:\n{why}"
                );
                Err(AppError::Failed(told))
            }
            End::Killed(_) => {
                let told = format!("somebody else killed the run; its last words:\n{}", place.last_words());
                Err(AppError::Failed(told))
            }
        }
    }

    /// After which host calls the run is killed.
    fn points(&self, host_calls: u64, took: Duration) -> Result<Vec<NonZeroU64>, AppError> {
        let fitting = || {
            let pair = (2 * took).max(Duration::from_millis(1));
            let fit = u64::try_from(TIME_MAX.as_millis() / pair.as_millis()).unwrap_or(u64::MAX);
            fit.clamp(KILLS_MIN, KILLS_MAX)
        };
        let kills = match self.check.kills {
            Kills::Only(only) if only.get() > host_calls => {
                let told = format!("--kill-after {only}: the run has {host_calls} host calls; give a smaller number");
                return Err(AppError::Usage(told));
            }
            Kills::Only(only) => return Ok(vec![only]),
            Kills::All => host_calls,
            Kills::Spread(kills) => kills.get(),
            Kills::Fitting => fitting(),
        };
        Ok(spread(host_calls, kills))
    }

    /// One kill, and the run after it. Whether the check goes on.
    fn kill_and_resume(
        &self,
        after: NonZeroU64,
        expected: &Records,
        is_unsteady: &dyn Fn(&(String, String)) -> bool,
        report: &mut ResumeReport,
    ) -> Result<bool, AppError> {
        let place = Place::new(&self.check, &after.to_string())?;
        let host_call = match self.run(&place, Some(after))? {
            End::Stopped => return Ok(false),
            End::Killed(host_call) => host_call,
            End::Code(..) => {
                report.not_reached += 1;
                place.remove();
                return Ok(true);
            }
        };
        let (code, resumed) = match self.run(&place, None)? {
            End::Stopped => return Ok(false),
            End::Code(code, resumed) => (Some(code), resumed),
            End::Killed(_) => (None, Value::Null),
        };
        let difference = expected.difference(&place.records(&self.keys)?, is_unsteady);
        let reason = (code != Some(0)).then(|| {
            let end = code.map_or_else(|| "a kill".to_owned(), |code| format!("the exit code {code}"));
            let why = resumed["reason"].as_str().map_or_else(|| place.last_words(), str::to_owned);
            format!("the run that resumed ended with {end}: {why}")
        });
        place.remove();
        let is_unmatched = resumed["cassette"]["unmatched_count"].as_u64().is_some_and(|count| count > 0);
        // Where all was there, it does not matter that the next run asks for what came later.
        if difference.is_none() && (reason.is_none() || is_unmatched) {
            return Ok(true);
        }
        if is_unmatched {
            report.not_judged += 1;
            if report.unjudged.len() < FAILURES_MAX {
                let named = resumed["cassette"]["unmatched"].as_array().into_iter().flatten();
                let requests = named.filter_map(Value::as_str).map(str::to_owned).collect();
                report.unjudged.push(Unjudged { after: after.get(), host_call, requests });
            }
            return Ok(true);
        }
        report.failed += 1;
        if report.failures.len() < FAILURES_MAX {
            report.failures.push(ResumeFailure { after: after.get(), host_call, reason, difference });
        }
        Ok(true)
    }

    /// Runs it in its root.
    fn run(&self, place: &Place, kill_after: Option<NonZeroU64>) -> Result<End, AppError> {
        let failed = |error| AppError::Failed(format!("a run cannot be started: {error}"));
        let said = std::fs::File::create(place.said()).map_err(failed)?;
        let mut command = Command::new(&self.program);
        command.arg("run-wasm").args(&self.check.flags).arg("--root").arg(place.folder.join("root"));
        command.arg("--output").arg(place.sink()).arg("--report-file").arg(place.report());
        command.args(["--no-instructions", "--quiet"]);
        if let Some(after) = kill_after {
            command.arg("--kill-after").arg(after.to_string());
        }
        command.arg("--").args(&self.check.words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        // So that each run does not compile for itself where this user has no place for what is compiled.
        if std::env::var_os("XDG_CACHE_HOME").is_none() && std::env::var_os("HOME").is_none() {
            command.env("XDG_CACHE_HOME", self.check.folder.join("cache"));
        }
        let mut child = Running(command.spawn().map_err(failed)?);
        loop {
            if let Some(status) = child.0.try_wait().map_err(failed)? {
                return Ok(match status.code() {
                    // What an interrupt has ended was not ended by this check.
                    _ if self.stopping.requested() => End::Stopped,
                    Some(code) => End::Code(code, place.take_report()),
                    None => End::Killed(place.killed_after()),
                });
            }
            if self.stopping.requested() {
                return Ok(End::Stopped);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

fn interrupted() -> ResumeReport {
    ResumeReport { interrupted: true, ..ResumeReport::default() }
}

/// So many of the host calls, evenly spread, the last among them.
fn spread(host_calls: u64, kills: u64) -> Vec<NonZeroU64> {
    let kills = kills.min(host_calls);
    let at = |kill: u64| u64::try_from(u128::from(kill) * u128::from(host_calls) / u128::from(kills)).ok();
    (1..=kills).filter_map(|kill| NonZeroU64::new(at(kill)?)).collect()
}

/// A run that ends with whoever waits for it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Place {
    fn new(check: &ResumeCheck, name: &str) -> Result<Place, AppError> {
        let folder = check.folder.join(name);
        let failed =
            |error| AppError::Failed(format!("{}: {error}; set TMPDIR to a folder with room", folder.display()));
        std::fs::create_dir_all(folder.join("out")).map_err(failed)?;
        Ok(Place { folder })
    }

    fn sink(&self) -> PathBuf {
        self.folder.join("out")
    }

    fn report(&self) -> PathBuf {
        self.folder.join("report.json")
    }

    fn said(&self) -> PathBuf {
        self.folder.join("said")
    }

    fn records(&self, keys: &Keys) -> Result<Records, AppError> {
        let mut records = Records::default();
        let read = records.add_folder(&self.sink(), keys);
        read.map_err(|error| AppError::Failed(format!("what a run sent cannot be read: {error}")))?;
        Ok(records)
    }

    /// The report of the run that has just ended; nothing where it wrote none.
    fn take_report(&self) -> Value {
        let report = read(&self.report());
        // The next run must not be taken for this one.
        let _ = std::fs::remove_file(self.report());
        serde_json::from_str(&report).unwrap_or_default()
    }

    fn killed_after(&self) -> String {
        let said = read(&self.said());
        let told = said.lines().rev().find_map(|line| line.strip_prefix(kill::TOLD));
        told.unwrap_or("that is not known").to_owned()
    }

    fn last_words(&self) -> String {
        let said = read(&self.said());
        let from = said.len().saturating_sub(LAST_WORDS_BYTES_MAX);
        said[said.ceil_char_boundary(from)..].trim_end().to_owned()
    }

    /// Makes room for the next: what cannot be removed goes with the folder of all.
    fn remove(&self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn read(file: &Path) -> String {
    std::fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_spread_over_the_run() {
        let of = |host_calls, kills| spread(host_calls, kills).into_iter().map(NonZeroU64::get).collect::<Vec<_>>();
        assert_eq!(of(3, u64::MAX), [1, 2, 3]);
        assert_eq!(of(3, 2), [1, 3]);
        assert_eq!(of(0, 5), [0; 0]);
        let many = of(1_000, 200);
        assert_eq!((many.len(), many[0], many[199]), (200, 5, 1_000));
    }
}

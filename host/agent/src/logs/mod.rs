//! Log lines: the agent's own (through `tracing`) and guests' (through `Logs::guest`), on standard error in a form for
//! people or as JSON, and in files under `logs/` of the root: one for each command and one for each integration, of the
//! last run (and the one before, as `.1`). A guest's line is marked as such and cannot forge another.
//!
//! Nothing here runs in the background and nothing here can fail a run: a file that cannot be written is said once, and
//! the lines that are missing in it are counted.

mod files;
mod layer;
mod line;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use files::Files;
use line::{Line, Source};

pub use line::{escape, escape_json};

use crate::lock;
use crate::secrets::{strike_bytes, struck};

/// How to log.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// The folder for the files; none for no files (yet: see [`Logs::open_files`]).
    pub dir: Option<PathBuf>,
    /// The command, which names its file.
    pub command: String,
    /// What is less important than this is not logged.
    pub level: tracing::Level,
    /// One JSON object a line, instead of lines for people.
    pub json: bool,
    /// Only warnings and errors on standard error; files get all.
    pub quiet: bool,
}

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Something in this process logs already.
    #[error("a subscriber for log lines is installed already")]
    Installed,
}

/// The level of a guest's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    /// The level that a word names; `info` for a word that names none.
    #[must_use]
    pub fn from_word(word: &str) -> Level {
        match word {
            "error" => Level::Error,
            "warn" => Level::Warn,
            "debug" => Level::Debug,
            "trace" => Level::Trace,
            _ => Level::Info,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }
}

impl From<tracing::Level> for Level {
    fn from(level: tracing::Level) -> Level {
        match level {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::TRACE => Level::Trace,
        }
    }
}

/// Puts a line above whatever is being drawn on the terminal.
pub type Screen = Box<dyn Fn(&str) + Send + Sync>;

/// The place where lines go. Clones share it; when the last one is dropped the files are complete.
#[derive(Clone)]
pub struct Logs {
    shared: Arc<Shared>,
}

struct Shared {
    level: Level,
    json: bool,
    colour: bool,
    /// What is less important than this does not appear on standard error; none for nothing at all.
    stderr_level: Option<Level>,
    command: String,
    screen: Mutex<Option<Arc<Screen>>>,
    files: Mutex<Files>,
    /// Lines that could not be written, on standard error or in a file.
    lost: AtomicU64,
}

impl Logs {
    /// Begins to log: the agent's own lines, through `tracing`, come here from now on.
    ///
    /// # Errors
    /// If something else takes them already. A folder that cannot be written is no error; it is said and counted.
    pub fn init(config: LogConfig) -> Result<Logs, LogError> {
        let logs = Logs::without_subscriber(config);
        layer::install(&logs.shared)?;
        Ok(logs)
    }

    /// Logs that only take what is given to them by hand: for a process where somebody else takes `tracing`'s events.
    #[must_use]
    pub fn without_subscriber(config: LogConfig) -> Logs {
        let level = Level::from(config.level);
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let logs = Logs {
            shared: Arc::new(Shared {
                level,
                json: config.json,
                colour: !config.json && !no_colour && std::io::stderr().is_terminal(),
                stderr_level: Some(if config.quiet { level.min(Level::Warn) } else { level }),
                command: config.command,
                screen: Mutex::new(None),
                files: Mutex::new(Files::default()),
                lost: AtomicU64::new(0),
            }),
        };
        if let Some(dir) = config.dir {
            logs.open_files(&dir);
        }
        logs
    }

    /// Logs that keep nothing, for tests and benchmarks.
    #[must_use]
    pub fn none() -> Logs {
        Logs {
            shared: Arc::new(Shared {
                level: Level::Error,
                json: false,
                colour: false,
                stderr_level: None,
                command: String::new(),
                screen: Mutex::new(None),
                files: Mutex::new(Files::default()),
                lost: AtomicU64::new(0),
            }),
        }
    }

    /// Begins the command's file in `dir`, the one of the run before becoming `.1`. To be called once the root is ours:
    /// an agent that is refused must not touch the files of the one that runs. Lines from before the call are in it.
    pub fn open_files(&self, dir: &Path) {
        let failures = self.shared.files().open(dir, &self.shared.command);
        self.shared.report(failures);
    }

    /// As [`Logs::open_files`], and all lines go to that one file, guests' too: for commands that run beside an export,
    /// whose integrations' files they must leave alone.
    pub fn open_file_for_all(&self, dir: &Path) {
        let failures = self.shared.files().open_for_all(dir, &self.shared.command);
        self.shared.report(failures);
    }

    /// Begins the file of an integration's run, the one of the run before becoming `.1`.
    pub fn begin_integration(&self, integration: &str) {
        let failures = self.shared.files().begin(integration);
        self.shared.report(failures);
    }

    /// Whether lines of this level are kept at all.
    #[must_use]
    pub fn keeps(&self, level: Level) -> bool {
        level <= self.shared.level
    }

    /// Writes a guest's line, in its integration's file and on standard error. Limits on length and rate are the
    /// caller's; escaping is done here.
    pub fn guest(&self, integration: &str, level: Level, message: &str, fields: &[(String, String)]) {
        self.shared.write(&Line { source: Source::Guest { integration }, level, message, fields });
    }

    /// From now on lines for standard error go to `screen`, which puts them above what it draws; none ends that.
    /// `screen` must not log.
    pub fn set_screen(&self, screen: Option<Screen>) {
        *lock(&self.shared.screen) = screen.map(Arc::new);
    }

    /// Writes what is still in memory to the files.
    pub fn flush(&self) {
        let failures = self.shared.files().flush();
        self.shared.report(failures);
    }

    /// Lines that could not be written so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn files(&self) -> MutexGuard<'_, Files> {
        lock(&self.files)
    }

    fn write(&self, line: &Line<'_>) {
        if line.level > self.level {
            return;
        }
        let struck = Struck::of(line);
        let line = &struck.as_ref().map_or(Line { ..*line }, |struck| struck.line(line));
        let now = time::OffsetDateTime::now_utc();
        if self.stderr_level.is_some_and(|level| line.level <= level) {
            let text = if self.json { line.json(now) } else { line.text(now, self.colour) };
            self.show(&text);
        }
        let failures = self.files().write(line, now, self.json);
        self.report(failures);
    }

    /// One line on standard error, or above what is drawn there.
    fn show(&self, text: &str) {
        let screen = lock(&self.screen).clone();
        match screen {
            Some(screen) => screen(text),
            // One write for a line, so that lines of several processes on one terminal do not mix.
            None => {
                if std::io::stderr().lock().write_all(format!("{text}\n").as_bytes()).is_err() {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Counts lines that a file did not take, and says why, once for each file.
    fn report(&self, failures: files::Failures) {
        self.lost.fetch_add(failures.lines, Ordering::Relaxed);
        for message in &failures.said {
            let line =
                Line { source: Source::Agent { target: "agent::logs" }, level: Level::Warn, message, fields: &[] };
            let now = time::OffsetDateTime::now_utc();
            if self.stderr_level.is_some() {
                self.show(&if self.json { line.json(now) } else { line.text(now, self.colour) });
            }
        }
    }
}

/// What a line says, without the secrets that were in it.
struct Struck {
    message: String,
    fields: Vec<(String, String)>,
}

impl Struck {
    /// None where there are none: nearly always.
    fn of(line: &Line<'_>) -> Option<Struck> {
        let holds = |text: &str| strike_bytes(text.as_bytes()).is_some();
        let any = holds(line.message) || line.fields.iter().any(|(name, value)| holds(name) || holds(value));
        any.then(|| Struck {
            message: struck(line.message),
            fields: line.fields.iter().map(|(name, value)| (struck(name), struck(value))).collect(),
        })
    }

    fn line<'a>(&'a self, of: &Line<'a>) -> Line<'a> {
        Line { message: &self.message, fields: &self.fields, ..*of }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(dir: &Path, json: bool) -> (Logs, Arc<Mutex<Vec<String>>>) {
        let config = LogConfig {
            dir: Some(dir.to_owned()),
            command: "export".into(),
            level: tracing::Level::INFO,
            json,
            quiet: false,
        };
        let logs = Logs::without_subscriber(config);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        logs.set_screen(Some(Box::new(move |line| lock(&sink).push(line.to_owned()))));
        (logs, seen)
    }

    fn agent(logs: &Logs, level: Level, message: &str, fields: &[(String, String)]) {
        logs.shared.write(&Line { source: Source::Agent { target: "agent::test" }, level, message, fields });
    }

    #[test]
    fn a_guests_line_is_marked_and_stays_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let (logs, seen) = logs(dir.path(), false);
        let trick = "fine\n12:00:00 ERROR all is lost\r\x1b[2J\u{9b}1m\u{202e}x";
        logs.guest("mock", Level::Warn, trick, &[("k\n".into(), "a b\u{7}".into())]);
        let seen = lock(&seen)[0].clone();
        assert!(seen.contains("WARN  mock │ fine\\n12:00:00 ERROR"), "{seen}");
        assert!(!seen.chars().any(|c| c.is_control() || c == '\u{202e}'), "{seen:?}");
        let file = std::fs::read_to_string(dir.path().join("integrations/mock.log")).unwrap();
        assert_eq!(file.lines().count(), 1, "{file}");
        assert!(!file.trim_end().chars().any(char::is_control), "{file:?}");
    }

    #[test]
    fn json_lines_say_who_spoke() {
        let dir = tempfile::tempdir().unwrap();
        let (logs, seen) = logs(dir.path(), true);
        logs.guest(
            "mock",
            Level::Info,
            "a\u{9b}b\n{\"source\":\"agent\"}",
            &[("source".into(), "agent".into()), ("source".into(), "2".into())],
        );
        agent(&logs, Level::Info, "hello", &[]);
        let seen = lock(&seen);
        assert!(!seen[0].chars().any(char::is_control), "{:?}", seen[0]);
        let guest: serde_json::Value = serde_json::from_str(&seen[0]).unwrap();
        assert_eq!((&guest["source"], &guest["integration"]), (&"guest".into(), &"mock".into()));
        assert_eq!(guest["message"], "a\u{9b}b\n{\"source\":\"agent\"}");
        assert_eq!(guest["fields"], serde_json::json!({"source": "agent", "source#2": "2"}));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&seen[1]).unwrap()["source"], "agent");
    }

    #[test]
    fn files_are_of_the_last_run_and_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        for run in 1..=3 {
            let (logs, _) = logs(dir.path(), false);
            logs.begin_integration("mock");
            agent(&logs, Level::Info, &format!("run {run}"), &[("integration".into(), "mock".into())]);
            agent(&logs, Level::Debug, "too fine", &[]);
        }
        for (file, run) in [
            ("export.log", "run 3"),
            ("export.log.1", "run 2"),
            ("integrations/mock.log", "run 3"),
            ("integrations/mock.log.1", "run 2"),
        ] {
            let text = std::fs::read_to_string(dir.path().join(file)).unwrap();
            assert!(text.contains(run) && text.lines().count() == 1, "{file}: {text}");
        }
    }

    #[test]
    fn lines_from_before_the_files_are_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let config =
            LogConfig { dir: None, command: "export".into(), level: tracing::Level::INFO, json: false, quiet: true };
        let logs = Logs::without_subscriber(config);
        agent(&logs, Level::Info, "early", &[]);
        logs.open_files(dir.path());
        logs.flush();
        assert!(std::fs::read_to_string(dir.path().join("export.log")).unwrap().contains("early"));
    }

    #[test]
    fn a_secret_is_in_no_line_whoever_speaks() {
        let _held = crate::secrets::Secret::new("logged-canary-1".to_owned());
        for json in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let (logs, seen) = logs(dir.path(), json);
            let fields = [("k".to_owned(), "x6c6f676765642d63616e6172792d31".to_owned())];
            logs.guest("mock", Level::Error, "it is logged-canary-1", &fields);
            agent(&logs, Level::Error, "the server said LOGGED-CANARY-1", &fields);
            logs.flush();
            let files = std::fs::read_to_string(dir.path().join("export.log")).unwrap()
                + &std::fs::read_to_string(dir.path().join("integrations/mock.log")).unwrap();
            let all = format!("{:?}{files}", lock(&seen)).to_lowercase();
            assert!(!all.contains("canary") && !all.contains("6c6f67676564"), "{all}");
            assert_eq!(all.matches("[redacted]").count(), 8, "{all}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_said_once_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let blocked = dir.path().join("blocked");
        std::fs::write(&blocked, "a file where a folder belongs").unwrap();
        let (logs, seen) = logs(&blocked, false);
        for _ in 0..3 {
            agent(&logs, Level::Info, "line", &[]);
        }
        assert_eq!(logs.lost(), 3);
        assert_eq!(
            lock(&seen).iter().filter(|line| line.contains("cannot be written")).count(),
            0,
            "it was said at the start"
        );
        logs.guest("mock", Level::Info, "line", &[]);
        logs.guest("mock", Level::Info, "line", &[]);
        assert_eq!(lock(&seen).iter().filter(|line| line.contains("cannot be written")).count(), 1);
    }
}

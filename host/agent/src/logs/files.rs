//! The files under `logs/`: `<command>.log` and `integrations/<name>.log`, each of the last run, with the run before as
//! `.1`. They are buffered, and written through for warnings and errors and when they are dropped.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::Level;
use super::line::{Line, Source};

/// Bytes of one file. A run that says more than this says it in vain.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Lines kept until there is a folder for them: what a command says before it has its root.
const EARLY_LINES_MAX: usize = 256;

/// What did not work: how many lines are missing, and what to say about it (once for each file).
#[derive(Debug, Default)]
pub(super) struct Failures {
    pub lines: u64,
    pub said: Vec<String>,
}

impl Failures {
    fn add(&mut self, other: Failures) {
        self.lines += other.lines;
        self.said.extend(other.said);
    }
}

/// All files of one process.
#[derive(Default)]
pub(super) struct Files {
    dir: Option<PathBuf>,
    command: Option<LogFile>,
    integrations: HashMap<String, LogFile>,
    /// The command's file takes guests' lines too, and integrations have none of their own.
    for_all: bool,
    early: Vec<(Level, String)>,
    /// Lines beyond those.
    early_lost: u64,
}

impl Files {
    /// Begins the command's file, with the lines from before.
    pub fn open(&mut self, dir: &Path, command: &str) -> Failures {
        let (mut file, mut failures) = LogFile::begin(dir, command);
        failures.lines += std::mem::take(&mut self.early_lost);
        for (level, line) in std::mem::take(&mut self.early) {
            failures.add(file.write(level, &line));
        }
        self.dir = Some(dir.to_owned());
        self.command = Some(file);
        failures
    }

    /// As `open`, for all lines.
    pub fn open_for_all(&mut self, dir: &Path, command: &str) -> Failures {
        self.for_all = true;
        self.open(dir, command)
    }

    /// Begins an integration's file; nothing happens where there is no folder for files.
    pub fn begin(&mut self, integration: &str) -> Failures {
        let Some(dir) = &self.dir else { return Failures::default() };
        let (file, failures) = LogFile::begin(&dir.join("integrations"), integration);
        self.integrations.insert(integration.to_owned(), file);
        failures
    }

    /// Writes a line to the files where it belongs: a guest's to its integration's, the agent's to the command's and,
    /// where it is about an integration whose file has begun, to that one too.
    pub fn write(&mut self, line: &Line<'_>, now: OffsetDateTime, json: bool) -> Failures {
        let mut failures = Failures::default();
        let text = if json { line.json(now) } else { line.file_text(now) };
        let about = match line.source {
            Source::Guest { .. } if self.for_all => {
                failures.add(self.command_line(line.level, &text));
                None
            }
            Source::Guest { integration } => {
                if self.dir.is_some() && !self.integrations.contains_key(integration) {
                    failures.add(self.begin(integration));
                }
                Some(integration)
            }
            Source::Agent { .. } => {
                failures.add(self.command_line(line.level, &text));
                line.fields.iter().find(|(name, _)| name == "integration").map(|(_, value)| value.as_str())
            }
        };
        if let Some(file) = about.and_then(|name| self.integrations.get_mut(name)) {
            failures.add(file.write(line.level, &text));
        }
        failures
    }

    /// Writes a line to the command's file, or keeps it until there is one.
    fn command_line(&mut self, level: Level, text: &str) -> Failures {
        match &mut self.command {
            Some(file) => return file.write(level, text),
            None if self.early.len() < EARLY_LINES_MAX => self.early.push((level, text.to_owned())),
            None => self.early_lost += 1,
        }
        Failures::default()
    }

    pub fn flush(&mut self) -> Failures {
        let mut failures = Failures::default();
        for file in self.command.iter_mut().chain(self.integrations.values_mut()) {
            failures.add(file.flush());
        }
        failures
    }
}

/// One file. After its first failure it takes nothing more.
struct LogFile {
    path: PathBuf,
    writer: Option<BufWriter<File>>,
    bytes: u64,
}

impl LogFile {
    fn begin(dir: &Path, name: &str) -> (LogFile, Failures) {
        // Names are checked where they are configured; one that was not must still not leave the folder.
        let safe: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
        let path = dir.join(format!("{safe}.log"));
        let mut file = LogFile { writer: None, bytes: 0, path };
        match file.create(dir) {
            Ok(writer) => {
                file.writer = Some(BufWriter::new(writer));
                (file, Failures::default())
            }
            Err(error) => {
                let failures = file.failed(0, &error);
                (file, failures)
            }
        }
    }

    fn create(&self, dir: &Path) -> std::io::Result<File> {
        fs::create_dir_all(dir)?;
        match fs::rename(&self.path, self.path.with_extension("log.1")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        // What integrations log is the customer's business only.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.path)
    }

    fn write(&mut self, level: Level, line: &str) -> Failures {
        let Some(writer) = &mut self.writer else { return Failures { lines: 1, said: Vec::new() } };
        self.bytes += line.len() as u64 + 1;
        if self.bytes > FILE_BYTES_MAX {
            let full = std::io::Error::other(format!("it has reached {} MiB", FILE_BYTES_MAX >> 20));
            return self.failed(1, &full);
        }
        let mut result = writer.write_all(line.as_bytes()).and_then(|()| writer.write_all(b"\n"));
        if result.is_ok() && level <= Level::Warn {
            result = writer.flush();
        }
        match result {
            Ok(()) => Failures::default(),
            Err(error) => self.failed(1, &error),
        }
    }

    fn flush(&mut self) -> Failures {
        match self.writer.as_mut().map(Write::flush) {
            Some(Err(error)) => self.failed(1, &error),
            _ => Failures::default(),
        }
    }

    fn failed(&mut self, lines: u64, error: &std::io::Error) -> Failures {
        // A writer that failed is not asked again, not even to write what it holds when it is dropped.
        if let Some(writer) = self.writer.take() {
            let (_, buffered) = writer.into_parts();
            drop(buffered);
        }
        let said =
            format!("the log file {} cannot be written: {error}; the run goes on without it", self.path.display());
        Failures { lines, said: vec![said] }
    }
}

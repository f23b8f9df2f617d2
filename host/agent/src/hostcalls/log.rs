//! `agent:integration/log`, and standard output and error, which share its budget. Escaping is done where lines are
//! written (`logs`); lengths and the amount are decided here, before anything is formatted.
//!
//! A run has so many bytes, of which some are kept for warnings and errors, and so many lines at once: the first keeps the
//! disk, the second what reads the lines (a terminal, a journal that drops everybody's when one sends too many). Lines that
//! nobody wants at the level that is set cost nothing.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::Guest;
use crate::bindings::agent::integration::log;
use crate::cut;
use crate::logs::{Level, Logs};

/// What a run may log, all lines together: enough for a story, too little to fill a disk.
const RUN_BYTES_MAX: usize = 1 << 20;
/// Of those, what only warnings and errors may use: a guest that chatters can still say what is wrong with it.
const IMPORTANT_BYTES: usize = 128 << 10;
/// Lines at once, of warnings and errors, and of all others.
const BURST_LINES_MAX: u32 = 2000;
/// How many more come with each second.
const LINES_PER_SEC: f64 = 100.0;
/// What a line costs beside its text: time, level and name are the host's, so that empty lines are not free.
const LINE_BYTES: usize = 64;
/// What a field costs beside its text.
const FIELD_BYTES: usize = 4;
const MESSAGE_BYTES_MAX: usize = 4096;
const FIELDS_MAX: usize = 32;
const FIELD_NAME_BYTES_MAX: usize = 64;
const FIELD_VALUE_BYTES_MAX: usize = 1024;
/// The last lines on standard error or logged as errors, kept to tell why a guest trapped. A panic is two or three.
const LAST_WORDS_MAX: usize = 16;

/// One of the guest's two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

impl Stream {
    fn level(self) -> Level {
        match self {
            Stream::Out => Level::Info,
            Stream::Err => Level::Warn,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Stream::Out => "stdout",
            Stream::Err => "stderr",
        }
    }
}

/// The log of one run of one guest.
pub(crate) struct GuestLog {
    integration: String,
    logs: Logs,
    state: Mutex<State>,
}

/// What changes as a guest logs.
#[derive(Default)]
struct State {
    spent: usize,
    /// Lines written, and lines suppressed, in all.
    lines: (u64, u64),
    /// Of warnings and errors, and of all others.
    important: Share,
    others: Share,
    suppressed: Suppressed,
    out: Lines,
    err: Lines,
    last_words: std::collections::VecDeque<String>,
}

/// The lines of one kind.
#[derive(Default)]
struct Share {
    /// A line did not fit into the bytes. After it none does: a reader sees where it ends.
    full: bool,
    /// Lines used of the burst, and when that was reckoned.
    used: f64,
    at: Option<Instant>,
}

impl Share {
    /// Uses one line, if there is one.
    fn take_line(&mut self, now: Instant) -> bool {
        let passed = self.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        let used = (self.used - passed * LINES_PER_SEC).max(0.0);
        (self.used, self.at) = (used, Some(now));
        let fits = used + 1.0 <= f64::from(BURST_LINES_MAX);
        if fits {
            self.used += 1.0;
        }
        fits
    }
}

/// Lines that were not kept, by what they were too much for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Suppressed {
    by_bytes: u64,
    by_rate: u64,
}

impl GuestLog {
    pub(super) fn new(integration: &str, logs: Logs) -> GuestLog {
        GuestLog { integration: integration.to_owned(), logs, state: Mutex::default() }
    }

    /// Writes one line of the guest's.
    pub(super) fn line(&self, level: &str, message: &str, fields: &[(String, String)]) {
        let level = parse_level(level);
        {
            let mut state = self.state();
            if level == Level::Error {
                state.remember(cut(message, MESSAGE_BYTES_MAX));
            }
            if !self.logs.keeps(level) || !state.admit(level, cost(message, fields), Instant::now()) {
                return;
            }
        }
        self.tell_rate();
        let fields: Vec<(String, String)> = fields
            .iter()
            .take(FIELDS_MAX)
            .map(|(name, value)| {
                (cut(name, FIELD_NAME_BYTES_MAX).to_owned(), cut(value, FIELD_VALUE_BYTES_MAX).to_owned())
            })
            .collect();
        self.logs.guest(&self.integration, level, cut(message, MESSAGE_BYTES_MAX), &fields);
    }

    /// Writes a line of the host's about this guest, which costs it nothing.
    pub(super) fn host(&self, level: Level, message: &str) {
        self.logs.guest(&self.integration, level, message, &[("by".to_owned(), "host".to_owned())]);
    }

    /// Takes what the guest wrote to a stream; writes its lines.
    pub(crate) fn write(&self, stream: Stream, bytes: &[u8]) {
        // Standard error is read all the same: it may hold the last words.
        if stream == Stream::Out && !self.logs.keeps(stream.level()) {
            return;
        }
        let mut lines = Vec::new();
        self.state().take(stream, bytes, Instant::now(), &mut lines);
        self.emit(stream, &lines);
    }

    /// The end of the run: the rest of the streams, and what was suppressed.
    pub(crate) fn close(&self) {
        for stream in [Stream::Out, Stream::Err] {
            let mut lines = Vec::new();
            self.state().take_rest(stream, Instant::now(), &mut lines);
            self.emit(stream, &lines);
        }
        self.tell_rate();
        let suppressed = std::mem::take(&mut self.state().suppressed.by_bytes);
        if suppressed > 0 {
            self.host(Level::Warn, &format!("{suppressed} lines suppressed: a run may log {RUN_BYTES_MAX} bytes"));
        }
    }

    /// What the guest said last on standard error or logged as an error.
    pub(crate) fn last_words(&self) -> Option<LastWords> {
        last_words(self.state().last_words.iter().map(String::as_str))
    }

    /// Lines that were written so far, and lines that were suppressed.
    pub(super) fn lines(&self) -> (u64, u64) {
        self.state().lines
    }

    /// The last lines on standard error or logged as errors.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.state().last_words.iter().cloned().collect()
    }

    /// Says what was too much at once, when there is room for lines again or at the end. No more often than lines are
    /// admitted, so that it is no flood itself.
    fn tell_rate(&self) {
        let suppressed = std::mem::take(&mut self.state().suppressed.by_rate);
        if suppressed > 0 {
            let why = format!("a run may log {LINES_PER_SEC} lines a second, after {BURST_LINES_MAX} at once");
            self.host(Level::Warn, &format!("{suppressed} lines suppressed: {why}"));
        }
    }

    fn emit(&self, stream: Stream, lines: &[String]) {
        let (level, name) = (stream.level(), stream.name());
        if !lines.is_empty() {
            self.tell_rate();
        }
        for line in lines {
            self.logs.guest(&self.integration, level, line, &[("stream".to_owned(), name.to_owned())]);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Spends what a line costs, or counts it as suppressed.
    fn admit(&mut self, level: Level, cost: usize, now: Instant) -> bool {
        let (share, bytes_max) = match level {
            Level::Error | Level::Warn => (&mut self.important, RUN_BYTES_MAX),
            _ => (&mut self.others, RUN_BYTES_MAX - IMPORTANT_BYTES),
        };
        share.full |= self.spent + cost > bytes_max;
        if share.full {
            self.suppressed.by_bytes += 1;
            self.lines.1 += 1;
            return false;
        }
        if !share.take_line(now) {
            self.suppressed.by_rate += 1;
            self.lines.1 += 1;
            return false;
        }
        self.spent += cost;
        self.lines.0 += 1;
        true
    }

    /// Adds to a stream; gives the lines that are complete and fit the budget.
    fn take(&mut self, stream: Stream, bytes: &[u8], now: Instant, lines: &mut Vec<String>) {
        let mut complete = Vec::new();
        self.lines(stream).push(bytes, &mut complete);
        self.take_complete(stream, complete, now, lines);
    }

    fn take_rest(&mut self, stream: Stream, now: Instant, lines: &mut Vec<String>) {
        let mut complete = Vec::new();
        self.lines(stream).rest(&mut complete);
        self.take_complete(stream, complete, now, lines);
    }

    fn take_complete(&mut self, stream: Stream, complete: Vec<String>, now: Instant, lines: &mut Vec<String>) {
        for line in complete {
            if stream == Stream::Err {
                self.remember(&line);
            }
            if self.admit(stream.level(), LINE_BYTES + line.len(), now) {
                lines.push(line);
            }
        }
    }

    fn remember(&mut self, line: &str) {
        if self.last_words.len() == LAST_WORDS_MAX {
            self.last_words.pop_front();
        }
        self.last_words.push_back(line.to_owned());
    }

    fn lines(&mut self, stream: Stream) -> &mut Lines {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }
}

/// Splits a stream into lines. One that is longer than a message may be goes on in the next; empty ones are dropped.
#[derive(Default)]
struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    fn push(&mut self, mut bytes: &[u8], complete: &mut Vec<String>) {
        while !bytes.is_empty() {
            let room = MESSAGE_BYTES_MAX - self.partial.len();
            let window = &bytes[..bytes.len().min(room)];
            let (part, ends, next) = match memchr::memchr(b'\n', window) {
                Some(end) => (&window[..end], true, end + 1),
                None => (window, window.len() == room, window.len()),
            };
            self.partial.extend_from_slice(part);
            if ends {
                self.rest(complete);
            }
            bytes = &bytes[next..];
        }
    }

    fn rest(&mut self, complete: &mut Vec<String>) {
        let line = String::from_utf8_lossy(&self.partial);
        let line = line.trim_end_matches('\r');
        if !line.is_empty() {
            complete.push(line.to_owned());
        }
        self.partial.clear();
    }
}

/// What a line costs: what is kept of it, so that no shape of it is cheaper than it is.
fn cost(message: &str, fields: &[(String, String)]) -> usize {
    let fields = fields.iter().take(FIELDS_MAX).map(|(name, value)| {
        FIELD_BYTES + name.len().min(FIELD_NAME_BYTES_MAX) + value.len().min(FIELD_VALUE_BYTES_MAX)
    });
    LINE_BYTES + message.len().min(MESSAGE_BYTES_MAX) + fields.sum::<usize>()
}

fn parse_level(level: &str) -> Level {
    match level {
        "error" => Level::Error,
        "warn" => Level::Warn,
        "debug" => Level::Debug,
        "trace" => Level::Trace,
        _ => Level::Info,
    }
}

/// What a guest said last, before it trapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LastWords {
    /// A Rust panic, with its place and text.
    Panic(String),
    /// Another line: where a Python traceback says what it is about.
    Line(String),
}

fn last_words<'a>(lines: impl DoubleEndedIterator<Item = &'a str> + Clone) -> Option<LastWords> {
    let mut said = lines.filter(|line| !line.starts_with("note: run with `RUST_BACKTRACE"));
    let mut panic = String::new();
    for line in said.clone() {
        if let Some(at) = line.find("panicked at") {
            panic = line[at..].trim().to_owned();
        } else if !panic.is_empty() {
            panic.push(' ');
            panic.push_str(line.trim());
        }
    }
    if panic.is_empty() {
        return said.next_back().map(|line| LastWords::Line(line.trim().to_owned()));
    }
    Some(LastWords::Panic(panic))
}

impl log::Host for Guest {
    fn log(&mut self, level: String, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        self.enters("log.log");
        self.door.log.line(&level, &message, &fields);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut complete = Vec::new();
        for chunk in chunks {
            lines.push(chunk, &mut complete);
        }
        lines.rest(&mut complete);
        complete
    }

    #[test]
    fn streams_are_split_into_lines() {
        assert_eq!(split(&[b"a\nb", b"c\r\n\n", b"d"]), ["a", "bc", "d"]);
        assert_eq!(split(&[b"\xff\n"]), ["\u{fffd}"]);
        assert!(split(&[b"\n\n\r\n"]).is_empty());
    }

    #[test]
    fn a_long_line_goes_on_in_the_next_and_nothing_of_it_is_lost() {
        let long = vec![b'x'; 2 * MESSAGE_BYTES_MAX + 5];
        let lengths: Vec<usize> = split(&[&long[..10], &long[10..]]).iter().map(String::len).collect();
        assert_eq!(lengths, [MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX, 5]);
    }

    #[test]
    fn the_budget_ends_and_counts_what_comes_after() {
        let (mut state, now) = (State::default(), Instant::now());
        let cost = cost(&"x".repeat(10_000), &[]);
        assert_eq!(cost, LINE_BYTES + MESSAGE_BYTES_MAX);
        let fits = (RUN_BYTES_MAX - IMPORTANT_BYTES) / cost;
        let kept = (0..fits + 7).filter(|_| state.admit(Level::Info, cost, now)).count();
        assert_eq!((kept, state.suppressed), (fits, Suppressed { by_bytes: 7, by_rate: 0 }));
        assert!(!state.admit(Level::Debug, 1, now), "nothing is kept after the first line that was not");
        let left = (RUN_BYTES_MAX - fits * cost) / cost;
        assert_eq!((0..1000).filter(|_| state.admit(Level::Error, cost, now)).count(), left, "errors have their own");
    }

    #[test]
    fn lines_come_at_a_rate_after_a_burst() {
        let (mut state, now) = (State::default(), Instant::now());
        let many = |state: &mut State, level, now| (0..10_000).filter(|_| state.admit(level, 1, now)).count();
        let burst = BURST_LINES_MAX as usize;
        assert_eq!(many(&mut state, Level::Info, now), burst);
        assert_eq!(state.suppressed, Suppressed { by_bytes: 0, by_rate: 10_000 - burst as u64 });
        assert_eq!(many(&mut state, Level::Warn, now), burst, "warnings are not held up by the others");
        let later = now + std::time::Duration::from_secs(3);
        assert_eq!(many(&mut state, Level::Info, later), 3 * LINES_PER_SEC as usize);
        assert_eq!(many(&mut state, Level::Info, now), 0, "a clock that goes back gives nothing");
    }

    #[test]
    fn empty_lines_and_fields_cost() {
        let fields = vec![(String::new(), String::new()); 1000];
        assert_eq!(cost("", &fields), LINE_BYTES + FIELDS_MAX * FIELD_BYTES);
        let wide = vec![("n".repeat(100), "v".repeat(5000))];
        assert_eq!(cost("", &wide), LINE_BYTES + FIELD_BYTES + FIELD_NAME_BYTES_MAX + FIELD_VALUE_BYTES_MAX);
    }

    #[test]
    fn streams_and_lines_share_the_budget() {
        let mut state = State { spent: RUN_BYTES_MAX - LINE_BYTES - 3, ..State::default() };
        let mut lines = Vec::new();
        state.take(Stream::Err, b"abc\ndef\n", Instant::now(), &mut lines);
        assert_eq!((lines.as_slice(), state.suppressed.by_bytes), (["abc".to_owned()].as_slice(), 1));
    }

    #[test]
    fn last_words_are_the_panic_or_the_last_line() {
        let panic =
            ["before", "thread 'main' panicked at src/lib.rs:3:5:", "index 9", "note: run with `RUST_BACKTRACE=1`"];
        let expected = LastWords::Panic("panicked at src/lib.rs:3:5: index 9".to_owned());
        assert_eq!(last_words(panic.into_iter()), Some(expected));
        let expected = LastWords::Line("ValueError: x".to_owned());
        assert_eq!(last_words(["Traceback", "ValueError: x"].into_iter()), Some(expected));
        assert_eq!(last_words([].into_iter()), None);
    }

    #[test]
    fn an_unknown_level_is_info() {
        assert_eq!(parse_level("fatal"), Level::Info);
        assert_eq!(parse_level("warn"), Level::Warn);
    }
}

//! `agent:integration/log`, and standard output and error, which share its budget. Escaping is done where lines are
//! written (`logs`); lengths and the amount are decided here, before anything is formatted.

use std::sync::{Mutex, PoisonError};

use super::Guest;
use crate::bindings::agent::integration::log;
use crate::cut;
use crate::logs::{Level, Logs};

/// What a run may log, all lines together: enough for a story, too little to fill a disk.
const RUN_BYTES_MAX: usize = 1 << 20;
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
    suppressed: u64,
    repositories_skipped: u64,
    out: Lines,
    err: Lines,
    last_words: std::collections::VecDeque<String>,
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
            if !state.admit(cost(message, fields)) {
                return;
            }
        }
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

    /// Counts a repository that the operator leaves out.
    pub(super) fn repository_skipped(&self) {
        self.state().repositories_skipped += 1;
    }

    /// Takes what the guest wrote to a stream; writes its lines.
    pub(crate) fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut lines = Vec::new();
        self.state().take(stream, bytes, &mut lines);
        self.emit(stream, &lines);
    }

    /// The end of the run: the rest of the streams, and what was suppressed.
    pub(crate) fn close(&self) {
        for stream in [Stream::Out, Stream::Err] {
            let mut lines = Vec::new();
            self.state().take_rest(stream, &mut lines);
            self.emit(stream, &lines);
        }
        let (suppressed, skipped) = {
            let mut state = self.state();
            (std::mem::take(&mut state.suppressed), std::mem::take(&mut state.repositories_skipped))
        };
        if suppressed > 0 {
            self.host(Level::Warn, &format!("{suppressed} lines suppressed: a run may log {RUN_BYTES_MAX} bytes"));
        }
        if skipped > 0 {
            self.host(Level::Info, &format!("{skipped} git repositories left out: the configuration skips git"));
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

    fn emit(&self, stream: Stream, lines: &[String]) {
        let (level, name) = match stream {
            Stream::Out => (Level::Info, "stdout"),
            Stream::Err => (Level::Warn, "stderr"),
        };
        for line in lines {
            self.logs.guest(&self.integration, level, line, &[("stream".to_owned(), name.to_owned())]);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Spends what a line costs. After the first line that does not fit, none does: a reader sees where it ends.
    fn admit(&mut self, cost: usize) -> bool {
        if self.suppressed == 0 && self.spent + cost <= RUN_BYTES_MAX {
            self.spent += cost;
            self.lines.0 += 1;
            return true;
        }
        self.suppressed += 1;
        self.lines.1 += 1;
        false
    }

    /// Adds to a stream; gives the lines that are complete and fit the budget.
    fn take(&mut self, stream: Stream, bytes: &[u8], lines: &mut Vec<String>) {
        let mut complete = Vec::new();
        self.lines(stream).push(bytes, &mut complete);
        self.take_complete(stream, complete, lines);
    }

    fn take_rest(&mut self, stream: Stream, lines: &mut Vec<String>) {
        let mut complete = Vec::new();
        self.lines(stream).rest(&mut complete);
        self.take_complete(stream, complete, lines);
    }

    fn take_complete(&mut self, stream: Stream, complete: Vec<String>, lines: &mut Vec<String>) {
        for line in complete {
            if stream == Stream::Err {
                self.remember(&line);
            }
            if self.admit(LINE_BYTES + line.len()) {
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
        let mut state = State::default();
        let cost = cost(&"x".repeat(10_000), &[]);
        assert_eq!(cost, LINE_BYTES + MESSAGE_BYTES_MAX);
        let fits = RUN_BYTES_MAX / cost;
        let kept = (0..fits + 7).filter(|_| state.admit(cost)).count();
        assert_eq!((kept, state.suppressed), (fits, 7));
        assert!(!state.admit(1), "nothing is kept after the first line that was not");
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
        state.take(Stream::Out, b"abc\ndef\n", &mut lines);
        assert_eq!((lines.as_slice(), state.suppressed), (["abc".to_owned()].as_slice(), 1));
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

//! What a file's content says: its language, its lines by class (code, comment, blank), how many decisions it holds, its
//! licence, or why it is not counted. Paths and contents are any bytes. It knows nothing of commits, blame and output.
//!
//! A [`Counter`] is made once per thread and asked for every version of every file:
//! - [`Counter::count`] splits and hashes the lines itself;
//! - [`Counter::count_lines`] takes lines that the caller has split and hashed for its own ends, and pays for neither.
//!
//! The result depends on the path and the content alone, never on what was counted before: a counter remembers only what
//! lines came to (`memo.rs`, `versions.rs`), what paths say, and compiled patterns. Two counters share nothing but read-only tables.
//!
//! What follows holds for every result:
//! - `size` is the blob's, always. `size_normalized` is what the predecessor called size: without the carriage returns at
//!   line ends, with a newline after the last line, and 0 for what is skipped or binary.
//! - A line ends with a newline, or with the file; an empty file has none, `a` and `a\n` have one.
//! - A file that is skipped, or binary, has no lines: all counts are 0 and `classes` is empty. A skipped file has no
//!   language either; a binary one has that of its name, and no reason.
//! - Otherwise `lines` = `loc` = `sloc` + `comments` + `blanks` = letters in `classes`, in which `c` is code, `m` comment,
//!   `b` blank. `sloc` is lines of code.
//! - `weighted_complexity` is `complexity` / `sloc` × 100, and 0 without code.

mod classes;
mod language;
mod license;
mod memo;
mod skip;
mod syntaxes;
mod versions;
mod words;

pub use classes::{Class, Outcome, State};
pub use language::Language;
pub use license::License;
pub use skip::Skip;

use classes::Machine;
use language::{ByPath, Detector};
use memo::Memo;
use std::collections::HashMap;
use std::sync::LazyLock;
use versions::{Version, Versions};

/// From where on files are not counted, and how much memory may be used. The defaults are the predecessor's, which guard
/// against minified code and data in the guise of source.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes; larger files are skipped. A million: by far the most sources that people write are under a tenth of that.
    pub size_max: u64,
    /// Lines; 40,000.
    pub lines_max: u64,
    /// Bytes of a line without its end; 1,096. Wider ones are made by machines.
    pub width_max: u64,
    /// Whether licences are told, which costs little more than reading the files that may be one. Without, such files are
    /// on the exclusion list.
    pub licenses: bool,
    /// Bytes that remembered lines may take; 32 MB, enough for two million. A history such as redis' has 0.4 million
    /// different ones.
    pub memo_bytes_max: usize,
    /// Bytes that the last versions of files may take; 32 MB, enough for 1.5 million lines of different files.
    pub versions_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            size_max: 1_000_000,
            lines_max: 40_000,
            width_max: 1096,
            licenses: true,
            memo_bytes_max: 32 << 20,
            versions_bytes_max: 32 << 20,
        }
    }
}

/// What a file's content says. The module tells what holds between the fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileFacts {
    pub language: Option<Language>,
    /// Bytes.
    pub size: u64,
    /// Bytes, as the predecessor counted them.
    pub size_normalized: u64,
    pub lines: u64,
    pub loc: u64,
    pub sloc: u64,
    pub comments: u64,
    pub blanks: u64,
    /// Decisions.
    pub complexity: u64,
    /// Decisions per hundred lines of code.
    pub weighted_complexity: f64,
    pub skipped: Option<Skip>,
    pub license: Option<License>,
    pub binary: bool,
    /// A letter for each line.
    pub classes: String,
}

impl FileFacts {
    /// A file that its commit removes.
    pub fn removed() -> FileFacts {
        FileFacts { skipped: Some(Skip::Removed), ..FileFacts::default() }
    }

    fn skipped(size: u64, reason: Skip) -> FileFacts {
        FileFacts { size, skipped: Some(reason), ..FileFacts::default() }
    }
}

/// What a path says, which its versions share.
#[derive(Clone, Copy)]
struct PathFacts {
    by_path: ByPath,
    may_be_license: bool,
    is_readme: bool,
    skip: Option<Skip>,
}

/// Paths remembered at once; then all are forgotten. Looking one up again costs a microsecond.
const PATHS_MAX: usize = 1 << 16;

/// Counts files. One for each thread.
pub struct Counter {
    options: Options,
    detector: Detector,
    paths: HashMap<Box<[u8]>, PathFacts>,
    memo: Memo,
    versions: Versions,
}

impl Counter {
    pub fn new(options: Options) -> Counter {
        let memo = Memo::new(options.memo_bytes_max);
        let versions = Versions::new(options.versions_bytes_max);
        Counter { options, detector: Detector::default(), paths: HashMap::new(), memo, versions }
    }

    /// What this version of a file says.
    pub fn count(&mut self, path: &[u8], content: &[u8]) -> FileFacts {
        let lines: Vec<(&[u8], u64)> = split(content).map(|line| (line, hash(line))).collect();
        self.count_lines(path, content, lines.iter().copied())
    }

    /// The same for a caller that has the lines with their hashes already. A line's bytes may hold its line end or not,
    /// but always the same way; its hash is any 64-bit hash of its bytes. The lines are walked three times at most. It is
    /// quickest when versions of a path follow one another.
    pub fn count_lines<'a>(
        &mut self,
        path: &[u8],
        content: &[u8],
        lines: impl Iterator<Item = (&'a [u8], u64)> + Clone,
    ) -> FileFacts {
        let size = content.len() as u64;
        let of_path = self.path_facts(path);
        if skip::is_binary(content) {
            return FileFacts { language: of_path.by_path.by_name(), size, binary: true, ..FileFacts::default() };
        }
        if size > self.options.size_max {
            return FileFacts::skipped(size, Skip::TooLarge { bytes: size, max: self.options.size_max });
        }
        let license =
            (self.options.licenses && of_path.may_be_license).then(|| license::detect(content, of_path.is_readme));
        if let Some(license) = license.flatten() {
            return FileFacts { license: Some(license), ..FileFacts::skipped(size, Skip::License) };
        }
        if let Some(reason) = of_path.skip {
            return FileFacts::skipped(size, reason);
        }
        let mut new = Version::default();
        let extent = Extent::of(lines.clone(), &mut new.hashes);
        if let Some(reason) = self.judge_extent(extent) {
            return FileFacts::skipped(size, reason);
        }
        let old = self.versions.take(path);
        let beside = Beside { goes_with: versions::align(&old.hashes, &new.hashes), old };
        let asked =
            self.detector.detect(of_path.by_path, content, lines.clone(), &beside, &mut new.telling, &mut self.memo);
        new.language = asked;
        let facts = match asked {
            Some(language) => {
                let known = FileFacts {
                    language: Some(language),
                    size,
                    size_normalized: extent.size_normalized,
                    lines: extent.lines,
                    ..FileFacts::default()
                };
                self.classify(known, language, lines, &beside, &mut new.outcomes)
            }
            None => FileFacts::skipped(size, Skip::UnknownLanguage),
        };
        self.versions.put(path, new);
        facts
    }

    /// What one line comes to, in a language and after the lines that led to this state.
    pub fn line(&mut self, language: Language, state: State, line: &[u8], line_hash: u64) -> Outcome {
        let key = Memo::key(line_hash, language.number(), state);
        if let Some(outcome) = self.memo.get(key) {
            return outcome;
        }
        let outcome = read_line(language, state, line);
        self.memo.put(key, outcome);
        outcome
    }

    fn says_generated(&mut self, line: &[u8], line_hash: u64) -> bool {
        let key = Memo::key(line_hash, memo::GENERATED, State::START);
        if let Some(outcome) = self.memo.get(key) {
            return outcome.complexity == 1;
        }
        let says = skip::says_generated(line);
        let outcome = Outcome { class: Class::Comment, next: State::START, complexity: u32::from(says) };
        self.memo.put(key, outcome);
        says
    }

    fn path_facts(&mut self, path: &[u8]) -> PathFacts {
        if let Some(facts) = self.paths.get(path) {
            return *facts;
        }
        let by_path = language::by_path(path);
        let facts = PathFacts {
            by_path,
            may_be_license: skip::may_be_license(path),
            is_readme: skip::is_readme(path),
            skip: skip::by_path(path, by_path.by_ending()),
        };
        if self.paths.len() >= PATHS_MAX {
            self.paths.clear();
        }
        self.paths.insert(path.into(), facts);
        facts
    }

    fn judge_extent(&self, extent: Extent) -> Option<Skip> {
        let Options { lines_max, width_max, .. } = self.options;
        if extent.lines > lines_max {
            return Some(Skip::TooManyLines { max: lines_max });
        }
        (extent.width > width_max).then_some(Skip::TooWide { bytes: extent.width, max: width_max })
    }

    /// Completes what is known of a file by what its lines come to.
    fn classify<'a>(
        &mut self,
        known: FileFacts,
        language: Language,
        lines: impl Iterator<Item = (&'a [u8], u64)>,
        beside: &Beside,
        outcomes: &mut Vec<u64>,
    ) -> FileFacts {
        let mut facts = known;
        let mut classes = Vec::with_capacity(beside.goes_with.len());
        let mut by_class = [0; 3];
        outcomes.reserve_exact(beside.goes_with.len());
        let mut state = State::START;
        for (at, (line, line_hash)) in lines.enumerate() {
            let outcome = match beside.outcome(at, language, state) {
                Some(outcome) => outcome,
                None => self.line(language, state, line, line_hash),
            };
            outcomes.push(memo::pack(outcome));
            state = outcome.next;
            facts.complexity += u64::from(outcome.complexity);
            classes.push(outcome.class.letter() as u8);
            by_class[outcome.class as usize] += 1;
            if outcome.class == Class::Comment && at < skip::HEADER_LINES_MAX {
                let in_header = by_class[Class::Code as usize] <= skip::HEADER_CODE_LINES_MAX;
                if in_header && self.says_generated(line, line_hash) {
                    return FileFacts::skipped(facts.size, Skip::Generated);
                }
            }
        }
        [facts.sloc, facts.comments, facts.blanks] = by_class;
        facts.loc = facts.lines;
        facts.classes = String::from_utf8(classes).unwrap_or_default();
        if facts.sloc > 0 {
            facts.weighted_complexity = facts.complexity as f64 / facts.sloc as f64 * 100.0;
        }
        facts
    }
}

/// The version before, and which of its lines go with those that are counted.
struct Beside {
    goes_with: Vec<u32>,
    old: Version,
}

impl Beside {
    /// What the same line came to in the same language and state.
    fn outcome(&self, at: usize, language: Language, state: State) -> Option<Outcome> {
        let line = *self.goes_with.get(at)? as usize;
        let outcome = *self.old.outcomes.get(line)?;
        let before = line.checked_sub(1).map_or(State::START, |before| memo::unpack(self.old.outcomes[before]).next);
        (before == state && self.old.language == Some(language)).then(|| memo::unpack(outcome))
    }

    /// Which patterns the same line matched.
    fn telling(&self, at: usize) -> Option<u32> {
        let line = *self.goes_with.get(at)? as usize;
        self.old.telling.get(line).copied()
    }
}

/// How far a file goes.
#[derive(Clone, Copy, Default)]
struct Extent {
    lines: u64,
    /// Bytes of its widest line, without the line's end.
    width: u64,
    size_normalized: u64,
}

impl Extent {
    /// Walks the lines, and keeps their hashes.
    fn of<'a>(lines: impl Iterator<Item = (&'a [u8], u64)>, hashes: &mut Vec<u64>) -> Extent {
        lines.fold(Extent::default(), |mut extent, (line, line_hash)| {
            hashes.push(line_hash);
            let len = without_end(line).len() as u64;
            extent.lines += 1;
            extent.width = extent.width.max(len);
            extent.size_normalized += len + 1;
            extent
        })
    }
}

/// A line without its newline, and without the carriage return before it.
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Lines with their ends. What follows the last newline is a line, unless it is nothing.
fn split(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = memchr::memchr_iter(b'\n', content).map(|at| at + 1);
    let last = (!content.is_empty() && !content.ends_with(b"\n")).then_some(content.len());
    let mut start = 0;
    ends.chain(last).map(move |end| &content[std::mem::replace(&mut start, end)..end])
}

/// Eight bytes at a time, each folded in by a multiplication: as good as a line's identity needs, at memory speed.
fn hash(line: &[u8]) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let fold = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(ODD);
        (product as u64) ^ (product >> 64) as u64
    };
    let (words, rest) = line.as_chunks::<8>();
    let hash = words.iter().fold(line.len() as u64 ^ ODD, |hash, word| fold(hash, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(fold(hash, u64::from_le_bytes(last)), ODD)
}

/// What one line comes to, read anew: what [`Counter::line`] answers without asking what it remembers.
pub fn read_line(language: Language, state: State, line: &[u8]) -> Outcome {
    machine(language).line(state, line)
}

/// The machine of a language, made when the language is first met.
fn machine(language: Language) -> &'static Machine {
    let at = MACHINES.by_language[usize::from(language.number())];
    &MACHINES.machines[usize::from(at)]
}

struct Machines {
    machines: Vec<Machine>,
    /// Which machine, by language.
    by_language: Vec<u16>,
}

/// All of them together take a few hundred KB and a millisecond.
static MACHINES: LazyLock<Machines> = LazyLock::new(|| {
    let mut machines = vec![Machine::new(&syntaxes::PLAIN)];
    let mut by_name = HashMap::new();
    for (names, syntax) in syntaxes::SYNTAXES {
        by_name.extend(names.iter().map(|name| (*name, machines.len() as u16)));
        machines.push(Machine::new(syntax));
    }
    let by_mode: HashMap<&str, &str> = syntaxes::MODES.iter().copied().collect();
    let of = |language: Language| {
        let by_mode = || by_mode.get(language.editor_mode()).and_then(|name| by_name.get(name));
        by_name.get(language.name()).or_else(by_mode).copied().unwrap_or(0)
    };
    Machines { by_language: Language::all().map(of).collect(), machines }
});

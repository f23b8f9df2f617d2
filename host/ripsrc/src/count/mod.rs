//! What a file's content says: its language, its lines by class (code, comment, blank), how many decisions it holds, its
//! licence, or why it is not counted. Paths and contents are any bytes. It knows nothing of commits, blame and output.
//!
//! A [`Counter`] is made once per thread and asked for every version of every file:
//! - [`Counter::count`] splits and hashes the lines itself;
//! - [`Counter::count_cut`] takes lines that the caller has split and numbered for its own ends, and what it knows of a
//!   content from which some of them were copied: those are not read again.
//!
//! The result depends on the path and the content alone, never on what was counted before: a counter remembers only what
//! lines came to (`memo.rs`), what paths say, and compiled patterns. Two counters share nothing but read-only tables.
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

mod beside;
mod classes;
mod language;
mod license;
mod memo;
mod skip;
mod syntaxes;
mod words;

pub use beside::{Beside, Kept, Version};
pub use classes::{Class, Outcome, State};
pub use language::Language;
pub use license::License;
pub use skip::Skip;

use classes::Machine;
use language::{ByPath, Detector};
use memo::Memo;
use std::collections::HashMap;
use std::sync::LazyLock;

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
}

impl Default for Options {
    fn default() -> Options {
        Options { size_max: 1_000_000, lines_max: 40_000, width_max: 1096, licenses: true, memo_bytes_max: 32 << 20 }
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
}

impl Counter {
    pub fn new(options: Options) -> Counter {
        let memo = Memo::new(options.memo_bytes_max);
        Counter { options, detector: Detector::default(), paths: HashMap::new(), memo }
    }

    /// What this version of a file says.
    pub fn count(&mut self, path: &[u8], content: &[u8]) -> FileFacts {
        // Places are told in 32 bits.
        let max = self.options.size_max.min(u64::from(u32::MAX));
        if content.len() as u64 > max {
            return FileFacts::skipped(content.len() as u64, Skip::TooLarge { bytes: content.len() as u64, max });
        }
        let ends: Vec<u32> = ends(content).collect();
        let numbers: Vec<u64> = content.split_inclusive(|byte| *byte == b'\n').map(hash).collect();
        let cut = Cut { content, ends: &ends, numbers: Numbers::Long(&numbers) };
        let (mut facts, version) = self.count_cut(path, &cut, None);
        if facts.loc > 0 {
            facts.classes = version.letters();
        }
        facts
    }

    /// The same for a caller that has cut the content already; `classes` are left empty, since the version has them.
    /// `beside` is what the content shares with another, and what that came to.
    pub fn count_cut(&mut self, path: &[u8], cut: &Cut<'_>, beside: Option<Beside<'_>>) -> (FileFacts, Version) {
        let size = cut.content.len() as u64;
        let of_path = self.path_facts(path);
        let mut version = Version::default();
        if skip::is_binary(cut.content) {
            let language = of_path.by_path.by_name();
            return (FileFacts { language, size, binary: true, ..FileFacts::default() }, version);
        }
        if let Some(facts) = self.judge(&of_path, cut.content) {
            return (facts, version);
        }
        let extent = Extent::of(cut);
        if let Some(reason) = self.judge_extent(extent) {
            return (FileFacts::skipped(size, reason), version);
        }
        let language = self.detector.detect(of_path.by_path, cut, beside, &mut version, &mut self.memo);
        let Some(language) = language else {
            return (FileFacts::skipped(size, Skip::UnknownLanguage), version);
        };
        self.classify(language, cut, beside, &mut version);
        if self.says_generated_at_top(cut, &version) {
            return (FileFacts::skipped(size, Skip::Generated), version);
        }
        (facts(language, size, extent, &version), version)
    }

    /// What is known of a file before its lines are looked at.
    fn judge(&mut self, of_path: &PathFacts, content: &[u8]) -> Option<FileFacts> {
        let size = content.len() as u64;
        if size > self.options.size_max {
            return Some(FileFacts::skipped(size, Skip::TooLarge { bytes: size, max: self.options.size_max }));
        }
        let license =
            (self.options.licenses && of_path.may_be_license).then(|| license::detect(content, of_path.is_readme));
        if let Some(license) = license.flatten() {
            return Some(FileFacts { license: Some(license), ..FileFacts::skipped(size, Skip::License) });
        }
        of_path.skip.map(|reason| FileFacts::skipped(size, reason))
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

    /// What each line comes to.
    fn classify(&mut self, language: Language, cut: &Cut<'_>, beside: Option<Beside<'_>>, version: &mut Version) {
        version.language = Some(language);
        let mut begin = State::START;
        let mut outcomes = Vec::with_capacity(cut.ends.len());
        beside::fill(
            cut.ends.len(),
            beside.as_ref().and_then(|beside| beside.outcomes(language)),
            &mut outcomes,
            &mut begin,
            |state, line| beside.is_some_and(|beside| beside.agrees(*state, line)),
            |state, at| {
                let outcome = self.line(language, *state, cut.line(at), cut.number(at));
                *state = outcome.next;
                memo::pack(outcome)
            },
            |state, copied| *state = beside::state_after(copied, *state),
        );
        version.outcomes = outcomes;
    }

    /// Whether a comment among the first lines says that the file is generated.
    fn says_generated_at_top(&mut self, cut: &Cut<'_>, version: &Version) -> bool {
        let mut code = 0;
        for (at, outcome) in version.outcomes.iter().take(skip::HEADER_LINES_MAX).enumerate() {
            match memo::unpack(*outcome).class {
                Class::Code => code += 1,
                Class::Comment if self.says_generated(cut.line(at), cut.number(at)) => return true,
                Class::Comment | Class::Blank => {}
            }
            if code > skip::HEADER_CODE_LINES_MAX {
                break;
            }
        }
        false
    }
}

/// All that is told of a file whose lines are known.
fn facts(language: Language, size: u64, extent: Extent, version: &Version) -> FileFacts {
    let ([sloc, comments, blanks], complexity) = beside::totals(&version.outcomes);
    FileFacts {
        language: Some(language),
        size,
        size_normalized: extent.size_normalized,
        lines: extent.lines,
        loc: extent.lines,
        sloc,
        comments,
        blanks,
        complexity,
        weighted_complexity: if sloc > 0 { complexity as f64 / sloc as f64 * 100.0 } else { 0.0 },
        ..FileFacts::default()
    }
}

/// A content cut into lines. A line ends behind its newline, or with the content.
#[derive(Clone, Copy)]
pub struct Cut<'a> {
    pub content: &'a [u8],
    /// Where each line ends, in bytes.
    pub ends: &'a [u32],
    pub numbers: Numbers<'a>,
}

/// What tells a line from others: the same for the same bytes, always of the same kind with one counter.
#[derive(Clone, Copy)]
pub enum Numbers<'a> {
    /// 64 bits of any hash.
    Long(&'a [u64]),
    /// Numbers that were given out one after the other.
    Short(&'a [u32]),
}

impl<'a> Cut<'a> {
    fn line(&self, at: usize) -> &'a [u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.content[start as usize..self.ends[at] as usize]
    }

    fn number(&self, at: usize) -> u64 {
        match self.numbers {
            Numbers::Long(all) => all[at],
            // Spread, as a hash is.
            Numbers::Short(all) => u64::from(all[at]).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        }
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
    fn of(cut: &Cut<'_>) -> Extent {
        let lines = cut.ends.len() as u64;
        if memchr::memchr(b'\r', cut.content).is_some() {
            let lens = (0..cut.ends.len()).map(|at| without_end(cut.line(at)).len() as u64);
            let (width, sum) = lens.fold((0, 0), |(width, sum), len| (len.max(width), sum + len));
            return Extent { lines, width, size_normalized: sum + lines };
        }
        let mut start = 0;
        let widest = cut.ends.iter().fold(0, |widest, end| widest.max(end - std::mem::replace(&mut start, *end)));
        // Each line has a newline that is no part of its width, but perhaps the last.
        let open = u64::from(cut.content.last().is_some_and(|last| *last != b'\n'));
        let last = (0..cut.ends.len()).next_back().map_or(0, |at| without_end(cut.line(at)).len() as u64);
        // Where the last line alone is the widest, and open, one is taken away too much, and `last` has it.
        let width = last.max(u64::from(widest).saturating_sub(1));
        Extent { lines, width, size_normalized: cut.content.len() as u64 + open }
    }
}

/// A line without its newline, and without the carriage return before it.
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Where lines end. What follows the last newline is a line, unless it is nothing.
fn ends(content: &[u8]) -> impl Iterator<Item = u32> {
    let last = (!content.is_empty() && !content.ends_with(b"\n")).then_some(content.len() as u32);
    memchr::memchr_iter(b'\n', content).map(|at| at as u32 + 1).chain(last)
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

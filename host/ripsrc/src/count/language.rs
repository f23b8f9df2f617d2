//! Which language a file is written in, as Linguist tells it: by what an editor's mode line says, by its whole name, by
//! the program that its first line calls, by its ending, and, where several languages share an ending, by patterns in
//! its beginning. The facts come from the `linguist` crate when this crate is built (see `build.rs`).
//!
//! Linguist asks a trained classifier when nothing else decides; we take the language that most files of that ending are
//! written in (`USUAL`), which does not change its mind from version to version of a file.

use super::beside::{self, Beside, Version};
use super::classes::{Class, Outcome, State};
use super::memo::{self, Memo};
use super::skip::file_name;
use super::{Cut, without_end};
use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use std::collections::HashMap;

include!(concat!(env!("OUT_DIR"), "/languages.rs"));

/// Languages that share endings, and what tells them apart; the first rule that holds decides.
pub(super) struct Telling {
    endings: &'static [&'static str],
    rules: &'static [Rule],
}

/// A rule without conditions always holds.
pub(super) struct Rule {
    languages: &'static [u16],
    all: &'static [Condition],
}

pub(super) struct Condition {
    wanted: bool,
    any: &'static [&'static str],
}

/// A language, by its number in the order of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Language(u16);

impl Language {
    /// Linguist's name: `C++`, `Objective-C`, `Visual Basic .NET`.
    pub fn name(self) -> &'static str {
        LANGUAGES[usize::from(self.0)].0
    }

    /// The language of this name.
    pub fn from_name(name: &str) -> Option<Language> {
        let at = LANGUAGES.binary_search_by_key(&name, |facts| facts.0).ok()?;
        u16::try_from(at).ok().map(Language)
    }

    pub(super) fn number(self) -> u16 {
        self.0
    }

    /// All of them, in order of their numbers.
    pub(super) fn all() -> impl Iterator<Item = Language> {
        (0..LANGUAGES.len()).filter_map(|at| u16::try_from(at).ok()).map(Language)
    }

    /// The mode of an editor that shows it, or nothing.
    pub(super) fn editor_mode(self) -> &'static str {
        LANGUAGES[usize::from(self.0)].1
    }
}

/// What most files are, whose ending several languages share and which no pattern tells apart.
const USUAL: &[(&str, &str)] = &[
    ("as", "ActionScript"),
    ("asm", "Assembly"),
    ("bas", "Visual Basic 6.0"),
    ("cfg", "INI"),
    ("cgi", "Perl"),
    ("cl", "Common Lisp"),
    ("cls", "Apex"),
    ("cs", "C#"),
    ("d", "D"),
    ("es", "JavaScript"),
    ("ex", "Elixir"),
    ("f", "Fortran"),
    ("for", "Fortran"),
    ("frag", "GLSL"),
    ("frm", "Visual Basic 6.0"),
    ("fs", "F#"),
    ("gs", "JavaScript"),
    ("hh", "C++"),
    ("i", "SWIG"),
    ("inc", "C++"),
    ("l", "Lex"),
    ("lisp", "Common Lisp"),
    ("lsp", "Common Lisp"),
    ("m", "Objective-C"),
    ("m4", "M4"),
    ("md", "Markdown"),
    ("ml", "OCaml"),
    ("mm", "Objective-C++"),
    ("n", "Nemerle"),
    ("p", "OpenEdge ABL"),
    ("pbt", "Protocol Buffer Text Format"),
    ("php", "PHP"),
    ("pl", "Perl"),
    ("pm", "Perl"),
    ("pod", "Pod"),
    ("pp", "Puppet"),
    ("pro", "QMake"),
    ("properties", "Java Properties"),
    ("q", "q"),
    ("r", "R"),
    ("re", "Reason"),
    ("rs", "Rust"),
    ("s", "Unix Assembly"),
    ("sc", "Scala"),
    ("sch", "Scheme"),
    ("scm", "Scheme"),
    ("sls", "Salt"),
    ("sol", "Solidity"),
    ("spec", "RPM Spec"),
    ("sql", "SQL"),
    ("st", "Smalltalk"),
    ("t", "Perl"),
    ("tpl", "Smarty"),
    ("ts", "TypeScript"),
    ("tsx", "TSX"),
    ("txt", "Text"),
    ("v", "Verilog"),
    ("w", "CWeb"),
    ("x", "RPC"),
    ("yy", "Yacc"),
    ("yml", "YAML"),
    ("yaml", "YAML"),
    ("json", "JSON"),
    ("html", "HTML"),
    ("h", "C"),
];

/// Linguist looks at so much of a file.
const SEEN: usize = 50 * 1024;
/// Lines at each end of a file in which an editor looks for its mode.
const MODE_LINES: usize = 5;
/// A mode line is read so far; an editor's is never longer.
const MODE_LINE_LEN_MAX: usize = 512;

/// What a path says.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByPath {
    /// Languages of exactly this file name.
    file: &'static [u16],
    /// The longest ending that is known, and its languages.
    ending: &'static str,
    endings: &'static [u16],
}

fn find<T: Copy>(index: &'static [(&'static str, T)], key: &str) -> Option<(&'static str, T)> {
    index.binary_search_by_key(&key, |entry| entry.0).ok().map(|at| index[at])
}

pub(super) fn by_path(path: &[u8]) -> ByPath {
    let none = ByPath { file: &[], ending: "", endings: &[] };
    // A name that is not UTF-8 can still have a known ending.
    let name = String::from_utf8_lossy(file_name(path));
    let file = find(FILES, &name).map_or(none.file, |found| found.1);
    let lower = name.to_ascii_lowercase();
    // `a.html.erb` is asked for as `html.erb` before `erb`.
    let mut dots = lower.match_indices('.').map(|(at, _)| &lower[at + 1..]);
    let (ending, endings) = dots.find_map(|ending| find(ENDINGS, ending)).unwrap_or((none.ending, none.endings));
    ByPath { file, ending, endings }
}

impl ByPath {
    /// The language that the ending stands for alone, or usually.
    pub(super) fn by_ending(self) -> Option<Language> {
        match self.endings {
            [one] => Some(Language(*one)),
            several => find_usual(self.ending).filter(|usual| several.contains(&usual.0)),
        }
    }

    /// What the name alone tells, for files whose content is not read.
    pub(super) fn by_name(self) -> Option<Language> {
        match self.file {
            [] => self.usual(self.endings),
            files => self.usual(files),
        }
    }

    fn usual(self, among: &[u16]) -> Option<Language> {
        let usual = find_usual(self.ending).filter(|usual| among.contains(&usual.0));
        usual.or(among.first().map(|first| Language(*first)))
    }
}

fn find_usual(ending: &str) -> Option<Language> {
    USUAL.iter().find(|(usual, _)| *usual == ending).and_then(|(_, name)| Language::from_name(name))
}

/// Tells languages; the patterns are compiled when an ending first needs them.
///
/// Nearly all patterns are about single lines, so each line is matched once with all patterns of its ending, and what
/// matched is remembered like what lines come to. The few that look further are matched with the whole beginning.
#[derive(Default)]
pub(super) struct Detector {
    patterns: HashMap<&'static str, Regex>,
    /// By the number of the telling.
    sets: HashMap<usize, RegexSet>,
}

/// Patterns that one rule set may have to be matched line by line: as many as what is remembered of a line has bits.
const SET_LEN_MAX: usize = 30;

impl Detector {
    /// Notes in `version` which patterns its lines matched.
    pub(super) fn detect(
        &mut self,
        path: ByPath,
        cut: &Cut<'_>,
        beside: Option<Beside<'_>>,
        version: &mut Version,
        memo: &mut Memo,
    ) -> Option<Language> {
        let content = cut.content;
        if let Some(language) = by_mode_line(content) {
            return Some(language);
        }
        let mut among: Vec<u16> = path.file.to_vec();
        narrow(&mut among, by_first_line(content));
        if among.len() != 1 {
            narrow(&mut among, path.endings);
        }
        // What says that it is XML is, unless its ending tells that it is a language that is written in XML.
        if among.len() != 1 && starts_like_xml(content) {
            narrow(&mut among, xml());
        }
        match among[..] {
            [] => None,
            [one] => Some(Language(one)),
            _ => {
                let told =
                    TELLING.iter().position(|telling| telling.endings.contains(&path.ending)).and_then(|number| {
                        match is_about_lines(&TELLING[number]) {
                            true => self.by_lines(number, &among, cut, beside, version, memo),
                            false => self.by_whole(number, &among, content),
                        }
                    });
                told.or_else(|| path.usual(&among))
            }
        }
    }

    fn by_whole(&mut self, number: usize, among: &[u16], content: &[u8]) -> Option<Language> {
        let seen = &content[..content.len().min(SEEN)];
        TELLING[number]
            .first(among, |pattern, _| self.patterns.entry(pattern).or_insert_with(|| compile(pattern)).is_match(seen))
    }

    fn by_lines(
        &mut self,
        number: usize,
        among: &[u16],
        cut: &Cut<'_>,
        beside: Option<Beside<'_>>,
        version: &mut Version,
        memo: &mut Memo,
    ) -> Option<Language> {
        let telling = &TELLING[number];
        let set = self.sets.entry(number).or_insert_with(|| compile_all(telling));
        let place = memo::TELLING + number as u16;
        let seen = cut.ends.partition_point(|end| (*end as usize) < SEEN);
        let mut matched = 0;
        version.telling = Some(number);
        beside::fill(
            // The line in which the limit lies is looked at whole.
            (seen + 1).min(cut.ends.len()),
            beside.as_ref().and_then(|beside| beside.matched(number)),
            &mut version.matched,
            &mut matched,
            |_, _| true,
            |matched, at| {
                let of_line = match_line(set, place, cut.line(at), cut.number(at), memo);
                *matched |= of_line;
                of_line
            },
            |matched, copied| *matched |= copied.iter().fold(0, |all, of_line| all | of_line),
        );
        telling.first(among, |_, at| matched >> at & 1 == 1)
    }
}

/// Which patterns match a line, a bit for each.
fn match_line(set: &RegexSet, place: u16, line: &[u8], line_hash: u64, memo: &mut Memo) -> u32 {
    let key = Memo::key(line_hash, place, State::START);
    if let Some(outcome) = memo.get(key) {
        return outcome.complexity;
    }
    let matches = set.matches(without_end(line));
    let bits = matches.iter().fold(0, |bits, at| bits | 1 << at);
    memo.put(key, Outcome { class: Class::Code, next: State::START, complexity: bits });
    bits
}

impl Telling {
    /// The language of the first rule that holds. Asked is the pattern, and its number within the telling.
    fn first(&self, among: &[u16], mut matches: impl FnMut(&'static str, usize) -> bool) -> Option<Language> {
        let mut at = 0;
        for rule in self.rules {
            let mut holds = true;
            for condition in rule.all {
                // The numbers go on, whatever is asked.
                let mut numbered = condition.any.iter().zip(at..);
                holds = holds && numbered.any(|(pattern, number)| matches(pattern, number)) == condition.wanted;
                at += condition.any.len();
            }
            if let (true, Some(language)) = (holds, rule.languages.iter().find(|language| among.contains(language))) {
                return Some(Language(*language));
            }
        }
        None
    }

    fn patterns(&self) -> impl Iterator<Item = &'static str> {
        self.rules.iter().flat_map(|rule| rule.all).flat_map(|condition| condition.any).copied()
    }
}

/// Whether no pattern looks over the end of a line, or for the start or end of a file.
fn is_about_lines(telling: &Telling) -> bool {
    const FURTHER: &[&str] = &[r"\A", r"\z", r"\n", r"[\s\S]"];
    telling.patterns().count() <= SET_LEN_MAX
        // `[^\r\n]` looks no further.
        && telling.patterns().all(|pattern| {
            let pattern = pattern.replace(r"\r\n]", "]");
            !FURTHER.iter().any(|further| pattern.contains(further))
        })
}

/// Patterns are about bytes; the few that name characters of Unicode are compiled so.
fn compile(pattern: &str) -> Regex {
    let build = |unicode: bool| RegexBuilder::new(pattern).multi_line(true).unicode(unicode).build();
    build(false).or_else(|_| build(true)).expect(COMPILES)
}

fn compile_all(telling: &Telling) -> RegexSet {
    let build = |unicode: bool| RegexSetBuilder::new(telling.patterns()).multi_line(true).unicode(unicode).build();
    build(false).or_else(|_| build(true)).expect(COMPILES)
}

const COMPILES: &str = "every pattern comes from the table that was built in, and a test compiles all of them";

/// Keeps those that the new evidence names too; evidence that names none of them outweighs them only if there are none.
fn narrow(among: &mut Vec<u16>, found: &[u16]) {
    let both: Vec<u16> = among.iter().copied().filter(|language| found.contains(language)).collect();
    if among.is_empty() {
        *among = found.to_vec();
    } else if !both.is_empty() {
        *among = both;
    }
}

fn by_alias(name: &[u8]) -> Option<Language> {
    let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    find(ALIASES, &name).and_then(|found| found.1.first().map(|language| Language(*language)))
}

/// `-*- mode: ruby -*-`, `-*- C++ -*-`, `vim: set ft=ruby:` in the first or last lines.
fn by_mode_line(content: &[u8]) -> Option<Language> {
    let cut = |line: &'_ [u8]| line.len().min(MODE_LINE_LEN_MAX);
    let first = content.split(|byte| *byte == b'\n').take(MODE_LINES);
    let last = content.rsplit(|byte| *byte == b'\n').take(MODE_LINES + 1);
    let mut lines = first.chain(last);
    lines.find_map(|line| {
        let line = &line[..cut(line)];
        // A mode is told by a colon or between marks with stars; most lines have neither.
        let marked = memchr::memchr2(b':', b'*', line).is_some();
        marked.then(|| emacs_mode(line).or_else(|| vim_mode(line)))?.and_then(by_alias)
    })
}

fn position(line: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(line, wanted)
}

fn emacs_mode(line: &[u8]) -> Option<&[u8]> {
    let start = position(line, b"-*-")? + 3;
    let end = start + position(&line[start..], b"-*-")?;
    let inner = line[start..end].trim_ascii();
    if !inner.contains(&b':') {
        return (!inner.is_empty()).then_some(inner);
    }
    inner.split(|byte| *byte == b';').find_map(|pair| {
        let colon = pair.iter().position(|byte| *byte == b':')?;
        pair[..colon].trim_ascii().eq_ignore_ascii_case(b"mode").then(|| pair[colon + 1..].trim_ascii())
    })
}

fn vim_mode(line: &[u8]) -> Option<&[u8]> {
    const STARTS: &[&[u8]] = &[b"vim:", b"vi:", b"ex:"];
    let start = STARTS.iter().find_map(|start| {
        let at = position(line, start)?;
        // It is a word of its own: `Devi: ` is none.
        (at == 0 || line[at - 1].is_ascii_whitespace()).then_some(at + start.len())
    })?;
    let setting = line[start..].split(|byte| byte.is_ascii_whitespace() || *byte == b':');
    let mut values = setting.filter_map(|setting| {
        [&b"ft="[..], b"filetype=", b"syntax="].iter().find_map(|name| setting.strip_prefix(*name))
    });
    values.next().filter(|mode| !mode.is_empty())
}

/// The languages of the program that `#!` names.
fn by_first_line(content: &[u8]) -> &'static [u16] {
    let Some(rest) = content.strip_prefix(b"#!") else { return &[] };
    let end = rest.iter().take(MODE_LINE_LEN_MAX).position(|byte| *byte == b'\n');
    let line = &rest[..end.unwrap_or(rest.len().min(MODE_LINE_LEN_MAX))];
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mut program = words.next().map(file_name);
    if program == Some(b"env") {
        // `env -S`, `env NAME=value program`.
        program = words.find(|word| !word.starts_with(b"-") && !word.contains(&b'=')).map(file_name);
    }
    let Some(Ok(program)) = program.map(std::str::from_utf8) else { return &[] };
    let plain = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let found = find(INTERPRETERS, program).or_else(|| find(INTERPRETERS, plain));
    found.map_or(&[], |found| found.1)
}

fn xml() -> &'static [u16] {
    find(ALIASES, "xml").map_or(&[], |found| found.1)
}

fn starts_like_xml(content: &[u8]) -> bool {
    let content = content.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(content);
    content.starts_with(b"<?xml ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_patterns_compile() {
        let patterns: Vec<&str> = TELLING.iter().flat_map(Telling::patterns).collect();
        patterns.iter().for_each(|pattern| drop(compile(pattern)));
        assert!(patterns.len() > 300, "{}", patterns.len());
        let by_lines: Vec<&Telling> = TELLING.iter().filter(|telling| is_about_lines(telling)).collect();
        by_lines.iter().for_each(|telling| drop(compile_all(telling)));
        assert!(by_lines.len() > 80 && by_lines.iter().any(|telling| telling.endings == ["h"]), "{}", by_lines.len());
    }

    #[test]
    fn usual_languages_are_known_and_have_the_ending() {
        for (ending, name) in USUAL {
            let language = Language::from_name(name).unwrap_or_else(|| panic!("{name}"));
            let found = find(ENDINGS, ending).unwrap_or_else(|| panic!("{ending}"));
            assert!(found.1.contains(&language.0), "{ending} {name}");
        }
    }
}

//! What a file's content says, judged by cases that are data (the files beside this one), and by what must hold for any
//! content: the parts add up, what is remembered changes nothing, and lines can be read on from any line.

use ripsrc::count::{
    Beside, Class, Counter, Cut, FileFacts, Kept, Language, Numbers, Options, Skip, State, Version, read_line,
};

const LINES: &str = include_str!("count/lines.txt");
const PATHS: &str = include_str!("count/paths.txt");
const LANGUAGES: &str = include_str!("count/languages.txt");

/// A licence short enough to stand here.
const ZERO_BSD: &str = "Permission to use, copy, modify, and/or distribute this software for any purpose with or \
without fee is hereby granted.\n\nTHE SOFTWARE IS PROVIDED \"AS IS\" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD \
TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE \
FOR ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR \
PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE \
USE OR PERFORMANCE OF THIS SOFTWARE.\n";

fn count(path: &str, content: impl AsRef<[u8]>) -> FileFacts {
    Counter::new(Options::default()).count(path.as_bytes(), content.as_ref())
}

fn reason(path: &str, content: impl AsRef<[u8]>) -> String {
    count(path, content).skipped.map(|reason| reason.to_string()).unwrap_or_default()
}

fn none_wrong(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} wrong:\n{}\n", wrong.len(), wrong.join("\n"));
}

/// A line of a case: its class, its decisions, its text.
type Expected = (char, u32, &'static str);

/// The cases of lines.txt: their first lines, and their lines.
fn cases() -> Vec<(&'static str, Vec<Expected>)> {
    let mut cases: Vec<(&str, Vec<Expected>)> = Vec::new();
    for line in LINES.lines().filter(|line| !line.starts_with("# ")) {
        if let Some(title) = line.strip_prefix("== ") {
            cases.push((title, Vec::new()));
        } else if let Some((expected, text)) = line.split_once('|') {
            let (class, decisions) = expected.split_at(1);
            let expected = (class.chars().next().unwrap(), decisions.parse().unwrap(), text);
            cases.last_mut().unwrap().1.push(expected);
        }
    }
    cases
}

#[test]
fn lines_are_what_they_are() {
    let mut wrong = Vec::new();
    let cases = cases();
    for (title, lines) in &cases {
        let path = title.split(':').next().unwrap();
        for end in ["\n", "\r\n"] {
            let content: String = lines.iter().map(|(_, _, text)| format!("{text}{end}")).collect();
            let facts = count(path, &content);
            let Some(language) = facts.language else {
                wrong.push(format!("{title}: {:?}", facts.skipped));
                continue;
            };
            let mut state = State::START;
            for (number, (class, decisions, text)) in lines.iter().enumerate() {
                let outcome = read_line(language, state, text.as_bytes());
                state = outcome.next;
                if (outcome.class.letter(), outcome.complexity) != (*class, *decisions) {
                    let got = format!("{}{}", outcome.class.letter(), outcome.complexity);
                    wrong.push(format!("{title}, line {}: {got}, not {class}{decisions}: {text}", number + 1));
                }
            }
            let sum: u64 = lines.iter().map(|(_, decisions, _)| u64::from(*decisions)).sum();
            let classes: String = lines.iter().map(|(class, _, _)| *class).collect();
            if wrong.is_empty() && (&facts.classes, facts.complexity) != (&classes, sum) {
                wrong.push(format!("{title} ({end:?}): {} {}", facts.classes, facts.complexity));
            }
        }
    }
    none_wrong(&wrong);
    assert!(cases.len() > 20, "are the cases read?");
}

fn rows(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let rows = text.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    rows.map(|line| line.split_once(" | ").unwrap_or_else(|| panic!("no bar: {line}")))
}

#[test]
fn paths_are_skipped_by_their_whole_names() {
    let mut wrong = Vec::new();
    for (expected, path) in rows(PATHS) {
        let as_license = reason(path, ZERO_BSD);
        let got = match reason(path, "x\n").as_str() {
            _ if as_license == "File is a license file" => "license?",
            "File was a config file" => "config",
            "File was a dot file" => "dot",
            "File was on an exclusion list" => "excluded",
            "File was a vendored file" => "vendored",
            "" | "Language was unknown" => "-",
            _ => "something else",
        };
        if got != expected {
            wrong.push(format!("{path}: {got}, not {expected}"));
        }
    }
    none_wrong(&wrong);
}

#[test]
fn languages_are_told() {
    let mut wrong = Vec::new();
    for (expected, rest) in rows(LANGUAGES) {
        let (path, content) = rest.split_once(" | ").unwrap();
        let content = content.replace("\\n", "\n");
        let facts = count(path, &content);
        let got = facts.language.map_or("-", Language::name);
        if got != expected || (got == "-") != (facts.skipped == Some(Skip::UnknownLanguage)) {
            wrong.push(format!("{path} {content:?}: {got}, not {expected} ({:?})", facts.skipped));
        }
    }
    none_wrong(&wrong);
}

#[test]
fn reasons_are_the_words_of_the_interface() {
    let wide = |bytes: usize| format!("int x;\n{}\n", "x".repeat(bytes));
    let lines = |lines: usize| "x;\n".repeat(lines);
    let large = |bytes: usize| format!("{}\n", "x".repeat(99)).repeat(bytes / 100 + 1).split_off(100 - bytes % 100);
    let cases = [
        (FileFacts::removed().skipped.unwrap().to_string(), "File was removed"),
        (reason("a.c", large(1_000_000)), ""),
        (reason("a.c", large(1_000_001)), "File size was 1000K which exceeds limit of 1000K"),
        (reason("a.c", large(1_001_000)), "File size was 1001K which exceeds limit of 1000K"),
        (reason("a.json", large(2_000_000)), "File size was 2000K which exceeds limit of 1000K"),
        (reason("LICENSE", ZERO_BSD), "File is a license file"),
        (reason("LICENSE", "All rights reserved, copyright and so on. ".repeat(9)), "File was on an exclusion list"),
        (reason("a.json", "{}"), "File was a config file"),
        (reason(".a.c", "x"), "File was a dot file"),
        (reason("go.mod", "x"), "File was on an exclusion list"),
        (reason("vendor/a.c", "x"), "File was a vendored file"),
        (reason("a.c", lines(40_000)), ""),
        (reason("a.c", lines(40_001)), "File has more than 40000 lines"),
        (reason("a.c", wide(1096)), ""),
        (reason("a.c", wide(1096).replace('\n', "\r\n")), ""),
        (reason("a.c", wide(1097)), "File has a line width of 1097 which is greater than max of 1096"),
        (reason("a.unheard", wide(1097)), "File has a line width of 1097 which is greater than max of 1096"),
        (reason("a.unheard", "x"), "Language was unknown"),
        (reason("a.c", "// DO NOT EDIT\n"), "file was a generated file"),
    ];
    for (got, expected) in cases {
        assert_eq!(got, expected);
    }
}

#[test]
fn generated_is_what_says_so_in_its_header() {
    let generated = [
        "// Code generated by protoc. DO NOT EDIT.\npackage a\n",
        "package a\n\n// Code generated by x.\n",
        "/*\n * This file was GENERATED\n */\n",
        "// @generated\n",
        "// machine generated\n",
        "// <auto-generated/>\n",
    ];
    let written = [
        "package a\nimport b\nvar c = 1\nvar d = 2\n// DO NOT EDIT below\n",
        "s := \"DO NOT EDIT\"\n",
        "// IS_GENERATED tells whether it is\n",
        "// is generated with care\n",
        "// do not edit by hand unless you know why\n",
        "// regenerated, ungenerated\n",
    ];
    for content in generated {
        assert_eq!(reason("a.go", content), "file was a generated file", "{content}");
    }
    for content in written {
        assert_eq!(reason("a.go", content), "", "{content}");
    }
    let late = format!("{}// DO NOT EDIT\n", "// line\n".repeat(40));
    assert_eq!(reason("a.go", late), "");
}

#[test]
fn licenses_are_named_with_confidence() {
    let license = count("LICENSE", ZERO_BSD).license.unwrap();
    assert_eq!(license.name, "0BSD");
    assert!((0.85..=1.0).contains(&license.confidence), "{}", license.confidence);
    let mut without = Counter::new(Options { licenses: false, ..Options::default() });
    assert_eq!(without.count(b"LICENSE", ZERO_BSD.as_bytes()).skipped, Some(Skip::Excluded));
    // A README is one only if it says nothing else.
    assert_eq!(count("README", ZERO_BSD).license.map(|license| license.name).as_deref(), Some("0BSD"));
    let readme = format!("# A program\n\n{}\n{ZERO_BSD}", "It does things, and does them well.\n".repeat(200));
    assert_eq!(count("README.md", readme).skipped, Some(Skip::Excluded));
    // Only what is named so is compared.
    assert_eq!(count("notes.txt", ZERO_BSD).license, None);
}

#[test]
fn sizes_are_told_as_they_are_and_as_they_were() {
    let cases: &[(&str, u64, u64)] =
        &[("", 0, 0), ("a", 1, 2), ("a\n", 2, 2), ("a\r\nb\r\n", 6, 4), ("a\rb\n\n", 5, 5), ("\n", 1, 1), ("\r", 1, 1)];
    for (content, size, normalized) in cases {
        let facts = count("a.c", content);
        assert_eq!((facts.size, facts.size_normalized), (*size, *normalized), "{content:?}");
    }
    let skipped = count("a.json", "{}\n");
    assert_eq!((skipped.size, skipped.size_normalized, skipped.lines, skipped.language), (3, 0, 0, None));
}

#[test]
fn binary_is_what_git_calls_so() {
    let late = [vec![b'\n'; 8000], vec![0]].concat();
    assert!(!count("a.go", &late).binary);
    let early = [vec![b'\n'; 7999], vec![0]].concat();
    let facts = count("a.go", &early);
    assert!(facts.binary && facts.skipped.is_none() && facts.lines == 0 && facts.classes.is_empty());
    assert_eq!(facts.language.map(Language::name), Some("Go"));
    assert_eq!(facts.size, 8000);
}

#[test]
fn weighted_complexity_is_decisions_per_hundred_lines_of_code() {
    let facts = count("a.c", "if (x)\n  y;\n// if\n\nz;\nz;\n");
    assert_eq!((facts.complexity, facts.sloc), (1, 4));
    assert!((facts.weighted_complexity - 25.0).abs() < 1e-9);
    assert_eq!(count("a.c", "// if (x)\n").weighted_complexity.to_bits(), 0);
}

#[test]
fn a_byte_order_mark_is_no_code() {
    assert_eq!(count("a.cs", b"\xEF\xBB\xBF// comment\nint x;\n").classes, "mc");
    assert_eq!(count("a.cs", b"\xEF\xBB\xBF\n").classes, "b");
}

/// Numbers that are the same on every run (xorshift).
struct Random(u64);

/// What trips readers of source.
const PIECES: &[&str] = &[
    "\n",
    "\n",
    "\n",
    "\r\n",
    " ",
    "\t",
    "/*",
    "*/",
    "//",
    "#",
    "--",
    "--[[",
    "--[==[",
    "]]",
    "]==]",
    "\"",
    "\"",
    "'",
    "`",
    "\"\"\"",
    "'''",
    "\\",
    "\\\"",
    "r#\"",
    "\"#",
    "R\"x(",
    ")x\"",
    "$$",
    "$a$",
    "<<EOF",
    "EOF",
    "\nEOF\n",
    "<<-'AB'",
    "<<~",
    "{-",
    "-}",
    "(*",
    "*)",
    "#|",
    "|#",
    "<!--",
    "-->",
    "=begin",
    "\n=begin\n",
    "\n=end\n",
    "\n=cut\n",
    "if (",
    "for ",
    "else {",
    "&& ",
    "|| ",
    "?",
    "word",
    "'a'",
    "'\\n'",
    "/+",
    "+/",
    "%{",
    "%}",
    "REM ",
    "dnl",
    "{",
    "}",
    "é",
    "\u{FEFF}",
    "=",
    "[",
    "]",
];

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % below
    }

    fn bytes(&mut self, below: usize) -> Vec<u8> {
        (0..self.next(below)).map(|_| self.next(256) as u8).collect()
    }

    /// Pieces in any order, with any bytes but NUL between.
    fn content(&mut self) -> Vec<u8> {
        let mut content = Vec::new();
        for _ in 0..self.next(120) {
            match self.next(12) {
                0 => content.push(1 + self.next(255) as u8),
                _ => content.extend_from_slice(PIECES[self.next(PIECES.len())].as_bytes()),
            }
        }
        content
    }
}

fn languages() -> Vec<Language> {
    const NAMES: &[&str] = &[
        "C",
        "C++",
        "Rust",
        "Python",
        "Ruby",
        "Shell",
        "Perl",
        "PHP",
        "Lua",
        "Haskell",
        "HTML",
        "SQL",
        "PLpgSQL",
        "D",
        "Go",
        "JavaScript",
        "OCaml",
        "F#",
        "CoffeeScript",
        "PowerShell",
        "MATLAB",
        "Batchfile",
        "M4",
        "Smalltalk",
        "Fortran",
        "CMake",
        "Vim script",
        "C#",
        "Julia",
        "Common Lisp",
        "TeX",
        "Pascal",
        "Nix",
        "AsciiDoc",
        "Raku",
        "JSON",
        "Text",
    ];
    NAMES.iter().map(|name| Language::from_name(name).unwrap_or_else(|| panic!("{name}"))).collect()
}

fn lines_of(content: &[u8]) -> Vec<&[u8]> {
    content.split_inclusive(|byte| *byte == b'\n').collect()
}

/// A hash of the test's own: counters take any.
fn hash_of(line: &[u8]) -> u64 {
    line.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

#[test]
fn what_is_remembered_changes_nothing() {
    let mut random = Random(0x1234_5678_9ABC_DEF1);
    // One with room for all, one that forgets much.
    let mut large = Counter::new(Options::default());
    let mut small = Counter::new(Options { memo_bytes_max: 0, ..Options::default() });
    let languages = languages();
    for round in 0..4000 {
        let content = random.content();
        let language = languages[round % languages.len()];
        let (mut fresh, mut remembered, mut forgotten) = (State::START, State::START, State::START);
        for line in lines_of(&content) {
            let expected = read_line(language, fresh, line);
            let by_large = large.line(language, remembered, line, hash_of(line));
            let by_small = small.line(language, forgotten, line, hash_of(line));
            assert_eq!((by_large, by_small), (expected, expected), "{}: {}", language.name(), content.escape_ascii());
            (fresh, remembered, forgotten) = (expected.next, by_large.next, by_small.next);
        }
    }
}

fn read_on(state: State, language: Language, lines: &[&[u8]]) -> (State, Vec<Class>) {
    let mut counter = Counter::new(Options::default());
    lines.iter().fold((state, Vec::new()), |(state, mut classes), line| {
        let outcome = counter.line(language, state, line, hash_of(line));
        classes.push(outcome.class);
        (outcome.next, classes)
    })
}

#[test]
fn lines_can_be_read_on_from_any_line() {
    let mut random = Random(0xFEED_5678_9ABC_DEF1);
    for language in languages() {
        for _ in 0..10 {
            let content = random.content();
            let lines = lines_of(&content);
            let whole = read_on(State::START, language, &lines);
            for cut in 0..=lines.len() {
                let (state, mut classes) = read_on(State::START, language, &lines[..cut]);
                let (end, rest) = read_on(state, language, &lines[cut..]);
                classes.extend(rest);
                assert_eq!((end, classes), whole, "{} cut at {cut}: {}", language.name(), content.escape_ascii());
            }
        }
    }
}

#[test]
fn parts_add_up_whatever_the_content() {
    const PATHS: &[&str] = &[
        "a.c", "a.h", "a.rs", "a.py", "a.rb", "a.sh", "a.pl", "a.lua", "a.html", "a.sql", "a.m", "a.v", "a.hs", "a",
        "README", "a.md", "Makefile", "a.inc", "a.r", "a.cls",
    ];
    let mut random = Random(0xBEEF_5678_9ABC_DEF1);
    let mut counter = Counter::new(Options::default());
    let mut other = Counter::new(Options::default());
    let mut counted = 0;
    for round in 0..2000 {
        let content = random.content();
        let path = PATHS[round % PATHS.len()].as_bytes();
        let facts = counter.count(path, &content);
        let lines = lines_of(&content);
        // Another counter, and the caller's hashes, give the same.
        let (of_cut, _) = count_cut(&mut other, path, &content, None);
        assert_eq!(FileFacts { classes: facts.classes.clone(), ..of_cut }, facts);
        let parts = facts.sloc + facts.comments + facts.blanks;
        assert_eq!((facts.lines, facts.loc, facts.classes.len() as u64), (parts, parts, parts));
        for (letter, number) in [('c', facts.sloc), ('m', facts.comments), ('b', facts.blanks)] {
            assert_eq!(facts.classes.matches(letter).count() as u64, number);
        }
        if facts.skipped.is_none() && !facts.binary {
            assert_eq!(facts.lines, lines.len() as u64);
            counted += 1;
        } else {
            assert_eq!((facts.lines, facts.complexity), (0, 0));
        }
    }
    assert!(counted > 1000, "only {counted} were counted");
}

#[test]
fn any_bytes_are_borne() {
    const ENDINGS: &[&[u8]] = &[b"", b".c", b".h", b"/", b".", b".html.erb", b"LICENSE", b".\xFF", b"/.m"];
    let mut random = Random(0xABCD_5678_9ABC_DEF1);
    let mut counter = Counter::new(Options { width_max: u64::MAX, ..Options::default() });
    for _ in 0..3000 {
        let mut path = random.bytes(40);
        path.extend_from_slice(ENDINGS[random.next(ENDINGS.len())]);
        let mut content = random.bytes(300);
        if random.next(2) == 0 {
            content.retain(|byte| *byte != 0);
        }
        let facts = counter.count(&path, &content);
        assert_eq!(facts.lines as usize, facts.classes.len());
    }
}

#[test]
fn huge_lines_take_time_in_proportion() {
    // A reader that goes back over what it has read would take minutes for these.
    for piece in PIECES.iter().filter(|piece| !piece.contains('\n')) {
        for language in languages() {
            let open = read_line(language, State::START, piece.as_bytes()).next;
            for state in [State::START, open] {
                read_line(language, state, &piece.as_bytes().repeat(2_000));
            }
        }
    }
}

#[test]
fn counters_go_to_threads() {
    fn goes<T: Send + 'static>() {}
    goes::<Counter>();
}

fn count_cut(counter: &mut Counter, path: &[u8], content: &[u8], beside: Option<Beside<'_>>) -> (FileFacts, Version) {
    let (mut at, mut ends, mut numbers) = (0, vec![], vec![]);
    for line in lines_of(content) {
        at += line.len() as u32;
        ends.push(at);
        numbers.push(hash_of(line));
    }
    counter.count_cut(path, &Cut { content, ends: &ends, numbers: Numbers::Long(&numbers) }, beside)
}

/// Some of what two contents have in common, as a pack may tell it: stretches of lines, found from a random place on.
fn kept(random: &mut Random, old: &[u8], new: &[u8]) -> Vec<Kept> {
    let (old, new) = (lines_of(old), lines_of(new));
    let (mut found, mut at) = (vec![], 0);
    while at < new.len() {
        let from = random.next(old.len() + 1);
        let start = (from..old.len()).chain(0..from).find(|start| old[*start] == new[at]);
        let Some(start) = start.filter(|_| random.next(4) > 0) else {
            at += 1;
            continue;
        };
        let same = old[start..].iter().zip(&new[at..]).take_while(|(old, new)| old == new).count();
        let count = 1 + random.next(same);
        found.push(Kept { new: at as u32, old: start as u32, count: count as u32 });
        at += count;
    }
    found
}

#[test]
fn versions_beside_change_nothing() {
    const PATHS: &[&str] =
        &["a.c", "a.h", "a.rs", "a.py", "a.rb", "a.sh", "a.php", "a.lua", "a.m", "a.hs", "a.md", "a.ml"];
    let mut random = Random(0xD00D_5678_9ABC_DEF1);
    let mut counter = Counter::new(Options::default());
    let mut before: Vec<(Vec<u8>, Version)> = PATHS.iter().map(|_| (random.content(), Version::default())).collect();
    let mut copied = 0;
    for _ in 0..1500 {
        let (which, other) = (random.next(PATHS.len()), random.next(PATHS.len()));
        // Mostly its own version before, sometimes another file's, in another language.
        let base = if random.next(8) == 0 { other } else { which };
        let mut content = before[base].0.clone();
        // Some bytes go, others come: what edits do.
        let start = random.next(content.len() + 1);
        let end = (start + random.next(30)).min(content.len());
        let mut coming = random.content();
        coming.truncate(random.next(60));
        content.splice(start..end, coming);
        content.truncate(4000);
        let path = PATHS[which].as_bytes();
        let expected = Counter::new(Options::default()).count(path, &content);
        let kept = kept(&mut random, &before[base].0, &content);
        copied += kept.len();
        let beside = Beside { version: &before[base].1, kept: &kept };
        let (facts, version) = count_cut(&mut counter, path, &content, Some(beside));
        let classes = expected.classes.clone();
        assert_eq!(FileFacts { classes, ..facts }, expected, "{}: {}", PATHS[which], content.escape_ascii());
        before[which] = (content, version);
    }
    assert!(copied > 3000, "only {copied} stretches were copied");
}

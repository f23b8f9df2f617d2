//! What holds the house together, read from the sources: which way the arrows point between the agent's modules, which
//! module may name which crate, that every file opens with its card, and that what the papers say is there. The map is
//! ARCHITECTURE.md; here it is data. What a package may depend on is held by scripts/check-dependencies.sh.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The modules of `host/agent/src`, the highest layer first. An arrow goes down, over as many layers as it likes.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["app"],
    &["command"],
    &["sandbox"],
    &["hostcalls"],
    &["bindings", "egress", "export", "git", "logs"],
    &["store", "delivery", "secrets", "cassette"],
    &["config", "shutdown"],
    &["files"],
];

/// Arrows within a layer or up: from a module to all paths that begin like this.
const EXCEPTIONS: &[(&str, &str)] = &[
    // A clone goes out, and its records go in.
    ("git", "egress"),
    ("git", "export"),
    ("export", "logs"),
    ("delivery", "store"),
    // bindgen! must be told which types stand behind the contract's handles.
    ("bindings", "export::SessionId"),
    ("bindings", "hostcalls::PendingEntry"),
];

/// What only these modules may name: crates, and modules of the agent (`crate::…`).
const HOMES: &[(&str, &[&str], &str)] = &[
    ("rusqlite", &["store"], "SQL lives in the store"),
    ("wasmtime", &["sandbox", "hostcalls", "bindings"], "nothing else knows that WebAssembly exists"),
    ("wasmparser", &["sandbox"], "files of components are read in one place"),
    ("wasmtime_wasi", &["sandbox"], "WASI is part of the cage"),
    ("wasmtime_wasi_io", &["sandbox"], "WASI is part of the cage"),
    ("wasmtime_wasi_http", &["sandbox", "hostcalls"], "its requests become ours at the door"),
    ("crate::bindings", &["sandbox", "hostcalls"], "what is generated stays behind the door"),
    ("rand_core", &["sandbox"], "random bytes are given to guests in one place"),
    ("hyper", &["egress"], "there is one way out"),
    ("hyper_util", &["egress"], "there is one way out"),
    ("hyper_rustls", &["egress"], "there is one way out"),
    ("rustls", &["egress"], "there is one way out"),
    ("ring", &["secrets", "egress"], "ciphers and signatures are used where secrets are kept and proved"),
    ("aho_corasick", &["secrets"], "what is struck out is known in one place"),
    ("git2", &["git"], "only the git side reads repositories"),
    ("libgit2_sys", &["git"], "only the git side reads repositories"),
    ("ripsrc", &["app", "git"], "histories are read below the command line"),
    ("clap", &["cli"], "the command line is read in one place"),
    ("indicatif", &["cli"], "only the command line draws"),
    ("saphyr_parser", &["config"], "YAML is read in one place"),
    ("jsonschema", &["command"], "documents of integrations are judged in one place"),
];

/// Of those, what any module's tests may name: they hold what a module makes against its published form.
const JUDGES: &[&str] = &["jsonschema"];

/// Papers whose paths and links are checked. All files of `docs` are papers too.
const PAPERS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "guest-sdk/rust/README.md",
    "integrations/git/README.md",
    "integrations/github/README.md",
    "integrations/gitlab/README.md",
    "integrations/jira/README.md",
    "integrations/mock/README.md",
];

/// Folders whose Rust files are ours.
const SOURCES: &[&str] = &["host", "guest-sdk", "integrations", "tests"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files below a folder with this extension, as paths from the root, in order. What was built is passed over.
fn files(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(root().join(&folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
        for entry in entries.map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let path = format!("{folder}/{name}");
            if entry.file_type().unwrap().is_dir() {
                if name != "target" {
                    folders.push(path);
                }
            } else if name.ends_with(&format!(".{extension}")) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Fails with all that is wrong, a line each: where, what, and what to do.
fn none_wrong(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} wrong:\n{}\n", wrong.len(), wrong.join("\n"));
}

/// The text with comments, strings and characters blanked, so that what is left is code; lines stay where they are.
fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match &bytes[at..] {
            [b'/', b'/', ..] => text[at..].find('\n').map_or(bytes.len(), |len| at + len),
            [b'/', b'*', ..] => text[at..].find("*/").map_or(bytes.len(), |len| at + len + 2),
            [b'r', b'"' | b'#', ..] if at == 0 || !is_word(bytes[at - 1]) => end_of_raw(text, at),
            [b'"', ..] => end_of_quoted(bytes, at),
            // A character, and not a lifetime.
            [b'\'', b'\\', ..] => end_of_quoted(bytes, at),
            [b'\'', first, ..] => {
                let after = at + 1 + utf8_len(*first);
                if bytes.get(after) == Some(&b'\'') { after + 1 } else { at }
            }
            _ => at,
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(out).unwrap()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn utf8_len(first: u8) -> usize {
    match first {
        0..0x80 => 1,
        0x80..0xE0 => 2,
        0xE0..0xF0 => 3,
        _ => 4,
    }
}

fn end_of_quoted(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != bytes[start] {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The end of `r"…"` or `r#"…"#`; where it begins if it is a raw identifier.
fn end_of_raw(text: &str, start: usize) -> usize {
    let hashes = text[start + 1..].bytes().take_while(|byte| *byte == b'#').count();
    let open = start + 1 + hashes;
    if text.as_bytes().get(open) != Some(&b'"') {
        return start;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    text[open + 1..].find(&close).map_or(text.len(), |len| open + 1 + len + close.len())
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text[..at].matches('\n').count()
}

/// Where a name stands in code as the beginning of a path, with what follows its `::` (up to what is no path any more).
/// A list in braces gives one for each of its members.
fn paths_of<'a>(code: &'a str, name: &str) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(name) {
        let before = code[..at].bytes().next_back();
        let inner = before.is_some_and(|byte| is_word(byte) || byte == b':');
        let Some(rest) = code[at + name.len()..].strip_prefix("::").filter(|_| !inner) else {
            // `use name;` and `use name as other;`
            if code[..at].ends_with("use ") && !code[at + name.len()..].starts_with(|c: char| is_word(c as u8)) {
                found.push((at, ""));
            }
            continue;
        };
        match rest.strip_prefix('{') {
            Some(list) => found.extend(members(list).map(|member| (at, path_in(member)))),
            None => found.push((at, path_in(rest))),
        }
    }
    found
}

/// The members of a list, its outermost braces being open.
fn members(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 1;
    let end = list.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0
    });
    let mut depth = 0;
    list[..end.unwrap_or(list.len())]
        .split(move |c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        })
        .map(str::trim)
        .filter(|member| !member.is_empty())
}

fn path_in(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    text[..end].trim_end_matches(':')
}

/// The agent's files: path, module, code.
fn agent_files() -> Vec<(String, String, String)> {
    const SOURCE: &str = "host/agent/src";
    let with_module = |path: String| {
        let inner = &path[SOURCE.len() + 1..];
        let module = inner.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        let code = code_of(&read(&path));
        (path, module, code)
    };
    files(SOURCE, "rs").into_iter().map(with_module).collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// What is wrong with a path `crate::…` in a module, if anything. `items` are the names that `lib.rs` itself defines.
fn judge_arrow(module: &str, path: &str, items: &BTreeSet<String>) -> Option<String> {
    let target = path.split("::").next().unwrap_or_default();
    let Some(below) = layer(target) else {
        let known = items.contains(target);
        return (!known).then(|| format!("`crate::{path}` names no module in LAYERS and no item of lib.rs"));
    };
    let here = layer(module)?;
    let excepted = EXCEPTIONS.iter().any(|(from, to)| {
        *from == module && path.strip_prefix(to).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    });
    if target == module || here < below || excepted {
        return None;
    }
    let way = if here == below { "within its layer" } else { "up" };
    Some(format!(
        "`crate::{path}`: an arrow from `{module}` {way} to `{target}`; move what is shared down, or hand it in from above"
    ))
}

/// The functions that lib.rs defines for all.
fn root_items() -> BTreeSet<String> {
    let code = code_of(&read("host/agent/src/lib.rs"));
    let name = |rest: &str| path_in(rest).to_owned();
    code.split("fn ").skip(1).map(name).collect()
}

#[test]
fn tidy_arrows_point_down() {
    let (mut wrong, mut arrows) = (Vec::new(), 0);
    let items = root_items();
    for (file, module, code) in agent_files() {
        for (at, path) in paths_of(&code, "crate") {
            arrows += 1;
            if let Some(fault) = judge_arrow(&module, path, &items) {
                wrong.push(format!("{file}:{}: {fault}", line_of(&code, at)));
            }
        }
        // A module that names what is beside it by `super` would go past this test.
        let at_the_top = file.matches('/').count() == 3 || file.ends_with("/mod.rs");
        for (at, _) in code.match_indices("use super::") {
            if at_the_top && (at == 0 || code[..at].ends_with(['\n'])) {
                let line = line_of(&code, at);
                wrong.push(format!("{file}:{line}: `use super::` out of a module; write `use crate::`"));
            }
        }
    }
    none_wrong(&wrong);
    assert!(arrows > 100, "only {arrows} arrows were found; does this test still read the sources right?");
}

#[test]
fn tidy_every_module_has_its_layer() {
    let code = code_of(&read("host/agent/src/lib.rs"));
    let declared: BTreeSet<&str> =
        code.lines().filter_map(|line| line.strip_suffix(';')?.split("mod ").nth(1)).collect();
    let placed: BTreeSet<&str> =
        LAYERS.iter().flat_map(|layer| layer.iter().copied()).filter(|m| *m != "main").collect();
    assert_eq!(declared, placed, "lib.rs declares the left, LAYERS in tests/tidy.rs has the right");
    let map = read("ARCHITECTURE.md");
    let missing: Vec<&&str> = placed
        .iter()
        .filter(|module| !map.contains(&format!("{module}/")) && !map.contains(&format!("{module}.rs")))
        .collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md's map does not have {missing:?}");
}

#[test]
fn tidy_crates_are_named_at_home_only() {
    let mut wrong = Vec::new();
    for (file, module, code) in agent_files() {
        for (name, homes, why) in HOMES {
            if JUDGES.contains(name) && file.ends_with("/tests.rs") {
                continue;
            }
            // `paths_of` looks for one word; a module of ours is the first word after `crate`.
            let found = match name.strip_prefix("crate::") {
                Some(ours) => {
                    let mut paths = paths_of(&code, "crate");
                    paths.retain(|(_, path)| path.split("::").next() == Some(ours));
                    paths
                }
                None => paths_of(&code, name),
            };
            if !homes.contains(&module.as_str()) {
                for (at, _) in found {
                    let line = line_of(&code, at);
                    wrong.push(format!("{file}:{line}: `{name}` is named outside of {}: {why}", homes.join(", ")));
                }
            }
        }
    }
    let library = read("host/agent/src/lib.rs");
    if !library.contains("\nmod bindings;") {
        wrong.push("host/agent/src/lib.rs: `bindings` must be a private module".to_owned());
    }
    none_wrong(&wrong);
}

#[test]
fn tidy_every_file_opens_with_its_card() {
    let mut wrong = Vec::new();
    for file in SOURCES.iter().flat_map(|folder| files(folder, "rs")) {
        let text = read(&file);
        let card: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).collect();
        // Fewer words than this say nothing.
        if card.join(" ").split_whitespace().count() < 5 {
            wrong.push(format!(
                "{file}:1: no card; open the file with `//!` and what it is, and what it leaves to others"
            ));
        }
    }
    none_wrong(&wrong);
}

#[test]
fn tidy_what_papers_name_is_there() {
    let mut wrong = Vec::new();
    let papers: Vec<String> = PAPERS.iter().map(|paper| (*paper).to_owned()).chain(files("docs", "md")).collect();
    for paper in &papers {
        let folder = paper.rfind('/').map_or("", |end| &paper[..end]);
        let text = without_blocks(&read(paper));
        for (number, line) in text.lines().enumerate() {
            let spans = line.split('`').skip(1).step_by(2).filter(|span| looks_like_a_path(span));
            // The agent's modules are named from its own folder: `store/marks.rs`; a new project's files from the template's.
            for path in spans {
                if ![
                    "",
                    folder,
                    "host/agent/src",
                    "host/agent/templates/rust",
                    "host/agent/templates/python",
                    "host/agent/templates/js",
                ]
                .iter()
                .any(|base| exists(base, path))
                {
                    wrong.push(format!("{paper}:{}: `{path}` is not there; name what is, or leave it out", number + 1));
                }
            }
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let file = target.split('#').next().unwrap_or_default();
                if !target.contains("://") && !file.is_empty() && !exists(folder, file) {
                    wrong.push(format!("{paper}:{}: the link to {target} leads nowhere", number + 1));
                }
            }
        }
    }
    none_wrong(&wrong);
}

/// The text with its blocks of code blanked: they show other folders than this one.
fn without_blocks(text: &str) -> String {
    let mut inside = false;
    let mut out = String::new();
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        let _ = writeln!(out, "{}", if inside || fence { "" } else { line });
    }
    out
}

/// A relative path, or the name of one of our files. What is made at run time is written with a `<place>`, `~` or `./`
/// before it, or lies in `target`, and is none.
fn looks_like_a_path(span: &str) -> bool {
    let of_path = |c: char| c.is_ascii_alphanumeric() || "/._-*".contains(c);
    let named = [".rs", ".md", ".toml", ".wit", ".sh"].iter().any(|end| span.len() > end.len() && span.ends_with(end));
    span.chars().all(of_path)
        && !span.starts_with(['/', '*'])
        && !span.starts_with("./")
        && !span.starts_with("target/")
        && (span.contains('/') || named)
}

fn exists(base: &str, path: &str) -> bool {
    let fixed = path.split('*').next().unwrap_or_default();
    root().join(base).join(fixed).exists()
}

#[test]
fn tidy_configurations_in_papers_are_good() {
    use agent::config::{FolderOrigin, Source, Surroundings, load};
    let folder = tempfile::tempdir().unwrap();
    let components = root().join("tests/config/_components");
    let (mut wrong, mut count) = (Vec::new(), 0);
    let papers: Vec<String> = files("docs", "md").into_iter().chain(["README.md".to_owned()]).collect();
    for paper in papers {
        for block in
            read(&paper).split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next().map(str::to_owned))
        {
            // Parts of a configuration are shown too; these are whole.
            if !block.lines().any(|line| line.starts_with("integrations:")) {
                continue;
            }
            count += 1;
            std::fs::write(folder.path().join("agent.yaml"), &block).unwrap();
            let around = Surroundings {
                working_dir: folder.path().to_owned(),
                home: Some("/home/somebody".into()),
                root: None,
                integrations_dirs: vec![(components.clone(), FolderOrigin::Given)],
                variables: |_| None,
            };
            if let Err(error) = load(&Source::File("agent.yaml".into()), &around) {
                wrong.push(format!("{paper}: a configuration in it is not one: {error}\n{block}"));
            }
        }
    }
    none_wrong(&wrong);
    assert!(count >= 2, "only {count} configurations were found");
}

#[test]
fn tidy_reads_code_and_nothing_else() {
    let text = "use crate::{a::{b, c}, d}; // crate::no\n/* crate::no */ let s = \"crate::no\\\"\"; let c = '\"';\n\
                fn f<'a>(x: &'a crate::e::F) { r#\"crate::no\"#; mycrate::no(); } use reqwest;";
    let code = code_of(text);
    assert_eq!(code.lines().count(), text.lines().count());
    let paths: Vec<(usize, &str)> =
        paths_of(&code, "crate").into_iter().map(|(at, path)| (line_of(&code, at), path)).collect();
    assert_eq!(paths, [(1, "a"), (1, "d"), (3, "e::F")]);
    assert_eq!(paths_of(&code, "reqwest").len(), 1);
}

#[test]
fn tidy_arrows_are_judged() {
    let items = BTreeSet::from(["cut".to_owned()]);
    for (module, path, good) in [
        ("cli", "app::export", true),
        ("app", "cli::run", false),
        ("hostcalls", "export::ExportRun", true),
        ("export", "hostcalls::Door", false),
        ("git", "export::ExportRun", true),
        ("export", "git::models", false),
        ("delivery", "store::Batch", true),
        ("store", "delivery::Delivery", false),
        ("bindings", "hostcalls::PendingEntry", true),
        ("bindings", "hostcalls::PendingEntryOther", false),
        ("bindings", "hostcalls::Door", false),
        ("store", "store::record", true),
        ("store", "cut", true),
        ("store", "paste", false),
    ] {
        assert_eq!(judge_arrow(module, path, &items).is_none(), good, "{module} → {path}");
    }
}

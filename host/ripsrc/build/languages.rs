//! Turns the facts about languages that the `linguist` crate keeps into tables that are read without being parsed:
//! names, file endings, file names, interpreters, aliases, and the patterns that tell languages apart which share an
//! ending. How they are used is told in the module `count::language`, which includes what is written here.

use linguist::definitions::{HEURISTICS, LANGUAGES};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

type Index = BTreeMap<String, BTreeSet<usize>>;

pub fn write(folder: &Path) {
    let mut names: Vec<&str> = LANGUAGES.keys().map(String::as_str).collect();
    names.sort_unstable();
    crate::put(&folder.join("languages.rs"), tables(&names).as_bytes());
}

fn tables(names: &[&str]) -> String {
    let number = |name: &str| names.binary_search(&name).expect("the list was made of all names");
    let (mut endings, mut files, mut interpreters, mut aliases) =
        (Index::new(), Index::new(), Index::new(), Index::new());
    let mut out = String::from("pub(super) static LANGUAGES: &[(&str, &str)] = &[\n");
    for (at, name) in names.iter().enumerate() {
        let facts = &LANGUAGES[*name];
        let _ = writeln!(out, "    ({name:?}, {:?}),", facts.codemirror_mime_type.as_deref().unwrap_or(""));
        // An ending is looked up in lower case and without its dot.
        let add = |index: &mut Index, key: String| {
            index.entry(key).or_default().insert(at);
        };
        for ending in facts.extensions.iter().flatten() {
            add(&mut endings, ending.trim_start_matches('.').to_ascii_lowercase());
        }
        for file in facts.filenames.iter().flatten() {
            add(&mut files, file.clone());
        }
        for interpreter in facts.interpreters.iter().flatten() {
            add(&mut interpreters, interpreter.clone());
        }
        add(&mut aliases, name.to_ascii_lowercase().replace(' ', "-"));
        for alias in facts.aliases.iter().flatten() {
            add(&mut aliases, alias.to_ascii_lowercase());
        }
    }
    out.push_str("];\n");
    for (name, index) in
        [("ENDINGS", &endings), ("FILES", &files), ("INTERPRETERS", &interpreters), ("ALIASES", &aliases)]
    {
        let _ = writeln!(out, "pub(super) static {name}: &[(&str, &[u16])] = &[");
        for (key, languages) in index {
            let languages: Vec<&usize> = languages.iter().collect();
            let _ = writeln!(out, "    ({key:?}, &{languages:?}),");
        }
        out.push_str("];\n");
    }
    out.push_str("pub(super) static TELLING: &[Telling] = &[\n");
    for telling in &HEURISTICS.disambiguations {
        let endings: Vec<String> =
            telling.extensions.iter().map(|e| e.trim_start_matches('.').to_ascii_lowercase()).collect();
        let _ = writeln!(out, "    Telling {{ endings: &{endings:?}, rules: &[");
        for rule in &telling.rules {
            let mut conditions = Vec::new();
            flatten(rule, &mut conditions);
            let languages: Vec<usize> = rule.language.iter().flatten().map(|name| number(name)).collect();
            let _ = writeln!(out, "        Rule {{ languages: &{languages:?}, all: &[");
            for (wanted, patterns) in conditions {
                let _ = writeln!(out, "            Condition {{ wanted: {wanted}, any: &{patterns:?} }},");
            }
            out.push_str("        ] },\n");
        }
        out.push_str("    ] },\n");
    }
    out.push_str("];\n");
    out
}

/// A rule as conditions that must all hold: whether one of the patterns must match, or none may.
fn flatten(rule: &linguist_types::HeuristicRule, conditions: &mut Vec<(bool, Vec<String>)>) {
    for inner in rule.and.iter().flatten() {
        flatten(inner, conditions);
    }
    if let Some(name) = &rule.named_pattern {
        conditions.push((true, HEURISTICS.named_patterns[name].clone()));
    }
    if let Some(patterns) = &rule.pattern {
        conditions.push((true, patterns.clone()));
    }
    if let Some(patterns) = &rule.negative_pattern {
        conditions.push((false, patterns.clone()));
    }
}

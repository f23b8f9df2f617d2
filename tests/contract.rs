//! The contract against its released versions: what was built for one of them must run under this one. What one version
//! does is held by other tests; here it is only compared.

use std::path::Path;

use wit_parser::{Resolve, WorldId};

const WORLD: &str = "agent-integration";

fn wit() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")
}

fn contract() -> String {
    std::fs::read_to_string(wit().join("package.wit")).unwrap()
}

/// The text under another version, since two packages of one version cannot be told apart.
fn as_version(text: &str, version: &str) -> String {
    let start = text.find("package agent:integration@").expect("a package");
    let end = start + text[start..].find(';').expect("an end");
    format!("{}package agent:integration@{version}{}", &text[..start], &text[end..])
}

fn add(resolve: &mut Resolve, name: &str, text: &str) -> WorldId {
    let package = resolve.push_str(name, text).unwrap_or_else(|error| panic!("{name}: {error:#}"));
    resolve.select_world(&[package], Some(WORLD)).unwrap_or_else(|error| panic!("{name}: {error:#}"))
}

/// Whether components for `old` run under `new`; if not, why.
fn compare(old: &str, new: &str) -> Result<(), String> {
    let mut resolve = Resolve::default();
    // Later than all `@since` in either, or the items would not be there yet.
    let old = add(&mut resolve, "old.wit", &as_version(old, "999.0.0"));
    let new = add(&mut resolve, "new.wit", &as_version(new, "999.0.1"));
    wit_component::semver_check(resolve, old, new).map_err(|error| format!("{error:#}"))
}

#[test]
fn what_was_built_for_a_released_version_runs_under_this_one() {
    for entry in std::fs::read_dir(wit().join("released")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "wit") {
            let released = std::fs::read_to_string(&path).unwrap();
            if let Err(why) = compare(&released, &contract()) {
                panic!("wit/package.wit is not compatible with {}: {why}; add instead of changing", path.display());
            }
        }
    }
}

#[test]
fn a_change_that_breaks_components_is_noticed() {
    let resume = "  @since(version = 0.1.0)\n  resume: func();\n";
    let describe = "  @since(version = 0.1.0)\n  describe: func() -> json;\n";
    let more = "  more: func();\n";
    for (what, from, to, good) in [
        ("nothing changed", "", "", true),
        ("a function more to import", resume, format!("{resume}{more}").as_str(), true),
        ("a function less to import", resume, "", false),
        ("a parameter more", "resume: func()", "resume: func(why: string)", false),
        ("a function more to export", describe, format!("{describe}{more}").as_str(), false),
        ("a field more", "    status: u16,\n", "    status: u16,\n    reason: string,\n", false),
        ("a case more", "    timeout,\n", "    timeout,\n    busy,\n", false),
    ] {
        let (old, new) = (contract(), contract().replacen(from, to, 1));
        assert_eq!(from == to, old == new, "{what}: the text to change is not there");
        let found = compare(&old, &new);
        assert_eq!(found.is_ok(), good, "{what}: {found:?}");
    }
}

//! Configurations and what becomes of them. A case is a folder of `tests/config`: agent.yaml, agent.json, or what flags
//! give (integrations.json, agent-config.json), and expected.txt with the faults, or with what was understood. With
//! UPDATE_EXPECTED=1 the expectations are written instead of compared; read the difference before keeping it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use agent::config::{AGENT_CONFIG_SCHEMA, Document, FolderOrigin, Source, Surroundings, load, root_of};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|case| !case.ends_with("_components"));
    cases.sort();
    cases
}

fn variables(name: &str) -> Option<OsString> {
    let value = match name {
        "ALPHA" => "alpha",
        "TRUE" => "true",
        "NUMBER" => "100",
        "SIZE" => "64MiB",
        "SECRET" => "ghp_very-secret",
        "STRUCTURE" => "[a, {b: c}]\nroot: /elsewhere",
        _ => return None,
    };
    Some(value.into())
}

fn source(case: &Path) -> Source {
    let file = |name: &str| case.join(name).exists().then(|| PathBuf::from(name));
    match (file("integrations.json"), file("agent.yaml").or(file("agent.json"))) {
        (Some(integrations), _) => {
            // One document by name and one as text: the two ways that flags give them.
            let text = std::fs::read_to_string(case.join(integrations)).unwrap();
            let integrations = Document::Inline { flag: "--integrations-json", text };
            Source::Flags { agent: file("agent-config.json").map(Document::File), integrations }
        }
        (None, Some(file)) => Source::File(file),
        (None, None) => panic!("{} holds no configuration", case.display()),
    }
}

/// What becomes of a case, with the folders of this machine by name.
fn outcome(case: &Path) -> String {
    let components = case.with_file_name("_components");
    let around = Surroundings {
        working_dir: case.to_owned(),
        home: Some(PathBuf::from("/home/somebody")),
        root: None,
        integrations_dirs: vec![(components.clone(), FolderOrigin::Given)],
        variables,
    };
    let text = match load(&source(case), &around) {
        Ok(loaded) => format!("{:#?}\nnotes: {:#?}\n", loaded.config, loaded.notes),
        Err(error) => format!("{error}\n"),
    };
    text.replace(components.to_str().unwrap(), "COMPONENTS").replace(case.to_str().unwrap(), "CASE")
}

#[test]
fn every_case_becomes_what_is_expected() {
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let (outcome, file) = (outcome(&case), case.join("expected.txt"));
        if update {
            std::fs::write(&file, &outcome).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        if outcome != expected {
            wrong.push(format!("{}\n--- expected\n{expected}--- found\n{outcome}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_accepted_is_told_by_the_name_of_the_case() {
    for case in cases() {
        let good = ["good-", "flags-good", "flags-single"]
            .iter()
            .any(|prefix| case.file_name().unwrap().to_str().unwrap().starts_with(prefix));
        assert_eq!(!outcome(&case).starts_with("the configuration has"), good, "{}", case.display());
    }
}

#[test]
fn the_root_is_found_in_a_file_with_other_faults() {
    let folder = tempfile::tempdir().unwrap();
    let around = Surroundings {
        working_dir: folder.path().to_owned(),
        home: Some(PathBuf::from("/home/somebody")),
        root: None,
        integrations_dirs: Vec::new(),
        variables,
    };
    let file = Path::new("agent.yaml");
    for (text, root) in [
        ("root: ./${ALPHA}\nsinks: x\nother: ${UNSET}\n", folder.path().join("alpha")),
        ("integrations: []\n", PathBuf::from("/home/somebody/.agent")),
    ] {
        std::fs::write(folder.path().join(file), text).unwrap();
        assert_eq!(root_of(file, &around).unwrap(), root, "{text}");
    }
    std::fs::write(folder.path().join(file), "root: [x]\n").unwrap();
    assert!(root_of(file, &around).is_err());
}

#[test]
fn no_fault_repeats_a_secret() {
    for case in cases() {
        assert!(!outcome(&case).contains("ghp_very-secret"), "{}", case.display());
    }
}

#[test]
fn the_published_schema_accepts_and_refuses_json_as_the_reader_does() {
    let schema: serde_json::Value = serde_json::from_str(AGENT_CONFIG_SCHEMA).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (json, good) in [
        (r#"{"integrations": [{"name": "mock", "component": "mock"}]}"#, true),
        (
            r#"{"sink": "stdout", "limits": {"memory": "64MiB"}, "integrations": [{"name": "a", "component": "mock", "limits": {"cpu_time": "1h30m"}}]}"#,
            true,
        ),
        (
            r#"{"sink": {"folder": "x", "compression": "zstd"}, "integrations": [{"name": "a", "component": "mock", "grants": {"network": ["https://x GET", {"host": "y"}], "credentials": {"c": {"env": "T", "bearer": true, "hosts": ["x"]}}}}]}"#,
            true,
        ),
        (r#"{"integrations": []}"#, false),
        (r#"{}"#, false),
        (r#"{"integrations": [{"name": "mock", "component": "mock", "x": 1}]}"#, false),
        (r#"{"integrations": [{"name": "a b", "component": "mock"}]}"#, false),
        (r#"{"limits": {"memory": 5}, "integrations": [{"name": "a", "component": "mock"}]}"#, false),
        (r#"{"limits": {"memory": "5 apples"}, "integrations": [{"name": "a", "component": "mock"}]}"#, false),
        (r#"{"sink": "file", "integrations": [{"name": "a", "component": "mock"}]}"#, false),
        (
            r#"{"integrations": [{"name": "a", "component": "mock", "grants": {"credentials": {"c": {"env": "T", "file": "f", "bearer": true, "hosts": ["x"]}}}}]}"#,
            false,
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("agent.json"), json).unwrap();
        let components = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/_components");
        let around = Surroundings {
            working_dir: folder.path().to_owned(),
            home: Some(PathBuf::from("/home/somebody")),
            root: None,
            integrations_dirs: vec![(components, FolderOrigin::Given)],
            variables,
        };
        let read = load(&Source::File("agent.json".into()), &around);
        assert_eq!(read.is_ok(), good, "the reader: {json}: {read:?}");
        assert_eq!(validator.is_valid(&serde_json::from_str(json).unwrap()), good, "the schema: {json}");
    }
}

//! The lines of JSON: as the schema says, the same whoever writes them, and true about the files they speak of.

use crate::random::history;
use crate::repo::{Repo, json, write};
use ripsrc::Options;
use serde_json::Value;

/// Checks the part of JSON Schema that `schemas/record.json` uses, but for patterns and formats.
fn fits(value: &Value, schema: &Value, root: &Value) -> Result<(), String> {
    let told = |what: &str| Err(format!("{what}: {value}"));
    if let Some(name) = schema["$ref"].as_str() {
        let part = name.trim_start_matches("#/$defs/");
        return fits(value, &root["$defs"][part], root);
    }
    if let Some(list) = schema["oneOf"].as_array() {
        let faults: Vec<String> = list.iter().filter_map(|one| fits(value, one, root).err()).collect();
        return if faults.len() + 1 == list.len() { Ok(()) } else { Err(faults.join("; ")) };
    }
    if schema["const"].is_string() && schema["const"] != *value {
        return told("not the constant");
    }
    if schema["enum"].as_array().is_some_and(|list| !list.contains(value)) {
        return told("not in the list");
    }
    let kind = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some(other) => panic!("the schema has a type that this test doesn't know: {other}"),
    };
    if !kind {
        return told("of another type");
    }
    if schema["minimum"].as_f64().is_some_and(|least| value.as_f64().is_some_and(|value| value < least)) {
        return told("too small");
    }
    for item in value.as_array().into_iter().flatten() {
        fits(item, &schema["items"], root)?;
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value[name].is_null() {
            return Err(format!("{name} is missing in {value}"));
        }
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        match &schema["properties"][name.as_str()] {
            Value::Null => return Err(format!("{name} is not in the schema")),
            part => fits(value, part, root).map_err(|error| format!("{name}: {error}"))?,
        }
    }
    Ok(())
}

#[test]
fn lines_are_as_the_schema_says() {
    let schema: Value = serde_json::from_str(include_str!("../../schemas/record.json")).unwrap();
    assert!(fits(&serde_json::json!({"model": "commit"}), &schema, &schema).is_err());
    let mut repo = Repo::new();
    history(&mut repo, 70, 60);
    repo.import();
    repo.git(&["symbolic-ref", "HEAD", "refs/heads/b0"]);
    let mut records = repo.records(&Repo::options());
    let take = &mut |record: ripsrc::Record<'_>| {
        records.push(json(&record));
        Ok(())
    };
    repo.open().branches(&Options::default(), take).unwrap();
    let mut models = std::collections::BTreeMap::new();
    for record in &records {
        let value: Value = serde_json::from_str(record).unwrap();
        fits(&value, &schema, &schema).unwrap();
        *models.entry(value["model"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        if value["model"] == "blame" {
            let mut next = 1;
            for owned in value["owners"].as_array().unwrap() {
                assert_eq!(owned["start"], next);
                next += owned["count"].as_u64().unwrap();
            }
            assert_eq!(value["lines"], next - 1, "the owners cover all lines");
            assert_eq!(value["loc"], value["classes"].as_str().unwrap().len());
        }
    }
    assert_eq!(models.len(), 3, "{models:?}");
}

#[test]
fn several_threads_write_what_one_writes() {
    let mut repo = Repo::new();
    history(&mut repo, 71, 100);
    repo.import();
    for threads in [1, 2, 5] {
        let mut out = vec![];
        repo.open().code_json(&Options { threads, ..Repo::options() }, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), repo.records(&Repo::options()).concat());
    }
}

#[test]
fn files_are_counted() {
    let mut repo = Repo::new();
    let source = "// one\nfn main() {\n    if true {}\n\n}\n";
    let a = repo.commit("main", &[], &[write("src/a.rs", source), write("bin", "a\0b\n"), write("vendor/x.go", "x\n")]);
    repo.commit("main", &[a], &[write("src/a.rs", format!("{source}// two\n"))]);
    repo.import();
    let records: Vec<Value> =
        repo.records(&Repo::options()).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let file = |commit: usize, name: &str| {
        let sha = &records.iter().filter(|record| record["model"] == "commit").nth(commit).unwrap()["sha"];
        records.iter().find(|record| record["commit"] == *sha && record["filename"] == name).unwrap()
    };
    let first = file(0, "src/a.rs");
    assert_eq!((first["language"].as_str(), first["classes"].as_str()), (Some("Rust"), Some("mccbc")));
    assert_eq!(first["size"], source.len());
    let second = file(1, "src/a.rs");
    assert_eq!((second["classes"].as_str(), second["sloc"].as_u64()), (Some("mccbcm"), Some(3)));
    assert!(file(0, "vendor/x.go")["skipped"].as_str().unwrap().contains("vendored"));
    let binary = file(0, "bin");
    assert_eq!((binary["binary"].as_bool(), binary["lines"].as_u64()), (Some(true), Some(0)));
}

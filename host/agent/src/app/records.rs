//! Records as they came of a run, by model and key, and what differs between two runs of them. Contents are held as hashes: a
//! run may have millions. Where a key stands in a record is the manifest's to say.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::command::manifest::Manifest;
use crate::delivery::folder_name;

/// Records named of those that differ in one way; the others are counted.
const NAMED_MAX: usize = 5;

/// JSON Pointers to the parts of a record's key, by the model's name.
pub(super) type Keys = BTreeMap<String, Vec<String>>;

/// Where the keys of an integration's records stand.
pub(super) fn keys(manifest: &Manifest) -> Keys {
    manifest.run_models().into_iter().map(|model| (model.name, model.key)).collect()
}

/// A record's key, for people and to compare.
pub(super) fn key_of(record: &Value, pointers: &[String]) -> String {
    let part = |pointer: &String| match record.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "–".to_owned(),
    };
    pointers.iter().map(part).collect::<Vec<_>>().join(" ")
}

/// The records of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Records {
    /// The contents under a model and key, in the order in which they came.
    by_key: BTreeMap<(String, String), Vec<[u8; 32]>>,
}

/// Records of one kind: how many, and which are the first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    pub count: u64,
    /// Model and key.
    pub examples: Vec<String>,
}

impl Found {
    /// The first of them, and how many more.
    #[must_use]
    pub fn told(&self) -> String {
        match self.count.saturating_sub(self.examples.len() as u64) {
            0 => self.examples.join(", "),
            more => format!("{}, … and {more} more", self.examples.join(", ")),
        }
    }

    pub(super) fn add(&mut self, model: &str, key: &str) {
        self.count += 1;
        if self.examples.len() < NAMED_MAX {
            self.examples.push(format!("{model} {key}"));
        }
    }
}

/// What differs between the records that should have come and those that did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// They never came.
    pub missing: Found,
    /// Nobody expected them.
    pub surplus: Found,
    /// They came more often.
    pub twice: Found,
    /// What came last is something else.
    pub different: Found,
}

impl Difference {
    pub(super) fn is_none(&self) -> bool {
        self.kinds().iter().all(|(_, found)| found.count == 0)
    }

    /// Its kinds, with words for them.
    #[must_use]
    pub fn kinds(&self) -> [(&'static str, &Found); 4] {
        [
            ("missing", &self.missing),
            ("more often than it should be", &self.twice),
            ("different", &self.different),
            ("there that should not be", &self.surplus),
        ]
    }

    /// A line for each kind, each with a line's end before it.
    #[must_use]
    pub fn told(&self) -> String {
        let found = self.kinds().into_iter().filter(|(_, found)| found.count > 0);
        found.map(|(kind, found)| format!("\n  {} {kind}: {}", found.count, found.told())).collect()
    }
}

impl Records {
    pub(super) fn add(&mut self, model: &str, record: &[u8], keys: &Keys) {
        let pointers = keys.get(model).map(Vec::as_slice).unwrap_or_default();
        // What the general library cannot hold is its own key.
        let key = serde_json::from_slice::<Value>(record)
            .map_or_else(|_| String::from_utf8_lossy(record).into_owned(), |record| key_of(&record, pointers));
        self.by_key.entry((model.to_owned(), key)).or_default().push(Sha256::digest(record).into());
    }

    /// Adds what lies in a folder of the agent's sink, in the order of its files.
    pub(super) fn add_folder(&mut self, folder: &Path, keys: &Keys) -> io::Result<()> {
        for integration in entries(folder)? {
            for (model, pointers) in keys {
                let of_model = integration.join(folder_name(model));
                let one = BTreeMap::from([(model.clone(), pointers.clone())]);
                for file in entries(&of_model)?.into_iter().filter(|file| is_complete(file)) {
                    for line in BufReader::new(std::fs::File::open(file)?).split(b'\n') {
                        self.add(model, &line?, &one);
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn len(&self) -> u64 {
        self.by_key.values().map(|versions| versions.len() as u64).sum()
    }

    /// Those that came more than once.
    pub(super) fn repeated(&self) -> Found {
        let mut found = Found::default();
        for ((model, key), _) in self.by_key.iter().filter(|(_, versions)| versions.len() > 1) {
            found.add(model, key);
        }
        found
    }

    /// Takes out what is not the same in `other`; what that was.
    pub(super) fn keep_common(&mut self, other: &Records) -> Found {
        let mut names: BTreeSet<(String, String)> =
            other.by_key.keys().filter(|name| !self.by_key.contains_key(*name)).cloned().collect();
        self.by_key.retain(|name, versions| {
            let same = other.by_key.get(name) == Some(versions);
            if !same {
                names.insert(name.clone());
            }
            same
        });
        let mut unsteady = Found::default();
        names.iter().for_each(|(model, key)| unsteady.add(model, key));
        unsteady
    }

    /// What of these differs in those that came. `unsteady` says which are not looked at.
    pub(super) fn difference(&self, came: &Records, unsteady: impl Fn(&(String, String)) -> bool) -> Difference {
        let mut difference = Difference::default();
        for (name, expected) in &self.by_key {
            match came.by_key.get(name) {
                None => difference.missing.add(&name.0, &name.1),
                Some(versions) => {
                    if versions.len() > expected.len() {
                        difference.twice.add(&name.0, &name.1);
                    }
                    if versions.last() != expected.last() {
                        difference.different.add(&name.0, &name.1);
                    }
                }
            }
        }
        for name in came.by_key.keys().filter(|name| !self.by_key.contains_key(*name) && !unsteady(name)) {
            difference.surplus.add(&name.0, &name.1);
        }
        difference
    }

    pub(super) fn contains(&self, name: &(String, String)) -> bool {
        self.by_key.contains_key(name)
    }
}

/// What lies in a folder, sorted; nothing where it is not there.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let found = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        found => found?,
    };
    let mut found: Vec<PathBuf> = found.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    found.sort();
    Ok(found)
}

/// Whether the sink has finished a file: what is being written begins with a dot.
fn is_complete(file: &Path) -> bool {
    !file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(of: &[(&str, u32)]) -> Records {
        let keys = BTreeMap::from([("t.T".to_owned(), vec!["/id".to_owned()])]);
        let mut records = Records::default();
        for (id, value) in of {
            records.add("t.T", format!(r#"{{"id":"{id}","value":{value}}}"#).as_bytes(), &keys);
        }
        records
    }

    #[test]
    fn what_differs_is_told_by_its_kind() {
        let expected = records(&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("d", 2)]);
        assert!(expected.difference(&expected, |_| false).is_none());
        let came = records(&[("b", 2), ("c", 2), ("c", 1), ("d", 1), ("d", 2), ("e", 1)]);
        let Difference { missing, surplus, twice, different } = expected.difference(&came, |_| false);
        let found = |name: &str| Found { count: 1, examples: vec![name.to_owned()] };
        assert_eq!(
            (missing, surplus, twice, different),
            (found("t.T a"), found("t.T e"), found("t.T c"), found("t.T b"))
        );
        assert_eq!(expected.difference(&came, |name| name.1 == "e").surplus, Found::default());
        assert_eq!(expected.repeated(), found("t.T d"));
    }

    #[test]
    fn what_changes_by_itself_is_taken_out() {
        let mut one = records(&[("a", 1), ("b", 1), ("c", 1)]);
        let unsteady = one.keep_common(&records(&[("a", 1), ("b", 2), ("d", 1)]));
        assert_eq!((unsteady.count, one.len()), (3, 1), "b is another, c is gone, d is new: {unsteady:?}");
    }

    #[test]
    fn a_key_has_all_its_parts() {
        let record = serde_json::json!({"a": "x", "b": {"c": 1}});
        let pointers: Vec<String> = ["/a", "/b/c", "/none"].map(str::to_owned).to_vec();
        assert_eq!(key_of(&record, &pointers), "x 1 –");
    }
}

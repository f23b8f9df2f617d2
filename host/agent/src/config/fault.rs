//! What is wrong with a configuration: a list of faults, each with its place and its mend, collected to the end so that
//! a person mends a file once. Who finds a fault decides what it says; this only keeps and shows it.

use std::fmt;
use std::path::Path;

/// Faults shown at most. A file of the wrong kind can have one on every line; after this many they are only counted.
const FAULTS_MAX: usize = 50;

/// Characters of a value that a fault quotes at most.
const QUOTED_CHARS_MAX: usize = 60;

/// A place in a text: line and column from 1, in characters. 0 where there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ConfigFault {
    /// The file as it was named, or the flag that carried the text (`--integrations-json`).
    pub file: String,
    /// From 1; 0 where the fault has no line (a file that cannot be read).
    pub line: u32,
    /// From 1, in characters; 0 where the fault has no line.
    pub column: u32,
    /// The setting, for example `integrations[0].limits.memory`; empty for the whole file.
    pub path: String,
    /// What is wrong.
    pub fault: String,
    /// What to do about it.
    pub mend: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}\n    mend: {}", self.fault, self.mend)
    }
}

/// All that is wrong with a configuration, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The faults, at least one; at most [`FAULTS_MAX`].
    pub faults: Vec<ConfigFault>,
    /// Faults found beyond those listed.
    pub left_out: usize,
}

impl ConfigError {
    /// There is no configuration where one is looked for.
    #[must_use]
    pub fn none_found(folder: &std::path::Path) -> ConfigError {
        let fault = ConfigFault {
            file: folder.join("agent.yaml").display().to_string(),
            line: 0,
            column: 0,
            path: String::new(),
            fault: "there is no such file, and no other configuration was named".to_owned(),
            mend: "write it (`agent config schema` says what it may hold), or name another with -c FILE".to_owned(),
        };
        ConfigError { faults: vec![fault], left_out: 0 }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len() + self.left_out;
        let noun = if count == 1 { "fault" } else { "faults" };
        write!(f, "the configuration has {count} {noun}:")?;
        for fault in &self.faults {
            write!(f, "\n{fault}")?;
        }
        if self.left_out > 0 {
            write!(f, "\nand {} more", self.left_out)?;
        }
        Ok(())
    }
}

/// Collects faults. One for a whole reading, over all of its files.
#[derive(Debug, Default)]
pub(super) struct Faults {
    file: String,
    list: Vec<ConfigFault>,
    left_out: usize,
}

impl Faults {
    /// From now on faults stand in this file, or in the value of this flag.
    pub fn enter(&mut self, file: &str) {
        file.clone_into(&mut self.file);
    }

    /// Looks with other eyes: what the work finds wrong is its answer's, and not one of these faults.
    pub fn aside<T>(&self, work: impl FnOnce(&mut Faults) -> Option<T>) -> Result<T, Vec<ConfigFault>> {
        let mut other = Faults { file: self.file.clone(), ..Faults::default() };
        work(&mut other).ok_or(other.list)
    }

    /// Takes faults that were found aside.
    pub fn extend(&mut self, faults: impl IntoIterator<Item = ConfigFault>) {
        for fault in faults {
            let place = Place { line: fault.line, column: fault.column };
            self.add(place, &fault.path, fault.fault, fault.mend);
        }
    }

    /// The file, or the flag, that faults stand in now.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Adds a fault.
    pub fn add(&mut self, at: Place, path: &str, fault: impl Into<String>, mend: impl Into<String>) {
        let fault = ConfigFault {
            file: self.file.clone(),
            line: at.line,
            column: at.column,
            path: path.to_owned(),
            fault: fault.into(),
            mend: mend.into(),
        };
        // What an alias repeats is wrong once: at the place where it is written.
        let written_already = |other: &ConfigFault| {
            other.line > 0
                && (&other.file, other.line, other.column) == (&fault.file, fault.line, fault.column)
                && other.fault == fault.fault
        };
        if self.list.iter().any(written_already) {
            return;
        }
        if self.list.len() < FAULTS_MAX {
            self.list.push(fault);
        } else {
            self.left_out += 1;
        }
    }

    /// Whether nothing is wrong so far.
    pub fn none(&self) -> bool {
        self.list.is_empty()
    }

    /// The value, unless something is wrong.
    pub fn into_result<T>(mut self, value: Option<T>) -> Result<T, ConfigError> {
        match value {
            Some(value) if self.list.is_empty() => Ok(value),
            _ => {
                // In the order of the text; files in the order in which they were read.
                let mut files: Vec<&str> = Vec::new();
                let order: Vec<usize> = self.list.iter().map(|fault| index_of(&mut files, &fault.file)).collect();
                let mut ordered: Vec<(usize, ConfigFault)> = order.into_iter().zip(self.list.clone()).collect();
                ordered.sort_by_key(|(file, fault)| (*file, fault.line, fault.column));
                self.list = ordered.into_iter().map(|(_, fault)| fault).collect();
                debug_assert!(!self.list.is_empty(), "no value and no fault");
                Err(ConfigError { faults: self.list, left_out: self.left_out })
            }
        }
    }
}

/// Where a name stands in a list; added at its end if it is not there.
fn index_of<'a>(names: &mut Vec<&'a str>, name: &'a str) -> usize {
    names.iter().position(|known| *known == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    })
}

/// A value as a fault quotes it: escaped, and cut where it is long.
pub(super) fn quoted(text: &str) -> String {
    let mut out: String = text.chars().take(QUOTED_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTED_CHARS_MAX).is_some() {
        out.push('…');
    }
    format!("`{out}`")
}

/// A path as a fault quotes it: escaped, and whole, because what is cut off is what one looks for.
pub(super) fn quoted_path(path: &Path) -> String {
    format!("`{}`", path.display().to_string().escape_debug())
}

/// The candidate that was probably meant, if one is near enough.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    // The beginning of exactly one: an abbreviation. Two letters are the beginning of too much.
    let mut begun = candidates.iter().filter(|candidate| word.len() > 2 && candidate.to_lowercase().starts_with(&word));
    if let (Some(candidate), None) = (begun.next(), begun.next()) {
        return Some(candidate);
    }
    candidates
        .iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), *candidate))
        // A third of the letters wrong is still the same word to a person; more is another word.
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, remove, replace or swap with their neighbour to get from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(QUOTED_CHARS_MAX).collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                rows[i][j] = i + j;
                continue;
            }
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        assert_eq!(nearest("intergations", &["integrations", "sink"]), Some("integrations"));
        assert_eq!(nearest("Memory", &["memory", "cpu_time"]), Some("memory"));
        assert_eq!(nearest("mem", &["memory", "cpu_time"]), Some("memory"));
        assert_eq!(nearest("colour", &["integrations", "sink", "limits"]), None);
    }

    #[test]
    fn faults_beyond_the_ceiling_are_counted() {
        let mut faults = Faults::default();
        for line in 1..=60 {
            faults.add(Place { line, column: 1 }, "", "wrong", "mend it");
        }
        let error = faults.into_result::<()>(None).unwrap_err();
        assert_eq!((error.faults.len(), error.left_out), (50, 10));
        assert!(error.to_string().contains("60 faults") && error.to_string().ends_with("and 10 more"));
    }
}

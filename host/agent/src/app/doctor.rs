//! Looks for what is wrong with a root and its surroundings, and says what to do about it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::backlog;
use crate::error_chain;
use crate::secrets::Safe;
use crate::store::{Reader, StoreError, disk_bytes, free_bytes, owner};

/// Looks for what is wrong with a root and its surroundings. Reads only, also beside a running agent; what it cannot
/// look at is a check that failed and no error.
#[must_use]
pub fn doctor(root: &Path) -> DoctorReport {
    let mut checks = vec![check_root(root)];
    if checks[0].state == CheckState::Ok {
        checks.extend([check_lock(root), check_space(root), check_store(root)]);
        checks.extend(check_backlog(root));
        checks.push(check_component_cache(root));
        checks.extend(check_secrets(root));
    }
    DoctorReport { root: root.to_owned(), checks }
}

fn check(name: &str, state: CheckState, found: impl Into<String>, mend: Option<&str>) -> Check {
    Check { name: name.to_owned(), state, found: found.into(), mend: mend.map(str::to_owned) }
}

fn check_root(root: &Path) -> Check {
    use std::os::unix::fs::MetadataExt;
    let make = Some("run `agent export`, which makes one, or name another with --root");
    match std::fs::metadata(root.join("store")) {
        Err(error) => check("root", CheckState::NoRoot, format!("{}: {error}", root.display()), make),
        Ok(meta) if meta.mode() & 0o077 != 0 => check(
            "root",
            CheckState::Warning,
            format!(
                "{} can be read or written by others (mode {:o})",
                root.join("store").display(),
                meta.mode() & 0o777
            ),
            Some("chmod 700 it: it holds customers' data"),
        ),
        Ok(_) => check("root", CheckState::Ok, root.display().to_string(), None),
    }
}

/// Whether the secrets can be opened, where some are kept.
fn check_secrets(root: &Path) -> Option<Check> {
    let safe = Safe::of_root(root);
    if !safe.is_there() {
        return None;
    }
    Some(match safe.list() {
        Ok(secrets) => check("secrets", CheckState::Ok, format!("{} can be opened", secrets.len()), None),
        Err(error) => check("secrets", CheckState::Failed, error_chain(&error), Some("do as it says, and ask again")),
    })
}

fn check_lock(root: &Path) -> Check {
    match owner(root) {
        Some(pid) => check("root's lock", CheckState::Ok, format!("process {pid} is running on it"), None),
        None => check("root's lock", CheckState::Ok, "free", None),
    }
}

/// Free space under which an operator should be told: a busy export stages as much in minutes.
const SPACE_LOW_BYTES: u64 = 1 << 30;

fn check_space(root: &Path) -> Check {
    match free_bytes(root) {
        None => check("disk space", CheckState::Warning, "cannot be asked", None),
        Some(free) if free < SPACE_LOW_BYTES => check(
            "disk space",
            CheckState::Warning,
            format!("{} MiB free", free >> 20),
            Some("free some: exports fail cleanly when the disk is full, and go on afterwards"),
        ),
        Some(free) => check("disk space", CheckState::Ok, format!("{} MiB free", free >> 20), None),
    }
}

fn check_store(root: &Path) -> Check {
    let mend = "stop the agent; keep a copy of the `store` folder; then move the folder away: the next export begins anew, \
                sends everything once more, and what waits in the old outbox is in its `segments`";
    match Reader::open(root).and_then(|reader| reader.check()) {
        Ok(faults) if faults.is_empty() => {
            check("store", CheckState::Ok, format!("sound, {} bytes", disk_bytes(root)), None)
        }
        Ok(faults) => check("store", CheckState::Damaged, faults.join("; "), Some(mend)),
        Err(StoreError::Damaged { what, .. }) => check("store", CheckState::Damaged, what, Some(mend)),
        Err(error) => check("store", CheckState::Failed, error_chain(&error), None),
    }
}

fn check_backlog(root: &Path) -> Vec<Check> {
    let Ok(reader) = Reader::open(root) else { return Vec::new() };
    let mut checks = Vec::new();
    if let Ok(waiting) = reader.outbox().map(backlog) {
        let found = format!("{} batches, {} records wait", waiting.batches, waiting.records);
        checks.push(check("outbox", CheckState::Ok, found, None));
    }
    match reader.dead() {
        Ok(dead) if !dead.is_empty() => {
            let reasons: Vec<String> =
                dead.iter().take(3).map(|b| format!("{} {}: {}", b.integration, b.model, b.reason)).collect();
            let found = format!("{} batches were rejected for good ({})", dead.len(), reasons.join("; "));
            let mend = "mend what the sink says; their records come again with the next export that sends them";
            checks.push(check("dead letters", CheckState::Warning, found, Some(mend)));
        }
        Ok(_) => checks.push(check("dead letters", CheckState::Ok, "none", None)),
        // The store's own check says why.
        Err(_) => {}
    }
    checks
}

fn check_component_cache(root: &Path) -> Check {
    use std::os::unix::fs::MetadataExt;
    let folder = root.join("cache/components");
    match std::fs::metadata(&folder) {
        Ok(meta) if meta.mode() & 0o022 != 0 => check(
            "component cache",
            CheckState::Failed,
            format!("{} can be written by others", folder.display()),
            Some("delete it and look who has access: it holds native code that the agent runs"),
        ),
        _ => check("component cache", CheckState::Ok, folder.display().to_string(), None),
    }
}

/// What `doctor` found.
#[derive(Debug, Clone, Serialize)]
pub struct DoctorReport {
    pub root: PathBuf,
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What was looked at, in two or three words: `store`, `root's lock`, `disk space`.
    pub name: String,
    pub state: CheckState,
    /// What was found.
    pub found: String,
    /// What to do about it, where something is to be done.
    pub mend: Option<String>,
}

/// What a check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    Ok,
    /// Works, and should be looked at.
    Warning,
    /// Does not work.
    Failed,
    /// There is no root.
    NoRoot,
    /// The store is damaged.
    Damaged,
    /// Was not looked at.
    Skipped,
}

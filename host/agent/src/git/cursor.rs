//! Where a repository's export has got to: the cursor of its commit session, and the checkpoint that makes the next run
//! cheap.
//!
//! # What is true, and what only saves work
//!
//! The cursor is the truth. It lies in the store and is committed in one transaction with the commits' records, after
//! the records of people and of files' lines that belong to them. It names the newest commits that have been exported:
//! since commits come parents first, everything reachable from these has been. What a crash leaves between two of those
//! transactions is sent again and left out as unchanged. So no record is missing, and none is there twice.
//!
//! ripsrc's checkpoint is a file in the cache. It names the commits that were given out and holds the owners of all lines
//! at the tips, so that a run reads what is new and not the history below. It is never part of the truth:
//!
//! - A run that ends makes the next checkpoint in memory and puts its sum into the last cursor. That cursor is
//!   committed, and only then the file is saved, beside the old one, synced and renamed.
//! - A checkpoint is used only if the committed cursor names its sum. Then it was made by the run whose records that
//!   cursor stands for, and all that it calls given out is durable.
//! - A crash between commit and save leaves the checkpoint before, or none: its sum is not the one that the cursor
//!   names, so it is thrown away. The run computes the history anew and gives out what the cursor does not cover.
//! - The same happens where the file is damaged (ripsrc checks the sum against what the file holds), of another format,
//!   or deleted; where the store is another one than the file was made with; and after `force-historical`, which takes
//!   the cursor away. What had to be computed anew for such a reason is logged.
//! - A cursor in the middle of a run goes on naming the checkpoint that the run began with: what that one calls given
//!   out is covered by this cursor as well.
//!
//! What a record is made of besides the repository (ids, settings, the version of what is exported, where a shallow
//! history ends) is hashed into the cursor. If it is not the same, neither cursor nor checkpoint count: everything is
//! exported again, and what has not changed is left out. So an agent of another version, before or after, does no harm.

use std::collections::{BTreeSet, HashMap};

use ripsrc::{CommitRecord, Heads, Oid};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The version of what is exported, and of how ripsrc tells owners and counts. Another one makes the next run export
/// everything again.
const EXPORT_VERSION: u32 = 2;
/// The cursor of sessions whose place is told by that of the commits.
pub(super) const FOLLOWS: &str = "as the commits";
/// Bytes of the commits named in a cursor, which may have 64 KiB. Fewer than there are is harmless: what is given out
/// again is recognized as unchanged.
const HEADS_BYTES_MAX: usize = 60 << 10;

/// What has been exported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Cursor {
    version: u32,
    /// Everything that can be reached from these.
    heads: Vec<String>,
    /// Of what the records are made of besides the repository.
    made_of: String,
    /// The sum of the checkpoint that goes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Of refs and document, where all of a state has been exported: an equal one means that nothing has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

impl Cursor {
    /// The cursor that was committed, if it is one of this version and of records that are made of the same.
    pub(super) fn read(text: Option<String>, made_of: &str) -> Cursor {
        text.and_then(|text| serde_json::from_str::<Cursor>(&text).ok())
            .filter(|cursor| cursor.version == EXPORT_VERSION && cursor.made_of == made_of)
            .unwrap_or_else(|| Cursor { version: EXPORT_VERSION, made_of: made_of.to_owned(), ..Cursor::default() })
    }

    pub(super) fn heads(&self) -> Vec<Oid> {
        self.heads.iter().filter_map(|sha| Oid::from_hex(sha.as_bytes())).collect()
    }

    /// The cursor's text for these heads, the newest of them where there are more than fit.
    pub(super) fn text(&self, heads: &Newest, state: Option<String>, checkpoint: Option<String>) -> String {
        let cursor = Cursor { heads: heads.named(), state, checkpoint, ..self.clone() };
        serde_json::to_string(&cursor).unwrap_or_default()
    }
}

/// The newest commits of those that have been given out: none is the parent of another.
pub(super) struct Newest {
    /// With the committer's date, where it is known.
    found: HashMap<Oid, i64>,
}

impl Newest {
    pub(super) fn new(known: &[Oid]) -> Newest {
        Newest { found: known.iter().map(|oid| (*oid, i64::MIN)).collect() }
    }

    pub(super) fn add(&mut self, commit: &CommitRecord<'_>) {
        commit.parents.iter().for_each(|parent| {
            self.found.remove(parent);
        });
        self.found.insert(commit.sha, commit.committed.seconds);
    }

    /// At the end of a run everything reachable from its tips has been given out, and nothing else needs to be named:
    /// histories that were rewritten are forgotten.
    pub(super) fn settle(&mut self, tips: &BTreeSet<Oid>) {
        let dates = std::mem::take(&mut self.found);
        self.found = tips.iter().map(|oid| (*oid, dates.get(oid).copied().unwrap_or(i64::MIN))).collect();
    }

    fn named(&self) -> Vec<String> {
        let mut list: Vec<(std::cmp::Reverse<i64>, Oid)> =
            self.found.iter().map(|(oid, seconds)| (std::cmp::Reverse(*seconds), *oid)).collect();
        list.sort_unstable();
        let mut bytes = 0;
        let mut names: Vec<String> = list
            .into_iter()
            .map(|(_, oid)| oid.to_string())
            .take_while(|name| {
                bytes += name.len() + 3;
                bytes <= HEADS_BYTES_MAX
            })
            .collect();
        names.sort();
        names
    }
}

/// A hash of parts, each after its length.
#[derive(Default)]
pub(super) struct Parts(Sha256);

impl Parts {
    pub(super) fn add(&mut self, bytes: impl AsRef<[u8]>) -> &mut Parts {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    pub(super) fn add_heads(&mut self, heads: &Heads) -> &mut Parts {
        self.add(heads.default.as_deref().unwrap_or_default());
        self.add(heads.head.as_ref().map(Oid::as_bytes).unwrap_or_default());
        for (name, oid) in &heads.branches {
            self.add(name).add(oid.as_bytes());
        }
        self
    }

    /// In hexadecimal.
    pub(super) fn hash(&mut self) -> String {
        std::mem::take(&mut self.0).finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oids(count: u32, hex_len: usize) -> Vec<Oid> {
        (0..count).filter_map(|number| Oid::from_hex(format!("{number:0hex_len$x}").as_bytes())).collect()
    }

    #[test]
    fn a_cursor_has_room_for_all_it_names() {
        for hex_len in [40, 64] {
            let heads = oids(5_000, hex_len);
            let cursor = Cursor::read(None, &"0".repeat(64));
            let text = cursor.text(&Newest::new(&heads), Some("0".repeat(64)), Some("0".repeat(64)));
            assert!(text.len() <= 64 << 10, "{}", text.len());
            let read = Cursor::read(Some(text), &"0".repeat(64));
            assert!(read.heads().len() > 800);
            assert!(read.heads().iter().all(|oid| heads.contains(oid)));
        }
    }

    #[test]
    fn a_cursor_of_something_else_does_not_count() {
        let one = Cursor::read(None, "one");
        let text = one.text(&Newest::new(&oids(1, 40)), Some("s".into()), Some("c".into()));
        assert_eq!(Cursor::read(Some(text.clone()), "one").heads().len(), 1);
        assert_eq!(Cursor::read(Some(text.clone()), "other"), Cursor::read(None, "other"));
        for before in
            [text.replace("\"version\":2", "\"version\":1"), "{\"version\":1,\"heads\":[]}".into(), "7".into()]
        {
            assert_eq!(Cursor::read(Some(before), "one"), one);
        }
    }

    #[test]
    fn hashes_of_parts_are_unambiguous() {
        let hash = |parts: &[&str]| parts.iter().fold(&mut Parts::default(), |hash, part| hash.add(part)).hash();
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_ne!(hash(&["a", ""]), hash(&["a"]));
    }
}

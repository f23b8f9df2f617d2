//! The small store of one integration during a run: what is committed, and over it what waits for the next commit.

use std::collections::{BTreeSet, HashMap};

use super::SessionError;
use crate::store::{StateChange, now_secs};

const KEYS_MAX: usize = 1024;
/// Keys that change between two commits.
const CHANGED_MAX: usize = 4 * KEYS_MAX;
const KEY_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 64 << 10;
const TOTAL_BYTES_MAX: usize = 1 << 20;
const EXPIRES_SECS_MAX: u32 = 365 * 24 * 60 * 60;

pub(super) struct State {
    values: HashMap<String, (String, Option<i64>)>,
    bytes: usize,
    /// Keys that changed since the last commit.
    changed: BTreeSet<String>,
}

impl State {
    pub(super) fn new(rows: Vec<(String, String, Option<i64>)>) -> State {
        let bytes = rows.iter().map(|(key, value, _)| key.len() + value.len()).sum();
        let values = rows.into_iter().map(|(key, value, expires)| (key, (value, expires))).collect();
        State { values, bytes, changed: BTreeSet::new() }
    }

    pub(super) fn get(&mut self, key: &str) -> Result<Option<String>, SessionError> {
        check_key(key)?;
        match self.values.get(key) {
            Some((_, Some(expires))) if *expires <= now_secs() => {
                self.remove(key);
                Ok(None)
            }
            found => Ok(found.map(|(value, _)| value.clone())),
        }
    }

    pub(super) fn set(&mut self, key: &str, value: &str, expires_secs: Option<u32>) -> Result<(), SessionError> {
        check_key(key)?;
        let limit = |what: String| Err(SessionError::Limit(what));
        if value.len() > VALUE_BYTES_MAX {
            return limit(format!(
                "the value has {} bytes; the limit is {VALUE_BYTES_MAX} (state_value_bytes_max)",
                value.len()
            ));
        }
        if expires_secs.is_some_and(|secs| secs == 0 || secs > EXPIRES_SECS_MAX) {
            return Err(SessionError::Invalid(format!("a value expires after 1 to {EXPIRES_SECS_MAX} seconds")));
        }
        let old = self.values.get(key).map(|(old, _)| key.len() + old.len());
        if old.is_none() && self.values.len() >= KEYS_MAX {
            return limit(format!("there are {KEYS_MAX} keys (state_keys_max); delete some"));
        }
        // Keys that were set and deleted again wait for the commit too.
        if self.changed.len() >= CHANGED_MAX && !self.changed.contains(key) {
            return limit(format!("{CHANGED_MAX} keys have changed (state_changes_max); checkpoint first"));
        }
        let bytes = self.bytes - old.unwrap_or(0) + key.len() + value.len();
        if bytes > TOTAL_BYTES_MAX {
            return limit(format!(
                "all keys and values would have {bytes} bytes; the limit is {TOTAL_BYTES_MAX} (state_bytes_max)"
            ));
        }
        self.bytes = bytes;
        let expires = expires_secs.map(|secs| now_secs().saturating_add(i64::from(secs)));
        self.values.insert(key.to_owned(), (value.to_owned(), expires));
        self.note(key);
        Ok(())
    }

    pub(super) fn delete(&mut self, key: &str) -> Result<(), SessionError> {
        check_key(key)?;
        self.remove(key);
        Ok(())
    }

    fn remove(&mut self, key: &str) {
        if let Some((value, _)) = self.values.remove(key) {
            self.bytes -= key.len() + value.len();
            self.note(key);
        }
    }

    fn note(&mut self, key: &str) {
        if !self.changed.contains(key) {
            self.changed.insert(key.to_owned());
        }
    }

    /// Takes what waits for a commit.
    pub(super) fn take(&mut self) -> Vec<StateChange> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|key| StateChange { value: self.values.get(&key).cloned(), key }).collect()
    }

    /// The commit failed: its changes wait again.
    pub(super) fn restore(&mut self, changes: Vec<StateChange>) {
        changes.iter().for_each(|change| self.note(&change.key));
    }
}

fn check_key(key: &str) -> Result<(), SessionError> {
    match key.len() {
        0 => Err(SessionError::Invalid("the key is empty".into())),
        1..=KEY_BYTES_MAX => Ok(()),
        n => Err(SessionError::Limit(format!(
            "the key has {n} bytes; the limit is {KEY_BYTES_MAX} (state_key_bytes_max)"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_seen_at_once_and_taken_once() {
        let mut state = State::new(vec![("old".into(), "1".into(), None), ("gone".into(), "x".into(), Some(1))]);
        assert_eq!(state.get("old").unwrap().as_deref(), Some("1"));
        assert_eq!(state.get("gone").unwrap(), None, "it has expired");
        state.set("new", "2", None).unwrap();
        state.set("new", "3", Some(60)).unwrap();
        state.delete("old").unwrap();
        let changes: Vec<_> = state.take().into_iter().map(|c| (c.key, c.value.map(|v| v.0))).collect();
        assert_eq!(changes, [("gone".into(), None), ("new".into(), Some("3".into())), ("old".into(), None)]);
        assert!(state.take().is_empty());
    }

    #[test]
    fn limits() {
        let mut state = State::new(Vec::new());
        assert!(matches!(state.set("", "", None), Err(SessionError::Invalid(_))));
        assert!(matches!(state.set(&"k".repeat(257), "", None), Err(SessionError::Limit(_))));
        assert!(matches!(state.set("k", &"v".repeat((64 << 10) + 1), None), Err(SessionError::Limit(_))));
        assert!(matches!(state.set("k", "", Some(0)), Err(SessionError::Invalid(_))));
        let value = "v".repeat(60 << 10);
        let fit = (0..100).take_while(|i| state.set(&i.to_string(), &value, None).is_ok()).count();
        assert_eq!(fit, 17, "1 MiB in all");
        let mut state = State::new(Vec::new());
        assert_eq!((0..2000).take_while(|i| state.set(&i.to_string(), "", None).is_ok()).count(), KEYS_MAX);
        let mut state = State::new(Vec::new());
        let churn = |i: &usize| state.set(&i.to_string(), "", None).and_then(|()| state.delete(&i.to_string())).is_ok();
        assert_eq!((0..10_000).take_while(churn).count(), CHANGED_MAX);
        assert_eq!(state.take().len(), CHANGED_MAX);
        assert!(state.set("after a commit", "", None).is_ok());
    }
}

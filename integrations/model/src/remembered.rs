//! Which comments were sent of each thread, so that one that has gone can be told when its thread is read again. What moved last
//! is remembered, as much as a cursor has room for; of what is forgotten nothing is said.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use serde_json::json;

use crate::Stop;

/// Bytes in a cursor. It has room for 64 KiB, some of which are others'.
const BYTES_MAX: usize = 48_000;
/// Bytes in all cursors of a run, of which the host keeps 64 MiB with everything else that is said of sessions; and what there is
/// for one, however many there are.
const ALL_BYTES: usize = 24_000_000;
const BYTES_MIN: usize = 2_000;
/// Such cursors in a repository: of its issues, and of its pull requests.
const LISTS: usize = 2;
/// Bytes of ids that are kept in memory before what moved first is forgotten: far more than a cursor takes.
const MEMORY_BYTES_MAX: usize = 4 * BYTES_MAX;

thread_local! {
    /// Repositories that share the room.
    static AMONG: Cell<usize> = const { Cell::new(0) };
}

/// Says that so many repositories more share the room that there is in a run.
pub fn among(repositories: usize) {
    AMONG.set(AMONG.get() + repositories);
}

/// The room for one of them.
fn room(repositories: usize) -> usize {
    (ALL_BYTES / (LISTS * repositories.max(1))).clamp(BYTES_MIN, BYTES_MAX)
}

/// The comments of threads, by the threads' numbers.
#[derive(Debug, Default)]
pub struct Remembered {
    threads: HashMap<u64, Thread>,
    /// The threads in the order in which they moved.
    order: BTreeMap<u64, u64>,
    next: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Thread {
    ids: Vec<String>,
    place: u64,
}

impl Thread {
    fn bytes(&self) -> usize {
        self.ids.iter().map(|id| id.len() + 1).sum::<usize>() + 8
    }
}

#[derive(Debug, Default, Deserialize)]
struct Cursor {
    #[serde(default)]
    remembered: String,
}

impl Remembered {
    /// What a cursor has in its member `remembered`; nothing where there is none.
    #[must_use]
    pub fn of_cursor(cursor: Option<&str>) -> Remembered {
        let cursor: Cursor = cursor.and_then(|cursor| serde_json::from_str(cursor).ok()).unwrap_or_default();
        Remembered::parse(&cursor.remembered)
    }

    /// Reads what [`Remembered::to_text`] wrote; as far as it is that.
    #[must_use]
    pub fn parse(text: &str) -> Remembered {
        let mut remembered = Remembered::default();
        let Some((prefix, threads)) = text.split_once(' ') else { return remembered };
        // Those that moved last come first.
        for thread in threads.split(' ').rev() {
            let Some((number, ids)) = thread.split_once(':') else { continue };
            let Ok(number) = number.parse() else { continue };
            remembered.set(number, ids.split(',').map(|rest| format!("{prefix}{rest}")).collect());
        }
        remembered
    }

    /// It all as text, what moved last first, as far as there is room: the beginning that all ids share, and for each thread its
    /// number and the rests.
    #[must_use]
    pub fn to_text(&self) -> String {
        let most = room(AMONG.get());
        let newest = || self.order.values().rev().filter_map(|number| Some((number, self.threads.get(number)?)));
        let prefix = shared(newest().flat_map(|(_, thread)| &thread.ids));
        let mut text = prefix.to_owned();
        for (number, thread) in newest() {
            let rests: Vec<&str> = thread.ids.iter().map(|id| &id[prefix.len()..]).collect();
            let part = format!(" {number}:{}", rests.join(","));
            if text.len() + part.len() > most {
                // One that is too large by itself leaves room for others.
                if part.len() > most / 4 {
                    continue;
                }
                break;
            }
            text.push_str(&part);
        }
        text
    }

    /// The cursor of a session that has no other.
    #[must_use]
    pub fn to_cursor(&self) -> String {
        json!({ "remembered": self.to_text() }).to_string()
    }

    /// Holds the comments that a thread has now, all of them, against those that were sent of it. Of those that are missing
    /// `confirm` gives the ones that have gone in truth; these come back. The others stay remembered.
    ///
    /// # Errors
    /// Those of `confirm`; nothing is noted then.
    pub fn compare(
        &mut self,
        thread: u64,
        mut there: Vec<String>,
        confirm: impl FnOnce(&[String]) -> Result<Vec<String>, Stop>,
    ) -> Result<Vec<String>, Stop> {
        let missing = self.missing(thread, &there);
        let gone = if missing.is_empty() { Vec::new() } else { confirm(&missing)? };
        there.extend(missing.into_iter().filter(|id| !gone.contains(id)));
        self.set(thread, there);
        Ok(gone)
    }

    /// Those comments of a thread that are not among these any more.
    fn missing(&self, thread: u64, there: &[String]) -> Vec<String> {
        let Some(known) = self.threads.get(&thread) else { return Vec::new() };
        let there: HashSet<&String> = there.iter().collect();
        known.ids.iter().filter(|id| !there.contains(id)).cloned().collect()
    }

    /// Notes which comments a thread has now.
    fn set(&mut self, thread: u64, ids: Vec<String>) {
        self.forget(thread);
        // A text of another alphabet would not come back.
        let plain = |id: &String| {
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic() && !b":,\"\\".contains(&byte))
        };
        if ids.is_empty() || !ids.iter().all(plain) {
            return;
        }
        let kept = Thread { ids, place: self.next };
        self.bytes += kept.bytes();
        self.order.insert(self.next, thread);
        self.threads.insert(thread, kept);
        self.next += 1;
        while self.bytes > MEMORY_BYTES_MAX
            && let Some((_, oldest)) = self.order.first_key_value()
        {
            self.forget(*oldest);
        }
    }

    /// Forgets a thread, which has gone itself.
    pub fn forget(&mut self, thread: u64) {
        if let Some(known) = self.threads.remove(&thread) {
            self.order.remove(&known.place);
            self.bytes -= known.bytes();
        }
    }
}

/// The beginning that all of these have.
fn shared<'a>(mut ids: impl Iterator<Item = &'a String>) -> &'a str {
    let Some(first) = ids.next() else { return "" };
    let length = ids.fold(first.len(), |length, id| {
        first.bytes().zip(id.bytes()).take(length).take_while(|(one, other)| one == other).count()
    });
    // Ids are ASCII, as `set` has seen to.
    &first[..length]
}

#[cfg(test)]
mod tests {
    use super::{ALL_BYTES, BYTES_MAX, LISTS, Remembered, room};

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn what_is_missing_of_a_thread_is_found_after_a_way_through_a_cursor() {
        let mut remembered = Remembered::default();
        remembered.set(7, ids(&["IC_kwDOAB12", "IC_kwDOAB13", "IC_kwDOAB2"]));
        remembered.set(8, ids(&["IC_kwDOAB99"]));
        remembered.set(9, Vec::new());
        let text = remembered.to_text();
        assert_eq!(text, "IC_kwDOAB 8:99 7:12,13,2");
        let cursor = serde_json::json!({ "remembered": text, "more": 1 }).to_string();
        let remembered = Remembered::of_cursor(Some(&cursor));
        assert_eq!(remembered.to_text(), text);
        assert_eq!(remembered.missing(7, &ids(&["IC_kwDOAB13", "IC_kwDOAB14"])), ids(&["IC_kwDOAB12", "IC_kwDOAB2"]));
        assert_eq!(remembered.missing(9, &[]).len() + remembered.missing(1, &[]).len(), 0);
    }

    #[test]
    fn what_moved_last_is_remembered_within_the_room_there_is() {
        let mut remembered = Remembered::default();
        for thread in 0..20_000 {
            remembered.set(thread, (0..3).map(|place| format!("{}", 25_000_000 + thread * 10 + place)).collect());
        }
        let text = remembered.to_text();
        assert!(text.len() <= BYTES_MAX && text.len() > BYTES_MAX - 100, "{}", text.len());
        let back = Remembered::parse(&text);
        assert_eq!((back.missing(19_999, &[]).len(), back.missing(3, &[]).len()), (3, 0));
        assert!(back.threads.len() > 1_500, "{}", back.threads.len());
        // One that would take all of it is left out alone.
        remembered.set(7, (0..20_000).map(|id| (100_000 + id).to_string()).collect());
        let back = Remembered::parse(&remembered.to_text());
        assert_eq!((back.missing(7, &[]).len(), back.missing(19_999, &[]).len()), (0, 3));
    }

    #[test]
    fn many_repositories_share_the_room() {
        assert_eq!((room(0), room(1), room(200)), (BYTES_MAX, BYTES_MAX, BYTES_MAX));
        assert!(room(1_000) * LISTS * 1_000 <= ALL_BYTES && room(1_000) > 10_000);
        assert!(room(1_000_000) < 3_000);
    }

    #[test]
    fn what_is_no_memory_is_none() {
        for text in ["", "x", "x y", "x 1", "x y:1", "{}", "12 3:", " :"] {
            let _ = Remembered::parse(text).to_text();
        }
        assert_eq!(Remembered::of_cursor(Some("{\"since\":\"x\"}")).to_text(), "");
        assert_eq!(Remembered::of_cursor(None).to_text(), "");
        let mut remembered = Remembered::default();
        remembered.set(1, ids(&["a:b"]));
        remembered.set(1, ids(&["a,b", "ä"]));
        assert_eq!(remembered.to_text(), "");
        // The beginning may be all of an id.
        remembered.set(1, ids(&["12"]));
        let back = Remembered::parse(&remembered.to_text());
        assert_eq!(back.missing(1, &[]), ids(&["12"]));
    }
}

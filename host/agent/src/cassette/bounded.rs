//! Lists that are counted as they are read: a file of a few bytes an item must not become memory of hundreds.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::har::Entry;
use super::text::short;
use super::{NOTES_MAX, Note, REQUESTS_MAX};

/// Bytes of one answer of a host call: the largest are values of `state` and documents, of a mebibyte.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Header fields and parts of forms of all entries together: forty for each of as many as there may be, each of which takes more
/// room than its shortest text.
const PAIRS_OF_ALL_MAX: usize = 4 << 20;

/// A list of at most so many items.
#[derive(Debug)]
pub(super) struct Bounded<T, const MAX: usize>(pub Vec<T>);

impl<T, const MAX: usize> Default for Bounded<T, MAX> {
    fn default() -> Self {
        Bounded(Vec::new())
    }
}

impl<T: Serialize, const MAX: usize> Serialize for Bounded<T, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Items(PhantomData))
    }
}

struct Items<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Items<T, MAX> {
    type Value = Bounded<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Bounded<T, MAX>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            if list.len() >= MAX {
                return Err(A::Error::custom(format!("a list has more than {MAX} items")));
            }
            list.push(item);
        }
        Ok(Bounded(list))
    }
}

/// The entries of a file. A fault in one names it.
#[derive(Debug, Default)]
pub(super) struct Entries(pub Vec<Entry>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {REQUESTS_MAX} entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Entries, A::Error> {
        let (mut list, mut pairs) = (Vec::new(), 0);
        loop {
            let fault = |told: String| A::Error::custom(format!("log.entries[{}]: {told}", list.len()));
            let Some(entry) = entries.next_element::<Entry>().map_err(|error| fault(short(&error.to_string())))? else {
                return Ok(Entries(list));
            };
            pairs += entry.pairs();
            if pairs > PAIRS_OF_ALL_MAX {
                let told = format!("the entries up to here have more than {PAIRS_OF_ALL_MAX} header fields together");
                return Err(fault(told));
            }
            if list.len() >= REQUESTS_MAX {
                return Err(A::Error::custom(format!("log.entries has more than {REQUESTS_MAX} items")));
            }
            list.push(entry);
        }
    }
}

/// What host calls answered, by their names.
#[derive(Debug, Default)]
pub(super) struct Answers(pub BTreeMap<String, Vec<Note>>);

/// An answer in the file.
#[derive(Serialize, Deserialize)]
struct Written {
    answer: Box<RawValue>,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    times: u64,
}

fn one() -> u64 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_one(times: &u64) -> bool {
    *times == 1
}

impl Serialize for Answers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (call, notes) in &self.0 {
            let written: Vec<Written> = notes
                .iter()
                .filter_map(|note| {
                    // It was made as JSON.
                    Some(Written { answer: RawValue::from_string(note.answer.clone()).ok()?, times: note.times })
                })
                .collect();
            map.serialize_entry(call, &written)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Answers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ByCall)
    }
}

struct ByCall;

impl<'de> Visitor<'de> for ByCall {
    type Value = Answers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("answers of host calls by their names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut calls: A) -> Result<Answers, A::Error> {
        let (mut answers, mut count) = (BTreeMap::new(), 0);
        while let Some((call, written)) = calls.next_entry::<String, Bounded<Written, NOTES_MAX>>()? {
            // A name without an answer takes room too.
            count += written.0.len() + 1;
            if count > 2 * NOTES_MAX {
                return Err(A::Error::custom(format!("there are more than {NOTES_MAX} answers of host calls")));
            }
            if written.0.iter().any(|written| written.answer.get().len() > ANSWER_BYTES_MAX) {
                let call = short(&call);
                return Err(A::Error::custom(format!("an answer of {call} has more than {ANSWER_BYTES_MAX} bytes")));
            }
            let note =
                |Written { answer, times }: Written| Note { answer: String::from(Box::<str>::from(answer)), times };
            // One that came not at all says nothing.
            let notes = written.0.into_iter().filter(|written| written.times > 0).map(note).collect();
            if answers.contains_key(&call) {
                return Err(A::Error::custom(format!("the answers of {} are there twice", short(&call))));
            }
            answers.insert(call, notes);
        }
        Ok(Answers(answers))
    }
}

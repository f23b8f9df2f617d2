//! Plays a cassette: which entry answers a request (`Matching` says what both must have in common), and what a host call
//! answers. What was not matched, and what was left, is counted and named.

use std::collections::HashMap;
use std::time::UNIX_EPOCH;

use serde::de::DeserializeOwned;
use url::Url;

use super::{Asked, Came, Cassette, Exchange, Mask, Matching, Note, STEP, World};

/// Requests named of those without a match, and of those left.
const NAMED_MAX: usize = 20;

/// Bytes of a URL that are told: those that a request may have.
const NAME_BYTES_MAX: usize = 8 << 10;

/// What notes of repositories begin with: the call, and the repository behind it. Of these none may be left, as of requests.
const REPOSITORY: &str = "git.export-repo ";

/// Calls that may be made more often than they were: what they answer then is what they answered last.
const MAY_GO_ON: [&str; 1] = ["session.should-stop"];

/// What became of a tape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Use {
    /// Requests that were recorded, or made.
    pub requests: u64,
    /// Of those made, the ones that were answered by an entry of another body, or by one that had been played.
    pub loose: u64,
    /// Requests and calls for which the tape had nothing: the first of them, and how many.
    pub unmatched: Vec<String>,
    pub unmatched_count: u64,
    /// Entries that nobody asked for.
    pub unused: Vec<String>,
    pub unused_count: u64,
    /// What did not fit when it was recorded.
    pub left_out: u64,
}

pub(super) struct Player {
    exchanges: Vec<Exchange>,
    played: Vec<bool>,
    /// Entries by method and URL.
    lanes: HashMap<String, Lane>,
    notes: HashMap<String, Notes>,
    /// Whether what host calls answer is played: not in what a browser made, nor beside a store that is kept.
    has_answers: bool,
    wall: Readings,
    monotonic: Readings,
    mask: Mask,
    matching: Matching,
    used: Use,
}

/// Entries of one method and URL, in order.
#[derive(Default)]
struct Lane {
    entries: Vec<usize>,
    /// All before it have been played.
    first: usize,
}

struct Notes {
    notes: std::vec::IntoIter<Note>,
    now: Option<Note>,
    last: Option<String>,
}

/// A clock that is played.
struct Readings {
    readings: std::vec::IntoIter<u64>,
    last: u64,
}

impl Readings {
    fn new(readings: Vec<u64>, before: u64) -> Readings {
        Readings { readings: readings.into_iter(), last: before }
    }

    fn next(&mut self) -> u64 {
        let step = u64::try_from(STEP.as_nanos()).unwrap_or(u64::MAX);
        self.last = self.readings.next().unwrap_or(self.last.saturating_add(step));
        self.last
    }
}

impl Player {
    pub(super) fn new(cassette: Cassette, mask: Mask, matching: Matching) -> Player {
        let Cassette { exchanges, world, answers_are_live, .. } = cassette;
        let has_answers = world.is_some() && !answers_are_live;
        // A file without clocks begins when its first request was made.
        let began = exchanges.iter().map(|exchange| exchange.started).min();
        let began = began.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let World { wall, monotonic, notes, left_out, .. } = world.unwrap_or_default();
        let mut lanes: HashMap<String, Lane> = HashMap::new();
        for (index, exchange) in exchanges.iter().enumerate() {
            lanes.entry(lane(&exchange.asked)).or_default().entries.push(index);
        }
        let notes = notes
            .into_iter()
            .map(|(call, notes)| (call, Notes { notes: notes.into_iter(), now: None, last: None }))
            .collect();
        Player {
            played: vec![false; exchanges.len()],
            exchanges,
            lanes,
            notes,
            has_answers,
            wall: Readings::new(wall, u64::try_from(began.as_nanos()).unwrap_or(u64::MAX)),
            monotonic: Readings::new(monotonic, 0),
            mask,
            matching,
            used: Use { left_out, ..Use::default() },
        }
    }

    /// The answer to a request, or why there is none.
    pub(super) fn answer(&mut self, mut asked: Asked) -> Result<Came, String> {
        self.used.requests += 1;
        self.mask.asked(&mut asked);
        let found = self.find(&asked);
        match found {
            Some((index, exact)) => {
                self.played[index] = true;
                self.used.loose += u64::from(!exact);
                Ok(self.exchanges[index].came.clone())
            }
            None => {
                let name = named(&asked);
                self.unmatched(name.clone());
                let (same, body) = (self.lanes.contains_key(&lane(&asked)), asked.body.is_some());
                let why = match same {
                    true if body => "has it with another body, or fewer times",
                    true => "has it fewer times",
                    false => "has no such request",
                };
                Err(format!("the cassette {why}: {name}; record it again with --record"))
            }
        }
    }

    /// The entry for a request, and whether it is the very one.
    fn find(&mut self, asked: &Asked) -> Option<(usize, bool)> {
        let lane = self.lanes.get_mut(&lane(asked))?;
        while lane.entries.get(lane.first).is_some_and(|index| self.played[*index]) {
            lane.first += 1;
        }
        let body = |exchange: &Exchange| exchange.asked.body.clone().unwrap_or_default();
        let wanted = asked.body.clone().unwrap_or_default();
        let left = &lane.entries[lane.first..];
        let new = |index: &&usize| !self.played[**index];
        let exact = left.iter().filter(new).find(|index| body(&self.exchanges[**index]) == wanted);
        if let Some(index) = exact {
            return Some((*index, true));
        }
        if self.matching == Matching::Strict {
            return None;
        }
        let again = lane.entries.iter().rfind(|index| body(&self.exchanges[**index]) == wanted);
        if self.matching == Matching::Exact {
            return again.map(|index| (*index, false));
        }
        let other = again.or_else(|| left.iter().find(new)).or_else(|| lane.entries.last());
        other.map(|index| (*index, false))
    }

    /// What a host call answers.
    pub(super) fn note<T: DeserializeOwned>(&mut self, call: &str) -> Option<T> {
        if !self.has_answers {
            return None;
        }
        let answer = self.notes.get_mut(call).and_then(|notes| notes.next(MAY_GO_ON.contains(&call)));
        let answer = answer.and_then(|answer| serde_json::from_str(&answer).ok());
        if answer.is_none() && !MAY_GO_ON.contains(&call) {
            self.unmatched(call.to_owned());
        }
        answer
    }

    pub(super) fn unmatched(&mut self, name: String) {
        self.used.unmatched_count += 1;
        if self.used.unmatched.len() < NAMED_MAX {
            self.used.unmatched.push(name);
        }
    }

    pub(super) fn wall(&mut self) -> u64 {
        self.wall.next()
    }

    pub(super) fn monotonic(&mut self) -> u64 {
        self.monotonic.next()
    }

    pub(super) fn used(&self) -> Use {
        let mut used = self.used.clone();
        let entries = self.exchanges.iter().zip(&self.played).filter(|(_, played)| !**played);
        let mut repositories: Vec<&String> = self
            .notes
            .iter()
            .filter(|(call, notes)| call.starts_with(REPOSITORY) && notes.is_left())
            .map(|(call, _)| call)
            .collect();
        repositories.sort();
        let repositories = repositories.into_iter().filter(|_| self.has_answers).cloned();
        for name in entries.map(|(exchange, _)| named(&exchange.asked)).chain(repositories) {
            used.unused_count += 1;
            if used.unused.len() < NAMED_MAX {
                used.unused.push(name);
            }
        }
        used
    }
}

impl Notes {
    /// Whether there are answers that nobody has asked for.
    fn is_left(&self) -> bool {
        self.now.as_ref().is_some_and(|note| note.times > 0) || self.notes.len() > 0
    }

    fn next(&mut self, goes_on: bool) -> Option<String> {
        if self.now.as_ref().is_none_or(|note| note.times == 0) {
            self.now = self.notes.next();
        }
        match &mut self.now {
            Some(note) => {
                note.times = note.times.saturating_sub(1);
                self.last = Some(note.answer.clone());
                self.last.clone()
            }
            None => self.last.clone().filter(|_| goes_on),
        }
    }
}

/// What requests must have in common.
fn lane(asked: &Asked) -> String {
    format!("{} {}", asked.method, tidy(&asked.url))
}

/// A URL as everybody writes it, without its fragment.
fn tidy(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut url) => {
            url.set_fragment(None);
            url.to_string()
        }
        Err(_) => url.to_owned(),
    }
}

/// A request for a person. Secrets have been struck out of it.
fn named(asked: &Asked) -> String {
    let body = asked.body.as_ref().map(|body| format!(" with {} bytes", body.len())).unwrap_or_default();
    format!("{} {}{body}", crate::cut(&asked.method, NAME_BYTES_MAX), crate::cut(&asked.url, NAME_BYTES_MAX))
}

impl Came {
    /// What a guest is told of a request that has no answer on the tape.
    #[must_use]
    pub fn or_given_up(self) -> Came {
        match self {
            Came::Nothing => Came::Fault {
                kind: "other".to_owned(),
                text: "the cassette has no answer: the request was given up when it was recorded".to_owned(),
            },
            came => came,
        }
    }
}

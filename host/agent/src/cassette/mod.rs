//! Cassettes: all that a guest sees of the world, written down as it runs (`Tape::record`), and played to it later
//! (`Tape::replay`). What crosses is plain data; whose call a note belongs to is `hostcalls`', and what a file looks like is
//! `har`'s. Nothing here sends anything.
//!
//! What stands on a tape: each request as the guest gave it, before any secret was put in, with the answer that the guest
//! got, after the host's own tries; each reading of a clock; the seed from which all random bytes are made; and what those host
//! calls answered whose answer is not the guest's own doing, by the call's name, in order. A guest has no threads and no other
//! source of anything, so from the same tape it does the same, to the byte.

mod bounded;
mod fault;
mod har;
mod mask;
mod player;
mod random;
mod text;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use fault::{Fault, FaultError, Faults, Injected};
pub use har::{CassetteError, Origin};
pub use mask::Mask;
pub use player::Use;
pub use random::Stream;

use player::Player;

/// Readings kept of one clock. A guest that looks more often is in a loop; it gets the true time, and the count is told.
const READINGS_MAX: usize = 1 << 20;
/// Answers kept of host calls; equal ones in a row count once.
const NOTES_MAX: usize = 1 << 20;
/// Requests kept: what a person can still look at, and far more than a test needs.
const REQUESTS_MAX: usize = 100_000;
/// Bytes kept of bodies and of what host calls answered, since all of it is held until the end of the run.
const BODY_BYTES_MAX: usize = 128 << 20;
/// How far a clock goes with each reading beyond those on the tape.
const STEP: Duration = Duration::from_millis(1);

/// A request as the guest gave it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Bytes>,
    /// The name of the credential that the host is to put in.
    pub credential: Option<String>,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    Answer {
        status: u16,
        url: String,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// There is no answer, and why: the case of the door's error, and its text.
    Fault {
        kind: String,
        text: String,
    },
    /// The guest gave it up before there was an answer.
    Nothing,
}

/// One request on a tape, and when it was made.
#[derive(Debug, Clone)]
struct Exchange {
    asked: Asked,
    came: Came,
    started: SystemTime,
    took: Duration,
}

/// An answer of a host call as JSON text, which takes as much room as it looks like, and how often it came in a row.
#[derive(Debug, Clone, PartialEq)]
struct Note {
    answer: String,
    times: u64,
}

/// What a guest saw beside requests.
#[derive(Debug, Clone, Default, PartialEq)]
struct World {
    seed: [u8; 32],
    /// Readings in nanoseconds: since 1970, and since some point.
    wall: Vec<u64>,
    monotonic: Vec<u64>,
    notes: BTreeMap<String, Vec<Note>>,
    /// What did not fit, requests and notes and readings together.
    left_out: u64,
}

/// What a request and an entry must have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Matching {
    /// Method and URL; an entry of the same body goes first, and one that was played may be played again.
    #[default]
    Loose,
    /// Method, URL and body; an entry may be played again, and what is left does not matter: of a run that takes up another.
    Exact,
    /// Method, URL and body, each entry once.
    Strict,
}

/// A cassette: what was recorded, or what a file says.
#[derive(Debug, Clone)]
pub struct Cassette {
    exchanges: Vec<Exchange>,
    /// None in a file that a browser or a proxy has made.
    world: Option<World>,
    origin: Option<Origin>,
    answers_are_live: bool,
}

impl Cassette {
    /// What was run when it was recorded, if the agent recorded it.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// Leaves to the host what host calls answer; requests, clocks and random bytes are still the cassette's.
    pub fn forget_answers(&mut self) {
        self.answers_are_live = true;
    }
}

/// What is written, or played. Clones share it.
#[derive(Clone)]
pub struct Tape {
    shared: Arc<Shared>,
}

struct Shared {
    began: Instant,
    seed: [u8; 32],
    mode: Mutex<Mode>,
    replays: bool,
}

enum Mode {
    Record(Box<Recorder>),
    Replay(Box<Player>),
}

struct Recorder {
    mask: Mask,
    exchanges: Vec<Exchange>,
    body_bytes: usize,
    notes: usize,
    world: World,
}

/// A request that is being recorded, by its place; none where there is no room for it.
#[derive(Debug, Clone, Copy)]
pub struct Place(Option<usize>);

/// What the tape says when a request is made.
pub enum Turn {
    /// It goes out, and what comes of it is told to [`Tape::came`].
    Record(Place),
    /// This is the answer, or why the tape has none.
    Play(Result<Came, String>),
}

impl Tape {
    /// An empty tape. What `mask` knows does not get onto it; `seed` is where the guest's random bytes come from.
    #[must_use]
    pub fn record(mask: Mask, seed: [u8; 32]) -> Tape {
        let world = World { seed, ..World::default() };
        let recorder = Recorder { mask, exchanges: Vec::new(), body_bytes: 0, notes: 0, world };
        Tape::new(seed, false, Mode::Record(Box::new(recorder)))
    }

    /// A tape that is played. `mask` strikes out of the guest's requests what was struck out when they were recorded.
    #[must_use]
    pub fn replay(cassette: Cassette, mask: Mask, matching: Matching) -> Tape {
        let seed = cassette.world.as_ref().map(|world| world.seed).unwrap_or_default();
        Tape::new(seed, true, Mode::Replay(Box::new(Player::new(cassette, mask, matching))))
    }

    fn new(seed: [u8; 32], replays: bool, mode: Mode) -> Tape {
        Tape { shared: Arc::new(Shared { began: Instant::now(), seed, mode: Mutex::new(mode), replays }) }
    }

    /// A lock whose holder panicked still holds what is whole: each note is one push.
    fn mode(&self) -> MutexGuard<'_, Mode> {
        self.shared.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is played, so that nothing goes out.
    #[must_use]
    pub fn replays(&self) -> bool {
        self.shared.replays
    }

    /// The random bytes of this name: the same for the same tape.
    #[must_use]
    pub fn random(&self, name: &str) -> Stream {
        Stream::new(&self.shared.seed, name)
    }

    /// A request is made. To be called in the order in which the guest makes them.
    #[must_use]
    pub fn asks(&self, asked: Asked) -> Turn {
        match &mut *self.mode() {
            Mode::Record(recorder) => Turn::Record(recorder.asks(asked)),
            Mode::Replay(player) => Turn::Play(player.answer(asked)),
        }
    }

    /// What came of a request that was let out.
    pub fn came(&self, place: Place, came: Came) {
        if let Mode::Record(recorder) = &mut *self.mode() {
            recorder.came(place, came);
        }
    }

    /// What a host call answers: what is on the tape, or what `live` gives, which is noted.
    pub fn observe<T: Serialize + DeserializeOwned>(&self, call: &str, live: impl FnOnce() -> T) -> T {
        if let Some(played) = self.played(call) {
            return played;
        }
        let answer = live();
        self.note(call, &answer);
        answer
    }

    /// What is on the tape for this call, if it is played and has something.
    pub fn played<T: DeserializeOwned>(&self, call: &str) -> Option<T> {
        match &mut *self.mode() {
            Mode::Record(_) => None,
            Mode::Replay(player) => player.note(call),
        }
    }

    /// Which of so many things had come, as it is on the tape if that is played: each once, in its order. A thing that is none of
    /// them is told: the guest waits for others than it did. Where nothing else is left, nothing is on the tape.
    pub fn played_first(&self, call: &str, count: usize) -> Option<Vec<u32>> {
        let found = self.played::<Vec<u32>>(call)?;
        let (on_tape, mut seen) = (found.len(), vec![false; count]);
        let is_new = |index: &u32| {
            let place = usize::try_from(*index).ok().and_then(|index| seen.get_mut(index));
            place.is_some_and(|seen| !std::mem::replace(seen, true))
        };
        let found: Vec<u32> = { found }.into_iter().filter(is_new).collect();
        if found.len() < on_tape {
            self.differs(format!("{call}, for other things"));
        }
        (on_tape == 0 || !found.is_empty()).then_some(found)
    }

    /// Notes what a call has answered.
    pub fn note<T: Serialize>(&self, call: &str, answer: &T) {
        if let Mode::Record(recorder) = &mut *self.mode() {
            // What is noted are texts and numbers: they can be written.
            recorder.note(call, serde_json::to_string(answer).unwrap_or_default());
        }
    }

    /// The guest gave something that is not what it gave when this was recorded.
    pub fn differs(&self, what: String) {
        if let Mode::Replay(player) = &mut *self.mode() {
            player.unmatched(what);
        }
    }

    /// The time of day, since 1970.
    #[must_use]
    pub fn wall(&self) -> Duration {
        let live = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Duration::from_nanos(match &mut *self.mode() {
            Mode::Record(recorder) => reading(&mut recorder.world.wall, &mut recorder.world.left_out, live),
            Mode::Replay(player) => player.wall(),
        })
    }

    /// The time since some point, nanoseconds.
    #[must_use]
    pub fn monotonic(&self) -> u64 {
        let live = self.shared.began.elapsed();
        match &mut *self.mode() {
            Mode::Record(recorder) => reading(&mut recorder.world.monotonic, &mut recorder.world.left_out, live),
            Mode::Replay(player) => player.monotonic(),
        }
    }

    /// What was recorded so far, with what was run; none of a tape that is played.
    #[must_use]
    pub fn cassette(&self, origin: Origin) -> Option<Cassette> {
        match &*self.mode() {
            Mode::Record(recorder) => Some(Cassette {
                exchanges: recorder.exchanges.clone(),
                world: Some(recorder.world.clone()),
                origin: Some(origin),
                answers_are_live: false,
            }),
            Mode::Replay(_) => None,
        }
    }

    /// The file of what was recorded; none of a tape that is played.
    #[must_use]
    pub fn write(&self, origin: Origin) -> Option<String> {
        let cassette = self.cassette(origin)?;
        match &*self.mode() {
            Mode::Record(recorder) => Some(har::write(&cassette, &recorder.mask)),
            Mode::Replay(_) => None,
        }
    }

    /// What became of the tape.
    #[must_use]
    pub fn used(&self) -> Use {
        match &*self.mode() {
            Mode::Record(recorder) => {
                Use { requests: recorder.exchanges.len() as u64, left_out: recorder.world.left_out, ..Use::default() }
            }
            Mode::Replay(player) => player.used(),
        }
    }
}

impl Cassette {
    /// Reads a HAR file.
    ///
    /// # Errors
    /// It is no HAR, or one of a form that this agent does not know: what is wrong, where, and what to do.
    pub fn read(bytes: &[u8]) -> Result<Cassette, CassetteError> {
        har::read(bytes)
    }
}

impl Recorder {
    fn asks(&mut self, mut asked: Asked) -> Place {
        let bytes = asked.body.as_ref().map_or(0, Bytes::len);
        if self.exchanges.len() >= REQUESTS_MAX || self.body_bytes + bytes > BODY_BYTES_MAX {
            self.world.left_out += 1;
            return Place(None);
        }
        self.body_bytes += bytes;
        self.mask.asked(&mut asked);
        let exchange = Exchange { asked, came: Came::Nothing, started: SystemTime::now(), took: Duration::default() };
        self.exchanges.push(exchange);
        Place(Some(self.exchanges.len() - 1))
    }

    fn came(&mut self, Place(place): Place, mut came: Came) {
        let Some(exchange) = place.and_then(|place| self.exchanges.get_mut(place)) else { return };
        exchange.took = exchange.started.elapsed().unwrap_or_default();
        if let Came::Answer { body, .. } = &mut came {
            if self.body_bytes + body.len() > BODY_BYTES_MAX {
                self.world.left_out += 1;
                return;
            }
            self.body_bytes += body.len();
        }
        self.mask.came(&mut came);
        exchange.came = came;
    }

    fn note(&mut self, call: &str, answer: String) {
        let notes = self.world.notes.entry(call.to_owned()).or_default();
        let full = self.body_bytes + answer.len() > BODY_BYTES_MAX || self.notes >= NOTES_MAX;
        match notes.last_mut() {
            Some(last) if last.answer == answer => last.times += 1,
            _ if full => self.world.left_out += 1,
            _ => {
                self.body_bytes += answer.len();
                self.notes += 1;
                notes.push(Note { answer, times: 1 });
            }
        }
    }
}

/// Notes a reading of a clock.
fn reading(kept: &mut Vec<u64>, left_out: &mut u64, live: Duration) -> u64 {
    let nanos = u64::try_from(live.as_nanos()).unwrap_or(u64::MAX);
    if kept.len() < READINGS_MAX {
        kept.push(nanos);
    } else {
        *left_out += 1;
    }
    nanos
}

#[cfg(test)]
mod tests;

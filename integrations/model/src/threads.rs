//! Lists of issues and of pull requests, as every source has them: read once from the first to the last, and then only what was
//! updated since the last run began. What the list and the host say is kept here; how a list is asked for, and what becomes
//! of an item, is a [`Source`]'s.
//!
//! The cursor is no time of a clock of ours: it is the newest update that the server had told of when the run began, so
//! that clocks which differ lose nothing. What changes while a run is under way is newer than that, and comes with the next
//! run. The first read goes in the order of creation, which nothing changes, and goes on midway after a stop.
//!
//! What has gone is said by nothing but the counts: only where these differ from what was exported is the list of all numbers
//! read, and each that is missing is asked for by itself before a record says that it has gone.

use std::collections::{BTreeSet, HashMap};

use agent_sdk::sweep::Ids;
use agent_sdk::updated::{earlier, is_before};
use agent_sdk::{Error, Model, Result, Session};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::deletions::Accepted;
use crate::notes::Notes;
use crate::{SET_BYTES_MAX, Stop};

/// Seconds by which a run reaches back before the newest that was known: sources answer from copies that are behind.
pub const OVERLAP_SECS: u32 = 120;
/// Pages between commits. A kill costs so many at most, and a commit costs syncs to disk.
const PAGES_PER_COMMIT: u32 = 10;
/// Pages in a row that may bring nothing new, before the server is taken to repeat itself for ever.
const STALE_PAGES_MAX: u32 = 20;
/// Runs in which what was left out is asked for again: it may have been a bad moment of the server's. After them it is asked for
/// when it moves, so that one that stays wrong costs nothing.
const AGAIN_RUNS_MAX: u32 = 3;
/// So many are remembered for that; more is no slip of one item.
const AGAIN_MAX: usize = 100;
/// Numbers of a page that are remembered where a run stops in the middle of it. They share the room of a cursor with those that
/// are known.
const DONE_MAX: usize = 1_000;

/// The newest of something, and how many there are, as a server tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    /// None where the server does not say.
    #[serde(default)]
    pub count: Option<u64>,
    #[serde(default)]
    pub updated_at: Option<String>,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Updates from here on (RFC 3339); none for the first read, which goes in the order of creation.
    pub since: Option<&'a str>,
    /// The position at which an earlier run had stopped.
    pub after: Option<&'a str>,
}

/// One page.
#[derive(Debug, Default)]
pub struct Page {
    pub nodes: Vec<Value>,
    /// How many items the list has in all, where it was asked for.
    pub total: Option<u64>,
    /// Where the next page begins; none after the last.
    pub next: Option<String>,
    /// What the server could not give, for people.
    pub left_out: Vec<String>,
}

/// What every item says of itself.
#[derive(Debug, Deserialize)]
pub struct Head {
    #[serde(alias = "iid")]
    pub number: u64,
    #[serde(alias = "updatedAt")]
    pub updated_at: String,
}

/// Why an item brings no record.
pub enum Refused {
    /// It is not what it should be.
    Node(String),
    /// The host or the server does not let it go on.
    Stop(Stop),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused::Stop(error.into())
    }
}

impl From<Stop> for Refused {
    fn from(stop: Stop) -> Refused {
        Refused::Stop(stop)
    }
}

/// What is found under a number.
pub enum Looked {
    There(Value),
    /// There is nothing under it.
    Gone,
    /// It is not to be had just now.
    Unknown,
}

/// Issues or pull requests of one repository, as a source has them.
pub trait Source {
    /// The model that the cursor belongs to.
    type Main: Model;
    /// A walk over the list that is under way.
    type Walk;
    /// What one of them is called.
    const NAME: &'static str;
    /// So many are looked up by number at a time.
    const LOOK_UP_PAGE: usize;
    /// Whether updates come newest first, so that one which is older than was asked for ends the list.
    const NEWEST_FIRST: bool;

    /// Where it is noted what was not as it should be.
    fn notes(&mut self) -> &mut Notes;
    /// The large deletions that are believed, and what the repository is called in them.
    fn accepted(&self) -> (&Accepted, &str);
    /// Begins to read a part of the list.
    fn walk(&mut self, part: Part<'_>) -> Self::Walk;
    /// The next page; none after the last.
    fn next(&mut self, walk: &mut Self::Walk) -> Result<Option<Page>, Stop>;
    /// How many are completed and sent at a time. What was sent is not asked for again where a budget ends in the middle of a page,
    /// so that every run gets on, however small the budget is.
    fn completed_at_once(&self) -> usize;
    /// Adds to items that are to be sent what their page did not hold.
    fn complete(&mut self, nodes: &mut [Value]) -> Result<(), Stop>;
    /// Sends the records of an item.
    fn take(&mut self, main: &mut Session<Self::Main>, node: Value) -> Result<(), Refused>;
    /// The numbers of all of them; none where the list cannot be trusted.
    fn numbers(&mut self) -> Result<Option<Ids>, Stop>;
    /// What is under these numbers, in their order.
    fn look_up(&mut self, numbers: &[u64]) -> Result<Vec<Looked>, Stop>;
    /// Says that there is nothing under a number any more.
    fn gone(&mut self, main: &mut Session<Self::Main>, number: u64) -> Result<()>;
    /// Commits whoever was met on the way, and the records that hang on those of the main model. After a kill the pages that
    /// are committed are not read again, and nobody would meet them.
    fn checkpoint(&mut self, cursor: &str) -> Result<()>;
}

/// What the list looked like when it had been read.
#[derive(Debug, Default)]
pub struct Seen {
    /// How many there are, by the server.
    total: Option<u64>,
    /// Numbers that were exported, in this run and before; none where they are too many to remember.
    known: Option<Ids>,
    /// Whether this run began in the middle, so that it has not seen all that was sent since the last complete one.
    pub resumed: bool,
    /// The newest update that was seen.
    newest: Option<String>,
    /// Whether something was left out that the next run is to ask for again.
    again: bool,
    /// A deletion that is not believed, and what would accept it.
    pub refused: Option<String>,
}

impl Seen {
    /// Whether the next run has nothing to come back for: everything was had, to the newest that the server had told of.
    pub fn is_caught_up(&self, told: &Latest) -> bool {
        let newest = match (self.newest.as_deref(), told.updated_at.as_deref()) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(seen), Some(told)) => !is_before(seen, told),
        };
        newest && !self.again
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    /// The newest update that was known when the last complete run began; none before the first is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// Whether a complete run has been.
    #[serde(default)]
    complete: bool,
    /// The newest update when the run began that is not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    began: Option<String>,
    /// Where it had come to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// The numbers that it had sent of what comes from there on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    done: String,
    /// The numbers that were exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known: Option<String>,
    /// The numbers that were left out, and are to be asked for again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    again: BTreeSet<u64>,
    /// How many runs have done so.
    #[serde(default)]
    again_runs: u32,
}

impl Cursor {
    fn text(&self, known: Option<&Ids>) -> String {
        let known = known.map(Ids::to_text).filter(|text| text.len() <= SET_BYTES_MAX);
        json!(Cursor { known, ..self.clone() }).to_string()
    }
}

/// A list that is being read.
pub struct Reader<S: Source> {
    pub source: S,
    main: Session<S::Main>,
    cursor: Cursor,
    pub seen: Seen,
    /// The time of the last update of each number that this run has sent.
    sent: HashMap<u64, String>,
    /// Numbers that brought no record.
    refused: BTreeSet<u64>,
    /// Numbers that an earlier run has sent, which stopped before it had come to its end, and that this one has sent since the
    /// position of the cursor.
    done: Ids,
}

impl<S: Source> Reader<S> {
    pub fn open(main: Session<S::Main>, source: S) -> Reader<S> {
        // A cursor of another form begins anew; what is known already is left out by the host.
        let cursor: Cursor =
            main.last_processed().and_then(|cursor| serde_json::from_str(&cursor).ok()).unwrap_or_default();
        let begins = cursor == Cursor::default();
        let known = cursor.known.as_deref().and_then(Ids::parse).or(begins.then(Ids::new));
        let seen = Seen { known, resumed: cursor.after.is_some(), ..Seen::default() };
        let done = Ids::parse(&cursor.done).unwrap_or_default();
        Reader { source, main, cursor, seen, sent: HashMap::new(), refused: BTreeSet::new(), done }
    }

    /// Closes the main session; what is left is the source, and what was seen.
    pub fn close(self) -> Result<(S, Seen)> {
        self.main.done(None)?;
        Ok((self.source, self.seen))
    }

    /// Reads the list, and looks for what has gone or was missed. Whatever ends it, what was read is committed.
    pub fn read(&mut self, latest: &Latest) -> Result<(), Stop> {
        self.seen.total = latest.count;
        if self.cursor.began.is_none() {
            self.cursor.began.clone_from(&latest.updated_at);
        }
        let read = self.read_pages().and_then(|()| self.read_again());
        match read {
            Ok(()) => {
                // An empty list has no newest, and keeps what was there.
                let since = self.cursor.began.take().or(self.cursor.since.take());
                let mut again = std::mem::take(&mut self.refused);
                let again_runs = if again.is_subset(&self.cursor.again) { self.cursor.again_runs + 1 } else { 0 };
                if again.len() > AGAIN_MAX || again_runs >= AGAIN_RUNS_MAX {
                    again.clear();
                }
                self.seen.again = !again.is_empty();
                self.cursor = Cursor { since, complete: true, again, again_runs, ..Cursor::default() };
                self.checkpoint()?;
                self.sweep()
            }
            Err(stop) => {
                self.cursor.done = self.done.to_text();
                self.checkpoint()?;
                Err(stop)
            }
        }
    }

    /// Asks once more for what the last run left out and this one has not met.
    fn read_again(&mut self) -> Result<(), Stop> {
        let again: Vec<u64> =
            self.cursor.again.iter().filter(|number| !self.sent.contains_key(*number)).copied().collect();
        self.fetch(&again)
    }

    /// Commits what was sent, with the cursor as it is.
    fn checkpoint(&mut self) -> Result<()> {
        let cursor = self.cursor.text(self.seen.known.as_ref());
        self.source.checkpoint(&cursor)?;
        self.main.checkpoint(&cursor)
    }

    fn read_pages(&mut self) -> Result<(), Stop> {
        let first_run = !self.cursor.complete;
        let since = self.cursor.since.as_deref().and_then(|since| earlier(since, OVERLAP_SECS)).filter(|_| !first_run);
        let after = self.cursor.after.clone();
        let mut walk = self.source.walk(Part { since: since.as_deref(), after: after.as_deref() });
        let (mut pages, mut stale) = (0, 0);
        while let Some(mut page) = self.source.next(&mut walk)? {
            page.left_out.iter().for_each(|what| self.source.notes().left_out(&format!("{} {what}", S::NAME)));
            self.seen.total = page.total.or(self.seen.total);
            let (wanted, reached) = self.sift(std::mem::take(&mut page.nodes), since.as_deref());
            stale = if wanted.is_empty() { stale + 1 } else { 0 };
            self.send_all(wanted)?;
            if first_run {
                self.cursor.after.clone_from(&page.next);
                self.cursor.done.clear();
                self.done = Ids::new();
            }
            pages += 1;
            let done = u32::try_from(self.sent.len()).unwrap_or(u32::MAX);
            self.main.progress(done, self.seen.total.and_then(|total| u32::try_from(total).ok()));
            if reached && S::NEWEST_FIRST {
                break;
            }
            if stale > STALE_PAGES_MAX {
                let why = format!("{stale} pages in a row had nothing new; what came before is kept");
                return Err(Error::msg(format!("the list of {} does not end: {why}", S::NAME)).into());
            }
            if pages % PAGES_PER_COMMIT == 0 {
                self.checkpoint()?;
            }
            if page.next.is_some() && self.main.should_stop() {
                return Err(Stop::Asked);
            }
        }
        Ok(())
    }

    /// The nodes of a page that are to be sent, and whether the page reaches back far enough.
    fn sift(&mut self, nodes: Vec<Value>, since: Option<&str>) -> (Vec<Value>, bool) {
        let mut reached = false;
        let mut wanted = Vec::with_capacity(nodes.len());
        for node in nodes {
            let head: Head = match crate::notes::read(&node) {
                Ok(head) => head,
                Err(why) => {
                    let number = number(&node).map_or_else(|| "null".to_owned(), |number| number.to_string());
                    self.source.notes().left_out(&format!("{} {number}: {why}", S::NAME));
                    continue;
                }
            };
            // One that nobody knew is wanted however old it is: it has come back, or from elsewhere.
            let missed = self.seen.known.as_mut().is_some_and(|known| known.insert(head.number));
            if self.seen.newest.as_deref().is_none_or(|newest| is_before(newest, &head.updated_at)) {
                self.seen.newest = Some(head.updated_at.clone());
            }
            // The page is looked at to its end all the same: servers sort by what they had a moment ago.
            let old = since.is_some_and(|since| is_before(&head.updated_at, since));
            reached |= old;
            if old && !missed {
                continue;
            }
            if self.done.contains(head.number) {
                self.sent.insert(head.number, head.updated_at);
            } else if self.sent.get(&head.number) != Some(&head.updated_at) {
                self.sent.insert(head.number, head.updated_at);
                wanted.push(node);
            }
        }
        (wanted, reached)
    }

    /// Completes nodes and sends their records, some at a time.
    fn send_all(&mut self, mut nodes: Vec<Value>) -> Result<(), Stop> {
        let mut rest = nodes.as_mut_slice();
        while !rest.is_empty() {
            let (some, more) = rest.split_at_mut(rest.len().min(self.source.completed_at_once().max(1)));
            rest = more;
            self.source.complete(some)?;
            for node in some {
                let number = number(node);
                self.send(node.take())?;
                let refused = number.is_none_or(|number| self.refused.contains(&number));
                if !refused && self.done.len() < DONE_MAX {
                    self.done.extend(number);
                }
            }
        }
        Ok(())
    }

    /// Sends the records of one node.
    fn send(&mut self, node: Value) -> Result<(), Stop> {
        let number = number(&node);
        let name = number.map_or_else(|| "without a number".to_owned(), |number| number.to_string());
        match self.source.take(&mut self.main, node) {
            Ok(()) => drop(number.map(|number| self.refused.remove(&number))),
            Err(Refused::Node(why)) => {
                self.source.notes().left_out(&format!("{} {name}: {why}", S::NAME));
                self.refused.extend(number);
            }
            Err(Refused::Stop(stop)) => return Err(stop),
        }
        Ok(())
    }

    /// Holds what was exported against what is there, where the counts differ: what has gone is said, what was missed is
    /// exported. Whatever comes of it, the next run begins with what is there, so that nothing is looked for twice.
    fn sweep(&mut self) -> Result<(), Stop> {
        let (Some(known), Some(total)) = (&self.seen.known, self.seen.total) else { return Ok(()) };
        if known.len() as u64 == total {
            let (accepted, place) = self.source.accepted();
            return Ok(accepted.spend::<S::Main>(place)?);
        }
        let Some(listed) = self.source.numbers()? else { return Ok(()) };
        let missed: Vec<u64> = listed.iter().filter(|number| !known.contains(*number)).collect();
        let (accepted, place) = self.source.accepted();
        match accepted.gone::<S::Main>(place, known, &listed)? {
            Ok(missing) => self.say_gone(&missing)?,
            Err(refused) => {
                self.source.notes().refused(refused.clone());
                self.seen.refused = Some(refused);
            }
        }
        self.fetch(&missed)?;
        self.checkpoint()?;
        Ok(())
    }

    /// Says which of these have gone, each after having been asked for by itself. What was said is committed as it goes: a large
    /// deletion may take more than one run's budget.
    fn say_gone(&mut self, missing: &[u64]) -> Result<(), Stop> {
        for batch in missing.chunks(S::LOOK_UP_PAGE) {
            let looked = self.source.look_up(batch)?;
            for (number, _) in batch.iter().zip(looked).filter(|(_, looked)| matches!(looked, Looked::Gone)) {
                self.source.gone(&mut self.main, *number)?;
                if let Some(known) = &mut self.seen.known {
                    known.remove(*number);
                }
            }
            if missing.len() > S::LOOK_UP_PAGE {
                self.checkpoint()?;
            }
        }
        let (accepted, place) = self.source.accepted();
        Ok(accepted.spend::<S::Main>(place)?)
    }

    /// Exports by their numbers what the walk did not see: what has come without an update, as those moved from elsewhere do,
    /// what pages that were repeated had no room for, and what was left out before.
    fn fetch(&mut self, numbers: &[u64]) -> Result<(), Stop> {
        for batch in numbers.chunks(S::LOOK_UP_PAGE) {
            let looked = self.source.look_up(batch)?;
            let mut nodes = Vec::with_capacity(batch.len());
            for (number, looked) in batch.iter().zip(looked) {
                match looked {
                    Looked::There(node) => nodes.push(node),
                    Looked::Gone | Looked::Unknown => {
                        let what = format!("{} {number}: it is listed, and not to be had", S::NAME);
                        self.source.notes().left_out(&what);
                    }
                }
                // One that cannot be had is not looked for again until it moves.
                if let Some(known) = &mut self.seen.known {
                    known.insert(*number);
                }
            }
            self.send_all(nodes)?;
        }
        Ok(())
    }
}

/// The number of a node, which need not be what it should be.
fn number(node: &Value) -> Option<u64> {
    node.get("number").or_else(|| node.get("iid"))?.as_u64()
}

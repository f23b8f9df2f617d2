//! What issues and pull requests have in common: lists that are read once from the first to the last, and then from the
//! newest back to where the last run began.
//!
//! The cursor is no time of a clock of ours: it is the newest update that the server had told of when the run began, so
//! that clocks which differ lose nothing. What changes while a run is under way is newer than that, and comes with the next
//! run. The first read goes in the order of creation, which nothing changes, and goes on midway after a stop.

use std::collections::{BTreeSet, HashMap};

use agent_sdk::sweep::Ids;
use agent_sdk::updated::{earlier, is_before};
use agent_sdk::{Model, Result, Session, Tracking};
use integration_model::notes::{self, Notes};
use integration_model::people::People;
use integration_model::{SET_BYTES_MAX, Stop};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::Api;
use crate::gone;
use crate::repo::{Found, Latest};
use crate::walk::{self, Walk};

/// Seconds by which a run reaches back before the newest that was known: sources answer from copies that are behind.
const OVERLAP_SECS: u32 = 120;
/// Pages between commits. A kill costs so many at most, and a commit costs syncs to disk.
const PAGES_PER_COMMIT: u32 = 10;

/// Runs in which what was left out is asked for again: it may have been a bad moment of the server's. After them it is asked for
/// when it moves, so that one that stays wrong costs nothing.
const AGAIN_RUNS_MAX: u32 = 3;
/// So many are remembered for that; more is no slip of one item.
const AGAIN_MAX: usize = 100;

/// What an export of one repository works with.
pub struct Scope<'a> {
    pub api: &'a Api,
    pub people: &'a mut People,
    pub notes: Notes,
    pub repo: &'a Found,
}

impl Scope<'_> {
    /// The id of an issue or a pull request.
    pub fn thread_id(&self, number: u64) -> String {
        format!("{}/{number}", self.repo.id)
    }
}

/// Why a node brings no record.
pub enum Refused {
    /// It is not what it should be.
    Node(String),
    /// The host does not take it.
    Host(agent_sdk::Error),
}

impl From<agent_sdk::Error> for Refused {
    fn from(error: agent_sdk::Error) -> Refused {
        Refused::Host(error)
    }
}

/// Issues, or pull requests.
pub trait Kind {
    /// The model that the cursor belongs to.
    type Main: Model;
    /// The type's name in the schema.
    const NAME: &'static str;
    /// The query, and what steps over an item.
    const QUERIES: (&'static str, &'static str);
    /// Where the connection is.
    const AT: &'static str;
    const PAGE: u32;
    /// The query for the numbers of all of them.
    const NUMBERS: &'static str;
    /// So many are looked up by number for a point.
    const LOOK_UP_PAGE: usize;

    /// Sends the records of a node.
    fn take(&mut self, scope: &mut Scope<'_>, main: &mut Session<Self::Main>, node: Value) -> Result<(), Refused>;
    /// Says that there is nothing under a number any more.
    fn gone(scope: &Scope<'_>, main: &mut Session<Self::Main>, number: u64) -> Result<()>;
    /// Commits the records that hang on those of the main model.
    fn checkpoint(&mut self, cursor: &str) -> Result<()>;
}

/// What the list looked like when it had been read.
#[derive(Debug, Default)]
pub struct Seen {
    /// How many there are, by the server.
    pub total: Option<u64>,
    /// Numbers that were exported, in this run and before; none where they are too many to remember.
    pub known: Option<Ids>,
    /// Whether anything was sent.
    pub moved: bool,
    /// Whether this run began in the middle, so that it has not seen all that was sent since the last complete one.
    pub resumed: bool,
    /// The newest update that was seen.
    pub newest: Option<String>,
    /// Whether something was left out that the next run is to ask for again.
    pub again: bool,
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

/// What every node says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    number: u64,
    updated_at: String,
}

/// A list that is being read.
pub struct Reader<K: Kind> {
    pub kind: K,
    pub main: Session<K::Main>,
    cursor: Cursor,
    pub seen: Seen,
    /// The time of the last update of each number that this run has sent.
    sent: HashMap<u64, String>,
    /// Numbers that brought no record.
    refused: BTreeSet<u64>,
}

impl<K: Kind> Reader<K> {
    pub fn open(tracking: &Session<Tracking>, repo: &Found, kind: K) -> Result<Reader<K>> {
        let main = tracking.model::<K::Main>(&repo.ref_id(), &repo.full_name)?;
        // A cursor of another form begins anew; what is known already is left out by the host.
        let cursor: Cursor =
            main.last_processed().and_then(|cursor| serde_json::from_str(&cursor).ok()).unwrap_or_default();
        let begins = cursor == Cursor::default();
        let known = cursor.known.as_deref().and_then(Ids::parse).or(begins.then(Ids::new));
        let seen = Seen { known, resumed: cursor.after.is_some(), ..Seen::default() };
        Ok(Reader { kind, main, cursor, seen, sent: HashMap::new(), refused: BTreeSet::new() })
    }

    /// Reads the list. Whatever ends it, what was read is committed.
    pub fn read(&mut self, scope: &mut Scope<'_>, latest: &Latest) -> Result<(), Stop> {
        if self.cursor.began.is_none() {
            self.cursor.began.clone_from(&latest.updated_at);
        }
        let read = self.read_pages(scope).and_then(|()| self.read_again(scope));
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
                self.checkpoint(scope)?;
                Ok(())
            }
            Err(stop) => {
                // The next run reads the newest from the beginning again, by what is newest then.
                if self.cursor.complete {
                    self.cursor.began = None;
                }
                self.checkpoint(scope)?;
                Err(stop)
            }
        }
    }

    /// Asks once more for what the last run left out and this one has not met.
    fn read_again(&mut self, scope: &mut Scope<'_>) -> Result<(), Stop> {
        let again: Vec<u64> =
            self.cursor.again.iter().filter(|number| !self.sent.contains_key(*number)).copied().collect();
        gone::fetch(scope, self, &again)
    }

    /// Commits what was sent, with the cursor as it is. Whoever was met on the way comes first: after a kill the pages that are
    /// committed are not read again, and nobody would meet them.
    pub fn checkpoint(&mut self, scope: &mut Scope<'_>) -> Result<()> {
        scope.people.checkpoint()?;
        let cursor = self.cursor.text(self.seen.known.as_ref());
        self.kind.checkpoint(&cursor)?;
        self.main.checkpoint(&cursor)
    }

    fn read_pages(&mut self, scope: &mut Scope<'_>) -> Result<(), Stop> {
        let first_run = !self.cursor.complete;
        let (field, direction) = if first_run { ("CREATED_AT", "ASC") } else { ("UPDATED_AT", "DESC") };
        let cutoff = self.cursor.since.as_deref().and_then(|since| earlier(since, OVERLAP_SECS)).filter(|_| !first_run);
        let (owner, name) = scope.repo.parts();
        let variables = json!({ "owner": owner, "name": name, "field": field, "direction": direction });
        let api = scope.api;
        let mut walk = Walk::new(api, K::QUERIES, K::AT, variables, K::PAGE).after(self.cursor.after.clone());
        let mut pages = 0;
        while let Some(mut page) = walk.next()? {
            page.left_out.iter().for_each(|what| scope.notes.left_out(&format!("{} {what}", K::NAME)));
            self.seen.total = page.total.or(self.seen.total);
            let (mut wanted, reached) = self.sift(scope, std::mem::take(&mut page.nodes), cutoff.as_deref());
            walk.saw_new(!wanted.is_empty());
            for what in walk::complete(api, K::NAME, &mut wanted)? {
                scope.notes.left_out(&format!("{} {what}", K::NAME));
            }
            for node in wanted {
                self.send(scope, node)?;
            }
            if first_run {
                self.cursor.after.clone_from(&page.next);
            }
            pages += 1;
            let done = u32::try_from(self.sent.len()).unwrap_or(u32::MAX);
            self.main.progress(done, self.seen.total.and_then(|total| u32::try_from(total).ok()));
            if reached {
                break;
            }
            if pages % PAGES_PER_COMMIT == 0 {
                self.checkpoint(scope)?;
            }
            if page.next.is_some() && self.main.should_stop() {
                return Err(Stop::Asked);
            }
        }
        Ok(())
    }

    /// The nodes of a page that are to be sent, and whether the page reaches back far enough.
    fn sift(&mut self, scope: &mut Scope<'_>, nodes: Vec<Value>, cutoff: Option<&str>) -> (Vec<Value>, bool) {
        let mut reached = false;
        let mut wanted = Vec::with_capacity(nodes.len());
        for node in nodes {
            let head: Head = match notes::read(&node) {
                Ok(head) => head,
                Err(why) => {
                    scope.notes.left_out(&format!("{} {}: {why}", K::NAME, node["number"]));
                    continue;
                }
            };
            if let Some(known) = &mut self.seen.known {
                known.insert(head.number);
            }
            if self.seen.newest.as_deref().is_none_or(|newest| is_before(newest, &head.updated_at)) {
                self.seen.newest = Some(head.updated_at.clone());
            }
            // The page is looked at to its end all the same: servers sort by what they had a moment ago.
            if cutoff.is_some_and(|cutoff| is_before(&head.updated_at, cutoff)) {
                reached = true;
            } else if self.sent.get(&head.number) != Some(&head.updated_at) {
                self.sent.insert(head.number, head.updated_at);
                wanted.push(node);
            }
        }
        (wanted, reached)
    }

    /// Sends the records of one node.
    pub fn send(&mut self, scope: &mut Scope<'_>, node: Value) -> Result<(), Stop> {
        let number = node["number"].as_u64();
        let name = number.map_or_else(|| "without a number".to_owned(), |number| number.to_string());
        match self.kind.take(scope, &mut self.main, node) {
            Ok(()) => {
                self.seen.moved = true;
                number.map(|number| self.refused.remove(&number));
            }
            Err(Refused::Node(why)) => {
                scope.notes.left_out(&format!("{} {name}: {why}", K::NAME));
                self.refused.extend(number);
            }
            Err(Refused::Host(error)) => return Err(error.into()),
        }
        Ok(())
    }
}

/// A list of nodes inside of another, without what is null.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub struct Nodes<T> {
    #[serde(default = "Vec::new")]
    nodes: Vec<Option<T>>,
}

impl<T> Nodes<T> {
    pub fn into_items(self) -> Vec<T> {
        self.nodes.into_iter().flatten().collect()
    }
}

/// The items of an inner list that are what they should be; the others are noted.
pub fn items<T: serde::de::DeserializeOwned>(node: &mut Value, name: &str, scope: &mut Scope<'_>) -> Vec<T> {
    // By a pointer: what is no object has nothing in it, where an index would end the run.
    let list = node.pointer_mut(&format!("/{name}/nodes")).map(Value::take);
    let Some(Value::Array(nodes)) = list else { return Vec::new() };
    let number = node["number"].clone();
    let mut found = Vec::with_capacity(nodes.len());
    for item in nodes.into_iter().filter(|item| !item.is_null()) {
        let id = item["id"].clone();
        match notes::read(item) {
            Ok(item) => found.push(item),
            Err(why) => scope.notes.left_out(&format!("{name} of {number}, {id}: {why}")),
        }
    }
    found
}

//! A search for issues, page after page, on both kinds of server.
//!
//! The cloud gives a token with each page. One's own server counts (`startAt`), and what is deleted, or comes in between, while
//! pages are read moves all that is behind it. So each page there begins a little before where the last one ended, and must have
//! something of that in it; where it has not, it is stepped back. What comes twice is sent once.
//!
//! A page that is too much is asked for in smaller ones, an issue that is too much by itself is stepped over and named, and a
//! server that leads in a circle, or nowhere, is told so.

use std::collections::HashSet;

use agent_sdk::graphql::PageSize;
use agent_sdk::sweep::Ids;
use agent_sdk::{Error, log};
use integration_model::Stop;
use integration_model::notes::shortened;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::{Api, Kind, Trouble, answer};

/// Issues on a page, with all that is asked of them.
pub const PAGE: u32 = 100;
/// The same where nothing but their ids are asked: the cloud's most, and what one's own server is set to unless its
/// administrator says otherwise.
const IDS_PAGE: [u32; 2] = [5_000, 1_000];
/// Asks for nothing but ids and keys.
pub const IDS: &str = "id";
/// Issues by which a counted page reaches back.
const OVERLAP: usize = 5;
/// Times that a page of one issue is asked for before it is stepped over: the first may have been bad luck.
const SINGLE_TRIES: u32 = 2;
/// Tries of a search after the first. What fails again may be too much, and is asked for in smaller parts.
const RETRIES: &str = "1";
/// Pages in a row that may bring nothing new, before the server is taken to repeat itself for ever.
const STALE_PAGES_MAX: u32 = 20;
/// Pages of one search; far beyond any project.
const PAGES_MAX: u32 = 1_000_000;
/// Times that one search steps back.
const STEPS_BACK_MAX: u32 = 1_000;

/// Where a search goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Place {
    Token(String),
    Counted {
        start: u64,
        /// The ids of the last issues before it.
        tail: Vec<String>,
    },
}

/// One page.
pub struct Page {
    pub issues: Vec<Value>,
    /// How many there are in all, where the server says it.
    pub total: Option<u64>,
    /// Where the next page begins; none after the last.
    pub next: Option<Place>,
    /// What the server could not give, for people.
    pub left_out: Vec<String>,
    /// The ids of that, where they are known.
    pub refused: Vec<u64>,
}

/// A search that is under way.
pub struct Search<'a> {
    api: &'a Api,
    jql: String,
    fields: &'a str,
    expand: &'a str,
    size: PageSize,
    at: Option<Place>,
    /// Whether it goes on where another run was.
    resumed: bool,
    seen: HashSet<Place>,
    pages: u32,
    stale: u32,
    steps_back: u32,
    ended: bool,
}

impl std::hash::Hash for Place {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self {
            Place::Token(token) => token.hash(state),
            Place::Counted { start, .. } => start.hash(state),
        }
    }
}

/// Of an answer, what does not depend on what was asked of the issues.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    issues: Vec<Value>,
    #[serde(default)]
    next_page_token: Option<String>,
    #[serde(default)]
    is_last: Option<bool>,
    #[serde(default)]
    start_at: Option<u64>,
    #[serde(default)]
    total: Option<u64>,
}

impl<'a> Search<'a> {
    pub fn new(api: &'a Api, jql: String, fields: &'a str, expand: &'a str) -> Search<'a> {
        let [cloud, hosted] = IDS_PAGE;
        let page = match (fields == IDS, api.kind) {
            (false, _) => PAGE,
            (true, Kind::Cloud) => cloud,
            (true, Kind::Hosted) => hosted,
        };
        Search {
            api,
            jql,
            fields,
            expand,
            size: PageSize::new(page),
            at: None,
            resumed: false,
            seen: HashSet::new(),
            pages: 0,
            stale: 0,
            steps_back: 0,
            ended: false,
        }
    }

    /// With pages of another size.
    pub fn page(mut self, page: u32) -> Search<'a> {
        self.size = PageSize::new(page);
        self
    }

    /// Goes on where an earlier run had come to. A place of the other kind of server is none.
    pub fn resume(mut self, place: Option<Place>) -> Search<'a> {
        let fits = |place: &Place| matches!(place, Place::Token(_)) == (self.api.kind == Kind::Cloud);
        self.at = place.filter(fits);
        self.resumed = self.at.is_some();
        self
    }

    /// Says whether the last page had anything new.
    pub fn saw_new(&mut self, new: bool) {
        self.stale = if new { 0 } else { self.stale + 1 };
    }

    /// The next page; none after the last.
    pub fn next(&mut self) -> Result<Option<Page>, Trouble> {
        if self.ended {
            return Ok(None);
        }
        self.pages += 1;
        if self.stale > STALE_PAGES_MAX || self.pages > PAGES_MAX {
            return Err(self.circle(&format!("{} pages in a row had nothing new", self.stale)));
        }
        let page = match self.fetch() {
            // A token of days ago is not taken any more.
            Err(trouble) if trouble.is_refused() && std::mem::take(&mut self.resumed) => {
                log::info("the place of the last run is not known to the server any more; it begins anew", &[]);
                self.at = None;
                self.fetch()?
            }
            page => page?,
        };
        self.resumed = false;
        if let Some(next) = &page.next
            && !self.seen.insert(next.clone())
        {
            return Err(self.circle("the next page is one that came before"));
        }
        self.ended = page.next.is_none();
        self.at.clone_from(&page.next);
        Ok(Some(page))
    }

    /// All ids, where the list can be trusted to be whole; none where there are more than so many.
    pub fn ids(mut self, most: usize) -> Result<Result<Option<Ids>, String>, Trouble> {
        let mut ids = Ids::new();
        while let Some(page) = self.next()? {
            if let Some(why) = page.left_out.into_iter().next() {
                return Ok(Err(why));
            }
            let before = ids.len();
            ids.extend(page.issues.iter().filter_map(id_of));
            self.saw_new(ids.len() > before);
            if ids.len() > most {
                return Ok(Ok(None));
            }
        }
        Ok(Ok(Some(ids)))
    }

    fn circle(&self, why: &str) -> Trouble {
        Trouble::Body(Error::msg(format!("the search `{}` does not end: {why}; what came before is kept", self.jql)))
    }

    /// Asks for the page, and for less of it as long as it is too much.
    fn fetch(&mut self) -> Result<Page, Trouble> {
        let mut single = 0;
        loop {
            let trouble = match self.ask(self.fields, self.expand, self.size.get()) {
                Ok(Asked::Page(page)) => {
                    self.size.succeeded();
                    return Ok(page);
                }
                Ok(Asked::Moved) => {
                    self.steps_back += 1;
                    if self.steps_back > STEPS_BACK_MAX {
                        return Err(self.circle("its pages have nothing in common with each other"));
                    }
                    self.step_back();
                    continue;
                }
                Err(trouble) if trouble.is_too_much() => trouble,
                Err(trouble) => return Err(trouble),
            };
            log::debug(
                "the server could not give a page",
                &[("search", &self.jql), ("asked for", &self.size.get().to_string()), ("error", &trouble.why())],
            );
            if !self.size.shrink() {
                single += 1;
                if single >= SINGLE_TRIES {
                    // What is too much may be one of those that only come again.
                    if !self.forget_tail() {
                        return self.step_over(&trouble);
                    }
                    single = 0;
                }
            }
        }
    }

    /// Goes back by a page: something has gone from before this place.
    fn step_back(&mut self) {
        if let Some(Place::Counted { start, tail }) = &mut self.at {
            *start = start.saturating_sub(u64::from(self.size.get()));
            if *start == 0 {
                tail.clear();
            }
        }
    }

    /// Has the page not reach back; whether it did.
    fn forget_tail(&mut self) -> bool {
        match &mut self.at {
            Some(Place::Counted { tail, .. }) => !std::mem::take(tail).is_empty(),
            _ => false,
        }
    }

    /// Passes over one issue that the server cannot give, by asking for hardly anything of it.
    fn step_over(&mut self, why: &Trouble) -> Result<Page, Trouble> {
        let Asked::Page(mut page) = self.ask(IDS, "", 1)? else {
            return Err(self.circle("a page of one has nothing in common with itself"));
        };
        for issue in std::mem::take(&mut page.issues) {
            let key = shortened(issue["key"].as_str().unwrap_or("without a key"), 64).to_owned();
            page.left_out.push(format!("issue {key}: the server cannot give it: {}", why.why()));
            page.refused.extend(id_of(&issue));
        }
        // No page reaches back to it.
        if let Some(Place::Counted { tail, .. }) = &mut page.next {
            tail.clear();
        }
        Ok(page)
    }

    fn ask(&self, fields: &str, expand: &str, size: u32) -> Result<Asked, Trouble> {
        let path: &[&str] = if self.api.kind == Kind::Cloud { &["search", "jql"] } else { &["search"] };
        let mut request = self.api.get(path).option("retries", RETRIES).query("jql", &self.jql).query("fields", fields);
        if !expand.is_empty() {
            request = request.query("expand", expand);
        }
        if self.api.kind == Kind::Cloud {
            let token = match &self.at {
                Some(Place::Token(token)) => Some(token),
                _ => None,
            };
            let found = answer(request.query("maxResults", size).query_opt("nextPageToken", token))?;
            return self.of_cloud(read(found)?).map(Asked::Page);
        }
        let (start, tail): (u64, &[String]) = match &self.at {
            Some(Place::Counted { start, tail }) => (*start, tail),
            _ => (0, &[]),
        };
        let overlap = (tail.len() as u64).min(start);
        let from = start - overlap;
        // A search that names an issue which has just gone is answered without it.
        let request = request.query("validateQuery", "false").query("startAt", from);
        let found = answer(request.query("maxResults", u64::from(size) + overlap))?;
        self.of_hosted(read(found)?, from, tail)
    }

    fn of_cloud(&self, found: Answer) -> Result<Page, Trouble> {
        let next = match (found.is_last, found.next_page_token) {
            (Some(true), _) | (None, None) => None,
            (_, Some(token)) if !token.is_empty() => Some(Place::Token(token)),
            _ => return Err(Trouble::Body(Error::msg("the answer does not say where the search goes on"))),
        };
        Ok(page(found.issues, found.total, next))
    }

    fn of_hosted(&self, found: Answer, from: u64, tail: &[String]) -> Result<Asked, Trouble> {
        if let Some(other) = found.start_at.filter(|start| *start != from) {
            let why = format!("issues from place {from} were asked for, and it answers with those from {other}");
            return Err(Trouble::Body(Error::msg(why)));
        }
        let id = |issue: &Value| issue["id"].as_str().unwrap_or_default().to_owned();
        if from > 0 && !tail.is_empty() && !found.issues.iter().any(|issue| tail.contains(&id(issue))) {
            return Ok(Asked::Moved);
        }
        let (end, known) =
            (from + found.issues.len() as u64, from + (tail.len() as u64).min(found.issues.len() as u64));
        // A page that has only what came before ends the list, whatever is said of how long it is.
        let more = end > known && found.total.is_none_or(|total| end < total);
        let next = more.then(|| {
            let tail = found.issues.iter().rev().take(OVERLAP).map(id).collect();
            Place::Counted { start: end, tail }
        });
        let mut page = page(found.issues, found.total, next);
        if let Some(total) = found.total.filter(|total| end < *total && !more) {
            page.left_out.push(format!("there are {total} issues, and after {end} no more come"));
        }
        Ok(Asked::Page(page))
    }
}

/// What a request for a page brought.
enum Asked {
    Page(Page),
    /// What was before it has gone, so that something may be missed here.
    Moved,
}

fn read(found: Value) -> Result<Answer, Trouble> {
    integration_model::notes::read(found)
        .map_err(|why| Trouble::Body(Error::msg(format!("the answer is no page of issues: {why}"))))
}

fn page(issues: Vec<Value>, total: Option<u64>, next: Option<Place>) -> Page {
    let (mut kept, mut left_out) = (Vec::with_capacity(issues.len()), Vec::new());
    for issue in issues {
        match issue.is_object() {
            true => kept.push(issue),
            false => left_out.push("an issue that is none".to_owned()),
        }
    }
    Page { issues: kept, total, next, left_out, refused: Vec::new() }
}

/// The number that an issue has in this server, whatever project it is in.
pub fn id_of(issue: &Value) -> Option<u64> {
    issue["id"].as_str().and_then(|id| id.parse().ok()).or_else(|| issue["id"].as_u64())
}

/// How long a list of ids may become in a URL, of which the host takes 8 KiB.
pub const BATCH: usize = 100;

/// The issues of these ids that can be had, each through `take`. Those that are not there make the cloud refuse the search as a
/// whole: then it is asked in halves.
pub fn by_ids(
    api: &Api,
    ids: &[u64],
    (fields, expand): (&str, &str),
    take: &mut dyn FnMut(Page) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut batches: Vec<&[u64]> = ids.chunks(BATCH).rev().collect();
    while let Some(batch) = batches.pop() {
        let list: Vec<String> = batch.iter().map(u64::to_string).collect();
        let jql = format!("id in ({}) ORDER BY key ASC", list.join(","));
        let mut search = Search::new(api, jql, fields, expand);
        loop {
            match search.next() {
                Ok(Some(page)) => take(page)?,
                Ok(None) => break,
                Err(trouble) if trouble.is_refused() => {
                    let (first, second) = batch.split_at(batch.len() / 2);
                    batches.extend([second, first].into_iter().filter(|half| batch.len() > 1 && !half.is_empty()));
                    break;
                }
                Err(trouble) => return Err(trouble.into()),
            }
        }
    }
    Ok(())
}

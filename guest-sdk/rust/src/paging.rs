//! Lists that come in pages. Each kind of paging is a function that takes the request of the first page and gives
//! [`Pages`], an iterator; a page has its items, its whole answer, and the position after it, with which a later run can
//! go on ([`Pages::resume`]).
//!
//! | The server says where the next page is | Use |
//! |---|---|
//! | in a header field `Link: <…>; rel="next"` | [`link`] |
//! | by its URL in the body: `"next": "https://…"` | [`link_at`] |
//! | by a token in the body or a header field | [`token`], [`token_in_header`] |
//! | not at all: `page=1`, `page=2`, … | [`numbered`] |
//! | not at all: `offset=0`, `offset=100`, … | [`offset`] |
//! | not at all: `since_id=<the last item's>` | [`keyset`] |
//!
//! ```no_run
//! # use agent_sdk::{http::Request, paging, session, Model};
//! # #[derive(serde::Serialize, serde::Deserialize)] struct Ticket { ref_id: String }
//! # impl Model for Ticket {
//! #     const NAME: &'static str = "demo.Ticket";
//! #     fn schema() -> serde_json::Value { serde_json::json!({ "type": "object" }) }
//! # }
//! # fn main() -> agent_sdk::Result<()> {
//! let mut tickets = session::root_model::<Ticket>()?;
//! let request = Request::get("https://api.example.com/tickets").query("per_page", 100);
//! for page in paging::link::<Ticket>(request).resume(tickets.last_processed().as_deref()) {
//!     let page = page?;
//!     for ticket in &page.items {
//!         tickets.send(ticket)?;
//!     }
//!     if let Some(next) = &page.next {
//!         tickets.checkpoint(next)?;
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! What goes wrong in pages is found: a server that gives the same page again ([`PagingError::Repeated`]), one that never
//! comes to an end ([`PagingError::Endless`]), more items of one key than fit on a page ([`PagingError::Stuck`]). An error
//! ends the iterator; the pages before it are good, and [`Fault::position`] is where to go on.
//!
//! Only [`link`] and [`link_at`] follow what the server says. A next page of another origin (scheme, host and port) than the first one's
//! is [`PagingError::Elsewhere`], unless [`Pages::follow_elsewhere`] is set; then it is asked for without the credential and
//! without header fields that could hold one.

mod link_header;

use std::collections::HashSet;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind};
use crate::http::{HttpError, Pending, Request, Response, StatusError};
use crate::{json, log, url};

/// Pages of one list, unless the integration says otherwise: ten million items at a hundred a page. More is a server
/// that never ends, or a list that wants to be asked for in parts.
const PAGES_MAX: u64 = 100_000;

/// The contract's limit of requests under way in an instance.
const AT_ONCE_MAX: usize = 32;

/// A page.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Page<T> {
    /// The items, in the server's order. May be empty.
    pub items: Vec<T>,
    /// The answer, with its header fields; the body too.
    pub response: Response,
    /// Which page of this run it is, counted from 1.
    pub number: u64,
    /// Where the next page begins, for [`Pages::resume`]; none after the last.
    pub next: Option<String>,
}

/// Why there is no next page.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PagingError {
    /// There is no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The answer has a bad status.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// The answer is not what was expected. The text says what is wrong, and where.
    #[error("{0}")]
    Body(String),
    /// The server gave a page that it had given before, or led back to it.
    #[error("the server gives the same page again; does it take the parameter that says which page is wanted?")]
    Repeated,
    /// There are more pages than the ceiling; [`Pages::pages_max`] sets another.
    #[error("there are more than {0} pages; ask for less, for example since a time, or raise `pages_max`")]
    Endless(u64),
    /// A whole page of items has the same key, so that the next page cannot be asked for by it.
    #[error("a whole page has the key `{0}`; ask for larger pages, or page by something that is unique")]
    Stuck(String),
    /// The next page is of another origin (scheme, host and port); [`Pages::follow_elsewhere`] goes there.
    #[error("the next page is on another server, {0}; to ask for it, without the credential, set `follow_elsewhere`")]
    Elsewhere(String),
}

/// A [`PagingError`] and where it happened.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("page {page}: {why}")]
#[non_exhaustive]
pub struct Fault {
    /// Which page of this run it would have been, counted from 1.
    pub page: u64,
    /// The position of the page, for [`Pages::resume`]; none for the first page of the list.
    pub position: Option<String>,
    /// What went wrong.
    pub why: PagingError,
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        let place = format!("page {}", fault.page);
        let inner: Error = match fault.why {
            PagingError::Http(error) => error.into(),
            PagingError::Status(error) => error.into(),
            PagingError::Endless(_) => Error::new(ErrorKind::Limit, fault.why.to_string()),
            _ => Error::msg(fault.why.to_string()),
        };
        Error::new(inner.kind(), format!("{place}: {}", inner.message()))
    }
}

type KeyOf<T> = Box<dyn Fn(&T) -> String>;
type CountOf = Box<dyn Fn(&Response) -> Option<u64>>;

/// How one page leads to the next.
enum Kind<T> {
    Link(LinkSource),
    Token { parameter: String, source: TokenSource },
    Numbered { parameter: String },
    Offset { parameter: String },
    Keyset { parameter: String, key: KeyOf<T>, largest: usize },
}

enum LinkSource {
    Header,
    /// A JSON Pointer into the body.
    Body(String),
}

enum TokenSource {
    /// A JSON Pointer into the body.
    Body(String),
    Header(String),
}

/// The pages of a list, one after the other. Ends after the last page, or the first error.
#[must_use = "no page is asked for before the iterator is used"]
pub struct Pages<T> {
    request: Request,
    kind: Kind<T>,
    items_at: String,
    pages_max: u64,
    follow_elsewhere: bool,
    /// Where the next page is; none for the first of the list.
    position: Option<String>,
    number: u64,
    ended: bool,
    /// Hashes of the pages and positions that were seen.
    seen: HashSet<u64>,
    ahead: Option<Ahead>,
}

/// Pages that are asked for before it is their turn.
struct Ahead {
    at_once: usize,
    total: CountOf,
    /// The positions that are still to be asked for, once the total is known.
    to_ask: Option<std::ops::Range<u64>>,
    /// Between the positions of two pages.
    step: u64,
    under_way: VecDeque<(String, Result<Pending, HttpError>)>,
}

/// Follows `Link: <…>; rel="next"` (RFC 8288), absolute or relative. The position is the next page's URL.
pub fn link<T: DeserializeOwned>(request: Request) -> Pages<T> {
    Pages::new(request, Kind::Link(LinkSource::Header))
}

/// Follows the URL, absolute or relative, that a JSON Pointer finds in a page's body (`/next`, `/@odata.nextLink`,
/// `/links/next/0/href`); ends where it is absent, `null`, `false` or empty. The position is the next page's URL.
pub fn link_at<T: DeserializeOwned>(request: Request, pointer: &str) -> Pages<T> {
    Pages::new(request, Kind::Link(LinkSource::Body(pointer.to_owned())))
}

/// Sends the token that a JSON Pointer finds in a page's body (`/next_cursor`) as this parameter of the next request;
/// ends where it is absent, `null`, `false` or empty. The position is the token.
pub fn token<T: DeserializeOwned>(request: Request, parameter: &str, pointer: &str) -> Pages<T> {
    let source = TokenSource::Body(pointer.to_owned());
    Pages::new(request, Kind::Token { parameter: parameter.to_owned(), source })
}

/// Sends the token in a header field of an answer as this parameter of the next request; ends where it is absent or
/// empty. The position is the token.
pub fn token_in_header<T: DeserializeOwned>(request: Request, parameter: &str, header: &str) -> Pages<T> {
    let source = TokenSource::Header(header.to_owned());
    Pages::new(request, Kind::Token { parameter: parameter.to_owned(), source })
}

/// Counts this parameter up, from `first` (usually 1) until a page is empty. A page that is shorter than asked for does
/// not end it: many servers give less than they are asked for. The position is the next page's number.
pub fn numbered<T: DeserializeOwned>(request: Request, parameter: &str, first: u64) -> Pages<T> {
    let kind = Kind::Numbered { parameter: parameter.to_owned() };
    let mut pages = Pages::new(request.query_set(parameter, first), kind);
    pages.position = Some(first.to_string());
    pages
}

/// Counts this parameter up by the items that came, from 0 until a page is empty. The position is the next offset.
pub fn offset<T: DeserializeOwned>(request: Request, parameter: &str) -> Pages<T> {
    let kind = Kind::Offset { parameter: parameter.to_owned() };
    let mut pages = Pages::new(request.query_set(parameter, 0), kind);
    pages.position = Some("0".to_owned());
    pages
}

/// Asks for what comes after the last item, by a key of it (an id, a time) in this parameter; the server must sort by
/// that key, upwards. Ends at an empty page. Servers that take the key as *from* and not as *after* give the last item
/// again: that ends it too, and the item comes twice, which the agent's dedup leaves out. The position is the key.
pub fn keyset<T: DeserializeOwned>(
    request: Request,
    parameter: &str,
    key: impl Fn(&T) -> String + 'static,
) -> Pages<T> {
    Pages::new(request, Kind::Keyset { parameter: parameter.to_owned(), key: Box::new(key), largest: 0 })
}

impl<T: DeserializeOwned> Pages<T> {
    fn new(request: Request, kind: Kind<T>) -> Pages<T> {
        Pages {
            request,
            kind,
            items_at: String::new(),
            pages_max: PAGES_MAX,
            follow_elsewhere: false,
            position: None,
            number: 0,
            ended: false,
            seen: HashSet::new(),
            ahead: None,
        }
    }

    /// Where in a page's body the list is, as a JSON Pointer: `/data/items`. Unless set, the body is the list.
    pub fn items_at(mut self, pointer: &str) -> Pages<T> {
        pointer.clone_into(&mut self.items_at);
        self
    }

    /// Gives up after so many pages of this run; after 100,000 unless set.
    pub fn pages_max(mut self, pages_max: u64) -> Pages<T> {
        self.pages_max = pages_max;
        self
    }

    /// Has [`link`] follow to another origin (scheme, host and port) too, as far as the grants go: without the credential,
    /// and without header fields that could hold one.
    pub fn follow_elsewhere(mut self) -> Pages<T> {
        self.follow_elsewhere = true;
        self
    }

    /// Goes on at the position that an earlier run had come to ([`Page::next`]); none begins at the beginning.
    pub fn resume(mut self, position: Option<&str>) -> Pages<T> {
        if let Some(position) = position {
            self.position = Some(position.to_owned());
        }
        self
    }

    /// Asks for up to `at_once` pages (1 to 32) at a time, once the first has said how many there are: `total` reads it
    /// from its answer, in pages for [`numbered`], in items for [`offset`]. The pages still come in their order. For the
    /// other kinds nobody knows where a page is before the one ahead of it has come, and this changes nothing.
    ///
    /// ```no_run
    /// # use agent_sdk::{http::Request, paging};
    /// # let request = Request::get("https://api.example.com/items");
    /// let pages = paging::numbered::<serde_json::Value>(request, "page", 1)
    ///     .parallel(8, |first| first.header("x-total-pages")?.parse().ok());
    /// ```
    pub fn parallel(mut self, at_once: usize, total: impl Fn(&Response) -> Option<u64> + 'static) -> Pages<T> {
        let at_once = at_once.clamp(1, AT_ONCE_MAX);
        let total = Box::new(total);
        self.ahead = Some(Ahead { at_once, total, to_ask: None, step: 1, under_way: VecDeque::new() });
        self
    }

    /// The items alone, page after page.
    pub fn items(self) -> impl Iterator<Item = Result<T, Fault>> {
        self.flat_map(|page| {
            let (items, fault) = match page {
                Ok(page) => (page.items, None),
                Err(fault) => (Vec::new(), Some(Err(fault))),
            };
            items.into_iter().map(Ok).chain(fault)
        })
    }

    /// Where the next page begins; none for the first page of the list, and after the last.
    #[must_use]
    pub fn position(&self) -> Option<&str> {
        self.position.as_deref().filter(|_| !self.ended)
    }

    /// The request of the page at a position.
    fn request_at(&self, position: &str) -> Result<Request, PagingError> {
        let parameter = match &self.kind {
            Kind::Link(_) => {
                if url::split(position).is_none() {
                    return Err(PagingError::Body(format!("`{position}` is not the URL of a page")));
                }
                let (request, without) = self.request.redirected(position.to_owned());
                if without && !self.follow_elsewhere {
                    return Err(PagingError::Elsewhere(position.to_owned()));
                }
                if without {
                    log::warn("the next page is elsewhere, and is asked for without credentials", &[("url", position)]);
                }
                return Ok(request);
            }
            Kind::Token { parameter, .. }
            | Kind::Numbered { parameter }
            | Kind::Offset { parameter }
            | Kind::Keyset { parameter, .. } => parameter,
        };
        Ok(self.request.clone().query_set(parameter, position))
    }

    /// The answer at the present position: one that was asked for ahead, or a new one.
    fn fetch(&mut self) -> Result<Response, PagingError> {
        let ahead = self.ahead.as_mut().and_then(|ahead| ahead.under_way.pop_front());
        if let Some((position, _)) = &ahead
            && self.position.as_ref() != Some(position)
        {
            // A page was shorter than the first, so the places that were worked out from it are not those of the pages.
            self.ahead = None;
            return self.fetch();
        }
        let response = match (ahead, &self.position) {
            (Some((_, pending)), _) => pending?.take()?,
            (None, Some(position)) => self.request_at(position)?.send()?,
            (None, None) => self.request.clone().send()?,
        };
        Ok(response.check()?)
    }

    /// Notes a hash; true where it was there already.
    fn seen_before(&mut self, what: impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        !self.seen.insert(hasher.finish())
    }

    fn page(&mut self) -> Result<Option<Page<T>>, PagingError> {
        if self.number > self.pages_max {
            return Err(PagingError::Endless(self.pages_max));
        }
        let response = self.fetch()?;
        let items: Vec<T> = json::read_items(&response.body, &self.items_at)
            .map_err(|why| PagingError::Body(response.explain(&why)))?;
        // The pages of a keyset may overlap, and their keys tell whether it goes on.
        if !items.is_empty() && !matches!(self.kind, Kind::Keyset { .. }) && self.seen_before((0, &response.body)) {
            return Err(PagingError::Repeated);
        }
        let next = self.next_position(&items, &response)?;
        if let Some(next) = &next
            && self.seen_before((1, next))
        {
            return Err(PagingError::Repeated);
        }
        self.ask_ahead(&response, items.len());
        let by_count = matches!(self.kind, Kind::Numbered { .. } | Kind::Offset { .. });
        // A page that only says that there are no more is none.
        if items.is_empty() && next.is_none() && by_count {
            return Ok(None);
        }
        Ok(Some(Page { items, response, number: self.number, next }))
    }

    fn next_position(&mut self, items: &[T], response: &Response) -> Result<Option<String>, PagingError> {
        let present = self.position.as_deref();
        let counted = |step: u64| {
            let present: u64 = present.and_then(|position| position.parse().ok()).ok_or_else(|| {
                PagingError::Body(format!("the position {present:?} is not a number; begin at the beginning"))
            })?;
            Ok((step > 0).then(|| present.saturating_add(step).to_string()))
        };
        match &mut self.kind {
            Kind::Link(source) => {
                let target = match source {
                    LinkSource::Header => {
                        let fields = response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("link"));
                        fields.filter_map(|(_, value)| link_header::find(value, "next")).next()
                    }
                    LinkSource::Body(pointer) => {
                        let found = json::raw_at(&response.body, pointer);
                        token_text(found.map_err(|why| PagingError::Body(response.explain(&why)))?, pointer)?
                    }
                };
                let Some(target) = target else { return Ok(None) };
                let wrong = || PagingError::Body(format!("the link to the next page is `{target}`, which is no URL"));
                url::join(&response.url, &target).ok_or_else(wrong).map(Some)
            }
            Kind::Token { source: TokenSource::Header(name), .. } => {
                Ok(response.header(name).filter(|token| !token.is_empty()).map(str::to_owned))
            }
            Kind::Token { source: TokenSource::Body(pointer), .. } => {
                let found = json::raw_at(&response.body, pointer);
                token_text(found.map_err(|why| PagingError::Body(response.explain(&why)))?, pointer)
            }
            Kind::Numbered { .. } => counted(u64::from(!items.is_empty())),
            Kind::Offset { .. } => counted(items.len() as u64),
            Kind::Keyset { key, largest, .. } => {
                let Some(last) = items.last().map(key) else { return Ok(None) };
                if present != Some(last.as_str()) {
                    *largest = items.len().max(*largest);
                    return Ok(Some(last));
                }
                // Only what is known already: the end, unless there may be more of the same behind it.
                if items.len() > 1 && items.len() >= *largest { Err(PagingError::Stuck(last)) } else { Ok(None) }
            }
        }
    }

    /// Has the pages asked for that are known to be there.
    fn ask_ahead(&mut self, response: &Response, items: usize) {
        let Some(mut ahead) = self.ahead.take() else { return };
        let present: Option<u64> = self.position.as_ref().and_then(|position| position.parse().ok());
        if ahead.to_ask.is_none() {
            let total = (ahead.total)(response);
            ahead.to_ask = match (&self.kind, present, total) {
                // The first page's number is what the request of the list begins with.
                (Kind::Numbered { parameter }, Some(present), Some(total)) => {
                    Some(present + 1..first_of(self.request.url(), parameter) + total)
                }
                (Kind::Offset { .. }, Some(present), Some(total)) if items > 0 => {
                    ahead.step = items as u64;
                    Some(present + ahead.step..total)
                }
                _ => Some(0..0),
            };
        }
        while let Some(range) = ahead.to_ask.as_mut().filter(|range| range.start < range.end)
            && ahead.under_way.len() < ahead.at_once
        {
            let position = range.start.to_string();
            range.start = range.start.saturating_add(ahead.step);
            match self.request_at(&position) {
                Ok(request) => ahead.under_way.push_back((position, request.submit())),
                Err(_) => break,
            }
        }
        self.ahead = Some(ahead);
    }
}

/// The number with which a list begins, from the URL of its first page.
fn first_of(url: &str, parameter: &str) -> u64 {
    let query = url::split(url).and_then(|parts| parts.query).unwrap_or_default();
    let first = url::parameters(query).find(|(name, _)| name == parameter);
    first.and_then(|(_, value)| value.parse().ok()).unwrap_or(1)
}

/// A token as it goes into a query.
fn token_text(found: Option<&str>, pointer: &str) -> Result<Option<String>, PagingError> {
    let Some(raw) = found else { return Ok(None) };
    match serde_json::from_str(raw) {
        Ok(serde_json::Value::Null | serde_json::Value::Bool(false)) => Ok(None),
        Ok(serde_json::Value::String(token)) => Ok(Some(token).filter(|token| !token.is_empty())),
        Ok(serde_json::Value::Number(number)) => Ok(Some(number.to_string())),
        _ => Err(PagingError::Body(format!("the token at {pointer} is neither text nor a number: {raw}"))),
    }
}

impl<T: DeserializeOwned> Iterator for Pages<T> {
    type Item = Result<Page<T>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        self.number += 1;
        match self.page() {
            Ok(Some(page)) => {
                self.ended = page.next.is_none();
                self.position.clone_from(&page.next);
                Some(Ok(page))
            }
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(why) => {
                self.ended = true;
                // What is under way is not wanted any more.
                self.ahead = None;
                Some(Err(Fault { page: self.number, position: self.position.clone(), why }))
            }
        }
    }
}

#[cfg(test)]
mod tests;

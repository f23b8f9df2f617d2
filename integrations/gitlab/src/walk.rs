//! A walk over one list, page after page, which gets on where the server lets it: a page that it cannot give is asked for once
//! more, then in smaller ones; an item that it cannot give by itself is stepped over and named. Where a page ends is what the
//! server's Link says, so that lists by keyset and lists by number are read alike; a server that leads in a circle is told so.

use agent_sdk::http::{HttpError, Request};
use agent_sdk::log;
use agent_sdk::paging::{self, Fault, Pages, PagingError};
use agent_sdk::updated::date_of;
use integration_model::Stop;
use integration_model::threads::Page;
use serde_json::Value;

/// Items on a page.
const PER_PAGE: u64 = 100;
/// In how many parts a page is asked for that could not be had, and such a part.
const PARTS: u64 = 10;

/// What some older servers answer where a list has no keyset.
const NO_KEYSET: u16 = 405;

/// A walk that is under way.
pub struct Walk {
    /// The first page.
    request: Request,
    /// None after the last page.
    pages: Option<Pages<Value>>,
    /// Items that came so far; none in a walk that began in the middle.
    read: Option<u64>,
    /// What time it was for the server when it gave the first page.
    pub at: Option<String>,
}

/// How a part fared that was asked for item by item.
struct Singles {
    /// Answers that the server could give.
    given: u64,
    /// Whether the list ends in it.
    ended: bool,
}

impl Walk {
    /// A walk over a list whose first page is this request, from a position at which an earlier one had stopped.
    pub fn new(request: Request, after: Option<&str>) -> Walk {
        let pages = Some(paging::link(request.clone()).resume(after));
        Walk { request, pages, read: after.is_none().then_some(0), at: None }
    }

    /// The next page; none after the last.
    pub fn next(&mut self) -> Result<Option<Page>, Stop> {
        let page = self.page()?;
        if let (Some(read), Some(page)) = (&mut self.read, &page) {
            *read += page.nodes.len() as u64;
        }
        Ok(page)
    }

    fn page(&mut self) -> Result<Option<Page>, Stop> {
        let fault = match self.pages.as_mut().and_then(Iterator::next) {
            None => return Ok(None),
            Some(Ok(page)) => {
                self.at = self.at.take().or_else(|| date_of(&page.response));
                return Ok(Some(read(page)));
            }
            Some(Err(fault)) => fault,
        };
        if matches!(&fault.why, PagingError::Status(error) if error.status == NO_KEYSET)
            && is_keyset(self.request.url())
        {
            return self.by_number();
        }
        if !may_pass(&fault.why) {
            return Err(fault.into());
        }
        log::debug("the server could not give a page", &[("error", &fault.to_string())]);
        // What was seen before it is forgotten with this; a circle is noticed one turn later.
        let mut pages = paging::link(self.request.clone()).resume(fault.position.as_deref());
        let again = pages.next();
        self.pages = Some(pages);
        match again {
            None => Ok(None),
            Some(Ok(page)) => Ok(Some(read(page))),
            Some(Err(fault)) if may_pass(&fault.why) => self.in_parts(fault),
            Some(Err(fault)) => Err(fault.into()),
        }
    }

    /// Goes on without a keyset, from the beginning.
    fn by_number(&mut self) -> Result<Option<Page>, Stop> {
        self.request = self.request.clone().query_set("pagination", "legacy");
        self.pages = Some(paging::link(self.request.clone()));
        self.page()
    }

    /// A page in smaller ones. A page of a keyset has no number, and where a part of it ends is not known before it has come; so
    /// the list is gone on with by number, which the items that came so far tell, or is begun anew.
    fn in_parts(&mut self, fault: Fault) -> Result<Option<Page>, Stop> {
        let url = fault.position.as_deref().unwrap_or_else(|| self.request.url());
        let number = match (is_keyset(url), self.read) {
            (false, _) => parameter(url, "page").unwrap_or(1),
            (true, Some(read)) if read % PER_PAGE == 0 => {
                self.request = self.request.clone().query_set("pagination", "legacy");
                read / PER_PAGE + 1
            }
            (true, _) => return self.by_number(),
        };
        let (mut page, mut ended) = (Page::default(), false);
        for part in (number - 1) * PARTS + 1..=number * PARTS {
            match self.part(PER_PAGE / PARTS, part)? {
                Some(found) => {
                    ended = found.next.is_none();
                    page.nodes.extend(found.nodes);
                    page.total = found.total.or(page.total);
                }
                None => match self.one_by_one(&mut page, part)? {
                    // None of a part is to be had: it is not an item that is at fault.
                    Singles { given: 0, .. } => return Err(fault.into()),
                    singles => ended = singles.ended,
                },
            }
            if ended {
                break;
            }
        }
        page.next = (!ended).then(|| self.request.clone().query_set("page", number + 1).url().to_owned());
        self.pages = page.next.as_deref().map(|next| paging::link(self.request.clone()).resume(Some(next)));
        Ok(Some(page))
    }

    /// The items of a part, each by itself.
    fn one_by_one(&self, page: &mut Page, part: u64) -> Result<Singles, Stop> {
        let size = PER_PAGE / PARTS;
        let mut singles = Singles { given: 0, ended: false };
        for place in (part - 1) * size + 1..=part * size {
            match self.part(1, place)? {
                Some(found) => {
                    singles.given += 1;
                    singles.ended = found.next.is_none();
                    page.nodes.extend(found.nodes);
                }
                None => page.left_out.push(format!("number {place} of the list: the server cannot give it")),
            }
            if singles.ended {
                break;
            }
        }
        Ok(singles)
    }

    /// One page of another size; none where the server cannot give it.
    fn part(&self, per_page: u64, number: u64) -> Result<Option<Page>, Stop> {
        let request = self.request.clone().query_set("per_page", per_page).query_set("page", number);
        match paging::link(request).next() {
            None => Ok(Some(Page::default())),
            Some(Ok(page)) => Ok(Some(read(page))),
            Some(Err(fault)) if may_pass(&fault.why) => Ok(None),
            Some(Err(fault)) => Err(fault.into()),
        }
    }
}

/// Whether a page is asked for by what it begins with, and not by its number.
fn is_keyset(url: &str) -> bool {
    ["pagination=keyset", "cursor=", "id_after="].iter().any(|sign| url.contains(sign))
}

/// Whether the same, or less of it, may be had.
fn may_pass(why: &PagingError) -> bool {
    match why {
        PagingError::Body(_) => true,
        PagingError::Status(error) => error.status >= 500 && error.retry_after_secs.is_none() || error.status == 408,
        PagingError::Http(error) => {
            matches!(
                error,
                HttpError::Timeout | HttpError::TooLarge(_) | HttpError::Connection(_) | HttpError::Other(_)
            )
        }
        _ => false,
    }
}

fn read(page: paging::Page<Value>) -> Page {
    let total = page.response.header("x-total").and_then(|total| total.parse().ok());
    Page { nodes: page.items, total, next: page.next, left_out: Vec::new() }
}

/// The value of a parameter that is a number.
fn parameter(url: &str, name: &str) -> Option<u64> {
    let query = url.split_once('?')?.1;
    let pair = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name)?;
    pair.1.parse().ok()
}

/// All items of a list; what the server could not give is told, too.
pub fn all(request: Request, mut take: impl FnMut(Value), mut left_out: impl FnMut(&str)) -> Result<(), Stop> {
    let mut walk = Walk::new(request, None);
    while let Some(page) = walk.next()? {
        page.left_out.iter().for_each(|what| left_out(what));
        page.nodes.into_iter().for_each(&mut take);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parameter;

    #[test]
    fn the_number_of_a_page_is_found() {
        assert_eq!(parameter("https://x.invalid/a?per_page=100&page=7", "page"), Some(7));
        assert_eq!(parameter("https://x.invalid/a?per_page=100", "page"), None);
        assert_eq!(parameter("https://x.invalid/a", "page"), None);
    }
}

//! A walk over one connection, page after page, which gets on where the server lets it: a page that is too much is asked for
//! in smaller ones, an item that is too much by itself is stepped over and named, and a server that leads in a circle, or
//! nowhere, is told so.

use std::collections::HashSet;

use agent_sdk::graphql::{Answer, Fault, GraphqlError, PageSize};
use agent_sdk::{Error, log};
use integration_model::Stop;
use serde_json::{Value, json};

use crate::api::Api;
use crate::queries::{self, More};

/// Times that a page of one item is asked for before it is stepped over: the first may have been bad luck.
const SINGLE_TRIES: u32 = 2;
/// Pages in a row that may bring nothing new, before the server is taken to repeat itself for ever.
const STALE_PAGES_MAX: u32 = 20;
/// Pages of one walk; far beyond any repository.
const PAGES_MAX: u32 = 1_000_000;
/// Items of an inner connection on a page.
const INNER_PAGE: u32 = 100;

/// One page.
pub struct Page {
    pub nodes: Vec<Value>,
    /// How many items the connection has in all, where it was asked for.
    pub total: Option<u64>,
    /// Where the next page begins; none after the last.
    pub next: Option<String>,
    /// What the server could not give, for people.
    pub left_out: Vec<String>,
}

/// A walk that is under way.
pub struct Walk<'a> {
    api: &'a Api,
    document: &'static str,
    bare: &'static str,
    /// JSON Pointer to the connection in the data.
    at: &'static str,
    variables: Value,
    size: PageSize,
    after: Option<String>,
    cursors: HashSet<String>,
    pages: u32,
    stale: u32,
    ended: bool,
}

impl<'a> Walk<'a> {
    /// A walk with a query that takes `$first` and `$after`. `bare` is the same with hardly anything asked of an item.
    pub fn new(
        api: &'a Api,
        (document, bare): (&'static str, &'static str),
        at: &'static str,
        variables: Value,
        page: u32,
    ) -> Walk<'a> {
        Walk {
            api,
            document,
            bare,
            at,
            variables,
            size: PageSize::new(page),
            after: None,
            cursors: HashSet::new(),
            pages: 0,
            stale: 0,
            ended: false,
        }
    }

    /// Goes on after this cursor.
    pub fn after(mut self, after: Option<String>) -> Walk<'a> {
        self.after = after;
        self
    }

    /// Says whether the last page had anything new.
    pub fn saw_new(&mut self, new: bool) {
        self.stale = if new { 0 } else { self.stale + 1 };
    }

    /// The next page; none after the last.
    pub fn next(&mut self) -> Result<Option<Page>, Stop> {
        if self.ended {
            return Ok(None);
        }
        self.pages += 1;
        if self.stale > STALE_PAGES_MAX || self.pages > PAGES_MAX {
            return Err(self.circle(&format!("{} pages in a row had nothing new", self.stale)));
        }
        let page = self.fetch()?;
        if let Some(next) = &page.next
            && (!self.cursors.insert(next.clone()) || self.after.as_ref() == Some(next))
        {
            return Err(self.circle("the next page is one that came before"));
        }
        self.ended = page.next.is_none();
        self.after.clone_from(&page.next);
        Ok(Some(page))
    }

    fn circle(&self, why: &str) -> Stop {
        Stop::Failed(Error::msg(format!("the list {} does not end: {why}; what came before is kept", self.at)))
    }

    /// Asks for the page, and for less of it as long as it is too much.
    fn fetch(&mut self) -> Result<Page, Stop> {
        let mut single = 0;
        loop {
            let first = self.size.get();
            let asked = self.ask(self.document, first);
            let why = match asked {
                Ok((page, None)) => {
                    self.size.succeeded();
                    return Ok(page);
                }
                // Nothing smaller is to be had, and this is what there is.
                Ok((mut page, Some(fault))) if first == 1 && single + 1 >= SINGLE_TRIES => {
                    page.left_out.push(fault.to_string());
                    return Ok(page);
                }
                Ok((_, Some(fault))) => fault,
                Err(error) if error.is_too_much() => error,
                Err(error) => return Err(error.into()),
            };
            log::debug(
                "the server could not give a page",
                &[("list", self.at), ("asked for", &first.to_string()), ("error", &why.to_string())],
            );
            if !self.size.shrink() {
                single += 1;
                if single >= SINGLE_TRIES {
                    return self.step_over(&why);
                }
            }
        }
    }

    /// Passes over one item that the server cannot give, by a query that asks for hardly anything of it.
    fn step_over(&mut self, why: &GraphqlError) -> Result<Page, Stop> {
        let (mut page, _) = self.ask(self.bare, 1)?;
        for node in std::mem::take(&mut page.nodes) {
            let id = node.get("number").or_else(|| node.get("databaseId")).unwrap_or(&Value::Null);
            page.left_out.push(format!("{id}: the server cannot give it: {why}"));
        }
        Ok(page)
    }

    /// One page as the server gives it, and what it could not.
    fn ask(&self, document: &str, first: u32) -> Result<(Page, Option<GraphqlError>), GraphqlError> {
        let mut variables = self.variables.clone();
        variables["first"] = first.into();
        variables["after"] = self.after.clone().into();
        let Answer { mut data, faults, .. } = self.api.query(document, &variables)?;
        let Some(connection) = data.pointer_mut(self.at).filter(|found| found.is_object()) else {
            return Err(match faults.is_empty() {
                // The way to it is null where there is no such account or repository.
                true => GraphqlError::Faults(vec![missing(self.at)]),
                false => GraphqlError::Faults(faults),
            });
        };
        let Value::Array(nodes) = connection["nodes"].take() else {
            return Err(GraphqlError::Body(format!("the answer has no list at {}/nodes", self.at)));
        };
        let info = &connection["pageInfo"];
        let next = match (info["hasNextPage"].as_bool(), info["endCursor"].as_str()) {
            (Some(false), _) => None,
            (Some(true), Some(cursor)) => Some(cursor.to_owned()),
            _ => return Err(GraphqlError::Body(format!("the answer does not say where {} goes on: {info}", self.at))),
        };
        let mut left_out = Vec::new();
        let mut kept = Vec::with_capacity(nodes.len());
        for node in nodes {
            match node.is_null() && faults.is_empty() {
                true => left_out.push("an item that is null".to_owned()),
                false => kept.push(node),
            }
        }
        kept.retain(|node| !node.is_null());
        let page = Page { nodes: kept, total: connection["totalCount"].as_u64(), next, left_out };
        Ok((page, (!faults.is_empty()).then_some(GraphqlError::Faults(faults))))
    }
}

fn missing(at: &str) -> Fault {
    let why = "no such account or repository, or the credential may not see it";
    Fault::new("NOT_FOUND", format!("there is nothing at {at}: {why}"))
}

/// Fetches what the inner connections of these nodes did not hold, and adds it to them. What could not be had is said.
pub fn complete(api: &Api, kind: &'static str, nodes: &mut [Value]) -> Result<Vec<String>, Stop> {
    let mut left_out = Vec::new();
    let mut size = PageSize::new(INNER_PAGE);
    let mut wanted: Vec<(usize, More)> =
        nodes.iter().enumerate().flat_map(|(place, node)| open_ends(place, node)).collect();
    let mut seen: HashSet<(usize, &str, String)> = HashSet::new();
    while !wanted.is_empty() {
        let batch: Vec<(usize, More)> = wanted.drain(..wanted.len().min(queries::MORE_PAGE)).collect();
        let asked: Vec<More> = batch.iter().map(|(_, more)| more.clone()).collect();
        let answer = loop {
            let error = match api.query(&queries::more(kind, &asked, size.get()), &json!({})) {
                Ok(answer) if answer.faults.is_empty() => break Some(answer),
                // Somebody has just deleted one of them; the others are there.
                Ok(answer) if answer.faults.iter().all(|fault| fault.is("NOT_FOUND")) => break Some(answer),
                Ok(answer) => GraphqlError::Faults(answer.faults),
                Err(error) if error.is_too_much() => error,
                Err(error) => return Err(error.into()),
            };
            if !size.shrink() {
                left_out.extend(batch.iter().map(|(place, more)| {
                    format!("{}: more of its {}: {error}", nodes[*place]["number"], more.connection)
                }));
                break None;
            }
        };
        let Some(mut answer) = answer else { continue };
        for (number, (place, more)) in batch.into_iter().enumerate() {
            let connection = answer.data.pointer_mut(&format!("/n{number}/{}", more.connection)).map(Value::take);
            let Some(Value::Object(mut connection)) = connection else { continue };
            if let Some(Value::Array(items)) = connection.remove("nodes")
                && let Some(known) = nodes[place][more.connection]["nodes"].as_array_mut()
            {
                known.extend(items);
            }
            let info = connection.remove("pageInfo").unwrap_or_default();
            nodes[place][more.connection]["pageInfo"] = info;
            let goes_on =
                open_ends(place, &nodes[place]).into_iter().find(|(_, next)| next.connection == more.connection);
            match goes_on {
                Some((_, next)) if seen.insert((place, next.connection, next.after.clone())) => {
                    wanted.push((place, next))
                }
                Some(_) => left_out.push(format!("{}: its {} do not end", nodes[place]["number"], more.connection)),
                None => {}
            }
        }
    }
    Ok(left_out)
}

/// The inner connections of a node that go on.
fn open_ends(place: usize, node: &Value) -> Vec<(usize, More)> {
    queries::INNER
        .iter()
        .filter_map(|(name, _, _)| {
            let info = &node[*name]["pageInfo"];
            let after = info["endCursor"].as_str().filter(|_| info["hasNextPage"] == true)?;
            Some((place, More { id: node["id"].as_str()?.to_owned(), connection: name, after: after.to_owned() }))
        })
        .collect()
}

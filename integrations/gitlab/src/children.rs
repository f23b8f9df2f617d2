//! What hangs on merge requests and issues: comments, commits, approvals, reviewers. It is asked for only where something has moved,
//! and comments and reviewers only where there are any: some dozen items at a time by GraphQL (`graphql`), and what does not come
//! that way by REST, which has no list of these for a whole project. So each is a request of its own there, several at a time:
//!
//! | Of | Requests by REST |
//! |---|---|
//! | an issue | comments, unless the list counts none: 0 or 1 for each hundred |
//! | a merge request | commits and approvals, and as an issue comments; reviewers, where it has any: 2 to 4 |
//!
//! What cannot be had is noted in the item, which goes on without, and is asked for again by the next runs.

use agent_sdk::http::{HttpError, Request, Response, parallel};
use integration_model::Stop;
use integration_model::notes;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::threads::Scope;
use crate::walk::Walk;

/// Requests under way at a time: servers of one's own are small, and serve people beside us.
pub const AT_ONCE: usize = 6;

/// Items that are completed together by REST: some dozen requests, of which a spent budget loses no more.
pub const COMPLETED_AT_ONCE: usize = 10;

/// The members that are added to an item, which are called what REST calls the lists, but for comments.
const PREFIX: &str = "agent:";
pub const COMMENTS: &str = "agent:comments";
pub const COMMITS: &str = "agent:commits";
pub const APPROVALS: &str = "agent:approvals";
pub const REVIEWERS: &str = "agent:reviewers";
/// What could not be had of an item, for people.
const MISSING: &str = "agent:missing";

/// A list that is to be fetched for an item.
struct Wanted {
    /// The item's place among its page.
    place: usize,
    member: &'static str,
    request: Request,
}

/// The lists that are to be had of an item.
fn members(kind: &str, node: &Value) -> Vec<&'static str> {
    let mut members = Vec::new();
    // A server that does not count them is asked.
    if node["user_notes_count"].as_u64() != Some(0) {
        members.push(COMMENTS);
    }
    if kind == "merge_requests" {
        members.extend([COMMITS, APPROVALS]);
        if node["reviewers"].as_array().is_some_and(|reviewers| !reviewers.is_empty()) {
            members.push(REVIEWERS);
        }
    }
    members
}

/// Fetches what hangs on these items, and adds it to them.
pub fn complete(scope: &mut Scope<'_>, kind: &'static str, nodes: &mut [Value]) -> Result<(), Stop> {
    let mut wanted: Vec<(usize, u64, &'static str)> = Vec::new();
    for (place, node) in nodes.iter().enumerate() {
        let Some(number) = node["iid"].as_u64() else { continue };
        wanted.extend(members(kind, node).into_iter().map(|member| (place, number, member)));
    }
    let mut numbers: Vec<u64> = wanted.iter().map(|(_, number, _)| *number).collect();
    numbers.dedup();
    let mut come = scope.api.graphql.children(scope.project, kind, &numbers)?;
    wanted.retain(|(place, number, member)| {
        let found = come.get_mut(number).and_then(|members| members.remove(*member));
        let rest = found.is_none();
        if let Some(found) = found {
            nodes[*place][*member] = found;
        }
        rest
    });
    let id = scope.project.ref_id();
    let wanted = wanted.into_iter().map(|(place, number, member)| {
        let list = if member == COMMENTS { "notes" } else { member.trim_start_matches(PREFIX) };
        let request = scope.api.list(&["projects", &id, kind, &number.to_string(), list]);
        Wanted { place, member, request }
    });
    by_rest(wanted.collect(), nodes)
}

/// The same of each list by itself.
fn by_rest(wanted: Vec<Wanted>, nodes: &mut [Value]) -> Result<(), Stop> {
    let requests: Vec<Request> = wanted.iter().map(|wanted| wanted.request.clone()).collect();
    for (wanted, answer) in wanted.into_iter().zip(parallel(requests, AT_ONCE)) {
        let found = match read(&wanted, answer) {
            Ok(Some(found)) => found,
            Ok(None) => continue,
            // It is the item that is asked for again, and not the run that ends.
            Err(stop) if stop.is_passing() => {
                let why = format!("its {}: {}", wanted.member.trim_start_matches(PREFIX), stop.into_error());
                let missing = nodes[wanted.place].get(MISSING).and_then(Value::as_str);
                nodes[wanted.place][MISSING] = missing.map_or(why.clone(), |before| format!("{before}; {why}")).into();
                continue;
            }
            Err(stop) => return Err(stop),
        };
        nodes[wanted.place][wanted.member] = found.into();
    }
    Ok(())
}

/// All of a list whose first page has been asked for; none where there is no such list.
fn read(wanted: &Wanted, answer: Result<Response, HttpError>) -> Result<Option<Vec<Value>>, Stop> {
    let answer = answer?;
    // Approvals and reviewers are not there in every version and plan; the rest may have gone a moment ago.
    if matches!(answer.status, 404 | 410) || answer.status == 403 && wanted.member == APPROVALS {
        return Ok(None);
    }
    let answer = answer.check()?;
    if wanted.member == APPROVALS {
        return Ok(Some(answer.json_at("/approved_by").unwrap_or_default()));
    }
    let mut found: Vec<Value> = answer.json()?;
    let more = answer.header("link").is_some_and(|link| link.contains("rel=\"next\""));
    if more {
        // More than a hundred are rare, and so are read once more from the first.
        found.clear();
        let mut walk = Walk::new(wanted.request.clone(), None);
        while let Some(page) = walk.next()? {
            found.extend(page.nodes);
        }
    }
    Ok(Some(found))
}

/// What could not be had of an item.
pub fn missing(node: &Value) -> Option<String> {
    node.get(MISSING)?.as_str().map(str::to_owned)
}

/// The items of an added list that are what they should be; the others are noted.
pub fn items<T: DeserializeOwned>(node: &mut Value, member: &str, scope: &mut Scope<'_>) -> Vec<T> {
    // Looked up and not indexed: what is no object has nothing in it, where an index would end the run.
    let Some(Value::Array(list)) = node.get_mut(member).map(Value::take) else { return Vec::new() };
    let number = node["iid"].clone();
    let mut found = Vec::with_capacity(list.len());
    for item in list {
        let id = item.get("id").cloned().unwrap_or_default();
        match notes::read(item) {
            Ok(item) => found.push(item),
            Err(why) => {
                scope.notes.left_out(&format!("{} of {number}, {id}: {why}", member.trim_start_matches(PREFIX)));
            }
        }
    }
    found
}

//! What lists of issues and of merge requests have in common here: the project that they are read of, and how they are asked
//! for. How they are read is `integration_model::threads`'.

use agent_sdk::http::parallel;
use agent_sdk::sweep::Ids;
use integration_model::Stop;
use integration_model::deletions::Accepted;
use integration_model::notes::Notes;
use integration_model::people::People;
use integration_model::threads::{Latest, Looked, Page, Part};
use serde_json::Value;

use crate::api::Api;
use crate::children;
use crate::project::Found;
use crate::walk::Walk;

/// Numbers that are looked up in one request; each is some bytes of the URL.
pub const LOOK_UP_PAGE: usize = 50;

/// What an export of one project works with.
pub struct Scope<'a> {
    pub api: &'a Api,
    pub people: &'a mut People,
    pub notes: Notes,
    pub project: &'a Found,
    pub accepted: &'a Accepted,
}

impl Scope<'_> {
    /// The id of an issue or a merge request.
    pub fn thread_id(&self, number: u64) -> String {
        format!("{}/{number}", self.project.id)
    }
}

/// Issues, or merge requests.
pub struct List {
    /// The last segment of its URL.
    pub kind: &'static str,
}

/// A walk over a list, and whether it is the whole list.
pub struct Reading {
    walk: Walk,
    whole: bool,
}

impl List {
    /// The newest of a project's or a group's list, and how many there are, where the server counts them.
    pub fn latest(&self, api: &Api, above: &[&str]) -> Result<Latest, Stop> {
        let segments: Vec<&str> = [above, &[self.kind]].concat();
        let request = everything(api.request("GET", &segments)).query("order_by", "updated_at").query("sort", "desc");
        let answer = request.query("per_page", 1).send()?.check()?;
        let newest: Vec<Value> = answer.json()?;
        let updated_at = newest.first().and_then(|item| item["updated_at"].as_str()).map(str::to_owned);
        let count = answer.header("x-total").and_then(|total| total.parse().ok());
        let count = match count {
            // Above ten thousand the server leaves it out; issues can be counted otherwise.
            None if self.kind == "issues" => statistics(api, above)?,
            count => count,
        };
        Ok(Latest { count, updated_at })
    }

    /// All of a list that was updated from a time on, in an order that nothing changes.
    pub fn since(&self, api: &Api, above: &[&str], since: Option<&str>) -> agent_sdk::http::Request {
        let segments: Vec<&str> = [above, &[self.kind]].concat();
        let request = everything(api.list(&segments)).query("order_by", "created_at").query("sort", "asc");
        // Offered for issues of projects by newer servers; most others do not look at it, and `walk` knows those that do.
        let keyset = self.kind == "issues" && above.first() == Some(&"projects");
        let request = request.query_opt("pagination", keyset.then_some("keyset"));
        request.query_opt("updated_after", since)
    }

    pub fn walk(&self, scope: &Scope<'_>, part: Part<'_>) -> Reading {
        let request = self.since(scope.api, &["projects", &scope.project.ref_id()], part.since);
        Reading { walk: Walk::new(request, part.after), whole: part.since.is_none() }
    }

    /// The next page. What a filtered list says of its length is not that of the list.
    pub fn next(reading: &mut Reading) -> Result<Option<Page>, Stop> {
        let page = reading.walk.next()?;
        Ok(page.map(|page| Page { total: page.total.filter(|_| reading.whole), ..page }))
    }

    pub fn complete(&self, scope: &mut Scope<'_>, nodes: &mut [Value]) -> Result<(), Stop> {
        children::complete(scope, self.kind, nodes)
    }

    /// The numbers of all of them, a request for a hundred; none where the list cannot be trusted.
    pub fn numbers(&self, scope: &mut Scope<'_>) -> Result<Option<Ids>, Stop> {
        let mut request = self.since(scope.api, &["projects", &scope.project.ref_id()], None);
        if self.kind == "merge_requests" {
            request = request.query("view", "simple");
        }
        let mut walk = Walk::new(request, None);
        let mut listed = Ids::new();
        while let Some(page) = walk.next()? {
            if let Some(why) = page.left_out.first() {
                let what = format!("what has gone of {}: the list is not whole: {why}", self.kind);
                scope.notes.left_out(&what);
                return Ok(None);
            }
            listed.extend(page.nodes.iter().filter_map(|node| node["iid"].as_u64()));
        }
        Ok(Some(listed))
    }

    /// What is under these numbers.
    pub fn look_up(&self, scope: &Scope<'_>, numbers: &[u64]) -> Result<Vec<Looked>, Stop> {
        let id = scope.project.ref_id();
        let request = everything(scope.api.list(&["projects", &id, self.kind])).queries("iids[]", numbers);
        let answer = request.send()?.check()?;
        let mut found: Vec<Value> = answer.json()?;
        let mut looked = Vec::with_capacity(numbers.len());
        for number in numbers {
            let place = found.iter().position(|node| node["iid"].as_u64() == Some(*number));
            looked.push(match place {
                Some(place) => Looked::There(found.swap_remove(place)),
                // What a list does not have is asked for by itself before it is said to have gone.
                None => match scope.api.find(&["projects", &id, self.kind, &number.to_string()])? {
                    Some(answer) => Looked::There(answer.json()?),
                    None => Looked::Gone,
                },
            });
        }
        Ok(looked)
    }
}

/// The ids of an item's comments; none where these are not all that there are.
pub fn comments_there(node: &Value) -> Option<Vec<String>> {
    let all = match node.get(children::COMMENTS) {
        Some(all) => all.as_array()?,
        // Nothing was asked for, because the list counts none.
        None if node["user_notes_count"] == 0 => return Some(Vec::new()),
        None => return None,
    };
    let said = all.iter().filter(|note| note["system"] != true);
    said.map(|note| note["id"].as_u64().map(|id| id.to_string())).collect()
}

/// Those of these comments that are not there any more, each asked for by itself.
pub fn gone_comments(api: &Api, of: &[&str], ids: &[String]) -> Result<Vec<String>, Stop> {
    let request = |id: &String| api.request("GET", &[of, &["notes", id.as_str()]].concat());
    let mut gone = Vec::new();
    for (id, answer) in ids.iter().zip(parallel(ids.iter().map(request), children::AT_ONCE)) {
        let answer = answer?;
        match answer.status {
            404 | 410 => gone.push(id.clone()),
            _ => drop(answer.check()?),
        }
    }
    Ok(gone)
}

/// Lists leave out what is not one's own, not open, or in archived projects, unless they are asked for it.
fn everything(request: agent_sdk::http::Request) -> agent_sdk::http::Request {
    let request = request.query("scope", "all").query("state", "all");
    let of_group = request.url().contains("/groups/");
    if of_group { request.query("non_archived", false) } else { request }
}

/// How many issues there are; none where the server does not say.
fn statistics(api: &Api, above: &[&str]) -> Result<Option<u64>, Stop> {
    let segments: Vec<&str> = [above, &["issues_statistics"]].concat();
    let answer = api.request("GET", &segments).query("scope", "all").send()?;
    Ok(if answer.is_success() { answer.json_at("/statistics/counts/all").ok() } else { None })
}

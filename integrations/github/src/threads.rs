//! What lists of issues and of pull requests have in common here: the repository that they are read of, the queries that they
//! are asked with, and the lists inside of their items. How they are read is `integration_model::threads`'.

use agent_sdk::graphql::Fault;
use agent_sdk::sweep::Ids;
use integration_model::Stop;
use integration_model::deletions::Accepted;
use integration_model::notes::{self, Notes};
use integration_model::people::People;
use integration_model::threads::{Looked, Page, Part};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::Api;
use crate::queries::{EXIST_PAGE, NUMBERS_PAGE, exist, look_up};
use crate::repo::Found;
use crate::walk::{self, Walk};

/// What an export of one repository works with.
pub struct Scope<'a> {
    pub api: &'a Api,
    pub people: &'a mut People,
    pub notes: Notes,
    pub repo: &'a Found,
    pub accepted: &'a Accepted,
}

impl Scope<'_> {
    /// The id of an issue or a pull request.
    pub fn thread_id(&self, number: u64) -> String {
        format!("{}/{number}", self.repo.id)
    }
}

/// The queries of a list.
pub struct List {
    /// The type's name in the schema.
    pub name: &'static str,
    /// The query, and what steps over an item.
    pub queries: (&'static str, &'static str),
    /// Where the connection is.
    pub at: &'static str,
    pub page: u32,
    /// The query for the numbers of all of them.
    pub numbers: &'static str,
}

impl List {
    /// From the first to the last by creation, or from the newest update back.
    pub fn walk<'a>(&self, scope: &Scope<'a>, part: Part<'_>) -> Walk<'a> {
        let (field, direction) = if part.since.is_none() { ("CREATED_AT", "ASC") } else { ("UPDATED_AT", "DESC") };
        let (owner, name) = scope.repo.parts();
        let variables = json!({ "owner": owner, "name": name, "field": field, "direction": direction });
        Walk::new(scope.api, self.queries, self.at, variables, self.page).after(part.after.map(str::to_owned))
    }

    /// The next page; that it has something new is seen to by whoever reads it.
    pub fn next(walk: &mut Walk<'_>) -> Result<Option<Page>, Stop> {
        walk.saw_new(true);
        walk.next()
    }

    /// Fetches what the inner lists of items did not hold.
    pub fn complete(&self, scope: &mut Scope<'_>, nodes: &mut [Value]) -> Result<(), Stop> {
        for what in walk::complete(scope.api, self.name, nodes)? {
            scope.notes.left_out(&format!("{} {what}", self.name));
        }
        Ok(())
    }

    /// The numbers of all of them, a point for a hundred; none where the list cannot be trusted.
    pub fn numbers(&self, scope: &mut Scope<'_>) -> Result<Option<Ids>, Stop> {
        let (owner, name) = scope.repo.parts();
        let variables = json!({ "owner": owner, "name": name });
        let mut walk = Walk::new(scope.api, (self.numbers, self.numbers), self.at, variables, NUMBERS_PAGE);
        let mut listed = Ids::new();
        while let Some(page) = walk.next()? {
            if let Some(why) = page.left_out.first() {
                let what = format!("what has gone of {}: the list of numbers is not whole: {why}", self.at);
                scope.notes.left_out(&what);
                return Ok(None);
            }
            let before = listed.len();
            listed.extend(page.nodes.iter().filter_map(|node| node["number"].as_u64()));
            walk.saw_new(listed.len() > before);
        }
        Ok(Some(listed))
    }

    /// What is under these numbers.
    pub fn look_up(&self, scope: &Scope<'_>, numbers: &[u64]) -> Result<Vec<Looked>, Stop> {
        let (owner, name) = scope.repo.parts();
        let mut answer = scope.api.query(&look_up(self.name, numbers), &json!({ "owner": owner, "name": name }))?;
        let looked = (0..numbers.len()).map(|place| {
            let alias = format!("n{place}");
            let node = answer.data.pointer_mut(&format!("/repository/{alias}")).map(Value::take);
            if let Some(node) = node.filter(Value::is_object) {
                return Looked::There(node);
            }
            if is_missing(&answer.faults, &alias) { Looked::Gone } else { Looked::Unknown }
        });
        Ok(looked.collect())
    }
}

/// Whether the server says that there is nothing under this name of a query.
fn is_missing(faults: &[Fault], alias: &str) -> bool {
    let about = |path: &[Value]| path.iter().any(|part| *part == alias);
    faults.iter().any(|fault| fault.is("NOT_FOUND") && about(&fault.path))
}

/// Those of these nodes that are not there any more, a point for a hundred.
pub fn gone(api: &Api, ids: &[String]) -> Result<Vec<String>, Stop> {
    let mut gone = Vec::new();
    for batch in ids.chunks(EXIST_PAGE) {
        let answer = api.query(&exist(batch), &json!({}))?;
        let named = batch.iter().enumerate();
        gone.extend(
            named.filter(|(place, _)| is_missing(&answer.faults, &format!("n{place}"))).map(|(_, id)| id.clone()),
        );
    }
    Ok(gone)
}

/// The ids of the comments of a node; none where these are not all.
pub fn comments_there(node: &Value) -> Option<Vec<String>> {
    let comments = node.get("comments")?;
    if comments.pointer("/pageInfo/hasNextPage") != Some(&Value::Bool(false)) {
        return None;
    }
    let nodes = comments.get("nodes")?.as_array()?;
    nodes.iter().map(|comment| comment.get("id")?.as_str().map(str::to_owned)).collect()
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

//! GraphQL, as far as it is modelled: a project's issues and merge requests by their numbers, with what hangs on them. A query is
//! priced as GitLab prices it, by its complexity, and refused as a whole where it is too complex, or asks for what is not there.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use simulator::clock::rfc3339;
use simulator::graphql::{Document, Field, Literal, Selected, parse, value};

use crate::world::{Commit, Issue, MergeRequest, Note, Project, World};

/// What a query of somebody who is signed in may come to.
pub const COMPLEXITY_MAX: u64 = 250;
/// Levels that it may have.
pub const DEPTH_MAX: u64 = 20;
/// Items of a connection at a time, at most and unless the query says otherwise.
const FIRST_MAX: usize = 100;
/// Under this name, a list that is to be paged.
const CONNECTION: &str = "__connection";

/// What the server answers to the body of a request, and how complex that is. Fields of these names are not in its schema.
pub fn answer(world: &World, request: &Value, without: &[&str]) -> (Value, u64) {
    let mut complexity = 0;
    let body = match found(world, request, without, &mut complexity) {
        Ok(data) => json!({ "data": data }),
        Err(why) => json!({ "errors": [{ "message": why, "locations": [{ "line": 1, "column": 1 }] }] }),
    };
    (body, complexity)
}

fn found(world: &World, request: &Value, without: &[&str], complexity: &mut u64) -> Result<Value, String> {
    let document = parse(request["query"].as_str().unwrap_or_default())?;
    let mut variables = document.defaults.clone();
    variables.extend(request["variables"].as_object().cloned().unwrap_or_default());
    let asked = Asked { world, document: &document, variables, without };
    *complexity = asked.complexity(&document.selection);
    let (complexity, depth) = (*complexity, asked.depth(&document.selection));
    if complexity > COMPLEXITY_MAX {
        return Err(format!("Query has complexity of {complexity}, which exceeds max complexity of {COMPLEXITY_MAX}"));
    }
    if depth > DEPTH_MAX {
        return Err(format!("Query has depth of {depth}, which exceeds max depth of {DEPTH_MAX}"));
    }
    let mut data = Map::new();
    for field in asked.fields(&document.selection) {
        let found = match field.name.as_str() {
            "project" => asked.project(&field)?,
            other => return Err(format!("Field '{other}' doesn't exist on type 'Query'")),
        };
        data.insert(field.alias, found);
    }
    Ok(Value::Object(data))
}

struct Asked<'a> {
    world: &'a World,
    document: &'a Document,
    variables: Map<String, Value>,
    without: &'a [&'a str],
}

impl Asked<'_> {
    fn arguments(&self, field: &Field) -> BTreeMap<String, Value> {
        let of = |(name, literal): &(String, Literal)| (name.clone(), value(literal, &self.variables));
        field.arguments.iter().map(of).collect()
    }

    /// The fields of a selection, fragments laid open: those here are all on what they are asked of.
    fn fields(&self, selection: &[Selected]) -> Vec<Field> {
        let of = |selected: &Selected| match selected {
            Selected::Field(field) => vec![field.clone()],
            Selected::On(_, inner) => self.fields(inner),
            Selected::Fragment(name) => {
                self.document.fragments.get(name).map(|(_, inner)| self.fields(inner)).unwrap_or_default()
            }
        };
        selection.iter().flat_map(of).collect()
    }

    fn depth(&self, selection: &[Selected]) -> u64 {
        self.fields(selection).iter().map(|field| 1 + self.depth(&field.selection)).max().unwrap_or(0)
    }

    /// Each field counts one, those that ask Gitaly two, and some five; what a resolver gives counts a hundredth more for each item
    /// that it is asked for, unless these are named.
    fn complexity(&self, selection: &[Selected]) -> u64 {
        let mut sum = 0;
        for field in self.fields(selection) {
            let arguments = self.arguments(&field);
            let below = self.complexity(&field.selection);
            let first =
                arguments.get("first").and_then(Value::as_u64).unwrap_or(FIRST_MAX as u64).min(FIRST_MAX as u64);
            let named = arguments.get("iids").is_some_and(|iids| !iids.is_null());
            sum += match field.name.as_str() {
                "notes" => (below + 1) + (below + 1) * first / 100,
                "issues" | "mergeRequests" if named => below + 1,
                "issues" | "mergeRequests" => (below + 1) + (below + 1) * first / 100,
                "commits" => below + 2,
                "reviewers" => below + 5,
                _ => below + 1,
            };
        }
        sum
    }

    fn project(&self, field: &Field) -> Result<Value, String> {
        let arguments = self.arguments(field);
        let path = arguments.get("fullPath").and_then(Value::as_str).unwrap_or_default();
        let Some(project) = self.world.projects.iter().find(|project| project.path.eq_ignore_ascii_case(path)) else {
            return Ok(Value::Null);
        };
        let mut out = Map::new();
        for field in self.fields(&field.selection) {
            let found = match field.name.as_str() {
                "id" => gid("Project", project.id),
                "fullPath" => project.path.clone().into(),
                "issues" => self.items("Issue", &field, project)?,
                "mergeRequests" => self.items("MergeRequest", &field, project)?,
                other => return Err(format!("Field '{other}' doesn't exist on type 'Project'")),
            };
            out.insert(field.alias, found);
        }
        Ok(Value::Object(out))
    }

    /// Issues or merge requests, newest first, all of them or those that are named.
    fn items(&self, kind: &str, field: &Field, project: &Project) -> Result<Value, String> {
        let iids = self.arguments(field).get("iids").cloned().unwrap_or_default();
        let named: Option<Vec<u64>> = iids
            .as_array()
            .map(|iids| iids.iter().filter_map(|iid| iid.as_str().and_then(|iid| iid.parse().ok())).collect());
        let wanted = |iid: &u64| named.as_ref().is_none_or(|named| named.contains(iid));
        let items: Vec<Value> = match kind {
            "Issue" if project.has_issues => {
                let issues = project.issues.iter().rev().filter(|(iid, _)| wanted(iid));
                issues.map(|(_, issue)| self.world.issue_node(issue)).collect()
            }
            "MergeRequest" => {
                let all = project.merge_requests.iter().rev().filter(|(iid, _)| wanted(iid));
                all.map(|(_, one)| self.world.merge_request_node(one)).collect()
            }
            _ => Vec::new(),
        };
        self.pick(&connection("Items", items), field)
    }

    /// What a field asks of a value that is written out.
    fn pick(&self, from: &Value, field: &Field) -> Result<Value, String> {
        match from {
            Value::Object(members) if members.contains_key(CONNECTION) => self.page(&members[CONNECTION], field),
            Value::Object(members) => {
                let kind = members.get("__typename").and_then(Value::as_str).unwrap_or_default();
                let mut out = Map::new();
                for field in self.fields(&field.selection) {
                    let member = members.get(&field.name).filter(|_| !self.without.contains(&field.name.as_str()));
                    let missing = || format!("Field '{}' doesn't exist on type '{kind}'", field.name);
                    out.insert(field.alias.clone(), self.pick(member.ok_or_else(missing)?, &field)?);
                }
                Ok(Value::Object(out))
            }
            scalar => Ok(scalar.clone()),
        }
    }

    /// A page of a connection. Its cursor is the place of the last item.
    fn page(&self, items: &Value, field: &Field) -> Result<Value, String> {
        let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
        let arguments = self.arguments(field);
        let first = arguments.get("first").and_then(Value::as_u64).map_or(FIRST_MAX, |first| first as usize);
        let after = arguments.get("after").and_then(Value::as_str).and_then(|after| after.parse().ok()).unwrap_or(0);
        let page: Vec<&Value> = items.iter().skip(after).take(first.min(FIRST_MAX)).collect();
        let end = after + page.len();
        let mut out = Map::new();
        for field in self.fields(&field.selection) {
            let found = match field.name.as_str() {
                "nodes" => page.iter().map(|item| self.pick(item, &field)).collect::<Result<_, _>>()?,
                "count" => items.len().into(),
                "pageInfo" => {
                    let info = json!({ "hasNextPage": end < items.len(), "endCursor": end.to_string() });
                    self.pick(&info, &field)?
                }
                other => return Err(format!("Field '{other}' doesn't exist on type 'Connection'")),
            };
            out.insert(field.alias, found);
        }
        Ok(Value::Object(out))
    }
}

fn gid(kind: &str, id: u64) -> Value {
    format!("gid://gitlab/{kind}/{id}").into()
}

fn connection(kind: &str, items: Vec<Value>) -> Value {
    json!({ "__typename": kind, CONNECTION: items })
}

/// GraphQL tells times to the second.
fn commit_node(commit: &Commit) -> Value {
    json!({
        "__typename": "Commit", "sha": commit.sha, "title": commit.title, "message": format!("{}\n", commit.title),
        "authorName": commit.name, "authorEmail": commit.email, "authoredDate": rfc3339(commit.at),
        "committerName": commit.name, "committerEmail": commit.email, "committedDate": rfc3339(commit.at),
        "webUrl": format!("https://gitlab.invalid/-/commit/{}", commit.sha)
    })
}

impl World {
    fn person_node(&self, place: usize) -> Value {
        let user = &self.users[place];
        json!({
            "__typename": "UserCore", "id": gid("User", user.id), "username": user.username, "name": user.name,
            "avatarUrl": null, "webUrl": format!("https://gitlab.invalid/{}", user.username)
        })
    }

    fn note_node(&self, note: &Note) -> Value {
        let position =
            note.path.as_ref().map(|path| json!({ "__typename": "DiffPosition", "newPath": path, "oldPath": path }));
        let kind = if position.is_some() { "DiffNote" } else { "Note" };
        json!({
            "__typename": "Note", "id": gid(kind, note.id), "system": note.system, "body": note.body,
            "author": self.person_node(note.author), "createdAt": rfc3339(note.created),
            "updatedAt": rfc3339(note.updated), "position": position
        })
    }

    fn notes_node(&self, notes: &[Note]) -> Value {
        connection("NoteConnection", notes.iter().map(|note| self.note_node(note)).collect())
    }

    fn issue_node(&self, issue: &Issue) -> Value {
        json!({
            "__typename": "Issue", "iid": issue.thread.iid.to_string(), "title": issue.thread.title,
            "notes": self.notes_node(&issue.thread.notes)
        })
    }

    fn merge_request_node(&self, one: &MergeRequest) -> Value {
        let newest_first = one.commits.iter().rev().map(commit_node).collect();
        let reviewer = |(user, state): &(usize, &str)| {
            let mut person = self.person_node(*user);
            person["mergeRequestInteraction"] =
                json!({ "__typename": "UserMergeRequestInteraction", "reviewState": state.to_uppercase() });
            person
        };
        json!({
            "__typename": "MergeRequest", "iid": one.thread.iid.to_string(), "title": one.thread.title,
            "notes": self.notes_node(&one.thread.notes), "commits": connection("CommitConnection", newest_first),
            "approvedBy": connection("UserCoreConnection", one.approvals.iter().map(|user| self.person_node(*user)).collect()),
            "reviewers": connection("MergeRequestReviewerConnection", one.reviewers.iter().map(reviewer).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;

    fn ask(world: &World, query: &str, variables: Value) -> Value {
        answer(world, &json!({ "query": query, "variables": variables }), &[]).0
    }

    #[test]
    fn items_are_given_by_their_numbers_and_their_lists_in_pages() {
        let mut world = World::new(&Size { projects: 1, ..Size::default() });
        let path = world.projects[0].path.clone();
        let iid = *world.projects[0].issues.keys().next().unwrap();
        for _ in 0..5 {
            world.comment_on(0, true, iid, 1);
        }
        let query =
            "query($path: ID!, $iids: [String!]) { project(fullPath: $path) { id x: issues(iids: $iids) { nodes { iid
            notes(first: 2) { pageInfo { hasNextPage endCursor } nodes { id author { username } } } } } } }";
        let got = ask(&world, query, json!({ "path": path, "iids": [iid.to_string(), "999999"] }));
        let nodes = got["data"]["project"]["x"]["nodes"].as_array().unwrap().clone();
        assert_eq!((nodes.len(), &nodes[0]["iid"]), (1, &json!(iid.to_string())));
        assert_eq!(nodes[0]["notes"]["pageInfo"], json!({ "hasNextPage": true, "endCursor": "2" }));
        assert_eq!(nodes[0]["notes"]["nodes"].as_array().unwrap().len(), 2);
        assert_eq!(ask(&world, query, json!({ "path": "nobody/x" }))["data"]["project"], Value::Null);
    }

    #[test]
    fn what_is_too_complex_or_not_there_is_refused_as_a_whole() {
        let world = World::new(&Size { projects: 1, ..Size::default() });
        let error = |query: &str, without: &[&str]| {
            let (got, _) =
                answer(&world, &json!({ "query": query, "variables": { "path": world.projects[0].path } }), without);
            assert!(got.get("data").is_none(), "{got}");
            got["errors"][0]["message"].as_str().unwrap().to_owned()
        };
        let notes = "notes(first: 100) { nodes { id system body createdAt updatedAt author { id username name } } }";
        let many = format!("a: {notes} b: {notes} c: {notes} d: {notes} e: {notes} f: {notes}");
        let query = format!(
            "query($path: ID!) {{ project(fullPath: $path) {{ issues(first: 100) {{ nodes {{ {many} }} }} }} }}"
        );
        assert!(error(&query, &[]).contains("exceeds max complexity of 250"), "{}", error(&query, &[]));
        let query = "query($path: ID!) { project(fullPath: $path) { issues { nodes { colour } } } }";
        assert!(error(query, &[]).contains("'colour' doesn't exist on type 'Issue'"));
        let query = "query($path: ID!) { project(fullPath: $path) { issues { nodes { title } } } }";
        assert!(error(query, &["title"]).contains("'title' doesn't exist"));
        assert!(error("{ currentUser { id } }", &[]).contains("on type 'Query'"));
    }
}

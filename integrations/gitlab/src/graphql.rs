//! What hangs on issues and merge requests, by GraphQL: some dozen of them in one query, where REST takes a request or more for
//! each. What comes is brought into the form that REST has, so that a record is the same whichever way it came.
//!
//! Versions of a server that people run themselves differ in what they know, and one field that is not known costs the whole query.
//! So this is a short cut and nothing depends on it. What does not come by it is asked for by REST: an item, a list of one that
//! is longer than a page, or everything for the rest of the run, where the server or a grant does not allow it.
//!
//! A query's complexity is its fields, twice as many below a resolver that gives a hundred, and nothing more below one that is
//! asked for items by their numbers: 80 for [`MERGE_REQUESTS`], 35 for [`ISSUES`], of the 250 that a server allows. Of the depth
//! that it allows, 20 levels, they take 7.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use agent_sdk::graphql::{Answer, Graphql, GraphqlError, PageSize};
use agent_sdk::http::{HttpError, Request};
use agent_sdk::{Result, log, state};
use integration_model::Stop;
use serde_json::{Map, Value, json};

use crate::children::{APPROVALS, COMMENTS, COMMITS, REVIEWERS};
use crate::project::Found;

/// Issues, and merge requests, of one query. Fewer of those that have more.
const ISSUES_PAGE: u32 = 50;
const MERGE_REQUESTS_PAGE: u32 = 25;
/// Queries in a row that could not be had even for one item, before the rest of the run does without.
const STRIKES_MAX: u32 = 3;
/// Where it is noted that the way is closed, and for how long: a server that does not know a field learns it with an upgrade, and
/// one that is too slow may be quicker in an hour.
const CLOSED: &str = "graphql/closed";
const CLOSED_SECS: u32 = 24 * 3_600;
const STRUCK_SECS: u32 = 3_600;
/// What the server writes of an approval, in whatever language people read it.
const APPROVED: &str = "approved this merge request";

macro_rules! who {
    () => {
        "{ id username name avatarUrl webUrl }"
    };
}

/// Comments of issues.
pub const ISSUES: &str = concat!(
    "query($path: ID!, $iids: [String!], $first: Int) { project(fullPath: $path) { id
    items: issues(iids: $iids, first: $first) { nodes { iid
        notes(first: 100) { pageInfo { hasNextPage } nodes { id system body createdAt updatedAt author ",
    who!(),
    " } } } } } }"
);

/// Comments, commits, approvals and reviewers of merge requests.
pub const MERGE_REQUESTS: &str = concat!(
    "query($path: ID!, $iids: [String!], $first: Int) { project(fullPath: $path) { id
    items: mergeRequests(iids: $iids, first: $first) { nodes { iid
        notes(first: 100) { pageInfo { hasNextPage } nodes { id system body createdAt updatedAt author ",
    who!(),
    " position { newPath oldPath } } }
        commits(first: 100) { pageInfo { hasNextPage } nodes { sha title message webUrl authorName authorEmail authoredDate
            committerName committerEmail committedDate } }
        approvedBy(first: 100) { pageInfo { hasNextPage } nodes ",
    who!(),
    " }
        reviewers(first: 100) { pageInfo { hasNextPage } nodes { mergeRequestInteraction { reviewState }
            id username name avatarUrl webUrl } }
    } } } }"
);

/// The way by GraphQL, as long as it is open.
pub struct Way {
    open: RefCell<Option<Open>>,
    /// The server without a path, which those of avatars are below.
    origin: String,
    /// Whether the next runs are told that it is closed: a call that exports nothing has nowhere to tell it.
    told: Cell<bool>,
}

struct Open {
    client: Graphql,
    /// How many issues, and merge requests, are asked for at a time.
    sizes: [PageSize; 2],
    strikes: u32,
    /// Whether anything has come by it in this run.
    gone: bool,
}

/// What came of items, by their numbers: members as REST has them.
pub type Come = HashMap<u64, Map<String, Value>>;

fn place_of(kind: &str) -> usize {
    usize::from(kind != "issues")
}

impl Way {
    /// By this request; none where it is not wanted.
    pub fn new(request: Option<Request>, server: &str) -> Way {
        let sizes = [PageSize::new(ISSUES_PAGE), PageSize::new(MERGE_REQUESTS_PAGE)];
        let open = request.map(|request| Open { client: Graphql::new(request), sizes, strikes: 0, gone: false });
        let host = server.find("://").map_or(0, |at| at + 3);
        let end = server[host..].find('/').map_or(server.len(), |slash| host + slash);
        Way { open: RefCell::new(open), origin: server[..end].to_owned(), told: Cell::new(false) }
    }

    /// For an export: closed, where an earlier run has found it to be. Otherwise each would ask for much that it then has to ask
    /// for once more.
    pub fn remembered(&self) -> Result<()> {
        self.told.set(true);
        if state::get(CLOSED)?.is_some() {
            self.open.replace(None);
        }
        Ok(())
    }

    /// How many items are asked for at a time, at the most; none where the way is not open, or has not been gone yet: whether it
    /// leads anywhere is found out with few.
    pub fn at_once(&self, kind: &str) -> Option<usize> {
        let most = [ISSUES_PAGE, MERGE_REQUESTS_PAGE][place_of(kind)];
        self.open.borrow().as_ref().filter(|open| open.gone).map(|_| most as usize)
    }

    /// What hangs on these issues or merge requests of a project, as far as it comes.
    pub fn children(&self, project: &Found, kind: &str, numbers: &[u64]) -> Result<Come, Stop> {
        let (mut come, mut rest) = (Come::new(), numbers);
        // Of a project that is known by its number alone there is no way.
        while !rest.is_empty() && !project.path.is_empty() {
            let Some(size) = self.size(kind) else { break };
            let (some, more) = rest.split_at(rest.len().min(size));
            let asked = self.ask(project, kind, some);
            match asked {
                Ok(answer) => {
                    self.grow(kind);
                    if !self.take(project, answer, &mut come) {
                        break;
                    }
                    rest = more;
                }
                Err(error @ GraphqlError::RateLimited(_)) => return Err(error.into()),
                Err(error) if error.is_too_much() => {
                    if !self.shrink(kind, some.len(), &error)? {
                        rest = more;
                    }
                }
                Err(error) => self.close(&error, if is_lasting(&error) { CLOSED_SECS } else { 0 })?,
            }
        }
        Ok(come)
    }

    fn size(&self, kind: &str) -> Option<usize> {
        self.open.borrow().as_ref().map(|open| open.sizes[place_of(kind)].get() as usize)
    }

    fn ask(&self, project: &Found, kind: &str, numbers: &[u64]) -> Result<Answer, GraphqlError> {
        let open = self.open.borrow();
        let Some(open) = open.as_ref() else { return Err(HttpError::Other("it is not open".to_owned()).into()) };
        let iids: Vec<String> = numbers.iter().map(u64::to_string).collect();
        let variables = json!({ "path": project.path, "iids": iids, "first": iids.len() });
        open.client.query([ISSUES, MERGE_REQUESTS][place_of(kind)], &variables)
    }

    fn grow(&self, kind: &str) {
        if let Some(open) = self.open.borrow_mut().as_mut() {
            open.sizes[place_of(kind)].succeeded();
            (open.strikes, open.gone) = (0, true);
        }
    }

    /// Asks for less from now on. False where it cannot be less: these items are REST's then.
    fn shrink(&self, kind: &str, asked: usize, error: &GraphqlError) -> Result<bool> {
        let what = [("asked for", asked.to_string()), ("error", error.to_string())];
        log::debug(
            "the server could not give what hangs on items",
            &what.each_ref().map(|(name, text)| (*name, text.as_str())),
        );
        let struck = {
            let mut open = self.open.borrow_mut();
            let Some(open) = open.as_mut() else { return Ok(false) };
            let size = &mut open.sizes[place_of(kind)];
            while size.shrink() {
                if (size.get() as usize) < asked {
                    return Ok(true);
                }
            }
            open.strikes += 1;
            open.strikes >= STRIKES_MAX
        };
        if struck {
            self.close(error, STRUCK_SECS)?;
        }
        Ok(false)
    }

    /// Has the rest of the run do without, and the next ones for so long.
    fn close(&self, error: &GraphqlError, secs: u32) -> Result<()> {
        self.open.replace(None);
        if self.told.get() && secs > 0 {
            state::set_expiring(CLOSED, "closed", secs)?;
        }
        let fields = [("why", error.to_string())];
        log::info(
            "what hangs on issues and merge requests is not to be had by GraphQL; each is asked for by REST, in many more requests",
            &fields.each_ref().map(|(name, text)| (*name, text.as_str())),
        );
        Ok(())
    }

    /// Takes what an answer has. False where it is about another project, or about none that the credential sees.
    fn take(&self, project: &Found, mut answer: Answer, come: &mut Come) -> bool {
        let found = &mut answer.data["project"];
        if found["id"].as_str().and_then(number_of) != Some(project.id) {
            return false;
        }
        let Value::Array(nodes) = found["items"]["nodes"].take() else { return true };
        for mut node in nodes {
            // Beside faults, some are null.
            let Some(number) = node["iid"].as_str().and_then(|iid| iid.parse().ok()) else { continue };
            let lists =
                [("notes", COMMENTS), ("commits", COMMITS), ("approvedBy", APPROVALS), ("reviewers", REVIEWERS)];
            let approved = approvals_in(&node["notes"]["nodes"]);
            let members = lists.into_iter().filter_map(|(name, member)| {
                let list = whole(node.get_mut(name)?)?;
                let items: Vec<Value> =
                    list.into_iter().map(|item| self.item(member, item, &approved)).collect::<Option<_>>()?;
                Some((member.to_owned(), Value::Array(items)))
            });
            come.insert(number, members.collect());
        }
        true
    }

    /// An item of a list in the form of REST; none where it has none there.
    fn item(&self, member: &str, item: Value, approved: &HashMap<String, String>) -> Option<Value> {
        match member {
            COMMENTS => self.note(&item),
            COMMITS => Some(commit(&item)),
            APPROVALS => {
                let at = item["id"].as_str().and_then(|id| approved.get(id));
                Some(json!({ "user": self.person(&item)?, "approved_at": at }))
            }
            _ => {
                let state = item["mergeRequestInteraction"]["reviewState"].as_str()?.to_lowercase();
                Some(json!({ "user": self.person(&item)?, "state": state }))
            }
        }
    }

    fn note(&self, note: &Value) -> Option<Value> {
        let author = if note["author"].is_null() { Value::Null } else { self.person(&note["author"])? };
        let position = &note["position"];
        Some(json!({
            "id": note["id"].as_str().and_then(number_of)?, "system": note["system"], "body": note["body"],
            "author": author, "created_at": note["createdAt"], "updated_at": note["updatedAt"],
            "type": position.is_object().then_some("DiffNote"),
            "position": { "new_path": position["newPath"], "old_path": position["oldPath"] }
        }))
    }

    fn person(&self, person: &Value) -> Option<Value> {
        // Those that the server keeps itself come without it.
        let avatar = person["avatarUrl"].as_str();
        let avatar =
            avatar.map(|url| if url.starts_with('/') { format!("{}{url}", self.origin) } else { url.to_owned() });
        Some(json!({
            "id": person["id"].as_str().and_then(number_of)?, "username": person["username"], "name": person["name"],
            "avatar_url": avatar, "web_url": person["webUrl"]
        }))
    }
}

/// Whether the next run would hear the same. A grant is widened, and a credential renewed, in a moment.
fn is_lasting(error: &GraphqlError) -> bool {
    match error {
        GraphqlError::Faults(_) => true,
        GraphqlError::Status(error) => error.status != 401,
        _ => false,
    }
}

fn commit(commit: &Value) -> Value {
    json!({
        "id": commit["sha"], "title": commit["title"], "message": commit["message"], "web_url": commit["webUrl"],
        "author_name": commit["authorName"], "author_email": commit["authorEmail"],
        "authored_date": commit["authoredDate"], "committer_name": commit["committerName"],
        "committer_email": commit["committerEmail"], "committed_date": commit["committedDate"]
    })
}

/// The items of a list, where these are all of it.
fn whole(list: &mut Value) -> Option<Vec<Value>> {
    if list.pointer("/pageInfo/hasNextPage") != Some(&Value::Bool(false)) {
        return None;
    }
    match list.get_mut("nodes")?.take() {
        Value::Array(items) if !items.iter().any(Value::is_null) => Some(items),
        _ => None,
    }
}

/// When people approved last, by their ids: the list of those who have does not say it, and the server's own notes do.
fn approvals_in(notes: &Value) -> HashMap<String, String> {
    let notes = notes.as_array().map(Vec::as_slice).unwrap_or_default();
    let approving = notes.iter().filter(|note| note["system"] == true && note["body"] == APPROVED);
    let mut found: HashMap<String, String> = HashMap::new();
    for note in approving {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if let (Some(id), Some(at)) = (text(&note["author"]["id"]), text(&note["createdAt"])) {
            let known = found.entry(id).or_insert_with(|| at.clone());
            *known = at.max(std::mem::take(known));
        }
    }
    found
}

/// The number at the end of a global id: `gid://gitlab/DiffNote/17`.
fn number_of(id: &str) -> Option<u64> {
    id.rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Way, approvals_in, number_of, whole};

    #[test]
    fn ids_end_in_their_number() {
        assert_eq!((number_of("gid://gitlab/User/7"), number_of("gid://gitlab/LabelNote/9f0a")), (Some(7), None));
    }

    #[test]
    fn only_a_list_that_is_whole_is_taken() {
        let list =
            |more: Value, nodes: Value| whole(&mut json!({ "pageInfo": { "hasNextPage": more }, "nodes": nodes }));
        assert_eq!(list(json!(false), json!([1])), Some(vec![json!(1)]));
        for (more, nodes) in [
            (json!(true), json!([1])),
            (json!(null), json!([1])),
            (json!(false), json!([1, null])),
            (json!(false), json!(null)),
        ] {
            assert_eq!(list(more, nodes), None);
        }
        assert_eq!(whole(&mut Value::Null), None);
    }

    #[test]
    fn people_are_as_rest_says_them() {
        let person = json!({ "id": "gid://gitlab/User/7", "username": "ada", "name": null, "avatarUrl": "/u/7.png", "webUrl": "w" });
        let of = |server: &str| Way::new(None, server).person(&person).unwrap()["avatar_url"].clone();
        assert_eq!(
            (of("https://x.invalid/gitlab"), of("https://x.invalid")),
            (json!("https://x.invalid/u/7.png"), json!("https://x.invalid/u/7.png"))
        );
        assert_eq!(Way::new(None, "https://x.invalid").person(&json!({ "id": null })), None);
    }

    #[test]
    fn the_last_approval_of_each_is_found_in_the_servers_notes() {
        let note = |id: u64, at: &str, body: &str, system: bool| json!({ "system": system, "body": body, "createdAt": at, "author": { "id": format!("gid://gitlab/User/{id}") } });
        let approved = "approved this merge request";
        let found = approvals_in(&json!([
            note(1, "2026-01-01T00:00:00Z", approved, true),
            note(1, "2026-01-03T00:00:00Z", approved, true),
            note(1, "2026-01-02T00:00:00Z", approved, true),
            note(2, "2026-01-01T00:00:00Z", approved, false),
            null
        ]));
        assert_eq!(found.len(), 1);
        assert_eq!(found["gid://gitlab/User/1"], "2026-01-03T00:00:00Z");
    }
}

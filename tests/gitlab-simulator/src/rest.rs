//! REST v4, as far as it is modelled: lists, single things, changes, and webhooks. Limits and lies are the server's.

use serde_json::{Value, json};
use simulator::clock::parse_rfc3339;
use simulator::http::{Request, decode};

use crate::paging::{Page, by_key, by_number};
use crate::show;
use crate::world::{GROUP, Hook, Issue, MergeRequest, Project, SUBGROUP, Thread, World};

/// What comes back.
pub struct Rest {
    pub status: u16,
    pub body: Value,
    pub headers: Vec<(&'static str, String)>,
    /// An event for the hooks: its name, the project's place, and the payload.
    pub event: Option<(&'static str, usize, Value)>,
}

impl Rest {
    fn of(status: u16, body: Value) -> Rest {
        Rest { status, body, headers: Vec::new(), event: None }
    }

    fn ok(body: Value) -> Rest {
        Rest::of(200, body)
    }

    fn missing() -> Rest {
        Rest::of(404, json!({ "message": "404 Not found" }))
    }

    fn wrong(why: &str) -> Rest {
        Rest::of(400, json!({ "message": why }))
    }

    fn or_missing(found: Option<Value>) -> Rest {
        found.map_or_else(Rest::missing, Rest::ok)
    }
}

impl From<Page> for Rest {
    fn from(page: Page) -> Rest {
        Rest { headers: page.headers, ..Rest::ok(page.items) }
    }
}

/// A request, and what is the same for all of its answers.
pub struct Asked<'a> {
    /// The URL that targets are below.
    pub base: &'a str,
    pub request: &'a Request,
    /// Whether lists lead in a circle.
    pub circle: bool,
}

impl Asked<'_> {
    fn paged<T>(&self, all: &[T], show: impl Fn(&T) -> Value) -> Rest {
        by_number(self.base, self.request, all, self.circle, show).into()
    }

    fn parameter(&self, name: &str) -> Option<String> {
        self.request.parameter(name)
    }
}

/// Answers a request below `/api/v4`.
pub fn answer(world: &mut World, asked: &Asked<'_>) -> Rest {
    let path = asked.request.path().strip_prefix(crate::V4).unwrap_or_default().to_owned();
    let segments: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let body: Value = serde_json::from_slice(&asked.request.body).unwrap_or_default();
    match (asked.request.method.as_str(), segments.as_slice()) {
        ("GET", ["version"]) => Rest::ok(json!({ "version": "17.99.0-ee", "revision": "abcdef" })),
        ("GET", ["users"]) => {
            let name = asked.parameter("username").unwrap_or_default();
            let found = (0..world.users.len()).filter(|place| world.users[*place].username == name);
            Rest::ok(found.map(|place| world.user(place)).collect())
        }
        ("GET", ["users", name, "projects"]) => {
            let owner = world.users.iter().position(|user| user.username == *name);
            let own: Vec<&Project> =
                world.projects.iter().filter(|project| owner.is_some() && project.owner == owner).collect();
            asked.paged(&own, |project| show::project(project))
        }
        (_, ["groups", path, rest @ ..]) if [GROUP, SUBGROUP, "1"].contains(path) => {
            in_group(world, asked, rest, &body)
        }
        (_, ["projects", id, rest @ ..]) => {
            let found = world.projects.iter().position(|project| project.id.to_string() == *id || project.path == *id);
            found.map_or_else(Rest::missing, |place| in_project(world, asked, place, rest, &body))
        }
        _ => Rest::missing(),
    }
}

fn in_group(world: &mut World, asked: &Asked<'_>, rest: &[&str], body: &Value) -> Rest {
    match (asked.request.method.as_str(), rest) {
        ("GET", []) => Rest::ok(show::group()),
        ("GET", ["projects"]) => {
            let mut all: Vec<&Project> = world.of_group().collect();
            all.sort_by_key(|project| project.id);
            asked.paged(&all, |project| show::project(project))
        }
        ("GET", ["members", "all"]) => {
            let members: Vec<usize> = (0..world.users.len()).filter(|place| world.users[*place].member).collect();
            asked.paged(&members, |place| world.member(*place))
        }
        ("GET", ["issues"]) => {
            let all = issues_of(visible(world, asked));
            let all = sifted(all, asked, |(_, issue)| &issue.thread);
            asked.paged(&all, |(project, issue)| world.issue(project, issue))
        }
        ("GET", ["merge_requests"]) => {
            let all = merge_requests_of(visible(world, asked));
            let all = sifted(all, asked, |(_, one)| &one.thread);
            asked.paged(&all, |(project, one)| world.merge_request(project, one))
        }
        ("GET", ["issues_statistics"]) => statistics(issues_of(world.of_group()).len()),
        ("GET", ["milestones"]) => asked.paged(&world.milestones, |one| show::milestone(one, None)),
        ("GET", ["milestones", id]) => {
            let found = world.milestones.iter().find(|one| one.id.to_string() == *id);
            Rest::or_missing(found.map(|one| show::milestone(one, None)))
        }
        (method, ["hooks"]) => {
            let (mut hooks, id) = (std::mem::take(&mut world.hooks), world.id());
            let answer = hooks_answer(&mut hooks, id, method, asked, body);
            world.hooks = hooks;
            answer
        }
        _ => Rest::missing(),
    }
}

/// The group's projects, without those that are archived unless they are asked for.
fn visible<'a>(world: &'a World, asked: &Asked<'_>) -> impl Iterator<Item = &'a Project> {
    let all = asked.parameter("non_archived").as_deref() == Some("false");
    world.of_group().filter(move |project| all || !project.archived)
}

fn issues_of<'a>(projects: impl Iterator<Item = &'a Project>) -> Vec<(&'a Project, &'a Issue)> {
    let with = projects.filter(|project| project.has_issues);
    with.flat_map(|project| project.issues.values().map(move |issue| (project, issue))).collect()
}

fn merge_requests_of<'a>(projects: impl Iterator<Item = &'a Project>) -> Vec<(&'a Project, &'a MergeRequest)> {
    projects.flat_map(|project| project.merge_requests.values().map(move |one| (project, one))).collect()
}

/// What a list of threads has after its filters, in its order.
fn sifted<T>(all: Vec<T>, asked: &Asked<'_>, thread: impl Fn(&T) -> &Thread) -> Vec<T> {
    let since = asked.parameter("updated_after").and_then(|since| parse_rfc3339(&since));
    let query = asked.request.target.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let wanted: Vec<u64> = query
        .split('&')
        .filter_map(|pair| decode(pair).strip_prefix("iids[]=").and_then(|iid| iid.parse().ok()))
        .collect();
    let mut found: Vec<T> = all
        .into_iter()
        .filter(|item| since.is_none_or(|since| thread(item).updated >= since))
        .filter(|item| wanted.is_empty() || wanted.contains(&thread(item).iid))
        .collect();
    let by_update = asked.parameter("order_by").as_deref() == Some("updated_at");
    found.sort_by_key(|item| {
        let thread = thread(item);
        (if by_update { thread.updated } else { thread.created }, thread.id)
    });
    // Newest first, unless it is asked for otherwise.
    if asked.parameter("sort").as_deref() != Some("asc") {
        found.reverse();
    }
    found
}

fn statistics(all: usize) -> Rest {
    Rest::ok(json!({ "statistics": { "counts": { "all": all, "closed": 0, "opened": all } } }))
}

fn in_project(world: &mut World, asked: &Asked<'_>, place: usize, rest: &[&str], body: &Value) -> Rest {
    let project = &world.projects[place];
    match (asked.request.method.as_str(), rest) {
        ("GET", []) => Rest::ok(show::project(project)),
        ("GET", ["issues_statistics"]) => statistics(project.issues.len()),
        ("GET", ["issues", ..]) if !project.has_issues => Rest::of(403, json!({ "message": "403 Forbidden" })),
        ("GET", ["issues"]) => {
            let all = sifted(issues_of(std::iter::once(project)), asked, |(_, issue)| &issue.thread);
            let shown = |(project, issue): &(&Project, &Issue)| world.issue(project, issue);
            if asked.parameter("pagination").as_deref() == Some("keyset") {
                let key = |(_, issue): &(&Project, &Issue)| (issue.thread.created, issue.thread.id);
                return by_key(asked.base, asked.request, &all, asked.circle, key, shown).into();
            }
            asked.paged(&all, shown)
        }
        ("GET", ["merge_requests"]) => {
            let all = sifted(merge_requests_of(std::iter::once(project)), asked, |(_, one)| &one.thread);
            asked.paged(&all, |(project, one)| world.merge_request(project, one))
        }
        ("GET", [kind @ ("issues" | "merge_requests"), iid, below @ ..]) => {
            iid.parse().map_or_else(|_| Rest::missing(), |iid| below_thread(world, asked, project, (kind, iid), below))
        }
        ("GET", ["milestones"]) => asked.paged(&project.milestones, |one| show::milestone(one, Some(project.id))),
        ("GET", ["milestones", id]) => {
            let found = project.milestones.iter().find(|one| one.id.to_string() == *id);
            Rest::or_missing(found.map(|one| show::milestone(one, Some(project.id))))
        }
        ("PUT", [kind @ ("issues" | "merge_requests"), iid]) => change(world, place, *kind == "issues", iid, body),
        ("POST", [kind @ ("issues" | "merge_requests"), iid, "notes"]) => {
            say(world, place, *kind == "issues", iid, body)
        }
        (method, ["hooks"]) => {
            let (mut hooks, id) = (std::mem::take(&mut world.projects[place].hooks), world.id());
            let answer = hooks_answer(&mut hooks, id, method, asked, body);
            world.projects[place].hooks = hooks;
            answer
        }
        _ => Rest::missing(),
    }
}

/// An issue or a merge request, or what hangs on it.
fn below_thread(world: &World, asked: &Asked<'_>, project: &Project, (kind, iid): (&str, u64), below: &[&str]) -> Rest {
    let issue = project.issues.get(&iid).filter(|_| kind == "issues");
    let one = project.merge_requests.get(&iid).filter(|_| kind == "merge_requests");
    let Some(thread) = issue.map(|issue| &issue.thread).or(one.map(|one| &one.thread)) else { return Rest::missing() };
    match (below, one) {
        ([], _) => {
            let shown = issue.map(|issue| world.issue(project, issue));
            Rest::or_missing(shown.or(one.map(|one| world.merge_request(project, one))))
        }
        (["notes"], _) => asked.paged(&thread.notes, |note| world.note_shown(note)),
        (["notes", id], _) => {
            let found = thread.notes.iter().find(|note| note.id.to_string() == *id);
            Rest::or_missing(found.map(|note| world.note_shown(note)))
        }
        (["commits"], Some(one)) => {
            let newest_first: Vec<_> = one.commits.iter().rev().collect();
            asked.paged(&newest_first, |commit| show::commit(commit))
        }
        (["approvals"], Some(one)) => Rest::ok(world.approvals(one)),
        (["reviewers"], Some(one)) => asked.paged(&world.reviewers(one), Value::clone),
        _ => Rest::missing(),
    }
}

fn hooks_answer(hooks: &mut Vec<Hook>, id: u64, method: &str, asked: &Asked<'_>, body: &Value) -> Rest {
    match method {
        "GET" => asked.paged(hooks, show::hook),
        "POST" => {
            let text = |name: &str| body[name].as_str().map(str::to_owned);
            let Some(url) = text("url") else { return Rest::wrong("url is missing") };
            let hook = Hook { id, url, token: text("token").unwrap_or_default(), disabled: false };
            let answer = show::hook(&hook);
            hooks.push(hook);
            Rest::of(201, answer)
        }
        _ => Rest::missing(),
    }
}

/// What a webhook says of a change.
fn payload(project: &Project, issue: bool, thread: &Value, action: &str) -> Value {
    let kind = if issue { "issue" } else { "merge_request" };
    json!({
        "object_kind": kind, "project": { "id": project.id, "path_with_namespace": project.path },
        "object_attributes": { "iid": thread["iid"], "action": action }
    })
}

fn shown(world: &World, place: usize, issue: bool, iid: u64) -> Option<Value> {
    let project = &world.projects[place];
    match issue {
        true => project.issues.get(&iid).map(|issue| world.issue(project, issue)),
        false => project.merge_requests.get(&iid).map(|one| world.merge_request(project, one)),
    }
}

fn change(world: &mut World, place: usize, issue: bool, iid: &str, body: &Value) -> Rest {
    let (now, iid) = (world.now + 1, iid.parse().unwrap_or(0));
    let Some(thread) = world.projects[place].thread_mut(issue, iid) else { return Rest::missing() };
    if let Some(title) = body["title"].as_str() {
        if title.is_empty() {
            return Rest::of(400, json!({ "message": { "title": ["can't be blank"] } }));
        }
        title.clone_into(&mut thread.title);
    }
    if let Some(text) = body["description"].as_str() {
        text.clone_into(&mut thread.body);
    }
    match (body["state_event"].as_str(), thread.state) {
        // Nothing happens, and nothing is said.
        (_, "merged") | (None, _) => {}
        (Some("close"), _) => (thread.state, thread.closed) = ("closed", Some(now)),
        (Some("reopen"), _) => (thread.state, thread.closed) = ("opened", None),
        (Some(_), _) => return Rest::wrong("state_event does not have a valid value"),
    }
    thread.updated = now;
    world.now = now;
    let Some(shown) = shown(world, place, issue, iid) else { return Rest::missing() };
    let event = if issue { "Issue Hook" } else { "Merge Request Hook" };
    let payload = payload(&world.projects[place], issue, &shown, "update");
    Rest { event: Some((event, place, payload)), ..Rest::ok(shown) }
}

fn say(world: &mut World, place: usize, issue: bool, iid: &str, body: &Value) -> Rest {
    let (now, iid) = (world.now + 1, iid.parse().unwrap_or(0));
    let Some(text) = body["body"].as_str().filter(|text| !text.is_empty()) else {
        return Rest::wrong("body is missing");
    };
    let mut note = world.note(now);
    text.clone_into(&mut note.body);
    let answer = world.note_shown(&note);
    let Some(thread) = world.projects[place].thread_mut(issue, iid) else { return Rest::missing() };
    thread.notes.push(note);
    thread.updated = now;
    world.now = now;
    let project = &world.projects[place];
    let kind = if issue { "issue" } else { "merge_request" };
    let payload = json!({
        "object_kind": "note", "project": { "id": project.id, "path_with_namespace": project.path },
        "object_attributes": { "note": text, "action": "create" }, kind: { "iid": iid }
    });
    Rest { event: Some(("Note Hook", place, payload)), ..Rest::of(201, answer) }
}

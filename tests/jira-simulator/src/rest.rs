//! The paths that are answered: REST of both kinds, boards, and the webhooks of administrators.

use serde_json::{Value, json};
use simulator::http::Request;

use crate::jql::{Query, place};
use crate::show::{self, OFFSET_HOURS};
use crate::world::{Board, DONE, Hook, Issue, Kind, PRIORITIES, RESOLUTIONS, STATUSES, TYPES, World};

/// Issues of a page of the cloud with more than their ids, and of ids alone; and of one's own server.
const PAGE_CLOUD: usize = 100;
const PAGE_IDS: usize = 5_000;
const PAGE_HOSTED: usize = 1_000;
/// Items of a page of other lists.
const PAGE_OTHER: usize = 50;
const PAGE_USERS: usize = 1_000;

/// What is answered, and what a webhook is to tell.
pub struct Found {
    pub status: u16,
    pub body: Value,
    pub event: Option<(&'static str, u64)>,
}

fn ok(body: Value) -> Found {
    Found { status: 200, body, event: None }
}

fn fault(status: u16, text: &str) -> Found {
    Found { status, body: json!({ "errorMessages": [text], "errors": {} }), event: None }
}

fn field_fault(field: &str, text: &str) -> Found {
    Found { status: 400, body: json!({ "errorMessages": [], "errors": { field: text } }), event: None }
}

fn missing() -> Found {
    fault(404, "Issue does not exist or you do not have permission to see it.")
}

/// Answers a request. Who is not known sees nothing, and is not told so.
pub fn answer(world: &mut World, request: &Request, known: bool) -> Found {
    let path = simulator::http::decode(request.path());
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    match parts.as_slice() {
        ["rest", "api", _, "serverInfo"] => ok(server_info(world)),
        ["rest", "api", _, "myself"] if !known => fault(401, "Client must be authenticated to access this resource."),
        ["rest", "api", "2" | "3", "search"] if world.kind == Kind::Cloud => {
            fault(410, "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API.")
        }
        ["rest", "api", version, rest @ ..] if *version == version_of(world) => api(world, request, known, rest, &body),
        ["rest", "agile", "1.0", rest @ ..] if known => agile(world, request, rest),
        ["rest", "webhooks", "1.0", "webhook"] if known => webhooks(world, request, &body),
        _ => fault(404, "There is no such path."),
    }
}

fn version_of(world: &World) -> &'static str {
    if world.kind == Kind::Cloud { "3" } else { "2" }
}

fn server_info(world: &World) -> Value {
    let (version, kind) = match world.kind {
        Kind::Cloud => ("1001.0.0-SNAPSHOT", "Cloud"),
        Kind::Hosted => ("9.12.0", "Server"),
    };
    json!({ "baseUrl": "", "version": version, "deploymentType": kind, "serverTime": show::time(world.now), "serverTitle": "Jira" })
}

fn api(world: &mut World, request: &Request, known: bool, path: &[&str], body: &Value) -> Found {
    let cloud = world.kind == Kind::Cloud;
    if !known {
        return match path {
            ["project", "search"] => ok(page(Vec::new(), request, PAGE_OTHER, "values")),
            ["search", "jql"] | ["search"] => ok(json!({ "issues": [], "startAt": 0, "total": 0, "isLast": true })),
            _ => ok(json!([])),
        };
    }
    match (request.method.as_str(), path) {
        ("GET", ["myself"]) => ok(world.user(Some(0))),
        ("GET", ["search", "jql"]) if cloud => search_cloud(world, request),
        ("GET", ["search"]) if !cloud => search_hosted(world, request),
        ("GET", ["project", "search"]) if cloud => {
            let all = world.projects.iter().map(|project| world.show_project(project)).collect();
            ok(page(all, request, PAGE_OTHER, "values"))
        }
        ("GET", ["project"]) if !cloud => {
            ok(world.projects.iter().map(|project| world.show_project(project)).collect())
        }
        ("GET", ["project", id]) => match world.projects.iter().find(|project| project.id.to_string() == *id) {
            Some(project) => ok(world.show_project(project)),
            None => fault(404, "No project could be found with this id."),
        },
        ("GET", ["status"]) => ok(STATUSES.iter().map(|(id, _, _)| World::show_status(*id)).collect()),
        ("GET", ["issuetype"]) => ok(TYPES.iter().map(|(id, _, _)| World::show_type(*id)).collect()),
        ("GET", ["priority"]) => ok(PRIORITIES.iter().map(World::show_priority).collect()),
        ("GET", ["resolution"]) => {
            ok(RESOLUTIONS.iter().map(|(id, name)| json!({ "id": id.to_string(), "name": name })).collect())
        }
        ("GET", ["field"]) => ok(show::fields(world.kind)),
        ("GET", ["users", "search"]) if cloud => users(world, request),
        ("GET", ["user", "search"]) if !cloud && request.parameter("username").as_deref() == Some(".") => {
            users(world, request)
        }
        ("GET", ["user"]) if !cloud => {
            let key = request.parameter("key");
            match world.users.iter().position(|user| Some(&user.id) == key.as_ref()) {
                Some(user) => ok(world.user(Some(user))),
                None => fault(404, "The user does not exist"),
            }
        }
        (_, ["issue", id, rest @ ..]) => issue(world, request, id, rest, body),
        _ => fault(404, "There is no such path."),
    }
}

/// A page of a list, as most of Jira's are: `startAt`, `maxResults`, `total`.
fn page(all: Vec<Value>, request: &Request, most: usize, name: &str) -> Value {
    let number = |parameter: &str| request.parameter(parameter).and_then(|text| text.parse::<usize>().ok());
    let (start, asked, total) =
        (number("startAt").unwrap_or(0), number("maxResults").unwrap_or(most).min(most), all.len());
    let items: Vec<Value> = all.into_iter().skip(start).take(asked).collect();
    let last = start + items.len() >= total;
    json!({ "startAt": start, "maxResults": asked, "total": total, "isLast": last, name: items })
}

fn users(world: &World, request: &Request) -> Found {
    let all = (0..world.users.len()).map(|user| world.user(Some(user))).collect();
    ok(page(all, request, PAGE_USERS, "values")["values"].take())
}

/// What is asked of the issues of a search.
struct Asked {
    jql: String,
    fields: String,
    expand: String,
    most: usize,
}

fn asked(request: &Request, most: usize) -> Asked {
    let text = |name: &str| request.parameter(name).unwrap_or_default();
    let wanted = text("maxResults").parse().unwrap_or(PAGE_OTHER);
    Asked { jql: text("jql"), fields: text("fields"), expand: text("expand"), most: wanted.clamp(1, most) }
}

impl Asked {
    fn show(&self, world: &World, issues: &[&Issue]) -> Vec<Value> {
        let (fields, expand): (Vec<&str>, Vec<&str>) =
            (self.fields.split(',').collect(), self.expand.split(',').collect());
        issues.iter().map(|issue| world.show_issue(issue, &fields, &expand)).collect()
    }
}

fn search_cloud(world: &World, request: &Request) -> Found {
    let ids = request.parameter("fields").as_deref() == Some("id");
    let asked = asked(request, if ids { PAGE_IDS } else { PAGE_CLOUD });
    let query = match Query::parse(&asked.jql, world, OFFSET_HOURS, false) {
        Ok(query) => query,
        Err(why) => return fault(400, &why),
    };
    let mut found = query.find(world);
    if let Some(token) = request.parameter("nextPageToken") {
        let Some(after) = read_token(&token, &asked.jql) else {
            return fault(400, "The provided next page token is invalid or expired.");
        };
        found.retain(|issue| place(world, issue) > after);
    }
    let more = found.len() > asked.most;
    found.truncate(asked.most);
    let mut body = json!({ "issues": asked.show(world, &found), "isLast": !more });
    if let Some(last) = found.last().filter(|_| more) {
        body["nextPageToken"] = token(&asked.jql, place(world, last)).into();
    }
    ok(body)
}

/// Tokens belong to their search.
fn token(jql: &str, (key, number): (String, u64)) -> String {
    format!("{}.{key}.{number}", simulator::http::etag(jql).replace(['"', '/'], ""))
}

fn read_token(text: &str, jql: &str) -> Option<(String, u64)> {
    let mut parts = text.rsplitn(3, '.');
    let number = parts.next()?.parse().ok()?;
    let after = (parts.next()?.to_owned(), number);
    (token(jql, after.clone()) == text).then_some(after)
}

fn search_hosted(world: &World, request: &Request) -> Found {
    let asked = asked(request, PAGE_HOSTED);
    let lenient = request.parameter("validateQuery").as_deref() == Some("false");
    let query = match Query::parse(&asked.jql, world, OFFSET_HOURS, lenient) {
        Ok(query) => query,
        Err(why) => return fault(400, &why),
    };
    let found = query.find(world);
    let start: usize = request.parameter("startAt").and_then(|start| start.parse().ok()).unwrap_or(0);
    let shown: Vec<&Issue> = found.iter().skip(start).take(asked.most).copied().collect();
    ok(json!({ "startAt": start, "maxResults": asked.most, "total": found.len(), "issues": asked.show(world, &shown) }))
}

fn issue(world: &mut World, request: &Request, id: &str, path: &[&str], body: &Value) -> Found {
    let found = id.parse::<u64>().ok().and_then(|id| world.issues.get(&id));
    let Some(found) = found.cloned() else { return missing() };
    let id = found.id;
    match (request.method.as_str(), path) {
        ("GET", []) => {
            let (fields, expand) =
                (request.parameter("fields").unwrap_or_default(), request.parameter("expand").unwrap_or_default());
            let (fields, expand): (Vec<&str>, Vec<&str>) = (fields.split(',').collect(), expand.split(',').collect());
            ok(world.show_issue(&found, &fields, &expand))
        }
        ("GET", ["comment"]) => {
            let rendered = request.parameter("expand").as_deref() == Some("renderedBody");
            let all = found.comments.iter().map(|comment| world.show_comment(comment, rendered)).collect();
            ok(page(all, request, PAGE_CLOUD, "comments"))
        }
        ("GET", ["comment", comment]) => match found.comments.iter().find(|said| said.id.to_string() == *comment) {
            Some(said) => ok(world.show_comment(said, false)),
            None => fault(404, "Can not find a comment for the id."),
        },
        ("GET", ["changelog"]) if world.kind == Kind::Cloud => {
            let all = found.changes.iter().map(|change| world.show_change(change)).collect();
            ok(page(all, request, PAGE_CLOUD, "values"))
        }
        ("GET", ["transitions"]) => ok(json!({ "transitions": World::transitions(&found) })),
        (_, _) if request.method == "GET" => fault(404, "There is no such path."),
        _ => change(world, request, id, path, body),
    }
}

fn done(id: u64, status: u16, event: &'static str) -> Found {
    Found { status, body: Value::Null, event: Some((event, id)) }
}

fn change(world: &mut World, request: &Request, id: u64, path: &[&str], body: &Value) -> Found {
    let now = world.now + 1;
    match (request.method.as_str(), path) {
        ("PUT", []) => {
            let fields = &body["fields"];
            if let Some(summary) = fields["summary"].as_str() {
                if summary.contains('\n') {
                    return field_fault("summary", "The summary is invalid because it contains newline characters.");
                }
                world.set_summary(id, summary.to_owned(), now);
            }
            if let Some(priority) = fields["priority"]["id"].as_str() {
                let known = PRIORITIES.iter().find(|(id, _, _)| id.to_string() == priority);
                let Some((priority, _, _)) = known else {
                    return field_fault("priority", "The priority selected is invalid.");
                };
                world.set_priority(id, *priority, now);
            }
        }
        ("PUT", ["assignee"]) => {
            let name = if world.kind == Kind::Cloud { &body["accountId"] } else { &body["name"] };
            let of = |user: &crate::world::User| {
                if world.kind == Kind::Cloud { user.id == *name } else { user.name == *name }
            };
            let user = world.users.iter().position(of);
            if user.is_none() && !name.is_null() {
                return field_fault("assignee", &format!("User '{name}' does not exist."));
            }
            world.set_assignee(id, user, now);
        }
        ("POST", ["comment"]) => {
            // Each kind takes bodies in its own form.
            if body["body"].is_string() == (world.kind == Kind::Cloud) {
                return field_fault("comment", "Comment body is not valid!");
            }
            world.now = now;
            let comment = world.add_comment(id, now);
            let text = show::plain(&body["body"]);
            let issue = world.issues.get_mut(&id);
            if let Some(said) = issue.and_then(|issue| issue.comments.iter_mut().find(|said| said.id == comment)) {
                (said.body, said.author) = (text, Some(0));
            }
            return Found { body: json!({ "id": comment.to_string() }), ..done(id, 201, "comment_created") };
        }
        ("POST", ["transitions"]) => {
            let wanted = body["transition"]["id"].as_str().and_then(|id| id.parse::<u64>().ok()).unwrap_or(0);
            let status = STATUSES.iter().map(|(id, _, _)| *id).find(|status| status + 100 == wanted);
            let Some(status) = status else { return fault(400, "It is not a valid transition.") };
            if status == DONE && body["fields"]["resolution"].is_null() {
                return field_fault("resolution", "Resolution is required.");
            }
            world.set_status(id, status, now);
        }
        _ => return fault(405, "Method not allowed"),
    }
    world.now = now;
    done(id, 204, "jira:issue_updated")
}

fn agile(world: &World, request: &Request, path: &[&str]) -> Found {
    let board = |id: &str| -> Option<&Board> { world.boards.iter().find(|board| board.id.to_string() == *id) };
    match path {
        ["board"] => {
            let all = world.boards.iter().map(|board| world.show_board(board)).collect();
            ok(page(all, request, PAGE_OTHER, "values"))
        }
        ["board", id, rest] => match (board(id), *rest) {
            (Some(_), "configuration") => {
                let column =
                    |(id, name, _): &(u64, &str, &str)| json!({ "name": name, "statuses": [{ "id": id.to_string() }] });
                ok(json!({ "columnConfig": { "columns": STATUSES.iter().map(column).collect::<Vec<_>>() } }))
            }
            (Some(board), "sprint") if board.kind == "kanban" => fault(400, "The board does not support sprints"),
            (Some(board), "sprint") => {
                let states = request.parameter("state");
                let wanted =
                    |state: &str| states.as_ref().is_none_or(|states| states.split(',').any(|known| known == state));
                let all = world.sprints.iter().filter(|sprint| sprint.board == board.id && wanted(sprint.state));
                ok(page(all.map(|sprint| world.show_sprint(sprint)).collect(), request, PAGE_OTHER, "values"))
            }
            _ => fault(404, "The requested board cannot be viewed."),
        },
        ["sprint", id] => match world.sprints.iter().find(|sprint| sprint.id.to_string() == *id) {
            Some(sprint) => ok(world.show_sprint(sprint)),
            None => fault(404, "Sprint does not exist."),
        },
        _ => fault(404, "There is no such path."),
    }
}

fn webhooks(world: &mut World, request: &Request, body: &Value) -> Found {
    let shown = |hook: &Hook| json!({ "name": "agent", "url": hook.url, "events": hook.events, "enabled": true });
    if request.method == "GET" {
        return ok(world.hooks.iter().map(shown).collect());
    }
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let events = body["events"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let hook = Hook { url: text("url"), secret: text("secret"), events };
    let answer = shown(&hook);
    world.hooks.push(hook);
    Found { status: 201, ..ok(answer) }
}

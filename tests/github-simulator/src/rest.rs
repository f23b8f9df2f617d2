//! REST v3, as far as it is modelled: lists with Link headers, single things, changes, and webhooks. Limits and lies are
//! `server`'s.

use serde_json::{Value, json};
use simulator::clock::{parse_rfc3339, rfc3339};
use simulator::http::Request;

use crate::truth::node_id;
use crate::world::{Hook, ORGANISATION, Pull, Repo, ReviewComment, User, World};

/// Items on a page, at most and unless the request says otherwise.
const PER_PAGE_MAX: u64 = 100;
const PER_PAGE: u64 = 30;

/// What comes back.
pub struct Rest {
    pub status: u16,
    pub body: Value,
    /// Numbers of the pages for the Link header: this one, and the last.
    pub pages: Option<(u64, u64)>,
    /// An event for the hooks that want it: its name, the repository, and the payload.
    pub event: Option<(&'static str, usize, Value)>,
}

impl Rest {
    fn of(status: u16, body: Value) -> Rest {
        Rest { status, body, pages: None, event: None }
    }

    fn missing() -> Rest {
        Rest::of(404, json!({ "message": "Not Found", "documentation_url": "https://docs.github.com/rest" }))
    }

    fn wrong(field: &str) -> Rest {
        Rest::of(422, json!({ "message": "Validation Failed", "errors": [{ "code": "invalid", "field": field }] }))
    }
}

/// Answers a request; `base` is the URL that the API is below.
pub fn answer(world: &mut World, base: &str, request: &Request) -> Rest {
    let path = request.path().to_owned();
    let segments: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(simulator::http::decode).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["meta"]) => Rest::of(200, json!({ "verifiable_password_authentication": false })),
        ("GET", ["user"]) => Rest::of(200, user_json(&world.users[0])),
        ("GET", ["orgs", org]) if *org == ORGANISATION => Rest::of(200, json!({ "login": org, "id": 1 })),
        (_, ["orgs", org, "hooks", rest @ ..]) if *org == ORGANISATION => {
            let (mut hooks, id) = (std::mem::take(&mut world.hooks), world.id());
            let answer = hooks_answer(&mut hooks, id, &request.method, rest, &body);
            world.hooks = hooks;
            answer
        }
        (_, ["repos", owner, name, rest @ ..]) => {
            let found = world.repos.iter().position(|repo| *owner == ORGANISATION && repo.name == *name);
            found.map_or_else(Rest::missing, |repo| in_repo(world, base, request, repo, rest, &body))
        }
        (_, ["repositories", id, rest @ ..]) => {
            let found = world.repos.iter().position(|repo| repo.id.to_string() == *id);
            found.map_or_else(Rest::missing, |repo| in_repo(world, base, request, repo, rest, &body))
        }
        _ => Rest::missing(),
    }
}

fn in_repo(world: &mut World, base: &str, request: &Request, at: usize, rest: &[&str], body: &Value) -> Rest {
    match (request.method.as_str(), rest) {
        ("GET", []) => Rest::of(200, repo_json(&world.repos[at])),
        ("GET", ["pulls", "comments"]) => {
            let since = request.parameter("since").and_then(|since| parse_rfc3339(&since));
            let repo = &world.repos[at];
            let all: Vec<&ReviewComment> = repo
                .review_comments
                .iter()
                .filter(|found| since.is_none_or(|since| found.comment.updated >= since))
                .collect();
            paged(request, &all, |found| review_comment_json(world, base, repo, found))
        }
        ("GET", ["pulls", number]) => {
            let repo = &world.repos[at];
            let pull = number.parse().ok().and_then(|number: u64| repo.pulls.get(&number));
            pull.map_or_else(Rest::missing, |pull| Rest::of(200, pull_json(world, base, repo, pull)))
        }
        ("PATCH", ["pulls", number]) => change_pull(world, base, at, number, body),
        ("POST", ["issues", number, "comments"]) => add_comment(world, at, number, body),
        (method, ["hooks", rest @ ..]) => {
            let (mut hooks, id) = (std::mem::take(&mut world.repos[at].hooks), world.id());
            let answer = hooks_answer(&mut hooks, id, method, rest, body);
            world.repos[at].hooks = hooks;
            answer
        }
        _ => Rest::missing(),
    }
}

fn paged<T>(request: &Request, all: &[T], json: impl Fn(&T) -> Value) -> Rest {
    let number = |name: &str| request.parameter(name).and_then(|value| value.parse::<u64>().ok());
    let per_page = number("per_page").unwrap_or(PER_PAGE).clamp(1, PER_PAGE_MAX);
    let page = number("page").unwrap_or(1).max(1);
    let last = (all.len() as u64).div_ceil(per_page).max(1);
    let skipped = usize::try_from((page - 1).saturating_mul(per_page)).unwrap_or(usize::MAX);
    let taken = usize::try_from(per_page).unwrap_or(usize::MAX);
    let items: Vec<Value> = all.iter().skip(skipped).take(taken).map(json).collect();
    Rest { pages: Some((page, last)), ..Rest::of(200, items.into()) }
}

fn hooks_answer(hooks: &mut Vec<Hook>, id: u64, method: &str, rest: &[&str], body: &Value) -> Rest {
    match (method, rest) {
        ("GET", []) => Rest::of(200, hooks.iter().map(hook_json).collect()),
        ("POST", []) => {
            let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            let Some(url) = text("/config/url") else { return Rest::wrong("url") };
            if hooks.iter().any(|hook| hook.url == url) {
                return Rest::of(422, json!({ "message": "Hook already exists on this repository" }));
            }
            let events = body["events"].as_array().cloned().unwrap_or_default();
            let events = events.iter().filter_map(|event| event.as_str().map(str::to_owned)).collect();
            let hook = Hook { id, url, secret: text("/config/secret").unwrap_or_default(), events };
            let answer = hook_json(&hook);
            hooks.push(hook);
            Rest::of(201, answer)
        }
        ("DELETE", [id]) => {
            let before = hooks.len();
            hooks.retain(|hook| hook.id.to_string() != *id);
            if hooks.len() < before { Rest::of(204, Value::Null) } else { Rest::missing() }
        }
        _ => Rest::missing(),
    }
}

fn hook_json(hook: &Hook) -> Value {
    json!({
        "id": hook.id, "active": true, "events": hook.events,
        "config": { "url": hook.url, "content_type": "json", "secret": "********" }
    })
}

fn change_pull(world: &mut World, base: &str, at: usize, number: &str, body: &Value) -> Rest {
    let now = world.now + 1;
    let number: u64 = number.parse().unwrap_or(0);
    let repo = &mut world.repos[at];
    let Some(pull) = repo.pulls.get_mut(&number) else { return Rest::missing() };
    if let Some(title) = body["title"].as_str() {
        if title.is_empty() {
            return Rest::wrong("title");
        }
        title.clone_into(&mut pull.thread.title);
    }
    if let Some(text) = body["body"].as_str() {
        text.clone_into(&mut pull.thread.body);
    }
    match (body["state"].as_str(), pull.thread.state) {
        (Some(_), "MERGED") => return Rest::wrong("state"),
        (Some("closed"), _) => (pull.thread.state, pull.thread.closed) = ("CLOSED", Some(now)),
        (Some("open"), _) => (pull.thread.state, pull.thread.closed) = ("OPEN", None),
        (Some(_), _) => return Rest::wrong("state"),
        (None, _) => {}
    }
    pull.thread.updated = now;
    world.now = now;
    let (pull, repo) = (pull.clone(), world.repos[at].clone());
    let json = pull_json(world, base, &repo, &pull);
    let payload = json!({ "action": "edited", "number": number, "pull_request": json, "repository": repo_json(&repo) });
    Rest { event: Some(("pull_request", at, payload)), ..Rest::of(200, json) }
}

fn add_comment(world: &mut World, at: usize, number: &str, body: &Value) -> Rest {
    let number: u64 = number.parse().unwrap_or(0);
    let now = world.now + 1;
    let Some(text) = body["body"].as_str().filter(|text| !text.is_empty()) else { return Rest::wrong("body") };
    let mut comment = world.comment(now);
    text.clone_into(&mut comment.body);
    let is_pull = world.repos[at].pulls.contains_key(&number);
    let Some(thread) = world.repos[at].thread_mut(number) else { return Rest::missing() };
    thread.comments.push(comment.clone());
    thread.updated = now;
    world.now = now;
    let repo = &world.repos[at];
    let kind = if is_pull { "pull" } else { "issues" };
    let url = format!("https://github.invalid/{}/{kind}/{number}#issuecomment-{}", repo.full_name(), comment.id);
    let json = json!({
        "id": comment.id, "node_id": node_id("IC", comment.id), "html_url": url, "body": comment.body,
        "user": comment.author.map(|user| user_json(&world.users[user])), "created_at": rfc3339(now),
        "updated_at": rfc3339(now)
    });
    let issue = json!({ "number": number, "pull_request": is_pull.then_some(json!({})) });
    let payload = json!({ "action": "created", "issue": issue, "comment": json, "repository": repo_json(repo) });
    Rest { event: Some(("issue_comment", at, payload)), ..Rest::of(201, json) }
}

fn user_json(user: &User) -> Value {
    json!({
        "id": user.id, "node_id": node_id("U", user.id), "login": user.login, "type": user.kind,
        "avatar_url": format!("https://avatars.invalid/{}", user.id),
        "html_url": format!("https://github.invalid/{}", user.login)
    })
}

fn repo_json(repo: &Repo) -> Value {
    json!({
        "id": repo.id, "node_id": node_id("R", repo.id), "name": repo.name, "full_name": repo.full_name(),
        "owner": { "login": ORGANISATION, "id": 1 }, "private": repo.private, "archived": repo.archived
    })
}

fn pull_json(world: &World, base: &str, repo: &Repo, pull: &Pull) -> Value {
    json!({
        "number": pull.thread.number, "node_id": format!("PR_{}_{}", repo.id, pull.thread.number),
        "title": pull.thread.title, "body": pull.thread.body,
        "state": if pull.thread.state == "OPEN" { "open" } else { "closed" },
        "user": pull.thread.author.map(|user| user_json(&world.users[user])),
        "url": format!("{base}/repos/{}/pulls/{}", repo.full_name(), pull.thread.number),
        "base": { "ref": "main", "repo": repo_json(repo) }, "updated_at": rfc3339(pull.thread.updated)
    })
}

fn review_comment_json(world: &World, base: &str, repo: &Repo, found: &ReviewComment) -> Value {
    let comment = &found.comment;
    json!({
        "id": comment.id, "node_id": node_id("PRRC", comment.id), "pull_request_review_id": found.review,
        "user": comment.author.map(|user| user_json(&world.users[user])), "body": comment.body, "path": found.path,
        "created_at": rfc3339(comment.created), "updated_at": rfc3339(comment.updated),
        "html_url": format!("https://github.invalid/{}/pull/{}#discussion_r{}", repo.full_name(), found.pull, comment.id),
        "pull_request_url": format!("{base}/repos/{}/pulls/{}", repo.full_name(), found.pull)
    })
}

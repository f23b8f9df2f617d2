//! A server that answers as Jira does, as far as an integration asks: Cloud (`/rest/api/3`, `search/jql` with tokens) or Data
//! Center and Server (`/rest/api/2`, `search` with `startAt`), boards and sprints, over an invented site (`world`), with a limit of
//! requests, changes while it is read (`change`), lies on demand, and webhooks. What it is made of is the crate `simulator`'s. It
//! listens on 127.0.0.1 only.
//!
//! A test holds a [`Simulator`]; the program of this package runs one alone, with `/_simulator/…` to look inside.

// It is no part of the agent, and stands for what lies beyond the agent's one way out.
#![allow(clippy::disallowed_types, reason = "a server opens connections of its own")]

mod change;
mod jql;
mod rest;
mod show;
mod truth;
mod world;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use simulator::http::{Answer, Request, Server};
use simulator::lies::{html, spoiled};
use simulator::{clock, delivery, lock};

pub use simulator::Truth;
pub use simulator::delivery::{Delivery, hmac_sha256};
pub use simulator::lies::{Lie, Told};
pub use world::{Issue, Kind, Project, Size, World};

/// Seconds that a limit asks to wait.
const LIMIT_WAIT_SECS: u64 = 120;

/// How the simulator behaves.
#[derive(Debug, Clone)]
pub struct Options {
    pub kind: Kind,
    pub size: Size,
    /// The header field `Authorization` that requests must have; none takes any.
    pub authorization: Option<String>,
    /// Requests until it answers 429.
    pub requests: u64,
    /// Something changes after each so many requests; 0 for never.
    pub change_every: u64,
    pub lies: Vec<Told>,
}

impl Default for Options {
    fn default() -> Options {
        let (kind, size) = (Kind::Cloud, Size::default());
        Options { kind, size, authorization: None, requests: u64::MAX, change_every: 0, lies: Vec::new() }
    }
}

/// What was asked so far.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub requests: u64,
    /// Refused for the limit.
    pub refused: u64,
    /// By method and path, numbers in it as `N`.
    pub paths: BTreeMap<String, u64>,
}

struct State {
    world: World,
    options: Options,
    ledger: Ledger,
    left: u64,
    deliveries: Vec<Delivery>,
}

/// A running simulator; it ends when it is dropped.
pub struct Simulator {
    state: Arc<Mutex<State>>,
    server: Server,
}

impl Simulator {
    /// Starts one on any port.
    ///
    /// # Errors
    /// Where no port can be had.
    pub fn start(options: Options) -> io::Result<Simulator> {
        Simulator::start_at(0, options)
    }

    /// Starts one on this port of 127.0.0.1.
    ///
    /// # Errors
    /// Where the port cannot be had.
    pub fn start_at(port: u16, options: Options) -> io::Result<Simulator> {
        let (world, left) = (World::new(options.kind, &options.size), options.requests);
        let state = State { world, options, ledger: Ledger::default(), left, deliveries: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let served = Arc::clone(&state);
        let server = Server::start(port, move |request, _| answer(&served, request))?;
        Ok(Simulator { state, server })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// What was asked so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        lock(&self.state).ledger.clone()
    }

    /// What an export must have brought.
    #[must_use]
    pub fn truth(&self) -> Truth {
        lock(&self.state).world.truth()
    }

    /// Looks at the world, or changes it.
    pub fn with<R>(&self, look: impl FnOnce(&mut World) -> R) -> R {
        look(&mut lock(&self.state).world)
    }

    /// Has these lies told from now on, and no others.
    pub fn lie(&self, lies: Vec<Told>) {
        lock(&self.state).options.lies = lies;
    }

    /// Has something change after each so many requests; 0 for never.
    pub fn change_every(&self, requests: u64) {
        lock(&self.state).options.change_every = requests;
    }

    /// Allows so many requests again.
    pub fn renew(&self) {
        let mut state = lock(&self.state);
        state.left = state.options.requests;
    }

    /// Webhooks that were delivered so far.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        lock(&self.state).deliveries.clone()
    }
}

fn answer(state: &Mutex<State>, request: &Request) -> Answer {
    if let Some(what) = request.path().strip_prefix("/_simulator/") {
        return look(&mut lock(state), what, request);
    }
    delivery::answered(state, |state| &state.deliveries, |state| state.answer(request))
}

/// For people and programs that run the simulator alone.
fn look(state: &mut State, what: &str, request: &Request) -> Answer {
    let body = match what {
        "ledger" => {
            let ledger = &state.ledger;
            json!({ "requests": ledger.requests, "refused": ledger.refused, "paths": ledger.paths })
        }
        "truth" => json!(state.world.truth()),
        "change" => {
            let count: u64 = request.parameter("count").and_then(|count| count.parse().ok()).unwrap_or(1);
            (0..count).for_each(|_| state.world.change());
            json!({ "changed": count })
        }
        "renew" => {
            state.left = state.options.requests;
            json!({ "left": state.left })
        }
        _ => return Answer::new(404, "text/plain", "there are: ledger, truth, change?count=1, renew\n"),
    };
    Answer::new(200, "application/json", body.to_string())
}

/// A method and a path, with numbers as `N`.
fn kind_of(request: &Request) -> String {
    // Versions have one digit, ids more.
    let is_id = |part: &str| part.len() > 1 && part.bytes().all(|byte| byte.is_ascii_digit());
    let path: Vec<&str> = request.path().split('/').map(|part| if is_id(part) { "N" } else { part }).collect();
    format!("{} {}", request.method, path.join("/"))
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        if self.left == 0 {
            self.ledger.refused += 1;
            let limited = json!({ "errorMessages": ["Rate limit exceeded"], "errors": {} });
            return self
                .signed(Answer::new(429, "application/json", limited.to_string()), 0)
                .header("retry-after", LIMIT_WAIT_SECS)
                .header("ratelimit-reason", "jira-burst-based");
        }
        self.left -= 1;
        self.ledger.requests += 1;
        *self.ledger.paths.entry(kind_of(request)).or_default() += 1;
        if self.options.change_every > 0 && self.ledger.requests.is_multiple_of(self.options.change_every) {
            self.world.change();
        }
        let target = simulator::http::decode(&request.target);
        let text = format!("{} {target} {}", request.method, String::from_utf8_lossy(&request.body));
        let lies: Vec<Lie> =
            self.options.lies.iter_mut().filter_map(|told| told.meets(&text).then(|| told.lie.clone())).collect();
        let skew = lies.iter().find_map(|lie| if let Lie::Skew(secs) = lie { Some(*secs) } else { None }).unwrap_or(0);
        if let Some(answer) = instead(&lies, request) {
            return self.signed(answer, skew);
        }
        let answer = self.true_answer(request, &lies);
        self.signed(spoiled(answer, &lies), skew)
    }

    fn true_answer(&mut self, request: &Request, lies: &[Lie]) -> Answer {
        let known =
            self.options.authorization.as_deref().is_none_or(|known| request.header("authorization") == Some(known));
        let asked = if lies.contains(&Lie::Cycle) { first_page(request) } else { again(request) };
        let mut found = rest::answer(&mut self.world, &asked, known);
        if let Some((event, issue)) = found.event.take() {
            self.deliver(event, issue);
        }
        for lie in lies {
            lie.tell(&mut found.body);
            mislead(lie, request, &mut found.body);
        }
        let body = if found.body.is_null() { String::new() } else { found.body.to_string() };
        let answer = Answer::new(found.status, "application/json;charset=UTF-8", body);
        if known { answer } else { answer.header("x-seraph-loginreason", "AUTHENTICATED_FAILED") }
    }

    /// Notes a webhook for each hook that wants the event.
    fn deliver(&mut self, event: &str, issue: u64) {
        let shown =
            self.world.issues.get(&issue).map(|issue| self.world.show_issue(issue, &["summary", "project"], &[]));
        let payload = json!({ "timestamp": self.world.now * 1_000, "webhookEvent": event, "issue": shown }).to_string();
        let wanted = self.world.hooks.iter().filter(|hook| hook.events.iter().any(|known| known == event));
        let delivery = |hook: &world::Hook| {
            let signature = format!("sha256={}", hmac_sha256(hook.secret.as_bytes(), payload.as_bytes()));
            Delivery::new(&hook.url, [("x-hub-signature", signature)], payload.clone().into_bytes())
        };
        self.deliveries.extend(wanted.map(delivery));
    }

    /// With the header fields that every answer has.
    fn signed(&self, answer: Answer, skew_secs: i64) -> Answer {
        answer.header("date", clock::http_date(self.world.now + skew_secs))
    }
}

/// Lies that need no true answer.
fn instead(lies: &[Lie], request: &Request) -> Option<Answer> {
    lies.iter().find_map(|lie| match lie {
        Lie::Spent => Some(html(429)),
        Lie::Secondary(wait) => Some(html(429).header("retry-after", wait)),
        Lie::TooMuch(most) => {
            let asked: u64 = request.parameter("maxResults").and_then(|text| text.parse().ok()).unwrap_or(0);
            (asked > *most).then(|| html(502))
        }
        _ => lie.instead(),
    })
}

fn again(request: &Request) -> Request {
    Request {
        method: request.method.clone(),
        target: request.target.clone(),
        headers: request.headers.clone(),
        body: request.body.clone(),
    }
}

/// The same request for the first page of its list.
fn first_page(request: &Request) -> Request {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let kept: Vec<&str> =
        query.split('&').filter(|pair| !pair.starts_with("startAt=") && !pair.starts_with("nextPageToken=")).collect();
    Request { target: format!("{path}?{}", kept.join("&")), ..again(request) }
}

/// Lies about where a list goes on.
fn mislead(lie: &Lie, request: &Request, body: &mut Value) {
    let counts = body.get("total").is_some();
    match lie {
        Lie::Cycle if counts => {
            let start: u64 = request.parameter("startAt").and_then(|start| start.parse().ok()).unwrap_or(0);
            (body["startAt"], body["total"]) = (start.into(), 1_000_000.into());
        }
        Lie::Cycle => (body["isLast"], body["nextPageToken"]) = (false.into(), "again".into()),
        Lie::Nowhere if counts => body["total"] = Value::Null,
        Lie::Nowhere => (body["isLast"], body["nextPageToken"]) = (false.into(), Value::Null),
        Lie::Few => {
            let list = ["issues", "values"].into_iter().find(|name| body[*name].is_array());
            if let Some(items) = list.and_then(|name| body[name].as_array_mut()) {
                items.truncate(1);
            }
            if body.is_object() {
                (body["isLast"], body["total"]) = (true.into(), 1.into());
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;

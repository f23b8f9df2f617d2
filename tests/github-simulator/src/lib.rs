//! A server that answers as GitHub does, as far as an integration asks: REST v3 below `/api/v3`, GraphQL v4 at
//! `/api/graphql`, over an invented organisation (`world`), with rate limits counted by GitHub's formulas (`limits`),
//! changes while it is read (`change`), lies on demand, and webhooks (`hooks`). What it is made of is the crate `simulator`'s. It
//! listens on 127.0.0.1 only.
//!
//! A test holds a [`Simulator`]; the program of this package runs one alone, with `/_simulator/…` to look inside.

// It is no part of the agent, and stands for what lies beyond the agent's one way out.
#![allow(clippy::disallowed_types, reason = "a server opens connections of its own")]

mod change;
mod graphql;
mod hooks;
mod limits;
mod rest;
mod truth;
mod world;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};
use simulator::http::{Answer, Request, Server, etag, link};
use simulator::lies::{html, spoiled};
use simulator::{clock, delivery, lock};

use limits::{CONCURRENT_MAX, Kind, Limits};

pub use limits::{Ledger, POINTS_HOUR};
pub use simulator::Truth;
pub use simulator::delivery::{Delivery, hmac_sha256};
pub use simulator::lies::{Lie, Told};
pub use world::{Comment, ORGANISATION, Repo, Size, World};

const V3: &str = "/api/v3";
const GRAPHQL: &str = "/api/graphql";
/// Seconds that a secondary limit asks to wait.
const SECONDARY_WAIT_SECS: u64 = 60;

/// How the simulator behaves.
#[derive(Debug, Clone)]
pub struct Options {
    pub size: Size,
    /// The token that requests must have; none takes any.
    pub token: Option<String>,
    /// Points of an hour.
    pub points: u64,
    /// Something changes after each so many requests; 0 for never.
    pub change_every: u64,
    pub lies: Vec<Told>,
}

impl Default for Options {
    fn default() -> Options {
        Options { size: Size::default(), token: None, points: POINTS_HOUR, change_every: 0, lies: Vec::new() }
    }
}

struct State {
    world: World,
    limits: Limits,
    options: Options,
    answered: u64,
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
        let (world, limits) = (World::new(&options.size), Limits::new(options.points));
        let state = Arc::new(Mutex::new(State { world, limits, options, answered: 0, deliveries: Vec::new() }));
        let served = Arc::clone(&state);
        let server = Server::start(port, move |request, others| answer(&served, request, others))?;
        Ok(Simulator { state, server })
    }

    /// The URL of the server, as one of GitHub Enterprise.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// What has been used so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        lock(&self.state).limits.ledger.clone()
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

    /// Begins a new hour, and a new minute.
    pub fn renew(&self) {
        lock(&self.state).limits.renew();
    }

    /// Webhooks that were delivered so far.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        lock(&self.state).deliveries.clone()
    }
}

fn answer(state: &Mutex<State>, request: &Request, others: usize) -> Answer {
    if let Some(what) = request.path().strip_prefix("/_simulator/") {
        return look(&mut lock(state), what, request);
    }
    delivery::answered(state, |state| &state.deliveries, |state| state.answer(request, others))
}

/// For people and programs that run the simulator alone.
fn look(state: &mut State, what: &str, request: &Request) -> Answer {
    let body = match what {
        "ledger" => {
            let ledger = &state.limits.ledger;
            json!({
                "points": ledger.points(), "rest_points": ledger.rest_points,
                "graphql_points": ledger.graphql_points, "graphql_requests": ledger.graphql_requests,
                "requests": ledger.requests, "not_modified": ledger.not_modified, "refused": ledger.refused
            })
        }
        "truth" => truth::document(&state.world.truth()),
        "change" => {
            let count: u64 = request.parameter("count").and_then(|count| count.parse().ok()).unwrap_or(1);
            (0..count).for_each(|_| state.world.change());
            json!({ "changed": count })
        }
        "renew" => {
            state.limits.renew();
            json!({ "remaining": state.limits.remaining() })
        }
        _ => return Answer::new(404, "text/plain", "there are: ledger, truth, change?count=1, renew\n"),
    };
    Answer::new(200, "application/json", body.to_string())
}

impl State {
    fn answer(&mut self, request: &Request, others: usize) -> Answer {
        let kind = if request.path() == GRAPHQL { Kind::Graphql } else { Kind::Rest };
        if let Some(refusal) = self.refusal(request, kind, others) {
            return self.signed(refusal, 0);
        }
        self.answered += 1;
        if self.options.change_every > 0 && self.answered.is_multiple_of(self.options.change_every) {
            self.world.change();
        }
        let text = format!("{} {} {}", request.method, request.target, String::from_utf8_lossy(&request.body));
        let lies: Vec<Lie> =
            self.options.lies.iter_mut().filter_map(|told| told.meets(&text).then(|| told.lie.clone())).collect();
        let skew = lies.iter().find_map(|lie| if let Lie::Skew(secs) = lie { Some(*secs) } else { None }).unwrap_or(0);
        if let Some(answer) = self.instead(&lies, request, kind) {
            return self.signed(answer, skew);
        }
        let answer = match kind {
            Kind::Graphql => self.graphql(request, &lies),
            Kind::Rest => self.rest(request, &lies),
        };
        self.signed(spoiled(answer, &lies), skew)
    }

    /// Why the request is not looked at.
    fn refusal(&mut self, request: &Request, kind: Kind, others: usize) -> Option<Answer> {
        let json = |status: u16, message: &str| {
            Answer::new(status, "application/json; charset=utf-8", json!({ "message": message }).to_string())
        };
        if let Some(token) = &self.options.token {
            let given = request.header("authorization").and_then(|value| value.split_once(' ')).map(|(_, value)| value);
            if given != Some(token.as_str()) {
                return Some(json(401, "Bad credentials"));
            }
        }
        let changes = kind == Kind::Rest && request.method != "GET";
        if others >= CONCURRENT_MAX || !self.limits.minute_allows(kind, changes, Instant::now()) {
            self.limits.ledger.refused += 1;
            let answer = json(403, "You have exceeded a secondary rate limit.");
            return Some(answer.header("retry-after", SECONDARY_WAIT_SECS));
        }
        if self.limits.is_spent() {
            self.limits.ledger.refused += 1;
            return Some(match kind {
                Kind::Rest => json(403, "API rate limit exceeded for user ID 1."),
                Kind::Graphql => spent(),
            });
        }
        None
    }

    /// Lies that need no true answer.
    fn instead(&mut self, lies: &[Lie], request: &Request, kind: Kind) -> Option<Answer> {
        lies.iter().find_map(|lie| match lie {
            Lie::Spent if kind == Kind::Graphql => Some(spent().header("x-ratelimit-remaining", 0)),
            Lie::Spent => Some(html(403).header("x-ratelimit-remaining", 0)),
            Lie::Secondary(wait) => Some(html(403).header("retry-after", wait)),
            Lie::TooMuch(most) => {
                let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                let asked = body["variables"]["first"].as_u64().unwrap_or(0);
                (asked > *most).then(|| html(502))
            }
            other => other.instead(),
        })
    }

    fn graphql(&mut self, request: &Request, lies: &[Lie]) -> Answer {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut answered = graphql::execute::answer(&self.world, &self.limits, &body);
        self.limits.spend(Kind::Graphql, answered.points);
        lies.iter().for_each(|lie| lie.tell(&mut answered.body));
        Answer::new(200, "application/json; charset=utf-8", answered.body.to_string())
    }

    fn rest(&mut self, request: &Request, lies: &[Lie]) -> Answer {
        let target = request.target.strip_prefix(V3).unwrap_or(&request.target).to_owned();
        let host = request.header("host").unwrap_or("127.0.0.1");
        let base = format!("http://{host}{V3}");
        let asked = Request {
            target: target.clone(),
            method: request.method.clone(),
            headers: Vec::new(),
            body: request.body.clone(),
        };
        if request.method == "GET" && asked.path() == "/rate_limit" {
            let (limit, left) = (self.limits.limit(), self.limits.remaining());
            let core = json!({ "limit": limit, "remaining": left, "reset": self.limits.reset(self.world.now) });
            return Answer::new(
                200,
                "application/json",
                json!({ "resources": { "core": core, "graphql": core } }).to_string(),
            );
        }
        let mut found = rest::answer(&mut self.world, &base, &asked);
        if let Some((event, repo, payload)) = found.event.take() {
            self.deliver(event, repo, &payload);
        }
        lies.iter().for_each(|lie| lie.tell(&mut found.body));
        let body = if found.body.is_null() { String::new() } else { found.body.to_string() };
        let etag = etag(&body);
        if request.method == "GET" && request.header("if-none-match") == Some(etag.as_str()) {
            self.limits.ledger.not_modified += 1;
            self.limits.ledger.requests += 1;
            return Answer::new(304, "application/json", "").header("etag", etag);
        }
        self.limits.spend(Kind::Rest, 1);
        let mut answer = Answer::new(found.status, "application/json; charset=utf-8", body);
        if let Some((page, last)) = found.pages {
            let cycle = lies.contains(&Lie::Cycle);
            if let Some(link) = link(&format!("{base}{target}"), page, last, cycle) {
                answer = answer.header("link", link);
            }
        }
        if found.status == 200 { answer.header("etag", etag) } else { answer }
    }

    /// Notes a webhook for each hook that wants the event.
    fn deliver(&mut self, event: &str, repo: usize, payload: &Value) {
        let hooks = self.world.hooks.iter().chain(&self.world.repos[repo].hooks);
        let wanted: Vec<world::Hook> =
            hooks.filter(|hook| hook.events.iter().any(|known| known == event || known == "*")).cloned().collect();
        for hook in wanted {
            let id = self.world.id();
            self.deliveries.push(hooks::delivery(&hook, event, payload, id));
        }
    }

    /// With the header fields that every answer has.
    fn signed(&self, answer: Answer, skew_secs: i64) -> Answer {
        let now = self.world.now + skew_secs;
        let remaining = answer.headers.iter().any(|(name, _)| name == "x-ratelimit-remaining");
        let answer = if remaining { answer } else { answer.header("x-ratelimit-remaining", self.limits.remaining()) };
        answer
            .header("date", clock::http_date(now))
            .header("x-ratelimit-limit", self.limits.limit())
            .header("x-ratelimit-used", self.limits.limit() - self.limits.remaining())
            .header("x-ratelimit-reset", self.limits.reset(now))
            .header("x-github-enterprise-version", "3.99.0")
    }
}

fn spent() -> Answer {
    let fault = json!({ "type": "RATE_LIMITED", "message": "API rate limit exceeded for user ID 1." });
    Answer::new(200, "application/json; charset=utf-8", json!({ "errors": [fault] }).to_string())
}

#[cfg(test)]
mod tests;

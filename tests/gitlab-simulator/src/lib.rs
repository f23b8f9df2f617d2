//! A server that answers as GitLab does, as far as an integration asks: REST v4 below `/api/v4`, and GraphQL, over an invented group
//! (`world`), with a rate limit (`limits`), changes while it is read (`change`), lies on demand, and webhooks (`hooks`). What it
//! is made of is the crate `simulator`'s. It listens on 127.0.0.1 only.
//!
//! A test holds a [`Simulator`]; the program of this package runs one alone, with `/_simulator/…` to look inside.

mod change;
mod graphql;
mod hooks;
mod limits;
mod paging;
mod rest;
mod show;
mod truth;
mod world;

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use simulator::http::{Answer, Request, Server};
use simulator::lies::{html, spoiled};
use simulator::{clock, delivery, lock};

use limits::Limits;
use rest::Asked;

pub use limits::{Ledger, REQUESTS_MINUTE};
pub use simulator::Truth;
pub use simulator::delivery::Delivery;
pub use simulator::lies::{Lie, Told};
pub use world::{GROUP, Note, Project, SUBGROUP, Size, World};

const V4: &str = "/api/v4";
const GRAPHQL: &str = "/api/graphql";
/// Seconds to the end of the minute whose requests are spent.
const RESET_SECS: i64 = 60;

/// How the simulator behaves.
#[derive(Debug, Clone)]
pub struct Options {
    pub size: Size,
    /// The token that requests must have; none takes any.
    pub token: Option<String>,
    /// Requests of a minute.
    pub requests: u64,
    /// Something changes after each so many requests; 0 for never.
    pub change_every: u64,
    pub lies: Vec<Told>,
    /// Fields that its GraphQL does not have, as that of an older version.
    pub without: Vec<&'static str>,
}

impl Default for Options {
    fn default() -> Options {
        // Over loopback a test is quicker than a minute allows.
        Options {
            size: Size::default(),
            token: None,
            requests: 1_000_000,
            change_every: 0,
            lies: Vec::new(),
            without: Vec::new(),
        }
    }
}

struct State {
    world: World,
    limits: Limits,
    options: Options,
    deliveries: Vec<Delivery>,
    /// Method and target of each request, in order.
    asked: Vec<String>,
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
        let (world, limits) = (World::new(&options.size), Limits::new(options.requests));
        let state = Arc::new(Mutex::new(State { world, limits, options, deliveries: Vec::new(), asked: Vec::new() }));
        let served = Arc::clone(&state);
        let server = Server::start(port, move |request, _| answer(&served, request))?;
        Ok(Simulator { state, server })
    }

    /// The URL of the server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// What has been used so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        lock(&self.state).limits.ledger.clone()
    }

    /// The requests that came since this was asked last.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).asked)
    }

    /// What an export of the group must have brought.
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

    /// Begins a new minute.
    pub fn renew(&self) {
        lock(&self.state).limits.renew();
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
            let Ledger { requests, queries, complexity_max, refused } = state.limits.ledger;
            json!({ "requests": requests, "queries": queries, "complexity_max": complexity_max, "refused": refused })
        }
        "truth" => json!(state.world.truth()),
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
    fn answer(&mut self, request: &Request) -> Answer {
        self.asked.push(format!("{} {}", request.method, request.target));
        if let Some(refusal) = self.refusal(request) {
            return self.signed(refusal, 0);
        }
        if self.options.change_every > 0 && self.limits.ledger.requests.is_multiple_of(self.options.change_every) {
            self.world.change();
        }
        let text = format!("{} {} {}", request.method, request.target, String::from_utf8_lossy(&request.body));
        let lies: Vec<Lie> =
            self.options.lies.iter_mut().filter_map(|told| told.meets(&text).then(|| told.lie.clone())).collect();
        let skew = lies.iter().find_map(|lie| if let Lie::Skew(secs) = lie { Some(*secs) } else { None }).unwrap_or(0);
        if let Some(answer) = lies.iter().find_map(|lie| instead(lie, request)) {
            return self.signed(answer, skew);
        }
        let answer = match request.path() {
            GRAPHQL => self.graphql(request, &lies),
            _ => self.rest(request, &lies),
        };
        self.signed(spoiled(answer, &lies), skew)
    }

    /// Why the request is not looked at.
    fn refusal(&mut self, request: &Request) -> Option<Answer> {
        if let Some(token) = &self.options.token {
            let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
            if bearer.or_else(|| request.header("private-token")) != Some(token.as_str()) {
                let body = json!({ "message": "401 Unauthorized" }).to_string();
                return Some(Answer::new(401, "application/json", body));
            }
        }
        if self.limits.allows() {
            return None;
        }
        // Plain text, as its gate says it.
        Some(Answer::new(429, "text/plain", "Retry later\n").header("retry-after", RESET_SECS))
    }

    fn graphql(&mut self, request: &Request, lies: &[Lie]) -> Answer {
        self.limits.ledger.queries += 1;
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let (mut body, complexity) = graphql::answer(&self.world, &asked, &self.options.without);
        let ledger = &mut self.limits.ledger;
        ledger.complexity_max = ledger.complexity_max.max(complexity);
        lies.iter().for_each(|lie| lie.tell(&mut body));
        Answer::new(200, "application/json", body.to_string())
    }

    fn rest(&mut self, request: &Request, lies: &[Lie]) -> Answer {
        let base = format!("http://{}", request.header("host").unwrap_or("127.0.0.1"));
        let circle = lies.contains(&Lie::Cycle);
        let mut found = rest::answer(&mut self.world, &Asked { base: &base, request, circle });
        if let Some((event, project, payload)) = found.event.take() {
            self.deliver(event, project, &payload);
        }
        lies.iter().for_each(|lie| lie.tell(&mut found.body));
        // Who may see less sees a list that is whole.
        if lies.contains(&Lie::Few) {
            found.headers.clear();
        }
        let answer = Answer::new(found.status, "application/json", found.body.to_string());
        found.headers.into_iter().fold(answer, |answer, (name, value)| answer.header(name, value))
    }

    /// Notes a webhook for each hook of the group and of the project.
    fn deliver(&mut self, event: &str, project: usize, payload: &Value) {
        let hooks: Vec<world::Hook> =
            self.world.hooks.iter().chain(&self.world.projects[project].hooks).cloned().collect();
        for hook in hooks {
            let id = self.world.id();
            self.deliveries.push(hooks::delivery(&hook, event, payload, id));
        }
    }

    /// With the header fields that every answer has.
    fn signed(&self, answer: Answer, skew_secs: i64) -> Answer {
        let now = self.world.now + skew_secs;
        answer
            .header("date", clock::http_date(now))
            .header("ratelimit-limit", self.limits.limit())
            .header("ratelimit-observed", self.limits.limit() - self.limits.remaining())
            .header("ratelimit-remaining", self.limits.remaining())
            .header("ratelimit-reset", now + RESET_SECS)
    }
}

/// The answer of a lie that needs no true one.
fn instead(lie: &Lie, request: &Request) -> Option<Answer> {
    match lie {
        Lie::Spent => Some(html(429)),
        Lie::Secondary(wait) => Some(html(429).header("retry-after", wait)),
        Lie::TooMuch(most) => {
            let query: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let asked = request.parameter("per_page").and_then(|asked| asked.parse().ok());
            let asked = asked.or_else(|| query["variables"]["first"].as_u64()).unwrap_or(0);
            (asked > *most).then(|| html(502))
        }
        other => other.instead(),
    }
}

#[cfg(test)]
mod tests;

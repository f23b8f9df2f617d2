//! GraphQL over HTTP: a query with its variables goes out, and what comes back is told apart: data, data with faults beside
//! it, no data, too much asked for, the budget spent. Budgets and retries are the host's; how much to ask for at a time is
//! the caller's, with [`PageSize`].
//!
//! A server that cannot give all of what was asked for answers 200 with a part of it and `errors` beside; a client that
//! does not look takes the part for the whole. So [`Answer::whole`] is the way to the data, and [`Answer::data`] with
//! [`Answer::faults`] for callers that know which parts they can do without.
//!
//! ```no_run
//! # use agent_sdk::{graphql::Graphql, http::Request};
//! # fn main() -> agent_sdk::Result<()> {
//! let client = Graphql::new(Request::post("https://api.example.com/graphql").auth("token"));
//! let answer = client.query("query($n: Int!) { items(first: $n) { id } }", &serde_json::json!({ "n": 50 }))?;
//! let items = &answer.whole()?["items"];
//! # Ok(()) }
//! ```

use std::cell::{Cell, RefCell};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind};
use crate::http::{HttpError, Request, Response, StatusError};

/// Faults that are written out in an error's text.
const FAULTS_SHOWN: usize = 3;
/// Characters of a fault's message that are written out.
const MESSAGE_CHARS: usize = 300;
/// Good pages after which a size that had to shrink is tried larger again.
const GROW_AFTER: u32 = 8;

/// A server's GraphQL endpoint.
#[derive(Debug)]
pub struct Graphql {
    request: Request,
    spent: Cell<u64>,
    budget: RefCell<Option<Budget>>,
}

/// What the server says of its budget, where the query asks for `rateLimit { limit cost remaining resetAt }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Budget {
    /// Points that this query cost.
    #[serde(default)]
    pub cost: u64,
    /// Points that are left.
    pub remaining: u64,
    /// Points in all.
    #[serde(default)]
    pub limit: u64,
    /// When they are there again (RFC 3339).
    pub reset_at: String,
}

/// Something that the server could not do, beside what it could.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Fault {
    /// What sort it is (`NOT_FOUND`), where the server says so.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// What is wrong, for people.
    #[serde(default)]
    pub message: String,
    /// Where in the data.
    #[serde(default)]
    pub path: Vec<Value>,
}

impl Fault {
    /// A fault that a client finds itself, where the server has not said so.
    #[must_use]
    pub fn new(kind: &str, message: impl Into<String>) -> Fault {
        Fault { kind: Some(kind.to_owned()), message: message.into(), path: Vec::new() }
    }

    /// Whether it is of this sort.
    #[must_use]
    pub fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }

    /// Whether the server gave up because it was too much.
    fn is_too_much(&self) -> bool {
        let kind = self.kind.as_deref().unwrap_or_default();
        kind == "RESOURCE_LIMITS_EXCEEDED"
            || kind == "MAX_NODE_LIMIT_EXCEEDED"
            || self.message.starts_with("Something went wrong while executing your query")
            || self.message.contains("timed out")
            || self.message.contains("timeout")
    }
}

/// What came back.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer {
    /// The data; parts of it may be `null` where there are faults.
    pub data: Value,
    /// What the server could not do.
    pub faults: Vec<Fault>,
    /// The answer as it came, for its header fields.
    pub response: Response,
}

impl Answer {
    /// The data, where nothing is missing.
    ///
    /// # Errors
    /// Where there are faults beside it.
    pub fn whole(&self) -> Result<&Value, GraphqlError> {
        match self.faults.is_empty() {
            true => Ok(&self.data),
            false => Err(GraphqlError::Faults(self.faults.clone())),
        }
    }
}

/// Why there is no data, or only a part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphqlError {
    /// There is no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The answer has a bad status.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// The answer is none to GraphQL.
    #[error("{0}")]
    Body(String),
    /// The server says what it could not do.
    #[error("{}", faults_text(.0))]
    Faults(Vec<Fault>),
    /// The budget is spent; until then, where that is known (RFC 3339).
    #[error("the budget of requests is spent{}", until_text(.0.as_deref()))]
    RateLimited(Option<String>),
}

fn until_text(until: Option<&str>) -> String {
    until.map(|until| format!(" until {until}")).unwrap_or_default()
}

fn faults_text(faults: &[Fault]) -> String {
    let shown: Vec<String> = faults
        .iter()
        .take(FAULTS_SHOWN)
        .map(|fault| {
            let message: String = fault.message.chars().take(MESSAGE_CHARS).collect();
            let kind = fault.kind.as_ref().map(|kind| format!("{kind}: ")).unwrap_or_default();
            let place: Vec<String> = fault.path.iter().map(|part| part.to_string().replace('"', "")).collect();
            let place = if place.is_empty() { String::new() } else { format!(" (at {})", place.join(".")) };
            format!("{kind}{message}{place}")
        })
        .collect();
    let more = faults.len().saturating_sub(FAULTS_SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("the server answered with errors: {}{more}", shown.join("; "))
}

impl GraphqlError {
    /// Whether the same query for less may succeed: the server was too slow, gave up, answered with too much or with
    /// something that broke off.
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        match self {
            GraphqlError::Http(error) => {
                matches!(error, HttpError::Timeout | HttpError::TooLarge(_) | HttpError::Connection(_))
            }
            GraphqlError::Status(error) => matches!(error.status, 408 | 500 | 502..=504) && !error.budget_spent,
            GraphqlError::Body(_) => true,
            GraphqlError::Faults(faults) => faults.iter().any(Fault::is_too_much),
            GraphqlError::RateLimited(_) => false,
        }
    }

    /// Whether a fault of this sort is what is wrong.
    #[must_use]
    pub fn has(&self, kind: &str) -> bool {
        matches!(self, GraphqlError::Faults(faults) if faults.iter().any(|fault| fault.is(kind)))
    }
}

impl From<GraphqlError> for Error {
    fn from(error: GraphqlError) -> Error {
        let kind = match &error {
            GraphqlError::Http(inner) => return inner.clone().into(),
            GraphqlError::Status(inner) => return inner.clone().into(),
            GraphqlError::RateLimited(_) => ErrorKind::Unavailable,
            _ if error.has("NOT_FOUND") => ErrorKind::NotFound,
            _ if error.has("FORBIDDEN") || error.has("INSUFFICIENT_SCOPES") => ErrorKind::Unauthenticated,
            _ => ErrorKind::Other,
        };
        Error::new(kind, error.to_string())
    }
}

impl Graphql {
    /// An endpoint; `request` has its URL, credential and header fields.
    #[must_use]
    pub fn new(request: Request) -> Graphql {
        Graphql { request, spent: Cell::new(0), budget: RefCell::new(None) }
    }

    /// Sends a query.
    ///
    /// # Errors
    /// Where there is no data at all. Faults beside data are in the answer.
    pub fn query(&self, document: &str, variables: &Value) -> Result<Answer, GraphqlError> {
        let response = self.request.clone().json(&json!({ "query": document, "variables": variables })).send();
        let response = match response {
            Err(HttpError::RateLimited(until)) => return Err(GraphqlError::RateLimited(Some(until))),
            response => response?,
        };
        let reset = reset(&response);
        let response = match response.check() {
            Err(error) if waits(&error) => return Err(GraphqlError::RateLimited(until(&error).or(reset))),
            response => response?,
        };
        self.read(response)
    }

    fn read(&self, response: Response) -> Result<Answer, GraphqlError> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            data: Value,
            #[serde(default)]
            errors: Vec<Fault>,
        }
        let body: Body = response.json().map_err(|error| GraphqlError::Body(error.to_string()))?;
        if let Ok(budget) = Budget::deserialize(&body.data["rateLimit"]) {
            self.spent.set(self.spent.get() + budget.cost);
            self.budget.replace(Some(budget));
        }
        if body.errors.iter().any(|fault| fault.is("RATE_LIMITED") || fault.is("RATE_LIMIT")) {
            return Err(GraphqlError::RateLimited(reset(&response)));
        }
        if body.data.is_null() {
            return Err(match body.errors.is_empty() {
                true => GraphqlError::Body(response.explain("it has neither data nor errors")),
                false => GraphqlError::Faults(body.errors),
            });
        }
        Ok(Answer { data: body.data, faults: body.errors, response })
    }

    /// Points that queries have cost so far, by what the server says.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.spent.get()
    }

    /// What the server said last of its budget.
    #[must_use]
    pub fn budget(&self) -> Option<Budget> {
        self.budget.borrow().clone()
    }
}

fn waits(error: &StatusError) -> bool {
    matches!(error.status, 403 | 429) && (error.retry_after_secs.is_some() || error.budget_spent || error.status == 429)
}

/// When the budget is renewed, where the server says so in the way of GitHub. Nought is how some servers say nothing.
fn reset(response: &Response) -> Option<String> {
    let secs = response.header("x-ratelimit-reset")?.parse().ok().filter(|secs| *secs > 0)?;
    Some(crate::time::format(secs))
}

fn until(error: &StatusError) -> Option<String> {
    let wait = i64::try_from(error.retry_after_secs?).ok()?;
    Some(crate::time::format(crate::time::now().saturating_add(wait)))
}

/// How many items to ask for at a time: halved when the server cannot give so many, and tried larger again after some good
/// pages.
#[derive(Debug, Clone)]
pub struct PageSize {
    max: u32,
    now: u32,
    good: u32,
}

impl PageSize {
    /// Begins with the most.
    #[must_use]
    pub fn new(max: u32) -> PageSize {
        PageSize { max: max.max(1), now: max.max(1), good: 0 }
    }

    /// How many to ask for now.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.now
    }

    /// A page came.
    pub fn succeeded(&mut self) {
        self.good += 1;
        if self.good >= GROW_AFTER && self.now < self.max {
            self.now = (self.now * 2).min(self.max);
            self.good = 0;
        }
    }

    /// It was too much. Whether there is a smaller size to try.
    pub fn shrink(&mut self) -> bool {
        let before = self.now;
        self.now = (self.now / 2).max(1);
        self.good = 0;
        before > 1
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Graphql, GraphqlError, PageSize};
    use crate::http::{HttpError, Request};
    use crate::testing::{Answer, Host};
    use crate::{ErrorKind, ExportResult, Integration, Manifest, NetworkRule, Result};

    const URL: &str = "https://x.invalid/graphql";

    struct Asks;

    impl Integration for Asks {
        type Config = crate::Ignored;

        fn describe() -> Manifest {
            Manifest::new("asks", "0.1.0").network(NetworkRule::https("x.invalid").methods(&["POST"]))
        }

        fn export(_: Self::Config) -> Result<ExportResult> {
            let client = Graphql::new(Request::post(URL));
            let ask = || client.query("{ a }", &json!({}));
            assert_eq!(ask()?.whole()?["a"], 1);
            assert_eq!((client.spent(), client.budget().map(|budget| budget.remaining)), (2, Some(7)));
            let part = ask()?;
            assert_eq!((part.data["a"].is_null(), part.faults.len()), (true, 1));
            let error = part.whole().unwrap_err();
            assert!(error.has("NOT_FOUND") && error.to_string().contains("no a (at a.0)"), "{error}");
            assert_eq!(crate::Error::from(error).kind(), ErrorKind::NotFound);
            for _ in 0..6 {
                let error = ask().unwrap_err();
                assert!(error.is_too_much(), "{error}");
            }
            let limited = |until: &str| GraphqlError::RateLimited(Some(until.to_owned()));
            assert_eq!(ask().unwrap_err(), limited("2030-01-01T00:00:00Z"));
            assert_eq!(ask().unwrap_err(), limited("2027-01-15T08:00:00Z"));
            assert!(matches!(ask().unwrap_err(), GraphqlError::RateLimited(Some(_))));
            let refused = ask().unwrap_err();
            assert!(!refused.is_too_much(), "{refused}");
            assert_eq!(crate::Error::from(refused).kind(), ErrorKind::Unauthenticated);
            Ok(ExportResult::new())
        }
    }

    #[test]
    fn answers_are_told_apart() {
        let host = Host::new();
        let budget = json!({ "cost": 2, "remaining": 7, "limit": 10, "resetAt": "2030-01-01T00:00:00Z" });
        let fault = json!([{ "type": "NOT_FOUND", "message": "no a", "path": ["a", 0] }]);
        let gave_up = json!([{ "message": "Something went wrong while executing your query. Please include `X`" }]);
        for answer in [
            Answer::json(&json!({ "data": { "a": 1, "rateLimit": budget } })),
            Answer::json(&json!({ "data": { "a": null }, "errors": fault })),
            Answer::json(&json!({ "data": null, "errors": gave_up })),
            Answer::new(502, "<html>"),
            Answer::fault(HttpError::Timeout),
            Answer::fault(HttpError::TooLarge("16 MiB".to_owned())),
            Answer::new(200, "{\"data\": {"),
            Answer::json(&json!({ "message": "hello" })),
            Answer::fault(HttpError::RateLimited("2030-01-01T00:00:00Z".to_owned())),
            Answer::json(&json!({ "errors": [{ "type": "RATE_LIMITED" }] })).header("x-ratelimit-reset", "1800000000"),
            Answer::status(403).header("retry-after", "60"),
            Answer::status(401),
        ] {
            host.on(&format!("POST {URL}"), answer);
        }
        let _ = host.export::<Asks>(json!({})).ok();
    }

    #[test]
    fn a_page_size_shrinks_to_one_and_grows_again() {
        let mut size = PageSize::new(29);
        let sizes: Vec<u32> = std::iter::from_fn(|| size.shrink().then(|| size.get())).collect();
        assert_eq!(sizes, [14, 7, 3, 1]);
        for _ in 0..40 {
            size.succeeded();
        }
        assert_eq!(size.get(), 29);
    }
}

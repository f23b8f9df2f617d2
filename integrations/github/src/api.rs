//! The server: GraphQL with the points that are left in view, and REST requests with the header fields that it wants. What
//! ends an export early is told apart here from what goes wrong.

use agent_sdk::Error;
use agent_sdk::graphql::{Answer, Graphql, GraphqlError};
use agent_sdk::http::{self, HttpError, Request};
use agent_sdk::paging::{Fault, PagingError};
use agent_sdk::updated::from_now;
use serde_json::Value;

use crate::config::{CREDENTIAL, Config};

/// Milliseconds to wait for an answer: GitHub itself gives up after ten seconds, an Enterprise server under load later.
const TIMEOUT_MS: u32 = 60_000;

/// Tries of a query after the first, of which none changes anything. One is for a connection that broke; what fails again may be
/// too much, and is asked for in smaller parts rather than as it was: each try that takes too long costs points.
const GRAPHQL_RETRIES: &str = "1";

/// Why something is not gone on with.
#[derive(Debug)]
pub enum Stop {
    /// The budget is spent, until then if that is known. What has been read is good.
    Paused(Option<String>),
    /// The run has been asked to end. What has been read is good.
    Asked,
    /// Something went wrong.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

impl From<GraphqlError> for Stop {
    fn from(error: GraphqlError) -> Stop {
        match error {
            GraphqlError::RateLimited(until) => Stop::Paused(until),
            other => Stop::Failed(other.into()),
        }
    }
}

impl From<HttpError> for Stop {
    fn from(error: HttpError) -> Stop {
        match error {
            HttpError::RateLimited(until) => Stop::Paused(Some(until)),
            other => Stop::Failed(other.into()),
        }
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        match &fault.why {
            PagingError::Http(HttpError::RateLimited(until)) => Stop::Paused(Some(until.clone())),
            PagingError::Status(error) if error.budget_spent || error.retry_after_secs.is_some() => {
                let wait = error.retry_after_secs.map(from_now);
                Stop::Paused(wait)
            }
            _ => Stop::Failed(fault.into()),
        }
    }
}

/// The server of a configuration.
pub struct Api {
    rest: String,
    graphql: Graphql,
    reserve: u64,
}

impl Api {
    pub fn new(config: &Config) -> Api {
        let request =
            prepared(Request::post(config.graphql())).option("idempotent", "true").option("retries", GRAPHQL_RETRIES);
        let graphql = Graphql::new(request);
        Api { rest: config.rest(), graphql, reserve: config.reserve }
    }

    /// Asks a query. Faults beside data are in the answer.
    pub fn query(&self, document: &str, variables: &Value) -> Result<Answer, GraphqlError> {
        if let Some(budget) = self.graphql.budget()
            && budget.remaining <= self.reserve.min(budget.limit / 2)
        {
            return Err(GraphqlError::RateLimited(Some(budget.reset_at)));
        }
        self.graphql.query(document, variables)
    }

    /// A REST request to these segments below the API's URL.
    pub fn request(&self, method: &str, segments: &[&str]) -> Request {
        prepared(Request::new(method, http::url(&self.rest, segments)))
    }

    /// Points that GraphQL has cost so far.
    pub fn spent(&self) -> u64 {
        self.graphql.spent()
    }
}

fn prepared(request: Request) -> Request {
    request
        .auth(CREDENTIAL)
        .header("accept", "application/vnd.github+json")
        .header("user-agent", concat!("agent-github/", env!("CARGO_PKG_VERSION")))
        .timeout_ms(TIMEOUT_MS)
}

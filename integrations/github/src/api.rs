//! The server: GraphQL with the points that are left in view, and REST requests with the header fields that it wants.

use agent_sdk::graphql::{Answer, Graphql, GraphqlError};
use agent_sdk::http::{self, Request};
use serde_json::Value;

use crate::config::{CREDENTIAL, Config};

/// Milliseconds to wait for an answer: GitHub itself gives up after ten seconds, an Enterprise server under load later.
const TIMEOUT_MS: u32 = 60_000;

/// Tries of a query after the first, of which none changes anything. One is for a connection that broke; what fails again may be
/// too much, and is asked for in smaller parts rather than as it was: each try that takes too long costs points.
const GRAPHQL_RETRIES: &str = "1";

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

//! The server: requests with the header fields that it wants, single answers, and the way by GraphQL.

use agent_sdk::http::{self, Request, Response};
use integration_model::Stop;

use crate::config::{CREDENTIAL, Config};
use crate::graphql::Way;

/// Milliseconds to wait for an answer: GitLab itself gives up after a minute.
const TIMEOUT_MS: u32 = 70_000;

/// Tries of a list's page after the first. One is for a connection that broke; what fails again may be too much, and is asked
/// for in smaller parts rather than as it was.
const LIST_RETRIES: &str = "1";

/// The server of a configuration.
pub struct Api {
    rest: String,
    pub graphql: Way,
}

impl Api {
    pub fn new(config: &Config) -> Api {
        let query = Request::post(format!("{}/api/graphql", config.server()));
        let query = prepared(query).option("idempotent", "true").option("retries", LIST_RETRIES);
        Api { rest: config.rest(), graphql: Way::new(config.graphql.then_some(query), config.server()) }
    }

    /// A request to these segments below the API's URL; a path with slashes in it is one segment.
    pub fn request(&self, method: &str, segments: &[&str]) -> Request {
        prepared(Request::new(method, http::url(&self.rest, segments)))
    }

    /// A list, a hundred items a page, which is the most.
    pub fn list(&self, segments: &[&str]) -> Request {
        self.request("GET", segments).query("per_page", 100).option("retries", LIST_RETRIES)
    }

    /// What is at these segments.
    pub fn get(&self, segments: &[&str]) -> Result<Response, Stop> {
        Ok(self.request("GET", segments).send()?.check()?)
    }

    /// The same; none where there is nothing that the credential may see.
    pub fn find(&self, segments: &[&str]) -> Result<Option<Response>, Stop> {
        let answer = self.request("GET", segments).send()?;
        if matches!(answer.status, 404 | 410) {
            return Ok(None);
        }
        Ok(Some(answer.check()?))
    }
}

fn prepared(request: Request) -> Request {
    request
        .auth(CREDENTIAL)
        .header("accept", "application/json")
        .header("user-agent", concat!("agent-gitlab/", env!("CARGO_PKG_VERSION")))
        .timeout_ms(TIMEOUT_MS)
}

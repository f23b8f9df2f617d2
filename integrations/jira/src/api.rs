//! The server: which of the two kinds it is, what its paths are, and what its clock says.
//!
//! The two kinds have the same paths but for a version (`/rest/api/3` of the cloud, `/rest/api/2` of one's own server) and for
//! searches, which `search` has. Which it is, `serverInfo` says, and it says the time too: the one clock that counts here.

use std::collections::HashSet;
use std::time::Instant;

use agent_sdk::http::{self, HttpError, Request, Response, StatusError};
use agent_sdk::updated::{earlier, from_now, secs_between};
use agent_sdk::{Error, ErrorKind, log, paging};
use integration_model::Stop;
use serde::Deserialize;
use serde_json::Value;

use crate::config::{CREDENTIAL, Config};
use crate::user::Account;

/// Milliseconds to wait for an answer: pages of issues with their changes are slow on a server under load.
const TIMEOUT_MS: u32 = 90_000;
/// Minutes by which a run reaches back before the last one began. The index that searches are answered from is behind by
/// seconds, sometimes by minutes.
const OVERLAP_MINUTES: i64 = 10;
const SECS: i64 = 60;
/// What versions of the cloud begin with; an old answer may not say of which kind it is.
const CLOUD_VERSION: &str = "1001.";

/// Of which kind a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Cloud,
    /// One's own: Server or Data Center.
    Hosted,
}

/// What a server says of itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    version: Option<String>,
    deployment_type: Option<String>,
    server_time: Option<String>,
}

/// The server of a configuration.
pub struct Api {
    pub kind: Kind,
    /// Its version, for people.
    pub version: String,
    /// When the run began, by the server's clock (RFC 3339, UTC).
    pub began: String,
    /// Where people look at it.
    pub server: String,
    root: String,
    opened: Instant,
}

impl Api {
    /// Asks the server what it is.
    pub fn open(config: &Config) -> Result<Api, Stop> {
        let asked = prepared("GET", http::url(config.api(), &["rest", "api", "2", "serverInfo"]));
        let info: Info = asked.send()?.check()?.json()?;
        let version = info.version.unwrap_or_default();
        let kind = match info.deployment_type.as_deref() {
            Some("Cloud") => Kind::Cloud,
            None if version.starts_with(CLOUD_VERSION) => Kind::Cloud,
            _ => Kind::Hosted,
        };
        let began = info.server_time.as_deref().and_then(|time| earlier(time, 0)).unwrap_or_else(|| {
            log::warn("the server does not say what time it is; the agent's clock is taken for it", &[]);
            from_now(0)
        });
        let version = match kind {
            Kind::Cloud => format!("Cloud {version}"),
            Kind::Hosted => format!("Data Center or Server {version}"),
        };
        let server = config.server().to_owned();
        Ok(Api { kind, version, began, server, root: config.api().to_owned(), opened: Instant::now() })
    }

    /// Insists on being known. A server that does not know who asks answers many requests as if there were nothing to see,
    /// and that is no answer to go by.
    pub fn log_in(&self) -> Result<Account, Stop> {
        let answer = self.get(&["myself"]).send()?;
        if let Some(reason) = answer.header("x-authentication-denied-reason") {
            return Err(Error::new(
                ErrorKind::Unauthenticated,
                format!("{}: {reason}: log in once with a browser, and solve what it asks", answer.url),
            )
            .into());
        }
        Ok(answer.check()?.json()?)
    }

    /// A request to these segments below the API's path.
    pub fn request(&self, method: &str, segments: &[&str]) -> Request {
        let version = if self.kind == Kind::Cloud { "3" } else { "2" };
        prepared(method, http::url(&self.root, &[&["rest", "api", version], segments].concat()))
    }

    pub fn get(&self, segments: &[&str]) -> Request {
        self.request("GET", segments)
    }

    /// A request to what has to do with boards.
    pub fn agile(&self, segments: &[&str]) -> Request {
        prepared("GET", http::url(&self.root, &[&["rest", "agile", "1.0"], segments].concat()))
    }

    /// A request to the webhooks of administrators.
    pub fn webhooks(&self, method: &str) -> Request {
        prepared(method, http::url(&self.root, &["rest", "webhooks", "1.0", "webhook"]))
    }

    /// The whole of a list that is one document.
    pub fn list(&self, segments: &[&str]) -> Result<Vec<Value>, Stop> {
        Ok(self.get(segments).send()?.check()?.json()?)
    }

    /// Where people look at an issue.
    pub fn browse(&self, key: &str) -> String {
        http::url(&self.server, &["browse", key])
    }

    /// The N of `updated >= -Nm` for all that has changed since a time, with the overlap.
    ///
    /// A search takes times only in minutes, and in the time zone that the profile of the user who asks has; `-Nm` is
    /// reckoned back from the server's own now, in no time zone at all. Both times are the server's: its clock when the run
    /// began, and how long that is ago.
    pub fn minutes_since(&self, time: &str) -> i64 {
        let secs = secs_between(time, &self.began).unwrap_or(0).max(0) + self.elapsed_secs();
        secs.div_euclid(SECS) + 1 + OVERLAP_MINUTES
    }

    /// How long the run has been under way.
    pub fn elapsed_secs(&self) -> i64 {
        i64::try_from(self.opened.elapsed().as_secs()).unwrap_or(i64::MAX)
    }
}

/// A time so much earlier that what was updated before it came with the run that began then.
pub fn overlapped(time: &str) -> Option<String> {
    earlier(time, u32::try_from(OVERLAP_MINUTES * SECS).unwrap_or(u32::MAX))
}

fn prepared(method: &str, url: String) -> Request {
    let request = Request::new(method, url)
        .auth(CREDENTIAL)
        .header("accept", "application/json")
        .header("user-agent", concat!("agent-jira/", env!("CARGO_PKG_VERSION")))
        .timeout_ms(TIMEOUT_MS);
    // Without it a server takes a change for one that a page of another site has a browser make.
    if method == "GET" { request } else { request.header("x-atlassian-token", "no-check") }
}

/// Why a request brought nothing that could be read.
#[derive(Debug)]
pub enum Trouble {
    Http(HttpError),
    Status(StatusError),
    /// The answer is not what it should be.
    Body(Error),
}

impl Trouble {
    /// Whether the same for less may succeed.
    pub fn is_too_much(&self) -> bool {
        match self {
            Trouble::Http(error) => {
                matches!(error, HttpError::Timeout | HttpError::TooLarge(_) | HttpError::Connection(_))
            }
            Trouble::Status(error) => {
                matches!(error.status, 408 | 413 | 500 | 502..=504) && error.retry_after_secs.is_none()
            }
            Trouble::Body(_) => true,
        }
    }

    /// Whether the server does not take the request as it is.
    pub fn is_refused(&self) -> bool {
        matches!(self, Trouble::Status(error) if error.status == 400)
    }

    pub fn why(&self) -> String {
        match self {
            Trouble::Http(error) => error.to_string(),
            Trouble::Status(error) => error.to_string(),
            Trouble::Body(error) => error.to_string(),
        }
    }
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Stop {
        match trouble {
            Trouble::Http(error) => error.into(),
            Trouble::Status(error) => error.into(),
            Trouble::Body(error) => error.into(),
        }
    }
}

/// The JSON of a request's answer.
pub fn answer(request: Request) -> Result<Value, Trouble> {
    let response: Response = request.send().map_err(Trouble::Http)?.check().map_err(Trouble::Status)?;
    response.json().map_err(Trouble::Body)
}

/// The items of a list that counts them (`startAt`), at this pointer, until there are as many as it says, or no more. Each comes
/// once, though pages that move have some twice.
pub fn counted(request: Request, items_at: &str) -> Result<Vec<Value>, Stop> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for page in paging::offset::<Value>(request, "startAt").items_at(items_at) {
        let page = page?;
        let (before, some) = (found.len(), !page.items.is_empty());
        found.extend(page.items.into_iter().filter(|item| seen.insert(identity(item))));
        if some && found.len() == before {
            let why =
                format!("the list does not end: page {} of it has nothing new: {}", page.number, page.response.url);
            return Err(Error::msg(why).into());
        }
        let body: Value = page.response.json()?;
        let whole = body["total"].as_u64().is_some_and(|total| found.len() as u64 >= total);
        if whole || body["isLast"] == true {
            break;
        }
    }
    Ok(found)
}

/// What tells an item from others: its id, or that of an account; all of it, where it has none.
fn identity(item: &Value) -> String {
    let id = ["id", "accountId", "key"].into_iter().map(|name| &item[name]).find(|id| !id.is_null());
    id.unwrap_or(item).to_string()
}

//! HTTP through the host. A [`Request`] is built, then sent, or submitted so that several can be under way. Policy,
//! credentials and redirects are the host's; an answer with a bad status is an answer. Lists that come in pages are
//! [`crate::paging`]'s.
//!
//! ```no_run
//! use agent_sdk::http::{self, Request};
//! # #[derive(serde::Deserialize)] struct Project { id: u64 }
//! # fn main() -> agent_sdk::Result<()> {
//! let url = http::url("https://api.example.com/v1", &["teams", "a/b", "projects"]);
//! assert_eq!(url, "https://api.example.com/v1/teams/a%2Fb/projects");
//! let answer = Request::get(url).query("archived", false).query_opt("since", None::<&str>).auth("token").send()?;
//! let projects: Vec<Project> = answer.error_for_status()?.json_at("/data/projects")?;
//! # Ok(()) }
//! ```

mod parallel;
mod status;

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind};
use crate::host::http as wire;
use crate::{json, url};

pub use parallel::{AsTheyCome, Parallel, parallel};
pub use status::StatusError;

/// Bytes of a body that are quoted in an error.
const EXCERPT_BYTES: usize = 200;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Not granted, or an address that guests may not reach. The text is the rule to add.
    #[error("{0}")]
    Denied(String),
    /// The request is malformed: URL, method, header, option or body.
    #[error("the request is malformed: {0}")]
    Invalid(String),
    /// The server's budget is spent until then (RFC 3339).
    #[error("rate limited until {0}")]
    RateLimited(String),
    /// No answer within the time given.
    #[error("no answer in time")]
    Timeout,
    /// The body is larger than allowed; the text gives the limit.
    #[error("the answer is too large: {0}")]
    TooLarge(String),
    /// TLS failed.
    #[error("TLS: {0}")]
    Tls(String),
    /// The name could not be resolved.
    #[error("DNS: {0}")]
    Dns(String),
    /// The connection was refused or broken.
    #[error("connection: {0}")]
    Connection(String),
    /// Too many requests under way.
    #[error("{0}")]
    Limit(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<wire::HttpError> for HttpError {
    fn from(error: wire::HttpError) -> HttpError {
        match error {
            wire::HttpError::Denied(text) => HttpError::Denied(text),
            wire::HttpError::Invalid(text) => HttpError::Invalid(text),
            wire::HttpError::RateLimited(until) => HttpError::RateLimited(until),
            wire::HttpError::Timeout => HttpError::Timeout,
            wire::HttpError::TooLarge(text) => HttpError::TooLarge(text),
            wire::HttpError::Tls(text) => HttpError::Tls(text),
            wire::HttpError::Dns(text) => HttpError::Dns(text),
            wire::HttpError::Connection(text) => HttpError::Connection(text),
            wire::HttpError::Limit(text) => HttpError::Limit(text),
            wire::HttpError::Other(text) => HttpError::Other(text),
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl HttpError {
    /// As the host would say it.
    pub(crate) fn into_wire(self) -> wire::HttpError {
        match self {
            HttpError::Denied(text) => wire::HttpError::Denied(text),
            HttpError::Invalid(text) => wire::HttpError::Invalid(text),
            HttpError::RateLimited(until) => wire::HttpError::RateLimited(until),
            HttpError::Timeout => wire::HttpError::Timeout,
            HttpError::TooLarge(text) => wire::HttpError::TooLarge(text),
            HttpError::Tls(text) => wire::HttpError::Tls(text),
            HttpError::Dns(text) => wire::HttpError::Dns(text),
            HttpError::Connection(text) => wire::HttpError::Connection(text),
            HttpError::Limit(text) => wire::HttpError::Limit(text),
            HttpError::Other(text) => wire::HttpError::Other(text),
        }
    }
}

impl From<HttpError> for Error {
    fn from(error: HttpError) -> Error {
        let kind = match error {
            HttpError::Denied(_) => ErrorKind::Denied,
            HttpError::Invalid(_) => ErrorKind::Invalid,
            HttpError::Limit(_) | HttpError::TooLarge(_) => ErrorKind::Limit,
            HttpError::RateLimited(_) | HttpError::Timeout | HttpError::Dns(_) | HttpError::Connection(_) => {
                ErrorKind::Unavailable
            }
            HttpError::Tls(_) | HttpError::Other(_) => ErrorKind::Other,
        };
        Error::new(kind, error.to_string())
    }
}

/// A request in the making.
#[derive(Debug, Clone)]
#[must_use = "a request does nothing until it is sent or submitted"]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    options: Vec<(String, String)>,
    /// A body that could not be written as JSON; told when the request is sent, so that building needs no `?`.
    fault: Option<String>,
}

impl Request {
    /// A request with any method, in capitals, to an absolute `http` or `https` URL.
    pub fn new(method: &str, url: impl Into<String>) -> Request {
        Request {
            method: method.to_owned(),
            url: url.into(),
            headers: Vec::new(),
            body: None,
            options: Vec::new(),
            fault: None,
        }
    }

    /// A `GET` request.
    pub fn get(url: impl Into<String>) -> Request {
        Request::new("GET", url)
    }

    /// A `POST` request.
    pub fn post(url: impl Into<String>) -> Request {
        Request::new("POST", url)
    }

    /// A `PUT` request.
    pub fn put(url: impl Into<String>) -> Request {
        Request::new("PUT", url)
    }

    /// A `PATCH` request.
    pub fn patch(url: impl Into<String>) -> Request {
        Request::new("PATCH", url)
    }

    /// A `DELETE` request.
    pub fn delete(url: impl Into<String>) -> Request {
        Request::new("DELETE", url)
    }

    /// Sets the method, in capitals.
    pub fn method(mut self, method: &str) -> Request {
        method.clone_into(&mut self.method);
        self
    }

    /// Adds a header field.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a parameter to the URL's query, percent-encoded.
    pub fn query(mut self, name: &str, value: impl fmt::Display) -> Request {
        let fragment = self.url.find('#').map(|at| self.url.split_off(at));
        let separator = match self.url.find('?') {
            None => "?",
            Some(at) if at + 1 == self.url.len() || self.url.ends_with('&') => "",
            Some(_) => "&",
        };
        self.url.push_str(separator);
        url::percent_encode(&mut self.url, name);
        self.url.push('=');
        url::percent_encode(&mut self.url, &value.to_string());
        self.url.push_str(fragment.as_deref().unwrap_or_default());
        self
    }

    /// Adds a parameter where there is a value for it.
    pub fn query_opt(self, name: &str, value: Option<impl fmt::Display>) -> Request {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Adds a parameter for each of these: `queries("label", ["bug", "ui"])` gives `label=bug&label=ui`.
    pub fn queries<T: fmt::Display>(self, name: &str, values: impl IntoIterator<Item = T>) -> Request {
        values.into_iter().fold(self, |request, value| request.query(name, value))
    }

    /// Sets a parameter: like [`Request::query`], and takes away what the URL has of this name.
    pub fn query_set(mut self, name: &str, value: impl fmt::Display) -> Request {
        self.url = url::with_parameter(&self.url, name, &value.to_string());
        self
    }

    /// Has the host put in the credential of this name. Its value is never seen here.
    pub fn auth(self, credential: impl Into<String>) -> Request {
        self.option("auth", credential)
    }

    /// Has the host put the credential of this name into the JSON body, in the place of the placeholder that the configuration
    /// shows instead of it: what a server is to keep, as the secret of a webhook.
    pub fn fill(self, credential: impl Into<String>) -> Request {
        self.option("fill", credential)
    }

    /// Milliseconds for the whole exchange, 1 to 600,000; 60,000 unless set.
    pub fn timeout_ms(self, timeout_ms: u32) -> Request {
        self.option("timeout-ms", timeout_ms.to_string())
    }

    /// Bytes of the answer's body at most; 16 MiB unless set, which is also the most.
    pub fn max_body(self, bytes_max: u32) -> Request {
        self.option("max-body", bytes_max.to_string())
    }

    /// Sets an option by its name in the contract. One that the host does not know is an error.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Request {
        self.options.push((name.into(), value.into()));
        self
    }

    /// Sets the body, at most 16 MiB.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = Some(body.into());
        self
    }

    /// Sets the body to `value` as JSON, and the content type to match.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Request {
        match serde_json::to_vec(value) {
            Ok(body) => self.body = Some(body),
            Err(error) => self.fault = Some(format!("the body cannot be written as JSON: {error}")),
        }
        self.header("content-type", "application/json")
    }

    /// Sends it and waits for the answer.
    ///
    /// # Errors
    /// Where there is no answer. A bad status is none of them: see [`Response::error_for_status`].
    pub fn send(self) -> Result<Response, HttpError> {
        Ok(Response::from_wire(wire::send(&self.into_wire()?)?))
    }

    /// Sends it and returns at once. At most 32 can be under way.
    ///
    /// # Errors
    /// Where it is refused before it goes out.
    pub fn submit(self) -> Result<Pending, HttpError> {
        Ok(Pending { raw: wire::submit(&self.into_wire()?)? })
    }

    /// The same request to another URL. To another origin (scheme, host and port) it goes without what could be a
    /// secret: the credential, and all header fields but those that say what may be answered. Says whether it had to.
    pub(crate) fn redirected(&self, target: String) -> (Request, bool) {
        let mut request = self.clone();
        let kept = url::same_origin(&self.url, &target);
        if !kept {
            request.options.retain(|(name, _)| name != "auth" && name != "fill");
            request.headers.retain(|(name, _)| {
                ["accept", "accept-language", "content-type"].iter().any(|safe| name.eq_ignore_ascii_case(safe))
            });
        }
        request.url = target;
        (request, !kept)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn into_wire(self) -> Result<wire::Request, HttpError> {
        if let Some(fault) = self.fault {
            return Err(HttpError::Invalid(fault));
        }
        Ok(wire::Request {
            method: self.method,
            url: self.url,
            headers: self.headers,
            body: self.body,
            options: self.options,
        })
    }
}

/// A URL with these segments below its path, each percent-encoded: an id that holds `/` or `..` cannot lead elsewhere.
#[must_use]
pub fn url(base: &str, segments: &[&str]) -> String {
    let mut url = base.trim_end_matches('/').to_owned();
    for segment in segments {
        url.push('/');
        match *segment {
            // Dots alone are a step in the path, encoded or not; such an id is nowhere.
            "." | ".." => segment.chars().for_each(|_| url.push_str("%252E")),
            _ => crate::url::percent_encode(&mut url, segment),
        }
    }
    url
}

/// A request under way. Dropping it cancels the request.
#[derive(Debug)]
pub struct Pending {
    raw: wire::Pending,
}

impl Pending {
    /// Waits for the answer and takes it.
    ///
    /// # Errors
    /// As [`Request::send`].
    pub fn take(self) -> Result<Response, HttpError> {
        Ok(Response::from_wire(wire::Pending::take(self.raw)?))
    }
}

/// Waits until at least one of these has its answer, or `timeout_ms` (at most 600,000) have passed. Returns the
/// indexes, ascending, of those that have: none after the timeout, and none for an empty list.
#[must_use]
pub fn wait_any(pendings: &[&Pending], timeout_ms: u32) -> Vec<usize> {
    let pendings: Vec<&wire::Pending> = pendings.iter().map(|pending| &pending.raw).collect();
    wire::wait_any(&pendings, timeout_ms).into_iter().map(|index| index as usize).collect()
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Response {
    /// The status code, 100 to 599.
    pub status: u16,
    /// The URL that answered.
    pub url: String,
    /// Header fields in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body, decompressed.
    pub body: Vec<u8>,
}

impl Response {
    fn from_wire(response: wire::Response) -> Response {
        Response { status: response.status, url: response.url, headers: response.headers, body: response.body }
    }

    /// Whether the status is 200 to 299.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header field of this name; capitals do not matter.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header_find(&self.headers, name)
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    /// Where it does not fit: what is wrong, the URL, and the place in the body.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.json_at("")
    }

    /// Reads what a JSON Pointer finds in the body: `/data/items`. Nothing else of the body is looked at.
    ///
    /// # Errors
    /// As [`Response::json`], and where there is nothing at the pointer.
    pub fn json_at<T: DeserializeOwned>(&self, pointer: &str) -> Result<T, Error> {
        json::read_at(&self.body, pointer).map_err(|fault| Error::msg(self.explain(&fault)))
    }

    /// What is wrong with the body, for a person.
    pub(crate) fn explain(&self, fault: &str) -> String {
        let html = self.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
        let hint = if html { "; it is a page of HTML: a sign-in, a proxy, or a wrong path?" } else { "" };
        format!("the answer of {} (status {}) is not the JSON expected: {fault}{hint}", self.url, self.status)
    }

    /// The body as text; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Itself, if the status is not an error. [`Response::check`] is the same with an error for programs.
    ///
    /// # Errors
    /// For a status of 400 and more: `NotFound` for 404 and 410, `Unauthenticated` for 401 and 403, `Unavailable` for
    /// 408, 429, from 500 on and where the server says when to come again, else `Other`. The message says what to do, and quotes the body's beginning.
    pub fn error_for_status(self) -> Result<Response, Error> {
        Ok(self.check()?)
    }

    /// Itself, if the status is not an error.
    ///
    /// # Errors
    /// For a status of 400 and more.
    pub fn check(self) -> Result<Response, StatusError> {
        match StatusError::of(&self) {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }

    fn excerpt(&self) -> String {
        let cut = &self.body[..self.body.len().min(EXCERPT_BYTES)];
        format!("{:?}", String::from_utf8_lossy(cut))
    }
}

pub(crate) fn header_find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::{Request, Response};
    use crate::ErrorKind;

    #[test]
    fn a_query_is_encoded_and_goes_before_the_fragment() {
        let check = |url: &str, expected: &str| assert_eq!(Request::get(url).query("a b", "ö&=").url, expected);
        check("https://x.invalid/p", "https://x.invalid/p?a%20b=%C3%B6%26%3D");
        check("https://x.invalid/p?", "https://x.invalid/p?a%20b=%C3%B6%26%3D");
        check("https://x.invalid/p?c=d", "https://x.invalid/p?c=d&a%20b=%C3%B6%26%3D");
        check("https://x.invalid/p#f?", "https://x.invalid/p?a%20b=%C3%B6%26%3D#f?");
        let request = Request::get("https://x.invalid/?page=1").query_set("page", 2).queries("l", ["a", "b"]);
        assert_eq!(request.query_opt("no", None::<u8>).url, "https://x.invalid/?page=2&l=a&l=b");
    }

    #[test]
    fn a_segment_stays_a_segment() {
        let url = super::url("https://x.invalid/v1/", &["a/b", "..", "ö ?#", "c.d"]);
        assert_eq!(url, "https://x.invalid/v1/a%2Fb/%252E%252E/%C3%B6%20%3F%23/c.d");
    }

    #[test]
    fn secrets_stay_with_their_origin() {
        let request = Request::get("https://x.invalid/a")
            .auth("token")
            .header("X-Api-Key", "secret")
            .header("Accept", "text/json")
            .timeout_ms(9);
        let (same, without) = request.redirected("https://x.invalid:443/b".to_owned());
        assert_eq!((same.headers.len(), same.options.len(), without), (2, 2, false));
        for target in ["https://y.invalid/b", "http://x.invalid/b", "https://x.invalid:8443/b"] {
            let (other, without) = request.redirected(target.to_owned());
            assert_eq!(other.headers, [("Accept".to_owned(), "text/json".to_owned())], "{target}");
            assert_eq!((other.options.len(), without), (1, true), "{target}");
        }
    }

    #[test]
    fn a_bad_status_is_an_error_of_the_right_kind() {
        let kind = |status| {
            let response =
                Response { status, url: "https://x.invalid/".to_owned(), headers: Vec::new(), body: b"no".to_vec() };
            response.error_for_status().err().map(|error| error.kind())
        };
        assert_eq!([200, 304].map(kind), [None, None]);
        assert_eq!(kind(401), Some(ErrorKind::Unauthenticated));
        assert_eq!(kind(404), Some(ErrorKind::NotFound));
        assert_eq!(kind(418), Some(ErrorKind::Other));
        assert_eq!([429, 503].map(kind), [Some(ErrorKind::Unavailable); 2]);
    }
}

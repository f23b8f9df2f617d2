//! The one way out: every request of a guest, and all of git's, passes here once. Policy (`policy`), address check
//! (`address`, `resolve`), credentials (`credentials`, `minted`) and limits on answers (`client`) are decided here; nobody else holds
//! a connection (`wire`). So is what makes a good client of it: budgets and fair shares (`gate`, `rates`), tries (`tries`), conditional
//! requests (`revalidate`). A redirect is followed only where the request asks for it, and each hop is judged as a request
//! of its own (`redirect`).

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Credential, NetworkRule};

mod address;
mod client;
mod clients;
mod clock;
mod credentials;
mod faults;
mod gate;
mod ledger;
mod minted;
mod pauses;
mod policy;
mod rates;
mod redirect;
mod resolve;
mod revalidate;
mod room;
mod stream;
mod target;
mod tries;
mod unpack;
// The one place that may hold a client.
#[allow(clippy::disallowed_types)]
mod wire;

pub use client::Egress;
pub(crate) use client::{HEADER_BYTES_MAX, HEADERS_MAX};
pub use ledger::{Account, Denial, Exchange, Lack, Ledger};
pub use pauses::Pause;
pub(crate) use redirect::REDIRECTS_MAX;
pub(crate) use room::{Held, Room, fields_bytes};
pub(crate) use stream::{Stream, StreamLimits};
pub use target::Target;
pub(crate) use tries::RETRIES_MAX;

/// What one integration may reach: asked ∩ granted, worked out before it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// The rules that the manifest asks for.
    pub asked: Vec<NetworkRule>,
    /// The rules that the operator grants. A request must be within one of each.
    pub granted: Vec<NetworkRule>,
    /// Hosts whose addresses may be private.
    pub private_hosts: Vec<String>,
    /// Credentials by name: asked for and granted.
    pub credentials: std::collections::BTreeMap<String, Credential>,
    /// The credentials that the manifest asks for, granted or not.
    pub credentials_asked: Vec<String>,
}

/// A request as the caller gives it.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub url: Target,
    pub headers: Vec<(String, String)>,
    pub body: Option<bytes::Bytes>,
    /// The name of a credential to put in.
    pub credential: Option<String>,
    /// The name of a credential to put into the body, where its placeholder stands.
    pub fill: Option<String>,
    /// Of the whole exchange: all its tries and hops together. Waiting for a budget does not count.
    pub timeout: Duration,
    /// Of the answer's body, decompressed.
    pub body_bytes_max: usize,
    pub manner: Manner,
    pub caller: Caller,
}

/// How a request is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manner {
    /// It may be sent twice, whatever its method says.
    pub idempotent: bool,
    /// Tries after the first.
    pub retries_max: u32,
    /// Redirects followed; after these the redirect itself is the answer.
    pub redirects_max: u32,
    /// Answers are kept and asked for again only if they have changed.
    pub revalidate: bool,
}

impl Request {
    /// A request of the host's own, which has these settings and no others.
    fn plain(url: Target) -> Request {
        Request {
            method: "GET".to_owned(),
            url,
            headers: Vec::new(),
            body: None,
            credential: None,
            fill: None,
            timeout: Duration::ZERO,
            body_bytes_max: 0,
            manner: Manner::default(),
            caller: Caller::default(),
        }
    }
}

impl Default for Manner {
    fn default() -> Self {
        Manner { idempotent: false, retries_max: tries::RETRIES_DEFAULT, redirects_max: 0, revalidate: true }
    }
}

/// For whom a request is made. What is shared is shared between these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The integration's name.
    pub integration: Arc<str>,
    pub class: Class,
}

impl Default for Caller {
    fn default() -> Self {
        Caller { integration: Arc::from(""), class: Class::Incremental }
    }
}

/// How urgent a request is; the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A person waits for a change.
    Mutation,
    /// Somebody else's service waits for an answer.
    Webhook,
    /// What has changed since the last run.
    Incremental,
    /// Everything there is.
    Backfill,
}

impl Class {
    /// What this class leaves of a budget to those above it: enough for some changes by hand, and little enough that a
    /// backfill alone does not miss it.
    fn leaves(self, limit: u64) -> u64 {
        match self {
            Class::Mutation => 0,
            Class::Webhook => limit / 100,
            Class::Incremental => limit / 50,
            Class::Backfill => limit / 10,
        }
    }
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: bytes::Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum EgressError {
    #[error("denied: {0}")]
    Denied(String),
    #[error("the request is malformed: {0}")]
    Invalid(String),
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// RFC 3339.
    #[error("the server's budget is spent until {0}")]
    RateLimited(String),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the answer grows to more than {0} times its size when it is unpacked")]
    Grows(u64),
    /// The caller's requests and answers together.
    #[error("the requests and answers that are held take more than {0} bytes together")]
    NoRoom(usize),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("the name cannot be resolved: {0}")]
    Dns(String),
    #[error("connection: {0}")]
    Connection(String),
    #[error("{0}")]
    Other(String),
}

#[cfg(test)]
mod tests;

//! The one way out: every request of a guest, and all of git's, passes here once. Policy (`policy`), address check
//! (`address`, `resolve`), credentials (`secrets`) and limits on answers (`client`) are decided here; nobody else holds
//! a client. Redirects are not followed: who asked gets them as they are, and a new request is judged anew.

use std::time::Duration;

use crate::config::{Credential, NetworkRule};

mod address;
// The one place that may hold a client.
#[allow(clippy::disallowed_types)]
mod client;
mod ledger;
mod policy;
mod resolve;
mod room;
mod secrets;
mod stream;

pub use client::Egress;
pub(crate) use client::{HEADER_BYTES_MAX, HEADERS_MAX};
pub use ledger::{Account, Denial, Exchange, Lack, Ledger};
pub(crate) use room::{Held, Room, fields_bytes};
pub(crate) use stream::{Stream, StreamLimits};

/// What one integration may reach: asked ∩ granted, worked out before it runs.
#[derive(Debug, Clone, Default)]
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
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    /// The name of a credential to put in.
    pub credential: Option<String>,
    /// Of the whole exchange.
    pub timeout: Duration,
    /// Of the answer's body, decompressed.
    pub body_bytes_max: usize,
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
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
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
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

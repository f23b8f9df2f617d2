//! From a name to addresses that have been checked. The client connects to exactly what comes out of here, once for
//! each connection, so a name whose answer changes between a check and a connection gains nothing. Literal addresses
//! in URLs never come here; `client` checks them.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use super::address;
use super::policy::host_matches;

/// How a name is looked up. The system's resolver, except in tests.
pub(super) type Lookup =
    Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> + Send + Sync>;

/// Looks names up as the operating system does.
pub(super) fn system() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            // The port is put in by the connector.
            Ok(tokio::net::lookup_host((name.as_str(), 0)).await?.collect())
        })
    })
}

/// A name that has addresses, none of which may be reached.
#[derive(Debug, thiserror::Error)]
#[error(
    "{host} has no address that may be reached ({addresses}); if it is meant to be private, add to `grants.private_hosts` of this integration in agent.yaml: - {host}"
)]
pub(super) struct AddressRefused {
    pub host: String,
    pub addresses: String,
}

/// A name that leads nowhere.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct LookupFailed(io::Error);

/// A resolver that drops what may not be reached.
#[derive(Clone)]
pub(super) struct Checked {
    pub lookup: Lookup,
    pub private_hosts: Arc<[String]>,
}

impl Service<Name> for Checked {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let host = name.as_str().trim_end_matches('.').to_ascii_lowercase();
        let private = self.private_hosts.iter().any(|pattern| host_matches(pattern, &host));
        let found = (self.lookup)(name.as_str().to_owned());
        Box::pin(async move {
            let found = found.await.map_err(LookupFailed)?;
            let (allowed, refused): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|candidate| address::allowed(candidate.ip(), private));
            if allowed.is_empty() && !refused.is_empty() {
                let addresses =
                    refused.iter().map(|candidate| candidate.ip().to_string()).collect::<Vec<_>>().join(", ");
                return Err(AddressRefused { host, addresses }.into());
            }
            if allowed.is_empty() {
                let none = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
                return Err(LookupFailed(none).into());
            }
            Ok(allowed.into_iter())
        })
    }
}

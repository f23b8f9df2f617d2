//! From a name to addresses that have been checked. The client connects to exactly what comes out of here, once for
//! each connection, so a name whose answer changes between a check and a connection gains nothing. Literal addresses
//! in URLs never come here; `client` checks them.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

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

/// A resolver that drops what may not be reached.
pub(super) struct Checked {
    pub lookup: Lookup,
    pub private_hosts: Vec<String>,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().trim_end_matches('.').to_ascii_lowercase();
        let private = self.private_hosts.iter().any(|pattern| host_matches(pattern, &host));
        let found = (self.lookup)(name.as_str().to_owned());
        Box::pin(async move {
            let found = found.await?;
            let (allowed, refused): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|candidate| address::allowed(candidate.ip(), private));
            if allowed.is_empty() && !refused.is_empty() {
                let addresses =
                    refused.iter().map(|candidate| candidate.ip().to_string()).collect::<Vec<_>>().join(", ");
                return Err(AddressRefused { host, addresses }.into());
            }
            if allowed.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

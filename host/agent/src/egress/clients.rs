//! The clients behind the door, one for each policy of each integration: what is connected to, with which trust, and through
//! which proxy. Connections are never shared between these, so that no request rides on a connection that another was allowed. Only
//! `client` sends through these.

use std::path::Path;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use url::Url;

use super::resolve::{self, Checked, Lookup};
use super::{EgressError, Policy, policy};
use crate::config::EgressSettings;
use crate::files;

/// A name that resolves to a host that does not answer is given up after this; a healthy one needs a fraction.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Servers close idle connections after a minute or so; ours go first, so that no request runs into a closing one.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// Idle connections kept for one host. A guest has at most 32 requests under way.
const POOL_IDLE_PER_HOST: usize = 16;
/// Clients kept. An agent runs some tens of integrations; a client that is dropped is only made again.
const CLIENTS_MAX: usize = 128;
/// Header fields of an answer (HTTP/1) and bytes of them (HTTP/2).
const ANSWER_HEADERS_MAX: usize = 256;
const ANSWER_HEADER_BYTES_MAX: u32 = 128 << 10;
/// Bytes of a file of certificates. The whole of a system's trust has a quarter of this.
const CA_BYTES_MAX: u64 = 1 << 20;

/// The clients of one door.
pub(super) struct Clients {
    lookup: Lookup,
    proxy: Option<reqwest::Proxy>,
    /// The proxy's own host, which may be private: the operator named it.
    proxy_host: Option<String>,
    certificates: Vec<reqwest::Certificate>,
    /// The one used last at the end.
    kept: Mutex<Vec<Kept>>,
}

/// A client, and whose it is.
struct Kept {
    scheme: String,
    integration: String,
    policy: Policy,
    client: reqwest::Client,
}

impl Clients {
    /// Without settings.
    pub(super) fn plain() -> Clients {
        Clients::with_lookup(resolve::system())
    }

    pub(super) fn with_lookup(lookup: Lookup) -> Clients {
        Clients { lookup, proxy: None, proxy_host: None, certificates: Vec::new(), kept: Mutex::default() }
    }

    /// With the operator's proxy and certificates. The environment's proxies are nobody's here: whoever starts the agent
    /// would decide where credentials go.
    pub(super) fn open(settings: &EgressSettings) -> Result<Clients, String> {
        let mut clients = Clients::plain();
        for file in &settings.ca_files {
            clients.certificates.extend(certificates(file).map_err(|why| format!("{}: {why}", file.display()))?);
        }
        if let Some(settings) = &settings.proxy {
            let fault = |_| "the proxy of `egress.proxy` cannot be used: write it as http://host:port".to_owned();
            let proxy = reqwest::Proxy::all(settings.url.reveal()).map_err(fault)?;
            clients.proxy = Some(proxy.no_proxy(reqwest::NoProxy::from_string(&settings.no_proxy.join(","))));
            clients.proxy_host = Url::parse(settings.url.reveal()).ok().map(|url| policy::host_of(&url).into_owned());
        }
        Ok(clients)
    }

    /// With a proxy, names are looked up there and not here, and what they lead to is for its own rules to say. What can be
    /// told here is refused here: this machine by name, and the proxy itself.
    pub(super) fn check_host(&self, policy: &Policy, url: &Url) -> Result<(), EgressError> {
        let Some(proxy) = &self.proxy_host else { return Ok(()) };
        let host = policy::host_of(url);
        let local = host == "localhost" || host.ends_with(".localhost") || host == proxy.as_str();
        if !local || policy.is_private_host(&host) {
            return Ok(());
        }
        Err(EgressError::Denied(format!(
            "{host} is this machine or the proxy; add to `grants.private_hosts` of this integration in agent.yaml: - {host}"
        )))
    }

    /// The client of an integration's policy.
    pub(super) fn of(&self, policy: &Policy, scheme: &str, integration: &str) -> Result<reqwest::Client, EgressError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |one: &Kept| one.scheme == scheme && one.integration == integration && one.policy == *policy;
        if let Some(at) = kept.iter().rposition(same) {
            kept[at..].rotate_left(1);
            return Ok(kept[kept.len() - 1].client.clone());
        }
        let client = self.build(policy, scheme)?;
        if kept.len() >= CLIENTS_MAX {
            kept.remove(0);
        }
        let (scheme, integration) = (scheme.to_owned(), integration.to_owned());
        kept.push(Kept { scheme, integration, policy: policy.clone(), client: client.clone() });
        Ok(client)
    }

    fn build(&self, policy: &Policy, scheme: &str) -> Result<reqwest::Client, EgressError> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // Fails only where one is installed already, and then that one serves.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let mut private_hosts = policy.private_hosts.clone();
        private_hosts.extend(self.proxy_host.clone());
        let mut builder = reqwest::Client::builder()
            .dns_resolver(Arc::new(Checked { lookup: self.lookup.clone(), private_hosts }))
            .redirect(reqwest::redirect::Policy::none())
            // Also keeps the library from looking for one in the environment.
            .no_proxy()
            .referer(false)
            // Tries are counted in one place.
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_IDLE_PER_HOST)
            .http1_max_headers(ANSWER_HEADERS_MAX)
            .http2_max_header_list_size(ANSWER_HEADER_BYTES_MAX);
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(proxy.clone());
        }
        if scheme == "https" {
            builder = builder.https_only(self.proxy.is_none()).tls_certs_merge(self.certificates.clone());
        } else {
            // Plain HTTP needs no trusted certificates, and reading the system's takes milliseconds.
            builder = builder.tls_certs_only(self.certificates.clone());
        }
        builder.build().map_err(|fault| {
            EgressError::Tls(format!(
                "no client can be made ({}); are the system's trusted certificates installed (often the package `ca-certificates`)?",
                super::client::innermost(&fault)
            ))
        })
    }
}

/// The certificates of a file.
fn certificates(file: &Path) -> Result<Vec<reqwest::Certificate>, String> {
    let bytes = files::read(file, CA_BYTES_MAX).map_err(|fault| fault.to_string())?;
    let found =
        reqwest::Certificate::from_pem_bundle(&bytes).map_err(|_| "it is not a file of PEM certificates".to_owned())?;
    if found.is_empty() {
        return Err("there is no certificate in it (`-----BEGIN CERTIFICATE-----`)".to_owned());
    }
    Ok(found)
}

//! The clients behind the door, one for each policy of each integration: what is connected to, with which trust, and through
//! which proxy. Connections are never shared between these, so that no request rides on a connection that another was allowed. Only
//! `client` sends through these, and how they connect is `wire`'s.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use url::Url;

use super::resolve::{self, Checked, Lookup};
use super::wire::{self, Wire};
use super::{EgressError, Policy, policy};
use crate::config::EgressSettings;
use crate::files;

/// Clients kept. An agent runs some tens of integrations; a client that is dropped is only made again.
const CLIENTS_MAX: usize = 128;
/// Bytes of a file of certificates. The whole of a system's trust has a quarter of this.
const CA_BYTES_MAX: u64 = 1 << 20;

/// The clients of one door.
pub(super) struct Clients {
    lookup: Lookup,
    proxy: Option<Arc<Matcher>>,
    /// The proxy's own host, which may be private: the operator named it.
    proxy_host: Option<String>,
    /// Whether it is spoken to in TLS.
    proxy_tls: bool,
    certificates: Vec<CertificateDer<'static>>,
    /// The one used last at the end.
    kept: Mutex<Vec<Kept>>,
}

/// A client, and whose it is.
struct Kept {
    scheme: String,
    integration: String,
    policy: Policy,
    wire: Arc<Wire>,
}

impl Clients {
    /// Without settings.
    pub(super) fn plain() -> Clients {
        Clients::with_lookup(resolve::system())
    }

    pub(super) fn with_lookup(lookup: Lookup) -> Clients {
        let (proxy, proxy_host, certificates) = (None, None, Vec::new());
        Clients { lookup, proxy, proxy_host, proxy_tls: false, certificates, kept: Mutex::default() }
    }

    /// With the operator's proxy and certificates. The environment's proxies are nobody's here: whoever starts the agent
    /// would decide where credentials go.
    pub(super) fn open(settings: &EgressSettings) -> Result<Clients, String> {
        let mut clients = Clients::plain();
        for file in &settings.ca_files {
            clients.certificates.extend(certificates(file).map_err(|why| format!("{}: {why}", file.display()))?);
        }
        if let Some(settings) = &settings.proxy {
            let cannot = "the proxy of `egress.proxy` cannot be used: write it as http://host:port".to_owned();
            let Ok(url) = Url::parse(settings.url.reveal()) else { return Err(cannot) };
            // As the parser writes it, so that whatever stands in a password can be read again.
            let proxy = || Matcher::builder().all(url.as_str());
            // One that cannot be read is none to the matcher, and requests would go out by themselves.
            if proxy().build().intercept(&Uri::from_static("http://any.invalid/")).is_none() {
                return Err(cannot);
            }
            clients.proxy = Some(Arc::new(proxy().no(settings.no_proxy.join(",")).build()));
            clients.proxy_host = Some(policy::host_of(&url).into_owned());
            clients.proxy_tls = url.scheme() == "https";
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
    pub(super) fn of(&self, policy: &Policy, scheme: &str, integration: &str) -> Result<Arc<Wire>, EgressError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |one: &Kept| one.scheme == scheme && one.integration == integration && one.policy == *policy;
        if let Some(at) = kept.iter().rposition(same) {
            kept[at..].rotate_left(1);
            return Ok(Arc::clone(&kept[kept.len() - 1].wire));
        }
        let wire = Arc::new(self.build(policy, scheme)?);
        if kept.len() >= CLIENTS_MAX {
            kept.remove(0);
        }
        let (scheme, integration) = (scheme.to_owned(), integration.to_owned());
        kept.push(Kept { scheme, integration, policy: policy.clone(), wire: Arc::clone(&wire) });
        Ok(wire)
    }

    fn build(&self, policy: &Policy, scheme: &str) -> Result<Wire, EgressError> {
        let private_hosts = policy.private_hosts.iter().chain(&self.proxy_host).cloned().collect();
        let resolver = Checked { lookup: self.lookup.clone(), private_hosts };
        // Plain HTTP needs no trusted certificates, and reading the system's takes milliseconds.
        let tls = wire::tls(&self.certificates, scheme == "https" || self.proxy_tls).map_err(|fault| {
            EgressError::Tls(format!(
                "no client can be made ({fault}); are the system's trusted certificates installed (often the package `ca-certificates`)?"
            ))
        })?;
        Ok(Wire::new(resolver, tls, self.proxy.clone()))
    }
}

/// The certificates of a file.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = files::read(file, CA_BYTES_MAX).map_err(|fault| fault.to_string())?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|_| "it is not a file of PEM certificates".to_owned())?;
    if found.is_empty() {
        return Err("there is no certificate in it (`-----BEGIN CERTIFICATE-----`)".to_owned());
    }
    wire::roots(&found).map_err(|fault| format!("one of its certificates cannot be trusted: {fault}"))?;
    Ok(found)
}

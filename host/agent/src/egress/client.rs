//! From a checked request to an answer: the clients behind the door, one for each policy, and what an answer may take.
//! Connections are never shared between policies, so that no request rides on a connection that another was allowed.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use url::{Host, Url};

use super::ledger::{Entry, Ledger};
use super::resolve::{self, AddressRefused, Checked, Lookup};
use super::room::{Held, Room};
use super::secrets::{self, InUse};
use super::{EgressError, Policy, Request, Response, address, policy};

/// A name that resolves to a host that does not answer is given up after this; a healthy one needs a fraction.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Servers close idle connections after a minute or so; ours go first, so that no request runs into a closing one.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// Idle connections kept for one host. A guest has at most 32 requests under way.
const POOL_IDLE_PER_HOST: usize = 8;
/// Clients kept. An agent runs some tens of integrations; a client that is dropped is only made again.
const CLIENTS_MAX: usize = 128;
/// Bytes of a URL; servers refuse longer ones.
const URL_BYTES_MAX: usize = 8 << 10;
/// Header fields of a request, and their bytes in all.
pub(crate) const HEADERS_MAX: usize = 128;
pub(crate) const HEADER_BYTES_MAX: usize = 64 << 10;
/// Header fields of an answer (HTTP/1) and bytes of them (HTTP/2).
const ANSWER_HEADERS_MAX: usize = 256;
const ANSWER_HEADER_BYTES_MAX: u32 = 128 << 10;
/// Room made ahead for a body whose length is announced; what is announced and does not come costs no more than this.
const BODY_RESERVED_MAX: u64 = 1 << 20;

/// Header fields that are the host's own.
const OWN_HEADERS: &[&str] = &["host", "connection", "transfer-encoding", "content-length", "expect", "upgrade"];

/// The door. Clones share it. Making one costs nothing: a client is built when the first request of its policy comes.
#[derive(Clone)]
pub struct Egress {
    shared: Arc<Shared>,
}

struct Shared {
    lookup: Lookup,
    ledger: Option<Arc<Ledger>>,
    /// By policy and scheme, the one used last at the end.
    clients: Mutex<Vec<(String, reqwest::Client)>>,
}

impl Default for Egress {
    fn default() -> Self {
        Egress::new()
    }
}

impl Egress {
    /// The door, closed but for what each request's policy allows.
    #[must_use]
    pub fn new() -> Egress {
        Egress::with_lookup(resolve::system())
    }

    pub(super) fn with_lookup(lookup: Lookup) -> Egress {
        Egress { shared: Arc::new(Shared { lookup, ledger: None, clients: Mutex::default() }) }
    }

    /// A door that writes down what goes out and what it refuses.
    #[must_use]
    pub fn with_ledger() -> (Egress, Arc<Ledger>) {
        let ledger = Arc::new(Ledger::default());
        let shared = Shared { lookup: resolve::system(), ledger: Some(Arc::clone(&ledger)), clients: Mutex::default() };
        (Egress { shared: Arc::new(shared) }, ledger)
    }

    /// Begins to write a request down, where somebody wants that.
    pub(super) fn entry(&self, policy: &Policy, request: &Request) -> Option<Entry> {
        self.shared.ledger.as_ref().map(|ledger| ledger.begin(policy, request))
    }

    /// Writes down a request that was refused before it came here, for a credential that is not granted.
    pub(crate) fn refused(&self, policy: &Policy, request: &Request, told: &str) {
        if let Some(entry) = self.entry(policy, request) {
            entry.end(&Err(EgressError::Denied(told.to_owned())));
        }
    }

    /// Writes down a repository that was refused ([`Policy::for_repository`]).
    pub(crate) fn repository_refused(&self, policy: &Policy, url: &Url, told: &EgressError) {
        if let Some(ledger) = &self.shared.ledger {
            ledger.repository_refused(policy, url, &told.to_string());
        }
    }

    /// Sends a request and waits for its whole answer. Dropping the future cancels the request. Must be polled within
    /// a tokio runtime.
    pub async fn send(&self, policy: &Policy, request: Request) -> Result<Response, EgressError> {
        self.send_within(policy, request, &mut Room::new(usize::MAX).part()).await
    }

    /// The same for a caller that has so much room for answers: `held` counts what comes, as it comes.
    pub(crate) async fn send_within(
        &self,
        policy: &Policy,
        request: Request,
        held: &mut Held,
    ) -> Result<Response, EgressError> {
        let (timeout, bytes_max) = (request.timeout, request.body_bytes_max);
        let entry = self.entry(policy, &request);
        let exchange = async {
            let (answer, secret) = self.start(policy, request).await?;
            let mut response = read_answer(answer, bytes_max, held).await?;
            if let Some(secret) = secret {
                secret.redact(&mut response);
            }
            Ok(response)
        };
        let answer = tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(EgressError::Timeout(timeout)));
        if let Some(entry) = entry {
            entry.end(&answer);
        }
        answer
    }

    /// Checks a request, puts the credential in and sends it; the answer's head has arrived, its body has not.
    pub(super) async fn start(
        &self,
        policy: &Policy,
        request: Request,
    ) -> Result<(reqwest::Response, Option<InUse>), EgressError> {
        let url = checked_url(&request.url)?;
        let method = checked_method(&request.method)?;
        policy.check(method.as_str(), &url)?;
        check_literal(policy, &url)?;
        let mut headers = checked_headers(&request.headers)?;
        // Last: whatever the guest supplied is fixed by now.
        let secret = match &request.credential {
            Some(name) => Some(secrets::place(policy, name, &url, &mut headers).await?),
            None => None,
        };
        let client = self.client(policy, url.scheme())?;
        let mut outgoing = reqwest::Request::new(method, url);
        *outgoing.headers_mut() = headers;
        *outgoing.body_mut() = request.body.map(reqwest::Body::from);
        match client.execute(outgoing).await {
            Ok(answer) => Ok((answer, secret)),
            Err(fault) => {
                let mut fault = classify(fault);
                if let Some(secret) = &secret {
                    fault.redact(secret);
                }
                Err(fault)
            }
        }
    }

    /// The client of a policy. Its key is the policy itself, written out: nothing in it is a secret.
    fn client(&self, policy: &Policy, scheme: &str) -> Result<reqwest::Client, EgressError> {
        let key = format!("{scheme} {policy:?}");
        let mut clients = self.shared.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = clients.iter().position(|(known, _)| *known == key) {
            let found = clients.remove(at);
            let client = found.1.clone();
            clients.push(found);
            return Ok(client);
        }
        let client = build(policy, scheme, self.shared.lookup.clone())?;
        if clients.len() >= CLIENTS_MAX {
            clients.remove(0);
        }
        clients.push((key, client.clone()));
        Ok(client)
    }
}

fn build(policy: &Policy, scheme: &str, lookup: Lookup) -> Result<reqwest::Client, EgressError> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Fails only where one is installed already, and then that one serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let resolver = Checked { lookup, private_hosts: policy.private_hosts.clone() };
    let mut builder = reqwest::Client::builder()
        .dns_resolver(Arc::new(resolver))
        .redirect(reqwest::redirect::Policy::none())
        // A proxy would be connected to instead of the address that was checked.
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_IDLE_PER_HOST)
        .http1_max_headers(ANSWER_HEADERS_MAX)
        .http2_max_header_list_size(ANSWER_HEADER_BYTES_MAX);
    if scheme == "https" {
        builder = builder.https_only(true);
    } else {
        // Plain HTTP needs no trusted certificates, and reading the system's takes milliseconds.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|fault| {
        EgressError::Tls(format!(
            "no client can be made ({}); are the system's trusted certificates installed (often the package `ca-certificates`)?",
            innermost(&fault)
        ))
    })
}

fn checked_url(text: &str) -> Result<Url, EgressError> {
    let invalid = |text: String| Err(EgressError::Invalid(text));
    if text.len() > URL_BYTES_MAX {
        return invalid(format!("the URL has {} bytes, at most {URL_BYTES_MAX} are allowed", text.len()));
    }
    let mut url = match Url::parse(text) {
        Ok(url) => url,
        Err(fault) => return invalid(format!("the URL cannot be read: {fault}")),
    };
    if !matches!(url.scheme(), "http" | "https") {
        return invalid(format!("the URL's scheme is `{}`; only http and https are known", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return invalid("the URL has user information; name a credential instead".to_owned());
    }
    // A final dot makes another `Host` and another certificate name of the same host.
    if let Some(Host::Domain(name)) = url.host()
        && let Some(bare) = name.strip_suffix('.')
    {
        let bare = bare.to_owned();
        if url.set_host(Some(&bare)).is_err() {
            return invalid(format!("the URL's host `{bare}.` is not a host name"));
        }
    }
    url.set_fragment(None);
    Ok(url)
}

fn checked_method(text: &str) -> Result<Method, EgressError> {
    let method = Method::from_bytes(text.as_bytes())
        .map_err(|_| EgressError::Invalid(format!("`{}` is not an HTTP method", text.escape_debug())))?;
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(EgressError::Invalid(format!("the method `{text}` is not in capitals")));
    }
    // CONNECT would make a tunnel past every check; TRACE sends credentials back in the body.
    if method == Method::CONNECT || method == Method::TRACE {
        return Err(EgressError::Invalid(format!("the method {method} is not allowed")));
    }
    Ok(method)
}

fn checked_headers(pairs: &[(String, String)]) -> Result<HeaderMap, EgressError> {
    let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if pairs.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(EgressError::Invalid(format!(
            "{} header fields with {bytes} bytes; at most {HEADERS_MAX} with {HEADER_BYTES_MAX} bytes are allowed",
            pairs.len()
        )));
    }
    let mut headers = HeaderMap::with_capacity(pairs.len() + 2);
    for (name, value) in pairs {
        let field = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            EgressError::Invalid(format!("`{}` is not the name of a header field", name.escape_debug()))
        })?;
        if OWN_HEADERS.contains(&field.as_str()) || field.as_str().starts_with("proxy-") {
            return Err(EgressError::Invalid(format!("the header `{field}` is the host's own; leave it out")));
        }
        let value = HeaderValue::from_str(value).map_err(|_| {
            EgressError::Invalid(format!("the value of the header `{field}` has characters that a header cannot carry"))
        })?;
        headers.append(field, value);
    }
    if !headers.contains_key(USER_AGENT) {
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("agent/", env!("CARGO_PKG_VERSION"))));
    }
    Ok(headers)
}

/// Literal addresses are not resolved, so they are checked here. All their spellings (decimal, octal, hexadecimal,
/// short) have become one in the URL parser.
fn check_literal(policy: &Policy, url: &Url) -> Result<(), EgressError> {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => address.into(),
        Some(Host::Ipv6(address)) => address.into(),
        _ => return Ok(()),
    };
    let host = policy::host_of(url);
    if address::allowed(address, policy.is_private_host(&host)) {
        return Ok(());
    }
    Err(EgressError::Denied(match address::reach(address) {
        address::Reach::Never => format!("{host} is an address that nobody may reach"),
        _ => format!(
            "{host} is a private address; add to `grants.private_hosts` of this integration in agent.yaml: - {host}"
        ),
    }))
}

/// Header fields as text; bytes that are not UTF-8 are replaced.
pub(super) fn header_pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

async fn read_answer(
    mut answer: reqwest::Response,
    bytes_max: usize,
    held: &mut Held,
) -> Result<Response, EgressError> {
    let status = answer.status();
    // What is announced and what comes are two things; an announcement that is too large already saves the wait.
    let announced = answer.content_length().unwrap_or(0);
    if announced > bytes_max as u64 {
        return Err(EgressError::TooLarge(bytes_max));
    }
    let mut body = Vec::new();
    held.reserve(&mut body, announced.min(BODY_RESERVED_MAX) as usize, bytes_max)?;
    // The length is checked as it comes, after decompression: what is announced may be a lie, and small may grow large.
    while let Some(chunk) = answer.chunk().await.map_err(classify)? {
        if chunk.len() > bytes_max - body.len() {
            return Err(EgressError::TooLarge(bytes_max));
        }
        held.reserve(&mut body, chunk.len(), bytes_max)?;
        body.extend_from_slice(&chunk);
    }
    let response = Response {
        status: status.as_u16(),
        url: answer.url().to_string(),
        headers: header_pairs(answer.headers()),
        body,
    };
    held.head(&response)?;
    Ok(response)
}

impl EgressError {
    fn redact(&mut self, secret: &InUse) {
        match self {
            EgressError::Denied(text)
            | EgressError::Invalid(text)
            | EgressError::Tls(text)
            | EgressError::Dns(text)
            | EgressError::Connection(text)
            | EgressError::Other(text) => secret.redact_text(text),
            EgressError::Timeout(_) | EgressError::TooLarge(_) | EgressError::NoRoom(_) => {}
        }
    }
}

/// The next cause of an error. An `io::Error` that wraps another error gives that one, not what is below it.
fn cause<'a>(fault: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match fault.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => fault.source(),
    }
}

fn innermost(fault: &(dyn Error + 'static)) -> String {
    let mut at = fault;
    while let Some(below) = cause(at) {
        at = below;
    }
    at.to_string()
}

/// What a client's error means. The texts are of the innermost cause: the outer ones repeat the URL.
pub(super) fn classify(fault: reqwest::Error) -> EgressError {
    let mut at: Option<&(dyn Error + 'static)> = Some(&fault);
    while let Some(current) = at {
        if let Some(refused) = current.downcast_ref::<AddressRefused>() {
            return EgressError::Denied(refused.to_string());
        }
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            return EgressError::Tls(tls.to_string());
        }
        at = cause(current);
    }
    // Which server it was: a guest talks to several, and without its path and query it gives nothing away.
    let server = fault.url().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
    let server = server.map(|(host, port)| format!("{host}:{port}: ")).unwrap_or_default();
    let text = format!("{server}{}", innermost(&fault));
    if fault.is_dns() {
        return EgressError::Dns(text);
    }
    // Only the connection has a time of its own here; the exchange's is kept by who waits for it.
    if fault.is_timeout() && fault.is_connect() {
        return EgressError::Connection(format!("{server}not established within {} s", CONNECT_TIMEOUT.as_secs()));
    }
    if fault.is_builder() {
        return EgressError::Invalid(text);
    }
    if fault.is_connect() {
        return EgressError::Connection(text);
    }
    if fault.is_body() || fault.is_decode() {
        return EgressError::Connection(format!("the answer broke off or is damaged: {text}"));
    }
    if fault.is_request() {
        return EgressError::Connection(format!("the exchange failed: {text}"));
    }
    EgressError::Other(text)
}

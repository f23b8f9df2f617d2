//! The wire: one pool of connections, made directly or by the operator's proxy, with TLS where the URL says so. Below it is hyper and
//! nothing else: it follows no redirect, repeats no request that a server may have seen, keeps no cookie, and reads no
//! environment, so that there is nothing of that kind to be switched off.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderMap, HeaderValue, PROXY_AUTHORIZATION};
use http::uri::Scheme;
use http::{Method, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::rt;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tower_service::Service;
use url::Url;

use super::EgressError;
use super::resolve::{AddressRefused, Checked, LookupFailed};

/// A name that resolves to a host that does not answer is given up after this; a healthy one needs a fraction.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Servers close idle connections after a minute or so; ours go first, so that no request runs into a closing one.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// Idle connections kept for one host. A guest has at most 32 requests under way.
const POOL_IDLE_PER_HOST: usize = 16;
/// An open connection is asked after so long whether the other side is still there, so often, and given up after `USER_TIMEOUT`
/// without an answer.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;
const USER_TIMEOUT: Duration = Duration::from_secs(30);
/// Header fields of an answer (HTTP/1) and bytes of them (HTTP/2).
const ANSWER_HEADERS_MAX: usize = 256;
const ANSWER_HEADER_BYTES_MAX: u32 = 128 << 10;

/// An answer whose head is here.
pub(super) type Answer = http::Response<Incoming>;

type BoxError = Box<dyn Error + Send + Sync>;

/// A pool of connections.
pub(super) struct Wire {
    pool: legacy::Client<Connector, Full<Bytes>>,
    proxy: Option<Arc<Matcher>>,
}

impl Wire {
    /// `tls` is for servers; a proxy that speaks TLS is trusted likewise.
    pub(super) fn new(resolver: Checked, tls: ClientConfig, proxy: Option<Arc<Matcher>>) -> Wire {
        let mut http = HttpConnector::new_with_resolver(resolver);
        http.enforce_http(false);
        http.set_nodelay(true);
        // Shared out among the addresses of a name.
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        http.set_keepalive(Some(KEEPALIVE));
        http.set_keepalive_interval(Some(KEEPALIVE));
        http.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
        #[cfg(target_os = "linux")]
        http.set_tcp_user_timeout(Some(USER_TIMEOUT));
        // A proxy is spoken to in HTTP/1.
        let mut proxy_tls = tls.clone();
        proxy_tls.alpn_protocols.clear();
        let proxy_of = proxy.clone();
        let made = Made { http, tls: Arc::new(tls), proxy_tls: Arc::new(proxy_tls), proxy: proxy_of };
        let connector = Connector(Arc::new(made));
        let pool = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_IDLE_PER_HOST)
            .http1_max_headers(ANSWER_HEADERS_MAX)
            .http2_max_header_list_size(ANSWER_HEADER_BYTES_MAX)
            .build(connector);
        Wire { pool, proxy }
    }

    /// Sends a request; the answer's head has arrived, its body has not.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Answer, EgressError> {
        // The URL is not shown: it may hold a secret.
        let uri = Uri::try_from(url.as_str()).map_err(|fault| EgressError::Invalid(format!("the URL: {fault}")))?;
        let mut request = http::Request::new(Full::new(body.unwrap_or_default()));
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        let fields = request.headers_mut();
        fields.entry(ACCEPT).or_insert(const { HeaderValue::from_static("*/*") });
        // In a tunnel it would be the server that reads it; there the request for the tunnel carries it.
        if let Some(proxy) = &self.proxy
            && uri.scheme() == Some(&Scheme::HTTP)
            && let Some(auth) = proxy.intercept(&uri).and_then(|proxy| proxy.basic_auth().cloned())
        {
            fields.insert(PROXY_AUTHORIZATION, auth);
        }
        *request.uri_mut() = uri;
        self.pool
            .request(request)
            .await
            .map_err(|fault| classify(&fault, fault.is_connect(), url, "the exchange failed"))
    }
}

/// What comes next of an answer's body; none at its end. `url` is what was asked for, without a credential.
pub(super) async fn chunk(answer: &mut Answer, url: &Url) -> Result<Option<Bytes>, EgressError> {
    while let Some(frame) = answer.body_mut().frame().await {
        let frame = frame.map_err(|fault| classify(&fault, false, url, "the answer broke off or is damaged"))?;
        // Trailers are nobody's.
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// The TLS of a client: these certificates, and the system's where it is to trust those too.
pub(super) fn tls(certificates: &[CertificateDer<'static>], system: bool) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let mut config = if system {
        let own = certificates.iter().cloned();
        let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(own, provider)?;
        config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
    } else {
        config.with_root_certificates(roots(certificates)?).with_no_client_auth()
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// These certificates as those to trust. Fails where one is none.
pub(super) fn roots(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    certificates.iter().try_for_each(|certificate| roots.add(certificate.clone()))?;
    Ok(roots)
}

/// Makes connections. The pool makes a copy of it for each request.
#[derive(Clone)]
struct Connector(Arc<Made>);

/// What connections are made of.
struct Made {
    http: HttpConnector<Checked>,
    tls: Arc<ClientConfig>,
    proxy_tls: Arc<ClientConfig>,
    proxy: Option<Arc<Matcher>>,
}

impl Made {
    async fn connect(&self, to: Uri) -> Result<Link, BoxError> {
        let Some(proxy) = self.proxy.as_ref().and_then(|proxy| proxy.intercept(&to)) else {
            return Ok(Link::of(HttpsConnector::from((self.http.clone(), Arc::clone(&self.tls))).call(to).await?));
        };
        let mut to_proxy = HttpsConnector::from((self.http.clone(), Arc::clone(&self.proxy_tls)));
        if to.scheme() != Some(&Scheme::HTTPS) {
            let link = Link::of(to_proxy.call(proxy.uri().clone()).await?);
            return Ok(Link { to_proxy: true, ..link });
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), to_proxy);
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        Ok(Link::of(HttpsConnector::from((tunnel, Arc::clone(&self.tls))).call(to).await?))
    }
}

impl Service<Uri> for Connector {
    type Response = Link;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Link, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let made = Arc::clone(&self.0);
        Box::pin(async move {
            tokio::time::timeout(CONNECT_TIMEOUT, made.connect(to)).await.unwrap_or(Err(NotInTime.into()))
        })
    }
}

/// All of connecting took too long: the name, the proxy, the handshake.
#[derive(Debug, thiserror::Error)]
#[error("not established within {} s", CONNECT_TIMEOUT.as_secs())]
struct NotInTime;

/// What a connection is, however it was made.
trait Io: rt::Read + rt::Write + Connection + Send + Unpin {}

impl<T: rt::Read + rt::Write + Connection + Send + Unpin> Io for T {}

/// A connection.
struct Link {
    io: Box<dyn Io>,
    /// Its other end is a proxy, to whom requests name the server.
    to_proxy: bool,
}

impl Link {
    fn of(io: impl Io + 'static) -> Link {
        Link { io: Box::new(io), to_proxy: false }
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.to_proxy)
    }
}

impl rt::Read for Link {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: rt::ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, into)
    }
}

impl rt::Write for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
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

/// What a fault of the wire means. The texts are of the innermost cause: the outer ones say only that there is one.
fn classify(fault: &(dyn Error + 'static), connecting: bool, url: &Url, what: &str) -> EgressError {
    // Which server it was: a guest talks to several, and without its path and query it gives nothing away.
    let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
    let mut at = Some(fault);
    while let Some(current) = at {
        if let Some(refused) = current.downcast_ref::<AddressRefused>() {
            return EgressError::Denied(refused.to_string());
        }
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            return EgressError::Tls(tls.to_string());
        }
        if let Some(failed) = current.downcast_ref::<LookupFailed>() {
            return EgressError::Dns(format!("{host}:{port}: {failed}"));
        }
        let late = |io: &io::Error| io.kind() == io::ErrorKind::TimedOut;
        if connecting && (current.is::<NotInTime>() || current.downcast_ref().is_some_and(late)) {
            return EgressError::Connection(format!("{host}:{port}: {NotInTime}"));
        }
        at = cause(current);
    }
    let text = format!("{host}:{port}: {}", innermost(fault));
    EgressError::Connection(if connecting { text } else { format!("{what}: {text}") })
}

//! Standard `wasi:http`, its outgoing half, served by the same door as `agent:integration/http`: a request of the one
//! becomes a request of the other, is judged by the same code, counted in the same room, and sent by the same client. What
//! the standard has resources for (fields, bodies, streams) is `wasmtime-wasi-http`'s; of it nothing is used that sends.
//!
//! What the standard has no place for stands in header fields that begin with `agent-`: the options of the contract's
//! requests (`agent-auth: github`). They are taken out here and go nowhere.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::Guest;
use super::http::{Answer, BODY_BYTES_MAX, Knock, TIMEOUT_MS, http_error};
use super::log::GuestLog;
use crate::bindings::agent::integration::http as wit;
use crate::bindings::agent::integration::http::HttpError;
use crate::egress::{Held, Response};

/// How header fields that are options begin.
const OPTION_PREFIX: &str = "agent-";

/// The standard's way out of one instance.
pub(crate) struct Outgoing {
    pub(super) knock: Arc<Knock>,
    pub(super) log: Arc<GuestLog>,
    pub(super) line: Line,
}

/// Answers in the order of their requests, for a guest that is played: on a tape they are all there at once, and not every tape
/// says which came first.
#[derive(Default)]
pub(super) struct Line {
    /// Ends with the exchange before.
    last: Option<oneshot::Receiver<Infallible>>,
}

impl Line {
    /// A place at the end: what to wait for, and what the next waits for.
    fn join(&mut self) -> (Option<oneshot::Receiver<Infallible>>, oneshot::Sender<Infallible>) {
        let (mine, next) = oneshot::channel();
        (self.last.replace(next), mine)
    }
}

/// What the standard calls the end of an exchange's input and output. Ours is over when the answer is there.
type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Io), Error>> + Send> {
        self.knock.enters("wasi:http.handle");
        let (knock, log) = (Arc::clone(&self.knock), Arc::clone(&self.log));
        let place = knock.is_played().then(|| self.line.join());
        Box::new(async move {
            let answer = exchange(knock, request, options).await;
            // Held until here, and let go of however this ends, so that the next is not kept for ever.
            if let Some((Some(before), _mine)) = place {
                let _ = before.await;
            }
            let answer = answer.map_err(|error| code(error, &log))?;
            Ok((answer, Box::new(async { Ok(()) }) as Io))
        })
    }
}

/// One exchange, from what the guest gave to what it gets.
async fn exchange(
    knock: Arc<Knock>,
    request: http::Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<http::Response<WasiBody>, HttpError> {
    // Before the body: a guest that may not go out need not write one.
    let place = knock.place()?;
    let (parts, body) = request.into_parts();
    let (body, written) = collect(body, knock.part()).await?;
    let (headers, mut named) = fields(&parts.headers)?;
    if !named.iter().any(|(name, _)| name == "timeout-ms") {
        named.extend(timeout(options).map(|ms| ("timeout-ms".to_owned(), ms.to_string())));
    }
    let request = wit::Request {
        method: parts.method.to_string(),
        url: parts.uri.to_string(),
        headers,
        body: (!body.is_empty()).then_some(body),
        options: named,
    };
    let admitted = knock.admit(request, place)?;
    // From here on what the request holds is counted as that of any other.
    drop(written);
    let (answer, held) = Guest::waiting(knock.witness(), admitted.send()).await;
    response(answer, held)
}

/// A request's body, whole: what the guest writes is counted as it comes.
async fn collect(mut body: WasiBody, mut held: Held) -> Result<(Vec<u8>, Held), HttpError> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| HttpError::Other(format!("the request's body broke off: {error}")))?;
        // Trailers are not sent: what stands in them would be judged by nobody.
        let Ok(piece) = frame.into_data() else {
            return Err(HttpError::Invalid("a request cannot have trailers; leave them out".to_owned()));
        };
        if piece.len() > BODY_BYTES_MAX - whole.len() {
            return Err(HttpError::TooLarge(format!("a request's body may have {BODY_BYTES_MAX} bytes")));
        }
        held.grow(piece.len()).map_err(http_error)?;
        whole.extend_from_slice(&piece);
    }
    Ok((whole, held))
}

type Pairs = Vec<(String, String)>;

/// The fields that go out, and the options among them.
fn fields(headers: &HeaderMap) -> Result<(Pairs, Pairs), HttpError> {
    let (mut sent, mut options) = (Vec::new(), Vec::new());
    for (name, value) in headers {
        // The engine checks the length that a guest gives against its body, and puts the host in; here they are made anew.
        if *name == http::header::CONTENT_LENGTH || *name == http::header::HOST {
            continue;
        }
        let value = std::str::from_utf8(value.as_bytes())
            .map_err(|_| HttpError::Invalid(format!("the value of the header field `{name}` is not UTF-8")))?;
        match name.as_str().strip_prefix(OPTION_PREFIX) {
            Some(option) => options.push((option.to_owned(), value.to_owned())),
            None => sent.push((name.as_str().to_owned(), value.to_owned())),
        }
    }
    Ok((sent, options))
}

/// The standard tells the first byte's time from that between bytes; an answer is here as a whole or not at all, so that the
/// longer of the two is its time.
fn timeout(options: Option<RequestOptions>) -> Option<u32> {
    let options = options?;
    let longest = options.first_byte_timeout.max(options.between_bytes_timeout)?;
    let ms = u32::try_from(longest.max(Duration::from_millis(1)).as_millis()).unwrap_or(u32::MAX);
    Some(ms.clamp(*TIMEOUT_MS.start(), *TIMEOUT_MS.end()))
}

fn response(answer: Answer, held: Held) -> Result<http::Response<WasiBody>, HttpError> {
    let Response { status, headers, body, .. } = answer.map_err(http_error)?;
    let whole = Whole { bytes: Some(body).filter(|bytes| !bytes.is_empty()), _held: held };
    let mut response = http::Response::new(WasiBody::new(whole));
    let strange = |_| HttpError::Other("the answer's head cannot be handed over".to_owned());
    *response.status_mut() = StatusCode::from_u16(status).map_err(|_| strange(()))?;
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| strange(()))?;
        let value = HeaderValue::from_str(&value).map_err(|_| strange(()))?;
        response.headers_mut().append(name, value);
    }
    Ok(response)
}

/// An answer's body, with what it holds until the guest has let go of it.
struct Whole {
    bytes: Option<Bytes>,
    _held: Held,
}

impl Body for Whole {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// The standard's word for an error. It has no place for the rule that is missing, so that goes to the log.
fn code(error: HttpError, log: &GuestLog) -> Error {
    match error {
        HttpError::Denied(rule) => {
            log.line("warn", &format!("wasi:http: denied: {rule}"), &[]);
            Error::HttpRequestDenied
        }
        HttpError::Timeout => Error::HttpResponseTimeout,
        HttpError::TooLarge(why) if why.starts_with("a request") => {
            Error::HttpRequestBodySize(Some(BODY_BYTES_MAX as u64))
        }
        HttpError::TooLarge(_) => Error::HttpResponseBodySize(None),
        HttpError::Tls(_) => Error::TlsProtocolError,
        HttpError::Dns(_) => Error::DnsError { rcode: None, info_code: None },
        HttpError::Connection(_) => Error::ConnectionTerminated,
        HttpError::Limit(_) => Error::ConnectionLimitReached,
        HttpError::RateLimited(until) => Error::InternalError(Some(format!("rate-limited until {until}"))),
        HttpError::Invalid(why) | HttpError::Other(why) => Error::InternalError(Some(why)),
    }
}

//! `agent:integration/http`: requests through the one door. Here a request is judged for its form and the requests under
//! way are kept; where it may go, and everything about the wire, is `egress`'s.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, Lower, Resource};

use super::flights::{FLIGHTS_MAX, Seat, lost};
use super::{Door, Guest, Witness, taped};
use crate::bindings::agent::integration::http as wit;
use crate::bindings::agent::integration::http::HttpError;
use crate::cassette::{Tape, Turn};
use crate::egress::{
    Caller, Class, Egress, EgressError, HEADER_BYTES_MAX, HEADERS_MAX, Held, Manner, Policy, REDIRECTS_MAX,
    RETRIES_MAX, Request, Response, Room, Target, fields_bytes,
};
use crate::lock;

/// Bytes that these hold together, requests and answers: four of the largest bodies, or two mebibytes for each.
const HELD_BYTES_MAX: usize = 64 << 20;
/// Bytes of a method; the longest that is registered has 17.
const METHOD_BYTES_MAX: usize = 64;
pub(super) const BODY_BYTES_MAX: usize = 16 << 20;
pub(super) const TIMEOUT_MS: std::ops::RangeInclusive<u32> = 1..=600_000;
const TIMEOUT_MS_DEFAULT: u32 = 60_000;
const OPTIONS: &str = "auth, fill, timeout-ms, max-body, retries, idempotent, redirects, conditional, class";

/// Header fields that say how a message is framed or where it goes: the host's own.
const HOST_HEADERS: [&str; 9] =
    ["host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "content-length", "expect", "upgrade"];
/// The same, by how they begin.
const HOST_HEADER_PREFIX: &str = "proxy-";
/// Methods that are not requests for a resource: a tunnel, and an echo of what the host put in.
const HOST_METHODS: [&str; 2] = ["CONNECT", "TRACE"];

pub(super) type Answer = Result<Response, EgressError>;

/// A place among the requests under way; given back when it goes.
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a request of one instance needs to get to the door, by whichever interface it comes.
pub(super) struct Knock {
    network: Option<(Egress, Arc<Policy>)>,
    caller: Caller,
    witness: Option<Arc<Witness>>,
    places: Arc<AtomicUsize>,
    room: Room,
    tape: Option<Tape>,
    /// Where the last request went.
    last: Mutex<Option<Target>>,
}

/// What a guest's handle of a request stands for. Its end cancels the request: first the seat is given back and then the place, so
/// that for whoever has a place there is a seat.
pub struct PendingEntry {
    seat: Seat,
    /// Kept until the answer is taken, and not only until it is there.
    _place: Option<Place>,
}

/// A request that may go out, and what it needs for that.
pub(super) struct Admitted {
    knock: Arc<Knock>,
    request: Request,
    /// What the request itself holds of the room.
    held: Held,
    /// None where it is kept for longer than the exchange, by who waits for the answer.
    place: Option<Place>,
    /// Where somebody records or plays: its turn on the tape, taken in the guest's order.
    turn: Option<(Tape, Turn)>,
}

impl Admitted {
    /// Sends it. What the answer holds comes with it; what the request held is given back.
    pub(super) async fn send(self) -> (Answer, Held) {
        let Admitted { knock, request, held, place: _place, turn } = self;
        let mut answers = knock.room.part();
        let Some((egress, policy)) = &knock.network else { return (Err(lost()), answers) };
        let answer = match turn {
            None => egress.send_within(policy, request, &mut answers).await,
            Some((tape, Turn::Record(place))) => {
                let answer = egress.send_within(policy, request, &mut answers).await;
                tape.came(place, taped::came(&answer));
                answer
            }
            Some((_, Turn::Play(played))) => {
                egress.rehearse(policy, &request, taped::answer(played), &mut answers).await
            }
        };
        drop(held);
        (answer, answers)
    }
}

fn full() -> HttpError {
    HttpError::Limit(format!("{FLIGHTS_MAX} requests are under way or not yet taken; take or drop some"))
}

/// What a request holds until it is answered.
fn request_bytes(request: &Request) -> usize {
    request.body.as_ref().map_or(0, Bytes::len) + request.url.as_str().len() + fields_bytes(&request.headers)
}

impl Knock {
    pub(super) fn new(door: &Door) -> Knock {
        Knock {
            network: door.network.clone(),
            caller: Caller { integration: Arc::clone(&door.integration), class: door.class },
            witness: door.witness.clone(),
            places: Arc::default(),
            room: Room::new(HELD_BYTES_MAX),
            tape: door.tape.clone(),
            last: Mutex::default(),
        }
    }

    /// Notes a host call, where somebody looks on.
    pub(super) fn enters(&self, name: &'static str) {
        if let Some(witness) = &self.witness {
            witness.enters(name);
        }
    }

    pub(super) fn witness(&self) -> Option<Arc<Witness>> {
        self.witness.clone()
    }

    /// Whether what the guest sees is played.
    pub(super) fn is_played(&self) -> bool {
        self.tape.as_ref().is_some_and(Tape::replays)
    }

    /// A part of the room, with nothing in it yet.
    pub(super) fn part(&self) -> Held {
        self.room.part()
    }

    /// Capability, and a place among the requests under way.
    pub(super) fn place(&self) -> Result<Place, HttpError> {
        if self.network.is_none() {
            return Err(HttpError::Denied("this call may not use the network: nothing is granted to it".to_owned()));
        }
        let free = |count: usize| (count < FLIGHTS_MAX).then_some(count + 1);
        match self.places.fetch_update(Ordering::SeqCst, Ordering::SeqCst, free) {
            Ok(_) => Ok(Place(Arc::clone(&self.places))),
            Err(_) => Err(full()),
        }
    }

    /// Judges a request; gives what `egress` takes.
    pub(super) fn admit(self: &Arc<Self>, request: wit::Request, place: Place) -> Result<Admitted, HttpError> {
        let Some((egress, policy)) = &self.network else {
            return Err(HttpError::Denied("this call may not use the network: nothing is granted to it".to_owned()));
        };
        let target = Target::parse_after(&mut lock(&self.last), &request.url).map_err(http_error)?;
        let request = judge(request, target, self.caller.clone())?;
        let named = request.credential.iter().chain(&request.fill);
        if let Some(name) = { named }.find(|name| !policy.credentials.contains_key(*name)) {
            let told = if policy.credentials_asked.contains(name) {
                format!(
                    "the credential `{name}` is not granted: add it to `grants.credentials` of this integration in agent.yaml"
                )
            } else {
                format!(
                    "the integration's manifest does not ask for the credential `{name}`; its author has to add it to \
                     `asks.credentials`"
                )
            };
            egress.refused(policy, &request, &told);
            if let Some(tape) = &self.tape
                && let Turn::Record(place) = tape.asks(taped::asked(&request))
            {
                tape.came(place, taped::came(&Err(EgressError::Denied(told.clone()))));
            }
            return Err(HttpError::Denied(told));
        }
        let mut held = self.room.part();
        held.grow(request_bytes(&request)).map_err(http_error)?;
        let turn = self.tape.as_ref().map(|tape| (tape.clone(), tape.asks(taped::asked(&request))));
        Ok(Admitted { knock: Arc::clone(self), request, held, place: Some(place), turn })
    }
}

impl Guest {
    fn admit(&self, request: wit::Request) -> Result<Admitted, HttpError> {
        let place = self.knock.place()?;
        self.knock.admit(request, place)
    }

    fn launch(&mut self, request: wit::Request) -> Result<Resource<PendingEntry>, HttpError> {
        let mut admitted = self.admit(request)?;
        let place = admitted.place.take();
        // In a box: it is moved about, and a request's state has four kilobytes.
        let seat = self.flights.launch(&self.door.shutdown, Box::pin(admitted.send())).ok_or_else(full)?;
        self.table
            .push(PendingEntry { seat, _place: place })
            .map_err(|_| HttpError::Limit("handles_max: too many resources are alive; drop some".to_owned()))
    }

    fn take_pending(&mut self, handle: Resource<PendingEntry>) -> wasmtime::Result<PendingEntry> {
        Ok(self.table.delete(handle)?)
    }

    /// The indexes of those that have landed.
    fn landed(&self, pendings: &[Resource<PendingEntry>]) -> wasmtime::Result<Vec<u32>> {
        let mut landed = Vec::new();
        for (index, handle) in (0..).zip(pendings) {
            if self.table.get(handle)?.seat.landed() {
                landed.push(index);
            }
        }
        Ok(landed)
    }

    /// Waits until one of them has landed, or the time is over.
    async fn any_landed(&mut self, pendings: &[Resource<PendingEntry>], timeout_ms: u32) -> wasmtime::Result<Vec<u32>> {
        self.so_many_landed(1, pendings, timeout_ms).await
    }

    /// Waits until all of them have landed, or the time is over.
    async fn all_landed(&mut self, pendings: &[Resource<PendingEntry>], timeout_ms: u32) -> wasmtime::Result<Vec<u32>> {
        self.so_many_landed(u32::MAX, pendings, timeout_ms).await
    }

    async fn so_many_landed(
        &mut self,
        enough: u32,
        pendings: &[Resource<PendingEntry>],
        timeout_ms: u32,
    ) -> wasmtime::Result<Vec<u32>> {
        let mut awaited = 0;
        for handle in pendings {
            awaited |= self.table.get(handle)?.seat.bit();
        }
        // A guest may name one twice.
        let enough = enough.min(awaited.count_ones());
        let timeout = Duration::from_millis(u64::from(timeout_ms.min(*TIMEOUT_MS.end())));
        let landing = tokio::time::timeout(timeout, self.flights.landed(awaited, enough));
        // What has landed is told, whether or not the time is over.
        let _ = Guest::waiting(self.door.witness.clone(), landing).await;
        self.landed(pendings)
    }
}

impl Guest {
    async fn sent(&mut self, request: wit::Request) -> Result<Given, HttpError> {
        self.enters("http.send");
        let admitted = self.admit(request)?;
        let witness = self.door.witness.clone();
        let (answer, _held) = Guest::waiting(witness, admitted.send()).await;
        answer.map(Given::from).map_err(http_error)
    }

    async fn taken(&mut self, handle: Resource<PendingEntry>) -> wasmtime::Result<Result<Given, HttpError>> {
        self.enters("http.pending.take");
        let entry = self.take_pending(handle)?;
        if !entry.seat.landed() {
            Guest::waiting(self.door.witness.clone(), self.flights.landed(entry.seat.bit(), 1)).await;
        }
        let answer = entry.seat.take();
        Ok(answer.map(Given::from).map_err(http_error))
    }
}

/// An answer as it is handed over: the contract's `response`, with its body as it came.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Given {
    status: u16,
    url: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl From<Response> for Given {
    fn from(answer: Response) -> Given {
        let Response { status, url, headers, body } = answer;
        Given { status, url, headers, body }
    }
}

impl From<Given> for wit::Response {
    fn from(given: Given) -> wit::Response {
        let Given { status, url, headers, body } = given;
        wit::Response { status, url, headers, body: body.into() }
    }
}

/// The interface as components name it, and those of its calls that hand an answer over.
pub(crate) const INTERFACE: &str = "agent:integration/http@0.1.0";
pub(crate) const HANDING_OVER: [&str; 2] = ["send", "[static]pending.take"];

/// Puts the calls that hand an answer over in the place of those that are generated, which know a list of bytes only as one of the
/// host's own making: a copy of each body.
pub(crate) fn link<T: Send + 'static>(linker: &mut Linker<T>, guest: fn(&mut T) -> &mut Guest) -> wasmtime::Result<()> {
    let mut http = linker.instance(INTERFACE)?;
    let [send, take] = HANDING_OVER;
    http.func_wrap_async(send, move |mut store: StoreContextMut<'_, T>, (request,): (wit::Request,)| {
        Box::new(async move { Ok((guest(store.data_mut()).sent(request).await,)) })
    })?;
    http.func_wrap_async(take, move |mut store: StoreContextMut<'_, T>, (handle,): (Resource<PendingEntry>,)| {
        Box::new(async move { Ok((guest(store.data_mut()).taken(handle).await?,)) })
    })
}

impl wit::Host for Guest {
    // The trait asks for this and for `take`; guests call those of `link`.
    async fn send(&mut self, request: wit::Request) -> wasmtime::Result<Result<wit::Response, HttpError>> {
        Ok(self.sent(request).await.map(Into::into))
    }

    fn submit(&mut self, request: wit::Request) -> wasmtime::Result<Result<Resource<PendingEntry>, HttpError>> {
        self.enters("http.submit");
        Ok(self.launch(request))
    }

    async fn wait_any(&mut self, pendings: Vec<Resource<PendingEntry>>, timeout_ms: u32) -> wasmtime::Result<Vec<u32>> {
        self.enters("http.wait-any");
        if pendings.is_empty() {
            return Ok(Vec::new());
        }
        let Some(tape) = self.door.tape.clone() else { return self.any_landed(&pendings, timeout_ms).await };
        if let Some(landed) = tape.played_first("http.wait-any", pendings.len()) {
            return Ok(landed);
        }
        if tape.replays() {
            // Nothing says which came first. On a tape all of them are there at once, so that every replay is the same.
            return self.all_landed(&pendings, timeout_ms).await;
        }
        let landed = self.any_landed(&pendings, timeout_ms).await?;
        tape.note("http.wait-any", &landed);
        Ok(landed)
    }
}

impl wit::HostPending for Guest {
    async fn take(&mut self, handle: Resource<PendingEntry>) -> wasmtime::Result<Result<wit::Response, HttpError>> {
        Ok(self.taken(handle).await?.map(Into::into))
    }

    fn drop(&mut self, handle: Resource<PendingEntry>) -> wasmtime::Result<()> {
        self.enters("http.pending.drop");
        self.take_pending(handle)?;
        Ok(())
    }
}

/// Judges the form of a request beside its URL: method, header fields, body and options.
fn judge(request: wit::Request, url: Target, mut caller: Caller) -> Result<Request, HttpError> {
    judge_method(&request.method)?;
    // Before they are looked at one by one, and before any is kept.
    let header_bytes: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if request.headers.len() > HEADERS_MAX || header_bytes > HEADER_BYTES_MAX {
        return Err(invalid(format!(
            "the request has {} header fields with {header_bytes} bytes; at most {HEADERS_MAX} with {HEADER_BYTES_MAX} are allowed",
            request.headers.len()
        )));
    }
    for (name, value) in &request.headers {
        judge_header(name, value)?;
    }
    if request.body.as_ref().is_some_and(|body| body.len() > BODY_BYTES_MAX) {
        return Err(HttpError::TooLarge(format!("a request's body may have {BODY_BYTES_MAX} bytes")));
    }
    let options = judge_options(request.options)?;
    if options.backfill {
        // An option can make a request less urgent than its call is, and never more.
        caller.class = caller.class.max(Class::Backfill);
    }
    Ok(Request {
        method: request.method,
        url,
        headers: request.headers,
        body: request.body.map(Into::into),
        credential: options.credential,
        fill: options.fill,
        timeout: options.timeout,
        body_bytes_max: options.body_bytes_max,
        manner: options.manner,
        caller,
    })
}

fn judge_method(method: &str) -> Result<(), HttpError> {
    if method.len() > METHOD_BYTES_MAX {
        return Err(invalid(format!("the method has {} bytes; at most {METHOD_BYTES_MAX} are allowed", method.len())));
    }
    let well_formed =
        http::Method::from_bytes(method.as_bytes()).is_ok() && !method.bytes().any(|b| b.is_ascii_lowercase());
    if !well_formed {
        return Err(invalid("the method is not an HTTP method in capitals".to_owned()));
    }
    if HOST_METHODS.contains(&method) {
        return Err(invalid(format!("the method {method} is not possible")));
    }
    Ok(())
}

fn judge_header(name: &str, value: &str) -> Result<(), HttpError> {
    // The name as it is compared, in lower case. A bad one is shown escaped: it may hold control characters.
    let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err(invalid(format!("{name:?} is not a header field's name")));
    };
    if HOST_HEADERS.contains(&parsed.as_str()) || parsed.as_str().starts_with(HOST_HEADER_PREFIX) {
        return Err(invalid(format!("the header field `{parsed}` is the host's own; leave it out")));
    }
    // The value itself is not shown: it may be a secret.
    HeaderValue::from_bytes(value.as_bytes())
        .map(drop)
        .map_err(|_| invalid(format!("the value of the header field `{parsed}` contains a control character")))
}

/// What the options of a request say.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    credential: Option<String>,
    fill: Option<String>,
    timeout: Duration,
    body_bytes_max: usize,
    manner: Manner,
    backfill: bool,
}

/// The options as they are written.
#[derive(Default)]
struct Written {
    auth: Option<String>,
    fill: Option<String>,
    timeout_ms: Option<String>,
    max_body: Option<String>,
    retries: Option<String>,
    idempotent: Option<String>,
    redirects: Option<String>,
    conditional: Option<String>,
    class: Option<String>,
}

fn written(options: Vec<(String, String)>) -> Result<Written, HttpError> {
    let mut written = Written::default();
    for (name, value) in options {
        let slot = match name.as_str() {
            "auth" => &mut written.auth,
            "fill" => &mut written.fill,
            "timeout-ms" => &mut written.timeout_ms,
            "max-body" => &mut written.max_body,
            "retries" => &mut written.retries,
            "idempotent" => &mut written.idempotent,
            "redirects" => &mut written.redirects,
            "conditional" => &mut written.conditional,
            "class" => &mut written.class,
            _ => return Err(invalid(format!("there is no option {name:?}; there are: {OPTIONS}"))),
        };
        if slot.replace(value).is_some() {
            return Err(invalid(format!("the option `{name}` is given twice")));
        }
    }
    Ok(written)
}

fn judge_options(options: Vec<(String, String)>) -> Result<Options, HttpError> {
    let written = written(options)?;
    for (name, value) in [("auth", &written.auth), ("fill", &written.fill)] {
        if value.as_deref() == Some("") {
            return Err(invalid(format!("the option `{name}` needs the name of a credential")));
        }
    }
    let timeout = number("timeout-ms", written.timeout_ms, TIMEOUT_MS, TIMEOUT_MS_DEFAULT)?;
    let body_max = u32::try_from(BODY_BYTES_MAX).unwrap_or(u32::MAX);
    let body = number("max-body", written.max_body, 0..=body_max, body_max)?;
    let usual = Manner::default();
    let manner = Manner {
        idempotent: yes_or_no("idempotent", written.idempotent, usual.idempotent)?,
        retries_max: number("retries", written.retries, 0..=RETRIES_MAX, usual.retries_max)?,
        redirects_max: number("redirects", written.redirects, 0..=REDIRECTS_MAX, usual.redirects_max)?,
        revalidate: yes_or_no("conditional", written.conditional, usual.revalidate)?,
    };
    let backfill = match written.class.as_deref() {
        None => false,
        Some("backfill") => true,
        Some(other) => return Err(invalid(format!("the option `class` is {other:?}; it takes backfill"))),
    };
    Ok(Options {
        credential: written.auth,
        fill: written.fill,
        timeout: Duration::from_millis(u64::from(timeout)),
        // A number of 32 bits fits wherever this program runs; if not, the smaller limit is the safe one.
        body_bytes_max: usize::try_from(body).unwrap_or(BODY_BYTES_MAX),
        manner,
        backfill,
    })
}

fn yes_or_no(name: &str, value: Option<String>, usual: bool) -> Result<bool, HttpError> {
    match value.as_deref() {
        None => Ok(usual),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(invalid(format!("the option `{name}` is {other:?}; it takes true or false"))),
    }
}

fn number(
    name: &str,
    value: Option<String>,
    range: std::ops::RangeInclusive<u32>,
    default: u32,
) -> Result<u32, HttpError> {
    let Some(value) = value else { return Ok(default) };
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        invalid(format!(
            "the option `{name}` is {value:?}; it takes a whole number from {} to {}",
            range.start(),
            range.end()
        ))
    })
}

fn invalid(why: String) -> HttpError {
    HttpError::Invalid(why)
}

pub(super) fn http_error(error: EgressError) -> HttpError {
    match error {
        EgressError::Denied(rule) => HttpError::Denied(rule),
        EgressError::Invalid(why) => HttpError::Invalid(why),
        EgressError::Timeout(_) => HttpError::Timeout,
        EgressError::RateLimited(until) => HttpError::RateLimited(until),
        EgressError::TooLarge(bytes) => HttpError::TooLarge(format!("the answer's body may have {bytes} bytes")),
        EgressError::Grows(_) => HttpError::TooLarge(error.to_string()),
        EgressError::NoRoom(bytes) => HttpError::Limit(format!(
            "requests and answers that are not yet taken may hold {bytes} bytes together (http_bytes_max); take or drop \
             some, or have fewer under way"
        )),
        EgressError::Tls(why) => HttpError::Tls(why),
        EgressError::Dns(why) => HttpError::Dns(why),
        EgressError::Connection(why) => HttpError::Connection(why),
        EgressError::Other(why) => HttpError::Other(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(result: Result<(), HttpError>) -> String {
        match result {
            Ok(()) => "accepted".to_owned(),
            Err(HttpError::Invalid(why)) => why,
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn header_fields_are_counted_before_any_is_kept() {
        let request = |headers: Vec<(String, String)>| wit::Request {
            method: "GET".to_owned(),
            url: "https://example.com/".to_owned(),
            headers,
            body: None,
            options: Vec::new(),
        };
        let field = |bytes: usize| ("x".to_owned(), "v".repeat(bytes));
        let said = |headers| {
            why(judge(request(headers), Target::parse("https://example.com/").unwrap(), Caller::default()).map(drop))
        };
        assert_eq!(said(vec![field(1); HEADERS_MAX]), "accepted");
        assert!(said(vec![field(1); HEADERS_MAX + 1]).contains("129 header fields"));
        assert_eq!(said(vec![field(HEADER_BYTES_MAX - 1)]), "accepted");
        assert!(said(vec![field(HEADER_BYTES_MAX)]).contains("65537 bytes; at most 128 with 65536"));
    }

    /// Answers each connection with a body of this many bytes, until the test ends.
    fn server_of(bytes: usize) -> u16 {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n");
                // The client may break off: it has no room.
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&vec![b'x'; bytes]));
            }
        });
        port
    }

    /// Answers that are not taken are held, up to so many bytes over all of them; what is taken makes room.
    #[test]
    fn bodies_that_are_held_are_counted_together() {
        use wit::{Host as _, HostPending as _};
        let port = server_of(BODY_BYTES_MAX);
        let rule = crate::config::NetworkRule {
            scheme: "http".into(),
            host: "127.0.0.1".into(),
            port,
            methods: vec![],
            path: "/".into(),
        };
        let policy = Policy {
            asked: vec![rule.clone()],
            granted: vec![rule],
            private_hosts: vec!["127.0.0.1".into()],
            ..Policy::default()
        };
        let shutdown = crate::shutdown::Shutdown::default();
        let door = crate::hostcalls::Door::nothing("test", &crate::logs::Logs::none(), &shutdown)
            .with_network(crate::egress::Egress::new(), Arc::new(policy));
        let mut guest = Guest::new(door, &crate::config::Limits::default());
        let request = |body: usize| wit::Request {
            method: "GET".to_owned(),
            url: format!("http://127.0.0.1:{port}/"),
            headers: Vec::new(),
            body: (body > 0).then(|| vec![0; body]),
            options: Vec::new(),
        };
        let fits = HELD_BYTES_MAX / BODY_BYTES_MAX - 1;
        crate::shutdown::runtime().unwrap().block_on(async {
            let mut held = Vec::new();
            // One more than fits beside what surrounds them; each has landed before the next goes out.
            for _ in 0..=fits {
                let pending = guest.submit(request(0)).unwrap().unwrap();
                let twin = Resource::new_own(pending.rep());
                assert_eq!(guest.wait_any(vec![twin], 600_000).await.unwrap(), [0]);
                held.push(pending);
            }
            assert!(guest.knock.room.held() > fits * BODY_BYTES_MAX);
            let last = guest.take(held.pop().unwrap()).await.unwrap();
            assert!(matches!(&last, Err(HttpError::Limit(why)) if why.contains("67108864 bytes together")), "{last:?}");
            // A request's own body counts, before it goes out.
            let refused = guest.submit(request(BODY_BYTES_MAX)).unwrap();
            assert!(matches!(&refused, Err(HttpError::Limit(_))), "{refused:?}");
            let taken = guest.take(held.pop().unwrap()).await.unwrap().unwrap();
            assert_eq!(taken.body.len(), BODY_BYTES_MAX);
            let again = guest.send(request(0)).await.unwrap().unwrap();
            assert_eq!(again.body.len(), BODY_BYTES_MAX);
            for pending in held {
                guest.drop(pending).unwrap();
            }
            assert_eq!((guest.knock.room.held(), guest.knock.places.load(Ordering::SeqCst)), (0, 0));
        });
    }

    #[test]
    fn methods_are_tokens_in_capitals() {
        for (method, expected) in [
            ("GET", "accepted"),
            ("PROPFIND", "accepted"),
            ("get", "capitals"),
            ("GET /", "capitals"),
            ("", "capitals"),
            ("CONNECT", "not possible"),
        ] {
            assert!(why(judge_method(method)).contains(expected), "{method}");
        }
    }

    #[test]
    fn header_fields_of_the_host_and_forged_lines_are_refused() {
        for (name, value, expected) in [
            ("Accept", "a/b", "accepted"),
            ("x-note", "grün", "accepted"),
            ("Host", "x", "the host's own"),
            ("TRANSFER-ENCODING", "chunked", "the host's own"),
            ("Proxy-Authorization", "x", "the host's own"),
            ("expect", "100-continue", "the host's own"),
            ("a b", "x", "not a header field's name"),
            ("", "x", "not a header field's name"),
            ("x\r\nHost", "x", "not a header field's name"),
            ("x", "a\r\nHost: b", "control character"),
            ("x", "a\0", "control character"),
        ] {
            assert!(why(judge_header(name, value)).contains(expected), "{name}: {}", why(judge_header(name, value)));
        }
    }

    #[test]
    fn options_are_known_once_and_in_range() {
        let options = |pairs: &[(&str, &str)]| {
            judge_options(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        let default = options(&[]).unwrap();
        assert_eq!((default.timeout, default.body_bytes_max), (Duration::from_secs(60), BODY_BYTES_MAX));
        assert_eq!((default.manner, default.backfill), (Manner::default(), false));
        let all = options(&[
            ("auth", "a"),
            ("fill", "b"),
            ("timeout-ms", "1"),
            ("max-body", "0"),
            ("retries", "8"),
            ("idempotent", "true"),
            ("redirects", "10"),
            ("conditional", "false"),
            ("class", "backfill"),
        ]);
        let expected = Options {
            credential: Some("a".into()),
            fill: Some("b".into()),
            timeout: Duration::from_millis(1),
            body_bytes_max: 0,
            manner: Manner { idempotent: true, retries_max: 8, redirects_max: 10, revalidate: false },
            backfill: true,
        };
        assert_eq!(all.unwrap(), expected);
        for (pairs, expected) in [
            (&[("timeout", "1")][..], "no option \"timeout\""),
            (&[("auth", "a"), ("auth", "a")][..], "twice"),
            (&[("auth", "")][..], "name of a credential"),
            (&[("fill", "")][..], "`fill` needs the name of a credential"),
            (&[("timeout-ms", "0")][..], "from 1 to 600000"),
            (&[("timeout-ms", "-1")][..], "from 1 to 600000"),
            (&[("max-body", "16777217")][..], "from 0 to 16777216"),
            (&[("retries", "9")][..], "from 0 to 8"),
            (&[("redirects", "11")][..], "from 0 to 10"),
            (&[("idempotent", "yes")][..], "true or false"),
            (&[("class", "mutation")][..], "it takes backfill"),
        ] {
            assert!(why(options(pairs).map(drop)).contains(expected), "{pairs:?}");
        }
    }
}

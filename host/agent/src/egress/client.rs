//! From a request to its answer: judged first, then sent as often as it takes. What a request must be and what an answer
//! may take is here; who goes when is `gate`'s, which tries there are is `tries`'s, and what is connected to is
//! `clients`' and `wire`'s.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, RANGE, USER_AGENT};
use http::{Method, StatusCode};
use http_body::Body;
use sha2::{Digest, Sha256};
use url::{Host, Url};

use super::clients::Clients;
use super::clock::Clock;
use super::credentials::{self, Ready};
use super::gate::{Account, Gate, Kind, Pass, rfc3339};
use super::ledger::{Entry, Ledger};
use super::minted::Minted;
use super::pauses::Pause;
use super::revalidate::{self, Answers, Key};
use super::room::{Held, Room};
use super::target::Target;
use super::tries::{Next, Tries};
use super::unpack::Unpack;
use super::wire::{self, Answer};
use super::{EgressError, Policy, Request, Response, address, faults, policy, rates, redirect};
use crate::cassette::Faults;
use crate::config::{Credential, EgressSettings};
use crate::secrets::{self, Sources};
use crate::shutdown::Shutdown;

/// Header fields of a request, and their bytes in all.
pub(crate) const HEADERS_MAX: usize = 128;
pub(crate) const HEADER_BYTES_MAX: usize = 64 << 10;
/// Room made ahead for a body whose length is announced; what is announced and does not come costs no more than this.
const BODY_RESERVED_MAX: u64 = 1 << 20;
/// Bytes of a piece that is kept as it came. It holds the buffer that was read into, which has half a mebibyte at most.
const PIECE_KEPT_MIN: usize = 8 << 10;

/// Header fields that are the host's own.
const OWN_HEADERS: &[&str] =
    &["host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "content-length", "expect", "upgrade"];
/// Header fields in which guests send keys of their own, beside `Authorization` and `Cookie`.
static KEY_HEADERS: [HeaderName; 2] = [HeaderName::from_static("private-token"), HeaderName::from_static("x-api-key")];
/// Bytes of what tells two such keys apart: far more than there are keys.
const KEY_MARK_BYTES: usize = 12;

/// The door. Clones share it. Making one costs nothing: a client is built when the first request of its policy comes.
#[derive(Clone)]
pub struct Egress {
    shared: Arc<Shared>,
}

struct Shared {
    clients: Clients,
    gate: Gate,
    clock: Clock,
    answers: Answers,
    ledger: Option<Arc<Ledger>>,
    faults: Option<Arc<Faults>>,
    sources: Sources,
    minted: Minted,
    shutdown: Shutdown,
}

/// What is to come of a request.
pub(super) enum Want<'a> {
    /// The whole answer, counted as held.
    Whole(&'a mut Held),
    /// The same, for the host itself: secrets are not struck out of it.
    Raw(&'a mut Held),
    /// The answer's head; its body is read by who asked, within this time to the head.
    Head(Duration),
}

/// What came of one try.
pub(super) enum Got {
    Whole(Response),
    Head(Box<Head>),
}

/// An answer whose body has not come.
pub(super) struct Head {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub answer: Answer,
    pub unpack: Unpack,
}

impl Got {
    /// Status, header fields, and as much of the body as is here.
    fn parts(&self) -> (u16, &[(String, String)], &[u8]) {
        match self {
            Got::Whole(whole) => (whole.status, &whole.headers, &whole.body),
            Got::Head(head) => (head.status, &head.headers, &[]),
        }
    }
}

/// A request that may go out.
struct Judged {
    method: Method,
    headers: HeaderMap,
    kind: Kind,
    account: Account,
    /// The body with a secret in it, if it is to have one.
    filled: Option<Bytes>,
}

impl Shared {
    fn new(
        clients: Clients,
        settings: &EgressSettings,
        sources: Sources,
        shutdown: &Shutdown,
        clock: Clock,
        ledger: Option<Arc<Ledger>>,
    ) -> Shared {
        let gate = Gate::new(clock.clone(), shutdown.clone(), settings.per_host_max, settings.wait_max);
        let (answers, minted, shutdown) = (Answers::default(), Minted::default(), shutdown.clone());
        Shared { clients, gate, clock, answers, ledger, faults: None, sources, minted, shutdown }
    }
}

impl Default for Egress {
    fn default() -> Self {
        Egress::new()
    }
}

impl Egress {
    /// The door as it is without settings, closed but for what each request's policy allows.
    #[must_use]
    pub fn new() -> Egress {
        let settings = EgressSettings::default();
        Egress::joined(Clients::plain(), &settings, &Shutdown::default(), Clock::Real, None)
    }

    /// The door with the operator's settings and secrets. Waits end when the end of everything is asked for.
    ///
    /// # Errors
    /// A file of certificates cannot be read or has none, or the proxy cannot be used: a sentence for the operator.
    pub fn open(settings: &EgressSettings, sources: Sources, shutdown: &Shutdown) -> Result<Egress, String> {
        let clients = Clients::open(settings)?;
        Ok(Egress::joined_with(clients, settings, sources, shutdown, Clock::Real, None))
    }

    /// A door that writes down what goes out and what it refuses, and in which these faults happen.
    #[must_use]
    pub fn with_ledger(sources: Sources, shutdown: &Shutdown, faults: Option<Arc<Faults>>) -> (Egress, Arc<Ledger>) {
        let (ledger, settings) = (Arc::new(Ledger::default()), EgressSettings::default());
        let kept = Some(Arc::clone(&ledger));
        let mut shared = Shared::new(Clients::plain(), &settings, sources, shutdown, Clock::Real, kept);
        shared.faults = faults;
        (Egress { shared: Arc::new(shared) }, ledger)
    }

    pub(super) fn joined(
        clients: Clients,
        settings: &EgressSettings,
        shutdown: &Shutdown,
        clock: Clock,
        ledger: Option<Arc<Ledger>>,
    ) -> Egress {
        Egress::joined_with(clients, settings, Sources::new(None, shutdown), shutdown, clock, ledger)
    }

    pub(super) fn joined_with(
        clients: Clients,
        settings: &EgressSettings,
        sources: Sources,
        shutdown: &Shutdown,
        clock: Clock,
        ledger: Option<Arc<Ledger>>,
    ) -> Egress {
        Egress { shared: Arc::new(Shared::new(clients, settings, sources, shutdown, clock, ledger)) }
    }

    /// The places that secrets come from.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.shared.sources
    }

    pub(super) fn minted(&self) -> &Minted {
        &self.shared.minted
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    pub(super) fn shutdown(&self) -> &Shutdown {
        &self.shared.shutdown
    }

    /// The pauses because a server's budget was spent, oldest first, and how many there were beyond those.
    #[must_use]
    pub fn pauses(&self) -> (Vec<Pause>, u64) {
        self.shared.gate.pauses()
    }

    /// Waits until pauses have begun, changed or ended since the last wait. For one listener.
    pub async fn pauses_change(&self) {
        self.shared.gate.pauses_change().await;
    }

    /// Begins to write a request down, where somebody wants that.
    fn entry(&self, policy: &Policy, request: &Request) -> Option<Entry> {
        self.shared.ledger.as_ref().map(|ledger| ledger.begin(policy, request))
    }

    /// Writes down a request that was refused, where somebody wants that.
    fn note_refused(&self, policy: &Policy, request: &Request, fault: &EgressError) {
        if let Some(entry) = self.entry(policy, request) {
            entry.end(&Err(fault.clone()));
        }
    }

    /// Writes down a request that was refused before it came here, for a credential that is not granted.
    pub(crate) fn refused(&self, policy: &Policy, request: &Request, told: &str) {
        self.note_refused(policy, request, &EgressError::Denied(told.to_owned()));
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
        mut request: Request,
        held: &mut Held,
    ) -> Result<Response, EgressError> {
        let mut hop = 0;
        loop {
            let answer = match self.tried(policy, &mut request, Want::Whole(&mut *held)).await {
                Ok(Got::Whole(answer)) => answer,
                Ok(Got::Head(_)) => {
                    return Err(EgressError::Other("half an answer; this is a fault of the agent".into()));
                }
                Err(EgressError::Denied(why)) if hop > 0 => {
                    return Err(EgressError::Denied(format!(
                        "the answer redirects, and where it leads is refused: {why}"
                    )));
                }
                Err(fault) => return Err(fault),
            };
            match redirect::next(&request, &answer)? {
                Some(next) => request = next,
                None => return Ok(answer),
            }
            hop += 1;
        }
    }

    /// Answers a request without sending it: it is judged by the rules as any other, written down, and meets faults. Addresses
    /// and credentials are not looked at, since nothing is connected to.
    pub(crate) async fn rehearse(
        &self,
        policy: &Policy,
        request: &Request,
        came: Result<Response, EgressError>,
        held: &mut Held,
    ) -> Result<Response, EgressError> {
        let judge = || {
            let method = checked_method(&request.method)?;
            policy.check(method.as_str(), &request.url)?;
            checked_headers(&request.headers).map(drop)
        };
        judge().inspect_err(|fault| self.note_refused(policy, request, fault))?;
        if let Ok(answer) = &came
            && answer.url != request.url.as_str()
        {
            // Where redirects led is not taken on a file's word.
            let url = Target::parse(&answer.url).inspect_err(|fault| self.note_refused(policy, request, fault))?;
            let led = Request { url, ..request.clone() };
            // Most redirects make a GET of what it was.
            policy
                .check(&led.method, &led.url)
                .or_else(|refused| policy.check("GET", &led.url).map_err(|_| refused))
                .inspect_err(|fault| self.note_refused(policy, &led, fault))?;
        }
        let entry = self.entry(policy, request);
        let fault = self.shared.faults.as_ref().and_then(|faults| faults.next());
        let answer = match faults::instead(fault, request).await {
            Some(answer) => answer,
            None => came.and_then(|mut answer| {
                faults::afterwards(fault, &mut answer);
                if answer.body.len() > request.body_bytes_max {
                    return Err(EgressError::TooLarge(request.body_bytes_max));
                }
                held.grow(answer.body.len())?;
                Ok(answer)
            }),
        };
        if let Some(entry) = entry {
            entry.end(&answer.as_ref().map_err(Clone::clone));
        }
        answer
    }

    /// Sends a request until there is an answer that counts, or none that will. What the exchange took is taken off the
    /// request's timeout.
    pub(super) async fn tried(
        &self,
        policy: &Policy,
        request: &mut Request,
        mut want: Want<'_>,
    ) -> Result<Got, EgressError> {
        let mut judged = self.judge(policy, request).inspect_err(|fault| self.note_refused(policy, request, fault))?;
        // Had before a place is taken: an exchange may go to the same server, and would wait for its own.
        let mut ready = self.ready(policy, request, &judged).await?;
        judged.filled = self.filled(policy, request, &judged).await?;
        let mut renewed = false;
        let keeps = request.manner.revalidate
            && matches!(want, Want::Whole(_))
            && revalidate::fits(&judged.method, &judged.headers);
        let kept = match keeps && self.shared.answers.any() {
            true => self.shared.answers.ask(&key(request, &judged), &mut judged.headers),
            false => None,
        };
        let mut tries = Tries::new(&judged.method, &judged.headers, &request.manner);
        let timeout = request.timeout;
        loop {
            let pass = self.shared.gate.enter(&request.caller, &judged.account, judged.kind).await?;
            let began = self.shared.clock.now();
            let got = self.once(policy, request, &judged, ready.as_ref(), &mut want).await;
            let spent = self.shared.clock.now().saturating_duration_since(began);
            request.timeout = request.timeout.saturating_sub(spent);
            let (next, limited) = self.learn(&pass, &mut tries, &got);
            drop(pass);
            let again = match next {
                Next::Give => false,
                Next::Gate => true,
                // What the server asks for is not the exchange's time.
                Next::Asked(wait) => self.shared.gate.wait(wait).await,
                Next::Again(wait) => {
                    let fits = wait < request.timeout && self.shared.gate.wait(wait).await;
                    request.timeout = request.timeout.saturating_sub(wait);
                    fits
                }
            };
            if again {
                continue;
            }
            if !renewed && self.is_refused(policy, request, ready.as_ref(), &got).await {
                // The source was not served with what has run out: once more, with what is new.
                renewed = true;
                ready = self.ready(policy, request, &judged).await?;
                continue;
            }
            if let Some(wait) = limited {
                return Err(EgressError::RateLimited(rfc3339(self.shared.clock.wall() + wait)));
            }
            let got = got.map_err(|fault| match fault {
                // The time that was given, whatever was left of it.
                EgressError::Timeout(_) if matches!(want, Want::Whole(_)) => EgressError::Timeout(timeout),
                fault => fault,
            })?;
            return match (keeps, got, want) {
                (true, Got::Whole(answer), Want::Whole(held)) => {
                    self.known(request, judged, answer, kept, held).map(Got::Whole)
                }
                (_, got, _) => Ok(got),
            };
        }
    }

    /// Judges a request; the credential is not in it yet.
    fn judge(&self, policy: &Policy, request: &Request) -> Result<Judged, EgressError> {
        let (url, method) = (&request.url, checked_method(&request.method)?);
        policy.check(method.as_str(), url)?;
        check_literal(policy, url)?;
        self.shared.clients.check_host(policy, url)?;
        let headers = checked_headers(&request.headers)?;
        let account = Account { host: url.origin_text().into(), who: account_of(policy, request, &headers).into() };
        Ok(Judged { method, kind: Kind::of(url.path()), headers, account, filled: None })
    }

    /// The credential that a request names, with its value.
    async fn ready(&self, policy: &Policy, request: &Request, judged: &Judged) -> Result<Option<Ready>, EgressError> {
        let Some(name) = &request.credential else { return Ok(None) };
        let had = async {
            let credential = credentials::judge(policy, name, &request.url, &judged.headers)?;
            credentials::ready(self, policy, request, name, credential).await
        };
        had.await.map(Some).inspect_err(|fault| self.note_refused(policy, request, fault))
    }

    /// The body of a request that names a credential for it, with its value.
    async fn filled(&self, policy: &Policy, request: &Request, judged: &Judged) -> Result<Option<Bytes>, EgressError> {
        let Some(name) = &request.fill else { return Ok(None) };
        let filled = credentials::filled(self, policy, request, name, (&request.url, &judged.headers)).await;
        filled.map(Some).inspect_err(|fault| self.note_refused(policy, request, fault))
    }

    /// Whether the source refuses a value in whose place there may be another.
    async fn is_refused(
        &self,
        policy: &Policy,
        request: &Request,
        ready: Option<&Ready>,
        got: &Result<Got, EgressError>,
    ) -> bool {
        let refused = matches!(got, Ok(got) if got.parts().0 == StatusCode::UNAUTHORIZED.as_u16());
        let Some(ready) = ready.filter(|ready| refused && ready.renewable()) else { return false };
        match request.credential.as_ref().and_then(|name| policy.credentials.get(name)) {
            Some(credential) => self.refuse(credential, ready.value()).await,
            None => false,
        }
    }

    /// One try: one exchange on the wire.
    async fn once(
        &self,
        policy: &Policy,
        request: &Request,
        judged: &Judged,
        ready: Option<&Ready>,
        want: &mut Want<'_>,
    ) -> Result<Got, EgressError> {
        let entry = self.entry(policy, request);
        let timeout = match want {
            Want::Whole(_) | Want::Raw(_) => request.timeout,
            Want::Head(first_byte) => request.timeout.min(*first_byte),
        };
        let fault = self.shared.faults.as_ref().and_then(|faults| faults.next());
        let exchange = async {
            if let Some(instead) = faults::instead(fault, request).await {
                return match want {
                    Want::Whole(_) | Want::Raw(_) => instead.map(Got::Whole),
                    // A head has a connection behind it, and here is none.
                    Want::Head(_) => Err(instead
                        .err()
                        .unwrap_or_else(|| EgressError::Connection("the server failed (by --fault)".to_owned()))),
                };
            }
            let mut answer = self.start(policy, request, judged, ready).await?;
            let unpack = Unpack::of(answer.headers_mut());
            let strikes = !matches!(want, Want::Raw(_));
            match want {
                Want::Whole(held) | Want::Raw(held) => {
                    // What a try before this one held is not held any more.
                    held.clear();
                    let bytes_max = request.body_bytes_max;
                    let mut whole = read_answer(answer, unpack, &request.url, bytes_max, held).await?;
                    if strikes {
                        credentials::strike_answer(&mut whole);
                    }
                    faults::afterwards(fault, &mut whole);
                    Ok(Got::Whole(whole))
                }
                Want::Head(_) => {
                    let mut headers = header_pairs(answer.headers());
                    credentials::strike_fields(&mut headers);
                    let status = answer.status().as_u16();
                    Ok(Got::Head(Box::new(Head { status, headers, answer, unpack })))
                }
            }
        };
        let got = tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(EgressError::Timeout(timeout)));
        // Before anybody sees it: a client's fault may quote what a server said, or where it was to go.
        let got = got.map_err(EgressError::struck);
        if let Some(entry) = entry {
            match &got {
                Ok(Got::Whole(whole)) => entry.end(&Ok(whole)),
                Ok(Got::Head(head)) => entry.end_with_head(Ok(head.status)),
                Err(fault) => entry.end(&Err(fault.clone())),
            }
        }
        got
    }

    /// Puts the credential in and sends a request; the answer's head has arrived, its body has not.
    async fn start(
        &self,
        policy: &Policy,
        request: &Request,
        judged: &Judged,
        ready: Option<&Ready>,
    ) -> Result<Answer, EgressError> {
        let (mut url, mut headers) = (Cow::Borrowed(&*request.url), judged.headers.clone());
        // Last: whatever the guest supplied is fixed by now.
        if let Some(ready) = ready {
            ready.put(url.to_mut(), &mut headers);
        }
        let wire = self.shared.clients.of(policy, url.scheme(), &request.caller.integration)?;
        let body = judged.filled.clone().or_else(|| request.body.clone());
        wire.send(judged.method.clone(), &url, headers, body).await
    }

    /// Takes in what a try says: to the gate its budget, and to the caller what to do next, and how long there is none.
    fn learn(&self, pass: &Pass, tries: &mut Tries, got: &Result<Got, EgressError>) -> (Next, Option<Duration>) {
        let clock = &self.shared.clock;
        match got {
            Ok(got) => {
                let (status, headers, body) = got.parts();
                let says = rates::says(status, headers, body, || clock.wall());
                pass.answered(says.told.as_ref(), says.limited);
                (tries.after_answer(status, says.limited.is_some(), says.asked, clock), says.limited)
            }
            Err(fault) => (tries.after_fault(fault, clock), None),
        }
    }

    /// An answer that counts: kept, or known from what is kept.
    fn known(
        &self,
        request: &Request,
        judged: Judged,
        answer: Response,
        kept: Option<Arc<Response>>,
        held: &mut Held,
    ) -> Result<Response, EgressError> {
        match kept {
            Some(kept) if answer.status == StatusCode::NOT_MODIFIED.as_u16() => {
                if kept.body.len() > request.body_bytes_max {
                    return Err(EgressError::TooLarge(request.body_bytes_max));
                }
                held.grow(kept.body.len())?;
                Ok(revalidate::renewed(&kept, answer))
            }
            _ => {
                if revalidate::may_be_kept(&answer) {
                    let key = key(request, &judged);
                    self.shared.answers.keep(&key, &revalidate::unconditional(judged.headers), &answer);
                }
                Ok(answer)
            }
        }
    }
}

/// Under what an answer is kept.
fn key(request: &Request, judged: &Judged) -> Key {
    Key {
        integration: Arc::clone(&request.caller.integration),
        who: Arc::clone(&judged.account.who),
        url: request.url.to_string(),
    }
}

/// What tells apart the accounts that requests use: the place where a credential comes from, or a mark of what the guest
/// sends itself. Never a secret, and nothing from which one could be had.
fn account_of(policy: &Policy, request: &Request, headers: &HeaderMap) -> String {
    if let Some(name) = &request.credential {
        return match policy.credentials.get(name) {
            // Two installations of one app, say, have budgets of their own.
            Some(Credential { source, exchange: Some(exchange), .. }) => format!("{source:?} {exchange:?}"),
            Some(credential) => format!("{:?}", credential.source),
            None => name.clone(),
        };
    }
    let own = [&AUTHORIZATION, &COOKIE].into_iter().chain(&KEY_HEADERS);
    let mut hash: Option<Sha256> = None;
    for value in own.filter_map(|name| headers.get(name)) {
        hash.get_or_insert_default().update(value.as_bytes());
    }
    let Some(hash) = hash else { return String::new() };
    hash.finalize()[..KEY_MARK_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
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
    // With room for those that are put in below, here and on the wire.
    let mut headers = HeaderMap::with_capacity(pairs.len() + 6);
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
    // A part of a packed body cannot be unpacked by itself.
    if !headers.contains_key(ACCEPT_ENCODING) && !headers.contains_key(RANGE) {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
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

/// Reads an answer to its end. `url` is what was asked for, without a credential.
async fn read_answer(
    mut answer: Answer,
    unpack: Unpack,
    url: &Url,
    bytes_max: usize,
    held: &mut Held,
) -> Result<Response, EgressError> {
    let body = read_body(&mut answer, unpack, url, bytes_max, held).await?;
    let (status, headers) = (answer.status().as_u16(), header_pairs(answer.headers()));
    let response = Response { status, url: url.to_string(), headers, body };
    held.head(&response)?;
    Ok(response)
}

async fn read_body(
    answer: &mut Answer,
    mut unpack: Unpack,
    url: &Url,
    bytes_max: usize,
    held: &mut Held,
) -> Result<Bytes, EgressError> {
    // What is announced and what comes are two things; an announcement that is too large already saves the wait.
    let announced = if unpack.is_packed() { 0 } else { answer.body().size_hint().exact().unwrap_or(0) };
    if announced > bytes_max as u64 {
        return Err(EgressError::TooLarge(bytes_max));
    }
    let mut next = wire::chunk(answer, url).await?;
    // Most bodies come in one piece, which is handed on as it is. A small one is not worth the buffer in which it lies.
    if let Some(whole) = next.take_if(|chunk| chunk.len() >= PIECE_KEPT_MIN && chunk.len() as u64 == announced) {
        held.grow(whole.len())?;
        // To the end, or the connection is of no more use.
        return match wire::chunk(answer, url).await? {
            None => Ok(whole),
            Some(_) => Err(EgressError::Connection("more came than was announced".to_owned())),
        };
    }
    let mut body = Vec::new();
    held.reserve(&mut body, announced.min(BODY_RESERVED_MAX) as usize, bytes_max)?;
    // The length is checked as it comes, after it is unpacked: what is announced may be a lie, and small may grow large.
    let mut add = |piece: &[u8]| {
        if piece.len() > bytes_max - body.len() {
            return Err(EgressError::TooLarge(bytes_max));
        }
        held.reserve(&mut body, piece.len(), bytes_max)?;
        body.extend_from_slice(piece);
        Ok(())
    };
    while let Some(mut chunk) = next {
        while let Some(piece) = unpack.piece(&mut chunk)? {
            add(piece)?;
        }
        next = wire::chunk(answer, url).await?;
    }
    add(unpack.end()?)?;
    Ok(body.into())
}

impl EgressError {
    /// Without secrets.
    fn struck(mut self) -> EgressError {
        match &mut self {
            EgressError::Denied(text)
            | EgressError::Invalid(text)
            | EgressError::Tls(text)
            | EgressError::Dns(text)
            | EgressError::Connection(text)
            | EgressError::Other(text) => secrets::strike(text),
            EgressError::Timeout(_)
            | EgressError::RateLimited(_)
            | EgressError::TooLarge(_)
            | EgressError::Grows(_)
            | EgressError::NoRoom(_) => {}
        }
        self
    }
}

//! HAR 1.2, which browsers and proxies make and show: a cassette from such a file, and a file of a cassette. What HAR has no
//! place for stands in members `_agent`, as the form allows; a file without them is a cassette too. What a file says that a
//! guest never sees (cookies taken apart, sizes, timings) is written for who looks at it, and not read.
//!
//! A file may be anybody's. What is made of it takes room in proportion to its bytes, which whoever reads it has bounded: lists of
//! small things are counted as they are read, and documents stay texts. What no server could have answered is refused, so that a
//! guest sees nothing in a replay that it could not see in earnest.

use std::time::{Duration, SystemTime};

use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use http::HeaderName;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;

use super::bounded::{Answers, Bounded, Entries};
use super::text::{Text, short};
use super::{Asked, Came, Cassette, Exchange, Mask, READINGS_MAX, World};

/// The form of our own members. A higher one is of a newer agent.
const FORM: u64 = 1;

/// Header fields of how a message was framed or packed: bodies are whole and unpacked here.
const FRAMING: [&str; 4] = ["content-encoding", "content-length", "transfer-encoding", "connection"];

/// Header fields and parts of a form of one message: a server sends dozens.
pub(super) const PAIRS_MAX: usize = 10_000;
/// Statuses that an answer may have, as far as HTTP goes: there are sites that answer with 999.
const STATUSES: std::ops::Range<f64> = 100.0..1000.0;
/// Bytes of what was run: a mutation's data or a webhook's body, and a configuration.
const ORIGIN_BYTES_MAX: usize = 32 << 20;
/// Of these, the configuration: as a document it takes thirty times the room of its smallest values.
const CONFIG_BYTES_MAX: usize = 4 << 20;

/// Why a file is no cassette.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CassetteError(String);

/// What was run when a cassette was recorded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// From the manifest.
    pub name: String,
    pub version: String,
    /// SHA-256 of the component.
    pub digest: String,
    /// The call as it is typed, word by word.
    pub call: Vec<String>,
    /// Whether there had been a run before in the same root, so that it went on from cursors.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub goes_on: bool,
    /// Of a webhook: its header fields, and its body.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The configuration; secrets in it are replaced by their names.
    pub config: Value,
}

/// The file. Members that we do not know are passed over.
#[derive(Deserialize)]
struct File {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    #[serde(default)]
    entries: Entries,
    #[serde(rename = "_agent")]
    agent: Option<Agent>,
}

#[derive(Serialize, Deserialize)]
struct Agent {
    form: u64,
    origin: Option<Box<RawValue>>,
    seed: String,
    /// Readings of clocks in nanoseconds: the first, and how far each went on from the one before.
    #[serde(default)]
    wall: Bounded<i64, READINGS_MAX>,
    #[serde(default)]
    monotonic: Bounded<i64, READINGS_MAX>,
    #[serde(default)]
    answers: Answers,
    #[serde(default)]
    left_out: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    started_date_time: Option<String>,
    /// For who looks at it.
    #[serde(default)]
    time: Option<f64>,
    request: Request,
    response: Response,
    #[serde(rename = "_agent", default)]
    agent: EntryAgent,
}

/// What HAR has no place for in an entry.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct EntryAgent {
    /// The name of the credential that the host put in.
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
    /// Where redirects led, if not to the request's own URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// Why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<(String, String)>,
    /// The guest did not wait for the answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    given_up: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method: String,
    url: Text,
    headers: Option<Bounded<Pair, PAIRS_MAX>>,
    post_data: Option<PostData>,
}

#[derive(Debug, Deserialize)]
struct Response {
    status: Option<f64>,
    headers: Option<Bounded<Pair, PAIRS_MAX>>,
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
struct Pair {
    name: Text,
    value: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostData {
    text: Option<Text>,
    /// Ours: HAR has base64 for answers only.
    #[serde(rename = "_encoding")]
    encoding: Option<String>,
    params: Option<Bounded<Pair, PAIRS_MAX>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Content {
    text: Option<Text>,
    encoding: Option<String>,
    /// Read for one thing only: whether there was a body where the file has none.
    size: Option<f64>,
}

impl Entry {
    /// Header fields and parts of a form.
    pub(super) fn pairs(&self) -> usize {
        let form = self.request.post_data.as_ref().and_then(|data| data.params.as_ref());
        [self.request.headers.as_ref(), self.response.headers.as_ref(), form]
            .into_iter()
            .flatten()
            .map(|pairs| pairs.0.len())
            .sum()
    }
}

fn wrong<T>(what: impl std::fmt::Display) -> Result<T, CassetteError> {
    Err(CassetteError(format!("{what}; record it again with --record, or save it as HAR 1.2")))
}

/// Reads a file.
pub(super) fn read(bytes: &[u8]) -> Result<Cassette, CassetteError> {
    // Some browsers begin their files with a mark of the byte order.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return wrong("it is no HAR: it is UTF-16, and a HAR is UTF-8");
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            return wrong(format!("it is no HAR: byte {} of it is not UTF-8", error.valid_up_to() + 1));
        }
    };
    let file: File = match serde_json::from_str(text) {
        Ok(file) => file,
        Err(error) => return wrong(format!("it is no HAR: {}", short(&error.to_string()))),
    };
    // What we have written is what the guest saw, as it is.
    let ours = file.log.agent.is_some();
    let mut exchanges = Vec::with_capacity(file.log.entries.0.len());
    for (index, entry) in file.log.entries.0.into_iter().enumerate() {
        exchanges.push(exchange(entry, ours).or_else(|why| wrong(format!("log.entries[{index}]: {why}")))?);
    }
    if !ours {
        // Pages of a browser's lie one behind the other; of answers to the same request the earlier one goes first.
        exchanges.sort_by_key(|exchange| exchange.started);
    }
    let Some(agent) = file.log.agent else {
        return Ok(Cassette { exchanges, world: None, origin: None, answers_are_live: false });
    };
    if agent.form != FORM {
        return Err(CassetteError(format!(
            "its `_agent` has the form {}, and this agent knows form {FORM}; use the agent that recorded it",
            agent.form
        )));
    }
    let Some(seed) = unhex(&agent.seed) else { return wrong("log._agent.seed is not 64 hexadecimal digits") };
    // A clock of this kind never goes back; who waits on one that does would wait for years.
    if let Some(at) = agent.monotonic.0.iter().position(|step| *step < 0) {
        return wrong(format!("log._agent.monotonic[{at}] is {}: that clock only goes on", agent.monotonic.0[at]));
    }
    let world = World {
        seed,
        wall: summed(&agent.wall.0, u64::wrapping_add),
        monotonic: summed(&agent.monotonic.0, u64::saturating_add),
        notes: agent.answers.0,
        left_out: agent.left_out,
    };
    let origin = agent.origin.map(|written| origin(written.get())).transpose()?.unwrap_or_default();
    Ok(Cassette { exchanges, world: Some(world), origin: Some(origin), answers_are_live: false })
}

/// What was run.
fn origin(written: &str) -> Result<Origin, CassetteError> {
    #[derive(Deserialize)]
    struct Sized<'o> {
        #[serde(borrow)]
        config: Option<&'o RawValue>,
    }
    if written.len() > ORIGIN_BYTES_MAX {
        return wrong(format!("log._agent.origin has more than {ORIGIN_BYTES_MAX} bytes"));
    }
    let faulty = |error: serde_json::Error| {
        let told = short(&error.to_string());
        CassetteError(format!("log._agent.origin: {told}; record it again with --record"))
    };
    let sized: Sized<'_> = serde_json::from_str(written).map_err(faulty)?;
    if sized.config.is_some_and(|config| config.get().len() > CONFIG_BYTES_MAX) {
        return wrong(format!("log._agent.origin.config has more than {CONFIG_BYTES_MAX} bytes"));
    }
    serde_json::from_str(written).map_err(faulty)
}

fn exchange(entry: Entry, ours: bool) -> Result<Exchange, String> {
    let Entry { started_date_time, time, request, response, agent } = entry;
    let body = match request.post_data {
        None => None,
        Some(PostData { text: Some(text), encoding, .. }) => Some(bytes_of(text, encoding.as_deref(), "postData")?),
        // A form that was taken apart, as some browsers give it.
        Some(PostData { params: Some(params), .. }) if !params.0.is_empty() => {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            for Pair { name, value } in params.0 {
                form.append_pair(&name.into_string(), &value.map(Text::into_string).unwrap_or_default());
            }
            Some(form.finish().into_bytes())
        }
        Some(_) => None,
    };
    let url = request.url.into_string();
    let came = if let Some((kind, text)) = agent.fault {
        Came::Fault { kind, text }
    } else if agent.given_up {
        Came::Nothing
    } else {
        answered(&request.method, response, agent.url.unwrap_or_else(|| url.clone()), ours)?
    };
    let asked = Asked {
        method: request.method,
        url,
        headers: fields(request.headers, ours),
        body: body.map(Bytes::from),
        credential: agent.credential,
    };
    let started = OffsetDateTime::parse(&started_date_time.unwrap_or_default(), &Rfc3339);
    let started = started.map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
    let took = Duration::try_from_secs_f64(time.unwrap_or_default() / 1e3).unwrap_or_default();
    Ok(Exchange { asked, came, started, took })
}

fn answered(method: &str, response: Response, url: String, ours: bool) -> Result<Came, String> {
    let fault = |kind: &str, text: String| Ok(Came::Fault { kind: kind.to_owned(), text });
    // Some write it as 200.0, and 0, -1 or nothing where there was no answer.
    let status = match response.status {
        Some(status) if STATUSES.contains(&status) && status.fract() == 0.0 => status,
        Some(status) if status > 0.0 => {
            return Err(format!("response.status is {status}; it is from 100 to 999, or 0 where there was no answer"));
        }
        _ => return fault("connection", "there was no answer when it was recorded".to_owned()),
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 100 to 999, and whole")]
    let status = status as u16;
    let Content { text, encoding, size } = response.content.unwrap_or_default();
    let body = match text {
        // Browsers keep what fits into their memory, and save files without contents too.
        None if !ours && method != "HEAD" && size.is_some_and(|size| size > 0.0) => {
            return fault(
                "other",
                "the cassette has this answer without its body; save the HAR with contents, or record it with --record"
                    .to_owned(),
            );
        }
        text => bytes_of(text.unwrap_or_default(), encoding.as_deref(), "content")?,
    };
    let headers = fields(response.headers, ours);
    headers.iter().try_for_each(|(name, value)| possible(name, value))?;
    Ok(Came::Answer { status, url, headers, body })
}

/// Fields as a guest sees them: of a file that is not ours without what HTTP/2 writes among them, without what says how the
/// message was packed, and with each value by itself where a browser has put those of one name into lines.
fn fields(pairs: Option<Bounded<Pair, PAIRS_MAX>>, ours: bool) -> Vec<(String, String)> {
    let pairs = pairs.map(|pairs| pairs.0).unwrap_or_default();
    let pairs = pairs.into_iter().map(|Pair { name, value }| {
        (name.into_string().to_ascii_lowercase(), value.map(Text::into_string).unwrap_or_default())
    });
    if ours {
        return pairs.collect();
    }
    pairs
        .filter(|(name, _)| !(name.starts_with(':') || FRAMING.contains(&name.as_str())))
        .flat_map(|(name, value)| match value.contains('\n') {
            false => vec![(name, value)],
            true => value.split('\n').map(|line| (name.clone(), line.trim().to_owned())).collect(),
        })
        .collect()
}

/// Whether a server can have sent a field.
fn possible(name: &str, value: &str) -> Result<(), String> {
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(format!("response.headers has {:?}, which is not the name of a header field", short(name)));
    }
    if value.chars().any(|letter| letter.is_ascii_control() && letter != '\t') {
        // The value is not shown: it may be a secret.
        return Err(format!("response.headers: the value of `{name}` has a control character"));
    }
    Ok(())
}

fn bytes_of(text: Text, encoding: Option<&str>, what: &str) -> Result<Vec<u8>, String> {
    match encoding {
        None | Some("") => Ok(text.into_bytes()),
        Some("base64") => unbase64(&text.into_bytes()).ok_or_else(|| format!("{what}.text is not base64")),
        Some(other) => Err(format!("{what}.encoding is {:?}; it may be base64", short(other))),
    }
}

/// The file of a cassette; `mask` looks over all of it once more.
pub(super) fn write(cassette: &Cassette, mask: &Mask) -> String {
    let entries: Vec<Value> = cassette.exchanges.iter().map(entry).collect();
    let world = cassette.world.clone().unwrap_or_default();
    // Plain data: it can be written.
    let origin = serde_json::value::to_raw_value(&cassette.origin.clone().unwrap_or_default()).ok();
    let agent = Agent {
        form: FORM,
        origin,
        seed: world.seed.iter().map(|byte| format!("{byte:02x}")).collect(),
        wall: Bounded(steps(&world.wall)),
        monotonic: Bounded(steps(&world.monotonic)),
        answers: Answers(world.notes),
        left_out: world.left_out,
    };
    let mut file = json!({"log": {
        "version": "1.2",
        "creator": {"name": "agent", "version": env!("CARGO_PKG_VERSION")},
        "pages": [],
        "entries": entries,
        "_agent": agent,
    }});
    mask.document(&mut file);
    format!("{file:#}\n")
}

fn entry(exchange: &Exchange) -> Value {
    let Exchange { asked, came, started, took } = exchange;
    let started = OffsetDateTime::from(*started).format(&Rfc3339).unwrap_or_default();
    let ms = took.as_secs_f64() * 1e3;
    let mut agent = EntryAgent { credential: asked.credential.clone(), ..EntryAgent::default() };
    let empty = (0, &[][..], &[][..]);
    let (status, headers, body) = match came {
        Came::Answer { status, url, headers, body } => {
            agent.url = Some(url.clone()).filter(|url| *url != asked.url);
            (*status, &headers[..], &body[..])
        }
        Came::Fault { kind, text } => {
            agent.fault = Some((kind.clone(), text.clone()));
            empty
        }
        Came::Nothing => {
            agent.given_up = true;
            empty
        }
    };
    let field = |name: &str| {
        let found = headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let mut content = json!({"size": body.len(), "mimeType": field("content-type")});
    put_text(&mut content, body, "encoding");
    json!({
        "startedDateTime": started,
        "time": ms,
        "request": request(asked),
        "response": {
            "status": status,
            "statusText": "",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": pairs(headers),
            "content": content,
            "redirectURL": field("location"),
            "headersSize": -1,
            "bodySize": body.len(),
        },
        "cache": {},
        // What is known is the whole.
        "timings": {"send": 0, "wait": ms, "receive": 0},
        "_agent": agent,
    })
}

fn request(asked: &Asked) -> Value {
    let query: Vec<Value> = Url::parse(&asked.url)
        .map(|url| url.query_pairs().map(|(name, value)| json!({"name": name, "value": value})).collect())
        .unwrap_or_default();
    let mut request = json!({
        "method": asked.method,
        "url": asked.url,
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": pairs(&asked.headers),
        "queryString": query,
        "headersSize": -1,
        "bodySize": asked.body.as_ref().map_or(0, Bytes::len),
    });
    if let Some(body) = &asked.body {
        let kind = asked.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let mut data = json!({"mimeType": kind.map(|(_, value)| value.as_str()).unwrap_or_default()});
        put_text(&mut data, body, "_encoding");
        request["postData"] = data;
    }
    request
}

fn pairs(fields: &[(String, String)]) -> Vec<Value> {
    fields.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

/// A body as text where it is text.
fn put_text(place: &mut Value, body: &[u8], encoding: &str) {
    match std::str::from_utf8(body) {
        Ok(text) => place["text"] = text.into(),
        Err(_) => {
            place["text"] = BASE64_STANDARD.encode(body).into();
            place[encoding] = "base64".into();
        }
    }
}

/// Readings as steps: they are small, and the clock of the day may step back.
fn steps(readings: &[u64]) -> Vec<i64> {
    let mut before = 0_u64;
    readings
        .iter()
        .map(|reading| {
            let step = reading.wrapping_sub(before).cast_signed();
            before = *reading;
            step
        })
        .collect()
}

fn summed(steps: &[i64], add: fn(u64, u64) -> u64) -> Vec<u64> {
    let mut now = 0_u64;
    steps
        .iter()
        .map(|step| {
            now = add(now, step.cast_unsigned());
            now
        })
        .collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut seed = [0; 32];
    if text.len() != 2 * seed.len() || !text.is_ascii() {
        return None;
    }
    for (index, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(seed)
}

/// The bytes of a base64 text, with or without padding and line ends, in either alphabet: browsers differ.
fn unbase64(text: &[u8]) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let one_alphabet = |byte: u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => byte,
    };
    let bytes: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).map(one_alphabet).collect();
    LENIENT.decode(bytes).ok()
}

//! Pages by standard `wasi:http`, as a program that knows nothing of the agent fetches them. What a page is, is `lib.rs`'s.

use agent_sdk::Result;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, Method, OutgoingBody, OutgoingRequest, RequestOptions,
    Scheme,
};
use wasip2::io::poll::poll;
use wasip2::io::streams::{OutputStream, StreamError};

use crate::{Came, Config};

/// Bytes that one read asks for.
const PIECE_BYTES: u64 = 64 << 10;
/// Bytes that one blocking write of the standard may have.
const WRITE_BYTES: usize = 4096;

type Outcome<T> = std::result::Result<T, String>;

fn told(error: ErrorCode) -> String {
    format!("{error:?}")
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "TRACE" => Method::Trace,
        other => Method::Other(other.to_owned()),
    }
}

/// Starts a request, and writes its body.
fn start(config: &Config, page: u32) -> Outcome<FutureIncomingResponse> {
    let url = config.url_of(page);
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let options = config.options.iter().map(|(name, value)| (format!("agent-{name}"), value.clone()));
    let request = OutgoingRequest::new(fields(config.headers.iter().cloned().chain(options))?);
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    request.set_method(&method(&config.method)).map_err(|()| "the method is refused")?;
    request.set_scheme(Some(&scheme)).map_err(|()| "the scheme is refused")?;
    request.set_authority(Some(authority)).map_err(|()| "the authority is refused")?;
    request.set_path_with_query(Some(path)).map_err(|()| "the path is refused")?;
    let body = request.body().map_err(|()| "there is no body")?;
    let timeouts = RequestOptions::new();
    let answer = handle(request, Some(timeouts)).map_err(told)?;
    write(&body, config.body)?;
    let trailers = match &config.trailers[..] {
        [] => None,
        trailers => Some(fields(trailers.iter().cloned())?),
    };
    OutgoingBody::finish(body, trailers).map_err(told)?;
    Ok(answer)
}

fn fields(pairs: impl Iterator<Item = (String, String)>) -> Outcome<Fields> {
    let fields = Fields::new();
    for (name, value) in pairs {
        fields.append(&name, value.as_bytes()).map_err(|error| format!("{error:?}"))?;
    }
    Ok(fields)
}

fn write(body: &OutgoingBody, bytes: usize) -> Outcome<()> {
    let stream: OutputStream = body.write().map_err(|()| "the body cannot be written")?;
    let piece = vec![b'x'; WRITE_BYTES];
    let mut left = bytes;
    while left > 0 {
        let size = left.min(WRITE_BYTES);
        // The host does not take more than it may: then the answer says why.
        if stream.blocking_write_and_flush(&piece[..size]).is_err() {
            return Ok(());
        }
        left -= size;
    }
    Ok(())
}

/// Takes an answer that is there.
fn came(answer: &FutureIncomingResponse) -> Outcome<Came> {
    let answer = match answer.get() {
        Some(Ok(answer)) => answer.map_err(told)?,
        Some(Err(())) => return Err("it is taken already".to_owned()),
        None => return Err("it is not there".to_owned()),
    };
    let status = answer.status();
    let headers = answer.headers().entries();
    let headers =
        headers.into_iter().map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned())).collect();
    let body = answer.consume().map_err(|()| "its body is taken already")?;
    Ok(Came { status, headers, body: read(&body)? })
}

fn read(body: &IncomingBody) -> Outcome<Vec<u8>> {
    let stream = body.stream().map_err(|()| "its body is read already")?;
    let mut whole = Vec::new();
    loop {
        match stream.blocking_read(PIECE_BYTES) {
            Ok(piece) => whole.extend_from_slice(&piece),
            Err(StreamError::Closed) => return Ok(whole),
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
}

pub fn fetch(config: &Config, keep: &mut impl FnMut(u32, Outcome<Came>) -> Result<()>) -> Result<()> {
    let mut next = 0;
    let mut under_way: Vec<(u32, FutureIncomingResponse)> = Vec::new();
    loop {
        while next < config.pages && under_way.len() < config.at_once as usize {
            match start(config, next) {
                Ok(answer) => under_way.push((next, answer)),
                Err(error) => keep(next, Err(error))?,
            }
            next += 1;
        }
        if under_way.is_empty() {
            return Ok(());
        }
        let mut ready = {
            let pollables: Vec<_> = under_way.iter().map(|(_, answer)| answer.subscribe()).collect();
            poll(&pollables.iter().collect::<Vec<_>>())
        };
        // From the last, so that those before it keep their places; the standard gives them in any order.
        ready.sort_unstable();
        for index in ready.into_iter().rev() {
            let (page, answer) = under_way.swap_remove(index as usize);
            keep(page, came(&answer))?;
        }
    }
}

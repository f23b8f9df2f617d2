//! Host calls and the tape: what a call answers is noted, or played in place of what it would answer. The tape itself is
//! `cassette`'s; here what a guest is told becomes plain data and back.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Guest;
use super::http::Answer;
use crate::bindings::agent::integration::types;
use crate::cassette::{Asked, Came, Tape};
use crate::egress::{EgressError, Request, Response};

/// An error of the contract, on a tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Refusal {
    Denied(String),
    Invalid(String),
    Limit(String),
    Conflict(String),
    Unavailable(String),
    Other(String),
}

impl From<types::Error> for Refusal {
    fn from(error: types::Error) -> Refusal {
        match error {
            types::Error::Denied(why) => Refusal::Denied(why),
            types::Error::Invalid(why) => Refusal::Invalid(why),
            types::Error::Limit(why) => Refusal::Limit(why),
            types::Error::Conflict(why) => Refusal::Conflict(why),
            types::Error::Unavailable(why) => Refusal::Unavailable(why),
            types::Error::Other(why) => Refusal::Other(why),
        }
    }
}

impl From<Refusal> for types::Error {
    fn from(refusal: Refusal) -> types::Error {
        match refusal {
            Refusal::Denied(why) => types::Error::Denied(why),
            Refusal::Invalid(why) => types::Error::Invalid(why),
            Refusal::Limit(why) => types::Error::Limit(why),
            Refusal::Conflict(why) => types::Error::Conflict(why),
            Refusal::Unavailable(why) => types::Error::Unavailable(why),
            Refusal::Other(why) => types::Error::Other(why),
        }
    }
}

impl Guest {
    /// What a call answers that only looks: what is on the tape, or what `live` gives.
    pub(super) fn observe<T: Serialize + DeserializeOwned>(&self, call: &str, live: impl FnOnce() -> T) -> T {
        match &self.door.tape {
            Some(tape) => tape.observe(call, live),
            None => live(),
        }
    }
}

/// What a call answers that does something. A refusal on the tape is given without doing it; else it is done, and the guest
/// is told what it was told then, unless it cannot be done now.
pub(super) async fn acted<T: Serialize + DeserializeOwned>(
    tape: Option<Tape>,
    call: &str,
    work: impl Future<Output = wasmtime::Result<Result<T, types::Error>>>,
) -> wasmtime::Result<Result<T, types::Error>> {
    let Some(tape) = tape else { return work.await };
    let played = tape.played::<Result<T, Refusal>>(call);
    if let Some(Err(refusal)) = played {
        return Ok(Err(refusal.into()));
    }
    let answer = work.await?;
    match (played, answer) {
        (Some(Ok(told)), Ok(_)) => Ok(Ok(told)),
        (_, answer) => {
            let told = answer.map_err(Refusal::from);
            tape.note(call, &told);
            Ok(told.map_err(types::Error::from))
        }
    }
}

/// A request for the tape.
pub(super) fn asked(request: &Request) -> Asked {
    Asked {
        method: request.method.clone(),
        url: request.url.to_string(),
        headers: request.headers.clone(),
        body: request.body.clone(),
        credential: request.credential.clone(),
    }
}

/// What came of a request, for the tape.
pub(super) fn came(answer: &Answer) -> Came {
    let (kind, text) = match answer {
        Ok(Response { status, url, headers, body }) => {
            let (status, url, headers, body) = (*status, url.clone(), headers.clone(), body.to_vec());
            return Came::Answer { status, url, headers, body };
        }
        Err(EgressError::Denied(why)) => ("denied", why.clone()),
        Err(EgressError::Invalid(why)) => ("invalid", why.clone()),
        Err(EgressError::Timeout(time)) => ("timeout", time.as_secs_f64().to_string()),
        Err(EgressError::RateLimited(until)) => ("rate-limited", until.clone()),
        Err(EgressError::TooLarge(bytes)) => ("too-large", bytes.to_string()),
        Err(EgressError::Grows(times)) => ("grows", times.to_string()),
        Err(EgressError::NoRoom(bytes)) => ("no-room", bytes.to_string()),
        Err(EgressError::Tls(why)) => ("tls", why.clone()),
        Err(EgressError::Dns(why)) => ("dns", why.clone()),
        Err(EgressError::Connection(why)) => ("connection", why.clone()),
        Err(EgressError::Other(why)) => ("other", why.clone()),
    };
    Came::Fault { kind: kind.to_owned(), text }
}

/// What is on the tape for a request, or why nothing is.
pub(super) fn answer(played: Result<Came, String>) -> Answer {
    let (kind, text) = match played.map(Came::or_given_up) {
        Ok(Came::Answer { status, url, headers, body }) => {
            return Ok(Response { status, url, headers, body: body.into() });
        }
        Ok(Came::Fault { kind, text }) => (kind, text),
        Ok(Came::Nothing) => ("other".to_owned(), String::new()),
        Err(why) => ("other".to_owned(), why),
    };
    Err(match kind.as_str() {
        "denied" => EgressError::Denied(text),
        "invalid" => EgressError::Invalid(text),
        "timeout" => {
            let time = text.parse().ok().and_then(|secs| Duration::try_from_secs_f64(secs).ok());
            EgressError::Timeout(time.unwrap_or_default())
        }
        "rate-limited" => EgressError::RateLimited(text),
        "too-large" => EgressError::TooLarge(text.parse().unwrap_or_default()),
        "grows" => EgressError::Grows(text.parse().unwrap_or_default()),
        "no-room" => EgressError::NoRoom(text.parse().unwrap_or_default()),
        "tls" => EgressError::Tls(text),
        "dns" => EgressError::Dns(text),
        "connection" => EgressError::Connection(text),
        _ => EgressError::Other(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_off_the_tape_as_they_went_on() {
        let text = || "why".to_owned();
        for fault in [
            EgressError::Denied(text()),
            EgressError::Invalid(text()),
            EgressError::Timeout(Duration::from_millis(1_500)),
            EgressError::RateLimited("2026-11-21T09:30:00Z".to_owned()),
            EgressError::TooLarge(5),
            EgressError::Grows(6),
            EgressError::NoRoom(7),
            EgressError::Tls(text()),
            EgressError::Dns(text()),
            EgressError::Connection(text()),
            EgressError::Other(text()),
        ] {
            assert_eq!(answer(Ok(came(&Err(fault.clone())))), Err(fault));
        }
        for error in [
            types::Error::Denied(text()),
            types::Error::Invalid(text()),
            types::Error::Limit(text()),
            types::Error::Conflict(text()),
            types::Error::Unavailable(text()),
            types::Error::Other(text()),
        ] {
            let written = serde_json::to_string(&Refusal::from(error.clone())).unwrap();
            assert_eq!(types::Error::from(serde_json::from_str::<Refusal>(&written).unwrap()), error);
        }
    }
}

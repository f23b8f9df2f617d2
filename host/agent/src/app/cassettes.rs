//! Joins a run of one component to a cassette: what is played before it, what is written after it, what is struck out of it,
//! and what is said about it. The tape is `cassette`'s, the run is `run_wasm`'s.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::run_wasm::AuthorCall;
use super::{AppError, NewFile};
use crate::cassette::{Cassette, Faults, Mask, Matching, Origin, Tape, Use};
use crate::command::runner::Prepared;
use crate::cut;
use crate::files;
use crate::sandbox;
use crate::secrets::strike;

/// Bytes of a cassette that is read: all of it is held.
const CASSETTE_BYTES_MAX: u64 = 512 << 20;

/// Bytes of a call on a cassette that are told where it is none.
const CALL_BYTES_MAX: usize = 200;

/// What of the world is written down, played or put in.
#[derive(Debug, Clone, Default)]
pub struct Taping {
    pub record: Option<PathBuf>,
    pub replay: Option<PathBuf>,
    /// What must match in a replay. Strict, what does not fails the run.
    pub matching: Matching,
    /// As they are typed.
    pub faults: Vec<String>,
    /// Where the faults' chance comes from.
    pub seed: u64,
}

/// What became of a cassette.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CassetteReport {
    #[serde(serialize_with = "super::shown")]
    pub file: PathBuf,
    /// `recorded` or `replayed`.
    pub mode: &'static str,
    pub strict: bool,
    /// Requests that were recorded, or made.
    pub requests: u64,
    /// Requests that were answered by an entry of another body, or one that had been played.
    pub loose: u64,
    /// Requests and calls for which the cassette had nothing: the first of them.
    pub unmatched: Vec<String>,
    pub unmatched_count: u64,
    /// Entries that nobody asked for: the first of them.
    pub unused: Vec<String>,
    pub unused_count: u64,
    /// What did not fit when it was recorded.
    pub left_out: u64,
}

/// How often a fault was put in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultReport {
    pub fault: String,
    pub times: u64,
}

impl CassetteReport {
    /// Why a strict replay is none, if it is none.
    #[must_use]
    pub fn broken(&self) -> Option<String> {
        if !self.strict || (self.unmatched_count == 0 && self.unused_count == 0) {
            return None;
        }
        let list = |names: &[String]| names.iter().map(|name| format!("\n    {name}")).collect::<String>();
        let mut why =
            "the run is not the one on the cassette (record it again with --record, or see what changed):".to_owned();
        if self.unmatched_count > 0 {
            why.push_str(&format!("\n  {} without a match:{}", self.unmatched_count, list(&self.unmatched)));
        }
        if self.unused_count > 0 {
            why.push_str(&format!("\n  {} that nobody asked for:{}", self.unused_count, list(&self.unused)));
        }
        Some(why)
    }
}

/// A run's cassettes and faults, made ready before it.
pub(super) struct Taped {
    taping: Taping,
    cassette: Option<Cassette>,
    new_file: Option<NewFile>,
    pub(super) faults: Option<Arc<Faults>>,
    tape: Option<Tape>,
    origin: Origin,
}

impl Taped {
    /// Reads what is to be played, and begins the file that is to be written, so that both are known to work.
    pub(super) fn begin(taping: Taping) -> Result<Taped, AppError> {
        let cassette = taping.replay.as_deref().map(read).transpose()?;
        let faults = match taping.faults.is_empty() {
            true => None,
            false => {
                let faults = Faults::parse(&taping.faults, taping.seed);
                Some(Arc::new(faults.map_err(|error| AppError::Usage(error.to_string()))?))
            }
        };
        let failed =
            |path: &Path, error| AppError::Failed(format!("--record {}: {error}; choose another", path.display()));
        let new_file = match &taping.record {
            Some(path) => Some(NewFile::begin(path).map_err(|error| failed(path, error))?),
            None => None,
        };
        Ok(Taped { taping, cassette, new_file, faults, tape: None, origin: Origin::default() })
    }

    /// Whether anything is to be recorded or played.
    pub(super) fn is_asked(&self) -> bool {
        self.cassette.is_some() || self.new_file.is_some()
    }

    /// The call that was recorded, and its configuration.
    pub(super) fn recorded(&self) -> Option<(Result<AuthorCall, AppError>, Value)> {
        let origin = self.cassette.as_ref()?.origin()?;
        Some((call_of(origin), origin.config.clone()))
    }

    /// Joins a tape to what is about to run. A kept root says itself what cursors and state are, and not the cassette.
    pub(super) fn join(&mut self, prepared: &mut Prepared, call: &AuthorCall, kept_root: Option<&Path>) {
        if let Some(mut cassette) = self.cassette.take() {
            if kept_root.is_some() {
                cassette.forget_answers();
            }
            prepared.grant_to_replay();
            prepared.integration.skip_git = true;
            self.tape = Some(Tape::replay(cassette, Mask::default(), self.taping.matching));
        } else if self.new_file.is_some() {
            self.origin = origin(prepared, call);
            self.origin.goes_on = kept_root.is_some_and(|root| root.join("store").exists());
            self.tape = Some(Tape::record(Mask::default(), sandbox::seed()));
        }
        prepared.tape = self.tape.clone();
    }

    /// Writes what was recorded. Blocking.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn end(self) -> Result<(), AppError> {
        let (Some(tape), Some(mut file), Some(path)) = (self.tape, self.new_file, self.taping.record) else {
            return Ok(());
        };
        let Some(mut text) = tape.write(self.origin) else { return Ok(()) };
        // Once more over the whole: whatever a guest has tried, no secret of this process stands in it.
        strike(&mut text);
        if text.len() as u64 > CASSETTE_BYTES_MAX {
            return Err(AppError::Failed(format!(
                "--record {}: the cassette would have more than {CASSETTE_BYTES_MAX} bytes, and could not be played; record less",
                path.display()
            )));
        }
        file.write_all(text.as_bytes())
            .and_then(|()| file.end())
            .map_err(|error| AppError::Failed(format!("--record {}: {error}; choose another", path.display())))
    }

    /// What became of it.
    pub(super) fn report(&self) -> Option<CassetteReport> {
        let (tape, path) = (self.tape.as_ref()?, self.taping.replay.as_ref().or(self.taping.record.as_ref())?);
        let Use { requests, loose, unmatched, unmatched_count, unused, unused_count, left_out } = tape.used();
        Some(CassetteReport {
            file: path.clone(),
            mode: if tape.replays() { "replayed" } else { "recorded" },
            strict: tape.replays() && self.taping.matching == Matching::Strict,
            requests,
            loose,
            unmatched,
            unmatched_count,
            unused,
            unused_count,
            left_out,
        })
    }

    pub(super) fn faults_report(&self) -> Vec<FaultReport> {
        let injected = self.faults.as_ref().map(|faults| faults.injected()).unwrap_or_default();
        injected.into_iter().map(|injected| FaultReport { fault: injected.fault, times: injected.times }).collect()
    }
}

/// Reads a cassette.
///
/// # Errors
/// It cannot be read, or is none.
pub(super) fn read(path: &Path) -> Result<Cassette, AppError> {
    let bytes = files::read(path, CASSETTE_BYTES_MAX).map_err(|error| {
        let mend = match error.kind() {
            std::io::ErrorKind::FileTooLarge => "record fewer requests",
            _ => "name a HAR file",
        };
        AppError::Usage(format!("{}: {error}; {mend}", path.display()))
    })?;
    Cassette::read(&bytes).map_err(|error| AppError::Usage(format!("{}: {error}", path.display())))
}

fn origin(prepared: &Prepared, call: &AuthorCall) -> Origin {
    let mut origin = Origin {
        name: prepared.manifest.name.clone(),
        version: prepared.manifest.version.clone(),
        digest: prepared.loaded.digest().to_owned(),
        call: vec![call.word().to_owned()],
        // Marked secrets have been taken out of it; placeholders stand there.
        config: prepared.integration.config.clone(),
        ..Origin::default()
    };
    match call {
        AuthorCall::Onboard { kind } => origin.call.push(kind.clone()),
        AuthorCall::Mutate { name, data } => origin.call.extend([name.clone(), data.clone()]),
        AuthorCall::Webhook { headers, body } => {
            origin.headers.clone_from(headers);
            // Who sent it may have proved itself with them.
            Mask::default().fields(&mut origin.headers);
            origin.body = String::from_utf8_lossy(body).into_owned();
        }
        AuthorCall::Describe | AuthorCall::ValidateConfig | AuthorCall::Export => {}
    }
    origin
}

/// The call that was recorded.
///
/// # Errors
/// It is none that there is.
pub(super) fn call_of(origin: &Origin) -> Result<AuthorCall, AppError> {
    let words: Vec<&str> = origin.call.iter().map(String::as_str).collect();
    Ok(match &words[..] {
        ["validate-config"] => AuthorCall::ValidateConfig,
        ["onboard", kind] => AuthorCall::Onboard { kind: (*kind).to_owned() },
        ["export"] => AuthorCall::Export,
        ["mutate", name, data] => AuthorCall::Mutate { name: (*name).to_owned(), data: (*data).to_owned() },
        ["webhook"] => AuthorCall::Webhook { headers: origin.headers.clone(), body: origin.body.clone().into_bytes() },
        _ => {
            let words = words.join(" ");
            let told = format!(
                "the cassette was recorded of the call `{}`, which is none; name the call",
                cut(&words, CALL_BYTES_MAX)
            );
            return Err(AppError::Usage(told));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strict_replay_says_all_that_differs() {
        let report = CassetteReport {
            file: PathBuf::from("a.har"),
            mode: "replayed",
            strict: true,
            requests: 3,
            loose: 0,
            unmatched: vec!["GET https://a.example/".to_owned()],
            unmatched_count: 1,
            unused: vec!["GET https://b.example/".to_owned()],
            unused_count: 30,
            left_out: 0,
        };
        let why = report.broken().unwrap();
        for said in ["1 without a match:\n    GET https://a.example/", "30 that nobody asked for:\n    GET https://b"] {
            assert!(why.contains(said), "{why}");
        }
        assert_eq!(CassetteReport { strict: false, ..report.clone() }.broken(), None);
        assert_eq!(CassetteReport { unmatched_count: 0, unused_count: 0, ..report }.broken(), None);
    }
}

//! `agent:integration/git`: queues repositories for the native core. The document is judged here, so that a fault is
//! told to the guest that made it and not to a job hours later; the queue is `export`'s, the work is `git`'s.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::session::Handle;
use super::taped::Refusal;
use super::{GitGrant, Guest, length};
use crate::bindings::agent::integration::{git, types};

/// Bytes of a repository's document.
const REPO_BYTES_MAX: usize = 1 << 20;
/// Fields that a document must have, strings that are not empty.
const REQUIRED: [&str; 3] = ["ref_id", "name", "url"];
/// Fields that are true or false where they are there.
const SWITCHES: [&str; 2] = ["blame", "count"];

impl git::Host for Guest {
    async fn export_repo(&mut self, session: Handle, repo: String) -> wasmtime::Result<Result<(), types::Error>> {
        self.enters("git.export-repo");
        let (run, id) = self.session(&session)?;
        if let Some(witness) = &self.door.witness {
            let mut seen = witness.lock();
            seen.git_used = true;
            seen.git_refused += u64::from(self.door.git == GitGrant::NotAsked);
        }
        if self.door.git == GitGrant::NotAsked {
            let why = "the manifest does not ask for git: set `asks.git` to true".to_owned();
            return Ok(Err(types::Error::Denied(why)));
        }
        let repo = match parse(&repo) {
            Ok(repo) => repo,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(witness) = &self.door.witness {
            witness.queued(&repo);
        }
        let queue = |repo: Value| {
            if self.door.git == GitGrant::Skipped {
                run.repository_skipped();
                return Ok(());
            }
            run.queue_repo(id, repo).map_err(Into::into)
        };
        let Some(tape) = &self.door.tape else { return Ok(queue(repo)) };
        // The repository itself is no part of what a guest sees: it gets an answer, and what it asked for is held against that.
        let call = format!("git.export-repo {}", repo["ref_id"].as_str().unwrap_or_default());
        match tape.played::<Queued>(&call) {
            Some(Queued { repo: recorded, refused }) => {
                if recorded != repo {
                    tape.differs(format!("{call}, with another document"));
                }
                Ok(refused.map_or_else(|| queue(repo), |refusal| Err(refusal.into())))
            }
            None => {
                let answer = queue(repo.clone()).map_err(Refusal::from);
                tape.note(&call, &Queued { repo, refused: answer.clone().err() });
                Ok(answer.map_err(Into::into))
            }
        }
    }
}

/// A repository that was queued, and what the guest was told, on a tape.
#[derive(Serialize, Deserialize)]
struct Queued {
    repo: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<Refusal>,
}

/// Reads and judges a repository's document.
fn parse(text: &str) -> Result<Value, types::Error> {
    length("the repository's document", text, 1..=REPO_BYTES_MAX)?;
    let invalid =
        |why: String| types::Error::Invalid(format!("the repository's document {why} (schemas/git-repo.json)"));
    let repo: Value = serde_json::from_str(text).map_err(|error| invalid(format!("is not JSON: {error}")))?;
    if !repo.is_object() {
        return Err(invalid("is not an object".to_owned()));
    }
    let missing: Vec<&str> =
        REQUIRED.into_iter().filter(|name| repo.get(name).and_then(Value::as_str).is_none_or(str::is_empty)).collect();
    if !missing.is_empty() {
        return Err(invalid(format!("needs a text for {}", missing.join(", "))));
    }
    if let Some(name) = SWITCHES.into_iter().find(|name| repo.get(name).is_some_and(|value| !value.is_boolean())) {
        return Err(invalid(format!("has something else than true or false for {name}")));
    }
    match repo.get("ids").map(Value::as_str) {
        None | Some(Some("hashed" | "legacy")) => Ok(repo),
        Some(_) => Err(invalid("has something else than `hashed` or `legacy` for ids".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_names_its_repository() {
        assert!(parse(r#"{"ref_id":"1","name":"a","url":"https://example.com/a"}"#).is_ok());
        assert!(parse(r#"{"ref_id":"1","name":"a","url":"u","blame":false,"count":true,"ids":"legacy"}"#).is_ok());
        for (text, why) in [
            (r#"{"ref_id":"1","name":"a","url":"u","count":"no"}"#, "true or false for count"),
            (r#"{"ref_id":"1","name":"a","url":"u","ids":"old"}"#, "`hashed` or `legacy` for ids"),
            ("", "is empty"),
            ("{", "is not JSON"),
            ("[]", "is not an object"),
            (r#"{"ref_id":1,"name":""}"#, "needs a text for ref_id, name, url"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}

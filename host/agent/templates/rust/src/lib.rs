//! {{name}}: exports the issues of a GitHub repository. What a record is stands in `issue`.

mod issue;
#[cfg(test)]
mod tests;

use agent_sdk::http::{self, Request};
use agent_sdk::updated::Since;
use agent_sdk::{ExportResult, Integration, Manifest, Model, NetworkRule, Result, ValidateResult};
use agent_sdk::{paging, session};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use issue::Issue;

const API: &str = "https://api.github.com";

/// What an operator configures.
#[derive(Deserialize)]
struct Config {
    /// Another server than github.com.
    url: Option<String>,
    /// `owner/name`.
    repo: String,
    /// The name of a credential that the operator grants; none for what everybody may read.
    credential: Option<String>,
}

impl Config {
    /// A request for something of the repository.
    fn request(&self, path: &[&str]) -> Request {
        let base = self.url.as_deref().unwrap_or(API);
        let (owner, name) = self.repo.split_once('/').unwrap_or((&self.repo, ""));
        let url = http::url(&http::url(base, &["repos", owner, name]), path);
        let request = Request::get(url).header("accept", "application/vnd.github+json");
        match &self.credential {
            Some(credential) => request.auth(credential),
            None => request,
        }
    }
}

struct {{type}};

impl Integration for {{type}} {
    type Config = Config;

    fn describe() -> Manifest {
        Manifest::new("{{name}}", env!("CARGO_PKG_VERSION"))
            .description("Issues of a GitHub repository")
            .config(json!({
                "type": "object",
                "required": ["repo"],
                "additionalProperties": false,
                "properties": {
                    "url": { "type": "string", "description": "Another server than github.com" },
                    "repo": { "type": "string", "pattern": "^[^/]+/[^/]+$", "description": "owner/name" },
                    "credential": { "type": "string", "description": "The credential to read with" }
                }
            }))
            .model::<Issue>()
            .network(NetworkRule::https("api.github.com").methods(&["GET"]))
            .network(NetworkRule::config("/url").methods(&["GET"]))
            .credential("token", "Reads private repositories, and raises the rate limit")
    }

    fn validate_config(config: Config) -> Result<ValidateResult> {
        match config.request(&[]).send()?.error_for_status() {
            Ok(_) => Ok(ValidateResult::ok()),
            Err(status) => Ok(ValidateResult::errors([agent_sdk::Error::from(status).to_string()])),
        }
    }

    fn export(config: Config) -> Result<ExportResult> {
        list(&config, &["issues"], Issue::new)?;
        Ok(ExportResult::new())
    }
}

/// Exports a list of the repository: what was updated since the last run, page by page. Each page is
/// committed with the place to go on at, so that a run that is stopped loses nothing.
fn list<S: DeserializeOwned, M: Model + Serialize>(
    config: &Config,
    path: &[&str],
    record: impl Fn(&str, &S) -> M,
) -> Result<()> {
    let mut records = session::root_model::<M>()?;
    let mut since = Since::of(&records)?;
    // Sorted by what does not change, or items would move across the pages while they are read.
    let request = config
        .request(path)
        .query("state", "all")
        .query("sort", "created")
        .query("direction", "asc")
        .query("per_page", 100)
        .query_opt("since", since.time());
    for page in paging::link::<S>(request).resume(since.position()) {
        let page = page?;
        for item in &page.items {
            records.send(&record(&config.repo, item))?;
        }
        records.checkpoint(&since.after(&page))?;
        if records.should_stop() {
            records.done(None)?;
            return Ok(());
        }
    }
    records.done(Some(&since.complete()))?;
    Ok(())
}

agent_sdk::register!({{type}});

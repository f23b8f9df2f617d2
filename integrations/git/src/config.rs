//! The configuration: `url` for one repository, `repos` for several, or both.

use std::collections::BTreeMap;

use agent_sdk::git;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::repo::REF_TYPE;
use crate::url::{self, Location};

/// Which repositories to export.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    url: Option<String>,
    repos: Vec<RepoConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RepoConfig {
    url: String,
    name: Option<String>,
    ref_id: Option<String>,
    credential: Option<String>,
}

/// A configured URL, fit to be shown, and the repository or what is wrong with it.
pub type Configured = (String, Result<git::Repo, String>);

impl Config {
    /// The repositories in the order written, or why there are none.
    pub fn repos(self) -> Result<Vec<Configured>, String> {
        let single = self.url.map(|url| RepoConfig { url, name: None, ref_id: None, credential: None });
        let all: Vec<RepoConfig> = single.into_iter().chain(self.repos).collect();
        if all.is_empty() {
            return Err("there is no repository: give `url`, or `repos` with at least one entry".to_owned());
        }
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        Ok(all
            .into_iter()
            .map(|repo| {
                let url = url::without_secrets(&repo.url);
                let repo = lift(repo).and_then(|repo| match seen.insert(repo.ref_id.clone(), url.clone()) {
                    None => Ok(repo),
                    Some(other) => {
                        Err(format!("`{url}` and `{other}` are the same repository `{}`: leave one out", repo.ref_id))
                    }
                });
                (url, repo)
            })
            .collect())
    }
}

fn lift(repo: RepoConfig) -> Result<git::Repo, String> {
    let location = Location::parse(&repo.url)?;
    let ref_id = repo.ref_id.unwrap_or_else(|| location.ref_id());
    let name = repo.name.unwrap_or_else(|| location.name());
    let lifted = git::Repo::new(ref_id, name, repo.url).ref_type(REF_TYPE);
    Ok(match repo.credential {
        Some(credential) => lifted.credential(credential),
        None => lifted,
    })
}

/// The schema in the manifest.
pub fn schema() -> Value {
    let url = json!({
        "type": "string",
        "minLength": 1,
        "description": "An http or https URL, an absolute path of the agent's machine, or a file:// URL"
    });
    json!({
        "type": "object",
        "additionalProperties": false,
        "anyOf": [{ "required": ["url"] }, { "required": ["repos"] }],
        "properties": {
            "url": url,
            "repos": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["url"],
                    "properties": {
                        "url": url,
                        "name": {
                            "type": "string",
                            "minLength": 1,
                            "description": "A name for people; otherwise from the URL"
                        },
                        "ref_id": {
                            "type": "string",
                            "minLength": 1,
                            "maxLength": 512,
                            "description": "What records refer to; host and path of the URL, unless a repository has moved"
                        },
                        "credential": {
                            "type": "string",
                            "minLength": 1,
                            "description": "The name of the credential to fetch with"
                        }
                    }
                }
            }
        }
    })
}

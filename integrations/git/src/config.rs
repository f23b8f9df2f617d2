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
    /// What is exported of all repositories, and how, where one does not say otherwise.
    blame: Option<bool>,
    count: Option<bool>,
    ids: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RepoConfig {
    url: String,
    name: Option<String>,
    ref_id: Option<String>,
    credential: Option<String>,
    blame: Option<bool>,
    count: Option<bool>,
    ids: Option<String>,
}

/// A configured URL, fit to be shown, and the repository or what is wrong with it.
pub type Configured = (String, Result<git::Repo, String>);

impl Config {
    /// The repositories in the order written, or why there are none.
    pub fn repos(self) -> Result<Vec<Configured>, String> {
        let single = self.url.map(|url| RepoConfig { url, ..RepoConfig::default() });
        let all: Vec<RepoConfig> = single.into_iter().chain(self.repos).collect();
        if all.is_empty() {
            return Err("there is no repository: give `url`, or `repos` with at least one entry".to_owned());
        }
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        Ok(all
            .into_iter()
            .map(|repo| {
                let url = url::without_secrets(&repo.url);
                let repo = RepoConfig {
                    blame: repo.blame.or(self.blame),
                    count: repo.count.or(self.count),
                    ids: repo.ids.or_else(|| self.ids.clone()),
                    ..repo
                };
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
    let mut lifted = git::Repo::new(ref_id, name, repo.url).ref_type(REF_TYPE);
    (lifted.blame, lifted.count, lifted.ids) = (repo.blame, repo.count, repo.ids);
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
    let blame = json!({
        "type": "boolean",
        "description": "Whether the owners of files' lines are exported, sourcecode.Blame. Default: true"
    });
    let count = json!({
        "type": "boolean",
        "description": "Whether languages are told and lines are counted, in sourcecode.Blame. Default: true"
    });
    let ids = json!({
        "enum": ["hashed", "legacy"],
        "description": "How ids are made: hashed (the default), or legacy, for a backend that holds records of the systems before"
    });
    json!({
        "type": "object",
        "additionalProperties": false,
        "anyOf": [{ "required": ["url"] }, { "required": ["repos"] }],
        "properties": {
            "url": url,
            "blame": blame,
            "count": count,
            "ids": ids,
            "repos": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["url"],
                    "properties": {
                        "url": url,
                        "blame": blame,
                        "count": count,
                        "ids": ids,
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

//! The models of a repository itself: `sourcecode.Repo`, how it went with it (`sourcecode.RepoError`), and its webhook
//! (`sourcecode.RepoWebhook`); and what the server says of one.

use agent_sdk::Model;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::REF_TYPE;
use crate::notes::Notes;

#[derive(Debug, Serialize)]
pub struct Repo {
    ref_id: String,
    ref_type: &'static str,
    /// Whether it is there. One that has gone has nothing more than this and its id.
    active: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    known: Option<Known>,
}

#[derive(Debug, Serialize)]
struct Known {
    name: String,
    description: String,
    url: String,
    visibility: &'static str,
    affiliation: &'static str,
    archived: bool,
    fork: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_branch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    created_at: String,
}

impl Model for Repo {
    const NAME: &'static str = "sourcecode.Repo";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "active"],
            "if": { "properties": { "active": { "const": true } } },
            "then": { "required": ["name", "url", "visibility"] },
            "properties": {
                "ref_id": { "type": "string", "description": "The repository's number; its name may change" },
                "ref_type": { "const": REF_TYPE },
                "active": { "type": "boolean", "description": "False once it has gone" },
                "name": { "type": "string", "description": "owner/name" },
                "description": { "type": "string" },
                "url": { "type": "string" },
                "visibility": { "enum": ["PUBLIC", "PRIVATE", "INTERNAL", "UNKNOWN"] },
                "affiliation": { "enum": ["ORGANIZATION", "USER"] },
                "archived": { "type": "boolean" },
                "fork": { "type": "boolean" },
                "default_branch": { "type": "string" },
                "language": { "type": "string" },
                "created_at": { "type": "string", "format": "date-time" }
            }
        })
    }
}

impl Repo {
    pub fn gone(id: u64) -> Repo {
        Repo { ref_id: id.to_string(), ref_type: REF_TYPE, active: false, known: None }
    }

    pub fn new(found: &Found, organization: bool, notes: &mut Notes) -> Repo {
        let visibility = notes.word("visibility", &found.visibility, &["PUBLIC", "PRIVATE", "INTERNAL"]);
        let known = Known {
            name: found.full_name.clone(),
            description: notes.text(found.description.clone().unwrap_or_default()),
            url: found.url.clone(),
            visibility,
            affiliation: if organization { "ORGANIZATION" } else { "USER" },
            archived: found.archived,
            fork: found.fork,
            default_branch: found.default_branch.as_ref().map(|branch| branch.name.clone()),
            language: found.language.as_ref().map(|language| language.name.clone()),
            created_at: found.created_at.clone(),
        };
        Repo { ref_id: found.ref_id(), ref_type: REF_TYPE, active: true, known: Some(known) }
    }
}

/// How the last export of a repository went.
#[derive(Debug, Serialize)]
pub struct RepoError {
    ref_id: String,
    ref_type: &'static str,
    repo_id: String,
    errored: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
}

impl RepoError {
    pub fn new(repo_id: String, error: Option<String>) -> RepoError {
        RepoError {
            ref_id: repo_id.clone(),
            ref_type: REF_TYPE,
            repo_id,
            errored: error.is_some(),
            error_message: error,
        }
    }
}

impl Model for RepoError {
    const NAME: &'static str = "sourcecode.RepoError";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "repo_id", "errored"],
            "properties": {
                "ref_id": { "type": "string" },
                "ref_type": { "const": REF_TYPE },
                "repo_id": { "type": "string" },
                "errored": { "type": "boolean" },
                "error_message": { "type": "string" }
            }
        })
    }
}

/// Whether events of a repository, or of an organization as a whole, are sent to us.
#[derive(Debug, Serialize)]
pub struct RepoWebhook {
    pub ref_id: String,
    pub ref_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo_id: Option<String>,
    pub enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

impl Model for RepoWebhook {
    const NAME: &'static str = "sourcecode.RepoWebhook";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "enabled"],
            "properties": {
                "ref_id": { "type": "string", "description": "The repository's number, or organization/login" },
                "ref_type": { "const": REF_TYPE },
                "repo_id": { "type": "string" },
                "enabled": { "type": "boolean" },
                "url": { "type": "string", "description": "Where events are sent" },
                "error_message": { "type": "string" }
            }
        })
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct Named {
    name: String,
}

/// The newest of something, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "Newest")]
pub struct Latest {
    pub count: u64,
    pub updated_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Newest {
    total_count: Option<u64>,
    nodes: Option<Vec<Option<Updated>>>,
    // As it is written in a cursor.
    count: Option<u64>,
    #[serde(alias = "updated_at")]
    updated_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Updated {
    updated_at: Option<String>,
}

impl From<Newest> for Latest {
    fn from(newest: Newest) -> Latest {
        let listed = newest.nodes.unwrap_or_default().into_iter().flatten().find_map(|node| node.updated_at);
        Latest { count: newest.total_count.or(newest.count).unwrap_or(0), updated_at: listed.or(newest.updated_at) }
    }
}

/// A repository as the server says it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    #[serde(rename = "databaseId")]
    pub id: u64,
    #[serde(rename = "nameWithOwner")]
    pub full_name: String,
    description: Option<String>,
    pub url: String,
    #[serde(default)]
    visibility: String,
    #[serde(rename = "isArchived", default)]
    pub archived: bool,
    #[serde(rename = "isFork", default)]
    pub fork: bool,
    #[serde(rename = "hasIssuesEnabled", default)]
    pub has_issues: bool,
    created_at: String,
    pub pushed_at: Option<String>,
    #[serde(rename = "defaultBranchRef")]
    default_branch: Option<Named>,
    #[serde(rename = "primaryLanguage")]
    language: Option<Named>,
    pub issues: Latest,
    pub pull_requests: Latest,
}

impl Found {
    /// One of which nothing is known but what it is called.
    pub fn named(id: u64, full_name: &str) -> Found {
        Found { id, full_name: full_name.to_owned(), ..Found::default() }
    }

    pub fn ref_id(&self) -> String {
        self.id.to_string()
    }

    /// Owner and name.
    pub fn parts(&self) -> (&str, &str) {
        self.full_name.split_once('/').unwrap_or(("", &self.full_name))
    }
}

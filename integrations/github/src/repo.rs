//! What the server says of a repository, and the record of it.

use integration_model::notes::Notes;
use integration_model::sourcecode::{Repo, RepoFields};
use serde::{Deserialize, Serialize};

use crate::REF_TYPE;

/// The record of one that is there.
pub fn record(found: &Found, organization: bool, notes: &mut Notes) -> Repo {
    let visibility = notes.word("visibility", &found.visibility, &["PUBLIC", "PRIVATE", "INTERNAL"]);
    let fields = RepoFields {
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
    Repo::new(REF_TYPE, found.ref_id(), fields)
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

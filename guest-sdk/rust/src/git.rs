//! Git repositories, processed natively by the host.

use serde::{Deserialize, Serialize};

use crate::error::{Context, Result};
use crate::host::git as wire;
use crate::session::Session;

/// A repository to export (`schemas/git-repo.json`). The fields that have defaults can be left to [`Repo::new`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Repo {
    /// The source's own id of the repository. Records refer to it.
    pub ref_id: String,
    /// A name for people.
    pub name: String,
    /// An `http` or `https` URL, an absolute path of the agent's machine, or a `file://` URL.
    pub url: String,
    /// The kind of the source, for example `github`; the manifest's where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_type: Option<String>,
    /// The name of the credential to fetch with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// The URL of a commit, with `{sha}` in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_url_template: Option<String>,
    /// The URL of a branch, with `{branch}` in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_url_template: Option<String>,
    /// Whether the owners of files' lines are exported; they are where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blame: Option<bool>,
    /// Whether languages are told and lines are counted, with the owners; they are where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<bool>,
    /// How ids of records are made: `hashed`, where it is left out, or `legacy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<String>,
    /// Pull requests whose commits are to be found out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pull_requests: Vec<PullRequest>,
}

impl Repo {
    /// A repository with what is required.
    #[must_use]
    pub fn new(ref_id: impl Into<String>, name: impl Into<String>, url: impl Into<String>) -> Repo {
        Repo { ref_id: ref_id.into(), name: name.into(), url: url.into(), ..Repo::default() }
    }

    /// Sets the kind of the source.
    #[must_use]
    pub fn ref_type(mut self, ref_type: impl Into<String>) -> Repo {
        self.ref_type = Some(ref_type.into());
        self
    }

    /// Sets the name of the credential to fetch with.
    #[must_use]
    pub fn credential(mut self, credential: impl Into<String>) -> Repo {
        self.credential = Some(credential.into());
        self
    }
}

/// A pull request of a [`Repo`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// The backend's id.
    pub id: String,
    /// The source's own id.
    pub ref_id: String,
    /// Where a person sees it.
    pub url: String,
    /// The branch that it wants to merge.
    pub branch_name: String,
    /// The newest commit of that branch, in hexadecimal.
    pub last_commit_sha: String,
}

/// Queues a repository. The job commits with `session` and is worked off after the export returns; it survives a crash
/// and is tried again by later runs up to a ceiling. Its records appear in sessions below `session`.
///
/// # Errors
/// `Denied` where git, the URL's host or the path is not granted, `Invalid` for a bad document.
pub fn export_repo<M>(session: &Session<M>, repo: &Repo) -> Result<()> {
    let document = serde_json::to_string(repo).context(&repo.name)?;
    wire::export_repo(session.raw(), &document).context(&repo.name)
}

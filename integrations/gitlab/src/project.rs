//! What the server says of a project, the records of it as a repository and as a project of work, and the projects of an
//! account.

use agent_sdk::sweep::Ids;
use integration_model::Stop;
use integration_model::notes::{self, Notes};
use integration_model::sourcecode::{Repo, RepoFields};
use integration_model::work::{Project, ProjectFields};
use serde::Deserialize;

use crate::REF_TYPE;
use crate::api::Api;
use crate::config::Config;
use crate::walk::Walk;

#[derive(Debug, Clone, Deserialize)]
struct Namespace {
    kind: Option<String>,
}

/// A project as the server says it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Found {
    pub id: u64,
    #[serde(rename = "path_with_namespace")]
    pub path: String,
    #[serde(default)]
    name: String,
    description: Option<String>,
    #[serde(rename = "web_url")]
    pub url: String,
    #[serde(default)]
    visibility: String,
    #[serde(default)]
    archived: bool,
    default_branch: Option<String>,
    /// There, where it is a fork.
    forked_from_project: Option<serde::de::IgnoredAny>,
    created_at: String,
    /// Moves with pushes and everything else, and at most once an hour.
    pub last_activity_at: Option<String>,
    issues_access_level: Option<String>,
    merge_requests_access_level: Option<String>,
    /// What these are in older versions, and still are beside them.
    issues_enabled: Option<bool>,
    merge_requests_enabled: Option<bool>,
    repository_access_level: Option<String>,
    #[serde(default)]
    empty_repo: bool,
    namespace: Option<Namespace>,
}

impl Found {
    /// One of which nothing is known but what it is called.
    pub fn named(id: u64, path: &str) -> Found {
        Found { id, path: path.to_owned(), ..Found::default() }
    }

    pub fn ref_id(&self) -> String {
        self.id.to_string()
    }

    /// Whether it is wanted.
    pub fn is_wanted(&self, config: &Config) -> bool {
        let skipped = self.archived && config.skip_archived || self.is_fork() && config.skip_forks;
        !skipped && config.selection().takes(&self.path)
    }

    fn is_fork(&self) -> bool {
        self.forked_from_project.is_some()
    }

    pub fn has_issues(&self) -> bool {
        is_on(self.issues_access_level.as_deref()) && self.issues_enabled != Some(false)
    }

    pub fn has_merge_requests(&self) -> bool {
        is_on(self.merge_requests_access_level.as_deref()) && self.merge_requests_enabled != Some(false)
    }

    pub fn has_repository(&self) -> bool {
        is_on(self.repository_access_level.as_deref()) && !self.empty_repo
    }

    fn affiliation(&self) -> &'static str {
        let of_user = self.namespace.as_ref().is_some_and(|namespace| namespace.kind.as_deref() == Some("user"));
        if of_user { "USER" } else { "ORGANIZATION" }
    }

    fn visibility(&self, notes: &mut Notes) -> &'static str {
        notes.word("visibility", &self.visibility.to_uppercase(), &["PUBLIC", "PRIVATE", "INTERNAL"])
    }

    /// The record of it as a repository.
    pub fn repo(&self, notes: &mut Notes) -> Repo {
        let fields = RepoFields {
            name: self.path.clone(),
            description: notes.text(self.description.clone().unwrap_or_default()),
            url: self.url.clone(),
            visibility: self.visibility(notes),
            affiliation: self.affiliation(),
            archived: self.archived,
            fork: self.is_fork(),
            default_branch: self.default_branch.clone(),
            created_at: self.created_at.clone(),
            ..RepoFields::default()
        };
        Repo::new(REF_TYPE, self.ref_id(), fields)
    }

    /// The record of it as a project that issues belong to.
    #[allow(clippy::needless_update, reason = "other sources know more of a project")]
    pub fn project(&self, notes: &mut Notes) -> Project {
        let fields = ProjectFields {
            name: if self.name.is_empty() { self.path.clone() } else { self.name.clone() },
            identifier: self.path.clone(),
            description: notes.text(self.description.clone().unwrap_or_default()),
            url: self.url.clone(),
            visibility: Some(self.visibility(notes)),
            affiliation: Some(self.affiliation()),
            ..ProjectFields::default()
        };
        Project::new(REF_TYPE, self.ref_id(), fields)
    }
}

/// Whether a part of a project is switched on. Servers that do not say it, or say it otherwise, are asked all the same.
fn is_on(level: Option<&str>) -> bool {
    level != Some("disabled")
}

/// The number of a group or a user; none where there is none.
pub fn account(api: &Api, path: &str, group: bool) -> Result<Option<u64>, Stop> {
    if group {
        return match api.find(&["groups", path])? {
            Some(answer) => Ok(Some(answer.json_at("/id")?)),
            None => Ok(None),
        };
    }
    let answer = api.request("GET", &["users"]).query("username", path).send()?.check()?;
    let found: Vec<Numbered> = answer.json()?;
    Ok(found.first().map(|user| user.id))
}

#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

/// The projects of an account, and what time it was for the server.
pub struct Listed {
    pub projects: Vec<Found>,
    pub at: Option<String>,
}

/// The projects of a group with those of all groups below it, or a person's own.
pub fn list(api: &Api, path: &str, group: bool, notes: &mut Notes) -> Result<Listed, Stop> {
    // By id, which nothing changes while pages are read.
    let request = match group {
        true => api.list(&["groups", path, "projects"]).query("include_subgroups", true).query("with_shared", false),
        false => api.list(&["users", path, "projects"]),
    };
    let request = request.query("order_by", "id").query("sort", "asc");
    let mut walk = Walk::new(request, None);
    let (mut projects, mut seen): (Vec<Found>, Ids) = (Vec::new(), Ids::new());
    while let Some(page) = walk.next()? {
        page.left_out.iter().for_each(|what| notes.left_out(&format!("project {what}")));
        for node in page.nodes {
            let name = node["path_with_namespace"].clone();
            match notes::read::<Found>(node) {
                Ok(project) if seen.insert(project.id) => projects.push(project),
                Ok(_) => {}
                Err(why) => notes.left_out(&format!("project {name}: {why}")),
            }
        }
    }
    Ok(Listed { projects, at: walk.at })
}

/// Whether a project that is not listed any more has gone, or is not ours any more.
pub fn is_gone(api: &Api, id: u64) -> Result<bool, Stop> {
    let answer = api.request("GET", &["projects", &id.to_string()]).send()?;
    Ok(matches!(answer.status, 200 | 301 | 404 | 410))
}

//! The configuration: which server, which groups and people, what of them, and where the server's API is.

use agent_sdk::select::Selection;
use integration_model::deletions;
use serde::Deserialize;
use serde_json::{Value, json};

/// The service itself.
const SERVICE: &str = "https://gitlab.com";

/// The credential that requests are made with.
pub const CREDENTIAL: &str = "token";

/// What to export from where.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Of the server: gitlab.com, or one's own.
    pub url: String,
    /// Paths of groups, with their subgroups.
    pub groups: Vec<String>,
    /// Accounts of people.
    pub users: Vec<String>,
    pub inclusions: Vec<String>,
    pub exclusions: Vec<String>,
    pub skip_archived: bool,
    pub skip_forks: bool,
    pub code: bool,
    pub issues: bool,
    pub git: bool,
    /// The credential that repositories are fetched with; public ones need none.
    pub git_credential: Option<String>,
    /// Where repositories are fetched from, with `{path}`; the server, unless there is a mirror.
    pub git_url: Option<String>,
    /// Whether what hangs on issues and merge requests may be asked for by GraphQL.
    pub graphql: bool,
    /// Large deletions that are believed, each once.
    pub accept_deletions: Vec<String>,
    pub webhooks: Webhooks,
    /// Where webhooks are to be sent, if the agent does not say.
    pub webhook_url: Option<String>,
    /// A placeholder: the host keeps the secret.
    pub webhook_secret: Option<String>,
}

/// Whether webhooks are made where they are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Webhooks {
    Off,
    /// One for the group, which takes an owner's rights and a paid plan.
    Group,
    /// One for each project.
    Project,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            url: SERVICE.to_owned(),
            groups: Vec::new(),
            users: Vec::new(),
            inclusions: Vec::new(),
            exclusions: Vec::new(),
            skip_archived: false,
            skip_forks: false,
            code: true,
            issues: true,
            git: true,
            git_credential: None,
            git_url: None,
            graphql: true,
            accept_deletions: Vec::new(),
            webhooks: Webhooks::Off,
            webhook_url: None,
            webhook_secret: None,
        }
    }
}

impl Config {
    /// The server's URL without a slash at the end. It may have a path: GitLab can be installed below one.
    pub fn server(&self) -> &str {
        self.url.trim_end_matches('/')
    }

    /// Where REST is.
    pub fn rest(&self) -> String {
        format!("{}/api/v4", self.server())
    }

    /// Where a repository is fetched from.
    pub fn git_url(&self, path: &str) -> String {
        match &self.git_url {
            Some(template) => template.replace("{path}", path),
            None => format!("{}/{path}.git", self.server()),
        }
    }

    pub fn selection(&self) -> Selection {
        Selection::new(&self.inclusions, &self.exclusions)
    }

    /// The accounts, each with whether it is a group.
    pub fn accounts(&self) -> Vec<(&str, bool)> {
        let groups = self.groups.iter().map(|path| (path.trim_matches('/'), true));
        groups.chain(self.users.iter().map(|name| (name.as_str(), false))).collect()
    }

    /// What changes when an operator wants something else than before: projects are looked at again then.
    pub fn wants(&self) -> String {
        format!("{}{}{}", u8::from(self.code), u8::from(self.issues), u8::from(self.git))
    }

    /// What makes no sense, one sentence each.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = deletions::faults(&self.accept_deletions);
        if self.groups.is_empty() && self.users.is_empty() {
            faults.push("there is nothing to export: name accounts in `groups` or `users`".to_owned());
        }
        if !self.url.starts_with("https://") && !self.url.starts_with("http://") {
            faults.push(format!("url is `{}`: give an https URL, for example https://gitlab.com", self.url));
        }
        for (path, group) in self.accounts() {
            if path.is_empty() {
                faults.push("an account has no name: give a group's path, or a user's name".to_owned());
            } else if !group && path.contains('/') {
                faults.push(format!("`{path}` is no user: give the name alone; groups stand in `groups`"));
            }
        }
        if self.webhooks != Webhooks::Off && self.webhook_secret.is_none() {
            faults.push(
                "webhooks are to be made, and `webhook_secret` is not given: without it they prove nothing".into(),
            );
        }
        faults
    }
}

/// The schema in the manifest.
pub fn schema() -> Value {
    let texts =
        |description: &str| json!({ "type": "array", "items": { "type": "string" }, "description": description });
    let flag =
        |default: bool, description: &str| json!({ "type": "boolean", "default": default, "description": description });
    let text = |description: &str| json!({ "type": ["string", "null"], "minLength": 1, "description": description });
    json!({
        "type": "object",
        "additionalProperties": false,
        "anyOf": [{ "required": ["groups"] }, { "required": ["users"] }],
        "properties": {
            "url": {
                "type": "string", "default": SERVICE,
                "description": "The server: https://gitlab.com, or one's own"
            },
            "groups": texts("Paths of groups, whose projects are exported with those of all subgroups"),
            "users": texts("Names of people, whose own projects are exported"),
            "inclusions": texts("Projects to export, as patterns of .gitignore over group/subgroup/project; all unless given"),
            "exclusions": texts("Projects to leave out of these, in the same way"),
            "skip_archived": flag(false, "Whether archived projects are left out"),
            "skip_forks": flag(false, "Whether forks are left out"),
            "code": flag(true, "Whether merge requests are exported"),
            "issues": flag(true, "Whether issues and milestones are exported"),
            "git": flag(true, "Whether the repositories themselves are, for commits and branches"),
            "git_credential": text("The credential that repositories are fetched with; public ones need none"),
            "git_url": text("Where repositories are fetched from, with {path} in it; the server, unless given"),
            "graphql": flag(true, "Whether GraphQL is asked where it saves requests; what it does not give is asked for by REST"),
            "accept_deletions": deletions::schema(),
            "webhooks": {
                "enum": ["off", "group", "project"], "default": "off",
                "description": "Whether webhooks are made where they are missing, and of whom"
            },
            "webhook_url": text("Where webhooks are to be sent, if the agent does not receive them itself"),
            "webhook_secret": {
                "type": ["string", "null"], "minLength": 8, "writeOnly": true,
                "description": "The secret that webhooks bring along; nothing but the host sees it"
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn the_apis_of_a_server_follow_from_its_url() {
        let config = |url: &str| Config { url: url.to_owned(), ..Config::default() };
        assert_eq!(config("https://gitlab.com/").rest(), "https://gitlab.com/api/v4");
        let own = config("https://acme.example/gitlab/");
        assert_eq!(own.rest(), "https://acme.example/gitlab/api/v4");
        assert_eq!(own.git_url("a/b/c"), "https://acme.example/gitlab/a/b/c.git");
        let mirror = Config { git_url: Some("file:///srv/{path}".to_owned()), ..Config::default() };
        assert_eq!(mirror.git_url("a/b"), "file:///srv/a/b");
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        assert!(Config::default().faults()[0].contains("`groups` or `users`"));
        let wrong = Config { users: vec!["acme/x".to_owned()], url: "ftp://x".to_owned(), ..Config::default() };
        assert_eq!(wrong.faults().len(), 2);
        assert!(Config { groups: vec!["/acme/x/".to_owned()], ..Config::default() }.faults().is_empty());
    }
}

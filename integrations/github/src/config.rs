//! The configuration: which server, which accounts, what of them, and where the server's APIs are.

use agent_sdk::select::Selection;
use integration_model::deletions;
use serde::Deserialize;
use serde_json::{Value, json};

/// The service itself, whose APIs are on a host of their own.
const SERVICE: &str = "https://github.com";
const SERVICE_API: &str = "https://api.github.com";

/// The credential that requests are made with.
pub const CREDENTIAL: &str = "token";

/// What to export from where.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Of the server: github.com, or an Enterprise server.
    pub url: String,
    pub organizations: Vec<String>,
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
    /// Where repositories are fetched from, with `{owner}` and `{name}`; the server, unless there is a mirror.
    pub git_url: Option<String>,
    /// Points of the rate limit that are left for others.
    pub reserve: u64,
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
    /// One for the organization, which takes an owner's rights.
    Organization,
    /// One for each repository.
    Repository,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            url: SERVICE.to_owned(),
            organizations: Vec::new(),
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
            reserve: 100,
            accept_deletions: Vec::new(),
            webhooks: Webhooks::Off,
            webhook_url: None,
            webhook_secret: None,
        }
    }
}

impl Config {
    /// The server's URL without a slash at the end.
    pub fn server(&self) -> &str {
        self.url.trim_end_matches('/')
    }

    /// Where REST is.
    pub fn rest(&self) -> String {
        match self.is_service() {
            true => SERVICE_API.to_owned(),
            false => format!("{}/api/v3", self.server()),
        }
    }

    /// Where GraphQL is.
    pub fn graphql(&self) -> String {
        match self.is_service() {
            true => format!("{SERVICE_API}/graphql"),
            false => format!("{}/api/graphql", self.server()),
        }
    }

    fn is_service(&self) -> bool {
        self.server().eq_ignore_ascii_case(SERVICE)
    }

    /// Where a repository is fetched from.
    pub fn git_url(&self, full_name: &str) -> String {
        let (owner, name) = full_name.split_once('/').unwrap_or(("", full_name));
        match &self.git_url {
            Some(template) => template.replace("{owner}", owner).replace("{name}", name),
            None => format!("{}/{full_name}.git", self.server()),
        }
    }

    pub fn selection(&self) -> Selection {
        Selection::new(&self.inclusions, &self.exclusions)
    }

    /// The accounts, each with whether it is an organization.
    pub fn accounts(&self) -> Vec<(&str, bool)> {
        let organizations = self.organizations.iter().map(|login| (login.as_str(), true));
        organizations.chain(self.users.iter().map(|login| (login.as_str(), false))).collect()
    }

    /// What changes when an operator wants something else than before: repositories are looked at again then.
    pub fn wants(&self) -> String {
        format!("{}{}{}", u8::from(self.code), u8::from(self.issues), u8::from(self.git))
    }

    /// What makes no sense, one sentence each.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = deletions::faults(&self.accept_deletions);
        if self.organizations.is_empty() && self.users.is_empty() {
            faults.push("there is nothing to export: name accounts in `organizations` or `users`".to_owned());
        }
        if !self.url.starts_with("https://") && !self.url.starts_with("http://") {
            faults.push(format!("url is `{}`: give an https URL, for example https://github.com", self.url));
        }
        for (login, _) in self.accounts() {
            if login.is_empty() || login.contains('/') {
                faults.push(format!("`{login}` is no account: give its login alone"));
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
        "anyOf": [{ "required": ["organizations"] }, { "required": ["users"] }],
        "properties": {
            "url": {
                "type": "string", "default": SERVICE,
                "description": "The server: https://github.com, or that of an Enterprise server"
            },
            "organizations": texts("Logins of organizations"),
            "users": texts("Logins of people, whose own repositories are exported"),
            "inclusions": texts("Repositories to export, as patterns of .gitignore over owner/name; all unless given"),
            "exclusions": texts("Repositories to leave out of these, in the same way"),
            "skip_archived": flag(false, "Whether archived repositories are left out"),
            "skip_forks": flag(false, "Whether forks are left out"),
            "code": flag(true, "Whether pull requests are exported"),
            "issues": flag(true, "Whether issues are exported"),
            "git": flag(true, "Whether the repositories themselves are, for commits and branches"),
            "git_credential": text("The credential that repositories are fetched with; public ones need none"),
            "git_url": text("Where repositories are fetched from, with {owner} and {name} in it; the server, unless given"),
            "reserve": {
                "type": "integer", "minimum": 0, "default": 100,
                "description": "Points of the rate limit that are left for others: below, the export pauses"
            },
            "accept_deletions": deletions::schema(),
            "webhooks": {
                "enum": ["off", "organization", "repository"], "default": "off",
                "description": "Whether webhooks are made where they are missing, and of whom"
            },
            "webhook_url": text("Where webhooks are to be sent, if the agent does not receive them itself"),
            "webhook_secret": {
                "type": ["string", "null"], "minLength": 8, "writeOnly": true,
                "description": "The secret that webhooks are signed with; nothing but the host sees it"
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
        let service = config("https://github.com/");
        assert_eq!(
            (service.rest(), service.graphql()),
            ("https://api.github.com".into(), "https://api.github.com/graphql".into())
        );
        let own = config("https://git.acme.example/");
        assert_eq!(own.rest(), "https://git.acme.example/api/v3");
        assert_eq!(own.graphql(), "https://git.acme.example/api/graphql");
        assert_eq!(own.git_url("a/b"), "https://git.acme.example/a/b.git");
        let mirror = Config { git_url: Some("file:///srv/{owner}/{name}".to_owned()), ..Config::default() };
        assert_eq!(mirror.git_url("a/b"), "file:///srv/a/b");
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        assert!(Config::default().faults()[0].contains("`organizations` or `users`"));
        let wrong = Config { organizations: vec!["acme/x".to_owned()], url: "ftp://x".to_owned(), ..Config::default() };
        assert_eq!(wrong.faults().len(), 2);
        assert!(Config { users: vec!["someone".to_owned()], ..Config::default() }.faults().is_empty());
    }
}

//! The configuration: which server, which projects, what of them.

use agent_sdk::select::Selection;
use integration_model::deletions;
use serde::Deserialize;
use serde_json::{Value, json};

/// The credential that requests are made with.
pub const CREDENTIAL: &str = "token";

/// Where OAuth of the cloud has its API, whatever the site is called.
pub const CLOUD_API: &str = "api.atlassian.com";

/// What to export from where.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Of the server, as people open it in a browser.
    pub url: String,
    /// Where its API is, if not there: OAuth of the cloud goes to `https://api.atlassian.com/ex/jira/…`.
    pub api_url: Option<String>,
    pub inclusions: Vec<String>,
    pub exclusions: Vec<String>,
    pub users: bool,
    pub boards: bool,
    /// Whether each issue comes with what can be done to it next.
    pub transitions: bool,
    /// Hours after which a project's issues are looked through for those that have gone.
    pub sweep_hours: u32,
    /// Large deletions that are believed, each once.
    pub accept_deletions: Vec<String>,
    pub webhooks: Webhooks,
    /// Where webhooks are to be sent, if the agent does not say.
    pub webhook_url: Option<String>,
    pub webhook_secret: Option<String>,
}

/// Whether a webhook is made where it is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Webhooks {
    Off,
    /// One for the whole site, which takes an administrator's rights.
    Site,
}

/// Once a day: deleting is seldom, and looking costs a request for some thousands of issues.
const SWEEP_HOURS: u32 = 24;

impl Default for Config {
    fn default() -> Config {
        Config {
            url: String::new(),
            api_url: None,
            inclusions: Vec::new(),
            exclusions: Vec::new(),
            users: true,
            boards: true,
            transitions: false,
            sweep_hours: SWEEP_HOURS,
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

    /// Below which the API's paths are.
    pub fn api(&self) -> &str {
        self.api_url.as_deref().unwrap_or(&self.url).trim_end_matches('/')
    }

    /// Judges the keys of projects.
    pub fn selection(&self) -> Selection {
        Selection::new(&self.inclusions, &self.exclusions)
    }

    /// What changes when an operator wants something else of issues than before: all of them are read again then.
    pub fn wants(&self) -> String {
        u8::from(self.transitions).to_string()
    }

    /// What makes no sense, one sentence each.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = deletions::faults(&self.accept_deletions);
        let is_http = |url: &str| url.starts_with("https://") || url.starts_with("http://");
        if !is_http(&self.url) {
            faults.push(format!("url is `{}`: give an https URL, for example https://acme.atlassian.net", self.url));
        }
        if let Some(url) = self.api_url.as_deref().filter(|url| !is_http(url)) {
            faults.push(format!("api_url is `{url}`: give an https URL, or leave it out"));
        }
        if self.webhooks != Webhooks::Off && self.webhook_secret.is_none() {
            faults.push(
                "a webhook is to be made, and `webhook_secret` is not given: without it webhooks prove nothing".into(),
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
        "required": ["url"],
        "properties": {
            "url": {
                "type": "string", "minLength": 1,
                "description": "The server: https://acme.atlassian.net, or your own, with its path if it has one"
            },
            "api_url": text("Where its API is, for OAuth of the cloud: https://api.atlassian.com/ex/jira/ and the cloud id"),
            "inclusions": texts("Projects to export, as patterns of .gitignore over their keys; all unless given"),
            "exclusions": texts("Projects to leave out of these, in the same way"),
            "users": flag(true, "Whether all users are listed; those who are met in issues come in any case"),
            "boards": flag(true, "Whether boards are exported, and the sprints that are on them"),
            "transitions": flag(false, "Whether each issue comes with the transitions that are open to it"),
            "sweep_hours": {
                "type": "integer", "minimum": 1, "default": SWEEP_HOURS,
                "description": "Hours after which a project's issues are looked through for those that have gone"
            },
            "accept_deletions": deletions::schema(),
            "webhooks": {
                "enum": ["off", "site"], "default": "off",
                "description": "Whether a webhook of the site is made where it is missing"
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
    use super::{Config, Webhooks};

    #[test]
    fn what_makes_no_sense_is_said() {
        assert!(Config::default().faults()[0].contains("acme.atlassian.net"));
        let good = || Config { url: "https://acme.atlassian.net/".to_owned(), ..Config::default() };
        assert!(good().faults().is_empty());
        assert_eq!((good().server(), good().api()), ("https://acme.atlassian.net", "https://acme.atlassian.net"));
        let wrong = Config { api_url: Some("api.atlassian.com".to_owned()), webhooks: Webhooks::Site, ..good() };
        assert_eq!(wrong.faults().len(), 2);
        let oauth = Config { api_url: Some("https://api.atlassian.com/ex/jira/1".to_owned()), ..good() };
        assert_eq!(oauth.api(), "https://api.atlassian.com/ex/jira/1");
    }
}

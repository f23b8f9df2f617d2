//! What an integration's run says about its permissions: what it lacked, as grants ready to be pasted and as flags, what its
//! manifest would have to ask for, and what that asks for and was of no use. It grants nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use super::manifest::Manifest;
use crate::config::{Credential, Exchange, NetworkRule, OAuth2Flow, Placement, SecretSource};
use crate::egress::{Account, Denial, Lack, Policy};
use crate::sandbox::Seen;

/// Rules offered at most; a run that lacks more gets the rules for whole hosts.
const RULES_MAX: usize = 20;

/// The permissions of one run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Permissions {
    /// What was refused, as it was asked.
    pub denied: Vec<Denial>,
    /// Refusals beyond those listed.
    pub denied_left_out: u64,
    /// Rules for `grants.network`.
    pub network: Vec<String>,
    /// Hosts for `grants.private_hosts`.
    pub private_hosts: Vec<String>,
    /// Credentials by name, with the hosts that they were wanted for.
    pub credentials: BTreeMap<String, Vec<String>>,
    /// Paths of credentials by name, where they are granted for others.
    pub credential_paths: BTreeMap<String, Vec<String>>,
    /// The three as a snippet of agent.yaml; empty if nothing is lacking.
    pub grants_yaml: String,
    /// The same as flags of `run-wasm`.
    pub flags: Vec<String>,
    /// What it used and its manifest does not ask for, in the manifest's words.
    pub not_asked: Vec<String>,
    /// What its manifest asks for and this run did not use.
    pub not_used: Vec<String>,
    /// What nothing would help against.
    pub impossible: Vec<String>,
}

impl Permissions {
    /// Whether something was refused.
    #[must_use]
    pub fn any_denied(&self) -> bool {
        !self.denied.is_empty() || !self.not_asked.is_empty()
    }

    /// Works them out from what went out and what was refused.
    pub(super) fn of(account: &Account, seen: &Seen, policy: &Policy, manifest: &Manifest) -> Permissions {
        let mut permissions = Permissions {
            denied: account.denials.clone(),
            denied_left_out: account.denials_left_out,
            ..Permissions::default()
        };
        let (mut grants, mut asks) = (Vec::new(), Vec::new());
        for lack in account.denials.iter().flat_map(|denial| &denial.lacks) {
            permissions.add(lack, &mut grants, &mut asks, manifest);
        }
        permissions.network = merged(&grants);
        permissions.not_asked.extend(merged(&asks).into_iter().map(|rule| format!("network: {rule}")));
        if seen.git_refused > 0 {
            permissions.not_asked.push("git: true".to_owned());
        }
        permissions.not_asked.sort();
        permissions.not_asked.dedup();
        permissions.not_used = not_used(account, seen, policy, manifest);
        permissions.grants_yaml = permissions.yaml(&policy.credentials);
        permissions.flags = permissions.as_flags(&policy.credentials);
        permissions
    }

    fn add(&mut self, lack: &Lack, grants: &mut Vec<String>, asks: &mut Vec<String>, manifest: &Manifest) {
        match lack {
            Lack::Granted(rule) => grants.push(rule.clone()),
            Lack::Asked(rule) => asks.push(rule.clone()),
            Lack::PrivateHost(host) => push(&mut self.private_hosts, host),
            Lack::Credential { name, host } | Lack::CredentialHost { name, host } => {
                if !manifest.asks.credentials.iter().any(|asked| asked.name == *name) {
                    push(&mut self.not_asked, &format!("credentials: {name}"));
                }
                push(self.credentials.entry(name.clone()).or_default(), host);
            }
            Lack::CredentialPath { name, host, path } => {
                push(self.credentials.entry(name.clone()).or_default(), host);
                push(self.credential_paths.entry(name.clone()).or_default(), path);
            }
            Lack::AskedPath { name, path } => {
                push(&mut self.not_asked, &format!("credentials: {name}, in bodies at: {path}"));
            }
            Lack::Nothing(why) => push(&mut self.impossible, why),
        }
    }

    /// Ready to be pasted below an integration of agent.yaml, or into a file for `--grants`.
    fn yaml(&self, granted: &BTreeMap<String, Credential>) -> String {
        let mut out = String::new();
        if !self.network.is_empty() {
            out.push_str("  network:\n");
            self.network.iter().for_each(|rule| out.push_str(&format!("    - {}\n", quoted(rule))));
        }
        if !self.private_hosts.is_empty() {
            out.push_str("  private_hosts:\n");
            self.private_hosts.iter().for_each(|host| out.push_str(&format!("    - {}\n", quoted(host))));
        }
        if !self.credentials.is_empty() {
            out.push_str("  credentials:\n");
            for (name, hosts) in &self.credentials {
                let form = credential(name, hosts, self.paths_of(name), granted.get(name));
                out.push_str(&format!("    {}: {form}\n", quoted(name)));
            }
        }
        if out.is_empty() { out } else { format!("grants:\n{out}") }
    }

    fn as_flags(&self, granted: &BTreeMap<String, Credential>) -> Vec<String> {
        let mut flags: Vec<String> = self.network.iter().map(|rule| format!("--allow {}", shell(rule))).collect();
        flags.extend(self.private_hosts.iter().map(|host| format!("--allow-private {}", shell(host))));
        flags.extend(self.credentials.iter().map(|(name, hosts)| {
            let form = match granted.get(name) {
                None => format!("env:{}@{}", variable(name), hosts.join(",")),
                granted => credential(name, hosts, self.paths_of(name), granted),
            };
            format!("--credential {}", shell(&format!("{name}={form}")))
        }));
        flags
    }

    fn paths_of(&self, name: &str) -> &[String] {
        self.credential_paths.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}

fn push(list: &mut Vec<String>, text: &str) {
    if !list.iter().any(|known| known == text) {
        list.push(text.to_owned());
    }
}

fn quoted(text: impl AsRef<str>) -> String {
    serde_json::Value::from(text.as_ref()).to_string()
}

/// A credential as agent.yaml has it: the one that is granted with these hosts and paths added, or one to begin with.
fn credential(name: &str, hosts: &[String], paths: &[String], granted: Option<&Credential>) -> String {
    let form = match granted {
        None => format!("env: {}, bearer: true", variable(name)),
        // Its value is a setting's.
        Some(Credential { placement: Placement::Body { .. }, .. }) => "body: true".to_owned(),
        Some(granted) => format!("{}, {}", source(&granted.source), placement(granted)),
    };
    let is_own =
        |granted: &&Credential| !matches!(granted.placement, Placement::Body { .. }) || !granted.paths.is_empty();
    let known = granted.filter(is_own).map(|granted| granted.hosts.as_slice()).unwrap_or_default();
    let mut all: Vec<String> = Vec::new();
    known.iter().chain(hosts).for_each(|host| push(&mut all, host));
    let list = |all: &[String]| all.iter().map(quoted).collect::<Vec<_>>().join(", ");
    let mut paths_all = granted.map(|granted| granted.paths.clone()).unwrap_or_default();
    paths.iter().for_each(|path| push(&mut paths_all, path));
    let paths = if paths_all.is_empty() { String::new() } else { format!(", paths: [{}]", list(&paths_all)) };
    format!("{{{form}, hosts: [{}]{paths}}}", list(&all))
}

/// Where a value comes from, as agent.yaml has it. One that is written in a configuration stays there.
fn source(source: &SecretSource) -> String {
    match source {
        SecretSource::Env(variable) => format!("env: {}", quoted(variable)),
        SecretSource::File(path) => format!("file: {}", quoted(path.to_string_lossy())),
        SecretSource::Stored(name) => format!("secret: {}", quoted(name)),
        SecretSource::Command(words) => {
            format!("command: [{}]", words.iter().map(quoted).collect::<Vec<_>>().join(", "))
        }
        SecretSource::Written { .. } => "secret: NAME".to_owned(),
    }
}

/// What the value is exchanged for, and how it goes into requests, as agent.yaml has it.
fn placement(credential: &Credential) -> String {
    let place = match &credential.placement {
        Placement::Bearer => "bearer: true".to_owned(),
        Placement::Basic { username } => format!("basic: {{username: {}}}", quoted(username)),
        Placement::Header { name, prefix } => format!("header: {{name: {}, prefix: {}}}", quoted(name), quoted(prefix)),
        Placement::Query { name } => format!("query: {{name: {}}}", quoted(name)),
        Placement::Body { .. } => "body: true".to_owned(),
    };
    match &credential.exchange {
        None => place,
        Some(exchange) => format!("{}, {place}", exchanged(exchange)),
    }
}

fn exchanged(exchange: &Exchange) -> String {
    match exchange {
        Exchange::OAuth2(oauth2) => {
            let mut members = vec![
                format!("token_url: {}", quoted(&oauth2.token_url)),
                format!("client_id: {}", quoted(&oauth2.client_id)),
            ];
            members
                .extend(oauth2.client_secret.as_ref().map(|secret| format!("client_secret: {{{}}}", source(secret))));
            if !oauth2.scopes.is_empty() {
                let scopes = oauth2.scopes.iter().map(quoted).collect::<Vec<_>>().join(", ");
                members.push(format!("scopes: [{scopes}]"));
            }
            if oauth2.flow == OAuth2Flow::ClientCredentials {
                members.push("flow: client_credentials".to_owned());
            }
            format!("oauth2: {{{}}}", members.join(", "))
        }
        Exchange::GitHubApp(app) => format!(
            "github_app: {{app_id: {}, installation_id: {}, api_url: {}}}",
            quoted(&app.app_id),
            app.installation_id,
            quoted(&app.api_url)
        ),
    }
}

/// A variable's name for a credential's: `mock-token` → `MOCK_TOKEN`.
fn variable(name: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(word).collect()
}

/// A text as a shell takes it for one word.
fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Rules with the methods of the same place in one; where there are too many, rules for whole hosts.
fn merged(rules: &[String]) -> Vec<String> {
    let mut places: Vec<NetworkRule> = Vec::new();
    let mut add = |rule: NetworkRule| {
        let same = |known: &&mut NetworkRule| {
            (&known.scheme, &known.host, known.port, &known.path) == (&rule.scheme, &rule.host, rule.port, &rule.path)
        };
        match places.iter_mut().find(same) {
            Some(known) => {
                for method in rule.methods {
                    if !known.methods.contains(&method) {
                        known.methods.push(method);
                    }
                }
            }
            None => places.push(rule),
        }
    };
    let parsed: Vec<NetworkRule> = rules.iter().filter_map(|rule| NetworkRule::parse(rule).ok()).collect();
    let distinct: std::collections::BTreeSet<&String> = rules.iter().collect();
    let whole_hosts = distinct.len() > RULES_MAX;
    for rule in parsed {
        add(if whole_hosts { NetworkRule { path: "/".to_owned(), ..rule } } else { rule });
    }
    places.iter().map(ToString::to_string).collect()
}

fn not_used(account: &Account, seen: &Seen, policy: &Policy, manifest: &Manifest) -> Vec<String> {
    let mut out: Vec<String> =
        policy.asked.iter().filter(|rule| !account.used(rule)).map(|rule| format!("network: {rule}")).collect();
    let credentials = manifest.asks.credentials.iter().filter(|asked| !account.credentials_used.contains(&asked.name));
    out.extend(credentials.map(|asked| format!("credentials: {}", asked.name)));
    if manifest.asks.git && !seen.git_used {
        out.push("git: true".to_owned());
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest() -> Manifest {
        let document = json!({
            "schema": 1, "name": "m", "version": "1.0.0", "ref_type": "m", "config": {"type": "object"},
            "asks": {"network": [{"host": "used.example"}, {"host": "idle.example"}], "credentials": [{"name": "idle"}], "git": true},
        });
        Manifest::parse(&document.to_string()).expect("a manifest")
    }

    fn denial(lacks: Vec<Lack>) -> Denial {
        Denial { method: "GET".into(), url: "http://h/".into(), lacks, told: "no".into(), count: 1 }
    }

    #[test]
    fn what_is_lacking_can_be_pasted() {
        let rule = |text: &str| Lack::Granted(text.to_owned());
        let denials = vec![
            denial(vec![rule("http://127.0.0.1:80/a GET"), Lack::PrivateHost("127.0.0.1".into())]),
            denial(vec![rule("http://127.0.0.1:80/a POST")]),
            denial(vec![
                Lack::Asked("https://odd.example/x GET".into()),
                Lack::Credential { name: "my-token".into(), host: "odd.example".into() },
            ]),
        ];
        let account = Account { denials, ..Account::default() };
        let permissions = Permissions::of(&account, &Seen::default(), &Policy::default(), &manifest());
        assert_eq!(
            permissions.grants_yaml,
            "grants:\n  network:\n    - \"http://127.0.0.1/a GET,POST\"\n  private_hosts:\n    - \"127.0.0.1\"\n  credentials:\n    \
             \"my-token\": {env: MY_TOKEN, bearer: true, hosts: [\"odd.example\"]}\n"
        );
        assert_eq!(
            permissions.flags,
            [
                "--allow 'http://127.0.0.1/a GET,POST'",
                "--allow-private '127.0.0.1'",
                "--credential 'my-token=env:MY_TOKEN@odd.example'",
            ]
        );
        assert_eq!(permissions.not_asked, ["credentials: my-token", "network: https://odd.example/x GET"]);
        assert_eq!(permissions.not_used, ["credentials: idle", "git: true"]);
    }

    #[test]
    fn a_credential_for_another_host_keeps_what_it_is() {
        let basic = Credential {
            source: SecretSource::Env("MINE".to_owned()),
            exchange: None,
            placement: Placement::Basic { username: "me".to_owned() },
            hosts: vec!["a.example".to_owned()],
            paths: Vec::new(),
        };
        let policy = Policy { credentials: BTreeMap::from([("idle".to_owned(), basic)]), ..Policy::default() };
        let lack = Lack::CredentialHost { name: "idle".into(), host: "b.example".into() };
        let account = Account { denials: vec![denial(vec![lack])], ..Account::default() };
        let permissions = Permissions::of(&account, &Seen::default(), &policy, &manifest());
        let form = r#"{env: "MINE", basic: {username: "me"}, hosts: ["a.example", "b.example"]}"#;
        assert_eq!(permissions.grants_yaml, format!("grants:\n  credentials:\n    \"idle\": {form}\n"));
        assert_eq!(permissions.flags, [format!("--credential 'idle={form}'")]);
    }

    #[test]
    fn a_credential_for_other_paths_is_told_with_both() {
        let setting = |granted: &[&str]| Credential {
            source: SecretSource::Written {
                place: "config.idle".to_owned(),
                value: crate::config::WrittenSecret::new("never shown".to_owned()),
            },
            exchange: None,
            placement: Placement::Body { placeholder: "secret:/idle".to_owned(), paths: Vec::new() },
            hosts: vec!["a.example".to_owned()],
            paths: granted.iter().map(|path| (*path).to_owned()).collect(),
        };
        let lack =
            |path: &str| Lack::CredentialPath { name: "idle".into(), host: "b.example".into(), path: path.to_owned() };
        for (granted, expected) in [
            (&[][..], r#"{body: true, hosts: ["b.example"], paths: ["/hooks", "/x/*"]}"#),
            (&["/old"][..], r#"{body: true, hosts: ["a.example", "b.example"], paths: ["/old", "/hooks", "/x/*"]}"#),
        ] {
            let policy =
                Policy { credentials: BTreeMap::from([("idle".to_owned(), setting(granted))]), ..Policy::default() };
            let account = Account {
                denials: vec![
                    denial(vec![lack("/hooks")]),
                    denial(vec![lack("/x/*")]),
                    denial(vec![Lack::AskedPath { name: "idle".into(), path: "/y".into() }]),
                ],
                ..Account::default()
            };
            let permissions = Permissions::of(&account, &Seen::default(), &policy, &manifest());
            assert_eq!(permissions.grants_yaml, format!("grants:\n  credentials:\n    \"idle\": {expected}\n"));
            assert_eq!(permissions.flags, [format!("--credential 'idle={expected}'")]);
            assert_eq!(permissions.not_asked, ["credentials: idle, in bodies at: /y"]);
        }
    }

    #[test]
    fn too_many_rules_become_rules_for_hosts() {
        let rules: Vec<String> = (0..=RULES_MAX).map(|i| format!("https://a.example/{i} GET")).collect();
        assert_eq!(merged(&rules), ["https://a.example GET"]);
        assert_eq!(merged(&rules[1..]).len(), RULES_MAX);
    }
}

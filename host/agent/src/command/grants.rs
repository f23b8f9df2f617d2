//! What an integration asks for beside what the operator grants: what is granted, what is granted in part and what is
//! missing, each missing thing with the line to add. Only compares; who keeps to it is `egress`.

use serde::Serialize;

use super::manifest::{AskedCredential, AskedPlace, Manifest};
use crate::config::{Credential, Integration, NetworkRule, Placement};
use crate::egress::Policy;

/// How much of something is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Granted {
    Whole,
    /// Something narrower is.
    Part,
    Nothing,
}

/// One thing that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// The rule, or the credential's name.
    pub what: String,
    pub granted: Granted,
    /// What to add below the integration's `grants` in agent.yaml; none where all of it is granted.
    pub add: Option<String>,
}

/// All that is asked for, and all that is granted and not asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Review {
    pub network: Vec<Asked>,
    pub credentials: Vec<Asked>,
    /// Rules and credentials that the operator grants and the manifest does not ask for: they have no effect.
    pub not_asked: Vec<String>,
}

impl Review {
    /// The lines to add to agent.yaml, below the integration; none where nothing is missing altogether.
    #[must_use]
    pub fn paste(&self) -> Option<String> {
        let lines = |asked: &[Asked]| -> Vec<String> {
            let missing = asked.iter().filter(|asked| asked.granted == Granted::Nothing);
            missing.filter_map(|asked| asked.add.clone()).collect()
        };
        let (network, credentials) = (lines(&self.network), lines(&self.credentials));
        if network.is_empty() && credentials.is_empty() {
            return None;
        }
        let mut out = "grants:".to_owned();
        if !network.is_empty() {
            out.push_str("\n  network:");
            network.iter().for_each(|rule| out.push_str(&format!("\n    - \"{rule}\"")));
        }
        if !credentials.is_empty() {
            out.push_str("\n  credentials:");
            credentials.iter().for_each(|line| out.push_str(&format!("\n    {line}")));
        }
        Some(out)
    }
}

/// Compares what a manifest asks for, its rules filled in, with what is granted.
#[must_use]
pub fn review(manifest: &Manifest, policy: &Policy, integration: &Integration) -> Review {
    let granted = &policy.granted;
    let network = policy
        .asked
        .iter()
        .map(|rule| {
            let how = how_much(rule, granted);
            Asked { what: rule.to_string(), granted: how, add: (how != Granted::Whole).then(|| rule.to_string()) }
        })
        .collect();
    let credentials = manifest.asks.credentials.iter().map(|asked| {
        // By name, or by the setting that holds it.
        let is_there = policy.credentials.contains_key(&asked.name);
        let add = (!is_there).then(|| credential_line(&asked.name, &policy.asked));
        let granted = if is_there { Granted::Whole } else { Granted::Nothing };
        Asked { what: asked.name.clone(), granted, add }
    });
    Review { network, credentials: credentials.collect(), not_asked: not_asked(manifest, policy, integration) }
}

fn not_asked(manifest: &Manifest, policy: &Policy, integration: &Integration) -> Vec<String> {
    let idle = policy.granted.iter().filter(|rule| policy.asked.iter().all(|asked| !overlap(asked, rule)));
    let mut found: Vec<String> = idle.map(|rule| format!("network {rule}")).collect();
    let is_body = |asked: &&AskedCredential| matches!(asked.place, Some(AskedPlace::Body { .. }));
    let bodies = || manifest.asks.credentials.iter().filter(is_body);
    let idle = integration.grants.fills.keys().filter(|name| bodies().all(|asked| asked.name != **name));
    found.extend(idle.map(|name| format!("credential {name} in bodies")));
    // A repository may use any credential of its integration.
    if !manifest.asks.git {
        let unused = |name: &&String| manifest.asks.credentials.iter().all(|asked| asked.name != **name);
        found.extend(integration.grants.credentials.keys().filter(unused).map(|name| format!("credential {name}")));
    }
    found
}

fn credential_line(name: &str, asked: &[NetworkRule]) -> String {
    let variable: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    let mut hosts: Vec<&str> = asked.iter().map(|rule| rule.host.as_str()).collect();
    hosts.dedup();
    let hosts = if hosts.is_empty() { "HOST".to_owned() } else { hosts.join("\", \"") };
    format!("{name}: {{env: {variable}, bearer: true, hosts: [\"{hosts}\"]}}")
}

/// The credentials that go into bodies and of which nothing says for which paths: they go nowhere. Each with the line to add.
#[must_use]
pub fn unbound(policy: &Policy) -> Vec<(String, String)> {
    let is_unbound = |credential: &Credential| match &credential.placement {
        Placement::Body { paths, .. } => paths.is_empty() && credential.paths.is_empty(),
        _ => false,
    };
    let unbound = policy.credentials.iter().filter(|(_, credential)| is_unbound(credential));
    let line = |(name, credential): (&String, &Credential)| {
        let hosts = if credential.hosts.is_empty() { "HOST".to_owned() } else { credential.hosts.join("\", \"") };
        (name.clone(), format!("{name}: {{body: true, hosts: [\"{hosts}\"], paths: [/PATH]}}"))
    };
    unbound.map(line).collect()
}

/// How much of one rule others grant together.
pub(super) fn how_much(asked: &NetworkRule, granted: &[NetworkRule]) -> Granted {
    let places: Vec<&NetworkRule> = granted.iter().filter(|rule| covers_place(rule, asked)).collect();
    let method = |method: &String| places.iter().any(|rule| rule.methods.is_empty() || rule.methods.contains(method));
    let whole = match asked.methods.as_slice() {
        [] => places.iter().any(|rule| rule.methods.is_empty()),
        methods => methods.iter().all(method),
    };
    match () {
        () if whole => Granted::Whole,
        () if granted.iter().any(|rule| overlap(asked, rule)) => Granted::Part,
        () => Granted::Nothing,
    }
}

/// Whether each place of `asked` is one of `granted`.
fn covers_place(granted: &NetworkRule, asked: &NetworkRule) -> bool {
    granted.scheme == asked.scheme
        && granted.port == asked.port
        && covers_host(&granted.host, &asked.host)
        && covers_path(&granted.path, &asked.path)
}

/// Whether some request is within both.
fn overlap(a: &NetworkRule, b: &NetworkRule) -> bool {
    let methods = a.methods.is_empty() || b.methods.is_empty() || a.methods.iter().any(|m| b.methods.contains(m));
    let hosts = covers_host(&a.host, &b.host) || covers_host(&b.host, &a.host);
    let paths = covers_path(&a.path, &b.path) || covers_path(&b.path, &a.path);
    a.scheme == b.scheme && a.port == b.port && methods && hosts && paths
}

fn covers_host(pattern: &str, host: &str) -> bool {
    let Some(parent) = pattern.strip_prefix("*.") else { return pattern == host };
    // A wildcard stands for names below its own, and for narrower wildcards.
    let name = host.strip_prefix("*.").unwrap_or(host);
    let below = name.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
    below || (host.starts_with("*.") && name == parent)
}

/// Whether what a path stands for is within what another stands for, both as texts.
pub(super) fn covers_path(prefix: &str, path: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.trim_end_matches('/').strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> NetworkRule {
        NetworkRule::parse(text).expect("a rule")
    }

    #[test]
    fn how_much_is_granted() {
        for (asked, granted, expected) in [
            ("https://a.com GET", &["https://a.com"][..], Granted::Whole),
            ("https://a.com/api/v1 GET", &["https://a.com/api GET,POST"], Granted::Whole),
            ("https://a.com GET,POST", &["https://a.com GET", "https://a.com POST"], Granted::Whole),
            ("https://x.a.com", &["https://*.a.com"], Granted::Whole),
            ("https://*.b.a.com", &["https://*.a.com"], Granted::Whole),
            ("https://*.a.com", &["https://*.a.com"], Granted::Whole),
            ("https://a.com", &["https://a.com GET"], Granted::Part),
            ("https://a.com GET,POST", &["https://a.com GET"], Granted::Part),
            ("https://a.com", &["https://a.com/api"], Granted::Part),
            ("https://*.a.com", &["https://x.a.com"], Granted::Part),
            ("https://a.com", &["https://*.a.com"], Granted::Nothing),
            ("https://a.com", &["http://a.com", "https://a.com:8443", "https://b.com"], Granted::Nothing),
            ("https://a.com/api", &["https://a.com/apis"], Granted::Nothing),
            ("https://a.com GET", &["https://a.com POST"], Granted::Nothing),
            ("https://a.com", &[], Granted::Nothing),
        ] {
            let granted: Vec<NetworkRule> = granted.iter().map(|text| rule(text)).collect();
            assert_eq!(how_much(&rule(asked), &granted), expected, "{asked} of {granted:?}");
        }
    }

    #[test]
    fn a_secret_for_bodies_without_paths_is_told_with_its_line() {
        let of = |asked: &[&str], granted: &[&str]| {
            let all = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
            let credential = Credential {
                source: crate::config::SecretSource::Env("HOOK".to_owned()),
                exchange: None,
                placement: Placement::Body { placeholder: "secret:/hook".to_owned(), paths: all(asked) },
                hosts: vec!["a.com".to_owned()],
                paths: all(granted),
            };
            unbound(&Policy { credentials: [("hook".to_owned(), credential)].into(), ..Policy::default() })
        };
        assert_eq!(
            of(&[], &[]),
            [("hook".to_owned(), r#"hook: {body: true, hosts: ["a.com"], paths: [/PATH]}"#.to_owned())]
        );
        assert!(of(&["/hooks"], &[]).is_empty() && of(&[], &["/hooks"]).is_empty());
    }

    #[test]
    fn what_is_missing_can_be_pasted() {
        let missing = |what: &str, add: &str| Asked {
            what: what.to_owned(),
            granted: Granted::Nothing,
            add: Some(add.to_owned()),
        };
        let review = Review {
            network: vec![missing("https://a.com GET", "https://a.com GET")],
            credentials: vec![missing("api-token", &credential_line("api-token", &[rule("https://a.com GET")]))],
            not_asked: Vec::new(),
        };
        let paste = review.paste().expect("something is missing");
        assert_eq!(
            paste,
            "grants:\n  network:\n    - \"https://a.com GET\"\n  credentials:\n    api-token: {env: API_TOKEN, bearer: true, hosts: [\"a.com\"]}"
        );
    }
}

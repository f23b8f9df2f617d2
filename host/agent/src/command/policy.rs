//! What one integration may reach: what its manifest asks for and what the operator grants, side by side, for `egress` to
//! hold each request against both. Rules that name a field of the configuration are filled in here.

use std::collections::BTreeMap;

use serde_json::Value;
use url::Url;

use super::manifest::{AskedCredential, AskedPlace, AskedRule, Manifest};
use super::marked::{Marked, placeholder};
use crate::config::{Credential, Integration, NetworkRule, Placement, parse_path};
use crate::egress::Policy;

/// Rules that one manifest may come to when the configuration is filled in: a list of servers, not a list of pages.
const RULES_MAX: usize = 4096;

/// How a rule names a field of the configuration.
const CONFIG_OPEN: &str = "{config:";
const CONFIG_CLOSE: char = '}';
/// The segment of such a pointer that stands for each element of an array.
const EACH: &str = "*";

/// The policy of a configured integration. `marked` are the secrets that were taken out of its configuration.
pub(super) fn policy(manifest: &Manifest, integration: &Integration, marked: &[Marked]) -> Policy {
    let grants = &integration.grants;
    let rules = manifest.asks.network.iter().flat_map(|rule| fill_in(rule, &integration.config));
    let mut asked: Vec<NetworkRule> = Vec::new();
    for rule in rules.take(RULES_MAX) {
        // Several repositories of one server come to the same rule.
        if !asked.contains(&rule) {
            asked.push(rule);
        }
    }
    let used = |name: &str| manifest.asks.credentials.iter().any(|asked| asked.name == name);
    let granted = grants.credentials.iter().filter(|(name, _)| used(name));
    let mut credentials: BTreeMap<String, Credential> = granted.map(|(n, c)| (n.clone(), c.clone())).collect();
    for credential in &manifest.asks.credentials {
        // What is granted by name goes before.
        if !credentials.contains_key(&credential.name)
            && let Some(mut found) = of_setting(credential, marked, &integration.config, &asked)
        {
            if let (Placement::Body { .. }, Some(fill)) = (&found.placement, grants.fills.get(&credential.name)) {
                (found.hosts, found.paths) = (fill.hosts.clone(), fill.paths.clone());
            }
            credentials.insert(credential.name.clone(), found);
        }
    }
    Policy {
        asked,
        granted: grants.network.clone(),
        private_hosts: grants.private_hosts.clone(),
        credentials,
        credentials_asked: manifest.asks.credentials.iter().map(|asked| asked.name.clone()).collect(),
    }
}

/// The credential that a setting holds. It may go where the manifest asks to go, and a request goes there only within what is
/// granted too: who writes a secret into an integration's own configuration means it for that integration's servers.
fn of_setting(asked: &AskedCredential, marked: &[Marked], config: &Value, rules: &[NetworkRule]) -> Option<Credential> {
    let setting = asked.setting.as_ref()?;
    let source = marked.iter().find(|marked| marked.pointer == *setting)?.source.clone();
    let placement = match asked.place.as_ref() {
        None | Some(AskedPlace::Bearer(_)) => Placement::Bearer,
        Some(AskedPlace::Basic { username }) => Placement::Basic { username: text_of(username, config) },
        Some(AskedPlace::Header { name, prefix }) => Placement::Header { name: name.clone(), prefix: prefix.clone() },
        Some(AskedPlace::Query { name }) => Placement::Query { name: name.clone() },
        Some(AskedPlace::Body { paths }) => Placement::Body {
            placeholder: placeholder(setting),
            paths: paths.iter().filter_map(|path| path_of(path, config)).collect(),
        },
    };
    let mut hosts: Vec<String> = rules.iter().map(|rule| rule.host.clone()).collect();
    hosts.sort();
    hosts.dedup();
    Some(Credential { source, exchange: None, placement, hosts, paths: Vec::new() })
}

/// A text, or the one that stands in the configuration where it says.
fn text_of(text: &str, config: &Value) -> String {
    let Some(pointer) = text.strip_prefix(CONFIG_OPEN).and_then(|rest| rest.strip_suffix(CONFIG_CLOSE)) else {
        return text.to_owned();
    };
    config.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A path of a manifest, in two: the place of the configuration whose URL it is below, and what follows.
pub(super) fn below_config(path: &str) -> (Option<&str>, &str) {
    let parts = path.strip_prefix(CONFIG_OPEN).and_then(|rest| rest.split_once(CONFIG_CLOSE));
    parts.map_or((None, path), |(pointer, rest)| (Some(pointer), rest))
}

/// The path, below the URL that stands in the configuration where it says; of what is no URL or has a path that no grant can hold,
/// there is none below. Where nothing is set, the integration's own server is meant, and it is the path itself.
fn path_of(path: &str, config: &Value) -> Option<String> {
    let (pointer, rest) = below_config(path);
    let Some(written) = pointer.and_then(|pointer| config.pointer(pointer)).filter(|value| !value.is_null()) else {
        return Some(rest.to_owned());
    };
    let url = Url::parse(written.as_str()?).ok()?;
    let path = format!("{}{rest}", url.path().trim_end_matches('/'));
    // A `*` of the configuration's is its own, and stands for nothing.
    (!url.path().contains('*')).then(|| parse_path(&path).ok()).flatten()
}

/// The policy for the repositories that an integration has exported. Which credential one of them needs stands with it, in
/// the configuration, and so in no manifest: what the operator grants this integration is there for its repositories.
pub(super) fn git_policy(policy: &Policy, integration: &Integration) -> Policy {
    let mut credentials = policy.credentials.clone();
    credentials.extend(integration.grants.credentials.clone());
    Policy { credentials, ..policy.clone() }
}

/// The rules that one rule of a manifest comes to with this configuration.
fn fill_in(rule: &AskedRule, config: &Value) -> Vec<NetworkRule> {
    let make = |scheme: &str, host: &str, port: u16| NetworkRule {
        scheme: scheme.to_owned(),
        host: bare_host(host).to_owned(),
        port,
        methods: rule.methods.clone(),
        path: rule.path.clone(),
    };
    let Some(pointer) = rule.host.strip_prefix(CONFIG_OPEN).and_then(|rest| rest.strip_suffix(CONFIG_CLOSE)) else {
        let scheme = rule.scheme.as_deref().unwrap_or("https");
        let port = rule.port.unwrap_or(if scheme == "http" { 80 } else { 443 });
        return vec![make(scheme, &rule.host, port)];
    };
    let mut values = Vec::new();
    find(config, pointer, &mut values);
    values
        .into_iter()
        .filter_map(|text| Url::parse(text).ok())
        // A path of this machine and the like: nothing to ask for.
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .filter_map(|url| Some(make(url.scheme(), url.host_str()?, url.port_or_known_default()?)))
        .collect()
}

/// A literal IPv6 address stands in a rule without its brackets.
fn bare_host(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// The texts at a JSON Pointer in which `*` stands for each element of an array.
fn find<'a>(value: &'a Value, pointer: &str, found: &mut Vec<&'a str>) {
    let Some(rest) = pointer.strip_prefix('/') else {
        found.extend(value.as_str());
        return;
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (segment, rest) = rest.split_at(end);
    match value {
        Value::Array(items) if segment == EACH => items.iter().for_each(|item| find(item, rest, found)),
        Value::Array(_) | Value::Object(_) => {
            if let Some(member) = value.pointer(&format!("/{segment}")) {
                find(member, rest, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(host: &str, config: &Value) -> Vec<String> {
        let rule = AskedRule { scheme: None, host: host.to_owned(), port: None, methods: vec![], path: "/".to_owned() };
        fill_in(&rule, config).iter().map(|rule| format!("{}|{}|{}", rule.scheme, rule.host, rule.port)).collect()
    }

    #[test]
    fn rules_are_filled_in_from_the_configuration() {
        let config = json!({
            "url": "http://Git.example.com:8080/a",
            "repos": [{"url": "https://a.com/x"}, {"url": "/srv/b"}, {"url": "https://[::1]/y"}, 7, {"url": 7}],
            "a/b": "https://slash.com",
        });
        for (host, expected) in [
            ("api.example.com", &["https|api.example.com|443"][..]),
            ("[::1]", &["https|::1|443"][..]),
            ("{config:/url}", &["http|git.example.com|8080"][..]),
            ("{config:/repos/*/url}", &["https|a.com|443", "https|::1|443"][..]),
            ("{config:/repos/0/url}", &["https|a.com|443"][..]),
            ("{config:/a~1b}", &["https|slash.com|443"][..]),
            ("{config:/none}", &[][..]),
            ("{config:/repos}", &[][..]),
            ("{config:/url/*}", &[][..]),
        ] {
            assert_eq!(rules(host, &config), expected, "{host}");
        }
    }

    #[test]
    fn ports_are_the_schemes() {
        let rule = |scheme: &str, port| AskedRule {
            scheme: Some(scheme.to_owned()),
            host: "a.com".to_owned(),
            port,
            methods: vec!["GET".to_owned()],
            path: "/api".to_owned(),
        };
        assert_eq!(fill_in(&rule("http", None), &json!({}))[0].port, 80);
        let made = &fill_in(&rule("http", Some(8443)), &json!({}))[0];
        assert_eq!((made.port, made.methods.as_slice(), made.path.as_str()), (8443, &["GET".to_owned()][..], "/api"));
    }

    #[test]
    fn a_repository_may_use_each_credential_that_is_granted() {
        let credential = crate::config::Credential {
            source: crate::config::SecretSource::Env("TOKEN".to_owned()),
            exchange: None,
            placement: crate::config::Placement::Bearer,
            hosts: vec!["a.com".to_owned()],
            paths: Vec::new(),
        };
        let grants = crate::config::Grants {
            credentials: [("origin".to_owned(), credential)].into(),
            ..crate::config::Grants::default()
        };
        let integration = Integration {
            name: "git".to_owned(),
            component: "git.wasm".into(),
            sha256: None,
            config: json!({}),
            grants,
            limits: crate::config::Limits::default(),
            skip_git: false,
        };
        let document =
            json!({"schema": 1, "name": "git", "version": "1.0.0", "ref_type": "git", "config": {"type": "object"}});
        let manifest = Manifest::parse(&document.to_string()).expect("a manifest");
        let asked = policy(&manifest, &integration, &[]);
        assert!(asked.credentials.is_empty(), "the manifest asks for none");
        assert!(git_policy(&asked, &integration).credentials.contains_key("origin"));
    }

    #[test]
    fn a_setting_for_bodies_goes_to_its_paths_and_where_the_operator_says() {
        let made = |url: Value, asked: Value, fill: Option<crate::config::Fill>| {
            let document = json!({
                "schema": 1, "name": "m", "version": "1.0.0", "ref_type": "m",
                "config": {"type": "object", "properties": {"hook": {"type": "string", "writeOnly": true}}},
                "asks": {
                    "network": [{"host": "a.test"}, {"host": "b.test"}],
                    "credentials": [{"name": "hook", "setting": "/hook", "place": {"body": asked}}],
                },
            });
            let manifest = Manifest::parse(&document.to_string()).expect("a manifest");
            let mut integration = Integration {
                name: "a".to_owned(),
                component: "a.wasm".into(),
                config: json!({"url": url, "hook": {"env": "HOOK"}}),
                grants: crate::config::Grants {
                    fills: fill.map(|fill| ("hook".to_owned(), fill)).into_iter().collect(),
                    ..crate::config::Grants::default()
                },
                limits: crate::config::Limits::default(),
                skip_git: false,
                sha256: None,
            };
            let marked = super::super::marked::take(&manifest.config, "a", &mut integration.config).expect("a source");
            policy(&manifest, &integration, &marked).credentials["hook"].clone()
        };
        let paths = json!({"paths": ["/hooks", "{config:/url}/api/*/hooks"]});
        for (url, expected) in [
            (json!(null), &["/hooks", "/api/*/hooks"][..]),
            (json!("https://a.test"), &["/hooks", "/api/*/hooks"]),
            (json!("https://a.test/git/"), &["/hooks", "/git/api/*/hooks"]),
            // What no grant can hold is no path: there is nothing below it.
            (json!("no URL"), &["/hooks"]),
            (json!(7), &["/hooks"]),
            (json!("https://a.test/a%2fb"), &["/hooks"]),
            (json!("https://a.test/*"), &["/hooks"]),
        ] {
            let credential = made(url.clone(), paths.clone(), None);
            let expected = Placement::Body {
                placeholder: "secret:/hook".to_owned(),
                paths: expected.iter().map(|path| (*path).to_owned()).collect(),
            };
            assert_eq!((credential.placement, credential.paths), (expected, Vec::new()), "{url}");
        }
        let fill = crate::config::Fill { hosts: vec!["a.test".to_owned()], paths: vec!["/hooks/mine".to_owned()] };
        let narrowed = made(json!(null), paths, Some(fill.clone()));
        assert_eq!((narrowed.hosts, narrowed.paths), (fill.hosts.clone(), fill.paths.clone()));
        assert!(matches!(narrowed.placement, Placement::Body { paths, .. } if paths.len() == 2));
        let named = made(json!(null), json!({}), Some(fill));
        assert!(matches!(named.placement, Placement::Body { paths, .. } if paths.is_empty()));
        assert_eq!(made(json!(null), json!({}), None).paths, Vec::<String>::new());
    }

    #[test]
    fn a_marked_setting_is_a_credential_for_the_servers_that_are_asked_for() {
        let config = json!({"url": "https://a.test", "user": "me", "password": {"env": "PASSWORD"}});
        let document = json!({
            "schema": 1, "name": "m", "version": "1.0.0", "ref_type": "m",
            "config": {"type": "object", "properties": {"password": {"type": "string", "writeOnly": true}}},
            "asks": {
                "network": [{"host": "{config:/url}"}],
                "credentials": [{"name": "login", "setting": "/password", "place": {"basic": {"username": "{config:/user}"}}}],
            },
        });
        let manifest = Manifest::parse(&document.to_string()).expect("a manifest");
        let mut integration = Integration {
            name: "a".to_owned(),
            component: "a.wasm".into(),
            config,
            grants: crate::config::Grants::default(),
            limits: crate::config::Limits::default(),
            skip_git: false,
            sha256: None,
        };
        let marked = super::super::marked::take(&manifest.config, "a", &mut integration.config).expect("a source");
        let made = policy(&manifest, &integration, &marked);
        let login = &made.credentials["login"];
        assert_eq!(login.placement, Placement::Basic { username: "me".to_owned() });
        assert_eq!(login.source, crate::config::SecretSource::Env("PASSWORD".to_owned()));
        assert_eq!(login.hosts, ["a.test"]);
        assert!(login.paths.is_empty());
        // What the operator grants by that name goes before.
        let own = Credential { hosts: vec!["b.test".to_owned()], ..login.clone() };
        integration.grants.credentials.insert("login".to_owned(), own);
        assert_eq!(policy(&manifest, &integration, &marked).credentials["login"].hosts, ["b.test"]);
    }
}

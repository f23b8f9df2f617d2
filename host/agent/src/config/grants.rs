//! What an operator grants one integration, from its `grants`. Only judged here; `egress` and `git` keep to it.

use std::path::PathBuf;

use super::fault::{Faults, quoted};
use super::lift::{Paths, Section, boolean, list, text};
use super::read::{Node, Value};
use super::rule::{self, RuleFault};
use super::{Credential, Grants, NetworkRule, Placement, SecretSource};

pub(super) const GRANT_KEYS: &[&str] = &["network", "private_hosts", "git", "credentials"];
pub(super) const GIT_KEYS: &[&str] = &["paths"];
pub(super) const RULE_KEYS: &[&str] = &["scheme", "host", "port", "path", "methods"];
pub(super) const CREDENTIAL_KEYS: &[&str] = &["env", "file", "bearer", "basic", "header", "hosts"];
pub(super) const BASIC_KEYS: &[&str] = &["username"];
pub(super) const HEADER_KEYS: &[&str] = &["name", "prefix"];

/// Lifts the grants of one integration.
pub(super) fn lift(node: &Node, path: &str, place: &Paths<'_>, faults: &mut Faults) -> Option<Grants> {
    let section = Section::open(node, path, GRANT_KEYS, faults)?;
    let network =
        section.get("network").map_or(Some(Vec::new()), |(node, path)| each(node, &path, faults, network_rule));
    let private_hosts =
        section.get("private_hosts").map_or(Some(Vec::new()), |(node, path)| each(node, &path, faults, host));
    let git_paths = section.get("git").map_or(Some(Vec::new()), |(node, path)| git_paths(node, &path, place, faults));
    let mut credentials = std::collections::BTreeMap::new();
    if let Some((node, path)) = section.get("credentials") {
        let mend = "write a name and what it is: `origin: {env: TOKEN, bearer: true, hosts: [example.com]}`";
        for entry in Section::names(node, &path, mend, faults) {
            let path = super::lift::join(&path, &entry.key);
            if entry.key.is_empty() || entry.key.len() > 64 {
                let fault = format!("{} is not a name for a credential", quoted(&entry.key));
                faults.add(entry.at, &path, fault, "use 1 to 64 characters");
            }
            if let Some(credential) = credential(&entry.node, &path, place, faults) {
                credentials.insert(entry.key.clone(), credential);
            }
        }
    }
    Some(Grants { network: network?, private_hosts: private_hosts?, git_paths: git_paths?, credentials })
}

/// Every item of a list, or none if one is wrong; all are judged.
fn each<T>(
    node: &Node,
    path: &str,
    faults: &mut Faults,
    mut lift: impl FnMut(&Node, &str, &mut Faults) -> Option<T>,
) -> Option<Vec<T>> {
    let items = list(node, path, faults)?;
    let lifted: Vec<Option<T>> =
        items.iter().enumerate().map(|(index, item)| lift(item, &format!("{path}[{index}]"), faults)).collect();
    lifted.into_iter().collect()
}

/// Takes what a rule's parser says into the faults; the text that variables were put into is not repeated.
fn judged<T>(node: &Node, path: &str, result: Result<T, RuleFault>, faults: &mut Faults) -> Option<T> {
    let RuleFault { fault, mend } = match result {
        Ok(value) => return Some(value),
        Err(fault) => fault,
    };
    match &node.value {
        Value::Text(text) if text.written.is_some() => {
            faults.add(node.at, path, format!("what the variables in {} give is not acceptable", text.shown()), mend);
        }
        _ => faults.add(node.at, path, fault, mend),
    }
    None
}

fn host(node: &Node, path: &str, faults: &mut Faults) -> Option<String> {
    judged(node, path, rule::parse_host(text(node, path, faults)?), faults)
}

fn network_rule(node: &Node, path: &str, faults: &mut Faults) -> Option<NetworkRule> {
    if let Value::Text(text) = &node.value {
        return judged(node, path, NetworkRule::parse(&text.value), faults);
    }
    let section = Section::open(node, path, RULE_KEYS, faults)?;
    let word = |key: &str, faults: &mut Faults| match section.get(key) {
        Some((node, path)) => text(node, &path, faults).map(Some),
        None => Some(None),
    };
    let scheme = word("scheme", faults);
    let rule_path = word("path", faults);
    let host = section
        .require("host", "name the host: `host: api.github.com`", faults)
        .and_then(|(node, path)| text(node, &path, faults));
    let port = match section.get("port") {
        Some((node, path)) => port(node, &path, faults).map(Some),
        None => Some(None),
    };
    let method = |node: &Node, path: &str, faults: &mut Faults| {
        judged(node, path, rule::method(text(node, path, faults)?), faults)
    };
    let methods = match section.get("methods") {
        Some((node, path)) => each(node, &path, faults, method),
        None => Some(Vec::new()),
    };
    let rule = NetworkRule::from_parts(scheme?.unwrap_or("https"), host?, port?, rule_path?.unwrap_or("/"), methods?);
    judged(node, path, rule, faults)
}

fn port(node: &Node, path: &str, faults: &mut Faults) -> Option<u16> {
    let port = match &node.value {
        Value::Faulty => return None,
        Value::Number(number) => number.as_u64(),
        // A variable can only ever be a text.
        Value::Text(text) if text.written.is_some() => text.value.parse().ok(),
        _ => None,
    };
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    if port.is_none() {
        faults.add(node.at, path, "it is not a port", "write a number from 1 to 65535, without quotes");
    }
    port
}

fn git_paths(node: &Node, path: &str, place: &Paths<'_>, faults: &mut Faults) -> Option<Vec<PathBuf>> {
    let section = Section::open(node, path, GIT_KEYS, faults)?;
    let Some((node, path)) = section.get("paths") else { return Some(Vec::new()) };
    each(node, &path, faults, |node, path, faults| place.path(node, path, faults))
}

fn credential(node: &Node, path: &str, place: &Paths<'_>, faults: &mut Faults) -> Option<Credential> {
    let section = Section::open(node, path, CREDENTIAL_KEYS, faults)?;
    let source = section.one_of(&["env", "file"], faults).and_then(|(node, path, which)| match which {
        0 => variable(node, &path, faults),
        _ => place.path(node, &path, faults).map(SecretSource::File),
    });
    let placement =
        section.one_of(&["bearer", "basic", "header"], faults).and_then(|(node, path, which)| match which {
            0 => bearer(node, &path, faults),
            1 => basic(node, &path, faults),
            _ => header(node, &path, faults),
        });
    let mend = "list the hosts it may be sent to: `hosts: [api.github.com]`; it goes nowhere else";
    let hosts = section.require("hosts", mend, faults).and_then(|(node, path)| {
        let hosts = each(node, &path, faults, host)?;
        if hosts.is_empty() {
            faults.add(node.at, &path, "there is no host", mend);
            return None;
        }
        Some(hosts)
    });
    Some(Credential { source: source?, placement: placement?, hosts: hosts? })
}

fn variable(node: &Node, path: &str, faults: &mut Faults) -> Option<SecretSource> {
    let name = text(node, path, faults)?;
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(good) {
        // Somebody may have written the secret itself, or `${TOKEN}` and so its value: the text is not repeated.
        let mend =
            "write the variable's name alone, for example `env: GITHUB_TOKEN`; the value is read when it is needed";
        faults.add(node.at, path, "it is not the name of a variable", mend);
        return None;
    }
    Some(SecretSource::Env(name.to_owned()))
}

fn bearer(node: &Node, path: &str, faults: &mut Faults) -> Option<Placement> {
    if boolean(node, path, faults)? {
        return Some(Placement::Bearer);
    }
    faults.add(node.at, path, "the credential is not placed anywhere", "write `bearer: true`, or use basic or header");
    None
}

fn basic(node: &Node, path: &str, faults: &mut Faults) -> Option<Placement> {
    let section = Section::open(node, path, BASIC_KEYS, faults)?;
    let (node, path) = section.require("username", "give the user name; the secret is its password", faults)?;
    let username = text(node, &path, faults)?;
    if username.contains(':') || username.chars().any(char::is_control) {
        faults.add(node.at, &path, "a user name has no colon and no control character", "remove it");
        return None;
    }
    Some(Placement::Basic { username: username.to_owned() })
}

fn header(node: &Node, path: &str, faults: &mut Faults) -> Option<Placement> {
    let section = Section::open(node, path, HEADER_KEYS, faults)?;
    let (name_node, name_path) = section.require("name", "name the header field: `name: PRIVATE-TOKEN`", faults)?;
    let name = text(name_node, &name_path, faults)?;
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        // The whole field, secret and all, may be here: the text is not repeated.
        faults.add(name_node.at, &name_path, "it is not the name of a header field", "use letters, digits and -");
        return None;
    }
    let prefix = match section.get("prefix") {
        Some((node, path)) => {
            let prefix = text(node, &path, faults)?;
            if http::HeaderValue::from_str(prefix).is_err() {
                faults.add(node.at, &path, "a header field cannot hold this", "use printable characters");
                return None;
            }
            prefix
        }
        None => "",
    };
    Some(Placement::Header { name: name.to_owned(), prefix: prefix.to_owned() })
}

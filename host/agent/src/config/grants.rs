//! What an operator grants one integration, from its `grants`. Only judged here; `egress` and `git` keep to it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::fault::{Faults, quoted};
use super::lift::{Paths, Section, boolean, choice, integer, list, text};
use super::read::{Node, Value};
use super::rule::{self, RuleFault};
use super::{Credential, Exchange, Fill, GitHubApp, Grants, NetworkRule, OAuth2, OAuth2Flow, Placement, SecretSource};

pub(super) const GRANT_KEYS: &[&str] = &["network", "private_hosts", "git", "credentials"];
pub(super) const GIT_KEYS: &[&str] = &["paths"];
pub(super) const RULE_KEYS: &[&str] = &["scheme", "host", "port", "path", "methods"];
pub(super) const CREDENTIAL_KEYS: &[&str] = &[
    "secret",
    "env",
    "file",
    "command",
    "oauth2",
    "github_app",
    "bearer",
    "basic",
    "header",
    "query",
    "body",
    "hosts",
    "paths",
];
/// Where a value comes from: exactly one of these.
pub(super) const SOURCE_KEYS: &[&str] = &["secret", "env", "file", "command"];
pub(super) const BASIC_KEYS: &[&str] = &["username"];
pub(super) const HEADER_KEYS: &[&str] = &["name", "prefix"];
pub(super) const QUERY_KEYS: &[&str] = &["name"];
pub(super) const OAUTH2_KEYS: &[&str] = &["token_url", "client_id", "client_secret", "scopes", "flow"];
pub(super) const GITHUB_APP_KEYS: &[&str] = &["app_id", "installation_id", "api_url"];

/// Where GitHub's own API is; an Enterprise server has another.
const GITHUB_API: &str = "https://api.github.com";
/// Words of a command that gives a secret: a program, its flags, a name.
const COMMAND_WORDS_MAX: usize = 64;

/// Lifts the grants of one integration.
pub(super) fn lift(node: &Node, path: &str, place: &Paths<'_>, faults: &mut Faults) -> Option<Grants> {
    let section = Section::open(node, path, GRANT_KEYS, faults)?;
    let network =
        section.get("network").map_or(Some(Vec::new()), |(node, path)| each(node, &path, faults, network_rule));
    let private_hosts =
        section.get("private_hosts").map_or(Some(Vec::new()), |(node, path)| each(node, &path, faults, host));
    let git_paths = section.get("git").map_or(Some(Vec::new()), |(node, path)| git_paths(node, &path, place, faults));
    let (mut credentials, mut fills) = (BTreeMap::new(), BTreeMap::new());
    if let Some((node, path)) = section.get("credentials") {
        let mend = "write a name and what it is: `origin: {env: TOKEN, bearer: true, hosts: [example.com]}`";
        for entry in Section::names(node, &path, mend, faults) {
            let path = super::lift::join(&path, &entry.key);
            if entry.key.is_empty() || entry.key.len() > 64 {
                let fault = format!("{} is not a name for a credential", quoted(&entry.key));
                faults.add(entry.at, &path, fault, "use 1 to 64 characters");
            }
            match credential(&entry.node, &path, place, faults) {
                Some(Granted::Sent(credential)) => drop(credentials.insert(entry.key.clone(), *credential)),
                Some(Granted::Filled(fill)) => drop(fills.insert(entry.key.clone(), fill)),
                None => {}
            }
        }
    }
    Some(Grants { network: network?, private_hosts: private_hosts?, git_paths: git_paths?, credentials, fills })
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

/// What an entry of `credentials` grants.
enum Granted {
    Sent(Box<Credential>),
    Filled(Fill),
}

/// What has no place beside `body`: the value is that of a setting.
const NOT_BESIDE_BODY: &[&str] =
    &["secret", "env", "file", "command", "oauth2", "github_app", "bearer", "basic", "header", "query"];

fn credential(node: &Node, path: &str, place: &Paths<'_>, faults: &mut Faults) -> Option<Granted> {
    let section = Section::open(node, path, CREDENTIAL_KEYS, faults)?;
    if let Some((node, path)) = section.get("body") {
        return body(&section, node, &path, faults).map(Granted::Filled);
    }
    let paths = section.get("paths").map_or(Some(Vec::new()), |(node, path)| paths(node, &path, faults));
    let source = source(&section, place, faults);
    let exchange = exchange(&section, place, faults);
    let placement = match section.any_of(&["bearer", "basic", "header", "query"]) {
        // What is exchanged for goes as nearly everybody takes it.
        false if section.any_of(&["oauth2", "github_app"]) => Some(Placement::Bearer),
        _ => section.one_of(&["bearer", "basic", "header", "query"], faults).and_then(
            |(node, path, which)| match which {
                0 => bearer(node, &path, faults),
                1 => basic(node, &path, faults),
                2 => header(node, &path, faults),
                _ => query(node, &path, faults),
            },
        ),
    };
    let hosts = hosts(&section, faults);
    let (source, exchange, placement, hosts, paths) = (source?, exchange?, placement?, hosts?, paths?);
    Some(Granted::Sent(Box::new(Credential { source, exchange, placement, hosts, paths })))
}

fn hosts(section: &Section<'_>, faults: &mut Faults) -> Option<Vec<String>> {
    let mend = "list the hosts it may be sent to: `hosts: [api.github.com]`; it goes nowhere else";
    let (node, path) = section.require("hosts", mend, faults)?;
    let hosts = each(node, &path, faults, host)?;
    if hosts.is_empty() {
        faults.add(node.at, &path, "there is no host", mend);
        return None;
    }
    Some(hosts)
}

/// How paths are written, for mends.
const PATHS_FORM: &str = "list what paths begin with, `*` for any one segment: `paths: [/orgs/acme/hooks, /repos/*/*/hooks]`; it goes nowhere else";

fn paths(node: &Node, path: &str, faults: &mut Faults) -> Option<Vec<String>> {
    let one = |node: &Node, path: &str, faults: &mut Faults| {
        judged(node, path, rule::parse_path(text(node, path, faults)?), faults)
    };
    let paths = each(node, path, faults, one)?;
    if paths.is_empty() {
        faults.add(node.at, path, "there is no path", PATHS_FORM);
        return None;
    }
    Some(paths)
}

/// Where a setting's value may be put into bodies. Others may read what a server keeps: so it is said for which paths.
fn body(section: &Section<'_>, node: &Node, path: &str, faults: &mut Faults) -> Option<Fill> {
    let is_said = boolean(node, path, faults)?;
    if !is_said {
        faults.add(
            node.at,
            path,
            "the credential is not placed anywhere",
            "write `body: true`, or leave the entry out",
        );
    }
    let beside = NOT_BESIDE_BODY.iter().find_map(|key| section.get(key));
    if let Some((node, path)) = &beside {
        let mend = "leave it out: what is put into bodies is the value of the setting that the manifest names";
        faults.add(node.at, path, "it has no place beside `body`", mend);
    }
    let hosts = hosts(section, faults);
    let paths = section.require("paths", PATHS_FORM, faults).and_then(|(node, path)| paths(node, &path, faults));
    let fill = Fill { hosts: hosts?, paths: paths? };
    (is_said && beside.is_none()).then_some(fill)
}

/// Where a value comes from.
fn source(section: &Section<'_>, place: &Paths<'_>, faults: &mut Faults) -> Option<SecretSource> {
    let (node, path, which) = section.one_of(SOURCE_KEYS, faults)?;
    match which {
        0 => stored(node, &path, faults),
        1 => variable(node, &path, faults),
        2 => place.path(node, &path, faults).map(SecretSource::File),
        _ => command(node, &path, place, faults),
    }
}

fn stored(node: &Node, path: &str, faults: &mut Faults) -> Option<SecretSource> {
    let name = text(node, path, faults)?;
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
        // Somebody may have written the secret itself: the text is not repeated.
        let mend = "write the name that it was kept under: `secret: github`, after `agent secrets set github`";
        faults.add(node.at, path, "it is not the name of a secret", mend);
        return None;
    }
    Some(SecretSource::Stored(name.to_owned()))
}

/// A program and its arguments. One with a path is named from the configuration's folder; a bare one is looked for in PATH.
fn command(node: &Node, path: &str, place: &Paths<'_>, faults: &mut Faults) -> Option<SecretSource> {
    let mend = "write program and arguments as a list: `command: [pass, show, github]`; no shell reads it";
    if !matches!(node.value, Value::List(_) | Value::Faulty) {
        faults.add(node.at, path, "it is not a list", mend);
        return None;
    }
    let mut words = each(node, path, faults, |node, path, faults| text(node, path, faults).map(str::to_owned))?;
    if words.is_empty()
        || words.len() > COMMAND_WORDS_MAX
        || words[0].is_empty()
        || words.iter().any(|word| word.contains('\0'))
    {
        faults.add(node.at, path, "it names no program", mend);
        return None;
    }
    if words[0].contains('/') {
        words[0] = place.resolve(node.at, path, &words[0], faults)?.to_string_lossy().into_owned();
    }
    Some(SecretSource::Command(words))
}

/// What the value is exchanged for; the inner none where it is not.
fn exchange(section: &Section<'_>, place: &Paths<'_>, faults: &mut Faults) -> Option<Option<Exchange>> {
    if !section.any_of(&["oauth2", "github_app"]) {
        return Some(None);
    }
    let (node, path, which) = section.one_of(&["oauth2", "github_app"], faults)?;
    match which {
        0 => oauth2(node, &path, place, faults).map(|oauth2| Some(Exchange::OAuth2(oauth2))),
        _ => github_app(node, &path, faults).map(|app| Some(Exchange::GitHubApp(app))),
    }
}

fn oauth2(node: &Node, path: &str, place: &Paths<'_>, faults: &mut Faults) -> Option<OAuth2> {
    let section = Section::open(node, path, OAUTH2_KEYS, faults)?;
    let token_url = section
        .require(
            "token_url",
            "give the URL where tokens are given out: `token_url: https://example.com/oauth/token`",
            faults,
        )
        .and_then(|(node, path)| server_url(node, &path, faults));
    let client_id = section
        .require("client_id", "give the id that the client is registered under", faults)
        .and_then(|(node, path)| text(node, &path, faults).map(str::to_owned));
    let flow = match section.get("flow") {
        Some((node, path)) => match choice(node, &path, &["refresh_token", "client_credentials"], faults) {
            Some("client_credentials") => Some(OAuth2Flow::ClientCredentials),
            Some(_) => Some(OAuth2Flow::RefreshToken),
            None => None,
        },
        None => Some(OAuth2Flow::RefreshToken),
    };
    let client_secret = match section.get("client_secret") {
        Some((node, path)) if flow == Some(OAuth2Flow::ClientCredentials) => {
            faults.add(
                node.at,
                &path,
                "with client_credentials the credential's own value is the client's secret",
                "remove it",
            );
            None
        }
        Some((node, path)) => Section::open(node, &path, SOURCE_KEYS, faults)
            .and_then(|section| source(&section, place, faults))
            .map(Some),
        None => Some(None),
    };
    let scopes = match section.get("scopes") {
        Some((node, path)) => {
            each(node, &path, faults, |node, path, faults| text(node, path, faults).map(str::to_owned))
        }
        None => Some(Vec::new()),
    };
    Some(OAuth2 {
        token_url: token_url?,
        client_id: client_id?,
        client_secret: client_secret?,
        scopes: scopes?,
        flow: flow?,
    })
}

fn github_app(node: &Node, path: &str, faults: &mut Faults) -> Option<GitHubApp> {
    let section = Section::open(node, path, GITHUB_APP_KEYS, faults)?;
    let app_id = section
        .require("app_id", "give the app's id, or its client id: `app_id: \"123456\"`", faults)
        .and_then(|(node, path)| match &node.value {
            Value::Number(number) => number.as_u64().map(|number| number.to_string()),
            _ => text(node, &path, faults).map(str::to_owned),
        });
    let installation_id = section
        .require("installation_id", "give the number of the app's installation", faults)
        .and_then(|(node, path)| integer(node, &path, 1..=u64::MAX, faults));
    let api_url = match section.get("api_url") {
        Some((node, path)) => server_url(node, &path, faults),
        None => Some(GITHUB_API.to_owned()),
    };
    Some(GitHubApp {
        app_id: app_id?,
        installation_id: installation_id?,
        api_url: api_url?.trim_end_matches('/').to_owned(),
    })
}

/// A URL that secrets are sent to. Its text is not repeated: it may hold one.
fn server_url(node: &Node, path: &str, faults: &mut Faults) -> Option<String> {
    let value = text(node, path, faults)?;
    let url =
        url::Url::parse(value).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    let bare = url.filter(|url| {
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none()
    });
    if bare.is_none() {
        faults.add(
            node.at,
            path,
            "it is not a server's URL",
            "write https://host/path, without user, query and fragment",
        );
    }
    bare.map(String::from)
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

fn query(node: &Node, path: &str, faults: &mut Faults) -> Option<Placement> {
    let section = Section::open(node, path, QUERY_KEYS, faults)?;
    let (node, path) = section.require("name", "name the member of the query: `name: api_key`", faults)?;
    let name = text(node, &path, faults)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~[]".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        // The whole member, secret and all, may be here: the text is not repeated.
        faults.add(node.at, &path, "it is not the name of a query's member", "use letters, digits, - and _");
        return None;
    }
    Some(Placement::Query { name: name.to_owned() })
}

/// How a source is written where a configuration marks a secret, for mends.
const MARKED_FORM: &str = "write where it is: {secret: NAME} (kept with `agent secrets set NAME`), {env: VARIABLE}, {file: /whole/path} or {command: [program]}";

/// The source that stands in an integration's own configuration in the place of a secret: a mapping with one of
/// [`SOURCE_KEYS`], or the value itself. `place` names it in faults.
///
/// # Errors
/// What is wrong and what to do; the value is in neither.
pub fn marked_source(value: &serde_json::Value, place: &str) -> Result<SecretSource, String> {
    let members = match value {
        serde_json::Value::String(text) => {
            return Ok(SecretSource::Written {
                place: place.to_owned(),
                value: super::WrittenSecret::new(text.clone()),
            });
        }
        serde_json::Value::Object(members) => members,
        _ => return Err(format!("a secret is a text or says where it is; {MARKED_FORM}")),
    };
    let bad = || format!("it does not say where the secret is; {MARKED_FORM}");
    let mut entries = members.iter();
    let (Some((key, value)), None) = (entries.next(), entries.next()) else { return Err(bad()) };
    let text = value.as_str().filter(|text| !text.is_empty() && !text.contains('\0'));
    match (key.as_str(), text, value) {
        ("secret", Some(name), _) => Ok(SecretSource::Stored(name.to_owned())),
        ("env", Some(name), _) => Ok(SecretSource::Env(name.to_owned())),
        ("file", Some(path), _) if std::path::Path::new(path).is_absolute() => Ok(SecretSource::File(path.into())),
        ("command", None, serde_json::Value::Array(words)) if !words.is_empty() => {
            let words: Option<Vec<String>> = words.iter().map(|word| word.as_str().map(str::to_owned)).collect();
            words.map(SecretSource::Command).ok_or_else(bad)
        }
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_marked_secret_says_where_it_is_or_what() {
        let source = |value| marked_source(&value, "config.token of `a`");
        assert_eq!(source(json!({"env": "T"})), Ok(SecretSource::Env("T".into())));
        assert_eq!(source(json!({"secret": "t"})), Ok(SecretSource::Stored("t".into())));
        assert_eq!(source(json!({"file": "/etc/t"})), Ok(SecretSource::File("/etc/t".into())));
        assert_eq!(
            source(json!({"command": ["pass", "t"]})),
            Ok(SecretSource::Command(vec!["pass".into(), "t".into()]))
        );
        let written = source(json!("hunter2-hunter2"));
        assert!(matches!(&written, Ok(SecretSource::Written { .. })) && !format!("{written:?}").contains("hunter2"));
        for wrong in [
            json!(7),
            json!({}),
            json!({"env": "T", "file": "/t"}),
            json!({"file": "relative/hunter2"}),
            json!({"command": "hunter2"}),
            json!({"command": []}),
            json!({"value": "hunter2"}),
            json!(["hunter2"]),
        ] {
            let Err(why) = source(wrong.clone()) else { panic!("{wrong}") };
            assert!(why.contains("{secret: NAME}") && !why.contains("hunter2"), "{why}");
        }
    }
}

//! Grants, limits and configuration of one integration that is run alone, from flags and files of their own. The language is
//! agent.yaml's, and so are the faults; a flag stands for one entry there.

use std::path::Path;

use serde_json::Number;

use super::fault::{Faults, Place, quoted};
use super::interpolate::interpolate;
use super::lift::{self, LIMIT_KEYS, Paths, Section};
use super::load::{base_of, tree_of};
use super::read::{self, Entry, Form, Node, Text, Value};
use super::{ConfigError, Grants, Limits, NetworkRule, Surroundings, grants, rule};

/// What the flags of `run-wasm` grant.
#[derive(Debug, Clone, Default)]
pub struct GrantFlags<'a> {
    /// `--grants FILE`: the mapping `grants` of agent.yaml, or a mapping in which it stands.
    pub file: Option<&'a Path>,
    /// `--allow RULE`.
    pub allow: &'a [String],
    /// `--allow-private HOST`.
    pub private_hosts: &'a [String],
    /// `--credential NAME=…`.
    pub credentials: &'a [String],
}

/// The grants that flags and file give together.
///
/// # Errors
/// All that is wrong with them, each with flag or place and mend.
pub fn grants_of_flags(flags: &GrantFlags<'_>, around: &Surroundings) -> Result<Grants, ConfigError> {
    let mut faults = Faults::default();
    let mut granted = match flags.file {
        Some(file) => grants_in(file, around, &mut faults).unwrap_or_default(),
        None => Grants::default(),
    };
    faults.enter("--allow");
    for text in flags.allow {
        match NetworkRule::parse(text) {
            Ok(rule) => granted.network.push(rule),
            Err(fault) => faults.add(Place::default(), "", fault.fault, fault.mend),
        }
    }
    faults.enter("--allow-private");
    for text in flags.private_hosts {
        match rule::parse_host(text) {
            Ok(host) => granted.private_hosts.push(host),
            Err(fault) => faults.add(Place::default(), "", fault.fault, fault.mend),
        }
    }
    let hosts: Vec<String> = granted.network.iter().map(|rule| rule.host.clone()).collect();
    for text in flags.credentials {
        credential(text, &hosts, &mut granted, around, &mut faults);
    }
    faults.into_result(Some(granted))
}

fn grants_in(file: &Path, around: &Surroundings, faults: &mut Faults) -> Option<Grants> {
    let mut node = tree_of(file, around, faults)?;
    interpolate(&mut node, &around.variables, faults);
    let base = base_of(file, around);
    let place = Paths { base: &base, home: around.home.as_deref() };
    // As it is printed after a run, with `grants:` above it, or only what stands below that.
    let below = match &node.value {
        Value::Map(entries) => match &entries[..] {
            [only] if only.key == "grants" => Some(&only.node),
            _ => None,
        },
        _ => None,
    };
    match below {
        Some(below) => grants::lift(below, "grants", &place, faults),
        None => grants::lift(&node, "", &place, faults),
    }
}

/// How a credential is given, for mends.
const CREDENTIAL_FORM: &str = "write NAME=env:VARIABLE, NAME=file:PATH or NAME=secret:NAME, with @HOST behind it if it belongs to other hosts than \
    those of --allow; or as in agent.yaml: NAME={env: VARIABLE, basic: {username: me}, hosts: [example.com]}";

/// One `--credential`: `NAME={…}` as in agent.yaml, or short `NAME=env:VARIABLE[@HOST,HOST]`, which goes as a bearer token.
fn credential(text: &str, hosts: &[String], granted: &mut Grants, around: &Surroundings, faults: &mut Faults) {
    faults.enter("--credential");
    let Some((name, spec)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
        // The text is not repeated: somebody may have given the secret itself.
        return faults.add(Place::default(), "", "it has no name and `=`", CREDENTIAL_FORM);
    };
    let node = if spec.trim_start().starts_with('{') {
        read::read(spec.as_bytes(), Form::Yaml, faults)
    } else {
        short(name, spec, hosts, faults)
    };
    let Some(node) = node else { return };
    let entry = Entry { key: name.to_owned(), at: Place::default(), node };
    let credentials = map(vec![("credentials", map_of(vec![entry]))]);
    let place = Paths { base: &around.working_dir, home: around.home.as_deref() };
    if let Some(lifted) = grants::lift(&credentials, "", &place, faults) {
        granted.credentials.extend(lifted.credentials);
        granted.fills.extend(lifted.fills);
    }
}

fn short(name: &str, spec: &str, granted_hosts: &[String], faults: &mut Faults) -> Option<Node> {
    let (source, hosts) = match spec.rsplit_once('@') {
        Some((source, hosts)) => (source, hosts.split(',').map(str::to_owned).collect()),
        None => (spec, granted_hosts.to_vec()),
    };
    let Some((kind, value)) = source.split_once(':').filter(|(kind, _)| matches!(*kind, "env" | "file" | "secret"))
    else {
        faults.add(Place::default(), name, "it does not say where the value comes from", CREDENTIAL_FORM);
        return None;
    };
    if hosts.is_empty() {
        let mend = "name the hosts, NAME=env:VARIABLE@example.com, or allow a rule with --allow";
        faults.add(Place::default(), name, "it is not said to which hosts it may be sent", mend);
        return None;
    }
    let hosts = hosts.into_iter().map(|host| node(Value::Text(plain(host)))).collect();
    Some(map(vec![
        (kind, node(Value::Text(plain(value.to_owned())))),
        ("bearer", node(Value::Bool(true))),
        ("hosts", node(Value::List(hosts))),
    ]))
}

/// The limits that `--limits` gives: `memory=64MiB,cpu_time=5s`, with the names of agent.yaml.
///
/// # Errors
/// All that is wrong with it.
pub fn limits_of_flag(text: Option<&str>) -> Result<Limits, ConfigError> {
    let mut faults = Faults::default();
    faults.enter("--limits");
    let mut entries = Vec::new();
    for part in text.unwrap_or_default().split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((key, value)) = part.split_once('=') else {
            let mend =
                format!("write NAME=VALUE, for example memory=64MiB,cpu_time=5s; there are: {}", LIMIT_KEYS.join(", "));
            faults.add(Place::default(), "", format!("{} is no limit", quoted(part)), mend);
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        if entries.iter().any(|entry: &Entry| entry.key == key) {
            faults.add(Place::default(), key, "it is given twice", "give it once");
        }
        // A number is one, as it would be in YAML.
        let value = match value.parse::<Number>() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::Text(plain(value.to_owned())),
        };
        entries.push(Entry { key: key.to_owned(), at: Place::default(), node: node(value) });
    }
    let node = map_of(entries);
    let limits = Section::open(&node, "", LIMIT_KEYS, &mut faults)
        .map(|section| lift::limits(&section, &Limits::default(), &mut faults));
    faults.into_result(limits)
}

/// A configuration of an integration's own, from a file: YAML, or JSON where the name ends in `.json`.
///
/// # Errors
/// It cannot be read, or it is no mapping.
pub fn own_configuration(file: &Path, around: &Surroundings) -> Result<serde_json::Value, ConfigError> {
    let mut faults = Faults::default();
    let config = tree_of(file, around, &mut faults).and_then(|mut node| {
        interpolate(&mut node, &around.variables, &mut faults);
        lift::object(&node, "", &mut faults)
    });
    faults.into_result(config)
}

fn plain(value: String) -> Text {
    Text { value, written: None }
}

fn node(value: Value) -> Node {
    Node { at: Place::default(), value }
}

fn map(entries: Vec<(&str, Node)>) -> Node {
    map_of(entries.into_iter().map(|(key, node)| Entry { key: key.to_owned(), at: Place::default(), node }).collect())
}

fn map_of(entries: Vec<Entry>) -> Node {
    node(Value::Map(entries))
}

#[cfg(test)]
mod tests {
    use super::super::{Placement, SecretSource};
    use super::*;

    fn around() -> Surroundings {
        Surroundings {
            working_dir: "/home/somebody".into(),
            home: None,
            root: None,
            integrations_dirs: Vec::new(),
            variables: |_| None,
        }
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn flags_grant_what_they_say() {
        let (allow, private) = (strings(&["https://api.example.com GET"]), strings(&["LOCALHOST"]));
        let credentials = strings(&[
            "a=env:A",
            "b=file:secrets/b@one.example,two.example",
            "c={env: C, basic: {username: me}, hosts: [three.example]}",
        ]);
        let flags = GrantFlags { file: None, allow: &allow, private_hosts: &private, credentials: &credentials };
        let granted = grants_of_flags(&flags, &around()).expect("grants");
        assert_eq!(granted.network[0].to_string(), "https://api.example.com GET");
        assert_eq!(granted.private_hosts, ["localhost"]);
        let of = |name: &str| &granted.credentials[name];
        assert_eq!(of("a").hosts, ["api.example.com"]);
        assert!(
            matches!((&of("a").source, &of("a").placement), (SecretSource::Env(name), Placement::Bearer) if name == "A")
        );
        assert!(matches!(&of("b").source, SecretSource::File(path) if path == Path::new("/home/somebody/secrets/b")));
        assert_eq!(of("b").hosts, ["one.example", "two.example"]);
        assert!(matches!(&of("c").placement, Placement::Basic { username } if username == "me"));
    }

    #[test]
    fn all_faults_of_flags_are_told_at_once_and_no_secret_is() {
        let (allow, private) = (strings(&["api.example.com"]), strings(&["a b"]));
        let credentials =
            strings(&["hunter2", "a=hunter2", "b=env:hunter 2@h.example", "c=env:C", "d={env: D, bearer: true}"]);
        let flags = GrantFlags { file: None, allow: &allow, private_hosts: &private, credentials: &credentials };
        let error = grants_of_flags(&flags, &around()).expect_err("faults");
        let text = error.to_string();
        assert!(!text.contains("hunter"), "{text}");
        for said in [
            "--allow: `api.example.com` is not a rule",
            "--allow-private: `a b` is not a host",
            "a: it does not say",
            "not the name of a variable",
            "c: it is not said to which hosts",
            "credentials.d.hosts",
        ] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }

    #[test]
    fn limits_are_those_of_a_configuration() {
        let limits = limits_of_flag(Some("memory=64MiB, cpu_time=5s,handles=100")).expect("limits");
        assert_eq!((limits.memory_bytes_max, limits.cpu_time_max.as_secs(), limits.handles_max), (64 << 20, 5, 100));
        assert_eq!(limits_of_flag(None).expect("the defaults"), Limits::default());
        for (text, said) in [
            ("memory", "`memory` is no limit"),
            ("memry=64MiB", "did you mean `memory`"),
            ("memory=64", "memory"),
            ("memory=1B", "memory"),
            ("handles=many", "handles"),
            ("cpu_time=5s,cpu_time=6s", "given twice"),
        ] {
            let error = limits_of_flag(Some(text)).expect_err(text).to_string();
            assert!(error.contains(said) && error.contains("--limits"), "{text}: {error}");
        }
    }
}

//! What an operator agreed to when an integration was added: its file, by digest, and what it asks for. Kept in the root, a file
//! for each integration; what it asks for now is compared here with what was agreed to then. Who asks the operator is `app`.
//!
//! **Guarantees.** A consent is there whole or not at all: it is written beside its place, synced, and renamed. Whoever changes
//! one holds the lock of the folder from reading to writing, so that of two operators none undoes what the other did unseen.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::grants::{Granted, covers_path, how_much};
use super::manifest::{AskedCredential, AskedPlace, AskedRule, Asks, Manifest};
use super::policy::below_config;
use crate::config::{NetworkRule, is_integration_name};
use crate::files;
use crate::sandbox::{Anatomy, Link};
use crate::secrets::AskedSignature;

/// The version of the form in which consents are kept.
const VERSION: u32 = 1;
/// Bytes of one consent: a manifest's worth.
const CONSENT_BYTES_MAX: usize = 4 << 20;
/// Consents in one root, as integrations in one configuration.
const CONSENTS_MAX: usize = 1_000;
/// How long another process may take to change one: it writes one small file.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(10);

/// What an operator agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// The form of this document.
    pub version: u32,
    /// The name of the integration in agent.yaml.
    pub name: String,
    /// The file that was looked at.
    pub component: PathBuf,
    /// Its SHA-256, hexadecimal. Another file is not run under this name.
    pub digest: String,
    /// The integration's own name and version.
    pub integration: String,
    pub integration_version: String,
    pub wants: Wants,
    /// What of the network is granted by this.
    pub network: Network,
    /// RFC 3339.
    pub agreed_at: String,
}

/// What a component wants of the host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wants {
    /// The interfaces that it imports and that give it something, without their versions.
    pub imports: Vec<String>,
    pub asks: Asks,
    /// What it has the host keep from it.
    #[serde(default)]
    pub guards: Guards,
}

/// What a manifest has the host keep from its integration: a file that lacks one of these wants more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Guards {
    /// How webhooks are checked before it sees them.
    pub webhook_signature: Option<AskedSignature>,
    /// The settings whose values it never sees, as JSON Pointers.
    pub secrets: Vec<String>,
}

/// What of the network an operator grants when agreeing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// All that was asked for, filled in with the configuration.
    Asked,
    /// Only these rules, and of them what is asked for.
    Only(Vec<String>),
}

/// What a component wants beside what was agreed to, in words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Difference {
    /// What is new. Where there is any, consent is needed.
    pub more: Vec<String>,
    /// What is wanted no longer.
    pub less: Vec<String>,
}

/// A consent as it was read.
pub type Read = Result<Consent, ConsentError>;

/// Why an integration is not run as it was agreed to, or why that cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    #[error(
        "{} is not the file that was agreed to as `{name}` (sha256 {} then, {} now): see what changed with `agent integrations diff {name}`, and agree with `agent integrations add FILE --name {name}`, or put the old file back", file.display(), &.agreed[..12.min(.agreed.len())], &.found[..12.min(.found.len())]
    )]
    Changed { name: String, file: PathBuf, agreed: String, found: String },
    #[error("what was agreed to as `{name}` cannot be read: {}: {why}; agree again with `agent integrations add FILE --name {name}`, or put that file back from a backup", path.display())]
    Unreadable { name: String, path: PathBuf, why: String },
    #[error("what was agreed to cannot be kept: {}: {why}", path.display())]
    Unwritable { path: PathBuf, why: String },
    #[error("another process keeps {} locked; wait until it ends, and try again", .0.display())]
    Busy(PathBuf),
    #[error(
        "`{}` asks for too much to be agreed to: that takes {bytes} bytes, and {CONSENT_BYTES_MAX} are kept; its author has to ask for less", .name.escape_debug()
    )]
    TooLarge { name: String, bytes: usize },
    #[error("`{}` is not a name for an integration", crate::cut(.0, 64).escape_debug())]
    Name(String),
}

impl Wants {
    /// What a file and its manifest want.
    #[must_use]
    pub fn of(anatomy: &Anatomy, manifest: &Manifest) -> Wants {
        let gives = anatomy.imports.iter().filter(|import| import.link == Link::Offered);
        let mut imports: Vec<String> = gives.map(|import| interface(&import.name).to_owned()).collect();
        imports.sort();
        imports.dedup();
        let guards = Guards {
            webhook_signature: manifest.webhook_signature.clone(),
            // A manifest whose secrets cannot all be told was refused.
            secrets: super::marked::all(&manifest.config).unwrap_or_default(),
        };
        Wants { imports, asks: manifest.asks.clone(), guards }
    }

    /// Each thing in words.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.asks.network.iter().map(rule_words).collect();
        words.extend(self.asks.credentials.iter().map(credential_words));
        if self.asks.git {
            words.push(GIT.to_owned());
        }
        words.extend(self.imports.iter().filter_map(|name| import_words(name)));
        words
    }

    /// What this wants beside what was agreed to.
    #[must_use]
    pub fn beside(&self, agreed: &Wants) -> Difference {
        Difference { more: self.beyond(agreed), less: agreed.beyond(self) }
    }

    /// What of this is not within the other, in words.
    fn beyond(&self, other: &Wants) -> Vec<String> {
        let known: Vec<NetworkRule> = other.asks.network.iter().map(comparable).collect();
        let rules = self.asks.network.iter().filter(|rule| how_much(&comparable(rule), &known) != Granted::Whole);
        let mut words: Vec<String> = rules.map(rule_words).collect();
        let unknown = |asked: &&AskedCredential| !other.asks.credentials.iter().any(|known| is_agreed(asked, known));
        words.extend(self.asks.credentials.iter().filter(unknown).map(credential_words));
        if self.asks.git && !other.asks.git {
            words.push(GIT.to_owned());
        }
        let new = self.imports.iter().filter(|name| !other.imports.contains(name));
        words.extend(new.filter_map(|name| import_words(name)));
        let (own, theirs) = (&self.guards, &other.guards);
        if theirs.webhook_signature.is_some() && own.webhook_signature != theirs.webhook_signature {
            words.push("take webhooks whose signatures the host does not check as it did".to_owned());
        }
        let bare = theirs.secrets.iter().filter(|setting| !own.secrets.contains(setting));
        words.extend(bare.map(|setting| format!("be handed its setting {setting} in clear")));
        words
    }
}

const GIT: &str = "git repositories, which the host reads and exports for it";

/// An import without its version.
fn interface(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

/// What an interface lets a component do, where that is more than being there.
fn import_words(interface: &str) -> Option<String> {
    let words = match interface {
        "agent:integration/http" | "wasi:http/outgoing-handler" => {
            "send requests, within the rules above and no others"
        }
        "agent:integration/session" => "export records",
        "agent:integration/git" => "have repositories exported, if that is asked for above",
        "agent:integration/state" => "keep small values from one run to the next",
        "agent:integration/oauth" => "have its access tokens renewed; it never sees them",
        "agent:integration/control" => "say that it pauses, and ask for the URL of its webhooks",
        "agent:integration/log" => "write lines into the log",
        _ => return None,
    };
    Some(format!("{words} ({interface})"))
}

fn rule_words(rule: &AskedRule) -> String {
    let methods = match rule.methods.as_slice() {
        [] => "requests of every kind".to_owned(),
        methods if methods.iter().all(|method| method == "GET" || method == "HEAD") => {
            format!("reading ({})", methods.join(", "))
        }
        methods => format!("requests ({})", methods.join(", ")),
    };
    let server = match rule.host.strip_prefix("{config:").and_then(|rest| rest.strip_suffix('}')) {
        Some(pointer) => format!("the servers that its setting {pointer} names"),
        None => {
            let port = rule.port.map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{}{port}", rule.scheme.as_deref().unwrap_or("https"), rule.host)
        }
    };
    let below = if rule.path == "/" { String::new() } else { format!(", below {}", rule.path) };
    format!("{methods} at {server}{below}")
}

fn credential_words(asked: &AskedCredential) -> String {
    let place = match &asked.place {
        None | Some(AskedPlace::Bearer(_)) => "as a bearer token".to_owned(),
        Some(AskedPlace::Basic { .. }) => "as a password".to_owned(),
        Some(AskedPlace::Header { name, .. }) => format!("in the header {name}"),
        Some(AskedPlace::Query { name }) => format!("in the query, as {name}"),
        Some(AskedPlace::Body { paths }) if paths.is_empty() => {
            "in a body, for the server to keep, where agent.yaml says".to_owned()
        }
        Some(AskedPlace::Body { paths }) => {
            let paths: Vec<String> = paths.iter().map(|path| body_path_words(path)).collect();
            format!("in a body, for the server to keep, below {}", paths.join(" or "))
        }
    };
    let from =
        asked.setting.as_ref().map(|setting| format!(", from its setting {setting}, {place}")).unwrap_or_default();
    let description = if asked.description.is_empty() { String::new() } else { format!(": {}", asked.description) };
    format!("the credential `{}`{from}, put in by the host{description}", asked.name)
}

/// A path of bodies; one below a URL that a setting holds is told with the setting.
fn body_path_words(path: &str) -> String {
    match below_config(path) {
        (Some(pointer), path) => format!("{path} (of the URL in its setting {pointer})"),
        (None, path) => path.to_owned(),
    }
}

/// Whether a credential is one that was agreed to: what it is called and where it goes count; how it is described does not. One
/// that goes into bodies may do so below fewer paths.
fn is_agreed(asked: &AskedCredential, agreed: &AskedCredential) -> bool {
    let place = match (&asked.place, &agreed.place) {
        (Some(AskedPlace::Body { paths }), Some(AskedPlace::Body { paths: agreed })) if !paths.is_empty() => {
            let within = |path: &String| agreed.iter().any(|known| covers_path(known, path));
            paths.iter().all(within)
        }
        (asked, agreed) => asked == agreed,
    };
    place && (&asked.name, &asked.setting) == (&agreed.name, &agreed.setting)
}

/// A rule in the form in which rules are compared; a server that a setting names is compared by the setting.
fn comparable(rule: &AskedRule) -> NetworkRule {
    let scheme = rule.scheme.clone().unwrap_or_else(|| "https".to_owned());
    let port = rule.port.unwrap_or(if scheme == "http" { 80 } else { 443 });
    NetworkRule { scheme, host: rule.host.clone(), port, methods: rule.methods.clone(), path: rule.path.clone() }
}

/// The folder of the consents of a root.
#[must_use]
pub fn folder(root: &Path) -> PathBuf {
    root.join("integrations")
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.json"))
}

fn unwritable(path: &Path, fault: &std::io::Error) -> ConsentError {
    ConsentError::Unwritable { path: path.to_owned(), why: format!("{fault}; {}", files::mend_of(fault)) }
}

/// Files are named after integrations: what is no name of one never becomes a path.
fn checked(name: &str) -> Result<(), ConsentError> {
    if is_integration_name(name) { Ok(()) } else { Err(ConsentError::Name(name.to_owned())) }
}

/// Makes the folder where it is not there, and waits until nobody else may change what is in it. Blocks.
fn lock(folder: &Path) -> Result<File, ConsentError> {
    let failed = |error: std::io::Error| unwritable(folder, &error);
    files::make_folder(folder).map_err(failed)?;
    let file = folder.join(".lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(file).map_err(failed)?;
    let deadline = Instant::now() + LOCK_WAIT_MAX;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_POLL),
            Err(TryLockError::WouldBlock) => return Err(ConsentError::Busy(folder.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

impl Consent {
    /// A new one, of now.
    #[must_use]
    pub fn new(
        name: &str,
        component: &Path,
        digest: &str,
        manifest: &Manifest,
        wants: Wants,
        network: Network,
    ) -> Consent {
        let now = time::OffsetDateTime::now_utc();
        let now = now.replace_nanosecond(0).unwrap_or(now);
        Consent {
            version: VERSION,
            name: name.to_owned(),
            component: component.to_owned(),
            digest: digest.to_owned(),
            integration: manifest.name.clone(),
            integration_version: manifest.version.clone(),
            wants,
            network,
            agreed_at: now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default(),
        }
    }

    /// The rules that are granted by it; `asked` is what the manifest asks for, filled in.
    pub(super) fn rules(&self, asked: &[NetworkRule]) -> Vec<NetworkRule> {
        match &self.network {
            Network::Asked => asked.to_vec(),
            // They were judged when they were agreed to; one that is none any more grants nothing.
            Network::Only(rules) => rules.iter().filter_map(|rule| NetworkRule::parse(rule).ok()).collect(),
        }
    }

    /// The consent of this name, if there is one.
    ///
    /// # Errors
    /// It cannot be read, or is none: then nobody knows what was agreed to, and nothing is run.
    pub fn read(folder: &Path, name: &str) -> Result<Option<Consent>, ConsentError> {
        checked(name)?;
        let path = file(folder, name);
        let unreadable = |why: String| ConsentError::Unreadable { name: name.to_owned(), path: path.clone(), why };
        let bytes = match files::read(&path, CONSENT_BYTES_MAX as u64) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error.to_string())),
        };
        let consent: Consent = serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
        if consent.version != VERSION || consent.name != name {
            return Err(unreadable("it is of another version of the agent, or of another integration".to_owned()));
        }
        Ok(Some(consent))
    }

    /// All consents by name, those that cannot be read among them.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn all(folder: &Path) -> Result<Vec<(String, Read)>, ConsentError> {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unwritable(folder, &error)),
        };
        let name = |entry: std::fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".json").map(str::to_owned);
        let named = entries.filter_map(|entry| name(entry.ok()?)).filter(|name| is_integration_name(name));
        let mut names: Vec<String> = named.take(CONSENTS_MAX).collect();
        names.sort();
        Ok(names
            .into_iter()
            .filter_map(|name| Some((name.clone(), Consent::read(folder, &name).transpose()?)))
            .collect())
    }

    /// Keeps what `change` makes of the consent of this name, in the place of what was there, synced. It is told what is there
    /// now, or why that cannot be read; nobody else changes it meanwhile.
    ///
    /// # Errors
    /// `change` refuses, or the folder cannot be written. Then everything is as it was.
    pub fn change<E: From<ConsentError>>(
        folder: &Path,
        name: &str,
        change: impl FnOnce(Result<Option<Consent>, ConsentError>) -> Result<Consent, E>,
    ) -> Result<Consent, E> {
        checked(name)?;
        let _locked = lock(folder)?;
        let consent = change(Consent::read(folder, name))?;
        consent.write(folder)?;
        Ok(consent)
    }

    /// The folder is locked.
    fn write(&self, folder: &Path) -> Result<(), ConsentError> {
        checked(&self.name)?;
        // Nobody else writes it now; what a process that was killed has left there is written over.
        let (path, new) = (file(folder, &self.name), folder.join(format!(".{}.new", self.name)));
        let text = serde_json::to_string_pretty(self).map_err(|error| unwritable(&path, &error.into()))?;
        if text.len() > CONSENT_BYTES_MAX {
            return Err(ConsentError::TooLarge { name: self.name.clone(), bytes: text.len() });
        }
        files::replace(&path, &new, &[text.as_bytes()]).map_err(|error| unwritable(&path, &error))
    }

    /// Takes it back, readable or not. Says whether there was one.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(folder: &Path, name: &str) -> Result<bool, ConsentError> {
        checked(name)?;
        let path = file(folder, name);
        if !path.exists() {
            return Ok(false);
        }
        let _locked = lock(folder)?;
        files::remove(&path).map_err(|error| unwritable(&path, &error))
    }
}

/// Whether a file may be run under a name: where something was agreed to, it is that file.
///
/// # Errors
/// It is another, or what was agreed to cannot be read.
pub(super) fn check(
    folder: &Path,
    name: &str,
    component: &Path,
    digest: &str,
) -> Result<Option<Consent>, ConsentError> {
    let Some(consent) = Consent::read(folder, name)? else { return Ok(None) };
    if consent.digest == digest {
        return Ok(Some(consent));
    }
    Err(ConsentError::Changed {
        name: name.to_owned(),
        file: component.to_owned(),
        agreed: consent.digest,
        found: digest.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn wants(asks: Value, imports: &[&str]) -> Wants {
        let asks = serde_json::from_value(asks).expect("asks");
        let imports = imports.iter().map(|name| (*name).to_owned()).collect();
        Wants { imports, asks, guards: Guards::default() }
    }

    #[test]
    fn fewer_paths_of_bodies_are_agreed_to() {
        let of = |paths: &[&str]| {
            let body = if paths.is_empty() { json!({}) } else { json!({ "paths": paths }) };
            wants(json!({"credentials": [{"name": "hook", "setting": "/key", "place": {"body": body}}]}), &[])
        };
        for (agreed, now, more) in [
            (&["/a"][..], &["/a"][..], 0),
            (&["/a", "/b"], &["/b"], 0),
            (&["/repos/*"], &["/repos/*/*/hooks"], 0),
            (&["/a"], &["/a", "/b"], 1),
            (&["/a/hooks"], &["/a"], 1),
            (&["/a"], &["{config:/url}/a"], 1),
            (&["/"], &["{config:/url}/a"], 1),
            // What the operator alone bound is not what the manifest asks for.
            (&[], &["/a"], 1),
            (&["/a"], &[], 1),
            (&[], &[], 0),
        ] {
            assert_eq!(of(now).beside(&of(agreed)).more.len(), more, "{agreed:?} {now:?}");
        }
    }

    #[test]
    fn what_is_new_is_told_and_what_is_covered_is_not() {
        let agreed = wants(
            json!({
                "network": [{"host": "*.example.com", "methods": ["GET"]}, {"host": "{config:/url}"}],
                "credentials": [{"name": "token", "description": "old words"}],
            }),
            &["agent:integration/http", "agent:integration/session"],
        );
        let same = wants(
            json!({
                "network": [{"host": "api.example.com", "methods": ["GET"], "path": "/v1"}, {"host": "{config:/url}", "methods": ["POST"]}],
                "credentials": [{"name": "token", "description": "new words"}],
            }),
            &["agent:integration/http"],
        );
        let difference = same.beside(&agreed);
        assert_eq!(difference.more, Vec::<String>::new());
        assert_eq!(difference.less.len(), 3, "{difference:?}");
        for (asks, import, said) in [
            (
                json!({"network": [{"host": "api.example.com", "methods": ["GET", "DELETE"]}]}),
                "",
                "(GET, DELETE) at https://api.example.com",
            ),
            (json!({"network": [{"host": "evil.test"}]}), "", "requests of every kind at https://evil.test"),
            (
                json!({"network": [{"host": "{config:/other}", "methods": ["GET"]}]}),
                "",
                "reading (GET) at the servers that its setting /other names",
            ),
            (
                json!({"network": [{"host": "api.example.com", "scheme": "http", "methods": ["GET"]}]}),
                "",
                "http://api.example.com",
            ),
            (
                json!({"credentials": [{"name": "admin", "description": "all"}]}),
                "",
                "the credential `admin`, put in by the host: all",
            ),
            (
                json!({"credentials": [{"name": "token", "setting": "/key", "place": {"query": {"name": "k"}}}]}),
                "",
                "in the query, as k",
            ),
            (
                json!({"credentials": [{"name": "hook", "setting": "/key", "place": {"body": {"paths": ["/a/*/hooks", "{config:/url}/h"]}}}]}),
                "",
                "in a body, for the server to keep, below /a/*/hooks or /h (of the URL in its setting /url)",
            ),
            (
                json!({"credentials": [{"name": "hook", "setting": "/key", "place": {"body": {}}}]}),
                "",
                "for the server to keep, where agent.yaml says",
            ),
            (json!({"git": true}), "", "git repositories"),
            (json!({}), "agent:integration/state", "keep small values"),
        ] {
            let imports: Vec<&str> = Some(import).filter(|name| !name.is_empty()).into_iter().collect();
            let more = wants(asks, &imports).beside(&agreed).more;
            assert!(more.len() == 1 && more[0].contains(said), "{said}: {more:?}");
        }
    }

    #[test]
    fn an_import_that_gives_nothing_is_no_news() {
        let inert = wants(json!({}), &["wasi:clocks/wall-clock", "wasi:io/poll"]);
        assert_eq!(inert.beside(&Wants::default()), Difference::default());
        // What the host no longer keeps from it is more.
        let signed: AskedSignature =
            serde_json::from_value(json!({"setting": "/key", "token": {"header": "x"}})).expect("a signature");
        let guarded = |signature: Option<&AskedSignature>, secrets: &[&str]| Wants {
            guards: Guards {
                webhook_signature: signature.cloned(),
                secrets: secrets.iter().map(|setting| (*setting).to_owned()).collect(),
            },
            ..Wants::default()
        };
        let before = guarded(Some(&signed), &["/key", "/token"]);
        let bare = guarded(None, &["/key"]).beside(&before);
        assert_eq!(bare.more.len(), 2, "{bare:?}");
        assert!(bare.more[0].contains("does not check") && bare.more[1].contains("/token in clear"), "{bare:?}");
        let stricter = before.beside(&guarded(None, &[]));
        assert_eq!((stricter.more.len(), stricter.less.len()), (0, 3), "{stricter:?}");
        assert!(inert.words().is_empty());
    }

    fn consent(name: &str, network: Network) -> Consent {
        let manifest =
            json!({"schema": 1, "name": "m", "version": "1.2.3", "ref_type": "m", "config": {"type": "object"}});
        let manifest = Manifest::parse(&manifest.to_string()).expect("a manifest");
        Consent::new(name, Path::new("/a.wasm"), "d1", &manifest, Wants::default(), network)
    }

    fn keep(folder: &Path, consent: &Consent) -> Result<Consent, ConsentError> {
        Consent::change(folder, &consent.name.clone(), |_| Ok(consent.clone()))
    }

    #[test]
    fn a_consent_is_kept_and_holds_a_file_to_its_digest() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = folder(root.path());
        assert_eq!(check(&folder, "a", Path::new("a.wasm"), "d1"), Ok(None));
        let consent = consent("a", Network::Only(vec!["https://api.example.com GET".to_owned()]));
        keep(&folder, &consent).expect("it is kept");
        assert_eq!(check(&folder, "a", Path::new("a.wasm"), "d1"), Ok(Some(consent.clone())));
        let changed = check(&folder, "a", Path::new("a.wasm"), "d2").expect_err("another file").to_string();
        assert!(changed.contains("`agent integrations diff a`") && changed.contains("d2 now"), "{changed}");
        assert_eq!(consent.rules(&[])[0].to_string(), "https://api.example.com GET");
        assert_eq!(Consent::all(&folder).expect("one").len(), 1);
        assert_eq!(Consent::remove(&folder, "a"), Ok(true));
        assert_eq!(Consent::remove(&folder, "a"), Ok(false));
    }

    /// What cannot be read is not taken for nothing, and others are read all the same.
    #[test]
    fn what_is_no_consent_is_named_and_mended() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = folder(root.path());
        keep(&folder, &consent("b", Network::Asked)).expect("it is kept");
        let path = file(&folder, "a");
        let large = vec![b' '; CONSENT_BYTES_MAX + 1];
        let damages: [(&dyn Fn(), &str); 5] = [
            (&|| std::fs::write(&path, "{").expect("it can be written"), "EOF while parsing"),
            (&|| std::fs::write(&path, &large).expect("it can be written"), "it has more than 4194304 bytes"),
            (&|| assert!(std::fs::copy(file(&folder, "b"), &path).is_ok()), "of another integration"),
            (&|| crate::files::tests::pipe(&path), "it is a pipe, and is to be a file"),
            (&|| std::fs::create_dir(&path).expect("it can be made"), "it is a folder, and is to be a file"),
        ];
        for (damage, said) in damages {
            damage();
            let told = check(&folder, "a", Path::new("a.wasm"), "d1").expect_err(said).to_string();
            assert!(
                told.contains(said) && told.contains("agree again with `agent integrations add FILE --name a`"),
                "{told}"
            );
            let all = Consent::all(&folder).expect("the folder can be read");
            let read: Vec<(&str, bool)> = all.iter().map(|(name, read)| (name.as_str(), read.is_ok())).collect();
            assert_eq!(read, [("a", false), ("b", true)]);
            let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path));
        }
    }

    #[test]
    fn what_is_no_name_is_no_path() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = folder(root.path());
        for name in ["", ".", "..", ".a", "-x", "a/b", "../a", "a\0", "a b", &"x".repeat(65)] {
            let refused = ConsentError::Name(name.to_owned());
            assert_eq!(keep(&folder, &consent(name, Network::Asked)), Err(refused.clone()));
            assert_eq!(Consent::read(&folder, name), Err(refused.clone()));
            assert_eq!(Consent::remove(&folder, name), Err(refused));
        }
        assert!(!folder.exists(), "nothing is made for it");
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = folder(root.path());
        keep(&folder, &consent("a", Network::Asked)).expect("it is kept");
        let large = consent("a", Network::Only(vec!["x".repeat(CONSENT_BYTES_MAX)]));
        let told = keep(&folder, &large).expect_err("it is too large").to_string();
        assert!(told.contains("asks for too much to be agreed to"), "{told}");
        assert_eq!(Consent::read(&folder, "a").expect("it is whole").expect("it is there").network, Network::Asked);
    }

    /// Each adds one rule to what is there: none is lost, and nobody ever reads half a consent.
    #[test]
    fn writers_take_turns() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = folder(root.path());
        keep(&folder, &consent("a", Network::Only(Vec::new()))).expect("it is kept");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let folder = &folder;
                scope.spawn(move || {
                    for _ in 0..5 {
                        let changed = Consent::change(folder, "a", |now| -> Result<Consent, ConsentError> {
                            let mut now = now?.expect("it is there");
                            let Network::Only(rules) = &mut now.network else { panic!("it was narrowed") };
                            rules.push(format!("https://{number}.test"));
                            Ok(now)
                        });
                        changed.map(drop).unwrap_or_else(|why| panic!("{why}"));
                        assert!(Consent::read(folder, "a").expect("it is whole").is_some());
                    }
                });
            }
        });
        let Network::Only(rules) = Consent::read(&folder, "a").expect("whole").expect("there").network else {
            panic!("it was narrowed")
        };
        assert_eq!(rules.len(), 40);
        let left: Vec<_> =
            std::fs::read_dir(&folder).expect("ours").map(|entry| entry.expect("ours").file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }
}

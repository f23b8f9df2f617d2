//! From the tree of agent.yaml to the configuration: every setting judged, every fault named with its place, and none
//! of it twice. High: it knows the settings and nothing of YAML. `grants` lifts what an operator grants, `components`
//! finds the components; the two older forms of configuration are in `legacy`.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fault::{Faults, Place, nearest, quoted};
use super::read::{Entry, Node, Value};
use super::units;
use super::{
    CompileLimits, Compression, Config, ConfigFault, EgressSettings, GIT_MEMORY_BYTES_DEFAULT, Integration, Limits,
    Sink, Surroundings, Written, components, egress, grants,
};

// The keys of each mapping. `schemas/agent-config.json` has the same; a test holds the two together.
pub(super) const ROOT_KEYS: &[&str] = &["root", "customer_id", "skip_git", "integrations", "sink", "limits", "egress"];
pub(super) const SINK_KEYS: &[&str] = &["folder", "compression"];
pub(super) const INTEGRATION_KEYS: &[&str] = &["name", "component", "sha256", "config", "grants", "limits", "skip_git"];
pub(super) const LIMIT_KEYS: &[&str] =
    &["memory", "cpu_time", "wall_time", "hostcall", "handles", "output", "records", "staged"];
pub(super) const ROOT_LIMIT_KEYS: &[&str] = &[
    "outbox",
    "compile_memory",
    "compile_time",
    "git_memory",
    "memory",
    "cpu_time",
    "wall_time",
    "hostcall",
    "handles",
    "output",
    "records",
    "staged",
];

/// Bytes that may wait for the sink: enough for a first export of a large organization while the sink is away.
pub(super) const OUTBOX_BYTES_DEFAULT: u64 = 1 << 30;

/// Below the least of these nothing runs; above the greatest a typing error is likelier than a wish.
const OUTBOX_BYTES: RangeInclusive<u64> = 32 << 20..=1 << 44;
const GIT_MEMORY_BYTES: RangeInclusive<u64> = 64 << 20..=1 << 40;
const MEMORY_BYTES: RangeInclusive<u64> = 2 << 20..=64 << 30;
const COMPILE_MEMORY_BYTES: RangeInclusive<u64> = 128 << 20..=64 << 30;
const COMPILE_TIME: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
const CPU_TIME: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(7 * 86_400);
const WALL_TIME: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);
const HOSTCALL_BYTES: RangeInclusive<u64> = 64 << 10..=1 << 30;
const HANDLES: RangeInclusive<u64> = 16..=1 << 20;
const OUTPUT_BYTES: RangeInclusive<u64> = 1 << 20..=1 << 50;
const RECORDS: RangeInclusive<u64> = 1..=1 << 50;
const STAGED_BYTES: RangeInclusive<u64> = 16 << 20..=1 << 44;

/// Integrations of one agent: each holds memory and threads while it runs.
const INTEGRATIONS_MAX: usize = 1_000;

/// Bytes of a customer's id.
const CUSTOMER_ID_BYTES_MAX: usize = 256;

/// Lifts the tree of an agent.yaml. Paths in it are relative to `base`.
pub(super) fn lift(node: &Node, base: &Path, around: &Surroundings, faults: &mut Faults) -> Option<Config> {
    let top = Section::open(node, "", ROOT_KEYS, faults)?;
    let place = Paths { base, home: around.home.as_deref() };
    let root = root_in(&top, &place, around, faults);
    let customer_id =
        top.get("customer_id").and_then(|(node, path)| customer_id(node, &path, faults)).unwrap_or_default();
    let skip_git = top.get("skip_git").and_then(|(node, path)| boolean(node, &path, faults)).unwrap_or(false);
    let sink = match top.get("sink") {
        Some((node, path)) => sink(node, &path, &place, root.as_deref(), faults),
        None => root.as_deref().map(default_sink),
    };
    let mut outbox_bytes_max = OUTBOX_BYTES_DEFAULT;
    let mut git_memory_bytes_max = GIT_MEMORY_BYTES_DEFAULT;
    let mut compile = CompileLimits::default();
    let mut defaults = Limits::default();
    if let Some((node, path)) = top.get("limits")
        && let Some(section) = Section::open(node, &path, ROOT_LIMIT_KEYS, faults)
    {
        if let Some((node, path)) = section.get("outbox") {
            outbox_bytes_max = size(node, &path, OUTBOX_BYTES, faults).unwrap_or(outbox_bytes_max);
        }
        if let Some((node, path)) = section.get("git_memory") {
            git_memory_bytes_max = size(node, &path, GIT_MEMORY_BYTES, faults).unwrap_or(git_memory_bytes_max);
        }
        if let Some((node, path)) = section.get("compile_memory") {
            compile.memory_bytes_max =
                size(node, &path, COMPILE_MEMORY_BYTES, faults).unwrap_or(compile.memory_bytes_max);
        }
        if let Some((node, path)) = section.get("compile_time") {
            compile.cpu_time_max = duration(node, &path, COMPILE_TIME, faults).unwrap_or(compile.cpu_time_max);
        }
        defaults = limits(&section, &defaults, faults);
    }
    let egress = match top.get("egress") {
        Some((node, path)) => egress::lift(node, &path, &place, faults),
        None => Some(EgressSettings::default()),
    };
    let mend = "list at least one: `integrations: [{name: git, component: git}]`";
    let (node, path) = top.require("integrations", mend, faults)?;
    let Entries { integrations, written, absent } = integrations(node, &path, &place, around, &defaults, faults)?;
    let (root, sink, egress) = (root?, sink?, egress?);
    Some(Config {
        root,
        customer_id,
        skip_git,
        integrations,
        sink,
        outbox_bytes_max,
        git_memory_bytes_max,
        compile,
        egress,
        written,
        absent,
    })
}

/// The root that the tree of an agent.yaml names, or the default.
pub(super) fn root(node: &Node, base: &Path, around: &Surroundings, faults: &mut Faults) -> Option<PathBuf> {
    let top = Section::open(node, "", ROOT_KEYS, faults)?;
    root_in(&top, &Paths { base, home: around.home.as_deref() }, around, faults)
}

fn root_in(top: &Section<'_>, place: &Paths<'_>, around: &Surroundings, faults: &mut Faults) -> Option<PathBuf> {
    match (&around.root, top.get("root")) {
        (Some(root), _) => Some(root.clone()),
        (None, Some((node, path))) => place.path(node, &path, faults),
        (None, None) => default_root(around, faults),
    }
}

fn integrations(
    node: &Node,
    path: &str,
    place: &Paths<'_>,
    around: &Surroundings,
    defaults: &Limits,
    faults: &mut Faults,
) -> Option<Entries> {
    let items = list(node, path, faults)?;
    if items.is_empty() {
        faults.add(node.at, path, "there is no integration", "list at least one: `- {name: git, component: git}`");
        return None;
    }
    if items.len() > INTEGRATIONS_MAX {
        faults.add(
            node.at,
            path,
            format!("more than {INTEGRATIONS_MAX} integrations"),
            "spread them over several agents",
        );
        return None;
    }
    let mut names = Names::default();
    let mut written = Written::default();
    let mut absent = BTreeMap::new();
    let lifted: Vec<Option<Integration>> = items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let path = format!("{path}[{index}]");
            let (integration, missing) = integration(item, &path, place, around, defaults, &mut names, faults)?;
            written.note(&integration.name, faults.file(), item, &path);
            absent.extend(missing.map(|fault| (integration.name.clone(), fault)));
            Some(integration)
        })
        .collect();
    let integrations: Option<Vec<Integration>> = lifted.into_iter().collect();
    some_present(integrations, written, absent, faults)
}

/// The integrations of a configuration.
pub(super) struct Entries {
    pub integrations: Vec<Integration>,
    pub written: Written,
    pub absent: BTreeMap<String, ConfigFault>,
}

/// One whose component is not there leaves the others alone. Where there is none left, or where the configuration has
/// faults anyway, it is a fault of the configuration.
pub(super) fn some_present(
    integrations: Option<Vec<Integration>>,
    written: Written,
    absent: BTreeMap<String, ConfigFault>,
    faults: &mut Faults,
) -> Option<Entries> {
    let none_left = integrations.as_ref().is_none_or(|integrations| integrations.len() == absent.len());
    if none_left || !faults.none() {
        faults.extend(absent.values().cloned());
        return None;
    }
    Some(Entries { integrations: integrations?, written, absent })
}

fn integration(
    node: &Node,
    path: &str,
    place: &Paths<'_>,
    around: &Surroundings,
    defaults: &Limits,
    names: &mut Names,
    faults: &mut Faults,
) -> Option<(Integration, Option<ConfigFault>)> {
    let section = Section::open(node, path, INTEGRATION_KEYS, faults)?;
    let name = section
        .require("name", "give it a name of its own: `name: git`", faults)
        .and_then(|(node, path)| names.take(node.at, &path, text(node, &path, faults)?, faults));
    let component = section
        .require("component", "name its component: `component: git`, or give the path of a .wasm file", faults)
        .and_then(|(node, path)| {
            let text = text(node, &path, faults)?;
            Some(faults.aside(|faults| components::find(node.at, &path, text, place, around, faults)))
        });
    let sha256 = match section.get("sha256") {
        Some((node, path)) => Some(sha256(node, &path, faults)?),
        None => None,
    };
    let config = match section.get("config") {
        Some((node, path)) => object(node, &path, faults),
        None => Some(serde_json::Value::Object(serde_json::Map::new())),
    };
    let grants = match section.get("grants") {
        Some((node, path)) => grants::lift(node, &path, place, faults),
        None => Some(super::Grants::default()),
    };
    let limits = match section.get("limits") {
        Some((node, path)) => match Section::open(node, &path, LIMIT_KEYS, faults) {
            Some(section) => limits(&section, defaults, faults),
            None => defaults.clone(),
        },
        None => defaults.clone(),
    };
    let skip_git = section.get("skip_git").and_then(|(node, path)| boolean(node, &path, faults)).unwrap_or(false);
    let (component, absent) = present(component?);
    let absent = absent.into_iter().next();
    match name {
        Some(name) => {
            let (config, grants) = (config?, grants?);
            let integration = Integration { name, component, sha256, config, grants, limits, skip_git };
            Some((integration, absent))
        }
        None => {
            faults.extend(absent);
            None
        }
    }
}

/// A file's SHA-256 as `sha256sum` prints it.
fn sha256(node: &Node, path: &str, faults: &mut Faults) -> Option<String> {
    let value = text(node, path, faults)?;
    if value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(value.to_ascii_lowercase());
    }
    faults.add(
        node.at,
        path,
        "it is not a SHA-256",
        "write its 64 hexadecimal digits, as `sha256sum FILE` prints them",
    );
    None
}

/// The file that was found, or none and why.
pub(super) fn present(found: Result<PathBuf, Vec<ConfigFault>>) -> (PathBuf, Vec<ConfigFault>) {
    match found {
        Ok(file) => (file, Vec::new()),
        Err(faults) => (PathBuf::new(), faults),
    }
}

/// What a name of an integration may be, for people.
pub const NAME_MEND: &str = "use 1 to 64 of a-z A-Z 0-9 - _ . and begin with a letter, a digit or _";

/// Whether an integration may have this name: files are named after it, and it is typed behind commands.
#[must_use]
pub fn is_integration_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && name.len() <= 64 && name.chars().all(good) && !name.starts_with(['.', '-'])
}

/// The names taken so far.
#[derive(Default)]
pub(super) struct Names {
    /// In lower case, with the name as written and its line: folders are named after integrations, and some file systems
    /// do not tell case apart.
    taken: HashMap<String, (String, u32)>,
}

impl Names {
    /// Whether this is no name for an integration.
    #[allow(clippy::unused_self, reason = "it belongs to the judging of names")]
    pub fn would_refuse(&self, name: &str) -> bool {
        !is_integration_name(name)
    }

    /// Judges a name and takes it.
    pub fn take(&mut self, at: Place, path: &str, name: &str, faults: &mut Faults) -> Option<String> {
        if self.would_refuse(name) {
            let mend = NAME_MEND;
            faults.add(at, path, format!("{} is not a name for an integration", quoted(name)), mend);
            return None;
        }
        if let Some((first, line)) = self.taken.get(&name.to_ascii_lowercase()) {
            let fault = if first == name {
                format!("the name {} is taken by the integration on line {line}", quoted(name))
            } else {
                format!("the name {} differs only in case from {} on line {line}", quoted(name), quoted(first))
            };
            faults.add(at, path, fault, "give each integration a name of its own: cursors and files belong to it");
            return None;
        }
        self.taken.insert(name.to_ascii_lowercase(), (name.to_owned(), at.line));
        Some(name.to_owned())
    }
}

/// Judges a customer's id.
pub(super) fn customer_id(node: &Node, path: &str, faults: &mut Faults) -> Option<String> {
    let id = text(node, path, faults)?;
    if id.len() > CUSTOMER_ID_BYTES_MAX || id.chars().any(char::is_control) {
        let fault = format!("it is longer than {CUSTOMER_ID_BYTES_MAX} bytes or has control characters");
        faults.add(node.at, path, fault, "give the id as it was given to you");
        return None;
    }
    Some(id.to_owned())
}

/// `~/.agent`.
pub(super) fn default_root(around: &Surroundings, faults: &mut Faults) -> Option<PathBuf> {
    let root = around.home.as_ref().map(|home| home.join(".agent"));
    if root.is_none() {
        faults.add(Place::default(), "root", "there is no home folder to put the root in", "give `root`, or --root");
    }
    root
}

/// `<root>/out`.
pub(super) fn default_sink(root: &Path) -> Sink {
    Sink::Folder { path: root.join("out"), compression: Compression::None }
}

fn sink(node: &Node, path: &str, place: &Paths<'_>, root: Option<&Path>, faults: &mut Faults) -> Option<Sink> {
    let mend = "write `stdout`, or `{folder: ./out, compression: none}`";
    if let Value::Text(text) = &node.value {
        if text.value == "stdout" {
            return Some(Sink::Stdout);
        }
        faults.add(node.at, path, format!("{} is not a sink", text.shown()), mend);
        return None;
    }
    let section = Section::open(node, path, SINK_KEYS, faults)?;
    let compression = match section.get("compression") {
        Some((node, path)) => match choice(node, &path, &["none", "zstd"], faults) {
            Some("zstd") => Some(Compression::Zstd),
            Some(_) => Some(Compression::None),
            None => None,
        },
        None => Some(Compression::None),
    };
    let folder = match section.get("folder") {
        Some((node, path)) => place.path(node, &path, faults),
        None => root.map(|root| root.join("out")),
    };
    Some(Sink::Folder { path: folder?, compression: compression? })
}

pub(super) fn limits(section: &Section<'_>, defaults: &Limits, faults: &mut Faults) -> Limits {
    let mut limits = defaults.clone();
    if let Some((node, path)) = section.get("memory") {
        limits.memory_bytes_max = size(node, &path, MEMORY_BYTES, faults).unwrap_or(limits.memory_bytes_max);
    }
    if let Some((node, path)) = section.get("cpu_time") {
        limits.cpu_time_max = duration(node, &path, CPU_TIME, faults).unwrap_or(limits.cpu_time_max);
    }
    if let Some((node, path)) = section.get("wall_time") {
        limits.wall_time_max = duration(node, &path, WALL_TIME, faults).unwrap_or(limits.wall_time_max);
    }
    if let Some((node, path)) = section.get("hostcall")
        && let Some(bytes) = size(node, &path, HOSTCALL_BYTES, faults)
    {
        limits.hostcall_bytes_max = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some((node, path)) = section.get("handles")
        && let Some(count) = integer(node, &path, HANDLES, faults)
    {
        limits.handles_max = usize::try_from(count).unwrap_or(usize::MAX);
    }
    if let Some((node, path)) = section.get("output") {
        limits.output_bytes_max = size(node, &path, OUTPUT_BYTES, faults).unwrap_or(limits.output_bytes_max);
    }
    if let Some((node, path)) = section.get("records") {
        limits.records_max = integer(node, &path, RECORDS, faults).or(limits.records_max);
    }
    if let Some((node, path)) = section.get("staged") {
        limits.staged_bytes_max = size(node, &path, STAGED_BYTES, faults).unwrap_or(limits.staged_bytes_max);
    }
    limits
}

/// A mapping whose keys are known.
pub(super) struct Section<'n> {
    entries: &'n [Entry],
    at: Place,
    path: String,
}

impl<'n> Section<'n> {
    /// Takes a node as a mapping and names the keys in it that are not known.
    pub fn open(node: &'n Node, path: &str, known: &[&str], faults: &mut Faults) -> Option<Section<'n>> {
        let Value::Map(entries) = &node.value else {
            expected(node, path, "a mapping", &format!("write a mapping of {}", known.join(", ")), faults);
            return None;
        };
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let mend = match nearest(&entry.key, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("remove it; known here: {}", known.join(", ")),
            };
            faults.add(entry.at, &join(path, &entry.key), "the key is not known", mend);
        }
        Some(Section { entries, at: node.at, path: path.to_owned() })
    }

    /// The value of a key, with its path; one that is null counts as left out.
    pub fn get(&self, key: &str) -> Option<(&'n Node, String)> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (!matches!(entry.node.value, Value::Null)).then(|| (&entry.node, join(&self.path, key)))
    }

    /// The value of a key that must be there.
    pub fn require(&self, key: &str, mend: &str, faults: &mut Faults) -> Option<(&'n Node, String)> {
        let found = self.get(key);
        if found.is_none() {
            let empty = self.entries.iter().find(|entry| entry.key == key);
            let (at, fault) = match empty {
                Some(entry) => (entry.at, "it is empty"),
                None => (self.at, "it is missing"),
            };
            faults.add(at, &join(&self.path, key), fault, mend);
        }
        found
    }

    /// Whether one of these keys is there.
    pub fn any_of(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.get(key).is_some())
    }

    /// Which of these keys is there. A fault unless it is exactly one.
    pub fn one_of(&self, keys: &[&str], faults: &mut Faults) -> Option<(&'n Node, String, usize)> {
        let mut present =
            keys.iter().enumerate().filter_map(|(index, key)| self.get(key).map(|(node, path)| (node, path, index)));
        match (present.next(), present.next()) {
            (Some(found), None) => Some(found),
            (None, _) => {
                let fault = format!("one of {} is missing", keys.join(", "));
                faults.add(self.at, &self.path, fault, format!("give one of {}", keys.join(", ")));
                None
            }
            (_, Some((node, path, _))) => {
                faults.add(
                    node.at,
                    &path,
                    format!("more than one of {} is given", keys.join(", ")),
                    "keep one of them",
                );
                None
            }
        }
    }

    /// The entries, for mappings whose keys are names of the operator's.
    pub fn names(node: &'n Node, path: &str, what: &str, faults: &mut Faults) -> &'n [Entry] {
        match &node.value {
            Value::Map(entries) => entries,
            _ => {
                expected(node, path, "a mapping", what, faults);
                &[]
            }
        }
    }
}

/// How paths are understood: relative to the file that holds them, and `~/` is the home folder.
pub(super) struct Paths<'a> {
    pub base: &'a Path,
    pub home: Option<&'a Path>,
}

impl Paths<'_> {
    /// The absolute path that a text stands for.
    pub fn path(&self, node: &Node, path: &str, faults: &mut Faults) -> Option<PathBuf> {
        let value = text(node, path, faults)?;
        self.resolve(node.at, path, value, faults)
    }

    /// As [`Paths::path`], for a text already taken.
    pub fn resolve(&self, at: Place, path: &str, value: &str, faults: &mut Faults) -> Option<PathBuf> {
        if value.is_empty() || value.contains('\0') {
            faults.add(at, path, "it is not a path", "write a path, for example ./out");
            return None;
        }
        let below_home = if value == "~" { Some("") } else { value.strip_prefix("~/") };
        match (below_home, self.home) {
            (Some(rest), Some(home)) => Some(tidy(&home.join(rest))),
            (Some(_), None) => {
                faults.add(at, path, "there is no home folder that `~` could stand for", "write the whole path");
                None
            }
            (None, _) => Some(tidy(&self.base.join(value))),
        }
    }
}

/// A path without `.` and `..`, as a shell's `cd` would read it: so that the same folder always has the same name.
#[must_use]
pub fn tidy(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                // Above the top there is nothing: `/..` is `/`.
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// The path of a key below `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    let mut out = path.to_owned();
    push_key(&mut out, key);
    out
}

/// Appends a key to a path, escaped where it is not a plain word.
pub(super) fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    if !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) {
        path.push_str(key);
    } else {
        path.push_str(&quoted(key));
    }
}

/// Names a value of the wrong kind. One whose fault is known already is passed over.
pub(super) fn expected(node: &Node, path: &str, what: &str, mend: &str, faults: &mut Faults) {
    // Somebody may have put a secret itself where the way to it belongs: those are not repeated.
    let secret = path.contains(".credentials.");
    let found = match &node.value {
        Value::Faulty => return,
        Value::Text(text) if !secret => format!("the text {}", text.shown()),
        Value::Number(number) if !secret => format!("the number {number}"),
        Value::Bool(value) => format!("`{value}`"),
        _ => node.kind().to_owned(),
    };
    faults.add(node.at, path, format!("{found} is here where {what} belongs"), mend);
}

pub(super) fn text<'n>(node: &'n Node, path: &str, faults: &mut Faults) -> Option<&'n str> {
    match &node.value {
        Value::Text(text) => Some(&text.value),
        Value::Number(_) => {
            expected(node, path, "a text", "put the number in quotes", faults);
            None
        }
        _ => {
            expected(node, path, "a text", "write a text", faults);
            None
        }
    }
}

pub(super) fn boolean(node: &Node, path: &str, faults: &mut Faults) -> Option<bool> {
    match &node.value {
        Value::Bool(value) => Some(*value),
        // A variable can only ever be a text.
        Value::Text(text) if text.written.is_some() && text.value == "true" => Some(true),
        Value::Text(text) if text.written.is_some() && text.value == "false" => Some(false),
        _ => {
            expected(node, path, "true or false", "write true or false, without quotes", faults);
            None
        }
    }
}

pub(super) fn list<'n>(node: &'n Node, path: &str, faults: &mut Faults) -> Option<&'n [Node]> {
    match &node.value {
        Value::List(items) => Some(items),
        _ => {
            expected(node, path, "a list", "write a list: [one, two], or one on each line after `- `", faults);
            None
        }
    }
}

/// A JSON object for an integration.
pub(super) fn object(node: &Node, path: &str, faults: &mut Faults) -> Option<serde_json::Value> {
    if matches!(node.value, Value::Map(_)) {
        return Some(node.to_json());
    }
    expected(node, path, "a mapping", "write the integration's own settings as a mapping", faults);
    None
}

/// One of a few words.
pub(super) fn choice<'w>(node: &Node, path: &str, words: &[&'w str], faults: &mut Faults) -> Option<&'w str> {
    let Value::Text(text) = &node.value else {
        expected(
            node,
            path,
            &format!("one of {}", words.join(", ")),
            &format!("write one of {}", words.join(", ")),
            faults,
        );
        return None;
    };
    let found = words.iter().find(|word| **word == text.value).copied();
    if found.is_none() {
        let mend = match nearest(&text.value, words) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write one of {}", words.join(", ")),
        };
        faults.add(node.at, path, format!("{} is none of {}", text.shown(), words.join(", ")), mend);
    }
    found
}

pub(super) fn size(node: &Node, path: &str, range: RangeInclusive<u64>, faults: &mut Faults) -> Option<u64> {
    let mend = "write a number with a unit, for example 512MiB";
    let Value::Text(text) = &node.value else {
        expected(node, path, "a size with a unit", mend, faults);
        return None;
    };
    let Some(bytes) = units::size(&text.value) else {
        faults.add(node.at, path, format!("{} is not a size", text.shown()), mend);
        return None;
    };
    within(node, path, bytes, range, &text.shown(), units::show_size, faults)
}

pub(super) fn duration(
    node: &Node,
    path: &str,
    range: RangeInclusive<Duration>,
    faults: &mut Faults,
) -> Option<Duration> {
    let mend = "write a number with a unit, for example 90s, 30m or 1h30m";
    let Value::Text(text) = &node.value else {
        expected(node, path, "a duration with a unit", mend, faults);
        return None;
    };
    let Some(duration) = units::duration(&text.value) else {
        faults.add(node.at, path, format!("{} is not a duration", text.shown()), mend);
        return None;
    };
    within(node, path, duration, range, &text.shown(), units::show_duration, faults)
}

pub(super) fn integer(node: &Node, path: &str, range: RangeInclusive<u64>, faults: &mut Faults) -> Option<u64> {
    let (number, shown) = match &node.value {
        Value::Number(number) => (number.as_u64(), quoted(&number.to_string())),
        // A variable can only ever be a text.
        Value::Text(text) if text.written.is_some() => (text.value.parse().ok(), text.shown()),
        _ => (None, String::new()),
    };
    let Some(number) = number else {
        expected(node, path, "a whole number", "write a whole number, without quotes", faults);
        return None;
    };
    within(node, path, number, range, &shown, |number| number.to_string(), faults)
}

fn within<T: PartialOrd + Copy>(
    node: &Node,
    path: &str,
    value: T,
    range: RangeInclusive<T>,
    shown: &str,
    show: impl Fn(T) -> String,
    faults: &mut Faults,
) -> Option<T> {
    if range.contains(&value) {
        return Some(value);
    }
    let side = if value < *range.start() { "too small" } else { "too large" };
    let mend = format!("choose between {} and {}", show(*range.start()), show(*range.end()));
    faults.add(node.at, path, format!("{shown} is {side}"), mend);
    None
}

//! The configuration as the command lines of the systems we succeed give it: one document for the agent
//! (`--agent-config-json`, `--agent-config-file`) and one for its integrations (`--integrations-json`,
//! `--integrations-file`). Judged as strictly as agent.yaml, with two differences: programs write these documents, so no
//! variables are put into them; and they have no word for grants, so their integrations are granted nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::fault::{Faults, Place, nearest, quoted};
use super::lift::{self, Names, Paths, Section, boolean, text};
use super::read::{Node, Value};
use super::{
    CompileLimits, Config, ConfigFault, EgressSettings, FolderOrigin, GIT_MEMORY_BYTES_DEFAULT, Grants, Integration,
    Limits, Surroundings, Written, components,
};

pub(super) const AGENT_KEYS: &[&str] =
    &["customer_id", "pinpoint_root", "skip_git", "integrations_dir", "dev_use_compiled_integrations", "backend"];
pub(super) const BACKEND_KEYS: &[&str] = &["enable", "export_job_id"];
pub(super) const INTEGRATION_KEYS: &[&str] = &["id", "name", "type", "config"];

/// The kinds of integrations of the systems we succeed. We need none of them, but a wrong one is a misunderstanding.
const TYPES: &[&str] = &["WORK", "SOURCECODE", "CODEQUALITY", "CALENDAR", "USER"];

/// What the agent's document says.
#[derive(Debug, Default)]
pub(super) struct Agent {
    customer_id: String,
    root: Option<PathBuf>,
    skip_git: bool,
    integrations_dir: Option<PathBuf>,
}

/// Lifts the agent's document. Paths in it are relative to `base`.
pub(super) fn agent(node: &Node, base: &Path, around: &Surroundings, faults: &mut Faults) -> Option<Agent> {
    let section = Section::open(node, "", AGENT_KEYS, faults)?;
    let place = Paths { base, home: around.home.as_deref() };
    let mut agent = Agent::default();
    if let Some((node, path)) = section.get("customer_id") {
        agent.customer_id = lift::customer_id(node, &path, faults).unwrap_or_default();
    }
    if let Some((node, path)) = section.get("pinpoint_root").filter(|(node, _)| !is_empty(node)) {
        agent.root = place.path(node, &path, faults);
    }
    if let Some((node, path)) = section.get("skip_git") {
        agent.skip_git = boolean(node, &path, faults).unwrap_or_default();
    }
    if let Some((node, path)) = section.get("integrations_dir").filter(|(node, _)| !is_empty(node)) {
        agent.integrations_dir = place.path(node, &path, faults);
    }
    // Components are always compiled; the switch is judged and has no effect.
    if let Some((node, path)) = section.get("dev_use_compiled_integrations") {
        boolean(node, &path, faults);
    }
    // An export from the command line reports to no backend.
    if let Some((node, path)) = section.get("backend")
        && let Some(backend) = Section::open(node, &path, BACKEND_KEYS, faults)
    {
        if let Some((node, path)) = backend.get("enable") {
            boolean(node, &path, faults);
        }
        if let Some((node, path)) = backend.get("export_job_id") {
            text(node, &path, faults);
        }
    }
    Some(agent)
}

/// The writers of these documents give empty texts for what they leave out.
fn is_empty(node: &Node) -> bool {
    matches!(&node.value, Value::Text(text) if text.value.is_empty())
}

/// Lifts the integrations' document, a list or a single one, onto what the agent's document says.
pub(super) fn integrations(node: &Node, agent: Agent, around: &Surroundings, faults: &mut Faults) -> Option<Config> {
    let mut around = around.clone_places();
    if let Some(folder) = agent.integrations_dir {
        // A flag is said later than a document and goes before it.
        let flags = around.integrations_dirs.iter().filter(|(_, origin)| *origin == FolderOrigin::Given).count();
        around.integrations_dirs.insert(flags, (folder, FolderOrigin::Given));
    }
    let root = around.root.clone().or(agent.root).or_else(|| lift::default_root(&around, faults));
    let single;
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        Value::Map(_) => {
            single = [node.clone()];
            &single
        }
        _ => lift::list(node, "", faults)?,
    };
    if items.is_empty() {
        faults.add(node.at, "", "there is no integration", "list at least one: [{\"name\": \"git\", \"config\": {}}]");
        return None;
    }
    let mut names = Names::default();
    let mut written = Written::default();
    let mut absent = BTreeMap::new();
    let lifted: Vec<Option<Integration>> = items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let path = format!("[{index}]");
            let (integration, missing) = integration(item, &path, &around, &mut names, faults)?;
            written.note(&integration.name, faults.file(), item, &path);
            absent.extend(missing.map(|fault| (integration.name.clone(), fault)));
            Some(integration)
        })
        .collect();
    let integrations: Option<Vec<Integration>> = lifted.into_iter().collect();
    let lift::Entries { integrations, written, absent } = lift::some_present(integrations, written, absent, faults)?;
    let root = root?;
    Some(Config {
        sink: lift::default_sink(&root),
        root,
        customer_id: agent.customer_id,
        skip_git: agent.skip_git,
        integrations,
        outbox_bytes_max: lift::OUTBOX_BYTES_DEFAULT,
        git_memory_bytes_max: GIT_MEMORY_BYTES_DEFAULT,
        written,
        absent,
        compile: CompileLimits::default(),
        egress: EgressSettings::default(),
    })
}

fn integration(
    node: &Node,
    path: &str,
    around: &Surroundings,
    names: &mut Names,
    faults: &mut Faults,
) -> Option<(Integration, Option<ConfigFault>)> {
    let section = Section::open(node, path, INTEGRATION_KEYS, faults)?;
    let kind = section.get("type").filter(|(node, _)| !is_empty(node)).and_then(|(node, path)| {
        let kind = text(node, &path, faults)?;
        judge_type(node.at, &path, kind, faults)
    });
    let (name_node, name_path) = section.require("name", "name its component: \"name\": \"git\"", faults)?;
    let definition = text(name_node, &name_path, faults)?;
    let component_name = match definition.split_once('@') {
        Some((name, of_name)) => {
            let of_name = judge_type(name_node.at, &name_path, of_name, faults)?;
            if let Some(kind) = kind.filter(|kind| *kind != of_name) {
                let fault = format!("{} says {of_name} and `type` says {kind}", quoted(definition));
                faults.add(name_node.at, &name_path, fault, "give the type once");
            }
            name
        }
        None => definition,
    };
    let find = |faults: &mut Faults| components::by_name(name_node.at, &name_path, component_name, around, faults);
    let (component, absent) = lift::present(faults.aside(find));
    let name = match section.get("id").filter(|(node, _)| !is_empty(node)) {
        Some((node, path)) => text(node, &path, faults).and_then(|id| names.take(node.at, &path, id, faults)),
        // Without a component of that name it may be no name at all, and that has been said already.
        None if !absent.is_empty() && names.would_refuse(component_name) => None,
        None => names.take(name_node.at, &name_path, component_name, faults),
    };
    let config = match section.get("config") {
        Some((node, path)) => lift::object(node, &path, faults),
        None => Some(serde_json::Value::Object(serde_json::Map::new())),
    };
    let Some(name) = name else {
        faults.extend(absent);
        return None;
    };
    let (grants, limits) = (Grants::default(), Limits::default());
    let integration = Integration { name, component, sha256: None, config: config?, grants, limits, skip_git: false };
    Some((integration, absent.into_iter().next()))
}

fn judge_type(at: Place, path: &str, kind: &str, faults: &mut Faults) -> Option<&'static str> {
    let found = TYPES.iter().find(|known| known.eq_ignore_ascii_case(kind)).copied();
    if found.is_none() {
        let mend = match nearest(kind, TYPES) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write one of {}", TYPES.join(", ")),
        };
        faults.add(at, path, format!("{} is not a type of integration", quoted(kind)), mend);
    }
    found
}

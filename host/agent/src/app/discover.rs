//! What integrations say of themselves: read from their manifests, with nothing granted and nothing configured. And the
//! schema of agent.yaml, into which each integration's own schema for its configuration is merged.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::AppError;
use super::call::runner;
use crate::command::manifest::{Asks, Manifest};
use crate::command::outcome::Outcome;
use crate::command::runner::{PrepareError, Runner};
use crate::config::{AGENT_CONFIG_SCHEMA, CompileLimits, EgressSettings};
use crate::logs::Logs;
use crate::shutdown::Shutdown;

/// A component to look at, and the name to show it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub name: String,
    pub component: PathBuf,
    /// Why it is not there.
    pub absent: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct DiscoverReport {
    pub integrations: Vec<Discovered>,
}

/// What one integration is, has and asks for.
#[derive(Debug, Clone, Serialize)]
pub struct Discovered {
    /// As it is configured, or the component's.
    pub name: String,
    pub component: PathBuf,
    /// SHA-256 of the component.
    pub digest: Option<String>,
    pub bytes: Option<u64>,
    /// Why nothing could be found out.
    pub error: Option<String>,
    #[serde(flatten)]
    pub manifest: Option<Described>,
}

/// The manifest, for programs.
#[derive(Debug, Clone, Serialize)]
pub struct Described {
    pub integration: String,
    pub version: String,
    pub ref_type: String,
    pub description: String,
    pub models: Vec<DiscoveredModel>,
    pub onboard: Vec<String>,
    pub mutations: Vec<String>,
    pub webhook_events: Vec<String>,
    pub webhook_event_header: Option<String>,
    pub asks: Asks,
    /// The JSON Schema of its configuration.
    pub config: Value,
}

/// One model.
#[derive(Debug, Clone, Serialize)]
pub struct DiscoveredModel {
    pub name: String,
    /// JSON Pointers.
    pub key: Vec<String>,
    /// Whether unchanged records are left out.
    pub dedup: bool,
    /// The JSON Schema of a record.
    pub schema: Value,
}

/// Asks components what they are, all at the same time.
///
/// # Errors
/// What keeps anything from being asked at all. A component that cannot be asked is told with its reason.
pub async fn discover(
    root: &Path,
    compile: &CompileLimits,
    candidates: Vec<Candidate>,
    logs: Logs,
    shutdown: Shutdown,
) -> Result<DiscoverReport, AppError> {
    let runner = runner(root, compile, &EgressSettings::default(), &logs, &shutdown)?;
    let tasks: Vec<_> = candidates
        .into_iter()
        .map(|candidate| {
            let runner = runner.clone();
            shutdown.spawn(async move { discover_one(&runner, candidate).await })
        })
        .collect();
    let mut integrations = Vec::new();
    for task in tasks {
        let broke_off = |error| AppError::Failed(format!("asking a component broke off: {error}"));
        integrations.push(task.await.map_err(broke_off)?);
    }
    Ok(DiscoverReport { integrations })
}

async fn discover_one(runner: &Runner, candidate: Candidate) -> Discovered {
    let Candidate { name, component, absent } = candidate;
    let mut found = Discovered { name, component, digest: None, bytes: None, error: None, manifest: None };
    if absent.is_some() {
        return Discovered { error: absent, ..found };
    }
    match manifest_of(runner, &mut found).await {
        Ok(manifest) => found.manifest = Some(Described::from(manifest)),
        Err(error) => found.error = Outcome::from(&error).reason(),
    }
    found
}

async fn manifest_of(runner: &Runner, found: &mut Discovered) -> Result<Manifest, PrepareError> {
    let describing = async {
        let loaded = runner.load(found.component.clone()).await?;
        found.digest = Some(loaded.digest().to_owned());
        found.bytes = Some(loaded.bytes());
        Ok(runner.describe(&found.name, &loaded).await?)
    };
    tokio::select! {
        biased;
        () = runner.shutdown.wait() => Err(PrepareError::Cancelled),
        manifest = describing => manifest,
    }
}

impl From<Manifest> for Described {
    fn from(manifest: Manifest) -> Described {
        let model = |model: crate::command::manifest::ModelManifest| DiscoveredModel {
            name: model.name,
            key: model.key,
            dedup: model.dedup,
            schema: model.schema,
        };
        Described {
            integration: manifest.name,
            version: manifest.version,
            ref_type: manifest.ref_type,
            description: manifest.description,
            models: manifest.models.into_iter().map(model).collect(),
            onboard: manifest.onboard,
            mutations: manifest.mutations,
            webhook_events: manifest.webhook_events,
            webhook_event_header: manifest.webhook_event_header,
            asks: manifest.asks,
            config: manifest.config,
        }
    }
}

/// The schema of agent.yaml with the schemas of these integrations' configurations merged in: where `component` names one
/// of them, `config` must fit its schema.
#[must_use]
pub fn merged_schema(integrations: &[Discovered]) -> Value {
    let mut schema: Value = serde_json::from_str(AGENT_CONFIG_SCHEMA)
        .expect("the published schema is part of this program, and a test reads it");
    let mut rules = Vec::new();
    let mut definitions = Map::new();
    for found in integrations {
        let Some(manifest) = &found.manifest else { continue };
        let name = definition_name(found, &definitions);
        let pointer = format!("#/$defs/{name}");
        let needs_config = crate::command::manifest::refuses_empty(&manifest.config);
        let mut then = json!({ "properties": { "config": { "$ref": pointer } } });
        if needs_config {
            then["required"] = json!(["config"]);
        }
        rules.push(json!({ "if": condition(found), "then": then }));
        definitions.insert(name, embedded(&manifest.config, &pointer));
    }
    if let Some(target) = schema.pointer_mut("/$defs").and_then(Value::as_object_mut) {
        if let (false, Some(integration)) = (rules.is_empty(), target.get_mut("integration")) {
            integration["allOf"] = Value::Array(rules);
        }
        target.extend(definitions);
    }
    schema
}

fn definition_name(found: &Discovered, taken: &Map<String, Value>) -> String {
    let safe: String =
        found.name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    let mut name = format!("config-{safe}");
    while taken.contains_key(&name) {
        name.push('_');
    }
    name
}

/// When an entry is of this component: `component` is its name, or a path that ends in its file's name.
fn condition(found: &Discovered) -> Value {
    let file = found.component.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = file.strip_suffix(".wasm").unwrap_or(&file);
    let mut names = vec![stem.to_owned()];
    names.extend(stem.strip_prefix("integration_").map(|name| name.replace('_', "-")));
    // Only what a pattern gives a meaning to: editors refuse to have anything else escaped.
    let special = |c: char| r"\^$.|?*+()[]{}/".contains(c);
    let quoted: String = file.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect();
    json!({
        "properties": { "component": { "anyOf": [{ "enum": names }, { "pattern": format!("(^|/){quoted}$") }] } },
        "required": ["component"],
    })
}

/// Keywords whose values are no schemas: what looks like a reference in them is none.
const NO_SCHEMAS: [&str; 4] = ["const", "enum", "default", "examples"];

/// Keywords whose members are named by the author, and no keywords.
const MAPS: [&str; 5] = ["properties", "patternProperties", "dependentSchemas", "$defs", "definitions"];

/// A schema as a part of another: its references lead into it and no longer to the top, and it names itself no more.
fn embedded(schema: &Value, pointer: &str) -> Value {
    let mut schema = rebased(schema, pointer);
    if let Some(members) = schema.as_object_mut() {
        members.remove("$id");
        members.remove("$schema");
    }
    schema
}

fn rebased(value: &Value, pointer: &str) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| match (name.as_str(), member) {
                // Only references within the schema are possible: others were refused when the manifest was read.
                ("$ref", Value::String(target)) => (name.clone(), json!(target.replacen('#', pointer, 1))),
                (keyword, _) if NO_SCHEMAS.contains(&keyword) => (name.clone(), member.clone()),
                (keyword, Value::Object(schemas)) if MAPS.contains(&keyword) => {
                    let schemas = schemas.iter().map(|(name, schema)| (name.clone(), rebased(schema, pointer)));
                    (name.clone(), schemas.collect::<Map<_, _>>().into())
                }
                _ => (name.clone(), rebased(member, pointer)),
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(|item| rebased(item, pointer)).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_lead_into_the_part() {
        let schema = json!({
            "$id": "https://x.invalid/s", "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "properties": {"a": {"$ref": "#/$defs/a"}, "b": {"$ref": "#"}, "c": {"const": {"$ref": "#"}}, "$ref": {"type": "string"}, "default": {"$ref": "#"}},
            "$defs": {"a": {"type": "string", "writeOnly": true}},
        });
        let part = embedded(&schema, "#/$defs/config-x");
        assert_eq!(part["properties"]["a"]["$ref"], "#/$defs/config-x/$defs/a");
        assert_eq!(part["properties"]["b"]["$ref"], "#/$defs/config-x");
        assert_eq!(part["properties"]["c"]["const"]["$ref"], "#");
        assert_eq!(part["properties"]["$ref"]["type"], "string");
        assert_eq!(part["properties"]["default"]["$ref"], "#/$defs/config-x");
        assert_eq!(part["$defs"]["a"]["writeOnly"], true);
        assert!(part.get("$id").is_none() && part.get("$schema").is_none());
    }
}

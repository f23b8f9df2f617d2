//! What an integration says of itself, the document that `describe` gives: read, judged whole against the published
//! schema, and all its faults told at once. What follows from what it asks is in `policy`.

use std::collections::HashSet;
use std::hash::Hasher;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema::{self, Schema};
use crate::config::{nearest, parse_path};
use crate::export::Model;
use crate::sandbox::CallEnd;
use crate::secrets::AskedSignature;

pub use super::schema::Fault;

/// Bytes of a manifest.
pub const MANIFEST_BYTES_MAX: usize = 1 << 20;

/// The published form, with which authors check theirs.
const PUBLISHED: &str = include_str!("../../../../wit/schemas/manifest.json");

/// Changes when what is judged here beyond the published form changes: notes of earlier judges then count no more.
const JUDGE: &[u8] = b"schemas, settings, signature, number of secrets, paths of bodies";

/// What an integration is, has and asks for. Members that are not named here are passed over.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    /// The kind of the source.
    pub ref_type: String,
    #[serde(default)]
    pub description: String,
    /// The JSON Schema of its configuration.
    pub config: Value,
    #[serde(default)]
    pub models: Vec<ModelManifest>,
    /// The kinds of onboarding data that it has.
    #[serde(default)]
    pub onboard: Vec<String>,
    #[serde(default)]
    pub mutations: Vec<String>,
    #[serde(default)]
    pub webhook_events: Vec<String>,
    /// The header field that names a webhook's event, in lower case.
    pub webhook_event_header: Option<String>,
    /// How its source signs webhooks; none where it does not, or the integration checks them itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_signature: Option<AskedSignature>,
    #[serde(default)]
    pub asks: Asks,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct ModelManifest {
    pub name: String,
    /// JSON Pointers; together they are a record's key.
    pub key: Vec<String>,
    /// Whether unchanged records are left out.
    #[serde(default = "yes")]
    pub dedup: bool,
    /// The JSON Schema of a record.
    pub schema: Value,
}

/// What it asks to be allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Asks {
    pub network: Vec<AskedRule>,
    pub credentials: Vec<AskedCredential>,
    pub git: bool,
}

/// A network rule as it stands in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedRule {
    /// `https` if absent.
    pub scheme: Option<String>,
    /// A host, or `{config:POINTER}`: the URLs there.
    pub host: String,
    /// The scheme's if absent.
    pub port: Option<u16>,
    /// All if empty.
    #[serde(default)]
    pub methods: Vec<String>,
    #[serde(default = "slash")]
    pub path: String,
}

/// A credential that it uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedCredential {
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// A JSON Pointer to the setting that holds it, which the configuration's schema marks `writeOnly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// How that goes into a request; as a bearer token if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<AskedPlace>,
}

/// How the value of a setting goes into a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskedPlace {
    Bearer(bool),
    Basic {
        /// A user name, or `{config:POINTER}`: the text there.
        username: String,
    },
    Header {
        name: String,
        #[serde(default)]
        prefix: String,
    },
    Query {
        name: String,
    },
    /// In a JSON body, where the placeholder of the setting stands.
    Body {
        /// The paths of requests that it is for, as `config::parse_path` has them, `{config:POINTER}` before them for the path of
        /// the URL there. Where there are none, only the operator's grant says some.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        paths: Vec<String>,
    },
}

fn yes() -> bool {
    true
}

fn slash() -> String {
    "/".to_owned()
}

/// Why there is no manifest. The fault is the component's, and its author mends it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ManifestError {
    /// `describe` did not return.
    #[error("the component's `describe` did not give a manifest: {}", super::outcome::told(.0))]
    Call(CallEnd),
    #[error("the component's manifest has {0} bytes; at most {MANIFEST_BYTES_MAX} are allowed")]
    TooLarge(usize),
    #[error("the component's manifest is not JSON: {0}")]
    NotJson(String),
    #[error("the component's manifest has faults (schemas/manifest.json):{}", schema::lines(.0))]
    Faults(Vec<Fault>),
}

impl Manifest {
    /// Reads and judges the document that `describe` gave.
    pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLarge(text.len()));
        }
        let document = json(text)?;
        let faults = schema::judge(published(), &document);
        if !faults.is_empty() {
            return Err(ManifestError::Faults(faults));
        }
        let manifest = Manifest::read(document)?;
        let faults = manifest.faults();
        if faults.is_empty() { Ok(manifest) } else { Err(ManifestError::Faults(faults)) }
    }

    /// Reads a document that `parse` has judged before, in this or an earlier process.
    pub(super) fn parse_judged(text: &str) -> Result<Manifest, ManifestError> {
        Manifest::read(json(text)?)
    }

    fn read(document: Value) -> Result<Manifest, ManifestError> {
        // The schema has said that it fits; if the two ever differ, serde's word is as good a fault.
        serde_json::from_value(document).map_err(|error| ManifestError::Faults(vec![Fault::new("", error.to_string())]))
    }

    /// The name under which a judged manifest is kept: another form or another judge begins anew.
    pub(super) fn note_name() -> String {
        let mut hasher = siphasher::sip::SipHasher13::new();
        hasher.write(PUBLISHED.as_bytes());
        hasher.write(JUDGE);
        hasher.write(env!("CARGO_PKG_VERSION").as_bytes());
        format!("manifest-{:016x}", hasher.finish())
    }

    /// What a schema cannot say.
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        // Folders of a sink are named after models, and some file systems do not tell cases apart.
        let models = self.models.iter().map(|model| model.name.to_lowercase());
        faults.extend(repeated("/models", "name", models));
        faults.extend(self.faults_of_schemas());
        faults.extend(super::marked::all(&self.config).err().map(|why| Fault::new("/config", why)));
        faults.extend(self.faults_of_settings());
        faults.extend(self.faults_of_paths());
        faults.extend(repeated("/asks/credentials", "name", self.asks.credentials.iter().map(|c| c.name.clone())));
        faults
    }

    /// Settings that are to hold a secret and are not marked: the guest would be handed it, and not the host.
    fn faults_of_settings(&self) -> Vec<Fault> {
        let credentials = self.asks.credentials.iter().enumerate();
        let named = credentials.flat_map(|(at, asked)| {
            let place = format!("/asks/credentials/{at}/setting");
            asked.setting.iter().map(move |setting| (place.clone(), setting))
        });
        let signature = self.webhook_signature.iter();
        let signing = signature.map(|asked| ("/webhook_signature/setting".to_owned(), &asked.setting));
        let unmarked = |(place, setting): (String, &String)| {
            let why = format!("`{setting}` is no setting that the schema of the configuration marks `writeOnly`");
            (!super::marked::is_marked(&self.config, setting)).then(|| Fault::new(place, why))
        };
        named.chain(signing).filter_map(unmarked).collect()
    }

    /// Paths of bodies that are none.
    fn faults_of_paths(&self) -> Vec<Fault> {
        let credentials = self.asks.credentials.iter().enumerate();
        let paths = credentials.flat_map(|(at, asked)| match &asked.place {
            Some(AskedPlace::Body { paths }) => {
                let places = paths.iter().enumerate();
                let named = places.map(|(of, path)| (format!("/asks/credentials/{at}/place/body/paths/{of}"), path));
                named.collect::<Vec<_>>()
            }
            _ => Vec::new(),
        });
        let fault = |(place, path): (String, &String)| {
            let wrong = parse_path(super::policy::below_config(path).1).err()?;
            Some(Fault::new(place, wrong.to_string()))
        };
        paths.filter_map(fault).collect()
    }

    /// The schemas in it that are none.
    fn faults_of_schemas(&self) -> Vec<Fault> {
        let config = [("/config".to_owned(), &self.config)];
        let models = self.models.iter().enumerate().map(|(at, model)| (format!("/models/{at}/schema"), &model.schema));
        let schemas = config.into_iter().chain(models);
        let fault = |(place, schema): (String, &Value)| {
            let fault = schema::compile(schema).err()?;
            Some(Fault::new(format!("{place}{}", fault.pointer), format!("it is no JSON Schema: {}", fault.why)))
        };
        schemas.filter_map(fault).collect()
    }

    /// Judges a configuration. All faults at once; a schema that is itself at fault is the component's.
    pub fn judge_config(&self, config: &Value) -> Result<(), ConfigError> {
        self.judge_config_but(config, |_| false)
    }

    /// The same, but for what stands at places where a placeholder does: of that the schema knows nothing.
    pub(super) fn judge_config_but(
        &self,
        config: &Value,
        is_placeholder: impl Fn(&str) -> bool,
    ) -> Result<(), ConfigError> {
        let schema = schema::compile(&self.config)
            .map_err(|fault| ConfigError::Schema(Fault::new(format!("/config{}", fault.pointer), fault.why)))?;
        let faults = schema::judge(&schema, config).into_iter().filter(|fault| !is_placeholder(&fault.pointer));
        let faults: Vec<Fault> = faults.map(|fault| self.with_nearest(fault)).collect();
        if faults.is_empty() { Ok(()) } else { Err(ConfigError::Faults(faults)) }
    }

    /// A fault about a setting that there is not, with the one that was probably meant.
    fn with_nearest(&self, mut fault: Fault) -> Fault {
        let settings = self.config.get("properties").and_then(Value::as_object);
        let name = fault.pointer.strip_prefix('/').filter(|name| !name.contains('/'));
        if let (schema::NO_SUCH, Some(name), Some(settings)) = (fault.why.as_str(), name, settings) {
            let known: Vec<&str> = settings.keys().map(String::as_str).collect();
            match nearest(name, &known) {
                Some(near) => fault.why.push_str(&format!("; did you mean `{near}`?")),
                None => fault.why.push_str(&format!("; there are {}", known.join(", "))),
            }
        }
        fault
    }

    /// Settings that are called like secrets and are not marked as such, as JSON Pointers.
    #[must_use]
    pub fn unmarked_secrets(&self) -> Vec<String> {
        super::marked::unmarked(&self.config)
    }

    /// The models, as a run needs them; with the host's own, where the integration asks for git.
    #[must_use]
    pub fn run_models(&self) -> Vec<Model> {
        let native = if self.asks.git { crate::git::models() } else { Vec::new() };
        let declared = self.models.iter().filter(|model| native.iter().all(|own| own.name != model.name));
        let declared =
            declared.map(|model| Model { name: model.name.clone(), key: model.key.clone(), dedup: model.dedup });
        declared.chain(native.iter().cloned()).collect()
    }
}

/// Why a configuration is not one for this integration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("the component's manifest has a schema for its configuration that is itself not valid: {0}")]
    Schema(Fault),
    #[error("the configuration does not fit this integration; correct in agent.yaml, below its `config`:{}", schema::lines(.0))]
    Faults(Vec<Fault>),
}

/// Whether a schema refuses the configuration `{}`, so that one must be written.
#[must_use]
pub fn refuses_empty(config_schema: &Value) -> bool {
    let empty = Value::Object(serde_json::Map::new());
    schema::compile(config_schema).is_ok_and(|schema| !schema::fits(&schema, &empty))
}

fn json(text: &str) -> Result<Value, ManifestError> {
    serde_json::from_str(text).map_err(|error| ManifestError::NotJson(error.to_string()))
}

fn published() -> &'static Schema {
    static VALIDATOR: OnceLock<Schema> = OnceLock::new();
    VALIDATOR.get_or_init(|| {
        let published =
            serde_json::from_str(PUBLISHED).expect("the published schema is part of this program, and a test reads it");
        schema::compile(&published).expect("the published schema is part of this program, and a test compiles it")
    })
}

fn repeated(list: &str, member: &str, names: impl Iterator<Item = String>) -> Vec<Fault> {
    let mut seen = HashSet::new();
    (0..)
        .zip(names)
        .filter(|(_, name)| !seen.insert(name.clone()))
        .map(|(index, name): (usize, String)| {
            Fault::new(
                format!("{list}/{index}/{member}"),
                format!("`{name}` is there twice (capitals do not count); names are unique"),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complete() -> Value {
        json!({
            "schema": 1, "name": "mock", "version": "0.1.0", "ref_type": "mock", "description": "d",
            "config": {"type": "object", "required": ["url"], "properties": {"url": {"type": "string"}}},
            "models": [{"name": "mock.Issue", "key": ["/ref_id"], "schema": {}, "later": 1}],
            "onboard": ["users"], "mutations": [], "webhook_events": [],
            "asks": {"network": [{"host": "{config:/url}", "methods": ["GET"]}], "credentials": [{"name": "token"}], "git": true},
            "later": {},
        })
    }

    /// The faults of the manifest with one place changed; a `null` takes it out.
    fn faults(pointer: &str, value: Value) -> Vec<String> {
        let mut document = complete();
        let (parent, member) = pointer.rsplit_once('/').expect("a pointer");
        let parent = document.pointer_mut(parent).expect("the place");
        match (parent, value) {
            (Value::Object(members), Value::Null) => drop(members.remove(member)),
            (Value::Object(members), value) => drop(members.insert(member.to_owned(), value)),
            (Value::Array(items), value) => items.push(value),
            (other, _) => panic!("{other}"),
        }
        match Manifest::parse(&document.to_string()) {
            Ok(_) => Vec::new(),
            Err(ManifestError::Faults(faults)) => faults.iter().map(ToString::to_string).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_complete_manifest_is_read() {
        let manifest = Manifest::parse(&complete().to_string()).expect("a manifest");
        assert!(manifest.models[0].dedup);
        assert!(manifest.asks.git);
        assert_eq!(manifest.asks.network[0].path, "/");
    }

    #[test]
    fn each_fault_is_told_with_its_place() {
        let model = |name: &str, key: Value| json!({"name": name, "key": key, "schema": {}});
        for (pointer, value, place) in [
            ("/schema", json!(2), "/schema"),
            ("/name", Value::Null, "\"name\""),
            ("/name", json!("Mock Integration"), "/name"),
            ("/version", json!("newest"), "/version"),
            ("/config", json!({"type": "array"}), "/config/type"),
            ("/config", json!(true), "/config"),
            ("/models/-", model("a/b", json!(["/ref_id"])), "/models/1/name"),
            ("/models/-", model("a", json!([])), "/models/1/key"),
            ("/models/-", model("a", json!(["ref_id"])), "/models/1/key/0"),
            ("/models/-", model("MOCK.issue", json!(["/ref_id"])), "/models/1/name"),
            ("/asks/network/-", json!({"host": "EXAMPLE.com"}), "/asks/network/1"),
            ("/asks/network/-", json!({"host": "a.com", "hosts": []}), "/asks/network/1"),
            ("/asks/network/-", json!({"host": "{config:/url}", "port": 1}), "/asks/network/1"),
            ("/asks/credentials/-", json!({"name": "token"}), "/asks/credentials/1/name"),
            ("/asks/credentials/-", json!({"name": "key", "setting": "/url"}), "/asks/credentials/1/setting"),
            ("/asks/credentials/-", json!({"name": "key", "place": {"cookie": {}}}), "/asks/credentials/1/place"),
            (
                "/asks/credentials/-",
                json!({"name": "key", "place": {"body": {"paths": ["/a/..", "/b"]}}}),
                "/asks/credentials/1/place/body/paths/0",
            ),
            (
                "/asks/credentials/-",
                json!({"name": "key", "place": {"body": {"paths": ["{config:/url}hooks"]}}}),
                "/asks/credentials/1/place/body/paths/0",
            ),
            (
                "/asks/credentials/-",
                json!({"name": "key", "place": {"body": {"paths": []}}}),
                "/asks/credentials/1/place",
            ),
            ("/webhook_signature", json!({"setting": "/url", "token": {"header": "x"}}), "/webhook_signature/setting"),
            ("/webhook_signature", json!({"setting": "/url"}), "/webhook_signature"),
            ("/webhook_signature", json!({"setting": "/url", "sha1": {"header": "x"}}), "/webhook_signature"),
            ("/asks/git", json!("yes"), "/asks/git"),
        ] {
            let faults = faults(pointer, value);
            assert!(faults.iter().any(|fault| fault.contains(place)), "{pointer}: {faults:?}");
        }
        assert!(faults("/description", Value::Null).is_empty());
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let error = Manifest::parse(
            r#"{"schema":1,"name":"Bad Manifest","version":"newest","ref_type":"x","config":{"type":"object"}}"#,
        );
        let text = error.expect_err("two faults").to_string();
        assert!(text.contains("\n  /name: ") && text.contains("\n  /version: "), "{text}");
    }

    #[test]
    fn what_is_not_a_manifest_is_named() {
        assert!(matches!(Manifest::parse("{"), Err(ManifestError::NotJson(_))));
        assert!(matches!(Manifest::parse("[]"), Err(ManifestError::Faults(_))));
        let large = " ".repeat(MANIFEST_BYTES_MAX + 1);
        assert!(matches!(Manifest::parse(&large), Err(ManifestError::TooLarge(_))));
    }

    #[test]
    fn a_configuration_is_judged_by_the_manifests_schema() {
        let mut manifest = Manifest::parse(&complete().to_string()).expect("a manifest");
        assert_eq!(manifest.judge_config(&json!({"url": "https://a"})), Ok(()));
        assert!(matches!(manifest.judge_config(&json!({})), Err(ConfigError::Faults(_))));
        manifest.config = json!({"type": "object", "properties": {"a": {"type": "strange"}}});
        let error = manifest.judge_config(&json!({})).expect_err("a bad schema").to_string();
        assert!(error.contains("the component's manifest") && error.contains("/config/properties/a"), "{error}");
    }
}

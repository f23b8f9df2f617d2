//! The manifest: what an integration is, has and asks for, as a typed document (`schemas/manifest.json`) built by
//! chaining. The host checks it; here is only its form.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::session::Model;

/// The version of the manifest's form that this crate writes.
const SCHEMA: u32 = 1;

/// The manifest. Made with [`Manifest::new`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    schema: u32,
    name: String,
    version: String,
    ref_type: String,
    #[serde(default)]
    description: String,
    config: Value,
    #[serde(default)]
    models: Vec<ModelEntry>,
    #[serde(default)]
    onboard: Vec<String>,
    #[serde(default)]
    mutations: Vec<String>,
    #[serde(default)]
    webhook_events: Vec<String>,
    #[serde(default)]
    asks: Asks,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ModelEntry {
    name: String,
    key: Vec<String>,
    dedup: bool,
    schema: Value,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Asks {
    #[serde(default)]
    network: Vec<NetworkRule>,
    #[serde(default)]
    credentials: Vec<Credential>,
    #[serde(default)]
    git: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Credential {
    name: String,
    description: String,
}

impl Manifest {
    /// An integration of this name (`a-z 0-9 -`, at most 64) and version (usually `env!("CARGO_PKG_VERSION")`), which
    /// takes any configuration and asks for nothing. Its `ref_type`, by which records say where they come from, is the
    /// name.
    #[must_use]
    pub fn new(name: &str, version: &str) -> Manifest {
        Manifest {
            schema: SCHEMA,
            name: name.to_owned(),
            version: version.to_owned(),
            ref_type: name.to_owned(),
            description: String::new(),
            config: serde_json::json!({ "type": "object" }),
            models: Vec::new(),
            onboard: Vec::new(),
            mutations: Vec::new(),
            webhook_events: Vec::new(),
            asks: Asks::default(),
        }
    }

    /// Sets the kind of the source, for example `github`.
    #[must_use]
    pub fn ref_type(mut self, ref_type: &str) -> Manifest {
        ref_type.clone_into(&mut self.ref_type);
        self
    }

    /// Says in a sentence what it is.
    #[must_use]
    pub fn description(mut self, description: &str) -> Manifest {
        description.clone_into(&mut self.description);
        self
    }

    /// Sets the JSON Schema (draft 2020-12) of the configuration.
    #[must_use]
    pub fn config(mut self, schema: Value) -> Manifest {
        self.config = schema;
        self
    }

    /// Adds a model.
    #[must_use]
    pub fn model<M: Model>(mut self) -> Manifest {
        self.models.push(ModelEntry {
            name: M::NAME.to_owned(),
            key: M::KEY.iter().map(|&pointer| pointer.to_owned()).collect(),
            dedup: M::DEDUP,
            schema: M::schema(),
        });
        self
    }

    /// Adds a kind of data that [`onboard`](crate::Integration::onboard) has.
    #[must_use]
    pub fn onboard(mut self, kind: &str) -> Manifest {
        self.onboard.push(kind.to_owned());
        self
    }

    /// Adds a name that [`mutate`](crate::Integration::mutate) knows.
    #[must_use]
    pub fn mutation(mut self, name: &str) -> Manifest {
        self.mutations.push(name.to_owned());
        self
    }

    /// Adds an event that [`webhook`](crate::Integration::webhook) takes.
    #[must_use]
    pub fn webhook_event(mut self, name: &str) -> Manifest {
        self.webhook_events.push(name.to_owned());
        self
    }

    /// Asks for the network within this rule.
    #[must_use]
    pub fn network(mut self, rule: NetworkRule) -> Manifest {
        self.asks.network.push(rule);
        self
    }

    /// Asks for a credential, and says what it is for.
    #[must_use]
    pub fn credential(mut self, name: &str, description: &str) -> Manifest {
        self.asks.credentials.push(Credential { name: name.to_owned(), description: description.to_owned() });
        self
    }

    /// Asks to have git repositories exported.
    #[must_use]
    pub fn git(mut self) -> Manifest {
        self.asks.git = true;
        self
    }
}

/// What a [`Manifest`] asks to reach. What it may reach is asked ∩ granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scheme: Option<String>,
    host: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default = "root_path")]
    path: String,
}

fn root_path() -> String {
    "/".to_owned()
}

impl NetworkRule {
    /// `https` on port 443 of this host, with all methods and paths. `*.example.com` stands for every name below it.
    #[must_use]
    pub fn https(host: &str) -> NetworkRule {
        NetworkRule::fixed("https", host, 443)
    }

    /// `http` on port 80 of this host.
    #[must_use]
    pub fn http(host: &str) -> NetworkRule {
        NetworkRule::fixed("http", host, 80)
    }

    /// Wherever the URL in a field of the configuration points: its scheme, host and port. `pointer` is a JSON Pointer
    /// in which `*` stands for each element of an array: `/url`, `/repos/*/url`. A field that is absent, or that holds
    /// something else than an `http` or `https` URL, asks for nothing.
    #[must_use]
    pub fn config(pointer: &str) -> NetworkRule {
        NetworkRule {
            scheme: None,
            host: format!("{{config:{pointer}}}"),
            port: None,
            methods: Vec::new(),
            path: root_path(),
        }
    }

    fn fixed(scheme: &str, host: &str, port: u16) -> NetworkRule {
        NetworkRule {
            scheme: Some(scheme.to_owned()),
            host: host.to_owned(),
            port: Some(port),
            methods: Vec::new(),
            path: root_path(),
        }
    }

    /// Sets another port.
    #[must_use]
    pub fn port(mut self, port: u16) -> NetworkRule {
        self.port = Some(port);
        self
    }

    /// Only these methods, in capitals.
    #[must_use]
    pub fn methods(mut self, methods: &[&str]) -> NetworkRule {
        self.methods = methods.iter().map(|&method| method.to_owned()).collect();
        self
    }

    /// Only paths that begin with this one, on a segment boundary.
    #[must_use]
    pub fn path(mut self, path: &str) -> NetworkRule {
        path.clone_into(&mut self.path);
        self
    }
}

//! The manifest: what an integration is, has and asks for, as a typed document (`schemas/manifest.json`) built by
//! chaining. The host checks it; here is only its form.

use serde::Serialize;
use serde_json::Value;

use crate::session::Model;

/// The version of the manifest's form that this crate writes.
const SCHEMA: u32 = 1;

/// The manifest. Made with [`Manifest::new`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Manifest {
    schema: u32,
    name: String,
    version: String,
    ref_type: String,
    description: String,
    config: Value,
    models: Vec<ModelEntry>,
    onboard: Vec<String>,
    mutations: Vec<String>,
    webhook_events: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_event_header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_signature: Option<SignedBy>,
    asks: Asks,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct ModelEntry {
    name: String,
    key: Vec<String>,
    dedup: bool,
    schema: Value,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Asks {
    network: Vec<NetworkRule>,
    credentials: Vec<Credential>,
    git: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Credential {
    name: String,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    setting: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
}

/// How the host puts the value of a setting into a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Place(PlaceForm);

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum PlaceForm {
    Bearer(bool),
    Basic { username: String },
    Header { name: String, prefix: String },
    Query { name: String },
    Body { paths: Vec<String> },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct SignedBy {
    setting: String,
    #[serde(flatten)]
    signature: Signature,
}

/// How a source signs its webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Signature {
    /// A header field holds `prefix` and the HMAC-SHA256 of the body under the secret, in hexadecimal: GitHub, Jira, Bitbucket.
    HmacSha256 {
        /// The header field's name, in lower case.
        header: &'static str,
        /// What stands before the digits.
        prefix: &'static str,
    },
    /// A header field holds the secret itself: GitLab.
    Token {
        /// The header field's name, in lower case.
        header: &'static str,
    },
    /// As standardwebhooks.com has it; at most five minutes old.
    StandardWebhooks {},
}

impl Place {
    /// `Authorization: Bearer VALUE`.
    #[must_use]
    pub fn bearer() -> Place {
        Place(PlaceForm::Bearer(true))
    }

    /// Basic authentication with this user name and the value as its password. `{config:/user}` stands for the text at that place
    /// of the configuration.
    #[must_use]
    pub fn basic(username: &str) -> Place {
        Place(PlaceForm::Basic { username: username.to_owned() })
    }

    /// A header field of its own, with `prefix` before the value.
    #[must_use]
    pub fn header(name: &str, prefix: &str) -> Place {
        Place(PlaceForm::Header { name: name.to_owned(), prefix: prefix.to_owned() })
    }

    /// A member of the URL's query. Servers log URLs: only where there is no other way.
    #[must_use]
    pub fn query(name: &str) -> Place {
        Place(PlaceForm::Query { name: name.to_owned() })
    }

    /// In a JSON body, in the place of the placeholder: for what a server is to keep. Requests name the credential with
    /// [`fill`](crate::http::Request::fill). It goes to requests whose path begins with one of `paths`, and to no others:
    /// `*` stands for one segment, and `{config:/url}` before a path for the path of the URL at that place of the configuration
    /// (`{config:/url}/repos/*/*/hooks`).
    #[must_use]
    pub fn body(paths: &[&str]) -> Place {
        Place(PlaceForm::Body { paths: paths.iter().map(|&path| path.to_owned()).collect() })
    }
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
            webhook_event_header: None,
            webhook_signature: None,
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

    /// Names the header field in which the source says which event a webhook is, for example `x-github-event`: the host
    /// then refuses those that are not among the [`webhook_event`](Manifest::webhook_event)s.
    #[must_use]
    pub fn webhook_event_header(mut self, name: &str) -> Manifest {
        self.webhook_event_header = Some(name.to_ascii_lowercase());
        self
    }

    /// Says how the source signs its webhooks. `setting` is a JSON Pointer (`/webhook_secret`) to the secret; the schema of the
    /// configuration must mark it `writeOnly`. The host then checks each webhook, and none that it does not believe comes here.
    #[must_use]
    pub fn webhook_signature(mut self, setting: &str, signature: Signature) -> Manifest {
        self.webhook_signature = Some(SignedBy { setting: setting.to_owned(), signature });
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
        let (name, description) = (name.to_owned(), description.to_owned());
        self.asks.credentials.push(Credential { name, description, setting: None, place: None });
        self
    }

    /// Asks for the credential that a setting of the configuration holds, and says what it is for. `setting` is a JSON Pointer
    /// (`/token`); the schema of the configuration must mark the setting `writeOnly`. In the configuration that this integration
    /// sees, a placeholder stands there; requests use the credential by its name.
    #[must_use]
    pub fn secret_setting(mut self, name: &str, description: &str, setting: &str, place: Place) -> Manifest {
        self.asks.credentials.push(Credential {
            name: name.to_owned(),
            description: description.to_owned(),
            setting: Some(setting.to_owned()),
            place: Some(place),
        });
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkRule {
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme: Option<String>,
    host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    methods: Vec<String>,
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Manifest, NetworkRule, Place};
    use crate::git::{PullRequest, Repo};
    use crate::{Error, ExportResult, Model, MutateResult, ValidateResult};

    #[derive(serde::Serialize)]
    struct Thing {
        ref_id: u32,
    }

    impl Model for Thing {
        const NAME: &'static str = "test.Thing";
        fn schema() -> Value {
            json!({ "type": "object" })
        }
    }

    /// What is wrong with a document, by the schema of this name.
    fn faults(schema: &str, document: &impl serde::Serialize) -> Vec<String> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/schemas");
        let text = std::fs::read_to_string(format!("{folder}/{schema}.json")).expect("the schema is published");
        let schema: Value = serde_json::from_str(&text).expect("the schema is JSON");
        let validator = jsonschema::validator_for(&schema).expect("the schema is a schema");
        let document = serde_json::to_value(document).expect("the document is JSON");
        validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect()
    }

    fn full() -> Manifest {
        Manifest::new("test-1", "1.2.3-rc.1+build")
            .ref_type("test")
            .description("A test")
            .config(json!({ "type": "object", "properties": { "url": { "type": "string" } } }))
            .model::<Thing>()
            .onboard("users")
            .mutation("thing.rename")
            .webhook_event("thing.renamed")
            .network(NetworkRule::https("*.example.com").port(8443).methods(&["GET"]).path("/v1"))
            .network(NetworkRule::http("[::1]"))
            .network(NetworkRule::config("/repos/*/url"))
            .credential("token", "Reads things")
            .secret_setting("key", "Writes things", "/key", Place::header("x-key", ""))
            .secret_setting("login", "Signs in", "/password", Place::basic("{config:/user}"))
            .secret_setting("query", "Signs in", "/key", Place::query("key"))
            .secret_setting("bearer", "Signs in", "/key", Place::bearer())
            .git()
    }

    #[test]
    fn everything_the_sdk_writes_fits_its_schema() {
        let none: [String; 0] = [];
        assert_eq!(faults("manifest", &full()), none);
        assert_eq!(faults("manifest", &Manifest::new("small", "0.1.0")), none);

        let mut repo = Repo::new("1", "one", "https://example.com/one.git").ref_type("test").credential("token");
        repo.pull_requests.push(PullRequest { last_commit_sha: "0a".repeat(20), ..pull_request() });
        assert_eq!(faults("git-repo", &repo), none);
        assert_eq!(faults("git-repo", &Repo::new("1", "one", "/srv/one")), none);
        assert_eq!(faults("git-repo", &Repo::new("1", "one", "file:///srv/one")), none);

        assert_eq!(faults("validate-result", &ValidateResult::ok().server_version("1").repo_url("x")), none);
        assert_eq!(faults("validate-result", &ValidateResult::errors(["no".to_owned()])), none);
        let mut export = ExportResult::new();
        export.exported("1", "one");
        export.failed("2", "two", &Error::not_found("two"));
        assert_eq!(faults("export-result", &export), none);
        let mutated = MutateResult::new().mutated(&Thing { ref_id: 1 }).unwrap().response(json!([1]));
        assert_eq!(faults("mutate-result", &mutated), none);
    }

    fn pull_request() -> PullRequest {
        PullRequest {
            id: "7".to_owned(),
            ref_id: "r7".to_owned(),
            url: "https://example.com/7".to_owned(),
            branch_name: "topic".to_owned(),
            last_commit_sha: String::new(),
        }
    }

    /// A manifest with one thing changed is refused for it.
    #[test]
    fn the_manifest_schema_refuses() {
        let refused = |pointer: &str, value: Value| {
            let mut document = serde_json::to_value(full()).unwrap();
            let place = document.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is in the manifest"));
            *place = value.clone();
            assert!(!faults("manifest", &document).is_empty(), "{pointer} may be {value}");
        };
        refused("/schema", json!(2));
        refused("/name", json!("Bad Name"));
        refused("/name", json!("name\n"));
        refused("/version", json!("newest"));
        refused("/config", json!({ "type": "array" }));
        refused("/models/0/name", json!("../outside"));
        refused("/models/0/key", json!([]));
        refused("/models/0/key/0", json!("ref_id"));
        refused("/models/0/key/0", json!("/a~2"));
        refused("/asks/network/0/scheme", json!("ftp"));
        refused("/asks/network/0/host", json!("a.*.example.com"));
        refused("/asks/network/0/host", json!("Example.com"));
        refused("/asks/network/0/host", json!("example.com:443"));
        refused("/asks/network/0/host", json!("{config:/url}"));
        refused("/asks/network/0/port", json!(0));
        refused("/asks/network/0/methods", json!(["get"]));
        refused("/asks/network/0/path", json!("v1"));
        refused("/asks/network/2/host", json!("{config:url}"));
        refused("/asks/network/2", json!({ "host": "example.com", "only_on": "sunday" }));
        refused("/asks/git", json!("yes"));
    }

    #[test]
    fn the_git_repo_schema_refuses() {
        let refused = |url: &str| assert!(!faults("git-repo", &Repo::new("1", "one", url)).is_empty(), "{url}");
        for url in
            ["ssh://git@h/x", "git@h:x", "git://h/x", "ext::sh", "x", "../x", "file://h/x", "https://u:p@h/x", ""]
        {
            refused(url);
        }
        assert!(!faults("git-repo", &json!({ "ref_id": "1", "name": "one" })).is_empty());
        assert!(!faults("git-repo", &Repo::new("", "one", "/x")).is_empty());
    }
}

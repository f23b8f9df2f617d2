//! What the configuration means, once lifted: after this, nobody asks whether a setting is valid. `config/` reads it
//! (YAML or JSON, and the command lines of the systems we succeed), judges it whole, and reports all faults at once.

mod alone;
mod components;
mod egress;
mod fault;
mod grants;
mod interpolate;
mod legacy;
mod lift;
mod load;
mod read;
mod rule;
mod schema;
mod suite;
mod units;
mod written;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use alone::{GrantFlags, grants_of_flags, limits_of_flag, own_configuration};
pub use components::{Found, all as all_components, find_one as find_component};
pub use fault::{ConfigError, ConfigFault, nearest};
pub use grants::marked_source;
pub use lift::{NAME_MEND, is_integration_name, tidy as tidy_path};
pub use load::{Document, FolderOrigin, Loaded, Source, Surroundings, load, root_of};
pub use rule::{RuleFault, parse_host, parse_path};
pub use schema::AGENT_CONFIG as AGENT_CONFIG_SCHEMA;
pub use suite::{SUITE_FILE, Suite, SuiteCassette, suite_of};
pub(crate) use units::size as parse_size;
pub use units::{show_duration, show_size};
pub use written::Written;

/// Memory for reading git repositories where nobody says otherwise: enough for a history of ten thousand commits and 2 GB
/// of versions of files without reading any of them twice.
pub const GIT_MEMORY_BYTES_DEFAULT: u64 = 1_000_000_000;

/// The whole configuration of one agent.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder that holds the agent's store, caches and logs. Absolute.
    pub root: PathBuf,
    /// Who the data belongs to; the empty string where nobody said.
    pub customer_id: String,
    /// Leave git repositories out (`skip_git` of the systems we succeed).
    pub skip_git: bool,
    /// What to run, in the order written. Names are unique.
    pub integrations: Vec<Integration>,
    /// Where records go.
    pub sink: Sink,
    /// Bytes that may wait for the sink before `send` makes a guest wait.
    pub outbox_bytes_max: u64,
    /// Bytes of memory that reading git repositories may take, all together.
    pub git_memory_bytes_max: u64,
    /// Where the integrations' own configurations are written.
    pub written: Written,
    /// Integrations whose component is not there, by name: the others can run all the same. Never all of them.
    pub absent: BTreeMap<String, ConfigFault>,
    /// What compiling a component may use.
    pub compile: CompileLimits,
    /// How requests leave this machine.
    pub egress: EgressSettings,
}

/// How requests leave this machine, whatever integration they are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressSettings {
    /// Where all of them go through.
    pub proxy: Option<ProxySettings>,
    /// Files of PEM certificates that are trusted beside the system's. Absolute.
    pub ca_files: Vec<PathBuf>,
    /// How long a request may wait for a server's budget before the integration is told.
    pub wait_max: Duration,
    /// Requests under way to one server at a time.
    pub per_host_max: usize,
}

impl Default for EgressSettings {
    fn default() -> Self {
        EgressSettings {
            proxy: None,
            ca_files: Vec::new(),
            // Longer, and an integration does better to checkpoint and do something else.
            wait_max: Duration::from_secs(5 * 60),
            // Public APIs begin to refuse at a hundred, and ask for far fewer.
            per_host_max: 16,
        }
    }
}

/// The operator's proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxySettings {
    pub url: ProxyUrl,
    /// What does not go through it: names (with all below them), addresses, networks, `*`.
    pub no_proxy: Vec<String>,
}

/// A proxy's URL, which may hold a password: it has no `Display`, and its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(String);

impl ProxyUrl {
    pub(crate) fn new(url: String) -> ProxyUrl {
        ProxyUrl(url)
    }

    /// The URL, password and all.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProxyUrl")
    }
}

/// What compiling one component may use, in a process of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileLimits {
    /// `compile_memory_bytes_max`
    pub memory_bytes_max: u64,
    /// `compile_cpu_time_max`: over all threads of the compiler.
    pub cpu_time_max: Duration,
}

impl Default for CompileLimits {
    fn default() -> Self {
        CompileLimits {
            // A Python or JavaScript component of 12 to 18 MB takes 0.4 GiB.
            memory_bytes_max: 2 << 30,
            // The same take 14 to 18 s; on a slow machine several times that.
            cpu_time_max: Duration::from_secs(120),
        }
    }
}

/// One configured integration.
#[derive(Debug, Clone)]
pub struct Integration {
    /// The instance's name: 1 to 64 of `a-z A-Z 0-9 - _ .`; unique. Marks and cursors belong to it.
    pub name: String,
    /// The component's file. Absolute.
    pub component: PathBuf,
    /// The file's SHA-256 in lower-case hexadecimal, where the operator pins it: no other file runs under this name.
    pub sha256: Option<String>,
    /// Its own configuration, a JSON object, handed to it as it is.
    pub config: serde_json::Value,
    /// What the operator grants it.
    pub grants: Grants,
    /// What it may use up.
    pub limits: Limits,
    /// Leave its git repositories out.
    pub skip_git: bool,
}

/// What an operator grants one integration. Nothing by default.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// Network rules; a request must be within one of these and within one that the manifest asks for.
    pub network: Vec<NetworkRule>,
    /// Hosts (as in `NetworkRule::host`) whose addresses may be private or loopback.
    pub private_hosts: Vec<String>,
    /// Folders of this machine below which git repositories may be read in place.
    pub git_paths: Vec<PathBuf>,
    /// Credentials by name.
    pub credentials: BTreeMap<String, Credential>,
    /// Where credentials may go that settings hold and that are put into bodies, by name.
    pub fills: BTreeMap<String, Fill>,
}

/// One rule of what may be reached. Serialized as in the manifest: `https://api.github.com:443/path GET,POST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkRule {
    /// `http` or `https`.
    pub scheme: String,
    /// A host name or literal address in lower case; `*.example.com` stands for every name below example.com.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Methods in capitals; empty stands for all.
    pub methods: Vec<String>,
    /// The path must begin with this, on a segment boundary. `/` for all.
    pub path: String,
}

/// A credential and how it goes into a request. The value is read when it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Where the value comes from.
    pub source: SecretSource,
    /// What the value is exchanged for; that is then what goes into requests.
    pub exchange: Option<Exchange>,
    /// How it is put into a request.
    pub placement: Placement,
    /// The hosts it may be sent to, as in `NetworkRule::host`; never anywhere else, but for the exchange.
    pub hosts: Vec<String>,
    /// The paths it may be sent to, as `rule::parse_path` gives them; all if there is none.
    pub paths: Vec<String>,
}

/// Where a secret may be put into bodies that a setting of the integration holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// As in [`Credential::hosts`].
    pub hosts: Vec<String>,
    /// As in [`Credential::paths`]; at least one.
    pub paths: Vec<String>,
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable of the agent.
    Env(String),
    /// A file; one final line end is not part of the value.
    File(PathBuf),
    /// A program with its arguments, run without a shell: what it prints, without one final line end.
    Command(Vec<String>),
    /// The secret of this name in the root's safe.
    Stored(String),
    /// The configuration itself. The place, for faults and to tell two of them apart, and the value.
    Written { place: String, value: WrittenSecret },
}

/// A secret that somebody wrote into the configuration. It has no `Display`, and its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct WrittenSecret(zeroize::Zeroizing<String>);

impl WrittenSecret {
    pub(crate) fn new(value: String) -> WrittenSecret {
        WrittenSecret(zeroize::Zeroizing::new(value))
    }

    /// The value.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for WrittenSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WrittenSecret")
    }
}

/// What a secret is exchanged for before it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    OAuth2(OAuth2),
    GitHubApp(GitHubApp),
}

/// An access token of OAuth 2 (RFC 6749).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth2 {
    /// Where tokens are given out. The operator named it, so no rule need grant it.
    pub token_url: String,
    pub client_id: String,
    /// What the client proves itself with beside a refresh token, if it must.
    pub client_secret: Option<SecretSource>,
    /// What is asked for; empty for what the secret stands for.
    pub scopes: Vec<String>,
    pub flow: OAuth2Flow,
}

/// What the credential's own secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OAuth2Flow {
    /// A refresh token (RFC 6749, 6). Servers may change it each time it is used.
    RefreshToken,
    /// The client's secret (RFC 6749, 4.4).
    ClientCredentials,
}

/// An installation's access token of a GitHub App; the secret is the app's private key, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitHubApp {
    /// The app's id, or its client id.
    pub app_id: String,
    pub installation_id: u64,
    /// Without a final slash.
    pub api_url: String,
}

/// How a credential is put into a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// `Authorization: Bearer VALUE`.
    Bearer,
    /// Basic authentication with this user name and the value as its password.
    Basic { username: String },
    /// A header field with the value after a prefix.
    Header { name: String, prefix: String },
    /// A member of the URL's query. Servers log URLs: only where there is no other way.
    Query { name: String },
    /// In a JSON body, wherever this placeholder stands in a text of it: what a server is to keep, as the secret of a webhook.
    /// Only at the paths that the manifest asks for, and that the operator grants in [`Credential::paths`]: at none, where neither
    /// says any.
    Body { placeholder: String, paths: Vec<String> },
}

/// What one call of an integration may use. Each limit has a name that errors and outcomes carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `memory_bytes_max`: over all of the instance's memories and tables together.
    pub memory_bytes_max: u64,
    /// `cpu_time_max`: the guest's own running time.
    pub cpu_time_max: Duration,
    /// `wall_time_max`: from the call to its end, waiting included.
    pub wall_time_max: Duration,
    /// `hostcall_bytes_max`: data that one host call may carry.
    pub hostcall_bytes_max: usize,
    /// `handles_max`: resources alive at a time.
    pub handles_max: usize,
    /// `output_bytes_max`: records that one run may put out, those left out as unchanged not counted.
    pub output_bytes_max: u64,
    /// `records_max`: the same in records; none for no limit.
    pub records_max: Option<u64>,
    /// `staged_bytes_max`: records that may be staged and not yet committed, over all sessions of a run.
    pub staged_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            // A Python guest holds 13 MB before its first line; large exports in garbage-collected languages need room.
            memory_bytes_max: 512 << 20,
            // An export of a large organization computes for minutes, not hours.
            cpu_time_max: Duration::from_secs(30 * 60),
            // A first export waits for rate limits: hours are normal.
            wall_time_max: Duration::from_secs(24 * 60 * 60),
            // The largest batch or body (16 MiB) with slack for what surrounds it.
            hostcall_bytes_max: 24 << 20,
            handles_max: 4096,
            // A fuse against paging that never ends, beyond what a first export brings. What a run committed before
            // stays, and the next run goes on from there.
            output_bytes_max: 100 << 30,
            // Only the operator knows how many records a source has; their bytes are limited above.
            records_max: None,
            // Uncommitted records lie on the agent's disk and wait for nobody: there back-pressure cannot help.
            staged_bytes_max: 4 << 30,
        }
    }
}

/// Where records go.
#[derive(Debug, Clone)]
pub enum Sink {
    /// A folder: newline JSON, a folder for each integration and model below it.
    Folder { path: PathBuf, compression: Compression },
    /// Standard output, one object a line: `{"integration", "model", "record"}`.
    Stdout,
}

/// How the folder sink's files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `.ndjson`
    None,
    /// `.ndjson.zst`
    Zstd,
}

impl Sink {
    /// The name under which marks and cursors are kept: another sink starts anew.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Sink::Folder { path, .. } => format!("folder:{}", path.display()),
            Sink::Stdout => "stdout".to_owned(),
        }
    }
}

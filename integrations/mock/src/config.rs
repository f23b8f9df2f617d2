//! The configuration: every field has a default, so that `{}` is one. Values that the type allows and that make no
//! sense are faults, reported all at once.

use agent_sdk::git::Repo;
use serde::Deserialize;
use serde_json::{Value, json};

/// More records than this are a slip of the pen rather than a test.
const RECORDS_MAX: u32 = 10_000_000;

/// A project is a session, and a store of a million sessions measures something else.
const PROJECTS_MAX: u32 = 100_000;

/// Well below the host's 8 MiB for a record, and far above what a source of issues has.
const RECORD_BYTES_MAX: u32 = 1 << 20;

/// What to invent.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Issues of each project; in all, where `sub_sessions` is false.
    pub records: u32,
    pub projects: u32,
    /// Bytes of an issue as JSON, padded to that.
    pub record_bytes: u32,
    /// Whether each project has a session of its own. If not, all issues go through one session at the top.
    pub sub_sessions: bool,
    /// Issues between checkpoints; 0 for none.
    pub checkpoint_every: u32,
    /// Sends everything again, whatever the cursors say.
    pub full: bool,
    /// How to fail, in the middle of the last project's issues.
    pub fail: Option<Fail>,
    /// Another seed gives other contents under the same ids.
    pub seed: u32,
    /// So many issues at the beginning of each session differ from what they are at 0, and at every other value.
    pub changed: u32,
    /// Comes before every id, so that several instances export different records.
    pub unique: String,
    /// Repositories for the host to export.
    pub repos: Vec<Repo>,
    /// A URL to get before the export.
    pub http_url: Option<String>,
    /// The credential to get it with.
    pub http_credential: Option<String>,
    /// Whether to tell the operator of a pause.
    pub pause: bool,
    /// Any text; without effect. An older command line for trying things has `{"k": "v"}`.
    #[allow(dead_code, reason = "taken, and not looked at")]
    pub k: Option<String>,
}

/// A failure to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fail {
    /// `export` returns an error.
    Error,
    /// `export` panics.
    Panic,
    /// The session is rolled back, and the export goes on.
    Rollback,
    /// The session is skipped, and the export goes on.
    Skip,
    /// The source refuses the credentials: every call but `describe` says so.
    Unauthenticated,
    /// A record does not fit the schema of its model.
    Misfit,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            records: 100,
            projects: 3,
            record_bytes: 250,
            sub_sessions: true,
            checkpoint_every: 0,
            full: false,
            fail: None,
            seed: 1,
            changed: 0,
            unique: String::new(),
            repos: Vec::new(),
            http_url: None,
            http_credential: None,
            pause: false,
            k: None,
        }
    }
}

impl Config {
    /// Two users a project.
    pub fn users(&self) -> u32 {
        self.projects.saturating_mul(2)
    }

    /// What makes no sense, one sentence each.
    pub fn faults(&self) -> Vec<String> {
        let limits = [
            ("records", self.records, RECORDS_MAX),
            ("projects", self.projects, PROJECTS_MAX),
            ("record_bytes", self.record_bytes, RECORD_BYTES_MAX),
        ];
        let mut faults: Vec<String> = limits
            .into_iter()
            .filter(|(_, value, max)| value > max)
            .map(|(name, value, max)| format!("{name} is {value}: give at most {max}"))
            .collect();
        if self.http_credential.is_some() && self.http_url.is_none() {
            faults.push("http_credential is given without http_url: give both or neither".to_owned());
        }
        faults
    }
}

/// The schema in the manifest.
pub fn schema() -> Value {
    let count = |default: u32, description: &str| {
        json!({
            "type": "integer",
            "minimum": 0,
            "maximum": u32::MAX,
            "default": default,
            "description": description
        })
    };
    let flag =
        |default: bool, description: &str| json!({ "type": "boolean", "default": default, "description": description });
    let text = |description: &str| json!({ "type": ["string", "null"], "description": description });
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "records": count(100, "Issues of each project; in all, where sub_sessions is false"),
            "projects": count(3, "Projects"),
            "record_bytes": count(250, "Bytes of an issue as JSON"),
            "sub_sessions": flag(true, "Whether each project has a session of its own"),
            "checkpoint_every": count(0, "Issues between checkpoints; 0 for none"),
            "full": flag(false, "Sends everything again, whatever the cursors say"),
            "fail": {
                "enum": ["error", "panic", "rollback", "skip", "unauthenticated", "misfit", null],
                "description": "How to fail, in the middle of the last project's issues; unauthenticated: every call"
            },
            "seed": count(1, "Another seed gives other contents under the same ids"),
            "changed": count(0, "So many issues at the beginning of each session differ from what they are at 0"),
            "unique": { "type": "string", "maxLength": 64, "default": "", "description": "Comes before every id" },
            "repos": {
                "type": "array",
                "default": [],
                "description": "Repositories for the host to export, as in schemas/git-repo.json",
                "items": { "type": "object", "required": ["ref_id", "name", "url"] }
            },
            "http_url": text("A URL to get before the export"),
            "http_credential": text("The name of the credential to get it with"),
            "pause": flag(false, "Whether to tell the operator of a pause"),
            "k": text("Any text; without effect")
        }
    })
}

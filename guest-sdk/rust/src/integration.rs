//! What an author writes: the trait, and the documents that its functions take and return. The documents' forms are
//! published as JSON Schemas beside the contract (`wit/schemas/`).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::manifest::Manifest;

/// An integration. Each call runs in a new instance: there is no `self`, and nothing in memory outlives the call.
///
/// Only [`describe`](Integration::describe) must be written; what is left out answers that it is not supported.
pub trait Integration {
    /// Its configuration. The host has checked the document against the schema in the manifest by the time it gets
    /// here.
    type Config: DeserializeOwned;

    /// Says what this integration is, has and asks for. Called with nothing granted: every host call but logging is
    /// refused here.
    fn describe() -> Manifest;

    /// Tries the configuration against the real system. Accepts everything unless written.
    ///
    /// # Errors
    /// Where the configuration could not be tried at all. One that is wrong is a [`ValidateResult::errors`].
    fn validate_config(config: Self::Config) -> Result<ValidateResult> {
        let _ = config;
        Ok(ValidateResult::ok())
    }

    /// Data for a person to choose from: `users`, `repos`, `projects`, …; one JSON object each.
    ///
    /// # Errors
    /// [`Error::not_supported`] for a kind that this integration does not have.
    fn onboard(kind: &str, config: Self::Config) -> Result<Vec<Value>> {
        let _ = config;
        Err(Error::not_supported(format!("onboarding data `{kind}`")))
    }

    /// Exports records through sessions (see [`crate::session`]).
    ///
    /// # Errors
    /// What ended the export. What was committed before stays; sessions that are still open are rolled back.
    fn export(config: Self::Config) -> Result<ExportResult> {
        let _ = config;
        Err(Error::not_supported("this integration exports nothing"))
    }

    /// Changes one thing in the real system.
    ///
    /// # Errors
    /// [`Error::not_supported`] for an unknown name, [`Error::not_found`] where the thing to change does not exist,
    /// [`Error::invalid`] for unfit data.
    fn mutate(name: &str, data: Data, config: Self::Config) -> Result<MutateResult> {
        let _ = (data, config);
        Err(Error::not_supported(format!("mutation `{name}`")))
    }

    /// Takes a webhook whose signature the host has checked.
    ///
    /// # Errors
    /// What was wrong with it.
    fn webhook(webhook: Webhook, config: Self::Config) -> Result<MutateResult> {
        let _ = (webhook, config);
        Err(Error::not_supported("this integration takes no webhooks"))
    }
}

/// What trying a configuration found (`schemas/validate-result.json`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ValidateResult {
    /// Whether the configuration works.
    pub ok: bool,
    /// What is wrong, for a person; one fault each. Empty if `ok`.
    #[serde(default)]
    pub errors: Vec<String>,
    /// The version of the system that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// The URL below which repositories are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_url: Option<String>,
}

impl ValidateResult {
    /// The configuration works.
    #[must_use]
    pub fn ok() -> ValidateResult {
        ValidateResult { ok: true, ..ValidateResult::default() }
    }

    /// These faults, or none: an empty list is [`ValidateResult::ok`].
    pub fn errors(errors: impl IntoIterator<Item = String>) -> ValidateResult {
        let errors: Vec<String> = errors.into_iter().collect();
        ValidateResult { ok: errors.is_empty(), errors, ..ValidateResult::default() }
    }

    /// Adds the version of the system that answered.
    #[must_use]
    pub fn server_version(mut self, version: impl Into<String>) -> ValidateResult {
        self.server_version = Some(version.into());
        self
    }

    /// Adds the URL below which repositories are.
    #[must_use]
    pub fn repo_url(mut self, url: impl Into<String>) -> ValidateResult {
        self.repo_url = Some(url.into());
        self
    }
}

/// What an export says at its end (`schemas/export-result.json`). Records do not go here but through sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExportResult {
    /// The projects, repositories or whatever the source is made of, and which of them failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub projects: Vec<ProjectResult>,
}

impl ExportResult {
    /// An export that has nothing to say about its parts.
    #[must_use]
    pub fn new() -> ExportResult {
        ExportResult::default()
    }

    /// Adds a part that went well.
    pub fn exported(&mut self, ref_id: impl Into<String>, name: impl Into<String>) {
        self.projects.push(ProjectResult {
            ref_id: ref_id.into(),
            name: Some(name.into()),
            ..ProjectResult::default()
        });
    }

    /// Adds a part that failed while the others went on.
    pub fn failed(&mut self, ref_id: impl Into<String>, name: impl Into<String>, error: &Error) {
        let error = Some(error.to_string());
        let name = Some(name.into());
        self.projects.push(ProjectResult { ref_id: ref_id.into(), name, error, ..ProjectResult::default() });
    }
}

/// What became of one part of the source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProjectResult {
    /// The backend's id, where the configuration gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The source's own id.
    pub ref_id: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why it failed; none if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a mutation or a webhook changed (`schemas/mutate-result.json`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MutateResult {
    /// The records that changed, by model, in the form in which an export sends them.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub mutated: serde_json::Map<String, Value>,
    /// What the caller gets back, in the mutation's own form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Value>,
}

impl MutateResult {
    /// Nothing changed, nothing to say.
    #[must_use]
    pub fn new() -> MutateResult {
        MutateResult::default()
    }

    /// Adds a record that changed.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn mutated<M: crate::Model + Serialize>(mut self, record: &M) -> Result<MutateResult> {
        let record = serde_json::to_value(record)?;
        let records = self.mutated.entry(M::NAME).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(records) = records {
            records.push(record);
        }
        Ok(self)
    }

    /// Sets what the caller gets back.
    #[must_use]
    pub fn response(mut self, response: Value) -> MutateResult {
        self.response = Some(response);
        self
    }
}

/// A mutation's data: a JSON document whose form belongs to the mutation.
#[derive(Debug, Clone)]
pub struct Data(String);

impl Data {
    pub(crate) fn new(json: String) -> Data {
        Data(json)
    }

    /// Reads it as a type of yours.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) where it does not fit.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.0)
            .map_err(|error| Error::invalid(format!("the mutation's data does not fit: {error}")))
    }

    /// The document as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A webhook, its signature checked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Webhook {
    /// Header fields, in order.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Webhook {
    /// The first header field of this name; capitals do not matter.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        crate::http::header_find(&self.headers, name)
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) where it does not fit.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let none = if self.body.is_empty() { "; it is empty" } else { "" };
            Error::invalid(format!("the webhook's body does not fit: {error}{none}"))
        })
    }
}

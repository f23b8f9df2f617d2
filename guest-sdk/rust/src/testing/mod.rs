//! Tests of an integration on your own machine, without WebAssembly, network or agent: a [`Host`] that keeps to the
//! contract, answers requests with what the test lays out, and shows what was committed. Not there in a component.
//!
//! ```
//! use agent_sdk::testing::{Answer, Host};
//! # use agent_sdk::{ExportResult, Integration, Manifest, Model, NetworkRule, Result, http::Request, session};
//! # use serde_json::{Value, json};
//! # #[derive(serde::Serialize, serde::Deserialize)] struct Ticket { ref_id: String }
//! # impl Model for Ticket {
//! #     const NAME: &'static str = "demo.Ticket";
//! #     fn schema() -> Value { json!({ "type": "object" }) }
//! # }
//! # struct Demo;
//! # impl Integration for Demo {
//! #     type Config = agent_sdk::Ignored;
//! #     fn describe() -> Manifest {
//! #         Manifest::new("demo", "0.1.0").model::<Ticket>().network(NetworkRule::https("api.example.com"))
//! #     }
//! #     fn export(_: Self::Config) -> Result<ExportResult> {
//! #         let mut tickets = session::root_model::<Ticket>()?;
//! #         let page: Vec<Ticket> = Request::get("https://api.example.com/tickets").send()?.error_for_status()?.json()?;
//! #         for ticket in &page { tickets.send(ticket)?; }
//! #         tickets.done(Some("1"))?;
//! #         Ok(ExportResult::new())
//! #     }
//! # }
//! let host = Host::new();
//! host.on("GET https://api.example.com/tickets", Answer::json(&json!([{ "ref_id": "1" }, { "ref_id": "2" }])));
//!
//! let first = host.export::<Demo>(json!({})).ok();
//! assert_eq!(first.ids("demo.Ticket"), ["1", "2"]);
//! assert_eq!(host.cursor("demo.Ticket").as_deref(), Some("1"));
//!
//! // The host remembers what it has, as the agent does: a second run brings nothing new.
//! let second = host.export::<Demo>(json!({})).ok();
//! assert_eq!(second.records.len(), 0);
//! assert_eq!(second.unchanged, 2);
//! ```
//!
//! What is refused by the agent is refused here, with the same kind of error: a request that the manifest does not ask
//! for, a model that it does not name, a record without its key, `done` while children are open. Everything that is
//! asked counts as granted, unless [`Host::deny`] takes it away. Limits of size and time are not imitated.

mod asks;
pub(crate) mod wire;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;
use serde_json::Value;

use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::integration::{ExportResult, Integration, MutateResult, ValidateResult};
use crate::url;

use wire::State;

/// The host of a test. What runs leave behind (cursors, records that the sink has, `state`) stays for the next run.
pub struct Host {
    state: Rc<RefCell<State>>,
}

/// What a server answers.
#[derive(Debug, Clone)]
#[must_use = "an answer does nothing until a `Host` has it"]
pub struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Why there is no answer at all.
    pub(super) fault: Option<crate::http::HttpError>,
}

impl Answer {
    /// Status 200 and this as JSON.
    pub fn json(value: &(impl Serialize + ?Sized)) -> Answer {
        // A test's literal; what cannot be written shows itself as `null`.
        let body = serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec());
        Answer::new(200, body).header("content-type", "application/json")
    }

    /// This status and body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, headers: Vec::new(), body: body.into(), fault: None }
    }

    /// This status and an empty body.
    pub fn status(status: u16) -> Answer {
        Answer::new(status, Vec::new())
    }

    /// No answer, for this reason.
    pub fn fault(fault: crate::http::HttpError) -> Answer {
        Answer { fault: Some(fault), ..Answer::status(0) }
    }

    /// With this header field.
    pub fn header(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }
}

/// A request as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The URL, with its query.
    pub url: String,
    /// Header fields, in order.
    pub headers: Vec<(String, String)>,
    /// The body; empty where there is none.
    pub body: Vec<u8>,
    /// The name of the credential that the host is to put in.
    pub auth: Option<String>,
}

impl Asked {
    /// The value of a parameter of the query, decoded.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        let query = url::split(&self.url)?.query?;
        url::parameters(query).find(|(parameter, _)| parameter == name).map(|(_, value)| value)
    }

    /// The URL's path.
    #[must_use]
    pub fn path(&self) -> &str {
        url::split(&self.url).map_or("", |parts| parts.path)
    }

    /// The first header field of this name; capitals do not matter.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        crate::http::header_find(&self.headers, name)
    }
}

/// A record that was committed, and that the sink did not have in this form.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// The model's name.
    pub model: String,
    /// The path of the session that sent it.
    pub path: String,
    /// The record.
    pub value: Value,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// The message.
    pub message: String,
    /// Its fields.
    pub fields: Vec<(String, String)>,
}

/// What a run of `export` did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Run {
    /// What `export` returned.
    pub result: Result<ExportResult>,
    /// The records that were committed, in the order of their commits.
    pub records: Vec<Record>,
    /// Records that were committed and that the sink had already.
    pub unchanged: u64,
    /// Requests, in the order in which they went out, refused ones too.
    pub requests: Vec<Asked>,
    /// Lines of the log.
    pub logs: Vec<Line>,
    /// Repositories that were queued, and committed.
    pub repos: Vec<Value>,
    /// Reasons of sessions that were skipped.
    pub skipped: Vec<String>,
    /// Pauses that were told: until when, and why.
    pub pauses: Vec<(String, String)>,
}

impl Run {
    /// Itself, where the export succeeded.
    ///
    /// # Panics
    /// With the error and the log, where it did not.
    #[must_use]
    #[track_caller]
    pub fn ok(self) -> Run {
        assert!(self.result.is_ok(), "the export failed: {:?}\n{}", self.result, self.log_text());
        self
    }

    /// The error with which the export failed.
    ///
    /// # Panics
    /// Where it did not fail.
    #[must_use]
    #[track_caller]
    pub fn error(&self) -> &Error {
        self.result.as_ref().expect_err("the export succeeded where it should have failed")
    }

    /// The records of a model.
    #[must_use]
    pub fn of(&self, model: &str) -> Vec<&Value> {
        self.records.iter().filter(|record| record.model == model).map(|record| &record.value).collect()
    }

    /// The `ref_id`s of a model's records.
    #[must_use]
    pub fn ids(&self, model: &str) -> Vec<String> {
        let id = |record: &&Value| match &record["ref_id"] {
            Value::String(id) => id.clone(),
            other => other.to_string(),
        };
        self.of(model).iter().map(id).collect()
    }

    fn log_text(&self) -> String {
        self.logs.iter().map(|line| format!("{} {} {:?}\n", line.level, line.message, line.fields)).collect()
    }
}

impl Default for Host {
    fn default() -> Host {
        Host::new()
    }
}

impl Host {
    /// A host on which nothing has run, with no server behind it.
    #[must_use]
    pub fn new() -> Host {
        Host { state: Rc::default() }
    }

    /// Answers requests of this method and URL, `GET https://api.example.com/items?page=2`. With a query, all its
    /// parameters must be there and no others, in any order; without one, any will do, and those that name one go
    /// before. Several answers to the same are given one after the other, and the last again and again.
    ///
    /// # Panics
    /// Where `request` is not a method and an absolute URL.
    #[track_caller]
    #[allow(clippy::must_use_candidate, reason = "the host itself is what changes; chaining is a convenience")]
    pub fn on(&self, request: &str, answer: Answer) -> &Host {
        let (method, url) = request.split_once(' ').unwrap_or_default();
        assert!(url::split(url).is_some(), "`{request}` is not a method and an absolute URL, as in `GET https://a/b`");
        self.state.borrow_mut().answers.lay_out(method, url, answer);
        self
    }

    /// Answers all other requests: a server in a function. Nothing means that there is no such page.
    #[allow(clippy::must_use_candidate, reason = "the host itself is what changes; chaining is a convenience")]
    pub fn serve(&self, server: impl FnMut(&Asked) -> Option<Answer> + 'static) -> &Host {
        self.state.borrow_mut().answers.server = Some(Box::new(server));
        self
    }

    /// Does not grant requests whose URL begins like this, nor the credential of this name.
    #[allow(clippy::must_use_candidate, reason = "the host itself is what changes; chaining is a convenience")]
    pub fn deny(&self, what: &str) -> &Host {
        self.state.borrow_mut().denied.push(what.to_owned());
        self
    }

    /// Asks the integration to stop once it has committed this often.
    #[allow(clippy::must_use_candidate, reason = "the host itself is what changes; chaining is a convenience")]
    pub fn stop_after(&self, commits: u32) -> &Host {
        self.state.borrow_mut().stop_after = Some(commits);
        self
    }

    /// Sets the cursor of a path, as an earlier run would have left it.
    #[allow(clippy::must_use_candidate, reason = "the host itself is what changes; chaining is a convenience")]
    pub fn set_cursor(&self, path: &str, cursor: &str) -> &Host {
        self.state.borrow_mut().cursors.insert(path.to_owned(), cursor.to_owned());
        self
    }

    /// The committed cursor of a path. The path of a session at the top is its name.
    #[must_use]
    pub fn cursor(&self, path: &str) -> Option<String> {
        self.state.borrow().cursors.get(path).cloned()
    }

    /// All committed cursors by path.
    #[must_use]
    pub fn cursors(&self) -> BTreeMap<String, String> {
        self.state.borrow().cursors.clone()
    }

    /// A committed value of [`crate::state`].
    #[must_use]
    pub fn state(&self, key: &str) -> Option<String> {
        self.state.borrow().values.get(key).cloned()
    }

    /// Forgets cursors and what the sink has, as `agent force-historical` does.
    pub fn forget(&self) {
        let mut state = self.state.borrow_mut();
        state.cursors.clear();
        state.marks.clear();
    }

    /// Runs `export` with this configuration.
    #[must_use]
    pub fn export<I: Integration>(&self, config: Value) -> Run {
        let result = self.call::<I, ExportResult>(&config, |entry, config| (entry.export)(config));
        self.state.borrow_mut().end_run(result)
    }

    /// Runs `validate_config`.
    ///
    /// # Errors
    /// What it returned.
    pub fn validate_config<I: Integration>(&self, config: Value) -> Result<ValidateResult> {
        self.call::<I, _>(&config, |entry, config| (entry.validate_config)(config))
    }

    /// Runs `onboard`.
    ///
    /// # Errors
    /// What it returned.
    pub fn onboard<I: Integration>(&self, kind: &str, config: Value) -> Result<Vec<Value>> {
        self.call::<I, _>(&config, |entry, config| (entry.onboard)(kind, config))
    }

    /// Runs `mutate`.
    ///
    /// # Errors
    /// What it returned.
    pub fn mutate<I: Integration>(&self, name: &str, data: &Value, config: Value) -> Result<MutateResult> {
        self.call::<I, _>(&config, |entry, config| (entry.mutate)(name, data.to_string(), config))
    }

    /// Runs `webhook`.
    ///
    /// # Errors
    /// What it returned.
    pub fn webhook<I: Integration>(
        &self,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
        config: Value,
    ) -> Result<MutateResult> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let body = body.into();
        self.call::<I, _>(&config, |entry, config| (entry.webhook)(headers, body, config))
    }

    /// Makes a call with this host being the one that host calls reach. What comes back has gone through the document
    /// that a real host would get.
    fn call<I: Integration, T: serde::de::DeserializeOwned>(
        &self,
        config: &Value,
        call: impl FnOnce(&Entry, &str) -> Result<String>,
    ) -> Result<T> {
        let entry = Entry::of::<I>();
        let manifest = (entry.describe)()?;
        self.state.borrow_mut().begin_call(serde_json::from_str(&manifest)?, config.clone());
        let _reached = wire::reach(&self.state);
        let document = call(&entry, &config.to_string())?;
        Ok(serde_json::from_str(&document)?)
    }
}

#[cfg(test)]
mod tests;

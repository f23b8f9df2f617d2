//! The contract's interfaces over a test's [`Host`](super::Host), under the names that are generated for a component: what
//! the other modules call on any target but WebAssembly. One thread has at most one host at a time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::Value;

use super::{Answer, Asked, Line, Record, Run, asks};
use crate::bindings::agent::integration::types::Error as WireError;
use crate::error::Result as SdkResult;
use crate::integration::ExportResult;
use crate::url;

thread_local! {
    static REACHED: RefCell<Option<Rc<RefCell<State>>>> = const { RefCell::new(None) };
}

/// The host that is reached until this is dropped.
pub(super) struct Reached;

/// Has host calls of this thread reach this host.
pub(super) fn reach(state: &Rc<RefCell<State>>) -> Reached {
    REACHED.with_borrow_mut(|reached| *reached = Some(Rc::clone(state)));
    Reached
}

impl Drop for Reached {
    fn drop(&mut self) {
        REACHED.with_borrow_mut(|reached| *reached = None);
    }
}

/// The host that is reached.
fn current() -> Option<Rc<RefCell<State>>> {
    REACHED.with_borrow(Option::clone)
}

/// # Panics
/// Outside of a call of a test's host: there is nobody to ask.
#[track_caller]
fn host() -> Rc<RefCell<State>> {
    current().expect("a host call outside of a component: run it through `agent_sdk::testing::Host`")
}

fn invalid<T>(why: String) -> Result<T, WireError> {
    Err(WireError::Invalid(why))
}

/// What a test's host knows.
#[derive(Default)]
pub(crate) struct State {
    pub(super) answers: Answers,
    pub(super) denied: Vec<String>,
    pub(super) stop_after: Option<u32>,
    pub(super) cursors: BTreeMap<String, String>,
    /// What the sink has, by model and key.
    pub(super) marks: BTreeMap<(String, String), Value>,
    pub(super) values: BTreeMap<String, String>,
    run: Current,
}

/// The run, or call, that is under way.
#[derive(Default)]
struct Current {
    manifest: Value,
    config: Value,
    nodes: Vec<Node>,
    /// Paths whose cursors stay where they are until the run ends.
    held_back: BTreeSet<String>,
    commits: u32,
    /// `state` as this run sees it, and as it becomes with the next commit.
    values: BTreeMap<String, String>,
    records: Vec<Record>,
    unchanged: u64,
    requests: Vec<Asked>,
    logs: Vec<Line>,
    repos: Vec<Value>,
    skipped: Vec<String>,
    pauses: Vec<(String, String)>,
}

/// A session.
struct Node {
    path: String,
    parent: Option<usize>,
    model: Option<String>,
    open: bool,
    staged: Vec<(String, Value)>,
    repos: Vec<Value>,
    records: u64,
    unchanged: u64,
}

impl State {
    pub(super) fn begin_call(&mut self, manifest: Value, config: Value) {
        self.run = Current { manifest, config, values: self.values.clone(), ..Current::default() };
    }

    pub(super) fn end_run(&mut self, result: SdkResult<ExportResult>) -> Run {
        let run = std::mem::take(&mut self.run);
        Run {
            result,
            records: run.records,
            unchanged: run.unchanged,
            requests: run.requests,
            logs: run.logs,
            repos: run.repos,
            skipped: run.skipped,
            pauses: run.pauses,
        }
    }

    fn open(&mut self, path: String, parent: Option<usize>, model: Option<&str>) -> Result<usize, WireError> {
        if let Some(model) = model
            && self.model(model).is_none()
        {
            return invalid(format!("the manifest has no model `{model}`: add `.model::<…>()` to `describe`"));
        }
        if self.run.nodes.iter().any(|node| node.open && node.path == path) {
            return Err(WireError::Conflict(format!("a session is already open at `{path}`; end it first")));
        }
        let model = model.map(str::to_owned);
        let (staged, repos) = (Vec::new(), Vec::new());
        self.run.nodes.push(Node { path, parent, model, open: true, staged, repos, records: 0, unchanged: 0 });
        Ok(self.run.nodes.len() - 1)
    }

    fn model(&self, name: &str) -> Option<&Value> {
        self.run.manifest["models"].as_array()?.iter().find(|model| model["name"] == name)
    }

    /// Reads a batch: every line a record with its key, or none is taken.
    fn stage(&mut self, id: usize, batch: &[u8]) -> Result<(u32, u32), WireError> {
        let name = self.run.nodes[id].model.clone().unwrap_or_default();
        let model = self.model(&name).cloned().unwrap_or_default();
        let mut records = Vec::new();
        for (number, line) in (1..).zip(batch.split(|byte| *byte == b'\n')) {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let record: Value = serde_json::from_slice(line)
                .map_err(|error| WireError::Invalid(format!("line {number} of the batch: {error}")))?;
            let key = key_of(&model, &record).map_err(|why| WireError::Invalid(format!("line {number}: {why}")))?;
            records.push((key, record));
        }
        let dedup = model["dedup"] != false;
        let total = records.len();
        records.retain(|(key, record)| !dedup || self.marks.get(&(name.clone(), key.clone())) != Some(record));
        let (accepted, unchanged) = (records.len(), total - records.len());
        let node = &mut self.run.nodes[id];
        node.staged.extend(records);
        node.unchanged += unchanged as u64;
        self.run.unchanged += unchanged as u64;
        Ok((u32::try_from(accepted).unwrap_or(u32::MAX), u32::try_from(unchanged).unwrap_or(u32::MAX)))
    }

    fn open_children(&self, id: usize) -> usize {
        self.run.nodes.iter().filter(|node| node.open && node.parent == Some(id)).count()
    }

    /// Makes what a session has staged durable, and moves its cursor unless something below holds it back.
    fn commit(&mut self, id: usize, cursor: Option<&str>) -> bool {
        let held_back = self.open_children(id) > 0 || self.run.held_back.contains(&self.run.nodes[id].path);
        let node = &mut self.run.nodes[id];
        let (staged, repos) = (std::mem::take(&mut node.staged), std::mem::take(&mut node.repos));
        node.records += staged.len() as u64;
        let (path, model) = (node.path.clone(), node.model.clone().unwrap_or_default());
        for (key, value) in staged {
            self.marks.insert((model.clone(), key), value.clone());
            self.run.records.push(Record { model: model.clone(), path: path.clone(), value });
        }
        self.run.repos.extend(repos);
        if let Some(cursor) = cursor.filter(|_| !held_back) {
            self.cursors.insert(path, cursor.to_owned());
        }
        self.values = self.run.values.clone();
        self.run.commits += 1;
        held_back
    }

    /// Ends a session without a commit, and those below it.
    fn forget(&mut self, id: usize, hold_back: bool) {
        if !std::mem::replace(&mut self.run.nodes[id].open, false) {
            return;
        }
        for child in 0..self.run.nodes.len() {
            if self.run.nodes[child].parent == Some(id) {
                self.forget(child, false);
            }
        }
        let mut above = self.run.nodes[id].parent.filter(|_| hold_back);
        while let Some(id) = above {
            self.run.held_back.insert(self.run.nodes[id].path.clone());
            above = self.run.nodes[id].parent;
        }
    }

    /// Judges a request, and finds its answer.
    fn answer(&mut self, asked: Asked) -> Result<Answer, http::HttpError> {
        self.run.requests.push(asked.clone());
        if let Err(why) = asks::network(&self.run.manifest, &self.run.config, &asked.method, &asked.url) {
            return Err(http::HttpError::Denied(why));
        }
        if let Some(name) = &asked.auth
            && !asks::credential(&self.run.manifest, name)
        {
            let why = format!("the manifest does not ask for the credential `{name}`: add it to `describe`");
            return Err(http::HttpError::Denied(why));
        }
        let taken_away = |what: &&String| asked.url.starts_with(*what) || asked.auth.as_ref() == Some(*what);
        if let Some(what) = self.denied.iter().find(taken_away) {
            return Err(http::HttpError::Denied(format!("the test does not grant {what}")));
        }
        self.answers.find(&asked)
    }
}

/// The values of a record to which the model's key points.
fn key_of(model: &Value, record: &Value) -> Result<String, String> {
    if !record.is_object() {
        return Err(format!("a record is a JSON object, and not {record}"));
    }
    let mut key = String::new();
    for pointer in model["key"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        match record.pointer(pointer) {
            Some(Value::String(text)) if !text.is_empty() => key.push_str(&format!("{text:?}")),
            Some(Value::Number(number)) => key.push_str(&format!("{number},")),
            found => {
                return Err(format!(
                    "the record's key {pointer} is {}; it must be a number or a text that is not empty",
                    found.map_or_else(|| "missing".to_owned(), Value::to_string)
                ));
            }
        }
    }
    Ok(key)
}

type Server = Box<dyn FnMut(&Asked) -> Option<Answer>>;

/// What servers answer.
#[derive(Default)]
pub(super) struct Answers {
    laid_out: Vec<LaidOut>,
    pub(super) server: Option<Server>,
}

struct LaidOut {
    method: String,
    url: String,
    answers: Vec<Answer>,
    given: usize,
}

impl Answers {
    pub(super) fn lay_out(&mut self, method: &str, url: &str, answer: Answer) {
        match self.laid_out.iter_mut().find(|known| known.method == method && known.url == url) {
            Some(known) => known.answers.push(answer),
            None => self.laid_out.push(LaidOut {
                method: method.to_owned(),
                url: url.to_owned(),
                answers: vec![answer],
                given: 0,
            }),
        }
    }

    fn find(&mut self, asked: &Asked) -> Result<Answer, http::HttpError> {
        let fits = |known: &LaidOut| known.method == asked.method && fits(&known.url, &asked.url);
        let best = |known: &&mut LaidOut| fits(known);
        let known = self.laid_out.iter_mut().filter(best).max_by_key(|known| known.url.contains('?'));
        let found = match known {
            Some(known) => {
                let answer = known.answers[known.given.min(known.answers.len() - 1)].clone();
                known.given += 1;
                Some(answer)
            }
            None => self.server.as_mut().and_then(|server| server(asked)),
        };
        let Some(answer) = found else {
            let there: Vec<String> =
                self.laid_out.iter().map(|known| format!("{} {}", known.method, known.url)).collect();
            return Err(http::HttpError::Connection(format!(
                "the test has no answer to {} {}; it has: {}",
                asked.method,
                asked.url,
                if there.is_empty() { "none".to_owned() } else { there.join(", ") }
            )));
        };
        match answer.fault {
            Some(fault) => Err(fault.into_wire()),
            None => Ok(answer),
        }
    }
}

/// Whether a URL is the one laid out: the same place, and the same parameters where some are laid out.
fn fits(laid_out: &str, asked: &str) -> bool {
    let (Some(laid_out), Some(asked)) = (url::split(laid_out), url::split(asked)) else { return false };
    let place = |parts: &url::Parts<'_>| {
        (parts.scheme.to_ascii_lowercase(), parts.host_port(), parts.path.trim_end_matches('/').to_owned())
    };
    let sorted = |query: &str| {
        let mut parameters: Vec<(String, String)> = url::parameters(query).collect();
        parameters.sort();
        parameters
    };
    place(&laid_out) == place(&asked)
        && laid_out.query.is_none_or(|query| sorted(query) == sorted(asked.query.unwrap_or_default()))
}

pub(crate) mod session {
    //! `agent:integration/session`.

    pub(crate) use crate::bindings::agent::integration::session::Ack;

    use super::{WireError, host};

    /// A session's handle.
    #[derive(Debug)]
    pub(crate) struct Session(pub(super) usize);

    pub(crate) fn root_model(model: &str) -> Result<Session, WireError> {
        host().borrow_mut().open(part(model)?, None, Some(model)).map(Session)
    }

    pub(crate) fn root_tracking(name: &str) -> Result<Session, WireError> {
        host().borrow_mut().open(part(name)?, None, None).map(Session)
    }

    /// A part of a path, as the agent escapes it.
    fn part(text: &str) -> Result<String, WireError> {
        if text.is_empty() || text.len() > 512 {
            return super::invalid(format!("a session's name or id has {} bytes; give 1 to 512", text.len()));
        }
        Ok(text.replace('%', "%25").replace('/', "%2F"))
    }

    impl Session {
        pub(crate) fn tracking(&self, name: &str, object_id: &str, _: &str) -> Result<Session, WireError> {
            self.below(name, object_id, None)
        }

        pub(crate) fn model(&self, model: &str, object_id: &str, _: &str) -> Result<Session, WireError> {
            self.below(model, object_id, Some(model))
        }

        fn below(&self, name: &str, object_id: &str, model: Option<&str>) -> Result<Session, WireError> {
            let host = host();
            let path = format!("{}/{}/{}", host.borrow().run.nodes[self.0].path, part(object_id)?, part(name)?);
            let opened = host.borrow_mut().open(path, Some(self.0), model);
            opened.map(Session)
        }

        pub(crate) fn last_processed(&self) -> Option<String> {
            let host = host();
            let state = host.borrow();
            state.cursors.get(&state.run.nodes[self.0].path).cloned()
        }

        pub(crate) fn should_stop(&self) -> bool {
            let host = host();
            let state = host.borrow();
            state.stop_after.is_some_and(|commits| state.run.commits >= commits)
        }

        #[allow(clippy::unused_self, reason = "the contract's form")]
        pub(crate) fn progress(&self, _: u32, _: Option<u32>) {}

        pub(crate) fn send(&self, batch: &[u8]) -> Result<Ack, WireError> {
            let (accepted, unchanged) = host().borrow_mut().stage(self.0, batch)?;
            Ok(Ack { accepted, unchanged })
        }

        #[allow(clippy::unnecessary_wraps, reason = "the contract's form")]
        pub(crate) fn checkpoint(&self, cursor: &str) -> Result<(), WireError> {
            host().borrow_mut().commit(self.0, Some(cursor));
            Ok(())
        }

        pub(crate) fn done(session: Session, cursor: Option<&str>) -> Result<String, WireError> {
            let host = host();
            let mut state = host.borrow_mut();
            let id = session.0;
            let children = state.open_children(id);
            if children > 0 {
                let why = format!("`{}` has {children} open children; end them first", state.run.nodes[id].path);
                state.forget(id, true);
                return Err(WireError::Conflict(why));
            }
            let held_back = state.commit(id, cursor);
            let node = &mut state.run.nodes[id];
            node.open = false;
            let summary = serde_json::json!({
                "path": node.path, "records": node.records, "unchanged": node.unchanged, "held_back": held_back
            });
            Ok(summary.to_string())
        }

        pub(crate) fn rollback(session: Session) {
            drop(session);
        }

        pub(crate) fn skip(session: Session, why: &str) {
            let host = host();
            let mut state = host.borrow_mut();
            state.forget(session.0, false);
            state.run.skipped.push(why.to_owned());
        }
    }

    impl Drop for Session {
        fn drop(&mut self) {
            // A session that outlives its host, in a test that panics, has nobody to tell.
            if let Some(host) = super::current() {
                let mut state = host.borrow_mut();
                if self.0 < state.run.nodes.len() {
                    state.forget(self.0, true);
                }
            }
        }
    }
}

pub(crate) mod http {
    //! `agent:integration/http`.

    pub(crate) use crate::bindings::agent::integration::http::{HttpError, Request, Response};

    use super::{Asked, host};

    /// A request under way: here it has its answer at once.
    #[derive(Debug)]
    pub(crate) struct Pending(Result<Response, HttpError>);

    pub(crate) fn send(request: &Request) -> Result<Response, HttpError> {
        let option = |name: &str| request.options.iter().find(|(option, _)| option == name).map(|(_, v)| v.clone());
        let asked = Asked {
            method: request.method.clone(),
            url: request.url.clone(),
            headers: request.headers.clone(),
            body: request.body.clone().unwrap_or_default(),
            auth: option("auth"),
        };
        let url = asked.url.clone();
        let answer = host().borrow_mut().answer(asked)?;
        Ok(Response { status: answer.status, url, headers: answer.headers, body: answer.body })
    }

    #[allow(clippy::unnecessary_wraps, reason = "the contract's form")]
    pub(crate) fn submit(request: &Request) -> Result<Pending, HttpError> {
        Ok(Pending(send(request)))
    }

    /// All have their answers; one at a time is given, the last first, so that nobody relies on an order.
    pub(crate) fn wait_any(pendings: &[&Pending], _: u32) -> Vec<u32> {
        pendings.len().checked_sub(1).and_then(|last| u32::try_from(last).ok()).into_iter().collect()
    }

    impl Pending {
        pub(crate) fn take(pending: Pending) -> Result<Response, HttpError> {
            pending.0
        }
    }
}

pub(crate) mod git {
    //! `agent:integration/git`.

    use super::session::Session;
    use super::{WireError, host};

    pub(crate) fn export_repo(session: &Session, repo: &str) -> Result<(), WireError> {
        let host = host();
        let mut state = host.borrow_mut();
        if state.run.manifest["asks"]["git"] != true {
            return Err(WireError::Denied("the manifest does not ask for git: add `.git()` to `describe`".to_owned()));
        }
        let repo = serde_json::from_str(repo).map_err(|error| WireError::Invalid(error.to_string()))?;
        state.run.nodes[session.0].repos.push(repo);
        Ok(())
    }
}

pub(crate) mod state {
    //! `agent:integration/state`. Nothing expires during a test.

    use super::{WireError, host};

    fn checked(key: &str) -> Result<(), WireError> {
        if (1..=256).contains(&key.len()) {
            return Ok(());
        }
        super::invalid(format!("the key has {} bytes; give 1 to 256", key.len()))
    }

    pub(crate) fn get(key: &str) -> Result<Option<String>, WireError> {
        checked(key)?;
        Ok(host().borrow().run.values.get(key).cloned())
    }

    pub(crate) fn set(key: &str, value: &str, _: Option<u32>) -> Result<(), WireError> {
        checked(key)?;
        host().borrow_mut().run.values.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    pub(crate) fn delete(key: &str) -> Result<(), WireError> {
        checked(key)?;
        host().borrow_mut().run.values.remove(key);
        Ok(())
    }
}

pub(crate) mod oauth {
    //! `agent:integration/oauth`.

    use super::{WireError, asks, host};

    pub(crate) fn refresh(credential: &str) -> Result<(), WireError> {
        if asks::credential(&host().borrow().run.manifest, credential) {
            return Ok(());
        }
        Err(WireError::Denied(format!("the manifest does not ask for the credential `{credential}`")))
    }
}

pub(crate) mod control {
    //! `agent:integration/control`.

    use super::{WireError, host};

    pub(crate) fn pause(until: &str, why: &str) -> Result<(), WireError> {
        if crate::time::parse(until).is_none() {
            return super::invalid(format!("`{until}` is not a time in RFC 3339"));
        }
        host().borrow_mut().run.pauses.push((until.to_owned(), why.to_owned()));
        Ok(())
    }

    pub(crate) fn resume() {}

    pub(crate) fn webhook_url() -> Option<String> {
        None
    }
}

pub(crate) mod log {
    //! `agent:integration/log`. Outside of a run, lines go to standard error.

    use super::{Line, current};

    pub(crate) fn log(level: &str, message: &str, fields: &[(String, String)]) {
        let line = Line { level: level.to_owned(), message: message.to_owned(), fields: fields.to_vec() };
        match current() {
            Some(host) => host.borrow_mut().run.logs.push(line),
            None => eprintln!("{level} {message} {fields:?}"),
        }
    }
}

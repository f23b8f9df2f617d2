//! The tree of one run's sessions: where each lies, what it has counted, and whose cursor is held back.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::staging::Staging;
use super::{Ack, Sent, SessionError, SessionId, SessionState, SessionSummary};
use crate::store::NewJob;

/// Sessions open at a time: an organization's repositories, not its issues.
const OPEN_MAX: usize = 1024;

/// Sessions of one run, open or closed; each is remembered for the summary.
const SESSIONS_MAX: usize = 200_000;

/// Bytes of the paths, names, cursors and reasons that are remembered for the summary. The longest path alone has 48 KiB.
const REMEMBERED_BYTES_MAX: usize = 64 << 20;

/// Bytes of repositories' documents that one run may queue, and the documents: they are read into memory to be worked off.
const JOBS_BYTES_MAX: usize = 256 << 20;
const JOBS_MAX: usize = 100_000;

/// Levels of sessions.
const DEPTH_MAX: u32 = 16;

/// Bytes of a name or an object's id.
const NAME_BYTES_MAX: usize = 512;

/// Sends to one session follow each other: each holds what is staged until it is done.
pub(super) type SharedStaging = Arc<tokio::sync::Mutex<Staging>>;

/// Where a session is to be.
pub(super) struct Place {
    pub(super) path: String,
    parent: Option<SessionId>,
    object_name: String,
    depth: u32,
}

pub(super) struct Session {
    model: Option<String>,
    /// The committed cursor.
    pub(super) cursor: Option<String>,
    staging: Option<SharedStaging>,
    /// The git job that ends with this session.
    pub(super) job: Option<i64>,
    pub(super) progress: (u64, Option<u64>),
    path: String,
    parent: Option<SessionId>,
    object_name: String,
    depth: u32,
    state: SessionState,
    open_children: u32,
    held_back: bool,
    resumed: bool,
    jobs: Vec<NewJob>,
    staged: (u64, u64),
    records: u64,
    bytes: u64,
    unchanged: u64,
    began: Instant,
    took: Option<Duration>,
}

#[derive(Default)]
pub(super) struct Tree {
    sessions: Vec<Session>,
    open_paths: HashSet<String>,
    /// What was sent of each model, whatever became of it.
    pub(super) sent: BTreeMap<String, Sent>,
    remembered_bytes: usize,
    /// Repositories queued, committed or not, and the bytes of their documents.
    jobs: (usize, usize),
    /// Records accepted so far, committed or not, and their bytes.
    output: (u64, u64),
    /// Records staged and not committed, over all sessions, and their bytes.
    staged: (u64, u64),
}

impl Place {
    pub(super) fn root(name: &str) -> Result<Place, SessionError> {
        check_name("name", name)?;
        Ok(Place { path: escape(name), parent: None, object_name: String::new(), depth: 0 })
    }

    pub(super) fn below_path(
        parent: &str,
        name: &str,
        object_id: &str,
        object_name: &str,
    ) -> Result<Place, SessionError> {
        check_name("name", name)?;
        check_name("object id", object_id)?;
        if object_name.len() > NAME_BYTES_MAX {
            return Err(too_long("object name", object_name));
        }
        let path = format!("{parent}/{}/{}", escape(object_id), escape(name));
        Ok(Place { path, parent: None, object_name: object_name.to_owned(), depth: 1 })
    }
}

fn check_name(what: &str, name: &str) -> Result<(), SessionError> {
    if name.is_empty() {
        return Err(SessionError::Invalid(format!(
            "the session's {what} is empty; give one of 1 to {NAME_BYTES_MAX} bytes"
        )));
    }
    if name.len() > NAME_BYTES_MAX { Err(too_long(what, name)) } else { Ok(()) }
}

fn too_long(what: &str, name: &str) -> SessionError {
    SessionError::Limit(format!(
        "the session's {what} has {} bytes; the limit is {NAME_BYTES_MAX} (name_bytes_max)",
        name.len()
    ))
}

/// A part of a path: `/`, `%` and control characters are percent-encoded, so that different names never make one path.
fn escape(part: &str) -> String {
    let mut escaped = String::with_capacity(part.len());
    for character in part.chars() {
        if matches!(character, '/' | '%') || character.is_control() {
            let mut bytes = [0; 4];
            character.encode_utf8(&mut bytes).bytes().for_each(|b| escaped.push_str(&format!("%{b:02X}")));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

impl Session {
    pub(super) fn new(
        model: Option<String>,
        cursor: Option<String>,
        staging: Option<SharedStaging>,
        job: Option<i64>,
    ) -> Session {
        Session {
            resumed: cursor.is_some(),
            model,
            cursor,
            staging,
            job,
            progress: (0, None),
            path: String::new(),
            parent: None,
            object_name: String::new(),
            depth: 0,
            state: SessionState::Open,
            open_children: 0,
            held_back: false,
            jobs: Vec::new(),
            staged: (0, 0),
            records: 0,
            bytes: 0,
            unchanged: 0,
            began: Instant::now(),
            took: None,
        }
    }
}

fn not_open() -> SessionError {
    SessionError::Conflict("the session is not open any more".into())
}

impl Tree {
    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(id.0 as usize)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(id.0 as usize)
    }

    fn open_session(&mut self, id: SessionId) -> Result<&mut Session, SessionError> {
        self.get_mut(id).filter(|s| s.state == SessionState::Open).ok_or_else(not_open)
    }

    pub(super) fn place_below(
        &mut self,
        parent: SessionId,
        name: &str,
        object_id: &str,
        object_name: &str,
    ) -> Result<Place, SessionError> {
        let above = self.open_session(parent)?;
        let place = Place::below_path(&above.path, name, object_id, object_name)?;
        Ok(Place { parent: Some(parent), depth: above.depth + 1, ..place })
    }

    pub(super) fn open(&mut self, place: Place, session: Session) -> Result<SessionId, SessionError> {
        if place.depth >= DEPTH_MAX {
            return Err(SessionError::Limit(format!(
                "sessions lie at most {DEPTH_MAX} levels deep (session_depth_max)"
            )));
        }
        if self.open_paths.len() >= OPEN_MAX {
            return Err(SessionError::Limit(format!(
                "{OPEN_MAX} sessions are open (sessions_open_max); end some first"
            )));
        }
        if self.sessions.len() >= SESSIONS_MAX {
            return Err(SessionError::Limit(format!(
                "the run has had {SESSIONS_MAX} sessions (sessions_max); let one session serve several objects"
            )));
        }
        let bytes = 2 * place.path.len() + place.object_name.len() + session.cursor.as_ref().map_or(0, String::len);
        if self.remembered_bytes + bytes > REMEMBERED_BYTES_MAX {
            return Err(SessionError::Limit(format!(
                "the run's sessions have {REMEMBERED_BYTES_MAX} bytes of names and cursors (sessions_bytes_max); shorten them, or let \
                 one session serve several objects"
            )));
        }
        if !self.open_paths.insert(place.path.clone()) {
            return Err(SessionError::Conflict(format!("a session is already open at `{}`; end it first", place.path)));
        }
        if let Some(parent) = place.parent {
            self.open_session(parent)?.open_children += 1;
        }
        self.remembered_bytes += bytes;
        let id = SessionId(self.sessions.len() as u32);
        let Place { path, parent, object_name, depth } = place;
        self.sessions.push(Session { path, parent, object_name, depth, ..session });
        Ok(id)
    }

    /// Where a session's records are staged; an error for a tracking session.
    pub(super) fn staging(&mut self, id: SessionId) -> Result<SharedStaging, SessionError> {
        let session = self.open_session(id)?;
        session.staging.clone().ok_or_else(|| {
            SessionError::Invalid(format!(
                "`{}` is a tracking session and takes no records; open a model session for them",
                session.path
            ))
        })
    }

    pub(super) fn staged(&mut self, id: SessionId, ack: Ack, bytes: u64) {
        let records = u64::from(ack.accepted);
        self.output.0 += records;
        self.output.1 += bytes;
        // A session that was closed meanwhile has let go of what it staged.
        let Some(session) = self.sessions.get_mut(id.0 as usize).filter(|session| session.state == SessionState::Open)
        else {
            return;
        };
        session.staged.0 += records;
        session.staged.1 += bytes;
        session.unchanged += u64::from(ack.unchanged);
        if let Some(model) = &session.model {
            let sent = match self.sent.get_mut(model) {
                Some(sent) => sent,
                None => self.sent.entry(model.clone()).or_default(),
            };
            sent.batches += 1;
            sent.records += records + u64::from(ack.unchanged);
        }
        self.staged.0 += records;
        self.staged.1 += bytes;
    }

    /// Records accepted so far, committed or not, and their bytes.
    pub(super) fn output(&self) -> (u64, u64) {
        self.output
    }

    /// Records staged and not committed, over all sessions, and their bytes.
    pub(super) fn staged_in_all(&self) -> (u64, u64) {
        self.staged
    }

    fn unstage(&mut self, (records, bytes): (u64, u64)) {
        self.staged.0 = self.staged.0.saturating_sub(records);
        self.staged.1 = self.staged.1.saturating_sub(bytes);
    }

    /// Whether a session may be done.
    pub(super) fn may_end(&mut self, id: SessionId) -> Result<(), SessionError> {
        let session = self.open_session(id)?;
        match session.open_children {
            0 => Ok(()),
            n => Err(SessionError::Conflict(format!("`{}` has {n} open children; end them first", session.path))),
        }
    }

    pub(super) fn committing(&mut self, id: SessionId) -> Result<(String, Option<SharedStaging>), SessionError> {
        let session = self.open_session(id)?;
        Ok((session.path.clone(), session.staging.clone()))
    }

    /// Whether the cursor must stay: a session below failed, or is open and may yet.
    pub(super) fn held_back(&self, id: SessionId) -> bool {
        self.get(id).is_some_and(|s| s.held_back || s.open_children > 0)
    }

    pub(super) fn committed(&mut self, id: SessionId, cursor: Option<String>) {
        let Some(session) = self.get_mut(id) else { return };
        let staged = std::mem::take(&mut session.staged);
        session.records += staged.0;
        session.bytes += staged.1;
        let before = session.cursor.as_ref().map_or(0, String::len);
        session.cursor = cursor.or(session.cursor.take());
        let after = session.cursor.as_ref().map_or(0, String::len);
        self.remembered_bytes = (self.remembered_bytes + after).saturating_sub(before);
        self.unstage(staged);
    }

    pub(super) fn queue_job(&mut self, id: SessionId, job: NewJob, max: usize) -> Result<(), SessionError> {
        let (count, bytes) = (self.jobs.0 + 1, self.jobs.1 + job.repo.len());
        if count > JOBS_MAX || bytes > JOBS_BYTES_MAX {
            return Err(SessionError::Limit(format!(
                "a run may queue {JOBS_MAX} repositories (jobs_max) whose documents have {JOBS_BYTES_MAX} bytes in all \
                 (jobs_bytes_max); leave the others to the next run"
            )));
        }
        let session = self.open_session(id)?;
        if session.jobs.len() >= max {
            return Err(SessionError::Limit(format!(
                "{max} repositories are queued and not committed; checkpoint first"
            )));
        }
        session.jobs.push(job);
        self.jobs = (count, bytes);
        Ok(())
    }

    pub(super) fn take_jobs(&mut self, id: SessionId) -> Vec<NewJob> {
        self.get_mut(id).map(|s| std::mem::take(&mut s.jobs)).unwrap_or_default()
    }

    pub(super) fn restore_jobs(&mut self, id: SessionId, jobs: Vec<NewJob>) {
        if let Some(session) = self.get_mut(id) {
            session.jobs.splice(0..0, jobs);
        }
    }

    /// Closes a session and lets go of what it staged. Nothing happens if it is closed already.
    pub(super) fn close(&mut self, id: SessionId, state: SessionState) {
        let Ok(session) = self.open_session(id) else { return };
        session.state = state;
        session.took = Some(session.began.elapsed());
        session.staging = None;
        session.jobs.clear();
        let staged = std::mem::take(&mut session.staged);
        let (path, parent) = (session.path.clone(), session.parent);
        self.open_paths.remove(&path);
        self.unstage(staged);
        if let Some(parent) = parent.and_then(|p| self.get_mut(p)) {
            parent.open_children = parent.open_children.saturating_sub(1);
        }
    }

    /// Closes a session with all that is open below it.
    pub(super) fn close_subtree(&mut self, id: SessionId, state: &SessionState) {
        if self.open_session(id).is_err() {
            return;
        }
        // Children have higher ids than their parents, so one pass upward finds all.
        let mut below: HashSet<SessionId> = HashSet::from([id]);
        let mut open = vec![id];
        for (index, session) in self.sessions.iter().enumerate().skip(id.0 as usize + 1) {
            if session.parent.is_some_and(|p| below.contains(&p)) {
                below.insert(SessionId(index as u32));
                open.push(SessionId(index as u32));
            }
        }
        open.into_iter().rev().for_each(|id| self.close(id, state.clone()));
    }

    pub(super) fn hold_back_above(&mut self, id: SessionId) {
        let mut above = self.get(id).and_then(|s| s.parent);
        while let Some(session) = above.and_then(|id| self.get_mut(id)) {
            session.held_back = true;
            above = session.parent;
        }
    }

    pub(super) fn close_all(&mut self) {
        for index in (0..self.sessions.len()).rev() {
            self.close(SessionId(index as u32), SessionState::RolledBack);
        }
    }

    pub(super) fn summary(&self, id: SessionId) -> Option<SessionSummary> {
        self.get(id).map(summary)
    }

    pub(super) fn summaries(&self) -> Vec<SessionSummary> {
        self.sessions.iter().map(summary).collect()
    }
}

fn summary(session: &Session) -> SessionSummary {
    SessionSummary {
        path: session.path.clone(),
        model: session.model.clone(),
        object_name: session.object_name.clone(),
        state: session.state.clone(),
        records: session.records,
        bytes: session.bytes,
        unchanged: session.unchanged,
        staged: session.staged.0,
        staged_bytes: session.staged.1,
        progress_current: session.progress.0,
        progress_total: session.progress.1,
        duration_ms: session.took.unwrap_or_else(|| session.began.elapsed()).as_millis() as u64,
        cursor: session.cursor.clone(),
        resumed: session.resumed,
        held_back: session.held_back,
        depth: session.depth,
    }
}

//! From ripsrc's records to batches in sessions, with checkpoints in between. Which repository and which sessions these
//! are is `job`'s, what the lines say `records`', what a cursor means `cursor`'s.

use std::collections::HashSet;

use ripsrc::{CommitRecord, Messages, Oid, Record};

use super::cursor::{Cursor, FOLLOWS, Newest};
use super::job::{Failure, Work};
use super::records::{OfCommit, Owner};
use crate::export::SessionId;

/// Bytes of a batch: large enough that its fixed costs do not count, small enough to be held several times over.
pub(super) const BATCH_BYTES: usize = 512 << 10;
/// Commits between two looks at whether the run has been asked to end, and between two words on progress.
const COMMITS_PER_LOOK: u64 = 64;

/// The sessions that a history goes into.
#[derive(Clone, Copy)]
pub(super) struct Sessions {
    pub tracking: SessionId,
    pub commits: SessionId,
    pub users: SessionId,
    /// None where owners are not asked for.
    pub blames: Option<SessionId>,
}

/// Takes the records of one run over a history.
pub(super) struct Feed<'w, 'a, 'r> {
    pub work: &'w mut Work<'a>,
    owner: Owner<'a>,
    messages: Messages<'r>,
    sessions: Sessions,
    cursor: Cursor,
    newest: Newest,
    /// The commits whose changed files are not known, because the history is cut off below them.
    border: HashSet<Oid>,
    people: HashSet<String>,
    /// The commit that was begun last.
    of: Option<OfCommit>,
    in_border: bool,
    lines: Lines,
    /// Bytes since the last checkpoint.
    uncommitted: usize,
    count: u64,
}

/// Lines that have not been sent.
#[derive(Default)]
struct Lines {
    commits: Vec<u8>,
    users: Vec<u8>,
    blames: Vec<u8>,
}

impl<'w, 'a, 'r> Feed<'w, 'a, 'r> {
    pub(super) fn new(
        work: &'w mut Work<'a>,
        messages: Messages<'r>,
        sessions: Sessions,
        cursor: Cursor,
        shallow: &[Oid],
    ) -> Self {
        Feed {
            owner: work.owner(),
            work,
            messages,
            sessions,
            newest: Newest::new(&cursor.heads()),
            cursor,
            border: shallow.iter().copied().collect(),
            people: HashSet::new(),
            of: None,
            in_border: false,
            lines: Lines::default(),
            uncommitted: 0,
            count: 0,
        }
    }

    pub(super) fn take(&mut self, record: &Record<'_>) -> Result<(), Failure> {
        match record {
            Record::Commit(commit) => self.commit(commit),
            Record::Blame(_) if self.in_border => Ok(()),
            Record::Blame(blame) => {
                let (Some(of), Some(session)) = (&self.of, self.sessions.blames) else { return Ok(()) };
                let line = self.owner.blame(of, blame);
                self.uncommitted += line.len();
                self.lines.blames.extend_from_slice(&line);
                self.send_if_full(session, |lines| &mut lines.blames)
            }
            Record::Branch(_) => Ok(()),
        }
    }

    fn commit(&mut self, commit: &CommitRecord<'_>) -> Result<(), Failure> {
        // The files of the commit before are all there now.
        if self.uncommitted >= self.work.ctx.checkpoint_bytes {
            self.checkpoint()?;
        }
        if self.count.is_multiple_of(COMMITS_PER_LOOK) {
            self.work.look(&[self.sessions.tracking, self.sessions.commits], self.count, None)?;
        }
        self.count += 1;
        let message = self.messages.of(commit.sha).map_err(|fault| Failure::Damaged(fault.to_string()))?;
        self.in_border = self.border.contains(&commit.sha);
        let (of, line) = self.owner.commit(commit, &message, !self.in_border);
        self.of = Some(of);
        self.uncommitted += line.len();
        self.lines.commits.extend_from_slice(&line);
        for person in [commit.author, commit.committer] {
            let (key, line) = self.owner.user(person);
            if self.people.insert(key) {
                self.lines.users.extend_from_slice(&line);
            }
        }
        self.newest.add(commit);
        self.send_if_full(self.sessions.users, |lines| &mut lines.users)?;
        self.send_if_full(self.sessions.commits, |lines| &mut lines.commits)
    }

    fn send_if_full(&mut self, session: SessionId, lines: fn(&mut Lines) -> &mut Vec<u8>) -> Result<(), Failure> {
        if lines(&mut self.lines).len() < BATCH_BYTES {
            return Ok(());
        }
        self.send(session, lines)
    }

    fn send(&mut self, session: SessionId, lines: fn(&mut Lines) -> &mut Vec<u8>) -> Result<(), Failure> {
        self.work.send(session, lines(&mut self.lines))
    }

    fn send_all(&mut self) -> Result<(), Failure> {
        self.send(self.sessions.users, |lines| &mut lines.users)?;
        if let Some(session) = self.sessions.blames {
            self.send(session, |lines| &mut lines.blames)?;
        }
        self.send(self.sessions.commits, |lines| &mut lines.commits)
    }

    /// People and files first: what belongs to a commit is durable before the commit counts as exported.
    fn checkpoint(&mut self) -> Result<(), Failure> {
        self.send_all()?;
        self.uncommitted = 0;
        for session in [Some(self.sessions.users), self.sessions.blames].into_iter().flatten() {
            self.work.checkpoint(session, FOLLOWS)?;
        }
        let cursor = self.cursor.text(&self.newest, None, self.cursor.checkpoint.clone());
        self.work.checkpoint(self.sessions.commits, &cursor)
    }

    /// Sends the rest, and ends all sessions but that of commits, which stays open for its cursor.
    pub(super) fn finish(mut self) -> Result<Newest, Failure> {
        self.send_all()?;
        self.work.look(&[self.sessions.tracking, self.sessions.commits], self.count, Some(self.count))?;
        for session in [Some(self.sessions.users), self.sessions.blames].into_iter().flatten() {
            self.work.done(session, None)?;
        }
        Ok(self.newest)
    }
}

//! How an export goes on when a part of it fails, and how it ends: an account or a repository that fails leaves the others; a
//! spent budget pauses, and the next run goes on from there; too many failures in a row are the server's.

use std::collections::BTreeMap;

use agent_sdk::{Error, ErrorKind, ExportResult, Model, Result, Session, Tracking, control, log};
use serde::Serialize;

use crate::Stop;
use crate::notes::{self, Notes};
use crate::sourcecode::RepoError;
use crate::work::ProjectError;

/// Repositories that fail one after the other before the server is taken to be the one that fails.
const FAILURES_IN_A_ROW_MAX: u32 = 10;
/// Bytes of the reason of a skip.
const SKIP_BYTES_MAX: usize = 1_000;

/// An export that is under way.
#[derive(Debug, Default)]
pub struct Run {
    result: ExportResult,
    failures_in_a_row: u32,
}

/// A repository, or a project, that has been looked at: the source's kind, its id, and its name.
pub struct Repository<'a> {
    pub ref_type: &'static str,
    pub ref_id: String,
    pub name: &'a str,
}

impl Run {
    /// Exports accounts, one after the other, each with what is known of it.
    ///
    /// # Errors
    /// Where the next account would fail in the same way.
    pub fn accounts<T: Copy>(
        mut self,
        accounts: &[(&str, T)],
        mut export: impl FnMut(&mut Run, &str, T) -> Result<(), Stop>,
    ) -> Result<ExportResult> {
        for (name, known) in accounts {
            match export(&mut self, name, *known) {
                Ok(()) => {}
                Err(stop @ Stop::Failed(_)) if !stop.ends_all() => {
                    let error = stop.into_error();
                    log::error("the account is left out", &[("account", name), ("error", &error.to_string())]);
                    self.result.failed(*name, *name, &error);
                }
                Err(stop) => {
                    self.stopped(name, stop)?;
                    break;
                }
            }
        }
        Ok(self.result)
    }

    /// Ends the run where it is. What was committed stays, and the next run goes on there.
    fn stopped(&mut self, name: &str, stop: Stop) -> Result<()> {
        match stop {
            Stop::Asked => Ok(()),
            Stop::Failed(error) => Err(error),
            Stop::Paused(until) => {
                let why = "the server's budget of requests is spent, or down to the reserve";
                if let Some(until) = &until {
                    control::pause(until, why)?;
                }
                let until = until.unwrap_or_else(|| "it is renewed".to_owned());
                let error = Error::new(
                    ErrorKind::Unavailable,
                    format!("paused until {until}: {why}; the next run goes on from here"),
                );
                self.result.failed(name, name, &error);
                Ok(())
            }
        }
    }

    /// Says what was left out of an account's own lists.
    pub fn account_noted(&mut self, name: &str, notes: Notes) {
        if let Some(all) = notes.tell(name) {
            self.result.failed(name, name, &Error::msg(all));
        }
    }

    /// Ends the session of a repository of which nothing has moved. Deletions that an earlier run did not believe are said again.
    pub fn unmoved(
        &mut self,
        tracking: Session<Tracking>,
        repository: &Repository<'_>,
        refused: &BTreeMap<String, String>,
    ) -> Result<()> {
        tracking.done(None)?;
        let (ref_id, name) = (&repository.ref_id, repository.name);
        if refused.is_empty() {
            self.result.exported(ref_id, name);
            return Ok(());
        }
        let mut notes = Notes::default();
        refused.values().for_each(|why| notes.refused(why.clone()));
        let all = notes.tell(name).unwrap_or_default();
        self.result.failed(ref_id, name, &Error::msg(all));
        Ok(())
    }

    /// Ends the session of a repository that was exported, with its cursor, or that failed. Its own failure is noted, and is
    /// none of the run.
    pub fn exported(
        &mut self,
        tracking: Session<Tracking>,
        repository: &Repository<'_>,
        exported: Result<String, Stop>,
        notes: Notes,
    ) -> Result<(), Stop> {
        self.ended(tracking, repository, exported, notes, RepoError::new)
    }

    /// The same of a project that is no repository.
    pub fn project_exported(
        &mut self,
        tracking: Session<Tracking>,
        project: &Repository<'_>,
        exported: Result<String, Stop>,
        notes: Notes,
    ) -> Result<(), Stop> {
        self.ended(tracking, project, exported, notes, ProjectError::new)
    }

    fn ended<M: Model + Serialize>(
        &mut self,
        tracking: Session<Tracking>,
        repository: &Repository<'_>,
        exported: Result<String, Stop>,
        notes: Notes,
        record: impl FnOnce(&'static str, String, Option<String>) -> M,
    ) -> Result<(), Stop> {
        let (ref_id, name) = (&repository.ref_id, repository.name);
        let left_out = notes.tell(name);
        match exported {
            Ok(cursor) => {
                self.failures_in_a_row = 0;
                health(&tracking, repository, record(repository.ref_type, ref_id.clone(), left_out.clone()))?;
                tracking.done(Some(&cursor))?;
                match left_out {
                    Some(all) => self.result.failed(ref_id, name, &Error::msg(all)),
                    None => self.result.exported(ref_id, name),
                }
                Ok(())
            }
            Err(Stop::Failed(error)) => {
                let why = error.to_string();
                health(&tracking, repository, record(repository.ref_type, ref_id.clone(), Some(why.clone())))?;
                log::error("the repository is left out", &[("repository", name), ("error", &why)]);
                tracking.skip(notes::shortened(&why, SKIP_BYTES_MAX));
                self.result.failed(ref_id, name, &error);
                self.failures_in_a_row += 1;
                let all = error.kind() == ErrorKind::Denied;
                let server = self.failures_in_a_row >= FAILURES_IN_A_ROW_MAX;
                if all || server { Err(Stop::Failed(error)) } else { Ok(()) }
            }
            Err(stop) => {
                tracking.done(None)?;
                Err(stop)
            }
        }
    }
}

/// Says how it went with a repository.
fn health<M: Model + Serialize>(tracking: &Session<Tracking>, repository: &Repository<'_>, record: M) -> Result<()> {
    let mut session = tracking.model::<M>(&repository.ref_id, repository.name)?;
    session.send(&record)?;
    session.done(None)?;
    Ok(())
}

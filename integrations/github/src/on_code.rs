//! Comments on the code of pull requests, of a whole repository at a time: REST has them in one list, a hundred for a point,
//! where GraphQL would take a connection inside of each review.

use std::collections::HashSet;

use agent_sdk::updated::earlier;
use agent_sdk::{Session, paging};
use integration_model::remembered::Remembered;
use integration_model::sourcecode::PullRequestComment;
use integration_model::threads::OVERLAP_SECS;
use integration_model::{Stop, notes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::comment::SaidOfCode;
use crate::threads::Scope;

const PER_PAGE: u32 = 100;
const PAGES_PER_COMMIT: u64 = 10;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Cursor {
    /// The newest update of a pull request when the last complete run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// The same of a run that is not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    began: Option<String>,
    /// The page at which that goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}

impl Cursor {
    /// What it was; the beginning, where it was something else.
    pub fn read(text: Option<&str>) -> Cursor {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// The text of it, with what is remembered of the comments of conversations, which have the same session.
    pub fn text(&self, remembered: &Remembered) -> String {
        let mut text = json!(self);
        text["remembered"] = remembered.to_text().into();
        text.to_string()
    }
}

/// Reads what was written since the last run; it is committed whatever ends it. A comment moves its pull request, so that
/// there is nothing to read where none has moved.
pub fn read(
    scope: &mut Scope<'_>,
    session: &mut Session<PullRequestComment>,
    remembered: &Remembered,
) -> Result<(), Stop> {
    let mut cursor = Cursor::read(session.last_processed().as_deref());
    if cursor.began.is_none() {
        cursor.began.clone_from(&scope.repo.pull_requests.updated_at);
    }
    let since = cursor.since.as_deref().and_then(|since| earlier(since, OVERLAP_SECS));
    let (owner, name) = scope.repo.parts();
    // By creation, which nothing changes while pages are read.
    let request = scope
        .api
        .request("GET", &["repos", owner, name, "pulls", "comments"])
        .query("sort", "created")
        .query("direction", "asc")
        .query("per_page", PER_PAGE)
        .query_opt("since", since);
    // By id: pages that move while they are read, or that are repeated, bring some twice.
    let mut sent = HashSet::new();
    for page in paging::link::<Value>(request).resume(cursor.at.as_deref()) {
        let page = match page {
            Ok(page) => page,
            Err(fault) => {
                session.checkpoint(&cursor.text(remembered))?;
                return Err(fault.into());
            }
        };
        for item in page.items {
            if item["id"].as_u64().is_none_or(|id| sent.insert(id)) {
                send(scope, session, item)?;
            }
        }
        cursor.at = page.next;
        if page.number % PAGES_PER_COMMIT == 0 {
            session.checkpoint(&cursor.text(remembered))?;
        }
        if cursor.at.is_some() && session.should_stop() {
            session.checkpoint(&cursor.text(remembered))?;
            return Err(Stop::Asked);
        }
    }
    let since = cursor.began.or(cursor.since);
    session.checkpoint(&Cursor { since, ..Cursor::default() }.text(remembered))?;
    Ok(())
}

fn send(scope: &mut Scope<'_>, session: &mut Session<PullRequestComment>, item: Value) -> Result<(), Stop> {
    let id = item["id"].clone();
    let read: Result<SaidOfCode, String> = notes::read(item);
    let found = read.and_then(|said| Ok((said.number().ok_or("its pull request has no number")?, said)));
    match found {
        Ok((number, said)) => {
            let pull_request = scope.thread_id(number);
            let record = said.record(&scope.repo.ref_id(), &pull_request, &mut scope.notes);
            session.send(&record)?;
        }
        Err(why) => scope.notes.left_out(&format!("comment {id} on code: {why}")),
    }
    Ok(())
}

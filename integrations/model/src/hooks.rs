//! Webhooks that are made where they are missing: when to look for one again, and what is said of it. How a source is asked
//! for them is the integration's own.

use agent_sdk::updated::{from_now, is_before};
use agent_sdk::{Session, Tracking, log};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Stop;
use crate::sourcecode::RepoWebhook;

/// Seconds after which a webhook is looked for again: somebody may have deleted it, or switched it off. It is a request each,
/// so seldom for those of repositories, of which there may be a thousand.
const ACCOUNT_AGAIN_SECS: u64 = 24 * 3_600;
const REPOSITORY_AGAIN_SECS: u64 = 7 * 24 * 3_600;

/// Whose webhook it is.
pub struct Of<'a> {
    pub ref_type: &'static str,
    /// The repository's number; kind/name of a whole account.
    pub id: &'a str,
    pub name: &'a str,
    /// Whether it is a repository's.
    pub repository: bool,
}

/// A webhook that was there.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Cursor {
    url: String,
    /// When to look again.
    again_at: String,
}

impl Cursor {
    /// Whether there is nothing to do yet. What cannot be read is looked at again.
    fn holds(session: &Session<RepoWebhook>, url: &str) -> bool {
        let cursor = session.last_processed().and_then(|cursor| serde_json::from_str::<Cursor>(&cursor).ok());
        cursor.is_some_and(|cursor| cursor.url == url && is_before(&from_now(0), &cursor.again_at))
    }
}

/// Has a webhook made where there is none with our URL, and says how that went. Once it is known to be there nothing is asked
/// for a while, unless the URL changes. Where it cannot be made the export goes on without.
pub fn ensure(
    tracking: &Session<Tracking>,
    of: &Of<'_>,
    url: Option<String>,
    make: impl FnOnce(&str) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let Some(url) = url else {
        log::warn("webhooks are to be made, and nobody receives any: give `webhook_url`", &[]);
        return Ok(());
    };
    let mut session = tracking.model::<RepoWebhook>(of.id, of.name)?;
    if Cursor::holds(&session, &url) {
        session.done(None)?;
        return Ok(());
    }
    let error_message = match make(&url) {
        Ok(()) => None,
        Err(stop @ (Stop::Paused(_) | Stop::Asked)) => {
            session.done(None)?;
            return Err(stop);
        }
        // A credential that may read may not always do this.
        Err(Stop::Failed(error)) => {
            log::warn("the webhook could not be made", &[("of", of.name), ("error", &error.to_string())]);
            Some(error.to_string())
        }
    };
    let enabled = error_message.is_none();
    session.send(&RepoWebhook {
        ref_id: of.id.to_owned(),
        ref_type: of.ref_type,
        repo_id: of.repository.then(|| of.id.to_owned()),
        enabled,
        url: enabled.then(|| url.clone()),
        error_message,
    })?;
    let again_secs = if of.repository { REPOSITORY_AGAIN_SECS } else { ACCOUNT_AGAIN_SECS };
    let cursor = json!(Cursor { url, again_at: from_now(again_secs) }).to_string();
    session.done(enabled.then_some(cursor.as_str()))?;
    Ok(())
}

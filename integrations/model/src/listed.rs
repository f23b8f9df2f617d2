//! Records of a list that every run reads to its end: those that are in it are sent, and those that were and are not any more
//! have gone, as far as that is believed and confirmed.

use agent_sdk::sweep::{self, Ids};
use agent_sdk::{Model, Session, log};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{SET_BYTES_MAX, Stop};

/// What was sent and has not gone.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Cursor {
    #[serde(default)]
    set: String,
}

/// Sends `records`, by number, and closes the session. Of what was sent before and is not among `listed`, `gone` gives the
/// record that says so; none where it is there after all.
///
/// # Errors
/// Where the host or the server fails.
pub fn send<M: Model + Serialize>(
    mut session: Session<M>,
    records: Vec<(u64, M)>,
    listed: &Ids,
    mut gone: impl FnMut(u64) -> Result<Option<M>, Stop>,
) -> Result<(), Stop> {
    let cursor: Cursor =
        session.last_processed().and_then(|cursor| serde_json::from_str(&cursor).ok()).unwrap_or_default();
    let mut known = Ids::parse(&cursor.set).unwrap_or_default();
    for (_, record) in &records {
        session.send(record)?;
    }
    match sweep::gone(&known, listed) {
        Ok(missing) => {
            for id in missing {
                if let Some(record) = gone(id)? {
                    session.send(&record)?;
                    known.remove(id);
                }
            }
        }
        Err(too_many) => log::warn("records are missing", &[("model", M::NAME), ("why", &too_many.to_string())]),
    }
    known.extend(records.iter().map(|(id, _)| *id));
    let cursor = json!(Cursor { set: known.to_text() }).to_string();
    if cursor.len() > SET_BYTES_MAX {
        log::warn("there are more than are remembered; those that go are not noticed", &[("model", M::NAME)]);
    }
    session.done((cursor.len() <= SET_BYTES_MAX).then_some(cursor.as_str()))?;
    Ok(())
}

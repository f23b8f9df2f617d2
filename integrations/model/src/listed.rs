//! Records of a list that every run reads to its end: those that are in it are sent, and those that were and are not any more
//! have gone, as far as that is believed and confirmed.

use agent_sdk::sweep::Ids;
use agent_sdk::{Model, Session, log};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::deletions::Accepted;
use crate::notes::Notes;
use crate::{SET_BYTES_MAX, Stop};

/// What was sent and has not gone.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Cursor {
    #[serde(default)]
    set: String,
}

/// Whose list it is.
pub struct Of<'a> {
    /// The account, repository or site, as people call it.
    pub place: &'a str,
    pub accepted: &'a Accepted,
}

/// Sends `records`, by number, and closes the session. Of what was sent before and is not among `listed`, `gone` gives the
/// record that says so; none where it is there after all.
///
/// # Errors
/// Where the host or the server fails. What was sent until then is committed.
pub fn send<M: Model + Serialize>(
    mut session: Session<M>,
    of: &Of<'_>,
    records: Vec<(u64, M)>,
    listed: &Ids,
    notes: &mut Notes,
    gone: impl FnMut(u64) -> Result<Option<M>, Stop>,
) -> Result<(), Stop> {
    let cursor: Cursor =
        session.last_processed().and_then(|cursor| serde_json::from_str(&cursor).ok()).unwrap_or_default();
    let mut known = Ids::parse(&cursor.set).unwrap_or_default();
    for (_, record) in &records {
        session.send(record)?;
    }
    let said = say_gone(&mut session, of, &mut known, listed, notes, gone);
    known.extend(records.iter().map(|(id, _)| *id));
    let cursor = json!(Cursor { set: known.to_text() }).to_string();
    if cursor.len() > SET_BYTES_MAX {
        log::warn("there are more than are remembered; those that go are not noticed", &[("model", M::NAME)]);
    }
    session.done((cursor.len() <= SET_BYTES_MAX).then_some(cursor.as_str()))?;
    said
}

fn say_gone<M: Model + Serialize>(
    session: &mut Session<M>,
    of: &Of<'_>,
    known: &mut Ids,
    listed: &Ids,
    notes: &mut Notes,
    mut gone: impl FnMut(u64) -> Result<Option<M>, Stop>,
) -> Result<(), Stop> {
    match of.accepted.gone::<M>(of.place, known, listed)? {
        Ok(missing) => {
            for id in missing {
                if let Some(record) = gone(id)? {
                    session.send(&record)?;
                    known.remove(id);
                }
            }
            of.accepted.spend::<M>(of.place)?;
        }
        Err(refused) => notes.refused(refused),
    }
    Ok(())
}

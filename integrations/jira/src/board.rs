//! Boards with their columns, and the sprints that are on them. Both are read as a whole once a day, sprints that may still change
//! more often; a sprint that an issue names comes with the issue.

use std::collections::HashMap;

use agent_sdk::sweep::Ids;
use agent_sdk::{Result, Session, Tracking, state};
use integration_model::deletions::Accepted;
use integration_model::notes::{self, Notes};
use integration_model::work::{Board, BoardFields, Column, Sprint};
use integration_model::{SET_BYTES_MAX, Stop, listed};
use serde::Deserialize;
use serde_json::Value;

use crate::api::{Api, counted};
use crate::lists::note_read;
use crate::search::id_of;
use crate::sprint::Said;
use crate::{REF_TYPE, SITE};

/// Seconds after which boards and all their sprints are read again: some requests for each board.
const BOARDS_EVERY_SECS: u32 = 24 * 3_600;
/// The same for sprints that are not closed: a request for each board that has sprints.
const SPRINTS_EVERY_SECS: u32 = 6 * 3_600;
const BOARDS_READ: &str = "boards";
const SPRINTS_READ: &str = "sprints";
const NOT_FOUND: u16 = 404;
/// Boards, or sprints, of one request.
const AGILE_PAGE: u32 = 50;

/// A board as the server says it.
#[derive(Debug, Deserialize)]
struct Found {
    id: u64,
    name: String,
    r#type: Option<String>,
    location: Option<Location>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    project_id: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct ColumnOf {
    #[serde(default)]
    name: String,
    #[serde(default)]
    statuses: Vec<StatusOf>,
}

#[derive(Debug, Deserialize)]
struct StatusOf {
    id: String,
}

/// Sends sprints, each as often as it is said anew.
pub struct Sprints {
    /// None in a call that exports nothing.
    session: Option<Session<Sprint>>,
    /// Those that were on a board and have not gone.
    known: Ids,
    /// What was sent of each.
    sent: HashMap<String, String>,
}

impl Sprints {
    pub fn open(root: &Session<Tracking>) -> Result<Sprints> {
        let session = root.model::<Sprint>(SITE, "")?;
        let known = session.last_processed().as_deref().and_then(Ids::parse).unwrap_or_default();
        Ok(Sprints { session: Some(session), known, sent: HashMap::new() })
    }

    /// Sends a sprint, unless this run has sent it just so. What a board said of it counts more than what an issue says, which
    /// may be from a copy that is behind.
    pub fn meet(&mut self, sprint: Sprint) -> Result<()> {
        if self.sent.contains_key(&sprint.ref_id) { Ok(()) } else { self.send(&sprint) }
    }

    /// Sends a sprint that is on a board.
    fn listed(&mut self, sprint: &Sprint) -> Result<()> {
        self.known.extend(sprint.ref_id.parse::<u64>());
        self.send(sprint)
    }

    fn send(&mut self, sprint: &Sprint) -> Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let text = serde_json::to_string(sprint)?;
        if self.sent.get(&sprint.ref_id) == Some(&text) {
            return Ok(());
        }
        session.send(sprint)?;
        self.sent.insert(sprint.ref_id.clone(), text);
        Ok(())
    }

    pub fn checkpoint(&mut self) -> Result<()> {
        match &mut self.session {
            // More than there is room for are forgotten, and do not go then.
            Some(session) => {
                let known = Some(self.known.to_text()).filter(|known| known.len() <= SET_BYTES_MAX);
                session.checkpoint(&known.unwrap_or_default())
            }
            None => Ok(()),
        }
    }

    /// Says which sprints have gone, of those that are on no board any more.
    fn gone(&mut self, api: &Api, listed: &Ids, accepted: &Accepted, notes: &mut Notes) -> Result<(), Stop> {
        let missing = match accepted.gone::<Sprint>(SITE, &self.known, listed)? {
            Ok(missing) => missing,
            Err(refused) => {
                notes.refused(refused);
                return Ok(());
            }
        };
        for id in missing {
            // One may have lost its board and be there all the same.
            if api.agile(&["sprint", &id.to_string()]).send()?.status == NOT_FOUND
                && let Some(session) = &mut self.session
            {
                session.send(&Sprint::gone(REF_TYPE, id.to_string()))?;
                self.known.remove(id);
            }
        }
        Ok(accepted.spend::<Sprint>(SITE)?)
    }

    pub fn done(mut self) -> Result<()> {
        self.checkpoint()?;
        self.session.map_or(Ok(()), |session| session.done(None).map(drop))
    }
}

/// Reads boards and sprints, where it is time.
pub fn read(
    api: &Api,
    root: &Session<Tracking>,
    sprints: &mut Sprints,
    accepted: &Accepted,
    notes: &mut Notes,
) -> Result<(), Stop> {
    let session = root.model::<Board>(SITE, "")?;
    let accepts = accepted.concerns::<Board>(SITE) || accepted.concerns::<Sprint>(SITE);
    let all = accepts || session.last_processed().is_none() || state::get(BOARDS_READ)?.is_none();
    if !all && state::get(SPRINTS_READ)?.is_some() {
        session.done(None)?;
        return Ok(());
    }
    let before = notes.count();
    let boards = boards(api, session, all, accepted, notes)?;
    sprints_of(api, &boards, all, sprints, accepted, notes)?;
    let whole = notes.count() == before;
    if all {
        note_read(BOARDS_READ, BOARDS_EVERY_SECS, whole)?;
    }
    Ok(note_read(SPRINTS_READ, SPRINTS_EVERY_SECS, whole)?)
}

/// The boards; their records are sent where all of it is read.
fn boards(
    api: &Api,
    session: Session<Board>,
    all: bool,
    accepted: &Accepted,
    notes: &mut Notes,
) -> Result<Vec<Found>, Stop> {
    let (mut found, mut listed) = (Vec::new(), Ids::new());
    for board in counted(api.agile(&["board"]).query("maxResults", AGILE_PAGE), "/values")? {
        let name = board["name"].clone();
        let new = id_of(&board).is_none_or(|id| listed.insert(id));
        match notes::read::<Found>(board) {
            Ok(board) if new => found.push(board),
            Ok(_) => {}
            Err(why) => notes.left_out(&format!("board {name}: {why}")),
        }
    }
    if !all {
        session.done(None)?;
        return Ok(found);
    }
    let mut records = Vec::with_capacity(found.len());
    for board in &found {
        match columns(api, board.id) {
            Ok(columns) => records.push((board.id, record(api, board, columns, notes))),
            Err(stop) if matches!(stop, Stop::Failed(_)) && !stop.ends_all() => {
                notes.left_out(&format!("board {}: its columns: {}", board.name, stop.into_error()));
            }
            Err(stop) => return Err(stop),
        }
    }
    let of = listed::Of { place: SITE, accepted };
    listed::send(session, &of, records, &listed, notes, |id| Ok(Some(Board::gone(REF_TYPE, id.to_string()))))?;
    Ok(found)
}

fn columns(api: &Api, board: u64) -> Result<Vec<Column>, Stop> {
    let answer: Value = api.agile(&["board", &board.to_string(), "configuration"]).send()?.check()?.json()?;
    let columns: Vec<ColumnOf> = serde_json::from_value(answer["columnConfig"]["columns"].clone())
        .map_err(|why| agent_sdk::Error::msg(format!("columnConfig: {why}")))?;
    let column = |column: ColumnOf| Column {
        name: column.name,
        status_ref_ids: column.statuses.into_iter().map(|status| status.id).collect(),
    };
    Ok(columns.into_iter().map(column).collect())
}

fn record(api: &Api, board: &Found, columns: Vec<Column>, notes: &mut Notes) -> Board {
    let kind = board.r#type.as_deref().unwrap_or_default().to_uppercase();
    let fields = BoardFields {
        name: notes.text(board.name.clone()),
        // Boards of projects that teams manage themselves are `simple`, and may have sprints or not.
        r#type: if kind == "SIMPLE" { "OTHER" } else { notes.word("board.type", &kind, &["SCRUM", "KANBAN"]) },
        // The cloud has a path of its own for each project, and leads there from this one.
        url: Some(format!("{}/secure/RapidBoard.jspa?rapidView={}", api.server, board.id)),
        project_id: board.location.as_ref().and_then(|location| location.project_id).map(|id| id.to_string()),
        columns,
    };
    Board::new(REF_TYPE, board.id.to_string(), fields)
}

fn sprints_of(
    api: &Api,
    boards: &[Found],
    all: bool,
    sprints: &mut Sprints,
    accepted: &Accepted,
    notes: &mut Notes,
) -> Result<(), Stop> {
    let mut listed = Ids::new();
    let mut whole = true;
    for board in boards.iter().filter(|board| board.r#type.as_deref() != Some("kanban")) {
        let request = api.agile(&["board", &board.id.to_string(), "sprint"]).query("maxResults", AGILE_PAGE);
        let request = if all { request } else { request.query("state", "active,future") };
        let found = match counted(request, "/values") {
            Ok(found) => found,
            Err(stop) if matches!(stop, Stop::Failed(_)) && !stop.ends_all() => {
                // A board that does without sprints says so in this way.
                if board.r#type.as_deref() == Some("scrum") {
                    whole = false;
                    notes.left_out(&format!("sprints of board {}: {}", board.name, stop.into_error()));
                }
                continue;
            }
            Err(stop) => return Err(stop),
        };
        for sprint in found {
            match Said::read(&sprint) {
                Some(said) => {
                    listed.insert(said.id);
                    let record = said.record(notes);
                    sprints.listed(&record)?;
                }
                None => {
                    whole = false;
                    notes.left_out(&format!("sprint {} of board {}: it is none", sprint["id"], board.name));
                }
            }
        }
    }
    if all && whole {
        sprints.gone(api, &listed, accepted, notes)?;
    }
    Ok(sprints.checkpoint()?)
}

/// One sprint as it is now; none where it has gone.
pub fn one(api: &Api, id: u64, notes: &mut Notes) -> Result<Option<Sprint>, Stop> {
    let answer = api.agile(&["sprint", &id.to_string()]).send()?;
    if answer.status == NOT_FOUND {
        return Ok(None);
    }
    let found: Value = answer.check()?.json()?;
    let said =
        Said::read(&found).ok_or_else(|| agent_sdk::Error::msg(format!("the answer for sprint {id} is none")))?;
    Ok(Some(said.record(notes)))
}

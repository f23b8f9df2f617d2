//! Boards with their columns, and the sprints that are on them. Both are read as a whole once a day, sprints that may still change
//! more often; a sprint that an issue names comes with the issue.

use std::collections::{HashMap, HashSet};

use agent_sdk::sweep::Ids;
use agent_sdk::{Result, Session, Tracking, log, state};
use integration_model::Stop;
use integration_model::notes::{self, Notes};
use integration_model::work::{Board, BoardFields, Column, Sprint};
use serde::Deserialize;
use serde_json::Value;

use crate::api::{Api, counted};
use crate::lists::Known;
use crate::sprint::Said;
use crate::{REF_TYPE, SITE};

/// Seconds after which boards and all their sprints are read again: some requests for each board.
const BOARDS_EVERY_SECS: u32 = 24 * 3_600;
/// The same for sprints that are not closed: a request for each board that has sprints.
const SPRINTS_EVERY_SECS: u32 = 6 * 3_600;
const BOARDS_READ: &str = "boards";
const SPRINTS_READ: &str = "sprints";
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
    known: Known,
    /// What was sent of each.
    sent: HashMap<String, String>,
}

impl Sprints {
    pub fn open(root: &Session<Tracking>) -> Result<Sprints> {
        let session = root.model::<Sprint>(SITE, "")?;
        let known = Known::of(&session);
        Ok(Sprints { session: Some(session), known, sent: HashMap::new() })
    }

    /// Sends a sprint, unless this run has sent it just so. What a board said of it counts more than what an issue says, which
    /// may be from a copy that is behind.
    pub fn meet(&mut self, sprint: Sprint) -> Result<()> {
        if self.sent.contains_key(&sprint.ref_id) { Ok(()) } else { self.send(&sprint) }
    }

    fn send(&mut self, sprint: &Sprint) -> Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let text = serde_json::to_string(sprint)?;
        if self.sent.get(&sprint.ref_id) == Some(&text) {
            return Ok(());
        }
        self.known.insert(&sprint.ref_id);
        session.send(sprint)?;
        self.sent.insert(sprint.ref_id.clone(), text);
        Ok(())
    }

    pub fn checkpoint(&mut self) -> Result<()> {
        match &mut self.session {
            Some(session) => session.checkpoint(&self.known.text()),
            None => Ok(()),
        }
    }

    pub fn done(mut self) -> Result<()> {
        self.checkpoint()?;
        self.session.map_or(Ok(()), |session| session.done(None).map(drop))
    }
}

/// Reads boards and sprints, where it is time.
pub fn read(api: &Api, root: &Session<Tracking>, sprints: &mut Sprints, notes: &mut Notes) -> Result<(), Stop> {
    let mut session = root.model::<Board>(SITE, "")?;
    let first = session.last_processed().is_none();
    let (boards_due, sprints_due) = (state::get(BOARDS_READ)?.is_none(), state::get(SPRINTS_READ)?.is_none());
    if !first && !boards_due && !sprints_due {
        session.done(None)?;
        return Ok(());
    }
    let all = first || boards_due;
    let read = boards(api, &mut session, all, notes).and_then(|boards| sprints_of(api, &boards, all, sprints, notes));
    session.done(None)?;
    match read {
        Ok(()) => {
            if all {
                state::set_expiring(BOARDS_READ, "read", BOARDS_EVERY_SECS)?;
            }
            state::set_expiring(SPRINTS_READ, "read", SPRINTS_EVERY_SECS)?;
            Ok(())
        }
        // Without Jira Software there are none, and not every credential may see them.
        Err(stop) if matches!(stop, Stop::Failed(_)) => {
            log::warn("boards are not to be had", &[("error", &stop.into_error().to_string())]);
            Ok(())
        }
        Err(stop) => Err(stop),
    }
}

/// The boards; their records, where they are to be sent.
fn boards(api: &Api, session: &mut Session<Board>, send: bool, notes: &mut Notes) -> Result<Vec<Found>, Stop> {
    let (mut found, mut seen, mut whole) = (Vec::new(), HashSet::new(), true);
    for board in counted(api.agile(&["board"]).query("maxResults", AGILE_PAGE), "/values")? {
        let name = board["name"].clone();
        match notes::read::<Found>(board) {
            Ok(board) if seen.insert(board.id) => found.push(board),
            Ok(_) => {}
            Err(why) => {
                whole = false;
                notes.left_out(&format!("board {name}: {why}"));
            }
        }
    }
    if !send {
        return Ok(found);
    }
    let mut known = Known::of(session);
    for board in &found {
        match columns(api, board.id) {
            Ok(columns) => session.send(&record(api, board, columns, notes))?,
            Err(stop) if matches!(stop, Stop::Failed(_)) && !stop.ends_all() => {
                notes.left_out(&format!("board {}: its columns: {}", board.name, stop.into_error()));
            }
            Err(stop) => return Err(stop),
        }
    }
    let listed: Ids = found.iter().map(|board| board.id).collect();
    for id in known.gone(&listed, whole, "boards") {
        session.send(&Board::gone(REF_TYPE, id))?;
    }
    session.checkpoint(&known.text())?;
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
        name: board.name.clone(),
        // Boards of projects that teams manage themselves are `simple`, and may have sprints or not.
        r#type: if kind == "SIMPLE" { "OTHER" } else { notes.word("board.type", &kind, &["SCRUM", "KANBAN"]) },
        // The cloud has a path of its own for each project, and leads there from this one.
        url: Some(format!("{}/secure/RapidBoard.jspa?rapidView={}", api.server, board.id)),
        project_id: board.location.as_ref().and_then(|location| location.project_id).map(|id| id.to_string()),
        columns,
    };
    Board::new(REF_TYPE, board.id.to_string(), fields)
}

fn sprints_of(api: &Api, boards: &[Found], all: bool, sprints: &mut Sprints, notes: &mut Notes) -> Result<(), Stop> {
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
                    sprints.send(&record)?;
                }
                None => {
                    whole = false;
                    notes.left_out(&format!("sprint {} of board {}: it is none", sprint["id"], board.name));
                }
            }
        }
    }
    if all {
        for id in sprints.known.gone(&listed, whole, "sprints") {
            // One that only issues name is on a board that the credential may not see.
            if is_gone(api, &id)?
                && let Some(session) = &mut sprints.session
            {
                session.send(&Sprint::gone(REF_TYPE, id))?;
            }
        }
    }
    Ok(sprints.checkpoint()?)
}

fn is_gone(api: &Api, id: &str) -> Result<bool, Stop> {
    Ok(api.agile(&["sprint", id]).send()?.status == 404)
}

/// One sprint as it is now; none where it has gone.
pub fn one(api: &Api, id: u64, notes: &mut Notes) -> Result<Option<Sprint>, Stop> {
    let answer = api.agile(&["sprint", &id.to_string()]).send()?;
    if answer.status == 404 {
        return Ok(None);
    }
    let found: Value = answer.check()?.json()?;
    let said = Said::read(&found).ok_or_else(|| agent_sdk::Error::msg(format!("the answer for sprint {id} is none")))?;
    Ok(Some(said.record(notes)))
}

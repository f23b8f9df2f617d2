//! Milestones of groups and of projects, as the sprints that issues are planned for. The lists are short and say of nothing
//! that it has gone, so each is read as a whole when something has moved.

use agent_sdk::sweep::Ids;
use agent_sdk::updated::from_now;
use agent_sdk::{Session, Tracking};
use integration_model::deletions::Accepted;
use integration_model::notes::{self, Notes};
use integration_model::work::{Sprint, SprintFields};
use integration_model::{Stop, listed};
use serde::Deserialize;
use serde_json::Value;

use crate::REF_TYPE;
use crate::api::Api;
use crate::walk;

/// A milestone as the server says it.
#[derive(Debug, Deserialize)]
struct Node {
    id: u64,
    /// None of one that belongs to a group.
    project_id: Option<u64>,
    title: String,
    description: Option<String>,
    state: String,
    start_date: Option<String>,
    due_date: Option<String>,
    updated_at: Option<String>,
    web_url: Option<String>,
}

impl Node {
    #[allow(clippy::needless_update, reason = "other sources know more of a sprint")]
    fn record(self, today: &str, notes: &mut Notes) -> Sprint {
        let closed = self.state == "closed";
        let status = match self.state.as_str() {
            "closed" => "CLOSED",
            "active" if self.start_date.as_deref().is_some_and(|start| start > today) => "FUTURE",
            "active" => "ACTIVE",
            other => notes.word("milestone.state", other, &[]),
        };
        let fields = SprintFields {
            name: notes.text(self.title),
            goal: notes.text(self.description.unwrap_or_default()),
            status,
            url: self.web_url,
            project_id: self.project_id.map(|id| id.to_string()),
            started_at: self.start_date,
            ended_at: self.due_date,
            // What moves one that is closed is its closing.
            completed_at: self.updated_at.filter(|_| closed),
            ..SprintFields::default()
        };
        Sprint::new(REF_TYPE, self.id.to_string(), fields)
    }
}

/// Sends the milestones of a group with those of all groups below it, or of a project: `above` says whose, and `of` what their
/// session is called. Nothing depends on them: where they are not to be had, it is noted.
pub fn send(
    api: &Api,
    tracking: &Session<Tracking>,
    above: &[&str],
    of: (&str, &str),
    accepted: &Accepted,
    notes: &mut Notes,
) -> Result<(), Stop> {
    match send_all(api, tracking, above, of, accepted, notes) {
        Err(stop) if stop.is_passing() => {
            notes.left_out(&format!("milestones: {}", stop.into_error()));
            Ok(())
        }
        sent => sent,
    }
}

fn send_all(
    api: &Api,
    tracking: &Session<Tracking>,
    above: &[&str],
    (id, name): (&str, &str),
    accepted: &Accepted,
    notes: &mut Notes,
) -> Result<(), Stop> {
    let segments: Vec<&str> = [above, &["milestones"]].concat();
    let request = api.list(&segments);
    let request = if above.first() == Some(&"groups") { request.query("include_descendants", true) } else { request };
    let (mut nodes, mut whole) = (Vec::new(), true);
    walk::all(
        request,
        |item| nodes.push(item),
        |what| {
            whole = false;
            notes.left_out(&format!("milestone {what}"));
        },
    )?;
    let today = from_now(0);
    let (mut records, mut seen) = (Vec::new(), Ids::new());
    for node in nodes {
        let id = node["id"].as_u64();
        seen.extend(id);
        match notes::read::<Node>(node) {
            Ok(node) => records.push((node.id, node.record(&today[..10], notes))),
            Err(why) => notes.left_out(&format!("milestone {}: {why}", id.map_or(Value::Null, Value::from))),
        }
    }
    records.sort_by_key(|(id, _)| *id);
    records.dedup_by_key(|(id, _)| *id);
    let of = listed::Of { place: name, accepted };
    listed::send(tracking.model::<Sprint>(id, name)?, &of, records, &seen, notes, |id| {
        let segments: Vec<&str> = [above, &["milestones"]].concat();
        let id_text = id.to_string();
        let segments: Vec<&str> = [segments.as_slice(), &[id_text.as_str()]].concat();
        Ok((whole && api.find(&segments)?.is_none()).then(|| Sprint::gone(REF_TYPE, id_text.clone())))
    })
}

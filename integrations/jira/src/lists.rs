//! The lists that a site has one of: statuses, types, priorities, and what the statuses mean (`work.Config`). They are read once a
//! day; what is not in them any more has gone.

use std::collections::BTreeSet;

use agent_sdk::sweep::Ids;
use agent_sdk::{Model, Session, Tracking, state};
use integration_model::deletions::Accepted;
use integration_model::notes::{self, Notes};
use integration_model::work::{
    Config, Entry, IssuePriority, IssuePriorityFields, IssueStatus, IssueStatusFields, IssueType, IssueTypeFields,
};
use integration_model::{Stop, listed};
use serde::{Deserialize, Serialize};

use crate::api::Api;
use crate::search::id_of;
use crate::{REF_TYPE, SITE};

/// Seconds after which these lists are read again.
const LISTS_EVERY_SECS: u32 = 24 * 3_600;
const READ: &str = "lists";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatusOf {
    id: String,
    name: String,
    #[serde(default)]
    description: Option<String>,
    icon_url: Option<String>,
    status_category: Option<Category>,
    scope: Option<Scope>,
}

#[derive(Debug, Deserialize)]
struct Category {
    key: String,
}

/// Where something belongs, if not to the whole site.
#[derive(Debug, Deserialize)]
struct Scope {
    project: Option<OfProject>,
}

#[derive(Debug, Deserialize)]
struct OfProject {
    id: String,
}

fn project_of(scope: Option<Scope>) -> Option<String> {
    scope?.project.map(|project| project.id)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypeOf {
    id: String,
    name: String,
    #[serde(default)]
    description: Option<String>,
    icon_url: Option<String>,
    #[serde(default)]
    subtask: bool,
    hierarchy_level: Option<i64>,
    scope: Option<Scope>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PriorityOf {
    id: String,
    name: String,
    #[serde(default)]
    description: Option<String>,
    icon_url: Option<String>,
    status_color: Option<String>,
}

/// What a category of statuses means.
fn category(category: Option<Category>, notes: &mut Notes) -> &'static str {
    match category.as_ref().map_or("undefined", |category| category.key.as_str()) {
        "new" | "undefined" => "OPEN",
        "indeterminate" => "IN_PROGRESS",
        "done" => "CLOSED",
        other => notes.word("statusCategory.key", other, &[]),
    }
}

/// What issues of a type are, by its place in the hierarchy or else by its name.
fn mapped(kind: &TypeOf) -> &'static str {
    if kind.subtask || kind.hierarchy_level.is_some_and(|level| level < 0) {
        return "SUBTASK";
    }
    if kind.hierarchy_level == Some(1) {
        return "EPIC";
    }
    let name = kind.name.to_lowercase();
    let words = [
        ("epic", "EPIC"),
        ("story", "STORY"),
        ("bug", "BUG"),
        ("defect", "BUG"),
        ("improvement", "ENHANCEMENT"),
        ("enhancement", "ENHANCEMENT"),
        ("feature", "FEATURE"),
        ("task", "TASK"),
    ];
    words.iter().find(|(word, _)| name.contains(word)).map_or("UNKNOWN", |(_, kind)| kind)
}

fn status(found: StatusOf, notes: &mut Notes) -> IssueStatus {
    let fields = IssueStatusFields {
        name: notes.text(found.name),
        description: notes.text(found.description.unwrap_or_default()),
        category: category(found.status_category, notes),
        icon_url: found.icon_url,
        project_id: project_of(found.scope),
    };
    Entry::new(REF_TYPE, found.id, fields)
}

fn issue_type(found: TypeOf, notes: &mut Notes) -> IssueType {
    let fields = IssueTypeFields {
        mapped_type: mapped(&found),
        name: notes.text(found.name),
        description: notes.text(found.description.unwrap_or_default()),
        subtask: found.subtask,
        icon_url: found.icon_url,
        project_id: project_of(found.scope),
    };
    Entry::new(REF_TYPE, found.id, fields)
}

fn priority(found: PriorityOf, order: u64, notes: &mut Notes) -> IssuePriority {
    let fields = IssuePriorityFields {
        name: notes.text(found.name),
        description: notes.text(found.description.unwrap_or_default()),
        order,
        color: found.status_color,
        icon_url: found.icon_url,
    };
    Entry::new(REF_TYPE, found.id, fields)
}

/// One of these lists: its records by their numbers, and the numbers of all that is in it, whether it is what it should be or not.
struct List<F> {
    records: Vec<(u64, Entry<F>)>,
    listed: Ids,
}

fn list<F, T: serde::de::DeserializeOwned>(
    api: &Api,
    path: &str,
    notes: &mut Notes,
    mut record: impl FnMut(T, u64, &mut Notes) -> Entry<F>,
) -> Result<List<F>, Stop> {
    let mut list = List { records: Vec::new(), listed: Ids::new() };
    for (order, item) in (1..).zip(api.list(&[path])?) {
        let (name, number) = (item["name"].clone(), id_of(&item));
        list.listed.extend(number);
        match (number, notes::read::<T>(item)) {
            (Some(number), Ok(item)) => list.records.push((number, record(item, order, notes))),
            (None, _) => notes.left_out(&format!("{path} {name}: its id is no number")),
            (_, Err(why)) => notes.left_out(&format!("{path} {name}: {why}")),
        }
    }
    Ok(list)
}

/// Sends a list, and says what has gone from it.
fn send<F: Serialize>(
    root: &Session<Tracking>,
    list: List<F>,
    accepted: &Accepted,
    notes: &mut Notes,
) -> Result<(), Stop>
where
    Entry<F>: Model,
{
    let session = root.model::<Entry<F>>(SITE, "")?;
    let of = listed::Of { place: SITE, accepted };
    let gone = |id: u64| Ok(Some(Entry::gone(REF_TYPE, id.to_string())));
    listed::send(session, &of, list.records, &list.listed, notes, gone)
}

fn statuses(api: &Api, notes: &mut Notes) -> Result<List<IssueStatusFields>, Stop> {
    list(api, "status", notes, |found, _, notes| status(found, notes))
}

/// Runs in which a list is read again of which something was left out, before that waits until the list is due.
const AGAIN_RUNS_MAX: u32 = 3;

/// Notes that a list has been read, and is due again after so many seconds; whether all of it was what it should be.
pub fn note_read(key: &str, every_secs: u32, whole: bool) -> agent_sdk::Result<()> {
    let again = format!("{key}/again");
    let runs: u32 = state::get_json(&again)?.unwrap_or(0);
    if !whole && runs < AGAIN_RUNS_MAX {
        return state::set_json(&again, &(runs + 1));
    }
    state::delete(&again)?;
    state::set_expiring(key, "read", every_secs)
}

/// Reads the lists, where it is time.
pub fn read(api: &Api, root: &Session<Tracking>, accepted: &Accepted, notes: &mut Notes) -> Result<(), Stop> {
    let mut session = root.model::<Config>(SITE, "")?;
    let accepts = accepted.concerns_any(SITE);
    if session.last_processed().is_some() && state::get(READ)?.is_some() && !accepts {
        session.done(None)?;
        return Ok(());
    }
    let before = notes.count();
    let found = statuses(api, notes)?;
    session.send(&config(api, &found, notes)?)?;
    send(root, found, accepted, notes)?;
    let types = list(api, "issuetype", notes, |found, _, notes| issue_type(found, notes))?;
    send(root, types, accepted, notes)?;
    let priorities = list(api, "priority", notes, priority)?;
    send(root, priorities, accepted, notes)?;
    note_read(READ, LISTS_EVERY_SECS, notes.count() == before)?;
    session.done(Some("read"))?;
    Ok(())
}

/// The record that says what the statuses mean.
pub fn work_config(api: &Api, notes: &mut Notes) -> Result<Config, Stop> {
    let statuses = statuses(api, notes)?;
    config(api, &statuses, notes)
}

fn config(api: &Api, statuses: &List<IssueStatusFields>, notes: &mut Notes) -> Result<Config, Stop> {
    let fields = || statuses.records.iter().filter_map(|(_, status)| status.fields.as_ref());
    // Projects that teams manage themselves have statuses of the same names.
    let named = |category: &str| {
        let names: BTreeSet<String> =
            fields().filter(|status| status.category == category).map(|status| status.name.clone()).collect();
        names.into_iter().collect()
    };
    let mut resolutions = Vec::new();
    for resolution in api.list(&["resolution"])? {
        match resolution["name"].as_str() {
            Some(name) => resolutions.push(name.to_owned()),
            None => notes.left_out(&format!("resolution {}: it has no name", resolution["id"])),
        }
    }
    Ok(Config {
        ref_id: SITE.to_owned(),
        ref_type: REF_TYPE,
        open: named("OPEN"),
        in_progress: named("IN_PROGRESS"),
        closed: named("CLOSED"),
        resolutions,
    })
}

#[cfg(test)]
mod tests {
    use integration_model::notes::Notes;
    use serde_json::{Value, json};

    use super::{issue_type, status};

    #[test]
    fn statuses_fall_into_three_buckets_by_their_category() {
        let check = |key: Value, expected: &str| {
            let found = serde_json::from_value(json!({ "id": "1", "name": "S", "statusCategory": key })).unwrap();
            assert_eq!(json!(status(found, &mut Notes::default()))["category"], expected);
        };
        for (key, expected) in [
            ("new", "OPEN"),
            ("undefined", "OPEN"),
            ("indeterminate", "IN_PROGRESS"),
            ("done", "CLOSED"),
            ("x", "UNKNOWN"),
        ] {
            check(json!({ "id": 2, "key": key }), expected);
        }
        check(Value::Null, "OPEN");
    }

    #[test]
    fn types_are_what_their_place_and_their_name_say() {
        let check = |found: Value, expected: &str| {
            let mut all = json!({ "id": "1", "name": "Thing" });
            all.as_object_mut().unwrap().extend(found.as_object().unwrap().clone());
            let record = json!(issue_type(serde_json::from_value(all).unwrap(), &mut Notes::default()));
            assert_eq!(record["mapped_type"], expected, "{found}");
        };
        check(json!({ "name": "Task", "subtask": true }), "SUBTASK");
        check(json!({ "name": "Teilaufgabe", "hierarchyLevel": -1 }), "SUBTASK");
        check(json!({ "name": "Großes", "hierarchyLevel": 1 }), "EPIC");
        check(json!({ "name": "User Story", "hierarchyLevel": 0 }), "STORY");
        check(json!({ "name": "Bug" }), "BUG");
        check(json!({ "name": "New Feature" }), "FEATURE");
        check(json!({ "name": "Improvement" }), "ENHANCEMENT");
        check(json!({}), "UNKNOWN");
    }
}

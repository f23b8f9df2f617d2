//! The lists that a site has one of: statuses, types, priorities, and what the statuses mean (`work.Config`). They are read once a
//! day. And what small lists have in common: what is not in them any more has gone.

use std::collections::BTreeSet;

use agent_sdk::sweep::{self, Ids};
use agent_sdk::{Model, Result, Session, Tracking, log, state};
use integration_model::notes::{self, Notes};
use integration_model::work::{
    Config, Entry, IssuePriority, IssuePriorityFields, IssueStatus, IssueStatusFields, IssueType, IssueTypeFields,
};
use integration_model::{SET_BYTES_MAX, Stop};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::Api;
use crate::{REF_TYPE, SITE};

/// Seconds after which these lists are read again.
const LISTS_EVERY_SECS: u32 = 24 * 3_600;
const READ: &str = "lists";

/// The numbers of what a small list had.
#[derive(Debug, Default)]
pub struct Known {
    ids: Ids,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Cursor {
    #[serde(default)]
    set: String,
}

impl Known {
    pub fn of<M>(session: &Session<M>) -> Known {
        let cursor: Cursor =
            session.last_processed().and_then(|cursor| serde_json::from_str(&cursor).ok()).unwrap_or_default();
        Known { ids: Ids::parse(&cursor.set).unwrap_or_default() }
    }

    pub fn insert(&mut self, ref_id: &str) {
        self.ids.extend(ref_id.parse::<u64>());
    }

    /// What is not listed any more, as far as the list is whole and it is believed. What is listed is known from now on.
    pub fn gone(&mut self, listed: &Ids, whole: bool, what: &str) -> Vec<String> {
        let missing = match sweep::gone(&self.ids, listed) {
            Ok(missing) if whole => missing,
            Ok(_) => Vec::new(),
            Err(too_many) => {
                log::warn("some are missing", &[("of", what), ("why", &too_many.to_string())]);
                Vec::new()
            }
        };
        missing.iter().for_each(|id| drop(self.ids.remove(*id)));
        self.ids.extend(listed.iter());
        missing.iter().map(u64::to_string).collect()
    }

    /// The cursor. More than there is room for are forgotten, and do not go then.
    pub fn text(&self) -> String {
        let set = Some(self.ids.to_text()).filter(|set| set.len() <= SET_BYTES_MAX).unwrap_or_default();
        json!(Cursor { set }).to_string()
    }
}

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
        name: found.name,
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
        name: found.name,
        description: notes.text(found.description.unwrap_or_default()),
        subtask: found.subtask,
        icon_url: found.icon_url,
        project_id: project_of(found.scope),
    };
    Entry::new(REF_TYPE, found.id, fields)
}

fn priority(found: PriorityOf, order: u64, notes: &mut Notes) -> IssuePriority {
    let fields = IssuePriorityFields {
        name: found.name,
        description: notes.text(found.description.unwrap_or_default()),
        order,
        color: found.status_color,
        icon_url: found.icon_url,
    };
    Entry::new(REF_TYPE, found.id, fields)
}

/// One of these lists, as records; and whether all of it was what it should be.
fn list<F, T: serde::de::DeserializeOwned>(
    api: &Api,
    path: &str,
    notes: &mut Notes,
    mut record: impl FnMut(T, u64, &mut Notes) -> Entry<F>,
) -> Result<(Vec<Entry<F>>, bool), Stop> {
    let (mut records, mut whole) = (Vec::new(), true);
    for (order, item) in (1..).zip(api.list(&[path])?) {
        let name = item["name"].clone();
        match notes::read::<T>(item) {
            Ok(item) => records.push(record(item, order, notes)),
            Err(why) => {
                whole = false;
                notes.left_out(&format!("{path} {name}: {why}"));
            }
        }
    }
    Ok((records, whole))
}

/// Sends a list, and says what has gone from it.
fn send<F: Serialize>(root: &Session<Tracking>, (records, whole): (Vec<Entry<F>>, bool)) -> Result<()>
where
    Entry<F>: Model,
{
    let mut session = root.model::<Entry<F>>(SITE, "")?;
    let mut known = Known::of(&session);
    let listed: Ids = records.iter().filter_map(|record| record.ref_id.parse().ok()).collect();
    for record in &records {
        session.send(record)?;
    }
    for id in known.gone(&listed, whole, Entry::<F>::NAME) {
        session.send(&Entry::gone(REF_TYPE, id))?;
    }
    session.done(Some(&known.text())).map(drop)
}

fn statuses(api: &Api, notes: &mut Notes) -> Result<(Vec<IssueStatus>, bool), Stop> {
    list(api, "status", notes, |found, _, notes| status(found, notes))
}

/// Reads the lists, where it is time.
pub fn read(api: &Api, root: &Session<Tracking>, notes: &mut Notes) -> Result<(), Stop> {
    let mut session = root.model::<Config>(SITE, "")?;
    if session.last_processed().is_some() && state::get(READ)?.is_some() {
        session.done(None)?;
        return Ok(());
    }
    let found = statuses(api, notes)?;
    session.send(&config(api, &found.0, notes)?)?;
    send(root, found)?;
    send(root, list(api, "issuetype", notes, |found, _, notes| issue_type(found, notes))?)?;
    send(root, list(api, "priority", notes, priority)?)?;
    state::set_expiring(READ, "read", LISTS_EVERY_SECS)?;
    session.done(Some("read"))?;
    Ok(())
}

/// The record that says what the statuses mean.
pub fn work_config(api: &Api, notes: &mut Notes) -> Result<Config, Stop> {
    let (statuses, _) = statuses(api, notes)?;
    config(api, &statuses, notes)
}

fn config(api: &Api, statuses: &[IssueStatus], notes: &mut Notes) -> Result<Config, Stop> {
    let fields = || statuses.iter().filter_map(|status| status.fields.as_ref());
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
    use agent_sdk::sweep::Ids;
    use integration_model::notes::Notes;
    use serde_json::{Value, json};

    use super::{Known, issue_type, status};

    #[test]
    fn statuses_fall_into_three_buckets_by_their_category() {
        let check = |key: Value, expected: &str| {
            let found = serde_json::from_value(json!({ "id": "1", "name": "S", "statusCategory": key })).unwrap();
            assert_eq!(json!(status(found, &mut Notes::default()))["category"], expected);
        };
        for (key, expected) in
            [("new", "OPEN"), ("undefined", "OPEN"), ("indeterminate", "IN_PROGRESS"), ("done", "CLOSED"), ("x", "UNKNOWN")]
        {
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

    #[test]
    fn what_is_not_listed_has_gone_where_the_list_is_whole() {
        let ids = |range: std::ops::RangeInclusive<u64>| range.collect::<Ids>();
        let mut known = Known { ids: ids(1..=10) };
        assert_eq!(known.gone(&ids(2..=11), false, "x"), Vec::<String>::new());
        assert_eq!(known.gone(&ids(3..=12), true, "x"), ["1", "2"]);
        assert_eq!(known.gone(&ids(11..=12), true, "x"), Vec::<String>::new(), "too many at once");
    }
}

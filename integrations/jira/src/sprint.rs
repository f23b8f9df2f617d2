//! The model `work.Sprint`: as boards list sprints, and as issues name them, among which is the form of old servers, a text that
//! Java has printed.

use std::collections::BTreeMap;

use agent_sdk::updated::earlier;
use integration_model::notes::Notes;
use integration_model::work::{Sprint, SprintFields};
use serde_json::Value;

use crate::REF_TYPE;

/// The fields of the text. Only before one of these does a comma end a value: names of sprints have commas in them.
const PRINTED: [&str; 13] = [
    "id",
    "rapidViewId",
    "state",
    "name",
    "goal",
    "startDate",
    "endDate",
    "completeDate",
    "activatedDate",
    "sequence",
    "autoStartStop",
    "synced",
    "incompleteIssuesDestinationId",
];

/// A sprint as it is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    pub id: u64,
    board: Option<String>,
    state: String,
    name: String,
    goal: String,
    start: Option<String>,
    end: Option<String>,
    complete: Option<String>,
}

impl Said {
    /// Reads an object, or the text of an old server; none where it is neither.
    pub fn read(value: &Value) -> Option<Said> {
        match value {
            Value::String(text) => Said::printed(text),
            Value::Object(_) => {
                let text = |name: &str| value[name].as_str().map(str::to_owned);
                let boards = ["originBoardId", "boardId"];
                Some(Said {
                    board: boards.iter().find_map(|name| value[*name].as_u64()).map(|board| board.to_string()),
                    id: value["id"].as_u64().or_else(|| value["id"].as_str()?.parse().ok())?,
                    state: text("state").unwrap_or_default(),
                    name: text("name").unwrap_or_default(),
                    goal: text("goal").unwrap_or_default(),
                    start: text("startDate"),
                    end: text("endDate"),
                    complete: text("completeDate"),
                })
            }
            _ => None,
        }
    }

    /// `com.atlassian.greenhopper.service.sprint.Sprint@1f39[id=7,rapidViewId=2,state=CLOSED,name=One, or two,goal=<null>,…]`
    fn printed(text: &str) -> Option<Said> {
        let inner = text.get(text.find('[')? + 1..text.rfind(']')?)?;
        let mut starts: Vec<(usize, &str)> = Vec::new();
        for (at, _) in std::iter::once((0, "")).chain(inner.match_indices(',').map(|(at, _)| (at + 1, ""))) {
            let name =
                PRINTED.iter().find(|name| inner[at..].strip_prefix(**name).is_some_and(|rest| rest.starts_with('=')));
            starts.extend(name.map(|name| (at, *name)));
        }
        let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
        for (place, (at, name)) in starts.iter().enumerate() {
            let end = starts.get(place + 1).map_or(inner.len(), |(next, _)| next - 1);
            // The first counts: what looks like a field in a name or a goal comes after the true one, or is none.
            fields.entry(name).or_insert(&inner[at + name.len() + 1..end]);
        }
        let value = |name: &str| fields.get(name).copied().filter(|value| *value != "<null>").map(str::to_owned);
        Some(Said {
            id: value("id")?.parse().ok()?,
            board: value("rapidViewId"),
            state: value("state").unwrap_or_default(),
            name: value("name").unwrap_or_default(),
            goal: value("goal").unwrap_or_default(),
            start: value("startDate"),
            end: value("endDate"),
            complete: value("completeDate"),
        })
    }

    pub fn ref_id(&self) -> String {
        self.id.to_string()
    }

    pub fn record(self, notes: &mut Notes) -> Sprint {
        let time = |time: Option<String>| time.and_then(|time| earlier(&time, 0));
        let status = notes.word("sprint.state", &self.state.to_uppercase(), &["ACTIVE", "FUTURE", "CLOSED"]);
        let ref_id = self.ref_id();
        let fields = SprintFields {
            name: notes.text(self.name),
            goal: notes.text(self.goal),
            status,
            board_ref_id: self.board,
            started_at: time(self.start),
            ended_at: time(self.end),
            completed_at: time(self.complete),
            ..SprintFields::default()
        };
        Sprint::new(REF_TYPE, ref_id, fields)
    }
}

/// The sprints that a field of an issue names, in its order.
pub fn of_field(field: Option<&Value>) -> Vec<Said> {
    match field {
        Some(Value::Array(all)) => all.iter().filter_map(Said::read).collect(),
        Some(one) => Said::read(one).into_iter().collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use integration_model::notes::Notes;
    use serde_json::{Value, json};

    use super::{Said, of_field};

    fn printed(fields: &str) -> String {
        format!("com.atlassian.greenhopper.service.sprint.Sprint@4c7e[{fields}]")
    }

    #[test]
    fn printed_sprints_are_read() {
        let check = |fields: &str, expected: Value| {
            let record = Said::read(&json!(printed(fields))).map(|said| json!(said.record(&mut Notes::default())));
            assert_eq!(record.unwrap_or_default(), expected, "{fields}");
        };
        check(
            "id=7,rapidViewId=2,state=CLOSED,name=Sprint 7,startDate=2016-02-01T10:00:00.000+01:00,\
             endDate=2016-02-15T10:00:00.000+01:00,completeDate=<null>,sequence=7,goal=<null>",
            json!({
                "ref_id": "7", "ref_type": "jira", "active": true, "name": "Sprint 7", "goal": "", "status": "CLOSED",
                "board_ref_id": "2", "started_at": "2016-02-01T09:00:00Z", "ended_at": "2016-02-15T09:00:00Z"
            }),
        );
        check(
            "id=8,rapidViewId=2,state=FUTURE,name=One, or two [a=b], state=x,goal=This, and that,startDate=<null>",
            json!({
                "ref_id": "8", "ref_type": "jira", "active": true, "name": "One, or two [a=b], state=x",
                "goal": "This, and that", "status": "FUTURE", "board_ref_id": "2"
            }),
        );
        check(
            "id=9,state=ACTIVE,name=",
            json!({ "ref_id": "9", "ref_type": "jira", "active": true, "name": "", "goal": "", "status": "ACTIVE" }),
        );
        for none in ["", "state=CLOSED", "id=x", "name=id=3"] {
            check(none, Value::Null);
        }
    }

    #[test]
    fn a_field_may_have_one_or_many_of_either_form() {
        let ids = |field: Value| of_field(Some(&field)).iter().map(|said| said.id).collect::<Vec<_>>();
        let object = |id: u64| json!({ "id": id, "name": "S", "state": "active", "boardId": 1, "goal": null });
        assert_eq!(ids(json!([object(3), printed("id=4,state=CLOSED,name=x"), null, "Sprint 5", 6])), [3, 4]);
        assert_eq!((ids(object(3)), ids(json!(printed("id=4"))), ids(json!(null))), (vec![3], vec![4], vec![]));
        assert_eq!(of_field(None), []);
    }

    #[test]
    fn states_that_nobody_knows_are_said() {
        let mut notes = Notes::default();
        let record = json!(Said { id: 1, state: "paused".to_owned(), ..Said::default() }.record(&mut notes));
        assert_eq!(record["status"], "UNKNOWN");
    }
}

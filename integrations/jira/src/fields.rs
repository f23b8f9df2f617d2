//! Which of a server's own fields are the sprint, the epic, the story points and the days that are planned: every server has
//! other numbers for them, and `field` says what they are.

use serde::Deserialize;
use serde_json::Value;

const SPRINT: &str = "com.pyxis.greenhopper.jira:gh-sprint";
const EPIC_LINK: &str = "com.pyxis.greenhopper.jira:gh-epic-link";
/// The estimate of projects that teams manage themselves. Elsewhere it is a number by this name, made with the boards.
const STORY_POINTS: &str = "com.pyxis.greenhopper.jira:jsw-story-points";
const NUMBER: &str = "com.atlassian.jira.plugin.system.customfieldtypes:float";
const STORY_POINTS_NAMES: [&str; 2] = ["story points", "story point estimate"];
const PLANNED_START: &str = "com.atlassian.jpo:jpo-custom-field-baseline-start";
const PLANNED_END: &str = "com.atlassian.jpo:jpo-custom-field-baseline-end";
const DAY: &str = "com.atlassian.jira.plugin.system.customfieldtypes:datepicker";
const START_NAMES: [&str; 2] = ["start date", "target start"];
const END_NAMES: [&str; 2] = ["end date", "target end"];

/// The fields that every server has.
const SYSTEM: &str = "summary,description,project,issuetype,status,priority,resolution,labels,parent,assignee,reporter,\
                      creator,created,updated,duedate,resolutiondate,issuelinks,comment,attachment";

/// The names of a server's own fields; there may be several of a kind.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    pub sprint: Vec<String>,
    pub epic: Vec<String>,
    pub points: Vec<String>,
    pub start: Vec<String>,
    pub end: Vec<String>,
}

#[derive(Deserialize)]
struct Field {
    id: String,
    #[serde(default)]
    name: String,
    schema: Option<Schema>,
}

#[derive(Deserialize)]
struct Schema {
    custom: Option<String>,
}

impl Fields {
    /// Reads the list of fields. What is none is passed over: no field of ours looks like that.
    pub fn of(list: Vec<Value>) -> Fields {
        let mut fields = Fields::default();
        for field in list.into_iter().filter_map(|field| serde_json::from_value::<Field>(field).ok()) {
            let Some(custom) = field.schema.and_then(|schema| schema.custom) else { continue };
            let name = field.name.trim().to_lowercase();
            let named = |names: [&str; 2], kind: &str| custom == kind && names.contains(&name.as_str());
            let place = if custom == SPRINT {
                &mut fields.sprint
            } else if custom == EPIC_LINK {
                &mut fields.epic
            } else if custom == STORY_POINTS || named(STORY_POINTS_NAMES, NUMBER) {
                &mut fields.points
            } else if custom == PLANNED_START || named(START_NAMES, DAY) {
                &mut fields.start
            } else if custom == PLANNED_END || named(END_NAMES, DAY) {
                &mut fields.end
            } else {
                continue;
            };
            place.push(field.id);
        }
        fields
    }

    /// What to ask of an issue.
    pub fn asked(&self) -> String {
        let own = [&self.sprint, &self.epic, &self.points, &self.start, &self.end];
        own.into_iter().flatten().fold(SYSTEM.to_owned(), |all, field| all + "," + field)
    }
}

/// The first of these fields that an issue has something in.
pub fn first<'a>(issue: &'a Value, names: &[String]) -> Option<&'a Value> {
    names.iter().filter_map(|name| issue.get(name)).find(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Fields, first};

    #[test]
    fn fields_are_found_by_what_they_are() {
        let field = |id: u32, name: &str, custom: &str| json!({ "id": format!("customfield_{id}"), "name": name, "schema": { "type": "any", "custom": custom } });
        let float = "com.atlassian.jira.plugin.system.customfieldtypes:float";
        let fields = Fields::of(vec![
            json!({ "id": "summary", "name": "Summary", "schema": { "type": "string", "system": "summary" } }),
            field(1, "Épopée", "com.pyxis.greenhopper.jira:gh-epic-link"),
            field(2, "Story Points", float),
            field(3, "Weight", float),
            field(4, "Story point estimate", "com.pyxis.greenhopper.jira:jsw-story-points"),
            field(5, "Sprint", "com.pyxis.greenhopper.jira:gh-sprint"),
            field(6, "Start date", "com.atlassian.jira.plugin.system.customfieldtypes:datepicker"),
            json!({ "name": "without an id" }),
            json!(null),
        ]);
        assert_eq!(
            (fields.epic.as_slice(), fields.sprint.as_slice()),
            (&["customfield_1".to_owned()][..], &["customfield_5".to_owned()][..])
        );
        assert_eq!(fields.points, ["customfield_2", "customfield_4"]);
        assert!(fields.asked().starts_with("summary,") && fields.asked().ends_with(",customfield_6"));
        let issue = json!({ "customfield_2": null, "customfield_4": 5.0 });
        assert_eq!(first(&issue, &fields.points), Some(&json!(5.0)));
        assert_eq!(first(&issue, &fields.epic), None);
    }
}

//! The model `work.Project`, and how projects are listed.

use std::collections::HashSet;

use agent_sdk::{Error, Result};
use integration_model::Stop;
use integration_model::notes::{self, Notes};
use integration_model::work::{Project, ProjectFields};
use serde::Deserialize;
use serde_json::Value;

use crate::REF_TYPE;
use crate::api::{Api, Kind, counted};

/// Projects of one request, the cloud's most; one's own server gives all at once.
const PROJECTS_PAGE: u32 = 50;

/// A project as the server says it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    id: String,
    pub key: String,
    pub name: String,
    #[serde(default)]
    description: Option<String>,
    project_category: Option<Category>,
    is_private: Option<bool>,
    #[serde(default)]
    issue_types: Option<Vec<TypeOf>>,
    insight: Option<Insight>,
}

#[derive(Debug, Clone, Deserialize)]
struct Category {
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
struct TypeOf {
    id: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Insight {
    total_issue_count: Option<u64>,
}

impl Found {
    pub fn number(&self) -> u64 {
        // One whose id is no number is not listed.
        self.id.parse().unwrap_or(0)
    }

    pub fn ref_id(&self) -> &str {
        &self.id
    }

    /// How many issues it has, where the server says so.
    pub fn issues(&self) -> Option<u64> {
        self.insight.as_ref().and_then(|insight| insight.total_issue_count)
    }

    pub fn record(&self, api: &Api, notes: &mut Notes) -> Project {
        let fields = ProjectFields {
            name: notes.text(self.name.clone()),
            identifier: self.key.clone(),
            description: notes.text(self.description.clone().unwrap_or_default()),
            url: api.browse(&self.key),
            category: self.project_category.as_ref().map(|category| category.name.clone()),
            visibility: self.is_private.map(|private| if private { "PRIVATE" } else { "INTERNAL" }),
            issue_type_ref_ids: self.issue_types.iter().flatten().map(|kind| kind.id.clone()).collect(),
            ..ProjectFields::default()
        };
        Project::new(REF_TYPE, self.id.clone(), fields)
    }
}

/// All projects that the credential may see.
pub fn all(api: &Api, notes: &mut Notes) -> Result<Vec<Found>, Stop> {
    let list = match api.kind {
        Kind::Cloud => {
            let request = api.get(&["project", "search"]).query("expand", "description,issueTypes,insight");
            counted(request.query("orderBy", "key").query("maxResults", PROJECTS_PAGE), "/values")?
        }
        Kind::Hosted => api.get(&["project"]).query("expand", "description").send()?.check()?.json()?,
    };
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for project in list {
        let key = project["key"].clone();
        match notes::read::<Found>(project) {
            Ok(project) if project.id.parse::<u64>().is_err() => {
                notes.left_out(&format!("project {key}: its id `{}` is no number", notes::shortened(&project.id, 64)));
            }
            Ok(project) if seen.insert(project.id.clone()) => found.push(project),
            Ok(_) => {}
            Err(why) => notes.left_out(&format!("project {key}: {why}")),
        }
    }
    Ok(found)
}

/// Whether there is no project under a number any more.
pub fn is_gone(api: &Api, number: u64) -> Result<bool, Stop> {
    let answer = api.get(&["project", &number.to_string()]).send()?;
    match answer.status {
        404 | 410 => Ok(true),
        _ => {
            let answer: Value = answer.check()?.json()?;
            match answer["id"].is_null() {
                true => Err(Error::msg("the answer is no project").into()),
                // In the waste bin, where nobody sees it.
                false => Ok(answer["deleted"] == true),
            }
        }
    }
}

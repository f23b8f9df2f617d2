//! What has moved since the last run: one search over the whole site says it for all projects, by ids and times alone. A quiet
//! site costs one request for it, however many projects it has.

use std::collections::HashMap;

use agent_sdk::log;
use agent_sdk::updated::is_before;
use integration_model::Stop;
use integration_model::notes::Notes;
use serde_json::Value;

use crate::api::{Api, overlapped};
use crate::search::{Search, id_of};

/// What is asked of an issue that may have moved.
const FIELDS: &str = "project,updated";
/// Issues of one request; servers give as many as they like.
const MOVED_PAGE: u32 = 1_000;
/// So many are kept in memory. Where more have moved, each project is asked by itself.
const MOVED_MAX: usize = 200_000;
/// A search for `-Nm` is reckoned back from a now that moves on while its pages are read. Half of the overlap is there for that.
const SLACK_SECS: i64 = 300;
/// Searches before it is given up to be quick enough.
const TRIES: u32 = 3;

/// The issues that have moved, and when, by the ids of their projects.
#[derive(Debug, Default)]
pub struct Moved {
    projects: HashMap<String, HashMap<u64, String>>,
}

impl Moved {
    /// Those of one project; not those that a run which began at this time has seen as they are.
    pub fn of(&self, project: &str, since: Option<&str>) -> Vec<u64> {
        let since = since.and_then(overlapped);
        let new = |updated: &str| since.as_deref().is_none_or(|since| !is_before(updated, since));
        let all = self.projects.get(project).into_iter().flatten();
        let mut ids: Vec<u64> = all.filter(|(_, updated)| new(updated)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }
}

/// What has moved since a time, everywhere or in one project; nothing where it is too much to say.
pub fn since(api: &Api, time: &str, project: Option<&str>, notes: &mut Notes) -> Result<Option<Moved>, Stop> {
    let within = project.map(|project| format!("project = {project} AND ")).unwrap_or_default();
    let mut slack_minutes = 0;
    for _ in 0..TRIES {
        let begun = api.elapsed_secs();
        let minutes = api.minutes_since(time) + slack_minutes;
        let jql = format!("{within}updated >= -{minutes}m ORDER BY key ASC");
        let Some(moved) = read(api, jql, notes)? else { return Ok(None) };
        let took = api.elapsed_secs() - begun;
        if took <= SLACK_SECS {
            return Ok(Some(moved));
        }
        slack_minutes = took / 30;
    }
    log::warn("the server is too slow to say what has moved at once; each project is asked by itself", &[]);
    Ok(None)
}

fn read(api: &Api, jql: String, notes: &mut Notes) -> Result<Option<Moved>, Stop> {
    let mut moved = Moved::default();
    let mut count = 0;
    let mut search = Search::new(api, jql, FIELDS, "").page(MOVED_PAGE);
    while let Some(page) = search.next()? {
        // One that cannot be had by itself says so when it is asked for.
        page.left_out.iter().for_each(|what| notes.left_out(what));
        let mut new = false;
        for issue in &page.issues {
            let text = |pointer: &str| issue.pointer(pointer).and_then(Value::as_str);
            let (Some(id), Some(project)) = (id_of(issue), text("/fields/project/id")) else {
                notes.left_out(&format!("issue {} that may have moved: it has no id, or no project", issue["key"]));
                continue;
            };
            let updated = text("/fields/updated").unwrap_or_default().to_owned();
            let of = moved.projects.entry(project.to_owned()).or_default();
            if of.insert(id, updated).is_none() {
                count += 1;
                new = true;
            }
        }
        if count > MOVED_MAX {
            return Ok(None);
        }
        search.saw_new(new);
    }
    Ok(Some(moved))
}

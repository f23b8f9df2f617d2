//! Which projects of a group have something new. GitLab has lists of all issues and of all merge requests of a group, so that a
//! quiet hour over a thousand projects costs the pages of projects and two requests more: the newest of each list, and how
//! many there are, are what they were. Where they are not, what was updated since is listed, a hundred items a request, and
//! only the projects that it is in are looked at. Where there are fewer than there must be, something was deleted in a
//! project that nobody knows, and all are looked at, two requests each.
//!
//! A person's projects have no such list, and are looked at each time.

use std::collections::BTreeSet;

use agent_sdk::log;
use agent_sdk::sweep::Ids;
use agent_sdk::updated::{earlier, is_before};
use integration_model::threads::{Latest, OVERLAP_SECS};
use integration_model::{SET_BYTES_MAX, Stop};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::Api;
use crate::config::Config;
use crate::threads::List;
use crate::walk::Walk;
use crate::{issue, merge_request};

/// What an account was like when its projects were looked at.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Cursor {
    #[serde(default)]
    issues: Option<Latest>,
    #[serde(default)]
    merge_requests: Option<Latest>,
    /// Projects that were not exported to the end, and are to be looked at whatever the lists say.
    #[serde(default)]
    again: String,
}

impl Cursor {
    pub fn read(text: Option<&str>) -> Cursor {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// The cursor with the projects that are to be looked at again. Where these are too many to remember, all are.
    pub fn text(&self, again: &Ids) -> String {
        let text = json!(Cursor { again: again.to_text(), ..self.clone() }).to_string();
        if text.len() <= SET_BYTES_MAX { text } else { json!(Cursor::default()).to_string() }
    }
}

/// Projects in which something of a kind has moved; none: it may have in all.
type Places = Option<BTreeSet<u64>>;

/// What is to be looked at.
pub struct Moved {
    issues: Places,
    merge_requests: Places,
    again: Ids,
    /// The lists as they are now.
    pub now: Cursor,
}

impl Moved {
    /// All projects are to be looked at.
    pub fn all() -> Moved {
        Moved { issues: None, merge_requests: None, again: Ids::new(), now: Cursor::default() }
    }

    /// What is new in a group since this cursor.
    pub fn of_group(api: &Api, config: &Config, group: &str, before: &Cursor) -> Result<Moved, Stop> {
        let mut moved = Moved::all();
        moved.again = Ids::parse(&before.again).unwrap_or_default();
        if config.issues {
            (moved.issues, moved.now.issues) = places(api, &issue::LIST, group, before.issues.as_ref())?;
        }
        if config.code {
            (moved.merge_requests, moved.now.merge_requests) =
                places(api, &merge_request::LIST, group, before.merge_requests.as_ref())?;
        }
        Ok(moved)
    }

    /// Whether there is anything to look at, as far as issues are concerned.
    pub fn anything(&self) -> bool {
        self.issues.as_ref().is_none_or(|places| !places.is_empty()) || !self.again.is_empty()
    }

    pub fn has_issues_of(&self, project: u64) -> bool {
        is_in(&self.issues, &self.again, project)
    }

    pub fn has_merge_requests_of(&self, project: u64) -> bool {
        is_in(&self.merge_requests, &self.again, project)
    }
}

fn is_in(places: &Places, again: &Ids, project: u64) -> bool {
    places.as_ref().is_none_or(|places| places.contains(&project)) || again.contains(project)
}

/// The projects in which something of a list has moved, and the list as it is now.
fn places(api: &Api, list: &List, group: &str, before: Option<&Latest>) -> Result<(Places, Option<Latest>), Stop> {
    let above = ["groups", group];
    let found = list.latest(api, &above).and_then(|now| Ok((since(api, list, &above, before, &now)?, now)));
    match found {
        Ok((places, now)) => Ok((places, Some(now))),
        // The projects can be asked one by one.
        Err(stop) if stop.is_passing() => {
            let error = stop.into_error().to_string();
            log::warn(
                "the group's list is not to be had; each project is asked",
                &[("list", list.kind), ("error", &error)],
            );
            Ok((None, before.cloned()))
        }
        Err(stop) => Err(stop),
    }
}

fn since(api: &Api, list: &List, above: &[&str], before: Option<&Latest>, now: &Latest) -> Result<Places, Stop> {
    let Some(before) = before else { return Ok(None) };
    if before == now {
        return Ok(Some(BTreeSet::new()));
    }
    let (mut places, mut created) = (BTreeSet::new(), BTreeSet::new());
    // Of an empty list everything is new.
    let from = before.updated_at.as_deref().and_then(|newest| earlier(newest, OVERLAP_SECS));
    let mut walk = Walk::new(list.since(api, above, from.as_deref()), None);
    while let Some(page) = walk.next()? {
        if !page.left_out.is_empty() {
            return Ok(None);
        }
        for node in page.nodes {
            places.extend(node["project_id"].as_u64());
            let newer = |newest: &str| node["created_at"].as_str().is_none_or(|at| is_before(newest, at));
            if before.updated_at.as_deref().is_none_or(newer) {
                created.insert(node["id"].as_u64());
            }
        }
    }
    let gone = match (before.count, now.count) {
        (Some(before), Some(now)) => now < before + created.len() as u64,
        _ => false,
    };
    Ok((!gone).then_some(places))
}

//! The issues of one project: read once from the first to the last, then those that have moved, and now and then all ids, to
//! find what has gone and what was missed.
//!
//! The cursor is no time of a clock of ours: it is the server's when the run began. What changes while a run is under way is
//! newer than that, and comes with the next one. The first read goes in the order of keys, which nothing changes, and goes on
//! midway after a stop.

use std::collections::{BTreeSet, HashMap};

use agent_sdk::http::Response;
use agent_sdk::sweep::Ids;
use agent_sdk::{Result, Session, Tracking, http, log};
use integration_model::deletions::Accepted;
use integration_model::known::{IDS_MAX, Known, Named};
use integration_model::notes;
use integration_model::remembered::Remembered;
use integration_model::work::{Issue, IssueComment};
use integration_model::{Comment, Stop};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::REF_TYPE;
use crate::api::{Api, Kind};
use crate::board::Sprints;
use crate::fields::Fields;
use crate::issue::{self, Refused, Scope, records};
use crate::project::Found;
use crate::search::{IDS, PAGE, Page, Place, Search, by_ids, id_of};

/// Pages between commits. A kill costs so many at most, and a commit costs syncs to disk.
const PAGES_PER_COMMIT: u32 = 5;
/// Runs in which what was left out is asked for again: it may have been a bad moment of the server's. After them it is asked for
/// when it moves, so that one that stays wrong costs nothing.
const AGAIN_RUNS_MAX: u32 = 3;
/// So many are remembered for that; more is no slip of one issue.
const AGAIN_MAX: usize = 200;
/// Requests under way when issues that are missing are asked for one by one.
const CONFIRM_AT_ONCE: usize = 8;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Cursor {
    /// When the last complete run began; none before the first is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// When the first read began, as long as it is not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    began: Option<String>,
    /// Where it had come to.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Place>,
    /// The ids that were exported.
    #[serde(flatten)]
    known: Named,
    /// The ids that were left out, and are to be asked for again.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    again: BTreeSet<u64>,
    /// How many runs have done so.
    again_runs: u32,
    /// Which configuration issues were read for.
    wants: String,
}

/// The issues of a project that are being read.
pub struct Reader<'a> {
    project: &'a Found,
    expand: &'static str,
    sprints: &'a mut Sprints,
    issues: Session<Issue>,
    comments: Session<IssueComment>,
    cursor: Cursor,
    /// Ids that were exported; none where they are too many, or an earlier version did not remember them.
    known: Option<Known<'a>>,
    /// The comments that were sent, by their issues.
    remembered: Remembered,
    tracking: &'a Session<Tracking>,
    /// The last update of each issue that this run has sent.
    sent: HashMap<u64, String>,
    /// Ids that brought no record.
    refused: BTreeSet<u64>,
    /// Which issue a key of an epic is.
    epics: HashMap<String, String>,
}

impl<'a> Reader<'a> {
    pub fn open(
        tracking: &'a Session<Tracking>,
        project: &'a Found,
        (wants, transitions): (&str, bool),
        sprints: &'a mut Sprints,
    ) -> Result<Reader<'a>> {
        let (id, key) = (project.ref_id(), project.key.as_str());
        let (issues, comments) = (tracking.model::<Issue>(id, key)?, tracking.model::<IssueComment>(id, key)?);
        // A cursor of another form begins anew; what is known already is left out by the host.
        let mut cursor: Cursor =
            issues.last_processed().and_then(|cursor| serde_json::from_str(&cursor).ok()).unwrap_or_default();
        let known = Known::open(tracking, &cursor.known, cursor == Cursor::default())?;
        let remembered = Remembered::of_cursor(comments.last_processed().as_deref());
        if cursor.wants != wants {
            (cursor.since, cursor.began, cursor.at) = (None, None, None);
            wants.clone_into(&mut cursor.wants);
        }
        let expand = if transitions { issue::EXPAND_ALL } else { issue::EXPAND };
        Ok(Reader {
            project,
            expand,
            sprints,
            issues,
            comments,
            cursor,
            known,
            remembered,
            tracking,
            sent: HashMap::new(),
            refused: BTreeSet::new(),
            epics: HashMap::new(),
        })
    }

    /// When the last complete run began; none before the first.
    pub fn since(&self) -> Option<&str> {
        self.cursor.since.as_deref()
    }

    /// Reads all issues of the project.
    pub fn all(&mut self, scope: &mut Scope<'_>) -> Result<(), Stop> {
        self.cursor.began.get_or_insert_with(|| scope.api.began.clone());
        let jql = format!("project = {} ORDER BY key ASC", self.project.ref_id());
        let asked = scope.fields.asked();
        let mut search = Search::new(scope.api, jql, &asked, self.expand).resume(self.cursor.at.clone());
        let mut pages = 0;
        while let Some(page) = search.next()? {
            let (next, total) = (page.next.clone(), page.total);
            let before = self.sent.len() + self.refused.len();
            self.take(scope, page)?;
            search.saw_new(self.sent.len() + self.refused.len() > before);
            self.cursor.at = next;
            pages += 1;
            let done = u32::try_from(self.sent.len()).unwrap_or(u32::MAX);
            self.issues.progress(done, total.and_then(|total| u32::try_from(total).ok()));
            if self.cursor.at.is_some() {
                if pages % PAGES_PER_COMMIT == 0 {
                    self.checkpoint(scope)?;
                }
                if self.issues.should_stop() {
                    return Err(Stop::Asked);
                }
            }
        }
        self.cursor.since = self.cursor.began.take();
        Ok(())
    }

    /// Reads these issues, which have moved, and those that the last runs left out.
    pub fn moved(&mut self, scope: &mut Scope<'_>, moved: &[u64]) -> Result<(), Stop> {
        let again: Vec<u64> = self.cursor.again.iter().copied().filter(|id| !moved.contains(id)).collect();
        for id in self.fetch(scope, &[moved, &again].concat())? {
            // It has just gone, or the index is behind; the next runs see.
            self.refused.insert(id);
        }
        self.cursor.since = Some(scope.api.began.clone());
        Ok(())
    }

    /// Whether there is something that an earlier run left out.
    pub fn has_again(&self) -> bool {
        !self.cursor.again.is_empty()
    }

    /// Reads issues by their ids; those that are not to be had.
    fn fetch(&mut self, scope: &mut Scope<'_>, ids: &[u64]) -> Result<Vec<u64>, Stop> {
        let asked = scope.fields.asked();
        let (api, expand) = (scope.api, self.expand);
        let mut pages = 0;
        by_ids(api, ids, (&asked, expand), &mut |page| {
            self.take(scope, page)?;
            pages += 1;
            if pages % PAGES_PER_COMMIT == 0 {
                self.checkpoint(scope)?;
            }
            if self.issues.should_stop() { Err(Stop::Asked) } else { Ok(()) }
        })?;
        let missing = |id: &u64| !self.sent.contains_key(id) && !self.refused.contains(id);
        Ok(ids.iter().copied().filter(missing).collect())
    }

    /// Sends the issues of a page that were not sent as they are.
    fn take(&mut self, scope: &mut Scope<'_>, page: Page) -> Result<(), Stop> {
        page.left_out.iter().for_each(|what| scope.notes.left_out(what));
        self.refused.extend(page.refused);
        let mut wanted = Vec::with_capacity(page.issues.len());
        for node in page.issues {
            let Some(id) = id_of(&node) else {
                scope.notes.left_out(&format!("issue {}: it has no id", node["key"]));
                continue;
            };
            let updated = node["fields"]["updated"].as_str().unwrap_or_default().to_owned();
            if self.sent.get(&id) != Some(&updated) {
                wanted.push((id, updated, node));
            }
        }
        let nodes: Vec<&Value> = wanted.iter().map(|(_, _, node)| node).collect();
        look_up_epics(scope.api, scope.fields, &nodes, &mut self.epics)?;
        for (id, updated, node) in wanted {
            self.send(scope, id, updated, node)?;
        }
        Ok(())
    }

    fn send(&mut self, scope: &mut Scope<'_>, id: u64, updated: String, node: Value) -> Result<(), Stop> {
        let key = node["key"].as_str().map_or_else(|| id.to_string(), |key| notes::shortened(key, 64).to_owned());
        let found = match records(scope, node, &self.epics) {
            Ok(found) => found,
            Err(Refused::Stop(stop)) => return Err(stop),
            Err(Refused::Node(why)) => {
                scope.notes.left_out(&format!("issue {key}: {why}"));
                self.refused.insert(id);
                return Ok(());
            }
        };
        self.issues.send(&found.issue)?;
        for comment in &found.comments {
            self.comments.send(comment)?;
        }
        if let Some(there) = found.there {
            for gone in self.remembered.compare(id, there, |missing| gone_comments(scope.api, id, missing))? {
                let comment = Comment::gone(REF_TYPE, gone);
                self.comments.send(&IssueComment::of_project(comment, &found.issue.project_id, &found.issue.ref_id))?;
            }
        }
        for sprint in found.sprints {
            self.sprints.meet(sprint)?;
        }
        self.sent.insert(id, updated);
        // The next run may have what this one could not.
        let _ = if found.partly { self.refused.insert(id) } else { self.refused.remove(&id) };
        if let Some(known) = &mut self.known {
            known.insert(id);
        }
        Ok(())
    }

    /// Holds what was exported against what is there: what has gone is said, what was missed is exported. What is said where so
    /// much has gone that it is not believed.
    pub fn sweep(&mut self, scope: &mut Scope<'_>, accepted: &Accepted) -> Result<Option<String>, Stop> {
        let jql = format!("project = {} ORDER BY key ASC", self.project.ref_id());
        let listed: Ids = match Search::new(scope.api, jql, IDS, "").ids(IDS_MAX)? {
            Ok(Some(ids)) => ids,
            Ok(None) => {
                let fields = [("project", self.project.key.as_str()), ("remembered", &IDS_MAX.to_string())];
                log::warn("the project has more issues than are remembered; those that go are not noticed", &fields);
                return Ok(None);
            }
            Err(why) => {
                scope.notes.left_out(&format!("what has gone: the list of ids is not whole: {why}"));
                return Ok(None);
            }
        };
        let Some(known) = &self.known else {
            // An earlier version did not remember them.
            log::info("issues that go are noticed from now on", &[("project", self.project.key.as_str())]);
            let mut known = Known::empty(self.tracking);
            known.begin(listed);
            self.known = Some(known);
            return Ok(None);
        };
        let known = known.ids();
        let missed: Vec<u64> = listed.iter().filter(|id| !known.contains(*id) && !self.refused.contains(id)).collect();
        let refused = match accepted.gone::<Issue>(&self.project.key, known, &listed)? {
            Ok(missing) => {
                self.say_gone(scope, &missing)?;
                accepted.spend::<Issue>(&self.project.key)?;
                None
            }
            Err(refused) => {
                scope.notes.refused(refused.clone());
                Some(refused)
            }
        };
        for id in self.fetch(scope, &missed)? {
            scope.notes.left_out(&format!("issue {id}: it is listed, and not to be had"));
            self.refused.insert(id);
        }
        Ok(refused)
    }

    /// Says which of these have gone, each after having been asked for by itself.
    fn say_gone(&mut self, scope: &mut Scope<'_>, missing: &[u64]) -> Result<(), Stop> {
        let requests: Vec<_> = missing.iter().map(|id| one(scope.api, *id).query("fields", "project")).collect();
        for (id, answer) in missing.iter().zip(http::parallel(requests, CONFIRM_AT_ONCE)) {
            let here = match project_of(answer?)? {
                None => {
                    let project = self.project.ref_id().to_owned();
                    self.issues.send(&Issue::gone_of_project(REF_TYPE, project, id.to_string()))?;
                    self.remembered.forget(*id);
                    false
                }
                // Moved to another project, whose export has it.
                Some(project) => project == self.project.ref_id(),
            };
            if let Some(known) = self.known.as_mut().filter(|_| !here) {
                known.remove(*id);
            }
        }
        Ok(())
    }

    /// How many issues were exported, where that is known.
    pub fn count(&self) -> Option<u64> {
        self.known.as_ref().map(|known| known.ids().len() as u64)
    }

    /// Notes what was left out, for the next runs. Whether they are to ask for it again.
    pub fn settle(&mut self) -> bool {
        let mut again = std::mem::take(&mut self.refused);
        let runs = if again.is_subset(&self.cursor.again) { self.cursor.again_runs + 1 } else { 0 };
        if again.len() > AGAIN_MAX || runs >= AGAIN_RUNS_MAX {
            again.clear();
        }
        (self.cursor.again, self.cursor.again_runs) = (again, runs);
        self.has_again()
    }

    /// Commits what was sent. Whoever was met on the way comes first: after a kill the pages that are committed are not read
    /// again, and nobody would meet them.
    pub fn checkpoint(&mut self, scope: &mut Scope<'_>) -> Result<()> {
        scope.people.checkpoint()?;
        self.sprints.checkpoint()?;
        if self.known.as_ref().is_some_and(|known| known.ids().len() > IDS_MAX)
            && let Some(known) = self.known.take()
        {
            known.done()?;
        }
        let known = self.known.as_mut().map(Known::named).transpose()?.unwrap_or_default();
        let cursor = json!(Cursor { known, ..self.cursor.clone() }).to_string();
        self.comments.checkpoint(&self.remembered.to_cursor())?;
        self.issues.checkpoint(&cursor)?;
        self.known.as_mut().map_or(Ok(()), Known::checkpoint)
    }

    pub fn done(self) -> Result<()> {
        if let Some(known) = self.known {
            known.done()?;
        }
        self.comments.done(None)?;
        self.issues.done(None).map(drop)
    }
}

/// Those of these comments of an issue that are not there any more, each asked for by itself.
fn gone_comments(api: &Api, issue: u64, ids: &[String]) -> Result<Vec<String>, Stop> {
    let issue = issue.to_string();
    let request = |id: &String| api.get(&["issue", &issue, "comment", id]);
    let mut gone = Vec::new();
    for (id, answer) in ids.iter().zip(http::parallel(ids.iter().map(request), CONFIRM_AT_ONCE)) {
        let answer = answer?;
        match answer.status {
            404 | 410 => gone.push(id.clone()),
            _ => drop(answer.check()?),
        }
    }
    Ok(gone)
}

/// Finds out which issues the epics are that these name by their keys, all at once.
pub fn look_up_epics(
    api: &Api,
    fields: &Fields,
    nodes: &[&Value],
    epics: &mut HashMap<String, String>,
) -> Result<(), Stop> {
    // The cloud says it in `parent`, with its id.
    if api.kind == Kind::Cloud {
        return Ok(());
    }
    let keys: BTreeSet<&str> = nodes
        .iter()
        .filter_map(|node| issue::epic_key(node, fields))
        .filter(|key| is_key(key) && !epics.contains_key(*key))
        .collect();
    if keys.is_empty() {
        return Ok(());
    }
    let list: Vec<&str> = keys.iter().copied().collect();
    let mut search = Search::new(api, format!("key in ({}) ORDER BY key ASC", list.join(",")), IDS, "").page(PAGE);
    while let Some(page) = search.next()? {
        let of = |issue: &Value| Some((issue["key"].as_str()?.to_owned(), id_of(issue)?.to_string()));
        epics.extend(page.issues.iter().filter_map(of));
    }
    Ok(())
}

/// Whether a text is the key of an issue, and nothing that would make another search of it.
fn is_key(text: &str) -> bool {
    let parts = text.rsplit_once('-');
    let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    parts.is_some_and(|(project, number)| {
        word(project) && number.bytes().all(|byte| byte.is_ascii_digit()) && word(number)
    })
}

/// A request for one issue.
pub fn one(api: &Api, id: u64) -> http::Request {
    api.get(&["issue", &id.to_string()])
}

/// The project that an issue is in; none where there is no such issue.
fn project_of(answer: Response) -> Result<Option<String>, Stop> {
    if matches!(answer.status, 404 | 410) {
        return Ok(None);
    }
    Ok(Some(answer.check()?.json_at("/fields/project/id")?))
}

#[cfg(test)]
mod tests {
    use super::is_key;

    #[test]
    fn only_keys_go_into_a_search() {
        for key in ["A-1", "ABC_2-99"] {
            assert!(is_key(key), "{key}");
        }
        for other in ["", "A", "A-", "-1", "A-x", "A-1) OR (key > B-1", "A B-1", "Ä-1"] {
            assert!(!is_key(other), "{other}");
        }
    }
}

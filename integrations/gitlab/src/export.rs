//! The export: accounts, their projects, and of each what has moved. What `moved` says is as it was is not asked for. A project
//! that fails leaves the others, and is tried again by the next run.
//!
//! The tree: `gitlab` › `group` or `user` › `project` › the models of a project.

use std::collections::BTreeMap;

use agent_sdk::sweep::Ids;
use agent_sdk::updated::{earlier, is_before};
use agent_sdk::{Error, ExportResult, Model, Result, Session, Tracking, git, log, session};
use integration_model::deletions::Accepted;
use integration_model::notes::Notes;
use integration_model::people::People;
use integration_model::run::{Repository, Run};
use integration_model::sourcecode::{PullRequest, Repo};
use integration_model::threads::{Latest, Reader, Seen};
use integration_model::work::{Issue, Project, Sprint};
use integration_model::{Stop, heads, listed, remembered};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::Api;
use crate::config::Config;
use crate::issue::{self, Issues};
use crate::merge_request::{self, MergeRequests};
use crate::moved::{Cursor, Moved};
use crate::project::{self, Found, Listed};
use crate::threads::Scope;
use crate::{PROJECT, REF_TYPE, hooks, milestone, user};

/// Seconds in which a project's last activity does not move again, and some more: what happens in them does not show.
const ACTIVITY_BLIND_SECS: u32 = 3_600 + 300;

/// What a project was like when all of it had been exported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    /// None where something may have happened after it that it does not show.
    #[serde(default)]
    activity: Option<String>,
    #[serde(default)]
    issues: Latest,
    #[serde(default)]
    merge_requests: Latest,
    /// What the configuration wanted.
    #[serde(default)]
    wants: String,
    /// Deletions that were not believed, by their models, and what would accept them. They are said by each run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    refused: BTreeMap<String, String>,
}

impl Signature {
    /// Notes how a sweep of a model ended.
    fn swept<M: Model>(&mut self, seen: &Seen) {
        self.refused.remove(M::NAME);
        self.refused.extend(seen.refused.clone().map(|why| (M::NAME.to_owned(), why)));
    }
}

struct Export<'a> {
    api: Api,
    config: &'a Config,
    accepted: Accepted,
}

/// Exports everything that the configuration asks for.
pub fn run(config: &Config) -> Result<ExportResult> {
    if let Some(fault) = config.faults().into_iter().next() {
        return Err(Error::invalid(fault));
    }
    let root = session::root_tracking("gitlab")?;
    let export = Export { api: Api::new(config), config, accepted: Accepted::read(&config.accept_deletions)? };
    export.api.graphql.remembered()?;
    let result =
        Run::default().accounts(&config.accounts(), |run, path, group| export.account(run, &root, path, group))?;
    export.accepted.tell();
    root.done(None)?;
    Ok(result)
}

/// An account whose projects are under way.
struct Account<'a> {
    tracking: &'a Session<Tracking>,
    people: &'a mut People,
    moved: Moved,
    /// Projects that are to be looked at by the next run, whatever the lists say.
    again: Ids,
    /// What time it was for the server when it listed the projects.
    at: Option<String>,
}

impl Export<'_> {
    fn account(&self, run: &mut Run, root: &Session<Tracking>, path: &str, group: bool) -> Result<(), Stop> {
        let kind = if group { "group" } else { "user" };
        let tracking = root.tracking(kind, path, path)?;
        let mut people = People::open(REF_TYPE, &tracking, path)?;
        let exported = self.account_in(run, &tracking, &mut people, path, group);
        // What was read is good, whatever ended it.
        people.done()?;
        let cursor = match &exported {
            Ok((cursor, _)) => Some(cursor.as_str()),
            Err(_) => None,
        };
        tracking.done(cursor)?;
        exported?.1.map_or(Ok(()), Err)
    }

    /// Exports the projects of an account; the cursor, and what ended it early.
    fn account_in(
        &self,
        run: &mut Run,
        tracking: &Session<Tracking>,
        people: &mut People,
        path: &str,
        group: bool,
    ) -> Result<(String, Option<Stop>), Stop> {
        let mut notes = Notes::default();
        let Listed { projects, at } = project::list(&self.api, path, group, &mut notes)?;
        let before = Cursor::read(tracking.last_processed().as_deref());
        let moved = if group {
            match user::send_members(&self.api, path, people, &mut notes) {
                // Who may read projects may not always see the members.
                Err(stop) if stop.is_passing() => {
                    let error = stop.into_error().to_string();
                    log::warn("members are not to be had", &[("group", path), ("error", &error)]);
                }
                read => read?,
            }
            hooks::of_group(&self.api, self.config, tracking, path)?;
            Moved::of_group(&self.api, self.config, path, &before)?
        } else {
            Moved::all()
        };
        let wanted: Vec<&Found> = projects.iter().filter(|project| project.is_wanted(self.config)).collect();
        self.send_projects(tracking, path, &projects, &wanted, &mut notes)?;
        let accepts = self.accepted.concerns::<Sprint>(path);
        if group && self.config.issues && (moved.anything() || accepts) {
            milestone::send(&self.api, tracking, &["groups", path], (path, path), &self.accepted, &mut notes)?;
        }
        run.account_noted(path, notes);
        let mut account = Account { tracking, people, moved, again: Ids::new(), at };
        let stopped = self.projects(run, &mut account, &wanted).err();
        Ok((account.moved.now.text(&account.again), stopped))
    }

    /// Exports projects, one after the other. Those that it does not come to are for the next run.
    fn projects(&self, run: &mut Run, account: &mut Account<'_>, wanted: &[&Found]) -> Result<(), Stop> {
        remembered::among(wanted.len());
        let total = u32::try_from(wanted.len()).ok();
        for (place, project) in wanted.iter().enumerate() {
            let exported =
                if account.tracking.should_stop() { Err(Stop::Asked) } else { self.project(run, account, project) };
            if let Err(stop) = exported {
                account.again.extend(wanted[place..].iter().map(|project| project.id));
                return Err(stop);
            }
            account.tracking.progress(u32::try_from(place + 1).unwrap_or(u32::MAX), total);
        }
        Ok(())
    }

    /// Sends records for each project that is wanted, and for each that has gone.
    fn send_projects(
        &self,
        tracking: &Session<Tracking>,
        path: &str,
        projects: &[Found],
        wanted: &[&Found],
        notes: &mut Notes,
    ) -> Result<(), Stop> {
        let all: Ids = projects.iter().map(|project| project.id).collect();
        let repos = wanted.iter().map(|project| (project.id, project.repo(notes))).collect();
        let of = listed::Of { place: path, accepted: &self.accepted };
        listed::send(tracking.model::<Repo>(path, path)?, &of, repos, &all, notes, |id| {
            Ok(project::is_gone(&self.api, id)?.then(|| Repo::gone(REF_TYPE, id.to_string())))
        })?;
        if !self.config.issues {
            return Ok(());
        }
        let with_issues = wanted.iter().filter(|project| project.has_issues());
        let records = with_issues.map(|project| (project.id, project.project(notes))).collect();
        listed::send(tracking.model::<Project>(path, path)?, &of, records, &all, notes, |id| {
            Ok(project::is_gone(&self.api, id)?.then(|| Project::gone(REF_TYPE, id.to_string())))
        })
    }

    /// Exports what has moved in a project.
    fn project(&self, run: &mut Run, account: &mut Account<'_>, project: &Found) -> Result<(), Stop> {
        let tracking = account.tracking.tracking(PROJECT, &project.ref_id(), &project.path)?;
        let before: Signature =
            tracking.last_processed().and_then(|cursor| serde_json::from_str(&cursor).ok()).unwrap_or_default();
        let repository = Repository { ref_type: REF_TYPE, ref_id: project.ref_id(), name: &project.path };
        let accepted = &self.accepted;
        let accepts = accepted.concerns_any(&project.path);
        let people = &mut *account.people;
        let mut scope = Scope { api: &self.api, people, notes: Notes::default(), project, accepted };
        let exported = hooks::of_project(&self.api, self.config, &tracking, project)
            .and_then(|()| self.now(project, &account.moved, &before))
            .and_then(|now| match now == before && !accepts {
                true => Ok(None),
                false => moved(&mut scope, self.config, &tracking, &before, now).map(Some),
            });
        let notes = scope.notes;
        let exported = match exported {
            Ok(None) => return Ok(run.unmoved(tracking, &repository, &before.refused)?),
            Ok(Some(done)) => {
                if done.again {
                    account.again.insert(project.id);
                }
                Ok(Signature { activity: settled(project, account.at.as_deref()), ..done.signature })
            }
            Err(stop) => {
                account.again.insert(project.id);
                Err(stop)
            }
        };
        account.people.checkpoint()?;
        run.exported(tracking, &repository, exported.map(|signature| json!(signature).to_string()), notes)
    }

    /// What a project is like now, as far as somebody says that it may be otherwise than before.
    fn now(&self, project: &Found, moved: &Moved, before: &Signature) -> Result<Signature, Stop> {
        let (id, wants) = (project.ref_id(), self.config.wants());
        let (all, above) = (before.wants != wants, ["projects", id.as_str()]);
        let mut now = Signature { activity: project.last_activity_at.clone(), wants, ..before.clone() };
        let issues_moved = all || moved.has_issues_of(project.id) || self.accepted.concerns::<Issue>(&project.path);
        if self.config.issues && project.has_issues() && issues_moved {
            now.issues = issue::LIST.latest(&self.api, &above)?;
        }
        let merge_requests_moved =
            all || moved.has_merge_requests_of(project.id) || self.accepted.concerns::<PullRequest>(&project.path);
        if self.config.code && project.has_merge_requests() && merge_requests_moved {
            now.merge_requests = merge_request::LIST.latest(&self.api, &above)?;
        }
        Ok(now)
    }
}

/// A project's last activity, as far as it shows everything: for an hour after it nothing does.
fn settled(project: &Found, at: Option<&str>) -> Option<String> {
    let activity = project.last_activity_at.as_deref()?;
    let blind = earlier(at?, ACTIVITY_BLIND_SECS)?;
    is_before(activity, &blind).then(|| activity.to_owned())
}

/// What was exported of a project.
struct Done {
    signature: Signature,
    /// Whether the next run is to come back.
    again: bool,
}

/// Exports what has moved, and says what the project is like now: of a part that was not seen to its newest it says what was
/// before, so that the next run comes back.
fn moved(
    scope: &mut Scope<'_>,
    config: &Config,
    tracking: &Session<Tracking>,
    before: &Signature,
    now: Signature,
) -> Result<Done, Stop> {
    let all = before.wants != now.wants;
    let mut done = Done { signature: now.clone(), again: false };
    let active = all || before.activity != now.activity;
    let (accepted, path) = (scope.accepted, scope.project.path.as_str());
    if config.issues && scope.project.has_issues() {
        // A milestone moves its project's last activity, and no issue.
        if active || accepted.concerns::<Sprint>(path) {
            let id = scope.project.ref_id();
            milestone::send(scope.api, tracking, &["projects", &id], (&id, path), accepted, &mut scope.notes)?;
        }
        if is_new(&now.issues, &before.issues, all || accepted.concerns::<Issue>(path)) {
            let seen = issues(scope, tracking, &now.issues)?;
            done.signature.swept::<Issue>(&seen);
            if !seen.is_caught_up(&now.issues) {
                done.signature.issues = before.issues.clone();
                done.again = true;
            }
        }
    }
    let mut heads = Heads::default();
    let accepts = accepted.concerns::<PullRequest>(path);
    if config.code && is_new(&now.merge_requests, &before.merge_requests, all || accepts) {
        let (seen, found) = merge_requests(scope, tracking, &now.merge_requests)?;
        done.signature.swept::<PullRequest>(&seen);
        heads = found;
        if !seen.is_caught_up(&now.merge_requests) {
            done.signature.merge_requests = before.merge_requests.clone();
            done.again = true;
        }
    }
    if config.git && scope.project.has_repository() && (active || !heads.list.is_empty()) {
        if heads.partly {
            heads.list = every_head(scope)?;
        }
        queue(scope, config, tracking, heads.list);
    }
    Ok(done)
}

/// Whether a list is to be read. One that has always been empty is not, even at first.
fn is_new(now: &Latest, before: &Latest, all: bool) -> bool {
    let any = |list: &Latest| list.updated_at.is_some() || list.count.is_some_and(|count| count > 0);
    (any(now) || any(before)) && (all || now != before)
}

fn issues(scope: &mut Scope<'_>, tracking: &Session<Tracking>, latest: &Latest) -> Result<Seen, Stop> {
    let main = tracking.model::<Issue>(&scope.project.ref_id(), &scope.project.path)?;
    let mut reader = Reader::open(main, Issues::open(tracking, scope)?);
    let read = reader.read(latest);
    let (issues, seen) = reader.close()?;
    issues.done()?;
    read.map(|()| seen)
}

/// Where the branches of merge requests are.
#[derive(Default)]
struct Heads {
    list: Vec<git::PullRequest>,
    /// Whether an earlier run has seen some that are not here.
    partly: bool,
}

fn merge_requests(scope: &mut Scope<'_>, tracking: &Session<Tracking>, latest: &Latest) -> Result<(Seen, Heads), Stop> {
    let main = tracking.model::<PullRequest>(&scope.project.ref_id(), &scope.project.path)?;
    let mut reader = Reader::open(main, MergeRequests::open(tracking, scope)?);
    let read = reader.read(latest);
    let (mut merge_requests, seen) = reader.close()?;
    let heads = Heads { list: std::mem::take(&mut merge_requests.heads), partly: seen.resumed };
    merge_requests.done()?;
    read.map(|()| (seen, heads))
}

/// The branches of all merge requests, a request for a hundred.
fn every_head(scope: &mut Scope<'_>) -> Result<Vec<git::PullRequest>, Stop> {
    let request = merge_request::LIST.since(scope.api, &["projects", &scope.project.ref_id()], None);
    let mut found = Vec::new();
    let take = |node: serde_json::Value| {
        let text = |name: &str| node[name].as_str().unwrap_or_default();
        let Some(number) = node["iid"].as_u64() else { return };
        let id = scope.thread_id(number);
        found.extend(heads::head(&id, text("web_url"), text("source_branch"), node["sha"].as_str()));
    };
    crate::walk::all(request, take, |_| ())?;
    Ok(found)
}

/// Queues the repository itself, with the branches of its merge requests.
fn queue(scope: &mut Scope<'_>, config: &Config, tracking: &Session<Tracking>, heads: Vec<git::PullRequest>) {
    let project = scope.project;
    let mut document =
        git::Repo::new(project.ref_id(), &project.path, config.git_url(&project.path)).ref_type(REF_TYPE);
    document.credential.clone_from(&config.git_credential);
    document.commit_url_template = Some(format!("{}/-/commit/{{sha}}", project.url));
    document.branch_url_template = Some(format!("{}/-/tree/{{branch}}", project.url));
    heads::queue(tracking, document, heads, &mut scope.notes);
}

//! The export: what a site has one of, its projects, and of each the issues that have moved. One search says for all projects
//! which have; a project in which nothing has is not asked for. A project that fails leaves the others, and is tried again by the
//! next run.
//!
//! The tree: `jira` › the models of the site; `jira` › `project` › issues, comments, and how it went.

use std::collections::BTreeMap;

use agent_sdk::sweep::Ids;
use agent_sdk::updated::secs_between;
use agent_sdk::{Error, ExportResult, Model, Result, Session, Tracking, log, session};
use integration_model::deletions::Accepted;
use integration_model::notes::Notes;
use integration_model::run::{Repository, Run};
use integration_model::work::{Issue, Project};
use integration_model::{Stop, listed, remembered};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::Api;
use crate::board::{self, Sprints};
use crate::config::Config;
use crate::fields::Fields;
use crate::hooks;
use crate::issue::Scope;
use crate::issues::Reader;
use crate::lists;
use crate::moved::{self, Moved};
use crate::project::{self, Found};
use crate::user::People;
use crate::{PROJECT, REF_TYPE, SITE};

const HOUR_SECS: i64 = 3_600;

/// The cursor of the site: for these projects all is known until then.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Covered {
    since: Option<String>,
    projects: String,
}

/// The cursor of a project.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Signature {
    complete: bool,
    /// What the configuration wanted.
    wants: String,
    /// Whether something was left out that is to be asked for again.
    again: bool,
    /// When it was last looked through for what has gone.
    swept_at: Option<String>,
    /// Deletions that were not believed, by their models, and what would accept them. They are said by each run.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    refused: BTreeMap<String, String>,
}

struct Export<'a> {
    api: Api,
    config: &'a Config,
    accepted: &'a Accepted,
    /// Asked for when the first issues are.
    fields: Option<Fields>,
    people: People,
    sprints: Sprints,
    /// What has moved in projects of which all else is known, and which these are.
    moved: Option<Moved>,
    covered: Ids,
}

/// Exports everything that the configuration asks for.
pub fn run(config: &Config) -> Result<ExportResult> {
    if let Some(fault) = config.faults().into_iter().next() {
        return Err(Error::invalid(fault));
    }
    let root = session::root_tracking("jira")?;
    let accepted = Accepted::read(&config.accept_deletions)?;
    let mut cursor = None;
    let result = Run::default()
        .accounts(&[(config.server(), ())], |run, _, ()| site(config, &accepted, run, &root, &mut cursor))?;
    accepted.tell();
    root.done(cursor.as_deref())?;
    Ok(result)
}

/// Exports the site; its cursor, once all projects have been looked at.
fn site(
    config: &Config,
    accepted: &Accepted,
    run: &mut Run,
    root: &Session<Tracking>,
    cursor: &mut Option<String>,
) -> Result<(), Stop> {
    let api = Api::open(config)?;
    api.log_in()?;
    let (people, sprints) = (People::open(root)?, Sprints::open(root)?);
    let mut export = Export { api, config, accepted, fields: None, people, sprints, moved: None, covered: Ids::new() };
    let exported = export.site(run, root, cursor);
    // What was read is good, whatever ended it.
    export.people.done()?;
    export.sprints.done()?;
    exported
}

impl Export<'_> {
    fn site(&mut self, run: &mut Run, root: &Session<Tracking>, cursor: &mut Option<String>) -> Result<(), Stop> {
        let mut notes = Notes::default();
        let projects = self.projects(root, &mut notes)?;
        hooks::of_site(&self.api, self.config, root)?;
        let read = lists::read(&self.api, root, self.accepted, &mut notes);
        or_without(read, "statuses, types or priorities")?;
        if self.config.users {
            let read = self.people.list(&self.api, &mut notes);
            or_without(read, "users")?;
        }
        let before: Covered =
            root.last_processed().and_then(|cursor| serde_json::from_str(&cursor).ok()).unwrap_or_default();
        if let Some(since) = &before.since {
            let moved = moved::since(&self.api, since, None, &mut notes);
            self.moved = or_without(moved, "what has moved, but of each project by itself")?.flatten();
            self.covered = Ids::parse(&before.projects).unwrap_or_default();
        }
        run.account_noted(self.config.server(), notes);
        let mut covered = Ids::new();
        remembered::among(projects.len());
        let total = u32::try_from(projects.len()).ok();
        for (place, project) in (1..).zip(&projects) {
            if root.should_stop() {
                return Err(Stop::Asked);
            }
            if self.project(run, root, project)? {
                covered.insert(project.number());
            }
            root.progress(place, total);
        }
        *cursor = Some(json!(Covered { since: Some(self.api.began.clone()), projects: covered.to_text() }).to_string());
        // Last, for they are many requests, which issues should not wait for.
        let mut notes = Notes::default();
        if self.config.boards {
            // Without Jira Software there are none.
            let read = board::read(&self.api, root, &mut self.sprints, self.accepted, &mut notes);
            or_without(read, "boards")?;
        }
        run.account_noted(self.config.server(), notes);
        Ok(())
    }

    /// Sends a record for each project that is wanted, and for each that has gone.
    fn projects(&self, root: &Session<Tracking>, notes: &mut Notes) -> Result<Vec<Found>, Stop> {
        let all = project::all(&self.api, notes)?;
        let listed: Ids = all.iter().map(Found::number).collect();
        let selection = self.config.selection();
        let wanted: Vec<Found> = all.into_iter().filter(|project| selection.takes(&project.key)).collect();
        let records = wanted.iter().map(|project| (project.number(), project.record(&self.api, notes))).collect();
        let of = listed::Of { place: SITE, accepted: self.accepted };
        listed::send(root.model::<Project>(SITE, "")?, &of, records, &listed, notes, |id| {
            Ok(project::is_gone(&self.api, id)?.then(|| Project::gone(REF_TYPE, id.to_string())))
        })?;
        Ok(wanted)
    }

    /// Exports what has moved in a project; whether all of it is known now.
    fn project(&mut self, run: &mut Run, root: &Session<Tracking>, project: &Found) -> Result<bool, Stop> {
        let tracking = root.tracking(PROJECT, project.ref_id(), &project.key)?;
        let before: Signature =
            tracking.last_processed().and_then(|cursor| serde_json::from_str(&cursor).ok()).unwrap_or_default();
        let part = Repository { ref_type: REF_TYPE, ref_id: project.ref_id().to_owned(), name: &project.key };
        let known = before.complete && before.wants == self.config.wants() && self.covered.contains(project.number());
        let moved = self.moved.as_ref().filter(|_| known).map(|moved| moved.of(project.ref_id(), None));
        // What was not believed is looked at by each run: it may be there again.
        let doubted = !before.refused.is_empty() || self.accepted.concerns::<Issue>(&project.key);
        let sweep = self.is_sweep_due(&before) || doubted;
        if moved.as_ref().is_some_and(Vec::is_empty) && !before.again && !sweep {
            run.unmoved(tracking, &part, &before.refused)?;
            return Ok(true);
        }
        if self.fields.is_none() {
            self.fields = Some(Fields::of(self.api.list(&["field"])?));
        }
        let fields = self.fields.clone().unwrap_or_default();
        let mut scope = Scope::new(&self.api, &fields, &mut self.people);
        let moved = self.moved.as_ref().filter(|_| known);
        let asked = Asked { config: self.config, accepted: self.accepted, moved, sweep };
        let exported = asked.issues(&mut scope, &mut self.sprints, &tracking, project, before);
        let notes = scope.notes;
        let whole = exported.is_ok();
        run.project_exported(tracking, &part, exported.map(|signature| json!(signature).to_string()), notes)?;
        Ok(whole)
    }

    fn is_sweep_due(&self, before: &Signature) -> bool {
        let age = before.swept_at.as_deref().and_then(|swept| secs_between(swept, &self.api.began));
        age.is_none_or(|secs| secs >= i64::from(self.config.sweep_hours) * HOUR_SECS)
    }
}

/// What was read; nothing, and that is said, where issues can be had without it. Not every credential may see all of a site.
fn or_without<T>(read: Result<T, Stop>, what: &str) -> Result<Option<T>, Stop> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(stop @ Stop::Failed(_)) => {
            let error = stop.into_error().to_string();
            log::warn("a part of the site is not to be had", &[("what", what), ("error", &error)]);
            Ok(None)
        }
        Err(stop) => Err(stop),
    }
}

/// What is wanted of a project.
struct Asked<'a> {
    config: &'a Config,
    accepted: &'a Accepted,
    /// Where all else is known.
    moved: Option<&'a Moved>,
    sweep: bool,
}

impl Asked<'_> {
    fn issues(
        &self,
        scope: &mut Scope<'_>,
        sprints: &mut Sprints,
        tracking: &Session<Tracking>,
        project: &Found,
        mut signature: Signature,
    ) -> Result<Signature, Stop> {
        let wants = self.config.wants();
        let mut reader = Reader::open(tracking, project, (&wants, self.config.transitions), sprints)?;
        let read = self.read(scope, &mut reader, project, &mut signature);
        if read.is_ok() {
            (signature.complete, signature.wants, signature.again) = (true, wants, reader.settle());
        }
        reader.checkpoint(scope)?;
        reader.done()?;
        read.map(|()| signature)
    }

    fn read(
        &self,
        scope: &mut Scope<'_>,
        reader: &mut Reader<'_>,
        project: &Found,
        signature: &mut Signature,
    ) -> Result<(), Stop> {
        let moved = match reader.since().map(str::to_owned) {
            None => None,
            Some(since) => match self.moved {
                Some(moved) => Some(moved.of(project.ref_id(), Some(&since))),
                // It failed the last time, or was not wanted: what has moved since it was last exported is asked of it alone.
                None => moved::since(scope.api, &since, Some(project.ref_id()), &mut scope.notes)?
                    .map(|moved| moved.of(project.ref_id(), None)),
            },
        };
        let Some(moved) = moved else {
            reader.all(scope)?;
            signature.swept_at = Some(scope.api.began.clone());
            return Ok(());
        };
        reader.moved(scope, &moved)?;
        if self.sweep {
            // As many as there are, by the server: none has gone, or as many have come that were missed.
            let refused = match project.issues().is_some() && project.issues() == reader.count() {
                true => self.accepted.spend::<Issue>(&project.key).map(|()| None)?,
                false => reader.sweep(scope, self.accepted)?,
            };
            signature.refused = refused.into_iter().map(|why| (Issue::NAME.to_owned(), why)).collect();
            signature.swept_at = Some(scope.api.began.clone());
        }
        Ok(())
    }
}

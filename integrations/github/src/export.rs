//! The export: accounts, their repositories, and of each what has moved. One query says for 74 repositories at a time which
//! have; what is as it was is not asked for. A repository that fails leaves the others, and is tried again by the next run.
//!
//! The tree: `github` › `organization` or `user` › `repository` › the models of a repository.

use std::collections::BTreeMap;

use agent_sdk::sweep::Ids;
use agent_sdk::{Error, ExportResult, Model, Result, Session, Tracking, git, log, session};
use integration_model::deletions::Accepted;
use integration_model::notes::{self, Notes};
use integration_model::people::People;
use integration_model::run::{Repository, Run};
use integration_model::sourcecode::{PullRequest, Repo};
use integration_model::threads::{Latest, Reader, Seen};
use integration_model::work::Issue;
use integration_model::{Stop, heads, listed, remembered};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::Api;
use crate::config::Config;
use crate::hooks;
use crate::issue::Issues;
use crate::on_code;
use crate::pull_request::PullRequests;
use crate::queries::{HEADS, NUMBERS_PAGE, REPOSITORIES, REPOSITORIES_BARE, REPOSITORIES_PAGE};
use crate::repo::{self, Found};
use crate::threads::Scope;
use crate::user;
use crate::walk::Walk;
use crate::{REF_TYPE, REPOSITORY};

/// What a repository was like when all of it had been exported. As long as the server tells the same, nothing has moved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    #[serde(default)]
    pushed_at: Option<String>,
    #[serde(default)]
    issues: Latest,
    #[serde(default)]
    pull_requests: Latest,
    /// What the configuration wanted.
    #[serde(default)]
    wants: String,
    /// Deletions that were not believed, by their models, and what would accept them. They are said by each run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    refused: BTreeMap<String, String>,
}

impl Signature {
    fn of(repo: &Found, config: &Config, before: &Signature) -> Signature {
        Signature {
            refused: before.refused.clone(),
            pushed_at: repo.pushed_at.clone(),
            issues: repo.issues.clone(),
            pull_requests: repo.pull_requests.clone(),
            wants: config.wants(),
        }
    }

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
    let root = session::root_tracking("github")?;
    let export = Export { api: Api::new(config), config, accepted: Accepted::read(&config.accept_deletions)? };
    let result = Run::default()
        .accounts(&config.accounts(), |run, login, organization| export.account(run, &root, login, organization))?;
    export.accepted.tell();
    root.done(None)?;
    log::info("points of GraphQL that the export cost", &[("points", &export.api.spent().to_string())]);
    Ok(result)
}

impl Export<'_> {
    fn account(&self, run: &mut Run, root: &Session<Tracking>, login: &str, organization: bool) -> Result<(), Stop> {
        let kind = if organization { "organization" } else { "user" };
        let tracking = root.tracking(kind, login, login)?;
        let mut people = People::open(REF_TYPE, &tracking, login)?;
        let exported = self.account_in(run, &tracking, &mut people, login, organization);
        // What was read is good, whatever ended it.
        people.done()?;
        tracking.done(None)?;
        exported
    }

    fn account_in(
        &self,
        run: &mut Run,
        tracking: &Session<Tracking>,
        people: &mut People,
        login: &str,
        organization: bool,
    ) -> Result<(), Stop> {
        let mut notes = Notes::default();
        let repos = repositories(&self.api, login, &mut notes)?;
        if organization {
            match people.members(login, || user::members(&self.api, login, &mut notes)) {
                // Who may read repositories may not always see the members.
                Err(stop @ Stop::Failed(_)) if !stop.ends_all() => {
                    let error = stop.into_error();
                    log::warn("members are not to be had", &[("organization", login), ("error", &error.to_string())]);
                }
                read => read?,
            }
            hooks::of_organization(&self.api, self.config, tracking, login)?;
        }
        let wanted = self.send_repositories(tracking, login, organization, &repos, &mut notes)?;
        run.account_noted(login, notes);
        remembered::among(wanted.len());
        let total = u32::try_from(wanted.len()).ok();
        for (place, repo) in (1..).zip(&wanted) {
            if tracking.should_stop() {
                return Err(Stop::Asked);
            }
            self.repository(run, tracking, people, repo)?;
            tracking.progress(place, total);
        }
        Ok(())
    }

    /// Sends a record for each repository that is wanted, and for each that has gone.
    fn send_repositories(
        &self,
        tracking: &Session<Tracking>,
        login: &str,
        organization: bool,
        repos: &[Found],
        notes: &mut Notes,
    ) -> Result<Vec<Found>, Stop> {
        let selection = self.config.selection();
        let wanted: Vec<Found> = repos
            .iter()
            .filter(|repo| selection.takes(&repo.full_name))
            .filter(|repo| !(repo.archived && self.config.skip_archived || repo.fork && self.config.skip_forks))
            .cloned()
            .collect();
        let records = wanted.iter().map(|repo| (repo.id, repo::record(repo, organization, notes))).collect();
        let listed: Ids = repos.iter().map(|repo| repo.id).collect();
        let of = listed::Of { place: login, accepted: &self.accepted };
        listed::send(tracking.model::<Repo>(login, login)?, &of, records, &listed, notes, |id| {
            Ok(is_repository_gone(&self.api, id)?.then(|| Repo::gone(REF_TYPE, id.to_string())))
        })?;
        Ok(wanted)
    }

    /// Exports what has moved in a repository.
    fn repository(
        &self,
        run: &mut Run,
        above: &Session<Tracking>,
        people: &mut People,
        repo: &Found,
    ) -> Result<(), Stop> {
        let tracking = above.tracking(REPOSITORY, &repo.ref_id(), &repo.full_name)?;
        let before: Signature =
            tracking.last_processed().and_then(|cursor| serde_json::from_str(&cursor).ok()).unwrap_or_default();
        hooks::of_repository(&self.api, self.config, &tracking, repo)?;
        let now = Signature::of(repo, self.config, &before);
        let repository = Repository { ref_type: REF_TYPE, ref_id: repo.ref_id(), name: &repo.full_name };
        if before == now && !self.accepted.concerns_any(&repo.full_name) {
            return Ok(run.unmoved(tracking, &repository, &before.refused)?);
        }
        let mut scope = Scope { api: &self.api, people, notes: Notes::default(), repo, accepted: &self.accepted };
        let exported = moved(&mut scope, self.config, &tracking, &before, &now);
        let notes = scope.notes;
        people.checkpoint()?;
        run.exported(tracking, &repository, exported.map(|signature| json!(signature).to_string()), notes)
    }
}

/// The repositories of an account.
pub fn repositories(api: &Api, login: &str, notes: &mut Notes) -> Result<Vec<Found>, Stop> {
    let at = "/repositoryOwner/repositories";
    let mut walk = Walk::new(api, (REPOSITORIES, REPOSITORIES_BARE), at, json!({ "login": login }), REPOSITORIES_PAGE);
    let (mut found, mut seen): (Vec<Found>, Ids) = (Vec::new(), Ids::new());
    while let Some(page) = walk.next()? {
        page.left_out.iter().for_each(|what| notes.left_out(&format!("repository {what}")));
        let before = found.len();
        for node in page.nodes {
            let name = node["nameWithOwner"].clone();
            match notes::read::<Found>(node) {
                Ok(repo) if seen.insert(repo.id) => found.push(repo),
                Ok(_) => {}
                Err(why) => notes.left_out(&format!("repository {name}: {why}")),
            }
        }
        walk.saw_new(found.len() > before);
    }
    Ok(found)
}

/// Whether a repository that is not listed any more has gone.
fn is_repository_gone(api: &Api, id: u64) -> Result<bool, Stop> {
    let answer = api.request("GET", &["repositories", &id.to_string()]).send()?;
    // One that has moved to another account is there, and not ours any more.
    Ok(matches!(answer.status, 200 | 301 | 404 | 410 | 451))
}

/// Exports what has moved, and says what the repository is like now: of a part that was not seen to its newest it says
/// what was before, so that the next run comes back.
fn moved(
    scope: &mut Scope<'_>,
    config: &Config,
    tracking: &Session<Tracking>,
    before: &Signature,
    now: &Signature,
) -> Result<Signature, Stop> {
    let all = before.wants != now.wants;
    let mut signature = now.clone();
    let any = |now: &Latest, before: &Latest| now.count.max(before.count).is_some_and(|count| count > 0);
    let (accepted, name) = (scope.accepted, scope.repo.full_name.as_str());
    let issues_moved = all || before.issues != now.issues || accepted.concerns::<Issue>(name);
    if config.issues && any(&now.issues, &before.issues) && issues_moved {
        let seen = issues(scope, tracking, &now.issues)?;
        signature.swept::<Issue>(&seen);
        if !seen.is_caught_up(&now.issues) {
            signature.issues = before.issues.clone();
        }
    }
    let mut heads = Heads::default();
    let pulls = (&now.pull_requests, &before.pull_requests);
    let pulls_moved = all || pulls.0 != pulls.1 || accepted.concerns::<PullRequest>(name);
    if config.code && any(pulls.0, pulls.1) && pulls_moved {
        let (seen, found) = pull_requests(scope, tracking, &now.pull_requests)?;
        signature.swept::<PullRequest>(&seen);
        heads = found;
        if !seen.is_caught_up(&now.pull_requests) {
            signature.pull_requests = before.pull_requests.clone();
        }
    }
    let pushed = before.pushed_at != now.pushed_at;
    if config.git && now.pushed_at.is_some() && (all || pushed || !heads.list.is_empty()) {
        if heads.partly {
            heads.list = every_head(scope)?;
        }
        queue(scope, config, tracking, heads.list);
    }
    Ok(signature)
}

fn issues(scope: &mut Scope<'_>, tracking: &Session<Tracking>, latest: &Latest) -> Result<Seen, Stop> {
    let main = tracking.model::<Issue>(&scope.repo.ref_id(), &scope.repo.full_name)?;
    let mut reader = Reader::open(main, Issues::open(tracking, scope)?);
    let read = reader.read(latest);
    let (issues, seen) = reader.close()?;
    issues.done()?;
    read.map(|()| seen)
}

/// Where the branches of pull requests are.
#[derive(Default)]
struct Heads {
    list: Vec<git::PullRequest>,
    /// Whether an earlier run has seen some that are not here.
    partly: bool,
}

fn pull_requests(scope: &mut Scope<'_>, tracking: &Session<Tracking>, latest: &Latest) -> Result<(Seen, Heads), Stop> {
    let main = tracking.model::<PullRequest>(&scope.repo.ref_id(), &scope.repo.full_name)?;
    let mut reader = Reader::open(main, PullRequests::open(tracking, scope)?);
    let read = reader.read(latest).and_then(|()| {
        let PullRequests { scope, comments, remembered, .. } = &mut reader.source;
        on_code::read(scope, comments, remembered)
    });
    let (mut pull_requests, seen) = reader.close()?;
    let heads = Heads { list: std::mem::take(&mut pull_requests.heads), partly: seen.resumed };
    pull_requests.done()?;
    read.map(|()| (seen, heads))
}

/// The branches of all pull requests, a point for a hundred.
fn every_head(scope: &mut Scope<'_>) -> Result<Vec<git::PullRequest>, Stop> {
    let (owner, name) = scope.repo.parts();
    let variables = json!({ "owner": owner, "name": name });
    let mut walk = Walk::new(scope.api, (HEADS, HEADS), "/repository/pullRequests", variables, NUMBERS_PAGE);
    let mut heads = Vec::new();
    while let Some(page) = walk.next()? {
        for node in &page.nodes {
            let text = |name: &str| node[name].as_str().unwrap_or_default();
            let Some(number) = node["number"].as_u64() else { continue };
            let id = scope.thread_id(number);
            heads.extend(heads::head(&id, text("url"), text("headRefName"), node["headRefOid"].as_str()));
        }
    }
    Ok(heads)
}

/// Queues the repository itself, with the branches of its pull requests.
fn queue(scope: &mut Scope<'_>, config: &Config, tracking: &Session<Tracking>, heads: Vec<git::PullRequest>) {
    let repo = scope.repo;
    let mut document =
        git::Repo::new(repo.ref_id(), &repo.full_name, config.git_url(&repo.full_name)).ref_type(REF_TYPE);
    document.credential.clone_from(&config.git_credential);
    document.commit_url_template = Some(format!("{}/commit/{{sha}}", repo.url));
    document.branch_url_template = Some(format!("{}/tree/{{branch}}", repo.url));
    heads::queue(tracking, document, heads, &mut scope.notes);
}

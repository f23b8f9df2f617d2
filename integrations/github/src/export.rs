//! The export: accounts, their repositories, and of each what has moved. One query says for 74 repositories at a time which
//! have; what is as it was is not asked for. A repository that fails leaves the others, and is tried again by the next run.
//!
//! The tree: `github` › `organization` or `user` › `repository` › the models of a repository.

use agent_sdk::sweep::Ids;
use agent_sdk::{Error, ExportResult, Result, Session, Tracking, git, log, session};
use integration_model::notes::{self, Notes};
use integration_model::people::People;
use integration_model::run::{Repository, Run};
use integration_model::sourcecode::Repo;
use integration_model::{Stop, heads, listed};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::Api;
use crate::config::Config;
use crate::gone;
use crate::hooks;
use crate::issue::Issues;
use crate::on_code;
use crate::pull_request::PullRequests;
use crate::queries::{HEADS, NUMBERS_PAGE, REPOSITORIES, REPOSITORIES_BARE, REPOSITORIES_PAGE};
use crate::repo::{self, Found, Latest};
use crate::threads::{Reader, Scope, Seen};
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
}

impl Signature {
    fn of(repo: &Found, config: &Config) -> Signature {
        Signature {
            pushed_at: repo.pushed_at.clone(),
            issues: repo.issues.clone(),
            pull_requests: repo.pull_requests.clone(),
            wants: config.wants(),
        }
    }
}

struct Export<'a> {
    api: Api,
    config: &'a Config,
}

/// Exports everything that the configuration asks for.
pub fn run(config: &Config) -> Result<ExportResult> {
    if let Some(fault) = config.faults().into_iter().next() {
        return Err(Error::invalid(fault));
    }
    let export = Export { api: Api::new(config), config };
    let root = session::root_tracking("github")?;
    let result = Run::default()
        .accounts(&config.accounts(), |run, login, organization| export.account(run, &root, login, organization))?;
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
        listed::send(tracking.model::<Repo>(login, login)?, records, &listed, |id| {
            Ok(gone::is_repository_gone(&self.api, id)?.then(|| Repo::gone(REF_TYPE, id.to_string())))
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
        let now = Signature::of(repo, self.config);
        let repository = Repository { ref_type: REF_TYPE, ref_id: repo.ref_id(), name: &repo.full_name };
        if before == now {
            return Ok(run.unmoved(tracking, &repository)?);
        }
        let mut scope = Scope { api: &self.api, people, notes: Notes::default(), repo };
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
    let any = |now: &Latest, before: &Latest| now.count > 0 || before.count > 0;
    if config.issues && any(&now.issues, &before.issues) && (all || before.issues != now.issues) {
        let seen = issues(scope, tracking, &now.issues)?;
        if seen.again || !gone::is_caught_up(seen.newest.as_deref(), now.issues.updated_at.as_deref()) {
            signature.issues = before.issues.clone();
        }
    }
    let mut heads = Heads::default();
    let pulls = (&now.pull_requests, &before.pull_requests);
    if config.code && any(pulls.0, pulls.1) && (all || pulls.0 != pulls.1) {
        let (seen, found) = pull_requests(scope, tracking, &now.pull_requests)?;
        heads = found;
        if seen.again || !gone::is_caught_up(seen.newest.as_deref(), now.pull_requests.updated_at.as_deref()) {
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
    let mut reader = Reader::open(tracking, scope.repo, Issues::open(tracking, scope.repo)?)?;
    let read = reader.read(scope, latest).and_then(|()| gone::sweep(scope, &mut reader));
    let Reader { kind, main, seen, .. } = reader;
    kind.done()?;
    main.done(None)?;
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
    let mut reader = Reader::open(tracking, scope.repo, PullRequests::open(tracking, scope.repo)?)?;
    let read = reader
        .read(scope, latest)
        .and_then(|()| gone::sweep(scope, &mut reader))
        .and_then(|()| on_code::read(scope, &mut reader.kind.comments));
    let Reader { mut kind, main, seen, .. } = reader;
    let heads = Heads { list: std::mem::take(&mut kind.heads), partly: seen.resumed };
    kind.done()?;
    main.done(None)?;
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

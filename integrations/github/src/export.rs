//! The export: accounts, their repositories, and of each what has moved. One query says for 74 repositories at a time which
//! have; what is as it was is not asked for. A repository that fails leaves the others, and is tried again by the next run.
//!
//! The tree: `github` › `organization` or `user` › `repository` › the models of a repository.

use agent_sdk::sweep::Ids;
use agent_sdk::{Error, ExportResult, Result, Session, Tracking, control, git, log, session};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::{Api, Stop};
use crate::config::Config;
use crate::gone;
use crate::hooks;
use crate::issue::Issues;
use crate::notes::{self, Notes};
use crate::on_code;
use crate::pull_request::{self, PullRequests};
use crate::queries::{HEADS, NUMBERS_PAGE, REPOSITORIES, REPOSITORIES_BARE, REPOSITORIES_PAGE};
use crate::repo::{Found, Latest, Repo, RepoError};
use crate::threads::{Reader, Scope, Seen};
use crate::user::{People, SET_BYTES_MAX};
use crate::walk::Walk;
use crate::{REF_TYPE, REPOSITORY};

/// Repositories that fail one after the other before the server is taken to be the one that fails.
const FAILURES_IN_A_ROW_MAX: u32 = 10;
/// Bytes of the branches of pull requests in one repository's document, of which the host takes 1 MiB.
const HEADS_BYTES_MAX: usize = 1_000_000;

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

/// The repositories of an account that were exported.
#[derive(Debug, Default, Serialize, Deserialize)]
struct KnownRepos {
    #[serde(default)]
    set: String,
}

struct Run<'a> {
    api: Api,
    config: &'a Config,
    result: ExportResult,
    failures_in_a_row: u32,
}

/// Exports everything that the configuration asks for.
pub fn run(config: &Config) -> Result<ExportResult> {
    if let Some(fault) = config.faults().into_iter().next() {
        return Err(Error::invalid(fault));
    }
    let mut run = Run { api: Api::new(config), config, result: ExportResult::new(), failures_in_a_row: 0 };
    let root = session::root_tracking("github")?;
    for (login, organization) in config.accounts() {
        match run.account(&root, login, organization) {
            Ok(()) => {}
            Err(Stop::Failed(error)) if !error_ends_all(&error) => {
                log::error("the account is left out", &[("account", login), ("error", &error.to_string())]);
                run.result.failed(login, login, &error);
            }
            Err(stop) => {
                run.stopped(login, stop)?;
                break;
            }
        }
    }
    root.done(None)?;
    log::info("points of GraphQL that the export cost", &[("points", &run.api.spent().to_string())]);
    Ok(run.result)
}

/// Whether the next account would fail in the same way.
fn error_ends_all(error: &Error) -> bool {
    matches!(error.kind(), agent_sdk::ErrorKind::Denied | agent_sdk::ErrorKind::Unauthenticated)
}

impl Run<'_> {
    /// Ends the run where it is. What was committed stays, and the next run goes on there.
    fn stopped(&mut self, login: &str, stop: Stop) -> Result<()> {
        match stop {
            Stop::Asked => Ok(()),
            Stop::Failed(error) => Err(error),
            Stop::Paused(until) => {
                let why = "the server's budget of requests is spent, or down to the reserve";
                if let Some(until) = &until {
                    control::pause(until, why)?;
                }
                let until = until.unwrap_or_else(|| "it is renewed".to_owned());
                let error = Error::new(
                    agent_sdk::ErrorKind::Unavailable,
                    format!("paused until {until}: {why}; the next run goes on from here"),
                );
                self.result.failed(login, login, &error);
                Ok(())
            }
        }
    }

    fn account(&mut self, root: &Session<Tracking>, login: &str, organization: bool) -> Result<(), Stop> {
        let kind = if organization { "organization" } else { "user" };
        let tracking = root.tracking(kind, login, login)?;
        let mut people = People::open(&tracking, login)?;
        let exported = self.account_in(&tracking, &mut people, login, organization);
        // What was read is good, whatever ended it.
        people.done()?;
        tracking.done(None)?;
        exported
    }

    fn account_in(
        &mut self,
        tracking: &Session<Tracking>,
        people: &mut People,
        login: &str,
        organization: bool,
    ) -> Result<(), Stop> {
        let mut notes = Notes::default();
        let repos = repositories(&self.api, login, &mut notes)?;
        if organization {
            match people.members(&self.api, login, &mut notes) {
                // Who may read repositories may not always see the members.
                Err(Stop::Failed(error)) if !error_ends_all(&error) => {
                    log::warn("members are not to be had", &[("organization", login), ("error", &error.to_string())]);
                }
                read => read?,
            }
            hooks::of_organization(&self.api, self.config, tracking, login)?;
        }
        let wanted = self.send_repositories(tracking, login, organization, &repos, &mut notes)?;
        if let Some(all) = notes.tell(login) {
            self.result.failed(login, login, &Error::msg(all));
        }
        let total = u32::try_from(wanted.len()).ok();
        for (place, repo) in (1..).zip(&wanted) {
            if tracking.should_stop() {
                return Err(Stop::Asked);
            }
            self.repository(tracking, people, repo)?;
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
        let mut session = tracking.model::<Repo>(login, login)?;
        let cursor: KnownRepos =
            session.last_processed().and_then(|cursor| serde_json::from_str(&cursor).ok()).unwrap_or_default();
        let mut known = Ids::parse(&cursor.set).unwrap_or_default();
        let listed: Ids = repos.iter().map(|repo| repo.id).collect();
        for repo in &wanted {
            session.send(&Repo::new(repo, organization, notes))?;
        }
        for id in gone::gone_repositories(&self.api, &known, &listed)? {
            session.send(&Repo::gone(id))?;
            known.remove(id);
        }
        known.extend(wanted.iter().map(|repo| repo.id));
        let cursor = json!(KnownRepos { set: known.to_text() }).to_string();
        if cursor.len() > SET_BYTES_MAX {
            log::warn("there are more repositories than are remembered; those that go are not noticed", &[]);
        }
        session.done((cursor.len() <= SET_BYTES_MAX).then_some(cursor.as_str()))?;
        Ok(wanted)
    }

    /// Exports what has moved in a repository. Its own failure is noted, and is none of the run.
    fn repository(&mut self, above: &Session<Tracking>, people: &mut People, repo: &Found) -> Result<(), Stop> {
        let tracking = above.tracking(REPOSITORY, &repo.ref_id(), &repo.full_name)?;
        let before: Signature =
            tracking.last_processed().and_then(|cursor| serde_json::from_str(&cursor).ok()).unwrap_or_default();
        hooks::of_repository(&self.api, self.config, &tracking, repo)?;
        let now = Signature::of(repo, self.config);
        if before == now {
            tracking.done(None)?;
            self.result.exported(repo.ref_id(), &repo.full_name);
            return Ok(());
        }
        let mut scope = Scope { api: &self.api, people, notes: Notes::default(), repo };
        let exported = moved(&mut scope, self.config, &tracking, &before, &now);
        let left_out = scope.notes.tell(&repo.full_name);
        people.checkpoint()?;
        match exported {
            Ok(signature) => {
                self.failures_in_a_row = 0;
                health(&tracking, repo, left_out.clone())?;
                tracking.done(Some(&json!(signature).to_string()))?;
                match left_out {
                    Some(all) => self.result.failed(repo.ref_id(), &repo.full_name, &Error::msg(all)),
                    None => self.result.exported(repo.ref_id(), &repo.full_name),
                }
                Ok(())
            }
            Err(Stop::Failed(error)) => {
                health(&tracking, repo, Some(error.to_string()))?;
                log::error(
                    "the repository is left out",
                    &[("repository", &repo.full_name), ("error", &error.to_string())],
                );
                let why = error.to_string();
                tracking.skip(notes::shortened(&why, SKIP_BYTES_MAX));
                self.result.failed(repo.ref_id(), &repo.full_name, &error);
                self.failures_in_a_row += 1;
                let all = error.kind() == agent_sdk::ErrorKind::Denied;
                let server = self.failures_in_a_row >= FAILURES_IN_A_ROW_MAX;
                if all || server { Err(Stop::Failed(error)) } else { Ok(()) }
            }
            Err(stop) => {
                tracking.done(None)?;
                Err(stop)
            }
        }
    }
}

/// Bytes of the reason of a skip.
const SKIP_BYTES_MAX: usize = 1_000;

/// Says how it went with a repository.
fn health(tracking: &Session<Tracking>, repo: &Found, error: Option<String>) -> Result<()> {
    let mut session = tracking.model::<RepoError>(&repo.ref_id(), &repo.full_name)?;
    session.send(&RepoError::new(repo.ref_id(), error))?;
    session.done(None)?;
    Ok(())
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
        queue(scope, config, tracking, heads.list)?;
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
            heads.extend(pull_request::head(&id, text("url"), text("headRefName"), node["headRefOid"].as_str()));
        }
    }
    Ok(heads)
}

/// Queues the repository itself, with the branches of its pull requests: the newest, if there is no room for all.
fn queue(
    scope: &mut Scope<'_>,
    config: &Config,
    tracking: &Session<Tracking>,
    mut heads: Vec<git::PullRequest>,
) -> Result<()> {
    let repo = scope.repo;
    let number = |head: &git::PullRequest| head.ref_id.rsplit('/').next().and_then(|number| number.parse::<u64>().ok());
    heads.sort_by_key(|head| std::cmp::Reverse(number(head)));
    let mut bytes = 0;
    let total = heads.len();
    heads.retain(|head| {
        bytes += serde_json::to_string(head).map_or(0, |text| text.len() + 1);
        bytes <= HEADS_BYTES_MAX
    });
    if heads.len() < total {
        scope.notes.left_out(&format!("the branches of the {} oldest pull requests: no room", total - heads.len()));
    }
    let mut document =
        git::Repo::new(repo.ref_id(), &repo.full_name, config.git_url(&repo.full_name)).ref_type(REF_TYPE);
    document.credential.clone_from(&config.git_credential);
    document.commit_url_template = Some(format!("{}/commit/{{sha}}", repo.url));
    document.branch_url_template = Some(format!("{}/tree/{{branch}}", repo.url));
    document.pull_requests = heads;
    match git::export_repo(tracking, &document) {
        Ok(()) => Ok(()),
        // The API's records are worth having without the repository.
        Err(error) => {
            scope.notes.left_out(&format!("the repository's commits: {error}"));
            Ok(())
        }
    }
}

//! The export. Its tree: a tracking session `mock`; below it one for each project with a session of `mock.Issue`;
//! beside it `mock.Project` and `mock.User`. Each model's cursor is how many records it has sent.

use agent_sdk::http::{self, Pending};
use agent_sdk::{Error, ExportResult, Model, Result, Session, Tracking, control, git, log, session, state};
use serde::Serialize;

use crate::config::{Config, Fail};
use crate::issue::{Issue, IssueSource};
use crate::project::Project;
use crate::user::User;

/// Records between two looks at the outside: progress, and whether to stop.
const LOOK_EVERY: u32 = 4_096;

/// Milliseconds to wait for the server of `http_url`.
const HTTP_WAIT_MS: u32 = 10_000;

/// How a session of issues ended.
enum Ended {
    /// It is done, or was skipped.
    Done,
    /// The run has been asked to end.
    Stopped,
    /// It was rolled back, as configured.
    Failed(Error),
}

/// Exports everything that the configuration asks for.
pub fn run(config: &Config) -> Result<ExportResult> {
    if let Some(fault) = config.faults().into_iter().next() {
        return Err(Error::invalid(fault));
    }
    crate::log_in(config)?;
    let root = session::root_tracking("mock")?;
    count_run()?;
    pause(config)?;
    ask_server(config)?;
    small_model(config, config.projects, |index| Project::new(config, index))?;
    small_model(config, config.users(), |index| User::new(config, index))?;

    let mut result = ExportResult::new();
    let source = IssueSource::new(config);
    let stopped = if config.sub_sessions {
        by_project(config, &root, &source, &mut result)?
    } else {
        at_the_top(config, &source, &mut result)?
    };
    for repo in &config.repos {
        if let Err(error) = git::export_repo(&root, repo) {
            log::warn("the repository was not queued", &[("repo", &repo.name), ("error", &error.to_string())]);
            result.failed(&repo.ref_id, &repo.name, &error);
        }
    }
    root.done(cursor(config, stopped).as_deref())?;
    Ok(result)
}

/// The cursor of a session without records: how far its children are, unless they were stopped on the way.
fn cursor(config: &Config, stopped: bool) -> Option<String> {
    (!stopped).then(|| config.records.to_string())
}

/// Counts the runs in `state`; the count becomes durable with the first commit after it.
fn count_run() -> Result<()> {
    let runs = state::get_json::<u32>("runs")?.unwrap_or(0).saturating_add(1);
    state::set_json("runs", &runs)?;
    log::info("export begins", &[("run", &runs.to_string())]);
    Ok(())
}

/// Tells the operator of a pause. A real integration would wait in between, for example for a rate limit to pass.
fn pause(config: &Config) -> Result<()> {
    if config.pause {
        control::pause("2030-01-01T00:00:00Z", "the mock shows what a pause looks like")?;
        control::resume();
    }
    Ok(())
}

/// Gets `http_url` twice at a time, and logs the answers as they come.
fn ask_server(config: &Config) -> Result<()> {
    let mut pendings: Vec<Pending> = Vec::new();
    for request in [crate::request(config), crate::request(config)].into_iter().flatten() {
        pendings.push(request.submit()?);
    }
    while !pendings.is_empty() {
        let ready = http::wait_any(&pendings.iter().collect::<Vec<_>>(), HTTP_WAIT_MS);
        let Some(&first) = ready.first() else {
            return Err(Error::msg(format!("http_url: no answer within {HTTP_WAIT_MS} ms")));
        };
        let answer = pendings.swap_remove(first).take()?.error_for_status()?;
        log::info("the server answered", &[("status", &answer.status.to_string()), ("url", &answer.url)]);
    }
    Ok(())
}

/// Where a session goes on.
fn begin<M>(config: &Config, session: &Session<M>) -> u32 {
    if config.full {
        return 0;
    }
    session.last_processed().and_then(|cursor| cursor.parse().ok()).unwrap_or(0)
}

/// A model with few records, in a session at the top.
fn small_model<M: Model + Serialize>(config: &Config, count: u32, record: impl Fn(u32) -> M) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let mut session = session::root_model::<M>()?;
    let begin = begin(config, &session);
    for index in begin..count {
        session.send(&record(index))?;
    }
    session.progress(count, Some(count));
    session.done(Some(&count.max(begin).to_string()))?;
    Ok(())
}

/// A tracking session for each project, and one of issues in it. Only the last project fails. Returns whether the run
/// has been asked to end.
fn by_project(
    config: &Config,
    root: &Session<Tracking>,
    source: &IssueSource,
    result: &mut ExportResult,
) -> Result<bool> {
    for index in 0..config.projects {
        let project = Project::new(config, index);
        let tracking = root.tracking("project", &project.ref_id, &project.name)?;
        let issues = tracking.model::<Issue>(&project.ref_id, &project.name)?;
        let fail = config.fail.filter(|_| index + 1 == config.projects);
        let ended = send_issues(config, issues, source, |issue| (index, issue), fail)?;
        let stopped = matches!(ended, Ended::Stopped);
        tracking.done(cursor(config, stopped).as_deref())?;
        root.progress(index + 1, Some(config.projects));
        match ended {
            Ended::Done => result.exported(project.ref_id, project.name),
            Ended::Failed(error) => result.failed(project.ref_id, project.name, &error),
            Ended::Stopped => return Ok(true),
        }
    }
    Ok(false)
}

/// All issues through one session at the top, taking from one project after the other.
fn at_the_top(config: &Config, source: &IssueSource, result: &mut ExportResult) -> Result<bool> {
    if config.records == 0 {
        return Ok(false);
    }
    let issues = session::root_model::<Issue>()?;
    match send_issues(config, issues, source, |index| source.place(index), config.fail)? {
        Ended::Done => {}
        Ended::Failed(error) => result.failed(Issue::NAME, "all issues", &error),
        Ended::Stopped => return Ok(true),
    }
    Ok(false)
}

/// Sends issues from the cursor to `config.records`; `place` says which project and which of its issues each is.
fn send_issues(
    config: &Config,
    mut session: Session<Issue>,
    source: &IssueSource,
    place: impl Fn(u32) -> (u32, u32),
    fail: Option<Fail>,
) -> Result<Ended> {
    let (begin, end) = (begin(config, &session), config.records);
    let middle = begin + end.saturating_sub(begin) / 2;
    let mut issue = Issue::default();
    for index in begin..end {
        match fail.filter(|_| index == middle) {
            Some(Fail::Misfit) => {
                let (project, number) = place(index);
                source.fill(&mut issue, project, number);
                session.send(&issue.misfit())?;
                continue;
            }
            Some(fail) => return fail_as(fail, session),
            None => {}
        }
        if index % LOOK_EVERY == 0 {
            session.progress(index, Some(end));
            if session.should_stop() {
                session.done(Some(&index.to_string()))?;
                return Ok(Ended::Stopped);
            }
        }
        let (project, number) = place(index);
        source.fill(&mut issue, project, number);
        session.send(&issue)?;
        let sent = index + 1;
        if config.checkpoint_every > 0 && sent % config.checkpoint_every == 0 {
            session.checkpoint(&sent.to_string())?;
        }
    }
    session.progress(end, Some(end));
    session.done(Some(&end.max(begin).to_string()))?;
    Ok(Ended::Done)
}

fn fail_as(fail: Fail, session: Session<Issue>) -> Result<Ended> {
    let error = Error::msg(format!("the configuration asks for this failure: {fail:?}"));
    match fail {
        // The last two never get here: one failed at the start, the other is sent.
        Fail::Error | Fail::Unauthenticated | Fail::Misfit => return Err(error),
        Fail::Panic => panic!("the configuration asks for a panic"),
        Fail::Rollback => session.rollback(),
        Fail::Skip => {
            // Left out for good and counted by the host: nothing failed.
            session.skip("the configuration asks for it");
            return Ok(Ended::Done);
        }
    }
    Ok(Ended::Failed(error))
}

//! `make bench AREA=gitlab`: how many requests an export of GitLab takes, by GraphQL and by REST alone, counted by the simulator, and
//! whether everything arrived and nothing twice. Prints a table and writes `target/bench/gitlab.json`.

#[path = "report.rs"]
#[allow(dead_code, reason = "shared by benchmarks that measure other things")]
mod report;
#[path = "simulated.rs"]
mod simulated;

use std::path::Path;

use gitlab_simulator::{Options, Simulator, Size};
use report::{Report, Row};
use simulated::{Result, compare};

/// Requests of the first export of the reference repository, and of a quiet hour over a thousand projects: the list of projects is
/// ten of them.
const FIRST_REQUESTS_MAX: f64 = 800.0;
const QUIET_REQUESTS_MAX: f64 = 25.0;

fn main() -> Result<()> {
    let mut report = Report::default();
    reference(&mut report)?;
    by_rest(&mut report)?;
    quiet(&mut report)?;
    report.finish("gitlab")
}

/// One project with 10,000 issues, 5,000 merge requests, 45,000 comments, 6 commits each, and 2,000 users.
fn size() -> Size {
    Size {
        projects: 1,
        issues: 10_000,
        merge_requests: 5_000,
        notes: 45_000,
        commits: 6,
        milestones: 2,
        users: 2_000,
        seed: 1,
    }
}

fn reference(report: &mut Report) -> Result<()> {
    let simulator = Simulator::start(Options { size: size(), ..Options::default() })?;
    let folder = tempfile::tempdir()?;
    let secs = export(folder.path(), &simulator, true)?;
    let ledger = simulator.ledger();
    let first = "first export of the reference repository";
    report.add(Row::lower(first, ledger.requests as f64, "requests", FIRST_REQUESTS_MAX));
    report.add(Row::new("  of them queries of GraphQL", ledger.queries as f64, ""));
    report.add(Row::new("  time over loopback", secs, "s"));
    compare(report, &simulator.truth(), "gitlab", folder.path());
    let before = simulator.ledger().requests;
    export(folder.path(), &simulator, true)?;
    report.add(Row::new("  a quiet export after it", (simulator.ledger().requests - before) as f64, "requests"));
    Ok(())
}

/// The same of a server that has no GraphQL, or does not allow it.
fn by_rest(report: &mut Report) -> Result<()> {
    let simulator = Simulator::start(Options { size: size(), ..Options::default() })?;
    let folder = tempfile::tempdir()?;
    let secs = export(folder.path(), &simulator, false)?;
    report.add(Row::new("the same by REST alone", simulator.ledger().requests as f64, "requests"));
    report.add(Row::new("  time over loopback", secs, "s"));
    compare(report, &simulator.truth(), "gitlab", folder.path());
    Ok(())
}

/// A thousand projects of which none has moved since the last hour.
fn quiet(report: &mut Report) -> Result<()> {
    let size = Size {
        projects: 1_000,
        issues: 10_000,
        merge_requests: 5_000,
        notes: 5_000,
        commits: 1,
        milestones: 0,
        users: 2_000,
        seed: 2,
    };
    let simulator = Simulator::start(Options { size, ..Options::default() })?;
    let folder = tempfile::tempdir()?;
    export(folder.path(), &simulator, true)?;
    report.add(Row::new("first export of 1,000 projects", simulator.ledger().requests as f64, "requests"));
    let before = simulator.ledger().requests;
    let secs = export(folder.path(), &simulator, true)?;
    let requests = simulator.ledger().requests - before;
    report.add(Row::lower("a quiet hour over 1,000 projects", requests as f64, "requests", QUIET_REQUESTS_MAX));
    report.add(Row::new("  time over loopback", secs, "s"));
    compare(report, &simulator.truth(), "gitlab", folder.path());
    Ok(())
}

/// Exports into a folder; seconds that it took.
fn export(folder: &Path, simulator: &Simulator, graphql: bool) -> Result<f64> {
    let config = format!("groups: [acme], git: false, graphql: {graphql}");
    simulated::export(folder, "gitlab", &simulator.url(), &config)
}

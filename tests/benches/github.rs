//! `make bench AREA=github`: what an export of GitHub costs in points of its rate limit, counted by the simulator with GitHub's
//! formula, and whether everything arrived and nothing twice. Prints a table and writes `target/bench/github.json`.

#[path = "report.rs"]
#[allow(dead_code, reason = "shared by benchmarks that measure other things")]
mod report;
#[path = "simulated.rs"]
mod simulated;

use std::path::Path;

use github_simulator::{Options, Simulator, Size};
use report::{Report, Row};
use simulated::{Result, compare};

/// Points of the first export of the reference repository, and of a quiet hour over a thousand repositories.
const FIRST_POINTS_MAX: f64 = 800.0;
const QUIET_POINTS_MAX: f64 = 25.0;

fn main() -> Result<()> {
    let mut report = Report::default();
    reference(&mut report)?;
    quiet(&mut report)?;
    report.finish("github")
}

/// One repository with 10,000 issues, 5,000 pull requests, 45,000 comments and 10,000 on code, 2 reviews and 6 commits each.
fn reference(report: &mut Report) -> Result<()> {
    let size = Size {
        repositories: 1,
        issues: 10_000,
        pull_requests: 5_000,
        comments: 45_000,
        review_comments: 10_000,
        reviews: 2,
        commits: 6,
        users: 2_000,
        seed: 1,
    };
    let simulator = Simulator::start(Options { size, ..Options::default() })?;
    let folder = tempfile::tempdir()?;
    let secs = export(folder.path(), &simulator)?;
    let ledger = simulator.ledger();
    report.add(Row::lower("first export of the reference repository", ledger.points() as f64, "pts", FIRST_POINTS_MAX));
    report.add(Row::new("  of it by GraphQL", ledger.graphql_points as f64, "pts"));
    report.add(Row::new("  of it by REST", ledger.rest_points as f64, "pts"));
    report.add(Row::new("  requests", ledger.requests as f64, ""));
    report.add(Row::new("  time over loopback", secs, "s"));
    compare(report, &simulator.truth(), "github", folder.path());
    let before = ledger.points();
    export(folder.path(), &simulator)?;
    let quiet = simulator.ledger().points() - before;
    report.add(Row::new("  a quiet export after it", quiet as f64, "pts"));
    Ok(())
}

/// A thousand repositories of which none has moved since the last hour.
fn quiet(report: &mut Report) -> Result<()> {
    let size = Size {
        repositories: 1_000,
        issues: 10_000,
        pull_requests: 5_000,
        comments: 5_000,
        review_comments: 1_000,
        reviews: 1,
        commits: 1,
        users: 2_000,
        seed: 2,
    };
    // A first export takes more than an hour's points: two requests for each repository at the least.
    let simulator = Simulator::start(Options { size, points: 20_000, ..Options::default() })?;
    let folder = tempfile::tempdir()?;
    // Over loopback it is quicker than the secondary limit of a minute allows, pauses, and goes on in the next.
    let mut pauses = 0;
    while let Err(why) = export(folder.path(), &simulator) {
        pauses += 1;
        if pauses == 20 {
            return Err(why);
        }
        simulator.renew();
    }
    report.add(Row::new("  pauses for the secondary limits", f64::from(pauses), ""));
    report.add(Row::new("first export of 1,000 repositories", simulator.ledger().points() as f64, "pts"));
    let before = simulator.ledger().points();
    let secs = export(folder.path(), &simulator)?;
    let points = simulator.ledger().points() - before;
    report.add(Row::lower("a quiet hour over 1,000 repositories", points as f64, "pts", QUIET_POINTS_MAX));
    report.add(Row::new("  time over loopback", secs, "s"));
    compare(report, &simulator.truth(), "github", folder.path());
    Ok(())
}

/// Exports into a folder; seconds that it took.
fn export(folder: &Path, simulator: &Simulator) -> Result<f64> {
    simulated::export(folder, "github", &simulator.url(), "organizations: [acme], git: false, reserve: 0")
}

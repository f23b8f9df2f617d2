//! `make bench AREA=github`: what an export of GitHub costs in points of its rate limit, counted by the simulator with GitHub's
//! formula, and whether everything arrived and nothing twice. Prints a table and writes `target/bench/github.json`.

#[path = "report.rs"]
#[allow(dead_code, reason = "shared by benchmarks that measure other things")]
mod report;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use github_simulator::{Options, Simulator, Size, Truth};
use report::{Report, Row};
use tests::Sink;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

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
    compare(report, &simulator.truth(), folder.path());
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
    compare(report, &simulator.truth(), folder.path());
    Ok(())
}

/// Exports into a folder; seconds that it took.
fn export(folder: &Path, simulator: &Simulator) -> Result<f64> {
    let url = simulator.url();
    let yaml = format!(
        "root: root\nsink: {{folder: out}}\negress: {{wait: 1s}}\nintegrations:\n  - name: github\n    component: github\n    \
         config: {{url: \"{url}\", organizations: [acme], git: false, reserve: 0}}\n    grants:\n      \
         network: [\"{url}\"]\n      private_hosts: [127.0.0.1]\n      \
         credentials: {{token: {{file: token, bearer: true, hosts: [127.0.0.1]}}}}\n"
    );
    std::fs::write(folder.join("agent.yaml"), yaml)?;
    std::fs::write(folder.join("token"), "ghp_notarealtoken1234")?;
    let release = std::env::current_exe()?;
    let release = release.parent().ok_or("this program lies nowhere")?;
    let guests = release.parent().ok_or("this program lies nowhere")?.join("wasm32-wasip2/guest");
    let began = Instant::now();
    let mut command = Command::new(release.join("agent"));
    command.args(["export", "--quiet"]).current_dir(folder).env("AGENT_INTEGRATIONS_DIR", guests);
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("the export failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(began.elapsed().as_secs_f64())
}

/// Holds what arrived against the truth, as sets.
fn compare(report: &mut Report, truth: &Truth, folder: &Path) {
    let sink = Sink::read(&folder.join("out"));
    let (mut missing, mut more, mut twice, mut records) = (0, 0, 0, 0);
    for (model, expected) in truth {
        let found = sink.records.get(&format!("github/{model}")).map(Vec::as_slice).unwrap_or_default();
        let mut ids: Vec<&str> = found.iter().filter_map(|record| record["ref_id"].as_str()).collect();
        records += ids.len();
        ids.sort_unstable();
        twice += ids.windows(2).filter(|pair| pair[0] == pair[1]).count();
        ids.dedup();
        more += ids.iter().filter(|id| !expected.contains_key(**id)).count();
        missing += expected.keys().filter(|id| ids.binary_search(&id.as_str()).is_err()).count();
    }
    report.add(Row::new("  records", records as f64, ""));
    report.add(Row::lower("  records that are missing", missing as f64, "", 0.0));
    report.add(Row::lower("  records that nobody has", more as f64, "", 0.0));
    report.add(Row::lower("  records that came twice", twice as f64, "", 0.0));
}

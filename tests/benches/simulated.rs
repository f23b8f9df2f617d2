//! What benchmarks of integrations have in common: an export against a simulator, and how what arrived is held against the truth.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use simulator::Truth;
use tests::Sink;

use super::report::{Report, Row};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Exports into a folder by an integration with this configuration; seconds that it took.
pub fn export(folder: &Path, integration: &str, url: &str, config: &str) -> Result<f64> {
    let yaml = format!(
        "root: root\nsink: {{folder: out}}\negress: {{wait: 1s}}\nintegrations:\n  - name: {integration}\n    component: {integration}\n    \
         config: {{url: \"{url}\", {config}}}\n    grants:\n      network: [\"{url}\"]\n      private_hosts: [127.0.0.1]\n      \
         credentials: {{token: {{file: token, bearer: true, hosts: [127.0.0.1]}}}}\n"
    );
    std::fs::write(folder.join("agent.yaml"), yaml)?;
    std::fs::write(folder.join("token"), "notarealtoken1234")?;
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
pub fn compare(report: &mut Report, truth: &Truth, integration: &str, folder: &Path) {
    let sink = Sink::read(&folder.join("out"));
    let (mut missing, mut more, mut twice, mut records) = (0, 0, 0, 0);
    for (model, expected) in truth {
        let found = sink.records.get(&format!("{integration}/{model}")).map(Vec::as_slice).unwrap_or_default();
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

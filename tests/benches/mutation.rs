//! What a warm mutation costs the host, nothing of a remote server in it: a new instance, the call, its result held against its
//! form. It syncs nothing to disk; beside it stand two bare syncs, which a mutation would wait for that was to be durable.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use agent::config::{Grants, Integration, Limits};
use agent::sandbox::Call;
use agent::shutdown::Shutdown;
use serde_json::json;

use crate::report::{Report, Row, quantile};
use crate::{Bench, Outcome, Result};

/// Calls that warm up, and that count.
const WARM: usize = 200;
const CALLS: usize = 3_000;
/// The bars, milliseconds.
const P50_MS_MAX: f64 = 0.3;
const P99_MS_MAX: f64 = 1.0;
const SYNCS: usize = 100;

pub fn rows(bench: &Bench, report: &mut Report) -> Result<()> {
    let integration = Integration {
        name: "mock".to_owned(),
        component: Path::new("target/wasm32-wasip2/guest/integration_mock.wasm").to_owned(),
        sha256: None,
        config: json!({}),
        grants: Grants::default(),
        limits: Limits::default(),
        skip_git: false,
    };
    let prepared = bench.tokio.block_on(bench.runner.prepare(&integration))?;
    let config = prepared.integration.config.to_string();
    let data = json!({ "ref_id": "P1-1", "title": "Said anew" }).to_string();
    let runner = bench.runner.clone();
    // Commands come to a task and are answered by it; each runs in one of its own.
    let shutdown = Shutdown::default();
    let calls = async move {
        let mut times = Vec::with_capacity(CALLS);
        for number in 0..WARM + CALLS {
            let call = Call::Mutate { name: "issue.set_title".to_owned(), data: data.clone(), config: config.clone() };
            let (runner, prepared) = (runner.clone(), prepared.clone());
            let began = Instant::now();
            let ended = Shutdown::default().spawn(async move { runner.run_call(&prepared, call).await }).await;
            let took = began.elapsed();
            match ended.map_err(|error| error.to_string())?.outcome {
                Outcome::Ok { .. } if number >= WARM => times.push(took.as_secs_f64() * 1e3),
                Outcome::Ok { .. } => {}
                other => return Err(format!("the mutation ended: {other:?}")),
            }
        }
        Ok(times)
    };
    let mut times = bench.tokio.block_on(async { shutdown.spawn(calls).await })??;
    let mut synced = two_syncs()?;
    for (what, at, bar) in [("median", 0.5, P50_MS_MAX), ("99 of 100", 0.99, P99_MS_MAX)] {
        let row = Row::lower(&format!("a warm mutation, {what}"), quantile(&mut times, at), "ms", bar);
        report.add(row.peer("two bare syncs", quantile(&mut synced, at)));
    }
    Ok(())
}

/// Milliseconds that two writes take, each synced, as of a transaction and what it is recorded in.
fn two_syncs() -> Result<Vec<f64>> {
    let mut file = tempfile::tempfile_in("target")?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let began = Instant::now();
        for _ in 0..2 {
            file.write_all(&[7; 4096])?;
            file.sync_data()?;
        }
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

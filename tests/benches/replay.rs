//! What playing a cassette costs: a thousand pages recorded through a guest, and the CPU time of reading the file and
//! playing all of them to it again, beside the same requests by native reqwest over loopback.

use std::time::Duration;

use agent::cassette::{Cassette, Mask, Matching, Origin, Tape};
use agent::sandbox::Call;
use agent::shutdown::Shutdown;

use crate::report::{Report, Row, median};
use crate::{Bench, Outcome, PAGES, ROUNDS, Result};

/// The bar, seconds of CPU time.
const CPU_SECS_MAX: f64 = 1.0;

pub fn rows(bench: &Bench, report: &mut Report) -> Result<()> {
    let tape = Tape::record(Mask::default(), [0; 32]);
    run(bench, &tape)?;
    let file = tape.write(Origin::default()).ok_or("a tape that was recorded can be written")?;
    let (mut played, mut native) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = cpu();
        let tape = Tape::replay(Cassette::read(file.as_bytes())?, Mask::default(), Matching::Strict);
        run(bench, &tape)?;
        played.push((cpu() - began).as_secs_f64());
        let used = tape.used();
        if used.requests != u64::from(PAGES) || used.unmatched_count + used.unused_count > 0 {
            return Err(format!("the replay is not the run: {used:?}").into());
        }
        let began = cpu();
        bench.native(1)?;
        native.push((cpu() - began).as_secs_f64());
    }
    let name = format!("{PAGES} requests replayed, CPU time");
    // The server is in this process, and its time in that of the peer.
    let peer = "native reqwest over loopback, with its server";
    report.add(Row::lower(&name, median(&mut played), "s", CPU_SECS_MAX).peer(peer, median(&mut native)));
    Ok(())
}

/// Fetches all pages one after the other.
fn run(bench: &Bench, tape: &Tape) -> Result<()> {
    let mut prepared = bench.prepared("own", 1)?;
    prepared.tape = Some(tape.clone());
    let config = prepared.integration.config.to_string();
    let (runner, call) = (bench.runner.clone(), Shutdown::default());
    let ended = bench.tokio.block_on(async {
        call.spawn(async move { runner.run_call(&prepared, Call::ValidateConfig { config }).await }).await
    })?;
    match ended.outcome {
        Outcome::Ok { .. } => Ok(()),
        other => Err(format!("the guest ended: {other:?}").into()),
    }
}

/// The CPU time of this process, all its threads together.
pub fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock is one that the system has, and `time` is ours to write.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    let whole = |value: i64| u64::try_from(value).unwrap_or_default();
    Duration::from_secs(whole(time.tv_sec)) + Duration::from_nanos(whole(time.tv_nsec))
}

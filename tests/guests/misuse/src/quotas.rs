//! More than a run may put out, or make the host remember.

use crate::bindings::agent::integration::log::log;
use crate::bindings::agent::integration::session::{Session, root_model, root_tracking};
use crate::bindings::agent::integration::state;
use crate::bindings::agent::integration::types::Error;
use crate::{Case, End, MODEL, hole};

/// More than a document may have that a guest returns.
pub const RESULT_BYTES_TOO_MANY: usize = 16 << 20;

/// Records of one batch, and bytes of each beside its id.
const BATCH_RECORDS: usize = 100;
const RECORD_BYTES: usize = 1_000;

/// Batches after which nothing more is tried: a hundred megabytes.
const BATCHES: usize = 1_000;

/// Pairs of empty strings for one call.
const PAIRS: usize = 1_000_000;

/// Keys that are set and deleted again.
const KEYS: usize = 100_000;

/// Levels and ids that make the longest paths: each of these characters is written as three.
const LEVELS: usize = 14;
const ID: &str = "\u{1}";
const ID_BYTES: usize = 500;

pub const CASES: &[Case] = &[
    ("output", || endless(true)),
    ("staged", || endless(false)),
    ("many-strings", many_strings),
    ("some-strings", some_strings),
    ("state-churn", state_churn),
    ("long-paths", long_paths),
    ("huge-result", || Ok(())),
    ("huge-error", || Err(Error::Other("huge ".repeat(1 << 20)))),
];

/// Sends without end. One record is committed if `commits`, and of all others nothing may be seen.
fn endless(commits: bool) -> End {
    let session = root_model(MODEL)?;
    if commits {
        session.send(b"{\"ref_id\": \"committed\"}\n")?;
        session.checkpoint("1")?;
    }
    let text = "x".repeat(RECORD_BYTES);
    for batch in 0..BATCHES {
        let record = |index| format!("{{\"ref_id\":\"{batch}-{index}\",\"text\":\"{text}\"}}\n");
        session.send((0..BATCH_RECORDS).map(record).collect::<String>().as_bytes())?;
    }
    Err(hole("everything was taken"))
}

/// The host would hold three times what these take here.
fn many_strings() -> End {
    log("info", "many", &vec![(String::new(), String::new()); PAIRS]);
    Err(hole("all strings were taken"))
}

/// What one call may carry: a line is kept, with the fields that a line may have.
fn some_strings() -> End {
    log("info", "some", &vec![(String::new(), String::new()); PAIRS / 4]);
    Ok(())
}

/// Never many keys at a time, and many changes.
fn state_churn() -> End {
    for index in 0..KEYS {
        let key = format!("key-{index}");
        state::set(&key, "", None)?;
        state::delete(&key)?;
    }
    Err(hole("all changes were taken"))
}

/// Never many sessions at a time, and long names of many.
fn long_paths() -> End {
    let id = ID.repeat(ID_BYTES);
    let mut levels = vec![root_tracking("misuse")?];
    for _ in 0..LEVELS {
        let Some(last) = levels.last() else { break };
        let next = last.tracking("level", &id, "")?;
        levels.push(next);
    }
    let Some(last) = levels.last() else { return Ok(()) };
    for index in 0..KEYS {
        Session::skip(last.tracking("leaf", &format!("{id}{index}"), "")?, "");
    }
    Err(hole("all names were taken"))
}

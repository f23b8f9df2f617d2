//! Ends that are not a return.

use std::hint::black_box;
use std::time::Duration;

use crate::bindings::agent::integration::http::{self, Pending};
use crate::bindings::agent::integration::log::log;
use crate::bindings::agent::integration::session::{Session, root_model};
use crate::{Case, End, MODEL, hole};

/// Longer than any budget of a test.
const SLEEP: Duration = Duration::from_hours(24);

/// A handle that was never given out.
const FORGED_HANDLE: u32 = 7_777;

pub const CASES: &[Case] = &[
    ("traps-after-send", traps_after_send),
    ("panic", || panic!("this case panics")),
    ("unreachable", unreachable),
    ("exit-well", || std::process::exit(0)),
    ("exit-badly", || std::process::exit(3)),
    ("overflow-stack", || Err(hole(deeper(0)))),
    ("loop", || {
        loop {
            black_box(())
        }
    }),
    ("loop-with-host-calls", loop_with_host_calls),
    ("loop-and-log", || {
        loop {
            log("info", "again and again", &[]);
        }
    }),
    ("loop-and-send", loop_and_send),
    ("sleep", || {
        std::thread::sleep(SLEEP);
        Err(hole("the day is over"))
    }),
    ("eat-memory", eat_memory),
    ("send-after-done", || {
        let session = root_model(MODEL)?;
        // SAFETY: none; that the host survives two owners of one handle is what is tested.
        let twin = unsafe { Session::from_handle(session.handle()) };
        Session::done(session, None)?;
        twin.send(b"{\"ref_id\": \"late\"}\n").map(drop)
    }),
    ("forged-session", || {
        // SAFETY: none; that the host survives this is what is tested.
        let session = unsafe { Session::from_handle(FORGED_HANDLE) };
        Err(hole(session.should_stop()))
    }),
    ("forged-pending", || {
        // SAFETY: none; that the host survives this is what is tested.
        let pending = unsafe { Pending::from_handle(FORGED_HANDLE) };
        Err(hole(format!("{:?}", http::wait_any(&[&pending], 0))))
    }),
];

/// What the checkpoint committed stays; what came after it leaves no trace.
fn traps_after_send() -> End {
    let session = root_model(MODEL)?;
    session.send(b"{\"ref_id\": \"committed\"}\n")?;
    session.checkpoint("1")?;
    session.send(b"{\"ref_id\": \"lost\"}\n")?;
    unreachable()
}

#[cfg(target_arch = "wasm32")]
fn unreachable() -> End {
    core::arch::wasm32::unreachable()
}

#[cfg(not(target_arch = "wasm32"))]
fn unreachable() -> End {
    std::process::abort()
}

#[allow(unconditional_recursion, reason = "this is what the case is for")]
fn deeper(depth: u64) -> u64 {
    black_box(deeper(black_box(depth) + 1)) + 1
}

/// Never long in the guest at a stretch: a budget that only counts long stretches is dodged.
fn loop_with_host_calls() -> End {
    let session = root_model(MODEL)?;
    loop {
        black_box(session.last_processed());
    }
}

/// Large batches that are good but for their last line: nothing of them is taken, after the host has read them all. Little
/// work for the guest, and much for the host each time.
fn loop_and_send() -> End {
    let session = root_model(MODEL)?;
    let mut batch = "{\"ref_id\":\"1\"}\n".repeat(30_000);
    batch.push_str("nonsense\n");
    loop {
        if session.send_text(&batch).is_ok() {
            return Err(hole("a line that is not JSON was taken"));
        }
    }
}

fn eat_memory() -> End {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        taken.push(black_box(vec![1; 1 << 20]));
    }
}

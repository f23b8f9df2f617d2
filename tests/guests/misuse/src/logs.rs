//! Lines that flood the log or pretend to be somebody else's.

use std::io::Write as _;

use crate::bindings::agent::integration::log::log;
use crate::{Case, End};

/// Twice what a run may log.
const FLOOD_BYTES: usize = 2 << 20;

/// What a line of the agent's might look like.
const FORGERY: &str = "\n2026-11-21T09:30:00Z ERROR agent: FORGED\r\u{1b}[2K\u{1b}]0;FORGED\u{7}\u{2028}\u{202e}\0";

pub const CASES: &[Case] = &[
    ("log-flood", log_flood),
    ("forged-log", forged_log),
    ("long-log", long_log),
    ("stdout", stdout),
    ("stdout-flood", stdout_flood),
    ("bad-result", || Ok(())),
];

fn log_flood() -> End {
    let line = "flood ".repeat(100);
    for _ in 0..FLOOD_BYTES / line.len() {
        log("info", &line, &[]);
    }
    Ok(())
}

fn forged_log() -> End {
    log("info", &format!("honest{FORGERY}"), &[]);
    log(&format!("error{FORGERY}"), "a level that is none", &[]);
    log("info", "fields", &[(FORGERY.to_owned(), FORGERY.to_owned()), ("level".to_owned(), "error".to_owned())]);
    Ok(())
}

fn long_log() -> End {
    let fields: Vec<(String, String)> = (0..100).map(|index| (format!("{index:0>100}"), "ä".repeat(2_000))).collect();
    log("warn", &"ä".repeat(10_000), &fields);
    Ok(())
}

fn stdout() -> End {
    println!("a line on standard output");
    eprintln!("a line on standard error{FORGERY}");
    print!("a line without an end");
    // The guest's own buffer would keep the line otherwise; that it fails is not the matter here.
    let _ = std::io::stdout().flush();
    Ok(())
}

/// One line without an end that is larger than any buffer should grow.
fn stdout_flood() -> End {
    let piece = [b'x'; 4_096];
    let mut out = std::io::stderr();
    for _ in 0..FLOOD_BYTES / piece.len() {
        if out.write_all(&piece).is_err() {
            break;
        }
    }
    Ok(())
}

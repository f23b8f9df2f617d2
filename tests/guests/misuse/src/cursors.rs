//! Cursors that are too large, that look like something else, or that are another integration's.

use crate::bindings::agent::integration::session::{Session, root_model, root_tracking};
use crate::{Case, End, MODEL, hole};

/// One byte more than a cursor may have.
const CURSOR_BYTES_TOO_MANY: usize = (64 << 10) + 1;

/// What a host that interprets cursors would trip over.
const ODD: &str = "\0'; DROP TABLE cursors; --\n{\"a\": [\u{202e}\u{1b}[2J%2F..//";

pub const CASES: &[Case] = &[
    ("huge-cursor", || root_model(MODEL)?.checkpoint(&"c".repeat(CURSOR_BYTES_TOO_MANY))),
    ("huge-done-cursor", || Session::done(root_model(MODEL)?, Some(&"c".repeat(CURSOR_BYTES_TOO_MANY))).map(drop)),
    ("odd-cursor", odd_cursor),
    ("cursor-of-another", cursor_of_another),
];

/// A cursor comes back as it was given, in this run; and the largest that there may be.
fn odd_cursor() -> End {
    let largest = "c".repeat(CURSOR_BYTES_TOO_MANY - 1);
    for cursor in [ODD, &largest, ""] {
        Session::done(root_model(MODEL)?, Some(cursor))?;
        match root_model(MODEL)?.last_processed().as_deref() {
            Some(found) if found == cursor => {}
            other => return Err(hole(format!("the cursor is {other:?} and not {cursor:?}"))),
        }
    }
    Ok(())
}

/// The case `drop-session`, another integration, has a cursor at `misuse.Thing`. From here there is none, however the
/// way to it is spelled.
fn cursor_of_another() -> End {
    let none = |session: &Session| match session.last_processed() {
        None => Ok(()),
        Some(cursor) => Err(hole(format!("there is the cursor {cursor}"))),
    };
    none(&root_model(MODEL)?)?;
    for way in ["drop-session", "drop-session/misuse.Thing", "../drop-session", "/misuse.Thing", "drop-session\0"] {
        let root = root_tracking(way)?;
        none(&root)?;
        for id in ["..", "drop-session", "../misuse.Thing", "%2e%2e"] {
            none(&root.model(MODEL, id, "")?)?;
        }
    }
    Ok(())
}

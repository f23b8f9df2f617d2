//! Sessions opened, nested and ended in ways that the contract refuses, or that must leave no trace.

use crate::bindings::agent::integration::session::{Session, root_model, root_tracking};
use crate::{Case, End, MODEL, hole};

/// Beyond the contract's 1,024 open sessions.
const OPEN_TOO_MANY: u32 = 1_025;

/// Beyond the contract's 16 levels.
const LEVELS_TOO_MANY: u32 = 17;

/// One byte more than a name or id may have.
const NAME_BYTES_TOO_MANY: usize = 513;

pub const CASES: &[Case] = &[
    ("done-with-open-children", done_with_open_children),
    ("drop-session", drop_session),
    ("rollback", rollback),
    ("same-path-twice", same_path_twice),
    ("too-deep", too_deep),
    ("too-many-sessions", too_many_sessions),
    ("empty-name", || root_tracking("").map(drop)),
    ("long-name", || root_tracking(&"n".repeat(NAME_BYTES_TOO_MANY)).map(drop)),
    ("empty-object-id", || root_tracking("misuse")?.tracking("child", "", "").map(drop)),
    ("long-object-id", || root_tracking("misuse")?.tracking("child", &"i".repeat(NAME_BYTES_TOO_MANY), "").map(drop)),
    ("control-name", || root_tracking("misuse\n\u{1b}[31m\0").map(drop)),
    ("path-traversal", path_traversal),
    ("child-of-closed-parent", child_of_closed_parent),
    ("progress-backwards", progress_backwards),
];

fn with_records(session: &Session) -> End {
    session.send(b"{\"ref_id\": \"1\"}\n{\"ref_id\": \"2\"}\n{\"ref_id\": \"3\"}\n").map(drop)
}

fn done_with_open_children() -> End {
    let parent = root_tracking("misuse")?;
    let _child = parent.tracking("child", "1", "One")?;
    Session::done(parent, Some("too early")).map(drop)
}

/// Three records are committed with a cursor, three more are dropped with their session.
fn drop_session() -> End {
    let session = root_model(MODEL)?;
    with_records(&session)?;
    session.checkpoint("3")?;
    session.send(b"{\"ref_id\": \"dropped\"}\n")?;
    drop(session);
    let again = root_model(MODEL)?;
    match again.last_processed().as_deref() {
        Some("3") => Ok(()),
        other => Err(hole(format!("the cursor is {other:?}"))),
    }
}

/// Rolls a parent back over the head of its child; the child's handle must be dead from then on.
fn rollback() -> End {
    let parent = root_tracking("misuse")?;
    let child = parent.model(MODEL, "1", "One")?;
    with_records(&child)?;
    Session::rollback(parent);
    with_records(&child)
}

fn same_path_twice() -> End {
    let _first = root_model(MODEL)?;
    root_model(MODEL).map(drop)
}

fn too_deep() -> End {
    let mut levels = vec![root_tracking("misuse")?];
    for _ in 1..LEVELS_TOO_MANY {
        let Some(last) = levels.last() else { break };
        let next = last.tracking("level", "1", "")?;
        levels.push(next);
    }
    Ok(())
}

fn too_many_sessions() -> End {
    let root = root_tracking("misuse")?;
    let mut open = Vec::new();
    for index in 1..OPEN_TOO_MANY {
        open.push(root.tracking("many", &index.to_string(), "")?);
    }
    Ok(())
}

/// Names that would leave a folder if somebody made paths of them. Refused or committed, nothing is outside.
fn path_traversal() -> End {
    let root = root_tracking("..")?;
    let child = root.model(MODEL, "../../../../outside", "..")?;
    with_records(&child)?;
    Session::done(child, Some("1"))?;
    Session::done(root, Some("1")).map(drop)
}

fn child_of_closed_parent() -> End {
    let parent = root_tracking("misuse")?;
    let child = parent.tracking("child", "1", "One")?;
    Session::rollback(parent);
    child.tracking("grandchild", "1", "").map(drop)
}

fn progress_backwards() -> End {
    let session = root_tracking("misuse")?;
    for (current, total) in [(10, Some(20)), (5, Some(3)), (u32::MAX, Some(0)), (0, None)] {
        session.progress(current, total);
    }
    Session::done(session, None).map(drop)
}

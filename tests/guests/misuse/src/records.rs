//! Batches that are not what `send` takes.

use crate::bindings::agent::integration::session::{Session, root_model, root_tracking};
use crate::{Case, End, MODEL, hole};

pub const CASES: &[Case] = &[
    ("undeclared-model", || root_model("misuse.Undeclared").map(drop)),
    ("bad-json", || refused(b"{\"ref_id\": \"1\"}\n{\"ref_id\":\n")),
    ("not-object", || refused(b"{\"ref_id\": \"1\"}\n[1, 2]\n")),
    ("no-key", || refused(b"{\"ref_id\": \"1\"}\n{\"title\": \"x\"}\n")),
    ("null-key", || refused(b"{\"ref_id\": null}\n")),
    ("object-key", || refused(b"{\"ref_id\": {\"a\": 1}}\n")),
    ("trailing-text", || refused(b"{\"ref_id\": \"1\"} {\"ref_id\": \"2\"}\n")),
    ("invalid-utf8", || refused(b"{\"ref_id\": \"\xff\xfe\"}\n")),
    ("lone-surrogate", || refused(br#"{"ref_id": "\ud800"}"#)),
    ("deep-json", || refused(&nested(100_000))),
    ("too-large-record", || refused(&record_of(8 << 20))),
    ("too-large-batch", || refused(&b"{\"ref_id\":\"1\"}\n".repeat((16 << 20) / 15 + 1))),
    ("repeated-member", || accepted(b"{\"ref_id\": \"1\", \"a\": 1, \"a\": 2}\n")),
    ("huge-number", || accepted(b"{\"ref_id\": \"1\", \"a\": 1e999999, \"b\": 123456789012345678901234567890}\n")),
    ("blank-lines", || accepted(b"\n\n  \n{\"ref_id\": \"1\"}\r\n\n")),
    ("no-final-newline", || accepted(b"{\"ref_id\": \"1\"}")),
    ("empty-batch", || accepted(b"")),
    ("send-on-tracking", || root_tracking("misuse")?.send(b"{\"ref_id\": \"1\"}\n").map(drop)),
    ("good-after-bad", good_after_bad),
    ("text-is-bytes", text_is_bytes),
];

/// Sends a batch that must not be taken. The error goes back as it is; without one, the records are left uncommitted.
fn refused(batch: &[u8]) -> End {
    root_model(MODEL)?.send(batch).map(drop)
}

/// Sends a batch and commits it.
fn accepted(batch: &[u8]) -> End {
    let session = root_model(MODEL)?;
    session.send(batch)?;
    Session::done(session, None).map(drop)
}

/// Nothing of a bad batch is taken, and the session is as good as before: exactly `after` is exported.
fn good_after_bad() -> End {
    let session = root_model(MODEL)?;
    if session.send(b"{\"ref_id\": \"before\"}\nnonsense\n").is_ok() {
        return Err(hole("a line that is not JSON was taken"));
    }
    session.send(b"{\"ref_id\": \"after\"}\n")?;
    Session::done(session, None).map(drop)
}

/// `send-text` and `send` of the same record: the second is unchanged or the same record again, never another.
fn text_is_bytes() -> End {
    let session = root_model(MODEL)?;
    session.send_text("{\"ref_id\": \"ä\"}\n")?;
    Session::done(session, Some("1"))?;
    let again = root_model(MODEL)?;
    let ack = again.send("{ \"ref_id\" : \"\\u00e4\" }\n".as_bytes())?;
    if (ack.accepted, ack.unchanged) != (0, 1) {
        return Err(hole(format!("accepted {}, unchanged {}", ack.accepted, ack.unchanged)));
    }
    Session::done(again, Some("2")).map(drop)
}

fn nested(depth: usize) -> Vec<u8> {
    let mut json = b"{\"ref_id\": \"1\", \"a\": ".to_vec();
    json.extend(std::iter::repeat_n(b'[', depth));
    json.extend(std::iter::repeat_n(b']', depth));
    json.push(b'}');
    json
}

/// A record that is a little more than `bytes` long.
fn record_of(bytes: usize) -> Vec<u8> {
    format!("{{\"ref_id\":\"1\",\"text\":\"{}\"}}\n", "x".repeat(bytes)).into_bytes()
}

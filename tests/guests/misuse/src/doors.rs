//! Doors that are not this guest's to open: it asks for nothing in its manifest. And doors that are, with bad
//! arguments.

use crate::bindings::agent::integration::http::{self, HttpError, Pending, Request};
use crate::bindings::agent::integration::session::{Session, root_tracking};
use crate::bindings::agent::integration::types::Error;
use crate::bindings::agent::integration::{control, git, oauth, state};
use crate::{Case, End, hole};

pub const CASES: &[Case] = &[
    ("http-denied", || sent(request("https://denied.invalid/"))),
    ("http-loopback", || sent(request("http://127.0.0.1:1/"))),
    ("http-submit-denied", http_submit_denied),
    ("http-bad-url", || sent(request("not a URL"))),
    ("http-bad-scheme", || sent(request("file:///etc/passwd"))),
    ("http-user-information", || sent(request("https://me:secret@denied.invalid/"))),
    ("http-bad-header", || sent(with_header("x-split", "a\r\nhost: other"))),
    ("http-host-header", || sent(with_header("Host", "other.invalid"))),
    ("http-bad-option", || sent(with_option("timeout", "1"))),
    ("http-bad-timeout", || sent(with_option("timeout-ms", "0"))),
    ("http-unknown-credential", || sent(with_option("auth", "somebody-elses"))),
    ("wait-for-none", wait_for_none),
    ("git-denied", || queued(r#"{"ref_id": "1", "name": "one", "url": "https://denied.invalid/one"}"#)),
    ("git-path-denied", || queued(r#"{"ref_id": "1", "name": "one", "url": "/"}"#)),
    ("git-bad-document", || queued("this is not JSON")),
    ("git-missing-url", || queued(r#"{"ref_id": "1", "name": "one"}"#)),
    ("git-ssh-url", || queued(r#"{"ref_id": "1", "name": "one", "url": "ssh://git@denied.invalid/one"}"#)),
    ("oauth-unknown", || oauth::refresh("somebody-elses")),
    ("pause-bad-time", || control::pause("tomorrow", "it is not a time")),
    ("pause-long-reason", || control::pause("2030-01-01T00:00:00Z", &"why ".repeat(1_000))),
    ("state-empty-key", || state::set("", "value", None)),
    ("state-long-key", || state::set(&"k".repeat(257), "value", None)),
    ("state-long-value", || state::set("key", &"v".repeat((64 << 10) + 1), None)),
    ("state-bad-expiry", || state::set("key", "value", Some(0))),
    ("state-too-many-keys", || (0..1_025).try_for_each(|index| state::set(&format!("key-{index}"), "", None))),
    ("state-too-large", || {
        (0..17).try_for_each(|index| state::set(&format!("key-{index}"), &"v".repeat(64 << 10), None))
    }),
    ("state-uncommitted", state_uncommitted),
    ("state-is-kept", state_is_kept),
    ("files", files),
    ("sockets", sockets),
    ("environment", environment),
];

fn request(url: &str) -> Request {
    Request { method: "GET".to_owned(), url: url.to_owned(), headers: Vec::new(), body: None, options: Vec::new() }
}

fn with_header(name: &str, value: &str) -> Request {
    Request { headers: vec![(name.to_owned(), value.to_owned())], ..request("https://denied.invalid/") }
}

fn with_option(name: &str, value: &str) -> Request {
    Request { options: vec![(name.to_owned(), value.to_owned())], ..request("https://denied.invalid/") }
}

fn sent(request: Request) -> End {
    http::send(&request).map(drop).map_err(told)
}

/// Refused at once or when the answer is taken; both are an answer to the guest.
fn http_submit_denied() -> End {
    let pending = http::submit(&request("https://denied.invalid/")).map_err(told)?;
    Pending::take(pending).map(drop).map_err(told)
}

/// The same case of the general error where there is one.
fn told(error: HttpError) -> Error {
    match error {
        HttpError::Denied(text) => Error::Denied(text),
        HttpError::Invalid(text) => Error::Invalid(text),
        HttpError::Limit(text) => Error::Limit(text),
        other => hole(format!("the request got as far as {other:?}")),
    }
}

/// Waiting for nothing ends at once, whatever the timeout.
fn wait_for_none() -> End {
    match http::wait_any(&[], 600_000).as_slice() {
        [] => Ok(()),
        ready => Err(hole(format!("{ready:?} of nothing are ready"))),
    }
}

fn queued(repo: &str) -> End {
    let session = root_tracking("misuse")?;
    git::export_repo(&session, repo)?;
    Session::done(session, None).map(drop)
}

/// Seen by this run, gone with it: `state-uncommitted` twice ends well twice.
fn state_uncommitted() -> End {
    if let Some(value) = state::get("uncommitted")? {
        return Err(hole(format!("an earlier run's uncommitted `{value}` is there")));
    }
    state::set("uncommitted", "1", None)?;
    seen("uncommitted", Some("1"))
}

/// Set, overwritten, deleted; then one value is committed.
fn state_is_kept() -> End {
    state::set("kept", "1", Some(31_536_000))?;
    state::set("kept", "2", None)?;
    state::set("deleted", "1", None)?;
    state::delete("deleted")?;
    state::delete("never there")?;
    seen("kept", Some("2"))?;
    seen("deleted", None)?;
    Session::done(root_tracking("misuse")?, None).map(drop)
}

fn seen(key: &str, expected: Option<&str>) -> End {
    match state::get(key)? {
        value if value.as_deref() == expected => Ok(()),
        value => Err(hole(format!("`{key}` is {value:?} and not {expected:?}"))),
    }
}

fn files() -> End {
    for path in ["/", ".", "..", "/etc/passwd", "/proc/self/environ"] {
        if std::fs::metadata(path).is_ok() {
            return Err(hole(format!("{path} is there")));
        }
    }
    match std::fs::write("/tmp/misuse", "x") {
        Ok(()) => Err(hole("a file could be written")),
        Err(_) => Ok(()),
    }
}

fn sockets() -> End {
    if std::net::TcpStream::connect("127.0.0.1:1").is_ok() || std::net::TcpListener::bind("127.0.0.1:0").is_ok() {
        return Err(hole("a TCP socket could be had"));
    }
    match std::net::UdpSocket::bind("127.0.0.1:0") {
        Ok(_) => Err(hole("a UDP socket could be had")),
        Err(_) => Ok(()),
    }
}

fn environment() -> End {
    if let Some((name, _)) = std::env::vars_os().next() {
        return Err(hole(format!("the environment has {}", name.display())));
    }
    // A toolchain may put a program's name there by itself; more than that came from outside.
    match std::env::args_os().nth(1) {
        Some(argument) => Err(hole(format!("there is an argument {}", argument.display()))),
        None => Ok(()),
    }
}

//! The imitated host against the contract: commits and cursors, dedup, refusals, `state`, and what is said of a test that
//! forgot something. What the real host does is in the repository's `tests`.

use std::cell::RefCell;

use serde_json::{Value, json};

use super::{Answer, Host, Run};
use crate::http::Request;
use crate::{Error, ErrorKind, ExportResult, Integration, Manifest, Model, NetworkRule, Result, git, session, state};

#[derive(serde::Serialize)]
struct Thing {
    ref_id: u32,
    name: &'static str,
}

impl Model for Thing {
    const NAME: &'static str = "test.Thing";
    fn schema() -> Value {
        json!({ "type": "object" })
    }
}

struct Stranger;

impl Model for Stranger {
    const NAME: &'static str = "test.Stranger";
    fn schema() -> Value {
        json!({ "type": "object" })
    }
}

type Export = Box<dyn FnOnce() -> Result<()>>;

thread_local! {
    static EXPORT: RefCell<Option<Export>> = const { RefCell::new(None) };
}

struct Runs;

impl Integration for Runs {
    type Config = crate::Ignored;

    fn describe() -> Manifest {
        Manifest::new("runs", "0.1.0")
            .model::<Thing>()
            .network(NetworkRule::https("x.invalid"))
            .credential("key", "Reads")
    }

    fn export(_: Self::Config) -> Result<ExportResult> {
        EXPORT.take().expect("an export is laid out")()?;
        Ok(ExportResult::new())
    }
}

fn run(host: &Host, export: impl FnOnce() -> Result<()> + 'static) -> Run {
    EXPORT.set(Some(Box::new(export)));
    host.export::<Runs>(json!({}))
}

fn thing(ref_id: u32) -> Thing {
    Thing { ref_id, name: "a" }
}

#[test]
fn only_what_was_committed_counts() {
    let host = Host::new();
    let first = run(&host, || {
        let mut things = session::root_model::<Thing>()?;
        assert_eq!(things.last_processed(), None);
        things.send(&thing(1))?;
        things.checkpoint("one")?;
        things.send(&thing(2))?;
        things.flush()?;
        state::set("k", "lost")?;
        Err(Error::msg("the source is down"))
    });
    assert_eq!(first.error().message(), "the source is down");
    assert_eq!((first.ids("test.Thing"), host.cursor("test.Thing").as_deref()), (vec!["1".to_owned()], Some("one")));
    assert_eq!(host.state("k"), None);
    let second = run(&host, || {
        let mut things = session::root_model::<Thing>()?;
        assert_eq!(things.last_processed().as_deref(), Some("one"));
        assert_eq!(state::get("k")?, None);
        state::set("k", "kept")?;
        things.send(&thing(1))?;
        things.send(&Thing { ref_id: 2, name: "b" })?;
        assert_eq!(things.done(Some("two"))?.unchanged, 1);
        Ok(())
    })
    .ok();
    assert_eq!((second.ids("test.Thing"), second.unchanged), (vec!["2".to_owned()], 1));
    assert_eq!((host.cursor("test.Thing").as_deref(), host.state("k").as_deref()), (Some("two"), Some("kept")));
    host.forget();
    assert!(host.cursors().is_empty());
}

#[test]
fn a_child_that_fails_holds_the_cursors_above_it_back_and_one_that_is_skipped_does_not() {
    let host = Host::new();
    let tree = |fail: bool| {
        move || {
            let root = session::root_tracking("org")?;
            let mut things = root.model::<Thing>("a/b", "A")?;
            things.send(&thing(1))?;
            if fail {
                things.rollback();
            } else {
                things.skip("not today");
            }
            root.done(Some("end"))?;
            Ok(())
        }
    };
    assert!(run(&host, tree(true)).ok().records.is_empty());
    assert_eq!(host.cursor("org"), None);
    assert_eq!(run(&host, tree(false)).ok().skipped, ["not today"]);
    assert_eq!(host.cursor("org").as_deref(), Some("end"));
    run(&host, || {
        let root = session::root_tracking("org")?;
        let things = root.model::<Thing>("a/b", "A")?;
        assert_eq!(root.model::<Thing>("a/b", "A").unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(root.done(None).unwrap_err().kind(), ErrorKind::Conflict);
        drop(things);
        Ok(())
    })
    .ok()
    .error_free();
}

impl Run {
    fn error_free(&self) {
        assert!(self.logs.iter().all(|line| line.level != "error"));
    }
}

#[test]
fn what_the_manifest_forgot_is_refused() {
    let host = Host::new();
    host.on("GET https://x.invalid/a", Answer::json(&1)).on("GET https://y.invalid/a", Answer::json(&1));
    let refused = run(&host, || {
        let kind = |request: Request| request.send().map_err(|error| Error::from(error).kind());
        assert!(kind(Request::get("https://x.invalid/a").auth("key")).is_ok());
        assert_eq!(kind(Request::get("https://y.invalid/a")).unwrap_err(), ErrorKind::Denied);
        assert_eq!(kind(Request::get("https://x.invalid/a").auth("other")).unwrap_err(), ErrorKind::Denied);
        let root = session::root_tracking("org")?;
        assert_eq!(root.model::<Stranger>("1", "").unwrap_err().kind(), ErrorKind::Invalid);
        let repo = git::Repo::new("1", "one", "https://x.invalid/one");
        assert_eq!(git::export_repo(&root, &repo).unwrap_err().kind(), ErrorKind::Denied);
        let mut things = session::root_model::<Thing>()?;
        things.send_as(&json!({ "ref_id": 1 }))?;
        things.send_as(&json!({ "name": "no key" }))?;
        let error = things.flush().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains("line 2") && error.message().contains("/ref_id is missing"), "{error}");
        Ok(())
    })
    .ok();
    assert_eq!(refused.requests.len(), 3);
    let denied = Host::new();
    denied.deny("https://x.invalid/secret").serve(|_| Some(Answer::status(200)));
    let run = run(&denied, || {
        Request::get("https://x.invalid/open").send()?;
        Request::get("https://x.invalid/secret/1").send()?;
        Ok(())
    });
    assert_eq!(run.error().kind(), ErrorKind::Denied);
}

#[test]
fn answers_fit_by_query_and_come_in_turn() {
    let host = Host::new();
    host.on("GET https://x.invalid/a", Answer::json(&1)).on("GET https://x.invalid/a", Answer::json(&2));
    host.on("GET https://x.invalid/a?p=1&q=a%20b", Answer::json(&3));
    run(&host, || {
        let get = |url: &str| Request::get(url).send()?.json::<u8>();
        assert_eq!(get("https://x.invalid/a?q=a+b&p=1")?, 3);
        assert_eq!(
            [get("https://x.invalid/a?p=2")?, get("https://x.invalid/a")?, get("https://x.invalid/a")?],
            [1, 2, 2]
        );
        let error = get("https://x.invalid/b").unwrap_err();
        assert!(error.message().contains("no answer to GET https://x.invalid/b"), "{error}");
        assert!(error.message().contains("GET https://x.invalid/a"), "{error}");
        Ok(())
    })
    .ok()
    .error_free();
}

#[test]
fn a_run_is_asked_to_stop() {
    let host = Host::new();
    host.stop_after(2);
    run(&host, || {
        let mut things = session::root_model::<Thing>()?;
        let mut count = 0;
        while !things.should_stop() {
            count += 1;
            things.checkpoint(&count.to_string())?;
        }
        assert_eq!(count, 2);
        Ok(())
    })
    .ok()
    .error_free();
}

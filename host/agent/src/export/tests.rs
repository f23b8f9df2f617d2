//! Sessions, store and folder sink together, without a guest: each test is a small story on one root.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::config::{Compression, Sink};
use crate::delivery::Delivery;
use crate::store::Codec;

const MODEL: &str = "t.Issue";
const LOOSE: &str = "t.Loose";

struct Root {
    _folder: tempfile::TempDir,
    path: PathBuf,
    sink: Sink,
}

impl Root {
    fn new(compression: Compression) -> Root {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        Root { sink: Sink::Folder { path: path.join("out"), compression }, path, _folder: folder }
    }

    fn open(&self) -> Arc<Store> {
        let Sink::Folder { compression, .. } = &self.sink else { unreachable!() };
        let codec = if *compression == Compression::Zstd { Codec::Zstd } else { Codec::Plain };
        Arc::new(Store::open(&self.path.join("root"), codec, 1 << 30).unwrap())
    }

    fn run(&self, store: &Arc<Store>) -> Arc<ExportRun> {
        let model = |name: &str, dedup| Model { name: name.into(), key: vec!["/id".into()], dedup };
        let spec = RunSpec {
            integration: "t".into(),
            sink: self.sink.id(),
            component_digest: "d".into(),
            models: vec![model(MODEL, true), model(LOOSE, false)],
        };
        ExportRun::begin(store.clone(), spec, Shutdown::default()).unwrap()
    }

    async fn deliver(&self, store: &Arc<Store>) {
        let delivery = Delivery::start(store.clone(), &self.sink, &Shutdown::default());
        delivery.flush().await.unwrap();
        delivery.stop().await;
    }

    /// How often each line is at the sink.
    fn lines(&self) -> BTreeMap<String, usize> {
        let mut lines = BTreeMap::new();
        collect(&self.path.join("out"), &mut lines);
        lines
    }

    fn count(&self) -> usize {
        self.lines().values().sum()
    }
}

fn collect(folder: &Path, lines: &mut BTreeMap<String, usize>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, lines);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!name.ends_with(".tmp"), "{name} was left behind");
        let text = if name.ends_with(".zst") { zstd::stream::decode_all(&bytes[..]).unwrap() } else { bytes };
        for line in String::from_utf8(text).unwrap().lines() {
            *lines.entry(line.to_owned()).or_default() += 1;
        }
    }
}

fn record(id: usize, value: &str) -> String {
    format!("{{\"id\":\"{id}\",\"value\":\"{value}\"}}\n")
}

fn records(ids: std::ops::Range<usize>, value: &str) -> Vec<u8> {
    ids.map(|id| record(id, value)).collect::<String>().into_bytes()
}

fn multi() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn export(run: &ExportRun, model: &str, batches: &[Vec<u8>], cursor: Option<&str>) -> (Ack, SessionSummary) {
    let session = run.open_root(SessionKind::Model, model).unwrap();
    let mut sum = Ack::default();
    for batch in batches {
        let ack = run.send(session, batch).await.unwrap();
        sum.accepted += ack.accepted;
        sum.unchanged += ack.unchanged;
    }
    let summary = run.done(session, cursor).await.unwrap();
    run.finish();
    (sum, summary)
}

#[test]
fn what_is_done_arrives_once_and_is_not_sent_again() {
    for compression in [Compression::None, Compression::Zstd] {
        multi().block_on(async {
            let root = Root::new(compression);
            // Small enough for the database; large enough for segments and files of marks.
            for (round, count) in [10, 60_000].into_iter().enumerate() {
                let store = root.open();
                let value = format!("round {round} {}", "x".repeat(600));
                let batches: Vec<Vec<u8>> =
                    (0..count).step_by(5000).map(|i| records(i..(i + 5000).min(count), &value)).collect();
                let (ack, summary) = export(&root.run(&store), MODEL, &batches, Some("c")).await;
                assert_eq!((ack.accepted, ack.unchanged), (count as u32, 0));
                assert_eq!(summary.records, count as u64);
                let (ack, _) = export(&root.run(&store), MODEL, &batches, Some("c")).await;
                assert_eq!((ack.accepted, ack.unchanged), (0, count as u32));
                root.deliver(&store).await;
                drop(store);
                let store = root.open();
                let (ack, _) = export(&root.run(&store), MODEL, &batches, Some("c")).await;
                assert_eq!((ack.accepted, ack.unchanged), (0, count as u32), "after opening the root again");
                root.deliver(&store).await;
            }
            let lines = root.lines();
            assert_eq!(lines.len(), 10 + 60_000);
            assert!(lines.values().all(|n| *n == 1));
            let left = |folder: &str| std::fs::read_dir(root.path.join("root/store").join(folder)).unwrap().count();
            assert_eq!(left("segments"), 0, "delivered segments are gone");
        });
    }
}

#[test]
fn what_is_not_done_leaves_no_trace() {
    multi().block_on(async {
        let root = Root::new(Compression::None);
        let store = root.open();
        for end in ["rollback", "skip", "finish", "drop"] {
            let run = root.run(&store);
            let session = run.open_root(SessionKind::Model, MODEL).unwrap();
            run.send(session, &records(0..3000, &"y".repeat(100))).await.unwrap();
            run.state_set("k", "v", None).unwrap();
            match end {
                "rollback" => run.rollback(session),
                "skip" => run.skip(session, "it is gone"),
                "finish" => drop(run.finish()),
                _ => {}
            }
            drop(run);
            root.deliver(&store).await;
            assert_eq!(root.count(), 0, "{end}");
            assert_eq!(root.run(&store).state_get("k").unwrap(), None, "{end}");
            assert_eq!(std::fs::read_dir(root.path.join("root/store/segments")).unwrap().count(), 0, "{end}");
        }
        let (ack, _) = export(&root.run(&store), MODEL, &[records(0..3000, &"y".repeat(100))], None).await;
        assert_eq!(ack.accepted, 3000, "no mark of what was rolled back is left");
    });
}

/// Whoever waits for a commit may be dropped at any of the places where it waits, as a second interrupt does. Then all of
/// it is there or nothing is, the store can be opened, and the next export brings what is missing.
#[test]
fn a_commit_that_nobody_waits_for_any_more_is_whole_or_not_there() {
    multi().block_on(async {
        let batch = records(0..3000, &"y".repeat(100));
        let (mut whole, mut nothing, mut rounds) = (0, 0, 0);
        // A writer that is quick enough answers within the very poll that asks it, and then nobody can be dropped in between.
        while whole == 0 && rounds < 50 {
            rounds += 1;
            for polls in 0.. {
                let root = Root::new(Compression::None);
                let store = root.open();
                let run = root.run(&store);
                let session = run.open_root(SessionKind::Model, MODEL).unwrap();
                run.send(session, &batch).await.unwrap();
                let mut ended = false;
                let mut done = Box::pin(run.done(session, Some("c")));
                let mut count = 0;
                std::future::poll_fn(|context| {
                    count += 1;
                    if count > polls {
                        return std::task::Poll::Ready(());
                    }
                    done.as_mut().poll(context).map(|result| ended = result.is_ok())
                })
                .await;
                drop(done);
                drop(run);
                // The writer does one thing after the other: once this is done, so is what was dropped.
                root.deliver(&store).await;
                drop(store);
                let store = root.open();
                root.deliver(&store).await;
                let there = root.count();
                assert!(there == 0 || there == 3000, "{there} records after {polls} polls");
                assert!(!ended || there == 3000, "what was said to be done is there");
                whole += usize::from(there == 3000 && !ended);
                nothing += usize::from(there == 0);
                let (ack, _) = export(&root.run(&store), MODEL, std::slice::from_ref(&batch), Some("c")).await;
                assert_eq!(ack.accepted, 3000 - there as u32, "after {polls} polls");
                root.deliver(&store).await;
                let lines = root.lines();
                assert!(lines.len() == 3000 && lines.values().all(|n| *n == 1), "after {polls} polls");
                if ended {
                    break;
                }
            }
        }
        assert!(nothing > 0 && whole > 0, "both were met: {nothing} times nothing, {whole} times all");
    });
}

#[test]
fn a_checkpoint_commits_what_came_before_it() {
    multi().block_on(async {
        let root = Root::new(Compression::None);
        let store = root.open();
        let run = root.run(&store);
        let session = run.open_root(SessionKind::Model, MODEL).unwrap();
        run.send(session, &records(0..10, "a")).await.unwrap();
        run.state_set("seen", "10", None).unwrap();
        run.checkpoint(session, "ten").await.unwrap();
        run.send(session, &records(10..20, "a")).await.unwrap();
        run.rollback(session);
        let next = root.run(&store);
        let session = next.open_root(SessionKind::Model, MODEL).unwrap();
        assert_eq!(next.last_processed(session).as_deref(), Some("ten"));
        assert_eq!(next.state_get("seen").unwrap().as_deref(), Some("10"));
        root.deliver(&store).await;
        assert_eq!(root.count(), 10);
    });
}

/// Each case: how a child ends, and whether the cursors of its parent and grandparent move.
#[test]
fn children_hold_back_the_cursors_above_them() {
    for (end, moves) in
        [("done", true), ("skip", true), ("rollback", false), ("grandchild rollback", false), ("none", true)]
    {
        multi().block_on(async {
            let root = Root::new(Compression::None);
            let store = root.open();
            let run = root.run(&store);
            let top = run.open_root(SessionKind::Tracking, "org").unwrap();
            let middle = run.open_child(top, SessionKind::Tracking, "repo", "1", "one").unwrap();
            if end != "none" {
                let child = run.open_child(middle, SessionKind::Model, MODEL, "2", "two").unwrap();
                run.send(child, &records(0..1, "a")).await.unwrap();
                match end {
                    "done" => drop(run.done(child, Some("c")).await.unwrap()),
                    "skip" => run.skip(child, "no access"),
                    "rollback" => run.rollback(child),
                    _ => {
                        let below = run.open_child(child, SessionKind::Tracking, "x", "3", "").unwrap();
                        run.rollback(below);
                        run.done(child, Some("c")).await.unwrap();
                    }
                }
            }
            assert_eq!(run.done(middle, Some("m")).await.unwrap().cursor.as_deref(), moves.then_some("m"), "{end}");
            assert_eq!(run.done(top, Some("t")).await.unwrap().cursor.as_deref(), moves.then_some("t"), "{end}");
            let next = root.run(&store);
            let top = next.open_root(SessionKind::Tracking, "org").unwrap();
            assert_eq!(next.last_processed(top).as_deref(), moves.then_some("t"), "{end}, in the next run");
        });
    }
}

#[test]
fn an_open_child_holds_back_a_checkpoint_and_forbids_done() {
    multi().block_on(async {
        let root = Root::new(Compression::None);
        let store = root.open();
        let run = root.run(&store);
        let top = run.open_root(SessionKind::Model, MODEL).unwrap();
        run.send(top, &records(0..5, "a")).await.unwrap();
        let child = run.open_child(top, SessionKind::Model, LOOSE, "1", "").unwrap();
        run.checkpoint(top, "past the child").await.unwrap();
        root.deliver(&store).await;
        assert_eq!((root.count(), run.last_processed(top)), (5, None));
        assert!(matches!(run.done(top, Some("t")).await, Err(SessionError::Conflict(_))));
        assert!(
            matches!(run.send(child, b"{\"id\":1}").await, Err(SessionError::Conflict(_))),
            "it went with its parent"
        );
    });
}

#[test]
fn a_value_that_changes_and_changes_back_is_sent() {
    multi().block_on(async {
        let root = Root::new(Compression::None);
        let store = root.open();
        export(&root.run(&store), MODEL, &[records(0..1, "a")], None).await;
        // Within one session: changed, and back to what is committed.
        let (ack, _) = export(&root.run(&store), MODEL, &[records(0..1, "b"), records(0..1, "a")], None).await;
        assert_eq!((ack.accepted, ack.unchanged), (2, 0));
        let (ack, _) = export(&root.run(&store), MODEL, &[records(0..1, "a")], None).await;
        assert_eq!((ack.accepted, ack.unchanged), (0, 1), "the last one counts");
        let (ack, _) = export(&root.run(&store), LOOSE, &[records(0..1, "a"), records(0..1, "a")], None).await;
        assert_eq!((ack.accepted, ack.unchanged), (2, 0), "a model that switches it off");
    });
}

#[test]
fn a_rejected_batch_takes_its_marks_with_it() {
    multi().block_on(async {
        let root = Root::new(Compression::None);
        let store = root.open();
        export(&root.run(&store), MODEL, &[records(0..10, "a")], None).await;
        // A later value of record 3 is committed before the verdict on the first arrives: its mark must stay.
        export(&root.run(&store), MODEL, &[records(3..4, "b")], None).await;
        let batches = store.outbox_next(&root.sink.id(), 0, 10).unwrap();
        store.outbox_reject(&batches[0], "the sink has no room for it").await.unwrap();
        let again = |store: Arc<Store>| {
            let run = root.run(&store);
            async move { export(&run, MODEL, &[records(0..3, "a"), records(3..4, "b"), records(4..10, "a")], None).await.0 }
        };
        let ack = again(store.clone()).await;
        assert_eq!((ack.accepted, ack.unchanged), (9, 1));
        assert_eq!(store.dead_count().unwrap(), 1);
        drop(store);
        let store = root.open();
        let ack = again(store.clone()).await;
        assert_eq!((ack.accepted, ack.unchanged), (0, 10), "after opening the root again");
        root.deliver(&store).await;
        assert_eq!(root.count(), 10);
    });
}

#[test]
fn forcing_history_clears_exactly_one_integration() {
    multi().block_on(async {
        let root = Root::new(Compression::None);
        let store = root.open();
        export(&root.run(&store), MODEL, &[records(0..5, "a")], Some("c")).await;
        let spec = |integration: &str| RunSpec {
            integration: integration.into(),
            sink: root.sink.id(),
            component_digest: String::new(),
            models: vec![Model { name: MODEL.into(), key: vec!["/id".into()], dedup: true }],
        };
        // A name that the other begins: prefixes must not count.
        let other = ExportRun::begin(store.clone(), spec("t2"), Shutdown::default()).unwrap();
        export(&other, MODEL, &[records(0..5, "a")], Some("c2")).await;
        assert_eq!(store.force_historical("t", None).unwrap(), (1, 5));
        let (ack, _) = export(&root.run(&store), MODEL, &[records(0..5, "a")], None).await;
        assert_eq!(ack.accepted, 5);
        let other = ExportRun::begin(store.clone(), spec("t2"), Shutdown::default()).unwrap();
        let session = other.open_root(SessionKind::Model, MODEL).unwrap();
        assert_eq!(other.last_processed(session).as_deref(), Some("c2"));
        assert_eq!(other.send(session, &records(0..5, "a")).await.unwrap().unchanged, 5);
        other.finish();
    });
}

#[test]
fn git_jobs_commit_with_their_session_and_end_with_theirs() {
    multi().block_on(async {
        let root = Root::new(Compression::None);
        let store = root.open();
        let run = root.run(&store);
        let lost = run.open_root(SessionKind::Tracking, "lost").unwrap();
        run.queue_repo(lost, serde_json::json!({"ref_id": "lost"})).unwrap();
        run.rollback(lost);
        let kept = run.open_root(SessionKind::Tracking, "kept").unwrap();
        run.queue_repo(kept, serde_json::json!({"ref_id": "r"})).unwrap();
        assert!(run.git_jobs().unwrap().is_empty(), "not before the commit");
        run.done(kept, None).await.unwrap();
        let next = root.run(&store);
        let jobs = next.git_jobs().unwrap();
        assert_eq!(jobs.len(), 1);
        assert_eq!((jobs[0].session_path.as_str(), jobs[0].named().0.as_str()), ("kept", "r"));
        let session = next.open_job(&jobs[0], "r", "R").unwrap();
        next.rollback(session);
        next.job_failed(&jobs[0], "unreachable").await.unwrap();
        assert_eq!(next.git_jobs().unwrap()[0].attempts, 1);
        let session = next.open_job(&jobs[0], "r", "R").unwrap();
        next.done(session, None).await.unwrap();
        assert!(next.git_jobs().unwrap().is_empty());
    });
}

/// Each cap is met by one that queues without end; what was queued before is kept.
#[test]
fn repositories_are_queued_up_to_their_caps() {
    multi().block_on(async {
        let root = Root::new(Compression::None);
        let store = root.open();
        let repo =
            |index: usize, bytes: usize| serde_json::json!({"ref_id": index.to_string(), "text": "x".repeat(bytes)});
        let refusal = |result: Result<(), SessionError>| match result {
            Err(SessionError::Limit(why)) => why,
            other => panic!("{other:?}"),
        };

        let run = root.run(&store);
        let open = |name: &str| run.open_root(SessionKind::Tracking, name).unwrap();
        let first = open("first");
        assert!(refusal(run.queue_repo(first, repo(0, 1 << 20))).contains("repo_bytes_max"));
        (0..10_000).for_each(|index| run.queue_repo(first, repo(index, 0)).unwrap());
        assert!(refusal(run.queue_repo(first, repo(0, 0))).contains("10000 repositories are queued and not committed"));
        // Others of the run may, until the run itself has had too many, committed or not.
        for session in 0..9 {
            let session = open(&format!("other {session}"));
            (0..10_000).for_each(|index| run.queue_repo(session, repo(index, 0)).unwrap());
            run.rollback(session);
        }
        assert!(refusal(run.queue_repo(open("late"), repo(0, 0))).contains("jobs_max"));
        run.done(first, None).await.unwrap();
        assert_eq!(run.git_jobs().unwrap().len(), 10_000);

        // The same by bytes: 256 MiB, less than a MiB at a time.
        let run = root.run(&store);
        let mut queued = 0;
        let why = loop {
            let session = run.open_root(SessionKind::Tracking, "large").unwrap();
            let result = run.queue_repo(session, repo(queued, (1 << 20) - 1024));
            run.rollback(session);
            if result.is_err() {
                break refusal(result);
            }
            queued += 1;
        };
        assert!(why.contains("jobs_bytes_max") && queued == 256, "{queued}: {why}");
    });
}

#[test]
fn a_job_that_fails_too_often_is_a_dead_letter() {
    multi().block_on(async {
        let root = Root::new(Compression::None);
        let store = root.open();
        let run = root.run(&store);
        let session = run.open_root(SessionKind::Tracking, "x").unwrap();
        run.queue_repo(session, serde_json::json!({"ref_id": "r"})).unwrap();
        run.done(session, None).await.unwrap();
        let job = run.git_jobs().unwrap().remove(0);
        for _ in 0..JOB_ATTEMPTS_MAX {
            assert_eq!(run.git_jobs().unwrap().len(), 1);
            run.job_failed(&job, "unreachable").await.unwrap();
        }
        assert!(run.git_jobs().unwrap().is_empty());
        let kept = crate::store::Reader::open(&root.path.join("root")).unwrap().git_jobs().unwrap();
        assert_eq!((kept.len(), kept[0].dead.as_deref()), (1, Some("unreachable")));
    });
}

/// What a guest may do wrong with a session: each is a typed error that names the thing, and takes nothing.
#[test]
fn bad_input_is_refused_and_takes_nothing() {
    multi().block_on(async {
        let root = Root::new(Compression::None);
        let store = root.open();
        let run = root.run(&store);
        let session = run.open_root(SessionKind::Model, MODEL).unwrap();
        let large = format!("{{\"id\":1,\"x\":\"{}\"}}", "x".repeat(RECORD_BYTES_MAX));
        let cases: [(&[u8], &str); 8] = [
            (b"{\"id\":1}\n{\"id\":", "record 2 of this batch of t.Issue: it is not valid JSON"),
            (
                b"{\"id\":1}\n\n[1]\n",
                "record 3 of this batch of t.Issue: it is an array, and a record is a JSON object",
            ),
            (b"{\"id\":1}\n{\"no\":1}", "`/id` is missing"),
            (b"{\"id\":true}", "`/id` is a boolean"),
            (b"{\"id\":1}\n{\"id\":\"\xff\"}", "record 2 of this batch of t.Issue: it is not valid UTF-8"),
            (large.as_bytes(), "record_bytes_max"),
            (b"null", "it is null"),
            (b"{\"id\":1} {\"id\":2}", "something follows the value"),
        ];
        for (batch, expected) in cases {
            let error = run.send(session, batch).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} should say {expected:?}");
        }
        let error = run.send(session, &vec![b' '; SEND_BYTES_MAX + 1]).await.unwrap_err();
        assert!(matches!(error, SessionError::Limit(ref e) if e.contains("send_bytes_max")), "{error:?}");
        assert!(matches!(run.open_root(SessionKind::Model, MODEL), Err(SessionError::Conflict(_))));
        let error = run.open_root(SessionKind::Model, "t.Nothing").unwrap_err().to_string();
        assert!(error.contains("`t.Nothing` is not in the manifest") && error.contains("t.Issue"), "{error}");
        let tracking = run.open_child(session, SessionKind::Tracking, "x", "a/b", "").unwrap();
        assert!(
            matches!(run.send(tracking, b"{}").await, Err(SessionError::Invalid(e)) if e.contains("tracking session"))
        );
        assert!(matches!(run.checkpoint(tracking, &"c".repeat(65_537)).await, Err(SessionError::Limit(_))));
        assert!(matches!(run.open_child(tracking, SessionKind::Tracking, "", "1", ""), Err(SessionError::Invalid(_))));
        assert!(matches!(
            run.open_child(tracking, SessionKind::Tracking, "x", &"i".repeat(513), ""),
            Err(SessionError::Limit(_))
        ));
        run.done(tracking, None).await.unwrap();
        assert_eq!(run.send(session, b"{\"id\":1}").await.unwrap().accepted, 1, "the session is as good as before");
        assert_eq!(run.done(session, None).await.unwrap().records, 1);
        assert!(matches!(run.send(session, b"{\"id\":1}").await, Err(SessionError::Conflict(_))));
    });
}

#[test]
fn depth_and_number_of_open_sessions_are_bounded() {
    multi().block_on(async {
        let root = Root::new(Compression::None);
        let store = root.open();
        let run = root.run(&store);
        let mut at = run.open_root(SessionKind::Tracking, "t").unwrap();
        let levels = (1..100)
            .take_while(|_| run.open_child(at, SessionKind::Tracking, "t", "1", "").map(|s| at = s).is_ok())
            .count();
        assert_eq!(levels, 15);
        let wide = (0..5000).take_while(|i| run.open_root(SessionKind::Tracking, &format!("w{i}")).is_ok()).count();
        assert_eq!(wide, 1024 - 16);
    });
}

#[test]
fn a_full_outbox_makes_senders_wait() {
    multi().block_on(async {
        let root = Root::new(Compression::None);
        let store = Arc::new(Store::open(&root.path.join("root"), Codec::Plain, 1000).unwrap());
        export(&root.run(&store), MODEL, &[records(0..100, "a")], None).await;
        assert!(store.outbox_is_full());
        let run = root.run(&store);
        let session = run.open_root(SessionKind::Model, MODEL).unwrap();
        let (sender, batch) = (run.clone(), records(100..101, "a"));
        let mut send = Shutdown::default().spawn(async move { sender.send(session, &batch).await });
        // The send cannot end while nothing is delivered, however often it is polled.
        for _ in 0..100 {
            tokio::task::yield_now().await;
            assert!(!send.is_finished());
        }
        root.deliver(&store).await;
        assert_eq!((&mut send).await.unwrap().unwrap().accepted, 1);
    });
}

#[test]
fn one_agent_owns_a_root_and_readers_look_beside_it() {
    multi().block_on(async {
        let root = Root::new(Compression::None);
        let store = root.open();
        export(&root.run(&store), MODEL, &[records(0..5, "a")], Some("c")).await;
        let path = root.path.join("root");
        let Err(StoreError::Locked { pid, .. }) = Store::open(&path, Codec::Plain, 1) else { panic!("a second owner") };
        assert_eq!(pid, std::process::id().to_string());
        assert_eq!(crate::store::owner(&path), Some(pid));
        let reader = crate::store::Reader::open(&path).unwrap();
        assert_eq!(reader.cursors().unwrap()[0].cursor, "c");
        assert_eq!(reader.outbox().unwrap().records, 5);
        assert!(reader.check().unwrap().is_empty());
        drop(store);
        assert_eq!(crate::store::owner(&path), None);
    });
}

#[test]
fn a_damaged_database_is_told_and_not_touched() {
    multi().block_on(async {
        let root = Root::new(Compression::None);
        export(&root.run(&root.open()), MODEL, &[records(0..5, "a")], Some("c")).await;
        let path = root.path.join("root/store/agent.db");
        for damage in ["not a database at all".repeat(500).into_bytes(), Vec::from(&b"SQLite format 3\0"[..])] {
            drop(std::fs::remove_file(path.with_extension("db-wal")));
            drop(std::fs::remove_file(path.with_extension("db-shm")));
            std::fs::write(&path, &damage).unwrap();
            let Err(error) = Store::open(&root.path.join("root"), Codec::Plain, 1) else { panic!("it opened") };
            assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
            assert!(error.to_string().contains("agent doctor"), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), damage, "nothing was overwritten");
        }
    });
}

#[test]
fn a_sink_that_cannot_be_written_keeps_batches_and_one_that_never_will_makes_dead_letters() {
    multi().block_on(async {
        let root = Root::new(Compression::None);
        let store = root.open();
        export(&root.run(&store), MODEL, &[records(0..5, "a")], None).await;
        let out = root.path.join("out");
        std::fs::write(&out, "a file where the folder should be").unwrap();
        let delivery = Delivery::start(store.clone(), &root.sink, &Shutdown::default());
        let error = delivery.flush().await.unwrap_err().to_string();
        assert!(error.contains("next run"), "{error}");
        assert_eq!(store.outbox_waiting().unwrap().records, 5);
        std::fs::remove_file(&out).unwrap();
        delivery.flush().await.unwrap();
        assert_eq!(root.count(), 5);

        let model = Model { name: "m".repeat(300), key: vec!["/id".into()], dedup: true };
        let spec = RunSpec {
            integration: "t".into(),
            sink: root.sink.id(),
            component_digest: String::new(),
            models: vec![model.clone()],
        };
        let run = ExportRun::begin(store.clone(), spec, Shutdown::default()).unwrap();
        export(&run, &model.name, &[records(0..5, "a")], None).await;
        delivery.flush().await.unwrap();
        assert_eq!((store.dead_count().unwrap(), store.outbox_bytes()), (1, 0));
        let (ack, _) = export(&run, &model.name, &[records(0..5, "a")], None).await;
        assert_eq!(ack.accepted, 5, "its records come again");
    });
}

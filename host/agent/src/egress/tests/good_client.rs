//! The door as a good client, against a server that answers by a script and on a clock that nobody waits for: tries,
//! budgets, who waits for whom, and answers that have not changed.

use time::OffsetDateTime;

use super::super::clock::tests::{BEGAN, TestClock};
use super::super::gate::rfc3339;
use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
const GONE: &str = "";

/// What is tried in a test: a door on a clock of its own.
struct Try {
    egress: Egress,
    clock: Arc<TestClock>,
    stop: Shutdown,
    runtime: tokio::runtime::Runtime,
}

impl Try {
    fn new() -> Try {
        Try::on(TestClock::new(), EgressSettings::default())
    }

    fn on(clock: Arc<TestClock>, settings: EgressSettings) -> Try {
        let stop = Shutdown::default();
        let egress = Egress::joined(Clients::plain(), &settings, &stop, Clock::Test(clock.clone()), None);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Try { egress, clock, stop, runtime }
    }

    fn send(&self, server: &Server, request: Request) -> Result<Response, EgressError> {
        self.runtime.block_on(self.egress.send(&policy("127.0.0.1", server.port), request))
    }

    fn slept(&self) -> Vec<u64> {
        self.clock.slept().iter().map(|slept| u64::try_from(slept.as_millis()).unwrap()).collect()
    }
}

fn script(answers: &[&str]) -> Server {
    Server::closing(answers)
}

/// A request that is tried as usual.
fn usual(server: &Server, path: &str) -> Request {
    Request { manner: Manner::default(), ..get(&server.url(path)) }
}

fn of(class: Class, request: Request) -> Request {
    Request { caller: Caller { integration: Arc::from("one"), class }, ..request }
}

fn head(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\n\r\n")
}

/// Seconds after the clock began, as they are told.
fn at(secs: i64) -> String {
    rfc3339(OffsetDateTime::from_unix_timestamp(BEGAN + secs).unwrap())
}

#[test]
fn what_passes_is_tried_again_and_later_each_time() {
    let server = script(&[GONE, BUSY, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbroken", OK]);
    let door = Try::new();
    assert_eq!(door.send(&server, usual(&server, "/")).unwrap().body, "ok");
    assert_eq!((server.seen().len(), door.slept()), (4, vec![250, 500, 1000]));
}

#[test]
fn tries_end_and_the_last_answer_is_given() {
    let server = script(&[BUSY]);
    let door = Try::new();
    assert_eq!(door.send(&server, usual(&server, "/")).unwrap().status, 503);
    assert_eq!(server.seen().len(), 4);
    let server = script(&[GONE]);
    assert!(matches!(door.send(&server, usual(&server, "/")), Err(EgressError::Connection(_))));
    assert_eq!(server.seen().len(), 4);
    let never = Request { manner: Manner { retries_max: 0, ..Manner::default() }, ..usual(&server, "/") };
    assert!(door.send(&server, never).is_err());
    assert_eq!(server.seen().len(), 5);
}

#[test]
fn what_may_not_be_sent_twice_is_not() {
    let door = Try::new();
    let post = |server: &Server| Request { method: "POST".to_owned(), body: Some("x".into()), ..usual(server, "/") };
    for first in [GONE, BUSY] {
        let server = script(&[first, OK]);
        assert_ne!(door.send(&server, post(&server)).map(|answer| answer.status), Ok(200), "{first:?}");
        assert_eq!(server.seen().len(), 1);
        let server = script(&[first, OK]);
        let keyed = Request { headers: vec![("Idempotency-Key".to_owned(), "1".to_owned())], ..post(&server) };
        assert_eq!(door.send(&server, keyed).unwrap().status, 200);
        let server = script(&[first, OK]);
        let marked = Request { manner: Manner { idempotent: true, ..Manner::default() }, ..post(&server) };
        assert_eq!(door.send(&server, marked).unwrap().status, 200);
    }
    // Who was refused for a limit was not served.
    let server = script(&[&head("429 Too Many Requests", "Retry-After: 1\r\n"), OK]);
    assert_eq!(door.send(&server, post(&server)).unwrap().status, 200);
}

#[test]
fn a_server_that_says_how_long_is_waited_for_and_the_pause_is_told() {
    let date = "Date: Sat, 21 Nov 2026 09:30:00 GMT\r\n";
    for (limit, secs) in [
        (head("429 Too Many Requests", "Retry-After: 30\r\n"), 30),
        (head("429 Too Many Requests", &format!("{date}Retry-After: Sat, 21 Nov 2026 09:30:45 GMT\r\n")), 45),
        (head("403 Forbidden", "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1795253490\r\n"), 90),
        (head("403 Forbidden", "Retry-After: 61\r\n"), 61),
        (head("429 Too Many Requests", ""), 60),
    ] {
        let server = script(&[&limit, OK]);
        let door = Try::new();
        assert_eq!(door.send(&server, of(Class::Incremental, usual(&server, "/"))).unwrap().status, 200, "{limit}");
        assert_eq!(door.slept(), [secs * 1000], "{limit}");
        let (pauses, _) = door.egress.pauses();
        let pause = Pause {
            host: format!("http://127.0.0.1:{}", server.port),
            resource: String::new(),
            until: at(secs as i64),
            integrations: vec!["one".to_owned()],
            resumed: Some(at(secs as i64)),
        };
        assert_eq!(pauses, [pause], "{limit}");
    }
}

#[test]
fn a_refusal_that_is_none_for_a_limit_is_given_at_once() {
    let body = r#"{"message":"Resource not accessible by integration"}"#;
    let refusal = format!(
        "HTTP/1.1 403 Forbidden\r\nX-RateLimit-Remaining: 99\r\nX-RateLimit-Reset: 1795253490\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let server = script(&[&refusal, OK]);
    let door = Try::new();
    assert_eq!(door.send(&server, usual(&server, "/")).unwrap().status, 403);
    assert_eq!((server.seen().len(), door.slept().len(), door.egress.pauses().0.len()), (1, 0, 0));
}

#[test]
fn a_wait_that_is_too_long_is_told_and_nothing_goes_out_before_its_end() {
    let server = script(&[&head("429 Too Many Requests", "Retry-After: 3600\r\n"), OK]);
    let (other, door) = (script(&[OK]), Try::new());
    for _ in 0..3 {
        let told = door.send(&server, usual(&server, "/")).unwrap_err();
        assert_eq!(told, EgressError::RateLimited(at(3600)));
    }
    assert_eq!((server.seen().len(), door.slept().len()), (1, 0));
    assert_eq!(door.egress.pauses().0.len(), 1, "it is one pause, however many meet it");
    // Another server is another budget.
    assert_eq!(door.send(&other, usual(&other, "/")).unwrap().status, 200);
    door.clock.advance(Duration::from_secs(3601));
    assert_eq!(door.send(&server, usual(&server, "/")).unwrap().status, 200);
    assert_eq!(door.egress.pauses().0[0].resumed, Some(at(3601)));
}

#[test]
fn a_wait_ends_when_the_end_of_everything_is_asked_for() {
    let server = script(&[&head("429 Too Many Requests", "Retry-After: 200\r\n"), OK]);
    let door = Try::on(TestClock::by_step(), EgressSettings::default());
    let (egress, policy, request) = (door.egress.clone(), policy("127.0.0.1", server.port), usual(&server, "/"));
    let sent = door.runtime.spawn(async move { egress.send(&policy, request).await });
    door.runtime.block_on(async {
        while door.egress.pauses().0.is_empty() {
            tokio::task::yield_now().await;
        }
        door.stop.request();
        assert_eq!(sent.await.unwrap(), Err(EgressError::RateLimited(at(200))));
    });
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn when_a_budget_is_short_the_low_classes_wait_first() {
    let budget = |left: u32| {
        let headers =
            format!("X-RateLimit-Limit: 100\r\nX-RateLimit-Remaining: {left}\r\nX-RateLimit-Reset: 1795253460\r\n");
        head("200 OK", &headers)
    };
    // Ten of a hundred are left, then two, then one, then none.
    let server = script(&[&budget(10), &budget(2), &budget(1), &budget(0), OK]);
    let door = Try::new();
    let sent = |class: Class| {
        let before = door.slept().len();
        assert_eq!(door.send(&server, of(class, usual(&server, "/"))).unwrap().status, 200, "{class:?}");
        door.slept().len() > before
    };
    assert!(!sent(Class::Backfill), "nothing is known yet");
    assert!(!sent(Class::Incremental), "ten are left, of which it leaves two");
    assert!(!sent(Class::Webhook), "two are left, of which it leaves one");
    assert!(!sent(Class::Mutation), "it may take the last one");
    assert!(sent(Class::Mutation), "none is left");
    assert_eq!(door.slept(), [60_000]);
}

#[test]
fn a_backfill_waits_while_a_mutation_goes() {
    let headers = "X-RateLimit-Limit: 100\r\nX-RateLimit-Remaining: 5\r\nX-RateLimit-Reset: 1795253460\r\n";
    let server = script(&[&head("200 OK", headers)]);
    let door = Try::on(TestClock::by_step(), EgressSettings::default());
    assert_eq!(door.send(&server, of(Class::Backfill, usual(&server, "/"))).unwrap().status, 200);
    let (egress, policy, request) =
        (door.egress.clone(), policy("127.0.0.1", server.port), of(Class::Backfill, usual(&server, "/low")));
    let low = door.runtime.spawn(async move { egress.send(&policy, request).await });
    door.runtime.block_on(async {
        while door.egress.pauses().0.is_empty() {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(door.send(&server, of(Class::Mutation, usual(&server, "/high"))).unwrap().status, 200);
    assert!(server.seen().iter().all(|head| !head.contains("/low")), "it still waits");
    door.runtime.block_on(door.clock.step(1));
    assert_eq!(door.runtime.block_on(low).unwrap().unwrap().status, 200);
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn budgets_belong_to_an_account_and_to_what_a_path_takes_from() {
    let spent = |resource: &str| {
        head(
            "200 OK",
            &format!(
                "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1795257000\r\nX-RateLimit-Resource: {resource}\r\n"
            ),
        )
    };
    let server = script(&[&spent("search"), OK]);
    let door = Try::new();
    let searched = |path: &str| door.send(&server, usual(&server, path));
    assert_eq!(searched("/search/issues").unwrap().status, 200);
    assert_eq!(searched("/search/issues"), Err(EgressError::RateLimited(at(3600))));
    assert_eq!(searched("/repos/a/b").unwrap().status, 200, "another budget of the same account");
    assert_eq!(searched("/search/code").unwrap().status, 200, "and another");
    let keyed = |key: &str| Request {
        headers: vec![("Authorization".to_owned(), key.to_owned())],
        ..usual(&server, "/search/issues")
    };
    assert_eq!(door.send(&server, keyed("Bearer other")).unwrap().status, 200, "another account");
    let told = |request| matches!(door.send(&server, request), Err(EgressError::RateLimited(_)));
    assert!(told(of(Class::Mutation, usual(&server, "/search/users"))), "whoever asks");
}

#[test]
fn integrations_with_the_same_credential_share_a_budget() {
    let server = script(&[&head("429 Too Many Requests", "Retry-After: 3600\r\n"), OK]);
    let door = Try::new();
    let (one, file) = with_secret(policy("127.0.0.1", server.port), &["127.0.0.1"], Placement::Bearer);
    let other = Policy { private_hosts: vec!["127.0.0.1".to_owned(), "more.test".to_owned()], ..one.clone() };
    let (third, _file) = with_secret(policy("127.0.0.1", server.port), &["127.0.0.1"], Placement::Bearer);
    let named = Request { credential: Some("token".to_owned()), ..usual(&server, "/") };
    let sent = |policy: &Policy| door.runtime.block_on(door.egress.send(policy, named.clone()));
    assert!(matches!(sent(&one), Err(EgressError::RateLimited(_))));
    assert!(matches!(sent(&other), Err(EgressError::RateLimited(_))), "from the same file");
    assert_eq!(sent(&third).unwrap().status, 200, "from another");
    drop(file);
}

#[test]
fn what_has_not_changed_is_known() {
    let page = "HTTP/1.1 200 OK\r\nETag: \"one\"\r\nContent-Type: a/b\r\nX-RateLimit-Remaining: 9\r\nContent-Length: 4\r\n\r\npage";
    let same = "HTTP/1.1 304 Not Modified\r\nX-RateLimit-Remaining: 9\r\n\r\n";
    let server = script(&[page, same, OK]);
    let door = Try::new();
    for _ in 0..2 {
        let answer = door.send(&server, usual(&server, "/list")).unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"page"[..]));
        assert!(answer.headers.contains(&("content-type".to_owned(), "a/b".to_owned())));
    }
    assert!(!server.seen()[0].contains("if-none-match"));
    assert!(server.seen()[1].contains("if-none-match: \"one\"\r\n"), "{:?}", server.seen());
    // Where the integration does it itself, or wants none of it, nothing is added.
    let own = Request { headers: vec![("If-None-Match".to_owned(), "\"mine\"".to_owned())], ..usual(&server, "/list") };
    door.send(&server, own).unwrap();
    let plain = Request { manner: Manner { revalidate: false, ..Manner::default() }, ..usual(&server, "/list") };
    door.send(&server, plain).unwrap();
    assert!(server.seen()[2].contains("if-none-match: \"mine\"") && !server.seen()[3].contains("if-none-match"));
}

#[test]
fn a_known_answer_counts_as_held_and_is_no_larger_than_asked_for() {
    let page = "HTTP/1.1 200 OK\r\nETag: \"one\"\r\nContent-Length: 4\r\n\r\npage";
    let server = script(&[page, "HTTP/1.1 304 Not Modified\r\n\r\n"]);
    let door = Try::new();
    door.send(&server, usual(&server, "/")).unwrap();
    let small = Request { body_bytes_max: 3, ..usual(&server, "/") };
    assert_eq!(door.send(&server, small), Err(EgressError::TooLarge(3)));
    let (room, policy) = (Room::new(3), policy("127.0.0.1", server.port));
    let sent = door.runtime.block_on(door.egress.send_within(&policy, usual(&server, "/"), &mut room.part()));
    assert_eq!(sent, Err(EgressError::NoRoom(3)));
    assert_eq!(room.held(), 0);
}

#[test]
fn the_time_given_is_for_all_tries_together() {
    let server = script(&[BUSY]);
    let door = Try::new();
    let request = Request {
        timeout: Duration::from_millis(900),
        manner: Manner { retries_max: 8, ..Manner::default() },
        ..usual(&server, "/")
    };
    assert_eq!(door.send(&server, request).unwrap().status, 503);
    // A third wait, of a second, would go beyond it.
    assert_eq!((door.slept(), server.seen().len()), (vec![250, 500], 3));
}

//! What comes back: too much, too slowly, broken, or not what it says it is. And what waits, and for how long.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tests::{Bench, HEAD};

use super::server::{Server, request, until_it_is_closed};
use super::{INTERFACES, bench, bench_with, failed, fetched, fetcher, first_pages, local, refused};

/// Packs bytes by the system's own program.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new("gzip")
        .arg("-9c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip is on every machine that builds this");
    let (mut stdin, bytes) = (child.stdin.take().unwrap(), bytes.to_vec());
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let packed = child.wait_with_output().unwrap().stdout;
    writer.join().unwrap().unwrap();
    packed
}

/// The most that the agent may hold while it is sent bombs: two of its largest answers, their copies in the guests, and itself.
const PEAK_BYTES_MAX: u64 = 200 << 20;

#[test]
fn threat_08_what_grows_when_it_is_unpacked_is_cut_off() {
    let bomb = gzip(&vec![0; 64 << 20]);
    assert!(bomb.len() < 100_000);
    let server = Server::packed("gzip", &bomb);
    // Far below what an answer may have, but a thousand times what came.
    let small = gzip(&vec![0; 8 << 20]);
    let grows = Server::packed("gzip", &small);
    let grants = local(&[server.port, grows.port]);
    let bounded = json!({"url": server.url("/"), "options": [["retries", "0"], ["max-body", "1000000"]]});
    refused(&fetched(&bounded, &grants), "TooLarge", "HttpResponseBodySize");
    refused(&fetched(&json!({"url": grows.url("/")}), &grants), "TooLarge", "HttpResponseBodySize");
    // Many at a time, as large as they may be.
    let more = json!({"url": server.url("/{}"), "pages": 32, "at_once": 32});
    let bench = bench(&more, &grants);
    let (code, peak) = bench.start(&["export"]).code_and_peak();
    assert_eq!(code, 0, "{}", bench.read("running.stderr"));
    refused(&first_pages(&bench), "TooLarge", "HttpResponseBodySize");
    assert!(peak < PEAK_BYTES_MAX, "the agent held {} MiB", peak >> 20);
}

#[test]
fn threat_08_one_layer_is_unpacked_and_no_other_form() {
    let page = "[{\"id\": 1}]";
    let twice = gzip(&gzip(page.as_bytes()));
    let once = String::from_utf8_lossy(&gzip(page.as_bytes())).into_owned();
    for (encoding, body, kept, named) in [
        ("gzip", gzip(page.as_bytes()), page.to_owned(), None),
        ("gzip", twice.clone(), once, None),
        ("gzip, gzip", twice.clone(), String::from_utf8_lossy(&twice).into_owned(), Some("gzip, gzip")),
        ("br", twice.clone(), String::from_utf8_lossy(&twice).into_owned(), Some("br")),
        ("zstd", b"\x28\xb5\x2f\xfd".to_vec(), String::from_utf8_lossy(b"\x28\xb5\x2f\xfd").into_owned(), Some("zstd")),
    ] {
        let server = Server::packed(encoding, &body);
        for answer in fetched(&json!({"url": server.url("/")}), &local(&[server.port])) {
            assert_eq!(answer["kept"], kept, "{encoding}");
            let fields = answer["headers"].as_array().unwrap();
            let found = fields.iter().find(|field| field[0] == "content-encoding").map(|field| &field[1]);
            assert_eq!(found, named.map(Value::from).as_ref(), "{encoding}: {answer}");
        }
        assert!(server.seen().iter().all(|request| request.contains("accept-encoding: gzip\r\n")), "{encoding}");
    }
    // It says that it is packed, and is not, or only half of it is there.
    let whole = gzip(page.as_bytes());
    for body in [page.as_bytes(), &whole[..whole.len() - 5]] {
        let server = Server::packed("gzip", body);
        let pages = fetched(&json!({"url": server.url("/")}), &local(&[server.port]));
        refused(&pages, "Connection", "ConnectionTerminated");
    }
}

#[test]
fn threat_09_bodies_have_an_end_whatever_is_announced() {
    let endless = Server::new(|_, stream| {
        let mut piece = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n[".to_vec();
        while stream.write_all(&piece).is_ok() {
            piece = b"{\"id\": 1},".repeat(6_000);
        }
    });
    let more = json!({"url": endless.url("/"), "options": [["retries", "0"], ["max-body", "100000"]]});
    refused(&fetched(&more, &local(&[endless.port])), "TooLarge", "HttpResponseBodySize");
    // And where nothing is said, at the most that there may be.
    refused(&fetched(&json!({"url": endless.url("/")}), &local(&[endless.port])), "TooLarge", "HttpResponseBodySize");
    let announced = Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n[");
    refused(
        &fetched(&json!({"url": announced.url("/")}), &local(&[announced.port])),
        "TooLarge",
        "HttpResponseBodySize",
    );
}

#[test]
fn threat_09_heads_have_an_end_too() {
    let endless = Server::new(|_, stream| {
        let mut piece = b"HTTP/1.1 200 OK\r\nx-long: ".to_vec();
        while stream.write_all(&piece).is_ok() {
            piece = vec![b'x'; 64 << 10];
        }
    });
    failed(&fetched(&json!({"url": endless.url("/")}), &local(&[endless.port])), "a field without an end");
    let many = Server::saying(format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "x: y\r\n".repeat(1_000)));
    failed(&fetched(&json!({"url": many.url("/")}), &local(&[many.port])), "a thousand fields");
    let informational = Server::new(|_, stream| while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_ok() {});
    let more = json!({"url": informational.url("/"), "options": [["retries", "0"], ["timeout-ms", "500"]]});
    failed(&fetched(&more, &local(&[informational.port])), "answers before the answer, without an end");
}

#[test]
fn threat_09_a_server_that_stops_in_the_middle_is_not_waited_for() {
    for beginning in ["HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"] {
        let stalls = Server::new(move |_, stream| {
            drop(stream.write_all(beginning.as_bytes()));
            until_it_is_closed(stream);
        });
        let more = json!({"url": stalls.url("/"), "options": [["retries", "0"], ["timeout-ms", "300"]]});
        refused(&fetched(&more, &local(&[stalls.port])), "Timeout", "HttpResponseTimeout");
    }
}

#[test]
fn threat_13_a_server_that_never_answers_is_not_waited_for() {
    let silent = Server::silent();
    let more = json!({"url": silent.url("/"), "options": [["retries", "0"], ["timeout-ms", "200"]]});
    refused(&fetched(&more, &local(&[silent.port])), "Timeout", "HttpResponseTimeout");
}

/// The run's own time ends it in the middle of a request, and what it held is there for others.
#[test]
fn threat_13_a_run_that_waits_ends_at_its_time_and_gives_its_place_back() {
    let server = Server::new(|request, stream| {
        if request.starts_with("GET /never") {
            return until_it_is_closed(stream);
        }
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"));
    });
    let grants = local(&[server.port]);
    let waits = json!({"url": server.url("/never"), "options": [["retries", "0"], ["timeout-ms", "600000"]]});
    let goes = json!({"url": server.url("/now/{}"), "pages": 3});
    let each = INTERFACES.map(|interface| {
        let waits = fetcher(&format!("waits-{interface}"), interface, &waits, &grants, "{wall_time: 2s}");
        waits + &fetcher(&format!("goes-{interface}"), interface, &goes, &grants, "{}")
    });
    // One place for all of them.
    let bench = Bench::new().config(&format!("egress: {{per_host: 1}}\n{HEAD}{}", each.concat()));
    let report = bench.report(3, &[]);
    for integration in report["integrations"].as_array().unwrap() {
        let (name, outcome) = (integration["name"].as_str().unwrap(), &integration["outcome"]);
        assert_eq!(outcome, if name.starts_with("waits") { "limit" } else { "ok" }, "{integration}");
    }
    for interface in INTERFACES {
        let pages = &bench.sink().records[&format!("goes-{interface}/fetch.Page")];
        assert_eq!(pages.iter().filter(|page| page["kept"] == "ok").count(), 3, "{pages:?}");
    }
}

#[test]
fn threat_14_more_requests_than_there_are_places_do_not_wait_for_each_other() {
    let silent = Server::silent();
    let more = json!({
        "url": silent.url("/{}"), "pages": 40, "at_once": 40, "options": [["retries", "0"], ["timeout-ms", "2000"]],
    });
    let bench = bench(&more, &local(&[silent.port]));
    bench.run(&["export"]).code(0);
    let sink = bench.sink();
    for (interface, limit) in INTERFACES.into_iter().zip(["Limit", "ConnectionLimitReached"]) {
        let pages = &sink.records[&format!("{interface}/fetch.Page")];
        let beyond = pages.iter().filter(|page| page["error"].as_str().unwrap().contains(limit)).count();
        assert_eq!((pages.len(), beyond), (40, 8), "{interface}");
    }
}

#[test]
fn a_server_that_lies_about_its_length_gets_no_word_in_anothers_answer() {
    // More than it says: what follows is no answer to what is asked next.
    let chatty = Server::new(|_, stream| {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
        while stream.write_all(answer.as_bytes()).is_ok() && !request(stream).is_empty() {}
    });
    let bench = bench(&json!({"url": chatty.url("/{}"), "pages": 30}), &local(&[chatty.port]));
    bench.run(&["export"]).code(0);
    for (integration, pages) in &bench.sink().records {
        for page in pages {
            let well = page["kept"] == "ok" || page["error"].is_string();
            assert!(well, "{integration}: {page}");
        }
        assert!(pages.iter().any(|page| page["kept"] == "ok"), "{integration}");
    }
    for (answer, why) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nshort", "less than it says"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsho", "a chunk that breaks off"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", "no last chunk"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nx", "a chunk without measure"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nshort", "two lengths"),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nshort", "a length below nothing"),
        ("HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\nok", "a version that there is not"),
        ("<html>Bad Gateway</html>", "no HTTP at all"),
    ] {
        let server = Server::saying(answer);
        let pages = fetched(&json!({"url": server.url("/")}), &local(&[server.port]));
        refused(&pages, "Connection", "ConnectionTerminated");
        assert!(!why.is_empty() && server.connections() == 2);
    }
}

/// What a body is, is for the integration to judge: it gets what came and what was said of it.
#[test]
fn a_page_of_another_kind_is_handed_over_as_what_it_is() {
    let page = "<html><body>We will be back soon</body></html>";
    for (status, kind) in
        [("200 OK", "application/json"), ("200 OK", "text/html"), ("500 Internal Server Error", "text/html")]
    {
        let length = page.len();
        let server = Server::saying(format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
        ));
        for answer in fetched(&json!({"url": server.url("/")}), &local(&[server.port])) {
            assert_eq!((&answer["kept"], &answer["error"]), (&json!(page), &Value::Null), "{answer}");
            assert!(answer["headers"].as_array().unwrap().contains(&json!(["content-type", kind])), "{answer}");
        }
    }
    // Not even text.
    let server = Server::saying(
        b"HTTP/1.1 200 OK\r\nX-Odd: \xff\xfe\r\nContent-Length: 3\r\nConnection: close\r\n\r\n\xff\x00\xfe".to_vec(),
    );
    for answer in fetched(&json!({"url": server.url("/")}), &local(&[server.port])) {
        assert_eq!((&answer["bytes"], &answer["error"]), (&json!(3), &Value::Null), "{answer}");
    }
}

/// A budget that is spent for longer than anybody waits is told at once, to both, and to who reads the report.
#[test]
fn a_spent_budget_is_a_pause_with_its_end() {
    let limited =
        Server::saying("HTTP/1.1 403 Forbidden\r\nRetry-After: 7200\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let bench = bench_with(
        "egress: {wait: 1m}\n",
        &json!({"url": limited.url("/"), "options": []}),
        &local(&[limited.port]),
        "{}",
    );
    let report = bench.report(0, &[]);
    refused(&first_pages(&bench), "RateLimited", "rate-limited until");
    let pauses = report["pauses"].as_array().unwrap();
    assert_eq!((pauses.len(), &pauses[0]["host"]), (1, &json!(limited.url(""))), "{pauses:?}");
    assert!(pauses[0]["until"].as_str().unwrap().ends_with('Z') && pauses[0]["resumed"].is_null(), "{pauses:?}");
    let mut waited: Vec<&str> =
        pauses[0]["integrations"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    waited.sort_unstable();
    assert_eq!(waited, INTERFACES);
    assert!(limited.seen().len() <= 2, "nobody asks again");
    // And afterwards, for as long as it lasts.
    let until = pauses[0]["until"].as_str().unwrap();
    assert_eq!(bench.run(&["status", "--root", "root", "--json"]).code(0).json()["pauses"], report["pauses"]);
    bench
        .run(&["status", "--root", "root"])
        .code(0)
        .says(&format!("waits until {until} for the budget of {}", limited.url("")));
}

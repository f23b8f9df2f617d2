//! What goes onto a tape comes off it, to the byte; secrets do not get onto it; and a file of a browser's is a tape.

use super::*;

fn asked(method: &str, url: &str, body: Option<&str>) -> Asked {
    Asked {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: vec![("Authorization".to_owned(), "Bearer typed-by-hand".to_owned())],
        body: body.map(|body| Bytes::from(body.to_owned())),
        credential: Some("token".to_owned()),
    }
}

fn answer(body: &[u8]) -> Came {
    let headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("content-length".to_owned(), "7".to_owned()),
        ("set-cookie".to_owned(), "sid=topsecret; Path=/".to_owned()),
    ];
    Came::Answer { status: 200, url: "https://api.example.com/a".to_owned(), headers, body: body.to_vec() }
}

/// Records an exchange.
fn exchange(tape: &Tape, asked: Asked, came: Came) {
    match tape.asks(asked) {
        Turn::Record(place) => tape.came(place, came),
        Turn::Play(_) => panic!("a tape that is recorded plays nothing"),
    }
}

fn played(tape: &Tape, asked: Asked) -> Result<Came, String> {
    match tape.asks(asked) {
        Turn::Record(_) => panic!("a tape that is played records nothing"),
        Turn::Play(came) => came,
    }
}

fn body(came: Result<Came, String>) -> Vec<u8> {
    match came {
        Ok(Came::Answer { body, .. }) => body,
        other => panic!("{other:?}"),
    }
}

/// Without what is struck out.
fn cookieless(mut came: Came) -> Came {
    if let Came::Answer { headers, .. } = &mut came {
        headers.retain(|(name, _)| name != "set-cookie");
    }
    came
}

fn replay(file: &str, strict: bool) -> Tape {
    let matching = if strict { Matching::Strict } else { Matching::Loose };
    Tape::replay(Cassette::read(file.as_bytes()).unwrap(), Mask::default(), matching)
}

#[test]
fn what_is_recorded_is_played_in_its_order() {
    let tape = Tape::record(Mask::default(), [7; 32]);
    let url = "https://api.example.com/a?x=1&y=%20#part";
    let bodies: [&[u8]; 3] = [b"{\"n\": 1}", b"\xff\xfe\x00", "ü\u{2028}\n".as_bytes()];
    for bytes in bodies {
        exchange(&tape, asked("GET", url, None), answer(bytes));
    }
    exchange(&tape, asked("POST", url, Some("one")), answer(b"1"));
    exchange(&tape, asked("POST", url, Some("two")), answer(b"2"));
    let fault = Came::Fault { kind: "tls".to_owned(), text: "a bad certificate".to_owned() };
    exchange(&tape, asked("GET", "https://b.example.com/", None), fault.clone());
    drop(tape.asks(asked("GET", "https://c.example.com/", None)));
    let seen: Vec<Vec<u32>> = vec![vec![1], vec![0, 2], vec![0, 2], vec![]];
    for answer in &seen {
        assert_eq!(&tape.observe("http.wait-any", || answer.clone()), answer);
    }
    assert_eq!(tape.observe("state.get key", || Some("v".to_owned())), Some("v".to_owned()));
    let (wall, monotonic) = ([tape.wall(), tape.wall()], [tape.monotonic(), tape.monotonic()]);
    let (mut random, mut first) = (tape.random("secure"), [0; 40]);
    random.fill(&mut first);
    let origin = Origin { name: "one".to_owned(), call: vec!["export".to_owned()], ..Origin::default() };
    let file = tape.write(origin.clone()).unwrap();

    let again = replay(&file, true);
    assert_eq!(Cassette::read(file.as_bytes()).unwrap().origin(), Some(&origin));
    assert_eq!(
        played(&again, asked("POST", url, Some("two"))).map(cookieless),
        Ok(cookieless(answer(b"2"))),
        "its fields too, those of framing among them: a guest can read them"
    );
    for bytes in bodies {
        assert_eq!(body(played(&again, asked("GET", "https://api.example.com/a?x=1&y=%20", None))), bytes);
    }
    assert_eq!(body(played(&again, asked("POST", url, Some("one")))), b"1");
    assert_eq!(played(&again, asked("GET", "https://b.example.com", None)), Ok(fault));
    assert_eq!(again.used().unused, ["GET https://c.example.com/"]);
    assert_eq!(played(&again, asked("GET", "https://c.example.com", None)), Ok(Came::Nothing));
    for answer in &seen {
        assert_eq!(&again.observe::<Vec<u32>>("http.wait-any", || panic!("it is on the tape")), answer);
    }
    assert_eq!(again.observe::<Option<String>>("state.get key", || None), Some("v".to_owned()));
    assert_eq!(([again.wall(), again.wall()], [again.monotonic(), again.monotonic()]), (wall, monotonic));
    assert_eq!(again.wall(), wall[1] + STEP, "a clock that is looked at more often goes on");
    let mut second = [0; 40];
    again.random("secure").fill(&mut second);
    assert_eq!(first, second);
    assert_eq!(again.used(), Use { requests: 7, ..Use::default() });
}

#[test]
fn strict_wants_the_very_request_and_loose_the_same_url() {
    let tape = Tape::record(Mask::default(), [0; 32]);
    let url = "https://api.example.com/a";
    exchange(&tape, asked("POST", url, Some("one")), answer(b"1"));
    exchange(&tape, asked("POST", url, Some("two")), answer(b"2"));
    let file = tape.write(Origin::default()).unwrap();
    let strict = replay(&file, true);
    let why = played(&strict, asked("POST", url, Some("three"))).unwrap_err();
    assert!(why.contains("another body") && why.contains("--record"), "{why}");
    assert_eq!(body(played(&strict, asked("POST", url, Some("one")))), b"1");
    assert!(played(&strict, asked("POST", url, Some("one"))).is_err(), "it is there once");
    assert!(played(&strict, asked("GET", url, None)).unwrap_err().contains("no such request"));
    let used = strict.used();
    assert_eq!((used.unmatched_count, used.unused_count), (3, 1));

    let loose = replay(&file, false);
    assert_eq!(body(played(&loose, asked("POST", url, Some("three")))), b"1");
    assert_eq!(body(played(&loose, asked("POST", url, Some("two")))), b"2");
    assert_eq!(body(played(&loose, asked("POST", url, Some("two")))), b"2", "the same again");
    assert!(played(&loose, asked("GET", url, None)).is_err());
    assert_eq!(loose.used().loose, 2);
}

#[test]
fn calls_beyond_the_tape_are_told_and_should_stop_goes_on() {
    let tape = Tape::record(Mask::default(), [0; 32]);
    tape.note("session.should-stop", &true);
    tape.note("state.get a", &1);
    let again = replay(&tape.write(Origin::default()).unwrap(), true);
    for _ in 0..3 {
        assert!(again.observe("session.should-stop", || false));
    }
    assert_eq!((again.played("state.get a"), again.played::<u8>("state.get a")), (Some(1), None));
    assert_eq!(again.used().unmatched, ["state.get a"]);
}

#[test]
fn secrets_are_replaced_by_their_names() {
    let mut mask = Mask::default();
    mask.add("token", [b"hunter2-hunter2".to_vec(), b"aHVudGVyMi1odW50ZXIy".to_vec()]);
    let tape = Tape::record(mask, [0; 32]);
    let mut sent = asked("POST", "https://api.example.com/?key=hunter2-hunter2", Some("k=hunter2-hunter2"));
    sent.headers.push(("x-other".to_owned(), "aHVudGVyMi1odW50ZXIy".to_owned()));
    exchange(&tape, sent, answer(br#"{"echo": "hunter2-hunter2", "access_token": "made-just-now"}"#));
    exchange(
        &tape,
        asked("GET", "https://api.example.com/?access=made-just-now", None),
        answer(b"\xffhunter2-hunter2"),
    );
    tape.note("state.get a", &"hunter2-hunter2");
    let config = serde_json::json!({"token": "hunter2-hunter2"});
    let file = tape.write(Origin { config, ..Origin::default() }).unwrap();
    for secret in ["hunter2", "aHVudGVyMi1odW50ZXIy", "typed-by-hand", "topsecret", "made-just-now"] {
        assert!(!file.contains(secret), "{secret} stands in {file}");
    }
    for name in
        ["{{secret:token}}", "{{secret:authorization}}", "sid={{secret:cookie}}; Path=/", "{{secret:access_token}}"]
    {
        assert!(file.contains(name), "{name} does not stand in {file}");
    }
    // Who has the secret still finds the request.
    let mut mask = Mask::default();
    mask.add("token", [b"hunter2-hunter2".to_vec()]);
    let again = Tape::replay(Cassette::read(file.as_bytes()).unwrap(), mask, Matching::Strict);
    let sent = asked("POST", "https://api.example.com/?key=hunter2-hunter2", Some("k=hunter2-hunter2"));
    assert_eq!(
        body(played(&again, sent)),
        br#"{"echo": "{{secret:token}}", "access_token": "{{secret:access_token}}"}"#
    );
}

#[test]
fn a_browsers_file_is_a_cassette() {
    let file = "\u{feff}".to_owned()
        + r#"{"log": {"version": "1.2", "creator": {"name": "a browser", "version": "1"}, "pages": [], "entries": [
        {"startedDateTime": "2026-11-21T09:30:00.000+01:00", "time": 12.5, "cache": {}, "timings": {},
         "request": {"method": "POST", "url": "https://api.example.com/form", "httpVersion": "h2", "cookies": [],
            "headers": [{"name": ":authority", "value": "api.example.com"}], "queryString": [],
            "postData": {"mimeType": "application/x-www-form-urlencoded", "params": [{"name": "a", "value": "b c"}]}},
         "response": {"status": 200, "statusText": "", "httpVersion": "h2", "cookies": [],
            "headers": [{"name": "Content-Encoding", "value": "gzip"}, {"name": "X-Next", "value": "2"}],
            "content": {"size": 3, "mimeType": "", "text": "AP-_\n", "encoding": "base64"}}},
        {"startedDateTime": "2026-11-21T09:30:01.000+01:00", "time": 1,
         "request": {"method": "GET", "url": "https://api.example.com/", "headers": []}, "response": {"status": 0}}]}}"#;
    let tape = replay(&file, true);
    let came = played(&tape, asked("POST", "https://api.example.com/form", Some("a=b+c"))).unwrap();
    let Came::Answer { headers, body, .. } = came else { panic!("{came:?}") };
    assert_eq!((headers, body), (vec![("x-next".to_owned(), "2".to_owned())], vec![0, 0xff, 0xbf]));
    let none = played(&tape, asked("GET", "https://api.example.com", None)).unwrap();
    assert!(matches!(none, Came::Fault { kind, .. } if kind == "connection"));
    // Its clock begins with its first request; what host calls answer is not in it.
    assert_eq!(tape.wall(), Duration::from_secs(1_795_249_800) + STEP);
    assert!(!tape.observe("session.should-stop", || false));
    assert_eq!(tape.used(), Use { requests: 2, ..Use::default() });
}

#[test]
fn what_is_no_cassette_is_said() {
    for (file, said) in [
        ("", "it is no HAR"),
        ("[]", "it is no HAR"),
        (r#"{"log": {"_agent": {"form": 2, "seed": ""}}}"#, "use the agent that recorded it"),
        (r#"{"log": {"_agent": {"form": 1, "seed": "0"}}}"#, "64 hexadecimal digits"),
        (
            r#"{"log": {"entries": [{"request": {"method": "GET", "url": "u"}, "response": {"status": 200, "content": {"text": "?", "encoding": "base64"}}}]}}"#,
            "log.entries[0]: content.text is not base64",
        ),
    ] {
        let error = Cassette::read(file.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(said), "{file}: {error}");
    }
}

/// What others write: nothing where we have something, numbers of another kind, entries in another order.
#[test]
fn a_file_that_is_loosely_written_plays() {
    let entry = |second: u32, status: &str, text: &str| {
        format!(
            r#"{{"startedDateTime": "2026-11-21T09:30:0{second}Z", "time": -5, "request": {{"method": "GET", "url": "https://a.example/",
            "headers": null, "postData": null}}, "response": {{"status": {status}, "headers": [{{"name": "a", "value": null}}],
            "content": {text}, "redirectURL": 7}}, "cache": 1, "timings": {{"wait": -3e300}}}}"#
        )
    };
    let file = format!(
        r#"{{"log": {{"entries": [{}, {}, {}]}}}}"#,
        entry(2, "200.0", r#"{"text": "second"}"#),
        entry(1, "200", r#"{"text": "first", "encoding": null}"#),
        entry(3, "null", "null"),
    );
    let tape = replay(&file, true);
    assert_eq!(body(played(&tape, asked("GET", "https://a.example/", None))), b"first");
    assert_eq!(body(played(&tape, asked("GET", "https://a.example/", None))), b"second");
    let none = played(&tape, asked("GET", "https://a.example/", None)).unwrap();
    assert!(matches!(none, Came::Fault { kind, .. } if kind == "connection"));
}

/// A file that is made to take room, or the stack, is refused as it is read.
#[test]
fn what_would_take_too_much_is_refused() {
    let ours =
        |members: &str| format!(r#"{{"log": {{"_agent": {{"form": 1, "seed": "{}", {members}}}}}}}"#, "0".repeat(64));
    let many = |item: &str, count: usize| vec![item; count].join(",");
    let entry = r#"{"request":{"method":"","url":""},"response":{}}"#;
    let pairs = many(r#"{"name":"a"}"#, 10_001);
    for (file, said) in [
        (format!(r#"{{"log":{{"entries":[{}]}}}}"#, many(entry, REQUESTS_MAX + 1)), "more than 100000 items"),
        (
            format!(
                r#"{{"log":{{"entries":[{{"request":{{"method":"","url":"","headers":[{pairs}]}},"response":{{}}}}]}}}}"#
            ),
            "more than 10000 items",
        ),
        (ours(&format!(r#""wall":[{}]"#, many("0", READINGS_MAX + 1))), "more than 1048576 items"),
        (
            ours(&format!(r#""answers":{{"a":[{}]}}"#, many(r#"{"answer":0}"#, NOTES_MAX + 1))),
            "more than 1048576 items",
        ),
        (
            ours(&format!(r#""answers":{{"a":[{{"answer":"{}"}}]}}"#, "x".repeat(17 << 20))),
            "an answer of a has more than",
        ),
        (ours(&format!(r#""origin":"{}""#, "x".repeat(33 << 20))), "log._agent.origin has more than"),
        (
            ours(&format!(r#""origin":{{"config":[{}]}}"#, many("[]", 2 << 20))),
            "log._agent.origin.config has more than",
        ),
        (format!(r#"{{"log":{{"entries":{}"#, "[".repeat(1 << 20)), "it is no HAR"),
        (format!(r#"{{"log":{{"entries":[],"unknown":{}}}}}"#, "[".repeat(1 << 20)), "it is no HAR"),
        (ours(&format!(r#""answers":{{"a":[{{"answer":{}]}}"#, "[".repeat(1 << 20))), "it is no HAR"),
    ] {
        let error = Cassette::read(file.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(said) && error.len() < 500, "{said}: {error}");
    }
    let wide = [0xff, 0xfe, b'{', 0];
    assert!(Cassette::read(&wide).unwrap_err().to_string().contains("UTF-16"));
}

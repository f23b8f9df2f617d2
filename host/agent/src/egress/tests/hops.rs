//! Redirects by our own rule, hop by hop: what is followed, what is refused, and what stays behind.

use super::*;

/// A door for which each of these names is this machine.
fn door() -> Egress {
    with_lookup(answers(vec!["127.0.0.1"]))
}

fn to(location: &str) -> Server {
    Server::closing(&[&format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")])
}

fn fine() -> Server {
    Server::closing(&["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"])
}

/// What both names may be reached at, on any of these ports.
fn both(servers: &[&Server]) -> Policy {
    let rules: Vec<NetworkRule> =
        servers.iter().flat_map(|server| ["a.test", "b.test"].map(|host| rule(host, server.port))).collect();
    Policy {
        asked: rules.clone(),
        granted: rules,
        private_hosts: vec!["a.test".to_owned(), "b.test".to_owned()],
        ..Policy::default()
    }
}

fn following(url: &str, hops: u32) -> Request {
    let field = |name: &str| (name.to_owned(), "mine".to_owned());
    Request {
        headers: vec![field("accept"), field("x-api-key"), field("cookie")],
        manner: Manner { redirects_max: hops, retries_max: 0, ..Manner::default() },
        ..get(url)
    }
}

#[test]
fn a_redirect_is_followed_where_that_is_asked_for() {
    let last = fine();
    let first = to(&format!("http://b.test:{}/two?x=1", last.port));
    let policy = both(&[&first, &last]);
    let start = format!("http://a.test:{}/one", first.port);
    let answer = send(&door(), &policy, following(&start, 1)).unwrap();
    assert_eq!((answer.status, answer.url), (200, format!("http://b.test:{}/two?x=1", last.port)));
    let handed = send(&door(), &policy, following(&start, 0)).unwrap();
    assert_eq!(handed.status, 302);
    assert_eq!(last.seen().len(), 1);
}

#[test]
fn nothing_of_who_asks_goes_to_another_origin() {
    let last = fine();
    let first = to(&format!("http://b.test:{}/", last.port));
    let (policy, _file) = with_secret(both(&[&first, &last]), &["a.test", "b.test"], Placement::Bearer);
    let request =
        Request { credential: Some("token".to_owned()), ..following(&format!("http://a.test:{}/", first.port), 5) };
    assert_eq!(send(&door(), &policy, request).unwrap().status, 200);
    let (before, after) = (first.seen().concat(), last.seen().concat());
    for field in ["authorization: Bearer canary-secret-1", "x-api-key: mine", "cookie: mine"] {
        assert!(before.contains(field), "{before}");
    }
    assert!(after.contains("accept: mine"), "{after}");
    for field in ["authorization", "x-api-key", "cookie", "referer", "canary"] {
        assert!(!after.contains(field), "{after}");
    }
}

#[test]
fn on_the_same_origin_the_credential_is_put_in_anew() {
    let server = Server::closing(&[
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: /two\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ]);
    let (policy, _file) = with_secret(both(&[&server]), &["a.test"], Placement::Bearer);
    let request = Request {
        method: "POST".to_owned(),
        body: Some("{}".into()),
        credential: Some("token".to_owned()),
        ..following(&format!("http://a.test:{}/one", server.port), 5)
    };
    assert_eq!(send(&door(), &policy, request).unwrap().status, 200);
    assert!(server.seen()[1].starts_with("POST /two "), "{:?}", server.seen());
    assert!(server.seen()[1].contains("authorization: Bearer canary-secret-1"));
}

#[test]
fn each_hop_is_judged_like_any_request() {
    let elsewhere = fine();
    for location in [
        // Not granted: another host, another port, another scheme.
        format!("http://c.test:{}/", elsewhere.port),
        format!("http://127.0.0.1:{}/", elsewhere.port),
        format!("https://a.test:{}/", elsewhere.port),
        // Nobody may.
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://[::ffff:a9fe:a9fe]/".to_owned(),
        "http://2852039166/".to_owned(),
        // No place at all.
        "file:///etc/passwd".to_owned(),
        "javascript:alert(1)".to_owned(),
        "http://user:pass@a.test/".to_owned(),
    ] {
        let first = to(&location);
        let start = format!("http://a.test:{}/", first.port);
        let result = send(&door(), &both(&[&first]), following(&start, 5));
        let refused = matches!(result, Err(EgressError::Denied(_) | EgressError::Invalid(_)));
        assert!(refused, "{location}: {result:?}");
        assert_eq!(first.seen().len(), 1);
    }
    assert_eq!(elsewhere.seen(), Vec::<String>::new());
}

#[test]
fn an_address_is_checked_at_each_hop() {
    let last = fine();
    let first = to(&format!("http://b.test:{}/", last.port));
    // Granted by name, and private all the same.
    let policy = Policy { private_hosts: vec!["a.test".to_owned()], ..both(&[&first, &last]) };
    let result = send(&door(), &policy, following(&format!("http://a.test:{}/", first.port), 5));
    assert!(matches!(&result, Err(EgressError::Denied(why)) if why.contains("grants.private_hosts")), "{result:?}");
    assert_eq!(last.seen(), Vec::<String>::new());
}

#[test]
fn circles_end() {
    let server = to("/again");
    let answer = send(&door(), &both(&[&server]), following(&format!("http://a.test:{}/", server.port), 3)).unwrap();
    assert_eq!((answer.status, server.seen().len()), (302, 4));
}

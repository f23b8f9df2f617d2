//! The simulator asked as a client asks it, over the wire.

use serde_json::{Value, json};
use simulator::asking::{self, Got};

use super::{Lie, Options, Simulator, Size, Told};

fn ask(simulator: &Simulator, method: &str, target: &str, more: &str, body: &str) -> Got {
    asking::ask(&simulator.url(), method, target, more, body)
}

fn query(simulator: &Simulator, query: &str, variables: &Value) -> Value {
    let body = json!({ "query": query, "variables": variables }).to_string();
    ask(simulator, "POST", "/api/graphql", "", &body).body
}

fn start() -> Simulator {
    Simulator::start(Options::default()).unwrap()
}

const PAGE: &str = "query($first: Int!, $after: String) { rateLimit { cost remaining } organization(login: \"acme\") {
    repositories(first: $first, after: $after) { totalCount pageInfo { hasNextPage endCursor } nodes { name
    issues(first: 1, orderBy: {field: UPDATED_AT, direction: DESC}) { totalCount nodes { number updatedAt } } } } } }";

#[test]
fn connections_are_paged_and_priced() {
    let simulator = start();
    let (mut names, mut after) = (Vec::new(), Value::Null);
    loop {
        let answer = query(&simulator, PAGE, &json!({ "first": 2, "after": after }));
        assert_eq!(answer["data"]["rateLimit"]["cost"], 1, "{answer}");
        let page = &answer["data"]["organization"]["repositories"];
        assert_eq!(page["totalCount"], 3);
        names.extend(page["nodes"].as_array().unwrap().iter().map(|node| node["name"].clone()));
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    names.sort_by_key(Value::to_string);
    names.dedup();
    assert_eq!(names.len(), 3);
    assert_eq!(simulator.ledger().graphql_points, 2);
    let answer = query(&simulator, PAGE, &json!({ "first": 100 }));
    assert_eq!(answer["data"]["rateLimit"]["cost"], 1, "one and a hundred requests are one point");
    assert_eq!(answer["data"]["rateLimit"]["remaining"], 4_997);
}

#[test]
fn what_is_not_in_the_schema_is_refused_and_what_is_not_there_is_null() {
    let simulator = start();
    let refused = query(&simulator, "{ organization(login: \"acme\") { nonsense } }", &json!({}));
    assert_eq!(refused["errors"][0]["message"], "Field 'nonsense' doesn't exist on type 'Organization'");
    assert!(refused["data"].is_null());
    let missing = query(&simulator, "{ repository(owner: \"acme\", name: \"none\") { name } }", &json!({}));
    assert_eq!((&missing["data"]["repository"], &missing["errors"][0]["type"]), (&Value::Null, &json!("NOT_FOUND")));
    let all = query(&simulator, "{ organization(login: \"acme\") { repositories { totalCount } } }", &json!({}));
    assert!(all["errors"][0]["message"].as_str().unwrap().contains("`first` or `last`"), "{all}");
}

#[test]
fn lists_have_links_and_what_has_not_changed_costs_nothing() {
    let simulator = start();
    let name = simulator.with(|world| world.repos[0].name.clone());
    let path = format!("/api/v3/repos/acme/{name}/pulls/comments?per_page=2");
    let first = ask(&simulator, "GET", &path, "", "");
    assert!(first.head.contains(&format!("<http://h.invalid{path}&page=2>; rel=\"next\"")), "{}", first.head);
    assert_eq!((first.status, first.body.as_array().unwrap().len()), (200, 2));
    let etag = first.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    let again = ask(&simulator, "GET", &path, &format!("if-none-match: {etag}\r\n"), "");
    assert_eq!((again.status, simulator.ledger().rest_points, simulator.ledger().not_modified), (304, 1, 1));
}

#[test]
fn changes_are_made_and_told_to_hooks_with_a_signature() {
    let simulator = start();
    let hook = json!({ "events": ["pull_request"], "config": { "url": "https://x.invalid/h", "secret": "s" } });
    assert_eq!(ask(&simulator, "POST", "/api/v3/orgs/acme/hooks", "", &hook.to_string()).status, 201);
    assert_eq!(ask(&simulator, "POST", "/api/v3/orgs/acme/hooks", "", &hook.to_string()).status, 422);
    let (repo, number) = simulator.with(|world| {
        let pull = world.repos[0].pulls.values().find(|pull| pull.thread.state == "OPEN").unwrap();
        (world.repos[0].id, pull.thread.number)
    });
    let path = format!("/api/v3/repositories/{repo}/pulls/{number}");
    let changed = ask(&simulator, "PATCH", &path, "", r#"{"title":"New","state":"closed"}"#);
    assert_eq!(
        (changed.status, &changed.body["title"], &changed.body["state"]),
        (200, &json!("New"), &json!("closed"))
    );
    assert_eq!(ask(&simulator, "PATCH", &path, "", r#"{"state":"sideways"}"#).status, 422);
    assert_eq!(ask(&simulator, "PATCH", "/api/v3/repositories/1/pulls/1", "", "{}").status, 404);
    let deliveries = simulator.deliveries();
    assert_eq!(deliveries.len(), 1);
    let expected = format!("sha256={}", super::hmac_sha256(b"s", &deliveries[0].body));
    assert!(deliveries[0].headers.contains(&("x-hub-signature-256".to_owned(), expected)));
    let id = ask(&simulator, "GET", "/api/v3/orgs/acme/hooks", "", "").body[0]["id"].to_string();
    assert_eq!(ask(&simulator, "DELETE", &format!("/api/v3/orgs/acme/hooks/{id}"), "", "").status, 204);
}

#[test]
fn limits_and_lies_come_as_asked() {
    let simulator = Simulator::start(Options { points: 2, token: Some("t".to_owned()), ..Options::default() }).unwrap();
    let get = |simulator: &Simulator| ask(simulator, "GET", "/api/v3/meta", "authorization: token t\r\n", "");
    assert_eq!(ask(&simulator, "GET", "/api/v3/meta", "", "").status, 401);
    simulator.lie(vec![Told::once(Lie::Status(502), "/meta"), Told::once(Lie::Truncated, "/meta").after(1)]);
    assert_eq!(get(&simulator).status, 502);
    assert!(get(&simulator).body.is_null());
    assert_eq!(get(&simulator).status, 200);
    let spent = get(&simulator);
    assert_eq!(spent.status, 403);
    assert!(spent.head.contains("x-ratelimit-remaining: 0"), "{}", spent.head);
    simulator.renew();
    assert_eq!(get(&simulator).status, 200);
}

#[test]
fn it_changes_while_it_is_read() {
    let options = Options { change_every: 1, size: Size { seed: 3, ..Size::default() }, ..Options::default() };
    let simulator = Simulator::start(options).unwrap();
    let before = simulator.truth();
    for _ in 0..20 {
        query(&simulator, PAGE, &json!({ "first": 1 }));
    }
    assert_ne!(simulator.truth(), before);
}

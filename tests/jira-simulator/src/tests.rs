//! The simulator over the wire: what its two kinds do in the way that their originals do.

use serde_json::Value;
use simulator::asking::{Got, ask};

use super::{Kind, Options, Simulator, Size};

fn start(kind: Kind) -> Simulator {
    let size = Size { issues: 250, comments: 2_000, changes: 4_000, ..Size::default() };
    Simulator::start(Options { kind, size, ..Options::default() }).unwrap()
}

fn get(simulator: &Simulator, target: &str) -> Got {
    ask(&simulator.url(), "GET", target, "", "")
}

#[test]
fn the_cloud_gives_a_token_with_each_page() {
    let simulator = start(Kind::Cloud);
    let project = simulator.with(|world| world.projects[0].id);
    let search = format!("/rest/api/3/search/jql?jql=project%20%3D%20{project}%20ORDER%20BY%20key%20ASC&maxResults=30");
    let (mut ids, mut token) = (Vec::new(), String::new());
    loop {
        let page = get(&simulator, &format!("{search}&fields=id{token}")).body;
        ids.extend(page["issues"].as_array().unwrap().iter().map(|issue| issue["id"].as_str().unwrap().to_owned()));
        match page["nextPageToken"].as_str() {
            Some(next) => token = format!("&nextPageToken={next}"),
            None => break,
        }
    }
    let expected = simulator.with(|world| world.issues.values().filter(|issue| issue.project == project).count());
    ids.dedup();
    assert_eq!(ids.len(), expected);
    assert_eq!(get(&simulator, "/rest/api/3/search/jql?jql=&fields=id").status, 400, "unbounded");
    assert_eq!(get(&simulator, &format!("{search}&nextPageToken=x.A.1")).status, 400, "a token of another search");
    assert_eq!(get(&simulator, "/rest/api/3/search?jql=x").status, 410);
    assert_eq!(get(&simulator, "/rest/api/2/search?jql=x").status, 410);
}

#[test]
fn the_cloud_cuts_inner_lists_short_and_ones_own_server_does_not() {
    for kind in [Kind::Cloud, Kind::Hosted] {
        let simulator = start(kind);
        let (id, comments, changes) = simulator.with(|world| {
            let issue =
                world.issues.values().max_by_key(|issue| issue.changes.len().min(issue.comments.len())).unwrap();
            (issue.id, issue.comments.len() as u64, issue.changes.len() as u64)
        });
        assert!(comments > 20 && changes > 40, "{comments}, {changes}");
        let version = if kind == Kind::Cloud { 3 } else { 2 };
        let target = format!("/rest/api/{version}/issue/{id}");
        let issue = get(&simulator, &format!("{target}?fields=comment&expand=changelog")).body;
        let length = |pointer: &str| issue.pointer(pointer).and_then(Value::as_array).unwrap().len() as u64;
        let inline = (length("/fields/comment/comments"), length("/changelog/histories"));
        assert_eq!(inline, if kind == Kind::Cloud { (20, 40) } else { (comments, changes) });
        assert_eq!(issue["changelog"]["total"], changes);
        let all = get(&simulator, &format!("{target}/changelog?startAt=5&maxResults=10"));
        match kind {
            Kind::Cloud => {
                assert_eq!((all.body["values"].as_array().unwrap().len(), &all.body["isLast"]), (10, &false.into()))
            }
            Kind::Hosted => assert_eq!(all.status, 404),
        }
    }
}

#[test]
fn who_is_not_known_sees_nothing_and_is_not_told() {
    let authorization = Some("Bearer right".to_owned());
    let simulator = Simulator::start(Options { authorization, ..Options::default() }).unwrap();
    let ask = |target: &str, more: &str| ask(&simulator.url(), "GET", target, more, "");
    let wrong = "authorization: Bearer wrong\r\n";
    assert_eq!(ask("/rest/api/3/project/search", wrong).body["total"], 0);
    assert_eq!(ask("/rest/api/3/myself", wrong).status, 401);
    assert_eq!(ask("/rest/api/2/serverInfo", "").body["deploymentType"], "Cloud");
    assert_eq!(ask("/rest/api/3/project/search", "authorization: Bearer right\r\n").body["total"], 3);
}

#[test]
fn a_limit_is_a_limit_and_what_is_inside_can_be_looked_at() {
    let simulator = Simulator::start(Options { requests: 2, ..Options::default() }).unwrap();
    let statuses = [0; 3].map(|_| get(&simulator, "/rest/api/3/field").status);
    assert_eq!(statuses, [200, 200, 429]);
    assert!(get(&simulator, "/rest/api/3/field").head.contains("retry-after: 120"));
    simulator.renew();
    assert_eq!(get(&simulator, "/rest/api/3/field").status, 200);
    let before = simulator.truth();
    assert_eq!(get(&simulator, "/_simulator/change?count=30").body["changed"], 30);
    assert_ne!(get(&simulator, "/_simulator/truth").body, serde_json::json!(before));
    assert_eq!(get(&simulator, "/_simulator/ledger").body["paths"]["GET /rest/api/3/field"], 3);
    assert_eq!(get(&simulator, "/_simulator/nothing").status, 404);
}

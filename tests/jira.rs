//! The jira integration in the real agent, against the simulator of both kinds of server: everything arrives and nothing twice,
//! what is quiet costs a handful of requests, and servers that lie, change, fail or have no more budget lose nothing that could
//! be had.

use std::collections::BTreeSet;

use jira_simulator::{Kind, Lie, Options, Project, Simulator, Size, Told};
use serde_json::{Value, json};
use tests::{Bench, Sink, repository, simulated, wait_until};

const TOKEN: &str = "notarealtoken1234";
const SECRET: &str = "a secret of webhooks";
const KINDS: [Kind; 2] = [Kind::Cloud, Kind::Hosted];

fn start(kind: Kind, size: Size) -> Simulator {
    let authorization = Some(format!("Bearer {TOKEN}"));
    Simulator::start(Options { kind, size, authorization, ..Options::default() }).unwrap()
}

/// A bench with the integration and its grants, and more of its configuration.
fn bench(simulator: &Simulator, more: &str) -> Bench {
    let url = simulator.url();
    let bench = Bench::new();
    bench.write("token", TOKEN);
    bench.config(&format!(
        "root: root\nsink: {{folder: out}}\negress: {{wait: 1s}}\nintegrations:\n  - name: jira\n    component: jira\n    \
         config: {{url: \"{url}\", {more}}}\n    grants:\n      network: [\"{url}\"]\n      private_hosts: [127.0.0.1]\n      \
         credentials: {{token: {{file: token, bearer: true, hosts: [127.0.0.1]}}}}\n"
    ))
}

#[track_caller]
fn same(simulator: &Simulator, bench: &Bench) {
    simulated::same(&simulator.truth(), &bench.sink(), "jira");
}

fn project(simulator: &Simulator, place: usize) -> Project {
    simulator.with(|world| world.projects[place].clone())
}

/// The last record of an issue.
fn issue(sink: &Sink, id: u64) -> Value {
    let id = id.to_string();
    sink.records["jira/work.Issue"].iter().rfind(|record| record["ref_id"] == id.as_str()).unwrap().clone()
}

/// Insists that each record has the form that is published for its model.
#[track_caller]
fn fits(sink: &Sink) {
    for (model, records) in &sink.records {
        let file = repository().join(format!("docs/models/{}.json", model.strip_prefix("jira/").unwrap()));
        let form: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let form = jsonschema::validator_for(&form).unwrap();
        for record in records {
            let faults: Vec<String> =
                form.iter_errors(record).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
            assert!(faults.is_empty(), "{model}: {faults:?}: {record:#}");
        }
    }
}

#[test]
fn everything_arrives_once_and_what_is_quiet_costs_a_handful_of_requests() {
    for kind in KINDS {
        // Some issues have more comments and changes than the cloud gives with an issue.
        let simulator = start(kind, Size { issues: 300, comments: 2_400, changes: 4_200, ..Size::default() });
        let bench = bench(&simulator, "");
        bench.export().code(0);
        same(&simulator, &bench);
        simulated::nothing_twice(&bench.sink());
        fits(&bench.sink());
        let first = simulator.ledger();
        println!("{kind:?}, first: {} requests, {:?}", first.requests, first.paths);
        let log: Vec<usize> = simulator.with(|world| world.issues.values().map(|issue| issue.changes.len()).collect());
        assert!(log.iter().any(|changes| *changes > 40), "no list is too long to come with its issue");
        let sink = bench.sink();
        for record in &sink.records["jira/work.Issue"] {
            let id: u64 = record["ref_id"].as_str().unwrap().parse().unwrap();
            let changes = simulator.with(|world| world.issues[&id].changes.len());
            assert_eq!(record["change_log"].as_array().map_or(0, Vec::len), changes, "{record:#}");
        }
        // What moved just before the last run is looked at once more, because servers answer from copies that are behind.
        simulator.with(|world| world.now += 3_600);
        bench.export().code(0).says("Nothing new");
        simulator.with(|world| world.now += 3_600);
        let before = simulator.ledger().requests;
        bench.export().code(0).says("Nothing new");
        let quiet = simulator.ledger().requests - before;
        println!("{kind:?}, quiet: {quiet} requests");
        assert_eq!(quiet, 4, "what it is, who we are, projects, and what has moved");
        // A comment moves its issue, and brings that and nothing else.
        let id = simulator.with(|world| {
            world.now += 3_600;
            let (now, id) = (world.now, *world.issues.keys().nth(7).unwrap());
            world.add_comment(id, now);
            // By nobody who would come along as a user.
            world.issues.get_mut(&id).unwrap().comments.last_mut().unwrap().author = None;
            id
        });
        let before = bench.sink().count("jira");
        bench.export().code(0);
        same(&simulator, &bench);
        assert_eq!(bench.sink().count("jira") - before, 2, "the issue and its comment");
        assert_eq!(issue(&bench.sink(), id)["active"], true);
    }
}

#[test]
fn both_kinds_of_server_say_the_same_of_an_issue() {
    for kind in KINDS {
        let simulator = start(kind, Size::default());
        let bench = bench(&simulator, "transitions: true");
        bench.export().code(0);
        let sink = bench.sink();
        fits(&sink);
        let (id, url) = (
            simulator.with(|world| {
                let full = |issue: &&jira_simulator::Issue| {
                    issue.points.is_some()
                        && issue.epic.is_some()
                        && !issue.sprints.is_empty()
                        && issue.description.is_some()
                };
                world.issues.values().find(full).unwrap().id
            }),
            simulator.url(),
        );
        let record = issue(&sink, id);
        let issue = simulator.with(|world| world.issues[&id].clone());
        let key = simulator.with(|world| world.key(&world.issues[&id]));
        assert_eq!((&record["identifier"], &record["url"]), (&json!(key), &json!(format!("{url}/browse/{key}"))));
        assert_eq!(record["epic_ref_id"], issue.epic.unwrap().to_string());
        assert_eq!(record["sprint_ref_ids"], json!([issue.sprints[0].to_string()]));
        assert_eq!(record["story_points"], issue.points.unwrap() as f64);
        assert_eq!((&record["type"], &record["status_ref_id"]), (&json!("Story"), &json!(issue.status.to_string())));
        assert_eq!(record["transitions"].as_array().unwrap().len(), 3);
        let description = record["description"].as_str().unwrap();
        assert!(description.starts_with("<p>"), "{description}");
        assert!(description.contains(&format!("src=\"{url}/images/icons/emoticons/smile.png\"")), "{description}");
        let named = issue.sprints[0].to_string();
        let sprint = &sink.records["jira/work.Sprint"].iter().find(|sprint| sprint["ref_id"] == named.as_str());
        assert!(sprint.unwrap()["name"].as_str().unwrap().contains(", sprint "), "{sprint:?}");
        let config = &sink.records["jira/work.Config"][0];
        let names = |name: &str| config[name].as_array().unwrap().len();
        assert_eq!((names("open"), names("in_progress"), names("closed")), (1, 2, 1));
    }
}

#[test]
fn what_changes_while_it_is_read_is_there_in_the_end() {
    for kind in KINDS {
        let simulator = start(kind, Size { issues: 700, comments: 900, ..Size::default() });
        let bench = bench(&simulator, "");
        simulator.change_every(1);
        bench.export().code(0);
        bench.export().code(0);
        simulator.change_every(0);
        bench.export().code(0);
        same(&simulator, &bench);
        bench.export().code(0).says("Nothing new");
    }
}

#[test]
fn issues_that_go_while_pages_are_counted_hide_none() {
    let simulator = start(Kind::Hosted, Size { projects: 1, issues: 900, comments: 0, changes: 0, ..Size::default() });
    let bench = bench(&simulator, "");
    let running = bench.start(&["export"]);
    wait_until("the export is in the middle", || {
        simulator.ledger().paths.get("GET /rest/api/2/search").is_some_and(|n| *n >= 3)
    });
    simulator.with(|world| {
        let some: Vec<u64> = world.issues.keys().take(150).copied().collect();
        assert!(some.into_iter().all(|id| world.delete_issue(id)));
    });
    assert_eq!(running.code(), 0);
    let arrived: BTreeSet<String> = bench.sink().ids("jira/work.Issue").into_iter().collect();
    let missing = simulator.with(|world| world.issues.keys().filter(|id| !arrived.contains(&id.to_string())).count());
    assert_eq!(missing, 0);
}

#[test]
fn a_first_export_that_is_killed_is_gone_on_with() {
    for kind in KINDS {
        let simulator =
            start(kind, Size { projects: 2, issues: 2_400, comments: 400, changes: 400, ..Size::default() });
        let bench = bench(&simulator, "");
        let path = if kind == Kind::Cloud { "GET /rest/api/3/search/jql" } else { "GET /rest/api/2/search" };
        let searches = || simulator.ledger().paths.get(path).copied().unwrap_or(0);
        let running = bench.start(&["export"]);
        wait_until("the export is in the middle", || searches() >= 9);
        assert!(running.signal("KILL"), "it had ended before");
        assert_eq!(running.code(), -1);
        let before = searches();
        bench.export().code(0);
        same(&simulator, &bench);
        simulated::nothing_twice(&bench.sink());
        // 25 pages in all. One's own server is also asked which issues epics are.
        assert!(kind == Kind::Hosted || searches() - before < 22, "it has begun anew");
        bench.export().code(0).says("Nothing new");
    }
}

#[test]
fn what_has_gone_and_what_was_moved_is_noticed_by_the_sweep() {
    for kind in KINDS {
        let simulator = start(kind, Size::default());
        let bench = bench(&simulator, "sweep_hours: 1");
        bench.export().code(0);
        let (gone, moved) = simulator.with(|world| {
            let mut of_first = world.issues.values().filter(|issue| issue.project == world.projects[0].id);
            let (gone, moved) = (of_first.next().unwrap().id, of_first.next().unwrap().id);
            assert!(world.delete_issue(gone));
            world.move_issue(moved, 1);
            world.now += 7_200;
            (gone, moved)
        });
        bench.export().code(0);
        let sink = bench.sink();
        let inactive: Vec<&Value> =
            sink.records["jira/work.Issue"].iter().filter(|record| record["active"] == false).collect();
        assert_eq!(inactive.len(), 1, "{inactive:?}");
        assert_eq!(inactive[0]["ref_id"], gone.to_string());
        assert_eq!(issue(&sink, moved)["project_id"], project(&simulator, 1).id.to_string());
        // Comments of what has gone are not said to have gone.
        let arrived = simulated::arrived(&sink, "jira");
        assert_eq!(arrived["work.Issue"], simulator.truth()["work.Issue"]);
        simulator.with(|world| world.now += 7_200);
        bench.export().code(0).says("Nothing new");
    }
}

#[test]
fn lies_about_lists_delete_nothing() {
    for kind in KINDS {
        let simulator = start(kind, Size { projects: 12, issues: 300, comments: 0, changes: 0, ..Size::default() });
        let bench = bench(&simulator, "sweep_hours: 1");
        bench.export().code(0);
        simulator.with(|world| world.now += 7_200);
        // One project of twelve is listed, and one issue of each: a credential that may see less, rather than deletions. The
        // cloud says how many there are, so that it is not even looked for.
        let (projects, search) = match kind {
            Kind::Cloud => ("/project/search", "fields=id&"),
            Kind::Hosted => ("/rest/api/2/project?", "fields=id&"),
        };
        simulator.lie(vec![Told::once(Lie::Few, projects), Told::always(Lie::Few, search)]);
        let code = bench.export().code;
        assert!(code == 0 || code == 3, "{code}");
        simulator.lie(Vec::new());
        let arrived = simulated::arrived(&bench.sink(), "jira");
        assert_eq!(arrived["work.Issue"].len(), 300);
        assert_eq!(arrived["work.Project"].len(), 12);
        simulator.with(|world| world.delete_project(3));
        bench.export().code(0);
        let sink = bench.sink();
        let gone = sink.records["jira/work.Project"].iter().filter(|record| record["active"] == false);
        assert_eq!(gone.count(), 1);
    }
}

#[test]
fn a_large_deletion_is_believed_where_it_is_accepted_and_once() {
    for kind in KINDS {
        let size = Size { projects: 2, issues: 240, comments: 40, changes: 40, ..Size::default() };
        let simulator = start(kind, size);
        let bench = bench(&simulator, "sweep_hours: 1");
        bench.export().code(0);
        let key = project(&simulator, 0).key;
        let delete = |count: u64| {
            simulator.with(|world| {
                let first = world.projects[0].id;
                let of_first = world.issues.values().filter(|issue| issue.project == first);
                let ids: Vec<u64> = of_first.map(|issue| issue.id).take(count as usize).collect();
                assert!(ids.iter().all(|id| world.delete_issue(*id)));
                world.now += 7_200;
                ids.iter().map(u64::to_string).collect()
            })
        };
        simulated::accepted_once(&bench, "jira", &format!("40 work.Issue of {key}"), delete);
    }
}

#[test]
fn a_comment_that_was_deleted_is_said_to_have_gone() {
    for kind in KINDS {
        let simulator = start(kind, Size { comments: 1_200, ..Size::default() });
        let bench = bench(&simulator, "");
        bench.export().code(0);
        let gone = simulator.with(|world| {
            world.now += 3_600;
            // The cloud gives the first twenty with an issue: one that has fewer, and one that has more.
            let by_count = |more: bool| {
                let mut all = world.issues.values().filter(|issue| issue.comments.len() > 2);
                all.find(|issue| (issue.comments.len() > 22) == more).unwrap().id
            };
            let ids = [by_count(false), by_count(true)];
            ids.map(|id| world.delete_comment(id).unwrap().to_string())
        });
        bench.export().code(0);
        same(&simulator, &bench);
        assert_eq!(simulated::gone(&bench.sink(), "jira", "work.IssueComment"), BTreeSet::from(gone));
        fits(&bench.sink());
        // Lists that are cut, or of which the rest cannot be had, delete nothing.
        for lie in [Lie::Few, Lie::Status(500)] {
            simulator.with(|world| {
                world.now += 3_600;
                (0..40).for_each(|_| world.change());
            });
            simulator.lie(vec![Told::always(lie, "/comment?")]);
            let _ = bench.export();
            simulator.lie(Vec::new());
            let _ = bench.export();
            assert_eq!(simulated::gone(&bench.sink(), "jira", "work.IssueComment").len(), 2);
        }
        same(&simulator, &bench);
    }
}

#[test]
fn a_project_with_more_issues_than_a_cursor_has_room_for_is_swept() {
    // Far apart, so that some thousands take as much room as many more of a server of one's own.
    let size = Size { projects: 1, issues: 11_000, comments: 0, changes: 0, id_step: 90_000_001, ..Size::default() };
    let simulator = start(Kind::Hosted, size);
    let bench = bench(&simulator, "sweep_hours: 1");
    bench.export().code(0);
    same(&simulator, &bench);
    let gone: BTreeSet<String> = simulator.with(|world| {
        let ids: Vec<u64> = world.issues.keys().step_by(1_000).copied().collect();
        assert!(ids.iter().all(|id| world.delete_issue(*id)));
        world.now += 7_200;
        ids.iter().map(u64::to_string).collect()
    });
    let before = simulator.ledger().requests;
    bench.export().code(0);
    println!(
        "{} requests for a sweep of 11,000 issues, of which {} had gone",
        simulator.ledger().requests - before,
        gone.len()
    );
    assert_eq!(simulated::gone(&bench.sink(), "jira", "work.Issue"), gone);
    same(&simulator, &bench);
    simulator.with(|world| world.now += 7_200);
    bench.export().code(0).says("Nothing new");
}

/// How a project fares whose server lies.
enum Fares {
    /// All of it arrives, in the same run.
    Well,
    /// Something is left out, and said.
    LeavesOut(&'static str),
    /// It fails, and that is said; the others do not.
    Fails(&'static str),
}

/// Each lie is told of one project alone, so that one run shows them all.
fn lies(kind: Kind) -> Vec<(Lie, bool, Fares)> {
    use Fares::{Fails, LeavesOut, Well};
    let (once, always) = (false, true);
    let mut lies = vec![
        (Lie::Status(502), once, Well),
        (Lie::TooMuch(7), always, Well),
        (Lie::Html, once, Well),
        (Lie::WrongType, always, Well),
        (Lie::Truncated, once, Well),
        (Lie::Short, once, Well),
        (Lie::Endless, once, Well),
        (Lie::Slow(200), once, Well),
        (Lie::Reorder, always, Well),
        (Lie::Skew(18_000), always, Well),
        (Lie::Huge("/fields/summary"), once, Well),
        (Lie::Huge("/renderedFields/description"), once, Well),
        (Lie::Huge("/fields/status/name"), once, Well),
        (Lie::Huge("/key"), always, LeavesOut("key: it has 10485760 bytes")),
        (Lie::Null("/fields/summary"), always, LeavesOut("summary: invalid type: null")),
        (Lie::Null("/fields/project"), always, LeavesOut("project: invalid type: null")),
        (Lie::Null("/id"), always, LeavesOut("it has no id")),
        (Lie::Unknown("/fields/updated"), always, LeavesOut("updated: `FROZEN` is no time")),
        (Lie::Unknown("/fields/status"), always, LeavesOut("status: invalid type: string")),
        (Lie::Status(503), always, Fails("503")),
        (Lie::Html, always, Fails("HTML")),
        (Lie::Cycle, always, Fails("does not end")),
    ];
    if kind == Kind::Cloud {
        lies.push((Lie::Nowhere, always, Fails("where the search goes on")));
        lies.push((Lie::Unknown("/fields/priority"), always, LeavesOut("priority: invalid type")));
    } else {
        lies.push((Lie::Nowhere, always, Well));
        lies.push((Lie::Unknown("/changelog"), always, Well));
    }
    lies
}

fn issues_of(sink: &Sink, project: &Project) -> BTreeSet<String> {
    let id = project.id.to_string();
    let ours = |record: &&Value| record["project_id"] == id.as_str();
    sink.records["jira/work.Issue"]
        .iter()
        .filter(ours)
        .map(|record| record["ref_id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn servers_that_lie_lose_only_what_cannot_be_had_and_that_is_said() {
    for kind in KINDS {
        let lies = lies(kind);
        let projects = lies.len() as u64 + 1;
        let size = Size { projects, issues: projects * 12, comments: 60, changes: 60, sprints: 1, ..Size::default() };
        let simulator = start(kind, size);
        let projects: Vec<(Project, BTreeSet<String>)> = simulator.with(|world| {
            let of = |project: &Project| {
                world
                    .issues
                    .values()
                    .filter(|issue| issue.project == project.id)
                    .map(|issue| issue.id.to_string())
                    .collect()
            };
            world.projects.iter().map(|project| (project.clone(), of(project))).collect()
        });
        let told = lies.iter().zip(&projects).map(|((lie, always, _), (project, _))| {
            let tell = if *always { Told::always } else { Told::once };
            tell(lie.clone(), &format!("project = {} ORDER", project.id))
        });
        simulator.lie(told.collect());
        let bench = bench(&simulator, "");
        bench.export().code(3);
        let (sink, errors) = (bench.sink(), simulated::errors(&bench.sink(), "jira"));
        for ((lie, _, fares), (project, expected)) in lies.iter().zip(&projects) {
            let (arrived, error) = (issues_of(&sink, project), errors.get(&project.id.to_string()));
            let told =
                |text: &str| assert!(error.is_some_and(|error| error.contains(text)), "{kind:?} {lie:?}: {error:?}");
            match fares {
                Fares::Well => assert_eq!((&arrived, error), (expected, None), "{kind:?} {lie:?}"),
                Fares::LeavesOut(text) => {
                    assert_eq!(arrived.len() + 1, expected.len(), "{kind:?} {lie:?}: {error:?}");
                    told(text);
                    told("1 left out");
                }
                Fares::Fails(text) => told(text),
            }
        }
        let (last, expected) = projects.last().unwrap();
        assert_eq!(&issues_of(&sink, last), expected, "nobody lied about it");
        assert_eq!(errors.get(&last.id.to_string()), None);
        let log = bench.read("root/logs/integrations/jira.log");
        assert!(log.contains("texts of more than 1 MiB were cut"), "{log}");
        // Once it tells the truth again, the next runs bring what was missing; what had no id is found by the sweep.
        simulator.lie(Vec::new());
        simulator.with(|world| world.now += 90_000);
        bench.export().code(0);
        same(&simulator, &bench);
    }
}

#[test]
fn inner_lists_that_lie_are_named_and_do_not_go_on_for_ever() {
    for (lie, always, to, said) in [
        (Lie::Html, false, "/comment?", Some("more comments")),
        (Lie::Truncated, false, "/changelog?", Some("more changes")),
        (Lie::Status(502), true, "/comment?", Some("more comments")),
        (Lie::Cycle, true, "/changelog?", Some("more changes")),
        (Lie::Huge("renderedBody"), true, "/comment?", None),
        (Lie::Null("created"), true, "/comment?", Some("created: invalid type: null")),
    ] {
        let simulator =
            start(Kind::Cloud, Size { projects: 1, issues: 2, comments: 400, changes: 400, ..Size::default() });
        let tell = if always { Told::always } else { Told::once };
        simulator.lie(vec![tell(lie.clone(), to)]);
        let bench = bench(&simulator, "");
        let output = bench.export();
        let errors = simulated::errors(&bench.sink(), "jira");
        match (said, output.code) {
            (None, code) => assert_eq!(code, 0, "{lie:?}: {errors:?}"),
            (Some(text), code) => {
                assert_eq!(code, 3, "{lie:?}");
                assert!(errors.values().all(|error| error.contains(text)) && errors.len() == 1, "{lie:?}: {errors:?}");
            }
        }
        // The next run has what this one could not; a comment that was none comes when its issue moves.
        simulator.lie(Vec::new());
        bench.export().code(0);
        if !matches!(lie, Lie::Null(_)) {
            same(&simulator, &bench);
        }
    }
}

#[test]
fn lists_of_a_site_that_lie_leave_the_issues() {
    for kind in KINDS {
        let simulator = start(kind, Size::default());
        let bench = bench(&simulator, "");
        simulator.lie(vec![
            Told::always(Lie::Html, "/status"),
            Told::always(Lie::Status(500), "/user"),
            Told::always(Lie::Null("/name"), "/agile/1.0/board?"),
            Told::always(Lie::Cycle, "/sprint?"),
        ]);
        bench.export().code(3).says("board");
        let (truth, arrived) = (simulator.truth(), simulated::arrived(&bench.sink(), "jira"));
        assert_eq!(
            (&arrived["work.Issue"], &arrived["work.IssueComment"]),
            (&truth["work.Issue"], &truth["work.IssueComment"])
        );
        assert_eq!((arrived["work.Board"].len(), arrived.get("work.IssueStatus")), (2, None));
        let log = bench.read("root/logs/integrations/jira.log");
        assert!(log.contains("a part of the site is not to be had") && log.contains("it is a page of HTML"), "{log}");
        simulator.lie(vec![Told::always(Lie::Html, "updated >= -")]);
        simulator.with(|world| (0..40).for_each(|_| world.change()));
        // Each project is asked by itself then, and the same lie is told to it.
        bench.export().code(3);
        simulator.lie(Vec::new());
        simulator.with(|world| world.now += 90_000);
        bench.export().code(0);
        simulated::same(&simulator.truth(), &bench.sink(), "jira");
    }
}

#[test]
fn a_limit_pauses_and_the_next_runs_bring_the_rest() {
    for kind in KINDS {
        let size = Size { projects: 2, issues: 2_000, sprints: 1, ..Size::default() };
        let authorization = Some(format!("Bearer {TOKEN}"));
        let simulator =
            Simulator::start(Options { kind, size, authorization, requests: 14, ..Options::default() }).unwrap();
        let bench = bench(&simulator, "");
        let report = bench.report(3, &[]);
        assert!(report["integrations"][0]["reason"].to_string().contains("paused until"), "{report:#}");
        let mut runs = 1;
        loop {
            simulator.renew();
            runs += 1;
            assert!(runs < 20, "it does not come to an end");
            if bench.export().code == 0 {
                break;
            }
        }
        assert!(runs > 2, "one allowance was enough: this shows nothing");
        same(&simulator, &bench);
    }
}

#[test]
fn bad_credentials_are_no_empty_site() {
    let simulator = start(Kind::Cloud, Size::default());
    let bench = bench(&simulator, "");
    bench.export().code(0);
    // Asked by nobody it knows, the server answers that there are no projects; they are not taken for deleted.
    bench.write("token", "anothertoken0000");
    bench.export().code(12);
    bench.run(&["validate-config"]).code(12);
    same(&simulator, &bench);
}

#[test]
fn webhooks_are_made_once_and_what_they_tell_of_is_read_anew() {
    for kind in KINDS {
        let simulator = start(kind, Size::default());
        let more = format!("webhooks: site, webhook_url: \"https://hooks.invalid/x\", webhook_secret: {SECRET}");
        let bench = bench(&simulator, &more);
        bench.export().code(0);
        bench.export().code(0).says("Nothing new");
        let hooks = simulator.with(|world| world.hooks.clone());
        assert_eq!(
            (hooks.len(), hooks[0].url.as_str(), hooks[0].secret.as_str()),
            (1, "https://hooks.invalid/x", SECRET)
        );
        assert!(hooks[0].events.contains(&"jira:issue_updated".to_owned()));
        let id = simulator.with(|world| *world.issues.keys().next().unwrap());
        let data = json!({ "ref_id": id.to_string(), "title": "Said anew" });
        let changed = bench.run(&["mutate", "jira", "issue.set_title", "--data", &data.to_string(), "--json"]);
        let changed = changed.code(0).json();
        assert_eq!(changed["mutated_objects"]["work.Issue"][0]["title"], "Said anew", "{changed:#}");
        let delivery = simulator.deliveries().pop().unwrap();
        let headers: Vec<String> = delivery.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let hand_over = |body: &[u8]| {
            bench.write("body", body);
            let mut line = vec!["webhook", "jira", "--json", "--body", "@body"];
            headers.iter().for_each(|header| line.extend(["--header", header.as_str()]));
            bench.run(&line)
        };
        let taken = hand_over(&delivery.body).code(0).json();
        assert_eq!(taken["mutated_objects"]["work.Issue"][0]["title"], "Said anew", "{taken:#}");
        hand_over(b"{\"forged\": true}").code(12).says("x-hub-signature");
        // The record of the webhook is the one that the export sends.
        bench.export().code(0);
        assert_eq!(issue(&bench.sink(), id), taken["mutated_objects"]["work.Issue"][0]);
        // Of a comment that was deleted nothing is there to be read, and the webhook says which it was.
        let body =
            json!({ "webhookEvent": "comment_deleted", "issue": { "id": id.to_string() }, "comment": { "id": "77" } });
        bench.write("body", body.to_string());
        let taken = bench.run(&["webhook", "jira", "--json", "--vouch", "--body", "@body"]).code(0).json();
        let comments = taken["mutated_objects"]["work.IssueComment"].as_array().unwrap();
        let gone = comments.iter().find(|comment| comment["ref_id"] == "77").unwrap();
        assert_eq!((&gone["active"], &gone["issue_ref_id"]), (&json!(false), &json!(id.to_string())));
        assert_eq!(gone["project_id"], taken["mutated_objects"]["work.Issue"][0]["project_id"]);
        // One that has gone by now is said to have.
        simulator.with(|world| world.delete_issue(id));
        let taken = hand_over(&delivery.body).code(0).json();
        assert_eq!(taken["mutated_objects"]["work.Issue"][0]["active"], false, "{taken:#}");
    }
}

#[test]
fn mutations_change_the_server_and_say_what_they_could_not() {
    for kind in KINDS {
        let simulator = start(kind, Size::default());
        let bench = bench(&simulator, "");
        let (id, status, user) = simulator.with(|world| {
            let issue = world.issues.values().find(|issue| issue.status == 1 && issue.priority != 1).unwrap();
            (issue.id, issue.status, world.users[3].id.clone())
        });
        let mutate =
            |name: &str, data: &Value| bench.run(&["mutate", "jira", name, "--data", &data.to_string(), "--json"]);
        let ref_id = id.to_string();
        let issue = || simulator.with(|world| world.issues[&id].clone());
        let listed = mutate("issue.get_transitions", &json!({ "ref_id": ref_id })).code(0).json();
        let transitions = listed["webapp_response"]["transitions"].as_array().unwrap().clone();
        let close = transitions.iter().find(|transition| transition["terminal"] == true).unwrap();
        assert_eq!((close["requires"].clone(), transitions.len()), (json!(["resolution"]), 3), "{listed:#}");
        let to = json!({ "ref_id": ref_id, "transition_ref_id": close["ref_id"] });
        let refused = mutate("issue.set_status", &to);
        assert_ne!(refused.code, 0);
        refused.says("resolution: Resolution is required");
        assert_eq!(issue().status, status);
        let mut with = to.clone();
        with["fields"] = json!({ "resolution": { "id": "10000" } });
        let changed = mutate("issue.set_status", &with).code(0).json();
        let record = &changed["mutated_objects"]["work.Issue"][0];
        assert_eq!((&record["status"], record["closed_at"].is_string()), (&json!("Done"), true), "{changed:#}");
        mutate("issue.set_priority", &json!({ "ref_id": ref_id, "priority_ref_id": "1" })).code(0);
        mutate("issue.set_assignee", &json!({ "ref_id": ref_id, "user_ref_id": user })).code(0);
        assert_eq!((issue().priority, issue().assignee), (1, Some(3)));
        mutate("issue.set_assignee", &json!({ "ref_id": ref_id, "user_ref_id": null })).code(0);
        assert_eq!(issue().assignee, None);
        let said = json!({ "ref_id": ref_id, "body": "It is done.\nAnd <so> on.\n\nBye" });
        mutate("issue.add_comment", &said).code(0).says("IssueComment");
        assert_eq!(issue().comments.last().unwrap().body, "It is done.\nAnd <so> on.\n\nBye");
        for (name, data, text) in [
            ("issue.set_title", json!({ "ref_id": "999999", "title": "x" }), "there is no issue"),
            ("issue.set_title", json!({ "ref_id": "ABC-1", "title": "x" }), "not the key"),
            ("issue.set_title", json!({ "ref_id": ref_id, "title": " " }), "title is empty"),
            ("issue.set_title", json!({ "ref_id": ref_id, "title": "a\nb" }), "newline"),
            (
                "issue.set_priority",
                json!({ "ref_id": ref_id, "priority_ref_id": "77" }),
                "priority selected is invalid",
            ),
            (
                "issue.set_assignee",
                json!({ "ref_id": ref_id, "user_ref_id": "nobody" }),
                if kind == Kind::Cloud { "does not exist" } else { "there is no user" },
            ),
        ] {
            let refused = mutate(name, &data);
            assert_ne!(refused.code, 0, "{name} {data}");
            refused.says(text);
        }
    }
}

#[test]
fn the_configuration_is_tried_and_there_is_something_to_choose_from() {
    for (kind, version) in [(Kind::Cloud, "Cloud 1001.0.0"), (Kind::Hosted, "Data Center or Server 9.12.0")] {
        let simulator = start(kind, Size::default());
        let last = project(&simulator, 2).key;
        let bench = bench(&simulator, &format!("exclusions: [{}]", last.to_lowercase()));
        bench.run(&["validate-config"]).code(0).says(version);
        let list = |kind: &str| bench.run(&["onboard", "jira", kind, "--json"]).code(0).json()["data"].clone();
        assert_eq!(list("users").as_array().unwrap().len(), 20);
        assert_eq!(list("projects").as_array().unwrap().len(), 2);
        assert_eq!(list("workconfig")[0]["closed"], json!(["Done"]));
        assert_ne!(bench.run(&["onboard", "jira", "repos"]).code, 0);
        bench.export().code(0);
        assert_eq!(bench.sink().records["jira/work.Project"].len(), 2);
        bench.write("agent.yaml", bench.read("agent.yaml").replace("exclusions: [", "inclusions: [nothing, x"));
        assert_ne!(bench.run(&["validate-config"]).code, 0);
        bench.run(&["validate-config"]).says("leave no project");
    }
}

#[test]
fn a_project_that_comes_back_brings_what_it_missed() {
    let simulator = start(Kind::Cloud, Size::default());
    let key = project(&simulator, 0).key;
    let bench = bench(&simulator, "exclusions: []");
    bench.export().code(0);
    let without = bench.read("agent.yaml").replace("exclusions: []", &format!("exclusions: [{key}]"));
    let with = bench.read("agent.yaml");
    bench.write("agent.yaml", &without);
    let id = simulator.with(|world| {
        world.now += 7_200;
        let (now, project) = (world.now, world.projects[0].id);
        let id = world.issues.values().find(|issue| issue.project == project).unwrap().id;
        world.set_summary(id, "Changed while nobody looked".to_owned(), now);
        id
    });
    bench.export().code(0);
    simulator.with(|world| world.now += 7_200);
    bench.export().code(0);
    bench.write("agent.yaml", &with);
    bench.export().code(0);
    assert_eq!(issue(&bench.sink(), id)["title"], "Changed while nobody looked");
    same(&simulator, &bench);
}

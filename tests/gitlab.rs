//! The gitlab integration in the real agent, against the simulator: everything arrives and nothing twice, what is quiet costs
//! a few requests, and servers that lie, change, fail or have no more budget lose nothing that could be had.

use std::collections::BTreeSet;

use gitlab_simulator::{Lie, Note, Options, Project, Simulator, Size, Told};
use serde_json::{Value, json};
use tests::{Bench, Sink, simulated, wait_until};

const TOKEN: &str = "glpat-notarealtoken1234";
const SECRET: &str = "a secret of webhooks";

fn start(size: Size) -> Simulator {
    Simulator::start(Options { size, token: Some(TOKEN.to_owned()), ..Options::default() }).unwrap()
}

/// A bench with the integration and its grants, and more of its configuration.
fn bench_of(simulator: &Simulator, accounts: &str, more: &str) -> Bench {
    let url = simulator.url();
    let bench = Bench::new();
    let repos = bench.path("repos");
    let yaml = format!(
        "root: root\nsink: {{folder: out}}\negress: {{wait: 1s}}\nintegrations:\n  - name: gitlab\n    component: gitlab\n    \
         config: {{url: \"{url}\", {accounts}, {more}}}\n    grants:\n      network: [\"{url}\"]\n      \
         private_hosts: [127.0.0.1]\n      git: {{paths: [\"{}\"]}}\n      \
         credentials: {{token: {{file: token, bearer: true, hosts: [127.0.0.1]}}}}\n",
        repos.display()
    );
    std::fs::create_dir(&repos).unwrap();
    bench.write("token", TOKEN);
    bench.config(&yaml)
}

fn bench(simulator: &Simulator, more: &str) -> Bench {
    bench_of(simulator, "groups: [acme]", more)
}

/// Insists that everything has arrived, as it is.
#[track_caller]
fn same(simulator: &Simulator, bench: &Bench) {
    simulated::same(&simulator.truth(), &bench.sink(), "gitlab");
}

/// Somebody who is known says something about an issue (true) or a merge request.
fn say(simulator: &Simulator, project: usize, issue: bool, iid: u64) {
    simulator.with(|world| {
        world.now += 10;
        let now = world.now;
        let note = world.note(now);
        let thread = world.projects[project].thread_mut(issue, iid).unwrap();
        thread.notes.push(Note { author: thread.author, ..note });
        thread.updated = now;
    });
}

#[test]
fn everything_arrives_once_and_what_is_quiet_costs_three_requests() {
    let simulator = start(Size::default());
    let bench = bench(&simulator, "git: false");
    bench.export().code(0);
    same(&simulator, &bench);
    simulated::nothing_twice(&bench.sink());
    let first = simulator.asked();
    println!("first export: {} requests for {} records", first.len(), bench.sink().count("gitlab"));
    println!("most complex of the queries: {}", simulator.ledger().complexity_max);
    let by_rest: Vec<&String> = first.iter().filter(|asked| !asked.ends_with("/api/graphql")).collect();
    assert_eq!(by_rest.iter().collect::<BTreeSet<_>>().len(), by_rest.len(), "something was asked for twice");
    // Of what hangs on an item nothing is asked for by itself.
    assert!(!by_rest.iter().any(|asked| asked.contains("/notes") || asked.contains("/commits")), "{by_rest:#?}");
    bench.export().code(0).says("Nothing new");
    let quiet = simulator.asked();
    assert_eq!(quiet.len(), 3, "the projects, the newest issue, the newest merge request: {quiet:#?}");
    // A comment moves its issue, and brings that and nothing else.
    let iid = simulator.with(|world| *world.projects[0].issues.keys().next().unwrap());
    say(&simulator, 0, true, iid);
    let before = bench.sink().count("gitlab");
    bench.export().code(0);
    same(&simulator, &bench);
    assert_eq!(bench.sink().count("gitlab") - before, 2, "the issue and its comment");
    println!("an issue has moved: {} requests", simulator.asked().len());
}

#[test]
fn of_many_projects_only_those_are_asked_that_have_moved() {
    let size = Size { projects: 110, issues: 150, merge_requests: 60, notes: 50, milestones: 0, ..Size::default() };
    let simulator = start(size);
    let bench = bench(&simulator, "git: false");
    bench.export().code(0);
    println!("first export of 110 projects: {} requests", simulator.asked().len());
    bench.export().code(0).says("Nothing new");
    assert_eq!(simulator.asked().len(), 4, "two pages of projects, and two requests");
    let (place, iid) = simulator.with(|world| {
        let place = world.projects.iter().position(|project| !project.merge_requests.is_empty()).unwrap();
        (place, *world.projects[place].merge_requests.keys().next().unwrap())
    });
    say(&simulator, place, false, iid);
    bench.export().code(0);
    same(&simulator, &bench);
    let asked = simulator.asked();
    let id = simulator.with(|world| format!("/projects/{}/", world.projects[place].id));
    // The overlap asks the one that had moved last for its newest, too.
    let of_others = asked.iter().filter(|asked| asked.contains("/projects/") && !asked.contains(&id)).count();
    assert!(of_others <= 1 && asked.len() < 20, "{asked:#?}");
}

#[test]
fn what_changes_while_it_is_read_is_there_in_the_end() {
    let simulator = start(Size { issues: 200, merge_requests: 60, notes: 200, ..Size::default() });
    let bench = bench(&simulator, "git: false");
    simulator.change_every(5);
    bench.export().code(0);
    bench.export().code(0);
    simulator.change_every(0);
    bench.export().code(0);
    same(&simulator, &bench);
    bench.export().code(0).says("Nothing new");
}

#[test]
fn a_first_export_that_is_killed_is_gone_on_with() {
    let simulator = start(Size { projects: 1, issues: 1_300, merge_requests: 20, notes: 100, ..Size::default() });
    let bench = bench(&simulator, "git: false");
    let running = bench.start(&["export"]);
    wait_until("the export is in the middle", || simulator.ledger().requests >= 25);
    assert!(running.signal("KILL"), "it had ended before");
    assert_eq!(running.code(), -1);
    bench.export().code(0);
    same(&simulator, &bench);
    simulated::nothing_twice(&bench.sink());
    bench.export().code(0).says("Nothing new");
}

#[test]
fn an_export_that_is_asked_to_stop_is_gone_on_with() {
    let simulator = start(Size { projects: 6, issues: 120, merge_requests: 60, notes: 200, ..Size::default() });
    let bench = bench(&simulator, "git: false, graphql: false");
    let running = bench.start(&["export"]);
    wait_until("the export is in the middle", || simulator.ledger().requests >= 100);
    running.interrupt();
    assert_ne!(running.code(), 0);
    let before = simulator.ledger().requests;
    assert!(bench.sink().count("gitlab") > 0, "nothing of what was read has been kept");
    bench.export().code(0);
    same(&simulator, &bench);
    simulated::nothing_twice(&bench.sink());
    println!("{before} requests before the stop, {} after", simulator.ledger().requests - before);
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

/// What a lie is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// By keyset.
    Issues,
    /// By number.
    MergeRequests,
}

impl About {
    fn model(self) -> &'static str {
        match self {
            About::Issues => "work.Issue",
            About::MergeRequests => "sourcecode.PullRequest",
        }
    }

    /// The lie, told of the list of this project alone, and not where only its newest is asked for.
    fn told(self, lie: Lie, always: bool, project: u64) -> Told {
        let tell = if always { Told::always } else { Told::once };
        let list = if self == About::Issues { "issues" } else { "merge_requests" };
        tell(lie, &format!("/projects/{project}/{list}?")).and("order_by=created_at")
    }

    /// The ids that there are.
    fn expected(self, project: &Project) -> BTreeSet<String> {
        let id = |iid: &u64| format!("{}/{iid}", project.id);
        match self {
            About::Issues => project.issues.keys().map(id).collect(),
            About::MergeRequests => project.merge_requests.keys().map(id).collect(),
        }
    }

    /// The ids that have come.
    fn arrived(self, sink: &Sink, project: &Project) -> BTreeSet<String> {
        let id = project.id.to_string();
        let records = &sink.records[&format!("gitlab/{}", self.model())];
        let ours = records.iter().filter(|record| record["repo_id"] == id.as_str());
        ours.map(|record| record["ref_id"].as_str().unwrap().to_owned()).collect()
    }
}

/// Each lie is told to one project alone, so that one run shows them all.
fn lies() -> Vec<(About, Lie, bool, Fares)> {
    use About::{Issues, MergeRequests};
    use Fares::{Fails, LeavesOut, Well};
    let (once, always) = (false, true);
    vec![
        (Issues, Lie::Status(502), once, Well),
        (Issues, Lie::Html, once, Well),
        (Issues, Lie::WrongType, always, Well),
        (Issues, Lie::Truncated, once, Well),
        (Issues, Lie::Short, once, Well),
        (Issues, Lie::Endless, once, Well),
        (Issues, Lie::Slow(200), once, Well),
        (Issues, Lie::Repeat, once, Well),
        (Issues, Lie::Reorder, always, Well),
        (Issues, Lie::Skew(18_000), always, Well),
        (Issues, Lie::Unknown("state"), always, Well),
        (Issues, Lie::Unknown("issue_type"), always, Well),
        (Issues, Lie::Huge("description"), once, Well),
        (Issues, Lie::Null("milestone"), always, Well),
        (Issues, Lie::Null("title"), always, LeavesOut("title")),
        (Issues, Lie::Status(503), always, Fails("503")),
        (Issues, Lie::Html, always, Fails("HTML")),
        (Issues, Lie::TooMuch(5), always, Well),
        (Issues, Lie::Cycle, always, Fails("the same page again")),
        (MergeRequests, Lie::TooMuch(10), always, Well),
        (MergeRequests, Lie::TooMuch(5), always, Well),
        (MergeRequests, Lie::Truncated, once, Well),
        (MergeRequests, Lie::Repeat, once, Well),
        (MergeRequests, Lie::Reorder, always, Well),
        (MergeRequests, Lie::Unknown("state"), always, Well),
        (MergeRequests, Lie::Huge("description"), once, Well),
        (MergeRequests, Lie::Null("author"), always, Well),
        (MergeRequests, Lie::Null("web_url"), always, LeavesOut("web_url")),
        (MergeRequests, Lie::Truncated, always, Fails("EOF")),
        (MergeRequests, Lie::Cycle, always, Fails("the same page again")),
    ]
}

#[test]
fn servers_that_lie_lose_only_what_cannot_be_had_and_that_is_said() {
    let lies = lies();
    let projects = lies.len() as u64 + 1;
    let size = Size { projects, issues: projects * 8, merge_requests: projects * 7, notes: 0, ..Size::default() };
    let simulator = start(Size { commits: 1, milestones: 0, ..size });
    let projects = simulator.with(|world| world.projects.clone());
    let told = lies.iter().zip(&projects);
    simulator.lie(told.map(|((about, lie, always, _), one)| about.told(lie.clone(), *always, one.id)).collect());
    let bench = bench(&simulator, "git: false");
    bench.export().code(3);
    let (sink, errors) = (bench.sink(), simulated::errors(&bench.sink(), "gitlab"));
    for ((about, lie, _, fares), project) in lies.iter().zip(&projects) {
        let (expected, arrived) = (about.expected(project), about.arrived(&sink, project));
        let error = errors.get(&project.id.to_string());
        let told =
            |text: &str| assert!(error.is_some_and(|error| error.contains(text)), "{about:?} {lie:?}: {error:?}");
        match fares {
            Fares::Well => assert_eq!((&arrived, error), (&expected, None), "{about:?} {lie:?}"),
            Fares::LeavesOut(text) => {
                assert!(arrived.len() + 1 == expected.len() && !arrived.is_empty(), "{about:?} {lie:?}: {arrived:?}");
                told(&format!("{text}: invalid type: null"));
                told("1 left out");
            }
            Fares::Fails(text) => told(text),
        }
    }
    let last = projects.last().unwrap();
    assert_eq!(About::Issues.arrived(&sink, last), About::Issues.expected(last), "nobody lied about it");
    assert_eq!(errors.get(&last.id.to_string()), None);
    let log = bench.read("root/logs/integrations/gitlab.log");
    assert!(log.contains("the record says UNKNOWN") && log.contains("texts of more than 1 MiB were cut"), "{log}");
    // Once it tells the truth again, the next run brings what was missing, and what it had named.
    simulator.lie(Vec::new());
    bench.export().code(0);
    let sink = bench.sink();
    for ((about, lie, ..), project) in lies.iter().zip(&projects) {
        assert_eq!(about.arrived(&sink, project), about.expected(project), "{about:?} {lie:?}");
    }
}

#[test]
fn what_hangs_on_an_item_and_cannot_be_had_is_named_and_asked_for_again() {
    for (lie, always, list, said) in [
        (Lie::Html, true, "notes?", "its comments"),
        (Lie::Truncated, true, "commits?", "its commits"),
        (Lie::Status(502), true, "approvals?", "its approvals"),
        (Lie::Cycle, true, "notes?", "the same page again"),
        (Lie::Null("created_at"), false, "notes?", "created_at: invalid type: null"),
    ] {
        let size = Size { projects: 1, issues: 0, merge_requests: 2, notes: 30, milestones: 0, ..Size::default() };
        let simulator = start(size);
        let iid = simulator.with(|world| *world.projects[0].merge_requests.keys().next().unwrap());
        let tell = if always { Told::always } else { Told::once };
        simulator.lie(vec![tell(lie.clone(), &format!("/merge_requests/{iid}/{list}"))]);
        let bench = bench(&simulator, "git: false, graphql: false");
        bench.export().code(3);
        let errors = simulated::errors(&bench.sink(), "gitlab");
        assert!(errors.values().all(|error| error.contains(said)) && errors.len() == 1, "{lie:?}: {errors:?}");
        assert_eq!(bench.sink().ids("gitlab/sourcecode.PullRequest").len(), 2, "{lie:?}: it goes on without");
        simulator.lie(Vec::new());
        bench.export().code(0);
        // A comment that was not what it should be comes again when its merge request moves.
        if always {
            same(&simulator, &bench);
        }
    }
}

#[test]
fn lists_of_a_group_that_lie_are_named() {
    let simulator = start(Size { projects: 12, issues: 24, merge_requests: 0, notes: 0, ..Size::default() });
    let bench = bench(&simulator, "git: false");
    // A project without a name cannot be asked for, and the others can; who the members are is not to be had at all.
    simulator.lie(vec![
        Told::once(Lie::Html, "/acme/projects"),
        Told::always(Lie::Null("path_with_namespace"), "/acme/projects"),
        Told::always(Lie::Status(500), "/members/all"),
        Told::always(Lie::Status(500), "/groups/acme/issues"),
    ]);
    let report = bench.report(3, &[]);
    assert!(report.to_string().contains("path_with_namespace: invalid type: null"), "{report:#}");
    assert_eq!(bench.sink().records["gitlab/sourcecode.Repo"].len(), 11);
    let log = bench.read("root/logs/integrations/gitlab.log");
    assert!(log.contains("members are not to be had") && log.contains("each project is asked"), "{log}");
    simulator.lie(Vec::new());
    bench.export().code(0);
    same(&simulator, &bench);
}

#[test]
fn lies_about_the_list_of_projects_delete_nothing() {
    let simulator = start(Size { projects: 12, issues: 24, merge_requests: 0, notes: 0, ..Size::default() });
    let bench = bench(&simulator, "git: false");
    bench.export().code(0);
    // One project of twelve is listed: a credential that may see less, rather than eleven deletions.
    simulator.lie(vec![Told::once(Lie::Few, "/acme/projects")]);
    let report = bench.report(3, &[]);
    assert!(report.to_string().contains("11 sourcecode.Repo of acme"), "{report:#}");
    same(&simulator, &bench);
    simulator.with(|world| world.delete_project(3));
    bench.export().code(0);
    let sink = bench.sink();
    for model in ["sourcecode.Repo", "work.Project"] {
        let gone = sink.records[&format!("gitlab/{model}")].iter().filter(|record| record["active"] == false);
        assert_eq!(gone.count(), 1, "{model}");
    }
}

#[test]
fn a_deleted_issue_or_milestone_is_said_to_have_gone() {
    let simulator = start(Size::default());
    let bench = bench(&simulator, "git: false");
    bench.export().code(0);
    let id = simulator.with(|world| {
        let iid = *world.projects[1].issues.keys().nth(3).unwrap();
        assert!(world.delete_issue(1, iid));
        format!("{}/{iid}", world.projects[1].id)
    });
    bench.export().code(0);
    let gone = |model: &str| {
        let sink = bench.sink();
        let gone = sink.records[&format!("gitlab/{model}")].iter().filter(|record| record["active"] == false);
        gone.map(|record| record["ref_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(gone("work.Issue"), [id]);
    bench.export().code(0).says("Nothing new");
    // A milestone that goes moves its project.
    let id = simulator.with(|world| {
        world.now += 7_200;
        world.touch(0);
        world.projects[0].milestones.remove(0).id.to_string()
    });
    bench.export().code(0);
    assert_eq!(gone("work.Sprint"), [id]);
}

#[test]
fn a_large_deletion_is_believed_where_it_is_accepted_and_once() {
    for issues in [true, false] {
        let size = Size { projects: 2, issues: 220, merge_requests: 220, notes: 40, commits: 1, ..Size::default() };
        let simulator = start(size);
        let bench = bench(&simulator, "git: false");
        bench.export().code(0);
        let (id, path) = simulator.with(|world| (world.projects[0].id, world.projects[0].path.clone()));
        let delete = |count: u64| {
            simulator.with(|world| {
                let numbers = world.projects[0].numbers().into_iter().filter(|(issue, _)| *issue == issues);
                let numbers: Vec<u64> = numbers.map(|(_, iid)| iid).take(count as usize).collect();
                for iid in &numbers {
                    let deleted =
                        if issues { world.delete_issue(0, *iid) } else { world.delete_merge_request(0, *iid) };
                    assert!(deleted);
                }
                numbers.iter().map(|iid| format!("{id}/{iid}")).collect()
            })
        };
        let model = if issues { "work.Issue" } else { "sourcecode.PullRequest" };
        simulated::accepted_once(&bench, "gitlab", &format!("40 {model} of {path}"), delete);
    }
}

#[test]
fn a_merge_request_that_was_deleted_is_said_to_have_gone() {
    let simulator = start(Size::default());
    let bench = bench(&simulator, "git: false");
    bench.export().code(0);
    let id = simulator.with(|world| {
        let iid = *world.projects[0].merge_requests.keys().nth(1).unwrap();
        assert!(world.delete_merge_request(0, iid));
        format!("{}/{iid}", world.projects[0].id)
    });
    bench.export().code(0);
    assert_eq!(simulated::gone(&bench.sink(), "gitlab", "sourcecode.PullRequest"), BTreeSet::from([id]));
    bench.export().code(0).says("Nothing new");
}

#[test]
fn a_comment_that_was_deleted_is_said_to_have_gone() {
    for graphql in [true, false] {
        let simulator = start(Size { projects: 1, notes: 500, ..Size::default() });
        let bench = bench(&simulator, &format!("git: false, graphql: {graphql}"));
        bench.export().code(0);
        let delete = |issue: bool| {
            simulator.with(|world| {
                let project = &world.projects[0];
                let (issues, others) = (project.issues.values(), project.merge_requests.values());
                let mut threads: Vec<_> = if issue {
                    issues.map(|one| &one.thread).collect()
                } else {
                    others.map(|one| &one.thread).collect()
                };
                threads.retain(|thread| thread.said().count() > 2);
                let iid = threads[0].iid;
                world.delete_note(0, issue, iid).unwrap().to_string()
            })
        };
        let (of_issue, of_merge_request) = (delete(true), delete(false));
        bench.export().code(0);
        same(&simulator, &bench);
        let gone = |model: &str| simulated::gone(&bench.sink(), "gitlab", model);
        assert_eq!(gone("work.IssueComment"), BTreeSet::from([of_issue]));
        assert_eq!(gone("sourcecode.PullRequestComment"), BTreeSet::from([of_merge_request]));
        bench.export().code(0).says("Nothing new");
        // A list without most of its items is no deletion of them: each is asked for by itself.
        simulator.with(|world| (0..30).for_each(|_| world.change_in(0)));
        let lie = if graphql {
            Told::always(Lie::Null("/notes/nodes/0"), "graphql")
        } else {
            Told::always(Lie::Few, "/notes?")
        };
        simulator.lie(vec![lie]);
        let _ = bench.export();
        simulator.lie(Vec::new());
        bench.export().code(0);
        assert_eq!((gone("work.IssueComment").len(), gone("sourcecode.PullRequestComment").len()), (1, 1));
    }
}

#[test]
fn a_spent_budget_pauses_and_the_next_minutes_bring_the_rest() {
    // Far less than a page of merge requests takes with what hangs on them.
    for (graphql, requests) in [(true, 12), (false, 60)] {
        let size = Size { projects: 2, issues: 40, merge_requests: 160, notes: 200, ..Size::default() };
        let options = Options { size, token: Some(TOKEN.to_owned()), requests, ..Options::default() };
        let simulator = Simulator::start(options).unwrap();
        let bench = bench(&simulator, &format!("git: false, graphql: {graphql}"));
        let report = bench.report(3, &[]);
        assert!(report["integrations"][0]["reason"].to_string().contains("paused until"), "{report:#}");
        let mut minutes = 1;
        loop {
            simulator.renew();
            minutes += 1;
            assert!(minutes < 30, "it does not come to an end");
            if bench.export().code == 0 {
                break;
            }
        }
        assert!(minutes > 2, "a minute's requests were enough: this shows nothing");
        println!("{minutes} minutes of {requests} requests: {:?}", simulator.ledger());
        same(&simulator, &bench);
    }
}

#[test]
fn records_are_the_same_whichever_way_they_came() {
    let simulator = start(Size { notes: 700, ..Size::default() });
    // One thread that has more than a page.
    let iid = simulator.with(|world| *world.projects[0].merge_requests.keys().next().unwrap());
    (0..130).for_each(|_| say(&simulator, 0, false, iid));
    let records = |more: &str| {
        let bench = bench(&simulator, more);
        bench.export().code(0);
        same(&simulator, &bench);
        let of = |records: &Vec<Value>| records.iter().map(Value::to_string).collect::<BTreeSet<_>>();
        bench.sink().records.iter().map(|(model, records)| (model.clone(), of(records))).collect::<Vec<_>>()
    };
    let by_graphql = records("git: false");
    let (queries, requests) = (simulator.ledger().queries, simulator.ledger().requests);
    let by_rest = records("git: false, graphql: false");
    println!("{requests} requests with {queries} queries, {} without", simulator.ledger().requests - requests);
    assert!(queries > 0 && simulator.ledger().queries == queries);
    assert!(simulator.ledger().complexity_max <= 100, "{}", simulator.ledger().complexity_max);
    for (one, other) in by_graphql.iter().zip(&by_rest) {
        let differ: Vec<_> = one.1.symmetric_difference(&other.1).take(4).collect();
        assert!(one.0 == other.0 && differ.is_empty(), "{}: {differ:#?}", one.0);
    }
}

#[test]
fn what_does_not_come_by_graphql_comes_by_rest() {
    let (once, always) = (false, true);
    let told = |lie: Lie, always: bool| {
        let tell = if always { Told::always } else { Told::once };
        vec![tell(lie, "POST /api/graphql")]
    };
    let cases: Vec<(&str, Vec<Told>, Vec<&'static str>)> = vec![
        ("it is not there", told(Lie::Status(404), always), vec![]),
        ("it is not allowed", told(Lie::Status(403), always), vec![]),
        ("it has a fault", told(Lie::Status(500), always), vec![]),
        ("it has a fault, once", told(Lie::Status(502), once), vec![]),
        ("HTML", told(Lie::Html, always), vec![]),
        ("an answer that breaks off", told(Lie::Truncated, once), vec![]),
        ("an answer that is too short", told(Lie::Short, always), vec![]),
        ("more than ten is too much", told(Lie::TooMuch(10), always), vec![]),
        ("more than none is too much", told(Lie::TooMuch(0), always), vec![]),
        ("a part, with a fault", told(Lie::Partial, always), vec![]),
        ("an item twice in place of all others", told(Lie::Repeat, always), vec![]),
        ("a page of one", told(Lie::Few, always), vec![]),
        ("items without a number", told(Lie::Null("iid"), always), vec![]),
        ("items of a strange number", told(Lie::Unknown("iid"), always), vec![]),
        ("no comments", told(Lie::Null("/notes"), always), vec![]),
        ("no list of comments", told(Lie::Null("/notes/nodes"), always), vec![]),
        ("a comment that is null", told(Lie::Null("/notes/nodes/0"), always), vec![]),
        ("a comment of a strange id", told(Lie::Unknown("/notes/nodes/0/id"), always), vec![]),
        ("nobody says whether it goes on", told(Lie::Null("/notes/pageInfo/hasNextPage"), always), vec![]),
        ("an author of a strange id", told(Lie::Unknown("/notes/nodes/0/author/id"), always), vec![]),
        ("a version without a field", Vec::new(), vec!["committerEmail", "author"]),
    ];
    for (what, lies, without) in cases {
        let size = Size { projects: 2, issues: 70, merge_requests: 60, notes: 200, ..Size::default() };
        let options = Options { size, token: Some(TOKEN.to_owned()), lies, without, ..Options::default() };
        let simulator = Simulator::start(options).unwrap();
        let bench = bench(&simulator, "git: false");
        bench.export().code(0);
        same(&simulator, &bench);
        simulated::nothing_twice(&bench.sink());
        let log = bench.read("root/logs/integrations/gitlab.log");
        let queries = || simulator.asked().iter().filter(|asked| asked.ends_with("/api/graphql")).count();
        println!("{what}: {} requests, of them {} queries", simulator.ledger().requests, queries());
        bench.export().code(0).says("Nothing new");
        // What is closed is not tried by each run anew.
        simulator.with(|world| (0..20).for_each(|_| world.change_in(0)));
        bench.export().code(0);
        same(&simulator, &bench);
        assert_eq!(queries() == 0, log.contains("not to be had by GraphQL"), "{what}: {log}");
    }
}

#[test]
fn limits_and_bad_credentials_are_told_apart() {
    let simulator = start(Size::default());
    let bench = bench(&simulator, "git: false");
    simulator.lie(vec![Told::once(Lie::Secondary(60), "graphql")]);
    let report = bench.report(3, &[]);
    assert!(report["integrations"][0]["reason"].to_string().contains("paused until"), "{report:#}");
    simulator.lie(Vec::new());
    bench.export().code(0);
    same(&simulator, &bench);
    bench.write("token", "glpat-anotherone0000");
    bench.export().code(12);
    bench.run(&["validate-config"]).code(12);
}

#[test]
fn webhooks_are_made_once_and_what_they_tell_of_is_read_anew() {
    let simulator = start(Size::default());
    let more =
        format!("git: false, webhooks: group, webhook_url: \"https://hooks.invalid/x\", webhook_secret: {SECRET}");
    let bench = bench(&simulator, &more);
    bench.export().code(0);
    bench.export().code(0).says("Nothing new");
    let hooks = simulator.with(|world| world.hooks.clone());
    assert_eq!((hooks.len(), hooks[0].url.as_str(), hooks[0].token.as_str()), (1, "https://hooks.invalid/x", SECRET));
    let (project, iid) = simulator.with(|world| {
        let open = world.projects[0].merge_requests.values().find(|one| one.thread.state == "opened").unwrap();
        (world.projects[0].id, open.thread.iid)
    });
    let data = json!({ "ref_id": format!("{project}/{iid}"), "title": "Said anew" });
    let changed = bench.run(&["mutate", "gitlab", "pull_request.set_title", "--data", &data.to_string(), "--json"]);
    let changed = changed.code(0).json();
    assert_eq!(changed["mutated_objects"]["sourcecode.PullRequest"][0]["title"], "Said anew", "{changed:#}");
    let delivery = simulator.deliveries().pop().unwrap();
    let hand_over = |token: &str| {
        bench.write("body", &delivery.body);
        let headers = delivery
            .headers
            .iter()
            .map(|(name, value)| format!("{name}={}", if name == "x-gitlab-token" { token } else { value }));
        let headers: Vec<String> = headers.collect();
        let mut line = vec!["webhook", "gitlab", "--json", "--body", "@body"];
        headers.iter().for_each(|header| line.extend(["--header", header.as_str()]));
        bench.run(&line)
    };
    let taken = hand_over(SECRET).code(0).json();
    assert_eq!(taken["mutated_objects"]["sourcecode.PullRequest"][0]["title"], "Said anew", "{taken:#}");
    hand_over("another secret").code(12).says("x-gitlab-token");
    let unsigned = ["webhook", "gitlab", "--body", "{}"];
    bench.run(&unsigned).code(12).says("no header");
    bench.run(&[&unsigned[..], &["--vouch"]].concat()).code(0);
    // The record of the webhook is the one that the export sends.
    bench.export().code(0);
    let sent = bench.sink().records["gitlab/sourcecode.PullRequest"].last().cloned();
    assert_eq!(sent.as_ref(), Some(&taken["mutated_objects"]["sourcecode.PullRequest"][0]));
}

#[test]
fn mutations_change_the_server_and_say_what_they_could_not() {
    let simulator = start(Size::default());
    let bench = bench(&simulator, "git: false");
    let (project, open, merged, issue) = simulator.with(|world| {
        let all = &world.projects[0].merge_requests;
        let of = |state: &str| all.values().find(|one| one.thread.state == state).unwrap().thread.iid;
        let issue = world.projects[0].issues.values().find(|issue| issue.thread.state == "closed").unwrap();
        (world.projects[0].id, of("opened"), of("merged"), issue.thread.iid)
    });
    let mutate = |name: &str, data: &Value| bench.run(&["mutate", "gitlab", name, "--data", &data.to_string()]);
    let id = format!("{project}/{open}");
    mutate("pull_request.set_description", &json!({ "ref_id": id, "description": "Why" })).code(0);
    mutate("pull_request.set_status", &json!({ "ref_id": id, "status": "CLOSED" })).code(0);
    mutate("pull_request.add_comment", &json!({ "ref_id": id, "body": "Done" })).code(0).says("PullRequestComment");
    let of_issue = format!("{project}/{issue}");
    mutate("issue.set_title", &json!({ "ref_id": of_issue, "title": "Anew" })).code(0).says("work.Issue");
    mutate("issue.set_status", &json!({ "ref_id": of_issue, "status": "OPEN" })).code(0);
    mutate("issue.add_comment", &json!({ "ref_id": of_issue, "body": "Hm" })).code(0).says("IssueComment");
    simulator.with(|world| {
        let thread = &world.projects[0].merge_requests[&open].thread;
        assert_eq!((thread.body.as_str(), thread.state), ("Why", "closed"));
        assert_eq!(thread.notes.last().unwrap().body, "Done");
        let thread = &world.projects[0].issues[&issue].thread;
        assert_eq!((thread.title.as_str(), thread.state), ("Anew", "opened"));
        assert_eq!(thread.notes.last().unwrap().body, "Hm");
    });
    let missing = mutate("pull_request.set_title", &json!({ "ref_id": format!("{project}/999999"), "title": "x" }));
    assert_ne!(missing.code, 0);
    missing.says("there is no merge request");
    let refused =
        mutate("pull_request.set_status", &json!({ "ref_id": format!("{project}/{merged}"), "status": "OPEN" }));
    assert_ne!(refused.code, 0);
    refused.says("is merged, and stays it");
}

#[test]
fn the_configuration_is_tried_and_there_is_something_to_choose_from() {
    let simulator = start(Size::default());
    let bench = bench(&simulator, "exclusions: [\"*-1\"]");
    bench.run(&["validate-config"]).code(0).says("GitLab 17.99.0-ee");
    let list = |kind: &str| bench.run(&["onboard", "gitlab", kind, "--json"]).code(0).json()["data"].clone();
    let members = simulator.with(|world| world.users.iter().filter(|user| user.member).count());
    assert_eq!(list("users").as_array().unwrap().len(), members);
    assert_eq!(list("repos").as_array().unwrap().len(), 2);
    assert_eq!(list("projects")[0]["ref_type"], "gitlab");
    assert_ne!(bench.run(&["onboard", "gitlab", "calendars"]).code, 0);
    let nobody = bench_of(&simulator, "groups: [nobody]", "git: false");
    assert_ne!(nobody.run(&["validate-config"]).says("there is no group `nobody`").code, 0);
}

#[test]
fn what_is_a_persons_own_is_exported_too() {
    let simulator = start(Size { projects: 0, ..Size::default() });
    let name = simulator.with(|world| {
        let name = world.users[0].username.clone();
        let project = world.make_project(0, &name, Some(0));
        world.projects.push(project);
        let at = world.now - 86_400;
        for _ in 0..150 {
            world.add_issue(0, at);
        }
        world.add_merge_request(0, at, 2);
        name
    });
    let bench = bench_of(&simulator, &format!("users: [{name}]"), "git: false");
    bench.export().code(0);
    let sink = bench.sink();
    assert_eq!(sink.ids("gitlab/work.Issue").len(), 150);
    assert_eq!(sink.ids("gitlab/sourcecode.PullRequestCommit").len(), 2);
    assert_eq!(sink.records["gitlab/sourcecode.Repo"][0]["affiliation"], "USER");
    bench.export().code(0).says("Nothing new");
}

#[test]
fn repositories_go_to_git_with_the_heads_of_their_merge_requests() {
    let simulator = start(Size { projects: 1, ..Size::default() });
    let path = simulator.with(|world| world.projects[0].path.clone());
    let bench = bench(&simulator, "git_url: \"file://${BENCH}/repos/{path}\"");
    let sha = simulated::topic(&bench, &path);
    let iid = simulator.with(|world| {
        let one = world.projects[0].merge_requests.values_mut().next().unwrap();
        one.commits.last_mut().unwrap().sha.clone_from(&sha);
        one.thread.iid
    });
    bench.export().code(0);
    simulated::topic_arrived(&bench.sink(), "gitlab", iid, Size::default().merge_requests, &sha);
    bench.export().code(0).says("Nothing new");
}

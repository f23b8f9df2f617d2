//! The github integration in the real agent, against the simulator: everything arrives and nothing twice, what is quiet costs
//! a point, and servers that lie, change, fail or have no more budget lose nothing that could be had. The figures of large
//! organisations are the benchmark's (`benches/github.rs`).

use std::collections::BTreeSet;

use github_simulator::{Lie, Options, Repo, Simulator, Size, Told, hmac_sha256};
use serde_json::{Value, json};
use tests::{Bench, Sink, simulated, wait_until};

const TOKEN: &str = "ghp_notarealtoken1234";
const SECRET: &str = "a secret of webhooks";

fn start(size: Size) -> Simulator {
    Simulator::start(Options { size, token: Some(TOKEN.to_owned()), ..Options::default() }).unwrap()
}

/// A bench with the integration and its grants, and more of its configuration.
fn bench(simulator: &Simulator, more: &str) -> Bench {
    let url = simulator.url();
    let bench = Bench::new();
    let repos = bench.path("repos");
    let yaml = format!(
        "root: root\nsink: {{folder: out}}\negress: {{wait: 1s}}\nintegrations:\n  - name: github\n    component: github\n    \
         config: {{url: \"{url}\", organizations: [acme], {more}}}\n    grants:\n      network: [\"{url}\"]\n      \
         private_hosts: [127.0.0.1]\n      git: {{paths: [\"{}\"]}}\n      \
         credentials: {{token: {{file: token, bearer: true, hosts: [127.0.0.1]}}}}\n",
        repos.display()
    );
    std::fs::create_dir(&repos).unwrap();
    bench.write("token", TOKEN);
    bench.config(&yaml)
}

/// Insists that everything has arrived, as it is.
#[track_caller]
fn same(simulator: &Simulator, bench: &Bench) {
    simulated::same(&simulator.truth(), &bench.sink(), "github");
}

#[test]
fn everything_arrives_once_and_what_is_quiet_costs_a_point() {
    let simulator = start(Size::default());
    let bench = bench(&simulator, "git: false");
    bench.export().code(0);
    same(&simulator, &bench);
    simulated::nothing_twice(&bench.sink());
    let first = simulator.ledger().points();
    bench.export().code(0).says("Nothing new");
    assert_eq!(simulator.ledger().points() - first, 1);
    // A comment moves its issue or pull request, and brings that and nothing else.
    simulator.with(|world| {
        world.now += 10;
        let (now, number) = (world.now, *world.repos[0].issues.keys().next().unwrap());
        // By nobody who would come along as a user.
        let comment = github_simulator::Comment { author: None, ..world.comment(now) };
        let thread = world.repos[0].thread_mut(number).unwrap();
        thread.comments.push(comment);
        thread.updated = now;
    });
    let before = bench.sink().count("github");
    bench.export().code(0);
    same(&simulator, &bench);
    assert_eq!(bench.sink().count("github") - before, 2, "the issue and its comment");
}

#[test]
fn what_changes_while_it_is_read_is_there_in_the_end() {
    let simulator = start(Size { issues: 300, pull_requests: 120, comments: 600, ..Size::default() });
    let bench = bench(&simulator, "git: false");
    simulator.change_every(2);
    bench.export().code(0);
    bench.export().code(0);
    simulator.change_every(0);
    bench.export().code(0);
    same(&simulator, &bench);
    bench.export().code(0).says("Nothing new");
}

#[test]
fn a_first_export_that_is_killed_is_gone_on_with() {
    let simulator = start(Size { repositories: 2, issues: 900, pull_requests: 200, ..Size::default() });
    let bench = bench(&simulator, "git: false");
    let running = bench.start(&["export"]);
    wait_until("the export is in the middle", || simulator.ledger().requests >= 20);
    assert!(running.signal("KILL"), "it had ended before");
    assert_eq!(running.code(), -1);
    bench.export().code(0);
    same(&simulator, &bench);
    simulated::nothing_twice(&bench.sink());
    bench.export().code(0).says("Nothing new");
}

/// How a repository fares whose server lies.
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
    Issues,
    PullRequests,
    /// By REST, as the others are not.
    CodeComments,
}

impl About {
    fn model(self) -> &'static str {
        match self {
            About::Issues => "work.Issue",
            About::PullRequests => "sourcecode.PullRequest",
            About::CodeComments => "sourcecode.PullRequestComment",
        }
    }

    /// The lie, told of this repository alone.
    fn told(self, lie: Lie, always: bool, repository: &str) -> Told {
        let tell = if always { Told::always } else { Told::once };
        match self {
            About::Issues => tell(lie, "{ issues(first").and(&format!("\"name\":\"{repository}\"")),
            About::PullRequests => tell(lie, "{ pullRequests(first").and(&format!("\"name\":\"{repository}\"")),
            About::CodeComments => tell(lie, &format!("/{repository}/pulls/comments?")),
        }
    }

    /// The ids that there are.
    fn expected(self, repo: &Repo) -> BTreeSet<String> {
        let thread = |number: &u64| format!("{}/{number}", repo.id);
        match self {
            About::Issues => repo.issues.keys().map(thread).collect(),
            About::PullRequests => repo.pulls.keys().map(thread).collect(),
            About::CodeComments => {
                repo.review_comments.iter().map(|found| format!("PRRC_{}", found.comment.id)).collect()
            }
        }
    }

    /// The ids that have come.
    fn arrived(self, sink: &Sink, repo: &Repo) -> BTreeSet<String> {
        let id = repo.id.to_string();
        let ours = |record: &&Value| {
            record["repo_id"] == id.as_str() && (self != About::CodeComments || record["on_code"] == true)
        };
        let records = &sink.records[&format!("github/{}", self.model())];
        records.iter().filter(ours).map(|record| record["ref_id"].as_str().unwrap().to_owned()).collect()
    }
}

/// Each lie is told to one repository alone, so that one run shows them all.
fn lies() -> Vec<(About, Lie, bool, Fares)> {
    use About::{CodeComments, Issues, PullRequests};
    use Fares::{Fails, LeavesOut, Well};
    let (once, always) = (false, true);
    vec![
        (Issues, Lie::Status(502), once, Well),
        (Issues, Lie::TooMuch(5), always, Well),
        (Issues, Lie::Html, once, Well),
        (Issues, Lie::WrongType, always, Well),
        (Issues, Lie::Truncated, once, Well),
        (Issues, Lie::Short, once, Well),
        (Issues, Lie::Endless, once, Well),
        (Issues, Lie::Slow(200), once, Well),
        (Issues, Lie::Repeat, once, Well),
        (Issues, Lie::Reorder, always, Well),
        (Issues, Lie::Partial, once, Well),
        (Issues, Lie::Skew(18_000), always, Well),
        (Issues, Lie::Unknown("state"), always, Well),
        (Issues, Lie::Huge("body"), once, Well),
        (Issues, Lie::Null("title"), always, LeavesOut("title")),
        (Issues, Lie::Status(503), always, Fails("503")),
        (Issues, Lie::Html, always, Fails("HTML")),
        (Issues, Lie::Cycle, always, Fails("does not end")),
        (Issues, Lie::Nowhere, always, Fails("where /repository/issues goes on")),
        (PullRequests, Lie::Truncated, once, Well),
        (PullRequests, Lie::Repeat, once, Well),
        (PullRequests, Lie::Unknown("state"), always, Well),
        (PullRequests, Lie::Null("url"), always, LeavesOut("url")),
        (PullRequests, Lie::Cycle, always, Fails("does not end")),
        (CodeComments, Lie::WrongType, always, Well),
        (CodeComments, Lie::Huge("body"), once, Well),
        (CodeComments, Lie::Null("created_at"), always, LeavesOut("created_at")),
        (CodeComments, Lie::Html, always, Fails("HTML")),
        (CodeComments, Lie::Truncated, always, Fails("EOF")),
        (CodeComments, Lie::Cycle, always, Fails("the same page again")),
    ]
}

#[test]
fn servers_that_lie_lose_only_what_cannot_be_had_and_that_is_said() {
    let lies = lies();
    let repositories = lies.len() as u64 + 1;
    let (pull_requests, review_comments) = (repositories * 6, repositories * 9);
    let issues = repositories * 8;
    let size = Size { repositories, issues, pull_requests, review_comments, comments: 0, ..Size::default() };
    let simulator = start(size);
    let repos = simulator.with(|world| world.repos.clone());
    let told =
        lies.iter().zip(&repos).map(|((about, lie, always, _), repo)| about.told(lie.clone(), *always, &repo.name));
    simulator.lie(told.collect());
    let bench = bench(&simulator, "git: false");
    bench.export().code(3);
    let (sink, errors) = (bench.sink(), simulated::errors(&bench.sink(), "github"));
    for ((about, lie, _, fares), repo) in lies.iter().zip(&repos) {
        let (expected, arrived) = (about.expected(repo), about.arrived(&sink, repo));
        let error = errors.get(&repo.id.to_string());
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
    let last = repos.last().unwrap();
    assert_eq!(About::Issues.arrived(&sink, last), About::Issues.expected(last), "nobody lied about it");
    assert_eq!(errors.get(&last.id.to_string()), None);
    let log = bench.read("root/logs/integrations/github.log");
    assert!(log.contains("the record says UNKNOWN") && log.contains("texts of more than 1 MiB were cut"), "{log}");
    // Once it tells the truth again, the next run brings what was missing, and what it had named.
    simulator.lie(Vec::new());
    bench.export().code(0);
    let sink = bench.sink();
    for ((about, lie, _, fares), repo) in lies.iter().zip(&repos) {
        // A comment on code comes again when it moves.
        if *about != About::CodeComments || !matches!(fares, Fares::LeavesOut(_)) {
            assert_eq!(about.arrived(&sink, repo), about.expected(repo), "{about:?} {lie:?}");
        }
    }
}

#[test]
fn inner_lists_that_lie_are_named_and_do_not_go_on_for_ever() {
    for (lie, always, said) in [
        (Lie::Html, false, None),
        (Lie::Truncated, false, None),
        (Lie::Status(502), true, Some("more of its comments")),
        (Lie::Cycle, true, Some("its comments do not end")),
    ] {
        let size = Size { repositories: 1, issues: 2, pull_requests: 0, comments: 400, ..Size::default() };
        let simulator = start(Size { review_comments: 0, ..size });
        let tell = if always { Told::always } else { Told::once };
        simulator.lie(vec![tell(lie.clone(), "node(id: ")]);
        let bench = bench(&simulator, "git: false");
        let output = bench.export();
        let errors = simulated::errors(&bench.sink(), "github");
        match said {
            None => {
                output.code(0);
                same(&simulator, &bench);
            }
            Some(text) => {
                output.code(3);
                assert!(errors.values().all(|error| error.contains(text)) && errors.len() == 1, "{lie:?}: {errors:?}");
            }
        }
    }
}

#[test]
fn lists_of_an_account_that_lie_are_named() {
    let simulator = start(Size { repositories: 12, issues: 24, pull_requests: 0, comments: 0, ..Size::default() });
    let repos = simulator.with(|world| world.repos.len());
    let bench = bench(&simulator, "git: false");
    // A repository without a name cannot be asked for, and the others can; who the members are is not to be had at all.
    simulator.lie(vec![
        Told::once(Lie::Html, "repositoryOwner"),
        Told::always(Lie::Null("nameWithOwner"), "repositoryOwner"),
        Told::always(Lie::Status(500), "membersWithRole"),
    ]);
    let report = bench.report(3, &[]);
    assert!(report.to_string().contains("nameWithOwner: invalid type: null"), "{report:#}");
    assert_eq!(bench.sink().records["github/sourcecode.Repo"].len(), repos - 1);
    assert!(bench.read("root/logs/integrations/github.log").contains("members are not to be had"));
    simulator.lie(Vec::new());
    bench.export().code(0);
    same(&simulator, &bench);
}

#[test]
fn lies_about_the_list_of_repositories_delete_nothing() {
    let simulator = start(Size { repositories: 12, issues: 24, pull_requests: 0, comments: 0, ..Size::default() });
    let bench = bench(&simulator, "git: false");
    bench.export().code(0);
    // One repository of twelve is listed: a credential that may see less, rather than eleven deletions.
    simulator.lie(vec![Told::once(Lie::Few, "repositoryOwner")]);
    let report = bench.report(3, &[]);
    assert!(report.to_string().contains("11 sourcecode.Repo of acme"), "{report:#}");
    same(&simulator, &bench);
    simulator.with(|world| world.delete_repo(3));
    bench.export().code(0);
    let sink = bench.sink();
    let gone = sink.records["github/sourcecode.Repo"].iter().filter(|record| record["active"] == false);
    assert_eq!(gone.count(), 1);
}

#[test]
fn a_deleted_issue_is_said_to_have_gone() {
    let simulator = start(Size::default());
    let bench = bench(&simulator, "git: false");
    bench.export().code(0);
    let id = simulator.with(|world| {
        let number = *world.repos[0].issues.keys().nth(3).unwrap();
        assert!(world.delete_issue(0, number));
        format!("{}/{number}", world.repos[0].id)
    });
    bench.export().code(0);
    let sink = bench.sink();
    let gone: Vec<&Value> =
        sink.records["github/work.Issue"].iter().filter(|record| record["active"] == false).collect();
    assert_eq!((gone.len(), gone[0]["ref_id"].as_str()), (1, Some(id.as_str())));
    bench.export().code(0).says("Nothing new");
}

#[test]
fn a_large_deletion_is_believed_where_it_is_accepted_and_once() {
    let size = Size { repositories: 2, issues: 220, pull_requests: 10, comments: 40, ..Size::default() };
    let simulator = start(size);
    let bench = bench(&simulator, "git: false");
    bench.export().code(0);
    let (id, name) = simulator.with(|world| (world.repos[0].id, world.repos[0].full_name()));
    let delete = |count: u64| {
        simulator.with(|world| {
            let numbers: Vec<u64> = world.repos[0].issues.keys().copied().take(count as usize).collect();
            assert!(numbers.iter().all(|number| world.delete_issue(0, *number)));
            numbers.iter().map(|number| format!("{id}/{number}")).collect()
        })
    };
    let before = simulator.ledger().points();
    simulated::accepted_once(&bench, "github", &format!("40 work.Issue of {name}"), delete);
    println!("{} points for eleven runs with two deletions of 40", simulator.ledger().points() - before);
}

#[test]
fn a_large_deletion_of_repositories_is_believed_where_it_is_accepted() {
    let simulator = start(Size { repositories: 30, issues: 60, pull_requests: 0, comments: 0, ..Size::default() });
    let bench = bench(&simulator, "git: false");
    bench.export().code(0);
    let delete = |count: u64| {
        simulator.with(|world| (0..count).map(|_| (world.repos[0].id.to_string(), world.delete_repo(0)).0).collect())
    };
    simulated::accepted_once(&bench, "github", "9 sourcecode.Repo of acme", delete);
}

#[test]
fn a_large_deletion_takes_more_than_one_budget_and_is_gone_on_with() {
    let size = Size { repositories: 1, issues: 900, pull_requests: 0, comments: 0, ..Size::default() };
    let simulator = Simulator::start(Options { size, token: Some(TOKEN.to_owned()), ..Options::default() }).unwrap();
    let bench = bench(&simulator, "git: false, reserve: 0");
    bench.export().code(0);
    let name = simulator.with(|world| {
        let numbers: Vec<u64> = world.repos[0].issues.keys().copied().take(600).collect();
        assert!(numbers.iter().all(|number| world.delete_issue(0, *number)));
        world.repos[0].full_name()
    });
    bench.export().code(3);
    simulated::accept(&bench, &[format!("600 work.Issue of {name}")]);
    // The budget ends after some dozen issues have been asked for, each time.
    let mut runs = 0;
    loop {
        simulator.lie(vec![Told::once(Lie::Spent, "n0: issue(number").after(2)]);
        runs += 1;
        assert!(runs < 20, "it does not come to an end");
        if bench.export().code == 0 {
            break;
        }
        simulator.lie(Vec::new());
        simulator.renew();
    }
    assert!(runs > 2, "it came to an end at once: this shows nothing");
    println!("{runs} runs for 600 issues");
    assert_eq!(simulated::arrived(&bench.sink(), "github")["work.Issue"], simulator.truth()["work.Issue"]);
    simulated::accept(&bench, &[]);
    bench.export().code(0).says("Nothing new");
}

#[test]
fn a_comment_that_was_deleted_is_said_to_have_gone() {
    let simulator = start(Size { repositories: 1, comments: 600, ..Size::default() });
    let bench = bench(&simulator, "git: false");
    bench.export().code(0);
    let delete = |issue: bool| {
        simulator.with(|world| {
            let repo = &world.repos[0];
            let (issues, pulls) = (repo.issues.values(), repo.pulls.values().map(|pull| &pull.thread));
            let mut threads = if issue { issues.collect::<Vec<_>>() } else { pulls.collect() };
            threads.retain(|thread| thread.comments.len() > 2);
            let number = threads[0].number;
            format!("IC_{}", world.delete_comment(0, number).unwrap())
        })
    };
    let (of_issue, of_pull) = (delete(true), delete(false));
    let before = simulator.ledger().points();
    bench.export().code(0);
    println!("{} points for two comments that have gone", simulator.ledger().points() - before);
    same(&simulator, &bench);
    let gone = |model: &str| simulated::gone(&bench.sink(), "github", model);
    assert_eq!(gone("work.IssueComment"), BTreeSet::from([of_issue]));
    assert_eq!(gone("sourcecode.PullRequestComment"), BTreeSet::from([of_pull]));
    bench.export().code(0).says("Nothing new");
    // A server that leaves some out of a list has not deleted them, and neither has one that has lost its tongue.
    for lie in [Lie::Null("/comments/nodes/0"), Lie::Null("/comments/nodes"), Lie::Null("/comments")] {
        simulator.with(|world| (0..30).for_each(|_| world.change_in(0)));
        simulator.lie(vec![Told::always(lie, "(first")]);
        let _ = bench.export();
        simulator.lie(Vec::new());
        let _ = bench.export();
        assert_eq!((gone("work.IssueComment").len(), gone("sourcecode.PullRequestComment").len()), (1, 1));
    }
}

#[test]
fn a_pull_request_that_is_out_of_sight_is_said_to_be_and_comes_back() {
    let simulator = start(Size::default());
    let bench = bench(&simulator, "git: false");
    bench.export().code(0);
    let (number, hidden) = simulator.with(|world| {
        let (number, pull) = world.repos[0].pulls.iter().nth(2).unwrap();
        let (number, pull) = (*number, pull.clone());
        assert!(world.hide_pull(0, number));
        (number, pull)
    });
    bench.export().code(0);
    let gone = || simulated::gone(&bench.sink(), "github", "sourcecode.PullRequest").len();
    assert_eq!(gone(), 1);
    bench.export().code(0).says("Nothing new");
    simulator.with(|world| world.repos[0].pulls.insert(number, hidden));
    bench.export().code(0);
    assert_eq!(gone(), 0);
    same(&simulator, &bench);
}

#[test]
fn a_spent_budget_pauses_and_the_next_hours_bring_the_rest() {
    let size = Size { repositories: 2, issues: 800, pull_requests: 300, ..Size::default() };
    let options = Options { size, token: Some(TOKEN.to_owned()), points: 12, ..Options::default() };
    let simulator = Simulator::start(options).unwrap();
    let bench = bench(&simulator, "git: false, reserve: 0");
    let report = bench.report(3, &[]);
    assert!(report["integrations"][0]["reason"].to_string().contains("paused until"), "{report:#}");
    let mut hours = 1;
    loop {
        simulator.renew();
        hours += 1;
        assert!(hours < 20, "it does not come to an end");
        if bench.export().code == 0 {
            break;
        }
    }
    assert!(hours > 2, "an hour's points were enough: this shows nothing");
    same(&simulator, &bench);
    // Midway is gone on with: hardly more points than in one go.
    assert!(simulator.ledger().points() < 60, "{:?}", simulator.ledger());
}

#[test]
fn secondary_limits_and_bad_credentials_are_told_apart() {
    let simulator = start(Size::default());
    let bench = bench(&simulator, "git: false");
    simulator.lie(vec![Told::once(Lie::Secondary(60), "IssueParts")]);
    let report = bench.report(3, &[]);
    assert!(report["integrations"][0]["reason"].to_string().contains("paused until"), "{report:#}");
    simulator.lie(Vec::new());
    bench.export().code(0);
    same(&simulator, &bench);
    bench.write("token", "ghp_anotherone0000");
    bench.export().code(12);
    bench.run(&["validate-config"]).code(12);
}

#[test]
fn webhooks_are_made_once_and_what_they_tell_of_is_read_anew() {
    let simulator = start(Size::default());
    let more = format!(
        "git: false, webhooks: organization, webhook_url: \"https://hooks.invalid/x\", webhook_secret: {SECRET}"
    );
    let bench = bench(&simulator, &more);
    bench.export().code(0);
    bench.export().code(0).says("Nothing new");
    let hooks = simulator.with(|world| world.hooks.clone());
    assert_eq!((hooks.len(), hooks[0].url.as_str(), hooks[0].secret.as_str()), (1, "https://hooks.invalid/x", SECRET));
    assert!(hooks[0].events.contains(&"pull_request".to_owned()) && !hooks[0].events.contains(&"ping".to_owned()));
    let (repo, number) = simulator.with(|world| {
        let open = world.repos[0].pulls.values().find(|pull| pull.thread.state == "OPEN").unwrap();
        (world.repos[0].id, open.thread.number)
    });
    let data = json!({ "ref_id": format!("{repo}/{number}"), "title": "Said anew" });
    let changed = bench.run(&["mutate", "github", "pull_request.set_title", "--data", &data.to_string(), "--json"]);
    let changed = changed.code(0).json();
    assert_eq!(changed["mutated_objects"]["sourcecode.PullRequest"][0]["title"], "Said anew", "{changed:#}");
    let delivery = simulator.deliveries().pop().unwrap();
    let headers: Vec<String> = delivery.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let hand_over = |body: &[u8]| {
        bench.write("body", body);
        let mut line = vec!["webhook", "github", "--json", "--body", "@body"];
        headers.iter().for_each(|header| line.extend(["--header", header.as_str()]));
        bench.run(&line)
    };
    let taken = hand_over(&delivery.body).code(0).json();
    assert_eq!(taken["mutated_objects"]["sourcecode.PullRequest"][0]["title"], "Said anew", "{taken:#}");
    hand_over(b"{\"forged\": true}").code(12).says("x-hub-signature-256");
    let unsigned = ["webhook", "github", "--header", "x-github-event=ping", "--body", "{}"];
    bench.run(&unsigned).code(12).says("no header");
    bench.run(&[&unsigned[..], &["--vouch"]].concat()).code(0);
    assert_eq!(hmac_sha256(SECRET.as_bytes(), &delivery.body).len(), 64);
    // The record of the webhook is the one that the export sends.
    bench.export().code(0);
    let sent = bench.sink().records["github/sourcecode.PullRequest"].last().cloned();
    assert_eq!(sent.as_ref(), Some(&taken["mutated_objects"]["sourcecode.PullRequest"][0]));
    // Of a comment that was deleted nothing is there to be read, and the webhook says which it was.
    let mut body: Value = serde_json::from_slice(&delivery.body).unwrap();
    body["action"] = "deleted".into();
    body["comment"] = json!({ "id": 7, "node_id": "PRRC_7" });
    let body = body.to_string();
    bench.write("body", &body);
    let line = ["webhook", "github", "--json", "--vouch", "--body", "@body"];
    let event = ["--header", "x-github-event=pull_request_review_comment"];
    let taken = bench.run(&[&line[..], &event[..]].concat()).code(0).json();
    let gone = &taken["mutated_objects"]["sourcecode.PullRequestComment"];
    let gone = gone.as_array().unwrap().iter().find(|comment| comment["ref_id"] == "PRRC_7").unwrap();
    assert_eq!((&gone["active"], &gone["pull_request_ref_id"]), (&json!(false), &json!(format!("{repo}/{number}"))));
}

#[test]
fn mutations_change_the_server_and_say_what_they_could_not() {
    let simulator = start(Size::default());
    let bench = bench(&simulator, "git: false");
    let (repo, open, merged) = simulator.with(|world| {
        let pulls = &world.repos[0].pulls;
        let of = |state: &str| pulls.values().find(|pull| pull.thread.state == state).unwrap().thread.number;
        (world.repos[0].id, of("OPEN"), of("MERGED"))
    });
    let mutate = |name: &str, data: &Value| bench.run(&["mutate", "github", name, "--data", &data.to_string()]);
    let id = format!("{repo}/{open}");
    mutate("pull_request.set_description", &json!({ "ref_id": id, "description": "Why" })).code(0);
    mutate("pull_request.set_status", &json!({ "ref_id": id, "status": "CLOSED" })).code(0);
    mutate("pull_request.add_comment", &json!({ "ref_id": id, "body": "Done" })).code(0).says("PullRequestComment");
    simulator.with(|world| {
        let thread = &world.repos[0].pulls[&open].thread;
        assert_eq!((thread.body.as_str(), thread.state), ("Why", "CLOSED"));
        assert_eq!(thread.comments.last().unwrap().body, "Done");
    });
    let missing = mutate("pull_request.set_title", &json!({ "ref_id": format!("{repo}/999999"), "title": "x" }));
    assert_ne!(missing.code, 0);
    missing.says("there is no pull request");
    let refused = mutate("pull_request.set_status", &json!({ "ref_id": format!("{repo}/{merged}"), "status": "OPEN" }));
    assert_ne!(refused.code, 0);
    refused.says("state is");
}

#[test]
fn the_configuration_is_tried_and_there_is_something_to_choose_from() {
    let simulator = start(Size::default());
    let bench = bench(&simulator, "exclusions: [\"*-1\"]");
    bench.run(&["validate-config"]).code(0).says("Enterprise 3.99.0");
    let list = |kind: &str| bench.run(&["onboard", "github", kind, "--json"]).code(0).json()["data"].clone();
    let members = simulator.with(|world| world.users.iter().filter(|user| user.member).count());
    assert_eq!(list("users").as_array().unwrap().len(), members);
    assert_eq!(list("repos").as_array().unwrap().len(), 2);
    assert_eq!(list("projects")[0]["ref_type"], "github");
    assert_ne!(bench.run(&["onboard", "github", "calendars"]).code, 0);
}

#[test]
fn repositories_go_to_git_with_the_heads_of_their_pull_requests() {
    let simulator = start(Size { repositories: 1, ..Size::default() });
    let name = simulator.with(|world| world.repos[0].name.clone());
    let bench = bench(&simulator, "git_url: \"file://${BENCH}/repos/{name}\"");
    let sha = simulated::topic(&bench, &name);
    let number = simulator.with(|world| {
        let pull = world.repos[0].pulls.values_mut().next().unwrap();
        pull.commits.last_mut().unwrap().sha.clone_from(&sha);
        pull.thread.number
    });
    bench.export().code(0);
    simulated::topic_arrived(&bench.sink(), "github", number, Size::default().pull_requests, &sha);
    bench.export().code(0).says("Nothing new");
}

/// Killed after its host calls and resumed, it has what it has without a kill, neither less nor twice.
#[test]
fn a_killed_export_resumes_and_has_everything_once() {
    let size = Size {
        repositories: 2,
        issues: 6,
        pull_requests: 3,
        comments: 10,
        review_comments: 4,
        users: 6,
        ..Size::default()
    };
    let simulator = start(size);
    let bench = Bench::new();
    bench.write("token", TOKEN);
    let url = format!("url={}", simulator.url());
    let call =
        ["export", &url, "organizations:=[\"acme\"]", "--skip-git", "--allow-asked", "--allow-private", "127.0.0.1"];
    let check = ["--credential", "token=file:token@127.0.0.1", "--resume-check=12"];
    let report = crate::run_wasm::report(&bench, "integration_github", 0, &[&call[..], &check].concat());
    let resume = &report["resume"];
    assert_eq!((&resume["failed"], &resume["not_judged"]), (&json!(0), &json!(0)), "{resume:#}");
    assert_eq!(resume["tried"].as_array().unwrap().len(), 12);
    assert!(resume["records"].as_u64().unwrap() > 40, "{resume:#}");
}

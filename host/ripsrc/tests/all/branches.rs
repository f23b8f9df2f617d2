//! Branches: drawn by hand with what must come out, and random ones judged by `git rev-list`.

use crate::random::{Random, history};
use crate::repo::{Mark, Repo, write};
use ripsrc::{Branch, Oid, Options, Record, Summary};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};

fn branches(repo: &Repo, options: &Options) -> (Vec<Branch>, Summary) {
    let mut branches = vec![];
    let summary = repo
        .open()
        .branches(options, &mut |record| {
            if let Record::Branch(branch) = record {
                branches.push(branch.clone());
            }
            Ok(())
        })
        .unwrap();
    (branches, summary)
}

fn chain(repo: &mut Repo, branch: &str, mut from: Vec<Mark>, count: usize) -> Vec<Mark> {
    (0..count)
        .map(|at| {
            let mark = repo.commit(branch, &from, &[write(&format!("{branch}{at}"), "x\n")]);
            from = vec![mark];
            mark
        })
        .collect()
}

#[test]
fn a_branch_and_where_it_came_from() {
    let mut repo = Repo::new();
    let main = chain(&mut repo, "main", vec![], 4);
    let side = chain(&mut repo, "side", vec![main[1]], 2);
    // Merged back in the middle of the branch's life: both places are candidates, on one line, so the older counts.
    let more = repo.commit("side", &[side[1], main[2]], &[]);
    let orphan = chain(&mut repo, "orphan", vec![], 1);
    let done = chain(&mut repo, "done", vec![main[2]], 2);
    let merge = repo.commit("main", &[main[3], done[1]], &[]);
    repo.import();
    let unknown = ripsrc::Oid::from_hex(&[b'9'; 40]).unwrap();
    let heads = vec![repo.oid(side[0]), unknown, repo.oid(side[0])];
    let (found, summary) = branches(&repo, &Options { pull_requests: heads, ..Options::default() });
    assert_eq!(summary.unknown_heads, [unknown]);
    let names: Vec<_> = found.iter().map(|branch| String::from_utf8_lossy(&branch.name).into_owned()).collect();
    assert_eq!(names, ["main", "done", "orphan", "side", ""]);
    let oids = |marks: &[Mark]| marks.iter().map(|mark| repo.oid(*mark)).collect::<Vec<_>>();

    let default = &found[0];
    assert!(default.is_default && !default.is_merged);
    assert_eq!((default.first_commit, default.commits.len()), (Some(repo.oid(main[0])), 7));

    let done_branch = &found[1];
    assert!(done_branch.is_merged);
    assert_eq!(done_branch.merge_commit, Some(repo.oid(merge)));
    assert_eq!(done_branch.commits, oids(&done));
    assert_eq!(done_branch.branched_from, oids(&[main[2]]));
    assert_eq!((done_branch.ahead, done_branch.behind), (2, 0));

    assert_eq!((found[2].branched_from.len(), found[2].behind, found[2].commits.clone()), (0, 0, oids(&orphan)));

    let side_branch = &found[3];
    assert_eq!(side_branch.branched_from, oids(&[main[1]]));
    assert_eq!(side_branch.commits, oids(&[side[0], side[1], more]));
    assert_eq!((side_branch.ahead, side_branch.behind, side_branch.is_merged), (3, 4, false));

    assert!(found[4].is_pull_request && found[4].commits == oids(&[side[0]]));
}

#[test]
fn a_detached_head_is_a_default_branch_too() {
    let mut repo = Repo::new();
    let main = chain(&mut repo, "main", vec![], 3);
    repo.import();
    repo.git(&["update-ref", "--no-deref", "HEAD", &repo.oid(main[1]).to_string()]);
    repo.git(&["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"]);
    let (found, _) = branches(&repo, &Options::default());
    assert_eq!((found[0].name.as_slice(), found[0].commits.len()), (&b"HEAD"[..], 2));
    assert_eq!((found[1].ahead, found.len()), (1, 2));
    assert_eq!(repo.records(&Options { blame: false, ..Options::default() }).len(), 2);
}

/// What the definitions say, in the plainest way, of the parents that git lists.
struct Oracle {
    parents: HashMap<String, Vec<String>>,
}

impl Oracle {
    fn new(repo: &Repo) -> Self {
        let list = repo.git(&["rev-list", "--parents", "--all", "HEAD"]);
        let line = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            (words.next().unwrap(), words.collect())
        };
        Self { parents: list.lines().map(line).collect() }
    }

    fn reach(&self, from: &str, without: Option<&str>) -> HashSet<String> {
        let (mut seen, mut open) = (HashSet::new(), vec![from.to_owned()]);
        while let Some(commit) = open.pop() {
            if Some(commit.as_str()) != without && seen.insert(commit.clone()) {
                open.extend(self.parents[&commit].iter().cloned());
            }
        }
        seen
    }
}

fn texts(oids: &[Oid]) -> Vec<String> {
    oids.iter().map(ToString::to_string).collect()
}

fn sorted(list: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut list: Vec<String> = list.into_iter().collect();
    list.sort();
    list
}

/// Compares a branch with what git says of its head, and with the definitions where git has no word for it.
fn check(repo: &Repo, oracle: &Oracle, default: &str, branch: &Branch) {
    let head = branch.head.to_string();
    let at = format!("{} {head}", branch.name.escape_ascii());
    let list = |range: &str| sorted(repo.git(&["rev-list", range]).lines().map(str::to_owned));
    let is_ancestor =
        |a: &str, b: &str| repo.command().args(["merge-base", "--is-ancestor", a, b]).status().unwrap().success();
    let merged = is_ancestor(&head, default);
    assert_eq!(branch.is_merged, merged, "{at}");
    let outside = oracle.reach(default, (merged && head != default).then_some(&head));
    let own: HashSet<String> = oracle.reach(&head, None).difference(&outside).cloned().collect();
    if !merged {
        assert_eq!(sorted(own.clone()), list(&format!("{default}..{head}")), "{at}");
    }
    let told = texts(&branch.commits);
    assert_eq!(sorted(told.clone()), sorted(own.clone()), "{at}");
    assert_eq!((branch.ahead as usize, branch.first_commit), (own.len(), branch.commits.first().copied()), "{at}");
    for (place, commit) in told.iter().enumerate() {
        let later = oracle.parents[commit].iter().filter(|parent| own.contains(*parent));
        assert!(later.clone().all(|parent| told[..place].contains(parent)), "{at}: the oldest come first");
    }
    let candidates: HashSet<String> = own
        .iter()
        .flat_map(|commit| &oracle.parents[commit])
        .filter(|parent| !own.contains(*parent))
        .cloned()
        .collect();
    let oldest = candidates
        .iter()
        .filter(|one| !candidates.iter().any(|other| other != *one && is_ancestor(other, one)))
        .cloned();
    let oldest = sorted(oldest);
    assert_eq!(texts(&branch.branched_from), oldest, "{at}");
    let behind = if merged || candidates.is_empty() { 0 } else { list(&format!("{head}..{default}")).len() };
    assert_eq!(branch.behind as usize, behind, "{at}");
    let reached = oracle.reach(default, None);
    let children = oracle.parents.iter().filter(|(child, parents)| parents.contains(&head) && reached.contains(*child));
    let first = children.map(|(child, _)| child.clone()).min().filter(|_| merged);
    assert_eq!(branch.merge_commit.map(|oid| oid.to_string()), first, "{at}");
    let ids = |from: &str| {
        let sum = Sha256::digest([&branch.name, from.as_bytes()].concat());
        sum.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    match oldest.as_slice() {
        [] => assert_eq!(branch.id, ids(""), "{at}"),
        some => assert!(some.iter().any(|from| branch.id == ids(from)), "{at}"),
    }
}

fn check_all(repo: &Repo, pull_requests: &[Oid]) {
    let options = Options { pull_requests: pull_requests.to_vec(), ..Options::default() };
    let (found, summary) = branches(repo, &options);
    assert!(summary.unknown_heads.is_empty());
    let oracle = Oracle::new(repo);
    let default = repo.git(&["rev-parse", "HEAD"]);
    let names = repo.git(&["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads"]);
    let main = repo.git(&["symbolic-ref", "--short", "HEAD"]);
    let mut expected: Vec<&str> = names.lines().filter(|name| *name != main).collect();
    expected.insert(0, &main);
    let told: Vec<String> = found.iter().map(|branch| String::from_utf8_lossy(&branch.name).into_owned()).collect();
    let named = told.iter().filter(|name| !name.is_empty()).map(String::as_str).collect::<Vec<_>>();
    assert_eq!(named, expected);
    let different: HashSet<&Oid> = pull_requests.iter().collect();
    assert_eq!(found.iter().filter(|branch| branch.is_pull_request).count(), different.len());
    assert!(found[0].is_default && found[1..].iter().all(|branch| !branch.is_default));
    let all = sorted(repo.git(&["rev-list", "HEAD"]).lines().map(str::to_owned));
    assert_eq!(sorted(texts(&found[0].commits)), all);
    for branch in &found[1..] {
        check(repo, &oracle, &default, branch);
    }
}

#[test]
fn random_branches_agree_with_git() {
    for seed in 20..32 {
        let mut repo = Repo::new();
        let marks = history(&mut repo, seed, 60);
        repo.import();
        repo.git(&["symbolic-ref", "HEAD", "refs/heads/b0"]);
        let mut random = Random::new(seed);
        for at in 0..12 {
            let oid = repo.oid(marks[random.below(marks.len())]);
            repo.git(&["update-ref", &format!("refs/heads/at/{at}"), &oid.to_string()]);
        }
        let pulls: Vec<Oid> = (0..6).map(|_| repo.oid(marks[random.below(marks.len())])).collect();
        check_all(&repo, &pulls);
    }
}

/// Each graph of the definitions, drawn: what is asked of git is the same as for the random ones.
#[test]
fn drawn_branches_agree_with_git() {
    let draw = |script: &dyn Fn(&mut Repo)| {
        let mut repo = Repo::new();
        script(&mut repo);
        repo.import();
        check_all(&repo, &[]);
    };
    // At the default branch's head, at an old commit of it, at its root; ahead of it, with nothing between.
    draw(&|repo| {
        let main = chain(repo, "main", vec![], 5);
        repo.reset("same", main[4]);
        repo.reset("old", main[2]);
        repo.reset("root", main[0]);
        chain(repo, "ahead", vec![main[4]], 3);
    });
    // Candidates on one line and on parallel lines.
    draw(&|repo| {
        let main = chain(repo, "main", vec![], 2);
        let left = chain(repo, "left", vec![main[1]], 2);
        let right = chain(repo, "right", vec![main[1]], 2);
        let merge = repo.commit("main", &[left[1], right[1]], &[]);
        let line = repo.commit("line", &[main[0]], &[]);
        repo.commit("line", &[line, left[1]], &[]);
        let both = repo.commit("both", &[left[0]], &[]);
        let both = repo.commit("both", &[both, right[0]], &[]);
        repo.commit("both", &[both, merge], &[]);
        let octopus = repo.commit("octopus", &[left[0], right[0], main[0]], &[]);
        repo.commit("octopus", &[octopus], &[write("o", "o\n")]);
    });
    // Merged, merged twice, merged into a branch that was merged, merged and gone on, fast-forwarded.
    draw(&|repo| {
        let main = chain(repo, "main", vec![], 3);
        let once = chain(repo, "once", vec![main[0]], 2);
        let twice = chain(repo, "twice", vec![main[1]], 2);
        let inner = chain(repo, "inner", vec![twice[0]], 2);
        let outer = repo.commit("outer", &[twice[1], inner[1]], &[]);
        let a = repo.commit("main", &[main[2], once[1]], &[]);
        let b = repo.commit("main", &[a, twice[0]], &[]);
        let c = repo.commit("main", &[b, outer], &[]);
        let d = repo.commit("main", &[c, twice[1]], &[]);
        let more = chain(repo, "more", vec![once[1]], 2);
        let forward = chain(repo, "forward", vec![d], 2);
        let e = repo.commit("main", &[forward[1], main[0]], &[]);
        repo.commit("back", &[more[1], e], &[]);
    });
    // Unrelated roots, merged and not; default with several roots.
    draw(&|repo| {
        let main = chain(repo, "main", vec![], 3);
        let alone = chain(repo, "alone", vec![], 3);
        let joined = chain(repo, "joined", vec![], 2);
        let merge = repo.commit("main", &[main[2], joined[1]], &[]);
        repo.commit("half", &[alone[1], merge], &[]);
        repo.commit("deep", &[alone[0], joined[0]], &[]);
    });
}

#[test]
fn without_a_default_branch_all_commits_are_a_branchs_own() {
    let mut repo = Repo::new();
    let other = chain(&mut repo, "other", vec![], 3);
    repo.import();
    let heads = repo.open().heads().unwrap();
    assert_eq!((heads.default.as_deref(), heads.head, heads.branches.len()), (Some(&b"main"[..]), None, 1));
    let (found, _) = branches(&repo, &Options { pull_requests: vec![repo.oid(other[1])], ..Options::default() });
    let told: Vec<_> =
        found.iter().map(|b| (b.name.as_slice(), b.is_default, b.is_merged, b.ahead, b.behind)).collect();
    assert_eq!(told, [(&b"other"[..], false, false, 3, 0), (&b""[..], false, false, 2, 0)]);
}

#[test]
fn heads_and_messages_are_told() {
    let mut repo = Repo::new();
    let main = chain(&mut repo, "main", vec![], 2);
    repo.import();
    repo.git(&["-c", "user.name=a", "-c", "user.email=a@b", "tag", "-a", "-m", "t", "v1", "main"]);
    repo.git(&["update-ref", "refs/heads/tagged", "refs/tags/v1^{}"]);
    let opened = repo.open();
    let heads = opened.heads().unwrap();
    let tip = repo.oid(main[1]);
    assert_eq!((heads.default.as_deref(), heads.head), (Some(&b"main"[..]), Some(tip)));
    assert_eq!(heads.branches, [(b"main".to_vec(), tip), (b"tagged".to_vec(), tip)]);
    assert!(opened.has_commit(&tip));
    for other in ["v1", "main^{tree}"] {
        let oid = ripsrc::Oid::from_hex(repo.git(&["rev-parse", other]).as_bytes()).unwrap();
        assert!(!opened.has_commit(&oid), "{other}");
    }
    let raw = repo.git(&["log", "-1", "--format=%B", "main"]);
    assert_eq!(opened.messages().of(tip).unwrap().trim_end(), raw);
}

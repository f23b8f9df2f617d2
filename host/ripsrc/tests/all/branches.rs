//! Branches: drawn by hand with what must come out, and random ones judged by `git rev-list`.

use crate::random::history;
use crate::repo::{Mark, Repo, write};
use ripsrc::{Branch, Options, Record, Summary};

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

#[test]
fn random_branches_agree_with_rev_list() {
    for seed in 20..26 {
        let mut repo = Repo::new();
        history(&mut repo, seed, 60);
        repo.import();
        repo.git(&["symbolic-ref", "HEAD", "refs/heads/b0"]);
        let (found, _) = branches(&repo, &Options::default());
        let list = |args: &[&str]| {
            let mut list: Vec<String> = repo.git(args).lines().map(str::to_owned).collect();
            list.sort();
            list
        };
        for branch in found {
            let name = String::from_utf8(branch.name.clone()).unwrap();
            let mut commits: Vec<String> = branch.commits.iter().map(ToString::to_string).collect();
            commits.sort();
            if branch.is_default {
                assert_eq!(commits, list(&["rev-list", &name]));
            } else if !branch.is_merged {
                assert_eq!(commits, list(&["rev-list", &format!("b0..{name}")]), "seed {seed}");
                if !branch.branched_from.is_empty() {
                    assert_eq!(branch.behind, list(&["rev-list", &format!("{name}..b0")]).len() as u64);
                }
            }
            let is_merged = repo.command().args(["merge-base", "--is-ancestor", &name, "b0"]).status().unwrap();
            assert_eq!(branch.is_merged || branch.is_default, is_merged.success());
        }
    }
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

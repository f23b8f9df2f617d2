//! Where a run begins and where its objects come from: HEAD, refs, work trees, borrowed and replaced objects, formats.
//! Git is asked for the same on the same repository.

use crate::hostile::{clone, object};
use crate::repo::{Mark, Repo, lines, write};
use ripsrc::{OpenError, Options, Record, Repository, RunError, Scope};
use std::path::Path;
use std::process::Command;

fn git(path: &Path, args: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.current_dir(path).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    let output = command.args(["-c", "safe.directory=*", "-c", "advice.graftFileDeprecated=false"]).args(args).output();
    let output = output.unwrap();
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// The commits of a run with their parents, sorted.
fn commits(path: &Path, scope: Scope) -> Result<Vec<String>, String> {
    let mut commits = vec![];
    let take = &mut |record: Record<'_>| {
        if let Record::Commit(commit) = record {
            let all: Vec<String> =
                std::iter::once(&commit.sha).chain(commit.parents).map(ToString::to_string).collect();
            commits.push(all.join(" "));
        }
        Ok(())
    };
    let repository = Repository::open(path).map_err(|error| error.to_string())?;
    repository.code(&Options { scope, ..Options::default() }, take).map_err(|error| format!("{error:?}"))?;
    commits.sort();
    Ok(commits)
}

fn asked(path: &Path, args: &[&str]) -> Vec<String> {
    let args: Vec<&str> = ["rev-list", "--parents"].iter().chain(args).copied().collect();
    let mut list: Vec<String> = git(path, &args).unwrap_or_default().lines().map(str::to_owned).collect();
    list.sort();
    list
}

fn agree(path: &Path) {
    assert_eq!(commits(path, Scope::Head).unwrap(), asked(path, &["HEAD"]), "HEAD");
    let all = asked(path, &["HEAD", "--branches"]);
    assert!(!all.is_empty());
    assert_eq!(commits(path, Scope::AllBranches).unwrap(), all, "all branches");
}

fn two_branches() -> (Repo, [Mark; 3]) {
    let mut repo = Repo::new();
    let a = repo.commit("main", &[], &[write("f", lines("x", 30))]);
    let b = repo.commit("main", &[a], &[write("f", lines("x", 33))]);
    let c = repo.commit("side/deep/er", &[a], &[write("g", lines("y", 5))]);
    repo.import();
    (repo, [a, b, c])
}

#[test]
fn refs_of_all_kinds() {
    let (repo, [a, _, c]) = two_branches();
    agree(repo.path());
    let oid = |mark| repo.oid(mark).to_string();
    repo.git(&["-c", "user.name=A", "-c", "user.email=a@b", "tag", "-am", "tag", "v1", &oid(a)]);
    repo.git(&["-c", "user.name=A", "-c", "user.email=a@b", "tag", "-am", "tag of a tag", "v2", "v1"]);
    repo.git(&["pack-refs", "--all"]);
    agree(repo.path());
    // A loose ref covers a packed one, a symbolic one is followed, through several, and a circle leads nowhere.
    repo.git(&["update-ref", "refs/heads/main", &oid(a)]);
    repo.git(&["symbolic-ref", "refs/heads/link", "refs/heads/side/deep/er"]);
    repo.git(&["symbolic-ref", "refs/heads/link2", "refs/heads/link"]);
    repo.git(&["symbolic-ref", "refs/heads/round", "refs/heads/about"]);
    repo.git(&["symbolic-ref", "refs/heads/about", "refs/heads/round"]);
    repo.git(&["symbolic-ref", "refs/heads/nowhere", "refs/heads/none"]);
    repo.git(&["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"]);
    agree(repo.path());
    repo.git(&["symbolic-ref", "HEAD", "refs/heads/link2"]);
    agree(repo.path());
    repo.git(&["update-ref", "--no-deref", "HEAD", &oid(c)]);
    agree(repo.path());
    // Names that are no refs, files that are no names.
    std::fs::write(repo.path().join("refs/heads/garbage"), "nothing\n").unwrap();
    std::fs::write(repo.path().join("refs/heads/cut"), &oid(a)[..20]).unwrap();
    std::fs::write(repo.path().join("refs/heads/longer"), oid(a) + "0\n").unwrap();
    std::fs::write(repo.path().join("refs/heads/empty"), "").unwrap();
    std::fs::write(repo.path().join("refs/heads/main"), format!("{} and more\n", oid(c))).unwrap();
    assert_eq!(commits(repo.path(), Scope::AllBranches).unwrap(), asked(repo.path(), &["HEAD", "main"]));
}

#[test]
fn heads_that_name_nothing() {
    let (repo, _) = two_branches();
    repo.git(&["symbolic-ref", "HEAD", "refs/heads/unborn"]);
    assert_eq!(commits(repo.path(), Scope::Head), Ok(vec![]));
    assert_eq!(commits(repo.path(), Scope::AllBranches).unwrap(), asked(repo.path(), &["--branches"]));
    assert_eq!(repo.open().branches(&Options::default(), &mut |_| Ok(())).unwrap().commits, 0);
    std::fs::write(repo.path().join("HEAD"), "garbage\n").unwrap();
    let result = repo.open().code(&Options::default(), &mut |_| Ok(()));
    assert!(matches!(result, Err(RunError::NoHead)), "{result:?}");
    std::fs::remove_file(repo.path().join("HEAD")).unwrap();
    assert!(matches!(Repository::open(repo.path()), Err(OpenError::NotARepository(_))));
    assert!(git(repo.path(), &["rev-parse", "--git-dir"]).is_none(), "nor is it one for git");
    let empty = Repo::new();
    assert_eq!(commits(empty.path(), Scope::AllBranches), Ok(vec![]));
}

#[cfg(unix)]
#[test]
fn links_in_the_place_of_refs() {
    use std::os::unix::fs::symlink;
    let (repo, [_, _, c]) = two_branches();
    symlink("refs/heads/side/deep/er", repo.path().join("refs/heads/old")).unwrap();
    std::fs::remove_file(repo.path().join("HEAD")).unwrap();
    symlink("refs/heads/side/deep/er", repo.path().join("HEAD")).unwrap();
    agree(repo.path());
    assert!(commits(repo.path(), Scope::Head).unwrap().iter().any(|line| line.starts_with(&repo.oid(c).to_string())));
    // Two folders that lead into themselves: whoever enters them never comes back.
    symlink("..", repo.path().join("refs/heads/up")).unwrap();
    symlink("../heads", repo.path().join("refs/heads/self")).unwrap();
    assert!(Command::new("mkfifo").arg(repo.path().join("refs/heads/pipe")).status().unwrap().success());
    assert_eq!(commits(repo.path(), Scope::AllBranches).unwrap().len(), 3);
}

/// Somebody else's repository is read: nothing of it is run, so it cannot do anything. Git wants to be told.
#[cfg(unix)]
#[test]
fn somebody_elses_repository() {
    let (repo, _) = two_branches();
    let expected = commits(repo.path(), Scope::AllBranches).unwrap();
    let mut all = vec![];
    crate::hostile::files(repo.path(), &mut all);
    all.push(repo.path().to_owned());
    // Only root may give files away; for others there is nothing to try.
    if all.iter().all(|path| std::os::unix::fs::chown(path, Some(12_345), Some(12_345)).is_ok()) {
        assert!(!repo.command().args(["log", "-1"]).output().unwrap().status.success(), "git refuses it");
        assert_eq!(commits(repo.path(), Scope::AllBranches).unwrap(), expected);
    }
}

#[test]
fn work_trees() {
    let (repo, _) = two_branches();
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("a tree");
    repo.git(&["worktree", "add", "-q", tree.to_str().unwrap(), "side/deep/er"]);
    agree(&tree);
    let cloned = folder.path().join("clone");
    git(folder.path(), &["clone", "-q", repo.path().to_str().unwrap(), cloned.to_str().unwrap()]).unwrap();
    agree(&cloned);
    // A work tree of it, with a relative path and objects of its own.
    git(&cloned, &["worktree", "add", "-q", "--detach", "../other"]).unwrap();
    agree(&folder.path().join("other"));
    git(&cloned, &["init", "-q", "--separate-git-dir", "../apart"]).unwrap();
    agree(&cloned);
    std::fs::write(cloned.join(".git"), "gitdir: ../nowhere\n").unwrap();
    assert!(matches!(Repository::open(&cloned), Err(OpenError::NotARepository(_))));
    std::fs::write(cloned.join(".git"), "nonsense").unwrap();
    assert!(matches!(Repository::open(&cloned), Err(OpenError::NotARepository(_))));
}

/// Relative, quoted, nested and circular lists of stores to borrow from, with lines that lead nowhere.
#[test]
fn borrowed_objects() {
    let (repo, _) = two_branches();
    let folder = tempfile::tempdir().unwrap();
    let shared = |from: &Path, name: &str| {
        let to = folder.path().join(name);
        git(from, &["clone", "-q", "--bare", "--shared", ".", to.to_str().unwrap()]).unwrap();
        to
    };
    let first = shared(repo.path(), "first");
    let mut last = first.clone();
    for name in ["second \"quoted\"", "third", "fourth"] {
        last = shared(&last, name);
        // Each borrows from the one before alone.
        let list = last.join("objects/info/alternates");
        let before = std::fs::read_to_string(&list).unwrap().lines().next().unwrap().to_owned();
        std::fs::write(list, before + "\n").unwrap();
    }
    agree(&last);
    let relative = r#""../../second \"quoted\"/obj\145cts""#;
    std::fs::write(last.join("objects/info/alternates"), format!("# one\n\n{relative}\n../../none\n")).unwrap();
    agree(&last);
    std::fs::write(first.join("objects/info/alternates"), format!("{}\n", last.join("objects").display())).unwrap();
    let store = repo.path().join("objects").display().to_string();
    std::fs::write(last.join("objects/info/alternates"), format!("../../first/objects\n{store}\n")).unwrap();
    agree(&first);
    let mut deep = last;
    for at in 0..7 {
        deep = shared(&deep, &format!("deep{at}"));
        let list = deep.join("objects/info/alternates");
        let before = std::fs::read_to_string(&list).unwrap().lines().next().unwrap().to_owned();
        std::fs::write(list, before + "\n").unwrap();
    }
    assert_eq!(commits(&deep, Scope::Head).is_ok(), git(&deep, &["rev-list", "HEAD"]).is_some());
}

#[test]
fn packs_of_all_kinds() {
    let mut repo = Repo::new();
    let mut before = vec![];
    for at in 0..6 {
        let mark = repo.commit("main", &before, &[write("f", lines("x", 200 + at)), write(&format!("g{at}"), "y\n")]);
        before = vec![mark];
        repo.import();
        if at % 2 == 0 {
            repo.git(&["repack", "-dq"]);
        }
    }
    repo.agree_on(20, 1.0);
    repo.git(&["-c", "pack.indexVersion=1", "repack", "-dq"]);
    repo.git(&["multi-pack-index", "write", "--bitmap"]);
    repo.git(&["commit-graph", "write", "--reachable"]);
    repo.agree_on(20, 1.0);
    // Offsets that need eight bytes, as in packs of more than 2 GiB.
    repo.git(&["repack", "-adfq"]);
    let pack = std::fs::read_dir(repo.path().join("objects/pack")).unwrap().flatten();
    let pack = pack.map(|entry| entry.path()).find(|path| path.extension() == Some("pack".as_ref())).unwrap();
    let index = pack.with_extension("idx");
    std::fs::remove_file(&index).unwrap();
    repo.git(&["index-pack", "--index-version=2,0x40", "-o", index.to_str().unwrap(), pack.to_str().unwrap()]);
    repo.agree_on(20, 1.0);
    // Deltas that name their base instead of its offset, and half a pack that a broken fetch left behind.
    repo.git(&["-c", "repack.useDeltaBaseOffset=false", "repack", "-adfq"]);
    repo.agree_on(20, 1.0);
    std::fs::write(repo.path().join("objects/pack/tmp_pack_x"), "PACK").unwrap();
    std::fs::write(repo.path().join("objects/pack/pack-x.pack"), "PACK").unwrap();
    repo.agree_on(20, 1.0);
}

/// The commits, trees and contents that `git replace` puts in the place of others, and grafts: git reads them so.
#[test]
fn replaced_objects_and_grafts() {
    let mut repo = Repo::new();
    let a = repo.commit("main", &[], &[write("f", lines("x", 30))]);
    let b = repo.commit("main", &[a], &[write("f", lines("x", 33))]);
    let c = repo.commit("main", &[b], &[write("f", lines("x", 36)), write("g", "g\n")]);
    let other = repo.commit("other", &[], &[write("f", lines("x", 20))]);
    repo.import();
    let oid = |mark| repo.oid(mark).to_string();
    let plain = commits(repo.path(), Scope::Head).unwrap();
    repo.git(&["replace", "--graft", &oid(a), &oid(other)]);
    agree(repo.path());
    repo.agree_on(9, 1.0);
    assert_ne!(commits(repo.path(), Scope::Head).unwrap(), plain);
    let blob = object(&repo, "blob", (lines("x", 36) + "one more\n").as_bytes());
    repo.git(&["replace", "-f", &repo.git(&["rev-parse", "main:f"]), &blob]);
    repo.agree_on(9, 1.0);
    repo.git(&["replace", "-d", &oid(a)]);
    std::fs::create_dir_all(repo.path().join("info")).unwrap();
    let grafts = format!(
        "# one\n{} {}\n{c} {a}\nnonsense\n{b} nonsense\n",
        oid(a),
        oid(other),
        c = oid(c),
        a = oid(a),
        b = oid(b)
    );
    std::fs::write(repo.path().join("info/grafts"), grafts).unwrap();
    agree(repo.path());
    repo.agree_on(9, 1.0);
    // Replaced in a circle: git refuses to go on, here it is told and the object itself read.
    std::fs::remove_file(repo.path().join("info/grafts")).unwrap();
    for (from, to) in [(b, c), (c, b)] {
        std::fs::write(repo.path().join("refs/replace").join(oid(from)), oid(to) + "\n").unwrap();
    }
    assert!(git(repo.path(), &["rev-list", "main"]).is_none());
    assert_eq!(commits(repo.path(), Scope::Head).unwrap(), plain);
    let summary = repo.open().code(&Options::default(), &mut |_| Ok(())).unwrap();
    assert!(summary.store_faults.iter().any(|fault| fault.to_string().contains("replaced")));
}

#[test]
fn shallow_at_several_places() {
    let mut repo = Repo::new();
    let a = repo.commit("main", &[], &[write("f", lines("x", 30))]);
    let b = repo.commit("main", &[a], &[write("f", lines("x", 31))]);
    let side = repo.commit("side", &[a], &[write("g", lines("y", 31))]);
    let c = repo.commit("main", &[b, side], &[write("f", lines("x", 32)), write("g", lines("y", 31))]);
    let d = repo.commit("main", &[c], &[write("f", lines("x", 33))]);
    repo.commit("main", &[d], &[write("g", lines("y", 34))]);
    repo.import();
    for depth in ["1", "2", "3", "4"] {
        let shallow = clone(&repo, &["--depth", depth, "--no-single-branch"]);
        agree(shallow.path());
        let repository = Repository::open(shallow.path()).unwrap();
        let report = repository.validate(&Repo::options(), 9, 1).unwrap();
        assert!(report.files > 0 && report.differences.is_empty(), "{report:?}");
        let summary = repository.code(&Options::default(), &mut |_| Ok(())).unwrap();
        let file = std::fs::read_to_string(shallow.path().join("shallow")).unwrap();
        assert_eq!(summary.shallow.len(), file.lines().count());
    }
}

/// What is not known is refused and not guessed, wherever git refuses it too.
#[test]
fn formats_that_are_not_known() {
    let (repo, _) = two_branches();
    let config = repo.path().join("config");
    let good = std::fs::read_to_string(&config).unwrap();
    let set = |text: &str| std::fs::write(&config, good.replace("repositoryformatversion = 0", text)).unwrap();
    for text in [
        "repositoryformatversion = 1",
        "repositoryformatversion = 1\n[extensions] objectFormat = sha1 # so it is\n[core]",
        "repositoryformatversion = 1\n[Extensions]\n\tpreciousObjects = true\n; no\n[core]",
        "repositoryformatversion = 0\n[extensions]\n\tunheardof = true\n[core]",
    ] {
        set(text);
        agree(repo.path());
    }
    for text in ["repositoryformatversion = 2", "repositoryformatversion = 1\n[extensions]\n\tunheardof = true\n[core]"]
    {
        set(text);
        assert!(git(repo.path(), &["rev-list", "HEAD"]).is_none(), "git refuses {text}");
        assert!(matches!(Repository::open(repo.path()), Err(OpenError::Format { .. })), "{text}");
    }
    set("repositoryformatversion = 1\n[extensions]\n\tobjectformat = sha3\n[core]");
    assert!(matches!(Repository::open(repo.path()), Err(OpenError::ObjectFormat { .. })));
    let folder = tempfile::tempdir().unwrap();
    // Git before 2.45 doesn't know the format, and then nobody can make such a repository.
    if git(folder.path(), &["init", "-q", "--ref-format=reftable", "."]).is_some() {
        let error = Repository::open(folder.path()).err().unwrap();
        assert!(matches!(error, OpenError::Reftable(_)), "{error}");
        assert!(error.to_string().contains("git refs migrate"), "{error}");
    }
}

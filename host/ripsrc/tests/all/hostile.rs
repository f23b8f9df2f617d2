//! Repositories that are incomplete, damaged or made to hurt. Whatever they hold: a typed error or a truthful answer.

use crate::random::{Random, history};
use crate::repo::{Do, Repo, lines, write};
use ripsrc::{Options, Record, Repository, RunError, Scope, Summary};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

pub fn run(path: &Path, options: &Options) -> Result<Summary, String> {
    let repository = Repository::open(path).map_err(|error| error.to_string())?;
    let summary = repository.code(options, &mut |_| Ok(())).map_err(|error| format!("{error:?}"));
    let branches = repository.branches(options, &mut |_| Ok(())).map_err(|error| format!("{error:?}"));
    branches.and(summary)
}

pub fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() { files(&entry.path(), out) } else { out.push(entry.path()) }
    }
    out.sort();
}

pub fn copy(from: &Path, to: &Path) {
    let mut all = vec![];
    files(from, &mut all);
    for file in all {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        let _ = std::fs::remove_file(&target);
        std::fs::write(&target, std::fs::read(&file).unwrap()).unwrap();
    }
}

/// Bytes of any file of a repository change, or files are cut: nothing panics, and both outcomes are met.
#[test]
fn damaged_repositories() {
    let (mut good, mut bad) = (0, 0);
    for packed in [true, false] {
        let mut repo = Repo::new();
        history(&mut repo, 60, 25);
        repo.import();
        repo.git(&["symbolic-ref", "HEAD", "refs/heads/b0"]);
        if packed {
            repo.git(&["repack", "-adfq"]);
            repo.git(&["pack-refs", "--all"]);
        } else {
            // All objects loose.
            let pack = repo.git(&["count-objects", "-v"]);
            assert!(pack.contains("packs"));
            let folder = tempfile::tempdir().unwrap();
            let mut packs = vec![];
            files(&repo.path().join("objects/pack"), &mut packs);
            for file in packs {
                std::fs::rename(&file, folder.path().join(file.file_name().unwrap())).unwrap();
                let moved = folder.path().join(file.file_name().unwrap());
                if moved.extension() == Some("pack".as_ref()) {
                    let input = std::fs::File::open(&moved).unwrap();
                    assert!(repo.command().args(["unpack-objects", "-q"]).stdin(input).status().unwrap().success());
                }
            }
        }
        let mut all = vec![];
        files(repo.path(), &mut all);
        let mut random = Random::new(if packed { 1 } else { 2 });
        for _ in 0..if packed { 150 } else { 60 } {
            let folder = tempfile::tempdir().unwrap();
            copy(repo.path(), folder.path());
            // Every other time the pack or its index.
            let large: Vec<&PathBuf> = all.iter().filter(|file| file.to_string_lossy().contains("pack-")).collect();
            let file = match random.below(2) {
                0 if !large.is_empty() => large[random.below(large.len())],
                _ => &all[random.below(all.len())],
            };
            let file = folder.path().join(file.strip_prefix(repo.path()).unwrap());
            let mut bytes = std::fs::read(&file).unwrap();
            for _ in 0..=random.below(4) {
                if bytes.is_empty() {
                    continue;
                }
                let at = random.below(bytes.len());
                match random.below(6) {
                    0 => bytes.truncate(at),
                    1 => bytes.insert(at, random.below(256) as u8),
                    _ => bytes[at] = random.below(256) as u8,
                }
            }
            std::fs::write(&file, bytes).unwrap();
            for scope in [Scope::Head, Scope::AllBranches] {
                match run(folder.path(), &Options { scope, threads: 2, ..Options::default() }) {
                    Ok(summary) if summary.unreadable.is_empty() => good += 1,
                    _ => bad += 1,
                }
            }
        }
    }
    assert!(good > 20 && bad > 20, "{good} whole, {bad} not");
}

/// Writes any bytes as an object.
pub fn object(repo: &Repo, kind: &str, bytes: &[u8]) -> String {
    let mut child = repo
        .command()
        .args(["hash-object", "-w", "--literally", "-t", kind, "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

pub fn entry(mode: &str, name: &[u8], oid: &str) -> Vec<u8> {
    let raw = (0..20).map(|at| u8::from_str_radix(&oid[2 * at..2 * at + 2], 16).unwrap());
    [mode.as_bytes(), b" ", name, b"\0"].concat().into_iter().chain(raw).collect()
}

fn set(repo: &Repo, tree: &str, commit: &str) {
    let text = commit.replace("TREE", tree);
    let oid = object(repo, "commit", text.as_bytes());
    std::fs::write(repo.path().join("refs/heads/main"), format!("{oid}\n")).unwrap();
}

#[test]
fn malformed_commits_and_trees() {
    let repo = Repo::new();
    let blob = object(&repo, "blob", b"one\ntwo\n");
    let good = "author A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nm\n";
    let plain = object(&repo, "tree", &entry("100644", b"f", &blob));
    for commit in [
        "tree TREE\nauthor A <a@b> 1313584730 +518:00\ncommitter A <a@b> 1313584730 -99:99:99\n\nm\n",
        "tree TREE\n",
        "tree TREE\nauthor <<<>>> x y\ncommitter\n\n",
        "tree TREE\nauthor A <a@b> 99999999999999999999999 +0000\ncommitter A <a@b> -9223372036854775808 -2400\n\n\n\n",
    ] {
        set(&repo, &plain, commit);
        let summary = run(repo.path(), &Options::default()).unwrap();
        assert_eq!((summary.commits, summary.files), (1, 1), "{commit}");
    }
    for commit in ["", "parent x\n\nm", "tree 0000\n\nm"] {
        set(&repo, &plain, commit);
        assert!(run(repo.path(), &Options::default()).unwrap_err().contains("NoTree"), "{commit}");
    }
    set(&repo, &plain, "tree TREE\nparent nonsense\nauthor A\n\nm");
    assert!(run(repo.path(), &Options::default()).unwrap_err().contains("BadParents"));
    let inner = object(&repo, "tree", &entry("100644", b"config", &blob));
    let twice = [entry("100644", b"z", &blob), entry("100644", b"a", &blob), entry("100644", b"a", &blob)].concat();
    let trees: [(Vec<u8>, Option<u64>); 7] = [
        (entry("40000", b"..", &inner), Some(1)),
        (entry("40000", b".git", &inner), Some(1)),
        (entry("100644", b"a/../../b", &blob), Some(1)),
        (entry("7777777", b"odd", &blob), Some(1)),
        (twice, Some(3)),
        (entry("40000", b"not a tree", &blob), None),
        (b"100644 cut".to_vec(), None),
    ];
    for (bytes, expected) in trees {
        let tree = object(&repo, "tree", &bytes);
        set(&repo, &tree, &format!("tree TREE\n{good}"));
        let result = run(repo.path(), &Options::default());
        assert_eq!(result.as_ref().ok().map(|summary| summary.files), expected, "{}: {result:?}", bytes.escape_ascii());
    }
}

/// Files whose contents are commits, trees and tags: told as unreadable, in runs that end.
#[test]
fn contents_that_are_none() {
    let repo = Repo::new();
    let blob = object(&repo, "blob", b"one\n");
    let who = "A <a@b> 1 +0000";
    let mut parent = String::new();
    for round in 0..2 {
        let tree = object(&repo, "tree", &entry("100644", format!("f{round}").as_bytes(), &blob));
        let tag =
            object(&repo, "tag", format!("object {blob}\ntype blob\ntag t{round}\ntagger {who}\n\nm\n").as_bytes());
        let bad = [entry("100644", b"a", &tree), entry("100644", b"b", &tag), entry("120000", b"c", &tree)].concat();
        let bad = object(&repo, "tree", &[bad, entry("100644", b"d", &blob)].concat());
        let text = format!("tree {bad}\n{parent}author {who}\ncommitter {who}\n\nm\n");
        let oid = object(&repo, "commit", text.as_bytes());
        std::fs::write(repo.path().join("refs/heads/main"), format!("{oid}\n")).unwrap();
        parent = format!("parent {oid}\n");
    }
    for threads in [1, 2] {
        let summary = run(repo.path(), &Options { threads, ..Options::default() }).unwrap();
        assert_eq!((summary.commits, summary.files, summary.unreadable.len()), (2, 7, 4));
    }
}

/// Ten levels of ten entries, all the same: ten thousand million paths in eleven small objects.
#[test]
fn a_tree_that_explodes() {
    let repo = Repo::new();
    let mut oid = object(&repo, "blob", b"x\n");
    for level in 0..10 {
        let mode = if level == 0 { "100644" } else { "40000" };
        let tree: Vec<u8> = (0..10).flat_map(|at| entry(mode, &[b'a' + at], &oid)).collect();
        oid = object(&repo, "tree", &tree);
    }
    set(&repo, &oid, "tree TREE\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nm\n");
    let options = Options { memory_max: 20_000_000, ..Options::default() };
    let result = Repository::open(repo.path()).unwrap().code(&options, &mut |_| Ok(()));
    assert!(matches!(result, Err(RunError::Tree(ripsrc::TreeError::TooManyPaths(_)))), "{result:?}");
}

/// A history is cut into windows where it does not fit into memory; a single commit cannot be cut.
#[test]
fn a_commit_that_is_too_much_is_named() {
    let mut repo = Repo::new();
    // Every second line of many files is another: more hunks than half of 128 MiB holds.
    let names: Vec<String> = (0..80).map(|at| format!("f{at}")).collect();
    let text = |name: &str, odd: &str| -> String {
        let line = |at: u32| if at.is_multiple_of(2) { format!("{at}\n") } else { format!("{odd}{at}\n") };
        [format!("{name}\n")].into_iter().chain((0..130_000).map(line)).collect()
    };
    let files = |odd: &str| names.iter().map(|name| write(name, text(name, odd))).collect::<Vec<_>>();
    let first = repo.commit("main", &[], &files(""));
    let large = repo.commit("main", &[first], &files("x"));
    repo.import();
    let under = |mib: u64| {
        let options = Options { memory_max: mib << 20, count: None, ..Options::default() };
        Repository::open(repo.path()).unwrap().code(&options, &mut |_| Ok(()))
    };
    let result = under(128);
    assert!(matches!(result, Err(RunError::TooMuchInCommit(oid)) if oid == repo.oid(large)), "{result:?}");
    assert_eq!(under(1024).unwrap().files, 160);
}

/// Where files are too many or too large to look for renames among, those that were moved as they were are found, and only those
/// that were edited as well are new; and that is counted.
#[test]
fn renames_that_do_not_fit_are_counted() {
    let mut repo = Repo::new();
    let old: Vec<String> = (0..40).map(|at| format!("old/{at}")).collect();
    let new: Vec<String> = (0..40).map(|at| format!("new/{at}")).collect();
    let text = |at: usize| lines(&format!("file {at} line"), 200);
    let files: Vec<Do<'_>> = old.iter().enumerate().map(|(at, name)| write(name, text(at))).collect();
    let first = repo.commit("main", &[], &files);
    let gone = old.iter().map(|name| Do::Remove(name.as_bytes()));
    // Every second one was edited as well.
    let edited = |at: usize| if at.is_multiple_of(2) { text(at) } else { format!("{}one more\n", text(at)) };
    let came = new.iter().enumerate().map(|(at, name)| write(name, edited(at)));
    repo.commit("main", &[first], &gone.chain(came).collect::<Vec<_>>());
    repo.import();
    let renamed = |memory_max| {
        let (mut renamed, options) = (0, Options { memory_max, threads: 1, ..Options::default() });
        let take = &mut |record: Record<'_>| {
            if let Record::Commit(commit) = record {
                renamed += commit.files.iter().filter(|file| file.renamed_from.is_some()).count();
            }
            Ok(())
        };
        let summary = Repository::open(repo.path()).unwrap().code(&options, take).unwrap();
        (renamed, summary.renames_limited)
    };
    assert_eq!(renamed(1_000_000_000), (40, 0));
    assert_eq!(renamed(100_000), (20, 1));
}

pub fn clone(repo: &Repo, args: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", repo.path().display());
    let output =
        repo.command().args(["clone", "-q", "--bare"]).args(args).arg(&url).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

fn count(path: &Path) -> usize {
    let mut count = 0;
    let take = &mut |record: Record<'_>| {
        count += usize::from(matches!(record, Record::Blame(_)));
        Ok(())
    };
    Repository::open(path).unwrap().code(&Options::default(), take).unwrap();
    count
}

#[test]
fn incomplete_clones_say_what_is_missing() {
    let mut repo = Repo::new();
    let mut before = repo.commit("main", &[], &[write("f", lines("x", 30)), write("g", "g\n")]);
    for at in 0..6 {
        before = repo.commit("main", &[before], &[write("f", lines("x", 31 + at))]);
    }
    repo.import();
    repo.git(&["config", "uploadpack.allowFilter", "true"]);

    let shallow = clone(&repo, &["--depth=3"]);
    let summary = run(shallow.path(), &Options::default()).unwrap();
    assert_eq!((summary.commits, summary.shallow.len(), summary.unreadable.len()), (3, 1, 0));
    let report = Repository::open(shallow.path()).unwrap().validate(&Options::default(), 3, 1).unwrap();
    assert!(report.files > 0 && report.differences.is_empty(), "{report:?}");

    let partial = clone(&repo, &["--filter=blob:none"]);
    let summary = run(partial.path(), &Options::default()).unwrap();
    assert!(summary.partial_clone);
    assert_eq!((summary.commits, summary.files, summary.unreadable.len()), (7, 8, 8));

    let treeless = clone(&repo, &["--filter=tree:0"]);
    assert!(run(treeless.path(), &Options::default()).unwrap_err().contains("Missing"));
}

/// Objects borrowed from another repository, in several packs and loose, are all found.
#[test]
fn objects_in_many_places() {
    let mut repo = Repo::new();
    let a = repo.commit("main", &[], &[write("f", lines("x", 30)), write("d/g", "g\n")]);
    repo.import();
    let b = repo.commit("main", &[a], &[write("f", lines("x", 35))]);
    repo.import();
    let shared = tempfile::tempdir().unwrap();
    let borrowed = repo.path().to_str().unwrap();
    let status = repo.command().args(["clone", "-q", "--shared", borrowed]).arg(shared.path()).status().unwrap();
    assert!(status.success());
    std::fs::write(shared.path().join("f"), lines("x", 33)).unwrap();
    let status = repo
        .command()
        .current_dir(shared.path())
        .args(["-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qam", "loose"])
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(count(shared.path()), 4);
    std::fs::remove_dir_all(repo.path().join("objects")).unwrap();
    let repository = Repository::open(shared.path()).unwrap();
    let result = repository.code(&Options::default(), &mut |_| Ok(()));
    assert!(matches!(result, Err(RunError::Walk(_))), "{result:?} {b}");
}

/// A run that wants everything ends before it gives anything out; one that doesn't tells what is missing.
#[test]
fn a_missing_content_ends_a_run_that_wants_all() {
    let mut repo = Repo::new();
    repo.commit("main", &[], &[write("f", lines("x", 20))]);
    repo.import();
    repo.git(&["config", "transfer.unpackLimit", "1"]);
    let pack: Vec<PathBuf> = {
        let mut all = vec![];
        files(&repo.path().join("objects"), &mut all);
        all
    };
    let folder = tempfile::tempdir().unwrap();
    for file in pack.iter().filter(|file| file.to_string_lossy().contains("pack-")) {
        let moved = folder.path().join(file.file_name().unwrap());
        std::fs::rename(file, &moved).unwrap();
        if moved.extension() == Some("pack".as_ref()) {
            let input = std::fs::File::open(&moved).unwrap();
            assert!(repo.command().args(["unpack-objects", "-q"]).stdin(input).status().unwrap().success());
        }
    }
    let blob = repo.git(&["rev-parse", "main:f"]);
    std::fs::remove_file(repo.path().join("objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    let summary = run(repo.path(), &Options::default()).unwrap();
    assert_eq!((summary.commits, summary.unreadable.len()), (1, 1));
    let mut given = 0;
    let result = repo.open().code(&Options { complete: true, ..Options::default() }, &mut |_| {
        given += 1;
        Ok(())
    });
    assert!(matches!(result, Err(RunError::Object(_))) && given == 0, "{result:?}");
}

/// What lies outside of the folders that were named is not read, wherever the repository points.
#[test]
fn nothing_is_read_outside_of_the_fence() {
    let mut repo = Repo::new();
    repo.commit("main", &[], &[write("f", "1\n")]);
    repo.import();
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    let shared = inside.join("shared.git");
    repo.git(&["clone", "-q", "--bare", "--shared", ".", shared.to_str().unwrap()]);
    let open = |folders: &[PathBuf]| Repository::open_within(&shared, folders);
    let told = open(std::slice::from_ref(&inside)).err().unwrap().to_string();
    assert!(told.contains("outside of those that were granted") && told.ends_with("objects"), "{told}");
    assert!(open(&[]).is_err());
    let both = [inside.clone(), repo.path().to_owned()];
    assert_eq!(open(&both).unwrap().code(&Options::default(), &mut |_| Ok(())).unwrap().commits, 1);
    // A ring of links among the refs is no place to stay in.
    for name in ["a", "b"] {
        std::os::unix::fs::symlink("..", shared.join("refs/heads").join(name)).unwrap();
    }
    assert_eq!(open(&both).unwrap().heads().unwrap().branches.len(), 1);
}

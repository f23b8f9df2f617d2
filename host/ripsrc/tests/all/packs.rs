//! Packs and trees that git would not write but somebody can: deltas on deltas without an end, circles, depths.

use crate::hostile::{entry, object, run};
use crate::repo::{Repo, lines, write};
use crate::store::{Base, Delta, Pack, loose, raw};
use ripsrc::{Options, Record, RunError, TreeError};
use sha2::{Digest, Sha256};
use std::collections::HashSet;

const BLOB: u8 = 3;

fn name_of(kind: &str, bytes: &[u8]) -> Vec<u8> {
    Sha256::digest([format!("{kind} {}\0", bytes.len()).as_bytes(), bytes].concat()).to_vec()
}

fn hex(name: &[u8]) -> String {
    name.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A commit of one file.
fn commit_of(repo: &Repo, blob: &str, parent: Option<&str>) -> String {
    let tree = [b"100644 f\0".to_vec(), raw(blob)].concat();
    let tree = object(repo, "tree", &tree);
    let parent = parent.map(|parent| format!("parent {parent}\n")).unwrap_or_default();
    let who = "A <a@b> 1600000000 +0000";
    let oid = object(repo, "commit", format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\nm\n").as_bytes());
    std::fs::write(repo.path().join("refs/heads/main"), format!("{oid}\n")).unwrap();
    oid
}

/// Ten thousand versions of a file, each a delta of the one before: twice as deep as git writes.
#[test]
fn a_chain_of_ten_thousand_deltas() {
    let repo = Repo::with_hash("sha256");
    let mut text = lines("x", 40).into_bytes();
    let mut pack = Pack::default();
    let mut names = vec![name_of("blob", &text)];
    pack.add(names[0].clone(), &Base::Whole(BLOB), &text);
    for version in 1..10_000usize {
        // A line in the middle is replaced, and now and then one is added at the end.
        let line = format!("version {version:05}\n");
        let at = version % 30 * 4;
        let mut new = text[..at].to_vec();
        new.extend_from_slice(line.as_bytes());
        new.extend_from_slice(&text[(at + line.len()).min(text.len())..]);
        let end = if version % 500 == 0 { "end\n" } else { "" };
        new.extend_from_slice(end.as_bytes());
        let rest = (at + line.len()).min(text.len());
        let delta = Delta::new(text.len(), new.len());
        let delta = if at > 0 { delta.copy(0, at) } else { delta };
        let delta = delta.insert(line.as_bytes()).copy(rest, text.len() - rest).insert(end.as_bytes());
        text = new;
        names.push(name_of("blob", &text));
        let base = if version % 3 == 0 { Base::Name(names[version - 1].clone()) } else { Base::Back(1) };
        pack.add(names[version].clone(), &base, &delta.0);
    }
    pack.write(repo.path(), "pack-chain", |bytes| Sha256::digest(bytes).to_vec());
    repo.git(&["cat-file", "blob", &hex(&names[9_999])]);
    let mut parent = None;
    for version in [0, 1, 2, 3, 400, 5_000, 5_001, 9_000, 9_998, 9_999] {
        parent = Some(commit_of(&repo, &hex(&names[version]), parent.as_deref()));
    }
    repo.agree_on(20, 1.0);
    // Of the few that are wanted, each is read alone, down to the whole object.
    let report = repo.open().validate(&Options { threads: 1, ..Options::default() }, 10, 3).unwrap();
    assert!(report.files >= 5 && report.differences.is_empty());
}

/// Deltas that are each other's base: the objects cannot be read, are told, and everything else is given out.
#[test]
fn deltas_in_circles() {
    let name = |at: usize| {
        let mut name = vec![0xab; 20];
        name[..4].copy_from_slice(&(at as u32 ^ 0x5a5a_0000).to_be_bytes());
        name
    };
    let delta = Delta::new(4, 4).copy(0, 4).0;
    for count in [1, 2, 3, 20_000] {
        let repo = Repo::new();
        let mut pack = Pack::default();
        for at in 0..count {
            pack.add(name(at), &Base::Name(name((at + 1) % count)), &delta);
        }
        pack.add(name(count), &Base::Whole(BLOB), b"good\n");
        pack.write(repo.path(), "pack-circle", |_| vec![0; 20]);
        let entries = (0..=count).map(|at| entry("100644", format!("f{at:06}").as_bytes(), &hex(&name(at))));
        let tree = object(&repo, "tree", &entries.collect::<Vec<_>>().concat());
        let who = "A <a@b> 1600000000 +0000";
        let commit = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nm\n");
        let oid = object(&repo, "commit", commit.as_bytes());
        std::fs::write(repo.path().join("refs/heads/main"), format!("{oid}\n")).unwrap();
        let summary = run(repo.path(), &Options { count: None, ..Options::default() }).unwrap();
        assert_eq!((summary.unreadable.len(), summary.files), (count, count as u64 + 1));
        let told: HashSet<String> = summary.unreadable.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), count, "each is told by its name");
    }
}

/// Deltas that lie about sizes, reach behind their base, end early or have a base in the middle of another object.
#[test]
fn deltas_that_lie() {
    let bad: [Vec<u8>; 9] = [
        vec![],
        vec![4],
        Delta::new(4, 4).0,
        Delta::new(5, 4).copy(0, 4).0,
        Delta::new(4, 4).copy(1, 4).0,
        Delta::new(4, 9).copy(0, 4).0,
        Delta::new(4, 1 << 40).copy(0, 4).0,
        Delta::new(4, 4).insert(b"abcdef").0,
        [Delta::new(4, 4).copy(0, 4).0, vec![0]].concat(),
    ];
    for delta in bad {
        let repo = Repo::new();
        let mut pack = Pack::default();
        pack.add(vec![1; 20], &Base::Whole(BLOB), b"abc\n");
        pack.add(vec![2; 20], &Base::Back(1), &delta);
        // What is built on it is lost with it.
        pack.add(vec![3; 20], &Base::Back(1), &Delta::new(4, 4).copy(0, 4).0);
        pack.add(vec![4; 20], &Base::Back(3), &Delta::new(4, 6).copy(0, 4).insert(b"d\n").0);
        pack.write(repo.path(), "pack-lie", |_| vec![0; 20]);
        let tree: Vec<u8> = (1..=4).flat_map(|at| entry("100644", &[b'0' + at], &hex(&[at; 20]))).collect();
        let tree = object(&repo, "tree", &tree);
        let who = "A <a@b> 1600000000 +0000";
        let commit = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nm\n");
        let oid = object(&repo, "commit", commit.as_bytes());
        std::fs::write(repo.path().join("refs/heads/main"), format!("{oid}\n")).unwrap();
        let summary = run(repo.path(), &Options::default()).unwrap();
        assert_eq!((summary.unreadable.len(), summary.files), (2, 4), "{delta:?}");
    }
}

/// Objects that claim to be larger than they are, or than anybody has memory for.
#[test]
fn sizes_that_lie() {
    let repo = Repo::new();
    let good = object(&repo, "blob", b"good\n");
    for (at, head) in
        ["blob 99999999999999999999", "blob 134217729", "blob 99", "blob 1", "blob -1", "blob", "nonsense 5"]
            .iter()
            .enumerate()
    {
        let name = format!("{at:040x}");
        loose(repo.path(), &name, "blob", b"");
        let path = repo.path().join("objects").join(&name[..2]).join(&name[2..]);
        std::fs::write(&path, crate::store::zlib(format!("{head}\0good\n").as_bytes())).unwrap();
        let tree = [entry("100644", b"bad", &name), entry("100644", b"good", &good)].concat();
        let tree = object(&repo, "tree", &tree);
        let who = "A <a@b> 1600000000 +0000";
        let commit = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nm\n");
        let oid = object(&repo, "commit", commit.as_bytes());
        std::fs::write(repo.path().join("refs/heads/main"), format!("{oid}\n")).unwrap();
        let summary = run(repo.path(), &Options::default()).unwrap();
        assert_eq!((summary.unreadable.len(), summary.files), (1, 2), "{head}");
    }
    // 128 MiB of zeros in 130 KiB, and one byte more: read as no text, and told as too large. With less memory, less is.
    let zeros = vec![0u8; (128 << 20) + 1];
    let memory = |memory_max| Options { memory_max, threads: 1, ..Options::default() };
    let (much, usual) = (memory(4_000_000_000), Options { threads: 1, ..Options::default() });
    for (bytes, options, unreadable) in
        [(&zeros[1..], &much, 0), (&zeros[..], &much, 1), (&zeros[1..], &usual, 1), (&zeros[..59 << 20], &usual, 0)]
    {
        let blob = object(&repo, "blob", bytes);
        commit_of(&repo, &blob, None);
        let summary = run(repo.path(), options).unwrap();
        assert_eq!((summary.unreadable.len(), summary.files), (unreadable, 1), "{} bytes", bytes.len());
    }
}

/// As deep as git goes, folders are read; deeper, it is told, as git does it.
#[test]
fn folders_in_folders() {
    let repo = Repo::with_hash("sha256");
    let blob = object(&repo, "blob", b"x\n");
    let mut pack = Pack::default();
    let mut names = vec![];
    let mut tree = [b"100644 f\0".to_vec(), raw(&blob)].concat();
    for _ in 0..10_000 {
        let name = name_of("tree", &tree);
        pack.add(name.clone(), &Base::Whole(2), &tree);
        tree = [b"40000 d\0".as_slice(), &name].concat();
        names.push(hex(&name));
    }
    pack.write(repo.path(), "pack-deep", |bytes| Sha256::digest(bytes).to_vec());
    let who = "A <a@b> 1600000000 +0000";
    for (levels, fine) in [(1, true), (1_000, true), (2_000, true), (2_100, false), (10_000, false)] {
        let commit = format!("tree {}\nauthor {who}\ncommitter {who}\n\nm\n", names[levels - 1]);
        let oid = object(&repo, "commit", commit.as_bytes());
        std::fs::write(repo.path().join("refs/heads/main"), format!("{oid}\n")).unwrap();
        let git = repo.command().args(["ls-tree", "-r", "main"]).output().unwrap();
        assert_eq!(git.status.success(), fine, "git, {levels}: {}", String::from_utf8_lossy(&git.stderr));
        let mut paths = vec![];
        let result = repo.open().code(&Options::default(), &mut |record| {
            if let Record::Blame(blame) = record {
                paths.push(blame.path.to_vec());
            }
            Ok(())
        });
        if fine {
            assert_eq!(paths, [[b"d/".repeat(levels - 1), b"f".to_vec()].concat()]);
        } else {
            assert!(matches!(result, Err(RunError::Tree(TreeError::TooDeep))), "{levels}: {result:?}");
        }
    }
}

/// Ten thousand files whose paths have half a megabyte each, in little more than a megabyte of objects.
#[test]
fn paths_that_explode() {
    let repo = Repo::new();
    let blob = object(&repo, "blob", b"x\n");
    let files: Vec<u8> = (0..10_000).flat_map(|at| entry("100644", format!("{at:05}").as_bytes(), &blob)).collect();
    let mut tree = object(&repo, "tree", &files);
    let mut pack = Pack::default();
    for level in 0..2_000usize {
        let name = format!("{:08x}{}", level ^ 0x3c3c_0000, "cd".repeat(16));
        pack.add(raw(&name), &Base::Whole(2), &entry("40000", &[b'd'; 250], &tree));
        tree = name;
    }
    pack.write(repo.path(), "pack-deep", |_| vec![0; 20]);
    let who = "A <a@b> 1600000000 +0000";
    let commit = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nm\n");
    let oid = object(&repo, "commit", commit.as_bytes());
    std::fs::write(repo.path().join("refs/heads/main"), format!("{oid}\n")).unwrap();
    let result = repo.open().code(&Options::default(), &mut |_| Ok(()));
    assert!(matches!(result, Err(RunError::Tree(TreeError::TooManyPaths(_)))), "{result:?}");
}

/// Sixty parents, some of them twice, in a merge that has files of all of them.
#[test]
fn sixty_parents() {
    let mut repo = Repo::new();
    let base = repo.commit("main", &[], &[write("f", lines("x", 80))]);
    let mut arms = vec![];
    for at in 0..60usize {
        let mut text: Vec<String> = lines("x", 80).lines().map(str::to_owned).collect();
        text[at] = format!("arm {at}");
        let name = format!("g{}", at % 7);
        let text = text.join("\n");
        arms.push(repo.commit(&format!("b{at}"), &[base], &[write("f", text), write(&name, format!("{at}\n"))]));
    }
    repo.import();
    let mut text: Vec<String> = (0..60).map(|at| format!("arm {at}")).collect();
    text.push("evil".to_owned());
    let blob = object(&repo, "blob", text.join("\n").as_bytes());
    let g = object(&repo, "blob", b"33\n");
    let tree = [entry("100644", b"f", &blob), entry("100644", b"g5", &g), entry("100644", b"h", &blob)].concat();
    let tree = object(&repo, "tree", &tree);
    let parents: String = arms.iter().chain(&arms[..3]).map(|arm| format!("parent {}\n", repo.oid(*arm))).collect();
    let who = "A <a@b> 1600099999 +0000";
    let oid = object(&repo, "commit", format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n\nm\n").as_bytes());
    repo.git(&["update-ref", "refs/heads/main", &oid]);
    repo.agree_on(40, 1.0);
    // The same parent twice, and nothing else.
    let twice = format!("parent {}\n", repo.oid(arms[0])).repeat(2);
    let oid = object(&repo, "commit", format!("tree {tree}\n{twice}author {who}\ncommitter {who}\n\nm\n").as_bytes());
    repo.git(&["update-ref", "refs/heads/main", &oid]);
    repo.agree_on(40, 1.0);
}

//! Repositories whose bytes are changed at random, some thousand times: whatever they hold, a run ends, does not panic,
//! and uses memory in proportion to what it was given. The same seed does the same; `FUZZ=100` does a hundred times as
//! much, `FUZZ_SEED=7` other things. What failed is named by its number.

mod memory;
#[allow(dead_code)]
#[path = "../all/random.rs"]
mod random;
#[allow(dead_code)]
#[path = "../all/repo.rs"]
mod repo;
#[allow(dead_code)]
#[path = "../all/store.rs"]
mod store;

use random::{Random, history};
use repo::Repo;
use ripsrc::{Options, Repository, Scope};
use std::alloc::{GlobalAlloc, Layout, System};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use store::{Base, Delta, Pack};

/// Bytes that a run over a repository of a hundred kilobytes may use: one object may claim a thousand times what its
/// compressed bytes are, as deflate can, and each thread holds a few.
const MEMORY_MAX: usize = 400 << 20;
/// Changes in a plain run of the tests.
const ROUNDS: usize = 300;

/// Counts what is allocated, and the most there was at once.
struct Counted;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static MEMORY: Counted = Counted;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Says which change it was if the run panics.
struct Named<'a>(&'a str, usize);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it was {} number {}, FUZZ_SEED={}", self.0, self.1, number("FUZZ_SEED", 1));
        }
    }
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() { files(&entry.path(), out) } else { out.push(entry.path()) }
    }
    out.sort();
}

/// How runs ended.
#[derive(Default, Debug)]
struct Ends {
    whole: usize,
    told: usize,
    failed: usize,
}

/// Everything that is asked of a repository, whatever it is.
fn run(path: &Path, checkpoint: &Path, ends: &mut Ends) {
    let repository = match Repository::open(path) {
        Ok(repository) => repository,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            ends.failed += 1;
            return;
        }
    };
    MOST.store(NOW.load(Ordering::Relaxed), Ordering::Relaxed);
    let before = NOW.load(Ordering::Relaxed);
    let base = Options { scope: Scope::AllBranches, threads: 2, memory_max: 50_000_000, ..Options::default() };
    let mut out = vec![];
    for options in [
        Options { checkpoint: Some(checkpoint.to_owned()), ..base.clone() },
        Options { scope: Scope::Head, threads: 1, blame: false, ..base.clone() },
    ] {
        out.clear();
        match repository.code_json(&options, &mut out) {
            Ok(summary) if summary.unreadable.is_empty() && summary.store_faults.is_empty() => ends.whole += 1,
            Ok(_) => ends.told += 1,
            Err(_) => ends.failed += 1,
        }
    }
    let _ = repository.branches(&base, &mut |_| Ok(()));
    let used = MOST.load(Ordering::Relaxed).saturating_sub(before);
    assert!(used < MEMORY_MAX, "{used} bytes of memory");
}

fn change(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            bytes.push(random.below(256) as u8);
        }
        let at = random.below(bytes.len());
        let other = random.below(bytes.len());
        match random.below(9) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.below(256) as u8),
            2 => drop(bytes.remove(at)),
            3 => bytes[at] ^= 1 << random.below(8),
            4 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            5 => {
                // Something of its own once more, elsewhere.
                let piece = bytes[at..(at + 1 + random.below(60)).min(bytes.len())].to_vec();
                bytes.splice(other..other, piece);
            }
            6 => {
                let end = (at + 1 + random.below(60)).min(bytes.len());
                bytes.drain(at..end);
            }
            7 => {
                let end = (at + 4).min(bytes.len());
                bytes[at..end].fill(0xff);
            }
            _ => bytes[at] = random.below(256) as u8,
        }
    }
}

/// A repository in several forms, each with a checkpoint of its first half.
struct Victims {
    repos: Vec<(PathBuf, PathBuf)>,
    _folder: tempfile::TempDir,
    _repo: Repo,
}

fn git(path: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command.current_dir(path).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    let output = command.args(["-c", "user.name=A", "-c", "user.email=a@b"]).args(args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn victims(seed: u64) -> Victims {
    let mut repo = Repo::new();
    history(&mut repo, seed, 20);
    repo.import();
    repo.git(&["symbolic-ref", "HEAD", "refs/heads/b0"]);
    git(repo.path(), &["tag", "-am", "a tag", "v1"]);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let clone = |args: &[&str], name: &str| {
        let url = format!("file://{}", repo.path().display());
        let to = at(name);
        let all: Vec<&str> = ["clone", "-q", "--mirror"].iter().chain(args).copied().collect();
        git(folder.path(), &[&all[..], &[&url, to.to_str().unwrap()]].concat());
        to
    };
    let packed = clone(&[], "packed");
    git(&packed, &["repack", "-adfq", "--depth=50"]);
    git(&packed, &["pack-refs", "--all"]);
    let odd = clone(&["--depth=6", "--no-single-branch"], "odd");
    git(&odd, &["-c", "pack.indexVersion=1", "-c", "repack.useDeltaBaseOffset=false", "repack", "-adfq"]);
    std::fs::write(odd.join("objects/info/alternates"), "../../packed/objects\n../objects\n").unwrap();
    std::fs::write(odd.join("info/grafts"), "# none\n").unwrap();
    git(&odd, &["symbolic-ref", "refs/heads/link", "refs/heads/b0"]);
    let tree = at("tree");
    git(&packed, &["worktree", "add", "-q", "--detach", tree.to_str().unwrap()]);
    let loose = at("loose");
    git(folder.path(), &["init", "-q", "--bare", "loose"]);
    let mut input = Command::new("git")
        .current_dir(&packed)
        .args(["pack-objects", "--all", "--stdout", "-q"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let status = Command::new("git")
        .current_dir(&loose)
        .args(["unpack-objects", "-q"])
        .stdin(input.stdout.take().unwrap())
        .status()
        .unwrap();
    assert!(status.success() && input.wait().unwrap().success());
    std::fs::copy(packed.join("packed-refs"), loose.join("packed-refs")).unwrap();
    std::fs::copy(packed.join("HEAD"), loose.join("HEAD")).unwrap();
    let repos = [packed, odd, loose, tree]
        .into_iter()
        .map(|path| {
            let checkpoint = path.with_extension("checkpoint");
            let options =
                Options { checkpoint: Some(checkpoint.clone()), memory_max: 50_000_000, ..Options::default() };
            let summary = Repository::open(&path).unwrap().code(&options, &mut |_| Ok(())).unwrap();
            summary.next.unwrap().save().unwrap();
            (path, checkpoint)
        })
        .collect();
    Victims { repos, _folder: folder, _repo: repo }
}

/// Bytes of any file change.
fn any_file(victims: &Victims, rounds: usize, random: &mut Random, ends: &mut Ends) {
    let all: Vec<Vec<PathBuf>> = victims
        .repos
        .iter()
        .map(|(path, checkpoint)| {
            let mut list = vec![];
            files(path, &mut list);
            files(checkpoint, &mut list);
            list.retain(|file| !file.to_string_lossy().contains("/hooks/"));
            list
        })
        .collect();
    for round in 0..rounds {
        let _named = Named("a changed file", round);
        let which = random.below(all.len());
        let (path, checkpoint) = &victims.repos[which];
        // A work tree's own files are few; what it shares is another victim's.
        let list = &all[which];
        let large: Vec<&PathBuf> = list.iter().filter(|file| file.to_string_lossy().contains("pack-")).collect();
        let file = match random.below(2) {
            0 if !large.is_empty() => large[random.below(large.len())],
            _ => &list[random.below(list.len())],
        };
        let good = std::fs::read(file).unwrap();
        let mut bad = good.clone();
        change(random, &mut bad);
        // A new file in its place: the old one may be mapped, and packs are read-only.
        let put = |bytes: &[u8]| {
            std::fs::remove_file(file).unwrap();
            std::fs::write(file, bytes).unwrap();
        };
        put(&bad);
        run(path, checkpoint, ends);
        put(&good);
    }
}

/// All objects of a repository: name, kind, content.
fn objects(path: &Path) -> Vec<(String, String, Vec<u8>)> {
    let mut command = Command::new("git");
    command.current_dir(path).args(["cat-file", "--batch-all-objects", "--batch"]);
    let output = command.output().unwrap().stdout;
    let (mut rest, mut all) = (&output[..], vec![]);
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let head = String::from_utf8(rest[..end].to_vec()).unwrap();
        let mut words = head.split(' ').map(str::to_owned);
        let (name, kind, size) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let size: usize = size.parse().unwrap();
        all.push((name, kind, rest[end + 1..end + 1 + size].to_vec()));
        rest = &rest[end + 2 + size..];
    }
    all
}

/// What an object says changes, and its compressed bytes are right.
fn any_object(victims: &Victims, rounds: usize, random: &mut Random, ends: &mut Ends) {
    let (path, checkpoint) = &victims.repos[2];
    let all = objects(path);
    for round in 0..rounds {
        let _named = Named("a changed object", round);
        let (name, kind, content) = &all[random.below(all.len())];
        let mut bad = content.clone();
        change(random, &mut bad);
        let kind = if random.below(20) == 0 { ["blob", "tree", "commit", "tag", "x"][random.below(5)] } else { kind };
        // Now and then it names another object than before.
        if random.below(4) == 0 {
            let (other, _, _) = &all[random.below(all.len())];
            let at = random.below(bad.len().saturating_sub(40).max(1));
            let end = (at + 40).min(bad.len());
            bad[at..end].copy_from_slice(&other.as_bytes()[..end - at]);
        }
        store::loose(path, name, kind, &bad);
        run(path, checkpoint, ends);
        store::loose(path, name, &all.iter().find(|(other, ..)| other == name).unwrap().1, content);
    }
}

/// A pack of all objects with deltas drawn at random, some of them wrong, in circles or against what is not there.
fn any_pack(victims: &Victims, rounds: usize, random: &mut Random, ends: &mut Ends) {
    let all = objects(&victims.repos[2].0);
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "-q", "--bare", "."]);
    for name in ["packed-refs", "HEAD"] {
        std::fs::copy(victims.repos[2].0.join(name), folder.path().join(name)).unwrap();
    }
    let checkpoint = folder.path().join("checkpoint");
    for round in 0..rounds {
        let _named = Named("a pack", round);
        let wrong = random.below(3);
        let mut pack = Pack::default();
        for (at, (name, kind, content)) in all.iter().enumerate() {
            let number = ["", "commit", "tree", "blob", "tag"].iter().position(|known| known == kind).unwrap();
            let mut base = Base::Whole(number as u8);
            let mut bytes = content.clone();
            let other = random.below(all.len());
            if at > 0 && random.below(2) == 0 && all[other].1 == *kind {
                // A copy of what the two begin with, the rest as it is.
                let (_, _, from) = &all[other];
                let same = from.iter().zip(content).take_while(|(a, b)| a == b).count();
                let delta = Delta::new(from.len(), content.len());
                bytes = if same > 0 { delta.copy(0, same) } else { delta }.insert(&content[same..]).0;
                let named = random.below(2) == 0 || other >= at;
                base = if named { Base::Name(store::raw(&all[other].0)) } else { Base::Back(at - other) };
            }
            if wrong > 0 && random.below(all.len()) < wrong {
                change(random, &mut bytes);
            }
            pack.add(store::raw(name), &base, &bytes);
        }
        pack.write(folder.path(), "pack-any", |_| vec![0; 20]);
        run(folder.path(), &checkpoint, ends);
    }
}

/// Tests of which each counts what all threads allocate run one after the other.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_run_stays_within_its_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    memory::stays_within_its_memory();
    memory::tells_what_is_too_large_for_it();
}

#[test]
fn whatever_a_repository_holds() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let rounds = ROUNDS * number("FUZZ", 1);
    let seed = number("FUZZ_SEED", 1) as u64;
    let mut random = Random::new(seed);
    // A new history now and then.
    let (mut files, mut contents, mut packs) = (Ends::default(), Ends::default(), Ends::default());
    for part in 0..rounds.div_ceil(2_000) {
        let some = (rounds - part * 2_000).min(2_000);
        let victims = victims(seed + part as u64);
        any_file(&victims, some, &mut random, &mut files);
        any_object(&victims, some, &mut random, &mut contents);
        any_pack(&victims, some / 4, &mut random, &mut packs);
    }
    eprintln!("files {files:?}, contents {contents:?}, packs {packs:?}");
    // All ends were met, so the changes are neither too mild nor too wild.
    for ends in [files, contents, packs] {
        assert!(ends.whole > 5 && ends.told + ends.failed > 5, "{ends:?}");
    }
}

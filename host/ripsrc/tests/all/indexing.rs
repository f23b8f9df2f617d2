//! Indexes of packs: byte by byte git's own, and an error for whatever is damaged.

use super::random::history;
use super::repo::{Repo, write};
use ripsrc::{IndexError, Watch, index_pack, pack_weight};
use std::path::{Path, PathBuf};

fn index(pack: &Path, threads: usize, memory_max: u64) -> Result<Vec<u8>, IndexError> {
    let made = pack.with_extension("made");
    let checksum = index_pack(pack, &made, threads, memory_max, &Watch::default())?;
    let name = pack.file_stem().unwrap().to_str().unwrap();
    // Git names a pack that it has made itself by its objects or its checksum, by version.
    assert_eq!(checksum.len(), 40, "{name}");
    Ok(std::fs::read(made).unwrap())
}

fn packed(repo: &Repo) -> PathBuf {
    let folder = repo.path().join(".git/objects/pack");
    let folder = if folder.is_dir() { folder } else { repo.path().join("objects/pack") };
    let found = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    { found }.find(|path| path.extension().is_some_and(|extension| extension == "pack")).unwrap()
}

/// The index that git makes of a pack.
fn by_git(repo: &Repo, pack: &Path) -> Vec<u8> {
    let index = repo.path().join("judge.idx");
    repo.git(&["index-pack", "--index-version=2", "-o", index.to_str().unwrap(), pack.to_str().unwrap()]);
    std::fs::read(index).unwrap()
}

#[test]
fn an_index_is_the_one_that_git_makes() {
    for (seed, count) in [(91, 400), (92, 60), (93, 1)] {
        let mut repo = Repo::new();
        history(&mut repo, seed, count);
        repo.import();
        let branches = repo.git(&["for-each-ref", "--format=%(refname)", "refs/heads"]);
        repo.git(&[
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "tag",
            "-a",
            "-m",
            "said",
            "v1",
            branches.lines().next().unwrap(),
        ]);
        for arguments in [&["repack", "-adfq", "--depth=50", "--window=50"][..], &["repack", "-adfq", "--depth=0"]] {
            repo.git(arguments);
            let pack = packed(&repo);
            let expected = by_git(&repo, &pack);
            for (threads, memory_max) in [(1, 1_000_000_000), (2, 1_000_000_000), (3, 2_000_000)] {
                assert!(index(&pack, threads, memory_max).unwrap() == expected, "{seed} {arguments:?} {threads}");
            }
        }
    }
}

#[test]
fn what_is_odd_is_left_to_another() {
    let mut repo = Repo::new();
    history(&mut repo, 94, 40);
    repo.import();
    repo.git(&["-c", "repack.useDeltaBaseOffset=false", "repack", "-adfq", "--depth=50"]);
    let told = index(&packed(&repo), 2, 1_000_000_000);
    assert!(matches!(told, Err(IndexError::Odd("an object names its base"))), "{told:?}");
    repo.git(&["repack", "-adfq"]);
    let told = index(&packed(&repo), 2, 1000);
    assert!(matches!(told, Err(IndexError::Odd("it has too many objects for the memory granted"))), "{told:?}");
    let watch = Watch::default();
    watch.stop();
    let pack = packed(&repo);
    let told = index_pack(&pack, &pack.with_extension("made"), 2, 1_000_000_000, &watch);
    assert!(matches!(told, Err(IndexError::Stopped)), "{told:?}");
}

/// What another indexer would have to hold: a base, what is built on it, and the difference; not what only lies there.
#[test]
fn what_indexing_takes_is_told_before() {
    let weight = |repo: &Repo, most: u64| pack_weight(&packed(repo), most, &Watch::default()).unwrap();
    let mut repo = Repo::new();
    let text = |from: u32| -> String {
        (from..30_000).map(|number| format!("{}\n", number.wrapping_mul(2_654_435_761))).collect()
    };
    let first = repo.commit("main", &[], &[write("a", text(0)), write("b", vec![0; 900_000])]);
    repo.commit("main", &[first], &[write("a", text(1))]);
    repo.import();
    repo.git(&["repack", "-adfq", "--depth=50"]);
    let most = u64::from(u32::MAX);
    let told = weight(&repo, most);
    let size = text(0).len() as u64;
    assert!((2 * size - 100..2 * size + 10_000).contains(&told), "{told}");
    // By their names, any whole object may be one that others are built on.
    repo.git(&["-c", "repack.useDeltaBaseOffset=false", "repack", "-adfq", "--depth=50"]);
    let told = weight(&repo, most);
    assert!((900_000 + size - 100..910_000 + size).contains(&told), "{told}");
    // Beyond what there is, it is enough to know that.
    assert!(weight(&repo, 1_000) > 1_000);
}

/// Whatever is changed, cut or added: with its checksum made to fit, so that what is behind is reached too.
#[test]
fn what_is_damaged_is_an_error_and_never_another_index() {
    use sha1_checked::Digest;
    let mut repo = Repo::new();
    history(&mut repo, 95, 12);
    repo.import();
    repo.git(&["repack", "-adfq", "--depth=50"]);
    let pack = packed(&repo);
    let (good, expected) = (std::fs::read(&pack).unwrap(), by_git(&repo, &pack));
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("damaged.pack");
    let judge = |mut bytes: Vec<u8>, summed: bool, what: &str| {
        if summed {
            let sum = sha1_checked::Sha1::digest(&bytes);
            bytes.extend_from_slice(&sum);
        }
        std::fs::write(&place, bytes).unwrap();
        if let Ok(index) = index(&place, 2, 1_000_000_000) {
            // The only bytes that nobody reads are bits of zlib's header; what is named stays what it was.
            let names = |index: &[u8]| index[..1032 + 20].to_vec();
            assert!(names(&index) == names(&expected) && summed, "{what}");
        }
    };
    let body = &good[..good.len() - 20];
    for at in (0..body.len()).step_by(1 + body.len() / 400) {
        for bit in [0, 6] {
            let mut bytes = body.to_vec();
            bytes[at] ^= 1 << bit;
            judge(bytes, true, &format!("bit {bit} of byte {at}"));
        }
        judge(body[..at].to_vec(), true, &format!("cut at {at}"));
        judge(good[..at].to_vec(), false, &format!("cut at {at}, with no sum"));
    }
    judge([body, &[0; 9]].concat(), true, "more at the end");
    judge([body, &[7; 20]].concat(), false, "a wrong sum");
    // An object twice, and a count that nothing stands behind.
    let counted = |count: u32| [&body[..8], &count.to_be_bytes(), &body[12..]].concat();
    for count in [0, 1, u32::MAX] {
        judge(counted(count), true, &format!("{count} objects"));
    }
}

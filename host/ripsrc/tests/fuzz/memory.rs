//! Histories that need much memory, read with little: a run stays below what it was granted, reads the history in parts
//! where it must, and says the same.

use super::{MOST, NOW, random::Random, repo::Repo};
use crate::repo::{Do, write};
use ripsrc::{Options, Summary};
use std::io::Write;
use std::sync::atomic::Ordering;

/// A sum of what is written; a gigabyte need not be kept to be compared.
#[derive(Default)]
struct Sum(u64);

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // Pieces differ from run to run, so bytes are taken one by one.
        for byte in bytes {
            self.0 = self.0.wrapping_mul(0x100_0000_01b3) ^ u64::from(*byte);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Bytes allocated at most, the sum of the records, and what the run says.
fn read(repo: &Repo, memory_max: u64) -> (u64, u64, Summary) {
    let repository = repo.open();
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let mut sum = Sum::default();
    let options = Options { memory_max, threads: 2, ..Repo::options() };
    let summary = repository.code_json(&options, &mut sum).unwrap();
    ((MOST.load(Ordering::Relaxed) - before) as u64, sum.0, summary)
}

/// Reads with much memory and with little. The history must need more than little, or it would show nothing.
fn both(name: &str, mut repo: Repo, little: u64) -> Summary {
    repo.import();
    let (much_used, much, _) = read(&repo, 4_000_000_000);
    let (used, sum, summary) = read(&repo, little);
    assert!(much_used > little, "{name}: {much_used} bytes are no test of {little}");
    assert!(used < little, "{name}: {used} bytes of {little}");
    assert_eq!(sum, much, "{name}: other records");
    assert!(summary.unreadable.is_empty(), "{name}");
    summary
}

fn text(random: &mut Random, lines: usize) -> Vec<u8> {
    (0..lines).flat_map(|_| format!("{:x}\n", random.below(1 << 50)).into_bytes()).collect()
}

pub fn stays_within_its_memory() {
    let random = &mut Random::new(5);
    // Hardly a line is there twice.
    let mut repo = Repo::new();
    let mut last = vec![];
    for _ in 0..25 {
        let files: Vec<Vec<u8>> = (0..4).map(|_| text(random, 12_000)).collect();
        let changes: Vec<Do<'_>> =
            files.into_iter().enumerate().map(|(at, text)| write(["a", "b", "c", "d"][at], text)).collect();
        last = vec![repo.commit("main", &last, &changes)];
    }
    both("lines", repo, 64_000_000);

    // Each commit has a new list of thousands of files.
    let mut repo = Repo::new();
    let paths: Vec<String> = (0..6000).map(|at| format!("w/file{at}")).collect();
    let all: Vec<Do<'_>> = paths.iter().map(|path| write(path, "x\n")).collect();
    let mut last = repo.commit("main", &[], &all);
    for at in 0..1500 {
        last = repo.commit("main", &[last], &[write(&paths[random.below(6000)], format!("{at}\n"))]);
    }
    let summary = both("trees", repo, 40_000_000);
    assert!(summary.windows > 1);
}

pub fn tells_what_is_too_large_for_it() {
    let mut repo = Repo::new();
    repo.commit(
        "main",
        &[],
        &[write("empty", vec![b'\n'; 3 << 20]), write("large", vec![b'x'; 5 << 20]), write("f", "x\n")],
    );
    repo.import();
    let (used, _, summary) = read(&repo, 50_000_000);
    assert!(used < 50_000_000, "{used} bytes");
    let told: Vec<String> = summary.unreadable.iter().map(ToString::to_string).collect();
    assert_eq!((summary.files, told.len()), (3, 2), "{told:?}");
    assert!(told.iter().any(|told| told.contains("3145728 lines, more than the limit of 65536")), "{told:?}");
    assert!(told.iter().any(|told| told.contains("5242880 bytes, more than the limit of 4194304")), "{told:?}");
}

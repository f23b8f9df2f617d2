//! Runs that build on a run before: together they must give what one run over everything gives.

use crate::random::{Random, history};
use crate::repo::{Do, Repo, json, lines, write};
use ripsrc::{CheckpointUse, Oid, Options, RunError, Summary};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Gives the records without their ordinals, which count within a run.
fn run(repo: &Repo, options: &Options) -> (Vec<String>, Summary) {
    let mut records = vec![];
    let summary = repo
        .open()
        .code(options, &mut |record| {
            let line = json(&record);
            let at = line.find("\"ordinal\":").unwrap_or(line.len());
            let end = line[at..].find(',').map_or(line.len(), |end| at + end);
            records.push(line[..at].to_owned() + &line[end..]);
            Ok(())
        })
        .unwrap();
    (records, summary)
}

fn with(folder: &Path) -> Options {
    Options { checkpoint: Some(folder.to_owned()), ..Repo::options() }
}

fn sorted(mut records: Vec<String>) -> Vec<String> {
    records.sort();
    records
}

#[test]
fn base_and_increments_are_the_whole() {
    for seed in 40..46 {
        let mut repo = Repo::new();
        let marks = history(&mut repo, seed, 80);
        repo.import();
        let (all, _) = run(&repo, &Repo::options());
        let tips: Vec<(String, String)> = repo
            .git(&["for-each-ref", "--format=%(refname) %(objectname)", "refs/heads"])
            .lines()
            .map(|line| line.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap())
            .collect();
        // Branches are set back to where they might have been some commits ago, several times, then to their ends.
        let folder = tempfile::tempdir().unwrap();
        let mut random = Random::new(seed);
        let mut given = vec![];
        let mut cuts: Vec<usize> = (0..3).map(|_| random.below(marks.len())).collect();
        cuts.sort_unstable();
        for cut in cuts {
            for (at, (name, tip)) in tips.iter().enumerate() {
                let history = repo.git(&["rev-list", "--first-parent", tip]);
                let list: Vec<&str> = history.lines().collect();
                let back = (marks.len() - cut) / (at + 1) / 2;
                repo.git(&["update-ref", name, list.get(back).unwrap_or(&list[list.len() - 1])]);
            }
            let (records, summary) = run(&repo, &with(folder.path()));
            given.extend(records);
            summary.next.unwrap().save().unwrap();
        }
        for (name, tip) in &tips {
            repo.git(&["update-ref", name, tip]);
        }
        let (records, summary) = run(&repo, &with(folder.path()));
        given.extend(records);
        assert!(matches!(summary.checkpoint, CheckpointUse::Resumed | CheckpointUse::Recomputed));
        assert_eq!(summary.checkpoint == CheckpointUse::Recomputed, summary.recomputed > 0);
        assert_eq!(sorted(given), sorted(all), "seed {seed}");
        summary.next.unwrap().save().unwrap();
        let (nothing, summary) = run(&repo, &with(folder.path()));
        assert_eq!((nothing.len(), summary.recomputed, summary.abandoned.len()), (0, 0, 0));
    }
}

#[test]
fn since_a_commit() {
    let mut repo = Repo::new();
    let a = repo.commit("main", &[], &[write("f", lines("x", 20))]);
    let b = repo.commit("main", &[a], &[write("f", lines("x", 22))]);
    let c = repo.commit("main", &[b], &[write("f", lines("x", 24))]);
    repo.import();
    let (all, _) = run(&repo, &Repo::options());
    let (new, summary) = run(&repo, &Options { since: Some(repo.oid(b)), ..Repo::options() });
    assert_eq!((new.as_slice(), summary.recomputed), (&all[4..], 2));
    assert!(new[0].contains(&repo.oid(c).to_string()));
}

#[test]
fn a_rewritten_history_is_noticed() {
    let mut repo = Repo::new();
    let folder = tempfile::tempdir().unwrap();
    let a = repo.commit("main", &[], &[write("f", lines("x", 20)), write("g", "g\n")]);
    let b = repo.commit("main", &[a], &[write("f", lines("x", 22))]);
    repo.import();
    let (_, summary) = run(&repo, &with(folder.path()));
    assert_eq!(summary.checkpoint, CheckpointUse::Absent);
    summary.next.unwrap().save().unwrap();
    let old = repo.oid(b);
    let c = repo.commit("main", &[a], &[write("f", lines("x", 19)), Do::Remove(b"g")]);
    repo.import();
    let (new, summary) = run(&repo, &with(folder.path()));
    assert_eq!(summary.abandoned, [old]);
    assert_eq!((summary.checkpoint, summary.recomputed), (CheckpointUse::Recomputed, 1));
    let (all, _) = run(&repo, &Repo::options());
    assert_eq!(new, all[3..]);
    assert!(new[0].contains(&repo.oid(c).to_string()));
}

#[test]
fn a_damaged_checkpoint_is_never_trusted() {
    let mut repo = Repo::new();
    let folder = tempfile::tempdir().unwrap();
    history(&mut repo, 50, 30);
    repo.import();
    let (all, summary) = run(&repo, &with(folder.path()));
    summary.next.unwrap().save().unwrap();
    let path = folder.path().join("ripsrc.checkpoint");
    let good = std::fs::read(&path).unwrap();
    for at in [0, 5, 25, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        std::fs::write(&path, &bad).unwrap();
        let (again, summary) = run(&repo, &with(folder.path()));
        assert!(matches!(summary.checkpoint, CheckpointUse::Unusable(_)), "byte {at}");
        assert_eq!(again, all);
        std::fs::write(&path, &good[..at]).unwrap();
        assert!(matches!(run(&repo, &with(folder.path())).1.checkpoint, CheckpointUse::Unusable(_)));
    }
    std::fs::write(&path, &good).unwrap();
    let (nothing, summary) = run(&repo, &with(folder.path()));
    assert_eq!((nothing.len(), summary.checkpoint), (0, CheckpointUse::Resumed));
}

#[test]
fn what_is_known_is_not_given_out_again() {
    for seed in 70..73 {
        let mut repo = Repo::new();
        history(&mut repo, seed, 60);
        repo.import();
        let (all, _) = run(&repo, &Repo::options());
        let commits: Vec<usize> = (0..all.len()).filter(|at| all[*at].contains("\"model\":\"commit\"")).collect();
        // A run that broke off behind this commit; what it had given out is named by its newest.
        let cut = commits[commits.len() / 2];
        let sha = |record: &str| {
            let at = record.find("\"sha\":\"").unwrap() + 7;
            Oid::from_hex(&record.as_bytes()[at..at + 40]).unwrap()
        };
        let mut known: Vec<Oid> = commits.iter().map(|at| &all[*at]).take(commits.len() / 2).map(|r| sha(r)).collect();
        known.push(Oid::from_hex(&[b'7'; 40]).unwrap());
        for blame in [true, false] {
            let whole = run(&repo, &Options { blame, ..Repo::options() }).0;
            let (new, summary) = run(&repo, &Options { blame, known: known.clone(), ..Repo::options() });
            let expected: Vec<&String> = whole.iter().filter(|record| all[cut..].contains(record)).collect();
            assert_eq!(new.iter().collect::<Vec<_>>(), expected, "seed {seed}");
            assert_eq!(summary.recomputed > 0, blame);
        }
    }
}

#[test]
fn a_checkpoint_has_a_sum_by_which_it_is_told_from_others() {
    let mut repo = Repo::new();
    let folder = tempfile::tempdir().unwrap();
    let a = repo.commit("main", &[], &[write("f", lines("x", 20))]);
    repo.import();
    assert_eq!(ripsrc::checkpoint_sum(folder.path()), None);
    let first = run(&repo, &with(folder.path())).1.next.unwrap();
    first.save().unwrap();
    assert_eq!(ripsrc::checkpoint_sum(folder.path()), Some(first.sum()));
    repo.commit("main", &[a], &[write("f", lines("x", 21))]);
    repo.import();
    let second = run(&repo, &with(folder.path())).1.next.unwrap();
    assert_ne!(first.sum(), second.sum());
    ripsrc::checkpoint_discard(folder.path()).unwrap();
    ripsrc::checkpoint_discard(folder.path()).unwrap();
    assert_eq!(run(&repo, &with(folder.path())).1.checkpoint, CheckpointUse::Absent);
    std::fs::write(folder.path().join("ripsrc.checkpoint"), "short").unwrap();
    assert_eq!(ripsrc::checkpoint_sum(folder.path()), None);
}

/// Asked before it begins or between two records, a run ends; and with the flag down again it gives everything.
#[test]
fn a_run_that_is_asked_to_stop_stops() {
    let mut repo = Repo::new();
    history(&mut repo, 80, 60);
    repo.import();
    let (all, _) = run(&repo, &Repo::options());
    for threads in [1, 2] {
        let stop = Arc::new(AtomicBool::new(true));
        let options = Options { threads, stop: Some(Arc::clone(&stop)), ..Repo::options() };
        let mut given = 0;
        let result = repo.open().code(&options, &mut |_| {
            given += 1;
            Ok(())
        });
        assert!(matches!(result, Err(RunError::Stopped)), "{result:?}");
        assert_eq!(given, 0);
        assert!(matches!(repo.open().branches(&options, &mut |_| Ok(())), Err(RunError::Stopped)));
        stop.store(false, Ordering::Relaxed);
        assert_eq!(run(&repo, &options).0, all);
    }
}

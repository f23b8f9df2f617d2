//! Runs that build on a run before: together they must give what one run over everything gives.

use crate::random::{Random, history};
use crate::repo::{Do, Mark, Repo, json, lines, write};
use ripsrc::{CheckpointUse, Oid, Options, RunError, Summary, Watch};
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

/// Where branches stand: names and marks.
type Stand = Vec<(String, Mark)>;

fn stand(repo: &Repo, branches: &Stand) {
    for name in repo.git(&["for-each-ref", "--format=%(refname)", "refs/heads"]).lines() {
        repo.git(&["update-ref", "-d", name]);
    }
    for (name, mark) in branches {
        repo.git(&["update-ref", &format!("refs/heads/{name}"), &repo.oid(*mark).to_string()]);
    }
}

/// Branches come, go, come back, are set back and forth and to other lines: whatever was ever reachable is given out
/// once, as a run over all of it gives it out, with owners and without, counted and not, whatever the threads.
#[test]
fn wandering_branches() {
    let mut recomputed = 0;
    for seed in 80..92 {
        let mut repo = Repo::new();
        let marks = history(&mut repo, seed, 70);
        repo.import();
        repo.git(&["symbolic-ref", "HEAD", "refs/heads/x0"]);
        let mut random = Random::new(seed);
        let base = Options {
            blame: seed % 4 != 1,
            count: (seed % 3 == 0).then(ripsrc::count::Options::default),
            threads: 1 + seed as usize % 2,
            ..Repo::options()
        };
        let folder = tempfile::tempdir().unwrap();
        let options = Options { checkpoint: Some(folder.path().to_owned()), ..base.clone() };
        let (mut given, mut seen) = (vec![], vec![]);
        for round in 0..8usize {
            // In some rounds nothing is reachable, or only by another head than before.
            let count = random.below(5);
            let far = marks.len() * (round + 1) / 8;
            let branches: Stand = (0..count).map(|at| (format!("x{at}"), marks[random.below(far)])).collect();
            stand(&repo, &branches);
            seen.extend(branches.into_iter().enumerate().map(|(at, (_, mark))| (format!("seen{round}-{at}"), mark)));
            let (records, summary) = run(&repo, &options);
            assert!(!matches!(summary.checkpoint, CheckpointUse::Unusable(_)), "{:?}", summary.checkpoint);
            recomputed += summary.recomputed;
            given.extend(records);
            summary.next.unwrap().save().unwrap();
            let (nothing, again) = run(&repo, &options);
            assert_eq!((nothing.len(), again.recomputed), (0, 0));
        }
        stand(&repo, &seen);
        let (all, _) = run(&repo, &base);
        assert_eq!(sorted(given), sorted(all), "seed {seed}");
    }
    assert!(recomputed > 0, "some branch began at an old commit");
}

/// Owners that were kept in a checkpoint are as good as those that were computed: git says so.
#[test]
fn owners_of_increments_agree_with_git() {
    let mut repo = Repo::new();
    let marks = history(&mut repo, 95, 60);
    repo.import();
    let folder = tempfile::tempdir().unwrap();
    let options = with(folder.path());
    for mark in &marks {
        stand(&repo, &vec![("main".to_owned(), *mark)]);
        let mut owners = vec![];
        let take = &mut |record: ripsrc::Record<'_>| {
            if let ripsrc::Record::Blame(blame) = record
                && !blame.binary
                && blame.status != ripsrc::Status::Removed
            {
                let lines = blame.owners.iter().flat_map(|run| std::iter::repeat_n(run.sha, run.count as usize));
                owners.push((blame.commit, blame.path.to_vec(), lines.collect::<Vec<_>>()));
            }
            Ok(())
        };
        let summary = repo.open().code(&options, take).unwrap();
        summary.next.unwrap().save().unwrap();
        for (commit, path, lines) in owners {
            let path = String::from_utf8(path).unwrap();
            let told = repo.git(&["blame", "-s", "--root", "--abbrev=40", &commit.to_string(), "--", &path]);
            let told: Vec<&str> = told.lines().map(|line| &line[..40]).collect();
            assert_eq!(lines.iter().map(ToString::to_string).collect::<Vec<_>>(), told, "{commit} {path}");
        }
    }
}

/// A checkpoint that was made with other settings, or for another repository, says so and is not used.
#[test]
fn checkpoints_for_something_else() {
    let mut repo = Repo::new();
    history(&mut repo, 51, 30);
    repo.import();
    let folder = tempfile::tempdir().unwrap();
    let options = with(folder.path());
    let (_, summary) = run(&repo, &options);
    summary.next.unwrap().save().unwrap();
    let strict = ripsrc::count::Options { lines_max: 10, ..ripsrc::count::Options::default() };
    let cases = [
        Options { blame: false, ..options.clone() },
        Options { count: None, ..options.clone() },
        Options { count: Some(strict), ..options.clone() },
        Options { rename_limit: 3, ..options.clone() },
    ];
    for other in cases {
        let (records, summary) = run(&repo, &other);
        let CheckpointUse::Unusable(why) = &summary.checkpoint else { panic!("{:?}", summary.checkpoint) };
        assert!(why.contains("other settings"), "{why}");
        assert_eq!(records, run(&repo, &Options { checkpoint: None, ..other }).0);
    }
    // What changes no record is no other setting.
    let other = Options { threads: 1, memory_max: 500_000_000, ..options.clone() };
    assert_eq!(run(&repo, &other).1.checkpoint, CheckpointUse::Resumed);

    let mut foreign = Repo::new();
    let a = foreign.commit("main", &[], &[write("f", "somebody else's\n")]);
    foreign.commit("main", &[a], &[write("f", "somebody else's, more\n")]);
    foreign.import();
    let (records, summary) = run(&foreign, &options);
    assert!(matches!(&summary.checkpoint, CheckpointUse::Unusable(why) if why.contains("another repository")));
    assert_eq!(records, run(&foreign, &Repo::options()).0);
    let mut sha256 = Repo::with_hash("sha256");
    sha256.commit("main", &[], &[write("f", "x\n")]);
    sha256.import();
    assert!(matches!(run(&sha256, &options).1.checkpoint, CheckpointUse::Unusable(_)));
    // A repository with nothing in it yet is no other one.
    let (records, summary) = run(&Repo::new(), &options);
    assert_eq!((records.len(), summary.checkpoint), (0, CheckpointUse::Resumed));
    // The old version, whatever it holds.
    std::fs::write(folder.path().join("ripsrc.checkpoint"), b"ripsrc checkpoint 1\nnot looked at").unwrap();
    let (records, summary) = run(&repo, &options);
    assert!(matches!(&summary.checkpoint, CheckpointUse::Unusable(why) if why.contains("another version")));
    assert_eq!(records, run(&repo, &Repo::options()).0);
}

/// All history is replaced by another, and later the old one comes back: nothing is given out twice.
#[test]
fn a_history_replaced_and_back() {
    let mut repo = Repo::new();
    let folder = tempfile::tempdir().unwrap();
    let options = with(folder.path());
    let a = repo.commit("main", &[], &[write("f", lines("x", 20))]);
    let b = repo.commit("main", &[a], &[write("f", lines("x", 22))]);
    let c = repo.commit("other", &[], &[write("f", lines("x", 21))]);
    let d = repo.commit("main", &[b], &[write("f", lines("x", 23))]);
    repo.import();
    let mut given = vec![];
    for (tip, abandoned) in [(b, None), (c, Some(b)), (d, Some(c))] {
        stand(&repo, &vec![("main".to_owned(), tip)]);
        let (records, summary) = run(&repo, &options);
        assert_eq!(summary.abandoned, abandoned.map(|mark| repo.oid(mark)).into_iter().collect::<Vec<_>>());
        given.extend(records);
        summary.next.unwrap().save().unwrap();
    }
    stand(&repo, &vec![("main".to_owned(), d), ("other".to_owned(), c)]);
    assert_eq!(sorted(given), sorted(run(&repo, &Repo::options()).0));
}

/// Whatever bytes a checkpoint has, with a sum that is wrong or right: it is not used, or read without a fault.
#[test]
fn checkpoints_of_any_bytes() {
    use sha2::Digest;
    let mut repo = Repo::new();
    history(&mut repo, 52, 40);
    repo.import();
    repo.git(&["symbolic-ref", "HEAD", "refs/heads/b0"]);
    let folder = tempfile::tempdir().unwrap();
    let options = with(folder.path());
    let (all, summary) = run(&repo, &options);
    summary.next.unwrap().save().unwrap();
    let path = folder.path().join("ripsrc.checkpoint");
    let good = std::fs::read(&path).unwrap();
    for len in (0..good.len()).step_by(good.len() / 40) {
        std::fs::write(&path, &good[..len]).unwrap();
        let (records, summary) = run(&repo, &options);
        assert!(matches!(summary.checkpoint, CheckpointUse::Unusable(_)), "{len} bytes");
        assert_eq!(records, all);
    }
    // With a sum that fits, as somebody who wants to do harm would write it: branches move on, so that it is used.
    let mut random = Random::new(3);
    repo.git(&["update-ref", "refs/heads/b0", "refs/heads/b0~3"]);
    let body = good.len() - 32;
    let (mut refused, mut used) = (0, 0);
    for _ in 0..300 {
        let mut bad = good[..body].to_vec();
        for _ in 0..=random.below(3) {
            let at = 20 + random.below(bad.len() - 20);
            match random.below(5) {
                0 => bad.truncate(at),
                1 => bad.insert(at, 0xff),
                _ => bad[at] = [0, 1, 0x7f, 0x80, 0xff, random.below(256) as u8][random.below(6)],
            }
        }
        let sum = sha2::Sha256::digest(&bad);
        bad.extend_from_slice(&sum);
        std::fs::write(&path, &bad).unwrap();
        let result = repo.open().code(&options, &mut |_| Ok(()));
        match result.map(|summary| summary.checkpoint) {
            Ok(CheckpointUse::Unusable(_)) => refused += 1,
            _ => used += 1,
        }
    }
    assert!(refused > 50 && used > 50, "{refused} refused, {used} used");
}

/// Killed between writing and renaming, run twice at once, or where nothing can be written: the one before stays.
#[test]
fn saving_is_all_or_nothing() {
    let mut repo = Repo::new();
    history(&mut repo, 53, 30);
    repo.import();
    let folder = tempfile::tempdir().unwrap();
    let options = with(folder.path());
    let (all, summary) = run(&repo, &options);
    let next = summary.next.unwrap();
    std::fs::write(folder.path().join("ripsrc.checkpoint.new"), b"half of o").unwrap();
    assert_eq!(run(&repo, &options).1.checkpoint, CheckpointUse::Absent);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| next.save().unwrap()));
        }
    });
    assert_eq!(run(&repo, &options).1.checkpoint, CheckpointUse::Resumed);
    std::fs::write(folder.path().join("ripsrc.checkpoint.new"), b"half of o").unwrap();
    let (records, summary) = run(&repo, &options);
    assert_eq!((records.len(), summary.checkpoint), (0, CheckpointUse::Resumed));
    // A file in the place of the folder.
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let options = with(&file);
    match repo.open().code(&options, &mut |_| Ok(())) {
        Ok(summary) => assert!(summary.next.unwrap().save().is_err()),
        Err(error) => assert!(error.to_string().contains("checkpoint"), "{error}"),
    }
    // A folder that is yet to be made.
    let options = with(&folder.path().join("a/b"));
    let (records, summary) = run(&repo, &options);
    assert_eq!(records, all);
    summary.next.unwrap().save().unwrap();
    assert_eq!(run(&repo, &options).1.checkpoint, CheckpointUse::Resumed);
}

/// Of two thousand branches, each tells what it has of its own and not all files again.
#[test]
fn a_checkpoint_of_many_branches_is_small() {
    let mut repo = Repo::new();
    let names: Vec<String> = (0..1_000).map(|at| format!("d{}/f{at}", at % 30)).collect();
    let all: Vec<Do<'_>> = names.iter().map(|name| write(name, lines(name, 5))).collect();
    let base = repo.commit("main", &[], &all);
    for at in 0..2_000usize {
        repo.commit(&format!("b{at}"), &[base], &[write(&names[at % 1_000], lines("own", 6))]);
    }
    repo.import();
    let folder = tempfile::tempdir().unwrap();
    let options = with(folder.path());
    let next = run(&repo, &options).1.next.unwrap();
    // 2,001 commits of twenty bytes, as many tips with a file each, a thousand paths.
    assert!(next.size() < 200_000, "{} bytes", next.size());
    next.save().unwrap();
    let one = repo.commit("b7", &[repo.mark() - 1_993], &[write("d0/new", "x\n")]);
    repo.import();
    let (records, summary) = run(&repo, &options);
    assert_eq!((records.len(), summary.recomputed, summary.checkpoint), (2, 0, CheckpointUse::Resumed));
    assert!(records[0].contains(&repo.oid(one).to_string()));
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
        let watch = Watch::stopped_by(Arc::clone(&stop));
        let options = Options { threads, watch, ..Repo::options() };
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

//! Runs that are looked at and stopped from outside, and commits by their names.

use crate::random::history;
use crate::repo::{Repo, lines, write};
use ripsrc::{Options, Phase, ResolveError, RunError, ValidateError, Watch};

#[test]
fn a_run_tells_how_far_it_is() {
    let mut repo = Repo::new();
    history(&mut repo, 80, 60);
    repo.import();
    let watch = Watch::default();
    let mut seen = vec![];
    let options = Options { watch: watch.clone(), ..Repo::options() };
    repo.open()
        .code(&options, &mut |_| {
            seen.push(watch.progress());
            Ok(())
        })
        .unwrap();
    assert!(seen.iter().all(|progress| progress.phase == Phase::Records && progress.total > 10));
    let last = watch.progress();
    assert_eq!((last.phase, last.done), (Phase::Records, last.total));
}

#[test]
fn a_run_that_was_stopped_gives_nothing_more() {
    let mut repo = Repo::new();
    history(&mut repo, 81, 60);
    repo.import();
    repo.git(&["repack", "-adfq"]);
    for threads in [1, 3] {
        let options = Options { threads, watch: Watch::default(), ..Repo::options() };
        options.watch.stop();
        let mut count = 0;
        let result = repo.open().code(&options, &mut |_| {
            count += 1;
            Ok(())
        });
        assert!(matches!(result, Err(RunError::Stopped)) && count == 0, "{result:?}");
        assert!(matches!(repo.open().code_json(&options, &mut vec![]), Err(RunError::Stopped)));
        assert!(matches!(repo.open().branches(&options, &mut |_| Ok(())), Err(RunError::Stopped)));
        let compared = repo.open().validate(&options, 1, 1);
        assert!(matches!(compared, Err(ValidateError::Run(RunError::Stopped))), "{compared:?}");
    }
}

#[test]
fn commits_have_names() {
    let mut repo = Repo::new();
    let mut last = repo.commit("main", &[], &[write("f", lines("x", 3))]);
    let first = last;
    // As many objects as it takes for two of them to begin with the same four digits.
    for at in 0..600 {
        last = repo.commit("main", &[last], &[write("f", format!("{at}\n"))]);
    }
    repo.git(&["config", "fastimport.unpackLimit", "100000"]);
    repo.import();
    let (first, tip) = (repo.oid(first), repo.oid(last));
    repo.git(&["tag", "v1", &first.to_string()]);
    repo.git(&["update-ref", "refs/remotes/origin/topic", &first.to_string()]);
    repo.git(&["symbolic-ref", "HEAD", "refs/heads/main"]);
    // First as single files, then in a pack.
    for loose in [true, false] {
        let opened = repo.open();
        for name in ["main", "heads/main", "refs/heads/main", "HEAD", "@", &tip.to_string(), &tip.to_string()[..20]] {
            assert_eq!(opened.resolve(name).unwrap(), tip, "{name}, loose: {loose}");
        }
        for name in ["v1", "tags/v1", "origin/topic", &first.to_string().to_uppercase()] {
            assert_eq!(opened.resolve(name).unwrap(), first, "{name}, loose: {loose}");
        }
        for name in ["", "v2", "abc", "main/", "../HEAD", "HEAD~1", &"0".repeat(40), &"0".repeat(64)] {
            assert!(matches!(opened.resolve(name), Err(ResolveError::Unknown(_))), "{name}, loose: {loose}");
        }
        let blob = repo.git(&["rev-parse", "HEAD:f"]);
        assert!(matches!(opened.resolve(blob.trim()), Err(ResolveError::NotACommit(_))));
        // What git takes for the one commit that begins so, and what it finds several for.
        let (mut one, mut many) = (0, 0);
        for oid in repo.git(&["rev-list", "HEAD"]).lines() {
            let beginning = &oid[..4];
            let shared = repo.git(&["rev-list", "HEAD"]).lines().filter(|other| other.starts_with(beginning)).count();
            match opened.resolve(beginning) {
                Ok(found) => {
                    one += 1;
                    assert_eq!((found.to_string().as_str(), shared), (oid, 1));
                }
                Err(ResolveError::Ambiguous { candidates, .. }) => {
                    many += 1;
                    assert_eq!(candidates.len(), shared);
                }
                Err(other) => panic!("{beginning}: {other}"),
            }
        }
        assert!(one > 0 && one + many == 601, "{one} and {many}");
        repo.git(&["repack", "-adfq"]);
    }
    let who = ["-c", "user.name=a", "-c", "user.email=a@x"];
    repo.git(&[&who[..], &["tag", "-a", "-m", "x", "v2", &first.to_string()]].concat());
    assert_eq!(repo.open().resolve("v2").unwrap(), first, "tags that say something are followed");
}

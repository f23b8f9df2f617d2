//! Durability proved by killing: an export that is killed and started again, however often and wherever, and whatever a power
//! failure takes of what was not synced, brings each record to the sink once.
//!
//! AGENT_KILLS says how many kills are enough (`make kills KILLS=1000`), and has every sync tried; AGENT_SEED repeats the
//! chance of a run that failed, as far as the machine's timing lets it.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::durability::agent::{End, Place};
use crate::durability::power::{Disk, Kill, Shim, Survives};
use crate::durability::random::Random;
use crate::durability::sink::{Union, difference, unfinished, union};

/// Sessions whose commits stay in the database, records and marks alike.
const SMALL: &str = r#"{"unique": "s-", "projects": 20, "records": 60, "checkpoint_every": 25}"#;

/// Sessions whose commits are segments and files of marks, enough of them for marks to be merged at the end of a run.
const LARGE: &str =
    r#"{"unique": "l-", "projects": 4, "records": 6000, "checkpoint_every": 2500, "record_bytes": 300}"#;

/// One session with both a segment and a batch in the database; few host calls.
const TINY: &str = r#"{"projects": 2, "records": 5, "checkpoint_every": 2, "record_bytes": 40000}"#;

/// What happens on one root: runs until one completes, for each phase in turn.
struct Story {
    name: &'static str,
    zstd: bool,
    /// What each phase changes in the configuration of the small and of the large integration.
    phases: &'static [[&'static str; 2]],
}

const STORIES: [Story; 4] = [
    Story { name: "an export", zstd: false, phases: &[["{}", "{}"]] },
    Story { name: "an export into zstd", zstd: true, phases: &[["{}", "{}"]] },
    Story {
        name: "everything again, then with changes",
        zstd: false,
        phases: &[
            [r#"{"full": true}"#, r#"{"full": true}"#],
            [r#"{"full": true, "changed": 30}"#, r#"{"full": true, "changed": 3000}"#],
        ],
    },
    Story {
        name: "more records later, then changes, into zstd",
        zstd: true,
        phases: &[
            [r#"{"records": 40}"#, r#"{"records": 3000}"#],
            ["{}", "{}"],
            [r#"{"full": true, "changed": 50}"#, r#"{"full": true, "changed": 5999}"#],
        ],
    },
];

impl Story {
    fn configure(&self, place: &Place, phase: usize) {
        let integrations = [("small", SMALL), ("large", LARGE)].into_iter().zip(self.phases[phase]);
        let integrations: Vec<Value> =
            integrations.map(|((name, base), change)| integration(name, base, change)).collect();
        place.configure(&json!(integrations), self.zstd);
    }
}

fn integration(name: &str, base: &str, change: &str) -> Value {
    let mut config: BTreeMap<String, Value> = serde_json::from_str(base).unwrap();
    config.extend(serde_json::from_str::<BTreeMap<String, Value>>(change).unwrap());
    json!({ "name": name, "component": "mock", "config": config })
}

/// A phase that nobody disturbed.
struct Undisturbed {
    union: Union,
    took: Duration,
}

/// Each story's phases undisturbed, and the place of the first of them.
fn undisturbed() -> &'static (Place, Vec<Vec<Undisturbed>>) {
    static STORIES_UNDISTURBED: OnceLock<(Place, Vec<Vec<Undisturbed>>)> = OnceLock::new();
    STORIES_UNDISTURBED.get_or_init(|| {
        let warm = Place::new();
        warm.compiled();
        warm.configure(&json!([integration("warm", r#"{"projects": 0}"#, "{}")]), false);
        assert_eq!(warm.run(warm.export(), None), End::Completed);
        let stories = STORIES.iter().map(|story| {
            let place = Place::new();
            place.warm(&warm);
            let phase = |number| {
                story.configure(&place, number);
                let began = Instant::now();
                assert_eq!(place.run(place.export(), None), End::Completed);
                Undisturbed { union: union(&place.out()), took: began.elapsed() }
            };
            (0..story.phases.len()).map(phase).collect()
        });
        let stories = stories.collect();
        (warm, stories)
    })
}

/// How many kills are asked for, if anybody asks.
fn kills_asked() -> Option<u64> {
    std::env::var("AGENT_KILLS").ok().map(|kills| kills.parse().expect("AGENT_KILLS is not a number"))
}

/// Chance, whose seed is told if the test fails.
fn chance(test: &str) -> Random {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into();
    let seed =
        std::env::var("AGENT_SEED").map_or_else(|_| now(), |seed| seed.parse().expect("AGENT_SEED is no number"));
    println!("{test}: AGENT_SEED={seed}");
    Random::seeded(seed)
}

/// What was done, for people.
#[derive(Default)]
struct Tally {
    stories: u64,
    kills: u64,
    of_which: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn killed(&mut self, how: &'static str) {
        self.kills += 1;
        *self.of_which.entry(how).or_default() += 1;
    }

    fn print(&self, test: &str) {
        println!("{test}: {} kills in {} stories: {:?}", self.kills, self.stories, self.of_which);
    }
}

/// Insists that exactly this is at the sink, that nothing is left lying about, and that the root is sound.
fn judge(place: &Place, expected: &Union, what: &str) {
    if let Some(difference) = difference(expected, &union(&place.out())) {
        panic!("{what}: {difference}\nits root is kept in {}", place.keep().display());
    }
    let segments = std::fs::read_dir(place.root().join("store/segments")).unwrap().count();
    assert_eq!((segments, unfinished(&place.out())), (0, 0), "{what}: segments and unfinished files that were left");
    place.examine();
}

#[test]
fn random_kills_lose_nothing_and_repeat_nothing() {
    let test = "random kills";
    let mut random = chance(test);
    let mut tally = Tally::default();
    let (warm, undisturbed) = undisturbed();
    for (story, undisturbed) in STORIES.iter().zip(undisturbed).cycle() {
        if tally.kills >= kills_asked().unwrap_or(40) {
            break;
        }
        let place = Place::new();
        // Cold, it is compiling the component that is interrupted too.
        if !random.one_in(4) {
            place.warm(warm);
        }
        for (phase, undisturbed) in undisturbed.iter().enumerate() {
            story.configure(&place, phase);
            let mut micros = undisturbed.took.as_micros() as u64;
            while place.run(place.export(), Some(Duration::from_micros(random.below(micros)))) == End::Killed {
                tally.killed(place.moment());
                // More time after each kill, so that a run gets through in the end.
                micros += micros / 10;
            }
            judge(&place, &undisturbed.union, &format!("{}, phase {phase}, after {} kills", story.name, tally.kills));
        }
        tally.stories += 1;
    }
    tally.print(test);
}

/// A place for the tiny export, and what should be at its sink in the end.
fn tiny_export() -> (Place, Union) {
    let place = tiny_place();
    place.compiled();
    assert_eq!(place.run(place.export(), None), End::Completed);
    let expected = union(&place.out());
    assert_eq!(expected.len(), 2 + 4 + 2 * 5, "projects, users, issues");
    (place, expected)
}

fn tiny_place() -> Place {
    let place = Place::new();
    place.configure(&json!([integration("mock", TINY, "{}")]), false);
    place
}

/// Runs an export that is killed after so many host calls.
fn run_for_host_calls(place: &Place, host_calls: u64) -> End {
    let mut export = place.export();
    export.arg("--kill-after").arg(host_calls.to_string());
    place.run(export, None)
}

#[test]
fn one_root_is_killed_after_ever_more_host_calls() {
    let (warm, expected) = tiny_export();
    let place = tiny_place();
    place.warm(&warm);
    let kills = (1..).take_while(|host_calls| run_for_host_calls(&place, *host_calls) == End::Killed).count();
    assert!(kills > 10, "there were {kills} kills only");
    judge(&place, &expected, &format!("after {kills} kills"));
    println!("ever more host calls on one root: {kills} kills");
}

#[test]
fn every_host_call_may_be_the_last() {
    let (warm, expected) = tiny_export();
    for host_calls in 1.. {
        let place = tiny_place();
        place.warm(&warm);
        let killed = run_for_host_calls(&place, host_calls) == End::Killed;
        if killed {
            assert_eq!(place.run(place.export(), None), End::Completed);
        }
        judge(&place, &expected, &format!("killed after host call {host_calls}"));
        if !killed {
            assert!(host_calls > 20, "there were {host_calls} host calls only");
            println!("every host call on a root of its own: {} kills", host_calls - 1);
            break;
        }
    }
}

/// The shim, or none where it cannot be had: then the test is skipped by name, which is a failure where CI is set.
pub fn shim(test: &str) -> Option<Shim> {
    match Shim::build() {
        Ok(shim) => Some(shim),
        Err(missing) => {
            let skipped = format!("skipped {test}: there is no {missing}; 1 skipped");
            let is_ci = std::env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "false"));
            assert!(!is_ci, "{skipped}");
            eprintln!("{skipped}");
            None
        }
    }
}

#[test]
fn power_failures_lose_nothing_and_repeat_nothing() {
    let test = "power failures";
    let Some(shim) = shim(test) else { return };
    let mut random = chance(test);
    let mut tally = Tally::default();
    let (warm, undisturbed) = undisturbed();
    for (story, undisturbed) in STORIES.iter().zip(undisturbed).cycle() {
        if tally.kills >= kills_asked().unwrap_or(15) {
            break;
        }
        let place = Place::new();
        let disk = Disk::new(&shim, place.disk(), place.path().join("shadow"));
        for (phase, undisturbed) in undisturbed.iter().enumerate() {
            story.configure(&place, phase);
            let what = format!("{}, phase {phase}, after {} kills", story.name, tally.kills);
            // Few syncs at first, then more, so that a run gets through in the end.
            for kills in 1.. {
                let mut export = place.export();
                let sync = 1 + random.below(20 + 10 * kills);
                let kill = if random.one_in(2) { Kill::Before(sync) } else { Kill::After(sync) };
                disk.watch(&mut export, Some(kill));
                if place.run(export, None) == End::Completed {
                    break;
                }
                tally.killed(strike(&disk, &mut random));
                if place.root().exists() && !random.one_in(4) {
                    place.warm(warm);
                }
            }
            judge_for_good(&place, &disk, &undisturbed.union, &what, &mut random);
        }
        tally.stories += 1;
    }
    tally.print(test);
}

/// After a kill: the power fails, or it does not.
fn strike(disk: &Disk<'_>, random: &mut Random) -> &'static str {
    match random.below(4) {
        0 => "the power holding",
        1 => {
            disk.fail(Survives::Some, random);
            "the power failing, some of what was not synced surviving"
        }
        _ => {
            disk.fail(Survives::Nothing, random);
            "the power failing, nothing surviving that was not synced"
        }
    }
}

/// Lets the power fail after a run that ended well: what it delivered is at the sink for good, and another run has nothing
/// to add.
fn judge_for_good(place: &Place, disk: &Disk<'_>, expected: &Union, what: &str, random: &mut Random) {
    disk.fail(Survives::Nothing, random);
    if let Some(difference) = difference(expected, &union(&place.out())) {
        panic!("{what}, the power failing after the end: {difference}\nits root is kept in {}", place.keep().display());
    }
    let mut export = place.export();
    disk.watch(&mut export, None);
    assert_eq!(place.run(export, None), End::Completed);
    judge(place, expected, what);
}

#[test]
fn every_sync_may_be_the_last() {
    let test = "every sync";
    let Some(shim) = shim(test) else { return };
    let mut random = chance(test);
    let (warm, expected) = tiny_export();
    // Some of them, others every time, where nobody asks for more.
    let step = if kills_asked().is_some() { 1 } else { 6 };
    for survives in [None, Some(Survives::Nothing), Some(Survives::Some)] {
        for sync in (1 + random.below(step)..).step_by(step as usize) {
            let place = tiny_place();
            place.warm(&warm);
            let disk = Disk::new(&shim, place.disk(), place.path().join("shadow"));
            let run = |kill| {
                let mut export = place.export();
                disk.watch(&mut export, kill);
                place.run(export, None)
            };
            let killed = run(Some(Kill::Before(sync))) == End::Killed;
            if killed {
                if let Some(survives) = survives {
                    disk.fail(survives, &mut random);
                }
                assert_eq!(run(None), End::Completed);
            }
            let what = format!("killed before sync {sync}, of what was not synced {survives:?} surviving");
            judge_for_good(&place, &disk, &expected, &what, &mut random);
            if !killed {
                assert!(sync > 20, "there were {sync} syncs only: is the shim loaded?");
                println!("{test}, surviving {survives:?}: {} kills", (sync - 1) / step);
                break;
            }
        }
    }
}

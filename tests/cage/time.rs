//! Guests that do not come back, by a time that the tests have in hand: it passes when they say so, and then the guest's
//! limit is reached, wherever in the guest it was. Nothing here waits for a clock.

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use agent::config::{Limits, NetworkRule};
use agent::egress::{Egress, Policy};
use agent::logs::Logs;
use agent::sandbox::{Call, CallEnd, CallReport, Compiler, Door, Loaded, ManualTime, Options, Sandbox};
use agent::shutdown::Shutdown;
use tests::wait_until;
use tokio::runtime::Runtime;

use super::guests;

/// What passes between two looks.
const STEP: Duration = Duration::from_millis(50);

struct Cage {
    folder: tempfile::TempDir,
    sandbox: Sandbox,
    time: ManualTime,
    shutdown: Shutdown,
    runtime: Runtime,
}

impl Cage {
    fn new() -> Cage {
        let (folder, time) = (tempfile::tempdir().unwrap(), ManualTime::default());
        let options = Options { compiler: Compiler::InProcess, time: Some(time.clone()), ..Options::default() };
        let sandbox = Sandbox::new(&folder.path().join("cache"), &options).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Cage { folder, sandbox, time, shutdown: Shutdown::default(), runtime }
    }

    fn load(&self, component: &[u8]) -> Loaded {
        let path = self.folder.path().join("guest.wasm");
        fs::write(&path, component).unwrap();
        self.sandbox.load(&path).unwrap()
    }

    fn nothing(&self) -> Door {
        Door::nothing("test", &Logs::none(), &self.shutdown)
    }

    /// Calls `export`, and lets time pass until it ends.
    fn run(&self, loaded: &Loaded, door: Door, limits: &Limits, config: &str) -> CallReport {
        let (sandbox, loaded, limits) = (self.sandbox.clone(), loaded.clone(), limits.clone());
        let (shutdown, config) = (self.shutdown.clone(), config.to_owned());
        let _inside = self.runtime.enter();
        let call = self
            .shutdown
            .spawn(async move { sandbox.call(&loaded, door, &limits, Call::Export { config }, &shutdown).await });
        wait_until("the call ends", || {
            self.time.advance(STEP);
            self.sandbox.tick();
            call.is_finished()
        });
        self.runtime.block_on(call).unwrap()
    }
}

fn cpu(time: Duration) -> Limits {
    Limits { cpu_time_max: time, wall_time_max: Duration::MAX, ..Limits::default() }
}

#[track_caller]
fn is_limit(report: &CallReport, expected: (&str, &str)) {
    match &report.end {
        CallEnd::Limit { name, value } => assert_eq!((*name, value.as_str()), expected),
        end => panic!("{end:?}"),
    }
}

#[test]
fn a_guest_that_does_not_come_back_meets_its_running_time_wherever_it_is() {
    let cage = Cage::new();
    for (name, guest) in [
        ("export", guests::loops_in_export()),
        ("start function", guests::loops_in_start()),
        ("cabi_realloc", guests::loops_in_realloc()),
        ("cabi_realloc, called by a host call", guests::loops_in_realloc_of_a_host_call()),
        ("destructor", guests::loops_in_destructor()),
    ] {
        let report = cage.run(&cage.load(&guest), cage.nothing(), &cpu(Duration::from_secs(7)), "{}");
        is_limit(&report, ("cpu_time_max", "7 s"));
        assert!(report.cpu >= Duration::from_secs(7), "{name}: {report:?}");
    }
}

/// More guests that never let go than there are processors: each still meets its own limit, a short call beside them is
/// answered, and those that stand in the queue when their time is over end like the others.
#[test]
fn loops_on_every_processor_neither_keep_others_out_nor_stay() {
    let cage = Cage::new();
    let path = |name: &str| cage.folder.path().join(name);
    fs::write(path("loops.wasm"), guests::loops_in_export()).unwrap();
    fs::write(path("good.wasm"), guests::good()).unwrap();
    let loops = cage.sandbox.load(&path("loops.wasm")).unwrap();
    let good = cage.sandbox.load(&path("good.wasm")).unwrap();
    let limits = Limits { wall_time_max: Duration::from_secs(3600), ..cpu(Duration::MAX) };
    let _inside = cage.runtime.enter();
    let tasks: Vec<_> = (0..3 * agent::shutdown::processors() + 1)
        .map(|_| {
            let (sandbox, door, shutdown) = (cage.sandbox.clone(), cage.nothing(), cage.shutdown.clone());
            let (loops, limits) = (loops.clone(), limits.clone());
            cage.shutdown.spawn(async move {
                sandbox.call(&loops, door, &limits, Call::Export { config: "{}".to_owned() }, &shutdown).await
            })
        })
        .collect();
    for _ in 0..20 {
        let report = cage.run(&good, cage.nothing(), &cpu(Duration::MAX), "{}");
        assert_eq!(report.end, CallEnd::Ok("{}".to_owned()));
    }
    cage.time.advance(Duration::from_secs(3600));
    for task in tasks {
        wait_until("a loop ends", || {
            cage.sandbox.tick();
            task.is_finished()
        });
        is_limit(&cage.runtime.block_on(task).unwrap(), ("wall_time_max", "3600 s"));
    }
}

/// A guest that does nothing is not charged for the time of others.
#[test]
fn a_good_guest_ends_well_whatever_the_time() {
    let cage = Cage::new();
    let loaded = cage.load(&guests::good());
    for _ in 0..100 {
        let report = cage.run(&loaded, cage.nothing(), &cpu(Duration::from_secs(3600)), "{}");
        assert_eq!(report.end, CallEnd::Ok("{}".to_owned()));
    }
}

#[test]
fn after_a_trap_nothing_of_the_instance_is_called_again_and_the_next_call_is_as_good_as_the_first() {
    let cage = Cage::new();
    let trapping = cage.load(&guests::traps_by_name());
    for _ in 0..3 {
        let report = cage.run(&trapping, cage.nothing(), &cpu(Duration::from_secs(3600)), "{}");
        let CallEnd::Trapped { message, backtrace } = report.end else { panic!("{report:?}") };
        assert!(message.contains("unreachable"), "{message}");
        // Innermost first, by the names that the component has.
        let frames: Vec<&str> = backtrace.lines().collect();
        for (frame, name) in frames.iter().zip(["innermost_of_all", "in_between", "export"]) {
            assert!(frame.contains(name), "{backtrace}");
        }
    }
}

/// A server that takes the connection and never answers: the host call waits, and the call ends when its time is over.
#[test]
fn a_blocked_host_call_ends_with_its_run_and_leaves_no_task() {
    let cage = Cage::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let rule = NetworkRule { scheme: "http".into(), host: "127.0.0.1".into(), port, methods: vec![], path: "/".into() };
    let policy = Arc::new(Policy {
        asked: vec![rule.clone()],
        granted: vec![rule],
        private_hosts: vec!["127.0.0.1".into()],
        credentials_asked: Vec::new(),
        credentials: Default::default(),
    });
    let url = format!("http://127.0.0.1:{port}/");
    let tasks = || cage.runtime.metrics().num_alive_tasks();
    for how in ["send", "take", "wait"] {
        let loaded = cage.load(&guests::waits_for(&url, how));
        let door = cage.nothing().with_network(Egress::new(), Arc::clone(&policy));
        let limits = Limits { wall_time_max: Duration::from_secs(2), ..cpu(Duration::MAX) };
        let report = cage.run(&loaded, door, &limits, "{}");
        is_limit(&report, ("wall_time_max", "2 s"));
        wait_until("no task is left", || tasks() == 0);
    }
    // Each had got as far as the server.
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_ok());
}

//! The cage: engine, compiled-component cache, pre-linked instances, limits, and how a call ended. It knows what an instance
//! may use up, and nothing of what integrations are for; what a guest may ask of the host is in `hostcalls`.

mod anatomy;
mod backtrace;
mod cache;
mod compile;
mod confine;
mod engine;
mod instance;
pub(crate) mod kill;
mod limits;
mod load;
mod polls;
mod turns;
mod wasi;
mod weight;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::bindings::AgentIntegrationPre;
use crate::config::{CompileLimits, Limits};
use crate::lock;
use crate::shutdown::{self, Shutdown};

pub use crate::hostcalls::{Door, GitGrant, Seen, Witness};
pub use anatomy::{Anatomy, CONTRACT_OFFERED, Import, Kind, Link};
pub use cache::CacheError;
pub use compile::{CompileError, CompileTask, Compiler, EXIT_MALFORMED, SUBCOMMAND, compile_component};
pub use confine::keep_memory_private;
pub use limits::ManualTime;
pub use load::{COMPONENT_BYTES_MAX, LoadError};
pub(crate) use wasi::seed;

/// How long a guest has, after the end has been asked for, to reach its next checkpoint and return.
pub const GRACE: Duration = Duration::from_secs(10);

/// One of the six calls into a guest. Documents are JSON text.
#[derive(Debug, Clone)]
pub enum Call {
    Describe,
    ValidateConfig { config: String },
    OnboardExport { kind: String, config: String },
    Export { config: String },
    Mutate { name: String, data: String, config: String },
    Webhook { headers: Vec<(String, String)>, body: Vec<u8>, config: String },
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEnd {
    /// The guest's document.
    Ok(String),
    /// The guest returned an error. `kind` is the case of the contract's variant (`invalid`, `not-found`, …).
    Failed { kind: &'static str, message: String },
    /// The guest trapped of its own doing: a panic, an unreachable, an out-of-bounds access.
    Trapped { message: String, backtrace: String },
    /// A limit was broken: its name as in `config::Limits`, its value with unit.
    Limit { name: &'static str, value: String },
    /// The run was told to end and did not in time.
    Cancelled,
}

/// A call's end and what it used.
#[derive(Debug, Clone)]
pub struct CallReport {
    pub end: CallEnd,
    /// The guest's own running time.
    pub cpu: Duration,
    pub wall: Duration,
    /// The largest sum of its memories and tables, bytes.
    pub memory_bytes_peak: u64,
    pub host_calls: u64,
    /// Instructions of WebAssembly that the guest ran, the engine's own count; where `Options::count_instructions` asks.
    pub instructions: Option<u64>,
}

/// How a sandbox is made.
#[derive(Clone, Default)]
pub struct Options {
    /// Count the guest's instructions: repeatable where times are not. Components are compiled in another form for it.
    pub count_instructions: bool,
    /// Name source lines in backtraces, where a component has debug information. Reading that is not safe against a component
    /// that forges it: for its author, in a process that does nothing else.
    pub source_lines: bool,
    /// Who compiles components.
    pub compiler: Compiler,
    /// What that may use, where a child does it.
    pub compile: CompileLimits,
    /// Ends compilations that are under way.
    pub shutdown: Shutdown,
    /// For tests: a time of their own, by which guests' limits are kept. Nothing ticks then but `Sandbox::tick`.
    pub time: Option<ManualTime>,
}

/// Why there can be no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The engine does not run on this machine.
    #[error("the WebAssembly engine cannot start on this machine: {0}")]
    Engine(String),
    /// The system gives no thread.
    #[error("the thread that keeps time for guests cannot start")]
    Ticker(#[source] std::io::Error),
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// The cage of one process. Clones share it.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    linker: Linker<instance::Cell>,
    cache: cache::Cache,
    turns: Arc<turns::Turns>,
    /// None where a test has the time.
    ticker: Option<engine::Ticker>,
    time: Option<ManualTime>,
    count_instructions: bool,
    /// None where this process compiles.
    children: Option<compile::Children>,
    /// What is loaded, by digest: integrations that run the same component share it.
    loaded: Mutex<HashMap<String, Slot>>,
}

/// The place of one component. Held while it is loaded, so that it is compiled once; others are not held up by it.
type Slot = Arc<Mutex<Weak<Component>>>;

impl Shared {
    /// The place of a component of this digest; those that nobody has any more are given up.
    fn slot(&self, digest: &str) -> Slot {
        let mut loaded = lock(&self.loaded);
        loaded.retain(|_, slot| Arc::strong_count(slot) > 1 || lock(slot).strong_count() > 0);
        Arc::clone(loaded.entry(digest.to_owned()).or_default())
    }
}

/// A component, compiled and joined to what the host offers, ready to be instantiated. Clones share it.
#[derive(Clone)]
pub struct Loaded {
    component: Arc<Component>,
}

struct Component {
    pre: AgentIntegrationPre<instance::Cell>,
    digest: String,
    bytes: u64,
    /// What its instances take of the host beside memories and tables, bytes.
    weight: u64,
    habit: turns::Habit,
}

impl Loaded {
    /// SHA-256 of the component's file, 64 hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.component.digest
    }

    /// The size of the component's file, bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.component.bytes
    }
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("digest", &self.digest()).field("bytes", &self.bytes()).finish()
    }
}

impl Sandbox {
    /// Starts the engine. `cache_dir` is the folder of compiled components; it is made if it is not there, and refused if
    /// others could write to it.
    pub fn new(cache_dir: &Path, options: &Options) -> Result<Sandbox, SandboxError> {
        let form = engine::Form { count_instructions: options.count_instructions, source_lines: options.source_lines };
        let fault = |error: wasmtime::Error| SandboxError::Engine(format!("{error:#}"));
        let engine = Engine::new(&engine::config(form)).map_err(fault)?;
        let linker = instance::linker(&engine).map_err(fault)?;
        let cache = cache::Cache::open(cache_dir, &engine)?;
        let time = options.time.clone();
        let ticker = match time {
            None => Some(engine::Ticker::start(&engine).map_err(SandboxError::Ticker)?),
            Some(_) => None,
        };
        let count_instructions = options.count_instructions;
        let children = match &options.compiler {
            Compiler::InProcess => None,
            Compiler::Child(program) => {
                Some(compile::Children::new(program.clone(), options.compile.clone(), form, options.shutdown.clone()))
            }
        };
        let (loaded, turns) = (Mutex::default(), turns::Turns::new(shutdown::processors()));
        let shared = Shared { engine, linker, cache, turns, ticker, time, count_instructions, children, loaded };
        Ok(Sandbox { shared: Arc::new(shared) })
    }

    /// Loads a component. Blocking: a warm cache makes it a millisecond, a cold one compiles, which takes seconds for large
    /// components and ends at the latest when `Options::compile` or the shutdown says so.
    pub fn load(&self, path: &Path) -> Result<Loaded, LoadError> {
        self.load_pinned(path, None)
    }

    /// The same for a file that must be the one with this SHA-256, in hexadecimal. Another one is refused before anything of
    /// it is compiled.
    pub fn load_pinned(&self, path: &Path, pinned: Option<&str>) -> Result<Loaded, LoadError> {
        let bytes = load::read(path)?;
        let digest = load::digest(&bytes);
        if let Some(pinned) = pinned.filter(|pinned| **pinned != *digest) {
            let (path, pinned) = (path.to_owned(), pinned.to_owned());
            return Err(LoadError::Changed { path, pinned, found: digest });
        }
        load::judge(path, &bytes)?;
        let slot = self.shared.slot(&digest);
        let mut loaded = lock(&slot);
        if let Some(component) = loaded.upgrade() {
            return Ok(Loaded { component });
        }
        let Shared { engine, cache, children, linker, .. } = &*self.shared;
        let compiled = load::compile(engine, cache, children.as_ref(), path, &bytes, &digest)?;
        let pre = load::link(linker, path, &compiled)?;
        let component = Arc::new(Component {
            pre,
            digest,
            bytes: bytes.len() as u64,
            weight: weight::of(&bytes),
            habit: turns::Habit::default(),
        });
        *loaded = Arc::downgrade(&component);
        Ok(Loaded { component })
    }

    /// What a file says of itself, and its SHA-256 in hexadecimal and size, without compiling or running any of it.
    pub fn look(path: &Path) -> Result<(Anatomy, String, u64), LoadError> {
        let bytes = load::read(path)?;
        Ok((Anatomy::of(&bytes), load::digest(&bytes), bytes.len() as u64))
    }

    /// Makes busy guests yield and their running time be looked at. The ticker does so; only tests need to.
    pub fn tick(&self) {
        self.shared.engine.increment_epoch();
    }

    fn clock(&self) -> limits::Clock {
        match &self.shared.time {
            None => limits::Clock::Real,
            Some(time) => limits::Clock::Manual(time.clone()),
        }
    }

    async fn passed(&self, duration: Duration) {
        match &self.shared.time {
            None => tokio::time::sleep(duration).await,
            Some(time) => time.sleep(duration).await,
        }
    }

    /// A text that `remember` has kept about this component under this name, if it is still there. Names are for file names.
    #[must_use]
    pub fn recall(&self, loaded: &Loaded, name: &str) -> Option<String> {
        self.shared.cache.recall(loaded.digest(), name)
    }

    /// Keeps a text about a component beside its compiled form, for the next start. It may be gone then.
    pub fn remember(&self, loaded: &Loaded, name: &str, text: &str) {
        self.shared.cache.remember(loaded.digest(), name, text);
    }

    /// Makes a new instance, calls it once, and drops it. Ends at the latest when a limit is reached, or `GRACE` after
    /// the end has been asked for. If the future is dropped, the instance goes with it.
    pub async fn call(
        &self,
        loaded: &Loaded,
        door: Door,
        limits: &Limits,
        call: Call,
        shutdown: &Shutdown,
    ) -> CallReport {
        let started = Instant::now();
        let _ticking = self.shared.ticker.as_ref().map(engine::Ticker::run);
        let (log, witness) = (Arc::clone(door.log()), door.witness().cloned());
        let meter = Arc::new(limits::Meter::new(self.clock(), limits.cpu_time_max));
        let mut store = instance::store(&self.shared.engine, door, limits, &meter, loaded.component.weight);
        if self.shared.count_instructions {
            instance::count_instructions(&mut store, &log);
        }
        let fits = loaded.component.weight <= limits.memory_bytes_max;
        let run = self.shared.turns.run(&meter, &loaded.component.habit, async {
            match fits {
                true => instance::run(&mut store, &loaded.component.pre, call).await,
                // Before there is one instance.
                false => Err(limits::TooHeavy.into()),
            }
        });
        // The work is looked at first, and a short call ends there: no timer is set for it.
        let ended = tokio::select! {
            biased;
            answer = run => Ok(answer),
            () = self.passed(limits.wall_time_max) => {
                let name = "wall_time_max";
                Err(CallEnd::Limit { name, value: instance::limit_value(name, limits) })
            }
            () = cancelled(shutdown) => Err(CallEnd::Cancelled),
        };
        // Before the guest's last words are asked for: the last of them may have no line end.
        log.close();
        if let Some(witness) = witness {
            witness.logged(&log);
        }
        let memory = &store.data().memory;
        let end = match ended {
            Ok(Ok(answer)) => instance::answered(answer, limits),
            Ok(Err(trap)) => instance::trapped(&trap, limits, memory, &log),
            Err(end) => end,
        };
        CallReport {
            end,
            cpu: meter.used(),
            wall: started.elapsed(),
            memory_bytes_peak: memory.peak(),
            host_calls: store.data().host_calls,
            instructions: instance::instructions(&store),
        }
    }
}

/// Ends when the end has been asked for and the grace is over.
async fn cancelled(shutdown: &Shutdown) {
    shutdown.wait().await;
    tokio::time::sleep(GRACE).await;
}

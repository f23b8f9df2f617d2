//! The engine that all components of a process share, and its ticker: the thread whose ticks make a busy guest yield.
//! What a tick costs a guest is decided in `limits.rs`; what is compiled is kept by `cache.rs`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::{Config, Engine, EngineWeak, OptLevel, Strategy, WasmBacktraceDetails};

/// How often a busy guest yields its thread, and how exactly its CPU budget is kept. Shorter costs switches, longer
/// makes others wait.
const TICK: Duration = Duration::from_millis(10);

/// Ticks without a running guest after which the ticker sleeps, so that an idle agent does not wake the processor a
/// hundred times a second. Long enough that a stream of short calls does not wake a sleeping thread each time.
const TICKS_IDLE_MAX: u32 = 100;

/// Bytes of stack that a guest may use (`stack_bytes_max`). Recursive parsers of real documents stay far below.
pub(super) const STACK_BYTES_MAX: usize = 512 << 10;

/// Bytes of a guest's whole stack: the host functions that it calls run on the same one, above what is its own.
const FIBER_BYTES: usize = 2 << 20;

/// In which form components are compiled.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Form {
    /// `Options::count_instructions`.
    pub count_instructions: bool,
    /// `Options::source_lines`.
    pub source_lines: bool,
}

/// The settings of a production embedder. What is not compiled in (concurrency, garbage collection, threads, pooling)
/// needs no setting to be off. Counting instructions costs a guest about half of its speed. Source lines are read from debug
/// information, which is the component's to forge and whose readers take memory and stack without bounds: only an author
/// who runs a component alone has them.
pub(super) fn config(form: Form) -> Config {
    let lines = if form.source_lines { WasmBacktraceDetails::Enable } else { WasmBacktraceDetails::Disable };
    let mut config = Config::new();
    config
        // Winch compiles faster and has had the worse record.
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        .consume_fuel(form.count_instructions)
        .max_wasm_stack(STACK_BYTES_MAX)
        .async_stack_size(FIBER_BYTES)
        // No toolchain needs 64-bit memories, and they cost a bounds check at each access.
        .wasm_memory64(false)
        // An instance maps its memory's first contents instead of copying them.
        .memory_init_cow(true)
        .wasm_backtrace_details(lines);
    config
}

/// Makes an engine's epoch go on while guests run. Its thread holds the engine weakly and ends with this.
pub(super) struct Ticker {
    pulse: Arc<Pulse>,
}

/// What the ticker's thread and the callers share.
#[derive(Default)]
struct Pulse {
    /// Calls under way.
    running: AtomicUsize,
    /// The thread waits on `wake`.
    asleep: AtomicBool,
    /// Set once, by the ticker's end.
    ended: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Ticker {
    /// Starts the thread. Fails if the system gives no thread.
    pub(super) fn start(engine: &Engine) -> std::io::Result<Ticker> {
        let pulse = Arc::new(Pulse::default());
        let (shared, engine) = (Arc::clone(&pulse), engine.weak());
        std::thread::Builder::new().name("epoch".to_owned()).spawn(move || tick(&shared, &engine))?;
        Ok(Ticker { pulse })
    }

    /// Keeps the ticks coming for as long as the answer is held.
    pub(super) fn run(&self) -> Running {
        self.pulse.running.fetch_add(1, Ordering::SeqCst);
        if self.pulse.asleep.load(Ordering::SeqCst) {
            self.pulse.wake_up();
        }
        Running { pulse: Arc::clone(&self.pulse) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.pulse.ended.store(true, Ordering::SeqCst);
        self.pulse.wake_up();
    }
}

impl Pulse {
    fn wake_up(&self) {
        // Under the lock, so that the thread is either before its last look or already waiting.
        let _lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.wake.notify_one();
    }

    /// Sleeps until a call runs or the ticker ends.
    fn sleep(&self) {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.store(true, Ordering::SeqCst);
        while self.running.load(Ordering::SeqCst) == 0 && !self.ended.load(Ordering::SeqCst) {
            lock = self.wake.wait(lock).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

/// A call under way; the ticker ticks while there is one.
pub(super) struct Running {
    pulse: Arc<Pulse>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.pulse.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The thread of the ticker.
fn tick(pulse: &Pulse, engine: &EngineWeak) {
    let mut idle = 0;
    while !pulse.ended.load(Ordering::SeqCst) {
        // The rhythm itself: a tick late by a little changes nothing.
        #[allow(clippy::disallowed_methods)]
        std::thread::sleep(TICK);
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
        drop(engine);
        idle = if pulse.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
        if idle >= TICKS_IDLE_MAX {
            pulse.sleep();
            idle = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_one_that_the_engine_takes() {
        let engine = Engine::new(&config(Form::default())).expect("an engine");
        assert!(engine.get_epoch_interruption());
        assert!(!engine.get_concurrency_support());
    }

    #[test]
    fn a_sleeping_ticker_is_woken_by_a_call_and_by_the_end() {
        let pulse = Arc::new(Pulse::default());
        for end in [false, true] {
            let shared = Arc::clone(&pulse);
            let sleeper = std::thread::spawn(move || shared.sleep());
            let ticker = Ticker { pulse: Arc::clone(&pulse) };
            // Whichever comes first, the sleep ends; a lost wake-up would hang here.
            if end {
                drop(ticker);
                sleeper.join().expect("woken by the end");
            } else {
                let running = ticker.run();
                sleeper.join().expect("woken by a call");
                drop(running);
                std::mem::forget(ticker);
            }
        }
    }
}

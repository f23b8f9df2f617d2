//! One living copy of a component: its store with everything that limits it, the call, and how the call ended. The
//! limits themselves are measured in `limits.rs`; what the guest may ask of the host is in `hostcalls`.

use std::sync::Arc;

use wasmtime::component::{Linker, ResourceTableError};
use wasmtime::{CallHook, Engine, Store, Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::limits::{Memory, Meter, Spent};
use super::{Call, CallEnd, backtrace, engine, kill, limits, polls, wasi};
use crate::bindings::agent::integration::types;
use crate::bindings::exports::agent::integration::integration::{MutateError, OnboardError};
use crate::bindings::{AgentIntegration, AgentIntegrationPre};
use crate::cassette::Tape;
use crate::config::Limits;
use crate::cut;
use crate::hostcalls::{Door, Guest, GuestLog, HasGuest, LastWords, Outgoing, OutputSpent, Witness, link_answers};

/// What a store holds beside the instance.
pub(super) struct Cell {
    guest: Guest,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outgoing: Outgoing,
    pub(super) memory: Memory,
    meter: Arc<Meter>,
    witness: Option<Arc<Witness>>,
    tape: Option<Tape>,
    pub(super) host_calls: u64,
    /// Of those, the ones that have returned. Kept only where `kill` asks for it.
    returned: u64,
}

impl Cell {
    pub(super) fn tape(&self) -> Option<&Tape> {
        self.tape.as_ref()
    }

    /// One of our host calls begins its work.
    fn host_begins(&mut self) -> &mut Guest {
        self.meter.host_begins();
        self.host_calls += 1;
        &mut self.guest
    }

    /// A host call that has begun has now returned, unless it was one of the engine's own helpers.
    fn count_returned(&mut self) {
        if self.returned < self.host_calls {
            self.returned = self.host_calls;
            kill::host_call_returned(|| self.witness.as_ref().and_then(|witness| witness.last()));
        }
    }
}

impl WasiView for Cell {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.guest.table }
    }
}

impl WasiHttpView for Cell {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outgoing, table: &mut self.guest.table, ctx: &mut self.http }
    }
}

/// The imports that every instance may have: WASI with nothing in it, and the host calls.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Cell>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    polls::link(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    // Each host call comes past here between the copying of its arguments and its work: the guest's clock stands.
    AgentIntegration::add_to_linker::<Cell, HasGuest>(&mut linker, Cell::host_begins)?;
    linker.allow_shadowing(true);
    link_answers(&mut linker, Cell::host_begins)?;
    linker.allow_shadowing(false);
    Ok(linker)
}

/// A store with nothing in it yet. The instance's own `weight`, bytes, counts as its memory.
pub(super) fn store(engine: &Engine, door: Door, limits: &Limits, meter: &Arc<Meter>, weight: u64) -> Store<Cell> {
    let tape = door.tape().cloned();
    let wasi = wasi::context(door.log(), tape.as_ref());
    let witness = door.witness().cloned();
    let guest = Guest::new(door, limits);
    let cell = Cell {
        outgoing: guest.outgoing(),
        guest,
        wasi,
        http: WasiHttpCtx::new(),
        memory: Memory::new(limits.memory_bytes_max, weight),
        meter: Arc::clone(meter),
        witness,
        tape,
        host_calls: 0,
        returned: 0,
    };
    let mut store = Store::new(engine, cell);
    store.limiter(|cell| &mut cell.memory);
    store.set_hostcall_fuel(limits.hostcall_bytes_max);
    store.set_max_component_handles(limits.handles_max);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| {
        store.data().meter.check()?;
        Ok(UpdateDeadline::Yield(1))
    });
    store.call_hook(|mut store, event| {
        let meter = &store.data().meter;
        match event {
            CallHook::CallingWasm => meter.guest_begins(),
            CallHook::ReturningFromWasm => meter.guest_ends(),
            // The engine's own helpers come past here too; which it is shows in whether a host call begins.
            CallHook::CallingHost => {}
            CallHook::ReturningFromHost => {
                meter.host_ends()?;
                if let Some(witness) = &store.data().witness {
                    witness.leaves();
                }
                if kill::is_asked() {
                    store.data_mut().count_returned();
                }
            }
        }
        Ok(())
    });
    store
}

/// Begins to count a guest's instructions, in an engine that can.
pub(super) fn count_instructions(store: &mut Store<Cell>, log: &Arc<GuestLog>) {
    let cell = store.data_mut();
    cell.wasi = wasi::repeatable(log, cell.tape.as_ref());
    // Fails only where the engine does not count; then there is no count at the end.
    let _ = store.set_fuel(u64::MAX);
}

/// The instructions that have been run, if they are counted.
pub(super) fn instructions(store: &Store<Cell>) -> Option<u64> {
    store.get_fuel().ok().map(|left| u64::MAX - left)
}

/// Bytes of a guest's document: lists to choose from are the largest, and far below.
const RESULT_BYTES_MAX: usize = 16 << 20;

/// JSON values in a guest's document: in the host's memory the smallest takes thirty times its two bytes.
const RESULT_VALUES_MAX: usize = 2 << 20;

/// Bytes of a guest's error that are kept: it is shown in one place with everybody else's.
const ERROR_BYTES_MAX: usize = 4 << 10;

/// The call's end where the guest returned.
pub(super) fn answered(answer: Answer, limits: &Limits) -> CallEnd {
    match answer {
        Ok(document) if document.len() > RESULT_BYTES_MAX => {
            let name = "result_bytes_max";
            CallEnd::Limit { name, value: limit_value(name, limits) }
        }
        // Each comma and bracket begins a value, or stands in a text.
        Ok(document) if memchr::memchr3_iter(b',', b'[', b'{', document.as_bytes()).count() > RESULT_VALUES_MAX => {
            let name = "result_values_max";
            CallEnd::Limit { name, value: limit_value(name, limits) }
        }
        Ok(document) => CallEnd::Ok(document),
        Err((kind, mut message)) => {
            if message.len() > ERROR_BYTES_MAX {
                let all = message.len();
                message.truncate(cut(&message, ERROR_BYTES_MAX).len());
                message.push_str(&format!("… (cut: {all} bytes)"));
            }
            CallEnd::Failed { kind, message }
        }
    }
}

/// What a guest answered: its document, or the case and text of its error.
pub(super) type Answer = Result<String, (&'static str, String)>;

/// Instantiates, calls, and gives the guest's answer. An error is a trap.
pub(super) async fn run(
    store: &mut Store<Cell>,
    pre: &AgentIntegrationPre<Cell>,
    call: Call,
) -> wasmtime::Result<Answer> {
    let instance = pre.instantiate_async(&mut *store).await?;
    let guest = instance.agent_integration_integration();
    Ok(match call {
        Call::Describe => Ok(guest.call_describe(store).await?),
        Call::ValidateConfig { config } => guest.call_validate_config(store, &config).await?.map_err(error),
        Call::OnboardExport { kind, config } => {
            guest.call_onboard_export(store, &kind, &config).await?.map_err(onboard_error)
        }
        Call::Export { config } => guest.call_export(store, &config).await?.map_err(error),
        Call::Mutate { name, data, config } => {
            guest.call_mutate(store, &name, &data, &config).await?.map_err(mutate_error)
        }
        Call::Webhook { headers, body, config } => {
            guest.call_webhook(store, &headers, &body, &config).await?.map_err(error)
        }
    })
}

fn error(error: types::Error) -> (&'static str, String) {
    match error {
        types::Error::Denied(why) => ("denied", why),
        types::Error::Invalid(why) => ("invalid", why),
        types::Error::Limit(why) => ("limit", why),
        types::Error::Conflict(why) => ("conflict", why),
        types::Error::Unavailable(why) => ("unavailable", why),
        types::Error::Other(why) => ("other", why),
    }
}

fn onboard_error(error: OnboardError) -> (&'static str, String) {
    match error {
        OnboardError::NotSupported => ("not-supported", "this integration has no data of this kind".to_owned()),
        OnboardError::Other(why) => ("other", why),
    }
}

fn mutate_error(error: MutateError) -> (&'static str, String) {
    match error {
        MutateError::NotSupported => ("not-supported", "this integration has no mutation of this name".to_owned()),
        MutateError::NotFound(why) => ("not-found", why),
        MutateError::Invalid(why) => ("invalid", why),
        MutateError::Other(why) => ("other", why),
    }
}

/// How the engine words a limit for which it has no type of its own, and which of ours that is.
const WORDED_LIMITS: [(&str, &str); 8] = [
    ("instance count too high", "instances_max"),
    ("memory count too high", "memories_max"),
    ("table count too high", "tables_max"),
    ("requested len ", "random_bytes_max"),
    ("too much data is being copied between the host and the guest", "hostcall_bytes_max"),
    ("store handle limit exceeded", "handles_max"),
    ("resource limit exceeded: ", "memory_bytes_max"),
    ("exceeds memory limits", "memory_bytes_max"),
];

/// Says what a trap means.
pub(super) fn trapped(error: &wasmtime::Error, limits: &Limits, memory: &Memory, log: &GuestLog) -> CallEnd {
    if let Some(name) = broken_limit(error, memory) {
        return CallEnd::Limit { name, value: limit_value(name, limits) };
    }
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(backtrace::readable).unwrap_or_default();
    CallEnd::Trapped { message: message(error, log), backtrace }
}

/// The limit that a trap broke, if it broke one.
fn broken_limit(error: &wasmtime::Error, memory: &Memory) -> Option<&'static str> {
    match error.downcast_ref() {
        Some(Spent::Guest) => return Some("cpu_time_max"),
        Some(Spent::Host) => return Some("host_time_max"),
        None => {}
    }
    if let Some(OutputSpent { name }) = error.downcast_ref() {
        return Some(name);
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return Some("handles_max");
    }
    if error.is::<limits::TooHeavy>() {
        return Some("memory_bytes_max");
    }
    if error.downcast_ref() == Some(&Trap::StackOverflow) {
        return Some("stack_bytes_max");
    }
    // Only the cause: what stands before it is a backtrace, with names that are the guest's to choose.
    let cause = error.root_cause().to_string();
    let worded = WORDED_LIMITS.iter().find(|(words, _)| cause.contains(words)).map(|(_, name)| *name);
    // A guest that is refused memory traps in its own words.
    worded.or_else(|| memory.refused().then_some("memory_bytes_max"))
}

/// A limit's value, for a person.
pub(super) fn limit_value(name: &'static str, configured: &Limits) -> String {
    match name {
        "memory_bytes_max" => format!("{} bytes", configured.memory_bytes_max),
        "cpu_time_max" => format!("{} s", configured.cpu_time_max.as_secs_f64()),
        "wall_time_max" => format!("{} s", configured.wall_time_max.as_secs_f64()),
        "host_time_max" => format!("{} s", limits::host_time_max(configured.cpu_time_max).as_secs_f64()),
        "hostcall_bytes_max" => format!("{} bytes", configured.hostcall_bytes_max),
        "handles_max" => format!("{} handles", configured.handles_max),
        "output_bytes_max" => format!("{} bytes", configured.output_bytes_max),
        "records_max" => format!("{} records", configured.records_max.unwrap_or(u64::MAX)),
        "instances_max" => format!("{} core instances", limits::INSTANCES_MAX),
        "memories_max" => format!("{} memories", limits::MEMORIES_MAX),
        "tables_max" => format!("{} tables", limits::TABLES_MAX),
        "random_bytes_max" => format!("{} bytes", wasi::RANDOM_BYTES_MAX),
        "result_values_max" => format!("{RESULT_VALUES_MAX} JSON values"),
        "result_bytes_max" => format!("{RESULT_BYTES_MAX} bytes"),
        _ => format!("{} bytes", engine::STACK_BYTES_MAX),
    }
}

fn message(error: &wasmtime::Error, log: &GuestLog) -> String {
    if let Some(I32Exit(status)) = error.downcast_ref() {
        return format!("it ended itself with exit status {status} instead of returning");
    }
    let trap = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        // The engine's chain begins with the backtrace, which stands elsewhere.
        None => error.root_cause().to_string(),
    };
    match log.last_words() {
        Some(LastWords::Panic(panic)) => panic,
        Some(LastWords::Line(line)) => format!("{trap}; its last words: {line}"),
        None => trap,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostcalls::{HANDING_OVER, INTERFACE};

    /// What stands in the place of generated calls has their names, or it would stand beside them and be called by nobody.
    #[test]
    fn what_is_put_in_the_place_of_generated_calls_has_their_names() {
        let engine = Engine::new(&engine::config(engine::Form::default())).expect("an engine");
        let mut generated = Linker::new(&engine);
        AgentIntegration::add_to_linker::<Cell, HasGuest>(&mut generated, Cell::host_begins).expect("it is empty");
        for name in HANDING_OVER {
            let mut http = generated.instance(INTERFACE).expect("it is there");
            assert!(http.func_wrap(name, |_, (): ()| Ok(())).is_err(), "{name} is not generated");
        }
    }
}

//! WASI 0.2 with nothing in it: clocks and random are real, or a tape's, standard output and error go to the log, standard input,
//! arguments, environment, files and sockets are empty or refused. Toolchains import all of it whether they use it or not.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand_core::{Rng, TryRng};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder};

use crate::cassette::{self, Tape};
use crate::hostcalls::{GuestLog, Stream};

/// Bytes that a stream takes in one go; a guest writes more in several.
const WRITE_BYTES_MAX: usize = 64 << 10;
/// Random bytes for one call. Keys and seeds need dozens; what needs more asks again.
pub(super) const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// The nanoseconds that a clock of a tape steps by, at the least: it is read to the nanosecond.
const RESOLUTION_NANOS: u64 = 1;

/// A seed from the system's own randomness.
pub(crate) fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    wasmtime_wasi::random::thread_rng().fill_bytes(&mut seed);
    seed
}

/// A context for one instance.
pub(super) fn context(log: &Arc<GuestLog>, tape: Option<&Tape>) -> WasiCtx {
    match tape {
        None => builder(log).build(),
        Some(tape) => taped(log, tape).build(),
    }
}

/// The same, for a guest whose instructions are counted: the seed of its hash tables, which is no secret by its name
/// (`insecure-seed`), is fixed, so that the count repeats.
pub(super) fn repeatable(log: &Arc<GuestLog>, tape: Option<&Tape>) -> WasiCtx {
    match tape {
        None => builder(log).insecure_random_seed(0).build(),
        // A tape's seed is fixed already.
        Some(tape) => taped(log, tape).build(),
    }
}

/// One whose clocks and random bytes are a tape's.
fn taped(log: &Arc<GuestLog>, tape: &Tape) -> WasiCtxBuilder {
    let mut seed = [0; 16];
    tape.random("insecure-seed").fill(&mut seed);
    let mut builder = builder(log);
    builder
        .secure_random(Random(tape.random("secure")))
        .insecure_random(Random(tape.random("insecure")))
        .insecure_random_seed(u128::from_le_bytes(seed))
        .wall_clock(Clock(tape.clone()))
        .monotonic_clock(Clock(tape.clone()));
    builder
}

fn builder(log: &Arc<GuestLog>) -> WasiCtxBuilder {
    let mut builder = WasiCtxBuilder::new();
    builder
        .stdout(Output { log: Arc::clone(log), stream: Stream::Out })
        .stderr(Output { log: Arc::clone(log), stream: Stream::Err })
        .max_random_size(RANDOM_BYTES_MAX)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    builder
}

/// Both clocks of a tape.
struct Clock(Tape);

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(RESOLUTION_NANOS)
    }

    fn now(&self) -> Duration {
        self.0.wall()
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        RESOLUTION_NANOS
    }

    fn now(&self) -> u64 {
        self.0.monotonic()
    }
}

/// Random bytes of a tape.
struct Random(cassette::Stream);

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

/// Standard output or error: what is written becomes lines of the log.
#[derive(Clone)]
struct Output {
    log: Arc<GuestLog>,
    stream: Stream,
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        // A line is written when it is complete; the rest at the end of the run.
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.log.write(self.stream, bytes);
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

//! WASI 0.2 with nothing in it: clocks and random are real, standard output and error go to the log, standard input,
//! arguments, environment, files and sockets are empty or refused. Toolchains import all of it whether they use it or not.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use crate::hostcalls::{GuestLog, Stream};

/// Bytes that a stream takes in one go; a guest writes more in several.
const WRITE_BYTES_MAX: usize = 64 << 10;
/// Random bytes for one call. Keys and seeds need dozens; what needs more asks again.
pub(super) const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// A context for one instance.
pub(super) fn context(log: &Arc<GuestLog>) -> WasiCtx {
    builder(log).build()
}

/// The same, for a guest whose instructions are counted: the seed of its hash tables, which is no secret by its name
/// (`insecure-seed`), is fixed, so that the count repeats.
pub(super) fn repeatable(log: &Arc<GuestLog>) -> WasiCtx {
    builder(log).insecure_random_seed(0).build()
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

//! Answers that are too large to hold: read piece by piece, from a thread that may block. For git's packs; guests get
//! whole answers. Each wait has its own deadline, so that a server that drips does not hold a thread for ever.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::client::{Got, Head, Want};
use super::target::Target;
use super::unpack::Unpack;
use super::wire::{self, Answer};
use super::{Egress, EgressError, Policy, Request};
use crate::shutdown::Shutdown;

/// Deadlines and sizes of a streamed answer, beside the request's own `timeout` (of the whole exchange).
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamLimits {
    /// Until the answer's head is here.
    pub first_byte: Duration,
    /// Between two pieces of the body.
    pub between_bytes: Duration,
    /// Of the body, decompressed. The request's `body_bytes_max` does not count here.
    pub bytes_max: u64,
}

/// An answer whose body is still coming. Dropping it closes the connection.
pub(crate) struct Stream {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// What was asked for, without a credential.
    url: Target,
    answer: Answer,
    unpack: Unpack,
    /// What has come and is not unpacked.
    chunk: Bytes,
    piece: Piece,
    ended: bool,
    tokio: Handle,
    shutdown: Shutdown,
    limits: StreamLimits,
    deadline: Instant,
    timeout: Duration,
    received: u64,
}

/// The piece that is being read.
#[derive(Default)]
struct Piece {
    bytes: Vec<u8>,
    at: usize,
}

impl Piece {
    fn refill(&mut self, bytes: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.at = 0;
    }

    fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn read(&mut self, into: &mut [u8]) -> usize {
        let size = into.len().min(self.bytes.len() - self.at);
        into[..size].copy_from_slice(&self.bytes[self.at..self.at + size]);
        self.at += size;
        size
    }
}

/// Said to who reads when the end is asked for.
fn ended() -> EgressError {
    EgressError::Other("the run has been asked to end".to_owned())
}

impl Egress {
    /// Sends a request and waits for the head of its answer, or until the end is asked for. Blocks; not for the runtime's own
    /// threads.
    pub(crate) fn stream(
        &self,
        tokio: &Handle,
        policy: &Policy,
        request: Request,
        limits: StreamLimits,
    ) -> Result<Stream, EgressError> {
        let timeout = request.timeout;
        let deadline = Instant::now() + timeout;
        let mut request = request;
        let shutdown = self.shutdown().clone();
        let got = tokio.block_on(async {
            tokio::select! {
                got = self.tried(policy, &mut request, Want::Head(limits.first_byte)) => got,
                () = shutdown.wait() => Err(ended()),
            }
        })?;
        let Got::Head(head) = got else {
            return Err(EgressError::Other("a whole answer came where its head was asked for".to_owned()));
        };
        let Head { status, headers, answer, unpack } = *head;
        Ok(Stream {
            status,
            headers,
            url: request.url,
            answer,
            unpack,
            chunk: Bytes::new(),
            piece: Piece::default(),
            ended: false,
            tokio: tokio.clone(),
            shutdown,
            limits,
            deadline,
            timeout,
            received: 0,
        })
    }
}

impl Stream {
    /// The value of a header field, if there is one.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Waits for what comes next; nothing at the end.
    fn next_chunk(&mut self) -> Result<Option<Bytes>, EgressError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let wait = self.limits.between_bytes.min(left);
        let (answer, url, shutdown) = (&mut self.answer, &self.url, &self.shutdown);
        let next = async {
            tokio::select! {
                chunk = tokio::time::timeout(wait, wire::chunk(answer, url)) => chunk,
                () = shutdown.wait() => Ok(Err(ended())),
            }
        };
        match self.tokio.block_on(next) {
            Ok(chunk) => chunk,
            Err(_) if wait < self.limits.between_bytes => Err(EgressError::Timeout(self.timeout)),
            Err(_) => Err(EgressError::Timeout(wait)),
        }
    }

    /// Makes the next piece ready; false at the end.
    fn next_piece(&mut self) -> Result<bool, EgressError> {
        if self.ended {
            return Ok(false);
        }
        if self.chunk.is_empty() {
            match self.next_chunk()? {
                Some(chunk) => self.chunk = chunk,
                None => self.ended = true,
            }
        }
        let piece =
            if self.ended { self.unpack.end()? } else { self.unpack.piece(&mut self.chunk)?.unwrap_or_default() };
        self.received = self.received.saturating_add(piece.len() as u64);
        if self.received > self.limits.bytes_max {
            return Err(EgressError::TooLarge(usize::try_from(self.limits.bytes_max).unwrap_or(usize::MAX)));
        }
        self.piece.refill(piece);
        Ok(true)
    }
}

impl Read for Stream {
    /// Reads what has come; 0 at the end. The error holds an `EgressError`.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        while self.piece.is_empty() {
            match self.next_piece() {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(fault) => return Err(io::Error::other(fault)),
            }
        }
        Ok(self.piece.read(into))
    }
}

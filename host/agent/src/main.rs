//! The binary `agent`: arguments in, exit code out. Everything else is in the library.

use std::process::ExitCode;

/// Guests, histories and requests are worked on by many threads, which let go of what others have made.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ExitCode::from(agent::cli::run(std::env::args_os()).code())
}

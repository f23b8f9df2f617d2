//! Compiles a component in a child process: this very program once more, by a hidden subcommand. Compiling runs a
//! compiler over bytes that a stranger chose; they may take it minutes, gigabytes, or down. The child has no secrets (its
//! environment is empty), no files but the three it is given, no network, a ceiling for memory, CPU time and output
//! (`confine.rs`), and a deadline. It never outlives the thread that waits for it, and it is always waited for.
//!
//! What it gives is machine code that the agent will run, as it would run what it compiled itself: the child is there
//! against exhaustion and crashes, and against a compiler that is led astray into reading or sending something. It is no
//! help against a compiler that writes wrong code; that is the engine's own promise.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wasmtime::Engine;

use super::COMPONENT_BYTES_MAX;
use super::confine::{Bounds, confine};
use super::engine::{self, Form};
use crate::config::CompileLimits;
use crate::shutdown::Shutdown;

/// The subcommand by which this program becomes the child; `cli` gives it to [`compile_component`].
pub const SUBCOMMAND: &str = "compile-component";

/// Children at a time. Each has several threads, and may take as much memory as its limit allows.
const CHILDREN_MAX: usize = 2;
/// Threads of one child. More hardly help a single component, and each takes memory of its own.
const THREADS_MAX: usize = 4;
/// Compiled code is two to three times as large as the largest component that is read.
const OUTPUT_BYTES_MAX: u64 = 512 << 20;
/// How much longer than its CPU time a child may take: it steps back behind everything else on the machine.
const PATIENCE: u32 = 10;
/// What is kept of what a child says: the compiler's complaint is a line or two.
const SAID_BYTES_MAX: usize = 8 << 10;
/// How often a wait looks whether the agent is to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Who compiles components.
#[derive(Debug, Clone)]
pub enum Compiler {
    /// A child of its own for each component: this program, which must know [`SUBCOMMAND`].
    Child(PathBuf),
    /// This process. For benchmarks and tests: what is compiled can take it along.
    InProcess,
}

impl Default for Compiler {
    /// A child of the program that runs, also where its file has been replaced meanwhile.
    fn default() -> Compiler {
        #[cfg(target_os = "linux")]
        let program = PathBuf::from("/proc/self/exe");
        // Without a path the start fails, and says so.
        #[cfg(not(target_os = "linux"))]
        let program = std::env::current_exe().unwrap_or_default();
        Compiler::Child(program)
    }
}

/// What a child is told on its command line.
#[derive(Debug, Clone, Copy)]
pub struct CompileTask {
    /// The process that wants it.
    pub parent: u32,
    pub memory_bytes_max: u64,
    pub cpu_secs_max: u64,
    pub output_bytes_max: u64,
    /// `Options::count_instructions`.
    pub count_instructions: bool,
    /// `Options::source_lines`.
    pub source_lines: bool,
}

impl CompileTask {
    /// As a command line: the subcommand, then numbers in the order of the fields.
    fn arguments(&self) -> Vec<String> {
        let CompileTask { parent, memory_bytes_max, cpu_secs_max, output_bytes_max, .. } = self;
        let numbers = [u64::from(*parent), *memory_bytes_max, *cpu_secs_max, *output_bytes_max];
        let mut arguments = vec![SUBCOMMAND.to_owned()];
        arguments.extend(numbers.iter().map(u64::to_string));
        arguments.extend([self.count_instructions, self.source_lines].map(|yes| yes.to_string()));
        arguments
    }
}

/// Why a child gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The component is not one.
    #[error("{0}")]
    Malformed(String),
    #[error("the compiler cannot work: {0}")]
    Io(#[from] io::Error),
    #[error("the compiler cannot start: {0}")]
    Engine(String),
}

/// The child's side: confines this process, reads a component from standard input, and writes its compiled form to standard
/// output. For a process that does nothing else.
///
/// # Errors
/// What the parent is to hear on standard error.
pub fn compile_component(task: &CompileTask) -> Result<(), CompileError> {
    let CompileTask { memory_bytes_max, cpu_secs_max, output_bytes_max, .. } = *task;
    confine(Bounds { memory_bytes_max, cpu_secs_max, output_bytes_max }, task.parent)?;
    let mut component = Vec::new();
    io::stdin().lock().take(COMPONENT_BYTES_MAX + 1).read_to_end(&mut component)?;
    let form = Form { count_instructions: task.count_instructions, source_lines: task.source_lines };
    let engine =
        Engine::new(&engine::config(form)).map_err(|error| CompileError::Engine(error.root_cause().to_string()))?;
    let code = engine
        .precompile_component(&component)
        .map_err(|error| CompileError::Malformed(error.root_cause().to_string()))?;
    let mut out = io::stdout().lock();
    out.write_all(&code)?;
    Ok(out.flush()?)
}

/// How a child ended without a compiled form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// What the compiler says is wrong with the component.
    Malformed(String),
    Memory,
    CpuTime,
    WallTime(Duration),
    Output(u64),
    /// It broke down, or was ended by somebody else.
    Crashed(String),
    /// There could be no child.
    Start(String),
    /// The agent is to end.
    Interrupted,
}

/// Starts children, a few at a time.
pub(super) struct Children {
    program: PathBuf,
    limits: CompileLimits,
    form: Form,
    shutdown: Shutdown,
    running: Mutex<usize>,
    ended: Condvar,
}

impl Children {
    pub(super) fn new(program: PathBuf, limits: CompileLimits, form: Form, shutdown: Shutdown) -> Children {
        Children { program, limits, form, shutdown, running: Mutex::new(0), ended: Condvar::new() }
    }

    pub(super) fn limits(&self) -> &CompileLimits {
        &self.limits
    }

    /// Compiles `component` into `output`, with a child. `scratch` is a folder for a file without a name.
    pub(super) fn compile(&self, component: &[u8], output: &File, scratch: &Path) -> Result<(), Fault> {
        let start = |error: io::Error| Fault::Start(error.to_string());
        let _place = self.place()?;
        // A file and not a pipe: nobody has to feed it, and it is exactly what was judged and whose digest was taken.
        let mut input = tempfile::tempfile_in(scratch).map_err(start)?;
        input.write_all(component).and_then(|()| input.rewind()).map_err(start)?;
        let output = output.try_clone().map_err(start)?;
        let deadline = self.limits.cpu_time_max.saturating_mul(PATIENCE);
        let mut child = Running(self.command(input, output).spawn().map_err(start)?);
        let mut said = Vec::new();
        let heard = match child.0.stderr.take() {
            Some(stderr) => listen(stderr, &mut said, Instant::now() + deadline, &self.shutdown),
            None => Err(Fault::Start("it has no standard error".to_owned())),
        };
        if heard.is_err() {
            // It may be ending by itself.
            let _ = child.0.kill();
        }
        let status = child.0.wait().map_err(start)?;
        heard.map_err(|fault| match fault {
            Fault::WallTime(_) => Fault::WallTime(deadline),
            fault => fault,
        })?;
        judge(status, &String::from_utf8_lossy(&said))
    }

    fn command(&self, input: File, output: File) -> Command {
        let task = CompileTask {
            parent: std::process::id(),
            memory_bytes_max: self.limits.memory_bytes_max,
            cpu_secs_max: self.limits.cpu_time_max.as_secs().max(1),
            output_bytes_max: OUTPUT_BYTES_MAX,
            count_instructions: self.form.count_instructions,
            source_lines: self.form.source_lines,
        };
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS_MAX);
        let mut command = Command::new(&self.program);
        command
            .args(task.arguments())
            // What the agent's environment holds is no business of a compiler's.
            .env_clear()
            .env("RAYON_NUM_THREADS", threads.to_string())
            .current_dir("/")
            .stdin(input)
            .stdout(output)
            .stderr(Stdio::piped());
        command
    }

    /// Waits until another child may run.
    fn place(&self) -> Result<Place<'_>, Fault> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // Those before this one have deadlines, and so has this wait.
        while *running >= CHILDREN_MAX {
            if self.shutdown.requested() {
                return Err(Fault::Interrupted);
            }
            running = self.ended.wait_timeout(running, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
        *running += 1;
        Ok(Place(self))
    }
}

/// Leave for one child.
struct Place<'a>(&'a Children);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.ended.notify_one();
    }
}

/// A child that is ended and waited for, also where the one who started it panics.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both do nothing for a child that has been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads what a child says until it ends, its standard error being closed by that and by nothing else.
fn listen(mut stderr: ChildStderr, said: &mut Vec<u8>, deadline: Instant, shutdown: &Shutdown) -> Result<(), Fault> {
    let mut buffer = [0; 1024];
    loop {
        if shutdown.requested() {
            return Err(Fault::Interrupted);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Fault::WallTime(Duration::ZERO));
        }
        // One more than the whole milliseconds, or the last of them would be spent in a loop.
        let wait = i32::try_from(left.min(LOOK_EVERY).as_millis()).unwrap_or(i32::MAX).saturating_add(1);
        let mut event = libc::pollfd { fd: stderr.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the pointer is to one local, as the count says, and it outlives the call.
        match unsafe { libc::poll(&raw mut event, 1, wait) } {
            0 => continue,
            1.. => {}
            // Interrupted by a signal of ours, or it cannot be; the deadline stands either way.
            _ => continue,
        }
        match stderr.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                let room = SAID_BYTES_MAX.saturating_sub(said.len());
                said.extend_from_slice(&buffer[..read.min(room)]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Fault::Crashed(format!("it cannot be heard: {error}"))),
        }
    }
}

/// The exit codes of the child, as `cli` gives them for the cases of [`CompileError`].
pub const EXIT_MALFORMED: i32 = 78;
const EXIT_FAILED: i32 = 1;

/// What Rust's allocator and the engine say when there is no memory.
const NO_MEMORY: [&str; 3] = ["memory allocation of", "out of memory", "Cannot allocate memory"];

fn judge(status: ExitStatus, said: &str) -> Result<(), Fault> {
    let no_memory = NO_MEMORY.iter().any(|words| said.contains(words));
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        _ if no_memory => Err(Fault::Memory),
        (Some(EXIT_MALFORMED), _) => Err(Fault::Malformed(said.trim().to_owned())),
        (Some(EXIT_FAILED), _) => Err(Fault::Start(said.trim().to_owned())),
        (_, Some(libc::SIGXCPU)) => Err(Fault::CpuTime),
        (_, Some(libc::SIGXFSZ)) => Err(Fault::Output(OUTPUT_BYTES_MAX)),
        _ => {
            let mut how = status.to_string();
            if let Some(line) = said.lines().map(str::trim).find(|line| !line.is_empty()) {
                how = format!("{how}: {line}");
            }
            Err(Fault::Crashed(how))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_childs_end_is_told_by_its_limit() {
        let ended = |code: i32, signal: i32| ExitStatus::from_raw(code << 8 | signal);
        for (status, said, expected) in [
            (ended(0, 0), "", Ok(())),
            (ended(0, libc::SIGXCPU), "", Err(Fault::CpuTime)),
            (ended(0, libc::SIGXFSZ), "", Err(Fault::Output(OUTPUT_BYTES_MAX))),
            (ended(0, libc::SIGABRT), "memory allocation of 64 bytes failed\n", Err(Fault::Memory)),
            (ended(EXIT_MALFORMED, 0), "no such type\n", Err(Fault::Malformed("no such type".to_owned()))),
            (ended(1, 0), "no room\n", Err(Fault::Start("no room".to_owned()))),
        ] {
            assert_eq!(judge(status, said), expected, "{status:?}");
        }
        let crashed = judge(ended(0, libc::SIGSEGV), "\nwhere\nmore");
        assert!(matches!(&crashed, Err(Fault::Crashed(how)) if how.contains("SIGSEGV") && how.ends_with(": where")));
    }
}

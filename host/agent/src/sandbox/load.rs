//! From a file to a component that is ready to be instantiated: read, judge, compile (or find it compiled), link. A file
//! that is not an integration is refused with what it is instead and what to do.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use super::cache::Cache;
use super::compile::{Children, Fault};
use super::instance::Cell;
use crate::bindings::AgentIntegrationPre;

/// Bytes of a component. The largest that toolchains make is a Python with its libraries, a third of this.
pub const COMPONENT_BYTES_MAX: u64 = 64 << 20;

/// What every WebAssembly file begins with, before version and layer.
const MAGIC: [u8; 4] = *b"\0asm";
/// Version and layer of a component.
const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];
/// Version and layer of a core module.
const MODULE: [u8; 4] = [1, 0, 0, 0];

/// The interface that an integration exports.
const EXPORTED: &str = "agent:integration/integration";
/// What an integration may import, as the names begin; after it stands a version.
const IMPORTABLE: [&str; 16] = [
    "agent:integration/types@0.1.",
    "agent:integration/log@0.1.",
    "agent:integration/http@0.1.",
    "agent:integration/session@0.1.",
    "agent:integration/git@0.1.",
    "agent:integration/state@0.1.",
    "agent:integration/oauth@0.1.",
    "agent:integration/control@0.1.",
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:http/types@0.2.",
    "wasi:http/outgoing-handler@0.2.",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// Why a file cannot be loaded as an integration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("there is no component at {}; build it, or correct the path", .path.display())]
    Missing { path: PathBuf },
    #[error("{} cannot be read", .path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error(
        "{} is not the file that was pinned: its SHA-256 is {found}, and `sha256` of this integration says {pinned}; see what it \
         asks for (`agent inspect {}`), and write the new one there if it is to run",
        .path.display(), .path.display()
    )]
    Changed { path: PathBuf, pinned: String, found: String },
    #[error("{} is empty; build it again", .path.display())]
    Empty { path: PathBuf },
    #[error("{} is not WebAssembly: it begins with {}; give the .wasm file of a component", .path.display(), .begins)]
    NotWasm { path: PathBuf, begins: String },
    #[error("{} is a core module and not a component; make a component: with Rust, build for the target wasm32-wasip2", .path.display())]
    CoreModule { path: PathBuf },
    #[error("{} is no file (a folder, a pipe or a device); name a component's file", .path.display())]
    NotAFile { path: PathBuf },
    #[error("{} is WebAssembly of a version that is not known ({found}); make a component with a current toolchain", .path.display())]
    Version { path: PathBuf, found: String },
    #[error("{} ends too early, after {bytes} bytes; copy or build it again", .path.display())]
    Truncated { path: PathBuf, bytes: u64 },
    #[error("{} has more than {COMPONENT_BYTES_MAX} bytes, which is too large; strip its debugging information", .path.display())]
    TooLarge { path: PathBuf },
    #[error("{} is not a valid component: {why}; build it again with a current toolchain", .path.display())]
    Malformed { path: PathBuf, why: String },
    #[error("compiling {} takes more memory than it may ({} bytes, compile_memory_bytes_max); make it smaller, or raise `compile_memory` in the agent's `limits` if you trust it", .path.display(), .bytes_max)]
    CompileMemory { path: PathBuf, bytes_max: u64 },
    #[error("compiling {} takes longer than it may ({} s, {name}); make it smaller, or raise `compile_time` in the agent's `limits` if you trust it", .path.display(), .max.as_secs_f64())]
    CompileTime { path: PathBuf, name: &'static str, max: Duration },
    #[error("{} becomes larger than {bytes_max} bytes (compiled_bytes_max) when it is compiled; make it smaller", .path.display())]
    CompileOutput { path: PathBuf, bytes_max: u64 },
    #[error("the compiler broke down over {} ({how}); build it again, with another version of its toolchain if that does not help", .path.display())]
    CompileCrashed { path: PathBuf, how: String },
    #[error("{} cannot be compiled: {why}; see that the agent may start processes and has space on its disk", .path.display())]
    CompileStart { path: PathBuf, why: String },
    #[error("the agent was told to end while {} was being compiled", .path.display())]
    Interrupted { path: PathBuf },
    #[error("{} is a component of another kind: {why}; build it for the world agent:integration/agent-integration", .path.display())]
    OtherWorld { path: PathBuf, why: String },
    #[error("{} imports what an integration cannot have: {}; do without, or use what agent:integration offers instead", .path.display(), .imports.join(", "))]
    UnknownImports { path: PathBuf, imports: Vec<String> },
}

/// Reads a file, whole.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => LoadError::Missing { path: path.to_owned() },
        _ => LoadError::Unreadable { path: path.to_owned(), source },
    };
    // Not opened before it is known to be a file: the open of a pipe waits for who writes to it.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(LoadError::NotAFile { path: path.to_owned() });
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let length = metadata.len();
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(COMPONENT_BYTES_MAX)).unwrap_or_default() + 1);
    // One more than allowed, because a file may grow, and a device says nothing of its length.
    file.take(COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > COMPONENT_BYTES_MAX {
        return Err(LoadError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Judges what a file says it is.
pub(super) fn judge(path: &Path, bytes: &[u8]) -> Result<(), LoadError> {
    let path = path.to_owned();
    if bytes.is_empty() {
        return Err(LoadError::Empty { path });
    }
    let magic = &bytes[..bytes.len().min(MAGIC.len())];
    if !MAGIC.starts_with(magic) {
        return Err(LoadError::NotWasm { path, begins: begins(bytes) });
    }
    match bytes.get(4..8) {
        None => Err(LoadError::Truncated { path, bytes: bytes.len() as u64 }),
        Some(version) if version == COMPONENT => Ok(()),
        Some(version) if version == MODULE => Err(LoadError::CoreModule { path }),
        Some(version) => Err(LoadError::Version { path, found: format!("{version:02x?}") }),
    }
}

/// The first bytes of a file, for a person: a web page saved as `.wasm` is recognized at once.
fn begins(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes[..bytes.len().min(16)].escape_ascii())
}

/// The SHA-256 of a component, in hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Compiles a component, unless it is found compiled. Without `children`, here.
pub(super) fn compile(
    engine: &Engine,
    cache: &Cache,
    children: Option<&Children>,
    path: &Path,
    bytes: &[u8],
    digest: &str,
) -> Result<Component, LoadError> {
    if let Some(component) = cache.load(engine, digest) {
        return Ok(component);
    }
    let Some(children) = children else {
        let component = Component::from_binary(engine, bytes)
            .map_err(|error| malformed(path, bytes, error.root_cause().to_string()))?;
        cache.store(digest, &component);
        return Ok(component);
    };
    let began = Instant::now();
    let start = |why: String| LoadError::CompileStart { path: path.to_owned(), why };
    let output = cache.temporary().map_err(|error| start(error.to_string()))?;
    children.compile(bytes, output.as_file(), cache.dir()).map_err(|fault| told(path, bytes, children, fault))?;
    cache.adopt(digest, output).map_err(|error| start(error.to_string()))?;
    tracing::debug!(component = %path.display(), ms = began.elapsed().as_millis() as u64, "compiled");
    cache.load(engine, digest).ok_or_else(|| start("what the compiler gave is not usable".to_owned()))
}

/// A child's end, with what an operator needs to know about it.
fn told(path: &Path, bytes: &[u8], children: &Children, fault: Fault) -> LoadError {
    let limits = children.limits();
    let path_owned = path.to_owned();
    match fault {
        Fault::Malformed(why) => malformed(path, bytes, why),
        Fault::Memory => LoadError::CompileMemory { path: path_owned, bytes_max: limits.memory_bytes_max },
        Fault::CpuTime => {
            LoadError::CompileTime { path: path_owned, name: "compile_cpu_time_max", max: limits.cpu_time_max }
        }
        Fault::WallTime(max) => LoadError::CompileTime { path: path_owned, name: "compile_wall_time_max", max },
        Fault::Output(bytes_max) => LoadError::CompileOutput { path: path_owned, bytes_max },
        Fault::Crashed(how) => LoadError::CompileCrashed { path: path_owned, how },
        Fault::Start(why) => LoadError::CompileStart { path: path_owned, why },
        Fault::Interrupted => LoadError::Interrupted { path: path_owned },
    }
}

fn malformed(path: &Path, bytes: &[u8], why: String) -> LoadError {
    let path = path.to_owned();
    // The reader says "unexpected end-of-file" or "unexpected end" where the bytes end inside of something, and "section
    // range 8..99 is out of bounds" where that is known beforehand.
    if why.contains("unexpected end") || (why.contains("section range") && why.contains("out of bounds")) {
        return LoadError::Truncated { path, bytes: bytes.len() as u64 };
    }
    LoadError::Malformed { path, why }
}

/// Joins a component to what the host offers.
pub(super) fn link(
    linker: &Linker<Cell>,
    path: &Path,
    component: &Component,
) -> Result<AgentIntegrationPre<Cell>, LoadError> {
    let engine = component.engine();
    let path = path.to_owned();
    let component_type = component.component_type();
    let imports: Vec<String> = component_type
        .imports(engine)
        .map(|(name, _)| name.to_owned())
        .filter(|name| !IMPORTABLE.iter().any(|known| name.starts_with(known)))
        .collect();
    let exports: Vec<String> = component_type.exports(engine).map(|(name, _)| name.to_owned()).collect();
    if !exports.iter().any(|name| name.starts_with(EXPORTED)) {
        let others = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
        return Err(LoadError::OtherWorld { path, why: format!("it exports {others}, and not {EXPORTED}") });
    }
    if !imports.is_empty() {
        return Err(LoadError::UnknownImports { path, imports });
    }
    // What is left: an interface of another version, or one whose functions differ.
    linker
        .instantiate_pre(component)
        .and_then(AgentIntegrationPre::new)
        .map_err(|error| LoadError::OtherWorld { path, why: format!("{error:#}") })
}

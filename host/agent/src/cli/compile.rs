//! `agent compile-component`: the child that compiles one component for an agent; see `sandbox/compile.rs`. Hidden: it is
//! started by the agent itself, and for nobody else of any use.

use clap::{ArgAction, Args};

use super::Exit;
use crate::sandbox::{CompileError, CompileTask, EXIT_MALFORMED, compile_component};

/// Compile the component on standard input, for the agent that started this
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The process that wants it
    parent: u32,
    /// Bytes of memory
    memory: u64,
    /// Seconds of CPU time
    cpu: u64,
    /// Bytes of output
    output: u64,
    /// For an engine that counts instructions
    #[arg(action = ArgAction::Set)]
    count_instructions: bool,
    /// For an engine that names source lines
    #[arg(action = ArgAction::Set)]
    source_lines: bool,
}

/// Runs the subcommand. The parent reads the exit code and standard error.
pub(super) fn run(arguments: &Arguments) -> Exit {
    let task = CompileTask {
        parent: arguments.parent,
        memory_bytes_max: arguments.memory,
        cpu_secs_max: arguments.cpu,
        output_bytes_max: arguments.output,
        count_instructions: arguments.count_instructions,
        source_lines: arguments.source_lines,
    };
    let Err(error) = compile_component(&task) else { return Exit::Ok };
    eprintln!("{error}");
    match error {
        CompileError::Malformed(_) => {
            debug_assert_eq!(i32::from(Exit::BadConfiguration.code()), EXIT_MALFORMED);
            Exit::BadConfiguration
        }
        CompileError::Io(_) | CompileError::Engine(_) => Exit::Failed,
    }
}

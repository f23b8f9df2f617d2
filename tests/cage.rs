//! The cage: what a component can do to the machine that compiles it, and what a guest can do to the agent that runs it.
//! By the list of threats that the design keeps, what is tested where:
//!
//! | Threat | Test |
//! |---|---|
//! | 10 memory of a guest | `cage::together` (memories, tables, recursion, `heavy-instances`), `misuse` (`eat-memory`, `overflow-stack`) |
//! | 11 memory of the host by calls | `cage::together` (timers, random), `misuse` (`many-strings`, `too-many-sessions`, `long-paths`, `state-churn`, `huge-*`) |
//! | 12 running time | `cage::time` (start function, allocator, destructor, in a host call), `misuse` (`loop*`) |
//! | 13 blocked in a host call | `cage::time::a_blocked_host_call_…` |
//! | 16 flood of the log, forged lines | `lines`, `misuse` (`log-flood`, `stdout-flood`, `forged-log`), `hostcalls/log.rs` |
//! | 18 time and random | `cage::together` (`much-random`), `misuse` (`sleep`) |
//! | 19 files | `misuse` (`files`, `environment`, `path-traversal`) |
//! | 21 cursors | `misuse` (`huge-cursor`, `odd-cursor`, `cursor-of-another`) |
//! | 22 malicious binaries | `cage::compile`, `bad_input`, `cage::together` (`mangled-name`, `forged-debug-info`), `command/schema.rs` (schemas that take for ever) |
//! | 23 errors told apart | `cage::time::after_a_trap_…`, `misuse` (each case has its kind of end) |

mod compile;
mod guests;
mod time;
mod together;

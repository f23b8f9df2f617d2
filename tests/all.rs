//! The one test binary: each module is a subject, and sees what users see. How the binary is driven is in `lib.rs`, and how
//! the house is built is `tidy`.
mod bad_input;
mod cage;
mod cassettes;
mod commands;
mod config;
mod contract;
mod disk;
mod durability;
mod export;
mod failing;
mod git;
mod github;
mod integrations;
mod interrupt;
mod kill;
mod languages;
mod lines;
mod misuse;
mod new;
mod published;
mod ripsrc;
mod run_wasm;
mod secrets;
mod store;
mod threats;
mod tidy;

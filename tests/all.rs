//! Everything that users see, in one test binary: a file for each part. How it is driven is in `lib.rs`.
mod bad_input;
mod config;
mod contract;
mod disk;
mod export;
mod failing;
mod lines;
mod misuse;
mod store;

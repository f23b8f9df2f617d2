//! Everything that users see, in one test binary: a file for each part. How it is driven is in `lib.rs`.
mod config;
mod contract;
mod export;
mod failing;
mod misuse;

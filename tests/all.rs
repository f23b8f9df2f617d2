//! The one test binary: each module is a subject, and sees what users see. How the binary is driven is in `lib.rs`, and how
//! the house is built is `tidy`.
mod bad_input;
mod cage;
mod config;
mod contract;
mod disk;
mod durability;
mod export;
mod failing;
mod kill;
mod lines;
mod misuse;
mod published;
mod store;
mod tidy;

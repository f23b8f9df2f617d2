//! x
mod config;
mod durability;
mod kill;

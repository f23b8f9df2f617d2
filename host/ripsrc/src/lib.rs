//! A repository's whole history, line by line: what this crate offers. What it leaves to others: cloning and fetching,
//! and what becomes of the records.

pub mod count;

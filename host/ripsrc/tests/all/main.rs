//! Histories made by script, judged by the system's git. `repo` makes repositories; a case is a script and the question
//! whether this crate and git agree on every file at every commit.

mod branches;
mod commits;
mod graphs;
mod hostile;
mod incremental;
mod indexing;
mod output;
mod packs;
mod random;
mod refs;
mod repo;
mod store;
mod watch;

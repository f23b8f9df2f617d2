//! The commit point. SQLite for outbox, cursors, dedup marks, git jobs and state; bulk in immutable segments beside it.
pub struct Store;

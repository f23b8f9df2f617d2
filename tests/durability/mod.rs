//! What the tests that kill the agent are made of: the agent on a root of its own, a sink's content, power failures, and
//! chance. The tests themselves are in kill.rs.

pub mod agent;
pub mod power;
pub mod random;
pub mod sink;

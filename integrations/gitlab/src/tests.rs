//! The integration against canned answers and a few words of a server in a function: what needs no whole server. The whole is
//! tested with the agent against the simulator (`tests/gitlab.rs`).

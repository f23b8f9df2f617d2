//! Where host calls go: in a component to the host, through what is generated from the contract; on any other target to
//! the one that [`crate::testing`] imitates, so that an integration's own tests run natively.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::agent::integration::{control, git, http, log, oauth, session, state};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::wire::{control, git, http, log, oauth, session, state};

//! What `wit-bindgen` generates from the contract, and the only place of it. Nothing here is public: the other modules
//! translate it into the types that an author sees.

#![allow(missing_docs, clippy::all, clippy::pedantic)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "agent-integration",
});

// On any other target there is no component to export from, and unit tests of an integration link natively.
#[cfg(target_arch = "wasm32")]
export!(Component with_types_in self);

/// The component; what it does is in `entry`.
pub(crate) struct Component;

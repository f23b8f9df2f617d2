//! Write an integration for the agent in Rust.
//!
//! Implement [`Integration`], name the type in [`register!`], and build for `wasm32-wasip2`: the result is a component
//! that the agent loads. What is asked of the host – sessions, HTTP, git, state, logs – has a module here each; all of
//! it is synchronous. `agent new NAME` makes a project to begin with.
//!
//! | For | See |
//! |---|---|
//! | sending records | [`session`] |
//! | requests, one or several at a time | [`http`] |
//! | lists that come in pages | [`paging`] |
//! | GraphQL: faults beside data, budgets, page sizes | [`graphql`] |
//! | only what changed since the last run | [`updated`] |
//! | what has gone from a source | [`sweep`] |
//! | inclusions and exclusions | [`select`] |
//! | tests without WebAssembly, network or agent | `testing` (not there in a component) |
//!
//! This crate gives the contract (`wit/package.wit`) Rust's types and conveniences. Checks and limits are the host's;
//! they are repeated here only where a mistake can be named better or earlier.

#![warn(missing_docs)]
// On another target nothing is exported, and so the way from the exports to the integration leads from nowhere. An
// integration's own unit tests are built like that.
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]

mod bindings;
mod entry;
mod error;
mod host;
mod integration;
mod json;
mod time;
mod url;

pub mod control;
pub mod git;
pub mod graphql;
pub mod http;
pub mod log;
pub mod manifest;
pub mod oauth;
pub mod paging;
pub mod select;
pub mod session;
pub mod state;
pub mod sweep;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod updated;

pub use error::{Context, Error, ErrorKind, Result};
pub use integration::{Data, ExportResult, Integration, MutateResult, ProjectResult, ValidateResult, Webhook};
pub use manifest::{Manifest, NetworkRule, Place, Signature};
/// A configuration that is not looked at: any document fits it.
pub use serde::de::IgnoredAny as Ignored;
pub use session::{Model, Sent, Session, Summary, Tracking};

/// What [`register!`] needs; not for use by hand, and not under any promise.
#[doc(hidden)]
pub mod __private {
    pub use crate::entry::Entry;
}

/// Makes a type that implements [`Integration`] the one that this component exports. Once in a component.
///
/// ```ignore
/// struct MyIntegration;
/// impl agent_sdk::Integration for MyIntegration { /* … */ }
/// agent_sdk::register!(MyIntegration);
/// ```
#[macro_export]
macro_rules! register {
    ($integration:ty) => {
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub static AGENT_SDK_REGISTERED_INTEGRATION: $crate::__private::Entry =
            $crate::__private::Entry::of::<$integration>();
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_readme_shows_the_guest_that_is_built() {
        let guest = include_str!("../../../tests/guests/hello/src/lib.rs");
        assert!(include_str!("../README.md").contains(guest), "copy tests/guests/hello/src/lib.rs into README.md");
        assert!(guest.lines().count() < 60, "the README promises less than 60 lines");
    }
}

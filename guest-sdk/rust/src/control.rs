//! What the operator should know about the run.

use crate::error::Result;
use crate::host::control as wire;

/// Says that the integration waits until then (RFC 3339, for example `2026-11-21T09:30:00Z`), and why (at most 1,024
/// bytes). Shown to the operator; it neither waits nor stops the clock of the run.
///
/// # Errors
/// `Invalid` for something that is not a time.
pub fn pause(until: &str, why: &str) -> Result<()> {
    Ok(wire::pause(until, why)?)
}

/// Says that the integration goes on.
pub fn resume() {
    wire::resume();
}

/// The URL at which this integration receives webhooks; none where the agent receives none.
#[must_use]
pub fn webhook_url() -> Option<String> {
    wire::webhook_url()
}

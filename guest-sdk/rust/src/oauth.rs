//! Named OAuth 2 credentials. Their values stay in the host.

use crate::error::{Context, Result};
use crate::host::oauth as wire;

/// Gets a new access token for the credential of this name, for requests that come after.
///
/// # Errors
/// `Denied` where the credential is not granted, `Invalid` where it is not an OAuth 2 credential, `Unavailable` where
/// the server does not give one.
pub fn refresh(credential: &str) -> Result<()> {
    wire::refresh(credential).context(credential)
}

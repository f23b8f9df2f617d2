//! A small store for this integration: at most 1,024 keys of 1 to 256 bytes, values of at most 64 KiB, 1 MiB in all.
//! Changes are seen at once by this run, and become durable with the next `done` or `checkpoint` of any session.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Context, Result};
use crate::host::state as wire;

/// The value, if there is one and it has not expired.
///
/// # Errors
/// `Invalid` for a bad key.
pub fn get(key: &str) -> Result<Option<String>> {
    wire::get(key).context(key)
}

/// The value, read as JSON.
///
/// # Errors
/// `Invalid` for a bad key, `Other` where the value does not fit.
pub fn get_json<T: DeserializeOwned>(key: &str) -> Result<Option<T>> {
    get(key)?.map(|value| serde_json::from_str(&value)).transpose().context(key)
}

/// Sets a value.
///
/// # Errors
/// `Invalid` for a bad key, `Limit` where there is no room.
pub fn set(key: &str, value: &str) -> Result<()> {
    wire::set(key, value, None).context(key)
}

/// Sets a value to JSON.
///
/// # Errors
/// As [`set`], and if `value` cannot be written as JSON.
pub fn set_json<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<()> {
    set(key, &serde_json::to_string(value).context(key)?)
}

/// Sets a value that expires after `expires_secs` seconds (1 to 31,536,000).
///
/// # Errors
/// As [`set`], and `Invalid` for a bad time.
pub fn set_expiring(key: &str, value: &str, expires_secs: u32) -> Result<()> {
    wire::set(key, value, Some(expires_secs)).context(key)
}

/// Deletes a value. No error if there is none.
///
/// # Errors
/// `Invalid` for a bad key.
pub fn delete(key: &str) -> Result<()> {
    wire::delete(key).context(key)
}

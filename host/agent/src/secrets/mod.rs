//! Secrets: where their values come from (`source`), how they are kept (`safe`, under the key of `key`), and how they are
//! struck out of whatever leaves (`known`, in the forms of `forms`, and without `escapes`); what others have signed with one is judged in `signature`.
//! Into which request one is put is `egress`'s.
//!
//! **Format of the safe.** `<root>/secrets/safe`: the line `agent-secrets-1`, 12 bytes of nonce, and a JSON document sealed by
//! ChaCha20-Poly1305, the first line being authenticated with it. The document is one whole, so that neither names nor ages
//! can be read, and no value can be put in another's place.
//!
//! **Guarantees.** A [`Secret`] cannot be printed, and from its making on it is struck out of every text of this process. What
//! is kept is kept: synced, and put in its place whole. Two agents of one root take turns.

mod escapes;
mod forms;
mod key;
mod known;
mod safe;
mod signature;
mod source;

use zeroize::Zeroizing;

pub use forms::STRUCK_BYTES_MIN;
pub(crate) use forms::{base64, base64_url};
pub(crate) use known::strike_bytes;
pub use known::{strike, strike_text, struck};
pub use safe::{Listed, Safe, SafeError};
pub use signature::{AskedSignature, Check};
pub use source::Sources;

/// Bytes of one secret. Tokens have some hundred, private keys some thousand; more is not a secret but a mistake.
pub const SECRET_BYTES_MAX: usize = 16 << 10;

/// A secret's value. It has no `Debug` and no `Display`, its memory is overwritten when it goes, and what is in it is known to
/// [`strike`] from the beginning: there is no secret in this process that is not struck out.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a value into custody.
    #[must_use]
    pub fn new(value: String) -> Secret {
        known::learn(&value);
        Secret(Zeroizing::new(value))
    }

    /// The value. To be put where it belongs, and nowhere else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        // Nobody who could measure how long this takes chooses either side.
        self.0 == other.0
    }
}

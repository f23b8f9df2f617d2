//! HMAC-SHA256 (RFC 2104), as GitHub and Jira sign webhooks: `sha256=…` in hexadecimal, compared in a time that says nothing.

use sha2::{Digest, Sha256};

/// SHA-256 takes its input in blocks of so many bytes.
const BLOCK: usize = 64;
const PREFIX: &str = "sha256=";

/// Whether a signature is the one of this body under this secret.
pub fn is_of(given: &str, secret: &[u8], body: &[u8]) -> bool {
    let expected: String = hmac(secret, body).iter().map(|byte| format!("{byte:02x}")).collect();
    let Some(given) = given.strip_prefix(PREFIX) else { return false };
    // Every byte is looked at, so that the time does not tell how many are right.
    given.len() == expected.len() && given.bytes().zip(expected.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; BLOCK];
    match key.len() > BLOCK {
        true => block[..32].copy_from_slice(&Sha256::digest(key)),
        false => block[..key.len()].copy_from_slice(key),
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::is_of;

    #[test]
    fn the_documented_signature_is_known() {
        let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let secret = b"It's a Secret to Everybody";
        assert!(is_of(good, secret, b"Hello, World!"));
        assert!(!is_of(good, secret, b"Hello, World?"));
        assert!(!is_of(good, b"another", b"Hello, World!"));
        for bad in ["", "sha256=", "757107ea", &good[..70], &good.replace("sha256", "sha1"), &good.to_uppercase()] {
            assert!(!is_of(bad, secret, b"Hello, World!"), "{bad}");
        }
    }
}

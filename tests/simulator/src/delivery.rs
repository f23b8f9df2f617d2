//! A webhook as it is delivered: one POST, to this machine and nobody else; and the signature that most of them have.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::http::Answer;
use crate::lock;

/// SHA-256 takes its input in blocks of so many bytes.
const BLOCK: usize = 64;
const WAIT_MAX: Duration = Duration::from_secs(10);

/// One delivery.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Delivery {
    /// What is posted to this URL, as JSON, with these header fields more.
    pub fn new<'a>(url: &str, headers: impl IntoIterator<Item = (&'a str, String)>, body: Vec<u8>) -> Delivery {
        let first = [("content-type", "application/json".to_owned())];
        let headers = first.into_iter().chain(headers).map(|(name, value)| (name.to_owned(), value)).collect();
        Delivery { url: url.to_owned(), headers, body }
    }

    /// Sends it, where the hook's URL is one of this machine; nobody else is written to.
    pub fn send(&self) -> std::io::Result<()> {
        let Some((authority, path)) =
            self.url.strip_prefix("http://").map(|rest| rest.split_once('/').unwrap_or((rest, "")))
        else {
            return Ok(());
        };
        if !authority.starts_with("127.0.0.1:") {
            return Ok(());
        }
        let mut stream = TcpStream::connect(authority)?;
        stream.set_read_timeout(Some(WAIT_MAX))?;
        let mut head = format!("POST /{path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n");
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
        stream.write_all(head.as_bytes())?;
        stream.write_all(&self.body)?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    }
}

/// Answers by what a simulator knows, and delivers the webhooks that came of it; what could not be delivered is said on
/// standard error.
pub fn answered<State>(
    state: &Mutex<State>,
    deliveries: impl Fn(&State) -> &[Delivery],
    answer: impl FnOnce(&mut State) -> Answer,
) -> Answer {
    let (answer, new) = {
        let mut state = lock(state);
        let before = deliveries(&state).len();
        let answer = answer(&mut state);
        (answer, deliveries(&state)[before..].to_vec())
    };
    // After the answer has been decided, and without the lock: who receives may ask back.
    for delivery in new {
        if let Err(error) = delivery.send() {
            eprintln!("the webhook for {} was not delivered: {error}", delivery.url);
        }
    }
    answer
}

/// HMAC-SHA256 (RFC 2104) in hexadecimal.
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> String {
    let mut block = [0_u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    let outer = Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize();
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::hmac_sha256;

    #[test]
    fn the_documented_signature_comes_out() {
        // From GitHub's "Validating webhook deliveries".
        assert_eq!(
            hmac_sha256(b"It's a Secret to Everybody", b"Hello, World!"),
            "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
        // RFC 4231, test case 6: a key longer than a block.
        assert_eq!(
            hmac_sha256(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }
}

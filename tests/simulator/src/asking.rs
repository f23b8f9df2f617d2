//! A request over the wire, for tests that ask a simulator as a client asks it.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

/// What came back.
pub struct Got {
    pub status: u16,
    /// Status line and header fields.
    pub head: String,
    /// Null where it is no JSON.
    pub body: Value,
}

/// Asks the server of this URL; `more` are header fields, each with its end of line.
///
/// # Panics
/// Where there is no answer that is one.
pub fn ask(url: &str, method: &str, target: &str, more: &str, body: &str) -> Got {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: h.invalid\r\nconnection: close\r\n{more}content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Got { status, head: head.to_owned(), body: serde_json::from_str(body).unwrap_or_default() }
}

//! A server that says what it was given, in whatever form it is asked to, and remembers it for those who were given nothing.

use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use crate::threats::server::request;

pub struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// One that echoes, by the path of each request.
    pub fn new() -> Server {
        let last = Mutex::new(String::new());
        Server::answering(move |_, request| {
            let given = given(request);
            let mut last = last.lock().unwrap();
            let answer = echo(request, &given, &last);
            if !given.is_empty() {
                *last = given;
            }
            answer
        })
    }

    /// One that answers each request, given its number (from 1), its head and body, with these bytes.
    pub fn answering(answer: impl Fn(usize, &str) -> Vec<u8> + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let request = request(&mut stream);
                let number = {
                    let mut kept = kept.lock().unwrap();
                    kept.push(request.clone());
                    kept.len()
                };
                // A client that has heard enough goes away.
                drop(stream.write_all(&answer(number, &request)));
            }
        });
        Server { port, seen }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// Whether a request brought this secret.
    pub fn was_given(&self, secret: &str) -> bool {
        self.seen().iter().any(|request| given(request).contains(secret))
    }
}

/// An answer with this status and body, after which the connection ends.
pub fn answer(status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The value of a header field.
pub fn field<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| {
        line.split_once(": ").filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    })
}

/// The secret that a request brought, in whatever place, as it is.
fn given(request: &str) -> String {
    if let Some(value) = field(request, "authorization") {
        return match value.split_once(' ') {
            Some(("Basic", token)) => String::from_utf8(unbase64(token)).unwrap().split_once(':').unwrap().1.to_owned(),
            Some((_, token)) => token.to_owned(),
            None => value.to_owned(),
        };
    }
    if let Some(value) = field(request, "x-key") {
        return value.trim_start_matches("key=").to_owned();
    }
    let query = request.lines().next().unwrap_or_default();
    query.split_once("&key=").map(|(_, rest)| unpercent(rest.split(' ').next().unwrap())).unwrap_or_default()
}

/// The answer that a path asks for.
fn echo(request: &str, given: &str, last: &str) -> Vec<u8> {
    let line = request.lines().next().unwrap_or_default();
    let way = line.split(['/', '?', ' ']).find(|word| !word.is_empty() && *word != "GET").unwrap_or_default();
    let hex: String = given.bytes().map(|byte| format!("{byte:02X}")).collect();
    let percent: String = given
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    let quoted = serde_json::Value::from(given).to_string();
    let body = match way {
        "upper" => given.to_uppercase(),
        "url" => format!("https://a.test/?token={percent}&again={}", percent.to_lowercase()),
        "base64" => ["", "a", "ab"].map(|before| base64(format!("{before}{given}").as_bytes())).join(" "),
        "base64url" => base64(given.as_bytes()).replace('+', "-").replace('/', "_"),
        "hex" => format!("{hex} {}", hex.to_lowercase()),
        "json" => format!("{{\"token\":{quoted},\"url\":{}}}", quoted.replace('/', "\\/")),
        "html" => given.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;"),
        "header" => {
            return answer(
                "200 OK",
                &format!("X-Echo: {given}\r\nWWW-Authenticate: Bearer realm=\"{percent}\"\r\n"),
                b"",
            );
        }
        "name" => {
            let name: String = given.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            return answer("200 OK", &format!("X-{name}-{hex}: 1\r\n"), b"");
        }
        "status" => return answer(&format!("500 {given}"), "", format!("bad token {given}").as_bytes()),
        "redirect" => {
            let elsewhere =
                line.split_once("elsewhere=").map(|(_, rest)| unpercent(rest.split(['&', ' ']).next().unwrap()));
            let location = format!("{}/landed?token={percent}", elsewhere.unwrap_or_default());
            return answer("302 Found", &format!("Location: {location}\r\n"), given.as_bytes());
        }
        "gzip" => return answer("200 OK", "Content-Encoding: gzip\r\n", &stored_gzip(given.as_bytes())),
        "recall" => last.to_owned(),
        "reversed" => given.chars().rev().collect(),
        _ => format!("you sent {given}: {request}"),
    };
    answer("200 OK", "", body.as_bytes())
}

/// gzip without compression (RFC 1951, 3.2.4; RFC 1952).
fn stored_gzip(bytes: &[u8]) -> Vec<u8> {
    let size = u16::try_from(bytes.len()).unwrap();
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    out.extend(size.to_le_bytes());
    out.extend((!size).to_le_bytes());
    out.extend_from_slice(bytes);
    out.extend((!crc).to_le_bytes());
    out.extend(u32::from(size).to_le_bytes());
    out
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub fn base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

fn unbase64(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in text.trim_end_matches('=').as_bytes().chunks(4) {
        let group = chunk
            .iter()
            .fold(0_u32, |group, byte| group << 6 | DIGITS.iter().position(|digit| digit == byte).unwrap() as u32);
        let bytes = (group << (6 * (4 - chunk.len()))).to_be_bytes();
        out.extend_from_slice(&bytes[1..chunk.len()]);
    }
    out
}

fn unpercent(text: &str) -> String {
    let text = text.replace('+', " ");
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        out.push(u8::from_str_radix(&part[..2], 16).unwrap());
        out.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(out).unwrap()
}

//! The other side of the tests of threats: a server that says whatever a test has it say, at the level of bytes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A server that hears one request on each connection, and keeps what it was asked.
pub struct Server {
    pub port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// `answer` writes to the connection what it likes, given the request's head and body.
    pub fn new(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (kept, count, answer) = (Arc::clone(&seen), Arc::clone(&connections), Arc::new(answer));
        // Ends with the test's process.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let request = request(&mut stream);
                    kept.lock().unwrap().push(request.clone());
                    answer(&request, &mut stream);
                });
            }
        });
        Server { port, seen, connections }
    }

    /// One that says the same to everybody.
    pub fn saying(text: impl Into<Vec<u8>>) -> Server {
        let text = text.into();
        // A client that has heard enough goes away.
        Server::new(move |_, stream| drop(stream.write_all(&text)))
    }

    pub fn fine() -> Server {
        Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    }

    /// One that hears and never answers.
    pub fn silent() -> Server {
        Server::new(|_, stream| until_it_is_closed(stream))
    }

    /// One that answers with this body, which it says is in this form.
    pub fn packed(encoding: &str, body: &[u8]) -> Server {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        Server::saying([head.as_bytes(), body].concat())
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The requests that came, each with its body.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// One client, as a test's server has it.
pub type Connection = TcpStream;

/// Keeps a connection open for as long as the other side does.
pub fn until_it_is_closed(stream: &mut TcpStream) {
    while stream.read(&mut [0; 1024]).is_ok_and(|size| size > 0) {}
}

/// Reads a request, its body included; empty when nobody asks any more.
pub fn request(stream: &mut TcpStream) -> String {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text.into_owned();
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&bytes).into_owned(),
            Ok(size) => bytes.extend_from_slice(&piece[..size]),
        }
    }
}

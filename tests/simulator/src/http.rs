//! As much of an HTTP/1.1 server as a test needs: on the loopback address, a thread for each connection, and answers that can
//! be wrong in ways that a good server library would not let them be.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Bytes of a request's body.
const BODY_MAX: usize = 16 << 20;
/// An endless answer ends after so many bytes even if nobody hangs up.
const ENDLESS_BYTES_MAX: usize = 256 << 20;

#[derive(Debug, Default)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A parameter of the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let query = self.target.split_once('?')?.1;
        let found = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name)?;
        Some(decode(found.1))
    }
}

/// `%XX` decoded.
pub fn decode(text: &str) -> String {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The entity tag of a body.
pub fn etag(body: &str) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("W/\"{:016x}\"", hasher.finish())
}

/// The Link header of a numbered page; one that leads in a circle, if it is to.
pub fn link(url: &str, page: u64, last: u64, cycle: bool) -> Option<String> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let others: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("page=")).collect();
    let to = |number: u64, rel: &str| {
        let all: Vec<String> = others.iter().map(|pair| (*pair).to_owned()).chain([format!("page={number}")]).collect();
        format!("<{path}?{}>; rel=\"{rel}\"", all.join("&"))
    };
    if cycle {
        return Some(to(1, "next"));
    }
    if page >= last {
        return (page > 1).then(|| to(1, "first"));
    }
    Some(format!("{}, {}", to(page + 1, "next"), to(last, "last")))
}

/// In which way a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    Whole,
    /// Half of what was promised, and then the connection ends.
    Short,
    /// Again and again.
    Endless,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub sending: Sending,
    pub delay: Duration,
}

impl Answer {
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Answer { status, headers, body: body.into(), sending: Sending::Whole, delay: Duration::ZERO }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: impl ToString) -> Answer {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

/// A server that runs until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Server {
    /// Listens on a port of 127.0.0.1 (0: any), and hands requests to a function, with how many others are under way.
    ///
    /// # Errors
    /// Where the port cannot be had.
    pub fn start(port: u16, handle: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> io::Result<Server> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let address = listener.local_addr()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let (stop, handle) = (Arc::clone(&stopped), Arc::new(handle));
        let under_way = Arc::new(AtomicUsize::new(0));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (handle, under_way) = (Arc::clone(&handle), Arc::clone(&under_way));
                // A connection that breaks is the client's affair.
                std::thread::spawn(move || drop(serve(stream, &*handle, &under_way)));
            }
        });
        Ok(Server { address, stopped })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the listener, so that it sees that it is over.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(stream: TcpStream, handle: &dyn Fn(&Request, usize) -> Answer, under_way: &AtomicUsize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some(request) = read(&mut reader)? {
        let others = under_way.fetch_add(1, Ordering::Relaxed);
        let answer = handle(&request, others);
        std::thread::sleep(answer.delay);
        let kept = write(&mut writer, &request, &answer);
        under_way.fetch_sub(1, Ordering::Relaxed);
        if !kept? {
            return Ok(());
        }
    }
    Ok(())
}

fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or("/").to_owned());
    let mut request = Request { method, target, ..Request::default() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        request.headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length: usize = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    if length > BODY_MAX {
        return Err(io::Error::other("the body is too long"));
    }
    request.body = vec![0; length];
    reader.read_exact(&mut request.body)?;
    Ok(Some(request))
}

/// Sends an answer; whether the connection can be used again.
fn write(writer: &mut impl Write, request: &Request, answer: &Answer) -> io::Result<bool> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match answer.sending {
        Sending::Endless => head.push_str("connection: close\r\n\r\n"),
        _ => head.push_str(&format!("content-length: {}\r\n\r\n", answer.body.len())),
    }
    writer.write_all(head.as_bytes())?;
    if request.method == "HEAD" {
        return Ok(true);
    }
    match answer.sending {
        Sending::Whole => writer.write_all(&answer.body)?,
        Sending::Short => writer.write_all(&answer.body[..answer.body.len() / 2])?,
        Sending::Endless => {
            let mut sent = 0;
            while sent < ENDLESS_BYTES_MAX {
                writer.write_all(&answer.body)?;
                sent += answer.body.len().max(1);
            }
        }
    }
    writer.flush()?;
    Ok(answer.sending == Sending::Whole && request.header("connection") != Some("close"))
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        304 => "Not Modified",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        502 => "Bad Gateway",
        _ => "Status",
    }
}

//! Git's smart HTTP protocol over the agent's own door. libgit2 is built without a network of its own; it asks for
//! two exchanges – what refs are there, and these objects please – and here they become requests through `egress`.
//!
//! libgit2 keeps one table of transports for the whole process and gives a transport no place for data of ours, but it
//! calls back on the thread that fetches. So what a fetch may use lies in a thread-local for as long as it runs;
//! outside of one, the transport refuses.

use std::cell::RefCell;
use std::io::{self, Cursor, Read, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ::url::Url;
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport};
use git2::{Oid, opts};
use tokio::runtime::Handle;

use crate::egress::{Caller, Egress, EgressError, Manner, Policy, Request, Stream, StreamLimits, Target};

/// Of the list of refs. A repository with half a million refs has 40 MiB of them.
const REFS_BYTES_MAX: u64 = 64 << 20;
/// Of one pack. The largest public repositories have some tens of gigabytes; more is a server gone wrong.
const PACK_BYTES_MAX: u64 = 64 << 30;
/// Of what we say when we ask for objects: a line for each ref wanted and commit had.
const ASK_BYTES_MAX: usize = 64 << 20;
/// A server may count objects for minutes before the first byte of a pack; it says so in between where it can.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
const BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(2 * 60);
/// Of one exchange. The largest repositories take hours on slow lines.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(12 * 60 * 60);

/// Hosts answer git's protocol only to who calls itself git.
const USER_AGENT: &str = concat!("git/2.0 (agent ", env!("CARGO_PKG_VERSION"), ")");

/// What a fetch of one repository may use, and what it found.
pub(super) struct Door {
    pub egress: Egress,
    /// Of this repository alone (`Policy::for_repository`).
    pub policy: Policy,
    pub tokio: Handle,
    pub url: Url,
    pub credential: Option<String>,
    /// For whom it is fetched.
    pub caller: Caller,
    /// [`PACK_BYTES_MAX`]; tests have less.
    pub pack_bytes_max: u64,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    advertised: Option<Arc<Advertised>>,
    fault: Option<String>,
}

/// The refs that a server says it has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Advertised {
    /// Names and what they point to, in the server's order, `HEAD` among them.
    pub refs: Vec<(Vec<u8>, Oid)>,
    /// What `HEAD` stands for, if the server says so.
    pub head: Option<Vec<u8>>,
    /// What the server can do, in its own words.
    pub capabilities: Vec<Vec<u8>>,
}

impl Advertised {
    /// Whether the server can do this.
    pub(super) fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|known| known == capability.as_bytes())
    }
}

/// A line as a packet.
pub(super) fn packet(line: &str) -> Vec<u8> {
    format!("{:04x}{line}", line.len() + 4).into_bytes()
}

impl Door {
    pub(super) fn new(
        egress: Egress,
        policy: Policy,
        tokio: Handle,
        url: Url,
        credential: Option<String>,
        caller: Caller,
    ) -> Door {
        let pack_bytes_max = PACK_BYTES_MAX;
        Door { egress, policy, tokio, url, credential, caller, pack_bytes_max, found: Mutex::default() }
    }

    /// The refs of the last connection.
    pub(super) fn advertised(&self) -> Option<Arc<Advertised>> {
        self.found().advertised.clone()
    }

    /// Why the last exchange failed, if it did: better than what libgit2 makes of it.
    pub(super) fn take_fault(&self) -> Option<String> {
        self.found().fault.take()
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a fault for who started the fetch, and gives it to libgit2, which cannot take a NUL in it.
    fn fail(&self, text: String) -> git2::Error {
        let text = text.replace('\0', "?");
        let error = git2::Error::from_str(&text);
        self.found().fault = Some(text);
        error
    }

    fn open(&self, service: &str, body: Option<Vec<u8>>, bytes_max: u64) -> Result<Stream, git2::Error> {
        let base = self.url.as_str().trim_end_matches('/');
        let (method, url, answer_type) = match body {
            None => ("GET", format!("{base}/info/refs?service=git-{service}"), "advertisement"),
            Some(_) => ("POST", format!("{base}/git-{service}"), "result"),
        };
        let expected = format!("application/x-git-{service}-{answer_type}");
        let mut headers =
            vec![("user-agent".to_owned(), USER_AGENT.to_owned()), ("accept".to_owned(), expected.clone())];
        if body.is_some() {
            headers.push(("content-type".to_owned(), format!("application/x-git-{service}-request")));
            // A pack is packed already.
            headers.push(("accept-encoding".to_owned(), "identity".to_owned()));
        }
        let target = Target::parse(&url).map_err(|fault| self.fail(format!("{}: {fault}", self.url)))?;
        let request = Request {
            method: method.to_owned(),
            url: target,
            headers,
            body: body.map(Into::into),
            credential: self.credential.clone(),
            fill: None,
            timeout: EXCHANGE_TIMEOUT,
            body_bytes_max: usize::MAX,
            // What is asked for is only read, also where it takes a POST.
            manner: Manner { idempotent: true, ..Manner::default() },
            caller: self.caller.clone(),
        };
        let limits = StreamLimits { first_byte: FIRST_BYTE_TIMEOUT, between_bytes: BETWEEN_BYTES_TIMEOUT, bytes_max };
        let stream = self
            .egress
            .stream(&self.tokio, &self.policy, request, limits)
            .map_err(|fault| self.fail(format!("{}: {fault}", self.url)))?;
        self.check_answer(&stream, &expected).map_err(|text| {
            let mut text = format!("{}: {text}", self.url);
            crate::secrets::strike(&mut text);
            self.fail(text)
        })?;
        Ok(stream)
    }

    fn check_answer(&self, stream: &Stream, expected: &str) -> Result<(), String> {
        match stream.status {
            200 => {}
            401 => {
                return Err(match &self.credential {
                    Some(name) => format!(
                        "the server does not accept the credential `{name}` (401): is it expired, or may it not read this repository?"
                    ),
                    None => "the server wants authentication (401): name a credential with the repository".to_owned(),
                });
            }
            403 => return Err("the server refuses (403): the credential may not read this repository".to_owned()),
            404 => {
                return Err(
                    "there is no such repository (404), or it is private and the credential may not see it".to_owned()
                );
            }
            status @ 300..=399 => {
                let to = stream.header("location").map(|to| self.moved_to(to));
                return Err(format!(
                    "the repository has moved ({status}): use {}",
                    to.as_deref().unwrap_or("its new URL")
                ));
            }
            429 => return Err("the server has had too many requests (429); the next run tries again".to_owned()),
            status => return Err(format!("the server answered with status {status}")),
        }
        let kind = stream.header("content-type").unwrap_or("none");
        if kind.split(';').next().map(str::trim) == Some(expected) {
            return Ok(());
        }
        let kind: String = kind.chars().take(80).collect();
        Err(format!(
            "this is not a git repository over smart HTTP (content type {kind}): is the URL the one that `git clone` takes?"
        ))
    }

    /// The repository's new URL, of a redirect of one of its parts; without user information and query.
    fn moved_to(&self, location: &str) -> String {
        let Ok(mut to) = self.url.join(location) else { return "its new URL".to_owned() };
        let _ = to.set_username("");
        let _ = to.set_password(None);
        to.set_query(None);
        to.set_fragment(None);
        to.as_str().trim_end_matches("/info/refs").trim_end_matches("/git-upload-pack").to_owned()
    }

    /// Asks for objects; the answer is still to come.
    pub(super) fn ask(&self, question: Vec<u8>) -> Result<Stream, git2::Error> {
        self.open("upload-pack", Some(question), self.pack_bytes_max)
    }

    /// What went wrong while an answer came, for a person.
    pub(super) fn words_of(&self, fault: io::Error) -> String {
        let mut text = door_fault(fault);
        crate::secrets::strike(&mut text);
        text
    }

    /// The list of refs as it comes; what is in it is kept.
    pub(super) fn refs(&self) -> Result<Vec<u8>, git2::Error> {
        let mut stream = self.open("upload-pack", None, REFS_BYTES_MAX)?;
        let mut body = Vec::new();
        stream.read_to_end(&mut body).map_err(|fault| self.fail(format!("{}: {}", self.url, door_fault(fault))))?;
        let advertised = parse_advertisement(&body)
            .ok_or_else(|| self.fail(format!("{}: the server's list of refs is damaged", self.url)))?;
        self.found().advertised = Some(Arc::new(advertised));
        Ok(body)
    }
}

fn door_fault(fault: io::Error) -> String {
    match fault.downcast::<EgressError>() {
        Ok(fault) => fault.to_string(),
        Err(fault) => fault.to_string(),
    }
}

/// Reads the answer to `info/refs`. libgit2 reads it too; but its list panics on names that are not UTF-8, and does not
/// tell what `HEAD` stands for before everything is fetched.
fn parse_advertisement(body: &[u8]) -> Option<Advertised> {
    let mut found = Advertised::default();
    let mut rest = body;
    while !rest.is_empty() {
        let length = usize::from_str_radix(std::str::from_utf8(rest.get(..4)?).ok()?, 16).ok()?;
        if length < 4 {
            // A flush packet: after the service's name, and at the end.
            rest = &rest[4..];
            continue;
        }
        let line = rest.get(4..length)?;
        rest = &rest[length..];
        if line.starts_with(b"#") || line.starts_with(b"version ") || line.starts_with(b"shallow ") {
            continue;
        }
        if line.starts_with(b"ERR ") {
            return None;
        }
        let (reference, capabilities) = match line.iter().position(|byte| *byte == 0) {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        found.capabilities.extend(capabilities.split(|byte| *byte == b' ').map(|word| word.trim_ascii().to_vec()));
        if let Some(head) =
            capabilities.split(|byte| *byte == b' ').find_map(|word| word.trim_ascii().strip_prefix(b"symref=HEAD:"))
        {
            found.head = Some(head.to_vec());
        }
        let space = reference.iter().position(|byte| *byte == b' ')?;
        let oid = Oid::from_str(std::str::from_utf8(&reference[..space]).ok()?).ok()?;
        let name = reference[space + 1..].trim_ascii_end();
        // An empty repository has one line for its capabilities; `^{}` repeats what a tag points to.
        if !name.ends_with(b"^{}") {
            found.refs.push((name.to_vec(), oid));
        }
    }
    Some(found)
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Door>>> = const { RefCell::new(None) };
}

/// Runs a fetch whose exchanges go through this door.
pub(super) fn through<T>(door: &Arc<Door>, fetch: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            CURRENT.with(|current| current.borrow_mut().take());
        }
    }
    CURRENT.with(|current| *current.borrow_mut() = Some(door.clone()));
    let _leave = Leave;
    fetch()
}

/// Registers the transport and sets libgit2's process-wide options, once.
pub(super) fn prepare() -> Result<(), String> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    DONE.get_or_init(|| configure().map_err(|fault| format!("libgit2 cannot be set up: {}", fault.message()))).clone()
}

/// Bytes of objects that libgit2 keeps in memory, over all repositories; its default is 256 MiB.
const OBJECT_CACHE_BYTES: isize = 64 << 20;

/// Objects of one pack. The largest public repositories have some twenty million; each takes a hundred bytes or so of memory
/// while the pack is indexed.
const PACK_OBJECTS_MAX: usize = 50_000_000;
/// Bytes of an object that a pack describes by its difference to another: forty bytes can describe gigabytes, and it is
/// whole in memory once. git describes nothing so that is larger than this (`core.bigFileThreshold`).
const DELTA_OBJECT_BYTES_MAX: usize = 512 << 20;

/// Sets the limits that `git2` has no words for.
unsafe fn limit_packs() -> Result<(), git2::Error> {
    let limits = [
        (libgit2_sys::GIT_OPT_SET_PACK_MAX_OBJECTS, PACK_OBJECTS_MAX),
        (libgit2_sys::GIT_OPT_SET_PACK_MAX_OBJECT_SIZE, DELTA_OBJECT_BYTES_MAX),
    ];
    for (option, limit) in limits {
        // SAFETY: each of them takes one `size_t`; for the rest, as in `configure`.
        let code = unsafe { libgit2_sys::git_libgit2_opts(option as std::ffi::c_int, limit) };
        if code < 0 {
            return Err(git2::Error::last_error(code));
        }
    }
    Ok(())
}

fn configure() -> Result<(), git2::Error> {
    // SAFETY: these change libgit2's globals without synchronization. `prepare` runs this once, before it lets anybody
    // in this process open a repository or register a transport; nothing outside this module uses libgit2.
    unsafe {
        for level in [
            git2::ConfigLevel::System,
            git2::ConfigLevel::Global,
            git2::ConfigLevel::XDG,
            git2::ConfigLevel::ProgramData,
        ] {
            // The settings of who runs the agent are not ours: `url.*.insteadOf` would lead a fetch past the door.
            opts::set_search_path(level, "")?;
        }
        // The owner of a repository matters to who runs its hooks and filters. We run nothing, only read, and the
        // operator has granted the folder by name; in containers, owners differ as a matter of course.
        opts::set_verify_owner_validation(false)?;
        opts::set_cache_max_size(OBJECT_CACHE_BYTES)?;
        limit_packs()?;
        for scheme in ["http", "https"] {
            git2::transport::register(scheme, |remote| Transport::smart(remote, true, Subtransport))?;
        }
    }
    // What comes over the network is hashed when it is indexed; hashing each object again at each read costs more than
    // reading it.
    opts::strict_hash_verification(false);
    Ok(())
}

/// What libgit2 calls. Holds nothing: all is in the thread's door.
struct Subtransport;

impl SmartSubtransport for Subtransport {
    fn action(&self, _url: &str, service: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let door = CURRENT
            .with(|current| current.borrow().clone())
            .ok_or_else(|| git2::Error::from_str("a repository is fetched outside of a job"))?;
        match service {
            Service::UploadPackLs => Ok(Box::new(Listing(Cursor::new(door.refs()?)))),
            Service::UploadPack => Ok(Box::new(Exchange { door, asked: Vec::new(), answer: None })),
            Service::ReceivePackLs | Service::ReceivePack => Err(door.fail("repositories are only read".to_owned())),
        }
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

/// The list of refs, which is here already.
struct Listing(Cursor<Vec<u8>>);

impl Read for Listing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Listing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("nothing is sent while refs are listed"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One question and its answer: what is written is sent when the answer is first read.
struct Exchange {
    door: Arc<Door>,
    asked: Vec<u8>,
    answer: Option<Stream>,
}

impl Read for Exchange {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.answer.is_none() {
            let asked = std::mem::take(&mut self.asked);
            let opened = self.door.ask(asked);
            self.answer = Some(opened.map_err(|fault| io::Error::other(fault.message().to_owned()))?);
        }
        let Some(answer) = self.answer.as_mut() else { return Ok(0) };
        answer.read(into).map_err(|fault| {
            let fault = self.door.fail(format!("{}: {}", self.door.url, door_fault(fault)));
            io::Error::other(fault.message().to_owned())
        })
    }
}

impl Write for Exchange {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.answer.is_some() || self.asked.len() + bytes.len() > ASK_BYTES_MAX {
            let fault = self.door.fail(format!("{}: the negotiation is out of order or too long", self.door.url));
            return Err(io::Error::other(fault.message().to_owned()));
        }
        self.asked.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(line: &str) -> String {
        String::from_utf8(super::packet(line)).expect("it is text")
    }

    #[test]
    fn a_list_of_refs_is_read() {
        let one = "1".repeat(40);
        let two = "2".repeat(40);
        let body = [
            packet("# service=git-upload-pack\n"),
            "0000".to_owned(),
            packet(&format!("{one} HEAD\0multi_ack symref=HEAD:refs/heads/main agent=git/2\n")),
            packet(&format!("{one} refs/heads/main\n")),
            packet(&format!("{two} refs/tags/v1\n")),
            packet(&format!("{one} refs/tags/v1^{{}}\n")),
            "0000".to_owned(),
        ]
        .concat();
        let found = parse_advertisement(body.as_bytes()).expect("it is whole");
        assert_eq!(found.head.as_deref(), Some(b"refs/heads/main".as_slice()));
        let names: Vec<_> = found.refs.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(names, ["HEAD", "refs/heads/main", "refs/tags/v1"]);
        for cut in 1..body.len() {
            // Never a panic; and a list that breaks off within a packet is no list.
            let whole = parse_advertisement(&body.as_bytes()[..cut]);
            assert!(whole.is_none() || body[cut..].len() >= 4, "{cut}");
        }
        assert_eq!(parse_advertisement(b"<html>"), None);
    }
}

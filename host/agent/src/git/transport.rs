//! Git's smart HTTP protocol over the agent's own door: what refs are there, and these objects please. And libgit2's
//! process-wide options; it has no network of its own here, and is given none.
//!
//! What a server says is not believed and not repeated unseen: its words are struck, cut and escaped.

use std::io::{self, Read};
use std::sync::OnceLock;
use std::time::Duration;

use ::url::Url;
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

/// Characters of a server's words that are repeated.
const WORDS_MAX: usize = 500;
/// Of the name of an object, which is a SHA-1.
const OID_DIGITS: usize = 40;
/// Repositories whose names of objects are SHA-256 say so.
const SHA_256: &str = "object-format=sha256";

/// What a fetch of one repository may use.
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
    /// Takes in what the server can do, which stands beside its first ref.
    fn learn(&mut self, capabilities: &[u8]) {
        let words: Vec<&[u8]> = capabilities.split(|byte| *byte == b' ').map(<[u8]>::trim_ascii).collect();
        self.head = words.iter().find_map(|word| word.strip_prefix(b"symref=HEAD:")).map(<[u8]>::to_vec);
        self.capabilities = words.into_iter().map(<[u8]>::to_vec).collect();
    }

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
        Door { egress, policy, tokio, url, credential, caller, pack_bytes_max: PACK_BYTES_MAX }
    }

    fn open(&self, service: &str, body: Option<Vec<u8>>, bytes_max: u64) -> Result<Stream, String> {
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
        let target = Target::parse(&url).map_err(|fault| format!("{}: {fault}", self.url))?;
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
            .map_err(|fault| format!("{}: {fault}", self.url))?;
        self.check_answer(&stream, &expected).map_err(|text| {
            let mut text = format!("{}: {text}", self.url);
            crate::secrets::strike(&mut text);
            text
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
    pub(super) fn ask(&self, question: Vec<u8>) -> Result<Stream, String> {
        if question.len() > ASK_BYTES_MAX {
            return Err(format!("{}: asking for all of its refs takes more than {ASK_BYTES_MAX} bytes", self.url));
        }
        self.open("upload-pack", Some(question), self.pack_bytes_max)
    }

    /// What went wrong while an answer came, for a person.
    pub(super) fn words_of(&self, fault: io::Error) -> String {
        let mut text = door_fault(fault);
        crate::secrets::strike(&mut text);
        text
    }

    /// The refs that the server says it has.
    pub(super) fn refs(&self) -> Result<Advertised, String> {
        let mut stream = self.open("upload-pack", None, REFS_BYTES_MAX)?;
        let mut body = Vec::new();
        let told = |what: String| format!("{}: {what}", self.url);
        stream.read_to_end(&mut body).map_err(|fault| told(self.words_of(fault)))?;
        parse_advertisement(&body).map_err(told)
    }
}

/// A server's words, for a person.
pub(super) fn words(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes.strip_prefix(b"ERR ").unwrap_or(bytes)).into_owned();
    // Whole, before it is cut: of a secret at the cut a part would be left.
    crate::secrets::strike(&mut text);
    let cut: String = text.trim().chars().take(WORDS_MAX).collect();
    cut.escape_debug().to_string()
}

fn door_fault(fault: io::Error) -> String {
    match fault.downcast::<EgressError>() {
        Ok(fault) => fault.to_string(),
        Err(fault) => fault.to_string(),
    }
}

/// Reads the answer to `info/refs`. The error is for a person.
fn parse_advertisement(body: &[u8]) -> Result<Advertised, String> {
    let damaged = || "the server's list of refs is damaged: does something between change it?".to_owned();
    let mut found = Advertised::default();
    let mut rest = body;
    while !rest.is_empty() {
        let length = length_of(rest).ok_or_else(damaged)?;
        if length < 4 {
            // A flush packet: after the service's name, and at the end.
            rest = &rest[4..];
            continue;
        }
        let line = rest.get(4..length).ok_or_else(damaged)?;
        rest = &rest[length..];
        if line.starts_with(b"#") || line.starts_with(b"version ") || line.starts_with(b"shallow ") {
            continue;
        }
        if line.starts_with(b"ERR ") {
            return Err(format!("the server says: {}", words(line)));
        }
        let (reference, capabilities) = match line.iter().position(|byte| *byte == 0) {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        if found.capabilities.is_empty() && !capabilities.is_empty() {
            found.learn(capabilities);
        }
        if found.can(SHA_256) {
            return Err("its objects have SHA-256 names, which cannot be fetched yet: clone it with git, and grant the clone's folder".to_owned());
        }
        let (oid, name) = ref_of(reference).ok_or_else(damaged)?;
        // An empty repository has one line for its capabilities; `^{}` repeats what a tag points to.
        if !name.ends_with(b"^{}") {
            found.refs.push((name.to_vec(), oid));
        }
    }
    Ok(found)
}

/// The length of the packet that these bytes begin with.
fn length_of(bytes: &[u8]) -> Option<usize> {
    usize::from_str_radix(std::str::from_utf8(bytes.get(..4)?).ok()?, 16).ok()
}

fn ref_of(line: &[u8]) -> Option<(Oid, &[u8])> {
    let (digits, name) = line.split_at_checked(OID_DIGITS)?;
    let oid = Oid::from_str(std::str::from_utf8(digits).ok()?).ok()?;
    Some((oid, name.strip_prefix(b" ")?.trim_ascii_end()))
}

/// Sets libgit2's process-wide options, once.
pub(super) fn prepare() -> Result<(), String> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    DONE.get_or_init(|| configure().map_err(|fault| format!("libgit2 cannot be set up: {}", fault.message()))).clone()
}

/// Bytes of objects that libgit2 keeps in memory, over all repositories; its default is 256 MiB.
const OBJECT_CACHE_BYTES: isize = 64 << 20;
/// Bytes of an object that a pack describes by its difference to another: git describes nothing so that is larger
/// (`core.bigFileThreshold`).
const DELTA_OBJECT_BYTES_MAX: usize = 512 << 20;

/// Sets the limit that `git2` has no word for. What a pack takes is judged before libgit2 sees it (`fetch`); this is beside that.
unsafe fn limit_packs() -> Result<(), git2::Error> {
    let option = libgit2_sys::GIT_OPT_SET_PACK_MAX_OBJECT_SIZE as std::ffi::c_int;
    // SAFETY: it takes one `size_t`; for the rest, as in `configure`.
    let code = unsafe { libgit2_sys::git_libgit2_opts(option, DELTA_OBJECT_BYTES_MAX) };
    if code < 0 { Err(git2::Error::last_error(code)) } else { Ok(()) }
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
    }
    // What comes over the network is hashed when it is indexed; hashing each object again at each read costs more than
    // reading it.
    opts::strict_hash_verification(false);
    Ok(())
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
            assert!(whole.is_err() || body[cut..].len() >= 4, "{cut}");
        }
        for damaged in ["<html>", "003e11 refs/heads/short-of-digits-and-so-no-name-of-an-object\n", "0005x"] {
            let told = parse_advertisement(damaged.as_bytes()).expect_err(damaged);
            assert!(told.contains("is damaged"), "{told}");
        }
    }

    #[test]
    fn a_servers_own_words_are_told_as_its_words() {
        let said = packet(&format!("ERR access denied\u{1b}[2J\n{}", "x".repeat(2_000)));
        let told = parse_advertisement(said.as_bytes()).expect_err("it is none");
        assert!(told.starts_with("the server says: access denied\\u{1b}[2J\\nxxx"), "{told}");
        assert!(told.len() < 600 && !told.contains("damaged"), "{told}");
        let other = packet(&format!("{} HEAD\0object-format=sha256\n", "1".repeat(64)));
        assert!(parse_advertisement(other.as_bytes()).expect_err("it is none").contains("SHA-256"));
    }
}

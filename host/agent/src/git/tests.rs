//! Clones over HTTP against git's own server, and exports of repositories that git made, into a store and a folder of
//! their own. What a history holds is ripsrc's, and tested there against git. Tests are skipped by name where there is no
//! git.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ::url::Url;
use git2::{Oid, Repository, Signature, Time};
use serde_json::{Value, json};

use super::clone::{self, CloneError};
use super::fetch;
use super::transport::{self, Door};
use super::{GitContext, GitMemory, RepoOutcome};
use crate::config::{Compression, Credential, Grants, NetworkRule, Placement, SecretSource, Sink};
use crate::delivery::Delivery;
use crate::egress::{Caller, Egress, Policy};
use crate::export::{ExportRun, RunSpec, SessionKind};
use crate::shutdown::Shutdown;
use crate::store::{Codec, Store};

mod hostile;

fn git_is_here(test: &str) -> bool {
    let here = Command::new("git").arg("--version").output().is_ok_and(|output| output.status.success());
    if !here {
        eprintln!("skipped: {test} (there is no git)");
    }
    here
}

/// A bare repository that is written commit by commit.
struct Fixture {
    folder: tempfile::TempDir,
    repository: Repository,
    seconds: i64,
}

type Files<'a> = &'a [(&'a [u8], i32, &'a [u8])];
const TEXT: i32 = 0o100_644;

impl Fixture {
    fn new() -> Fixture {
        transport::prepare().expect("libgit2 can be set up");
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let repository =
            Repository::init_bare(folder.path().join("source.git")).expect("there is room for a repository");
        repository.set_head("refs/heads/main").expect("it is a branch's name");
        Fixture { folder, repository, seconds: 1_700_000_000 }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("source.git")
    }

    /// Commits exactly these files. A file of mode 160000 is a link to a commit.
    fn commit(&mut self, branch: &str, parents: &[Oid], files: Files<'_>) -> Oid {
        self.seconds += 60;
        let mut index = git2::Index::new().expect("memory is there");
        for (path, mode, content) in files {
            let id = match u32::try_from(*mode) {
                Ok(0o160_000) => Oid::from_bytes(&[7; 20]).expect("it has the length"),
                _ => self.repository.blob(content).expect("there is room for a blob"),
            };
            let time = git2::IndexTime::new(0, 0);
            let entry = git2::IndexEntry {
                ctime: time,
                mtime: time,
                dev: 0,
                ino: 0,
                mode: u32::try_from(*mode).expect("modes are positive"),
                uid: 0,
                gid: 0,
                file_size: 0,
                id,
                flags: 0,
                flags_extended: 0,
                path: path.to_vec(),
            };
            index.add(&entry).expect("the entry is whole");
        }
        let tree = index.write_tree_to(&self.repository).expect("there is room for a tree");
        let tree = self.repository.find_tree(tree).expect("it was written");
        let who = Signature::new("Ann", "Ann@Example.com", &Time::new(self.seconds, 120)).expect("the name is whole");
        let parents: Vec<_> =
            parents.iter().map(|parent| self.repository.find_commit(*parent).expect("it was written")).collect();
        let parents: Vec<_> = parents.iter().collect();
        let oid = self
            .repository
            .commit(None, &who, &who, "a change\n", &tree, &parents)
            .expect("there is room for a commit");
        self.repository.reference(&format!("refs/heads/{branch}"), oid, true, "").expect("there is room for a branch");
        oid
    }
}

/// One of everything that a commit can do to a file.
fn one_of_everything() -> (Fixture, Vec<Oid>) {
    let lines = |from: usize, to: usize| {
        (from..to).map(|n| format!("line {n} of a file that is moved\n")).collect::<String>().into_bytes()
    };
    let (long, longer) = (lines(0, 40), lines(2, 45));
    let mut fixture = Fixture::new();
    let a = fixture.commit(
        "main",
        &[],
        &[(b"a.txt", TEXT, b"1\n2\n3\n"), (b"empty", TEXT, b""), (b"long", TEXT, &long), (b"no-end", TEXT, b"x")],
    );
    let b = fixture.commit(
        "main",
        &[a],
        &[
            (b"a.txt", TEXT, b"1\n2b\n3\n4\n"),
            (b"dir/longer", TEXT, &longer),
            (b"binary", TEXT, b"\0\x01\x02"),
            (b"no-end", TEXT, b"x\ny"),
        ],
    );
    let c = fixture.commit(
        "main",
        &[b],
        &[
            (b"a.txt", 0o100_755, b"1\n2b\n3\n4\n"),
            (b"binary", TEXT, b"\0\x01\x03"),
            (b"caf\xe9 \t\"x\"", TEXT, b"1\n"),
            (b"dir/longer", TEXT, &longer),
            (b"module", 0o160_000, b""),
            (b"no-end", 0o120_000, b"a.txt"),
        ],
    );
    let side = fixture.commit(
        "side",
        &[b],
        &[
            (b"a.txt", TEXT, b"0\n1\n2b\n3\n4\n"),
            (b"binary", TEXT, b"\0\x01\x02"),
            (b"dir/longer", TEXT, &longer),
            (b"s", TEXT, b"s\n"),
        ],
    );
    // Takes `s` as it is from the side, and makes of `a.txt` what neither had.
    let merged = fixture.commit(
        "main",
        &[c, side],
        &[
            (b"a.txt", 0o100_755, b"0\n1\n2c\n3\n4\n"),
            (b"binary", TEXT, b"\0\x01\x03"),
            (b"dir/longer", TEXT, &longer),
            (b"s", TEXT, b"s\n"),
        ],
    );
    let again = fixture.commit("main", &[merged], &[(b"only", TEXT, b"1\n")]);
    (fixture, vec![a, b, c, side, merged, again])
}

fn git(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("git")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .arg("-c")
        .arg("safe.directory=*")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .output()
        .expect("git is here");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_repository_with_files_beside_it_is_read_in_place() {
    if !git_is_here("a_repository_with_files_beside_it_is_read_in_place") {
        return;
    }
    let (fixture, _) = one_of_everything();
    let root = fixture.folder.path().join("granted");
    std::fs::create_dir(&root).expect("there is room for a folder");
    let (work, linked) = (root.join("work"), root.join("linked"));
    git(&root, &["clone", "-q", "--no-checkout", fixture.path().to_str().expect("plain"), "work"]);
    git(&work, &["worktree", "add", "-q", "--no-checkout", linked.to_str().expect("plain"), "-b", "extra"]);
    let granted = [root.clone()];
    for folder in [&work, &linked] {
        let heads = clone::in_place(folder, &granted).expect("it is granted").heads().expect("it is whole");
        assert!(heads.branches.iter().any(|(name, _)| name == b"main"), "{}", folder.display());
    }
    // A link whose data is elsewhere.
    let elsewhere = fixture.folder.path().join("elsewhere");
    git(&work, &["worktree", "add", "-q", "--no-checkout", elsewhere.to_str().expect("plain"), "-b", "more"]);
    let refused = clone::in_place(&elsewhere, std::slice::from_ref(&elsewhere)).err().expect("its data is not granted");
    assert!(refused.contains("grants.git.paths") && refused.contains("granted/work"), "{refused}");
    assert!(clone::in_place(&root, &granted).is_err());
}

/// Whoever makes a repository can have it point anywhere. What it names is not read, and it says what to grant.
#[test]
fn a_repository_in_place_leads_nowhere_outside() {
    use std::os::unix::fs::symlink;
    if !git_is_here("a_repository_in_place_leads_nowhere_outside") {
        return;
    }
    let (fixture, _) = one_of_everything();
    let (secret, root) = (fixture.path(), fixture.folder.path().join("granted"));
    let copy = |name: &str| {
        let place = root.join(name);
        git(
            fixture.folder.path(),
            &["clone", "-q", "--bare", secret.to_str().expect("plain"), place.to_str().expect("plain")],
        );
        place
    };
    let moved = |from: &Path, name: &str| {
        let to = fixture.folder.path().join(name);
        std::fs::rename(from, &to).expect("it is ours");
        symlink(&to, from).expect("links can be made");
    };
    let borrows = copy("borrows.git");
    std::fs::remove_dir_all(borrows.join("objects")).expect("it is ours");
    std::fs::create_dir_all(borrows.join("objects/info")).expect("there is room");
    std::fs::write(borrows.join("objects/info/alternates"), format!("{}\n", secret.join("objects").display()))
        .expect("room");
    let shares = copy("shares.git");
    std::fs::write(shares.join("commondir"), "../../source.git\n").expect("there is room");
    let points = root.join("points");
    std::fs::create_dir(&points).expect("there is room");
    std::fs::write(points.join(".git"), format!("gitdir: {}\n", secret.display())).expect("there is room");
    let links = root.join("links");
    std::fs::create_dir(&links).expect("there is room");
    symlink(&secret, links.join(".git")).expect("links can be made");
    let objects = copy("objects.git");
    moved(&objects.join("objects"), "objects-elsewhere");
    let packs = copy("packs.git");
    git(&packs, &["repack", "-adq"]);
    moved(&packs.join("objects/pack"), "packs-elsewhere");
    let refs = copy("refs.git");
    git(&refs, &["pack-refs", "--all"]);
    moved(&refs.join("packed-refs"), "refs-elsewhere");
    let agent = Agent::new(&root);
    for (place, outside) in [
        (&borrows, "source.git/objects"),
        (&shares, "source.git"),
        (&points, "source.git"),
        (&links, "source.git"),
        (&objects, "objects-elsewhere"),
        (&packs, "packs-elsewhere"),
        (&refs, "refs-elsewhere"),
    ] {
        let run = agent.begin();
        agent.queue(&run, json!({"ref_id": place, "name": "hostile", "url": place}));
        let (outcome, sent) = agent.work(&run);
        let why = outcome.error.expect("it is refused");
        assert!(why.contains("granted") && why.contains(outside), "{}: {why}", place.display());
        assert_eq!(sent.values().sum::<u64>(), 0, "{}", place.display());
    }
    // Single files: an object, a ref and a pack that lie elsewhere are not there, and nobody waits for a pipe.
    let objects = copy("files.git");
    let tip = git(&objects, &["rev-parse", "main"]);
    let tip = lossy(&tip).trim().to_owned();
    moved(&objects.join("objects").join(&tip[..2]).join(&tip[2..]), "object-elsewhere");
    assert!(Command::new("mkfifo").arg(objects.join("refs/heads/pipe")).status().expect("it is there").success());
    symlink("/dev/zero", objects.join("refs/heads/zero")).expect("links can be made");
    let run = agent.begin();
    agent.queue(&run, json!({"ref_id": "files", "name": "hostile", "url": objects}));
    let why = agent.work(&run).0.error.expect("its newest commit is elsewhere");
    assert!(why.contains("object-elsewhere lies outside of the folders that were granted"), "{why}");
    // Granted as well, what it borrows is read.
    let generous = Agent::new(fixture.folder.path());
    assert_eq!(generous.export(&json!({"ref_id": "b", "name": "b", "url": borrows})).0.error, None);
}

/// git's own HTTP server behind a socket: reads one request from each connection and hands it to `git http-backend`.
struct HttpServer {
    port: u16,
    requests: Arc<AtomicUsize>,
}

impl HttpServer {
    /// Serves the repositories in a folder. Below `/secret/` it wants a token; `/moved/` redirects; `/page/` is none.
    fn start(root: PathBuf) -> HttpServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
        let port = listener.local_addr().expect("it is bound").port();
        let requests = Arc::new(AtomicUsize::new(0));
        let count = requests.clone();
        // Ends with the test's process; it waits in `accept` until then.
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                // A client that went away is the test's to notice.
                let _ = answer(connection, &root);
            }
        });
        HttpServer { port, requests }
    }

    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://127.0.0.1:{}{path}", self.port)).expect("it is a URL")
    }
}

// The server's side of a connection; the ban is on opening them.
#[allow(clippy::disallowed_types)]
fn answer(connection: std::net::TcpStream, root: &Path) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let header = |name: &str| {
        lines.iter().find_map(|line| {
            line.to_lowercase().strip_prefix(&format!("{name}: ")).map(|_| line[name.len() + 2..].to_owned())
        })
    };
    let mut words = lines.first().map(String::as_str).unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut body = vec![0; header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let mut out = connection;
    let bare =
        |status: &str, more: &str| format!("HTTP/1.1 {status}\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n");
    if path.starts_with("/moved/") {
        let to = path.replacen("/moved/", "/", 1);
        return out
            .write_all(bare("301 Moved", &format!("Location: http://user:pw@other.test{to}?{query}\r\n")).as_bytes());
    }
    if path.starts_with("/page/") {
        return out.write_all(bare("200 OK", "Content-Type: text/html\r\n").as_bytes());
    }
    if path.starts_with("/secret/") && header("authorization").as_deref() != Some("Bearer let-me-in") {
        return out.write_all(bare("401 Unauthorized", "").as_bytes());
    }
    let mut child = Command::new("git")
        .args(["-c", "safe.directory=*", "http-backend"])
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("PATH_INFO", path.replacen("/secret/", "/", 1))
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", method)
        .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    child.stdin.take().expect("it is piped").write_all(&body)?;
    let output = child.wait_with_output()?.stdout;
    let end = memchr::memmem::find(&output, b"\r\n\r\n").unwrap_or(output.len());
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    out.write_all(format!("HTTP/1.1 {status}\r\n{head}\r\nConnection: close\r\n\r\n").as_bytes())?;
    out.write_all(output.get(end + 4..).unwrap_or_default())
}

struct Client {
    runtime: tokio::runtime::Runtime,
    cache: tempfile::TempDir,
    policy: Policy,
}

impl Client {
    fn new(server: &HttpServer) -> Client {
        Client::of(server.port)
    }

    fn of(port: u16) -> Client {
        let rule =
            NetworkRule { scheme: "http".into(), host: "127.0.0.1".into(), port, methods: vec![], path: "/".into() };
        let policy = Policy {
            asked: vec![rule.clone()],
            granted: vec![rule],
            private_hosts: vec!["127.0.0.1".into()],
            ..Policy::default()
        };
        Client {
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .expect("a runtime can be made"),
            cache: tempfile::tempdir().expect("there is room for a folder"),
            policy,
        }
    }

    fn door(&self, url: &Url, credential: Option<&str>) -> Result<Door, String> {
        let policy = self.policy.for_repository(url).map_err(|fault| fault.to_string())?;
        let (tokio, credential) = (self.runtime.handle().clone(), credential.map(str::to_owned));
        Ok(Door::new(Egress::new(), policy, tokio, url.clone(), credential, Caller::default()))
    }

    /// A door that closes when the end is asked for.
    fn door_until(&self, url: &Url, shutdown: &Shutdown) -> Door {
        let (sources, settings) =
            (crate::secrets::Sources::new(None, shutdown), crate::config::EgressSettings::default());
        let egress = Egress::open(&settings, sources, shutdown).expect("there is nothing to open");
        let policy = self.policy.for_repository(url).expect("it is granted");
        Door::new(egress, policy, self.runtime.handle().clone(), url.clone(), None, Caller::default())
    }

    fn mirror(&self, url: &Url, credential: Option<&str>, heads: &[Oid]) -> Result<clone::Mirror, String> {
        self.mirror_by(self.door(url, credential)?, heads)
    }

    fn mirror_by(&self, door: Door, heads: &[Oid]) -> Result<clone::Mirror, String> {
        self.mirror_within(1 << 28, &door, heads)
    }

    /// With so many bytes of memory.
    fn mirror_within(&self, bytes: u64, door: &Door, heads: &[Oid]) -> Result<clone::Mirror, String> {
        let (heads, memory) = (heads.iter().copied().collect(), GitMemory::new(bytes, 1));
        clone::mirror(self.cache.path(), door, &heads, &memory, &ripsrc::Watch::default()).map_err(
            |error| match error {
                CloneError::Failed(text) => text,
                CloneError::Stopped => "stopped".to_owned(),
            },
        )
    }
}

/// The clone as libgit2 sees it.
fn opened(mirror: &clone::Mirror) -> Repository {
    Repository::open_bare(&mirror.path).expect("it is a repository")
}

fn ref_names(repository: &Repository) -> Vec<String> {
    let mut names: Vec<_> = repository
        .references()
        .expect("refs can be listed")
        .map(|reference| lossy(reference.expect("whole").name_bytes()))
        .collect();
    names.sort();
    names
}

/// Whatever a server can do, what is left is what git itself finds whole; an end that was asked for leaves nothing.
#[test]
fn a_fetch_is_one_exchange() {
    if !git_is_here("a_fetch_is_one_exchange") {
        return;
    }
    let (fixture, commits) = one_of_everything();
    let server = HttpServer::start(fixture.folder.path().to_owned());
    let (client, url) = (Client::new(&server), server.url("/source.git"));
    let door = client.door(&url, None).expect("it is granted");
    let advertised = door.refs().expect("there are some");
    let wanted = std::collections::HashSet::from([*commits.last().expect("there are some")]);
    let able = |names: &[&str]| transport::Advertised {
        capabilities: names.iter().map(|name| name.as_bytes().to_vec()).collect(),
        ..transport::Advertised::default()
    };
    let known = ["ofs-delta", "side-band-64k", "no-progress"];
    assert!(known.iter().all(|name| advertised.can(name)), "git's own server can do all of it");
    for (at, able) in [able(&[]), able(&known[..1]), able(&known[1..2]), able(&known)].iter().enumerate() {
        let into = client.cache.path().join(format!("into-{at}.git"));
        let repository = Repository::init_bare(&into).expect("there is room");
        let left = || {
            let entries = std::fs::read_dir(into.join("objects/pack")).map(Iterator::count);
            entries.unwrap_or_default()
        };
        let memory = GitMemory::new(1 << 28, 1);
        let fetch = |watch: &ripsrc::Watch| fetch::fetch(&repository, &door, able, &wanted, &memory, watch);
        let stopped = ripsrc::Watch::default();
        stopped.stop();
        assert!(matches!(fetch(&stopped), Err(CloneError::Stopped)));
        assert_eq!(left(), 0);
        let before = server.requests.load(Ordering::SeqCst);
        fetch(&ripsrc::Watch::default()).expect("the server is honest");
        assert_eq!((left(), server.requests.load(Ordering::SeqCst)), (2, before + 1));
        repository.reference("refs/heads/b", commits[5], true, "").expect("the commit is there");
        let checked = git(&into, &["fsck", "--full", "--strict"]);
        assert!(!lossy(&checked).contains("missing"), "{}", lossy(&checked));
        let packs = lossy(&git(&into, &["verify-pack", "-v", &format!("objects/pack/{}", index_of(&into))]));
        assert!(packs.contains(&commits[0].to_string()), "{packs}");
    }
}

/// What is there is said, so that a night brings what is new and nothing else; also after a branch was rewritten.
#[test]
fn a_later_fetch_brings_what_is_new() {
    if !git_is_here("a_later_fetch_brings_what_is_new") {
        return;
    }
    let (mut fixture, commits) = one_of_everything();
    let server = HttpServer::start(fixture.folder.path().to_owned());
    let (client, url) = (Client::new(&server), server.url("/source.git"));
    let path = client.mirror(&url, None, &[]).expect("it can be cloned").path.clone();
    let packs = || -> BTreeSet<PathBuf> {
        let entries = std::fs::read_dir(path.join("objects/pack")).expect("it is there");
        entries
            .map(|entry| entry.expect("it is ours").path())
            .filter(|path| path.extension() == Some("idx".as_ref()))
            .collect()
    };
    let first = packs();
    let rewritten = fixture.commit("main", &[commits[4]], &[(b"only", TEXT, b"another\n")]);
    drop(client.mirror(&url, None, &[]).expect("it can be fetched"));
    let new: Vec<PathBuf> = packs().difference(&first).cloned().collect();
    assert_eq!(new.len(), 1);
    let listed = lossy(&git(&path, &["verify-pack", "-v", new[0].to_str().expect("plain")]));
    let objects = listed.lines().filter(|line| line.split(' ').next().is_some_and(|word| word.len() == 40)).count();
    assert_eq!(objects, 3, "a commit, its tree and its file: {listed}");
    let tip = lossy(&git(&path, &["rev-parse", "main"]));
    assert_eq!(tip.trim(), rewritten.to_string());
    assert_eq!(lossy(&git(&path, &["fsck", "--full", "--no-dangling"])), "");
}

fn index_of(repository: &Path) -> String {
    let entries = std::fs::read_dir(repository.join("objects/pack")).expect("it is there");
    let names = entries.map(|entry| entry.expect("it is ours").file_name().into_string().expect("it is text"));
    { names }.find(|name| name.ends_with(".idx")).expect("there is one")
}

#[test]
fn a_mirror_follows_its_repository() {
    if !git_is_here("a_mirror_follows_its_repository") {
        return;
    }
    let (mut fixture, commits) = one_of_everything();
    let server = HttpServer::start(fixture.folder.path().to_owned());
    let (client, url) = (Client::new(&server), server.url("/source.git"));
    let source = &fixture.repository;
    source.reference("refs/heads/a", commits[1], true, "").expect("there is room");
    source.reference("refs/tags/v1", commits[2], true, "").expect("there is room");
    let request = fixture.commit("request", &[commits[1]], &[(b"pull", TEXT, b"1\n")]);
    let source = &fixture.repository;
    source.find_reference("refs/heads/request").expect("it was made").delete().expect("it can go");
    source.reference("refs/pull/7/head", request, true, "").expect("there is room");
    source.reference("refs/pull/8/head", commits[0], true, "").expect("there is room");

    let mirror = client.mirror(&url, None, &[request]).expect("it can be cloned");
    assert_eq!(
        ref_names(&opened(&mirror)),
        ["refs/heads/a", "refs/heads/main", "refs/heads/side", "refs/pull/7/head", "refs/tags/v1"]
    );
    let heads = mirror.open().expect("it is a repository").heads().expect("it is whole");
    assert_eq!(heads.default.as_deref(), Some(&b"main"[..]));
    let path = mirror.path.clone();
    drop(mirror);

    // A branch goes and another takes its place as a folder; the default branch is another; main moves.
    let source = &fixture.repository;
    source.find_reference("refs/heads/a").expect("it was made").delete().expect("it can go");
    source.reference("refs/heads/a/b", commits[1], true, "").expect("there is room");
    source.set_head("refs/heads/side").expect("it is a branch's name");
    let newest = fixture.commit("main", &[commits[5]], &[(b"new", TEXT, b"1\n")]);
    let mirror = client.mirror(&url, None, &[]).expect("it can be fetched");
    assert_eq!(mirror.path, path);
    assert_eq!(ref_names(&opened(&mirror)), ["refs/heads/a/b", "refs/heads/main", "refs/heads/side", "refs/tags/v1"]);
    let heads = mirror.open().expect("it is a repository").heads().expect("it is whole");
    assert_eq!(heads.default.as_deref(), Some(&b"side"[..]));
    assert!(heads.branches.iter().any(|(name, oid)| name == b"main" && oid.to_string() == newest.to_string()));
    drop(mirror);

    // Nothing new: one exchange.
    let before = server.requests.load(Ordering::SeqCst);
    drop(client.mirror(&url, None, &[]).expect("it can be fetched"));
    assert_eq!(server.requests.load(Ordering::SeqCst), before + 1);
}

#[test]
fn a_damaged_clone_is_made_anew() {
    if !git_is_here("a_damaged_clone_is_made_anew") {
        return;
    }
    let (fixture, commits) = one_of_everything();
    let server = HttpServer::start(fixture.folder.path().to_owned());
    let (client, url) = (Client::new(&server), server.url("/source.git"));
    let path = client.mirror(&url, None, &[]).expect("it can be cloned").path.clone();
    let damages: [fn(&Path); 3] = [
        |path| std::fs::write(path.join("HEAD"), "nonsense").expect("it is ours"),
        |path| std::fs::remove_dir_all(path.join("objects")).expect("it is ours"),
        |path| {
            for entry in std::fs::read_dir(path.join("objects/pack")).expect("it is ours") {
                std::fs::remove_file(entry.expect("it is ours").path()).expect("it is ours");
            }
        },
    ];
    for damage in damages {
        damage(&path);
        let mirror = client.mirror(&url, None, &[]).expect("it is cloned again");
        assert!(opened(&mirror).find_commit(commits[5]).is_ok());
    }
    // What an interrupted run left is cleared away.
    std::fs::create_dir(path.with_extension("new")).expect("there is room for a folder");
    std::fs::write(path.join("objects/pack/pack_git2_abc"), "rest").expect("there is room for a file");
    client.mirror(&url, None, &[]).expect("it can be fetched").discard().expect("it is ours");
    assert!(!path.exists());
    drop(client.mirror(&url, None, &[]).expect("it is cloned again"));
    let left: Vec<OsString> = std::fs::read_dir(client.cache.path())
        .expect("it is ours")
        .map(|entry| entry.expect("it is ours").file_name())
        .collect();
    assert_eq!(left, [path.file_name().expect("it has one").to_owned()]);
}

#[test]
fn an_empty_repository_is_cloned() {
    if !git_is_here("an_empty_repository_is_cloned") {
        return;
    }
    let mut fixture = Fixture::new();
    let server = HttpServer::start(fixture.folder.path().to_owned());
    let (client, url) = (Client::new(&server), server.url("/source.git"));
    let mirror = client.mirror(&url, None, &[]).expect("it can be cloned");
    assert_eq!(mirror.open().expect("it is a repository").heads().expect("it is empty").head, None);
    drop(mirror);
    let first = fixture.commit("main", &[], &[(b"a", TEXT, b"1\n")]);
    let mirror = client.mirror(&url, None, &[]).expect("it can be fetched");
    let heads = mirror.open().expect("it is a repository").heads().expect("it is whole");
    assert_eq!(heads.head.map(|oid| oid.to_string()), Some(first.to_string()));
}

#[test]
fn a_private_repository_takes_its_credential_and_faults_are_told() {
    if !git_is_here("a_private_repository_takes_its_credential_and_faults_are_told") {
        return;
    }
    let (fixture, _) = one_of_everything();
    let server = HttpServer::start(fixture.folder.path().to_owned());
    let mut client = Client::new(&server);
    let token = |name: &str, value: &str| {
        let path = fixture.folder.path().join(name);
        std::fs::write(&path, value).expect("there is room for a file");
        Credential {
            source: SecretSource::File(path),
            exchange: None,
            placement: Placement::Bearer,
            hosts: vec!["127.0.0.1".into()],
            paths: Vec::new(),
        }
    };
    client.policy.credentials.insert("good".into(), token("good", "let-me-in\n"));
    client.policy.credentials.insert("bad".into(), token("bad", "hunter-2-hunter"));
    let secret = server.url("/secret/source.git");
    drop(client.mirror(&secret, Some("good"), &[]).expect("the token is right"));
    for (path, credential, expected) in [
        ("/secret/source.git", None, "name a credential"),
        ("/secret/source.git", Some("bad"), "does not accept the credential `bad` (401)"),
        ("/secret/source.git", Some("none"), "no credential `none` is granted"),
        ("/missing.git", None, "no such repository (404)"),
        ("/moved/source.git", None, "has moved (301): use http://other.test/source.git"),
        ("/page/source.git", None, "not a git repository over smart HTTP (content type text/html)"),
    ] {
        let Err(said) = client.mirror(&server.url(path), credential, &[]) else { panic!("{path} cannot be cloned") };
        assert!(said.contains(expected), "{path}: {said}");
        assert!(!said.contains("hunter") && !said.contains("pw@"), "{said}");
    }
    let mut narrow = Client::new(&server);
    narrow.policy.granted[0].path = "/team".into();
    let Err(said) = narrow.mirror(&server.url("/source.git"), None, &[]) else { panic!("it is not granted") };
    assert!(said.contains("grants.network") && said.ends_with("/source.git GET,POST"), "{said}");
    // A failed first clone leaves nothing behind.
    assert_eq!(std::fs::read_dir(client.cache.path()).expect("it is ours").count(), 1);
}

/// A run over a store of its own, as the runner makes it, with one queued repository, and a folder as its sink.
struct Agent {
    folder: tempfile::TempDir,
    store: Arc<Store>,
    shutdown: Shutdown,
    context: GitContext,
    runtime: tokio::runtime::Runtime,
}

/// Records by model and id, as the sink has them in the end.
type Records = BTreeMap<(String, String), Value>;

impl Agent {
    fn new(granted: &Path) -> Agent {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let store = Store::open(&folder.path().join("root"), Codec::Plain, 1 << 30).expect("there is room for a store");
        let context = GitContext {
            cache: folder.path().join("cache"),
            checkpoints: folder.path().join("checkpoints"),
            checkpoint_bytes: super::CHECKPOINT_BYTES,
            memory: GitMemory::new(1 << 28, 1),
            sink: "s".into(),
            egress: Egress::new(),
            policy: Policy::default(),
            grants: Grants { git_paths: vec![granted.to_owned()], ..Grants::default() },
            integration: "git".into(),
            customer_id: "c1".into(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        Agent { folder, store: Arc::new(store), shutdown: Shutdown::default(), context, runtime }
    }

    fn begin(&self) -> Arc<ExportRun> {
        let spec = RunSpec {
            integration: "git".into(),
            sink: "s".into(),
            component_digest: "d".into(),
            models: super::models(),
        };
        ExportRun::begin(self.store.clone(), spec, self.shutdown.clone()).expect("the store is whole")
    }

    fn queue(&self, run: &Arc<ExportRun>, document: Value) {
        let root = run.open_root(SessionKind::Tracking, "repos").expect("it is the first");
        run.queue_repo(root, document).expect("it is a document");
        self.runtime.block_on(run.done(root, None)).expect("nothing is open below");
    }

    /// Works off what was queued last, and says what came of it and which records each model has sent, in this run.
    fn work(&self, run: &Arc<ExportRun>) -> (RepoOutcome, BTreeMap<String, u64>) {
        let job = run.git_jobs().expect("the store is whole").pop().expect("it is queued");
        let outcome = super::run_job(&self.context, run, &job, self.runtime.handle());
        let sent = run.finish().into_iter().filter_map(|session| Some((session.model?, session.records))).collect();
        (outcome, sent)
    }

    fn export(&self, document: &Value) -> (RepoOutcome, BTreeMap<String, u64>) {
        let run = self.begin();
        self.queue(&run, document.clone());
        let result = self.work(&run);
        assert_eq!(run.git_jobs().expect("the store is whole").len(), usize::from(result.0.error.is_some()));
        result
    }

    /// The same for a repository that can be exported.
    #[track_caller]
    fn exports(&self, document: &Value) -> BTreeMap<String, u64> {
        let (outcome, sent) = self.export(document);
        assert_eq!(outcome.error, None);
        sent
    }

    /// Delivers everything, and reads what has been delivered so far. A record that came again as it was is a fault.
    #[track_caller]
    fn delivered(&self) -> Records {
        let folder = self.folder.path().join("sink");
        let sink = Sink::Folder { path: folder.clone(), compression: Compression::None };
        self.runtime.block_on(async {
            let delivery = Delivery::start_as(self.store.clone(), "s".to_owned(), &sink, &Shutdown::default());
            delivery.flush().await.expect("the folder can be written");
            delivery.stop().await;
        });
        let mut records = Records::new();
        for model in super::models() {
            let Ok(entries) = std::fs::read_dir(folder.join("git").join(&model.name)) else { continue };
            let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("it is ours").path()).collect();
            files.sort();
            let texts: Vec<String> =
                files.iter().map(|file| lossy(&std::fs::read(file).expect("it is ours"))).collect();
            for line in texts.iter().flat_map(|text| text.lines()) {
                let record: Value = serde_json::from_str(line).expect("a line is JSON");
                let key = (model.name.clone(), record["id"].as_str().expect("every record has an id").to_owned());
                assert_ne!(records.get(&key), Some(&record), "{key:?} came twice as it is");
                records.insert(key, record);
            }
        }
        records
    }

    fn checkpoint(&self) -> PathBuf {
        let folders: Vec<PathBuf> = std::fs::read_dir(&self.context.checkpoints)
            .expect("there is a folder")
            .map(|entry| entry.expect("it is ours").path())
            .collect();
        assert_eq!(folders.len(), 1);
        folders[0].join("ripsrc.checkpoint")
    }
}

/// Everything that is true now is among what was delivered, as one export into a new sink has it. What is gone from the
/// repository may be there besides.
#[track_caller]
fn same_as_new(agent: &Agent, granted: &Path, document: &Value) {
    let new = Agent::new(granted);
    new.exports(document);
    let (whole, found) = (new.delivered(), agent.delivered());
    assert!(!whole.is_empty());
    for (key, record) in &whole {
        // A person's name is of the commits that a run saw first.
        if key.0 == "sourcecode.User" {
            assert!(found.contains_key(key), "{key:?}");
        } else {
            assert_eq!(found.get(key), Some(record), "{key:?}");
        }
    }
}

/// Commits, branches, people, branches of pull requests, files.
fn counts(sent: &BTreeMap<String, u64>) -> (u64, u64, u64, u64, u64) {
    let of = |model: &str| sent.get(&format!("sourcecode.{model}")).copied().unwrap_or(0);
    (of("Commit"), of("Branch"), of("User"), of("PullRequestBranch"), of("Blame"))
}

fn document(fixture: &Fixture) -> Value {
    json!({"ref_id": "r1", "name": "one", "url": fixture.path()})
}

/// Changed files, as the commits' own records count them.
fn files_of(records: &Records) -> u64 {
    let commits = records.iter().filter(|(key, _)| key.0 == "sourcecode.Commit");
    commits.map(|(_, commit)| commit["files_total"].as_u64().expect("it is a number")).sum()
}

#[test]
fn a_repository_is_exported_once_and_then_what_is_new() {
    let (mut fixture, commits) = one_of_everything();
    let agent = Agent::new(&fixture.path());
    let pull =
        json!({"id": "i", "ref_id": "7", "url": "u", "branch_name": "side", "last_commit_sha": commits[3].to_string()});
    let mut document = document(&fixture);
    document["pull_requests"] = json!([pull]);
    let (outcome, sent) = agent.export(&document);
    let files = files_of(&agent.delivered());
    assert!(files > 10);
    assert_eq!((outcome.error, outcome.records), (None, 6 + 2 + 1 + 1 + files));
    assert_eq!(counts(&sent), (6, 2, 1, 1, files));
    // Nothing has moved, so nothing is walked.
    let (outcome, sent) = agent.export(&document);
    assert_eq!((outcome.error, outcome.records), (None, 0));
    assert_eq!(counts(&sent), (0, 0, 0, 0, 0));
    // One commit: it, its two changed files, and the branch that moved. The other one and the pull request are merged, and
    // what is merged is never behind.
    let newest = fixture.commit("main", &[commits[5]], &[(b"new", TEXT, b"1\n")]);
    assert_eq!(counts(&agent.exports(&document)), (1, 1, 0, 0, 2));
    // A branch is rewritten: what it lost is not taken back, what it gained is sent.
    fixture.commit("main", &[commits[2]], &[(b"other", TEXT, b"1\n")]);
    assert_eq!(agent.exports(&document).get("sourcecode.Commit"), Some(&1));
    // Back to where it was: nothing new but the branches.
    fixture.repository.reference("refs/heads/main", newest, true, "").expect("there is room");
    let sent = agent.exports(&document);
    assert_eq!((counts(&sent).0, counts(&sent).4), (0, 0));
    same_as_new(&agent, &fixture.path(), &document);
}

/// A history grows, is rewritten, loses and gains branches, and is exported after each step. In the end the sink has
/// what one export of the whole gives, and nothing came twice.
#[test]
fn nightly_exports_add_up_to_the_whole() {
    let mut fixture = Fixture::new();
    let agent = Agent::new(fixture.folder.path());
    let mut document = document(&fixture);
    let text = |lines: std::ops::Range<u32>, mark: u32| -> Vec<u8> {
        lines
            .map(|line| if line % 7 == mark % 7 { format!("{line} {mark}\n") } else { format!("{line}\n") })
            .collect::<String>()
            .into_bytes()
    };
    let mut tip = fixture.commit("main", &[], &[(b"a.rs", TEXT, &text(0..60, 0)), (b"b", TEXT, b"b\n")]);
    let mut side = tip;
    for night in 1..=8_u32 {
        let (old, one) = (tip, text(0..60 + night, night));
        for commit in 0..3 {
            tip = fixture.commit(
                "main",
                &[tip],
                &[(b"a.rs", TEXT, &text(commit..60 + night, night)), (b"b", TEXT, &one)],
            );
        }
        let references = |name: &str, oid: Oid| {
            fixture.repository.reference(&format!("refs/heads/{name}"), oid, true, "").expect("there is room");
        };
        match night {
            2 => side = fixture.commit("side", &[old], &[(b"a.rs", TEXT, &one)]),
            3 => side = fixture.commit("side", &[side], &[(b"a.rs", TEXT, &one), (b"c", TEXT, &one)]),
            // Merged, and with it what the other side never had.
            4 => tip = fixture.commit("main", &[tip, side], &[(b"a.rs", TEXT, &one), (b"c", TEXT, &one)]),
            // The branch goes; the main line is rewritten from before the night.
            5 => {
                fixture.repository.find_reference("refs/heads/side").expect("it was made").delete().expect("it can go");
                tip = fixture.commit("main", &[old], &[(b"a.rs", TEXT, &one)]);
            }
            // A branch from long ago, and another default branch.
            6 => {
                references("again", side);
                fixture.repository.set_head("refs/heads/again").expect("it is a branch's name");
            }
            // A pull request whose head moves, and in the night after is gone.
            7 => {
                document["pull_requests"] =
                    json!([{"ref_id": "7", "branch_name": "again", "last_commit_sha": side.to_string()}])
            }
            _ => {
                document["pull_requests"] =
                    json!([{"ref_id": "7", "branch_name": "again", "last_commit_sha": "7".repeat(40)}])
            }
        }
        let sent = agent.exports(&document);
        assert!(counts(&sent).0 <= 5, "night {night}: {sent:?}");
        same_as_new(&agent, fixture.folder.path(), &document);
    }
}

/// The checkpoint is lost, damaged, of another state or another repository: what is delivered is the same, once.
#[test]
fn a_checkpoint_is_never_more_than_a_help() {
    let (mut fixture, commits) = one_of_everything();
    let agent = Agent::new(fixture.folder.path());
    let document = document(&fixture);
    agent.exports(&document);
    let first = std::fs::read(agent.checkpoint()).expect("it was saved");
    let mut tip = commits[5];
    type Harm = fn(&Path, &[u8]);
    let harms: [Harm; 7] = [
        |_, _| {},
        |path, _| std::fs::remove_file(path).expect("it is ours"),
        // In its middle; its sum still says that it belongs here.
        |path, _| {
            let mut bytes = std::fs::read(path).expect("it is ours");
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
            std::fs::write(path, bytes).expect("it is ours");
        },
        |path, _| std::fs::write(path, b"short").expect("it is ours"),
        // As a crash between the store's commit and the saving of the file leaves it.
        |path, first| std::fs::write(path, first).expect("it is ours"),
        // It cannot be read at all.
        |path, _| {
            std::fs::remove_file(path).expect("it is ours");
            std::fs::create_dir(path).expect("there is room");
        },
        |_, _| {},
    ];
    for (number, harm) in harms.into_iter().enumerate() {
        harm(&agent.checkpoint(), &first);
        let line = format!("{number}\n").into_bytes();
        tip = fixture.commit("main", &[tip], &[(b"only", TEXT, b"1\n"), (b"new", TEXT, &line)]);
        let sent = agent.exports(&document);
        assert_eq!((counts(&sent).0, counts(&sent).4), (1, 1), "{number}");
        same_as_new(&agent, fixture.folder.path(), &document);
    }
}

/// Stopped in the middle of a history, more than once: the next run goes on from there, and nothing comes twice.
#[test]
fn an_export_that_was_stopped_goes_on_where_it_was() {
    let mut fixture = Fixture::new();
    let mut tip = vec![];
    for number in 0..300_u32 {
        let text: Vec<u8> = (0..40).map(|line| format!("{}\n", (line + number) / 3)).collect::<String>().into_bytes();
        tip = vec![fixture.commit("main", &tip, &[(b"a", TEXT, &text)])];
    }
    let mut agent = Agent::new(fixture.folder.path());
    // A checkpoint after every batch or so.
    agent.context.checkpoint_bytes = 1;
    let document = document(&fixture);
    let (mut stopped, mut sent, over) = (0, 0, Arc::new(AtomicBool::new(false)));
    for at_least in [1, 100, 200] {
        let run = agent.begin();
        if stopped == 0 {
            agent.queue(&run, document.clone());
        }
        let (watched, shutdown, ended) = (Arc::clone(&run), agent.shutdown.clone(), Arc::clone(&over));
        let watch = std::thread::spawn(move || {
            let committed = || watched.snapshot().iter().map(|session| session.records).sum::<u64>();
            while committed() < at_least && !ended.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            shutdown.request();
        });
        let (outcome, records) = agent.work(&run);
        over.store(true, Ordering::SeqCst);
        watch.join().expect("it does not panic");
        over.store(false, Ordering::SeqCst);
        sent += counts(&records).0;
        match outcome.error {
            Some(why) => assert_eq!(why, "stopped; resumes in the next run"),
            None => break,
        }
        stopped += 1;
        agent.shutdown = Shutdown::default();
    }
    assert!(stopped > 0, "it was never stopped");
    agent.shutdown = Shutdown::default();
    let run = agent.begin();
    let records =
        if run.git_jobs().expect("the store is whole").is_empty() { BTreeMap::new() } else { agent.work(&run).1 };
    assert_eq!(sent + counts(&records).0, 300, "each commit was sent once");
    same_as_new(&agent, fixture.folder.path(), &document);
}

#[test]
fn settings_that_records_are_made_of_bring_everything_again() {
    let (fixture, commits) = one_of_everything();
    let agent = Agent::new(fixture.folder.path());
    let mut document = document(&fixture);
    document["blame"] = json!(false);
    assert_eq!(counts(&agent.exports(&document)), (6, 2, 1, 0, 0));
    // Owners too: the commits have not changed.
    document["blame"] = json!(true);
    document["count"] = json!(false);
    let files = files_of(&agent.delivered());
    assert_eq!(counts(&agent.exports(&document)), (0, 0, 0, 0, files));
    let of = |records: &Records, path: &str| {
        let mut found = records.iter().filter(|(key, record)| {
            key.0 == "sourcecode.Blame" && record["filename"] == path && record["sha"] == commits[0].to_string()
        });
        found.next().map(|(_, record)| record.clone()).expect("it is there")
    };
    let blame = of(&agent.delivered(), "a.txt");
    assert!(blame.get("language").is_none() && blame.get("classes").is_none() && blame["runs"] == json!([[0, 3]]));
    // Counts: every file says more.
    document["count"] = json!(true);
    let sent = agent.exports(&document);
    assert!(counts(&sent).4 > 0 && counts(&sent).0 == 0);
    assert_eq!(of(&agent.delivered(), "a.txt")["classes"], "c3");
    document["ids"] = json!("legacy");
    assert_eq!(counts(&agent.exports(&document)), (6, 2, 1, 0, files));
    same_as_new(&agent, fixture.folder.path(), &document);
}

/// One repository of each kind that needs care.
#[test]
fn repositories_of_all_kinds_are_exported() {
    if !git_is_here("repositories_of_all_kinds_are_exported") {
        return;
    }
    let (fixture, commits) = one_of_everything();
    let folder = fixture.folder.path();
    let agent = Agent::new(folder);
    let place = |name: &str| folder.join(name);
    let export = |name: &str| {
        let document = json!({"ref_id": name, "name": name, "url": place(name)});
        let sent = agent.exports(&document);
        same_as_new(&agent, folder, &document);
        counts(&sent)
    };
    let script = "git init -q --object-format=sha256 -b main sha256 && cd sha256 && echo 1 > a && git add a && \
                  git -c user.name=A -c user.email=A@b commit -qm one && echo 2 >> a && \
                  git -c user.name=A -c user.email=A@b commit -qam two && cd .. && git init -q -b main empty && \
                  git init -q -b main unborn && git clone -q --no-checkout --depth 1 file://$PWD/source.git shallow && \
                  git clone -q --no-checkout source.git detached && cd unborn && git fetch -q ../source.git main:other";
    assert!(
        Command::new("sh")
            .args(["-c", script])
            .current_dir(folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .status()
            .expect("there is a shell")
            .success()
    );
    assert_eq!(export("sha256"), (2, 1, 1, 0, 2));
    assert_eq!(export_empty(&agent, &place("empty")), (0, 0, 0, 0, 0));
    let records = agent.delivered();
    let last = records.iter().find(|(key, record)| {
        key.0 == "sourcecode.Blame"
            && record["sha"].as_str().is_some_and(|sha| sha.len() == 64)
            && record["runs"] == json!([[0, 1], [1, 1]])
    });
    assert!(last.is_some(), "two lines of two commits: {records:?}");

    // The changed files at the border of a shallow clone cannot be known.
    assert_eq!(export("shallow"), (1, 1, 1, 0, 0));
    let records = agent.delivered();
    let border = records.values().find(|record| record["files_unknown"] == "shallow").expect("it says so");
    assert_eq!((&border["sha"], &border["files_total"]), (&json!(commits[5].to_string()), &json!(0)));

    // A HEAD that names no branch is a branch of its own, and one that names a branch without commits is none.
    git(&place("detached"), &["update-ref", "--no-deref", "HEAD", &commits[2].to_string()]);
    assert_eq!(export("detached").1, 2);
    assert_eq!(export("unborn").1, 1);
    let records = agent.delivered();
    let branch = |name: &str, default: bool| {
        records
            .iter()
            .find(|(key, record)| {
                key.0 == "sourcecode.Branch" && record["name"] == name && record["default"] == default
            })
            .map(|(_, record)| record.clone())
            .expect("it is there")
    };
    assert_eq!(branch("HEAD", true)["commit_count"], 3);
    let other = branch("other", false);
    assert!(other.get("merged").is_none() && other["commit_count"] == 6, "{other}");
}

/// An empty repository gives nothing, and that is no fault.
fn export_empty(agent: &Agent, place: &Path) -> (u64, u64, u64, u64, u64) {
    counts(&agent.exports(&json!({"ref_id": "empty", "name": "empty", "url": place})))
}

/// Records say what their published forms say, and nothing else.
#[test]
fn records_have_their_published_forms() {
    let (fixture, commits) = one_of_everything();
    fixture.repository.reference("refs/heads/old", commits[1], true, "").expect("there is room");
    let agent = Agent::new(fixture.folder.path());
    let pulls = json!([
        {"id": "i", "ref_id": "7", "url": "u", "branch_name": "side", "last_commit_sha": commits[3].to_string()},
        {"ref_id": "8", "branch_name": "gone", "last_commit_sha": "8".repeat(40)},
    ]);
    let templates = json!({"commit_url_template": "https://h/c/{sha}", "branch_url_template": "https://h/b/{branch}"});
    for ids in ["hashed", "legacy"] {
        let mut document = document(&fixture);
        document["pull_requests"] = pulls.clone();
        document["ids"] = json!(ids);
        document.as_object_mut().expect("it is one").extend(templates.as_object().expect("it is one").clone());
        agent.exports(&document);
    }
    let forms = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas/records");
    let records = agent.delivered();
    let models: BTreeSet<&str> = records.keys().map(|(model, _)| model.as_str()).collect();
    assert_eq!(models.len(), super::models().len());
    for model in models {
        let form = std::fs::read(forms.join(format!("{model}.json"))).expect("every model has its form");
        let form: Value = serde_json::from_slice(&form).expect("it is JSON");
        assert!(jsonschema::meta::is_valid(&form), "{model}");
        let form = jsonschema::validator_for(&form).expect("it is a schema");
        for (_, record) in records.iter().filter(|(key, _)| key.0 == model) {
            let faults: Vec<String> =
                form.iter_errors(record).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
            assert!(faults.is_empty(), "{model}: {faults:?}\n{record:#}");
        }
    }
    // A branch that was merged knows where, and by which commit; one that was not knows what is its own.
    let branch = |name: &str| {
        records
            .iter()
            .find(|(key, record)| {
                key.0 == "sourcecode.Branch"
                    && record["name"] == name
                    && record["id"].as_str().is_some_and(|id| id.len() == 32)
            })
            .map(|(_, record)| record.clone())
            .expect("it is there")
    };
    let (side, merged) = (branch("side"), commits[4].to_string());
    assert_eq!((&side["merged"], &side["merge_commit_sha"]), (&json!(true), &json!(merged)));
    assert_eq!(
        (&side["commit_shas"], &side["branched_from_commit_shas"]),
        (&json!([commits[3].to_string()]), &json!([commits[1].to_string()]))
    );
    assert_eq!(side["url"], "https://h/b/side");
}

/// A clone that lacks a content is made anew once; where that does not help it is exported without it, and says so.
#[test]
fn a_clone_that_lacks_something_is_made_anew() {
    if !git_is_here("a_clone_that_lacks_something_is_made_anew") {
        return;
    }
    let (fixture, _) = one_of_everything();
    let server = HttpServer::start(fixture.folder.path().to_owned());
    let client = Client::new(&server);
    let mut agent = Agent::new(Path::new("/nowhere"));
    agent.context.policy = client.policy;
    let document = json!({"ref_id": "r1", "name": "one", "url": server.url("/source.git").as_str()});
    let harm = |agent: &Agent| {
        let clone = std::fs::read_dir(&agent.context.cache)
            .expect("it is ours")
            .next()
            .expect("there is one")
            .expect("it is ours")
            .path();
        let status = Command::new("sh").args(["-c", "mv objects/pack p && for f in p/*.pack; do git unpack-objects -q < $f; done && rm -r p && mkdir objects/pack"]).current_dir(&clone).status();
        assert!(status.expect("there is a shell").success());
        let blob = lossy(&git(&clone, &["rev-parse", "main:only"])).trim().to_owned();
        std::fs::remove_file(clone.join("objects").join(&blob[..2]).join(&blob[2..])).expect("it is ours");
    };
    let sent = agent.exports(&document);
    harm(&agent);
    let run = agent.begin();
    agent.queue(&run, json!({"ref_id": "r2", "name": "two", "url": server.url("/source.git").as_str()}));
    let why = agent.work(&run).0.error.expect("something is missing");
    assert!(why.contains("is missing") && why.contains("the next run makes it anew"), "{why}");
    let (outcome, again) = agent.work(&agent.begin());
    assert_eq!((outcome.error, counts(&again).4), (None, counts(&sent).4));
}

#[test]
fn a_failed_repository_stays_queued_and_a_stopped_one_is_not_counted() {
    let (fixture, _) = one_of_everything();
    let agent = Agent::new(fixture.folder.path());
    let run = agent.begin();
    let place = fixture.folder.path().join("later.git");
    agent.queue(&run, json!({"ref_id": "r1", "name": "one", "url": place}));
    let (outcome, sent) = agent.work(&run);
    assert!(outcome.error.is_some_and(|why| why.contains("later.git")));
    assert_eq!(counts(&sent), (0, 0, 0, 0, 0));
    assert_eq!(agent.begin().git_jobs().expect("the store is whole")[0].attempts, 1);
    // It is there now, and the run is asked to end before it begins.
    std::fs::rename(fixture.path(), &place).expect("it is ours");
    agent.shutdown.request();
    let (outcome, _) = agent.work(&agent.begin());
    assert_eq!(outcome.error.as_deref(), Some("stopped; resumes in the next run"));
    let again = Agent { shutdown: Shutdown::default(), ..agent };
    assert_eq!(again.begin().git_jobs().expect("the store is whole")[0].attempts, 1);
    let (outcome, sent) = again.work(&again.begin());
    assert_eq!((outcome.error, counts(&sent).0), (None, 6));
}

#[test]
fn a_document_of_another_kind_is_a_failure_that_says_so() {
    let agent = Agent::new(Path::new("/nowhere"));
    for (document, expected) in [
        (json!({"ref_id": "r1", "name": "one"}), "missing field `url`"),
        (json!({"ref_id": "r1", "name": "one", "url": "git@h.test:a/b"}), "https://h.test/a/b"),
        (json!({"ref_id": "r1", "name": "one", "url": "https://h.test/a/b"}), "https://h.test/a/b GET,POST"),
    ] {
        let run = agent.begin();
        agent.queue(&run, document.clone());
        let job = run.git_jobs().expect("the store is whole").pop().expect("it is queued");
        let outcome = super::run_job(&agent.context, &run, &job, agent.runtime.handle());
        let why = outcome.error.expect("it cannot be exported");
        assert!(why.contains(expected), "{document}: {why}");
    }
}

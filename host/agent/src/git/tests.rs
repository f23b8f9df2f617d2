//! Histories against the system's git, which is the judge, and clones over HTTP against git's own server. Both are
//! skipped by name where there is no git.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::url::Url;
use git2::{Oid, Repository, Signature, Time};

use super::clone::{self, CloneError};
use super::history::{self, FileChange, Status};
use super::transport::{self, Door};
use super::{GitContext, RepoOutcome};
use crate::config::{Credential, Grants, NetworkRule, Placement, SecretSource};
use crate::egress::{Egress, Policy};
use crate::export::{ExportRun, RunSpec, SessionKind};
use crate::shutdown::Shutdown;
use crate::store::{Codec, Store};

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

/// Path, lines added and removed (none for binary), and the path before a rename.
type Row = (Vec<u8>, Option<(usize, usize)>, Option<Vec<u8>>);

/// A row as text, bytes that are not UTF-8 replaced.
type ShownRow = (String, Option<(usize, usize)>, Option<String>);

/// What git says a commit changed against its only parent.
fn rows_of_git(folder: &Path, oid: Oid) -> Vec<Row> {
    let output =
        git(folder, &["diff-tree", "-r", "--root", "--no-commit-id", "--numstat", "-M", "-z", &oid.to_string()]);
    let mut parts = output.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    let mut rows = Vec::new();
    while let Some(part) = parts.next() {
        let mut columns = part.splitn(3, |byte| *byte == b'\t');
        let mut number =
            || std::str::from_utf8(columns.next().expect("three columns")).expect("digits").parse::<usize>().ok();
        let counts = number().zip(number());
        let path = columns.next().expect("three columns").to_vec();
        if path.is_empty() {
            let from = parts.next().expect("a rename has two paths").to_vec();
            rows.push((parts.next().expect("a rename has two paths").to_vec(), counts, Some(from)));
        } else {
            rows.push((path, counts, None));
        }
    }
    rows.sort();
    rows
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn shown(rows: Vec<Row>) -> Vec<ShownRow> {
    let mut rows: Vec<_> =
        rows.into_iter().map(|(path, counts, from)| (lossy(&path), counts, from.map(|from| lossy(&from)))).collect();
    rows.sort();
    rows
}

fn rows_of(changes: &[FileChange]) -> Vec<ShownRow> {
    let mut rows: Vec<_> = changes
        .iter()
        .map(|change| {
            (
                change.path.clone(),
                (!change.binary).then_some((change.additions, change.deletions)),
                change.renamed_from.clone(),
            )
        })
        .collect();
    rows.sort();
    rows
}

fn changes(repository: &Repository, oid: Oid) -> Vec<FileChange> {
    let commit = history::commit(repository, oid).expect("the commit is whole");
    history::changes(repository, &commit).expect("its files are here")
}

#[test]
fn changes_are_what_git_says_they_are() {
    if !git_is_here("changes_are_what_git_says_they_are") {
        return;
    }
    let (fixture, commits) = one_of_everything();
    for oid in commits {
        let mine = changes(&fixture.repository, oid);
        if fixture.repository.find_commit(oid).expect("it was written").parent_count() > 1 {
            let output = git(
                &fixture.path(),
                &["diff-tree", "-r", "-c", "--no-commit-id", "--name-only", "-z", &oid.to_string()],
            );
            let names: Vec<_> = output.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(lossy).collect();
            assert_eq!(mine.iter().map(|change| change.path.clone()).collect::<Vec<_>>(), names);
            assert_eq!((mine[0].additions, mine[0].deletions), (2, 1));
        } else {
            assert_eq!(rows_of(&mine), shown(rows_of_git(&fixture.path(), oid)), "{oid}");
        }
    }
}

#[test]
fn statuses_say_what_happened() {
    let (fixture, commits) = one_of_everything();
    let statuses = |oid: Oid| {
        changes(&fixture.repository, oid)
            .into_iter()
            .map(|change| (change.path, change.status))
            .collect::<BTreeMap<_, _>>()
    };
    let second = statuses(commits[1]);
    assert_eq!(second.get("dir/longer"), Some(&Status::Renamed));
    assert_eq!(second.get("empty"), Some(&Status::Removed));
    assert_eq!(second.get("binary"), Some(&Status::Added));
    let third = statuses(commits[2]);
    assert_eq!(third.get("a.txt"), Some(&Status::Modified));
    assert_eq!(third.get("no-end"), Some(&Status::Modified));
    assert_eq!(third.get("caf\u{fffd} \t\"x\""), Some(&Status::Added));
}

#[test]
fn commits_come_parents_first_and_once() {
    let (fixture, commits) = one_of_everything();
    let refs = history::refs(&fixture.repository).expect("the branches are whole");
    let names: Vec<_> = refs.branches.iter().map(|branch| (branch.name.as_str(), branch.default)).collect();
    assert_eq!(names, [("main", true), ("side", false)]);
    let tips: Vec<_> = refs.tips().collect();
    let all = history::walk(&fixture.repository, &tips, &[]).expect("the history is whole");
    assert_eq!(all.iter().collect::<HashSet<_>>(), commits.iter().collect::<HashSet<_>>());
    assert_eq!(all.len(), commits.len());
    for (at, oid) in all.iter().enumerate() {
        for parent in fixture.repository.find_commit(*oid).expect("it was written").parent_ids() {
            assert!(all[..at].contains(&parent), "{parent} comes before {oid}");
        }
    }
    let gone = Oid::from_bytes(&[9; 20]).expect("it has the length");
    let rest = history::walk(&fixture.repository, &tips, &[commits[2], gone]).expect("the history is whole");
    assert_eq!(rest, [commits[3], commits[4], commits[5]]);
    assert_eq!(history::walk(&fixture.repository, &tips, &tips).expect("the history is whole"), []);
    assert_eq!(
        history::ahead_behind(&fixture.repository, commits[3], commits[5]).expect("the history is whole"),
        (0, 3)
    );
}

#[test]
fn a_branch_of_a_remote_is_somebody_elses() {
    let (fixture, commits) = one_of_everything();
    fixture.repository.reference("refs/remotes/origin/main", commits[0], true, "").expect("there is room");
    fixture
        .repository
        .reference_symbolic("refs/remotes/origin/HEAD", "refs/remotes/origin/main", true, "")
        .expect("there is room");
    assert_eq!(history::refs(&fixture.repository).expect("the branches are whole").branches.len(), 2);
}

#[test]
fn an_empty_repository_and_a_detached_head_are_read() {
    let fixture = Fixture::new();
    let refs = history::refs(&fixture.repository).expect("there is nothing to be wrong");
    assert_eq!((refs.branches.len(), refs.tips().count()), (0, 0));
    assert_eq!(history::walk(&fixture.repository, &[], &[]).expect("there is nothing to be wrong"), []);

    let (fixture, commits) = one_of_everything();
    fixture.repository.set_head_detached(commits[1]).expect("there is room");
    let refs = history::refs(&fixture.repository).expect("the branches are whole");
    assert_eq!(refs.detached, Some(commits[1]));
    assert!(refs.default_branch().is_none());
}

#[test]
fn a_shallow_clone_says_where_it_ends() {
    if !git_is_here("a_shallow_clone_says_where_it_ends") {
        return;
    }
    let (fixture, commits) = one_of_everything();
    let (source, folder) = (format!("file://{}", fixture.path().display()), fixture.folder.path().join("shallow"));
    git(
        fixture.folder.path(),
        &["clone", "-q", "--depth", "1", &source, folder.to_str().expect("temporary folders have plain names")],
    );
    let repository = clone::in_place(&folder, &[fixture.folder.path().to_owned()]).expect("it is granted");
    let refs = history::refs(&repository).expect("the branches are whole");
    assert_eq!(refs.shallow, HashSet::from([commits[5]]));
    let tips: Vec<_> = refs.tips().collect();
    assert_eq!(history::walk(&repository, &tips, &[]).expect("the history ends well"), [commits[5]]);
}

#[test]
fn a_repository_with_files_beside_it_is_read_in_place() {
    if !git_is_here("a_repository_with_files_beside_it_is_read_in_place") {
        return;
    }
    let (fixture, commits) = one_of_everything();
    let root = fixture.folder.path().join("granted");
    std::fs::create_dir(&root).expect("there is room for a folder");
    let (work, linked) = (root.join("work"), root.join("linked"));
    git(&root, &["clone", "-q", "--no-checkout", fixture.path().to_str().expect("plain"), "work"]);
    git(&work, &["worktree", "add", "-q", "--no-checkout", linked.to_str().expect("plain"), "-b", "extra"]);
    std::fs::write(work.join(".gitattributes"), "* -diff\n").expect("there is room for a file");
    let granted = [root.clone()];
    for folder in [&work, &linked] {
        let repository = clone::in_place(folder, &granted).expect("it is granted");
        assert!(
            history::refs(&repository).expect("whole").branches.iter().any(|branch| branch.name == "main"),
            "{}",
            folder.display()
        );
        // Not said to be binary by the attributes beside it.
        assert!(changes(&repository, commits[0]).iter().all(|change| !change.binary));
    }
    // A link whose data is elsewhere.
    let elsewhere = fixture.folder.path().join("elsewhere");
    git(&work, &["worktree", "add", "-q", "--no-checkout", elsewhere.to_str().expect("plain"), "-b", "more"]);
    let refused = clone::in_place(&elsewhere, std::slice::from_ref(&elsewhere)).err().expect("its data is not granted");
    assert!(refused.contains("grants.git.paths"), "{refused}");
    assert!(clone::in_place(&root, &granted).is_err());
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
        let rule = NetworkRule {
            scheme: "http".into(),
            host: "127.0.0.1".into(),
            port: server.port,
            methods: vec![],
            path: "/".into(),
        };
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

    fn mirror(&self, url: &Url, credential: Option<&str>, heads: &[Oid]) -> Result<clone::Mirror, String> {
        let policy = self.policy.for_repository(url).map_err(|fault| fault.to_string())?;
        let door =
            Door::new(Egress::new(), policy, self.runtime.handle().clone(), url.clone(), credential.map(str::to_owned));
        clone::mirror(self.cache.path(), &door, &heads.iter().copied().collect(), &|| false).map_err(
            |error| match error {
                CloneError::Failed(text) => text,
                CloneError::Stopped => "stopped".to_owned(),
            },
        )
    }
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
        ref_names(&mirror.repository),
        ["refs/heads/a", "refs/heads/main", "refs/heads/side", "refs/pull/7/head", "refs/tags/v1"]
    );
    assert_eq!(
        mirror.repository.find_reference("HEAD").expect("there is one").symbolic_target(),
        Ok(Some("refs/heads/main"))
    );
    assert_eq!(changes(&mirror.repository, commits[1]), changes(&fixture.repository, commits[1]));
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
    assert_eq!(ref_names(&mirror.repository), ["refs/heads/a/b", "refs/heads/main", "refs/heads/side", "refs/tags/v1"]);
    let refs = history::refs(&mirror.repository).expect("whole");
    assert_eq!(refs.default_branch().map(|branch| branch.name.as_str()), Some("side"));
    let tips: Vec<_> = refs.tips().collect();
    assert_eq!(history::walk(&mirror.repository, &tips, &[commits[5]]).expect("whole"), [newest]);
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
        assert!(mirror.repository.find_commit(commits[5]).is_ok());
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
    assert_eq!(history::refs(&mirror.repository).expect("whole").tips().count(), 0);
    drop(mirror);
    let first = fixture.commit("main", &[], &[(b"a", TEXT, b"1\n")]);
    let mirror = client.mirror(&url, None, &[]).expect("it can be fetched");
    assert_eq!(history::refs(&mirror.repository).expect("whole").tips().collect::<Vec<_>>(), [first]);
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
        Credential { source: SecretSource::File(path), placement: Placement::Bearer, hosts: vec!["127.0.0.1".into()] }
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

#[test]
fn nothing_is_fetched_outside_of_a_job() {
    transport::prepare().expect("libgit2 can be set up");
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let repository = Repository::init_bare(folder.path()).expect("there is room for a repository");
    let mut remote = repository.remote_anonymous("https://127.0.0.1:1/a").expect("it is a URL");
    let fault = remote.connect(git2::Direction::Fetch).expect_err("there is no door");
    assert!(fault.message().contains("outside of a job"), "{fault}");
}

/// A run over a store of its own, as the runner makes it, with one queued repository.
struct Agent {
    folder: tempfile::TempDir,
    store: Arc<Store>,
    shutdown: Shutdown,
    context: GitContext,
    runtime: tokio::runtime::Runtime,
}

impl Agent {
    fn new(granted: &Path) -> Agent {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let store = Store::open(&folder.path().join("root"), Codec::Plain, 1 << 30).expect("there is room for a store");
        let context = GitContext {
            cache: folder.path().join("cache"),
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

    fn queue(&self, run: &Arc<ExportRun>, document: serde_json::Value) {
        let root = run.open_root(SessionKind::Tracking, "repos").expect("it is the first");
        run.queue_repo(root, document).expect("it is a document");
        self.runtime.block_on(run.done(root, None)).expect("nothing is open below");
    }

    /// Works off what is queued, and says what came of it and which records each model has sent, in this run.
    fn work(&self, run: &Arc<ExportRun>) -> (RepoOutcome, BTreeMap<String, u64>) {
        let jobs = run.git_jobs().expect("the store is whole");
        assert_eq!(jobs.len(), 1);
        let outcome = super::run_job(&self.context, run, &jobs[0], self.runtime.handle());
        let sent = run.finish().into_iter().filter_map(|session| Some((session.model?, session.records))).collect();
        (outcome, sent)
    }

    fn export(&self, document: &serde_json::Value) -> (RepoOutcome, BTreeMap<String, u64>) {
        let run = self.begin();
        self.queue(&run, document.clone());
        let result = self.work(&run);
        assert_eq!(run.git_jobs().expect("the store is whole").len(), usize::from(result.0.error.is_some()));
        result
    }
}

fn counts(sent: &BTreeMap<String, u64>) -> (u64, u64, u64, u64) {
    let of = |model: &str| sent.get(&format!("sourcecode.{model}")).copied().unwrap_or(0);
    (of("Commit"), of("Branch"), of("User"), of("PullRequestBranch"))
}

#[test]
fn a_repository_is_exported_once_and_then_what_is_new() {
    let (mut fixture, commits) = one_of_everything();
    let agent = Agent::new(&fixture.path());
    let pull = serde_json::json!({"id": "i", "ref_id": "7", "url": "u", "branch_name": "side", "last_commit_sha": commits[3].to_string()});
    let document = serde_json::json!({"ref_id": "r1", "name": "one", "url": fixture.path(), "pull_requests": [pull]});
    let (outcome, sent) = agent.export(&document);
    assert_eq!((outcome.error, outcome.records), (None, 6 + 2 + 1 + 1));
    assert_eq!(counts(&sent), (6, 2, 1, 1));
    // Nothing has moved, so nothing is walked.
    let (outcome, sent) = agent.export(&document);
    assert_eq!((outcome.error, outcome.records), (None, 0));
    assert_eq!(counts(&sent), (0, 0, 0, 0));
    // One commit: it, and the branch that moved. That the other is now further behind is new too.
    fixture.commit("main", &[commits[5]], &[(b"new", TEXT, b"1\n")]);
    let (outcome, sent) = agent.export(&document);
    assert_eq!(outcome.error, None);
    assert_eq!(counts(&sent), (1, 2, 0, 0));
    // A branch is rewritten: what it lost is not taken back, what it gained is sent.
    fixture.commit("main", &[commits[2]], &[(b"other", TEXT, b"1\n")]);
    let (outcome, sent) = agent.export(&document);
    assert_eq!((outcome.error, counts(&sent).0), (None, 1));
    drop(agent.folder);
}

#[test]
fn a_failed_repository_stays_queued_and_a_stopped_one_is_not_counted() {
    let (fixture, _) = one_of_everything();
    let agent = Agent::new(fixture.folder.path());
    let run = agent.begin();
    let place = fixture.folder.path().join("later.git");
    agent.queue(&run, serde_json::json!({"ref_id": "r1", "name": "one", "url": place}));
    let (outcome, sent) = agent.work(&run);
    assert!(outcome.error.is_some_and(|why| why.contains("later.git")));
    assert_eq!(counts(&sent), (0, 0, 0, 0));
    assert_eq!(agent.begin().git_jobs().expect("the store is whole")[0].attempts, 1);
    // It is there now, and the run is asked to end before it begins.
    std::fs::rename(fixture.path(), &place).expect("it is ours");
    agent.shutdown.request();
    let (outcome, _) = agent.work(&agent.begin());
    assert_eq!(outcome.error.as_deref(), Some("stopped; resumes in the next run"));
    let again = Agent { shutdown: Shutdown::default(), ..agent };
    assert_eq!(again.begin().git_jobs().expect("the store is whole")[0].attempts, 1);
    let (outcome, sent) = again.work(&again.begin());
    assert_eq!((outcome.error, counts(&sent)), (None, (6, 2, 1, 0)));
}

#[test]
fn a_document_of_another_kind_is_a_failure_that_says_so() {
    let agent = Agent::new(Path::new("/nowhere"));
    for (document, expected) in [
        (serde_json::json!({"ref_id": "r1", "name": "one"}), "missing field `url`"),
        (serde_json::json!({"ref_id": "r1", "name": "one", "url": "git@h.test:a/b"}), "https://h.test/a/b"),
        (
            serde_json::json!({"ref_id": "r1", "name": "one", "url": "https://h.test/a/b"}),
            "https://h.test/a/b GET,POST",
        ),
    ] {
        let run = agent.begin();
        agent.queue(&run, document.clone());
        let job = run.git_jobs().expect("the store is whole").pop().expect("it is queued");
        let outcome = super::run_job(&agent.context, &run, &job, agent.runtime.handle());
        let why = outcome.error.expect("it cannot be exported");
        assert!(why.contains(expected), "{document}: {why}");
    }
}

/// Compares a whole repository of this machine with git: `COMPARED_REPOSITORY=/path cargo test -- --ignored`.
#[test]
#[ignore = "for a repository of one's choice"]
fn a_chosen_repository_is_read_as_git_reads_it() {
    let path = PathBuf::from(OsString::from_vec(
        std::env::var_os("COMPARED_REPOSITORY").expect("the variable names it").into_vec(),
    ));
    let repository = clone::in_place(&path, std::slice::from_ref(&path)).expect("it is a repository");
    let refs = history::refs(&repository).expect("whole");
    let tips: Vec<_> = refs.tips().collect();
    let (mut compared, mut different) = (0, 0);
    for oid in history::walk(&repository, &tips, &[]).expect("whole") {
        let commit = history::commit(&repository, oid).expect("whole");
        if commit.parents.len() > 1 || refs.shallow.contains(&oid) {
            continue;
        }
        compared += 1;
        let (mine, theirs) =
            (rows_of(&history::changes(&repository, &commit).expect("whole")), shown(rows_of_git(&path, oid)));
        if mine != theirs {
            different += 1;
            eprintln!("{oid}\n  {mine:?}\n  {theirs:?}");
        }
    }
    eprintln!("{compared} commits compared, {different} differ");
    // Similarity is measured differently, so a rename near the threshold may be seen by one and not by the other.
    assert!(different * 100 <= compared, "{different} of {compared}");
}

//! Threat 20: what a repository, its server, or who names it may try. Nothing of a repository is ever run, and nothing is
//! reached but the one place that was granted. Packs that are made to do harm are tested beside the transport.

use std::fmt::Write as _;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::{Compression, write::ZlibEncoder};
use serde_json::Value;
use sha1_checked::{Digest, Sha1};
use tests::{Bench, HEAD, files_below, wait_until};

use super::server::{Connection, Server, until_it_is_closed};

/// Runs a script of a shell where the bench is.
#[track_caller]
fn shell(bench: &Bench, script: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-ec", script]).current_dir(bench.path("")).env("GIT_CONFIG_GLOBAL", "/dev/null");
    for role in ["AUTHOR", "COMMITTER"] {
        shell.env(format!("GIT_{role}_NAME"), "Ann").env(format!("GIT_{role}_EMAIL"), "ann@example.org");
    }
    assert!(shell.status().unwrap().success());
}

/// Has the git integration export what this URL names; what it says of it, and the exit code.
fn exported(bench: Bench, url: &str, grants: &str) -> (Bench, i32, String) {
    let url = serde_json::to_string(url).unwrap();
    let bench = bench.config(&format!(
        "{HEAD}  - {{name: git, component: git, config: {{repos: [{{url: {url}, ref_id: one}}]}}, grants: {grants}}}\n"
    ));
    let output = bench.run(&["export", "--json"]);
    let report = output.json();
    let integration = &report["integrations"][0];
    let repository = integration["repos"][0]["error"].as_str().unwrap_or_default();
    let why = format!("{}{repository}", integration["reason"].as_str().unwrap_or_default());
    (bench, output.code, why)
}

fn commits(bench: &Bench) -> usize {
    bench.sink().records.get("git/sourcecode.Commit").map_or(0, Vec::len)
}

/// git's own server for the repositories in the bench.
fn git_server(bench: &Bench) -> Server {
    git_server_that(bench, |_, output, stream| drop(stream.write_all(output)))
}

/// The same, which sends of each answer what a test likes, by the number of packs that were asked for.
fn git_server_that(bench: &Bench, send: impl Fn(usize, &[u8], &mut Connection) + Send + Sync + 'static) -> Server {
    let root = bench.path("");
    let (root, packs) = (Arc::new(root), AtomicUsize::new(0));
    Server::new(move |request, stream| {
        let number = if request.starts_with("POST ") { packs.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
        let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
        let mut child = Command::new("git")
            .args(["-c", "safe.directory=*", "http-backend"])
            .env("GIT_PROJECT_ROOT", root.as_path())
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("REQUEST_METHOD", method)
            .env("CONTENT_TYPE", kind)
            .env("CONTENT_LENGTH", body.len().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap().stdout;
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n"));
        send(number, &output, stream);
    })
}

/// The integration refuses most of these before the host has to; what the host says is tested beside `git/url.rs`.
#[test]
fn threat_20_only_http_and_granted_folders_are_repositories() {
    for url in [
        "ext::sh -c touch% marker",
        "fd::17/x",
        "file:///etc",
        "/etc",
        "ssh://git@example.com/a.git",
        "git@example.com:a.git",
        "-oProxyCommand=touch marker",
        "--upload-pack=touch marker",
        "git://example.com/a",
        "https://me:token@example.com/a",
    ] {
        let (bench, code, why) = exported(Bench::new(), url, "{}");
        assert!(code != 0 && !why.is_empty(), "{url}: {code}: {why}");
        assert!(!bench.path("marker").exists() && commits(&bench) == 0, "{url}: {why}");
        assert!(!why.contains("me:token@"), "{url}: {why}");
    }
}

#[test]
fn threat_20_a_redirect_is_told_and_not_followed() {
    let target = Server::fine();
    for to in [target.url("/a.git/info/refs?service=git-upload-pack"), "file:///etc".to_owned(), "ext::sh".to_owned()] {
        let server = Server::saying(format!(
            "HTTP/1.1 301 Moved Permanently\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ));
        let network = [server.port, target.port].map(|port| format!("'http://127.0.0.1:{port}/'")).join(", ");
        let grants = format!("{{network: [{network}], private_hosts: [127.0.0.1]}}");
        let (_, code, why) = exported(Bench::new(), &server.url("/a.git"), &grants);
        assert!(code != 0 && why.contains("has moved (301)"), "{code}: {why}");
    }
    assert_eq!(target.connections(), 0);
}

#[test]
fn threat_20_what_is_not_granted_is_not_asked_for() {
    let server = Server::fine();
    for grants in [
        "{}".to_owned(),
        format!("{{network: ['http://127.0.0.1:{}/'] }}", server.port),
        format!("{{network: ['http://127.0.0.1:{}/other'], private_hosts: [127.0.0.1]}}", server.port),
    ] {
        let (_, code, why) = exported(Bench::new(), &server.url("/a.git"), &grants);
        assert!(code != 0 && why.contains("grants."), "{grants}: {why}");
    }
    assert_eq!(server.connections(), 0);
}

/// Killed while a pack comes, the first time and later: the next run has all of it, and nothing is left of what came.
#[test]
fn a_fetch_that_is_killed_is_made_anew() {
    let bench = Bench::new();
    shell(
        &bench,
        "git init -q -b main work && cd work
         for number in 1 2 3; do seq $number 20000 > a && git add a && git commit -qm $number; done
         cd .. && git clone -q --bare work served.git",
    );
    // The first and the third pack break off in the middle and say nothing more.
    let half = Arc::new(AtomicUsize::new(0));
    let sent = Arc::clone(&half);
    let server = git_server_that(&bench, move |number, output, stream| {
        if number != 1 && number != 3 {
            return drop(stream.write_all(output));
        }
        drop(stream.write_all(&output[..output.len() / 2]));
        sent.fetch_add(1, Ordering::SeqCst);
        until_it_is_closed(stream);
    });
    let bench = bench.config(&format!(
        "{HEAD}  - {{name: git, component: git, config: {{repos: [{{url: '{}', ref_id: one}}]}}, \
         grants: {{network: ['http://127.0.0.1:{}/'], private_hosts: [127.0.0.1]}}}}\n",
        server.url("/served.git"),
        server.port
    ));
    for (kills, expected) in [(1, 3), (2, 4)] {
        let running = bench.start(&["export"]);
        wait_until("half a pack has come", || half.load(Ordering::SeqCst) == kills);
        assert!(running.signal("KILL"));
        drop(running);
        bench.export().code(0);
        assert_eq!(commits(&bench), expected);
        let clones: Vec<_> =
            std::fs::read_dir(bench.path("root/cache/repos")).unwrap().map(|clone| clone.unwrap().path()).collect();
        assert!(clones.len() == 1 && clones[0].extension().is_some_and(|extension| extension == "git"), "{clones:?}");
        let left = files_below(&clones[0]);
        assert!(!left.iter().any(|file| file.extension().is_some_and(|end| end == "part" || end == "new")), "{left:?}");
        shell(&bench, "cd work && echo more >> a && git commit -qam more && git push -q ../served.git main");
    }
}

/// Submodules are links that nobody follows, wherever they lead.
#[test]
fn threat_20_submodules_lead_nowhere() {
    let (bench, trap) = (Bench::new(), Server::fine());
    let urls =
        [trap.url("/a.git"), "ext::sh -c 'touch marker'".to_owned(), "file:///etc".to_owned(), "-u./evil".to_owned()];
    let mut modules = String::new();
    for (number, url) in urls.iter().enumerate() {
        modules += &format!("[submodule \"m{number}\"]\n\tpath = m{number}\n\turl = {url}\n\tupdate = !touch marker\n");
    }
    bench.write("modules", modules);
    shell(
        &bench,
        "git init -q -b main work && cd work && cp ../modules .gitmodules && git add .gitmodules
         for number in 0 1 2 3; do git update-index --add --cacheinfo 160000,$(printf %040d 7),m$number; done
         git commit -qm one && cd .. && git clone -q --bare work served.git",
    );
    let server = git_server(&bench);
    let grants = format!("{{network: ['http://127.0.0.1:{}/'], private_hosts: [127.0.0.1]}}", server.port);
    let (bench, code, why) = exported(bench, &server.url("/served.git"), &grants);
    assert_eq!((code, why.as_str(), commits(&bench)), (0, "", 1));
    assert_eq!(trap.connections(), 0);
    assert!(!files_below(&bench.path("")).iter().any(|file| file.ends_with("marker")));
    // What was asked of the server is of this repository, and reading.
    for request in server.seen() {
        assert!(
            request.starts_with("GET /served.git/info/refs") || request.starts_with("POST /served.git/git-upload-pack")
        );
    }
}

/// A folder's own configuration can name programs in a dozen places. None is run.
#[test]
fn threat_20_nothing_of_a_repository_is_run() {
    let bench = Bench::new();
    shell(
        &bench,
        "evil=$PWD/evil
         printf '#!/bin/sh\\ntouch %s/marker\\ncat\\n' \"$PWD\" > $evil && chmod +x $evil
         git init -q -b main work && cd work
         echo '* filter=evil diff=evil merge=evil' > .gitattributes && echo 1 > a && git add . && git commit -qm one
         for hook in pre-commit post-checkout post-merge reference-transaction post-index-change fsmonitor-watchman \\
             pre-auto-gc post-update update pre-receive post-receive proc-receive; do cp $evil .git/hooks/$hook; done
         for key in core.fsmonitor core.sshCommand core.pager core.editor core.askPass core.alternateRefsCommand \\
             uploadpack.packObjectsHook filter.evil.smudge filter.evil.clean filter.evil.process diff.evil.textconv \\
             diff.evil.command diff.external merge.evil.driver credential.helper gpg.program; do git config $key $evil; done
         git config core.hooksPath .git/hooks; git config filter.evil.required true
         printf '[include]\\n\\tpath = /etc/passwd\\n' >> .git/config",
    );
    let work = bench.path("work").display().to_string();
    let (bench, code, why) = exported(bench, &work, "{git: {paths: [.]}}");
    assert_eq!((code, why.as_str(), commits(&bench)), (0, "", 1));
    assert!(!bench.path("marker").exists());
}

/// A tree that names itself again and again stands for more files than there are atoms.
#[test]
fn threat_20_a_tree_that_multiplies_itself_has_an_end() {
    let bench = Bench::new();
    shell(
        &bench,
        "git init -q --bare bomb.git && cd bomb.git
         entry=$(printf x | git hash-object -w --stdin); kind='100644 blob'
         for level in 1 2 3 4 5 6 7 8 9 10; do
             for name in 0 1 2 3 4 5 6 7 8 9; do printf '%s %s\\t%s\\n' \"$kind\" $entry $name; done > list
             entry=$(git mktree < list); kind='040000 tree'
         done
         git update-ref refs/heads/main $(git commit-tree -m one $entry)",
    );
    let grants = "{git: {paths: [.]}}";
    let url = bench.path("bomb.git").display().to_string();
    let bench = bench.config(&format!(
        "{HEAD}  - name: git\n    component: git\n    config: {{repos: [{{url: \"{url}\", ref_id: one}}]}}\n    grants: {grants}\n    \
         limits: {{wall_time: 20s, output: 64MiB}}\n  - {{name: mock, component: mock}}\n"
    ));
    let (code, peak) = bench.start(&["export", "--json", "--output-file", "result.json"]).code_and_peak();
    let report: Value = serde_json::from_str(&bench.read("result.json")).unwrap();
    assert!(code != 0 && peak < 1 << 30, "{code}, {} MiB: {report}", peak >> 20);
    assert_eq!(report["integrations"][1]["outcome"], "ok", "the others go on: {report}");
}

const BLOB: u8 = 3;
const DELTA: u8 = 6;
const NAMED_DELTA: u8 = 7;

/// An object in a pack: its head, and its bytes behind what says where its base is.
fn object(kind: u8, base: &[u8], bytes: &[u8]) -> Vec<u8> {
    let (mut head, mut rest) = (vec![kind << 4 | (bytes.len() & 15) as u8], bytes.len() >> 4);
    while rest > 0 {
        *head.last_mut().unwrap() |= 0x80;
        head.push((rest & 0x7f) as u8);
        rest >>= 7;
    }
    let mut deflated = ZlibEncoder::new([&head, base].concat(), Compression::fast());
    deflated.write_all(bytes).unwrap();
    deflated.finish().unwrap()
}

/// A delta: copies of the first 64 KiB of a base of this size.
fn delta(base: usize, copies: usize) -> Vec<u8> {
    let size = |mut size: usize| {
        let mut bytes = Vec::new();
        while size > 0x7f {
            bytes.push((size & 0x7f) as u8 | 0x80);
            size >>= 7;
        }
        bytes.push(size as u8);
        bytes
    };
    // Without its length, a copy has 64 KiB.
    [size(base), size(copies << 16), vec![0x80; copies]].concat()
}

/// How far before it a delta's base begins.
fn back(bytes: usize) -> Vec<u8> {
    let (mut told, mut rest) = (vec![(bytes & 0x7f) as u8], bytes >> 7);
    while rest > 0 {
        rest -= 1;
        told.insert(0, (rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    told
}

fn name_of(blob: &[u8]) -> Vec<u8> {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", blob.len()));
    hash.update(blob);
    hash.finalize().to_vec()
}

/// A server of one branch at the pack's first object.
fn server_of(first: &[u8], objects: &[Vec<u8>]) -> Server {
    let count = u32::try_from(objects.len()).unwrap();
    let mut pack = [&b"PACK\0\0\0\x02"[..], &count.to_be_bytes(), &objects.concat()].concat();
    pack.extend_from_slice(&Sha1::digest(&pack));
    let oid = name_of(first).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    let packet = |line: &str| format!("{:04x}{line}", line.len() + 4);
    let refs = format!(
        "{}0000{}0000",
        packet("# service=git-upload-pack\n"),
        packet(&format!("{oid} refs/heads/main\0ofs-delta\n"))
    );
    Server::new(move |request, stream| {
        let (kind, body) = match request.starts_with("GET ") {
            true => ("advertisement", refs.as_bytes()),
            false => ("result", &pack[..]),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-{kind}\r\nConnection: close\r\n\r\n"
        );
        drop(stream.write_all(head.as_bytes()));
        drop(if kind == "result" { stream.write_all(b"0008NAK\n") } else { Ok(()) });
        drop(stream.write_all(body));
    })
}

/// Packs of some kilobytes that stand for hundreds of megabytes: none of it is made where `git_memory` is less.
#[test]
fn threat_20_a_pack_takes_no_more_memory_than_is_given() {
    let (small, large) = (vec![b'x'; 1 << 16], vec![0; 200 << 20]);
    let (whole, long) = (object(BLOB, &[], &small), object(BLOB, &[], &large));
    let (named, lies) = (name_of(&small), name_of(&large));
    let quiet = object(BLOB, &[], b"quiet");
    for (what, first, objects, fits) in [
        ("nothing special", &small, vec![whole.clone()], true),
        (
            "a difference that makes much",
            &small,
            vec![
                object(BLOB, &[], b"x"),
                quiet.clone(),
                whole.clone(),
                object(DELTA, &back(whole.len()), &delta(small.len(), 8_192)),
            ],
            false,
        ),
        (
            "the same, by its name",
            &small,
            vec![whole.clone(), object(NAMED_DELTA, &named, &delta(small.len(), 8_192))],
            false,
        ),
        (
            "a base that is much",
            &small,
            vec![whole.clone(), long.clone(), object(NAMED_DELTA, &lies, &delta(large.len(), 1))],
            false,
        ),
        // Hashed as it is inflated.
        ("much that is only there", &small, vec![whole.clone(), long.clone()], true),
    ] {
        let server = server_of(first, &objects);
        let bench = Bench::new().config(&format!(
            "{HEAD}  - {{name: git, component: git, config: {{repos: [{{url: '{}', ref_id: one}}]}}, \
             grants: {{network: ['http://127.0.0.1:{}/'], private_hosts: [127.0.0.1]}}}}\nlimits: {{git_memory: 64MiB}}\n",
            server.url("/a.git"),
            server.port
        ));
        let (_, peak) = bench.start(&["export", "--json", "--output-file", "result.json"]).code_and_peak();
        let report: Value = serde_json::from_str(&bench.read("result.json")).unwrap();
        let why = report["integrations"][0]["repos"][0]["error"].as_str().unwrap_or_default().to_owned();
        eprintln!("{what}: {} MiB: {why}", peak >> 20);
        assert_eq!(why.contains("raise `limits.git_memory` in agent.yaml to"), !fits, "{what}: {why}");
        assert!(peak < 150 << 20, "{what}: {} MiB", peak >> 20);
    }
}

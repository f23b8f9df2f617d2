//! A clone over loopback HTTP through the agent's door beside `git clone --mirror` of the same repository from the same server,
//! in turn. The server is git's own, behind a socket that passes on what comes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use agent::config::NetworkRule;
use agent::egress::{Egress, Policy};
use agent::git::fetch_mirror;

use super::history::{make, run};
use super::report::{Report, Row, median};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Each, in turn; the median counts.
const ROUNDS: usize = 5;
/// The bar of the ratio.
const BAR: f64 = 1.5;
/// A history: commits, files, lines of a file. Some tens of megabytes when packed, as a busy repository has after some years.
const HISTORY: (usize, usize, usize) = (10_000, 400, 1_500);

pub fn clones(report: &mut Report, tokio: &tokio::runtime::Runtime) -> Result<()> {
    let folder = tempfile::tempdir_in("target")?;
    let source = folder.path().join("source.git");
    let (commits, files, lines) = HISTORY;
    make(&source, commits, files, lines)?;
    let packed = size_below(&source.join("objects"))? as f64 / 1e6;
    let port = serve(folder.path())?;
    let url = format!("http://127.0.0.1:{port}/source.git");
    let (mut native, mut own) = (vec![], vec![]);
    for round in 0..=ROUNDS {
        let (theirs, ours) = (folder.path().join("theirs"), folder.path().join("ours"));
        let times = [by_git(&url, &theirs)?, by_agent(&url, &ours, port, tokio)?];
        std::fs::remove_dir_all(theirs)?;
        std::fs::remove_dir_all(ours)?;
        // In the first, the files that both read are not in memory yet.
        if round > 0 {
            native.push(times[0]);
            own.push(times[1]);
        }
    }
    let (native, own) = (median(&mut native), median(&mut own));
    let name = |what: &str| format!("clone of {commits} commits, {packed:.0} MB packed, {what}");
    report.add(Row::ratio(&name("against git"), own / native, BAR));
    report.add(Row::new(&name("through the door"), own * 1e3, "ms").peer("git clone --mirror", native * 1e3));
    Ok(())
}

fn by_git(url: &str, into: &Path) -> Result<f64> {
    let mut clone = Command::new("git");
    clone.args(["clone", "-q", "--mirror", url]).arg(into);
    clone.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
    for proxy in ["http_proxy", "all_proxy", "ALL_PROXY"] {
        clone.env_remove(proxy);
    }
    let began = Instant::now();
    run(&mut clone)?;
    Ok(began.elapsed().as_secs_f64())
}

fn by_agent(url: &str, into: &Path, port: u16, tokio: &tokio::runtime::Runtime) -> Result<f64> {
    let rule = NetworkRule {
        scheme: "http".to_owned(),
        host: "127.0.0.1".to_owned(),
        port,
        methods: Vec::new(),
        path: "/".to_owned(),
    };
    let policy = Policy {
        asked: vec![rule.clone()],
        granted: vec![rule],
        private_hosts: vec!["127.0.0.1".to_owned()],
        ..Policy::default()
    };
    let began = Instant::now();
    // The door too is made anew, as git's process is.
    fetch_mirror(into, &Egress::new(), &policy, tokio.handle(), url)?;
    Ok(began.elapsed().as_secs_f64())
}

fn size_below(folder: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.metadata()?;
        size += if kind.is_dir() { size_below(&entry.path())? } else { kind.len() };
    }
    Ok(size)
}

/// Serves the repositories of a folder, until the process ends.
fn serve(root: &Path) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let root = root.canonicalize()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let root = root.clone();
            std::thread::spawn(move || answer(stream, root).map_err(|error| eprintln!("the server: {error}")));
        }
    });
    Ok(port)
}

/// One request of one connection, handed to `git http-backend` as a web server does.
fn answer(stream: TcpStream, root: PathBuf) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let header = |name: &str| {
        let found =
            lines.iter().filter_map(|line| line.split_once(": ")).find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    let mut words = lines.first().map(String::as_str).unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let mut child = Command::new("git")
        .args(["-c", "safe.directory=*", "http-backend"])
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", method)
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&body)?;
    }
    let mut out = stream;
    if let Some(mut stdout) = child.stdout.take() {
        // Its head is as good as ours: no test asks for what fails.
        out.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")?;
        std::io::copy(&mut stdout, &mut out)?;
    }
    child.wait().map(drop)
}

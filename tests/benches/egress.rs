//! `make bench AREA=egress`: what fetching pages through a guest costs beside the same loop in native reqwest, what cloning costs
//! beside git (`cloning.rs`), and what playing a cassette (`replay.rs`) and a warm mutation (`mutation.rs`) cost; peers are measured
//! in the same run and in turn. Prints a table and writes `target/bench/egress.json`. It judges no test: figures are for people.

// The peer is a client beside the door, and the door is what it is measured against.
#![allow(clippy::disallowed_types)]

#[path = "cloning.rs"]
mod cloning;
#[path = "history.rs"]
mod history;
#[path = "mutation.rs"]
mod mutation;
#[path = "replay.rs"]
mod replay;
#[path = "report.rs"]
#[allow(dead_code, reason = "benchmarks share it, and each uses a part of it")]
mod report;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::command::outcome::Outcome;
use agent::command::runner::{Prepared, Runner};
use agent::config::{Grants, Integration, Limits, NetworkRule};
use agent::egress::{Caller, Egress, Manner, Policy, Request, Target};
use agent::logs::Logs;
use agent::sandbox::{self, Call, Compiler, Sandbox};
use agent::shutdown::Shutdown;
use report::{Report, Row, median};
use serde_json::json;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const PAGES: u32 = 1_000;
/// Of a page: a hundred small objects.
const PAGE_BYTES: usize = 20 << 10;
/// An odd number, for the median.
const ROUNDS: usize = 21;
/// The bar of the ratio.
const BAR: f64 = 1.3;

fn main() -> Result<()> {
    if let Some("--measure") = std::env::args().nth(1).as_deref() {
        return report::measure_here(std::env::args().skip(2));
    }
    let server = Server::start()?;
    let bench = Bench::new(server.port)?;
    if let Some("--only") = std::env::args().nth(1).as_deref() {
        return only(&bench, &std::env::args().skip(2).collect::<Vec<_>>());
    }
    let mut report = Report::default();
    for at_once in [1, 16] {
        let mut times = ["native", "own", "wasi", "door"].map(|which| (which, vec![]));
        for round in 0..=ROUNDS {
            for (which, times) in &mut times {
                let time = bench.pages(which, at_once)?;
                // The first connects and warms up.
                if round > 0 {
                    times.push(time.as_secs_f64() * 1e3);
                }
            }
        }
        // Round by round: a machine that others use too is slower for some rounds, and then for all that is measured in them.
        let mut ratios: Vec<f64> = times[1].1.iter().zip(&times[0].1).map(|(own, native)| own / native).collect();
        let ratio = median(&mut ratios);
        let [native, own, standard, door] = times.map(|(_, mut times)| median(&mut times));
        let name = |what: &str| format!("{PAGES} pages, {at_once} at once, {what}");
        report.add(Row::ratio(&name("through a guest against native, round by round"), ratio, BAR));
        report.add(Row::new(&name("through a guest"), own, "ms").peer("native reqwest", native));
        report.add(Row::new(&name("through the door, without a guest"), door, "ms").peer("native reqwest", native));
        report.add(Row::new(&name("by wasi:http"), standard, "ms").peer("native reqwest", native));
    }
    replay::rows(&bench, &mut report)?;
    mutation::rows(&bench, &mut report)?;
    cloning::clones(&mut report, &bench.tokio)?;
    report.finish("egress")
}

/// For a profiler: `--only own,native 16 20` runs these loops in turn, so many at once and as often, and prints the medians of
/// their wall and CPU time; `--only mutation` runs the mutations.
fn only(bench: &Bench, args: &[String]) -> Result<()> {
    if args.first().is_some_and(|which| which == "mutation") {
        return mutation::rows(bench, &mut Report::default());
    }
    let number = |at: usize, usual: u32| args.get(at).map_or(Ok(usual), |text| text.parse());
    let (at_once, rounds) = (number(1, 16)?, number(2, 20)?);
    let which: Vec<&str> = args.first().map_or("own", String::as_str).split(',').collect();
    let mut times: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); which.len()];
    for _ in 0..rounds {
        for (name, (wall, cpu)) in which.iter().zip(&mut times) {
            let began = replay::cpu();
            let took = bench.pages(name, at_once)?;
            wall.push(took.as_secs_f64() * 1e3);
            cpu.push((replay::cpu() - began).as_secs_f64() * 1e3);
        }
    }
    for (name, (wall, cpu)) in which.iter().zip(&mut times) {
        println!("{name}, {at_once} at once: {:.2} ms, {:.2} ms of CPU", median(wall), median(cpu));
    }
    Ok(())
}

/// Pages over the loopback, on connections that stay open.
struct Server {
    port: u16,
}

impl Server {
    fn start() -> Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let mut answer =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {PAGE_BYTES}\r\n\r\n");
        answer.push_str(&"x".repeat(PAGE_BYTES));
        let answer: Arc<str> = Arc::from(answer);
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = Arc::clone(&answer);
                std::thread::spawn(move || serve(stream, &answer));
            }
        });
        Ok(Server { port })
    }
}

fn serve(mut stream: TcpStream, answer: &str) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line == "\r\n" {
            stream.write_all(answer.as_bytes())?;
        }
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    tokio: tokio::runtime::Runtime,
    runner: Runner,
    client: reqwest::Client,
    port: u16,
}

impl Bench {
    fn new(port: u16) -> Result<Bench> {
        let folder = tempfile::tempdir_in("target")?;
        let (shutdown, logs) = (Shutdown::default(), Logs::none());
        let options = sandbox::Options { compiler: Compiler::InProcess, ..sandbox::Options::default() };
        let sandbox = Sandbox::new(&folder.path().join("cache"), &options)?;
        let runner = Runner { sandbox, egress: Egress::new(), logs, shutdown, consents: None };
        // As the command line makes it; the native loop runs on the same.
        let tokio = agent::shutdown::runtime()?;
        // Fails only where one is installed already, and then that one serves.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
        Ok(Bench { _folder: folder, tokio, runner, client, port })
    }

    fn url(&self, page: &str) -> String {
        format!("http://127.0.0.1:{}/pages/{page}", self.port)
    }

    /// One loop: natively, through the door alone, or by a guest and this interface of it.
    fn pages(&self, which: &str, at_once: u32) -> Result<Duration> {
        match which {
            "native" => self.native(at_once),
            "door" => self.door(at_once),
            interface => self.guest(interface, at_once),
        }
    }

    fn native(&self, at_once: u32) -> Result<Duration> {
        let began = Instant::now();
        self.tokio
            .block_on(async {
                // A task, as a guest is one.
                let (client, url) = (self.client.clone(), self.url("{}"));
                let one = move |url: String| one_native(client.clone(), url);
                Shutdown::default().spawn(async move { pages(&url, at_once, one).await }).await?.map_err(Into::into)
            })
            .map(|()| began.elapsed())
    }

    /// The same loop through the door, without a guest.
    fn door(&self, at_once: u32) -> Result<Duration> {
        let rule = self.rule();
        let policy = Arc::new(Policy {
            asked: vec![rule.clone()],
            granted: vec![rule],
            private_hosts: vec!["127.0.0.1".to_owned()],
            ..Policy::default()
        });
        let (egress, url) = (self.runner.egress.clone(), self.url("{}"));
        let began = Instant::now();
        self.tokio
            .block_on(async {
                let one = move |url: String| one_through(egress.clone(), Arc::clone(&policy), url);
                Shutdown::default().spawn(async move { pages(&url, at_once, one).await }).await?.map_err(Into::into)
            })
            .map(|()| began.elapsed())
    }

    fn guest(&self, interface: &str, at_once: u32) -> Result<Duration> {
        let prepared = self.prepared(interface, at_once)?;
        let config = prepared.integration.config.to_string();
        let runner = self.runner.clone();
        let began = Instant::now();
        let call = Shutdown::default();
        let ended = self.tokio.block_on(async {
            call.spawn(async move { runner.run_call(&prepared, Call::ValidateConfig { config }).await }).await
        })?;
        let took = began.elapsed();
        match ended.outcome {
            Outcome::Ok { .. } => Ok(took),
            other => Err(format!("the guest ended: {other:?}").into()),
        }
    }

    fn rule(&self) -> NetworkRule {
        NetworkRule {
            scheme: "http".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: self.port,
            methods: Vec::new(),
            path: "/".to_owned(),
        }
    }

    fn prepared(&self, interface: &str, at_once: u32) -> Result<Prepared> {
        let config = json!({"url": self.url("{}"), "interface": interface, "pages": PAGES, "at_once": at_once});
        let grants =
            Grants { network: vec![self.rule()], private_hosts: vec!["127.0.0.1".to_owned()], ..Grants::default() };
        let component = Path::new("target/wasm32-wasip2/guest/guest_fetch.wasm").to_owned();
        let limits = Limits::default();
        let integration = Integration {
            name: interface.to_owned(),
            component,
            sha256: None,
            config,
            grants,
            limits,
            skip_git: false,
        };
        Ok(self.tokio.block_on(self.runner.prepare(&integration))?)
    }
}

/// A page by reqwest alone, without a guest and without a door.
async fn one_native(client: reqwest::Client, url: String) -> std::result::Result<usize, String> {
    let told = |error: reqwest::Error| error.to_string();
    let answer = client.get(url).send().await.map_err(told)?.error_for_status().map_err(told)?;
    Ok(answer.bytes().await.map_err(told)?.len())
}

async fn one_through(egress: Egress, policy: Arc<Policy>, url: String) -> std::result::Result<usize, String> {
    let request = Request {
        method: "GET".to_owned(),
        url: Target::parse(&url).map_err(|error| error.to_string())?,
        headers: Vec::new(),
        body: None,
        credential: None,
        fill: None,
        timeout: Duration::from_secs(60),
        body_bytes_max: 16 << 20,
        manner: Manner::default(),
        caller: Caller::default(),
    };
    Ok(egress.send(&policy, request).await.map_err(|error| error.to_string())?.body.len())
}

/// The guest's loop.
async fn pages<F>(url: &str, at_once: u32, one: impl Fn(String) -> F) -> std::result::Result<(), String>
where
    F: Future<Output = std::result::Result<usize, String>> + Send + 'static,
{
    let page = |number: u32| url.replace("{}", &number.to_string());
    if at_once == 1 {
        for number in 0..PAGES {
            one(page(number)).await?;
        }
        return Ok(());
    }
    let mut under_way = tokio::task::JoinSet::new();
    for number in 0..PAGES {
        if under_way.len() >= at_once as usize {
            let landed = under_way.join_next().await.ok_or("nothing is under way")?;
            landed.map_err(|error| error.to_string())??;
        }
        under_way.spawn(one(page(number)));
    }
    while let Some(landed) = under_way.join_next().await {
        landed.map_err(|error| error.to_string())??;
    }
    Ok(())
}

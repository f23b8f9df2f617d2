//! The simulator alone: `github-simulator --repositories 1000 --issues 10000 …`. Prints its URL, and runs until it is ended.

use std::process::ExitCode;

use github_simulator::{Lie, Options, Simulator, Told};

const USAGE: &str = "\
A server on 127.0.0.1 that answers as GitHub Enterprise does, over an invented organisation called acme.

Usage: github-simulator [--FLAG VALUE]…

  --port N             0 takes any that is free (default 0)
  --seed N             another seed is another world (default 1)
  --repositories N     (default 1000)   --issues N   (default 10000)   --pull-requests N   (default 5000)
  --comments N         (default 45000)  --review-comments N (default 10000)
  --reviews N          of each pull request (default 2)   --commits N   of each pull request (default 6)
  --users N            (default 2000)
  --points N           rate limit of an hour (default 5000)
  --token TEXT         refuses requests without it
  --change-every N     something changes after each so many requests (default 0: never)
  --fail TEXT          answers 502 to every request in which this text stands

Look inside: /_simulator/ledger, /_simulator/truth, /_simulator/change?count=1, /_simulator/renew";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let (port, options) = read(arguments)?;
    let simulator = Simulator::start_at(port, options).map_err(|error| format!("port {port}: {error}"))?;
    println!("{}", simulator.url());
    loop {
        std::thread::park();
    }
}

fn read(arguments: &[String]) -> Result<(u16, Options), String> {
    let mut options = Options::default();
    let size = &mut options.size;
    (size.repositories, size.issues, size.pull_requests, size.users) = (1_000, 10_000, 5_000, 2_000);
    (size.comments, size.review_comments, size.reviews, size.commits) = (45_000, 10_000, 2, 6);
    let mut port = 0;
    for pair in arguments.chunks(2) {
        let [flag, value] = pair else { return Err(format!("{} needs a value", pair[0])) };
        let number = || value.parse::<u64>().map_err(|_| format!("{flag} {value}: give a number"));
        let size = &mut options.size;
        match flag.as_str() {
            "--port" => port = value.parse().map_err(|_| format!("{flag} {value}: give a port"))?,
            "--seed" => size.seed = number()?,
            "--repositories" => size.repositories = number()?,
            "--issues" => size.issues = number()?,
            "--pull-requests" => size.pull_requests = number()?,
            "--comments" => size.comments = number()?,
            "--review-comments" => size.review_comments = number()?,
            "--reviews" => size.reviews = number()?,
            "--commits" => size.commits = number()?,
            "--users" => size.users = number()?,
            "--points" => options.points = number()?,
            "--change-every" => options.change_every = number()?,
            "--token" => options.token = Some(value.clone()),
            "--fail" => options.lies.push(Told::always(Lie::Status(502), value)),
            _ => return Err(format!("{flag} is not known")),
        }
    }
    Ok((port, options))
}

//! The simulator alone: `gitlab-simulator --projects 1000 --issues 10000 …`. Prints its URL, and runs until it is ended.

use std::process::ExitCode;

use gitlab_simulator::{Lie, Options, REQUESTS_MINUTE, Simulator, Told};

const USAGE: &str = "\
A server on 127.0.0.1 that answers as GitLab does, over an invented group called acme, with a group acme/tools in it.

Usage: gitlab-simulator [--FLAG VALUE]…

  --port N             0 takes any that is free (default 0)
  --seed N             another seed is another world (default 1)
  --projects N         (default 1000)   --issues N   (default 10000)   --merge-requests N   (default 5000)
  --notes N            comments of people (default 45000)   --commits N   of each merge request (default 6)
  --milestones N       of each project, and of the group (default 2)   --users N   (default 2000)
  --requests N         rate limit: requests until /_simulator/renew (default 2000)
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
    let mut options = Options { requests: REQUESTS_MINUTE, ..Options::default() };
    let size = &mut options.size;
    (size.projects, size.issues, size.merge_requests, size.users) = (1_000, 10_000, 5_000, 2_000);
    (size.notes, size.commits, size.milestones) = (45_000, 6, 2);
    let mut port = 0;
    for pair in arguments.chunks(2) {
        let [flag, value] = pair else { return Err(format!("{} needs a value", pair[0])) };
        let number = || value.parse::<u64>().map_err(|_| format!("{flag} {value}: give a number"));
        let size = &mut options.size;
        match flag.as_str() {
            "--port" => port = value.parse().map_err(|_| format!("{flag} {value}: give a port"))?,
            "--seed" => size.seed = number()?,
            "--projects" => size.projects = number()?,
            "--issues" => size.issues = number()?,
            "--merge-requests" => size.merge_requests = number()?,
            "--notes" => size.notes = number()?,
            "--commits" => size.commits = number()?,
            "--milestones" => size.milestones = number()?,
            "--users" => size.users = number()?,
            "--requests" => options.requests = number()?,
            "--change-every" => options.change_every = number()?,
            "--token" => options.token = Some(value.clone()),
            "--fail" => options.lies.push(Told::always(Lie::Status(502), value)),
            _ => return Err(format!("{flag} is not known")),
        }
    }
    Ok((port, options))
}

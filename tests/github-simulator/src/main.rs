//! The simulator alone: `github-simulator --repositories 1000 --issues 10000 …`. Prints its URL, and runs until it is ended.

use std::process::ExitCode;

use github_simulator::{Lie, Options, Simulator, Told};
use simulator::alone;

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
    let mut options = Options::default();
    let size = &mut options.size;
    (size.repositories, size.issues, size.pull_requests, size.users) = (1_000, 10_000, 5_000, 2_000);
    (size.comments, size.review_comments, size.reviews, size.commits) = (45_000, 10_000, 2, 6);
    alone::run(USAGE, options, set, |port, options| {
        let simulator = Simulator::start_at(port, options)?;
        Ok((simulator.url(), simulator))
    })
}

/// Takes one flag. False if there is none of this name.
fn set(options: &mut Options, flag: &str, value: &str) -> Result<bool, String> {
    let number = || alone::number(flag, value);
    let size = &mut options.size;
    match flag {
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
        "--token" => options.token = Some(value.to_owned()),
        "--fail" => options.lies.push(Told::always(Lie::Status(502), value)),
        _ => return Ok(false),
    }
    Ok(true)
}

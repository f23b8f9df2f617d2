//! The simulator alone: `gitlab-simulator --projects 1000 --issues 10000 …`. Prints its URL, and runs until it is ended.

use std::process::ExitCode;

use gitlab_simulator::{Lie, Options, REQUESTS_MINUTE, Simulator, Told};
use simulator::alone;

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
    let mut options = Options { requests: REQUESTS_MINUTE, ..Options::default() };
    let size = &mut options.size;
    (size.projects, size.issues, size.merge_requests, size.users) = (1_000, 10_000, 5_000, 2_000);
    (size.notes, size.commits, size.milestones) = (45_000, 6, 2);
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
        "--projects" => size.projects = number()?,
        "--issues" => size.issues = number()?,
        "--merge-requests" => size.merge_requests = number()?,
        "--notes" => size.notes = number()?,
        "--commits" => size.commits = number()?,
        "--milestones" => size.milestones = number()?,
        "--users" => size.users = number()?,
        "--requests" => options.requests = number()?,
        "--change-every" => options.change_every = number()?,
        "--token" => options.token = Some(value.to_owned()),
        "--fail" => options.lies.push(Told::always(Lie::Status(502), value)),
        _ => return Ok(false),
    }
    Ok(true)
}

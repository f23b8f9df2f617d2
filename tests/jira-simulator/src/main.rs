//! The simulator alone: `jira-simulator --kind hosted --projects 100 --issues 10000 …`. Prints its URL, and runs until it is ended.

use std::process::ExitCode;

use jira_simulator::{Kind, Lie, Options, Simulator, Told};
use simulator::alone;

const USAGE: &str = "\
A server on 127.0.0.1 that answers as Jira does, Cloud or Data Center, over an invented site.

Usage: jira-simulator [--FLAG VALUE]…

  --port N             0 takes any that is free (default 0)
  --kind KIND          cloud or hosted (default cloud)
  --seed N             another seed is another world (default 1)
  --projects N         (default 100)    --issues N   (default 10000)   --users N   (default 2000)
  --comments N         (default 45000)  --changes N  (default 40000)   --sprints N of each board (default 6)
  --requests N         requests until it answers 429 (default: no limit)
  --authorization TEXT takes nobody for known without this header field
  --change-every N     something changes after each so many requests (default 0: never)
  --fail TEXT          answers 502 to every request in which this text stands

Look inside: /_simulator/ledger, /_simulator/truth, /_simulator/change?count=1, /_simulator/renew";

fn main() -> ExitCode {
    let mut options = Options::default();
    let size = &mut options.size;
    (size.projects, size.issues, size.users, size.comments) = (100, 10_000, 2_000, 45_000);
    (size.changes, size.sprints) = (40_000, 6);
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
        "--kind" => {
            options.kind = match value {
                "cloud" => Kind::Cloud,
                "hosted" => Kind::Hosted,
                _ => return Err(format!("{flag} {value}: give cloud or hosted")),
            }
        }
        "--seed" => size.seed = number()?,
        "--projects" => size.projects = number()?,
        "--issues" => size.issues = number()?,
        "--users" => size.users = number()?,
        "--comments" => size.comments = number()?,
        "--changes" => size.changes = number()?,
        "--sprints" => size.sprints = number()?,
        "--requests" => options.requests = number()?,
        "--authorization" => options.authorization = Some(value.to_owned()),
        "--change-every" => options.change_every = number()?,
        "--fail" => options.lies.push(Told::always(Lie::Status(502), value)),
        _ => return Ok(false),
    }
    Ok(true)
}

//! `agent ripsrc`: a repository's history for whoever reads lines of JSON, without agent.yaml, root or integration. What the
//! reports say in words is `history_report`'s.

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::progress::Style;
use super::watching::{listen, watched};
use super::{CommandError, Exit, Global, LogFormat, history_report, print, print_json};
use crate::app::{
    AppError, HISTORY_MEMORY_BYTES_MIN, HISTORY_THREADS_MAX, HistoryReport, HistoryRequest, HistoryRun, HistoryWatch,
    RECORD_SCHEMA, ValidateRequest, history_validate,
};
use crate::config::{parse_size, show_size};
use crate::logs::escape_json;

const EXAMPLES: &str = "\
Examples:
  agent ripsrc code .                                   the history of HEAD, a JSON object a line
  agent ripsrc code /srv/app.git --output app.ndjson    of a bare repository, to a file
  agent ripsrc code . --checkpoint ~/.app --output new.ndjson
                                                        every night: only what is new since last night
  agent ripsrc branches . | jq -c '[.name, .ahead, .behind]'
  agent ripsrc validate . --commits 20                  compare with git blame
  agent ripsrc schema > record.schema.json              what a line may hold

Words, semantics and what differs from git: docs/ripsrc.md.";

/// Read a repository's whole history: commits, changed files, the owner and class of every line, branches
///
/// REPO is a work tree or a bare repository. Nothing in it is changed, nothing is fetched, and neither git nor a
/// configuration is needed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Code(Box<Code>),
    Branches(Branches),
    Validate(Validate),
    Schema(Schema),
}

const CODE_EXAMPLES: &str = "\
Examples:
  agent ripsrc code . | jq -r 'select(.model == \"commit\") | [.date, .author.email, .message] | @tsv'
  agent ripsrc code . --no-blame                        commits and changed files only: several times as fast
  agent ripsrc code . | jq -r 'select(.model == \"blame\") | [.commit, .filename, .language, .sloc] | @tsv'
  agent ripsrc code . --all-branches --pr-sha 1a2b3c4d5e6f…,9f8e7d6c5b4a…
                                                        with the heads of pull requests, if they were fetched
  agent ripsrc code . --since v1.2                      what came after a release
  agent ripsrc code . --checkpoint ~/.app --output new.ndjson
                                                        what came after the run before; the first gives everything
  agent ripsrc code . --output all.ndjson --json        the summary for a program, on standard output

Each commit comes after its parents and before the files that it changed. Owners, `git blame` for every file of every
commit, are runs of lines; classes are a letter for each line: c code, m comment, b blank.

A file is written beside its place and put there when it is whole; a pipe or device is written to as it is. The next
checkpoint is saved when all records are written, and not where the run fails, is interrupted, or its reader goes away.

Exit codes:
    0  all of it worked, also where the reader of standard output had seen enough (`| head`) and there is no --checkpoint
    1  it failed: a damaged repository, a full disk, a pipe that broke
    2  the command line is wrong: no such repository or commit
    3  all is written, but the contents of some files could not be read; they come without owners
  130  interrupted; a file is as it was before, the checkpoint too";

/// What every run over a repository takes.
#[derive(Debug, Args)]
struct Common {
    /// A work tree or a bare repository
    #[arg(value_name = "REPO")]
    repository: PathBuf,

    /// Threads that work [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<NonZeroUsize>,

    /// Memory to stay within, such as 500MB or 4GiB; a history that needs more is read in parts [default: 1GB]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory_max: Option<u64>,
}

/// Print commits, the files that each changed, and the owner and class of every line of those
#[derive(Debug, Args)]
#[command(after_help = CODE_EXAMPLES)]
struct Code {
    #[command(flatten)]
    common: Common,

    /// All local branches, and not only HEAD
    #[arg(long)]
    all_branches: bool,

    /// Begin at these instead of HEAD: branches, tags, hashes or their beginnings
    #[arg(long, value_name = "COMMIT", num_args = 1.., value_delimiter = ',', conflicts_with = "all_branches")]
    at: Vec<String>,

    /// Also what these heads of pull requests have; those that the repository does not have are told
    #[arg(long, value_name = "SHA", num_args = 1.., value_delimiter = ',')]
    pr_sha: Vec<String>,

    /// Only what cannot be reached from this commit: a branch, a tag, a hash or its beginning
    #[arg(long, value_name = "COMMIT")]
    since: Option<String>,

    /// Only what is new since the run that left its checkpoint in this folder; leave the next one there
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<PathBuf>,

    /// Only commits and changed files, no owners
    #[arg(long)]
    no_blame: bool,

    /// Do not tell languages, classes of lines, complexity and licences
    #[arg(long)]
    no_count: bool,

    /// Look for renames among up to this many new and vanished files of a commit [default: 10000]
    #[arg(long, value_name = "N")]
    rename_limit: Option<usize>,

    /// Where the records go [default: -, standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

const BRANCHES_EXAMPLES: &str = "\
Examples:
  agent ripsrc branches . | jq -c 'select(.is_merged | not) | [.name, .ahead, .behind]'
  agent ripsrc branches . --pr-sha 1a2b3c4d5e6f… --output branches.ndjson

The default branch, which HEAD points to, comes first; the others are told against it. Exit codes as for `code`.";

/// Print the branches against the default branch: their own commits, where they left it, whether and how they came back
#[derive(Debug, Args)]
#[command(after_help = BRANCHES_EXAMPLES)]
struct Branches {
    #[command(flatten)]
    common: Common,

    /// Also these heads of pull requests; those that the repository does not have are told
    #[arg(long, value_name = "SHA", num_args = 1.., value_delimiter = ',')]
    pr_sha: Vec<String>,

    /// Where the records go [default: -, standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

const VALIDATE_EXAMPLES: &str = "\
Examples:
  agent ripsrc validate .                               every file of HEAD and of 3 commits drawn at random
  agent ripsrc validate . --all-branches --commits 100 --seed 7
  agent ripsrc validate . --json | jq '.differences[]'

Owners are compared with `git blame`, the changed files of all commits but merges with `git log --numstat -M`. The exit
code is 0 if at least 99.9 % of the lines and of the changed files are told alike (--agreement-min), and 1 otherwise.";

/// Compare the owners of lines with what git says, and list what differs
#[derive(Debug, Args)]
#[command(after_help = VALIDATE_EXAMPLES)]
struct Validate {
    #[command(flatten)]
    common: Common,

    /// The tips of all local branches, and not only HEAD
    #[arg(long)]
    all_branches: bool,

    /// Further commits to compare at, drawn at random
    #[arg(long, value_name = "N", default_value_t = 3)]
    commits: usize,

    /// Draw other commits with another number, and the same with the same
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Agreement that is good enough, per cent
    #[arg(long, value_name = "PERCENT", default_value_t = 99.9, value_parser = per_cent)]
    agreement_min: f64,
}

/// Print the JSON Schema of a line of the output
#[derive(Debug, Args)]
struct Schema {}

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse::<NonZeroUsize>().ok().filter(|number| number.get() <= HISTORY_THREADS_MAX);
    number.ok_or_else(|| format!("it is no number from 1 to {HISTORY_THREADS_MAX}"))
}

fn memory(text: &str) -> Result<u64, String> {
    match parse_size(text) {
        None => Err("it is no size; write a number with its unit, such as 500MB or 4GiB".to_owned()),
        Some(bytes) if bytes < HISTORY_MEMORY_BYTES_MIN => {
            Err(format!("no history can be read with less than {}", show_size(HISTORY_MEMORY_BYTES_MIN)))
        }
        Some(bytes) => Ok(bytes),
    }
}

fn per_cent(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| "it is no number from 0 to 100".to_owned())
}

/// Runs the subcommand.
pub(super) fn run(arguments: Arguments, global: &Global) -> Result<Exit, CommandError> {
    match arguments.command {
        Command::Code(code) => code.run(global),
        Command::Branches(branches) => branches.run(global),
        Command::Validate(validate) => validate.run(global),
        Command::Schema(_) => {
            print(RECORD_SCHEMA)?;
            Ok(Exit::Ok)
        }
    }
}

impl Code {
    fn run(self, global: &Global) -> Result<Exit, CommandError> {
        let code = self;
        let request = HistoryRequest {
            all_branches: code.all_branches,
            at: code.at,
            pull_requests: code.pr_sha,
            since: code.since,
            checkpoint: code.checkpoint,
            blame: !code.no_blame,
            count: !code.no_count,
            rename_limit: code.rename_limit,
            output: output(code.output),
            ..code.common.request()
        };
        records(request, global, HistoryRun::code)
    }
}

impl Branches {
    fn run(self, global: &Global) -> Result<Exit, CommandError> {
        let request =
            HistoryRequest { pull_requests: self.pr_sha, output: output(self.output), ..self.common.request() };
        records(request, global, HistoryRun::branches)
    }
}

impl Common {
    /// Everything that is not told.
    fn request(self) -> HistoryRequest {
        HistoryRequest {
            repository: self.repository,
            all_branches: false,
            at: Vec::new(),
            pull_requests: Vec::new(),
            since: None,
            checkpoint: None,
            blame: true,
            count: true,
            threads: self.threads.map_or(0, NonZeroUsize::get),
            memory_bytes_max: self.memory_max,
            rename_limit: None,
            output: None,
        }
    }
}

/// A file, unless it is standard output by one of its names. Opened by its name it would be another file to the system,
/// which not everybody may open.
fn output(given: Option<PathBuf>) -> Option<PathBuf> {
    given.filter(|path| path.as_os_str() != "-" && path.as_os_str() != "/dev/stdout")
}

fn style(global: &Global, records_on_terminal: bool) -> Style {
    match () {
        // A result for programs is all that they get, and a terminal shows records or a bar.
        () if global.quiet || global.json || records_on_terminal => Style::None,
        () if std::io::stderr().is_terminal() && global.log_format == LogFormat::Text => Style::Drawn,
        () => Style::Logged,
    }
}

/// Runs what writes records, and says how it went: on standard error where standard output carries them.
fn records(
    request: HistoryRequest,
    global: &Global,
    work: fn(HistoryRun) -> Result<HistoryReport, AppError>,
) -> Result<Exit, CommandError> {
    let to_stdout = request.output.is_none();
    let style = style(global, to_stdout && std::io::stdout().is_terminal());
    let tell = |document: &Value| -> Result<(), CommandError> {
        match to_stdout {
            true => {
                eprintln!("{}", escape_json(&document.to_string()));
                Ok(())
            }
            false => print_json(document),
        }
    };
    if request.leaves_a_file() {
        // A file that is begun must not stay behind. What waits for the reader of a pipe leaves none, and ends at once.
        listen();
    }
    let done = request.begin().map_err(CommandError::from).and_then(|run| {
        let (watch, leftover) = (run.watch(), run.leftover());
        let done = watched(&watch, style, move || work(run));
        if let (Err(_), Some(leftover)) = (&done, leftover) {
            leftover.remove();
        }
        done
    });
    match done {
        Ok(report) => {
            let exit = Exit::of_history(&report);
            if global.json {
                tell(&history_report::json(&report, exit))?;
            } else {
                eprint!("{}", history_report::text(&report, global.quiet));
            }
            Ok(exit)
        }
        // Among the records, an error would pass for one.
        Err(error) if global.json && to_stdout => {
            tell(&error.json())?;
            Ok(error.exit())
        }
        Err(error) => Err(error),
    }
}

impl Validate {
    fn run(self, global: &Global) -> Result<Exit, CommandError> {
        let watch = HistoryWatch::default();
        let request = ValidateRequest {
            repository: self.common.repository,
            all_branches: self.all_branches,
            commits: self.commits,
            seed: self.seed,
            threads: self.common.threads.map_or(0, NonZeroUsize::get),
            memory_bytes_max: self.common.memory_max,
            agreement_min: self.agreement_min,
            watch: watch.clone(),
        };
        let report = watched(&watch, style(global, false), move || history_validate(&request))?;
        let exit = Exit::of_agreement(&report);
        match global.json {
            true => print_json(&history_report::json(&report, exit))?,
            false => print(&history_report::agreement(&report))?,
        }
        Ok(exit)
    }
}

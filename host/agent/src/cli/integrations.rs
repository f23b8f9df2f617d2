//! `agent integrations`: what a component asks for, and what an operator agrees to.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::secrets::versioned;
use super::table::{Align, counted, table};
use super::{CommandError, Exit, Global, print, print_json, print_report, say};
use crate::app::{self, AddedState, AppError, ConsentReport, IntegrationsReport, Named, Proposal};
use crate::config::{NetworkRule, Source, load, tidy_path};
use crate::logs::escape;
use crate::shutdown::Shutdown;

const EXAMPLES: &str = "\
Examples:
  agent integrations add ./github.wasm      show what it asks for, ask you, and hold it to that
  agent integrations add ./github.wasm --name acme-github --only 'https://api.github.com GET'
  agent integrations diff acme-github ./github-2.wasm
  agent integrations list
  agent integrations grant acme-github --only 'https://api.github.com/repos GET'
  agent integrations remove acme-github

The name is the one under which agent.yaml configures the integration. From then on only the very file that you agreed to
is run under it; another one is refused (exit code 14) until you have seen what it asks for, and agreed again. What you
agree to is granted, beside what agent.yaml grants; private hosts, folders and credentials are granted there alone.";

/// Add integrations: see what they ask for, agree or narrow it, and compare upgrades with what you agreed to
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a component asks for, and pin its file once you agree
    ///
    /// Also for an upgrade: one that asks for nothing more is pinned at once, one that asks for more only when you agree; until
    /// then the exit code is 14 and everything stays as it was. Nothing of the component runs but `describe`, with nothing granted.
    Add {
        /// The component, a .wasm file
        file: PathBuf,
        /// The name in agent.yaml; the integration's own if it is left out
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        narrowed: Narrowed,
        /// Agree without being asked
        #[arg(short, long)]
        yes: bool,
    },
    /// Show which integrations were added, and whether their files are still those
    List,
    /// Show what a file asks for beside what you agreed to; changes nothing. Exit code 14 where it asks for more
    Diff {
        name: String,
        /// The new component; the configured file, or the one that was added, if it is left out
        file: Option<PathBuf>,
    },
    /// Change what is granted of the network to an integration that was added
    #[command(group = clap::ArgGroup::new("what").required(true))]
    Grant {
        name: String,
        /// All that it asks for
        #[arg(long, group = "what")]
        asked: bool,
        /// Only what is within these rules, as in agent.yaml: 'https://api.github.com/repos GET'
        #[arg(long, value_name = "RULE", group = "what")]
        only: Vec<String>,
        /// Nothing, but for what agent.yaml grants
        #[arg(long, group = "what")]
        nothing: bool,
    },
    /// Forget what you agreed to: any file is then run under the name, with what agent.yaml grants
    Remove { name: String },
}

/// How little of what is asked is granted.
#[derive(Debug, Clone, Args)]
struct Narrowed {
    /// Grant only what is within these rules, as in agent.yaml: 'https://api.github.com/repos GET'; may be repeated
    #[arg(long, value_name = "RULE")]
    only: Vec<String>,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, CommandError> {
    match &arguments.command {
        Command::Add { file, name, narrowed, yes } => add(file, name.as_deref(), narrowed, *yes, global),
        Command::List => {
            let report = app::integrations_list(&global.root()?, &configured(global)?)?;
            print_report(global, &versioned(&report), Exit::Ok, || list_text(&report))
        }
        Command::Diff { name, file } => diff(name, file.as_deref(), global),
        Command::Grant { name, asked, only, nothing: _ } => {
            let only = if *asked { None } else { Some(rules(only)?) };
            let report = app::integration_grant(&global.root()?, name, only)?;
            print_report(global, &versioned(&report), Exit::Ok, || done_text(&report))
        }
        Command::Remove { name } => {
            let report = app::integration_remove(&global.root()?, name)?;
            print_report(global, &versioned(&report), Exit::Ok, || {
                format!("{}: what was agreed to is forgotten.\n", escape(&report.name))
            })
        }
    }
}

fn rules(texts: &[String]) -> Result<Vec<NetworkRule>, AppError> {
    let rule =
        |text: &String| NetworkRule::parse(text).map_err(|fault| AppError::Usage(format!("--only {text}: {fault}")));
    texts.iter().map(rule).collect()
}

/// The integrations of the configuration, if there is one.
fn configured(global: &Global) -> Result<Vec<crate::config::Integration>, CommandError> {
    let around = global.surroundings(None)?;
    match global.config_file(&around) {
        Some(file) => Ok(load(&Source::File(file), &around)?.config.integrations),
        None => Ok(Vec::new()),
    }
}

/// A component beside what was agreed to; one that cannot be run here is told, with the code for it.
fn proposal(file: PathBuf, named: Named, global: &Global) -> Result<Result<Proposal, Exit>, CommandError> {
    let (around, root) = (global.surroundings(None)?, global.root()?);
    let logs = global.logs("integrations")?;
    let runtime = crate::shutdown::runtime().map_err(|error| {
        AppError::Failed(format!("threads cannot be started: {error}; allow the agent more of them"))
    })?;
    let file = tidy_path(&around.working_dir.join(file));
    let proposed = runtime.block_on(app::propose(file.clone(), named, &root, logs.clone(), Shutdown::default()))?;
    logs.flush();
    proposed.map(Ok).or_else(|obstacle| {
        let told = format!("{} cannot be run here: {obstacle}", file.display());
        if global.json {
            let exit = Exit::BadConfiguration.code();
            print_json(&json!({
                "version": 1, "exit_code": exit, "success": false, "error": told, "errors": [told], "faults": [],
            }))?;
        } else {
            say(&format!("error: {}\n", super::summary::indented(&told)));
        }
        Ok(Err(Exit::BadConfiguration))
    })
}

fn add(
    file: &std::path::Path,
    name: Option<&str>,
    narrowed: &Narrowed,
    yes: bool,
    global: &Global,
) -> Result<Exit, CommandError> {
    let only = if narrowed.only.is_empty() { None } else { Some(rules(&narrowed.only)?) };
    let named = match name {
        Some(name) => Named::As(app::integration_name(name)?.to_owned()),
        None => Named::ByItself,
    };
    let proposal = match proposal(file.to_owned(), named, global)? {
        Ok(proposal) => proposal,
        Err(exit) => return Ok(exit),
    };
    if !global.json {
        print(&proposal_text(&proposal))?;
    }
    let agreed = !proposal.needs_consent() || yes || (!global.json && asked(&proposal)?);
    let exit = Exit::of_consent(agreed);
    let mut document = versioned(&proposal);
    document["agreed"] = json!(agreed);
    let (shown, configured) = (proposal.name.clone(), proposal.component.clone());
    let done = if agreed { Some(proposal.agree(&global.root()?, only)?) } else { None };
    document["network"] = json!(done.as_ref().map(|done| &done.network));
    print_report(global, &document, exit, || match done {
        Some(done) => format!(
            "{}In agent.yaml it is: - {{name: {shown}, component: {}}}\n",
            done_text(&done),
            json!(configured.display().to_string())
        ),
        None => format!("\n{}: nothing is changed; to agree, run this again with --yes.\n", escape(&shown)),
    })
}

/// Asks the operator, where there is one to ask.
fn asked(proposal: &Proposal) -> Result<bool, AppError> {
    let input = std::io::stdin();
    if !input.is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(false);
    }
    eprint!("\nMay it have this as `{}`? [y/N] ", escape(&proposal.name));
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    read.map_err(|error| AppError::Failed(format!("standard input cannot be read: {error}; use --yes")))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

fn diff(name: &str, file: Option<&std::path::Path>, global: &Global) -> Result<Exit, CommandError> {
    let agreed = app::agreed_file(&global.root()?, name)?;
    let file = match file {
        Some(file) => file.to_owned(),
        None => configured(global)?.into_iter().find(|one| one.name == name).map_or(agreed, |one| one.component),
    };
    let proposal = match proposal(file, Named::As(name.to_owned()), global)? {
        Ok(proposal) => proposal,
        Err(exit) => return Ok(exit),
    };
    let exit = Exit::of_consent(!proposal.needs_consent());
    print_report(global, &versioned(&proposal), exit, || proposal_text(&proposal))
}

fn lines(out: &mut String, mark: &str, words: &[String]) {
    words.iter().for_each(|words| out.push_str(&format!("  {mark} {}\n", escape(words))));
}

fn proposal_text(proposal: &Proposal) -> String {
    let own = format!("{} {}", escape(&proposal.integration), escape(&proposal.integration_version));
    let mut out = format!("{}: {own}, {}\n", escape(&proposal.name), escape(&proposal.component.display().to_string()));
    out.push_str(&format!("sha256 {}\n", proposal.digest));
    if let Some(fault) = &proposal.fault {
        out.push_str(&format!("What you agreed to before is as good as nothing: {}\n", escape(fault)));
    }
    let Some(before) = &proposal.before else {
        if proposal.wants.is_empty() {
            out.push_str("It asks for nothing.\n");
        } else {
            out.push_str("It asks for:\n");
            lines(&mut out, "-", &proposal.wants);
        }
        return out;
    };
    let version = escape(&before.integration_version);
    out.push_str(&format!(
        "You agreed to version {version} (sha256 {}…) at {}.\n",
        &before.digest[..12.min(before.digest.len())],
        before.agreed_at
    ));
    let difference = &proposal.difference;
    match (difference.more.is_empty(), difference.less.is_empty()) {
        _ if proposal.unchanged => out.push_str("It is the same file.\n"),
        (true, true) => out.push_str("It is another file, and asks for the same.\n"),
        (true, false) => out.push_str("It is another file, and asks for less:\n"),
        (false, _) => out.push_str("It is another file, and asks for more:\n"),
    }
    lines(&mut out, "+", &difference.more);
    lines(&mut out, "-", &difference.less);
    out
}

fn done_text(report: &ConsentReport) -> String {
    let network: Vec<String> = report.network.iter().map(|words| escape(words)).collect();
    format!("{}: {}. It is granted of the network: {}.\n", escape(&report.name), report.done, network.join(", "))
}

fn list_text(report: &IntegrationsReport) -> String {
    if report.integrations.is_empty() {
        return format!(
            "No integration was added in {}; add one with: agent integrations add FILE\n",
            report.root.display()
        );
    }
    let rows: Vec<Vec<String>> = report
        .integrations
        .iter()
        .map(|one| {
            let state = match one.state {
                AddedState::Agreed => "agreed",
                AddedState::Changed => "CHANGED, not run",
                AddedState::Missing => "file is missing",
                AddedState::Open => "not added: any file is run",
                AddedState::Damaged => "DAMAGED, not run",
            };
            let digest = one.digest.as_deref().map_or("", |digest| &digest[..12.min(digest.len())]);
            vec![
                one.name.clone(),
                one.integration_version.clone().unwrap_or_default(),
                state.to_owned(),
                digest.to_owned(),
                one.agreed_at.clone().unwrap_or_default(),
                one.network.join(", "),
            ]
        })
        .collect();
    let columns = ["integration", "version", "state", "sha256", "since", "granted"].map(|name| (name, Align::Left));
    let faults: String = report
        .integrations
        .iter()
        .filter_map(|one| one.fault.as_ref())
        .map(|fault| format!("{}\n", escape(fault)))
        .collect();
    format!(
        "{}\n{} in {}.\n{faults}",
        table(&columns, &rows),
        counted(rows.len() as u64, "integration"),
        report.root.display()
    )
}

//! `agent secrets`: the secrets of the root's safe. A value comes from standard input, and never from the command line, where every
//! process of the machine could read it.

use std::io::{IsTerminal, Read};

use clap::{Args, Subcommand};
use serde_json::json;
use zeroize::Zeroizing;

use super::table::{Align, counted, table};
use super::{CommandError, Exit, Global, print_report};
use crate::app::{self, AppError, SecretsReport};
use crate::secrets::SECRET_BYTES_MAX;

const EXAMPLES: &str = "\
Examples:
  agent secrets set github                  asks for the value, and does not show it
  pass show github | agent secrets set github
  agent secrets set app-key < app.private-key.pem
  agent secrets list                        names, and since when; never values
  agent secrets remove github

In agent.yaml a credential names one: `credentials: {token: {secret: github, bearer: true, hosts: [api.github.com]}}`,
and so does a setting that the integration marks as a secret: `config: {token: {secret: github}}`.

They lie in <root>/secrets/safe, sealed. The key is the first of these that is there:
  AGENT_SECRETS_KEY                         64 hexadecimal digits in the environment
  AGENT_SECRETS_KEY_FILE                    the name of a file with them, mode 600
  $CREDENTIALS_DIRECTORY/agent-secrets-key  as systemd gives it: LoadCredential=agent-secrets-key:/etc/agent/key
  <root>/secrets/key                        made by the first `set`, mode 600
A backup of the root holds the last of these beside the safe; with the others it does not open by itself.";

/// Keep secrets, list them, remove them
///
/// What is changed counts from an integration's next request on, also in an agent that is running.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep the value on standard input under a name; one line end at its end is not part of it
    Set {
        /// 1 to 64 of a-z A-Z 0-9 - _ .
        name: String,
    },
    /// Name the secrets that are kept
    List,
    /// Forget a secret
    Remove { name: String },
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, CommandError> {
    let root = global.root()?;
    match &arguments.command {
        Command::Set { name } => {
            let report = app::secret_set(&root, name, value(name)?)?;
            print_report(global, &versioned(&report), Exit::Ok, || format!("{} is {}.\n", report.name, report.done))
        }
        Command::List => {
            let report = app::secrets_list(&root)?;
            print_report(global, &versioned(&report), Exit::Ok, || text(&report))
        }
        Command::Remove { name } => {
            let report = app::secret_remove(&root, name)?;
            print_report(global, &versioned(&report), Exit::Ok, || format!("{} is {}.\n", report.name, report.done))
        }
    }
}

pub(super) fn versioned(report: &impl serde::Serialize) -> serde_json::Value {
    // Plain data; serializing it into memory cannot fail.
    let mut document = serde_json::to_value(report).unwrap_or_default();
    document["version"] = json!(1);
    document
}

fn text(report: &SecretsReport) -> String {
    if report.secrets.is_empty() {
        return format!("There are no secrets in {}; keep one with: agent secrets set NAME\n", report.root.display());
    }
    let rows: Vec<Vec<String>> =
        report.secrets.iter().map(|secret| vec![secret.name.clone(), secret.set_at.clone()]).collect();
    let count = counted(report.secrets.len() as u64, "secret");
    format!(
        "{}\n{count} in {}.\n",
        table(&[("secret", Align::Left), ("set", Align::Left)], &rows),
        report.root.display()
    )
}

/// The value: what standard input gives, to its end; from a terminal one line, which is not shown.
fn value(name: &str) -> Result<String, AppError> {
    let failed = |error: std::io::Error| AppError::Failed(format!("standard input cannot be read: {error}"));
    let input = std::io::stdin();
    let mut bytes = Zeroizing::new(Vec::new());
    if input.is_terminal() {
        eprint!("Value of {name} (it is not shown): ");
        let hidden = Hidden::begin();
        let mut line = Zeroizing::new(String::new());
        let read = input.read_line(&mut line);
        drop(hidden);
        eprintln!();
        read.map_err(failed)?;
        bytes.extend_from_slice(line.as_bytes());
    } else {
        input.lock().take(SECRET_BYTES_MAX as u64 + 2).read_to_end(&mut bytes).map_err(failed)?;
    }
    let mut end = bytes.len();
    if bytes.ends_with(b"\n") {
        end -= 1;
        end -= usize::from(bytes[..end].ends_with(b"\r"));
    }
    let value = std::str::from_utf8(&bytes[..end]);
    value.map(str::to_owned).map_err(|_| AppError::Usage("the value on standard input is not UTF-8 text".to_owned()))
}

/// A terminal that shows nothing of what is typed, for as long as this lives.
struct Hidden(Option<libc::termios>);

impl Hidden {
    fn begin() -> Hidden {
        // SAFETY: all bytes of this plain structure may be zero; it is only read where the next call has filled it in.
        let mut before: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a local that outlives the call, which fills it in.
        if unsafe { libc::tcgetattr(libc::STDIN_FILENO, &raw mut before) } != 0 {
            return Hidden(None);
        }
        let mut quiet = before;
        quiet.c_lflag &= !libc::ECHO;
        // SAFETY: the pointer is to a local that outlives the call, which only reads it.
        let set = unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSAFLUSH, &raw const quiet) } == 0;
        Hidden(set.then_some(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // SAFETY: the pointer is to our own field, which the call only reads. Should it fail, so will whatever comes after.
            unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSAFLUSH, before) };
        }
    }
}

//! `agent doctor`: what is wrong with a root, and what to do about it.

use clap::Args;

use super::{CommandError, Exit, Global, print_report};
use crate::app::{self, CheckState, DoctorReport};
use crate::logs::escape;

/// Look for what is wrong with the root, its store, its disk and its caches, and say what to do
///
/// Changes nothing, and works beside a running agent. The exit code is that of the worst that was found.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  agent doctor\n  agent doctor --root ./.agent --json | jq '.checks[] | select(.state != \"ok\")'"
)]
pub(super) struct Arguments {}

/// Runs the subcommand.
pub(super) fn run(_: &Arguments, global: &Global) -> Result<Exit, CommandError> {
    let report = app::doctor(&global.root()?);
    print_report(global, &report, Exit::of_doctor(&report), || text(&report))
}

fn text(report: &DoctorReport) -> String {
    let mut out = format!("root {}\n", escape(&report.root.display().to_string()));
    let width = report.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    for check in &report.checks {
        let state = match check.state {
            CheckState::Ok => "ok     ",
            CheckState::Skipped => "skipped",
            CheckState::Warning => "warning",
            CheckState::Failed | CheckState::NoRoot | CheckState::Damaged => "FAILED ",
        };
        let gap = " ".repeat(width - check.name.chars().count());
        out.push_str(&format!("{state}  {}{gap}  {}\n", escape(&check.name), escape(&check.found)));
        if let Some(mend) = &check.mend {
            out.push_str(&format!("         {}  mend: {}\n", " ".repeat(width), escape(mend)));
        }
    }
    let wrong = report.checks.iter().filter(|check| check.state != CheckState::Ok).count();
    out.push_str(&match wrong {
        0 => "Nothing is wrong.\n".to_owned(),
        wrong => format!("{wrong} of {} checks want attention.\n", report.checks.len()),
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Check;

    #[test]
    fn what_is_wrong_is_shown_with_its_mend() {
        let check = |name: &str, state, mend: Option<&str>| Check {
            name: name.into(),
            state,
            found: "found".into(),
            mend: mend.map(Into::into),
        };
        let checks =
            vec![check("store", CheckState::Ok, None), check("disk space", CheckState::Warning, Some("free some"))];
        let text = text(&DoctorReport { root: "/r".into(), checks });
        assert_eq!(
            text,
            "root /r\nok       store       found\nwarning  disk space  found\n                     mend: free some\n1 of 2 checks want attention.\n"
        );
    }
}

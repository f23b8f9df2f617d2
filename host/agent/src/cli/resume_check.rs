//! `agent run-wasm --resume-check`: shows how far the kills are, and prints what came of them.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::run_wasm::{Arguments, cache_folder, remove, temporary_root};
use super::running::Running;
use super::summary::indented;
use super::table::{count, counted};
use super::{CommandError, Exit, Global, say};
use crate::app::{self, AppError, ResumeCheck, ResumeReport, ResumeWatch};
use crate::config;
use crate::logs::escape;

/// How often the terminal is drawn: more is not seen.
const DRAW_EVERY: Duration = Duration::from_millis(125);

/// Kills told one by one; the JSON has more.
const TOLD_MAX: usize = 5;

/// Runs the check.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, CommandError> {
    let (kills, flags) = arguments.export_again()?;
    if global.root_given || global.config.is_some() {
        let told = "--resume-check runs in folders of its own, without an agent.yaml; leave --root and -c out";
        return Err(AppError::Usage(told.to_owned()).into());
    }
    let around = global.surroundings(None)?;
    let logs = global.logs("run-wasm")?;
    let running = Running::begin()?;
    let temporary = temporary_root()?;
    let folder = temporary.path().to_owned();
    let check = ResumeCheck {
        component: config::tidy_path(&around.working_dir.join(arguments.file())),
        cache: cache_folder(&around).unwrap_or_else(|| folder.join("cache/agent/components")),
        flags,
        words: arguments.words(),
        folder,
        kills,
    };
    let watch = Arc::new(ResumeWatch::default());
    let is_drawn = !global.quiet && !global.json && std::io::IsTerminal::is_terminal(&std::io::stderr());
    let shutdown = running.shutdown.clone();
    let checking = app::resume_check(check, Arc::clone(&watch), logs, shutdown);
    let result = running.drive(drawn(checking, &watch, is_drawn), None);
    remove(Some(temporary));
    let report = result?;
    let exit = Exit::of_resume_check(&report);
    arguments.tell_programs(&document(&report, exit), global)?;
    if !global.json && (!global.quiet || exit != Exit::Ok) {
        say(&summary(&report));
    }
    Ok(exit)
}

/// Does the work, and shows how far it is.
async fn drawn(
    work: impl Future<Output = Result<ResumeReport, AppError>>,
    watch: &ResumeWatch,
    is_drawn: bool,
) -> Result<ResumeReport, AppError> {
    let target = if is_drawn { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    // The template is a constant and valid; the default style would show a bar.
    let style = ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(None, target).with_style(style);
    let mut work = pin!(work);
    let mut ticks = tokio::time::interval(DRAW_EVERY);
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            _ = ticks.tick() => bar.set_message(progress(watch)),
        }
    };
    bar.finish_and_clear();
    result
}

fn progress(watch: &ResumeWatch) -> String {
    let [done, of, failed] = [&watch.done, &watch.of, &watch.failed].map(|number| number.load(Ordering::Relaxed));
    match (of, failed) {
        (0, _) => "running undisturbed, twice".to_owned(),
        (_, 0) => format!("killing and resuming: {} of {}", count(done), count(of)),
        _ => format!("killing and resuming: {} of {}, {} wrong", count(done), count(of), count(failed)),
    }
}

/// The report of the run that nobody killed, with what came of the kills.
fn document(report: &ResumeReport, exit: Exit) -> Value {
    let mut document = report.undisturbed.clone();
    if !document.is_object() {
        document = json!({ "version": 1 });
    }
    // Plain data; serializing it into memory cannot fail.
    document["resume"] = serde_json::to_value(report).unwrap_or_default();
    document["interrupted"] = json!(report.interrupted);
    document["exit_code"] = json!(exit.code());
    document
}

/// What everybody is told.
pub(super) fn summary(report: &ResumeReport) -> String {
    let tried = report.tried.len() as u64;
    let mut out = String::new();
    for failure in report.failures.iter().take(TOLD_MAX) {
        out.push_str(&format!("killed after host call {}, {}:\n", count(failure.after), escape(&failure.host_call)));
        if let Some(reason) = &failure.reason {
            out.push_str(&format!("  {}\n", indented(reason)));
        }
        for line in failure.difference.told().lines().filter(|line| !line.is_empty()) {
            out.push_str(&format!("{}\n", escape(line)));
        }
    }
    let more = report.failed.saturating_sub(report.failures.len().min(TOLD_MAX) as u64);
    if more > 0 {
        out.push_str(&format!("… and {} more, as --json says\n", counted(more, "kill")));
    }
    for unjudged in report.unjudged.iter().take(TOLD_MAX) {
        let requests: Vec<String> = unjudged.requests.iter().take(1).map(|request| escape(request)).collect();
        out.push_str(&format!(
            "killed after host call {}, {}: nothing can be said, the run that resumed asked for what is not on the cassette: {}\n",
            count(unjudged.after),
            escape(&unjudged.host_call),
            requests.concat()
        ));
    }
    if report.unsteady.count > 0 {
        out.push_str(&format!(
            "{} not the same in two runs that nobody killed, and left out: {}\n",
            counted(report.unsteady.count, "record"),
            escape(&report.unsteady.told())
        ));
    }
    let of = match report.not_tried {
        0 => "after each of its host calls".to_owned(),
        _ => format!("after {} of its {}", count(tried), counted(report.host_calls, "host call")),
    };
    out.push_str(&format!("resume: killed {of}, {} compared: ", counted(report.records, "record")));
    out.push_str(&match (report.failed, report.not_judged) {
        (0, 0) => "nothing was lost, repeated or changed".to_owned(),
        (0, unjudged) => format!(
            "nothing was lost, repeated or changed, but for {} could nothing be said",
            counted(unjudged, "kill")
        ),
        (failed, _) => format!("{} wrong", counted(failed, "resumption")),
    });
    out.push('\n');
    if report.not_reached > 0 {
        out.push_str(&format!(
            "{} came after the run had ended, which was shorter then\n",
            counted(report.not_reached, "kill")
        ));
    }
    if report.failed > 0 {
        out.push_str(
            "mend: a cursor goes with what was sent before it and never ahead; ids come from the source, never from the run\n",
        );
    }
    if report.interrupted {
        out.push_str("It was interrupted; what is said is of the kills before.\n");
    }
    out
}

//! What a person sees while an export runs: lines that are drawn anew eight times a second on a terminal, or a line in
//! the log now and then elsewhere. Only shows; what runs is for `app` to say, and when to look for `export` of this folder.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::table::{count, counted, shortened};
use crate::app::{ExportUi, IntegrationReport, OutcomeKind, PausesNow, Snapshot};
use crate::config::{show_duration, show_size};
use crate::egress::Pause;
use crate::export::{SessionState, SessionSummary};
use crate::logs::{Logs, escape};

/// How often the terminal is drawn: more is not seen.
const DRAW_EVERY: Duration = Duration::from_millis(125);

/// How often a line is logged where there is no terminal: seldom enough for the logs of a scheduler.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Sessions shown for each integration: the most active ones.
const SESSIONS_SHOWN_MAX: usize = 3;

/// Lines drawn: they must fit on a small terminal, or drawing them anew would scroll it.
const LINES_MAX: usize = 16;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Drawn on the terminal.
    Drawn,
    /// Logged.
    Logged,
    /// Not at all.
    None,
}

/// Shows an export's progress.
pub(super) struct Progress {
    style: Style,
    logs: Logs,
    watch: Mutex<Watch>,
    multi: MultiProgress,
}

struct Watch {
    snapshot: Option<(Snapshot, PausesNow)>,
    ended: Vec<String>,
    begun: Instant,
    last: Instant,
    /// Records by integration and session when progress was shown last.
    before: HashMap<(String, String), u64>,
    bars: Vec<ProgressBar>,
}

impl Progress {
    pub fn new(style: Style, logs: Logs) -> Progress {
        let target = if style == Style::Drawn { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let multi = MultiProgress::with_draw_target(target);
        if style == Style::Drawn {
            let above = multi.clone();
            logs.set_screen(Some(Box::new(move |line| above.suspend(|| eprintln!("{line}")))));
        }
        let now = Instant::now();
        let watch = Watch {
            snapshot: None,
            ended: Vec::new(),
            begun: now,
            last: now,
            before: HashMap::new(),
            bars: Vec::new(),
        };
        Progress { style, logs, watch: Mutex::new(watch), multi }
    }

    /// How often [`Progress::show`] wants to be called.
    pub fn every(&self) -> Duration {
        if self.style == Style::Drawn { DRAW_EVERY } else { LOG_EVERY }
    }

    /// Shows how far everything is.
    pub fn show(&self) {
        if self.style == Style::None {
            return;
        }
        let mut watch = self.watch();
        let Some((snapshot, pauses)) = watch.snapshot.clone() else { return };
        let now = Instant::now();
        let view = View {
            pauses: pauses(),
            running: snapshot().into_iter().filter(|(name, _)| !watch.ended.contains(name)).collect(),
            before: &watch.before,
            since: now - watch.last,
            elapsed: now - watch.begun,
        };
        let (lines, summaries) = (view.lines(), view.summaries());
        watch.before = view.records();
        watch.last = now;
        if self.style == Style::Drawn {
            self.draw(&mut watch, &lines);
        } else {
            drop(watch);
            for (integration, text) in summaries {
                tracing::info!(target: "agent::progress", integration, "{text}");
            }
        }
    }

    /// Takes everything off the terminal.
    pub fn end(&self) {
        let mut watch = self.watch();
        watch.snapshot = None;
        for bar in watch.bars.drain(..) {
            bar.finish_and_clear();
        }
        let _ = self.multi.clear();
        self.logs.set_screen(None);
    }

    fn draw(&self, watch: &mut Watch, lines: &[String]) {
        while watch.bars.len() < lines.len() {
            // The template is a constant and valid; the default style would show a bar.
            let style = ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            watch.bars.push(self.multi.add(ProgressBar::new_spinner().with_style(style)));
        }
        for bar in watch.bars.drain(lines.len()..) {
            bar.finish_and_clear();
            self.multi.remove(&bar);
        }
        for (bar, line) in watch.bars.iter().zip(lines) {
            bar.set_message(line.clone());
        }
    }

    fn watch(&self) -> std::sync::MutexGuard<'_, Watch> {
        // Whoever panicked with it left nothing half done that matters to a picture.
        self.watch.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl ExportUi for Progress {
    fn begun(&self, snapshot: Snapshot, pauses: PausesNow) {
        self.watch().snapshot = Some((snapshot, pauses));
    }

    fn ended(&self, report: &IntegrationReport) {
        self.watch().ended.push(report.name.clone());
        let records = report.sessions.iter().map(|session| session.records).sum();
        let took = show_duration(Duration::from_millis(report.duration_ms));
        let integration = report.name.as_str();
        match report.outcome {
            OutcomeKind::Ok => tracing::info!(integration, "done: {} in {took}", counted(records, "record")),
            outcome => {
                let reason = report.reason.as_deref().unwrap_or("no reason given");
                tracing::warn!(integration, "ended {} after {took}: {reason}", super::summary::word(outcome));
            }
        }
    }
}

/// What there is to show at one moment.
struct View<'a> {
    pauses: Vec<Pause>,
    running: Vec<(String, Vec<SessionSummary>)>,
    before: &'a HashMap<(String, String), u64>,
    since: Duration,
    elapsed: Duration,
}

impl View<'_> {
    /// For a terminal: a line for each integration that runs, and its most active open sessions below it.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, sessions) in &self.running {
            lines.push(format!("● {}  {}  {}", escape(name), show_elapsed(self.elapsed), self.totals(name, sessions)));
            lines.extend(self.waits(name).map(|wait| format!("    {wait}")));
            for session in self.most_active(name, sessions) {
                lines.push(format!("    {}", session_line(session)));
            }
        }
        if lines.len() > LINES_MAX {
            let left_out = lines.len() - (LINES_MAX - 1);
            lines.truncate(LINES_MAX - 1);
            lines.push(format!("  … {left_out} more lines"));
        }
        lines
    }

    /// For a log: a line for each integration that runs.
    fn summaries(&self) -> Vec<(String, String)> {
        let summary = |(name, sessions): &(String, Vec<SessionSummary>)| {
            let mut text = self.totals(name, sessions);
            if let Some(session) = self.most_active(name, sessions).first() {
                text.push_str(&format!("; in {}", session_line(session)));
            }
            for wait in self.waits(name) {
                text.push_str(&format!("; {wait}"));
            }
            (name.clone(), text)
        };
        self.running.iter().map(summary).collect()
    }

    /// What an integration waits for at servers.
    fn waits<'s>(&'s self, name: &'s str) -> impl Iterator<Item = String> + use<'s> {
        let of = move |pause: &&Pause| pause.integrations.iter().any(|integration| integration == name);
        self.pauses.iter().filter(of).map(wait)
    }

    fn totals(&self, name: &str, sessions: &[SessionSummary]) -> String {
        let records: u64 = sessions.iter().map(sent).sum();
        let bytes: u64 = sessions.iter().map(|session| session.bytes + session.staged_bytes).sum();
        let new: u64 = sessions.iter().map(|session| self.new_records(name, session)).sum();
        let rate = new as f64 / self.since.as_secs_f64().max(0.001);
        format!("{}  {}  {}/s", counted(records, "record"), show_size(bytes), count(rate.round() as u64))
    }

    /// Open sessions, those first that sent most since the last look, then the deepest.
    fn most_active<'s>(&self, name: &str, sessions: &'s [SessionSummary]) -> Vec<&'s SessionSummary> {
        let mut open: Vec<&SessionSummary> =
            sessions.iter().filter(|session| session.state == SessionState::Open).collect();
        open.sort_by_cached_key(|session| {
            std::cmp::Reverse((self.new_records(name, session), session.depth, sent(session)))
        });
        open.truncate(SESSIONS_SHOWN_MAX);
        open
    }

    fn new_records(&self, name: &str, session: &SessionSummary) -> u64 {
        let key = (name.to_owned(), session.path.clone());
        sent(session).saturating_sub(self.before.get(&key).copied().unwrap_or(0))
    }

    fn records(&self) -> HashMap<(String, String), u64> {
        let each = |(name, sessions): &(String, Vec<SessionSummary>)| {
            sessions.iter().map(|session| ((name.clone(), session.path.clone()), sent(session))).collect::<Vec<_>>()
        };
        self.running.iter().flat_map(each).collect()
    }
}

/// A pause that lasts, in words.
pub(super) fn wait(pause: &Pause) -> String {
    let Pause { host, resource, until, .. } = pause;
    // The name is the server's.
    let resource = if resource.is_empty() { String::new() } else { format!(" ({})", escape(resource)) };
    format!("waits until {} for the budget of {}{resource}", escape(until), escape(host))
}

/// Records of a session, committed or not.
fn sent(session: &SessionSummary) -> u64 {
    session.records + session.staged
}

fn session_line(session: &SessionSummary) -> String {
    let name = match session.object_name.as_str() {
        "" => String::new(),
        name => format!(" ({})", shortened(name, 40)),
    };
    let progress = match session.progress_total {
        Some(total) => format!("  {}/{}", count(session.progress_current), count(total)),
        None if session.progress_current > 0 => format!("  {}", count(session.progress_current)),
        None => String::new(),
    };
    let records =
        if session.model.is_some() { format!("  {}", counted(sent(session), "record")) } else { String::new() };
    escape(&format!("{}{name}{progress}{records}", shortened(&session.path, 60)))
}

/// Whole seconds: tenths only flicker.
fn show_elapsed(elapsed: Duration) -> String {
    show_duration(Duration::from_secs(elapsed.as_secs().max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(path: &str, records: u64, state: SessionState) -> SessionSummary {
        SessionSummary {
            path: path.into(),
            model: Some("m".into()),
            object_name: String::new(),
            state,
            records,
            bytes: records * 10,
            unchanged: 0,
            staged: 0,
            staged_bytes: 0,
            progress_current: 1,
            progress_total: Some(4),
            duration_ms: 0,
            cursor: None,
            resumed: false,
            held_back: false,
            depth: 1,
        }
    }

    #[test]
    fn the_most_active_open_sessions_are_shown() {
        let before = HashMap::from([(("git".to_owned(), "big".to_owned()), 1000)]);
        let sessions = vec![
            session("big", 1000, SessionState::Open),
            session("a\x1b", 300, SessionState::Open),
            session("closed", 900, SessionState::Done),
            session("b", 200, SessionState::Open),
            session("c", 100, SessionState::Open),
        ];
        let view = View {
            pauses: Vec::new(),
            running: vec![("git".into(), sessions)],
            before: &before,
            since: Duration::from_secs(2),
            elapsed: Duration::from_millis(61_900),
        };
        assert_eq!(
            view.lines(),
            [
                "● git  1 m 1 s  2,500 records  24.4 KiB  750/s",
                "    a\\u{1b}  1/4  300 records",
                "    b  1/4  200 records",
                "    c  1/4  100 records",
            ]
        );
        assert_eq!(view.summaries()[0].1, "2,500 records  24.4 KiB  750/s; in a\\u{1b}  1/4  300 records");
    }

    #[test]
    fn a_pause_is_shown_with_its_end() {
        let pause = Pause {
            host: "https://api.github.com".into(),
            resource: "core".into(),
            until: "2026-11-21T10:00:00Z".into(),
            integrations: vec!["github".into()],
            resumed: None,
        };
        let running = vec![("github".to_owned(), Vec::new()), ("git".to_owned(), Vec::new())];
        let (before, pauses) = (HashMap::new(), vec![pause]);
        let view = View { pauses, running, before: &before, since: Duration::ZERO, elapsed: Duration::ZERO };
        let waits = "waits until 2026-11-21T10:00:00Z for the budget of https://api.github.com (core)";
        assert_eq!(view.lines()[1..], [format!("    {waits}"), view.lines()[2].clone()]);
        assert!(view.summaries()[0].1.ends_with(waits) && !view.summaries()[1].1.contains("waits"));
    }

    #[test]
    fn many_integrations_fit_on_the_terminal() {
        let running: Vec<_> = (0..100).map(|index| (format!("i{index}"), Vec::new())).collect();
        let view = View {
            pauses: Vec::new(),
            running,
            before: &HashMap::new(),
            since: Duration::ZERO,
            elapsed: Duration::ZERO,
        };
        let lines = view.lines();
        assert_eq!(lines.len(), LINES_MAX);
        assert_eq!(lines[LINES_MAX - 1], "  … 85 more lines");
    }
}

//! The exit codes: what each means, and which one a result has. Scripts depend on them; docs/exit-codes.md is the
//! published list, and a test holds the two together.

use crate::app::{
    AgreementReport, AppError, CallReport, CheckReport, CheckState, DiscoverReport, DoctorReport, ExportReport,
    HistoryReport, OutcomeKind, ResumeReport, RunWasmReport, TestReport, ValidateReport,
};

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Ok,
    Failed,
    Usage,
    Partial,
    NoRoot,
    Locked,
    Unauthenticated,
    Limit,
    Denied,
    StoreDamaged,
    BadConfiguration,
    Interrupted,
}

/// All of them, with their meaning in a few words.
pub const ALL: [(Exit, &str); 12] = [
    (Exit::Ok, "all of it worked"),
    (Exit::Failed, "it failed"),
    (Exit::Usage, "the command line is wrong"),
    (Exit::Partial, "some of it worked and some did not"),
    (Exit::NoRoot, "there is no root, or no state in it"),
    (Exit::Locked, "another agent has the root"),
    (Exit::Unauthenticated, "the source refused the credentials"),
    (Exit::Limit, "an integration trapped or exceeded a limit"),
    (Exit::Denied, "an integration asked for what it is not granted"),
    (Exit::StoreDamaged, "the store is damaged"),
    (Exit::BadConfiguration, "the configuration is wrong"),
    (Exit::Interrupted, "interrupted"),
];

impl Exit {
    /// The code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Partial => 3,
            Exit::NoRoot => 10,
            Exit::Locked => 11,
            Exit::Unauthenticated => 12,
            Exit::Limit => 13,
            Exit::Denied => 14,
            Exit::StoreDamaged => 20,
            // As in sysexits.h.
            Exit::BadConfiguration => 78,
            // As a shell reports a process that an interrupt ended.
            Exit::Interrupted => 130,
        }
    }

    /// The code of an export. Where all integrations failed in one way it is the code of that way; where some worked it
    /// is `Partial`, as it is where the sink did not take everything.
    #[must_use]
    pub fn of_export(report: &ExportReport) -> Exit {
        if report.interrupted {
            return Exit::Interrupted;
        }
        let left_over = report.dead_letters.batches > 0 || report.outbox_left.batches > 0;
        match Exit::together(report.integrations.iter().map(|integration| integration.outcome)) {
            Exit::Ok if left_over => Exit::Partial,
            exit => exit,
        }
    }

    /// The code of several integrations: the one that all share, `Partial` where some worked.
    fn together(outcomes: impl Iterator<Item = OutcomeKind>) -> Exit {
        let exits: Vec<Exit> = outcomes.map(Exit::of_outcome).collect();
        let worked = |exit: &Exit| matches!(exit, Exit::Ok | Exit::Partial);
        match exits.first() {
            None => Exit::Ok,
            Some(first) if exits.iter().all(|exit| exit == first) => *first,
            Some(_) if exits.iter().any(worked) => Exit::Partial,
            // All failed, each in its own way.
            Some(_) => Exit::Failed,
        }
    }

    /// The code of trying configurations.
    #[must_use]
    pub fn of_validate(report: &ValidateReport) -> Exit {
        if report.interrupted {
            return Exit::Interrupted;
        }
        Exit::together(report.integrations.iter().map(|one| one.outcome))
    }

    /// The code of a check.
    #[must_use]
    pub fn of_check(report: &CheckReport) -> Exit {
        if report.interrupted {
            return Exit::Interrupted;
        }
        Exit::together(report.integrations.iter().map(|one| one.outcome))
    }

    /// The code of a call of one integration. A kind, a mutation or an event that it does not have is a command line that is
    /// wrong.
    #[must_use]
    pub fn of_call(report: &CallReport) -> Exit {
        match report.error_code.as_deref() {
            Some("not_supported") => Exit::Usage,
            _ => Exit::of_outcome(report.outcome),
        }
    }

    /// The code of what needs an operator's consent.
    #[must_use]
    pub fn of_consent(agreed: bool) -> Exit {
        if agreed { Exit::Ok } else { Exit::Denied }
    }

    /// The code of looking at components.
    #[must_use]
    pub fn of_discover(report: &DiscoverReport) -> Exit {
        let outcome = |error: bool| if error { OutcomeKind::BadConfig } else { OutcomeKind::Ok };
        Exit::together(report.integrations.iter().map(|found| outcome(found.error.is_some())))
    }

    fn of_outcome(outcome: OutcomeKind) -> Exit {
        match outcome {
            OutcomeKind::Ok => Exit::Ok,
            OutcomeKind::Partial => Exit::Partial,
            OutcomeKind::Failed => Exit::Failed,
            OutcomeKind::BadConfig => Exit::BadConfiguration,
            OutcomeKind::Unauthenticated => Exit::Unauthenticated,
            OutcomeKind::Denied => Exit::Denied,
            OutcomeKind::Limit | OutcomeKind::Trapped => Exit::Limit,
            OutcomeKind::Cancelled => Exit::Interrupted,
        }
    }

    /// The code of one component's run. `Partial` also where something could not be shown or written.
    #[must_use]
    pub fn of_run_wasm(report: &RunWasmReport) -> Exit {
        match Exit::of_outcome(report.outcome) {
            _ if report.interrupted => Exit::Interrupted,
            Exit::Ok if report.left.batches > 0 || report.delivery_error.is_some() => Exit::Partial,
            exit => exit,
        }
    }

    /// The code of kills. `Partial` where nothing could be said of some.
    #[must_use]
    pub fn of_resume_check(report: &ResumeReport) -> Exit {
        match () {
            () if report.interrupted => Exit::Interrupted,
            () if report.failed > 0 => Exit::Failed,
            () if report.not_judged > 0 => Exit::Partial,
            () => Exit::Ok,
        }
    }

    /// The code of a test of an integration. Warnings are none of its faults.
    #[must_use]
    pub fn of_test(report: &TestReport) -> Exit {
        match () {
            () if report.interrupted => Exit::Interrupted,
            () if report.failed > 0 => Exit::Failed,
            () => Exit::Ok,
        }
    }

    /// The code of reading a history. A reader of standard output that has seen enough is no fault, unless a checkpoint was to
    /// be moved by what it took.
    #[must_use]
    pub fn of_history(report: &HistoryReport) -> Exit {
        match () {
            () if report.interrupted => Exit::Interrupted,
            () if report.reader_gone && report.checkpoint.is_some() => Exit::Failed,
            () if report.unreadable.count > 0 => Exit::Partial,
            () => Exit::Ok,
        }
    }

    /// The code of a comparison with git.
    #[must_use]
    pub fn of_agreement(report: &AgreementReport) -> Exit {
        match () {
            () if report.interrupted => Exit::Interrupted,
            () if report.agrees => Exit::Ok,
            () => Exit::Failed,
        }
    }

    /// The code of an error.
    #[must_use]
    pub fn of_error(error: &AppError) -> Exit {
        match error {
            AppError::Usage(_) => Exit::Usage,
            AppError::NoRoot(_) => Exit::NoRoot,
            AppError::Locked { .. } => Exit::Locked,
            AppError::StoreDamaged { .. } => Exit::StoreDamaged,
            AppError::Interrupted => Exit::Interrupted,
            AppError::Failed(_) => Exit::Failed,
        }
    }

    /// The code of a doctor's report: of the worst that it found.
    #[must_use]
    pub fn of_doctor(report: &DoctorReport) -> Exit {
        let any = |state| report.checks.iter().any(|check| check.state == state);
        match () {
            () if any(CheckState::Damaged) => Exit::StoreDamaged,
            () if any(CheckState::NoRoot) => Exit::NoRoot,
            () if any(CheckState::Failed) => Exit::Failed,
            () => Exit::Ok,
        }
    }
}

/// The list for `--help`.
#[must_use]
pub fn help() -> String {
    let lines: Vec<String> = ALL.iter().map(|(exit, meaning)| format!("  {:>3}  {meaning}", exit.code())).collect();
    format!("Exit codes:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Backlog, Delivered, IntegrationReport};

    fn report(outcomes: &[OutcomeKind]) -> ExportReport {
        let integrations = outcomes.iter().map(|outcome| IntegrationReport {
            name: "x".into(),
            outcome: *outcome,
            reason: None,
            incremental: false,
            duration_ms: 0,
            cpu_ms: 0,
            memory_bytes_peak: 0,
            host_calls: 0,
            sessions: Vec::new(),
            repos: Vec::new(),
            repos_skipped: 0,
            faults: Vec::new(),
            misfits: Vec::new(),
        });
        ExportReport {
            integrations: integrations.collect(),
            delivered: Delivered::default(),
            dead_letters: Backlog::default(),
            outbox_left: Backlog::default(),
            delivery_error: None,
            pauses: Vec::new(),
            pauses_left_out: 0,
            interrupted: false,
            duration_ms: 0,
        }
    }

    #[test]
    fn an_export_has_the_code_of_its_outcomes() {
        use OutcomeKind::{BadConfig, Cancelled, Denied, Failed, Limit, Ok, Partial, Trapped, Unauthenticated};
        for (outcomes, code) in [
            (&[Ok, Ok][..], 0),
            (&[Failed], 1),
            (&[Failed, Ok], 3),
            (&[Ok, Failed], 3),
            (&[Partial], 3),
            (&[Ok, Partial], 3),
            (&[Partial, Failed], 3),
            (&[Limit, Trapped], 13),
            (&[Denied, Denied], 14),
            (&[Denied, Failed], 1),
            (&[Unauthenticated], 12),
            (&[BadConfig, BadConfig], 78),
            (&[BadConfig, Ok], 3),
            (&[BadConfig, Failed], 1),
            (&[Cancelled], 130),
        ] {
            assert_eq!(Exit::of_export(&report(outcomes)).code(), code, "{outcomes:?}");
        }
        let mut rejected = report(&[Ok]);
        rejected.dead_letters.batches = 1;
        assert_eq!(Exit::of_export(&rejected), Exit::Partial);
        let mut interrupted = report(&[Ok, Failed]);
        interrupted.interrupted = true;
        assert_eq!(Exit::of_export(&interrupted), Exit::Interrupted);
    }

    #[test]
    fn the_published_list_has_every_code_and_meaning() {
        let published = include_str!("../../../../docs/exit-codes.md");
        let rows: Vec<&str> =
            published.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit()).collect();
        assert_eq!(rows.len(), ALL.len());
        for ((exit, meaning), row) in ALL.iter().zip(rows) {
            assert!(row.starts_with(&format!("| {} | {meaning}", exit.code())), "{exit:?}: {row}");
        }
    }
}

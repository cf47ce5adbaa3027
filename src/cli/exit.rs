//! Exit codes, and how what ends a command early is told.

use crate::app::AppError;
use crate::event::RunStatus;
use crate::plan::PlanError;
use crate::report::plot::PngError;
use crate::spec::SpecError;

/// Everything went well.
pub(super) const DONE: u8 = 0;
/// A stage failed, or a checked table is stale.
pub(super) const FAILED: u8 = 1;
/// The command line or a file is wrong.
pub(super) const USAGE: u8 = 2;
/// Interrupted; everything committed so far is kept.
pub(super) const INTERRUPTED: u8 = 130;

/// The exit code of a run that ended as `status`.
pub(super) fn code_of_run(status: RunStatus) -> u8 {
    match status {
        RunStatus::Done => DONE,
        RunStatus::Failed => FAILED,
        RunStatus::Interrupted => INTERRUPTED,
    }
}

/// The exit code of a command that ended early.
pub(super) fn code_of_error(error: &AppError) -> u8 {
    match error {
        AppError::Spec(_)
        | AppError::Sweep(_)
        | AppError::Request(_)
        | AppError::Png(PngError::TooLarge { .. }) => USAGE,
        AppError::Plan { problem, .. } => match **problem {
            PlanError::UnknownStage { .. }
            | PlanError::UntilNotNeeded { .. }
            | PlanError::Unreadable { .. }
            | PlanError::UnknownRoot { .. }
            | PlanError::NoSuchPath { .. } => USAGE,
            _ => FAILED,
        },
        AppError::Report(error) if error.is_mistake() => USAGE,
        AppError::Interrupted => INTERRUPTED,
        _ => FAILED,
    }
}

fn print_mistakes(error: &SpecError) {
    for report in error.reports() {
        anstream::eprintln!("{report:?}");
    }
}

/// Tells on standard error why a command ended early.
pub(super) fn print_error(error: &AppError) {
    match error {
        AppError::Spec(error) => print_mistakes(error),
        AppError::Plan {
            place: Some(place), ..
        } => print_mistakes(place),
        other => {
            let bold = anstyle::Style::new()
                .bold()
                .fg_color(Some(anstyle::AnsiColor::Red.into()));
            anstream::eprintln!("{bold}error{bold:#}: {other}");
        }
    }
}

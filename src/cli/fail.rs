//! What can end a command early, and how it is told.

use std::io;

use crate::plan::PlanError;
use crate::record::RecordError;
use crate::report::ReportError;
use crate::report::plot::PngError;
use crate::spec::SpecError;
use crate::store::StoreError;
use crate::sweep::SweepError;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Fail {
    /// A file has mistakes.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// No plan could be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A table could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A sweep has no trials.
    #[error(transparent)]
    Sweep(#[from] SweepError),
    /// A sweep's journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] io::Error),
    /// The history cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A picture could not be drawn.
    #[error(transparent)]
    Png(#[from] PngError),
    /// The command line asks for what is not there.
    #[error("{0}")]
    Usage(String),
    /// A sweep cannot go on.
    #[error("{0}")]
    Stopped(String),
    /// Something around the run failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl Fail {
    /// Reading or writing failed while `what` was being done.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Spec(_)
            | Self::Sweep(_)
            | Self::Usage(_)
            | Self::Png(PngError::TooLarge { .. })
            | Self::Plan(
                PlanError::UnknownStage { .. }
                | PlanError::UntilNotNeeded { .. }
                | PlanError::Unreadable { .. }
                | PlanError::NoSuchPath { .. },
            ) => super::USAGE,
            Self::Report(error) if error.is_mistake() => super::USAGE,
            _ => super::FAILED,
        }
    }

    /// Tells it on standard error.
    pub fn print(&self) {
        match self {
            Self::Spec(error) => {
                for report in error.reports() {
                    anstream::eprintln!("{report:?}");
                }
            }
            other => {
                let bold = anstyle::Style::new()
                    .bold()
                    .fg_color(Some(anstyle::AnsiColor::Red.into()));
                anstream::eprintln!("{bold}error{bold:#}: {other}");
            }
        }
    }
}

//! Why something that was asked for could not be done.

use std::io;

use crate::plan::PlanError;
use crate::record::RecordError;
use crate::report::ReportError;
use crate::report::plot::PngError;
use crate::spec::SpecError;
use crate::store::StoreError;
use crate::sweep::SweepError;

/// Why something that was asked for could not be done.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A file has mistakes.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// No plan could be made.
    #[error("{problem}")]
    Plan {
        /// Why.
        problem: Box<PlanError>,
        /// The same at its place in the pipeline's file, where it has one.
        place: Option<Box<SpecError>>,
    },
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
    /// What is asked for is not there, or does not make sense.
    #[error("{0}")]
    Request(String),
    /// What was begun cannot go on.
    #[error("{0}")]
    Stopped(String),
    /// It was asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// Something around the run failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl From<PlanError> for AppError {
    fn from(problem: PlanError) -> Self {
        Self::Plan {
            problem: Box::new(problem),
            place: None,
        }
    }
}

impl AppError {
    /// Reading or writing failed while `what` was being done.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

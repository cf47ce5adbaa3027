//! The history of runs, kept in SQLite.
//!
//! In go the [`Event`](crate::event::Event)s of a run and the keys of its stages; out come past runs and each stage's
//! last result. History is a convenience: losing it loses no result, so a database that is broken,
//! locked, or cannot be written never fails a run. The [`Recorder`] then says once what is wrong
//! and keeps nothing. It writes on a thread of its own, many rows a transaction, so that recording
//! neither slows a run nor waits in its way. Several processes may write one database at once.

mod database;
mod git;
mod history;
mod recorder;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

pub use git::commit as git_commit;
pub use history::{LastResult, RecordedEpoch, RunHistory, RunRow, RunSummary, StageRow};
pub use recorder::{Recorder, RunInfo};

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Why the history cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// SQLite refuses.
    #[error("{}: {source}; if the file is damaged, move it away: only history is lost, no result", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// A newer version has written the database.
    #[error("{}: its format ({found}) is newer than this Erlen knows ({known}); use the newer Erlen", path.display())]
    TooNew {
        /// The database.
        path: PathBuf,
        /// The database's format.
        found: i64,
        /// The newest known format.
        known: i64,
    },
    /// A row says what no row should.
    #[error("{}: {what}; move the file away: only history is lost, no result", path.display())]
    Malformed {
        /// The database.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
}

/// What became of a stage in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageStatus {
    /// A known result served.
    Reused,
    /// It ran and succeeded.
    Ran,
    /// It failed.
    Failed,
    /// It was not run because another did not succeed.
    Skipped,
    /// It was interrupted.
    Interrupted,
    /// It stopped before its end on purpose, and can be continued.
    Paused,
}

impl StageStatus {
    const ALL: [Self; 6] = [
        Self::Reused,
        Self::Ran,
        Self::Failed,
        Self::Skipped,
        Self::Interrupted,
        Self::Paused,
    ];

    /// `reused`, `ran`, `failed`, `skipped`, `interrupted` or `paused`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reused => "reused",
            Self::Ran => "ran",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Interrupted => "interrupted",
            Self::Paused => "paused",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

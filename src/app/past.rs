//! Runs of the past.

use super::error::AppError;
use crate::record::{RunHistory, RunRow};

/// Whether `text` names a run rather than a table.
pub fn names_run(text: &str) -> bool {
    text == LATEST || text.parse::<i64>().is_ok()
}

const LATEST: &str = "latest";

/// The run that `text` names: by its number, or the latest.
///
/// # Errors
/// There is no such run, or the history cannot be read.
pub fn find_run(history: &RunHistory, text: &str) -> Result<RunRow, AppError> {
    let latest = history.runs(None, 1)?.pop();
    let Some(latest) = latest else {
        return Err(AppError::Request("nothing ran here yet".to_owned()));
    };
    let id = if text == LATEST {
        latest.id
    } else {
        text.parse().map_err(|_| {
            AppError::Request(format!(
                "`{text}` is no run: give its number, as `erlen runs` lists it, or {LATEST}"
            ))
        })?
    };
    history
        .run(id)?
        .ok_or_else(|| AppError::Request(format!("there is no run {id}; the latest is {}", latest.id)))
}

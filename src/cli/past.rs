//! What the commands that look back share: the history of the project that the user stands in.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::Fail;
use crate::event;
use crate::progress::text;
use crate::record::{History, RunRow, RunSummary, StageStatus};
use crate::spec::Project;

/// Where the results are of a command that names no pipeline.
#[derive(Debug, Args)]
pub(super) struct StoreArguments {
    /// Where results are kept, instead of .erlen in the project's root
    #[arg(long, env = "ERLEN_STORE", value_name = "FOLDER", hide_env_values = true)]
    store: Option<PathBuf>,
}

impl StoreArguments {
    /// The project of the current folder.
    pub fn project(&self) -> Result<Project, Fail> {
        let here = std::env::current_dir().map_err(Fail::io("finding the current folder"))?;
        let store = self.store.as_deref().map(std::path::absolute).transpose();
        let store = store.map_err(Fail::io("finding the current folder"))?;
        Ok(Project::find(&here.join("any"), store)?)
    }

    /// The store's place, where it is given.
    pub fn folder(&self) -> Option<PathBuf> {
        self.store.clone()
    }

    /// The project's history; empty where nothing ran.
    pub fn history(&self) -> Result<History, Fail> {
        Ok(History::open(&self.project()?.store.join("erlen.db"))?)
    }
}

/// Whether `text` names a run rather than a table.
pub(super) fn names_run(text: &str) -> bool {
    text == LATEST || text.parse::<i64>().is_ok()
}

const LATEST: &str = "latest";

/// The run that `text` names: by its number, or the latest.
pub(super) fn find_run(history: &History, text: &str) -> Result<RunRow, Fail> {
    let latest = history.runs(None, 1)?.pop();
    let Some(latest) = latest else {
        return Err(Fail::Usage("nothing ran here yet".to_owned()));
    };
    let id = if text == LATEST {
        latest.id
    } else {
        text.parse().map_err(|_| {
            Fail::Usage(format!(
                "`{text}` is no run: give its number, as `erlen runs` lists it, or {LATEST}"
            ))
        })?
    };
    history
        .run(id)?
        .ok_or_else(|| Fail::Usage(format!("there is no run {id}; the latest is {}", latest.id)))
}

/// A moment, as the user's clock shows it.
pub(super) fn moment(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).map_or_else(
        |_| "?".to_owned(),
        |time| {
            time.to_zoned(TimeZone::system())
                .strftime("%Y-%m-%d %H:%M:%S")
                .to_string()
        },
    )
}

/// How long a run took, where that is known.
pub(super) fn duration(run: &RunSummary) -> Option<String> {
    let milliseconds = run.finished? - run.started;
    Some(text::seconds(milliseconds as f64 / 1000.0))
}

/// How a run ended: one that neither finished nor was stopped still runs, or was killed.
pub(super) fn status(run: &RunSummary) -> String {
    run.status
        .map_or_else(|| "unfinished".to_owned(), |status| status.to_string())
}

/// The mark before a stage, and its colour.
pub(super) fn mark(status: StageStatus) -> (char, anstyle::Style) {
    let (mark, color) = match status {
        StageStatus::Ran => ('✓', anstyle::AnsiColor::Green),
        StageStatus::Reused => ('=', anstyle::AnsiColor::Cyan),
        StageStatus::Failed => ('✗', anstyle::AnsiColor::Red),
        StageStatus::Skipped | StageStatus::Interrupted | StageStatus::Paused => {
            ('·', anstyle::AnsiColor::Yellow)
        }
    };
    (mark, anstyle::Style::new().fg_color(Some(color.into())))
}

/// A value on one line; nothing as a dash.
pub(super) fn value_text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(value) => event::value_text(value).replace('\n', "⏎"),
    }
}

/// A path for people, relative to the current folder where it lies below it.
pub(super) fn shown_path(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let inside = here.as_deref().and_then(|here| path.strip_prefix(here).ok());
    inside.unwrap_or(path).display().to_string()
}

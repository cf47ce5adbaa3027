//! Words and marks that several commands share.

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::app::Notice;
use crate::event;
use crate::progress::text;
use crate::record::{RunSummary, StageStatus};

/// Says it on standard error, where no run shows it.
pub(super) fn print_notices(notices: &[Notice]) {
    for notice in notices {
        anstream::eprintln!("{}", notice.message);
    }
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

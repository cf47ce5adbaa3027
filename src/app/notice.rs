//! What is worth saying beside a result.

use crate::event::{Event, Level};
use crate::progress::text::counted;
use crate::store::{RemoteReport, Store};

/// Something worth saying beside a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How grave it is.
    pub level: Level,
    /// One line.
    pub message: String,
}

impl Notice {
    /// Something good to know.
    pub fn info(message: impl Into<String>) -> Self {
        Self {
            level: Level::Info,
            message: message.into(),
        }
    }

    /// Something that is not as it should be.
    pub fn warning(message: impl Into<String>) -> Self {
        Self {
            level: Level::Warning,
            message: message.into(),
        }
    }
}

impl From<Notice> for Event {
    fn from(Notice { level, message }: Notice) -> Self {
        Self::Notice { level, message }
    }
}

/// What there is to say about the store's remote since this was last asked.
pub fn remote_notices(store: &Store) -> Vec<Notice> {
    let RemoteReport { found, off, refused } = store.remote_report();
    let url = store.remote_url().unwrap_or_default();
    let mut notices = Vec::new();
    if found > 0 {
        notices.push(Notice::info(format!(
            "{} found in the remote {url}",
            counted(found, "result")
        )));
    }
    for what in refused {
        notices.push(Notice::warning(format!(
            "the remote {url} is not believed: {what}"
        )));
    }
    if let Some(why) = off {
        notices.push(Notice::warning(format!(
            "the remote {url} is left out from here on: {why}"
        )));
    }
    notices
}

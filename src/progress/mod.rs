//! Shows a run to whoever started it.
//!
//! In go [`Event`](crate::event::Event)s; out come, on standard error, either a terminal display (finished stages as
//! lines, running ones as a live block below them), plain log lines, or JSON lines. What a finished
//! stage looks like is decided in one place, [`Narrator`], for terminals and logs alike. In a sweep
//! the lines are one a trial, and the stages of trials have none. Showing never fails a run: a
//! standard error that cannot be written to is ignored.

mod json;
mod live;
mod narrator;
mod phase_times;
mod plain;
mod row;
mod running;
mod sparkline;
mod style;
mod sweep;
mod terminal;
#[cfg(test)]
mod tests;
pub mod text;

pub use json::{JsonLines, event_schema, read_line};
pub use live::Live;
pub use narrator::{Audience, Narrator};
pub use plain::Plain;
pub use style::Palette;
pub use terminal::Terminal;

use std::io::IsTerminal;
use std::sync::Arc;

use crate::event::Sink;
use crate::metric::MetricTable;

/// How to show a run.
#[derive(Clone, Debug, Default)]
pub struct DisplayOptions {
    /// The form.
    pub format: DisplayFormat,
    /// The length of the longest stage name, so that columns line up from the first line on; 0
    /// where it is not known.
    pub longest_name: usize,
    /// What is known of the metrics that stages report.
    pub metrics: Arc<MetricTable>,
}

/// The form in which a run is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DisplayFormat {
    /// A live display where standard error is a terminal, else plain lines.
    #[default]
    Auto,
    /// Plain lines.
    Plain,
    /// One JSON object an event and line, each with the time.
    Json,
}

/// The display that suits standard error and `options`.
pub fn for_terminal(options: DisplayOptions) -> Box<dyn Sink> {
    let palette = Palette::for_stderr();
    match options.format {
        DisplayFormat::Json => Box::new(JsonLines::new(std::io::stderr())),
        DisplayFormat::Auto if can_move_cursor() => {
            Box::new(Terminal::new(palette, options.longest_name, options.metrics))
        }
        DisplayFormat::Auto | DisplayFormat::Plain => Box::new(Plain::new(
            std::io::stderr(),
            palette,
            options.longest_name,
            options.metrics,
        )),
    }
}

fn can_move_cursor() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

//! Plain log lines: for files, pipes and terminals that cannot move their cursor.

use std::io::Write;
use std::sync::Arc;

use super::Palette;
use super::narrator::{Audience, Narrator};
use crate::event::{Event, Sink};
use crate::metric::MetricTable;

/// Writes one line a fact; nothing that a pipe could not hold.
pub struct Plain<W> {
    out: W,
    narrator: Narrator,
    lines: Vec<String>,
}

impl<W: Write + Send> Plain<W> {
    /// Writes to `out`, with names of up to `longest_name` characters lined up, and figures as `metrics` knows them.
    pub fn new(out: W, palette: Palette, longest_name: usize, metrics: Arc<MetricTable>) -> Self {
        Self {
            out,
            narrator: Narrator::new(palette, Audience::Log, longest_name, metrics),
            lines: Vec::new(),
        }
    }
}

impl<W: Write + Send> Sink for Plain<W> {
    fn event(&mut self, event: &Event) {
        self.narrator.narrate(event, &mut self.lines);
        if self.lines.is_empty() {
            return;
        }
        let mut text = self.lines.join("\n");
        text.push('\n');
        self.lines.clear();
        // A reader that went away must not stop the run.
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }
}

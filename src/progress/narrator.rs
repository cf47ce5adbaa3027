//! Events as the lines that stay: shared by the terminal display and the plain log.

use std::collections::HashMap;
use std::sync::Arc;

use anstyle::Style;
use indexmap::IndexMap;

use super::phase_times::PhaseTimes;
use super::style::{Palette, paint};
use super::sweep::SweepLines;
use super::text;
use crate::event::{Activity, Event, Level, Losses, Metrics, RunStatus, StageId};
use crate::metric::{EpochSplit, MetricInfo, MetricTable};

/// From this many lines of one sort (reused, skipped) on, the rest is only counted.
pub(super) const LISTED: usize = 30;

/// About how many epoch lines of one training stay on a terminal.
const EPOCH_LINES: u32 = 20;

/// Columns of a stage's name beyond which it is cut on a terminal.
pub(super) const WIDEST_NAME: usize = 28;

/// For whom the lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A terminal of so many columns that also shows what is running.
    Terminal {
        /// Columns.
        width: usize,
    },
    /// A file or a pipe: nothing is cut, and each stage's start is told.
    Log,
}

/// Turns events into lines.
pub struct Narrator {
    palette: Palette,
    audience: Audience,
    name_width: usize,
    reused: usize,
    skipped: usize,
    epochs: HashMap<StageId, u32>,
    /// Where the time of running trainings went.
    times: HashMap<StageId, PhaseTimes>,
    /// Of stages that left out many samples, told again where the run ends.
    losses: IndexMap<String, Losses>,
    sweep: SweepLines,
    metrics: Arc<MetricTable>,
}

impl Narrator {
    /// A narrator for `audience` that lines up names of up to `longest_name` characters.
    pub fn new(palette: Palette, audience: Audience, longest_name: usize, metrics: Arc<MetricTable>) -> Self {
        Self {
            palette,
            audience,
            name_width: longest_name.clamp(8, WIDEST_NAME),
            reused: 0,
            skipped: 0,
            epochs: HashMap::new(),
            times: HashMap::new(),
            losses: IndexMap::new(),
            sweep: SweepLines::new(palette, matches!(audience, Audience::Terminal { .. })),
            metrics,
        }
    }

    /// Columns that a short name takes.
    pub fn name_width(&self) -> usize {
        self.name_width
    }

    /// Tells how wide the terminal is now.
    pub fn set_width(&mut self, columns: usize) {
        if let Audience::Terminal { width } = &mut self.audience {
            *width = columns;
        }
    }

    /// Adds the lines that tell `event`, if any, to `lines`.
    pub fn narrate(&mut self, event: &Event, lines: &mut Vec<String>) {
        let palette = self.palette;
        if let Event::StageReused { stage, metrics, .. } | Event::StageFinished { stage, metrics, .. } = event
            && let Some(losses) = Losses::of(metrics)
        {
            self.losses.insert(stage.stage().to_owned(), losses);
        }
        if self.sweep.hides(event) {
            return;
        }
        match event {
            // What is to be done has been said by whoever made the plan.
            Event::RunStarted { .. } => {}
            // That was told line by line.
            Event::StagePrinted { .. } => {}
            Event::StageReused {
                stage,
                artifact,
                metrics,
                ..
            } => {
                self.reused += 1;
                if self.reused <= LISTED {
                    let detail = self.detail(stage, metrics, &artifact.short());
                    lines.push(self.stage_line((palette.good, "✓"), stage, "reused", detail));
                }
            }
            Event::StageStarted {
                stage,
                kind,
                reason,
                attempt,
                ..
            } => {
                if self.audience == Audience::Log {
                    let attempt = match attempt {
                        0 | 1 => String::new(),
                        attempt => format!(" (attempt {attempt})"),
                    };
                    lines.push(self.stage_line(
                        (palette.dim, "·"),
                        stage,
                        kind,
                        vec![(0, format!("{reason}{attempt}"))],
                    ));
                }
            }
            Event::StageWaiting { stage } => {
                if self.audience == Audience::Log {
                    let detail = "for another process that makes the same result";
                    lines.push(self.stage_line(
                        (palette.dim, "·"),
                        stage,
                        "waits",
                        vec![(0, detail.to_owned())],
                    ));
                }
            }
            Event::StageActivity { stage, activity } => self.narrate_activity(stage, activity, lines),
            Event::StageFinished {
                stage,
                artifact,
                metrics,
                seconds,
                unchanged,
                peak_memory,
                ..
            } => {
                if let Some(times) = self.times.remove(stage) {
                    let parts = times.parts(*peak_memory);
                    if !parts.is_empty() {
                        lines.push(self.line_within(stage, parts));
                    }
                }
                let mut detail = self.detail(stage, metrics, &artifact.short());
                if *unchanged {
                    detail.push((9, "same result as before".to_owned()));
                }
                lines.push(self.stage_line((palette.good, "✓"), stage, &text::seconds(*seconds), detail));
            }
            Event::StageFailed {
                stage,
                error,
                log,
                tail,
                attempt,
                retrying,
            } => {
                let (mark, what) = if *retrying {
                    (
                        (palette.warning, "!"),
                        format!("attempt {attempt} failed, trying again"),
                    )
                } else {
                    ((palette.bad, "✗"), "failed".to_owned())
                };
                self.paragraph(mark, stage, &what, error, lines);
                if let Some(log) = log {
                    lines.push(format!(
                        "    {}",
                        paint(palette.dim, format!("log: {}", log.display()))
                    ));
                }
                for line in tail {
                    let bar = paint(palette.dim, "│");
                    lines.push(self.fit(&format!("    {bar} {}", text::printable(line))));
                }
            }
            Event::StageInterrupted { stage, kept } => {
                let detail = match kept {
                    true => "what it had done is kept",
                    false => "nothing of it is kept: it begins anew next time",
                };
                lines.push(self.stage_line(
                    (palette.warning, "!"),
                    stage,
                    "stopped",
                    vec![(0, detail.to_owned())],
                ));
            }
            Event::StageSkipped { stage, because } => {
                self.skipped += 1;
                if self.skipped <= LISTED {
                    let detail = format!("skipped: because of {because}");
                    lines.push(self.stage_line((palette.warning, "–"), stage, "", vec![(0, detail)]));
                }
            }
            Event::StagePaused { stage, epoch } => {
                let detail = format!("after epoch {epoch}; it can be continued");
                lines.push(self.stage_line((palette.dim, "·"), stage, "paused", vec![(0, detail)]));
            }
            Event::SweepStarted { .. }
            | Event::TrialStarted { .. }
            | Event::TrialFinished { .. }
            | Event::SweepFinished { .. } => {
                let room = self.room(0);
                self.sweep.narrate(event, room, lines);
            }
            Event::TableWritten { path, changed, .. } => {
                self.count_the_rest(lines);
                let what = if *changed { "written" } else { "unchanged" };
                lines.push(format!("{} {}  {what}", paint(palette.good, "→"), path.display()));
            }
            Event::Notice { level, message } => self.notice(None, *level, message, lines),
            Event::RunFinished {
                status,
                ran,
                reused,
                failed,
                skipped,
                seconds,
            } => {
                self.count_the_rest(lines);
                self.tell_losses(lines);
                let (style, verb) = match status {
                    RunStatus::Done => (palette.good, "done in"),
                    RunStatus::Failed => (palette.bad, "failed after"),
                    RunStatus::Interrupted => (palette.warning, "interrupted after"),
                };
                let mut line = format!(
                    "{} {}: {} ran, {} reused",
                    paint(style, verb),
                    text::seconds(*seconds),
                    text::count(*ran as u64),
                    text::count(*reused as u64)
                );
                for (number, what) in [(*failed, "failed"), (*skipped, "skipped")] {
                    if number > 0 {
                        line.push_str(&format!(", {} {what}", text::count(number as u64)));
                    }
                }
                lines.extend(text::wrap(&line, self.room(0)));
            }
        }
    }

    fn narrate_activity(&mut self, stage: &StageId, activity: &Activity, lines: &mut Vec<String>) {
        match activity {
            Activity::TrainingStarted {
                parameters,
                samples,
                epochs,
                threads,
                resumed_from,
                ..
            } => {
                self.epochs.insert(stage.clone(), *epochs);
                let mut parts = vec![
                    (0, format!("{} parameters", text::count(*parameters))),
                    (2, text::counted(*samples as usize, "sample")),
                    (3, text::counted(*epochs as usize, "epoch")),
                    (4, text::counted(*threads, "thread")),
                ];
                match resumed_from {
                    None => {}
                    Some((epoch, 0)) => parts.push((1, format!("continued after epoch {epoch}"))),
                    Some((epoch, batch)) => {
                        parts.push((1, format!("continued in epoch {} after batch {batch}", epoch + 1)));
                    }
                }
                lines.push(self.line_within(stage, parts));
            }
            Activity::EpochFinished {
                epoch,
                metrics,
                samples_per_second,
                seconds,
                phases,
            } => {
                let times = self.times.entry(stage.clone()).or_default();
                times.add(*phases, *seconds, *samples_per_second);
                let epochs = self.epochs.get(stage).copied().unwrap_or(*epoch);
                if self.shows_epoch(*epoch, epochs) {
                    let mut parts = self.epoch_parts(stage, (*epoch, epochs), metrics);
                    parts.push((6, format!("{}/s", text::rate(*samples_per_second))));
                    parts.push((5, text::seconds(*seconds)));
                    lines.push(self.line_within(stage, parts));
                }
            }
            Activity::Notice { level, message } => self.notice(Some(stage), *level, message, lines),
            Activity::Printed { passing: true, .. } => {}
            Activity::Printed {
                line,
                left_out,
                passing: false,
            } => {
                if *left_out > 0 {
                    let lines_left = text::counted(usize::try_from(*left_out).unwrap_or(usize::MAX), "line");
                    lines.push(
                        self.printed_line(stage, &format!("[... {lines_left} more, which the log has ...]")),
                    );
                }
                if !line.is_empty() || *left_out == 0 {
                    lines.push(self.printed_line(stage, line));
                }
            }
            Activity::Progress { .. }
            | Activity::BatchFinished { .. }
            | Activity::CheckpointWritten { .. } => {}
        }
    }

    /// Whether an epoch's line stays: all of them in a log, about [`EPOCH_LINES`] on a terminal.
    fn shows_epoch(&self, epoch: u32, epochs: u32) -> bool {
        let step = match self.audience {
            Audience::Log => 1,
            Audience::Terminal { .. } => epochs.div_ceil(EPOCH_LINES).max(1),
        };
        epoch == 1 || epoch.is_multiple_of(step) || epoch >= epochs
    }

    /// Lines for what was only counted so far.
    fn count_the_rest(&mut self, lines: &mut Vec<String>) {
        self.sweep.count_the_rest(lines);
        let rest = [
            (&mut self.reused, self.palette.good, "✓", "reused"),
            (&mut self.skipped, self.palette.warning, "–", "skipped"),
        ];
        for (number, style, mark, what) in rest {
            if *number > LISTED {
                let more = text::count((*number - LISTED) as u64);
                lines.push(format!("{} {more} more {what}", paint(style, mark)));
                *number = 0;
            }
        }
    }

    /// Lines for stages that left out many samples: what was told when it happened is far above by now.
    fn tell_losses(&self, lines: &mut Vec<String>) {
        for (stage, losses) in &self.losses {
            let message = format!(
                "{stage} left out {} of {} samples ({:.1} %)",
                text::count(losses.skipped as u64),
                text::count(losses.all as u64),
                losses.percent()
            );
            self.notice(None, Level::Warning, &message, lines);
        }
    }

    fn notice(&self, stage: Option<&StageId>, level: Level, message: &str, lines: &mut Vec<String>) {
        let (style, mark) = match level {
            Level::Info => (self.palette.dim, "·"),
            Level::Warning => (self.palette.warning, "!"),
        };
        match stage {
            Some(stage) => self.paragraph((style, mark), stage, "", message, lines),
            None => {
                for (index, line) in text::wrap(message, self.room(2)).iter().enumerate() {
                    let mark = if index == 0 {
                        paint(style, mark)
                    } else {
                        " ".to_owned()
                    };
                    lines.push(format!("{mark} {}", text::printable(line)));
                }
            }
        }
    }

    /// A stage's message of any length: nothing of it is cut. Its first line stands beside the name
    /// where there is room for it.
    fn paragraph(
        &self,
        (style, mark): (Style, &str),
        stage: &StageId,
        what: &str,
        message: &str,
        lines: &mut Vec<String>,
    ) {
        let name = self.name(stage);
        let head = format!("{} {}  ", paint(style, mark), paint(self.palette.name, &name));
        let beside = self.room(console::measure_text_width(&head) + what.len() + 2);
        let mut rest = message;
        let first = message.lines().next().unwrap_or_default();
        let mut line = format!("{head}{what}");
        if beside.is_none_or(|room| console::measure_text_width(first) <= room) {
            let colon = if what.is_empty() { "" } else { ": " };
            line.push_str(&format!("{colon}{}", text::printable(first)));
            rest = message.split_once('\n').map_or("", |(_, rest)| rest);
        }
        lines.push(line.trim_end().to_owned());
        let rows = text::wrap(rest, self.room(4));
        lines.extend(rows.iter().map(|row| format!("    {}", text::printable(row))));
    }

    fn stage_line(
        &self,
        (style, mark): (Style, &str),
        stage: &StageId,
        status: &str,
        detail: Vec<(u8, String)>,
    ) -> String {
        let mut line = format!(
            "{} {}  ",
            paint(style, mark),
            paint(self.palette.name, self.name(stage))
        );
        if !status.is_empty() {
            line.push_str(&format!("{status:<8}  "));
        }
        let detail = text::fitting(detail, self.room(console::measure_text_width(&line)));
        line.push_str(&text::printable(&detail));
        self.fit(line.trim_end())
    }

    fn line_within(&self, stage: &StageId, parts: Vec<(u8, String)>) -> String {
        let head = format!("  {}  ", self.name(stage));
        let parts = text::fitting(parts, self.room(console::measure_text_width(&head)));
        self.fit(&format!("{head}{}", paint(self.palette.dim, parts)))
    }

    /// A line that the stage's program printed.
    fn printed_line(&self, stage: &StageId, line: &str) -> String {
        let bar = paint(self.palette.dim, "│");
        let line = text::printable(line);
        self.fit(format!("  {}  {bar} {line}", self.name(stage)).trim_end())
    }

    /// A stage's name, as wide as the column.
    fn name(&self, stage: &StageId) -> String {
        let stage = text::printable(&stage.to_string());
        let stage = match self.audience {
            Audience::Terminal { width } => text::fit(&stage, Some(WIDEST_NAME.min(width / 2))),
            Audience::Log => stage,
        };
        let missing = self
            .name_width
            .saturating_sub(console::measure_text_width(&stage));
        format!("{stage}{}", " ".repeat(missing))
    }

    fn fit(&self, line: &str) -> String {
        text::fit(line, self.room(0))
    }

    /// The columns left after `used`, where lines are cut at all.
    fn room(&self, used: usize) -> Option<usize> {
        match self.audience {
            Audience::Terminal { width } => Some(width.saturating_sub(used).max(20)),
            Audience::Log => None,
        }
    }

    /// What is worth telling about a result: its metrics, or else its name.
    fn detail(&self, stage: &StageId, metrics: &Metrics, artifact: &str) -> Vec<(u8, String)> {
        if metrics.is_empty() {
            vec![(0, artifact.to_owned())]
        } else {
            text::metrics(stage.stage(), metrics, &self.metrics)
        }
    }

    /// An epoch and its figures: of the training samples, then of the validation split. What a model
    /// is judged by stays longest where there is little room, then the loss that it is trained with.
    fn epoch_parts(
        &self,
        stage: &StageId,
        (epoch, epochs): (u32, u32),
        metrics: &Metrics,
    ) -> Vec<(u8, String)> {
        let mut figures: Vec<_> = metrics
            .iter()
            .filter_map(|(name, value)| {
                let described = self.metrics.describe(stage.stage(), name)?;
                Some((described.split?, described.info, name, value))
            })
            .collect();
        figures.sort_by_key(|(split, info, ..)| (*split, info.name != MetricInfo::LOSS, info.rank));
        let digits = epochs.to_string().len();
        let mut parts = vec![(0, format!("epoch {epoch:>digits$}/{epochs}"))];
        for (split, info, name, value) in figures {
            let (rank, title) = match (split, info.name == MetricInfo::LOSS) {
                (EpochSplit::Val, false) => (1, name),
                (EpochSplit::Train, true) => (2, info.name.as_ref()),
                (EpochSplit::Val, true) => (3, name),
                (EpochSplit::Train, false) => (4, info.name.as_ref()),
            };
            let value = match value.number() {
                Some(value) => format!("{value:.4}"),
                None => value.to_string(),
            };
            parts.push((rank, format!("{} {value}", text::printable(title))));
        }
        parts
    }
}

//! A sweep as the lines that stay: one a trial.

use std::collections::{HashMap, HashSet};

use anstyle::Style;

use super::tally::TrialCounts;
use super::{SweepTally, TrialColumns, TrialValues, ranks, trial_of};
use crate::event::{Activity, Event, Level, TrialOutcome};
use crate::progress::narrator::LISTED;
use crate::progress::style::{Palette, paint};
use crate::progress::text;

/// How many different messages of trials' stages a terminal shows.
const MESSAGES: usize = 8;

/// How many trials of a Pareto front are listed.
const LISTED_FRONT: usize = 12;

/// Turns the events of a sweep into lines.
pub struct SweepLines {
    palette: Palette,
    terminal: bool,
    tally: SweepTally,
    columns: TrialColumns,
    listed: usize,
    failures: usize,
    rest: TrialCounts,
    stopped: HashMap<u32, bool>,
    messages: HashSet<(StageMessage, String)>,
    repeated: HashMap<StageMessage, usize>,
}

/// What a trial's stage may say that is worth a line of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum StageMessage {
    Failure,
    Retry,
    Warning,
    Info,
}

impl SweepLines {
    /// Lines for a terminal, where many are only counted, or for a log, which has all of them.
    pub fn new(palette: Palette, terminal: bool) -> Self {
        Self {
            palette,
            terminal,
            tally: SweepTally::default(),
            columns: if terminal {
                TrialColumns::default()
            } else {
                TrialColumns::whole()
            },
            listed: 0,
            failures: 0,
            rest: TrialCounts::default(),
            stopped: HashMap::new(),
            messages: HashSet::new(),
            repeated: HashMap::new(),
        }
    }

    /// Whether nothing is told of `event` as a stage's: it is about a trial's stage, and neither a
    /// failure nor a notice, or one that was told already.
    pub fn hides(&mut self, event: &Event) -> bool {
        if !self.tally.is_under_way() {
            return false;
        }
        let Some((_, trial)) = trial_of(event) else {
            return false;
        };
        match event {
            Event::StageFailed { error, retrying, .. } => {
                let message = if *retrying {
                    StageMessage::Retry
                } else {
                    StageMessage::Failure
                };
                !self.is_new(message, error)
            }
            Event::StageActivity {
                activity: Activity::Notice { level, message },
                ..
            } => {
                let sort = match level {
                    Level::Warning => StageMessage::Warning,
                    Level::Info => StageMessage::Info,
                };
                !self.is_new(sort, message)
            }
            Event::StageInterrupted { kept, .. } => {
                *self.stopped.entry(trial).or_insert(true) &= *kept;
                true
            }
            _ => true,
        }
    }

    /// Whether a message has not been told; otherwise it is counted. Two that differ in words with
    /// digits only (numbers, names of trials, paths of a stage's files) are the same.
    fn is_new(&mut self, sort: StageMessage, message: &str) -> bool {
        let words = message.lines().next().unwrap_or_default().split_whitespace();
        let words = words.map(|word| {
            if word.contains(|c: char| c.is_ascii_digit()) {
                "0"
            } else {
                word
            }
        });
        let words = words.collect::<Vec<_>>().join(" ");
        let full = self.terminal && self.messages.len() >= MESSAGES;
        let new = !full && self.messages.insert((sort, words));
        if !new {
            *self.repeated.entry(sort).or_default() += 1;
        }
        new
    }

    /// Adds the lines that tell `event`, of at most `room` columns, to `lines`.
    pub fn narrate(&mut self, event: &Event, room: Option<usize>, lines: &mut Vec<String>) {
        if let Event::TrialFinished {
            trial,
            values,
            outcome,
            best,
            seconds,
        } = event
        {
            self.tally.handle(event);
            if self.tally.was_known(*trial) {
                return;
            }
            self.columns.handle(event);
            if self.lists(outcome, *best) {
                lines.push(self.line(*trial, values, outcome, *best, *seconds, room));
            } else {
                self.rest.add(outcome);
            }
            return;
        }
        self.tally.handle(event);
        self.columns.handle(event);
        match event {
            Event::SweepStarted { known, .. } if *known > 0 => {
                let known = match self.tally.trials() {
                    Some(trials) => format!(
                        "{} of {}",
                        text::count(*known as u64),
                        text::counted(trials, "trial")
                    ),
                    None => text::counted(*known, "trial"),
                };
                lines.push(format!("{} {known} known already", paint(self.palette.good, "✓")));
            }
            Event::SweepFinished {
                done,
                pruned,
                failed,
                best,
            } => {
                self.count_the_rest(lines);
                let counts = TrialCounts {
                    done: *done,
                    pruned: *pruned,
                    failed: *failed,
                };
                lines.extend(text::wrap(&self.summary(counts, best), room));
            }
            _ => {}
        }
    }

    /// Whether a trial that ended has a line of its own.
    fn lists(&mut self, outcome: &TrialOutcome, best: bool) -> bool {
        let failed = matches!(outcome, TrialOutcome::Failed { .. });
        let listed = !self.terminal || best || self.listed < LISTED || (failed && self.failures < LISTED);
        self.listed += usize::from(listed);
        self.failures += usize::from(listed && failed);
        listed
    }

    fn line(
        &mut self,
        trial: u32,
        values: &TrialValues,
        outcome: &TrialOutcome,
        best: bool,
        seconds: f64,
        room: Option<usize>,
    ) -> String {
        let palette = self.palette;
        let (style, mark) = match outcome {
            TrialOutcome::Done { .. } if best => (palette.good, "★"),
            TrialOutcome::Done { .. } => (palette.good, "✓"),
            TrialOutcome::Pruned { .. } => (palette.warning, "✄"),
            TrialOutcome::Failed { .. } => (palette.bad, "✗"),
        };
        let head = format!("{} {}  ", paint(style, mark), self.columns.name(trial, &palette));
        let beside = room.map(|room| room.saturating_sub(width(&head)));
        let values = self.columns.values(values, &palette);
        let mut parts: Vec<(u8, String)> = ranks(10).zip(values).collect();
        match outcome {
            TrialOutcome::Done { .. } => {
                let figures = self.columns.figures(&self.tally, outcome, &palette);
                parts.extend(ranks(0).zip(figures));
                let time = match seconds {
                    0.0 => "known".to_owned(),
                    seconds => text::seconds(seconds),
                };
                parts.push((u8::MAX, format!("{time:<7}")));
                let word = if self.tally.has_front() {
                    "on the front"
                } else {
                    "best"
                };
                // Blank where it is not the best, so that the same columns fit in every line.
                let word = match best {
                    true => paint(palette.good, word),
                    false => " ".repeat(word.len()),
                };
                parts.push((u8::MAX - 1, word));
            }
            TrialOutcome::Pruned { epoch, value } => {
                let value = text::significant(*value, 4);
                parts.push((0, format!("stopped after epoch {epoch} at {value}")));
            }
            TrialOutcome::Failed { error } => {
                let error = text::printable(error.lines().next().unwrap_or_default());
                let message = format!("failed: {error}");
                // The values have what the message leaves, but half the line at least.
                let left = |room: usize| room.saturating_sub(width(&message) + 2).max(room / 2);
                let columns =
                    |parts: &[(u8, String)]| -> usize { parts.iter().map(|(_, text)| width(text) + 2).sum() };
                while beside.is_some_and(|beside| columns(&parts) > left(beside)) {
                    parts.pop();
                }
                let rest: Vec<String> = parts.into_iter().map(|(_, text)| text + "  ").collect();
                return text::fit(&format!("{head}{}{message}", rest.concat()), room);
            }
        }
        let line = format!("{head}{}", text::fitting(parts, beside));
        text::fit(line.trim_end(), room)
    }

    /// Lines for what was only counted so far.
    pub fn count_the_rest(&mut self, lines: &mut Vec<String>) {
        let palette = self.palette;
        let mut add = |style: Style, mark: &str, text: String| {
            lines.push(format!("{} {text}", paint(style, mark)));
        };
        let rest = std::mem::take(&mut self.rest);
        if rest.sum() > 0 {
            let noun = text::counted(rest.sum(), "more trial");
            add(palette.good, "✓", format!("{noun}: {}", sorts(rest)));
        }
        let repeated = std::mem::take(&mut self.repeated);
        for (sort, style, mark, noun, verb) in [
            (StageMessage::Failure, palette.bad, "✗", "more stage", " failed"),
            (
                StageMessage::Retry,
                palette.warning,
                "!",
                "more attempt",
                " failed",
            ),
            (StageMessage::Warning, palette.warning, "!", "more warning", ""),
        ] {
            if let Some(number) = repeated.get(&sort) {
                add(style, mark, format!("{}{verb}", text::counted(*number, noun)));
            }
        }
        let stopped = std::mem::take(&mut self.stopped);
        for (kept, what) in [
            (true, "what was done is kept"),
            (false, "nothing of what was under way is kept"),
        ] {
            let count = stopped.values().filter(|is_kept| **is_kept == kept).count();
            if count > 0 {
                let what = format!("{} stopped; {what}", text::counted(count, "trial"));
                add(palette.warning, "!", what);
            }
        }
    }

    /// `24 trials: 20 done, 3 pruned, 1 failed; best trial 12: lr 0.0316, width 64`.
    fn summary(&self, counts: TrialCounts, best: &[u32]) -> String {
        let palette = &self.palette;
        let style = match counts {
            TrialCounts {
                done: 0, failed: 1.., ..
            } => palette.bad,
            _ => palette.good,
        };
        let mut line = paint(style, text::counted(counts.sum(), "trial"));
        if counts.sum() > 0 {
            line.push_str(&format!(": {}", sorts(counts)));
        }
        match best {
            [] => {}
            front if self.tally.has_front() => {
                let numbers: Vec<String> = front.iter().take(LISTED_FRONT).map(u32::to_string).collect();
                let more = match front.len() - numbers.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let noun = if front.len() == 1 { "trial" } else { "trials" };
                line.push_str(&format!(
                    "; {} on the Pareto front: {noun} {}{more}",
                    front.len(),
                    numbers.join(", ")
                ));
            }
            [trial, ..] => {
                line.push_str(&format!("; best trial {trial}"));
                if let Some(best) = self.tally.best().iter().find(|best| best.trial == *trial) {
                    let values = self.columns.listed_values(&best.values, palette).join(", ");
                    let figures = self
                        .columns
                        .listed_figures(&self.tally, &best.outcome, palette)
                        .join(", ");
                    if !values.is_empty() {
                        line.push_str(&format!(": {values}"));
                    }
                    if !figures.is_empty() {
                        line.push_str(&format!(" ({figures})"));
                    }
                }
            }
        }
        line
    }
}

/// `20 done, 3 pruned, 1 failed`: of those sorts that there are.
fn sorts(counts: TrialCounts) -> String {
    let sorts = [
        (counts.done, "done"),
        (counts.pruned, "pruned"),
        (counts.failed, "failed"),
    ];
    let texts = sorts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, sort)| format!("{} {sort}", text::count(*number as u64)));
    texts.collect::<Vec<_>>().join(", ")
}

fn width(text: &str) -> usize {
    console::measure_text_width(text)
}

//! The values and figures of trials, short and one below the other.

use indexmap::IndexMap;
use serde_json::Value;

use super::{SweepTally, TrialValues};
use crate::event::{Event, TrialOutcome, value_text};
use crate::progress::style::{Palette, paint};
use crate::progress::text;

/// Columns of a name or of a value beyond which it is cut on a terminal.
const WIDEST: usize = 24;

/// Columns beyond which a single long text does not widen those of all trials.
const WIDEST_CELL: usize = 36;

/// Columns of most numbers with four digits, such as `0.03162`: kept free from the first on.
const NUMBER: usize = 7;

/// How wide each column has been so far.
#[derive(Default)]
pub struct TrialColumns {
    whole: bool,
    number: usize,
    values: IndexMap<String, usize>,
    figures: Vec<usize>,
}

impl TrialColumns {
    /// No columns yet; nothing is ever cut.
    pub fn whole() -> Self {
        Self {
            whole: true,
            ..Self::default()
        }
    }

    /// Takes note of the width of what `event` tells of.
    pub fn handle(&mut self, event: &Event) {
        match event {
            Event::SweepStarted { trials, .. } => {
                self.number = trials.map_or(1, |trials| trials.to_string().len());
            }
            Event::TrialStarted { trial, values, .. } | Event::TrialFinished { trial, values, .. } => {
                self.number = self.number.max(trial.to_string().len());
                for (name, value) in values {
                    let cell = console::measure_text_width(&self.value(name, value, &Palette::plain()));
                    let least = match value.is_f64() {
                        true => console::measure_text_width(&self.cut(name)) + 1 + NUMBER,
                        false => 0,
                    };
                    let column = self.values.entry(name.clone()).or_default();
                    *column = (*column).max(cell.min(WIDEST_CELL)).max(least);
                }
            }
            _ => {}
        }
    }

    /// `trial 7`, as wide as all of them.
    pub fn name(&self, trial: u32, palette: &Palette) -> String {
        let name = format!("trial {trial:<width$}", width = self.number);
        paint(palette.name, name)
    }

    /// `lr 0.03162`, `width 64`: a cell for every parameter, blank where the trial has none.
    pub fn values(&self, values: &TrialValues, palette: &Palette) -> Vec<String> {
        let cells = self.values.iter().map(|(name, width)| {
            let cell = values.get(name).map(|value| self.value(name, value, palette));
            text::padded(&cell.unwrap_or_default(), *width)
        });
        cells.collect()
    }

    /// The same for a sentence: nothing is lined up, and no cell is blank.
    pub fn listed_values(&self, values: &TrialValues, palette: &Palette) -> Vec<String> {
        let texts = values
            .iter()
            .map(|(name, value)| self.value(name, value, palette));
        texts.collect()
    }

    /// `val_accuracy 0.9844 ± 0.0021`: a cell for every objective, as wide as all of them.
    pub fn figures(&mut self, tally: &SweepTally, outcome: &TrialOutcome, palette: &Palette) -> Vec<String> {
        let mut cells = self.listed_figures(tally, outcome, palette);
        self.figures.resize(self.figures.len().max(cells.len()), 0);
        for (cell, width) in cells.iter_mut().zip(&mut self.figures) {
            *width = (*width).max(console::measure_text_width(cell));
            *cell = text::padded(cell, *width);
        }
        cells
    }

    /// The same for a sentence.
    pub fn listed_figures(
        &self,
        tally: &SweepTally,
        outcome: &TrialOutcome,
        palette: &Palette,
    ) -> Vec<String> {
        let TrialOutcome::Done {
            objectives,
            deviations,
        } = outcome
        else {
            return Vec::new();
        };
        let deviations = deviations.iter().copied().chain(std::iter::repeat(None));
        let figures = tally.labels().zip(objectives).zip(deviations);
        let texts = figures.map(|((label, value), deviation)| {
            let value = text::significant(*value, 4);
            let deviation = deviation.map(|deviation| format!(" ± {}", text::significant(deviation, 2)));
            self.cell(
                label,
                &format!("{value}{}", deviation.unwrap_or_default()),
                palette,
            )
        });
        texts.collect()
    }

    fn value(&self, name: &str, value: &Value, palette: &Palette) -> String {
        let value = match value {
            Value::String(value) if value.is_empty() => "\"\"".to_owned(),
            Value::String(value) => value.clone(),
            value => match value.as_f64().filter(|_| value.is_f64()) {
                Some(number) => text::significant(number, 4),
                None => value_text(value),
            },
        };
        self.cell(name, &self.cut(&value), palette)
    }

    /// A value behind its name.
    pub fn cell(&self, name: &str, value: &str, palette: &Palette) -> String {
        format!("{} {value}", paint(palette.dim, self.cut(name)))
    }

    fn cut(&self, name: &str) -> String {
        let name = text::printable(name);
        text::fit(&name, (!self.whole).then_some(WIDEST))
    }
}

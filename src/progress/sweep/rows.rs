//! A sweep in the live block: how far it is, the best trial so far, and the trials that run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indexmap::IndexMap;

use super::{BestTrial, SweepTally, TrialColumns, TrialValues, ranks, trial_of};
use crate::event::{Activity, Event, StageId, TrialOutcome};
use crate::metric::{MetricInfo, MetricTable};
use crate::progress::row::{RowPart, compose};
use crate::progress::running::{Doing, RunningStage, Stages, spinner, time_left};
use crate::progress::sparkline::{Curve, Scales};
use crate::progress::style::{Palette, paint};
use crate::progress::text;

/// Columns of the terminal from which on there is room for the names of figures.
const WIDE: usize = 80;

/// The part of the live block that is about the sweep.
#[derive(Default)]
pub struct SweepRows {
    tally: SweepTally,
    columns: TrialColumns,
    replicates: u32,
    trials: IndexMap<u32, RunningTrial>,
    pruned: HashMap<u32, Curves>,
    most_at_once: usize,
    seconds: f64,
    timed: usize,
    scales: Scales,
    metrics: Arc<MetricTable>,
}

/// The curves of a trial's stages.
type Curves = HashMap<StageId, Curve>;

/// A trial that runs, or that is paused and may go on.
struct RunningTrial {
    values: TrialValues,
    since: Instant,
    paused: bool,
    stages: Stages,
    curves: Curves,
}

impl SweepRows {
    /// No sweep yet; figures are what `metrics` says.
    pub fn new(metrics: Arc<MetricTable>) -> Self {
        Self {
            metrics,
            ..Self::default()
        }
    }

    /// Takes note of `event`, which happened at `now`; says whether it is about the sweep alone.
    pub fn handle(&mut self, event: &Event, now: Instant) -> bool {
        self.tally.handle(event);
        self.columns.handle(event);
        match event {
            Event::SweepStarted { replicates, .. } => {
                self.replicates = *replicates;
                self.trials.clear();
            }
            Event::TrialStarted { trial, values, .. } => {
                let paused = self.trials.shift_remove(trial).map(|trial| trial.curves);
                let curves = paused.or_else(|| self.pruned.remove(trial));
                let begun = RunningTrial {
                    values: values.clone(),
                    since: now,
                    paused: false,
                    stages: Stages::default(),
                    curves: curves.unwrap_or_default(),
                };
                self.trials.insert(*trial, begun);
                self.most_at_once = self.most_at_once.max(self.running());
            }
            Event::TrialFinished {
                trial,
                outcome,
                seconds,
                ..
            } => {
                let ended = self.trials.shift_remove(trial);
                // One that did well after all goes on where it stood.
                if let (Some(ended), TrialOutcome::Pruned { .. }) = (ended, outcome) {
                    self.pruned.insert(*trial, ended.curves);
                }
                // What was known takes no time, and what is still to come is not known.
                if *seconds > 0.0 {
                    self.seconds += seconds;
                    self.timed += 1;
                }
            }
            Event::SweepFinished { .. } => self.trials.clear(),
            _ => return self.handle_stage(event, now),
        }
        true
    }

    fn handle_stage(&mut self, event: &Event, now: Instant) -> bool {
        if !self.tally.is_under_way() {
            return false;
        }
        let Some((stage, number)) = trial_of(event) else {
            return false;
        };
        // A replicate may outlive its trial for a moment.
        let Some(trial) = self.trials.get_mut(&number) else {
            return true;
        };
        trial.stages.handle(event, now, &self.metrics);
        match event {
            Event::StageStarted { .. } => trial.paused = false,
            Event::StagePaused { .. } => trial.paused = trial.stages.as_slice().is_empty(),
            Event::StageActivity {
                activity: Activity::EpochFinished { epoch, metrics, .. },
                ..
            } => {
                let mut objectives = self.tally.labels();
                let preferred = objectives.find(|label| metrics.get(label).is_some());
                let curve = trial.curves.entry(stage.clone()).or_default();
                curve.push(stage.stage(), *epoch, metrics, preferred, &self.metrics);
                self.scales.take(curve);
            }
            _ => {}
        }
        true
    }

    /// Whether a sweep has begun.
    pub fn is_under_way(&self) -> bool {
        self.tally.is_under_way()
    }

    /// How many trials run.
    pub fn running(&self) -> usize {
        self.trials.values().filter(|trial| !trial.paused).count()
    }

    /// How far the sweep is; `hidden` trials and stages run that no row shows.
    pub fn headline(
        &self,
        now: Instant,
        elapsed: Duration,
        hidden: usize,
        width: usize,
        palette: &Palette,
    ) -> String {
        let ended = self.tally.ended();
        let count = text::count(ended as u64);
        let (share, progress) = match self.tally.trials() {
            Some(trials) => (
                Some(ended as f64 / (trials as f64).max(1.0)),
                format!("{count} of {}", text::counted(trials, "trial")),
            ),
            None => (None, format!("{} ended", text::counted(ended, "trial"))),
        };
        let paused = self.trials.len() - self.running();
        let counted = |number: usize, what: &str| match number {
            0 => String::new(),
            number => format!("{} {what}", text::count(number as u64)),
        };
        let counts = self.tally.counts();
        let failed = counted(counts.failed, "failed");
        let parts = vec![
            RowPart::bar(4, share),
            RowPart::text(0, progress),
            RowPart::text(
                2,
                if failed.is_empty() {
                    failed
                } else {
                    paint(palette.bad, failed)
                },
            ),
            RowPart::text(6, counted(counts.pruned, "pruned")),
            RowPart::text(7, counted(paused, "paused")),
            RowPart::text(3, counted(hidden, "more running")),
            RowPart::text(5, text::whole_seconds(elapsed.as_secs_f64())),
            RowPart::text(1, self.left(now).map(time_left).unwrap_or_default()),
        ];
        compose(String::new(), parts, width, palette)
    }

    /// Seconds that the trials to come will take, if they are like those that ended in this call
    /// and as many run at once as did so far.
    fn left(&self, now: Instant) -> Option<f64> {
        let left = self.tally.trials()?.checked_sub(self.tally.ended())?;
        if self.timed == 0 || left == 0 {
            return None;
        }
        let mean = self.seconds / self.timed as f64;
        let running = self.trials.values().filter(|trial| !trial.paused);
        let rests: Vec<f64> = running
            .map(|trial| (mean - (now - trial.since).as_secs_f64()).max(0.0))
            .collect();
        // Most of those that are paused never go on.
        let waiting = left.saturating_sub(self.trials.len()) as f64 * mean;
        let lanes = self.most_at_once.clamp(1, left) as f64;
        let longest = rests.iter().copied().fold(0.0, f64::max);
        Some(((waiting + rests.iter().sum::<f64>()) / lanes).max(longest))
    }

    /// The best trial so far, where there is one.
    pub fn best_row(&self, width: usize, palette: &Palette) -> Option<String> {
        let BestTrial {
            trial,
            values,
            outcome,
        } = self.tally.best().last()?;
        let front = self
            .tally
            .front()
            .map(|front| format!("{front} on the Pareto front"));
        let head = format!(
            "{} {}",
            paint(palette.good, "★"),
            self.columns.name(*trial, palette)
        );
        let mut parts = self.value_parts(values, palette);
        let figures = self.columns.listed_figures(&self.tally, outcome, palette);
        parts.extend(
            ranks(0)
                .zip(figures)
                .map(|(rank, figure)| RowPart::text(rank, figure)),
        );
        parts.push(RowPart::text(20, front.unwrap_or_default()));
        Some(compose(head, parts, width, palette))
    }

    /// A row for each of the first `most` trials that run.
    pub fn trial_rows(&self, most: usize, now: Instant, width: usize, palette: &Palette) -> Vec<String> {
        let running = self.trials.iter().filter(|(_, trial)| !trial.paused);
        let rows = running
            .take(most)
            .map(|(number, trial)| self.row(*number, trial, now, width, palette));
        rows.collect()
    }

    fn row(
        &self,
        number: u32,
        trial: &RunningTrial,
        now: Instant,
        width: usize,
        palette: &Palette,
    ) -> String {
        let head = format!(
            "{} {}",
            spinner(trial.since, now, palette),
            self.columns.name(number, palette)
        );
        let mut parts = self.value_parts(&trial.values, palette);
        match trial.shown() {
            Some(stage) => parts.extend(self.stage_parts(trial, stage, now, width, palette)),
            None => parts.push(RowPart::text(0, paint(palette.dim, "waits"))),
        }
        compose(head, parts, width, palette)
    }

    /// The values leave a row from the last on; the first ones stay longer than what is less telling.
    fn value_parts(&self, values: &TrialValues, palette: &Palette) -> Vec<RowPart> {
        let cells = self.columns.values(values, palette);
        let ranks = [8, 9, 10].into_iter().chain(ranks(30));
        let parts = ranks.zip(cells).map(|(rank, cell)| RowPart::text(rank, cell));
        parts.collect()
    }

    fn stage_parts(
        &self,
        trial: &RunningTrial,
        stage: &RunningStage,
        now: Instant,
        width: usize,
        palette: &Palette,
    ) -> Vec<RowPart> {
        // A stage that has told nothing has nothing but its name to show.
        let starting = matches!(stage.doing, Doing::Starting { .. });
        let mut parts = vec![RowPart::text(
            if starting { 0 } else { 11 },
            text::printable(stage.stage.stage()),
        )];
        if let Some(replicate) = stage.stage.replicate().filter(|_| self.replicates > 1) {
            parts.push(RowPart::text(12, format!("seed {replicate}/{}", self.replicates)));
        }
        let more = trial.stages.as_slice().len() - 1;
        if more > 0 {
            parts.push(RowPart::text(13, format!("+{more}")));
        }
        let training = match &stage.doing {
            Doing::Training(training) => training,
            Doing::Starting { .. } => {
                parts.push(RowPart::text(1, stage.elapsed(now)));
                return parts;
            }
            Doing::Waiting | Doing::Task { .. } => {
                parts.extend(stage.parts(now, palette));
                return parts;
            }
        };
        parts.push(RowPart::text(0, training.epoch_text()));
        let batches = training.batches.to_string().len();
        parts.push(RowPart::text(
            40,
            format!("{:>batches$}/{}", training.batch, training.batches),
        ));
        let columns = match width {
            0..WIDE => 8,
            WIDE..120 => 12,
            _ => 20,
        };
        let curve = trial
            .curves
            .get(&stage.stage)
            .filter(|curve| curve.last().is_some());
        match curve.and_then(|curve| Some((curve, curve.last()?))) {
            Some((curve, (metric, value))) => {
                let drawn = curve.draw(training.epochs, columns, &self.scales);
                parts.push(RowPart::text(2, paint(palette.bar, drawn)));
                parts.push(self.figure(metric, value, width, palette));
            }
            None => {
                if let Some(loss) = training.loss {
                    parts.push(self.figure(MetricInfo::LOSS, loss, width, palette));
                }
            }
        }
        parts
    }

    /// A figure that changes before the eye keeps its number of decimals.
    fn figure(&self, name: &str, value: f64, width: usize, palette: &Palette) -> RowPart {
        let value = format!("{value:.4}");
        RowPart::text(
            1,
            match width {
                0..WIDE => value,
                _ => self.columns.cell(name, &value, palette),
            },
        )
    }
}

impl RunningTrial {
    /// The stage whose row stands for the trial: the first training, or else the first stage.
    fn shown(&self) -> Option<&RunningStage> {
        let stages = self.stages.as_slice();
        let training = stages
            .iter()
            .find(|stage| matches!(stage.doing, Doing::Training(_)));
        training.or_else(|| stages.first())
    }
}

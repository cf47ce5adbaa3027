//! The stages that run: what each does at the moment, and its row in the live block.

use std::time::Instant;

use super::row::{RowPart, compose};
use super::style::{Palette, paint};
use super::text;
use crate::event::{Activity, Event, MetricValue, Metrics, StageId, Unit};
use crate::metric::{EpochSplit, MetricInfo, MetricTable};

/// The stages that run, in the order of their starts.
#[derive(Default)]
pub(super) struct Stages(Vec<RunningStage>);

/// A stage that runs.
pub(super) struct RunningStage {
    /// Which it is.
    pub stage: StageId,
    since: Instant,
    /// What it does.
    pub doing: Doing,
}

/// What a stage does at the moment.
pub(super) enum Doing {
    /// It has told nothing yet.
    Starting {
        /// The stage's kind.
        kind: String,
        /// Why it runs, or what its program printed last.
        reason: String,
    },
    /// Another process makes the same result.
    Waiting,
    /// A countable task.
    Task {
        /// What is being done.
        task: String,
        /// How much is done.
        done: u64,
        /// How much there is, where known.
        total: Option<u64>,
        /// What is counted.
        unit: Unit,
        /// How much was done when it was first told of.
        first: u64,
        /// When that was.
        since: Instant,
    },
    /// The epochs of a training.
    Training(ShownTraining),
}

/// How far a training is.
pub(super) struct ShownTraining {
    /// Epochs in all.
    pub epochs: u32,
    /// Micro-batches an epoch.
    pub batches: u32,
    epoch: u32,
    /// Finished micro-batches of the current epoch.
    pub batch: u32,
    first: f64,
    since: Instant,
    /// The mean training loss of the epoch under way, or of the one that has just ended.
    pub loss: Option<f64>,
    /// The figure of the epoch that ended last which says most beside the loss: its own name, its value,
    /// and the epoch.
    score: Option<(String, MetricValue, u32)>,
    speed: f64,
}

impl Stages {
    /// Takes note of what `event` tells about a stage; other events change nothing.
    pub fn handle(&mut self, event: &Event, now: Instant, known: &MetricTable) {
        match event {
            Event::StageStarted {
                stage, kind, reason, ..
            } => {
                let (kind, reason) = (text::printable(kind), text::printable(reason));
                *self.running(stage, now) = RunningStage {
                    stage: stage.clone(),
                    since: now,
                    doing: Doing::Starting { kind, reason },
                };
            }
            Event::StageWaiting { stage } => self.running(stage, now).doing = Doing::Waiting,
            Event::StageActivity { stage, activity } => self.running(stage, now).handle(activity, now, known),
            Event::StageReused { stage, .. }
            | Event::StageFinished { stage, .. }
            | Event::StageFailed { stage, .. }
            | Event::StageInterrupted { stage, .. }
            | Event::StageSkipped { stage, .. }
            | Event::StagePaused { stage, .. } => {
                self.0.retain(|running| running.stage != *stage);
            }
            Event::StagePrinted { .. }
            | Event::RunStarted { .. }
            | Event::SweepStarted { .. }
            | Event::TrialStarted { .. }
            | Event::TrialFinished { .. }
            | Event::SweepFinished { .. }
            | Event::TableWritten { .. }
            | Event::Notice { .. }
            | Event::RunFinished { .. } => {}
        }
    }

    fn running(&mut self, stage: &StageId, now: Instant) -> &mut RunningStage {
        let index = self.0.iter().position(|running| running.stage == *stage);
        let index = index.unwrap_or_else(|| {
            let doing = Doing::Starting {
                kind: String::new(),
                reason: String::new(),
            };
            self.0.push(RunningStage {
                stage: stage.clone(),
                since: now,
                doing,
            });
            self.0.len() - 1
        });
        &mut self.0[index]
    }

    /// The stages.
    pub fn as_slice(&self) -> &[RunningStage] {
        &self.0
    }
}

impl RunningStage {
    /// Its name, fit to print.
    pub fn name(&self) -> String {
        text::printable(&self.stage.to_string())
    }

    fn handle(&mut self, activity: &Activity, now: Instant, known: &MetricTable) {
        match activity {
            Activity::Progress {
                task,
                done,
                total,
                unit,
            } => {
                if let Doing::Training(_) = self.doing {
                    return;
                }
                let (first, since) = match &self.doing {
                    Doing::Task {
                        task: old,
                        first,
                        since,
                        done: before,
                        ..
                    } if old == task && before <= done => (*first, *since),
                    _ => (*done, now),
                };
                let task = text::printable(task);
                self.doing = Doing::Task {
                    task,
                    done: *done,
                    total: *total,
                    unit: *unit,
                    first,
                    since,
                };
            }
            Activity::TrainingStarted {
                epochs,
                batches,
                resumed_from,
                ..
            } => {
                let (epoch, batch) = resumed_from.unwrap_or((0, 0));
                let mut training = ShownTraining {
                    epochs: *epochs,
                    batches: *batches,
                    epoch,
                    batch,
                    first: 0.0,
                    since: now,
                    loss: None,
                    score: None,
                    speed: 0.0,
                };
                training.first = training.position();
                self.doing = Doing::Training(training);
            }
            Activity::BatchFinished {
                epoch,
                batch,
                loss,
                samples_per_second,
            } => {
                if let Doing::Training(training) = &mut self.doing {
                    training.epoch = epoch.saturating_sub(1);
                    training.batch = *batch;
                    training.loss = Some(*loss);
                    training.speed = *samples_per_second;
                }
            }
            Activity::EpochFinished {
                epoch,
                metrics,
                samples_per_second,
                ..
            } => {
                if let Doing::Training(training) = &mut self.doing {
                    training.epoch = *epoch;
                    training.batch = 0;
                    let loss = EpochSplit::Train.column(MetricInfo::LOSS);
                    training.loss = metrics.number(&loss).or(training.loss);
                    let score = score(self.stage.stage(), metrics, known);
                    training.score = score.map(|(name, value)| (name, value, *epoch));
                    training.speed = *samples_per_second;
                }
            }
            Activity::Printed { line, .. } => {
                if let Doing::Starting { reason, .. } = &mut self.doing
                    && !line.trim().is_empty()
                {
                    *reason = text::printable(line.trim());
                }
            }
            Activity::CheckpointWritten { .. } | Activity::Notice { .. } => {}
        }
    }

    /// Its row at `now`, with its name in `names` columns.
    pub fn row(&self, now: Instant, width: usize, names: usize, palette: &Palette) -> String {
        let name = text::fit(&self.name(), Some(names));
        let padding = " ".repeat(names - console::measure_text_width(&name));
        let head = format!(
            "{} {}{padding}",
            spinner(self.since, now, palette),
            paint(palette.name, name)
        );
        compose(head, self.parts(now, palette), width, palette)
    }

    /// How long it has run, or waited: `12 s`.
    pub fn elapsed(&self, now: Instant) -> String {
        text::whole_seconds((now - self.since).as_secs_f64())
    }

    /// What its row says behind the name.
    pub fn parts(&self, now: Instant, palette: &Palette) -> Vec<RowPart> {
        match &self.doing {
            Doing::Starting { kind, reason } => vec![
                RowPart::text(0, kind.clone()),
                RowPart::text(1, self.elapsed(now)),
                RowPart::text(2, paint(palette.dim, reason)),
            ],
            Doing::Waiting => vec![
                RowPart::text(0, "waits for another process".to_owned()),
                RowPart::text(1, self.elapsed(now)),
            ],
            Doing::Task {
                task,
                done,
                total,
                unit,
                first,
                since,
            } => {
                let speed = (done - first) as f64 / (now - *since).as_secs_f64().max(1e-9);
                let known = now - *since >= std::time::Duration::from_millis(500) && done > first;
                let left = total
                    .filter(|_| known)
                    .map(|total| total.saturating_sub(*done) as f64 / speed);
                vec![
                    RowPart::text(4, task.clone()),
                    RowPart::bar(1, total.map(|total| *done as f64 / (total as f64).max(1.0))),
                    RowPart::text(0, amount(*done, *total, *unit)),
                    RowPart::text(
                        2,
                        if known {
                            speed_text(speed, *unit)
                        } else {
                            String::new()
                        },
                    ),
                    RowPart::text(3, left.map(time_left).unwrap_or_default()),
                ]
            }
            Doing::Training(training) => training.parts(now),
        }
    }
}

/// The mark of something that runs since `since`, as it looks at `now`.
pub(super) fn spinner(since: Instant, now: Instant, palette: &Palette) -> String {
    let frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
    let frame = frames[((now - since).as_millis() / 100) as usize % frames.len()];
    paint(palette.bar, frame)
}

impl ShownTraining {
    /// How much of the whole training is done, from 0 to 1.
    fn position(&self) -> f64 {
        let within = f64::from(self.batch) / f64::from(self.batches.max(1));
        ((f64::from(self.epoch) + within) / f64::from(self.epochs.max(1))).clamp(0.0, 1.0)
    }

    /// The epoch that is under way: `epoch  3/20`.
    pub fn epoch_text(&self) -> String {
        let current = (self.epoch + 1).min(self.epochs);
        let digits = self.epochs.to_string().len();
        format!("epoch {current:>digits$}/{}", self.epochs)
    }

    fn parts(&self, now: Instant) -> Vec<RowPart> {
        let position = self.position();
        let elapsed = (now - self.since).as_secs_f64();
        let left = (position > self.first && elapsed >= 0.5)
            .then(|| elapsed * (1.0 - position) / (position - self.first));
        let batches = self.batches.to_string().len();
        // Between two epochs, figures are those of the one that ended: beside the number of the next they say so.
        let ended = (self.batch == 0 && self.epoch < self.epochs).then_some(self.epoch);
        let loss = self
            .loss
            .map(|loss| labelled(MetricInfo::LOSS, loss.into(), ended));
        let score = self.score.as_ref().map(|(name, value, epoch)| {
            let told = (*epoch < self.epochs).then_some(*epoch);
            labelled(name, *value, told)
        });
        vec![
            RowPart::text(0, self.epoch_text()),
            RowPart::bar(4, Some(position)),
            RowPart::text(6, format!("{:>batches$}/{}", self.batch, self.batches)),
            RowPart::text(1, loss.unwrap_or_default()),
            RowPart::text(3, score.unwrap_or_default()),
            RowPart::text(
                5,
                if self.speed > 0.0 {
                    format!("{:>5}/s", text::rate(self.speed))
                } else {
                    String::new()
                },
            ),
            RowPart::text(2, left.map(time_left).unwrap_or_default()),
        ]
    }
}

/// `val_accuracy 0.9125`, and of which epoch it is where that is not the one that is shown.
fn labelled(name: &str, value: MetricValue, epoch: Option<u32>) -> String {
    let name = text::printable(name);
    let value = match value.number() {
        Some(value) => format!("{value:.4}"),
        None => value.to_string(),
    };
    match epoch {
        Some(epoch) => format!("{name} {value} (epoch {epoch})"),
        None => format!("{name} {value}"),
    }
}

/// What says most of an epoch beside the loss, under its own name: `val_accuracy`.
fn score(stage: &str, metrics: &Metrics, known: &MetricTable) -> Option<(String, MetricValue)> {
    let names = known.most_telling(stage, metrics.names());
    names.into_iter().find_map(|name| {
        let described = known.describe(stage, name)?;
        let is_score = described.split.is_some() && described.info.name != MetricInfo::LOSS;
        let value = metrics.get(name)?;
        is_score.then(|| (name.to_owned(), value))
    })
}

/// `12 s left`.
pub(super) fn time_left(seconds: f64) -> String {
    format!("{} left", text::whole_seconds(seconds))
}

fn amount(done: u64, total: Option<u64>, unit: Unit) -> String {
    let (noun, number): (_, fn(u64) -> String) = match unit {
        Unit::Bytes => ("", |bytes| text::bytes(bytes as f64)),
        Unit::Files => (" files", text::count),
        Unit::Samples => (" samples", text::count),
    };
    match total {
        Some(total) if unit == Unit::Bytes => text::bytes_of(done, total),
        Some(total) => {
            let total = number(total);
            format!("{:>width$}/{total}{noun}", number(done), width = total.len())
        }
        None => format!("{}{noun}", number(done)),
    }
}

fn speed_text(speed: f64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => format!("{}/s", text::bytes(speed)),
        Unit::Files | Unit::Samples => format!("{}/s", text::rate(speed)),
    }
}

//! What is running now, as the rows of the display's live block.

use std::time::Instant;

use super::narrator::WIDEST_NAME;
use super::row::{Part, compose};
use super::style::{Palette, paint};
use super::text;
use crate::event::{Activity, Event, Metrics, Unit};

/// Most stages shown at once; the rest is counted.
const MOST_ROWS: usize = 8;

/// The stages that run at the moment.
pub struct Live {
    started: Instant,
    names: usize,
    total: usize,
    done: usize,
    running: Vec<Running>,
}

struct Running {
    stage: String,
    since: Instant,
    doing: Doing,
}

enum Doing {
    Starting {
        kind: String,
        reason: String,
    },
    Waiting,
    Task {
        task: String,
        done: u64,
        total: Option<u64>,
        unit: Unit,
        first: u64,
        since: Instant,
    },
    Training(Training),
}

struct Training {
    epochs: u32,
    batches: u32,
    epoch: u32,
    batch: u32,
    first: f64,
    since: Instant,
    loss: Option<f64>,
    accuracy: Option<f64>,
    speed: f64,
}

impl Live {
    /// Nothing runs yet. Where there is room, names take `names` columns.
    pub fn new(now: Instant, names: usize) -> Self {
        Self {
            started: now,
            names,
            total: 0,
            done: 0,
            running: Vec::new(),
        }
    }

    /// Takes note of `event`, which happened at `now`.
    pub fn take(&mut self, event: &Event, now: Instant) {
        match event {
            Event::RunStarted { stages, .. } => self.total = *stages,
            Event::StageStarted {
                stage, kind, reason, ..
            } => {
                let (kind, reason) = (text::printable(kind), text::printable(reason));
                *self.running(stage, now) = Running {
                    stage: text::printable(stage),
                    since: now,
                    doing: Doing::Starting { kind, reason },
                };
            }
            Event::StageWaiting { stage } => self.running(stage, now).doing = Doing::Waiting,
            Event::StageActivity { stage, activity } => self.running(stage, now).take(activity, now),
            Event::StageReused { stage, .. }
            | Event::StageFinished { stage, .. }
            | Event::StageFailed {
                stage,
                retrying: false,
                ..
            }
            | Event::StageInterrupted { stage }
            | Event::StageSkipped { stage, .. } => {
                self.done += 1;
                self.remove(stage);
            }
            Event::StageFailed {
                stage,
                retrying: true,
                ..
            } => self.remove(stage),
            Event::StagePaused { stage, .. } => self.remove(stage),
            Event::SweepStarted { .. }
            | Event::TrialStarted { .. }
            | Event::TrialFinished { .. }
            | Event::SweepFinished { .. }
            | Event::TableWritten { .. }
            | Event::Notice { .. }
            | Event::RunFinished { .. } => {}
        }
    }

    fn running(&mut self, stage: &str, now: Instant) -> &mut Running {
        let stage = text::printable(stage);
        let index = self.running.iter().position(|running| running.stage == stage);
        let index = index.unwrap_or_else(|| {
            let doing = Doing::Starting {
                kind: String::new(),
                reason: String::new(),
            };
            self.running.push(Running {
                stage,
                since: now,
                doing,
            });
            self.running.len() - 1
        });
        &mut self.running[index]
    }

    fn remove(&mut self, stage: &str) {
        let stage = text::printable(stage);
        self.running.retain(|running| running.stage != stage);
    }

    /// The rows as they are at `now`: the running stages, then the whole run. At most `height` rows
    /// of at most `width` columns.
    pub fn rows(&self, now: Instant, width: usize, height: usize, palette: &Palette) -> Vec<String> {
        let most = MOST_ROWS.min(height.saturating_sub(2)).max(1);
        let shown = &self.running[..self.running.len().min(most)];
        let names = shown
            .iter()
            .map(|running| console::measure_text_width(&running.stage));
        let longest = names.max().unwrap_or(0);
        let names = match width {
            0..80 => longest.min((width / 4).max(8)),
            _ => self.names.max(longest.min(WIDEST_NAME)),
        };
        let mut rows: Vec<String> = shown
            .iter()
            .map(|running| running.row(now, width, names, palette))
            .collect();

        let mut line = format!(
            "  {} of {}",
            text::count(self.done as u64),
            text::counted(self.total, "stage")
        );
        if self.running.len() > most {
            line.push_str(&format!(", {} more running", self.running.len() - most));
        }
        line.push_str(&format!(
            ", {}",
            text::whole_seconds((now - self.started).as_secs_f64())
        ));
        rows.push(text::fit(&paint(palette.dim, line), Some(width)));
        rows
    }
}

impl Running {
    fn take(&mut self, activity: &Activity, now: Instant) {
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
                let mut training = Training {
                    epochs: *epochs,
                    batches: *batches,
                    epoch,
                    batch,
                    first: 0.0,
                    since: now,
                    loss: None,
                    accuracy: None,
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
                    training.loss = metrics.get("train_loss").copied().or(training.loss);
                    training.accuracy = accuracy(metrics);
                    training.speed = *samples_per_second;
                }
            }
            Activity::CheckpointWritten { .. } | Activity::Notice { .. } => {}
        }
    }

    fn row(&self, now: Instant, width: usize, names: usize, palette: &Palette) -> String {
        let elapsed = (now - self.since).as_secs_f64();
        let spinner = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
        let frame = spinner[((now - self.since).as_millis() / 100) as usize % spinner.len()];
        let name = text::fit(&self.stage, Some(names));
        let padding = " ".repeat(names - console::measure_text_width(&name));
        let head = format!(
            "{} {}{padding}",
            paint(palette.bar, frame),
            paint(palette.name, name)
        );
        let parts = match &self.doing {
            Doing::Starting { kind, reason } => vec![
                Part::text(0, kind.clone()),
                Part::text(1, text::whole_seconds(elapsed)),
                Part::text(2, paint(palette.dim, reason)),
            ],
            Doing::Waiting => vec![
                Part::text(0, "waits for another process".to_owned()),
                Part::text(1, text::whole_seconds(elapsed)),
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
                    Part::text(4, task.clone()),
                    Part::bar(1, total.map(|total| *done as f64 / (total as f64).max(1.0))),
                    Part::text(0, amount(*done, *total, *unit)),
                    Part::text(
                        2,
                        if known {
                            speed_text(speed, *unit)
                        } else {
                            String::new()
                        },
                    ),
                    Part::text(3, left.map(time_left).unwrap_or_default()),
                ]
            }
            Doing::Training(training) => training.parts(now),
        };
        compose(head, parts, width, palette)
    }
}

impl Training {
    /// How much of the whole training is done, from 0 to 1.
    fn position(&self) -> f64 {
        let within = f64::from(self.batch) / f64::from(self.batches.max(1));
        ((f64::from(self.epoch) + within) / f64::from(self.epochs.max(1))).clamp(0.0, 1.0)
    }

    fn parts(&self, now: Instant) -> Vec<Part> {
        let position = self.position();
        let elapsed = (now - self.since).as_secs_f64();
        let left = (position > self.first && elapsed >= 0.5)
            .then(|| elapsed * (1.0 - position) / (position - self.first));
        let current = (self.epoch + 1).min(self.epochs);
        let digits = self.epochs.to_string().len();
        let batches = self.batches.to_string().len();
        let labelled = |label: &str, value: Option<f64>| match value {
            Some(value) => format!("{label} {value:.4}"),
            None => String::new(),
        };
        vec![
            Part::text(0, format!("epoch {current:>digits$}/{}", self.epochs)),
            Part::bar(4, Some(position)),
            Part::text(6, format!("{:>batches$}/{}", self.batch, self.batches)),
            Part::text(1, labelled("loss", self.loss)),
            Part::text(3, labelled("accuracy", self.accuracy)),
            Part::text(
                5,
                if self.speed > 0.0 {
                    format!("{:>5}/s", text::rate(self.speed))
                } else {
                    String::new()
                },
            ),
            Part::text(2, left.map(time_left).unwrap_or_default()),
        ]
    }
}

fn accuracy(metrics: &Metrics) -> Option<f64> {
    metrics
        .get("val_accuracy")
        .or_else(|| metrics.get("train_accuracy"))
        .copied()
}

fn time_left(seconds: f64) -> String {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fingerprint::Digest;

    fn started(stage: &str, kind: &str) -> Event {
        Event::StageStarted {
            stage: stage.into(),
            kind: kind.into(),
            fingerprint: Digest::of_bytes(b"x"),
            reason: "never ran".into(),
            attempt: 1,
        }
    }

    fn activity(stage: &str, activity: Activity) -> Event {
        Event::StageActivity {
            stage: stage.into(),
            activity,
        }
    }

    fn sample(now: Instant) -> Live {
        let at = |ms| now + Duration::from_millis(ms);
        let mut live = Live::new(now, 12);
        live.take(
            &Event::RunStarted {
                pipeline: "p".into(),
                stages: 6,
            },
            now,
        );
        live.take(&started("model", "train"), now);
        live.take(&started("raw", "download"), at(100));
        live.take(&started("lint", "command"), at(100));
        live.take(
            &Event::StageWaiting {
                stage: "shared".into(),
            },
            at(200),
        );
        let begin = Activity::TrainingStarted {
            parameters: 46_730,
            samples: 1293,
            epochs: 20,
            batches: 41,
            threads: 2,
            resumed_from: None,
        };
        live.take(&activity("model", begin), at(1000));
        let metrics = [
            ("train_loss".to_owned(), 0.5),
            ("val_accuracy".to_owned(), 0.9125),
        ]
        .into();
        let epoch = Activity::EpochFinished {
            epoch: 2,
            metrics,
            samples_per_second: 4210.0,
            seconds: 0.4,
        };
        live.take(&activity("model", epoch), at(1800));
        let batch = Activity::BatchFinished {
            epoch: 3,
            batch: 20,
            loss: 0.4321,
            samples_per_second: 4180.0,
        };
        live.take(&activity("model", batch), at(2000));
        for (ms, done) in [(200, 0u64), (2000, 4 << 20)] {
            let progress = Activity::Progress {
                task: "download".into(),
                done,
                total: Some(19 << 20),
                unit: Unit::Bytes,
            };
            live.take(&activity("raw", progress), at(ms));
        }
        live
    }

    #[test]
    fn rows_at_many_widths() {
        let now = Instant::now();
        let live = sample(now);
        let mut text = String::new();
        for width in [100, 60, 30] {
            for row in live.rows(now + Duration::from_millis(2200), width, 30, &Palette::plain()) {
                assert!(console::measure_text_width(&row) <= width, "{row}");
                text.push_str(&row);
                text.push('\n');
            }
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_low_terminal_and_many_stages() {
        let now = Instant::now();
        let mut live = Live::new(now, 12);
        live.take(
            &Event::RunStarted {
                pipeline: "p".into(),
                stages: 10_001,
            },
            now,
        );
        for index in 0..12 {
            live.take(&started(&format!("stage-{index}"), "command"), now);
        }
        assert_eq!(live.rows(now, 80, 30, &Palette::plain()).len(), MOST_ROWS + 1);
        let rows = live.rows(now, 80, 4, &Palette::plain());
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[2], "  0 of 10,001 stages, 10 more running, 0 s");
    }

    #[test]
    fn what_ended_is_gone() {
        let now = Instant::now();
        let mut live = sample(now);
        for stage in ["model", "raw", "lint", "shared"] {
            live.take(&Event::StageInterrupted { stage: stage.into() }, now);
        }
        assert_eq!(
            live.rows(now, 80, 30, &Palette::plain()),
            ["  4 of 6 stages, 0 s"]
        );
    }
}

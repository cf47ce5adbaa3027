//! Plays a made-up run through the display, for looking at it: nothing is computed.
//!
//! `cargo run --example progress_demo -- [auto|plain|json] [trouble|many|sweep]`

use std::thread::sleep;
use std::time::Duration;

use erlen::event::{Activity, Event, Level, Metrics, RunStatus, Sink, StageId, TrialOutcome, Unit};
use erlen::fingerprint::Digest;
use erlen::progress::{DisplayFormat, DisplayOptions, for_terminal};
use indexmap::IndexMap;
use serde_json::json;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let format = match arguments.first().map(String::as_str) {
        Some("json") => DisplayFormat::Json,
        Some("plain") => DisplayFormat::Plain,
        _ => DisplayFormat::Auto,
    };
    let mut progress = for_terminal(DisplayOptions {
        format,
        longest_name: 12,
        ..DisplayOptions::default()
    });
    match arguments.get(1).map(String::as_str) {
        Some("trouble") => trouble(progress.as_mut()),
        Some("many") => many(progress.as_mut()),
        Some("sweep") => sweep(progress.as_mut()),
        _ => training(progress.as_mut()),
    }
}

fn pause(milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds));
}

fn started(stage: impl Into<StageId>, kind: &str) -> Event {
    let stage = stage.into();
    Event::StageStarted {
        kind: kind.into(),
        fingerprint: Digest::of_bytes(stage.to_string().as_bytes()),
        stage,
        reason: "never ran".into(),
        attempt: 1,
        key: None,
    }
}

fn reused(stage: impl Into<StageId>) -> Event {
    let stage = stage.into();
    let digest = Digest::of_bytes(stage.to_string().as_bytes());
    Event::StageReused {
        stage,
        fingerprint: digest,
        artifact: digest,
        metrics: Metrics::new(),
        key: None,
    }
}

fn finished(stage: impl Into<StageId>, seconds: f64, metrics: &[(&str, f64)]) -> Event {
    let stage = stage.into();
    let digest = Digest::of_bytes(stage.to_string().as_bytes());
    Event::StageFinished {
        stage,
        fingerprint: digest,
        artifact: digest,
        metrics: metrics
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect(),
        seconds,
        peak_memory: None,
        unchanged: false,
    }
}

fn tell(stage: impl Into<StageId>, activity: Activity) -> Event {
    Event::StageActivity {
        stage: stage.into(),
        activity,
    }
}

fn count(progress: &mut dyn Sink, stage: &str, task: &str, total: u64, unit: Unit) {
    for step in 0..=20 {
        let done = total * step / 20;
        progress.event(&tell(
            stage,
            Activity::Progress {
                task: task.into(),
                done,
                total: Some(total),
                unit,
            },
        ));
        pause(80);
    }
}

fn train(progress: &mut dyn Sink, epochs: u32) {
    progress.event(&started("model", "train"));
    progress.event(&tell(
        "model",
        Activity::TrainingStarted {
            parameters: 94_410,
            samples: 1293,
            epochs,
            batches: 41,
            threads: 2,
            resumed_from: None,
        },
    ));
    for epoch in 1..=epochs {
        let loss = 2.0 / f64::from(epoch + 1);
        for batch in 1..=41 {
            let samples_per_second = 5300.0 + f64::from(batch);
            progress.event(&tell(
                "model",
                Activity::BatchFinished {
                    epoch,
                    batch,
                    loss,
                    samples_per_second,
                },
            ));
            pause(6);
        }
        let metrics = [
            ("train_loss", loss),
            ("train_accuracy", 1.0 - loss / 4.0),
            ("val_loss", loss),
            ("val_accuracy", 1.0 - loss / 5.0),
        ];
        let metrics = metrics.map(|(name, value)| (name.to_owned(), value)).into();
        progress.event(&tell(
            "model",
            Activity::EpochFinished {
                epoch,
                metrics,
                samples_per_second: 5300.0,
                seconds: 0.25,
                phases: Default::default(),
            },
        ));
    }
    progress.event(&finished(
        "model",
        72.4,
        &[("val_accuracy", 0.985), ("val_loss", 0.0593), ("epochs", 30.0)],
    ));
}

fn training(progress: &mut dyn Sink) {
    progress.event(&Event::RunStarted {
        pipeline: "digits".into(),
        stages: 6,
    });
    progress.event(&reused("licence"));
    progress.event(&started("raw", "download"));
    progress.event(&started("other", "command"));
    count(progress, "raw", "download", 19 << 20, Unit::Bytes);
    progress.event(&finished("raw", 1.6, &[]));
    progress.event(&started("data", "preprocess"));
    count(progress, "data", "decode", 60_000, Unit::Samples);
    progress.event(&finished(
        "data",
        1.6,
        &[("train", 1293.0), ("val", 144.0), ("test", 360.0)],
    ));
    train(progress, 30);
    progress.event(&finished("other", 80.0, &[]));
    progress.event(&started("test", "evaluate"));
    pause(300);
    progress.event(&finished("test", 0.3, &[("accuracy", 0.9833), ("loss", 0.0611)]));
    for (name, changed) in [("results/digits.csv", true), ("results/digits.md", false)] {
        progress.event(&Event::TableWritten {
            table: "digits".into(),
            path: name.into(),
            changed,
        });
    }
    let status = RunStatus::Done;
    progress.event(&Event::RunFinished {
        status,
        ran: 5,
        reused: 1,
        failed: 0,
        skipped: 0,
        seconds: 41.2,
    });
}

fn trouble(progress: &mut dyn Sink) {
    progress.event(&Event::RunStarted {
        pipeline: "cifar10".into(),
        stages: 5,
    });
    let notice =
        "bf16 is no faster than f32 on this processor: it runs, and is right, but do not expect speed";
    progress.event(&Event::Notice {
        level: Level::Warning,
        message: notice.into(),
    });
    for retrying in [true, false] {
        progress.event(&started("raw", "download"));
        pause(400);
        progress.event(&Event::StageFailed {
            stage: "raw".into(),
            error:
                "the archive's sha256 is 097287809041e0a666355dfce11470ba1b3f2631fe910d8793c716253f10b297, \
                    but c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd is expected\n\
                    correct `sha256` in the pipeline file, or find out who changed the archive"
                    .into(),
            log: (!retrying).then(|| {
                "/home/someone/a/rather/long/project/path/.erlen/work/097287809041e0a666355dfce114/log".into()
            }),
            tail: if retrying {
                vec![]
            } else {
                vec![
                    "GET https://example.org/a.tar.gz".into(),
                    "200 OK, 19,000,000 bytes".into(),
                ]
            },
            attempt: if retrying { 1 } else { 2 },
            retrying,
        });
    }
    for stage in ["data", "model", "a-stage-with-a-rather-long-name", "onnx"] {
        progress.event(&Event::StageSkipped {
            stage: stage.into(),
            because: "raw".into(),
        });
    }
    let status = RunStatus::Failed;
    progress.event(&Event::RunFinished {
        status,
        ran: 0,
        reused: 0,
        failed: 1,
        skipped: 4,
        seconds: 0.8,
    });
}

fn many(progress: &mut dyn Sink) {
    let start = std::time::Instant::now();
    progress.event(&Event::RunStarted {
        pipeline: "many".into(),
        stages: 10_001,
    });
    for index in 0..5000 {
        progress.event(&reused(format!("copy-{index}").as_str()));
    }
    for index in 5000..10_001 {
        let stage = format!("copy-{index}");
        progress.event(&started(stage.as_str(), "command"));
        progress.event(&finished(stage.as_str(), 0.002, &[]));
    }
    let seconds = start.elapsed().as_secs_f64();
    let status = RunStatus::Done;
    progress.event(&Event::RunFinished {
        status,
        ran: 5001,
        reused: 5000,
        failed: 0,
        skipped: 0,
        seconds,
    });
}

/// A trial of the made-up sweep: every third sort of value does badly, and trial 7 fails.
struct Trial {
    number: u32,
    replicate: u32,
    epoch: u32,
    values: IndexMap<String, serde_json::Value>,
    peak: f64,
}

impl Trial {
    const EPOCHS: u32 = 12;
    const REPLICATES: u32 = 2;

    fn new(number: u32) -> Self {
        let share = f64::from(number * 7 % 24) / 24.0;
        let mut values = IndexMap::from([
            ("lr".to_owned(), json!(10f64.powf(-3.0 * share))),
            ("width".to_owned(), json!(16 << (number % 4))),
            (
                "optimizer".to_owned(),
                json!(["sgd", "adamw", "lion"][number as usize % 3]),
            ),
        ]);
        if number.is_multiple_of(3) {
            values.insert("momentum".to_owned(), json!(0.9));
        }
        Self {
            number,
            replicate: 1,
            epoch: 0,
            values,
            peak: 0.98 - 0.6 * (share - 0.4).powi(2),
        }
    }

    fn stage(&self) -> StageId {
        StageId::of_trial("model", self.number, Some(self.replicate))
    }

    fn begin_training(&self, progress: &mut dyn Sink) {
        progress.event(&started(self.stage(), "train"));
        progress.event(&tell(
            self.stage(),
            Activity::TrainingStarted {
                parameters: 94_410,
                samples: 1293,
                epochs: Self::EPOCHS,
                batches: 41,
                threads: 1,
                resumed_from: None,
            },
        ));
    }

    /// One epoch more; what became of the trial, once it ends.
    fn step(&mut self, progress: &mut dyn Sink) -> Option<TrialOutcome> {
        self.epoch += 1;
        let speed = 1.0 + f64::from(self.number % 3);
        let accuracy = self.peak * (1.0 - 0.9 * (-f64::from(self.epoch) / (4.0 * speed)).exp());
        let metrics = [("train_loss", 2.0 - 2.0 * accuracy), ("val_accuracy", accuracy)];
        let metrics = metrics.map(|(name, value)| (name.to_owned(), value)).into();
        progress.event(&tell(
            self.stage(),
            Activity::EpochFinished {
                epoch: self.epoch,
                metrics,
                samples_per_second: 5300.0,
                seconds: 0.25,
                phases: Default::default(),
            },
        ));
        if self.number == 7 && self.epoch == 2 {
            let error =
                "the loss is not finite after epoch 2\nlower the learning rate, or clip the gradients";
            progress.event(&Event::StageFailed {
                stage: self.stage(),
                error: error.into(),
                log: Some("/project/.erlen/work/097287809041/log".into()),
                tail: vec!["epoch 2: loss inf".into()],
                attempt: 1,
                retrying: false,
            });
            return Some(TrialOutcome::Failed { error: error.into() });
        }
        if self.number > 6 && self.epoch == 3 && accuracy < 0.4 {
            progress.event(&Event::StagePaused {
                stage: self.stage(),
                epoch: 3,
            });
            return Some(TrialOutcome::Pruned {
                epoch: 3,
                value: accuracy,
            });
        }
        if self.epoch < Self::EPOCHS {
            return None;
        }
        progress.event(&finished(self.stage(), 3.0, &[("val_accuracy", accuracy)]));
        if self.replicate < Self::REPLICATES {
            self.replicate += 1;
            self.epoch = 0;
            self.begin_training(progress);
            return None;
        }
        Some(TrialOutcome::Done {
            objectives: vec![accuracy],
            deviations: vec![Some(0.0013 * speed)],
        })
    }
}

fn sweep(progress: &mut dyn Sink) {
    let start = std::time::Instant::now();
    progress.event(&Event::SweepStarted {
        pipeline: "digits".into(),
        search: "tpe".into(),
        trials: Some(24),
        known: 2,
        replicates: Trial::REPLICATES,
        objectives: vec![("model.val_accuracy".into(), true)],
    });
    progress.event(&reused("raw"));
    progress.event(&started("data", "preprocess"));
    count(progress, "data", "decode", 60_000, Unit::Samples);
    progress.event(&finished("data", 1.6, &[("train", 1293.0)]));
    let mut next = 3;
    let mut running: Vec<(Trial, std::time::Instant)> = Vec::new();
    let (mut best, mut best_trial) = (0.0, 0);
    let (mut done, mut pruned, mut failed) = (2, 0, 0);
    loop {
        while running.len() < 3 && next <= 24 {
            let trial = Trial::new(next);
            progress.event(&Event::TrialStarted {
                trial: next,
                values: trial.values.clone(),
                continued_from: None,
            });
            trial.begin_training(progress);
            running.push((trial, std::time::Instant::now()));
            next += 1;
        }
        if running.is_empty() {
            break;
        }
        let mut still = Vec::new();
        for (mut trial, since) in running {
            pause(50);
            let Some(outcome) = trial.step(progress) else {
                still.push((trial, since));
                continue;
            };
            let figure = match &outcome {
                TrialOutcome::Done { objectives, .. } => {
                    done += 1;
                    objectives[0]
                }
                TrialOutcome::Pruned { .. } => {
                    pruned += 1;
                    0.0
                }
                TrialOutcome::Failed { .. } => {
                    failed += 1;
                    0.0
                }
            };
            let is_best = figure > best;
            if is_best {
                (best, best_trial) = (figure, trial.number);
            }
            progress.event(&Event::TrialFinished {
                trial: trial.number,
                values: trial.values,
                outcome,
                best: is_best,
                seconds: since.elapsed().as_secs_f64(),
            });
        }
        running = still;
    }
    progress.event(&Event::SweepFinished {
        done,
        pruned,
        failed,
        best: vec![best_trial],
    });
    progress.event(&Event::RunFinished {
        status: RunStatus::Failed,
        ran: 40,
        reused: 1,
        failed,
        skipped: 0,
        seconds: start.elapsed().as_secs_f64(),
    });
}

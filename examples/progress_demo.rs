//! Plays a made-up run through the display, for looking at it: nothing is computed.
//!
//! `cargo run --example progress_demo -- [auto|plain|json] [trouble|many]`

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use erlen::event::{Activity, Event, Level, RunStatus, Unit};
use erlen::fingerprint::Digest;
use erlen::progress::{Format, Options, Progress, for_terminal};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let format = match arguments.first().map(String::as_str) {
        Some("json") => Format::Json,
        Some("plain") => Format::Plain,
        _ => Format::Auto,
    };
    let mut progress = for_terminal(Options {
        format,
        longest_name: 12,
    });
    match arguments.get(1).map(String::as_str) {
        Some("trouble") => trouble(progress.as_mut()),
        Some("many") => many(progress.as_mut()),
        _ => training(progress.as_mut()),
    }
}

fn pause(milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds));
}

fn started(stage: &str, kind: &str) -> Event {
    Event::StageStarted {
        stage: stage.into(),
        kind: kind.into(),
        fingerprint: Digest::of_bytes(stage.as_bytes()),
        reason: "never ran".into(),
        attempt: 1,
    }
}

fn reused(stage: &str) -> Event {
    let digest = Digest::of_bytes(stage.as_bytes());
    Event::StageReused {
        stage: stage.into(),
        fingerprint: digest,
        artifact: digest,
        metrics: BTreeMap::new(),
    }
}

fn finished(stage: &str, seconds: f64, metrics: &[(&str, f64)]) -> Event {
    let digest = Digest::of_bytes(stage.as_bytes());
    Event::StageFinished {
        stage: stage.into(),
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

fn tell(stage: &str, activity: Activity) -> Event {
    Event::StageActivity {
        stage: stage.into(),
        activity,
    }
}

fn count(progress: &mut dyn Progress, stage: &str, task: &str, total: u64, unit: Unit) {
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

fn train(progress: &mut dyn Progress, epochs: u32) {
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
            },
        ));
    }
    progress.event(&finished(
        "model",
        72.4,
        &[("val_accuracy", 0.985), ("val_loss", 0.0593), ("epochs", 30.0)],
    ));
}

fn training(progress: &mut dyn Progress) {
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

fn trouble(progress: &mut dyn Progress) {
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

fn many(progress: &mut dyn Progress) {
    let start = std::time::Instant::now();
    progress.event(&Event::RunStarted {
        pipeline: "many".into(),
        stages: 10_001,
    });
    for index in 0..5000 {
        progress.event(&reused(&format!("copy-{index}")));
    }
    for index in 5000..10_001 {
        let stage = format!("copy-{index}");
        progress.event(&started(&stage, "command"));
        progress.event(&finished(&stage, 0.002, &[]));
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

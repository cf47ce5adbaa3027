//! What a whole run looks like, at several widths.

use std::sync::Arc;

use super::narrator::{Audience, Narrator};
use super::{Palette, Plain};
use crate::event::{Activity, Event, Level, Metrics, RunStatus, Sink, Unit};
use crate::fingerprint::Digest;

fn metrics(figures: &[(&str, f64)]) -> Metrics {
    figures
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value))
        .collect()
}

fn reused(stage: &str) -> Event {
    let digest = Digest::of_bytes(stage.as_bytes());
    Event::StageReused {
        stage: stage.into(),
        fingerprint: digest,
        artifact: digest,
        metrics: Metrics::new(),
        key: None,
    }
}

fn skipped(stage: &str) -> Event {
    Event::StageSkipped {
        stage: stage.into(),
        because: "model".into(),
    }
}

fn finished(stage: &str, seconds: f64, figures: &[(&str, f64)], unchanged: bool) -> Event {
    let digest = Digest::of_bytes(stage.as_bytes());
    Event::StageFinished {
        stage: stage.into(),
        fingerprint: digest,
        artifact: digest,
        metrics: metrics(figures),
        seconds,
        peak_memory: None,
        unchanged,
    }
}

fn started(stage: &str, kind: &str, attempt: u32) -> Event {
    Event::StageStarted {
        stage: stage.into(),
        kind: kind.into(),
        fingerprint: Digest::of_bytes(b"key"),
        reason: "optimizer.sgd.lr changed 0.1 -> 0.05 since run 12".into(),
        attempt,
        key: None,
    }
}

fn told(stage: &str, activity: Activity) -> Event {
    Event::StageActivity {
        stage: stage.into(),
        activity,
    }
}

fn epoch(epoch: u32) -> Event {
    let metrics = metrics(&[
        ("lr", 0.1),
        ("train_accuracy", 0.8),
        ("train_loss", 0.51234),
        ("val_accuracy", 0.9125),
        ("val_loss", 0.4),
    ]);
    told(
        "model",
        Activity::EpochFinished {
            epoch,
            metrics,
            samples_per_second: 4210.4,
            seconds: 0.42,
            phases: Default::default(),
        },
    )
}

/// A run in which everything happens that can be told.
fn everything() -> Vec<Event> {
    let failure = |attempt, retrying| {
        Event::StageFailed {
        stage: "export".into(),
        error: "cannot write model.safetensors: no space left on device\nfree some space, or move the store with ERLEN_STORE".into(),
        log: Some("/project/.erlen/work/0123/log".into()),
        tail: vec!["writing 44 MB".into(), "\u{1b}[31merror\u{1b}[0m: disk full".into()],
        attempt,
        retrying,
    }
    };
    vec![
        Event::RunStarted {
            pipeline: "digits".into(),
            stages: 7,
        },
        Event::Notice {
            level: Level::Warning,
            message: "bf16 is no faster than f32 on this processor".into(),
        },
        reused("raw"),
        started("data", "preprocess", 1),
        told(
            "data",
            Activity::Progress {
                task: "decode".into(),
                done: 1,
                total: Some(3),
                unit: Unit::Samples,
            },
        ),
        told(
            "data",
            Activity::Notice {
                level: Level::Info,
                message: "2 images skipped".into(),
            },
        ),
        finished("data", 1.6, &[], true),
        Event::StageWaiting {
            stage: "model".into(),
        },
        started("model", "train", 2),
        told(
            "model",
            Activity::TrainingStarted {
                parameters: 94_410,
                samples: 1293,
                epochs: 3,
                batches: 41,
                threads: 2,
                resumed_from: Some((1, 20)),
            },
        ),
        epoch(2),
        told("model", Activity::CheckpointWritten { epoch: 2, batch: 0 }),
        epoch(3),
        finished(
            "model",
            72.4,
            &[("val_accuracy", 0.985), ("val_loss", 0.0593), ("epochs", 3.0)],
            false,
        ),
        failure(1, true),
        failure(2, false),
        Event::StageInterrupted {
            stage: "test".into(),
            kept: true,
        },
        skipped("card"),
        Event::TableWritten {
            table: "digits".into(),
            path: "results/digits.csv".into(),
            changed: true,
        },
        Event::RunFinished {
            status: RunStatus::Failed,
            ran: 2,
            reused: 1,
            failed: 1,
            skipped: 1,
            seconds: 75.03,
        },
    ]
}

fn on_terminal(events: &[Event], width: usize) -> String {
    let mut narrator = Narrator::new(Palette::plain(), Audience::Terminal { width }, 8, Arc::default());
    let mut lines = Vec::new();
    events
        .iter()
        .for_each(|event| narrator.narrate(event, &mut lines));
    lines.join("\n")
}

fn in_log(events: &[Event]) -> String {
    let mut bytes = Vec::new();
    let mut plain = Plain::new(&mut bytes, Palette::plain(), 8, Arc::default());
    events.iter().for_each(|event| plain.event(event));
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_run_in_a_log() {
    insta::assert_snapshot!(in_log(&everything()));
}

#[test]
fn a_run_on_a_terminal() {
    insta::assert_snapshot!(on_terminal(&everything(), 100));
}

#[test]
fn a_run_on_a_narrow_terminal() {
    let text = on_terminal(&everything(), 50);
    assert!(
        text.lines().all(|line| console::measure_text_width(line) <= 50),
        "{text}"
    );
    insta::assert_snapshot!(text);
}

#[test]
fn many_alike_are_counted() {
    let mut events: Vec<Event> = (0..10_000)
        .map(|index| reused(&format!("copy-{index}")))
        .collect();
    events.extend((0..31).map(|index| skipped(&format!("skip-{index}"))));
    let status = RunStatus::Failed;
    events.push(Event::RunFinished {
        status,
        ran: 0,
        reused: 10_000,
        failed: 1,
        skipped: 31,
        seconds: 0.1,
    });
    let text = in_log(&events);
    let last: Vec<&str> = text.lines().rev().take(3).collect();
    assert_eq!(
        last,
        [
            "failed after 0.1 s: 0 ran, 10,000 reused, 1 failed, 31 skipped",
            "– 1 more skipped",
            "✓ 9,970 more reused"
        ]
    );
    assert_eq!(text.lines().count(), 30 + 30 + 3);
}

#[test]
fn a_long_training_stays_readable_on_a_terminal_and_whole_in_a_log() {
    let begin = Activity::TrainingStarted {
        parameters: 1,
        samples: 1,
        epochs: 300,
        batches: 1,
        threads: 1,
        resumed_from: None,
    };
    let mut events = vec![told("model", begin)];
    events.extend((1..=300).map(epoch));
    assert_eq!(on_terminal(&events, 100).lines().count(), 1 + 21);
    assert_eq!(in_log(&events).lines().count(), 1 + 300);
}

#[test]
fn colours_are_closed_again() {
    let mut narrator = Narrator::new(
        Palette::coloured(),
        Audience::Terminal { width: 40 },
        8,
        Arc::default(),
    );
    let mut lines = Vec::new();
    everything()
        .iter()
        .for_each(|event| narrator.narrate(event, &mut lines));
    for line in lines {
        assert!(
            line.rfind("\u{1b}[")
                .is_none_or(|last| line[last..].starts_with("\u{1b}[0m")),
            "{line:?}"
        );
    }
}

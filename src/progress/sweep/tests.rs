//! What a sweep looks like, at several widths.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::TrialValues;
use crate::event::{Activity, Event, Level, RunStatus, StageId, TrialOutcome};
use crate::fingerprint::Digest;
use crate::progress::narrator::{Audience, Narrator};
use crate::progress::{Live, Palette};

const ERROR: &str = "the loss is not finite after epoch 2\nlower the learning rate, or clip the gradients";

fn sweep(trials: Option<usize>, known: usize, objectives: &[(&str, bool)]) -> Event {
    Event::SweepStarted {
        pipeline: "digits".into(),
        search: "tpe".into(),
        trials,
        known,
        replicates: 2,
        objectives: objectives
            .iter()
            .map(|(path, larger)| ((*path).to_owned(), *larger))
            .collect(),
    }
}

fn accuracy(trials: Option<usize>, known: usize) -> Event {
    sweep(trials, known, &[("model.val_accuracy", true)])
}

fn values(lr: f64, width: u32) -> TrialValues {
    [("lr".to_owned(), json!(lr)), ("width".to_owned(), json!(width))].into()
}

fn begins(trial: u32, values: TrialValues) -> Event {
    Event::TrialStarted {
        trial,
        values,
        continued_from: None,
    }
}

fn ends(trial: u32, values: TrialValues, outcome: TrialOutcome, best: bool, seconds: f64) -> Event {
    Event::TrialFinished {
        trial,
        values,
        outcome,
        best,
        seconds,
    }
}

fn done(value: f64, deviation: Option<f64>) -> TrialOutcome {
    TrialOutcome::Done {
        objectives: vec![value],
        deviations: vec![deviation],
    }
}

fn failure() -> TrialOutcome {
    TrialOutcome::Failed { error: ERROR.into() }
}

fn stage_started(stage: impl Into<StageId>, kind: &str) -> Event {
    Event::StageStarted {
        stage: stage.into(),
        kind: kind.into(),
        fingerprint: Digest::of_bytes(b"key"),
        reason: "never ran".into(),
        attempt: 1,
        key: None,
    }
}

fn stage_finished(stage: impl Into<StageId>) -> Event {
    let stage = stage.into();
    let digest = Digest::of_bytes(stage.to_string().as_bytes());
    Event::StageFinished {
        stage,
        fingerprint: digest,
        artifact: digest,
        metrics: [("val_accuracy".to_owned(), 0.9)].into(),
        seconds: 2.0,
        peak_memory: None,
        unchanged: false,
    }
}

fn stage_failed(stage: impl Into<StageId>, error: &str) -> Event {
    Event::StageFailed {
        stage: stage.into(),
        error: error.into(),
        log: Some("/project/.erlen/work/0123/log".into()),
        tail: vec!["epoch 2: loss inf".into()],
        attempt: 1,
        retrying: false,
    }
}

fn told(stage: impl Into<StageId>, activity: Activity) -> Event {
    Event::StageActivity {
        stage: stage.into(),
        activity,
    }
}

fn training(stage: impl Into<StageId>, epochs: u32) -> Event {
    told(
        stage,
        Activity::TrainingStarted {
            parameters: 94_410,
            samples: 1293,
            epochs,
            batches: 41,
            threads: 1,
            resumed_from: None,
        },
    )
}

fn epoch(stage: impl Into<StageId>, epoch: u32, accuracy: f64) -> Event {
    told(
        stage,
        Activity::EpochFinished {
            epoch,
            metrics: [("val_accuracy".to_owned(), accuracy)].into(),
            samples_per_second: 4210.4,
            seconds: 0.42,
            phases: Default::default(),
        },
    )
}

/// A sweep in which everything happens that can be told.
fn everything() -> Vec<Event> {
    let mut events = vec![
        accuracy(Some(12), 2),
        ends(1, values(0.5, 16), done(0.7, Some(0.01)), true, 0.0),
        ends(2, values(0.4, 16), done(0.6, Some(0.01)), false, 0.0),
        stage_started("data", "preprocess"),
        stage_finished("data"),
        begins(3, values(0.0316228, 64)),
        begins(4, values(0.1, 128)),
    ];
    let model = |trial| StageId::of_trial("model", trial, Some(1));
    for trial in [3, 4] {
        let warning = Activity::Notice {
            level: Level::Warning,
            message: format!("batch {trial} has one sample"),
        };
        events.extend([
            stage_started(model(trial), "train"),
            training(model(trial), 3),
            told(model(trial), warning),
            epoch(model(trial), 1, 0.5),
        ]);
    }
    events.extend([
        stage_finished(model(3)),
        ends(3, values(0.0316228, 64), done(0.98444, Some(0.00214)), true, 12.3),
        Event::StagePaused {
            stage: model(4),
            epoch: 3,
        },
        ends(
            4,
            values(0.1, 128),
            TrialOutcome::Pruned {
                epoch: 3,
                value: 0.41,
            },
            false,
            4.0,
        ),
    ]);
    for trial in 5..=8 {
        let mut values = values(1.0, 32);
        values.insert("momentum".to_owned(), json!(0.9));
        events.extend([
            begins(trial, values.clone()),
            stage_started(model(trial), "train"),
            stage_failed(model(trial), &ERROR.replace('2', &trial.to_string())),
            Event::StageSkipped {
                stage: StageId::of_trial("test", trial, Some(1)),
                because: model(trial).to_string(),
            },
            ends(trial, values, failure(), false, 0.8),
        ]);
    }
    events.extend([
        begins(9, values(2.5e-5, 64)),
        ends(9, values(2.5e-5, 64), done(0.9, None), false, 72.4),
        begins(10, values(0.02, 64)),
        ends(10, values(0.02, 64), done(0.985, Some(0.0)), true, 0.0),
        begins(11, values(0.01, 64)),
        stage_started(model(11), "train"),
        Event::StageInterrupted {
            stage: model(11),
            kept: true,
        },
        Event::SweepFinished {
            done: 5,
            pruned: 1,
            failed: 4,
            best: vec![10],
        },
        Event::RunFinished {
            status: RunStatus::Interrupted,
            ran: 4,
            reused: 0,
            failed: 4,
            skipped: 4,
            seconds: 92.0,
        },
    ]);
    events
}

fn lines(events: &[Event], audience: Audience, palette: Palette) -> Vec<String> {
    let mut narrator = Narrator::new(palette, audience, 8, Arc::default());
    let mut lines = Vec::new();
    events
        .iter()
        .for_each(|event| narrator.narrate(event, &mut lines));
    lines
}

fn on_terminal(events: &[Event], width: usize) -> Vec<String> {
    lines(events, Audience::Terminal { width }, Palette::plain())
}

fn in_log(events: &[Event]) -> Vec<String> {
    lines(events, Audience::Log, Palette::plain())
}

fn live(events: &[Event], start: Instant) -> Live {
    let mut live = Live::new(start, 8, Arc::default());
    events.iter().for_each(|event| live.handle(event, start));
    live
}

fn after(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

#[test]
fn a_sweep_at_many_widths() {
    let events = everything();
    let mut text = String::new();
    for width in [60, 80, 120] {
        let lines = on_terminal(&events, width);
        for line in &lines {
            assert!(console::measure_text_width(line) <= width, "{line}");
        }
        text.push_str(&format!("{:-<width$}\n{}\n", "", lines.join("\n")));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_sweep_in_a_log() {
    insta::assert_snapshot!(in_log(&everything()).join("\n"));
}

#[test]
fn rows_at_many_widths() {
    let start = Instant::now();
    let mut events = vec![accuracy(Some(12), 2), stage_started("embeddings", "command")];
    events.extend([
        begins(3, values(0.0316228, 64)),
        ends(3, values(0.0316228, 64), done(0.98444, Some(0.00214)), true, 60.0),
    ]);
    let model = |trial| StageId::of_trial("model", trial, Some(2));
    for (trial, peak) in [(4, 0.9), (5, 0.3)] {
        events.push(begins(trial, values(0.1, 16 * trial)));
        events.push(stage_started(model(trial), "train"));
        events.push(training(model(trial), 20));
        for done in 1..=3 * trial {
            events.push(epoch(model(trial), done, peak - 0.8 * peak / f64::from(done)));
        }
    }
    events.extend([
        begins(6, values(0.3, 16)),
        stage_started(model(6), "train"),
        begins(7, values(0.3, 32)),
    ]);
    let live = live(&events, start);
    let mut text = String::new();
    for width in [60, 80, 120, 160] {
        text.push_str(&format!("{:-<width$}\n", ""));
        for row in live.rows(after(start, 12), width, 30, &Palette::plain()) {
            assert!(console::measure_text_width(&row) <= width, "{row}");
            text.push_str(&row);
            text.push('\n');
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn nothing_is_wider_than_the_terminal_and_colours_are_closed() {
    let long = TrialValues::from([
        ("学習率".to_owned(), json!("とても長い値".repeat(9))),
        (
            "a-parameter-with-a-name-that-nobody-would-type".to_owned(),
            json!(0.1),
        ),
        (
            "augment".to_owned(),
            json!([{"random_crop": {"padding": 4}}, "flip"]),
        ),
        ("note".to_owned(), json!("\u{1b}[31mred\nline")),
        ("empty".to_owned(), json!("")),
    ]);
    let model = StageId::of_trial("ein-modell-mit-einem-sehr-langen-namen", 1234, Some(1));
    let mut events = vec![
        sweep(
            Some(2000),
            0,
            &[
                ("ein-modell.a_metric_of_a_rather_long_name", true),
                ("m.Größe", false),
            ],
        ),
        begins(1, values(0.1, 4)),
        begins(1234, long.clone()),
        stage_started(model.clone(), "train"),
        training(model.clone(), 300),
        epoch(model.clone(), 1, f64::NAN),
        epoch(model.clone(), 2, 0.5),
    ];
    let start = Instant::now();
    let shown = live(&events, start);
    let outcome = TrialOutcome::Done {
        objectives: vec![123_456.789, 1e-12],
        deviations: vec![None, Some(f64::NAN)],
    };
    events.push(ends(1234, long.clone(), outcome, true, 100_000.0));
    events.push(ends(1, long, failure(), false, 0.1));
    for width in 20..170 {
        for line in lines(&events, Audience::Terminal { width }, Palette::coloured()) {
            assert!(
                console::measure_text_width(&line) <= width.max(20),
                "{width}: {line}"
            );
            assert_closed(&line);
        }
        for row in shown.rows(start, width, 30, &Palette::coloured()) {
            assert!(console::measure_text_width(&row) <= width, "{width}: {row}");
            assert!(!row.contains('\n'), "{row}");
            assert_closed(&row);
        }
    }
    let log = in_log(&events).join("\n");
    assert!(
        log.contains(&"とても長い値".repeat(9)),
        "nothing is cut in a log: {log}"
    );
    assert!(log.contains("note red line"), "{log}");
}

fn assert_closed(line: &str) {
    let last = line.rfind("\u{1b}[");
    assert!(
        last.is_none_or(|last| line[last..].starts_with("\u{1b}[0m")),
        "{line:?}"
    );
}

#[test]
fn known_trials_have_one_line() {
    let mut events = vec![accuracy(Some(400), 300)];
    events.extend((1..=300).map(|trial| ends(trial, values(0.1, 64), done(0.9, None), trial == 1, 0.0)));
    let known = ["✓ 300 of 400 trials known already"];
    assert_eq!(in_log(&events), known);
    assert_eq!(on_terminal(&events, 80), known);
    let start = Instant::now();
    let rows = live(&events, start).rows(start, 80, 30, &Palette::plain());
    assert!(rows[0].contains("300 of 400 trials"), "{rows:?}");
    assert!(rows[1].starts_with("★ trial 1 "), "{rows:?}");
}

#[test]
fn of_many_trials_a_terminal_lists_some_and_a_log_all() {
    let mut events = vec![accuracy(Some(1000), 0)];
    for trial in 1..=1000 {
        let outcome = match trial % 10 {
            0 => failure(),
            1 => TrialOutcome::Pruned { epoch: 3, value: 0.4 },
            _ => done(0.9, None),
        };
        events.push(begins(trial, values(0.1, 64)));
        let model = StageId::of_trial("model", trial, None);
        if trial % 10 == 0 {
            events.push(stage_failed(
                model.clone(),
                &format!("cannot read /data/{trial}/train"),
            ));
        }
        events.push(ends(trial, values(0.1, 64), outcome, trial % 500 == 2, 1.0));
    }
    events.push(Event::SweepFinished {
        done: 800,
        pruned: 100,
        failed: 100,
        best: vec![502],
    });
    let log = in_log(&events);
    let of_trials = |lines: &[String]| {
        lines
            .iter()
            .filter(|line| line.contains("trial ") && line.contains("  lr "))
            .count()
    };
    assert_eq!(of_trials(&log), 1000);
    let paragraph = 3;
    assert_eq!(log.len(), 1000 + paragraph + 2);

    let terminal = on_terminal(&events, 100);
    // The first thirty, of which three failed; then one new best, and failures up to thirty.
    assert_eq!(of_trials(&terminal), 30 + 1 + 27);
    assert!(terminal.iter().any(|line| line.starts_with("★ trial 502")));
    let last: Vec<&str> = terminal.iter().rev().take(3).map(String::as_str).collect();
    assert_eq!(
        last,
        [
            "1,000 trials: 800 done, 100 pruned, 100 failed; best trial 502: lr 0.1, width 64 (val_accuracy 0.9)",
            "✗ 99 more stages failed",
            "✓ 942 more trials: 775 done, 97 pruned, 70 failed",
        ]
    );
}

#[test]
fn no_trial_one_trial_and_an_unknown_number() {
    let end = |done: usize, best: &[u32]| Event::SweepFinished {
        done,
        pruned: 0,
        failed: 0,
        best: best.to_vec(),
    };
    assert_eq!(in_log(&[sweep(Some(0), 0, &[]), end(0, &[])]), ["0 trials"]);
    let one = [
        sweep(None, 0, &[]),
        begins(1, TrialValues::new()),
        ends(
            1,
            TrialValues::new(),
            TrialOutcome::Done {
                objectives: vec![],
                deviations: vec![],
            },
            false,
            3.0,
        ),
    ];
    let start = Instant::now();
    let rows = live(&one[..2], start).rows(after(start, 5), 80, 30, &Palette::plain());
    assert_eq!(rows, ["  0 trials ended  5 s", "⠋ trial 1  waits"]);
    let rows = live(&one, start).rows(after(start, 5), 80, 30, &Palette::plain());
    assert_eq!(rows, ["  1 trial ended  5 s"]);
    let mut events = one.to_vec();
    events.push(end(1, &[]));
    assert_eq!(in_log(&events), ["✓ trial 1  3.0 s", "1 trial: 1 done"]);
}

#[test]
fn several_objectives_have_a_front() {
    let mut events = vec![sweep(
        Some(3),
        0,
        &[("model.val_accuracy", true), ("model.parameters", false)],
    )];
    for (trial, accuracy, size) in [(1, 0.9, 46_730.0), (2, 0.8, 9_000.0), (3, 0.9, 20_000.0)] {
        let outcome = TrialOutcome::Done {
            objectives: vec![accuracy, size],
            deviations: vec![Some(0.01), None],
        };
        events.push(begins(trial, values(0.1, 64)));
        events.push(ends(trial, values(0.1, 64), outcome, true, 1.0));
    }
    events.push(Event::SweepFinished {
        done: 3,
        pruned: 0,
        failed: 0,
        best: vec![2, 3],
    });
    let lines = on_terminal(&events, 120);
    assert_eq!(
        lines[1..],
        [
            "★ trial 2  lr 0.1      width 64  val_accuracy 0.8 ± 0.01  parameters 9000   1.0 s    on the front",
            "★ trial 3  lr 0.1      width 64  val_accuracy 0.9 ± 0.01  parameters 20000  1.0 s    on the front",
            "3 trials: 3 done; 2 on the Pareto front: trials 2, 3",
        ]
    );
    let start = Instant::now();
    let rows = live(&events, start).rows(start, 120, 30, &Palette::plain());
    assert!(rows[1].ends_with("2 on the Pareto front"), "{rows:?}");
}

#[test]
fn the_time_left_follows_from_the_trials_that_ended() {
    let start = Instant::now();
    let mut events = vec![accuracy(Some(10), 1)];
    events.extend((2..=4).map(|trial| begins(trial, values(0.1, 64))));
    events.extend(
        [(2, 20.0), (3, 40.0)]
            .map(|(trial, seconds)| ends(trial, values(0.1, 64), done(0.9, None), false, seconds)),
    );
    // Seven are left, of 30 s each; one has run for 10 s. Three at once: (6 * 30 + 20) / 3 = 67 s.
    let live = live(&events, start);
    let headline = |seconds| live.rows(after(start, seconds), 100, 30, &Palette::plain())[0].clone();
    assert!(
        headline(10).ends_with("3 of 10 trials  10 s  1m 07s left"),
        "{}",
        headline(10)
    );
    assert!(headline(99).ends_with("1m 39s  1m 00s left"), "{}", headline(99));
}

#[test]
fn a_paused_trial_leaves_its_row_and_goes_on_with_its_curve() {
    let start = Instant::now();
    let model = StageId::of_trial("model", 1, Some(1));
    let mut events = vec![
        accuracy(Some(3), 0),
        begins(1, values(0.1, 64)),
        stage_started(model.clone(), "train"),
        training(model.clone(), 4),
        epoch(model.clone(), 1, 0.1),
        epoch(model.clone(), 2, 0.8),
        Event::StagePaused {
            stage: model.clone(),
            epoch: 2,
        },
    ];
    let rows = |events: &[Event]| live(events, start).rows(start, 100, 30, &Palette::plain());
    assert_eq!(rows(&events).len(), 1, "{:?}", rows(&events));
    assert!(rows(&events)[0].contains("1 paused"), "{:?}", rows(&events));
    let goes_on = [
        begins(1, values(0.1, 64)),
        stage_started(model.clone(), "train"),
        training(model.clone(), 4),
        epoch(model.clone(), 3, 0.8),
    ];
    let pruned = TrialOutcome::Pruned { epoch: 2, value: 0.8 };
    for ended in [None, Some(ends(1, values(0.1, 64), pruned, false, 1.0))] {
        let mut events = events.clone();
        events.extend(ended);
        events.extend(goes_on.clone());
        let rows = rows(&events);
        assert!(rows[0].contains("0 of 3 trials"), "{rows:?}");
        assert!(rows[1].contains("▁██ "), "{rows:?}");
    }
    events.extend(goes_on);
    assert_eq!(on_terminal(&events, 100), [""; 0], "nothing has ended yet");
}

#[test]
fn a_low_terminal_and_many_trials() {
    let start = Instant::now();
    let mut events = vec![accuracy(Some(100), 0), stage_started("data", "preprocess")];
    events.extend((1..=50).map(|trial| begins(trial, values(0.1, 64))));
    events.push(ends(1, values(0.1, 64), done(0.9, None), true, 1.0));
    let live = live(&events, start);
    for height in 1..40 {
        let rows = live.rows(start, 100, height, &Palette::plain());
        assert!(rows.len() <= height.max(2), "{height}: {rows:?}");
        let data = rows.last().unwrap().starts_with("⠋ data");
        assert_eq!(data, height >= 4, "{height}: {rows:?}");
    }
    let rows = live.rows(start, 100, 30, &Palette::plain());
    assert_eq!(rows.len(), 2 + 8);
    assert!(rows[0].contains("42 more running"), "{rows:?}");
}

#[test]
fn without_a_sweep_stages_are_stages_whatever_their_names() {
    let events = [stage_finished("model@3")];
    assert_eq!(in_log(&events), ["✓ model@3   2.0 s     val_accuracy 0.9"]);
}

//! Runs written and read back, by one and by many, in good and in broken databases.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::json;

use super::{Recorder, RunHistory, RunInfo, StageStatus};
use crate::event::{Activity, Event, Metrics, RunStatus, Sink};
use crate::fingerprint::Digest;

fn info(pipeline: &str) -> RunInfo {
    RunInfo {
        pipeline: pipeline.into(),
        file: "pipelines/digits.yaml".into(),
        params: json!({"lr": 0.1}),
        command: vec!["erlen".into(), "run".into()],
        git_commit: Some("a".repeat(40)),
    }
}

fn digest(text: &str) -> Digest {
    Digest::of_bytes(text.as_bytes())
}

fn metrics(figures: &[(&str, f64)]) -> Metrics {
    figures
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value))
        .collect()
}

fn started(stage: &str, key: &str) -> Event {
    Event::StageStarted {
        stage: stage.into(),
        kind: "train".into(),
        fingerprint: digest(key),
        reason: "never ran".into(),
        attempt: 1,
        key: (key == "key 1").then(|| json!({"kind": "train", "lr": 0.1}).to_string().into()),
    }
}

fn finished(stage: &str, key: &str) -> Event {
    Event::StageFinished {
        stage: stage.into(),
        fingerprint: digest(key),
        artifact: digest("artifact"),
        metrics: metrics(&[("accuracy", 0.985), ("loss", f64::NAN)]),
        seconds: 1.5,
        peak_memory: Some(1 << 30),
        unchanged: false,
    }
}

fn over(status: RunStatus) -> Event {
    Event::RunFinished {
        status,
        ran: 1,
        reused: 0,
        failed: 0,
        skipped: 0,
        seconds: 1.0,
    }
}

fn record(db: &Path, pipeline: &str, events: &[Event]) {
    let mut recorder = Recorder::start(db, info(pipeline));
    events.iter().for_each(|event| recorder.event(event));
    let ended = events.iter().find_map(|event| match event {
        Event::RunFinished { status, .. } => Some(*status),
        _ => None,
    });
    // Without an end, the run was killed.
    if let Some(status) = ended {
        assert_eq!(recorder.close(status), None);
    }
}

#[test]
fn a_run_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("store/erlen.db");
    let empty = RunHistory::open(&db).unwrap();
    assert!(empty.runs(None, 10).unwrap().is_empty() && !db.exists());

    let epoch = |epoch| Event::StageActivity {
        stage: "model".into(),
        activity: Activity::EpochFinished {
            epoch,
            metrics: metrics(&[("train_loss", 0.5)]),
            samples_per_second: 1.0,
            seconds: 1.0,
            phases: Default::default(),
        },
    };
    let failed = Event::StageFailed {
        stage: "test".into(),
        error: "no".into(),
        log: None,
        tail: vec![],
        attempt: 1,
        retrying: false,
    };
    record(
        &db,
        "digits",
        &[
            Event::StageReused {
                stage: "raw".into(),
                fingerprint: digest("raw"),
                artifact: digest("r"),
                metrics: Metrics::new(),
                key: None,
            },
            started("model", "key 1"),
            epoch(1),
            epoch(2),
            finished("model", "key 1"),
            started("test", "key 2"),
            failed,
            Event::StageSkipped {
                stage: "onnx".into(),
                because: "test".into(),
            },
            Event::StageInterrupted {
                stage: "card".into(),
                kept: true,
            },
            over(RunStatus::Failed),
        ],
    );
    let history = RunHistory::open(&db).unwrap();
    let run = history.run(1).unwrap().unwrap();
    assert_eq!(
        history.runs(None, 10).unwrap(),
        std::slice::from_ref(&run.summary)
    );
    assert_eq!(run.summary.status, Some(RunStatus::Failed));
    assert!(run.summary.finished >= Some(run.summary.started));
    assert_eq!(run.summary.params, json!({"lr": 0.1}));
    assert_eq!(run.summary.command, ["erlen", "run"]);
    let statuses: Vec<_> = run
        .stages
        .iter()
        .map(|stage| (stage.stage.as_str(), stage.status))
        .collect();
    use StageStatus::{Failed, Interrupted, Ran, Reused, Skipped};
    assert_eq!(
        statuses,
        [
            ("card", Interrupted),
            ("model", Ran),
            ("onnx", Skipped),
            ("raw", Reused),
            ("test", Failed)
        ]
    );
    let model = &run.stages[1];
    assert_eq!(model.kind.as_deref(), Some("train"));
    assert_eq!((model.seconds, model.peak_memory), (Some(1.5), Some(1 << 30)));
    assert_eq!(
        (model.metrics["accuracy"], model.metrics["loss"].is_nan()),
        (0.985, true)
    );
    assert_eq!(model.key, json!({"kind": "train", "lr": 0.1}));
    assert_eq!(
        model.epochs.iter().map(|epoch| epoch.epoch).collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(
        (run.stages[4].error.as_deref(), run.stages[4].fingerprint),
        (Some("no"), Some(digest("key 2")))
    );
    assert!(history.run(2).unwrap().is_none());
}

#[test]
fn the_last_result_is_the_latest_of_the_same_pipeline() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("erlen.db");
    record(
        &db,
        "digits",
        &[
            started("model", "key 1"),
            finished("model", "key 1"),
            over(RunStatus::Done),
        ],
    );
    record(
        &db,
        "other",
        &[finished("model", "elsewhere"), over(RunStatus::Done)],
    );
    record(
        &db,
        "digits",
        &[
            started("model", "key 2"),
            Event::StageInterrupted {
                stage: "model".into(),
                kept: true,
            },
        ],
    );

    let history = RunHistory::open(&db).unwrap();
    let last = history.last_result("digits", "model").unwrap().unwrap();
    assert_eq!((last.run, last.fingerprint), (1, digest("key 1")));
    assert_eq!(last.key, json!({"kind": "train", "lr": 0.1}));
    assert_eq!(history.last_result("digits", "unknown").unwrap(), None);
    assert_eq!(
        history.runs(None, 1).unwrap()[0].status,
        None,
        "a run that never said that it is over"
    );
    let other = history.last_result("other", "model").unwrap().unwrap();
    assert_eq!(other.key, json!(null));
}

#[test]
fn many_write_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("erlen.db");
    let (runs, stages) = (8, 200);
    std::thread::scope(|scope| {
        for run in 0..runs {
            let db = &db;
            scope.spawn(move || {
                let events: Vec<Event> = (0..stages)
                    .map(|stage| finished(&format!("stage-{stage}"), &format!("{run}/{stage}")))
                    .chain([over(RunStatus::Done)])
                    .collect();
                record(db, "busy", &events);
            });
        }
    });
    let history = RunHistory::open(&db).unwrap();
    let summaries = history.runs(None, 100).unwrap();
    assert_eq!(summaries.len(), runs);
    for summary in summaries {
        assert_eq!(summary.status, Some(RunStatus::Done));
        assert_eq!(history.run(summary.id).unwrap().unwrap().stages.len(), stages);
    }
}

#[test]
fn recording_never_waits_for_a_locked_database() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("erlen.db");
    record(&db, "digits", &[over(RunStatus::Done)]);
    let blocker = Connection::open(&db).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();

    let start = Instant::now();
    let mut recorder = Recorder::start(&db, info("digits"));
    (0..1000).for_each(|stage| recorder.event(&finished(&format!("stage-{stage}"), "key")));
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "events waited for the lock"
    );
    blocker.execute_batch("COMMIT").unwrap();
    assert_eq!(recorder.close(RunStatus::Done), None);
    let history = RunHistory::open(&db).unwrap();
    assert_eq!(history.run(2).unwrap().unwrap().stages.len(), 1000);
}

#[test]
fn a_broken_database_only_warns() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("erlen.db");
    std::fs::write(
        &db,
        "this is not a database, whatever its name says\n".repeat(100),
    )
    .unwrap();
    let mut recorder = Recorder::start(&db, info("digits"));
    recorder.event(&finished("model", "key"));
    let warning = recorder.close(RunStatus::Done).unwrap();
    assert!(
        warning.starts_with("the history of this run is not kept: ") && warning.contains("not a database"),
        "{warning}"
    );
    assert!(RunHistory::open(&db).is_err_and(|error| error.to_string().contains("move it away")));
}

#[test]
fn a_folder_that_is_none_only_warns() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mut recorder = Recorder::start(file.join("erlen.db"), info("digits"));
    assert!(
        recorder
            .close(RunStatus::Done)
            .unwrap()
            .contains("unable to open")
    );
}

#[test]
fn a_newer_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("erlen.db");
    record(&db, "digits", &[over(RunStatus::Done)]);
    Connection::open(&db)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let warning = Recorder::start(&db, info("digits"))
        .close(RunStatus::Done)
        .unwrap();
    assert!(warning.contains("newer"), "{warning}");
    assert!(RunHistory::open(&db).is_err());
}

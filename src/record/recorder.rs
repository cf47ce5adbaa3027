//! Turns the events of a run into rows.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::StageStatus;
use super::writer::{HistoryRow, HistoryWriter};
use crate::event::{Activity, Event, Metrics, RunStatus, Sink, StageId};
use crate::fingerprint::{Digest, Fingerprint};

/// What is known of a run when it starts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunInfo {
    /// The pipeline's name.
    pub pipeline: String,
    /// The pipeline file.
    pub file: PathBuf,
    /// The parameters, as a JSON object.
    pub params: Value,
    /// The command line.
    pub command: Vec<String>,
    /// The commit of the project, where it is in git: [`git_commit`](super::git_commit).
    pub git_commit: Option<String>,
}

/// Records one run. Dropping it keeps everything recorded so far.
pub struct Recorder {
    writer: HistoryWriter,
    running: HashMap<StageId, (String, Fingerprint)>,
}

/// The parts of a stage's row; what a status has no say about stays empty.
#[derive(Debug)]
pub(super) struct StageOutcome {
    pub stage: String,
    pub kind: Option<String>,
    pub fingerprint: Option<Fingerprint>,
    pub artifact: Option<Digest>,
    pub status: StageStatus,
    pub seconds: Option<f64>,
    pub peak_memory: Option<u64>,
    pub metrics: Metrics,
    pub error: Option<String>,
}

impl Recorder {
    /// Begins to record a run in the database `db`, which is made where there is none. Whatever goes
    /// wrong is told by [`close`](Sink::close), and nothing else comes of it.
    pub fn start(db: impl Into<PathBuf>, info: RunInfo) -> Self {
        Self {
            writer: HistoryWriter::start(db.into(), info),
            running: HashMap::new(),
        }
    }

    /// Keeps the key of a stage, so that a later run can tell what changed. It is kept once for each
    /// fingerprint.
    fn keep_key(&self, event: &Event) {
        if let Event::StageReused {
            fingerprint,
            key: Some(key),
            ..
        }
        | Event::StageStarted {
            fingerprint,
            key: Some(key),
            ..
        } = event
        {
            self.writer.send(HistoryRow::Key {
                fingerprint: *fingerprint,
                key: Arc::clone(key),
            });
        }
    }

    fn ended(&mut self, stage: &StageId, status: StageStatus, error: Option<String>) {
        let (kind, fingerprint) = self.running.remove(stage).unzip();
        self.writer.send(HistoryRow::Stage(StageOutcome {
            kind,
            fingerprint,
            error,
            ..StageOutcome::new(stage, status)
        }));
    }
}

impl Sink for Recorder {
    fn event(&mut self, event: &Event) {
        self.keep_key(event);
        match event {
            Event::StageReused {
                stage,
                fingerprint,
                artifact,
                metrics,
                ..
            } => self.writer.send(HistoryRow::Stage(StageOutcome {
                fingerprint: Some(*fingerprint),
                artifact: Some(*artifact),
                metrics: metrics.clone(),
                ..StageOutcome::new(stage, StageStatus::Reused)
            })),
            Event::StageStarted {
                stage,
                kind,
                fingerprint,
                ..
            } => {
                self.running.insert(stage.clone(), (kind.clone(), *fingerprint));
            }
            Event::StageFinished {
                stage,
                fingerprint,
                artifact,
                metrics,
                seconds,
                peak_memory,
                ..
            } => {
                let kind = self.running.remove(stage).map(|(kind, _)| kind);
                self.writer.send(HistoryRow::Stage(StageOutcome {
                    kind,
                    fingerprint: Some(*fingerprint),
                    artifact: Some(*artifact),
                    metrics: metrics.clone(),
                    seconds: Some(*seconds),
                    peak_memory: *peak_memory,
                    ..StageOutcome::new(stage, StageStatus::Ran)
                }));
            }
            Event::StagePrinted { stage, text } => self.writer.send(HistoryRow::Printed {
                stage: stage.to_string(),
                fingerprint: self.running.get(stage).map(|(_, fingerprint)| *fingerprint),
                text: text.clone(),
            }),
            Event::StageFailed {
                stage,
                error,
                retrying: false,
                ..
            } => {
                self.ended(stage, StageStatus::Failed, Some(error.clone()));
            }
            Event::StagePaused { stage, .. } => self.ended(stage, StageStatus::Paused, None),
            Event::StageInterrupted { stage, .. } => self.ended(stage, StageStatus::Interrupted, None),
            Event::StageSkipped { stage, because } => {
                self.ended(stage, StageStatus::Skipped, Some(format!("because of {because}")));
            }
            Event::StageActivity {
                stage,
                activity: Activity::EpochFinished { epoch, metrics, .. },
            } => {
                self.writer.send(HistoryRow::Epoch {
                    stage: stage.to_string(),
                    epoch: *epoch,
                    metrics: metrics.clone(),
                });
            }
            Event::RunStarted { .. }
            | Event::StageWaiting { .. }
            | Event::StageActivity { .. }
            | Event::StageFailed { retrying: true, .. }
            | Event::SweepStarted { .. }
            | Event::TrialStarted { .. }
            | Event::TrialFinished { .. }
            | Event::SweepFinished { .. }
            | Event::TableWritten { .. }
            | Event::Notice { .. }
            | Event::RunFinished { .. } => {}
        }
    }

    fn close(&mut self, status: RunStatus) -> Option<String> {
        self.writer.send(HistoryRow::Finished(status));
        self.writer.close();
        self.writer.take_warning()
    }
}

impl StageOutcome {
    fn new(stage: &StageId, status: StageStatus) -> Self {
        Self {
            stage: stage.to_string(),
            kind: None,
            fingerprint: None,
            artifact: None,
            status,
            seconds: None,
            peak_memory: None,
            metrics: Metrics::new(),
            error: None,
        }
    }
}

//! Runs whose jobs are done elsewhere: by an executor that hands each over as a file, and finds what came of it in
//! another.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::event::{Event, Monitor, RunStatus};
use crate::plan::{Plan, PlanRequest};
use crate::spec::{FilePlaces, Pipeline};
use crate::stages::{Job, Registry, StageError, Surroundings};
use crate::store::{Lease, Store};

/// What happens to a job there.
#[derive(Clone, Copy, Debug)]
enum Elsewhere {
    /// It is done.
    Works,
    /// It goes on until it is asked to stop.
    WaitsForTheStop,
    /// Somebody there stops it.
    StopsIt,
}

#[derive(Debug)]
struct FarExecutor {
    capacity: Capacity,
    registry: Registry,
    elsewhere: Elsewhere,
}

impl Executor for FarExecutor {
    fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn start<'job>(
        &self,
        job: &'job Job,
        needs: Needs,
        _: &Lease,
    ) -> Result<Box<dyn RunningJob + 'job>, StageError> {
        assert_eq!(needs.cpus, 1);
        let file = job.scratch.with_file_name("job.json");
        let report = job.scratch.with_file_name("report.json");
        fs::write(&file, serde_json::to_vec(job).unwrap()).unwrap();
        if matches!(self.elsewhere, Elsewhere::Works) {
            let report = report.clone();
            std::thread::spawn(move || do_there(&file, &report));
        }
        Ok(Box::new(FarJob {
            report,
            elsewhere: self.elsewhere,
        }))
    }
}

/// The other machine's side: it has nothing but the file.
fn do_there(file: &Path, report: &Path) {
    let job: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let output = Path::new(job["output"].as_str().unwrap());
    fs::write(output.join("o"), job["stage"].as_str().unwrap()).unwrap();
    let written = report.with_extension("part");
    fs::write(&written, r#"{"metrics": {"share": 0.5}}"#).unwrap();
    fs::rename(&written, report).unwrap();
}

struct FarJob {
    report: PathBuf,
    elsewhere: Elsewhere,
}

impl RunningJob for FarJob {
    fn wait(self: Box<Self>, monitor: &Monitor) -> Result<JobReport, StageError> {
        loop {
            if monitor.stopped() || matches!(self.elsewhere, Elsewhere::StopsIt) {
                return Err(StageError::Interrupted);
            }
            if let Ok(bytes) = fs::read(&self.report) {
                return Ok(JobReport {
                    outcome: serde_json::from_slice(&bytes).unwrap(),
                    peak_memory: Some(7),
                });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// `b` takes what `a` makes.
const CHAIN: &str = "stages:
  a: {command: {run: the other side does it, outputs: [o]}}
  b: {command: {run: the other side does it, inputs: {IN: a/o}, outputs: [o]}}
";

/// Runs the chain; where `stops` is said, that is asked for once the first stage has started.
fn run(project: &TempDir, elsewhere: Elsewhere, stops: bool) -> (Completion, Vec<Event>) {
    let root = project.path();
    let pipeline = Pipeline::parse(&root.join("p.yaml"), CHAIN, &[]).unwrap();
    let store = Store::open(&root.join("store")).unwrap();
    let mut plan = Plan::new(
        &pipeline,
        &FilePlaces::new(root, IndexMap::new()),
        &store,
        PlanRequest::default(),
    )
    .unwrap();
    let capacity = Capacity {
        cpus: 2,
        memory: None,
        gpus: Vec::new(),
    };
    let options = ExecutionOptions {
        jobs: 2,
        keep_going: false,
        executor: Arc::new(FarExecutor {
            capacity,
            registry: Registry::built_in(),
            elsewhere,
        }),
        surroundings: Surroundings::of_project(root),
        durations: Durations::default(),
        source: pipeline.source.clone(),
    };
    let stop = AtomicBool::new(false);
    let mut events = Vec::new();
    let mut emit = |event: &Event| {
        let starts = matches!(event, Event::StageStarted { .. });
        stop.fetch_or(stops && starts, Ordering::Relaxed);
        events.push(event.clone());
    };
    let completion = execute(&mut plan, None, &store, &options, &stop, &mut emit);
    events.push(completion.finished());
    (completion, events)
}

#[test]
fn a_job_can_be_done_elsewhere() {
    let project = tempfile::tempdir().unwrap();
    let (completion, events) = run(&project, Elsewhere::Works, false);
    assert_eq!(completion.status, RunStatus::Done, "{events:?}");
    let finished = events.iter().filter(|event| {
        matches!(event, Event::StageFinished { metrics, peak_memory: Some(7), .. } if metrics["share"] == 0.5)
    });
    assert_eq!(finished.count(), 2);
    let (_, again) = run(&project, Elsewhere::Works, false);
    assert!(
        matches!(
            again.last(),
            Some(Event::RunFinished {
                ran: 0,
                reused: 2,
                ..
            })
        ),
        "{again:?}"
    );
}

#[test]
fn a_job_elsewhere_is_asked_to_stop_with_the_run() {
    let project = tempfile::tempdir().unwrap();
    let (completion, events) = run(&project, Elsewhere::WaitsForTheStop, true);
    assert_eq!(completion.status, RunStatus::Interrupted);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::StageInterrupted { .. }))
    );
    // What waited for it was not run.
    assert!(
        matches!(events.last(), Some(Event::RunFinished { skipped: 1, .. })),
        "{events:?}"
    );
}

#[test]
fn a_job_that_others_stop_has_failed() {
    let project = tempfile::tempdir().unwrap();
    let (completion, events) = run(&project, Elsewhere::StopsIt, false);
    assert_eq!(completion.status, RunStatus::Failed);
    assert!(
        events.iter().any(
            |event| matches!(event, Event::StageFailed { error, .. } if error.contains("signal from outside"))
        ),
        "{events:?}"
    );
    assert!(matches!(
        events.last(),
        Some(Event::RunFinished {
            failed: 1,
            skipped: 1,
            ..
        })
    ));
}

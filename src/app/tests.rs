//! What a program of its own does with the library: no binary, no terminal, all in this process.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::*;
use crate::event::{Event, RunStatus, Sink, StageId};
use crate::plan::{Decision, Plan};
use crate::report::TrialStatus;

/// A front end that keeps what it is told.
#[derive(Default)]
struct Listener {
    events: Arc<Mutex<Vec<Event>>>,
    stop: Arc<AtomicBool>,
}

struct Kept(Arc<Mutex<Vec<Event>>>);

impl Sink for Kept {
    fn event(&mut self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl FrontEnd for Listener {
    fn begin(&self, _session: &Session, _plan: Option<&Plan>) -> Result<Followers, AppError> {
        Ok(Followers {
            sinks: vec![Box::new(Kept(Arc::clone(&self.events)))],
            stop: Arc::clone(&self.stop),
        })
    }
}

impl Listener {
    fn told(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}

/// A project in a temporary folder, with one pipeline file.
fn project(pipeline: &str) -> (TempDir, PipelineRequest) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("erlen.yaml"), "").unwrap();
    let file = folder.path().join("p.yaml");
    std::fs::write(&file, pipeline).unwrap();
    (folder, PipelineRequest::of(file))
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

const DIGITS: &str = "name: digits
stages:
  data:
    preprocess:
      input: ./digits.csv.gz
      format: {csv: {label: -1, image: {height: 8, width: 8, max: 16}}}
      split: {val: 0.1, test: 0.2}
  model:
    train: {data: data, model: {mlp: {hidden: [16]}}, epochs: 2, batch_size: 64, optimizer: {sgd: {lr: 0.1}}}
  test:
    evaluate: {model: model, data: data, split: test}
tables:
  digits: {columns: {accuracy: test.accuracy}, formats: [csv]}
";

/// Two numbers are added; 7 is not liked.
const SUMS: &str = "name: sums
params: {x: 1, y: 0}
stages:
  shared:
    command: {run: 'echo > out', outputs: [out]}
  score:
    command:
      run: 'test ${x} -ne 7; echo \"{\\\"loss\\\": $((${x} + ${y}))}\" > m.json'
      inputs: {SHARED: shared}
      outputs: [m.json]
      metrics: m.json
tables:
  sums: {rows: [x], columns: {loss: score.loss}, formats: [csv]}
";

const SWEEP: &str = "sweep:
  params: {x: [3, 7, 5]}
  objective: {minimize: score.loss}
";

#[test]
fn a_model_is_trained_and_its_results_are_read() {
    let (folder, request) = project(DIGITS);
    std::fs::copy(
        repository("datasets/digits.csv.gz"),
        folder.path().join("digits.csv.gz"),
    )
    .unwrap();
    let session = Session::open(&request).unwrap();
    let mut plan = session.plan(&request).unwrap();
    let listener = Listener::default();
    let outcome = run(
        &session,
        &mut plan,
        &RunOptions::here(&listener),
        false,
        Some(&TableOutput::Project),
    )
    .unwrap();
    assert_eq!(outcome.status, RunStatus::Done, "{:?}", listener.told());
    assert!(outcome.tables[0].contains("accuracy"), "{:?}", outcome.tables);

    let results = known_results(&session, &request).unwrap();
    let trial = &results.trials[0];
    assert_eq!(trial.status, TrialStatus::Done);
    let accuracy = trial.replicates[0].stages["test"].metrics["accuracy"];
    assert!((0.5..=1.0).contains(&accuracy), "{accuracy}");
    let history = &report_input(&session, &request).unwrap().histories[0];
    assert_eq!(
        (history.stage.as_str(), history.text.lines().count()),
        ("model", 3)
    );

    let told = listener.told();
    let ended: Vec<&Event> = told
        .iter()
        .filter(|event| matches!(event, Event::StageFinished { .. }))
        .collect();
    assert_eq!(ended.len(), 3);
    assert!(matches!(
        told.last(),
        Some(Event::RunFinished {
            ran: 3,
            reused: 0,
            failed: 0,
            ..
        })
    ));

    // Nothing runs twice, and the table stays as it is.
    let mut plan = session.plan(&request).unwrap();
    assert!(plan.is_up_to_date());
    run(
        &session,
        &mut plan,
        &RunOptions::here(&listener),
        false,
        Some(&TableOutput::Project),
    )
    .unwrap();
    let told = listener.told();
    assert!(matches!(
        told.last(),
        Some(Event::RunFinished {
            ran: 0,
            reused: 3,
            ..
        })
    ));
    assert!(
        told.iter()
            .any(|event| matches!(event, Event::TableWritten { changed: false, .. }))
    );

    let past = open_history(&session.project).unwrap();
    let last = find_run(&past, "latest").unwrap();
    assert_eq!((last.summary.id, last.summary.status), (2, Some(RunStatus::Done)));
    assert_eq!(last.stages.len(), 3);
}

#[test]
fn a_small_sweep_runs_and_its_trials_are_told_apart_by_type() {
    let (folder, request) = project(&format!("{SUMS}{SWEEP}"));
    let setting = SweepSetting::load(&request.file, &[]).unwrap();
    let session = Session::open(&request).unwrap();
    let listener = Listener::default();
    let outcome = run_sweep(
        &session,
        &setting,
        &RunOptions::here(&listener),
        false,
        &TableOutput::Project,
    )
    .unwrap();
    let told = listener.told();
    // One trial fails; the others are whole.
    assert_eq!(outcome.status, RunStatus::Failed, "{told:?}");

    let mut ended: Vec<StageId> = told
        .iter()
        .filter(|event| matches!(event, Event::StageFinished { .. }))
        .filter_map(|event| event.stage().cloned())
        .collect();
    ended.sort();
    assert_eq!(
        ended,
        [
            StageId::of_trial("score", 1, None),
            StageId::of_trial("score", 3, None),
            StageId::shared("shared"),
        ]
    );
    let failed = told.iter().find_map(|event| match event {
        Event::StageFailed { stage, .. } => Some(stage.clone()),
        _ => None,
    });
    assert_eq!(failed, Some(StageId::of_trial("score", 2, None)));
    assert!(
        told.iter().any(
            |event| matches!(event, Event::SweepFinished { done: 2, failed: 1, best, .. } if best == &[1])
        )
    );

    let results = known_results(&session, &request).unwrap();
    let statuses: Vec<bool> = results
        .trials
        .iter()
        .map(|trial| trial.status == TrialStatus::Done)
        .collect();
    assert_eq!(statuses, [true, false, true]);
    let table = std::fs::read_to_string(folder.path().join("results/sums.csv")).unwrap();
    assert!(table.starts_with("x,loss\n3,3\n"), "{table}");
}

#[test]
fn tables_are_built_written_and_compared() {
    let (folder, request) = project(SUMS);
    let session = Session::open(&request).unwrap();
    let unattended = Unattended;
    let options = RunOptions::here(&unattended);
    let built = |options| match update_tables(&session, &[], &[], options).unwrap() {
        BuiltTables::Ready(tables) => tables,
        BuiltTables::Ended(status) => panic!("{status}"),
    };
    let stale = |tables: &[BuiltTable]| -> Vec<String> {
        let files = stale_files(&session, tables).unwrap();
        files.into_iter().map(|file| file.path).collect()
    };

    let tables = built(Some(&options));
    let files = ["results/sums.csv", "results/sums.provenance.json"];
    assert_eq!(stale(&tables), files);
    tables[0]
        .write(&session, &TableOutput::Project, &mut |_| {})
        .unwrap();
    assert_eq!(stale(&tables), [""; 0]);
    std::fs::write(folder.path().join(files[0]), "x,loss\n1,9\n").unwrap();
    assert_eq!(stale(&built(None)), files[..1]);

    let provenance = provenance_of(&session.project, "sums").unwrap();
    let (row, _, column, origin) = find_cell(&provenance, "loss").unwrap();
    assert_eq!((row, column, origin.figure), (1, "loss", Some(1.0)));
    let behind = made_from(&provenance, origin.values[0].fingerprint);
    assert_eq!(behind.len(), 2, "the score, and what it takes in");
    assert!(matches!(find_cell(&provenance, "los"), Err(AppError::Request(_))));

    let unknown = update_tables(&session, &["sum".to_owned()], &[], None);
    let Err(AppError::Request(problem)) = unknown else {
        panic!("there is no such table");
    };
    assert!(problem.contains("did you mean `sums`?"), "{problem}");
}

#[test]
fn a_failed_stage_is_how_a_run_ended_and_an_impossible_request_an_error() {
    let (folder, request) = project(&SUMS.replace("x: 1", "x: 7"));
    let session = Session::open(&request).unwrap();
    let unattended = Unattended;
    let options = RunOptions::here(&unattended);
    let mut plan = session.plan(&request).unwrap();
    let outcome = run(&session, &mut plan, &options, false, Some(&TableOutput::Project)).unwrap();
    assert_eq!((outcome.status, outcome.tables.len()), (RunStatus::Failed, 0));
    assert!(matches!(
        update_results(&session, &request, &options),
        Ok(Updated::Ended(RunStatus::Failed))
    ));

    let unknown = session.plan(&request.for_stages(vec!["scores".to_owned()]));
    assert!(matches!(unknown, Err(AppError::Plan { .. })));
    let target = folder.path().join("copy");
    let copied = |stage| copy_result(&session, &request, stage, None, &target);
    assert!(matches!(copied("scores"), Err(AppError::Request(_))));
    assert!(matches!(copied("score"), Err(AppError::Stopped(_))));
    copied("shared").unwrap();
    assert!(target.join("out").is_file());
    assert!(
        matches!(copied("shared"), Err(AppError::Request(_))),
        "it is there already"
    );
}

#[test]
fn a_run_that_is_stopped_goes_on_later() {
    let (_folder, request) = project(SUMS);
    let session = Session::open(&request).unwrap();
    let listener = Listener::default();
    listener.stop.store(true, Ordering::Relaxed);
    let mut plan = session.plan(&request).unwrap();
    let stopped = run(
        &session,
        &mut plan,
        &RunOptions::here(&listener),
        false,
        Some(&TableOutput::Project),
    )
    .unwrap();
    assert_eq!(stopped.status, RunStatus::Interrupted);
    listener.stop.store(false, Ordering::Relaxed);
    let outcome = run(
        &session,
        &mut plan,
        &RunOptions::here(&listener),
        false,
        Some(&TableOutput::Project),
    )
    .unwrap();
    assert_eq!((outcome.status, outcome.tables.len()), (RunStatus::Done, 1));
}

#[test]
fn why_a_stage_would_run_is_told_from_its_last_result() {
    let (_folder, request) = project(SUMS);
    let session = Session::open(&request).unwrap();
    let mut plan = session.plan(&request).unwrap();
    run(&session, &mut plan, &RunOptions::here(&Unattended), false, None).unwrap();

    let changed = PipelineRequest {
        overrides: vec!["x=2".parse().unwrap()],
        ..request
    };
    let session = Session::open(&changed).unwrap();
    let plan = session.plan(&changed).unwrap();
    let node = plan.find("score").unwrap();
    assert!(matches!(node.decision, Decision::Run(..)));
    let explanation = Explanation::new(&plan, node).unwrap();
    assert_eq!(explanation.earlier().map(|earlier| earlier.run), Some(1));
    assert_eq!(explanation.changed().into_keys().collect::<Vec<_>>(), ["run"]);
    let [now, then] = explanation.input("SHARED");
    assert!(now.is_some() && now == then);
}

#[test]
fn what_no_pipeline_needs_is_known() {
    let (folder, request) = project(SUMS);
    let session = Session::open(&request).unwrap();
    for overrides in [vec![], vec!["x=2".parse().unwrap()]] {
        let request = PipelineRequest {
            overrides,
            ..request.clone()
        };
        let session = Session::open(&request).unwrap();
        let mut plan = session.plan(&request).unwrap();
        run(&session, &mut plan, &RunOptions::here(&Unattended), false, None).unwrap();
    }
    let files = [folder.path().join("p.yaml")];
    let rules = retention_rules(&session.project, &files, "0s".parse().unwrap(), None).unwrap();
    assert!(rules.unplanned.is_empty());
    assert_eq!(
        rules.retention.needed.len(),
        2,
        "the score of x = 2 is not needed"
    );
    assert_eq!(rules.retention.last_used.len(), 3);
}

//! How the `evaluate` kind runs.

mod predictions;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Device;

use crate::data::{Dataset, SampleOrder};
use crate::event::{MetricValue, Metrics, Monitor, Unit};
use crate::schema::FieldKind;
use crate::spec::{
    self, Evaluate, EvaluationMetric, METRICS_FILE, Mistake, SampleKind, TaskRules, counted_that,
};
use crate::train::{
    self, Evaluation, JudgedModel, SplitTally, Tasks, TrainError, TrainedModel, filled_split, measure_speed,
    on_threads,
};

use super::{Job, Outcome, Registry, StageError, StageRunner, whole_models};
use predictions::Predictions;

/// Samples between two reports.
const REPORT_EVERY: u64 = 256;

/// Measures the input `model` on one split of the input `data`.
///
/// The artifact: `metrics.json`, and where asked for `predictions.csv` and the files of the task, such
/// as `confusion.csv` (rows are true classes) and `classes.csv`.
impl StageRunner for Evaluate {
    fn run(&self, job: &Job, registry: &Registry, monitor: &Monitor) -> Result<Outcome, StageError> {
        let folders: Result<Vec<&Path>, StageError> =
            self.model.roles().iter().map(|role| job.input(role)).collect();
        let (folders, data) = (folders?, job.input("data")?);
        let metrics = on_threads(job.surroundings.threads, || {
            let components = registry.training();
            let device = job.surroundings.device.open()?;
            let models: Result<Vec<TrainedModel>, TrainError> = folders
                .iter()
                .map(|folder| TrainedModel::load(folder, &device, components))
                .collect();
            run(self, &models?, &device, &components.tasks, data, job, monitor)
        })?;
        Ok(Outcome { metrics })
    }

    fn look_into(&self, files: &BTreeMap<String, PathBuf>, _: &Registry) -> Vec<Mistake> {
        whole_models::look_into(self.model.inputs(), files)
    }
}

fn run(
    options: &Evaluate,
    models: &[TrainedModel],
    device: &Device,
    tasks: &Tasks,
    data: &Path,
    job: &Job,
    monitor: &Monitor,
) -> Result<Metrics, TrainError> {
    let Some(model) = models.first() else {
        return Err(TrainError::Ensemble("there is none".to_owned()));
    };
    let card = &model.card;
    let task = model.task(tasks)?;
    let given = Dataset::open(data)?;
    // Pairs without numbers have nothing to predict but that they belong together.
    let has_none = given.compares() && given.target().kind != FieldKind::Numbers;
    let samples = SampleKind::of(card.input);
    let mistakes = spec::evaluate_mistakes(options, task.rules(), samples, has_none.then_some(0));
    if !mistakes.is_empty() {
        return Err(TrainError::Evaluation(mistakes));
    }
    let output = job.output.as_path();
    let dataset = model.meet(&given, tasks, &job.scratch, monitor)?;
    let split = filled_split(&dataset, options.split)?;
    if let Some(problem) = task.nothing_to_tell(&split)? {
        monitor.warn(format!("the split `{}`: {problem}", options.split.as_str()));
    }
    let mut judged = vec![JudgedModel::of(model, split.clone())];
    for other in &models[1..] {
        let dataset = other.meet_inputs(&given, &job.scratch, monitor)?;
        judged.push(JudgedModel::of(other, filled_split(&dataset, options.split)?));
    }
    let evaluation = Evaluation {
        task,
        loss: card.reported_loss.clone(),
        metrics: options.metrics.clone(),
        batch_size: card.batch_size as usize,
        order: SampleOrder::Given,
        test_time_flip: options.test_time_flip,
        device: device.clone(),
    };
    let mut predictions = if options.metrics.contains(&EvaluationMetric::PREDICTIONS) {
        Some(Predictions::create(output, task, &card.target)?)
    } else {
        None
    };
    let each = |index: usize, total: u64, outputs: &[f32]| {
        let done = index as u64 + 1;
        if done.is_multiple_of(REPORT_EVERY) || done == total {
            monitor.progress("evaluate", done, Some(total), Unit::Samples);
        }
        match &mut predictions {
            Some(predictions) => predictions.write(&split, index, outputs),
            None => Ok(()),
        }
    };
    let tally = train::evaluate(&judged, &evaluation, monitor, each)?;
    if let Some(predictions) = predictions {
        predictions.finish()?;
    }
    for metric in &options.metrics {
        tally.write(metric.as_str(), &card.target.names, output)?;
    }
    let mut metrics = figures(&tally, task.rules(), &options.metrics, monitor);
    if options.metrics.contains(&EvaluationMetric::SPEED) {
        let speed = measure_speed(&judged, &evaluation, monitor)?;
        metrics.insert(
            "samples_per_second".to_owned(),
            MetricValue::from(speed.samples_per_second),
        );
        metrics.insert("latency_ms".to_owned(), MetricValue::from(speed.latency_ms));
    }
    train::write_json(&output.join(METRICS_FILE), &metrics)?;
    Ok(metrics)
}

/// What always is measured, and what else was asked for.
fn figures(tally: &SplitTally, rules: &TaskRules, asked: &[EvaluationMetric], monitor: &Monitor) -> Metrics {
    let mut figures = Metrics::from([
        ("loss".to_owned(), tally.loss()),
        ("samples".to_owned(), tally.samples() as f64),
    ]);
    let measured = rules
        .metrics
        .iter()
        .filter(|metric| metric.always || asked.iter().any(|asked| asked.as_str() == metric.name));
    for &name in measured.flat_map(|metric| metric.figures) {
        let value = MetricValue::from(tally.figure(name));
        figures.insert(name, value);
        match value {
            MetricValue::Number(_) => {}
            MetricValue::Undefined => monitor.warn(format!(
                "`{name}` is not defined on this split: {} too few, or of too few kinds",
                counted_that(
                    tally.counted(),
                    "sample",
                    ["counts, which is", "count, which are"]
                )
            )),
            MetricValue::NotANumber(value) => monitor.warn(format!("`{name}` is {value} on this split")),
        }
    }
    figures
}

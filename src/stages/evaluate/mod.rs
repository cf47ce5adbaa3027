//! How the `evaluate` kind runs.

mod predictions;

use std::path::Path;

use candle_core::Device;

use crate::data::Dataset;
use crate::event::{Metrics, Monitor, Unit};
use crate::spec::{self, Evaluate, METRICS_FILE, Metric, TaskRules};
use crate::train::{self, Evaluation, SplitTally, Tasks, TrainError, TrainedModel, filled_split, on_threads};

use super::{Job, Outcome, Registry, StageError, StageRunner};
use predictions::Predictions;

/// Samples between two reports.
const REPORT_EVERY: u64 = 256;

/// Measures the input `model` on one split of the input `data`.
///
/// The artifact: `metrics.json`, and where asked for `predictions.csv` and the files of the task, such
/// as `confusion.csv` (rows are true classes) and `classes.csv`.
impl StageRunner for Evaluate {
    fn run(&self, job: &Job, registry: &Registry, monitor: &Monitor) -> Result<Outcome, StageError> {
        let (model, data) = (job.input("model")?, job.input("data")?);
        let metrics = on_threads(job.surroundings.threads, || {
            let components = registry.training();
            let model = TrainedModel::load(model, &job.surroundings.device.open()?, components)?;
            run(self, &model, &components.tasks, data, &job.output, monitor)
        })?;
        Ok(Outcome { metrics })
    }
}

fn run(
    options: &Evaluate,
    model: &TrainedModel,
    tasks: &Tasks,
    data: &Path,
    output: &Path,
    monitor: &Monitor,
) -> Result<Metrics, TrainError> {
    let card = &model.card;
    let task = model.task(tasks)?;
    let mistakes = spec::evaluate_mistakes(options, task.rules(), card.input.is_image());
    if !mistakes.is_empty() {
        return Err(TrainError::Evaluation(mistakes));
    }
    let dataset = Dataset::open(data)?;
    model.check_data(&dataset, tasks)?;
    let split = filled_split(&dataset, options.split)?;
    let asked: Vec<&str> = options.metrics.iter().map(|metric| metric.as_str()).collect();
    let evaluation = Evaluation {
        precision: card.precision,
        normalization: card.normalization.clone(),
        transforms: card.transforms.clone(),
        task,
        target: card.target.clone(),
        loss: card.reported_loss.clone(),
        metrics: asked.clone(),
        batch_size: card.batch_size as usize,
        test_time_flip: options.test_time_flip,
        device: model
            .network
            .parameters()
            .first()
            .map_or(Device::Cpu, |parameter| parameter.var.device().clone()),
    };
    let mut predictions = if options.metrics.contains(&Metric::Predictions) {
        Some(Predictions::create(output, task, &card.target)?)
    } else {
        None
    };
    let total = split.len() as u64;
    let each = |index: usize, outputs: &[f32]| {
        let done = index as u64 + 1;
        if done.is_multiple_of(REPORT_EVERY) || done == total {
            monitor.progress("evaluate", done, Some(total), Unit::Samples);
        }
        match &mut predictions {
            Some(predictions) => predictions.write(&split, index, outputs),
            None => Ok(()),
        }
    };
    let tally = train::evaluate(&model.network, &split, &evaluation, monitor, each)?;
    if let Some(predictions) = predictions {
        predictions.finish()?;
    }
    for metric in &asked {
        tally.write(metric, &card.target.names, output)?;
    }
    let metrics = figures(&tally, task.rules(), &asked, monitor);
    train::write_json(&output.join(METRICS_FILE), &metrics)?;
    Ok(metrics)
}

/// What always is measured, and what else was asked for.
fn figures(tally: &SplitTally, rules: &TaskRules, asked: &[&str], monitor: &Monitor) -> Metrics {
    let mut figures = Metrics::from([
        ("loss".to_owned(), tally.loss()),
        ("samples".to_owned(), tally.samples() as f64),
    ]);
    let measured = rules
        .metrics
        .iter()
        .filter(|metric| metric.always || asked.contains(&metric.name));
    for &name in measured.flat_map(|metric| metric.figures) {
        match tally.figure(name) {
            Some(value) => {
                figures.insert(name.to_owned(), value);
            }
            None => monitor.warn(format!(
                "`{name}` is not defined on this split: it has too few kinds of samples"
            )),
        }
    }
    figures
}

//! The `evaluate` kind: [`EvaluateStage`].

mod files;

use std::path::Path;

use candle_core::Device;

use crate::data::Dataset;
use crate::event::{Metrics, Monitor, Unit};
use crate::spec::{Evaluate, Kind, Metric, Task};
use crate::train::{
    self, Card, Evaluation, Judged, Tally, TrainError, TrainedModel, filled_split, on_threads,
};

use super::{Job, Outcome, Stage, StageError};
use files::{Predictions, write_classes, write_confusion};

/// Samples between two reports.
const REPORT_EVERY: u64 = 256;

/// Measures the input `model` on one split of the input `data`.
///
/// The artifact: `metrics.json`, and where asked for `confusion.csv` (rows are true classes),
/// `classes.csv` and `predictions.csv`.
pub struct EvaluateStage;

impl Stage for EvaluateStage {
    fn run(&self, job: &Job, monitor: &Monitor) -> Result<Outcome, StageError> {
        let Kind::Evaluate(options) = &job.kind else {
            return Err(StageError::failed(
                "an evaluate stage was handed a job of another kind",
            ));
        };
        let (model, data) = (job.input("model")?, job.input("data")?);
        let metrics = on_threads(job.surroundings.threads, || {
            let model = TrainedModel::load(model, &job.surroundings.device.open()?)?;
            run(options, &model, data, &job.output, monitor)
        })?;
        Ok(Outcome { metrics })
    }
}

fn run(
    options: &Evaluate,
    model: &TrainedModel,
    data: &Path,
    output: &Path,
    monitor: &Monitor,
) -> Result<Metrics, TrainError> {
    let card = &model.card;
    check_metrics(options, card)?;
    let dataset = Dataset::open(data)?;
    model.check_data(&dataset)?;
    let split = filled_split(&dataset, options.split)?;
    let evaluation = Evaluation {
        precision: card.precision,
        normalization: card.normalization.clone(),
        transforms: card.transforms.clone(),
        target: card.target.clone(),
        loss: card.reported_loss.clone(),
        batch_size: card.batch_size as usize,
        test_time_flip: options.test_time_flip,
        keep_scores: options.metrics.contains(&Metric::RocAuc),
        device: model
            .network
            .parameters()
            .first()
            .map_or(Device::Cpu, |parameter| parameter.var.device().clone()),
    };
    let asked = |metric| options.metrics.contains(&metric);
    let mut predictions = if asked(Metric::Predictions) {
        Some(Predictions::create(output, &card.target)?)
    } else {
        None
    };
    let total = split.len() as u64;
    let each = |index: usize, judged: &Judged| {
        let done = index as u64 + 1;
        if done.is_multiple_of(REPORT_EVERY) || done == total {
            monitor.progress("evaluate", done, Some(total), Unit::Samples);
        }
        match &mut predictions {
            Some(predictions) => predictions.write(&split, index, judged),
            None => Ok(()),
        }
    };
    let tally = train::evaluate(&model.network, &split, &evaluation, monitor, each)?;
    if let Some(predictions) = predictions {
        predictions.finish()?;
    }
    let names = &card.target.names;
    if asked(Metric::Confusion) {
        write_confusion(&output.join("confusion.csv"), &tally, names)?;
    }
    if asked(Metric::PerClass) {
        write_classes(&output.join("classes.csv"), &tally.class_figures(), names)?;
    }
    let metrics = figures(&tally, card.target.task, &options.metrics, monitor);
    train::write_json(&output.join("metrics.json"), &metrics)?;
    Ok(metrics)
}

/// Fails where a figure is asked for that such data does not have.
fn check_metrics(options: &Evaluate, card: &Card) -> Result<(), TrainError> {
    let task = card.target.task;
    for metric in &options.metrics {
        if !metric.tasks().contains(&task) {
            return Err(TrainError::Recipe(format!(
                "`{}` is not defined for a model that predicts {}: take it out of `metrics`",
                metric.as_str(),
                task.predicts()
            )));
        }
    }
    if options.test_time_flip && !card.input.is_image() {
        return Err(TrainError::Recipe(
            "`test_time_flip` mirrors images, and the data is a table: leave it out".to_owned(),
        ));
    }
    Ok(())
}

/// What always is measured, and what else was asked for.
fn figures(tally: &Tally, task: Task, asked: &[Metric], monitor: &Monitor) -> Metrics {
    let always: &[Metric] = match task {
        Task::Regression => &[Metric::Mae, Metric::Rmse, Metric::R2],
        Task::Classification | Task::MultiLabel => &[Metric::Accuracy],
    };
    let mut figures = Metrics::from([
        ("loss".to_owned(), tally.loss()),
        ("samples".to_owned(), tally.samples() as f64),
    ]);
    for &metric in always.iter().chain(asked) {
        match metric {
            Metric::PerClass => {
                let names = Metric::MACRO_MEANS.map(str::to_owned);
                figures.extend(names.into_iter().zip(tally.macro_means().into_iter().flatten()));
                continue;
            }
            Metric::Loss | Metric::Confusion | Metric::Predictions => continue,
            _ => {}
        }
        let name = metric.as_str();
        match tally.figure(metric) {
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

//! The `evaluate` kind: [`EvaluateStage`].

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use candle_core::Device;

use crate::data::{Dataset, Split};
use crate::event::{Metrics, Monitor, Unit};
use crate::spec::{Evaluate, Kind, Metric};
use crate::train::{self, Evaluation, Judged, Tally, TrainError, TrainedModel, filled_split, on_threads};

use super::{Job, Outcome, Stage, StageError};

/// With more classes than this, `predictions.csv` gives only the predicted class's probability.
const PROBABILITY_COLUMNS: usize = 20;
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
        let metrics = on_threads(job.threads, || run(options, model, data, &job.output, monitor))?;
        Ok(Outcome { metrics })
    }
}

fn run(
    options: &Evaluate,
    model: &Path,
    data: &Path,
    output: &Path,
    monitor: &Monitor,
) -> Result<Metrics, TrainError> {
    let model = TrainedModel::load(model, &Device::Cpu)?;
    let dataset = Dataset::open(data)?;
    model.check_data(dataset.shape(), dataset.classes())?;
    let split = filled_split(&dataset, options.split)?;
    let classes = &model.card.classes;
    let evaluation = Evaluation {
        precision: model.card.precision,
        normalization: model.card.normalization.clone(),
        batch_size: model.card.batch_size as usize,
    };
    let asked = |metric| options.metrics.contains(&metric);
    let mut predictions = if asked(Metric::Predictions) {
        Some(Predictions::create(output, classes)?)
    } else {
        None
    };
    let total = split.len() as u64;
    let each = |index: usize, label: usize, judged: &Judged| {
        let done = index as u64 + 1;
        if done.is_multiple_of(REPORT_EVERY) || done == total {
            monitor.progress("evaluate", done, Some(total), Unit::Samples);
        }
        match &mut predictions {
            Some(predictions) => predictions.write(&split, index, label, judged),
            None => Ok(()),
        }
    };
    let tally = train::evaluate(&model.network, &split, &evaluation, monitor, each)?;
    if let Some(predictions) = predictions {
        predictions.finish()?;
    }
    if asked(Metric::Confusion) {
        write_confusion(&output.join("confusion.csv"), &tally, classes)?;
    }
    if asked(Metric::PerClass) {
        write_classes(&output.join("classes.csv"), &tally, classes)?;
    }
    let metrics = figures(&tally, &options.metrics);
    train::write_json(&output.join("metrics.json"), &metrics)?;
    Ok(metrics)
}

/// Accuracy, loss and what else was asked for.
fn figures(tally: &Tally, asked: &[Metric]) -> Metrics {
    let mut figures = vec![("accuracy", tally.accuracy()), ("loss", Some(tally.loss()))];
    for metric in asked {
        match metric {
            Metric::Top3 => figures.push(("top3", tally.top(3))),
            Metric::Top5 => figures.push(("top5", tally.top(5))),
            Metric::PerClass => {
                let names = ["macro_precision", "macro_recall", "macro_f1"];
                let means = tally.macro_means().into_iter().flatten();
                figures.extend(names.into_iter().zip(means.map(Some)));
            }
            _ => {}
        }
    }
    let named = figures
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    named.collect()
}

/// A CSV file of the artifact.
struct CsvFile {
    path: PathBuf,
    writer: csv::Writer<BufWriter<File>>,
}

impl CsvFile {
    fn create(path: PathBuf) -> Result<Self, TrainError> {
        match File::create(&path) {
            Ok(file) => Ok(Self {
                path,
                writer: csv::Writer::from_writer(BufWriter::new(file)),
            }),
            Err(source) => Err(TrainError::Write { path, source }),
        }
    }

    fn row(&mut self, cells: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<(), TrainError> {
        self.writer
            .write_record(cells)
            .map_err(|error| TrainError::Write {
                path: self.path.clone(),
                source: error.into(),
            })
    }

    fn finish(mut self) -> Result<(), TrainError> {
        self.writer.flush().map_err(|source| TrainError::Write {
            path: self.path,
            source,
        })
    }
}

/// Rows are true classes, columns predicted ones.
fn write_confusion(path: &Path, tally: &Tally, classes: &[String]) -> Result<(), TrainError> {
    let mut file = CsvFile::create(path.to_owned())?;
    file.row(std::iter::once("class").chain(classes.iter().map(String::as_str)))?;
    for (label, class) in classes.iter().enumerate() {
        let counts = (0..classes.len()).map(|predicted| tally.confused(label, predicted).to_string());
        file.row(std::iter::once(class.clone()).chain(counts))?;
    }
    file.finish()
}

fn write_classes(path: &Path, tally: &Tally, classes: &[String]) -> Result<(), TrainError> {
    let mut file = CsvFile::create(path.to_owned())?;
    file.row(["class", "precision", "recall", "f1", "support"])?;
    for (class, figures) in classes.iter().zip(tally.class_figures()) {
        file.row([
            class.clone(),
            figures.precision.to_string(),
            figures.recall.to_string(),
            figures.f1.to_string(),
            figures.support.to_string(),
        ])?;
    }
    file.finish()
}

/// `predictions.csv`: one row a sample, in the split's order.
struct Predictions<'a> {
    file: CsvFile,
    classes: &'a [String],
}

impl<'a> Predictions<'a> {
    fn create(output: &Path, classes: &'a [String]) -> Result<Self, TrainError> {
        let mut file = CsvFile::create(output.join("predictions.csv"))?;
        let columns = ["sample", "class", "predicted", "probability"];
        let mut columns: Vec<String> = columns.map(str::to_owned).to_vec();
        if classes.len() <= PROBABILITY_COLUMNS {
            columns.extend(classes.iter().map(|class| format!("p({class})")));
        }
        file.row(columns)?;
        Ok(Self { file, classes })
    }

    fn write(
        &mut self,
        split: &Split,
        index: usize,
        label: usize,
        judged: &Judged,
    ) -> Result<(), TrainError> {
        let Judged::Class {
            predicted,
            probabilities,
        } = judged
        else {
            return Ok(());
        };
        let mut cells = vec![
            split.origin(index),
            self.classes[label].clone(),
            self.classes[*predicted].clone(),
            probabilities[*predicted].to_string(),
        ];
        if self.classes.len() <= PROBABILITY_COLUMNS {
            cells.extend(probabilities.iter().map(f64::to_string));
        }
        self.file.row(cells)
    }

    fn finish(self) -> Result<(), TrainError> {
        self.file.finish()
    }
}

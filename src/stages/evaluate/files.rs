//! The tables in an evaluation's artifact.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use crate::data::Split;
use crate::train::{ClassFigures, Judged, Tally, Target, TrainError};

/// With more classes than this, `predictions.csv` gives only the predicted class's probability.
const PROBABILITY_COLUMNS: usize = 20;

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
pub(super) fn write_confusion(path: &Path, tally: &Tally, classes: &[String]) -> Result<(), TrainError> {
    let mut file = CsvFile::create(path.to_owned())?;
    file.row(std::iter::once("class").chain(classes.iter().map(String::as_str)))?;
    for (label, class) in classes.iter().enumerate() {
        let counts = (0..classes.len()).map(|predicted| tally.confused(label, predicted).to_string());
        file.row(std::iter::once(class.clone()).chain(counts))?;
    }
    file.finish()
}

/// One row a class or label.
pub(super) fn write_classes(
    path: &Path,
    figures: &[ClassFigures],
    classes: &[String],
) -> Result<(), TrainError> {
    let mut file = CsvFile::create(path.to_owned())?;
    file.row(["class", "precision", "recall", "f1", "support"])?;
    for (class, figures) in classes.iter().zip(figures) {
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
pub(super) struct Predictions<'a> {
    file: CsvFile,
    target: &'a Target,
    /// A sample's labels or numbers.
    values: Vec<f32>,
}

impl<'a> Predictions<'a> {
    pub fn create(output: &Path, target: &'a Target) -> Result<Self, TrainError> {
        use crate::spec::Task;

        let mut file = CsvFile::create(output.join("predictions.csv"))?;
        let names = &target.names;
        let mut columns = vec!["sample".to_owned()];
        match target.task {
            Task::Classification => {
                columns.extend(["class", "predicted", "probability"].map(str::to_owned));
                if names.len() <= PROBABILITY_COLUMNS {
                    columns.extend(names.iter().map(|name| format!("p({name})")));
                }
            }
            Task::MultiLabel => {
                columns.extend(names.iter().flat_map(|name| [name.clone(), format!("p({name})")]));
            }
            Task::Regression => {
                let pairs = names
                    .iter()
                    .flat_map(|name| [name.clone(), format!("predicted {name}")]);
                columns.extend(pairs);
            }
        }
        file.row(columns)?;
        Ok(Self {
            file,
            target,
            values: vec![0.0; names.len()],
        })
    }

    pub fn write(&mut self, split: &Split, index: usize, judged: &Judged) -> Result<(), TrainError> {
        let names = &self.target.names;
        let mut cells = vec![split.origin(index)];
        match judged {
            Judged::Class {
                predicted,
                probabilities,
            } => {
                let class = split.class(index).and_then(|class| names.get(class as usize));
                cells.push(class.cloned().unwrap_or_default());
                cells.push(names[*predicted].clone());
                cells.push(probabilities[*predicted].to_string());
                if names.len() <= PROBABILITY_COLUMNS {
                    cells.extend(probabilities.iter().map(f64::to_string));
                }
            }
            Judged::Labels { probabilities } => {
                split.target_values(index, &mut self.values)?;
                for (wanted, probability) in self.values.iter().zip(probabilities) {
                    cells.extend([wanted.to_string(), probability.to_string()]);
                }
            }
            Judged::Numbers { values } => {
                split.target_values(index, &mut self.values)?;
                for (wanted, value) in self.values.iter().zip(values) {
                    cells.extend([wanted.to_string(), value.to_string()]);
                }
            }
        }
        self.file.row(cells)
    }

    pub fn finish(self) -> Result<(), TrainError> {
        self.file.finish()
    }
}

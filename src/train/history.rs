//! What each epoch gave: the rows of `history.csv`, and those of `validations.csv`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::TrainError;
use super::tasks::{CsvFile, float_text};
use crate::event::{MetricValue, Metrics};
use crate::metric::{Direction, EpochSplit};
use crate::spec::ArtifactTable;

/// The column that counts; the others measure.
const COUNTED: &str = "skipped_steps";

/// A number that keeps its exact bits in JSON.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub struct Exact(pub f64);

impl PartialEq for Exact {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl From<u64> for Exact {
    fn from(bits: u64) -> Self {
        Self(f64::from_bits(bits))
    }
}

impl From<Exact> for u64 {
    fn from(value: Exact) -> Self {
        value.0.to_bits()
    }
}

/// The figure of validations that decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitored {
    /// Its name in the history: `val_loss`, or `val_` and the task's score or what else it measures.
    pub name: String,
    /// Which way it is better.
    pub better: Direction,
}

/// What a validation gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The epoch that it falls into, from 1.
    pub epoch: u32,
    /// Optimizer steps before it.
    pub step: u64,
    /// The mean loss on the validation split.
    pub loss: Exact,
    /// The score on the validation split.
    pub score: Exact,
    /// What else the task measures there, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub further: BTreeMap<String, Exact>,
}

impl Judgement {
    /// The figure that is monitored.
    pub fn monitored(&self, monitored: &Monitored) -> f64 {
        match monitored.name.as_str() {
            "val_loss" => self.loss.0,
            name => {
                let measured = EpochSplit::of_column(name).filter(|(split, _)| *split == EpochSplit::Val);
                let further = measured.and_then(|(_, name)| self.further.get(name));
                further.unwrap_or(&self.score).0
            }
        }
    }
}

/// One epoch's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochFigures {
    /// From 1.
    pub epoch: u32,
    /// The learning rate of the epoch's last step.
    pub lr: Exact,
    /// Which score it is: the name of a metric.
    pub score: String,
    /// The mean training loss over the epoch, while the weights changed.
    pub train_loss: Exact,
    /// The score over the epoch, while the weights changed.
    pub train_score: Exact,
    /// The epoch's last validation, where it had one.
    pub validation: Option<Judgement>,
    /// The mean L2 norm of the steps' gradients, before they were clipped.
    pub gradient_norm: Exact,
    /// In f16: what stands at the epoch's end.
    pub scaling: Option<Scaling>,
}

/// What half precision did in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// The loss scale at the epoch's end.
    pub loss_scale: Exact,
    /// Optimizer steps of this epoch that were skipped because something overflowed.
    pub skipped_steps: u64,
}

impl EpochFigures {
    /// The row's figures by column name, without the epoch; those that the epoch has.
    pub fn metrics(&self) -> Metrics {
        let score = &self.score;
        let judged = |of: fn(&Judgement) -> Exact| self.validation.as_ref().map(|given| of(given).0);
        let columns = [
            ("lr".to_owned(), Some(self.lr.0)),
            ("train_loss".to_owned(), Some(self.train_loss.0)),
            (format!("train_{score}"), Some(self.train_score.0)),
            ("val_loss".to_owned(), judged(|given| given.loss)),
            (format!("val_{score}"), judged(|given| given.score)),
            ("gradient_norm".to_owned(), Some(self.gradient_norm.0)),
            (
                "loss_scale".to_owned(),
                self.scaling.map(|scaling| scaling.loss_scale.0),
            ),
            (
                COUNTED.to_owned(),
                self.scaling.map(|scaling| scaling.skipped_steps as f64),
            ),
        ];
        // An epoch in which every step overflowed has neither a loss nor a gradient, and a validation
        // without what a score is made of has no score: not a number is what is not defined there.
        let further = self.validation.iter().flat_map(|given| &given.further);
        let further = further.map(|(name, value)| (format!("val_{name}"), Some(value.0)));
        let known = columns.into_iter().chain(further).filter_map(|(name, value)| {
            let value = value?;
            let value = if value.is_nan() {
                MetricValue::Undefined
            } else {
                value.into()
            };
            Some((name, value))
        });
        known.collect()
    }
}

/// Writes [`ArtifactTable::HISTORY`] into `folder`, with a column for whatever a row knows. Numbers are in their
/// shortest form that reads back the same; what is measured has a point or an exponent even where it is whole,
/// so that no reader takes the column for integers; what is not defined is empty.
///
/// # Errors
/// The file cannot be written.
pub fn write_history(folder: &Path, rows: &[EpochFigures]) -> Result<(), TrainError> {
    let metrics: Vec<Metrics> = rows.iter().map(EpochFigures::metrics).collect();
    let score = rows.first().map_or("accuracy", |row| row.score.as_str());
    let mut columns = vec![
        "lr".to_owned(),
        "train_loss".to_owned(),
        format!("train_{score}"),
        "val_loss".to_owned(),
        format!("val_{score}"),
    ];
    let judged = rows.iter().flat_map(|row| &row.validation);
    let further: BTreeSet<&String> = judged.flat_map(|given| given.further.keys()).collect();
    columns.extend(further.into_iter().map(|name| format!("val_{name}")));
    columns.extend(["gradient_norm", "loss_scale", COUNTED].map(str::to_owned));
    columns.retain(|column| metrics.iter().any(|row| row.number(column).is_some()));
    let mut file = CsvFile::create(folder, ArtifactTable::HISTORY, columns.iter().cloned())?;
    for (row, metrics) in rows.iter().zip(&metrics) {
        let cells = columns.iter().map(|name| match metrics.number(name) {
            Some(count) if name == COUNTED => count.to_string(),
            Some(value) => float_text(value),
            None => String::new(),
        });
        file.row(std::iter::once(row.epoch.to_string()).chain(cells))?;
    }
    file.finish()
}

/// Writes [`ArtifactTable::VALIDATIONS`] into `folder`.
///
/// # Errors
/// The file cannot be written.
pub fn write_validations(folder: &Path, score: &str, validations: &[Judgement]) -> Result<(), TrainError> {
    let further: BTreeSet<&String> = validations
        .iter()
        .flat_map(|given| given.further.keys())
        .collect();
    let titles = further.iter().map(|name| format!("val_{name}"));
    let titles = std::iter::once(format!("val_{score}")).chain(titles);
    let mut file = CsvFile::create(folder, ArtifactTable::VALIDATIONS, titles)?;
    for given in validations {
        let cells = [
            given.epoch.to_string(),
            given.step.to_string(),
            float_text(given.loss.0),
            float_text(given.score.0),
        ];
        let more = further.iter().map(|name| {
            let value = given.further.get(*name);
            value.map_or_else(String::new, |value| float_text(value.0))
        });
        file.row(cells.into_iter().chain(more))?;
    }
    file.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(epoch: u32) -> EpochFigures {
        EpochFigures {
            epoch,
            lr: Exact(0.1),
            score: "accuracy".to_owned(),
            train_loss: Exact(1.0 / 3.0),
            train_score: Exact(0.5),
            validation: None,
            gradient_norm: Exact(2.5),
            scaling: None,
        }
    }

    #[test]
    fn columns_are_those_that_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        write_history(folder.path(), &[row(1), row(2)]).unwrap();
        assert_eq!(
            read("history.csv"),
            "epoch,lr,train_loss,train_accuracy,gradient_norm\n\
             1,0.1,0.3333333333333333,0.5,2.5\n\
             2,0.1,0.3333333333333333,0.5,2.5\n"
        );

        let judgement = Judgement {
            epoch: 2,
            step: 12,
            loss: Exact(2.0),
            score: Exact(0.25),
            further: BTreeMap::new(),
        };
        let full = EpochFigures {
            validation: Some(judgement.clone()),
            scaling: Some(Scaling {
                loss_scale: Exact(1024.0),
                skipped_steps: 3,
            }),
            score: "mae".to_owned(),
            ..row(2)
        };
        let first = EpochFigures {
            score: "mae".to_owned(),
            ..row(1)
        };
        write_history(folder.path(), &[first, full]).unwrap();
        assert_eq!(
            read("history.csv"),
            "epoch,lr,train_loss,train_mae,val_loss,val_mae,gradient_norm,loss_scale,skipped_steps\n\
             1,0.1,0.3333333333333333,0.5,,,2.5,,\n\
             2,0.1,0.3333333333333333,0.5,2.0,0.25,2.5,1024.0,3\n"
        );
        write_validations(folder.path(), "mae", &[judgement]).unwrap();
        assert_eq!(
            read("validations.csv"),
            "epoch,step,val_loss,val_mae\n2,12,2.0,0.25\n"
        );
    }

    #[test]
    fn exact_numbers_keep_their_bits() {
        for value in [0.1 + 0.2, f64::NAN, -0.0, 5e-324] {
            let text = serde_json::to_string(&Exact(value)).unwrap();
            let back: Exact = serde_json::from_str(&text).unwrap();
            assert_eq!(back.0.to_bits(), value.to_bits());
        }
    }
}

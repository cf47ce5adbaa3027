//! What each epoch gave: the rows of `history.csv`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::TrainError;
use crate::event::Metrics;

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

/// One epoch's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// From 1.
    pub epoch: u32,
    /// The learning rate of the epoch's last step.
    pub lr: Exact,
    /// The mean training loss over the epoch, while the weights changed.
    pub train_loss: Exact,
    /// The share of training samples that were classified rightly, while the weights changed.
    pub train_accuracy: Exact,
    /// The mean cross-entropy on the validation split after the epoch.
    pub val_loss: Option<Exact>,
    /// The accuracy on the validation split after the epoch.
    pub val_accuracy: Option<Exact>,
    /// In f16: optimizer steps of this epoch that were skipped because gradients overflowed.
    pub skipped_steps: Option<u64>,
}

impl EpochRow {
    /// The row's figures by column name, without the epoch.
    pub fn metrics(&self) -> Metrics {
        let columns = [
            ("lr", Some(self.lr.0)),
            ("train_loss", Some(self.train_loss.0)),
            ("train_accuracy", Some(self.train_accuracy.0)),
            ("val_loss", self.val_loss.map(|value| value.0)),
            ("val_accuracy", self.val_accuracy.map(|value| value.0)),
            ("skipped_steps", self.skipped_steps.map(|count| count as f64)),
        ];
        let known = columns
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        known.collect()
    }
}

/// Writes `rows` as CSV, with a column for what the first row knows. Numbers are in their shortest
/// form that reads back the same.
///
/// # Errors
/// The file cannot be written.
pub fn write_history(path: &Path, rows: &[EpochRow]) -> Result<(), TrainError> {
    let failed = |error: csv::Error| TrainError::Write {
        path: path.to_owned(),
        source: error.into(),
    };
    let mut writer = csv::Writer::from_path(path).map_err(failed)?;
    let validated = rows.iter().any(|row| row.val_loss.is_some());
    let scaled = rows.iter().any(|row| row.skipped_steps.is_some());
    let columns: Vec<&str> = ["epoch", "lr", "train_loss", "train_accuracy"]
        .into_iter()
        .chain(
            validated
                .then_some(["val_loss", "val_accuracy"])
                .into_iter()
                .flatten(),
        )
        .chain(scaled.then_some("skipped_steps"))
        .collect();
    writer.write_record(&columns).map_err(failed)?;
    for row in rows {
        let mut metrics = row.metrics();
        metrics.insert("epoch".to_owned(), f64::from(row.epoch));
        let cells = columns
            .iter()
            .map(|&column| metrics.get(column).map(f64::to_string).unwrap_or_default());
        writer.write_record(cells).map_err(failed)?;
    }
    writer.flush().map_err(|source| TrainError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(epoch: u32) -> EpochRow {
        EpochRow {
            epoch,
            lr: Exact(0.1),
            train_loss: Exact(1.0 / 3.0),
            train_accuracy: Exact(0.5),
            val_loss: None,
            val_accuracy: None,
            skipped_steps: None,
        }
    }

    #[test]
    fn columns_are_those_that_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.csv");
        write_history(&path, &[row(1), row(2)]).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "epoch,lr,train_loss,train_accuracy\n\
             1,0.1,0.3333333333333333,0.5\n\
             2,0.1,0.3333333333333333,0.5\n"
        );

        let full = EpochRow {
            val_loss: Some(Exact(2.0)),
            val_accuracy: Some(Exact(0.25)),
            skipped_steps: Some(3),
            ..row(1)
        };
        write_history(&path, &[full]).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy,skipped_steps\n\
             1,0.1,0.3333333333333333,0.5,2,0.25,3\n"
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

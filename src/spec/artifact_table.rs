//! The tables that stages leave in their artifacts: who writes one and who reads it know it by the same
//! definition.

use std::collections::BTreeMap;

use super::choice::Named;
use super::{Evaluate, Predict, Preprocess, Quantize, Train};

/// A table in the artifacts of a kind: a CSV file with a line of titles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArtifactTable {
    /// The kind of the stages that write it.
    pub kind: &'static str,
    /// The file's name.
    pub name: &'static str,
    /// The titles of its first columns, which every such table has. What further columns are called, the
    /// metrics, classes or targets at hand decide.
    pub titles: &'static [&'static str],
}

impl ArtifactTable {
    /// What each epoch of a training gave, with figures under their metrics' names.
    pub const HISTORY: Self = Self {
        kind: Train::NAME,
        name: "history.csv",
        titles: &[EPOCH],
    };

    /// The validations of a training, where they were asked for within epochs; `step` counts the optimizer's.
    /// The score follows under its metric's name.
    pub const VALIDATIONS: Self = Self {
        kind: Train::NAME,
        name: "validations.csv",
        titles: &[EPOCH, "step", "val_loss"],
    };

    /// How often each class (a row) was taken for each class (a column, under its name).
    pub const CONFUSION: Self = Self {
        kind: Evaluate::NAME,
        name: "confusion.csv",
        titles: &["class"],
    };

    /// The figures of each class or label.
    pub const CLASSES: Self = Self {
        kind: Evaluate::NAME,
        name: "classes.csv",
        titles: &["class", "precision", "recall", "f1", "support"],
    };

    /// What was predicted for each sample, in columns that its task names.
    pub const PREDICTIONS: Self = Self {
        kind: Evaluate::NAME,
        name: "predictions.csv",
        titles: &["sample"],
    };

    /// What each layer of a network loses by being quantized, in the order of the network.
    pub const LAYERS: Self = Self {
        kind: Quantize::NAME,
        name: "layers.csv",
        titles: &["layer", "weights", "signal_to_noise_db"],
    };

    /// What is wrong with files that were left out, and with parts of them.
    pub const PROBLEMS: Self = Self {
        kind: Preprocess::NAME,
        name: "problems.csv",
        titles: &["file", "kind", "problem"],
    };

    /// What could not be predicted for, and why.
    pub const SKIPPED: Self = Self {
        kind: Predict::NAME,
        name: "skipped.csv",
        titles: &["sample", "problem"],
    };
}

/// The column of the epochs, from 1.
pub const EPOCH: &str = "epoch";

/// The file with the metrics of an evaluation: one JSON object.
pub const METRICS_FILE: &str = "metrics.json";

/// What a table in an artifact holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sheet {
    /// The titles.
    pub titles: Vec<String>,
    /// The other lines, each as long as the titles.
    pub rows: Vec<Vec<String>>,
}

impl Sheet {
    /// Reads `text`; nothing where it is no table.
    pub fn read(text: &str) -> Option<Self> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let titles = reader.headers().ok()?.iter().map(str::to_owned).collect();
        let rows: Result<Vec<Vec<String>>, csv::Error> = reader
            .records()
            .map(|record| Ok(record?.iter().map(str::to_owned).collect()))
            .collect();
        Some(Self {
            titles,
            rows: rows.ok()?,
        })
    }

    /// Reads `text` as a table of the form of `table`; nothing where it is none.
    pub fn of(table: ArtifactTable, text: &str) -> Option<Self> {
        let sheet = Self::read(text)?;
        let first = sheet.titles.iter().map(String::as_str);
        let fits = first.take(table.titles.len()).eq(table.titles.iter().copied());
        fits.then_some(sheet)
    }

    /// The columns by title; cells that are no numbers are NaN.
    pub fn into_columns(self) -> BTreeMap<String, Vec<f64>> {
        let columns = self.titles.into_iter().enumerate().map(|(index, title)| {
            let cells = self.rows.iter().map(|row| cell_number(&row[index])).collect();
            (title, cells)
        });
        columns.collect()
    }
}

/// A cell's number; NaN where it is none.
pub fn cell_number(cell: &str) -> f64 {
    cell.trim().parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_tables_by_their_first_titles() {
        assert!(Sheet::of(ArtifactTable::HISTORY, "epoch,lr\n1,0.1\n").is_some());
        assert_eq!(Sheet::of(ArtifactTable::HISTORY, "lr,epoch\n0.1,1\n"), None);
        assert_eq!(Sheet::of(ArtifactTable::CLASSES, "class,precision\na,1\n"), None);
    }

    #[test]
    fn reads_tables_and_nothing_else() {
        let sheet = Sheet::read("epoch,\"a,b\"\n1,0.5\n2,\n").unwrap();
        let columns = sheet.into_columns();
        assert_eq!(columns["epoch"], [1.0, 2.0]);
        assert!(columns["a,b"][0] == 0.5 && columns["a,b"][1].is_nan());
        assert_eq!(Sheet::read("a,b\n1\n"), None);
        assert!(Sheet::read("").unwrap().rows.is_empty());
    }
}

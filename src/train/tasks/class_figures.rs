//! How well each class or label is recognised.

use std::path::Path;

use super::{CsvFile, float_text};
use crate::spec::ArtifactTable;
use crate::train::error::TrainError;

/// How well one class or label is recognised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassFigures {
    /// Samples of the class.
    pub support: u64,
    /// Samples that were taken for the class.
    pub predicted: u64,
    /// The share of `predicted` that are of the class; 0 where nothing was predicted.
    pub precision: f64,
    /// The share of `support` that was found; 0 where the split has no sample of the class.
    pub recall: f64,
    /// The harmonic mean of precision and recall; 0 where both are 0.
    pub f1: f64,
}

impl ClassFigures {
    /// From counts: rightly predicted, of the class, predicted.
    pub(super) fn new(right: u64, support: u64, predicted: u64) -> Self {
        let share = |part: u64, whole: u64| {
            if whole == 0 {
                0.0
            } else {
                part as f64 / whole as f64
            }
        };
        Self {
            support,
            predicted,
            precision: share(right, predicted),
            recall: share(right, support),
            f1: share(2 * right, support + predicted),
        }
    }
}

/// The mean over classes that is called `name` (as scikit-learn's `average="macro"`); nothing where it
/// is none of these, or there is no class.
pub(super) fn macro_mean(name: &str, figures: &[ClassFigures]) -> Option<f64> {
    let figure: fn(&ClassFigures) -> f64 = match name {
        "macro_precision" => |class| class.precision,
        "macro_recall" => |class| class.recall,
        "macro_f1" => |class| class.f1,
        _ => return None,
    };
    (!figures.is_empty()).then(|| figures.iter().map(figure).sum::<f64>() / figures.len() as f64)
}

/// Writes `classes.csv`, one row a class or label.
pub(super) fn write_classes(
    folder: &Path,
    figures: &[ClassFigures],
    names: &[String],
) -> Result<(), TrainError> {
    let mut file = CsvFile::create(folder, ArtifactTable::CLASSES, [])?;
    for (name, figures) in names.iter().zip(figures) {
        file.row([
            name.clone(),
            float_text(figures.precision),
            float_text(figures.recall),
            float_text(figures.f1),
            figures.support.to_string(),
        ])?;
    }
    file.finish()
}

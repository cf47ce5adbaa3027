//! From input files to a dataset.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::dataset::{Dataset, Split};
use super::error::DataError;
use super::formats::{Formats, SplitInput};
use super::intake::Intake;
use super::untrained::tell_untrained;
use crate::event::Monitor;
use crate::schema::FieldKind;
use crate::spec::{Preprocess, SplitName, TargetKind};

/// How many labels or targets are named in a notice.
const NAMED: usize = 10;

/// The folder beside a dataset of texts with the tokenizer that its tokens are of.
pub const TOKENIZER_FOLDER: &str = "tokenizer";

/// What a prepared dataset holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Samples by split.
    pub splits: BTreeMap<SplitName, u64>,
    /// The number of classes, or of labels that may each apply; 0 where numbers are to be predicted.
    pub classes: usize,
    /// Samples left out because they could not be read.
    pub skipped: u64,
    /// The tokens of all samples.
    pub tokens: u64,
}

/// Reads `inputs` as `options` say, by one of `formats`, and writes a dataset into `folder`. Images are decoded on the
/// current rayon pool.
///
/// Memory does not grow with the samples' size: they are written as they are read. What does grow
/// are at most 64 bytes a sample, a folder's file names, and the names of classes and categories.
///
/// # Errors
/// The input is not in the given format, has bad samples (unless they are to be skipped) or classes
/// that are too small for the splits; reading or writing fails; `monitor` asks to stop.
pub fn prepare(
    options: &Preprocess,
    formats: &Formats,
    inputs: &[SplitInput<'_>],
    folder: &Path,
    monitor: &Monitor,
) -> Result<Prepared, DataError> {
    prepare_with(options, formats, inputs, &BTreeMap::new(), folder, monitor)
}

/// [`prepare`] for formats that take in more than the files: `others`, by role.
///
/// # Errors
/// As there.
pub fn prepare_with(
    options: &Preprocess,
    formats: &Formats,
    inputs: &[SplitInput<'_>],
    others: &BTreeMap<String, PathBuf>,
    folder: &Path,
    monitor: &Monitor,
) -> Result<Prepared, DataError> {
    let mut intake = Intake::new(folder, options.on_error, &options.split, others, monitor);
    let classes = formats.read(&options.format, inputs, &mut intake)?;
    let is_classification = classes.is_some();
    let mut prepared = intake.finish(classes)?;
    let dataset = Dataset::open(folder)?;
    tell_untrained(&dataset, monitor)?;
    if !is_classification {
        prepared.classes = match dataset.task()? {
            TargetKind::Classification
            | TargetKind::MultiLabel
            | TargetKind::TokenClasses
            | TargetKind::Segmentation
            | TargetKind::Detection => dataset.target().names.len(),
            TargetKind::Regression | TargetKind::NextToken | TargetKind::Similarity => 0,
        };
        tell_unseen_classes(&dataset, monitor);
        if matches!(dataset.target().kind, FieldKind::Labels | FieldKind::Numbers) {
            for split in dataset.splits().filter_map(|name| dataset.split(name)) {
                tell_constants(&split, monitor)?;
            }
        }
    }
    Ok(prepared)
}

/// Warns of classes of pixels or objects that no training sample has: nothing can be learnt of them.
fn tell_unseen_classes(dataset: &Dataset, monitor: &Monitor) {
    let Some(train) = dataset.split(SplitName::Train) else {
        return;
    };
    let target = dataset.target();
    let what = match target.kind {
        FieldKind::Mask => "classes that no pixel of the train split has",
        FieldKind::Objects => "classes that no object of the train split has",
        _ => return,
    };
    // Pixels have one of 256 values.
    let mut seen = vec![false; target.names.len().max(1 << 8)];
    for index in 0..train.len() {
        let pixels = train.pixel_classes(index).unwrap_or_default();
        pixels.iter().for_each(|class| seen[usize::from(*class)] = true);
        for object in train.objects(index).unwrap_or_default() {
            seen[object.class as usize] |= object.counts();
        }
    }
    let classes = target.names.iter().zip(seen);
    let unseen: Vec<&str> = classes
        .filter(|(_, seen)| !seen)
        .map(|(class, _)| class.as_str())
        .collect();
    if !unseen.is_empty() {
        let shown = unseen[..unseen.len().min(NAMED)].join("`, `");
        let more = if unseen.len() > NAMED { ", ..." } else { "" };
        monitor.warn(format!("{what}: `{shown}`{more}"));
    }
}

/// Warns of labels that apply to no sample of a split, and of labels and numbers that are the same in
/// all training samples: nothing can be learnt there.
fn tell_constants(split: &Split, monitor: &Monitor) -> Result<(), DataError> {
    let names = &split.target().names;
    let mut values = vec![0f32; names.len()];
    split.target_values(0, &mut values)?;
    let first = values.clone();
    let mut constant = vec![true; values.len()];
    for index in 1..split.len() {
        split.target_values(index, &mut values)?;
        for ((constant, value), first) in constant.iter_mut().zip(&values).zip(&first) {
            *constant &= value == first;
        }
    }
    let name = split.name().as_str();
    let is_train = split.name() == SplitName::Train;
    let tell = |wanted: &dyn Fn(f32) -> bool, what: &str| {
        let found: Vec<&str> = names
            .iter()
            .zip(constant.iter().zip(&first))
            .filter(|(_, (constant, first))| **constant && wanted(**first))
            .map(|(name, _)| name.as_str())
            .collect();
        if !found.is_empty() {
            let shown = found[..found.len().min(NAMED)].join("`, `");
            let more = if found.len() > NAMED { ", ..." } else { "" };
            monitor.warn(format!("{what} the {name} split: `{shown}`{more}"));
        }
    };
    match split.target().kind {
        FieldKind::Labels => {
            tell(&|first| first == 0.0, "labels that apply to no sample of");
            if is_train {
                tell(&|first| first == 1.0, "labels that apply to every sample of");
            }
        }
        FieldKind::Numbers if is_train => {
            tell(&|_| true, "targets that are the same in all samples of");
        }
        _ => {}
    }
    Ok(())
}

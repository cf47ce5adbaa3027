//! A model's verdict on every sample of a split.

use candle_core::Device;

use super::error::TrainError;
use super::metrics::{Judged, Tally};
use super::tensor_file::input_tensor;
use crate::data::{Batch, Dataset, Loader, LoaderConfig, Normalization, Split, Targets};
use crate::event::Monitor;
use crate::models::{Network, Pass};
use crate::spec::{Precision, SplitName};

/// How a split is evaluated.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The arithmetic.
    pub precision: Precision,
    /// What is done to each channel (or column) first.
    pub normalization: Normalization,
    /// Samples that are judged together.
    pub batch_size: usize,
}

/// Judges every sample of `split` in order, batch by batch, without a gradient graph. `each` hears
/// every sample's index, true class and verdict.
///
/// # Errors
/// A sample cannot be read, an output is not finite, `each` fails, or the monitor asks to stop.
pub fn evaluate(
    network: &Network,
    split: &Split,
    options: &Evaluation,
    monitor: &Monitor,
    mut each: impl FnMut(usize, usize, &Judged) -> Result<(), TrainError>,
) -> Result<Tally, TrainError> {
    let config = LoaderConfig {
        batch_size: options.batch_size,
        augment: Vec::new(),
        normalization: options.normalization.clone(),
        target_scale: None,
        shuffle: false,
        seed: 0,
        prefetch: 2,
    };
    let loader = Loader::new(split.clone(), config)?;
    let pass = Pass::evaluate(options.precision);
    let classes = split.classes();
    let mut tally = Tally::new(classes);
    for batch in loader.epoch(0, 0) {
        if monitor.stopped() {
            return Err(TrainError::Interrupted);
        }
        let Batch { inputs, targets, .. } = batch?;
        let Targets::Classes(labels) = targets else { unreachable!() };
        let inputs = input_tensor(inputs, labels.len(), split.shape(), &Device::Cpu)?;
        let logits = network.forward(&inputs, &pass)?.flatten_all()?.to_vec1::<f32>()?;
        for (logits, &label) in logits.chunks_exact(classes).zip(&labels) {
            let index = tally.samples() as usize;
            let label = label as usize;
            let judged = tally.add(logits, label).ok_or(TrainError::NonFiniteLogits {
                index,
                split: split.name().as_str(),
            })?;
            each(index, label, &judged)?;
        }
    }
    Ok(tally)
}

/// A split that has samples.
///
/// # Errors
/// It is missing or empty; the message lists those that are not.
pub fn filled_split(dataset: &Dataset, name: SplitName) -> Result<Split, TrainError> {
    let filled = |name| dataset.split(name).filter(|split| !split.is_empty());
    filled(name).ok_or_else(|| {
        let known = SplitName::ALL.into_iter().filter_map(|name| {
            let count = filled(name)?.len();
            Some(format!("{} ({count})", name.as_str()))
        });
        let known: Vec<String> = known.collect();
        TrainError::EmptySplit {
            split: name.as_str(),
            available: if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            },
        }
    })
}

//! A model's verdict on every sample of a split.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::error::TrainError;
use super::staging::{Staged, stage};
use super::tasks::{ModelTarget, SplitTally, Task};
use super::tensor_file::input_tensor;
use crate::data::{Collation, Dataset, Loader, LoaderConfig, Normalization, Split};
use crate::event::Monitor;
use crate::models::{Network, Pass};
use crate::ops::PackedWeights;
use crate::schema::InputShape;
use crate::spec::{self, EvalTransform, Precision, SplitName};

/// How a split is evaluated.
#[derive(Clone, Debug)]
pub struct Evaluation<'a> {
    /// The arithmetic.
    pub precision: Precision,
    /// What is done to each channel (or column) first.
    pub normalization: Normalization,
    /// What is done to each image before that.
    pub transforms: Vec<EvalTransform>,
    /// What is predicted.
    pub task: &'a dyn Task,
    /// The outputs.
    pub target: ModelTarget,
    /// The loss that is reported; nothing where the task has one of its own.
    pub loss: Option<spec::Loss>,
    /// The metrics that are asked for: what only others need is not kept.
    pub metrics: Vec<&'a str>,
    /// Samples that are judged together.
    pub batch_size: usize,
    /// Whether the mean of the outputs for an image and its mirror image is judged.
    pub test_time_flip: bool,
    /// Where to compute.
    pub device: Device,
}

/// Judges every sample of `split` in order, batch by batch, without a gradient graph. `each` hears
/// every sample's index and its outputs in the targets' own units. Samples of a class that the loss
/// ignores count in no figure.
///
/// Figures are made on the host, in f64 and sample by sample, so that they are the same bits whatever the
/// batch size: what is read is one batch's outputs at a time.
///
/// # Errors
/// A sample cannot be read, an output is not finite, `each` fails, or the monitor asks to stop.
pub fn evaluate(
    network: &Network,
    split: &Split,
    options: &Evaluation<'_>,
    monitor: &Monitor,
    mut each: impl FnMut(usize, &[f32]) -> Result<(), TrainError>,
) -> Result<SplitTally, TrainError> {
    let config = LoaderConfig {
        batch_size: options.batch_size,
        augment: options.transforms.iter().map(spec::Augment::from).collect(),
        normalization: options.normalization.clone(),
        target_scale: options.target.scale.clone(),
        collation: Collation::default(),
        shuffle: false,
        seed: 0,
        prefetch: 2,
    };
    let loader = Loader::new(split.clone(), config)?;
    let shape = loader.shape()?;
    let width = options.target.outputs();
    let criterion = options
        .task
        .criterion(&options.target, options.loss.as_ref(), false)?;
    let mut tally = SplitTally::new(options.task.tally(width, &options.metrics));
    let weights = Arc::new(PackedWeights::default());
    let mut index = 0;
    let flips = options.test_time_flip;
    for batch in stage(loader.epoch(0, 0), loader.schema(), &options.device, flips) {
        // A single batch is quicker done than undone.
        if index > 0 && monitor.stopped() {
            return Err(TrainError::Interrupted);
        }
        let mut batch = batch?;
        let mut outputs = outputs(network, &weights, &mut batch, shape, options)?;
        let losses = criterion.sample_losses(&outputs, &batch.targets)?;
        unscale(&mut outputs, options);
        for (outputs, loss) in outputs.chunks_exact(width).zip(losses) {
            if !tally.add(outputs, split, index, loss)? {
                return Err(TrainError::NonFiniteLogits {
                    index,
                    split: split.name().as_str(),
                });
            }
            each(index, outputs)?;
            index += 1;
        }
    }
    if index < split.len() {
        return Err(TrainError::Incomplete {
            what: "the evaluated split",
        });
    }
    if tally.counted() == 0 {
        return Err(TrainError::NothingToJudge {
            split: split.name().as_str(),
        });
    }
    Ok(tally)
}

/// The outputs for a batch, `[N, outputs]` on the host.
fn outputs(
    network: &Network,
    weights: &Arc<PackedWeights>,
    batch: &mut Staged,
    shape: InputShape,
    options: &Evaluation<'_>,
) -> Result<Vec<f32>, TrainError> {
    let pass = Pass::evaluate(options.precision);
    let host = |outputs: Tensor| outputs.flatten_all()?.to_vec1::<f32>();
    let forward = |inputs: &Tensor| weights.reuse(|| network.forward(inputs, &pass));
    let mut outputs = host(forward(&batch.inputs)?)?;
    if let (Some(mut mirrored), InputShape::Image { width, .. }) = (batch.host.take(), shape) {
        mirrored.chunks_exact_mut(width).for_each(<[f32]>::reverse);
        let mirrored = input_tensor(mirrored, batch.samples.len(), shape, &options.device)?;
        let mirrored = host(forward(&mirrored)?)?;
        for (output, mirrored) in outputs.iter_mut().zip(mirrored) {
            *output = (*output + mirrored) / 2.0;
        }
    }
    Ok(outputs)
}

/// Brings outputs back to the targets' own units.
fn unscale(outputs: &mut [f32], options: &Evaluation<'_>) {
    if let Some(scale) = &options.target.scale {
        for row in outputs.chunks_exact_mut(options.target.outputs()) {
            for ((output, mean), std) in row.iter_mut().zip(&scale.mean).zip(&scale.std) {
                *output = *output * std + mean;
            }
        }
    }
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

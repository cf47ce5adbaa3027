//! A model's verdict on every sample of a split.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::error::TrainError;
use super::metrics::{self, Judged, Tally};
use super::setup::{Target, loss_operation};
use super::staging::{Staged, stage};
use super::tensor_file::input_tensor;
use crate::data::{
    Array, ArrayValues, Collation, DataError, Dataset, Loader, LoaderConfig, Normalization, Split,
};
use crate::event::Monitor;
use crate::models::{Network, Pass};
use crate::ops::{self, PackedWeights};
use crate::schema::InputShape;
use crate::spec::{self, EvalTransform, Precision, SplitName, Task};

/// How a split is evaluated.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The arithmetic.
    pub precision: Precision,
    /// What is done to each channel (or column) first.
    pub normalization: Normalization,
    /// What is done to each image before that.
    pub transforms: Vec<EvalTransform>,
    /// What is predicted.
    pub target: Target,
    /// The loss that is reported.
    pub loss: spec::Loss,
    /// Samples that are judged together.
    pub batch_size: usize,
    /// Whether the mean of the outputs for an image and its mirror image is judged.
    pub test_time_flip: bool,
    /// Whether to keep what the area under the ROC curve needs: the outputs for all samples.
    pub keep_scores: bool,
    /// Where to compute.
    pub device: Device,
}

/// Judges every sample of `split` in order, batch by batch, without a gradient graph. `each` hears
/// every sample's index and verdict. Samples of a class that the loss ignores count in no figure.
///
/// # Errors
/// A sample cannot be read, an output is not finite, `each` fails, or the monitor asks to stop.
pub fn evaluate(
    network: &Network,
    split: &Split,
    options: &Evaluation,
    monitor: &Monitor,
    mut each: impl FnMut(usize, &Judged) -> Result<(), TrainError>,
) -> Result<Tally, TrainError> {
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
    let loss = loss_operation(&options.loss);
    let width = options.target.outputs();
    let mut tally = Tally::new(options.target.task, width);
    if !options.keep_scores {
        tally = tally.without_scores();
    }
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
        let losses = ops::loss_per_sample(
            &outputs,
            wanted(&batch.targets, options.target.task)?,
            &loss,
            width,
        )?;
        unscale(&mut outputs, options);
        let mut values = vec![0f32; width];
        for (outputs, loss) in outputs.chunks_exact(width).zip(losses) {
            let target = match split.class(index) {
                Some(class) => metrics::Target::Class(class as usize),
                None => {
                    split.target_values(index, &mut values)?;
                    metrics::Target::Values(&values)
                }
            };
            let judged = tally
                .add(outputs, target, loss)
                .ok_or(TrainError::NonFiniteLogits {
                    index,
                    split: split.name().as_str(),
                })?;
            each(index, &judged)?;
            index += 1;
        }
    }
    if index < split.len() {
        return Err(TrainError::Incomplete {
            what: "the evaluated split",
        });
    }
    if tally.score().is_nan() {
        return Err(TrainError::Recipe(format!(
            "every sample of the {} split is of the class that the loss ignores: nothing is left to judge",
            split.name().as_str()
        )));
    }
    Ok(tally)
}

/// The outputs for a batch, `[N, outputs]` on the host.
fn outputs(
    network: &Network,
    weights: &Arc<PackedWeights>,
    batch: &mut Staged,
    shape: InputShape,
    options: &Evaluation,
) -> Result<Vec<f32>, TrainError> {
    let pass = Pass::evaluate(options.precision);
    let host = |outputs: Tensor| outputs.flatten_all()?.to_vec1::<f32>();
    let forward = |inputs: &Tensor| weights.reuse(|| network.forward(inputs, &pass));
    let mut outputs = host(forward(&batch.inputs)?)?;
    if let (Some(mut mirrored), InputShape::Image { width, .. }) = (batch.host.take(), shape) {
        mirrored.chunks_exact_mut(width).for_each(<[f32]>::reverse);
        let mirrored = input_tensor(mirrored, batch.samples, shape, &options.device)?;
        let mirrored = host(forward(&mirrored)?)?;
        for (output, mirrored) in outputs.iter_mut().zip(mirrored) {
            *output = (*output + mirrored) / 2.0;
        }
    }
    Ok(outputs)
}

/// A batch's targets as the loss takes them.
///
/// # Errors
/// They are no targets of `task`.
pub fn wanted(targets: &Array, task: Task) -> Result<ops::Targets<'_>, TrainError> {
    match (&targets.values, task) {
        (ArrayValues::U32(classes), Task::Classification) => Ok(ops::Targets::Classes(classes)),
        (ArrayValues::F32(values), Task::Classification) => Ok(ops::Targets::Probabilities(values)),
        (ArrayValues::F32(values), Task::MultiLabel | Task::Regression) => Ok(ops::Targets::Values(values)),
        _ => Err(DataError::Options(format!("the batch's targets are not {}", task.predicts())).into()),
    }
}

/// Brings outputs back to the targets' own units.
fn unscale(outputs: &mut [f32], options: &Evaluation) {
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

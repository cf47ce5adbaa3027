//! Asking networks without a gradient graph.

use std::sync::{Arc, OnceLock};

use candle_core::{Device, Tensor};

use super::error::TrainError;
use super::tasks::{ModelTarget, Task};
use super::tensor_file::input_tensor;
use crate::models::{ModelError, Network, NetworkInput, Pass, TextOutput};
use crate::ops::{PackedWeights, PreparedGraph, WeightForm};
use crate::parallel::attended;
use crate::schema::InputShape;
use crate::spec::Precision;

/// A network that is asked, batch by batch. On the CPU a sample gets the same bits in every batch.
pub(super) struct Inference<'a> {
    pub network: &'a Network,
    pub precision: Precision,
    /// The shape of a sample where it reaches the network.
    pub shape: InputShape,
    pub device: &'a Device,
    pub kept: &'a KeptPasses,
}

/// What is kept of a network from batch to batch. Its weights must not change as long as this lives.
#[derive(Default)]
pub(super) struct KeptPasses {
    weights: Arc<PackedWeights>,
    /// The forward pass, once it was found out whether it can be prepared.
    prepared: OnceLock<Option<PreparedGraph>>,
}

impl KeptPasses {
    /// Nothing yet, of a network for samples of `shape` that nobody else has and that does nothing but answer.
    pub fn alone(shape: InputShape) -> Self {
        let form = match shape {
            // Texts are of any length.
            InputShape::Tokens { .. } => WeightForm::default(),
            InputShape::Image { .. } | InputShape::Features { .. } => WeightForm::Alone,
        };
        Self {
            weights: Arc::new(PackedWeights::new(form)),
            ..Self::default()
        }
    }

    /// The forward pass as the CPU runs it again and again, if it can.
    fn prepared(&self, network: &Network, precision: Precision) -> Option<&PreparedGraph> {
        if self.prepared.get().is_none() {
            // Not while others are held up: it is work for all threads, and one that waits might be asked to do some of it.
            // A network that computes beside the recorded operations is asked as it is.
            let prepared = network.prepared(precision).ok().flatten();
            // Another thread may have been first, with the same.
            let _ = self.prepared.set(prepared);
        }
        self.prepared.get().and_then(Option::as_ref)
    }
}

impl Inference<'_> {
    /// What the network gives for a batch of whatever it is for.
    pub fn answer(&self, inputs: &NetworkInput) -> Result<TextOutput, TrainError> {
        let pass = Pass::evaluate(self.precision);
        self.asked(|| self.network.answer(inputs, &pass))
    }

    /// The outputs for a batch, `[N, outputs]` or `[N, H, W, outputs]`, on the host. With the `mirrored` inputs' values on the host,
    /// of images, the mean with the outputs for their mirror images.
    pub fn outputs(&self, inputs: &Tensor, mirrored: Option<Vec<f32>>) -> Result<Vec<f32>, TrainError> {
        let mut outputs = self.forward(inputs)?;
        if let (Some(mut mirrored), InputShape::Image { width, .. }) = (mirrored, self.shape) {
            mirrored.chunks_exact_mut(width).for_each(<[f32]>::reverse);
            let samples = mirrored.len() / self.shape.len();
            let mirrored = input_tensor(mirrored, samples, self.shape, self.device)?;
            let mut mirrored = self.forward(&mirrored)?;
            if self.network.judges_pixels() {
                mirror_pixels(&mut mirrored, width, self.network.outputs());
            }
            for (output, mirrored) in outputs.iter_mut().zip(mirrored) {
                *output = (*output + mirrored) / 2.0;
            }
        }
        Ok(outputs)
    }

    fn forward(&self, inputs: &Tensor) -> Result<Vec<f32>, TrainError> {
        let prepared = || match self.device.is_cpu() {
            true => self.kept.prepared(self.network, self.precision),
            false => None,
        };
        self.asked(|| match prepared() {
            Some(prepared) => self.network.forward_prepared(prepared, inputs),
            None => {
                let outputs = self.network.forward(inputs, &Pass::evaluate(self.precision))?;
                Ok(outputs.flatten_all()?.to_vec1()?)
            }
        })
    }

    /// What `pass` gives with the weights that are kept; on the CPU all threads of the pool are there for it.
    fn asked<T>(&self, pass: impl FnOnce() -> Result<T, ModelError>) -> Result<T, TrainError> {
        let pass = || self.kept.weights.reuse(pass);
        let answer = match self.device.is_cpu() {
            true => attended(pass),
            false => pass(),
        };
        Ok(answer?)
    }
}

/// Mirrors images of so many pixels a row, each of which has `outputs` values.
fn mirror_pixels(values: &mut [f32], width: usize, outputs: usize) {
    for row in values.chunks_exact_mut((width * outputs).max(1)) {
        row.reverse();
        // The values of a pixel stay in their order.
        row.chunks_exact_mut(outputs.max(1)).for_each(<[f32]>::reverse);
    }
}

/// Brings outputs, row by row, back to the targets' own units.
pub(super) fn to_units(outputs: &mut [f32], target: &ModelTarget) {
    if let Some(scale) = &target.scale {
        for row in outputs.chunks_exact_mut(target.outputs()) {
            for ((output, mean), std) in row.iter_mut().zip(&scale.mean).zip(&scale.std) {
                *output = *output * std + mean;
            }
        }
    }
}

/// Fails where networks that are averaged judge the pixels of images of different sizes.
pub(super) fn check_pixels<'a>(networks: impl Iterator<Item = &'a Network>) -> Result<(), TrainError> {
    let mut judged = networks.map(Network::judged_pixels);
    let first = judged.next().flatten();
    match judged.all(|other| other == first) {
        true => Ok(()),
        false => Err(TrainError::Ensemble(
            "they judge the pixels of images of different sizes".to_owned(),
        )),
    }
}

/// Which of the outputs of a model each output of another one is, by name, for models that are averaged.
///
/// # Errors
/// They predict different things; the message names what only one of them has.
pub(super) fn output_order(of: &ModelTarget, wanted: &ModelTarget) -> Result<Vec<usize>, TrainError> {
    let apart = |problem: String| Err(TrainError::Ensemble(problem));
    if of.task != wanted.task {
        return apart(format!(
            "the first is for the task `{}`, another one for `{}`",
            wanted.task, of.task
        ));
    }
    let lacks = |one: &ModelTarget, other: &ModelTarget| {
        let missing = one.names.iter().find(|name| !other.names.contains(name));
        missing.cloned()
    };
    if let Some(name) = lacks(wanted, of) {
        return apart(format!(
            "the first predicts `{name}`, and another one does not know it"
        ));
    }
    if let Some(name) = lacks(of, wanted) {
        return apart(format!("one predicts `{name}`, and the first does not know it"));
    }
    let place = |name: &String| of.names.iter().position(|other| other == name);
    let order: Vec<usize> = wanted.names.iter().filter_map(place).collect();
    if order.len() != of.names.len() {
        return apart("some of what they predict has the same name".to_owned());
    }
    Ok(order)
}

/// What several models say together: of the outputs of each, in the targets' own units and the first one's
/// order, one row of outputs a sample.
pub(super) fn average(task: &dyn Task, models: &[Vec<f32>], width: usize) -> Vec<f32> {
    let samples = models.first().map_or(0, |outputs| outputs.len() / width);
    let rows = (0..samples).flat_map(|sample| {
        let rows: Vec<&[f32]> = models
            .iter()
            .map(|outputs| &outputs[sample * width..(sample + 1) * width])
            .collect();
        task.average(&rows)
    });
    rows.collect()
}

/// Rows of outputs in another order.
pub(super) fn ordered(outputs: &[f32], order: &[usize]) -> Vec<f32> {
    let rows = outputs.chunks_exact(order.len().max(1));
    rows.flat_map(|row| order.iter().map(|place| row[*place]))
        .collect()
}

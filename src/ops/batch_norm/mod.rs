//! Batch normalisation (Ioffe and Szegedy, 2015) with PyTorch's conventions: the biased variance to
//! normalise and the unbiased one to remember.

mod kernels;
mod operation;
mod running;

use std::sync::{Arc, OnceLock};

use candle_core::{Shape, Tensor};

use super::error::OpError;
use super::operation::{run, run_shared};
use super::tensor::channels_last;
use crate::spec::Precision;
use operation::BatchNormalization;
pub(super) use operation::composed_with_running;
pub use running::RunningStatistics;

/// The constants of a layer, as the arguments of `torch.nn.BatchNorm2d`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormOptions {
    /// Added to the variance.
    pub epsilon: f64,
    /// Weight of the newest batch in the running statistics.
    pub momentum: f64,
}

impl Default for BatchNormOptions {
    /// PyTorch's: 1e-5 and 0.1.
    fn default() -> Self {
        Self {
            epsilon: 1e-5,
            momentum: 0.1,
        }
    }
}

/// What to normalise with.
pub enum Statistics<'a> {
    /// The batch's own mean and variance, which the running statistics then take in (training).
    Batch(&'a mut RunningStatistics),
    /// The running statistics, each `[C]`, as constants (evaluation).
    Running {
        /// Of each channel.
        mean: &'a Tensor,
        /// Of each channel.
        variance: &'a Tensor,
    },
    /// The running statistics, each `[C]`, as constants, and weight and bias as well: nothing of the layer is trained
    /// (torchvision's `FrozenBatchNorm2d`).
    Frozen {
        /// Of each channel.
        mean: &'a Tensor,
        /// Of each channel.
        variance: &'a Tensor,
    },
}

/// What follows the normalisation in the same pass over memory.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a> {
    /// Nothing.
    None,
    /// ReLU.
    Relu,
    /// The sum with a tensor of the same shape.
    Add(&'a Tensor),
    /// The sum with a tensor of the same shape, then ReLU.
    AddRelu(&'a Tensor),
}

impl<'a> Epilogue<'a> {
    /// What is added.
    pub(super) fn residual(self) -> Option<&'a Tensor> {
        match self {
            Self::None | Self::Relu => None,
            Self::Add(residual) | Self::AddRelu(residual) => Some(residual),
        }
    }

    /// Whether ReLU comes last.
    pub(super) fn is_relu(self) -> bool {
        matches!(self, Self::Relu | Self::AddRelu(_))
    }
}

/// Normalises each channel of `x`, `[N, H, W, C]`, over batch and pixels, scales by `weight` and
/// shifts by `bias`, both `[C]`, and applies the epilogue.
///
/// In a narrow format, the result of normalisation and epilogue together is rounded once.
///
/// # Errors
/// Shapes that do not fit each other, or a single value in each channel where the batch's own
/// statistics are to be used: it has no variance, and PyTorch refuses it too.
pub fn batch_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    statistics: Statistics,
    options: BatchNormOptions,
    epilogue: Epilogue,
    precision: Precision,
) -> Result<Tensor, OpError> {
    let images = channels_last(OP, x)?;
    let known = match &statistics {
        Statistics::Batch(running) => running.mean.len(),
        Statistics::Running { mean, .. } | Statistics::Frozen { mean, .. } => mean.elem_count(),
    };
    check_channels(images.channels, [weight, bias], known)?;
    let residual = epilogue.residual();
    check_residual(x.shape(), residual)?;
    if images.batch == 0 {
        return Err(OpError::shape(OP, "the batch is empty"));
    }
    let op = |moments| BatchNormalization {
        options,
        moments,
        adds: residual.is_some(),
        relu: epilogue.is_relu(),
        precision,
    };
    match statistics {
        Statistics::Batch(running) => {
            if images.len() == images.channels {
                return Err(OpError::SingleValue);
            }
            let op = Arc::new(op(Some(OnceLock::new())));
            let operands: Vec<&Tensor> = [x, weight, bias].into_iter().chain(residual).collect();
            let y = run_shared(&op, &operands)?;
            if let Some(moments) = op.moments.as_ref().and_then(OnceLock::get) {
                running.update(moments, images.len() / images.channels, options.momentum);
            }
            Ok(y)
        }
        Statistics::Running { mean, variance } => {
            run_with(op(None), &[x, weight, bias], [mean, variance], residual)
        }
        Statistics::Frozen { mean, variance } => {
            let (weight, bias) = (weight.detach(), bias.detach());
            run_with(op(None), &[x, &weight, &bias], [mean, variance], residual)
        }
    }
}

/// The normalisation with running statistics.
fn run_with(
    op: BatchNormalization,
    operands: &[&Tensor; 3],
    statistics: [&Tensor; 2],
    residual: Option<&Tensor>,
) -> Result<Tensor, OpError> {
    let statistics = statistics.map(Tensor::detach);
    let operands = operands.iter().copied().chain(&statistics).chain(residual);
    run(op, &operands.collect::<Vec<_>>())
}

const OP: &str = "batch norm";

/// Fails unless weight and bias have a value for each of the input's channels, and there are running
/// statistics of as many.
pub(super) fn check_channels(
    channels: usize,
    [weight, bias]: [&Tensor; 2],
    known: usize,
) -> Result<(), OpError> {
    if weight.dims() != [channels] || bias.dims() != [channels] || known != channels {
        let (weight, bias) = (weight.dims(), bias.dims());
        let problem = format!(
            "the input has {channels} channels, but weight is {weight:?}, bias {bias:?}, and the running \
             statistics are for {known}"
        );
        return Err(OpError::shape(OP, problem));
    }
    Ok(())
}

/// Fails unless what is to be added to a tensor of shape `shape` has that shape.
pub(super) fn check_residual(shape: &Shape, residual: Option<&Tensor>) -> Result<(), OpError> {
    match residual {
        Some(residual) if residual.shape() != shape => {
            let problem = format!("cannot add {:?} to {:?}", residual.dims(), shape.dims());
            Err(OpError::shape(OP, problem))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;

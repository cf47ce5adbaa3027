//! Batch normalisation (Ioffe and Szegedy, 2015) with PyTorch's conventions: the biased variance to
//! normalise and the unbiased one to remember.

mod kernels;
mod running;

use std::sync::{Arc, OnceLock};

use candle_core::{D, DType, Result, Shape, Tensor};

use super::attributes::Attributes;
use super::composed::{relu, rounded};
use super::error::OpError;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run, run_shared};
use super::tensor::channels_last;
use crate::spec::Precision;
use kernels::{Backward, BatchNormGradients, ChannelMap, Moments, backward, moments, normalize};
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
) -> std::result::Result<Tensor, OpError> {
    let images = channels_last(OP, x)?;
    let known = match &statistics {
        Statistics::Batch(running) => running.mean.len(),
        Statistics::Running { mean, .. } => mean.elem_count(),
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
            let (mean, variance) = (mean.detach(), variance.detach());
            let operands = [x, weight, bias, &mean, &variance];
            run(
                op(None),
                &operands.into_iter().chain(residual).collect::<Vec<_>>(),
            )
        }
    }
}

const OP: &str = "batch norm";

/// Fails unless weight and bias have a value for each of the input's channels, and there are running
/// statistics of as many.
pub(super) fn check_channels(
    channels: usize,
    [weight, bias]: [&Tensor; 2],
    known: usize,
) -> std::result::Result<(), OpError> {
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
pub(super) fn check_residual(shape: &Shape, residual: Option<&Tensor>) -> std::result::Result<(), OpError> {
    match residual {
        Some(residual) if residual.shape() != shape => {
            let problem = format!("cannot add {:?} to {:?}", residual.dims(), shape.dims());
            Err(OpError::shape(OP, problem))
        }
        _ => Ok(()),
    }
}

/// Operands: `x`, weight, bias; the running mean and variance, unless they are the batch's; the residual,
/// where one is added.
struct BatchNormalization {
    options: BatchNormOptions,
    /// The batch's, once the forward pass has found them; `None` where running statistics are given.
    moments: Option<OnceLock<Moments>>,
    adds: bool,
    relu: bool,
    precision: Precision,
}

/// What a channel's values are normalised with.
struct ChannelConstants {
    mean: Vec<f32>,
    inverse_deviation: Vec<f32>,
}

impl BatchNormalization {
    fn constants(&self, operands: &[ArrayView]) -> ChannelConstants {
        let inverse = |variance: f64| (1.0 / (variance + self.options.epsilon).sqrt()) as f32;
        match &self.moments {
            Some(found) => {
                let of_batch = || moments(operands[0].values, operands[1].values.len());
                let Moments { mean, variance } = found.get_or_init(of_batch);
                ChannelConstants {
                    mean: mean.iter().map(|&mean| mean as f32).collect(),
                    inverse_deviation: variance.iter().map(|&variance| inverse(variance)).collect(),
                }
            }
            None => {
                let variance = operands[4].values.iter();
                ChannelConstants {
                    mean: operands[3].values.to_vec(),
                    inverse_deviation: variance.map(|&variance| inverse(f64::from(variance))).collect(),
                }
            }
        }
    }
}

impl Operation for BatchNormalization {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    /// The norm's, and what follows: first `add`, then `relu`.
    fn attributes(&self) -> Attributes {
        Attributes::default()
            .with("epsilon", self.options.epsilon)
            .with("momentum", self.options.momentum)
            .with("training_mode", self.moments.is_some())
            .with("add", self.adds)
            .with("relu", self.relu)
            .with_precision(self.precision)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let after = (self.adds, self.relu);
        let Some(found) = &self.moments else {
            return composed_with_running(operands, self.options, after, self.precision);
        };
        let flat = rows(&operands[0])?;
        let mean = flat.mean_keepdim(0)?;
        let centred = flat.broadcast_sub(&mean)?;
        let variance = centred.sqr()?.mean_keepdim(0)?;
        let host = |values: &Tensor| {
            let values = values.detach().flatten_all()?.to_dtype(DType::F64)?;
            values.to_vec1::<f64>()
        };
        let of_batch = Moments {
            mean: host(&mean)?,
            variance: host(&variance)?,
        };
        // A second pass over the same operands finds the same.
        found.get_or_init(|| of_batch);
        let normalised = centred.broadcast_div(&(variance + self.options.epsilon)?.sqrt()?)?;
        composed_end(&normalised, operands, after, self.precision)
    }
}

/// The normalisation of `x`, with weight, bias, running mean and variance, and what follows (the sum with
/// the last operand, ReLU), as candle's operations.
pub(super) fn composed_with_running(
    operands: &[Tensor],
    options: BatchNormOptions,
    after: (bool, bool),
    precision: Precision,
) -> Result<Tensor> {
    let (mean, variance) = (&operands[3], &operands[4]);
    let deviation = (variance + options.epsilon)?.sqrt()?;
    let normalised = rows(&operands[0])?
        .broadcast_sub(mean)?
        .broadcast_div(&deviation)?;
    composed_end(&normalised, operands, after, precision)
}

/// One row for each pixel.
fn rows(x: &Tensor) -> Result<Tensor> {
    let channels = x.dim(D::Minus1)?;
    x.contiguous()?.reshape((x.elem_count() / channels, channels))
}

fn composed_end(
    normalised: &Tensor,
    operands: &[Tensor],
    (adds, relus): (bool, bool),
    precision: Precision,
) -> Result<Tensor> {
    let y = normalised
        .broadcast_mul(&operands[1])?
        .broadcast_add(&operands[2])?
        .reshape(operands[0].shape())?;
    let y = if adds {
        (y + &operands[operands.len() - 1])?
    } else {
        y
    };
    let y = if relus { relu(&y)? } else { y };
    rounded(&y, precision)
}

impl CpuKernel for BatchNormalization {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let ChannelConstants {
            mean,
            inverse_deviation,
        } = self.constants(operands);
        let weight = operands[1].values.iter();
        let scale: Vec<f32> = weight
            .zip(&inverse_deviation)
            .map(|(weight, inverse)| weight * inverse)
            .collect();
        let map = ChannelMap {
            mean: &mean,
            scale: &scale,
            bias: operands[2].values,
            residual: self.adds.then(|| operands[operands.len() - 1].values),
            relu: self.relu,
            precision: self.precision,
        };
        (normalize(operands[0].values, &map), operands[0].dims.into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let ChannelConstants {
            mean,
            inverse_deviation,
        } = self.constants(operands);
        let BatchNormGradients {
            x,
            weight,
            bias,
            before_relu,
        } = backward(&Backward {
            x: operands[0].values,
            y: self.relu.then_some(output),
            output_gradient: gradient,
            mean: &mean,
            inverse_deviation: &inverse_deviation,
            weight: operands[1].values,
            batch_statistics: self.moments.is_some(),
            residual: self.adds,
            precision: self.precision,
        });
        let mut gradients: Vec<Option<OperandGradient>> = [x, weight, bias]
            .into_iter()
            .zip(wanted)
            .map(|(values, &wanted)| OperandGradient::if_wanted(wanted, || values))
            .collect();
        // Running statistics are constants.
        gradients.resize_with(operands.len() - usize::from(self.adds), || None);
        if self.adds {
            let of_residual = before_relu.map_or(OperandGradient::OfOutput, OperandGradient::Values);
            gradients.push(wanted[operands.len() - 1].then_some(of_residual));
        }
        gradients
    }
}

#[cfg(test)]
mod tests;

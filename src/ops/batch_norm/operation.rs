//! Batch normalisation and what follows it, as an operation.

use std::sync::OnceLock;

use candle_core::{D, DType, Result, Shape, Tensor};

use super::BatchNormOptions;
use super::kernels::{Backward, BatchNormGradients, ChannelMap, Moments, backward, moments, normalize};
use crate::ops::attributes::Attributes;
use crate::ops::composed::{relu, rounded};
use crate::ops::operation::{
    ArrayView, CpuKernel, OperandGradient, Operation, StoredPasses, with_wide_operands,
};
use crate::ops::stored::{Stored, StoredNumber, ValueFormat, Values};
use crate::spec::Precision;

/// Operands: `x`, weight, bias; the running mean and variance, unless they are the batch's; the residual,
/// where one is added.
pub(super) struct BatchNormalization {
    pub options: BatchNormOptions,
    /// The batch's, once the forward pass has found them; `None` where running statistics are given.
    pub moments: Option<OnceLock<Moments>>,
    pub adds: bool,
    pub relu: bool,
    pub precision: Precision,
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
                let channels = operands[1].values.len();
                let of_batch = || match operands[0].stored() {
                    Stored::F32(x) => moments(x, channels),
                    Stored::Bf16(x) => moments(x, channels),
                };
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
pub(in crate::ops) fn composed_with_running(
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

impl BatchNormalization {
    /// The result for an `x` and a residual of one format, in that format.
    fn normalized<E: StoredNumber>(&self, operands: &[ArrayView], x: &[E], residual: Option<&[E]>) -> Vec<E> {
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
            residual,
            relu: self.relu,
            precision: self.precision,
        };
        normalize(x, &map)
    }

    /// The gradients for an `x`, an output and its gradient of one format.
    fn gradients<E: StoredNumber>(
        &self,
        operands: &[ArrayView],
        (x, output, gradient): (&[E], &[E], &[E]),
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
            x,
            y: self.relu.then_some(output),
            output_gradient: gradient,
            mean: &mean,
            inverse_deviation: &inverse_deviation,
            weight: operands[1].values,
            batch_statistics: self.moments.is_some(),
            affine: wanted[1] || wanted[2],
            residual: self.adds,
            precision: self.precision,
        });
        let mut gradients: Vec<Option<OperandGradient>> = [E::own(x), Values::F32(weight), Values::F32(bias)]
            .into_iter()
            .zip(wanted)
            .map(|(values, &wanted)| OperandGradient::if_wanted(wanted, || values))
            .collect();
        // Running statistics are constants.
        gradients.resize_with(operands.len() - usize::from(self.adds), || None);
        if self.adds {
            let of_residual = before_relu.map_or(OperandGradient::OfOutput, |values| {
                OperandGradient::Values(E::own(values))
            });
            gradients.push(wanted[operands.len() - 1].then_some(of_residual));
        }
        gradients
    }

    /// Whether all that the channels have is f32.
    fn has_wide_constants(&self, operands: &[ArrayView]) -> bool {
        let of_channels = &operands[1..operands.len() - usize::from(self.adds)];
        of_channels.iter().all(|operand| operand.narrow.is_empty())
    }

    fn residual<'a>(&self, operands: &[ArrayView<'a>]) -> Option<ArrayView<'a>> {
        self.adds.then(|| operands[operands.len() - 1])
    }
}

impl CpuKernel for BatchNormalization {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let residual = self.residual(operands).map(|residual| residual.values);
        let y = self.normalized(operands, operands[0].values, residual);
        (y, operands[0].dims.into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        self.gradients(operands, (operands[0].values, output, gradient), wanted)
    }

    fn stored_passes(&self) -> Option<&dyn StoredPasses> {
        Some(self)
    }
}

impl StoredPasses for BatchNormalization {
    fn forward_stored(&self, operands: &[ArrayView]) -> (Values, Shape) {
        let format = ValueFormat::smallest(self.precision);
        let residual = self.residual(operands).map(|residual| residual.stored());
        let y = match (operands[0].stored(), residual, format) {
            (Stored::Bf16(x), None, ValueFormat::Bf16) if self.has_wide_constants(operands) => {
                Values::Bf16(self.normalized(operands, x, None))
            }
            (Stored::Bf16(x), Some(Stored::Bf16(residual)), ValueFormat::Bf16)
                if self.has_wide_constants(operands) =>
            {
                Values::Bf16(self.normalized(operands, x, Some(residual)))
            }
            _ => with_wide_operands(operands, |operands| {
                Values::F32(CpuKernel::forward(self, operands).0).in_format(format)
            }),
        };
        (y, operands[0].dims.into())
    }

    fn backward_stored(
        &self,
        operands: &[ArrayView],
        output: Stored,
        gradient: Stored,
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        match (operands[0].stored(), output, gradient) {
            (Stored::Bf16(x), Stored::Bf16(output), Stored::Bf16(gradient))
                if self.has_wide_constants(operands) =>
            {
                self.gradients(operands, (x, output, gradient), wanted)
            }
            _ => with_wide_operands(operands, |operands| {
                self.backward(operands, &output.widened(), &gradient.widened(), wanted)
            }),
        }
    }
}

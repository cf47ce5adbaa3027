//! Two-dimensional convolution.

mod axes;
mod correlate;
mod depthwise;
mod finished;
mod folded;
mod geometry;
mod groups;
mod norm;
mod packed_weights;
mod plan;
mod single;
mod weight_gradient;
mod winograd;

use std::sync::Arc;

use candle_core::{Result, Shape, Tensor};

use super::attributes::Attributes;
use super::composed::{rounded, rounded_weight, sum_of, taps};
use super::error::OpError;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, StoredPasses, run};
use super::prepared::ReadyOperation;
use super::stored::{Stored, ValueFormat, Values};
use super::tensor::{Images, channels_last};
use crate::spec::Precision;
pub(super) use finished::{FinishedConvolution, plan_of_rows};
pub use folded::{NormValues, fold_norm};
pub(super) use geometry::Geometry;
pub use geometry::{ConvOptions, Window};
pub use norm::{ConvolutionOperands, NormOperands, conv2d_norm};
pub(super) use packed_weights::{ConvWeight, KeptWeight, PackedOnce, kept};
pub use packed_weights::{PackedWeights, StandIn, WatchRows, WeightForm};
pub(super) use plan::ConvPlan;
#[cfg(test)]
pub(super) use winograd::testing::WithoutWinograd;

/// Cross-correlation of `x`, `[N, H, W, I]`, with `weight`, `[O, I / groups, K, K]`, plus `bias`,
/// `[O]`: `[N, OH, OW, O]`. As in PyTorch, output channels `O / groups * g ..` see the input channels
/// `I / groups * g ..` alone.
///
/// Gradients are only computed for what something that is trained depends on.
///
/// # Errors
/// Shapes that do not fit each other, groups that do not divide the channels, or a kernel larger than
/// the padded image.
pub fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: ConvOptions,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    geometry(x, weight, bias, options)?;
    let op = Convolution2d {
        options,
        precision,
        kept: kept(weight),
    };
    match bias {
        None => run(op, &[x, weight]),
        Some(bias) => run(op, &[x, weight, bias]),
    }
}

const OP: &str = "conv2d";

/// The sizes of a convolution of such operands.
///
/// # Errors
/// Shapes that do not fit each other.
fn geometry(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: ConvOptions,
) -> std::result::Result<Geometry, OpError> {
    let ConvOptions {
        stride,
        padding,
        dilation,
        groups,
    } = options;
    let input = channels_last(OP, x)?;
    let (outputs, channels, size) = match *weight.dims() {
        [outputs, channels, height, width] if height == width && height > 0 && outputs > 0 => {
            (outputs, channels, height)
        }
        _ => {
            return Err(OpError::rank(
                OP,
                "[O, I / groups, K, K] as weight",
                weight.shape(),
            ));
        }
    };
    if groups == 0 || !outputs.is_multiple_of(groups) {
        let problem = format!("{groups} groups do not divide the weight's {outputs} output channels");
        return Err(OpError::shape(OP, problem));
    }
    if Some(input.channels) != channels.checked_mul(groups) {
        let of_groups = match groups {
            1 => String::new(),
            _ => format!(" in each of {groups} groups"),
        };
        let problem = format!(
            "the weight is for {channels} channels{of_groups}, the input has {}",
            input.channels
        );
        return Err(OpError::shape(OP, problem));
    }
    if let Some(bias) = bias
        && bias.dims() != [outputs]
    {
        let bias = bias.dims();
        let problem = format!("the weight gives {outputs} channels, the bias is {bias:?}");
        return Err(OpError::shape(OP, problem));
    }
    Geometry::of(input, outputs, size, options).ok_or_else(|| {
        let Images { height, width, .. } = input;
        let dilated = match dilation {
            1 => String::new(),
            _ => format!(" and dilation {dilation}"),
        };
        let problem = format!(
            "a {size}x{size} kernel of stride {stride}{dilated} does not fit in an image of {height}x{width} \
             with padding {padding}"
        );
        OpError::shape(OP, problem)
    })
}

/// A convolution with or without a bias.
struct Convolution2d {
    options: ConvOptions,
    precision: Precision,
    kept: Option<Arc<KeptWeight>>,
}

impl Convolution2d {
    fn plan(&self, operands: &[ArrayView]) -> ConvPlan {
        plan_of(operands, self.options, self.precision)
    }

    fn forward_in(&self, operands: &[ArrayView], format: ValueFormat) -> (Values, Shape) {
        let weight = operands[1].stored().widened();
        let weight = ConvWeight {
            values: &weight,
            kept: self.kept.as_deref(),
        };
        let bias = operands.get(2).map(|bias| bias.stored().widened());
        let plan = self.plan(operands);
        let y = plan.forward_in(operands[0].stored(), weight, bias.as_deref(), format);
        (y, plan.geometry.output.shape().into())
    }
}

/// The plan for operands that [`geometry`] has found to fit.
fn plan_of(operands: &[ArrayView], options: ConvOptions, precision: Precision) -> ConvPlan {
    let (input, weight) = (Images::of(operands[0].dims), operands[1].dims);
    match Geometry::of(input, weight[0], weight[2], options) {
        Some(geometry) => ConvPlan::new(geometry, precision),
        None => unreachable!("the operands were found to fit"),
    }
}

/// How the kernel of a weight `[O, I / groups, K, K]` moves, in ONNX's words.
fn attributes_of(options: ConvOptions) -> Attributes {
    let ConvOptions {
        stride,
        padding,
        dilation,
        groups,
    } = options;
    Attributes::default()
        .with("strides", [stride; 2])
        .with("pads", [padding; 4])
        .with("dilations", [dilation; 2])
        .with("group", groups)
}

/// The convolution as candle's operations.
fn composed_of(operands: &[Tensor], options: ConvOptions, precision: Precision) -> Result<Tensor> {
    let ConvOptions {
        stride,
        padding,
        dilation,
        groups,
    } = options;
    let mut x = rounded(&operands[0], precision)?;
    let weight = rounded_weight(&operands[1], precision)?;
    let (outputs, _, size, _) = weight.dims4()?;
    // candle's backward fails where stride leaves different remainders of height and width, so
    // pixels that no window reaches are cut off beforehand.
    for dimension in [1, 2] {
        x = x.pad_with_zeros(dimension, padding, padding)?;
        let span = (size - 1) * dilation + 1;
        let reached = (x.dim(dimension)? - span) / stride * stride + span;
        x = x.narrow(dimension, 0, reached)?.contiguous()?;
    }
    let y = if groups > 1 && groups == x.dim(3)? && groups == outputs {
        depthwise_composed(&x, &weight, stride, dilation)?
    } else {
        let x = x.permute((0, 3, 1, 2))?.contiguous()?;
        x.conv2d(&weight, 0, stride, dilation, groups)?
            .permute((0, 2, 3, 1))?
    };
    let y = match operands.get(2) {
        None => y.contiguous()?,
        Some(bias) => y.contiguous()?.broadcast_add(&rounded_weight(bias, precision)?)?,
    };
    rounded(&y, precision)
}

/// A sum over taps: candle convolves groups one after another, and here each channel is one.
fn depthwise_composed(x: &Tensor, weight: &Tensor, stride: usize, dilation: usize) -> Result<Tensor> {
    let (_, height, width, channels) = x.dims4()?;
    let size = weight.dim(2)?;
    let weight = weight.reshape((channels, size * size))?.t()?.contiguous()?;
    let positions = |extent: usize| (extent - (size - 1) * dilation - 1) / stride + 1;
    let products = taps(x, size, (stride, dilation), (positions(height), positions(width)))?
        .iter()
        .enumerate()
        .map(|(tap, pixels)| pixels.broadcast_mul(&weight.get(tap)?))
        .collect::<Result<_>>()?;
    sum_of(products)
}

impl Operation for Convolution2d {
    fn name(&self) -> &'static str {
        OP
    }

    fn attributes(&self) -> Attributes {
        attributes_of(self.options).with_precision(self.precision)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        composed_of(operands, self.options, self.precision)
    }
}

impl CpuKernel for Convolution2d {
    fn packed_operand(&self) -> Option<usize> {
        self.kept.as_ref().map(|_| 1)
    }

    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let (y, shape) = self.forward_in(operands, ValueFormat::F32);
        (y.into_f32(), shape)
    }

    fn ready(&self, operands: &[Option<ArrayView>]) -> Option<ReadyOperation> {
        FinishedConvolution::of_products(Some(self.options), self.kept.as_ref(), self.precision, operands)
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let (x, weight) = (operands[0].values, operands[1].values);
        self.plan(operands).gradients(x, weight, gradient, wanted)
    }

    fn stored_passes(&self) -> Option<&dyn StoredPasses> {
        Some(self)
    }
}

impl StoredPasses for Convolution2d {
    fn forward_stored(&self, operands: &[ArrayView]) -> (Values, Shape) {
        self.forward_in(operands, ValueFormat::smallest(self.precision))
    }

    fn backward_stored(
        &self,
        operands: &[ArrayView],
        _output: Stored,
        gradient: Stored,
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let (x, weight) = (operands[0].stored(), operands[1].stored().widened());
        self.plan(operands).gradients(x, &weight, gradient, wanted)
    }
}

#[cfg(test)]
mod tests;

//! Group normalisation (Wu and He, 2018).

mod kernels;

use candle_core::{Result, Shape, Tensor};

use super::attributes::Attributes;
use super::composed;
use super::error::OpError;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
use super::tensor::{Images, channels_last};
use kernels::NormedImages;

/// The constants of a layer, as the arguments of `torch.nn.GroupNorm`, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupNormOptions {
    /// Into how many groups the channels are cut.
    pub groups: usize,
    /// Added to the variance; PyTorch's default is 1e-5.
    pub epsilon: f64,
    /// Whether ReLU follows in the same pass over memory.
    pub relu: bool,
}

/// Normalises each group of channels of each image of `x`, `[N, H, W, C]`, over its pixels to mean 0 and (biased) variance
/// 1, scales by `weight` and shifts by `bias`, both `[C]`.
///
/// In every precision the arithmetic and the result are f32, as under PyTorch's autocast on CUDA.
///
/// # Errors
/// Groups that do not divide the channels, or shapes that do not fit each other.
pub fn group_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    options: GroupNormOptions,
) -> std::result::Result<Tensor, OpError> {
    const OP: &str = "group norm";
    let channels = channels_last(OP, x)?.channels;
    let groups = options.groups;
    if groups == 0 || !channels.is_multiple_of(groups) {
        let problem = format!("{groups} groups do not divide {channels} channels");
        return Err(OpError::shape(OP, problem));
    }
    if weight.dims() != [channels] || bias.dims() != [channels] {
        let (weight, bias) = (weight.dims(), bias.dims());
        let problem =
            format!("the input has {channels} channels, but weight is {weight:?} and bias {bias:?}");
        return Err(OpError::shape(OP, problem));
    }
    run(GroupNormalization { options }, &[x, weight, bias])
}

struct GroupNormalization {
    options: GroupNormOptions,
}

impl GroupNormalization {
    fn images<'a>(&self, operands: &[ArrayView<'a>]) -> NormedImages<'a> {
        NormedImages {
            images: Images::of(operands[0].dims),
            options: self.options,
            x: operands[0].values,
            weight: operands[1].values,
            bias: operands[2].values,
        }
    }
}

impl Operation for GroupNormalization {
    fn name(&self) -> &'static str {
        "group_norm"
    }

    /// The norm's, and whether `relu` follows.
    fn attributes(&self) -> Attributes {
        Attributes::default()
            .with("num_groups", self.options.groups)
            .with("epsilon", self.options.epsilon)
            .with("relu", self.options.relu)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let GroupNormOptions {
            groups,
            epsilon,
            relu,
        } = self.options;
        let x = operands[0].contiguous()?;
        let (batch, height, width, channels) = x.dims4()?;
        let x = x.reshape((batch, height * width, groups, channels / groups))?;
        let mean = |x: &Tensor| x.mean_keepdim(1)?.mean_keepdim(3);
        let centred = x.broadcast_sub(&mean(&x)?)?;
        let variance = mean(&centred.sqr()?)?;
        let y = centred
            .broadcast_div(&(variance + epsilon)?.sqrt()?)?
            .reshape((batch, height, width, channels))?
            .broadcast_mul(&operands[1])?
            .broadcast_add(&operands[2])?;
        if relu { composed::relu(&y) } else { Ok(y) }
    }
}

impl CpuKernel for GroupNormalization {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        (self.images(operands).forward(), operands[0].dims.into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let [x, weight, bias] = self.images(operands).backward(output, gradient);
        let gradients = [x, weight, bias].into_iter().zip(wanted);
        gradients
            .map(|(values, &wanted)| OperandGradient::if_wanted(wanted, || values))
            .collect()
    }
}

#[cfg(test)]
mod tests;

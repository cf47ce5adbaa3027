//! Convolution and the batch norm behind it as one operation, for evaluation.

use std::sync::Arc;

use candle_core::{Result, Shape, Tensor};

use super::finished::FinishedConvolution;
use super::packed_weights::{ConvWeight, KeptWeight, kept};
use super::{ConvOptions, attributes_of, composed_of, geometry, groups, plan_of};
use crate::ops::attributes::Attributes;
use crate::ops::batch_norm::{
    BatchNormOptions, Epilogue, check_channels, check_residual, composed_with_running,
};
use crate::ops::error::OpError;
use crate::ops::microkernel::Finish;
use crate::ops::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
use crate::ops::prepared::ReadyOperation;
use crate::spec::Precision;

/// A convolution's operands, as those of [`conv2d`](super::conv2d).
#[derive(Clone, Copy)]
pub struct ConvolutionOperands<'a> {
    /// `[O, I / groups, K, K]`.
    pub weight: &'a Tensor,
    /// `[O]`.
    pub bias: Option<&'a Tensor>,
    /// How the kernel moves.
    pub options: ConvOptions,
}

/// A batch norm's operands in evaluation, as those of [`batch_norm`](crate::ops::batch_norm), each `[O]`.
#[derive(Clone, Copy)]
pub struct NormOperands<'a> {
    /// The factor.
    pub weight: &'a Tensor,
    /// The summand.
    pub bias: &'a Tensor,
    /// The running mean.
    pub mean: &'a Tensor,
    /// The running variance.
    pub variance: &'a Tensor,
    /// The layer's constants.
    pub options: BatchNormOptions,
}

/// What [`conv2d`](super::conv2d) and then [`batch_norm`](crate::ops::batch_norm) with running statistics
/// give, without the pass over memory in between. The result is a constant to autograd.
///
/// In a narrow format it is rounded once, at the end.
///
/// # Errors
/// What either of the two would refuse.
pub fn conv2d_norm(
    x: &Tensor,
    convolution: ConvolutionOperands,
    norm: NormOperands,
    epilogue: Epilogue,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    let ConvolutionOperands {
        weight,
        bias,
        options,
    } = convolution;
    let output = geometry(x, weight, bias, options)?.output;
    check_channels(output.channels, [norm.weight, norm.bias], norm.mean.elem_count())?;
    let residual = epilogue.residual();
    check_residual(&Shape::from(output.shape()), residual)?;
    let op = NormedConvolution {
        convolution: options,
        has_bias: bias.is_some(),
        norm: norm.options,
        adds: residual.is_some(),
        relu: epilogue.is_relu(),
        precision,
        kept: kept(weight),
    };
    let affine = [norm.weight, norm.bias, norm.mean, norm.variance];
    let operands = [x, weight].into_iter().chain(bias).chain(affine).chain(residual);
    let constants: Vec<Tensor> = operands.map(Tensor::detach).collect();
    run(op, &constants.iter().collect::<Vec<_>>())
}

/// Operands: `x`, the convolution's weight and, where it has one, bias; weight, bias, mean and variance of
/// the norm; and the residual, where one is added.
struct NormedConvolution {
    convolution: ConvOptions,
    has_bias: bool,
    norm: BatchNormOptions,
    adds: bool,
    relu: bool,
    precision: Precision,
    kept: Option<Arc<KeptWeight>>,
}

impl NormedConvolution {
    /// Where the norm's operands begin.
    fn first_of_norm(&self) -> usize {
        2 + usize::from(self.has_bias)
    }

    /// What the convolution's sums are multiplied by, and what is then added, one value an output channel.
    fn scale_and_shift(&self, operands: &[ArrayView]) -> (Vec<f32>, Vec<f32>) {
        let of_norm = &operands[self.first_of_norm()..];
        let [weight, bias, mean, variance] = [0, 1, 2, 3].map(|index: usize| of_norm[index].values);
        let factor =
            |weight: f32, variance: f32| f64::from(weight) / (f64::from(variance) + self.norm.epsilon).sqrt();
        let pairs = weight.iter().zip(variance);
        let scale: Vec<f64> = pairs
            .map(|(&weight, &variance)| factor(weight, variance))
            .collect();
        let terms = bias.iter().zip(mean.iter().zip(&scale));
        let mut shift: Vec<f64> = terms
            .map(|(&bias, (&mean, scale))| f64::from(bias) - f64::from(mean) * scale)
            .collect();
        if self.has_bias {
            for ((shift, &bias), scale) in shift.iter_mut().zip(operands[2].values).zip(&scale) {
                *shift += f64::from(bias) * scale;
            }
        }
        let narrow =
            |values: Vec<f64>| -> Vec<f32> { values.into_iter().map(|value| value as f32).collect() };
        (narrow(scale), narrow(shift))
    }
}

impl Operation for NormedConvolution {
    fn name(&self) -> &'static str {
        "conv2d_norm"
    }

    /// The convolution's, the norm's, and what follows: first `add`, then `relu`.
    fn attributes(&self) -> Attributes {
        attributes_of(self.convolution)
            .with("bias", self.has_bias)
            .with("epsilon", self.norm.epsilon)
            .with("add", self.adds)
            .with("relu", self.relu)
            .with_precision(self.precision)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let (of_convolution, of_norm) = operands.split_at(self.first_of_norm());
        let y = composed_of(of_convolution, self.convolution, self.precision)?;
        let of_norm: Vec<Tensor> = [y].into_iter().chain(of_norm.iter().cloned()).collect();
        composed_with_running(&of_norm, self.norm, (self.adds, self.relu), self.precision)
    }
}

impl CpuKernel for NormedConvolution {
    fn packed_operand(&self) -> Option<usize> {
        self.kept.as_ref().map(|_| 1)
    }

    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let plan = plan_of(operands, self.convolution, self.precision);
        let (scale, shift) = self.scale_and_shift(operands);
        let finish = Finish {
            scale: Some(&scale),
            shift: Some(&shift),
            residual: self.adds.then(|| operands[operands.len() - 1].values),
            relu: self.relu,
            ..Finish::default()
        };
        let weight = ConvWeight {
            values: operands[1].values,
            kept: self.kept.as_deref(),
        };
        let y = groups::forward(&plan, operands[0].values, weight, finish);
        (y, plan.geometry.output.shape().into())
    }

    fn ready(&self, operands: &[Option<ArrayView>]) -> Option<ReadyOperation> {
        let norm = self.first_of_norm();
        // Images and what is added to them are not looked at.
        let nothing = ArrayView::of_values(&[], &[]);
        if operands[2..norm + 4].iter().any(Option::is_none) {
            return None;
        }
        let known: Vec<ArrayView> = operands.iter().map(|known| known.unwrap_or(nothing)).collect();
        let (scale, shift) = self.scale_and_shift(&known);
        let finished = FinishedConvolution {
            options: Some(self.convolution),
            kept: self.kept.clone(),
            precision: self.precision,
            scale: Some(scale),
            shift: Some(shift),
            adds: self.adds,
            relu: self.relu,
            function: None,
        };
        Some(finished.ready(self.adds.then(|| operands.len() - 1)))
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        _gradient: &[f32],
        _wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        // Its operands are constants, of which no gradient is ever wanted.
        operands.iter().map(|_| None).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::conv2d;
    use super::*;
    use crate::ops::batch_norm::{Statistics, batch_norm};
    use crate::ops::testing::*;

    #[test]
    fn is_convolution_and_norm_one_after_the_other() {
        let mean = random(&[12], 1);
        let variance = (random(&[12], 2).abs().expect("valid") + 0.1).expect("valid");
        let (norm_weight, norm_bias, bias) = (random(&[12], 3), random(&[12], 4), random(&[12], 5));
        let norm = NormOperands {
            weight: &norm_weight,
            bias: &norm_bias,
            mean: &mean,
            variance: &variance,
            options: BatchNormOptions::default(),
        };
        let residual = random(&[5, 9, 8, 12], 6);
        let epilogues = [
            Epilogue::None,
            Epilogue::Relu,
            Epilogue::Add(&residual),
            Epilogue::AddRelu(&residual),
        ];
        // Direct, by Winograd, depthwise, of groups.
        for (inputs, groups, size) in [(6, 1, 3), (6, 1, 1), (12, 12, 3), (6, 3, 3)] {
            let x = random(&[5, 9, 8, inputs], 7);
            let weight = random(&[12, inputs / groups, size, size], 8);
            for bias in [None, Some(&bias)] {
                let options = ConvOptions {
                    padding: size / 2,
                    groups,
                    ..ConvOptions::default()
                };
                let convolution = ConvolutionOperands {
                    weight: &weight,
                    bias,
                    options,
                };
                for epilogue in epilogues {
                    for (precision, tolerance) in [
                        (Precision::F32, 1e-5),
                        (Precision::Bf16, 2e-2),
                        (Precision::F16, 3e-3),
                    ] {
                        let one = conv2d_norm(&x, convolution, norm, epilogue, precision).expect("fits");
                        let y = conv2d(&x, &weight, bias, options, precision).expect("fits");
                        let (mean, variance) = (&mean, &variance);
                        let statistics = Statistics::Running { mean, variance };
                        let (weight, bias, options) = (norm.weight, norm.bias, norm.options);
                        let two = batch_norm(&y, weight, bias, statistics, options, epilogue, precision);
                        assert_close(&host(&one), &host64(&two.expect("fits")), tolerance);
                    }
                }
            }
        }
    }

    #[test]
    fn winograd_is_finished_the_same_way() {
        let mean = random(&[40], 1);
        let variance = Tensor::full(0.5f32, 40, mean.device()).expect("valid");
        let (norm_weight, norm_bias) = (random(&[40], 3), random(&[40], 4));
        let (x, weight) = (random(&[2, 9, 8, 36], 7), random(&[40, 36, 3, 3], 8));
        let residual = random(&[2, 9, 8, 40], 6);
        let options = ConvOptions {
            padding: 1,
            ..ConvOptions::default()
        };
        let convolution = ConvolutionOperands {
            weight: &weight,
            bias: None,
            options,
        };
        let norm = NormOperands {
            weight: &norm_weight,
            bias: &norm_bias,
            mean: &mean,
            variance: &variance,
            options: BatchNormOptions::default(),
        };
        let epilogue = Epilogue::AddRelu(&residual);
        let one = conv2d_norm(&x, convolution, norm, epilogue, Precision::F32).expect("fits");
        let y = conv2d(&x, &weight, None, options, Precision::F32).expect("fits");
        let (mean, variance) = (&mean, &variance);
        let running = Statistics::Running { mean, variance };
        let two = batch_norm(
            &y,
            norm.weight,
            norm.bias,
            running,
            norm.options,
            epilogue,
            Precision::F32,
        );
        assert_close(&host(&one), &host64(&two.expect("fits")), 1e-5);
    }

    #[test]
    fn misfits_are_told() {
        let [mean, variance, weight, bias] = [1, 2, 3, 4].map(|seed| random(&[3], seed));
        let norm = NormOperands {
            weight: &weight,
            bias: &bias,
            mean: &mean,
            variance: &variance,
            options: BatchNormOptions::default(),
        };
        let kernel = random(&[4, 2, 1, 1], 1);
        let convolution = ConvolutionOperands {
            weight: &kernel,
            bias: None,
            options: ConvOptions::default(),
        };
        let x = random(&[1, 2, 2, 2], 1);
        let error = conv2d_norm(&x, convolution, norm, Epilogue::None, Precision::F32);
        assert!(
            error
                .expect_err("refused")
                .to_string()
                .contains("the input has 4 channels")
        );
        let kernel = random(&[3, 2, 1, 1], 1);
        let convolution = ConvolutionOperands {
            weight: &kernel,
            ..convolution
        };
        let residual = random(&[1, 2, 2, 2], 1);
        let error = conv2d_norm(&x, convolution, norm, Epilogue::Add(&residual), Precision::F32);
        assert!(error.expect_err("refused").to_string().contains("cannot add"));
    }
}
